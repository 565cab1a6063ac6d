"""The lesion viewer as a function: a case goes in, what the reader did comes out."""

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
class Shown:
    """What the viewer shows.

    Attributes:
        case: Names the case and the reader; drafts are kept in the browser under it.
        image: Address of the image.
        label: What the image is called.
        serial: Another number after every act, so that the viewer knows that it was answered.
        regions: The reader's own, drawn before.
        others: Other readers' regions, by a label.
        verdict: The reader's own current verdict.
        note: The reader's own.
        confidence: The reader's own.
        message: What came of the last act.
        is_fault: Whether the message is about something that went wrong.
        can_undo: Whether undo and save for later are offered.
        upcoming: Addresses of images to load ahead.
        saved: Cases whose drafts are stored and need not be kept in the browser.
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
    """What the reader did.

    Attributes:
        act: ``judge``, ``later`` or ``undo``.
        case: In front of which case.
        key: Made in the browser, the same for a repeat.
        verdict: With ``judge``.
        confidence: With ``judge``; 0..1 or None.
        note: With ``judge``.
        regions: With ``judge``.
        seconds: With ``judge``: from the image's appearance to the verdict.
    """

    act: str
    case: str
    key: str
    verdict: Verdict | None = None
    confidence: float | None = None
    note: str = ""
    regions: tuple[Region, ...] = ()
    seconds: float | None = None


def lesion_viewer(shown: Shown, *, key: str, on_act: Callable[[], None]) -> None:
    """Show a case.

    Args:
        shown: What.
        key: Of the component; `read_act` reads by it.
        on_act: Called after the reader did something.
    """
    _mount(key=key, data=_payload(shown), on_act_change=on_act)


def read_act(key: str) -> ViewerAct | None:
    """What the reader just did in the viewer with this key.

    Raises:
        DataError: If the browser sent something that no viewer sends.
    """
    state = st.session_state.get(key)
    return parse_act(state["act"]) if state and state.get("act") else None


def parse_act(sent: object) -> ViewerAct:
    """What a browser sent, checked.

    Raises:
        DataError: If it is not what a viewer sends.
    """
    try:
        return _act(sent) if isinstance(sent, Mapping) else _act({})
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise DataError(f"the browser sent something that the viewer does not send ({error!r:.80}); reload") from error


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


def _payload(shown: Shown) -> dict[str, Any]:
    others = list((shown.others or {}).items())
    return {
        "case": {"id": shown.case, "image": shown.image, "label": shown.label},
        "serial": shown.serial,
        "labels": {str(verdict): label for verdict, label in phrasing.VERDICTS.items()},
        "regions": [_sent(region) for region in shown.regions],
        "others": [
            {"label": label, "colour": OTHERS[i % len(OTHERS)], "regions": [_sent(region) for region in regions]}
            for i, (label, regions) in enumerate(others)
        ],
        "verdict": shown.verdict,
        "note": shown.note,
        "confidence": shown.confidence,
        "message": shown.message,
        "is_fault": shown.is_fault,
        "can_undo": shown.can_undo,
        "upcoming": list(shown.upcoming),
        "saved": list(shown.saved),
    }


def _sent(region: Region) -> dict[str, Any]:
    mask = base64.b64encode(region.mask).decode() if region.mask else None
    return {"kind": str(region.kind), "vertices": [list(vertex) for vertex in region.vertices], "mask": mask}
