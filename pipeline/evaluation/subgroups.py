"""How well a network does in parts of the test set that differ in who the patients are."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from concepts.statistics.bootstrap import Resampled, Weights, auc, difference, mean_of
from pipeline.data.phantom.skin import DARKEST_TONE, TONES
from pipeline.data.sample import Sample
from pipeline.evaluation.diagnosis import MACRO, balanced_accuracy
from pipeline.evaluation.evaluation_data import EvaluationData
from pipeline.evaluation.purity import FEWEST_TEST_CASES
from pipeline.results.trust import Subgroup, SubgroupsResult

FEWEST_IMAGES = 30
"""Images below which a subgroup gets no figure."""
AGE_BANDS = ((0, 40, "under 40 years"), (40, 60, "40 to 59 years"), (60, 200, "60 years and over"))
"""From, below, name; ages are in years."""

Rows = NDArray[np.bool_]


def subgroup_figures(probabilities: NDArray[np.float64], test: EvaluationData) -> SubgroupsResult:
    """Measure a network by age, sex, site and skin tone, where they are known.

    A diagnosis has an AUC in a subgroup where at least `FEWEST_TEST_CASES` images have it and as many do not; the macro
    AUC needs all of them, else subgroups would be compared over different diagnoses, and `FEWEST_IMAGES` images.

    Args:
        probabilities: N x D.
        test: The N images.
    """
    images = _Images(probabilities, test.labels, test.weights, test.classes)
    subgroups: dict[str, dict[str, Subgroup]] = {}
    unknown: dict[str, int] = {}
    for attribute, values in attributes(test.samples).items():
        is_known = np.array([value is not None for value in values])
        unknown[attribute] = int((~is_known).sum())
        for value in _ordered(attribute, values):
            inside = np.array([other == value for other in values])
            subgroups.setdefault(attribute, {})[value] = _subgroup(
                images.part(inside), images.part(is_known & ~inside), groups=np.asarray(test.groups)[inside]
            )
    return SubgroupsResult(subgroups=subgroups, unknown=unknown, fewest=FEWEST_IMAGES)


def attributes(samples: Sequence[Sample]) -> dict[str, list[str | None]]:
    """Return each image's value of every attribute by which figures are given; None where it is not known."""
    return {
        "age": [age_band(sample.age) for sample in samples],
        "sex": [sample.sex for sample in samples],
        "site": [sample.site for sample in samples],
        "skin tone": [sample.skin_tone for sample in samples],
    }


def age_band(age: float | None) -> str | None:
    """Return the band of an age in years."""
    return None if age is None else next((name for low, high, name in AGE_BANDS if low <= age < high), None)


@dataclass(frozen=True)
class _Images:
    """Some of the test images: probabilities N x D, labels N, weights B x N, and the D diagnoses."""

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    weights: Weights
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: Rows) -> "_Images":
        return _Images(self.probabilities[rows], self.labels[rows], self.weights[:, rows], self.classes)

    @property
    def unknown(self) -> Resampled:
        return Resampled(float("nan"), np.full(len(self.weights), np.nan), len(self))

    @property
    def counts(self) -> dict[str, int]:
        return {name: int((self.labels == column).sum()) for column, name in enumerate(self.classes)}

    @property
    def reason(self) -> str | None:
        """Why there is no macro AUC of them; None where there is one."""
        if len(self) < FEWEST_IMAGES:
            return f"{len(self)} images, fewer than {FEWEST_IMAGES}"
        few = [
            f"{count} of {name.replace('_', ' ')}, fewer than {FEWEST_TEST_CASES}"
            for name, count in self.counts.items()
            if count < FEWEST_TEST_CASES
        ]
        return few[0] if few else None

    @cached_property
    def aucs(self) -> dict[str, Resampled]:
        return {
            name: auc(self.probabilities[:, column], self.labels == column, self.weights)
            if FEWEST_TEST_CASES <= count <= len(self) - FEWEST_TEST_CASES
            else self.unknown
            for column, (name, count) in enumerate(self.counts.items())
        }

    def macro(self) -> Resampled:
        return self.unknown if self.reason else mean_of(list(self.aucs.values()))


def _subgroup(inside: _Images, outside: _Images, *, groups: NDArray[np.str_]) -> Subgroup:
    accuracy = (
        inside.unknown if inside.reason else balanced_accuracy(inside.probabilities, inside.labels, inside.weights)
    )
    by_class = {name: figure.estimate() for name, figure in inside.aucs.items()}
    return Subgroup(
        images=len(inside),
        groups=len(np.unique(groups)),
        diagnoses=inside.counts,
        auc={MACRO: inside.macro().estimate()} | by_class,
        balanced_accuracy=accuracy.estimate(),
        difference=difference(inside.macro(), outside.macro()).estimate(),
        reason=inside.reason,
    )


def _ordered(attribute: str, values: Sequence[str | None]) -> list[str]:
    present = sorted({value for value in values if value is not None})
    order = [name for _, _, name in AGE_BANDS] if attribute == "age" else [*(name for _, name in TONES), DARKEST_TONE]
    return sorted(present, key=lambda value: order.index(value) if value in order else len(order))
