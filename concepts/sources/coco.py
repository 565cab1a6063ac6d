"""Regions as COCO annotations, both ways: boxes, polygons and masks.

COCO has no word for absent: only judgements with regions are written, and what is read is present (or what
``attributes.verdict`` says, which we write). An image is known by its file name without folder and ending.

Source: Lin et al., ECCV 2014, and the data format page of the COCO site (object detection).
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from concepts.errors import DataError
from concepts.example import Origin
from concepts.files import write_atomically
from concepts.judgement import Judgement, Region, RegionKind, Verdict
from concepts.mask import encode, rasterise
from concepts.sources.coco_format import CocoAnnotation, CocoCategory, CocoImage, CocoMask
from concepts.sources.run_length import from_run_lengths, run_lengths, uncompressed

Size = tuple[int, int]
Points = Sequence[tuple[float, float]]


def coco_document(judgements: Iterable[Judgement], sizes: Mapping[str, Size]) -> dict[str, Any]:
    """Convert judgements with regions to a COCO document; the others are left out.

    Args:
        judgements: In any order.
        sizes: By image, width and height in pixels; brush masks are written at that size.

    Returns:
        A JSON-able object with images, categories and annotations.

    Raises:
        DataError: If the size of an image is not known.
    """
    drawn = [judgement for judgement in judgements if judgement.regions]
    unknown = sorted({judgement.image_id for judgement in drawn} - set(sizes))
    if unknown:
        raise DataError(
            f"the size of image {unknown[0]!r:.80} is missing ({len(unknown)} such images); COCO needs pixels"
        )
    images = {image_id: number for number, image_id in enumerate(sorted({j.image_id for j in drawn}), start=1)}
    concepts = {concept: number for number, concept in enumerate(sorted({j.concept for j in drawn}), start=1)}
    regions = [(judgement, region) for judgement in drawn for region in judgement.regions]
    return {
        "images": [
            {"id": number, "file_name": f"{image_id}.jpg", "width": sizes[image_id][0], "height": sizes[image_id][1]}
            for image_id, number in images.items()
        ],
        "categories": [{"id": number, "name": concept} for concept, number in concepts.items()],
        "annotations": [
            {
                "id": number,
                "image_id": images[judgement.image_id],
                "category_id": concepts[judgement.concept],
                **_shape(region, sizes[judgement.image_id]),
                "attributes": {
                    "reader": judgement.reader,
                    "verdict": str(judgement.verdict),
                    "reading": judgement.reading,
                },
            }
            for number, (judgement, region) in enumerate(regions, start=1)
        ],
    }


def write_coco(judgements: Iterable[Judgement], path: Path, *, sizes: Mapping[str, Size]) -> None:
    """Write `coco_document` to a file; arguments and errors as there."""
    write_atomically(path, json.dumps(coco_document(judgements, sizes), ensure_ascii=False))


def read_coco(path: Path, *, reader: str, origin: Origin = Origin.JUDGED) -> tuple[Judgement, ...]:
    """Read the regions of a COCO file as judgements, one for each reader, image and concept: all of them, or none.

    Args:
        path: A JSON file with images, categories and annotations.
        reader: Who drew, where an annotation does not say.
        origin: How the regions came about.

    Returns:
        In the order in which they first appear; the concept is the category's name as it stands.

    Raises:
        DataError: If the file cannot be read, or any image, category or annotation is bad; ``rows`` lists all.
    """
    document = _document(path)
    faults: list[str] = []
    images = {image.id: image for image in _parts(document, "images", CocoImage, faults)}
    categories = {category.id: category.name for category in _parts(document, "categories", CocoCategory, faults)}
    _refuse(path, faults)
    cells: dict[tuple[str, str, str, int, Verdict], list[Region]] = defaultdict(list)
    for number, entry in enumerate(_list(document, "annotations"), start=1):
        try:
            annotation = CocoAnnotation.model_validate(entry)
            image, concept = _known(annotation, images, categories)
            attributes = annotation.attributes
            cell = (attributes.reader or reader, image.image_id, concept, attributes.reading, attributes.verdict)
            cells[cell] += _regions(annotation, image)
        except (DataError, ValidationError) as error:
            faults.append(f"annotation {number}: {_reason(error)}")
    _refuse(path, faults)
    return tuple(_judgements(path, cells, origin))


def _judgements(
    path: Path, cells: Mapping[tuple[str, str, str, int, Verdict], list[Region]], origin: Origin
) -> list[Judgement]:
    judgements, faults = [], []
    judged: set[tuple[object, ...]] = set()
    for (reader, image_id, concept, reading, verdict), regions in cells.items():
        try:
            if (reader, image_id, concept, reading) in judged:
                raise DataError(f"image {image_id!r:.80}, {concept!r:.80}: two verdicts of {reader!r:.80}; keep one")
            judged.add((reader, image_id, concept, reading))
            judgement = Judgement(
                reader=reader,
                image_id=image_id,
                concept=concept,
                verdict=verdict,
                reading=reading,
                regions=tuple(regions),
                origin=origin,
            )
            judgements.append(judgement)
        except DataError as error:
            faults.append(str(error))
    _refuse(path, faults)
    return judgements


def _shape(region: Region, size: Size) -> dict[str, Any]:
    """Return the fields of an annotation that say where; a box has no segmentation."""
    if region.kind is RegionKind.BRUSH:
        mask = rasterise([region], *size)
        segmentation = {"size": [size[1], size[0]], "counts": run_lengths(mask)}
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        corners = [(columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1)] if rows.size else [(0, 0), (0, 0)]
        return {"segmentation": segmentation, "bbox": _box(corners), "area": int(mask.sum()), "iscrowd": 1}
    points = [(x * size[0], y * size[1]) for x, y in region.vertices]
    box = _box(points)
    if region.kind is RegionKind.BOX:
        return {"segmentation": [], "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
    flat = [coordinate for point in points for coordinate in point]
    return {"segmentation": [flat], "bbox": box, "area": _area(points), "iscrowd": 0}


def _box(points: Points) -> list[float]:
    (left, top), (right, bottom) = np.min(points, axis=0).tolist(), np.max(points, axis=0).tolist()
    return [left, top, right - left, bottom - top]


def _area(points: Points) -> float:
    """Of a polygon, by the shoelace formula."""
    x, y = np.array(points).T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _regions(annotation: CocoAnnotation, image: CocoImage) -> list[Region]:
    size = (image.width, image.height)
    if isinstance(annotation.segmentation, CocoMask):
        return [_brush(annotation.segmentation, size)]
    if annotation.segmentation:
        return [_polygon(flat, size) for flat in annotation.segmentation]
    if annotation.bbox is None:
        raise DataError("neither segmentation nor bbox; give one of them")
    left, top, width, height = annotation.bbox
    corners = (_fractions((left, top), size), _fractions((left + width, top + height), size))
    return [Region(RegionKind.BOX, corners)]


def _brush(mask: CocoMask, size: Size) -> Region:
    height, width = mask.size
    if (width, height) != size:
        raise DataError(f"the mask is {width} x {height} pixels, its image {size[0]} x {size[1]}")
    counts = uncompressed(mask.counts) if isinstance(mask.counts, str) else mask.counts
    return Region(RegionKind.BRUSH, mask=encode(from_run_lengths(counts, height, width)))


def _polygon(flat: list[float], size: Size) -> Region:
    if len(flat) % 2:
        raise DataError(f"a polygon needs pairs of coordinates (got {len(flat)} numbers)")
    points = zip(flat[::2], flat[1::2], strict=True)
    return Region(RegionKind.POLYGON, tuple(_fractions(point, size) for point in points))


def _fractions(point: tuple[float, float], size: Size) -> tuple[float, float]:
    """As fractions of width and height; what lies up to a pixel outside is put on the edge."""
    for coordinate, side in zip(point, size, strict=True):
        if not -1 <= coordinate <= side + 1:
            raise DataError(f"point {point[0]:g}, {point[1]:g} lies outside of the {size[0]} x {size[1]} image")
    x, y = (min(max(coordinate / side, 0.0), 1.0) for coordinate, side in zip(point, size, strict=True))
    return x, y


def _known(
    annotation: CocoAnnotation, images: Mapping[int | str, CocoImage], categories: Mapping[int | str, str]
) -> tuple[CocoImage, str]:
    if annotation.image_id not in images:
        raise DataError(f"image_id {annotation.image_id} is not among the images")
    if annotation.category_id not in categories:
        raise DataError(f"category_id {annotation.category_id} is not among the categories")
    return images[annotation.image_id], categories[annotation.category_id]


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: the file cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a COCO file: not JSON ({error})") from error
    keys = ("images", "categories", "annotations")
    if not isinstance(document, dict) or not all(isinstance(document.get(key), list) for key in keys):
        raise DataError(f"{path}: not a COCO file: needs an object with the lists {', '.join(keys)}")
    return document


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    return list(document[key])


def _parts(document: Mapping[str, Any], key: str, kind: type[Any], faults: list[str]) -> list[Any]:
    parts: dict[int | str, Any] = {}
    for number, entry in enumerate(_list(document, key), start=1):
        try:
            part = kind.model_validate(entry)
        except ValidationError as error:
            faults.append(f"{key} {number}: {_reason(error)}")
            continue
        if part.id in parts:
            faults.append(f"{key} {number}: id {part.id} comes twice")
        parts[part.id] = part
    return list(parts.values())


def _reason(error: DataError | ValidationError) -> str:
    if isinstance(error, DataError):
        return str(error)
    fault = error.errors()[0]
    field = ".".join(str(part) for part in fault["loc"])
    return " ".join(f"{field}: {fault['msg']} (got {fault['input']!r:.80})".split())


def _refuse(path: Path, faults: list[str]) -> None:
    if faults:
        rows = [f"{path}: {fault}" for fault in faults]
        raise DataError(f"{rows[0]} ({len(rows)} such faults; nothing was imported)", rows=rows)
