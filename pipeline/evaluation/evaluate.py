"""The evaluation of a run: both networks on the same test images, and the named axes against their baselines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from concepts.statistics.bootstrap import Weights, group_weights
from concepts.statistics.estimate import Estimate
from pipeline.choices import Activation
from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort
from pipeline.data.sample import Sample
from pipeline.data.splits import Part
from pipeline.evaluation.baselines import Probe, best_filter, linear_probe
from pipeline.evaluation.concept_only import concept_only_figures
from pipeline.evaluation.diagnosis import auc_difference, diagnosis_figures
from pipeline.evaluation.evaluation_data import class_indices
from pipeline.evaluation.hierarchy import subspace_purity
from pipeline.evaluation.outputs import LayerOutputs, layer_outputs, pooled_features
from pipeline.evaluation.purity import Assessability, assess, concept_aucs, mean_auc, purity_figures
from pipeline.evaluation.similarity import concept_similarity
from pipeline.evaluation.subgroups import subgroup_figures
from pipeline.evaluation.trajectory import activations_by_layer
from pipeline.evaluation.whiteness import BlockMoments, block_numbers, residual_estimate
from pipeline.models.checkpoint import load_model, main_layer
from pipeline.models.concept_head import concept_head
from pipeline.models.inputs import evaluation_loader
from pipeline.models.whitened import subspaces_of
from pipeline.run.files import AUXILIARY, MODEL, PLAIN
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Tracker
from pipeline.run.seeds import Stream, random_generator
from pipeline.whitening.subspaces import AxisLayout
from pipeline.whitening.surgery import whitening_layers


def evaluate_run(settings: RunSettings, cohort: Cohort, *, run: RunFolder, tracker: Tracker) -> None:
    """Write ``predictions.csv`` and ``evaluation.json``."""
    plain, description = load_model(run.path / PLAIN)
    whitened, whitened_description = load_model(run.path / MODEL)
    layer = main_layer(whitened, whitened_description)
    name = whitened_description.whitening.layer  # type: ignore[union-attr]
    test, train = cohort.part(Part.TEST), cohort.part(Part.TRAIN)
    test_loader = evaluation_loader(settings, cohort, description, test)
    train_loader = evaluation_loader(settings, cohort, description, train)

    plain_test = layer_outputs(
        plain, name, test_loader, turns=settings.model.turns, tracker=tracker, title="plain network, test images"
    )
    test_maps = layer_outputs(
        whitened, layer, test_loader, turns=settings.model.turns, tracker=tracker, title="whitened network, test images"
    )
    auxiliary = _auxiliary(settings, cohort, name, run=run, tracker=tracker)
    pooling = (Activation.MEAN, settings.model.activation)
    plain_train = pooled_features(
        plain, name, train_loader, activations=pooling, tracker=tracker, title="plain network, training images"
    )
    residuals = {
        "train": layer_residual(whitened, layer, train_loader, cohort.groups(train), tracker=tracker, part="training"),
        "test": layer_residual(whitened, layer, test_loader, cohort.groups(test), tracker=tracker, part="test"),
    }

    weights = bootstrap_weights(settings, cohort.groups(test))
    write_predictions(run, test, cohort.classes, plain=plain_test, whitened=test_maps)
    tracker.say("figures and intervals")
    insertion = run.read_json("run.json").get("insertion_change")
    run.write_json(
        "evaluation.json",
        {
            "classes": list(cohort.classes),
            "cohort": cohort.summary(),
            "diagnosis": _diagnosis(cohort, test, plain_test, test_maps, auxiliary, weights),
            **_concepts(settings, cohort, plain_train, plain_test, test_maps, auxiliary, weights),
            **_subspaces(settings, cohort, test_maps, weights),
            "subgroups": subgroup_figures(
                test_maps.probabilities,
                class_indices(test, cohort.classes),
                test,
                classes=cohort.classes,
                groups=cohort.groups(test),
                weights=weights,
            ),
            "concept_only": concept_only_figures(settings, cohort, network=test_maps.probabilities, weights=weights),
            "whitening": {
                "layer": name,
                "placement": str(settings.model.placement),
                "activation": str(settings.model.activation),
                "channels": test_maps.maps.shape[1],
                "insertion_change": insertion,
                **_trajectory(settings, cohort, whitened, test_loader, weights, tracker),
                "residual": residuals,
            },
        },
    )


def _trajectory(
    settings: RunSettings,
    cohort: Cohort,
    network: nn.Module,
    loader: DataLoader[Any],
    weights: Weights,
    tracker: Tracker,
) -> dict[str, Any]:
    """AUC of each axis at every whitened layer, in the order of the network, where there are several."""
    if not settings.model.further_layers:
        return {}
    labels = cohort.concept_labels(cohort.part(Part.TEST))
    positives = _positives(cohort.concept_labels(cohort.part(Part.TRAIN)))
    fine = [one.assessable for one in assess(labels, positives, minimum=settings.concepts.minimum_positives)]
    found = activations_by_layer(network, loader, tracker=tracker, title="every whitened layer, test images")
    places = {name: name.removesuffix(".whitening") for name in found}
    aucs = {places[name]: concept_aucs(one, labels, weights, assessable=fine) for name, one in found.items()}
    return {
        "layers": {
            place: {
                "axis_auc": {name: one.estimate() for name, one in zip(cohort.concepts, figures, strict=True)},
                "mean": mean_auc(figures),
            }
            for place, figures in aucs.items()
        }
    }


def bootstrap_weights(settings: RunSettings, groups: Sequence[str]) -> Weights:
    """The same resamples for every figure of a run, so that figures are paired."""
    generator = random_generator(settings.seed, Stream.BOOTSTRAP)
    return group_weights(groups, resamples=settings.evaluation.resamples, generator=generator)


def write_predictions(
    run: RunFolder, samples: Sequence[Sample], classes: Sequence[str], *, plain: LayerOutputs, whitened: LayerOutputs
) -> None:
    """One row per test image: what it is, and both networks' probabilities."""
    table = pd.DataFrame(
        {"image_id": [one.image_id for one in samples], "diagnosis": [one.diagnosis for one in samples]}
    )
    for network, outputs in (("plain", plain), ("whitened", whitened)):
        for index, name in enumerate(classes):
            table[f"{network}_{name}"] = outputs.probabilities[:, index].round(6)
    run.write_text("predictions.csv", table.to_csv(index=False))


@dataclass(frozen=True)
class Auxiliary:
    """The baseline without whitening, on the test images: N x D probabilities and N x k concept activations."""

    probabilities: NDArray[np.float64]
    activations: NDArray[np.float64]


def _auxiliary(
    settings: RunSettings, cohort: Cohort, layer: str, *, run: RunFolder, tracker: Tracker
) -> Auxiliary | None:
    if settings.training.auxiliary.epochs == 0:
        return None
    network, description = load_model(run.path / AUXILIARY)
    loader = evaluation_loader(settings, cohort, description, cohort.part(Part.TEST))
    outputs = layer_outputs(
        network, layer, loader, turns=settings.model.turns, tracker=tracker, title="auxiliary network, test images"
    )
    head = concept_head(network)
    with torch.no_grad():
        activations = head.pool(head(outputs.maps))
    return Auxiliary(outputs.probabilities, activations.double().numpy())


def _diagnosis(
    cohort: Cohort,
    test: Sequence[Sample],
    plain: LayerOutputs,
    whitened: LayerOutputs,
    auxiliary: Auxiliary | None,
    weights: Weights,
) -> dict[str, Any]:
    labels = class_indices(test, cohort.classes)
    networks = {"plain": plain, "whitened": whitened} | ({AUXILIARY: auxiliary} if auxiliary else {})
    figures = {
        network: diagnosis_figures(outputs.probabilities, labels, classes=cohort.classes, weights=weights)
        for network, outputs in networks.items()
    }
    gain = auc_difference(whitened.probabilities, plain.probabilities, labels, classes=cohort.classes, weights=weights)
    return {**figures, "difference": {"auc": {"macro": gain}}}


def _concepts(
    settings: RunSettings,
    cohort: Cohort,
    plain_train: dict[Activation, NDArray[np.float32]],
    plain_test: LayerOutputs,
    whitened_test: LayerOutputs,
    auxiliary: Auxiliary | None,
    weights: Weights,
) -> dict[str, Any]:
    train, test = cohort.part(Part.TRAIN), cohort.part(Part.TEST)
    labels, train_labels = cohort.concept_labels(test), cohort.concept_labels(train)
    counts = assess(labels, _positives(train_labels), minimum=settings.concepts.minimum_positives)
    fine = [one.assessable for one in counts]
    own = settings.model.activation
    features = (plain_train[Activation.MEAN], train_labels, plain_test.activations(Activation.MEAN))
    scores = {
        "probe_auc": linear_probe(*features, train_groups=cohort.groups(train)),
        "svm_auc": linear_probe(*features, train_groups=cohort.groups(train), kind=Probe.SVM),
        "best_filter_auc": best_filter(plain_train[own], train_labels).scores(plain_test.activations(own)),
    }
    if auxiliary is not None:
        scores["auxiliary_auc"] = auxiliary.activations
    baselines = {name: concept_aucs(one, labels, weights, assessable=fine) for name, one in scores.items()}
    named = len(cohort.concepts)
    axes = {how: whitened_test.activations(how)[:, :named] for how in Activation}
    purity, means, matrix = purity_figures(
        axes, labels, concepts=cohort.concepts, activation=own, counts=counts, weights=weights
    )
    similarity = concept_similarity(whitened_test.activations(Activation.MEAN), labels, weights)
    return {
        "purity": {
            name: {
                "axis_auc": dict(purity[name].axis_auc),
                "best_other": purity[name].best_other,
                "best_other_auc": purity[name].best_other_auc,
                **{baseline: figures[index].estimate() for baseline, figures in baselines.items()},
                **_counts(counts[index]),
            }
            for index, name in enumerate(cohort.concepts)
        },
        "purity_mean": {"axis_auc": means} | {name: mean_auc(figures) for name, figures in baselines.items()},
        "matrix": {"concepts": list(cohort.concepts), "auc": matrix.tolist()},
        "similarity": {
            "intra": dict(zip(cohort.concepts, similarity.intra, strict=True)),
            "inter": {
                name: {other: row[column].value for column, other in enumerate(cohort.concepts)}
                for name, row in zip(cohort.concepts, similarity.inter, strict=True)
            },
        },
    }


def _subspaces(settings: RunSettings, cohort: Cohort, whitened_test: LayerOutputs, weights: Weights) -> dict[str, Any]:
    """Purity of parents and children, where concepts own subspaces."""
    if not settings.concepts.subspaces:
        return {}
    found = subspace_purity(
        whitened_test.activations(settings.model.activation),
        cohort.concept_labels(cohort.part(Part.TEST)),
        layout=AxisLayout(cohort.concepts, subspaces_of(settings.concepts)),
        train_positives=_positives(cohort.concept_labels(cohort.part(Part.TRAIN))),
        minimum=settings.concepts.minimum_positives,
        weights=weights,
    )
    return {"subspaces": {parent: one.to_json() for parent, one in found.items()}}


def _positives(labels: NDArray[np.float64]) -> list[int]:
    return [int(count) for count in (labels == 1).sum(axis=0)]


def _counts(counts: Assessability) -> dict[str, Any]:
    return {
        "positives": counts.positives,
        "negatives": counts.negatives,
        "train_positives": counts.train_positives,
        "assessable": counts.assessable,
        "reason": counts.reason,
    }


def layer_residual(
    network: nn.Module, layer: str, loader: DataLoader[Any], groups: Sequence[str], *, tracker: Tracker, part: str
) -> Estimate:
    """How far a whitened layer's maps are from white, of each image as it is: averages over turns vary less.

    Args:
        network: Put into evaluation mode.
        layer: Name of the layer.
        loader: In order.
        groups: Of each image, for the interval.
        tracker: Where progress is shown.
        part: What the images are, for the progress bar.
    """
    moments, blocks = BlockMoments(whitening_layers(network)[layer].num_features), block_numbers(groups)
    pooled_features(
        network,
        layer,
        loader,
        activations=(),
        tracker=tracker,
        title=f"whitened network, {part} images",
        visit=lambda maps, seen: moments.add(maps, blocks[seen : seen + len(maps)]),
    )
    return residual_estimate(moments)
