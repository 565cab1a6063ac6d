"""Figures obey laws that tell one method from its neighbours: what is optimal, left out, and in which order."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_networks import made_parts
from fakes import made_data, made_samples

from concepts.statistics.bootstrap import group_weights
from pipeline.data.phantom.skin import DARKEST_TONE, TONES
from pipeline.data.splits import Part
from pipeline.evaluation import baselines
from pipeline.evaluation.baselines import STRENGTHS, Probe, linear_probe
from pipeline.evaluation.ceiling import FOLDS, concept_only, concept_only_probabilities, label_ceiling
from pipeline.evaluation.diagnosis import CALIBRATION_BINS, calibration_error
from pipeline.evaluation.subgroups import subgroup_figures
from pipeline.evaluation.whiteness import BlockMoments, residual_estimate


def weights_of(cases: int):
    return group_weights([str(case) for case in range(cases)], resamples=20, generator=np.random.default_rng(0))


def a_concept(cases: int = 60):
    """Features of which a sixth of the cases, the positives, have more of the first."""
    features = np.random.default_rng(0).normal(size=(cases, 3))
    present = np.arange(cases) % 6 == 0
    features[present, 0] += 1.0
    return features, present, np.where(present, 1.0, -1.0), np.where(present, 3.0, 0.6)


def scores_of(kind: Probe, features, present, strength: float):
    return baselines._path(features, present, features, kind=kind, strengths=(strength,))[:, 0]


@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_the_logistic_probe_misses_as_much_among_positives_as_among_negatives(strength):
    features, present, _, balance = a_concept()
    probability = 1 / (1 + np.exp(-scores_of(Probe.LOGISTIC, features, present, strength)))
    assert balance @ (present - probability) == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_the_support_vector_probe_is_drawn_by_the_cases_inside_the_margin(strength):
    """The squared hinge is least where each weight is 2 C times the pull of what lies inside (and so is the offset)."""
    features, present, sign, balance = a_concept()
    scores = scores_of(Probe.SVM, features, present, strength)
    extended = np.column_stack([features, np.ones(len(features))])
    weights, *_ = np.linalg.lstsq(extended, scores, rcond=None)
    pull = balance * sign * np.maximum(0, 1 - sign * scores)
    np.testing.assert_allclose(weights, 2 * strength * extended.T @ pull, atol=1e-2)


@pytest.mark.parametrize("kind", list(Probe))
def test_the_strength_is_chosen_with_the_probe_that_it_is_for(kind, monkeypatch):
    asked, path = [], baselines._path

    def watched(*given, kind: Probe, strengths):
        asked.append((kind, tuple(strengths)))
        return path(*given, kind=kind, strengths=strengths)

    monkeypatch.setattr(baselines, "_path", watched)
    features, present, *_ = a_concept()
    groups = [str(case) for case in range(len(present))]
    linear_probe(features, present[:, None].astype(float), features, train_groups=groups, kind=kind)
    assert asked[:-1] == [(kind, STRENGTHS)] * baselines.FOLDS
    assert asked[-1][0] is kind


def test_as_many_groups_as_folds_are_enough_for_a_classifier():
    labels = np.repeat([0, 1], FOLDS)
    groups = [str(case) for case in range(2 * FOLDS)]
    guesses = concept_only_probabilities(np.eye(2)[labels], labels, groups=groups, classes=2, seed=0)
    np.testing.assert_array_equal(guesses.argmax(axis=1), labels)
    assert concept_only_probabilities(np.eye(2)[labels[1:]], labels[1:], groups=groups[1:], classes=2, seed=0) is None


def test_a_diagnosis_of_a_single_image_counts_as_much_as_another():
    bound = label_ceiling([[1], [1], [0]], np.array([0, 0, 1]), classes=2, weights=weights_of(3))
    assert bound.balanced_accuracy.value == 1


def labelled(part: Part, seed: int = 0):
    generator = np.random.default_rng(list(Part).index(part))
    diagnoses = ["melanoma", "nevus"] * 10
    return made_data(diagnoses, generator.integers(2, size=(20, 2)), part=part, seed=seed, resamples=20)


def test_labels_alone_are_measured_the_same_each_time_and_otherwise_resampled_by_another_seed():
    network = np.full((20, 2), 0.5)
    train, validation = labelled(Part.TRAIN), labelled(Part.VALIDATION)
    first, again, other = (
        concept_only(made_parts(labelled(Part.TEST, seed), train=train, validation=validation), network)
        for seed in (3, 3, 4)
    )
    assert first == again
    assert first.ceiling.accuracy.value == other.ceiling.accuracy.value
    assert first.ceiling.accuracy.low != other.ceiling.accuracy.low


def test_as_many_cases_as_bins_are_each_alone_in_one():
    confidence = np.linspace(0.6, 0.9, CALIBRATION_BINS)
    labels = np.arange(CALIBRATION_BINS) % 2
    figure = calibration_error(np.stack([confidence, 1 - confidence], axis=1), labels, weights_of(CALIBRATION_BINS))
    assert figure.value == pytest.approx(np.abs((labels == 0) - confidence).mean())


def ordered(attribute: str, **facts) -> list[str]:
    """The subgroups of images with each of some values of an attribute, in the order of the report."""
    ((name, values),) = facts.items()
    samples = tuple(
        replace(sample, **{name: value})
        for sample, value in zip(made_samples(["nevus"] * len(values)), values, strict=True)
    )
    data = made_data(["nevus"] * len(values), samples=samples, resamples=20)
    return list(subgroup_figures(np.full((len(values), 2), 0.5), data).subgroups[attribute])


def test_ages_come_from_young_to_old():
    assert ordered("age", age=[70.0, 50.0, 20.0]) == ["under 40 years", "40 to 59 years", "60 years and over"]


def test_skin_tones_come_from_light_to_dark_and_other_names_after_them():
    tones = [*(name for _, name in TONES), DARKEST_TONE]
    others = ["Fitzpatrick II", "Fitzpatrick IV"]
    assert ordered("skin tone", skin_tone=[*reversed(others), *sorted(tones)]) == [*tones, *others]


def test_other_values_come_by_the_alphabet():
    assert ordered("site", site=["torso", "arm", None, "leg"]) == ["arm", "leg", "torso"]


def moments_of(maps, blocks) -> BlockMoments:
    moments = BlockMoments(maps.shape[1], blocks=3)
    moments.add(maps, blocks)
    return moments


def test_the_interval_is_that_of_leaving_out_each_block_in_turn():
    maps = torch.randn(12, 2, 3, 3, generator=torch.Generator().manual_seed(0)) * 2 + 5
    blocks = np.arange(12) % 3
    estimate = residual_estimate(moments_of(maps, blocks))
    without = np.array(
        [residual_estimate(moments_of(maps[blocks != block], blocks[blocks != block])).value for block in range(3)]
    )
    spread = np.sqrt(2 / 3 * ((without - without.mean()) ** 2).sum())
    reach = 4.302653 * spread  # 97.5 % of Student's t with 2 degrees of freedom
    assert estimate.high == pytest.approx(estimate.value + reach, rel=1e-4)
    assert estimate.low == pytest.approx(max(0, estimate.value - reach), rel=1e-4)


def test_every_map_has_a_block():
    with pytest.raises(ValueError, match="shorter"):
        moments_of(torch.zeros(3, 2, 1, 1), [0, 1])
