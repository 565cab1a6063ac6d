"""What networks computed offline for sorting: how strongly they suspect a concept, and how alike images are.

No network runs here: a run brings figures, the store keeps them, screens sort by them.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from concepts.curation.sets import count_images
from concepts.errors import DataError, StoreError
from concepts.store.acts import looking, performing
from concepts.store.roles import Action
from concepts.store.schema import EmbeddingRow, ImageRow, SetImageRow, SuspicionRow, portions
from concepts.store.store import Store

VECTOR = np.dtype("<f4")
Directions = tuple[list[str], NDArray[np.float32]]


def record_embeddings(
    store: Store, actor: str, run: str, image_ids: Sequence[str], vectors: ArrayLike, *, key: str
) -> None:
    """Keep what a run's network makes of images.

    Args:
        store: An open store.
        actor: A researcher.
        run: Name of the run.
        image_ids: The N images.
        vectors: N x D, finite; kept as float32.
        key: One for each submit.

    Raises:
        PermissionDeniedError: If the actor is no researcher.
        DataError: If shapes do not fit or a number is not finite.
        StoreError: If an image is not known, or the run brought its vector before.

    Example:
        >>> add_account(store, OPERATOR, "rose", [Role.RESEARCHER], key="1")
        >>> record_embeddings(store, "rose", "run-1", ["image0", "image1"], [[1.0, 0.0], [0.6, 0.8]], key="2")
        >>> sorted(brought_images(store, "rose", "run-1"))
        ['image0', 'image1']
    """
    matrix = np.asarray(vectors, dtype=VECTOR)
    if matrix.ndim != 2 or len(matrix) != len(image_ids) or not np.isfinite(matrix).all():  # N x D
        raise DataError(f"embeddings are N x D finite numbers (got {matrix.shape} for {len(image_ids)} images)")
    request = [run, list(image_ids), list(matrix.shape)]
    with performing(store, actor, Action.RECORD_EMBEDDINGS, key=key, request=request) as act:
        if not act.is_repeat:
            _refuse_unknown(act.session, image_ids)
            rows = [
                {"run": run, "image_id": image, "vector": vector.tobytes()}
                for image, vector in zip(image_ids, matrix, strict=True)
            ]
            act.session.execute(insert(EmbeddingRow), rows)
            vectors_told = {row["image_id"]: sha256(row["vector"]).hexdigest() for row in rows}
            told = {"run": run, "images": len(rows), "dimensions": matrix.shape[1], "vectors": vectors_told}
            act.record(f"run {run}", told)


def record_suspicion(
    store: Store, actor: str, run: str, concept: str, values: Mapping[str, float], *, key: str
) -> None:
    """Keep how strongly a run's network suspects a concept.

    Args:
        store: An open store.
        actor: A researcher.
        run: Name of the run.
        concept: Identifier of the concept.
        values: By image, in 0..1.
        key: One for each submit.

    Raises:
        PermissionDeniedError: If the actor is no researcher.
        DataError: If a value is outside 0..1.
        StoreError: If an image is not known, or the run brought its figure before.

    Example:
        >>> add_account(store, OPERATOR, "rose", [Role.RESEARCHER], key="1")
        >>> record_suspicion(store, "rose", "run-1", "streaks", {"image3": 0.2, "image5": 0.9}, key="2")
        >>> [case.image_id for case in queue(store, "ann", "derm", "streaks", order=Order.SUSPICION, run="run-1")]
        ['image5', 'image3', 'image2', 'image4']
    """
    wrong = [image for image, value in values.items() if not 0 <= value <= 1]
    if wrong:
        raise DataError(f"suspicion is in 0..1 (got {values[wrong[0]]} for {wrong[0]!r:.80}, {len(wrong)} in all)")
    with performing(store, actor, Action.RECORD_SUSPICION, key=key, request=[run, concept, dict(values)]) as act:
        if not act.is_repeat:
            _refuse_unknown(act.session, list(values))
            rows = [
                {"run": run, "concept": concept, "image_id": image, "value": float(value)}
                for image, value in values.items()
            ]
            act.session.execute(insert(SuspicionRow), rows)
            act.record(f"run {run}", {"run": run, "concept": concept, "values": dict(values)})


def brought_images(store: Store, actor: str, run: str) -> frozenset[str]:
    """Return the images of which a run brought embeddings, so that only figures of the others are asked for.

    Raises:
        PermissionDeniedError: If the actor is no researcher.

    Example:
        >>> add_account(store, OPERATOR, "rose", [Role.RESEARCHER], key="1")
        >>> brought_images(store, "rose", "run-1")
        frozenset()
    """
    with looking(store, actor, Action.BROUGHT_IMAGES) as session:
        return frozenset(session.scalars(select(EmbeddingRow.image_id).filter_by(run=run)))


def similar_images(
    store: Store, actor: str, set_name: str, *, run: str, like: Sequence[str]
) -> list[tuple[str, float]]:
    """List images of a set, the most similar first.

    Args:
        store: An open store.
        actor: Who looks.
        set_name: The concept set.
        run: Whose embeddings count.
        like: One image, or all that show the concept so far: similarity to their mean direction.

    Returns:
        Image and cosine similarity in -1..1; images without an embedding are left out.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If none of ``like`` has an embedding of the run.

    Example:
        >>> add_account(store, OPERATOR, "rose", [Role.RESEARCHER], key="1")
        >>> vectors = [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]
        >>> record_embeddings(store, "rose", "run-1", ["image0", "image1", "image2"], vectors, key="2")
        >>> alike = similar_images(store, "ann", "derm", run="run-1", like=["image0"])
        >>> [(image, round(cosine, 2)) for image, cosine in alike]
        [('image0', 1.0), ('image2', 0.6), ('image1', 0.0)]
    """
    with looking(store, actor, Action.SIMILAR_IMAGES) as session:
        number = select(func.count()).select_from(EmbeddingRow).filter_by(run=run)
        stamp = (run, count_images(session, set_name), session.scalar(number))
        gathered: Directions = store.keep(("directions", set_name), stamp, lambda: _directions(session, set_name, run))
    names, unit = gathered
    models = set(like)
    rows = [index for index, name in enumerate(names) if name in models]
    if not rows:
        raise StoreError(
            f"run {run!r:.80} recorded no embedding of the images to compare with; run 'dermaxis concepts suspect'"
        )
    mean = unit[rows].mean(axis=0)
    cosines = unit @ (mean / max(float(np.linalg.norm(mean)), np.finfo(VECTOR).tiny))
    order = np.argsort(-cosines, kind="stable")
    return list(zip([names[index] for index in order.tolist()], cosines[order].tolist(), strict=True))


def _directions(session: Session, set_name: str, run: str) -> Directions:
    rows = session.execute(
        select(EmbeddingRow.image_id, EmbeddingRow.vector)
        .join(SetImageRow, SetImageRow.image_id == EmbeddingRow.image_id)
        .where(SetImageRow.set_name == set_name, EmbeddingRow.run == run)
        .order_by(SetImageRow.position)
    ).all()
    if not rows:
        return [], np.empty((0, 0), dtype=np.float32)
    matrix = np.frombuffer(b"".join(row.vector for row in rows), dtype=VECTOR).reshape(len(rows), -1)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return [row.image_id for row in rows], matrix / np.maximum(lengths, np.finfo(VECTOR).tiny)


def _refuse_unknown(session: Session, image_ids: Sequence[str]) -> None:
    stored: set[str] = set()
    for portion in portions(image_ids):
        stored.update(session.scalars(select(ImageRow.id).where(ImageRow.id.in_(portion))))
    unknown = [image for image in image_ids if image not in stored]
    if unknown:
        raise StoreError(f"{len(unknown)} images are not in the store, the first is {unknown[0]!r:.80}; add them first")
