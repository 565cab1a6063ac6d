"""A run as a MONAI bundle: a folder that MONAI's commands verify and run."""

import json
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path
from string import Template
from typing import Any

import torch

from concepts.errors import DermaxisError
from concepts.files import completing, write_atomically
from pipeline.export.classifier import INTENDED_USE, load_classifier, open_whole_run, whitening_of
from pipeline.export.metadata import bundle_metadata, prediction_columns
from pipeline.models.checkpoint import ModelDescription
from pipeline.run.folder import RunFolder

BATCH_SIZE = 16
CARD = Path(__file__).with_name("card.md")


def export_bundle(run: Path, folder: Path) -> None:
    """Write a whole run's whitened network as a MONAI bundle; the folder appears when it is whole.

    It holds ``configs/metadata.json`` and ``configs/inference.json``, ``models/model.pt`` (a state dictionary: tensors
    only, to be loaded with ``weights_only=True``), ``docs/README.md`` and ``LICENSE``. Running it takes MONAI and
    Dermaxis.

    Args:
        run: A run folder.
        folder: The bundle's folder; must not exist.

    Raises:
        RunError: If there is no run, it is unfinished or incomplete, or its network has no named axes.
        WeightsError: If the run's network cannot be read.
        DermaxisError: If the folder exists or cannot be made.
    """
    source = open_whole_run(run)
    classifier, description = load_classifier(source)
    metadata = bundle_metadata(source, description)
    if folder.exists() or not folder.parent.is_dir():
        raise DermaxisError(f"{folder}: cannot be made; give a folder that does not exist, inside one that does")
    try:
        with completing(folder) as unfinished:
            for name in ("configs", "models", "docs"):
                (unfinished / name).mkdir()
            _write_json(unfinished / "configs" / "metadata.json", metadata)
            _write_json(unfinished / "configs" / "inference.json", inference_config(description))
            torch.save(classifier.state_dict(), unfinished / "models" / "model.pt")
            write_atomically(unfinished / "docs" / "README.md", model_card(source, description, metadata))
            write_atomically(unfinished / "LICENSE", licence_text())
    except OSError as error:
        raise DermaxisError(f"{folder}: cannot be written ({error.strerror or error}); give another folder") from error


def inference_config(description: ModelDescription) -> dict[str, Any]:
    """Return the content of ``configs/inference.json``: from a folder of images to a table of predictions."""
    reader = {
        "_target_": "pipeline.export.inference.NetworkViewReader",
        **description.model_dump(mode="json", include={"size", "margin", "fit"}),
    }
    return {
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "pipeline.export.classifier.build_classifier",
            "description": {
                "_target_": "pipeline.models.checkpoint.ModelDescription",
                **description.model_dump(mode="json"),
            },
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image", "reader": reader, "ensure_channel_first": True},
                {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 255, "b_min": 0, "b_max": 1},
            ],
        },
        "dataset": {
            "_target_": "Dataset",
            "data": {"_target_": "pipeline.export.inference.list_images", "folder": "@dataset_dir"},
            "transform": "@preprocessing",
        },
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": BATCH_SIZE,
            "shuffle": False,
            "num_workers": 0,
        },
        "inferer": {"_target_": "SimpleInferer"},
        "columns": list(prediction_columns(description)),
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "$@bundle_root + '/models/model.pt'",
                "load_dict": {"model": "@network"},
                "map_location": "@device",
                "strict": True,
            },
            {
                "_target_": "ClassificationSaver",
                "batch_transform": {"_target_": "pipeline.export.inference.image_metadata", "_mode_": "callable"},
                "output_transform": "$monai.handlers.from_engine('pred')",
                "saver": {
                    "_target_": "pipeline.export.inference.PredictionTable",
                    "path": "$@output_dir + '/predictions.csv'",
                    "columns": "@columns",
                },
            },
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "val_handlers": "@handlers",
        },
        "run": ["$@evaluator.run()"],
    }


def model_card(run: RunFolder, description: ModelDescription, metadata: Mapping[str, Any]) -> str:
    """Write the text of ``docs/README.md``: what the network is, how to run it, how well it did, and what it is not."""
    whitening = whitening_of(description)
    figures = [f"| {name} | {_figure(estimate)} |" for name, estimate in metadata["eval_metrics"].items()]
    return Template(CARD.read_text(encoding="utf-8")).substitute(
        name=metadata["name"],
        description=metadata["description"],
        intended_use=INTENDED_USE,
        run=run.id,
        size=description.size,
        columns="\n".join(f"{number + 1}. `{name}`" for number, name in enumerate(prediction_columns(description))),
        classes=description.num_classes,
        concepts=len(whitening.concepts),
        activation=whitening.activation,
        data=metadata["data_source"],
        figures="\n".join(figures),
    )


def licence_text() -> str:
    """Read the licence of the code, as it was installed.

    Raises:
        DermaxisError: If the installation has lost it.
    """
    text = distribution("dermaxis").read_text("licenses/LICENSE")
    if text is None:
        raise DermaxisError(
            "the installed package has no licenses/LICENSE; install Dermaxis again: pip install dermaxis"
        )
    return text


def _figure(estimate: Mapping[str, Any]) -> str:
    if estimate.get("value") is None:
        return f"not assessable (n = {estimate.get('n')})"
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f}; n = {estimate['n']})"


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
