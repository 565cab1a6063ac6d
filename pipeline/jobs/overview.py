"""The finished runs of a folder with their key figures, read from their files without loading a network."""

from dataclasses import dataclass
from functools import lru_cache
from math import nan
from pathlib import Path

from concepts.addresses import blanked
from concepts.errors import DermaxisError
from concepts.statistics.estimate import Estimate
from pipeline.results.evaluation import Evaluation
from pipeline.results.record import RunRecord
from pipeline.run.folder import PARTIAL, RunFolder

LONGEST_FAULT = 400
NONE = Estimate(nan, nan, nan, 0)


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A finished run in one line.

    Attributes:
        id: Name of its folder.
        name: Name of the experiment.
        finished: When it became whole, ISO 8601 in UTC.
        seed: Its seed.
        release: ``NAME@VERSION`` or file of its concept release; None: frozen from its source's own masks.
        plain: Macro AUC of the plain network on test images.
        whitened: Macro AUC of the whitened network on the same.
        axes: Mean AUC of the axes of the assessable concepts, each for its own concept.
        has_report: Whether there is a page to read.
        fault: Why its figures cannot be read; None where they can.
    """

    id: str
    name: str = ""
    finished: str = ""
    seed: int | None = None
    release: str | None = None
    plain: Estimate = NONE
    whitened: Estimate = NONE
    axes: Estimate = NONE
    has_report: bool = False
    fault: str | None = None


def whole_runs(runs: Path) -> list[RunSummary]:
    """List the finished runs, the one that was finished last first; one that cannot be read says so."""
    folders = [
        path for path in runs.glob("*/") if (path / "settings.yaml").is_file() and not path.name.endswith(PARTIAL)
    ]
    return sorted(
        (_cached_summary(path, _version(path)) for path in folders),
        key=lambda summary: (summary.finished, summary.id),
        reverse=True,
    )


def summary_of(path: Path) -> RunSummary:
    """Sum one run up in one line."""
    run = RunFolder(path)
    try:
        settings, record, evaluation = run.settings(), run.read(RunRecord), run.read(Evaluation)
        return RunSummary(
            id=run.id,
            name=settings.name,
            finished=record.finished or "",
            seed=settings.seed,
            release=str(settings.concepts.release) if settings.concepts.release else None,
            plain=evaluation.diagnosis.plain.auc["macro"],
            whitened=evaluation.diagnosis.whitened.auc["macro"],
            axes=evaluation.axes.mean.axis_auc[evaluation.activation],
            has_report=run.has("report.html"),
        )
    # A stranger's file may fail in more ways than the errors that we know; it must not hide the runs beside it.
    except (DermaxisError, OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        fault = blanked(" ".join(str(error).split()))[:LONGEST_FAULT]
        return RunSummary(id=run.id, fault=fault or type(error).__name__)


@lru_cache(maxsize=1024)
def _cached_summary(path: Path, _version: tuple[int, ...]) -> RunSummary:
    """Read a run again only when one of its files has changed."""
    return summary_of(path)


def _version(path: Path) -> tuple[int, ...]:
    files = [path / name for name in ("settings.yaml", RunRecord.file, Evaluation.file, "report.html")]
    return tuple(_changed(file) for file in files)


def _changed(file: Path) -> int:
    try:
        return file.lstat().st_mtime_ns
    except OSError:
        return 0
