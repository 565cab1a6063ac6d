"""Every sentence that a reader of the report finds about cases, evidence and layers."""

from concepts.statistics.estimate import is_known
from pipeline.report.explained_content import CasesFigures, PointingFigures
from pipeline.report.sentences.numerals import count, plural, share

FLAGS = {
    "abstain": "more than one diagnosis plausible (abstains)",
    "conflict": "concepts and call contradict each other",
    "out_of_scope": "out of scope",
}
WHITENING = ".whitening"
"""Ending of an inserted layer's name, which says nothing to readers."""


def cases(found: CasesFigures) -> str:
    """How many cases were explained, and how often their calls and sets of plausible diagnoses are right."""
    return (
        f"{count(found.explained)} of {plural(found.of, 'test image')} explained one by one. The call is the recorded "
        f"diagnosis in {share(found.right)}; the set of plausible diagnoses holds it in {share(found.covered)}."
    )


def planted(found: CasesFigures) -> str:
    """How often contributions find the planted cause; empty where none is known."""
    if found.planted_decided is None or found.planted_called is None:
        return ""
    return (
        "In lesions that one planted concept decided by the rule, that concept has the largest contribution of all "
        f"concepts to the rule's diagnosis in {share(found.planted_decided)}; among those that the network called so, "
        f"in {share(found.planted_called)}. Decided means: without the concept another diagnosis would be the most "
        "probable, and no other concept of the lesion is such a one."
    )


def pointing(row: PointingFigures) -> str:
    """What a hit rate shows against chance and Grad-CAM."""
    hit, chance, better = row.hit_rate, row.chance, row.above_grad_cam
    if hit is None or chance is None or better is None or not is_known(hit) or not is_known(better):
        return row.reason or "no interval"
    against_chance = "above chance" if hit.low > chance.value else "not shown to be above chance"
    if better.low > 0:
        return f"{against_chance}, above Grad-CAM"
    return f"{against_chance}, {'below Grad-CAM' if better.high < 0 else 'not told from Grad-CAM'}"


def layer(name: str) -> str:
    """A layer's name without what every inserted layer's name has."""
    return name.removesuffix(WHITENING)
