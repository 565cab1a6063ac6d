"""The command line: thin; every command calls one function of a lower floor and prints what it returned."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concepts.errors import DermaxisError
from pipeline.cli.accounts import accounts_app
from pipeline.cli.attended import interrupt_when_input_closes, resumable, when_input_closes
from pipeline.cli.concept_sources import import_rules, measure, suspect
from pipeline.cli.concepts import concepts_app
from pipeline.run.memory import keep_freed_memory

if TYPE_CHECKING:
    from pipeline.config import RunSettings
    from pipeline.run.folder import RunFolder
    from pipeline.run.progress import Tracker

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
concepts_app.command("import-rules")(import_rules)
for _command in (measure, suspect):
    concepts_app.command()(_command)
app.add_typer(concepts_app, name="concepts")
app.add_typer(accounts_app, name="accounts")

SettingsFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="YAML file with the settings, e.g. configs/phantom.yaml")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Settings to change, e.g. training.plain_epochs=3"),
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run, e.g. runs/phantom-20260101-120000")]
Resume = Annotated[bool, typer.Option("--resume", help="Resume the newest unfinished run that has the same settings")]
ProgressPath = Annotated[
    Path | None, typer.Option("--progress", metavar="FILE", help="Keep the run's progress in this JSON file")
]
Attended = Annotated[
    bool,
    typer.Option("--attended", help="Stop when standard input closes; for programs that start this command"),
]
RunsPath = Annotated[Path, typer.Option("--runs", metavar="FOLDER", help="Folder that holds the runs")]
MOST_ROWS = 50
"""Rows of an error that are printed."""


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"dermaxis {version('dermaxis')}")
        raise typer.Exit


@app.callback()
def dermaxis(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit")
    ] = False,
) -> None:
    """Concept whitening for dermoscopy. Research software, not a medical device."""


@app.command()
def run(
    config: SettingsFile,
    overrides: Overrides = None,
    resume: Resume = False,
    progress: ProgressPath = None,
    attended: Attended = False,
) -> None:
    """Run the whole job: train, whiten, evaluate, explain and report."""
    if attended:
        interrupt_when_input_closes()
    settings = _settings(config, overrides)
    with resumable():
        from pipeline.retrain import retrain
        from pipeline.run.progress_file import ProgressFile
        from pipeline.stages import stages

        tracker = _tracker()
        if progress is not None and _is_first_process():
            tracker = ProgressFile(progress, [str(stage) for stage in stages(settings)], further=tracker)
        folder = retrain(settings, tracker=tracker, resume=resume)
    _conclude(folder)
    if isinstance(tracker, ProgressFile):
        tracker.finished(folder.id)


@app.command()
def train(config: SettingsFile, overrides: Overrides = None, resume: Resume = False) -> None:
    """Only train; the run stays unfinished until 'evaluate', 'explain' and 'report' have completed it."""
    from pipeline.retrain import retrain
    from pipeline.stages import Stage

    settings = _settings(config, overrides)
    with resumable():
        folder = retrain(settings, tracker=_tracker(), resume=resume, last=Stage.WHITENED)
    typer.echo(f"trained: {folder.path}\nnext:    dermaxis evaluate {folder.path}")


@app.command()
def evaluate(run_path: RunPath) -> None:
    """Evaluate a trained run again and write evaluation.json."""
    from pipeline.retrain import redo
    from pipeline.stages import Stage

    typer.echo(redo(run_path, Stage.EVALUATION, tracker=_tracker()).file("evaluation.json"))


@app.command()
def explain(
    run_path: RunPath,
    image: Annotated[
        str | None,
        typer.Option("--image", metavar="IMAGE", help="Explain this image only: an image_id of the run, or a file"),
    ] = None,
) -> None:
    """Explain a run again (explanation.json, cases/), or a single image with the run's network."""
    if image is not None:
        from pipeline.explanation.cases.network import explain_image
        from pipeline.report.pages.case import write_case_page
        from pipeline.run.folder import open_run

        image_id, file = explain_image(run_path, image)
        typer.echo(file)
        typer.echo(write_case_page(open_run(run_path), image_id))
        return
    from pipeline.retrain import redo
    from pipeline.stages import Stage

    typer.echo(redo(run_path, Stage.EXPLANATION, tracker=_tracker()).file("explanation.json"))


@app.command()
def report(
    run_path: RunPath,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also write report.pdf; needs the extra 'pdf'")] = False,
) -> None:
    """Write the report of a run again: report.html, model facts, checklists and CSV files.

    A run that lacks nothing but its report is finished by it.
    """
    from pipeline.report.pages.pdf import require_weasyprint, write_pdf
    from pipeline.retrain import redo
    from pipeline.stages import Stage

    if pdf:
        require_weasyprint()
    folder = redo(run_path, Stage.REPORT, tracker=_tracker())
    typer.echo(folder.file("report.html"))
    if pdf:
        typer.echo(write_pdf(folder))


@app.command("suppress")
def suppress_axes(
    run_path: RunPath,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME …", help="Concepts that have an axis, or artefacts that were audited")
    ],
    epochs: Annotated[
        int,
        typer.Option("--epochs", min=0, help="Epochs of further training, without them, of the part after the layer"),
    ] = 0,
) -> None:
    """Hide axes or artefacts from a run's network, and measure everything again in a new run."""
    from pipeline.retrain import redo
    from pipeline.stages import Stage
    from pipeline.suppress import suppress_run

    tracker = _tracker()
    suppressed = suppress_run(run_path, names, epochs=epochs, tracker=tracker)
    _conclude(redo(suppressed.path, Stage.REPORT, tracker=tracker))


@app.command()
def compare(
    run_paths: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN …", help="Finished runs; the others are compared with the first")
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE.html", help="Write a page, and CSV and JSON files beside it"),
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
    onnx: Annotated[
        Path | None, typer.Option("--onnx", metavar="FILE", help="Write the network as a single ONNX file")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", metavar="FOLDER", help="Write the network as a MONAI bundle")
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option("--mlflow", metavar="URI|FOLDER", help="Write settings, figures and files to an MLflow store"),
    ] = None,
) -> None:
    """Export a finished run: its network, with whitening folded in and concept activations as outputs, or its figures.

    You can give several of the options at once.
    """
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
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New folder for the cohort")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Settings of the phantom: images, size, seed, shortcut.…"),
    ] = None,
) -> None:
    """Generate a phantom cohort: images, masks and metadata.csv."""
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
            help="Address of the queue; default: a SQLite file beside the runs",
        ),
    ] = None,
    attended: Attended = False,
) -> None:
    """Do the jobs that are ordered on the tool's page Runs, one at a time; start several workers for several jobs."""
    from pipeline.jobs.ledger import open_ledger
    from pipeline.jobs.queue import open_queue
    from pipeline.jobs.worker import Worker, ended_by_signals

    ledger = open_ledger(runs)
    new_worker = Worker(ledger, open_queue(queue, ledger), say=lambda line: typer.echo(line, err=True))
    typer.echo(f"worker {new_worker.name} waits for jobs; their runs go to {ledger.runs}; Ctrl-C ends it", err=True)
    if attended:
        when_input_closes(new_worker.ending.set)
    with ended_by_signals(new_worker):
        new_worker.work()


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    options_metavar="[--store URL --images FOLDER] …",
)
def ui(context: typer.Context) -> None:
    """Open the labelling tool in the browser, without options on generated lesions; see 'dermaxis ui --help'."""
    # The tool stands on the floor above: it is started, not imported.
    import subprocess

    with suppress(KeyboardInterrupt):
        raise typer.Exit(subprocess.run([sys.executable, "-m", "clinician_ui", *context.args], check=False).returncode)


def main() -> None:
    """Run the command line; an error that the user can put right is one line on stderr and exit status 2."""
    keep_freed_memory()
    try:
        app()
    except DermaxisError as error:
        _complain(error)
        sys.exit(error.exit_code)


def _complain(error: DermaxisError) -> None:
    rows = [str(row) for row in getattr(error, "rows", ())]
    for row in rows[:MOST_ROWS]:
        typer.echo(f"  {row}", err=True)
    if len(rows) > MOST_ROWS:
        typer.echo(f"  … and {len(rows) - MOST_ROWS} more", err=True)
    typer.echo(f"dermaxis: {' '.join(str(error).split())}", err=True)


def _settings(config: Path, overrides: list[str] | None) -> "RunSettings":
    from pipeline.config import load_settings

    return load_settings(config, overrides or ())


def _is_first_process() -> bool:
    """Tell whether this is the only process of a run, or under torchrun the one that speaks."""
    return int(os.environ.get("RANK", "0")) == 0


def _tracker() -> "Tracker":
    from pipeline.run.progress import Bars, Silent

    return Bars() if _is_first_process() else Silent()


def _conclude(folder: "RunFolder") -> None:
    if _is_first_process():
        from pipeline.report.pages.tables import terminal_table

        typer.echo(terminal_table(folder))
        typer.echo(f"report: {folder.file('report.html')}")
