"""Router: which pages there are, who sees them, and what to show to those who may not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from clinician_ui import account_phrasing, phrasing
from clinician_ui.screens import accounts, adjudicate, cases, curate, grid, history, runs, sets, sign_in, unnamed
from clinician_ui.theme import apply_theme
from clinician_ui.workplace import Reader, current_reader
from concepts.errors import DermaxisError
from concepts.store.roles import Action


@dataclass(frozen=True, slots=True)
class Screen:
    """A page of the tool.

    Attributes:
        title: Title in the navigation.
        icon: Icon in the navigation.
        address: Address in the URL.
        action: Whoever may do this sees the page.
        show: Draws the page.
    """

    title: str
    icon: str
    address: str
    action: Action
    show: Callable[[Reader], None]


SCREENS = (
    Screen("Curate", ":material/visibility:", "curate", Action.JUDGE, curate.show),
    Screen("Grid", ":material/grid_view:", "grid", Action.JUDGE_MANY, grid.show),
    Screen("Adjudicate", ":material/balance:", "adjudicate", Action.FIRST_LOOK, adjudicate.show),
    Screen("Sets", ":material/inventory_2:", "sets", Action.LIST_RELEASES, sets.show),
    Screen("Cases", ":material/stethoscope:", "cases", Action.READ_REVIEWS, cases.show),
    Screen("Runs", ":material/model_training:", "runs", Action.READ_RUNS, runs.show),
    Screen("Accounts", ":material/group:", "accounts", Action.LIST_ACCOUNTS, accounts.show),
    Screen("Unnamed", ":material/help:", "unnamed", Action.READ_REVIEWS, unnamed.show),
    Screen("History", ":material/history:", "history", Action.HISTORY, history.show),
)
ICON = Path(__file__).with_name("icon.svg")


def main() -> None:
    """Draw the page that the address names, or the sign-in."""
    st.set_page_config(page_title="Dermaxis", page_icon=str(ICON), layout="wide", initial_sidebar_state="collapsed")
    apply_theme()
    reader = current_reader()
    pages = {screen.address: _page(screen, reader) for screen in SCREENS}
    start = st.Page(
        lambda: _start(reader, pages), title="Dermaxis", url_path="start", default=True, visibility="hidden"
    )
    st.navigation([start, *pages.values()], position="top" if reader else "hidden").run()


def _start(reader: Reader | None, pages: Mapping[str, st.Page]) -> None:
    """Lead to the first page that the reader may see."""
    if reader is None:
        sign_in.show("")
        return
    allowed = [screen for screen in SCREENS if reader.may(screen.action)]
    if allowed:
        st.switch_page(pages[allowed[0].address])
    sign_in.show_account(reader)
    st.error(phrasing.markdown(account_phrasing.NO_ROLE))


def _page(screen: Screen, reader: Reader | None) -> st.Page:
    return st.Page(
        lambda: open_screen(screen, reader),
        title=screen.title,
        icon=screen.icon,
        url_path=screen.address,
        visibility="visible" if reader is not None and reader.may(screen.action) else "hidden",
    )


def open_screen(screen: Screen, reader: Reader | None) -> None:
    """Draw a page for those who may see it; tell others what they lack.

    Args:
        screen: The page.
        reader: Who asks; None where nobody is signed in.
    """
    if reader is None:
        sign_in.show(screen.address)
        return
    sign_in.show_account(reader)
    if not reader.may(screen.action):
        st.error(phrasing.markdown(account_phrasing.denied(screen.title, ", ".join(sorted(reader.account.roles)))))
        return
    try:
        screen.show(reader)
    except DermaxisError as error:
        st.error(phrasing.markdown(error))
