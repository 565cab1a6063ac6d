"""The auxiliary phase: a network that learns diagnosis and concepts together, without whitening."""

from ignite import distributed as idist
from torch import nn

from pipeline.config import ConceptLossSettings, RunSettings
from pipeline.data.cohort import Cohort
from pipeline.models.backbones import layer_name
from pipeline.models.checkpoint import HeadDescription, ModelDescription, load_model
from pipeline.models.concept_head import put_head
from pipeline.run.files import AUXILIARY, PLAIN
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Tracker
from pipeline.training.engine import Phase
from pipeline.training.freeze import freeze
from pipeline.training.loss import TrainingLoss
from pipeline.training.phases import diagnosis_weights, store_model, train_phase
from pipeline.training.start import pretrained


def train_auxiliary(settings: RunSettings, cohort: Cohort, *, run: RunFolder, tracker: Tracker) -> None:
    """Train with a concept head at the layer; store ``auxiliary.safetensors`` and its JSON."""
    training, auxiliary = settings.training, settings.training.auxiliary
    network, description = _starting_network(settings, cohort, run=run, tracker=tracker)
    head = put_head(network, layer_name(settings.model), cohort.concepts, activation=settings.model.activation)
    freeze(network, settings.model.frozen)
    train_phase(
        network,
        TrainingLoss(
            class_weights=diagnosis_weights(cohort, training.balance),
            label_smoothing=training.label_smoothing,
            layers=(head,),
            concept_settings=ConceptLossSettings(weight=auxiliary.weight, region_weight=auxiliary.region_weight),
        ),
        phase=Phase(
            name=AUXILIARY,
            epochs=auxiliary.epochs,
            learning_rate=auxiliary.learning_rate,
            seed=settings.seed,
            layer=head,
        ),
        settings=settings,
        cohort=cohort,
        description=description,
        run=run,
        tracker=tracker,
    )
    head_description = HeadDescription(
        layer=layer_name(settings.model), activation=head.activation, concepts=head.concepts
    )
    store_model(run, AUXILIARY, network, description.model_copy(update={"head": head_description}))


def _starting_network(
    settings: RunSettings, cohort: Cohort, *, run: RunFolder, tracker: Tracker
) -> tuple[nn.Module, ModelDescription]:
    if not settings.training.auxiliary.from_plain:
        return pretrained(settings, cohort, run=run, tracker=tracker)
    network, description = load_model(run.path / PLAIN)
    return network.to(idist.device()), description
