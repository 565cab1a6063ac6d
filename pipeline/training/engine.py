"""One phase of training on MONAI's `SupervisedTrainer`: seeded, validated each epoch, resumable."""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from ignite import distributed as idist
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys as Keys
from torch import nn
from torch.utils.data import DataLoader

from concepts.errors import RunError
from pipeline.config import TrainingSettings
from pipeline.data.loaders import CaseDataset
from pipeline.models.concept_head import ConceptHead
from pipeline.models.state import load_state, save_state
from pipeline.run.progress import Tracker
from pipeline.run.seeds import Stream, torch_seed
from pipeline.training.loss import TrainingLoss
from pipeline.training.precision import PrecisionInferer
from pipeline.training.processes import agreed, is_first
from pipeline.training.validation import prepare_batch, validate
from pipeline.training.whole_batch import see_whole_batch
from pipeline.whitening.distributed import average_gradients, take_from_first
from pipeline.whitening.layer import ConceptWhitening


class EpochHandler(Protocol):
    """A handler that takes part in training and whose state belongs to the run's, e.g. `ConceptAlignment`."""

    def attach(self, engine: Engine) -> None:
        """Register on the trainer's events."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state: tensors and numbers."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training.

    Attributes:
        name: ``plain``, ``auxiliary`` or ``whitened``; names files and progress bars.
        epochs: Passes over the training loader.
        learning_rate: Peak of the schedule.
        seed: The run's, from which every epoch's own seed is derived.
        layer: The whitened layer, or concept head, whose axes count in the choice of the checkpoint, or None.
    """

    name: str
    epochs: int
    learning_rate: float
    seed: int
    layer: ConceptWhitening | ConceptHead | None = None


@dataclass
class History:
    """What was measured after each epoch on the validation part, and which epoch is the best.

    Attributes:
        epochs: By epoch, its number, its figures (`pipeline.training.validation.validate`) and its mean training loss.
        best_epoch: Number of the best epoch, from 1; 0 before the first.
        best_score: Its score (`checkpoint_score`).
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = -math.inf

    def add(self, epoch: int, figures: Mapping[str, float]) -> bool:
        """Add an epoch and return whether it is the best so far; the earlier of two equally good ones stays the best.

        Example:
            >>> history = History()
            >>> [history.add(1, {"macro_auc": 0.7}), history.add(2, {"macro_auc": 0.7})]
            [True, False]
        """
        self.epochs.append({"epoch": epoch, **figures})
        score = checkpoint_score(figures)
        if score > self.best_score:
            self.best_score, self.best_epoch = score, epoch
        return self.best_epoch == epoch


class PhaseTrainer:
    """Trains a network for one phase; writes its state after every epoch, and resumes from it.

    The network ends with the parameters of the epoch that has the highest `checkpoint_score` on the validation part.
    The test part is never seen here.

    In a distributed run every process has its share of the training batches and of the validation images; it ends with
    the network that one process with the whole batches would have, and the first process writes the files.

    Args:
        network: On its device; changed in place.
        loss: What is minimised.
        phase: Name, length, learning rate and seed.
        settings: Weight decay, warm-up and precision are read.
        train: Training batches; the data set draws by epoch (`CaseDataset.set_epoch`).
        validation: Validation batches.
        folder: Where the state and the best parameters are written.
        tracker: Where progress is shown.
        handlers: What else takes part in training; attached before the end of an epoch is handled here.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: TrainingLoss,
        *,
        phase: Phase,
        settings: TrainingSettings,
        train: DataLoader[Any],
        validation: DataLoader[Any],
        folder: Path,
        tracker: Tracker,
        handlers: Sequence[EpochHandler] = (),
    ) -> None:
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.train, self.validation, self.folder, self.tracker = train, validation, folder, tracker
        self.handlers = list(handlers)
        self.history = History()
        self._losses: list[float] = []
        self.device = next(network.parameters()).device
        see_whole_batch(self.network)
        self.loss, self.phase, self.settings = loss.to(self.device), phase, settings
        self.optimizer = torch.optim.AdamW(
            parameter_groups([network, loss], weight_decay=settings.weight_decay), lr=phase.learning_rate
        )

    @property
    def state_file(self) -> Path:
        """The file that holds the state after the last finished epoch."""
        return self.folder / f"{self.phase.name}.state.safetensors"

    @property
    def best_file(self) -> Path:
        """The file that holds the best epoch's parameters."""
        return self.folder / f"{self.phase.name}.best.safetensors"

    def run(self) -> History:
        """Train to the last epoch, then load the best epoch's parameters into the network.

        Raises:
            RunError: If the loss is no longer finite.
        """
        trainer = self._trainer()
        self._resume(trainer)
        take_from_first(self.network)
        remaining = (trainer.state.max_epochs - trainer.state.epoch) * len(self.train)
        if remaining > 0:
            with self.tracker.task(f"training, {self.phase.name}", remaining) as advance:
                trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda _: advance(1))
                trainer.run()
        self.network.load_state_dict(load_state(self.best_file)["network"])
        return self.history

    def _trainer(self) -> SupervisedTrainer:
        trainer = SupervisedTrainer(
            device=self.device,
            max_epochs=self.phase.epochs,
            train_data_loader=self.train,
            network=self.network,
            optimizer=self.optimizer,
            loss_function=self.loss,
            prepare_batch=prepare_batch,
            inferer=PrecisionInferer(self.settings.precision),
            decollate=False,
        )
        trainer.add_event_handler(Events.EPOCH_STARTED, self._seed_epoch)
        trainer.add_event_handler(Events.ITERATION_STARTED, self._set_learning_rate)
        trainer.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self._average_gradients)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._refuse_divergence)
        for handler in self.handlers:
            handler.attach(trainer)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._finish_epoch)
        return trainer

    def _seed_epoch(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        torch.manual_seed(epoch_seed(self.phase, epoch))
        cast(CaseDataset, self.train.dataset).set_epoch(epoch)

    def _set_learning_rate(self, engine: Engine) -> None:
        total = engine.state.max_epochs * engine.state.epoch_length
        factor = warmup_cosine(engine.state.iteration - 1, total, warmup=self.settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = self.phase.learning_rate * factor

    def _average_gradients(self, _engine: Engine) -> None:
        average_gradients([*self.network.parameters(), *self.loss.parameters()])

    def _refuse_divergence(self, engine: Engine) -> None:
        value = float(engine.state.output[Keys.LOSS].detach())
        if not math.isfinite(value):
            with agreed():  # the loss is that of the whole batch, so all processes come here
                raise RunError(f"the loss became {value} in step {engine.state.iteration}; lower the learning rate")
        self._losses.append(value)

    def _finish_epoch(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        figures = validate(self.network, self.validation, layer=self.phase.layer, precision=self.settings.precision)
        figures["loss"] = float(np.mean(self._losses))
        self._losses = []
        if self.history.add(epoch, figures):
            self._write(self.best_file, {"network": self.network.state_dict()})
        self._write(self.state_file, self._state(epoch))
        sentence = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        self.tracker.say(f"{self.phase.name} epoch {epoch}/{self.phase.epochs}: {sentence}")

    def _state(self, epoch: int) -> dict[str, Any]:
        return {
            "epoch": epoch,
            "network": self.network.state_dict(),
            "loss": self.loss.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "handlers": [handler.state_dict() for handler in self.handlers],
            "history": self.history.epochs,
            "best": {"epoch": self.history.best_epoch, "score": self.history.best_score},
        }

    def _write(self, path: Path, tree: dict[str, Any]) -> None:
        if is_first():
            save_state(path, tree)
        idist.barrier()

    def _resume(self, trainer: SupervisedTrainer) -> None:
        if not self.state_file.exists():
            return
        state = load_state(self.state_file)
        self.network.load_state_dict(state["network"])
        self.loss.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])
        for handler, handler_state in zip(self.handlers, state["handlers"], strict=True):
            handler.load_state_dict(handler_state)
        self.history = History(state["history"], state["best"]["epoch"], state["best"]["score"])
        trainer.state.epoch = state["epoch"]
        trainer.state.iteration = state["epoch"] * len(self.train)
        self.tracker.say(f"{self.phase.name}: resumed after epoch {state['epoch']}")


def checkpoint_score(figures: Mapping[str, float]) -> float:
    """Return the figure by which the checkpoint is chosen: the diagnosis and the axes count the same.

    Args:
        figures: From `pipeline.training.validation.validate`.

    Returns:
        The macro AUC of the diagnosis; averaged with the mean AUC of the named axes, where that was measured.

    Example:
        >>> checkpoint_score({"macro_auc": 0.75, "axis_auc": 0.25, "loss": 9.0})
        0.5
    """
    return float(np.mean([figures[name] for name in ("macro_auc", "axis_auc") if name in figures]))


def parameter_groups(modules: Sequence[nn.Module], *, weight_decay: float) -> list[dict[str, Any]]:
    """Group the parameters that are trained: matrices decay, vectors (normalisations, offsets) do not."""
    parameters = [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def warmup_cosine(step: int, total: int, *, warmup: float) -> float:
    """Return the factor of the learning rate at a step.

    It rises linearly to 1 over the first share of steps, then falls along a cosine: with r steps of rise it is
    (step + 1) / r before step r, and (1 + cos(pi (step - r) / (total - r))) / 2 from there on.

    Args:
        step: From 0.
        total: Steps of the phase.
        warmup: Share of the steps in which it rises; at least one step.

    Example:
        >>> [warmup_cosine(step, 4, warmup=0.5) for step in range(4)]
        [0.5, 1.0, 1.0, 0.5]
    """
    rise = max(1, round(warmup * total))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def epoch_seed(phase: Phase, epoch: int) -> int:
    """Return the seed of one epoch of one phase; the same whether or not the run was interrupted before."""
    return torch_seed(phase.seed, Stream.EPOCH, zlib.crc32(phase.name.encode()), epoch)
