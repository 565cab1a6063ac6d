import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from ignite.engine import Events
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.utils.data import DataLoader, Dataset

from concepts.errors import RunError
from pipeline.config import ConceptLossSettings, TrainingSettings
from pipeline.run.progress import Silent
from pipeline.training.engine import Phase, PhaseTrainer, checkpoint_score, epoch_seed, parameter_groups, warmup_cosine
from pipeline.training.loss import TrainingLoss, class_weights
from pipeline.training.validation import mean_axis_auc, validate
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


SCORES = {"macro_auc": (0.9, 0.6, 0.8, 0.8), "axis_auc": (0.2, 0.9, 0.7, 0.7)}
"""Of four epochs: the diagnosis prefers the first, the axes the second; together they choose the second too, at 0.75,
not the equally good ones after it."""


@pytest.mark.parametrize(("names", "best", "score"), [(("macro_auc",), 1, 0.9), (tuple(SCORES), 2, 0.75)])
def test_the_network_ends_with_the_parameters_of_the_best_epoch(tmp_path, monkeypatch, names, best, score):
    net, epochs, parameters = network(), iter(range(4)), []

    def scripted(measured, loader, **_):
        parameters.append(measured[0].weight.detach().clone())
        epoch = next(epochs)
        return {name: SCORES[name][epoch] for name in names}

    monkeypatch.setattr("pipeline.training.engine.validate", scripted)
    history = trainer(tmp_path, net, epochs=4).run()
    assert (history.best_epoch, history.best_score) == (best, pytest.approx(score))
    assert torch.equal(net[0].weight, parameters[best - 1])
    assert not torch.equal(parameters[best - 1], parameters[-1])
    assert [entry["epoch"] for entry in history.epochs] == [1, 2, 3, 4]


def test_the_score_is_of_diagnosis_and_axes_alike():
    assert checkpoint_score({"macro_auc": 0.8, "axis_auc": 0.6, "loss": 100.0}) == pytest.approx(0.7)
    assert checkpoint_score({"macro_auc": 0.8, "loss": 100.0}) == pytest.approx(0.8)


def test_validation_measures_the_loader_in_evaluation_mode_and_leaves_no_hook():
    net = network(whitened=True)
    loader = DataLoader(Blobs(24), batch_size=7)
    figures = validate(net, loader, layer=net[1])
    batches = list(loader)
    images, labels = (torch.cat([batch[key] for batch in batches]) for key in ("image", "label"))
    concepts = torch.cat([batch["concepts"] for batch in batches])[:, 0]
    with torch.no_grad():
        scores = net.eval()(images).softmax(dim=1)
        activations = net[1].activations(net[0](images))[:, 0]
    aucs = [roc_auc_score(labels == diagnosis, scores[:, diagnosis]) for diagnosis in range(3)]
    assert figures["macro_auc"] == pytest.approx(np.mean(aucs))
    assert figures["axis_auc"] == pytest.approx(roc_auc_score(concepts, activations))
    assert not net[1]._forward_hooks
    assert validate(net, loader, layer=None).keys() == {"macro_auc"}


def test_an_axis_without_both_kinds_of_images_says_nothing():
    assert mean_axis_auc(np.zeros((3, 1)), np.ones((3, 1))) == 0.5
    assert mean_axis_auc(np.array([[1.0, 1.0], [2.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 1.0]])) == 0.5


def test_every_phase_and_epoch_has_a_seed_of_its_own():
    seeds = {
        epoch_seed(Phase(name=name, epochs=3, learning_rate=1.0, seed=seed), epoch)
        for name in ("plain", "auxiliary", "whitened")
        for seed in (0, 1)
        for epoch in (1, 2, 3)
    }
    assert len(seeds) == 18
    phase = Phase(name="plain", epochs=9, learning_rate=0.5, seed=0)
    assert epoch_seed(phase, 2) == epoch_seed(Phase(name="plain", epochs=3, learning_rate=1.0, seed=0), 2)


def test_an_epoch_draws_with_its_own_seed_and_its_own_images(tmp_path):
    draws = []

    class Recorder(Blobs):
        def set_epoch(self, epoch):
            super().set_epoch(epoch)
            draws.append((epoch, torch.initial_seed()))

    made = trainer(tmp_path, network(), epochs=2)
    made.train = DataLoader(Recorder(), batch_size=8)
    made.run()
    assert draws == [(epoch, epoch_seed(made.phase, epoch)) for epoch in (1, 2)]


def test_the_learning_rate_of_a_step_is_that_of_the_schedule(tmp_path):
    rates = []
    made = trainer(tmp_path, network(), epochs=2)
    step = made.optimizer.step
    made.optimizer.step = lambda *arguments: (
        rates.append([group["lr"] for group in made.optimizer.param_groups]),
        step(*arguments),
    )
    made.run()
    # 48 images in batches of 8, twice.
    expected = [1e-2 * warmup_cosine(number, 12, warmup=0.1) for number in range(12)]
    assert rates == [[rate, rate] for rate in expected]


def test_progress_names_the_phase_the_epoch_and_the_figures(tmp_path):
    class Listener(Silent):
        def __init__(self):
            self.sentences, self.tasks = [], []

        def say(self, text):
            self.sentences.append(text)

        def task(self, title, total):
            self.tasks.append((title, total))
            return super().task(title, total)

    made = trainer(tmp_path, network(), epochs=2)
    made.tracker = Listener()
    history = made.run()
    assert made.tracker.tasks == [("training, plain", 12)]
    first = history.epochs[0]
    assert made.tracker.sentences[0] == f"plain epoch 1/2: macro_auc {first['macro_auc']:.3f}, loss {first['loss']:.3f}"
    again = trainer(tmp_path, network(), epochs=2)
    again.tracker = Listener()
    again.run()
    assert again.tracker.sentences == ["plain: resumed after epoch 2"]
    assert again.tracker.tasks == []


def test_handlers_take_part_and_get_their_state_back(tmp_path):
    class Counter:
        count = 0

        def attach(self, engine):
            engine.add_event_handler(Events.ITERATION_COMPLETED, self.add)

        def add(self, _engine):
            self.count += 1

        def state_dict(self):
            return {"count": self.count}

        def load_state_dict(self, state):
            self.count = state["count"]

    counters = [Counter(), Counter()]
    for counter, epochs in zip(counters, (1, 2), strict=True):
        made = trainer(tmp_path, network(), epochs=epochs)
        made.handlers = [counter]
        made.run()
    assert [counter.count for counter in counters] == [6, 12]


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
    assert factors[0] == pytest.approx(0.1)
    assert warmup_cosine(55, 100, warmup=0.1) == pytest.approx(0.5)
    assert [warmup_cosine(step, 2, warmup=0.0) for step in (0, 1)] == [1.0, 1.0]
    assert warmup_cosine(0, 1, warmup=1.0) == 1.0


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
    assert {parameter.ndim for parameter in groups[1]["params"]} == {1}
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert {parameter.ndim for parameter in groups[0]["params"]} == {2, 4}


def test_what_is_frozen_is_in_no_group():
    net = network()
    net[0].requires_grad_(False)
    groups = parameter_groups([net, nn.Linear(2, 2)], weight_decay=0.1)
    assert [len(group["params"]) for group in groups] == [2, 4]
