"""A cohort of 24 small images with a planted concept, and a network of one convolution: a phase takes milliseconds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_explanation import made_run
from torch import nn

from concepts.example import ConceptEntry, Example, MaskFile, Polarity
from concepts.release import freeze
from pipeline.config import parse_overrides
from pipeline.data.cohort import Cohort
from pipeline.data.sample import Sample
from pipeline.data.splits import Part, Split
from pipeline.models import backbones
from pipeline.run.folder import RunFolder

SIDE = 32
CLASSES = ("melanoma", "nevus")
CONCEPT = "streaks"
MELANOMAS = {Part.TRAIN: 3, Part.VALIDATION: 3, Part.TEST: 1}
SIZES = {Part.TRAIN: 12, Part.VALIDATION: 8, Part.TEST: 4}
WITH_STREAKS = {Part.TRAIN: 5, Part.VALIDATION: 4, Part.TEST: 2}
SETTINGS = (
    "model.architecture=tiny",
    "model.activation=mean",
    f"transforms.size={SIDE}",
    "transforms.margin=0",
    "transforms.flips=false",
    "transforms.right_angle_turns=false",
    "transforms.brightness=0",
    "transforms.contrast=0",
    "transforms.saturation=0",
    "transforms.hue=0",
    "training.batch_size=12",
    "training.plain_epochs=1",
    "training.whitened_epochs=1",
    "training.balance=none",
    "training.warmup=0",
    "training.weight_decay=0",
    "concepts.minimum_positives=1",
)
"""One batch an epoch, of the whole training part, nothing augmented: what a step does is known by thought."""


class Tiny(nn.Module):
    """One convolution, its normalisation, and a classifier."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, kernel_size=4, stride=4)
        self.norm = nn.BatchNorm2d(4)
        self.classifier = nn.Linear(4, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.norm(self.conv(x)).relu().mean(dim=(2, 3)))


@dataclass(frozen=True)
class Pixels:
    """Decoded images: noise, a little redder in melanomas, with a bright bar where there are streaks."""

    diagnoses: dict[str, str]
    streaks: frozenset[str]

    def get(self, sample: Sample) -> np.ndarray:
        noise = np.random.default_rng(int(sample.image_id.split("_")[1])).integers(60, 160, (SIDE, SIDE, 3))
        noise[..., 0] += 1 if sample.diagnosis == "melanoma" else 0
        noise[:8, :, 1] += 90 if sample.image_id in self.streaks else 0
        return noise.clip(0, 255).astype(np.uint8)

    def get_masks(self, sample: Sample, paths: tuple) -> np.ndarray:
        masks = np.zeros((len(paths), SIDE // 4, SIDE // 4), dtype=np.uint8)
        masks[[path is not None for path in paths], :2] = 255
        return masks


def make_cohort() -> Cohort:
    samples, parts, examples = [], {}, []
    for part, size in SIZES.items():
        for number in range(size):
            image = f"image_{len(samples)}"
            diagnosis = CLASSES[0] if number < MELANOMAS[part] else CLASSES[1]
            samples.append(
                Sample(
                    image_id=image,
                    path=Path(image),
                    digest=f"{len(samples):064x}",
                    diagnosis=diagnosis,
                    source="planted",
                )
            )
            parts[image] = part
            # Streaks in every second image at first, so that they do not go with the diagnosis.
            has_streaks = number % 2 == 0 and number < 2 * WITH_STREAKS[part]
            examples.append(
                Example(
                    image_id=image,
                    image_digest=samples[-1].digest,
                    concept=CONCEPT,
                    polarity=Polarity.PRESENT if has_streaks else Polarity.ABSENT,
                    region=MaskFile(path=f"{image}.png", digest="0" * 64) if has_streaks else None,
                    provenance="planted",
                )
            )
    release = freeze(
        "planted",
        1,
        concepts=[ConceptEntry(id=CONCEPT, name="Streaks", definition="A bar.", origin="planted")],
        examples=examples,
    )
    streaks = frozenset(example.image_id for example in examples if example.polarity is Polarity.PRESENT)
    return Cohort(
        samples=tuple(samples),
        classes=CLASSES,
        split=Split(parts, {image: f"image:{image}" for image in parts}),
        release=release,
        concepts=(CONCEPT,),
        root=Path(),
        cache=Pixels({sample.image_id: sample.diagnosis for sample in samples}, streaks),
        unmarked_is_absent=True,
    )


@pytest.fixture(scope="session")
def cohort() -> Cohort:
    return make_cohort()


@pytest.fixture
def tiny(monkeypatch) -> None:
    """Make the network of one convolution known by name."""
    architecture = backbones._Architecture(lambda classes, _: Tiny(classes), replace="norm", insert="norm")
    monkeypatch.setitem(backbones._ARCHITECTURES, "tiny", architecture)


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return made_run(tmp_path)


@pytest.fixture
def settings_with(tiny):
    """Give settings of a tiny experiment with some overrides."""
    return lambda *overrides: parse_overrides([*SETTINGS, *overrides])
