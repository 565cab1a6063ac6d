"""What the report says about the networks, the concepts, the images and its limits."""

from dataclasses import replace
from math import nan

import pytest
from fake_evaluation import FIGURE, UNKNOWN, made_evaluation, made_network, made_purity

from concepts.example import AgreementEntry, ConceptEntry, Origin
from concepts.statistics.estimate import Estimate
from pipeline.report.sentences import cohort, concepts, results
from pipeline.report.sentences.numerals import plain_text
from pipeline.results.axes import AucMatrix, AxisBaselines, AxisVerdict, ChildPurity, MeanPurity, SubspaceLeak
from pipeline.results.names import Names

NAMES = Names({"streaks": "radial streaks", "globules": "globules", "network": "pigment network"})
CHILD = ChildPurity(
    sibling_auc=Estimate(0.9, 0.8, 0.95, 60),
    parent_axis_auc=Estimate(0.52, 0.45, 0.6, 60),
    positives=31,
    negatives=29,
    reason=None,
)


def axis(figure: Estimate = FIGURE, *, reason: str | None = None, evaluation=made_evaluation):
    return evaluation({"streaks": made_purity(figure, reason=reason), "globules": made_purity()})


def comparison(whitened: Estimate, plain: float, difference: Estimate) -> str:
    diagnosis = made_evaluation(whitened=whitened, plain=Estimate(plain, 0.8, 0.95, 520), difference=difference)
    return plain_text(results.comparison(diagnosis.diagnosis))


def test_a_difference_that_may_be_chance_is_said_with_what_is_not_excluded():
    text = comparison(Estimate(0.889, 0.859, 0.913, 520), 0.893, Estimate(-0.004, -0.012, 0.004, 520))
    assert text == (
        "The whitened network's macro AUC is 0.889 (95 % interval 0.859 to 0.913, n = 520), 0.004 below the plain "
        "network's 0.893 (interval of the difference -0.012 to 0.004): no difference beyond chance is shown, but a "
        "loss of up to 0.012 or a gain of up to 0.004 is not excluded."
    )


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (Estimate(-0.02, -0.03, -0.01, 520), "lower than the plain network's by more than chance, by at least 0.010"),
        (Estimate(0.02, 0.01, 0.03, 520), "higher than the plain network's by more than chance, by at least 0.010"),
        (Estimate(0.00001, -0.2, 0.2, 520), "a loss of up to 0.200 or a gain of up to 0.200 is not excluded"),
    ],
)
def test_the_interval_decides_what_is_said_about_a_difference(difference, text):
    sentence = comparison(Estimate(0.9, 0.8, 0.95, 520), 0.9, difference)
    assert text in sentence
    assert ("no difference beyond chance is shown" in sentence) is (difference.low <= 0 <= difference.high)


def test_networks_without_figures_are_not_compared():
    assert "cannot be compared (n = 12)" in comparison(UNKNOWN, nan, UNKNOWN)


def test_the_network_without_whitening_is_told_where_there_is_one():
    diagnosis = made_evaluation().diagnosis
    assert results.auxiliary(diagnosis) == ""
    with_it = diagnosis.model_copy(update={"auxiliary": made_network(Estimate(0.871, 0.8, 0.9, 520))})
    assert "reaches a macro AUC of 0.871" in results.auxiliary(with_it)


def test_whiteness_names_training_and_test_and_what_insertion_changed():
    whitening = made_evaluation().whitening
    text = plain_text(results.whiteness(whitening))
    assert "by 0.002 (0.001 to 0.003, n = 300) on training and 0.08 (0.07 to 0.09, n = 100) on test images" in text
    assert "Inserting" not in text
    inserted = whitening.model_copy(update={"insertion_change": 3.1e-6})
    assert "changed no logit by more than 3.1" in results.whiteness(inserted)


def test_a_thin_concept_gets_its_reason_and_no_figure():
    thin = axis(UNKNOWN, reason="12 positives; at least 40 needed")
    sentence = concepts.verdict(thin, "streaks", NAMES)
    assert sentence.startswith("Not assessable (12 positives; at least 40 needed). Its activation must not be read as")
    assert sentence.endswith("radial streaks.")
    assert concepts.against_probe(thin.axes.purity["streaks"], "max") == ""
    unknown = axis(UNKNOWN).axes.purity["streaks"]
    assert concepts.not_assessable(unknown).startswith("not assessable (its AUC or interval could not be computed")


@pytest.mark.parametrize(
    ("low", "verdict"),
    [
        (0.7, AxisVerdict.RELIABLE),
        (0.699, AxisVerdict.WEAK),
        (0.45, AxisVerdict.WEAK),
        (nan, AxisVerdict.NOT_ASSESSABLE),
    ],
)
def test_the_lower_end_of_the_interval_decides_the_verdict(low, verdict):
    assert axis(Estimate(0.9, low, 0.95, 520)).verdict("streaks") is verdict


def test_a_reason_wins_over_a_figure_and_what_has_no_axis_is_not_assessable():
    assert axis(reason="too few").verdict("streaks") is AxisVerdict.NOT_ASSESSABLE
    assert axis().verdict("veil") is AxisVerdict.NOT_ASSESSABLE


def test_an_axis_at_chance_is_not_said_to_answer_to_its_concept():
    assert "not shown to answer to the concept at all" in concepts.verdict(
        axis(Estimate(0.53, 0.5, 0.6, 520)), "streaks", NAMES
    )
    text = plain_text(concepts.verdict(axis(Estimate(0.61, 0.51, 0.7, 520)), "streaks", NAMES))
    assert text.endswith("with an AUC of 0.610 (95 % interval 0.510 to 0.700, n = 520): weak.")


def test_verdicts_are_counted():
    both = made_evaluation({"streaks": made_purity(), "globules": made_purity(UNKNOWN), "network": made_purity()})
    assert concepts.reliability_counts(both) == "Of 3 concept axes, 2 are reliable and 1 is not assessable."


def test_an_axis_is_compared_with_the_probe():
    text = plain_text(concepts.against_probe(made_purity(), "max"))
    assert text.endswith("reaches 0.860 (0.820 to 0.890); the axis is 0.060 below it.")
    better = made_purity(Estimate(0.9, 0.8, 0.95, 100))
    assert concepts.against_probe(better, "max").endswith("0.040 above it.")


def test_means_name_every_baseline_that_was_computed():
    evaluation = made_evaluation()
    mean = MeanPurity(
        axis_auc={"max": Estimate(0.75, 0.7, 0.8, 100)},
        baselines=AxisBaselines(
            probe=Estimate(0.76, 0.7, 0.8, 9), best_filter=FIGURE, concept_head=Estimate(0.77, 0.7, 0.8, 9)
        ),
    )
    axes = evaluation.axes.model_copy(update={"mean": mean})
    text = plain_text(concepts.means(evaluation.model_copy(update={"axes": axes})))
    assert "is 0.750 (95 % interval" in text
    assert "logistic probe 0.760" in text
    assert "concept loss without whitening 0.770" in text
    assert "support vector" not in text
    unknown = axes.model_copy(update={"mean": mean.model_copy(update={"axis_auc": {"max": UNKNOWN}})})
    assert concepts.means(evaluation.model_copy(update={"axes": unknown})) == "The mean axis AUC is not assessable."


MATRIX = AucMatrix(concepts=("a", "b", "c"), auc=((0.7, 0.8, nan), (0.75, 0.6, nan), (0.6, 0.9, nan)))


@pytest.mark.parametrize(
    ("concept", "parent", "rival"),
    [("a", None, "b"), ("a", "b", None), ("b", None, "c"), ("b", "c", "a"), ("c", None, None)],
)
def test_the_rival_is_the_best_other_axis_but_the_parents(concept, parent, rival):
    assert MATRIX.rival(concept, parent) == rival


def test_an_axis_that_is_as_good_is_no_rival():
    assert AucMatrix(concepts=("a", "b"), auc=((0.7, 0.5), (0.7, 0.8))).rival("a") is None


def test_a_rival_axis_is_named():
    evaluation = axis()
    entry = ConceptEntry(id="streaks", name="streaks", definition="Lines.", origin=Origin.MARKED)
    assert concepts.rival(evaluation, entry, NAMES) == ""
    matrix = AucMatrix(concepts=("streaks", "globules"), auc=((0.6, 0.5), (0.7, 0.8)))
    confused = evaluation.model_copy(update={"axes": evaluation.axes.model_copy(update={"matrix": matrix})})
    text = concepts.rival(confused, entry, NAMES)
    assert text.startswith("The axis of globules answers to this concept more strongly (AUC 0.700)")
    child = entry.model_copy(update={"parent": "globules"})
    assert concepts.rival(confused, child, NAMES) == ""


def test_origin_and_counts_are_told():
    entry = ConceptEntry(id="a", name="a", definition="A.", origin=Origin.MEASURED, rule="overlap below 0.75.")
    assert concepts.origin(entry) == "measured on the lesion mask: overlap below 0.75"
    assert concepts.origin(entry.model_copy(update={"rule": None})) == "measured on the lesion mask"
    text = concepts.counts(made_purity())
    assert text == "30 test images with it, 70 without or not marked; 120 with it in training"


def test_agreement_of_readers_is_said_with_its_flag_and_only_where_there_are_readers():
    assert concepts.reader_agreement(None) == ""
    agreement = AgreementEntry(
        concept="streaks", measure="gwet_ac1", value=0.41, low=0.3, high=0.52, n=88, readers=3, threshold=0.6
    )
    text = plain_text(concepts.reader_agreement(agreement))
    assert text == "Agreement of its 3 readers (Gwet's AC1): 0.410 (95 % interval 0.300 to 0.520, n = 88)."
    flagged = concepts.reader_agreement(agreement.model_copy(update={"flag": "below 0.60."}))
    assert flagged.endswith("Flagged at freezing: below 0.60.")
    unknown = agreement.model_copy(update={"value": None})
    assert "not assessable" in concepts.reader_agreement(unknown)


def test_a_child_is_told_from_its_siblings_only_where_the_interval_says_so():
    assert concepts.child(CHILD) == (
        "Told from its siblings by its own axis beyond chance; the parent's axis is not shown to answer to the "
        "difference."
    )
    chance = CHILD.model_copy(
        update={"sibling_auc": Estimate(0.6, 0.5, 0.7, 60), "parent_axis_auc": Estimate(0.7, 0.6, 0.8, 60)}
    )
    assert concepts.child(chance) == (
        "Not shown to be told from its siblings by its own axis; the parent's axis answers to the difference too."
    )
    few = CHILD.model_copy(update={"reason": "3 positives"})
    assert concepts.child(few) == "Not assessable inside the parent: 3 positives."
    assert "its AUC has no interval" in concepts.child(CHILD.model_copy(update={"sibling_auc": UNKNOWN}))


def test_the_leak_names_axis_and_concept():
    leak = SubspaceLeak(concept="streaks", axis="network", auc=FIGURE, pairs=15)
    text = concepts.leak(leak, NAMES)
    assert text.startswith("Of 15 pairs of an axis")
    assert "that of the axis of pigment network for radial streaks: 0.800" in text
    free = leak.model_copy(update={"axis": "free axis 2"})
    assert "that of the free axis 2 for radial streaks" in concepts.leak(free, NAMES)
    assert "is not known" in concepts.leak(None, NAMES)


def test_images_are_told_with_their_source_and_what_kept_them_together():
    counts = made_evaluation().cohort
    assert cohort.source(counts) == "the generated phantom cohort"
    assert cohort.splitting(counts) == (
        "No group of related images is in two parts. Images were kept together: 400 by patient, 20 by near-duplicate "
        "and 40 alone."
    )
    unknown = counts.model_copy(update={"grouped_by": {}, "source": "clinic"})
    assert cohort.splitting(unknown) == "No group of related images is in two parts."
    assert cohort.source(unknown) == "clinic"
    assert (counts.images("train"), counts.images("test"), counts.images("other")) == (300, 100, 0)


def test_a_way_of_pooling_has_words():
    assert concepts.activation("positive_mean") == "mean of the positive part"
    assert concepts.activation("some_way") == "some way"


def test_figures_of_the_model_stay_as_they_are():
    evaluation = axis(replace(FIGURE, value=0.81))
    assert evaluation.axis_auc("streaks").value == 0.81
    assert evaluation.activation == "max"
