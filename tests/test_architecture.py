"""Who may know whom: the arrows of CONTRIBUTING.md, and that none of them leads round in a circle.

Imports inside functions count; those for type checkers alone do not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/fgic_*/__init__.py"))
#: Packages without a component, for plugins to stand on.
LIBRARIES = {
    folder.name
    for folder in PLUGINS
    if '[project.entry-points."fgic.' not in (folder.parent / "pyproject.toml").read_text(encoding="utf-8")
}

#: Which files are a part of the house, by how their modules begin: the longest that fits. What follows the last dot of
#: a kind's room tells its parts apart.
PARTS = {
    "fgic_core": "names",
    "fgic_core.__main__": "cli",
    "fgic_core.errors": "errors",
    "fgic_core.hooks": "hooks",
    "fgic_core.data": "data",
    "fgic_core.metrics": "metrics",
    "fgic_core.kit": "kit",
    "fgic_core.kinds": "contracts",
    "fgic_core.steps": "steps",
    "fgic_core.points": "points",
    "fgic_core.loaded": "loaded",
    "fgic_core.contract": "registry",
    "fgic_core.registry": "registry",
    "fgic_core.nested": "registry",
    "fgic_core.description": "description",
    "fgic_core.spec": "spec",
    "fgic_core.store": "store",
    "fgic_core.plan": "plan",
    "fgic_core.run": "run",
    "fgic_core.study": "study",
    "fgic_core.report": "report",
    "fgic_core.report.page": "page",
    "fgic_core.report.study": "page",
    "fgic_core.report.study_decomposition": "page",
    "fgic_core.report.charts_study": "page",
    "fgic_core.report.study_groups": "page",
    "fgic_core.report.charts_worth": "page",
    "fgic_core.report.study_worth": "page",
    "fgic_core.report.drawing": "page",
    "fgic_core.report.drawn": "page",
    "fgic_core.report.summary": "page",
    "fgic_core.report.diagram": "page",
    "fgic_core.testing": "testing",
    "fgic_core.regions": "use",
    "fgic_core.predict": "use",
    "fgic_core.finished": "use",
    "fgic_core.pipeline": "pipeline",
    "fgic_core.cli": "cli",
}
ROOMS = {
    "contract": "contracts",
    "model": "contracts",
    "section": "sections",
    "charts": "sections",
    "training_pictures": "sections",
    "suite": "suites",
}

#: What each part may import, beside itself and `errors`.
ARROWS = {
    "errors": set(),
    "names": set(),
    "hooks": set(),
    "points": set(),
    "loaded": set(),
    "data": {"names"},  # the version, for what is written
    "metrics": set(),
    "kit": {"data", "metrics", "contracts"},
    "contracts": {"data", "kit", "points", "loaded"},
    "steps": {"data", "metrics", "kit", "contracts"},
    "drivers": {"data", "metrics", "kit", "contracts", "steps"},
    "registry": {"contracts", "points"},
    "description": {"contracts", "registry"},
    "store": {"data", "contracts", "registry", "steps"},
    "spec": {"data", "contracts", "registry", "description"},
    "plan": {"names", "loaded", "data", "contracts", "steps", "registry", "description", "spec", "store"},
    "run": {"hooks", "data", "contracts", "steps", "drivers", "registry", "spec", "store", "plan", "use"},
    "report": {"data", "contracts", "store"},
    "sections": {"data", "metrics", "contracts", "drivers", "report"},
    "study": {"data", "metrics", "contracts", "store"},
    "page": {"data", "metrics", "contracts", "report", "study"},
    "testing": {"data", "contracts", "kit", "steps"},
    "suites": {"data", "contracts", "testing"},
    "use": {"data", "kit", "contracts", "drivers", "registry", "store", "study", "run"},
    "pipeline": {"contracts", "registry", "spec", "store", "plan", "run", "use", "study", "page"},
    "cli": {"names", "hooks", "data", "contracts", "registry", "description", "spec", "store", "plan", "run"}
    | {"use", "report", "metrics", "study", "page", "pipeline"},
}


def modules_of(folder: Path) -> dict[str, Path]:
    """The files of a package, by module."""
    found = {}
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported(file: Path, modules: Mapping[str, Path]) -> set[str]:
    """The modules among these that a file imports when it runs."""
    found = set()
    for node in _run(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        else:
            names = [f"{node.module}.{name.name}" for name in node.names]
            names = [name if name in modules else str(node.module) for name in names]
        found |= {name for name in names if name in modules}
    return found


def _run(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        yield from _run(child)


def part_of(module: str) -> str:
    """The part of the house that a module belongs to."""
    if module == "fgic_core.report":  # whose one function writes the page
        return "page"
    words = module.split(".")
    if words[:2] == ["fgic_core", "kinds"] and len(words) == 4:
        return ROOMS.get(words[3], "drivers")
    return next(PARTS[name] for n in range(len(words), 0, -1) if (name := ".".join(words[:n])) in PARTS)


def circle_in(graph: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other in a ring; none if there is no such ring."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for other in sorted(graph[module]):
            if ring := visit(other, [*path, module]):
                return ring
        done.add(module)
        return []

    return next((ring for module in sorted(graph) if (ring := visit(module, []))), [])


CORE = modules_of(ROOT / "fgic_core")
GRAPH = {module: imported(file, CORE) - {module} for module, file in CORE.items()}


def test_every_arrow_of_the_core_is_one_that_is_allowed() -> None:
    wrong = [
        f"{module} ({part_of(module)}) imports {other} ({part_of(other)})"
        for module, others in GRAPH.items()
        for other in sorted(others)
        if part_of(other) not in ARROWS[part_of(module)] | {part_of(module), "errors"}
    ]
    assert not wrong, "\n".join(wrong)


def test_no_imports_of_the_core_go_round_in_a_circle() -> None:
    assert circle_in(GRAPH) == []


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_no_imports_of_a_plugin_go_round_in_a_circle(folder: Path) -> None:
    modules = modules_of(folder)
    assert circle_in({module: imported(file, modules) - {module} for module, file in modules.items()}) == []


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_imports_of_the_core_its_names_and_the_kit_and_no_other_plugin(folder: Path) -> None:
    others = {plugin.name for plugin in PLUGINS} - LIBRARIES - {folder.name}
    for file in sorted(folder.rglob("*.py")):
        for node in _run(ast.parse(file.read_text(encoding="utf-8"))):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else [str(node.module)]
            for name in names:
                top = name.partition(".")[0]
                assert top not in others, f"{file.name} imports {name}"
                assert top != "fgic_core" or name == "fgic_core" or name.startswith("fgic_core.kit"), (
                    f"{file.name} imports {name}"
                )


def test_arithmetic_knows_no_step_no_context_and_no_file() -> None:
    for file in sorted((ROOT / "fgic_core" / "metrics").glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        found = names & {"open", "Path", "read_text", "write_text", "read_bytes", "write_bytes", "ctx", "Context"}
        assert not found, f"{file.name} uses {sorted(found)}"


def test_the_rule_finds_a_circle_and_a_wrong_arrow() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert part_of("fgic_core.kinds.attacker.section") == "sections"
    assert part_of("fgic_core.kinds.attacker.gradient_masking") == "drivers"
    assert part_of("fgic_core.kinds.table") == "contracts"
