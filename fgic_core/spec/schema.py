"""JSON Schema of specs, made of everything installed, for completion and checks in an editor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fgic_core.data.quantities import QUANTITIES
from fgic_core.data.sample import SPLITS
from fgic_core.data.streams import STREAMS
from fgic_core.description import Describer, Here, Manifest
from fgic_core.description.manifest import schema_key
from fgic_core.errors import PluginError
from fgic_core.kinds.ports import Input
from fgic_core.kinds.table import KINDS
from fgic_core.nested import SCHEMA_KEY
from fgic_core.registry import Registry
from fgic_core.spec.model import VERSION
from fgic_core.spec.named import NAME, TAKEN
from fgic_core.spec.study import OF_RUNS

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_NAME_OF_STEP = "^[A-Za-z][A-Za-z0-9_-]{0,99}$"


def spec_schema(registry: Registry, describer: Describer | None = None) -> dict[str, Any]:
    """The schema (draft 2020-12). What fails to load is left out and told in ``$comment``.

    Args:
        registry: what is installed.
        describer: says what the components are; by default this process imports them all.
    """
    found = (describer if describer is not None else Here(registry)).manifests(registry.names(), schema=True)
    known: dict[str, Manifest] = {}
    broken: list[str] = []
    for uses, manifest in found.items():
        if isinstance(manifest, PluginError):
            broken.append(f"{uses}: {' '.join(manifest.what.split())}")
        elif manifest.json_schema is None:
            broken.append(f"{uses}: {manifest.no_schema}")
        else:
            known[uses] = manifest
    options = {uses: _options(uses, manifest) for uses, manifest in known.items()}
    needed = {uses: (manifest.json_schema or {}).get("required", []) for uses, manifest in known.items()}
    schema: dict[str, Any] = {
        "$schema": DRAFT,
        "title": "fgic spec",
        "description": "Steps that fgic runs in order, and their options.",
    }
    named = {kind: _named(kind, known) for kind in sorted(_wanted(options))}
    if broken:
        schema["$comment"] = "Left out, for they do not load: " + "; ".join(broken)
    return schema | {
        "type": "object",
        "required": ["version", "steps"],
        "additionalProperties": False,
        # What a component needs stands in its step, or in the spec's defaults, which a rule of a step cannot see.
        "anyOf": [
            {"required": ["defaults"]},
            {"properties": {"steps": {"additionalProperties": {"$ref": "#/$defs/complete"}}}},
        ],
        "properties": {
            "version": {"title": "Version", "description": "Version of the spec's format.", "const": VERSION},
            "name": {
                "title": "Name",
                "description": "Names the run's folder; by default the file's name.",
                "type": "string",
                "pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?$",
            },
            "seed": _seed("Seed of every step that has none of its own.") | {"default": 0},
            "defaults": {
                "title": "Defaults",
                "description": "Options by component; a step that uses one has them unless it says otherwise.",
                "type": ["object", "null"],
                "propertyNames": {"pattern": f"^({'|'.join(KINDS)})/[^/]+$"},
                "properties": {uses: {"$ref": f"#/$defs/{schema_key(uses)}"} for uses in options},
            },
            "steps": {
                "title": "Steps",
                "description": "Steps by name. They run in order; each takes the nearest earlier artifact of its type.",
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": _NAME_OF_STEP},
                "additionalProperties": {"$ref": "#/$defs/step"},
            },
            "study": _study(),
        },
        "$defs": {
            "step": _step(known),
            "complete": {"allOf": [_complete(*one) for one in needed.items() if one[1]]},
        }
        | {schema_key(uses): _filled(one) for uses, one in options.items()}
        | {_any(kind): one for kind, one in named.items()},
    }


def _named(kind: str, known: Mapping[str, Manifest]) -> dict[str, Any]:
    """What an option that names a component of a kind may hold. Options that are needed may be among the defaults."""
    names = [uses for uses in known if uses.startswith(f"{kind}/")]
    about = [{"const": uses, "description": known[uses].summary} for uses in names]
    name = {"type": "string", "anyOf": about or [{"pattern": f"^{kind}/[^/]+$"}]}
    mapping = {
        "type": "object",
        "required": ["uses"],
        "additionalProperties": False,
        "properties": {"uses": name, "with": {"type": ["object", "null"]}},
        "allOf": [_given(uses, {"properties": {"with": {"$ref": f"#/$defs/{schema_key(uses)}"}}}) for uses in names],
    }
    return {"title": f"Component ({kind})", "anyOf": [name, mapping]}


def _filled(schema: Any) -> Any:
    """A schema of options with what is installed in the place of what names a component."""
    if isinstance(schema, list):
        return [_filled(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if (kind := schema.get(SCHEMA_KEY)) is not None:
        kept = {name: value for name, value in schema.items() if name not in ("anyOf", SCHEMA_KEY)}
        return kept | {"$ref": f"#/$defs/{_any(kind)}"}
    return {name: _filled(value) for name, value in schema.items()}


def _wanted(schema: Any) -> set[str]:
    """The kinds of which options name a component."""
    if isinstance(schema, dict) and SCHEMA_KEY in schema:
        return {schema[SCHEMA_KEY]}
    below = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    return {kind for one in below for kind in _wanted(one)}


def _any(kind: str) -> str:
    """The name in ``$defs`` of what names a component of a kind; no component has it, for theirs hold a dot."""
    return f"any-{kind}"


def _step(known: Mapping[str, Manifest]) -> dict[str, Any]:
    components = [{"const": uses, "description": one.summary} for uses, one in known.items()]
    return {
        "title": "Step",
        "description": "One step: a component and its options.",
        "type": "object",
        "required": ["uses"],
        "additionalProperties": False,
        "properties": {
            "uses": {
                "title": "Component",
                "description": "The component, as kind/name.",
                "type": "string",
                "anyOf": components or [{"pattern": "^[^/]+/[^/]+$"}],
            },
            "with": {"title": "Options", "description": "The component's options.", "type": ["object", "null"]},
            "from": {
                "title": "Inputs",
                "description": "Steps that inputs are taken from, by port; by default the nearest earlier ones.",
                "type": ["object", "null"],
            },
            "seed": {
                "description": "Seed of this step, or of each thing that it draws; by default the spec's.",
                "anyOf": [_seed("One for all."), _seeds()],
            },
        },
        "allOf": [_rule(uses, one.ports) for uses, one in known.items()],
    }


def _rule(uses: str, ports: Mapping[str, Input]) -> dict[str, Any]:
    """What a step may hold besides, given what it uses."""
    inputs = {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {name: _port(name, port) for name, port in ports.items()},
    }
    return _given(uses, {"properties": {"with": {"$ref": f"#/$defs/{schema_key(uses)}"}, "from": inputs}})


def _port(name: str, port: Input) -> dict[str, Any]:
    """What ``from`` may say of a port."""
    one = {"type": "string"}
    about = {"description": port.description or f"The step that gives the {name}."}
    return about | ({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]} if port.many else one)


def _complete(uses: str, needed: list[str]) -> dict[str, Any]:
    """What a step must hold, given what it uses."""
    return _given(uses, {"required": ["with"], "properties": {"with": {"type": "object", "required": needed}}})


def _given(uses: str, then: dict[str, Any]) -> dict[str, Any]:
    return {"if": {"properties": {"uses": {"const": uses}}, "required": ["uses"]}, "then": then}


def _options(uses: str, manifest: Manifest) -> dict[str, Any]:
    """The schema of a component's options; those that it needs stand elsewhere."""
    schema = {name: value for name, value in (manifest.json_schema or {}).items() if name != "required"}
    return schema | {
        "title": f"Options of {uses}",
        "description": manifest.summary,
        "type": ["object", "null"],
    }


def _study() -> dict[str, Any]:
    """The `study` block; what its paths and levels may be depends on the steps, which no schema can follow."""
    names = {"type": "array", "items": {"type": "string", "pattern": _NAME_OF_STEP}, "minItems": 1, "uniqueItems": True}
    levels = {"type": "object", "propertyNames": {"pattern": r"^[^.]+\..+$"}}
    told = {
        "seeds": "Every arm is run with each of these.",
        "ablate": "Steps that are left out, each alone; all, or of some all combinations.",
        "cross": "Whether steps are left out at every level of the matrix, and not at the baseline alone.",
        "matrix": "Levels by path, such as classifier.with.epochs: [5, 10]; every combination is an arm.",
        "exclude": "Combinations that are not run: levels by path, and under ablate steps that are left out.",
        "arms": "Pipelines by name: levels by path, steps left out, or both. Each is compared with the baseline.",
        "beside": "More of them, in no family of tests: shown with intervals, without a verdict.",
        "decompose": "A way from one arm to another, whose parts sum to the whole: an arm, then {part: arm} each.",
        "worth": "Arms whose made pictures are to be worth how many real ones, and those with real ones alone.",
        "baseline": "The levels that the others are compared with; by default each first one.",
        "measure": "What is compared; verdicts are about the first. By default the last classifier's accuracy.",
        "margin": "Percentage points that matter: what is smaller counts as no difference.",
        "oracle": "Whether there is an arm whose test pictures are cropped to annotated boxes.",
        "vary": "What a seed draws; what is not named is drawn with the spec's own seed.",
    }

    def arms(oracle: dict[str, Any]) -> dict[str, Any]:
        without = {"anyOf": [{"type": "string", "pattern": _NAME_OF_STEP}, names]}
        one = {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": r"^(without|oracle|[^.]+\..+)$"},
            "properties": {"without": without, "oracle": oracle},
        }
        named = {"pattern": f"^{NAME}$", "not": {"enum": list(TAKEN)}}
        return {"type": "object", "minProperties": 1, "propertyNames": named, "additionalProperties": one}

    part = {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {"type": "string"}}
    way = [{"type": "string"}, part]
    several = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
    run = {"enum": list(OF_RUNS)}
    measured = {
        "type": "object",
        "required": ["step", "quantity"],
        "additionalProperties": False,
        "properties": {
            "step": {"type": "string"},
            "quantity": {"type": "string", "enum": list(QUANTITIES)},
            "at": {"type": ["object", "null"], "additionalProperties": {"type": ["string", "number"]}},
            "split": {"enum": [*SPLITS, ""]},
        },
    }
    every = {"type": "object", "required": ["combinations"], "additionalProperties": False}
    kinds: dict[str, Any] = {
        "seeds": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "uniqueItems": True},
        "ablate": {"anyOf": [{"const": "all"}, names, every | {"properties": {"combinations": names}}]},
        "cross": {"type": "boolean"},
        "matrix": levels | {"additionalProperties": {"type": "array", "minItems": 1, "uniqueItems": True}},
        "exclude": {"type": "array", "items": {"type": "object", "minProperties": 1}, "minItems": 1},
        "arms": arms({"const": False}),
        "beside": arms({"type": "boolean"}),
        "decompose": {"type": "array", "prefixItems": way[:1], "items": {"anyOf": way}, "minItems": 2},
        "worth": {
            "type": "object",
            "required": ["arms", "curve"],
            "additionalProperties": False,
            "properties": {"arms": several | {"minItems": 1}, "curve": several | {"minItems": 2}},
        },
        "baseline": levels,
        "measure": {"type": "array", "items": {"anyOf": [run, measured]}, "minItems": 1},
        "margin": {"type": "number", "exclusiveMinimum": 0, "maximum": 100, "default": 1},
        "oracle": {"type": "boolean", "default": False},
        "vary": {"type": "array", "items": {"enum": list(STREAMS)}, "minItems": 1, "uniqueItems": True},
    }
    return {
        "title": "Study",
        "description": "The question: which steps are left out, which options are tried, with which seeds.",
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            name: {"description": words, "anyOf": [kinds[name], {"type": "null"}]} for name, words in told.items()
        },
    }


def _seeds() -> dict[str, Any]:
    each = {stream: {"type": "integer", "minimum": 0} for stream in STREAMS}
    return {"type": "object", "additionalProperties": False, "properties": each}


def _seed(description: str) -> dict[str, Any]:
    return {"title": "Seed", "description": description, "type": "integer", "minimum": 0}
