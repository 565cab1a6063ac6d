"""What a run's network suspects in the images of a set, and what it makes of them: figures for sorting them.

Computed offline. The store keeps the figures; the labelling tool sorts by them and loads no network.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression

from concepts.errors import DataError
from concepts.image_record import ImageRecord
from pipeline.data.splits import Part
from pipeline.explanation.cases.network import CaseNetwork, open_case_network
from pipeline.run.progress import Advance, Tracker
from pipeline.whitening.activation import axis_activations

FEWEST = 10
"""Validation images that must show a concept, and that must not, for suspicion to be a probability."""


@dataclass(frozen=True)
class Suspicions:
    """Figures of a run for N images.

    Attributes:
        run: Name of the run.
        image_ids: The N images.
        embeddings: N x C, the whitened activations, named and free axes.
        suspected: By concept, N probabilities that the image shows it.
        left_out: By concept, why there are none.
    """

    run: str
    image_ids: tuple[str, ...]
    embeddings: NDArray[np.float32]
    suspected: Mapping[str, NDArray[np.float64]]
    left_out: Mapping[str, str]


def suspect(
    run_path: Path, records: Sequence[ImageRecord], *, images: Path, tracker: Tracker, paths: Sequence[str] = ()
) -> Suspicions:
    """Run a whole run's network over images.

    Args:
        run_path: The run's folder.
        records: The images; each file must be the one that its record names by digest.
        images: Folder to which their paths are relative.
        tracker: Where progress is shown.
        paths: Paths of the run's settings that may be followed out of its folder, e.g. ``data.root=/data/isic``.

    Raises:
        RunError: If the run has not been explained yet.
        DataError: If there are no images, or files are missing or are others; ``rows`` lists all.
    """
    _refuse_other_files(records, images)
    network = open_case_network(run_path, paths=paths)
    validation = [str(name) for name in network.samples.index[network.samples.part == Part.VALIDATION]]
    labels = network.labels_of(validation)
    files = [network.path_of(image_id) for image_id in validation]
    with tracker.task("validation images", len(files)) as advance:
        reference = _activations(network, files, advance)
    with tracker.task("images of the set", len(records)) as advance:
        activations = _activations(network, [images / record.path for record in records], advance)
    suspected, left_out = {}, {}
    for axis, concept in enumerate(network.reference.concepts):
        probabilities = probability(reference[:, axis], labels[:, axis], activations[:, axis])
        if probabilities is None:
            left_out[concept] = f"fewer than {FEWEST} validation images show it, or do not, or its axis is inverted"
        else:
            suspected[concept] = probabilities
    image_ids = tuple(record.id for record in records)
    return Suspicions(network.run.id, image_ids, activations.astype(np.float32), suspected, left_out)


def probability(reference: ArrayLike, labels: ArrayLike, activations: ArrayLike) -> NDArray[np.float64] | None:
    """Estimate the probability that images show a concept, from the activation of its axis.

    Logistic regression on validation images (Platt, Advances in Large Margin Classifiers 1999), hence 0.5 where the
    network is least sure. It holds for images drawn as those were.

    Args:
        reference: N activations of validation images.
        labels: N: 1 shows the concept, 0 does not, NaN not known.
        activations: M activations of other images.

    Returns:
        M in 0..1; None where fewer than `FEWEST` images are on either side, or more activation means less.
    """
    values, label, asked = (np.asarray(numbers, dtype=np.float64) for numbers in (reference, labels, activations))
    values, label = values[~np.isnan(label)], label[~np.isnan(label)]
    if min((label == 1).sum(), (label == 0).sum()) < FEWEST:
        return None
    mean, scale = values.mean(), max(values.std(), np.finfo(np.float64).tiny)
    model = LogisticRegression().fit(((values - mean) / scale)[:, None], label == 1)
    if model.coef_[0, 0] <= 0:
        return None
    chances: NDArray[np.float64] = model.predict_proba(((asked - mean) / scale)[:, None])[:, 1]
    return chances


def _activations(network: CaseNetwork, paths: Sequence[Path], advance: Advance) -> NDArray[np.float64]:
    """Return the activations of all axes on images, N x C."""
    return np.stack(list(_image_activations(network, paths, advance)))


def _image_activations(network: CaseNetwork, paths: Sequence[Path], advance: Advance) -> Iterator[NDArray[np.float64]]:
    for path in paths:
        maps = network.open_image(network.decode(path)).maps[None]
        yield axis_activations(maps, network.cut.activation)[0].double().numpy()
        advance(1)


def _refuse_other_files(records: Sequence[ImageRecord], images: Path) -> None:
    if not records:
        raise DataError("the run has already brought figures for every image of the set")
    faults = []
    for record in records:
        try:
            with (images / record.path).open("rb") as file:
                if file_digest(file, "sha256").hexdigest() != record.digest:
                    faults.append(f"{record.path}: is another file than the one that the store knows (SHA-256)")
        except OSError as error:
            faults.append(f"{record.path}: cannot be read: {error.strerror}")
    if faults:
        raise DataError(f"{images}: {faults[0]} ({len(faults)} such of {len(records)} images)", rows=faults)
