"""Every sentence of the report about sanity checks and the stability of the order of concepts."""

from collections.abc import Sequence

from concepts.statistics.estimate import is_known
from pipeline.report.scrutiny_content import Check, ConceptSanity, RankRow, Sanity, StabilityPanel
from pipeline.report.sentences.numerals import (
    INTERVAL,
    NOT_ASSESSABLE,
    SPACE,
    capital,
    count,
    enumeration,
    estimate,
    number,
    percent,
    plural,
    short,
)

OVERALL = "overall"
SELDOM = 0.01
"""Share of resamples below which a concept that is first there is not named."""


def sanity_summary(sanity: Sanity | None) -> str:
    """How many concepts' figures survive randomisation; empty where there was no check."""
    if sanity is None:
        return ""
    meaningless = [one.name for one in sanity.concepts if one.meaningless(OVERALL)]
    known = [one for one in sanity.concepts if one.meaningless(OVERALL) is not None]
    if not known:
        return "No concept's importance could be held against randomised weights and labels."
    if not meaningless:
        return (
            f"The importance of all {plural(len(known), 'concept')} over all diagnoses is told from that under "
            "randomised weights and under permuted labels."
        )
    return (
        f"Of {plural(len(known), 'concept')}, the importance of {enumeration(meaningless)} over all diagnoses is "
        "meaningless: it cannot be told from that under randomised weights or permuted labels."
    )


def sanity_method(sanity: Sanity) -> str:
    """What was randomised, and how the verdict comes about."""
    return (
        f"An explanation that stays as it is when what was learnt is taken away explains nothing. So importance was "
        f"measured again in {plural(sanity.draws, 'network')} whose weights after the layer are in random order, and "
        f"for axes aligned, without any training, with {plural(sanity.draws, 'random permutation')} of the training "
        "images' concept labels; the AUC of such axes too. A figure is called meaningless where the interval of its "
        f"difference from the randomised ones does not lie above 0. With {plural(_checks(sanity), 'check')} and none "
        "corrected for their number, a few pass by chance; a figure that is small is bound to fail."
    )


def importance_verdict(concept: ConceptSanity, target: str = OVERALL) -> str:
    """Whether a concept's importance survives, in words."""
    weights, labels = concept.weights[target], concept.labels[target]
    verdict = concept.meaningless(target)
    if verdict is None:
        return f"{capital(NOT_ASSESSABLE)}."
    if not verdict:
        return (
            "Told from randomised weights "
            f"(difference {short(weights.difference, 2)}) and from permuted labels ({short(labels.difference, 2)})."
        )
    found = [
        f"{what} (difference {short(one.difference, 2)})"
        for what, one in (("randomised weights", weights), ("permuted labels", labels))
        if one.meaningless
    ]
    return f"Meaningless: {number(weights.own.value, 2)} cannot be told from {' or '.join(found)}."


def purity_verdict(concept: ConceptSanity) -> str:
    """Whether a concept's axis AUC survives, in words."""
    check = concept.purity
    if check.meaningless is None:
        return f"{capital(NOT_ASSESSABLE)}."
    if not check.meaningless:
        return f"Told from permuted labels (difference {short(check.difference, 2)})."
    return (
        f"Meaningless: {number(check.own.value, 2)} cannot be told from axes of permuted labels (difference "
        f"{short(check.difference, 2)})."
    )


def null(check: Check, decimals: int = 2) -> str:
    """What randomised draws give: ``1.00 (0.98 to 1.02, 10 draws)``."""
    if check.null.value != check.null.value:
        return NOT_ASSESSABLE
    ends = f"{number(check.null.low, decimals)} to {number(check.null.high, decimals)}"
    return f"{number(check.null.value, decimals)} ({ends}, {plural(check.null.n, 'draw')})"


def mark(verdict: bool | None) -> str:
    """One word for a verdict."""
    if verdict is None:
        return NOT_ASSESSABLE
    return "meaningless" if verdict else "told apart"


def stability(panel: StabilityPanel) -> str:
    """How far the order of the concepts depends on the patients in the test set."""
    if not is_known(panel.tau):
        return f"For {panel.target}, the stability of the order is {NOT_ASSESSABLE}."
    first = panel.rows[0]
    rival = _rival(panel.rows)
    often = f"{first.name} is first in {percent(first.first)} of {plural(panel.resamples, 'resample')}"
    said = f"{often}{f', {rival.name} in {percent(rival.first)}' if rival else ''}"
    return f"{capital(panel.target)}: {said}; Kendall's tau with the order of a resample {estimate(panel.tau, 2)}."


def stability_method() -> str:
    """What is resampled, and what is not."""
    return (
        "The test images were drawn anew, group by group, and the concepts ordered again by importance. Ranks are "
        f"those on the test images, with the middle 95{SPACE}% over the resamples; a tau of 1 is the same order. This "
        "is the chance of the test images and of permutations alone: another training run may give another order "
        "('dermaxis compare' of runs with several seeds says how far)."
    )


def rank(row: RankRow) -> str:
    """A rank with its interval: ``2 (1 to 3)``."""
    return f"{count(round(row.rank.value))} ({count(round(row.rank.low))} to {count(round(row.rank.high))})"


def ranks_caption(panel: StabilityPanel) -> str:
    """What the table of ranks shows."""
    return (
        f"Rank by importance for {panel.target}, {INTERVAL} over {plural(panel.resamples, 'resample')} of "
        f"{count(panel.tau.n)} test images; share of resamples in which the concept is first, and has this rank."
    )


def _rival(rows: Sequence[RankRow]) -> RankRow | None:
    other = max(rows[1:], key=lambda row: row.first, default=None)
    return other if other is not None and other.first >= SELDOM else None


def _checks(sanity: Sanity) -> int:
    return sum(len(one.weights) + len(one.labels) + 1 for one in sanity.concepts)
