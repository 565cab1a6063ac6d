"""Where the network that learns diagnosis and concepts together starts from."""

import pytest
import torch

from pipeline.config import parse_overrides
from pipeline.models.checkpoint import load_model
from pipeline.retrain import retrain
from pipeline.run.progress import Silent
from pipeline.stages import Stage

SMALL = [
    "data.phantom.images=60",
    "data.phantom.size=64",
    "transforms.size=64",
    "transforms.margin=4",
    "model.width=0.25",
    "training.plain_epochs=1",
    "training.batch_size=8",
    "training.precision=bfloat16",
    "training.weight_decay=0",
    "training.auxiliary.epochs=1",
    "training.auxiliary.learning_rate=1e-12",
]


@pytest.mark.slow
@pytest.mark.parametrize("from_plain", [True, False])
def test_it_goes_on_from_the_plain_network_only_where_asked(tmp_path, from_plain):
    places = [f"runs={tmp_path / 'runs'}", f"data.cache={tmp_path / 'cache'}"]
    settings = parse_overrides([*SMALL, *places, f"training.auxiliary.from_plain={from_plain}"])
    run = retrain(settings, tracker=Silent(), last=Stage.AUXILIARY)
    plain, auxiliary = (dict(load_model(run.path / name)[0].named_parameters()) for name in ("plain", "auxiliary"))
    moved = max(float((auxiliary[name] - one).detach().abs().max()) for name, one in plain.items())
    assert (moved < 1e-8) == from_plain
    assert set(auxiliary) - set(plain) == {"concept_head.weight"}
    assert torch.isfinite(auxiliary["concept_head.weight"]).all()
