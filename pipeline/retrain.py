"""The main job: retrain and report. Each stage leaves its files in the run folder and is skipped where they exist."""

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import torch
from ignite import distributed as idist

from concepts.errors import RunError
from concepts.release import read_release, write_release
from pipeline.choices import Baseline
from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort, prepare_cohort
from pipeline.data.samples_table import write_samples
from pipeline.data.splits import read_split, write_split
from pipeline.evaluation.evaluate import evaluate_run
from pipeline.explanation.explain import explain_run
from pipeline.explanation.tcav import require_captum
from pipeline.report.pages.report import write_report
from pipeline.run.folder import RunFolder, create_run, find_unfinished, open_run
from pipeline.run.progress import Tracker
from pipeline.training.auxiliary import train_auxiliary
from pipeline.training.phases import check_model, train_plain, train_whitened
from pipeline.training.processes import agreed, from_first, is_first, joined_processes, started_with_others


class Stage(StrEnum):
    """The stages of a run, in order; each one's file is its mark of being done."""

    PLAIN = "plain"
    AUXILIARY = "auxiliary"
    WHITENED = "whitened"
    EVALUATION = "evaluation"
    EXPLANATION = "explanation"
    REPORT = "report"


TRAINING = (Stage.PLAIN, Stage.AUXILIARY, Stage.WHITENED)
"""The stages that several processes do together."""

MARKS = {
    Stage.PLAIN: "plain.json",
    Stage.AUXILIARY: "auxiliary.json",
    Stage.WHITENED: "model.json",
    Stage.EVALUATION: "evaluation.json",
    Stage.EXPLANATION: "explanation.json",
    Stage.REPORT: "report.html",
}


@dataclass(frozen=True)
class Job:
    """What every stage needs."""

    settings: RunSettings
    cohort: Cohort
    run: RunFolder
    tracker: Tracker


STAGES: dict[Stage, Callable[[Job], None]] = {
    Stage.PLAIN: lambda job: train_plain(job.settings, job.cohort, run=job.run, tracker=job.tracker),
    Stage.AUXILIARY: lambda job: train_auxiliary(job.settings, job.cohort, run=job.run, tracker=job.tracker),
    Stage.WHITENED: lambda job: train_whitened(job.settings, job.cohort, run=job.run, tracker=job.tracker),
    Stage.EVALUATION: lambda job: evaluate_run(job.settings, job.cohort, run=job.run, tracker=job.tracker),
    Stage.EXPLANATION: lambda job: explain_run(job.settings, job.cohort, run=job.run, tracker=job.tracker),
    Stage.REPORT: lambda job: write_report(job.run),
}


def stages(settings: RunSettings) -> tuple[Stage, ...]:
    """The stages that a run with these settings has, in order."""
    left_out = set() if settings.training.auxiliary.epochs > 0 else {Stage.AUXILIARY}
    return tuple(stage for stage in Stage if stage not in left_out)


def retrain(settings: RunSettings, *, tracker: Tracker, resume: bool = False, last: Stage = Stage.REPORT) -> RunFolder:
    """Train, whiten, evaluate, explain and report; everything that can be refused is refused before a folder is made.

    Under ``torchrun`` all processes train together; the first alone writes, and does what comes after training.

    Args:
        settings: The experiment.
        tracker: Where progress is shown.
        resume: Continue the newest unfinished run with the same settings.
        last: The stage after which to stop; the folder is renamed as whole only after the report.

    Returns:
        The run's folder.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    with joined_processes():
        job = _prepare(settings, tracker, resume=resume)
        with job.run.lock():
            _do(job, upto=last, only=TRAINING)
    if not job.run.writes:
        return job.run
    with job.run.lock():
        _do(job, upto=last)
    return job.run if last is not Stage.REPORT else _finish(job.run)


def redo(path: Path, stage: Stage, *, tracker: Tracker) -> RunFolder:
    """Do one stage of an existing run again, and those before it that are missing.

    Raises:
        RunError: If there is no run, it was not trained yet, or several processes were started.
    """
    if started_with_others():
        raise RunError(f"'{stage}' is done by one process; start it without torchrun")
    run = open_run(path)
    missing = [MARKS[one] for one in (Stage.PLAIN, Stage.WHITENED) if not run.has(MARKS[one])]
    if missing:
        raise RunError(
            f"{run.path}: not trained yet ({', '.join(missing)} missing); continue it with 'dermaxis run --resume'"
        )
    settings = run.settings()
    job = Job(settings, _cohort(settings, run, tracker), run, tracker)
    with run.lock():
        _do(job, upto=stage, again=stage)
    complete = all(run.has(MARKS[one]) for one in stages(settings))
    return _finish(run) if complete and not run.is_whole else run


def _do(job: Job, *, upto: Stage, only: Collection[Stage] = tuple(Stage), again: Stage | None = None) -> None:
    done = from_first([stage for stage in Stage if stage is not again and job.run.has(MARKS[stage])])
    for stage in stages(job.settings):
        if stage in only and stage not in done:
            job.tracker.stage(stage)
            with job.run.timed(stage):
                STAGES[stage](job)
            idist.barrier()
        if stage is upto:
            return


def _prepare(settings: RunSettings, tracker: Tracker, *, resume: bool) -> Job:
    """The first process reads the images and makes the folder; then the others read what it decided."""
    with agreed():
        job = _lead(settings, tracker, resume=resume) if is_first() else None
    path = from_first(str(job.run.path) if job else None)
    try:
        with agreed():
            job = job or _follow(settings, tracker, path=Path(path))
    except BaseException:
        if is_first() and not resume:
            shutil.rmtree(path)
        raise
    return job


def _lead(settings: RunSettings, tracker: Tracker, *, resume: bool) -> Job:
    if Baseline.TCAV in settings.evaluation.baselines:
        require_captum()
    run = find_unfinished(settings) if resume else None
    cohort = _cohort(settings, run, tracker)
    check_model(settings, cohort)
    return Job(settings, cohort, run or _start(settings, cohort), tracker)


def _follow(settings: RunSettings, tracker: Tracker, *, path: Path) -> Job:
    run = RunFolder(path, writes=False)
    cohort = _cohort(settings, run, tracker)
    check_model(settings, cohort)
    return Job(settings, cohort, run, tracker)


def _start(settings: RunSettings, cohort: Cohort) -> RunFolder:
    run = create_run(settings)
    try:
        write_split(cohort.split, run.file("split.csv"))
        write_release(cohort.release, run.file("release.json"))
        write_samples(cohort.samples, run.file("samples.csv"))
        run.record(digests={"data": cohort.digest, "split": cohort.split.digest, "release": cohort.release.digest})
    except BaseException:
        shutil.rmtree(run.path)
        raise
    return run


def _cohort(settings: RunSettings, run: RunFolder | None, tracker: Tracker) -> Cohort:
    if run is None:
        return prepare_cohort(settings, tracker=tracker)
    split, release = read_split(run.file("split.csv")), read_release(run.file("release.json"))
    cohort = prepare_cohort(settings, tracker=tracker, split=split, release=release)
    recorded = run.read_json("run.json")["digests"]["data"]
    if recorded != cohort.digest:
        raise RunError(f"{run.path}: the images or labels changed since this run was started; start a new run")
    return cohort


def _finish(run: RunFolder) -> RunFolder:
    run.record(finished=datetime.now(UTC).isoformat(timespec="seconds"))
    for leftover in run.path.glob("*.state.*"):
        leftover.unlink()
    for leftover in run.path.glob("*.best.*"):
        leftover.unlink()
    return run.finish()
