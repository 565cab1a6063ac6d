"""How far figures and explanations can be trusted: sanity checks, stability, subgroups, failures, labels alone."""

from collections.abc import Mapping

from pipeline.results.result import Figure, Result


class NullCheck(Result):
    """A figure of the explanation against the same figure where there is nothing to explain.

    Attributes:
        figure: Of the explanation.
        null: Mean over the randomised draws with their middle 95 %; n counts the draws.
        difference: The first minus the second, with its interval.
        meaningless: Whether the two cannot be told apart; None where there is no figure.
    """

    figure: Figure
    null: Figure
    difference: Figure
    meaningless: bool | None


class SanityResult(Result):
    """Importance and purity against randomised networks and permuted labels.

    Attributes:
        draws: Randomised networks, and permutations of labels, for importance.
        importance_randomised_weights: By target (a diagnosis, or ``overall``), then by concept.
        importance_permuted_labels: Likewise.
        purity_permuted_labels: By concept.
    """

    draws: int
    importance_randomised_weights: Mapping[str, Mapping[str, NullCheck]]
    importance_permuted_labels: Mapping[str, Mapping[str, NullCheck]]
    purity_permuted_labels: Mapping[str, NullCheck]

    @property
    def concepts(self) -> tuple[str, ...]:
        """The concepts that were checked, in axis order."""
        return tuple(self.purity_permuted_labels)

    @property
    def checks(self) -> int:
        """How many figures were held against randomised ones; none is corrected for their number."""
        tables = (self.importance_randomised_weights, self.importance_permuted_labels)
        return sum(len(row) for table in tables for row in table.values()) + len(self.purity_permuted_labels)

    def is_meaningless(self, target: str, concept: str) -> bool | None:
        """Return whether a concept's importance fails either check; None where there is no figure."""
        checks = (self.importance_randomised_weights[target][concept], self.importance_permuted_labels[target][concept])
        answers = [check.meaningless for check in checks]
        return None if None in answers else any(answers)


class RankStability(Result):
    """The rank of one concept by importance over resamples of the test images.

    Attributes:
        rank: On the test images themselves, 1 the most important; ends: the middle 95 % of the resamples.
        first: Share of the resamples in which it is first, 0 to 1.
        same: Share in which it has the rank of the test images themselves, 0 to 1.
    """

    rank: Figure
    first: float
    same: float


class OrderStability(Result):
    """The order of all concepts by importance over resamples of the test images.

    Attributes:
        tau: Mean of Kendall's tau between the order on the test images and on each resample, with the middle 95 %.
        resamples: How many resamples had an importance for every concept.
        concepts: By concept.
    """

    tau: Figure
    resamples: int
    concepts: Mapping[str, RankStability]

    @property
    def ranked(self) -> dict[str, RankStability]:
        """The concepts in their order on the test images, the most important first."""
        return dict(sorted(self.concepts.items(), key=lambda item: item[1].rank.value))


class Subgroup(Result):
    """The whitened network in one part of the test images.

    Attributes:
        images: How many images.
        groups: How many patients, or groups of related images.
        diagnoses: Images by diagnosis.
        auc: By diagnosis against the rest, and ``macro``; NaN where there are too few.
        balanced_accuracy: NaN where there are too few.
        difference: Macro AUC minus that of all other images whose value is known; NaN where either has too few.
        reason: Why there is no macro AUC; None where there is one.
    """

    images: int
    groups: int
    diagnoses: Mapping[str, int]
    auc: Mapping[str, Figure]
    balanced_accuracy: Figure
    difference: Figure
    reason: str | None


class SubgroupsResult(Result):
    """Figures by age, sex, site and skin tone.

    Attributes:
        subgroups: By attribute, then by value.
        unknown: By attribute: test images whose value is not known.
        fewest: Images that a subgroup needs for a figure.
    """

    subgroups: Mapping[str, Mapping[str, Subgroup]]
    unknown: Mapping[str, int]
    fewest: int


class LabelCeiling(Result):
    """What the best rule from concept labels to a diagnosis can reach on the images.

    Attributes:
        accuracy: Share right where each profile of concepts gets its most frequent diagnosis.
        balanced_accuracy: Mean sensitivity where each profile gets the diagnosis that serves this best.
        conflicting: Share of the images whose profile occurs with more than one diagnosis.
        profiles: How many profiles occur.
        single: How many of them occur in one image only; such a profile cannot conflict, so it flatters the ceiling.
    """

    accuracy: Figure
    balanced_accuracy: Figure
    conflicting: Figure
    profiles: int
    single: int


class LabelClassifier(Result):
    """A logistic regression on concept labels, cross-validated by group, on all images with known labels.

    Attributes:
        macro_auc: Macro AUC.
        balanced_accuracy: Mean of the diagnoses' sensitivities.
    """

    macro_auc: Figure
    balanced_accuracy: Figure


class LabelsAgainstNetwork(Result):
    """The macro AUC of the classifier of labels and of the network on the same test images.

    Attributes:
        logistic: The classifier's.
        network: The whitened network's.
        difference: The second minus the first, paired.
    """

    logistic: Figure
    network: Figure
    difference: Figure


class ConceptOnlyResult(Result):
    """How far concept labels alone go, without a network.

    Attributes:
        images: Images whose labels are all known.
        left_out: Images with a label that is not known.
        ceiling: None where it cannot be formed.
        logistic: None where a diagnosis has too few groups.
        test: Against the network; None where no test image has all labels.
    """

    images: int
    left_out: int
    ceiling: LabelCeiling | None = None
    logistic: LabelClassifier | None = None
    test: LabelsAgainstNetwork | None = None


class FailedConcept(Result):
    """A concept in an image about which the network was wrong.

    Attributes:
        concept: Identifier.
        state: What the axis says: ``present``, ``absent``, ``uncertain`` or ``not_assessable``.
        label: What the release says; None where it says nothing.
    """

    concept: str
    state: str
    label: bool | None


class Failure(Result):
    """A test image about which the network was confidently wrong.

    Attributes:
        image_id: Which image.
        truth: The recorded diagnosis.
        call: The network's.
        probability: Of the call, calibrated.
        probability_of_truth: Of the recorded diagnosis, calibrated.
        concepts: In axis order.
        picture: File in the run folder.
    """

    image_id: str
    truth: str
    call: str
    probability: float
    probability_of_truth: float
    concepts: tuple[FailedConcept, ...]
    picture: str


class FailuresResult(Result):
    """Where the network is wrong.

    Attributes:
        wrong: Share of the test images whose call is wrong.
        confident: Calibrated probability from which a call counts as confident.
        wrong_where_confident: Share of the confident calls that are wrong.
        gallery: The most confident wrong calls, the most confident first.
    """

    wrong: Figure
    confident: float
    wrong_where_confident: Figure
    gallery: tuple[Failure, ...]
