"""Every sentence of the report about subgroups, and how far concept labels alone go."""

from dataclasses import dataclass

from concepts.statistics.estimate import Estimate, is_known
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
    plural,
    share,
    signed,
)
from pipeline.results.comparison import IntervalMethod, JudgedDifference, NoiseFinding, judge_difference
from pipeline.results.trust import ConceptOnlyResult, LabelCeiling, Subgroup, SubgroupsResult

ATTRIBUTES = {"skin tone": "skin tone", "age": "age", "sex": "sex", "site": "site of the lesion"}


@dataclass(frozen=True)
class SubgroupRow:
    """One subgroup with what its difference amounts to.

    Attributes:
        attribute: What divides the patients.
        value: Which part of them.
        figures: The network in it.
        difference: Macro AUC minus that of all others, judged among all subgroups; None where it cannot be formed.
    """

    attribute: str
    value: str
    figures: Subgroup
    difference: JudgedDifference | None

    @property
    def name(self) -> str:
        """The subgroup for people."""
        return f"{ATTRIBUTES.get(self.attribute, self.attribute)} {self.value}"


def subgroup_rows(result: SubgroupsResult) -> tuple[SubgroupRow, ...]:
    """Judge every subgroup's difference among all that can be formed."""
    subgroups = [
        (attribute, value, figures) for attribute, part in result.subgroups.items() for value, figures in part.items()
    ]
    comparisons = sum(is_known(figures.difference) for _, _, figures in subgroups)
    return tuple(
        SubgroupRow(
            attribute,
            value,
            figures,
            judge_difference(figures.difference, IntervalMethod.UNPAIRED, comparisons=comparisons)
            if is_known(figures.difference)
            else None,
        )
        for attribute, value, figures in subgroups
    )


def subgroups(result: SubgroupsResult) -> str:
    """Say what the differences between subgroups amount to, given how many there are."""
    rows = subgroup_rows(result)
    if not rows:
        return "Neither age, sex, site nor skin tone is known of these images, so there are no subgroups to compare."
    differences = [(row, row.difference) for row in rows if row.difference is not None]
    if not differences:
        return (
            f"No subgroup has the {count(result.fewest)} images, and enough of every diagnosis, that a figure needs; "
            "whether the network does worse in some patients is not known."
        )
    comparisons = len(differences)
    sentences = [
        f"{plural(comparisons, 'difference')} between a subgroup and all other images "
        f"{'is' if comparisons == 1 else 'are'} judged together."
    ]
    beyond = [
        f"{row.name} ({signed(difference.figure.value)}, {INTERVAL} {interval(difference.figure)})"
        for row, difference in differences
        if difference.finding is NoiseFinding.BEYOND
    ]
    if beyond:
        sentences.append(f"Beyond chance after correction for their number: {enumeration(beyond)}.")
    else:
        sentences.append(
            "After correction for their number none is shown to be more than chance; the intervals say how large each "
            "may yet be, and small subgroups can hide large ones."
        )
    single = [row.name for row, difference in differences if difference.finding is NoiseFinding.UNCORRECTED]
    if single:
        is_one = len(single) == 1
        sentences.append(
            f"{capital(enumeration(single))} {'differs' if is_one else 'differ'} by {'its' if is_one else 'their'} own "
            f"{INTERVAL}, but about {number(0.05 * comparisons, 1)} of so many would by chance alone."
        )
    return " ".join(sentences)


def subgroup_limits(result: SubgroupsResult) -> str:
    """Say what is left out, and that subgroups differ in more than their name."""
    unknown = [
        f"{ATTRIBUTES.get(attribute, attribute)} in {plural(images, 'image')}"
        for attribute, images in result.unknown.items()
        if images
    ]
    few = sum(row.figures.reason is not None for row in subgroup_rows(result))
    sentences = [
        f"Too few for a figure: fewer than {count(result.fewest)} images, or fewer than 5 of a diagnosis"
        f" ({plural(few, 'subgroup')} here).",
        f"Not known: {enumeration(unknown)}." if unknown else "",
        "Subgroups differ in more than their name: patients of one age have other lesions, on other sites. A "
        "difference is not thereby the effect of age, sex, site or skin tone.",
    ]
    return " ".join(filter(None, sentences))


def subgroup_difference(row: SubgroupRow) -> str:
    """Give a subgroup's difference from all others, for the first line of a table's cell."""
    return NOT_ASSESSABLE if row.difference is None else signed(row.difference.figure.value)


def subgroup_finding(row: SubgroupRow) -> str:
    """Say what the difference amounts to."""
    return "" if row.difference is None else str(row.difference.finding)


def ceiling(labels: LabelCeiling | None) -> str:
    """State the ceiling of any classifier that sees only the labels."""
    if labels is None:
        return "No image has all its concept labels, so no ceiling can be stated."
    return (
        f"In {share(labels.conflicting)} of the images the same concepts were recorded as in an image with another "
        f"diagnosis. No rule from these labels alone can be right in more than {share(labels.accuracy)} of these "
        f"images (balanced over diagnoses: {share(labels.balanced_accuracy)}). The labels form "
        f"{plural(labels.profiles, 'different profile')}; {count(labels.single)} of them occur in one image only and "
        "cannot conflict: with more images the ceiling comes down."
    )


def label_classifier(labels: ConceptOnlyResult) -> str:
    """Compare a plain classifier of the labels with the network."""
    if labels.logistic is None:
        return "No classifier of the labels was fitted: a diagnosis has too few patients or groups."
    overall = (
        "A plain logistic regression on the labels, each image judged by a model that saw no image of its group, "
        f"reaches a macro AUC of {estimate(labels.logistic.macro_auc)} over all images and a balanced accuracy of "
        f"{share(labels.logistic.balanced_accuracy)}."
    )
    test = labels.test
    if test is None or not is_known(test.difference):
        return overall
    return (
        f"{overall} On the test images it reaches {number(test.logistic.value)}, the whitened network, which sees only "
        f"the picture, {number(test.network.value)}; difference {estimate(test.difference)}: "
        f"{_against(test.difference)}."
    )


def label_limits(labels: ConceptOnlyResult, *, marked: bool) -> str:
    """Say what these labels are.

    Args:
        labels: The result.
        marked: Whether there are concepts that were marked where they are present and nowhere else.
    """
    sentences = [
        "Labels are what people (or, on a phantom, its rule) said was there; the network has to see it.",
        "Where nothing was marked the concept counts as absent here, though not marked is not absent; so the true "
        "ceiling may lie elsewhere."
        if marked
        else "",
        f"{plural(labels.left_out, 'image')} with a label that is not known {'is' if labels.left_out == 1 else 'are'} "
        "left out."
        if labels.left_out
        else "",
    ]
    return " ".join(filter(None, sentences))


def _against(difference: Estimate) -> str:
    if difference.low > 0:
        return "the network finds more in the pictures than these labels say"
    if difference.high < 0:
        return "the labels say more than the network finds in the pictures"
    return f"the two are not told apart at 95{SPACE}%"
