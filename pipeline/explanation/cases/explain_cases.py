"""All cases of a run: the reference that they are read against, a file for each test image, and figures over them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.config import ExplanationSettings
from pipeline.data.sample import Sample
from pipeline.data.transforms import display_transforms
from pipeline.evaluation.evaluation_data import EvaluationData
from pipeline.evaluation.outputs import LayerOutputs, layer_outputs
from pipeline.evaluation.trajectory import activations_by_layer
from pipeline.explanation.cases.build_reference import ReferenceParts, build_reference, listed_activations
from pipeline.explanation.cases.case import CaseInput, explain_case
from pipeline.explanation.cases.case_figures import cases_result, layer_courses, planted_cause_rates
from pipeline.explanation.cases.evidence import WIDTHS, choose_width, gradient_maps, pointing_game
from pipeline.explanation.cases.files import has_picture, picture_file, write_case, write_index
from pipeline.explanation.cases.reference import Reference
from pipeline.explanation.explained_network import ExplainedNetwork
from pipeline.images.measures.quality import measure_quality
from pipeline.models.backbones import layer_name
from pipeline.models.checkpoint import load_model
from pipeline.models.inputs import evaluation_loader
from pipeline.results.case import CaseContent
from pipeline.results.cases import CasesResult, LayerCourse, PlantedCause, PointingResult
from pipeline.results.evaluation import Evaluation
from pipeline.run.files import PLAIN
from pipeline.run.folder import RunFolder
from pipeline.run.pictures import save_picture
from pipeline.run.progress import Tracker
from pipeline.run.seeds import Stream, random_generator

Table = NDArray[np.float64]


@dataclass(frozen=True)
class ExplainedCases:
    """What the cases of a run say together.

    Attributes:
        cases: How often flags are raised and calls are right.
        pointing: None where there are no masks, or the layer has no positions.
        trajectories: By concept and lower layer; empty where one layer is whitened.
        planted_cause: On a phantom; else None.
    """

    cases: CasesResult
    pointing: PointingResult | None
    trajectories: Mapping[str, Mapping[str, LayerCourse]]
    planted_cause: PlantedCause | None


def explain_cases(
    network: ExplainedNetwork, *, settings: ExplanationSettings, run: RunFolder, tracker: Tracker
) -> ExplainedCases:
    """Write ``reference.json``, ``cases/`` and ``cases.csv``; return the figures over the cases.

    Args:
        network: The whitened network, with its images.
        settings: How many cases.
        run: Where to write; its evaluation is read.
        tracker: Where progress is shown.
    """
    test, outputs = network.parts.test, network.test_outputs(tracker)
    reference = _reference(network, run, tracker)
    run.write(reference)
    rows = select_cases(len(test), limit=settings.cases, seed=test.seed)
    by_layer = _by_layer(network, test, tracker)
    cases = _write_cases(network, reference, rows, by_layer=by_layer, run=run, tracker=tracker)
    weights = test.weights[:, rows]
    return ExplainedCases(
        cases=cases_result(cases, of=len(test), weights=weights),
        pointing=_pointing(network, outputs, reference, run=run, tracker=tracker),
        trajectories=layer_courses(cases, weights) if by_layer else {},
        planted_cause=planted_cause_rates(cases, test.concept_labels[rows], weights)
        if test.samples[0].source == "phantom"
        else None,
    )


def select_cases(count: int, *, limit: int | None, seed: int) -> list[int]:
    """Select the test images that are explained: all, or as many as the limit allows, drawn with the seed.

    Args:
        count: Number of test images.
        limit: The most that are explained; None: no limit.
        seed: The run's seed.

    Returns:
        Rows, ascending.
    """
    if limit is None or limit >= count:
        return list(range(count))
    drawn = random_generator(seed, Stream.CASE_SELECTION, limit).choice(count, size=limit, replace=False)
    return sorted(int(row) for row in drawn)


def _write_cases(
    network: ExplainedNetwork,
    reference: Reference,
    rows: Sequence[int],
    *,
    by_layer: Mapping[str, Table],
    run: RunFolder,
    tracker: Tracker,
) -> list[CaseContent]:
    test, outputs = network.parts.test, network.test_outputs(tracker)
    generator = random_generator(test.seed, Stream.CASES)
    samples = {sample.image_id: sample for part in (network.parts.train, test) for sample in part.samples}
    cases = []
    with tracker.task("explaining cases", len(rows)) as advance:
        for row in rows:
            entry = case_input(test, outputs, row, by_layer=by_layer, display=network.display(test.samples[row]))
            case = explain_case(
                entry, reference, outputs.tail, activation=network.activation, run_id=run.id, generator=generator
            )
            for example in (*case.supporting, *case.opposing):
                _save_missing_picture(network, samples[example.image_id], run)
            _save_missing_picture(network, test.samples[row], run)
            write_case(run, case)
            cases.append(case)
            advance(1)
    write_index(run, [case.row() for case in cases])
    return cases


def case_input(
    data: EvaluationData,
    outputs: LayerOutputs,
    row: int,
    *,
    by_layer: Mapping[str, Table],
    display: NDArray[np.uint8],
) -> CaseInput:
    """Gather what is known of one image of a part.

    Args:
        data: The part.
        outputs: Of the layer for its images, in order.
        row: Which image.
        by_layer: Activations at each whitened layer, where there are several.
        display: The image as the network sees it, H x W x 3.
    """
    sample = data.samples[row]
    return CaseInput(
        image_id=sample.image_id,
        digest=sample.digest,
        maps=outputs.maps[row],
        rest=tuple(skip[row : row + 1] for skip in outputs.rest),
        logits=outputs.logits[row].double().numpy(),
        quality=measure_quality(display),
        part=str(data.part),
        reference=sample.diagnosis,
        labels=data.concept_labels[row].tolist(),
        picture=picture_file(sample.image_id),
        by_layer={layer: activations[row].tolist() for layer, activations in by_layer.items()},
    )


def _save_missing_picture(network: ExplainedNetwork, sample: Sample, run: RunFolder) -> None:
    if not has_picture(run, sample.image_id):
        save_picture(run, picture_file(sample.image_id), network.display(sample))


def _reference(network: ExplainedNetwork, run: RunFolder, tracker: Tracker) -> Reference:
    train, validation, release = network.parts.train, network.parts.validation, network.cohort.release
    in_release = {example.image_id for example in release.examples}
    listed = np.array([image_id in in_release for image_id in train.image_ids], dtype=np.bool_)
    parts = ReferenceParts(
        validation=validation,
        outputs=network.validation_outputs(tracker),
        qualities=[measure_quality(network.display(sample)) for sample in validation.samples],
        by_layer=_by_layer(network, validation, tracker),
        widths=_evidence_widths(network, tracker),
        train=train,
        listed=listed_activations(train, network.train_maps(tracker), listed, activation=network.activation),
        purity=run.read(Evaluation).axes.purity,
        release=release,
    )
    return build_reference(parts, activation=network.activation)


def _evidence_widths(network: ExplainedNetwork, tracker: Tracker) -> list[int]:
    """Choose for each axis over how many cells its map is averaged, on the validation images that have masks."""
    validation, maps = network.parts.validation, network.validation_outputs(tracker).maps
    masked = [row for row, paths in enumerate(validation.regions) if any(path is not None for path in paths)]
    if not masked or maps.ndim != 4:
        return [WIDTHS[0]] * len(validation.concepts)
    planes = torch.stack([_planes(network, validation.samples[row], validation.regions[row]) for row in masked])
    return [choose_width(maps[masked][:, column], planes[:, column]) for column in range(len(validation.concepts))]


def _by_layer(network: ExplainedNetwork, data: EvaluationData, tracker: Tracker) -> dict[str, Table]:
    """Read every whitened layer, where there are several; upright images, whatever the turns."""
    if not network.settings.model.further_layers:
        return {}
    title = f"every whitened layer, {data.part} images"
    return activations_by_layer(network.module, network.load(data.samples), tracker=tracker, title=title)


def _pointing(
    network: ExplainedNetwork, outputs: LayerOutputs, reference: Reference, *, run: RunFolder, tracker: Tracker
) -> PointingResult | None:
    test = network.parts.test
    if outputs.maps.ndim != 4 or not any(path is not None for paths in test.regions for path in paths):
        return None
    plain = _plain_outputs(network, test, run=run, tracker=tracker)
    return pointing_game(
        outputs.maps[:, : len(test.concepts)],
        gradient_maps(plain.tail, plain.maps, plain.rest),
        [_planes(network, sample, paths) for sample, paths in zip(test.samples, test.regions, strict=True)],
        concepts=test.concepts,
        widths=[axis.evidence_width for axis in reference.axes],
        weights=test.weights,
    )


def _plain_outputs(
    network: ExplainedNetwork, data: EvaluationData, *, run: RunFolder, tracker: Tracker
) -> LayerOutputs:
    module, description = load_model(run.path / PLAIN)
    loader = evaluation_loader(network.settings, network.cohort, description, data.samples)
    layer = layer_name(network.settings.model)
    return layer_outputs(
        module, layer, loader, turns=network.turns, tracker=tracker, title=f"plain network, {data.part} images"
    )


def _planes(network: ExplainedNetwork, sample: Sample, paths: Sequence[Path | None]) -> Tensor:
    """Return k x h x w masks as the network sees the image, 0 to 1; NaN where there is none."""
    cache = network.cohort.cache
    item = {"image": cache.get(sample), "regions": cache.get_masks(sample, tuple(paths))}
    transformed = display_transforms(network.settings.transforms)(item)["regions"]
    planes = torch.from_numpy(np.ascontiguousarray(transformed)) / 255
    planes[torch.tensor([path is None for path in paths])] = torch.nan
    return planes
