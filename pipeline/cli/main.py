"""The command line: thin; every command calls one function of the floor below and prints what it returned."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concepts.errors import DermaxisError
from pipeline.cli.accounts import accounts_app
from pipeline.cli.concept_sources import import_rules, measure, suspect
from pipeline.cli.concepts import concepts_app
from pipeline.run.memory import keep_freed_memory

if TYPE_CHECKING:
    from pipeline.config import RunSettings
    from pipeline.run.folder import RunFolder
    from pipeline.run.progress import Tracker

app = typer.Typer(
    help="Concept whitening for dermoscopy. Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
concepts_app.command("import-rules")(import_rules)
for _command in (measure, suspect):
    concepts_app.command()(_command)
app.add_typer(concepts_app, name="concepts")
app.add_typer(accounts_app, name="accounts")

SettingsFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="A YAML file of settings, e.g. configs/phantom.yaml")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes, e.g. training.plain_epochs=3")
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, e.g. runs/phantom-20260101-120000")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the newest unfinished run with the same settings")]
ProgressPath = Annotated[
    Path | None, typer.Option("--progress", metavar="FILE", help="Write how far it has come into this JSON file")
]
Attended = Annotated[
    bool,
    typer.Option(
        "--attended", help="Stop, to be resumed, when standard input closes: for programs that start this one"
    ),
]
RunsPath = Annotated[Path, typer.Option("--runs", help="Folder of the runs")]
ROWS_SHOWN = 50
ATTENDED_GRACE = 60.0


@app.command()
def run(
    config: SettingsFile,
    overrides: Overrides = None,
    resume: Resume = False,
    progress: ProgressPath = None,
    attended: Attended = False,
) -> None:
    """Do the whole job: train, whiten, evaluate, explain, report."""
    if attended:
        # Whoever starts programs in the background lets them ignore Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _when_input_closes(_interrupt)
    settings = _settings(config, overrides)
    with _resumable():
        from pipeline.retrain import retrain, stages
        from pipeline.run.progress_file import ProgressFile

        tracker = _tracker()
        if progress is not None and _is_first():
            tracker = ProgressFile(progress, [str(stage) for stage in stages(settings)], display=tracker)
        done = retrain(settings, tracker=tracker, resume=resume)
    _conclude(done)
    if isinstance(tracker, ProgressFile):
        tracker.finished(done.id)


@app.command()
def train(config: SettingsFile, overrides: Overrides = None, resume: Resume = False) -> None:
    """Train only: leaves an unfinished run that 'evaluate', 'explain' and 'report' go on from."""
    from pipeline.retrain import Stage, retrain

    settings = _settings(config, overrides)
    with _resumable():
        done = retrain(settings, tracker=_tracker(), resume=resume, last=Stage.WHITENED)
    typer.echo(f"trained: {done.path}\nnext:    dermaxis evaluate {done.path}")


@app.command()
def evaluate(run_path: RunPath) -> None:
    """Evaluate a trained run again (evaluation.json)."""
    from pipeline.retrain import Stage, redo

    typer.echo(redo(run_path, Stage.EVALUATION, tracker=_tracker()).file("evaluation.json"))


@app.command()
def explain(
    run_path: RunPath,
    image: Annotated[
        str | None, typer.Option("--image", help="Explain only this image: an image_id of the cohort, or a file")
    ] = None,
) -> None:
    """Explain a run again (explanation.json, cases/), or one image with the network of a run."""
    if image is not None:
        from pipeline.explanation.cases.network import explain_image
        from pipeline.report.pages.case import write_case_page
        from pipeline.run.folder import open_run

        image_id, file = explain_image(run_path, image)
        typer.echo(file)
        typer.echo(write_case_page(open_run(run_path), image_id))
        return
    from pipeline.retrain import Stage, redo

    typer.echo(redo(run_path, Stage.EXPLANATION, tracker=_tracker()).file("explanation.json"))


@app.command()
def report(
    run_path: RunPath,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also write report.pdf (needs the extra 'pdf')")] = False,
) -> None:
    """Write a run's report again (report.html, model facts, checklists, CSV); finishes a run that lacks only that."""
    from pipeline.report.pages.pdf import require_weasyprint, write_pdf
    from pipeline.retrain import Stage, redo

    if pdf:
        require_weasyprint()
    done = redo(run_path, Stage.REPORT, tracker=_tracker())
    typer.echo(done.file("report.html"))
    if pdf:
        typer.echo(write_pdf(done))


@app.command("suppress")
def suppress_axes(
    run_path: RunPath,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME …", help="Named concepts, or artefacts that were audited")
    ],
    epochs: Annotated[
        int, typer.Option("--epochs", min=0, help="Train what comes after the layer on without them, for so long")
    ] = 0,
) -> None:
    """Keep a run's network from seeing axes or artefacts: a new run in which everything is measured again."""
    from pipeline.retrain import Stage, redo
    from pipeline.suppress import suppress_run

    tracker = _tracker()
    suppressed = suppress_run(run_path, names, epochs=epochs, tracker=tracker)
    _conclude(redo(suppressed.path, Stage.REPORT, tracker=tracker))


@app.command()
def compare(
    run_paths: Annotated[list[Path], typer.Argument(metavar="RUN RUN …", help="Whole runs; the first is held against")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE.html", help="Write a page, with CSV and JSON beside it")
    ] = None,
) -> None:
    """Compare runs: what differs, and whether by more than noise."""
    from pipeline.comparison.runs import compare_runs
    from pipeline.report.pages.comparison import terminal_comparison, write_comparison

    comparison = compare_runs(run_paths)
    typer.echo(terminal_comparison(comparison))
    for file in write_comparison(comparison, out) if out is not None else []:
        typer.echo(file)


@app.command()
def export(
    run_path: RunPath,
    onnx: Annotated[Path | None, typer.Option("--onnx", help="Write the network as one ONNX file")] = None,
    bundle: Annotated[Path | None, typer.Option("--bundle", help="Write the network as a MONAI bundle")] = None,
    mlflow: Annotated[
        str | None,
        typer.Option("--mlflow", metavar="URI|FOLDER", help="Write settings, figures and files into an MLflow store"),
    ] = None,
) -> None:
    """Take a whole run elsewhere: its network, whitening folded away and concept activations kept; or its figures."""
    if onnx is None and bundle is None and mlflow is None:
        raise DermaxisError("nothing to export: give --onnx FILE, --bundle FOLDER or --mlflow URI|FOLDER")
    if onnx is not None:
        from pipeline.export.onnx import export_onnx

        export_onnx(run_path, onnx)
        typer.echo(onnx)
    if bundle is not None:
        from pipeline.export.bundle import export_bundle

        export_bundle(run_path, bundle)
        typer.echo(bundle)
    if mlflow is not None:
        from pipeline.export.mlflow_store import export_mlflow

        typer.echo(f"MLflow run {export_mlflow(run_path, mlflow)} in {mlflow}")


@app.command()
def phantom(
    folder: Annotated[Path, typer.Argument(help="Where to write the cohort")],
    overrides: Overrides = None,
) -> None:
    """Generate a phantom cohort: images, masks, metadata.csv (keys: images, size, seed, shortcut.…)."""
    from pipeline.config import parse_overrides
    from pipeline.data.phantom.cohort import generate_cohort

    settings = parse_overrides([f"data.phantom.{override}" for override in overrides or []]).data.phantom
    generate_cohort(settings, folder)
    typer.echo(folder)


@app.command()
def worker(
    runs: RunsPath = Path("runs"),
    queue: Annotated[
        str | None,
        typer.Option(
            "--queue",
            metavar="URL",
            envvar="DERMAXIS_QUEUE",
            help="Database of the jobs; default: a SQLite file beside the runs; for several machines postgresql://…",
        ),
    ] = None,
    attended: Attended = False,
) -> None:
    """Do the jobs that the tool's page Runs asks for, one after the other; start several for several at once."""
    from pipeline.jobs.ledger import open_ledger
    from pipeline.jobs.worker import Worker, ended_by_signals

    ledger = open_ledger(runs, queue)
    hired = Worker(ledger, tell=lambda line: typer.echo(line, err=True))
    typer.echo(f"worker {hired.name} waits for jobs whose runs go to {ledger.runs}; Ctrl-C ends it", err=True)
    if attended:
        _when_input_closes(hired.ending.set)
    with ended_by_signals(hired):
        hired.work()


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    options_metavar="[--store URL --images DIR] …",
)
def ui(context: typer.Context) -> None:
    """Open the labelling tool in the browser; with nothing given, on generated lesions (ui --help for more)."""
    # The tool stands on the floor above: it is started, not imported.
    import subprocess

    with suppress(KeyboardInterrupt):
        raise typer.Exit(subprocess.run([sys.executable, "-m", "clinician_ui", *context.args], check=False).returncode)


def main() -> None:
    """Run the command line; what the user can put right is one line on stderr and exit status 2."""
    keep_freed_memory()
    try:
        app()
    except DermaxisError as error:
        _complain(error)
        sys.exit(error.exit_code)


def _complain(error: DermaxisError) -> None:
    rows = [str(row) for row in getattr(error, "rows", ())]
    for row in rows[:ROWS_SHOWN]:
        typer.echo(f"  {row}", err=True)
    if len(rows) > ROWS_SHOWN:
        typer.echo(f"  … and {len(rows) - ROWS_SHOWN} more", err=True)
    typer.echo(f"dermaxis: {' '.join(str(error).split())}", err=True)


@contextmanager
def _resumable() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("dermaxis: stopped; the same command with --resume continues the run", err=True)
        raise typer.Exit(130) from None


def _settings(config: Path, overrides: list[str] | None) -> "RunSettings":
    from pipeline.config import load_settings

    return load_settings(config, overrides or ())


def _when_input_closes(act: Callable[[], object]) -> None:
    """Do something once nobody holds the other end of standard input, however that came about."""
    import threading

    def wait() -> None:
        # Not sys.stdin: the interpreter cannot end while a thread holds the lock of its buffer.
        while os.read(0, 4096):
            pass
        act()

    threading.Thread(target=wait, daemon=True).start()


def _interrupt() -> None:
    """Do as at Ctrl-C; what hangs is ended, since every file of a run is whole at any moment."""
    from _thread import interrupt_main

    interrupt_main()
    time.sleep(ATTENDED_GRACE)
    os._exit(130)


def _is_first() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def _tracker() -> "Tracker":
    from pipeline.run.progress import Bars, Silent

    return Bars() if _is_first() else Silent()


def _conclude(done: "RunFolder") -> None:
    if _is_first():
        from pipeline.report.pages.tables import terminal_table

        typer.echo(terminal_table(done))
        typer.echo(f"report: {done.file('report.html')}")
