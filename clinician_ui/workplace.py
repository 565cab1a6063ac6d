"""What a screen works with: the store, the folders, the jobs, and the reader in front of it."""

import os
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from clinician_ui.sessions import COOKIE, SESSIONS
from concepts.curation.accounts import Account, find_account
from concepts.store.roles import Action, is_permitted
from concepts.store.store import Store, open_store
from pipeline.jobs.ledger import VARIABLE, Ledger, open_ledger

STORE_VARIABLE = "DERMAXIS_STORE"
IMAGES_VARIABLE = "DERMAXIS_IMAGES"
RUNS_VARIABLE = "DERMAXIS_RUNS"
ROOTS_VARIABLE = "DERMAXIS_DATA_ROOTS"


@dataclass(frozen=True, slots=True)
class Reader:
    """The person in front of the screen.

    Attributes:
        account: Their account.
        store: The concept store that they work on.
    """

    account: Account
    store: Store

    @property
    def name(self) -> str:
        """Name of the account."""
        return self.account.name

    def may(self, action: Action) -> bool:
        """Tell whether one of their roles allows an act."""
        return is_permitted(self.account.roles, action)


def current_reader() -> Reader | None:
    """Return who is signed in; None where nobody is, the session has expired or the account is disabled."""
    store = opened_store(os.environ.get(STORE_VARIABLE))
    name = SESSIONS.account_of(session_token()) or _single_sign_on_name()
    account = find_account(store, name) if name else None
    return Reader(account, store) if account else None


def image_folder() -> Path:
    """Return the folder to which the images' paths are relative."""
    return Path(os.environ.get(IMAGES_VARIABLE, "."))


def runs_folder() -> Path:
    """Return the folder with the runs whose cases and reports are read here."""
    return Path(os.environ.get(RUNS_VARIABLE, "runs"))


def data_roots() -> list[Path]:
    """Return the folders that the operator opened to the jobs that people ask for here."""
    return [Path(folder) for folder in os.environ.get(ROOTS_VARIABLE, "").split(os.pathsep) if folder]


def job_ledger() -> Ledger:
    """Return the jobs whose runs go into the folder of runs."""
    return _opened_ledger(str(runs_folder()), os.environ.get(VARIABLE))


def session_token() -> str | None:
    """Return the token that the browser sent; None where it sent none."""
    return st.context.cookies.get(COOKIE)


def has_single_sign_on() -> bool:
    """Tell whether an OIDC provider is configured in Streamlit's secrets."""
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False


@st.cache_resource(show_spinner=False)
def opened_store(url: str | None) -> Store:
    """Return the store, opened once for all sessions."""
    return open_store(url, must_exist=True)


@st.cache_resource(show_spinner=False)
def _opened_ledger(runs: str, url: str | None) -> Ledger:
    return open_ledger(Path(runs), url)


def _single_sign_on_name() -> str | None:
    """Return the e-mail address that the provider vouches for; an account must have it as its name."""
    if not has_single_sign_on() or not st.user.is_logged_in or st.user.get("email_verified") is False:
        return None
    email = st.user.get("email")
    return str(email) if email else None
