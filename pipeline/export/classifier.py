"""A run's network as others use it: folded, fed with plain RGB, giving probabilities and concept activations."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from concepts.errors import RunError
from pipeline.models.checkpoint import ModelDescription, WhiteningDescription, build_network, load_model
from pipeline.models.whitened import whitening_refusals
from pipeline.run.folder import RunFolder, open_run
from pipeline.whitening.fold import fold_concept_whitening

MODEL = "model"
"""Stem of the whitened network's files in a run."""

INTENDED_USE = (
    "Research on concept-based classification of dermoscopic images. Not a medical device; not for diagnosis."
)


class ConceptClassifier(nn.Module):
    """From an image to everything that a whitened network says of it.

    The input's mean and standard deviation are applied here, so that whoever feeds it cannot forget them, and concept
    whitening is folded into the network's own layers.

    Args:
        network: In evaluation mode, N x 3 x S x S normalised to N x D logits and N x k activations.
        mean: Subtracted from red, green and blue, which lie in [0, 1].
        std: Divides what remains.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Classify.

        Args:
            image: float32, N x 3 x S x S, RGB in [0, 1].

        Returns:
            N x D logits, N x D probabilities (rows add up to 1) and N x k activations of the named axes.
        """
        logits, activations = self.network((image - self.mean) / self.std)
        return logits, logits.softmax(dim=1), activations


class OneTensorClassifier(ConceptClassifier):
    """The same with all outputs in one tensor, which is what MONAI's verification and inferers take."""

    def forward(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """Classify: N x (D + k), the D probabilities, then the k activations."""
        _, probabilities, activations = super().forward(image)
        return torch.cat([probabilities, activations], dim=1)


def open_whole_run(path: Path) -> RunFolder:
    """Open a finished run.

    Raises:
        RunError: If there is no run, or it is unfinished.
    """
    run = open_run(path)
    if not run.is_whole:
        raise RunError(f"{run.path}: an unfinished run; finish it with 'dermaxis run CONFIG --resume', then export it")
    return run


def load_classifier(run: RunFolder) -> tuple[ConceptClassifier, ModelDescription]:
    """Load a run's whitened network, folded, on the CPU.

    Raises:
        WeightsError: If the run's files are missing or damaged.
        RunError: If the network has no named axes.
    """
    network, description = load_model(run.path / MODEL)
    whitening_of(description)
    with whitening_refusals():
        folded = fold_concept_whitening(network, activations=True)
    return ConceptClassifier(folded, mean=description.mean, std=description.std).eval(), description


def build_classifier(description: ModelDescription) -> OneTensorClassifier:
    """Build the classifier of a description with random weights, into which a bundle loads its state.

    Raises:
        RunError: If the network has no named axes.
    """
    whitening_of(description)
    with torch.random.fork_rng(devices=[]), whitening_refusals():
        folded = fold_concept_whitening(build_network(description), activations=True)
    return OneTensorClassifier(folded, mean=description.mean, std=description.std).eval()


def whitening_of(description: ModelDescription) -> WhiteningDescription:
    """Return the description's concept whitening.

    Raises:
        RunError: If it has none, or one without names.
    """
    if description.whitening is None or not description.whitening.concepts:
        raise RunError("the run's network has no axis that is named after a concept; export a run that was whitened")
    return description.whitening
