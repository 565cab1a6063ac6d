"""Weights from a local file, in the layout of the network itself or of torchvision."""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from concepts.errors import WeightsError

HEADS = ("classifier.", "fc.", "class_layers.out.", "_fc.", "head.")
ENOUGH = 0.9
"""Share of the tensors of both the network's body and the file's that must fit; below it the file is another's."""
WRAPPERS = ("state_dict", "model", "model_state_dict")


@dataclass(frozen=True)
class WeightsReport:
    """What became of the tensors of a file and of a network.

    Attributes:
        loaded: Names in the network that took a tensor.
        dropped: Names in the file that were not used, such as the head of another task.
        missing: Names in the network that keep their initial values.
    """

    loaded: tuple[str, ...]
    dropped: tuple[str, ...]
    missing: tuple[str, ...]


def load_weights(network: nn.Module, path: Path) -> WeightsReport:
    """Load a safetensors or state-dict file; the head of another number of classes is dropped.

    Counters of batches, which nothing here reads, are neither required nor listed.

    Args:
        network: Changed in place, only if the file fits.
        path: ``.safetensors``, or ``.pt`` / ``.pth`` that holds tensors only (loaded with ``weights_only``).

    Raises:
        WeightsError: If the file is missing or unreadable, or is another network's.
    """
    state = network.state_dict()
    in_file = {_network_name(name, state): (name, tensor) for name, tensor in read_tensors(path).items()}
    tensors = {name: tensor for name, (_, tensor) in in_file.items()}
    expected = {name: tensor for name, tensor in state.items() if not _is_counter(name)}
    fitting = {name: tensors[name] for name in expected if _fits(tensors, name, expected)}
    _refuse_other_network(network, path, expected=expected, tensors=tensors)
    network.load_state_dict(fitting, strict=False)
    dropped = [spelled for name, (spelled, _) in in_file.items() if name not in fitting and not _is_counter(name)]
    return WeightsReport(tuple(fitting), tuple(dropped), tuple(name for name in expected if name not in fitting))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weights file by name, wrappers such as ``state_dict`` and ``module.`` taken off.

    Raises:
        WeightsError: If the file is missing, unreadable, or holds something else than tensors.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such weights file; weights are never downloaded: give a local file")
    try:
        content: Any = load_file(path) if path.suffix == ".safetensors" else _load_torch(path)
    # A file that is no pickle makes the unpickler stumble in any way: an IndexError, a struct.error, …
    except Exception as error:
        reason = " ".join(str(error).split())[:100]
        raise WeightsError(
            f"{path}: not a readable file of tensors ({reason}); expected safetensors or a state dict"
        ) from error
    for _ in WRAPPERS:  # not for ever: a stranger's dictionary may hold itself
        content = _unwrapped(content)
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{path}: the file holds no state dict (names with tensors); save network.state_dict()")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def _unwrapped(content: Any) -> Any:  # noqa: ANN401  # checked by the caller
    if not isinstance(content, Mapping):
        return content
    return next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), content)


def _load_torch(path: Path) -> Any:  # noqa: ANN401  # checked by the caller
    return torch.load(path, map_location="cpu", weights_only=True)


def _fits(tensors: Mapping[str, Tensor], name: str, expected: Mapping[str, Tensor]) -> bool:
    return name in tensors and tensors[name].shape == expected[name].shape


def _network_name(name: str, expected: Container[str]) -> str:
    """Spell a name as MONAI's DenseNet does; torchvision has ``denselayer1.norm1``, once ``denselayer1.norm.1``."""
    if name in expected:
        return name
    head = f"class_layers.out.{name.removeprefix('classifier.')}"
    if name.startswith("classifier.") and head in expected:
        return head
    return re.sub(r"^(features\.denseblock\d+\.denselayer\d+\.)(norm|relu|conv)\.?([12])\.", r"\1layers.\2\3.", name)


def _refuse_other_network(
    network: nn.Module, path: Path, *, expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> None:
    body = _body(expected)
    misfits = [name for name in body if not _fits(tensors, name, expected)]
    strangers = [name for name in _body(tensors) if name not in expected]
    clashes = [name for name in misfits if name in tensors]
    fitting, most = len(body) - len(misfits), max(len(body), len(_body(tensors)))
    if not clashes and fitting >= ENOUGH * most:
        return
    first = (clashes or misfits or strangers)[0]
    raise WeightsError(
        f"{path}: weights of another network: {fitting} of the {len(body)} tensors of {type(network).__name__} fit, of "
        f"{len(_body(tensors))} in the file; the first misfit, {first}, is {_shape(expected, first)} in the network "
        f"and {_shape(tensors, first)} in the file; choose the matching model.architecture and model.width, or another "
        "file"
    )


def _body(tensors: Mapping[str, Tensor]) -> list[str]:
    return [name for name in tensors if not name.startswith(HEADS) and not _is_counter(name)]


def _shape(tensors: Mapping[str, Tensor], name: str) -> str:
    return str(tuple(tensors[name].shape)) if name in tensors else "absent"


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")
