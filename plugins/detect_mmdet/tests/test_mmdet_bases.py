"""What a config is based on counts: it is found as MMEngine finds it, without MMEngine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fgic_detect_mmdet import MmdetDetector
from fgic_detect_mmdet._config import read_config
from fgic_detect_mmdet._shipped import shipped_configs
from mmengine.config import Config
from mmengine.fileio.handlers import yaml_handler

from fgic_core import PluginError

MODEL = "model = dict(type='X')\n"
SHIPPED = "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"
LAZY = "from mmengine.config import read_base\n\nwith read_base():\n    "


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("c.py", {"c.py": "_base_ = './b.py'\n", "b.py": MODEL}),
        ("sub/c.py", {"sub/c.py": "_base_ = ['../b.py', 'd.yaml']\n", "b.py": MODEL, "sub/d.yaml": "x: 1\n"}),
        ("c.py", {"c.py": "_base_ = ['b' + '.py'] + ['d.json']\n", "b.py": MODEL, "d.json": '{"x": 1}'}),
        ("c.py", {"c.py": "_base_ = 'b.py'\n", "b.py": "_base_ = 'far/a.yaml'\n", "far/a.yaml": "model: {type: X}\n"}),
        ("c.yaml", {"c.yaml": "_base_: [b.yml, ./far/d.py]\n", "b.yml": "model: {type: X}\n", "far/d.py": "x = 1\n"}),
        ("c.json", {"c.json": '{"_base_": "b.json"}', "b.json": '{"model": {"type": "X"}}'}),
        (
            "c.py",
            {"c.py": "_base_ = '{{ fileDirname }}/{{fileBasenameNoExtension}}2{{fileExtname}}'\n", "c2.py": MODEL},
        ),
        ("c.py", {"c.py": "_base_ = '{{$FGIC_NO_SUCH:b.py}}'\nx = {{_base_.model.type}}\n", "b.py": MODEL}),
        ("c.py", {"c.py": "_base_ = '{{$FGIC_A_BASE:none.py}}'\n", "b.py": MODEL}),
        ("c.py", {"c.py": f"{LAZY}from .b import *\n", "b.py": MODEL}),
        (
            "sub/c.py",
            {
                "sub/c.py": f"{LAZY}from ..far.b import *\n",
                "far/b.py": f"{LAZY}from .a import model\n",
                "far/a.py": MODEL,
            },
        ),
    ],
)
def test_every_file_that_mmengine_reads_counts(
    own: str, files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FGIC_A_BASE", "b.py")
    write(tmp_path, files)
    assert Config.fromfile(str(tmp_path / own)).model.type == "X"
    wanted = sorted(tmp_path / name for name in files if name != own)
    assert list(MmdetDetector(config_file=tmp_path / own).reads()) == wanted


def test_the_folder_stands_for_bases_that_only_a_run_would_tell(tmp_path: Path) -> None:
    write(tmp_path, {"c.py": "_base_ = [f'./{one}.py' for one in 'bd']\n", "b.py": MODEL, "d.py": "x = 1\n"})
    assert Config.fromfile(str(tmp_path / "c.py")).x == 1
    assert list(MmdetDetector(config_file=tmp_path / "c.py").reads()) == [tmp_path]


@pytest.mark.parametrize(
    "text",
    [
        "_base_ = 3\n",
        "_base_ = 'a' + 1\n",
        "_base_ = 'c.py'\n",
        "def f(:",
        "_base_ = 'pipe.py'\n",
    ],
)
def test_what_cannot_be_read_is_left_to_who_reads_it(text: str, tmp_path: Path, pipe: Callable[[Path], Path]) -> None:
    pipe(tmp_path / "pipe.py")
    write(tmp_path, {"c.py": text})
    assert list(MmdetDetector(config_file=tmp_path / "c.py").reads()) == []


def test_a_base_that_is_not_there_is_named_for_it_may_come(tmp_path: Path) -> None:
    write(tmp_path, {"c.py": "_base_ = 'none.py'\n"})
    detector = MmdetDetector(config_file=tmp_path / "c.py")
    assert list(detector.reads()) == [tmp_path / "none.py"]
    write(tmp_path, {"none.py": "_base_ = 'more.py'\n"})
    assert list(detector.reads()) == [tmp_path / "more.py", tmp_path / "none.py"]


@pytest.mark.parametrize(
    ("text", "doubts"),
    [
        ("base = dict(depth=18)\nmodel = dict(**base, x=[2 * one for one in range(3)])\nbase.update(y=1)\n", []),
        ("import math\nfrom mmdet.models import RetinaNet\nmodel = dict(type=RetinaNet, x=math.pi)\n", []),
        ("_base_ = 'mmdet::_base_/default_runtime.py'\nx = {{_base_.log_level}}\n", []),
        (f"{LAZY}from mmdet.configs._base_.default_runtime import *\n", []),
        ("def f(a):\n    return max(a, 1)\n\n\nx = f(2) if f else ''.join(['a'])\n", []),
        ("from mmdet.models import RetinaNet\nmodel = {'type': RetinaNet}\nprint(type(model))\n", []),
        ("x = 1\nimport os\n", ["it imports os (c.py:2)"]),
        ("from my_heads import Head\n", ["it imports my_heads (c.py:1)"]),
        ("from .heads import Head\n", ["it imports .heads (c.py:1)"]),
        ("x = open('y').read()\n", ["it uses open (c.py:1)"]),
        ("x = list(map(eval, ['1']))\n", ["it uses eval (c.py:1)"]),
        ("x = __file__\n", ["it uses __file__ (c.py:1)"]),
        ("x = ().__class__\n", ["it uses __class__ (c.py:1)"]),
        ("import torch\nx = torch.load('y')\n", ["it calls torch.load (c.py:2)"]),
        ("from mmengine import Config\nf = Config.fromfile\n", ["it uses Config.fromfile (c.py:2)"]),
        ("import mmengine\nx = list(map(mmengine.load, ['y']))\n", ["it uses mmengine.load (c.py:2)"]),
        ("from mmengine import load\nx = dict(type=load, file='y')\n", ["it uses load (c.py:2)"]),
        ("from mmdet.models import RetinaNet\nx = {'y': RetinaNet}\n", ["it uses RetinaNet (c.py:2)"]),
        ("from mmengine.fileio import *\n", ["it imports all of mmengine.fileio (c.py:1)"]),
        ("def f(open=None):\n    pass\n\n\nx = open('y')\n", ["it uses open (c.py:5)"]),
        ("f = lambda eval: 1\nx = eval('y')\n", ["it uses eval (c.py:2)"]),
        ("import typing\nx = typing.sys\n", ["it uses typing.sys (c.py:2)"]),
        ("from typing import sys\n", ["it imports typing.sys (c.py:1)"]),
        ("import typing\nx = [typing]\n", ["it uses typing (c.py:2)"]),
        ("x = '{{$FGIC_A_NAME:b}}'\n", ["it depends on $FGIC_A_NAME of the environment (c.py:1)"]),
        ("_base_ = 'b.py'\n", ["it imports random (b.py:1)"]),
        ("_base_ = [f'./{one}.py' for one in 'b']\n", ["what c.py is based on is not known before it runs"]),
        ("def f(:", []),
    ],
)
def test_what_only_running_a_config_would_tell_is_said(text: str, doubts: list[str], tmp_path: Path) -> None:
    write(tmp_path, {"c.py": text, "b.py": "import random\n"})
    told = list(MmdetDetector(config_file=tmp_path / "c.py").untraced())
    assert told == [f"the config is a program: {doubt}" for doubt in doubts]


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("c.py", "model = dict(type='mmdet.RetinaNet', x=dict(type='torch.nn.ReLU', arch='regnetx_3.2gf'))\n", []),
        ("c.py", "ann = 'test.json'\nx = {f'backbone.{one}.norm': 1 for one in [1]}\ny = f'{ann}.json'\n", []),
        ("c.py", "x = 1\nmodel = dict(type='none_such.Net')\n", ["none_such.Net (c.py:2)"]),
        ("c.py", "model = {'x': [{'type': 'none_such.Net'}]}\n", ["none_such.Net (c.py:1)"]),
        ("c.py", "x = 'json.loads'\nmodel = dict(type=x)\n", ["json.loads (c.py:1)"]),
        ("c.py", "x = 'js'\nmodel = dict(type=x + 'on.loads')\n", ["x + 'on.loads' (c.py:2)"]),
        ("c.py", "x = 'js'\nmodel = dict(type=f'{x}on.loads')\n", ["f'{x}on.loads' (c.py:2)"]),
        ("c.py", "x = '.loads'\n", [".loads (c.py:1)"]),
        ("c.py", "model = dict(_scope_='none_such', type='Net')\n", ["none_such (c.py:1)"]),
        ("c.py", "_base_ = 'b.yaml'\n", ["none_such.Net (b.yaml:2)"]),
        ("c.yaml", "model:\n  - {x: {type: none_such.Net}}\n", ["none_such.Net (c.yaml:2)"]),
        ("c.json", '{"model": {"type": "none_such.Net"}}', ["none_such.Net (c.json:1)"]),
        ("c.json", '{"model": {"type": "RetinaNet"}}', []),
    ],
)
def test_code_that_a_config_names_and_no_key_holds_is_said(
    name: str, text: str, named: list[str], tmp_path: Path
) -> None:
    """MMEngine imports what it does not find in its registries: ``type: ownnet.Net`` is a module of the user's."""
    write(tmp_path, {"b.yaml": "model:\n  type: none_such.Net\n", name: text})
    told = list(MmdetDetector(config_file=tmp_path / name).untraced())
    assert told == [f"the config names code that is in no key: {one}" for one in named]


def test_code_that_overrides_name_is_said() -> None:
    told = MmdetDetector(overrides={"model.backbone.type": "none_such.Net", "+model": {"neck": [{"type": "FPN"}]}})
    assert list(told.untraced()) == ["overrides name none_such.Net, whose code is in no key"]


def test_plain_configs_of_mmdet_are_not_doubted(tmp_path: Path) -> None:
    """Copies of what it ships, every twentieth; some name classes of mmpretrain, whose version is in no key."""
    shipped = sorted(set(shipped_configs().values()))
    folder = tmp_path / "configs"
    shutil.copytree(shipped[0].parents[1], folder)
    seen = [folder / file.relative_to(shipped[0].parents[1]) for file in shipped[::20]]
    assert len(seen) > 20
    for config in seen:
        assert [one for one in MmdetDetector(config_file=config).untraced() if ": mmpretrain." not in one] == [], config


@pytest.mark.parametrize("own", ["c.yaml", "far.yaml"])
def test_no_yaml_builds_an_object(own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MMEngine's own loader would, in the config and in its bases."""
    monkeypatch.chdir(tmp_path)
    before = yaml_handler.Loader
    text = "model: {type: X}\nx: !!python/object/apply:os.mkdir ['made']\n"
    write(tmp_path, {"c.yaml": text, "far.yaml": "_base_: c.yaml\n"})
    write(tmp_path, {"d.yaml": "_base_: !!python/object/apply:os.mkdir ['made']\n"})
    for name in (own, "d.yaml"):
        detector = MmdetDetector(config_file=tmp_path / name)
        assert tmp_path / "made" not in detector.reads()
        with pytest.raises(PluginError, match="cannot be read: ConstructorError"):
            read_config(detector)
    assert not Path("made").exists()
    assert yaml_handler.Loader is before


@pytest.mark.parametrize(
    ("name", "home", "text"),
    [
        ("c.yaml", ".", f"_base_: '{SHIPPED}'\nx: !!python/tuple [1]\n"),
        ("c.py", ".", f"_base_ = ['{SHIPPED.removesuffix('.py')}']\nx = (1,)\n"),
        ("c.py", ".", f"{LAZY}from shop.configs.far import *\n"),
        ("c.py", "site-packages", f"{LAZY}from shop.configs.far import *\n"),
    ],
)
def test_a_config_of_a_package_is_a_base(
    name: str, home: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MMEngine looks for it by a part of setuptools that is no more."""
    write(tmp_path, {name: text, f"{home}/shop/__init__.py": "", f"{home}/shop/configs/far.py": f"{MODEL}x = (1,)\n"})
    monkeypatch.syspath_prepend(str(tmp_path / home))
    monkeypatch.setitem(sys.modules, "pkg_resources", None)
    detector = MmdetDetector(config_file=tmp_path / name)
    read = read_config(detector)
    assert (read.model.type, read.x) == ("X" if "shop" in text else "FasterRCNN", (1,))
    assert {"far.py", "faster-rcnn_r50_fpn.py"} & {base.name for base in detector.reads()}
    foreign = ["the config names code that is in no key: far.py of a package"]  # whose version is in no key
    assert list(detector.untraced()) == (foreign if home == "site-packages" else [])


def test_a_config_of_a_package_that_is_not_there_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"c.yaml": "_base_: 'none_such::x/y.py'\n"})
    with pytest.raises(PluginError, match=r"none_such::x/y\.py is a config of none_such, which is not installed"):
        read_config(MmdetDetector(config_file=tmp_path / "c.yaml"))


def test_bases_are_found_without_mmengine_and_their_content_is_in_the_key(tmp_path: Path) -> None:
    write(tmp_path, {"c.py": "x = 2\n_base_ = './b.py'\n", "b.py": MODEL})
    (tmp_path / "s.yaml").write_text(
        "version: 1\nsteps:\n  d: {uses: dataset/synthetic-birds}\n"
        "  x: {uses: detector/mmdet, with: {config_file: c.py}}\n"
    )
    program = (
        "import sys\nfrom fgic_core.cli import main\nsys.argv = ['fgic', 'check', 's.yaml', '--json']\n"
        "try:\n    main()\n"
        "finally:\n    assert not {'mmengine', 'torch'} & set(sys.modules)\n"
    )

    def row() -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return {row["step"]: row for row in json.loads(done.stdout)}["x"]

    before = row()["key"]
    (tmp_path / "b.py").write_text(MODEL.replace("X", "Y") + "import os\n")
    after = row()
    assert after["key"] != before
    assert after["reason"] == "computed every time: the config is a program: it imports os (b.py:2)"
