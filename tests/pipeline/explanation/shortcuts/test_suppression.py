"""Suppression: what is suppressed has no influence, everything else keeps its own, and folding changes nothing."""

import pytest
import torch
from torch import nn

from concepts.errors import SettingsError
from pipeline.explanation.shortcuts.artefact_space import ArtefactSpace, axis_space, joined
from pipeline.explanation.shortcuts.suppression import add_intercepts, fitted_intercepts, suppress
from pipeline.models.tail import split_at
from pipeline.training.alignment import align
from pipeline.whitening.fold import fold_concept_whitening
from pipeline.whitening.surgery import insert_after, replace_norm

CHANNELS = 8
LAYER = "3.whitening"


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def whitened(**options):
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, CHANNELS, 3), nn.BatchNorm2d(CHANNELS), nn.ReLU(), nn.Conv2d(CHANNELS, CHANNELS, 3), nn.ReLU(),
        nn.Conv2d(CHANNELS, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip
    made.train()(draw(16, 3, 12, 12))
    insert_after(made, "3", concepts=["a", "b"], **options)
    labels = torch.arange(16).remainder(3)[:, None].eq(torch.arange(2)).float()
    align(made, [{"image": draw(16, 3, 12, 12), "concepts": labels}])
    return made.eval()


def space(rank=3):
    basis = torch.linalg.qr(draw(CHANNELS, rank, seed=7).double())[0].T
    return ArtefactSpace(basis, torch.linspace(-1, 1, rank).double(), torch.ones(rank).double())


SPACES = [axis_space(0, CHANNELS), space(), joined([axis_space(1, CHANNELS), space(2)], CHANNELS)]


def assert_without_influence(network, layer, hidden):
    _, tail = split_at(network, layer)
    maps = draw(4, CHANNELS, 8, 8, seed=1)
    along = torch.einsum("nrhw,rc->nchw", 5 * draw(4, hidden.rank, 8, 8, seed=2), hidden.directions.float())
    with torch.no_grad():
        assert (tail(maps + along) - tail(maps)).abs().max() <= 1e-4


@pytest.mark.parametrize("hidden", SPACES, ids=["axis", "directions", "both"])
def test_suppressed_directions_have_no_influence_on_the_logits(hidden):
    network = whitened()
    with pytest.raises(AssertionError):
        assert_without_influence(network, LAYER, hidden)
    suppress(network, LAYER, hidden)
    assert_without_influence(network, LAYER, hidden)


@pytest.mark.parametrize("hidden", SPACES, ids=["axis", "directions", "both"])
def test_suppressed_is_the_same_network_on_maps_with_the_directions_at_their_reference(hidden):
    network, x = whitened(), draw(4, 3, 12, 12, seed=3)
    head, tail = split_at(network, LAYER)
    with torch.no_grad():
        maps, rest = head(x)
        expected = tail(hidden.removed(maps), rest)
        untouched = network(x)
        suppress(network, LAYER, hidden)
        assert (network(x) - expected).abs().max() <= 1e-5 * expected.abs().max()
        assert (untouched - expected).abs().max() > 1e-3
        again, _ = split_at(network, LAYER)[0](x)
        assert torch.equal(again, maps), "the layer itself still gives all activations"


@pytest.mark.parametrize("hidden", SPACES, ids=["axis", "directions", "both"])
def test_folded_is_unfolded_after_suppression(hidden):
    network, x = whitened(), draw(4, 3, 12, 12, seed=4)
    suppress(network, LAYER, hidden)
    with torch.no_grad():
        expected = network(x)
        assert (fold_concept_whitening(network)(x) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_nothing_suppressed_changes_nothing():
    network, x = whitened(), draw(4, 3, 12, 12, seed=5)
    with torch.no_grad():
        before = network(x)
        suppress(network, LAYER, joined([], CHANNELS))
        assert (network(x) - before).abs().max() <= 1e-6


def test_a_layer_without_a_readout_of_its_own_is_refused():
    with pytest.raises(SettingsError, match=r"model\.placement=insert"):
        suppress(whitened(tied=True), LAYER, space())
    network = nn.Sequential(nn.Conv2d(3, CHANNELS, 3), nn.BatchNorm2d(CHANNELS), nn.ReLU())
    replace_norm(network, "1", concepts=["a"])
    with pytest.raises(SettingsError, match=r"model\.placement=insert"):
        suppress(network, "1", space())


@pytest.mark.parametrize("weights", [None, torch.rand(400, generator=torch.Generator().manual_seed(1))])
def test_fitted_intercepts_make_the_mean_probability_the_frequency(weights):
    """That is where the gradient of the cross-entropy by an intercept is zero."""
    logits, labels = 2 * draw(400, 3, seed=6), torch.randint(3, (400,), generator=torch.Generator().manual_seed(6))
    shift = fitted_intercepts(logits, labels, weights=weights)
    case = torch.ones(400) if weights is None else weights
    expected = (case[:, None] * (logits + shift).softmax(dim=1)).sum(dim=0) / case.sum()
    frequency = (case[:, None] * nn.functional.one_hot(labels, 3)).sum(dim=0) / case.sum()
    assert (expected - frequency).abs().max() <= 1e-3
    assert shift.mean().abs() <= 1e-9


def test_a_bias_that_was_put_in_is_fitted_away():
    logits, labels = 2 * draw(400, 3, seed=8), torch.randint(3, (400,), generator=torch.Generator().manual_seed(8))
    bias = torch.tensor([2.0, -1.0, -1.0])
    difference = fitted_intercepts(logits, labels) - fitted_intercepts(logits + bias, labels)
    assert (difference - bias).abs().max() <= 1e-2


def test_intercepts_are_finite_for_a_diagnosis_without_images():
    assert fitted_intercepts(draw(50, 3), torch.arange(50).remainder(2)).isfinite().all()


def test_added_intercepts_move_the_logits_and_nothing_else():
    network, x = whitened(), draw(4, 3, 12, 12, seed=9)
    shift = torch.tensor([1.0, -0.25, 3.0], dtype=torch.float64)
    with torch.no_grad():
        before = network(x)
        add_intercepts(network, shift)
        assert (network(x) - before - shift).abs().max() <= 1e-5


def test_a_network_without_a_last_linear_layer_is_refused():
    with pytest.raises(SettingsError, match="no last linear layer with 3 outputs"):
        add_intercepts(nn.Sequential(nn.Conv2d(3, 3, 1)), torch.zeros(3))
