"""How numbers are written: percents, intervals, perturbation sizes, times."""

from __future__ import annotations

import math

from fgic_core.data.artifact import Metric

#: Keeps a number and its unit on one line.
NBSP = "\N{NO-BREAK SPACE}"
DASH = "\N{EN DASH}"
#: Stands for a metric without a value; the metric's note says why.
MISSING = "not computed"

#: The names that readers know the core's metrics by.
LABELS = {
    "accuracy": "Accuracy",
    "top5_accuracy": "Top-5 accuracy",
    "mean_class_accuracy": "Mean class accuracy",
    "majority_accuracy": "Share of the most frequent class",
    "loss": "Loss",
    "lr": "Learning rate",
    "pointing_game": "Pointing game",
    "pointing_game_center": "Pointing game, centre point",
    "pointing_game_random": "Pointing game, random point",
    "energy_in_box": "Energy inside the box",
    "pointing_detected": "Pointing game, detector's boxes",
    "pointing_detected_center": "Pointing game, detector's boxes, centre point",
    "pointing_detected_random": "Pointing game, detector's boxes, random point",
    "energy_in_detected": "Energy inside the detector's box",
    "clean_accuracy": "Clean accuracy",
    "robust_accuracy": "Robust accuracy",
    "attack_success": "Attack success",
    "distance": "Mean distance",
    "check_monotone": "Larger eps, more survivors",
    "check_zero_gradient": "Zero gradient",
    "check_fgsm": "One step (FGSM)",
    "check_noise": "Random noise",
    "check_margin_pgd": "Margin loss (PGD)",
    "check_unbounded": "No bound",
    "samples": "Pictures",
    "real": "Real pictures",
    "synthetic": "Synthetic pictures",
    "classes": "Classes",
    "duplicates": "Duplicates",
    "skipped": "Skipped pictures",
    "empty": "Pictures without an object",
    "not_annotated": "Pictures that are not annotated",
    "box_recall50": "Recall of the box that crops use, IoU 0.5",
    "box_recall50_whole": "Recall of the whole picture as box",
    "recall50": "Recall of all objects, IoU 0.5",
    "mean_iou": "Mean IoU",
    "no_detection": "Pictures without a detection",
    "false_alarms": "Empty pictures in which something was found",
    "negatives": "Train pictures without an object",
    "cropped": "Cropped",
    "full_image": "Used whole",
    "several_boxes": "With several boxes",
    "kept_area": "Kept area",
    "kept_object": "Annotated box inside the crop",
    "randomisation_similarity": "Similarity under random weights",
    "zero_maps": "All-zero maps",
    "refused": "Refused by the filters",
    "copies": "Copies of train pictures",
    "FID": "FID",
    "FID_real": "FID of unseen real pictures",
    "FID_noise": "FID of noise",
    "KID": "KID",
    "KID_real": "KID of unseen real pictures",
    "precision": "Precision",
    "recall": "Recall",
    "memorised": "Memorised",
    "class_agreement": "Class agreement",
    "class_agreement_real": "Class agreement, real pictures",
    "diversity": "Diversity within classes",
}


#: What is said where train pictures alone were measured: their figures tell nothing of new pictures.
NO_FIGURE = "no test or validation figure"
OF_TRAIN = "These are figures of train pictures, which the model may have learned from: they say nothing of new ones."


def is_of_train(metric: Metric) -> bool:
    """Whether the number was measured on train pictures, which must not stand for what is new."""
    return metric.part == "train" or metric.part.startswith("train,")


def label(name: str) -> str:
    """A metric's name for people; the name itself where it is not one of the core's."""
    return LABELS.get(name, name)


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as a percentage, such as ``81.3 %``; a dash where there is no number."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{100 * value:.{digits}f}{NBSP}%"


def number(value: float | None) -> str:
    """Four significant digits; integers in full."""
    if value is None or not math.isfinite(value):
        return DASH
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:.4g}"


def amount(metric: Metric) -> str:
    """A metric's value with its unit; ``not computed`` where it has none."""
    if metric.value is None or not math.isfinite(metric.value):
        return MISSING
    if metric.unit == "fraction":
        return percent(metric.value)
    text = number(metric.value)
    return f"{text}{NBSP}{metric.unit}" if metric.unit else text


def interval(metric: Metric) -> str:
    """The 95 % confidence interval, such as ``77.1-84.8`` (with an en dash); empty where there is none."""
    if metric.low is None or metric.high is None or not (math.isfinite(metric.low) and math.isfinite(metric.high)):
        return ""
    if metric.unit == "fraction":
        return f"{100 * metric.low:.1f}{DASH}{100 * metric.high:.1f}"
    return f"{number(metric.low)}{DASH}{number(metric.high)}"


def with_interval(metric: Metric) -> str:
    """Value, interval and count, such as ``81.3 % (77.1-84.8, n = 395)``; ``not computed`` alone without a value."""
    if amount(metric) == MISSING:
        return MISSING
    about = [text for text in (interval(metric), f"n{NBSP}={NBSP}{metric.n}" if metric.n is not None else "") if text]
    return f"{amount(metric)} ({', '.join(about)})" if about else amount(metric)


def parse_eps(part: str) -> float | None:
    """The epsilon of a part such as ``eps=4/255``, ``eps=0.5/255`` or ``eps=0.5``; None where it names none."""
    name, found, value = part.partition("=")
    if not found or name.strip() != "eps":
        return None
    above, _, below = value.partition("/")
    try:
        eps = float(above) / float(below or 1)  # Fraction refuses 0.5/255
    except (ValueError, ZeroDivisionError):
        return None
    return eps if math.isfinite(eps) else None


def eps_text(eps: float, norm: str = "Linf") -> str:
    """``4/255`` for the max norm, in which pixel steps are what people think in; a plain number otherwise."""
    if norm == "Linf":
        steps = eps * 255
        return "0" if steps == 0 else f"{round(steps, 2):g}/255"
    return f"{eps:.4g}"


def seconds(value: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if value < 10:
        return f"{value:.1f}{NBSP}s"
    whole = round(value)
    if whole < 60:
        return f"{whole}{NBSP}s"
    if whole < 3600:
        return f"{whole // 60}{NBSP}min {whole % 60:02d}{NBSP}s"
    return f"{whole // 3600}{NBSP}h {whole % 3600 // 60:02d}{NBSP}min"


def moment(iso: str) -> str:
    """An ISO 8601 time to the minute, such as ``2026-01-31 14:05 UTC``; what cannot be read is left as it is."""
    from datetime import datetime, timezone

    try:
        return (
            datetime.fromisoformat(iso.replace("Z", "+00:00")).astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        )
    except ValueError:
        return iso


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 class``, ``3 classes``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"
