"""All cases of a run: the reference that they are read against, a file for each test image, and figures over them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from concepts.release import Release
from pipeline.evaluation.evaluation_data import EvaluationData
from pipeline.evaluation.outputs import LayerOutputs
from pipeline.evaluation.trajectory import activations_by_layer
from pipeline.explanation.cases.build_reference import ReferenceParts, build_reference, listed_activations
from pipeline.explanation.cases.case import CaseInput, explain_case
from pipeline.explanation.cases.case_figures import cases_result, layer_courses, planted_cause_rates
from pipeline.explanation.cases.evidence import WIDTHS, choose_width, gradient_maps, pointing_game
from pipeline.explanation.cases.files import picture_file, save_missing_pictures, write_case, write_index
from pipeline.explanation.cases.reference import Reference
from pipeline.explanation.explained_network import ExplainedNetwork, ImageNetwork
from pipeline.images.measures.quality import measure_quality
from pipeline.results.axes import AxisPurity
from pipeline.results.case import CaseContent
from pipeline.results.cases import CasesResult, LayerCourse, PlantedCause, PointingResult
from pipeline.results.evaluation import Evaluation
from pipeline.run.folder import RunFolder
from pipeline.run.pictures import save_picture
from pipeline.run.progress import Tracker
from pipeline.run.seeds import Stream, random_generator
from pipeline.whitening.surgery import whitening_layers

PHANTOM = "phantom"

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
    network: ExplainedNetwork,
    *,
    plain: ImageNetwork,
    release: Release,
    limit: int | None,
    run: RunFolder,
    tracker: Tracker,
) -> ExplainedCases:
    """Write ``reference.json``, ``cases/`` and ``cases.csv``; return the figures over the cases.

    Args:
        network: The whitened network, with its images.
        plain: The network without concepts, cut at the same layer; it runs only where test images have masks.
        release: What the network was trained with.
        limit: The most test images that are explained; None: no limit.
        run: Where to write; its evaluation is read.
        tracker: Where progress is shown.
    """
    test = network.parts.test
    reference = gather_reference(network, release, purity=run.read(Evaluation).axes.purity, tracker=tracker)
    run.write(reference)
    rows = select_cases(len(test), limit=limit, seed=test.seed)
    cases = _write_cases(network, reference, rows, run=run, tracker=tracker)
    weights = test.weights[:, rows]
    return ExplainedCases(
        cases=cases_result(cases, of=len(test), weights=weights),
        pointing=point(network, plain, [axis.evidence_width for axis in reference.axes], tracker=tracker),
        trajectories=layer_courses(cases, weights) if _has_several_layers(network) else {},
        planted_cause=planted_cause_rates(cases, test.concept_labels[rows], weights)
        if test.samples[0].source == PHANTOM
        else None,
    )


def gather_reference(
    network: ExplainedNetwork, release: Release, *, purity: Mapping[str, AxisPurity], tracker: Tracker
) -> Reference:
    """Run the network on what cases are read against, and put the reference together.

    Args:
        network: The whitened network, with its images.
        release: What the network was trained with.
        purity: Of each axis on test images, by concept.
        tracker: Where progress is shown.
    """
    train, validation = network.parts.train, network.parts.validation
    in_release = {example.image_id for example in release.examples}
    listed = np.array([image_id in in_release for image_id in train.image_ids], dtype=np.bool_)
    parts = ReferenceParts(
        validation=validation,
        outputs=network.validation_outputs(tracker),
        qualities=[measure_quality(network.display(sample)) for sample in validation.samples],
        by_layer=_by_layer(network, validation, tracker),
        widths=evidence_widths(network, tracker),
        train=train,
        listed=listed_activations(train, network.train_maps(tracker), listed, activation=network.activation),
        purity=purity,
        release=release,
    )
    return build_reference(parts, activation=network.activation)


def evidence_widths(network: ExplainedNetwork, tracker: Tracker) -> list[int]:
    """Choose for each axis over how many cells its map is averaged, on the validation images that have masks."""
    validation, maps = network.parts.validation, network.validation_outputs(tracker).maps
    masked = [row for row, paths in enumerate(validation.regions) if any(path is not None for path in paths)]
    if not masked or maps.ndim != 4:
        return [WIDTHS[0]] * len(validation.concepts)
    planes = torch.stack([network.masks(validation.samples[row], validation.regions[row]) for row in masked])
    return [choose_width(maps[masked][:, column], planes[:, column]) for column in range(len(validation.concepts))]


def point(
    network: ExplainedNetwork, plain: ImageNetwork, widths: Sequence[int], *, tracker: Tracker
) -> PointingResult | None:
    """Play the pointing game on the test images.

    Args:
        network: The whitened network, with its images.
        plain: The network without concepts.
        widths: k, cells over whose square the map of each axis is averaged.
        tracker: Where progress is shown.

    Returns:
        None where no test image has a mask, or the layer has no positions.
    """
    test, maps = network.parts.test, network.test_outputs(tracker).maps
    if maps.ndim != 4 or not any(path is not None for paths in test.regions for path in paths):
        return None
    of_plain = plain.outputs(test.samples, tracker=tracker, title=f"plain network, {test.part} images")
    return pointing_game(
        maps[:, : len(test.concepts)],
        gradient_maps(of_plain.tail, of_plain.maps, of_plain.rest),
        [network.masks(sample, paths) for sample, paths in zip(test.samples, test.regions, strict=True)],
        concepts=test.concepts,
        widths=widths,
        weights=test.weights,
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


def case_input(
    data: EvaluationData,
    outputs: LayerOutputs,
    row: int,
    *,
    by_layer: Mapping[str, Table],
    picture: NDArray[np.uint8],
) -> CaseInput:
    """Gather what is known of one image of a part.

    Args:
        data: The part.
        outputs: Of the layer for its images, in order.
        row: Which image.
        by_layer: Activations at each whitened layer, where there are several.
        picture: The image as the network sees it, H x W x 3.
    """
    sample = data.samples[row]
    return CaseInput(
        image_id=sample.image_id,
        digest=sample.digest,
        maps=outputs.maps[row],
        rest=tuple(skip[row : row + 1] for skip in outputs.rest),
        logits=outputs.logits[row].double().numpy(),
        quality=measure_quality(picture),
        part=str(data.part),
        reference=sample.diagnosis,
        labels=data.concept_labels[row].tolist(),
        picture=picture_file(sample.image_id),
        by_layer={layer: activations[row].tolist() for layer, activations in by_layer.items()},
    )


def _write_cases(
    network: ExplainedNetwork, reference: Reference, rows: Sequence[int], *, run: RunFolder, tracker: Tracker
) -> list[CaseContent]:
    test, outputs = network.parts.test, network.test_outputs(tracker)
    by_layer = _by_layer(network, test, tracker)
    generator = random_generator(test.seed, Stream.CASES)
    train = {sample.image_id: sample for sample in network.parts.train.samples}
    cases = []
    with tracker.task("explaining cases", len(rows)) as advance:
        for row in rows:
            picture = network.display(test.samples[row])
            entry = case_input(test, outputs, row, by_layer=by_layer, picture=picture)
            case = explain_case(
                entry, reference, outputs.tail, activation=network.activation, run_id=run.id, generator=generator
            )
            save_picture(run, picture_file(case.image_id), picture)
            examples = [example.image_id for example in (*case.supporting, *case.opposing)]
            save_missing_pictures(run, examples, lambda image_id: network.display(train[image_id]))
            write_case(run, case)
            cases.append(case)
            advance(1)
    write_index(run, [case.row() for case in cases])
    return cases


def _has_several_layers(network: ExplainedNetwork) -> bool:
    return len(whitening_layers(network.module)) > 1


def _by_layer(network: ExplainedNetwork, data: EvaluationData, tracker: Tracker) -> dict[str, Table]:
    """Read every whitened layer, where there are several; upright images, whatever the turns."""
    if not _has_several_layers(network):
        return {}
    title = f"every whitened layer, {data.part} images"
    return activations_by_layer(network.module, network.load(data.samples), tracker=tracker, title=title)
