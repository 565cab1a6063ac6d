"""The main job: retrain and report. Each stage leaves its files in the run folder and is skipped where they exist."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import torch

from concepts.errors import RunError
from concepts.release import read_release, write_release
from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort, prepare_cohort
from pipeline.data.samples_table import write_samples
from pipeline.data.splits import read_split, write_split
from pipeline.evaluation.evaluate import evaluate_run
from pipeline.explanation.explain import explain_run
from pipeline.progress import Tracker
from pipeline.report.html import write_report
from pipeline.run import RunFolder, create_run, find_unfinished, open_run
from pipeline.training.phases import check_model, train_plain, train_whitened


class Stage(StrEnum):
    """The stages of a run, in order; each one's file is its mark of being done."""

    PLAIN = "plain"
    WHITENED = "whitened"
    EVALUATION = "evaluation"
    EXPLANATION = "explanation"
    REPORT = "report"


MARKS = {
    Stage.PLAIN: "plain.json",
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
    Stage.WHITENED: lambda job: train_whitened(job.settings, job.cohort, run=job.run, tracker=job.tracker),
    Stage.EVALUATION: lambda job: evaluate_run(job.settings, job.cohort, run=job.run, tracker=job.tracker),
    Stage.EXPLANATION: lambda job: explain_run(job.settings, job.cohort, run=job.run, tracker=job.tracker),
    Stage.REPORT: lambda job: write_report(job.run),
}


def retrain(settings: RunSettings, *, tracker: Tracker, resume: bool = False, last: Stage = Stage.REPORT) -> RunFolder:
    """Train, whiten, evaluate, explain and report; everything that can be refused is refused before a folder is made.

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
    run = find_unfinished(settings) if resume else None
    cohort = _cohort(settings, run, tracker)
    check_model(settings, cohort)
    run = run or _start(settings, cohort)
    with run.lock():
        _do(Job(settings, cohort, run, tracker), upto=last)
    return run if last is not Stage.REPORT else _finish(run)


def redo(path: Path, stage: Stage, *, tracker: Tracker) -> RunFolder:
    """Do one stage of an existing run again, and those before it that are missing.

    Raises:
        RunError: If there is no run, or it was not trained yet.
    """
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
    complete = all(run.has(mark) for mark in MARKS.values())
    return _finish(run) if complete and not run.is_whole else run


def _do(job: Job, *, upto: Stage, again: Stage | None = None) -> None:
    for stage in Stage:
        if stage is again or not job.run.has(MARKS[stage]):
            job.tracker.say(f"stage: {stage}")
            with job.run.timed(stage):
                STAGES[stage](job)
        if stage is upto:
            return


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
