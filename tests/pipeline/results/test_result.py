"""What every result promises: read(write(x)) = x, closed to unknown keys, refused when of another format."""

import json
from math import nan
from typing import ClassVar

import pytest
from pydantic import ValidationError

from concepts.errors import RunError
from concepts.statistics.estimate import Estimate
from pipeline.results.result import Band, Figure, Number, ResultFile, parse_result


class Sample(ResultFile):
    """A result for these tests."""

    file: ClassVar[str] = "sample.json"
    version: ClassVar[int] = 3
    remedy: ClassVar[str] = "make it again: dermaxis sample {run}"

    auc: Figure
    share: Number
    band: Band


SAMPLE = Sample(auc=Estimate(0.8, 0.7, nan, 12), share=nan, band=Band(low=0.5, high=nan))


def test_what_is_written_reads_back_the_same():
    text = SAMPLE.to_text()
    assert parse_result(Sample, text, "runs/a/sample.json").to_text() == text
    assert json.loads(text) == {
        "format": 3,
        "auc": {"value": 0.8, "low": 0.7, "high": None, "n": 12},
        "share": None,
        "band": {"low": 0.5, "high": None},
    }


def test_infinite_numbers_are_written_as_not_known():
    text = Sample(auc=Estimate(1.0, -float("inf"), 1.0, 3), share=float("inf"), band=Band(low=0, high=1)).to_text()
    assert json.loads(text)["auc"]["low"] is None
    assert json.loads(text)["share"] is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": 2}, r"written by format 2, this version reads format 3; make it again: dermaxis sample runs/a$"),
        ({"format": None}, r"written by an earlier version, this version reads format 3"),
        ({"surplus": 1}, r"surplus: extra inputs are not permitted; make it again"),
        ({"share": "much"}, r"share: input should be a valid number"),
        ({"auc": {"value": 1.0, "low": 0.5, "high": 1.0}}, r"auc.*n: field required"),
    ],
)
def test_another_format_or_key_is_refused_with_its_remedy(change, complaint):
    text = json.dumps(json.loads(SAMPLE.to_text()) | change)
    with pytest.raises(RunError, match=complaint):
        parse_result(Sample, text, "runs/a/sample.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_damaged_files_are_named(text):
    with pytest.raises(RunError, match=r"runs/a/sample\.json: "):
        parse_result(Sample, text, "runs/a/sample.json")


def test_a_result_is_immutable():
    with pytest.raises(ValidationError, match="frozen"):
        SAMPLE.share = 1.0
