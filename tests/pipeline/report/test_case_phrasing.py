"""What is said about a single case."""

from types import SimpleNamespace

import pytest

from pipeline.images.measures.quality import ARTEFACTS, MEASURES
from pipeline.report.sentences import case as case_phrasing
from pipeline.results.case import ConceptState, EvidenceContent, QualityContent, StageContent

P, A, U = ConceptState.PRESENT, ConceptState.ABSENT, ConceptState.UNCERTAIN


def concept(states, *, label):
    stages = tuple(
        StageContent(layer=f"layer{number}.whitening", activation=0.0, percentile=50.0, state=state)
        for number, state in enumerate(states, start=1)
    )
    return SimpleNamespace(stages=stages, label=label, name="streaks")


@pytest.mark.parametrize(
    ("states", "label", "said"),
    [
        ((A, P), True, "corrected at layer2"),
        ((A, U, P), True, "corrected at layer3"),
        ((P, A), True, "lost at layer2"),
        ((P, A, P), True, "lost at layer2, then corrected at layer3"),
        ((P, A), False, "corrected at layer2"),
        ((A, A), False, "right throughout"),
        ((U, A), True, "wrong throughout"),
        ((U, U), True, "never sure"),
        ((A, P), None, "no label to compare with"),
    ],
)
def test_where_a_mistake_is_corrected_or_made_is_said(states, label, said):
    assert case_phrasing.course(concept(states, label=label)) == said


def quality(measure, *, unusual):
    return QualityContent(measure=measure, value=0.2, percentile=99.0, unusual=unusual)


def test_artefacts_are_told_from_an_unusual_picture():
    case = SimpleNamespace(
        scope=SimpleNamespace(out_of_scope=False),
        conflict=False,
        quality=(quality("sharpness", unusual=True), quality("patch", unusual=True), quality("hair", unusual=False)),
    )
    said = case_phrasing.warnings(case, {})
    assert said == [
        "Unusual picture: sharpness at percentile 99 of the validation images.",
        "Detected on the picture: a colour patch.",
    ]
    assert case_phrasing.quality_state(case.quality[2]) == "not detected"


def test_every_measure_of_a_picture_has_a_name_and_a_unit():
    assert set(case_phrasing.ARTEFACTS) == set(ARTEFACTS)
    assert {*case_phrasing.MEASURES, *case_phrasing.ARTEFACTS} == set(MEASURES)
    assert case_phrasing.measured(quality("ink", unusual=True)).startswith("20.0")
    assert case_phrasing.measured(quality("contrast", unusual=True)) == "0.2 of 255"
    assert case_phrasing.measured(quality("ruler", unusual=True)) == "rhythm 0.20 of 1"


def test_an_averaged_map_says_so():
    plain = EvidenceContent(height=1, width=1, low=0, high=2.5, cells="AA==")
    assert case_phrasing.evidence(plain) == "highest +2.5 SD"
    assert "3 \N{MULTIPLICATION SIGN} 3 cells" in case_phrasing.evidence(plain.model_copy(update={"averaged_over": 3}))
