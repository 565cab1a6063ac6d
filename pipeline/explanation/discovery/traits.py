"""What is known of images beside what the network says: concepts, artefacts, metadata, the picture itself."""

import csv
from collections.abc import Sequence
from dataclasses import astuple

import numpy as np
from numpy.typing import NDArray

from pipeline.data.cohort import Cohort
from pipeline.data.phantom.lesion import ARTEFACTS
from pipeline.data.sample import Sample
from pipeline.explanation.discovery.relations import Trait, TraitKind
from pipeline.images.measures.quality import MEASURES, measure_quality

Values = NDArray[np.float64]


def known_traits(cohort: Cohort, samples: Sequence[Sample], pictures: Sequence[NDArray[np.uint8]]) -> list[Trait]:
    """What is known of some images of a cohort.

    Args:
        cohort: The cohort.
        samples: N of its images.
        pictures: The N images as they are shown, H x W x 3.
    """
    labels = cohort.concept_labels(samples)
    concepts = [Trait(concept, TraitKind.CONCEPT, labels[:, column]) for column, concept in enumerate(cohort.concepts)]
    measures = np.array([astuple(measure_quality(one)) for one in pictures], dtype=np.float64)
    measured = [Trait(name, TraitKind.PICTURE, measures[:, column]) for column, name in enumerate(MEASURES)]
    return [*concepts, *planted_artefacts(cohort, samples), *metadata(samples), *measured]


def metadata(samples: Sequence[Sample]) -> list[Trait]:
    """Age in years; sex and site as one yes-or-no trait for each value; NaN where the source does not say."""
    ages = np.array([np.nan if one.age is None else one.age for one in samples])
    return [
        Trait("age", TraitKind.METADATA, ages),
        *_one_of_each("sex", [one.sex for one in samples]),
        *_one_of_each("site", [one.site for one in samples]),
    ]


def planted_artefacts(cohort: Cohort, samples: Sequence[Sample]) -> list[Trait]:
    """The phantom's artefacts; empty for any other source, where nobody labelled them."""
    file = cohort.root / "metadata.csv"
    if samples[0].source != "phantom" or not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as opened:
        rows = {row["image_id"]: row for row in csv.DictReader(opened)}
    return [
        Trait(name, TraitKind.ARTEFACT, np.array([float(rows[one.image_id][name]) for one in samples]))
        for name in ARTEFACTS
    ]


def _one_of_each(name: str, words: Sequence[str | None]) -> list[Trait]:
    known = np.array([word is not None for word in words])
    values = sorted({word for word in words if word is not None})
    return [
        Trait(
            f"{name}: {value}",
            TraitKind.METADATA,
            np.where(known, np.array([word == value for word in words], dtype=np.float64), np.nan),
        )
        for value in values
    ]
