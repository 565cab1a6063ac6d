"""Where a run keeps the directions of each artefact in its whitened layer."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pipeline.explanation.shortcuts.artefact_space import ArtefactSpace
from pipeline.models.state import read_named_tensors, write_tensors
from pipeline.run.folder import RunFolder

SPACES = "shortcuts/spaces.safetensors"
PARTS = ("directions", "reference", "energies")
BEYOND = "beyond_chance"


def write_spaces(run: RunFolder, spaces: Mapping[str, ArtefactSpace]) -> None:
    """Keep the directions of each artefact; what an earlier audit left goes."""
    file = run.file(SPACES)
    file.unlink(missing_ok=True)
    if not spaces:
        return
    tensors: dict[str, Tensor] = {
        f"{name}.{part}": torch.as_tensor(getattr(space, part))
        for name, space in spaces.items()
        for part in (*PARTS, BEYOND)
    }
    write_tensors(file, tensors, metadata={})


def read_spaces(run: RunFolder) -> dict[str, ArtefactSpace]:
    """The directions of each artefact that a run audited; empty where it audited none.

    Raises:
        WeightsError: If the file is damaged.
    """
    if not run.has(SPACES):
        return {}
    tensors, _ = read_named_tensors(run.file(SPACES))
    names = sorted({name.rpartition(".")[0] for name in tensors})
    return {name: _space(tensors, name) for name in names}


def _space(tensors: Mapping[str, Tensor], name: str) -> ArtefactSpace:
    directions, reference, energies = (tensors[f"{name}.{part}"] for part in PARTS)
    return ArtefactSpace(directions, reference, energies, int(tensors[f"{name}.{BEYOND}"]))
