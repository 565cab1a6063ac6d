"""The list of cases: read, narrowed down, added to."""

import pytest

from concepts.errors import RunError
from pipeline.explanation.cases.index import CaseFilter, explained_runs, matching, read_index
from pipeline.results.case import ConceptState
from pipeline.run.folder import RunFolder

HEAD = (
    "image_id,part,reference,call,probability,wrong,abstain,out_of_scope,conflict,unusual_picture,"
    "state_streaks,activation_streaks"
)
ROWS = (
    "a1,test,nevus,nevus,0.9,False,False,False,False,False,present,1.0",
    "a2,test,nevus,melanoma,0.6,True,True,False,False,False,absent,-1.0",
    "b3,,,melanoma,0.7,,False,True,True,False,uncertain,0.0",
)


@pytest.fixture
def run(tmp_path) -> RunFolder:
    folder = RunFolder(tmp_path / "r-20260101-000000")
    folder.path.mkdir()
    folder.write_text("cases.csv", "\n".join([HEAD, *ROWS, ""]))
    return folder


def test_rows_say_what_the_file_says(run):
    first, second, third = read_index(run)
    assert (first.wrong, second.wrong, third.wrong) == (False, True, None)
    assert (third.part, third.reference, third.conflict) == (None, None, True)
    assert second.states == {"streaks": ConceptState.ABSENT}


@pytest.mark.parametrize(
    ("filters", "image_ids"),
    [
        (CaseFilter(), "a1 a2 b3"),
        (CaseFilter(flags=frozenset({"wrong"})), "a2"),
        (CaseFilter(flags=frozenset({"wrong", "conflict"})), ""),
        (CaseFilter(call="melanoma"), "a2 b3"),
        (CaseFilter(reference="nevus"), "a1 a2"),
        (CaseFilter(concept="streaks", state=ConceptState.UNCERTAIN), "b3"),
        (CaseFilter(concept="streaks"), "a1 a2 b3"),
        (CaseFilter(image="A"), "a1 a2"),
    ],
)
def test_a_filter_keeps_what_fits_all_that_is_asked(run, filters, image_ids):
    assert [row.image_id for row in matching(read_index(run), filters)] == image_ids.split()


@pytest.mark.parametrize(("old", "new"), [("0.6", "much"), ("True", "perhaps"), ("absent", "gone"), ("wrong,", "")])
def test_a_damaged_list_is_refused_by_file_and_row(run, old, new):
    run.write_text("cases.csv", run.file("cases.csv").read_text().replace(old, new, 1))
    with pytest.raises(RunError, match=r"cases\.csv: row [23]"):
        read_index(run)


def test_runs_without_cases_and_unfinished_ones_are_not_offered(run, tmp_path):
    (tmp_path / "s-20270101-000000").mkdir()
    partial = RunFolder(tmp_path / "t-20280101-000000.partial")
    partial.path.mkdir()
    partial.write_text("cases.csv", HEAD)
    newer = RunFolder(tmp_path / "a-20290101-000000")
    newer.path.mkdir()
    newer.write_text("cases.csv", HEAD)
    assert explained_runs(tmp_path) == ["a-20290101-000000", "r-20260101-000000"]


def test_a_run_without_cases_says_which_command_makes_them(tmp_path):
    with pytest.raises(RunError, match="dermaxis explain"):
        read_index(RunFolder(tmp_path))
