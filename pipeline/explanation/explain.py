"""The explanation of a run: importance per diagnosis, most active images of each axis, cases, discovery, shortcuts."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.choices import Baseline
from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort
from pipeline.data.sample import Sample
from pipeline.data.splits import Part
from pipeline.data.transforms import display_transforms
from pipeline.evaluation.evaluate import bootstrap_weights
from pipeline.evaluation.evaluation_data import class_indices
from pipeline.evaluation.outputs import LayerOutputs, layer_outputs
from pipeline.explanation.cases.explain_cases import explain_cases
from pipeline.explanation.cases.failures import gather_failures
from pipeline.explanation.discovery.discover import discover
from pipeline.explanation.exemplars import Exemplar, most_activated
from pipeline.explanation.explained_network import open_explained
from pipeline.explanation.importance import importance
from pipeline.explanation.permutation import Effort
from pipeline.explanation.sanity.check import check_sanity
from pipeline.explanation.shortcuts.audit import audit_shortcuts
from pipeline.explanation.stability import order_stability
from pipeline.explanation.tcav import choose_examples, sides_of, tcav_scores
from pipeline.models.backbones import layer_name
from pipeline.models.checkpoint import load_model
from pipeline.models.inputs import evaluation_loader
from pipeline.run.files import PLAIN
from pipeline.run.folder import RunFolder
from pipeline.run.pictures import save_picture
from pipeline.run.progress import Tracker

PERMUTATIONS = 2
"""Distinguishes the generator of the permutations from the run's others."""
VECTORS = 3
"""Distinguishes the generator of TCAV's examples from the run's others."""
TAIL_BATCH = 128
"""Images that the tail takes at a time; it keeps nothing for a backward pass, so more than in training."""
PICTURES = "exemplars"


def explain_run(settings: RunSettings, cohort: Cohort, *, run: RunFolder, tracker: Tracker) -> None:
    """Write ``explanation.json``, the pictures in ``exemplars/``, and the cases."""
    network = open_explained(settings, cohort, run=run)
    test = cohort.part(Part.TEST)
    outputs = network.outputs(test, tracker=tracker, title="whitened network, test images")
    effort = planned_effort(settings)
    total = effort.passes(len(cohort.concepts), outputs.maps.shape[1])
    with tracker.task("permuting axes", total) as advance:
        table = importance(
            outputs.tail,
            outputs.maps,
            outputs.rest,
            torch.from_numpy(class_indices(test, cohort.classes)),
            concepts=cohort.concepts,
            classes=cohort.classes,
            weights=bootstrap_weights(settings, cohort.groups(test)),
            generator=np.random.default_rng([settings.seed, PERMUTATIONS]),
            effort=effort,
            advance=advance,
        )
    run.write_json(
        "explanation.json",
        {
            "importance": table.to_json(),
            "permutations": effort.permutations,
            "stability": {target: order_stability(ratios) for target, ratios in table.resampled.items()},
            **check_sanity(network, outputs=outputs, table=table, tracker=tracker),
            "exemplars": _exemplars(settings, cohort, test, outputs, run),
            **_tcav(settings, cohort, run, tracker),
            **explain_cases(network, run=run, outputs=outputs, tracker=tracker),
            **gather_failures(settings, cohort, run=run, outputs=outputs),
            **discover(network, run=run, outputs=outputs, tracker=tracker),
            **audit_shortcuts(network, run=run, outputs=outputs, tracker=tracker),
            **_truth(cohort),
        },
    )


def planned_effort(settings: RunSettings) -> Effort:
    """Most passes for the named axes; fewer for joint permutations, and few for each of the many free axes."""
    permutations = settings.explanation.permutations
    return Effort(
        permutations=permutations,
        joint_permutations=max(5, permutations // 4),
        free_permutations=max(2, permutations // 10),
        batch_size=TAIL_BATCH,
    )


def _tcav(settings: RunSettings, cohort: Cohort, run: RunFolder, tracker: Tracker) -> dict[str, Any]:
    """The plain network's scores, where they were asked for."""
    if Baseline.TCAV not in settings.evaluation.baselines:
        return {}
    network, description = load_model(run.path / PLAIN)
    generator = np.random.default_rng([settings.seed, VECTORS])
    train, test = cohort.part(Part.TRAIN), cohort.part(Part.TEST)
    rows = choose_examples(cohort.concept_labels(train), generator)
    examples = [train[row] for row in rows]
    layer = layer_name(settings.model)

    def outputs(samples: Sequence[Sample], title: str) -> LayerOutputs:
        loader = evaluation_loader(settings, cohort, description, samples)
        return layer_outputs(network, layer, loader, turns=settings.model.turns, tracker=tracker, title=title)

    shown = outputs(test, "plain network, test images")
    scores = tcav_scores(
        shown.tail,
        (shown.maps, shown.rest),
        class_indices(test, cohort.classes).tolist(),
        outputs(examples, "plain network, concept examples").maps,
        concepts=sides_of(cohort.concept_labels(examples), cohort.concepts),
        classes=cohort.classes,
        generator=generator,
    )
    return {"tcav": {target: {name: one.to_json() for name, one in row.items()} for target, row in scores.items()}}


def _exemplars(
    settings: RunSettings, cohort: Cohort, test: Sequence[Sample], outputs: LayerOutputs, run: RunFolder
) -> dict[str, Any]:
    activations = outputs.activations(settings.model.activation)[:, : len(cohort.concepts)]
    by_id = {sample.image_id: row for row, sample in enumerate(test)}
    labels = cohort.concept_labels(test)
    found = most_activated(activations, list(by_id), count=settings.explanation.exemplars)
    entries: dict[str, Any] = {}
    for column, (concept, exemplars) in enumerate(zip(cohort.concepts, found, strict=True)):
        entries[concept] = []
        for rank, exemplar in enumerate(exemplars, start=1):
            row = by_id[exemplar.image_id]
            picture = f"{PICTURES}/{concept}-{rank}.jpg"
            _save_picture(settings, cohort, test[row], run, picture)
            entries[concept].append(_entry(exemplar, test[row], labels[row, column], picture))
    return entries


def _entry(exemplar: Exemplar, sample: Sample, label: float, picture: str) -> dict[str, Any]:
    return {
        "image_id": exemplar.image_id,
        "activation": exemplar.activation,
        "percentile": exemplar.percentile,
        "label": None if np.isnan(label) else int(label),
        "diagnosis": sample.diagnosis,
        "picture": picture,
    }


def _save_picture(settings: RunSettings, cohort: Cohort, sample: Sample, run: RunFolder, name: str) -> None:
    shown: NDArray[np.uint8] = np.asarray(
        display_transforms(settings.transforms)({"image": cohort.cache.get(sample)})["image"]
    )
    save_picture(run, name, shown)


def _truth(cohort: Cohort) -> dict[str, Any]:
    """What the phantom's rule itself says about importance, where the cohort is one."""
    file = cohort.root / "phantom.json"
    if cohort.samples[0].source != "phantom" or not file.is_file():
        return {}
    return {"truth": {"importance": json.loads(file.read_text(encoding="utf-8"))["importance"]}}
