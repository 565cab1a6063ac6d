"""What several readers' verdicts come to, by a rule that is part of the concept set."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from concepts.errors import DataError
from concepts.example import Origin, Polarity, Record
from concepts.judgement import Judgement, Kind, Verdict

POLARITIES = {Verdict.PRESENT: Polarity.PRESENT, Verdict.ABSENT: Polarity.ABSENT}
ROUNDING = 1e-9

Standing = tuple["Status", Verdict | None, Origin | None]


class Status(StrEnum):
    """Where an image stands on a concept."""

    AGREED = "agreed"
    """Present or absent; it becomes an example."""
    CONTESTED = "contested"
    """Enough readers and no sufficient majority; it waits for an adjudicator."""
    TOO_FEW = "too_few"
    """Fewer verdicts than the rule asks for."""
    LEFT_OUT = "left_out"
    """Settled, but neither present nor absent: it is no example."""


class ConsensusRule(Record):
    """When readers agree.

    Attributes:
        minimum_readers: Readers whose verdict counts, at least so many.
        majority: Share of the verdicts that count which must be the same; above a half, so that there is one winner.
        uncertain_counts: Whether ``uncertain`` counts, as a verdict for neither side; else it is as if not judged.
        not_assessable_counts: The same of ``not assessable``.
    """

    minimum_readers: Annotated[int, Field(ge=1)] = 2
    majority: Annotated[float, Field(gt=0.5, le=1)] = 0.6
    uncertain_counts: bool = True
    not_assessable_counts: bool = False

    @property
    def counted(self) -> frozenset[Verdict]:
        """The verdicts that count."""
        optional = {Verdict.UNCERTAIN: self.uncertain_counts, Verdict.NOT_ASSESSABLE: self.not_assessable_counts}
        return frozenset({*POLARITIES, *(verdict for verdict, counts in optional.items() if counts)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Consensus:
    """Where one image stands on one concept.

    Attributes:
        image_id: The image.
        concept: The concept.
        status: Agreed, contested, too few or left out.
        verdict: What was settled; None while it is not.
        votes: By verdict, how many readers gave it, whether or not it counts.
        readers: Who gave those verdicts, by name.
        origin: How the verdict that stands came about; None while none stands.
        adjudicator: Who had the last word, where it was adjudicated.
    """

    image_id: str
    concept: str
    status: Status
    verdict: Verdict | None
    votes: Mapping[Verdict, int]
    readers: tuple[str, ...]
    origin: Origin | None = None
    adjudicator: str | None = None

    @property
    def polarity(self) -> Polarity | None:
        """Return what an example of it says; None where it is no example."""
        return POLARITIES.get(self.verdict) if self.verdict and self.status is Status.AGREED else None


def consensus(judgements: Iterable[Judgement], *, rule: ConsensusRule) -> tuple[Consensus, ...]:
    """Settle where each image stands on each concept that anyone judged in it.

    An adjudication wins. Otherwise the readers' verdicts are counted: of each reader the second reading where there is
    one, and no adjudicator's first look. What was measured, marked, planted or derived by a rule stands until a reader
    has spoken, and a single reader is enough to correct it. Where two such sources contradict each other it is
    contested.

    Args:
        judgements: The current ones: at most one of each kind for each reader, image, concept and reading.
        rule: When readers agree.

    Returns:
        In the order of concepts, then images.

    Raises:
        DataError: If a reader has two verdicts of one kind on the same thing.

    Example:
        >>> from concepts.judgement import Verdict
        >>> seen = {"image_id": "a", "concept": "streaks", "verdict": Verdict.PRESENT}
        >>> readings = [Judgement(reader=reader, **seen) for reader in ("ann", "ben")]
        >>> [(case.image_id, str(case.status)) for case in consensus(readings, rule=ConsensusRule())]
        [('a', 'agreed')]
    """
    cells: dict[tuple[str, str], list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        cells[judgement.concept, judgement.image_id].append(judgement)
    return tuple(settle(cells[cell], rule=rule) for cell in sorted(cells))


def settle(judgements: Sequence[Judgement], *, rule: ConsensusRule) -> Consensus:
    """Settle where one image stands on one concept; `consensus` of judgements that are all of one image and concept."""
    _refuse_second_verdicts(judgements)
    verdicts = _of_readers(judgements)
    last_word = _last_word(judgements)
    status, verdict, origin = _standing(judgements, last_word, verdicts, rule=rule)
    return Consensus(
        image_id=judgements[0].image_id,
        concept=judgements[0].concept,
        status=status,
        verdict=verdict,
        votes=dict(sorted(Counter(verdicts.values()).items())),
        readers=tuple(sorted(verdicts)),
        origin=origin if verdict else None,
        adjudicator=last_word.reader if last_word else None,
    )


def _standing(
    judgements: Sequence[Judgement],
    last_word: Judgement | None,
    verdicts: Mapping[str, Verdict],
    *,
    rule: ConsensusRule,
) -> Standing:
    if last_word is not None:
        return *_settled(last_word.verdict), Origin.JUDGED
    computed = [judgement for judgement in judgements if judgement.origin is not Origin.JUDGED]
    counted = Counter(verdict for verdict in verdicts.values() if verdict in rule.counted)
    if computed and not counted:
        return _of_sources(computed)
    if counted.total() < (1 if computed else rule.minimum_readers):
        return Status.TOO_FEW, None, None
    return *_majority(counted, rule.majority), Origin.JUDGED


def _of_readers(judgements: Iterable[Judgement]) -> dict[str, Verdict]:
    """Return by reader the last verdict of an ordinary reading."""
    read = [j for j in judgements if j.kind is Kind.READING and j.origin is Origin.JUDGED]
    return {judgement.reader: judgement.verdict for judgement in sorted(read, key=lambda judgement: judgement.reading)}


def _of_sources(computed: Sequence[Judgement]) -> Standing:
    """Settle what was measured, marked, planted or derived; contested where two sources contradict each other."""
    if len({judgement.verdict for judgement in computed}) > 1:
        return Status.CONTESTED, None, None
    return *_settled(computed[0].verdict), computed[0].origin


def _last_word(judgements: Iterable[Judgement]) -> Judgement | None:
    """Return the adjudication; of several adjudicators, the one who spoke last."""
    words = [judgement for judgement in judgements if judgement.kind is Kind.ADJUDICATION]
    return max(words, key=_recency, default=None)


def _recency(judgement: Judgement) -> tuple[datetime, int, str]:
    return judgement.at or datetime.min.replace(tzinfo=UTC), judgement.id or 0, judgement.reader


def _settled(verdict: Verdict) -> tuple[Status, Verdict]:
    return (Status.AGREED if verdict in POLARITIES else Status.LEFT_OUT), verdict


def _majority(counted: Counter[Verdict], share: float) -> tuple[Status, Verdict | None]:
    winner, count = counted.most_common(1)[0]
    # Most say that they cannot tell: another pair of eyes may.
    if count < share * counted.total() - ROUNDING or winner is Verdict.UNCERTAIN:
        return Status.CONTESTED, None
    return _settled(winner)


def _refuse_second_verdicts(judgements: Iterable[Judgement]) -> None:
    judged: set[tuple[object, ...]] = set()
    for judgement in judgements:
        key = (judgement.reader, judgement.kind, judgement.reading, judgement.origin)
        if key in judged:
            raise DataError(
                f"image {judgement.image_id}, concept {judgement.concept}: two current verdicts of {judgement.reader} "
                f"({judgement.kind}, reading {judgement.reading}); only the one that is not superseded may be given"
            )
        judged.add(key)
