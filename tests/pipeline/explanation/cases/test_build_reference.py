"""The reference of a run: each part of it comes from the images that it says it does."""

from dataclasses import replace
from math import isnan

import numpy as np
import pytest
import torch
from fake_cases import made_release
from fake_evaluation import UNKNOWN, made_purity
from fake_networks import MadeNetwork, chance, made_maps, made_outputs
from fakes import made_data

from concepts.example import AgreementEntry, Polarity
from concepts.statistics.estimate import Estimate
from pipeline.choices import Activation
from pipeline.data.splits import Part
from pipeline.explanation.cases.build_reference import (
    FEWEST_WITHOUT,
    ReferenceParts,
    build_reference,
    listed_activations,
)
from pipeline.explanation.cases.calibration import calibrate
from pipeline.explanation.cases.case import summaries
from pipeline.explanation.cases.concept_states import set_thresholds
from pipeline.explanation.cases.reference import Reference, fit_concept_only
from pipeline.explanation.cases.scope import fit_scope
from pipeline.images.measures.quality import MEASURES, Quality

CONCEPTS, CLASSES = ("streaks", "globules"), ("melanoma", "nevus")
FIGURES = {"streaks": Estimate(0.91, 0.85, 0.95, 60), "globules": Estimate(0.72, 0.6, 0.8, 61)}
COUNT, TRAIN = 60, 40
generator = np.random.default_rng(0)
LABELS = (generator.random((COUNT, 2)) < 0.5).astype(float)
LABELS[:3, 1] = np.nan
MEANS = np.column_stack([generator.normal(2 * np.nan_to_num(LABELS)), generator.normal(size=(COUNT, 2))])
DIAGNOSES = [CLASSES[int(value < 1)] for value in generator.normal(MEANS[:, 0])]
TRAIN_LABELS = np.array([[1, 0], [0, 1], [0, np.nan], [np.nan, 0]] * (TRAIN // 4))


def measured(row, column):
    return float(100 * column + 7 * row % COUNT)


def train_data(labels=TRAIN_LABELS):
    diagnoses = ["nevus"] * 7 + ["melanoma"] * (len(labels) - 7)
    return made_data(diagnoses, labels, part=Part.TRAIN, concepts=CONCEPTS)


def listed_of(train, maps, listed, *, batch=7, activation=Activation.MEAN):
    return listed_activations(train, maps.split(batch), np.asarray(listed, dtype=bool), activation=activation)


@pytest.fixture(scope="module")
def parts():
    validation = made_data(DIAGNOSES, LABELS, part=Part.VALIDATION, concepts=CONCEPTS)
    train, maps = train_data(), chance(3)(TRAIN, 4, 2, 2)
    entry = AgreementEntry(
        concept="globules", measure="kappa", value=0.6, low=0.5, high=0.7, n=30, readers=2, threshold=0.4
    )
    return ReferenceParts(
        validation=validation,
        outputs=made_outputs(MadeNetwork([[2.0, 0, 0, 0], [0, 0, 1.0, 0]], CONCEPTS), made_maps(MEANS.tolist())),
        qualities=[Quality(*(measured(row, column) for column in range(len(MEASURES)))) for row in range(COUNT)],
        by_layer={"layer1": MEANS[:, 2:4] + 2 * np.nan_to_num(LABELS)[:, ::-1], "layer2": MEANS[:, :2]},
        widths=(3, 1),
        train=train,
        listed=listed_of(train, maps, np.arange(TRAIN) < 30),
        purity={concept: made_purity(figure, activation="mean") for concept, figure in FIGURES.items()},
        release=made_release({("streaks", "train_000"): Polarity.PRESENT}, CONCEPTS, agreement=(entry,)),
    )


@pytest.fixture(scope="module")
def reference(parts):
    return build_reference(parts, activation=Activation.MEAN)


def test_thresholds_are_of_the_validation_images_axis_by_axis(reference):
    for column, axis in enumerate(reference.axes):
        activations = MEANS[:, column].astype(np.float32).astype(float)
        assert axis.thresholds == set_thresholds(activations, LABELS[:, column])
        assert axis.thresholds.absent_below is not None
        assert list(axis.activations) == pytest.approx(sorted(activations))
    assert reference.axes[0].thresholds != reference.axes[1].thresholds
    assert reference.axes[1].thresholds.positives + reference.axes[1].thresholds.negatives == COUNT - 3


def test_each_layer_has_its_own_thresholds_and_activations(parts, reference):
    for column, axis in enumerate(reference.axes):
        assert [stage.layer for stage in axis.stages] == ["layer1", "layer2"]
        for stage in axis.stages:
            values = parts.by_layer[stage.layer][:, column]
            assert stage.thresholds == set_thresholds(values, LABELS[:, column])
            assert list(stage.activations) == sorted(values)


def test_calibration_is_fitted_on_logits_and_diagnoses_of_the_validation_images(parts, reference):
    logits = parts.outputs.logits.double().numpy()
    assert reference.calibration == calibrate(logits, parts.validation.labels)
    assert reference.calibration != calibrate(logits, parts.validation.labels[::-1])
    assert reference.calibration.n == COUNT


def test_scope_is_of_listed_training_images_and_distances_are_of_validation_images(parts, reference):
    assert reference.scope == fit_scope(parts.listed.means)
    assert len(reference.scope.mean) == 4
    distances = reference.scope.distances(MEANS.astype(np.float32).astype(float))
    assert list(reference.distances) == pytest.approx(sorted(distances), rel=1e-5)


def test_every_measure_is_sorted_by_itself(parts, reference):
    assert list(reference.quality) == list(MEASURES)
    for column, measure in enumerate(MEASURES):
        assert list(reference.quality[measure]) == sorted(measured(row, column) for row in range(COUNT))


def test_what_concepts_alone_say_is_of_the_named_axes(parts, reference):
    activations = parts.outputs.activations(Activation.MEAN)[:, :2]
    assert reference.concept_only == fit_concept_only(activations, parts.validation.labels, classes=2)
    assert reference.concept_only.n == COUNT


def test_reliability_is_that_of_the_axis_by_the_run_s_activation(parts, reference):
    for axis in reference.axes:
        assert (axis.auc, axis.positives, axis.reason) == (FIGURES[axis.concept], 30, None)
    unassessed = {
        "streaks": made_purity(UNKNOWN, activation="mean", reason="12 positives"),
        "globules": parts.purity["globules"],
    }
    first, second = build_reference(replace(parts, purity=unassessed), activation=Activation.MEAN).axes
    assert (first.auc, first.reason) == (None, "12 positives")
    assert second.auc == FIGURES["globules"]
    other = {concept: made_purity(FIGURES["streaks"], activation="max") for concept in CONCEPTS}
    with pytest.raises(KeyError):
        build_reference(replace(parts, purity=other), activation=Activation.MEAN)


def test_agreement_is_of_the_concept_itself(parts, reference):
    assert [axis.agreement for axis in reference.axes] == [None, Estimate(0.6, 0.5, 0.7, 30)]
    entry = parts.release.agreement[0].model_copy(update={"value": None, "low": None, "high": None})
    silent = parts.release.model_copy(update={"agreement": (entry,)})
    figure = build_reference(replace(parts, release=silent), activation=Activation.MEAN).axes[1].agreement
    assert all(isnan(number) for number in (figure.value, figure.low, figure.high))
    assert figure.n == 30
    unread = parts.release.model_copy(update={"agreement": None})
    assert build_reference(replace(parts, release=unread), activation=Activation.MEAN).axes[1].agreement is None


def test_names_widths_and_the_release_are_those_of_the_run(parts, reference):
    assert [axis.name for axis in reference.axes] == ["the streaks", "the globules"]
    assert [axis.evidence_width for axis in reference.axes] == [3, 1]
    assert reference.release == parts.release.digest
    assert (reference.classes, reference.concepts) == (CLASSES, CONCEPTS)
    nameless = made_release({("streaks", "train_000"): Polarity.PRESENT}, ("streaks",))
    assert build_reference(replace(parts, release=nameless), activation=Activation.MEAN).axes[1].name == "globules"


def test_examples_are_the_listed_training_images(parts, reference):
    assert [example.image_id for example in reference.examples] == [f"train_{row:03d}" for row in range(30)]
    for row, example in enumerate(reference.examples):
        assert example.diagnosis == parts.train.samples[row].diagnosis
        assert example.shows == ((("streaks",), ("globules",), (), ())[row % 4])
        assert list(example.activations) == parts.listed.activations[row].tolist()


def test_a_reference_reads_back_as_it_was_written(reference, tmp_path):
    content = reference.model_dump(mode="json")
    assert Reference.model_validate(content) == reference


def test_listed_images_are_read_batch_by_batch():
    train, maps = train_data(), chance(1)(TRAIN, 4, 2, 3)
    listed = np.arange(TRAIN) % 3 == 1
    for batch in (1, 7, TRAIN):
        of_listed = listed_of(train, maps, listed, batch=batch, activation=Activation.MAX)
        rows = np.flatnonzero(listed)
        assert of_listed.rows.tolist() == rows.tolist()
        np.testing.assert_allclose(of_listed.activations, maps[rows, :2].amax(dim=(2, 3)), rtol=1e-6)
        np.testing.assert_allclose(of_listed.means, maps[rows].double().mean(dim=(2, 3)))


def test_an_absent_map_is_the_mean_over_listed_images_known_not_to_show_the_concept():
    train, maps = train_data(), chance(1)(TRAIN, 4, 2, 3)
    listed = np.arange(TRAIN) < 32
    absent = listed_of(train, maps, listed).absent
    for column in range(2):
        rows = np.flatnonzero(listed & (TRAIN_LABELS[:, column] == 0))
        np.testing.assert_allclose(absent[column], maps[rows, column].double().mean(dim=0).flatten())
        everywhere = np.flatnonzero(TRAIN_LABELS[:, column] == 0)
        assert not np.allclose(absent[column], maps[everywhere, column].double().mean(dim=0).flatten())


@pytest.mark.parametrize(("count", "cells"), [(FEWEST_WITHOUT - 1, 0), (FEWEST_WITHOUT, 4)])
def test_few_images_without_a_concept_are_no_reference(count, cells):
    labels = np.ones((30, 2))
    labels[:count, 0] = 0
    listed = np.ones(30, dtype=bool)
    absent = listed_of(train_data(labels), chance(1)(30, 4, 2, 2), listed).absent
    assert [len(plane) for plane in absent] == [cells, 0]
    assert FEWEST_WITHOUT == 10


def test_images_that_are_not_listed_do_not_count_towards_the_fewest():
    labels = np.zeros((12, 2))
    listed = np.arange(12) < FEWEST_WITHOUT - 1
    assert listed_of(train_data(labels), chance(1)(12, 4, 2, 2), listed).absent == ((), ())


def test_a_layer_without_positions_has_one_number_for_each_axis():
    train, maps = train_data(), chance(1)(TRAIN, 4)
    listed = np.ones(TRAIN, dtype=bool)
    of_listed = listed_of(train, maps, listed)
    np.testing.assert_allclose(of_listed.means, maps)
    assert of_listed.absent[0] == (pytest.approx(float(maps[TRAIN_LABELS[:, 0] == 0, 0].mean()), abs=1e-6),)


def test_where_nothing_is_listed_there_is_nothing_of_the_right_width():
    of_none = listed_of(train_data(), chance(1)(TRAIN, 4, 2, 2), np.zeros(TRAIN))
    assert of_none.activations.shape == (0, 2)
    assert of_none.means.shape == (0, 4)


def test_summaries_are_the_means_over_positions():
    maps = torch.arange(24.0).reshape(2, 3, 2, 2)
    assert summaries(maps).tolist() == [[1.5, 5.5, 9.5], [13.5, 17.5, 21.5]]
    assert summaries(maps[:, :, 0, 0]).tolist() == [[0, 4, 8], [12, 16, 20]]
