"""``dermaxis store …``: keep the concept store's database: back up, restore, check, migrate, forget a person."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from concepts.addresses import has_secret
from concepts.errors import SettingsError, StoreError

if TYPE_CHECKING:
    from concepts.store.check import Findings

store_app = typer.Typer(
    help="The database of the concept store: back up, restore, check, migrate.", no_args_is_help=True
)


def _no_secret(value: str) -> str:
    if has_secret(value):
        raise SettingsError(
            "STORE: an address with a password must not stand on the command line, where everyone on this machine can "
            "read it; write it into a file and give @FILE"
        )
    return value


StoreWord = Annotated[
    str,
    typer.Argument(
        metavar="STORE",
        callback=_no_secret,
        help="SQLite file or PostgreSQL URL of the store, or @FILE that holds it; '' stands for DERMAXIS_STORE",
    ),
]
Witness = Annotated[
    Path | None,
    typer.Option(
        "--witness",
        metavar="FILE",
        envvar="DERMAXIS_WITNESS",
        help="File elsewhere that lists the newest digests; what it lists must be in the store",
    ),
]


@store_app.command()
def backup(
    store: StoreWord,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New file for the backup")],
    witness: Witness = None,
) -> None:
    """Back a store up, also while people work with it, and check the backup."""
    from concepts.store.backup import back_up

    findings = back_up(store, file)
    if findings is None:
        typer.echo(f"{file}: not checked, as an older Dermaxis made the store; 'restore' and 'migrate' check it")
        return
    typer.echo(f"{file}: {_describe(findings)}")
    _note(findings, witness)


@store_app.command()
def restore(
    store: StoreWord,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup that 'dermaxis store backup' made")],
) -> None:
    """Put a backup in a store's place, once it is checked; the store of before is kept. Stop the tool first."""
    from concepts.store.backup import restore as put_back

    findings, aside = put_back(store, file)
    typer.echo(f"restored, {_describe(findings)}" + (f"\nthe store of before: {aside}" if aside else ""))


@store_app.command()
def check(
    store: StoreWord,
    expect: Annotated[
        str | None,
        typer.Option("--expect", metavar="DIGEST", help="Digest that the store must hold, e.g. from a release or run"),
    ] = None,
    witness: Witness = None,
) -> None:
    """Check a store: recompute it from its chained events, and compare row by row."""
    check_store(store, expect=expect, witness=witness)


@store_app.command()
def migrate(store: StoreWord) -> None:
    """Migrate a store that an older version of Dermaxis made. Make a backup first."""
    migrate_store(store)


@store_app.command()
def forget(
    store: StoreWord,
    person: Annotated[str, typer.Argument(metavar="PERSON", help="Name of the account")],
) -> None:
    """Forget a person for good: blank name, password and roles. What they judged stays, under a number."""
    from concepts.curation.accounts import OPERATOR
    from concepts.curation.forgetting import forget_person
    from concepts.store.store import closed_at_the_end, open_store

    with closed_at_the_end(open_store(store, must_exist=True)) as opened:
        number = forget_person(opened, OPERATOR, person, key=uuid4().hex)
    typer.echo(f"forgotten; the account is {number} now. Backups, and releases frozen before, still hold the name")


def check_store(url: str | None, *, expect: str | None = None, witness: Path | None = None) -> None:
    """Check a store and print what was found.

    Raises:
        StoreError: If it is not what its events made it, or lacks a digest that is expected.
    """
    from contextlib import closing

    from concepts.store.check import check
    from concepts.store.store import open_store
    from concepts.store.witness import noted_digests, witness_file

    listed = witness_file(witness)
    expected = [*([expect] if expect else []), *(noted_digests(listed) if listed else [])]
    with closing(open_store(url, must_exist=True)) as store:
        findings = check(store, expect=expected)
        if findings.broken is not None:
            raise StoreError(
                f"{store.url}: the store breaks at event {findings.broken.seq}: {findings.broken.reason}; "
                "compare it with your last backup"
            )
        if findings.missing:
            raise StoreError(
                f"{store.url}: the chain does not hold {findings.missing[0]} ({len(findings.missing)} such): its "
                "newest events were cut off, or this is an older copy or another store; compare it with a backup"
            )
    typer.echo(_describe(findings))
    for what, number in findings.unchecked.items():
        typer.echo(f"not checked, as an older Dermaxis did not record it: {number} {what}")
    _note(findings, witness)


def migrate_store(url: str | None) -> None:
    """Migrate a store and print from where to where."""
    from concepts.store.store import migrate

    before, after = migrate(url)
    typer.echo(f"at revision {after}" + (" already" if before == after else f", was {before or 'empty'}"))


def _describe(findings: "Findings") -> str:
    newest = findings.newest
    if newest is None:
        return "intact: no events yet"
    return f"intact: {newest.seq} events, the newest {newest.hash}, written {newest.at}"


def _note(findings: "Findings", witness: Path | None) -> None:
    from concepts.store.witness import note, witness_file

    listed = witness_file(witness)
    if listed is not None and findings.newest is not None:
        note(listed, findings.newest)
