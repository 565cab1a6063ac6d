"""How far readers agree with themselves: their second readings against their first, concept by concept."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from concepts.curation.adjudication import current_judgements
from concepts.curation.set_agreement import DECIDED
from concepts.curation.sets import find_set
from concepts.example import Origin
from concepts.judgement import Judgement, Kind, Verdict
from concepts.statistics.agreement import Measure, coefficient
from concepts.statistics.bootstrap import RESAMPLES, Weights, bootstrap, interval_estimate
from concepts.statistics.estimate import Estimate
from concepts.statistics.ratings import Ratings
from concepts.store.acts import looking
from concepts.store.roles import Action
from concepts.store.store import Store

READINGS = (1, 2)
SEED = 0
"""Of the resamples: the same judgements give the same interval."""
Pair = tuple[Verdict, Verdict]
Pairs = dict[tuple[str, str], Pair]


@dataclass(frozen=True, slots=True)
class ConceptRereading:
    """How far readers agree with themselves on one concept.

    Attributes:
        concept: Identifier of the concept.
        readers: How many read a case twice.
        changed: Cases on which a reader said something else the second time, uncertain and not assessable included.
        read_twice: Cases that a reader read twice, counted for each reader.
        percent: Percent agreement where both verdicts were present or absent; n counts those cases.
        coefficient: The set's own coefficient on the same cases.
    """

    concept: str
    readers: int
    changed: int
    read_twice: int
    percent: Estimate
    coefficient: Estimate


def reread_agreement(store: Store, actor: str, set_name: str) -> list[ConceptRereading]:
    """Measure how far the readers of a set agree with themselves; for those who do not judge.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If there is no such set.

    Example:
        >>> again = {"image_id": "image0", "concept": "streaks", "verdict": Verdict.ABSENT, "reading": 2}
        >>> _ = judge(store, "ann", "derm", Judgement(reader="ann", **again), key="1")
        >>> [(row.concept, row.changed, row.read_twice) for row in reread_agreement(store, OPERATOR, "derm")]
        [('streaks', 1, 1)]
    """
    with looking(store, actor, Action.REREAD_AGREEMENT) as session:
        measure = Measure(find_set(session, set_name).agreement_measure)
        judgements = current_judgements(session, set_name, with_regions=False)
    return rereading(judgements, generator=np.random.default_rng(SEED), measure=measure)


def rereading(
    judgements: Iterable[Judgement],
    *,
    generator: np.random.Generator,
    measure: Measure = Measure.KRIPPENDORFF,
    resamples: int = RESAMPLES,
) -> list[ConceptRereading]:
    """Measure the agreement of readers' second readings with their own first ones.

    A case is an image that one reader read twice for a concept. As between readers, only ``present`` and ``absent``
    enter the coefficients. Images are resampled, not cases, since several readers may have read one twice.

    Args:
        judgements: The current ones.
        generator: Where the resamples come from.
        measure: The coefficient beside percent agreement; first and second readings are its two readers.
        resamples: Number of resamples of the images.

    Returns:
        One row for each concept of which a case was read twice, by name.
    """
    pairs = _pairs(judgements)
    return [_row(concept, pairs[concept], measure, generator, resamples) for concept in sorted(pairs)]


def _pairs(judgements: Iterable[Judgement]) -> dict[str, Pairs]:
    """Return by concept what each reader said of an image first and then."""
    readings: dict[tuple[str, str, str], dict[int, Verdict]] = defaultdict(dict)
    for judgement in judgements:
        if judgement.kind is Kind.READING and judgement.origin is Origin.JUDGED:
            of_reader = readings[judgement.concept, judgement.image_id, judgement.reader]
            of_reader[judgement.reading] = judgement.verdict
    pairs: dict[str, Pairs] = defaultdict(dict)
    for (concept, image_id, reader), verdicts in readings.items():
        if len(verdicts) == len(READINGS):
            pairs[concept][image_id, reader] = (verdicts[1], verdicts[2])
    return pairs


def _row(
    concept: str, pairs: Pairs, measure: Measure, generator: np.random.Generator, resamples: int
) -> ConceptRereading:
    decided = {cell: pair for cell, pair in sorted(pairs.items()) if set(pair) <= set(DECIDED)}
    codes = [[DECIDED.index(verdict) for verdict in pair] for pair in decided.values()]
    ratings = Ratings(np.array(codes, dtype=np.intp).reshape(-1, len(READINGS)), len(DECIDED))
    images = [image_id for image_id, _ in decided]
    statistics = [coefficient(name, ratings) for name in (Measure.PERCENT, measure)]
    of_images = _members(images)

    def statistic(weights: Weights) -> NDArray[np.float64]:
        cases = weights @ of_images
        return np.column_stack([of_cases(cases) for of_cases in statistics])

    figures = bootstrap(statistic, of_images.shape[0], generator=generator, resamples=resamples)
    percent, other = (interval_estimate(column, len(decided)) for column in figures.T)
    return ConceptRereading(
        concept=concept,
        readers=len({reader for _, reader in pairs}),
        changed=sum(first is not second for first, second in pairs.values()),
        read_twice=len(pairs),
        percent=percent,
        coefficient=other,
    )


def _members(images: Sequence[str]) -> sparse.csr_array:
    """Return images x cases: 1 where the case is of the image."""
    different = sorted(set(images))
    rows = [different.index(image_id) for image_id in images]
    shape = (len(different), len(images))
    return sparse.csr_array((np.ones(len(images)), (rows, np.arange(len(images)))), shape=shape)
