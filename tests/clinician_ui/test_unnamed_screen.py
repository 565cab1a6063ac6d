"""The screen of what nobody named: what it shows, and what becomes of a name."""

from hashlib import sha256

import numpy as np
import pytest
from fake_explanation import made_explanation
from PIL import Image

from clinician_ui import workplace
from concepts.curation import door
from concepts.curation.accounts import OPERATOR
from concepts.store.check import check
from pipeline.explanation.discovery.files import candidate_values, read_discovery
from pipeline.results.discovery import Discovery
from pipeline.run.folder import RunFolder

FIGURE = {"value": 1.31, "low": 1.12, "high": 1.52, "n": 80}
RUN = "small-20260101-000000"


def direction(name: str) -> dict:
    return {
        "name": name,
        "share_of_slope": 0.4,
        "importance": {"overall": {"ratio": FIGURE, "rank": 1, "null": {"low": 0.99, "high": 1.05}}},
        "relations": [
            {
                "trait": "ruler",
                "kind": "artefact",
                "correlation": {"value": -0.62, "low": -0.7, "high": -0.5, "n": 80},
                "beyond_chance": True,
            }
        ],
        "patches": [
            {
                "image_id": "lesion00",
                "diagnosis": "nevus",
                "activation": 3.0,
                "box": [0.0, 0.0, 0.5, 0.5],
                "picture": f"discovery/{name}-1.jpg",
                "patch": f"discovery/{name}-1-patch.jpg",
            }
        ],
        "candidates": f"discovery/{name}.csv",
    }


@pytest.fixture
def run(tmp_path, store_and_images, monkeypatch) -> RunFolder:
    folder = RunFolder(tmp_path / "runs" / RUN)
    folder.file("discovery").mkdir(parents=True)
    names = ("free_1", "free_2")
    content = {"directions": [direction(name) for name in names], "relations_compared": 2, "chosen_on": "validation"}
    folder.write(made_explanation(discovery=Discovery.model_validate(content)))
    digests = [sha256((store_and_images[1] / f"lesion{number:02}.png").read_bytes()).hexdigest() for number in range(4)]
    for name in names:
        for part in ("", "-patch"):
            Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(folder.file(f"discovery/{name}-1{part}.jpg"))
        rows = [
            f"i{number},{digest},{'high' if number < 2 else 'low'},{2 - number},0,0,1,1"
            for number, digest in enumerate([*digests, "f" * 64])
        ]
        header = "image_id,digest,end,activation,x0,y0,x1,y1"
        folder.write_text(f"discovery/{name}.csv", "\n".join([header, *rows, ""]))
    monkeypatch.setenv(workplace.RUNS_VARIABLE, str(tmp_path / "runs"))
    return folder


def texts(app) -> str:
    parts = [str(element.value) for kind in (app.info, app.success, app.error, app.caption) for element in kind]
    return " ".join([*parts, *(element.proto.body for element in app.get("html"))])


def widget(kind, label: str):
    return next(element for element in kind if element.label == label)


def test_candidates_are_ordered_from_most_to_least_active(run):
    direction_found = read_discovery(run).directions[0]
    values = list(candidate_values(run, direction_found).values())
    assert values == [1, 0.75, 0.5, 0.25, 0]


@pytest.mark.slow
def test_directions_are_shown_with_importance_and_what_goes_with_them(open_page, run):
    app = open_page("unnamed", "rev")
    text = texts(app)
    assert not app.exception
    for words in (
        "free 1",
        "1.31 (1.12 to 1.52), n = 80",
        "above chance",
        "ruler",
        "\N{MINUS SIGN}0.62",
        "beyond chance",
    ):
        assert words in text, words
    assert not app.button


@pytest.mark.slow
def test_a_name_becomes_a_concept_of_the_set_whose_candidates_wait(open_page, store_and_images, run):
    app = open_page("unnamed", "cur")
    widget(app.selectbox, "Word").set_value("ruler")
    widget(app.selectbox, "Concept set").set_value("derm")
    widget(app.button, "Propose the concept").click()
    app = app.run()
    assert not app.error
    assert "ruler was added to derm" in app.success[0].value.replace("\\", "")
    assert "4 images wait to be judged; 1 candidate not in the set" in app.success[0].value.replace("\\", "")
    assert "ruler" in [concept.id for concept in door.read_set(store_and_images[0], OPERATOR, "derm").concepts]
    assert door.read_judgements(store_and_images[0], OPERATOR, "derm") == []
    assert check(store_and_images[0]).broken is None


@pytest.mark.slow
def test_a_new_word_without_a_definition_is_refused_and_says_why(open_page, store_and_images, run):
    app = open_page("unnamed", "cur")
    widget(app.text_input, "Name").set_value("Scale crust")
    widget(app.button, "Propose the concept").click()
    app = app.run()
    assert "definition" in app.error[0].value
    assert [concept.id for concept in door.read_set(store_and_images[0], OPERATOR, "derm").concepts] == [
        "streaks",
        "pigment_network",
    ]


def test_a_run_that_did_not_look_is_not_offered(open_page, run):
    run.write(made_explanation(discovery=None))
    assert "dermaxis run CONFIG" in texts(open_page("unnamed", "rev")).replace("\\", "")
