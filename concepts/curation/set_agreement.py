"""How far the readers of a concept set agree, concept by concept, and which concepts are in dispute."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from concepts.errors import DataError
from concepts.example import Origin
from concepts.judgement import Judgement, Kind, Verdict
from concepts.statistics.agreement import Measure, coefficient
from concepts.statistics.bootstrap import RESAMPLES, Statistic, Weights, bootstrap, interval_estimate
from concepts.statistics.estimate import Estimate
from concepts.statistics.ratings import Ratings, condense

Cells = Mapping[tuple[str, str], Verdict]

DECIDED = (Verdict.PRESENT, Verdict.ABSENT)
NAMES = {
    Measure.PERCENT: "percent agreement",
    Measure.COHEN: "Cohen's kappa",
    Measure.FLEISS: "Fleiss' kappa",
    Measure.GWET_AC1: "Gwet's AC1",
    Measure.KRIPPENDORFF: "Krippendorff's alpha",
}


@dataclass(frozen=True, slots=True)
class ConceptAgreement:
    """How far readers agree on one concept.

    Attributes:
        concept: Identifier of the concept.
        readers: How many gave a verdict on it.
        images: How many images have a verdict on it that counts.
        undecided: How many verdicts were uncertain or not assessable.
        figures: The coefficients; their n is the number of images with two verdicts or more.
        flag: One sentence for the report where agreement is too low or not known; else None.
    """

    concept: str
    readers: int
    images: int
    undecided: int
    figures: Mapping[Measure, Estimate]
    flag: str | None

    def to_json(self) -> dict[str, object]:
        """Return the row as a JSON object."""
        figures = {str(measure): estimate.to_json() for measure, estimate in self.figures.items()}
        counts = {"readers": self.readers, "images": self.images, "undecided": self.undecided}
        return {"concept": self.concept, **counts, "figures": figures, "flag": self.flag}


@dataclass(frozen=True, slots=True)
class SetAgreement:
    """How far readers agree on the concepts of a set.

    Attributes:
        concepts: One row for each concept, in the order asked for.
        mean: The mean of each coefficient over the concepts for which it is defined.
        measure: The coefficient that flags.
        threshold: Below it a concept is flagged.
    """

    concepts: tuple[ConceptAgreement, ...]
    mean: Mapping[Measure, Estimate]
    measure: Measure
    threshold: float

    @property
    def flagged(self) -> tuple[str, ...]:
        """The concepts that are in dispute, or whose agreement is not known."""
        return tuple(row.concept for row in self.concepts if row.flag)

    def to_json(self) -> dict[str, object]:
        """Return the table as a JSON object."""
        mean = {str(measure): estimate.to_json() for measure, estimate in self.mean.items()}
        rows = [row.to_json() for row in self.concepts]
        return {"measure": str(self.measure), "threshold": self.threshold, "mean": mean, "concepts": rows}


def concept_agreement(
    judgements: Iterable[Judgement],
    *,
    generator: np.random.Generator,
    concepts: Sequence[str] | None = None,
    measure: Measure = Measure.KRIPPENDORFF,
    threshold: float = 0.4,
    uncertain_counts: bool = False,
    resamples: int = RESAMPLES,
) -> SetAgreement:
    """Measure the agreement of a set's readers before they spoke with each other: ordinary first readings only.

    Measured and derived verdicts, second readings and adjudications are left out. ``not assessable`` is about
    the picture and counts as missing. Images are drawn once for all concepts, so that the mean has the right interval.

    Args:
        judgements: The current ones.
        generator: Where the resamples come from.
        concepts: Identifiers, in the order of the rows; default: those judged, by name.
        measure: The coefficient that flags.
        threshold: A concept whose coefficient is lower is flagged.
        uncertain_counts: Whether ``uncertain`` is a third category; else it counts as missing.
        resamples: Number of resamples of the images.

    Raises:
        DataError: If a reader has two verdicts on the same thing.
    """
    cells = _cells(judgements)
    concepts = sorted(cells) if concepts is None else concepts
    categories = (*DECIDED, Verdict.UNCERTAIN) if uncertain_counts else DECIDED
    images = sorted({image_id for concept in concepts for image_id, _ in cells.get(concept, {})})
    tables = [_ratings(cells.get(concept, {}), images, categories) for concept in concepts]
    figures = _figures(tables, len(images), generator=generator, resamples=resamples)
    rows = []
    for concept, table, of_concept in zip(concepts, tables, figures, strict=True):
        estimates = {m: interval_estimate(of_concept[i], table.compared) for i, m in enumerate(Measure)}
        verdicts = cells.get(concept, {})
        rows.append(
            ConceptAgreement(
                concept=concept,
                readers=len({reader for _, reader in verdicts}),
                images=int((table.codes >= 0).any(axis=1).sum()),
                undecided=sum(verdict not in DECIDED for verdict in verdicts.values()),
                figures=estimates,
                flag=_flag(estimates[measure], measure, threshold),
            )
        )
    return SetAgreement(tuple(rows), _means(figures, tables), measure, threshold)


def _cells(judgements: Iterable[Judgement]) -> dict[str, dict[tuple[str, str], Verdict]]:
    """Return, by concept, the verdict of each (image, reader)."""
    cells: dict[str, dict[tuple[str, str], Verdict]] = defaultdict(dict)
    for judgement in judgements:
        if judgement.kind is Kind.READING and judgement.reading == 1 and judgement.origin is Origin.JUDGED:
            of_concept, key = cells[judgement.concept], (judgement.image_id, judgement.reader)
            if key in of_concept:
                raise DataError(
                    f"image {judgement.image_id}, concept {judgement.concept}: two current verdicts of "
                    f"{judgement.reader}; only the one that is not superseded may be given"
                )
            of_concept[key] = judgement.verdict
    return cells


def _ratings(cells: Cells, images: Sequence[str], categories: Sequence[Verdict]) -> Ratings:
    rows = {image_id: row for row, image_id in enumerate(images)}
    columns = {reader: column for column, reader in enumerate(sorted({reader for _, reader in cells}))}
    codes = np.full((len(images), len(columns)), -1, dtype=np.intp)
    for (image_id, reader), verdict in cells.items():
        if verdict in categories:
            codes[rows[image_id], columns[reader]] = categories.index(verdict)
    return Ratings(codes, len(categories))


def _figures(
    tables: Sequence[Ratings], images: int, *, generator: np.random.Generator, resamples: int
) -> NDArray[np.float64]:
    """Compute concepts x measures x (1 + resamples)."""
    statistics = [_all_measures(table) for table in tables]

    def statistic(weights: Weights) -> NDArray[np.float64]:
        return np.hstack([np.zeros((len(weights), 0)), *(of_concept(weights) for of_concept in statistics)])

    figures = bootstrap(statistic, images, generator=generator, resamples=resamples)
    return figures.T.reshape(len(tables), len(Measure), len(figures))


def _all_measures(table: Ratings) -> Statistic:
    unlike, members = condense(table)
    statistics = [coefficient(measure, unlike) for measure in Measure]

    def statistic(weights: Weights) -> NDArray[np.float64]:
        condensed = weights @ members
        return np.column_stack([of_measure(condensed) for of_measure in statistics])

    return statistic


def _means(figures: NDArray[np.float64], tables: Sequence[Ratings]) -> dict[Measure, Estimate]:
    n = int(np.any([table.is_compared for table in tables], axis=0).sum()) if tables else 0
    return {measure: interval_estimate(_mean_of_defined(figures[:, i]), n) for i, measure in enumerate(Measure)}


def _mean_of_defined(figures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average over the concepts with a figure on the data; a resample in which one has none counts the others."""
    of_defined = figures[np.isfinite(figures[:, 0])]
    defined = np.isfinite(of_defined)
    count = defined.sum(axis=0)
    total = np.where(defined, of_defined, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _flag(figure: Estimate, measure: Measure, threshold: float) -> str | None:
    if figure.n == 0:
        return "no image has verdicts of two readers, so agreement is not known"
    if np.isnan(figure.value):
        return f"{NAMES[measure]} is not defined on {figure.n} images: all verdicts are the same"
    if figure.value < threshold:
        return f"{NAMES[measure]} is {figure.value:.2f} on {figure.n} images, below {threshold:.2f}"
    return None
