"""The audit put together: from hand-made labels, maps and a network that whitens nothing to what the run says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_artefacts import ARTEFACTS, CLASSES, MadeLesion, artefact_maps, dealt_parts, labelled_part, reading_outputs
from fake_networks import MadeNetwork, made_network, made_outputs

from pipeline.data.splits import Part
from pipeline.evaluation.evaluation_data import EvaluatedParts
from pipeline.explanation.shortcuts.artefact_space import ArtefactSpace, axis_space
from pipeline.explanation.shortcuts.artefacts import LabelledParts
from pipeline.explanation.shortcuts.audit import audit_artefact, audit_parts, counts_by_diagnosis, find_shortcuts
from pipeline.explanation.shortcuts.figures import ArtefactMeasures
from pipeline.explanation.shortcuts.measured import QUALITY
from pipeline.explanation.shortcuts.repainting import Repainting
from pipeline.explanation.shortcuts.verdicts import Verdicts
from pipeline.results.shortcuts import LabelSource, NamedShortcut, PresenceCounts, ShortcutVerdict
from pipeline.run.progress import Silent

CHANNELS = 6


def network_of(parts, read, concepts=()):
    """A network that reads artefact j, along axis j + 1, with a weight."""
    labelled = (parts.train, parts.validation, parts.test)
    maps = {part.data.part: artefact_maps(part.artefacts, channels=CHANNELS).float() for part in labelled}
    weights = [[1.0, *read, 0.0, 0.0], [0.0] * CHANNELS]
    evaluated = EvaluatedParts(train=parts.train.data, validation=parts.validation.data, test=parts.test.data)
    return made_network(MadeNetwork(weights, concepts), evaluated, maps)


def audited(parts, read, concepts=()):
    network = network_of(parts, read, concepts)
    spaces, verdicts = find_shortcuts(network, parts, tracker=Silent())
    measures = ArtefactMeasures(parts.test, network.test_outputs(Silent()))
    return audit_parts(parts, spaces, verdicts=verdicts, measures=measures, tracker=Silent()), spaces, verdicts


@pytest.fixture(scope="module")
def ink():
    return audited(dealt_parts(tied=["ink"]), (0.0, 2.0, 0.0))


def test_the_audit_names_what_is_tied_and_used(ink):
    audit, spaces, _ = ink
    assert audit.named == (NamedShortcut(artefact="ink", diagnosis="melanoma"),)
    assert audit.comparisons == len(ARTEFACTS) * len(CLASSES)
    assert (audit.level, audit.fewest) == (0.05, 10)
    assert tuple(audit.artefacts) == tuple(spaces) == ARTEFACTS
    assert audit.counterpart == {}


def test_the_directions_lie_along_the_artefacts_axis(ink):
    _, spaces, _ = ink
    for column, name in enumerate(ARTEFACTS):
        assert abs(float(spaces[name].directions[0, column + 1])) >= 0.9


def test_each_effect_has_its_verdict_and_figures(ink):
    """It adds 2 along its axis, of which the network reads twice as much: 4 nats out, 4 nats in."""
    audit, spaces, verdicts = ink
    effect = audit.artefacts["ink"].audit.diagnoses["melanoma"]
    assert effect.verdict is ShortcutVerdict.NAMED
    assert effect.tie_p == verdicts.tie[1, 0]
    assert effect.use_p == verdicts.use[1, 0]
    assert effect.taken_out.value == pytest.approx(-4, abs=0.6)
    assert effect.put_in.value == pytest.approx(4, abs=0.6)
    assert effect.loss_ratio.value != 1.0
    assert effect.drawn_in is effect.drawn_out is None
    assert audit.artefacts["ink"].audit.directions == spaces["ink"].beyond_chance
    assert audit.artefacts["ink"].audit.reading_auc.value >= 0.9
    nevus = audit.artefacts["ink"].audit.diagnoses["nevus"]
    assert nevus.taken_out.value == pytest.approx(-effect.taken_out.value)
    assert nevus.verdict is ShortcutVerdict.NOT_NAMED


def test_test_images_have_no_say_in_the_verdict():
    """Test images in which hair is tied, and used no more, leave ink named and hair not."""
    parts = dealt_parts(tied=["ink"])
    others = replace(parts, test=dealt_parts(tied=["hair"], seed=7).test)
    named = [audited(each, (0.0, 2.0, 2.0))[0].named for each in (parts, others)]
    assert named[0] == named[1] == (NamedShortcut(artefact="ink", diagnosis="melanoma"),)


def test_validation_images_decide_about_use():
    """Where validation images do not have the artefact, nothing is said to be used, whatever the others show."""
    parts = dealt_parts(tied=["ink"])
    labels = parts.validation.artefacts
    bare = labels.table.copy()
    bare[:, 1] = 0.0
    validation = replace(parts.validation, artefacts=replace(labels, table=bare))
    assert audited(replace(parts, validation=validation), (0.0, 2.0, 0.0))[0].named == ()


def test_an_artefact_with_an_axis_of_its_own_has_that_axis_among_its_directions():
    concepts = ("streaks", "ruler", "ink")
    parts = dealt_parts(tied=["ink"], concept_labels=None, concepts=())
    parts = LabelledParts(*(with_concepts(part, concepts) for part in (parts.train, parts.validation, parts.test)))
    audit, spaces, _ = audited(parts, (0.0, 2.0, 0.0), concepts)
    assert audit.artefacts["ink"].axis == 2
    assert audit.artefacts["hair"].axis is None
    axis = torch.eye(CHANNELS, dtype=torch.float64)[2]
    directions = spaces["ink"].directions
    assert torch.allclose(directions.T @ (directions @ axis), axis, atol=1e-8)


def with_concepts(part, concepts):
    labels = np.zeros((len(part.data), len(concepts)))
    return replace(part, data=replace(part.data, concepts=concepts, concept_labels=labels))


def test_an_artefact_that_few_training_images_have_is_counted_and_not_audited():
    parts = dealt_parts(tied=["ink"])
    table = parts.train.artefacts.table.copy()
    table[9:, 2] = 0.0
    table[:9, 2] = 1.0
    train = replace(parts.train, artefacts=replace(parts.train.artefacts, table=table))
    audit, spaces, _ = audited(replace(parts, train=train), (0.0, 2.0, 0.0))
    assert tuple(spaces) == ("ruler", "ink")
    assert audit.artefacts["hair"].audit is None
    assert audit.artefacts["hair"].train == {
        "melanoma": PresenceCounts(present=5, absent=55),
        "nevus": PresenceCounts(present=4, absent=56),
    }
    assert audit.comparisons == 4


def test_without_frequent_artefacts_nothing_is_compared():
    parts = LabelledParts(
        *(
            labelled_part(["melanoma", "nevus"] * 4, {"ink": [1, 0] * 4}, part=part)
            for part in (Part.TRAIN, Part.VALIDATION, Part.TEST)
        )
    )
    audit, spaces, verdicts = audited(parts, (0.0, 2.0, 0.0))
    assert (spaces, verdicts, audit.named, audit.comparisons) == ({}, None, (), 0)
    assert audit.artefacts["ink"].audit is None
    assert audit.artefacts["ink"].test == PresenceCounts(present=4, absent=4)


def test_counts_are_of_training_images_by_diagnosis_and_of_test_images():
    train = labelled_part(["melanoma"] * 3 + ["nevus"] * 4, {"ink": [1, 1, np.nan, 0, 0, 0, 1]}, part=Part.TRAIN)
    assert counts_by_diagnosis(train.artefacts.column("ink"), train.data) == {
        "melanoma": PresenceCounts(present=2, absent=0),
        "nevus": PresenceCounts(present=1, absent=3),
    }


@pytest.mark.parametrize("source", LabelSource)
def test_who_labelled_an_artefact_is_said_and_how_good_a_measure_is(source):
    parts = LabelledParts(
        *(
            labelled_part(["melanoma", "nevus"], {"hair": [1, 0]}, part=part, source=source)
            for part in (Part.TRAIN, Part.VALIDATION, Part.TEST)
        )
    )
    hair = audited(parts, (0.0, 0.0, 0.0))[0].artefacts["hair"]
    assert hair.labels is source
    assert hair.measure == (QUALITY["hair"] if source is LabelSource.MEASURED else None)


@pytest.mark.parametrize("beyond", [0, 1, 2])
def test_directions_are_those_beyond_chance_and_drawn_figures_go_where_they_belong(beyond):
    """Three directions of which fewer are beyond chance; drawing ink in adds 3 nats, and two of six images have it."""
    part = labelled_part(["melanoma"] * 3 + ["nevus"] * 3, {"hair": [0] * 6, "ink": [1, 1, 0, 0, 0, 0]})
    lesions = tuple(MadeLesion(frozenset(["ink"] if row < 2 else [])) for row in range(6))

    def logits_of(changed):
        return torch.tensor([[3.0 * ("ink" in lesion.artefacts), 0.0] for lesion in changed])

    outputs = reading_outputs(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).double(), (1.0, 1.0))
    verdicts = Verdicts(
        artefacts=("hair", "ink"),
        classes=CLASSES,
        tie=np.array([[0.1, 0.2], [0.3, 0.4]]),
        use=np.array([[0.5, 0.6], [0.7, 0.8]]),
        effects=np.zeros((2, 2)),
        thinnest=np.full((2, 2), 50),
    )
    space = ArtefactSpace(torch.eye(4).double()[1:], torch.zeros(3).double(), torch.ones(3).double(), beyond)
    measures = ArtefactMeasures(part, outputs, Repainting(lesions, logits_of, has_shortcut=False))
    audit = audit_artefact("ink", space, verdicts=verdicts, measures=measures)
    assert audit.directions == beyond
    nevus = audit.diagnoses["nevus"]
    assert (nevus.tie_p, nevus.use_p) == (0.4, 0.8)
    assert (nevus.drawn_in.value, nevus.drawn_in.n) == (-3.0, 4)
    assert (nevus.drawn_out.value, nevus.drawn_out.n) == (3.0, 2)
    assert repr(nevus.taken_out) == repr(measures.taken_out("ink", space)[1])
    assert repr(nevus.put_in) == repr(measures.put_in("ink", space)[1]), "as text, since one image has no interval"
    assert nevus.loss_ratio == measures.loss_ratios(space)[1]
    assert audit.reading_auc == measures.reading("ink", space)


def test_the_fake_network_reads_as_the_fake_outputs_do():
    """Both stand-ins must agree, or the tests above would speak of different networks."""
    maps = artefact_maps(dealt_parts().test.artefacts).float()
    weights = (1.0, 2.0, 0.5)
    first = made_outputs(MadeNetwork([[*weights, 0.0, 0.0, 0.0], [0.0] * 6]), maps)
    second = reading_outputs(maps, weights)
    assert torch.allclose(first.logits, second.logits, atol=1e-5)
    assert torch.allclose(axis_space(1, 6).removed(maps)[:, 1], torch.zeros(()))
