"""Text that is not YAML, or not one mapping: what is said, in full."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fgic_core import Registry
from fgic_core.spec import SpecError, load_spec, parse_spec
from fgic_core.spec.document import read, scalar
from fgic_core.spec.errors import Source

EXAMPLE = """\
  A spec has version, name, seed and steps, such as
  version: 1
  steps:
    birds: {uses: kind/name}"""

CASES = {
    "tabs": (
        "version: 1\nsteps:\n\td: 2\n\te: 3\n",
        """\
s.yaml:3:1: a tab indents this line, and YAML allows spaces only
  3 | →d: 2
    | ^
  Indent with spaces, on lines 3 and 4.""",
    ),
    "a tab after spaces": (
        "version: 1\nsteps:\n  a: 1\n  \tb: 2",
        """\
s.yaml:4:3: a tab indents this line, and YAML allows spaces only
  4 |   →b: 2
    |   ^
  Indent with spaces, on line 4.""",
    ),
    "merge conflict": (
        "version: 1\n<<<<<<< HEAD\nseed: 1\n=======\nseed: 2\n>>>>>>> theirs\nsteps: {}\n",
        """\
s.yaml:2:1: a merge conflict is not resolved
  2 | <<<<<<< HEAD
    | ^^^^^^^
  Finish the merge: keep what is right and remove the marks on lines 2, 4 and 6.""",
    ),
    "only the middle of a merge conflict is left": (
        "version: 1\n=======\nsteps: {}\n",
        """\
s.yaml:2:1: a merge conflict is not resolved
  2 | =======
    | ^^^^^^^
  Finish the merge: keep what is right and remove the marks on line 2.""",
    ),
    "empty": ("", f"s.yaml: is empty\n{EXAMPLE}"),
    "only blanks": (" \n\n", f"s.yaml: is empty\n{EXAMPLE}"),
    "only comments": ("# one\n# two\n", f"s.yaml: is empty\n{EXAMPLE}"),
    "only a document mark": ("---\n# one\n", f"s.yaml: is empty\n{EXAMPLE}"),
    "a list": (
        "- version: 1\n",
        f"s.yaml:1:1: a spec should be a mapping, not a list\n  1 | - version: 1\n    | ^\n{EXAMPLE}",
    ),
    "a sentence": (
        "hello there",
        f"s.yaml:1:1: a spec should be a mapping, not a single value\n  1 | hello there\n    | {'^' * 11}\n{EXAMPLE}",
    ),
    "two documents": (
        "version: 1\n---\nversion: 1\n",
        """\
s.yaml:2:1: a second document begins here; a spec is one document
  2 | ---
    | ^^^
  Remove the line ---, or put what follows into a file of its own.""",
    ),
    "an open bracket": (
        "version: 1\nsteps: {a: [1, 2\n",
        "s.yaml:2:12: the list that '[' opens here is never closed\n  2 | steps: {a: [1, 2\n    |            ^",
    ),
    "an open quote": (
        "version: 1\nname: 'dogs\nseed: 3\n",
        """\
s.yaml:2:7: this quote is never closed
  2 | name: 'dogs
    |       ^
  Put the same quote at the end of the text.""",
    ),
    "a missing comma": (
        "version: 1\nsteps: {a: 1 b: 2}\n",
        """\
s.yaml:2:15: a ',' or '}' is missing here
  2 | steps: {a: 1 b: 2}
    |               ^
  Close with '}' what '{' opened, and put ',' between entries.""",
    ),
    "a colon too many": (
        "name: dogs: cats\n",
        """\
s.yaml:1:11: there is a ':' too many on this line, or the line is indented too far
  1 | name: dogs: cats
    |           ^
  Put text that holds ': ' in quotes.""",
    ),
    "a crooked indent": (
        "steps:\n  a: 1\n b: 2\n",
        """\
s.yaml:3:2: this does not fit what stands before it
  3 |  b: 2
    |  ^
  Indent the lines of one mapping or list alike, and put text that goes on after a quote in quotes as a whole.""",
    ),
    "a character that begins nothing": (
        "name: @dogs\n",
        "s.yaml:1:7: this character cannot begin a value\n  1 | name: @dogs\n    |       ^\n  Put the text in quotes.",
    ),
    "a character where a value should stand": (
        "name: dogs\nsteps: {a: ]}\n",
        """\
s.yaml:2:12: a value is expected here
  2 | steps: {a: ]}
    |            ^
  Text that begins with this character needs quotes.""",
    ),
    "a text block on its own line": (
        "name: |dogs\n",
        """\
s.yaml:1:8: the text of a block that begins with | or > stands on the lines below it
  1 | name: |dogs
    |        ^
  Begin a new line here, or put the text in quotes.""",
    ),
    "a control character": (
        "name: do\x07gs\n",
        """\
s.yaml:1:9: the character '\\x07' cannot stand in YAML
  1 | name: do\N{REPLACEMENT CHARACTER}gs
    |         ^
  Remove it, or write it as an escape in double quotes.""",
    ),
    "an alias of nothing": (
        "a: &one 1\nb: *two\n",
        """\
s.yaml:2:4: *two refers to no anchor before it
  2 | b: *two
    |    ^^^^
  Anchors before it are &one.""",
    ),
    "an alias inside of its anchor": (
        "a: &one [*one]\n",
        """\
s.yaml:1:10: *one stands inside of &one
  1 | a: &one [*one]
    |          ^^^^
  Text that begins with * needs quotes.""",
    ),
    "a key that is a list": (
        "? [a]\n: 1\n",
        """\
s.yaml:1:3: a key should be a word, not a list, a mapping or an alias
  1 | ? [a]
    |   ^
  Text that begins with [, {, * or & needs quotes.""",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_text_that_is_no_spec_is_refused_with_its_position(case: str, said: Callable[..., str]) -> None:
    text, expected = CASES[case]
    assert said(text) == expected


def test_duplicate_keys_and_tags_are_told_beside_everything_else(said: Callable[..., str]) -> None:
    text = "version: 1\nseed: 1\nseed: 2\nsteps:\n  d: {uses: !!python/name:os.system dataset/drawn}\n  d: {}\n"
    assert (
        said(text)
        == """\
s.yaml:3:1: seed is here twice; the first is on line 2
  3 | seed: 2
    | ^^^^
  Keep one of them.
s.yaml:5:13: tags are not allowed in a spec
  5 |   d: {uses: !!python/name:os.system dataset/drawn}
    |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  Remove the word that begins with '!'.
s.yaml:6:3: d is here twice; the first is on line 5
  6 |   d: {}
    |   ^
  Keep one of them."""
    )


def test_numbers_without_end_are_refused_once(said: Callable[..., str]) -> None:
    text = "version: 1\nsteps:\n  d: {uses: dataset/drawn}\n  c: {uses: classifier/net, with: {lr: .inf}}\n"
    line = "  c: {uses: classifier/net, with: {lr: .inf}}"
    assert said(text) == f"s.yaml:4:40: .inf is not a finite number\n  4 | {line}\n    | {' ' * 39}^^^^"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ": is not a text file, and a spec is YAML"),
        ("version: 1\n".encode("utf-16"), ": is not a text file, and a spec is YAML"),
        (
            b"version: 1\nname: caf\xe9\n",
            ":2:10: is not UTF-8: the byte 0xe9 stands for no character\n  Save the file as UTF-8.",
        ),
    ],
)
def test_a_file_that_is_no_text_is_refused(content: bytes, expected: str, tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        load_spec(path, registry)
    assert str(caught.value) == f"{path}{expected}"


def test_a_file_that_is_not_there_is_told_with_the_nearest_name(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "dogs.yaml").write_text("version: 1")
    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path / "dog.yaml", registry)
    assert str(caught.value) == f"{tmp_path / 'dog.yaml'}: there is no such file\n  Did you mean dogs.yaml?"
    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path, registry)
    assert str(caught.value) == f"{tmp_path}: is a folder, not a spec\n  In it are dogs.yaml."


def test_bombs_are_refused(said: Callable[..., str]) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    assert said("\n".join(lines)).startswith("s.yaml:1:1: holds more than 20000 values once its aliases are followed")
    assert "is nested more than 50 levels deep" in said("a: " + "[" * 3000)
    assert said("a: 1\n" * 100_000) == "s.yaml: is too large for a spec: more than 400000 characters"
    assert "999 is too long a number" in said("version: " + "9" * 10_000)


def test_anchors_and_merge_keys_are_followed(registry: Registry) -> None:
    text = """\
version: 1
steps:
  d: {uses: dataset/drawn}
  a: {uses: classifier/net, with: &options {epochs: 3, lr: 1e-3}}
  b: {uses: classifier/net, with: *options}
  c: {uses: classifier/net, with: {<<: *options, epochs: 4}}
"""
    steps = parse_spec(text, registry).steps
    assert [step.given for step in steps[1:]] == [
        {"epochs": 3, "lr": 1e-3},
        {"epochs": 3, "lr": 1e-3},
        {"epochs": 4, "lr": 1e-3},
    ]


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(registry: Registry, said: Callable[..., str]) -> None:
    text = "\ufeffversion: 1\r\nsteps:\r\n  d: {uses: dataset/drawn}\r\n"
    assert parse_spec(text, registry).steps[0].uses == "dataset/drawn"
    assert (
        said(text + "seeds: 1\r\n")
        == "s.yaml:4:1: a spec has no seeds\n  4 | seeds: 1\n    | ^^^^^\n  Did you mean seed or steps?"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E+2", 100.0),
        (".5", 0.5),
        ("-3", -3),
        ("010", 10),
        ("0x10", 16),
        ("0o10", 8),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("on", "on"),
        ("yes", "yes"),
        ("8/255", "8/255"),
        ("1_000", "1_000"),
        ("2026-11-23", "2026-11-23"),
        ("1:30", "1:30"),
    ],
)
def test_words_mean_what_the_core_schema_of_yaml_12_says(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)
    root, problems = read(f"a: {text}\nb: '{text}'", Source("s"))
    assert root is not None
    assert root.plain() == {"a": value, "b": text}
    assert not problems


def test_a_pipe_is_not_waited_for_and_a_huge_file_not_read(tmp_path: Path, registry: Registry, pipe) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(pipe(tmp_path / "pipe.yaml"), registry)
    assert str(caught.value) == f"{tmp_path / 'pipe.yaml'}: cannot be read: it is a named pipe and not a file"
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(SpecError, match="cannot be read: it has 1 TiB, and such a file has 16 MiB at most"):
        load_spec(tmp_path / "huge.yaml", registry)
