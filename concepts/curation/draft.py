"""What a release of a set would hold as things stand: the examples that its rule finds, with their masks."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from concepts.consensus import Consensus, Status, consensus
from concepts.curation.adjudication import current_judgements, rule_of
from concepts.curation.set_agreement import SetAgreement, concept_agreement
from concepts.curation.sets import ConceptSet, SetConcept, find_set, to_set
from concepts.errors import ReleaseError
from concepts.example import AgreementEntry, ConceptEntry, Example, MaskFile, Origin, Polarity, Reader
from concepts.judgement import Judgement, Kind
from concepts.mask import encode, majority, rasterise
from concepts.release import Release, freeze
from concepts.statistics.agreement import Measure
from concepts.store.schema import ImageRow, SetImageRow

Cell = tuple[str, str]
SEED = 0
"""Of the resamples behind the intervals of agreement: the same judgements give the same release."""


@dataclass(frozen=True)
class Draft:
    """A release that is not frozen yet.

    Attributes:
        release: As it would be frozen.
        masks: PNG files of its regions, by digest.
        agreement: How far the readers agree, by concept.
        counts: By concept, how many images stand where.
        left_out: Concepts of the set without any example.
    """

    release: Release
    masks: Mapping[str, bytes]
    agreement: SetAgreement
    counts: Mapping[str, Mapping[Status, int]]
    left_out: tuple[str, ...]


def draft_release(session: Session, set_name: str, version: int, *, created: datetime | None = None) -> Draft:
    """Draft what a release of a set would hold.

    Args:
        session: From `Store.reading`.
        set_name: The set.
        version: Of the release.
        created: When it is frozen; default: now.

    Raises:
        StoreError: If there is no such set.
        ReleaseError: If no image has a verdict that the rule lets stand, or something was drawn in an image of which
            the size is not known.
    """
    content = to_set(session, find_set(session, set_name))
    judgements = current_judgements(session, set_name)
    settled = consensus(judgements, rule=rule_of(session, set_name))
    images = _images(session, set_name)
    masks = _Masks(judgements, images)
    examples = [_example(case, polarity, images, masks) for case in settled if (polarity := case.polarity)]
    agreement = _agreement(content, judgements)
    entries = _entries(content, settled)
    release = freeze(
        set_name,
        version,
        concepts=entries,
        examples=examples,
        description=content.description,
        licence=content.licence,
        created=created,
        readers=_readers(settled),
        agreement=tuple(_agreement_entry(agreement, concept) for concept in (entry.id for entry in entries)),
        consensus=rule_of(session, set_name).model_dump(mode="json"),
    )
    declared = {entry.id for entry in entries}
    left_out = tuple(concept.id for concept in content.concepts if concept.id not in declared)
    return Draft(release, masks.files, agreement, _counts(settled), left_out)


class _Masks:
    """Masks of what was drawn, made when an example asks for one."""

    def __init__(self, judgements: Iterable[Judgement], images: Mapping[str, ImageRow]) -> None:
        self.files: dict[str, bytes] = {}
        self.images = images
        self.drawn: dict[Cell, list[Judgement]] = defaultdict(list)
        for judgement in judgements:
            if judgement.regions and judgement.kind is not Kind.FIRST_LOOK:
                self.drawn[judgement.image_id, judgement.concept].append(judgement)

    def region(self, case: Consensus) -> MaskFile | None:
        drawn = _that_count([j for j in self.drawn[case.image_id, case.concept] if j.verdict is case.verdict], case)
        if not drawn:
            return None
        image = self.images[case.image_id]
        if image.width is None or image.height is None:
            raise ReleaseError(f"{image.id}: regions were drawn, but the image's width and height are not known")
        content = encode(majority([rasterise(judgement.regions, image.width, image.height) for judgement in drawn]))
        digest = sha256(content).hexdigest()
        self.files[digest] = content
        return MaskFile(path=f"masks/{digest}.png", digest=digest)


def _that_count(drawn: Sequence[Judgement], case: Consensus) -> list[Judgement]:
    """Return an adjudicator's own drawing where there is one; else the readers', of each the last reading."""
    last_word = [j for j in drawn if j.kind is Kind.ADJUDICATION and j.reader == case.adjudicator]
    if last_word:
        return last_word
    people = [j for j in drawn if j.kind is Kind.READING and j.origin is Origin.JUDGED]
    by_reader = {judgement.reader: judgement for judgement in sorted(people, key=lambda judgement: judgement.reading)}
    return list(by_reader.values()) or [j for j in drawn if j.kind is Kind.READING]


def _images(session: Session, set_name: str) -> dict[str, ImageRow]:
    query = select(ImageRow).join(SetImageRow, SetImageRow.image_id == ImageRow.id).filter_by(set_name=set_name)
    return {image.id: image for image in session.scalars(query.where(SetImageRow.set_name == set_name))}


def _example(case: Consensus, polarity: Polarity, images: Mapping[str, ImageRow], masks: _Masks) -> Example:
    return Example(
        image_id=case.image_id,
        image_digest=images[case.image_id].digest,
        concept=case.concept,
        polarity=polarity,
        region=masks.region(case) if polarity is Polarity.PRESENT else None,
        provenance=_provenance(case),
    )


def _provenance(case: Consensus) -> str:
    readers = ", ".join(case.readers)
    if case.adjudicator:
        return f"adjudicated by {case.adjudicator}" + (f" ({readers})" if readers else "")
    return f"judged by {readers}" if readers else str(case.origin)


def _entries(content: ConceptSet, settled: Sequence[Consensus]) -> list[ConceptEntry]:
    origins: dict[str, set[Origin]] = defaultdict(set)
    for case in settled:
        if case.polarity and case.origin:
            origins[case.concept].add(case.origin)
    return [_entry(concept, origins[concept.id]) for concept in content.concepts if origins[concept.id]]


def _entry(concept: SetConcept, origins: set[Origin]) -> ConceptEntry:
    return ConceptEntry(
        id=concept.id,
        name=concept.name,
        definition=concept.definition,
        # Where readers corrected some of what was measured, the concept is theirs.
        origin=next(iter(origins)) if len(origins) == 1 else Origin.JUDGED,
        rule=concept.rule,
        parent=concept.parent,
    )


def _readers(settled: Iterable[Consensus]) -> tuple[Reader, ...]:
    counted: Counter[str] = Counter()
    for case in settled:
        if case.polarity:
            counted.update({*case.readers, *([case.adjudicator] if case.adjudicator else [])})
    return tuple(Reader(name=name, judgements=number) for name, number in sorted(counted.items()))


def _agreement(content: ConceptSet, judgements: Sequence[Judgement]) -> SetAgreement:
    return concept_agreement(
        judgements,
        generator=np.random.default_rng(SEED),
        concepts=[concept.id for concept in content.concepts],
        measure=Measure(content.agreement_measure),
        threshold=content.agreement_threshold,
    )


def _agreement_entry(agreement: SetAgreement, concept: str) -> AgreementEntry:
    row = next(row for row in agreement.concepts if row.concept == concept)
    fields = row.figures[agreement.measure].to_json() | {
        "concept": concept,
        "measure": str(agreement.measure),
        "readers": row.readers,
        "threshold": agreement.threshold,
        "flag": row.flag,
    }
    return AgreementEntry.model_validate(fields)


def _counts(settled: Iterable[Consensus]) -> dict[str, Counter[Status]]:
    counts: dict[str, Counter[Status]] = defaultdict(Counter)
    for case in settled:
        counts[case.concept][case.status] += 1
    return dict(counts)
