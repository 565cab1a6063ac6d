"""Sentences and charts about importance: they say what the interval allows, and no more."""

import math
from xml.etree import ElementTree

import pytest

from concepts.example import Polarity
from concepts.statistics.estimate import Estimate
from pipeline.report.pages.charts import RatioCharts
from pipeline.report.sentences import importance
from pipeline.report.sentences.numerals import plain_text
from pipeline.results.axes import AxisVerdict
from pipeline.results.importance import OVERALL, AxisExample, AxisImportance, TargetImportance, ordered_targets
from pipeline.results.names import Names
from pipeline.results.result import Band

UNKNOWN = Estimate(math.nan, math.nan, math.nan, 12)
SHARE = Estimate(0.44, 0.37, 0.5, 520)
NAMES = Names({"veil": "blue-whitish veil"})


def axis(value, low, high, *, null_high=1.034, rank=1):
    return AxisImportance(
        ratio=Estimate(value, low, high, 520), rank=rank, null=Band(low=min(null_high, 0.992), high=null_high)
    )


def result(share=SHARE, **axes):
    return TargetImportance(concepts=axes, unnamed_share=share)


def outstanding(target=OVERALL, verdict=AxisVerdict.RELIABLE, **axes):
    return plain_text(importance.outstanding(target, result(**axes), NAMES, lambda concept: verdict))


def test_the_first_axis_is_named_and_those_that_cannot_be_told_from_it():
    sentence = outstanding(
        "melanoma",
        globules=axis(1.45, 1.35, 1.5),
        asymmetry=axis(1.52, 1.42, 1.6),
        streaks=axis(1.2, 1.1, 1.3),
        veil=axis(1.02, 0.99, 1.05),
    )
    assert sentence.startswith("For melanoma, of the named axes the network used that of asymmetry most:")
    assert "with it permuted, the loss is 1.52 (95 % interval 1.42 to 1.60, n = 520)" in sentence
    assert "Also above the band of single unnamed axes: globules and streaks." in sentence
    assert sentence.endswith("The intervals do not tell the first from globules.")
    assert "veil" not in sentence


def test_an_axis_that_is_clearly_first_is_not_said_to_be_confused_with_others():
    sentence = outstanding(streaks=axis(1.2, 1.1, 1.3), asymmetry=axis(1.52, 1.42, 1.6))
    assert sentence.startswith("Over all diagnoses, of the named axes")
    assert sentence.endswith("Also above the band of single unnamed axes: streaks.")
    assert "Also" not in outstanding(asymmetry=axis(1.52, 1.42, 1.6))


@pytest.mark.parametrize(("high", "told"), [(1.42, False), (1.419, True)])
def test_axes_are_told_apart_where_their_intervals_do_not_touch(high, told):
    sentence = outstanding(streaks=axis(1.3, 1.2, high), asymmetry=axis(1.52, 1.42, 1.6))
    assert ("do not tell the first" not in sentence) is told


@pytest.mark.parametrize(
    ("low", "null_high", "stands_out"),
    [
        (1.05, 1.03, True),
        (1.02, 1.03, False),
        (1.03, 1.03, False),
        (1.01, math.nan, True),
        (1.0, math.nan, False),
        (0.99, math.nan, False),
        (0.995, 0.99, False),
        (math.nan, 1.03, False),
    ],
)
def test_an_axis_stands_out_only_above_both_one_and_the_band(low, null_high, stands_out):
    globules = axis(1.1, low, 1.2, null_high=null_high)
    assert globules.stands_out is stands_out
    assert ("no named axis is shown to matter more" in outstanding(globules=globules)) is not stands_out


def test_an_axis_that_is_not_reliable_is_not_said_to_be_its_concept():
    axes = {"globules": axis(1.5, 1.4, 1.6)}
    assert "weak, so this need not be the concept itself" in outstanding(verdict=AxisVerdict.WEAK, **axes)
    assert "not assessable, so this need not" in outstanding(verdict=AxisVerdict.NOT_ASSESSABLE, **axes)
    assert "need not" not in outstanding(**axes)


def test_the_verdict_is_that_of_the_first_axis():
    verdicts = {"globules": AxisVerdict.WEAK, "veil": AxisVerdict.RELIABLE}
    both = result(globules=axis(1.5, 1.4, 1.6), veil=axis(1.7, 1.6, 1.8))
    sentence = importance.outstanding(OVERALL, both, NAMES, verdicts.__getitem__)
    assert "that of blue-whitish veil most" in sentence
    assert "weak" not in sentence


def test_the_unnamed_share_is_said_with_its_interval_or_not_at_all():
    sentence = plain_text(importance.unnamed_share("melanoma", result(), NAMES))
    assert sentence.startswith("Unnamed axes carry 44 % (95 % interval 37 to 50 %, n = 520) of what the layer")
    assert "contributes to melanoma:" in sentence
    assert "contributes:" in importance.unnamed_share(OVERALL, result(), NAMES)
    assert "not assessable" in importance.unnamed_share(OVERALL, result(share=UNKNOWN), NAMES)


@pytest.mark.parametrize(
    ("marking", "text"),
    [
        (Polarity.PRESENT, "blue-whitish veil is present."),
        (Polarity.ABSENT, "blue-whitish veil is absent."),
        (Polarity.UNMARKED, "blue-whitish veil was not marked."),
        (None, "whether blue-whitish veil is present is not known."),
    ],
)
def test_a_picture_says_what_is_known_of_the_concept_in_it(marking, text):
    example = AxisExample(
        image_id="a", activation=1.0, percentile=99.84, marking=marking, diagnosis="nevus", picture="a.jpg"
    )
    assert importance.picture_text(example, NAMES, "veil") == f"Test image a, diagnosis melanocytic nevus; {text}"
    assert importance.percentile(example) == "percentile 99.8"
    assert len(set(importance.MARKINGS.values())) == 4
    assert ("absent" in importance.MARKINGS[marking]) is (marking is Polarity.ABSENT)


def test_all_diagnoses_together_come_first_and_the_others_as_they_are():
    assert ordered_targets({"nevus": result(), "melanoma": result(), OVERALL: result()}) == [
        OVERALL,
        "nevus",
        "melanoma",
    ]


def test_axes_are_listed_by_rank_and_those_without_one_last():
    axes = {"a": axis(1, 1, 1, rank=None), "b": axis(1, 1, 1, rank=2), "c": axis(2, 2, 2, rank=1)}
    assert list(result(**axes).ranked) == ["c", "b", "a"]
    assert result(**axes).ranked["b"] is axes["b"]


def strip_of(charts, target, concept):
    return ElementTree.fromstring(charts.strip(target, concept))


def drawn(svg, name, style):
    return [element for element in svg.iter(name) if style in element.get("class", "").split()]


def test_a_strip_is_of_its_own_axis_and_accented_where_it_stands_out():
    panels = {
        OVERALL: result(streaks=axis(1.6, 1.5, 1.7), veil=axis(1.0, 0.9, 1.1)),
        "nevus": result(streaks=axis(1.0, 0.9, 1.1), veil=axis(UNKNOWN.value, math.nan, math.nan, null_high=math.nan)),
    }
    charts = RatioCharts(panels, {"nevus": {"streaks": 1.2}}, NAMES)
    (dot,) = drawn(strip_of(charts, OVERALL, "streaks"), "circle", "dot")
    assert "accent" in dot.get("class")
    svg = strip_of(charts, "nevus", "streaks")
    assert "accent" not in drawn(svg, "circle", "dot")[0].get("class")
    assert len(drawn(svg, "path", "planted")) == 1
    assert len(drawn(svg, "rect", "band")) == 1
    assert "Importance of blue-whitish veil, all diagnoses" in str(charts.strip(OVERALL, "veil"))
    unknown = strip_of(charts, "nevus", "veil")
    assert not drawn(unknown, "circle", "dot")
    assert not drawn(unknown, "rect", "band")
    assert not drawn(unknown, "path", "planted")
    assert charts.has_planted
    assert "Share of unnamed axes, melanocytic nevus" in charts.unnamed("nevus")
    assert "logarithmic" in charts.axis


def test_one_scale_holds_every_ratio_band_and_planted_truth():
    panels = {OVERALL: result(streaks=axis(1.2, 1.1, 1.3)), "nevus": result(streaks=axis(2.0, 1.5, 8.0))}
    charts = RatioCharts(panels, {OVERALL: {"streaks": 0.4}}, NAMES)
    assert drawn(strip_of(charts, OVERALL, "streaks"), "path", "planted")
    (line,) = drawn(strip_of(charts, "nevus", "streaks"), "line", "line")
    assert float(line.get("x2").rstrip("%")) < 97
    assert not RatioCharts(panels, {}, NAMES).has_planted
