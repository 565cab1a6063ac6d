"""Each figure of the report stands in its own place: no two figures of this run are alike."""

import re
from html import unescape
from itertools import count

import pytest
from fake_evaluation import made_evaluation, made_subgroup
from fake_explanation import CLASSES, CONCEPTS, made_check, made_explanation, made_importance, made_results, write_run

from concepts.statistics.estimate import Estimate
from pipeline.report.pages.charts import RatioCharts
from pipeline.report.pages.facts import model_facts
from pipeline.report.pages.report import AucCharts, further_figures, render, render_facts, shade, write_report
from pipeline.report.pages.tables import estimate_cells, figure_rows, figure_trees, importance_rows, terminal_table
from pipeline.report.sentences import concepts, importance, limits, results, sanity
from pipeline.report.sentences.numerals import cases, plain_text, short
from pipeline.results.axes import AxisBaselines, AxisPurity
from pipeline.results.evaluation import NetworkResult
from pipeline.results.importance import OVERALL, ordered_targets
from pipeline.results.names import Names
from pipeline.results.record import LoadedWeights
from pipeline.results.result import Band
from pipeline.results.trust import FailedConcept, Failure, FailuresResult, SanityResult, SubgroupsResult

TARGETS = (OVERALL, *CLASSES)
DIFFERENCE = Estimate(0.087, 0.041, 0.133, 99)
LEVELS = {"plain": 0.6, "whitened": 0.7, "axes": 0.8}


def distinct(start):
    """Figures of which no two share a value, an end or an n."""
    for step in count(1):
        value = round(start + step / 1000, 3)
        yield Estimate(value, round(value - 0.1, 3), round(value + 0.1, 3), int(start * 1000) + step)


def network(name) -> NetworkResult:
    figures = distinct(LEVELS[name])
    return NetworkResult(
        auc={key: next(figures) for key in ("macro", *CLASSES)},
        balanced_accuracy=next(figures),
        sensitivity_at_specificity_80={key: next(figures) for key in CLASSES},
        sensitivity_at_specificity_90={key: next(figures) for key in CLASSES},
        ece=next(figures),
    )


def axes():
    figures = distinct(LEVELS["axes"])
    return {
        concept: AxisPurity(
            axis_auc={"max": next(figures), "mean": next(figures)},
            baselines=AxisBaselines(probe=next(figures), best_filter=next(figures), svm=next(figures)),
            positives=31 + row,
            negatives=71 + row,
            train_positives=121 + row,
            reason=None,
        )
        for row, concept in enumerate(CONCEPTS)
    }


def checked(value, n, meaningless):
    return made_check(
        Estimate(value, value - 0.1, value + 0.1, n), Estimate(value - 0.4, value - 0.45, value - 0.35, 10),
        meaningless=meaningless,
    )  # fmt: skip


SANITY = SanityResult(
    draws=10,
    importance_randomised_weights={
        target: {"streaks": checked(1.5 + row, 301 + row, False), "veil": checked(1.6 + row, 311 + row, True)}
        for row, target in enumerate(TARGETS)
    },
    importance_permuted_labels={
        target: {"streaks": checked(1.7 + row, 321 + row, False), "veil": checked(1.8 + row, 331 + row, False)}
        for row, target in enumerate(TARGETS)
    },
    purity_permuted_labels={"streaks": checked(0.91, 341, False), "veil": checked(0.62, 342, True)},
)
SUBGROUPS = SubgroupsResult(
    subgroups={
        "sex": {
            "female": made_subgroup(61).model_copy(
                update={
                    "groups": 59,
                    "auc": {"macro": Estimate(0.77, 0.7, 0.84, 61)},
                    "balanced_accuracy": Estimate(0.66, 0.6, 0.72, 61),
                    "difference": Estimate(-0.12, -0.2, -0.04, 61),
                }
            )
        }
    },
    unknown={"age": 4},
    fewest=30,
)
FAILURE = Failure(
    image_id="wrong",
    truth="melanoma",
    call="nevus",
    probability=0.93,
    probability_of_truth=0.05,
    concepts=(FailedConcept(concept="streaks", state="present", label=False),),
    picture="failures/wrong.jpg",
)


def explanation():
    ratios, shares = distinct(1.3), (Estimate(0.1 * row, 0.1 * row - 0.05, 0.1 * row + 0.05, row) for row in count(3))
    return made_explanation(
        importance={
            target: made_importance(
                {concept: next(ratios) for concept in CONCEPTS},
                null=Band(low=0.95 - row / 100, high=1.05 + row / 100),
                unnamed=next(shares),
            )
            for row, target in enumerate(TARGETS)
        },
        planted_importance={"melanoma": {"veil": 1.777}},
        sanity=SANITY,
        failures=FailuresResult(
            wrong=Estimate(0.21, 0.15, 0.27, 100),
            confident=0.8,
            wrong_where_confident=Estimate(0.11, 0.05, 0.2, 60),
            gallery=(FAILURE,),
        ),
    )


@pytest.fixture(scope="module")
def made():
    evaluation = made_evaluation(
        axes(),
        diagnosis={
            "plain": network("plain"),
            "whitened": network("whitened"),
            "auxiliary": None,
            "difference": DIFFERENCE,
        },
        subgroups=SUBGROUPS,
    )
    return made_results(evaluation, explanation())


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("joints") / "made", made)


@pytest.fixture(scope="module")
def page(made, folder):
    return render(made, folder.path)


def rows_of(page, section):
    """The rows of a section's tables: the heading, and each cell's text, charts left out."""
    part = page.split(f'<h2 id="{section}">')[1].split("</section>")[0]
    part = re.sub(r"<svg.*?</svg>", "", part, flags=re.DOTALL)
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", part, re.DOTALL)
    cells = [re.split(r"</t[hd]>", row)[:-1] for row in rows]
    return [[plain_text(" ".join(unescape(re.sub(r"<[^>]*>", " ", cell)).split())) for cell in row] for row in cells]


def descriptions(page, title):
    """What the charts of a title say of their figures."""
    texts = re.findall(rf"<title>{re.escape(title)}</title><desc>(.*?)</desc>", page)
    return [unescape(text) for text in texts]


def words(figure, decimals=3):
    return plain_text(short(figure, decimals))


def test_plain_and_whitened_networks_stand_in_their_columns(page, made):
    diagnosis = made.evaluation.diagnosis
    names = {"All diagnoses (macro)": "macro", "Melanoma": "melanoma", "Melanocytic nevus": "nevus"}
    for heading, key in names.items():
        text = rows_with(page, "results", heading)
        plain, whitened = words(diagnosis.plain.auc[key]), words(diagnosis.whitened.auc[key])
        assert plain in text, heading
        assert whitened in text, heading
        assert text.index(plain) < text.index(whitened), heading


def rows_with(page, section, heading):
    """All rows of a section with this heading, as one text."""
    return " | ".join(" ".join(row[1:]) for row in rows_of(page, section) if row and row[0] == heading)


def test_further_figures_stand_in_their_columns(page, made):
    plain, whitened = made.evaluation.diagnosis.plain, made.evaluation.diagnosis.whitened
    n = plain_text(cases(whitened.ece)).removeprefix("n = ")
    assert rows_with(page, "results", "Expected calibration error (0 is best)") == (
        f"{words(plain.ece)} {words(whitened.ece)} {n}"
    )


def test_an_axis_and_its_baselines_stand_in_their_row(page, made):
    for concept, purity in made.evaluation.axes.purity.items():
        heading = made.names.concept(concept).capitalize()
        axis, baselines = purity.axis_auc["max"], purity.baselines
        row = rows_with(page, "concepts", heading).split(" | ")[0]
        figures = " ".join(map(words, (axis, baselines.probe, baselines.best_filter)))
        assert row.strip() == f"{figures} {plain_text(cases(axis))}, {purity.positives} with it"


def test_further_figures_are_each_networks_own(made):
    plain, whitened = made.evaluation.diagnosis.plain, made.evaluation.diagnosis.whitened
    groups = further_figures(made.evaluation, made.names)
    listed = [row for _, rows in groups for row in rows]
    assert listed == [
        ("balanced accuracy", plain.balanced_accuracy, whitened.balanced_accuracy),
        *(
            (made.names.diagnosis(key), before[key], after[key])
            for before, after in (
                (plain.sensitivity_at_specificity_80, whitened.sensitivity_at_specificity_80),
                (plain.sensitivity_at_specificity_90, whitened.sensitivity_at_specificity_90),
            )
            for key in CLASSES
        ),
        ("expected calibration error (0 is best)", plain.ece, whitened.ece),
    ]
    assert [plain_text(heading) for heading, _ in groups] == [
        "", "Sensitivity at 80 % specificity", "Sensitivity at 90 % specificity", ""
    ]  # fmt: skip


def test_the_charts_draw_the_figures_of_their_row(made):
    charts = AucCharts(made.evaluation, made.names)
    plain, whitened = made.evaluation.diagnosis.plain, made.evaluation.diagnosis.whitened
    (text,) = descriptions(charts.diagnosis("melanoma", "melanoma"), "AUC, melanoma")
    assert text.split("; ") == [
        f"plain network {described(plain.auc['melanoma'])}",
        f"whitened network {described(whitened.auc['melanoma'])}",
    ]
    purity = made.evaluation.axes.purity["veil"]
    (text,) = descriptions(charts.concept("veil"), f"AUC, {made.names.concept('veil')}")
    assert text.split("; ") == [
        f"axis {described(purity.axis_auc['max'])}",
        f"linear probe {described(purity.baselines.probe)}",
        f"best filter {described(purity.baselines.best_filter)}",
    ]


def described(figure):
    return f"{figure.value:.3f}, 95 % interval {figure.low:.3f} to {figure.high:.3f}, n = {figure.n}"


def test_importance_is_drawn_and_listed_for_its_own_target(made, page):
    result = made.explanation
    charts = RatioCharts(result.importance, result.planted_importance, made.names)
    for target in TARGETS:
        for concept in CONCEPTS:
            title = f"Importance of {made.names.concept(concept)}, {made.names.target(target)}"
            ratio = result.importance[target].concepts[concept].ratio
            (text,) = descriptions(charts.strip(target, concept), title)
            planted = "; planted 1.777" if (target, concept) == ("melanoma", "veil") else ""
            assert text == f"ratio {described(ratio)}{planted}"
            assert descriptions(page, title) == [text]
        title = f"Share of unnamed axes, {made.names.target(target)}"
        assert descriptions(charts.unnamed(target), title) == [described(result.importance[target].unnamed_share)]


def test_the_table_of_importance_has_each_targets_own_row(made):
    rows = list(importance_rows(made))
    assert [row[0] for row in rows] == [target for target in TARGETS for _ in CONCEPTS]
    for target, concept, name, *cells in rows:
        axis = made.explanation.importance[target].concepts[concept]
        planted = 1.777 if (target, concept) == ("melanoma", "veil") else None
        assert name == made.names.concept(concept)
        assert cells == [
            *estimate_cells(axis.ratio), axis.rank, axis.null.low, axis.null.high, axis.stands_out,
            str(made.evaluation.verdict(concept)), planted,
        ]  # fmt: skip
    assert [row[1] for row in rows[:2]] == ["veil", "streaks"], "the most important first"


def test_every_figure_of_the_run_is_in_the_table_with_its_ends_and_n(made):
    rows = {path: cells for path, *cells in figure_rows(figure_trees(made.evaluation, made.explanation))}
    whitened = made.evaluation.diagnosis.whitened
    assert rows["evaluation.diagnosis.whitened.auc.nevus"] == list(estimate_cells(whitened.auc["nevus"]))
    assert rows["evaluation.diagnosis.difference"] == list(estimate_cells(DIFFERENCE))
    ratio = made.explanation.importance["melanoma"].concepts["veil"].ratio
    assert rows["explanation.importance.melanoma.concepts.veil.ratio"] == list(estimate_cells(ratio))


def test_the_terminal_has_both_networks_and_each_axis(made, folder):
    lines = dict(re.split(r"  +", line.strip(), maxsplit=1) for line in terminal_table(folder).splitlines())
    diagnosis = made.evaluation.diagnosis
    assert lines["macro AUC, plain network"] == words(diagnosis.plain.auc["macro"])
    assert lines["macro AUC, whitened network"] == words(diagnosis.whitened.auc["macro"])
    assert lines["whitened minus plain"] == words(DIFFERENCE)
    for concept in CONCEPTS:
        axis = made.evaluation.axis_auc(concept)
        assert lines[f"axis AUC, {made.names.concept(concept)}"] == f"{words(axis)}, {made.evaluation.verdict(concept)}"


def test_the_model_facts_are_the_whitened_networks(made):
    whitened = made.evaluation.diagnosis.whitened
    facts = model_facts(made)
    assert [fact.figure for fact in facts.figures] == [
        whitened.auc["macro"],
        *(whitened.auc[key] for key in CLASSES),
        *(whitened.sensitivity_at_specificity_80[key] for key in CLASSES),
        whitened.balanced_accuracy,
        whitened.ece,
        DIFFERENCE,
    ]
    assert (facts.run, facts.started, facts.commit) == (made.record.id, made.record.started, "d34db33f")
    text = plain_text(unescape(re.sub(r"<[^>]*>", " ", render_facts(made))))
    for fact in facts.figures:
        assert f"{fact.figure.value:.3f}" in text
        assert f"n = {fact.figure.n}" in text
    share = made.explanation.importance[OVERALL].unnamed_share
    assert f"Unnamed axes carry {share.value:.0%}".replace("%", " %") in plain_text(facts.explanation)
    assert any(f"{share.value:.0%}".replace("%", " %") in plain_text(limit) for limit in limits.limits_of(made))


def test_the_summary_speaks_of_all_diagnoses_together(made, page):
    overall = made.explanation.importance[OVERALL]
    summary = plain_text(unescape(page.split('id="summary"')[1].split("</section>")[0]))
    for sentence in (
        results.comparison(made.evaluation.diagnosis),
        concepts.reliability_counts(made.evaluation),
        importance.outstanding(OVERALL, overall, made.names, made.evaluation.verdict),
        importance.unnamed_share(OVERALL, overall, made.names),
    ):
        assert plain_text(sentence) in summary


def test_sanity_checks_stand_beside_their_own_concept(page):
    importance_row, purity_row = [
        " ".join(row) for row in rows_of(page, "sanity") if row and row[0].startswith("Veil ")
    ][:2]
    weights = SANITY.importance_randomised_weights[OVERALL]["veil"]
    labels = SANITY.importance_permuted_labels[OVERALL]["veil"]
    nulls = [plain_text(sanity.null(check)) for check in (labels, weights)]
    assert importance_row.split() == f"Veil meaningless {words(weights.figure, 2)}, n = 311 {' '.join(nulls)}".split()
    purity = SANITY.purity_permuted_labels["veil"]
    null = plain_text(sanity.null(purity))
    assert purity_row.split() == f"Veil meaningless {words(purity.figure, 2)}, n = 342 {null}".split()
    (text,) = descriptions(page, "Importance under randomisation, veil")
    assert text.split("; ") == [
        f"importance {described(weights.figure)}",
        f"permuted labels {described(labels.null)}",
        f"randomised weights {described(weights.null)}",
    ]
    (text,) = descriptions(page, "Axis AUC under permuted labels, streaks")
    check = SANITY.purity_permuted_labels["streaks"]
    assert text.split("; ") == [f"axis {described(check.figure)}", f"permuted labels {described(check.null)}"]


def test_sanity_checks_are_said_for_their_own_target(page):
    text = " ".join(rows_with(page, "sanity", "Streaks").split())
    for target in TARGETS:
        assert plain_text(sanity.importance_verdict(SANITY, "streaks", target)) in text


def test_importance_is_written_with_interval_and_n_in_its_panel(page, made):
    panels = page.split('<h2 id="importance">')[1].split('<div class="panel">')[1:]
    for target, panel in zip(TARGETS, panels, strict=True):
        text = plain_text(unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", re.sub(r"<svg.*?</svg>", "", panel)))))
        result = made.explanation.importance[target]
        for axis in result.concepts.values():
            assert f"{words(axis.ratio)}, {plain_text(cases(axis.ratio))}" in text
        assert plain_text(importance.unnamed_share(target, result, made.names)) in text


def test_parts_of_the_cohort_have_their_images_and_groups(page):
    assert rows_with(page, "cohort", "All") == "300 60 100"
    assert rows_with(page, "cohort", "Groups of related images") == "150 30 50"
    assert rows_with(page, "cohort", "Melanoma") == "10 10 10"
    assert rows_with(page, "cohort", "Melanocytic nevus") == "290 50 90"


def test_a_subgroup_has_its_own_figures(page):
    assert rows_with(page, "subgroups", "Female") == (
        "61 59 0.77 (0.70 to 0.84) 0.66 (0.60 to 0.72) -0.120 (-0.200 to -0.040) beyond noise"
    )


def test_a_failure_has_the_probabilities_of_call_and_truth(page):
    gallery = page.split('<ul class="gallery">')[1].split("</section>")[0]
    text = plain_text(unescape(" ".join(re.sub(r"<[^>]*>", " ", gallery).split())))
    assert text.startswith("Melanocytic nevus , 93 % recorded: melanoma, 5 % Seen: streaks")


def test_the_order_of_targets_and_a_shade():
    assert ordered_targets(dict.fromkeys(("nevus", OVERALL, "melanoma"))) == [OVERALL, "nevus", "melanoma"]
    assert (shade(0.9), shade(0.1), shade(1.2)) == (40, -40, 50)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (None, "Initial weights: random."),
        (
            LoadedWeights(file="w", loaded=("a", "b"), dropped=("c",), missing=("d", "e")),
            "Initial weights: w, 2 tensors loaded; dropped: c; not in the file: d, e.",
        ),
        (LoadedWeights(file="w", loaded=("a",), dropped=(), missing=()), "Initial weights: w, 1 tensor loaded."),
    ],
)
def test_initial_weights_are_said(weights, sentence):
    assert results.initial_weights(weights) == sentence


def test_names_are_those_of_the_release():
    assert Names({"veil": "blue-white veil"}).concept("veil") == "blue-white veil"


def test_the_report_is_written_last(folder, monkeypatch):
    monkeypatch.setattr("pipeline.report.pages.report.write_tables", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(folder)
    assert not folder.has("report.html")
