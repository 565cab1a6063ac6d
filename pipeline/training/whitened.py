"""The whitened phase: concept whitening goes into a trained network, is aligned, and fine-tuned."""

from typing import Any

import torch
from ignite import distributed as idist
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pipeline.choices import Placement
from pipeline.config import AlignmentSettings, RunSettings
from pipeline.data.cohort import Cohort
from pipeline.data.loaders import place_images
from pipeline.models.checkpoint import ModelDescription, load_model, main_layer, put_whitening, without_head
from pipeline.models.inputs import alignment_loader, validation_loader
from pipeline.run.files import MODEL
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Tracker
from pipeline.training.alignment import ConceptAlignment, align
from pipeline.training.axis_dropout import free_axes_dropped
from pipeline.training.engine import Phase
from pipeline.training.freeze import freeze
from pipeline.training.loss import TrainingLoss
from pipeline.training.phases import diagnosis_weights, store_model, train_phase
from pipeline.training.start import whitening_of
from pipeline.whitening.surgery import whitening_layers

PHASE = "whitened"
"""Name of the phase in ``run.json`` and in the files of its training."""


def train_whitened(settings: RunSettings, cohort: Cohort, *, run: RunFolder, tracker: Tracker) -> None:
    """Put concept whitening into a trained network, align, fine-tune; store ``model.safetensors`` and its JSON.

    ``run.json`` gets a report of the alignment and, where the layer was inserted, ``insertion_change``: by how much
    insertion and alignment changed the validation logits at most.
    """
    network, description = load_model(run.path / settings.training.whitened_from.value)
    network, description = without_head(network, description)
    network = network.to(idist.device())
    probe = validation_loader(settings, cohort, description)
    before = all_logits(network, probe)
    whitening = whitening_of(settings.model, settings.concepts, cohort.concepts)
    put_whitening(network, whitening)
    description = description.model_copy(update={"whitening": whitening})
    _align(network, alignment_loader(settings, cohort, description), settings.training.alignment, run, tracker)
    if whitening.placement is Placement.INSERT:
        change = largest_change(before, all_logits(network, probe))
        run.record(insertion_change=change)
        tracker.say(f"insertion changes the logits of the validation images by at most {change:.1e}")
    freeze(network, settings.model.frozen)
    if settings.training.whitened_epochs > 0:
        _fine_tune(network, description, settings, cohort, run=run, tracker=tracker)
    store_model(run, MODEL, network, description)


@torch.no_grad()
def all_logits(network: nn.Module, loader: DataLoader[Any]) -> Tensor:
    """Return the N x D logits of a network in evaluation mode over all batches of a loader, on the CPU in float32."""
    network.eval()
    device = next(network.parameters()).device
    return torch.cat([network(place_images(batch["image"], device)).float().cpu() for batch in loader])


def largest_change(before: Tensor, after: Tensor) -> float:
    """Return the largest absolute difference of two tensors, over all processes of a distributed run.

    Example:
        >>> largest_change(torch.tensor([1.0, 2.0]), torch.tensor([1.0, -1.0]))
        3.0
    """
    return float(idist.all_reduce(float((after - before).abs().max()), op="MAX"))


def _align(
    network: nn.Module, loader: DataLoader[Any], settings: AlignmentSettings, run: RunFolder, tracker: Tracker
) -> None:
    with tracker.task("aligning axes with concepts", 1) as advance:
        reports = align(
            network,
            loader,
            objective=settings.objective,
            shrinkage=settings.shrinkage,
            refinement_steps=settings.refinement_steps,
        )
        advance(1)
    run.record(alignment=reports)


def _fine_tune(
    network: nn.Module,
    description: ModelDescription,
    settings: RunSettings,
    cohort: Cohort,
    *,
    run: RunFolder,
    tracker: Tracker,
) -> None:
    training, alignment = settings.training, settings.training.alignment
    layers = whitening_layers(network)
    loss = TrainingLoss(
        class_weights=diagnosis_weights(cohort, training.balance),
        label_smoothing=training.label_smoothing,
        layers=tuple(layers.values()),
        concept_settings=training.concept_loss,
    )
    handler = ConceptAlignment(
        network,
        alignment_loader(settings, cohort, description),
        schedule=alignment.schedule,
        objective=alignment.objective,
        every=alignment.every,
        shrinkage=alignment.shrinkage,
        refinement_steps=alignment.refinement_steps,
    )
    with free_axes_dropped(network, training.free_axis_dropout, training.free_axes_in_evaluation):
        train_phase(
            network,
            loss,
            phase=Phase(
                name=PHASE,
                epochs=training.whitened_epochs,
                learning_rate=training.whitened_learning_rate,
                seed=settings.seed,
                layer=layers[main_layer(network, description)],
            ),
            settings=settings,
            cohort=cohort,
            description=description,
            run=run,
            tracker=tracker,
            handlers=(handler,),
        )
