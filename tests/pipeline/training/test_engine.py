import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from concepts.errors import RunError
from pipeline.config import ConceptLossSettings, TrainingSettings
from pipeline.run.progress import Silent
from pipeline.training.engine import Phase, PhaseTrainer, parameter_groups, warmup_cosine
from pipeline.training.loss import TrainingLoss, class_weights
from pipeline.training.validation import mean_axis_auc
from pipeline.whitening.layer import ConceptWhitening


class Blobs(Dataset):
    """Images of one colour channel being bright, which one being the diagnosis; the concept is 'red'."""

    def __init__(self, count=48, *, with_concepts=True):
        generator = torch.Generator().manual_seed(count)
        self.labels = torch.arange(count) % 3
        self.images = torch.randn(count, 3, 8, 8, generator=generator)
        self.images[torch.arange(count), self.labels] += 1.0
        self.with_concepts, self.epoch = with_concepts, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, row):
        noise = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(1000 * self.epoch + row))
        item = {"image": self.images[row] + 0.1 * noise, "label": int(self.labels[row])}
        return item | {"concepts": (self.labels[row : row + 1] == 0).float()} if self.with_concepts else item


def network(*, whitened=False):
    torch.manual_seed(0)
    middle = ConceptWhitening(6, concepts=("red",)) if whitened else nn.BatchNorm2d(6)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), middle, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(6, 3)
    )


def trainer(folder, net, *, epochs, loss=None, layer=None):
    phase = Phase(name="plain", epochs=epochs, learning_rate=1e-2, seed=5, layer=layer)
    return PhaseTrainer(
        net,
        loss or TrainingLoss(),
        phase=phase,
        settings=TrainingSettings(),
        train=DataLoader(Blobs(), batch_size=8),
        validation=DataLoader(Blobs(24), batch_size=8),
        folder=folder,
        tracker=Silent(),
    )


def test_training_learns_and_keeps_the_best_epoch(tmp_path):
    net = network()
    history = trainer(tmp_path, net, epochs=4).run()
    scores = [epoch["macro_auc"] for epoch in history.epochs]
    assert max(scores) > 0.9
    assert history.best_score == max(scores)
    assert history.best_epoch == 1 + int(np.argmax(scores))


def test_a_resumed_training_ends_at_the_same_parameters(tmp_path):
    whole = network()
    trainer(tmp_path / "whole", whole, epochs=4).run()

    class StoppedError(Exception):
        pass

    half = trainer(tmp_path / "half", network(), epochs=4)
    finish = half._finish_epoch

    def stop_after_two(engine):
        finish(engine)
        if engine.state.epoch == 2:
            raise StoppedError

    half._finish_epoch = stop_after_two
    with pytest.raises(StoppedError):
        half.run()
    resumed = network()
    history = trainer(tmp_path / "half", resumed, epochs=4).run()
    assert [epoch["epoch"] for epoch in history.epochs] == [1, 2, 3, 4]
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0, msg=name)


def test_a_finished_training_is_not_trained_again(tmp_path):
    net = network()
    trainer(tmp_path, net, epochs=2).run()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    trainer(tmp_path, net, epochs=2).run()
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())


def test_the_concept_loss_reaches_the_backbone_and_the_axis(tmp_path):
    net = network(whitened=True)
    loss = TrainingLoss(layers=[net[1]], concept_settings=ConceptLossSettings(weight=5.0))
    history = trainer(tmp_path, net, epochs=6, loss=loss, layer=net[1]).run()
    assert history.epochs[-1]["axis_auc"] > 0.9
    loss(
        net.train()(torch.randn(8, 3, 8, 8)), {"label": torch.zeros(8).long(), "concepts": torch.ones(8, 1)}
    ).backward()
    assert net[0].weight.grad.abs().sum() > 0


def test_without_concept_labels_the_loss_is_cross_entropy():
    logits, labels = torch.randn(10, 3), torch.arange(10) % 3
    assert torch.equal(TrainingLoss()(logits, {"label": labels}), nn.functional.cross_entropy(logits, labels))


def test_a_diverging_loss_is_named(tmp_path):
    net = network()
    with torch.no_grad():
        net[0].weight.fill_(float("nan"))
    with pytest.raises(RunError, match="learning rate"):
        trainer(tmp_path, net, epochs=1).run()


def test_schedule_rises_then_falls_to_zero():
    factors = [warmup_cosine(step, 100, warmup=0.1) for step in range(100)]
    assert factors[9] == 1.0
    assert all(a < b for a, b in pairwise(factors[:10]))
    assert all(a >= b for a, b in pairwise(factors[10:]))
    assert factors[-1] < 0.001


def test_class_weights_balance_and_average_to_one():
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    weights = class_weights(labels, 3)
    totals = torch.bincount(labels) * weights
    torch.testing.assert_close(totals, totals.mean().expand(3))
    assert weights[labels].mean().item() == pytest.approx(1.0)


def test_axis_auc_leaves_out_what_is_not_known():
    activations = np.array([[3.0, 0.0], [2.0, 0.0], [1.0, 0.0], [9.0, 0.0]])
    labels = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0], [math.nan, 1.0]])
    assert mean_axis_auc(activations, labels) == 1.0


def test_vectors_do_not_decay():
    groups = parameter_groups([network()], weight_decay=0.1)
    assert {one.ndim for one in groups[1]["params"]} == {1}
    assert groups[1]["weight_decay"] == 0.0
