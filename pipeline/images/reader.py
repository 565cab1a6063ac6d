"""One reader for JPEG, PNG, TIFF, BMP and DICOM: whatever the file holds, upright RGB uint8 comes out.

The format is told by the file's first bytes, never by its suffix. What differs between files is settled here, once:

* EXIF and TIFF orientation, mirrored ones included, is applied; an EXIF block that cannot be parsed counts as upright.
* An embedded ICC profile that fits the pixels is converted to sRGB; one that does not is ignored.
* Transparency is laid over white. Inks (CMYK, also Adobe's inverted ones) become RGB.
* 16-bit values are scaled by their full range, not by the range that one image happens to use.
* A file with several pages or frames is refused, since any of them may be meant. The previews that cameras append to a
  JPEG do not count.
* Truncated files are refused; nothing is filled in.
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from monai.data.image_reader import ImageReader
from monai.utils import MetaKeys
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from concepts.errors import ImageError
from pipeline.images.dicom import check_pixels, dicom_size, read_dicom
from pipeline.images.formats import is_dicom, pillow_format
from pipeline.images.rgb import to_rgb, to_srgb, without_palette

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

READER_VERSION = 1
"""Raised whenever the same file would give other pixels, so that nothing decoded before is taken for current."""

MAX_PIXELS = 100_000_000
"""Default limit on width times height; an image at the limit takes 300 MB decoded."""

_ORIENTATION_TAG = 0x0112
_UPRIGHTING = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: Path, *, longest_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Read an image file as upright RGB.

    Args:
        path: A JPEG, PNG, TIFF, BMP or DICOM file.
        longest_side: Reduce the image so that its longer side has so many pixels; a smaller image is left as it is.
            A JPEG is then decoded at a reduced scale, which costs a fraction of the time.
        max_pixels: Files with more pixels are refused before they are decoded.

    Returns:
        uint8, height x width x 3, C-contiguous, sRGB where the file says what its colours are.

    Raises:
        ImageError: If the file is missing, is not an image, is truncated, has several pages or is above the limit.
    """
    if longest_side is None:
        return np.ascontiguousarray(open_rgb(path, max_pixels=max_pixels))
    width, height = image_size(path)
    scale = min(1.0, longest_side / max(width, height))
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = open_rgb(path, at_least=(2 * target[0], 2 * target[1]), max_pixels=max_pixels)
    return np.ascontiguousarray(image.resize(target, Image.Resampling.BICUBIC))


def open_rgb(path: Path, *, at_least: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode an image file as an upright picture of mode RGB, for callers that resize it next.

    Args:
        path: A JPEG, PNG, TIFF, BMP or DICOM file.
        at_least: Width and height, upright, below which a JPEG must not be reduced while it is decoded (a half, a
            quarter or an eighth in each direction). Other formats come at full size. Asking for twice the size that is
            needed keeps the difference to a full decode below a grey level on average.
        max_pixels: Files with more pixels are refused before they are decoded.

    Raises:
        ImageError: As `read_image`.
    """
    with _naming(path):
        return _decode(path, at_least=at_least, max_pixels=max_pixels)


def read_mask(path: Path, *, max_pixels: int = MAX_PIXELS) -> Mask:
    """Read a mask file as upright booleans.

    Inside is what is not zero in any channel, so masks of 0 and 1, of 0 and 255 and painted ones read alike; what is
    fully transparent is outside. JPEG smears the values, so there inside starts at half of the range.

    Args:
        path: A JPEG, PNG, TIFF or BMP file.
        max_pixels: Files with more pixels are refused before they are decoded.

    Returns:
        bool, height x width, True inside.

    Raises:
        ImageError: As `read_image`.
    """
    with _naming(path):
        return _decode_mask(path, max_pixels=max_pixels)


def image_size(path: Path) -> tuple[int, int]:
    """Read width and height in pixels as `read_image` would give them, from the file's header alone.

    Raises:
        ImageError: If the file is missing or is not an image.
    """
    with _naming(path):
        return _size(path)


class DermoscopyReader(ImageReader):
    """The reader for MONAI: ``LoadImaged(keys, reader=DermoscopyReader())``.

    The array is height x width x channel and says so, so that after ``EnsureChannelFirstd`` the tensor is channel x
    height x width with rows as rows, where MONAI's own reader gives them transposed. Values are 0 to 255. Several files
    for one key are joined along the channels.

    The file is decoded in `get_data`, not in `read`: MONAI answers a failing `read` by trying its other readers in
    turn, which would accept a file that was refused for a reason and would hide that reason.

    Args:
        longest_side: See `read_image`.
        max_pixels: See `read_image`.
    """

    def __init__(self, *, longest_side: int | None = None, max_pixels: int = MAX_PIXELS) -> None:
        super().__init__()
        self.longest_side = longest_side
        self.max_pixels = max_pixels

    def verify_suffix(self, filename: Any) -> bool:  # noqa: ANN401 - MONAI's signature
        """Accept any suffix: formats are told by content."""
        return True

    def read(self, data: Any, **kwargs: Any) -> list[Path]:  # noqa: ANN401 - MONAI's signature
        """Return the files to decode, as paths."""
        return [Path(data)] if isinstance(data, str | Path) else [Path(name) for name in data]

    def get_data(self, img: Sequence[Path]) -> tuple[Pixels, dict[str, Any]]:
        """Decode the files.

        Returns:
            uint8, height x width x 3 (times the number of files), and MONAI's metadata.

        Raises:
            ImageError: As `read_image`, or if several files differ in size.
        """
        arrays = [read_image(path, longest_side=self.longest_side, max_pixels=self.max_pixels) for path in img]
        for path, array in zip(img, arrays, strict=True):
            if array.shape != arrays[0].shape:
                raise ImageError(f"{path}: {_by(array)} pixels, but {img[0]} has {_by(arrays[0])}; give equal sizes")
        shape = np.asarray(arrays[0].shape[:2])
        return np.concatenate(arrays, axis=-1), {MetaKeys.ORIGINAL_CHANNEL_DIM: -1, MetaKeys.SPATIAL_SHAPE: shape}


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn whatever a decoder throws at a broken file into an `ImageError` that names the file."""
    try:
        yield
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file") from error
    except Exception as error:
        raise ImageError(f"{path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return f"truncated or damaged ({text}); fetch the file again"
    return f"cannot be decoded ({text})"


def _decode(path: Path, *, at_least: tuple[int, int] | None, max_pixels: int) -> Image.Image:
    if is_dicom(path):
        pixels, profile = read_dicom(path, max_pixels=max_pixels)
        return to_srgb(Image.fromarray(pixels), profile)
    with path.open("rb") as file:
        image = _open(path, file, max_pixels=max_pixels)
        orientation = _orientation(image)
        if at_least is not None and isinstance(image, JpegImageFile):
            image.draft(None, at_least[::-1] if orientation >= 5 else at_least)
        image.load()
        return _turn(to_rgb(path, image), orientation)


def _decode_mask(path: Path, *, max_pixels: int) -> Mask:
    if is_dicom(path):
        raise ImageError(f"{path}: a DICOM file; a mask is expected as PNG, TIFF, BMP or JPEG: convert it")
    with path.open("rb") as file:
        image = _open(path, file, max_pixels=max_pixels)
        orientation = _orientation(image)
        image.load()
        plain = _turn(without_palette(image), orientation)
    values = np.asarray(plain) > (127 if isinstance(image, JpegImageFile) else 0)
    if plain.mode == "RGBA":
        values = values[..., :3] & values[..., 3:]
    return np.asarray(values.any(axis=-1) if values.ndim == 3 else values)


def _size(path: Path) -> tuple[int, int]:
    if is_dicom(path):
        return dicom_size(path)
    with path.open("rb") as file:
        image = _open(path, file, max_pixels=None)
        return image.size[::-1] if _orientation(image) >= 5 else image.size


def _open(path: Path, file: IO[bytes], *, max_pixels: int | None) -> ImageFile:
    """Read the header with the class of the format: ``Image.open`` would impose a size limit as well."""
    head = file.read(8)
    file.seek(0)
    kind = pillow_format(head)
    if kind is None:
        beginning = f"begins with {head!r}" if head else "is empty"
        raise ImageError(f"{path}: not an image: {beginning}; expected JPEG, PNG, TIFF, BMP or DICOM")
    image = kind(file)
    if max_pixels is not None:
        check_pixels(path, image.size, max_pixels=max_pixels)
    pages = getattr(image, "n_frames", 1)
    if pages != 1:
        raise ImageError(f"{path}: {pages} pages; expected a single picture: save the right one as a separate file")
    return image


def _orientation(image: ImageFile) -> int:
    """Return the EXIF orientation, 1 to 8, that is still to be applied."""
    if isinstance(image, TiffImageFile):  # Pillow turns these while it loads them
        return 1
    if isinstance(image, PngImageFile) and "exif" not in image.info:  # asking would decode the whole file
        return 1
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, OverflowError, OSError, struct.error):
        return 1
    return orientation if orientation in _UPRIGHTING else 1


def _turn(image: Image.Image, orientation: int) -> Image.Image:
    return image if orientation == 1 else image.transpose(_UPRIGHTING[orientation])


def _by(array: Pixels) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
