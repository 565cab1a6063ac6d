"""What happens to a job, as pure functions: each gives the job after an event, or None where the event is ignored."""

from dataclasses import replace

from pipeline.jobs.job import Job, JobState
from pipeline.jobs.supervise import Ending

MOST_DEATHS = 3
"""Workers that may die on one job before it fails; the job may be what kills them."""


def begun(job: Job, worker: str) -> Job | None:
    """Return a queued job as a worker begins it."""
    if job.state is not JobState.QUEUED:
        return None
    return replace(job, state=JobState.RUNNING, worker=worker, attempts=job.attempts + 1, stop_asked=False, reason=None)


def stopped(job: Job) -> Job | None:
    """Return a job that somebody stops: at once where nobody works on it, else marked for its worker."""
    if job.state is JobState.QUEUED or job.is_abandoned:
        return replace(job, state=JobState.STOPPED, stop_asked=False)
    return replace(job, stop_asked=True) if job.state is JobState.RUNNING else None


def resumed(job: Job) -> Job | None:
    """Return a stopped or failed job as it is queued again, with its deaths forgotten."""
    if job.state not in (JobState.STOPPED, JobState.FAILED):
        return None
    return replace(job, state=JobState.QUEUED, stop_asked=False, reason=None, deaths=0)


def after_death(job: Job) -> Job | None:
    """Return a job whose worker died: queued again, unless it was to stop or too many workers died on it."""
    if not job.is_abandoned:
        return None
    if job.stop_asked:
        return replace(job, state=JobState.STOPPED, stop_asked=False)
    if job.deaths + 1 >= MOST_DEATHS:
        reason = f"{MOST_DEATHS} workers died on this job; read its log, then resume it"
        return replace(job, state=JobState.FAILED, deaths=job.deaths + 1, reason=reason)
    return replace(job, state=JobState.QUEUED, deaths=job.deaths + 1)


def after_ending(job: Job, worker: str, ending: Ending) -> Job | None:
    """Return a job whose run ended under a worker; None where the job is another worker's by now.

    Args:
        job: The job.
        worker: Who ran it.
        ending: How the run ended. A run that was stopped although nobody asked to stop the job ended because the
            worker ends: the job is queued again.
    """
    if job.state is not JobState.RUNNING or job.worker != worker:
        return None
    if ending.code == 0:
        return replace(job, state=JobState.FINISHED, stop_asked=False, run=ending.run)
    if job.stop_asked:
        return replace(job, state=JobState.STOPPED, stop_asked=False)
    if ending.was_stopped:
        return replace(job, state=JobState.QUEUED)
    return replace(job, state=JobState.FAILED, reason=ending.reason)
