"""A run exported to MLflow: what goes in, and a store that gives it back."""

import sys
from math import nan

import pytest
from fake_evaluation import made_evaluation
from fake_explanation import made_record, made_results, write_run

from concepts.errors import RunError
from concepts.statistics.estimate import Estimate
from pipeline.export.mlflow_store import (
    export_mlflow,
    history,
    metric_key,
    metrics,
    parameters,
    require_mlflow,
    tracking_address,
)
from pipeline.results.record import EpochFigures

FIGURE = {"value": 0.8, "low": 0.7, "high": 0.9, "n": 100}
UNKNOWN = {"value": None, "low": None, "high": None, "n": 3}


def finished_run(folder):
    epochs = (EpochFigures(epoch=1, loss=0.5, macro_auc=nan), EpochFigures(epoch=2, loss=0.4, macro_auc=0.8))
    results = made_results(
        made_evaluation(whitened=Estimate(0.91, 0.88, 0.94, 100)), record=made_record(history={"plain": epochs})
    )
    run = write_run(folder, results)
    run.write_text("report.html", "<p>report</p>")
    return run


def test_every_known_figure_is_there_with_its_ends_and_n():
    figures = dict(metrics({"evaluation": {"a": FIGURE, "b": UNKNOWN}}))
    assert figures == {"evaluation.a": 0.8, "evaluation.a.low": 0.7, "evaluation.a.high": 0.9, "evaluation.a.n": 100.0}


def test_every_measured_figure_of_an_epoch_is_there_with_its_number():
    epochs = (EpochFigures(epoch=1, loss=0.5, macro_auc=nan), EpochFigures(epoch=2, loss=0.4, macro_auc=0.8))
    whitened = (EpochFigures(epoch=1, loss=0.3, macro_auc=0.7, axis_auc=0.6),)
    assert list(history(made_record(history={"plain": epochs, "whitened": whitened}))) == [
        ("history.plain.loss", 0.5, 1),
        ("history.plain.loss", 0.4, 2),
        ("history.plain.macro_auc", 0.8, 2),
        ("history.whitened.loss", 0.3, 1),
        ("history.whitened.macro_auc", 0.7, 1),
        ("history.whitened.axis_auc", 0.6, 1),
    ]
    assert list(history(made_record())) == []


def test_settings_become_dotted_parameters():
    assert dict(parameters({"a": {"b": 1, "c": {}}, "d": [1, 2]})) == {"a.b": "1", "a.c": "{}", "d": "[1, 2]"}


def test_names_have_only_what_is_allowed():
    assert metric_key("head/neck, 40 % (x)") == "head/neck_ 40 _ _x_"


def test_a_folder_becomes_a_store_in_it_and_an_address_stays(tmp_path):
    uri, artefacts = tracking_address(str(tmp_path / "new"))
    assert uri == f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    assert artefacts == (tmp_path / "new" / "artefacts").as_uri()
    assert tracking_address("http://host:5000") == ("http://host:5000", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file: a file; give a folder"):
        tracking_address(str(tmp_path / "file"))


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(RunError, match=r"needs the extra 'mlflow': pip install 'dermaxis\[mlflow\]'") as caught:
        require_mlflow()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # MLflow's own use of SQLAlchemy is deprecated
def test_a_store_gives_back_what_was_exported(tmp_path):
    pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed: nothing was exported")
    run, store = finished_run(tmp_path / "tiny-20260101-093000"), tmp_path / "store"
    first, second = (export_mlflow(run.path, str(store)) for _ in range(2))
    assert first != second
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{store / 'mlflow.db'}")
    mlflow_run = client.get_run(first)
    assert mlflow_run.info.run_name == run.id
    assert mlflow_run.info.status == "FINISHED"
    assert mlflow_run.info.end_time - mlflow_run.info.start_time == 600_000
    assert mlflow_run.data.params["seed"] == "3"
    assert mlflow_run.data.params["training.alignment.objective"] == "contrast"
    assert mlflow_run.data.metrics["evaluation.diagnosis.whitened.auc.macro.low"] == 0.88
    assert "evaluation.whitening.residual.train" in mlflow_run.data.metrics
    assert [metric.value for metric in client.get_metric_history(first, "history.plain.loss")] == [0.5, 0.4]
    assert mlflow_run.data.tags["dermaxis.commit"] == "d34db33f"
    assert mlflow_run.data.tags["dermaxis.digest.data"] == "a" * 64
    assert mlflow_run.data.tags["dermaxis.version.torch"] == "2.10.0"
    assert mlflow_run.data.metrics["explanation.importance.melanoma.concepts.veil.ratio"] == 1.2
    files = {file.path for file in client.list_artifacts(first)}
    assert files == {"report.html", "evaluation.json", "explanation.json", "settings.yaml", "run.json", "release.json"}


@pytest.mark.slow
def test_an_unfinished_run_is_refused(tmp_path):
    pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed: nothing was exported")
    run = finished_run(tmp_path / "tiny-20260101-093000.partial")
    with pytest.raises(RunError, match="an unfinished run; resume it"):
        export_mlflow(run.path, str(tmp_path / "store"))
    assert not (tmp_path / "store").exists()
