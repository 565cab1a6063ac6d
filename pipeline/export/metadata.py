"""The metadata of a bundle by MONAI's schema: the network's input and output, and its test figures."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from concepts.csv_cells import csv_rows
from concepts.errors import RunError
from concepts.reading import table_text
from concepts.statistics.estimate import Estimate
from pipeline.export.classifier import INTENDED_USE, whitening_of
from pipeline.models.checkpoint import ModelDescription
from pipeline.results.evaluation import Evaluation
from pipeline.run.folder import RunFolder

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
REFERENCES = (
    "Chen, Bei, Rudin: Concept whitening for interpretable image recognition. Nature Machine Intelligence 2020. "
    "arXiv 2002.01650",
)


def bundle_metadata(run: RunFolder, description: ModelDescription) -> dict[str, Any]:
    """Return the content of ``configs/metadata.json``.

    Raises:
        RunError: If the run lacks a file or a figure.
    """
    record = run.read_json("run.json")
    versions = record["versions"]
    whitening = whitening_of(description)
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported from run {run.id}"},
        "monai_version": versions["monai"],
        "pytorch_version": versions["torch"].partition("+")[0],
        "numpy_version": versions["numpy"],
        "required_packages_version": {
            name: versions[name] for name in ("dermaxis", "pytorch-ignite", "pillow", "pydicom", "pandas")
        },
        "name": f"Concept-whitened dermoscopy classifier ({run.id})",
        "task": f"Classification of dermoscopic images: {', '.join(description.classes)}",
        "description": (
            f"A {description.architecture} with concept whitening at {whitening.layer}: {len(whitening.concepts)} axes "
            f"of its latent space are aligned with {', '.join(whitening.concepts)}. It gives the probability of each "
            "diagnosis and the activation of each concept's axis."
        ),
        "authors": "those who trained the run",
        "copyright": "of the weights: those who trained the run; of the code: the Dermaxis authors",
        "data_source": f"{run.settings().data.source}; licences of the images: {image_licences(run)}",
        "data_type": "RGB images (JPEG, PNG, TIFF, BMP, DICOM)",
        "image_classes": f"RGB dermoscopic image, {description.size} x {description.size} pixels, values from 0 to 1",
        "label_classes": f"one of {', '.join(description.classes)}",
        "pred_classes": (
            f"probabilities of {', '.join(description.classes)}; then activations ({whitening.activation}) of the axes "
            f"of {', '.join(whitening.concepts)}"
        ),
        "eval_metrics": evaluation_metrics(run),
        "intended_use": INTENDED_USE,
        "references": list(REFERENCES),
        "network_data_format": network_data_format(description),
        "dermaxis": {
            "run": run.id,
            "commit": record.get("commit"),
            "digests": record.get("digests"),
            "classes": list(description.classes),
            "concepts": list(whitening.concepts),
            "subspaces": [subspace.to_json() for subspace in whitening.subspaces],
            "activation": str(whitening.activation),
            "layer": whitening.layer,
        },
    }


def network_data_format(description: ModelDescription) -> dict[str, Any]:
    """Describe the network's input and output, channel by channel."""
    whitening = whitening_of(description)
    size, columns = description.size, prediction_columns(description)
    image = {
        "type": "image",
        "format": "RGB",
        "modality": "dermoscopy",
        "num_channels": 3,
        "spatial_shape": [size, size],
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": False,
        "channel_def": {"0": "red", "1": "green", "2": "blue"},
    }
    pred = {
        "type": "probabilities",
        "format": "classes and concepts",
        "num_channels": len(columns),
        "spatial_shape": [],
        "dtype": "float32",
        # Only the probabilities are bounded; activations are in units of a whitened axis' standard deviation.
        "value_range": [],
        "is_patch_data": False,
        "channel_def": {
            str(
                index
            ): f"{'probability of' if index < description.num_classes else f'{whitening.activation} of'} {name}"
            for index, name in enumerate(columns)
        },
    }
    return {"inputs": {"image": image}, "outputs": {"pred": pred}}


def prediction_columns(description: ModelDescription) -> tuple[str, ...]:
    """Name each number of a prediction: the classes, then the concepts."""
    return (*description.classes, *whitening_of(description).concepts)


def evaluation_metrics(run: RunFolder) -> dict[str, Any]:
    """Return the whitened network's figures on the run's test images, each with its interval and n.

    Raises:
        RunError: If the run was not evaluated, or by an earlier version.
    """
    evaluation = run.read(Evaluation)
    figures: dict[str, Estimate] = {}
    for name, content in evaluation.diagnosis.whitened:
        by_name = {f"{name}_{key}": figure for key, figure in content.items()} if isinstance(content, Mapping) else {}
        figures |= by_name or {name: content}
    figures |= {f"axis_auc_{concept}": evaluation.axis_auc(concept) for concept in evaluation.axes.purity}
    return {name: figure.to_json() for name, figure in figures.items()}


def image_licences(run: RunFolder) -> str:
    """Count the run's images by licence, most frequent first.

    Raises:
        RunError: If the run has no table of its samples.
    """
    try:
        column = [row["licence"] or "not stated" for row in csv_rows(table_text(run.file("samples.csv")))]
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{run.file('samples.csv')}: cannot be read ({error}); export a finished run") from error
    return ", ".join(f"{name} ({count})" for name, count in Counter(column).most_common())
