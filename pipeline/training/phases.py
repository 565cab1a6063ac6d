"""One phase of a run: train a network, record what its epochs measured, and leave it in the run folder."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.choices import Balance
from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort
from pipeline.data.loaders import class_indices
from pipeline.data.splits import Part
from pipeline.models.checkpoint import ModelDescription, save_model
from pipeline.models.inputs import training_loader, validation_loader
from pipeline.results.record import EpochFigures
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Tracker
from pipeline.training.engine import EpochHandler, Phase, PhaseTrainer
from pipeline.training.loss import TrainingLoss, class_weights


def train_phase(
    network: nn.Module,
    loss: TrainingLoss,
    *,
    phase: Phase,
    settings: RunSettings,
    cohort: Cohort,
    description: ModelDescription,
    run: RunFolder,
    tracker: Tracker,
    handlers: Sequence[EpochHandler] = (),
) -> None:
    """Train a network for one phase, in place; it ends with the parameters of its best epoch.

    What each epoch measured, and which one was the best, goes into ``run.json`` under the phase's name.

    Args:
        network: On its device.
        loss: What is minimised.
        phase: Its name, length, learning rate and seed.
        settings: Batches, optimiser, schedule and precision.
        cohort: Whose training part the network learns from, and whose validation part chooses the checkpoint.
        description: Of the network that sees the images.
        run: Holds the state of training between epochs, so that it can be resumed.
        tracker: Where progress is shown.
        handlers: What else takes part in training.
    """
    trainer = PhaseTrainer(
        network,
        loss,
        phase=phase,
        settings=settings.training,
        train=training_loader(settings, cohort, description, with_concepts=loss.needs_concepts),
        validation=validation_loader(settings, cohort, description),
        folder=run.path,
        tracker=tracker,
        handlers=handlers,
    )
    history = trainer.run()
    epochs = tuple(EpochFigures.model_validate(epoch) for epoch in history.epochs)
    run.record(history={phase.name: epochs}, best_epoch={phase.name: history.best_epoch})


def store_model(run: RunFolder, name: str, network: nn.Module, description: ModelDescription) -> None:
    """Write a model into the run folder, if this process is the one that writes."""
    if run.writes:
        save_model(run.path / name, network, description)


def diagnosis_weights(cohort: Cohort, balance: Balance) -> Tensor | None:
    """Weigh each diagnosis by the inverse of its frequency in the training part; None unless ``weights`` is asked for.

    Returns:
        One weight for each of the cohort's classes, with mean 1 over the training images.
    """
    if balance is not Balance.WEIGHTS:
        return None
    labels = class_indices(cohort.part(Part.TRAIN), cohort.classes)
    return class_weights(torch.from_numpy(labels), len(cohort.classes))
