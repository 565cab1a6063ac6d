"""A new run from an old one, with some axes or artefacts suppressed in its network."""

import shutil
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from concepts.errors import RunError
from concepts.release import read_release
from pipeline.choices import Balance
from pipeline.data.cohort import prepare_cohort
from pipeline.data.splits import Part, read_split
from pipeline.evaluation.evaluation_data import class_indices
from pipeline.explanation.explained_network import ExplainedNetwork, open_explained
from pipeline.explanation.shortcuts.artefact_space import ArtefactSpace, axis_space, joined
from pipeline.explanation.shortcuts.artefacts import artefact_labels
from pipeline.explanation.shortcuts.intercepts import add_intercepts, fitted_intercepts
from pipeline.explanation.shortcuts.relearning import relearn
from pipeline.explanation.shortcuts.reweighing import independence_weights
from pipeline.explanation.shortcuts.space_files import read_spaces
from pipeline.explanation.shortcuts.suppression import suppress
from pipeline.models.checkpoint import save_model
from pipeline.run.files import AUXILIARY, MODEL, PLAIN
from pipeline.run.folder import RunFolder, create_run, open_run
from pipeline.run.progress import Tracker
from pipeline.training.loss import class_weights

KEPT = ("split.csv", "release.json", "samples.csv")
NETWORKS = (PLAIN, AUXILIARY)
INHERITED = ("digests", "insertion_change", "alignment", "history", "best_epoch", "weights")
"""Entries of ``run.json`` that hold for the suppressed network too."""
SUPPRESSED = "suppressed"
"""Entry of ``run.json`` that says what was suppressed."""


def suppress_run(
    path: Path, names: Sequence[str], *, epochs: int = 0, tracker: Tracker, runs: Path | None = None
) -> RunFolder:
    """A new run folder with a run's network, kept from seeing some axes or artefacts; evaluation is still to be done.

    Args:
        path: A trained run; for artefacts, one that was explained.
        names: Audited artefacts (all directions that the layer has for each) and named concepts (their axes).
        epochs: For how many epochs what comes after the layer is trained on without them.
        tracker: Where progress is shown.
        runs: Folder for the new run; default: beside the old one.

    Returns:
        The new folder, unfinished: `pipeline.retrain.redo` measures everything again.

    Raises:
        RunError: If there is no run, it is a suppressed one already, it has no axis or artefact of a name, or its
            images changed.
        SettingsError: If the network's whitened layer has no readout.
    """
    source = open_run(path)
    _refuse_suppressed(source)
    network = _opened(source, tracker)
    wanted = tuple(dict.fromkeys(names))
    space = joined([_space(source, network, name) for name in wanted], network.channels)
    known = artefact_labels(network.cohort, network.cohort.part(Part.TRAIN)).names
    weighed = [name for name in wanted if name in known]
    changed, intercepts = suppressed_network(network, space, artefacts=weighed, epochs=epochs, tracker=tracker)
    settings = source.settings()
    target = create_run(
        settings.model_copy(update={"name": f"{settings.name}-suppressed", "runs": runs or source.path.parent})
    )
    try:
        _carry_over(source, target)
        target.record(
            **{
                SUPPRESSED: {
                    "from": source.id,
                    "names": list(wanted),
                    "weighed": weighed,
                    "directions": space.rank,
                    "intercepts": dict(zip(network.cohort.classes, intercepts.tolist(), strict=True)),
                    "images": len(network.cohort.part(Part.VALIDATION)),
                    "epochs": epochs,
                }
            },
            suppressed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        save_model(target.path / MODEL, changed.module, network.description)
    except BaseException:
        shutil.rmtree(target.path)
        raise
    return target


def suppressed_network(
    network: ExplainedNetwork,
    space: ArtefactSpace,
    *,
    artefacts: Sequence[str] = (),
    epochs: int = 0,
    intercepts: bool = True,
    tracker: Tracker,
) -> tuple[ExplainedNetwork, Tensor]:
    """A copy of a network that does not see some directions of its layer, and what was added to its logits.

    Args:
        network: Left as it is.
        space: The directions.
        artefacts: Labelled artefacts that are not to go with any diagnosis in what follows: images are weighed so.
        epochs: For how many epochs what comes after the layer is trained on without the directions; 0: not at all.
        intercepts: Whether the intercepts of the diagnoses are fitted anew on the validation images, where diagnoses
            count as they did in training.
        tracker: Where progress is shown.

    Raises:
        SettingsError: If the layer has no readout, or the logits cannot be moved.
    """
    changed = replace(network, module=deepcopy(network.module))
    suppress(changed.module, network.layer, space)
    if epochs:
        weights = _independence(network, Part.TRAIN, artefacts)
        relearn(changed, space, epochs=epochs, weights=weights, tracker=tracker)
    classes = network.cohort.classes
    shift = torch.zeros(len(classes), dtype=torch.float64)
    if intercepts:
        validation = network.cohort.part(Part.VALIDATION)
        outputs = changed.outputs(validation, tracker=tracker, title="suppressed network, validation images")
        labels = torch.from_numpy(class_indices(validation, classes))
        even = network.settings.training.balance is not Balance.NONE
        weights = _independence(network, Part.VALIDATION, artefacts)
        if even:
            weights = weights * class_weights(labels, len(classes))[labels]
        shift = fitted_intercepts(outputs.logits, labels, weights=weights)
        add_intercepts(changed.module, shift)
    return changed, shift


def _independence(network: ExplainedNetwork, part: Part, artefacts: Sequence[str]) -> Tensor:
    """Weights of a part's images under which the artefacts go with no diagnosis."""
    samples = network.cohort.part(part)
    labels = artefact_labels(network.cohort, samples)
    table = labels.of(artefacts).table
    return torch.from_numpy(independence_weights(table, class_indices(samples, network.cohort.classes)))


def _opened(run: RunFolder, tracker: Tracker) -> ExplainedNetwork:
    settings = run.settings()
    split, release = read_split(run.file("split.csv")), read_release(run.file("release.json"))
    cohort = prepare_cohort(settings, tracker=tracker, split=split, release=release)
    if run.read_json("run.json")["digests"]["data"] != cohort.digest:
        raise RunError(f"{run.path}: the images or labels changed since this run was started; start a new run")
    return open_explained(settings, cohort, run=run)


def _refuse_suppressed(run: RunFolder) -> None:
    record = run.read_json("run.json")
    if SUPPRESSED in record:
        done = record[SUPPRESSED]
        raise RunError(
            f"{run.path}: {', '.join(done['names'])} suppressed in it already; suppress everything at once in the run "
            f"that it came from, {done['from']}"
        )


def _space(run: RunFolder, network: ExplainedNetwork, name: str) -> ArtefactSpace:
    concepts = network.cohort.concepts
    spaces = read_spaces(run)
    if name in spaces:
        return spaces[name]
    if name in concepts:
        return axis_space(concepts.index(name), network.channels)
    known = ", ".join(dict.fromkeys([*concepts, *spaces]))
    raise RunError(f"{run.path}: nothing called '{name}' to suppress; it has {known}")


def _carry_over(source: RunFolder, target: RunFolder) -> None:
    for name in KEPT:
        shutil.copyfile(source.file(name), target.file(name))
    for stem in NETWORKS:
        for ending in (".safetensors", ".json"):
            if source.has(f"{stem}{ending}"):
                shutil.copyfile(source.file(f"{stem}{ending}"), target.file(f"{stem}{ending}"))
    recorded = source.read_json("run.json")
    target.record(**{key: recorded[key] for key in INHERITED if key in recorded})
