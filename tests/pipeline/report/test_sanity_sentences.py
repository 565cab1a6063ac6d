"""What the report says about sanity checks and stability: without overclaiming, and nothing where nothing is known."""

import math

import pytest

from concepts.statistics.estimate import Estimate
from pipeline.report.pages.charts import SanityCharts
from pipeline.report.sentences import sanity
from pipeline.report.sentences.numerals import plain_text
from pipeline.results.importance import OVERALL
from pipeline.results.names import Names
from pipeline.results.trust import NullCheck, OrderStability, RankStability, SanityResult

NAMES = Names({"veil": "blue-whitish veil"})


def figure(value, low, high, n=240):
    return Estimate(value, low, high, n)


def check(value, null, *, meaningless):
    difference = value - null
    half = abs(difference) * (2 if meaningless else 0.5) + 0.001
    return NullCheck(
        figure=figure(value, value - 0.03, value + 0.03),
        null=figure(null, null - 0.01, null + 0.01, 10),
        difference=figure(difference, difference - half, difference + half),
        meaningless=meaningless,
    )


UNKNOWN = Estimate(math.nan, math.nan, math.nan, 0)
NO_CHECK = NullCheck(figure=UNKNOWN, null=UNKNOWN, difference=UNKNOWN, meaningless=None)
TOLD, ALIKE = check(1.4, 1.0, meaningless=False), check(1.01, 1.0, meaningless=True)


def checks(weights=None, labels=None):
    row = {"streaks": TOLD, "globules": ALIKE, "veil": NO_CHECK}
    return SanityResult(
        draws=10,
        importance_randomised_weights={OVERALL: row | (weights or {}), "melanoma": row},
        importance_permuted_labels={OVERALL: row | (labels or {}), "melanoma": row},
        purity_permuted_labels={
            "streaks": check(0.9, 0.5, meaningless=False),
            "globules": check(0.55, 0.52, meaningless=True),
            "veil": NO_CHECK,
        },
    )


def test_what_survives_randomisation_is_called_meaningless_by_name_and_nothing_else_is():
    result = checks()
    purity = result.purity_permuted_labels
    assert "Meaningless: 1.01 cannot be told from randomised weights" in sanity.importance_verdict(result, "globules")
    assert sanity.importance_verdict(result, "streaks").startswith("Told from randomised weights (difference 0.40")
    assert sanity.purity_verdict(purity["streaks"]).startswith("Told from permuted labels (difference 0.40")
    assert sanity.purity_verdict(purity["globules"]).startswith("Meaningless: 0.55")
    assert sanity.importance_verdict(result, "veil") == sanity.purity_verdict(purity["veil"]) == "Not assessable."
    assert sanity.summary(result, NAMES).startswith(
        "Of 2 concepts, the importance of globules over all diagnoses is meaningless"
    )


def test_the_summary_counts_only_what_was_checked():
    assert sanity.summary(None, NAMES) == ""
    told = checks(weights={"globules": TOLD}, labels={"globules": TOLD})
    assert sanity.summary(told, NAMES).startswith("The importance of all 2 concepts over all diagnoses is told")
    nothing = dict.fromkeys(("streaks", "globules", "veil"), NO_CHECK)
    assert "could be held against" in sanity.summary(checks(weights=nothing, labels=nothing), NAMES)


@pytest.mark.parametrize(
    ("weights", "labels", "named", "unnamed"),
    [(ALIKE, TOLD, "randomised weights", "permuted labels"), (TOLD, ALIKE, "permuted labels", "randomised weights")],
)
def test_one_survived_randomisation_is_enough_to_be_meaningless(weights, labels, named, unnamed):
    result = checks(weights={"streaks": weights}, labels={"streaks": labels})
    assert result.is_meaningless(OVERALL, "streaks") is True
    assert result.is_meaningless("melanoma", "streaks") is False
    sentence = sanity.importance_verdict(result, "streaks")
    assert named in sentence
    assert unnamed not in sentence
    assert "Told" in sanity.importance_verdict(result, "streaks", "melanoma")


@pytest.mark.parametrize("side", ["weights", "labels"])
def test_a_check_that_could_not_be_made_leaves_no_verdict(side):
    assert checks(**{side: {"streaks": NO_CHECK}}).is_meaningless(OVERALL, "streaks") is None


def test_the_method_says_how_many_checks_were_made():
    result = checks()
    assert result.checks == 2 * 2 * 3 + 3
    assert result.concepts == ("streaks", "globules", "veil")
    assert "With 15 checks and none corrected for their number" in sanity.method(result)
    assert "in 10 networks" in sanity.method(result)


def test_draws_and_verdicts_have_their_words():
    assert plain_text(sanity.null(TOLD)) == "1.00 (0.99 to 1.01, 10 draws)"
    assert sanity.null(NO_CHECK) == "not assessable"
    assert [sanity.mark(verdict) for verdict in (True, False, None)] == ["meaningless", "told apart", "not assessable"]


def test_strips_are_drawn_for_what_is_known_and_stay_empty_for_what_is_not():
    charts = SanityCharts(checks(), NAMES)
    assert charts.importance("streaks").count("<circle") == 3
    assert charts.purity("streaks").count("<circle") == 2
    assert "accent" in charts.importance("streaks")
    assert "accent" in charts.purity("streaks")
    assert "accent" not in charts.importance("globules"), "what is meaningless has no colour"
    assert "accent" not in charts.purity("globules")
    assert "<circle" not in charts.importance("veil") + charts.purity("veil")
    assert "blue-whitish veil" in charts.importance("veil")
    assert "AUC" in charts.auc_axis
    assert "loss ratio" in charts.ratio_axis


def test_a_strip_shows_the_null_of_each_randomisation_as_its_own():
    labels = check(1.4, 1.2, meaningless=False)
    drawn = str(SanityCharts(checks(labels={"streaks": labels}), NAMES).importance("streaks"))
    assert "permuted labels 1.200" in drawn
    assert "randomised weights 1.000" in drawn
    assert "importance 1.400" in drawn


def row(rank, low, high, first, same):
    return RankStability(rank=Estimate(rank, low, high, 240), first=first, same=same)


def order(tau=None, **concepts):
    concepts = concepts or {"globules": row(2.0, 1.0, 3.0, 0.3, 0.6), "streaks": row(1.0, 1.0, 2.0, 0.7, 0.65)}
    return OrderStability(tau=tau or figure(0.8, 0.3, 1.0), resamples=1000, concepts=concepts)


def test_stability_names_the_first_its_rival_and_the_interval():
    sentence = plain_text(sanity.stability(OVERALL, order(), NAMES))
    assert sentence.startswith("All diagnoses: streaks is first in 70 % of 1,000 resamples, globules in 30 %;")
    assert "tau with the order of a resample 0.80 (95 % interval 0.30 to 1.00, n = 240)" in sentence
    assert sanity.rank(order().concepts["globules"]) == "2 (1 to 3)"
    caption = plain_text(sanity.ranks_caption("nevus", order(), NAMES))
    assert "importance for melanocytic nevus" in caption
    assert "over 1,000 resamples of 240 test images" in caption


def test_the_rival_is_the_one_that_is_first_most_often_and_not_seldom():
    concepts = {
        "streaks": row(1.0, 1.0, 2.0, 0.7, 0.7),
        "globules": row(2.0, 1.0, 3.0, 0.1, 0.6),
        "veil": row(3.0, 1.0, 3.0, 0.2, 0.6),
    }
    assert "blue-whitish veil in 20" in sanity.stability("nevus", order(**concepts), NAMES)
    seldom = {"streaks": row(1.0, 1.0, 1.0, 0.991, 1.0), "veil": row(2.0, 2.0, 2.0, 0.009, 1.0)}
    assert "veil" not in sanity.stability("nevus", order(**seldom), NAMES)
    often = {"streaks": row(1.0, 1.0, 1.0, 0.99, 1.0), "veil": row(2.0, 2.0, 2.0, 0.01, 1.0)}
    assert "veil in 1" in sanity.stability("nevus", order(**often), NAMES)
    assert "first in 100" in sanity.stability("nevus", order(streaks=row(1.0, 1.0, 1.0, 1.0, 1.0)), NAMES)


def test_an_order_without_tau_is_not_assessable():
    unknown = order(tau=Estimate(math.nan, math.nan, math.nan, 9))
    sentence = sanity.stability("nevus", unknown, NAMES)
    assert sentence == "For melanocytic nevus, the stability of the order is not assessable."


def test_the_chance_of_training_is_not_claimed_to_be_covered():
    assert "another training run may give another order" in sanity.STABILITY_METHOD
