"""The file ``evaluation.json``: both networks on the same test images, and the named axes."""

from collections.abc import Mapping
from typing import ClassVar

from concepts.statistics.estimate import Estimate
from pipeline.results.axes import AxesResult, AxisVerdict
from pipeline.results.result import Figure, Number, Result, ResultFile
from pipeline.results.trust import ConceptOnlyResult, SubgroupsResult


class PartCounts(Result):
    """How many images a part of the cohort has.

    Attributes:
        images: Number of images.
        groups: Number of groups (patients, lesions, near-duplicates); none is in two parts.
        diagnoses: Images by diagnosis identifier.
    """

    images: int
    groups: int
    diagnoses: Mapping[str, int]


class CohortResult(Result):
    """The images of the run.

    Attributes:
        source: The data source.
        parts: By ``train``, ``validation`` and ``test``.
        grouped_by: How many images were kept together by ``patient``, ``lesion``, ``near-duplicate`` or ``none``.
    """

    source: str
    parts: Mapping[str, PartCounts]
    grouped_by: Mapping[str, int]

    def images(self, part: str) -> int:
        """Return the number of images in a part; 0 where the run has no such part."""
        return self.parts[part].images if part in self.parts else 0


class NetworkResult(Result):
    """How well one network tells the diagnoses of the test images apart.

    Attributes:
        auc: Area under the ROC curve, one diagnosis against the rest, by diagnosis; their mean as ``macro``.
        balanced_accuracy: Mean of the diagnoses' sensitivities.
        sensitivity_at_specificity_80: By diagnosis, sensitivity at 80 % specificity.
        sensitivity_at_specificity_90: By diagnosis, sensitivity at 90 % specificity.
        ece: Expected calibration error, 0 to 1.
    """

    auc: Mapping[str, Figure]
    balanced_accuracy: Figure
    sensitivity_at_specificity_80: Mapping[str, Figure]
    sensitivity_at_specificity_90: Mapping[str, Figure]
    ece: Figure


class DiagnosisResult(Result):
    """The networks on the same test images.

    Attributes:
        plain: The network before whitening.
        whitened: The concept-whitened network.
        auxiliary: The network trained on with concept outputs and without whitening; None where there is none.
        difference: Macro AUC of the whitened minus that of the plain network, paired.
    """

    plain: NetworkResult
    whitened: NetworkResult
    auxiliary: NetworkResult | None
    difference: Figure


class Residual(Result):
    """|cov(z) - I| / |I| (Frobenius) of the whitened layer; 0 is perfectly white.

    Attributes:
        train: On training images.
        test: On test images.
    """

    train: Figure
    test: Figure


class LayerResult(Result):
    """The named axes at one of several whitened layers.

    Attributes:
        axis_auc: By concept identifier.
        mean: Over the assessable concepts.
    """

    axis_auc: Mapping[str, Figure]
    mean: Figure


class WhiteningResult(Result):
    """Where concept whitening is, and how white it is.

    Attributes:
        layer: Name of the module.
        placement: ``replace`` or ``insert``.
        activation: How a map becomes one number per image.
        channels: Number of axes, named and free.
        insertion_change: Largest change of a logit by the insertion of the layer; NaN where it was not measured.
        residual: How white it is.
        layers: Where several layers are whitened, all of them in the order of the network; else empty.
    """

    layer: str
    placement: str
    activation: str
    channels: int
    insertion_change: Number
    residual: Residual
    layers: Mapping[str, LayerResult] = {}


class Evaluation(ResultFile):
    """The evaluation of a run.

    Attributes:
        classes: Diagnosis identifiers, in the order of the networks' outputs.
        cohort: The images.
        diagnosis: The networks.
        axes: The named axes.
        subgroups: The whitened network by age, sex, site and skin tone.
        concept_only: How far labels alone go.
        whitening: The layer.
    """

    file: ClassVar[str] = "evaluation.json"
    version: ClassVar[int] = 2
    remedy: ClassVar[str] = "evaluate the run again: dermaxis evaluate {run}"

    classes: tuple[str, ...]
    cohort: CohortResult
    diagnosis: DiagnosisResult
    axes: AxesResult
    subgroups: SubgroupsResult
    concept_only: ConceptOnlyResult
    whitening: WhiteningResult

    @property
    def activation(self) -> str:
        """How the run makes one number per image of an axis's map."""
        return self.whitening.activation

    def axis_auc(self, concept: str) -> Estimate:
        """Return the AUC of a concept's axis by the run's activation."""
        return self.axes.purity[concept].axis_auc[self.activation]

    def verdict(self, concept: str) -> AxisVerdict:
        """Judge a concept's axis by the run's activation; a concept without an axis is not assessable."""
        purity = self.axes.purity.get(concept)
        return AxisVerdict.NOT_ASSESSABLE if purity is None else purity.verdict(self.activation)
