"""What a diagnosis loses when an axis no longer belongs to its case, and which images activate an axis most."""

from collections.abc import Mapping

from concepts.example import Polarity
from pipeline.results.result import Band, Figure, Result

OVERALL = "overall"
"""The target that stands for all diagnoses together."""


class AxisImportance(Result):
    """Importance of one axis for one target.

    Attributes:
        ratio: Loss with the axis permuted over loss without; 1 is no importance, NaN where it cannot be assessed.
        rank: Place among the axes that are ranked with it, 1 the most important; None where the ratio is NaN.
        null: The middle 95 % of the ratios of single free axes; NaN where there are none.
    """

    ratio: Figure
    rank: int | None
    null: Band

    @property
    def stands_out(self) -> bool:
        """Whether the whole interval lies above 1 and above the null band, where there is one."""
        has_band = self.null.high == self.null.high
        return self.ratio.low > (max(1.0, self.null.high) if has_band else 1.0)


class TargetImportance(Result):
    """Importance for one diagnosis, or overall.

    Attributes:
        concepts: The named axes, in axis order.
        unnamed_share: Share of the layer's importance that no named axis carries, 0 to 1.
    """

    concepts: Mapping[str, AxisImportance]
    unnamed_share: Figure

    @property
    def ranked(self) -> dict[str, AxisImportance]:
        """The named axes, the most important first, those without a rank last and in axis order."""
        last = len(self.concepts) + 1
        return dict(sorted(self.concepts.items(), key=lambda item: item[1].rank or last))


def ordered_targets(importance: Mapping[str, TargetImportance]) -> list[str]:
    """Order the targets for people: all diagnoses together first, then each."""
    return sorted(importance, key=lambda target: target != OVERALL)


class TcavScore(Result):
    """What an after-the-fact test says of a concept and a diagnosis in the plain network.

    Attributes:
        share: Share of the diagnosis's cases whose logit rises along the concept's vector.
        null: The middle 95 % of vectors between random images.
    """

    share: Figure
    null: Band


class AxisExample(Result):
    """A test image that activates an axis most.

    Attributes:
        image_id: Which image.
        activation: Of the axis, in standard deviations of the whitened space.
        percentile: Share of the test images, in percent, with at most this activation.
        marking: What the release says of the concept in it, a present child counting as its parent's; None where it
            says nothing.
        diagnosis: Its recorded diagnosis.
        picture: File with what the network saw, in the run folder.
    """

    image_id: str
    activation: float
    percentile: float
    marking: Polarity | None
    diagnosis: str
    picture: str
