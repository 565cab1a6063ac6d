"""Concepts of the ISIC 2018 challenge: five attributes that experts outlined (task 2), and asymmetry (from task 1).

Folders as in the challenge's training set. An attribute mask that is black throughout means that nobody marked the
attribute: it may still be there, so such an example is *unmarked*, not absent.

Source: Codella et al. 2018, arXiv 1902.03368.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from concepts.errors import DataError
from concepts.example import ConceptEntry, Example, Origin, Polarity
from concepts.measures.asymmetry import AsymmetryRule, asymmetry_example
from concepts.release import Release, freeze
from concepts.sources.masks import UNREADABLE, read_each, read_mask, require_files
from concepts.vocabulary import load_vocabulary

IMAGES = "ISIC2018_Task1-2_Training_Input"
LESIONS = "ISIC2018_Task1_Training_GroundTruth"
ATTRIBUTE_MASKS = "ISIC2018_Task2_Training_GroundTruth_v3"
ATTRIBUTES = ("pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules")
LICENCE = "CC0-1.0"


def isic2018_release(root: Path, image_digests: Mapping[str, str]) -> Release:
    """Freeze the first release of the concepts of ISIC 2018; arguments and errors as for `isic2018_examples`."""
    concepts, examples = isic2018_examples(root, image_digests)
    return freeze(
        "isic2018",
        1,
        concepts=concepts,
        examples=examples,
        description="ISIC 2018: attributes outlined by experts (task 2); asymmetry measured on lesion masks (task 1)",
        licence=LICENCE,
    )


def isic2018_examples(
    root: Path, image_digests: Mapping[str, str]
) -> tuple[tuple[ConceptEntry, ...], tuple[Example, ...]]:
    """Read the concepts of ISIC 2018 and their examples.

    Args:
        root: Folder that holds the three challenge folders.
        image_digests: By image, the SHA-256 of its file; only these images are read.

    Returns:
        The six concepts, and an example of each attribute for every image (present with its region, or unmarked), and
        of asymmetry for every lesion that is clearly asymmetric or clearly symmetric and lies whole in the picture.

    Raises:
        DataError: If a folder or file is missing, a mask is unreadable, empty (lesions) or of another size than
            its image.
    """
    require_folders(root, (IMAGES, LESIONS, ATTRIBUTE_MASKS))
    rule = AsymmetryRule()
    require_files(root, (path for image_id in image_digests for path in _paths(image_id)))
    read = partial(_image_examples, root=root, rule=rule)
    examples = read_each(read, list(image_digests.items()), root=root)
    marked = (ConceptEntry.from_vocabulary(attribute, origin=Origin.MARKED) for attribute in ATTRIBUTES)
    return (*marked, rule.entry), tuple(example for of_image in examples for example in of_image)


def require_folders(root: Path, folders: Sequence[str]) -> None:
    """Refuse a data root that lacks folders of the challenge.

    Raises:
        DataError: If any is missing.
    """
    missing = [folder for folder in folders if not (root / folder).is_dir()]
    if missing:
        raise DataError(
            f"{root}: no folder {' and no '.join(missing)}; point data.root at the folder that holds the ISIC 2018 "
            "training sets of tasks 1 and 2, as they come from the challenge"
        )


def _paths(image_id: str) -> list[str]:
    attributes = [_attribute_path(image_id, attribute) for attribute in ATTRIBUTES]
    return [image_path(image_id), lesion_path(image_id), *attributes]


def image_path(image_id: str) -> str:
    """Return where an image lies, relative to the data root."""
    return f"{IMAGES}/{image_id}.jpg"


def lesion_path(image_id: str) -> str:
    """Return where the mask of an image's lesion lies."""
    return f"{LESIONS}/{image_id}_segmentation.png"


def _attribute_path(image_id: str, attribute: str) -> str:
    return f"{ATTRIBUTE_MASKS}/{image_id}_attribute_{attribute}.png"


def _image_examples(image: tuple[str, str], *, root: Path, rule: AsymmetryRule) -> list[Example]:
    image_id, image_digest = image
    size = _image_size(root, image_path(image_id))
    examples = [_attribute_example(image, attribute, root=root, size=size) for attribute in ATTRIBUTES]
    region, lesion = read_mask(root, lesion_path(image_id), size=size)
    if not lesion.any():
        raise DataError(f"{region.path}: the lesion mask is empty")
    measured = asymmetry_example(lesion, image_id=image_id, image_digest=image_digest, region=region, rule=rule)
    return [*examples, measured] if measured else examples


def _attribute_example(image: tuple[str, str], attribute: str, *, root: Path, size: tuple[int, int]) -> Example:
    image_id, image_digest = image
    region, mask = read_mask(root, _attribute_path(image_id, attribute), size=size)
    is_marked = bool(mask.any())
    return Example(
        image_id=image_id,
        image_digest=image_digest,
        concept=load_vocabulary().concept(attribute).id,
        polarity=Polarity.PRESENT if is_marked else Polarity.UNMARKED,
        region=region if is_marked else None,
        provenance="ISIC 2018 task 2 mask",
    )


def _image_size(root: Path, relative: str) -> tuple[int, int]:
    try:
        with Image.open(root / relative) as image:
            return image.size
    except UNREADABLE as error:
        raise DataError(f"{relative}: the image cannot be read ({error})") from error
