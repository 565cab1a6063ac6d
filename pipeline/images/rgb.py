"""Pixels of every kind that Pillow may hand out, as RGB: palettes, inks, transparency, 16 bits, ICC profiles."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from concepts.errors import ImageError

_TIFF_PHOTOMETRIC = 262
_TIFF_WHITE_IS_ZERO = 0
_PROFILE_OF_MODE = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}


def to_rgb(path: Path, image: ImageFile) -> Image.Image:
    """Convert a loaded picture of any mode to RGB; the path names it in errors.

    Raises:
        ImageError: If its values are floating-point or do not fit 16 bits.
    """
    profile = image.info.get("icc_profile")
    if image.mode.startswith(("I", "F")):
        return to_srgb(Image.fromarray(_eight_bits(path, image)), profile)
    plain = without_palette(image)
    if plain.mode != "RGBA":
        return to_srgb(plain, profile)
    paper = Image.new("RGB", plain.size, "white")
    paper.paste(to_srgb(plain.convert("RGB"), profile), mask=plain.getchannel("A"))
    return paper


def without_palette(image: Image.Image) -> Image.Image:
    """Convert to RGBA a picture that is transparent anywhere, else to a mode without a palette."""
    if image.mode.startswith(("I", "F")):
        return image
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("L", "RGB", "CMYK", "LAB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _eight_bits(path: Path, image: ImageFile) -> npt.NDArray[np.uint8]:
    """Scale grey values of 16 bits to 8 bits; Pillow's conversion would clip at 255."""
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ImageError(f"{path}: values of a kind that no picture has (mode {image.mode}); save it with 8 or 16 bits")
    if isinstance(image, TiffImageFile) and image.tag_v2.get(_TIFF_PHOTOMETRIC) == _TIFF_WHITE_IS_ZERO:
        values = 65535 - values
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to sRGB through the embedded profile if usable; a profile that names itself sRGB changes nothing."""
    if not profile:
        return image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        fits = source.profile.xcolor_space.strip() == _PROFILE_OF_MODE.get(image.mode)
        if not fits or "srgb" in ImageCms.getProfileDescription(source).lower():
            return image.convert("RGB")
        target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image.convert("RGB")
    return image.convert("RGB") if converted is None else converted
