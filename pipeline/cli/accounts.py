"""``dermaxis accounts …``: who may use the concept store, on the command line."""

from typing import Annotated
from uuid import uuid4

import typer

from concepts.store.roles import Role
from pipeline.cli.concepts import StoreUrl, opened_store

accounts_app = typer.Typer(help="Accounts of the concept store: who may do what.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the account")]
Roles = Annotated[list[Role], typer.Option("--role", help="Role of the account; repeat the option for several")]
Password = Annotated[
    str,
    typer.Option(
        envvar="DERMAXIS_PASSWORD",
        prompt=True,
        hide_input=True,
        confirmation_prompt=True,
        help="Password of the account; default: you are asked for it",
    ),
]


@accounts_app.command()
def add(name: Name, role: Roles, password: Password, store: StoreUrl = None) -> None:
    """Add an account. The store is made if it does not exist."""
    from concepts.curation.accounts import OPERATOR, add_account

    with opened_store(store, must_exist=False) as opened:
        add_account(opened, OPERATOR, name, role, password=password, key=uuid4().hex)
    typer.echo(f"{name}: {', '.join(sorted(set(role)))}")


@accounts_app.command("list")
def list_all(store: StoreUrl = None) -> None:
    """List the accounts with their roles."""
    from concepts.curation.accounts import OPERATOR, list_accounts

    with opened_store(store) as opened:
        for account in list_accounts(opened, OPERATOR):
            state = " (disabled)" if account.disabled else "" if account.can_sign_in else " (no password)"
            typer.echo(f"{account.name}: {', '.join(sorted(account.roles)) or 'no role'}{state}")


@accounts_app.command()
def roles(name: Name, role: Roles, store: StoreUrl = None) -> None:
    """Set the roles of an account; it loses all others."""
    from concepts.curation.accounts import OPERATOR, set_roles

    with opened_store(store) as opened:
        set_roles(opened, OPERATOR, name, role, key=uuid4().hex)


@accounts_app.command()
def password(name: Name, password: Password, store: StoreUrl = None) -> None:
    """Set a new password."""
    from concepts.curation.accounts import OPERATOR, set_password

    with opened_store(store) as opened:
        set_password(opened, OPERATOR, name, password, key=uuid4().hex)


@accounts_app.command()
def disable(name: Name, store: StoreUrl = None) -> None:
    """Disable an account; its judgements remain."""
    _set_disabled(name, store, disabled=True)


@accounts_app.command()
def enable(name: Name, store: StoreUrl = None) -> None:
    """Enable a disabled account."""
    _set_disabled(name, store, disabled=False)


def _set_disabled(name: str, store: str | None, *, disabled: bool) -> None:
    from concepts.curation.accounts import OPERATOR, set_disabled

    with opened_store(store) as opened:
        set_disabled(opened, OPERATOR, name, disabled=disabled, key=uuid4().hex)
