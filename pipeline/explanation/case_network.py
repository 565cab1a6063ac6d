"""A run's whitened network, opened for single images: explain one, or switch its concepts off and on."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from concepts.errors import RunError, SettingsError
from pipeline.config import RunSettings
from pipeline.data.decoded import decode_square
from pipeline.data.transforms import display_transforms, eval_transforms
from pipeline.explanation.case import CaseInput, explain_case
from pipeline.explanation.case_content import CaseContent
from pipeline.explanation.case_files import FOLDER, picture_file, write_case
from pipeline.explanation.quality import measure_quality
from pipeline.explanation.reference import Reference
from pipeline.models.checkpoint import load_model, main_layer
from pipeline.models.tail import split_at
from pipeline.run import RunFolder, open_run
from pipeline.training.phases import MODEL

REFERENCE = "reference.json"
JPEG_QUALITY = 88
NAME_LETTERS = 8
"""Digits of the digest in the name of an image that is not of the cohort."""


@dataclass(frozen=True)
class OpenImage:
    """One image after the whitened layer: C x H x W maps, the tail's other inputs (first dimension 1), D logits."""

    maps: Tensor
    rest: tuple[Tensor, ...]
    logits: NDArray[np.float64]


class CaseNetwork:
    """The network of a whole run with what its cases are read against.

    Args:
        run_path: The run's folder.

    Raises:
        RunError: If the run has not been explained yet.
    """

    def __init__(self, run_path: Path) -> None:
        self.run = open_run(run_path)
        if not self.run.has(REFERENCE):
            raise RunError(f"{run_path}: has no {REFERENCE} yet; 'dermaxis explain {run_path}' makes it")
        self.settings: RunSettings = self.run.settings()
        self.reference = Reference.model_validate(self.run.read_json(REFERENCE))
        network, description = load_model(self.run.path / MODEL)
        self.head, self.tail = split_at(network.eval(), main_layer(network, description))
        self.transform = eval_transforms(self.settings.transforms, description.mean, description.std)

    @torch.inference_mode()
    def open_image(self, decoded: NDArray[np.uint8]) -> OpenImage:
        """Run the network up to and after the layer on one decoded square (size + margin pixels, RGB)."""
        image = self.transform({"image": decoded})["image"][None]
        maps, rest = self.head(image)
        return OpenImage(maps[0], rest, self.tail(maps, rest)[0].double().numpy())

    def decode(self, path: Path) -> NDArray[np.uint8]:
        """An image file as the run's settings want it decoded."""
        size = self.settings.transforms.size + self.settings.transforms.margin
        return decode_square(
            path, size=size, fit=self.settings.transforms.fit, max_pixels=self.settings.data.max_pixels
        )

    @torch.inference_mode()
    def what_if(self, image: OpenImage, off: Collection[str]) -> dict[str, float]:
        """Calibrated probabilities by diagnosis with some concepts' axes at their reference; only the tail runs.

        Raises:
            SettingsError: If a concept is not one of the named axes.
        """
        concepts = self.reference.concepts
        unknown = sorted(set(off) - set(concepts))
        if unknown:
            raise SettingsError(f"{', '.join(unknown)}: no such axis; the named axes are {', '.join(concepts)}")
        maps = image.maps.clone()
        maps[[concepts.index(name) for name in off]] = 0.0
        logits = self.tail(maps[None], image.rest).double().numpy()
        probabilities = self.reference.calibration.probabilities(logits)[0]
        return dict(zip(self.reference.classes, probabilities.tolist(), strict=True))

    def explain(
        self,
        path: Path,
        *,
        image_id: str,
        part: str | None = None,
        diagnosis: str | None = None,
        labels: Sequence[float] | None = None,
    ) -> CaseContent:
        """Explain an image file, and leave the case and its picture in the run folder.

        Args:
            path: The image.
            image_id: What the case is called.
            part: Of the split, where it is in the cohort.
            diagnosis: What it is, where that is known.
            labels: k concept labels, where they are known.
        """
        decoded = self.decode(path)
        opened = self.open_image(decoded)
        shown = np.asarray(display_transforms(self.settings.transforms)({"image": decoded})["image"])
        save_picture(self.run, image_id, shown)
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        case = CaseInput(
            image_id=image_id,
            digest=digest,
            maps=opened.maps.clone(),
            rest=tuple(one.clone() for one in opened.rest),
            logits=opened.logits,
            quality=measure_quality(shown),
            part=part,
            reference=diagnosis,
            labels=labels,
            picture=picture_file(image_id),
        )
        content = explain_case(
            case,
            self.reference,
            self.tail,
            activation=self.settings.model.activation,
            run_id=self.run.id,
            generator=np.random.default_rng([self.settings.seed, int(digest[:8], 16)]),
        )
        write_case(self.run, content)
        return content


def save_picture(run: RunFolder, image_id: str, shown: NDArray[np.uint8]) -> str:
    """Write an image as the network sees it into the run folder; returns its name there."""
    run.file(FOLDER).mkdir(exist_ok=True)
    name = picture_file(image_id)
    temporary = run.file(f"{name}.tmp")
    Image.fromarray(shown).save(temporary, format="JPEG", quality=JPEG_QUALITY)
    temporary.replace(run.file(name))
    return name


def explain_image(run_path: Path, image: str) -> Path:
    """Explain one image with the network of a run: an identifier of its cohort, or any image file.

    Returns:
        The case's file.

    Raises:
        RunError: If it is neither.
    """
    import pandas as pd

    network = CaseNetwork(run_path)
    samples = pd.read_csv(network.run.file("samples.csv"), dtype=str).set_index("image_id")
    split = pd.read_csv(network.run.file("split.csv"), dtype=str).set_index("image_id")
    if image in samples.index:
        row = samples.loc[image]
        part = str(split.part[image]) if image in split.index else None
        path = Path(str(row["path"]))
        case = network.explain(path, image_id=image, part=part, diagnosis=str(row["diagnosis"]))
        return _file_of(network.run, case)
    path = Path(image)
    if not path.is_file():
        raise RunError(f"{image}: neither an image of this run's cohort nor a file; give an image_id or a path")
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    return _file_of(network.run, network.explain(path, image_id=f"{path.stem}-{digest[:NAME_LETTERS]}"))


def _file_of(run: RunFolder, case: CaseContent) -> Path:
    from pipeline.explanation.case_files import case_file

    return run.file(case_file(case.image_id))
