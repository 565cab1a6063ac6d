"""``dermaxis concepts import-rules``, ``measure`` and ``suspect``: what metadata, masks and networks tell of images."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from concepts.errors import SettingsError
from pipeline.cli.concepts import SetName, StoreUrl, opened_store
from pipeline.cli.runs import NamedPaths

UNITS = ("mm", "px")

if TYPE_CHECKING:
    from concepts.example import ConceptEntry
    from concepts.judgement import Judgement
    from concepts.sources.metadata_rules import MetadataRule
    from concepts.store.store import Store


def import_rules(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="CSV file with one row for each image")],
    rules: Annotated[list[str], typer.Argument(metavar="CONCEPT=RULE", help="Rules, e.g. 'young=age_approx < 20'")],
    set_name: SetName,
    image_column: Annotated[str, typer.Option("--image-column", help="Column with the images' names")] = "isic_id",
    store: StoreUrl = None,
) -> None:
    """Import judgements that follow from rules on metadata; readers can correct them."""
    from concepts.sources.metadata_rules import rule_judgements

    parsed = dict(map(_rule, rules))
    judgements = rule_judgements(table, parsed, image_column=image_column)
    entries = [rule.entry(concept) for concept, rule in parsed.items()]
    with opened_store(store) as opened:
        typer.echo(import_into_set(opened, set_name, entries, judgements))


def measure(
    masks: Annotated[
        Path, typer.Argument(metavar="MASKS", help="Folder of lesion masks that have their images' names")
    ],
    set_name: SetName,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="FOLDER", help="Image folder; needed for colours")
    ] = None,
    spacing: Annotated[
        float | None, typer.Option("--spacing", help="Side of a pixel in mm; default: lengths in pixels")
    ] = None,
    large: Annotated[str, typer.Option("--large", help="Diameter from which a lesion is large, e.g. 600px")] = "10mm",
    store: StoreUrl = None,
) -> None:
    """Import judgements measured in lesion masks: asymmetry, border, colours, diameter. Readers can correct them."""
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR
    from concepts.measures.lesion_shape import DiameterRule
    from concepts.sources.lesion_masks import LesionRules
    from concepts.sources.mask_folder import MaskFolder, measured_judgements

    rules = LesionRules(diameter=DiameterRule(*_length(large)))
    folder = MaskFolder(masks=masks, images=images, spacing=spacing, rules=rules)
    with opened_store(store) as opened:
        records = curation.read_images(opened, OPERATOR, set_name)
        judgements = measured_judgements(records, folder)
        concepts = {judgement.concept for judgement in judgements}
        entries = [entry for entry in rules.entries if entry.id in concepts]
        typer.echo(import_into_set(opened, set_name, entries, judgements))


def suspect(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run, e.g. runs/phantom-20260101-120000")],
    set_name: SetName,
    images: Annotated[Path, typer.Option("--images", metavar="FOLDER", help="Image folder of the set")],
    paths: NamedPaths = None,
    store: StoreUrl = None,
) -> None:
    """Compute which concepts a run's network suspects in a set's images, and how alike the images are.

    The tool sorts images by both.
    """
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR
    from pipeline.explanation.cases.suspect import suspect as suspicions
    from pipeline.run.progress import Bars

    with opened_store(store) as opened:
        recorded = curation.brought_images(opened, OPERATOR, run.resolve().name)
        records = [record for record in curation.read_images(opened, OPERATOR, set_name) if record.id not in recorded]
        network = suspicions(run, records, images=images, tracker=Bars(), paths=paths or ())
        names = network.image_ids
        # The keys follow from the content, so that the same command completes what an interrupted one began.
        part = f"{network.run} {sha256(' '.join(names).encode()).hexdigest()[:16]}"
        for concept, values in network.suspected.items():
            figures = dict(zip(names, values.tolist(), strict=True))
            curation.record_suspicion(opened, OPERATOR, network.run, concept, figures, key=f"{part} {concept}")
        # Last, since an image that has an embedding counts as complete.
        curation.record_embeddings(opened, OPERATOR, network.run, names, network.embeddings, key=part)
    lines = [f"{len(names)} images, {len(network.suspected)} concepts, by {network.run}"]
    typer.echo("\n".join([*lines, *(f"no suspicion of {name}: {why}" for name, why in network.left_out.items())]))


def import_into_set(
    store: "Store", set_name: str, entries: "Sequence[ConceptEntry]", judgements: "Sequence[Judgement]"
) -> str:
    """Add the concepts that a set lacks and the judgements on its images; return how many in a sentence."""
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR
    from concepts.sources.judgement_files import within

    concepts = {concept.id for concept in curation.read_set(store, OPERATOR, set_name).concepts}
    images = {image.id for image in curation.read_images(store, OPERATOR, set_name)}
    inside = within(judgements, images=images, concepts={entry.id for entry in entries})
    for entry in entries:
        if entry.id not in concepts:
            _add_concept(store, set_name, entry)
    written = curation.import_judgements(store, OPERATOR, set_name, inside, key=uuid4().hex)
    outside = len(judgements) - len(inside)
    return (
        f"{written} judgements imported, {len(inside) - written} existed already"
        f"{f', {outside} skipped: their image is not in the set' if outside else ''}"
    )


def _add_concept(store: "Store", set_name: str, entry: "ConceptEntry") -> None:
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR
    from concepts.curation.sets import SetConcept
    from concepts.vocabulary import load_vocabulary

    if entry.id in load_vocabulary().concepts:
        curation.add_concept(store, OPERATOR, set_name, entry.id, rule=entry.rule, key=uuid4().hex)
        return
    concept = SetConcept(id=entry.id, name=entry.name, definition=entry.definition, is_own=True, rule=entry.rule)
    curation.add_concept(store, OPERATOR, set_name, concept, key=uuid4().hex)


def _rule(word: str) -> "tuple[str, MetadataRule]":
    from concepts.sources.metadata_rules import parse_rule

    concept, separator, rule = word.partition("=")
    if not separator or not concept.strip().isidentifier():
        raise SettingsError(f"{word!r:.80}: expected CONCEPT=RULE, e.g. 'young=age_approx < 20'")
    return concept.strip(), parse_rule(rule)


def _length(word: str) -> tuple[float, str]:
    number, unit = word[:-2], word[-2:]
    try:
        if unit in UNITS:
            return float(number), unit
    except ValueError:
        pass
    raise SettingsError(f"--large {word!r:.80}: expected a number and its unit, mm or px, e.g. 10mm or 600px")
