"""The image grid as a function: cases go in, the act of the reader comes out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from clinician_ui import phrasing
from clinician_ui.image_files import image_url
from clinician_ui.theme import SYMBOLS
from concepts.curation.queue import Case
from concepts.errors import DataError
from concepts.judgement import Verdict

_FOLDER = Path(__file__).parent
_KEYS = _FOLDER.parent / "lesion_viewer" / "keys.js"
MOST = 500
"""Images that can be assigned at once."""

_mount = st.components.v2.component(
    "dermaxis_image_grid",
    html=(_FOLDER / "grid.html").read_text(encoding="utf-8"),
    css=(_FOLDER / "grid.css").read_text(encoding="utf-8"),
    js=_KEYS.read_text(encoding="utf-8") + (_FOLDER / "grid.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GridAct:
    """An act of the reader.

    Attributes:
        context: Names the set and the concept that the grid showed.
        key: Made in the browser; a repeat has the same.
        verdict: For all images; None, and no ``like``: the latest act is to be undone.
        images: The selected images.
        like: The image with which the others are to be compared.
    """

    context: str
    key: str
    verdict: Verdict | None
    images: tuple[str, ...]
    like: str | None = None


def image_grid(
    cases: Sequence[Case],
    *,
    key: str,
    context: str,
    page: str,
    can_compare: bool,
    serial: int,
    answer: Mapping[str, object],
    on_act: Callable[[], None],
) -> None:
    """Show cases side by side.

    Args:
        cases: In order.
        key: Key of the component, by which `read_grid_act` reads.
        context: Names the set and the concept; comes back with the act.
        page: Names the cases on this page; another page has another name.
        can_compare: Whether the grid offers to sort by similarity to one image.
        serial: Differs after every act.
        answer: ``message`` and ``is_fault`` of the last act.
        on_act: Called after an act.
    """
    images = [
        {"id": case.image_id, "thumbnail": image_url(case.path, thumbnail=True), "label": _label(case)}
        for case in cases
    ]
    labels = {str(verdict): label for verdict, label in phrasing.VERDICTS.items()}
    data = {"images": images, "context": context, "page": page, "can_compare": can_compare, "serial": serial}
    _mount(key=key, data={**data, "labels": labels, **answer}, on_act_change=on_act)


def read_grid_act(key: str) -> GridAct | None:
    """Return the act that the grid with this key just sent; None where there is none.

    Raises:
        DataError: If the browser sent something that no grid sends.
    """
    state = st.session_state.get(key)
    return parse_grid_act(state["act"]) if state and state.get("act") else None


def parse_grid_act(sent: object) -> GridAct:
    """Check what a browser sent, and return the act.

    Raises:
        DataError: If it is not what a grid sends.
    """
    try:
        if not isinstance(sent, Mapping) or sent["act"] not in ("assign", "undo", "like"):
            raise ValueError("act")
        images = tuple(map(str, sent.get("images", ())))
        if len(images) > MOST:
            raise ValueError(f"{len(images)} images")
        verdict = Verdict(sent["verdict"]) if sent["act"] == "assign" else None
        like = _compared(images) if sent["act"] == "like" else None
        return GridAct(context=str(sent["context"]), key=str(sent["key"]), verdict=verdict, images=images, like=like)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the browser sent what the grid never sends ({error!r:.80}); reload the page") from error


def _compared(images: tuple[str, ...]) -> str:
    if len(images) != 1 or not images[0]:
        raise ValueError(f"{len(images)} images to compare with")
    return images[0]


def _label(case: Case) -> str:
    if case.verdict is not None:
        return f"{SYMBOLS[case.verdict]} {phrasing.VERDICTS[case.verdict]}"
    return "for later" if case.is_later else ""
