"""The run folder: everything that one retrain-and-report produced.

A run is written to ``runs/<id>.partial/`` and renamed to ``runs/<id>/`` when it is whole. Every file is written under a
temporary name and renamed, so a file that exists is complete, and a run killed at any point can be resumed.
"""

import fcntl
import json
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
from typing import Any

from concepts.errors import RunError
from pipeline.config import RunSettings, dump_settings, load_settings
from pipeline.results.result import F, ResultFile, parse_result

PARTIAL = ".partial"
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
        """Whether every stage was finished."""
        return not self.path.name.endswith(PARTIAL)

    def file(self, name: str) -> Path:
        """Path of one of the run's files."""
        return self.path / name

    def has(self, name: str) -> bool:
        """Whether a file was already written (files appear only when complete)."""
        return self.file(name).exists()

    def settings(self) -> RunSettings:
        """The settings with which the run was started.

        Raises:
            RunError: If the folder has none.
        """
        if not self.has("settings.yaml"):
            raise RunError(f"{self.path}: not a run folder: it has no settings.yaml")
        return load_settings(self.file("settings.yaml"))

    def read(self, model: type[F]) -> F:
        """Read one of the run's results, e.g. ``run.read(Evaluation)``.

        Raises:
            RunError: If the stage that writes it has not finished, or the file is damaged or of another format.
        """
        if not self.has(model.file):
            raise RunError(f"{self.path}: {model.file} is missing: resume the run with --resume")
        return parse_result(model, self.file(model.file).read_text(encoding="utf-8"), str(self.file(model.file)))

    def write(self, result: ResultFile) -> None:
        """Write a result into its file in one step."""
        self.write_text(result.file, result.to_text())

    def read_json(self, name: str) -> Any:  # noqa: ANN401  # JSON is whatever the file holds
        """One of the run's JSON files.

        Raises:
            RunError: If the run did not come so far, or the file is damaged.
        """
        if not self.has(name):
            raise RunError(f"{self.path}: {name} is missing; the run did not come so far: continue it with --resume")
        try:
            return json.loads(self.file(name).read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise RunError(
                f"{self.file(name)}: damaged JSON ({error}); delete the file and --resume the run"
            ) from error

    def write_json(self, name: str, content: Any) -> None:  # noqa: ANN401
        """Write a JSON file in one step; what is not finite becomes null."""
        text = json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False)
        self.write_text(name, text + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file in one step."""
        if self.writes:
            write_atomically(self.file(name), text)

    def record(self, **entries: Any) -> None:  # noqa: ANN401
        """Add entries to ``run.json``; mappings are merged with what stands there."""
        if not self.writes:
            return
        content = self.read_json("run.json") if self.has("run.json") else {}
        for key, entry in entries.items():
            content[key] = {**content.get(key, {}), **entry} if isinstance(entry, Mapping) else entry
        self.write_json("run.json", content)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Record how many seconds a stage took."""
        start = time.perf_counter()
        yield
        self.record(seconds={stage: round(time.perf_counter() - start, 1)})

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process; released by the system even when the process is killed.

        Raises:
            RunError: If another process holds it.
        """
        if not self.writes:
            yield
            return
        with self.file(".lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunError(
                    f"{self.path}: another process is working on this run; wait for it or stop it"
                ) from error
            yield

    def finish(self) -> "RunFolder":
        """Rename the folder: the run is whole."""
        self.file(".lock").unlink(missing_ok=True)
        whole = self.path.with_name(self.id)
        self.path.rename(whole)
        return RunFolder(whole)


def create_run(settings: RunSettings) -> RunFolder:
    """A new, empty run folder with its settings in it."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = _first_free(settings.runs, f"{settings.name}-{stamp}")
    folder.mkdir(parents=True)
    run = RunFolder(folder)
    run.write_text("settings.yaml", dump_settings(settings))
    run.record(id=run.id, started=datetime.now(UTC).isoformat(timespec="seconds"), **provenance(settings))
    return run


def find_unfinished(settings: RunSettings) -> RunFolder:
    """The newest unfinished run with exactly these settings.

    Raises:
        RunError: If there is none; names the unfinished runs that there are.
    """
    unfinished = [RunFolder(path) for path in sorted(settings.runs.glob(f"*{PARTIAL}")) if path.is_dir()]
    fitting = [run for run in unfinished if run.has("settings.yaml") and run.settings() == settings]
    if fitting:
        return max(fitting, key=lambda run: run.file("settings.yaml").stat().st_mtime)
    others = ", ".join(run.id for run in unfinished) or "none"
    raise RunError(
        f"no unfinished run in {settings.runs}/ has these settings (unfinished: {others}); start without --resume"
    )


def open_run(path: Path) -> RunFolder:
    """A run folder by its path, whole or unfinished.

    Raises:
        RunError: If there is no run.
    """
    for candidate in (path, path.with_name(path.name + PARTIAL)):
        if (candidate / "settings.yaml").is_file():
            return RunFolder(candidate)
    raise RunError(f"{path}: no run folder here; 'dermaxis run CONFIG' makes one under runs/")


def provenance(settings: RunSettings) -> dict[str, Any]:
    """What a reader needs to repeat the run: versions, seed, commit, machine."""
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "seed": settings.seed,
        "commit": _commit(),
        "machine": {"platform": platform.platform(), "processors": os.cpu_count()},
        "command": " ".join(Path(word).name if index == 0 else word for index, word in enumerate(sys.argv)),
    }


def write_atomically(path: Path, text: str) -> None:
    """Write a text file under a temporary name beside it, then rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _first_free(parent: Path, name: str) -> Path:
    candidates = [name, *(f"{name}-{number}" for number in range(2, 1000))]
    for candidate in candidates:
        if not (parent / candidate).exists() and not (parent / f"{candidate}{PARTIAL}").exists():
            return parent / f"{candidate}{PARTIAL}"
    raise RunError(f"{parent}: a thousand runs are called {name}; move some away")


def _commit() -> str | None:
    here = Path(__file__).parents[1]
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


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
