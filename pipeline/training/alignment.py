"""Turn the named axes of whitened layers onto their concepts: an exact pass, and a handler for any Ignite trainer."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from concepts.errors import SettingsError
from pipeline.choices import Objective, Schedule
from pipeline.data.loaders import place_images
from pipeline.results.record import LayerAlignment
from pipeline.training.layer_alignment import align_layer
from pipeline.training.layer_statistics import Batch, batch_labels, collect_statistics, device_of
from pipeline.training.processes import is_first
from pipeline.training.refinement import refine
from pipeline.training.stochastic import ActivationGradient, turn_along
from pipeline.whitening.distributed import take_from_first
from pipeline.whitening.early_exit import layer_inputs
from pipeline.whitening.surgery import whitening_layers


@torch.no_grad()
def align(
    network: nn.Module,
    batches: Iterable[Batch],
    *,
    objective: Objective = Objective.CONTRAST,
    shrinkage: float = 0.0,
    refinement_steps: int = 0,
) -> dict[str, LayerAlignment]:
    """Give every whitened layer exact statistics and the best rotation, without training anything.

    One forward pass over the batches, in evaluation mode, that stops at the last whitened layer. A layer whose
    realignment changes the function of the network makes another pass necessary for the layers after it; a freshly
    inserted layer does not. A concept without positives keeps the direction that it had. Statistics are those of the
    images that come in, normally the training images as evaluation sees them; over all processes of a distributed run.

    Args:
        network: Changed in place.
        batches: Iterated once per pass. Each has ``image`` (N x 3 x S x S) and may have ``concepts`` (N x k; 1, 0, NaN)
            and ``regions`` (N x k x h x w in [0, 1]; NaN planes where there is no mask).
        objective: What the axes are aligned with.
        shrinkage: How much directions of little variance count less (`pipeline.whitening.whiten.shrunk_whitening`).
        refinement_steps: Steps at most beyond the closed form (`pipeline.training.refinement`), for activations that
            are not linear in the axes; the batches are then read from once more. Layers with subspaces get none.

    Returns:
        A report for each layer, in the order in which the network runs them.

    Raises:
        DataError: If a sub-concept is present where its parent is absent.
        SettingsError: If the network has no whitened layer, there is no batch, or the labels do not fit the concepts.

    Example:
        >>> from pipeline.whitening.surgery import insert_after
        >>> _ = torch.manual_seed(0)
        >>> network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)).eval()
        >>> labels = torch.tensor([[1.0], [0.0]] * 4)
        >>> images = torch.rand(8, 3, 4, 4) + labels[:, :, None, None]
        >>> before = network(images)
        >>> whitened = insert_after(network, "0", concepts=["bright"], activation="mean")
        >>> report = align(network, [{"image": images, "concepts": labels}])["0.whitening"]
        >>> report.positives, report.residual < 1e-3
        ({'bright': 4}, True)
        >>> scores = whitened.whitening.activations(whitened.module(images))[:, 0]
        >>> bool(scores[0::2].min() > scores[1::2].max()), torch.allclose(network(images), before, atol=1e-4)
        (True, True)
    """
    layers = whitening_layers(network)
    if not layers:
        raise SettingsError("the network has no whitened layer; insert one first (pipeline.whitening.surgery)")
    reports: dict[str, LayerAlignment] = {}
    while len(reports) < len(layers):
        waiting = {name: layer for name, layer in layers.items() if name not in reports}
        for name, moments in collect_statistics(network, waiting, batches).items():
            reports[name], changed = align_layer(
                network, name, moments, objective=Objective(objective), shrinkage=shrinkage
            )
            if changed:
                break
    if refinement_steps > 0 and is_first():
        reports |= _refined(network, reports, batches, objective=Objective(objective), steps=refinement_steps)
    take_from_first(network)
    return reports


class ConceptAlignment:
    """Keeps whitened layers aligned while a trainer trains the network: an Ignite handler.

    ``exact``: after every epoch, `align` over the whole loader; the running statistics, which lag behind the weights,
    become those of the loader's images. ``paper``: every few iterations one stochastic update from a few batches, as in
    the published procedure (Chen, Bei, Rudin 2020, algorithm 1), for comparison: the gradient of the named activations
    over the positives that the batches happen to hold, averaged with momentum, and one step along its Cayley curve.

    Attach it before handlers that validate or store the network at the end of an epoch.

    Args:
        network: With whitened layers; the bare network, not its distributed wrapper.
        loader: Batches as for `align`.
        schedule: ``exact`` or ``paper``.
        objective: What the axes are aligned with.
        every: Iterations between two updates (``paper``).
        shrinkage: As for `align` (``exact``).
        refinement_steps: As for `align` (``exact``).
        momentum: Weight of the past in the averaged gradient (``paper``).

    Example:
        >>> import torch
        >>> from pipeline.whitening.surgery import insert_after
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(16, 2))
        >>> _ = insert_after(network, "0", concepts=["streaks"])
        >>> batch = {"image": torch.rand(4, 3, 2, 2), "concepts": torch.tensor([[1.0], [0.0], [1.0], [0.0]])}
        >>> trainer, handler = Engine(lambda engine, batch: None), ConceptAlignment(network, [batch])
        >>> handler.attach(trainer)
        >>> _ = trainer.run([batch], max_epochs=1)
        >>> handler.reports["0.whitening"].positives
        {'streaks': 2}
    """

    def __init__(
        self,
        network: nn.Module,
        loader: Iterable[Batch],
        *,
        schedule: Schedule = Schedule.EXACT,
        objective: Objective = Objective.CONTRAST,
        every: int = 30,
        shrinkage: float = 0.0,
        refinement_steps: int = 0,
        momentum: float = 0.9,
    ) -> None:
        self.network, self.loader = network, loader
        self.schedule, self.objective = Schedule(schedule), Objective(objective)
        self.every, self.momentum = every, momentum
        self.shrinkage, self.refinement_steps = shrinkage, refinement_steps
        self.reports: dict[str, LayerAlignment] = {}
        self._gradients: dict[str, Tensor] = {}
        self._drawn = 0
        self._batches = _endless(loader, skip=0)

    def attach(self, engine: Engine) -> None:
        """Register on a trainer's events."""
        if self.schedule is Schedule.EXACT:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._align)
        else:
            engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self._update)

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged gradients and how many batches were drawn (``paper``)."""
        return {"gradients": dict(self._gradients), "drawn": self._drawn}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state; the batches drawn before are passed over."""
        self._gradients = dict(state["gradients"])
        self._drawn = int(state["drawn"])
        self._batches = _endless(self.loader, skip=self._drawn)

    def _align(self, _engine: Engine) -> None:
        self.reports = align(
            self.network,
            self.loader,
            objective=self.objective,
            shrinkage=self.shrinkage,
            refinement_steps=self.refinement_steps,
        )

    def _update(self, _engine: Engine) -> None:
        layers = whitening_layers(self.network)
        device = device_of(self.network)
        most = max(layer.num_concepts for layer in layers.values())
        gradients = {name: ActivationGradient(layer, self.objective) for name, layer in layers.items()}
        for batch in islice(self._batches, most):
            self._drawn += 1
            for name, x in layer_inputs(self.network, layers, place_images(batch["image"], device)).items():
                gradients[name].add(x, batch_labels(batch, layers[name], device))
            if all(gradient.complete for gradient in gradients.values()):
                break
        for name, layer in layers.items():
            self._gradients[name] = gradients[name].averaged(self._gradients.get(name), momentum=self.momentum)
            turn_along(self.network, layer, self._gradients[name])


def _refined(
    network: nn.Module,
    reports: Mapping[str, LayerAlignment],
    batches: Iterable[Batch],
    *,
    objective: Objective,
    steps: int,
) -> dict[str, LayerAlignment]:
    """Refine the layers that can be refined on the first process's images; return their reports."""
    layers = whitening_layers(network)
    plain = [name for name in reports if layers[name].num_concepts and not layers[name].layout.subspaces]
    refined = {name: refine(network, name, batches, objective=objective, steps=steps) for name in plain}
    return {name: reports[name].model_copy(update={"refinement": result}) for name, result in refined.items()}


def _endless(loader: Iterable[Batch], *, skip: int) -> Iterator[Batch]:
    """Yield the batches of a loader over and over, but for the first ``skip``; end where the loader is empty."""
    passed = 0
    while True:
        before = passed
        for batch in loader:
            passed += 1
            if passed > skip:
                yield batch
        if passed == before:
            return
