"""``fgic plugins`` and ``fgic plugins show``."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from pydantic import Field

from fgic_core import Attacker, Box, ComponentOption, Cropper, Epsilon, Explainer, InputFile, Size
from fgic_core.cli.plugins import print_component
from fgic_core.description import options_of
from fgic_core.description.words import describe
from fgic_core.registry import Registry

BROKEN = "raise AssertionError('mmcv is too new')\n"
GOLDEN = '''
from fgic_core import Box, Cropper, Size
from pydantic import Field

print("imported", flush=True)


class GoldenCropper(Cropper):
    """Crop to the golden rectangle around the box."""

    margin: float = Field(0.0, ge=0, description="Added on every side.")

    def region(self, box: Box, image: Size) -> Box:
        return box
'''


def row(text: str, uses: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(uses))


def words(text: str, uses: str) -> list[str]:
    """The cells of a component's row, without the first."""
    return [cell.strip() for cell in row(text, uses).split("  ") if cell.strip()][1:]


def test_the_list_names_package_version_and_summary_and_imports_nothing(fgic, install) -> None:
    install("broken-plugin", BROKEN, {"attacker": ["mean = broken_plugin:Mean"]})
    install("golden-plugin", GOLDEN, {"cropper": ["golden = golden_plugin:GoldenCropper"]})
    result = fgic("plugins")
    assert result.returncode == 0
    assert words(result.stdout, "cropper/golden") == ["golden-plugin", "1.2.3", "The golden-plugin."]
    assert words(result.stdout, "attacker/mean") == ["broken-plugin", "1.2.3", "The broken-plugin."]
    assert "imported" not in result.stdout
    assert result.stderr == ""


def test_load_says_which_fail_and_why_and_loads_the_others(fgic, install) -> None:
    install("broken-plugin", BROKEN, {"attacker": ["mean = broken_plugin:Mean"]})
    install("golden-plugin", GOLDEN, {"cropper": ["golden = golden_plugin:GoldenCropper"]})
    result = fgic("plugins", "--load")
    assert result.returncode == 1
    assert words(result.stdout, "cropper/golden")[2] == "yes"
    assert words(result.stdout, "attacker/mean")[2] == "no"
    assert "broken-plugin 1.2.3" in result.stderr
    assert "AssertionError: mmcv is too new" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_name_that_two_packages_claim_is_named_with_both(fgic, install) -> None:
    for package in ("golden-one", "golden-two"):
        install(package, GOLDEN, {"cropper": [f"golden = {package.replace('-', '_')}:GoldenCropper"]})
    result = fgic("plugins")
    assert "cropper/golden is claimed by two packages" in result.stderr
    assert "golden-one 1.2.3" in result.stderr
    assert "golden-two 1.2.3" in result.stderr


def test_what_a_package_says_of_itself_does_not_steer_the_terminal(fgic, install, site) -> None:
    install("golden-plugin", GOLDEN, {"cropper": ["golden = golden_plugin:GoldenCropper"]})
    (about,) = site.glob("golden*.dist-info/METADATA")
    about.write_text("Metadata-Version: 2.1\nName: golden-plugin\nVersion: 1.2.3\nSummary: \x1b[2JAll yours\n")
    listed = fgic("plugins").stdout
    assert "\x1b" not in listed
    assert "\\x1b[2JAll yours" in listed


def test_the_list_is_json_on_request(fgic, install) -> None:
    install("broken-plugin", BROKEN, {"attacker": ["mean = broken_plugin:Mean"]})
    rows = {found["uses"]: found for found in json.loads(fgic("plugins", "--json").stdout)}
    assert rows["attacker/mean"]["package"] == "broken-plugin"
    assert rows["attacker/mean"]["problem"] is None
    loaded = {found["uses"]: found for found in json.loads(fgic("plugins", "--load", "--json").stdout)}
    assert "mmcv is too new" in loaded["attacker/mean"]["problem"]


def test_show_of_an_unknown_component_suggests_the_nearest(fgic, install) -> None:
    install("golden-plugin", GOLDEN, {"cropper": ["golden = golden_plugin:GoldenCropper"]})
    result = fgic("plugins", "show", "cropper/goldn")
    assert result.returncode == 2
    assert "cropper/golden" in result.stderr


KIND = """
from typing import ClassVar
from fgic_core import Component, Input, Kind

class Tracker(Component):
    \"\"\"Where it went.

    And when.
    \"\"\"

    kind: ClassVar[str] = "tracker"
    inputs: ClassVar = {"dataset": Input("dataset")}
    gives: ClassVar[str] = "dataset"

TRACKER = Kind("tracker", contract="kind_plugin:Tracker", driver="kind_plugin", SUITE)

def rnu(component, inputs, ctx):
    pass
"""


def test_a_function_that_a_kind_names_and_has_not_is_found_before_a_run(fgic, install, tmp_path) -> None:
    declared = {"kind": ["tracker = kind_plugin:TRACKER"], "tracker": ["plain = kind_plugin:Tracker"]}
    source = install("kind-plugin", KIND.replace("SUITE", ""), declared)
    spec = "version: 1\nsteps:\n  d: {uses: dataset/synthetic-birds}\n  t: {uses: tracker/plain}\n"
    (tmp_path / "s.yaml").write_text(spec)
    said = (
        "kind-plugin: the driver of the kind tracker, kind_plugin, has no run\n  Did you mean rnu? It is called as run("
    )
    for command in (("plugins", "--load"), ("check", "s.yaml")):
        result = fgic(*command)
        assert said in result.stderr, command
        assert result.returncode == (1 if command[0] == "plugins" else 2)
        assert "Traceback" not in result.stderr
    assert fgic("plugins").stderr == ""
    source.write_text(KIND.replace("SUITE", 'section="kind_page"').replace("rnu", "run"))
    said = "the section of the kind tracker is to be in kind_page, and there is no such module"
    assert said in fgic("check", "s.yaml").stderr
    source.write_text(KIND.replace("SUITE", 'suite="kind_plugin:Suite"').replace("rnu", "run"))
    assert "the suite of the kind tracker, kind_plugin, has no Suite" in fgic("plugins", "--load").stderr
    source.write_text(KIND.replace("SUITE", "").replace("rnu", "run"))
    assert fgic("plugins", "--load").stderr == ""
    source.write_text("1 / 0")
    said = "kind-plugin: the kind tracker cannot be imported (kind_plugin:TRACKER): ZeroDivisionError"
    assert fgic("plugins", "--load").stderr.count(said) == 1


def test_a_kind_by_the_name_of_the_cores_is_said_not_to_be_used(fgic, install) -> None:
    install("kind-plugin", KIND, {"kind": ["cropper = kind_plugin:TRACKER"]})
    result = fgic("plugins")
    assert result.returncode == 0
    assert "kind-plugin: the kind cropper is fgic's own; what kind-plugin declares by that name is not used" in (
        result.stderr
    )
    assert fgic("plugins", "--load").returncode == 1


def test_what_a_package_does_not_say_of_itself_its_components_help_does(fgic, install, site) -> None:
    install("golden-plugin", GOLDEN, {"cropper": ["golden = golden_plugin:GoldenCropper"]})
    (about,) = site.glob("golden*.dist-info/METADATA")
    about.write_text("Metadata-Version: 2.1\nName: golden-plugin\nVersion: 1.2.3\n")
    result = fgic("plugins")
    assert words(result.stdout, "cropper/golden")[2] == "Crop to the golden rectangle around the box."
    assert "imported" not in result.stdout


class Rounded(Attacker):
    """Perturb and round.

    Rounding hides the gradient.
    """

    optimiser: Literal["sgd", "adamw"] = Field("sgd", description="How it descends.")
    steps: int = Field(..., ge=1, description="How many steps.")
    patch: InputFile | None = Field(None, description="A picture with [brackets] to add.")

    def perturb(self, network, images, labels, eps, generator):
        return images


class TestShow:
    @pytest.fixture
    def registry(self) -> Registry:
        registry = Registry([])
        registry.register("rounded", Rounded)
        return registry

    def shown(self, registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.delenv("COLUMNS", raising=False)
        print_component("attacker/rounded", False, registry)
        return capsys.readouterr().out

    def test_it_prints_the_docstring_and_what_it_takes_and_gives(self, registry, capsys, monkeypatch) -> None:
        text = self.shown(registry, capsys, monkeypatch)
        assert "attacker/rounded" in text
        assert "takes model, dataset, gives robustness" in text
        assert "Rounding hides the gradient." in text

    def test_options_have_types_defaults_and_descriptions(self, registry, capsys, monkeypatch) -> None:
        text = self.shown(registry, capsys, monkeypatch)
        assert row(text, "optimiser").split() == ["optimiser", "sgd", "|", "adamw", "sgd", "How", "it", "descends."]
        assert row(text, "steps").split() == ["steps", "integer", ">=", "1", "required", "How", "many", "steps."]
        assert "A picture with [brackets] to add." in text

    def test_options_of_the_interface_are_marked_and_come_last(self, registry, capsys, monkeypatch) -> None:
        text = self.shown(registry, capsys, monkeypatch)
        assert "[0, 1/255, 2/255, 4/255]" in row(text, "eps *")
        assert text.index("patch") < text.index("norm *")
        assert "* an option that every component of this kind has" in text

    def test_json_holds_the_same(self, registry, capsys) -> None:
        print_component("attacker/rounded", True, registry)
        found = json.loads(capsys.readouterr().out)
        options = {option["name"]: option for option in found["options"]}
        assert options["steps"] == {
            "name": "steps",
            "type": "integer >= 1",
            "required": True,
            "default": None,
            "description": "How many steps.",
            "core": False,
        }
        assert options["eps"]["default"] == [0.0, 0.00392157, 0.00784314, 0.0156863]
        assert options["eps"]["core"] is True


class TestTypesInWords:
    @pytest.mark.parametrize(
        ("annotation", "words"),
        [
            (bool, "true | false"),
            (int | None, "integer | null"),
            (Literal["a", "b"] | None, "a | b | null"),
            (list[str], "list of text"),
            (tuple[int, int], "[integer, integer]"),
            (dict[str, float], "mapping of text to number"),
            (list[int | None], "list of (integer | null)"),
            (InputFile, "path of a file"),
            (ComponentOption[Attacker], "attacker/name | {uses: attacker/name, with: {...}}"),
            (ComponentOption[Explainer] | None, "explainer/name | {uses: explainer/name, with: {...}} | null"),
            (list[ComponentOption[Attacker]], "list of (attacker/name | {uses: attacker/name, with: {...}})"),
        ],
    )
    def test_an_annotation_reads_as_what_a_spec_may_hold(self, annotation, words) -> None:
        assert describe(annotation) == words

    def test_bounds_stand_with_the_type(self) -> None:
        class Bounded(Cropper):
            share: float = Field(0.5, ge=0, lt=1)
            sizes: tuple[int, ...] = Field((1,), min_length=1)
            most: int | None = Field(None, gt=0)
            strength: Epsilon
            weights: InputFile

            def region(self, box: Box, image: Size) -> Box:
                return box

        found = {option.name: option.type for option in options_of(Bounded)}
        assert found["share"] == "number in [0, 1)"
        assert found["sizes"] == "list of integer, not empty"
        assert found["most"] == "integer > 0 | null"
        assert found["strength"] == "number in [0, 1] or n/255"
        assert found["weights"] == "path of a file"

    def test_perturbation_sizes_say_that_fractions_are_legal(self) -> None:
        found = {option.name: option.type for option in options_of(Rounded)}
        assert found["eps"] == "list of (number in [0, 1] or n/255), not empty"
        assert found["patch"] == "path of a file | null"
