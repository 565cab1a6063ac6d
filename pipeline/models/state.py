"""State of a training on disk: nested tensors, numbers and strings as safetensors with a JSON header; no pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from concepts.errors import WeightsError
from concepts.files import replacing
from concepts.reading import check_safetensors, parse_json

TREE = "tree"
UNREADABLE = (SafetensorError, OSError, ValueError, RuntimeError, TypeError, KeyError, AttributeError)
"""What safetensors raises on files that are damaged or hold tensors that torch does not know."""


def save_state(path: Path, tree: Mapping[Any, Any]) -> None:
    """Write nested dictionaries, lists and tuples of tensors, numbers, strings, booleans and None in one step.

    Raises:
        WeightsError: If the tree holds anything else.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     save_state(Path(folder) / "state.safetensors", {"epoch": 3, "moments": [torch.ones(2)]})
        ...     load_state(Path(folder) / "state.safetensors")
        {'epoch': 3, 'moments': [tensor([1., 1.])]}
    """
    tensors: dict[str, Tensor] = {}
    try:
        header = json.dumps(_outline(tree, tensors))
    except TypeError as error:
        raise WeightsError(f"{path}: {error}; a state holds tensors, numbers, strings and None only") from error
    write_tensors(path, tensors, metadata={TREE: header})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str]) -> None:
    """Write named tensors as safetensors in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Copies: the file format refuses tensors that share memory or are not laid out in order.
    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    with replacing(path) as temporary:
        save_file(copies, temporary, metadata=dict(metadata))


def read_named_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors of a safetensors file by name, to the CPU, and its metadata.

    Raises:
        WeightsError: If the file is missing or damaged.
    """
    try:
        check_safetensors(path)
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dictionary
            return tensors, file.metadata() or {}
    except FileNotFoundError as error:
        raise WeightsError(
            f"{path}: there is no such file; the run has not reached this stage: resume it with --resume"
        ) from error
    except UNREADABLE as error:
        raise WeightsError(
            f"{path}: the file is damaged ({' '.join(str(error).split())}); delete it and resume the run with --resume"
        ) from error


def load_state(path: Path) -> Any:  # noqa: ANN401  # the tree that was saved
    """Read what `save_state` wrote.

    Raises:
        WeightsError: If the file is missing, damaged or of another kind.
    """
    tensors, metadata = read_named_tensors(path)
    if TREE not in metadata:
        raise WeightsError(f"{path}: the file is not a state of training; give one that a run wrote")
    try:
        return _tree(parse_json(metadata[TREE]), tensors)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise WeightsError(
            f"{path}: the file is damaged (its outline does not fit its tensors); delete it and resume with --resume"
        ) from error


def _outline(node: Any, tensors: dict[str, Tensor]) -> Any:  # noqa: ANN401
    if isinstance(node, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = node
        return {"tensor": name}
    if isinstance(node, Mapping):
        return {"items": [[key, _outline(value, tensors)] for key, value in node.items()]}
    if isinstance(node, list | tuple):
        return {type(node).__name__: [_outline(value, tensors) for value in node]}
    return {"value": node}


def _tree(outline: Any, tensors: Mapping[str, Tensor]) -> Any:  # noqa: ANN401
    (kind, content), *_ = outline.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "items":
        return {key: _tree(value, tensors) for key, value in content}
    if kind in ("list", "tuple"):
        values = [_tree(value, tensors) for value in content]
        return values if kind == "list" else tuple(values)
    return content
