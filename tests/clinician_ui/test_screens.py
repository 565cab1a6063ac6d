"""Every screen: it draws, says what to do when there is nothing, and stays shut to those who may not see it."""

import json
import re
import subprocess
import sys
from math import cos, sin
from pathlib import Path

import pytest
import streamlit

from clinician_ui import account_phrasing, judging_phrasing, phrasing, set_phrasing
from clinician_ui.components.image_grid.mount import parse_grid_act
from clinician_ui.components.lesion_viewer.mount import parse_act
from clinician_ui.router import SCREENS
from clinician_ui.screens import adjudicate, curate, grid
from clinician_ui.workplace import Reader
from concepts.curation import door
from concepts.curation.accounts import OPERATOR, find_account
from concepts.errors import DermaxisError
from concepts.judgement import Kind, Verdict
from concepts.store.roles import PERMISSIONS, Role

ROOT = Path(__file__).parents[2]
ROLES = {
    "ann": "annotator",
    "eve": "adjudicator",
    "cur": "curator",
    "rev": "reviewer",
    "res": "researcher",
    "adm": "admin",
}
BAD_BOX = {"kind": "box", "vertices": [[2, 2]]}
FOR = {
    "curate": "ann",
    "grid": "ann",
    "adjudicate": "eve",
    "accounts": "adm",
    "sets": "cur",
    "runs": "res",
    "cases": "rev",
    "unnamed": "rev",
    "history": "rev",
}


def texts(app) -> str:
    parts = [
        str(element.value) for kind in (app.markdown, app.info, app.success, app.error, app.caption) for element in kind
    ]
    return " ".join([*parts, *(element.proto.body for element in app.get("html"))])


def act(image: str, act: str = "judge", *more: str, reader: str = "ann", key: str = "k", **fields: object):
    case = json.dumps([reader, "derm", "streaks", image, *more])
    return parse_act({"act": act, "case": case, "key": key, **fields})


def as_reader(store_and_images, name: str) -> Reader:
    return Reader(find_account(store_and_images[0], name), store_and_images[0])


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.address)
def test_draws_for_those_who_may_see_it(screen, open_page):
    app = open_page(screen.address, FOR[screen.address], set="derm")
    assert not app.exception
    assert not app.error


@pytest.mark.slow
@pytest.mark.parametrize("name", ROLES)
def test_screens_are_shut_to_every_role_that_may_not(name, open_page):
    for screen in SCREENS:
        app = open_page(screen.address, name, set="derm")
        allowed = screen.action in PERMISSIONS[Role(ROLES[name])]
        assert not app.exception
        assert ("needs a role that you do not have" in texts(app)) != allowed
        assert allowed or (len(app.error) == 1 and len(app.get("bidi_component")) == 1)


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.address)
def test_nobody_gets_the_sign_in(screen, open_page):
    app = open_page(screen.address, None)
    assert phrasing.html(account_phrasing.SIGN_IN) in texts(app)
    assert len(app.get("bidi_component")) == 1


@pytest.mark.parametrize("address", ["curate", "grid", "sets"])
def test_an_empty_set_says_what_to_do(address, open_page):
    assert phrasing.NO_CONCEPTS in texts(open_page(address, FOR[address], set="empty"))


def test_without_disagreement_adjudication_says_so(open_page):
    assert judging_phrasing.NO_CONTESTED in texts(open_page("adjudicate", "eve", set="derm"))


def test_a_first_look_shows_nothing_of_the_others(open_page, dispute):
    app = open_page("adjudicate", "eve", set="derm")
    assert judging_phrasing.FIRST_LOOK in texts(app)
    assert not {"ann", "ben"} & set(texts(app).replace("<", " ").replace(">", " ").split())


def test_after_the_first_look_the_others_appear_and_their_notes_stay_text(open_page, store_and_images, dispute):
    eve = as_reader(store_and_images, "eve")
    look = act(dispute, "judge", "first", reader="eve", verdict="present")
    adjudicate._perform(eve, look)
    text = texts(open_page("adjudicate", "eve", set="derm"))
    assert "<td>ann<br>" in text
    assert "&lt;script&gt;" in text
    assert "<script>" not in text
    adjudicate._perform(eve, act(dispute, "judge", "last", reader="eve", key="l", verdict="absent"))
    kinds = [
        judgement.kind
        for judgement in door.read_judgements(store_and_images[0], "rev", "derm")
        if judgement.reader == "eve"
    ]
    assert kinds == [Kind.FIRST_LOOK, Kind.ADJUDICATION]
    assert judging_phrasing.NO_CONTESTED in texts(open_page("adjudicate", "eve", set="derm"))


def test_a_verdict_is_kept_once_with_all_that_was_said(store_and_images):
    box = {"kind": "box", "vertices": [[0.1, 0.1], [0.5, 0.6]], "mask": None}
    viewer_act = act("lesion03", verdict="present", confidence=0.75, note="n", regions=[box], seconds=2.5)
    for _ in range(2):
        assert curate._perform(as_reader(store_and_images, "ann"), viewer_act) == judging_phrasing.saved(
            Verdict.PRESENT
        )
    (judgement,) = door.read_judgements(store_and_images[0], "rev", "derm")
    assert (judgement.image_id, judgement.confidence, judgement.note, judgement.seconds, judgement.blinded) == (
        "lesion03",
        0.75,
        "n",
        2.5,
        True,
    )
    assert judgement.regions == viewer_act.regions


def test_the_viewer_cannot_be_made_to_judge_as_someone_else(store_and_images):
    curate._perform(as_reader(store_and_images, "ben"), act("lesion03", reader="ann", verdict="present"))
    (judgement,) = door.read_judgements(store_and_images[0], "rev", "derm")
    assert judgement.reader == "ben"


def test_saved_for_later_comes_last(store_and_images):
    curate._perform(as_reader(store_and_images, "ann"), act("lesion00", "later"))
    order = [case.image_id for case in door.queue(store_and_images[0], "ann", "derm", "streaks", limit=99)]
    assert (order[0], order[-1]) == ("lesion01", "lesion00")


def test_the_grid_judges_all_that_is_selected_and_undo_takes_it_back(store_and_images):
    sent = {"act": "assign", "verdict": "absent", "images": ["lesion01", "lesion02"], "key": "g"}
    context = json.dumps(["ann", "derm", "streaks", True])
    reader = as_reader(store_and_images, "ann")
    assert grid._perform(reader, parse_grid_act({**sent, "context": context})) == judging_phrasing.assigned(
        Verdict.ABSENT, 2
    )
    assert len(door.read_judgements(store_and_images[0], "rev", "derm")) == 2
    grid._perform(reader, parse_grid_act({"act": "undo", "context": context, "key": "u"}))
    assert door.read_judgements(store_and_images[0], "rev", "derm") == []


@pytest.mark.parametrize(
    "sent",
    [
        None,
        [],
        {"act": "drop table", "case": "", "key": ""},
        {"act": "judge", "case": "", "key": "", "verdict": "maybe"},
        {"act": "judge", "case": "", "key": "", "verdict": "present", "regions": [{"kind": "brush", "mask": "!"}]},
        {
            "act": "judge",
            "case": "",
            "key": "",
            "verdict": "present",
            "regions": [BAD_BOX],
        },
        {"act": "judge", "case": "", "key": "", "verdict": "present", "regions": [{}] * 101},
    ],
)
def test_what_no_viewer_sends_is_refused(sent):
    with pytest.raises(DermaxisError):
        parse_act(sent)


@pytest.mark.parametrize(
    "sent",
    [
        None,
        {"act": "assign"},
        {"act": "assign", "context": "", "key": "", "images": ["i"] * 501},
        {"act": "like", "context": "", "key": ""},
        {"act": "like", "context": "", "key": "", "images": [""]},
        {"act": "like", "context": "", "key": "", "images": ["i", "j"]},
        {"act": "like", "context": "", "key": "", "images": 1},
    ],
)
def test_what_no_grid_sends_is_refused(sent):
    with pytest.raises(DermaxisError):
        parse_grid_act(sent)


@pytest.fixture
def grid_of_buttons(monkeypatch) -> list[dict]:
    """Put a button that sends ``like lesion05`` where the grid's component is; lists what the component was given."""
    given: list[dict] = []
    sent = {"act": "like", "context": "", "key": "k", "images": ["lesion05"]}

    def draw(cases, *, on_act, **more):
        given.append({"images": [case.image_id for case in cases], **more})
        streamlit.button("Like this", on_click=on_act)

    monkeypatch.setattr(grid, "image_grid", draw)
    monkeypatch.setattr(grid, "read_grid_act", lambda _key: parse_grid_act(sent))
    return given


def test_one_image_of_the_grid_puts_those_most_similar_to_it_first(grid_of_buttons, open_page, store_and_images):
    angles = {f"lesion{number:02}": abs(number - 5) / 24 for number in range(24)}
    vectors = [[cos(angle), sin(angle)] for angle in angles.values()]
    door.record_embeddings(store_and_images[0], OPERATOR, "run", list(angles), vectors, key="embeddings")
    # The run that suspects the concept need not be the one that brought embeddings.
    door.record_suspicion(store_and_images[0], OPERATOR, "other", "streaks", {"lesion00": 0.5}, key="suspicion")
    app = open_page("grid", "ann", set="derm", concept="streaks")
    assert grid_of_buttons[-1]["can_compare"]
    app.session_state[grid.PAGE_KEY] = 2
    labelled(app.button, "Like this").click().run()
    assert not app.error
    shown = grid_of_buttons[-1]
    assert shown["images"] == sorted(angles, key=lambda name: angles[name])
    assert shown["answer"] == {"message": judging_phrasing.sorted_like("lesion05")}
    assert labelled(app.selectbox, "Order").value == grid.LIKE_IMAGE
    assert labelled(app.text_input, "Like the image").value == "lesion05"
    labelled(app.text_input, "Like the image").set_value("lesion23").run()
    assert grid_of_buttons[-1]["images"][0] == "lesion23"


def test_without_an_embedding_the_grid_offers_no_comparison(grid_of_buttons, open_page):
    open_page("grid", "ann", set="derm")
    assert not grid_of_buttons[-1]["can_compare"]


def test_a_release_is_previewed_before_it_is_frozen(open_page, store_and_images):
    for reader in ("ann", "ben"):
        curate._perform(
            as_reader(store_and_images, reader), act("lesion00", reader=reader, key=reader, verdict="present")
        )
    app = open_page("sets", "cur", set="derm")
    assert "1 positive, fewer than 40: thin" in texts(app)
    next(button for button in app.button if button.label.startswith("Freeze a")).click().run()
    assert "will hold 1 example of 1 concept" in texts(app)
    assert door.list_releases(store_and_images[0], "cur") == []
    next(button for button in app.button if button.label.startswith("Freeze it")).click().run()
    assert [(release.name, release.version) for release in door.list_releases(store_and_images[0], "cur")] == [
        ("derm", 1)
    ]


def labelled(widgets, label: str):
    return next(widget for widget in widgets if widget.label.startswith(label))


def test_a_curator_changes_the_rules_of_a_set(open_page, store_and_images):
    app = open_page("sets", "cur", set="derm")
    labelled(app.number_input, "Readers").set_value(3)
    labelled(app.number_input, "Same verdict").set_value(75)
    labelled(app.number_input, "Below").set_value(0.6)
    labelled(app.selectbox, "Flag a concept").set_value("gwet_ac1")
    labelled(app.toggle, "Uncertain counts").set_value(False)
    labelled(app.button, "Change the rules").click().run()
    assert not app.exception
    changed = door.read_set(store_and_images[0], "cur", "derm")
    assert (changed.consensus["minimum_readers"], changed.consensus["majority"]) == (3, 0.75)
    assert changed.consensus["uncertain_counts"] is False
    assert (changed.agreement_measure, changed.agreement_threshold, changed.blinded) == ("gwet_ac1", 0.6, True)
    text = texts(open_page("sets", "cur", set="derm"))
    assert "at least 3 readers and 75% of verdicts" in text
    assert "flagged below 0.60 of Gwet&#x27;s AC1" in text
    assert not any(button.label == "Change the rules" for button in open_page("sets", "rev", set="derm").button)


def test_every_coefficient_of_agreement_is_shown_with_interval_and_n(open_page, store_and_images):
    for reader in ("ann", "ben"):
        for number in range(6):
            verdict = "present" if number < 3 or (reader, number) == ("ben", 4) else "absent"
            viewer_act = act(f"lesion{number:02}", reader=reader, key=f"{reader}{number}", verdict=verdict)
            curate._perform(as_reader(store_and_images, reader), viewer_act)
    text = texts(open_page("sets", "rev", set="derm"))
    for heading in ("Percent agreement", "Cohen&#x27;s kappa", "Fleiss&#x27; kappa", "Gwet&#x27;s AC1"):
        assert heading in text or heading.replace("&#x27;", "'") in text
    assert len(re.findall(r"\d\.\d\d \(\W?\d\.\d\d to \d\.\d\d\), n = 6", text)) >= 6


@pytest.mark.slow
def test_opening_a_page_loads_no_network():
    heavy = "{'torch', 'monai', 'ignite', 'sklearn'}"
    code = f"import sys, clinician_ui.router, clinician_ui.server; print(sorted({heavy} & sys.modules.keys()))"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert completed.stdout.strip() == "[]"


def test_a_second_reading_is_asked_for_in_curate_and_hides_the_first(open_page, store_and_images):
    for image in ("lesion00", "lesion05"):
        curate._perform(
            as_reader(store_and_images, "ann"), act(image, key=image, verdict="present", note="seen before")
        )
    app = open_page("curate", "ann", set="derm", reading="Second")
    assert not app.exception
    assert app.selectbox(key="reading").value == 2
    text = texts(app)
    assert "0 of 2" in text
    assert judging_phrasing.JUDGED[2] in text
    assert not any(box.label == "Look back" for box in app.selectbox)
    curate._perform(as_reader(store_and_images, "ann"), act("lesion00", "judge", 2, key="second", verdict="absent"))
    assert "1 of 2" in texts(open_page("curate", "ann", set="derm", reading="Second"))
    curate._perform(as_reader(store_and_images, "ann"), act("lesion05", "judge", 2, key="third", verdict="present"))
    assert phrasing.markdown(judging_phrasing.all_reread("streaks")) in texts(
        open_page("curate", "ann", set="derm", reading="Second")
    )
    verdicts = {(j.image_id, j.reading): j.verdict for j in door.read_judgements(store_and_images[0], "rev", "derm")}
    assert (verdicts["lesion00", 1], verdicts["lesion00", 2]) == (Verdict.PRESENT, Verdict.ABSENT)


def test_the_agreement_of_readers_with_themselves_shows_in_sets_with_its_n(open_page, store_and_images):
    assert set_phrasing.NO_REREADINGS in texts(open_page("sets", "cur", set="derm"))
    for number in range(4):
        image = f"lesion{number:02}"
        for reading, verdict in ((1, "present"), (2, "absent" if number == 3 else "present")):
            viewer_act = act(image, "judge", reading, key=f"{image} {reading}", verdict=verdict)
            curate._perform(as_reader(store_and_images, "ann"), viewer_act)
    text = texts(open_page("sets", "rev", set="derm"))
    assert set_phrasing.SELF_AGREEMENT in text
    assert re.search(r"0\.75 \(0\.\d\d to 1\.00\), n = 4", text)
    assert set_phrasing.SELF_AGREEMENT not in texts(open_page("sets", "ann", set="derm"))
