"""A new run from an old one, with some axes or artefacts suppressed in its network."""

import shutil
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from concepts.errors import RunError
from concepts.files import replacing
from pipeline.choices import Balance
from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort, reopen_cohort
from pipeline.evaluation.evaluation_data import EvaluationData
from pipeline.explanation.explained_network import ExplainedNetwork, open_explained
from pipeline.explanation.shortcuts.artefact_space import ArtefactSpace, axis_space, joined, read_spaces
from pipeline.explanation.shortcuts.artefacts import ArtefactLabels, artefact_labels
from pipeline.explanation.shortcuts.relearning import relearn
from pipeline.explanation.shortcuts.suppression import (
    add_intercepts,
    fitted_intercepts,
    independence_weights,
    suppress,
)
from pipeline.models.checkpoint import save_model
from pipeline.results.record import RunRecord
from pipeline.results.shortcuts import Suppression
from pipeline.run.files import AUXILIARY, MODEL, PLAIN
from pipeline.run.folder import RunFolder, create_run, open_run
from pipeline.run.progress import Tracker
from pipeline.setting_paths import followed_settings
from pipeline.training.loss import class_weights

CARRIED = ("split.csv", "release.json", "samples.csv")
NETWORKS = (PLAIN, AUXILIARY)
LONGEST_STEM = 80
"""Characters of the old run's name in that of the new one, which may have 100."""
INHERITED = ("digests", "insertion_change", "alignment", "history", "best_epoch", "weights")
"""Entries of ``run.json`` that hold for the suppressed network too."""


def suppress_run(
    path: Path,
    names: Sequence[str],
    *,
    epochs: int = 0,
    tracker: Tracker,
    runs: Path | None = None,
    paths: Sequence[str] = (),
) -> RunFolder:
    """Make a run of an old one's network, kept from seeing some axes or artefacts; evaluation is still to be done.

    Args:
        path: A trained run; for artefacts, one that was explained.
        names: Audited artefacts (all directions that the layer has for each) and named concepts (their axes).
        epochs: For how many epochs what comes after the layer is trained without them.
        tracker: Shows progress.
        runs: Folder for the new run; default: beside the old one.
        paths: Paths of the run's settings that may be followed out of its folder, e.g. ``data.root=/data/isic``.

    Returns:
        The new folder, unfinished: `pipeline.retrain.redo` measures everything again.

    Raises:
        RunError: If there is no run, it is a suppressed one already, it has no axis or artefact of a name, or its
            images changed.
        SettingsError: If the network's whitened layer has no readout.
    """
    source = open_run(path)
    refuse_suppressed(source)
    settings = followed_settings(source.settings(), source.path, paths)
    network = _open_network(source, settings, tracker)
    names = tuple(dict.fromkeys(names))
    spaces = suppressible(network.cohort.concepts, read_spaces(source), network.channels)
    space = joined([_space(source, spaces, name) for name in names], network.channels)
    labelled = artefact_labels(network.cohort, network.parts.train.samples).names
    weighed = tuple(name for name in names if name in labelled)
    changed, intercepts = suppressed_network(network, space, artefacts=weighed, epochs=epochs, tracker=tracker)
    suppression = Suppression(
        source=source.id,
        names=names,
        weighed=weighed,
        directions=space.rank,
        intercepts=dict(zip(network.cohort.classes, intercepts.tolist(), strict=True)),
        images=len(network.parts.validation),
        epochs=epochs,
    )
    name = f"{settings.name[:LONGEST_STEM]}-suppressed"
    target = create_run(settings.model_copy(update={"name": name, "runs": runs or source.path.parent}))
    try:
        _carry_over(source, target)
        target.record(
            suppressed=suppression,
            suppressed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        save_model(target.path / MODEL, changed.module, network.description)
    except BaseException:
        shutil.rmtree(target.path)
        raise
    return target


def refuse_suppressed(run: RunFolder) -> None:
    """Refuse a run in which something is suppressed already.

    Raises:
        RunError: If there is; names what, and the run that it comes from.
    """
    suppression = run.read(RunRecord).suppressed
    if suppression is not None:
        raise RunError(
            f"{run.path}: {', '.join(suppression.names)} suppressed in it already; suppress everything at once in the "
            f"run that it came from, {suppression.source}"
        )


def suppressible(
    concepts: Sequence[str], spaces: Mapping[str, ArtefactSpace], channels: int
) -> dict[str, ArtefactSpace]:
    """Return by name the directions that can be suppressed.

    Args:
        concepts: In axis order.
        spaces: Of the audited artefacts; an artefact that is also a concept has its axis among them.
        channels: C of the layer.
    """
    return {concept: axis_space(axis, channels) for axis, concept in enumerate(concepts)} | dict(spaces)


def suppressed_network(
    network: ExplainedNetwork,
    space: ArtefactSpace,
    *,
    artefacts: Sequence[str] = (),
    epochs: int = 0,
    intercepts: bool = True,
    tracker: Tracker,
) -> tuple[ExplainedNetwork, Tensor]:
    """Copy a network so that it does not see some directions of its layer, and say what was added to its logits.

    Args:
        network: Left as it is.
        space: The directions.
        artefacts: Labelled artefacts that are not to go with any diagnosis in what follows: images are weighed so.
        epochs: For how many epochs what comes after the layer is trained without the directions; 0: not at all.
        intercepts: Whether the intercepts of the diagnoses are fitted anew on the validation images, where diagnoses
            count as they did in training.
        tracker: Shows progress.

    Raises:
        SettingsError: If the layer has no readout, or the logits cannot be moved.
    """
    changed = replace(network, module=deepcopy(network.module))
    suppress(changed.module, network.layer, space)
    if epochs:
        weights = image_weights(network.parts.train, _labels(network.cohort, network.parts.train, artefacts))
        relearn(changed, space, epochs=epochs, weights=weights, tracker=tracker)
    validation = network.parts.validation
    if not intercepts:
        return changed, torch.zeros(len(validation.classes), dtype=torch.float64)
    outputs = changed.outputs(validation.samples, tracker=tracker, title="suppressed network, validation images")
    weights = image_weights(
        validation,
        _labels(network.cohort, validation, artefacts),
        even=network.settings.training.balance is not Balance.NONE,
    )
    shift = fitted_intercepts(outputs.logits, torch.from_numpy(validation.labels), weights=weights)
    add_intercepts(changed.module, shift)
    return changed, shift


def image_weights(data: EvaluationData, artefacts: ArtefactLabels, *, even: bool = False) -> Tensor:
    """Weigh images so that artefacts go with no diagnosis.

    Args:
        data: N images.
        artefacts: Of the same images; those that are to go with no diagnosis.
        even: Whether all diagnoses count alike besides.

    Returns:
        N, float64.
    """
    weights = torch.from_numpy(independence_weights(artefacts.table, data.labels))
    if not even:
        return weights
    labels = torch.from_numpy(data.labels)
    return weights * class_weights(labels, len(data.classes))[labels]


def _labels(cohort: Cohort, data: EvaluationData, artefacts: Sequence[str]) -> ArtefactLabels:
    return artefact_labels(cohort, data.samples).of(artefacts)


def _open_network(run: RunFolder, settings: RunSettings, tracker: Tracker) -> ExplainedNetwork:
    cohort = reopen_cohort(settings, run, tracker=tracker)
    return open_explained(settings, cohort, run=run)


def _space(run: RunFolder, spaces: Mapping[str, ArtefactSpace], name: str) -> ArtefactSpace:
    if name not in spaces:
        raise RunError(f"{run.path}: nothing called '{name}' to suppress; use {', '.join(spaces)}")
    return spaces[name]


def _carry_over(source: RunFolder, target: RunFolder) -> None:
    networks = [f"{stem}{ending}" for stem in NETWORKS for ending in (".safetensors", ".json")]
    for name in [*CARRIED, *filter(source.has, networks)]:
        with replacing(target.file(name)) as temporary:
            shutil.copyfile(source.file(name), temporary)
    record = source.read(RunRecord)
    inherited = {key: getattr(record, key) for key in INHERITED}
    target.write(target.read(RunRecord).model_copy(update=inherited))
