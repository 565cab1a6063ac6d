"""What is known of images besides what the network says: concepts, artefacts, metadata, the picture itself."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from concepts.csv_cells import csv_rows
from concepts.reading import MOST_TABLE_MEMORY, table_text
from pipeline.data.phantom.lesion import ARTEFACTS
from pipeline.data.sample import Sample
from pipeline.evaluation.evaluation_data import EvaluationData
from pipeline.images.measures.quality import MEASURES, measure_quality
from pipeline.results.discovery import TraitKind

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Trait:
    """Something known of N images.

    Attributes:
        name: What it is called.
        kind: Where it comes from.
        values: N; NaN where not known.
    """

    name: str
    kind: TraitKind
    values: Values


def image_traits(data: EvaluationData, root: Path, pictures: Sequence[NDArray[np.uint8]]) -> list[Trait]:
    """Gather what is known of some images without the network.

    Args:
        data: N images.
        root: Folder of the cohort, which tells a phantom's artefacts.
        pictures: The N images as the network sees them, H x W x 3.
    """
    measures = np.array([astuple(measure_quality(picture)) for picture in pictures], dtype=np.float64)
    return [
        *_columns(data.concepts, TraitKind.CONCEPT, data.concept_labels),
        *planted_artefacts(root, data.samples),
        *metadata(data.samples),
        *_columns(MEASURES, TraitKind.PICTURE, measures),
    ]


def axis_traits(concepts: Sequence[str], activations: Values) -> list[Trait]:
    """Take the activations of the named axes as traits.

    Args:
        concepts: The k named concepts, in axis order.
        activations: N x C, or N x k.
    """
    return _columns(concepts, TraitKind.CONCEPT_AXIS, activations[:, : len(concepts)])


def metadata(samples: Sequence[Sample]) -> list[Trait]:
    """Return age in years, and sex and site as a yes-or-no trait for each value; NaN where the source does not say."""
    ages = np.array([np.nan if sample.age is None else sample.age for sample in samples])
    return [
        Trait("age", TraitKind.METADATA, ages),
        *_indicators("sex", [sample.sex for sample in samples]),
        *_indicators("site", [sample.site for sample in samples]),
    ]


def planted_artefacts(root: Path, samples: Sequence[Sample]) -> list[Trait]:
    """Read the phantom's artefacts; empty for any other source, where nobody planted them.

    Args:
        root: Folder of the cohort.
        samples: N of its images.
    """
    file = root / "metadata.csv"
    if samples[0].source != "phantom" or not file.is_file():
        return []
    rows = {row["image_id"]: row for row in csv_rows(table_text(file, most_memory=MOST_TABLE_MEMORY))}
    table = np.array([[float(rows[sample.image_id][name]) for name in ARTEFACTS] for sample in samples])
    return _columns(ARTEFACTS, TraitKind.ARTEFACT, table)


def _columns(names: Sequence[str], kind: TraitKind, table: Values) -> list[Trait]:
    return [Trait(name, kind, values) for name, values in zip(names, table.T, strict=True)]


def _indicators(name: str, words: Sequence[str | None]) -> list[Trait]:
    given = np.array([word is not None for word in words])
    return [
        Trait(
            f"{name}: {value}",
            TraitKind.METADATA,
            np.where(given, np.array([word == value for word in words], dtype=np.float64), np.nan),
        )
        for value in sorted({word for word in words if word is not None})
    ]
