"""Every sentence that the screen of runs says; in the manner of `clinician_ui.phrasing`."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from clinician_ui.phrasing import count
from pipeline.jobs.job import Job
from pipeline.run.progress_file import Progress

NO_JOBS = "No job was asked for here yet."
NO_WORKER = "No worker is alive: jobs wait. Start one on a machine that has the images and the folder of runs:"
OWN_MASKS = "the data set's own masks"
CONFIG_HELP = "One file is one experiment; its first lines say what it is for and how long it takes."
RELEASE_HELP = "A frozen release of the store, NAME@VERSION; training reads nothing else about concepts."
CHANGES_HELP = "One KEY=VALUE a line, as on the command line, e.g. seed=1 or training.plain_epochs=3."
RUN_FIGURES = ("Macro AUC, plain", "Macro AUC, whitened", "Mean axis AUC")
RUN_FIGURES_MEAN = (
    "On each run's own test images, with 95 % interval; n counts images. Compare them before you rank them."
)
ITS_RUN = "Its run, with report:"
COMPARING = "Comparing on resamples of the test images …"
OPEN_COMPARISON = "Open the comparison"


def workers(names: Sequence[str]) -> str:
    """Who does the jobs."""
    return f"{count(len(names), 'worker')} at work: {', '.join(names)}."


def worker_command(runs: Path, queue: str | None) -> str:
    """What to type where no worker is alive; the queue's address may hold a password and is not shown."""
    return f"dermaxis worker --runs {shlex.quote(str(runs))}{' --queue URL' if queue else ''}"


def job_state(job: Job, *, is_abandoned: bool) -> str:
    """Where a job is."""
    if is_abandoned:
        return "its worker is gone"
    return "stopping" if job.stop_asked else str(job.state)


def job_facts(job: Job) -> str:
    """Who asked for a job and when, and what became of it."""
    attempts = f"; attempt {job.attempts}" if job.attempts > 1 else ""
    died = f"; {count(job.deaths, 'worker')} died on it" if job.deaths else ""
    return f"{job.id}; asked for by {job.by}, {job.at[:16].replace('T', ' ')} UTC{attempts}{died}"


def job_progress(progress: Progress, *, is_moving: bool) -> str:
    """How far a run has come, and, while it goes on, how long its step will take."""
    stages, stage = list(progress.stages), progress.stage
    where = f"stage {stages.index(stage) + 1} of {len(stages)}: {stage}" if stage in stages else "preparing"
    steps = f"; {progress.title}, {progress.steps:,} of {progress.total:,}" if progress.total else ""
    left = (
        ""
        if progress.seconds_left is None or not is_moving
        else f"; {duration(progress.seconds_left)} left of this step"
    )
    return f"{where[:1].upper()}{where[1:]}{steps}{left}"


def duration(seconds: float) -> str:
    """A time span for people."""
    if seconds < 60:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def run_ordered(job: Job) -> str:
    """That a run was ordered."""
    return f"Ordered: {job.id}. It begins when a worker is free."


def no_whole_runs(folder: Path) -> str:
    """That there is no run to read."""
    return f"No whole run in {folder} yet. Start one, or give --runs FOLDER when starting the tool."


def no_configs(folder: Path) -> str:
    """That there is no configuration to start from."""
    return f"No configuration (*.yaml) in {folder}. Start the tool where configs/ lies, or set DERMAXIS_CONFIGS."
