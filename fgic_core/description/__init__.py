"""Descriptions: all that spec, plan and keys ask of a component, as values that need none of its code.

A `Manifest` is what a class says whatever its options, a `Described` what a component is with them. A `Describer` makes
both: `Here` by importing the class, `fgic_core.plan.descriptions.Remembered` without that where nothing changed, and
`fgic_core.plan.interpreter.Interpreter` in another Python.
"""

from __future__ import annotations

from fgic_core.description.here import Here, describe
from fgic_core.description.manifest import Manifest, Option, manifest_of, options_of
from fgic_core.description.model import Answer, Described, Describer, Inner, Recipe, Request, Wrong

__all__ = [
    "Answer",
    "Described",
    "Describer",
    "Here",
    "Inner",
    "Manifest",
    "Option",
    "Recipe",
    "Request",
    "Wrong",
    "describe",
    "manifest_of",
    "options_of",
]
