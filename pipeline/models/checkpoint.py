"""A trained network on disk: its tensors as safetensors, and beside them in JSON what is needed to rebuild it."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from concepts.errors import WeightsError
from pipeline.config import Activation, Fit, ModelSettings, Placement
from pipeline.models.backbones import Channels, build_backbone
from pipeline.models.state import load_state, save_state
from pipeline.run import write_atomically
from pipeline.whitening.surgery import insert_after, replace_norm


class WhiteningDescription(BaseModel):
    """Where concept whitening is, and whose axes the first ones are, in order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: str
    placement: Placement
    activation: Activation
    concepts: tuple[str, ...]


class ModelDescription(BaseModel):
    """What is needed to rebuild a network and to feed it.

    Attributes:
        architecture: Name as in `pipeline.models.backbones`.
        width: Multiplier of the channels, or None for the architecture's own.
        classes: Diagnoses in the order of the outputs.
        size: Side of the input in pixels.
        fit: How images become square.
        margin: Pixels that are cropped away around the input.
        mean: Subtracted from RGB in [0, 1].
        std: Divides the difference.
        whitening: Concept whitening, or None for a plain network.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: str
    width: float | None
    classes: tuple[str, ...]
    size: int
    fit: Fit
    margin: int
    mean: Channels
    std: Channels
    whitening: WhiteningDescription | None = None


def save_model(stem: Path, network: nn.Module, description: ModelDescription) -> None:
    """Write ``<stem>.safetensors`` and then ``<stem>.json``, each in one step: where the JSON is, both are whole."""
    save_state(stem.with_suffix(".safetensors"), network.state_dict())
    write_atomically(stem.with_suffix(".json"), description.model_dump_json(indent=1) + "\n")


def load_model(stem: Path) -> tuple[nn.Module, ModelDescription]:
    """Rebuild a network from what `save_model` wrote, in evaluation mode.

    Raises:
        WeightsError: If a file is missing or damaged, or the two do not belong together.
    """
    description = _read_description(stem.with_suffix(".json"))
    network = build_network(description)
    try:
        network.load_state_dict(load_state(stem.with_suffix(".safetensors")))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{stem}.safetensors does not fit {stem}.json: {reason}; restore both files") from error
    return network.eval(), description


def build_network(description: ModelDescription) -> nn.Module:
    """The network of a description, with random weights."""
    settings = ModelSettings(architecture=description.architecture, width=description.width)
    network = build_backbone(settings, len(description.classes)).network
    if description.whitening is not None:
        put_whitening(network, description.whitening)
    return network


def put_whitening(network: nn.Module, whitening: WhiteningDescription) -> None:
    """Put concept whitening into a plain network, in place.

    Raises:
        SettingsError: If the layer is unknown or cannot be whitened.
    """
    operate = replace_norm if whitening.placement is Placement.REPLACE else insert_after
    operate(network, whitening.layer, concepts=whitening.concepts, activation=whitening.activation)


def _read_description(path: Path) -> ModelDescription:
    try:
        return ModelDescription.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such model; 'dermaxis run' writes one into its run folder") from error
    except (ValidationError, ValueError) as error:
        raise WeightsError(f"{path}: not a model description ({' '.join(str(error).split())[:120]})") from error
