"""Every figure of an evaluation is of the network, the part, the pooling and the resamples that its name says."""

import csv
import io
from dataclasses import replace
from math import isnan, nan

import numpy as np
import pytest
from fakes import made_data, made_samples
from sklearn.metrics import roc_auc_score

from concepts.statistics.bootstrap import auc
from concepts.statistics.estimate import Estimate
from pipeline.choices import Activation
from pipeline.data.splits import Part
from pipeline.evaluation.axes import axes_by_layer, baseline_scores, named_axes
from pipeline.evaluation.baselines import Probe, linear_probe
from pipeline.evaluation.ceiling import concept_only
from pipeline.evaluation.diagnosis import auc_difference, diagnosis_figures
from pipeline.evaluation.evaluate import (
    EvaluatedLayer,
    cohort_counts,
    compared_networks,
    evaluation,
    grouping,
    predictions_table,
)
from pipeline.evaluation.evaluation_data import EvaluatedParts
from pipeline.evaluation.network_outputs import AuxiliaryOutputs, NetworkOutputs, PooledOutputs
from pipeline.results.evaluation import Evaluation, Residual
from pipeline.results.result import parse_result
from pipeline.whitening.subspaces import AxisLayout, Subspace

CLASSES = ("melanoma", "nevus")
CONCEPTS = ("streaks", "globules")
POOLING = Activation.POOL_MAX
"""The pooling of the run; others are made to give other figures."""
SIZES = {Part.TRAIN: 160, Part.VALIDATION: 40, Part.TEST: 120}
RESIDUAL = Residual(train=Estimate(0.01, 0.005, 0.02, 160), test=Estimate(0.2, 0.1, 0.3, 120))


def made_part(part: Part):
    """Two images a group; globules follow the diagnosis with errors, streaks are drawn anew."""
    generator = np.random.default_rng(list(Part).index(part))
    count = SIZES[part]
    labels = generator.integers(2, size=count)
    streaks = generator.integers(2, size=count)
    globules = np.where(generator.random(count) < 0.25, labels, 1 - labels)
    diagnoses = [CLASSES[label] for label in labels]
    women = generator.random(count) < 0.5
    samples = tuple(
        replace(sample, sex="female" if woman else "male")
        for sample, woman in zip(made_samples(diagnoses, prefix=str(part)), women, strict=True)
    )
    return made_data(
        diagnoses,
        np.stack([streaks, globules], axis=1),
        part=part,
        concepts=CONCEPTS,
        samples=samples,
        groups=[f"patient:{part}{row // 2}" for row in range(count)],
        resamples=60,
    )


@pytest.fixture(scope="module")
def parts():
    return EvaluatedParts(**{str(part): made_part(part) for part in Part})


def guesses(part, skill: float, seed: int):
    generator = np.random.default_rng(seed)
    logit = generator.normal(size=len(part)) + skill * (1 - 2 * part.labels)
    melanoma = 1 / (1 + np.exp(-logit))
    return np.stack([melanoma, 1 - melanoma], axis=1)


def activations_of(labels, *, skill: float, channels: int, seed: int):
    """The first axes follow the concepts with this skill, the others nothing."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(len(labels), channels))
    noise[:, : labels.shape[1]] += skill * labels
    return noise


@pytest.fixture(scope="module")
def outputs(parts):
    """Features of the plain network rise with the concepts in training and fall with them on test images."""
    test, train = parts.test, parts.train
    poolings = {how: number for number, how in enumerate(Activation)}
    return NetworkOutputs(
        plain=PooledOutputs(
            probabilities=guesses(test, 0.4, 1),
            activations={
                how: activations_of(test.concept_labels, skill=-2.0, channels=5, seed=10 + poolings[how])
                for how in (Activation.MEAN, POOLING)
            },
        ),
        whitened=PooledOutputs(
            probabilities=guesses(test, 1.2, 2),
            activations={
                how: activations_of(test.concept_labels, skill=0.5 + number, channels=6, seed=20 + number)
                for how, number in poolings.items()
            },
        ),
        auxiliary=AuxiliaryOutputs(
            probabilities=guesses(test, 2.5, 3),
            concepts=activations_of(test.concept_labels, skill=0.8, channels=2, seed=30),
        ),
        train_features={
            how: activations_of(train.concept_labels, skill=2.0, channels=5, seed=40 + poolings[how])
            for how in (Activation.MEAN, POOLING)
        },
        residual=RESIDUAL,
        layers={
            "low": activations_of(test.concept_labels, skill=0.3, channels=2, seed=50),
            "high": activations_of(test.concept_labels, skill=1.5, channels=2, seed=51),
        },
    )


LAYER = EvaluatedLayer(
    name="layer3",
    placement="insert",
    activation=POOLING,
    layout=AxisLayout(CONCEPTS),
    insertion_change=2e-6,
    minimum=40,
)


@pytest.fixture(scope="module")
def result(outputs, parts):
    return evaluation(outputs, parts, LAYER)


def quick_axes(outputs, parts, *, layout=LAYER.layout, minimum=LAYER.minimum):
    """The named axes with training images of one group, where there is no strength of a probe to choose."""
    train = replace(parts.train, groups=("patient:1",) * len(parts.train))
    return named_axes(outputs, replace(parts, train=train), layout, activation=POOLING, minimum=minimum)


def test_what_is_written_reads_back_the_same(result):
    text = result.to_text()
    assert parse_result(Evaluation, text, "runs/a/evaluation.json").to_text() == text


@pytest.mark.parametrize("network", ["plain", "whitened", "auxiliary"])
def test_each_networks_figures_are_its_own_on_the_test_images_and_their_resamples(result, outputs, parts, network):
    test = parts.test
    figures = getattr(result.diagnosis, network)
    probabilities = getattr(outputs, network).probabilities
    assert figures == diagnosis_figures(probabilities, test.labels, classes=CLASSES, weights=test.weights)
    expected = roc_auc_score(test.labels == 0, probabilities[:, 0])
    assert figures.auc["melanoma"].value == figures.auc["macro"].value == pytest.approx(expected)
    assert figures.auc["macro"].low < expected < figures.auc["macro"].high


def test_the_difference_is_whitened_minus_plain(result, outputs, parts):
    difference = result.diagnosis.difference
    gain = result.diagnosis.whitened.auc["macro"].value - result.diagnosis.plain.auc["macro"].value
    assert difference.value == pytest.approx(gain)
    assert difference.value > 0.1
    assert difference == auc_difference(
        outputs.whitened.probabilities,
        outputs.plain.probabilities,
        parts.test.labels,
        classes=CLASSES,
        weights=parts.test.weights,
    )


def test_a_run_without_an_auxiliary_network_has_no_figures_of_it(outputs, parts):
    without = replace(outputs, auxiliary=None)
    assert compared_networks(without, parts.test).auxiliary is None
    axes = quick_axes(without, parts)
    assert set(axes.purity["streaks"].baselines.computed) == {"probe", "best_filter", "svm"}
    assert set(axes.mean.baselines.computed) == {"probe", "best_filter", "svm"}


@pytest.mark.parametrize("how", list(Activation))
@pytest.mark.parametrize("column", [0, 1])
def test_an_axis_is_measured_by_every_pooling_on_the_runs_resamples(result, outputs, parts, how, column):
    scores, labels = outputs.whitened.activations[how][:, column], parts.test.concept_labels[:, column]
    figure = result.axes.purity[CONCEPTS[column]].axis_auc[str(how)]
    assert figure == auc(scores, labels, parts.test.weights).estimate()
    assert figure.value == pytest.approx(roc_auc_score(labels, scores))
    assert figure.low < figure.value < figure.high or how is POOLING


def test_means_are_over_the_concepts(result):
    mean, purity = result.axes.mean, result.axes.purity.values()
    for how in Activation:
        expected = np.mean([concept.axis_auc[str(how)].value for concept in purity])
        assert mean.axis_auc[str(how)].value == pytest.approx(expected)
    for name, figure in mean.baselines.computed.items():
        assert figure.value == pytest.approx(np.mean([concept.baselines.computed[name].value for concept in purity]))
        assert figure.low <= figure.value <= figure.high
    assert set(mean.baselines.computed) == {"probe", "best_filter", "svm", "concept_head"}


def test_probes_and_filters_learn_from_training_images_alone(result):
    """On test images the features fall with the concepts, so what learnt from training images is wrong there."""
    for concept in result.axes.purity.values():
        assert concept.baselines.probe.value < 0.3
        assert concept.baselines.svm.value < 0.3
        assert concept.baselines.best_filter.value < 0.3


def test_the_two_probes_are_two(outputs, parts):
    train = replace(parts.train, groups=("patient:1",) * len(parts.train))
    scores = baseline_scores(outputs, train, POOLING)
    assert list(scores) == ["probe", "best_filter", "svm", "concept_head"]
    features = (
        outputs.train_features[Activation.MEAN],
        train.concept_labels,
        outputs.plain.activations[Activation.MEAN],
    )
    for name, kind in (("probe", Probe.LOGISTIC), ("svm", Probe.SVM)):
        np.testing.assert_array_equal(scores[name], linear_probe(*features, train_groups=train.groups, kind=kind))
    assert not np.allclose(scores["probe"], scores["svm"])
    axes = quick_axes(outputs, parts)
    for column, concept in enumerate(CONCEPTS):
        for name, figure in axes.purity[concept].baselines.computed.items():
            labels = parts.test.concept_labels[:, column]
            assert figure == auc(scores[name][:, column], labels, parts.test.weights).estimate()
    assert axes.mean.baselines.probe != axes.mean.baselines.svm


def test_the_best_filter_is_of_the_runs_pooling_and_the_probe_of_the_mean(outputs, parts):
    labels, weights = parts.test.concept_labels[:, 0], parts.test.weights
    baselines = quick_axes(outputs, parts).purity["streaks"].baselines
    assert baselines.best_filter == auc(outputs.plain.activations[POOLING][:, 0], labels, weights).estimate()
    flipped = {Activation.MEAN: -outputs.train_features[Activation.MEAN], POOLING: outputs.train_features[POOLING]}
    changed = quick_axes(replace(outputs, train_features=flipped), parts).purity["streaks"].baselines
    assert changed.probe.value == pytest.approx(1 - baselines.probe.value)
    assert changed.best_filter == baselines.best_filter


def test_the_concept_head_is_measured_like_an_axis(result, outputs, parts):
    scores, labels = outputs.auxiliary.concepts[:, 1], parts.test.concept_labels[:, 1]
    expected = auc(scores, labels, parts.test.weights).estimate()
    assert result.axes.purity["globules"].baselines.concept_head == expected


def test_counts_are_of_test_and_training_images(result, parts):
    purity = result.axes.purity["streaks"]
    streaks = parts.test.concept_labels[:, 0]
    assert (purity.positives, purity.negatives) == ((streaks == 1).sum(), (streaks == 0).sum())
    assert purity.train_positives == (parts.train.concept_labels[:, 0] == 1).sum()
    assert purity.reason is None


def test_the_matrix_is_of_named_axes_by_the_runs_pooling(result, outputs, parts):
    matrix = np.array(result.axes.matrix.auc)
    assert result.axes.matrix.concepts == CONCEPTS
    assert matrix.shape == (2, 2)
    for axis in range(2):
        for concept in range(2):
            scores = outputs.whitened.activations[POOLING][:, axis]
            assert matrix[axis, concept] == pytest.approx(roc_auc_score(parts.test.concept_labels[:, concept], scores))


def test_a_thin_concept_gets_no_figure_anywhere(outputs, parts):
    labels = parts.train.concept_labels.copy()
    labels[:, 0] = 0
    labels[:39, 0] = 1
    thin = replace(parts, train=replace(parts.train, concept_labels=labels))
    axes = quick_axes(outputs, thin)
    purity = axes.purity["streaks"]
    assert purity.reason == "39 training positives, fewer than the 40 below which an axis is not stable"
    assert all(isnan(figure.value) for figure in purity.axis_auc.values())
    assert all(isnan(figure.value) for figure in purity.baselines.computed.values())
    assert all(isnan(row[0]) and not isnan(row[1]) for row in axes.matrix.auc)
    assert axes.mean.axis_auc[str(POOLING)].value == axes.purity["globules"].axis_auc[str(POOLING)].value
    assert axes.mean.baselines.probe.value == axes.purity["globules"].baselines.probe.value
    layer = axes_by_layer(outputs.layers, thin, minimum=40)["low"]
    assert isnan(layer.axis_auc["streaks"].value)
    assert layer.mean.value == layer.axis_auc["globules"].value
    assert quick_axes(outputs, thin, minimum=39).purity["streaks"].reason is None
    assert not isnan(axes_by_layer(outputs.layers, thin, minimum=39)["low"].axis_auc["streaks"].value)


def test_similarity_is_of_all_axes_by_their_mean(result, outputs, parts):
    features, shown = outputs.whitened.activations[Activation.MEAN], parts.test.concept_labels[:, 0] == 1
    unit = features[shown] / np.linalg.norm(features[shown], axis=1, keepdims=True)
    count = len(unit)
    expected = ((unit @ unit.T).sum() - count) / (count * (count - 1))
    similarity = result.axes.similarity
    assert similarity.intra["streaks"].value == pytest.approx(expected)
    assert similarity.intra["streaks"].n == count
    assert similarity.inter["streaks"]["streaks"] == pytest.approx(expected)
    assert similarity.inter["streaks"]["globules"] == pytest.approx(similarity.inter["globules"]["streaks"])


def test_layers_are_measured_each_by_its_own_activations(result, outputs, parts):
    assert list(result.whitening.layers) == ["low", "high"]
    for name, layer in result.whitening.layers.items():
        figures = [
            auc(outputs.layers[name][:, column], parts.test.concept_labels[:, column], parts.test.weights)
            for column in range(2)
        ]
        assert [layer.axis_auc[concept] for concept in CONCEPTS] == [figure.estimate() for figure in figures]
        assert layer.mean.value == pytest.approx(np.mean([figure.value for figure in figures]))
        assert layer.mean.low < layer.mean.value < layer.mean.high


def test_the_layer_is_described_as_it_is(result):
    whitening = result.whitening
    facts = (whitening.layer, whitening.placement, whitening.activation, whitening.channels)
    assert facts == ("layer3", "insert", "pool_max", 6)
    assert whitening.insertion_change == 2e-6
    assert whitening.residual == RESIDUAL


def test_subspaces_are_measured_where_concepts_own_them(outputs, parts, result):
    assert result.axes.subspaces == {}
    labels = parts.test.concept_labels.copy()
    labels[labels[:, 0] == 0, 1] = 0
    nested = replace(parts, test=replace(parts.test, concept_labels=labels))
    layout = AxisLayout(CONCEPTS, (Subspace("streaks", ("globules",), free=1),))
    subspace = quick_axes(outputs, nested, layout=layout).subspaces["streaks"]
    inside = labels[:, 0] == 1
    child = subspace.children["globules"]
    for figure, axis in ((child.sibling_auc, 1), (child.parent_axis_auc, 0)):
        scores = outputs.whitened.activations[POOLING][inside, axis]
        expected = auc(scores, labels[inside, 1], parts.test.weights[:, inside]).estimate()
        assert figure == expected
    assert child.positives == (labels[inside, 1] == 1).sum()
    assert child.negatives == (labels[inside, 1] == 0).sum()
    assert (subspace.free, subspace.leak) == (1, None)
    thin = quick_axes(outputs, nested, layout=layout, minimum=1000).subspaces["streaks"]
    assert "training positives" in thin.children["globules"].reason


def test_subgroups_are_of_the_whitened_network_on_the_runs_resamples(result, outputs, parts):
    test = parts.test
    women = np.array([sample.sex == "female" for sample in test.samples])
    female = result.subgroups.subgroups["sex"]["female"]
    scores = outputs.whitened.probabilities[women, 0]
    expected = auc(scores, test.labels[women] == 0, test.weights[:, women]).estimate()
    assert female.auc["melanoma"] == expected
    assert female.images == women.sum()
    assert female.groups == len({group for group, woman in zip(test.groups, women, strict=True) if woman})
    assert result.subgroups.unknown["age"] == len(test)


def test_labels_alone_are_measured_over_all_parts_and_against_the_whitened_network(result, parts):
    labels = result.concept_only
    assert (labels.images, labels.left_out) == (sum(SIZES.values()), 0)
    assert labels.test.network.value == pytest.approx(result.diagnosis.whitened.auc["macro"].value)
    assert labels.test.network.low == result.diagnosis.whitened.auc["macro"].low
    assert labels.test.difference.value == pytest.approx(labels.test.network.value - labels.test.logistic.value)
    assert labels.ceiling.profiles == 4
    assert labels.ceiling.accuracy.n == labels.logistic.macro_auc.n == 320
    assert labels.test.logistic.n == 120
    globules = np.concatenate([part.concept_labels[:, 1] for part in (parts.train, parts.validation, parts.test)])
    diagnoses = np.concatenate([part.labels for part in (parts.train, parts.validation, parts.test)])
    agreement = max(np.mean(globules == diagnoses), np.mean(globules != diagnoses))
    has_globules = parts.test.concept_labels[:, 1]
    assert labels.test.logistic.value == pytest.approx(roc_auc_score(parts.test.labels == 0, has_globules), abs=0.08)
    assert labels.test.logistic.value > 0.65
    assert labels.ceiling.accuracy.value == pytest.approx(agreement, abs=0.03)


def test_images_whose_labels_are_not_all_known_are_left_out(outputs, parts):
    test, train = parts.test, parts.train
    labels, train_labels = test.concept_labels.copy(), train.concept_labels.copy()
    labels[:20, 1] = nan
    train_labels[5, 0] = nan
    sparse = replace(
        parts, test=replace(test, concept_labels=labels), train=replace(train, concept_labels=train_labels)
    )
    result = concept_only(sparse, outputs.whitened.probabilities)
    assert (result.images, result.left_out) == (299, 21)
    scores = outputs.whitened.probabilities[20:, 0]
    assert result.test.network.value == pytest.approx(roc_auc_score(test.labels[20:] == 0, scores))
    assert result.test.network.n == 100
    labels[:, 1] = nan
    blind = replace(parts, test=replace(test, concept_labels=labels))
    result = concept_only(blind, outputs.whitened.probabilities)
    assert result.test is None
    assert result.logistic is not None


def test_labels_alone_say_nothing_where_a_diagnosis_has_no_complete_image(outputs, parts):
    changed = {}
    for name in ("train", "validation", "test"):
        data = getattr(parts, name)
        labels = data.concept_labels.copy()
        labels[data.labels == 0, 0] = nan
        changed[name] = replace(data, concept_labels=labels)
    result = concept_only(replace(parts, **changed), outputs.whitened.probabilities)
    nevi = sum(int((getattr(parts, name).labels == 1).sum()) for name in changed)
    assert (result.images, result.left_out) == (nevi, 320 - nevi)
    assert result.ceiling is result.logistic is result.test is None


def test_the_cohort_is_counted_by_part_and_diagnosis(parts):
    counts = cohort_counts(parts)
    assert counts.source == "hand-made"
    assert {name: part.images for name, part in counts.parts.items()} == {"train": 160, "validation": 40, "test": 120}
    assert [part.groups for part in counts.parts.values()] == [80, 20, 60]
    melanomas = int((parts.test.labels == 0).sum())
    assert counts.parts["test"].diagnoses == {"melanoma": melanomas, "nevus": 120 - melanomas}
    assert counts.grouped_by == {"patient": 320, "lesion": 0, "near-duplicate": 0, "none": 0}


def test_what_kept_images_together_is_counted_by_image():
    groups = ["patient:1", "patient:1", "lesion:1", "image:a", "image:a", "image:b"]
    assert grouping(groups) == {"patient": 2, "lesion": 1, "near-duplicate": 2, "none": 1}


def test_predictions_have_a_row_for_every_test_image_with_both_networks(outputs, parts):
    rows = list(csv.DictReader(io.StringIO(predictions_table(outputs, parts.test))))
    assert [row["image_id"] for row in rows] == parts.test.image_ids
    assert [row["diagnosis"] for row in rows] == [sample.diagnosis for sample in parts.test.samples]
    for network, pooled in (("plain", outputs.plain), ("whitened", outputs.whitened)):
        for column, diagnosis in enumerate(CLASSES):
            table = [float(row[f"{network}_{diagnosis}"]) for row in rows]
            np.testing.assert_allclose(table, pooled.probabilities[:, column], atol=1e-6)
