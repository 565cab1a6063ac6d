"""A run exported to MLflow: what goes in, and a store that gives it back."""

import sys

import pytest
from fake_evaluation import made_evaluation

from concepts.errors import RunError
from concepts.statistics.estimate import Estimate
from pipeline.config import dump_settings, parse_overrides
from pipeline.export.mlflow_store import (
    export_mlflow,
    metric_key,
    metrics,
    parameters,
    require_mlflow,
    tracking_address,
)
from pipeline.run.folder import RunFolder

FIGURE = {"value": 0.8, "low": 0.7, "high": 0.9, "n": 100}
UNKNOWN = {"value": None, "low": None, "high": None, "n": 3}


def whole_run(folder):
    folder.mkdir()
    run = RunFolder(folder)
    run.write_text("settings.yaml", dump_settings(parse_overrides(["name=tiny", "seed=3"])))
    run.write(made_evaluation(whitened=Estimate(0.91, 0.88, 0.94, 100)))
    run.write_json("explanation.json", {"importance": {"a, b": FIGURE}})
    run.write_text("report.html", "<p>report</p>")
    run.record(
        started="2026-01-01T09:30:00+00:00",
        finished="2026-01-01T09:40:00+00:00",
        seed=3,
        commit="d34db33f",
        digests={"data": "a" * 64, "weights": None},
        versions={"torch": "2.10.0"},
        history={"plain": [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4, "axis_auc": None}]},
    )
    return run


def test_every_known_figure_is_there_with_its_ends_and_n():
    found = dict(metrics({"evaluation": {"a": FIGURE, "b": UNKNOWN}}))
    assert found == {"evaluation.a": 0.8, "evaluation.a.low": 0.7, "evaluation.a.high": 0.9, "evaluation.a.n": 100.0}


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
    with pytest.raises(RunError, match="is a file; give a folder"):
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
    run, store = whole_run(tmp_path / "tiny-20260101-093000"), tmp_path / "store"
    first, second = (export_mlflow(run.path, str(store)) for _ in range(2))
    assert first != second
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{store / 'mlflow.db'}")
    found = client.get_run(first)
    assert found.info.run_name == run.id
    assert found.info.status == "FINISHED"
    assert found.info.end_time - found.info.start_time == 600_000
    assert found.data.params["seed"] == "3"
    assert found.data.params["training.alignment.objective"] == "contrast"
    assert found.data.metrics["evaluation.diagnosis.whitened.auc.macro.low"] == 0.88
    assert "evaluation.whitening.residual.train" in found.data.metrics
    assert [one.value for one in client.get_metric_history(first, "history.plain.loss")] == [0.5, 0.4]
    assert found.data.tags["dermaxis.commit"] == "d34db33f"
    assert found.data.tags["dermaxis.digest.data"] == "a" * 64
    assert "dermaxis.digest.weights" not in found.data.tags
    kept = {one.path for one in client.list_artifacts(first)}
    assert kept == {"report.html", "evaluation.json", "explanation.json", "settings.yaml", "run.json"}


@pytest.mark.slow
def test_an_unfinished_run_is_refused(tmp_path):
    pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed: nothing was exported")
    run = whole_run(tmp_path / "tiny-20260101-093000.partial")
    with pytest.raises(RunError, match="not whole yet"):
        export_mlflow(run.path, str(tmp_path / "store"))
    assert not (tmp_path / "store").exists()
