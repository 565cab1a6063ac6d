"""Concept activation vectors on tails whose use of two directions is known."""

import numpy as np
import pytest
import torch
from fake_networks import MadeNetwork, chance, made_network, made_parts
from fakes import made_data
from torch import nn

pytest.importorskip("captum", reason="the extra tcav is not installed")

from pipeline.data.splits import Part
from pipeline.explanation.tcav import (
    EXAMPLES,
    ConceptImages,
    choose_examples,
    concept_vectors,
    sides_of,
    tcav_scores,
)
from pipeline.run.progress import Silent

USED, UNUSED = 0, 1


class SaturatedTail(nn.Module):
    """The logit of the first diagnosis rises with channel 0; channel 1 is never looked at."""

    def forward(self, maps, rest=()):
        means = torch.tanh(maps.mean(dim=(2, 3)))
        return torch.stack([means[:, USED], -means[:, USED], means[:, 2]], dim=1)


def planted(count, seed):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(count, 4, 3, 3, generator=generator)
    shows = torch.rand(count, 2, generator=generator) < 0.5
    maps[:, :2] += 2.0 * shows[:, :, None, None]
    return maps, shows


def test_a_used_concept_raises_one_diagnosis_lowers_the_other_and_an_unused_one_is_in_the_null_band():
    train, shows = planted(300, 0)
    test, _ = planted(60, 1)
    scores = tcav_scores(
        SaturatedTail(),
        (test, ()),
        [0, 1] * 30,
        train,
        concepts=sides_of(shows.double().numpy(), ["used", "unused"]),
        classes=("first", "second", "third"),
        generator=np.random.default_rng(0),
    )
    assert scores["first"]["used"].share.value == 1.0
    assert scores["second"]["used"].share.value == 0.0
    assert scores["first"]["used"].share.n == 30
    unused = scores["first"]["unused"]
    assert unused.null.low <= unused.share.value <= unused.null.high
    assert unused.share.low <= unused.share.value <= unused.share.high
    assert unused.null.low < unused.null.high, "each vector between random images is of other ones"
    assert unused.null == scores["first"]["used"].null
    assert "third" not in scores


def test_the_vectors_of_a_network_come_from_training_images_and_its_scores_from_test_images():
    random, images = chance(0), {}
    images[Part.TRAIN], images[Part.TEST] = random(60, 4, 2, 2), random(9, 4, 2, 2)
    labels = (images[Part.TRAIN][:, :2].mean(dim=(2, 3)) > 0).double().numpy()
    train = made_data(["nevus"] * 60, labels, part=Part.TRAIN, concepts=["used", "unused"])
    test = made_data(["melanoma"] * 4 + ["nevus"] * 5, np.zeros((9, 2)), concepts=["used", "unused"])
    network = made_network(
        MadeNetwork([[5.0, 0.0, 0.0, 0.0], [-5.0, 0.0, 0.0, 0.0]]), made_parts(test, train=train), images
    )
    scores = concept_vectors(network, network.parts, Silent())
    assert set(scores) == {"melanoma", "nevus"}
    assert set(scores["melanoma"]) == {"used", "unused"}
    assert (scores["melanoma"]["used"].share.value, scores["nevus"]["used"].share.value) == (1.0, 0.0)
    assert [scores[diagnosis]["used"].share.n for diagnosis in ("melanoma", "nevus")] == [4, 5]
    assert concept_vectors(network, network.parts, Silent()) == scores, "the run's seed decides"


def test_of_each_concept_some_with_it_and_some_without_are_drawn():
    labels = np.array([[1.0, np.nan], [0.0, np.nan], [np.nan, np.nan], [1.0, 0.0]])
    assert choose_examples(labels, np.random.default_rng(0)) == [0, 1, 3]
    many = np.repeat([[1.0], [0.0]], 500, axis=0)
    rows = choose_examples(many, np.random.default_rng(0))
    assert rows == sorted(rows)
    assert (many[rows] == 1).sum() == (many[rows] == 0).sum() == 2 * EXAMPLES


def test_a_concept_with_one_side_only_has_no_vector():
    labels = np.array([[1.0, 1.0, np.nan], [0.0, 1.0, 0.0], [np.nan, np.nan, 1.0]])
    assert sides_of(labels, ["both", "always", "mixed"]) == {
        "both": ConceptImages([0], [1]),
        "mixed": ConceptImages([2], [1]),
    }
