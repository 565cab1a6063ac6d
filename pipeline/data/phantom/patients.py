"""Who has the phantom lesions: patients, their lesions and the images of them, thrown from one seed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from concepts.errors import SettingsError
from pipeline.config import PhantomSettings, ShortcutSettings
from pipeline.data.phantom.lesion import ARTEFACTS, Lesion, Photograph, child, throw_lesion
from pipeline.data.phantom.rule import (
    DIAGNOSES,
    throw_concepts,
    throw_diagnosis,
    throw_network_type,
    throw_tendency,
)
from pipeline.data.phantom.skin import Device, Skin, throw_device, throw_skin

BASE_RATE = 0.12
"""Probability of each artefact in an image, unless a shortcut ties it to the diagnosis."""

MOST_LESIONS = 6

AGAIN = 0.12
"""Probability that a lesion is photographed a second time."""

SITES = ("anterior torso", "posterior torso", "lower extremity", "upper extremity", "head/neck")
_SITE_SHARES = (0.24, 0.30, 0.22, 0.14, 0.10)

_MEAN_AGE: Mapping[str, float] = {"nevus": 42.0, "melanoma": 58.0, "seborrheic_keratosis": 64.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomImage:
    """One image of the generated cohort, before it is drawn.

    Attributes:
        image_id: Unique in the cohort.
        patient_id: Whose lesion it is; the patient's lesions share skin and device.
        lesion_id: Which lesion it is; a few are photographed twice.
        diagnosis: One of `rule.DIAGNOSES`.
        age: Of the patient, in years.
        sex: ``female`` or ``male``.
        site: Where on the body, in the words of the ISIC archive.
        lesion: All that decides the drawing.
    """

    image_id: str
    patient_id: str
    lesion_id: str
    diagnosis: str
    age: int
    sex: str
    site: str
    lesion: Lesion


@dataclass(frozen=True, slots=True)
class _Finding:
    """A lesion as its patient has it, not yet photographed."""

    lesion_id: str
    seed: int
    concepts: frozenset[str]
    diagnosis: str
    site: str
    image_seeds: tuple[int, ...]


def throw_cohort(settings: PhantomSettings) -> list[PhantomImage]:
    """Throw the parameters of a cohort's images, patient by patient; no pixel is painted yet.

    A larger cohort of the same seed begins with the smaller one. Another image size changes the pixels only, and a
    shortcut changes nothing but the artefact that it ties, so that the cohort without it is its counterpart image by
    image. Asked for types of the pigment network, it differs from the cohort without them in the atypical ones alone.

    Raises:
        SettingsError: If the shortcut names an artefact or a diagnosis that the phantom does not have.
    """
    _check_shortcut(settings.shortcut)
    return list(islice(_images(settings), settings.images))


def throw_artefacts(
    image_seed: int, *, diagnosis: str | None = None, shortcut: ShortcutSettings | None = None
) -> frozenset[str]:
    """Throw the artefacts of an image: each at the base rate, except one that a shortcut ties to this diagnosis."""
    rates = dict.fromkeys(ARTEFACTS, BASE_RATE)
    if shortcut is not None and shortcut.diagnosis == diagnosis:
        rates[shortcut.artefact] = shortcut.strength
    levels = child(image_seed, "artefacts").random(len(ARTEFACTS))
    return frozenset(name for name, level in zip(ARTEFACTS, levels, strict=True) if level < rates[name])


def counterpart(lesion: Lesion) -> Lesion:
    """Return the same image with its artefacts at the base rate, as it would be without a shortcut.

    Where no shortcut was at work, it is the lesion itself.
    """
    return replace(lesion, artefacts=throw_artefacts(lesion.image_seed))


def _images(settings: PhantomSettings) -> Iterator[PhantomImage]:
    count = patient = 0
    while True:
        for image in _patient_images(f"patient_{patient:05d}", settings):
            yield replace(image, image_id=f"phantom_{count:06d}")
            count += 1
        patient += 1


def _patient_images(patient_id: str, settings: PhantomSettings) -> Iterator[PhantomImage]:
    rng = child(settings.seed, patient_id)
    skin, device = throw_skin(rng), throw_device(rng)
    findings = _throw_findings(patient_id, rng)
    sex = "female" if rng.random() < 0.5 else "male"
    age = _throw_age(findings, rng)
    for finding in findings:
        for image_seed in finding.image_seeds:
            yield PhantomImage(
                image_id="",
                patient_id=patient_id,
                lesion_id=finding.lesion_id,
                diagnosis=finding.diagnosis,
                age=age,
                sex=sex,
                site=finding.site,
                lesion=_photographed(finding, image_seed, (skin, device), settings),
            )


def _throw_findings(patient_id: str, rng: np.random.Generator) -> list[_Finding]:
    tendency = throw_tendency(rng)
    findings = []
    for number in range(int(rng.integers(1, MOST_LESIONS + 1))):
        concepts = throw_concepts(tendency, rng)
        diagnosis = throw_diagnosis(concepts, rng)
        seed, *image_seeds = rng.integers(2**53, size=3).tolist()
        twice = rng.random() < AGAIN
        findings.append(
            _Finding(
                lesion_id=f"{patient_id}_{number + 1}",
                seed=seed,
                concepts=concepts,
                diagnosis=diagnosis,
                site=SITES[rng.choice(len(SITES), p=_SITE_SHARES)],
                image_seeds=tuple(image_seeds if twice else image_seeds[:1]),
            )
        )
    return findings


def _throw_age(findings: list[_Finding], rng: np.random.Generator) -> int:
    mean = float(np.mean([_MEAN_AGE[finding.diagnosis] for finding in findings]))
    return int(np.clip(round(rng.normal(mean, 14)), 18, 90))


def _photographed(
    finding: _Finding, image_seed: int, equipment: tuple[Skin, Device], settings: PhantomSettings
) -> Lesion:
    skin, device = equipment
    artefacts = throw_artefacts(image_seed, diagnosis=finding.diagnosis, shortcut=settings.shortcut)
    photograph = Photograph(size=settings.size, skin=skin, device=device, image_seed=image_seed, artefacts=artefacts)
    concepts = finding.concepts
    if settings.network_types:
        concepts = throw_network_type(concepts, child(finding.seed, "network_type"))
    return throw_lesion(finding.seed, concepts, photograph)


def _check_shortcut(shortcut: ShortcutSettings | None) -> None:
    if shortcut is None:
        return
    for key, value, known in (
        ("artefact", shortcut.artefact, ARTEFACTS),
        ("diagnosis", shortcut.diagnosis, DIAGNOSES),
    ):
        if value not in known:
            raise SettingsError(f"data.phantom.shortcut.{key}: '{value}' is not in the phantom; use {', '.join(known)}")
