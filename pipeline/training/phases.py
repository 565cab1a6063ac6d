"""The phases of a run that every run has: a plain network, and the concept-whitened one."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from ignite import distributed as idist
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pipeline.choices import Balance, Placement
from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort
from pipeline.data.loaders import CaseDataset, eval_loader, place_images, train_loader
from pipeline.data.sample import Sample
from pipeline.data.splits import Part
from pipeline.data.transforms import eval_transforms, train_transforms
from pipeline.models.backbones import Backbone, build_backbone
from pipeline.models.checkpoint import (
    ModelDescription,
    WhiteningDescription,
    load_model,
    main_layer,
    put_whitening,
    save_model,
    without_head,
)
from pipeline.models.weights import load_weights
from pipeline.models.whitened import subspaces_of
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Tracker
from pipeline.training.alignment import ConceptAlignment, align
from pipeline.training.axis_dropout import free_axes_dropped
from pipeline.training.engine import History, Phase, PhaseTrainer
from pipeline.training.freeze import freeze
from pipeline.training.loss import TrainingLoss, class_weights
from pipeline.whitening.surgery import whitening_layers

PLAIN = "plain"
AUXILIARY = "auxiliary"
MODEL = "model"


def describe(settings: RunSettings, cohort: Cohort) -> tuple[Backbone, ModelDescription]:
    """A network as the settings ask for it, with its weights, and the description that rebuilds it.

    Raises:
        SettingsError: If the architecture or layer is unknown.
        WeightsError: If the weights file does not fit.
    """
    torch.manual_seed(settings.seed)
    backbone = build_backbone(settings.model, len(cohort.classes))
    description = ModelDescription(
        architecture=settings.model.architecture,
        width=settings.model.width,
        classes=cohort.classes,
        size=settings.transforms.size,
        fit=settings.transforms.fit,
        margin=settings.transforms.margin,
        mean=backbone.mean,
        std=backbone.std,
    )
    return backbone, description


def check_model(settings: RunSettings, cohort: Cohort) -> None:
    """Refuse a network, weights file, layer or batch size that cannot work, before anything is trained.

    Raises:
        SettingsError: If the architecture or layer is unknown or cannot be whitened, or the batch is too large or
            cannot be divided among the processes.
        WeightsError: If the weights file does not fit.
    """
    backbone, description = describe(settings, cohort)
    if settings.model.weights is not None:
        load_weights(backbone.network, settings.model.weights.expanduser())
    freeze(backbone.network, settings.model.frozen)
    whiten(backbone.network, settings, cohort, description)
    training_loader(settings, cohort, description, with_concepts=False)
    validation_loader(settings, cohort, description)


def pretrained(
    settings: RunSettings, cohort: Cohort, *, run: RunFolder, tracker: Tracker
) -> tuple[nn.Module, ModelDescription]:
    """The network before any training here: initial weights, or those of the file that the settings name."""
    backbone, description = describe(settings, cohort)
    if settings.model.weights is not None:
        report = load_weights(backbone.network, settings.model.weights.expanduser())
        run.record(weights={"file": settings.model.weights.name} | asdict(report))
        tracker.say(f"weights: {len(report.loaded)} tensors loaded, {len(report.dropped)} dropped: {report.dropped}")
    return backbone.network.to(idist.device()), description


def train_plain(settings: RunSettings, cohort: Cohort, *, run: RunFolder, tracker: Tracker) -> None:
    """Fine-tune the plain network and store its best epoch as ``plain.safetensors`` and ``plain.json``."""
    network, description = pretrained(settings, cohort, run=run, tracker=tracker)
    freeze(network, settings.model.frozen)
    phase = Phase(
        name=PLAIN,
        epochs=settings.training.plain_epochs,
        learning_rate=settings.training.learning_rate,
        seed=settings.seed,
    )
    loss = TrainingLoss(
        class_weights=diagnosis_weights(settings, cohort), label_smoothing=settings.training.label_smoothing
    )
    trainer = PhaseTrainer(
        network,
        loss,
        phase=phase,
        settings=settings.training,
        train=training_loader(settings, cohort, description, with_concepts=False),
        validation=validation_loader(settings, cohort, description),
        folder=run.path,
        tracker=tracker,
    )
    record_history(run, phase, trainer.run())
    store_model(run, PLAIN, network, description)


def train_whitened(settings: RunSettings, cohort: Cohort, *, run: RunFolder, tracker: Tracker) -> None:
    """Put concept whitening into a trained network, align, fine-tune; store ``model.safetensors`` and its JSON."""
    network, description = load_model(run.path / settings.training.whitened_from.value)
    network, description = without_head(network, description)
    network = network.to(idist.device())
    probe = validation_loader(settings, cohort, description)
    before = all_logits(network, probe)
    description = whiten(network, settings, cohort, description)
    aligning = alignment_loader(settings, cohort, description)
    with tracker.task("aligning axes with concepts", 1) as advance:
        chosen = settings.training.alignment
        reports = align(
            network,
            aligning,
            objective=chosen.objective,
            shrinkage=chosen.shrinkage,
            refinement_steps=chosen.refinement_steps,
        )
        advance(1)
    run.record(alignment={name: report.to_json() for name, report in reports.items()})
    if settings.model.placement is Placement.INSERT:
        change = float(idist.all_reduce(float((all_logits(network, probe) - before).abs().max()), op="MAX"))
        run.record(insertion_change=change)
        tracker.say(f"insertion changes the logits of the validation images by at most {change:.1e}")
    phase = Phase(
        name="whitened",
        epochs=settings.training.whitened_epochs,
        learning_rate=settings.training.whitened_learning_rate,
        seed=settings.seed,
        layer=whitening_layers(network)[main_layer(network, description)],
    )
    freeze(network, settings.model.frozen)
    if phase.epochs > 0:
        trainer = _whitened_trainer(network, settings, cohort, description, phase, run, tracker)
        chosen_dropout = settings.training.free_axis_dropout
        with free_axes_dropped(network, chosen_dropout, settings.training.free_axes_in_evaluation):
            record_history(run, phase, trainer.run())
    store_model(run, MODEL, network, description)


def whiten(
    network: nn.Module, settings: RunSettings, cohort: Cohort, description: ModelDescription
) -> ModelDescription:
    """Put the whitening layer into a plain network, in place; returns the description with the layer in it."""
    whitening = WhiteningDescription(
        layer=layer_name(settings, cohort),
        further_layers=settings.model.further_layers,
        placement=settings.model.placement,
        activation=settings.model.activation,
        concepts=cohort.concepts,
        subspaces=subspaces_of(settings.concepts),
    )
    put_whitening(network, whitening)
    return description.model_copy(update={"whitening": whitening})


def layer_name(settings: RunSettings, cohort: Cohort) -> str:
    """The module that concept whitening replaces or follows: the one asked for, or the backbone's recommended one."""
    return settings.model.layer or build_backbone(settings.model, len(cohort.classes)).layer


def training_loader(
    settings: RunSettings, cohort: Cohort, description: ModelDescription, *, with_concepts: bool
) -> DataLoader[Any]:
    """This process's share of augmented, balanced batches of the training part."""
    dataset = _dataset(settings, cohort, cohort.part(Part.TRAIN), train_transforms, description, with_concepts)
    return train_loader(dataset, balance=settings.training.balance, **_share(settings))


def alignment_loader(settings: RunSettings, cohort: Cohort, description: ModelDescription) -> DataLoader[Any]:
    """This process's share of the training images as evaluation sees them, with concepts and regions."""
    dataset = _dataset(settings, cohort, cohort.part(Part.TRAIN), eval_transforms, description, True)
    return eval_loader(dataset, **_share(settings))


def validation_loader(settings: RunSettings, cohort: Cohort, description: ModelDescription) -> DataLoader[Any]:
    """This process's share of the validation images, as evaluation sees them, with concept labels."""
    dataset = _evaluation_dataset(settings, cohort, description, cohort.part(Part.VALIDATION))
    return eval_loader(dataset, **_share(settings))


def evaluation_loader(
    settings: RunSettings, cohort: Cohort, description: ModelDescription, samples: Sequence[Sample]
) -> DataLoader[Any]:
    """Images as evaluation sees them, all of them and in order, with concept labels."""
    dataset = _evaluation_dataset(settings, cohort, description, samples)
    return eval_loader(dataset, batch_size=settings.training.batch_size, workers=settings.data.workers)


def store_model(run: RunFolder, name: str, network: nn.Module, description: ModelDescription) -> None:
    """Write a model into the run folder, if this process is the one that writes."""
    if run.writes:
        save_model(run.path / name, network, description)


@torch.no_grad()
def all_logits(network: nn.Module, loader: DataLoader[Any]) -> Tensor:
    """N x D logits of a network in evaluation mode over all batches of a loader."""
    network.eval()
    device = next(network.parameters()).device
    return torch.cat([network(place_images(batch["image"], device)).float().cpu() for batch in loader])


def _whitened_trainer(
    network: nn.Module,
    settings: RunSettings,
    cohort: Cohort,
    description: ModelDescription,
    phase: Phase,
    run: RunFolder,
    tracker: Tracker,
) -> PhaseTrainer:
    loss = TrainingLoss(
        class_weights=diagnosis_weights(settings, cohort),
        label_smoothing=settings.training.label_smoothing,
        layers=tuple(whitening_layers(network).values()),
        concept_settings=settings.training.concept_loss,
    )
    alignment = ConceptAlignment(
        network,
        alignment_loader(settings, cohort, description),
        schedule=settings.training.alignment.schedule,
        objective=settings.training.alignment.objective,
        every=settings.training.alignment.every,
        shrinkage=settings.training.alignment.shrinkage,
        refinement_steps=settings.training.alignment.refinement_steps,
    )
    return PhaseTrainer(
        network,
        loss,
        phase=phase,
        settings=settings.training,
        train=training_loader(settings, cohort, description, with_concepts=loss.needs_concepts),
        validation=validation_loader(settings, cohort, description),
        folder=run.path,
        tracker=tracker,
        handlers=(alignment,),
    )


def _evaluation_dataset(
    settings: RunSettings, cohort: Cohort, description: ModelDescription, samples: Sequence[Sample]
) -> CaseDataset:
    return CaseDataset(
        samples,
        cache=cohort.cache,
        transform=eval_transforms(settings.transforms, description.mean, description.std),
        classes=cohort.classes,
        concept_labels=cohort.concept_labels(samples),
        region_paths=None,
        seed=settings.seed,
    )


def _share(settings: RunSettings) -> dict[str, int]:
    return {
        "batch_size": settings.training.batch_size,
        "workers": settings.data.workers,
        "rank": idist.get_rank(),
        "world_size": idist.get_world_size(),
    }


def _dataset(
    settings: RunSettings,
    cohort: Cohort,
    samples: Sequence[Sample],
    transforms: Any,  # noqa: ANN401  # train_transforms or eval_transforms
    description: ModelDescription,
    with_concepts: bool,
) -> CaseDataset:
    cohort.refuse_test_images(samples)
    return CaseDataset(
        samples,
        cache=cohort.cache,
        transform=transforms(settings.transforms, description.mean, description.std),
        classes=cohort.classes,
        concept_labels=cohort.concept_labels(samples) if with_concepts else None,
        region_paths=cohort.concept_regions(samples) if with_concepts else None,
        seed=settings.seed,
    )


def diagnosis_weights(settings: RunSettings, cohort: Cohort) -> Tensor | None:
    """Weight of each diagnosis in the loss, or None where the settings ask for none."""
    if settings.training.balance is not Balance.WEIGHTS:
        return None
    labels = torch.tensor([cohort.classes.index(sample.diagnosis) for sample in cohort.part(Part.TRAIN)])
    return class_weights(labels, len(cohort.classes))


def record_history(run: RunFolder, phase: Phase, history: History) -> None:
    """Leave in ``run.json`` what each epoch of a phase measured, and which epoch was kept."""
    run.record(history={phase.name: history.epochs}, best_epoch={phase.name: history.best_epoch})
