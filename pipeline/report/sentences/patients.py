"""Every sentence of the report about subgroups, failures, and how far concept labels alone go."""

from concepts.statistics.estimate import Estimate, is_known
from pipeline.report.scrutiny_content import ConceptOnly, Failure, Failures, SubgroupRow, Subgroups
from pipeline.report.sentences.numerals import (
    INTERVAL,
    NOT_ASSESSABLE,
    SPACE,
    capital,
    count,
    enumeration,
    estimate,
    interval,
    number,
    percent,
    plural,
    share,
)
from pipeline.results.comparison import Difference, Finding

STATES = {"present": "seen", "absent": "not seen", "uncertain": "uncertain", "not_assessable": NOT_ASSESSABLE}
ATTRIBUTES = {"skin tone": "skin tone", "age": "age", "sex": "sex", "site": "site of the lesion"}


def subgroups(found: Subgroups) -> str:
    """What the differences between subgroups amount to, given how many there are."""
    if not found.rows:
        return "Neither age, sex, site nor skin tone is known of these images, so no subgroup can be looked at."
    if not found.comparisons:
        return (
            f"No subgroup has the {count(found.fewest)} images, and enough of every diagnosis, that a figure needs; "
            "whether the network does worse in some patients is not known."
        )
    judged = [row for row in found.rows if row.difference is not None]
    beyond = [row for row in judged if row.difference is not None and row.difference.finding is Finding.BEYOND]
    single = [row for row in judged if row.difference is not None and row.difference.finding is Finding.UNCORRECTED]
    said = [
        f"{plural(found.comparisons, 'difference')} between a subgroup and all other images "
        f"{'is' if found.comparisons == 1 else 'are'} judged together."
    ]
    if beyond:
        listed = enumeration([f"{_who(row)} ({_signed(row.difference)})" for row in beyond])
        said.append(f"Beyond chance after correction for their number: {listed}.")
    else:
        said.append("After correction for their number none is shown to be more than chance; the intervals say how")
        said.append("large each may yet be, and small subgroups can hide large ones.")
    if single:
        one = len(single) == 1
        said.append(
            f"{capital(enumeration([_who(row) for row in single]))} {'differs' if one else 'differ'} by "
            f"{'its' if one else 'their'} own {INTERVAL}, but about "
            f"{number(0.05 * found.comparisons, 1)} of so many would by chance alone."
        )
    return " ".join(said)


def subgroup_limits(found: Subgroups) -> str:
    """What is left out, and how subgroups hang together."""
    unknown = [
        f"{ATTRIBUTES.get(key, key)} in {plural(amount, 'image')}" for key, amount in found.unknown.items() if amount
    ]
    few = [row for row in found.rows if row.reason is not None]
    parts = [
        f"Too few for a figure: fewer than {count(found.fewest)} images, or fewer than 5 of a diagnosis"
        f" ({plural(len(few), 'subgroup')} here).",
        f"Not known: {enumeration(unknown)}." if unknown else "",
        "Subgroups differ in more than their name: patients of one age have other lesions, on other sites. A "
        "difference is not thereby the effect of age, sex, site or skin tone.",
    ]
    return " ".join(filter(None, parts))


def subgroup_difference(row: SubgroupRow) -> str:
    """A subgroup's difference from all others, for the first line of a table's cell."""
    return NOT_ASSESSABLE if row.difference is None else _signed_value(row.difference)


def subgroup_finding(row: SubgroupRow) -> str:
    """What it amounts to."""
    return "" if row.difference is None else str(row.difference.finding)


def failures(found: Failures) -> str:
    """How often calls are wrong, and confident ones."""
    said = f"The call is wrong in {share(found.wrong)} of the test images"
    if found.wrong_where_confident.n == 0:
        return f"{said}. No call has a calibrated probability of {percent(found.confident)} or more."
    return (
        f"{said}; among calls with a calibrated probability of {percent(found.confident)} or more, in "
        f"{share(found.wrong_where_confident)}."
    )


def gallery(found: Failures) -> str:
    """What is shown, and what it is not."""
    return (
        f"The {plural(len(found.gallery), 'wrong call')} with the highest probability, the most confident first: what "
        "the network called the lesion and what was recorded, and each concept as its axis saw it and as the release "
        "has it. They are chosen for being wrong, so they say nothing about how often that happens; and a recorded "
        "diagnosis can be wrong too. 'dermaxis explain RUN --image ID' writes the page of any of them."
    )


def failure(one: Failure) -> str:
    """A failure in one line."""
    truth = f"{one.truth} ({percent(one.probability_of_truth)})"
    return f"called {one.call} with {percent(one.probability)}; recorded as {truth}"


def failure_picture(one: Failure) -> str:
    """The alternative text of a failure's picture."""
    return f"Test image {one.image_id}, {failure(one)}."


def seen(one: Failure) -> tuple[tuple[str, str], ...]:
    """What the axes saw in a failure and what the release has, each kind with its concepts."""
    kinds = [(word, [c.name for c in one.concepts if c.state == state]) for state, word in STATES.items()]
    kinds.append(("in the release", [c.name for c in one.concepts if c.label]))
    return tuple((capital(word), enumeration(names)) for word, names in kinds if names)


def disputed(one: Failure) -> str:
    """Where axes and release contradict each other; empty where they do not."""
    missed = [c.name for c in one.concepts if c.state == "absent" and c.label]
    imagined = [c.name for c in one.concepts if c.state == "present" and c.label is False]
    said = [
        f"not seen though in the release: {enumeration(missed)}" if missed else "",
        f"seen though absent or not marked: {enumeration(imagined)}" if imagined else "",
    ]
    return capital("; ".join(filter(None, said)))


def ceiling(found: ConceptOnly) -> str:
    """The ceiling of any classifier that sees only the labels."""
    one = found.ceiling
    if one is None:
        return "No image has all its concept labels, so no ceiling can be stated."
    return (
        f"In {share(one.conflicting)} of the images the same concepts were recorded as in an image with another "
        f"diagnosis. Whatever is made of these labels alone, it cannot be right in more than {share(one.accuracy)} of "
        f"these images (balanced over diagnoses: {share(one.balanced_accuracy)}). The labels make "
        f"{plural(one.profiles, 'different profile')}; {count(one.single)} of them in one image only, which cannot "
        "conflict: with more images the ceiling comes down."
    )


def label_classifier(found: ConceptOnly) -> str:
    """A plain classifier of the labels, and the network beside it."""
    one = found.classifier
    if one is None:
        return "A classifier of the labels was not fitted: a diagnosis has too few patients or groups."
    said = (
        "A plain logistic regression on the labels, each image judged by a model that saw no image of its group, "
        f"reaches a macro AUC of {estimate(one.macro)} over all images and a balanced accuracy of "
        f"{share(one.balanced_accuracy)}."
    )
    if one.difference is None or one.test_macro is None or one.network_macro is None or not is_known(one.difference):
        return said
    return (
        f"{said} On the test images it reaches {number(one.test_macro.value)}, the whitened network, which sees only "
        f"the picture, {number(one.network_macro.value)}; difference {estimate(one.difference)}: "
        f"{_against(one.difference)}."
    )


def label_limits(found: ConceptOnly, *, marked: bool) -> str:
    """What these labels are."""
    said = [
        "Labels are what people (or, on a phantom, its rule) said was there; the network has to see it.",
        "Where nothing was marked the concept counts as absent here, though not marked is not absent; so the true "
        "ceiling may lie elsewhere."
        if marked
        else "",
        f"{plural(found.left_out, 'image')} with a label that is not known {'is' if found.left_out == 1 else 'are'} "
        "left out."
        if found.left_out
        else "",
    ]
    return " ".join(filter(None, said))


def _against(difference: Estimate) -> str:
    if difference.low > 0:
        return "the network finds more in the pictures than these labels say"
    if difference.high < 0:
        return "the labels say more than the network finds in the pictures"
    return f"the two are not told apart at 95{SPACE}%"


def _who(row: SubgroupRow) -> str:
    return f"{ATTRIBUTES.get(row.attribute, row.attribute)} {row.value}"


def _signed(one: Difference | None) -> str:
    return "" if one is None else f"{_signed_value(one)}, {INTERVAL} {interval(one.figure)}"


def _signed_value(one: Difference) -> str:
    text = number(one.figure.value)
    return f"+{text}" if one.figure.value > 0 and text.strip("0.") else text
