"""A run's whitened network, opened for single images: explain one, or switch its concepts off and on."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from concepts.errors import RunError, SettingsError
from concepts.release import Release, read_release
from concepts.selection import label_table
from pipeline.config import RunSettings
from pipeline.data.decoded import decode_square
from pipeline.data.transforms import display_transforms, eval_transforms
from pipeline.evaluation.trajectory import layer_activations
from pipeline.explanation.cases.case import CaseInput, explain_case, switched_off
from pipeline.explanation.cases.files import case_file, has_picture, picture_file, write_case
from pipeline.explanation.cases.index import add_to_index
from pipeline.explanation.cases.reference import Reference
from pipeline.explanation.explained_network import CutNetwork
from pipeline.images.measures.quality import measure_quality
from pipeline.models.checkpoint import load_model, main_layer
from pipeline.results.case import CaseContent
from pipeline.run.files import MODEL
from pipeline.run.folder import RunFolder, open_run
from pipeline.run.pictures import save_picture
from pipeline.run.seeds import Stream, random_generator
from pipeline.setting_paths import data_folders, is_inside
from pipeline.whitening.surgery import whitening_layers

DIGEST_LETTERS = 8
"""Digits of the digest in the name of an image that is not of the cohort."""


@dataclass(frozen=True)
class OpenImage:
    """One image after the whitened layer.

    Attributes:
        maps: C x H x W, output of the layer.
        rest: The tail's other inputs, first dimension 1.
        logits: D.
    """

    maps: Tensor
    rest: tuple[Tensor, ...]
    logits: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class KnownImage:
    """What is known of an image before the network sees it.

    Attributes:
        image_id: What the case is called.
        part: Its part of the split; None where it is not of the cohort.
        diagnosis: What it is, where that is known.
        labels: k concept labels, 1 present, 0 absent, NaN not known; None where it is not of the cohort.
    """

    image_id: str
    part: str | None = None
    diagnosis: str | None = None
    labels: Sequence[float] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class CaseNetwork:
    """The network of a run with what its cases are read against.

    Attributes:
        run: The run's folder, where cases are written.
        settings: With which the run was started.
        reference: What cases are read against.
        samples: The cohort's images by identifier, with their ``path``, ``diagnosis`` and ``part`` of the split.
        cut: The network, cut at its whitened layer.
        transform: Turns a decoded square into what the network sees, both in an item's ``image``.
        folders: Where the cohort's images may lie, besides the run's own folder.
    """

    run: RunFolder
    settings: RunSettings
    reference: Reference
    samples: pd.DataFrame
    cut: CutNetwork
    transform: Callable[[Mapping[Hashable, Any]], Any]
    folders: Sequence[Path] = ()

    @torch.inference_mode()
    def open_image(self, decoded: NDArray[np.uint8]) -> OpenImage:
        """Run the network up to and after the layer on one decoded square (size + margin pixels, RGB)."""
        maps, rest = self.cut.head(self._input(decoded))
        return OpenImage(maps[0], rest, self.cut.tail(maps, rest)[0].double().numpy())

    def decode(self, path: Path) -> NDArray[np.uint8]:
        """Decode an image file as the run's settings say."""
        transforms = self.settings.transforms
        size = transforms.size + transforms.margin
        return decode_square(path, size=size, fit=transforms.fit, max_pixels=self.settings.data.max_pixels)

    @torch.inference_mode()
    def what_if(self, image: OpenImage, off: Collection[str]) -> dict[str, float]:
        """Return calibrated probabilities by diagnosis with some concepts' axes switched off; only the tail runs.

        Args:
            image: From `open_image`.
            off: Concepts whose axes are set to their reference.

        Raises:
            SettingsError: If a concept is not one of the named axes.
        """
        concepts = self.reference.concepts
        unknown = sorted(set(off) - set(concepts))
        if unknown:
            raise SettingsError(f"{', '.join(unknown)}: no such axis; the named axes are {', '.join(concepts)}")
        maps = image.maps.clone()
        rows = [concepts.index(concept) for concept in off]
        maps[rows] = switched_off(image.maps, self.reference)[rows]
        logits = self.cut.tail(maps[None], image.rest).double().numpy()
        probabilities = self.reference.calibration.probabilities(logits)[0]
        return dict(zip(self.reference.classes, probabilities.tolist(), strict=True))

    def explain(self, path: Path, known_image: KnownImage) -> CaseContent:
        """Explain an image file, and leave the case and its picture in the run folder."""
        decoded = self.decode(path)
        image, display, digest = self.open_image(decoded), self._display(decoded), _digest(path)
        name = save_picture(self.run, picture_file(known_image.image_id), display)
        case = CaseInput(
            image_id=known_image.image_id,
            digest=digest,
            maps=image.maps.clone(),
            rest=tuple(skip.clone() for skip in image.rest),
            logits=image.logits,
            quality=measure_quality(display),
            part=known_image.part,
            reference=known_image.diagnosis,
            labels=known_image.labels,
            picture=name,
            by_layer=self._by_layer(decoded),
        )
        content = explain_case(
            case,
            self.reference,
            self.cut.tail,
            activation=self.cut.activation,
            run_id=self.run.id,
            generator=random_generator(self.settings.seed, Stream.SINGLE_CASE, int(digest[:DIGEST_LETTERS], 16)),
        )
        for example in (*content.supporting, *content.opposing):
            if not has_picture(self.run, example.image_id):
                picture = self._display(self.decode(self.path_of(example.image_id)))
                save_picture(self.run, picture_file(example.image_id), picture)
        write_case(self.run, content)
        add_to_index(self.run, content)
        return content

    def path_of(self, image_id: str) -> Path:
        """Return where an image of the run's cohort lies.

        Raises:
            RunError: If the cohort has no such image, or it lies neither in the run's folder nor where images may lie.
        """
        if image_id not in self.samples.index:
            raise RunError(f"{image_id}: not an image of this run's cohort")
        path = Path(str(self.samples.path[image_id]))
        if not is_inside(path, [self.run.path, *self.folders]):
            raise RunError(
                f"{self.run.path}: samples.csv names an image outside the folders that you opened; name the folder of "
                "the images: data.root=FOLDER, or for the tool --data-roots FOLDER"
            )
        return path

    def labels_of(self, image_ids: Sequence[str]) -> NDArray[np.float64]:
        """Return what the run's release says of images: N x k, 1 shows the concept, 0 does not, NaN not known.

        The release is read and verified once; ask for all images at once.
        """
        unmarked = self.settings.concepts.unmarked_is_absent
        return label_table(
            self._release, list(image_ids), concepts=self.reference.concepts, unmarked_is_absent=unmarked
        )

    @cached_property
    def _release(self) -> Release:
        return read_release(self.run.file("release.json"))

    def _input(self, decoded: NDArray[np.uint8]) -> Tensor:
        image: Tensor = self.transform({"image": decoded})["image"][None]
        return image

    def _by_layer(self, decoded: NDArray[np.uint8]) -> dict[str, list[float]]:
        if len(whitening_layers(self.cut.module)) < 2:
            return {}
        layers = layer_activations(self.cut.module, self._input(decoded))
        return {layer: activations[0].tolist() for layer, activations in layers.items()}

    def _display(self, decoded: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(display_transforms(self.settings.transforms)({"image": decoded})["image"])


def open_case_network(run_path: Path, *, paths: Sequence[str] = (), roots: Sequence[Path] = ()) -> CaseNetwork:
    """Open the network of an explained run.

    Args:
        run_path: The run's folder, which may have come from anyone.
        paths: What the caller named of its settings, e.g. ``data.root=/data/isic``.
        roots: Further folders in which the cohort's images may lie.

    Raises:
        RunError: If the run has not been explained yet, or by another version.
    """
    run = open_run(run_path)
    if not run.has(Reference.file):
        raise RunError(f"{run_path}: has no {Reference.file} yet; explain the run first: dermaxis explain {run_path}")
    settings, reference = run.settings(), run.read(Reference)
    samples = pd.read_csv(run.file("samples.csv"), dtype=str).set_index("image_id")
    split = pd.read_csv(run.file("split.csv"), dtype=str).set_index("image_id")
    module, description = load_model(run.path / MODEL)
    return CaseNetwork(
        run=run,
        settings=settings,
        reference=reference,
        samples=samples.join(split[["part"]]),
        cut=CutNetwork(
            module=module,
            layer=main_layer(module, description),
            turns=settings.model.turns,
            activation=settings.model.activation,
        ),
        transform=eval_transforms(settings.transforms, description.mean, description.std),
        folders=(*data_folders(paths), *roots),
    )


def explain_image(run_path: Path, image: str, *, paths: Sequence[str] = ()) -> tuple[str, Path]:
    """Explain one image with the network of a run.

    Args:
        run_path: The run's folder.
        image: An identifier of the run's cohort, or any image file.
        paths: As for `open_case_network`.

    Returns:
        What the case is called, and its file.

    Raises:
        RunError: If it is neither.
    """
    network = open_case_network(run_path, paths=paths)
    if image in network.samples.index:
        path, known_image = network.path_of(image), _cohort_image(network, image)
    else:
        path = Path(image)
        if not path.is_file():
            raise RunError(f"{image}: neither an image of this run's cohort nor a file; give an image_id or a path")
        known_image = KnownImage(image_id=f"{path.stem}-{_digest(path)[:DIGEST_LETTERS]}")
    case = network.explain(path, known_image)
    return case.image_id, network.run.file(case_file(case.image_id))


def _cohort_image(network: CaseNetwork, image_id: str) -> KnownImage:
    row = network.samples.loc[image_id]
    return KnownImage(
        image_id=image_id,
        part=None if pd.isna(row["part"]) else str(row["part"]),
        diagnosis=str(row["diagnosis"]),
        labels=network.labels_of([image_id])[0].tolist(),
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
