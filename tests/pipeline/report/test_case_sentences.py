"""What is said about a single case, and the page that it is said on."""

import re

import pytest
from fake_cases import AUC, made_case, made_concept, made_shares
from PIL import Image

from concepts.errors import RunError
from concepts.statistics.estimate import Estimate
from pipeline.explanation.cases.files import picture_file, write_case
from pipeline.images.measures.quality import ARTEFACTS, MEASURES
from pipeline.report.pages.case import case_body, case_names, case_page_address, write_case_page
from pipeline.report.pages.evidence_picture import evidence_values
from pipeline.report.sentences import case as sentences
from pipeline.report.sentences.numerals import plain_text
from pipeline.results.case import (
    ConceptState,
    EvidenceContent,
    FlipContent,
    QualityContent,
    ScopeContent,
    ShiftContent,
)
from pipeline.run.folder import RunFolder

P, A, U, N = ConceptState.PRESENT, ConceptState.ABSENT, ConceptState.UNCERTAIN, ConceptState.NOT_ASSESSABLE
NAMES = {
    "melanoma": "melanoma",
    "nevus": "melanocytic nevus",
    "keratosis": "keratosis",
    "streaks": "streaks",
    "veil": "veil",
}
THREE = ("melanoma", "nevus", "keratosis")


def staged(states, *, label):
    return made_concept(
        label=label, stages={f"layer{number}.whitening": state for number, state in enumerate(states, 1)}
    )


@pytest.mark.parametrize(
    ("states", "label", "words"),
    [
        ((A, P), True, "corrected at layer2"),
        ((A, U, P), True, "corrected at layer3"),
        ((P, A), True, "lost at layer2"),
        ((P, A, P), True, "lost at layer2, then corrected at layer3"),
        ((P, A), False, "corrected at layer2"),
        ((A, A), False, "right throughout"),
        ((U, A), True, "wrong throughout"),
        ((U, U), True, "uncertain at every layer"),
        ((N, U), False, "uncertain at every layer"),
        ((A, P), None, "no label to compare with"),
    ],
)
def test_a_course_says_where_a_mistake_is_corrected_or_made(states, label, words):
    assert sentences.course(staged(states, label=label)) == words


def quality(measure, *, unusual, percentile=99.0, value=0.2):
    return QualityContent(measure=measure, value=value, percentile=percentile, unusual=unusual)


def test_artefacts_are_told_from_an_unusual_picture():
    case = made_case(
        quality=(quality("sharpness", unusual=True), quality("patch", unusual=True), quality("hair", unusual=False))
    )
    assert sentences.warnings(case, NAMES) == [
        "Unusual picture: sharpness at percentile 99 of the validation images.",
        "Detected on the picture: a colour patch.",
    ]
    assert [sentences.quality_state(measurement) for measurement in case.quality] == [
        "unusual",
        "detected",
        "not detected",
    ]
    assert sentences.quality_state(quality("contrast", unusual=False)) == "usual"


def test_warnings_come_most_serious_first_and_only_where_there_is_a_reason():
    assert sentences.warnings(made_case(), NAMES) == []
    case = made_case(conflict=True, scope=ScopeContent(distance=9.25, percentile=100.0, out_of_scope=True))
    scope, conflict = map(plain_text, sentences.warnings(case, NAMES))
    assert scope.startswith("Out of scope: ")
    assert "axis 9.25;" in scope
    assert conflict == (
        "Conflict: from the named concepts alone the call would be melanocytic nevus (66 %), "
        "and melanoma is implausible from them."
    )


def test_every_measure_of_a_picture_has_a_name_and_a_unit():
    assert set(sentences.ARTEFACTS) == set(ARTEFACTS)
    assert {*sentences.MEASURES, *sentences.ARTEFACTS} == set(MEASURES)
    assert plain_text(sentences.measured(quality("ink", unusual=True))) == "20.0 %"
    assert plain_text(sentences.measured(quality("clipped", unusual=True))) == "20.0 %"
    assert sentences.measured(quality("contrast", unusual=True)) == "0.2 of 255"
    assert sentences.measured(quality("ruler", unusual=True)) == "rhythm 0.20 of 1"
    assert sentences.measure_name(quality("patch", unusual=True)) == "A colour patch"
    assert sentences.percentile(None) == "at an unknown percentile"


def test_an_averaged_map_says_so():
    plain = EvidenceContent(height=1, width=1, low=0, high=2.5, cells="AA==")
    assert sentences.evidence(plain) == "highest +2.5 SD"
    wide = plain.model_copy(update={"averaged_over": 3})
    assert sentences.evidence(wide).endswith(", averaged over 3 \N{MULTIPLICATION SIGN} 3 cells")


def test_the_call_names_what_else_is_plausible():
    def call(*plausible):
        return plain_text(sentences.call(made_case(plausible=plausible, classes=THREE), NAMES))

    assert call() == "Melanoma, 72 %; no other diagnosis is plausible at the chosen level."
    assert call("keratosis") == "Melanoma, 72 %, but keratosis is also plausible: the network abstains."
    assert call("nevus", "keratosis") == (
        "Melanoma, 72 %, but melanocytic nevus and keratosis are also plausible: the network abstains."
    )


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("melanoma", "Recorded diagnosis: melanoma; as the network calls it."),
        ("nevus", "Recorded diagnosis: melanocytic nevus; the network's call differs."),
        (None, "No diagnosis is recorded for this lesion."),
    ],
)
def test_the_recorded_diagnosis_is_compared_with_the_call(reference, words):
    assert sentences.truth(made_case(reference=reference), NAMES) == words


def test_the_account_adds_up_what_each_kind_of_axis_contributes():
    concepts = [made_concept(), made_concept("veil", shares=made_shares(-0.5))]
    case = made_case(concepts=concepts)
    text = plain_text(sentences.account(case, "melanoma", NAMES))
    assert "-0.50 with every axis switched off, +0.25 from the named concepts, +0.25 from all axes without" in text
    assert "together +1.00" in text
    assert "Axes without a name account for 17 %" in text, "0.25 of 0.75 + 0.5 + 0.25"
    assert sentences.unnamed_part(case, "melanoma") == pytest.approx(1 / 6)
    nothing = made_case(concepts=[], free=made_shares(0.0))
    assert sentences.unnamed_part(nothing, "nevus") == 0
    assert "-0.25 from the named concepts, -0.25 from all axes" in plain_text(sentences.account(case, "nevus", NAMES))


def shifts(**by):
    return tuple(ShiftContent(concept=concept, shift=shift) for concept, shift in by.items())


def test_a_flip_names_its_largest_shifts_and_leaves_out_small_ones():
    assert sentences.flip(None, NAMES).endswith("was found that changes the call.")
    change = FlipContent(diagnosis="nevus", size=2.0, shifts=shifts(streaks=-1.9, veil=0.2))
    assert plain_text(sentences.flip(change, NAMES)) == (
        "The smallest change found in the named axes that turns the call into melanocytic nevus is streaks by -1.9 and "
        "veil by +0.2 standard deviations (length 2 over all named axes)."
    )
    small = change.model_copy(update={"shifts": shifts(streaks=-1.9, veil=0.199)})
    assert "veil" not in sentences.flip(small, NAMES)
    names = dict.fromkeys("abcd", "a concept")
    assert (
        sentences.flip(change.model_copy(update={"shifts": shifts(a=1, b=1, c=1, d=1)}), NAMES | names).count("by +1")
        == 3
    )


def test_an_axis_is_reliable_only_where_the_whole_interval_is_high():
    assert plain_text(sentences.reliability(made_concept())) == "0.90 (0.85 to 0.94), n = 120, of which 40 show it"
    unassessed = made_concept(auc=None, reason="2 positives")
    assert sentences.reliability(unassessed) == "not assessable: 2 positives"
    assert sentences.reliability(made_concept(auc=None)) == "not assessable: no figure"
    assert not sentences.is_unreliable(made_concept(auc=Estimate(0.8, 0.7, 0.9, 50)))
    assert sentences.is_unreliable(made_concept(auc=Estimate(0.8, 0.69, 0.9, 50)))
    assert sentences.is_unreliable(made_concept(auc=Estimate(0.8, float("nan"), float("nan"), 1)))
    assert sentences.is_unreliable(unassessed)
    assert sentences.agreement(made_concept()) == ""
    assert plain_text(sentences.agreement(made_concept(agreement=AUC))).startswith("readers' agreement 0.90 (0.85")


@pytest.mark.parametrize(("label", "words"), [(True, "marked present"), (False, "marked absent"), (None, "not marked")])
def test_labels_have_words(label, words):
    assert sentences.label(made_concept(label=label)) == words


def test_contributions_have_signs_but_not_zero():
    assert [plain_text(sentences.signed(value, 2)) for value in (0.5, -0.5, 0.0, -0.001)] == [
        "+0.50",
        "-0.50",
        "0.00",
        "0.00",
    ]


def body(case, **more):
    text = case_body(case, case_names(case), lambda image: f"picture-of-{image}", **more)
    return re.sub(r"\s+", " ", plain_text(text))


def test_the_page_shows_the_case_and_its_neighbours():
    text = body(made_case(quality=(quality("ink", unusual=True),)))
    for part in ("picture-of-lesion_a", "picture-of-lesion_b", "picture-of-lesion_c", "data:image/png;base64,", "Ink"):
        assert part in text, part
    assert (
        text.index("picture-of-lesion_b") < text.index("Against: another diagnosis") < text.index("picture-of-lesion_c")
    )
    assert "From low to high layers" not in text
    assert "<strong>detected</strong>" in text
    assert "in scope" in text


def test_contributions_are_those_to_the_diagnosis_that_is_asked_for():
    case = made_case(concepts=[made_concept(shares=made_shares(3.0))])
    assert 'aria-label="+3.00 nats"' in body(case)
    against = body(case, diagnosis="nevus")
    assert 'aria-label="-3.00 nats"' in against
    assert "what they add to melanocytic nevus" in against
    assert "left:0.00%; width:50.00%" in against.replace(";width", "; width"), "the longest bar fills its half"
    small = body(made_case(concepts=[made_concept(shares=made_shares(1.0))]))
    assert "width:25.00%" in small, "two nats fill a half, so that small contributions look small"


def test_layers_are_on_the_page_where_there_are_several():
    text = body(made_case(concepts=[staged((A, P), label=True)]))
    assert "<th>layer1</th>" in text.replace("> <", "><")
    assert "corrected at layer2" in text


def test_an_error_is_shown_where_orders_were_drawn():
    shares = {name: share.model_copy(update={"error": 0.125}) for name, share in made_shares().items()}
    assert "\N{PLUS-MINUS SIGN} 0.12" in body(made_case(concepts=[made_concept(shares=shares)]))
    assert "\N{PLUS-MINUS SIGN}" not in body(made_case())


def test_a_page_opens_anywhere(tmp_path):
    run = RunFolder(tmp_path)
    case = made_case("a/b")
    write_case(run, case)
    for image in ("a/b", "lesion_b", "lesion_c"):
        Image.new("RGB", (4, 4)).save(run.file(picture_file(image)))
    page = write_case_page(run, "a/b")
    assert page == tmp_path / "cases" / "a%2Fb.html"
    text = page.read_text(encoding="utf-8")
    assert "Case a/b" in text
    assert text.count("data:image/jpeg") == 3
    assert sentences.RESEARCH in text
    assert case_page_address("a/b") == "cases/a%252Fb.html"
    run.file(picture_file("lesion_c")).unlink()
    with pytest.raises(RunError, match="is missing"):
        write_case_page(run, "a/b")


def test_a_map_is_read_as_it_was_written_and_a_damaged_one_is_refused():
    evidence = made_concept().evidence
    assert evidence_values(evidence).tolist() == [[-1.0, pytest.approx(1 / 6)], [pytest.approx(4 / 3), 2.5]]
    with pytest.raises(RunError, match="a map of 3 x 2 cells has 4 bytes"):
        evidence_values(evidence.model_copy(update={"height": 3}))


def test_names_are_those_of_the_release_and_the_vocabulary():
    case = made_case(reference="keratosis", concepts=[made_concept(name="the streaks")])
    assert case_names(case) == {
        "keratosis": "keratosis",
        "melanoma": "melanoma",
        "nevus": "melanocytic nevus",
        "streaks": "the streaks",
    }
