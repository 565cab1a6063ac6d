"""Accounts: who may sign in and what each may do, for those who keep them."""

import secrets
from collections.abc import Callable, Sequence
from uuid import uuid4

import streamlit as st

from clinician_ui import phrasing
from clinician_ui.workplace import Reader, current_reader
from concepts.curation import door as curation
from concepts.curation.accounts import OPERATOR, Account
from concepts.errors import DermaxisError
from concepts.store.roles import Role

PASSWORD_BYTES = 12
NEW_NAME, NEW_ROLES, CHOSEN, ROLES = "account_new_name", "account_new_roles", "account_chosen", "account_roles"


def show(reader: Reader) -> None:
    """Draw the screen."""
    accounts = [one for one in curation.list_accounts(reader.store, reader.name) if one.name != OPERATOR]
    _show_answer()
    left, right = st.columns([2.2, 1], gap="large")
    with left:
        st.html(_table(accounts))
    with right:
        _show_adding()
        _show_changing(accounts)


def _show_answer() -> None:
    """What came of the last act; a password is shown this once and kept nowhere."""
    message, is_fault, password = st.session_state.pop("accounts_answer", (None, False, None))
    if message is None:
        return
    (st.error if is_fault else st.success)(phrasing.markdown(message))
    if password:
        st.code(password, language=None)


def _table(accounts: Sequence[Account]) -> str:
    rows = "".join(
        f"<tr><td>{phrasing.html(one.name)}</td><td>{phrasing.html(', '.join(sorted(one.roles)) or 'none')}</td>"
        f'<td><span class="dx-pill">{phrasing.html(phrasing.account_state(one))}</span></td></tr>'
        for one in accounts
    )
    head = "<tr><th>Name</th><th>Roles</th><th>State</th></tr>"
    return f'<div class="dx-scroll"><table class="dx-table">{head}{rows}</table></div>'


def _show_adding() -> None:
    with st.form("account_add", border=True):
        st.html('<p class="dx-heading">Add an account</p>')
        st.text_input("Name", key=NEW_NAME, max_chars=100, help=phrasing.ACCOUNT_NAME_HELP)
        st.multiselect("Roles", list(Role), default=[Role.ANNOTATOR], key=NEW_ROLES, format_func=str.capitalize)
        st.form_submit_button("Add it", type="primary", on_click=_perform, args=(_add,))


def _show_changing(accounts: Sequence[Account]) -> None:
    named = {one.name: one for one in accounts}
    with st.container(border=True):
        st.html('<p class="dx-heading">Change an account</p>')
        name = st.selectbox("Account", list(named), key=CHOSEN)
        if name is None:
            return
        one = named[name]
        # Of each account its own, as the choice of one must not be given to the next.
        key = f"{ROLES} {name}"
        st.multiselect("Roles", list(Role), default=sorted(one.roles), key=key, format_func=str.capitalize)
        st.button("Give it these roles", on_click=_perform, args=(_give_roles, name), width="stretch")
        left, right = st.columns(2)
        left.button("New password", on_click=_perform, args=(_new_password, name), width="stretch")
        label = "Let it in again" if one.disabled else "Disable it"
        right.button(label, on_click=_perform, args=(_set_disabled, name, not one.disabled), width="stretch")


def _perform(act: Callable[..., tuple[str, str | None]], *arguments: object) -> None:
    """Do it before anything is drawn again; keep what to say."""
    reader = current_reader()
    try:
        said = (phrasing.SESSION_ENDED, None) if reader is None else act(reader, *arguments)
        st.session_state["accounts_answer"] = (said[0], reader is None, said[1])
    except DermaxisError as error:
        st.session_state["accounts_answer"] = (str(error), True, None)


def _add(reader: Reader) -> tuple[str, str | None]:
    name, roles, password = st.session_state[NEW_NAME].strip(), st.session_state[NEW_ROLES], _password()
    curation.add_account(reader.store, reader.name, name, roles, password=password, key=uuid4().hex)
    return phrasing.account_added(name), password


def _give_roles(reader: Reader, name: str) -> tuple[str, None]:
    roles = st.session_state[f"{ROLES} {name}"]
    curation.set_roles(reader.store, reader.name, name, roles, key=uuid4().hex)
    return phrasing.account_roles(name, roles), None


def _new_password(reader: Reader, name: str) -> tuple[str, str]:
    password = _password()
    curation.set_password(reader.store, reader.name, name, password, key=uuid4().hex)
    return phrasing.new_password(name), password


def _set_disabled(reader: Reader, name: str, disabled: bool) -> tuple[str, None]:
    curation.set_disabled(reader.store, reader.name, name, disabled=disabled, key=uuid4().hex)
    return phrasing.account_disabled(name, disabled=disabled), None


def _password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)
