"""Testing with concept activation vectors, from Captum: an independent, after-the-fact account of the plain network.

A linear classifier tells examples of a concept from random others at the layer; its normal is the concept's vector. The
score of a diagnosis is the share of its cases whose logit rises along the vector. Repeated with other random examples,
and set against vectors between random images alone (Kim et al. 2018, arXiv 1711.11279).
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from torch.utils.data import DataLoader

from concepts.errors import SettingsError
from concepts.statistics.bootstrap import COVERAGE, mean_with_spread
from pipeline.evaluation.evaluation_data import EvaluatedParts
from pipeline.explanation.explained_network import ImageNetwork
from pipeline.explanation.permutation import Tail
from pipeline.results.importance import TcavScore
from pipeline.results.result import Band
from pipeline.run.progress import Tracker
from pipeline.run.seeds import Stream, random_generator

LAYER = "maps"
EXAMPLES = 50
"""Images on each side of a vector, at most."""
REPEATS = 10
"""Vectors for each concept, each from other random images; and vectors between random images."""
STRENGTH = 1e-2


@dataclass(frozen=True)
class ConceptImages:
    """Rows of the training images that show a concept, and of those that do not."""

    present: Sequence[int]
    absent: Sequence[int]


class _FromMaps(nn.Module):
    """The network from the layer on, as a network whose input is the layer's output."""

    def __init__(self, tail: Tail) -> None:
        super().__init__()
        self.maps = nn.Identity()
        self.tail = tail

    def forward(self, maps: Tensor, *rest: Tensor) -> Tensor:
        return self.tail(self.maps(maps), rest)


def concept_vectors(network: ImageNetwork, parts: EvaluatedParts, tracker: Tracker) -> dict[str, dict[str, TcavScore]]:
    """Score every concept for every diagnosis in a network without named axes.

    Args:
        network: The plain one, cut at the layer.
        parts: Vectors are learnt from training images; scores are those of test images.
        tracker: Where progress is shown.

    Returns:
        By diagnosis, then by concept; see `tcav_scores`.
    """
    train, test = parts.train, parts.test
    generator = random_generator(test.seed, Stream.TCAV)
    rows = choose_examples(train.concept_labels, generator)
    examples = [train.samples[row] for row in rows]
    tested = network.outputs(test.samples, tracker=tracker, title="plain network, test images")
    learnt = network.outputs(examples, tracker=tracker, title="plain network, concept examples")
    return tcav_scores(
        tested.tail,
        (tested.maps, tested.rest),
        test.labels.tolist(),
        learnt.maps,
        concepts=sides_of(train.concept_labels[rows], train.concepts),
        classes=test.classes,
        generator=generator,
    )


def choose_examples(labels: NDArray[np.float64], generator: np.random.Generator) -> list[int]:
    """Draw the training images that vectors are learnt from: of each concept, up to 100 with it and 100 without.

    Args:
        labels: N x k; 1 present, 0 absent, NaN not known.
        generator: Draws them.

    Returns:
        Rows, in ascending order.
    """
    drawn: set[int] = set()
    for column in labels.T:
        for value in (1.0, 0.0):
            rows = np.flatnonzero(column == value)
            drawn.update(generator.choice(rows, size=min(2 * EXAMPLES, len(rows)), replace=False).tolist())
    return sorted(drawn)


def sides_of(labels: NDArray[np.float64], concepts: Sequence[str]) -> dict[str, ConceptImages]:
    """Give, for each concept that has both, the rows in which it is present and those in which it is absent."""
    by_concept = {
        name: ConceptImages(np.flatnonzero(column == 1).tolist(), np.flatnonzero(column == 0).tolist())
        for name, column in zip(concepts, labels.T, strict=True)
    }
    return {name: images for name, images in by_concept.items() if images.present and images.absent}


def tcav_scores(
    tail: Tail,
    test: tuple[Tensor, tuple[Tensor, ...]],
    labels: Sequence[int],
    train_maps: Tensor,
    *,
    concepts: Mapping[str, ConceptImages],
    classes: Sequence[str],
    generator: np.random.Generator,
) -> dict[str, dict[str, TcavScore]]:
    """Score every concept for every diagnosis.

    Args:
        tail: From the layer on; a module.
        test: Maps (N x C x H x W) of the test images, and what else the tail needs.
        labels: N indices of the diagnoses.
        train_maps: M x C x H x W, from which the vectors are learnt.
        concepts: By concept, rows of ``train_maps``.
        classes: The diagnoses, in the order of the logits.
        generator: Draws the examples.

    Returns:
        By diagnosis, then by concept; a diagnosis without cases is left out.

    Raises:
        SettingsError: If Captum is not installed.
    """
    draws = {
        name: [(_draw(generator, images.present), _draw(generator, images.absent)) for _ in range(REPEATS)]
        for name, images in concepts.items()
    }
    random = [np.array_split(generator.permutation(len(train_maps))[: 2 * EXAMPLES], 2) for _ in range(REPEATS)]
    pairs = [pair for name in draws for pair in draws[name]] + [(first, second) for first, second in random]
    maps, rest = test
    scores: dict[str, dict[str, TcavScore]] = {}
    for target, diagnosis in enumerate(classes):
        rows = torch.tensor([row for row, label in enumerate(labels) if label == target], dtype=torch.long)
        if not len(rows):
            continue
        inputs = (maps[rows], *(bypass[rows] for bypass in rest))
        shares = np.array(_shares(tail, inputs, target, pairs, train_maps)).reshape(-1, REPEATS)
        low, high = np.percentile(shares[-1], COVERAGE)
        band = Band(low=float(low), high=float(high))
        scores[diagnosis] = {
            name: TcavScore(share=mean_with_spread(row, len(rows)), null=band)
            for name, row in zip(draws, shares, strict=False)
        }
    return scores


def _shares(
    tail: Tail,
    inputs: tuple[Tensor, ...],
    target: int,
    pairs: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    train_maps: Tensor,
) -> list[float]:
    """Give, for each pair of example sets, the share of cases whose logit rises from the second towards the first."""
    captum = require_captum()
    sets = []
    for number, sides in enumerate(pairs):
        sets.append(
            [
                captum.Concept(2 * number + side, f"set {number} side {side}", _batches(train_maps[rows]))
                for side, rows in enumerate(sides)
            ]
        )
    # Captum keeps activations and vectors in files; they are of no use afterwards.
    with tempfile.TemporaryDirectory(prefix="dermaxis-tcav-") as folder:
        tcav = captum.TCAV(_FromMaps(tail), LAYER, classifier=_classifier(captum.Classifier), save_path=folder)
        maps, *rest = inputs
        scores = tcav.interpret(maps, sets, target=target, additional_forward_args=tuple(rest) or None)
    return [float(scores[f"{2 * n}-{2 * n + 1}"][LAYER]["sign_count"][0]) for n in range(len(sets))]


def require_captum() -> Any:  # noqa: ANN401  # a module without types
    """Import Captum's part for concepts.

    Raises:
        SettingsError: If Captum is not installed.
    """
    try:
        from captum import concept  # an optional extra
    except ImportError as error:
        raise SettingsError("evaluation.baselines: tcav needs Captum; install dermaxis[tcav]") from error
    return concept


def _classifier(kind: type) -> Any:  # noqa: ANN401  # Captum's abstract class has no types
    class Margin(kind):
        """A support vector machine whose normal points towards the first set."""

        def __init__(self) -> None:
            self.model = LinearSVC(C=STRENGTH)

        def train_and_eval(self, dataloader: DataLoader[Any], **_: Any) -> dict[str, Any]:  # noqa: ANN401
            features, labels = zip(*dataloader, strict=True)
            self.model.fit(torch.cat(features).flatten(1).numpy(), torch.cat(labels).numpy())
            return {}

        def weights(self) -> Tensor:
            # Captum asks for a row per class, in the order of `classes`.
            normal = torch.from_numpy(self.model.coef_[0])
            return torch.stack([-normal, normal])

        def classes(self) -> list[int]:
            return cast(list[int], self.model.classes_.tolist())

    return Margin()


def _batches(maps: Tensor) -> DataLoader[Tensor]:
    return DataLoader(cast(Any, maps), batch_size=len(maps))


def _draw(generator: np.random.Generator, rows: Sequence[int]) -> NDArray[np.int64]:
    return generator.choice(np.asarray(rows), size=min(EXAMPLES, len(rows)), replace=False)
