from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from concepts.errors import DataError
from concepts.example import Origin, Polarity
from concepts.measures.lesion_shape import BorderRule, DiameterRule, border_irregularity, diameter

ROWS, COLUMNS = np.mgrid[-200:200, -200:200] + 0.5


def lesion(
    wave: float = 0, *, lobes: int = 9, turn: float = 0, radius: float = 110, shift: float = 0, flat: float = 1
) -> np.ndarray:
    """A disc whose radius goes up and down `lobes` times, `wave` being the share by which it does."""
    y, x = ROWS - shift, COLUMNS + shift
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    x, y = cosine * x + sine * y, (cosine * y - sine * x) / flat
    return np.hypot(x, y) < radius * (1 + wave * np.cos(lobes * np.arctan2(y, x)))


def test_a_circle_is_least_irregular_and_waves_add_to_it():
    irregularities = [border_irregularity(lesion(wave)) for wave in (0, 0.03, 0.06, 0.12, 0.24)]
    assert irregularities[0] < 0.002
    assert all(less < more for less, more in pairwise(irregularities))


@pytest.mark.parametrize("flat", [0.3, 0.6, 0.9])
def test_elongation_is_no_irregularity(flat: float):
    assert border_irregularity(lesion(flat=flat, turn=25)) < 0.005


def test_a_star_agrees_with_its_geometry():
    """Five sharp arms: outline against hull by hand, less what smoothing takes off the tips."""
    angles = np.pi / 5 * np.arange(10)
    outer = np.stack([180 * np.cos(angles[::2]), 180 * np.sin(angles[::2])], axis=1)
    inner = np.stack([80 * np.cos(angles[1::2]), 80 * np.sin(angles[1::2])], axis=1)
    edge = 10 * np.linalg.norm(outer[0] - inner[0])
    hull = 5 * np.linalg.norm(outer[0] - outer[1])
    inside = np.zeros(ROWS.shape, bool)
    for tip, (left, right) in zip(outer, [(inner[i - 1], inner[i]) for i in range(5)], strict=True):
        for a, b, c in ((tip, left, right), (np.zeros(2), left, right)):
            sides = [
                np.sign((q[0] - p[0]) * (ROWS - p[1]) - (q[1] - p[1]) * (COLUMNS - p[0]))
                for p, q in ((a, b), (b, c), (c, a))
            ]
            inside |= np.abs(sum(sides)) == 3
    assert border_irregularity(ndimage.binary_closing(inside)) == pytest.approx(edge / hull - 1, abs=0.05)


@pytest.mark.parametrize(
    "frame", [{"turn": 23}, {"turn": 90}, {"shift": 17.3}, {"turn": 61, "radius": 60}, {"turn": 5, "radius": 30}]
)
def test_turning_moving_and_scaling_change_nothing(frame: dict[str, float]):
    upright, moved = border_irregularity(lesion(0.15, lobes=5)), border_irregularity(lesion(0.15, lobes=5, **frame))
    assert moved == pytest.approx(upright, abs=0.012)


def test_mirroring_filling_and_a_finer_grid_change_nothing():
    mask = lesion(0.15, lobes=5, turn=8)
    holed = mask & ~lesion(radius=20)
    expected = border_irregularity(mask)
    assert border_irregularity(mask[:, ::-1]) == pytest.approx(expected, abs=0.002)
    assert border_irregularity(holed) == pytest.approx(expected, abs=1e-9)
    assert border_irregularity(ndimage.zoom(mask, 3, order=0)) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("radius", [30, 61.7, 110])
@pytest.mark.parametrize("turn", [0, 30, 45])
def test_diameter_is_the_long_axis_however_it_lies(radius: float, turn: float):
    assert diameter(lesion(radius=radius, flat=0.5, turn=turn)) == pytest.approx(2 * radius, abs=1.5)


def test_diameter_scales_with_the_spacing():
    mask = lesion(radius=50)
    assert diameter(mask, spacing=0.1) == pytest.approx(0.1 * diameter(mask))
    assert diameter(np.ones((1, 1), bool), spacing=0.5) == 0.5
    assert diameter(np.ones((1, 7), bool)) == 7
    assert diameter(np.ones((9, 1), bool)) == 9


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 1), (9, 9)])
def test_degenerate_lesions_are_regular(shape: tuple[int, int]):
    assert border_irregularity(np.ones(shape, bool)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("measure", [border_irregularity, diameter])
def test_an_empty_mask_and_a_wrong_shape_are_refused(measure: object):
    with pytest.raises(DataError, match="30 x 20 pixels\\) is empty"):
        measure(np.zeros((20, 30), bool))
    with pytest.raises(DataError, match="two dimensions"):
        measure(np.ones((2, 3, 3), bool))


@pytest.mark.parametrize("spacing", [0, -1, float("nan"), float("inf")])
def test_a_spacing_that_cannot_be_is_refused(spacing: float):
    with pytest.raises(DataError, match="mm above 0"):
        diameter(lesion(), spacing=spacing)


def test_border_rule():
    rule = BorderRule(smooth=0.03, irregular=0.07)
    assert [rule.polarity(value) for value in (0.03, 0.05, 0.07)] == [Polarity.ABSENT, None, Polarity.PRESENT]
    assert (rule.entry.id, rule.entry.origin) == ("border_irregularity", Origin.MEASURED)
    assert "0.03" in rule.entry.rule
    assert "0.07" in rule.entry.rule
    with pytest.raises(DataError, match="0 <= smooth < irregular"):
        BorderRule(smooth=0.1, irregular=0.1)


def test_diameter_rule_trusts_what_it_can_see_of_a_lesion():
    rule = DiameterRule()
    assert rule.polarity(10, cut_off=False) is rule.polarity(12, cut_off=True) is Polarity.PRESENT
    assert rule.polarity(9.9, cut_off=False) is Polarity.ABSENT
    assert rule.polarity(9.9, cut_off=True) is None
    assert (rule.entry.id, rule.entry.origin) == ("large_diameter", Origin.MEASURED)
    assert "10 mm" in rule.entry.rule
    with pytest.raises(DataError, match="above 0"):
        DiameterRule(large=0)
