"""The spec: YAML with positions to a typed `Spec`, or every problem at once."""

from __future__ import annotations

from fgic_core.spec.errors import Place, Problem, Source, SpecError
from fgic_core.spec.load import described_anew, from_dict, load_spec, parse_spec
from fgic_core.spec.model import VERSION, Spec, SpecStep, dump_yaml
from fgic_core.spec.schema import spec_schema

__all__ = [
    "VERSION",
    "Place",
    "Problem",
    "Source",
    "Spec",
    "SpecError",
    "SpecStep",
    "described_anew",
    "dump_yaml",
    "from_dict",
    "load_spec",
    "parse_spec",
    "spec_schema",
]
