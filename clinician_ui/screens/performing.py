"""What every screen does with an act that came from a component: perform it, and keep what to answer."""

from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st

from clinician_ui import phrasing
from clinician_ui.workplace import Reader, current_reader
from concepts.errors import DermaxisError

Act = TypeVar("Act")


def perform_act(screen: str, read: Callable[[], Act | None], answer: Callable[[Reader, Act], dict[str, Any]]) -> None:
    """Save what the reader did, before the screen is drawn again.

    The answer, or the reason why nothing was saved, is left in the session as ``<screen>_answer``, and
    ``<screen>_serial`` is another number than before.

    Args:
        screen: Names the entries of the session.
        read: Gives the act, or None where there is none.
        answer: Performs it; gives ``message`` and what else the component wants to know.
    """
    said: dict[str, Any]
    try:
        reader, act = current_reader(), read()
        if act is None:
            return
        said = {"message": phrasing.SESSION_ENDED, "is_fault": True} if reader is None else answer(reader, act)
    except DermaxisError as error:
        said = {"message": str(error), "is_fault": True}
    st.session_state[f"{screen}_answer"] = said
    st.session_state[f"{screen}_serial"] = st.session_state.get(f"{screen}_serial", 0) + 1
