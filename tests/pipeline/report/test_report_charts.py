"""Charts: what is drawn lies where the numbers say, and nothing is drawn for what is not known."""

import re
from itertools import pairwise
from math import nan
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concepts.statistics.estimate import Estimate
from pipeline.report.pages.charts import MARGIN, Dot, Scale, auc_scale, axis, ratio_scale, share_bar, strip
from pipeline.report.pages.report import shade

NAN = float("nan")
LINEAR = Scale(0.5, 1.0, (0.5, 0.75, 1.0), 0.5)
LOGARITHMIC = Scale(0.5, 8.0, (0.5, 1.0, 2.0, 4.0, 8.0), 1.0, logarithmic=True)
FIGURE = Estimate(0.75, 0.7, 0.8, 520)


def shapes(svg, name, style):
    return [element for element in ElementTree.fromstring(svg).iter(name) if style in element.get("class", "").split()]


def percent(element, key):
    return float(element.get(key).rstrip("%"))


def test_the_ends_and_the_middle_of_an_axis_are_where_they_belong():
    assert [LINEAR.position(value) for value in (0.5, 0.75, 1.0)] == pytest.approx([MARGIN, 50, 100 - MARGIN])
    steps = [LOGARITHMIC.position(value) for value in LOGARITHMIC.ticks]
    assert [b - a for a, b in pairwise(steps)] == pytest.approx([(100 - 2 * MARGIN) / 4] * 4)


@settings(max_examples=50, deadline=None)
@given(st.floats(-10, 10), st.floats(-10, 10))
def test_positions_keep_the_order_of_values_and_stay_inside(first, second):
    for scale in (LINEAR, LOGARITHMIC):
        low, high = scale.position(min(first, second)), scale.position(max(first, second))
        assert MARGIN - 1e-9 <= low <= high <= 100 - MARGIN + 1e-9


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.02, 500), min_size=1, max_size=12))
def test_a_ratio_axis_holds_every_value_and_one_and_its_labels_do_not_touch(values):
    scale = ratio_scale(values)
    assert all(scale.holds(value) for value in (1.0, *values))
    assert 1.0 in scale.ticks
    places = [scale.position(tick) for tick in scale.ticks]
    assert all(b - a > 6 for a, b in pairwise(places))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_an_auc_axis_holds_every_interval_and_chance(lows):
    scale = auc_scale([Estimate(low, low, 1.0, 9) for low in lows])
    assert all(scale.holds(value) for value in (0.5, 1.0, *lows))
    assert len(scale.ticks) <= 7


def test_a_dot_and_its_interval_lie_where_the_estimate_says():
    svg = strip([Dot(FIGURE, "accent", "axis")], LINEAR, title="AUC")
    (dot,), (line,) = shapes(svg, "circle", "accent"), shapes(svg, "line", "accent")
    assert percent(dot, "cx") == pytest.approx(LINEAR.position(0.75), abs=0.01)
    ends = [percent(line, "x1"), percent(line, "x2")]
    assert ends == pytest.approx([LINEAR.position(0.7), LINEAR.position(0.8)], abs=0.01)


def test_nothing_is_drawn_for_what_is_not_known():
    svg = strip([Dot(Estimate(NAN, NAN, NAN, 3), "accent", "axis")], LINEAR, title="AUC", band=(NAN, NAN), planted=NAN)
    assert not shapes(svg, "circle", "dot")
    assert not shapes(svg, "rect", "band")
    assert not shapes(svg, "path", "planted")
    assert "not assessable" in svg
    assert share_bar(Estimate(NAN, NAN, NAN, 3), title="share") == ""


def test_the_band_and_the_planted_truth_lie_where_they_should():
    svg = strip([Dot(FIGURE, "plain", "ratio")], LOGARITHMIC, title="r", band=(1.0, 2.0), planted=4.0)
    (band,) = shapes(svg, "rect", "band")
    assert percent(band, "x") == pytest.approx(LOGARITHMIC.position(1.0), abs=0.01)
    assert percent(band, "width") == pytest.approx(LOGARITHMIC.position(2.0) - LOGARITHMIC.position(1.0), abs=0.02)
    (holder,) = [element for element in ElementTree.fromstring(svg).iter("svg") if element.get("overflow")]
    assert percent(holder, "x") == pytest.approx(LOGARITHMIC.position(4.0), abs=0.01)


def test_dots_of_one_strip_do_not_lie_on_each_other():
    svg = strip([Dot(FIGURE, style, style) for style in ("accent", "plain", "faint")], LINEAR, title="AUC")
    moves = [element.get("transform") for element in shapes(svg, "circle", "dot")]
    offsets = [float(re.search(r" (-?[\d.]+)\)", move)[1]) for move in moves]
    assert len(set(offsets)) == 3
    assert sum(offsets) == pytest.approx(0)


def test_a_bar_is_as_long_as_its_share():
    svg = share_bar(Estimate(0.25, 0.2, 0.3, 520), title="share")
    (whole,), (part,) = shapes(svg, "rect", "whole"), shapes(svg, "rect", "part")
    assert percent(part, "width") / percent(whole, "width") == pytest.approx(0.25, abs=0.001)


def test_every_chart_says_what_it_shows_and_escapes_names():
    for svg in (strip([Dot(FIGURE, "accent", "<axis>")], LINEAR, title="a < b & c"), axis(LINEAR, title="a < b & c")):
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert root.findtext("title") == "a < b & c"
        assert root.findtext("desc")
    assert "0.750, 95 % interval 0.700 to 0.800, n = 520" in strip([Dot(FIGURE, "a", "x")], LINEAR, title="t")


def test_cells_are_shaded_by_their_distance_from_chance():
    assert [shade(auc) for auc in (0.5, 1.0, 0.0, 0.75, nan)] == [0, 50, -50, 25, 0]
