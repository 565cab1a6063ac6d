"""Suspicion: the probability that an image shows a concept, from the activation of its axis."""

import numpy as np
import pytest

from concepts.errors import DataError
from concepts.image_record import ImageRecord
from pipeline.explanation.cases.suspect import probability, suspect
from pipeline.run.progress import Silent

GENERATOR = np.random.default_rng(0)
LABELS = np.repeat([0.0, 1.0], 200)
ACTIVATIONS = GENERATOR.normal(LABELS * 2, 1.0)


def test_suspicion_is_the_share_that_shows_the_concept():
    # Two normal distributions of one width: the odds are e^(2 a - 2), so 0.5 half way between them.
    chances = probability(ACTIVATIONS, LABELS, [1.0, 3.0, -1.0])
    assert chances == pytest.approx([0.5, 1 / (1 + np.exp(-4)), 1 / (1 + np.exp(4))], abs=0.06)


def test_suspicion_does_not_depend_on_the_unit_of_the_axis_nor_on_what_is_not_known():
    chances = probability(ACTIVATIONS, LABELS, ACTIVATIONS[:9])
    labels = np.append(LABELS, [np.nan] * 50)
    other = probability(1e6 * np.append(ACTIVATIONS, np.full(50, 9.0)) - 7, labels, 1e6 * ACTIVATIONS[:9] - 7)
    assert other == pytest.approx(chances)


def test_nothing_is_suspected_by_an_inverted_axis_or_from_few_images():
    assert probability(-ACTIVATIONS, LABELS, [0.0]) is None
    assert probability(ACTIVATIONS[191:], LABELS[191:], [0.0]) is None
    assert probability(ACTIVATIONS[:209], LABELS[:209], [0.0]) is None
    assert probability(ACTIVATIONS[190:], LABELS[190:], [0.0]) is not None
    assert probability(ACTIVATIONS[:210], LABELS[:210], [0.0]) is not None
    assert probability(np.ones(40), np.repeat([0.0, 1.0], 20), [0.0]) is None, "an axis that does not move"
    assert probability([], [], [0.0]) is None


def test_other_files_than_the_store_knows_are_listed(tmp_path):
    (tmp_path / "a.png").write_bytes(b"another")
    records = [ImageRecord(id=name, digest="ab" * 32, path=f"{name}.png") for name in "ab"]
    with pytest.raises(DataError, match=r"2 such of 2 images") as caught:
        suspect(tmp_path / "run", records, images=tmp_path, tracker=Silent())
    assert [row.split(":")[0] for row in caught.value.rows] == ["a.png", "b.png"]
    with pytest.raises(DataError, match="already brought figures for every image"):
        suspect(tmp_path / "run", [], images=tmp_path, tracker=Silent())
