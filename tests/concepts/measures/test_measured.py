import numpy as np
import pytest
from scipy import ndimage

from concepts.errors import DataError
from concepts.example import MaskFile, Polarity
from concepts.measures.asymmetry import AsymmetryMeasure, AsymmetryRule, asymmetry, asymmetry_example, is_cut_off

REGION = MaskFile(path="masks/a.png", digest="0" * 64)
ROWS, COLUMNS = np.mgrid[-200:200, -200:200] + 0.5


def turned(angle: float, *, row: float = 0, column: float = 0, scale: float = 1) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the grid in a frame that is turned (degrees), shifted (pixels) and scaled."""
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    y, x = ROWS - row, COLUMNS - column
    return (cosine * x + sine * y) / scale, (cosine * y - sine * x) / scale


def ellipse(**frame: float) -> np.ndarray:
    x, y = turned(**frame)
    return (x / 100) ** 2 + (y / 60) ** 2 < 1


def half_disc(**frame: float) -> np.ndarray:
    x, y = turned(**frame)
    return (x**2 + y**2 < 100**2) & (y > 0)


def hook(**frame: float) -> np.ndarray:
    """An L with unequal legs: like neither of its mirror images."""
    x, y = turned(**frame)
    inside = (abs(x) < 110) & (abs(y) < 70)
    return inside & ~((x > -40) & (y > -20))


def assert_same_asymmetry(one: AsymmetryMeasure, other: AsymmetryMeasure, tolerance: float = 0.02) -> None:
    assert one.major == pytest.approx(other.major, abs=tolerance)
    assert one.minor == pytest.approx(other.minor, abs=tolerance)


@pytest.mark.parametrize("angle", [0, 17, 45, 80, 133])
def test_an_ellipse_is_symmetric_however_it_is_turned(angle: float):
    assert asymmetry(ellipse(angle=angle)).largest < 0.02


def test_a_half_disc_is_symmetric_about_one_axis_only():
    measure = asymmetry(half_disc(angle=0))
    assert measure.minor < 0.02
    assert measure.major == pytest.approx(half_disc_by_integration(), abs=0.01)


def half_disc_by_integration() -> float:
    """The unit half-disc against its mirror image about the horizontal through its centroid, strip by strip."""
    centroid = 4 / (3 * np.pi)
    y = np.linspace(0, 2 * centroid, 100_001)
    width = 2 * np.sqrt(np.clip(1 - y**2, 0, None))
    common = np.trapezoid(np.minimum(width, width[::-1]), y)
    return 1 - common / (np.pi - common)


def test_a_hook_is_asymmetric_about_both_axes():
    measure = asymmetry(hook(angle=0))
    assert min(measure.major, measure.minor) > 0.3


@pytest.mark.parametrize("draw", [half_disc, hook])
@pytest.mark.parametrize(
    "frame", [{"angle": 31}, {"angle": 90}, {"angle": 0, "row": 43, "column": -37.5}, {"angle": 200, "scale": 0.4}]
)
def test_turning_moving_and_scaling_change_nothing(draw: object, frame: dict[str, float]):
    assert_same_asymmetry(asymmetry(draw(**frame)), asymmetry(draw(angle=0)))


def test_a_mirror_image_is_as_asymmetric_and_a_finer_grid_agrees():
    mask = hook(angle=20)
    assert_same_asymmetry(asymmetry(mask[:, ::-1]), asymmetry(mask), 0.005)
    assert_same_asymmetry(asymmetry(ndimage.zoom(mask, 4, order=0)), asymmetry(mask), 0.01)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_degenerate_lesions_are_symmetric(shape: tuple[int, int]):
    assert asymmetry(np.ones(shape, bool)).largest == pytest.approx(0, abs=0.001)


def test_an_empty_mask_and_a_wrong_shape_are_refused():
    with pytest.raises(DataError, match="30 x 20 pixels\\) is empty"):
        asymmetry(np.zeros((20, 30), bool))
    with pytest.raises(DataError, match="two dimensions"):
        asymmetry(np.ones((2, 3, 3), bool))


@pytest.mark.parametrize("side", [np.s_[0, 5], np.s_[-1, 5], np.s_[5, 0], np.s_[5, -1]])
def test_a_lesion_that_touches_an_edge_is_cut_off(side: tuple[int, int]):
    mask = np.zeros((11, 11), bool)
    mask[3:8, 3:8] = True
    assert not is_cut_off(mask)
    mask[side] = True
    assert is_cut_off(mask)


@pytest.mark.parametrize(
    ("major", "minor", "polarity"),
    [
        (0.11, 0.0, Polarity.ABSENT),
        (0.0, 0.111, None),
        (0.169, 0.13, None),
        (0.0, 0.17, Polarity.PRESENT),
        (0.5, 0.5, Polarity.PRESENT),
    ],
)
def test_the_middle_is_left_out(major: float, minor: float, polarity: Polarity | None):
    assert AsymmetryRule().polarity(AsymmetryMeasure(major, minor)) is polarity


def test_the_rule_states_its_numbers():
    entry = AsymmetryRule(symmetric=0.07, asymmetric=0.33).entry
    assert entry.id == "asymmetry"
    assert "0.07" in entry.rule
    assert "0.33" in entry.rule


@pytest.mark.parametrize("thresholds", [(0.2, 0.1), (-0.1, 0.2), (0.1, 1.1), (0.1, 0.1)])
def test_thresholds_out_of_order_are_refused(thresholds: tuple[float, float]):
    with pytest.raises(DataError, match="0 <= symmetric < asymmetric <= 1"):
        AsymmetryRule(*thresholds)


@pytest.mark.parametrize(
    ("mask", "polarity", "region"),
    [(hook(angle=9), Polarity.PRESENT, REGION), (ellipse(angle=9), Polarity.ABSENT, None)],
)
def test_examples_of_clear_lesions(mask: np.ndarray, polarity: Polarity, region: MaskFile | None):
    found = asymmetry_example(mask, image_id="a", image_digest="1" * 64, region=REGION, rule=AsymmetryRule())
    assert (found.image_id, found.concept, found.polarity, found.region) == ("a", "asymmetry", polarity, region)
    assert "masks/a.png" in found.provenance


def test_a_lesion_that_is_cut_off_gives_no_example():
    mask = hook(angle=0)[:, 90:]
    assert asymmetry_example(mask, image_id="a", image_digest="1" * 64, region=REGION, rule=AsymmetryRule()) is None
