"""The file ``run.json``: what a reader needs to repeat a run, and what its training went through."""

from collections.abc import Mapping
from typing import ClassVar, TypedDict

from pipeline.results.result import Number, Result, ResultFile
from pipeline.results.shortcuts import Suppression


class Machine(Result):
    """Where the run was made.

    Attributes:
        platform: Operating system and architecture.
        processors: Number of logical processors; None where the system does not say.
    """

    platform: str
    processors: int | None


class Digests(Result):
    """What the run was made of, each as SHA-256.

    Attributes:
        data: Over the images' digests and labels.
        split: Over the split.
        release: Over the concept release.
    """

    data: str
    split: str
    release: str


class EpochFigures(Result):
    """What one epoch measured on validation images.

    Attributes:
        epoch: Its number, 1 the first.
        loss: Mean training loss.
        macro_auc: Macro AUC of the diagnoses.
        axis_auc: Mean AUC of the named axes; None in phases that have none.
    """

    epoch: int
    loss: Number
    macro_auc: Number
    axis_auc: Number | None = None


class Refinement(Result):
    """What steps beyond the closed form did to one layer.

    Attributes:
        before: Mean over concepts of the activation where the concept is present minus where it is absent (or of the
            former alone), by the layer's own activation, before.
        after: The same afterwards; never less.
        steps: Steps taken; fewer than asked for where no step raised it any more.
    """

    before: float
    after: float
    steps: int


class LayerAlignment(Result):
    """What exact alignment did to one layer.

    Attributes:
        layer: Name of the module.
        objective: ``positives``, ``contrast`` or ``regions``.
        before: Mean over concepts of r_j · m_j (axis and concept mean) with the old rotation and the new statistics, in
            standard deviations of a white axis; where there are subspaces, over the concepts that are no child.
        after: The same with the new rotation; never less.
        positives: By concept, images that show it.
        negatives: By concept, images known not to show it.
        regions: By concept, positions inside its masks.
        positions: Positions behind the statistics.
        residual_before: Relative distance of the covariance from the identity under the statistics that the layer had.
        residual: The same under the new ones.
        inside: Where there are subspaces, the mean over children of theirs, told from their siblings: ``before`` with
            the old axes once they had made room for the parents' new ones, and ``after``, never less.
        refinement: What steps beyond the closed form did; None where none was asked for.
    """

    layer: str
    objective: str
    before: Number
    after: Number
    positives: Mapping[str, int]
    negatives: Mapping[str, int]
    regions: Mapping[str, int]
    positions: int
    residual_before: Number
    residual: Number
    inside: Mapping[str, Number] | None = None
    refinement: Refinement | None = None


class LoadedWeights(Result):
    """Which tensors of a weights file went into the network.

    Attributes:
        file: Name of the file.
        loaded: Names in the network that took a tensor.
        dropped: Names in the file that were not used, such as the head of another task.
        missing: Names in the network that keep their initial values.
    """

    file: str
    loaded: tuple[str, ...]
    dropped: tuple[str, ...]
    missing: tuple[str, ...]


class RunRecord(ResultFile):
    """The record of a run; it grows with the stages.

    Attributes:
        id: Name of the run.
        started: When, ISO 8601 in UTC.
        finished: When it became whole, ISO 8601 in UTC; None before.
        seed: The seed of everything random.
        commit: Of the code; None where it is not known.
        command: The command line.
        versions: By package.
        machine: Where it was made.
        digests: None before the images were read.
        chain: Digest of the newest event of the store from which the release was frozen, for 'dermaxis store check';
            None before the images were read, and for releases that come from no store.
        history: By phase of training, its epochs.
        best_epoch: By phase, the epoch whose network was kept.
        seconds: By stage, how long it took.
        alignment: By layer.
        insertion_change: Largest change of a logit when the layer was put in; None where that was not measured.
        weights: None where training began from initial weights.
        suppressed: None where nothing was suppressed.
        suppressed_at: When, ISO 8601 in UTC; None likewise.
    """

    file: ClassVar[str] = "run.json"
    version: ClassVar[int] = 2
    remedy: ClassVar[str] = "start a new run: dermaxis run"

    id: str
    started: str
    finished: str | None = None
    seed: int
    commit: str | None = None
    command: str = ""
    versions: Mapping[str, str]
    machine: Machine
    digests: Digests | None = None
    chain: str | None = None
    history: Mapping[str, tuple[EpochFigures, ...]] = {}
    best_epoch: Mapping[str, int] = {}
    seconds: Mapping[str, float] = {}
    alignment: Mapping[str, LayerAlignment] = {}
    insertion_change: Number | None = None
    weights: LoadedWeights | None = None
    suppressed: Suppression | None = None
    suppressed_at: str | None = None


class RecordChanges(TypedDict, total=False):
    """What a stage may change in a record; the entries are those of `RunRecord`."""

    finished: str
    digests: Digests
    chain: str | None
    history: Mapping[str, tuple[EpochFigures, ...]]
    best_epoch: Mapping[str, int]
    seconds: Mapping[str, float]
    alignment: Mapping[str, LayerAlignment]
    insertion_change: float
    weights: LoadedWeights
    suppressed: Suppression
    suppressed_at: str
