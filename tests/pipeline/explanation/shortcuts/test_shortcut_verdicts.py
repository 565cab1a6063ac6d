"""Which artefacts are named, and what they do: in made-up maps, with the artefacts as concepts of a release."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from concepts.example import ConceptEntry, Example, Origin, Polarity
from concepts.release import freeze
from pipeline.config import parse_overrides
from pipeline.data.cohort import Cohort
from pipeline.data.sample import Sample
from pipeline.data.splits import Part, Split
from pipeline.evaluation.outputs import LayerOutputs
from pipeline.explanation.shortcuts.artefact_space import axis_space
from pipeline.explanation.shortcuts.artefacts import LabelSource, artefact_labels, own_axis
from pipeline.explanation.shortcuts.figures import ArtefactMeasures
from pipeline.explanation.shortcuts.verdicts import ShortcutVerdict, judge_artefacts
from pipeline.run.progress import Silent

CHANNELS = 6
CLASSES = ("melanoma", "nevus")
ARTEFACTS = ("ruler", "ink", "hair")
UNJUDGED = ("dark_corner", "colour_patch")
"""Concepts of the release that no reader judged in any image; what readers are asked for is not measured."""
SIZES = {Part.TRAIN: 300, Part.VALIDATION: 120, Part.TEST: 300}


@dataclass(frozen=True)
class MadeUp:
    """A network whose maps and logits are made of the labels: artefact j lies along axis j + 1."""

    settings: object
    cohort: Cohort
    read: tuple[float, ...]
    channels: int = CHANNELS

    def maps(self, samples, *, tracker, title):
        del tracker, title
        yield self._maps(samples)

    def train_maps(self, tracker):
        yield self._maps(self.cohort.part(Part.TRAIN))

    def outputs(self, samples, *, tracker, title):
        del tracker, title
        maps = self._maps(samples)
        return LayerOutputs(maps, (), self._tail(maps, ()), self._tail)

    def validation_outputs(self, tracker):
        return self.outputs(self.cohort.part(Part.VALIDATION), tracker=tracker, title="")

    def _maps(self, samples):
        labels = np.nan_to_num(artefact_labels(self.cohort, samples).of(ARTEFACTS).table)
        generator = torch.Generator().manual_seed(len(samples))
        maps = torch.randn(len(samples), CHANNELS, 4, 4, generator=generator, dtype=torch.float64)
        for column, name in enumerate(artefact_labels(self.cohort, samples).of(ARTEFACTS).names):
            maps[:, ARTEFACTS.index(name) + 1] += 2.0 * torch.from_numpy(labels[:, column]).view(-1, 1, 1)
        return maps

    def _tail(self, maps, rest):
        del rest
        means = maps.mean(dim=(2, 3))
        melanoma = means[:, 0] + sum(weight * means[:, axis + 1] for axis, weight in enumerate(self.read))
        return torch.stack([melanoma, torch.zeros_like(melanoma)], dim=1)


def cohort(*, tied, seed=0, unknown=0.0):
    """Artefacts in one of five images, those that are tied in four of five melanomas."""
    generator = np.random.default_rng(seed)
    samples, parts, examples = [], {}, []
    for part, size in SIZES.items():
        for number in range(size):
            image, diagnosis = f"{part}_{number:03d}", CLASSES[int(generator.random() < 0.6)]
            digest = f"{len(samples):064x}"
            samples.append(Sample(image_id=image, path=Path(image), digest=digest, diagnosis=diagnosis, source="isic"))
            parts[image] = part
            for name in ARTEFACTS:
                there = generator.random() < (0.8 if name in tied and diagnosis == "melanoma" else 0.2)
                polarity = Polarity.PRESENT if there else Polarity.ABSENT
                polarity = Polarity.UNMARKED if generator.random() < unknown else polarity
                examples.append(
                    Example(image_id=image, image_digest=digest, concept=name, polarity=polarity, provenance="reader")
                )
    entries = [ConceptEntry.from_vocabulary(name, origin=Origin.JUDGED) for name in (*ARTEFACTS, *UNJUDGED)]
    streaks = ConceptEntry.from_vocabulary("streaks", origin=Origin.JUDGED)
    examples.append(
        Example(image_id="x", image_digest="f" * 64, concept="streaks", polarity=Polarity.ABSENT, provenance="reader")
    )
    return Cohort(
        samples=tuple(samples),
        classes=CLASSES,
        split=Split(parts, {one: one for one in parts}),
        release=freeze("artefacts", 1, concepts=[streaks, *entries], examples=examples),
        concepts=("streaks",),
        root=Path(),
        cache=None,
        findings=(),
        unmarked_is_absent=False,
    )


def judged(made, read):
    return judge_artefacts(MadeUp(parse_overrides(["seed=1"]), made, read), tracker=Silent())


def named(verdicts):
    return [(verdicts.artefacts[one], CLASSES[other]) for one, other in verdicts.ranking()]


def test_an_artefact_that_is_tied_and_used_is_named_for_its_diagnosis():
    verdicts = judged(cohort(tied=["ink"]), (0.0, 2.0, 0.0))
    assert named(verdicts) == [("ink", "melanoma")]
    assert verdicts.verdict(1, 0) is ShortcutVerdict.NAMED
    assert verdicts.verdict(1, 1) is ShortcutVerdict.NOT_NAMED


def test_the_stronger_of_two_is_first():
    verdicts = judged(cohort(tied=["ink", "hair"]), (0.0, 1.5, 3.0))
    assert named(verdicts) == [("hair", "melanoma"), ("ink", "melanoma")]


@pytest.mark.parametrize(
    ("tied", "read"),
    [(["ink"], (0.0, 0.0, 0.0)), ([], (0.0, 2.0, 0.0)), (["ink"], (0.0, -2.0, 0.0))],
    ids=["tied but not used", "used but not tied", "used against its tie"],
)
def test_neither_tie_nor_use_alone_is_a_shortcut(tied, read):
    assert named(judged(cohort(tied=tied), read)) == []


@pytest.mark.slow
def test_labels_dealt_at_random_are_not_named():
    """Of 20 cohorts without a tie, all with artefacts that are used, at most 2.5 % are expected to have one named."""
    found = [named(judged(cohort(tied=[], seed=seed), (2.0, 2.0, 2.0))) for seed in range(20)]
    assert sum(bool(one) for one in found) <= 2


def test_too_few_images_are_said_to_be_too_few():
    made = cohort(tied=["ink"], unknown=0.93)
    verdicts = judged(made, (0.0, 0.0, 0.0))
    labels = artefact_labels(made, made.part(Part.TRAIN))
    thin = [
        one for one, count in zip(labels.names, np.minimum(labels.present, labels.absent), strict=True) if count < 10
    ]
    assert set(verdicts.artefacts if verdicts else ()).isdisjoint(thin)
    if verdicts is not None:
        assert all(verdicts.verdict(row, 0) is ShortcutVerdict.TOO_FEW for row in range(len(verdicts.artefacts)))


def test_what_readers_were_asked_for_is_not_measured_where_they_did_not_say():
    made = cohort(tied=["ink"])
    labels = artefact_labels(made, made.part(Part.TRAIN))
    assert labels.names == (*ARTEFACTS, *UNJUDGED)
    assert set(labels.sources) == {LabelSource.READERS}
    assert np.isnan(labels.of(UNJUDGED).table).all()


def test_an_artefact_with_an_axis_of_its_own_has_that_axis_among_its_directions():
    made = replace(cohort(tied=["ink"]), concepts=("streaks", "ruler", "ink", "hair"))
    assert own_axis(made, "ink") == 2
    verdicts = judged(made, (0.0, 2.0, 0.0))
    axis = torch.eye(CHANNELS, dtype=torch.float64)[2]
    space = verdicts.spaces[verdicts.artefacts.index("ink")]
    assert torch.allclose(space.directions.T @ (space.directions @ axis), axis, atol=1e-8)
    assert named(verdicts) == [("ink", "melanoma")]


def measures(made, read):
    network = MadeUp(parse_overrides(["seed=1", "data.source=isic", "data.root=nowhere"]), made, read)
    outputs = network.outputs(made.part(Part.TEST), tracker=Silent(), title="")
    return ArtefactMeasures(network, outputs)


def test_what_is_taken_out_and_put_in_is_what_the_artefact_adds():
    """It adds 2 along its axis, which the log-odds of melanoma read with a weight of 2: 4 nats out, 4 nats in."""
    made = cohort(tied=["ink"])
    found = measures(made, (0.0, 2.0, 0.0)).effects("ink", axis_space(2, CHANNELS))["melanoma"]
    labels = artefact_labels(made, made.part(Part.TEST)).table[:, 1]
    assert found["taken_out"].value == pytest.approx(-4, abs=0.3)
    assert found["put_in"].value == pytest.approx(4, abs=0.3)
    assert found["taken_out"].low < -3.5 < found["taken_out"].high + 1
    assert (found["taken_out"].n, found["put_in"].n) == ((labels == 1).sum(), (labels == 0).sum())


def test_what_is_not_read_does_nothing():
    found = measures(cohort(tied=["ink"]), (0.0, 2.0, 0.0)).effects("hair", axis_space(3, CHANNELS))
    for row in found.values():
        assert row["taken_out"].value == pytest.approx(0, abs=1e-9)
        assert row["put_in"].value == pytest.approx(0, abs=1e-9)
        assert row["loss_ratio"].value == pytest.approx(1, abs=1e-9)


def test_an_artefact_is_read_where_it_lies_and_nowhere_else():
    found = measures(cohort(tied=[]), (0.0, 2.0, 0.0))
    assert found.reading("ink", axis_space(2, CHANNELS)).value >= 0.99
    elsewhere = found.reading("ink", axis_space(0, CHANNELS)).estimate()
    assert elsewhere.low <= 0.5 <= elsewhere.high


def test_images_that_are_not_drawn_have_no_exact_effects():
    found = measures(cohort(tied=["ink"]), (0.0, 2.0, 0.0))
    assert found.drawn("ink") == {}
    assert found.counterpart() == {}
