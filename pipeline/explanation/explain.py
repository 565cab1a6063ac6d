"""The explanation of a run: importance per diagnosis, most active images of each axis, cases, discovery, shortcuts."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from concepts.example import Polarity
from concepts.reading import read_json
from pipeline.choices import Baseline
from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort
from pipeline.evaluation.evaluation_data import EvaluationData
from pipeline.evaluation.outputs import LayerOutputs
from pipeline.explanation.cases.explain_cases import explain_cases
from pipeline.explanation.cases.failures import gather_failures
from pipeline.explanation.cases.reference import Reference
from pipeline.explanation.discovery.discover import discover
from pipeline.explanation.explained_network import Display, open_explained, open_plain
from pipeline.explanation.importance import ImportanceTable, importance
from pipeline.explanation.permutation import Effort
from pipeline.explanation.sanity.check import check_sanity
from pipeline.explanation.shortcuts.audit import audit_shortcuts
from pipeline.explanation.stability import order_stabilities
from pipeline.explanation.tcav import concept_vectors
from pipeline.results.explanation import Explanation
from pipeline.results.importance import AxisExample, TcavScore
from pipeline.run.folder import RunFolder
from pipeline.run.pictures import save_picture
from pipeline.run.progress import Tracker
from pipeline.run.seeds import Stream, random_generator

TAIL_BATCH = 128
"""Images that the tail takes at a time; it keeps nothing for a backward pass, so more than in training."""
PICTURES = "exemplars"
PHANTOM = "phantom"

Markings = Mapping[tuple[str, str], Polarity]
"""By concept and image, what a release says."""


def explain_run(settings: RunSettings, cohort: Cohort, *, run: RunFolder, tracker: Tracker) -> None:
    """Write ``explanation.json``, the pictures in ``exemplars/``, and the cases."""
    network, plain = open_explained(settings, cohort, run=run), open_plain(settings, cohort, run=run)
    test, outputs = network.parts.test, network.test_outputs(tracker)
    effort = planned_effort(settings.explanation.permutations)
    table = importance_on(test, outputs, effort=effort, tracker=tracker)
    sanity = check_sanity(
        network,
        table,
        draws=settings.explanation.sanity,
        alignment=settings.training.alignment,
        minimum_positives=settings.concepts.minimum_positives,
        tracker=tracker,
    )
    markings = {(example.concept, example.image_id): example.polarity for example in cohort.release.examples}
    exemplars = most_active_images(
        outputs.activations(network.activation), test, markings, count=settings.explanation.exemplars
    )
    save_pictures(exemplars, test, display=network.display, run=run)
    tcav: dict[str, dict[str, TcavScore]] = {}
    if Baseline.TCAV in settings.evaluation.baselines:
        tcav = concept_vectors(plain, network.parts, tracker)
    cases = explain_cases(
        network, plain=plain, release=cohort.release, limit=settings.explanation.cases, run=run, tracker=tracker
    )
    failures = gather_failures(
        network, run.read(Reference), count=settings.explanation.failures, run=run, tracker=tracker
    )
    explanation = Explanation(
        importance=table.targets,
        permutations=effort.permutations,
        planted_importance=planted_importance(cohort.root, test),
        stability=order_stabilities(table.resampled),
        sanity=sanity,
        exemplars=exemplars,
        tcav=tcav,
        cases=cases.cases,
        pointing=cases.pointing,
        trajectories=cases.trajectories,
        planted_cause=cases.planted_cause,
        failures=failures,
        discovery=discover(network, settings=settings.explanation, root=cohort.root, run=run, tracker=tracker),
        shortcuts=audit_shortcuts(network, cohort, settings.data, run=run, tracker=tracker),
    )
    run.write(explanation)


def planned_effort(permutations: int) -> Effort:
    """Plan most passes for the named axes; fewer for joint permutations, and few for each of the many free axes."""
    return Effort(
        permutations=permutations,
        joint_permutations=max(5, permutations // 4),
        free_permutations=max(2, permutations // 10),
        batch_size=TAIL_BATCH,
    )


def importance_on(test: EvaluationData, outputs: LayerOutputs, *, effort: Effort, tracker: Tracker) -> ImportanceTable:
    """Measure the importance of every named axis on the test images.

    Args:
        test: The images.
        outputs: Of the whitened layer for them, in order.
        effort: How much is computed.
        tracker: Where progress is shown.
    """
    passes = effort.passes(len(test.concepts), outputs.maps.shape[1])
    with tracker.task("permuting axes", passes) as advance:
        return importance(
            outputs.tail,
            outputs.maps,
            outputs.rest,
            torch.from_numpy(test.labels),
            concepts=test.concepts,
            classes=test.classes,
            weights=test.weights,
            generator=random_generator(test.seed, Stream.PERMUTATIONS),
            effort=effort,
            advance=advance,
        )


def most_active_images(
    activations: NDArray[np.float64], test: EvaluationData, markings: Markings, *, count: int
) -> dict[str, tuple[AxisExample, ...]]:
    """Describe, for each named axis, the images that activate it most.

    Args:
        activations: N x C, the named axes first.
        test: The N images.
        markings: What the release says of them.
        count: How many images for each axis; fewer where there are fewer.

    Returns:
        By concept, the strongest first; images with equal activation keep their order.
    """
    examples = {}
    for column, concept in enumerate(test.concepts):
        values = activations[:, column]
        rows = np.argsort(-values, kind="stable")[:count].tolist()
        examples[concept] = tuple(
            AxisExample(
                image_id=sample.image_id,
                activation=float(values[row]),
                percentile=100 * float((values <= values[row]).mean()),
                marking=marking_of(markings.get((concept, sample.image_id)), test.concept_labels[row, column]),
                diagnosis=sample.diagnosis,
                picture=f"{PICTURES}/{concept}-{rank}.jpg",
            )
            for rank, (row, sample) in enumerate(((row, test.samples[row]) for row in rows), start=1)
        )
    return examples


def marking_of(marking: Polarity | None, label: float) -> Polarity | None:
    """Return what a release says of a concept in an image, where a present child makes its parent present.

    Args:
        marking: What it says of the concept itself.
        label: 1 where the concept counts as present.
    """
    return Polarity.PRESENT if label == 1 else marking


def save_pictures(
    exemplars: Mapping[str, tuple[AxisExample, ...]], test: EvaluationData, *, display: Display, run: RunFolder
) -> None:
    """Write the picture of every example into the run folder."""
    samples = {sample.image_id: sample for sample in test.samples}
    for examples in exemplars.values():
        for example in examples:
            save_picture(run, example.picture, display(samples[example.image_id]))


def planted_importance(root: Path, test: EvaluationData) -> dict[str, dict[str, float]]:
    """Read what the phantom's rule itself says about importance; empty where the images are of no phantom."""
    file = root / "phantom.json"
    if test.samples[0].source != PHANTOM or not file.is_file():
        return {}
    planted: dict[str, dict[str, float]] = read_json(file)["importance"]
    return planted
