"""A finished run as a run of MLflow (extra ``mlflow``): settings as parameters, figures as metrics, files as artefacts.

The target is a folder, or any tracking store or server that MLflow knows.
"""

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any

from concepts.addresses import blanked
from concepts.errors import RunError
from pipeline.report.pages.tables import figure_rows, figure_trees
from pipeline.results.evaluation import Evaluation
from pipeline.results.explanation import Explanation
from pipeline.results.record import RunRecord
from pipeline.run.folder import RunFolder, open_run

EXPERIMENT = "dermaxis"
DATABASE = "mlflow.db"
ARTEFACTS = "artefacts"
FILES = (
    "report.html",
    "report.pdf",
    "model_facts.html",
    "model_facts.json",
    "checklists.json",
    "figures.csv",
    "importance.csv",
    "predictions.csv",
    "evaluation.json",
    "explanation.json",
    "settings.yaml",
    "run.json",
    "release.json",
    "split.csv",
    "model.json",
    "model.safetensors",
)
"""Files that are uploaded where the run has them; neither images nor cases, which show patients' lesions."""
AT_ONCE = 100
"""Parameters and tags that MLflow takes at a time."""
METRICS_AT_ONCE = 1000
LONGEST = 6000
"""Characters of a parameter's value."""
ALLOWED = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. :/")


def export_mlflow(run_path: Path, target: str) -> str:
    """Write a whole run into an MLflow store.

    Args:
        run_path: The run's folder.
        target: A tracking address (``sqlite:///…``, ``http://…``, …), or a folder, in which a SQLite store is made.

    Returns:
        The identifier of the MLflow run.

    Raises:
        RunError: If the extra is not installed, the run is not whole, or MLflow refuses.
    """
    require_mlflow()
    run = open_run(run_path)
    if not run.is_whole:
        raise RunError(f"{run.path}: an unfinished run; resume it with 'dermaxis run CONFIG --resume', then export it")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri, artefacts = tracking_address(target)
    try:
        return _write(MlflowClient(tracking_uri=uri), run, artefacts)
    except MlflowException as error:
        raise RunError(
            blanked(f"{target}: MLflow refused the run ({' '.join(str(error).split())[:200]}); check the address")
        ) from error


def require_mlflow() -> None:
    """Refuse where MLflow is missing; switch off its telemetry and its remarks on how it makes its tables.

    Raises:
        RunError: If it cannot be imported.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    try:
        import mlflow  # noqa: F401
    except ImportError as error:
        raise RunError("--mlflow needs the extra 'mlflow': pip install 'dermaxis[mlflow]'") from error


def tracking_address(target: str) -> tuple[str, str | None]:
    """Return the tracking address for a target, and where a new experiment keeps artefacts; None: the store's default.

    A folder becomes a SQLite store in it: MLflow no longer writes plain files.
    """
    if "://" in target:
        return target, None
    folder = Path(target).expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{target}: a file; give a folder, or an address such as sqlite:////path/mlflow.db")
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / DATABASE}", (folder / ARTEFACTS).as_uri()


def parameters(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield settings as dotted keys and text."""
    for key, value in tree.items():
        name = f"{path}{key}"
        if isinstance(value, Mapping) and value:
            yield from parameters(value, f"{name}.")
        else:
            yield metric_key(name), str(value)[:LONGEST]


def metrics(trees: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield every figure that is known: its value, ``.low`` and ``.high`` end of the 95 % interval, and ``.n``."""
    for path, value, low, high, n in figure_rows(trees):
        name = metric_key(str(path))
        if value is None:
            continue
        yield name, float(value)
        for ending, number in (("low", low), ("high", high), ("n", n)):
            if number is not None:
                yield f"{name}.{ending}", float(number)


def history(record: RunRecord) -> Iterator[tuple[str, float, int]]:
    """Yield what each epoch of each phase measured: ``history.PHASE.FIGURE``, the value, the number of the epoch."""
    for phase, epochs in record.history.items():
        for epoch in epochs:
            for figure, value in epoch:
                if figure != "epoch" and value is not None and isfinite(value):
                    yield f"history.{phase}.{figure}", value, epoch.epoch


def metric_key(name: str) -> str:
    """Replace each character that MLflow does not allow in a name."""
    return "".join(letter if letter in ALLOWED else "_" for letter in name)


def _write(client: Any, run: RunFolder, artefacts: str | None) -> str:  # noqa: ANN401  # MLflow ships no types
    from mlflow.entities import Metric, Param, RunTag

    record = run.read(RunRecord)
    existing = client.get_experiment_by_name(EXPERIMENT)
    experiment = (
        existing.experiment_id if existing else client.create_experiment(EXPERIMENT, artifact_location=artefacts)
    )
    started = _milliseconds(record.started)
    identifier: str = client.create_run(experiment, start_time=started, run_name=run.id).info.run_id
    values = [
        Metric(key, value, started, 0)
        for key, value in metrics(figure_trees(run.read(Evaluation), run.read(Explanation)))
    ]
    values += [Metric(metric_key(key), value, started, epoch) for key, value, epoch in history(record)]
    settings = [Param(key, value) for key, value in parameters(run.settings().model_dump(mode="json"))]
    tags = [RunTag(f"dermaxis.{key}", value) for key, value in _tags(run, record).items()]
    for start in range(0, len(values), METRICS_AT_ONCE):
        client.log_batch(identifier, metrics=values[start : start + METRICS_AT_ONCE])
    for start in range(0, len(settings), AT_ONCE):
        client.log_batch(identifier, params=settings[start : start + AT_ONCE])
    client.log_batch(identifier, tags=tags)
    for name in FILES:
        if run.has(name):
            client.log_artifact(identifier, str(run.file(name)))
    client.set_terminated(identifier, end_time=_milliseconds(record.finished) if record.finished else None)
    return identifier


def _milliseconds(timestamp: str) -> int:
    return round(datetime.fromisoformat(timestamp).timestamp() * 1000)


def _tags(run: RunFolder, record: RunRecord) -> dict[str, str]:
    digests = record.digests.model_dump() if record.digests else {}
    return {
        "run": run.id,
        "commit": record.commit or "unknown",
        "seed": str(record.seed),
        **{f"digest.{key}": digest for key, digest in digests.items()},
        **{f"version.{package}": version for package, version in record.versions.items()},
        "caution": "research software, not a medical device",
    }
