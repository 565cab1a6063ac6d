"""What can be asked about jobs: submit, stop, resume, list. Short acts; who may is decided by the one who asks."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from concepts.errors import RunError
from pipeline.config import RunSettings, load_settings
from pipeline.jobs.job import Job, State
from pipeline.jobs.ledger import Ledger
from pipeline.jobs.queue import Queue


def drafted(
    config: Path, overrides: Sequence[str] = (), *, release: str | None = None, store: str | None = None
) -> RunSettings:
    """Settings for a job, as the command line would read them.

    Args:
        config: A YAML file.
        overrides: ``key=value``.
        release: ``NAME@VERSION`` in the store; None: as the file says.
        store: Address of the store that has the release.

    Raises:
        SettingsError: If a key or value is not allowed.
    """
    chosen = [] if release is None else [f"concepts.release={release}"]
    placed = [] if release is None or store is None else [f"concepts.store={store}"]
    return load_settings(config, [*chosen, *placed, *overrides])


def submit(ledger: Ledger, queue: Queue, settings: RunSettings, *, by: str, key: str) -> Job:
    """Queue a job; its run will lie in the ledger's folder.

    Args:
        ledger: Where jobs are kept.
        queue: Where workers look.
        settings: The experiment.
        by: Who asks.
        key: Chosen once for each submit: a repeat with the same key gives the same job.

    Raises:
        RunError: If a job with the same settings is on its way already.
    """
    job = ledger.create(settings.model_copy(update={"runs": ledger.runs}), by=by, key=key)
    if job.state is State.QUEUED:
        queue.put(job.id)
    return job


def stop(ledger: Ledger, job: str) -> Job:
    """Stop a job; its run keeps its checkpoint and can be resumed. One that is stopped stays so.

    A job that waits is stopped at once, a running one as soon as its worker notices.

    Raises:
        RunError: If it is over already.
    """

    def stopped(now: Job) -> Job | None:
        if now.state is State.QUEUED or ledger.is_abandoned(now):
            return now.now(State.STOPPED, stop_asked=False)
        return replace(now, stop_asked=True) if now.state is State.RUNNING else None

    new = ledger.change(job, stopped) or ledger.read(job)
    if new.state in (State.DONE, State.FAILED):
        raise RunError(f"{job}: only a job that waits or runs can be stopped; this one is {new.state}")
    return new


def resume(ledger: Ledger, queue: Queue, job: str) -> Job:
    """Let a stopped or failed job go on from its checkpoint. One that is on its way stays so.

    Raises:
        RunError: If it is done.
    """

    def queued(now: Job) -> Job | None:
        if now.state not in (State.STOPPED, State.FAILED):
            return None
        return now.now(State.QUEUED, stop_asked=False, reason=None, deaths=0)

    new = ledger.change(job, queued)
    if new is None:
        new = ledger.read(job)
        if new.state is State.DONE:
            raise RunError(f"{job}: only a job that was stopped or failed can be resumed; this one is done")
        return new
    queue.put(new.id)
    return new
