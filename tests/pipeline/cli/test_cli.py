import sys

import pytest
from typer.testing import CliRunner

from concepts.errors import DataError, DermaxisError
from pipeline.cli import main as cli


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
    assert "and 10 more" in lines[-2]


def test_only_the_first_process_speaks(monkeypatch):
    from pipeline.run.progress import Bars, Silent

    monkeypatch.setenv("RANK", "1")
    assert isinstance(cli._tracker(), Silent)
    monkeypatch.setenv("RANK", "0")
    assert isinstance(cli._tracker(), Bars)
    assert "torchvision" not in sys.modules
