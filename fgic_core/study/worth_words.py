"""What synthetic pictures are worth, in words, with the numbers."""

from __future__ import annotations

import math

from fgic_core.metrics.worth import Rate
from fgic_core.study.worth import Foretells, SyntheticWorth, Target, untold

#: How the numbers are come to; it stands below the table of them.
HOW = (
    "Pipelines that learn from real pictures alone are the curve, taken to be linear in the logarithm of their number "
    "between two sizes that were run, and not continued beyond its ends. What a target's synthetic pictures are worth "
    "is the number of real pictures at which the curve is as good, less the real ones that the target has, over its "
    "synthetic ones. The 95 % interval holds every number at which the target is not told from the curve, by t over "
    "the variance of seeds and of test pictures together (Fieller 1954), and is open where the curve ends; it is not "
    "adjusted, and nothing of this is in the family of tests. With fewer than three seeds nothing is said, nor where "
    "the curve does not rise beyond chance. Pictures are counted as the classifier is given them, those that it holds "
    "out to choose by as well. A curve's arm with more pictures takes more steps, as a target does."
)
#: What is this near to an end of the curve is at it.
_ROUNDING = 1e-9
#: How FID comes to be measured.
NO_FID = (
    "FID and KID were not measured, so that nothing is said of whether they foretell the worth: give the generator "
    "fid_weights (or fid_pretrained: true) and fid_samples."
)


def rates(value: float) -> str:
    """How many real pictures one is worth: ``0.30``, ``12``."""
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:,.0f}"


def pictures(value: float) -> str:
    """A number of pictures, which may be a mean."""
    return f"{value:,.0f}" if abs(value - round(value)) < 0.05 else f"{value:,.1f}"


def worth(rate: Rate) -> str:
    """``0.30``, or ``more than 2.1`` where it is told to lie beyond the curve, ``may be more than`` where it is not."""
    if math.isfinite(rate.value):
        return rates(rate.value)
    may = "" if beyond(rate) else "may be "
    return f"{may}more than {rates(rate.most)}" if rate.value > 0 else f"{may}less than {rates(rate.least)}"


def beyond(rate: Rate) -> bool:
    """Whether the whole interval lies beyond one end of the curve."""
    above, below = rate.low - rate.most, rate.least - rate.high
    return max(above, below) > -_ROUNDING


def span(rate: Rate) -> str:
    """``0.10 to 0.62``, ``0.10 or more``, ``anything``; empty where there is no interval."""
    if math.isnan(rate.low):
        return ""
    if math.isinf(rate.low) and math.isinf(rate.high):
        return "anything"
    if math.isinf(rate.high):
        return f"{rates(rate.low)} or more"
    return f"{rates(rate.high)} or less" if math.isinf(rate.low) else f"{rates(rate.low)} to {rates(rate.high)}"


def sentence(one: Target) -> str:
    """What the synthetic pictures of an arm are worth."""
    if one.rate is None or one.reached is None or one.pictures is None:
        return f"{one.arm}: what a synthetic picture is worth cannot be said, for {one.why}."
    rate, real, made = one.rate, pictures(one.pictures.real), pictures(one.pictures.synthetic)
    ends = f"from {pictures(one.reached.first)} to {pictures(one.reached.last)} real pictures"
    if why := untold(one.reached):
        return f"{one.arm}: what a synthetic picture is worth cannot be told: {why}."
    ends = f"from {pictures(one.reached.first)} to {pictures(one.reached.last)} real pictures"
    between = f" (95 % {span(rate)})" if span(rate) else ""
    said = f"{one.arm}: one synthetic picture is worth {worth(rate)} real ones{between}"
    beside = f" beside {real} real ones" if one.pictures.real else ""
    nothing = " That is not told from nothing." if rate.low <= 0 <= rate.high else ""
    if math.isinf(rate.value):
        which = "better" if rate.value > 0 else "worse"
        if beyond(rate):
            return f"{said}: with {made} of them{beside} it is {which} than all of the curve {ends}."
        return (
            f"{one.arm}: one synthetic picture is worth {span(rate)} real ones (95 %): with {made} of them{beside} it "
            f"measured {which} than all of the curve {ends}, which may be chance.{nothing}"
        )
    more = one.reached.value - one.pictures.real
    did = f"did what {pictures(more)} {'more ' * bool(one.pictures.real)}real ones do"
    if more < 0:
        did = f"{'do harm:' if rate.high < 0 else 'did'} the same as to leave out {pictures(-more)} real ones"
    return f"{said}: {made} of them{beside} {did}.{nothing}"


def sentences(found: SyntheticWorth) -> list[str]:
    """One for each arm that is asked about."""
    return [sentence(one) for one in found.targets]


def foretold(one: Foretells) -> str:
    """Whether a quantity goes with the worth."""
    count = f"{len(one.arms)} arm{'s' * (len(one.arms) != 1)}"
    if math.isnan(one.rho):
        return f"Whether {one.quantity} goes with the worth, {count} cannot say."
    said = "they hardly go together"
    if abs(one.rho) >= 0.5:
        said = f"the {'lower' if one.rho < 0 else 'higher'} {one.quantity}, the more a picture is worth"
    rank = f"{one.quantity} and worth, by rank over {count}: Spearman's rho is {one.rho:.2f} ({said})"
    return f"{rank}. It describes these arms, measured on as many pictures each, and no others."
