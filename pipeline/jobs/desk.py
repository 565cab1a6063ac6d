"""What can be asked about jobs: draft, stop, resume. Short acts; whoever asks decides who may."""

from collections.abc import Sequence
from pathlib import Path

from concepts.errors import RunError
from pipeline.config import RunSettings, load_settings
from pipeline.jobs.job import Job, JobState
from pipeline.jobs.ledger import Ledger
from pipeline.jobs.transitions import resumed, stopped
from pipeline.setting_paths import refuse_other_paths


def draft(
    config: Path, overrides: Sequence[str] = (), *, release: str | None = None, roots: Sequence[Path] = ()
) -> RunSettings:
    """Read the settings for a job as the command line would read them, but for paths that are not open to jobs.

    Args:
        config: A YAML file of the operator's, whose paths are allowed.
        overrides: ``key=value``, from whoever asks for the job.
        release: ``NAME@VERSION`` in the store; None: as the file says. The worker's operator says where the store is.
        roots: The folders that the operator opened to jobs.

    Raises:
        SettingsError: If a key or value is not allowed, or a path leads elsewhere.
    """
    released = [] if release is None else [f"concepts.release={release}"]
    settings = load_settings(config, [*released, *overrides])
    refuse_other_paths(settings, load_settings(config), roots=roots)
    return settings


def stop(ledger: Ledger, job: str) -> Job:
    """Stop a job; its run keeps its checkpoint and can be resumed. A stopped job stays as it is.

    A waiting job is stopped at once, a running one as soon as its worker notices.

    Raises:
        RunError: If the job is done or failed.
    """
    after = ledger.change(job, stopped) or ledger.read(job)
    if after.state in (JobState.FINISHED, JobState.FAILED):
        raise RunError(f"{job}: only a waiting or running job can be stopped; this one is {after.state}")
    return after


def resume(ledger: Ledger, job: str) -> Job:
    """Let a stopped or failed job continue from its checkpoint. A waiting or running one stays as it is.

    Raises:
        RunError: If the job is done.
    """
    after = ledger.change(job, resumed) or ledger.read(job)
    if after.state is JobState.FINISHED:
        raise RunError(f"{job}: only a stopped or failed job can be resumed; this one is done")
    return after
