"""Every sentence that a reader of the report finds about cases, evidence maps and layers."""

from concepts.statistics.estimate import is_known
from pipeline.report.sentences.numerals import count, plural, share
from pipeline.results.cases import CasesResult, FlagRates, PlantedCause, PointingRates

WHITENING = ".whitening"
"""Ending of an inserted layer's name, which says nothing to readers."""
ALL_CONCEPTS = "all concepts"


def cases(result: CasesResult) -> str:
    """Say how many cases were explained, and how often their calls and sets of plausible diagnoses are right."""
    return (
        f"{count(result.n)} of {plural(result.of, 'test image')} were explained one by one. The call is the recorded "
        f"diagnosis in {share(result.right)}. The set of plausible diagnoses contains it in "
        f"{share(result.plausible_set_covers)}."
    )


def flags(result: CasesResult) -> list[tuple[str, FlagRates]]:
    """Return each flag that a case can raise, in words, with its rates."""
    return [
        ("more than one diagnosis plausible (the network abstains)", result.abstain),
        ("concepts and call contradict each other", result.conflict),
        ("out of scope", result.out_of_scope),
    ]


def planted(cause: PlantedCause) -> str:
    """Say how often contributions find the planted cause."""
    return (
        "In lesions that one planted concept decided by the rule, this concept has the largest contribution of all "
        f"concepts to the rule's diagnosis in {share(cause.decided)}. Among those that the network called as the rule "
        f"has it, it does in {share(cause.decided_and_called)}. A concept decides where another diagnosis would be the "
        "most probable without it, and no other concept of the lesion does."
    )


def pointing(rates: PointingRates) -> str:
    """Say what a hit rate shows against chance and against Grad-CAM."""
    hit, chance, better = rates.hit_rate, rates.chance, rates.above_grad_cam
    if hit is None or chance is None or better is None or not is_known(hit) or not is_known(better):
        return rates.reason or "no interval"
    against_chance = "above chance" if hit.low > chance.value else "not shown to be above chance"
    if better.low > 0:
        return f"{against_chance}, above Grad-CAM"
    return f"{against_chance}, {'below Grad-CAM' if better.high < 0 else 'not distinguishable from Grad-CAM'}"


def layer(name: str) -> str:
    """Return a layer's name without the ending that every inserted layer has."""
    return name.removesuffix(WHITENING)
