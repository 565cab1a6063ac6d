"""When a difference between runs counts as more than noise."""

import numpy as np
import pandas as pd
import pytest

from concepts.errors import RunError
from concepts.statistics.estimate import Estimate
from pipeline.comparison.noise import (
    Predictions,
    auc_differences,
    judged,
)
from pipeline.results.comparison import Finding, Method
from pipeline.run.folder import RunFolder

CLASSES = ("melanoma", "nevus")


def written(folder, *, skill=(1.0, 1.0), seed=0, digest="d", cases=300):
    """Predictions of two networks that are so skilled, on 300 images of 100 patients."""
    folder.mkdir()
    generator = np.random.default_rng(99)
    label, common = generator.integers(2, size=cases), generator.normal(size=cases)
    own = np.random.default_rng(seed)
    names = [f"image{number:03}" for number in range(cases)]
    columns = {"image_id": names, "diagnosis": [CLASSES[1 - one] for one in label]}
    for network, one in zip(("plain", "whitened"), skill, strict=True):
        score = 1 / (1 + np.exp(-(one * (2 * label - 1) + common + own.normal(scale=0.1, size=cases))))
        columns |= {f"{network}_melanoma": score, f"{network}_nevus": 1 - score}
    pd.DataFrame(columns).to_csv(folder / "predictions.csv", index=False)
    groups = [f"patient{number // 3}" for number in range(cases)]
    pd.DataFrame({"image_id": names, "part": "test", "group": groups}).to_csv(folder / "split.csv", index=False)
    pd.DataFrame({"image_id": names, "digest": [f"{digest}{n}" for n in names]}).to_csv(
        folder / "samples.csv", index=False
    )
    return Predictions(RunFolder(folder), CLASSES)


def differences(first, other):
    return auc_differences(first, other, generator=np.random.default_rng(0), resamples=400)


def test_pairing_finds_what_the_luck_of_drawing_images_hides(tmp_path):
    first = written(tmp_path / "a", skill=(1.0, 1.0))
    better = written(tmp_path / "b", skill=(1.0, 1.15), seed=1)
    elsewhere = written(tmp_path / "c", skill=(1.0, 1.15), seed=1, digest="other ")
    paired, method = differences(first, better)["whitened", "macro"]
    unpaired, other_method = differences(first, elsewhere)["whitened", "macro"]
    assert (method, other_method) == (Method.PAIRED, Method.UNPAIRED)
    assert paired.value == unpaired.value > 0
    assert paired.low > 0 > unpaired.low
    assert unpaired.high - unpaired.low > 3 * (paired.high - paired.low)


def test_a_run_does_not_differ_from_its_copy(tmp_path):
    first, copy = written(tmp_path / "a"), written(tmp_path / "b")
    for figure, method in differences(first, copy).values():
        assert (figure.value, figure.low, figure.high, figure.n, method) == (0.0, 0.0, 0.0, 300, Method.PAIRED)


def test_swapping_runs_turns_the_sign(tmp_path):
    first, other = written(tmp_path / "a"), written(tmp_path / "b", skill=(0.8, 1.2), seed=2)
    there, back = differences(first, other), differences(other, first)
    for key, (figure, _) in there.items():
        assert (figure.low, figure.high) == pytest.approx((-back[key][0].high, -back[key][0].low))


def test_predictions_that_lack_something_are_refused_by_name(tmp_path):
    written(tmp_path / "a")
    with pytest.raises(RunError, match=r"predictions\.csv has no column plain_keratosis"):
        Predictions(RunFolder(tmp_path / "a"), ["melanoma", "nevus", "keratosis"])
    (tmp_path / "a" / "split.csv").write_text("image_id,group\nimage000,p\n")
    with pytest.raises(RunError, match=r"split\.csv"):
        Predictions(RunFolder(tmp_path / "a"), CLASSES)
    (tmp_path / "a" / "predictions.csv").unlink()
    with pytest.raises(RunError, match=r"predictions\.csv is missing"):
        Predictions(RunFolder(tmp_path / "a"), CLASSES)


def test_a_difference_that_is_not_known_is_no_finding():
    unknown = Estimate(float("nan"), float("nan"), float("nan"), 3)
    assert judged("B", unknown, Method.FROM_INTERVALS, comparisons=1).finding is Finding.UNKNOWN


@pytest.mark.parametrize(
    ("low", "comparisons", "finding"),
    [
        (0.01, 1, Finding.BEYOND),
        (0.01, 20, Finding.UNCORRECTED),
        (-0.01, 1, Finding.WITHIN),
        (0.06, 20, Finding.BEYOND),
    ],
)
def test_the_more_is_compared_the_more_it_takes(low, comparisons, finding):
    figure = Estimate(0.1, low, 0.19, 50)
    found = judged("B", figure, Method.PAIRED, comparisons=comparisons)
    assert found.finding is finding
    assert (found.widened == pytest.approx((low, 0.19))) == (comparisons == 1)


def test_where_nothing_differs_hardly_a_page_says_that_something_does():
    generator = np.random.default_rng(0)
    wrong = 0
    for _ in range(1000):
        values = generator.normal(size=20)
        figures = [Estimate(one, one - 1.96, one + 1.96, 50) for one in values]
        found = [judged("B", one, Method.UNPAIRED, comparisons=20).finding for one in figures]
        wrong += Finding.BEYOND in found
    assert 20 <= wrong <= 75
