"""The screen of cases: what it shows, what it hides from a blinded reader, and what becomes of a review."""

import base64
import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clinician_ui import case_phrasing, phrasing, workplace
from concepts.curation import door
from concepts.curation.case_review import Opinion, Step, read_reviews
from concepts.judgement import Verdict
from concepts.store.check import check
from pipeline.explanation.cases.files import picture_file, write_case, write_index
from pipeline.results.case import (
    CaseContent,
    ConceptContent,
    ConceptOnlyContent,
    ConceptState,
    ContributionContent,
    DiagnosisContent,
    EvidenceContent,
    NeighbourContent,
    ScopeContent,
)
from pipeline.run.folder import RunFolder

RUN = "small-20260101-000000"
SHARES = {"melanoma": ContributionContent(share=0.75, error=0.0, alone=0.7)} | {
    "nevus": ContributionContent(share=-0.25, error=0.0, alone=-0.2)
}
ROOT = Path(__file__).parents[2]
OPEN_CASE = """
import sys
from streamlit.testing.v1 import AppTest
from clinician_ui import workplace
from clinician_ui.sessions import SESSIONS

def page(token):
    from clinician_ui import router, workplace
    workplace.session_token = lambda: token
    screen = next(one for one in router.SCREENS if one.address == "cases")
    router.open_screen(screen, workplace.current_reader())

app = AppTest.from_function(page, args=(SESSIONS.open("rev"),), default_timeout=120).run()
assert not app.exception and any("Melanoma, 72" in one.proto.body for one in app.get("html"))
before = "torch" in sys.modules
next(one for one in app.toggle if one.label == "Switch concepts off").set_value(True)
app.run()
print("torch loaded:", before, "torch" in sys.modules, file=sys.stderr)
"""
CANARY = "<img src=x onerror=alert(1)>"


def concept(name: str, state: ConceptState) -> ConceptContent:
    cells = base64.b64encode(bytes(range(0, 36, 4))).decode()
    return ConceptContent(
        concept=name,
        name=name.replace("_", " "),
        activation=1.5,
        percentile=88.0,
        state=state,
        label=None,
        auc={"value": 0.9, "low": 0.85, "high": 0.94, "n": 120},
        positives=40,
        reason=None,
        agreement=None,
        contributions=SHARES,
        evidence=EvidenceContent(height=3, width=3, low=-1.0, high=2.5, cells=cells),
    )


def make_case(image_id: str, digest: str, *, call: str = "melanoma", conflict: bool = False) -> CaseContent:
    rest = "nevus" if call == "melanoma" else "melanoma"
    rows = ((call, 0.72, True), (rest, 0.28, conflict))
    return CaseContent(
        image_id=image_id,
        digest=digest,
        run=RUN,
        release="ab" * 32,
        part="test",
        reference="melanoma",
        picture=picture_file(image_id),
        call=call,
        abstain=conflict,
        differential=tuple(
            DiagnosisContent(diagnosis=name, probability=p, plausible=plausible, baseline=-0.5, outcome=1.0)
            for name, p, plausible in rows
        ),
        scope=ScopeContent(distance=1.1, percentile=60.0, out_of_scope=False),
        quality=(),
        concepts=(concept("streaks", ConceptState.PRESENT), concept("pigment_network", ConceptState.UNCERTAIN)),
        free=SHARES,
        concept_only=ConceptOnlyContent(diagnosis=rest, probability=0.66, conflict=conflict),
        flip=None,
        supporting=(NeighbourContent(image_id="lesion02", diagnosis=call, shows=("streaks",), distance=0.4),),
        opposing=(),
    )


@pytest.fixture
def run(tmp_path, store_and_images, monkeypatch) -> RunFolder:
    """A run with three explained cases, of images that the set ``derm`` has."""
    folder = RunFolder(tmp_path / "runs" / RUN)
    folder.path.mkdir(parents=True)
    cases = []
    for number, (call, conflict) in enumerate((("melanoma", False), ("nevus", True), ("melanoma", False))):
        name = f"lesion{number:02}"
        digest = sha256((store_and_images[1] / f"{name}.png").read_bytes()).hexdigest()
        cases.append(make_case(name, digest, call=call, conflict=conflict))
        write_case(folder, cases[-1])
        Image.fromarray(np.full((8, 8, 3), 120, np.uint8)).save(folder.file(picture_file(name)))
    write_index(folder, [case.row() for case in cases])
    monkeypatch.setenv(workplace.RUNS_VARIABLE, str(tmp_path / "runs"))
    return folder


def texts(app) -> str:
    parts = [
        str(element.value) for kind in (app.markdown, app.info, app.success, app.error, app.caption) for element in kind
    ]
    return " ".join([*parts, *(element.proto.body for element in app.get("html"))])


def widget(kind, label: str):
    return next(element for element in kind if element.label == label)


def answer(app, label: str):
    next(button for button in app.button if button.label == label).click()
    return app.run()


def test_a_case_is_shown_with_its_concepts_their_reliability_and_what_they_add(open_page, run):
    app = open_page("cases", "rev", case="lesion00")
    text = texts(app)
    assert not app.exception
    assert not app.error
    for words in ("Melanoma, 72", "Streaks", "0.90 (0.85 to 0.94), n", "+0.75", "no other diagnosis is plausible"):
        assert words in text, words
    assert "Case 1 of 3" in text
    assert text.count("data:image/png") == 2


@pytest.mark.slow
def test_the_address_names_the_case_and_next_moves_on(open_page, run):
    app = open_page("cases", "rev", case="lesion01")
    assert 'alt="Image lesion01"' in texts(app)
    app = answer(app, "Next")
    assert 'alt="Image lesion02"' in texts(app)
    assert app.query_params["case"] == "lesion02"
    assert app.session_state["cases_list_open"]["selection"]["rows"] == [2], "the list ticks the case that is shown"


def test_filters_narrow_the_list(open_page, run):
    app = open_page("cases", "rev")
    widget(app.button_group, "Only").set_value(["conflict"])
    app.run()
    assert "Case 1 of 1, filtered from 3" in texts(app)
    assert 'alt="Image lesion01"' in texts(app)
    assert "Conflict: from the named concepts alone" in texts(app)


@pytest.mark.slow
def test_contributions_can_be_asked_for_every_diagnosis(open_page, run):
    app = open_page("cases", "rev", case="lesion00")
    widget(app.button_group, "Contributions to").set_value("nevus")
    app.run()
    assert "what they add to melanocytic nevus" in texts(app)
    assert "\N{MINUS SIGN}0.25" in texts(app)


@pytest.mark.slow
def test_a_blinded_reader_sees_nothing_of_the_network_before_the_first_read(open_page, store_and_images, run):
    app = open_page("cases", "rev", case="lesion00", blinded="true")
    # Without digests: any two digits may be in one.
    before = re.sub("[0-9a-f]{16,}", "", texts(app) + str(app.dataframe[0].value))
    assert 'alt="Image lesion00"' in before
    for word in ("72", "Melanoma", "melanoma", "Differential", "data:image", "conflict"):
        assert word not in before, word
    assert not app.button_group
    widget(app.selectbox, "Own diagnosis").set_value("nevus")
    app = answer(app, case_phrasing.REVIEW_BUTTONS[Step.FIRST_READ])
    assert "Melanoma, 72" in texts(app)
    assert "First read: own diagnosis melanocytic nevus (50% sure)." in texts(app)
    widget(app.button_group, "The network calls it melanoma").set_value(Opinion.DISAGREES)
    app = answer(app, case_phrasing.REVIEW_BUTTONS[Step.REVIEW])
    assert not app.error
    reviews = read_reviews(store_and_images[0], "rev", RUN)
    assert [(review.step, review.diagnosis, review.opinion) for review in reviews] == [
        (Step.FIRST_READ, "nevus", None),
        (Step.REVIEW, None, Opinion.DISAGREES),
    ]
    assert check(store_and_images[0]).broken is None


@pytest.mark.slow
def test_a_concept_that_was_wrongly_seen_becomes_a_judgement_in_the_set(open_page, store_and_images, run):
    app = open_page("cases", "rev", case="lesion01")
    widget(app.button_group, "The network calls it melanocytic nevus").set_value(Opinion.AGREES)
    widget(app.multiselect, "Concepts that the network got wrong").set_value([("streaks", Verdict.ABSENT)])
    widget(app.text_area, "Comment").set_value(CANARY)
    app = answer(app, case_phrasing.REVIEW_BUTTONS[Step.REVIEW])
    assert phrasing.markdown(case_phrasing.REVIEW_SAVED[Step.REVIEW]) in texts(app)
    assert CANARY not in texts(app)
    (judgement,) = door.read_judgements(store_and_images[0], "rev", "derm")
    assert (judgement.reader, judgement.image_id, judgement.concept, judgement.verdict) == (
        "rev",
        "lesion01",
        "streaks",
        Verdict.ABSENT,
    )
    assert "1 reviewed by you" in texts(app)


@pytest.mark.slow
def test_a_review_without_an_opinion_is_refused_and_says_why(open_page, store_and_images, run):
    app = answer(open_page("cases", "rev"), case_phrasing.REVIEW_BUTTONS[Step.REVIEW])
    assert "agrees, disagrees or is unsure" in app.error[0].value
    assert read_reviews(store_and_images[0], "rev", RUN) == []


@pytest.mark.slow
def test_a_researcher_reads_and_does_not_review(open_page, run):
    app = open_page("cases", "res")
    assert "Melanoma, 72" in texts(app)
    assert case_phrasing.REVIEW_BUTTONS[Step.REVIEW] not in [button.label for button in app.button]


def test_without_runs_it_says_how_to_make_one(open_page, store_and_images, tmp_path, monkeypatch):
    monkeypatch.setenv(workplace.RUNS_VARIABLE, str(tmp_path))
    assert "dermaxis run CONFIG" in texts(open_page("cases", "rev")).replace("\\", "")


@pytest.mark.slow
def test_a_damaged_list_is_named(open_page, run):
    run.write_text("cases.csv", run.file("cases.csv").read_text().replace("True", "perhaps"))
    app = open_page("cases", "rev")
    assert "row" in app.error[0].value
    assert "perhaps" in app.error[0].value


@pytest.mark.slow
def test_a_case_is_read_without_torch_which_the_switches_alone_load(run, tmp_path):
    """In a process of its own: here other tests have loaded torch long ago."""
    script = tmp_path / "open_case.py"
    script.write_text(OPEN_CASE)
    run.write_text("model.safetensors", "")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    # The network of this run cannot be opened; but by then torch has come.
    assert "torch loaded: False True" in done.stderr
