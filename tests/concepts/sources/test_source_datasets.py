"""The tables of Derm7pt and PH2."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from concepts.errors import DataError
from concepts.judgement import Judgement, Verdict
from concepts.sources.dataset_columns import column_meanings
from concepts.sources.derm7pt import derm7pt_judgements
from concepts.sources.ph2 import ph2_judgements
from concepts.vocabulary import ancestors, load_vocabulary

PRESENT, ABSENT = Verdict.PRESENT, Verdict.ABSENT
ORDINARY = {
    "case_num": "1",
    "diagnosis": "clark nevus",
    **dict.fromkeys(column_meanings("derm7pt"), "absent"),
    "derm": "NEL/NEL025.JPG",
    "clinic": "NEL/NEL026.JPG",
}
BARS = (
    "|| Name || Histological Diagnosis || Clinical Diagnosis || Asymmetry | Pigment Network | Dots/Globules | Streaks "
)
BARS += "| Regression Areas | Blue-Whitish Veil || Colors ||"
SPREADSHEET = "Image Name,Melanoma,Asymmetry (0/1/2),Pigment Network (AT/T),Dots/Globules (A/AT/T),Streaks (A/P),"
SPREADSHEET += "Regression Areas (A/P),Blue-Whitish Veil (A/P),White,Red,Light-Brown,Dark-Brown,Blue-Gray,Black"


def derm7pt_table(folder: Path, *rows: Mapping[str, str]) -> Path:
    path = folder / "meta.csv"
    lines = [",".join({**ORDINARY, **row}.values()) for row in rows]
    path.write_text("\n".join([",".join(ORDINARY), *lines]), encoding="utf-8")
    return path


def ph2_table(folder: Path, *rows: str, header: str = BARS, name: str = "PH2_dataset.txt") -> Path:
    path = folder / name
    legends = ["", "Legends:", "A - Absent; 1 - White; 2 - Red"] if header is BARS else []
    path.write_text("\n".join([header, *rows, *legends]), encoding="utf-8")
    return path


def verdicts(judgements: tuple[Judgement, ...], image_id: str) -> dict[str, Verdict]:
    return {j.concept: j.verdict for j in judgements if j.image_id == image_id}


@pytest.mark.parametrize("source", [column_meanings("derm7pt"), column_meanings("ph2")])
def test_every_value_speaks_of_known_concepts_and_keeps_the_hierarchy(source: Mapping):
    terms = load_vocabulary().concepts
    for values in source.values():
        for verdicts_of in values.values():
            assert set(verdicts_of) <= set(terms)
            for concept, verdict in verdicts_of.items():
                broader = [verdicts_of[parent] for parent in ancestors(terms, concept) if parent in verdicts_of]
                assert verdict is ABSENT or all(above is PRESENT for above in broader)


@pytest.mark.parametrize("column", column_meanings("derm7pt"))
def test_derm7pt_values_are_the_words_of_the_vocabulary(column: str):
    for value, verdicts_of in column_meanings("derm7pt")[column].items():
        if value in ("absent", "present", "combinations"):
            continue
        term = load_vocabulary().concept(f"{column} {value}")
        assert verdicts_of[term.id] is PRESENT


def test_derm7pt_maps_values_to_the_hierarchy(tmp_path: Path):
    row = {"pigment_network": "atypical", "vascular_structures": "Dotted", "regression_structures": "combinations"}
    verdicts_of = verdicts(derm7pt_judgements(derm7pt_table(tmp_path, row)), "NEL025")
    assert [verdicts_of[c] for c in ("pigment_network", "atypical_network", "typical_network")] == [
        PRESENT,
        PRESENT,
        ABSENT,
    ]
    assert [verdicts_of[c] for c in ("vascular_structures", "dotted_vessels")] == [PRESENT, PRESENT]
    assert "comma_vessels" not in verdicts_of
    assert [verdicts_of[c] for c in ("regression", "peppering", "scar_like_depigmentation")] == [PRESENT] * 3
    assert verdicts_of["streaks"] is verdicts_of["blue_whitish_veil"] is ABSENT


def test_derm7pt_rows_that_are_bad_are_all_listed(tmp_path: Path):
    rows = [{}, {"derm": "b.jpg", "streaks": "many"}, {"derm": ""}, {}]
    with pytest.raises(DataError, match="row 3: streaks: 'many'; allowed are absent, regular, irregular") as caught:
        derm7pt_judgements(derm7pt_table(tmp_path, *rows))
    assert [row.split(": ")[1] for row in caught.value.rows] == ["row 3", "row 4", "row 5"]


def test_another_table_is_no_derm7pt(tmp_path: Path):
    (tmp_path / "meta.csv").write_text("derm,streaks\na.jpg,absent\n")
    with pytest.raises(DataError, match=r"no column pigment_network, .*; give meta\.csv of Derm7pt"):
        derm7pt_judgements(tmp_path / "meta.csv")


def test_ph2_text_and_spreadsheet_say_the_same(tmp_path: Path):
    bars = [
        "|| IMD003 ||                       ||   0  || 0 |  T | A  | A | A | A ||   4    ||",
        "|| IMD058 || Superficial spreading || 2    || 2 | AT | AT | P | P | P || 3  4 5 ||",
    ]
    cells = ["IMD003,,0,T,A,A,A,A,,,,X,,", "IMD058,X,2,AT,AT,P,P,P,,,X,X,X,"]
    text = ph2_judgements(ph2_table(tmp_path, *bars))
    assert text == ph2_judgements(ph2_table(tmp_path, *cells, header=SPREADSHEET, name="PH2.csv"))
    first, second = verdicts(text, "IMD003"), verdicts(text, "IMD058")
    assert {c for c, verdict in first.items() if verdict is PRESENT} == {
        "pigment_network",
        "typical_network",
        "dark_brown",
    }
    assert {c for c, verdict in second.items() if verdict is ABSENT} == {
        "typical_network",
        "regular_dots_and_globules",
        "white",
        "red",
        "black",
    }
    assert set(first) == set(second)


def test_ph2_rows_that_are_bad_are_all_listed(tmp_path: Path):
    bars = [
        "|| a || || 0 || 3 | T | A | A | A | A || 4 ||",
        "|| b || || 0 || 0 | T | A | A | A | A || 7 ||",
        "|| c || || 0 || 0 | T | A | A | A | A ||   ||",
        "|| d || || 0 || 0 | T | A | A | A | A || 1 ||",
    ]
    with pytest.raises(DataError, match="row 2: asymmetry: '3'; allowed are 0, 1, 2") as caught:
        ph2_judgements(ph2_table(tmp_path, *bars))
    assert [row.split(": ")[1] for row in caught.value.rows] == ["row 2", "row 3", "row 4"]


@pytest.mark.parametrize(
    ("rows", "header", "complaint"),
    [
        (["|| a || b ||"], BARS, "row 2: 2 cells under 10 columns"),
        ([], "Name; Colors", "no table between bars"),
        ([], "|| Name || Colors ||", "^$"),
        (["|| a || 1 ||"], "|| Name || Colors ||", "no column asymmetry, "),
    ],
)
def test_another_table_is_no_ph2(rows: list[str], header: str, complaint: str, tmp_path: Path):
    path = ph2_table(tmp_path, *rows, header=header)
    if complaint == "^$":
        assert ph2_judgements(path) == ()
    else:
        with pytest.raises(DataError, match=complaint):
            ph2_judgements(path)
