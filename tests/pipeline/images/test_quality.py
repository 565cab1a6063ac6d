"""What a picture's quality is, and which artefacts are found on it: drawn ones whose twins are none."""

import csv
import time

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pipeline.config import PhantomSettings
from pipeline.data.phantom.cohort import generate_cohort
from pipeline.data.sources.phantom import load_phantom
from pipeline.images.measures.patches import find_patches
from pipeline.images.measures.quality import (
    ARTEFACTS,
    THREAD_LENGTH,
    THRESHOLDS,
    is_found,
    measure_quality,
    thread_depths,
)
from pipeline.images.measures.rulers import STEPS, find_ruler, rhythm

SKIN = (205, 165, 140)
SIDE = 160
VIOLET = (90, 45, 150)
TICKS = range(14, 150, 8)


def skin(side=SIDE, colour=SKIN):
    noise = np.random.default_rng(0).normal(0, 3, size=(side, side, 1))
    return np.clip(noise + np.array(colour), 0, 255).astype(np.uint8)


def with_ticks(picture, columns, *, row=140, length=6, darkness=60):
    marked = picture.copy()
    for column in columns:
        marked[row - length : row, column] = darkness
    marked[row, 10:154] = darkness
    return marked


def irregular(seed):
    """As many ticks as a ruler has, nowhere."""
    return np.sort(np.random.default_rng(seed).choice(np.arange(14, 150), size=len(TICKS), replace=False))


def artefacts_in(picture):
    measured = measure_quality(picture)
    return {name for name in ARTEFACTS if is_found(name, getattr(measured, name))}


def with_hair(picture, *, darkness=60):
    """Three long hairs from edge to edge, in curves."""
    marked = picture.copy()
    columns = np.arange(SIDE)
    for start, bend in ((20, 30), (60, -40), (110, 25)):
        rows = (start + bend * np.sin(columns / 50)).round().astype(int)
        marked[rows, columns] = marked[np.minimum(rows + 1, SIDE - 1), columns] = darkness
    return marked


def disc(picture, centre, radius, colour):
    rows, columns = np.ogrid[: picture.shape[0], : picture.shape[1]]
    marked = picture.copy()
    marked[(rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2] = colour
    return marked


def test_quality_tells_blur_darkness_contrast_and_clipped_pixels():
    plain = measure_quality(skin())
    assert measure_quality(skin() // 2).brightness < plain.brightness
    flat = np.full((64, 64, 3), 180, dtype=np.uint8)
    assert measure_quality(flat).sharpness == 0 < plain.sharpness
    assert measure_quality(flat).contrast == pytest.approx(0, abs=1e-3)
    assert measure_quality(np.full_like(flat, 255)).clipped == 1
    assert plain.clipped == 0


def test_plain_measures_are_those_of_the_pixels():
    # Left half black, right half (200, 100, 50), whose luma is 0.299 x 200 + 0.587 x 100 + 0.114 x 50 = 124.2.
    halves = np.zeros((40, 40, 3), dtype=np.uint8)
    halves[:, 20:] = (200, 100, 50)
    measured = measure_quality(halves)
    assert measured.brightness == pytest.approx(124.2 / 2, abs=0.01)
    assert measured.contrast == pytest.approx(124.2 / 2, abs=0.01)
    # At the seam, two columns of 40 have a Laplacian of one step each.
    assert measured.sharpness == pytest.approx(124.2 * 2 / 40, abs=0.01)
    assert measured.clipped == 0.5
    # The two left corners are black, and corners are all alike in size.
    assert measured.dark_corners == 0.5
    halves[:10, 20:] = (255, 235, 236)
    measured = measure_quality(halves)
    assert measured.clipped == pytest.approx(0.5 + 10 * 20 / 1600)
    assert measured.glare == pytest.approx(10 * 20 / 1600)


@pytest.mark.parametrize("name", ARTEFACTS)
def test_an_artefact_is_present_from_its_threshold_on(name):
    assert is_found(name, THRESHOLDS[name])
    assert not is_found(name, THRESHOLDS[name] * 0.999)


def test_nothing_is_found_on_skin():
    assert artefacts_in(skin()) == set()


def test_depths_of_threads_are_those_of_a_closing_along_four_lines():
    luma = np.random.default_rng(0).uniform(0, 255, size=(50, 60))
    diagonal = np.eye(THREAD_LENGTH, dtype=bool)
    lines = [np.ones((1, THREAD_LENGTH), bool), np.ones((THREAD_LENGTH, 1), bool), diagonal, diagonal[::-1]]
    closed = np.max([ndimage.grey_closing(luma, footprint=line) for line in lines], axis=0)
    inside = (slice(THREAD_LENGTH, -THREAD_LENGTH),) * 2
    np.testing.assert_allclose(thread_depths(luma)[inside], (closed - luma)[inside], atol=1e-4)


def test_a_drawn_ruler_is_found_and_its_twin_without_a_rhythm_is_not():
    assert "ruler" in artefacts_in(with_ticks(skin(), TICKS))
    for seed in range(10):
        assert "ruler" not in artefacts_in(with_ticks(skin(), irregular(seed))), seed


def test_hair_is_found_and_is_no_ruler():
    assert artefacts_in(with_hair(skin())) == {"hair"}


def test_a_ruler_is_no_hair():
    marked = measure_quality(with_ticks(skin(), TICKS))
    assert not is_found("hair", marked.hair)
    both = artefacts_in(with_hair(with_ticks(skin(), TICKS)))
    assert both >= {"hair", "ruler"}


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_picture_has_the_same_ruler_and_the_same_hair(turns):
    for picture in (with_ticks(skin(), TICKS), with_hair(skin()), skin()):
        upright, turned = measure_quality(picture), measure_quality(np.rot90(picture, turns).copy())
        assert turned.ruler == pytest.approx(upright.ruler, abs=0.06)
        assert turned.hair == pytest.approx(upright.hair, abs=0.002)
        assert turned.patch == pytest.approx(upright.patch, abs=0.002)


@pytest.mark.parametrize("angle", [-25, -10, 7, 30])
def test_a_tilted_ruler_is_found(angle):
    image = Image.fromarray(with_ticks(skin(), TICKS, row=128, darkness=40))
    tilted = image.rotate(angle, resample=Image.Resampling.BICUBIC, fillcolor=SKIN)
    assert measure_quality(np.asarray(tilted)).ruler > THRESHOLDS["ruler"]


def test_the_strip_of_a_ruler_lies_on_it():
    strip = find_ruler(thread_depths(with_ticks(skin(), TICKS)[..., 0].astype(np.float32))).strip
    assert strip[134:141].mean() > 0.9
    assert strip[:120].sum() == 0


def test_no_ruler_is_looked_for_where_the_lesion_is():
    assert not is_found("ruler", measure_quality(with_ticks(skin(), TICKS, row=84)).ruler)


def test_the_rhythm_of_equal_spikes_is_what_is_left_of_them_after_five_steps():
    spikes = np.zeros((2, 400))
    spikes[0, 20:260:12] = 1  # 20 of them
    spikes[1, [31, 70, 190, 260]] = 1
    regular, other = rhythm(ndimage.gaussian_filter1d(spikes, 1.5, axis=1), shortest=4, longest=20)
    assert regular == pytest.approx((20 - STEPS) / 20, abs=0.1)
    assert other < 0.1


def test_threads_of_a_network_inside_the_lesion_are_no_hair():
    net = skin()
    net[48:112:8, 48:112] = net[48:112, 48:112:8] = 60
    assert measure_quality(net).hair == 0


def test_short_furrows_are_no_hair():
    furrowed = skin()
    for column in range(10, 150, 12):
        furrowed[6:16, column] = 90
    assert measure_quality(furrowed).hair == 0


def test_ink_is_violet_and_a_brown_lesion_is_none():
    stroke = skin()
    stroke[10:14, 5:60] = VIOLET
    assert artefacts_in(stroke) == {"ink"}, "a dark stroke of ink is no hair either"
    lesion = disc(skin(), (80, 80), 75, (110, 60, 40))
    assert measure_quality(lesion).ink == 0


def test_ink_over_the_lesion_is_not_looked_for():
    veil = disc(skin(), (80, 80), 25, (80, 85, 150))
    assert not is_found("ink", measure_quality(veil).ink)


@pytest.mark.parametrize("colour", [(20, 140, 220), (90, 190, 180), (240, 140, 40), (230, 215, 40), (210, 40, 60)])
def test_a_patch_in_a_corner_is_found_and_is_no_ink(colour):
    marked = artefacts_in(disc(skin(), (10, 150), 30, colour))
    assert "patch" in marked
    assert "ink" not in marked


def test_what_is_not_flat_strongly_coloured_sharp_and_at_the_edge_is_no_patch():
    blue = (20, 140, 220)
    assert not find_patches(disc(skin(), (80, 80), 30, blue)).any(), "not at the edge"
    assert not find_patches(disc(skin(), (10, 150), 30, (180, 145, 125))).any(), "of the skin's colour"
    assert not find_patches(disc(skin(), (10, 150), 40, (110, 60, 40))).any(), "dark and brown: a lesion"
    assert not find_patches(disc(skin(colour=blue), (80, 80), 60, SKIN)).any(), "all around"
    soft = Image.fromarray(disc(skin(), (10, 150), 30, blue))
    blurred = ndimage.gaussian_filter(np.asarray(soft, dtype=float), (14, 14, 0)).astype(np.uint8)
    assert not find_patches(blurred).any(), "without a contour"
    stroke = skin()
    stroke[20:24, :100] = blue
    assert not find_patches(stroke).any(), "thin"


def test_a_patch_lies_where_it_was_drawn():
    marked = disc(skin(), (10, 150), 30, (20, 140, 220))
    painted = (marked == (20, 140, 220)).all(axis=2)
    patch = find_patches(marked)
    assert (patch & painted).sum() / (patch | painted).sum() > 0.85


def test_dark_corners_are_black_and_a_hair_across_one_is_none():
    framed = skin()
    framed[:20, :20] = framed[-20:, -20:] = 0
    assert measure_quality(framed).dark_corners == pytest.approx(0.5, abs=0.02)
    crossed = skin()
    crossed[4:6] = 0
    assert not is_found("dark_corners", measure_quality(crossed).dark_corners)


def test_glare_is_white():
    shiny = skin()
    shiny[20:30, 20:30] = (250, 245, 240)
    assert measure_quality(shiny).glare == pytest.approx(100 / SIDE**2)


@pytest.mark.parametrize("shape", [(64, 64), (48, 90), (17, 23), (300, 200)])
def test_pictures_of_any_shape_are_measured(shape):
    picture = np.random.default_rng(0).integers(0, 256, size=(*shape, 3), dtype=np.uint8)
    measured = measure_quality(picture)
    assert all(0 <= getattr(measured, name) <= 1 for name in ARTEFACTS)


def test_a_picture_is_measured_in_little_time():
    """On an idle core 14 ms; five times that would mean that something is looked for twice."""
    picture = skin(288)
    spent = []
    for _ in range(3):
        start = time.process_time()
        measure_quality(picture)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.07


@pytest.mark.slow
def test_planted_artefacts_are_found_on_the_picture(tmp_path):
    """Sensitivity and specificity over 400 phantoms, each measure for the artefact that it is meant to find."""
    generate_cohort(PhantomSettings(images=400, size=128, seed=5), tmp_path / "phantom")
    with (tmp_path / "phantom" / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    samples = {sample.image_id: sample.path for sample in load_phantom(tmp_path / "phantom")}
    measures = [measure_quality(np.asarray(Image.open(samples[row["image_id"]]))) for row in rows]
    wanted = {"hair": "hair", "ruler": "ruler", "dark_corners": "dark_corner", "ink": "ink", "patch": "colour_patch"}
    for measure, artefact in wanted.items():
        there = np.array([is_found(measure, getattr(measured, measure)) for measured in measures])
        shown = np.array([row[artefact] == "1" for row in rows])
        assert there[shown].mean() > 0.9, measure
        assert there[~shown].mean() < 0.12, measure
