"""The lesion viewer as a function: a case goes in, the act of the reader comes out."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from clinician_ui import phrasing
from concepts.errors import DataError
from concepts.judgement import REGIONS_LIMIT, Region, RegionKind, Verdict

_FOLDER = Path(__file__).parent
_SCRIPTS = ("keys.js", "stage.js", "drawing.js", "viewer.js")
OTHERS = ("#ffb454", "#d7a6ff", "#9be564", "#ff9ec4")
"""Colours of other readers' outlines, on the image."""

_mount = st.components.v2.component(
    "dermaxis_lesion_viewer",
    html=(_FOLDER / "viewer.html").read_text(encoding="utf-8"),
    css=(_FOLDER / "viewer.css").read_text(encoding="utf-8"),
    js="\n".join((_FOLDER / script).read_text(encoding="utf-8") for script in _SCRIPTS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionView:
    """The content of the viewer.

    Attributes:
        case: Names the case and the reader; the browser keeps drafts under it.
        image: Address of the image.
        label: Name of the image.
        serial: Differs after every act, so that the viewer knows that its act was answered.
        regions: Regions that the reader drew before.
        others: Regions of other readers, by label.
        verdict: Current verdict of the reader.
        note: Current note of the reader.
        confidence: Current confidence of the reader, 0 to 1.
        message: What came of the last act.
        is_fault: Whether the message reports a fault.
        can_undo: Whether undo and save for later are offered.
        upcoming: Addresses of images to load ahead.
        saved: Cases whose drafts are in the store, so that the browser can forget them.
    """

    case: str
    image: str
    label: str
    serial: int
    regions: Sequence[Region] = ()
    others: Mapping[str, Sequence[Region]] | None = None
    verdict: Verdict | None = None
    note: str = ""
    confidence: float | None = None
    message: str = ""
    is_fault: bool = False
    can_undo: bool = True
    upcoming: Sequence[str] = ()
    saved: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewerAct:
    """An act of the reader; all but the first three belong to ``judge``.

    Attributes:
        act: ``judge``, ``later`` or ``undo``.
        case: Names the case and the reader.
        key: Made in the browser; a repeat has the same.
        verdict: The verdict.
        confidence: 0 to 1; None where the reader stated none.
        note: The note.
        regions: The regions that the reader drew.
        seconds: From the appearance of the image to the verdict.
    """

    act: str
    case: str
    key: str
    verdict: Verdict | None = None
    confidence: float | None = None
    note: str = ""
    regions: tuple[Region, ...] = ()
    seconds: float | None = None


def lesion_viewer(view: LesionView, *, key: str, on_act: Callable[[], None]) -> None:
    """Show a case.

    Args:
        view: The content.
        key: Key of the component, by which `read_act` reads.
        on_act: Called after an act.
    """
    _mount(key=key, data=_payload(view), on_act_change=on_act)


def read_act(key: str) -> ViewerAct | None:
    """Return the act that the viewer with this key just sent; None where there is none.

    Raises:
        DataError: If the browser sent something that no viewer sends.
    """
    state = st.session_state.get(key)
    return parse_act(state["act"]) if state and state.get("act") else None


def parse_act(sent: object) -> ViewerAct:
    """Check what a browser sent, and return the act.

    Raises:
        DataError: If it is not what a viewer sends.
    """
    try:
        return _act(sent) if isinstance(sent, Mapping) else _act({})
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise DataError(f"the browser sent what the viewer never sends ({error!r:.80}); reload the page") from error


def _act(sent: Mapping[str, Any]) -> ViewerAct:
    act, case, key = (str(sent[name]) for name in ("act", "case", "key"))
    if act not in ("judge", "later", "undo"):
        raise ValueError(act)
    if act != "judge":
        return ViewerAct(act=act, case=case, key=key)
    regions = sent.get("regions", ())
    if len(regions) > REGIONS_LIMIT:
        raise ValueError(f"{len(regions)} regions")
    confidence, seconds = sent.get("confidence"), sent.get("seconds")
    return ViewerAct(
        act=act,
        case=case,
        key=key,
        verdict=Verdict(sent["verdict"]),
        confidence=None if confidence is None else float(confidence),
        note=str(sent.get("note", "")),
        regions=tuple(map(_region, regions)),
        seconds=None if seconds is None else float(seconds),
    )


def _region(sent: Mapping[str, Any]) -> Region:
    kind = RegionKind(sent["kind"])
    mask = base64.b64decode(sent["mask"], validate=True) if kind is RegionKind.BRUSH else None
    return Region(kind, tuple((float(x), float(y)) for x, y in sent.get("vertices", ())), mask)


def _payload(view: LesionView) -> dict[str, Any]:
    others = list((view.others or {}).items())
    return {
        "case": {"id": view.case, "image": view.image, "label": view.label},
        "serial": view.serial,
        "labels": {str(verdict): label for verdict, label in phrasing.VERDICTS.items()},
        "regions": [_sent(region) for region in view.regions],
        "others": [
            {"label": label, "colour": OTHERS[i % len(OTHERS)], "regions": [_sent(region) for region in regions]}
            for i, (label, regions) in enumerate(others)
        ],
        "verdict": view.verdict,
        "note": view.note,
        "confidence": view.confidence,
        "message": view.message,
        "is_fault": view.is_fault,
        "can_undo": view.can_undo,
        "upcoming": list(view.upcoming),
        "saved": list(view.saved),
    }


def _sent(region: Region) -> dict[str, Any]:
    mask = base64.b64encode(region.mask).decode() if region.mask else None
    return {"kind": str(region.kind), "vertices": [list(vertex) for vertex in region.vertices], "mask": mask}
