"""An image as clinicians' decisions refer to it: its file, and what its source tells of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """An image as the store knows it.

    Attributes:
        id: As its sample calls it.
        digest: SHA-256 of the file's bytes.
        path: Relative to the image folder, with forward slashes.
        width: In pixels; needed to freeze what readers drew in it.
        height: In pixels.
        diagnosis: Identifier in the vocabulary.
        site: Where on the body.
        sex: As its source spells it.
        age: In years.
        source: Data set or department.
        lesion: Images of one lesion share it.
        patient: Images of one patient share it.
    """

    id: str
    digest: str
    path: str
    width: int | None = None
    height: int | None = None
    diagnosis: str | None = None
    site: str | None = None
    sex: str | None = None
    age: float | None = None
    source: str | None = None
    lesion: str | None = None
    patient: str | None = None
