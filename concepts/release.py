"""A concept release: what clinicians decided, frozen; the only thing about concepts that training reads.

A release is a JSON manifest that carries the SHA-256 of its own content. Anyone can check it: take the file's object,
leave out ``digest``, ``created`` and ``chain``, write it with sorted keys, without white space and nulls, in Unicode
form NFC and UTF-8, and hash the bytes. The last two are left out so that the same content has the same digest whenever
it was frozen.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, ValidationError, model_validator

from concepts.errors import ReleaseError
from concepts.example import AgreementEntry, ConceptEntry, Example, Identifier, Reader, Record
from concepts.files import write_atomically
from concepts.reading import MOST_RELEASE_BYTES, RefusedContentError, parse_json, read_bytes

WORD = re.compile(r"([a-z0-9][a-z0-9_.-]*)@([1-9][0-9]{0,8})")
NAMED = 3
"""How many offenders an error names before it only counts them."""


def _sorted_examples(examples: tuple[Example, ...]) -> tuple[Example, ...]:
    return tuple(sorted(examples, key=lambda example: (example.concept, example.image_id)))


class Release(Record):
    """A frozen concept set. Make one with `freeze`; one that contradicts itself cannot exist.

    Attributes:
        name: Name of the concept set, fit for a file name.
        version: 1 for the first release of the set, then counting up.
        description: What the set is for.
        licence: Licence of the judgements and masks.
        created: When it was frozen; not part of the digest.
        concepts: The concepts; their order is the default order of the axes, so it is part of the digest.
        examples: The examples; kept sorted by concept and image, so the order in which they came is not.
        readers: Who judged; None where the examples do not come from readers of a store.
        agreement: How far they agreed, by concept.
        consensus: The rule by which their verdicts became examples.
        chain: Digest of the newest event of the store from which it was frozen, by which 'dermaxis store check' finds
            that the store lost events since; not part of the digest.
    """

    format: Literal[1] = 1
    name: Identifier
    version: Annotated[int, Field(ge=1)]
    description: str
    licence: str
    created: AwareDatetime
    concepts: tuple[ConceptEntry, ...]
    examples: Annotated[tuple[Example, ...], AfterValidator(_sorted_examples)]
    # None is left out of the manifest and of the digest: releases that know nothing of readers keep theirs.
    readers: tuple[Reader, ...] | None = None
    agreement: tuple[AgreementEntry, ...] | None = None
    consensus: dict[str, bool | int | float | str] | None = None
    chain: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None

    @model_validator(mode="after")
    def agrees_with_itself(self) -> Self:
        """Refuse an empty release, undeclared or doubly declared concepts, and second verdicts or digests."""
        declared = self.concept_ids
        if not self.concepts or not self.examples:
            raise ValueError(
                f"there are no {'examples' if self.concepts else 'concepts'}; a release needs at least one"
            )
        if len(set(declared)) < len(declared):
            raise ValueError(f"concept '{next(c for c in declared if declared.count(c) > 1)}' is declared twice")
        _refuse_undeclared(self.examples, declared)
        _refuse_second_verdicts(self.examples)
        _refuse_second_digests(self.examples)
        return self

    @property
    def concept_ids(self) -> tuple[str, ...]:
        """Identifiers of the concepts, in order."""
        return tuple(entry.id for entry in self.concepts)

    @property
    def digest(self) -> str:
        """SHA-256 of the content (all but ``created`` and ``chain``) as canonical JSON; 64 hexadecimal digits."""
        content = self.model_dump(mode="json", exclude_none=True, exclude={"created", "chain"})
        return sha256(canonical_json(content)).hexdigest()


def canonical_json(content: Any) -> bytes:  # noqa: ANN401  # any JSON
    """Spell a JSON value in one way: sorted keys, no white space, Unicode form NFC, UTF-8.

    Example:
        >>> canonical_json({"b": [1, 2.5], "a": "A"})
        b'{"a":"A","b":[1,2.5]}'
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return unicodedata.normalize("NFC", text).encode()


def freeze(
    name: str,
    version: int,
    *,
    concepts: Iterable[ConceptEntry],
    examples: Iterable[Example],
    description: str = "",
    licence: str = "",
    created: datetime | None = None,
    **judged: Any,  # noqa: ANN401  # checked by the release
) -> Release:
    """Make a release of concepts and their examples.

    Args:
        name: Name of the concept set: lower case, digits, ``_``, ``.`` and ``-``.
        version: From 1.
        concepts: In the order that axes are to have by default.
        examples: At most one for each image and concept, in any order.
        description: What the set is for.
        licence: Licence of the judgements and masks.
        created: With time zone; default: now.
        judged: ``readers``, ``agreement`` and ``consensus``, where the examples come from readers of a store.

    Raises:
        ReleaseError: If a concept is not declared or declared twice, an image has two verdicts on one concept or two
            digests, there is nothing to freeze, or the name or version is not allowed.
    """
    fields = {
        "name": name,
        "version": version,
        "description": description,
        "licence": licence,
        "created": created or datetime.now(UTC),
        "concepts": tuple(concepts),
        "examples": tuple(examples),
        **judged,
    }
    return _release(fields, origin=f"cannot freeze {name}@{version}")


def write_release(release: Release, path: Path) -> None:
    """Write the manifest in one step: one line for each concept and example, so that versions can be compared.

    Raises:
        ReleaseError: If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, manifest_of(release))
    except OSError as error:
        raise ReleaseError(f"{path}: the release cannot be written: {error.strerror}") from error


def manifest_of(release: Release) -> str:
    """Return the manifest as text, with the digest: what `write_release` writes."""
    fields = {"digest": release.digest, **release.model_dump(mode="json", exclude_none=True)}
    return "{\n" + ",\n".join(f"{_line(key)}: {_lines(entry)}" for key, entry in fields.items()) + "\n}\n"


def read_release(path: Path) -> Release:
    """Read a manifest and check that nothing in it was changed after freezing.

    Raises:
        ReleaseError: If the file is missing or malformed, or its content does not match its digest.
    """
    return parse_release(_read_bytes(path), origin=str(path))


def parse_release(content: bytes, *, origin: str) -> Release:
    """Read a release from the bytes of its manifest; ``origin`` names them in errors.

    Raises:
        ReleaseError: If it is malformed, or its content does not match its digest.
    """
    fields = _parse_object(content, origin=origin)
    stated = fields.pop("digest", None)
    if stated is None:
        raise ReleaseError(f"{origin}: the release has no digest; freeze it with 'dermaxis concepts freeze'")
    release = _release(fields, origin=origin)
    if stated != release.digest:
        raise ReleaseError(
            f"{origin}: digest does not match: file says {stated}, content gives {release.digest}; "
            "it was altered after freezing: freeze again or restore"
        )
    return release


def verify_images(release: Release, image_digests: Mapping[str, str]) -> None:
    """Check that the images are those on which the concepts were decided.

    Args:
        release: A release.
        image_digests: By image, the SHA-256 of its file; images that the release does not know are skipped.

    Raises:
        ReleaseError: If images have other content than when the release was frozen; names the first few.
    """
    frozen = {example.image_id: example.image_digest for example in release.examples}
    common = [image_id for image_id in image_digests if image_id in frozen]
    changed = [image_id for image_id in common if image_digests[image_id] != frozen[image_id]]
    if changed:
        raise ReleaseError(
            f"{release.name}@{release.version} was frozen on other files of {len(changed)} of {len(common)} images: "
            f"{shorten(changed)}; restore those images or freeze again"
        )


def verify_regions(release: Release, root: Path) -> None:
    """Check that the mask files are those that were frozen.

    Args:
        release: A release.
        root: The data root, to which the regions' paths are relative.

    Raises:
        ReleaseError: If mask files are missing or have other content; names the first few.
    """
    regions = sorted({(e.region.path, e.region.digest) for e in release.examples if e.region is not None})
    faults = [f"{path} {fault}" for path, digest in regions if (fault := _fault(root / path, digest))]
    if faults:
        raise ReleaseError(
            f"{root}: {len(faults)} of {len(regions)} region masks of {release.name}@{release.version} "
            f"cannot be used: {shorten(faults)}; restore them or freeze again"
        )


def split_word(text: str) -> tuple[str, int] | None:
    """Split ``NAME@VERSION`` into name and version; None where the text is no such word.

    Example:
        >>> split_word("derm@2"), split_word("derm")
        (('derm', 2), None)
    """
    parts = WORD.fullmatch(text)
    return (parts[1], int(parts[2])) if parts else None


def shorten(items: Sequence[str], *, named: int = NAMED) -> str:
    """Name the first few of many, for an error's one line.

    Example:
        >>> shorten(["a", "b", "c", "d"])
        'a, b, c and 1 more'
    """
    more = len(items) - named
    return ", ".join(items[:named]) + (f" and {more} more" if more > 0 else "")


def _refuse_undeclared(examples: Sequence[Example], declared_ids: Sequence[str]) -> None:
    declared = set(declared_ids)
    for example in examples:
        if example.concept not in declared:
            raise ValueError(
                f"{example.image_id}: concept '{example.concept}' is not declared; declared: {', '.join(declared_ids)}"
            )


def _refuse_second_verdicts(examples: Sequence[Example]) -> None:
    for first, second in pairwise(examples):
        if (first.concept, first.image_id) == (second.concept, second.image_id):
            both = f"both {first.polarity} and {second.polarity}"
            verdicts = f"{first.polarity} twice" if first.polarity == second.polarity else both
            raise ValueError(
                f"{first.image_id}: '{first.concept}' is {verdicts}; an image has one verdict on each concept"
            )


def _refuse_second_digests(examples: Sequence[Example]) -> None:
    digests: dict[str, str] = {}
    for example in examples:
        first = digests.setdefault(example.image_id, example.image_digest)
        if first != example.image_digest:
            raise ValueError(
                f"{example.image_id}: its examples come from different files "
                f"(SHA-256 {first} and, under '{example.concept}', {example.image_digest})"
            )


def _release(fields: dict[str, Any], *, origin: str) -> Release:
    try:
        return Release.model_validate(fields)
    except ValidationError as error:
        raise ReleaseError(f"{origin}: {shorten([_sentence(dict(item)) for item in error.errors()])}") from error


def _sentence(error: dict[str, Any]) -> str:
    location = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    given = f" (got {error['input']!r:.60})" if isinstance(error["input"], str | int | float) else ""
    return " ".join(f"{location}: {message}{given}".split()) if location else message


def _lines(entry: Any) -> str:  # noqa: ANN401  # any JSON
    return "[\n" + ",\n".join(_line(item) for item in entry) + "\n]" if isinstance(entry, list) else _line(entry)


def _line(entry: Any) -> str:  # noqa: ANN401  # any JSON
    return json.dumps(entry, ensure_ascii=False, separators=(", ", ": "))


def _read_bytes(path: Path) -> bytes:
    try:
        return read_bytes(path, most=MOST_RELEASE_BYTES)
    except RefusedContentError as error:
        raise ReleaseError(f"{path}: not a release: {error}") from error
    except OSError as error:
        raise ReleaseError(
            f"{path}: the release cannot be read: {error.strerror}; make one with 'dermaxis concepts freeze'"
        ) from error


def _parse_object(text: bytes, *, origin: str) -> dict[str, Any]:
    try:
        content = parse_json(text, most=MOST_RELEASE_BYTES)
    except ValueError as error:
        raise ReleaseError(f"{origin}: not a release: the file is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise ReleaseError(f"{origin}: not a release: expected a JSON object, found {type(content).__name__}")
    return content


def _fault(path: Path, digest: str) -> str | None:
    if not path.is_file():
        return "is missing"
    return None if sha256(path.read_bytes()).hexdigest() == digest else "has other content than was frozen"
