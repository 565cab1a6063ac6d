"""Every act by every role: what the table does not allow is denied, and everything that can be asked has a rule."""

import inspect

import pytest
from sqlalchemy import func, select

from concepts.curation import door as curation
from concepts.curation.accounts import OPERATOR, add_account, set_disabled
from concepts.curation.case_review import CaseReview, Opinion, Step
from concepts.errors import DermaxisError, PermissionDeniedError
from concepts.image_record import ImageRecord
from concepts.judgement import Judgement, Verdict
from concepts.store.roles import PERMISSIONS, Action, Role, is_permitted
from concepts.store.schema import EventRow

REVIEW = CaseReview(
    reviewer="one", run="run", image_id="image0", digest="ab" * 32, step=Step.REVIEW, opinion=Opinion.AGREES
)
JUDGEMENT = Judgement(reader="one", image_id="image0", concept="streaks", verdict=Verdict.PRESENT)
ARGUMENTS = {
    Action.ADD_ACCOUNT: ("new", [Role.ANNOTATOR]),
    Action.SET_ROLES: ("ann", [Role.ANNOTATOR]),
    Action.SET_PASSWORD: ("ann", "a password of length"),
    Action.SET_DISABLED: ("ben",),
    Action.FORGET_PERSON: ("eve",),
    Action.ADD_IMAGES: ([ImageRecord(id="n", digest="ab" * 32, path="n.png")],),
    Action.CREATE_SET: ("another",),
    Action.ADD_CONCEPT: ("derm", "globules"),
    Action.ADD_TO_SET: ("derm", ["image0"]),
    Action.LIST_SETS: (),
    Action.LIST_ACCOUNTS: (),
    Action.LIST_RELEASES: (),
    Action.HISTORY: (),
    Action.JUDGE: ("derm", JUDGEMENT),
    Action.JUDGE_MANY: ("derm", [JUDGEMENT]),
    Action.SAVE_FOR_LATER: ("derm", "image0", "streaks"),
    Action.OWN_JUDGEMENT: ("derm", "image0", "streaks"),
    Action.QUEUE: ("derm", "streaks"),
    Action.BROWSE: ("derm", "streaks"),
    Action.READ_CASES: ("derm", "streaks", ["image0"]),
    Action.STANDING: ("derm", "streaks"),
    Action.EXEMPLARS: ("derm", "streaks"),
    Action.READ_MASK: ("00",),
    Action.IMPORT_JUDGEMENTS: ("derm", [JUDGEMENT]),
    Action.FIRST_LOOK: ("derm", JUDGEMENT),
    Action.ADJUDICATE: ("derm", JUDGEMENT),
    Action.OTHERS_JUDGEMENTS: ("derm", "image0", "streaks"),
    Action.DIFF_RELEASES: ("derm@1", "derm@1"),
    Action.BROUGHT_IMAGES: ("run",),
    Action.RECORD_EMBEDDINGS: ("run", ["image0"], [[1.0]]),
    Action.RECORD_SUSPICION: ("run", "streaks", {"image0": 0.5}),
    Action.READ_RELEASE: ("derm@1",),
    Action.SUPERSEDE_RELEASE: ("derm@1",),
    Action.RETIRE_RELEASE: ("derm@1",),
    Action.REVIEW_CASE: (REVIEW,),
    Action.READ_REVIEWS: ("run",),
    Action.ORDER_RUN: ("start", "experiment"),
    Action.READ_RUNS: (),
    Action.PROPOSE_CONCEPT: ("derm", "hair", {"ab" * 32: 0.5}),
    Action.FIND_IMAGE: ("ab" * 32,),
}
NAMED = {
    Action.SET_DISABLED: {"disabled": False},
    Action.UPDATE_SET: {"description": "d"},
    Action.RETIRE_RELEASE: {"reason": "r"},
    Action.PROPOSE_CONCEPT: {"run": "run", "axis": "free_1"},
    Action.SIMILAR_IMAGES: {"run": "run", "like": ["image0"]},
}


def call(action: Action, store, actor: str, release):
    function = getattr(curation, action)
    arguments = ARGUMENTS.get(action, ("derm",))
    if action is Action.EXPORT_RELEASE:
        arguments = ("derm@1", release.parent)
    if action is Action.IMPORT_RELEASE:
        arguments = (release,)
    key = {"key": f"{action} by {actor}".replace("\x00", "")} if "key" in inspect.signature(function).parameters else {}
    return function(store, actor, *arguments, **NAMED.get(action, {}), **key)


def outcome(action: Action, store, actor: str, release) -> str | None:
    """Why it was refused; None where it was done."""
    try:
        call(action, store, actor, release)
    except DermaxisError as error:
        return str(error)
    return None


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    from concepts.example import ConceptEntry, Example, Origin, Polarity
    from concepts.release import freeze, write_release

    entry = ConceptEntry(id="x", name="n", definition="d", origin=Origin.MARKED)
    example = Example(image_id="i", image_digest="ab" * 32, concept="x", polarity=Polarity.PRESENT, provenance="p")
    path = tmp_path_factory.mktemp("release") / "release.json"
    write_release(freeze("elsewhere", 1, concepts=[entry], examples=[example]), path)
    return path


def test_everything_that_can_be_asked_has_a_rule():
    assert set(curation.__all__) == set(Action)
    assert set(PERMISSIONS) == set(Role)
    assert all(any(action in allowed for allowed in PERMISSIONS.values()) for action in Action)


def test_every_use_case_takes_store_and_actor_first_and_a_key_where_it_writes():
    for name in curation.__all__:
        parameters = inspect.signature(getattr(curation, name)).parameters
        assert list(parameters)[:2] == ["store", "actor"], name
        key = parameters.get("key")
        assert key is None or (key.kind is key.KEYWORD_ONLY and key.default is key.empty), name
        writes = "performing" in inspect.getsource(getattr(curation, name))
        assert writes == (key is not None), name


def test_nobody_is_permitted_anything_without_a_role():
    assert not any(is_permitted([], action) for action in Action)


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("role", [*Role, None])
def test_every_act_by_every_role(filled, release, role):
    add_account(filled, OPERATOR, "one", [role] if role else [], key="one")
    for action in Action:
        before = events(filled)
        allowed = role is not None and action in PERMISSIONS[role]
        denied = outcome(action, filled, "one", release)
        assert (denied is None or "may not" not in denied) == allowed, action
        assert denied is None or events(filled) == before, action


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("actor", ["nobody", "", "ann\x00", "ANN", "disabled"])
def test_who_is_no_account_or_disabled_may_nothing(filled, release, actor):
    add_account(filled, OPERATOR, "disabled", list(Role), key="disabled")
    set_disabled(filled, OPERATOR, "disabled", disabled=True, key="d")
    for action in Action:
        with pytest.raises(PermissionDeniedError):
            call(action, filled, actor, release)


def test_a_denial_says_what_would_be_needed(filled):
    with pytest.raises(PermissionDeniedError, match=r"'ann' \(annotator\) may not freeze; it needs: curator"):
        curation.freeze(filled, "ann", "derm", key="k")


def events(store) -> int:
    with store.reading() as session:
        return session.scalar(select(func.count()).select_from(EventRow))
