"""``dermaxis concepts …``: the concept store and its releases, on the command line.

Here the operator of the machine acts: whoever has the store's address. What people do in the tool, they do by name.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from concepts.errors import DermaxisError, StoreError
from concepts.sources.formats import Format

if TYPE_CHECKING:
    from concepts.curation.releasing import ReleaseInfo
    from concepts.release import Release
    from concepts.store.store import Store

concepts_app = typer.Typer(
    help="Concept sets: their store, and releases to freeze, compare, take along and check.", no_args_is_help=True
)

StoreUrl = Annotated[
    str | None,
    typer.Option("--store", envvar="DERMAXIS_STORE", help="A SQLite file or a PostgreSQL URL; default: your own"),
]
SetName = Annotated[str, typer.Option("--set", help="A set of the store")]
FileFormat = Annotated[Format | None, typer.Option("--format", help="Default: what the file's ending stands for")]
Word = Annotated[str, typer.Argument(metavar="RELEASE", help="NAME@VERSION in the store, or a release's file (JSON)")]


@contextmanager
def opened_store(url: str | None, *, must_exist: bool = True) -> Iterator["Store"]:
    """A store that is closed at the end; default: the user's own."""
    from concepts.store.store import open_store

    store = open_store(url, must_exist=must_exist)
    try:
        yield store
    finally:
        store.close()


@concepts_app.command()
def migrate(store: StoreUrl = None) -> None:
    """Bring a store that an older Dermaxis made up to this one. Make a copy first."""
    from concepts.store.store import migrate

    before, after = migrate(store)
    typer.echo(f"at revision {after}" + (" already" if before == after else f", was {before or 'empty'}"))


@concepts_app.command()
def freeze(
    source: Annotated[str, typer.Argument(metavar="SET", help="A set of the store, or a YAML file of settings")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes to settings")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="With settings: the release's file")] = None,
    store: StoreUrl = None,
) -> None:
    """Freeze a set of the store, or, given settings, the concept masks of their data source."""
    if Path(source).suffix in (".yaml", ".yml"):
        _freeze_source(Path(source), overrides or [], output)
        return
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR

    if overrides or output:
        raise DermaxisError("KEY=VALUE and --output go with settings; to write a frozen set: dermaxis concepts export")
    with opened_store(store) as opened:
        info = curation.freeze(opened, OPERATOR, source, key=uuid4().hex)
        release = curation.read_release(opened, OPERATOR, f"{info.name}@{info.version}")
    typer.echo(_describe(release))


@concepts_app.command("list")
def list_all(
    name: Annotated[str | None, typer.Argument(metavar="SET", help="Only releases of this set")] = None,
    store: StoreUrl = None,
) -> None:
    """List the releases of the store."""
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR

    with opened_store(store) as opened:
        found = curation.list_releases(opened, OPERATOR, name)
    typer.echo("\n".join(map(_line, found)) or "no releases yet: dermaxis concepts freeze SET")


@concepts_app.command()
def show(release: Word, store: StoreUrl = None) -> None:
    """Show what a release holds, how far its readers agreed, and which concepts are flagged."""
    typer.echo(_describe(_read(release, store)))


@concepts_app.command()
def diff(one: Word, other: Word, store: StoreUrl = None) -> None:
    """Show what changed from one release to another."""
    from concepts.release_diff import diff

    changes = diff(_read(one, store), _read(other, store))
    for name, entries in changes.to_json().items():
        rows = [f"{key}: {value}" for key, value in entries.items()] if isinstance(entries, dict) else entries
        shown = [row if isinstance(row, str) else " ".join(map(str, row)) for row in rows]
        if shown:
            typer.echo("\n".join([f"{name.replace('_', ' ')}: {len(shown)}", *(f"  {row}" for row in shown)]))
    if changes.is_empty:
        typer.echo("the same concepts and examples")


@concepts_app.command()
def export(
    release: Word,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the manifest and its masks")],
    store: StoreUrl = None,
) -> None:
    """Write a release of the store to a folder: NAME-VERSION.json, and its masks."""
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR

    with opened_store(store) as opened:
        typer.echo(curation.export_release(opened, OPERATOR, release, output))


@concepts_app.command("import")
def import_file(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A release (JSON)")],
    masks: Annotated[Path | None, typer.Option("--masks", help="Folder of its masks, to keep them as well")] = None,
    store: StoreUrl = None,
) -> None:
    """Bring a release into the store; makes the store where there is none."""
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR

    with opened_store(store, must_exist=False) as opened:
        typer.echo(_line(curation.import_release(opened, OPERATOR, path, masks=masks, key=uuid4().hex)))


@concepts_app.command("import-judgements")
def import_judgements(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Judgements, or regions in COCO, or a release")],
    set_name: SetName,
    format: FileFormat = None,
    reader: Annotated[str | None, typer.Option("--reader", help="Who judged, where the file does not say")] = None,
    store: StoreUrl = None,
) -> None:
    """Bring judgements of a file into a set, all or none; bad rows are listed. What the set has is passed over.

    Of the table of a whole data set (derm7pt, ph2) only what is about the set's images and concepts comes in.
    """
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR
    from concepts.sources.formats import TABLES
    from concepts.sources.judgement_files import read_judgements, refuse_other_images, within

    with opened_store(store) as opened:
        found = read_judgements(path, format, reader=reader)
        images = {image.id: image.digest for image in curation.read_images(opened, OPERATOR, set_name)}
        refuse_other_images(found, images)
        said, is_table = found.judgements, format in TABLES
        if is_table:
            concepts = {one.id for one in curation.read_set(opened, OPERATOR, set_name).concepts}
            said = within(said, images=images, concepts=concepts)
        places = None if is_table else found.locations
        written = curation.import_judgements(opened, OPERATOR, set_name, said, locations=places, key=uuid4().hex)
    elsewhere = len(found.judgements) - len(said)
    typer.echo(
        f"{written} judgements written, {len(said) - written} were there already"
        f"{f', {elsewhere} are about nothing in the set' if elsewhere else ''}"
    )


@concepts_app.command("export-judgements")
def export_judgements(
    set_name: Annotated[str, typer.Argument(metavar="SET", help="A set of the store")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new file")],
    format: FileFormat = None,
    store: StoreUrl = None,
) -> None:
    """Write the current judgements of a set to a file; COCO takes those with regions only."""
    from concepts.curation import door as curation
    from concepts.curation.accounts import OPERATOR
    from concepts.sources.judgement_files import write_judgements

    with opened_store(store) as opened:
        judgements = curation.read_judgements(opened, OPERATOR, set_name)
        images = curation.read_images(opened, OPERATOR, set_name)
    sizes = {one.id: (one.width, one.height) for one in images if one.width and one.height}
    number = write_judgements(judgements, output, format, sizes=sizes)
    typer.echo(f"{output}: {number} of {len(judgements)} judgements")


@concepts_app.command()
def verify(
    release: Annotated[Path | None, typer.Argument(metavar="FILE", help="A release (JSON); default: the store")] = None,
    root: Annotated[Path | None, typer.Option("--root", help="With a release: the folder of its masks")] = None,
    store: StoreUrl = None,
) -> None:
    """Check a store's audit chain and what it says was written; or a release's digest and those of its masks."""
    if release is None:
        _verify_store(store)
        return
    from concepts.release import read_release, verify_regions

    content = read_release(release)
    verify_regions(content, root or release.parent)
    typer.echo(f"{release}: intact, SHA-256 {content.digest}")


def _verify_store(url: str | None) -> None:
    from concepts.store import audit

    with opened_store(url) as store:
        broken = audit.verify(store)
        if broken is not None:
            raise StoreError(f"{store.url}: the audit chain breaks at event {broken.seq}: {broken.reason}")
        last = audit.last_link(store)
    typer.echo(f"intact: {last.seq} events, the newest {last.hash}" if last else "intact: no events yet")


def _freeze_source(config: Path, overrides: list[str], output: Path | None) -> None:
    from concepts.release import read_release, write_release
    from pipeline.config import load_settings
    from pipeline.data.cohort import load_samples, source_release

    if output is None:
        raise DermaxisError("give --output FILE: where the release is to be written")
    settings = load_settings(config, overrides)
    release = source_release(settings, load_samples(settings))
    if output.exists():
        raise DermaxisError(f"{output}: exists already; a release is never overwritten: give another name")
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
        shown = ", ".join(f"{number} {polarity}" for polarity, number in sorted(counts.items()))
        lines.append(f"  {concept.id:<24}{shown} ({concept.origin})")
        if concept.id in flags:
            lines.append(f"  {'':<24}flagged: {flags[concept.id]}")
    return "\n".join(lines)
