"""What the report says about subgroups and about labels alone: no more than the intervals allow."""

from dataclasses import replace

import pytest
from fake_evaluation import FIGURE, made_subgroup

from concepts.statistics.estimate import Estimate
from pipeline.report.sentences import patients
from pipeline.report.sentences.numerals import plain_text
from pipeline.results.comparison import IntervalMethod, NoiseFinding
from pipeline.results.trust import (
    ConceptOnlyResult,
    LabelCeiling,
    LabelClassifier,
    LabelsAgainstNetwork,
    SubgroupsResult,
)

WORSE = Estimate(-0.2, -0.25, -0.15, 100)
PERHAPS_WORSE = Estimate(-0.2, -0.39, -0.01, 100)


def made_subgroups(male: Estimate = WORSE) -> SubgroupsResult:
    return SubgroupsResult(
        subgroups={
            "sex": {"female": made_subgroup(120), "male": made_subgroup(100, difference=male)},
            "age": {"under 40 years": made_subgroup(12, reason="12 images, fewer than 30")},
        },
        unknown={"sex": 20, "age": 0},
        fewest=30,
    )


def made_labels(difference: Estimate = FIGURE, **changes) -> ConceptOnlyResult:
    fields = {
        "images": 1000,
        "left_out": 3,
        "ceiling": LabelCeiling(
            accuracy=Estimate(0.92, 0.9, 0.94, 1000),
            balanced_accuracy=Estimate(0.61, 0.6, 0.62, 1000),
            conflicting=Estimate(0.2, 0.18, 0.22, 1000),
            profiles=40,
            single=7,
        ),
        "logistic": LabelClassifier(
            macro_auc=Estimate(0.75, 0.7, 0.8, 1000), balanced_accuracy=Estimate(0.33, 0.3, 0.36, 1000)
        ),
        "test": LabelsAgainstNetwork(
            logistic=Estimate(0.711, 0.6, 0.8, 100), network=Estimate(0.822, 0.7, 0.9, 100), difference=difference
        ),
    }
    return ConceptOnlyResult(**(fields | changes))


def test_every_subgroup_is_judged_among_all_that_have_a_difference():
    rows = {row.value: row for row in patients.subgroup_rows(made_subgroups())}
    assert list(rows) == ["female", "male", "under 40 years"]
    male = rows["male"].difference
    assert (male.finding, male.method) == (NoiseFinding.BEYOND, IntervalMethod.UNPAIRED)
    assert male.widened[0] == pytest.approx(-0.2 - 0.05 * 2.2414 / 1.96, abs=1e-4), "corrected for two differences"
    assert rows["under 40 years"].difference is None
    assert rows["under 40 years"].figures.reason == "12 images, fewer than 30"


def test_a_difference_between_subgroups_is_claimed_only_after_correction():
    text = plain_text(patients.subgroups(made_subgroups()))
    assert text.startswith("2 differences between a subgroup and all other images are judged together.")
    assert "Beyond chance after correction for their number: sex male (-0.200, 95 % interval -0.250 to -0.150)." in text
    assert "by chance alone" not in text
    text = plain_text(patients.subgroups(made_subgroups(PERHAPS_WORSE)))
    assert "none is shown to be more than chance" in text
    assert "Sex male differs by its own 95 % interval, but about 0.1 of so many would by chance alone." in text


def test_several_differences_without_correction_are_told_in_the_plural():
    result = made_subgroups(PERHAPS_WORSE)
    both = {"sex": dict.fromkeys(("female", "male"), made_subgroup(100, difference=PERHAPS_WORSE))}
    text = patients.subgroups(result.model_copy(update={"subgroups": both}))
    assert "Sex female and sex male differ by their own" in text
    alone = {"sex": {"male": made_subgroup(100, difference=PERHAPS_WORSE)}}
    text = patients.subgroups(result.model_copy(update={"subgroups": alone}))
    assert text.startswith("1 difference between a subgroup and all other images is judged together.")


def test_subgroups_without_figures_make_no_claim():
    few = SubgroupsResult(
        subgroups={"age": {"under 40 years": made_subgroup(12, reason="few")}}, unknown={}, fewest=1000
    )
    assert "No subgroup has the 1,000 images" in patients.subgroups(few)
    assert "is not known" in patients.subgroups(few)
    none = SubgroupsResult(subgroups={}, unknown={"sex": 9}, fewest=30)
    assert "there are no subgroups to compare" in patients.subgroups(none)


def test_limits_count_what_is_unknown_and_what_has_too_few():
    text = patients.subgroup_limits(made_subgroups())
    assert "fewer than 30 images, or fewer than 5 of a diagnosis (1 subgroup here)" in text
    assert "Not known: sex in 20 images." in text
    assert "age in" not in text
    assert "Not known" not in patients.subgroup_limits(SubgroupsResult(subgroups={}, unknown={"sex": 0}, fewest=30))


def test_a_cell_shows_the_sign_and_the_finding_of_a_difference():
    female, male, young = patients.subgroup_rows(made_subgroups())
    assert plain_text(patients.subgroup_difference(female)) == "+0.010"
    assert plain_text(patients.subgroup_difference(male)) == "-0.200"
    assert patients.subgroup_difference(young) == "not assessable"
    nothing = replace(male, difference=male.difference.model_copy(update={"figure": Estimate(0.0001, -0.1, 0.1, 9)}))
    assert patients.subgroup_difference(nothing) == "0.000"
    findings = [patients.subgroup_finding(row) for row in (female, male, young)]
    assert findings == ["within noise", "beyond noise", ""]


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (Estimate(0.111, 0.02, 0.2, 100), "the network finds more in the pictures than these labels say"),
        (Estimate(-0.1, -0.2, -0.02, 100), "the labels say more than the network finds in the pictures"),
        (Estimate(0.01, -0.1, 0.1, 100), "the two are not told apart"),
    ],
)
def test_the_labels_against_the_network_say_no_more_than_the_interval(difference, text):
    sentence = plain_text(patients.label_classifier(made_labels(difference)))
    assert text in sentence
    assert "macro AUC of 0.750 (95 % interval 0.700 to 0.800, n = 1,000) over all images" in sentence
    assert "balanced accuracy of 33 %" in sentence
    assert "On the test images it reaches 0.711, the whitened network, which sees only the picture, 0.822" in sentence


def test_the_ceiling_names_each_of_its_figures():
    text = plain_text(patients.ceiling(made_labels().ceiling))
    assert text.startswith("In 20 % (95 % interval 18 to 22 %, n = 1,000) of the images the same concepts")
    assert "cannot" not in text.split("No rule")[0]
    assert "No rule from these labels alone can be right in more than 92 %" in text
    assert "balanced over diagnoses: 61 %" in text
    assert "40 different profiles; 7 of them occur in one image only" in text


def test_labels_without_a_classifier_a_ceiling_or_a_test_image_say_so():
    nothing = ConceptOnlyResult(images=0, left_out=9)
    assert "no ceiling can be stated" in patients.ceiling(nothing.ceiling)
    assert "No classifier of the labels was fitted" in patients.label_classifier(nothing)
    assert "On the test images" not in patients.label_classifier(made_labels(test=None))


def test_limits_of_labels_tell_what_was_marked_and_what_is_left_out():
    text = patients.label_limits(made_labels(), marked=True)
    assert "not marked is not absent" in text
    assert "3 images with a label that is not known are left out." in text
    text = patients.label_limits(made_labels(left_out=1), marked=False)
    assert "not marked is not absent" not in text
    assert text.endswith("1 image with a label that is not known is left out.")
    assert "left out" not in patients.label_limits(made_labels(left_out=0), marked=True)
