"""How often a concept that a low layer got wrong is right at the highest, and the other way round."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from concepts.statistics.bootstrap import Weights, ratio, resample
from pipeline.explanation.cases.concept_states import State
from pipeline.results.case import CaseContent, StageContent

EXAMPLES = 6
"""Images named for each concept in which a mistake is corrected."""


def trajectory_figures(cases: Sequence[CaseContent], weights: Weights) -> dict[str, Any]:
    """By concept and lower layer the shares of mistakes that are corrected, and of what was right that is spoilt.

    Cases count whose label is known and for which both layers say present or absent.

    Args:
        cases: N, each with stages.
        weights: B x N, from `group_weights`.

    Returns:
        ``{concept: {layer: {corrected, spoilt, examples}}}``, figures as estimates with n; null where there is none.
    """
    found: dict[str, Any] = {}
    for column, concept in enumerate(cases[0].concepts) if cases else ():
        found[concept.concept] = {
            stage.layer: _figures(cases, weights, column, index) for index, stage in enumerate(concept.stages[:-1])
        }
    return found


def _figures(cases: Sequence[CaseContent], weights: Weights, column: int, index: int) -> dict[str, Any]:
    pairs = [
        (
            is_right(one.concepts[column].stages[index], one, column),
            is_right(one.concepts[column].stages[-1], one, column),
        )
        for one in cases
    ]
    both = [None not in pair for pair in pairs]
    wrong = np.array([known and not pair[0] for known, pair in zip(both, pairs, strict=True)])
    right = np.array([known and bool(pair[0]) for known, pair in zip(both, pairs, strict=True)])
    later = np.array([float(bool(pair[1])) for pair in pairs])
    corrected = np.flatnonzero(wrong & (later == 1))[:EXAMPLES]
    return {
        "corrected": _share(later, wrong, weights),
        "spoilt": _share(1 - later, right, weights),
        "examples": [cases[row].image_id for row in corrected.tolist()],
    }


def is_right(stage: StageContent, case: CaseContent, column: int) -> bool | None:
    """Whether a layer says of a concept what the label says; None where either says nothing."""
    label = case.concepts[column].label
    if label is None or stage.state not in (State.PRESENT, State.ABSENT):
        return None
    return (stage.state is State.PRESENT) == label


def _share(
    values: np.ndarray[Any, np.dtype[np.float64]], among: np.ndarray[Any, np.dtype[np.bool_]], weights: Weights
) -> dict[str, float | int | None] | None:
    if not among.any():
        return None
    some = weights[:, among]
    return resample(lambda weight: ratio(weight @ values[among], weight.sum(axis=1)), some).estimate().to_json()
