"""The report as PDF, by WeasyPrint (the extra ``pdf``); it shows the same page, all details opened."""

import re
from functools import partial
from pathlib import Path

from concepts.errors import RunError
from concepts.files import write_atomically
from pipeline.report.pages.charts import LANE
from pipeline.report.pages.environment import TEMPLATES
from pipeline.run.folder import RunFolder

CHART_WIDTH = 272
"""Width of a chart in CSS pixels: the middle column of a forest plot on A4."""
PAPER = (255, 255, 255)
LANES = {"one": 1.7, "two": 2.4, "three": 3.3}
"""Heights of plots in rem, as the page's style has them."""
REM = 12
"""Pixels of a rem on paper, as pdf.css has it."""
CHART = re.compile(r'(<td[^>]*class="plot (\w+)"[^>]*>)?(<svg class="chart"[^>]*) width="100%" height="([\d%]+)">')
SHADE = re.compile(r'class="([^"]*)" style="--shade: (\d+)%"')
COLOUR = re.compile(r"--(\w+): (#[0-9a-f]{6})")


def write_pdf(run: RunFolder) -> Path:
    """Write the report page of a run as PDF into its folder; the page must have been written.

    Raises:
        RunError: If the extra is not installed, or there is no page.
    """
    page = run.file("report.html")
    if not page.is_file():
        raise RunError(f"{run.path}: there is no report.html yet; 'dermaxis report {run.path}' writes it")
    file = run.file("report.pdf")
    write_atomically(file, pdf_bytes(page.read_text(encoding="utf-8")))
    return file


def pdf_bytes(page: str) -> bytes:
    """Turn a report page into the bytes of a PDF file. Nothing is fetched: what is not in the page is refused.

    Raises:
        RunError: If the extra is not installed.
    """
    require_weasyprint()
    from weasyprint import HTML
    from weasyprint.urls import URLFetcher

    return HTML(string=for_paper(page), url_fetcher=URLFetcher(allowed_protocols=["data"])).write_pdf()


def require_weasyprint() -> None:
    """Refuse where WeasyPrint is missing, or one of the system's libraries that it needs.

    Raises:
        RunError: If it cannot be imported.
    """
    try:
        import weasyprint  # noqa: F401
    except ImportError as error:
        raise RunError("--pdf needs the extra 'pdf': pip install 'dermaxis[pdf]'") from error
    except OSError as error:
        raise RunError(
            f"--pdf needs the library Pango ({error!s:.80}); on Debian: apt install libpango-1.0-0"
        ) from error


def for_paper(page: str) -> str:
    """Work out what WeasyPrint cannot: charts get a fixed size and colours of their own, and shades are mixed."""
    colours = dict(COLOUR.findall(page.split("@media", 1)[0]))
    style = _chart_style(page, colours)
    sheet = (TEMPLATES / "pdf.css").read_text(encoding="utf-8")
    page = page.replace("</style>", f"{sheet}</style>", 1)
    page = CHART.sub(partial(_sized, style=style), page)
    return SHADE.sub(partial(_shaded, colours=colours), page)


def mixed(colour: str, percent: int) -> str:
    """Mix so much of a colour ``#rrggbb`` into the white of the paper."""
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(
        f"{round((part * percent + white * (100 - percent)) / 100):02x}"
        for part, white in zip(parts, PAPER, strict=True)
    )


def _chart_style(page: str, colours: dict[str, str]) -> str:
    """Take the page's rules for charts, without variables: a chart is a picture of its own to WeasyPrint."""
    rules = "".join(re.findall(r"svg( \.[^{};]*\{[^}]*\})", page.split("</style>", 1)[0]))
    return re.sub(r"var\(--(\w+)\)", lambda match: colours.get(match[1], "#000000"), rules)


def _sized(match: re.Match[str], *, style: str) -> str:
    cell, lanes, start, height = match.groups()
    pixels = round(LANES.get(lanes or "", 2.4) * REM) if height == "100%" else int(height)
    size = f' width="{CHART_WIDTH}" height="{max(pixels, LANE)}"'
    return f"{cell or ''}{start}{size}><style>{style}</style>"


def _shaded(match: re.Match[str], *, colours: dict[str, str]) -> str:
    names, percent = match[1], int(match[2])
    base = colours.get("warm" if "inverse" in names else "accent", "#000000")
    return f'class="{names}" style="background: {mixed(base, percent)}"'
