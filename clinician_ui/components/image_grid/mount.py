"""The image grid as a function: cases go in, what the reader assigned comes out."""

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
    """What the reader did.

    Attributes:
        place: Which set and concept the grid showed.
        key: Made in the browser, the same for a repeat.
        verdict: For all images; None, and no ``like``: the latest act is to be undone.
        images: The selected ones.
        like: The image that the others are to be compared with.
    """

    place: str
    key: str
    verdict: Verdict | None
    images: tuple[str, ...]
    like: str | None = None


def image_grid(
    cases: Sequence[Case],
    *,
    key: str,
    place: str,
    page: str,
    can_compare: bool,
    serial: int,
    answer: Mapping[str, object],
    on_act: Callable[[], None],
) -> None:
    """Show cases side by side.

    Args:
        cases: In order.
        key: Of the component; `read_grid_act` reads by it.
        place: Names set and concept; comes back with what the reader did.
        page: Another word when other cases are shown.
        can_compare: Whether the reader is offered to sort by similarity to one image.
        serial: Another number after every act.
        answer: ``message`` and ``is_fault`` of the last act.
        on_act: Called after the reader did something.
    """
    images = [
        {"id": case.image_id, "thumbnail": image_url(case.path, thumbnail=True), "said": _said(case)} for case in cases
    ]
    labels = {str(verdict): label for verdict, label in phrasing.VERDICTS.items()}
    data = {"images": images, "place": place, "page": page, "can_compare": can_compare, "serial": serial}
    _mount(key=key, data={**data, "labels": labels, **answer}, on_act_change=on_act)


def read_grid_act(key: str) -> GridAct | None:
    """What the reader just did in the grid with this key.

    Raises:
        DataError: If the browser sent something that no grid sends.
    """
    state = st.session_state.get(key)
    return parse_grid_act(state["act"]) if state and state.get("act") else None


def parse_grid_act(sent: object) -> GridAct:
    """What a browser sent, checked.

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
        return GridAct(place=str(sent["place"]), key=str(sent["key"]), verdict=verdict, images=images, like=like)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the browser sent something that the grid does not send ({error!r:.80}); reload") from error


def _compared(images: tuple[str, ...]) -> str:
    if len(images) != 1 or not images[0]:
        raise ValueError(f"{len(images)} images to compare with")
    return images[0]


def _said(case: Case) -> str:
    if case.verdict is not None:
        return f"{SYMBOLS[case.verdict]} {phrasing.VERDICTS[case.verdict]}"
    return "for later" if case.is_later else ""
