"""What holds for a component of any kind."""

from __future__ import annotations

import pickletools
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from fgic_core.kinds.component import Component, plain_paths
from fgic_core.kinds.table import KINDS, named
from fgic_core.testing.ports import check_given, tiny_inputs

#: Packages that importing a component's module must not import, because checking a spec imports the module.
HEAVY = (
    *("torch", "torchvision", "timm", "mmdet", "mmengine", "mmcv", "mmagic", "onnxruntime", "diffusers"),
    *("matplotlib", "scipy", "cv2", "pandas", "pycocotools", "sahi", "torch_fidelity"),
)


def assert_saved_alike(save: Callable[[Path], None], folder: Path) -> None:
    """Fail where saving the same twice gives other bytes, by which a step that reads the file would get another key.

    safetensors writes several entries of metadata in random order; `fgic_core.save_weights` writes one.
    """
    seen = []
    for number in range(4):
        place = folder / f"again-{number}"
        place.mkdir()
        save(place)
        seen.append({file.relative_to(place): file.read_bytes() for file in place.rglob("*") if file.is_file()})
    differing = {
        str(name) for one in seen for name in one.keys() | seen[0].keys() if one.get(name) != seen[0].get(name)
    }
    assert not differing, f"saved again, {', '.join(sorted(differing))} has other bytes"


def assert_no_pickle(folder: Path) -> None:
    """Fail where a file holds a pickle, whatever its name is: reading it would run what it says."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        assert file.suffix not in {".pt", ".pth", ".pkl", ".pickle", ".bin"}, f"{file.name}: use safetensors and JSON"
        if zipfile.is_zipfile(file):  # as torch.save and numpy.savez write
            with zipfile.ZipFile(file) as archive:
                contents = {name: archive.read(name) for name in archive.namelist()}
        else:
            contents = {file.name: file.read_bytes()}
        held = [name for name, content in contents.items() if _is_pickle(content)]
        assert not held, f"{file.name} holds a pickle ({held[0]}): use safetensors and JSON"


def _is_pickle(content: bytes) -> bool:
    if content.startswith(b"\x93NUMPY"):
        return b"'|O'" in content[:256]  # an array of objects is a pickle behind its header
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escape sequences that are none
            for _ in pickletools.genops(content):
                pass
    except Exception:  # what is no pickle fails in any way
        return False
    return True


@lru_cache
def _heavy_imports(module: str, path: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """A process that imports a module and prints which of `HEAVY` it has then: one for all components of the module."""
    code = f"import sys; import {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    program = f"import sys; sys.path[:0] = {list(path)!r}; {code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603


class ComponentSuite:
    """Options, help, and a cheap import. Override the fixture `component`, and where need be `inputs`."""

    _inputs: Mapping[str, Any] = {}

    @pytest.fixture
    def inputs(self, component: Component, tmp_path: Path) -> Mapping[str, Any]:
        """What the ports are given that the component has beyond its kind's; see `fgic_core.testing.tiny_inputs`.

        Override it for a component that cannot learn from small models of random weights. The classes are those of
        `tiny_dataset`; a port that is left out has no step.
        """
        return tiny_inputs(component, tmp_path / "inputs")

    @pytest.fixture(autouse=True)
    def _given(self, component: Component, inputs: Mapping[str, Any]) -> None:
        check_given(component, inputs)
        self._inputs = inputs

    @pytest.fixture
    def component(self) -> Component:
        """The component under test, with the options it is tested with."""
        raise NotImplementedError(f"{type(self).__name__} must give its component: override the fixture `component`")

    def test_it_is_of_a_kind_that_is_installed(self, component: Component) -> None:
        row = KINDS[component.kind]
        assert isinstance(component, row.interface)
        named_there = [f"{row.driver}:{'use' if row.fit else 'run'}", *(one.open for one in row.artifacts if one.open)]
        named_there += [f"{row.fit}:lessons", f"{row.fit}:fit"] if row.fit else []
        for target in named_there:
            assert callable(named(target, f"what the kind {row.name} names", row.package)), target

    def test_it_has_a_help_text(self, component: Component) -> None:
        assert (type(component).__doc__ or "").strip(), "the class needs a docstring: it is the component's help"

    def test_every_option_is_described(self, component: Component) -> None:
        bare = [name for name, field in type(component).model_fields.items() if not field.description]
        assert not bare, f"these options have no description: {bare}"

    def test_options_that_name_files_say_so(self, component: Component) -> None:
        plain = plain_paths(type(component))
        assert not plain, f"what lies at {' and '.join(plain)} counts into no key: type it InputFile or InputFolder"

    def test_options_survive_the_trip_through_json(self, component: Component) -> None:
        again = type(component).model_validate_json(component.model_dump_json())
        assert again.model_dump(mode="json") == component.model_dump(mode="json")

    def test_an_unknown_option_is_refused(self, component: Component) -> None:
        with pytest.raises(ValueError, match="no_such_option"):
            type(component).model_validate({**component.model_dump(), "no_such_option": 1})

    def test_options_cannot_change_under_a_run(self, component: Component) -> None:
        for name in type(component).model_fields:
            with pytest.raises(ValueError, match="frozen"):
                setattr(component, name, None)

    def test_importing_its_module_is_cheap(self, component: Component) -> None:
        module = type(component).__module__
        done = _heavy_imports(module, tuple(entry for entry in sys.path if entry))
        if "ModuleNotFoundError" in done.stderr and f"No module named {module!r}" in done.stderr:
            return  # a class that was made in the test itself
        assert done.returncode == 0, done.stderr
        assert not done.stdout.split(), f"importing {module} imports {done.stdout.split()}: import them in methods"
