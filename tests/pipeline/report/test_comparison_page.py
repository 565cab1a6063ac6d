"""The page, table and sentences of a comparison made by hand: no two of its figures are alike."""

import csv
import io
import re
from html import unescape
from math import nan

import pytest

from concepts.statistics.estimate import Estimate
from pipeline.report.pages.comparison import (
    COLUMNS,
    comparison_csv,
    not_in_all,
    render_comparison,
    terminal_comparison,
)
from pipeline.report.sentences import compared
from pipeline.report.sentences.numerals import plain_text, signed
from pipeline.results.comparison import (
    ComparedFigure,
    ComparedRun,
    Comparison,
    DifferingEntry,
    FigureFamily,
    IntervalMethod,
    JudgedDifference,
    NoiseFinding,
    SeedAgreement,
    SeedSpread,
)

BEYOND, UNCORRECTED, WITHIN, UNKNOWN = NoiseFinding
UNKNOWN_FIGURE = Estimate(nan, nan, nan, 7)


def figure(value, n):
    return Estimate(value, round(value - 0.05, 3), round(value + 0.04, 3), n)


def judged(value, n, finding, method=IntervalMethod.PAIRED):
    difference = figure(value, n)
    widened = (round(value - 0.07, 3), round(value + 0.06, 3))
    return JudgedDifference(figure=difference, widened=widened, finding=finding, method=method)


def run(letter, *, concepts=("streaks", "veil"), layer="layer2", seed=0, test_images=120) -> ComparedRun:
    return ComparedRun(
        letter=letter,
        id=f"run-{letter}",
        name="trial",
        seed=seed,
        started="2026-01-01T09:30:00+00:00",
        commit=None,
        architecture="resnet18",
        layer=layer,
        release="derm@2",
        test_images=test_images,
        concepts=concepts,
    )


AUC = FigureFamily(
    key="auc.whitened",
    title="Diagnosis, whitened network",
    unit="AUC",
    reference=0.5,
    rows=(
        ComparedFigure(
            key="auc.whitened.macro",
            name="all diagnoses (macro)",
            figures=(figure(0.81, 101), figure(0.92, 102), figure(0.73, 103)),
            differences=(judged(0.11, 104, BEYOND), judged(-0.08, 105, UNCORRECTED)),
        ),
        ComparedFigure(
            key="auc.whitened.nevus",
            name="melanocytic nevus",
            figures=(figure(0.64, 106), None, figure(0.65, 107)),
            differences=(None, judged(0.01, 108, WITHIN, IntervalMethod.UNPAIRED)),
        ),
    ),
    comparisons=3,
)
IMPORTANCE = FigureFamily(
    key="importance.overall",
    title="Importance, all diagnoses",
    unit="loss ratio",
    reference=1.0,
    rows=(
        ComparedFigure(
            key="importance.overall.streaks",
            name="streaks",
            figures=(figure(1.41, 201), figure(1.12, 202), UNKNOWN_FIGURE),
            differences=(
                judged(-0.29, 203, BEYOND, IntervalMethod.FROM_INTERVALS),
                JudgedDifference(
                    figure=UNKNOWN_FIGURE, widened=(nan, nan), finding=UNKNOWN, method=IntervalMethod.FROM_INTERVALS
                ),
            ),
            ranks=(1, 3, None),
        ),
    ),
    comparisons=1,
)
AGREEMENT = SeedAgreement(
    target="all diagnoses",
    tau=0.52,
    lowest=0.21,
    highest=0.83,
    pairs=3,
    concepts=7,
    top="streaks",
    top_share=Estimate(2 / 3, 0.208, 0.939, 3),
)
SPREAD = SeedSpread(
    key="auc.whitened.macro",
    family="Diagnosis, whitened network",
    name="all diagnoses (macro)",
    unit="AUC",
    mean=Estimate(0.823, 0.7, 0.9, 3),
    deviation=0.095,
    lowest=0.73,
    highest=0.92,
)
COMPARISON = Comparison(
    runs=(run("A"), run("B", seed=1), run("C", seed=2, concepts=("streaks", "globules"))),
    same_images={"A": True, "B": True, "C": False},
    settings=(DifferingEntry(key="seed", values=("0", "1", "2")),),
    facts=(DifferingEntry(key="commit", values=("c0ffee" * 8, "beef", "none")),),
    families=(AUC, IMPORTANCE),
    agreement=(AGREEMENT,),
    spreads=(SPREAD,),
    only_seeds=True,
    resamples=1500,
)


def text_of(html):
    return plain_text(" ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split()))


@pytest.fixture(scope="module")
def page():
    return re.sub(r"\s+", " ", render_comparison(COMPARISON))


def row_of(page, name):
    """The row of a figure, its chart's description apart."""
    (row,) = [row for row in re.findall(r'<tr role="row"><th role="rowheader".*?</tr>', page) if f">{name}" in row]
    (words,) = re.findall(r"<desc>(.*?)</desc>", row)
    return text_of(re.sub(r"<svg.*?</svg>", "", row)), words


def test_each_run_has_its_own_figure_and_difference(page):
    text, words = row_of(page, "All diagnoses")
    assert text == (
        "All diagnoses (macro) A 0.810 (0.760 to 0.850), n = 101 B 0.920 (0.870 to 0.960), n = 102 "
        "B - A +0.110 (0.060 to 0.150) beyond noise C 0.730 (0.680 to 0.770), n = 103 "
        "C - A -0.080 (-0.130 to -0.040) not after correction"
    )
    assert [part[:11] for part in words.split("; ")] == ["run A 0.810", "run B 0.920", "run C 0.730"]


def test_the_first_run_is_drawn_unlike_the_others(page):
    chart = page.split("<title>AUC, all diagnoses (macro)</title>")[1].split("</svg>")[0]
    assert re.findall(r'class="dot (\w+)"', chart) == ["plain", "accent", "accent"]


def test_a_run_without_a_figure_is_said_to_have_none(page):
    text, words = row_of(page, "Melanocytic nevus")
    assert "B no such figure C 0.650" in text
    assert "B - A" not in text
    assert text.endswith("C - A +0.010 (-0.040 to 0.050)"), "what is within noise is not emphasised"
    assert "run B" not in words


def test_importance_has_ranks_and_what_cannot_be_assessed_no_number(page):
    text, _ = row_of(page, "Streaks")
    assert text.startswith("Streaks rank 1, 3, none A 1.410 (1.360 to 1.450), n = 201 B 1.120")
    assert "B - A -0.290 (-0.340 to -0.250) beyond noise" in text
    assert text.endswith("C not assessable, n = 7 C - A not assessable")


def test_each_family_says_what_it_shows_and_against_what(page):
    captions = [text_of(caption) for caption in re.findall(r"<caption>(.*?)</caption>", page)]
    (auc,) = [caption for caption in captions if caption.startswith("AUC, with what differs from A. 3 differences")]
    assert "about 0.2 would leave 0 out of their 95 % interval" in auc
    (ratio,) = [caption for caption in captions if caption.startswith("Loss with the axis permuted")]
    assert "1 difference of this kind is judged together: about 0.1 would leave 0 out of its" in ratio
    assert compared.multiplicity(AUC.model_copy(update={"comparisons": 0})) == "No difference can be formed here."
    assert page.count("dashed: chance (0.5)") == page.count("dashed: no effect (1)") == 1
    assert page.count('scope="col">Diagnosis</th>') == 1


def test_findings_are_styled_by_what_they_are(page):
    assert page.count('<em class="finding beyond">beyond noise</em>') == 2
    assert page.count('<em class="finding uncorrected">not after correction</em>') == 1
    assert compared.MARKED == (BEYOND, UNCORRECTED)


def test_runs_and_what_differs_are_listed(page):
    text = text_of(page)
    assert "A run-A 1 January 2026, 09:30 UTC resnet18, layer2 2, derm@2 0 120" in text
    assert "seed 0 1 2" in text
    assert "commit c0ffeec0ffee… beef none" in text
    assert "c0ffee" * 8 in page, "the whole digest is in the title"
    assert not_in_all(COMPARISON) == ["veil", "globules"]
    assert "Veil yes yes no Globules no no yes" in text


def test_seeds_have_their_agreement_and_spread(page):
    text = text_of(page)
    assert plain_text(compared.agreement(AGREEMENT)) in text
    assert "All diagnoses (macro) 0.823 (0.700 to 0.900) 0.095, from 0.730 to 0.920 3" in text
    assert "and of drawing test images, which differ between the runs" in text
    bare = render_comparison(COMPARISON.model_copy(update={"agreement": (), "spreads": ()}))
    assert "Stability over seeds" not in bare
    assert "Stability over seeds" in page


def test_agreement_is_said_with_its_range_and_its_interval():
    assert plain_text(compared.agreement(AGREEMENT)) == (
        "For all diagnoses, the order of 7 concepts agrees between runs with Kendall's tau 0.52 (mean over 3 pairs of "
        "runs, from 0.21 to 0.83); streaks is first in 2 of 3 runs (67 %, 95 % interval 21 % to 94 %)."
    )
    pair = compared.agreement(AGREEMENT.model_copy(update={"pairs": 1}))
    assert "(mean over 1 pair of runs);" in pair


def test_the_summary_names_what_is_beyond_noise_and_nothing_else():
    assert plain_text(compared.summary(COMPARISON)) == (
        "Of 3 differences in the AUC of diagnoses and concepts 1 is beyond noise: Diagnosis, whitened network, all "
        "diagnoses (macro), B minus A 0.110 (95 % interval 0.060 to 0.150, n = 104)."
    )
    assert plain_text(compared.importance_summary(COMPARISON)) == (
        "Of 1 difference in importance (loss ratios) 1 is beyond noise: Importance, all diagnoses, streaks, B minus A "
        "-0.290 (95 % interval -0.340 to -0.250, n = 203)."
    )


def test_no_more_than_six_are_named():
    row = AUC.rows[0]
    many = AUC.model_copy(update={"rows": (row,) * 8})
    text = compared.summary(COMPARISON.model_copy(update={"families": (many,)}))
    assert "8 are beyond noise:" in text
    assert text.count("B minus A") == 6
    assert text.endswith(", and 2 more below.")
    six = compared.summary(COMPARISON.model_copy(update={"families": (AUC.model_copy(update={"rows": (row,) * 6}),)}))
    assert "more below" not in six


def test_where_nothing_is_beyond_noise_that_is_not_called_the_same():
    rows = (AUC.rows[1],)
    quiet = COMPARISON.model_copy(update={"families": (AUC.model_copy(update={"rows": rows}),)})
    assert compared.summary(quiet).startswith("Of 1 difference in the AUC of diagnoses and concepts none is shown to")
    assert compared.importance_summary(quiet) == ""
    ratios = (IMPORTANCE.rows[0].model_copy(update={"differences": (judged(0.1, 9, WITHIN), None)}),)
    calm = COMPARISON.model_copy(update={"families": (IMPORTANCE.model_copy(update={"rows": ratios}),)})
    assert compared.importance_summary(calm) == "Of 1 difference in importance none is shown to be more than noise."


@pytest.mark.parametrize(
    ("keys", "only_seeds", "sentence"),
    [
        ([], False, "The runs have the same settings."),
        (["seed"], True, "The runs differ in seed alone: what differs below is the chance of seeds and images."),
        (["a"], False, "The runs differ in 1 setting: a."),
        (list("abcdef"), False, "The runs differ in 6 settings: a, b, c, d, e and f."),
        (list("abcdefgh"), False, "The runs differ in 8 settings: a, b, c, d, e, f and 2 more."),
    ],
)
def test_the_question_is_how_the_runs_differ(keys, only_seeds, sentence):
    settings = tuple(DifferingEntry(key=key, values=("1", "2", "3")) for key in keys)
    assert compared.question(COMPARISON.model_copy(update={"settings": settings, "only_seeds": only_seeds})) == sentence


def test_images_are_said_to_be_the_same_or_not():
    assert compared.images(COMPARISON) == (
        "B has the same 120 test images as A, so differences in diagnosis are paired, image group by image group; C "
        "has other test images than A, so differences in diagnosis are unpaired and can show only what is larger than "
        "the luck of drawing images."
    )
    same = compared.images(COMPARISON.model_copy(update={"same_images": dict.fromkeys("ABC", True)}))
    assert same.startswith("B and C have the same 120 test images as A")
    assert "other test images" not in same


def test_limits_are_those_of_this_comparison():
    limits = compared.limits(COMPARISON)
    assert limits[:2] == (compared.COVERS, compared.FROM_INTERVALS)
    assert [limit.split(":")[0] for limit in limits[2:4]] == [
        "Where test images differ, a difference mixes that of the networks with that of the images.",
        "The concept sets differ",
    ]
    assert limits[-1].startswith("Differences in the AUC of diagnoses come from 1,500 resamples")
    alike = COMPARISON.model_copy(update={"runs": (run("A"), run("B")), "same_images": {"A": True, "B": True}})
    assert len(compared.limits(alike)) == 3
    layers = alike.model_copy(update={"runs": (run("A"), run("B", layer="layer3"))})
    assert any(limit.startswith("The layers differ") for limit in compared.limits(layers))


def test_the_table_has_each_runs_own_cells():
    rows = {(row["figure"], row["run"]): row for row in csv.DictReader(io.StringIO(comparison_csv(COMPARISON)))}
    assert len(rows) == 9
    assert list(rows["auc.whitened.macro", "C"].values()) == [
        "auc.whitened.macro", "C", "0.73", "0.68", "0.77", "103", "", "-0.08", "-0.13", "-0.04", "-0.15", "-0.02",
        "not after correction", "paired",
    ]  # fmt: skip
    assert list(rows["auc.whitened.nevus", "B"].values()) == ["auc.whitened.nevus", "B", *[""] * (len(COLUMNS) - 2)]
    assert rows["importance.overall.streaks", "B"]["rank"] == "3"
    unknown = rows["importance.overall.streaks", "C"]
    assert (unknown["value"], unknown["n"], unknown["difference"], unknown["widened_low"]) == ("", "7", "", "")
    assert (unknown["finding"], unknown["method"]) == ("not assessable", "from intervals")
    assert rows["auc.whitened.macro", "A"]["finding"] == ""


def test_the_terminal_says_the_same_in_a_few_lines():
    lines = terminal_comparison(COMPARISON).splitlines()
    assert lines[:3] == ["  A  run-A, seed 0", "  B  run-B, seed 1", "  C  run-C, seed 2"]
    sentences = (compared.question, compared.images, compared.summary, compared.importance_summary)
    assert lines[3:-1] == [plain_text(sentence(COMPARISON)) for sentence in sentences]
    assert lines[-1] == plain_text(compared.agreement(AGREEMENT))
    assert compared.title(COMPARISON) == "3 runs compared"


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "+0.500"), (-0.5, "-0.500"), (0.0004, "0.000"), (0.0, "0.000"), (10.0, "+10.000")]
)
def test_a_sign_is_written_for_all_but_zero(value, text):
    assert plain_text(signed(value)) == text


def test_what_cannot_be_assessed_has_no_sign():
    assert compared.difference(IMPORTANCE.rows[0].differences[1]) == "not assessable"
    assert compared.ranks(IMPORTANCE.rows[0]) == "1, 3, none"
