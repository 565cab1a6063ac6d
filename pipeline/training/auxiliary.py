"""A network that learns diagnosis and concepts together, through a concept head and without whitening."""

from ignite import distributed as idist

from pipeline.config import ConceptLossSettings, RunSettings
from pipeline.data.cohort import Cohort
from pipeline.models.checkpoint import HeadDescription, load_model
from pipeline.models.concept_head import put_head
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Tracker
from pipeline.training.engine import Phase, PhaseTrainer
from pipeline.training.freeze import freeze
from pipeline.training.loss import TrainingLoss
from pipeline.training.phases import (
    AUXILIARY,
    PLAIN,
    diagnosis_weights,
    layer_name,
    pretrained,
    record_history,
    store_model,
    training_loader,
    validation_loader,
)


def train_auxiliary(settings: RunSettings, cohort: Cohort, *, run: RunFolder, tracker: Tracker) -> None:
    """Train with a concept head at the layer; store ``auxiliary.safetensors`` and its JSON."""
    layer, chosen = layer_name(settings, cohort), settings.training.auxiliary
    if chosen.from_plain:
        network, description = load_model(run.path / PLAIN)
        network = network.to(idist.device())
    else:
        network, description = pretrained(settings, cohort, run=run, tracker=tracker)
    head = put_head(network, layer, cohort.concepts, activation=settings.model.activation)
    hung = HeadDescription(layer=layer, activation=head.activation, concepts=head.concepts)
    description = description.model_copy(update={"head": hung})
    phase = Phase(
        name=AUXILIARY, epochs=chosen.epochs, learning_rate=chosen.learning_rate, seed=settings.seed, layer=head
    )
    freeze(network, settings.model.frozen)
    trainer = PhaseTrainer(
        network,
        TrainingLoss(
            class_weights=diagnosis_weights(settings, cohort),
            label_smoothing=settings.training.label_smoothing,
            layers=(head,),
            concept_settings=ConceptLossSettings(weight=chosen.weight, region_weight=chosen.region_weight),
        ),
        phase=phase,
        settings=settings.training,
        train=training_loader(settings, cohort, description, with_concepts=True),
        validation=validation_loader(settings, cohort, description),
        folder=run.path,
        tracker=tracker,
    )
    record_history(run, phase, trainer.run())
    store_model(run, AUXILIARY, network, description)
