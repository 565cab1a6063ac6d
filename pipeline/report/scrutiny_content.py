"""What the report says about how far its explanations and figures can be trusted: meaning only, no rendering."""

from collections.abc import Mapping
from dataclasses import dataclass

from concepts.statistics.estimate import Estimate
from pipeline.results.comparison import Difference


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
class SubgroupRow:
    """One subgroup of the test images.

    Attributes:
        attribute: What divides the patients.
        value: Which part.
        images: Number of images.
        groups: Number of patients or groups of related images.
        macro: Macro AUC of the whitened network.
        balanced_accuracy: Of the same.
        difference: Macro AUC minus that of all others, judged among all subgroups; None where it cannot be formed.
        reason: Why there is no figure; None where there is one.
    """

    attribute: str
    value: str
    images: int
    groups: int
    macro: Estimate
    balanced_accuracy: Estimate
    difference: Difference | None
    reason: str | None


@dataclass(frozen=True)
class Subgroups:
    """Figures by who the patients are.

    Attributes:
        rows: By attribute.
        unknown: By attribute: test images whose value is not known.
        fewest: Images that a subgroup needs for a figure.
        comparisons: Differences that are judged together.
    """

    rows: tuple[SubgroupRow, ...]
    unknown: Mapping[str, int]
    fewest: int
    comparisons: int


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
class CeilingFigures:
    """What the best rule from concept labels to a diagnosis can reach on the images.

    Attributes:
        accuracy: Share right.
        balanced_accuracy: Mean sensitivity.
        conflicting: Share of the images whose profile occurs with more than one diagnosis.
        profiles: Different profiles.
        single: Profiles of one image only.
    """

    accuracy: Estimate
    balanced_accuracy: Estimate
    conflicting: Estimate
    profiles: int
    single: int


@dataclass(frozen=True)
class LabelClassifier:
    """A plain logistic regression on concept labels, cross-validated by group.

    Attributes:
        macro: Macro AUC over all images with known labels.
        balanced_accuracy: Over the same.
        test_macro: Macro AUC on the test images.
        network_macro: The whitened network's on the same test images.
        difference: The network's minus the classifier's, paired.
    """

    macro: Estimate
    balanced_accuracy: Estimate
    test_macro: Estimate | None
    network_macro: Estimate | None
    difference: Estimate | None


@dataclass(frozen=True)
class ConceptOnly:
    """How far concept labels alone go.

    Attributes:
        images: Images whose labels are all known.
        left_out: Images with a label that is not known.
        ceiling: None where it cannot be formed.
        classifier: None where a diagnosis has too few groups.
    """

    images: int
    left_out: int
    ceiling: CeilingFigures | None
    classifier: LabelClassifier | None


@dataclass(frozen=True)
class Scrutiny:
    """What is said about trust; each part is None, or empty, where the run is from before it was measured."""

    sanity: Sanity | None = None
    stability: tuple[StabilityPanel, ...] = ()
    subgroups: Subgroups | None = None
    failures: Failures | None = None
    concept_only: ConceptOnly | None = None
