from pathlib import Path

import pytest

from concepts.errors import DataError
from concepts.vocabulary import Concept, ancestors, extend, load_vocabulary, read_terms

PHANTOM = (
    "pigment_network globules streaks blue_whitish_veil milia_like_cysts regression asymmetry "
    "hair ruler ink dark_corner colour_patch gel_bubble"
)


def write(folder: Path, text: str) -> Path:
    path = folder / "concepts.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def entry(identifier: str, extra: str = "") -> str:
    return f"- {{id: {identifier}, name: the {identifier}, definition: A thing.{extra}}}\n"


def test_every_term_is_found_by_each_of_its_words_in_any_case():
    vocabulary = load_vocabulary()
    for term in vocabulary.concepts.values():
        assert all(vocabulary.concept(word.upper()) is term for word in term.words)
    for term in vocabulary.diagnoses.values():
        assert all(vocabulary.diagnosis(f" {word.lower()} ") is term for word in term.words)


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("nv", "nevus"),
        ("mel", "melanoma"),
        ("bkl", "benign_keratosis"),
        ("bcc", "basal_cell_carcinoma"),
        ("akiec", "actinic_keratosis"),
        ("df", "dermatofibroma"),
        ("vasc", "vascular_lesion"),
        ("pigmented benign keratosis", "benign_keratosis"),
        ("Melanoma in situ, Lentigo maligna", "melanoma"),
        ("Nevus, Atypical, Dysplastic, or Clark", "nevus"),
        ("Solar or actinic keratosis", "actinic_keratosis"),
        ("melanoma (0.76 to 1.5 mm)", "melanoma"),
        ("reed or spitz nevus", "nevus"),
    ],
)
def test_diagnoses_of_data_sets(text: str, identifier: str):
    assert load_vocabulary().diagnosis(text).id == identifier


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("milia_like_cyst", "milia_like_cysts"),
        ("Blue-Whitish Veil", "blue_whitish_veil"),
        ("regression_structures", "regression"),
        ("pigment_network atypical", "atypical_network"),
        ("regression_structures white areas", "scar_like_depigmentation"),
        ("vascular_structures within regression", "vessels_within_regression"),
        ("pigmentation localized irregular", "pigmentation"),
    ],
)
def test_concepts_of_data_sets(text: str, identifier: str):
    assert load_vocabulary().concept(text).id == identifier


def test_all_planted_concepts_are_known_and_artefacts_are_a_group():
    vocabulary = load_vocabulary()
    assert all(vocabulary.concept(word).id == word for word in PHANTOM.split())
    artefacts = {c for c in vocabulary.concepts if "artefact" in ancestors(vocabulary.concepts, c)}
    assert {"hair", "ruler", "ink", "dark_corner", "colour_patch", "gel_bubble"} <= artefacts
    assert "streaks" not in artefacts


def test_ancestors_are_nearest_first():
    assert ancestors(load_vocabulary().concepts, "typical_network") == ("pigment_network", "network", "structure")


@pytest.mark.parametrize("text", ["melanom", "", "Benign", "nan", "unknown"])
def test_an_unknown_diagnosis_is_refused_in_one_line(text: str):
    with pytest.raises(DataError, match=f"unknown diagnosis '{text}'; (did you mean|e.g.) ") as caught:
        load_vocabulary().diagnosis(text)
    assert "\n" not in str(caught.value)


def test_an_unknown_word_names_the_closest():
    with pytest.raises(DataError, match="did you mean pigment_network"):
        load_vocabulary().concept("pigmnt network")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (entry("a") + entry("a"), "'a' is listed twice"),
        (entry("a") + entry("b", ", synonyms: [The A]"), "'The A' stands for both a and b"),
        (entry("a", ", aliases: {ph2: [X]}") + entry("b", ", aliases: {isic: [x]}"), "'x' stands for both a and b"),
        (entry("a", ", parent: z"), "parent 'z' of 'a' is not listed"),
        (entry("a", ", parent: b") + entry("b", ", parent: a"), "'a' is its own ancestor"),
        (entry("a", ", parent: a"), "'a' is its own ancestor"),
        (entry("a", ", sinonyms: [x]"), "term 'a' sinonyms: Extra inputs"),
        (entry("A b"), "term 'A b' id"),
        ("a: 1", "expected a list of terms, found dict"),
        ("", "expected a list of terms, found NoneType"),
        ("- 3", "term '3'"),
        ("- [", "cannot be read"),
    ],
)
def test_a_broken_vocabulary_is_refused_with_its_file(tmp_path: Path, text: str, complaint: str):
    with pytest.raises(DataError, match=complaint) as caught:
        read_terms(write(tmp_path, text), Concept)
    assert "concepts.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_vocabulary_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"concepts\.yaml: the vocabulary cannot be read"):
        load_vocabulary(tmp_path)


def of_set(identifier: str, **fields: object) -> Concept:
    return Concept.model_validate({"id": identifier, "name": f"my {identifier}", "definition": "A thing.", **fields})


def test_a_set_adds_its_own_concepts_under_known_ones_and_each_other():
    vocabulary = load_vocabulary()
    added = extend(vocabulary, [of_set("odd_streaks", parent="streaks"), of_set("odder_streaks", parent="odd_streaks")])
    assert ancestors(added.concepts, "odder_streaks")[:2] == ("odd_streaks", "streaks")
    assert added.concept("My Odd-streaks").id == "odd_streaks"
    assert "odd_streaks" not in vocabulary.concepts
    assert added.diagnoses == vocabulary.diagnoses


@pytest.mark.parametrize(
    ("concept", "complaint"),
    [
        (of_set("streaks"), "own concepts: 'streaks' is listed twice"),
        (of_set("odd", synonyms=["Radial Streaming"]), "'Radial Streaming' stands for both streaks and odd"),
        (of_set("odd", parent="nowhere"), "parent 'nowhere' of 'odd' is not listed"),
        (of_set("odd", parent="odd"), "'odd' is its own ancestor"),
    ],
)
def test_own_concepts_that_clash_are_refused(concept: Concept, complaint: str):
    with pytest.raises(DataError, match=complaint):
        extend(load_vocabulary(), [concept])
