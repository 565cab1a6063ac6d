"""The strips of the sanity checks: a figure above what randomised weights and permuted labels give."""

from markupsafe import Markup

from pipeline.report.pages import charts
from pipeline.report.pages.charts import Dot
from pipeline.report.scrutiny_content import Check, ConceptSanity, Sanity
from pipeline.report.sentences.sanity import OVERALL


class SanityCharts:
    """Axis AUC and importance of each concept, with what is left under randomisation.

    Args:
        sanity: All checks.
    """

    def __init__(self, sanity: Sanity) -> None:
        purity = [one.purity for one in sanity.concepts]
        ratios = [check for one in sanity.concepts for check in (one.weights[OVERALL], one.labels[OVERALL])]
        self._auc = charts.auc_scale(figure for check in purity for figure in (check.own, check.null))
        self._ratio = charts.ratio_scale(
            end for check in ratios for figure in (check.own, check.null) for end in (figure.low, figure.high)
        )

    def purity(self, concept: ConceptSanity) -> Markup:
        """Axis AUC, and that of axes of permuted labels."""
        dots = [self._own(concept.purity), Dot(concept.purity.null, "faint", "permuted labels")]
        return Markup(charts.strip(dots, self._auc, title=f"Axis AUC under permuted labels, {concept.name}"))

    def importance(self, concept: ConceptSanity) -> Markup:
        """Importance over all diagnoses, under permuted labels, and under randomised weights."""
        weights, labels = concept.weights[OVERALL], concept.labels[OVERALL]
        verdict = concept.meaningless(OVERALL)
        dots = [
            Dot(weights.own, "plain" if verdict is not False else "accent", "importance"),
            Dot(labels.null, "faint", "permuted labels"),
            Dot(weights.null, "faint", "randomised weights"),
        ]
        return Markup(charts.strip(dots, self._ratio, title=f"Importance under randomisation, {concept.name}"))

    @property
    def auc_axis(self) -> Markup:
        """Labels of the axis of AUCs."""
        return Markup(charts.axis(self._auc, title="AUC, axis"))

    @property
    def ratio_axis(self) -> Markup:
        """Labels of the axis of ratios."""
        return Markup(charts.axis(self._ratio, title="loss ratio, logarithmic axis"))

    def _own(self, check: Check) -> Dot:
        return Dot(check.own, "plain" if check.meaningless is not False else "accent", "axis")
