"""The generated cohort on disk: images, masks, a table and the rule behind it.

``images/<image>.png``, ``masks/<image>_lesion.png``, ``masks/<image>_<concept or artefact>.png`` (1 bit; present ones
only), ``metadata.csv``, and ``phantom.json`` with the settings, the rule and the importance that follows from it.
"""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from concepts.errors import DataError
from concepts.files import completing, write_atomically
from pipeline.config import PhantomSettings
from pipeline.data.phantom.lesion import ARTEFACTS, draw
from pipeline.data.phantom.patients import BASE_RATE, PhantomImage, throw_cohort
from pipeline.data.phantom.rule import (
    CONCEPTS,
    DIAGNOSES,
    INTERCEPTS,
    NETWORK_TYPES,
    PREVALENCE,
    RULE_VERSION,
    WEIGHTS,
    best_auc,
    diagnosis_shares,
    true_importance,
)
from pipeline.run.progress import Advance

DRAWING_VERSION = 3
"""Raised whenever the same settings would give other files, so that no cohort in the cache is taken for current."""

COLUMNS = (
    *("image_id", "patient_id", "lesion_id", "diagnosis", "age", "sex", "site", "skin_tone"),
    *CONCEPTS,
    *ARTEFACTS,
    *("lesion_seed", "image_seed"),
)
"""Of ``metadata.csv``. The skin tone is the individual typology angle in degrees. Types of the pigment network, where
they are asked for, have columns after these."""


def generate_cohort(settings: PhantomSettings, folder: Path, *, progress: Advance | None = None) -> None:
    """Draw a cohort and write it; the folder appears when it is whole.

    The same settings give the same bytes.

    Args:
        settings: How many images, how large, from which seed, with which shortcut.
        folder: Where to; must not exist or be empty.
        progress: Called with 1 after each image.

    Raises:
        DataError: If the folder holds something already.
        SettingsError: If the shortcut names an artefact or a diagnosis that the phantom does not have.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: exists and is not an empty folder; remove it, or give another one")
    cohort = throw_cohort(settings)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with completing(folder) as unfinished:
            _write_cohort(cohort, settings, unfinished, progress or (lambda images: None))
    except OSError as error:
        # Where another process completed the same cohort first, its files are these.
        if not (folder / "phantom.json").is_file():
            raise DataError(f"{folder}: cannot be written ({error.strerror}); give another folder") from error


def phantom_digest(settings: PhantomSettings) -> str:
    """Name the cohort of these settings by 16 hexadecimal digits."""
    content = {"drawing": DRAWING_VERSION, "rule": RULE_VERSION, "settings": settings.model_dump(mode="json")}
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def describe(settings: PhantomSettings) -> dict[str, Any]:
    """Describe a cohort for ``phantom.json``: its settings, its rule, and what follows exactly from the rule."""
    return {
        "version": {"drawing": DRAWING_VERSION, "rule": RULE_VERSION},
        "settings": settings.model_dump(mode="json"),
        "rule": {
            "diagnoses": list(DIAGNOSES),
            "prevalence": dict(PREVALENCE),
            "intercepts": dict(zip(DIAGNOSES, INTERCEPTS, strict=True)),
            "weights": {concept: dict(zip(DIAGNOSES, row, strict=True)) for concept, row in WEIGHTS.items()},
            "artefact_rate": BASE_RATE,
        },
        "diagnosis_shares": diagnosis_shares(),
        "best_auc": best_auc(),
        "importance": true_importance(),
    }


def _write_cohort(cohort: Sequence[PhantomImage], settings: PhantomSettings, folder: Path, progress: Advance) -> None:
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    for image in cohort:
        _write_image(image, folder)
        progress(1)
    write_atomically(folder / "metadata.csv", _table(cohort, settings).to_csv(index=False, lineterminator="\n"))
    content = json.dumps(describe(settings), indent=1, allow_nan=False)
    write_atomically(folder / "phantom.json", content + "\n")


def _write_image(image: PhantomImage, folder: Path) -> None:
    drawing = draw(image.lesion)
    Image.fromarray(drawing.image).save(folder / "images" / f"{image.image_id}.png", compress_level=1)
    for name, mask in drawing.masks.items():
        Image.fromarray(mask).save(folder / "masks" / f"{image.image_id}_{name}.png", compress_level=1)


def _table(cohort: Sequence[PhantomImage], settings: PhantomSettings) -> pd.DataFrame:
    table = pd.DataFrame([_row(image) for image in cohort], columns=list(COLUMNS))
    types = NETWORK_TYPES if settings.network_types else ()
    return table.assign(**{kind: [int(kind in image.lesion.concepts) for image in cohort] for kind in types})


def _row(image: PhantomImage) -> tuple[object, ...]:
    lesion = image.lesion
    return (
        *(image.image_id, image.patient_id, image.lesion_id, image.diagnosis, image.age, image.sex, image.site),
        round(lesion.skin.ita, 1),
        *(int(concept in lesion.concepts) for concept in CONCEPTS),
        *(int(artefact in lesion.artefacts) for artefact in ARTEFACTS),
        *(lesion.seed, lesion.image_seed),
    )
