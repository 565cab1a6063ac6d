"""One image with what is known about it, and the table of a run's images."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from concepts.csv_cells import csv_text
from concepts.files import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One image with its labels: one row of a cohort.

    Attributes:
        image_id: Unique within the cohort, e.g. ``ISIC_0000000``.
        path: The image file.
        digest: SHA-256 of the file's bytes, 64 hexadecimal digits.
        diagnosis: Identifier from ``concepts/vocabulary/diagnoses.yaml``, e.g. ``melanoma``.
        source: Name of the source that gave the sample, e.g. ``isic2018``.
        patient_id: Whose lesion it is, or None where the source does not say.
        lesion_id: Which lesion it is, or None where the source does not say.
        site: Anatomical site in the source's words, or None.
        sex: ``female`` or ``male``, or None.
        age: Age at imaging in years, or None.
        skin_tone: Of the skin around, in the source's words, or None.
        image_type: ``dermoscopic`` and the like, or None.
        licence: Licence of the image, or None.
        lesion_mask: File with the lesion's mask (non-zero inside), or None.
    """

    image_id: str
    path: Path
    digest: str
    diagnosis: str
    source: str
    patient_id: str | None = None
    lesion_id: str | None = None
    site: str | None = None
    sex: str | None = None
    age: float | None = None
    skin_tone: str | None = None
    image_type: str | None = None
    licence: str | None = None
    lesion_mask: Path | None = None


def write_samples(samples: Sequence[Sample], path: Path) -> None:
    """Write one row per sample as CSV, with the columns of `Sample`; what is not known stays empty."""
    columns = [field.name for field in fields(Sample)]
    write_atomically(path, csv_text(columns, (asdict(sample).values() for sample in samples)))
