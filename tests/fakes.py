"""Stand-ins whose answers are known by thought: hand-made evaluation data, without images or networks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.data.sample import Sample
from pipeline.data.splits import Part
from pipeline.evaluation.evaluation_data import EvaluationData


def made_samples(diagnoses: Sequence[str], *, prefix: str = "image", **more) -> tuple[Sample, ...]:
    """One sample a diagnosis, of made-up files."""
    return tuple(
        Sample(
            image_id=f"{prefix}_{row:03d}",
            path=Path(f"{prefix}_{row:03d}.png"),
            digest=f"{row:064x}",
            diagnosis=diagnosis,
            source="hand-made",
            **more,
        )
        for row, diagnosis in enumerate(diagnoses)
    )


def made_data(
    diagnoses: Sequence[str],
    concept_labels: Sequence[Sequence[float]] | None = None,
    *,
    part: Part = Part.TEST,
    classes: Sequence[str] = ("melanoma", "nevus"),
    concepts: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    samples: Sequence[Sample] | None = None,
    seed: int = 0,
    resamples: int = 200,
) -> EvaluationData:
    """Evaluation data of images with these diagnoses, each a group of its own unless groups are given."""
    table = np.zeros((len(diagnoses), 0)) if concept_labels is None else np.asarray(concept_labels, dtype=np.float64)
    names = concepts if concepts is not None else [f"concept_{column}" for column in range(table.shape[1])]
    return EvaluationData(
        part=part,
        samples=tuple(samples) if samples is not None else made_samples(diagnoses, prefix=str(part)),
        classes=tuple(classes),
        concepts=tuple(names),
        labels=np.array([list(classes).index(diagnosis) for diagnosis in diagnoses], dtype=np.int64),
        concept_labels=table,
        groups=tuple(groups) if groups is not None else tuple(f"group_{row}" for row in range(len(diagnoses))),
        regions=tuple((None,) * len(names) for _ in diagnoses),
        seed=seed,
        resamples=resamples,
    )
