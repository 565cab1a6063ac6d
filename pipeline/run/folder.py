"""The run folder: everything that one retrain-and-report produced.

A run is written to ``runs/<id>.partial/`` and renamed to ``runs/<id>/`` when it is whole. Every file is written under a
temporary name and renamed, so a file that exists is complete, and a run killed at any point can be resumed.
"""

import json
import logging
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Unpack

from filelock import FileLock, Timeout

from concepts.addresses import blanked
from concepts.errors import DataError, RunError, SettingsError
from concepts.files import odd_entry, read_regular, write_atomically
from pipeline.config import RunSettings, dump_settings, read_written_settings
from pipeline.results.record import Machine, RecordChanges, RunRecord
from pipeline.results.result import F, ResultFile, parse_result

logger = logging.getLogger(__name__)

PARTIAL = ".partial"
LOCK = ".lock"
MOST_OF_ONE_NAME = 1000
"""Runs that may have one name, which ends with the second in which they were started."""
PACKAGES = (
    "dermaxis",
    "torch",
    "monai",
    "pytorch-ignite",
    "scikit-learn",
    "numpy",
    "scipy",
    "pandas",
    "pillow",
    "pydicom",
)
"""Packages whose versions a run records."""


@dataclass(frozen=True)
class RunFolder:
    """A run's folder on disk: unfinished (``….partial``) or whole.

    Attributes:
        path: The folder.
        writes: Whether this process writes to it; where it does not, everything that writes or locks does nothing.
            Of several processes with one job, the first writes.
    """

    path: Path
    writes: bool = True

    @property
    def id(self) -> str:
        """Name of the run, the same before and after it is whole."""
        return self.path.name.removesuffix(PARTIAL)

    @property
    def is_whole(self) -> bool:
        """Whether every stage is finished."""
        return not self.path.name.endswith(PARTIAL)

    def file(self, name: str) -> Path:
        """Return the path of one of the run's files."""
        return self.path / name

    def has(self, name: str) -> bool:
        """Tell whether a file is written (files appear only when complete)."""
        return self.file(name).exists()

    def settings(self) -> RunSettings:
        """Read the settings with which the run was started.

        Raises:
            RunError: If the folder has none.
            SettingsError: If they cannot be read, or are those of another version.
        """
        if not self.has("settings.yaml"):
            raise RunError(f"{self.path}: not a run folder: settings.yaml is missing; give the folder of a run")
        return read_written_settings(self._text("settings.yaml"), origin=str(self.file("settings.yaml")))

    def read(self, model: type[F]) -> F:
        """Read one of the run's results, e.g. ``run.read(Evaluation)``.

        Raises:
            RunError: If the stage that writes it has not finished, or the file is damaged or of another format.
        """
        if not self.has(model.file):
            raise RunError(f"{self.path}: {model.file} is missing: resume the run with --resume")
        return parse_result(model, self._text(model.file), str(self.file(model.file)))

    def write(self, result: ResultFile) -> None:
        """Write a result into its file in one step."""
        self.write_text(result.file, result.to_text())

    def read_json(self, name: str) -> Any:  # noqa: ANN401  # JSON is whatever the file holds
        """Read one of the run's JSON files.

        Raises:
            RunError: If the file is missing or damaged.
        """
        if not self.has(name):
            raise RunError(f"{self.path}: {name} is missing; resume the run: dermaxis run CONFIG --resume")
        try:
            return json.loads(self._text(name))
        except (ValueError, RecursionError) as error:
            raise RunError(
                f"{self.file(name)}: damaged JSON ({error!s:.80}); delete the file, then resume the run with --resume"
            ) from error

    def _text(self, name: str) -> str:
        """Read a text file that may be a stranger's.

        Raises:
            RunError: If it cannot be read, is no file but a link or a pipe, is too long, or is not UTF-8.
        """
        try:
            return read_regular(self.file(name)).decode("utf-8")
        except DataError as error:
            raise RunError(str(error)) from error
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise RunError(f"{self.file(name)}: the file cannot be read: {reason}") from error

    def write_json(self, name: str, content: Any) -> None:  # noqa: ANN401
        """Write a JSON file in one step; a number that is not finite becomes null."""
        text = json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False)
        self.write_text(name, text + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file in one step."""
        if self.writes:
            write_atomically(self.file(name), text)

    def record(self, **changes: Unpack[RecordChanges]) -> None:
        """Change entries of ``run.json``; mappings are merged with what stands there.

        Raises:
            RunError: If the record is missing or damaged.
        """
        if not self.writes:
            return
        record = self.read(RunRecord)
        merged = {
            key: {**getattr(record, key), **entry} if isinstance(entry, Mapping) else entry
            for key, entry in changes.items()
        }
        self.write(record.model_copy(update=merged))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Record how many seconds a stage took."""
        start = time.perf_counter()
        yield
        self.record(seconds={stage: round(time.perf_counter() - start, 1)})

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process; the system releases it even when the process is killed.

        Raises:
            RunError: If another process holds it.
        """
        if not self.writes:
            yield
            return
        lock = FileLock(self.file(LOCK), blocking=False, fallback_to_soft=False)
        try:
            lock.acquire()
        except Timeout as error:
            raise RunError(f"{self.path}: another process is working on this run; wait for it or stop it") from error
        try:
            yield
        finally:
            lock.release()

    def finish(self) -> "RunFolder":
        """Rename the folder: the run is whole. Nobody may hold its lock."""
        self.file(LOCK).unlink(missing_ok=True)
        return RunFolder(self.path.rename(self.path.with_name(self.id)))


def create_run(settings: RunSettings) -> RunFolder:
    """Make a new run folder that holds its settings and where it comes from."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = _free_folder(settings.runs, f"{settings.name}-{stamp}")
    folder.mkdir(parents=True)
    run = RunFolder(folder)
    run.write_text("settings.yaml", dump_settings(settings))
    run.write(new_record(run.id, settings))
    return run


def find_unfinished(settings: RunSettings) -> RunFolder:
    """Find the newest unfinished run with exactly these settings.

    A run beside it whose settings cannot be read, as one of another version, is skipped with a warning.

    Raises:
        RunError: If there is none; names the unfinished runs that there are.
    """
    unfinished = [RunFolder(path) for path in sorted(settings.runs.glob(f"*{PARTIAL}")) if path.is_dir()]
    same = [run for run in unfinished if _settings_or_none(run) == settings]
    if same:
        return max(same, key=lambda run: run.file("settings.yaml").stat().st_mtime)
    names = ", ".join(run.id for run in unfinished) or "none"
    raise RunError(
        f"no unfinished run in {settings.runs}/ has these settings (unfinished: {names}); start without --resume"
    )


def open_run(path: Path) -> RunFolder:
    """Open a run folder by its path, whole or unfinished; the ending of an unfinished one may be left out.

    The folder may have come from anyone, so it may hold files and folders only: through a link, what is read or written
    in it would lie elsewhere.

    Raises:
        RunError: If there is no run, or it holds a link, a pipe or the like.
    """
    for candidate in (path, path.with_name(path.name + PARTIAL)):
        if (candidate / "settings.yaml").is_file():
            return without_links(RunFolder(candidate))
    raise RunError(f"{path}: no run folder; give the folder of a run, which 'dermaxis run CONFIG' makes under runs/")


def without_links(run: RunFolder) -> RunFolder:
    """Return a run whose folder holds files and folders only.

    Raises:
        RunError: If it holds a link, a pipe or the like; names it.
    """
    entry = odd_entry(run.path)
    if entry is not None:
        raise RunError(
            f"{entry}: a link, a pipe or the like, which a run does not hold; remove it, or put what it leads to there"
        )
    return run


def new_record(run_id: str, settings: RunSettings) -> RunRecord:
    """Record what a reader needs to repeat a run: versions, seed, commit, machine, command."""
    return RunRecord(
        id=run_id,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=settings.seed,
        commit=_commit(),
        command=blanked(" ".join(Path(word).name if index == 0 else word for index, word in enumerate(sys.argv))),
        versions={"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        machine=Machine(platform=platform.platform(), processors=os.cpu_count()),
    )


def _settings_or_none(run: RunFolder) -> RunSettings | None:
    try:
        return run.settings()
    except (RunError, SettingsError, OSError) as error:
        logger.warning("skipped the unfinished run %s: its settings cannot be read (%s)", run.id, error)
        return None


def _free_folder(parent: Path, name: str) -> Path:
    for candidate in [name, *(f"{name}-{number}" for number in range(2, MOST_OF_ONE_NAME))]:
        if not (parent / candidate).exists() and not (parent / f"{candidate}{PARTIAL}").exists():
            return parent / f"{candidate}{PARTIAL}"
    raise RunError(f"{parent}: {MOST_OF_ONE_NAME - 1} runs are called {name}; move or delete some")


def _commit() -> str | None:
    try:
        description = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return description.stdout.strip() or None if description.returncode == 0 else None


def _finite(content: Any) -> Any:  # noqa: ANN401
    if isinstance(content, Mapping):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if hasattr(content, "to_json"):
        return _finite(content.to_json())
    return content
