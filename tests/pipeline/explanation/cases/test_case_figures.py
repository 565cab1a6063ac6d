"""Figures over cases: each of its own flag, over the cases that it counts, with their own weights."""

import numpy as np
import pytest
from fake_cases import made_case, made_concept, made_shares

from concepts.statistics.bootstrap import group_weights, known_mean
from pipeline.data.phantom.rule import CONCEPTS, DIAGNOSES
from pipeline.explanation.cases.case_figures import EXAMPLES, cases_result, layer_courses, planted_cause_rates
from pipeline.results.case import ConceptState

P, A, U, N = ConceptState.PRESENT, ConceptState.ABSENT, ConceptState.UNCERTAIN, ConceptState.NOT_ASSESSABLE
EVEN = np.ones((1, 8), dtype=np.float32)
CASES = [
    made_case(call="melanoma", reference="melanoma"),
    made_case(call="melanoma", reference="nevus", plausible=["nevus"], conflict=True),
    made_case(call="nevus", reference="nevus", out_of_scope=True),
    made_case(call="nevus", reference="melanoma", out_of_scope=True),
    made_case(call="nevus", reference="nevus", plausible=["melanoma"], out_of_scope=True),
    made_case(call="melanoma", reference="melanoma", conflict=True),
    made_case(call="melanoma", reference="nevus", conflict=True),
    made_case(call="nevus", reference="nevus", plausible=["melanoma"], conflict=True, out_of_scope=True),
]
RIGHT = [1, 0, 1, 0, 1, 1, 0, 1]
FLAGS = {
    "abstain": [0, 1, 0, 0, 1, 0, 0, 1],
    "conflict": [0, 1, 0, 0, 0, 1, 1, 1],
    "out_of_scope": [0, 0, 1, 1, 1, 0, 0, 1],
}


def drawn(count=8, resamples=300):
    return group_weights(
        [str(row // 2) for row in range(count)], resamples=resamples, generator=np.random.default_rng(0)
    )


def figures(estimate):
    return estimate.value, estimate.n


def test_right_and_covered_are_counted_of_all_cases():
    result = cases_result(CASES, of=50, weights=drawn())
    assert (result.n, result.of) == (8, 50)
    assert figures(result.right) == (5 / 8, 8)
    assert figures(result.plausible_set_covers) == (6 / 8, 8), "the second case is wrong, but covered"


@pytest.mark.parametrize("flag", FLAGS)
def test_each_flag_counts_the_cases_that_raise_it(flag):
    rates = getattr(cases_result(CASES, of=8, weights=drawn()), flag)
    raised, right = np.array(FLAGS[flag], dtype=bool), np.array(RIGHT, dtype=float)
    assert figures(rates.share) == (raised.mean(), 8)
    assert figures(rates.right_where_raised) == (right[raised].mean(), raised.sum())
    assert figures(rates.right_elsewhere) == (right[~raised].mean(), (~raised).sum())


def test_a_flag_that_nobody_raises_has_no_rate_where_raised():
    rates = cases_result(CASES[:1], of=8, weights=drawn()[:, :1]).out_of_scope
    assert figures(rates.share) == (0, 1)
    assert np.isnan(rates.right_where_raised.value)
    assert rates.right_where_raised.n == 0
    assert figures(rates.right_elsewhere) == (1, 1)


def test_intervals_are_over_groups():
    weights = drawn()
    result = cases_result(CASES, of=8, weights=weights)
    raised, right = np.array(FLAGS["conflict"], dtype=bool), np.array(RIGHT, dtype=float)
    assert result.right == known_mean(right, weights).estimate()
    assert result.conflict.right_elsewhere == known_mean(np.where(raised, np.nan, right), weights).estimate()
    even = np.ones_like(weights)
    assert result.right != cases_result(CASES, of=8, weights=even).right
    assert result.right.low < result.right.value < result.right.high


VEIL, CYSTS = "blue_whitish_veil", "milia_like_cysts"


def lesion(largest, call, *, diagnosis="melanoma"):
    """A case in which one concept has the largest contribution to a diagnosis, and another one to the others."""
    other = next(concept for concept in CONCEPTS if concept != largest)
    concepts = [
        made_concept(
            concept,
            shares={
                name: made_shares(float(concept == (largest if name == diagnosis else other)), classes=[name])[name]
                for name in DIAGNOSES
            },
        )
        for concept in CONCEPTS
    ]
    return made_case(call=call, classes=DIAGNOSES, concepts=concepts)


def planted(*concepts):
    return [float(concept in concepts) for concept in CONCEPTS]


def test_a_planted_cause_counts_where_its_contribution_is_the_largest():
    cases = [
        lesion(VEIL, "melanoma"),
        lesion(VEIL, "nevus"),
        lesion(CYSTS, "melanoma"),
        lesion(CYSTS, "seborrheic_keratosis", diagnosis="seborrheic_keratosis"),
        lesion(VEIL, "melanoma"),
    ]
    labels = np.array([planted(VEIL), planted(VEIL), planted(VEIL), planted(CYSTS, "globules"), planted()])
    rates = planted_cause_rates(cases, labels, np.ones((1, 5)))
    assert figures(rates.decided) == (3 / 4, 4), "nothing was planted in the last"
    assert figures(rates.decided_and_called) == (2 / 3, 3), "the second is called otherwise"
    by_weight = np.array([[1, 0, 1, 0, 9]])
    weighed = planted_cause_rates(cases, labels, np.repeat(by_weight, 9, axis=0)).decided
    assert (weighed.low, weighed.high) == (0.5, 0.5)


def test_concepts_that_are_not_the_rule_s_decide_nothing():
    rates = planted_cause_rates(CASES, np.ones((8, 1)), EVEN)
    assert rates.decided.n == rates.decided_and_called.n == 0
    assert planted_cause_rates([], np.zeros((0, 1)), np.ones((3, 0))).decided.n == 0


def staged(name, label, **states):
    return made_case(
        name, concepts=[made_concept(label=label, stages=states), made_concept("veil", label=None, stages=states)]
    )


COURSES = [
    staged("corrected", True, low=A, middle=P, high=P),
    staged("corrected too", False, low=P, middle=P, high=A),
    staged("still wrong", True, low=A, middle=P, high=A),
    staged("spoilt", True, low=P, middle=P, high=A),
    staged("right", False, low=A, middle=A, high=A),
    staged("right too", True, low=P, middle=A, high=P),
    staged("unsure above", True, low=A, middle=A, high=U),
    staged("unsure below", True, low=N, middle=U, high=P),
]


def test_courses_are_from_each_lower_layer_to_the_highest():
    courses = layer_courses(COURSES, EVEN)
    assert list(courses) == ["streaks", "veil"]
    assert list(courses["streaks"]) == ["low", "middle"]
    low, middle = courses["streaks"].values()
    assert figures(low.corrected) == (2 / 3, 3)
    assert figures(low.spoilt) == (1 / 3, 3)
    assert low.examples == ("corrected", "corrected too")
    assert figures(middle.corrected) == (1, 2)
    assert figures(middle.spoilt) == (2 / 4, 4)
    assert middle.examples == ("corrected too", "right too")


def test_where_there_is_no_label_there_is_no_course():
    for course in layer_courses(COURSES, EVEN)["veil"].values():
        assert (course.corrected, course.spoilt, course.examples) == (None, None, ())
    assert layer_courses([], np.ones((1, 0))) == {}


def test_courses_have_weights_of_their_own_cases():
    low = layer_courses(COURSES, np.array([[1, 0, 1, 0, 1, 0, 5, 5]] * 3))["streaks"]["low"]
    assert (low.corrected.low, low.corrected.high) == (0.5, 0.5)
    assert (low.spoilt.low, low.spoilt.high) == (0, 0)


def test_only_the_first_corrected_cases_are_named():
    many = [staged(str(number), True, low=A, high=P) for number in range(EXAMPLES + 2)]
    course = layer_courses(many, np.ones((1, len(many))))["streaks"]["low"]
    assert course.examples == tuple(str(number) for number in range(6))
    assert course.corrected.n == len(many)


@pytest.mark.parametrize(
    ("state", "label", "right"),
    [
        (P, True, True),
        (P, False, False),
        (A, False, True),
        (A, True, False),
        (U, True, None),
        (N, False, None),
        (P, None, None),
    ],
)
def test_a_stage_is_right_where_it_clearly_says_what_the_label_says(state, label, right):
    (stage,) = made_concept(stages={"layer": state}).stages
    assert stage.is_right(label) is right
