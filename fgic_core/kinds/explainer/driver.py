"""Drives an Explainer: maps of test pictures, drawn and scored against boxes and against a random network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fgic_core.data.images import to_image
from fgic_core.data.sample import Sample
from fgic_core.errors import PluginError
from fgic_core.kinds.classifier.model import Model
from fgic_core.kinds.explainer import maps as drawing
from fgic_core.kinds.explainer.contract import Explainer, Maps
from fgic_core.kinds.explainer.pointing import BoxesOf, Pointing, boxes_in_input, object_boxes, score
from fgic_core.kinds.explainer.weight_randomisation import randomised
from fgic_core.kit.best import evaluation
from fgic_core.kit.inference import infer
from fgic_core.metrics.statistics import proportion
from fgic_core.steps.context import StepContext
from fgic_core.steps.subset import choose
from fgic_core.steps.untouched import untouched

if TYPE_CHECKING:
    import torch
    from torch import nn

BATCH_SIZE = 16
#: How many pictures are explained a second time with random weights, and the similarity from which that is a warning.
RANDOMISED = 8
SAME = 0.9
#: The names of the pointing game and of the map's mass in the boxes, by whose boxes these are.
_GAMES: dict[BoxesOf, tuple[str, str]] = {
    "annotated": ("pointing_game", "energy_in_box"),
    "detected": ("pointing_detected", "energy_in_detected"),
}


def run(component: Explainer, inputs: dict[str, Any], ctx: StepContext) -> None:
    """Write ``explanations.parquet``, ``maps.safetensors``, ``overlays/`` and ``inputs/``.

    In the table ``boxes_of`` says whose boxes a map was scored against, ``annotated`` or ``detected``; null where there
    was none.

    Raises:
        DataError: there is nothing to explain, or the classes are not the model's.
        PluginError: the explainer breaks its contract.
    """
    import torch

    model: Model = inputs["model"]
    network, spec = model.fitted.network, model.fitted.input
    chosen, split = choose(inputs["dataset"], model, component.samples, ctx, "explain")
    (ctx.folder / "overlays").mkdir()
    (ctx.folder / "inputs").mkdir()
    rows: list[dict[str, Any]] = []
    maps: list[torch.Tensor] = []
    first: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
    generator = ctx.generator("explain")
    with (
        evaluation(network),
        untouched(network, ctx.uses, "explain", content=True),
        ctx.progress("explaining", len(chosen)) as bar,
    ):
        for images, logits, sizes in infer(
            network, spec, chosen.crop, len(chosen), device=model.device, batch_size=BATCH_SIZE, uses=ctx.uses
        ):
            batch = chosen.take(range(len(rows), len(rows) + len(images)))
            predicted = logits.argmax(dim=1)
            labels = torch.as_tensor(batch.labels, device=images.device)
            targets = predicted if component.target == "predicted" else labels
            raw = explain_checked(component, network, images, targets, generator, ctx.uses)
            first = first or (images[:RANDOMISED], targets[:RANDOMISED], raw[:RANDOMISED])
            drawn = drawing.normalise(raw, spec.size)
            maps.append(drawn.half())
            for offset, sample in enumerate(batch):
                values = drawn[offset].numpy()
                _draw(images[offset], values, len(rows), ctx)
                found = score(values, boxes_in_input(sample, sizes[offset], spec))
                rows.append(_row(sample, int(predicted[offset]), int(targets[offset]), found))
                bar.advance()
        if first is not None:
            _check_randomised(component, network, *first, split, ctx)
    _write(rows, torch.cat(maps), ctx)
    _measure(rows, sum(int((m.amax(dim=(1, 2)) == 0).sum()) for m in maps), split, ctx)


def explain_checked(
    component: Explainer,
    network: nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    generator: torch.Generator,
    uses: str,
    finite: bool = True,
) -> torch.Tensor:
    """The first map of each picture, (n, h, w) float32, 0 or more; ``finite``: other values are an error.

    Raises:
        PluginError: it breaks its contract, or refuses the network.
    """
    import torch

    before = images.clone()
    with untouched(network, uses, "explain"):
        given = component.explain(network, images, targets, generator)
    if not isinstance(given, Maps):
        raise PluginError(f"explain gave {type(given).__name__}, not Maps", where=uses)
    maps, count = given.maps, len(given.names)
    wrong = not isinstance(maps, torch.Tensor) or maps.ndim != 4 or maps.shape[:2] != (len(images), count)
    if wrong or 0 in maps.shape:
        shape = tuple(maps.shape) if isinstance(maps, torch.Tensor) else type(maps).__name__
        raise PluginError(
            f"explain gave maps of {shape} with {count} names",
            where=uses,
            hint=f"For {len(images)} images it is a ({len(images)}, k, h, w) tensor, and k names.",
        )
    if finite and not torch.isfinite(maps).all():
        raise PluginError(
            "explain gave a map with values that are not finite", where=uses, hint="A map without evidence is all zero."
        )
    if not torch.equal(before, images):
        raise PluginError("explain changed its images in place", where=uses, hint="Work on a copy.")
    return maps[:, 0].detach().float().clamp_min(0)


def _check_randomised(
    component: Explainer,
    network: nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    maps: torch.Tensor,
    split: str,
    ctx: StepContext,
) -> None:
    """Explain some pictures with random weights: a map that stays the same says nothing about the network."""
    other = randomised(network, images, ctx.generator("randomised"))
    # The same random numbers as for the first batch: what differs comes from the weights.
    random = explain_checked(component, other, images, targets, ctx.generator("explain"), ctx.uses)
    found: list[float | None]
    if random.shape == maps.shape:
        found = [drawing.rank_similarity(a.cpu().numpy(), b.cpu().numpy()) for a, b in zip(maps, random, strict=True)]
    else:
        found = [0.0] * len(maps)
    values = [value for value in found if value is not None]
    mean = float(np.mean(values)) if values else None
    ctx.metric(
        "randomisation_similarity",
        mean,
        split=split,
        n=len(values),
        note="mean rank correlation with the maps of the network with random weights (Adebayo et al. 2018); near 1 the "
        "map hardly depends on what was learned"
        if values
        else "every map is flat, with the trained weights and with random ones",
    )
    if mean is not None and mean > SAME:
        ctx.warn(
            f"The maps hardly depend on the network's weights: with random weights they are the same (rank correlation "
            f"{mean:.2f}). They show the picture, not what the model learned."
        )


def _draw(image: torch.Tensor, values: np.ndarray[Any, Any], row: int, ctx: StepContext) -> None:
    picture = to_image(image)
    picture.save(ctx.folder / "inputs" / f"{row:04d}.png")
    drawing.overlay(picture, values).save(ctx.folder / "overlays" / f"{row:04d}.png")


def _row(sample: Sample, predicted: int, target: int, found: Pointing | None) -> dict[str, Any]:
    return {
        "id": sample.id,
        "label": sample.label,
        "predicted": predicted,
        "target": target,
        "empty": sample.empty,
        "boxes_of": object_boxes(sample)[0] if found else None,
        "hit": found.hit if found else None,
        "center_hit": found.center_hit if found else None,
        "random_hit": found.random_hit if found else None,
        "energy": found.energy if found else None,
    }


def _write(rows: list[dict[str, Any]], maps: torch.Tensor, ctx: StepContext) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors.torch import save_file

    schema = pa.schema(
        [
            ("id", pa.string()),
            *((name, pa.int32()) for name in ("label", "predicted", "target")),
            ("boxes_of", pa.string()),
            *((name, pa.bool_()) for name in ("hit", "center_hit")),
            *((name, pa.float32()) for name in ("random_hit", "energy")),
        ]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), ctx.folder / "explanations.parquet")
    save_file({"maps": maps.contiguous()}, ctx.folder / "maps.safetensors")


def _measure(rows: list[dict[str, Any]], zero: int, split: str, ctx: StepContext) -> None:
    """Record the numbers over all maps."""
    if zero:
        ctx.warn(
            f"{zero} of {len(rows)} maps are all zero: nothing in them speaks for the class. They count as missed."
        )
    share = proportion(zero, len(rows))
    ctx.metric("zero_maps", split=split, **share._asdict())
    against = {of: [row for row in rows if row["boxes_of"] == of] for of in _GAMES}
    left_out = _left_out(rows)
    if not against["annotated"]:
        what = "an annotated box" if against["detected"] else "a box"
        note = f"no explained sample has {what}{left_out}"
        ctx.metric("pointing_game", None, n=0, split=split, note=note)
    for of, scored in against.items():
        if scored:
            _measure_pointing(of, scored, left_out, split, ctx)


def _left_out(rows: list[dict[str, Any]]) -> str:
    """How many maps are scored against no box, and why, as the end of a note."""
    empty = sum(row["empty"] for row in rows)
    boxless = sum(row["boxes_of"] is None for row in rows) - empty
    said = f"; {boxless} samples have no box and are left out" if boxless else ""
    return said + (f"; {empty} are pictures without an object and are left out" if empty else "")


def _measure_pointing(of: BoxesOf, scored: list[dict[str, Any]], left_out: str, split: str, ctx: StepContext) -> None:
    """The pointing game of the maps that are scored against boxes of one kind, and what to read it beside."""
    game, energy_name = _GAMES[of]
    about: dict[str, Any] = {"split": split}
    covered = np.array([row["random_hit"] for row in scored])
    note = f"no tolerance; the boxes cover {covered.mean():.0%} of the input on average"
    if of == "detected":
        note = f"in the most confident box that a detector found, where nothing is annotated; {note}"
    if covered.mean() > 0.5:
        note += ", so that a random point hits more often than not"
    note += left_out
    for name, column in ((game, "hit"), (f"{game}_center", "center_hit")):
        found = proportion(sum(row[column] for row in scored), len(scored))
        ctx.metric(name, found.value, n=found.n, low=found.low, high=found.high, note=note, **about)
    ctx.metric(f"{game}_random", float(covered.mean()), n=len(scored), note="expected hits of a random point", **about)
    energy = np.array([row["energy"] for row in scored])
    low = high = None
    if len(energy) > 1:  # of one map there is no telling how far it may be off
        half = 1.96 * float(energy.std(ddof=1)) / len(energy) ** 0.5
        low, high = max(float(energy.mean()) - half, 0.0), min(float(energy.mean()) + half, 1.0)
    ctx.metric(
        energy_name,
        float(energy.mean()),
        n=len(scored),
        low=low,
        high=high,
        note="compare with the random point",
        **about,
    )
