"""All cases of a run: the reference that they are read against, a file for each test image, and figures over them."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from concepts.statistics.bootstrap import Weights, ratio, resample
from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort
from pipeline.data.sample import Sample
from pipeline.data.splits import Part
from pipeline.data.transforms import display_transforms
from pipeline.evaluation.evaluate import bootstrap_weights
from pipeline.evaluation.evaluation_data import class_indices
from pipeline.evaluation.outputs import LayerOutputs, layer_outputs
from pipeline.evaluation.trajectory import activations_by_layer
from pipeline.explanation.cases.calibration import calibrate
from pipeline.explanation.cases.case import CaseInput, explain_case, summary
from pipeline.explanation.cases.concept_states import set_thresholds
from pipeline.explanation.cases.evidence import WIDTHS, choose_width, gradient_maps, pointing_figures
from pipeline.explanation.cases.files import has_picture, write_case, write_index
from pipeline.explanation.cases.network import REFERENCE, save_picture
from pipeline.explanation.cases.planted import cause_hits, causes
from pipeline.explanation.cases.reference import (
    AxisReference,
    ExampleReference,
    Reference,
    StageReference,
    fit_concept_only,
)
from pipeline.explanation.cases.scope import fit_scope
from pipeline.explanation.cases.trajectories import trajectory_figures
from pipeline.explanation.explained_network import ExplainedNetwork
from pipeline.images.measures.quality import MEASURES, measure_quality
from pipeline.models.checkpoint import load_model
from pipeline.results.case import CaseContent
from pipeline.results.evaluation import Evaluation
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Tracker
from pipeline.training.phases import PLAIN, evaluation_loader, layer_name
from pipeline.whitening.activation import axis_activations

FEWEST_WITHOUT = 10
"""Training images that must be known not to show a concept for its absence to be a reference."""
CASES = 4
"""Distinguishes the generator of the cases from the run's others."""


def explain_cases(
    network: ExplainedNetwork,
    *,
    run: RunFolder,
    outputs: LayerOutputs,
    tracker: Tracker,
) -> dict[str, Any]:
    """Write ``reference.json``, ``cases/`` and ``cases.csv``; return the figures over the cases.

    Args:
        network: The whitened one, with its experiment and images.
        run: Where to write.
        outputs: Of the layer for the test images, in order.
        tracker: Where progress is shown.
    """
    settings, cohort = network.settings, network.cohort
    reference = _reference(network, run, tracker)
    run.write_json(REFERENCE, reference.model_dump(mode="json"))
    test = cohort.part(Part.TEST)
    chosen = _chosen(settings, len(test))
    labels = cohort.concept_labels(test)
    logits = outputs.logits.double().numpy()
    generator = np.random.default_rng([settings.seed, CASES])
    by_layer = _by_layer(network, Part.TEST, tracker)
    written: list[CaseContent] = []
    by_id = {sample.image_id: sample for sample in cohort.samples}
    with tracker.task("explaining cases", len(chosen)) as advance:
        for row in chosen:
            sample = test[row]
            shown = _shown(settings, cohort, sample)
            case = CaseInput(
                image_id=sample.image_id,
                digest=sample.digest,
                maps=outputs.maps[row],
                rest=tuple(one[row : row + 1] for one in outputs.rest),
                logits=logits[row],
                quality=measure_quality(shown),
                part=str(Part.TEST),
                reference=sample.diagnosis,
                labels=labels[row].tolist(),
                picture=save_picture(run, sample.image_id, shown),
                by_layer={name: one[row].tolist() for name, one in by_layer.items()},
            )
            content = explain_case(
                case,
                reference,
                outputs.tail,
                activation=settings.model.activation,
                run_id=run.id,
                generator=generator,
            )
            for example in (*content.supporting, *content.opposing):
                if not has_picture(run, example.image_id):
                    save_picture(run, example.image_id, _shown(settings, cohort, by_id[example.image_id]))
            write_case(run, content)
            written.append(content)
            advance(1)
    write_index(run, [case.row() for case in written])
    weights = bootstrap_weights(settings, cohort.groups(test))
    figures: dict[str, Any] = {
        "cases": _figures(written, cohort, weights[:, chosen]),
        "pointing": _pointing(settings, cohort, run, outputs, reference, weights, tracker),
    }
    if by_layer:
        figures["trajectories"] = trajectory_figures(written, weights[:, chosen])
    if cohort.samples[0].source == "phantom":
        figures["planted_cause"] = _planted(cohort, written, labels[chosen], weights[:, chosen])
    return figures


def _reference(network: ExplainedNetwork, run: RunFolder, tracker: Tracker) -> Reference:
    settings, cohort = network.settings, network.cohort
    validation, train = cohort.part(Part.VALIDATION), cohort.part(Part.TRAIN)
    listed = {example.image_id for example in cohort.release.examples}
    is_listed = np.array([sample.image_id in listed for sample in train])
    examples = [sample for sample, kept in zip(train, is_listed, strict=True) if kept]
    example_activations, example_means, absent = _train_values(network, is_listed, tracker)
    seen = network.validation_outputs(tracker)
    activations = seen.activations(settings.model.activation)[:, : len(cohort.concepts)]
    scope = fit_scope(example_means)
    widths = _evidence_widths(network, tracker)
    labels = cohort.concept_labels(validation)
    by_layer = _by_layer(network, Part.VALIDATION, tracker)
    own = class_indices(validation, cohort.classes)
    names = {entry.id: entry.name for entry in cohort.release.concepts}
    table = np.array([astuple(measure_quality(_shown(settings, cohort, one))) for one in validation])
    return Reference(
        classes=cohort.classes,
        axes=tuple(
            AxisReference(
                concept=concept,
                name=names.get(concept, concept),
                thresholds=set_thresholds(activations[:, column], labels[:, column]),
                activations=tuple(np.sort(activations[:, column]).tolist()),
                stages=tuple(
                    StageReference(
                        layer=name,
                        thresholds=set_thresholds(one[:, column], labels[:, column]),
                        activations=tuple(np.sort(one[:, column]).tolist()),
                    )
                    for name, one in by_layer.items()
                ),
                absent=absent[column],
                evidence_width=widths[column],
                **_reliability(cohort, run, concept),
            )
            for column, concept in enumerate(cohort.concepts)
        ),
        calibration=calibrate(seen.logits.double().numpy(), own),
        scope=scope,
        distances=tuple(np.sort(scope.distances(np.array([summary(one) for one in seen.maps]))).tolist()),
        quality={name: tuple(column.tolist()) for name, column in zip(MEASURES, np.sort(table, axis=0).T, strict=True)},
        concept_only=fit_concept_only(activations, own, classes=len(cohort.classes)),
        examples=_examples(cohort, examples, example_activations),
        release=cohort.release.digest,
    )


def _evidence_widths(network: ExplainedNetwork, tracker: Tracker) -> list[int]:
    """For each axis, over how many cells its map is averaged; chosen on the validation images that have masks."""
    settings, cohort = network.settings, network.cohort
    count, validation = len(cohort.concepts), cohort.part(Part.VALIDATION)
    regions = cohort.concept_regions(validation)
    masked = [row for row, paths in enumerate(regions) if any(path is not None for path in paths)]
    if not masked:
        return [WIDTHS[0]] * count
    maps = network.validation_outputs(tracker).maps[masked]
    if maps.ndim != 4:
        return [WIDTHS[0]] * count
    planes = torch.stack([_regions(settings, cohort, validation[row], regions[row]) for row in masked])
    return [choose_width(maps[:, column], planes[:, column]) for column in range(count)]


def _by_layer(network: ExplainedNetwork, part: Part, tracker: Tracker) -> dict[str, NDArray[np.float64]]:
    """Activations at every whitened layer, where there are several; upright images, whatever the turns."""
    if not network.settings.model.further_layers:
        return {}
    loader = evaluation_loader(network.settings, network.cohort, network.description, network.cohort.part(part))
    return activations_by_layer(network.module, loader, tracker=tracker, title=f"every whitened layer, {part} images")


def _train_values(
    network: ExplainedNetwork, listed: NDArray[np.bool_], tracker: Tracker
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[tuple[float, ...]]]:
    """Of the n training images that the release lists, in one pass since not all maps may be kept.

    Returns:
        n x k activations of the named axes, n x C means of all axes, and for each named axis its mean map over those
        without the concept; empty where they are few.
    """
    cohort, activation = network.cohort, network.settings.model.activation
    named = len(cohort.concepts)
    labels = cohort.concept_labels(cohort.part(Part.TRAIN))
    without = torch.from_numpy(((labels == 0) & listed[:, None]).astype(np.float64))
    activations, summaries = [], []
    sums, seen = torch.zeros(()), 0
    for maps in network.train_maps(tracker):
        rows = slice(seen, seen + len(maps))
        some = maps[listed[rows]]
        activations.append(axis_activations(some[:, :named], activation).double().numpy())
        summaries += [summary(one) for one in some]
        sums = sums + torch.einsum("nk,nk...->k...", without[rows], maps[:, :named].double())
        seen = rows.stop
    counts = without.sum(dim=0)
    absent = [
        tuple((sums[column] / counts[column]).flatten().tolist()) if counts[column] >= FEWEST_WITHOUT else ()
        for column in range(named)
    ]
    return np.concatenate(activations), np.array(summaries).reshape(-1, network.channels), absent


def _reliability(cohort: Cohort, run: RunFolder, concept: str) -> dict[str, Any]:
    """What the evaluation and the readers say of an axis."""
    evaluation = run.read(Evaluation)
    purity = evaluation.axes.purity.get(concept)
    entry = next((one for one in cohort.release.agreement or () if one.concept == concept), None)
    return {
        "auc": evaluation.axis_auc(concept).to_json() if purity is not None and purity.is_assessable else None,
        "positives": purity.positives if purity is not None else 0,
        "reason": "not evaluated" if purity is None else purity.reason,
        "agreement": None
        if entry is None
        else {"value": entry.value, "low": entry.low, "high": entry.high, "n": entry.n},
    }


def _examples(
    cohort: Cohort, samples: Sequence[Sample], activations: NDArray[np.float64]
) -> tuple[ExampleReference, ...]:
    labels = cohort.concept_labels(samples)
    return tuple(
        ExampleReference(
            image_id=sample.image_id,
            diagnosis=sample.diagnosis,
            shows=tuple(name for name, label in zip(cohort.concepts, row, strict=True) if label == 1),
            activations=tuple(values.tolist()),
        )
        for sample, row, values in zip(samples, labels, activations, strict=True)
    )


def _chosen(settings: RunSettings, count: int) -> list[int]:
    """Rows of the test images that are explained: all, or as many as the settings say, drawn with the seed."""
    limit = settings.explanation.cases
    if limit is None or limit >= count:
        return list(range(count))
    drawn = np.random.default_rng([settings.seed, CASES, limit]).choice(count, size=limit, replace=False)
    return sorted(int(row) for row in drawn)


def _shown(settings: RunSettings, cohort: Cohort, sample: Sample) -> NDArray[np.uint8]:
    return np.asarray(display_transforms(settings.transforms)({"image": cohort.cache.get(sample)})["image"])


def _figures(cases: Sequence[CaseContent], cohort: Cohort, weights: Weights) -> dict[str, Any]:
    """How often flags are raised, and how often the call is right with and without them; each with interval and n."""
    right = np.array([float(not case.wrong) for case in cases])
    covered = [
        float(any(one.plausible and one.diagnosis == case.reference for one in case.differential)) for case in cases
    ]
    flags = {
        "abstain": np.array([case.abstain for case in cases]),
        "conflict": np.array([case.conflict for case in cases]),
        "out_of_scope": np.array([case.scope.out_of_scope for case in cases]),
    }
    figures: dict[str, Any] = {
        "n": len(cases),
        "of": len(cohort.part(Part.TEST)),
        "right": _rate(right, weights),
        "plausible_set_covers": _rate(np.array(covered), weights),
    }
    for name, raised in flags.items():
        figures[name] = {
            "share": _rate(raised.astype(np.float64), weights),
            "right_where_raised": _rate(np.where(raised, right, np.nan), weights),
            "right_elsewhere": _rate(np.where(raised, np.nan, right), weights),
        }
    return figures


def _rate(values: NDArray[np.float64], weights: Weights) -> dict[str, float | int | None]:
    """Mean of the values that are known, with its interval."""
    known = np.isfinite(values)
    if not known.any():
        return {"value": None, "low": None, "high": None, "n": 0}
    some = weights[:, known]
    found = resample(lambda weight: ratio(weight @ values[known], weight.sum(axis=1)), some)
    return found.estimate().to_json()


def _pointing(
    settings: RunSettings,
    cohort: Cohort,
    run: RunFolder,
    outputs: LayerOutputs,
    reference: Reference,
    weights: Weights,
    tracker: Tracker,
) -> dict[str, Any]:
    if outputs.maps.ndim != 4:
        return {}
    test = cohort.part(Part.TEST)
    paths = cohort.concept_regions(test)
    if not any(path is not None for row in paths for path in row):
        return {}
    network, description = load_model(run.path / PLAIN)
    loader = evaluation_loader(settings, cohort, description, test)
    plain = layer_outputs(
        network,
        layer_name(settings, cohort),
        loader,
        turns=settings.model.turns,
        tracker=tracker,
        title="plain network, test images",
    )
    regions = [_regions(settings, cohort, sample, row) for sample, row in zip(test, paths, strict=True)]
    found = pointing_figures(
        outputs.maps[:, : len(cohort.concepts)],
        gradient_maps(plain.tail, plain.maps, plain.rest),
        regions,
        concepts=cohort.concepts,
        widths=[axis.evidence_width for axis in reference.axes],
        weights=weights,
    )
    overall = found["overall"]
    return {
        "concepts": {concept: _row_to_json(row) for concept, row in found["concepts"].items()},
        "overall": None if overall is None else _row_to_json(overall),
    }


def _row_to_json(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one.to_json() if hasattr(one, "to_json") else one for name, one in row.items()}


def _regions(settings: RunSettings, cohort: Cohort, sample: Sample, paths: Sequence[Any]) -> Tensor:
    """K x h x w masks as the network sees the image, 0 to 1; NaN where there is none."""
    item = {"image": cohort.cache.get(sample), "regions": cohort.cache.get_masks(sample, tuple(paths))}
    planes = torch.from_numpy(np.ascontiguousarray(display_transforms(settings.transforms)(item)["regions"])) / 255
    planes[torch.tensor([path is None for path in paths])] = torch.nan
    return planes


def _planted(
    cohort: Cohort, cases: Sequence[CaseContent], labels: NDArray[np.float64], weights: Weights
) -> dict[str, Any]:
    """How often the planted cause comes first: in all lesions that one concept decided, and in those called so."""
    shares = [
        {
            name: {concept.concept: concept.contributions[name].share for concept in case.concepts}
            for name in cohort.classes
        }
        for case in cases
    ]
    hits = cause_hits(labels, shares, concepts=cohort.concepts)
    found = causes(labels, cohort.concepts)
    called = np.array([cause is not None and cause[1] == case.call for cause, case in zip(found, cases, strict=True)])
    return {"decided": _rate(hits, weights), "decided_and_called": _rate(np.where(called, hits, np.nan), weights)}
