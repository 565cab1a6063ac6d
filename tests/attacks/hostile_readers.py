"""What Dermaxis reads each kind of file with, tried on hostile files: python hostile_readers.py FOLDER.

Each reading happens in a child of its own, forked after everything is imported, with a limit on memory. A line of JSON
for each says how it ended, after how many seconds of the processor and with how much more memory.
"""

import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from concepts.errors import DermaxisError, RunError
from concepts.release import read_release
from concepts.sources.coco import read_coco
from concepts.sources.csv_table import read_csv
from concepts.sources.jsonlines import read_jsonlines
from pipeline.data.sources.metadata import read_side_file, read_table
from pipeline.data.splits import read_split
from pipeline.explanation.cases.files import read_case
from pipeline.explanation.cases.index import read_index
from pipeline.explanation.discovery.files import read_candidates
from pipeline.results.discovery import Direction
from pipeline.results.evaluation import Evaluation
from pipeline.run.folder import RunFolder
from pipeline.run.progress_file import parse_progress

MOST_MEMORY = 2 << 30
LONGEST = 30
Reader = Callable[[Path], object]


def in_run(name: str, read: Callable[[RunFolder], object]) -> Reader:
    """Read the file as a part of a run's folder."""

    def reader(path: Path) -> object:
        with TemporaryDirectory() as folder:
            target = Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.resolve())
            return read(RunFolder(Path(folder)))

    return reader


def progress(path: Path) -> object:
    if parse_progress(path.read_bytes().decode("utf-8", "replace")) is None:
        raise RunError("no progress")
    return None


def candidates(run: RunFolder) -> object:
    return read_candidates(run, Direction.model_construct(candidates="discovery/a.csv"))


READERS: Mapping[str, Mapping[str, Reader]] = {
    "json": {
        "release": read_release,
        "judgements": lambda path: read_jsonlines(path, reader="a"),
        "coco": lambda path: read_coco(path, reader="a"),
        "side_file": read_side_file,
        "result": in_run("evaluation.json", lambda run: run.read(Evaluation)),
        "case": in_run("cases/a.json", lambda run: read_case(run, "a")),
    },
    "csv": {
        "judgements": lambda path: read_csv(path, reader="a"),
        "metadata": lambda path: read_table(path, required=[["image_id", "isic_id"]]),
        "split": read_split,
        "cases": in_run("cases.csv", read_index),
        "candidates": in_run("discovery/a.csv", candidates),
    },
}


def heavy_readers() -> Mapping[str, Mapping[str, Reader]]:
    """The readers that import torch."""
    from attacks.hostile_corpus import DESCRIPTION

    from clinician_ui.image_files import image_content
    from concepts.curation.image_folder import scan_images
    from concepts.sources.masks import read_mask
    from pipeline.comparison.predictions import read_predictions
    from pipeline.config import ModelSettings
    from pipeline.images.reader import image_size, read_image
    from pipeline.models.backbones import build_backbone
    from pipeline.models.checkpoint import ModelDescription, load_model, save_model
    from pipeline.models.state import load_state
    from pipeline.models.weights import load_weights

    network = build_backbone(ModelSettings(architecture="mobilenet_v1", width=0.25), 2).network
    description = ModelDescription.model_validate(DESCRIPTION)
    own_model = Path(os.environ["HOSTILE_FOLDER"], "own")
    own_model.mkdir(exist_ok=True)
    save_model(own_model / "model", network, description)
    load_model(own_model / "model")

    def model(path: Path, ending: str) -> object:
        with TemporaryDirectory() as folder:
            for each in (".json", ".safetensors"):
                source = path.resolve() if each == ending else own_model / f"model{each}"
                Path(folder, f"model{each}").symlink_to(source)
            return load_model(Path(folder, "model"))

    def weights(path: Path, ending: str) -> object:
        with TemporaryDirectory() as folder:
            target = Path(folder, f"weights{ending}")
            target.symlink_to(path.resolve())
            return load_weights(network, target)

    def named(path: Path, suffix: str, read: Reader) -> object:
        with TemporaryDirectory() as folder:
            target = Path(folder, f"a{suffix}")
            shutil.copyfile(path, target)
            return read(target)

    pictures: Mapping[str, Reader] = {
        "image": read_image,
        "mask": lambda path: read_mask(path.parent, path.name),
        "thumbnail": lambda path: image_content(path.parent, path.name, thumbnail=True),
        "folder": lambda path: named(path, ".png", lambda target: scan_images(target.parent)),
    }
    return {
        "csv": {"predictions": in_run("predictions.csv", lambda run: read_predictions(run, ["nevus", "melanoma"]))},
        "json": {"description": lambda path: model(path, ".json")},
        "models": {"description": lambda path: model(path, ".json")},
        "svg": pictures,
        "images": pictures,
        "dicom": {
            "image": lambda path: named(path, ".dcm", read_image),
            "size_then_image": lambda path: named(
                path, ".dcm", lambda target: (image_size(target), read_image(target))
            ),
        },
        "safetensors": {
            "weights": lambda path: weights(path, ".safetensors"),
            "state": load_state,
            "model": lambda path: model(path, ".safetensors"),
        },
        "weights": {"weights": lambda path: weights(path, ".pt")},
    }


def memory(field: str) -> int:
    """Bytes of a field of this process's status."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def attempt(read: Reader, path: Path) -> dict[str, object]:
    """Read in a child; say how it ended."""
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(source)
        os.write(sink, json.dumps(_measured(read, path)).encode())
        os._exit(0)
    os.close(sink)
    with os.fdopen(source, "rb") as file:
        answer = file.read()
    _, status = os.waitpid(child, 0)
    return json.loads(answer) if answer else {"outcome": f"ended by signal {os.WTERMSIG(status)}"}


def _measured(read: Reader, path: Path) -> dict[str, object]:
    signal.alarm(LONGEST)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the highest memory starts from here
    before, begin = memory("VmRSS"), time.process_time()
    most = memory("VmData") + MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    try:
        read(path)
        outcome = "read"
    except DermaxisError as error:
        outcome = "refused" if len(str(error)) < 2000 else f"a message of {len(str(error))} characters"
    except BaseException as error:  # noqa: BLE001
        outcome = f"{type(error).__name__}: {error!s:.200}"
    return {"outcome": outcome, "seconds": time.process_time() - begin, "bytes": memory("VmHWM") - before}


def main(folder: Path) -> None:
    """Try every reader of a kind on every file of that kind."""
    os.environ["HOSTILE_FOLDER"] = str(folder)
    heavy = heavy_readers()
    for kind in sorted(READERS.keys() | heavy.keys()):
        for name, read in {**READERS.get(kind, {}), **heavy.get(kind, {})}.items():
            for path in sorted((folder / kind).iterdir()):
                ending = {"file": f"{kind}/{path.name}", "reader": name, **attempt(read, path)}
                sys.stdout.write(json.dumps(ending) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
