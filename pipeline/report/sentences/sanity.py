"""Every sentence of the report about sanity checks and the stability of the order of concepts."""

from collections.abc import Mapping

from concepts.statistics.estimate import is_known
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
from pipeline.results.importance import OVERALL
from pipeline.results.names import Names
from pipeline.results.trust import NullCheck, OrderStability, RankStability, SanityResult

SELDOM = 0.01
"""Share of resamples below which a concept that is first there is not named."""
STABILITY_METHOD = (
    "The test images were drawn anew, group by group, and the concepts ordered again by importance. Ranks are "
    f"those on the test images, with the middle 95{SPACE}% over the resamples; a tau of 1 is the same order. This "
    "is the chance of the test images and of permutations alone: another training run may give another order "
    "('dermaxis compare' of runs with several seeds says how far)."
)


def summary(sanity: SanityResult | None, names: Names) -> str:
    """Say how many concepts' figures survive randomisation; empty where there was no check."""
    if sanity is None:
        return ""
    verdicts = {concept: sanity.is_meaningless(OVERALL, concept) for concept in sanity.concepts}
    checked = [concept for concept, verdict in verdicts.items() if verdict is not None]
    meaningless = [names.concept(concept) for concept, verdict in verdicts.items() if verdict]
    if not checked:
        return "No concept's importance could be held against randomised weights and labels."
    if not meaningless:
        return (
            f"The importance of all {plural(len(checked), 'concept')} over all diagnoses is told from that under "
            "randomised weights and under permuted labels."
        )
    return (
        f"Of {plural(len(checked), 'concept')}, the importance of {enumeration(meaningless)} over all diagnoses is "
        "meaningless: it cannot be told from that under randomised weights or permuted labels."
    )


def method(sanity: SanityResult) -> str:
    """Say what was randomised, and how the verdict comes about."""
    return (
        f"An explanation that stays as it is when what was learnt is taken away explains nothing. So importance was "
        f"measured again in {plural(sanity.draws, 'network')} whose weights after the layer are in random order, and "
        f"for axes aligned, without any training, with {plural(sanity.draws, 'random permutation')} of the training "
        "images' concept labels; the AUC of such axes too. A figure is called meaningless where the interval of its "
        f"difference from the randomised ones does not lie above 0. With {plural(sanity.checks, 'check')} and none "
        "corrected for their number, a few pass by chance; a figure that is small is bound to fail."
    )


def importance_verdict(sanity: SanityResult, concept: str, target: str = OVERALL) -> str:
    """Say whether a concept's importance survives."""
    weights = sanity.importance_randomised_weights[target][concept]
    labels = sanity.importance_permuted_labels[target][concept]
    verdict = sanity.is_meaningless(target, concept)
    if verdict is None:
        return f"{capital(NOT_ASSESSABLE)}."
    if not verdict:
        return (
            f"Told from randomised weights (difference {short(weights.difference, 2)}) and from permuted labels "
            f"({short(labels.difference, 2)})."
        )
    alike = [
        f"{what} (difference {short(check.difference, 2)})"
        for what, check in (("randomised weights", weights), ("permuted labels", labels))
        if check.meaningless
    ]
    return f"Meaningless: {number(weights.figure.value, 2)} cannot be told from {' or '.join(alike)}."


def purity_verdict(check: NullCheck) -> str:
    """Say whether a concept's axis AUC survives."""
    if check.meaningless is None:
        return f"{capital(NOT_ASSESSABLE)}."
    if not check.meaningless:
        return f"Told from permuted labels (difference {short(check.difference, 2)})."
    return (
        f"Meaningless: {number(check.figure.value, 2)} cannot be told from axes of permuted labels (difference "
        f"{short(check.difference, 2)})."
    )


def null(check: NullCheck, decimals: int = 2) -> str:
    """Say what randomised draws give: ``1.00 (0.98 to 1.02, 10 draws)``."""
    if check.null.value != check.null.value:
        return NOT_ASSESSABLE
    ends = f"{number(check.null.low, decimals)} to {number(check.null.high, decimals)}"
    return f"{number(check.null.value, decimals)} ({ends}, {plural(check.null.n, 'draw')})"


def mark(verdict: bool | None) -> str:
    """Give a verdict in a word or two."""
    if verdict is None:
        return NOT_ASSESSABLE
    return "meaningless" if verdict else "told apart"


def stability(target: str, order: OrderStability, names: Names) -> str:
    """Say how far the order of the concepts depends on the patients in the test set."""
    subject = names.target(target)
    if not is_known(order.tau):
        return f"For {subject}, the stability of the order is {NOT_ASSESSABLE}."
    first, *others = order.ranked
    rival = _rival({concept: order.concepts[concept] for concept in others})
    often = percent(order.concepts[first].first)
    sentence = f"{names.concept(first)} is first in {often} of {plural(order.resamples, 'resample')}"
    if rival is not None:
        sentence += f", {names.concept(rival)} in {percent(order.concepts[rival].first)}"
    return f"{capital(subject)}: {sentence}; Kendall's tau with the order of a resample {estimate(order.tau, 2)}."


def rank(row: RankStability) -> str:
    """Give a rank with its interval: ``2 (1 to 3)``."""
    return f"{count(round(row.rank.value))} ({count(round(row.rank.low))} to {count(round(row.rank.high))})"


def ranks_caption(target: str, order: OrderStability, names: Names) -> str:
    """Say what the table of ranks shows."""
    return (
        f"Rank by importance for {names.target(target)}, {INTERVAL} over {plural(order.resamples, 'resample')} of "
        f"{count(order.tau.n)} test images; share of resamples in which the concept is first, and has this rank."
    )


def _rival(others: Mapping[str, RankStability]) -> str | None:
    other = max(others, key=lambda concept: others[concept].first, default=None)
    return other if other is not None and others[other].first >= SELDOM else None
