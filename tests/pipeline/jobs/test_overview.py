"""The list of finished runs: each line has its own run's figures, and a run that cannot be read says so."""

import shutil
from math import nan

import pytest
from fake_evaluation import made_evaluation, made_purity
from fake_explanation import made_record, made_results, write_run

from concepts.statistics.estimate import Estimate
from pipeline.config import parse_overrides
from pipeline.jobs.overview import RunSummary, summary_of, whole_runs

PLAIN, WHITENED, AXES = (Estimate(value, value - 0.1, value + 0.1, 50) for value in (0.71, 0.82, 0.63))


def results(finished="2026-01-01T09:40:00+00:00", *, release="derm@2"):
    evaluation = made_evaluation({"streaks": made_purity(activation="mean")}, plain=PLAIN, whitened=WHITENED,
                                 activation="mean")  # fmt: skip
    mean = evaluation.axes.mean.model_copy(update={"axis_auc": {"mean": AXES, "max": WHITENED}})
    return made_results(
        evaluation.model_copy(update={"axes": evaluation.axes.model_copy(update={"mean": mean})}),
        record=made_record(finished=finished),
        settings=parse_overrides(["name=trial", "seed=3", *([f"concepts.release={release}"] if release else [])]),
    )


def test_a_line_has_the_runs_own_figures(tmp_path):
    run = write_run(tmp_path / "trial-1", results())
    assert summary_of(run.path) == RunSummary(
        id="trial-1",
        name="trial",
        finished="2026-01-01T09:40:00+00:00",
        seed=3,
        release="derm@2",
        plain=PLAIN,
        whitened=WHITENED,
        axes=AXES,
        has_report=False,
    )
    run.write_text("report.html", "")
    assert summary_of(run.path).has_report


def test_what_is_not_known_is_empty(tmp_path):
    summary = summary_of(write_run(tmp_path / "a", results(None, release=None)).path)
    assert (summary.finished, summary.release) == ("", None)
    assert summary.fault is None


def test_runs_are_listed_from_the_last_to_the_first_and_unfinished_ones_are_not(tmp_path):
    for name, day in (("b", 1), ("a", 1), ("c", 2), ("d.partial", 3)):
        write_run(tmp_path / name, results(f"2026-01-0{day}T09:40:00+00:00"))
    (tmp_path / "notes").mkdir()
    assert [summary.id for summary in whole_runs(tmp_path)] == ["c", "b", "a"]
    assert whole_runs(tmp_path / "none") == []


@pytest.mark.parametrize("name", ["run.json", "evaluation.json"])
def test_a_run_that_cannot_be_read_says_which_file(tmp_path, name):
    run = write_run(tmp_path / "a", results())
    run.write_text(name, "{}")
    (summary,) = whole_runs(tmp_path)
    assert summary.id == "a"
    assert f"{name}: written by an earlier version" in summary.fault
    assert summary.plain.value != summary.plain.value
    run.file(name).unlink()
    assert f"{name} is missing" in whole_runs(tmp_path)[0].fault


def test_a_run_is_read_again_when_one_of_its_files_changes(tmp_path):
    run = write_run(tmp_path / "a", results())
    assert whole_runs(tmp_path)[0].plain == PLAIN
    assert whole_runs(tmp_path)[0] is whole_runs(tmp_path)[0]
    run.write(made_evaluation(plain=Estimate(nan, nan, nan, 0)))
    assert whole_runs(tmp_path)[0].plain != PLAIN
    shutil.rmtree(run.path)
    assert whole_runs(tmp_path) == []
