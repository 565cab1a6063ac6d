"""What the network does with artefacts: which it carries, which are shortcuts, what was suppressed."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from pipeline.results.result import Figure, Number, Result


class ShortcutVerdict(StrEnum):
    """What is said of an artefact and a diagnosis."""

    NAMED = "named as shortcut"
    NOT_NAMED = "not named"
    TOO_FEW = "too few images to say"


class LabelSource(StrEnum):
    """Who says which images have an artefact; what one source says is never completed by another."""

    READERS = "readers"
    PLANTED = "planted"
    MEASURED = "measured in the picture"


class PresenceCounts(Result):
    """How many images have an artefact, and in how many it is known to be absent."""

    present: int
    absent: int

    @property
    def total(self) -> int:
        """Images in which it is known whether the artefact is there."""
        return self.present + self.absent


def total_counts(counts: Iterable[PresenceCounts]) -> PresenceCounts:
    """Add counts up.

    Example:
        >>> total_counts([PresenceCounts(present=1, absent=2), PresenceCounts(present=3, absent=4)])
        PresenceCounts(present=4, absent=6)
    """
    listed = tuple(counts)
    return PresenceCounts(present=sum(count.present for count in listed), absent=sum(count.absent for count in listed))


class MeasureQuality(Result):
    """How often a measure of the picture was right in images that somebody looked through.

    Attributes:
        present: Images with the artefact.
        detected: Of these, where the measure saw it.
        absent: Images without it.
        false_alarms: Of these, where the measure saw it.
    """

    present: int
    detected: int
    absent: int
    false_alarms: int


class ArtefactEffect(Result):
    """What one artefact does to one diagnosis; changes are of its log-odds, in nats.

    Attributes:
        verdict: Whether it is a shortcut.
        tie_p: Adjusted p-value of "goes with the diagnosis in the training images".
        use_p: Adjusted p-value of "the diagnosis is read from it on validation images".
        taken_out: Change in test images with it when the layer's directions for it are set to their reference.
        put_in: Change in test images without it that get what the layer has for images with it.
        loss_ratio: Loss without the directions over loss with them.
        drawn_in: Change when the phantom draws the same image with it; None where images cannot be drawn.
        drawn_out: Change when it draws the same image without it; None likewise.
    """

    verdict: ShortcutVerdict
    tie_p: Number
    use_p: Number
    taken_out: Figure
    put_in: Figure
    loss_ratio: Figure
    drawn_in: Figure | None = None
    drawn_out: Figure | None = None


class ArtefactAudit(Result):
    """What the layer has of an artefact, and what it does to each diagnosis.

    Attributes:
        directions: How many directions the layer has for it beyond chance; 0: figures are of the strongest one.
        reading_auc: AUC with which they tell test images with it from those without.
        diagnoses: By diagnosis.
    """

    directions: int
    reading_auc: Figure
    diagnoses: Mapping[str, ArtefactEffect]

    @property
    def is_drawn(self) -> bool:
        """Whether images were drawn again with and without the artefact."""
        return any(effect.drawn_in is not None for effect in self.diagnoses.values())


class ArtefactResult(Result):
    """One artefact.

    Attributes:
        axis: Number of its own axis, where it is a named concept; else None.
        labels: Who says which images have it.
        measure: What is known of the measure, where it is measured; else None.
        train: By diagnosis, training images with it and without.
        test: Test images with it and without.
        audit: None where too few images have it.
    """

    axis: int | None
    labels: LabelSource
    measure: MeasureQuality | None = None
    train: Mapping[str, PresenceCounts]
    test: PresenceCounts
    audit: ArtefactAudit | None = None

    @property
    def verdicts(self) -> tuple[ShortcutVerdict, ...]:
        """What is said of it and each diagnosis; empty where it was not audited."""
        return tuple(effect.verdict for effect in self.audit.diagnoses.values()) if self.audit else ()

    @property
    def is_named(self) -> bool:
        """Whether it is named as a shortcut for any diagnosis."""
        return ShortcutVerdict.NAMED in self.verdicts


class NamedShortcut(Result):
    """A pair of an artefact and the diagnosis for which it is a shortcut."""

    artefact: str
    diagnosis: str


class CounterpartFigures(Result):
    """A figure on the test images of a phantom with a planted shortcut, and on the same lesions without it.

    Attributes:
        with_shortcut: On the images as they are.
        without_shortcut: On the same lesions drawn without the planted tie.
        difference: The second minus the first, paired.
    """

    with_shortcut: Figure
    without_shortcut: Figure
    difference: Figure


class ShortcutAudit(Result):
    """The audit of all artefacts.

    Attributes:
        artefacts: By artefact, those that are labelled or measured.
        named: The shortcuts, the strongest effect first.
        level: Chance that any is named wrongly.
        fewest: Images on the thinner side below which nothing is said.
        comparisons: Pairs of artefact and diagnosis that were tested.
        counterpart: By figure, where a shortcut was planted; else empty.
    """

    artefacts: Mapping[str, ArtefactResult]
    named: tuple[NamedShortcut, ...]
    level: float
    fewest: int
    comparisons: int = 0
    counterpart: Mapping[str, CounterpartFigures] = {}

    @property
    def audited(self) -> dict[str, ArtefactResult]:
        """The artefacts that enough training images have."""
        return {name: artefact for name, artefact in self.artefacts.items() if artefact.audit is not None}

    @property
    def rare(self) -> dict[str, ArtefactResult]:
        """The artefacts that too few training images have, or lack."""
        return {name: artefact for name, artefact in self.artefacts.items() if artefact.audit is None}

    @property
    def is_drawn(self) -> bool:
        """Whether images were drawn again with and without any artefact."""
        return any(artefact.audit is not None and artefact.audit.is_drawn for artefact in self.artefacts.values())

    @property
    def measured(self) -> tuple[str, ...]:
        """The artefacts that nobody labelled and that were measured in the picture."""
        return tuple(name for name, artefact in self.artefacts.items() if artefact.labels is LabelSource.MEASURED)


class Suppression(Result):
    """What a run's network is kept from seeing; an entry of ``run.json``.

    Attributes:
        source: The run that it comes from.
        names: Of the axes and artefacts.
        weighed: Artefacts that went with no diagnosis in training on and intercepts, since images were weighed so.
        directions: How many directions of the layer these are.
        intercepts: What was added to the logit of each diagnosis to make up for it.
        images: Validation images from which the intercepts are.
        epochs: For how many epochs what comes after the layer was trained on without them; 0: not at all.
    """

    source: str
    names: tuple[str, ...]
    weighed: tuple[str, ...]
    directions: int
    intercepts: Mapping[str, float]
    images: int
    epochs: int
