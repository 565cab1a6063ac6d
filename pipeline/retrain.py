"""The main job: retrain and report. Each stage leaves its files in the run folder and is skipped where they exist.

Nothing heavy is imported before a stage needs it, so that a report is written without torch.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from concepts.errors import RunError
from concepts.release import write_release
from pipeline.choices import Baseline
from pipeline.config import RunSettings
from pipeline.results.record import Digests
from pipeline.run.folder import RunFolder, create_run, find_unfinished, open_run
from pipeline.run.progress import Tracker
from pipeline.setting_paths import followed_settings
from pipeline.stages import NEEDS, Stage, stages

if TYPE_CHECKING:
    from pipeline.data.cohort import Cohort


@dataclass(frozen=True)
class Retraining:
    """A run with the images that its stages work on."""

    settings: RunSettings
    cohort: "Cohort"
    run: RunFolder
    tracker: Tracker


def retrain(settings: RunSettings, *, tracker: Tracker, resume: bool = False, last: Stage = Stage.REPORT) -> RunFolder:
    """Train, whiten, evaluate, explain and report; refuse what can be refused before a folder is made.

    Under ``torchrun`` all processes train together; the first alone writes, and does what comes after training.

    Args:
        settings: The experiment.
        tracker: Where progress is shown.
        resume: Continue the newest unfinished run with the same settings.
        last: The stage after which to stop; the folder gets its final name only after the report.

    Returns:
        The run's folder.
    """
    import torch

    from pipeline.training.processes import joined_processes

    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    upto = [stage for stage in stages(settings) if list(Stage).index(stage) <= list(Stage).index(last)]
    with joined_processes():
        job = _prepare(settings, tracker, resume=resume)
        with job.run.lock():
            _train(job, [stage for stage in upto if NEEDS[stage].together])
    if not job.run.writes:
        return job.run
    with job.run.lock():
        _do(job, [stage for stage in upto if not NEEDS[stage].together and not job.run.has(stage.mark)])
    return job.run if last is not Stage.REPORT else _finish(job.run)


def redo(path: Path, stage: Stage, *, tracker: Tracker, paths: Sequence[str] = ()) -> RunFolder:
    """Do one stage of an existing run again, and those before it that are missing.

    The images are read only where a stage needs them: a report is written from the run folder alone.

    Args:
        path: The run's folder, which may have come from anyone.
        stage: Which.
        tracker: Where progress is shown.
        paths: Paths of the run's settings that may be followed out of its folder, e.g. ``data.root=/data/isic``.

    Raises:
        RunError: If there is no run, it was not trained yet, several processes were started, or the images are needed
            and lie outside the folder, and ``paths`` does not name them.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RunError(f"'{stage}' is done by one process; start it without torchrun")
    run = open_run(path)
    settings = run.settings()
    order = stages(settings)
    untrained = [step.mark for step in order if NEEDS[step].together and not run.has(step.mark)]
    if untrained:
        raise RunError(
            f"{run.path}: not trained yet ({', '.join(untrained)} missing); continue it with 'dermaxis run --resume'"
        )
    due = [step for step in order[: order.index(stage)] if not run.has(step.mark)] + [stage]
    with run.lock():
        if any(NEEDS[step].images for step in due):
            settings = followed_settings(settings, run.path, paths)
            _do(Retraining(settings, _cohort(settings, run, tracker), run, tracker), due)
        else:
            tracker.stage(stage)
            with run.timed(stage):
                _report(run)
    complete = all(run.has(step.mark) for step in order)
    return _finish(run) if complete and not run.is_whole else run


def _train(job: Retraining, steps: list[Stage]) -> None:
    """Do the stages of training that are missing, in step with the other processes."""
    from ignite import distributed as idist

    from pipeline.training.processes import from_first

    finished = from_first([stage for stage in steps if job.run.has(stage.mark)])
    for stage in steps:
        if stage not in finished:
            _do(job, [stage])
            idist.barrier()


def _do(job: Retraining, steps: list[Stage]) -> None:
    for stage in steps:
        job.tracker.stage(stage)
        with job.run.timed(stage):
            STEPS[stage](job)


def _train_plain(job: Retraining) -> None:
    from pipeline.training.plain import train_plain

    train_plain(job.settings, job.cohort, run=job.run, tracker=job.tracker)


def _train_auxiliary(job: Retraining) -> None:
    from pipeline.training.auxiliary import train_auxiliary

    train_auxiliary(job.settings, job.cohort, run=job.run, tracker=job.tracker)


def _train_whitened(job: Retraining) -> None:
    from pipeline.training.whitened import train_whitened

    train_whitened(job.settings, job.cohort, run=job.run, tracker=job.tracker)


def _evaluate(job: Retraining) -> None:
    from pipeline.evaluation.evaluate import evaluate_run

    evaluate_run(job.settings, job.cohort, run=job.run, tracker=job.tracker)


def _explain(job: Retraining) -> None:
    from pipeline.explanation.explain import explain_run

    explain_run(job.settings, job.cohort, run=job.run, tracker=job.tracker)


def _report(run: RunFolder) -> None:
    from pipeline.report.pages.report import write_report

    write_report(run)


STEPS: dict[Stage, Callable[[Retraining], None]] = {
    Stage.PLAIN: _train_plain,
    Stage.AUXILIARY: _train_auxiliary,
    Stage.WHITENED: _train_whitened,
    Stage.EVALUATION: _evaluate,
    Stage.EXPLANATION: _explain,
    Stage.REPORT: lambda job: _report(job.run),
}


def _prepare(settings: RunSettings, tracker: Tracker, *, resume: bool) -> Retraining:
    """Let the first process read the images and make the folder; then let the others read what it decided."""
    from pipeline.training.processes import agreed, from_first, is_first

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


def _lead(settings: RunSettings, tracker: Tracker, *, resume: bool) -> Retraining:
    from pipeline.training.start import check_model

    if Baseline.TCAV in settings.evaluation.baselines:
        from pipeline.explanation.tcav import require_captum

        require_captum()
    run = find_unfinished(settings) if resume else None
    cohort = _cohort(settings, run, tracker)
    check_model(settings, cohort)
    return Retraining(settings, cohort, run or _start(settings, cohort), tracker)


def _follow(settings: RunSettings, tracker: Tracker, *, path: Path) -> Retraining:
    from pipeline.training.start import check_model

    run = RunFolder(path, writes=False)
    cohort = _cohort(settings, run, tracker)
    check_model(settings, cohort)
    return Retraining(settings, cohort, run, tracker)


def _start(settings: RunSettings, cohort: "Cohort") -> RunFolder:
    from pipeline.data.sample import write_samples
    from pipeline.data.splits import write_split

    run = create_run(settings)
    try:
        write_split(cohort.split, run.file("split.csv"))
        write_release(cohort.release, run.file("release.json"))
        write_samples(cohort.samples, run.file("samples.csv"))
        digests = Digests(data=cohort.digest, split=cohort.split.digest, release=cohort.release.digest)
        run.record(digests=digests, chain=cohort.release.chain)
    except BaseException:
        shutil.rmtree(run.path)
        raise
    return run


def _cohort(settings: RunSettings, run: RunFolder | None, tracker: Tracker) -> "Cohort":
    from pipeline.data.cohort import prepare_cohort, reopen_cohort

    return prepare_cohort(settings, tracker=tracker) if run is None else reopen_cohort(settings, run, tracker=tracker)


def _finish(run: RunFolder) -> RunFolder:
    run.record(finished=datetime.now(UTC).isoformat(timespec="seconds"))
    for ending in ("state", "best"):
        for leftover in run.path.glob(f"*.{ending}.*"):
            leftover.unlink()
    return run.finish()
