"""What can be measured: one row a quantity. Its label, unit, direction and meaning stand here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity that numbers are measured of.

    Attributes:
        name: as metrics, specs and files have it, such as ``robust_accuracy``.
        label: as readers know it.
        unit: ``fraction`` is shown in percent; ``pixels``, ``s``, ``MB``, ``images/s``, …; empty for counts and plain
            numbers.
        better: which direction is; empty where neither is, as of a count or of what is there to compare with.
        headline: whether it may speak for a step. Of several the first in the table does.
        meaning: one sentence.
    """

    name: str
    label: str
    unit: str = ""
    better: Literal["higher", "lower", ""] = ""
    headline: bool = False
    meaning: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError where no such direction is."""
        if self.better not in ("higher", "lower", ""):
            raise ValueError(f"of a quantity higher or lower is better, or neither (''), not {self.better!r}")


def _table(*groups: Iterable[Quantity]) -> dict[str, Quantity]:
    return {row.name: row for rows in groups for row in rows}


_FRACTION = "fraction"

_ROBUSTNESS = (
    Quantity(
        "robust_accuracy",
        "Robust accuracy",
        _FRACTION,
        "higher",
        headline=True,
        meaning="Attacked images that are right before the attack and after it, of all that were attacked.",
    ),
    Quantity(
        "clean_accuracy", "Clean accuracy", _FRACTION, "higher", meaning="Attacked images that are right unattacked."
    ),
    Quantity(
        "attack_success",
        "Attack success",
        _FRACTION,
        "lower",
        meaning="Images that the attack turned wrong, of those right before.",
    ),
    Quantity(
        "distance", "Mean distance", meaning="How far the attack moved the images, in its norm, pixels in [0, 1]."
    ),
    Quantity(
        "check_monotone",
        "Larger eps, more survivors",
        meaning="Steps of the sweep at which the larger eps leaves more images right.",
    ),
    Quantity("check_zero_gradient", "Zero gradient", _FRACTION, meaning="Images whose loss has no gradient."),
    Quantity("check_fgsm", "One step (FGSM)", _FRACTION, meaning="Robust accuracy under one step of FGSM."),
    Quantity("check_noise", "Random noise", _FRACTION, meaning="Robust accuracy under the best of some random noises."),
    Quantity(
        "check_margin_pgd", "Margin loss (PGD)", _FRACTION, meaning="Robust accuracy under PGD on the margin loss."
    ),
    Quantity("check_unbounded", "No bound", _FRACTION, meaning="Robust accuracy with no bound on the perturbation."),
)

_CLASSIFICATION = (
    Quantity("accuracy", "Accuracy", _FRACTION, "higher", headline=True, meaning="Pictures whose class is predicted."),
    Quantity(
        "mean_class_accuracy",
        "Mean class accuracy",
        _FRACTION,
        "higher",
        headline=True,
        meaning="The mean of the classes' accuracies: rare classes count as much as frequent ones.",
    ),
    Quantity(
        "top5_accuracy",
        "Top-5 accuracy",
        _FRACTION,
        "higher",
        meaning="Pictures whose class is among the five that the model finds likeliest.",
    ),
    Quantity(
        "majority_accuracy",
        "Share of the most frequent class",
        _FRACTION,
        meaning="The accuracy of one that always says the most frequent class.",
    ),
    Quantity("loss", "Loss", better="lower", meaning="Mean cross-entropy, or in a training what it goes down by."),
    Quantity("lr", "Learning rate", meaning="How far a step of the training goes."),
)

_EXPLANATION = (
    Quantity(
        "pointing_game",
        "Pointing game",
        _FRACTION,
        "higher",
        headline=True,
        meaning="Maps whose peak lies in an annotated box of the object (Zhang et al. 2018), without tolerance.",
    ),
    Quantity(
        "pointing_detected",
        "Pointing game, detector's boxes",
        _FRACTION,
        "higher",
        headline=True,
        meaning="Maps whose peak lies in the box that a detector found, of pictures that are not annotated.",
    ),
    Quantity(
        "energy_in_box",
        "Energy inside the box",
        _FRACTION,
        "higher",
        headline=True,
        meaning="Share of the map's positive mass that lies in the annotated box.",
    ),
    Quantity(
        "energy_in_detected",
        "Energy inside the detector's box",
        _FRACTION,
        "higher",
        meaning="Share of the map's positive mass that lies in the box that a detector found.",
    ),
    Quantity(
        "pointing_game_center",
        "Pointing game, centre point",
        _FRACTION,
        meaning="What a map that always peaks in the middle gets.",
    ),
    Quantity(
        "pointing_game_random", "Pointing game, random point", _FRACTION, meaning="What a random point is to expect."
    ),
    Quantity(
        "pointing_detected_center",
        "Pointing game, detector's boxes, centre point",
        _FRACTION,
        meaning="What a map that always peaks in the middle gets.",
    ),
    Quantity(
        "pointing_detected_random",
        "Pointing game, detector's boxes, random point",
        _FRACTION,
        meaning="What a random point is to expect.",
    ),
    Quantity(
        "randomisation_similarity",
        "Similarity under random weights",
        better="lower",
        meaning="Mean rank correlation with the maps of a network with random weights (Adebayo et al. 2018).",
    ),
    Quantity("zero_maps", "All-zero maps", _FRACTION, "lower", meaning="Maps in which nothing speaks for the class."),
)

_DETECTION = (
    Quantity(
        "mAP50", "mAP50", _FRACTION, "higher", headline=True, meaning="Average precision at IoU 0.5, as COCO has it."
    ),
    Quantity(
        "mAP",
        "mAP",
        _FRACTION,
        "higher",
        headline=True,
        meaning="Average precision, the mean over IoU 0.5, 0.55, … 0.95, as COCO has it.",
    ),
    Quantity("mAP75", "mAP75", _FRACTION, "higher", meaning="Average precision at IoU 0.75, as COCO has it."),
    Quantity(
        "box_recall50",
        "Recall of the box that crops use, IoU 0.5",
        _FRACTION,
        "higher",
        headline=True,
        meaning="Pictures whose most confident box overlaps the largest annotated one by IoU >= 0.5.",
    ),
    Quantity(
        "box_recall50_whole",
        "Recall of the whole picture as box",
        _FRACTION,
        meaning="What `box_recall50` were if the whole picture was the box.",
    ),
    Quantity(
        "recall50",
        "Recall of all objects, IoU 0.5",
        _FRACTION,
        "higher",
        meaning="Annotated objects that a box overlaps by IoU >= 0.5.",
    ),
    Quantity(
        "mean_iou",
        "Mean IoU",
        _FRACTION,
        "higher",
        meaning="Mean overlap of the most confident box with the largest annotated one; 0 where none was found.",
    ),
    Quantity(
        "no_detection", "Pictures without a detection", better="lower", meaning="Pictures in which no box was found."
    ),
    Quantity(
        "false_alarms",
        "Empty pictures in which something was found",
        _FRACTION,
        "lower",
        meaning="Of the pictures without an object, those in which a box was found.",
    ),
    Quantity("negatives", "Train pictures without an object", meaning="Empty pictures that the detector learned from."),
)

_GENERATION = (
    Quantity(
        "FID",
        "FID",
        better="lower",
        headline=True,
        meaning="Fréchet distance of made pictures from real train pictures, in the features of a named network "
        "(Heusel et al. 2017).",
    ),
    Quantity(
        "KID",
        "KID",
        better="lower",
        headline=True,
        meaning="Kernel distance of made from real train pictures (Bińkowski et al. 2018); unbiased.",
    ),
    Quantity("synthetic", "Synthetic pictures", headline=True, meaning="Pictures that were made and go on."),
    Quantity("real", "Real pictures", meaning="Real train pictures that go on."),
    Quantity("FID_real", "FID of unseen real pictures", meaning="FID of real pictures that nothing was learned from."),
    Quantity("FID_noise", "FID of noise", meaning="FID of pictures of uniform noise."),
    Quantity("KID_real", "KID of unseen real pictures", meaning="KID of real pictures that nothing was learned from."),
    Quantity(
        "precision",
        "Precision",
        _FRACTION,
        "higher",
        meaning="Made pictures within the real ones' neighbourhoods (Kynkäänniemi et al. 2019).",
    ),
    Quantity(
        "recall",
        "Recall",
        _FRACTION,
        "higher",
        meaning="Real pictures within the made ones' neighbourhoods (Kynkäänniemi et al. 2019).",
    ),
    Quantity(
        "memorised",
        "Memorised",
        _FRACTION,
        "lower",
        meaning="Made pictures nearer to a train picture, compared with unseen ones, than chance explains.",
    ),
    Quantity(
        "copies", "Copies of train pictures", _FRACTION, "lower", meaning="Made pictures that look the same as one."
    ),
    Quantity(
        "class_agreement",
        "Class agreement",
        _FRACTION,
        "higher",
        meaning="Made pictures whose class is the most frequent among their nearest real train pictures.",
    ),
    Quantity(
        "class_agreement_real",
        "Class agreement, real pictures",
        _FRACTION,
        meaning="Class agreement of real pictures that nothing was learned from.",
    ),
    Quantity(
        "diversity",
        "Diversity within classes",
        _FRACTION,
        "higher",
        meaning="Mean distance of two made pictures of a class, as a share of that of two real ones.",
    ),
    Quantity("refused", "Refused by the filters", meaning="Made pictures that the filters let not through."),
)

_DATA = (
    Quantity("samples", "Pictures", meaning="Pictures of the split."),
    Quantity("classes", "Classes", meaning="Classes of the data set, or those that occur in a split."),
    Quantity("duplicates", "Duplicates", better="lower", meaning="Pairs of pictures that are equal, or look the same."),
    Quantity(
        "leaks",
        "Duplicates across splits",
        better="lower",
        meaning="Of the duplicates those whose pictures lie in different splits.",
    ),
    Quantity("skipped", "Skipped pictures", better="lower", meaning="Pictures that could not be read."),
    Quantity("empty", "Pictures without an object", meaning="Pictures in which somebody looked and found no object."),
    Quantity("not_annotated", "Pictures that are not annotated", meaning="Pictures in which nobody looked."),
    Quantity("cropped", "Cropped", _FRACTION, meaning="Pictures that were cropped, or masked."),
    Quantity("full_image", "Used whole", meaning="Pictures without a box to crop to."),
    Quantity("several_boxes", "With several boxes", meaning="Pictures with a choice of boxes to crop to."),
    Quantity(
        "kept_area",
        "Kept area",
        _FRACTION,
        meaning="Mean share of the picture that a crop keeps, or that is not masked.",
    ),
    Quantity(
        "kept_object",
        "Annotated box inside the crop",
        _FRACTION,
        "higher",
        meaning="Mean share of the annotated box that lies in the crop, or is not masked.",
    ),
)

_RUNS = (
    Quantity("fit_seconds", "Time of the trainings", "s", "lower", meaning="What all trainings of a run took."),
    Quantity("seconds", "Time of all steps", "s", "lower", meaning="What all steps of a run took, trainings too."),
)

#: Every quantity that the core measures, by name, and those of other kinds that are in use (`add`). Where several may
#: speak for a step, the first does.
QUANTITIES = _table(_ROBUSTNESS, _CLASSIFICATION, _EXPLANATION, _DETECTION, _GENERATION, _DATA, _RUNS)


def add(rows: Iterable[Quantity]) -> None:
    """Add the quantities that a kind from elsewhere measures.

    Raises:
        ValueError: a name stands for something else already.
    """
    rows = tuple(rows)
    for row in rows:
        if QUANTITIES.get(row.name, row) != row:
            raise ValueError(f"its quantity {row.name} has another meaning already: {QUANTITIES[row.name].meaning}")
    QUANTITIES.update({row.name: row for row in rows})


def quantity(name: str) -> Quantity:
    """The row of a quantity; of one that is not in the table (a plugin's own curve) a plain one under its name."""
    return QUANTITIES.get(name) or Quantity(name, name)


def headlines() -> list[str]:
    """The names of the quantities that may speak for a step, the first that a step has first."""
    return [row.name for row in QUANTITIES.values() if row.headline]
