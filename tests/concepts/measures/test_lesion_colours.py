from itertools import combinations

import numpy as np
import pytest

from concepts.errors import DataError
from concepts.example import Origin, Polarity
from concepts.measures.lesion_colours import PROTOTYPES, ColoursRule, colour_shares, lab
from concepts.vocabulary import load_vocabulary

SKIN = (225, 185, 165)
MASK = np.hypot(*(np.mgrid[-60:60, -60:60] + 0.5)) < 40
SECTOR = np.arctan2(*(np.mgrid[-60:60, -60:60] + 0.5)) / (2 * np.pi) + 0.5


def painted(
    colours: tuple[str, ...], *, shares: tuple[float, ...] | None = None, skin: tuple[int, ...] = SKIN
) -> np.ndarray:
    """A disc on skin with one sector for each colour, with noise."""
    shares = shares or tuple(1 / len(colours) for _ in colours)
    image = np.full((*MASK.shape, 3), skin, float)
    start = 0.0
    for colour, share in zip(colours, shares, strict=True):
        image[MASK & (start <= SECTOR) & (start + share >= SECTOR)] = PROTOTYPES[colour][0]
        start += share
    return np.clip(image + np.random.default_rng(0).normal(0, 3, image.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_planted_colours_are_counted(count: int):
    for colours in combinations(PROTOTYPES, count):
        shares = colour_shares(painted(colours), MASK)
        assert ColoursRule().colours(shares) == colours
        assert sum(shares.values()) == pytest.approx(1, abs=0.03)


def test_shares_are_those_planted():
    shares = colour_shares(painted(("dark_brown", "red"), shares=(0.7, 0.3)), MASK)
    assert shares["dark_brown"] == pytest.approx(0.7, abs=0.01)
    assert shares["red"] == pytest.approx(0.3, abs=0.01)


def test_a_speck_of_colour_does_not_count():
    shares = colour_shares(painted(("dark_brown", "black"), shares=(0.97, 0.03)), MASK)
    assert ColoursRule().colours(shares) == ("dark_brown",)
    assert ColoursRule(share=0.02).colours(shares) == ("dark_brown", "black")


def test_turning_the_picture_changes_nothing():
    image = painted(("red", "black", "white"))
    expected = colour_shares(image, MASK)
    assert colour_shares(np.rot90(image), np.rot90(MASK)) == pytest.approx(expected)
    assert colour_shares(image[::-1], MASK[::-1]) == pytest.approx(expected)


def test_white_must_be_lighter_than_the_skin():
    assert colour_shares(painted(("white",)), MASK)["white"] > 0.95
    pale = colour_shares(painted(("white",), skin=(250, 240, 236)), MASK)
    assert pale["white"] < 0.05


def test_what_looks_like_skin_is_no_colour():
    shares = colour_shares(painted(("dark_brown",), shares=(0.5,)), MASK)
    assert shares["dark_brown"] == pytest.approx(0.5, abs=0.02)
    assert sum(shares.values()) == pytest.approx(0.5, abs=0.03)


def test_a_lesion_that_fills_the_picture_has_colours_too():
    image = np.full((20, 20, 3), PROTOTYPES["white"][0], np.uint8)
    assert colour_shares(image, np.ones((20, 20), bool))["white"] == 1


def test_lab_of_known_colours():
    """Published values for sRGB primaries under D65."""
    computed = lab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8))
    expected = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]]
    np.testing.assert_allclose(computed, expected, atol=0.06)


def test_each_colour_is_a_concept():
    assert all(load_vocabulary().concept(colour).id == colour for colour in PROTOTYPES)


def test_the_rule_states_its_numbers():
    rule = ColoursRule(share=0.1, many=4)
    assert (rule.entry.id, rule.entry.origin) == ("multiple_colours", Origin.MEASURED)
    assert "10%" in rule.entry.rule
    assert "from 4" in rule.entry.rule
    three, four = ({**dict.fromkeys(PROTOTYPES, 0.0), **dict.fromkeys(list(PROTOTYPES)[:n], 0.2)} for n in (3, 4))
    assert rule.polarity(three) is Polarity.ABSENT
    assert rule.polarity(four) is Polarity.PRESENT


@pytest.mark.parametrize("rule", [{"share": 0}, {"share": 1}, {"many": 0}, {"many": 7}])
def test_a_rule_that_makes_no_sense_is_refused(rule: dict[str, float]):
    with pytest.raises(DataError, match="1 to 6 colours"):
        ColoursRule(**rule)


def test_what_does_not_fit_is_refused():
    image = painted(("red",))
    with pytest.raises(DataError, match="does not fit a mask"):
        colour_shares(image, MASK[1:])
    with pytest.raises(DataError, match="does not fit a mask"):
        colour_shares(image.astype(float), MASK)
    with pytest.raises(DataError, match="is empty; leave the image out"):
        colour_shares(image, np.zeros_like(MASK))
