"""Judgements from a file of any format that the store takes, each with its place in the file; and to such a file."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from concepts.errors import DataError
from concepts.judgement import Judgement
from concepts.release import read_release, verify_regions
from concepts.sources.coco import Size, read_coco, write_coco
from concepts.sources.csv_table import HEADER_ROW, read_csv, write_csv
from concepts.sources.derm7pt import derm7pt_judgements
from concepts.sources.formats import Format, format_of
from concepts.sources.jsonlines import read_jsonlines, write_jsonlines
from concepts.sources.lesion_masks import example_judgements
from concepts.sources.ph2 import ph2_judgements


@dataclass(frozen=True, slots=True)
class JudgementFile:
    """What a file holds.

    Attributes:
        judgements: In the order of the file.
        locations: Where in the file each stands, for errors.
        digests: By image, the SHA-256 of its file, where the format says it (a release does).
    """

    judgements: tuple[Judgement, ...]
    locations: tuple[str, ...]
    digests: Mapping[str, str]


def read_judgements(path: Path, format: Format | None = None, *, reader: str | None = None) -> JudgementFile:
    """Read the judgements of a file: all of them, or none.

    Args:
        path: The file.
        format: Default: what the ending stands for.
        reader: Who judged, where the file does not say; default for regions: the file's name without its ending, for
            a release: its word, for the table of a data set: the format's name.

    Raises:
        DataError: If the file cannot be read or anything in it is bad; ``rows`` lists all.
        ReleaseError: If a release was altered, or one of its masks.
    """
    match format or format_of(path):
        case Format.CSV:
            return _numbered(path, read_csv(path, reader=reader), first=HEADER_ROW + 1)
        case Format.JSONLINES:
            return _numbered(path, read_jsonlines(path, reader=reader), first=1)
        case Format.COCO:
            return _named(path, read_coco(path, reader=reader or path.stem), {})
        case Format.RELEASE:
            return _of_release(path, reader=reader)
        case Format.DERM7PT:
            return _of_table(path, derm7pt_judgements(path), reader=reader)
        case Format.PH2:
            return _of_table(path, ph2_judgements(path), reader=reader)


def within(
    judgements: Sequence[Judgement], *, images: Collection[str], concepts: Collection[str]
) -> tuple[Judgement, ...]:
    """Keep those judgements of a whole data set that are about a set's images and concepts."""
    return tuple(
        judgement for judgement in judgements if judgement.image_id in images and judgement.concept in concepts
    )


def write_judgements(
    judgements: Sequence[Judgement], path: Path, format: Format | None = None, *, sizes: Mapping[str, Size]
) -> int:
    """Write judgements to a new file.

    Args:
        judgements: In any order.
        path: A file that does not exist yet.
        format: Default: what the ending stands for.
        sizes: By image, width and height in pixels, for COCO.

    Returns:
        How many were written: COCO takes those with regions only.

    Raises:
        DataError: If the file exists or cannot be written, the format is only read, or a size is not known.
    """
    file_format = format or format_of(path)
    if path.exists():
        raise DataError(f"{path}: exists already; nothing is overwritten: give another name")
    writers: Mapping[Format, Callable[[], None]] = {
        Format.CSV: lambda: write_csv(judgements, path),
        Format.JSONLINES: lambda: write_jsonlines(judgements, path),
        Format.COCO: lambda: write_coco(judgements, path, sizes=sizes),
    }
    if file_format not in writers:
        made = "made by freezing" if file_format is Format.RELEASE else "another's data set"
        raise DataError(f"a {file_format} is {made}; judgements are written as {', '.join(writers)}")
    try:
        writers[file_format]()
    except OSError as error:
        raise DataError(f"{path}: the file cannot be written: {error.strerror}") from error
    with_regions = sum(bool(judgement.regions) for judgement in judgements)
    return with_regions if file_format is Format.COCO else len(judgements)


def refuse_other_images(file: JudgementFile, digests: Mapping[str, str]) -> None:
    """Refuse judgements of images of which other files are known under the same names.

    Args:
        file: What a file holds.
        digests: By image, the SHA-256 of the file that is known.

    Raises:
        DataError: If there are any; ``rows`` lists all.
    """
    faults = [
        f"{location}: was decided on another file of this name (SHA-256)"
        for location, judgement in zip(file.locations, file.judgements, strict=True)
        if len({table[judgement.image_id] for table in (file.digests, digests) if judgement.image_id in table}) > 1
    ]
    if faults:
        raise DataError(f"{faults[0]} ({len(faults)} such; nothing was imported)", rows=faults)


def _numbered(path: Path, judgements: Sequence[Judgement], *, first: int) -> JudgementFile:
    """Locate judgements of a format with one in each row by their row."""
    locations = tuple(f"{path}: row {number}" for number, _ in enumerate(judgements, start=first))
    return JudgementFile(tuple(judgements), locations, {})


def _named(path: Path, judgements: Sequence[Judgement], digests: Mapping[str, str]) -> JudgementFile:
    """Locate judgements of other formats by their image and concept."""
    locations = tuple(f"{path}: {judgement.image_id:.80}, {judgement.concept:.80}" for judgement in judgements)
    return JudgementFile(tuple(judgements), locations, digests)


def _of_table(path: Path, judgements: Sequence[Judgement], *, reader: str | None) -> JudgementFile:
    return _named(path, [replace(judgement, reader=reader or judgement.reader) for judgement in judgements], {})


def _of_release(path: Path, *, reader: str | None) -> JudgementFile:
    release = read_release(path)
    verify_regions(release, path.parent)
    source = reader or f"{release.name}@{release.version}"
    judgements = example_judgements(release.concepts, release.examples, reader=source, root=path.parent)
    return _named(path, judgements, {example.image_id: example.image_digest for example in release.examples})
