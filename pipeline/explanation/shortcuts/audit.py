"""The audit of artefacts: whose labels there are, what the network does with each, which are shortcuts.

Directions and verdicts come from training and validation images (`verdicts`); test images only measure
(`figures`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.cohort import Cohort
from pipeline.data.splits import Part
from pipeline.evaluation.evaluation_data import class_indices
from pipeline.evaluation.outputs import LayerOutputs
from pipeline.explanation.explained_network import ExplainedNetwork
from pipeline.explanation.shortcuts.artefacts import ArtefactLabels, LabelSource, artefact_labels, own_axis
from pipeline.explanation.shortcuts.figures import ArtefactMeasures, artefact_figures
from pipeline.explanation.shortcuts.measured import KNOWN
from pipeline.explanation.shortcuts.space_files import write_spaces
from pipeline.explanation.shortcuts.verdicts import FEWEST, LEVEL, Verdicts, judge_artefacts
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Tracker

Entry = dict[str, Any]


def audit_shortcuts(
    network: ExplainedNetwork,
    *,
    run: RunFolder,
    outputs: LayerOutputs,
    tracker: Tracker,
) -> Entry:
    """Audit every artefact that is labelled or measured; write its directions, return what was found.

    Args:
        network: The whitened one, with its experiment and images.
        run: Where the directions go.
        outputs: Of the layer for the test images, in order.
        tracker: Where progress is shown.
    """
    cohort = network.cohort
    artefact_labels(cohort, cohort.samples, tracker=tracker)  # measures what must be measured, once for all parts
    labels = artefact_labels(cohort, cohort.part(Part.TRAIN))
    found: Entry = {"artefacts": {}, "named": [], "level": LEVEL, "fewest": FEWEST}
    figures = ArtefactMeasures(network, outputs)
    verdicts = judge_artefacts(network, tracker=tracker)
    spaces = {} if verdicts is None else dict(zip(verdicts.artefacts, verdicts.spaces, strict=True))
    write_spaces(run, spaces)
    measured = artefact_figures(figures, spaces, tracker=tracker)
    counts = _train_counts(cohort, labels)
    for name, source in zip(labels.names, labels.sources, strict=True):
        entry = {"axis": own_axis(cohort, name), "train": counts[name], "test": figures.counts(name)}
        entry |= _whose(name, source)
        if verdicts is not None and name in measured:
            own, diagnoses = measured[name]
            judged = _judged(verdicts, name, cohort)
            entry |= own | {"diagnoses": {one: diagnoses[one] | judged[one] for one in cohort.classes}}
        found["artefacts"][name] = entry
    if verdicts is not None:
        pairs = [(verdicts.artefacts[one], cohort.classes[other]) for one, other in verdicts.ranking()]
        found["named"] = [{"artefact": artefact, "diagnosis": diagnosis} for artefact, diagnosis in pairs]
        found["comparisons"] = int(verdicts.effects.size)
    return {"shortcuts": found | {"counterpart": figures.counterpart()}}


def _whose(artefact: str, source: LabelSource) -> Entry:
    """Whose labels those of an artefact are; where they are measured, what is known of the measure."""
    if source is not LabelSource.MEASURED:
        return {"labels": str(source)}
    return {"labels": str(source), "measure": KNOWN[artefact].to_json()}


def _judged(verdicts: Verdicts, artefact: str, cohort: Cohort) -> dict[str, Entry]:
    row = verdicts.artefacts.index(artefact)
    return {
        diagnosis: {
            "verdict": str(verdicts.verdict(row, column)),
            "tie_p": float(verdicts.tie[row, column]),
            "use_p": float(verdicts.use[row, column]),
        }
        for column, diagnosis in enumerate(cohort.classes)
    }


def _train_counts(cohort: Cohort, labels: ArtefactLabels) -> dict[str, Mapping[str, Mapping[str, int]]]:
    """By artefact and diagnosis, training images with and without it."""
    diagnoses = class_indices(cohort.part(Part.TRAIN), cohort.classes)
    return {
        name: {
            diagnosis: _counts(labels.table[diagnoses == index, column])
            for index, diagnosis in enumerate(cohort.classes)
        }
        for column, name in enumerate(labels.names)
    }


def _counts(column: NDArray[np.float64]) -> Mapping[str, int]:
    return {"present": int((column == 1).sum()), "absent": int((column == 0).sum())}
