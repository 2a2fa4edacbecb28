"""Drives an Attacker: sweeps eps over test pictures, verifies every perturbation, and counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fgic_core.errors import PluginError
from fgic_core.kinds.attacker import gradient_masking as masking
from fgic_core.kinds.attacker import reference_attacks as reference
from fgic_core.kinds.attacker.adversarial_examples import Examples
from fgic_core.kinds.attacker.contract import Attacker
from fgic_core.kinds.classifier.model import Model
from fgic_core.kit.best import evaluation
from fgic_core.kit.inference import infer, logits_of
from fgic_core.metrics.statistics import proportion
from fgic_core.steps.context import StepContext
from fgic_core.steps.subset import choose
from fgic_core.steps.untouched import untouched

if TYPE_CHECKING:
    import torch
    from torch import nn

BATCH_SIZE = 32
DENOMINATOR = "right both clean and attacked, out of all attacked images"


def run(component: Attacker, inputs: dict[str, Any], ctx: StepContext) -> None:
    """Write ``robustness.parquet`` and ``examples/``; record clean and robust accuracies and the masking checks.

    Each eps has a seed of its own, so that adding one to the list leaves the others' rows as they were.

    Raises:
        DataError: there is nothing to attack, or the classes are not the model's.
        PluginError: the attacker breaks its contract.
    """
    import torch

    model: Model = inputs["model"]
    chosen, split = choose(inputs["dataset"], model, component.samples, ctx, "attack")
    sizes = sorted({float(eps) for eps in component.eps if eps > 0})
    sweep = _Sweep(component, model.fitted.network, sizes, ctx)
    checked = np.linspace(0, len(chosen) - 1, masking.how_many(len(chosen))).astype(int)
    ids, rights = chosen.ids, torch.from_numpy(chosen.labels).to(model.device)
    batches = infer(
        sweep.network,
        model.fitted.input,
        chosen.crop,
        len(chosen),
        device=model.device,
        batch_size=BATCH_SIZE,
        workers=ctx.workers,
        uses=ctx.uses,
    )
    kept: list[torch.Tensor] = []
    with evaluation(sweep.network), untouched(sweep.network, ctx.uses, "perturb", content=True):
        with ctx.progress("attacking", len(chosen) * max(len(sizes), 1)) as bar:
            for images, logits, _ in batches:
                first = sweep.done
                labels = rights[first : first + len(images)]
                kept.append(images[[row - first for row in checked if first <= row < first + len(images)]])
                for _ in sweep.batch(images, logits, labels, ids[first : first + len(images)]):
                    bar.advance(len(images))
        sweep.examples.write(ctx.folder)
        _write(sweep.rows, ctx)
        robust = _measure(sweep.rows, sizes, component.norm, split, ctx)
        if sizes:
            _check_masking(sweep, torch.cat(kept), checked, robust[sizes[-1]], split, ctx)


class _Sweep:
    """The attack at every eps, batch by batch."""

    def __init__(self, component: Attacker, network: nn.Module, sizes: list[float], ctx: StepContext) -> None:
        self.component, self.network, self.sizes, self.uses = component, network, sizes, ctx.uses
        self.generators = {eps: ctx.generator("attack", eps.hex()) for eps in sizes}
        self.rows: list[dict[str, Any]] = []
        self.examples = Examples()
        self.done = 0

    def batch(
        self, images: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor, ids: list[str]
    ) -> Iterator[float]:
        """Attack one batch, of which the network gave these logits; yields after each eps."""
        clean, confidence = _best(logits)
        self._add(0.0, ids, labels, clean, clean, confidence, np.zeros(len(images)))
        for eps in self.sizes:
            moved = self.perturb(images, labels, eps, self.generators[eps])
            found, confidence = _best(logits_of(self.network, moved))
            away = reference.distances(moved, images, self.component.norm).cpu().numpy()
            self._add(eps, ids, labels, clean, found, confidence, away)
            for i in np.flatnonzero((clean == labels.cpu().numpy()) & (found != clean)):
                self.examples.offer(self.done + int(i), self.rows[len(self.rows) - len(ids) + i], images[i], moved[i])
            yield eps
        self.done += len(images)

    def perturb(
        self, images: torch.Tensor, labels: torch.Tensor, eps: float, generator: torch.Generator
    ) -> torch.Tensor:
        """What the component gives, verified in pixel space.

        Raises:
            PluginError: it is of another shape or type, not finite, outside [0, 1] or outside the ball.
        """
        given = images.clone()
        with untouched(self.network, self.uses, "perturb"):
            moved = self.component.perturb(self.network, given, labels.clone(), eps, generator)
        verify(moved, images, eps, self.component.norm, self.uses)
        return moved.detach()

    def _add(
        self,
        eps: float,
        ids: list[str],
        labels: torch.Tensor,
        clean: np.ndarray[Any, Any],
        adversarial: np.ndarray[Any, Any],
        confidence: np.ndarray[Any, Any],
        away: np.ndarray[Any, Any],
    ) -> None:
        columns = zip(ids, labels.tolist(), clean, adversarial, away, confidence, strict=True)
        self.rows += [
            {
                "eps": eps,
                "id": id,
                "label": label,
                "clean": int(before),
                "adversarial": int(after),
                "distance": float(distance),
                "confidence": float(sure),
            }
            for id, label, before, after, distance, sure in columns
        ]


def _best(logits: torch.Tensor) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Predicted class and its probability, each (n,)."""
    top = logits.softmax(dim=1).max(dim=1)
    return top.indices.cpu().numpy(), top.values.cpu().numpy()


def verify(moved: Any, images: torch.Tensor, eps: float, norm: reference.Norm, uses: str) -> None:
    """Check adversarial images against the contract of `Attacker.perturb`.

    Raises:
        PluginError: they break it; names eps and the worst violation.
    """
    import torch

    where = f"{uses}, eps {eps:.6g}"
    if not isinstance(moved, torch.Tensor) or (moved.shape, moved.dtype) != (images.shape, images.dtype):
        given = f"{tuple(moved.shape)} {moved.dtype}" if isinstance(moved, torch.Tensor) else type(moved).__name__
        raise PluginError(f"perturb gave {given} for {tuple(images.shape)} {images.dtype}", where=where)
    if moved.device != images.device:
        raise PluginError(f"perturb gave images on {moved.device}, but took them on {images.device}", where=where)
    if not torch.isfinite(moved).all():
        bad = int((~torch.isfinite(moved)).flatten(1).any(dim=1).sum())
        raise PluginError(f"perturb gave values that are not finite in {bad} of {len(images)} images", where=where)
    lowest, highest = float(moved.min()), float(moved.max())
    if lowest < -1e-6 or highest > 1 + 1e-6:
        raise PluginError(
            f"perturb gave pixels in [{lowest:.6g}, {highest:.6g}]",
            where=where,
            hint="Images stay in [0, 1]: clamp them.",
        )
    away = reference.distances(moved, images, norm)
    worst = float(away.max())
    if worst > eps + reference.tolerance(images, norm):
        outside = int((away > eps + reference.tolerance(images, norm)).sum())
        raise PluginError(
            f"perturb left the {norm} ball with {outside} of {len(images)} images, the worst at distance {worst:.6g}",
            where=where,
            hint="eps is measured in [0, 1] pixels, before the network's normalisation: project onto the ball.",
        )


def _write(rows: list[dict[str, Any]], ctx: StepContext) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("eps", pa.float64()),
            ("id", pa.string()),
            *((name, pa.int32()) for name in ("label", "clean", "adversarial")),
            ("distance", pa.float64()),
            ("confidence", pa.float32()),
        ]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema).sort_by("eps"), ctx.folder / "robustness.parquet")


def _measure(
    rows: list[dict[str, Any]], sizes: list[float], norm: str, split: str, ctx: StepContext
) -> dict[float, masking.Flags]:
    """Record the accuracies; returns which images are robust at each eps, in the order of the images."""
    robust: dict[float, masking.Flags] = {}
    for eps in [0.0, *sizes]:
        mine = [row for row in rows if row["eps"] == eps]
        clean = np.array([row["clean"] == row["label"] for row in mine])
        robust[eps] = clean & np.array([row["adversarial"] == row["label"] for row in mine])
        about: Mapping[str, Any] = {"split": split, "at": {"eps": eps, "norm": norm}}
        if eps == 0:
            note = f"of the {len(clean)} attacked images"
            _share(ctx, "clean_accuracy", int(clean.sum()), len(clean), note, split=split)
        _share(ctx, "robust_accuracy", int(robust[eps].sum()), len(mine), DENOMINATOR, **about)
        if eps > 0:
            right = int(clean.sum())
            fooled = right - int(robust[eps].sum())
            _share(ctx, "attack_success", fooled, right, "turned wrong, out of those right before", **about)
            mean = float(np.mean([row["distance"] for row in mine]))
            note = f"mean {norm} distance of the perturbation"
            ctx.metric("distance", mean, n=len(mine), note=note, **about)
    if len(sizes) > 1:
        _check_monotone(robust, norm, split, ctx)
    return robust


def _check_monotone(robust: dict[float, masking.Flags], norm: str, split: str, ctx: StepContext) -> None:
    pairs = masking.not_monotone(robust)
    verdict = "flag" if pairs else "pass" if robust[0.0].any() else ""
    ctx.metric(
        "check_monotone",
        float(len(pairs)),
        split=split,
        at={"norm": norm},
        n=len(robust) - 1,
        note="steps of the sweep at which the larger eps leaves more images right",
        verdict=verdict,
    )
    for smaller, larger in pairs:
        ctx.warn(
            f"More images survive at eps {_eps_text(larger, norm)} than at {_eps_text(smaller, norm)}, although the "
            "larger ball holds the smaller: the attack misses what is there, and the robust accuracies are too high."
        )


def _share(ctx: StepContext, name: str, count: int, n: int, note: str, **about: Any) -> None:
    share = proportion(count, n)
    if n == 0:
        ctx.metric(name, None, n=0, note="no image was right before the attack", **about)
    else:
        ctx.metric(name, share.value, n=n, low=share.low, high=share.high, note=note, **about)


def _eps_text(eps: float, norm: str) -> str:
    """``4/255`` or ``0.5/255`` where that is what was meant, else the number."""
    steps = eps * 255
    is_round = float(f"{eps:.3g}") == eps
    if norm == "Linf" and not is_round and abs(steps - round(steps, 2)) < 1e-6:
        return f"{round(steps, 2):g}/255"
    return f"{eps:.6g}"


def _check_masking(
    sweep: _Sweep,
    images: torch.Tensor,
    checked: np.ndarray[Any, Any],
    robust: masking.Flags,
    split: str,
    ctx: StepContext,
) -> None:
    import torch

    labels = [row["label"] for row in sweep.rows if row["eps"] == 0.0]
    right = torch.tensor([labels[row] for row in checked], device=images.device)
    subset = masking.Subset(images, right, robust[checked], sweep.sizes[-1], split)
    with untouched(sweep.network, ctx.uses, "perturb"):
        masking.check(sweep.component, sweep.network, subset, sweep.perturb, ctx)
