"""Every sentence that a reader finds about directions that nobody named."""

from pipeline.report.sentences.case import ARTEFACTS, MEASURES
from pipeline.report.sentences.numerals import count, enumeration, number, percent
from pipeline.results.discovery import Direction, Discovery, TraitKind, TraitRelation
from pipeline.results.names import Names

KINDS = {
    TraitKind.CONCEPT_AXIS: "activation of a named axis",
    TraitKind.CONCEPT: "label of the release",
    TraitKind.ARTEFACT: "artefact",
    TraitKind.METADATA: "metadata",
    TraitKind.PICTURE: "measured on the picture",
}
MOST_RELATIONS = 5
"""Relations shown of each direction."""


def explanation(discovery: Discovery) -> str:
    """Explain what the directions are and what a reader can do with them."""
    return (
        "Directions among the axes without a name along which the log-odds change most, chosen on "
        f"{discovery.chosen_on} images; figures are of test images. Of {count(discovery.relations_compared)} relations "
        "that were compared, those that hold after Holm's correction are beyond chance. A curator can name a direction "
        "in the tool (page Unnamed); training images at its ends then wait to be judged."
    )


def name(direction: Direction) -> str:
    """Give a direction the name that people read: ``free 1``."""
    return direction.name.replace("_", " ")


def listed(direction: Direction) -> tuple[TraitRelation, ...]:
    """Return the relations that are shown, the strongest first."""
    return direction.relations[:MOST_RELATIONS]


def summary(direction: Direction, names: Names) -> str:
    """Say how much of the network's use of the free axes lies along a direction, and what it goes with."""
    text = f"{percent(direction.share_of_slope)} of the squared slope of all free axes lies along it."
    related = [
        f"{trait_name(relation, names)} ({KINDS[relation.kind]}, {number(relation.correlation.value, 2)})"
        for relation in listed(direction)
        if relation.beyond_chance
    ]
    if not related:
        return f"{text} It goes with no known trait by more than chance."
    return f"{text} Beyond chance it goes with {enumeration(related)}."


def trait_name(relation: TraitRelation, names: Names) -> str:
    """Name what goes with a direction: a concept, an artefact, metadata, a measure of the picture."""
    if relation.kind is TraitKind.PICTURE:
        return (MEASURES | ARTEFACTS).get(relation.trait, relation.trait.replace("_", " "))
    return names.concept(relation.trait)
