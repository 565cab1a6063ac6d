"""Files of unnamed directions: read as written, refused when damaged, and cheap to import."""

import pytest

from concepts.errors import RunError
from pipeline.explanation.discovery.files import (
    Candidate,
    candidate_values,
    candidates_file,
    read_candidates,
    write_candidates,
)
from pipeline.results.discovery import Direction
from pipeline.run.folder import RunFolder

CANDIDATES = [
    Candidate("a", "0" * 64, "high", 2.5, (0.0, 0.25, 0.5, 0.75)),
    Candidate("b", "1" * 64, "high", 1.125, (0.0, 0.0, 1.0, 1.0)),
    Candidate("c", "2" * 64, "low", -0.5, (0.5, 0.5, 1.0, 1.0)),
]


@pytest.fixture
def run(tmp_path):
    (tmp_path / "discovery").mkdir()
    return RunFolder(tmp_path)


def direction(name="free_1"):
    return Direction(
        name=name, share_of_slope=0.5, importance={}, relations=(), patches=(), candidates=candidates_file(name)
    )


def test_candidates_read_back_as_they_were_written(run):
    write_candidates(run, "free_1", CANDIDATES)
    assert read_candidates(run, direction()) == CANDIDATES
    header = run.file("discovery/free_1.csv").read_text().splitlines()[0]
    assert header == "image_id,digest,end,activation,x0,y0,x1,y1"


def test_numbers_have_four_decimals(run):
    write_candidates(run, "free_1", [Candidate("a", "0", "high", 1 / 3, (0.0, 1 / 7, 0.5, 1.0))])
    (candidate,) = read_candidates(run, direction())
    assert candidate.activation == 0.3333
    assert candidate.box[1] == 0.1429


def test_values_fall_from_one_to_zero_whatever_the_order_of_the_rows(run):
    write_candidates(run, "free_1", CANDIDATES[::-1])
    assert candidate_values(run, direction()) == {"0" * 64: 1.0, "1" * 64: 0.5, "2" * 64: 0.0}


def test_the_low_end_comes_last_even_where_it_is_more_active(run):
    swapped = [CANDIDATES[0], Candidate("c", "2" * 64, "low", 9.0, CANDIDATES[2].box)]
    write_candidates(run, "free_1", swapped)
    assert candidate_values(run, direction()) == {"0" * 64: 1.0, "2" * 64: 0.0}


def test_a_single_candidate_has_the_value_one(run):
    write_candidates(run, "free_1", CANDIDATES[:1])
    assert candidate_values(run, direction()) == {"0" * 64: 1.0}


@pytest.mark.parametrize(
    "text",
    [
        "image_id\na\n",
        "image_id,digest,end,activation,x0,y0,x1,y1\na,0,high,much,0,0,1,1\n",
        "image_id,digest,end,activation,x0,y0,x1,y1\na,0,high\n",
    ],
)
def test_damaged_candidates_are_refused(run, text):
    run.write_text(candidates_file("free_1"), text)
    with pytest.raises(RunError, match=r"free_1\.csv: cannot be read .*; explain the run again"):
        candidate_values(run, direction())


def test_missing_candidates_are_refused(run):
    with pytest.raises(RunError, match=r"free_2\.csv: cannot be read"):
        read_candidates(run, direction("free_2"))
