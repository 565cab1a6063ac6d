"""Samples from any download of the ISIC archive: images, with a ``metadata.csv`` or with a JSON file beside each.

Columns differ from download to download; in each line of this table, the first column with a value counts.

============  ==========================================================================================
of a sample   columns
============  ==========================================================================================
image_id      ``isic_id``, ``image_id``, ``image``, ``image_name``, ``name`` (a suffix such as .jpg is dropped)
diagnosis     ``diagnosis_5`` to ``diagnosis_1``, ``diagnosis``, ``dx``
patient_id    ``patient_id``
lesion_id     ``lesion_id``
site          ``anatom_site_5`` to ``anatom_site_1``, ``anatom_site_general``,
              ``anatom_site_general_challenge``, ``localization``
sex           ``sex``
age           ``age_approx``, ``age``
image_type    ``image_type``
licence       ``copyright_license``, ``license``
============  ==========================================================================================

``isic_id`` and ``diagnosis_1`` to ``diagnosis_5`` are the archive's present names, ``diagnosis`` and
``anatom_site_general`` its older ones; ``image_id``, ``dx``, ``age`` and ``localization`` are those of HAM10000
(``HAM10000_metadata.csv``). JSON files are read as the archive's first interface gave them. The diagnosis is the
narrowest level that the vocabulary knows; ``benign_malignant`` and ``diagnosis_1`` are too broad to be one.

Images may lie in subfolders, as JPEG, PNG, TIFF, BMP or DICOM. An image without a row is not part of the cohort.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from concepts.errors import DataError
from concepts.vocabulary import load_vocabulary
from pipeline.data.digests import file_digests
from pipeline.data.sample import Sample
from pipeline.data.sources.metadata import Row, collect_samples, read_side_file, read_table
from pipeline.images.formats import SUFFIXES

TABLES = ("metadata.csv", "HAM10000_metadata.csv", "HAM10000_metadata")
IMAGE = ("isic_id", "image_id", "image", "image_name", "name")
LEVELS = tuple(f"diagnosis_{level}" for level in range(5, 1, -1))
DIAGNOSIS = (*LEVELS, "diagnosis", "dx")
SITE = (
    *(f"anatom_site_{level}" for level in range(5, 0, -1)),
    "anatom_site_general",
    "anatom_site_general_challenge",
    "localization",
)
SEXES = {"female": "female", "f": "female", "male": "male", "m": "male"}
OLDEST = 120
ADVICE = "correct or remove these rows (concepts/vocabulary/diagnoses.yaml lists the known diagnoses)"


def load_isic(root: Path) -> list[Sample]:
    """Load the samples of a folder downloaded from the ISIC archive, or of HAM10000.

    Raises:
        DataError: If the folder, the table or a column is missing, or rows cannot be used (no or unknown diagnosis, no
            image or several, an impossible age or sex, an image listed twice); ``rows`` lists them all.
    """
    rows, images = read_rows(root), find_images(root)
    samples = collect_samples(rows, partial(_sample, images=images, root=root), origin=root, advice=ADVICE)
    return with_digests(samples)


def read_rows(root: Path) -> list[Row]:
    """Read the rows of the folder's table, else of the JSON files in it.

    Raises:
        DataError: If there is neither, or it cannot be read.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; data.root must name the folder with the images and metadata.csv")
    for name in TABLES:
        if (root / name).is_file():
            return read_table(root / name, required=(IMAGE, (*DIAGNOSIS[-2:], *LEVELS[::-1])))
    side_files = sorted(path for path in root.rglob("*.json") if not path.name.startswith("."))
    if not side_files:
        raise DataError(f"{root}: no metadata.csv, and no JSON files beside the images; export the metadata with them")
    return [read_side_file(path) for path in side_files]


def find_images(root: Path) -> dict[str, list[Path]]:
    """Find the image files in a folder and its subfolders, by name without suffix."""
    images = defaultdict(list)
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file():
            images[path.stem].append(path)
    return dict(images)


def describe(row: Row, *, path: Path, image_id: str, source: str) -> Sample:
    """Make a sample as a row describes it, its digest still empty.

    Raises:
        DataError: If the diagnosis is missing or unknown, or age or sex are impossible.
    """
    return Sample(
        image_id=image_id,
        path=path,
        digest="",
        diagnosis=find_diagnosis(row),
        source=source,
        patient_id=row.first(["patient_id"]),
        lesion_id=row.first(["lesion_id"]),
        site=row.first(SITE),
        sex=_sex(row.first(["sex"])),
        age=_age(row.first(["age_approx", "age"])),
        skin_tone=_skin_tone(row.first(["fitzpatrick_skin_type"])),
        image_type=row.first(["image_type"]),
        licence=row.first(["copyright_license", "license"]),
    )


def _skin_tone(fitzpatrick: str | None) -> str | None:
    return None if fitzpatrick is None else f"Fitzpatrick {fitzpatrick.upper()}"


def find_image_id(row: Row) -> str:
    """Return the identifier of the image that a row describes.

    Raises:
        DataError: If it does not say.
    """
    name = row.first(IMAGE)
    if name is None:
        raise DataError(f"names no image; expected a value in one of {', '.join(IMAGE)}")
    if Path(name).name != name:
        raise DataError(f"image '{name}' is a path; expected the name of a file without its folder")
    return Path(name).stem if Path(name).suffix.lower() in SUFFIXES else name


def find_diagnosis(row: Row) -> str:
    """Return the identifier of the narrowest diagnosis that a row gives and the vocabulary knows.

    Raises:
        DataError: If it gives none, or none that is known.
    """
    given = [row.values[column] for column in DIAGNOSIS if column in row.values]
    for text in given:
        try:
            return load_vocabulary().diagnosis(text).id
        except DataError:
            continue
    if given:
        raise DataError(f"unknown diagnosis '{' > '.join(reversed(given))}'")
    broad = row.first(["diagnosis_1", "benign_malignant"])
    raise DataError(f"no diagnosis beyond '{broad}'" if broad else "no diagnosis")


def with_digests(samples: Sequence[Sample]) -> list[Sample]:
    """Add the digests of their files to samples.

    Raises:
        DataError: If a file cannot be read.
    """
    digests = file_digests([sample.path for sample in samples])
    return [replace(sample, digest=digest) for sample, digest in zip(samples, digests, strict=True)]


def _sample(row: Row, *, images: Mapping[str, Sequence[Path]], root: Path) -> Sample:
    image_id = find_image_id(row)
    paths = images.get(image_id, ())
    if not paths:
        raise DataError(f"no image file called '{image_id}'")
    if len(paths) > 1:
        raise DataError(f"{len(paths)} files called '{image_id}': {', '.join(str(p.relative_to(root)) for p in paths)}")
    return describe(row, path=paths[0], image_id=image_id, source="isic")


def _sex(text: str | None) -> str | None:
    if text is None:
        return None
    if text.lower() not in SEXES:
        raise DataError(f"sex '{text}'; expected female, male or nothing")
    return SEXES[text.lower()]


def _age(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        age = float(text.removesuffix("+"))
    except ValueError:
        age = -1.0
    if not 0 <= age <= OLDEST:
        raise DataError(f"age '{text}'; expected 0 to {OLDEST} years or nothing")
    return age
