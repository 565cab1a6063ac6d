"""What two runs' predictions differ by, and when that counts as more than noise."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from concepts.errors import RunError
from concepts.statistics.estimate import Estimate
from pipeline.comparison.predictions import NETWORKS, auc_differences, read_predictions
from pipeline.results.comparison import IntervalMethod, NoiseFinding, judge_difference
from pipeline.run.folder import RunFolder

CLASSES = ("melanoma", "nevus")


def written(folder, predictions) -> RunFolder:
    """Write predictions as a run has them, the images in reverse order."""
    folder.mkdir()
    names = [image.image_id for image in predictions.images]
    columns = {"image_id": names, "diagnosis": [image.diagnosis for image in predictions.images]}
    for network in NETWORKS:
        for column, diagnosis in enumerate(predictions.classes):
            columns[f"{network}_{diagnosis}"] = predictions.probabilities[network][:, column]
    pd.DataFrame(columns).iloc[::-1].to_csv(folder / "predictions.csv", index=False)
    groups = [image.group for image in predictions.images]
    pd.DataFrame({"image_id": names, "part": "test", "group": groups}).to_csv(folder / "split.csv", index=False)
    digests = [image.digest for image in predictions.images]
    pd.DataFrame({"image_id": names, "digest": digests}).to_csv(folder / "samples.csv", index=False)
    return RunFolder(folder)


def differences(first, other):
    return auc_differences(first, other, generator=np.random.default_rng(0), resamples=400)


def test_pairing_finds_what_the_luck_of_drawing_images_hides(predictions):
    first = predictions()
    better = predictions(whitened=1.15, noise=1)
    elsewhere = predictions(whitened=1.15, noise=1, digest="other ")
    paired, method = differences(first, better)["whitened", "macro"]
    unpaired, other_method = differences(first, elsewhere)["whitened", "macro"]
    assert (method, other_method) == (IntervalMethod.PAIRED, IntervalMethod.UNPAIRED)
    assert paired.value == unpaired.value > 0
    assert paired.low > 0 > unpaired.low
    assert unpaired.high - unpaired.low > 3 * (paired.high - paired.low)


def test_a_run_does_not_differ_from_its_copy(predictions):
    first, copy = predictions(), predictions()
    for figure, method in differences(first, copy).values():
        assert (figure.value, figure.low, figure.high, figure.n, method) == (0.0, 0.0, 0.0, 300, IntervalMethod.PAIRED)


def test_swapping_runs_turns_the_sign(predictions):
    first, other = predictions(), predictions(plain=0.8, whitened=1.2, noise=2)
    there, back = differences(first, other), differences(other, first)
    for key, (figure, _) in there.items():
        assert (figure.low, figure.high) == pytest.approx((-back[key][0].high, -back[key][0].low))


def test_predictions_read_back_as_they_were_written(predictions, tmp_path):
    made = predictions(whitened=2.0)
    read = read_predictions(written(tmp_path / "a", made), CLASSES)
    assert (read.classes, read.images) == (made.classes, made.images)
    for network in NETWORKS:
        assert read.probabilities[network] == pytest.approx(made.probabilities[network])
    assert read.are_of_the_same_images_as(made)


@pytest.mark.parametrize("field", ["image_id", "digest", "diagnosis", "group"])
def test_images_are_the_same_only_if_all_that_is_known_of_them_is(predictions, field):
    first = predictions()
    images = (replace(first.images[0], **{field: "nevus" if field == "diagnosis" else "other"}), *first.images[1:])
    if field == "diagnosis":
        images = (replace(first.images[0], diagnosis=({*CLASSES} - {first.images[0].diagnosis}).pop()), *images[1:])
    assert not first.are_of_the_same_images_as(replace(first, images=images))
    assert not first.are_of_the_same_images_as(replace(first, classes=CLASSES[::-1]))


def test_images_are_resampled_group_by_group(predictions):
    weights = predictions().weights(np.random.default_rng(0), 5)
    assert weights.shape == (5, 300)
    assert (weights[:, 0::3] == weights[:, 1::3]).all(), "three images are of one patient"


def test_each_network_has_its_own_auc(predictions):
    made = predictions(plain=0.0, whitened=9.0)
    weights = made.weights(np.random.default_rng(0), 2)
    assert made.aucs("plain", weights)["macro"].value < 0.6
    assert made.aucs("whitened", weights)["macro"].value > 0.99
    assert list(made.aucs("plain", weights)) == ["macro", *CLASSES]


def test_only_diagnoses_that_both_runs_know_are_compared(predictions):
    first = predictions()
    other = replace(first, classes=("melanoma", "lentigo"), images=tuple(
        replace(image, diagnosis="lentigo" if image.diagnosis == "nevus" else "melanoma") for image in first.images
    ))  # fmt: skip
    assert {key for _, key in differences(first, other)} == {"melanoma"}, "their means are of other diagnoses"


def test_predictions_that_lack_something_are_refused_by_name(predictions, tmp_path):
    run = written(tmp_path / "a", predictions())
    with pytest.raises(RunError, match=r"predictions\.csv: no column 'plain_keratosis'; evaluate the run again"):
        read_predictions(run, ["melanoma", "nevus", "keratosis"])
    for name in ("samples.csv", "split.csv"):
        content = run.file(name).read_text()
        run.write_text(name, "".join(content.splitlines(keepends=True)[:2]))
        with pytest.raises(RunError, match=r"has images that split\.csv or samples\.csv lacks"):
            read_predictions(run, CLASSES)
        run.write_text(name, content)
    run.file("predictions.csv").unlink()
    with pytest.raises(RunError, match=r"predictions\.csv is missing; resume the run"):
        read_predictions(run, CLASSES)


def test_where_nothing_differs_hardly_a_page_says_that_something_does():
    generator = np.random.default_rng(0)
    wrong = 0
    for _ in range(1000):
        values = generator.normal(size=20)
        figures = [Estimate(value, value - 1.96, value + 1.96, 50) for value in values]
        findings = [judge_difference(figure, IntervalMethod.UNPAIRED, comparisons=20).finding for figure in figures]
        wrong += NoiseFinding.BEYOND in findings
    assert 20 <= wrong <= 75
