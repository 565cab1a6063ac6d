"""The report on paper: prepared for WeasyPrint, and written by it."""

import re
import sys

import pytest

from concepts.errors import RunError
from concepts.statistics.estimate import Estimate
from pipeline.report.pages.charts import Dot, auc_scale, axis, share_bar, strip
from pipeline.report.pages.environment import TEMPLATES
from pipeline.report.pages.pdf import for_paper, mixed, pdf_bytes, write_pdf
from pipeline.run.folder import RunFolder

FIGURE = Estimate(0.8, 0.7, 0.9, 100)
STYLE = (TEMPLATES / "report.css").read_text(encoding="utf-8")


def page(body=""):
    chart = strip([Dot(FIGURE, "accent", "axis")], auc_scale([FIGURE]), title="AUC")
    return (
        f"<!DOCTYPE html><html lang='en'><head><title>t</title><style>{STYLE}</style></head><body>"
        f'<table class="forest"><tr><th>a</th><td role="cell" class="plot two">{chart}</td>'
        '<td class="figures">b</td></tr>'
        f"</table>{axis(auc_scale([FIGURE]), title='axis')}{share_bar(FIGURE, title='share')}"
        f'<table class="matrix"><tr><td class="own direct" style="--shade: 40%">0.9</td>'
        f'<td class="inverse" style="--shade: 10%">0.4</td></tr></table>{body}</body></html>'
    )


def test_charts_get_a_size_and_colours_of_their_own():
    paper = for_paper(page())
    charts = re.findall(r"<svg class=\"chart\".*?</svg>", paper, re.DOTALL)
    assert len(charts) == page().count('<svg class="chart"') == 3
    for chart in charts:
        assert re.match(r'<svg class="chart" role="img" width="\d+" height="\d+"><style>', chart)
        assert "var(" not in chart
        assert ".line.accent { stroke: #0b6e75; }" in chart


def test_shades_are_mixed_into_white_paper():
    paper = for_paper(page())
    assert "--shade" not in paper.split("</style>", 1)[1]
    assert f'class="own direct" style="background: {mixed("#0b6e75", 40)}"' in paper
    assert f'class="inverse" style="background: {mixed("#b35900", 10)}"' in paper
    assert (mixed("#0b6e75", 0), mixed("#0b6e75", 100), mixed("#000000", 50)) == ("#ffffff", "#0b6e75", "#808080")


def test_nothing_but_charts_and_shades_changes():
    plain = page().replace("--shade", "--other")
    paper = for_paper(plain)
    for piece in ("<th>a</th>", '<td class="figures">b</td>', "--other: 40%"):
        assert piece in paper


def test_a_run_without_a_page_says_what_to_do(tmp_path):
    with pytest.raises(RunError, match=r"there is no report\.html yet; 'dermaxis report"):
        write_pdf(RunFolder(tmp_path))


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(RunError, match=r"needs the extra 'pdf': pip install 'dermaxis\[pdf\]'") as caught:
        pdf_bytes(page())
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_pdf_is_written_whole_and_fetches_nothing(tmp_path, monkeypatch):
    pytest.importorskip("weasyprint", reason="the extra 'pdf' is not installed: no PDF was written")
    asked = []
    monkeypatch.setattr("socket.socket.connect", lambda *address: asked.append(address))
    run = RunFolder(tmp_path)
    run.write_text("report.html", page("<img src='https://example.org/x.png' alt='outside'><p>The end.</p>"))
    content = write_pdf(run).read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert asked == []
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "report.pdf"}
