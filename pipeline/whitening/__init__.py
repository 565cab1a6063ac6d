"""Concept whitening for PyTorch: a layer whose axes are uncorrelated, and of which the first are named concepts.

z = R W (x - mu) decorrelates the channels of a feature map (W, exact ZCA) and turns the named axes onto what images of
each concept have in common (R, orthogonal, in closed form). Put the layer into any network, align it, fold it away for
inference. The package needs torch and nothing else.

Names below are loaded when they are first used, so importing the package costs nothing.

Example:
    >>> import torch
    >>> from pipeline.whitening import LayerMoments, Objective, fold_concept_whitening, insert_after
    >>> from pipeline.whitening import realign, subspace_rotation, whitening_matrix
    >>> _ = torch.manual_seed(0)
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.Conv2d(6, 2, 1)).eval()
    >>> images, labels = torch.rand(8, 3, 9, 9), (torch.arange(8) % 2).float()[:, None]
    >>> before = network(images)
    >>> whitened = insert_after(network, "0", concepts=["streaks"])
    >>> moments = LayerMoments(6, 1)
    >>> moments.add(whitened.module(images), labels)
    >>> layer = whitened.whitening
    >>> means = moments.concept_directions(Objective.CONTRAST) @ whitening_matrix(moments.covariance)
    >>> rotation = subspace_rotation(means, layer.layout)
    >>> realign(network, layer, mean=moments.mean, covariance=moments.covariance, rotation=rotation)
    False
    >>> torch.allclose(network(images), before, atol=1e-4)
    True
    >>> torch.allclose(fold_concept_whitening(network)(images), before, atol=1e-4)
    True

Source: Chen, Bei, Rudin 2020, "Concept whitening for interpretable image recognition", arXiv 2002.01650.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.whitening.choices import Objective
    from pipeline.whitening.fold import fold_concept_whitening
    from pipeline.whitening.hierarchy import subspace_rotation
    from pipeline.whitening.layer import ConceptWhitening
    from pipeline.whitening.statistics import LayerMoments
    from pipeline.whitening.subspaces import Subspace
    from pipeline.whitening.surgery import insert_after, realign, replace_norm
    from pipeline.whitening.whiten import whitening_matrix

__all__ = [
    "ConceptWhitening",
    "LayerMoments",
    "Objective",
    "Subspace",
    "fold_concept_whitening",
    "insert_after",
    "realign",
    "replace_norm",
    "subspace_rotation",
    "whitening_matrix",
]

_MODULES = {
    "choices": ("Objective",),
    "fold": ("fold_concept_whitening",),
    "hierarchy": ("subspace_rotation",),
    "layer": ("ConceptWhitening",),
    "statistics": ("LayerMoments",),
    "subspaces": ("Subspace",),
    "surgery": ("insert_after", "realign", "replace_norm"),
    "whiten": ("whitening_matrix",),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; its names are {', '.join(__all__)}")
