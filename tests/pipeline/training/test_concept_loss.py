import math

import pytest
import torch

from pipeline.training.concept_loss import ConceptCalibration, concept_loss, region_loss
from pipeline.whitening.layer import ConceptWhitening

NAN = math.nan


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_uninformative_logits_cost_log_two_whatever_the_prevalence():
    labels = torch.tensor([[1.0], [0], [0], [0], [0]])
    assert concept_loss(torch.zeros(5, 1), labels).item() == pytest.approx(math.log(2))
    assert region_loss(torch.zeros(5, 1, 2, 2), labels[:, :, None, None]).item() == pytest.approx(math.log(2))


def test_positives_together_weigh_as_much_as_negatives_together():
    labels = torch.tensor([[1.0], [0], [0], [0]])
    logits = torch.zeros(4, 1, requires_grad=True)
    concept_loss(logits, labels).backward()
    assert logits.grad[0].item() == pytest.approx(-logits.grad[1:].sum().item())


def test_unknown_labels_have_no_say():
    labels = torch.tensor([[1.0, NAN], [0.0, 1.0], [NAN, 0.0]])
    logits = draw(3, 2).requires_grad_()
    concept_loss(logits, labels).backward()
    assert logits.grad[labels.isnan()].tolist() == [0, 0]
    assert (logits.grad[~labels.isnan()] != 0).all()


def test_a_batch_without_known_labels_costs_nothing():
    logits = draw(3, 2).requires_grad_()
    loss = concept_loss(logits, torch.full((3, 2), NAN))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_region_loss_wants_high_values_inside_the_mask_only():
    mask = torch.zeros(1, 1, 8, 8)
    mask[:, :, :4] = 1
    logits = torch.zeros(1, 1, 4, 4, requires_grad=True)
    region_loss(logits, mask).backward()
    assert (logits.grad[:, :, :2] < 0).all()
    assert (logits.grad[:, :, 2:] > 0).all()


def test_planes_without_a_mask_have_no_say():
    regions = torch.stack([torch.full((4, 4), NAN), torch.eye(4)])[None]
    logits = draw(1, 2, 2, 2).requires_grad_()
    region_loss(logits, regions).backward()
    assert not logits.grad[:, 0].any()
    assert logits.grad[:, 1].any()


def test_calibration_is_the_same_for_vectors_and_maps():
    calibration, x = ConceptCalibration(3), draw(4, 3)
    with torch.no_grad():
        calibration.log_scale.copy_(draw(3, seed=1))
        calibration.offset.copy_(draw(3, seed=2))
    torch.testing.assert_close(calibration(x), calibration(x[:, :, None, None])[:, :, 0, 0])


def test_the_gradient_reaches_what_lies_before_a_whitened_layer_and_lowers_the_loss():
    torch.manual_seed(0)
    backbone, layer, calibration = torch.nn.Linear(4, 4), ConceptWhitening(4, ["a"]), ConceptCalibration(1)
    x = draw(200, 4)
    labels = (x[:, :1].abs() > 0.7).float()
    x = torch.cat([x[:, :1].abs(), x[:, 1:]], dim=1)
    optimizer = torch.optim.Adam([*backbone.parameters(), *calibration.parameters()], lr=0.05)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        losses.append(concept_loss(calibration(layer.pool(layer(backbone(x)))), labels))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1].item() < 0.6 * losses[0].item()
