"""``dermaxis concepts …``: the concept store and its releases, on the command line.

Every act here is that of the operator: whoever has the store's address. In the tool, people act under their own names.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from concepts.errors import DermaxisError
from concepts.sources.formats import Format
from pipeline.cli.address_options import without_secret
from pipeline.cli.store import check_store, migrate_store

if TYPE_CHECKING:
    from concepts.curation.releasing import ReleaseInfo
    from concepts.release import Release
    from concepts.store.store import Store

concepts_app = typer.Typer(
    help="Concept sets and their releases: freeze, compare, import, export and verify.", no_args_is_help=True
)

StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="DERMAXIS_STORE",
        callback=without_secret,
        help="SQLite file or PostgreSQL URL of the store, or @FILE that holds it; default: your own",
    ),
]
SetName = Annotated[str, typer.Option("--set", metavar="SET", help="Name of the concept set")]
FileFormat = Annotated[Format | None, typer.Option("--format", help="Format of the file; default: by its suffix")]
RELEASE_HELP = "NAME@VERSION of the store, or the JSON file of a release"
ReleaseName = Annotated[str, typer.Argument(metavar="RELEASE", help=RELEASE_HELP)]


@contextmanager
def opened_store(url: str | None, *, must_exist: bool = True) -> Iterator["Store"]:
    """Open a store, the user's own by default, and close it at the end."""
    from concepts.store.store import closed_at_the_end, open_store

    with closed_at_the_end(open_store(url, must_exist=must_exist)) as store:
        yield store


@concepts_app.command()
def migrate(store: StoreUrl = None) -> None:
    """Do as 'dermaxis store migrate'."""
    migrate_store(store)


@concepts_app.command()
def freeze(
    source: Annotated[str, typer.Argument(metavar="SET", help="Name of a concept set, or a YAML file with settings")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings to change; with a YAML file")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the release; with a YAML file")
    ] = None,
    store: StoreUrl = None,
) -> None:
    """Freeze a concept set, or, given settings, the concept masks that came with their data source."""
    if Path(source).suffix in (".yaml", ".yml"):
        _freeze_source(Path(source), overrides or [], output)
        return
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR

    if overrides or output:
        raise DermaxisError(
            "KEY=VALUE and --output go with a YAML file of settings; to write a frozen set: dermaxis concepts export"
        )
    with opened_store(store) as opened:
        info = curation.freeze(opened, OPERATOR, source, key=uuid4().hex)
        release = curation.read_release(opened, OPERATOR, f"{info.name}@{info.version}")
    typer.echo(_describe(release))


@concepts_app.command("list")
def list_all(
    name: Annotated[str | None, typer.Argument(metavar="SET", help="List the releases of this set only")] = None,
    store: StoreUrl = None,
) -> None:
    """List the releases of the store."""
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR

    with opened_store(store) as opened:
        releases = curation.list_releases(opened, OPERATOR, name)
    typer.echo("\n".join(map(_line, releases)) or "no releases yet; make one: dermaxis concepts freeze SET")


@concepts_app.command()
def show(release: ReleaseName, store: StoreUrl = None) -> None:
    """Show the concepts of a release, their examples, and which concepts are flagged."""
    typer.echo(_describe(_read(release, store)))


@concepts_app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help=f"The earlier release: {RELEASE_HELP}")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The later release, given likewise")],
    store: StoreUrl = None,
) -> None:
    """Show what changed from one release to another."""
    from concepts.release_diff import diff

    changes = diff(_read(before, store), _read(after, store))
    for name, entries in changes.to_json().items():
        rows = [f"{key}: {value}" for key, value in entries.items()] if isinstance(entries, dict) else entries
        lines = [row if isinstance(row, str) else " ".join(map(str, row)) for row in rows]
        if lines:
            typer.echo("\n".join([f"{name.replace('_', ' ')}: {len(lines)}", *(f"  {line}" for line in lines)]))
    if changes.is_empty:
        typer.echo("the same concepts and examples")


@concepts_app.command()
def export(
    release: ReleaseName,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the manifest and masks")],
    store: StoreUrl = None,
) -> None:
    """Write a release of the store to a folder: NAME-VERSION.json and the masks."""
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR

    with opened_store(store) as opened:
        typer.echo(curation.export_release(opened, OPERATOR, release, output))


@concepts_app.command("import")
def import_file(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="JSON file of the release")],
    masks: Annotated[
        Path | None, typer.Option("--masks", metavar="FOLDER", help="Folder of its masks; default: import no masks")
    ] = None,
    store: StoreUrl = None,
) -> None:
    """Import a release into the store, which is made if it does not exist."""
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR

    with opened_store(store, must_exist=False) as opened:
        typer.echo(_line(curation.import_release(opened, OPERATOR, path, masks=masks, key=uuid4().hex)))


@concepts_app.command("import-judgements")
def import_judgements(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="File with judgements, COCO regions or a release")],
    set_name: SetName,
    format: FileFormat = None,
    reader: Annotated[str | None, typer.Option("--reader", help="Name of the reader, if the file has none")] = None,
    store: StoreUrl = None,
) -> None:
    """Import the judgements of a file into a concept set: all of them, or none if a row is faulty.

    Judgements that the set has already are skipped. Of the table of a data set (derm7pt, ph2), the rows about the set's
    images and concepts are imported.
    """
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR
    from concepts.sources.formats import TABLES
    from concepts.sources.judgement_files import read_judgements, refuse_other_images, within

    with opened_store(store) as opened:
        file = read_judgements(path, format, reader=reader)
        images = {image.id: image.digest for image in curation.read_images(opened, OPERATOR, set_name)}
        refuse_other_images(file, images)
        judgements, is_table = file.judgements, format in TABLES
        if is_table:
            concepts = {concept.id for concept in curation.read_set(opened, OPERATOR, set_name).concepts}
            judgements = within(judgements, images=images, concepts=concepts)
        locations = None if is_table else file.locations
        written = curation.import_judgements(
            opened, OPERATOR, set_name, judgements, locations=locations, key=uuid4().hex
        )
    outside = len(file.judgements) - len(judgements)
    typer.echo(
        f"{written} judgements imported, {len(judgements) - written} existed already"
        f"{f', {outside} skipped: their image or concept is not in the set' if outside else ''}"
    )


@concepts_app.command("export-judgements")
def export_judgements(
    set_name: Annotated[str, typer.Argument(metavar="SET", help="Name of the concept set")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="New file for the judgements")],
    format: FileFormat = None,
    store: StoreUrl = None,
) -> None:
    """Write the current judgements of a concept set to a file; COCO holds only those with regions."""
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR
    from concepts.sources.judgement_files import write_judgements

    with opened_store(store) as opened:
        judgements = curation.read_judgements(opened, OPERATOR, set_name)
        images = curation.read_images(opened, OPERATOR, set_name)
    sizes = {image.id: (image.width, image.height) for image in images if image.width and image.height}
    number = write_judgements(judgements, output, format, sizes=sizes)
    typer.echo(f"{output}: {number} of {len(judgements)} judgements")


@concepts_app.command()
def verify(
    release: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="JSON file of a release; default: the store")
    ] = None,
    root: Annotated[Path | None, typer.Option("--root", metavar="FOLDER", help="Folder of the release's masks")] = None,
    store: StoreUrl = None,
) -> None:
    """Verify the digests of a release and its masks, or do as 'dermaxis store check'."""
    if release is None:
        check_store(store)
        return
    from concepts.release import read_release, verify_regions

    content = read_release(release)
    verify_regions(content, root or release.parent)
    typer.echo(f"{release}: intact, SHA-256 {content.digest}")


def _freeze_source(config: Path, overrides: list[str], output: Path | None) -> None:
    from concepts.release import read_release, write_release
    from pipeline.config import load_settings
    from pipeline.data.cohort import load_samples, source_release

    if output is None:
        raise DermaxisError("a release frozen from settings needs a file: give --output FILE")
    settings = load_settings(config, overrides)
    release = source_release(settings, load_samples(settings))
    if output.exists():
        raise DermaxisError(f"{output}: exists already, and a release is never overwritten; give another file")
    write_release(release, output)
    typer.echo(_describe(read_release(output)))


def _read(release: str, url: str | None) -> "Release":
    from concepts.release import read_release, split_word

    if split_word(release) is None or Path(release).exists():
        return read_release(Path(release))
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR

    with opened_store(url) as store:
        return curation.read_release(store, OPERATOR, release)


def _line(info: "ReleaseInfo") -> str:
    return f"{info.name}@{info.version}  {info.status:<10}  {info.at[:10]}  {info.by}  SHA-256 {info.digest}"


def _describe(release: "Release") -> str:
    lines = [f"{release.name} version {release.version}, SHA-256 {release.digest}", release.description]
    flags = {entry.concept: entry.flag for entry in release.agreement or () if entry.flag}
    for concept in release.concepts:
        counts = Counter(example.polarity for example in release.examples if example.concept == concept.id)
        examples = ", ".join(f"{number} {polarity}" for polarity, number in sorted(counts.items()))
        lines.append(f"  {concept.id:<24}{examples} ({concept.origin})")
        if concept.id in flags:
            lines.append(f"  {'':<24}flagged: {flags[concept.id]}")
    return "\n".join(lines)
