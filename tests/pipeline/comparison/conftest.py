"""Sides of a comparison, made by hand."""

from dataclasses import replace

import numpy as np
import pytest
from fake_evaluation import made_evaluation, made_network
from fake_explanation import CLASSES, made_explanation, made_record, made_results

from pipeline.comparison.families import RunSide
from pipeline.comparison.predictions import ComparedImage, Predictions
from pipeline.config import parse_overrides


def made_predictions(*, plain=1.0, whitened=1.0, noise=0, digest="d", cases=300) -> Predictions:
    """Predictions of two networks that are so skilled, on images of which three each are of one patient."""
    generator, noise_generator = np.random.default_rng(99), np.random.default_rng(noise)
    labels, luck = generator.integers(2, size=cases), generator.normal(size=cases)
    probabilities = {}
    for network, skill in (("plain", plain), ("whitened", whitened)):
        logits = skill * (1 - 2 * labels) + luck + noise_generator.normal(scale=0.1, size=cases)
        melanoma = 1 / (1 + np.exp(-logits))
        probabilities[network] = np.column_stack([melanoma, 1 - melanoma])
    images = tuple(
        ComparedImage(f"image{row:03}", f"{digest}{row}", CLASSES[label], f"patient{row // 3}")
        for row, label in enumerate(labels)
    )
    return Predictions(classes=CLASSES, images=images, probabilities=probabilities)


@pytest.fixture
def predictions():
    return made_predictions


@pytest.fixture
def side():
    """Makes one run with these figures."""

    def make(
        name="a", *, plain=None, whitened=None, ratios=None, purity=None, predictions=None, overrides=(), **record
    ) -> RunSide:
        evaluation = made_evaluation(purity)
        networks = {
            network: made_network(macro) for network, macro in (("plain", plain), ("whitened", whitened)) if macro
        }
        diagnosis = evaluation.diagnosis.model_copy(update=networks)
        results = made_results(
            evaluation.model_copy(update={"diagnosis": diagnosis}),
            made_explanation(ratios),
            record=made_record(**record),
            settings=parse_overrides(["name=made", "seed=3", *overrides]),
        )
        return RunSide(id=name, results=results, predictions=predictions or made_predictions())

    return make


@pytest.fixture
def without_melanoma():
    """Turns a side into one whose only diagnosis is another."""

    def turn(side: RunSide) -> RunSide:
        predictions = Predictions(
            classes=("lentigo",),
            images=tuple(replace(image, diagnosis="lentigo") for image in side.predictions.images),
            probabilities={network: np.ones((300, 1)) for network in ("plain", "whitened")},
        )
        return replace(side, predictions=predictions)

    return turn
