"""One case on a page: the network's call, the concepts behind it, where they are active, and how reliable that is.

The same body serves the file beside the case, which opens anywhere, and the tool's screen.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from pipeline.explanation.cases.files import FOLDER, picture_file, read_case
from pipeline.report.pages.environment import TEMPLATES, fill, style
from pipeline.report.pages.evidence_picture import evidence_uri
from pipeline.report.sentences import case as case_sentences
from pipeline.report.sentences import numerals
from pipeline.results.case import CaseContent
from pipeline.results.names import Names
from pipeline.run.folder import RunFolder
from pipeline.run.pictures import data_uri

Picture = Callable[[str], str]
"""Gives the address of an image's picture by the image's identifier."""
STYLE = TEMPLATES / "case.css"
SETTLED = 2.0
"""Largest absolute contribution, in nats, that the bars of every case have room for; larger ones widen the axis."""


def case_page_address(image_id: str) -> str:
    """Return where a case's page lies, seen from the report beside it; the file's own name is quoted already."""
    return quote(f"{FOLDER}/{quote(image_id, safe='')}.html")


def case_names(case: CaseContent) -> dict[str, str]:
    """Return what people call the concepts and diagnoses of a case, by identifier."""
    near = {entry.diagnosis for entry in (*case.supporting, *case.opposing)}
    diagnoses = near | {entry.diagnosis for entry in case.differential}
    names = {
        entry: Names().diagnosis(entry) for entry in sorted(diagnoses | ({case.reference} if case.reference else set()))
    }
    return names | {entry.concept: entry.name for entry in case.concepts}


def case_body(case: CaseContent, names: Mapping[str, str], picture: Picture, *, diagnosis: str | None = None) -> Markup:
    """Render the case as a piece of HTML without scripts; its style is the file `STYLE`.

    Args:
        case: What to show.
        names: From `case_names`.
        picture: Where the pictures are.
        diagnosis: For which contributions are shown; default: the call.

    Raises:
        RunError: If a map of the case is damaged.
    """
    target = diagnosis or case.call
    shares = [concept.contributions[target].share for concept in case.concepts] + [case.free[target].share]
    return Markup(
        fill(
            "case.html",
            case=case,
            names=names,
            sentences=case_sentences,
            numerals=numerals,
            picture=picture,
            evidence=evidence_uri,
            target=target,
            reach=max(SETTLED, *(abs(share) for share in shares)),
        )
    )


def write_case_page(run: RunFolder, image_id: str) -> Path:
    """Write a case as one HTML file beside its JSON; it opens anywhere.

    Raises:
        RunError: If the case or a picture of it is missing or damaged.
    """
    case = read_case(run, image_id)
    page = fill(
        "case_page.html",
        case=case,
        body=case_body(case, case_names(case), lambda image: data_uri(run.path, picture_file(image))),
        style=style("report.css", STYLE.name),
        research=case_sentences.RESEARCH,
    )
    name = f"{FOLDER}/{quote(image_id, safe='')}.html"
    run.write_text(name, page)
    return run.file(name)
