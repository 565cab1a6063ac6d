"""The map of an axis as a see-through picture that is laid on the image."""

from base64 import b64decode, b64encode
from io import BytesIO

import numpy as np
from PIL import Image

from concepts.errors import RunError
from pipeline.results.case import EvidenceContent

COLOUR = (0, 170, 255)
"""A hue that skin does not have."""
OPAQUE = 0.8
"""Opacity of the strongest position."""
STRONG = 3.0
"""Standard deviations above the training mean that are drawn at full strength, so that a weak map looks weak."""
ENLARGED = 8
"""Pixels per cell, so that browsers have nothing to sharpen."""


def evidence_uri(evidence: EvidenceContent) -> str:
    """Draw a PNG as a ``data:`` address: transparent where the axis is at the training mean or below.

    Raises:
        RunError: If the case's map is damaged.
    """
    buffer = BytesIO()
    _picture(evidence).save(buffer, format="PNG", compress_level=4)
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode('ascii')}"


def evidence_values(evidence: EvidenceContent) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Values of the axis, h x w, in standard deviations of the whitened space, to within a byte's precision.

    Raises:
        RunError: If the case's map is damaged.
    """
    cells = np.frombuffer(b64decode(evidence.cells), dtype=np.uint8)
    if cells.size != evidence.height * evidence.width:
        raise RunError(
            f"a map of {evidence.height} x {evidence.width} cells has {cells.size} bytes; explain the run again"
        )
    span = evidence.high - evidence.low
    return evidence.low + cells.reshape(evidence.height, evidence.width) / 255 * span


def _picture(evidence: EvidenceContent) -> Image.Image:
    values = evidence_values(evidence)
    strength = np.clip(values / max(STRONG, evidence.high), 0, 1)
    picture = np.empty((*values.shape, 4), dtype=np.uint8)
    picture[..., :3] = COLOUR
    picture[..., 3] = np.round(255 * OPAQUE * strength)
    size = (ENLARGED * evidence.width, ENLARGED * evidence.height)
    return Image.fromarray(picture, "RGBA").resize(size, Image.Resampling.BICUBIC)
