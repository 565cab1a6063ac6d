"""Dots, intervals and bands as inline SVG: numbers in, a string out.

A forest plot is a table whose every row holds one strip; strips have no width of their own (positions are percent), so
one drawing serves a phone, a screen and paper. Colours are CSS variables of the page, so that the dark mode is its own.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from concepts.statistics.estimate import Estimate, is_known
from pipeline.report.sentences.numerals import number
from pipeline.results.importance import OVERALL, TargetImportance
from pipeline.results.names import Names
from pipeline.results.trust import NullCheck, SanityResult

LOG_TICKS = (0.1, 0.2, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0)
MARGIN = 3.0
LANE = 14
TICK_GAP = 0.075
"""Least distance between two labels of a logarithmic axis, as a share of it."""


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic axis.

    Attributes:
        low: Left end.
        high: Right end, above ``low``.
        ticks: Where lines and labels are.
        reference: Where the line of no effect is.
        logarithmic: Whether equal ratios have equal lengths; then ``low`` is above 0.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    reference: float
    logarithmic: bool = False

    def position(self, value: float) -> float:
        """Give percent from the left, within the axis even for what lies outside it."""
        low, high, at = (self._coordinate(x) for x in (self.low, self.high, min(max(value, self.low), self.high)))
        return MARGIN + (100 - 2 * MARGIN) * (at - low) / (high - low)

    def holds(self, value: float) -> bool:
        """Say whether a value lies on the axis."""
        return self.low <= value <= self.high

    def _coordinate(self, value: float) -> float:
        return math.log(value) if self.logarithmic else value


@dataclass(frozen=True)
class Dot:
    """One estimate on a strip.

    Attributes:
        figure: Drawn as a dot with its interval; nothing where it is not known.
        style: CSS class: ``accent``, ``plain`` or ``faint``.
        name: What it is, for the description.
    """

    figure: Estimate
    style: str
    name: str


def auc_scale(figures: Iterable[Estimate]) -> Scale:
    """Make an axis from 0.5 or lower, as the figures need, to 1, with the line of no effect at 0.5."""
    lowest = min([0.5, *(figure.low for figure in figures if is_known(figure))])
    low = math.floor(lowest * 10 + 1e-9) / 10
    ticks = tuple(round(low + step / 10, 1) for step in range(round((1 - low) * 10) + 1))
    return Scale(low, 1.0, ticks if len(ticks) <= 6 else ticks[:: len(ticks) // 6 + 1], 0.5)


def ratio_scale(values: Iterable[float]) -> Scale:
    """Make a logarithmic axis that holds all the values and 1; at most seven ticks, 1 among them."""
    drawable = [value for value in values if value == value and value > 0]
    low, high = min([0.95, *drawable]) * 0.98, max([1.25, *drawable]) * 1.02
    ticks = [tick for tick in LOG_TICKS if low <= tick <= high]
    least = TICK_GAP * math.log(high / low)
    spaced = [1.0]
    for tick in ticks:
        if all(abs(math.log(tick / other)) >= least for other in spaced):
            spaced.append(tick)
    return Scale(low, high, tuple(sorted(spaced)), 1.0, logarithmic=True)


def strip(
    dots: Sequence[Dot],
    scale: Scale,
    *,
    title: str,
    band: tuple[float, float] | None = None,
    planted: float | None = None,
) -> str:
    """Draw one row of a forest plot: dots with their intervals, one below the other.

    Args:
        dots: What is drawn.
        scale: The axis.
        title: What the row is about.
        band: Ends of a shaded band, e.g. of the free axes.
        planted: Where a known truth is; a hollow diamond below the dots.

    Returns:
        An SVG that fills its box; leave `LANE` pixels for each dot and for a planted truth.
    """
    lanes = len(dots) + (planted is not None)
    offsets = [LANE * (lane - (lanes - 1) / 2) for lane in range(lanes)]
    shapes = [_band(band, scale), _grid(scale)]
    shapes += [_dot(dot, scale, offset) for dot, offset in zip(dots, offsets, strict=False)]
    shapes.append(_diamond(planted, scale, offsets[-1] if offsets else 0.0))
    figures = "; ".join(f"{dot.name} {_words(dot.figure)}" for dot in dots)
    truth = "" if planted is None else f"; planted {number(planted)}"
    return _svg("".join(shapes), "100%", title=title, description=figures + truth)


def axis(scale: Scale, *, title: str) -> str:
    """Draw the labels under a column of strips."""
    labels = "".join(
        f'<text class="tick" x="{scale.position(tick):.2f}%" y="13" text-anchor="middle">{_label(tick)}</text>'
        for tick in scale.ticks
    )
    ends = f"from {_label(scale.ticks[0])} to {_label(scale.ticks[-1])}"
    return _svg(labels, "18", title=title, description=ends)


def share_bar(figure: Estimate, *, title: str) -> str:
    """Draw a share of a whole as a bar, with its interval as a line."""
    if not is_known(figure):
        return ""
    scale = Scale(0.0, 1.0, (0.0, 1.0), 0.0)
    start, end = scale.position(0.0), scale.position(figure.value)
    frame = f'<rect class="whole" x="{start}%" y="4" width="{100 - 2 * MARGIN}%" height="14"/>'
    part = f'<rect class="part" x="{start}%" y="4" width="{end - start:.2f}%" height="14"/>'
    line = _line(scale, figure.low, figure.high, offset=0, style="whisker")
    return _svg(frame + part + line, "22", title=title, description=_words(figure))


class RatioCharts:
    """The strips of importance, all on one axis so that panels can be compared.

    Args:
        importance: By target.
        planted: On a phantom, by target and concept, the ratio that its rule implies.
        names: Of concepts and diagnoses.

    Attributes:
        axis: Labels of the axis.
        has_planted: Whether there is a planted truth to draw.
    """

    def __init__(
        self,
        importance: Mapping[str, TargetImportance],
        planted: Mapping[str, Mapping[str, float]],
        names: Names,
    ) -> None:
        self._importance, self._planted, self._names = importance, planted, names
        measured = [row for result in importance.values() for row in result.concepts.values()]
        ends = [end for row in measured for end in (row.ratio.low, row.ratio.high, row.null.low, row.null.high)]
        self._scale = ratio_scale([*ends, *(ratio for row in planted.values() for ratio in row.values())])
        self.axis = Markup(axis(self._scale, title="loss ratio, logarithmic axis"))
        self.has_planted = bool(planted)

    def strip(self, target: str, concept: str) -> Markup:
        """Draw the importance of a concept for a diagnosis, or overall."""
        axis = self._importance[target].concepts[concept]
        dot = Dot(axis.ratio, "accent" if axis.stands_out else "plain", "ratio")
        title = f"Importance of {self._names.concept(concept)}, {self._names.target(target)}"
        band, planted = (axis.null.low, axis.null.high), self._planted.get(target, {}).get(concept)
        return Markup(strip([dot], self._scale, title=title, band=band, planted=planted))

    def unnamed(self, target: str) -> Markup:
        """Draw the share of the unnamed axes as a bar."""
        title = f"Share of unnamed axes, {self._names.target(target)}"
        return Markup(share_bar(self._importance[target].unnamed_share, title=title))


class SanityCharts:
    """The strips of axis AUC and importance of each concept, with what is left under randomisation.

    Args:
        sanity: All checks.
        names: Of concepts.

    Attributes:
        auc_axis: Labels of the axis of AUCs.
        ratio_axis: Labels of the axis of ratios.
    """

    def __init__(self, sanity: SanityResult, names: Names) -> None:
        self._weights = sanity.importance_randomised_weights[OVERALL]
        self._labels = sanity.importance_permuted_labels[OVERALL]
        self._sanity, self._names = sanity, names
        purity = sanity.purity_permuted_labels.values()
        self._auc = auc_scale(figure for check in purity for figure in (check.figure, check.null))
        ratios = [*self._weights.values(), *self._labels.values()]
        self._ratio = ratio_scale(
            end for check in ratios for figure in (check.figure, check.null) for end in (figure.low, figure.high)
        )
        self.auc_axis = Markup(axis(self._auc, title="AUC, axis"))
        self.ratio_axis = Markup(axis(self._ratio, title="loss ratio, logarithmic axis"))

    def purity(self, concept: str) -> Markup:
        """Draw the axis AUC, and that of axes of permuted labels."""
        check = self._sanity.purity_permuted_labels[concept]
        dots = [self._figure(check, check.meaningless, "axis"), Dot(check.null, "faint", "permuted labels")]
        return Markup(strip(dots, self._auc, title=f"Axis AUC under permuted labels, {self._names.concept(concept)}"))

    def importance(self, concept: str) -> Markup:
        """Draw the importance over all diagnoses, under permuted labels, and under randomised weights."""
        weights, labels = self._weights[concept], self._labels[concept]
        dots = [
            self._figure(weights, self._sanity.is_meaningless(OVERALL, concept), "importance"),
            Dot(labels.null, "faint", "permuted labels"),
            Dot(weights.null, "faint", "randomised weights"),
        ]
        return Markup(strip(dots, self._ratio, title=f"Importance under randomisation, {self._names.concept(concept)}"))

    def _figure(self, check: NullCheck, meaningless: bool | None, name: str) -> Dot:
        return Dot(check.figure, "accent" if meaningless is False else "plain", name)


def _svg(shapes: str, height: str, *, title: str, description: str) -> str:
    words = f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
    return f'<svg class="chart" role="img" width="100%" height="{height}">{words}{shapes}</svg>'


def _grid(scale: Scale) -> str:
    lines = []
    for tick in sorted({*scale.ticks, scale.reference}):
        x, style = scale.position(tick), "reference" if tick == scale.reference else "grid"
        lines.append(f'<line class="{style}" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="100%"/>')
    return "".join(lines)


def _band(band: tuple[float, float] | None, scale: Scale) -> str:
    if band is None or any(end != end for end in band):
        return ""
    start, end = scale.position(band[0]), scale.position(band[1])
    return f'<rect class="band" x="{start:.2f}%" y="0" width="{max(end - start, 0.4):.2f}%" height="100%"/>'


def _dot(dot: Dot, scale: Scale, offset: float) -> str:
    if not is_known(dot.figure):
        return ""
    x = scale.position(dot.figure.value)
    line = _line(scale, dot.figure.low, dot.figure.high, offset=offset, style=f"line {dot.style}")
    return f'{line}<circle class="dot {dot.style}" cx="{x:.2f}%" cy="50%" r="4.5" transform="translate(0 {offset:g})"/>'


def _line(scale: Scale, low: float, high: float, *, offset: float, style: str) -> str:
    start, end = scale.position(low), scale.position(high)
    ends = f'x1="{start:.2f}%" x2="{end:.2f}%" y1="50%" y2="50%"'
    return f'<line class="{style}" {ends} transform="translate(0 {offset:g})"/>'


def _diamond(value: float | None, scale: Scale, offset: float) -> str:
    if value is None or value != value or not scale.holds(value):
        return ""
    shape = f'<path class="planted" d="M0 -5.5 L5.5 0 L0 5.5 L-5.5 0 Z" transform="translate(0 {offset:g})"/>'
    return f'<svg x="{scale.position(value):.2f}%" y="50%" overflow="visible">{shape}</svg>'


def _words(figure: Estimate) -> str:
    if not is_known(figure):
        return "not assessable"
    return f"{number(figure.value)}, 95 % interval {number(figure.low)} to {number(figure.high)}, n = {figure.n}"


def _label(tick: float) -> str:
    return f"{tick:g}"
