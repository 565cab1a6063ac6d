"""The main job with a concept that owns a subspace, on a small phantom cohort."""

import pytest

from concepts.errors import SettingsError
from pipeline.config import parse_overrides
from pipeline.models.checkpoint import load_model
from pipeline.retrain import retrain
from pipeline.run.progress import Silent
from pipeline.whitening.subspaces import Subspace
from pipeline.whitening.surgery import whitening_layers

pytestmark = pytest.mark.slow

OWNED = "concepts.subspaces.pigment_network={children: [typical_network, atypical_network], free: 1}"
SMALL = [
    "name=subspace",
    "data.phantom.images=240",
    "data.phantom.size=64",
    "data.phantom.network_types=true",
    "concepts.minimum_positives=20",
    "transforms.size=64",
    "transforms.margin=4",
    "model.width=0.25",
    "training.plain_epochs=1",
    "training.whitened_epochs=2",
    "training.batch_size=16",
    "training.concept_loss={weight: 1.0, region_weight: 1.0}",
    "evaluation.resamples=100",
]
CHILDREN = ("typical_network", "atypical_network")


def small(folder, *more):
    return parse_overrides([*SMALL, f"runs={folder / 'runs'}", f"data.cache={folder / 'cache'}", *more])


def test_a_run_with_a_subspace_keeps_measures_and_shows_it(tmp_path):
    run = retrain(small(tmp_path, OWNED), tracker=Silent())
    network, description = load_model(run.path / "model")
    (layer,) = whitening_layers(network).values()
    owned = Subspace("pigment_network", CHILDREN, free=1)
    assert layer.layout.subspaces == description.whitening.subspaces == (owned,)
    assert (layer.rotation @ layer.rotation.mT).diagonal().sub(1).abs().max() < 1e-5
    evaluation = run.read_json("evaluation.json")
    test_networks = evaluation["axes"]["purity"]["pigment_network"]["positives"]
    measured = evaluation["axes"]["subspaces"]["pigment_network"]
    assert tuple(measured["children"]) == CHILDREN
    for child in measured["children"].values():
        assert child["positives"] + child["negatives"] == child["sibling_auc"]["n"] == test_networks
        assert child["sibling_auc"]["low"] <= child["sibling_auc"]["value"] <= child["sibling_auc"]["high"]
    for report in run.read_json("run.json")["alignment"].values():
        assert report["inside"]["after"] >= report["inside"]["before"]
    assert "Inside pigment network" in run.file("report.html").read_text(encoding="utf-8")


def test_a_child_that_is_no_concept_is_refused_before_anything_is_trained(tmp_path):
    settings = small(tmp_path, "concepts.subspaces.pigment_network={children: [negative_network]}")
    with pytest.raises(SettingsError, match=r"'negative_network', which is no concept of the layer"):
        retrain(settings, tracker=Silent())
    assert not (tmp_path / "runs").exists()
