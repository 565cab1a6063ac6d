"""Which artefacts are named as shortcuts: training and validation labels whose answers are known by thought."""

import numpy as np
import pytest
from fake_artefacts import CLASSES, artefact_maps, dealt_parts, labelled_part, reading_outputs

from pipeline.data.splits import Part
from pipeline.explanation.shortcuts.artefact_space import axis_space
from pipeline.explanation.shortcuts.verdicts import (
    FEWEST,
    LEVEL,
    Verdicts,
    frequent_artefacts,
    judge_artefacts,
    log_odds_falls,
)
from pipeline.results.shortcuts import ShortcutVerdict

CHANNELS = 6
RULER, INK, HAIR = range(3)
MELANOMA, NEVUS = range(2)


def falls_of(part, read):
    """Falls of the log-odds where the network reads artefact j, along axis j + 1, with a weight."""
    outputs = reading_outputs(artefact_maps(part.artefacts), (1.0, *read))
    return log_odds_falls(outputs, [axis_space(axis + 1, CHANNELS) for axis in range(3)])


def judged(parts, read, *, falls=None):
    return judge_artefacts(
        parts.train,
        parts.validation,
        falls_of(parts.validation, read) if falls is None else falls,
        generator=np.random.default_rng(0),
    )


def named(verdicts):
    return [(pair.artefact, pair.diagnosis) for pair in verdicts.named()]


def test_an_artefact_that_is_tied_and_used_is_named_for_its_diagnosis():
    verdicts = judged(dealt_parts(tied=["ink"]), (0.0, 2.0, 0.0))
    assert named(verdicts) == [("ink", "melanoma")]
    assert verdicts.verdict(INK, MELANOMA) is ShortcutVerdict.NAMED
    assert verdicts.verdict(INK, NEVUS) is ShortcutVerdict.NOT_NAMED
    assert verdicts.verdict(HAIR, MELANOMA) is ShortcutVerdict.NOT_NAMED
    assert verdicts.artefacts == ("ruler", "ink", "hair")
    assert verdicts.classes == CLASSES


def test_the_stronger_of_two_is_first():
    verdicts = judged(dealt_parts(tied=["ink", "hair"]), (0.0, 1.5, 3.0))
    assert named(verdicts) == [("hair", "melanoma"), ("ink", "melanoma")]


@pytest.mark.parametrize(
    ("tied", "read", "is_tied", "is_used"),
    [
        (["ink"], (0.0, 0.0, 0.0), True, False),
        ([], (0.0, 2.0, 0.0), False, True),
        (["ink"], (0.0, -2.0, 0.0), True, False),
    ],
    ids=["tied but not used", "used but not tied", "used against its tie"],
)
def test_neither_tie_nor_use_alone_is_a_shortcut(tied, read, is_tied, is_used):
    verdicts = judged(dealt_parts(tied=tied), read)
    assert named(verdicts) == []
    assert (verdicts.tie[INK, MELANOMA] <= 0.01) == is_tied
    assert (verdicts.use[INK, MELANOMA] <= 0.01) == is_used


@pytest.mark.slow
def test_labels_dealt_at_random_are_not_named():
    """Of 20 cohorts without a tie, all with artefacts that are used, at most 2.5 % are expected to have one named."""
    any_named = [bool(named(judged(dealt_parts(seed=seed), (2.0, 2.0, 2.0)))) for seed in range(20)]
    assert sum(any_named) <= 2


def test_taking_a_direction_away_lowers_the_log_odds_by_what_was_read_from_it():
    part = labelled_part(["melanoma", "nevus"], {"ruler": [1, 0]})
    maps = artefact_maps(part.artefacts)
    falls = log_odds_falls(reading_outputs(maps, (1.0, 3.0)), [axis_space(0, CHANNELS), axis_space(1, CHANNELS)])
    means = maps.mean(dim=(2, 3)).numpy()
    assert falls.shape == (2, 2, 2)
    np.testing.assert_allclose(falls[:, 0, MELANOMA], means[:, 0])
    np.testing.assert_allclose(falls[:, 1, MELANOMA], 3 * means[:, 1])
    np.testing.assert_allclose(falls[:, :, NEVUS], -falls[:, :, MELANOMA])


def test_the_effect_is_the_mean_fall_in_the_validation_images_that_have_the_artefact():
    train = labelled_part(["melanoma", "nevus"] * 2, {"ink": [1, 0, 1, 0]}, part=Part.TRAIN)
    validation = labelled_part(["melanoma", "nevus"] * 2, {"ink": [1, 0, 1, np.nan]}, part=Part.VALIDATION)
    falls = np.array([[1.0, -1.0], [50.0, 50.0], [4.0, -6.0], [70.0, 70.0]])[:, None]
    verdicts = judge_artefacts(train, validation, falls, generator=np.random.default_rng(0))
    np.testing.assert_allclose(verdicts.effects, [[2.5, -3.5]])
    none = labelled_part(["melanoma", "nevus"] * 2, {"ink": [0, 0, 0, 0]}, part=Part.VALIDATION)
    assert np.isnan(judge_artefacts(train, none, falls, generator=np.random.default_rng(0)).effects).all()


def test_ties_are_of_training_images_and_use_is_of_validation_images():
    """The ruler goes with melanoma in training alone, ink in validation alone."""
    melanoma = np.repeat([1.0, 0.0], 40)
    even = np.tile([1.0, 0.0], 40)
    diagnoses = ["melanoma"] * 40 + ["nevus"] * 40
    train = labelled_part(diagnoses, {"ruler": melanoma, "ink": even}, part=Part.TRAIN)
    validation = labelled_part(diagnoses, {"ruler": even, "ink": melanoma}, part=Part.VALIDATION)
    falls = np.stack([even, even], axis=1)[:, :, None] * np.array([1.0, -1.0])
    verdicts = judge_artefacts(train, validation, falls, generator=np.random.default_rng(0))
    assert verdicts.tie[RULER, MELANOMA] <= 0.001
    assert verdicts.tie[INK, MELANOMA] > 0.5
    assert verdicts.use[RULER, MELANOMA] <= 0.001
    assert verdicts.use[INK, MELANOMA] == 1, "no validation image of either diagnosis can be compared"
    assert named(verdicts) == [("ruler", "melanoma")]


def noise(count):
    """Labels that go with nothing."""
    generator = np.random.default_rng(0)
    return {f"noise {number}": (generator.random(120) < 0.4).astype(float) for number in range(count)}


def test_ties_are_adjusted_for_all_pairs():
    """The same weak tie, tested alone and among six artefacts more, has a larger p-value the second time."""
    diagnoses = ["melanoma"] * 60 + ["nevus"] * 60
    weak = {"ink": [1] * 30 + [0] * 30 + [1] * 18 + [0] * 42}

    def tie(artefacts):
        parts = (labelled_part(diagnoses, artefacts, part=part) for part in (Part.TRAIN, Part.VALIDATION))
        falls = np.zeros((120, len(artefacts), 2))
        return judge_artefacts(*parts, falls, generator=np.random.default_rng(0)).tie[0, MELANOMA]

    alone = tie(weak)
    assert 0.01 < alone < 0.05
    assert tie(weak | noise(6)) > 3 * alone


def test_use_is_adjusted_only_for_the_pairs_that_are_tied():
    """Among twelve untied artefacts, the only tied one is tested as if it were alone."""
    diagnoses = ["melanoma", "nevus"] * 60
    tied, present = [1.0, 0.0] * 60, [1.0, 1.0, 0.0, 0.0] * 30
    fall = 0.4 * np.array(present) + np.random.default_rng(0).normal(size=120)

    def use(others):
        train = labelled_part(diagnoses, {"ink": tied} | others, part=Part.TRAIN)
        validation = labelled_part(diagnoses, {"ink": present} | others, part=Part.VALIDATION)
        falls = np.stack([fall] * (1 + len(others)), axis=1)[:, :, None] * np.array([1.0, -1.0])
        return judge_artefacts(train, validation, falls, generator=np.random.default_rng(0)).use[0]

    assert 0.005 < use({})[MELANOMA] < 0.2
    assert use(noise(12))[MELANOMA] == use({})[MELANOMA]
    assert use(noise(12))[NEVUS] > use({})[NEVUS] - 0.01


@pytest.mark.parametrize(
    ("present", "absent", "frequent"), [(10, 10, True), (9, 30, False), (30, 9, False), (11, 10, True)]
)
def test_an_artefact_needs_ten_images_on_either_side(present, absent, frequent):
    column = [1.0] * present + [0.0] * absent + [np.nan] * 20
    labels = labelled_part(["nevus"] * len(column), {"ink": column}).artefacts
    assert FEWEST == 10
    assert frequent_artefacts(labels) == (("ink",) if frequent else ())


def verdicts_of(*, tie=1.0, use=1.0, thinnest=100, effects=0.0):
    shape = (1, 2)
    full = (np.full(shape, number, dtype=float) for number in (tie, use, effects))
    return Verdicts(("ink",), CLASSES, *full, thinnest=np.full(shape, thinnest))


@pytest.mark.parametrize(
    ("tie", "use", "thinnest", "verdict"),
    [
        (LEVEL / 2, LEVEL / 2, 100, ShortcutVerdict.NAMED),
        (LEVEL, 0.001, 100, ShortcutVerdict.NOT_NAMED),
        (0.001, LEVEL, 100, ShortcutVerdict.NOT_NAMED),
        (1.0, 1.0, FEWEST, ShortcutVerdict.NOT_NAMED),
        (1.0, 1.0, FEWEST - 1, ShortcutVerdict.TOO_FEW),
        (0.001, 0.001, FEWEST - 1, ShortcutVerdict.NAMED),
    ],
)
def test_the_verdict_follows_from_both_tests_and_the_number_of_images(tie, use, thinnest, verdict):
    assert verdicts_of(tie=tie, use=use, thinnest=thinnest).verdict(0, 1) is verdict


THIN = {
    "few with it": ([1] * 8 + [0] * 32 + [0] * 60, [1, 0] * 50, 8),
    "few without it": ([0] * 7 + [1] * 33 + [1] * 60, [1, 0] * 50, 7),
    "few melanomas": ([1, 0] * 50, [1, 0] * 50, 40),
    "few to compare": ([1, 0] * 50, [1] * 6 + [0] * 34 + [1] * 5 + [0] * 55, 11),
    "nothing to compare": ([1, 0] * 50, [1] * 40 + [0] * 60, 0),
    "not known": ([1, 0] * 50, [np.nan] * 100, 0),
}
"""Labels of training and validation images, 40 melanomas and then 60 nevi, and how many are on the thinnest side."""


@pytest.mark.parametrize(("train", "validation", "thinnest"), THIN.values(), ids=THIN)
def test_the_thinnest_side_is_counted_over_all_that_is_compared(train, validation, thinnest):
    diagnoses = ["melanoma"] * 40 + ["nevus"] * 60
    parts = (
        labelled_part(diagnoses, {"ink": train}, part=Part.TRAIN),
        labelled_part(diagnoses, {"ink": validation}, part=Part.VALIDATION),
    )
    verdicts = judge_artefacts(*parts, np.zeros((100, 1, 2)), generator=np.random.default_rng(0))
    assert verdicts.thinnest.tolist() == [[thinnest, thinnest]]


def test_images_of_a_patient_count_as_one_draw():
    """Twenty copies of the same two patients tie nothing, whatever their number."""
    diagnoses, column = ["melanoma", "nevus"] * 20, [1.0, 0.0] * 20
    groups = ["ann", "ben"] * 20

    def verdicts(**more):
        parts = (labelled_part(diagnoses, {"ink": column}, part=part, **more) for part in (Part.TRAIN, Part.VALIDATION))
        return judge_artefacts(*parts, np.zeros((40, 1, 2)), generator=np.random.default_rng(0))

    assert verdicts().tie[0, MELANOMA] <= 0.001
    assert verdicts(groups=groups).tie[0, MELANOMA] > 0.2
