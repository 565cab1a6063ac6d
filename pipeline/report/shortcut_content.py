"""What the report says about artefacts: which the network carries, which are shortcuts, what was suppressed."""

from collections.abc import Mapping
from dataclasses import dataclass

from concepts.statistics.estimate import Estimate

NAMED, NOT_NAMED, TOO_FEW = "named as shortcut", "not named", "too few images to say"
READERS, PLANTED, MEASURED = "readers", "planted", "measured in the picture"


@dataclass(frozen=True)
class ArtefactOnDiagnosis:
    """What one artefact does to one diagnosis; changes are of its log-odds, in nats.

    Attributes:
        id: Identifier of the diagnosis.
        name: Of the diagnosis.
        verdict: `NAMED`, `NOT_NAMED` or `TOO_FEW`.
        tie_p: Adjusted p-value of "goes with the diagnosis in the training images".
        use_p: Adjusted p-value of "the diagnosis is read from it on validation images".
        with_it: Training images of the diagnosis that have the artefact.
        of: Training images of the diagnosis in which it is known.
        others_with_it: Training images of other diagnoses that have it.
        others: Training images of other diagnoses in which it is known.
        taken_out: Change in test images with it when the layer's directions for it are set to their reference.
        put_in: Change in test images without it that get what the layer has for images with it.
        loss_ratio: Loss without the directions over loss with them.
        drawn_out: Change when the phantom draws the same image without it; None where images cannot be drawn.
        drawn_in: Change when it draws the same image with it.
    """

    id: str
    name: str
    verdict: str
    tie_p: float
    use_p: float
    with_it: int
    of: int
    others_with_it: int
    others: int
    taken_out: Estimate
    put_in: Estimate
    loss_ratio: Estimate
    drawn_out: Estimate | None
    drawn_in: Estimate | None


@dataclass(frozen=True)
class MeasureFigures:
    """How often a measure of the picture was right where somebody looked.

    Attributes:
        sensitivity: Share of the images with the artefact in which it was found.
        false_alarms: Share of the images without it in which it was found.
    """

    sensitivity: Estimate
    false_alarms: Estimate


@dataclass(frozen=True)
class ArtefactFigures:
    """One artefact.

    Attributes:
        id: Identifier.
        name: Name for people.
        has_axis: Whether it is a named concept with an axis of its own.
        labels: Who says which images have it: `READERS`, `PLANTED` or `MEASURED`; None in runs that do not say.
        measure: What is known of the measure, where it is `MEASURED`; else None.
        train: Training images with it and without.
        test: Test images with it and without.
        directions: How many directions the layer has for it beyond chance; where 0, figures are of the strongest one.
            None where there are too few images.
        reading: AUC with which they tell test images with it from those without; None likewise.
        diagnoses: What it does to each; empty likewise.
    """

    id: str
    name: str
    has_axis: bool
    labels: str | None
    measure: MeasureFigures | None
    train: tuple[int, int]
    test: tuple[int, int]
    directions: int | None
    reading: Estimate | None
    diagnoses: tuple[ArtefactOnDiagnosis, ...]


@dataclass(frozen=True)
class CounterpartFigures:
    """Accuracy on the test images of a phantom with a planted shortcut, and on the same without it."""

    figure: str
    with_shortcut: Estimate
    without_shortcut: Estimate
    difference: Estimate


@dataclass(frozen=True)
class Suppression:
    """What this run's network is kept from seeing.

    Attributes:
        source: The run that it comes from.
        names: Of the axes and artefacts.
        directions: How many directions of the layer these are.
        intercepts: What was added to the logit of each diagnosis (by its name) to make up for it.
        weighed: Artefacts that went with no diagnosis in training on and intercepts, since images were weighed so.
        images: Validation images from which the intercepts are.
        epochs: For how many epochs what comes after the layer was trained on without them; 0: not at all.
    """

    source: str
    names: tuple[str, ...]
    directions: int
    intercepts: Mapping[str, float]
    weighed: tuple[str, ...]
    images: int
    epochs: int


@dataclass(frozen=True)
class ShortcutAudit:
    """The audit of all artefacts.

    Attributes:
        artefacts: Those that were labelled or measured, in the order of the audit; empty where there are none.
        named: Names of artefact and diagnosis of each shortcut, the strongest first.
        level: Chance that any is named wrongly.
        fewest: Images on the thinner side below which nothing is said.
        counterpart: Where a shortcut was planted; else empty.
    """

    artefacts: tuple[ArtefactFigures, ...]
    named: tuple[tuple[str, str], ...]
    level: float
    fewest: int
    counterpart: tuple[CounterpartFigures, ...]

    @property
    def judged(self) -> tuple[ArtefactFigures, ...]:
        """The artefacts with enough images."""
        return tuple(one for one in self.artefacts if one.diagnoses)

    @property
    def measured(self) -> tuple[ArtefactFigures, ...]:
        """The artefacts that nobody labelled and that were measured in the picture."""
        return tuple(one for one in self.artefacts if one.labels == MEASURED)

    @property
    def thin(self) -> tuple[ArtefactFigures, ...]:
        """The artefacts with too few."""
        return tuple(one for one in self.artefacts if not one.diagnoses)
