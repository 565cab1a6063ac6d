"""A run is evaluated as its settings, its cohort and its record say."""

import csv
import io
from math import isnan
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from fake_evaluation import made_evaluation
from fake_explanation import made_record
from fakes import made_samples
from torch import nn

from concepts.example import ConceptEntry, Example, MaskFile, Polarity
from concepts.release import freeze
from concepts.statistics.bootstrap import group_weights
from pipeline.choices import Activation
from pipeline.config import parse_overrides
from pipeline.data.cohort import Cohort
from pipeline.data.splits import Part, Split
from pipeline.evaluation import evaluate
from pipeline.evaluation.evaluate import evaluate_run, predictions_table
from pipeline.evaluation.evaluation_data import evaluated_parts
from pipeline.evaluation.network_outputs import PooledOutputs
from pipeline.models.concept_head import put_head
from pipeline.results.evaluation import Evaluation
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Silent
from pipeline.run.seeds import Stream, random_generator
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.subspaces import AxisLayout, Subspace

CLASSES, CONCEPT = ("melanoma", "nevus"), "streaks"
SIZES = {Part.TRAIN: 24, Part.VALIDATION: 8, Part.TEST: 16}
SEED, RESAMPLES = 5, 100
WEIGHTS = {"plain": 1.0, "auxiliary": 2.0, "model": -1.0}


def made_cohort() -> Cohort:
    """Every second image a melanoma; streaks in pairs of images; two images a patient; parts are interleaved."""
    queue = [part for part, size in SIZES.items() for _ in range(size)]
    order = np.random.default_rng(0).permutation(len(queue))
    samples = made_samples([CLASSES[row % 2] for row in range(len(queue))])
    parts = {samples[row].image_id: queue[position] for position, row in enumerate(order)}
    numbers = dict.fromkeys(Part, 0)
    groups = {}
    examples = []
    for row, sample in enumerate(samples):
        part = parts[sample.image_id]
        groups[sample.image_id] = f"patient:{part}{numbers[part] // 2}"
        numbers[part] += 1
        shows = row % 4 < 2
        examples.append(
            Example(
                image_id=sample.image_id,
                image_digest=sample.digest,
                concept=CONCEPT,
                polarity=Polarity.PRESENT if shows else Polarity.ABSENT,
                region=MaskFile(path=f"{sample.image_id}.png", digest="0" * 64) if shows else None,
                provenance="hand-made",
            )
        )
    entry = ConceptEntry(id=CONCEPT, name="Streaks", definition="Lines.", origin="planted")
    release = freeze("made", 1, concepts=[entry], examples=examples)
    return Cohort(
        samples=samples,
        classes=CLASSES,
        split=Split(parts, groups),
        release=release,
        concepts=(CONCEPT,),
        root=Path("masks"),
        cache=None,
        unmarked_is_absent=False,
    )


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return made_cohort()


@pytest.mark.parametrize("part", list(Part))
def test_each_part_has_its_own_images_with_all_that_is_known_of_them(cohort, part):
    data = getattr(evaluated_parts(cohort, seed=SEED, resamples=RESAMPLES), str(part))
    rows = [row for row, sample in enumerate(cohort.samples) if cohort.split.parts[sample.image_id] is part]
    assert data.part is part
    assert len(data) == SIZES[part]
    assert data.image_ids == [f"image_{row:03d}" for row in rows]
    assert data.labels.tolist() == [row % 2 for row in rows]
    assert data.concept_labels.tolist() == [[float(row % 4 < 2)] for row in rows]
    assert data.groups == tuple(f"patient:{part}{number // 2}" for number in range(SIZES[part]))
    assert data.regions == tuple((Path(f"masks/image_{row:03d}.png") if row % 4 < 2 else None,) for row in rows)
    assert (data.classes, data.concepts, data.positives) == (CLASSES, (CONCEPT,), [sum(row % 4 < 2 for row in rows)])


@pytest.mark.parametrize("part", list(Part))
def test_each_part_is_resampled_by_its_groups_and_the_runs_seed(cohort, part):
    data = getattr(evaluated_parts(cohort, seed=SEED, resamples=RESAMPLES), str(part))
    generator = random_generator(SEED, Stream.BOOTSTRAP)
    assert (data.seed, data.resamples) == (SEED, RESAMPLES)
    np.testing.assert_array_equal(data.weights, group_weights(data.groups, resamples=RESAMPLES, generator=generator))
    np.testing.assert_array_equal(data.weights[:, 0], data.weights[:, 1])
    other = getattr(evaluated_parts(cohort, seed=SEED + 1, resamples=RESAMPLES), str(part))
    assert not np.array_equal(data.weights, other.weights)


class Linear(nn.Module):
    """Maps as they are, and a classifier of all their positions."""

    def __init__(self, layer: nn.Module, weight: float) -> None:
        super().__init__()
        self.layer, self.read = layer, nn.Linear(8, 2, bias=False)
        self.read.weight.data = torch.zeros(2, 8)
        self.read.weight.data[0, 0] = weight

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.read(self.layer(images).flatten(1))


def loaded(stem: Path) -> tuple[nn.Module, SimpleNamespace]:
    """The network of a stem: its logit of melanoma is its own multiple of the first corner."""
    layer = nn.Conv2d(2, 2, 1, bias=False)
    layer.weight.data = torch.eye(2)[:, :, None, None]
    if stem.name == "model":
        layer = ConceptWhitening(2, (CONCEPT,), activation=Activation.MEAN, eps=0.0)
    network = Linear(layer, WEIGHTS[stem.name])
    if stem.name == "auxiliary":
        put_head(network, "layer", (CONCEPT,), activation=Activation.MAX)
    return network.eval(), SimpleNamespace(whitening=SimpleNamespace(layer="layer"))


@pytest.fixture
def evaluated(cohort, tmp_path, monkeypatch):
    """Evaluate a run with these overrides; return the run, and what the driver gave to whom."""

    def evaluated(*overrides: str, change: float | None = 0.25) -> tuple[RunFolder, Mock, Mock]:
        run = RunFolder(tmp_path)
        run.write(made_record(insertion_change=change))
        gather, figures = Mock(wraps=evaluate.gather_outputs), Mock(return_value=made_evaluation())
        monkeypatch.setattr(evaluate, "load_model", loaded)
        monkeypatch.setattr(evaluate, "evaluation_loader", lambda *given: batches(given[-1]))
        monkeypatch.setattr(evaluate, "gather_outputs", gather)
        monkeypatch.setattr(evaluate, "evaluation", figures)
        settings = parse_overrides([f"seed={SEED}", f"evaluation.resamples={RESAMPLES}", *overrides])
        evaluate_run(settings, cohort, run=run, tracker=Silent())
        return run, gather, figures

    return evaluated


def images_of(samples) -> torch.Tensor:
    """Noise by the number of the image, the first corner brighter in melanomas."""
    generators = [torch.Generator().manual_seed(int(sample.image_id.split("_")[1])) for sample in samples]
    images = torch.stack([torch.randn(2, 2, 2, generator=generator) for generator in generators])
    images[:, 0, 0, 0] += torch.tensor([float(sample.diagnosis == "melanoma") for sample in samples])
    return images


def batches(samples) -> list[dict[str, torch.Tensor]]:
    return [{"image": part} for part in images_of(samples).split(5)]


def melanoma_column(run: RunFolder, network: str) -> list[float]:
    rows = csv.DictReader(io.StringIO(run.file("predictions.csv").read_text(encoding="utf-8")))
    return [float(row[f"{network}_melanoma"]) for row in rows]


def test_predictions_are_of_the_stored_networks_on_test_images(evaluated, cohort):
    run, _, figures = evaluated()
    corners = images_of(cohort.part(Part.TEST))[:, 0, 0, 0].double()
    for network, stem in (("plain", "plain"), ("whitened", "model")):
        expected = torch.sigmoid(WEIGHTS[stem] * corners)
        assert melanoma_column(run, network) == pytest.approx(expected.tolist(), abs=2e-6)
    assert run.read(Evaluation) == made_evaluation()
    _, parts, _ = figures.call_args.args
    assert parts.test.image_ids == [sample.image_id for sample in cohort.part(Part.TEST)]
    assert (parts.train.seed, parts.train.resamples) == (SEED, RESAMPLES)


@pytest.mark.parametrize(("turns", "activation"), [(1, Activation.MEAN), (2, Activation.MAX), (4, Activation.POOL_MAX)])
def test_turns_and_pooling_are_the_settings(evaluated, turns, activation):
    _, gather, figures = evaluated(f"model.turns={turns}", f"model.activation={activation}")
    assert gather.call_args.kwargs["turns"] == turns
    assert gather.call_args.kwargs["activation"] is activation
    outputs, _, layer = figures.call_args.args
    assert layer.activation is activation
    assert set(outputs.plain.activations) == {Activation.MEAN, activation}


def test_the_layer_is_described_as_the_settings_have_it(evaluated):
    subspaces = "concepts.subspaces={streaks: {free: 1}}"
    _, _, figures = evaluated("model.placement=replace", "concepts.minimum_positives=7", subspaces)
    *_, layer = figures.call_args.args
    assert (layer.name, layer.placement, layer.minimum) == ("layer", "replace", 7)
    assert layer.layout == AxisLayout((CONCEPT,), (Subspace(CONCEPT, (), 1),))


@pytest.mark.parametrize("epochs", [0, 1])
def test_an_auxiliary_network_is_measured_where_it_was_trained(evaluated, cohort, epochs):
    _, _, figures = evaluated(f"training.auxiliary.epochs={epochs}")
    auxiliary = figures.call_args.args[0].auxiliary
    assert (auxiliary is None) is (epochs == 0)
    if auxiliary is not None:
        corners = images_of(cohort.part(Part.TEST))[:, 0, 0, 0].double()
        np.testing.assert_allclose(auxiliary.probabilities[:, 0], torch.sigmoid(2 * corners), atol=1e-6)


@pytest.mark.parametrize("change", [0.0, 0.25, None])
def test_the_insertion_change_is_the_records_and_unknown_where_it_has_none(evaluated, change):
    *_, figures = evaluated(change=change)
    measured = figures.call_args.args[2].insertion_change
    assert isnan(measured) if change is None else measured == change


def test_predictions_have_six_decimals(cohort):
    test = evaluated_parts(cohort, seed=SEED, resamples=RESAMPLES).test
    thirds = PooledOutputs(probabilities=np.tile([1 / 3, 2 / 3], (len(test), 1)), activations={})
    table = predictions_table(SimpleNamespace(plain=thirds, whitened=thirds), test)
    assert table.splitlines()[1].split(",")[2:] == ["0.333333", "0.666667"] * 2
