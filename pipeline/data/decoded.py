"""Decoded images on disk, by content: an image is decoded once.

An entry's name holds the SHA-256 of the image file and all else that the pixels depend on (size, fit, version of the
reader), so an entry is never stale and may be deleted at any time.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from concepts.errors import ImageError
from concepts.files import replacing
from pipeline.choices import Fit
from pipeline.data.sample import Sample
from pipeline.images.reader import MAX_PIXELS, READER_VERSION, Mask, Pixels, image_size, open_rgb, read_mask

REGION_STRIDE = 4
"""Image pixels per mask pixel, in each direction."""

Paths = Sequence[Path | None]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a cohort that cannot be used.

    Attributes:
        row: Position in the list of samples, from 0.
        sample: The sample.
        reason: One line that names the file.
    """

    row: int
    sample: Sample
    reason: str


def fit_square(array: npt.NDArray[np.uint8], fit: Fit) -> npt.NDArray[np.uint8]:
    """Cut or extend an image, at its own scale, to what becomes the square.

    ``squash`` keeps everything and leaves the aspect to the resize. ``crop`` keeps the central square. ``pad`` extends
    the shorter side: an image by repeating its border (a mirrored lesion would be a second lesion), a mask by zeros.

    Args:
        array: Height x width x 3 (an image) or height x width (a mask).
        fit: How.
    """
    height, width = array.shape[:2]
    if fit is Fit.SQUASH or height == width:
        return array
    if fit is Fit.CROP:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return array[top : top + side, left : left + side]
    rows, columns = max(width - height, 0), max(height - width, 0)
    borders = [(rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)]
    if array.ndim == 2:
        return np.pad(array, borders)
    return np.pad(array, [*borders, (0, 0)], mode="edge")


def decode_square(path: Path, *, size: int, fit: Fit, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode an image file as a square.

    Args:
        path: The file.
        size: Side of the square in pixels.
        fit: How an oblong image becomes a square.
        max_pixels: Files with more pixels are refused.

    Returns:
        uint8, size x size x 3, RGB.

    Raises:
        ImageError: If the file cannot be read.
    """
    needed: tuple[int, ...] = (2 * size, 2 * size)
    if fit is Fit.PAD:
        width, height = image_size(path)
        needed = tuple(-(-2 * size * side // max(width, height)) for side in (width, height))
    return image_square(open_rgb(path, at_least=(needed[0], needed[1]), max_pixels=max_pixels), size=size, fit=fit)


def image_square(image: Image.Image, *, size: int, fit: Fit) -> Pixels:
    """Resize a picture of mode RGB to a square: uint8, size x size x 3."""
    square = Image.fromarray(fit_square(np.asarray(image), fit))
    return np.asarray(square.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0))


def mask_square(mask: Mask, *, size: int, fit: Fit) -> npt.NDArray[np.uint8]:
    """Resize a mask to a square, by the same geometry as its image.

    Args:
        mask: Height x width, True inside.
        size: Side of the square in pixels.
        fit: How an oblong mask becomes a square.

    Returns:
        uint8, size x size: the share of each pixel that is inside, 0 to 255.
    """
    square = Image.fromarray(fit_square(mask.astype(np.uint8) * np.uint8(255), fit))
    return np.asarray(square.resize((size, size), Image.Resampling.BOX))


class DecodedCache:
    """Decoded square images, and their masks at a quarter of the side, in a folder.

    Several processes and threads may use one folder at once, since an entry appears in one step. A damaged entry is
    rebuilt.

    Args:
        folder: Where the entries lie; made when the first one is written.
        size: Side of the squares in pixels.
        fit: How an oblong image becomes a square.
        max_pixels: Image files with more pixels are refused.
    """

    def __init__(self, folder: Path, *, size: int, fit: Fit, max_pixels: int = MAX_PIXELS) -> None:
        self.folder = folder.expanduser() / f"v{READER_VERSION}-{fit.value}-{size}"
        self.size = size
        self.fit = fit
        self.max_pixels = max_pixels

    @property
    def region_size(self) -> int:
        """Side of the masks in pixels."""
        return max(1, self.size // REGION_STRIDE)

    def get(self, sample: Sample) -> Pixels:
        """Return the image of a sample: uint8, size x size x 3.

        Raises:
            ImageError: If it is not in the cache and its file cannot be read.
        """
        return _cached(
            self._entry(sample.digest),
            (self.size, self.size, 3),
            lambda: decode_square(sample.path, size=self.size, fit=self.fit, max_pixels=self.max_pixels),
        )

    def get_masks(self, sample: Sample, paths: Paths) -> npt.NDArray[np.uint8]:
        """Return the masks of a sample, aligned with its image.

        Args:
            sample: Whose masks they are.
            paths: One mask file per plane; None gives a plane of zeros. A file is known by its name, size and time of
                change.

        Returns:
            uint8, planes x region_size x region_size: the share of each mask pixel that is inside, 0 to 255.

        Raises:
            ImageError: If a mask cannot be read or differs from its image in shape.
        """
        side = self.region_size
        if all(path is None for path in paths):
            return np.zeros((len(paths), side, side), dtype=np.uint8)
        digest = hashlib.sha256(f"{sample.digest} {_identity(paths)}".encode()).hexdigest()
        return _cached(self._entry(digest), (len(paths), side, side), lambda: self._decode_masks(sample, paths))

    def fill(
        self, samples: Sequence[Sample], *, workers: int = 2, progress: Callable[[int], None] | None = None
    ) -> list[BadRow]:
        """Decode what is not in the cache yet, and collect every row that cannot be decoded.

        Args:
            samples: The cohort.
            workers: Threads; the decoders run side by side.
            progress: Called with 1 after each sample, in the calling thread.

        Returns:
            The rows that cannot be used, in the order of the samples; empty if all is well.
        """
        bad = []
        with ThreadPoolExecutor(max(1, workers)) as pool:
            try:
                for row, reason in enumerate(pool.map(self._problem, samples)):
                    if reason is not None:
                        bad.append(BadRow(row, samples[row], reason))
                    if progress is not None:
                        progress(1)
            except BaseException:  # Ctrl-C above all: without this the pool would first finish what is queued
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return bad

    def _problem(self, sample: Sample) -> str | None:
        try:
            self.get(sample)
        except ImageError as error:
            return str(error)
        return None

    def _entry(self, digest: str) -> Path:
        return self.folder / digest[:2] / f"{digest}.npy"

    def _decode_masks(self, sample: Sample, paths: Paths) -> npt.NDArray[np.uint8]:
        side = self.region_size
        planes = np.zeros((len(paths), side, side), dtype=np.uint8)
        width, height = image_size(sample.path)
        for plane, path in zip(planes, paths, strict=True):
            if path is not None:
                mask = read_mask(path, max_pixels=self.max_pixels)
                _check_aspect(path, mask, (width, height))
                plane[:] = mask_square(mask, size=side, fit=self.fit)
        return planes


def _check_aspect(path: Path, mask: Mask, size: tuple[int, int]) -> None:
    """Refuse a mask whose shape is not that of its image, give or take the rounding of a resize."""
    (height, width), (image_width, image_height) = mask.shape, size
    if abs(width * image_height - height * image_width) > max(image_width, image_height):
        raise ImageError(
            f"{path}: mask of {width} x {height} for an image of {image_width} x {image_height} pixels; "
            "the two must have the same proportions"
        )


def _identity(paths: Paths) -> str:
    parts = []
    for path in paths:
        try:
            state = None if path is None else path.stat()
        except OSError as error:
            raise ImageError(f"{path}: mask file cannot be read ({error.strerror})") from error
        parts.append("-" if path is None or state is None else f"{path.name}:{state.st_size}:{state.st_mtime_ns}")
    return "|".join(parts)


def _cached(entry: Path, shape: tuple[int, ...], decode: Callable[[], npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    try:
        array = np.load(entry, allow_pickle=False)
        if array.shape == shape and array.dtype == np.uint8:
            return array
    except (OSError, ValueError, EOFError):  # not there yet, or damaged: built again below
        pass
    array = np.ascontiguousarray(decode())
    entry.parent.mkdir(parents=True, exist_ok=True)
    with replacing(entry, durable=False) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    return array
