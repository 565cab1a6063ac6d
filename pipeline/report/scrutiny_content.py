"""What the report says about how far its explanations and figures can be trusted: meaning only, no rendering."""

from collections.abc import Mapping
from dataclasses import dataclass

from concepts.statistics.estimate import Estimate


@dataclass(frozen=True)
class Check:
    """A figure of the explanation against the same figure where there is nothing to explain.

    Attributes:
        own: The explanation's figure.
        null: Mean over draws with the middle 95 %; n counts the draws.
        difference: The first minus the second, with its interval.
        meaningless: Whether the two cannot be told apart; None where there is no figure.
    """

    own: Estimate
    null: Estimate
    difference: Estimate
    meaningless: bool | None


@dataclass(frozen=True)
class ConceptSanity:
    """The checks of one concept.

    Attributes:
        name: For people.
        weights: By diagnosis (or ``overall``): importance against networks with randomised weights.
        labels: By diagnosis (or ``overall``): importance against axes aligned with permuted labels.
        purity: Axis AUC against that of axes aligned with permuted labels.
    """

    name: str
    weights: Mapping[str, Check]
    labels: Mapping[str, Check]
    purity: Check

    def meaningless(self, target: str) -> bool | None:
        """Whether its importance for a diagnosis survives either randomisation; None where there is no figure."""
        found = [self.weights[target].meaningless, self.labels[target].meaningless]
        return None if None in found else any(found)


@dataclass(frozen=True)
class Sanity:
    """All sanity checks.

    Attributes:
        draws: Randomised networks, and permutations of labels for importance.
        concepts: In axis order.
    """

    draws: int
    concepts: tuple[ConceptSanity, ...]


@dataclass(frozen=True)
class RankRow:
    """Where a concept stands by importance, over resamples of the test images.

    Attributes:
        name: For people.
        rank: On the test images themselves; ends: the middle 95 % of the resamples.
        first: Share of the resamples in which it is first.
        same: Share in which it has the rank of the test images themselves.
    """

    name: str
    rank: Estimate
    first: float
    same: float


@dataclass(frozen=True)
class StabilityPanel:
    """The order of concepts for one diagnosis, over resamples.

    Attributes:
        target: Name of the diagnosis, or of all.
        tau: Kendall's tau between the order on the test images and on resamples, mean and middle 95 %.
        resamples: How many.
        rows: First the most important.
    """

    target: str
    tau: Estimate
    resamples: int
    rows: tuple[RankRow, ...]


@dataclass(frozen=True)
class SeenConcept:
    """What the axis says of a concept in one image, and what the release says: True, False, or None if not known."""

    name: str
    state: str
    label: bool | None


@dataclass(frozen=True)
class Failure:
    """A test image about which the network was confidently wrong.

    Attributes:
        image_id: Which.
        truth: The recorded diagnosis, for people.
        call: What the network called it.
        probability: Of the call, calibrated.
        probability_of_truth: Of the recorded diagnosis.
        concepts: As seen and as known.
        picture: File in the run folder.
        page: Address of its case page beside the report; None where there is none.
    """

    image_id: str
    truth: str
    call: str
    probability: float
    probability_of_truth: float
    concepts: tuple[SeenConcept, ...]
    picture: str
    page: str | None


@dataclass(frozen=True)
class Failures:
    """Where the network is wrong.

    Attributes:
        wrong: Share of the test images whose call is wrong.
        confident: Calibrated probability from which a call counts as confident.
        wrong_where_confident: Share of the confident calls that are wrong.
        gallery: The most confident wrong calls, first the most confident.
    """

    wrong: Estimate
    confident: float
    wrong_where_confident: Estimate
    gallery: tuple[Failure, ...]


@dataclass(frozen=True)
class Scrutiny:
    """What is said about trust; each part is None, or empty, where the run is from before it was measured."""

    sanity: Sanity | None = None
    stability: tuple[StabilityPanel, ...] = ()
    failures: Failures | None = None
