"""Figures over a run's explained cases: how often flags are raised and calls are right, planted causes, layers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from concepts.statistics.bootstrap import Weights, known_mean
from pipeline.explanation.cases.planted import cause_hits, causes
from pipeline.results.case import CaseContent
from pipeline.results.cases import CasesResult, FlagRates, LayerCourse, PlantedCause

EXAMPLES = 6
"""Corrected cases that are named for each concept and layer."""


def cases_result(cases: Sequence[CaseContent], *, of: int, weights: Weights) -> CasesResult:
    """Count how often flags are raised, and how often the call is right with and without them.

    Args:
        cases: n explained test images whose diagnosis is recorded.
        of: How many test images there are.
        weights: B x n, the columns of these images in the weights from `group_weights`.
    """
    right = np.array([float(not case.wrong) for case in cases])
    covered = [
        float(any(entry.plausible and entry.diagnosis == case.reference for entry in case.differential))
        for case in cases
    ]

    def flag(raised: Sequence[bool]) -> FlagRates:
        is_raised = np.array(raised, dtype=np.bool_)
        return FlagRates(
            share=known_mean(is_raised.astype(np.float64), weights).estimate(),
            right_where_raised=known_mean(np.where(is_raised, right, np.nan), weights).estimate(),
            right_elsewhere=known_mean(np.where(is_raised, np.nan, right), weights).estimate(),
        )

    return CasesResult(
        n=len(cases),
        of=of,
        right=known_mean(right, weights).estimate(),
        plausible_set_covers=known_mean(np.array(covered), weights).estimate(),
        abstain=flag([case.abstain for case in cases]),
        conflict=flag([case.conflict for case in cases]),
        out_of_scope=flag([case.scope.out_of_scope for case in cases]),
    )


def planted_cause_rates(cases: Sequence[CaseContent], labels: NDArray[np.float64], weights: Weights) -> PlantedCause:
    """Count how often the planted cause of a phantom lesion has the largest contribution.

    Args:
        cases: n explained test images.
        labels: n x k planted concepts, in axis order.
        weights: B x n, as in `cases_result`.
    """
    concepts = [entry.concept for entry in cases[0].concepts] if cases else []
    shares = [
        {
            entry.diagnosis: {
                concept.concept: concept.contributions[entry.diagnosis].share for concept in case.concepts
            }
            for entry in case.differential
        }
        for case in cases
    ]
    hits = cause_hits(labels, shares, concepts=concepts)
    called_so = [
        cause is not None and cause[1] == case.call for cause, case in zip(causes(labels, concepts), cases, strict=True)
    ]
    return PlantedCause(
        decided=known_mean(hits, weights).estimate(),
        decided_and_called=known_mean(np.where(called_so, hits, np.nan), weights).estimate(),
    )


def layer_courses(cases: Sequence[CaseContent], weights: Weights) -> dict[str, dict[str, LayerCourse]]:
    """Count, by concept and lower layer, mistakes that the highest layer corrects and what it spoils.

    Cases count whose label is known and for which both layers say present or absent.

    Args:
        cases: n, each with its stages.
        weights: B x n, as in `cases_result`.
    """
    return {
        concept.concept: {
            stage.layer: _course(cases, weights, column=column, index=index)
            for index, stage in enumerate(concept.stages[:-1])
        }
        for column, concept in enumerate(cases[0].concepts if cases else ())
    }


def _course(cases: Sequence[CaseContent], weights: Weights, *, column: int, index: int) -> LayerCourse:
    concepts = [case.concepts[column] for case in cases]
    below = [concept.stages[index].is_right(concept.label) for concept in concepts]
    above = [concept.stages[-1].is_right(concept.label) for concept in concepts]
    both = [None not in pair for pair in zip(below, above, strict=True)]
    was_wrong = np.array([usable and not right for usable, right in zip(both, below, strict=True)])
    was_right = np.array([usable and bool(right) for usable, right in zip(both, below, strict=True)])
    ends_right = np.array([float(bool(right)) for right in above])
    corrected = np.flatnonzero(was_wrong & (ends_right == 1))[:EXAMPLES]
    return LayerCourse(
        corrected=known_mean(np.where(was_wrong, ends_right, np.nan), weights).estimate() if was_wrong.any() else None,
        spoilt=known_mean(np.where(was_right, 1 - ends_right, np.nan), weights).estimate() if was_right.any() else None,
        examples=tuple(cases[row].image_id for row in corrected.tolist()),
    )
