"""Networks by name, with what must be known to feed them and to whiten them."""

from collections.abc import Callable
from dataclasses import dataclass

from monai.networks.nets.densenet import DenseNet121
from monai.networks.nets.efficientnet import EfficientNetBN
from monai.networks.nets.resnet import ResNet
from torch import nn

from concepts.errors import SettingsError
from pipeline.choices import Placement
from pipeline.config import ModelSettings
from pipeline.models.mobilenet import NARROWEST, MobileNetV1

Channels = tuple[float, float, float]

IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Backbone:
    """A network with random weights, and what its users need to know of it.

    Attributes:
        network: N x 3 x H x W, normalised, to N x D logits.
        mean: Subtracted from each of red, green and blue, which lie in [0, 1].
        std: Divides what remains.
        layer: Recommended module for concept whitening in the placement asked for: late, and of at most
            1,024 channels. Where the placement is ``insert``, nothing bypasses it.
        size: Side in pixels of the squares that its published weights were trained on.
    """

    network: nn.Module
    mean: Channels
    std: Channels
    layer: str
    size: int = 224


@dataclass(frozen=True)
class _Architecture:
    build: Callable[[int, float], nn.Module]
    replace: str
    insert: str
    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD
    width: float = 1.0
    scales: bool = True


def build_backbone(settings: ModelSettings, num_classes: int) -> Backbone:
    """Build a network by its name, with random weights drawn from torch's global generator.

    Activations do not work in place, so that what a hook or a caller kept of a layer's output stays as it was.

    Args:
        settings: ``architecture``, ``width`` (None: the architecture's own) and ``placement`` are read.
        num_classes: Number of logits.

    Raises:
        SettingsError: If the architecture is unknown, or has no width to set.
    """
    architecture = _architecture(settings)
    width = architecture.width if settings.width is None else settings.width
    if width != architecture.width and not architecture.scales:
        raise SettingsError(f"model.width: {settings.architecture} has no width to set (got {width:g}); leave it out")
    network = architecture.build(num_classes, width)
    _work_out_of_place(network)
    return Backbone(network, architecture.mean, architecture.std, _recommended_layer(settings))


def layer_name(settings: ModelSettings) -> str:
    """Return the module that concept whitening replaces or follows: the one asked for, or the recommended one.

    Raises:
        SettingsError: If the architecture is unknown.

    Example:
        >>> layer_name(ModelSettings(architecture="resnet18", placement=Placement.REPLACE))
        'layer4.1.bn1'
        >>> layer_name(ModelSettings(architecture="resnet18", layer="layer2"))
        'layer2'
    """
    return settings.layer or _recommended_layer(settings)


def _recommended_layer(settings: ModelSettings) -> str:
    architecture = _architecture(settings)
    return architecture.replace if settings.placement is Placement.REPLACE else architecture.insert


def _architecture(settings: ModelSettings) -> _Architecture:
    if settings.architecture not in _ARCHITECTURES:
        names = ", ".join(_ARCHITECTURES)
        raise SettingsError(f"model.architecture: '{settings.architecture}' is not known; choose one of {names}")
    return _ARCHITECTURES[settings.architecture]


def _resnet(block: str, layers: tuple[int, int, int, int]) -> Callable[[int, float], nn.Module]:
    def build(num_classes: int, width: float) -> nn.Module:
        # MONAI's defaults, made for volumes, keep the stem at full resolution and give the downsampling convolutions a
        # bias, which published weights do not have.
        return ResNet(
            block,
            list(layers),
            [max(NARROWEST, int(planes * width)) for planes in (64, 128, 256, 512)],
            spatial_dims=2,
            conv1_t_stride=2,
            bias_downsample=False,
            num_classes=num_classes,
        )

    return build


def _work_out_of_place(network: nn.Module) -> None:
    for module in network.modules():
        if getattr(module, "inplace", False):
            setattr(module, "inplace", False)  # noqa: B010  # nn.Module declares no such attribute


_ARCHITECTURES = {
    "resnet18": _Architecture(_resnet("basic", (2, 2, 2, 2)), replace="layer4.1.bn1", insert="layer4.1"),
    "resnet34": _Architecture(_resnet("basic", (3, 4, 6, 3)), replace="layer4.2.bn1", insert="layer4.2"),
    "resnet50": _Architecture(_resnet("bottleneck", (3, 4, 6, 3)), replace="layer4.2.bn2", insert="layer3.5"),
    "densenet121": _Architecture(
        lambda classes, _: DenseNet121(spatial_dims=2, in_channels=3, out_channels=classes, pretrained=False),
        replace="features.norm5",
        insert="features.transition3.conv",
        scales=False,
    ),
    "efficientnet-b0": _Architecture(
        lambda classes, _: EfficientNetBN("efficientnet-b0", spatial_dims=2, num_classes=classes, pretrained=False),
        replace="_blocks.6.15._bn2",
        insert="_blocks.6.15._bn2",
        scales=False,
    ),
    "mobilenet_v1": _Architecture(
        lambda classes, width: MobileNetV1(classes, width=width),
        replace="blocks.10.pointwise.norm",
        insert="blocks.10.pointwise.norm",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        width=0.75,
    ),
}
