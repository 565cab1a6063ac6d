"""How well a network does in parts of the test set that differ in who the patients are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from concepts.statistics.bootstrap import Resampled, Weights, auc, difference, mean_of
from concepts.statistics.estimate import Estimate
from pipeline.data.phantom.skin import DARKEST_TONE, TONES
from pipeline.data.sample import Sample
from pipeline.evaluation.diagnosis import MACRO, balanced_accuracy
from pipeline.evaluation.purity import FEWEST_TEST_CASES

FEWEST_IMAGES = 30
"""Images below which a subgroup gets no figure."""
AGE_BANDS = ((0, 40, "under 40 years"), (40, 60, "40 to 59 years"), (60, 200, "60 years and over"))
"""From, below, name; ages are in years."""

Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class Subgroup:
    """Figures of one network in one part of the test set.

    Attributes:
        images: How many images.
        groups: How many patients, or groups of related images.
        diagnoses: Images by diagnosis.
        auc: By diagnosis against the rest, and ``macro``; NaN where there are too few.
        balanced_accuracy: NaN where there are too few.
        difference: Macro AUC minus that of all other images whose value is known; NaN where either has too few.
        reason: Why there is no macro AUC; None where there is one.
    """

    images: int
    groups: int
    diagnoses: Mapping[str, int]
    auc: Mapping[str, Estimate]
    balanced_accuracy: Estimate
    difference: Estimate
    reason: str | None

    def to_json(self) -> dict[str, Any]:
        """As the run folder holds it."""
        return vars(self) | {"diagnoses": dict(self.diagnoses), "auc": dict(self.auc)}


def subgroup_figures(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    samples: Sequence[Sample],
    *,
    classes: Sequence[str],
    groups: Sequence[str],
    weights: Weights,
) -> dict[str, Any]:
    """Figures by age, sex, site and skin tone, where they are known.

    A diagnosis has an AUC in a subgroup where at least `FEWEST_TEST_CASES` images have it and as many do not; the macro
    AUC needs all of them, else subgroups would be compared over different diagnoses, and `FEWEST_IMAGES` images.

    Args:
        probabilities: N x D.
        labels: N indices into ``classes``.
        samples: The N images.
        classes: The D diagnoses.
        groups: The group of each image.
        weights: B x N, from `group_weights` on the same groups.

    Returns:
        ``subgroups``: by attribute, then by value, a `Subgroup`; ``unknown``: by attribute, how many images give no
        value; ``fewest``: how many images a subgroup needs.
    """
    found: dict[str, dict[str, Subgroup]] = {}
    unknown: dict[str, int] = {}
    for attribute, values in attributes(samples).items():
        known = np.array([one is not None for one in values])
        unknown[attribute] = int((~known).sum())
        for value in _ordered(attribute, values):
            inside = np.array([one == value for one in values])
            found.setdefault(attribute, {})[value] = _subgroup(
                probabilities,
                labels,
                inside=inside,
                outside=known & ~inside,
                classes=classes,
                groups=np.asarray(groups),
                weights=weights,
            )
    return {"subgroups": found, "unknown": unknown, "fewest": FEWEST_IMAGES}


def attributes(samples: Sequence[Sample]) -> dict[str, list[str | None]]:
    """Each image's value of every attribute by which figures are given; None where it is not known."""
    return {
        "age": [age_band(one.age) for one in samples],
        "sex": [one.sex for one in samples],
        "site": [one.site for one in samples],
        "skin tone": [one.skin_tone for one in samples],
    }


def age_band(age: float | None) -> str | None:
    """The band of an age in years."""
    return None if age is None else next((name for low, high, name in AGE_BANDS if low <= age < high), None)


def _ordered(attribute: str, values: Sequence[str | None]) -> list[str]:
    present = sorted({one for one in values if one is not None})
    order = [name for _, _, name in AGE_BANDS] if attribute == "age" else [*(name for _, name in TONES), DARKEST_TONE]
    return sorted(present, key=lambda one: order.index(one) if one in order else len(order))


def _subgroup(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    inside: Rows,
    outside: Rows,
    classes: Sequence[str],
    groups: NDArray[np.str_],
    weights: Weights,
) -> Subgroup:
    reason = _reason(labels[inside], classes)
    by_class, others = (
        _aucs(probabilities[rows], labels[rows], classes, weights[:, rows]) for rows in (inside, outside)
    )
    nothing = _nothing(weights, int(inside.sum()))
    macro = nothing if reason else mean_of(list(by_class.values()))
    rest = nothing if _reason(labels[outside], classes) else mean_of(list(others.values()))
    accuracy = nothing if reason else balanced_accuracy(probabilities[inside], labels[inside], weights[:, inside])
    return Subgroup(
        images=int(inside.sum()),
        groups=len(np.unique(groups[inside])),
        diagnoses={one: int((labels[inside] == index).sum()) for index, one in enumerate(classes)},
        auc={MACRO: macro.estimate()} | {one: figure.estimate() for one, figure in by_class.items()},
        balanced_accuracy=accuracy.estimate(),
        difference=difference(macro, rest).estimate(),
        reason=reason,
    )


def _aucs(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], classes: Sequence[str], weights: Weights
) -> dict[str, Resampled]:
    found = {}
    for index, name in enumerate(classes):
        own = labels == index
        enough = min(own.sum(), (~own).sum()) >= FEWEST_TEST_CASES
        found[name] = auc(probabilities[:, index], own, weights) if enough else _nothing(weights, len(labels))
    return found


def _nothing(weights: Weights, cases: int) -> Resampled:
    return Resampled(float("nan"), np.full(len(weights), np.nan), cases)


def _reason(labels: NDArray[np.int64], classes: Sequence[str]) -> str | None:
    if len(labels) < FEWEST_IMAGES:
        return f"{len(labels)} images, fewer than {FEWEST_IMAGES}"
    counts = {name.replace("_", " "): int((labels == index).sum()) for index, name in enumerate(classes)}
    few = [f"{own} of {name}" for name, own in counts.items() if own < FEWEST_TEST_CASES]
    few += [f"{len(labels) - own} other than {name}" for name, own in counts.items() if own == len(labels)]
    return f"{few[0]}, fewer than {FEWEST_TEST_CASES}" if few else None
