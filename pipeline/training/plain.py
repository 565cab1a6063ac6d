"""The plain phase: a network that learns the diagnosis alone."""

from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort
from pipeline.run.files import PLAIN
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Tracker
from pipeline.training.engine import Phase
from pipeline.training.freeze import freeze
from pipeline.training.loss import TrainingLoss
from pipeline.training.phases import diagnosis_weights, store_model, train_phase
from pipeline.training.start import pretrained


def train_plain(settings: RunSettings, cohort: Cohort, *, run: RunFolder, tracker: Tracker) -> None:
    """Fine-tune the plain network and store its best epoch as ``plain.safetensors`` and ``plain.json``."""
    training = settings.training
    network, description = pretrained(settings, cohort, run=run, tracker=tracker)
    freeze(network, settings.model.frozen)
    train_phase(
        network,
        TrainingLoss(
            class_weights=diagnosis_weights(cohort, training.balance), label_smoothing=training.label_smoothing
        ),
        phase=Phase(name=PLAIN, epochs=training.plain_epochs, learning_rate=training.learning_rate, seed=settings.seed),
        settings=settings,
        cohort=cohort,
        description=description,
        run=run,
        tracker=tracker,
    )
    store_model(run, PLAIN, network, description)
