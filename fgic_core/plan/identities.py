"""Which code components are: versions of packages, and digests of sources where these may be edited."""

from __future__ import annotations

import sys
from typing import NamedTuple

from fgic_core.data.digest import digest_of
from fgic_core.description import Manifest
from fgic_core.description.manifest import Identity
from fgic_core.kinds.component import Component
from fgic_core.loaded import is_replaced
from fgic_core.plan.modules import locate
from fgic_core.plan.notebook import reached_by_class
from fgic_core.plan.packages import declared, version_of, versions_of_modules
from fgic_core.plan.sources import Reached, Sources
from fgic_core.store.memory import Memory


class Looked(NamedTuple):
    """What was seen of a component's code.

    Attributes:
        identity: which it is.
        texts: the digest of its own sources as they are written, with docstrings and comments.
        newest: when one of them was last changed, in nanoseconds.
        outdated: files of which this process has imported another source than they have now.
        looks_around: whether its class, such as a default of it, may depend on the environment.
        patched: what a notebook has put into its class, which no other process has.
    """

    identity: Identity
    texts: str
    newest: int
    outdated: tuple[str, ...]
    looks_around: bool
    patched: tuple[str, ...]


class Identities:
    """Looks at the code of components without importing it. Each is looked at once in the life of an object.

    Args:
        memory: where digests are remembered.
        sources: follows imports.
    """

    def __init__(self, memory: Memory, sources: Sources) -> None:
        self._memory, self._sources = memory, sources
        self._known: dict[tuple[str, str], Looked] = {}

    def of(self, manifest: Manifest) -> Identity:
        """Which code a component is."""
        return manifest.identity or self.look(manifest).identity

    def look(self, manifest: Manifest) -> Looked:
        """What is to be seen of a component's code."""
        key = (manifest.entry.target, manifest.module)
        if locate(manifest.module, True) is None:  # of a notebook, where another class may have the same name
            return self._look(manifest)
        if key not in self._known:
            self._known[key] = self._look(manifest)
        return self._known[key]

    def _look(self, manifest: Manifest) -> Looked:
        entry, module = manifest.entry, manifest.module
        version = version_of(entry.package)
        own = manifest.own_class or _imported(entry.target)
        reached = self._sources.reached(module) if own is None else reached_by_class(own, self._sources)
        texts, newest, outdated = [reached.texts], reached.newest, reached.outdated
        looks_around, patched = reached.looks_around, reached.patched
        if own is not None and is_replaced(own):
            outdated += (str(locate(module, True) or module),)
        entered = entry.target.partition(":")[0]  # a class may be made elsewhere than where it is declared
        if entered != module and locate(entered, True) is not None:
            more = self._sources.reached(entered)
            packages = tuple(sorted({*reached.packages, *more.packages}))
            untraced, missing = reached.untraced + more.untraced, reached.missing + more.missing
            digest, files = digest_of([reached.digest, more.digest]), reached.unknown_files + more.unknown_files
            reached = Reached(digest, packages, untraced, missing, files)
            texts, newest = [*texts, more.texts], max(newest, more.newest)
            outdated += more.outdated
            looks_around |= more.looks_around
        doubts = [f"what it imports is not known before it runs ({place})" for place in reached.untraced[:1]]
        doubts += [f"which files it opens is not known before it runs ({place})" for place in reached.unknown_files[:1]]
        doubts += [f"it imports {module}, which is not found" for module in reached.missing[:1]]
        identity = Identity(
            name=entry.package,
            version=version or entry.version,
            sources=reached.digest,
            stands_on=versions_of_modules(reached.packages, self._memory) | declared(entry.package),
            doubts=tuple(doubts),
        )
        return Looked(identity, digest_of(texts), newest, tuple(dict.fromkeys(outdated)), looks_around, patched)


def _imported(target: str) -> type[Component] | None:
    """A class that this process has imported, though its manifest was remembered: a notebook may have changed it."""
    module, _, name = target.partition(":")
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, type) and issubclass(found, Component) else None
