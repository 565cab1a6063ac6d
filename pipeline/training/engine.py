"""One phase of training on MONAI's `SupervisedTrainer`: seeded, validated each epoch, resumable."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from ignite import distributed as idist
from ignite.engine import Engine, Events
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.handlers import ROCAUC
from monai.utils import evenly_divisible_all_gather
from monai.utils.enums import CommonKeys as Keys
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.utils.data import DataLoader

from concepts.errors import RunError
from pipeline.choices import Precision
from pipeline.config import TrainingSettings
from pipeline.data.loaders import CaseDataset, place_images
from pipeline.models.concept_head import ConceptHead
from pipeline.models.state import load_state, save_state
from pipeline.run.progress import Tracker
from pipeline.training.loss import TrainingLoss
from pipeline.training.precision import PrecisionInferer, at_least_float32
from pipeline.training.processes import agreed, is_first
from pipeline.training.whole_batch import see_whole_batch
from pipeline.whitening.distributed import average_gradients, take_from_first
from pipeline.whitening.layer import ConceptWhitening


class EpochHandler(Protocol):
    """A handler that takes part in training and whose state belongs to the run's, e.g. `ConceptAlignment`."""

    def attach(self, engine: Engine) -> None:
        """Register on the trainer's events."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of training.

    Attributes:
        name: ``plain`` or ``whitened``; names files and progress bars.
        epochs: Passes over the training loader.
        learning_rate: Peak of the schedule.
        seed: From which every epoch's own seed is derived.
        layer: The whitened layer, or concept head, whose axes count in the choice of the checkpoint, or None.
    """

    name: str
    epochs: int
    learning_rate: float
    seed: int
    layer: ConceptWhitening | ConceptHead | None = None


@dataclass
class History:
    """What was measured after each epoch on the validation part, and which epoch was kept."""

    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = -math.inf


class PhaseTrainer:
    """Trains a network for one phase; writes its state after every epoch, and goes on from it.

    The kept checkpoint is the epoch with the highest validation score: the macro AUC of the diagnosis, averaged with
    the mean AUC of the named axes where the phase has a whitened layer. The test part is never seen here.

    In a distributed run every process has its share of the training batches and of the validation images; it ends with
    the network that one process with the whole batches would have, and the first process writes the files.
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
        """Where the state after the last finished epoch lies."""
        return self.folder / f"{self.phase.name}.state.safetensors"

    @property
    def best_file(self) -> Path:
        """Where the best epoch's parameters lie."""
        return self.folder / f"{self.phase.name}.best.safetensors"

    def run(self) -> History:
        """Train to the last epoch, then load the best epoch's parameters into the network."""
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
        figures = validate(self.network, self.validation, layer=self.phase.layer, precision=self.settings.precision)
        figures["loss"] = float(np.mean(self._losses))
        self._losses = []
        score = float(np.mean([figures[name] for name in ("macro_auc", "axis_auc") if name in figures]))
        self.history.epochs.append({"epoch": engine.state.epoch} | figures)
        if score > self.history.best_score:
            self.history.best_score, self.history.best_epoch = score, engine.state.epoch
            self._write(self.best_file, {"network": self.network.state_dict()})
        self._write(self.state_file, self._state(engine.state.epoch))
        shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        self.tracker.say(f"{self.phase.name} epoch {engine.state.epoch}/{self.phase.epochs}: {shown}")

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
        for handler, kept in zip(self.handlers, state["handlers"], strict=True):
            handler.load_state_dict(kept)
        self.history = History(state["history"], state["best"]["epoch"], state["best"]["score"])
        trainer.state.epoch = state["epoch"]
        trainer.state.iteration = state["epoch"] * len(self.train)
        self.tracker.say(f"{self.phase.name}: resumed after epoch {state['epoch']}")


def prepare_batch(
    batch: Mapping[str, Tensor],
    device: torch.device,
    non_blocking: bool = False,
    **_: Any,  # noqa: ANN401
) -> tuple[Tensor, dict[str, Tensor]]:
    """Split a batch into the network's input and everything that the loss may need."""
    moved = {key: value.to(device, non_blocking=non_blocking) for key, value in batch.items()}
    return place_images(moved.pop("image"), device), moved


@torch.no_grad()
def validate(
    network: nn.Module,
    loader: DataLoader[Any],
    *,
    layer: ConceptWhitening | ConceptHead | None,
    precision: Precision = Precision.FLOAT32,
) -> dict[str, float]:
    """Macro AUC of the diagnosis and, with a whitened layer, the mean AUC of its named axes, on one loader.

    In a distributed run: on the loaders of all processes together.
    """
    device = next(network.parameters()).device
    metric = ROCAUC(average="macro", output_transform=_scores_and_targets)
    evaluator = SupervisedEvaluator(
        device=device,
        val_data_loader=loader,
        network=network,
        prepare_batch=prepare_batch,
        inferer=PrecisionInferer(precision),
        key_val_metric={"macro_auc": metric},
        decollate=False,
    )
    rows: list[tuple[Tensor, Tensor]] = []
    kept: list[Tensor] = []
    hook = (
        layer.register_forward_hook(lambda module, _, output: kept.append(module.pool(at_least_float32(output))))
        if layer
        else None
    )
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: _collect(engine, kept, rows))
    evaluator.run()
    if hook:
        hook.remove()
    figures = {"macro_auc": float(evaluator.state.metrics["macro_auc"])}
    if rows:
        figures["axis_auc"] = mean_axis_auc(*(_whole(part).cpu().numpy() for part in zip(*rows, strict=True)))
    return figures


def mean_axis_auc(activations: np.ndarray, labels: np.ndarray) -> float:
    """Mean over concepts of the AUC of an axis, present against absent; concepts with one kind only are left out.

    Args:
        activations: N x k.
        labels: N x k; 1 present, 0 absent, NaN unknown.
    """
    values = []
    for axis, truth in zip(activations.T, labels.T, strict=True):
        known = ~np.isnan(truth)
        if len(np.unique(truth[known])) == 2:
            values.append(float(roc_auc_score(truth[known], axis[known])))
    return float(np.mean(values)) if values else 0.5


def parameter_groups(modules: Sequence[nn.Module], *, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay, vectors (norms, offsets) do not."""
    parameters = [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]
    return [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": weight_decay},
        {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
    ]


def warmup_cosine(step: int, total: int, *, warmup: float) -> float:
    """Factor of the learning rate at a step: a linear rise over the first share of steps, then a cosine to zero."""
    rise = max(1, round(warmup * total))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def epoch_seed(phase: Phase, epoch: int) -> int:
    """The seed of one epoch of one phase; the same whether or not the run was interrupted before."""
    words = [phase.seed, *phase.name.encode(), epoch]
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def _whole(parts: Sequence[Tensor]) -> Tensor:
    """Rows of all batches, of all processes."""
    return cast(Tensor, evenly_divisible_all_gather(torch.cat(list(parts))))


def _scores_and_targets(output: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    scores = output[Keys.PRED].softmax(dim=1)
    return scores, nn.functional.one_hot(output[Keys.LABEL]["label"], scores.shape[1])


def _collect(engine: Engine, kept: list[Tensor], rows: list[tuple[Tensor, Tensor]]) -> None:
    if kept and "concepts" in engine.state.output[Keys.LABEL]:
        rows.append((kept.pop(), engine.state.output[Keys.LABEL]["concepts"]))
    kept.clear()
