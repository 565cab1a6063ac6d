"""A trained network on disk: its tensors as safetensors, and beside them in JSON what is needed to rebuild it."""

from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from concepts.errors import SettingsError, WeightsError
from concepts.files import write_atomically
from concepts.reading import read_json
from pipeline.choices import Activation, Fit, Placement
from pipeline.config import ModelSettings
from pipeline.models.backbones import Channels, build_backbone
from pipeline.models.concept_head import HEAD, put_head
from pipeline.models.state import read_named_tensors, write_tensors
from pipeline.models.whitened import whitening_refusals
from pipeline.whitening.subspaces import Subspace
from pipeline.whitening.surgery import insert_after, replace_norm, whitening_layers

DESCRIPTION = "description"


class WhiteningDescription(BaseModel):
    """Where concept whitening is, and whose axes the first ones are, in order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: str
    further_layers: tuple[str, ...] = ()
    placement: Placement
    activation: Activation
    concepts: tuple[str, ...]
    subspaces: tuple[Subspace, ...] = ()


class HeadDescription(BaseModel):
    """Where a concept head hangs, and what its outputs are, in order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: str
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
        head: A concept head without whitening, or None.
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
    head: HeadDescription | None = None

    @property
    def num_classes(self) -> int:
        """The number of outputs."""
        return len(self.classes)


def save_model(stem: Path, network: nn.Module, description: ModelDescription) -> None:
    """Write ``<stem>.safetensors`` and then ``<stem>.json``, each in one step: where the JSON is, both are whole.

    The tensors keep the names of ``network.state_dict()`` and carry the description too, so that a file of another
    model beside the JSON is noticed.
    """
    metadata = {DESCRIPTION: description.model_dump_json()}
    write_tensors(_beside(stem, ".safetensors"), network.state_dict(), metadata=metadata)
    write_atomically(_beside(stem, ".json"), description.model_dump_json(indent=1) + "\n")


def load_model(stem: Path) -> tuple[nn.Module, ModelDescription]:
    """Rebuild a network from what `save_model` wrote, in evaluation mode, on the CPU.

    Torch's global random generator is left as it was.

    Raises:
        WeightsError: If a file is missing or damaged, or the two do not belong together.
    """
    description = _read_description(_beside(stem, ".json"))
    tensors, metadata = read_named_tensors(_beside(stem, ".safetensors"))
    if not _describes(metadata.get(DESCRIPTION), description):
        raise WeightsError(f"{stem}.safetensors and {stem}.json are of different models; restore both from one run")
    try:
        _refuse_larger_network(description, sum(tensor.numel() for tensor in tensors.values()))
        with torch.random.fork_rng(devices=[]):
            network = build_network(description)
        network.load_state_dict(tensors)
    except (SettingsError, RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{stem}.safetensors does not fit {stem}.json: {reason}; restore both files") from error
    return network.eval(), description


def build_network(description: ModelDescription) -> nn.Module:
    """Build the network of a description, with random weights.

    Raises:
        SettingsError: If the architecture or a layer is unknown, or cannot be whitened.
    """
    settings = ModelSettings(architecture=description.architecture, width=description.width)
    network = build_backbone(settings, description.num_classes).network
    if description.whitening is not None:
        put_whitening(network, description.whitening)
    if description.head is not None:
        head = description.head
        put_head(network, head.layer, head.concepts, activation=head.activation)
    return network


def without_head(network: nn.Module, description: ModelDescription) -> tuple[nn.Module, ModelDescription]:
    """Return the network without its concept head, the same function; unchanged where it has none."""
    if description.head is None:
        return network, description
    description = description.model_copy(update={"head": None})
    with torch.random.fork_rng(devices=[]):
        bare = build_network(description)
    body = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith(f"{HEAD}.")}
    bare.load_state_dict(body)
    return bare.train(network.training), description


def put_whitening(network: nn.Module, whitening: WhiteningDescription) -> None:
    """Put concept whitening into a plain network, in place.

    Raises:
        SettingsError: If the layer is unknown or cannot be whitened.
    """
    operate = replace_norm if whitening.placement is Placement.REPLACE else insert_after
    with whitening_refusals():
        for layer in (whitening.layer, *whitening.further_layers):
            operate(
                network,
                layer,
                concepts=whitening.concepts,
                subspaces=whitening.subspaces,
                activation=whitening.activation,
            )


def main_layer(network: nn.Module, description: ModelDescription) -> str:
    """Return the qualified name of the whitened layer that figures and explanations are of.

    Raises:
        WeightsError: If the description is of a network without concept whitening.
    """
    if description.whitening is None:
        raise WeightsError("the model has no concept whitening; give the whitened model of a run (model.json)")
    module = description.whitening.layer
    return next(name for name in whitening_layers(network) if name == module or name.startswith(f"{module}."))


def _beside(stem: Path, ending: str) -> Path:
    # Not with_suffix, which would cut a stem such as "run-0.5" at its point.
    return stem.with_name(stem.name + ending)


def _describes(text: str | None, description: ModelDescription) -> bool:
    try:
        return ModelDescription.model_validate_json(text or "") == description
    except ValidationError:
        return False


def _refuse_larger_network(description: ModelDescription, numbers: int) -> None:
    """Refuse a description of a network that would take more memory than the file has tensors for."""
    settings = ModelSettings(architecture=description.architecture, width=description.width)
    with torch.device("meta"):
        network = build_backbone(settings, description.num_classes).network
    described = sum(parameter.numel() for parameter in network.parameters())
    if described > numbers:
        raise ValueError(f"a network of {described:,} numbers is described, the file holds {numbers:,}")


def _read_description(path: Path) -> ModelDescription:
    try:
        return ModelDescription.model_validate(read_json(path))
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: there is no such model; 'dermaxis run' writes one into its run folder") from error
    except (ValidationError, ValueError) as error:
        raise WeightsError(f"{path}: not a model description ({' '.join(str(error).split())[:120]})") from error
