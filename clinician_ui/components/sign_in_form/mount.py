"""The forms by which a browser gets, and gives back, the cookie of its session."""

from pathlib import Path

import streamlit as st

from clinician_ui.routes import SIGN_OUT

_FOLDER = Path(__file__).parent
_CSS = (_FOLDER / "form.css").read_text(encoding="utf-8")
_SIGN_OUT = f'<form method="post" action="{SIGN_OUT}"><button class="quiet" type="submit">Sign out</button></form>'

_enter = st.components.v2.component(
    "dermaxis_sign_in",
    html=(_FOLDER / "form.html").read_text(encoding="utf-8"),
    css=_CSS,
    js=(_FOLDER / "form.js").read_text(encoding="utf-8"),
)
_leave = st.components.v2.component("dermaxis_sign_out", html=_SIGN_OUT, css=_CSS)


def sign_in_form(page: str) -> None:
    """Ask for name and password; the browser posts them to the server.

    Args:
        page: Address of the page to return to.
    """
    _enter(key="sign_in", data={"page": f"/{page}"})


def sign_out_form() -> None:
    """Show the button that ends the session."""
    _leave(key="sign_out")
