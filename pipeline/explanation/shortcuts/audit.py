"""The audit of artefacts: who labels them, what the network does with each, which are shortcuts.

Directions and verdicts come from training and validation images (`verdicts`); test images only measure (`figures`).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.config import DataSettings
from pipeline.data.cohort import Cohort
from pipeline.evaluation.evaluation_data import EvaluationData
from pipeline.explanation.explained_network import ExplainedNetwork
from pipeline.explanation.shortcuts.artefact_space import ArtefactSpace, artefact_spaces, write_spaces
from pipeline.explanation.shortcuts.artefacts import LabelledPart, LabelledParts, labelled_parts, presence_counts
from pipeline.explanation.shortcuts.figures import ArtefactMeasures
from pipeline.explanation.shortcuts.measured import QUALITY
from pipeline.explanation.shortcuts.repainting import repainting_of
from pipeline.explanation.shortcuts.verdicts import (
    FEWEST,
    LEVEL,
    Verdicts,
    frequent_artefacts,
    judge_artefacts,
    log_odds_falls,
)
from pipeline.results.shortcuts import (
    ArtefactAudit,
    ArtefactEffect,
    ArtefactResult,
    LabelSource,
    PresenceCounts,
    ShortcutAudit,
)
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Tracker
from pipeline.run.seeds import Stream, random_generator


def audit_shortcuts(
    network: ExplainedNetwork, cohort: Cohort, settings: DataSettings, *, run: RunFolder, tracker: Tracker
) -> ShortcutAudit:
    """Audit every artefact that is labelled or measured, and keep its directions in the run folder.

    Args:
        network: The whitened one, with its images.
        cohort: Whose release says which images have which artefacts.
        settings: Of the images; a phantom's can be drawn again.
        run: Where the directions are written.
        tracker: Shows progress.
    """
    parts = labelled_parts(cohort, network.parts, tracker=tracker)
    spaces, verdicts = find_shortcuts(network, parts, tracker=tracker)
    write_spaces(run, spaces)
    measures = ArtefactMeasures(parts.test, network.test_outputs(tracker), repainting_of(network, settings))
    return audit_parts(parts, spaces, verdicts=verdicts, measures=measures, tracker=tracker)


def audit_parts(
    parts: LabelledParts,
    spaces: Mapping[str, ArtefactSpace],
    *,
    verdicts: Verdicts | None,
    measures: ArtefactMeasures,
    tracker: Tracker,
) -> ShortcutAudit:
    """Put the audit together.

    Args:
        parts: The images with their artefacts.
        spaces: By artefact, where the layer has it; those that are judged.
        verdicts: On the same artefacts; None where there are none.
        measures: On test images.
        tracker: Shows progress.
    """
    audits = {}
    if verdicts is not None:
        with tracker.task("artefacts put in and taken out", len(spaces)) as advance:
            for name, space in spaces.items():
                audits[name] = audit_artefact(name, space, verdicts=verdicts, measures=measures)
                advance(1)
    axes = {concept: axis for axis, concept in enumerate(parts.test.data.concepts)}
    artefacts = {
        name: artefact_result(name, parts, axis=axes.get(name), audit=audits.get(name))
        for name in parts.test.artefacts.names
    }
    return ShortcutAudit(
        artefacts=artefacts,
        named=verdicts.named() if verdicts else (),
        level=LEVEL,
        fewest=FEWEST,
        comparisons=verdicts.tie.size if verdicts else 0,
        counterpart=measures.counterpart(),
    )


def find_shortcuts(
    network: ExplainedNetwork, parts: LabelledParts, *, tracker: Tracker
) -> tuple[dict[str, ArtefactSpace], Verdicts | None]:
    """Fit the directions of each artefact on training images, and decide on validation images which are shortcuts.

    Returns:
        The directions of the artefacts that enough training images have and lack, and the verdicts on them; None where
        there is no such artefact.
    """
    names = frequent_artefacts(parts.train.artefacts)
    if not names:
        return {}, None
    generator = random_generator(parts.train.data.seed, Stream.SHORTCUTS)
    train, validation = (LabelledPart(part.data, part.artefacts.of(names)) for part in (parts.train, parts.validation))
    spaces = artefact_spaces(
        network.train_maps(tracker),
        train.artefacts,
        train.data.labels,
        axes={concept: axis for axis, concept in enumerate(train.data.concepts)},
        channels=network.channels,
        generator=generator,
    )
    falls = log_odds_falls(network.validation_outputs(tracker), spaces)
    return dict(zip(names, spaces, strict=True)), judge_artefacts(train, validation, falls, generator=generator)


def audit_artefact(name: str, space: ArtefactSpace, *, verdicts: Verdicts, measures: ArtefactMeasures) -> ArtefactAudit:
    """Put together what training and validation images decide about an artefact and what test images measure."""
    row = verdicts.artefacts.index(name)
    taken_out, put_in = measures.taken_out(name, space), measures.put_in(name, space)
    ratios, drawn = measures.loss_ratios(space), measures.drawn(name)
    return ArtefactAudit(
        directions=space.beyond_chance,
        reading_auc=measures.reading(name, space),
        diagnoses={
            diagnosis: ArtefactEffect(
                verdict=verdicts.verdict(row, column),
                tie_p=float(verdicts.tie[row, column]),
                use_p=float(verdicts.use[row, column]),
                taken_out=taken_out[column],
                put_in=put_in[column],
                loss_ratio=ratios[column],
                drawn_in=drawn[0][column] if drawn else None,
                drawn_out=drawn[1][column] if drawn else None,
            )
            for column, diagnosis in enumerate(verdicts.classes)
        },
    )


def artefact_result(
    name: str, parts: LabelledParts, *, axis: int | None, audit: ArtefactAudit | None
) -> ArtefactResult:
    """Say how many images have an artefact, and who says so.

    Args:
        name: The artefact.
        parts: The images with their labels.
        axis: Its own axis; None where it has none.
        audit: None where too few training images have it, or lack it.
    """
    labels = parts.train.artefacts
    source = labels.sources[labels.names.index(name)]
    return ArtefactResult(
        axis=axis,
        labels=source,
        measure=QUALITY[name] if source is LabelSource.MEASURED else None,
        train=counts_by_diagnosis(labels.column(name), parts.train.data),
        test=presence_counts(parts.test.artefacts.column(name)),
        audit=audit,
    )


def counts_by_diagnosis(labels: NDArray[np.float64], data: EvaluationData) -> dict[str, PresenceCounts]:
    """Count by diagnosis the images with an artefact and those without.

    Args:
        labels: N; 1 present, 0 absent, NaN not known.
        data: The N images.
    """
    return {diagnosis: presence_counts(labels[data.labels == index]) for index, diagnosis in enumerate(data.classes)}
