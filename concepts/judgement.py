"""A judgement: one reader's verdict on one concept in one image, with what the reader drew and wrote.

Value types only: they know nothing of how they are stored. ``save for later`` is none of the verdicts: it is a mark of
its own, kept apart from judgements.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from concepts.errors import DataError
from concepts.example import Origin

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MASK_LIMIT = 4 * 1024 * 1024
"""Largest brush mask, in bytes of its PNG file."""
TEXT_LIMIT = 10_000
"""Longest note, in characters."""
VERTICES_LIMIT = 10_000
REGIONS_LIMIT = 100
CORNERS = 2


class Verdict(StrEnum):
    """What a reader says about a concept in an image."""

    PRESENT = "present"
    ABSENT = "absent"
    UNCERTAIN = "uncertain"
    NOT_ASSESSABLE = "not_assessable"


class Kind(StrEnum):
    """What a judgement is for."""

    READING = "reading"
    """An ordinary reading."""
    FIRST_LOOK = "first_look"
    """An adjudicator's own verdict, given before the others' can be seen."""
    ADJUDICATION = "adjudication"
    """An adjudicator's last word, given with the others' verdicts in view; it wins over them."""


class RegionKind(StrEnum):
    """How a region was drawn."""

    BOX = "box"
    POLYGON = "polygon"
    BRUSH = "brush"


@dataclass(frozen=True, slots=True)
class Region:
    """Where in the image the reader saw the concept.

    Attributes:
        kind: How it was drawn.
        vertices: (x, y) as fractions of the image's width and height, from its top left corner, in 0..1; a box has
            two (top left, bottom right), a polygon three or more, a brush none.
        mask: PNG file of a brush, non-zero inside, of the image's proportions; None for the others.

    Raises:
        DataError: If the parts do not fit the kind.
    """

    kind: RegionKind
    vertices: tuple[tuple[float, float], ...] = ()
    mask: bytes | None = None

    def __post_init__(self) -> None:
        if self.kind is RegionKind.BRUSH:
            _check_brush(self)
        else:
            _check_outline(self)

    @property
    def digest(self) -> str | None:
        """SHA-256 of the brush mask's file; None for the other kinds."""
        return None if self.mask is None else sha256(self.mask).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One reader's verdict on one concept in one image.

    Attributes:
        reader: Name of the reader's account, or of the source that stands in for one.
        image_id: The image.
        concept: Identifier of the concept in its set.
        verdict: What the reader says.
        confidence: How sure, 0..1; None where the reader did not say.
        note: Free text.
        regions: Where; only for what is present or uncertain.
        seconds: Time taken; None where not measured.
        reading: 1 or 2; the second is the same reader's later look at the same image.
        blinded: Whether diagnosis and metadata were hidden.
        origin: How it came about; a person's own verdict is ``judged``.
        kind: Reading, blinded first look or adjudication.
        at: When, with time zone; None: the moment of writing.
        id: Number in the store; None before it is written.
        supersedes: The judgement that this one corrects.

    Raises:
        DataError: If a value is outside its range, or a region is given for what is not there.
    """

    reader: str
    image_id: str
    concept: str
    verdict: Verdict
    confidence: float | None = None
    note: str = ""
    regions: tuple[Region, ...] = ()
    seconds: float | None = None
    reading: int = 1
    blinded: bool = True
    origin: Origin = Origin.JUDGED
    kind: Kind = Kind.READING
    at: datetime | None = None
    id: int | None = None
    supersedes: int | None = None

    def __post_init__(self) -> None:
        where = f"{self.image_id!r:.80}, concept {self.concept!r:.80}"
        for fault in _faults(self):
            raise DataError(f"judgement of {where}: {fault}")


def is_plain(text: str) -> bool:
    """Tell whether every database can store a text: no NUL and no half of a surrogate pair.

    Example:
        >>> is_plain("naïve"), is_plain("a" + chr(0))
        (True, False)
    """
    return "\x00" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _faults(judgement: Judgement) -> list[str]:
    seconds, confidence = judgement.seconds, judgement.confidence
    drawn_for = (Verdict.PRESENT, Verdict.UNCERTAIN)
    words = (judgement.reader, judgement.image_id, judgement.concept)
    checks = (
        (confidence is None or 0 <= confidence <= 1, f"confidence must be in 0..1 (got {confidence})"),
        (seconds is None or (math.isfinite(seconds) and seconds >= 0), f"seconds must be 0 or more (got {seconds})"),
        (judgement.reading in (1, 2), f"reading must be 1 or 2 (got {judgement.reading})"),
        (len(judgement.note) <= TEXT_LIMIT, f"the note is longer than {TEXT_LIMIT} characters; shorten it"),
        (all(map(is_plain, (*words, judgement.note))), "text must not contain NUL or broken Unicode"),
        (all(words), "reader, image and concept must not be empty"),
        (judgement.at is None or judgement.at.tzinfo is not None, "the time needs a time zone, e.g. +00:00"),
        (not judgement.regions or judgement.verdict in drawn_for, f"what is {judgement.verdict} cannot have a region"),
        (len(judgement.regions) <= REGIONS_LIMIT, f"more than {REGIONS_LIMIT} regions; draw them as one brush mask"),
    )
    return [fault for holds, fault in checks if not holds]


def _check_brush(region: Region) -> None:
    if region.mask is None or not region.mask.startswith(PNG_SIGNATURE):
        raise DataError("a brush region needs its mask as the bytes of a PNG file")
    if len(region.mask) > MASK_LIMIT:
        raise DataError(
            f"the brush mask has {len(region.mask)} bytes, at most {MASK_LIMIT} are allowed: draw it smaller"
        )
    if region.vertices:
        raise DataError("a brush region has a mask and no vertices")


def _check_outline(region: Region) -> None:
    if region.mask is not None:
        raise DataError(f"a {region.kind} region has vertices and no mask")
    if not all(0 <= coordinate <= 1 for vertex in region.vertices for coordinate in vertex):
        raise DataError(f"the vertices of a {region.kind} are fractions of width and height, in 0..1")
    count = len(region.vertices)
    if region.kind is RegionKind.POLYGON and not CORNERS < count <= VERTICES_LIMIT:
        raise DataError(f"a polygon has 3 to {VERTICES_LIMIT} vertices (got {count})")
    if region.kind is RegionKind.BOX and (count != CORNERS or not _is_ordered(region.vertices)):
        raise DataError("a box has two vertices: top left, then bottom right")


def _is_ordered(corners: tuple[tuple[float, float], ...]) -> bool:
    (left, top), (right, bottom) = corners
    return left < right and top < bottom
