"""What the screen of runs says; in the manner of `clinician_ui.phrasing`."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from clinician_ui.phrasing import count
from pipeline.jobs.job import Job
from pipeline.run.progress_file import RunProgress

NO_JOBS = "No job has been submitted here yet."
NO_WORKER = "No worker is running, so jobs wait. Start one on a machine that has the images and the folder of runs:"
OWN_MASKS = "the data set's own masks"
CONFIG_HELP = "One file is one experiment. Its first lines say what it is for and how long it takes."
RELEASE_HELP = "A frozen release of the store, NAME@VERSION. Training reads nothing else about concepts."
CHANGES_HELP = "One KEY=VALUE per line, as on the command line, e.g. seed=1 or training.plain_epochs=3."
RUN_FIGURES = ("Macro AUC, plain", "Macro AUC, whitened", "Mean axis AUC")
RUN_FIGURES_NOTE = (
    "On each run's own test images, with 95 % interval; n counts images. Compare the runs before you rank them."
)
ITS_RUN = "Its run, with report:"
COMPARING = "Comparing the runs on resamples of the test images …"
OPEN_COMPARISON = "Open the comparison"


def workers(names: Sequence[str]) -> str:
    """State who does the jobs."""
    return f"{count(len(names), 'worker')} running: {', '.join(names)}."


def worker_command(runs: Path, queue: str | None) -> str:
    """Return what to type where no worker is running; the queue's address may hold a password and is not shown."""
    return f"dermaxis worker --runs {shlex.quote(str(runs))}{' --queue URL' if queue else ''}"


def job_state(job: Job) -> str:
    """State where a job is."""
    if job.is_abandoned:
        return "its worker is gone"
    return "stopping" if job.stop_asked else str(job.state)


def job_facts(job: Job) -> str:
    """State who submitted a job and when, and what became of it."""
    attempts = f"; attempt {job.attempts}" if job.attempts > 1 else ""
    deaths = f"; {count(job.deaths, 'worker')} died on it" if job.deaths else ""
    return f"{job.id}; submitted by {job.by}, {job.at[:16].replace('T', ' ')} UTC{attempts}{deaths}"


def job_progress(progress: RunProgress, *, is_moving: bool) -> str:
    """State how far a run has come, and, while it goes on, how long its step will take."""
    stages, stage = list(progress.stages), progress.stage
    position = f"Stage {stages.index(stage) + 1} of {len(stages)}: {stage}" if stage in stages else "Preparing"
    steps = f"; {progress.title}, {progress.steps:,} of {progress.total:,}" if progress.total else ""
    has_time = progress.seconds_left is not None and is_moving
    left = f"; {duration(progress.seconds_left or 0)} left of this step" if has_time else ""
    return f"{position}{steps}{left}"


def duration(seconds: float) -> str:
    """Return a time span for people.

    >>> duration(0.2), duration(59), duration(90), duration(3700)
    ('1 s', '59 s', '2 min', '1 h 2 min')
    """
    if seconds < 60:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def run_ordered(job: Job) -> str:
    """Say that a job was submitted."""
    return f"Submitted: {job.id}. It begins when a worker is free."


def no_whole_runs(folder: Path) -> str:
    """Say that there is no run to read."""
    return f"There is no finished run in {folder} yet. Start one, or give --runs FOLDER when you start the tool."


def no_configs(folder: Path) -> str:
    """Say that there is no configuration to start from."""
    return f"There is no configuration (*.yaml) in {folder}. Start the tool beside configs/, or set DERMAXIS_CONFIGS."
