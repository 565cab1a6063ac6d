from copy import deepcopy

import pytest
import torch
from torch import nn

from concepts.errors import SettingsError
from pipeline.choices import Activation
from pipeline.config import ConceptLossSettings
from pipeline.models.concept_head import concept_head, put_head
from pipeline.training.loss import TrainingLoss


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.classifier = nn.Linear(8, 2)

    def forward(self, x):
        return self.classifier(self.norm(self.conv(x)).relu().mean(dim=(2, 3)))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Small()


def bright_spots(count):
    """Images in every second of which a patch is bright, and those labels."""
    images, labels = 0.3 * torch.randn(count, 3, 12, 12), torch.arange(count) % 2
    images[labels == 1, 0, 3:6, 3:6] += 2
    return images, labels


def test_a_head_leaves_the_function_of_the_network_alone(network):
    images, _ = bright_spots(6)
    before = network.eval()(images)
    put_head(network, "norm", ("spot",), activation=Activation.MEAN)
    torch.testing.assert_close(network(images), before, rtol=0, atol=0)


def test_a_head_learns_its_concept_through_the_loss(network):
    torch.manual_seed(1)
    images, labels = bright_spots(64)
    head = put_head(network, "norm", ("spot",), activation=Activation.MAX)
    loss = TrainingLoss(layers=(head,), concept_settings=ConceptLossSettings(weight=1.0))
    optimiser = torch.optim.AdamW([*network.parameters(), *loss.parameters()], lr=0.05)
    targets = {"label": torch.zeros(64, dtype=torch.long), "concepts": labels[:, None].float()}
    network.train()
    for _ in range(40):
        optimiser.zero_grad()
        loss(network(images), targets).backward()
        optimiser.step()
    activations = head.eval().pool(head(network.eval().norm(network.conv(images))))[:, 0]
    assert activations[labels == 1].min() > activations[labels == 0].max()


def test_a_copy_of_the_network_runs_its_own_head(network):
    put_head(network, "norm", ("spot",), activation=Activation.MEAN)
    copy = deepcopy(network).train()
    copy(torch.randn(4, 3, 12, 12))
    assert concept_head(copy).norm.num_batches_tracked == 1
    assert concept_head(network).norm.num_batches_tracked == 0


def test_a_module_without_channels_is_refused_and_so_is_a_network_without_a_head(network):
    with pytest.raises(SettingsError, match="channels are not known"):
        put_head(nn.ModuleList([nn.Sequential(nn.ReLU())]), "0", ("spot",), activation=Activation.MEAN)
    with pytest.raises(SettingsError, match="last module"):
        put_head(nn.Sequential(network), "0", ("spot",), activation=Activation.MEAN)
    with pytest.raises(SettingsError, match="no module"):
        put_head(network, "nowhere", ("spot",), activation=Activation.MEAN)
    with pytest.raises(SettingsError, match="no concept head"):
        concept_head(network)
