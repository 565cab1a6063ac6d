"""The main job on a few hundred real images at reduced size, and the reader on images at native resolution."""

import json
from pathlib import Path

import pytest

from pipeline.config import load_settings
from pipeline.data.sources.isic import load_isic
from pipeline.images.reader import image_size, read_image
from pipeline.retrain import retrain
from pipeline.run.progress import Silent

CONFIG = Path(__file__).parents[2] / "configs" / "isic2018.yaml"

SMALL = [
    "data.limit=320",
    "transforms.size=96",
    "transforms.margin=8",
    "model.width=0.25",
    "model.frozen=[]",
    "training.plain_epochs=1",
    "training.auxiliary.epochs=1",
    "training.whitened_epochs=1",
    "training.batch_size=16",
    "evaluation.resamples=100",
    "explanation.exemplars=2",
]


@pytest.mark.data
@pytest.mark.slow
def test_the_main_job_runs_on_real_dermoscopy(data_folder, tmp_path):
    places = [f"data.root={data_folder / 'isic2018'}", f"data.cache={tmp_path}", f"runs={tmp_path / 'runs'}"]
    run = retrain(load_settings(CONFIG, [*SMALL, *places]), tracker=Silent())
    assert run.read_json("run.json")["insertion_change"] <= 1e-4
    evaluation = run.read_json("evaluation.json")
    assert sum(part["images"] for part in evaluation["cohort"]["parts"].values()) == 320
    thin = {name for name, figures in evaluation["axes"]["purity"].items() if figures["reason"]}
    assert {"streaks", "negative_network"} <= thin
    report = run.file("report.html").read_text()
    assert "not assessable" in report
    assert json.loads(run.file("release.json").read_text())["digest"] in report


@pytest.mark.data
def test_native_images_are_read_at_full_and_reduced_size(data_folder):
    samples = load_isic(data_folder / "isic_uda1_native")
    assert len(samples) == 28
    for sample in samples[:6]:
        width, height = image_size(sample.path)
        small = read_image(sample.path, longest_side=256)
        assert read_image(sample.path).shape == (height, width, 3)
        assert max(small.shape) >= min(256, max(width, height))
        assert abs(small.shape[1] / small.shape[0] - width / height) < 0.02
