"""Region masks: from what readers drew to one mask of the image's size, as a PNG file."""

import warnings
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, UnidentifiedImageError

from concepts.errors import DataError
from concepts.judgement import Region, RegionKind

SIDE_LIMIT = 8192
Mask = NDArray[np.bool_]


def check_mask(content: bytes) -> None:
    """Refuse a brush mask that is not a whole PNG file of a sensible size.

    Raises:
        DataError: If it cannot be decoded, or a side is longer than `SIDE_LIMIT` pixels.
    """
    _decode(content)


def rasterise(regions: Sequence[Region], width: int, height: int) -> Mask:
    """Draw the union of regions as a mask.

    Args:
        regions: What one reader drew.
        width: Of the image, in pixels.
        height: Of the image, in pixels.

    Returns:
        height x width; True inside.
    """
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    for region in regions:
        points = [(x * width, y * height) for x, y in region.vertices]
        match region.kind:
            case RegionKind.BOX:
                draw.rectangle(points, fill=1)
            case RegionKind.POLYGON:
                draw.polygon(points, fill=1)
            case RegionKind.BRUSH:
                brush = _decode(region.mask or b"").resize((width, height), Image.Resampling.NEAREST)
                canvas.paste(1, mask=brush)
    return np.asarray(canvas, dtype=np.bool_)


def majority(masks: Sequence[Mask]) -> Mask:
    """Keep the pixels that at least half of the readers who drew marked.

    Args:
        masks: One or more, each height x width.
    """
    return np.stack(masks).sum(axis=0) * 2 >= len(masks)  # type: ignore[no-any-return]


def encode(mask: Mask) -> bytes:
    """Write the mask as a one-bit PNG file; the same mask gives the same bytes with the same Pillow."""
    buffer = BytesIO()
    Image.fromarray(mask).save(buffer, format="PNG", optimize=False)
    return buffer.getvalue()


def _decode(content: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(content), formats=("PNG",)) as image:
                if max(image.size) > SIDE_LIMIT:
                    raise DataError(f"the brush mask is {image.width} x {image.height}; at most {SIDE_LIMIT} a side")
                return image.convert("L").point(lambda value: 255 * (value > 0)).convert("1")
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombWarning) as error:
        raise DataError(f"the brush mask is not a readable PNG file: {' '.join(str(error).split()):.120}") from error
