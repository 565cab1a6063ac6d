"""A whole run as a run of MLflow (extra ``mlflow``): settings as parameters, figures as metrics, files as artefacts.

It is written to a folder of its own by default, or to any tracking store or server that MLflow knows.
"""

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from concepts.errors import RunError
from pipeline.report.pages.tables import figure_rows
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
"""What is uploaded, where the run has it; neither images nor cases, which show patients' lesions."""
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
        raise RunError(f"{run.path}: not whole yet; continue it with 'dermaxis run --resume' before exporting it")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri, artefacts = tracking_address(target)
    try:
        return _write(MlflowClient(tracking_uri=uri), run, artefacts)
    except MlflowException as error:
        raise RunError(f"{target}: MLflow refused ({' '.join(str(error).split())[:200]})") from error


def require_mlflow() -> None:
    """Refuse where MLflow is missing; keep it from calling home, and from telling how it makes its tables.

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
        raise RunError(f"{target}: is a file; give a folder, or an address such as sqlite:////path/mlflow.db")
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


def metric_key(name: str) -> str:
    """Replace each character that MLflow does not allow in a name."""
    return "".join(letter if letter in ALLOWED else "_" for letter in name)


def _write(client: Any, run: RunFolder, artefacts: str | None) -> str:  # noqa: ANN401  # MLflow ships no types
    from mlflow.entities import Metric, Param, RunTag

    record = run.read_json("run.json")
    found = client.get_experiment_by_name(EXPERIMENT)
    experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT, artifact_location=artefacts)
    started = round(datetime.fromisoformat(record["started"]).timestamp() * 1000)
    identifier: str = client.create_run(experiment, start_time=started, run_name=run.id).info.run_id
    trees = {name: run.read_json(f"{name}.json") for name in ("evaluation", "explanation")}
    values = [Metric(key, value, started, 0) for key, value in metrics(trees)]
    values += [
        Metric(metric_key(f"history.{phase}.{key}"), float(value), started, int(epoch["epoch"]))
        for phase, epochs in record.get("history", {}).items()
        for epoch in epochs
        for key, value in epoch.items()
        if key != "epoch" and value is not None
    ]
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
    finished = record.get("finished")
    end = round(datetime.fromisoformat(finished).timestamp() * 1000) if finished else None
    client.set_terminated(identifier, end_time=end)
    return identifier


def _tags(run: RunFolder, record: Mapping[str, Any]) -> dict[str, str]:
    digests = {f"digest.{key}": str(value) for key, value in record.get("digests", {}).items() if value}
    versions = {f"version.{key}": str(value) for key, value in record.get("versions", {}).items()}
    own = {"run": run.id, "commit": str(record.get("commit") or "unknown"), "seed": str(record.get("seed"))}
    return {**own, **digests, **versions, "caution": "research software, not a medical device"}
