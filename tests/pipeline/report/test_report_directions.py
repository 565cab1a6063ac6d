"""The report's part on directions that nobody named."""

import re
from math import nan

import pytest
from fake_explanation import made_explanation, made_results

from concepts.statistics.estimate import Estimate
from pipeline.report.pages.environment import environment
from pipeline.report.sentences import directions, numerals
from pipeline.results.discovery import Direction, DirectionPatch, Discovery, TraitKind, TraitRelation
from pipeline.results.importance import AxisImportance
from pipeline.results.names import Names
from pipeline.results.result import Band

NAMES = Names({"blue_whitish_veil": "blue-whitish veil"})


def figure(value, spread=0.05, n=90):
    return Estimate(value, value - spread, value + spread, n)


def relation(trait, kind, value, beyond_chance):
    return TraitRelation(trait=trait, kind=kind, correlation=figure(value), beyond_chance=beyond_chance)


VEIL = relation("blue_whitish_veil", TraitKind.CONCEPT, 0.73, True)
AGE = relation("age", TraitKind.METADATA, -0.02, False)
PATCH = DirectionPatch(
    image_id="lesion_a",
    diagnosis="melanoma",
    activation=2.0,
    box=(0.0, 0.0, 0.5, 0.5),
    picture="discovery/free_1-1.jpg",
    patch="discovery/free_1-1-patch.jpg",
)
DIRECTION = Direction(
    name="free_1",
    share_of_slope=0.46,
    importance={
        "overall": AxisImportance(ratio=figure(1.4), rank=1, null=Band(low=nan, high=nan)),
        "melanoma": AxisImportance(ratio=figure(1.5), rank=1, null=Band(low=0.99, high=1.01)),
    },
    relations=(VEIL, AGE),
    patches=(PATCH,),
    candidates="discovery/free_1.csv",
)
DISCOVERY = Discovery(directions=(DIRECTION,), relations_compared=75, chosen_on="validation")


def page(discovery):
    text = (
        environment()
        .get_template("directions.html")
        .render(
            report=made_results(explanation=made_explanation(discovery=discovery)),
            directions=directions,
            numerals=numerals,
            names=NAMES,
            picture=lambda file: f"data:{file}",
        )
    )
    return re.sub(r"\s+", " ", numerals.plain_text(text))


def test_a_direction_is_shown_with_patch_importance_and_relations():
    text = page(DISCOVERY)
    assert "<h3>Free 1</h3>" in text
    assert "chosen on validation images" in text
    assert "Of 75 relations" in text
    assert "data:discovery/free_1-1-patch.jpg" in text
    assert "<span>melanoma</span>" in text
    rows = re.findall(r'<tr> <th scope="row">.*?</tr>', text)
    words = [
        [" ".join(re.sub(r"<[^>]*>", " ", cell).split()) for cell in re.split(r"</t[hd]>", row)[:-1]] for row in rows
    ]
    assert words == [
        ["All diagnoses", "1.40 (1.35 to 1.45), n = 90", f"{numerals.UNKNOWN} to {numerals.UNKNOWN}"],
        ["Melanoma", "1.50 (1.45 to 1.55), n = 90", "0.99 to 1.01"],
        ["Blue-whitish veil", "label of the release", "0.73 (0.68 to 0.78), n = 90", "yes"],
        ["Age", "metadata", "-0.02 (-0.07 to 0.03), n = 90", "no"],
    ]


def test_only_relations_beyond_chance_are_in_the_sentence():
    text = directions.summary(DIRECTION, NAMES)
    assert text.replace("\N{NO-BREAK SPACE}", " ") == (
        "46 % of the squared slope of all free axes lies along it. Beyond chance it goes with blue-whitish veil (label "
        "of the release, 0.73)."
    )
    none = DIRECTION.model_copy(update={"relations": (AGE,)})
    assert "no known trait by more than chance" in directions.summary(none, NAMES)


def test_no_more_than_five_relations_are_shown():
    many = DIRECTION.model_copy(update={"relations": (VEIL,) * 5 + (AGE,)})
    assert directions.listed(many) == (VEIL,) * 5


@pytest.mark.parametrize(
    ("kind", "trait", "name"),
    [
        (TraitKind.PICTURE, "clipped", "over- or under-exposed pixels"),
        (TraitKind.PICTURE, "ruler", "a ruler"),
        (TraitKind.PICTURE, "new_measure", "new measure"),
        (TraitKind.ARTEFACT, "ruler", "ruler"),
        (TraitKind.CONCEPT_AXIS, "blue_whitish_veil", "blue-whitish veil"),
        (TraitKind.METADATA, "site: head_neck", "site: head neck"),
    ],
)
def test_what_goes_with_a_direction_is_called_as_people_call_it(kind, trait, name):
    assert directions.trait_name(relation(trait, kind, 0.5, True), NAMES) == name


@pytest.mark.parametrize("discovery", [None, DISCOVERY.model_copy(update={"directions": ()})])
def test_a_run_without_directions_has_no_section(discovery):
    assert page(discovery).strip() == ""


def test_a_discovery_reads_back_as_it_was_written():
    written = DISCOVERY.model_dump_json()
    assert Discovery.model_validate_json(written).model_dump_json() == written
    assert '"kind":"concept"' in written


def test_every_kind_of_trait_has_a_name():
    assert set(directions.KINDS) == set(TraitKind)
