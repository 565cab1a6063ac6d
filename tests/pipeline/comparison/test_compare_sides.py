"""Runs made by hand, held side by side: every figure stands where it belongs."""

from dataclasses import replace
from math import nan

import pytest
from fake_evaluation import FIGURE, made_purity
from fake_explanation import made_explanation

from concepts.errors import RunError
from concepts.statistics.estimate import Estimate
from concepts.statistics.intervals import difference_of
from pipeline.comparison.families import auc_families, axis_family, importance_families
from pipeline.comparison.runs import compare_sides, flat_settings
from pipeline.comparison.seeds import seed_agreement
from pipeline.results.comparison import Comparison, IntervalMethod, NoiseFinding, judge_difference
from pipeline.results.importance import OVERALL
from pipeline.results.result import parse_result

PLAIN, WHITENED = Estimate(0.71, 0.7, 0.72, 100), Estimate(0.83, 0.8, 0.86, 100)
WORSE, BETTER = Estimate(0.6, 0.55, 0.65, 90), Estimate(0.9, 0.88, 0.92, 80)


def rows_of(comparison, key):
    return {row.key: row for family in comparison.families if family.key == key for row in family.rows}


def test_each_network_has_its_own_auc_in_the_order_of_the_runs(side):
    comparison = compare_sides([side(plain=PLAIN, whitened=WHITENED), side("b", plain=WORSE)], resamples=20)
    assert [family.key for family in comparison.families][:3] == ["auc.plain", "auc.whitened", "axis"]
    assert rows_of(comparison, "auc.plain")["auc.plain.macro"].figures == (PLAIN, WORSE)
    assert rows_of(comparison, "auc.whitened")["auc.whitened.macro"].figures == (WHITENED, FIGURE)
    assert list(rows_of(comparison, "auc.plain")) == ["auc.plain.macro", "auc.plain.melanoma", "auc.plain.nevus"]


def test_a_difference_in_auc_is_the_resampled_one_of_its_network(side, predictions):
    skilled = predictions(plain=1.0, whitened=2.0)
    comparison = compare_sides([side(), side("b", predictions=skilled)], resamples=200)
    (plain,) = rows_of(comparison, "auc.plain")["auc.plain.macro"].differences
    (whitened,) = rows_of(comparison, "auc.whitened")["auc.whitened.macro"].differences
    assert plain.finding is NoiseFinding.WITHIN
    assert plain.figure == Estimate(0.0, 0.0, 0.0, 300)
    assert whitened.finding is NoiseFinding.BEYOND
    assert whitened.figure.low > 0
    assert whitened.method is plain.method is IntervalMethod.PAIRED
    assert {family.comparisons for family in comparison.families if family.key.startswith("auc")} == {6}


def test_a_concepts_axis_is_compared_by_its_interval(side):
    first = {"streaks": made_purity(FIGURE), "veil": made_purity(BETTER)}
    other = {"streaks": made_purity(WORSE), "veil": made_purity(BETTER, reason="too few")}
    comparison = compare_sides([side(purity=first), side("b", purity=other)], resamples=20)
    rows = rows_of(comparison, "axis")
    assert rows["axis.streaks"].figures == (FIGURE, WORSE)
    (difference,) = rows["axis.streaks"].differences
    assert difference.figure == difference_of(WORSE, FIGURE)
    assert difference.figure.value == pytest.approx(-0.2)
    assert difference.method is IntervalMethod.FROM_INTERVALS
    assert rows["axis.veil"].figures == (BETTER, None), "what cannot be assessed is no figure"
    assert rows["axis.veil"].differences == (None,)
    assert rows["axis.veil"].ranks == ()
    assert axis_family([side(purity=first), side(purity=other)]).comparisons == 1


def test_importance_has_the_ratio_and_rank_of_its_own_target(side):
    first = {OVERALL: {"streaks": 1.4, "veil": 1.2}, "melanoma": {"streaks": 1.1, "veil": 1.9}}
    other = {OVERALL: {"streaks": 1.3, "veil": 1.5}, "nevus": {"streaks": 2.0, "veil": 1.0}}
    families = {family.key: family for family in importance_families([side(ratios=first), side(ratios=other)])}
    assert list(families) == ["importance.overall", "importance.melanoma", "importance.nevus"]
    assert [family.title for family in families.values()] == [
        "Importance, all diagnoses",
        "Importance, melanoma",
        "Importance, melanocytic nevus",
    ]
    streaks, veil = families["importance.overall"].rows
    assert [figure.value for figure in streaks.figures] == [1.4, 1.3]
    assert [figure.value for figure in veil.figures] == [1.2, 1.5]
    assert (streaks.ranks, veil.ranks) == ((1, 2), (2, 1))
    melanoma = families["importance.melanoma"].rows[1]
    assert (melanoma.figures[0].value, melanoma.figures[1], melanoma.ranks) == (1.9, None, (1, None))
    assert {family.comparisons for family in families.values()} == {2}, "only overall can be compared"
    assert {family.reference for family in families.values()} == {1.0}
    assert all(family.is_importance for family in families.values())


def test_runs_without_a_common_diagnosis_are_refused(side, without_melanoma):
    sides = [side(), without_melanoma(side("b"))]
    with pytest.raises(RunError, match="no diagnosis in common"):
        compare_sides(sides, resamples=5)
    with pytest.raises(RunError, match="no diagnosis in common"):
        auc_families(sides, [{}])


def test_a_run_is_described_by_what_it_says_of_itself(side):
    comparison = compare_sides([side(), side("b", seed=8, commit=None, overrides=["seed=8"])], resamples=5)
    first, other = comparison.runs
    assert (first.letter, first.id, first.name, first.seed, first.commit) == ("A", "a", "made", 3, "d34db33f")
    assert (other.letter, other.id, other.seed, other.commit) == ("B", "b", 8, None)
    assert (first.architecture, first.layer, first.release) == ("mobilenet_v1", "layer2", "made@1")
    assert (first.test_images, first.concepts) == (300, ("streaks", "veil"))
    assert first.started == "2026-01-01T09:30:00+00:00"


def test_settings_and_facts_are_listed_only_where_they_differ(side):
    overrides = ["training.plain_epochs=7", "runs=elsewhere", "threads=2"]
    other = side("b", commit="beef", versions={"python": "3.12.1", "torch": "2.10.0"}, overrides=overrides)
    comparison = compare_sides([side(), other], resamples=5)
    (setting,) = comparison.settings
    assert setting.key == "training.plain_epochs"
    assert setting.values[1] == "7"
    assert {row.key: row.values for row in comparison.facts} == {
        "commit": ("d34db33f", "beef"),
        "version of python": ("3.11.9", "3.12.1"),
    }
    bare = compare_sides([side(), side("b", digests=None)], resamples=5)
    assert [row.values[1] for row in bare.facts] == ["none"] * 3
    assert [row.key for row in bare.facts] == ["digest of data", "digest of split", "digest of release"]


@pytest.mark.parametrize(
    ("overrides", "only_seeds"),
    [([], False), (["seed=4"], True), (["seed=4", "name=other"], True), (["seed=4", "training.plain_epochs=7"], False)],
)
def test_seeds_alone_are_told_from_other_settings(side, overrides, only_seeds):
    comparison = compare_sides([side(), side("b", overrides=overrides)], resamples=5)
    assert comparison.only_seeds is only_seeds
    assert bool(comparison.agreement) is only_seeds
    assert comparison.spreads == (), "two runs have no spread"


def test_three_runs_with_other_seeds_have_a_spread_of_every_figure(side):
    sides = [side(str(seed), plain=Estimate(0.7 + 0.1 * seed, 0.6, 0.9, 9), overrides=[f"seed={seed}"])
             for seed in range(3)]  # fmt: skip
    spreads = {spread.key: spread for spread in compare_sides(sides, resamples=5).spreads}
    macro = spreads["auc.plain.macro"]
    assert (macro.lowest, macro.mean.value, macro.highest) == (0.7, pytest.approx(0.8), pytest.approx(0.9))
    assert macro.deviation == pytest.approx(0.1)
    assert spreads["auc.whitened.macro"].deviation == 0


def test_the_order_of_concepts_agrees_as_far_as_kendall_says(side):
    orders = [("a", "b", "c"), ("a", "c", "b"), ("c", "b", "a")]
    sides = [side(ratios={OVERALL: {concept: 2 - 0.1 * rank for rank, concept in enumerate(order)}})
             for order in orders]  # fmt: skip
    (agreement,) = seed_agreement([side_with_concepts(each) for each in sides])
    assert (agreement.lowest, agreement.highest) == (pytest.approx(-1), pytest.approx(1 / 3))
    assert agreement.tau == pytest.approx((1 / 3 - 1 - 1 / 3) / 3)
    assert (agreement.pairs, agreement.concepts, agreement.target) == (3, 3, "all diagnoses")
    assert agreement.top == "a"
    assert (agreement.top_share.value, agreement.top_share.n) == (pytest.approx(2 / 3), 3)


def side_with_concepts(side):
    """Let the side's axes be those that its importance ranks."""
    concepts = side.results.explanation.importance[OVERALL].concepts
    axes = side.results.evaluation.axes.model_copy(update={"purity": dict.fromkeys(concepts, made_purity())})
    return replace(
        side, results=replace(side.results, evaluation=side.results.evaluation.model_copy(update={"axes": axes}))
    )


def test_a_concept_counts_in_the_order_only_where_every_run_has_it(side):
    first = side(ratios={OVERALL: {"streaks": 1.5, "veil": 1.2}})
    unknown = side(ratios={OVERALL: {"streaks": 1.5, "veil": Estimate(nan, nan, nan, 0)}})
    assert seed_agreement([first, unknown]) == ()
    assert len(seed_agreement([first, first])) == 1
    absent = replace(first, results=replace(first.results, explanation=made_explanation({"nevus": {"veil": 1.0}})))
    assert seed_agreement([first, absent]) == ()


def test_other_images_are_said_to_be_other_and_compared_unpaired(side, predictions):
    other = side("b", predictions=predictions(digest="other"))
    comparison = compare_sides([side(), other, side("c")], resamples=20)
    assert comparison.same_images == {"A": True, "B": False, "C": True}
    unpaired, paired = rows_of(comparison, "auc.plain")["auc.plain.macro"].differences
    assert (unpaired.method, paired.method) == (IntervalMethod.UNPAIRED, IntervalMethod.PAIRED)


def test_differences_are_listed_with_the_letter_of_their_run(side):
    worse = {name: made_purity(WORSE) for name in ("streaks", "veil")}
    comparison = compare_sides([side(), side("b"), side("c", purity=worse)], resamples=20)
    beyond = [
        (row.key, letter)
        for _, row, letter, difference in comparison.differences(importance=False)
        if difference.finding is NoiseFinding.BEYOND
    ]
    assert beyond == [("axis.streaks", "C"), ("axis.veil", "C")]
    importance = comparison.differences(importance=True)
    assert len(comparison.differences()) == len(importance) + len(comparison.differences(importance=False))
    assert {family.key.split(".")[0] for family, *_ in importance} == {"importance"}


def test_a_comparison_reads_back_as_it_was_written(side):
    unknown = side("b", ratios={OVERALL: {"streaks": Estimate(nan, nan, nan, 0), "veil": 1.2}}, overrides=["seed=5"])
    comparison = compare_sides([side(), unknown], resamples=20)
    written = comparison.to_text()
    assert '"format": 2' in written
    again = parse_result(Comparison, written, "comparison.json")
    assert again.to_text() == written
    assert again.families[0] == comparison.families[0]
    assert again.settings == comparison.settings
    with pytest.raises(RunError, match="an earlier version, this version reads format 2; compare the runs again"):
        parse_result(Comparison, "{}", "comparison.json")


def test_the_same_runs_give_the_same_comparison(side):
    sides = [side(), side("b")]
    assert compare_sides(sides, resamples=20) == compare_sides(sides, resamples=20)


def test_nested_settings_are_flat_without_where_a_run_was_made():
    tree = {"runs": "r", "threads": 1, "data": {"cache": "c", "workers": 2, "limit": None, "phantom": {}}, "seed": 0}
    assert flat_settings(tree) == {"data.limit": "none", "data.phantom": "none", "seed": "0"}


@pytest.mark.parametrize(
    ("low", "high", "comparisons", "finding"),
    [
        (0.01, 0.19, 1, NoiseFinding.BEYOND),
        (0.01, 0.19, 20, NoiseFinding.UNCORRECTED),
        (-0.01, 0.21, 1, NoiseFinding.WITHIN),
        (0.06, 0.14, 20, NoiseFinding.BEYOND),
        (0.0, 0.2, 1, NoiseFinding.WITHIN),
    ],
)
def test_the_more_is_compared_the_more_it_takes_on_either_side(low, high, comparisons, finding):
    judged = judge_difference(Estimate(0.1, low, high, 50), IntervalMethod.PAIRED, comparisons=comparisons)
    mirrored = judge_difference(Estimate(-0.1, -high, -low, 50), IntervalMethod.PAIRED, comparisons=comparisons)
    assert judged.finding is mirrored.finding is finding
    assert judged.widened == pytest.approx((-mirrored.widened[1], -mirrored.widened[0]))
    assert (judged.widened == pytest.approx((low, high))) == (comparisons == 1)


def test_an_interval_is_widened_as_a_normal_one_would_be():
    judged = judge_difference(Estimate(0.0, -1.96, 1.96, 50), IntervalMethod.UNPAIRED, comparisons=5)
    assert judged.widened == pytest.approx((-2.5758, 2.5758), abs=1e-3), "the 99 % interval of a standard normal"
    assert judged.method is IntervalMethod.UNPAIRED
    none = judge_difference(Estimate(0.0, -1.96, 1.96, 50), IntervalMethod.UNPAIRED, comparisons=0)
    assert none.widened == pytest.approx((-1.96, 1.96))


def test_each_side_of_an_interval_is_widened_by_itself():
    judged = judge_difference(Estimate(0.5, 0.4, 0.9, 50), IntervalMethod.PAIRED, comparisons=10)
    low, high = judged.widened
    assert pytest.approx((high - 0.5) / (0.5 - low)) == (0.9 - 0.5) / (0.5 - 0.4)
    assert low < 0.4 < 0.9 < high


def test_a_difference_that_is_not_known_is_no_finding():
    judged = judge_difference(Estimate(nan, nan, nan, 3), IntervalMethod.FROM_INTERVALS, comparisons=1)
    assert judged.finding is NoiseFinding.UNKNOWN
    assert judged.figure.n == 3
    assert all(end != end for end in judged.widened)
