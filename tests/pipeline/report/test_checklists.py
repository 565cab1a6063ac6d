"""Checklists: their items are complete and numbered, and every answer and fact that they ask for exists."""

from math import nan

import pytest
from fake_evaluation import made_evaluation, made_network, made_subgroup
from fake_explanation import made_explanation, made_record, made_release, made_results, made_sanity

from concepts.statistics.estimate import Estimate
from pipeline.config import parse_overrides
from pipeline.report.pages.checklists import (
    ANSWERS,
    CHECKLISTS,
    answer_text,
    fill_checklists,
    filled_checklist,
    placeholders,
    read_yaml,
)
from pipeline.report.sentences import patients, results, sanity
from pipeline.report.sentences.checklists import checklist_facts
from pipeline.report.sentences.limits import limits_of
from pipeline.report.sentences.numerals import plain_text
from pipeline.results.checklists import AnswerStatus, ChecklistAnswers
from pipeline.results.record import LoadedWeights
from pipeline.results.result import parse_result
from pipeline.results.trust import SubgroupsResult

NUMBERS = {
    "claim_2024": [str(number) for number in range(1, 45)],
    "decide_ai": ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X"],
}
OPEN_IN_CLAIM = {"4", "5", "8", "11", "13", "15", "18", "21", "34", "36", "42", "44"}
SKIN = SubgroupsResult(
    subgroups={"sex": {"female": made_subgroup(60)}, "skin tone": {"light": made_subgroup(70)}},
    unknown={},
    fewest=30,
)


def answers(report, key="claim_2024"):
    """The filled items by number."""
    return {item.number: plain_text(item.answer) for item in fill_checklists(report).checklists[key].items}


@pytest.mark.parametrize("key", CHECKLISTS)
def test_items_have_topics_and_only_answers_that_exist_and_each_number_once(key):
    content = read_yaml(key)
    assert {"key", "name", "source", "about", "items"} == set(content)
    assert content["key"] == key
    assert all(set(item) <= {"number", "section", "topic", "answer"} and item["topic"] for item in content["items"])
    assert {item["answer"] for item in content["items"] if "answer" in item} <= set(read_yaml(ANSWERS))
    numbers = [item["number"] for item in content["items"] if "number" in item]
    assert len(numbers) == len(set(numbers))
    if key == "claim_2024":
        assert numbers == NUMBERS[key]
    if key == "decide_ai":
        arabic = [number for number in numbers if number[0].isdigit()]
        assert {int("".join(filter(str.isdigit, number))) for number in arabic} == set(range(1, 18))
        assert [number for number in numbers if number not in arabic] == NUMBERS[key]


def test_every_answer_is_asked_for_and_complete():
    asked = {item["answer"] for key in CHECKLISTS for item in read_yaml(key)["items"] if "answer" in item}
    assert asked == set(read_yaml(ANSWERS))
    for answer in read_yaml(ANSWERS).values():
        assert set(answer) == {"status", "text"}
        assert AnswerStatus(answer["status"]) is not AnswerStatus.OPEN


def test_every_placeholder_is_a_fact_and_every_fact_is_used():
    names = {name for answer in read_yaml(ANSWERS).values() for name in placeholders(answer["text"])}
    assert names == set(checklist_facts(made_results()))


def test_an_answer_is_open_where_any_of_its_facts_is_not_known():
    facts = {"first": "one", "second": ""}
    assert placeholders("{first} and {second}.") == ("first", "second")
    assert answer_text("{first} and {second}.", facts) == ""
    assert answer_text("{first}.", facts) == "one."
    assert answer_text("No fact.", facts) == "No fact."


def test_an_item_has_its_answers_status_or_none():
    facts = {**checklist_facts(made_results()), "reader_agreement": "0.7"}
    items = {item.number: item for item in filled_checklist("claim_2024", facts).items}
    assert (items["18"].status, items["18"].answer) == (AnswerStatus.PARTLY, "Between readers: 0.7.")
    assert (items["1"].status, items["4"].status, items["4"].answer) == (AnswerStatus.ANSWERED, AnswerStatus.OPEN, "")
    assert (items["7"].section, items["7"].topic) == ("Data", "Sources")


def test_what_a_run_does_not_know_stays_open():
    items = fill_checklists(made_results()).checklists["claim_2024"].items
    assert {item.number for item in items if item.status is AnswerStatus.OPEN} == OPEN_IN_CLAIM


def test_answers_read_back_as_they_were_written():
    filled = fill_checklists(made_results())
    assert parse_result(ChecklistAnswers, filled.to_text(), "checklists.json") == filled
    assert list(filled.checklists) == list(CHECKLISTS)


def test_the_figures_are_those_of_the_whitened_network():
    whitened = made_network(Estimate(0.91, 0.88, 0.94, 100)).model_copy(
        update={
            "auc": {
                "macro": Estimate(0.91, 0.88, 0.94, 100),
                "melanoma": Estimate(0.87, 0.8, 0.9, 100),
                "nevus": Estimate(nan, nan, nan, 2),
            },
            "balanced_accuracy": Estimate(0.77, 0.7, 0.8, 99),
        }
    )
    made = made_evaluation()
    diagnosis = made.diagnosis.model_copy(update={"whitened": whitened})
    report = made_results(made.model_copy(update={"diagnosis": diagnosis}))
    by_number = answers(report)
    assert by_number["37"] == (
        "Macro AUC 0.910 (95 % interval 0.880 to 0.940, n = 100), balanced accuracy 0.770 (95 % interval 0.700 to "
        "0.800, n = 99)."
    )
    assert by_number["38"] == "AUC melanoma 0.870 (0.800 to 0.900); melanocytic nevus not assessable."
    assert by_number["2"] == "Summary on top: " + plain_text(results.comparison(diagnosis))
    system = answers(report, "decide_ai")["4a"]
    assert system.startswith("Run made-20260101-093000. A mobilenet_v1 network was trained")
    assert system.endswith(by_number["37"])


def test_the_data_are_described_part_by_part():
    by_number = answers(made_results())
    assert by_number["7"] == f"The generated phantom cohort; digest of images and labels {'a' * 64}."
    assert by_number["10"] == "None: all images of the source."
    assert by_number["17"].startswith("The 100 test images have")
    assert (
        by_number["19"]
        == "At random with seed 3, by group and diagnosis: train 300, validation 60 and test 100 images."
    )
    assert by_number["32"].startswith("100 test images of")
    assert by_number["35"].startswith(
        "Train: 10 melanoma and 290 melanocytic nevus; validation: 10 melanoma and 50 melanocytic nevus; test: 10"
    )
    assert by_number["14"].startswith("Concepts: planted in generated lesions.")
    digest = made_release().digest[:12]
    assert by_number["16"] == f"Concept release made, version 1, SHA-256 {digest}…. Concepts made by hand."
    assert answers(made_results(record=made_record(digests=None)))["7"].endswith("labels not recorded.")


@pytest.mark.parametrize(
    ("overrides", "number", "answer"),
    [
        (["data.limit=2000"], "10", "At most 2,000 images, drawn at random by diagnosis."),
        (["data.diagnoses=[nevus,melanoma]"], "10", "Only melanocytic nevus and melanoma."),
        (["concepts.unmarked_is_absent=true"], "12", "Concepts that were not marked count as absent; labels"),
        (["concepts.unmarked_is_absent=false"], "12", "Concepts that were not marked are left out; labels"),
        (["transforms.size=96", "transforms.margin=4"], "9", "Squares of 96 pixels (squash, margin 4), normalised"),
        (["model.turns=2"], "27", "None: one network, whose maps are averaged over 2 turns of the image."),
        (["model.turns=1"], "27", "None: one network."),
        (["evaluation.resamples=1500"], "29", "95 % intervals over 1,500 bootstrap resamples"),
        (["training.plain_epochs=7"], "25", "plain epochs 7; whitened epochs"),
    ],
)
def test_settings_are_said_as_they_are(overrides, number, answer):
    settings = parse_overrides(["name=made", *overrides])
    assert answers(made_results(settings=settings))[number].startswith(answer)


def test_the_network_and_its_making_are_described():
    by_number = answers(made_results())
    assert by_number["22"] == (
        "mobilenet_v1; whitening at layer2 (insert), 64 axes, 2 of them named; outputs: melanoma and melanocytic nevus."
    )
    assert by_number["23"] == "python 3.11.9, torch 2.10.0."
    assert by_number["24"] == "Random, by the seed."
    assert "(plain network: epoch 2 and whitened network: epoch 1)" in by_number["26"]
    assert "at commit d34db33f;" in by_number["43"]
    weights = LoadedWeights(file="start.safetensors", loaded=(), dropped=(), missing=())
    started = answers(made_results(record=made_record(weights=weights, commit=None)))
    assert started["24"] == "From start.safetensors."
    assert "at commit unknown;" in started["43"]


def test_subgroups_and_sanity_are_said_where_they_are_known():
    report = made_results(made_evaluation(subgroups=SKIN))
    by_number = answers(report)
    assert by_number["36"] == "Test images only. Sex female: 60; skin tone light: 70."
    subgroups = plain_text(patients.subgroups(SKIN))
    assert by_number["30"] == f"It was not checked against randomised networks. {subgroups}"
    derm = {item.topic: item for item in fill_checklists(report).checklists["clear_derm"].items}
    assert derm["Skin tone"].answer == "Test images: light 70."
    assert plain_text(derm["Assessment of bias"].answer) == subgroups
    assert derm["Synthetic images"].answer == "All images are generated."
    assert plain_text(derm["Images outside the trained range"].answer).startswith(
        "Flagged as out of scope: 10 % (95 % interval 5 to 20 %, n = 40)"
    )
    bare = {item.topic: item for item in fill_checklists(made_results()).checklists["clear_derm"].items}
    assert bare["Skin tone"].status is bare["Assessment of bias"].status is AnswerStatus.OPEN


def test_failures_and_limits_are_counted():
    report = made_results()
    by_number = answers(report)
    assert by_number["39"].startswith("The call is wrong in 20 % (95 % interval 15 to 25 %, n = 100)")
    assert by_number["40"] == f"Section Limits, {len(limits_of(report))} points."


def test_the_sanity_checks_are_summed_up():
    checked = made_results(explanation=made_explanation(sanity=made_sanity()))
    assert answers(checked)["31"].endswith(plain_text(sanity.summary(checked.explanation.sanity, checked.names)))
