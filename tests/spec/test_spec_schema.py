"""The JSON Schema takes what `load_spec` takes, and refuses what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from fgic_core import Cropper, Registry
from fgic_core.registry import Entry
from fgic_core.spec import parse_spec, spec_schema
from fgic_core.spec.document import read
from fgic_core.spec.errors import Source

TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
}
#: Words of a schema that say something to people or editors and allow or forbid nothing.
SPOKEN = {"$schema", "$comment", "$defs", "title", "description", "default", "examples", "format"}
BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": lambda v, b: v >= b,
    "maximum": lambda v, b: v <= b,
    "exclusiveMinimum": lambda v, b: v > b,
    "exclusiveMaximum": lambda v, b: v < b,
}


class Judge:
    """As much of a JSON Schema validator as these schemas need; an unknown word of a schema is an error."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.root = schema

    def legal(self, value: Any, schema: Any = None) -> bool:
        schema = self.root if schema is None else schema
        if isinstance(schema, bool):
            return schema
        return all(self.word(value, schema, word) for word in schema)

    def word(self, value: Any, schema: Mapping[str, Any], word: str) -> bool:
        said = schema[word]
        if word in SPOKEN or word in ("then", "properties"):
            return word != "properties" or self.properties(value, said)
        if word == "$ref":
            target = self.root
            for part in said.removeprefix("#/").split("/"):
                target = target[part]
            return self.legal(value, target)
        if word == "type":
            return any(TYPES[kind](value) for kind in ([said] if isinstance(said, str) else said))
        if word in ("const", "enum"):
            return any(value == one and type(value) is type(one) for one in ([said] if word == "const" else said))
        if word in ("anyOf", "allOf"):
            return (any if word == "anyOf" else all)(self.legal(value, one) for one in said)
        if word == "if":
            return not self.legal(value, said) or self.legal(value, schema["then"])
        if word in BOUNDS:
            return not TYPES["number"](value) or BOUNDS[word](value, said)
        if word == "pattern":
            return not isinstance(value, str) or re.search(said, value) is not None
        if word == "minLength":
            return not isinstance(value, str) or len(value) >= said
        if word == "minItems":
            return not isinstance(value, list) or len(value) >= said
        if word == "uniqueItems":
            return not isinstance(value, list) or not said or all(one not in value[:i] for i, one in enumerate(value))
        if word == "not":
            return not self.legal(value, said)
        if word == "prefixItems":
            return not isinstance(value, list) or all(map(self.legal, value, said))
        if word == "items":
            rest = value[len(schema.get("prefixItems", ())) :] if isinstance(value, list) else []
            return all(self.legal(one, said) for one in rest)
        return self.of_objects(value, schema, word)

    def of_objects(self, value: Any, schema: Mapping[str, Any], word: str) -> bool:
        said = schema[word]
        rules: dict[str, Callable[[], bool]] = {
            "required": lambda: all(name in value for name in said),
            "minProperties": lambda: len(value) >= said,
            "maxProperties": lambda: len(value) <= said,
            "propertyNames": lambda: all(self.legal(name, said) for name in value),
            "additionalProperties": lambda: all(
                self.legal(one, said) for name, one in value.items() if name not in schema.get("properties", {})
            ),
        }
        rule = rules[word]
        return not isinstance(value, dict) or rule()

    def properties(self, value: Any, said: Mapping[str, Any]) -> bool:
        return not isinstance(value, dict) or all(
            self.legal(value[name], one) for name, one in said.items() if name in value
        )


@pytest.fixture(scope="module")
def judge(registry: Registry) -> Judge:
    return Judge(json.loads(json.dumps(spec_schema(registry))))


def data(text: str) -> Any:
    root, problems = read(text, Source("s"))
    assert root is not None
    assert not problems
    return root.plain()


def test_a_legal_spec_and_its_filled_in_form_are_legal_by_the_schema(
    judge: Judge, registry: Registry, seven: str
) -> None:
    assert judge.legal(data(seven))
    assert judge.legal(parse_spec(seven, registry).resolved())
    assert judge.legal(
        data("version: 1\nsteps:\n  d: {uses: dataset/drawn}\n  c:\n    uses: classifier/net\n    with:\n")
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1", "version: 2"),
        ("version: 1\n", ""),
        ("name: dogs", "name: a/b"),
        ("seed: 7", "seed: -1"),
        ("seed: 7", "sed: 7"),
        ("boxes:", "1boxes:"),
        ("detector/boxes", "detector/bxes"),
        ("{uses: detector/boxes}", "{with: {}}"),
        ("{uses: detector/boxes}", "{uses: dataset/birds}"),
        ("{uses: detector/boxes}", "{uses: dataset/birds, with: {}}"),
        ("margin: 0.1", "margin: 2"),
        ("margin: 0.1", "margn: 0.1"),
        ("lr: 1e-3", "lr: '1e-3x'"),
        ("tag: on", "tag: ON"),
        ("activation: gelu", "activation: tanh"),
        ("{width: 4}", "{}"),
        ("8/255", "8:255"),
        ("8/255", "8"),
        ("alpha: 2/255", "alpha: 1.5"),
        ("{dataset: crops}", "{datset: crops}"),
    ],
)
def test_what_the_loader_refuses_the_schema_refuses(
    old: str, new: str, judge: Judge, seven: str, said: Callable[..., str]
) -> None:
    text = seven.replace(old, new, 1)
    assert text != seven
    assert said(text)
    assert not judge.legal(data(text))


STUDY = """\
study:
  seeds: [0, 1]
  ablate: [boxes, crops]
  cross: true
  matrix: {classifier.uses: [classifier/net], crops.with.margin: [0, 0.1, null, {a: 1}]}
  exclude: [{crops.with.margin: 0.1, ablate: boxes}]
  arms: {longer: {crops.with.margin: 0.4}, bare: {without: [boxes, crops]}}
  beside: {perfect: {oracle: true}, few: {without: boxes}}
  decompose: [bare, {all of it: full}, longer]
  worth: {arms: [full], curve: [few, longer]}
  measure: [{step: pgd, quantity: robust_accuracy, at: {eps: 4/255}}, fit_seconds]
  margin: 1
  baseline: {crops.with.margin: 0}
  oracle: true
  vary: [init, resample]
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[0, 1]", "2"),
        ("[0, 1]", "[1, 1]"),
        ("[0, 1]", "[-1]"),
        ("[boxes, crops]", "every"),
        ("[boxes, crops]", "{every: [boxes]}"),
        ("cross: true", "cross: 1"),
        ("cross", "crossed"),
        ("[classifier/net]", "classifier/net"),
        ("crops.with.margin: [", "crops: ["),
        ("robust_accuracy", "robustness"),
        ("fit_seconds", "fit_second"),
        ("margin: 1\n", "margin: 0\n"),
        ("longer: {crops.with.margin: 0.4}", "longer: {}"),
        ("longer: {crops.with.margin: 0.4}", "longer: 3"),
        ("longer: {crops.with.margin: 0.4}", "full: {crops.with.margin: 0.4}"),
        ("longer: {crops.with.margin: 0.4}", "a/b: {crops.with.margin: 0.4}"),
        ("without: [boxes, crops]", "witout: [boxes, crops]"),
        ("without: [boxes, crops]", "without: []"),
        ("bare: {without: [boxes, crops]}", "bare: {oracle: true}"),
        ("perfect: {oracle: true}", "perfect: {oracle: 1}"),
        ("[bare, {all of it: full}, longer]", "[bare]"),
        ("[bare, {all of it: full}, longer]", "[{a: bare}, longer]"),
        ("{all of it: full}", "{all of it: full, more: full}"),
        ("curve: [few, longer]", "curve: [few]"),
        ("curve: [few, longer]", "curves: [few, longer]"),
        ("{arms: [full], curve", "{arms: [], curve"),
        ("resample", "seed"),
    ],
)
def test_a_study_is_told_by_the_schema_too(
    old: str, new: str, judge: Judge, seven: str, said: Callable[..., str]
) -> None:
    assert judge.legal(data(seven + STUDY))
    assert judge.legal(data(seven + STUDY.replace("[boxes, crops]", "{combinations: [boxes]}", 1)))
    text = STUDY.replace(old, new, 1)
    assert text != STUDY
    assert said(seven + text)
    assert not judge.legal(data(seven + text))


def test_editors_find_titles_descriptions_and_defaults(registry: Registry) -> None:
    schema = spec_schema(registry)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "$comment" not in schema
    uses = schema["$defs"]["step"]["properties"]["uses"]["anyOf"]
    assert {"const": "dataset/drawn", "description": "Birds that are drawn."} in uses
    assert len(uses) == 8
    net = schema["$defs"]["classifier.net"]
    assert net["title"] == "Options of classifier/net"
    epochs = {"default": 10, "description": "How often every sample is seen.", "maximum": 1000, "minimum": 1}
    assert net["properties"]["epochs"] == epochs | {"title": "Epochs", "type": "integer"}
    eps = schema["$defs"]["attacker.pgd"]["properties"]["eps"]["items"]
    assert eps["anyOf"][0] == {"type": "number", "minimum": 0.0, "maximum": 1.0}
    assert eps["anyOf"][1]["type"] == "string"
    assert eps.keys() == {"anyOf", "examples"}


class Plain(Cropper):
    """No options of its own."""

    def region(self, box: Any, image: Any) -> Any:
        return box


class Odd(Plain):
    """An option that JSON Schema cannot describe."""

    how: Callable[[int], int] = abs


def test_what_does_not_load_or_cannot_be_described_is_left_out_and_told() -> None:
    registry = Registry([Entry("cropper", "broken", "fgic-test", "1.0", "", "fgic_is_not_there:C")])
    registry.register("odd", Odd)
    registry.register("plain", Plain)
    schema = spec_schema(registry)
    assert "cropper/broken: failed to load fgic_is_not_there:C" in schema["$comment"]
    assert (
        "cropper/odd: has no JSON Schema: Cannot generate a JsonSchema for core_schema.CallableSchema"
        in schema["$comment"]
    )
    assert schema["$defs"].keys() == {"step", "complete", "cropper.plain"}
    judge = Judge(schema)
    verdicts = {
        name: judge.legal(data(f"version: 1\nsteps: {{a: {{uses: cropper/{name}}}}}")) for name in ("plain", "odd")
    }
    assert verdicts == {"plain": True, "odd": False}
