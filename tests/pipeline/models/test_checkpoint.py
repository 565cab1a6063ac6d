"""Checkpoints and training states: what is written is read back the same, and damage is told."""

import json

import pytest
import torch
from safetensors import safe_open
from torch import nn

from concepts.errors import WeightsError
from pipeline.choices import Activation, Fit, Placement
from pipeline.models.checkpoint import (
    ModelDescription,
    WhiteningDescription,
    build_network,
    load_model,
    save_model,
)
from pipeline.models.state import load_state, save_state
from pipeline.whitening.surgery import whitening_layers

WHITENING = WhiteningDescription(
    layer="blocks.3.pointwise.norm",
    placement=Placement.INSERT,
    activation=Activation.MAX,
    concepts=("streaks", "globules"),
)


def describe(*, whitening=None, classes=("melanoma", "nevus"), architecture="mobilenet_v1"):
    return ModelDescription(
        architecture=architecture,
        width=0.25,
        classes=classes,
        size=64,
        fit=Fit.SQUASH,
        margin=4,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        whitening=whitening,
    )


def trained(description):
    torch.manual_seed(0)
    network = build_network(description).train()
    for _ in range(2):
        network(torch.rand(8, 3, 48, 48)).sum().backward()
    return network.eval()


def assert_same_tree(tree, other):
    assert type(tree) is type(other)
    if isinstance(tree, torch.Tensor):
        assert tree.dtype == other.dtype
        assert torch.equal(tree, other)
    elif isinstance(tree, dict):
        assert list(tree) == list(other)
        for key in tree:
            assert_same_tree(tree[key], other[key])
    elif isinstance(tree, list | tuple):
        assert len(tree) == len(other)
        for one, another in zip(tree, other, strict=True):
            assert_same_tree(one, another)
    else:
        assert tree == other


@pytest.mark.parametrize(
    "whitening", [None, WHITENING, WHITENING.model_copy(update={"placement": Placement.REPLACE})], ids=str
)
def test_a_model_comes_back_as_it_was(tmp_path, whitening):
    description = describe(whitening=whitening)
    network = trained(description)
    save_model(tmp_path / "model", network, description)
    x = torch.rand(3, 3, 48, 48)
    state = torch.random.get_rng_state()
    loaded, found = load_model(tmp_path / "model")
    assert torch.equal(state, torch.random.get_rng_state())
    assert found == description
    assert not any(module.training for module in loaded.modules())
    assert [layer.concepts for layer in whitening_layers(loaded).values()] == (
        [whitening.concepts] if whitening else []
    )
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))


def test_the_tensors_have_the_networks_names_and_no_temporary_file_stays(tmp_path):
    network = trained(describe())
    save_model(tmp_path / "run-0.5", network, describe())
    assert {path.name for path in tmp_path.iterdir()} == {"run-0.5.safetensors", "run-0.5.json"}
    with safe_open(tmp_path / "run-0.5.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(network.state_dict())


def test_channels_last_and_shared_tensors_are_stored(tmp_path):
    network = trained(describe()).to(memory_format=torch.channels_last)
    network.blocks[6].pointwise.norm.weight = network.blocks[7].pointwise.norm.weight
    save_model(tmp_path / "model", network, describe())
    loaded, _ = load_model(tmp_path / "model")
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in network.state_dict().items())


class TestUnusableModels:
    @pytest.fixture
    def stem(self, tmp_path):
        save_model(tmp_path / "model", trained(describe()), describe())
        return tmp_path / "model"

    def refuse(self, stem, *parts):
        with pytest.raises(WeightsError) as caught:
            load_model(stem)
        assert "\n" not in str(caught.value)
        for part in parts:
            assert part in str(caught.value)

    def test_absent(self, tmp_path):
        self.refuse(tmp_path / "none", "none.json", "no such model")

    def test_without_its_tensors(self, stem):
        stem.with_suffix(".safetensors").unlink()
        self.refuse(stem, "model.safetensors")

    def test_truncated(self, stem):
        file = stem.with_suffix(".safetensors")
        file.write_bytes(file.read_bytes()[:-20])
        self.refuse(stem, "model.safetensors", "damaged")

    def test_not_json(self, stem):
        stem.with_suffix(".json").write_text("{")
        self.refuse(stem, "model.json", "not a model description")

    def test_with_an_unknown_key(self, stem):
        file = stem.with_suffix(".json")
        file.write_text(json.dumps(json.loads(file.read_text()) | {"colour": 1}))
        self.refuse(stem, "model.json", "not a model description")

    @pytest.mark.parametrize("classes", [("nevus", "melanoma"), ("melanoma", "nevus", "keratosis")])
    def test_with_the_description_of_another_model(self, stem, tmp_path, classes):
        other = describe(classes=classes)
        save_model(tmp_path / "other", trained(other), other)
        (tmp_path / "other.json").rename(stem.with_suffix(".json"))
        self.refuse(stem, "different models")

    def test_of_an_unknown_architecture(self, tmp_path):
        save_model(tmp_path / "odd", trained(describe()), describe(architecture="vgg16"))
        self.refuse(tmp_path / "odd", "odd", "'vgg16' is not known")

    def test_that_do_not_fit_their_description(self, tmp_path):
        save_model(tmp_path / "odd", trained(describe()), describe(whitening=WHITENING))
        self.refuse(tmp_path / "odd", "does not fit")


class TestStates:
    def step(self, network, optimizer, schedule, x):
        optimizer.zero_grad()
        network(x).square().sum().backward()
        optimizer.step()
        schedule.step()

    @pytest.mark.parametrize(
        "make",
        [
            lambda p: torch.optim.AdamW(p, lr=1e-2, betas=(0.8, 0.99), amsgrad=True),
            lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, nesterov=True),
        ],
        ids=["AdamW", "SGD"],
    )
    def test_training_goes_on_as_if_never_stopped(self, tmp_path, make):
        torch.manual_seed(0)
        x, network = torch.rand(5, 4), nn.Linear(4, 2)
        optimizer = make(network.parameters())
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9)
        for _ in range(3):
            self.step(network, optimizer, schedule, x)
        parts = {"network": network, "optimizer": optimizer, "schedule": schedule}
        tree = {name: part.state_dict() for name, part in parts.items()}
        save_state(tmp_path / "s.safetensors", tree)
        loaded = load_state(tmp_path / "s.safetensors")
        assert_same_tree(json.loads(json.dumps(schedule.state_dict())), loaded["schedule"])
        assert_same_tree({key: tree[key] for key in ("optimizer",)}, {"optimizer": loaded["optimizer"]})
        again = nn.Linear(4, 2)
        resumed = make(again.parameters())
        later = torch.optim.lr_scheduler.CosineAnnealingLR(resumed, T_max=9)
        for part, name in ((again, "network"), (resumed, "optimizer"), (later, "schedule")):
            part.load_state_dict(loaded[name])
        for _ in range(3):
            self.step(network, optimizer, schedule, x)
            self.step(again, resumed, later, x)
        assert torch.equal(network.weight, again.weight)

    def test_every_kind_of_value_comes_back(self, tmp_path):
        tree = {
            1: "int key",
            "numbers": [0.1, -1e-300, 2**127, True, None, float("inf")],
            "pair": (torch.tensor(3), (1, "x")),
            "dtypes": [torch.zeros(0), torch.ones(2, 3).T, torch.arange(3, dtype=torch.uint8), torch.tensor([True])],
            "half": torch.rand(2).bfloat16(),
            "empty": {},
            "tensor": {"value": {"list": []}},
        }
        save_state(tmp_path / "s.safetensors", tree)
        assert_same_tree(load_state(tmp_path / "s.safetensors"), tree)

    def test_a_state_without_tensors(self, tmp_path):
        save_state(tmp_path / "s.safetensors", {"epoch": 3})
        assert load_state(tmp_path / "s.safetensors") == {"epoch": 3}

    def test_what_cannot_be_stored_is_refused_and_the_old_file_stays(self, tmp_path):
        save_state(tmp_path / "s.safetensors", {"epoch": 3})
        with pytest.raises(WeightsError, match="set"):
            save_state(tmp_path / "s.safetensors", {"bad": {1, 2}})
        assert load_state(tmp_path / "s.safetensors") == {"epoch": 3}
        assert len(list(tmp_path.iterdir())) == 1

    def test_files_that_are_no_states_are_refused(self, tmp_path):
        with pytest.raises(WeightsError, match="no such file"):
            load_state(tmp_path / "absent.safetensors")
        save_model(tmp_path / "model", trained(describe()), describe())
        with pytest.raises(WeightsError, match="not a training state"):
            load_state(tmp_path / "model.safetensors")
        (tmp_path / "model.safetensors").write_bytes(b"rubbish")
        with pytest.raises(WeightsError, match="damaged"):
            load_state(tmp_path / "model.safetensors")
