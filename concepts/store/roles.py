"""Who may do what: the roles, the acts, and the one table that joins them. What the table does not list is denied."""

from collections.abc import Collection, Mapping
from enum import StrEnum

from concepts.errors import PermissionDeniedError


class Role(StrEnum):
    """What an account is for; an account may have several."""

    ANNOTATOR = "annotator"
    """Judges images."""
    ADJUDICATOR = "adjudicator"
    """Resolves disagreement, after a blinded look of their own."""
    CURATOR = "curator"
    """Makes sets, imports judgements, freezes."""
    REVIEWER = "reviewer"
    """Reads sets, judgements, releases and history, and reviews the cases that a network explained."""
    RESEARCHER = "researcher"
    """Reads releases, orders runs, and brings what networks computed: embeddings and suspicion."""
    ADMIN = "admin"
    """Keeps accounts, and may order and stop runs; decides nothing about concepts."""


class Action(StrEnum):
    """Everything that can be asked of the store; each value is the name of its function in `concepts.curation.door`."""

    ADD_ACCOUNT = "add_account"
    SET_ROLES = "set_roles"
    SET_PASSWORD = "set_password"
    SET_DISABLED = "set_disabled"
    FORGET_PERSON = "forget_person"
    LIST_ACCOUNTS = "list_accounts"
    ADD_IMAGES = "add_images"
    CREATE_SET = "create_set"
    UPDATE_SET = "update_set"
    ADD_CONCEPT = "add_concept"
    ADD_TO_SET = "add_to_set"
    LIST_SETS = "list_sets"
    READ_SET = "read_set"
    READ_IMAGES = "read_images"
    JUDGE = "judge"
    JUDGE_MANY = "judge_many"
    UNDO = "undo"
    SAVE_FOR_LATER = "save_for_later"
    OWN_JUDGEMENT = "own_judgement"
    NEXT_CASE = "next_case"
    QUEUE = "queue"
    PROGRESS = "progress"
    BROWSE = "browse"
    READ_CASES = "read_cases"
    OWN_LATEST = "own_latest"
    FACETS = "facets"
    STANDING = "standing"
    EXEMPLARS = "exemplars"
    READ_MASK = "read_mask"
    IMPORT_JUDGEMENTS = "import_judgements"
    READ_JUDGEMENTS = "read_judgements"
    REREAD_AGREEMENT = "reread_agreement"
    CONTESTED = "contested"
    FIRST_LOOK = "first_look"
    OTHERS_JUDGEMENTS = "others_judgements"
    ADJUDICATE = "adjudicate"
    PREVIEW_RELEASE = "preview_release"
    FREEZE = "freeze"
    LIST_RELEASES = "list_releases"
    READ_RELEASE = "read_release"
    DIFF_RELEASES = "diff_releases"
    SUPERSEDE_RELEASE = "supersede_release"
    RETIRE_RELEASE = "retire_release"
    EXPORT_RELEASE = "export_release"
    IMPORT_RELEASE = "import_release"
    BROUGHT_IMAGES = "brought_images"
    RECORD_EMBEDDINGS = "record_embeddings"
    RECORD_SUSPICION = "record_suspicion"
    SIMILAR_IMAGES = "similar_images"
    PROPOSE_CONCEPT = "propose_concept"
    REVIEW_CASE = "review_case"
    READ_REVIEWS = "read_reviews"
    FIND_IMAGE = "find_image"
    ORDER_RUN = "order_run"
    READ_RUNS = "read_runs"
    HISTORY = "history"


_LOOKING = {
    Action.LIST_SETS,
    Action.READ_SET,
    Action.BROWSE,
    Action.READ_CASES,
    Action.FACETS,
    Action.EXEMPLARS,
    Action.SIMILAR_IMAGES,
    Action.LIST_RELEASES,
}
_RELEASES = {Action.READ_RELEASE, Action.DIFF_RELEASES, Action.EXPORT_RELEASE}
_RUNS = {Action.ORDER_RUN, Action.READ_RUNS}
_READING = {
    Action.REREAD_AGREEMENT,
    Action.READ_IMAGES,
    Action.READ_JUDGEMENTS,
    Action.READ_MASK,
    Action.CONTESTED,
    Action.STANDING,
    Action.PREVIEW_RELEASE,
    Action.READ_REVIEWS,
    Action.HISTORY,
}
_JUDGING = {
    Action.JUDGE,
    Action.JUDGE_MANY,
    Action.UNDO,
    Action.SAVE_FOR_LATER,
    Action.OWN_JUDGEMENT,
    Action.OWN_LATEST,
    Action.NEXT_CASE,
    Action.QUEUE,
    Action.PROGRESS,
    Action.READ_MASK,
}

PERMISSIONS: Mapping[Role, frozenset[Action]] = {
    Role.ANNOTATOR: frozenset(_LOOKING | _JUDGING),
    Role.ADJUDICATOR: frozenset(
        _LOOKING | {Action.CONTESTED, Action.FIRST_LOOK, Action.OTHERS_JUDGEMENTS, Action.ADJUDICATE, Action.READ_MASK}
    ),
    Role.CURATOR: frozenset(
        _LOOKING
        | _RELEASES
        | _READING
        | {
            Action.ADD_IMAGES,
            Action.CREATE_SET,
            Action.UPDATE_SET,
            Action.ADD_CONCEPT,
            Action.ADD_TO_SET,
            Action.IMPORT_JUDGEMENTS,
            Action.FREEZE,
            Action.SUPERSEDE_RELEASE,
            Action.RETIRE_RELEASE,
            Action.IMPORT_RELEASE,
            Action.PROPOSE_CONCEPT,
        }
    ),
    Role.REVIEWER: frozenset(
        _LOOKING | _RELEASES | _READING | {Action.REVIEW_CASE, Action.FIND_IMAGE, Action.READ_RUNS}
    ),
    Role.RESEARCHER: frozenset(
        _LOOKING
        | _RELEASES
        | _RUNS
        | {Action.BROUGHT_IMAGES, Action.RECORD_EMBEDDINGS, Action.RECORD_SUSPICION, Action.READ_REVIEWS}
    ),
    Role.ADMIN: frozenset(
        {
            Action.ADD_ACCOUNT,
            Action.SET_ROLES,
            Action.SET_PASSWORD,
            Action.SET_DISABLED,
            Action.FORGET_PERSON,
            Action.LIST_ACCOUNTS,
            Action.HISTORY,
        }
        | _RUNS
    ),
}


def is_permitted(roles: Collection[Role], action: Action) -> bool:
    """Tell whether one of the roles allows the act.

    Example:
        >>> is_permitted([Role.ANNOTATOR], Action.JUDGE), is_permitted([Role.ANNOTATOR], Action.FREEZE)
        (True, False)
    """
    return any(action in PERMISSIONS.get(role, frozenset()) for role in roles)


def require(actor: str, roles: Collection[Role], action: Action) -> None:
    """Refuse an act that none of the actor's roles allows.

    Raises:
        PermissionDeniedError: Names the roles that would allow it.
    """
    if not is_permitted(roles, action):
        allowed = ", ".join(role for role in Role if action in PERMISSIONS[role]) or "no role"
        had = ", ".join(sorted(roles)) or "no role"
        raise PermissionDeniedError(f"{actor!r:.80} ({had}) may not {action}; it needs: {allowed}; ask an admin")
