"""Accounts: who may sign in and what each may do, for those who manage them."""

import secrets
from collections.abc import Callable, Sequence
from uuid import uuid4

import streamlit as st

from clinician_ui import account_phrasing, phrasing
from clinician_ui.screens.performing import perform, show_outcome
from clinician_ui.workplace import Reader
from concepts.curation import door
from concepts.curation.accounts import OPERATOR, Account
from concepts.store.roles import Role

PASSWORD_BYTES = 12
NEW_NAME, NEW_ROLES, ACCOUNT, ROLES = "account_new_name", "account_new_roles", "account_chosen", "account_roles"
PASSWORD = "accounts_password"
"""Entries of the session."""


def show(reader: Reader) -> None:
    """Draw the screen."""
    accounts = [account for account in door.list_accounts(reader.store, reader.name) if account.name != OPERATOR]
    _show_answer()
    left, right = st.columns([2.2, 1], gap="large")
    with left:
        st.html(_table(accounts))
    with right:
        _show_adding()
        _show_changing(accounts)


def _show_answer() -> None:
    """Show what came of the last act; a password is shown once and stored nowhere."""
    show_outcome("accounts")
    if password := st.session_state.pop(PASSWORD, None):
        st.code(password, language=None)


def _table(accounts: Sequence[Account]) -> str:
    rows = "".join(
        f"<tr><td>{phrasing.html(account.name)}</td>"
        f"<td>{phrasing.html(', '.join(sorted(account.roles)) or 'none')}</td>"
        f'<td><span class="dx-pill">{phrasing.html(account_phrasing.account_state(account))}</span></td></tr>'
        for account in accounts
    )
    head = "<tr><th>Name</th><th>Roles</th><th>State</th></tr>"
    return f'<div class="dx-scroll"><table class="dx-table">{head}{rows}</table></div>'


def _show_adding() -> None:
    with st.form("account_add", border=True):
        st.html('<p class="dx-heading">Add an account</p>')
        st.text_input("Name", key=NEW_NAME, max_chars=100, help=account_phrasing.ACCOUNT_NAME_HELP)
        st.multiselect("Roles", list(Role), default=[Role.ANNOTATOR], key=NEW_ROLES, format_func=str.capitalize)
        st.form_submit_button("Add it", type="primary", on_click=_perform, args=(_add,))


def _show_changing(accounts: Sequence[Account]) -> None:
    accounts_by_name = {account.name: account for account in accounts}
    with st.container(border=True):
        st.html('<p class="dx-heading">Change an account</p>')
        name = st.selectbox("Account", list(accounts_by_name), key=ACCOUNT)
        if name is None:
            return
        account = accounts_by_name[name]
        # Each account has a key of its own, or the next one would inherit this choice.
        key = f"{ROLES} {name}"
        st.multiselect("Roles", list(Role), default=sorted(account.roles), key=key, format_func=str.capitalize)
        st.button("Set these roles", on_click=_perform, args=(_set_roles, name), width="stretch")
        left, right = st.columns(2)
        left.button("New password", on_click=_perform, args=(_new_password, name), width="stretch")
        label = "Enable it" if account.disabled else "Disable it"
        right.button(label, on_click=_perform, args=(_set_disabled, name, not account.disabled), width="stretch")


def _perform(act: Callable[..., str], *arguments: object) -> None:
    """Perform an act before anything is drawn again, and keep the message."""
    perform("accounts", lambda reader: act(reader, *arguments))


def _add(reader: Reader) -> str:
    name, roles, password = st.session_state[NEW_NAME].strip(), st.session_state[NEW_ROLES], _password()
    door.add_account(reader.store, reader.name, name, roles, password=password, key=uuid4().hex)
    st.session_state[PASSWORD] = password
    return account_phrasing.account_added(name)


def _set_roles(reader: Reader, name: str) -> str:
    roles = st.session_state[f"{ROLES} {name}"]
    door.set_roles(reader.store, reader.name, name, roles, key=uuid4().hex)
    return account_phrasing.account_roles(name, roles)


def _new_password(reader: Reader, name: str) -> str:
    password = _password()
    door.set_password(reader.store, reader.name, name, password, key=uuid4().hex)
    st.session_state[PASSWORD] = password
    return account_phrasing.new_password(name)


def _set_disabled(reader: Reader, name: str, disabled: bool) -> str:
    door.set_disabled(reader.store, reader.name, name, disabled=disabled, key=uuid4().hex)
    return account_phrasing.account_disabled(name, disabled=disabled)


def _password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)
