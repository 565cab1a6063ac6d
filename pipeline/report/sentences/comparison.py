"""Every sentence about the numbers of a comparison. None says more than its interval allows."""

from collections.abc import Sequence

from pipeline.report.sentences.numerals import (
    INTERVAL,
    SPACE,
    capital,
    count,
    enumeration,
    estimate,
    interval,
    number,
    percent,
    plural,
)
from pipeline.results.comparison import Comparison, Difference, Family, Finding, Method, Row, SeedSpread, Stability

MOST_NAMED = 6
MARKS = {Finding.BEYOND: "▲▼", Finding.UNCORRECTED: "△▽", Finding.WITHIN: "", Finding.UNKNOWN: ""}
METHODS = {
    Method.PAIRED: "paired: both networks on the same resamples of the same test images",
    Method.UNPAIRED: "unpaired: the test images are not the same",
    Method.FROM_INTERVALS: "from the two intervals, taken as independent",
}
COVERS = (
    "The intervals cover which test images were drawn, not the chance in training: the same settings with another seed "
    "also differ. Whether a difference is due to a setting needs several seeds on either side."
)
FROM_INTERVALS = (
    "These differences are formed from the two figures' intervals, taken as independent; on the same images that makes "
    "them wider than need be, so they err towards noise."
)


def title(comparison: Comparison) -> str:
    """What the page is."""
    return f"{plural(len(comparison.runs), 'run')} compared"


def question(comparison: Comparison) -> str:
    """How the runs differ in their making."""
    if not comparison.settings:
        return "The runs have the same settings."
    keys = [row.key for row in comparison.settings]
    if comparison.seeds:
        return f"The runs differ in {enumeration(keys)} alone: what differs below is the chance of seeds and images."
    shown = keys if len(keys) <= MOST_NAMED else [*keys[:MOST_NAMED], plural(len(keys) - MOST_NAMED, "more")]
    return f"The runs differ in {plural(len(keys), 'setting')}: {enumeration(shown)}."


def images(comparison: Comparison) -> str:
    """Whether the test images are the same, and what follows."""
    first = comparison.runs[0]
    others = comparison.runs[1:]
    same = [run.letter for run in others if comparison.same_images[run.letter]]
    different = [run.letter for run in others if not comparison.same_images[run.letter]]
    said = []
    if same:
        said.append(
            f"{enumeration(same)} {_has(same)} the same {plural(first.test_images, 'test image')} as {first.letter}, "
            "so differences in diagnosis are paired, image group by image group"
        )
    if different:
        said.append(
            f"{enumeration(different)} {_has(different)} other test images than {first.letter}, so differences in "
            "diagnosis are unpaired and can show only what is larger than the luck of drawing images"
        )
    return f"{'; '.join(said)}."


def multiplicity(family: Family) -> str:
    """How many comparisons there are, and what was done about it."""
    if family.comparisons == 0:
        return "No difference can be formed here."
    expected = number(0.05 * family.comparisons, 1)
    return (
        f"{plural(family.comparisons, 'difference')} of this kind {_is(family.comparisons)} judged together: about "
        f"{expected} would leave 0 out of {_their(family.comparisons)} 95{SPACE}% interval by chance alone. "
        f"“{capital(Finding.BEYOND)}” is said only where the interval, widened for that number (Bonferroni), does "
        "not hold 0."
    )


def summary(comparison: Comparison) -> str:
    """What is beyond noise in diagnosis and axes, in one paragraph."""
    found = [one for one in comparison.findings(Finding.BEYOND) if not one[0].key.startswith("importance")]
    judged = sum(
        one is not None and one.finding is not Finding.UNKNOWN
        for family in comparison.families
        if not family.key.startswith("importance")
        for row in family.rows
        for one in row.differences
    )
    if not found:
        return (
            f"Of {plural(judged, 'difference')} in the AUC of diagnoses and concepts none is shown to be more than "
            "noise; the intervals say how large each may yet be."
        )
    return f"Of {plural(judged, 'difference')} in the AUC of diagnoses and concepts {_beyond(found)}."


def importance_summary(comparison: Comparison) -> str:
    """What is beyond noise in importance."""
    found = [one for one in comparison.findings(Finding.BEYOND) if one[0].key.startswith("importance")]
    judged = sum(
        one is not None and one.finding is not Finding.UNKNOWN
        for family in comparison.families
        if family.key.startswith("importance")
        for row in family.rows
        for one in row.differences
    )
    if not judged:
        return ""
    if not found:
        return f"Of {plural(judged, 'difference')} in importance none is shown to be more than noise."
    return f"Of {plural(judged, 'difference')} in importance (loss ratios) {_beyond(found)}."


def difference(one: Difference | None) -> str:
    """A difference with its interval, for a table's cell."""
    if one is None:
        return "no such figure"
    if one.finding is Finding.UNKNOWN:
        return str(one.finding)
    return f"{signed(one.figure.value)} ({interval(one.figure)})"


def signed(value: float, decimals: int = 3) -> str:
    """A number with its sign, plus too."""
    text = number(value, decimals)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def stability(row: Stability) -> str:
    """How far importance agrees over seeds, for one diagnosis."""
    runs = row.top_share.n
    spread = "" if row.pairs == 1 else f", from {number(row.lowest, 2)} to {number(row.highest, 2)}"
    often = (
        f"{row.top} is first in {count(round(row.top_share.value * runs))} of {plural(runs, 'run')} "
        f"({percent(row.top_share.value)}, {INTERVAL} {percent(row.top_share.low)} to {percent(row.top_share.high)})"
    )
    return (
        f"For {row.target}, the order of {plural(row.concepts, 'concept')} agrees between runs with Kendall's tau "
        f"{number(row.tau, 2)} (mean over {plural(row.pairs, 'pair')} of runs{spread}); {often}."
    )


def spread(row: SeedSpread) -> str:
    """How a figure varies between seeds, for a table's cell: ``0.012, from 0.840 to 0.861``."""
    return f"{number(row.deviation)}, from {number(row.lowest)} to {number(row.highest)}"


def spreads(rows: Sequence[SeedSpread], *, are_same_images: bool = True) -> str:
    """What the spread between seeds is, and is not."""
    runs = plural(max(row.mean.n for row in rows), "run")
    chance = "on these test images" if are_same_images else "and of drawing test images, which differ between the runs"
    return (
        f"Mean over {runs} with the {INTERVAL} of the mean (Student's t), and the standard deviation between runs: the "
        f"chance of training, {chance}. A difference between two recipes that is not larger than this needs "
        "more seeds on either side."
    )


def ranks(row: Row) -> str:
    """A concept's rank in every run: ``1, 2, 1``."""
    return ", ".join("none" if rank is None else str(rank) for rank in row.ranks)


def limits(comparison: Comparison) -> Sequence[str]:
    """What must be kept in mind."""
    said = [COVERS, FROM_INTERVALS]
    if not all(comparison.same_images.values()):
        said.append("Where test images differ, a difference mixes that of the networks with that of the images.")
    if len({run.concepts for run in comparison.runs}) > 1:
        said.append("The concept sets differ: a concept that one run lacks is named there, and not compared.")
    if len({run.layer for run in comparison.runs}) > 1:
        said.append(
            "The layers differ: importance is a loss ratio at a layer, and layers carry different shares of it."
        )
    return said


def _beyond(found: Sequence[tuple[Family, Row, Difference]]) -> str:
    said = "; ".join(_one(*one) for one in found[:MOST_NAMED])
    more = f", and {count(len(found) - MOST_NAMED)} more below" if len(found) > MOST_NAMED else ""
    return f"{count(len(found))} {_is(len(found))} beyond noise: {said}{more}"


def _one(family: Family, row: Row, one: Difference) -> str:
    where = family.title.split(":")[0]
    return f"{where}, {row.name}, {one.letter} minus A {estimate(one.figure)}"


def _has(letters: Sequence[str]) -> str:
    return "has" if len(letters) == 1 else "have"


def _is(amount: int) -> str:
    return "is" if amount == 1 else "are"


def _their(amount: int) -> str:
    return "its" if amount == 1 else "their"
