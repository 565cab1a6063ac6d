"""The network before any training, and what is refused before a run begins."""

from collections.abc import Sequence

import torch
from ignite import distributed as idist
from torch import nn

from pipeline.config import ConceptSettings, ModelSettings, RunSettings, TransformSettings
from pipeline.data.cohort import Cohort
from pipeline.models.backbones import Backbone, build_backbone, layer_name
from pipeline.models.checkpoint import ModelDescription, WhiteningDescription, put_whitening
from pipeline.models.inputs import training_loader, validation_loader
from pipeline.models.weights import load_weights
from pipeline.models.whitened import subspaces_of
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Tracker
from pipeline.run.seeds import Stream, torch_seed
from pipeline.training.freeze import freeze


def describe(
    settings: ModelSettings, transforms: TransformSettings, *, classes: Sequence[str], seed: int
) -> tuple[Backbone, ModelDescription]:
    """Build a network as the settings ask for it, with random weights, and the description that rebuilds it.

    Args:
        settings: Architecture, width and placement are read.
        transforms: How images reach the network.
        classes: Diagnoses in the order of the outputs.
        seed: The run's; the weights are drawn from its stream of weights.

    Raises:
        SettingsError: If the architecture is unknown, or has no width to set.
    """
    torch.manual_seed(torch_seed(seed, Stream.WEIGHTS))
    backbone = build_backbone(settings, len(classes))
    description = ModelDescription(
        architecture=settings.architecture,
        width=settings.width,
        classes=tuple(classes),
        size=transforms.size,
        fit=transforms.fit,
        margin=transforms.margin,
        mean=backbone.mean,
        std=backbone.std,
    )
    return backbone, description


def pretrained(
    settings: RunSettings, cohort: Cohort, *, run: RunFolder, tracker: Tracker
) -> tuple[nn.Module, ModelDescription]:
    """Build the network before any training here: initial weights, or those of the file that the settings name.

    What became of a file's tensors is recorded in ``run.json`` as ``weights``. The network is on the
    process's device.

    Raises:
        SettingsError: If the architecture or a module to freeze is unknown.
        WeightsError: If the weights file does not fit.
    """
    backbone, description = describe(settings.model, settings.transforms, classes=cohort.classes, seed=settings.seed)
    if settings.model.weights is not None:
        weights = load_weights(backbone.network, settings.model.weights.expanduser())
        run.record(weights=weights)
        tracker.say(f"weights: {len(weights.loaded)} tensors loaded, {len(weights.dropped)} dropped: {weights.dropped}")
    return backbone.network.to(idist.device()), description


def check_model(settings: RunSettings, cohort: Cohort) -> None:
    """Refuse a network, weights file, layer or batch size that cannot work, before anything is trained.

    Raises:
        SettingsError: If the architecture, the layer or a module to freeze is unknown, the layer cannot be whitened,
            or the batch is too large or cannot be divided among the processes.
        WeightsError: If the weights file does not fit.
    """
    backbone, description = describe(settings.model, settings.transforms, classes=cohort.classes, seed=settings.seed)
    if settings.model.weights is not None:
        load_weights(backbone.network, settings.model.weights.expanduser())
    freeze(backbone.network, settings.model.frozen)
    put_whitening(backbone.network, whitening_of(settings.model, settings.concepts, cohort.concepts))
    training_loader(settings, cohort, description, with_concepts=False)
    validation_loader(settings, cohort, description)


def whitening_of(
    settings: ModelSettings, concept_settings: ConceptSettings, concepts: Sequence[str]
) -> WhiteningDescription:
    """Describe the whitened layers that the settings ask for.

    Args:
        settings: Layers, placement and activation are read.
        concept_settings: Subspaces are read.
        concepts: Identifiers of the concepts in axis order.

    Raises:
        SettingsError: If the architecture is unknown, or a subspace contradicts itself.
    """
    return WhiteningDescription(
        layer=layer_name(settings),
        further_layers=settings.further_layers,
        placement=settings.placement,
        activation=settings.activation,
        concepts=tuple(concepts),
        subspaces=subspaces_of(concept_settings),
    )
