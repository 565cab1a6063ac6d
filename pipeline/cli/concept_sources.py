"""``dermaxis concepts import-rules``, ``measure`` and ``suspect``: what tables, masks and networks say of images."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from concepts.errors import SettingsError
from pipeline.cli.concepts import SetName, StoreUrl, opened_store

if TYPE_CHECKING:
    from concepts.example import ConceptEntry
    from concepts.judgement import Judgement
    from concepts.sources.metadata_rules import MetadataRule
    from concepts.store.store import Store


def import_rules(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A CSV file with one row for each image")],
    rules: Annotated[list[str], typer.Argument(metavar="CONCEPT=RULE", help="E.g. 'young=age_approx < 20'")],
    set_name: SetName,
    image_column: Annotated[str, typer.Option("--image-column", help="The column of the image's name")] = "isic_id",
    store: StoreUrl = None,
) -> None:
    """Bring in what rules on metadata say of a set's images; readers can correct it."""
    from concepts.sources.metadata_rules import rule_judgements

    parsed = dict(map(_rule, rules))
    said = rule_judgements(table, parsed, image_column=image_column)
    entries = [rule.entry(concept) for concept, rule in parsed.items()]
    with opened_store(store) as opened:
        typer.echo(bring(opened, set_name, entries, said))


def measure(
    masks: Annotated[Path, typer.Argument(metavar="MASKS", help="A folder of lesion masks, called as their images")],
    set_name: SetName,
    images: Annotated[Path | None, typer.Option("--images", help="The image folder; without it no colours")] = None,
    spacing: Annotated[float | None, typer.Option("--spacing", help="Side of a pixel in mm; without it no mm")] = None,
    large: Annotated[str, typer.Option("--large", help="From which diameter a lesion is large, e.g. 600px")] = "10mm",
    store: StoreUrl = None,
) -> None:
    """Bring in what lesion masks say of asymmetry, border, colours and diameter; readers can correct it."""
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR
    from concepts.measures.lesion_shape import DiameterRule
    from concepts.sources.lesion_masks import LesionRules
    from concepts.sources.mask_folder import MaskFolder, measured_judgements

    rules = LesionRules(diameter=DiameterRule(*_length(large)))
    folder = MaskFolder(masks=masks, images=images, spacing=spacing, rules=rules)
    with opened_store(store) as opened:
        records = curation.read_images(opened, OPERATOR, set_name)
        said = measured_judgements(records, folder)
        shown = {judgement.concept for judgement in said}
        typer.echo(bring(opened, set_name, [entry for entry in rules.entries if entry.id in shown], said))


def suspect(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, e.g. runs/phantom-20260101-120000")],
    set_name: SetName,
    images: Annotated[Path, typer.Option("--images", help="The image folder")],
    store: StoreUrl = None,
) -> None:
    """Compute what a run's network suspects in a set's images and how alike they are, to sort by in the tool."""
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR
    from pipeline.explanation.cases.suspect import suspect as suspicions
    from pipeline.run.progress import Bars

    with opened_store(store) as opened:
        brought = curation.brought_images(opened, OPERATOR, run.resolve().name)
        records = [one for one in curation.read_images(opened, OPERATOR, set_name) if one.id not in brought]
        found = suspicions(run, records, images=images, tracker=Bars())
        names = found.image_ids
        # Named by what they are of, so that a start that was cut short is taken up where it ended.
        part = f"{found.run} {sha256(' '.join(names).encode()).hexdigest()[:16]}"
        for concept, values in found.suspected.items():
            figures = dict(zip(names, values.tolist(), strict=True))
            curation.record_suspicion(opened, OPERATOR, found.run, concept, figures, key=f"{part} {concept}")
        # Last, since they say that the images are done.
        curation.record_embeddings(opened, OPERATOR, found.run, names, found.embeddings, key=part)
    lines = [f"{len(names)} images, {len(found.suspected)} concepts, by {found.run}"]
    typer.echo("\n".join([*lines, *(f"no suspicion of {name}: {why}" for name, why in found.left_out.items())]))


def bring(store: "Store", set_name: str, entries: "Sequence[ConceptEntry]", said: "Sequence[Judgement]") -> str:
    """Add the concepts that the set does not have, and what is said of its images; how much that was."""
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR
    from concepts.sources.judgement_files import within

    held = {one.id for one in curation.read_set(store, OPERATOR, set_name).concepts}
    images = {one.id for one in curation.read_images(store, OPERATOR, set_name)}
    own = within(said, images=images, concepts={entry.id for entry in entries})
    for entry in entries:
        if entry.id not in held:
            _add(store, set_name, entry)
    written = curation.import_judgements(store, OPERATOR, set_name, own, key=uuid4().hex)
    elsewhere = len(said) - len(own)
    return (
        f"{written} judgements written, {len(own) - written} were there already"
        f"{f', {elsewhere} of images that the set does not have' if elsewhere else ''}"
    )


def _add(store: "Store", set_name: str, entry: "ConceptEntry") -> None:
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR
    from concepts.curation.sets import SetConcept
    from concepts.vocabulary import load_vocabulary

    if entry.id in load_vocabulary().concepts:
        curation.add_concept(store, OPERATOR, set_name, entry.id, rule=entry.rule, key=uuid4().hex)
        return
    own = SetConcept(id=entry.id, name=entry.name, definition=entry.definition, is_own=True, rule=entry.rule)
    curation.add_concept(store, OPERATOR, set_name, own, key=uuid4().hex)


def _rule(word: str) -> "tuple[str, MetadataRule]":
    from concepts.sources.metadata_rules import parse_rule

    concept, separator, rule = word.partition("=")
    if not separator or not concept.strip().isidentifier():
        raise SettingsError(f"{word!r:.80}: expected CONCEPT=RULE, e.g. 'young=age_approx < 20'")
    return concept.strip(), parse_rule(rule)


def _length(word: str) -> tuple[float, str]:
    units: Mapping[str, str] = {"mm": "mm", "px": "px"}
    number, unit = word[:-2].strip(), units.get(word[-2:])
    try:
        return float(number), units[str(unit)]
    except (ValueError, KeyError) as error:
        raise SettingsError(f"--large {word!r:.80}: a number and its unit, mm or px, e.g. 10mm or 600px") from error
