"""A run with something suppressed: what is carried over, what is said, and of which images the intercepts are."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_artefacts import dealt_parts
from fake_networks import BATCH, chance
from torch import nn

from concepts.errors import RunError
from pipeline import suppress as suppress_stage
from pipeline.choices import Activation, Balance
from pipeline.config import parse_overrides
from pipeline.data.splits import Part
from pipeline.evaluation.evaluation_data import EvaluatedParts
from pipeline.explanation.explained_network import ExplainedNetwork
from pipeline.explanation.shortcuts.artefact_space import ArtefactSpace, axis_space, joined, write_spaces
from pipeline.explanation.shortcuts.suppression import fitted_intercepts, independence_weights
from pipeline.results.record import Digests, EpochFigures, RunRecord
from pipeline.results.shortcuts import Suppression
from pipeline.run.folder import RunFolder, create_run
from pipeline.run.progress import Silent
from pipeline.suppress import image_weights, refuse_suppressed, suppress_run, suppressed_network, suppressible
from pipeline.whitening.surgery import insert_after

CHANNELS = 4
LAYER = "0.whitening"
PARTS = dealt_parts(tied=["ink"], sizes=(40, 60, 20))


def module():
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(3, CHANNELS, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    made.train()(chance(1)(16, 3, 4, 4))
    insert_after(made, "0", concepts=["streaks", "globules"])
    made.train()(chance(1)(16, 3, 4, 4))
    return made.eval()


@pytest.fixture
def network(monkeypatch):
    """Images are noise; melanomas of the training part are far from those of the validation part."""
    images = {
        part.data.part: chance(number)(len(part.data), 3, 4, 4) + number
        for number, part in enumerate((PARTS.train, PARTS.validation, PARTS.test))
    }
    by_id = {
        sample.image_id: image
        for part in (PARTS.train, PARTS.validation, PARTS.test)
        for sample, image in zip(part.data.samples, images[part.data.part], strict=True)
    }

    def load(samples):
        return [{"image": batch} for batch in torch.stack([by_id[each.image_id] for each in samples]).split(BATCH)]

    def labels(cohort, samples, *, tracker=None):
        part = next(each for each in (PARTS.train, PARTS.validation, PARTS.test) if each.data.samples == tuple(samples))
        return part.artefacts

    monkeypatch.setattr(suppress_stage, "artefact_labels", labels)
    return ExplainedNetwork(
        module=module(),
        layer=LAYER,
        turns=1,
        activation=Activation.MEAN,
        description=None,
        parts=EvaluatedParts(train=PARTS.train.data, validation=PARTS.validation.data, test=PARTS.test.data),
        load=load,
        display=None,
        masks=None,
        settings=parse_overrides(["training.balance=none"]),
        cohort=SimpleNamespace(concepts=("streaks", "globules"), classes=PARTS.test.data.classes),
    )


def logits(network, data):
    return network.outputs(data.samples, tracker=Silent(), title="").logits


SPACE = axis_space(1, CHANNELS)


def test_what_is_suppressed_is_not_seen_and_the_old_network_is_left_alone(network):
    before = logits(network, network.parts.test)
    changed, _ = suppressed_network(network, SPACE, intercepts=False, tracker=Silent())
    outputs = network.outputs(network.parts.test.samples, tracker=Silent(), title="")
    expected = outputs.tail(SPACE.removed(outputs.maps), outputs.rest)
    assert torch.allclose(logits(changed, network.parts.test), expected, atol=1e-5)
    assert not torch.allclose(expected, before, atol=1e-2)
    assert torch.equal(logits(network, network.parts.test), before)


def test_intercepts_are_fitted_on_validation_images_and_added(network):
    bare, none = suppressed_network(network, SPACE, intercepts=False, tracker=Silent())
    changed, shift = suppressed_network(network, SPACE, tracker=Silent())
    validation = network.parts.validation
    expected = fitted_intercepts(logits(bare, validation), torch.from_numpy(validation.labels))
    assert torch.allclose(shift, expected, atol=1e-6)
    assert shift.abs().max() > 0.05
    assert torch.equal(none, torch.zeros(2, dtype=torch.float64))
    moved = logits(changed, network.parts.test) - logits(bare, network.parts.test)
    assert torch.allclose(moved.double(), shift.expand_as(moved), atol=1e-5)
    for other in (network.parts.train, network.parts.test):
        wrong = fitted_intercepts(logits(bare, other), torch.from_numpy(other.labels))
        assert not torch.allclose(wrong, shift, atol=1e-2)


def test_images_are_weighed_so_that_the_artefacts_go_with_no_diagnosis(network):
    bare, _ = suppressed_network(network, SPACE, intercepts=False, tracker=Silent())
    _, shift = suppressed_network(network, SPACE, artefacts=["ink"], tracker=Silent())
    validation = PARTS.validation
    weights = independence_weights(validation.artefacts.of(["ink"]).table, validation.data.labels)
    labels = torch.from_numpy(validation.data.labels)
    expected = fitted_intercepts(logits(bare, validation.data), labels, weights=torch.from_numpy(weights))
    assert torch.allclose(shift, expected, atol=1e-6)
    assert not torch.allclose(shift, fitted_intercepts(logits(bare, validation.data), labels), atol=1e-3)


def test_diagnoses_count_as_they_did_in_training():
    """One melanoma and three nevi: evenly, the melanoma weighs three times as much."""
    data = replace(PARTS.test.data, samples=PARTS.test.data.samples[:4], labels=np.array([0, 1, 1, 1]))
    artefacts = PARTS.test.artefacts.of([]).rows(range(4))
    assert image_weights(data, artefacts).tolist() == [1, 1, 1, 1]
    even = image_weights(data, artefacts, even=True)
    assert even.tolist() == pytest.approx([2, 2 / 3, 2 / 3, 2 / 3])


@pytest.mark.parametrize("balance", Balance)
def test_only_a_balanced_training_counts_diagnoses_evenly(network, monkeypatch, balance):
    asked = []

    def weights(data, artefacts, *, even=False):
        asked.append((data.part, even))
        return torch.ones(len(data), dtype=torch.float64)

    monkeypatch.setattr(suppress_stage, "image_weights", weights)
    balanced = replace(network, settings=parse_overrides([f"training.balance={balance}"]))
    suppressed_network(balanced, SPACE, tracker=Silent())
    assert asked == [(Part.VALIDATION, balance is not Balance.NONE)]


def test_training_on_is_weighed_by_training_images_and_comes_before_the_intercepts(network, monkeypatch):
    calls = []

    def relearn(changed, space, *, epochs, weights, tracker):
        calls.append((epochs, weights))
        changed.module[-1].bias.data += torch.tensor([5.0, 0.0])

    monkeypatch.setattr(suppress_stage, "relearn", relearn)
    _, shift = suppressed_network(network, SPACE, artefacts=["ink"], epochs=3, tracker=Silent())
    _, without = suppressed_network(network, SPACE, artefacts=["ink"], tracker=Silent())
    ((epochs, weights),) = calls
    expected = independence_weights(PARTS.train.artefacts.of(["ink"]).table, PARTS.train.data.labels)
    assert epochs == 3
    assert weights.tolist() == expected.tolist()
    assert (without - shift).tolist() == pytest.approx([2.5, -2.5], abs=0.05), "the bias is fitted away"


def test_an_audited_artefact_comes_before_the_axis_of_the_same_name():
    ink = ArtefactSpace(torch.eye(CHANNELS).double()[2:], torch.zeros(2).double(), torch.ones(2).double())
    spaces = suppressible(("streaks", "ink"), {"ink": ink, "hair": SPACE}, CHANNELS)
    assert list(spaces) == ["streaks", "ink", "hair"]
    assert spaces["ink"] is ink
    assert torch.equal(spaces["streaks"].directions, axis_space(0, CHANNELS).directions)


DIGESTS = Digests(data="abc", split="def", release="123")
EPOCHS = (EpochFigures(epoch=1, loss=1.0, macro_auc=0.5),)


@pytest.fixture
def source(tmp_path, network, monkeypatch):
    run = create_run(parse_overrides(["name=old", f"runs={tmp_path}"]))
    for name in ("split.csv", "release.json", "samples.csv", "plain.json", "plain.safetensors"):
        run.write_text(name, f"content of {name}")
    run.record(digests=DIGESTS, history={"plain": EPOCHS}, seconds={"plain": 3})
    write_spaces(run, {"ink": axis_space(3, CHANNELS), "hair": axis_space(0, CHANNELS)})
    monkeypatch.setattr(suppress_stage, "_open_network", lambda opened, settings, tracker: network)
    monkeypatch.setattr(suppress_stage, "save_model", lambda path, saved, description: path.touch())
    return run


def test_the_new_run_says_what_was_suppressed_and_carries_over_what_holds(source):
    target = suppress_run(source.path, ["ink", "globules", "ink"], tracker=Silent())
    suppression = target.read(RunRecord).suppressed
    assert isinstance(suppression, Suppression)
    assert suppression.source == source.id
    assert suppression.names == ("ink", "globules")
    assert suppression.weighed == ("ink",)
    assert suppression.directions == 2
    assert (suppression.images, suppression.epochs) == (60, 0)
    assert list(suppression.intercepts) == ["melanoma", "nevus"]
    assert sum(suppression.intercepts.values()) == pytest.approx(0)
    for name in ("split.csv", "release.json", "samples.csv", "plain.json", "plain.safetensors"):
        assert target.file(name).read_text() == f"content of {name}"
    record = target.read(RunRecord)
    assert record.digests == DIGESTS
    assert record.history == {"plain": EPOCHS}
    assert record.seconds == {}
    assert target.settings().name == "old-suppressed"
    assert target.has("model")


def test_the_directions_of_all_names_are_suppressed_together(source, monkeypatch):
    spaces = []

    def suppressed(network, space, **kind):
        spaces.append(space)
        return network, torch.zeros(2)

    monkeypatch.setattr(suppress_stage, "suppressed_network", suppressed)
    suppress_run(source.path, ["hair", "globules"], tracker=Silent())
    expected = joined([axis_space(0, CHANNELS), axis_space(1, CHANNELS)], CHANNELS)
    projections = [space.directions.T @ space.directions for space in (spaces[0], expected)]
    assert torch.allclose(*projections)


def test_an_unknown_name_is_refused_and_nothing_is_left(source, tmp_path):
    with pytest.raises(RunError, match="nothing called 'glitter' to suppress; use streaks, globules, hair, ink"):
        suppress_run(source.path, ["ink", "glitter"], tracker=Silent())
    assert list(tmp_path.iterdir()) == [source.path]


def test_a_failure_leaves_no_folder(source, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(suppress_stage, "save_model", fail)
    with pytest.raises(KeyboardInterrupt):
        suppress_run(source.path, ["ink"], tracker=Silent())
    assert list(tmp_path.iterdir()) == [source.path]


def test_a_suppressed_run_is_not_suppressed_again(source):
    refuse_suppressed(source)
    target = suppress_run(source.path, ["ink"], tracker=Silent())
    with pytest.raises(RunError, match=f"ink suppressed in it already; .* came from, {source.id}"):
        suppress_run(target.path, ["hair"], tracker=Silent())


def test_the_new_run_lies_beside_the_old_one_or_where_it_is_asked_for(source, tmp_path):
    assert suppress_run(source.path, ["ink"], tracker=Silent()).path.parent == source.path.parent
    elsewhere = suppress_run(source.path, ["ink"], tracker=Silent(), runs=tmp_path / "elsewhere")
    assert RunFolder(elsewhere.path).path.parent == tmp_path / "elsewhere"
