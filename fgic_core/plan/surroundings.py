"""Whether a module looks at its surroundings when it is imported: a default made so is another one elsewhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator

#: What says where a process runs, and as whom, by the last part of its name.
_SURROUNDINGS = {
    *("environ", "environb", "getenv", "getcwd", "getcwdb", "cwd", "home", "expanduser", "expandvars"),
    *("gethostname", "getlogin", "getuser", "cpu_count", "uname", "gettempdir"),
}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def looks_around(tree: ast.AST) -> bool:
    """Whether what runs at import, bodies of classes among it, names such a thing.

    A function counts where what runs at import names it: it may be called there. What a decorator wraps is none.
    """
    at_import = list(_at_import(tree))
    named = {word for node in at_import if (word := _word(node))}
    functions = [one for one in ast.walk(tree) if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))]
    called = [node for one in functions if one.name in named for node in ast.walk(one)]
    return any(_word(node) in _SURROUNDINGS for node in [*at_import, *called])


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _FUNCTIONS):  # its defaults and decorators are made at import
            about = [*child.args.defaults, *filter(None, child.args.kw_defaults)]
            about += child.decorator_list if not isinstance(child, ast.Lambda) else []
            for one in about:
                yield one
                yield from _at_import(one)
            continue
        yield child
        yield from _at_import(child)


def _word(node: ast.AST) -> str:
    """The name that an expression ends with."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) else ""
