import pytest

from concepts.curation.accounts import OPERATOR
from concepts.curation.door import queue, read_judgements, read_set
from concepts.curation.proposing import Proposal, propose_concept
from concepts.curation.sets import SetConcept
from concepts.errors import DataError, StoreError
from concepts.store.check import check
from concepts.store.schema import ImageRow

CRUST = SetConcept(id="scale_crust", name="scale crust", definition="Dry scale on the lesion.", is_own=True)


def digest(store, image: str) -> str:
    with store.reading() as session:
        return session.get(ImageRow, image).digest


def propose(store, concept=CRUST, *, key: str = "k", **values: float) -> Proposal:
    named = {digest(store, image): value for image, value in values.items()} | {"f" * 64: 0.9}
    return propose_concept(store, OPERATOR, "derm", concept, named, run="run-1", axis="free_2", key=key)


def test_a_named_axis_becomes_a_concept_whose_candidates_wait_to_be_judged(filled):
    before = read_judgements(filled, OPERATOR, "derm")
    assert propose(filled, image0=0.2, image1=0.8) == Proposal("scale_crust", True, 2, 1)
    concept = next(entry for entry in read_set(filled, OPERATOR, "derm").concepts if entry.id == "scale_crust")
    assert (concept.name, concept.is_own) == ("scale crust", True)
    assert read_judgements(filled, OPERATOR, "derm") == before
    waiting = {entry.image_id for entry in queue(filled, "ann", "derm", "scale_crust", limit=99)}
    assert {"image0", "image1"} <= waiting
    assert check(filled).broken is None


def test_a_repeat_and_a_second_axis_add_no_second_concept(filled):
    first = propose(filled, image0=0.2)
    assert propose(filled, image0=0.2) == first
    again = propose(filled, image0=0.3, image1=0.5, key="other")
    assert again == Proposal("scale_crust", False, 2, 1)
    assert [entry.id for entry in read_set(filled, OPERATOR, "derm").concepts].count("scale_crust") == 1


def test_a_word_of_the_vocabulary_is_taken_with_its_definition(filled):
    assert propose(filled, "hair", image0=1.0).is_new
    concept = next(entry for entry in read_set(filled, OPERATOR, "derm").concepts if entry.id == "hair")
    assert concept.definition
    assert not concept.is_own
    with pytest.raises(StoreError, match="vocabulary"):
        propose(filled, SetConcept(id="ruler", name="r", definition="d", is_own=True), key="own")


def test_bad_figures_and_words_write_nothing(filled):
    concepts = read_set(filled, OPERATOR, "derm").concepts
    with pytest.raises(DataError, match=r"in 0\.\.1"):
        propose(filled, image0=1.5)
    with pytest.raises(DataError):
        propose(filled, "no such word", image0=0.5)
    assert read_set(filled, OPERATOR, "derm").concepts == concepts
