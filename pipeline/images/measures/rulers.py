"""A ruler in a picture, told from hair by its rhythm: its ticks follow one another at equal steps along a line.

Dark threads vote for the lines on which they lie (Hough 1962; Duda and Hart 1972). What lies on a narrow strip at
either side of a line is summed across the strip, and the profile along the line compared with itself, moved by one
step, two, and up to five. Hairs agree with themselves moved once, by chance; ticks after each of the steps.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FAINTEST, DARKEST = 8.0, 24.0
"""How much darker than its surroundings, of 255, a pixel must be to count; and where more darkness counts no more."""
DENSEST, MOST = 0.05, 2500
"""At most this share of the pixels counts, the darkest, and not more than so many, since each costs time."""
ANGLES = 90
"""Directions of lines, 2 degrees apart."""
BIN = 2
"""Width in pixels of a line that threads vote for."""
CANDIDATES = 12
"""Lines that are looked at, those with most votes."""
BLUR = 3
"""Bins and angles on either side of a line that are no line of their own."""
MIDDLE = 0.2
"""Distance from the centre, as a share of the side, inside which no ruler is looked for: there is the lesion."""
STRIP = 0.03
"""Width, as a share of the side, of the strip beside a line: about the length of a tick."""
LONG_TICKS = 2
"""By how much longer the longest ticks are than the strip is wide."""
SLACK = 1.5
"""Pixels by which a strip reaches beyond its line."""
SHORTEST, LONGEST = 0.025, 0.1
"""Step from tick to tick, as a share of the side."""
RESOLVED = 2.3
"""Pixels below which steps cannot be told."""
STEPS = 5
"""How often a profile must repeat."""
TRIED = 100
"""Lengths of a step that are tried, in equal ratios."""
FINE = 4
"""Parts of a pixel in which the moved profiles are compared."""
WINDOW, WINDOWS = 0.5, 4
"""Length of the parts of a line, as a share of the side, and how many are looked at: a ruler seldom fills a side."""
FEWEST = 20
"""Dark pixels below which there is nothing to look at."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class RulerFinding:
    """The strip of a picture that is most like a ruler.

    Attributes:
        rhythm: How well it repeats after one to five equal steps: the least of the five autocorrelations, 0 to 1.
        strip: H x W, where it lies; nowhere if there is none.
    """

    rhythm: float
    strip: NDArray[np.bool_]


def find_ruler(depths: NDArray[np.float32]) -> RulerFinding:
    """Look for a ruler away from the centre of a picture.

    Args:
        depths: H x W, of the dark threads, as `quality.thread_depths` gives them.
    """
    side = min(depths.shape)
    points = _Points(depths)
    lines = points.lines(MIDDLE * side) if len(points.weights) >= FEWEST else []
    strips = [(*line, towards) for line in lines for towards in (1, -1)]
    if not strips:
        return RulerFinding(0.0, np.zeros(depths.shape, dtype=np.bool_))
    profiles = np.stack([points.profile(*strip, width=STRIP * side) for strip in strips])
    rhythms = rhythm(_windows(profiles, side), shortest=max(RESOLVED, SHORTEST * side), longest=LONGEST * side)
    rhythms = rhythms.reshape(WINDOWS, len(strips)).max(axis=0)
    best = int(rhythms.argmax())
    return RulerFinding(float(max(0.0, rhythms[best])), _strip(depths.shape, *strips[best], width=STRIP * side))


def rhythm(profiles: Values, *, shortest: float, longest: float) -> Values:
    """Measure how well N profiles repeat after one to `STEPS` equal steps, each at its best step; at most 1.

    n equal spikes give (n - 5) / n; the more lies between them, the less.

    Args:
        profiles: N x M.
        shortest: Of the steps, in samples.
        longest: The same.
    """
    level = profiles - ndimage.uniform_filter1d(profiles, int(longest) | 1, axis=1)
    length = 1 << int(profiles.shape[1] + STEPS * longest).bit_length()
    power = np.abs(np.fft.rfft(level, length, axis=1)) ** 2
    agreement = np.fft.irfft(power, length * FINE, axis=1)
    steps = np.geomspace(shortest, longest, TRIED)[:, None] * np.arange(1, STEPS + 1)
    moved = agreement[:, np.round(FINE * steps).astype(np.int64)] / np.maximum(agreement[:, :1, None], 1e-9)
    return moved.min(axis=2).max(axis=1)


class _Points:
    """The dark pixels of a picture, from its centre.

    A line is an angle and a distance: x cos(angle) + y sin(angle) = distance.
    """

    def __init__(self, depths: NDArray[np.float32]) -> None:
        height, width = depths.shape
        share = min(DENSEST, MOST / depths.size)
        rows, columns = np.nonzero(depths > max(FAINTEST, float(np.quantile(depths, 1 - share))))
        self.weights = np.minimum(depths[rows, columns], DARKEST).astype(np.float64)
        self.x = (columns - (width - 1) / 2).astype(np.float32)
        self.y = (rows - (height - 1) / 2).astype(np.float32)
        self.reach = int(np.ceil(np.hypot(height, width) / 2)) + BIN

    def lines(self, nearest: float) -> list[tuple[float, float]]:
        """Return angle (radians) and distance of the lines with most votes, none nearer to the centre than asked."""
        angles = np.arange(ANGLES) * np.pi / ANGLES
        cosines, sines = (wave(angles).astype(np.float32)[:, None] for wave in (np.cos, np.sin))
        bins = 2 * self.reach // BIN + 1
        cells = ((cosines * self.x + sines * self.y + np.float32(self.reach)) / BIN).astype(np.int64)
        cells += np.arange(ANGLES)[:, None] * bins
        counted = np.bincount(cells.ravel(), np.tile(self.weights, ANGLES), minlength=ANGLES * bins)
        votes: Values = counted.reshape(ANGLES, bins).astype(np.float64)
        distances = (np.arange(bins) + 0.5) * BIN - self.reach
        votes[:, np.abs(distances) < nearest] = 0
        lines = []
        for _ in range(CANDIDATES):
            row, column = np.unravel_index(votes.argmax(), votes.shape)
            if votes[row, column] <= 0:
                break
            lines.append((float(angles[row]), float(distances[column])))
            _erase(votes, int(row), int(column))
        return lines

    def profile(self, angle: float, distance: float, towards: int, *, width: float) -> Values:
        """Sum what lies on a strip at one side of a line, pixel by pixel along it; the centre is in the middle."""
        cosine, sine = np.cos(angle), np.sin(angle)
        away = (self.x * cosine + self.y * sine - distance) * towards
        inside = (away > -SLACK) & (away < width)
        along = self.y[inside] * cosine - self.x[inside] * sine + self.reach
        first = along.astype(np.int64)
        second_share = along - first
        size = 2 * self.reach + 2
        profile: Values = np.zeros(size)
        profile += np.bincount(first, self.weights[inside] * (1 - second_share), minlength=size)
        profile += np.bincount(first + 1, self.weights[inside] * second_share, minlength=size)
        return profile


def _erase(votes: Values, row: int, column: int) -> None:
    """Erase the votes for a line and its neighbours; beyond the last angle, distances change their sign."""
    for turned in range(row - BLUR, row + BLUR + 1):
        middle = column if 0 <= turned < ANGLES else votes.shape[1] - 1 - column
        votes[turned % ANGLES, max(0, middle - BLUR) : middle + BLUR + 1] = 0


def _windows(profiles: Values, side: int) -> Values:
    """Cut parts from N profiles, evenly spread over the side: (`WINDOWS` N) x M."""
    size = int(WINDOW * side)
    start = profiles.shape[1] // 2 - side // 2
    starts = np.linspace(start, start + side - size, WINDOWS).round().astype(int)
    return np.concatenate([profiles[:, first : first + size] for first in starts])


def _strip(shape: tuple[int, ...], angle: float, distance: float, towards: int, *, width: float) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    x, y = columns - (shape[1] - 1) / 2, rows - (shape[0] - 1) / 2
    away = (x * np.cos(angle) + y * np.sin(angle) - distance) * towards
    return np.asarray((away > -SLACK - BIN) & (away < LONG_TICKS * width + BIN))
