"""One part of a cohort as figures need it: images, labels, groups and resamples, gathered once."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from concepts.statistics.bootstrap import Weights, group_weights
from pipeline.data.cohort import Cohort
from pipeline.data.loaders import class_indices
from pipeline.data.sample import Sample
from pipeline.data.splits import Part
from pipeline.run.seeds import Stream, random_generator


@dataclass(frozen=True, kw_only=True)
class EvaluationData:
    """The images of one part, in order, with everything that is known of them.

    Attributes:
        part: Which part.
        samples: N images.
        classes: The D diagnoses, in the order of the networks' outputs.
        concepts: The k concepts, in axis order.
        labels: N indices into ``classes``.
        concept_labels: N x k: 1 present, 0 absent, NaN not known.
        groups: Of each image its patient, lesion or group of near-duplicates.
        regions: N x k mask files; None where there is none.
        seed: The run's seed.
        resamples: Number B of bootstrap resamples.
    """

    part: Part
    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    concepts: tuple[str, ...]
    labels: NDArray[np.int64]
    concept_labels: NDArray[np.float64]
    groups: tuple[str, ...]
    regions: tuple[tuple[Path | None, ...], ...]
    seed: int
    resamples: int

    def __len__(self) -> int:
        """Return the number N of images."""
        return len(self.samples)

    @property
    def image_ids(self) -> list[str]:
        """Identifiers of the images, in order."""
        return [sample.image_id for sample in self.samples]

    @property
    def positives(self) -> list[int]:
        """By concept, how many images show it."""
        return [int(count) for count in (self.concept_labels == 1).sum(axis=0)]

    @cached_property
    def weights(self) -> Weights:
        """B x N bootstrap weights of whole groups; the same for every figure, so that figures are paired."""
        generator = random_generator(self.seed, Stream.BOOTSTRAP)
        return group_weights(self.groups, resamples=self.resamples, generator=generator)


@dataclass(frozen=True, kw_only=True)
class EvaluatedParts:
    """The three parts of a cohort."""

    train: EvaluationData
    validation: EvaluationData
    test: EvaluationData


def evaluation_data(cohort: Cohort, part: Part, *, seed: int, resamples: int) -> EvaluationData:
    """Gather one part of a cohort.

    Args:
        cohort: The images, their labels and their split.
        part: Which part.
        seed: The run's seed.
        resamples: Number of bootstrap resamples.
    """
    samples = cohort.part(part)
    return EvaluationData(
        part=part,
        samples=tuple(samples),
        classes=cohort.classes,
        concepts=cohort.concepts,
        labels=class_indices(samples, cohort.classes),
        concept_labels=cohort.concept_labels(samples),
        groups=tuple(cohort.groups(samples)),
        regions=tuple(tuple(row) for row in cohort.concept_regions(samples)),
        seed=seed,
        resamples=resamples,
    )


def evaluated_parts(cohort: Cohort, *, seed: int, resamples: int) -> EvaluatedParts:
    """Gather all three parts of a cohort; arguments as in `evaluation_data`."""
    return EvaluatedParts(
        train=evaluation_data(cohort, Part.TRAIN, seed=seed, resamples=resamples),
        validation=evaluation_data(cohort, Part.VALIDATION, seed=seed, resamples=resamples),
        test=evaluation_data(cohort, Part.TEST, seed=seed, resamples=resamples),
    )
