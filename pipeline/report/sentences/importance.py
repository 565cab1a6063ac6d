"""Every sentence of the report about importance, the images that activate an axis, and concept vectors.

Sentences say what the network did on these test images; none says what a lesion is, or what holds for other images.
"""

from collections.abc import Callable, Mapping

from concepts.example import Polarity
from concepts.statistics.estimate import is_known
from pipeline.report.sentences.numerals import NOT_ASSESSABLE, enumeration, estimate, number, share
from pipeline.results.axes import AxisVerdict
from pipeline.results.importance import OVERALL, AxisExample, AxisImportance, TargetImportance
from pipeline.results.names import Names

MARKINGS: Mapping[Polarity | None, str] = {
    Polarity.PRESENT: "✓ present",
    Polarity.ABSENT: "absent",
    Polarity.UNMARKED: "not marked",
    None: "unknown",
}

Judge = Callable[[str], AxisVerdict]
"""Says how far the axis of a concept may be read as the concept."""
TCAV = (
    "An independent account of the plain network, made after its training: a share near 1 says that the logit "
    "rises when a case is moved towards the concept, near 0 that it falls. Shares inside the band say nothing. "
    "Unlike importance it gives a direction, and no size."
)


def outstanding(target: str, result: TargetImportance, names: Names, judge: Judge) -> str:
    """Name the concepts that stand out for a diagnosis, and say by how much."""
    subject = "Over all diagnoses" if target == OVERALL else f"For {names.diagnosis(target)}"
    axes = {concept: axis for concept, axis in result.concepts.items() if axis.stands_out}
    if not axes:
        return (
            f"{subject}, no named axis is shown to matter more than a single unnamed axis does; "
            "the intervals say how much each may."
        )
    first = max(axes, key=lambda concept: axes[concept].ratio.value)
    return (
        f"{subject}, of the named axes the network used that of {names.concept(first)} most: with it permuted, the "
        f"loss is {estimate(axes[first].ratio, 2)} times what it is otherwise.{_caveat(judge(first))}"
        f"{_others(first, axes, names)}"
    )


def unnamed_share(target: str, result: TargetImportance, names: Names) -> str:
    """Say how much of the importance no named axis carries."""
    contribution = "what the layer contributes"
    subject = contribution if target == OVERALL else f"{contribution} to {names.diagnosis(target)}"
    if not is_known(result.unnamed_share):
        return f"What share of {subject} no named axis carries is {NOT_ASSESSABLE}."
    return f"Unnamed axes carry {share(result.unnamed_share)} of {subject}: no concept here explains that."


def picture_text(example: AxisExample, names: Names, concept: str) -> str:
    """Write the alternative text of a picture; the concept is that of the axis."""
    name = names.concept(concept)
    marking = {
        Polarity.PRESENT: f"{name} is present",
        Polarity.ABSENT: f"{name} is absent",
        Polarity.UNMARKED: f"{name} was not marked",
        None: f"whether {name} is present is not known",
    }[example.marking]
    return f"Test image {example.image_id}, diagnosis {names.diagnosis(example.diagnosis)}; {marking}."


def percentile(example: AxisExample) -> str:
    """Say where an activation stands among the test images: ``percentile 99.8``."""
    return f"percentile {number(example.percentile, 1)}"


def _others(first: str, axes: Mapping[str, AxisImportance], names: Names) -> str:
    others = [concept for concept in axes if concept != first]
    if not others:
        return ""
    listed = enumeration([names.concept(concept) for concept in others])
    sentence = f" Also above the band of single unnamed axes: {listed}."
    close = [names.concept(other) for other in others if axes[other].ratio.high >= axes[first].ratio.low]
    return f"{sentence} The intervals do not tell the first from {enumeration(close)}." if close else sentence


def _caveat(verdict: AxisVerdict) -> str:
    if verdict is AxisVerdict.RELIABLE:
        return ""
    return f" That axis is {verdict}, so this need not be the concept itself."
