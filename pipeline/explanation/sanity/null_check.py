"""Whether a figure of an explanation could as well have come from a network or labels that say nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from concepts.statistics.bootstrap import COVERAGE, Resampled
from concepts.statistics.estimate import Estimate


@dataclass(frozen=True)
class NullCheck:
    """A figure against the same figure where there is nothing to explain.

    Attributes:
        own: The explanation's figure.
        null: Mean over the draws of randomised weights or permuted labels, with the middle 95 % of them; n counts the
            draws.
        difference: The first minus the second; its interval covers the choice of patients and of the draw.
        meaningless: True where the interval of the difference does not lie above 0: the figure cannot be told from what
            a random network or random labels give. None where there is no figure.
    """

    own: Estimate
    null: Estimate
    difference: Estimate
    meaningless: bool | None

    def to_json(self) -> dict[str, Any]:
        """As the run folder holds it."""
        return {
            "own": self.own.to_json(),
            "null": self.null.to_json(),
            "difference": self.difference.to_json(),
            "meaningless": self.meaningless,
        }


def against_null(own: Resampled, draws: Sequence[Resampled], generator: np.random.Generator) -> NullCheck:
    """Hold a figure against draws of its null.

    Every resample of the cases takes one draw at random, so that the interval of the difference contains how much draws
    differ among each other. Draws whose figure is undefined are left out.

    Args:
        own: On the data and B resamples.
        draws: The same figure under each draw, on the same resamples.
        generator: Picks the draw of each resample.

    Source: the idea is that of Adebayo et al. 2018 (arXiv 1810.03292): an explanation that stays the same when weights
    or labels are randomised explains nothing. They compare pictures; here figures have intervals.
    """
    usable = [one for one in draws if np.isfinite(one.value)]
    if not usable or not np.isfinite(own.value):
        unknown = float("nan")
        nothing = Estimate(unknown, unknown, unknown, own.n)
        return NullCheck(own.estimate(), Estimate(unknown, unknown, unknown, len(usable)), nothing, None)
    values = np.array([one.value for one in usable])
    low, high = np.percentile(values, COVERAGE)
    picked = generator.integers(len(usable), size=len(own.replicates))
    replicates = np.stack([one.replicates for one in usable])[picked, np.arange(len(own.replicates))]
    difference = Resampled(own.value - float(values.mean()), own.replicates - replicates, own.n).estimate()
    known = np.isfinite(difference.low)
    return NullCheck(
        own=own.estimate(),
        null=Estimate(float(values.mean()), float(low), float(high), len(usable)),
        difference=difference,
        meaningless=not difference.low > 0 if known else None,
    )
