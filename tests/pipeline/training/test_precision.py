"""Laws of training in bfloat16: near float32 where it computes, and float32 where it stores."""

import pytest
import torch
from torch import Tensor, nn

from pipeline.choices import Activation, Precision
from pipeline.config import ConceptLossSettings
from pipeline.models.concept_head import put_head
from pipeline.models.mobilenet import MobileNetV1
from pipeline.training.loss import TrainingLoss
from pipeline.training.precision import PrecisionInferer, at_least_float32
from pipeline.whitening.surgery import insert_after, whitening_layers

LAYER = "blocks.2.pointwise.norm"


class Shallow(nn.Module):
    """Rounding adds up with depth, and an untrained deep network multiplies it; this one shows the rule itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, kernel_size=3, stride=4)
        self.norm = nn.BatchNorm2d(16)
        self.classifier = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.norm(self.conv(x)).relu().mean(dim=(2, 3)))
        return logits


@pytest.fixture
def network() -> MobileNetV1:
    torch.manual_seed(0)
    return MobileNetV1(3, width=0.25, dropout=0.0)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_float32_is_the_plain_call(network: nn.Module, images: Tensor) -> None:
    network.eval()
    assert torch.equal(PrecisionInferer(Precision.FLOAT32)(images, network), network(images))


def test_bfloat16_computes_in_it_and_answers_in_float32(network: nn.Module, images: Tensor) -> None:
    seen: list[torch.dtype] = []
    network.blocks[3].register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    logits = PrecisionInferer(Precision.BFLOAT16)(images, network.eval())
    assert seen == [torch.bfloat16]
    assert logits.dtype == torch.float32
    exact = network(images)
    assert 0 < (logits - exact).abs().max() < 0.05 * exact.std() + 0.02


def test_double_precision_stays() -> None:
    assert at_least_float32(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
    assert at_least_float32(torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.float32


def test_parameters_gradients_and_statistics_stay_float32(network: nn.Module, images: Tensor) -> None:
    insert_after(network, LAYER, concepts=("streaks", "cysts"), activation=Activation.MEAN)
    loss = _loss(tuple(whitening_layers(network).values()))
    loss(PrecisionInferer(Precision.BFLOAT16)(images, network.train()), _targets()).backward()
    tensors = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
    assert all(tensor.dtype == torch.float32 for tensor in tensors)
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients
    assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in gradients)


def test_the_step_points_the_same_way_as_in_float32(images: Tensor) -> None:
    torch.manual_seed(0)
    network = Shallow()
    head = put_head(network, "norm", ("streaks", "cysts"), activation=Activation.MEAN)
    nn.init.normal_(head.weight, std=0.1)
    loss = _loss((head,))
    gradients = {}
    for precision in Precision:
        network.zero_grad()
        value = loss(PrecisionInferer(precision)(images, network.train()), _targets())
        value.backward()
        assert value.dtype == torch.float32
        gradients[precision] = torch.cat(
            [parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None]
        )
    assert torch.cosine_similarity(gradients[Precision.FLOAT32], gradients[Precision.BFLOAT16], dim=0) > 0.97


def _loss(layers: tuple) -> TrainingLoss:  # type: ignore[type-arg]
    return TrainingLoss(layers=layers, concept_settings=ConceptLossSettings(weight=1.0, region_weight=0.0))


def _targets() -> dict[str, Tensor]:
    return {
        "label": torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]),
        "concepts": torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(4, 1),
    }
