"""The command line: thin; every command calls one function of a lower floor and prints what it returned."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concepts.addresses import blanked
from concepts.errors import DermaxisError
from pipeline.cli.accounts import accounts_app
from pipeline.cli.address_options import without_secret
from pipeline.cli.attended import interrupt_when_input_closes, resumable, when_input_closes
from pipeline.cli.concept_sources import import_rules, measure, suspect
from pipeline.cli.concepts import concepts_app
from pipeline.cli.runs import (
    compare,
    conclude,
    evaluate,
    explain,
    export,
    is_first_process,
    make_tracker,
    report,
    schema,
    suppress,
)
from pipeline.cli.store import store_app
from pipeline.run.memory import keep_freed_memory

if TYPE_CHECKING:
    from pipeline.config import RunSettings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
concepts_app.command("import-rules")(import_rules)
for _command in (measure, suspect):
    concepts_app.command()(_command)
app.add_typer(concepts_app, name="concepts")
app.add_typer(accounts_app, name="accounts")
app.add_typer(store_app, name="store")

SettingsFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="YAML file with the settings, e.g. configs/phantom.yaml")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Settings to change, e.g. training.plain_epochs=3"),
]
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

        tracker = make_tracker()
        if progress is not None and is_first_process():
            tracker = ProgressFile(progress, [str(stage) for stage in stages(settings)], display=tracker)
        folder = retrain(settings, tracker=tracker, resume=resume)
    conclude(folder)
    if isinstance(tracker, ProgressFile):
        tracker.finished(folder.id)


@app.command()
def train(config: SettingsFile, overrides: Overrides = None, resume: Resume = False) -> None:
    """Only train; the run stays unfinished until 'evaluate', 'explain' and 'report' have completed it."""
    from pipeline.retrain import retrain
    from pipeline.stages import Stage

    settings = _settings(config, overrides)
    with resumable():
        folder = retrain(settings, tracker=make_tracker(), resume=resume, last=Stage.WHITENED)
    typer.echo(f"trained: {folder.path}\nnext:    dermaxis evaluate {folder.path}")


for _run_command in (evaluate, explain, report, suppress, compare, export, schema):
    app.command()(_run_command)


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
            metavar="URL|@FILE",
            envvar="DERMAXIS_QUEUE",
            callback=without_secret,
            help="Database of the jobs; default: a SQLite file beside the runs; for several machines postgresql://…",
        ),
    ] = None,
    job_hours: Annotated[
        float, typer.Option("--job-hours", min=0.01, help="Hours after which a job is stopped and counts as failed")
    ] = 72,
    job_memory: Annotated[
        float | None,
        typer.Option("--job-memory", min=0.5, help="GiB that each process of a job may take (Linux); default: any"),
    ] = None,
    attended: Attended = False,
) -> None:
    """Do the jobs that are ordered on the tool's page Runs, one at a time; start several workers for several jobs."""
    from pipeline.jobs.ledger import open_ledger
    from pipeline.jobs.supervise import Limits
    from pipeline.jobs.worker import Worker, ended_by_signals

    ledger = open_ledger(runs, queue)
    limits = Limits(hours=job_hours, memory=job_memory)
    new_worker = Worker(ledger, tell=lambda line: typer.echo(line, err=True), limits=limits)
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

    with contextlib.suppress(KeyboardInterrupt):
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
        typer.echo(f"  {blanked(row)}", err=True)
    if len(rows) > MOST_ROWS:
        typer.echo(f"  … and {len(rows) - MOST_ROWS} more", err=True)
    typer.echo(f"dermaxis: {blanked(' '.join(str(error).split()))}", err=True)


def _settings(config: Path, overrides: list[str] | None) -> "RunSettings":
    from pipeline.config import load_settings

    return load_settings(config, overrides or ())
