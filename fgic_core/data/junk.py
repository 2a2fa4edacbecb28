"""What systems, editors and programs leave among the files of users: no reader reads it, and it counts in no key.

One list for both: what a data set's rows name is fingerprinted, and what is not fingerprinted they may not name.
"""

from __future__ import annotations

import re

_NAMES = (
    # of systems
    *(r"\.DS_Store", r"\._[^/\\]*", r"\.AppleDouble", r"\.apdisk", r"\.fseventsd", r"\.Spotlight-V100"),
    *(r"\.TemporaryItems", r"\.Trashes", r"\.Trash-[0-9]+", r"\.directory", r"\.nfs[0-9A-Fa-f]+"),
    *(r"Thumbs\.db", r"ehthumbs\.db", r"[Dd]esktop\.ini", r"\$RECYCLE\.BIN", r"System Volume Information"),
    # of editors and programs, fgic's own store among them
    *(r"[^/\\]*~", r"[^/\\]*\.sw[a-p]", r"\.idea", r"\.vscode", r"\.ipynb_checkpoints", r"__pycache__"),
    *(r"\.git", r"\.hg", r"\.svn", r"\.venv", r"\.tox", r"\.nox", r"\.[a-z]+_cache", r"\.fgic"),
)
#: A path that is junk or leads through it. (Arrow's RE2 and Python's `re` read it alike.)
JUNK_PATH = rf"(^|[/\\])({'|'.join(_NAMES)})([/\\]|$)"

_FIRST = frozenset(".$TeDdS_")
_junk = re.compile("|".join(_NAMES)).fullmatch


def is_junk(name: str) -> bool:
    """Whether a file or a folder is junk, by its own name."""
    # (Looking at a few letters first: a plan asks this of every picture.)
    maybe = name[:1] in _FIRST or name.endswith("~") or name[-4:-1] == ".sw"
    return maybe and _junk(name) is not None
