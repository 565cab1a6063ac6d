"""The phases of a run on images that are known: which images, weights, rates and axes enter what is trained."""

import numpy as np
import pytest
import torch
from fake_explanation import made_run
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score
from torch import nn

from concepts.errors import SettingsError, WeightsError
from pipeline.choices import Balance
from pipeline.data.splits import Part
from pipeline.models.checkpoint import load_model
from pipeline.models.inputs import alignment_loader, evaluation_loader, training_loader
from pipeline.results.record import RunRecord
from pipeline.run.files import AUXILIARY, MODEL, PLAIN
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Silent
from pipeline.training.auxiliary import train_auxiliary
from pipeline.training.phases import diagnosis_weights
from pipeline.training.plain import train_plain
from pipeline.training.start import check_model, describe, pretrained, whitening_of
from pipeline.training.whitened import train_whitened

STILL = "1e-20"
"""A learning rate at which nothing moves: what is recorded is of the network that came in."""


def recorded(run):
    return run.read(RunRecord).model_dump(exclude_none=True)


def images_of(settings, cohort, description, part):
    """All images of a part as evaluation sees them, which here is as training sees them, with their labels."""
    batches = list(evaluation_loader(settings, cohort, description, cohort.part(part)))
    return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}


def initial(settings, cohort):
    return describe(settings.model, settings.transforms, classes=cohort.classes, seed=settings.seed)


def parameters(path):
    network, _ = load_model(path)
    return {name: parameter.detach() for name, parameter in network.named_parameters()}


def largest_move(before, after):
    return max((after[name] - before[name]).abs().max().item() for name in before if name in after)


# The plain phase


@pytest.mark.parametrize("balance", [Balance.NONE, Balance.WEIGHTS])
def test_class_weights_enter_the_loss_of_the_plain_phase_where_asked(settings_with, cohort, run, balance):
    settings = settings_with(f"training.balance={balance}", f"training.learning_rate={STILL}")
    train_plain(settings, cohort, run=run, tracker=Silent())
    backbone, description = initial(settings, cohort)
    batch = images_of(settings, cohort, description, Part.TRAIN)
    # 3 of 12 are melanomas: 12 / (2 * 3) and 12 / (2 * 9).
    weight = torch.tensor([2.0, 2 / 3]) if balance is Balance.WEIGHTS else None
    expected = nn.functional.cross_entropy(backbone.network.train()(batch["image"]), batch["label"], weight=weight)
    (epoch,) = recorded(run)["history"][PLAIN]
    assert epoch["loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_diagnosis_weights_count_training_images_only(cohort):
    torch.testing.assert_close(diagnosis_weights(cohort, Balance.WEIGHTS), torch.tensor([2.0, 2 / 3]))
    assert diagnosis_weights(cohort, Balance.SAMPLER) is None


def test_labels_are_smoothed_as_asked(settings_with, cohort, run):
    settings = settings_with("training.label_smoothing=0.3", f"training.learning_rate={STILL}")
    train_plain(settings, cohort, run=run, tracker=Silent())
    backbone, description = initial(settings, cohort)
    batch = images_of(settings, cohort, description, Part.TRAIN)
    logits = backbone.network.train()(batch["image"])
    expected = nn.functional.cross_entropy(logits, batch["label"], label_smoothing=0.3)
    assert recorded(run)["history"][PLAIN][0]["loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_the_plain_network_is_chosen_on_validation_images_and_by_the_diagnosis_alone(settings_with, cohort, run):
    settings = settings_with("training.plain_epochs=5", "training.learning_rate=0.05")
    train_plain(settings, cohort, run=run, tracker=Silent())
    history, best = recorded(run)["history"][PLAIN], recorded(run)["best_epoch"][PLAIN]
    assert [epoch.keys() for epoch in history] == [{"epoch", "macro_auc", "loss"}] * 5
    scores = [epoch["macro_auc"] for epoch in history]
    assert best == 1 + int(np.argmax(scores))
    network, description = load_model(run.path / PLAIN)
    aucs = {}
    for part in (Part.VALIDATION, Part.TRAIN):
        batch = images_of(settings, cohort, description, part)
        with torch.no_grad():
            aucs[part] = roc_auc_score(batch["label"], network(batch["image"]).softmax(dim=1)[:, 1])
    assert scores[best - 1] == pytest.approx(aucs[Part.VALIDATION])
    assert aucs[Part.TRAIN] != pytest.approx(aucs[Part.VALIDATION])


@pytest.mark.parametrize("rate", [1e-3, 4e-3])
def test_each_phase_has_its_own_learning_rate(settings_with, cohort, run, rate):
    # The first step of Adam moves every parameter by the learning rate, whatever its gradient.
    settings = settings_with(
        f"training.learning_rate={rate}",
        f"training.whitened_learning_rate={2 * rate}",
        "training.auxiliary.epochs=1",
        "training.auxiliary.from_plain=true",
        f"training.auxiliary.learning_rate={3 * rate}",
        "model.placement=replace",
    )
    for phase in (train_plain, train_auxiliary, train_whitened):
        phase(settings, cohort, run=run, tracker=Silent())
    before = dict(initial(settings, cohort)[0].network.named_parameters())
    plain = parameters(run.path / PLAIN)
    assert largest_move(before, plain) == pytest.approx(rate, rel=0.01)
    assert largest_move(plain, parameters(run.path / AUXILIARY)) == pytest.approx(3 * rate, rel=0.01)
    assert largest_move(plain, parameters(run.path / MODEL)) == pytest.approx(2 * rate, rel=0.01)


def test_frozen_modules_stay_in_every_phase(settings_with, cohort, run):
    settings = settings_with("model.frozen=[conv]", "training.auxiliary.epochs=1", "training.learning_rate=0.01")
    for phase in (train_plain, train_auxiliary, train_whitened):
        phase(settings, cohort, run=run, tracker=Silent())
    before = initial(settings, cohort)[0].network
    for name in (PLAIN, AUXILIARY, MODEL):
        stored = parameters(run.path / name)
        assert torch.equal(stored["conv.weight"], before.conv.weight)
        assert not torch.equal(stored["classifier.weight"], before.classifier.weight)


def test_initial_weights_are_of_the_seed_and_of_nothing_else(settings_with, cohort):
    settings = settings_with()
    torch.manual_seed(99)
    first = initial(settings, cohort)[0].network.conv.weight
    assert torch.equal(first, initial(settings, cohort)[0].network.conv.weight)
    other = settings.model_copy(update={"seed": 1})
    assert not torch.equal(first, initial(other, cohort)[0].network.conv.weight)


def test_a_weights_file_is_loaded_and_what_became_of_it_is_recorded(settings_with, cohort, run, tmp_path):
    weights = initial(settings_with("seed=7"), cohort)[0].network.state_dict()
    file = tmp_path / "weights.safetensors"
    save_file(weights | {"classifier.weight": torch.zeros(5, 4)}, file)
    network, _ = pretrained(settings_with(f"model.weights={file}"), cohort, run=run, tracker=Silent())
    assert torch.equal(network.conv.weight, weights["conv.weight"])
    entry = recorded(run)["weights"]
    assert entry["file"] == "weights.safetensors"
    assert entry["dropped"] == ("classifier.weight",) == entry["missing"]


def test_the_description_says_how_to_feed_the_network(settings_with, cohort):
    settings = settings_with("transforms.fit=pad", "transforms.margin=6")
    _, description = initial(settings, cohort)
    assert description.classes == cohort.classes
    assert (description.size, description.fit.value, description.margin) == (32, "pad", 6)
    assert (description.mean, description.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert description.whitening is None


def test_only_the_process_that_writes_stores_a_model(settings_with, cohort, tmp_path):
    settings = settings_with("training.plain_epochs=1")
    train_plain(settings, cohort, run=RunFolder(tmp_path, writes=False), tracker=Silent())
    assert not (tmp_path / "plain.json").exists()
    assert not (tmp_path / "run.json").exists()


# The auxiliary phase


@pytest.mark.parametrize("from_plain", [True, False])
def test_the_auxiliary_network_starts_where_asked(settings_with, cohort, run, from_plain):
    settings = settings_with(
        "training.learning_rate=0.01",
        "training.auxiliary.epochs=1",
        f"training.auxiliary.learning_rate={STILL}",
        f"training.auxiliary.from_plain={from_plain}",
    )
    train_plain(settings, cohort, run=run, tracker=Silent())
    train_auxiliary(settings, cohort, run=run, tracker=Silent())
    plain, auxiliary = parameters(run.path / PLAIN), parameters(run.path / AUXILIARY)
    before = dict(initial(settings, cohort)[0].network.named_parameters())
    assert largest_move(plain if from_plain else before, auxiliary) < 1e-9
    assert set(auxiliary) - set(plain) == {"concept_head.weight"}
    _, description = load_model(run.path / AUXILIARY)
    assert (description.head.layer, description.head.concepts) == ("norm", ("streaks",))


def test_the_auxiliary_loss_has_class_weights_and_both_concept_terms(settings_with, cohort, run):
    losses = {}
    for name, weights in {"none": (0, 0), "image": (3, 0), "region": (0, 5), "both": (3, 5)}.items():
        settings = settings_with(
            "training.balance=weights",
            "training.auxiliary.epochs=1",
            f"training.auxiliary.learning_rate={STILL}",
            f"training.auxiliary.weight={weights[0]}",
            f"training.auxiliary.region_weight={weights[1]}",
        )
        folder = made_run(run.path / name)
        train_auxiliary(settings, cohort, run=folder, tracker=Silent())
        losses[name] = recorded(folder)["history"][AUXILIARY][0]["loss"]
    backbone, description = initial(settings, cohort)
    batch = images_of(settings, cohort, description, Part.TRAIN)
    weight = torch.tensor([2.0, 2 / 3])
    diagnosis = nn.functional.cross_entropy(backbone.network.train()(batch["image"]), batch["label"], weight=weight)
    assert losses["none"] == pytest.approx(diagnosis.item(), rel=1e-5)
    # A head of zeros is undecided, at every position: log 2, times the weight.
    assert losses["image"] - losses["none"] == pytest.approx(3 * np.log(2), rel=1e-4)
    assert losses["region"] - losses["none"] == pytest.approx(5 * np.log(2), rel=1e-4)
    assert losses["both"] - losses["none"] == pytest.approx(8 * np.log(2), rel=1e-4)


def test_the_auxiliary_checkpoint_is_chosen_with_the_axes(settings_with, cohort, run):
    settings = settings_with("training.auxiliary.epochs=4", "training.auxiliary.learning_rate=0.02")
    train_auxiliary(settings, cohort, run=run, tracker=Silent())
    assert_chosen_with_the_axes(recorded(run), AUXILIARY, epochs=4)


def assert_chosen_with_the_axes(content, phase, *, epochs):
    history = content["history"][phase]
    scores = [(epoch["macro_auc"] + epoch["axis_auc"]) / 2 for epoch in history]
    assert len(scores) == epochs
    assert content["best_epoch"][phase] == 1 + int(np.argmax(scores))


# The whitened phase


def whitened_run(settings, cohort, run):
    train_plain(settings, cohort, run=run, tracker=Silent())
    train_whitened(settings, cohort, run=run, tracker=Silent())
    return load_model(run.path / MODEL)


def test_alignment_sees_all_training_images_and_no_other(settings_with, cohort, run):
    network, description = whitened_run(settings_with("training.whitened_epochs=0"), cohort, run)
    report = recorded(run)["alignment"]["norm.whitening"]
    assert report["positives"] == {"streaks": 5}
    assert report["negatives"] == {"streaks": 7}
    assert report["positions"] == 12 * 8 * 8
    assert report["regions"] == {"streaks": 5 * 2 * 8}
    batch = images_of(settings_with(), cohort, description, Part.TRAIN)
    with torch.no_grad():
        x = network.norm.module(network.conv(batch["image"]))
    torch.testing.assert_close(network.norm.whitening.mean, x.mean(dim=(0, 2, 3)), atol=1e-5, rtol=1e-5)
    assert "history" not in recorded(run) or "whitened" not in recorded(run)["history"]


def test_the_axis_finds_the_planted_concept_in_images_that_nobody_aligned_with(settings_with, cohort, run):
    network, description = whitened_run(settings_with("training.whitened_epochs=0"), cohort, run)
    batch = images_of(settings_with(), cohort, description, Part.VALIDATION)
    with torch.no_grad():
        activations = network.norm.whitening.activations(network.norm.module(network.conv(batch["image"])))
    assert roc_auc_score(batch["concepts"][:, 0], activations[:, 0]) == 1.0


def test_insertion_change_is_the_largest_difference_of_validation_logits(settings_with, cohort, run):
    settings = settings_with("training.whitened_epochs=0", "training.learning_rate=0.05")
    network, description = whitened_run(settings, cohort, run)
    plain, _ = load_model(run.path / PLAIN)
    batch = images_of(settings, cohort, description, Part.VALIDATION)
    images = batch["image"].to(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = float((network(images) - plain(images)).abs().max())
    change = recorded(run)["insertion_change"]
    assert 0 < change < 1e-4
    assert change == pytest.approx(expected, abs=2e-7)


def test_a_replaced_layer_has_no_insertion_change(settings_with, cohort, run):
    settings = settings_with("model.placement=replace", "training.whitened_epochs=0")
    _, description = whitened_run(settings, cohort, run)
    assert "insertion_change" not in recorded(run)
    assert description.whitening.placement == "replace"


def test_the_whitened_checkpoint_is_chosen_with_the_axes_of_validation_images(settings_with, cohort, run):
    settings = settings_with("training.whitened_epochs=4", "training.whitened_learning_rate=0.02")
    network, description = whitened_run(settings, cohort, run)
    content = recorded(run)
    assert_chosen_with_the_axes(content, "whitened", epochs=4)
    batch = images_of(settings, cohort, description, Part.VALIDATION)
    with torch.no_grad():
        activations = network.norm.whitening.activations(network.norm.module(network.conv(batch["image"])))
    best = content["history"]["whitened"][content["best_epoch"]["whitened"] - 1]
    assert best["axis_auc"] == pytest.approx(roc_auc_score(batch["concepts"][:, 0], activations[:, 0]))


@pytest.mark.parametrize("balance", [Balance.NONE, Balance.WEIGHTS])
def test_class_weights_enter_the_loss_of_the_whitened_phase_where_asked(settings_with, cohort, run, balance):
    settings = settings_with(f"training.balance={balance}", f"training.whitened_learning_rate={STILL}")
    train_plain(settings, cohort, run=run, tracker=Silent())
    train_whitened(settings, cohort, run=run, tracker=Silent())
    network, description = load_model(run.path / MODEL)
    batch = images_of(settings, cohort, description, Part.TRAIN)
    weight = torch.tensor([2.0, 2 / 3]) if balance is Balance.WEIGHTS else None
    expected = nn.functional.cross_entropy(network.train()(batch["image"]), batch["label"], weight=weight)
    assert recorded(run)["history"]["whitened"][0]["loss"] == pytest.approx(expected.item(), rel=1e-3)


def test_the_concept_loss_is_added_in_the_whitened_phase(settings_with, cohort, run):
    losses = []
    for weight in (0, 2, 4):
        settings = settings_with(f"training.concept_loss.weight={weight}", f"training.whitened_learning_rate={STILL}")
        folder = made_run(run.path / str(weight))
        whitened_run(settings, cohort, folder)
        losses.append(recorded(folder)["history"]["whitened"][0]["loss"])
    assert losses[1] > losses[0]
    assert losses[2] - losses[0] == pytest.approx(2 * (losses[1] - losses[0]), rel=1e-3)


@pytest.mark.parametrize(("evaluation", "factor"), [("expected", 0.25), ("whole", 1.0)])
def test_the_readout_takes_up_how_often_free_axes_were_dropped(settings_with, cohort, run, evaluation, factor):
    readouts = []
    for probability in (0, 0.75):
        settings = settings_with(
            f"training.whitened_learning_rate={STILL}",
            f"training.free_axis_dropout={probability}",
            f"training.free_axes_in_evaluation={evaluation}",
        )
        folder = made_run(run.path / str(probability))
        readouts.append(whitened_run(settings, cohort, folder)[0].norm.readout.weight.detach())
    torch.testing.assert_close(readouts[1][:, :1], readouts[0][:, :1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(readouts[1][:, 1:], factor * readouts[0][:, 1:], atol=1e-5, rtol=1e-4)


def test_axes_are_aligned_again_after_training(settings_with, cohort, run):
    settings = settings_with("training.whitened_learning_rate=0.05")
    network, description = whitened_run(settings, cohort, run)
    batch = images_of(settings, cohort, description, Part.TRAIN)
    with torch.no_grad():
        x = network.norm.module(network.conv(batch["image"]))
    assert network.norm.whitening.residual(x) < 1e-3


@pytest.mark.parametrize("start", ["plain", "auxiliary"])
def test_whitening_starts_from_the_network_asked_for(settings_with, cohort, run, start):
    settings = settings_with(
        "training.whitened_epochs=0",
        "training.auxiliary.epochs=1",
        "training.auxiliary.learning_rate=0.02",
        f"training.whitened_from={start}",
    )
    for phase in (train_plain, train_auxiliary, train_whitened):
        phase(settings, cohort, run=run, tracker=Silent())
    origin, model = parameters(run.path / start), parameters(run.path / MODEL)
    assert torch.equal(model["conv.weight"], origin["conv.weight"])
    assert not any(name.startswith("concept_head") for name in model)


def test_the_model_says_where_its_layer_is_and_whose_axes_are_first(settings_with, cohort):
    settings = settings_with("model.placement=replace", "model.further_layers=[conv]", "model.activation=max")
    whitening = whitening_of(settings.model, settings.concepts, cohort.concepts)
    assert (whitening.layer, whitening.further_layers) == ("norm", ("conv",))
    assert (whitening.concepts, whitening.activation.value) == (("streaks",), "max")
    asked = settings_with("concepts.subspaces={streaks: {free: 2}}", "model.layer=conv")
    whitening = whitening_of(asked.model, asked.concepts, cohort.concepts)
    assert (whitening.layer, whitening.subspaces[0].free) == ("conv", 2)


# What is refused before anything is trained


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.architecture=vgg", "'vgg' is not known"),
        ("model.layer=nowhere", "no such module"),
        ("model.layer=classifier.weight", "no such module"),
        ("model.frozen=[stem]", "no module 'stem'"),
        ("training.batch_size=13", "13 but there are 12 training images"),
    ],
)
def test_what_cannot_work_is_refused_before_training(settings_with, cohort, override, message):
    with pytest.raises(SettingsError, match=message):
        check_model(settings_with(override), cohort)


def test_weights_of_another_network_are_refused_before_training(settings_with, cohort, tmp_path):
    save_file({"conv.weight": torch.zeros(9, 3, 4, 4)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="another network"):
        check_model(settings_with(f"model.weights={tmp_path / 'other.safetensors'}"), cohort)


def test_what_can_work_is_not_refused(settings_with, cohort):
    check_model(settings_with(), cohort)


# Batches


def test_training_batches_carry_concepts_and_regions_only_where_asked(settings_with, cohort):
    settings = settings_with()
    _, description = initial(settings, cohort)
    (plain,) = training_loader(settings, cohort, description, with_concepts=False)
    (full,) = training_loader(settings, cohort, description, with_concepts=True)
    assert plain.keys() == {"image", "label", "index"}
    assert full.keys() == {"image", "label", "index", "concepts", "regions"}
    (aligning,) = alignment_loader(settings, cohort, description)
    assert aligning.keys() == full.keys()
    assert aligning["index"].tolist() == list(range(12))


@pytest.mark.parametrize("rank", [0, 1])
def test_each_process_loads_its_share(settings_with, cohort, monkeypatch, rank):
    monkeypatch.setattr("pipeline.models.inputs.idist.get_rank", lambda: rank)
    monkeypatch.setattr("pipeline.models.inputs.idist.get_world_size", lambda: 2)
    settings = settings_with()
    _, description = initial(settings, cohort)
    aligning = [index for batch in alignment_loader(settings, cohort, description) for index in batch["index"].tolist()]
    assert aligning == list(range(rank, 12, 2))
    (batch,) = training_loader(settings, cohort, description, with_concepts=False)
    assert len(batch["index"]) == 6
    everything = evaluation_loader(settings, cohort, description, cohort.part(Part.TEST))
    assert [index for batch in everything for index in batch["index"].tolist()] == list(range(4))
