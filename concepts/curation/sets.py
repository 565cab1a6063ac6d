"""Concept sets: the images that there are, the sets, and which images and concepts a set asks about."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import PurePosixPath
from typing import Any

from pydantic import ValidationError
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from concepts.consensus import ConsensusRule
from concepts.errors import DataError, StoreError
from concepts.example import ConceptEntry, Origin
from concepts.image_record import ImageRecord
from concepts.judgement import is_plain
from concepts.release import canonical_json
from concepts.statistics.agreement import Measure
from concepts.store.acts import looking, performing
from concepts.store.audit import now
from concepts.store.roles import Action
from concepts.store.schema import ConceptRow, ImageRow, SetImageRow, SetRow, portions, table
from concepts.store.store import Store
from concepts.vocabulary import load_vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class SetConcept:
    """A concept of a set.

    Attributes:
        id: Identifier; what judgements refer to.
        name: Name for people.
        definition: One sentence.
        parent: Identifier of the broader concept.
        is_own: Whether it is the set's own and not a term of the vocabulary.
        rule: The rule with its thresholds, where it is measured or derived.
    """

    id: str
    name: str
    definition: str
    parent: str | None = None
    is_own: bool = False
    rule: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConceptSet:
    """A concept set as it stands.

    Attributes:
        name: Fit for a file name.
        description: What it is for.
        licence: Of the judgements and masks.
        consensus: The rule of consensus, as data of `concepts.consensus.ConsensusRule`.
        agreement_measure: Which coefficient flags a concept.
        agreement_threshold: Below it a concept is flagged.
        blinded: Whether diagnosis and metadata are hidden from those who judge.
        concepts: In order.
        images: How many.
    """

    name: str
    description: str
    licence: str
    consensus: Mapping[str, Any]
    agreement_measure: str
    agreement_threshold: float
    blinded: bool
    concepts: tuple[SetConcept, ...]
    images: int


def add_images(store: Store, actor: str, images: Sequence[ImageRecord], *, key: str) -> int:
    """Make images known; one that is known with the same file is skipped, another file under its name is refused.

    Returns:
        How many are new.

    Raises:
        PermissionDeniedError: If the actor is no curator.
        DataError: If an image is known with another file, or comes twice, or its path leaves the folder.

    Example:
        >>> image = ImageRecord(id="a", digest="0" * 64, path="clinic/a.png")
        >>> add_images(store, OPERATOR, [image], key="1"), add_images(store, OPERATOR, [image], key="2")
        (1, 0)
    """
    rows = [asdict(image) for image in images]
    with performing(store, actor, Action.ADD_IMAGES, key=key, request=rows) as act:
        if not act.is_repeat:
            digests = _stored_digests(act.session, [image.id for image in images])
            _refuse_bad_images(images, digests)
            new = [row for row in rows if row["id"] not in digests]
            if new:
                act.session.execute(insert(ImageRow), new)
            act.record("images", {"images": new}, result=len(new))
        return int(act.result)


def create_set(
    store: Store,
    actor: str,
    name: str,
    *,
    description: str = "",
    licence: str = "",
    consensus: Mapping[str, Any] | None = None,
    agreement_measure: Measure = Measure.KRIPPENDORFF,
    agreement_threshold: float = 0.4,
    blinded: bool = True,
    key: str,
) -> None:
    """Make an empty concept set.

    Args:
        store: An open store.
        actor: A curator.
        name: Lower case, digits, ``_``, ``.`` and ``-``.
        description: What it is for.
        licence: Of the judgements and masks.
        consensus: The rule of consensus, as data of `concepts.consensus`; default: its defaults.
        agreement_measure: Which coefficient flags a concept.
        agreement_threshold: Below it a concept is flagged before training.
        blinded: Whether diagnosis and metadata are hidden from those who judge.
        key: One for each submit.

    Raises:
        PermissionDeniedError: If the actor is no curator.
        StoreError: If the name is taken or not allowed.

    Example:
        >>> create_set(store, OPERATOR, "nails", description="Melanonychia", key="1")
        >>> [concept_set.name for concept_set in list_sets(store, OPERATOR)]
        ['derm', 'nails']
    """
    row = {
        "name": name,
        "description": description,
        "licence": licence,
        "consensus": _rule_text({} if consensus is None else consensus),
        "agreement_measure": _measure(agreement_measure),
        "agreement_threshold": agreement_threshold,
        "blinded": blinded,
    }
    with performing(store, actor, Action.CREATE_SET, key=key, request=row) as act:
        if act.is_repeat:
            return
        _entry(ConceptRow(id=name, name="name", definition="name"), subject="set")
        if act.session.get(SetRow, name) is not None:
            raise StoreError(f"a concept set {name!r} already exists; choose another name")
        created = now()
        act.session.execute(insert(SetRow).values(**row, created=created))
        act.record(name, {"set": row, "created": created})


def update_set(store: Store, actor: str, name: str, *, key: str, **changes: Any) -> None:  # noqa: ANN401  # see below
    """Change a set's description, licence, consensus, agreement_measure, agreement_threshold or blinded, by name.

    Raises:
        PermissionDeniedError: If the actor is no curator.
        StoreError: If there is no such set, or something else is to be changed.

    Example:
        >>> update_set(store, OPERATOR, "derm", consensus={"minimum_readers": 3}, blinded=False, key="1")
        >>> read_set(store, OPERATOR, "derm").consensus["minimum_readers"]
        3
    """
    allowed = {"description", "licence", "consensus", "agreement_measure", "agreement_threshold", "blinded"}
    if not changes or changes.keys() - allowed:
        raise StoreError(
            f"you can change a set's {', '.join(sorted(allowed))} (got {', '.join(sorted(changes)) or 'nothing'})"
        )
    if "consensus" in changes:
        changes["consensus"] = _rule_text(changes["consensus"])
    if "agreement_measure" in changes:
        changes["agreement_measure"] = _measure(changes["agreement_measure"])
    with performing(store, actor, Action.UPDATE_SET, key=key, request=[name, changes]) as act:
        if not act.is_repeat:
            find_set(act.session, name)
            act.session.execute(update(SetRow).filter_by(name=name).values(**changes))
            act.record(name, {"set": {"name": name, **changes}})


def add_concept(
    store: Store, actor: str, set_name: str, concept: str | SetConcept, *, rule: str | None = None, key: str
) -> str:
    """Add a concept at the end of a set's list.

    Args:
        store: An open store.
        actor: A curator.
        set_name: The set.
        concept: A word of the vocabulary, or the set's own concept with a definition.
        rule: The rule with its thresholds, where a vocabulary concept is measured or derived.
        key: One for each submit.

    Returns:
        The concept's identifier.

    Raises:
        PermissionDeniedError: If the actor is no curator.
        DataError: If the vocabulary does not know the word.
        StoreError: If the set has it already, or an own concept takes a word of the vocabulary.

    Example:
        >>> add_concept(store, OPERATOR, "derm", "Milia-like cyst", key="1")
        'milia_like_cysts'
        >>> blue_dots = SetConcept(id="blue_dots", name="Blue dots", definition="Small and blue.", is_own=True)
        >>> add_concept(store, OPERATOR, "derm", blue_dots, key="2")
        'blue_dots'
    """
    described = describe_concept(concept, rule)
    request = [set_name, concept_record(described)]
    with performing(store, actor, Action.ADD_CONCEPT, key=key, request=request) as act:
        if not act.is_repeat:
            find_set(act.session, set_name)
            if act.session.get(ConceptRow, (set_name, described.id)) is not None:
                raise StoreError(f"{set_name} already has the concept {described.id!r}")
            row = insert_concept(act.session, set_name, described)
            act.record(f"{set_name}/{described.id}", {"concept": row}, result=described.id)
        return str(act.result)


def add_to_set(store: Store, actor: str, set_name: str, image_ids: Sequence[str], *, key: str) -> int:
    """Put known images at the end of a set's row; those that it has are skipped.

    Returns:
        How many are new to the set.

    Raises:
        PermissionDeniedError: If the actor is no curator.
        StoreError: If there is no such set, or an image is not known.

    Example:
        >>> image = ImageRecord(id="a", digest="0" * 64, path="clinic/a.png")
        >>> _ = add_images(store, OPERATOR, [image], key="1")
        >>> add_to_set(store, OPERATOR, "derm", ["image0", "a"], key="2")
        1
    """
    with performing(store, actor, Action.ADD_TO_SET, key=key, request=[set_name, list(image_ids)]) as act:
        if not act.is_repeat:
            find_set(act.session, set_name)
            distinct = list(dict.fromkeys(image_ids))
            digests = _stored_digests(act.session, distinct)
            unknown = [image for image in distinct if image not in digests]
            if unknown:
                raise StoreError(
                    f"{len(unknown)} images are not in the store, the first is {unknown[0]!r:.80}; add them first"
                )
            present = set(act.session.scalars(select(SetImageRow.image_id).filter_by(set_name=set_name)))
            new = [image for image in distinct if image not in present]
            rows = [
                {"set_name": set_name, "image_id": image, "position": position}
                for position, image in enumerate(new, start=len(present) + 1)
            ]
            if rows:
                act.session.execute(insert(SetImageRow), rows)
            act.record(set_name, {"set": set_name, "images": new}, result=len(new))
        return int(act.result)


def list_sets(store: Store, actor: str) -> list[ConceptSet]:
    """List all sets, by name.

    Raises:
        PermissionDeniedError: If none of the actor's roles allows it.

    Example:
        >>> [(derm.name, derm.images) for derm in list_sets(store, "ann")]
        [('derm', 6)]
    """
    with looking(store, actor, Action.LIST_SETS) as session:
        rows = session.scalars(select(SetRow).order_by(SetRow.name)).all()
        return [to_set(session, row, store=store) for row in rows]


def read_set(store: Store, actor: str, name: str) -> ConceptSet:
    """Read one set as it stands.

    Raises:
        PermissionDeniedError: If none of the actor's roles allows it.
        StoreError: If there is no such set.

    Example:
        >>> [concept.id for concept in read_set(store, "ann", "derm").concepts]
        ['streaks', 'pigment_network']
    """
    with looking(store, actor, Action.READ_SET) as session:
        return to_set(session, find_set(session, name), store=store)


def read_images(store: Store, actor: str, set_name: str) -> list[ImageRecord]:
    """Read the records of a set's images, in the order of its row; for those who do not judge.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If there is no such set.

    Example:
        >>> read_images(store, OPERATOR, "derm")[0].path
        '0.png'
    """
    with looking(store, actor, Action.READ_IMAGES) as session:
        find_set(session, set_name)
        columns = [getattr(ImageRow, field.name) for field in fields(ImageRecord)]
        query = select(*columns).join(SetImageRow, SetImageRow.image_id == ImageRow.id)
        rows = session.execute(query.where(SetImageRow.set_name == set_name).order_by(SetImageRow.position))
        return [ImageRecord(**row) for row in rows.mappings()]


def find_set(session: Session, name: str) -> SetRow:
    """Return the row of a set.

    Raises:
        StoreError: If there is none.
    """
    row = session.get(SetRow, name) if is_plain(name) else None
    if row is None:
        existing = ", ".join(session.scalars(select(SetRow.name).order_by(SetRow.name).limit(20))) or "none yet"
        raise StoreError(f"there is no concept set {name!r:.80}; there are: {existing}")
    return row


def to_set(session: Session, row: SetRow, *, store: Store | None = None) -> ConceptSet:
    """Build the set that a row stands for, with its concepts and the number of its images.

    Args:
        session: A transaction of the store.
        row: Of the set.
        store: Where the concepts are kept in memory for the next time; default: they are not.
    """
    if store is None:
        concepts = _concepts(session, row.name)
    else:
        # A set's concepts never change or leave it, so their number stands for them.
        stamp = session.scalar(select(func.count()).select_from(ConceptRow).filter_by(set_name=row.name))
        concepts = store.keep(("concepts", row.name), stamp, lambda: _concepts(session, row.name))
    return ConceptSet(
        name=row.name,
        description=row.description,
        licence=row.licence,
        consensus=json.loads(row.consensus),
        agreement_measure=row.agreement_measure,
        agreement_threshold=row.agreement_threshold,
        blinded=row.blinded,
        concepts=concepts,
        images=count_images(session, row.name),
    )


def _concepts(session: Session, set_name: str) -> tuple[SetConcept, ...]:
    columns = [getattr(ConceptRow, field.name) for field in fields(SetConcept)]
    rows = session.execute(select(*columns).filter_by(set_name=set_name).order_by(ConceptRow.position))
    return tuple(SetConcept(**row) for row in rows.mappings())


def count_images(session: Session, set_name: str) -> int:
    """Count a set's images: the last position, as positions count from 1 and no image ever leaves a set."""
    return session.scalar(select(func.max(SetImageRow.position)).filter_by(set_name=set_name)) or 0


def _rule_text(rule: Mapping[str, Any]) -> str:
    try:
        return canonical_json(ConsensusRule.model_validate(rule).model_dump(mode="json")).decode()
    except ValidationError as error:
        fault = error.errors()[0]
        reason = ": ".join([*([".".join(map(str, fault["loc"]))] if fault["loc"] else []), fault["msg"]])
        allowed = ", ".join(ConsensusRule.model_fields)
        raise StoreError(f"rule of consensus: {' '.join(reason.split())}; its fields are {allowed}") from error


def _measure(word: str) -> str:
    if word not in list(Measure):
        raise StoreError(f"unknown coefficient of agreement {word!r:.40}; allowed are {', '.join(Measure)}")
    return str(word)


def describe_concept(concept: str | SetConcept, rule: str | None = None) -> SetConcept:
    """Look a word of the vocabulary up, with its name and definition; return an own concept as it is.

    Raises:
        DataError: If the vocabulary does not know the word.
        StoreError: If an own concept takes a word of the vocabulary.
    """
    if isinstance(concept, str):
        term = load_vocabulary().concept(concept)
        return SetConcept(id=term.id, name=term.name, definition=term.definition, parent=term.parent, rule=rule)
    try:
        term = load_vocabulary().concept(concept.id)
    except DataError:
        return concept
    if concept.is_own:
        raise StoreError(f"{concept.id!r} is {term.name!r} in the vocabulary; give the set's own concept another name")
    return concept


def concept_record(concept: SetConcept) -> dict[str, Any]:
    """Return a concept as the audit chain and the table have it."""
    content = asdict(concept)
    is_own = content.pop("is_own")
    return {**content, "own": is_own}


def insert_concept(session: Session, set_name: str, concept: SetConcept) -> dict[str, Any]:
    """Write a concept at the end of a set's list; what the audit log is to say of it.

    Raises:
        DataError: If identifier, name or definition cannot stand in a release.
    """
    _entry(ConceptRow(id=concept.id, name=concept.name, definition=concept.definition), subject="concept")
    last = session.scalar(select(func.max(ConceptRow.position)).filter_by(set_name=set_name)) or 0
    row = {"set_name": set_name, "position": last + 1, **concept_record(concept)}
    session.execute(insert(table(ConceptRow)).values(**row))
    return row


def _entry(row: ConceptRow, *, subject: str) -> ConceptEntry:
    try:
        return ConceptEntry(id=row.id, name=row.name, definition=row.definition, origin=Origin.JUDGED)
    except ValidationError as error:
        fault = error.errors()[0]
        raise StoreError(
            f"a {subject}'s {fault['loc'][0]} cannot be {fault['input']!r:.80}: identifiers are lower case, digits, "
            "'_', '.' and '-'; names and definitions are not empty"
        ) from error


def _stored_digests(session: Session, image_ids: Sequence[str]) -> dict[str, str]:
    digests: dict[str, str] = {}
    for portion in portions(image_ids):
        rows = session.execute(select(ImageRow.id, ImageRow.digest).where(ImageRow.id.in_(portion)))
        digests.update({row.id: row.digest for row in rows})
    return digests


def _refuse_bad_images(images: Sequence[ImageRecord], digests: Mapping[str, str]) -> None:
    names: set[str] = set()
    faults = []
    for row, image in enumerate(images, start=1):
        texts = [value for value in asdict(image).values() if isinstance(value, str)]
        parts = PurePosixPath(image.path).parts
        checks = (
            (digests.get(image.id, image.digest) == image.digest, "is in the store with another file (SHA-256)"),
            (image.id not in names, "is listed twice"),
            (bool(image.id) and all(map(is_plain, texts)), "has an empty name, or text with NUL or broken Unicode"),
            (len(image.digest) == 64 and set(image.digest) <= set("0123456789abcdef"), "has no SHA-256"),
            (
                bool(parts) and ".." not in parts and not image.path.startswith("/") and "\\" not in image.path,
                "has a path that leaves the image folder",
            ),
        )
        faults += [f"image {row}: {image.id!r:.80} {fault}" for holds, fault in checks if not holds]
        names.add(image.id)
    if faults:
        raise DataError(
            f"{len(faults)} of {len(images)} images cannot be added, the first: {faults[0]}; nothing was added",
            rows=faults,
        )
