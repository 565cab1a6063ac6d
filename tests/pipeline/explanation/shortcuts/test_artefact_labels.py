"""Whose label of an artefact counts: readers', else planted, else what is measured in the picture."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from concepts.example import ConceptEntry, Example, Origin, Polarity
from concepts.release import freeze
from pipeline.choices import Fit
from pipeline.data.cohort import Cohort
from pipeline.data.decoded import DecodedCache
from pipeline.data.sample import Sample
from pipeline.data.splits import Part, Split
from pipeline.evaluation.evaluation_data import evaluated_parts
from pipeline.explanation.shortcuts import measured
from pipeline.explanation.shortcuts.artefacts import artefact_labels, labelled_parts, presence_counts
from pipeline.explanation.shortcuts.measured import MEASURED, QUALITY
from pipeline.results.shortcuts import LabelSource, PresenceCounts
from pipeline.run.progress import Silent

SKIN, VIOLET = (205, 165, 140), (90, 45, 150)
SIDE = 96
INKED = (0, 2)
"""Images with a stroke of ink."""


@pytest.fixture
def cohort(tmp_path):
    return made(tmp_path, judged=())


def made(folder, *, judged):
    """Four pictures; readers judged some concepts, as absent in all of them."""
    samples, examples = [], []
    for number in range(4):
        picture = np.full((SIDE, SIDE, 3), SKIN, dtype=np.uint8)
        if number in INKED:
            picture[6:10, 5:60] = VIOLET
        path, digest = folder / f"{number}.png", f"{number:064x}"
        Image.fromarray(picture).save(path)
        samples.append(Sample(image_id=path.stem, path=path, digest=digest, diagnosis="nevus", source="isic"))
        examples += [
            Example(
                image_id=path.stem,
                image_digest=digest,
                concept=concept,
                polarity=Polarity.ABSENT if concept == "ink" else Polarity.PRESENT,
                provenance="reader",
            )
            for concept in (*judged, "streaks")
        ]
    entries = [ConceptEntry.from_vocabulary(name, origin=Origin.JUDGED) for name in (*judged, "streaks")]
    return Cohort(
        samples=tuple(samples),
        classes=("melanoma", "nevus"),
        split=Split(
            {sample.image_id: Part.TRAIN for sample in samples}, {str(number): str(number) for number in range(4)}
        ),
        release=freeze("some", 1, concepts=entries, examples=examples),
        concepts=("streaks",),
        root=Path(),
        cache=DecodedCache(folder / "cache", size=SIDE, fit=Fit.SQUASH),
        unmarked_is_absent=False,
    )


class Counting(Silent):
    """Counts what it is told of."""

    def __init__(self):
        self.totals = []

    def task(self, title, total):
        self.totals.append(total)
        return super().task(title, total)


def test_where_nobody_labelled_artefacts_they_are_measured_and_said_to_be(cohort):
    labels = artefact_labels(cohort, cohort.samples)
    assert set(labels.names) == set(MEASURED)
    assert set(labels.sources) == {LabelSource.MEASURED}
    assert labels.of(["ink"]).table[:, 0].tolist() == [float(number in INKED) for number in range(4)]
    assert labels.of(["ruler", "hair"]).table.sum() == 0


def test_what_readers_say_counts_for_the_artefact_that_they_judged_and_for_no_other(tmp_path):
    cohort = made(tmp_path, judged=("ink",))
    labels = artefact_labels(cohort, cohort.samples)
    sources = dict(zip(labels.names, labels.sources, strict=True))
    assert sources.pop("ink") is LabelSource.READERS
    assert set(sources.values()) == {LabelSource.MEASURED}
    assert labels.of(["ink"]).table.sum() == 0, "readers saw none, whatever the picture says"


def test_where_readers_did_not_say_nothing_is_filled_in(tmp_path):
    cohort = made(tmp_path, judged=("ink",))
    release = cohort.release
    examples = [each for each in release.examples if each.concept != "ink" or each.image_id == "1"]
    partly = replace(cohort, release=freeze("some", 1, concepts=release.concepts, examples=examples))
    column = artefact_labels(partly, partly.samples).column("ink")
    assert np.isnan(column[[0, 2, 3]]).all()
    assert column[1] == 0


def test_subsets_keep_names_sources_and_columns_together(tmp_path):
    cohort = made(tmp_path, judged=("hair",))
    labels = artefact_labels(cohort, cohort.samples).of(["ink", "hair"])
    assert labels.names == ("ink", "hair")
    assert labels.sources == (LabelSource.MEASURED, LabelSource.READERS)
    assert labels.table.sum(axis=0).tolist() == [len(INKED), 4]


def test_each_picture_is_measured_once_and_progress_is_shown(cohort):
    tracker = Counting()
    first = artefact_labels(cohort, cohort.samples[:3], tracker=tracker)
    for sample in cohort.samples[:3]:
        sample.path.unlink()
    again = artefact_labels(cohort, cohort.samples, tracker=tracker)
    assert tracker.totals == [3, 1]
    np.testing.assert_array_equal(again.table[:3], first.table)


def test_other_measures_than_those_kept_are_measured_anew(cohort, monkeypatch):
    tracker = Counting()
    artefact_labels(cohort, cohort.samples, tracker=tracker)
    monkeypatch.setattr(measured, "MEASURES_VERSION", 0)
    artefact_labels(cohort, cohort.samples, tracker=tracker)
    assert tracker.totals == [4, 4]


@pytest.mark.parametrize("damage", ["", "nonsense", "0,1,2\n", "a,b\x00,c"])
def test_a_damaged_file_of_measures_is_made_again(cohort, damage):
    first = artefact_labels(cohort, cohort.samples)
    (file,) = cohort.cache.folder.glob("measures-*.csv")
    file.write_text(damage)
    np.testing.assert_array_equal(artefact_labels(cohort, cohort.samples).table, first.table)


def test_of_every_measure_it_is_known_how_good_it_is():
    assert set(QUALITY) == set(MEASURED)
    for quality in QUALITY.values():
        assert quality.detected <= quality.present
        assert quality.false_alarms <= quality.absent
        assert quality.present + quality.absent == 160


def test_each_part_has_the_labels_of_its_own_images(cohort):
    """Images 0 and 2 have ink; the parts are of images 3 and 2, 1, and 0, whatever their order in the cohort."""
    parts = {"0": Part.TEST, "1": Part.VALIDATION, "2": Part.TRAIN, "3": Part.TRAIN}
    split = replace(cohort, split=Split(parts, {image: image for image in parts}), samples=cohort.samples[::-1])
    tracker = Counting()
    labelled = labelled_parts(split, evaluated_parts(split, seed=0, resamples=10), tracker=tracker)
    assert labelled.train.data.image_ids == ["3", "2"]
    assert labelled.train.artefacts.column("ink").tolist() == [0, 1]
    assert labelled.validation.artefacts.column("ink").tolist() == [0]
    assert labelled.test.artefacts.column("ink").tolist() == [1]
    assert tracker.totals == [4], "all images are measured in one go"


def test_present_absent_and_unknown_are_told_apart(cohort):
    labels = artefact_labels(cohort, cohort.samples).of(["ink"])
    unsure = replace(labels, table=np.array([[1.0], [np.nan], [0.0], [0.0]]))
    assert (unsure.present.tolist(), unsure.absent.tolist()) == ([1], [2])
    assert unsure.is_present("ink").tolist() == [True, False, False, False]
    assert presence_counts(unsure.column("ink")) == PresenceCounts(present=1, absent=2)
    assert unsure.rows([3, 0]).column("ink").tolist() == [0, 1]
