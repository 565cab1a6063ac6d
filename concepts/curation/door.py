"""Everything that can be asked of a concept store; the one door for screens and the command line.

Each function takes the store and the actor and checks the actor's roles (`concepts.store.roles`). Where it writes, it
takes a ``key`` that makes a repeated submit harmless, and what it wrote stands in the audit chain in the same
transaction. The functions live in one file for each kind of act.

The examples import these functions and `Judgement`, `Verdict`, `Role`, `ImageRecord`, `Filter`, `Order` and `OPERATOR`.
They start from a ``store`` with the readers ann and ben, the adjudicator eve, and the set derm of six images, in which
ann and ben agree that image0 shows streaks and disagree on image1; ``folder`` is an empty folder.
"""

from concepts.curation.accounts import add_account, list_accounts, set_disabled, set_password, set_roles
from concepts.curation.adjudication import adjudicate, contested, first_look, others_judgements, read_judgements
from concepts.curation.case_review import find_image, read_reviews, review_case
from concepts.curation.exemplars import exemplars
from concepts.curation.facets import facets, standing
from concepts.curation.forgetting import forget_person
from concepts.curation.history import history
from concepts.curation.judging import import_judgements, judge, judge_many, save_for_later, undo
from concepts.curation.proposing import propose_concept
from concepts.curation.queue import (
    browse,
    next_case,
    own_judgement,
    own_latest,
    progress,
    queue,
    read_cases,
    read_mask,
)
from concepts.curation.releasing import (
    diff_releases,
    export_release,
    freeze,
    import_release,
    list_releases,
    preview_release,
    read_release,
    retire_release,
    supersede_release,
)
from concepts.curation.rereading import reread_agreement
from concepts.curation.run_orders import order_run, read_runs
from concepts.curation.sets import (
    add_concept,
    add_images,
    add_to_set,
    create_set,
    list_sets,
    read_images,
    read_set,
    update_set,
)
from concepts.curation.suspicion import brought_images, record_embeddings, record_suspicion, similar_images

__all__ = [
    "add_account",
    "add_concept",
    "add_images",
    "add_to_set",
    "adjudicate",
    "brought_images",
    "browse",
    "contested",
    "create_set",
    "diff_releases",
    "exemplars",
    "export_release",
    "facets",
    "find_image",
    "first_look",
    "forget_person",
    "freeze",
    "history",
    "import_judgements",
    "import_release",
    "judge",
    "judge_many",
    "list_accounts",
    "list_releases",
    "list_sets",
    "next_case",
    "order_run",
    "others_judgements",
    "own_judgement",
    "own_latest",
    "preview_release",
    "progress",
    "propose_concept",
    "queue",
    "read_cases",
    "read_images",
    "read_judgements",
    "read_mask",
    "read_release",
    "read_reviews",
    "read_runs",
    "read_set",
    "record_embeddings",
    "record_suspicion",
    "reread_agreement",
    "retire_release",
    "review_case",
    "save_for_later",
    "set_disabled",
    "set_password",
    "set_roles",
    "similar_images",
    "standing",
    "supersede_release",
    "undo",
    "update_set",
]
