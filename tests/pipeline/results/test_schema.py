"""The exported schemas describe the files that are written."""

import json

import pytest
from fake_evaluation import made_evaluation
from fake_explanation import made_explanation, made_record, made_results
from jsonschema import Draft202012Validator, ValidationError

from pipeline.report.pages.checklists import fill_checklists
from pipeline.report.pages.facts import model_facts
from pipeline.results.result import parse_result
from pipeline.results.schema import FILES, file_schemas


@pytest.mark.parametrize("name", FILES)
def test_every_schema_is_valid_itself(name):
    Draft202012Validator.check_schema(file_schemas()[name])


@pytest.mark.parametrize(
    "make",
    [made_evaluation, made_explanation, made_record, lambda: model_facts(made_results()),
     lambda: fill_checklists(made_results())],
)  # fmt: skip
def test_every_file_follows_its_schema(make):
    result = make()
    Draft202012Validator(file_schemas()[result.file]).validate(json.loads(result.to_text()))
    assert parse_result(type(result), result.to_text(), result.file).to_text() == result.to_text()


def test_what_is_written_follows_its_schema_and_nothing_else_does():
    written = json.loads(made_evaluation().to_text())
    validator = Draft202012Validator(file_schemas()["evaluation.json"])
    validator.validate(written)
    with pytest.raises(ValidationError, match="format"):
        validator.validate(written | {"format": 1})
    with pytest.raises(ValidationError, match="surplus"):
        validator.validate(written | {"surplus": 1})
    with pytest.raises(ValidationError, match="whitening"):
        validator.validate({key: value for key, value in written.items() if key != "whitening"})
