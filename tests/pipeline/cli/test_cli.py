"""The command line hands each command's arguments to one function and prints what that returned."""

import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from concepts.errors import DataError, DermaxisError
from pipeline.cli import main as cli
from pipeline.cli.runs import make_tracker
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Bars, Silent
from pipeline.run.progress_file import parse_progress


@pytest.fixture
def invoke():
    runner = CliRunner()
    return lambda *arguments: runner.invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "small.yaml"
    data = f"data: {{cache: {tmp_path / 'cache'}, phantom: {{images: 40, size: 64}}}}"
    file.write_text(f"{data}\ntransforms: {{size: 48, margin: 4}}\n")
    return file


def test_help_names_every_command(invoke):
    shown = invoke("--help").output
    for command in ("run", "train", "evaluate", "explain", "report", "export", "phantom", "concepts"):
        assert command in shown


def commands(group):
    for command in group.commands.values():
        yield from commands(command) if hasattr(command, "commands") else [command]


def test_every_command_and_every_parameter_is_described():
    undescribed = [
        f"{command.name}: {parameter.name}"
        for command in commands(typer.main.get_command(cli.app))
        for parameter in command.params
        if not getattr(parameter, "help", None)
    ]
    assert not undescribed
    assert all(command.help for command in commands(typer.main.get_command(cli.app)))


def test_the_version_is_that_of_the_package(invoke):
    result = invoke("--version")
    assert (result.exit_code, result.output) == (0, f"dermaxis {version('dermaxis')}\n")
    assert invoke().exit_code == 2


@pytest.fixture
def calls(monkeypatch):
    """What the commands of a run asked for; nothing is trained."""
    import pipeline.retrain
    import pipeline.suppress

    kept = []

    def retrain(settings, *, tracker, resume=False, last="report"):
        kept.append(("retrain", settings.seed, resume, str(last)))
        tracker.say("trained")
        return RunFolder(Path("runs/new"))

    def redo(path, stage, *, tracker, paths):
        kept.append(("redo", str(path), str(stage), *paths))
        return RunFolder(Path("runs/new"))

    def suppress_run(path, names, *, epochs, tracker, paths):
        kept.append(("suppress", str(path), names, epochs, *paths))
        return RunFolder(Path("runs/other"))

    monkeypatch.setattr(pipeline.retrain, "retrain", retrain)
    monkeypatch.setattr(pipeline.retrain, "redo", redo)
    monkeypatch.setattr(pipeline.suppress, "suppress_run", suppress_run)
    monkeypatch.setattr("pipeline.report.pages.tables.terminal_table", lambda run: f"figures of {run.id}")
    return kept


def test_a_run_gets_its_settings_and_ends_with_its_figures_and_report(invoke, calls, config, tmp_path):
    output = invoke("run", config, "seed=4", "--progress", tmp_path / "progress.json").output
    assert calls == [("retrain", 4, False, "report")]
    assert output.endswith("figures of new\nreport: runs/new/report.html\n")
    progress = parse_progress((tmp_path / "progress.json").read_text())
    assert (progress.run, progress.message, progress.stages[0]) == ("new", "trained", "plain")
    invoke("run", config, "--resume")
    assert calls[1] == ("retrain", 0, True, "report")


def test_a_process_that_is_not_the_first_prints_and_writes_nothing(invoke, calls, config, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert invoke("run", config, "--progress", tmp_path / "progress.json").output == ""
    assert not (tmp_path / "progress.json").exists()


def test_training_alone_says_what_comes_next(invoke, calls, config):
    output = invoke("train", config, "--resume").output
    assert calls == [("retrain", 0, True, "whitened")]
    assert "trained: runs/new\nnext:    dermaxis evaluate runs/new\n" in output


@pytest.mark.parametrize(
    ("command", "stage", "file"),
    [
        ("evaluate", "evaluation", "evaluation.json"),
        ("explain", "explanation", "explanation.json"),
        ("report", "report", "report.html"),
    ],
)
def test_a_stage_is_done_again_and_its_file_named(invoke, calls, command, stage, file):
    assert invoke(command, "runs/new").output == f"runs/new/{file}\n"
    assert calls == [("redo", "runs/new", stage)]
    invoke(command, "runs/new", "data.root=/data", "data.cache=/cache")
    assert calls[1] == ("redo", "runs/new", stage, "data.root=/data", "data.cache=/cache")


def test_a_suppressed_run_is_measured_to_its_report(invoke, calls):
    output = invoke("suppress", "runs/new", "streaks", "ruler", "--epochs", "2").output
    assert calls == [("suppress", "runs/new", ["streaks", "ruler"], 2), ("redo", "runs/other", "report")]
    assert "report: runs/new/report.html" in output
    invoke("suppress", "runs/new", "streaks", "--path", "data.root=/data")
    assert calls[2] == ("suppress", "runs/new", ["streaks"], 0, "data.root=/data")


def test_an_export_goes_to_each_target_that_was_asked_for(invoke, monkeypatch):
    kept = []
    monkeypatch.setattr("pipeline.export.onnx.export_onnx", lambda run, path: kept.append((run, path)))
    monkeypatch.setattr("pipeline.export.bundle.export_bundle", lambda run, path: kept.append((run, path)))
    monkeypatch.setattr("pipeline.export.mlflow_store.export_mlflow", lambda run, target: f"id of {run}")
    run = Path("runs/new")
    assert invoke("export", run, "--onnx", "a.onnx").output == "a.onnx\n"
    assert invoke("export", run, "--bundle", "bundle").output == "bundle\n"
    assert kept == [(run, Path("a.onnx")), (run, Path("bundle"))]
    assert invoke("export", run, "--mlflow", "store").output == "MLflow run id of runs/new in store\n"
    assert invoke("export", run, "--onnx", "a.onnx", "--bundle", "b", "--mlflow", "s").output.count("\n") == 3


def test_a_comparison_is_printed_and_written_where_asked(invoke, monkeypatch):
    monkeypatch.setattr("pipeline.comparison.runs.compare_runs", lambda paths: [path.name for path in paths])
    monkeypatch.setattr("pipeline.report.pages.comparison.terminal_comparison", " against ".join)
    monkeypatch.setattr("pipeline.report.pages.comparison.write_comparison", lambda comparison, out: [out])
    assert invoke("compare", "runs/a", "runs/b").output == "a against b\n"
    assert invoke("compare", "runs/a", "runs/b", "-o", "page.html").output == "a against b\npage.html\n"


def test_a_single_image_is_explained_and_shown(invoke, calls, monkeypatch, tmp_path):
    (tmp_path / "settings.yaml").touch()
    asked = []
    monkeypatch.setattr(
        "pipeline.explanation.cases.network.explain_image",
        lambda run, image, *, paths: asked.append((run, image, *paths)) or ("i1", Path("cases/i1.json")),
    )
    monkeypatch.setattr("pipeline.report.pages.case.write_case_page", lambda run, image: f"{run.id}/{image}.html")
    assert invoke("explain", tmp_path, "--image", "i1").output == f"cases/i1.json\n{tmp_path.name}/i1.html\n"
    assert asked == [(tmp_path, "i1")]
    assert not calls


def test_a_release_is_frozen_shown_verified_and_never_overwritten(invoke, config, tmp_path):
    release = tmp_path / "release.json"
    assert invoke("concepts", "freeze", config, "--output", release).exit_code == 0
    shown = invoke("concepts", "show", release).output
    assert "globules" in shown
    assert "planted" in shown
    (root,) = (tmp_path / "cache" / "phantom").iterdir()
    assert "intact" in invoke("concepts", "verify", release, "--root", root).output
    again = invoke("concepts", "freeze", config, "--output", release)
    assert isinstance(again.exception, DermaxisError)
    assert "never overwritten" in str(again.exception)
    next(iter((root / "masks").glob("*_globules.png"))).write_bytes(b"altered")
    assert isinstance(invoke("concepts", "verify", release, "--root", root).exception, DermaxisError)


def test_a_phantom_is_drawn_where_asked(invoke, tmp_path):
    assert invoke("phantom", tmp_path / "cohort", "images=12", "size=64").exit_code == 0
    assert len(list((tmp_path / "cohort" / "images").iterdir())) == 12
    refused = invoke("phantom", tmp_path / "other", "imagez=12")
    assert "did you mean 'images'" in str(refused.exception)
    assert not (tmp_path / "other").exists()


def test_export_wants_to_know_what(invoke, tmp_path):
    assert "--onnx FILE" in str(invoke("export", tmp_path).exception)


def test_what_the_user_can_put_right_is_one_line_with_the_rows_above(monkeypatch, capsys):
    def fail():
        raise DataError("2 rows cannot\n be used", rows=[f"row {n}" for n in range(60)])

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    lines = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert lines[-1] == "dermaxis: 2 rows cannot be used"
    assert lines[0] == "  row 0"
    assert lines[-2] == "  … and 10 more"
    assert len(lines) == 52
    assert lines[49] == "  row 49"


def test_exactly_as_many_rows_as_are_printed_leave_none_to_count(capsys):
    cli._complain(DataError("bad", rows=[f"row {number}" for number in range(cli.MOST_ROWS)]))
    assert "more" not in capsys.readouterr().err


def test_only_the_first_process_speaks(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert isinstance(make_tracker(), Silent)
    monkeypatch.setenv("RANK", "0")
    assert isinstance(make_tracker(), Bars)
    monkeypatch.delenv("RANK")
    assert isinstance(make_tracker(), Bars)
    assert "torchvision" not in sys.modules
