"""The report of a run, made from a folder such as a real run leaves."""

import csv
import io
import re
import shutil
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise, product
from math import nan
from pathlib import Path

import numpy as np
import pytest
from fake_evaluation import made_evaluation
from fake_explanation import (
    made_check,
    made_example,
    made_explanation,
    made_importance,
    made_record,
    made_release,
    made_results,
    made_sanity,
    made_stability,
    write_run,
)
from PIL import Image, ImageDraw, ImageFilter

from concepts.csv_cells import csv_text
from concepts.errors import RunError
from concepts.example import ConceptEntry, Example, Origin, Polarity
from concepts.release import Release, freeze, read_release, write_release
from concepts.statistics.estimate import Estimate
from pipeline.config import parse_overrides
from pipeline.report.pages.environment import TEMPLATES
from pipeline.report.pages.report import render, write_report
from pipeline.report.pages.tables import figure_rows, terminal_table
from pipeline.report.sentences.importance import MARKINGS
from pipeline.results.axes import (
    AucMatrix,
    AxesResult,
    AxisBaselines,
    AxisPurity,
    AxisVerdict,
    ChildPurity,
    ConceptSimilarity,
    MeanPurity,
    SubspaceLeak,
    SubspacePurity,
)
from pipeline.results.checklists import AnswerStatus, ChecklistAnswers
from pipeline.results.evaluation import (
    CohortResult,
    Evaluation,
    LayerResult,
    NetworkResult,
    PartCounts,
    Residual,
    WhiteningResult,
)
from pipeline.results.explanation import Explanation
from pipeline.results.facts import ModelFacts
from pipeline.results.importance import TcavScore
from pipeline.results.record import EpochFigures, LoadedWeights, RunRecord
from pipeline.results.result import Band
from pipeline.results.trust import FailedConcept, Failure, FailuresResult
from pipeline.run.folder import RunFolder
from pipeline.run.results import read_results

CLASSES = ("nevus", "melanoma", "seborrheic_keratosis")
AXES = {
    "pigment_network": (0.842, 0.86, 0.71),
    "negative_network": (0.661, 0.70, 0.62),
    "streaks": (None, None, None),
    "milia_like_cyst": (0.771, 0.79, 0.69),
    "globules": (0.584, 0.66, 0.60),
    "asymmetry": (0.902, 0.91, 0.83),
}
POSITIVES = {
    "pigment_network": 301,
    "negative_network": 58,
    "streaks": 12,
    "milia_like_cyst": 134,
    "globules": 120,
    "asymmetry": 96,
}
RATIOS = {
    "overall": {
        "pigment_network": 1.31,
        "asymmetry": 1.22,
        "milia_like_cyst": 1.12,
        "globules": 1.02,
        "negative_network": 1.01,
        "streaks": 0.999,
    },
    "nevus": {
        "pigment_network": 1.24,
        "asymmetry": 1.18,
        "milia_like_cyst": 1.06,
        "globules": 1.03,
        "negative_network": 1.0,
        "streaks": 1.0,
    },
    "melanoma": {
        "asymmetry": 1.52,
        "pigment_network": 1.09,
        "globules": 1.04,
        "streaks": 1.02,
        "negative_network": 1.01,
        "milia_like_cyst": 0.98,
    },
    "seborrheic_keratosis": {
        "milia_like_cyst": 2.31,
        "pigment_network": 1.72,
        "asymmetry": 1.05,
        "globules": 1.02,
        "negative_network": 1.0,
        "streaks": 0.99,
    },
}
WRITTEN = {
    "report.html",
    "figures.csv",
    "importance.csv",
    "model_facts.html",
    "model_facts.json",
    "checklists.json",
}
CANARY = "<script>window.canary = true</script><img src=x onerror='window.canary = true'>"
BAND = Band(low=0.992, high=1.034)
UNKNOWN = Estimate(nan, nan, nan, 520)


def figure(value, spread=0.03, n=520):
    if value is None:
        return Estimate(nan, nan, nan, n)
    return Estimate(value, round(value - spread, 4), round(value + 0.8 * spread, 4), n)


def network(macro, melanoma) -> NetworkResult:
    auc = {"macro": figure(macro), "nevus": figure(macro - 0.02), "melanoma": figure(melanoma, 0.05)}
    sensitivity = {diagnosis: figure(0.79 - 0.05 * index, 0.06) for index, diagnosis in enumerate(CLASSES)}
    return NetworkResult(
        auc=auc | {"seborrheic_keratosis": figure(0.941, 0.025)},
        balanced_accuracy=figure(0.731, 0.04),
        sensitivity_at_specificity_80=sensitivity,
        sensitivity_at_specificity_90={name: figure(each.value - 0.2, 0.07) for name, each in sensitivity.items()},
        ece=figure(0.052, 0.012),
    )


def purity(concept) -> AxisPurity:
    axis, probe, best = AXES[concept]
    positives = POSITIVES[concept]
    few = f"{4 * positives} training positives, fewer than the 60 below which an axis is not stable"
    return AxisPurity(
        axis_auc={name: figure(axis, 0.04) for name in ("mean", "max", "positive_mean", "pool_max")},
        baselines=AxisBaselines(probe=figure(probe, 0.04), best_filter=figure(best, 0.045), svm=figure(probe, 0.05)),
        positives=positives,
        negatives=520 - positives,
        train_positives=4 * positives,
        reason=few if axis is None else None,
    )


def part(images, groups, *counts) -> PartCounts:
    return PartCounts(images=images, groups=groups, diagnoses=dict(zip(CLASSES, counts, strict=True)))


def matrix() -> AucMatrix:
    generator = np.random.default_rng(0)

    def auc(axis, concept):
        value = AXES[concept][0]
        if (axis, concept) == ("pigment_network", "globules"):
            return 0.661
        return nan if value is None else value if axis == concept else round(generator.uniform(0.35, 0.65), 3)

    return AucMatrix(concepts=tuple(AXES), auc=tuple(tuple(auc(a, b) for b in AXES) for a in AXES))


def evaluation() -> Evaluation:
    return made_evaluation(
        classes=CLASSES,
        cohort=CohortResult(
            source="isic2018",
            parts={
                "train": part(1658, 1601, 1210, 332, 116),
                "validation": part(416, 402, 303, 84, 29),
                "test": part(520, 505, 379, 104, 37),
            },
            grouped_by={"patient": 0, "lesion": 2104, "near-duplicate": 61, "none": 429},
        ),
        diagnosis={
            "plain": network(0.893, 0.842),
            "whitened": network(0.889, 0.836),
            "auxiliary": None,
            "difference": Estimate(-0.004, -0.012, 0.004, 520),
        },
        axes=AxesResult(
            purity={concept: purity(concept) for concept in AXES},
            mean=MeanPurity(
                axis_auc={name: figure(0.752, 0.02) for name in ("mean", "max", "positive_mean", "pool_max")},
                baselines=AxisBaselines(
                    probe=figure(0.784, 0.02), best_filter=figure(0.69, 0.02), svm=figure(0.779, 0.02)
                ),
            ),
            matrix=matrix(),
            similarity=ConceptSimilarity(
                intra={concept: figure(0.41, 0.03, POSITIVES[concept]) for concept in AXES},
                inter={a: {b: 0.41 if a == b else 0.1 for b in AXES} for a in AXES},
            ),
            subspaces={},
        ),
        whitening=WhiteningResult(
            layer="features.11",
            placement="insert",
            activation="pool_max",
            channels=384,
            residual=Residual(train=figure(0.0021, 0.0004), test=figure(0.084, 0.009)),
            insertion_change=3.1e-6,
        ),
    )


def explanation(*, planted=False) -> Explanation:
    importance = {
        target: made_importance(
            {concept: figure(ratio, 0.015 + 0.16 * abs(ratio - 1)) for concept, ratio in ratios.items()},
            null=BAND,
            unnamed=figure(0.44, 0.07),
        )
        for target, ratios in RATIOS.items()
    }
    truth = {t: {c: 1 + 1.1 * (r - 1) for c, r in rows.items()} for t, rows in RATIOS.items()}
    stability = {target: made_stability(list(result.ranked)) for target, result in importance.items()}
    checks = {
        target: {concept: made_check(figure(ratio), meaningless=ratio < 1.03) for concept, ratio in row.items()}
        for target, row in RATIOS.items()
    }
    return made_explanation(
        importance=importance,
        planted_importance=truth if planted else {},
        stability=stability | {"seborrheic_keratosis": None},
        sanity=made_sanity(checks, {concept: made_check(figure(auc or 0.5)) for concept, (auc, *_) in AXES.items()}),
        exemplars={concept: tuple(exemplar(concept, index) for index in range(6)) for concept in AXES},
        failures=FailuresResult(
            wrong=figure(0.2), confident=0.8, wrong_where_confident=figure(0.1, n=60), gallery=(failure(),)
        ),
    )


def failure() -> Failure:
    return Failure(
        image_id="ISIC_0000001",
        truth="melanoma",
        call="nevus",
        probability=0.93,
        probability_of_truth=0.05,
        concepts=tuple(FailedConcept(concept=concept, state="present", label=False) for concept in AXES),
        picture=exemplar("streaks", 0).picture,
    )


def exemplar(concept, index):
    present = Polarity.PRESENT
    marking = (present, present, Polarity.ABSENT, present, None, Polarity.UNMARKED)[index]
    return made_example(concept, index, marking=marking)


def draw_lesion(path, seed):
    generator = np.random.default_rng(seed)
    skin = tuple(int(value) for value in np.array([224, 180, 160]) * generator.uniform(0.7, 1.05))
    picture = Image.new("RGB", (224, 224), skin)
    centre, radius = generator.uniform(95, 125, 2), generator.uniform(45, 75)
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    reach = radius * (1 + 0.1 * np.sin(angles * 3 + seed))
    outline = [(centre[0] + r * np.cos(a), centre[1] + r * np.sin(a)) for a, r in zip(angles, reach, strict=True)]
    ImageDraw.Draw(picture).polygon(outline, fill=(96, 58, 44))
    picture.filter(ImageFilter.GaussianBlur(5)).save(path, quality=85)


def release(**names) -> Release:
    entries = [
        ConceptEntry(
            id=concept,
            name=names.get(concept, concept.replace("_", " ")),
            definition=f"A structure called {concept.replace('_', ' ')}, as dermoscopists define it.",
            origin=Origin.MEASURED if concept == "asymmetry" else Origin.MARKED,
            rule="overlap with its mirror image below 0.75 about both axes." if concept == "asymmetry" else None,
        )
        for concept in AXES
    ]
    examples = [
        Example(
            image_id=f"ISIC_{index:07d}",
            image_digest=sha256(str(index).encode()).hexdigest(),
            concept=concept,
            polarity=Polarity.PRESENT if index % 2 else Polarity.UNMARKED,
            provenance="task 2 masks",
        )
        for concept, index in product(AXES, range(4))
    ]
    examples.append(
        Example(
            image_id=exemplar("asymmetry", 2).image_id,
            image_digest=sha256(b"symmetric").hexdigest(),
            concept="asymmetry",
            polarity=Polarity.ABSENT,
            provenance="measured",
        )
    )
    return freeze(
        "isic2018-task2",
        1,
        concepts=entries,
        examples=examples,
        description="Masks of ISIC 2018 task 2 and measured asymmetry.",
        licence="CC-0",
        created=made_release().created,
    )


def record(frozen: Release) -> RunRecord:
    return made_record(
        digests={"data": "a" * 64, "split": "b" * 64, "release": frozen.digest},
        versions={"python": "3.11.9", "torch": "2.10.0", "monai": "1.6.1"},
        seconds={"plain": 611.2, "whitened": 140.9, "evaluation": 42.0, "explanation": 61.5},
        history={
            "plain": tuple(EpochFigures(epoch=e, macro_auc=0.7 + 0.03 * e, loss=1.0 / e) for e in range(1, 7)),
            "whitened": (EpochFigures(epoch=1, macro_auc=0.89, axis_auc=0.75, loss=0.31),),
        },
        best_epoch={"plain": 6, "whitened": 1},
        weights=LoadedWeights(
            file="mobilenet.safetensors",
            loaded=("conv.weight", "conv.bias"),
            dropped=("fc.weight",),
            missing=(),
        ),
    )


def make_run(folder: Path, *, planted=False, **names) -> RunFolder:
    """A run folder as a real one would be; keyword arguments rename concepts."""
    frozen = release(**names)
    results = made_results(
        evaluation(),
        explanation(planted=planted),
        record=record(frozen),
        release=frozen,
        settings=parse_overrides(["name=isic2018", "data.source=isic2018"]),
    )
    run = write_run(folder, results)
    for number, (concept, index) in enumerate(product(AXES, range(6))):
        draw_lesion(run.file(exemplar(concept, index).picture), number)
    return run


def rewrite(run, model, change):
    """Change the JSON of a result; what comes out must still be one."""
    content = run.read(model).model_dump(mode="json")
    change(content)
    run.write(model.model_validate(content))


def damage(run, name, change):
    """Change the JSON of a file, whatever comes out."""
    content = run.read_json(name)
    change(content)
    run.write_json(name, content)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("made") / "isic2018-20260101")


@pytest.fixture
def run(made, tmp_path):
    return RunFolder(Path(shutil.copytree(made.path, tmp_path / made.id)))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The page of a run in which names try to break out."""
    run = make_run(tmp_path_factory.mktemp("report") / "run", planted=True, globules=CANARY)
    rewrite(run, Evaluation, lambda content: content["cohort"].update(source=CANARY))
    rewrite(run, RunRecord, lambda content: content.update(command=f"dermaxis {CANARY}"))
    rewrite(run, Explanation, lambda content: content["exemplars"]["streaks"][0].update(image_id=CANARY))
    write_report(run)
    return run.file("report.html")


class Page(HTMLParser):
    """The page's elements, and the text of all but its style."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self._open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if "style" not in self._open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def read(path):
    return Page(path.read_text(encoding="utf-8"))


def leaves(tree):
    if isinstance(tree, dict):
        if {"value", "low", "high", "n"} <= tree.keys():
            return [tree]
        return [leaf for branch in tree.values() for leaf in leaves(branch)]
    return [leaf for branch in tree for leaf in leaves(branch)] if isinstance(tree, list) else []


def test_the_report_and_its_tables_are_written_and_nothing_else_is_left(run):
    before = {path.name for path in run.path.iterdir()}
    write_report(run)
    assert {path.name for path in run.path.iterdir()} - before == WRITTEN


def test_the_same_run_gives_the_same_bytes(run):
    write_report(run)
    first = {name: run.file(name).read_bytes() for name in WRITTEN}
    write_report(run)
    assert {name: run.file(name).read_bytes() for name in WRITTEN} == first


def test_every_estimate_is_in_the_figures_table_as_it_was_computed(run):
    write_report(run)
    with run.file("figures.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    expected = leaves(evaluation().model_dump(mode="json")) + leaves(explanation().model_dump(mode="json"))
    assert len(rows) == len(expected) == len({row["path"] for row in rows})
    by_path = {row["path"]: row for row in rows}
    macro = by_path["evaluation.diagnosis.whitened.auc.macro"]
    assert [float(macro[key]) for key in ("value", "low", "high", "n")] == [0.889, 0.859, 0.913, 520]
    assert by_path["evaluation.axes.purity.streaks.axis_auc.pool_max"]["value"] == ""


def test_every_diagnosis_and_concept_has_a_row_of_importance(run):
    write_report(run)
    with run.file("importance.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert {(row["diagnosis"], row["concept"]) for row in rows} == set(product(RATIOS, AXES))
    first = {row["diagnosis"]: row["concept"] for row in rows if row["rank"] == "1"}
    assert first["melanoma"] == "asymmetry"
    assert {row["concept"] for row in rows if row["axis"] == "not assessable"} == {"streaks"}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@cmd", "\tx", "\rx"])
def test_text_that_a_spreadsheet_would_run_is_inert_and_numbers_stay_numbers(text):
    written = io.StringIO(csv_text(("a", "b"), [(text, -0.5)]), newline="")
    assert list(csv.reader(written)) == [["a", "b"], ["'" + text, "-0.5"]]


def test_rows_name_the_path_of_each_estimate():
    written = {"value": 1.0, "low": 0.5, "high": 2.0, "n": 3}
    assert list(figure_rows({"a": {"b": written, "c": 4}, "d": [written]})) == [("a.b", 1.0, 0.5, 2.0, 3)]


def test_names_that_try_to_break_out_stay_text(hostile):
    page = read(hostile)
    assert not page.of("script")
    assert all(not attribute.startswith("on") for _, attributes in page.elements for attribute in attributes)
    assert page.text.count(CANARY) >= 4


def test_the_page_needs_nothing_but_itself(hostile):
    page = read(hostile)
    addresses = [each[key] for _, each in page.elements for key in ("src", "href", "action", "data") if key in each]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "url(" not in hostile.read_text(encoding="utf-8")
    assert "@import" not in hostile.read_text(encoding="utf-8")


def test_the_page_can_be_read_by_a_machine_that_reads_aloud(hostile):
    page = read(hostile)
    assert all(image["alt"].strip() for image in page.of("img"))
    assert len(page.of("table")) == len(page.of("caption"))
    charts = [each for each in page.of("svg") if each.get("class") == "chart"]
    assert charts
    assert all(chart["role"] == "img" for chart in charts)
    assert len(page.of("title")) == len(charts) + 1
    ids = [each["id"] for _, each in page.elements if "id" in each]
    assert len(ids) == len(set(ids))
    assert {each["aria-labelledby"] for _, each in page.elements if "aria-labelledby" in each} <= set(ids)
    assert {each["href"][1:] for each in page.of("a")} <= set(ids)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= sooner + 1 for sooner, later in pairwise(levels))


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(colour, other):
    low, high = sorted((luminance(colour), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def mixed(colour, other, amount):
    pairs = [(int(colour[at : at + 2], 16), int(other[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(a * amount + b * (1 - amount)):02x}" for a, b in pairs)


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_text_and_marks_have_the_contrast_that_wcag_asks_for(mode):
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", re.findall(r":root \{(.*?)\}", style, re.DOTALL)[mode]))
    for text, ground in product(("ink", "soft", "accent", "grey", "good", "weak", "none"), ("paper", "panel")):
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for mark in ("accent", "grey", "faint", "warm", "reference"):
        assert contrast(colours[mark], colours["paper"]) >= 3, mark
    for tint in ("accent", "warm"):
        assert contrast(colours["ink"], mixed(colours[tint], colours["paper"], 0.5)) >= 4.5, tint


def test_a_concept_that_cannot_be_assessed_gets_a_reason_and_no_figure(run):
    write_report(run)
    text = read(run.file("report.html")).text
    assert run.read(Evaluation).verdict("streaks") is AxisVerdict.NOT_ASSESSABLE
    assert "Not assessable (48 training positives, fewer than the 60" in text
    assert "nan" not in text.lower().split()
    assert "AUC, streaks" not in text
    assert "streaks                not assessable" not in terminal_table(run)
    assert re.search(r"streaks +not assessable$", terminal_table(run), re.MULTILINE)


def test_an_axis_that_answers_to_another_concept_is_named(run):
    matrix = run.read(Evaluation).axes.matrix
    assert matrix.rival("globules") == "pigment_network"
    assert matrix.rival("asymmetry") is None
    page = render(read_results(run), run.path)
    assert page.count("answers to this concept more strongly") == 1
    assert "The axis of pigment network answers to this concept more strongly (AUC 0.661)" in page


def test_not_marked_is_told_from_absent_and_unknown(run):
    write_report(run)
    words = [strong for strong in MARKINGS.values() if strong in read(run.file("report.html")).text]
    assert len(words) == 4
    markings = [example.marking for example in read_results(run).explanation.exemplars["asymmetry"]]
    present, absent, unmarked = Polarity.PRESENT, Polarity.ABSENT, Polarity.UNMARKED
    assert markings == [present, present, absent, present, None, unmarked]


@pytest.mark.parametrize("planted", [True, False])
def test_planted_truth_is_drawn_only_where_it_is_known(run, planted):
    run.write(explanation(planted=planted))
    write_report(run)
    page = read(run.file("report.html"))
    drawn = [each for each in page.of("path") if each.get("class") == "planted"]
    assert len(drawn) == planted * len(RATIOS) * len(AXES)
    assert ("planted: what the rule" in page.text) is planted


def test_several_layers_are_shown_in_the_order_of_the_network(run):
    assert "From low to high layers" not in render(read_results(run), run.path)
    aucs = {concept: figure(0.731, 0.03) for concept in AXES}
    layers = {
        name: LayerResult(axis_auc=aucs, mean=figure(mean, 0.02))
        for name, mean in (("features.4", 0.672), ("features.11", 0.752))
    }
    measured = run.read(Evaluation)
    whitening = measured.whitening.model_copy(update={"layers": layers})
    run.write(measured.model_copy(update={"whitening": whitening}))
    page = render(read_results(run), run.path)
    assert page.index("features.4</th>") < page.index("features.11</th>")
    assert "0.672" in page


def test_a_subspace_is_shown_with_its_children_and_what_leaks(run):
    page = render(read_results(run), run.path)
    assert "Inside " not in page
    parent, *children, outside = list(AXES)[:4]
    told = {"sibling_auc": figure(0.913, 0.04, 60), "parent_axis_auc": figure(0.524, 0.06, 60)}
    subspace = SubspacePurity(
        free=2,
        children={
            children[0]: ChildPurity(**told, positives=31, negatives=29, reason=None),
            children[1]: ChildPurity(
                sibling_auc=UNKNOWN, parent_axis_auc=UNKNOWN, positives=3, negatives=9, reason="3 positives"
            ),
        },
        leak=SubspaceLeak(concept=outside, axis="free axis 1", auc=figure(0.617, 0.05), pairs=15),
    )
    measured = run.read(Evaluation)
    axes = measured.axes.model_copy(update={"subspaces": {parent: subspace}})
    run.write(measured.model_copy(update={"axes": axes}))
    report = read_results(run)
    page = render(report, run.path)
    assert "owns 5 axes" in page
    assert "0.913" in page
    assert "Told from its siblings by its own axis beyond chance" in page
    assert "is not shown to answer to the difference" in page
    assert "Not assessable inside the parent: 3 positives." in page
    assert "Of 15 pairs of an axis" in page
    assert "free axis 1" in page
    assert "0.617" in page
    rows = {path for path, *_ in figure_rows({"evaluation": run.read(Evaluation).model_dump(mode="json")})}
    assert f"evaluation.axes.subspaces.{parent}.children.{children[0]}.sibling_auc" in rows


def test_a_flag_that_was_raised_at_freezing_travels_into_the_report(run):
    release = read_release(run.file("release.json"))
    flag = "agreement 0.31 is below 0.60 (88 images, 3 readers)."
    entry = {"concept": "streaks", "measure": "gwet_ac1", "value": 0.31, "low": 0.2, "high": 0.42}
    entry |= {"n": 88, "readers": 3, "threshold": 0.6, "flag": flag}
    fields = release.model_dump() | {"agreement": [entry]}
    write_release(Release.model_validate(fields), run.file("release.json"))
    page = render(read_results(run), run.path)
    assert page.count(flag) == 1


def test_further_baselines_are_shown_only_where_they_were_measured(run):
    page = render(read_results(run), run.path)
    assert "Support vector probe" in page
    assert "without whitening" not in page
    assert "TCAV" not in page

    def change(content):
        content["diagnosis"]["auxiliary"] = network(0.871, 0.828).model_dump(mode="json")
        for concept in (*content["axes"]["purity"].values(), content["axes"]["mean"]):
            concept["baselines"]["concept_head"] = figure(0.777, 0.03)

    rewrite(run, Evaluation, change)
    score = TcavScore(share=figure(0.912, 0.04, 104), null=Band(low=0.2, high=0.7))
    run.write(run.read(Explanation).model_copy(update={"tcav": {"melanoma": {"streaks": score}}}))
    page = render(read_results(run), run.path)
    assert "without whitening, a network reaches a macro AUC of 0.871" in page
    assert page.count("0.777") == 1 + sum(axis is not None for axis, *_ in AXES.values())
    assert "0.91" in page
    assert "0.20 to 0.70" in page


def test_a_run_without_free_axes_or_with_a_diagnosis_that_cannot_be_assessed_is_reported(run):
    def change(content):
        unknown = {"ratio": UNKNOWN, "rank": None, "null": {"low": None, "high": None}}
        for target in content["importance"].values():
            target["concepts"]["streaks"] = unknown
        content["importance"]["melanoma"]["unnamed_share"] = UNKNOWN

    rewrite(run, Explanation, change)
    write_report(run)
    ranked = read_results(run).explanation.importance["overall"].ranked
    assert list(ranked)[-1] == "streaks"
    assert not ranked["streaks"].stands_out
    assert "nan" not in run.file("importance.csv").read_text(encoding="utf-8").lower()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("evaluation.json", ("diagnosis", "whitened", "auc")),
        ("evaluation.json", ("axes", "purity", "streaks", "baselines", "probe")),
        ("explanation.json", ("importance", "melanoma", "unnamed_share")),
        ("explanation.json", ("sanity", "purity_permuted_labels")),
        ("explanation.json", ("shortcuts", "named")),
        ("explanation.json", ("stability",)),
        ("explanation.json", ("failures", "gallery")),
        ("run.json", ("versions",)),
    ],
)
def test_what_is_missing_is_named_with_its_file_and_nothing_is_written(run, name, path):
    def change(content):
        for key in path[:-1]:
            content = content[key]
        del content[path[-1]]

    damage(run, name, change)
    with pytest.raises(RunError, match=rf"{name}.*{path[-1]}") as caught:
        write_report(run)
    assert "\n" not in str(caught.value)
    assert not run.has("report.html")
    assert not run.has("figures.csv")


@pytest.mark.parametrize(
    ("picture", "reason"),
    [("exemplars/none.jpg", "missing"), ("../outside.jpg", "outside"), ("settings.yaml", "neither JPEG nor PNG")],
)
def test_pictures_that_cannot_be_shown_are_refused(run, picture, reason):
    run.path.with_name("outside.jpg").write_bytes(b"\xff\xd8\xff")
    rewrite(run, Explanation, lambda content: content["exemplars"]["globules"][0].update(picture=picture))
    with pytest.raises(RunError, match=reason):
        write_report(run)
    assert not run.has("report.html")


def test_a_concept_that_is_not_in_the_release_is_refused(run):
    rewrite(
        run,
        Evaluation,
        lambda content: content["axes"]["purity"].update(veil=content["axes"]["purity"]["streaks"]),
    )
    with pytest.raises(RunError, match="'veil' is not in the run's release"):
        read_results(run)


def test_the_model_facts_stand_alone_and_hold_the_reports_own_figures(run):
    write_report(run)
    alone, facts = read(run.file("model_facts.html")), run.read(ModelFacts)
    figures = {fact.name: fact.figure for fact in facts.figures}
    diagnosis = read_results(run).evaluation.diagnosis
    assert figures["macro AUC"] == diagnosis.whitened.auc["macro"]
    assert figures["AUC, melanoma"] == diagnosis.whitened.auc["melanoma"]
    assert figures["sensitivity at 80 % specificity, melanoma"] == figure(0.74, 0.06)
    assert figures["balanced accuracy"] == diagnosis.whitened.balanced_accuracy
    assert figures["macro AUC minus that of the plain network"] == diagnosis.difference
    assert len(figures) == 4 + 2 * len(CLASSES)
    assert "not a medical device" in alone.text
    assert "Skin tones of the patients are not known" in alone.text
    assert not alone.of("script")
    assert not [each for each in alone.of("a") if not each["href"].startswith("#")]
    report = read(run.file("report.html")).text
    assert facts.caution in report
    assert facts.what_it_is in report


def test_a_checklist_item_is_answered_from_the_run_or_said_not_to_be(run):
    write_report(run)
    checklists = run.read(ChecklistAnswers).checklists
    by_number = {item.number: item for item in checklists["claim_2024"].items}
    assert by_number["23"].answer == "python 3.11.9, torch 2.10.0, monai 1.6.1."
    assert (by_number["44"].status, by_number["44"].answer) == (AnswerStatus.OPEN, "")
    assert by_number["18"].status is AnswerStatus.OPEN, "these examples come from no readers"
    assert by_number["39"].answer.startswith("The call is wrong in 20")
    items = [item for checklist in checklists.values() for item in checklist.items]
    assert all((item.status is AnswerStatus.OPEN) == (not item.answer) for item in items)
    text = read(run.file("report.html")).text
    for checklist in checklists.values():
        counts = ", ".join(f"{checklist.count(status)} {status}" for status in AnswerStatus)
        assert f"{checklist.name}: {counts}" in text
        assert sum(map(checklist.count, AnswerStatus)) == len(checklist.items)


CHROMIUM = Path("/usr/bin/chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_the_page_whole_quietly_and_without_a_network(hostile, width, scheme):
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: the report was NOT looked at in a browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.set_default_timeout(120_000)
        messages, asked = [], []
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(hostile.as_uri())
        page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.images].every(one => one.naturalWidth > 0)")
        assert page.evaluate("window.canary") is None
        assert messages == []
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        flat = page.evaluate("[...document.querySelectorAll('svg.chart')].filter(one => one.clientHeight < 14).length")
        assert flat == 0
        browser.close()
