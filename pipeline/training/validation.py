"""What a network gives on the validation part: figures by which the checkpoint is chosen."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedEvaluator
from monai.handlers import ROCAUC
from monai.utils import evenly_divisible_all_gather
from monai.utils.enums import CommonKeys as Keys
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pipeline.choices import Precision
from pipeline.data.loaders import place_images
from pipeline.models.concept_head import ConceptHead
from pipeline.training.precision import PrecisionInferer, at_least_float32
from pipeline.whitening.layer import ConceptWhitening

UNINFORMATIVE = 0.5
"""AUC of an axis that tells nothing; the mean over axes where no concept can be assessed."""


@torch.no_grad()
def validate(
    network: nn.Module,
    loader: DataLoader[Any],
    *,
    layer: ConceptWhitening | ConceptHead | None,
    precision: Precision = Precision.FLOAT32,
) -> dict[str, float]:
    """Measure a network in evaluation mode on the images of one loader, of all processes together.

    Args:
        network: On its device.
        loader: Batches with ``image`` and ``label``, and ``concepts`` where the layer is to be measured.
        layer: The layer of the network whose axes are measured, or None.
        precision: Arithmetic of the network.

    Returns:
        ``macro_auc``, the mean over diagnoses of the AUC of one against the others; and with a layer ``axis_auc``, the
        mean AUC of its named axes (`mean_axis_auc`).
    """
    device = next(network.parameters()).device
    evaluator = SupervisedEvaluator(
        device=device,
        val_data_loader=loader,
        network=network,
        prepare_batch=prepare_batch,
        inferer=PrecisionInferer(precision),
        key_val_metric={"macro_auc": ROCAUC(average="macro", output_transform=_scores_and_targets)},
        decollate=False,
    )
    rows: list[tuple[Tensor, Tensor]] = []
    with _pooled_outputs(layer) as outputs:
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: _collect(engine, outputs, rows))
        evaluator.run()
    figures = {"macro_auc": float(evaluator.state.metrics["macro_auc"])}
    if rows:
        figures["axis_auc"] = mean_axis_auc(*(_gathered(part) for part in zip(*rows, strict=True)))
    return figures


def mean_axis_auc(activations: NDArray[np.floating[Any]], labels: NDArray[np.floating[Any]]) -> float:
    """Return the mean over concepts of the AUC of an axis, present against absent; 0.5 where there is no such concept.

    Args:
        activations: N x k.
        labels: N x k; 1 present, 0 absent, NaN unknown. Concepts of which only one kind occurs are left out.

    Example:
        >>> mean_axis_auc(np.array([[3.0], [1.0], [2.0], [9.0]]), np.array([[1.0], [0.0], [0.0], [np.nan]]))
        1.0
    """
    values = []
    for activation, label in zip(activations.T, labels.T, strict=True):
        is_labelled = ~np.isnan(label)
        if len(np.unique(label[is_labelled])) == 2:
            values.append(float(roc_auc_score(label[is_labelled], activation[is_labelled])))
    return float(np.mean(values)) if values else UNINFORMATIVE


def prepare_batch(
    batch: Mapping[str, Tensor],
    device: torch.device,
    non_blocking: bool = False,
    **_: Any,  # noqa: ANN401
) -> tuple[Tensor, dict[str, Tensor]]:
    """Split a batch into the network's input and everything that the loss may need, both on the device."""
    moved = {key: value.to(device, non_blocking=non_blocking) for key, value in batch.items()}
    return place_images(moved.pop("image"), device), moved


@contextmanager
def _pooled_outputs(layer: ConceptWhitening | ConceptHead | None) -> Iterator[list[Tensor]]:
    """Collect the N x k activations of a layer whenever it runs; none without a layer."""
    outputs: list[Tensor] = []
    if layer is None:
        yield outputs
        return
    hook = layer.register_forward_hook(lambda module, _, maps: outputs.append(module.pool(at_least_float32(maps))))
    try:
        yield outputs
    finally:
        hook.remove()


def _collect(engine: Engine, outputs: list[Tensor], rows: list[tuple[Tensor, Tensor]]) -> None:
    """Pair what the layer gave with the batch's labels; a layer that ran several times counts with its last output."""
    if outputs and "concepts" in engine.state.output[Keys.LABEL]:
        rows.append((outputs[-1], engine.state.output[Keys.LABEL]["concepts"]))
    outputs.clear()


def _gathered(parts: Sequence[Tensor]) -> NDArray[np.floating[Any]]:
    """Rows of all batches, of all processes."""
    return cast(Tensor, evenly_divisible_all_gather(torch.cat(list(parts)))).cpu().numpy()


def _scores_and_targets(output: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    scores = output[Keys.PRED].softmax(dim=1)
    return scores, nn.functional.one_hot(output[Keys.LABEL]["label"], scores.shape[1])
