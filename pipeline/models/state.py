"""State of a training on disk: nested tensors, numbers and strings as safetensors with a JSON header; no pickle."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from concepts.errors import WeightsError

TREE = "tree"


def save_state(path: Path, tree: Mapping[Any, Any]) -> None:
    """Write nested dictionaries and lists of tensors, numbers, strings, booleans and None in one step."""
    tensors: dict[str, Tensor] = {}
    outline = _outline(tree, tensors)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors or {"-": torch.zeros(1)}, temporary, metadata={TREE: json.dumps(outline)})
    temporary.replace(path)


def load_state(path: Path) -> Any:  # noqa: ANN401  # the tree that was saved
    """Read what `save_state` wrote.

    Raises:
        WeightsError: If the file is missing, damaged or of another kind.
    """
    try:
        with safe_open(path, framework="pt") as file:
            outline = (file.metadata() or {}).get(TREE)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dictionary
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such file; the run did not come so far") from error
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path}: damaged ({' '.join(str(error).split())}); delete it and --resume the run"
        ) from error
    if outline is None:
        raise WeightsError(f"{path}: a safetensors file, but not a training state")
    return _tree(json.loads(outline), tensors)


def _outline(node: Any, tensors: dict[str, Tensor]) -> Any:  # noqa: ANN401
    if isinstance(node, Tensor):
        name = f"t{len(tensors)}"
        # A copy: the file format refuses tensors that share memory or are not laid out in order.
        tensors[name] = node.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(node, Mapping):
        return {"items": [[key, _outline(value, tensors)] for key, value in node.items()]}
    if isinstance(node, list | tuple):
        return {"list": [_outline(value, tensors) for value in node]}
    return {"value": node}


def _tree(outline: Any, tensors: Mapping[str, Tensor]) -> Any:  # noqa: ANN401
    (kind, content), *_ = outline.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "items":
        return {key: _tree(value, tensors) for key, value in content}
    if kind == "list":
        return [_tree(value, tensors) for value in content]
    return content
