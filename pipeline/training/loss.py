"""What training minimises: the diagnosis, and optionally the concepts."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from pipeline.config import ConceptLossSettings
from pipeline.models.concept_head import ConceptHead
from pipeline.models.whitened import whitening_refusals
from pipeline.training.concept_loss import ConceptCalibration, concept_loss, region_loss
from pipeline.training.precision import at_least_float32
from pipeline.whitening.activation import axis_activations
from pipeline.whitening.distributed import mean_over_processes
from pipeline.whitening.layer import ConceptWhitening

Targets = Mapping[str, Tensor]


class TrainingLoss(nn.Module):
    """Cross-entropy of the diagnosis plus, where asked, the concept loss on each whitened layer.

    The outputs of the whitened layers are taken from forward hooks, so any network and any trainer can use it.

    Args:
        classes: Number of diagnoses.
        class_weights: Weight of each diagnosis, or None for equal ones.
        label_smoothing: As in `torch.nn.CrossEntropyLoss`.
        layers: The whitened layers, or concept heads, of the network in training.
        concept_settings: Weights of the image-level and of the position-level concept loss.
    """

    def __init__(
        self,
        *,
        class_weights: Tensor | None = None,
        label_smoothing: float = 0.0,
        layers: Sequence[ConceptWhitening | ConceptHead] = (),
        concept_settings: ConceptLossSettings | None = None,
    ) -> None:
        super().__init__()
        self.diagnosis = nn.CrossEntropyLoss(weight=class_weights, label_smoothing=label_smoothing)
        self.settings = concept_settings or ConceptLossSettings()
        self.layers = list(layers) if self.needs_concepts else []
        self.image_calibrations = nn.ModuleList(ConceptCalibration(layer.num_concepts) for layer in self.layers)
        self.region_calibrations = nn.ModuleList(ConceptCalibration(layer.num_concepts) for layer in self.layers)
        self._maps: dict[int, Tensor] = {}
        for index, layer in enumerate(self.layers):
            layer.register_forward_hook(self._keeper(index))

    @property
    def needs_concepts(self) -> bool:
        """Whether batches must carry concept labels."""
        return self.settings.weight > 0 or self.settings.region_weight > 0

    def forward(self, logits: Tensor, targets: Targets) -> Tensor:
        """The loss of one batch; of the whole batch, on every process, in a distributed run.

        Args:
            logits: N x D.
            targets: ``label`` (N, indices) and, for the concept loss, ``concepts`` (N x k; 1, 0, NaN) and optionally
                ``regions`` (N x k x h x w in [0, 1]; NaN planes where there is no mask).
        """
        total = self._diagnosis_term(logits, targets["label"])
        for index in range(len(self.layers)):
            total = total + self._concept_terms(index, targets)
        return total

    def _diagnosis_term(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = self.diagnosis.weight
        share = logits.new_tensor(len(labels)) if weights is None else weights[labels].sum()
        return mean_over_processes(self.diagnosis(logits, labels), share)

    def _concept_terms(self, index: int, targets: Targets) -> Tensor:
        layer = self.layers[index]
        maps = at_least_float32(self._maps[index][:, : layer.num_concepts])
        total = maps.new_zeros(())
        if self.settings.weight > 0:
            activations = self.image_calibrations[index](axis_activations(maps, layer.activation))
            total = total + self.settings.weight * concept_loss(activations, _own_labels(layer, targets))
        if self.settings.region_weight > 0 and "regions" in targets and maps.ndim == 4:
            calibrated = self.region_calibrations[index](maps)
            total = total + self.settings.region_weight * region_loss(calibrated, _own_regions(layer, targets))
        return total

    def _keeper(self, index: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self._maps[index] = output

        return keep


@whitening_refusals()
def _own_labels(layer: nn.Module, targets: Targets) -> Tensor:
    """The labels that a layer's axes learn from: children's only inside their parents, where it has subspaces."""
    labels = targets["concepts"]
    return layer.layout.inside(labels) if isinstance(layer, ConceptWhitening) else labels


def _own_regions(layer: nn.Module, targets: Targets) -> Tensor:
    regions = targets["regions"]
    return layer.layout.inside_regions(regions) if isinstance(layer, ConceptWhitening) else regions


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Weights inversely proportional to the frequency of each diagnosis, with mean 1 over the samples."""
    counts = torch.bincount(labels, minlength=classes).clamp(min=1).float()
    return counts.sum() / (classes * counts)
