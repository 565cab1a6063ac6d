"""Releases of the store: freeze a set, list, read, supersede, retire, take to a file and bring from one."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from concepts.curation.accounts import OPERATOR
from concepts.curation.draft import Draft, draft_release
from concepts.errors import ReleaseError, StoreError
from concepts.files import write_atomically
from concepts.release import Release, manifest_of, parse_release, split_word, verify_regions, write_release
from concepts.release import read_release as read_manifest
from concepts.release_diff import ReleaseDiff, diff
from concepts.store import audit
from concepts.store.acts import Act, looking, performing
from concepts.store.audit import now
from concepts.store.roles import Action
from concepts.store.schema import MaskRow, ReleaseRow
from concepts.store.store import Store, open_store

FROZEN, SUPERSEDED, RETIRED = "frozen", "superseded", "retired"


@dataclass(frozen=True, slots=True)
class ReleaseInfo:
    """A release without its content.

    Attributes:
        name: Of the set.
        version: From 1.
        digest: SHA-256 of its content.
        status: ``frozen``; ``superseded``, where a better one exists; ``retired``, where it must not be used.
        by: Who froze it.
        at: When, ISO 8601, UTC.
    """

    name: str
    version: int
    digest: str
    status: str
    by: str
    at: str


def preview_release(store: Store, actor: str, set_name: str) -> Draft:
    """Draft what `freeze` would freeze now, with agreement and what is still open.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If there is no such set.
        ReleaseError: If there is nothing to freeze.

    Example:
        >>> draft = preview_release(store, OPERATOR, "derm")
        >>> len(draft.release.examples), draft.left_out
        (1, ('pigment_network',))
    """
    with looking(store, actor, Action.PREVIEW_RELEASE) as session:
        return draft_release(session, set_name, _next_version(session, set_name))


def freeze(store: Store, actor: str, set_name: str, *, confirmed: str | None = None, key: str) -> ReleaseInfo:
    """Freeze a set as it stands: the next version, never to change.

    Args:
        store: An open store.
        actor: A curator.
        set_name: The set.
        confirmed: Digest of the preview that the curator saw; another content is refused.
        key: One for each submit.

    Raises:
        PermissionDeniedError: If the actor is no curator.
        StoreError: If there is no such set, or it changed since the preview.
        ReleaseError: If there is nothing to freeze.

    Example:
        >>> digest = preview_release(store, OPERATOR, "derm").release.digest
        >>> info = freeze(store, OPERATOR, "derm", confirmed=digest, key="1")
        >>> info.name, info.version, info.digest == digest
        ('derm', 1, True)
    """
    # Drafting may take long; it reads one state, and writers need not wait for it.
    with looking(store, actor, Action.FREEZE) as session:
        draft = draft_release(session, set_name, _next_version(session, set_name))
    with performing(store, actor, Action.FREEZE, key=key, request=[set_name, confirmed]) as act:
        if not act.is_repeat:
            release = draft.release
            if confirmed not in (None, release.digest) or release.version != _next_version(act.session, set_name):
                raise StoreError(f"{set_name} changed since the preview; preview it again, then freeze")
            newest = audit.newest(act.session)
            _keep(act, release.model_copy(update={"chain": newest.hash if newest else None}), draft.masks)
        return ReleaseInfo(**act.result)


def list_releases(store: Store, actor: str, name: str | None = None) -> list[ReleaseInfo]:
    """List the releases of one set, or of all, by name and version.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.

    Example:
        >>> info = freeze(store, OPERATOR, "derm", key="1")
        >>> [(release.name, release.version, release.status) for release in list_releases(store, OPERATOR)]
        [('derm', 1, 'frozen')]
    """
    with looking(store, actor, Action.LIST_RELEASES) as session:
        query = select(ReleaseRow).order_by(ReleaseRow.name, ReleaseRow.version)
        return [_info(row) for row in session.scalars(query if name is None else query.filter_by(name=name))]


def read_release(store: Store, actor: str, word: str) -> Release:
    """Read a release by its word, ``NAME@VERSION``, whatever its status.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If there is no such release.
        ReleaseError: If it was altered.

    Example:
        >>> info = freeze(store, OPERATOR, "derm", key="1")
        >>> [(e.image_id, e.concept, str(e.polarity)) for e in read_release(store, OPERATOR, "derm@1").examples]
        [('image0', 'streaks', 'present')]
    """
    with looking(store, actor, Action.READ_RELEASE) as session:
        return _content(_find(session, word))


def diff_releases(store: Store, actor: str, before: str, after: str) -> ReleaseDiff:
    """Say what changed from one release to another, both by their words.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If there is no such release.

    Example:
        >>> info = freeze(store, OPERATOR, "derm", key="1")
        >>> diff_releases(store, OPERATOR, "derm@1", "derm@1").is_empty
        True
    """
    with looking(store, actor, Action.DIFF_RELEASES) as session:
        return diff(_content(_find(session, before)), _content(_find(session, after)))


def supersede_release(store: Store, actor: str, word: str, *, key: str) -> None:
    """Mark a release as superseded by a later one of its set; it can still be used.

    Raises:
        PermissionDeniedError: If the actor is no curator.
        StoreError: If there is no such release, no later one, or it is not ``frozen``.

    Example:
        >>> first, second = (freeze(store, OPERATOR, "derm", key=key) for key in ("1", "2"))
        >>> supersede_release(store, OPERATOR, "derm@1", key="3")
        >>> [release.status for release in list_releases(store, OPERATOR)]
        ['superseded', 'frozen']
    """
    with performing(store, actor, Action.SUPERSEDE_RELEASE, key=key, request=word) as act:
        if not act.is_repeat:
            row = _find(act.session, word)
            if row.status != FROZEN or _next_version(act.session, row.name) == row.version + 1:
                raise StoreError(f"{word} is {row.status}; only a frozen release with a later one can be superseded")
            _set_status(act, row, SUPERSEDED)


def retire_release(store: Store, actor: str, word: str, *, reason: str, key: str) -> None:
    """Mark a release as not to be used any more, for good.

    Raises:
        PermissionDeniedError: If the actor is no curator.
        StoreError: If there is no such release, it is retired, or no reason is given.

    Example:
        >>> info = freeze(store, OPERATOR, "derm", key="1")
        >>> retire_release(store, OPERATOR, "derm@1", reason="one reader misread the definition", key="2")
        >>> [release.status for release in list_releases(store, OPERATOR)]
        ['retired']
    """
    if not reason.strip():
        raise StoreError(f"{word}: give a reason for retiring it")
    with performing(store, actor, Action.RETIRE_RELEASE, key=key, request=[word, reason]) as act:
        if not act.is_repeat:
            row = _find(act.session, word)
            if row.status == RETIRED:
                raise StoreError(f"{word} is already retired")
            _set_status(act, row, RETIRED, reason=reason)


def export_release(store: Store, actor: str, word: str, folder: Path) -> Path:
    """Write a release to a folder: ``NAME-VERSION.json``, and next to it the masks that the store has, under ``masks``.

    Returns:
        The manifest's path.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.
        StoreError: If there is no such release.
        ReleaseError: If a file cannot be written.

    Example:
        >>> info = freeze(store, OPERATOR, "derm", key="1")
        >>> export_release(store, OPERATOR, "derm@1", folder).name
        'derm-1.json'
    """
    with looking(store, actor, Action.EXPORT_RELEASE) as session:
        release = _content(_find(session, word))
        masks = _stored_masks(session, release)
    path = folder / f"{release.name}-{release.version}.json"
    for region_path, content in masks.items():
        _write_once(folder / region_path, content)
    write_release(release, path)
    return path


def import_release(store: Store, actor: str, path: Path, *, masks: Path | None = None, key: str) -> ReleaseInfo:
    """Import a release from its manifest, with its digest and version.

    Args:
        store: An open store.
        actor: A curator.
        path: The manifest.
        masks: Folder to which its regions' paths are relative; default: the masks stay where they are.
        key: One for each submit.

    Raises:
        PermissionDeniedError: If the actor is no curator.
        ReleaseError: If the manifest or a mask was altered.
        StoreError: If the store has that version.

    Example:
        >>> from concepts.example import ConceptEntry, Example, Origin, Polarity
        >>> from concepts.release import freeze as freeze_content
        >>> hair = ConceptEntry.from_vocabulary("hair", origin=Origin.MARKED)
        >>> shown = Example(
        ...     image_id="a", image_digest="0" * 64, concept="hair", polarity=Polarity.PRESENT, provenance="by hand"
        ... )
        >>> path = folder / "elsewhere-3.json"
        >>> write_release(freeze_content("elsewhere", 3, concepts=[hair], examples=[shown]), path)
        >>> import_release(store, OPERATOR, path, key="1").version
        3
    """
    release = read_manifest(path)
    files = {} if masks is None else _read_masks(release, masks)
    with performing(store, actor, Action.IMPORT_RELEASE, key=key, request=[release.digest, masks is not None]) as act:
        if not act.is_repeat:
            if act.session.get(ReleaseRow, (release.name, release.version)) is not None:
                raise StoreError(f"the store already has {release.name}@{release.version}; releases never change")
            _keep(act, release, files)
        return ReleaseInfo(**act.result)


def resolve_release(word: str, store_url: str | None, folder: Path) -> Release:
    """Export for training a release of a store, its masks where its regions' paths find them.

    Args:
        word: ``NAME@VERSION``.
        store_url: Address of the store; default: the default store.
        folder: Where manifest and masks are written; the regions' paths are relative to it.

    Raises:
        StoreError: If the store cannot be opened, there is no such release, or it is retired.
        ReleaseError: If it was altered.
    """
    store = open_store(store_url, must_exist=True)
    try:
        status = {f"{info.name}@{info.version}": info.status for info in list_releases(store, OPERATOR)}
        if status.get(word) == RETIRED:
            raise StoreError(f"{word} is retired and must not be used; 'dermaxis concepts list' shows the others")
        return read_manifest(export_release(store, OPERATOR, word, folder))
    finally:
        store.close()


def _keep(act: Act, release: Release, masks: Mapping[str, bytes]) -> None:
    for digest, content in masks.items():
        if act.session.get(MaskRow, digest) is None:
            act.session.execute(insert(MaskRow).values(digest=digest, content=content))
    manifest, at = manifest_of(release), now()
    identity: dict[str, Any] = {"name": release.name, "version": release.version, "digest": release.digest}
    info = {**identity, "status": FROZEN, "by": act.actor, "at": at}
    act.session.execute(insert(ReleaseRow).values(**info, manifest=manifest))
    told = {**identity, "manifest": sha256(manifest.encode()).hexdigest()}
    payload = {"release": told, "at": at, "masks": sorted(masks)}
    act.record(f"{release.name}@{release.version}", payload, result=info)


def _set_status(act: Act, row: ReleaseRow, status: str, **more: str) -> None:
    act.session.execute(update(ReleaseRow).filter_by(name=row.name, version=row.version).values(status=status))
    word = f"{row.name}@{row.version}"
    act.record(word, {"status": {"name": row.name, "version": row.version, "status": status, **more}})


def _next_version(session: Session, name: str) -> int:
    return (session.scalar(select(func.max(ReleaseRow.version)).filter_by(name=name)) or 0) + 1


def _find(session: Session, word: str) -> ReleaseRow:
    identity = split_word(word)
    row = session.get(ReleaseRow, identity) if identity else None
    if row is None:
        query = select(ReleaseRow.name, ReleaseRow.version).order_by(ReleaseRow.name, ReleaseRow.version)
        existing = ", ".join(f"{name}@{version}" for name, version in session.execute(query.limit(20))) or "none yet"
        raise StoreError(f"there is no release {word!r:.80}; expected NAME@VERSION, there are: {existing}")
    return row


def _content(row: ReleaseRow) -> Release:
    return parse_release(row.manifest.encode(), origin=f"{row.name}@{row.version} in the store")


def _info(row: ReleaseRow) -> ReleaseInfo:
    return ReleaseInfo(row.name, row.version, row.digest, row.status, row.by, row.at)


def _regions(release: Release) -> dict[str, str]:
    return {e.region.path: e.region.digest for e in release.examples if e.region is not None}


def _stored_masks(session: Session, release: Release) -> dict[str, bytes]:
    masks = {}
    for path, digest in _regions(release).items():
        content = session.scalar(select(MaskRow.content).filter_by(digest=digest))
        if content is not None:
            masks[path] = content
    return masks


def _read_masks(release: Release, folder: Path) -> dict[str, bytes]:
    verify_regions(release, folder)
    return {digest: (folder / path).read_bytes() for path, digest in _regions(release).items()}


def _write_once(path: Path, content: bytes) -> None:
    try:
        if path.is_file() and path.read_bytes() == content:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise ReleaseError(f"{path}: the mask cannot be written: {error.strerror}") from error
