"""The kinds of components, one row each: where its contract, driver, section of the report and suite are found.

The table itself imports none of them. A package adds a kind by an entry point in the group ``fgic.kind``, whose name is
the kind's and whose value is a `Kind`::

    [project.entry-points."fgic.kind"]
    segmenter = "fgic_segment:SEGMENTER"

Its components are then declared in the group ``fgic.segmenter``, planned, stored, reported and tested like others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from fgic_core.errors import PluginError
from fgic_core.points import points

if TYPE_CHECKING:
    from fgic_core.data.quantities import Quantity
    from fgic_core.kinds.component import Component

#: The entry-point group of kinds. That of a kind's components is ``fgic.`` and its name.
GROUP = "fgic.kind"


@dataclass(frozen=True, slots=True)
class ArtifactType:
    """A type of artifact that steps give and take.

    Attributes:
        name: as ports and records have it, such as ``dataset``.
        meaning: one sentence.
        open: ``module:function``, which is given the artifact's folder and returns what a component finds in
            ``ctx.inputs``; empty where no step takes such an artifact.
    """

    name: str
    meaning: str = ""
    open: str = ""


@dataclass(frozen=True)
class Kind:
    """A kind of components. What it names is imported on use.

    Attributes:
        name: as in ``uses: name/component``.
        contract: ``module:Class``, the interface; components derive from it.
        driver: the module by which the core drives a component: ``run(component, inputs, ctx)``; of a kind with `fit`
            ``use(component, inputs, ctx, learned)``, where ``learned`` are the folders of what was learned, by
            training.
        fit: of a kind whose components may learn (`Component.learns`), the module that has them learn:
            ``lessons(component, dataset, ctx)`` cuts what each training is given, ``fit(component, dataset, ctx)`` does
            one and writes what it gave below ``ctx.folder``.
        section: the module of its section of the report: ``section(steps, report)`` makes it. Kinds that name the same
            one share it; a kind without one is shown by its numbers and curves.
        head: the module of what it says at the head of the report: ``card(step)``, its key number (otherwise the first
            that is a headline), and ``clause(card)``, which puts that into words; without words it is no part of the
            first sentence.
        ablation: the module that says which options are others in a study's arms: ``left_out(options, before, now)``
            where steps before it are left out, ``oracle(options, before)`` where test boxes are annotated ones; see
            `fgic_core.kinds.cropper.ablation`.
        suite: ``module:Class``, what `fgic_core.testing` offers to authors of such components.
        outcomes: the module that says what pictures add to its numbers: ``outcomes(folder, metric)`` gives
            `fgic_core.data.outcomes.Outcomes`, whose mean the number is, or None for one that is no mean over pictures.
            Numbers of a kind without one are compared over seeds alone. Of a kind that gives models it may
            have ``answers(folder, split)`` too, `fgic_core.data.outcomes.Answers`, for votes of several.
        groups: the module by which a study's effects are looked at by groups of pictures: ``groups(folder, split)``
            gives a list of `fgic_core.data.groups.Grouping`; of the core's kinds see `fgic_core.kinds.detector.groups`.
        tensors: whether its steps need torch; the seconds and the memory of its import are saved otherwise.
        artifacts: types of artifact that it adds.
        quantities: quantities that it adds; see `fgic_core.data.quantities`.
        package: the distribution that declares it; filled in from the entry point.
    """

    name: str
    contract: str
    driver: str
    fit: str = ""
    section: str = ""
    head: str = ""
    ablation: str = ""
    suite: str = ""
    outcomes: str = ""
    groups: str = ""
    tensors: bool = True
    artifacts: tuple[ArtifactType, ...] = ()
    quantities: tuple[Quantity, ...] = ()
    package: str = field(default="fgic", compare=False)

    @cached_property
    def interface(self) -> type[Component]:
        """The class that components of the kind derive from.

        Raises:
            PluginError: it cannot be imported, or is none.
        """
        found: type[Component] = named(self.contract, f"the contract of the kind {self.name}", self.package)
        if getattr(found, "kind", None) != self.name:
            raise PluginError(
                f"{self.contract} is no contract of the kind {self.name}: its kind is {getattr(found, 'kind', None)!r}",
                where=self.package,
                hint=f'Derive it from fgic_core.Component and write: kind: ClassVar[str] = "{self.name}"',
            )
        return found


_ROOMS = "fgic_core.kinds"


def _core(name: str, contract: str, **about: Any) -> Kind:
    room = f"{_ROOMS}.{name}"
    return Kind(name, f"{room}.contract:{contract}", f"{room}.driver", suite=f"{room}.suite:{contract}Suite", **about)


def _shown(name: str) -> dict[str, str]:
    return {"section": f"{_ROOMS}.{name}.section", "head": f"{_ROOMS}.{name}.section"}


def _by_picture(name: str) -> dict[str, str]:
    return {"outcomes": f"{_ROOMS}.{name}.outcomes"}


_DATA = f"{_ROOMS}.dataset.section"


def _data(name: str) -> dict[str, str]:
    return {"section": _DATA, "groups": f"{_ROOMS}.{name}.groups"}


#: The core's own kinds, in the order in which steps usually stand.
CORE = (
    _core("dataset", "DatasetReader", **_data("dataset"), tensors=False),
    _core("detector", "Detector", fit=f"{_ROOMS}.detector.fit", **_data("detector")),
    _core("cropper", "Cropper", **_data("cropper"), ablation=f"{_ROOMS}.cropper.ablation", tensors=False),
    _core("generator", "Generator", fit=f"{_ROOMS}.generator.fit", section=_DATA, head=f"{_ROOMS}.generator.section"),
    _core(
        "classifier", "Classifier", fit=f"{_ROOMS}.classifier.fit", **_shown("classifier"), **_by_picture("classifier")
    ),
    _core("explainer", "Explainer", **_shown("explainer")),
    _core("attacker", "Attacker", **_shown("attacker"), **_by_picture("attacker")),
)

#: The core's own types of artifact. `fitted` is what a step learned; others are what it gives.
_TYPES = (
    ArtifactType("dataset", "Samples with class names, and the pictures they stand for."),
    ArtifactType("model", "A trained classifier."),
    ArtifactType("explanations", "Maps over pictures, with what they were scored."),
    ArtifactType("robustness", "Accuracies under attack, with checks for gradient masking."),
    ArtifactType("fitted", "What a step learned, from which what it gives is made."),
)


class Kinds(Mapping[str, Kind]):
    """Every kind that is installed, by name: the core's first, in the order in which steps usually stand.

    Names are known without importing anything; the row of a kind from elsewhere is imported when it is asked for.

    Args:
        points: entry points by name; by default those of the environment.
    """

    def __init__(self, points: Mapping[str, list[metadata.EntryPoint]] | None = None) -> None:
        self._rows = {row.name: row for row in CORE}
        self._given = points
        self._failed: dict[str, PluginError] = {}

    @cached_property
    def _points(self) -> Mapping[str, list[metadata.EntryPoint]]:
        if self._given is not None:
            return self._given
        found: dict[str, list[metadata.EntryPoint]] = {}
        for point in points():
            if point.group == GROUP and not any(_same(point, other) for other in found.get(point.name, ())):
                found.setdefault(point.name, []).append(point)
        return dict(sorted(found.items()))

    def __iter__(self) -> Iterator[str]:
        own = [row.name for row in CORE]
        yield from own
        yield from (name for name in self._points if name not in own)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._rows or name in self._points

    def __getitem__(self, name: str) -> Kind:
        """The row of a kind.

        Raises:
            KeyError: no such kind is installed.
            PluginError: it is, and cannot be used; the message says why.
        """
        if name not in self:
            raise KeyError(name)
        if name in self._failed:
            raise self._failed[name]
        if name not in self._rows:
            try:
                self._rows[name] = _loaded(name, self._points[name])
            except PluginError as error:
                self._failed[name] = error
                raise
        return self._rows[name]

    def problems(self, *, load: bool = False) -> list[PluginError]:
        """What is wrong with kinds from elsewhere; with ``load`` their rows and contracts are imported for it."""
        found = []
        own = {row.name for row in CORE}
        for name, claims in self._points.items():
            if name in own:
                package = " and ".join(point.dist.name if point.dist is not None else "?" for point in claims)
                what = f"the kind {name} is fgic's own; what {package} declares by that name is not used"
                found.append(PluginError(what, where=package, hint="Give the kind a name of its own."))
            elif load:
                try:
                    self[name].interface  # noqa: B018
                except PluginError as error:
                    found.append(error)
        return found

    def interface(self, name: str) -> type[Component] | None:
        """The class that components of a kind derive from; None where there is no such kind, or it cannot be used."""
        try:
            return self[name].interface if name in self else None
        except PluginError:
            return None

    def types(self) -> dict[str, ArtifactType]:
        """Every type of artifact, by name; of kinds that cannot be used there are none.

        Raises:
            PluginError: two kinds add one and do not agree about it.
        """
        found = {row.name: row for row in _TYPES}
        for name in self:
            try:
                row = self[name]
            except PluginError:
                continue
            for one in row.artifacts:
                if found.setdefault(one.name, one) != one:
                    raise PluginError(
                        f"the type of artifact {one.name} is added by two kinds in two ways, {name} one of them",
                        where=row.package,
                        hint="Uninstall one of the packages.",
                    )
        return found

    def type(self, name: str) -> ArtifactType | None:
        """A type of artifact; None where no kind that is installed has it. One of the core's costs no import."""
        return next((row for row in _TYPES if row.name == name), None) or self.types().get(name)


def named(target: str, what: str, package: str = "") -> Any:
    """What ``module:name`` names.

    Raises:
        PluginError: it cannot be imported; ``what`` it is stands in the message, and the ``package`` that says so.
    """
    module, _, name = target.partition(":")
    try:
        return getattr(import_module(module), name)
    except Exception as error:  # whatever a package of somebody's does when it is imported
        raise PluginError(
            f"{what} cannot be imported ({target}): {type(error).__name__}: {error}",
            where=package or None,
            hint=f"Reinstall or repair the package {package}." if package and package != "fgic" else None,
        ) from error


def _same(one: metadata.EntryPoint, other: metadata.EntryPoint) -> bool:
    """Whether both are of one package: a folder that was built may be on the path beside what it installed."""
    names = [point.dist.name if point.dist is not None else None for point in (one, other)]
    return names[0] == names[1] and one.value == other.value


def _loaded(name: str, points: list[metadata.EntryPoint]) -> Kind:
    """The row of a kind from elsewhere, whose quantities are known from then on."""
    from dataclasses import replace

    packages = [point.dist.name if point.dist is not None else "?" for point in points]
    if len(points) > 1:
        raise PluginError(
            f"the kind {name} is claimed by several packages: {' and '.join(packages)}", hint="Uninstall all but one."
        )
    row = named(points[0].value, f"the kind {name}", packages[0])
    if not isinstance(row, Kind) or row.name != name or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise PluginError(
            f"{points[0].value} is no kind of the name {name}",
            where=packages[0],
            hint=f'It should be fgic_core.Kind("{name}", …), in lower-case letters as in uses: {name}/component.',
        )
    _check_types(row, packages[0])
    if row.quantities:
        from fgic_core.data.quantities import add

        try:
            add(row.quantities)
        except ValueError as error:
            raise PluginError(f"the kind {name} cannot be used: {error}", where=packages[0]) from None
    return replace(row, package=packages[0])


def _check_types(row: Kind, package: str) -> None:
    taken = {one.name for one in _TYPES}
    for one in row.artifacts:
        if one.name in taken or not re.fullmatch(r"[a-z][a-z0-9_]*", one.name):
            raise PluginError(
                f"the kind {row.name} adds a type of artifact {one.name!r}, "
                + ("which the core has" if one.name in taken else "which is no name"),
                where=package,
                hint="Name it in lower-case letters, otherwise than " + ", ".join(sorted(taken)) + ".",
            )


#: Every kind that is installed.
KINDS = Kinds()
