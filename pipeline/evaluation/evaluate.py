"""The evaluation of a run: both networks on the same test images, and the named axes against their baselines."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import pandas as pd

from concepts.csv_cells import csv_text
from pipeline.choices import Activation
from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort
from pipeline.evaluation.axes import axes_by_layer, named_axes
from pipeline.evaluation.ceiling import concept_only
from pipeline.evaluation.diagnosis import auc_difference, diagnosis_figures
from pipeline.evaluation.evaluation_data import EvaluatedParts, EvaluationData, evaluated_parts
from pipeline.evaluation.network_outputs import EvaluatedNetworks, NetworkOutputs, PartLoaders, gather_outputs
from pipeline.evaluation.subgroups import subgroup_figures
from pipeline.models.checkpoint import load_model, main_layer
from pipeline.models.inputs import evaluation_loader
from pipeline.models.whitened import subspaces_of
from pipeline.results.evaluation import CohortResult, DiagnosisResult, Evaluation, PartCounts, WhiteningResult
from pipeline.run.files import AUXILIARY, MODEL, PLAIN
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Tracker
from pipeline.whitening.subspaces import AxisLayout

PREDICTIONS = "predictions.csv"
GROUP_KINDS = ("patient", "lesion")
"""What a group of images is named after, where it is known; a group of near-duplicates is named after an image."""


@dataclass(frozen=True, kw_only=True)
class EvaluatedLayer:
    """The whitened layer of a run, as its settings have it.

    Attributes:
        name: Of the module at which it is.
        placement: ``replace`` or ``insert``.
        activation: How a map becomes one number per image.
        layout: Which axis is whose.
        insertion_change: Largest change of a logit by the insertion; NaN where it was not measured.
        minimum: Fewest training positives with which an axis is stable.
    """

    name: str
    placement: str
    activation: Activation
    layout: AxisLayout
    insertion_change: float = nan
    minimum: int


def evaluate_run(settings: RunSettings, cohort: Cohort, *, run: RunFolder, tracker: Tracker) -> None:
    """Write ``predictions.csv`` and ``evaluation.json``."""
    parts = evaluated_parts(cohort, seed=settings.seed, resamples=settings.evaluation.resamples)
    plain, description = load_model(run.path / PLAIN)
    whitened, whitened_description = load_model(run.path / MODEL)
    layer = EvaluatedLayer(
        name=whitened_description.whitening.layer,  # type: ignore[union-attr]  # a whitened model has one
        placement=str(settings.model.placement),
        activation=settings.model.activation,
        layout=AxisLayout(cohort.concepts, subspaces_of(settings.concepts)),
        insertion_change=_insertion_change(run),
        minimum=settings.concepts.minimum_positives,
    )
    outputs = gather_outputs(
        EvaluatedNetworks(
            plain=plain,
            whitened=whitened,
            auxiliary=load_model(run.path / AUXILIARY)[0] if settings.training.auxiliary.epochs else None,
            layer=layer.name,
            whitening=main_layer(whitened, whitened_description),
        ),
        PartLoaders(
            train=evaluation_loader(settings, cohort, description, parts.train.samples),
            test=evaluation_loader(settings, cohort, description, parts.test.samples),
        ),
        parts,
        activation=layer.activation,
        turns=settings.model.turns,
        tracker=tracker,
    )
    run.write_text(PREDICTIONS, predictions_table(outputs, parts.test))
    tracker.say("figures and intervals")
    run.write(evaluation(outputs, parts, layer))


def evaluation(outputs: NetworkOutputs, parts: EvaluatedParts, layer: EvaluatedLayer) -> Evaluation:
    """Compute every figure of the evaluation.

    Args:
        outputs: What the networks gave for the images.
        parts: The images with their labels, groups and resamples.
        layer: The whitened layer.
    """
    return Evaluation(
        classes=parts.test.classes,
        cohort=cohort_counts(parts),
        diagnosis=compared_networks(outputs, parts.test),
        axes=named_axes(outputs, parts, layer.layout, activation=layer.activation, minimum=layer.minimum),
        subgroups=subgroup_figures(outputs.whitened.probabilities, parts.test),
        concept_only=concept_only(parts, outputs.whitened.probabilities),
        whitening=WhiteningResult(
            layer=layer.name,
            placement=layer.placement,
            activation=str(layer.activation),
            channels=outputs.whitened.activations[layer.activation].shape[1],
            insertion_change=layer.insertion_change,
            residual=outputs.residual,
            layers=axes_by_layer(outputs.layers, parts, minimum=layer.minimum),
        ),
    )


def compared_networks(outputs: NetworkOutputs, test: EvaluationData) -> DiagnosisResult:
    """Measure the diagnoses of all networks on the same test images and the same resamples."""
    labels, classes, weights = test.labels, test.classes, test.weights
    auxiliary, plain, whitened = outputs.auxiliary, outputs.plain.probabilities, outputs.whitened.probabilities
    return DiagnosisResult(
        plain=diagnosis_figures(plain, labels, classes=classes, weights=weights),
        whitened=diagnosis_figures(whitened, labels, classes=classes, weights=weights),
        auxiliary=None
        if auxiliary is None
        else diagnosis_figures(auxiliary.probabilities, labels, classes=classes, weights=weights),
        difference=auc_difference(whitened, plain, labels, classes=classes, weights=weights),
    )


def cohort_counts(parts: EvaluatedParts) -> CohortResult:
    """Count the images by part and diagnosis, and by what kept them together."""
    named = {str(data.part): data for data in (parts.train, parts.validation, parts.test)}
    return CohortResult(
        source=parts.train.samples[0].source,
        parts={name: _counts(data) for name, data in named.items()},
        grouped_by=grouping([group for data in named.values() for group in data.groups]),
    )


def grouping(groups: Sequence[str]) -> dict[str, int]:
    """Count the images that were kept together by patient, by lesion, by likeness, or by nothing.

    Args:
        groups: Of each image, as `pipeline.data.splits.group_ids` names them.

    Example:
        >>> grouping(["patient:7", "lesion:2", "image:a", "image:a", "image:b"])
        {'patient': 1, 'lesion': 1, 'near-duplicate': 2, 'none': 1}
    """
    sizes, kinds = Counter(groups), dict.fromkeys((*GROUP_KINDS, "near-duplicate", "none"), 0)
    for group, size in sizes.items():
        named_after = group.partition(":")[0]
        likeness = "near-duplicate" if size > 1 else "none"
        kinds[named_after if named_after in GROUP_KINDS else likeness] += size
    return kinds


def predictions_table(outputs: NetworkOutputs, test: EvaluationData) -> str:
    """Return a CSV with one row per test image: what it is, and both networks' probabilities."""
    table = pd.DataFrame({"image_id": test.image_ids, "diagnosis": [sample.diagnosis for sample in test.samples]})
    for network, pooled in (("plain", outputs.plain), ("whitened", outputs.whitened)):
        for column, diagnosis in enumerate(test.classes):
            table[f"{network}_{diagnosis}"] = pooled.probabilities[:, column].round(6)
    return csv_text([*map(str, table)], table.itertuples(index=False))


def _counts(data: EvaluationData) -> PartCounts:
    diagnoses = Counter(sample.diagnosis for sample in data.samples)
    return PartCounts(images=len(data), groups=len(set(data.groups)), diagnoses=dict(sorted(diagnoses.items())))


def _insertion_change(run: RunFolder) -> float:
    change = run.read_json("run.json").get("insertion_change")
    return nan if change is None else float(change)
