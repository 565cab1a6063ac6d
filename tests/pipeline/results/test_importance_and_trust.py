"""Importance and trust: what is written reads back the same, and what is derived follows from it."""

from math import nan

import pytest
from pydantic import ValidationError

from concepts.example import Polarity
from concepts.statistics.estimate import Estimate
from pipeline.results.importance import (
    OVERALL,
    AxisExample,
    AxisImportance,
    TargetImportance,
    TcavScore,
    ordered_targets,
)
from pipeline.results.result import Band
from pipeline.results.trust import (
    FailedConcept,
    Failure,
    FailuresResult,
    NullCheck,
    OrderStability,
    RankStability,
    SanityResult,
)

FIGURE, UNKNOWN = Estimate(1.4, 1.2, 1.6, 9), Estimate(nan, nan, nan, 0)
NO_BAND = Band(low=nan, high=nan)


def axis(rank, figure=FIGURE, null=NO_BAND):
    return AxisImportance(ratio=figure, rank=rank, null=null)


def check(meaningless):
    return NullCheck(figure=FIGURE, null=FIGURE, difference=UNKNOWN, meaningless=meaningless)


def sanity(weights=False, labels=False):
    return SanityResult(
        draws=3,
        importance_randomised_weights={OVERALL: {"streaks": check(weights)}},
        importance_permuted_labels={OVERALL: {"streaks": check(labels)}},
        purity_permuted_labels={"streaks": check(None)},
    )


IMPORTANCE = TargetImportance(
    concepts={"thin": axis(None, UNKNOWN), "streaks": axis(2), "globules": axis(1)}, unnamed_share=UNKNOWN
)
STABILITY = OrderStability(
    tau=UNKNOWN,
    resamples=50,
    concepts={
        "streaks": RankStability(rank=Estimate(2, 1, 2, 9), first=0.1, same=0.9),
        "globules": RankStability(rank=Estimate(1, 1, 2, 9), first=0.9, same=0.8),
    },
)
FAILURES = FailuresResult(
    wrong=FIGURE,
    confident=0.8,
    wrong_where_confident=UNKNOWN,
    gallery=(
        Failure(
            image_id="a",
            truth="melanoma",
            call="nevus",
            probability=0.9,
            probability_of_truth=0.1,
            concepts=(FailedConcept(concept="streaks", state="absent", label=None),),
            picture="cases/a.jpg",
        ),
    ),
)
EXAMPLES = [
    AxisExample(
        image_id="a", activation=1.0, percentile=50.0, marking=marking, diagnosis="nevus", picture="exemplars/a.jpg"
    )
    for marking in (*Polarity, None)
]
SCORE = TcavScore(share=FIGURE, null=NO_BAND)


@pytest.mark.parametrize("result", [IMPORTANCE, STABILITY, sanity(), FAILURES, SCORE, *EXAMPLES])
def test_what_is_written_reads_back_the_same_and_nothing_else_is_read(result):
    content = result.model_dump(mode="json")
    assert type(result).model_validate(content).model_dump(mode="json") == content
    assert type(result).model_validate_json(result.model_dump_json()).model_dump(mode="json") == content
    with pytest.raises(ValidationError, match="surplus"):
        type(result).model_validate(content | {"surplus": 1})


def test_axes_are_listed_by_rank_and_those_without_one_last():
    assert list(IMPORTANCE.ranked) == ["globules", "streaks", "thin"]
    assert IMPORTANCE.ranked["streaks"] is IMPORTANCE.concepts["streaks"]
    assert list(STABILITY.ranked) == ["globules", "streaks"]


@pytest.mark.parametrize(
    ("low", "high_of_band", "stands_out"),
    [(1.1, nan, True), (1.0, nan, False), (1.1, 1.09, True), (1.1, 1.1, False), (0.95, 0.9, False), (nan, nan, False)],
)
def test_an_axis_stands_out_above_one_and_above_the_band(low, high_of_band, stands_out):
    figure = Estimate(1.4, low, 1.6, 9)
    assert axis(1, figure, Band(low=0.9, high=high_of_band)).stands_out is stands_out


def test_all_diagnoses_together_come_first():
    assert ordered_targets(dict.fromkeys(["nevus", OVERALL, "melanoma"], IMPORTANCE)) == [OVERALL, "nevus", "melanoma"]


@pytest.mark.parametrize(
    ("weights", "labels", "meaningless"),
    [
        (False, False, False),
        (True, False, True),
        (False, True, True),
        (True, True, True),
        (None, True, None),
        (False, None, None),
    ],
)
def test_importance_is_meaningless_where_either_check_says_so_and_unknown_where_one_is_missing(
    weights, labels, meaningless
):
    assert sanity(weights, labels).is_meaningless(OVERALL, "streaks") is meaningless


def test_every_figure_that_is_checked_is_counted():
    assert sanity().checks == 3
    assert sanity().concepts == ("streaks",)
