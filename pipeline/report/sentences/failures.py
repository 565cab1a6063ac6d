"""Every sentence of the report about the test images that the network called wrongly."""

from pipeline.report.sentences.numerals import NOT_ASSESSABLE, capital, enumeration, percent, plural, share
from pipeline.results.names import Names
from pipeline.results.trust import Failure, FailuresResult

STATES = {"present": "seen", "absent": "not seen", "uncertain": "uncertain", "not_assessable": NOT_ASSESSABLE}


def rates(failures: FailuresResult) -> str:
    """Say how often calls are wrong, and confident ones."""
    wrong = f"The call is wrong in {share(failures.wrong)} of the test images"
    if failures.wrong_where_confident.n == 0:
        return f"{wrong}. No call has a calibrated probability of at least {percent(failures.confident)}."
    return (
        f"{wrong}; among calls with a calibrated probability of at least {percent(failures.confident)}, in "
        f"{share(failures.wrong_where_confident)}."
    )


def gallery(failures: FailuresResult) -> str:
    """Say which failures are shown, and what they do not show."""
    return (
        f"The {plural(len(failures.gallery), 'wrong call')} with the highest probability, the most confident first: "
        "what the network called the lesion and what was recorded, and each concept as its axis saw it and as the "
        "release has it. They are chosen for being wrong, so they say nothing about how often that happens; and a "
        "recorded diagnosis can be wrong too. 'dermaxis explain RUN --image ID' writes the page of any of them."
    )


def picture_text(failure: Failure, names: Names) -> str:
    """Write the alternative text of a failure's picture."""
    return (
        f"Test image {failure.image_id}, called {names.diagnosis(failure.call)} with {percent(failure.probability)}; "
        f"recorded as {names.diagnosis(failure.truth)} ({percent(failure.probability_of_truth)})."
    )


def concepts(failure: Failure, names: Names) -> tuple[tuple[str, str], ...]:
    """List what the axes saw in a failure and what the release has, each kind with its concepts."""
    by_state = [(word, [row.concept for row in failure.concepts if row.state == key]) for key, word in STATES.items()]
    kinds = [*by_state, ("in the release", [row.concept for row in failure.concepts if row.label])]
    return tuple((capital(word), _listed(concepts, names)) for word, concepts in kinds if concepts)


def disputed(failure: Failure, names: Names) -> str:
    """Say where axes and release contradict each other; empty where they do not."""
    missed = [row.concept for row in failure.concepts if row.state == "absent" and row.label]
    imagined = [row.concept for row in failure.concepts if row.state == "present" and row.label is False]
    parts = [
        f"not seen though in the release: {_listed(missed, names)}" if missed else "",
        f"seen though absent or not marked: {_listed(imagined, names)}" if imagined else "",
    ]
    return capital("; ".join(filter(None, parts)))


def _listed(concepts: list[str], names: Names) -> str:
    return enumeration([names.concept(concept) for concept in concepts])
