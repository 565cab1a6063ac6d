"""Acts of the reader: every screen performs them before it is drawn again, and keeps what to say in the same way."""

from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st

from clinician_ui import phrasing
from clinician_ui.workplace import Reader, current_reader
from concepts.errors import DermaxisError

Act = TypeVar("Act")


def perform_act(screen: str, read: Callable[[], Act | None], answer: Callable[[Reader, Act], dict[str, Any]]) -> None:
    """Perform an act of the reader before the screen is drawn again.

    The answer, or the reason why nothing was saved, is left in the session as ``<screen>_answer``;
    ``<screen>_serial`` goes up by one.

    Args:
        screen: Names the entries of the session.
        read: Gives the act, or None where there is none.
        answer: Performs the act; gives ``message`` and what else the component needs to know.
    """
    outcome: dict[str, Any]
    try:
        reader, act = current_reader(), read()
        if act is None:
            return
        outcome = {"message": phrasing.SESSION_ENDED, "is_fault": True} if reader is None else answer(reader, act)
    except DermaxisError as error:
        outcome = {"message": str(error), "is_fault": True}
    st.session_state[f"{screen}_answer"] = outcome
    st.session_state[f"{screen}_serial"] = st.session_state.get(f"{screen}_serial", 0) + 1


def attempt(act: Callable[[Reader], str | None]) -> tuple[str | None, bool]:
    """Perform an act of the reader; return the message, and whether it is a fault.

    Args:
        act: Performs it; gives what to say, or None where nothing need be said.
    """
    reader = current_reader()
    try:
        return (phrasing.SESSION_ENDED, True) if reader is None else (act(reader), False)
    except DermaxisError as error:
        return str(error), True


def perform(screen: str, act: Callable[[Reader], str | None]) -> None:
    """Perform an act of the reader, and keep the message until the screen shows it by `show_outcome`."""
    st.session_state[f"{screen}_outcome"] = attempt(act)


def show_outcome(screen: str) -> None:
    """Show the message of the last act once."""
    message, is_fault = st.session_state.pop(f"{screen}_outcome", (None, False))
    if message is not None:
        (st.error if is_fault else st.success)(phrasing.markdown(message))
