"""A network's say on how common each diagnosis is, fitted anew where something else in it was changed."""

import torch
from torch import Tensor, nn

from concepts.errors import SettingsError

RIDGE = 1e-4
"""Keeps the intercept of a diagnosis without images finite."""
STEPS = 200


def fitted_intercepts(logits: Tensor, labels: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """What to add to logits so that they fit the labels best: D numbers whose mean is 0, in float64.

    With directions suppressed, all images look as if the artefact were absent; where its absence spoke against a
    diagnosis, that diagnosis would be called too rarely in all of them.

    Args:
        logits: N x D.
        labels: N indices.
        weights: Of each image in the cross-entropy, N; default: all 1.
    """
    fixed, shift = logits.double(), torch.zeros(logits.shape[1], dtype=torch.float64, requires_grad=True)
    weighed = torch.ones(len(labels), dtype=torch.float64) if weights is None else weights.double()
    search = torch.optim.LBFGS([shift], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        losses = nn.functional.cross_entropy(fixed + shift, labels, reduction="none")
        value = (weighed @ losses) / weighed.sum() + RIDGE * shift.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        search.step(loss)
    found = shift.detach()
    return found - found.mean()


@torch.no_grad()
def add_intercepts(network: nn.Module, intercepts: Tensor) -> None:
    """Add to the logits of a network, in its last linear layer, in place.

    Raises:
        SettingsError: If the network does not end in a linear layer with a bias for each diagnosis.
    """
    linear = [one for one in network.modules() if isinstance(one, nn.Linear) and one.out_features == len(intercepts)]
    if not linear or linear[-1].bias is None:
        raise SettingsError(
            f"{type(network).__name__} has no last linear layer with {len(intercepts)} outputs and a bias; its logits "
            "cannot be moved"
        )
    bias = linear[-1].bias
    bias.copy_(bias.double() + intercepts.to(bias.device))
