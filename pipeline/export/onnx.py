"""A run as one ONNX file: the folded network with its normalisation, the names of its outputs in the metadata."""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from concepts.errors import DermaxisError
from concepts.files import replacing
from pipeline.export.classifier import INTENDED_USE, ConceptClassifier, load_classifier, open_whole_run, whitening_of
from pipeline.models.checkpoint import ModelDescription
from pipeline.run.folder import RunFolder

INPUT = "image"
OUTPUTS = ("logits", "probabilities", "concept_activations")
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4
"""Largest difference between onnxruntime and PyTorch, relative where a value is above 1."""


def export_onnx(run: Path, path: Path) -> None:
    """Write a whole run's whitened network as ONNX, compare it with PyTorch, and only then let the file appear.

    The graph takes ``image``, float32 N x 3 x S x S, RGB in [0, 1], any N, and normalises it itself. It gives
    ``logits`` and ``probabilities`` (N x D) and ``concept_activations`` (N x k). Whitening is folded away. The names
    of the classes and concepts, and how an image becomes the input, stand in the model's metadata properties.

    Args:
        run: A run folder.
        path: The file to write; replaced if it exists.

    Raises:
        RunError: If there is no run, it is unfinished, or its network has no named axes.
        WeightsError: If the run's network cannot be read.
        DermaxisError: If a package is missing, the place cannot be written to, or onnxruntime disagrees with PyTorch.
    """
    check_packages(PACKAGES)
    folder = open_whole_run(run)
    classifier, description = load_classifier(folder)
    if path.is_dir() or not path.parent.is_dir():
        raise DermaxisError(f"{path}: cannot be written; give a file in a folder that exists, e.g. model.onnx")
    with _appearing(path, of=description.architecture) as temporary:
        _write(classifier, description.size, temporary)
        _describe(temporary, onnx_properties(folder, description))
        difference = largest_difference(classifier, temporary, size=description.size)
        if not difference <= TOLERANCE:
            raise DermaxisError(
                f"{path}: onnxruntime differs from PyTorch by {difference:.1e}, above {TOLERANCE:.0e}; nothing was "
                f"written: please report it with the versions of torch and {', '.join(PACKAGES)}"
            )


def check_packages(names: Sequence[str]) -> None:
    """Check that optional packages can be imported.

    Raises:
        DermaxisError: If one is missing; says how to install it.
    """
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            raise DermaxisError(f"ONNX export needs the package {name}: pip install 'dermaxis[onnx]'") from error


def onnx_properties(run: RunFolder, description: ModelDescription) -> dict[str, str]:
    """Return what a user of the file must know, as strings; lists and objects as JSON."""
    whitening = whitening_of(description)
    return {
        "classes": json.dumps(description.classes),
        "concepts": json.dumps(whitening.concepts),
        "activation": str(whitening.activation),
        "layer": whitening.layer,
        "architecture": description.architecture,
        "preprocessing": json.dumps(
            {
                "colours": "RGB",
                "range": [0, 1],
                **description.model_dump(mode="json", include={"size", "fit", "margin"}),
            }
        ),
        "run": run.id,
        "dermaxis_version": version("dermaxis"),
        "intended_use": INTENDED_USE,
    }


def largest_difference(classifier: ConceptClassifier, path: Path, *, size: int) -> float:
    """Return how far onnxruntime is from PyTorch over all outputs, for one image and for three of fading noise.

    Returns:
        max |a - b| / max(1, |b|).
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    differences = []
    for count in (1, 3):
        images = (
            torch.rand(count, 3, size, size, generator=generator) * torch.linspace(1, 0, count)[:, None, None, None]
        )
        with torch.no_grad():
            expected = classifier(images)
        found = session.run(list(OUTPUTS), {INPUT: images.numpy()})
        differences += [_relative(one, other) for one, other in zip(found, expected, strict=True)]
    return max(differences)


@contextmanager
def _appearing(path: Path, *, of: str) -> Iterator[Path]:
    """Yield a temporary file that replaces ``path`` if all goes well; ``of`` says what is written, in errors."""
    try:
        with replacing(path) as temporary:
            yield temporary
    except torch.onnx.OnnxExporterError as error:
        reason = " ".join(str(error).split())[:200]
        raise DermaxisError(f"{path}: torch cannot export {of} ({reason}); nothing was written") from error
    except OSError as error:
        raise DermaxisError(f"{path}: cannot be written ({error.strerror or error}); give another file") from error


def _write(classifier: ConceptClassifier, size: int, path: Path) -> None:
    with _quiet():
        torch.onnx.export(
            classifier,
            # Two images: torch.export would take a batch of one for a constant.
            (torch.zeros(2, 3, size, size),),
            path,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: torch.export.Dim("N")},),
            external_data=False,
            verbose=False,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's remarks on its deprecated parts and on torchvision, which is not used here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            yield
    finally:
        logging.disable(before)


def _describe(path: Path, properties: Mapping[str, str]) -> None:
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(properties))
    model.producer_name, model.producer_version = "dermaxis", version("dermaxis")
    model.doc_string = f"Concept-whitened dermoscopy classifier. {INTENDED_USE}"
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _relative(found: NDArray[np.float32], expected: Tensor) -> float:
    reference = expected.numpy()
    return float(np.max(np.abs(found - reference) / np.maximum(1, np.abs(reference)), initial=0.0))
