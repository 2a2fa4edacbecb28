"""Options that name a component: what is taken, and what is said where it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fgic_core import Attacker, Classifier, ComponentOption, Explainer, Registry, UseOnly
from fgic_core.description import describe, manifest_of
from fgic_core.kinds.component import use_only
from fgic_core.nested import entry_of, nested
from fgic_core.registry import Entry
from fgic_core.spec import SpecError, from_dict, parse_spec, spec_schema


class Twice(Attacker):
    """One attack after another."""

    first: ComponentOption[Attacker] = Field(description="Comes first.")

    def draws(self) -> bool:
        return False

    def perturb(self, network: Any, images: Any, labels: Any, eps: float, generator: Any) -> Any:
        return images


class Shown(BaseModel):
    model_config = ConfigDict(extra="forbid")

    by: dict[str, ComponentOption[Explainer]] = Field({}, description="Explainers by name.")


class Hardened(Classifier):
    """Trained on pictures that an attack made."""

    attack: ComponentOption[Attacker] = Field("attacker/pgd", description="Makes them.")
    judges: list[ComponentOption[Attacker]] = Field([], max_length=9, description="Tried one after another.")
    cam: UseOnly[ComponentOption[Explainer] | None] = Field(None, description="Draws.")
    shown: Shown = Field(Shown(), description="What is drawn.")
    size: ComponentOption[Attacker] | Literal["auto"] = Field("auto", description="One, or auto.")
    either: ComponentOption[Attacker] | ComponentOption[Explainer] | None = Field(None, description="One or the other.")
    epochs: int = Field(3, ge=1, description="How often.")

    def fit(self, train: Any, val: Any, ctx: Any) -> None:
        return None


class Lacking(Classifier):
    """Its default is of a package that is not installed."""

    attack: ComponentOption[Attacker] = Field("attacker/nowhere", description="Makes them.")

    def fit(self, train: Any, val: Any, ctx: Any) -> None:
        return None


@pytest.fixture(scope="module")
def registry(registry: Registry) -> Registry:
    """That of the other tests of specs, with components whose options name others, and one that is broken."""
    made = Registry([Entry("attacker", "broken", "fgic-broken", "1.0", "", "no_such_module:Broken")])
    for uses in registry.names():
        made.register(uses.partition("/")[2], registry.get(uses))
    made.register("twice", Twice)
    made.register("hardened", Hardened)
    made.register("lacking", Lacking)
    return made


@pytest.fixture
def hardened(registry: Registry, made: Callable[..., Any]) -> Callable[..., Any]:
    """The component of a spec with these options."""

    def hardened(options: str, *overrides: str, defaults: str = "{}") -> Any:
        return made(parse_spec(START.format(defaults, options), registry, overrides=overrides).step("c"), registry)

    return hardened


@pytest.fixture
def said(registry: Registry) -> Callable[..., str]:
    def told(options: str, *overrides: str, defaults: str = "{}", uses: str = "hardened") -> str:
        text = START.format(defaults, options).replace("hardened", uses)
        with pytest.raises(SpecError) as caught:
            parse_spec(text, registry, path=Path("s.yaml"), overrides=overrides)
        return str(caught.value)

    return told


START = """\
version: 1
defaults: {}
steps:
  d: {{uses: dataset/drawn}}
  c:
    uses: classifier/hardened
    with:
      {}
"""


def test_its_value_is_the_component_with_its_options(hardened: Callable[..., Any]) -> None:
    made = hardened("attack: {uses: attacker/pgd, with: {steps: 7, eps: [8/255]}}")
    assert (made.attack.kind, made.attack.steps, made.attack.eps) == ("attacker", 7, (8 / 255,))
    assert entry_of(made.attack).uses == "attacker/pgd"


def test_short_forms_defaults_lists_mappings_unions_and_null(hardened: Callable[..., Any]) -> None:
    made = hardened("judges: [attacker/pgd, {uses: attacker/twice, with: {first: attacker/pgd}}]")
    assert isinstance(made.attack, Attacker)
    assert (made.attack.steps, made.cam, made.size) == (10, None, "auto")
    assert [type(one).__name__ for one in made.judges] == ["Pgd", "Twice"]
    made = hardened("{cam: explainer/cam, shown: {by: {one: explainer/cam}}, size: attacker/pgd}")
    assert list(nested(made)) == ["attack", "cam", "shown.by.one", "size"]


def test_components_are_found_however_deep_they_are_named(hardened: Callable[..., Any]) -> None:
    inner = "{uses: attacker/twice, with: {first: {uses: attacker/pgd, with: {steps: 2}}}}"
    made = hardened(f"judges: [{{uses: attacker/twice, with: {{first: {inner}}}}}]")
    found = nested(made)
    assert list(found) == [
        *("attack", "judges[0]", "judges[0].with.first", "judges[0].with.first.with.first"),
    ]
    assert found["judges[0].with.first.with.first"].steps == 2


def test_what_it_names_may_draw_where_it_does_not_itself(hardened: Callable[..., Any]) -> None:
    made = hardened("judges: [{uses: attacker/twice, with: {first: attacker/pgd}}]").judges[0]
    described = describe(made, manifest_of(entry_of(made), type(made)))
    assert (described.draws, described.any_draws) == (False, True)


def test_a_use_only_one_is_no_part_of_fit(hardened: Callable[..., Any]) -> None:
    made = hardened("cam: explainer/cam")
    assert use_only(type(made)) == {"cam", "test_curve"}
    assert "cam" not in made.for_fit().__dict__


def test_an_assignment_reaches_into_it_and_into_its_short_form(hardened: Callable[..., Any]) -> None:
    assert hardened("attack: {uses: attacker/pgd}", "c.with.attack.with.steps=3").attack.steps == 3
    assert hardened("attack: attacker/pgd", "c.with.attack.with.steps=3").attack.steps == 3
    assert hardened("judges: [attacker/pgd]", "c.with.judges.0.with.steps=3").judges[0].steps == 3


def test_an_assignment_reaches_into_what_is_there_without_it(
    hardened: Callable[..., Any], said: Callable[..., str]
) -> None:
    """The default of the class, or of the spec, whose other options stay."""
    assert hardened("epochs: 2", "c.with.attack.with.steps=3").attack.steps == 3
    of_spec = "{classifier/hardened: {attack: {uses: attacker/pgd, with: {steps: 4}}}}"
    made = hardened("epochs: 2", "c.with.attack.with.alpha=0.25", defaults=of_spec)
    assert (made.attack.steps, made.attack.alpha) == (4, 0.25)
    within = "{attacker/twice: {first: {uses: attacker/pgd, with: {steps: 4}}}}"
    made = hardened("attack: attacker/twice", "c.with.attack.with.first.with.alpha=0.25", defaults=within)
    assert (made.attack.first.steps, made.attack.first.alpha) == (4, 0.25)
    told = said("epochs: 2", "c.with.attack.with.stepz=3")
    assert told.startswith("from --set c.with.attack.with.stepz=3: attacker/pgd has no option stepz")
    assert "option cam does not say which explainer it uses" in said("epochs: 2", "c.with.cam.with.method=gradcam")


def test_it_has_the_specs_defaults_of_its_component(hardened: Callable[..., Any]) -> None:
    made = hardened("judges: [{uses: attacker/pgd, with: {steps: 4}}]", defaults="{attacker/pgd: {steps: 3}}")
    assert (made.attack.steps, made.judges[0].steps) == (3, 4)


def test_relative_paths_in_it_start_at_the_specs_folder(registry: Registry, tmp_path: Path, made: Any) -> None:
    (tmp_path / "w.pt").touch()

    class Student(Classifier):
        """Names a classifier."""

        teacher: ComponentOption[Classifier] = Field(description="Whose network.")

        def fit(self, train: Any, val: Any, ctx: Any) -> None:
            return None

    more = Registry([])
    more.register("net", registry.get("classifier/net"))
    more.register("drawn", registry.get("dataset/drawn"))
    more.register("student", Student)
    options = {"teacher": {"uses": "classifier/net", "with": {"weights": "w.pt"}}}
    steps = {"d": {"uses": "dataset/drawn"}, "c": {"uses": "classifier/student", "with": options}}
    net = made(from_dict({"version": 1, "steps": steps}, more, base=tmp_path).step("c"), more)
    assert net.teacher.weights == (tmp_path / "w.pt").resolve()
    told = net.model_dump(mode="json", context={"relative_to": tmp_path.resolve()})
    assert told["teacher"]["with"]["weights"] == "w.pt"


def test_the_filled_in_spec_says_the_same(registry: Registry, made: Any) -> None:
    options = (
        "{attack: attacker/pgd, judges: [{uses: attacker/twice, with: {first: attacker/pgd}}], cam: explainer/cam}"
    )
    spec = parse_spec(START.format("{}", options), registry)
    told = spec.resolved()
    assert told["steps"]["c"]["with"]["attack"]["uses"] == "attacker/pgd"
    again = from_dict(told, registry).step("c")
    assert again.described == spec.step("c").described
    assert made(again, registry) == made(spec.step("c"), registry)


def test_in_python_it_takes_a_component_and_goes_through_json(registry: Registry) -> None:
    pgd: Any = registry.get("attacker/pgd")(steps=3)
    made: Any = registry.create("classifier/hardened", attack=pgd)
    assert (made.attack, pgd._entry) == (registry.create("classifier/hardened", attack=pgd).attack, None)
    told = made.model_dump_json()
    assert type(made).model_validate_json(told, context={"registry": registry}) == made
    with pytest.raises(ValidationError, match="Hardened stands where an attacker is wanted"):
        registry.create("classifier/hardened", attack=made)
    with pytest.raises(ValidationError, match="Pgd is declared by no installed package"):
        type(made)(attack=pgd)


def test_what_is_wrong_is_one_line_in_python_too(registry: Registry) -> None:
    with pytest.raises(ValidationError) as caught:
        registry.create("classifier/hardened", attack={"uses": "attacker/pgd", "with": {"stepz": 1, "steps": 0}})
    (error,) = caught.value.errors()
    assert error["loc"] == ("attack",)
    assert error["msg"].startswith("attacker/pgd: steps: Input should be greater than or equal to 1; stepz: Extra")
    with pytest.raises(ValidationError, match=r"no component attacker/pdg is installed. Did you mean attacker/pgd\?"):
        registry.create("classifier/hardened", attack="attacker/pdg")


def test_only_an_interface_may_be_asked_for() -> None:
    with pytest.raises(TypeError, match=r"ComponentOption takes one of DatasetReader, .*Attacker, not <class 'int'>"):
        ComponentOption[int]


#: Options; what the caret stands under; the message; the hint.
CASES = [
    ("attack: attacker/pdg", "attacker/pdg", "no component attacker/pdg is installed", "Did you mean attacker/pgd?"),
    ("attack: {uses: attacker/pdg}", "attacker/pdg", "no component attacker/pdg is installed", "Did you mean"),
    ("attack: pgd", "pgd", "no component pgd is installed", "Did you mean attacker/pgd?"),
    (
        "attack: attacker/fgsm",
        "attacker/fgsm",
        "no component attacker/fgsm is installed",
        "Install it: pip",
    ),
    (
        "attack: explainer/cam",
        "explainer/cam",
        "explainer/cam stands where an attacker is wanted",
        "Write attack:",
    ),
    (
        "cam: {uses: attacker/pgd}",
        "attacker/pgd",
        "attacker/pgd stands where an explainer is wanted",
        "Write cam:",
    ),
    ("attack: attacker/broken", "attacker/broken", "attacker/broken (fgic-broken 1.0): failed to load", "Reinstall"),
    ("attack: 3", "3", "option attack should be an attacker, not 3", "Write attack: {uses: attacker/name"),
    ("attack: {uses: 3}", "3", "uses should be kind/name, not 3", "Write attack:"),
    ("attack: ''", "''", "option attack should be an attacker, not ''", "Write attack: {uses: attacker/name"),
    ("attack: {uses: ''}", "''", "uses should be kind/name, not ''", "Write attack:"),
    ("attack: {with: {steps: 3}}", "{w", "option attack does not say which attacker it uses", "Write attack:"),
    ("either: {uses: explainer/cam, with: {method: x}}", "x}", "option either.with.method should be", ""),
    ("either: {uses: attacker/pgd, with: {stepz: 3}}", "stepz", "attacker/pgd has no option stepz", "steps?"),
    ("either: attacker/pdg", "attacker/pdg", "no component attacker/pdg is installed", "Did you mean attacker/pgd?"),
    (
        "either: classifier/net",
        "cl",
        "classifier/net stands where an attacker or an explainer is wanted",
        "Write either",
    ),
    ("either: 3", "3", "option either should be an attacker or an explainer, not 3", "Write either:"),
    ("either: {}", "{}", "option either does not say which attacker or explainer it uses", "Write either:"),
    ("attack: {}", "{}", "option attack does not say which attacker it uses", "Write attack:"),
    ("attack: {use: attacker/pgd}", "use:", "option attack has no use", "Did you mean uses?"),
    ("attack: {uses: attacker/pgd, steps: 3}", "steps", "option attack has no steps", "Options stand under with"),
    ("attack: {uses: attacker/pgd, with: 3}", "3", "with should be a mapping from options to values, not 3", "Write"),
    ("attack: {uses: attacker/pgd, with: {stepz: 3}}", "stepz", "attacker/pgd has no option stepz", "steps?"),
    ("attack: {uses: attacker/pgd, with: {steps: x}}", "x}", "option attack.with.steps should be a whole number", ""),
    ("attack: {uses: attacker/pgd, with: {steps: true}}", "true", "option attack.with.steps should be a number", ""),
    (
        "attack: {uses: attacker/twice, with: {}}",
        "with",
        "attacker/twice needs the option first",
        "first: Comes first.",
    ),
    ("attack: attacker/twice", "attacker/twice", "attacker/twice needs the option first", "first: Comes"),
    ("judges: [attacker/pgd, {uses: explainer/cam}]", "explainer/cam", "explainer/cam stands where", "Write {uses"),
    (
        "shown: {by: {one: {uses: explainer/cam, with: {method: cam}}}}",
        "cam}}",
        "shown.by.one.with.method should be",
        "",
    ),
    ("size: {uses: attacker/pgd, with: {steps: 0}}", "0", "option size.with.steps should be at least 1, not 0", ""),
    (
        "attack: {uses: attacker/twice, with: {first: {uses: attacker/pgd, with: {alpha: 2}}}}",
        "2}",
        "option attack.with.first.with.alpha is 2, but images are in [0, 1]",
        "",
    ),
]


@pytest.mark.parametrize(("options", "under", "message", "hint"), CASES)
def test_what_is_wrong_is_said_once_where_it_stands(
    options: str, under: str, message: str, hint: str, said: Callable[..., str]
) -> None:
    told = said(options)
    place, _, text = told.partition(": ")
    assert place == f"s.yaml:8:{7 + options.index(under)}"
    assert message in text.splitlines()[0]
    assert hint in text.splitlines()[-1]
    assert told.count("s.yaml") == 1


def test_everything_is_said_at_once(said: Callable[..., str]) -> None:
    told = said(
        "{epochs: 0, attack: {uses: attacker/pgd, with: {stepz: 1, steps: 0, eps: []}}, "
        "judges: [attacker/nope, {uses: attacker/pgd, with: {steps: many}}], cam: 3}"
    )
    assert told.count("s.yaml:8:") == 7


def test_of_a_default_that_cannot_be_had_the_option_is_named(said: Callable[..., str], registry: Registry) -> None:
    """The component itself loads: another one may be asked for."""
    assert "the default of attack: no component attacker/nowhere is installed" in said(
        "val_fraction: 0.1", uses="lacking"
    )
    assert registry.create("classifier/lacking", attack="attacker/pgd")


def test_what_the_specs_defaults_have_wrong_is_said_at_the_defaults(said: Callable[..., str]) -> None:
    assert said("attack: attacker/pgd", defaults="{attacker/pgd: {steps: true}}").startswith(
        "s.yaml:2:34: option attack"
    )
    assert said("epochs: 3", defaults="{attacker/pgd: {steps: 0}}").startswith("s.yaml:2:34: option attack.with.steps")


def test_what_an_assignment_has_wrong_is_said_at_the_assignment(said: Callable[..., str]) -> None:
    told = said("attack: attacker/pgd", "c.with.attack.with.steps=0")
    assert told.startswith("from --set c.with.attack.with.steps=0: option attack.with.steps should be at least 1")


def test_the_schema_has_what_is_installed_in_its_place(registry: Registry) -> None:
    schema = spec_schema(registry)
    options = schema["$defs"]["classifier.hardened"]["properties"]
    assert options["attack"]["$ref"] == options["judges"]["items"]["$ref"] == "#/$defs/any-attacker"
    assert options["attack"]["description"] == "Makes them."
    short, mapping = schema["$defs"]["any-attacker"]["anyOf"]
    assert [one["const"] for one in short["anyOf"]] == ["attacker/pgd", "attacker/twice"]
    rules = {rule["if"]["properties"]["uses"]["const"]: rule["then"] for rule in mapping["allOf"]}
    assert rules["attacker/pgd"] == {"properties": {"with": {"$ref": "#/$defs/attacker.pgd"}}}
    assert "any-classifier" not in schema["$defs"]
    assert "x-fgic-kind" not in str(schema)
