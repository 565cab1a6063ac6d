"""The list of cases: read, narrowed down, added to."""

import pytest
from fake_cases import made_case, made_concept

from concepts.errors import RunError
from pipeline.explanation.cases.files import (
    picture_file,
    read_case,
    write_case,
    write_index,
)
from pipeline.explanation.cases.index import (
    FLAGS,
    CaseFilter,
    CaseRow,
    add_to_index,
    concepts_of,
    explained_runs,
    matching,
    read_index,
)
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


def test_every_flag_filters_by_itself(run):
    rows = read_index(run)
    flags = {flag: [row.image_id for row in matching(rows, CaseFilter(flags=frozenset({flag})))] for flag in FLAGS}
    assert flags == {
        "wrong": ["a2"],
        "abstain": ["a2"],
        "conflict": ["b3"],
        "out_of_scope": ["b3"],
        "unusual_picture": [],
    }


def test_a_list_is_written_and_read_as_its_cases_say(tmp_path):
    run = RunFolder(tmp_path)
    cases = [
        made_case("a", plausible=["nevus"], concepts=[made_concept(), made_concept("veil", ConceptState.ABSENT)]),
        made_case("b", call="nevus", out_of_scope=True, conflict=True, part=None, reference=None),
    ]
    cases[1] = cases[1].model_copy(update={"concepts": cases[0].concepts})
    write_index(run, [case.row() for case in cases])
    first, second = read_index(run)
    assert first == CaseRow(
        image_id="a",
        part="test",
        reference="melanoma",
        call="melanoma",
        probability=0.72,
        wrong=False,
        abstain=True,
        conflict=False,
        out_of_scope=False,
        unusual_picture=False,
        states={"streaks": ConceptState.PRESENT, "veil": ConceptState.ABSENT},
    )
    assert (second.part, second.reference, second.wrong) == (None, None, None)
    assert (second.abstain, second.conflict, second.out_of_scope) == (False, True, True)
    assert concepts_of([first, second]) == ["streaks", "veil"]
    assert concepts_of([]) == []


def test_a_case_explained_again_takes_the_place_of_the_earlier_one(tmp_path):
    run = RunFolder(tmp_path)
    add_to_index(run, made_case("a"))
    add_to_index(run, made_case("b", reference=None))
    add_to_index(run, made_case("a", call="nevus"))
    assert [(row.image_id, row.call, row.wrong) for row in read_index(run)] == [
        ("b", "melanoma", None),
        ("a", "nevus", True),
    ]


def test_no_cases_are_a_list_without_rows(tmp_path):
    write_index(RunFolder(tmp_path), [])
    assert read_index(RunFolder(tmp_path)) == []


def test_cases_are_read_as_they_were_written_under_names_that_are_no_paths(tmp_path):
    run = RunFolder(tmp_path)
    case = made_case("up/../a b")
    path = write_case(run, case)
    assert path == tmp_path / "cases" / "up%2F..%2Fa%20b.json"
    assert read_case(run, "up/../a b") == case
    run.file("cases/.hidden.json").write_text("being written")
    write_case(run, made_case("b"))
    assert sorted(file.name for file in run.file("cases").glob("[!.]*")) == ["b.json", "up%2F..%2Fa%20b.json"]
    assert picture_file("a/b") == "cases/a%2Fb.jpg"


def test_a_case_that_is_missing_or_of_another_version_is_refused(tmp_path):
    run = RunFolder(tmp_path)
    with pytest.raises(RunError, match="no such case"):
        read_case(run, "a")
    for number in (1, 3):
        write_case(run, made_case("a").model_copy(update={"format": number}))
        with pytest.raises(RunError, match="not a case of this version"):
            read_case(run, "a")
