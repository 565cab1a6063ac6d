"""A run's whitened network, opened for single images: explain one, or switch its concepts off and on."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from concepts.errors import RunError, SettingsError
from concepts.release import read_release
from concepts.selection import label_table
from pipeline.config import RunSettings
from pipeline.data.decoded import decode_square
from pipeline.data.transforms import display_transforms, eval_transforms
from pipeline.evaluation.trajectory import layer_activations
from pipeline.explanation.cases.case import CaseInput, explain_case, switched_off
from pipeline.explanation.cases.files import case_file, has_picture, picture_file, write_case
from pipeline.explanation.cases.index import add_to_index
from pipeline.explanation.cases.reference import Reference
from pipeline.images.measures.quality import measure_quality
from pipeline.models.checkpoint import load_model, main_layer
from pipeline.models.tail import split_at
from pipeline.results.case import CaseContent
from pipeline.run.files import MODEL
from pipeline.run.folder import open_run
from pipeline.run.pictures import save_picture

REFERENCE = "reference.json"
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
        RunError: If the run has not been explained yet, or by another version.
    """

    def __init__(self, run_path: Path) -> None:
        self.run = open_run(run_path)
        if not self.run.has(REFERENCE):
            raise RunError(f"{run_path}: has no {REFERENCE} yet; 'dermaxis explain {run_path}' makes it")
        self.settings: RunSettings = self.run.settings()
        try:
            self.reference = Reference.model_validate(self.run.read_json(REFERENCE))
        except ValidationError as error:
            raise RunError(
                f"{self.run.file(REFERENCE)}: not of this version; 'dermaxis explain {run_path}' makes it anew"
            ) from error
        samples = pd.read_csv(self.run.file("samples.csv"), dtype=str).set_index("image_id")
        split = pd.read_csv(self.run.file("split.csv"), dtype=str).set_index("image_id")
        self.samples = samples.join(split[["part"]])
        network, description = load_model(self.run.path / MODEL)
        self.network = network
        self.head, self.tail = split_at(
            network.eval(), main_layer(network, description), turns=self.settings.model.turns
        )
        self.transform = eval_transforms(self.settings.transforms, description.mean, description.std)

    @torch.inference_mode()
    def open_image(self, decoded: NDArray[np.uint8]) -> OpenImage:
        """Run the network up to and after the layer on one decoded square (size + margin pixels, RGB)."""
        image = self._input(decoded)
        maps, rest = self.head(image)
        return OpenImage(maps[0], rest, self.tail(maps, rest)[0].double().numpy())

    def _input(self, decoded: NDArray[np.uint8]) -> Tensor:
        image: Tensor = self.transform({"image": decoded})["image"][None]
        return image

    def _by_layer(self, decoded: NDArray[np.uint8]) -> dict[str, list[float]]:
        if not self.settings.model.further_layers:
            return {}
        found = layer_activations(self.network, self._input(decoded))
        return {name: one[0].tolist() for name, one in found.items()}

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
        rows = [concepts.index(name) for name in off]
        maps[rows] = switched_off(image.maps, self.reference)[rows]
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
        shown = self._show(decoded)
        save_picture(self.run, picture_file(image_id), shown)
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
            by_layer=self._by_layer(decoded),
        )
        content = explain_case(
            case,
            self.reference,
            self.tail,
            activation=self.settings.model.activation,
            run_id=self.run.id,
            generator=np.random.default_rng([self.settings.seed, int(digest[:8], 16)]),
        )
        for example in (*content.supporting, *content.opposing):
            if not has_picture(self.run, example.image_id):
                picture = self._show(self.decode(self.path_of(example.image_id)))
                save_picture(self.run, picture_file(example.image_id), picture)
        write_case(self.run, content)
        add_to_index(self.run, content)
        return content

    def path_of(self, image_id: str) -> Path:
        """Where an image of the run's cohort lies.

        Raises:
            RunError: If the cohort has no such image.
        """
        if image_id not in self.samples.index:
            raise RunError(f"{image_id}: not an image of this run's cohort")
        return Path(str(self.samples.path[image_id]))

    def labels_of(self, image_id: str) -> list[float]:
        """What the run's release says of an image: k, 1 shows the concept, 0 does not, NaN not known."""
        unmarked = self.settings.concepts.unmarked_is_absent
        release = read_release(self.run.file("release.json"))
        table = label_table(release, [image_id], concepts=self.reference.concepts, unmarked_is_absent=unmarked)
        return [float(label) for label in table[0]]

    def _show(self, decoded: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(display_transforms(self.settings.transforms)({"image": decoded})["image"])


def explain_image(run_path: Path, image: str) -> tuple[str, Path]:
    """Explain one image with the network of a run: an identifier of its cohort, or any image file.

    Returns:
        What the case is called, and its file.

    Raises:
        RunError: If it is neither.
    """
    network = CaseNetwork(run_path)
    if image in network.samples.index:
        row = network.samples.loc[image]
        case = network.explain(
            network.path_of(image),
            image_id=image,
            part=None if pd.isna(row["part"]) else str(row["part"]),
            diagnosis=str(row["diagnosis"]),
            labels=network.labels_of(image),
        )
        return case.image_id, network.run.file(case_file(case.image_id))
    path = Path(image)
    if not path.is_file():
        raise RunError(f"{image}: neither an image of this run's cohort nor a file; give an image_id or a path")
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    case = network.explain(path, image_id=f"{path.stem}-{digest[:NAME_LETTERS]}")
    return case.image_id, network.run.file(case_file(case.image_id))
