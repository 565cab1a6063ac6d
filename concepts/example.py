"""What a release is made of: examples, the concepts that they are examples of, and who judged them."""

import re
from enum import StrEnum
from math import nan
from pathlib import PurePosixPath
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from concepts.statistics.estimate import Estimate
from concepts.vocabulary import load_vocabulary


class Polarity(StrEnum):
    """What an example says about its concept."""

    PRESENT = "present"
    ABSENT = "absent"
    UNMARKED = "unmarked"
    """Nobody marked the concept in the image, and nobody said that it is absent: not reliably absent."""


class Origin(StrEnum):
    """How a concept's examples came about."""

    MARKED = "marked"
    """Experts outlined it in the image."""
    MEASURED = "measured"
    """Computed from a lesion mask."""
    RULE = "rule"
    """Derived from the image's metadata."""
    PLANTED = "planted"
    """Drawn into a generated lesion, so known without doubt."""
    JUDGED = "judged"
    """Readers gave verdicts."""


def _inside_the_root(path: str) -> str:
    parts = PurePosixPath(path).parts
    if (
        not parts
        or path != str(PurePosixPath(path))
        or path.startswith("/")
        or ".." in parts
        or re.search(r"[\\:]", path)
    ):
        raise ValueError("a region's path is relative to the data root, with forward slashes and without '..'")
    return path


Text = Annotated[str, Field(min_length=1)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=100)]
RelativePath = Annotated[Text, AfterValidator(_inside_the_root)]


class Record(BaseModel):
    """A part of a release: immutable, and closed to keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MaskFile(Record):
    """Where in its image a concept is.

    Attributes:
        path: Mask file (non-zero inside), relative to the data root, with forward slashes.
        digest: SHA-256 of the file's bytes.
    """

    path: RelativePath
    digest: Digest


class Example(Record):
    """What is known about one concept in one image.

    Attributes:
        image_id: The image, as its sample calls it.
        image_digest: SHA-256 of the image file's bytes.
        concept: Identifier of the concept.
        polarity: Whether the concept is there.
        region: Where it is; only for what is present.
        provenance: Who or what said so.
    """

    image_id: Text
    image_digest: Digest
    concept: Identifier
    polarity: Polarity
    region: MaskFile | None = None
    provenance: Text

    @model_validator(mode="after")
    def only_what_is_present_has_a_region(self) -> Self:
        """Refuse a region of something that is not there."""
        if self.region is not None and self.polarity is not Polarity.PRESENT:
            raise ValueError(f"{self.image_id}: '{self.concept}' is {self.polarity} and cannot have a region")
        return self


class ConceptEntry(Record):
    """A concept as a release declares it.

    Attributes:
        id: Identifier, from the vocabulary or of the set's own.
        name: Name for people.
        definition: One sentence.
        origin: How its examples came about.
        rule: The rule with its thresholds, where the concept is measured or derived.
        parent: Identifier of the broader concept.
    """

    id: Identifier
    name: Text
    definition: Text
    origin: Origin
    rule: Text | None = None
    parent: Identifier | None = None

    @classmethod
    def from_vocabulary(cls, word: str, *, origin: Origin, rule: str | None = None) -> Self:
        """Build the entry of a concept that the vocabulary knows, by any of its words.

        Raises:
            DataError: If the vocabulary does not know the word.

        Example:
            >>> ConceptEntry.from_vocabulary("Milia-like cyst", origin=Origin.MARKED).id
            'milia_like_cysts'
        """
        term = load_vocabulary().concept(word)
        return cls(id=term.id, name=term.name, definition=term.definition, origin=origin, rule=rule, parent=term.parent)


class Reader(Record):
    """Someone whose judgements a release rests on.

    Attributes:
        name: Of the account.
        judgements: How many of the verdicts that were counted are theirs.
    """

    name: Text
    judgements: Annotated[int, Field(ge=1)]


class AgreementEntry(Record):
    """How far the readers agreed on a concept when the release was frozen.

    Attributes:
        concept: Identifier of the concept.
        measure: Name of the coefficient.
        value: The coefficient; None where it says nothing (no image with two readers, or one verdict throughout).
        low: Lower end of its 95 % interval.
        high: Upper end.
        n: Images with two readers or more.
        readers: How many readers there were.
        threshold: Below it the concept is flagged.
        flag: One sentence where it is too low or not known; else None.
    """

    concept: Identifier
    measure: Text
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: Annotated[int, Field(ge=0)]
    readers: Annotated[int, Field(ge=0)]
    threshold: float
    flag: Text | None = None

    @property
    def figure(self) -> Estimate:
        """The coefficient with its interval; NaN where it says nothing."""
        value, low, high = (nan if number is None else number for number in (self.value, self.low, self.high))
        return Estimate(value, low, high, self.n)
