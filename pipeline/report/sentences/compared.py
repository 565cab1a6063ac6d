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
    signed,
)
from pipeline.results.comparison import (
    ComparedFigure,
    Comparison,
    FigureFamily,
    JudgedDifference,
    NoiseFinding,
    SeedAgreement,
    SeedSpread,
)

MOST_NAMED = 6
MARKED = (NoiseFinding.BEYOND, NoiseFinding.UNCORRECTED)
"""Findings that a table emphasises."""
COVERS = (
    "The intervals cover the choice of test images, not the chance of training: the same settings with another seed "
    "also differ. Whether a difference is due to a setting needs several seeds on either side."
)
FROM_INTERVALS = (
    "Differences in axes and importance are formed from the two figures' intervals, taken as independent. On the same "
    "images that makes them wider than need be, so they err towards noise."
)


def title(comparison: Comparison) -> str:
    """Say what the page is."""
    return f"{plural(len(comparison.runs), 'run')} compared"


def question(comparison: Comparison) -> str:
    """Say how the runs differ in their making."""
    if not comparison.settings:
        return "The runs have the same settings."
    keys = [row.key for row in comparison.settings]
    if comparison.only_seeds:
        return f"The runs differ in {enumeration(keys)} alone: what differs below is the chance of seeds and images."
    named = keys if len(keys) <= MOST_NAMED else [*keys[:MOST_NAMED], plural(len(keys) - MOST_NAMED, "more", "more")]
    return f"The runs differ in {plural(len(keys), 'setting')}: {enumeration(named)}."


def images(comparison: Comparison) -> str:
    """Say whether the test images are the same, and what follows."""
    first, *others = comparison.runs
    same = [run.letter for run in others if comparison.same_images[run.letter]]
    different = [run.letter for run in others if not comparison.same_images[run.letter]]
    clauses = []
    if same:
        clauses.append(
            f"{enumeration(same)} {_has(same)} the same {plural(first.test_images, 'test image')} as {first.letter}, "
            "so differences in diagnosis are paired, image group by image group"
        )
    if different:
        clauses.append(
            f"{enumeration(different)} {_has(different)} other test images than {first.letter}, so differences in "
            "diagnosis are unpaired and can show only what is larger than the luck of drawing images"
        )
    return f"{'; '.join(clauses)}."


def caption(comparison: Comparison, family: FigureFamily) -> str:
    """Say what a family's table shows, and how many comparisons there are."""
    unit = "Loss with the axis permuted over the loss without" if family.is_importance else family.unit
    return f"{unit}, with what differs from {comparison.runs[0].letter}. {multiplicity(family)}"


def no_effect(family: FigureFamily) -> str:
    """Say what the line of no effect is."""
    return "no effect (1)" if family.is_importance else "chance (0.5)"


def multiplicity(family: FigureFamily) -> str:
    """Say how many comparisons there are, and what was done about it."""
    if family.comparisons == 0:
        return "No difference can be formed here."
    expected = number(0.05 * family.comparisons, 1)
    return (
        f"{plural(family.comparisons, 'difference')} of this kind {_is(family.comparisons)} judged together: about "
        f"{expected} would leave 0 out of {_their(family.comparisons)} 95{SPACE}% interval by chance alone. "
        f"“{capital(NoiseFinding.BEYOND)}” is said only where the interval, widened for that number (Bonferroni), does "
        "not hold 0."
    )


def summary(comparison: Comparison) -> str:
    """Say what is beyond noise in diagnosis and axes, in one paragraph."""
    judged, beyond = _judged(comparison, importance=False)
    if beyond:
        return f"Of {plural(judged, 'difference')} in the AUC of diagnoses and concepts {beyond}."
    return (
        f"Of {plural(judged, 'difference')} in the AUC of diagnoses and concepts none is shown to be more than "
        "noise; the intervals say how large each may yet be."
    )


def importance_summary(comparison: Comparison) -> str:
    """Say what is beyond noise in importance; empty where nothing could be judged."""
    judged, beyond = _judged(comparison, importance=True)
    if not judged:
        return ""
    if beyond:
        return f"Of {plural(judged, 'difference')} in importance (loss ratios) {beyond}."
    return f"Of {plural(judged, 'difference')} in importance none is shown to be more than noise."


def difference(judged: JudgedDifference) -> str:
    """Write a difference with its interval, for a table's cell."""
    if judged.finding is NoiseFinding.UNKNOWN:
        return str(judged.finding)
    return f"{signed(judged.figure.value)} ({interval(judged.figure)})"


def agreement(row: SeedAgreement) -> str:
    """Say how far importance agrees over seeds, for one diagnosis."""
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
    """Say how a figure varies between seeds, for a table's cell: ``0.012, from 0.840 to 0.861``."""
    return f"{number(row.deviation)}, from {number(row.lowest)} to {number(row.highest)}"


def spreads(rows: Sequence[SeedSpread], *, are_same_images: bool = True) -> str:
    """Say what the spread between seeds is, and what it is not."""
    runs = plural(max(row.mean.n for row in rows), "run")
    chance = "on these test images" if are_same_images else "and of drawing test images, which differ between the runs"
    return (
        f"Mean over {runs} with the {INTERVAL} of the mean (Student's t), and the standard deviation between runs: the "
        f"chance of training, {chance}. A difference between two recipes that is not larger than this needs "
        "more seeds on either side."
    )


def ranks(row: ComparedFigure) -> str:
    """List a concept's rank in every run: ``1, 2, 1``."""
    return ", ".join("none" if rank is None else str(rank) for rank in row.ranks)


def limits(comparison: Comparison) -> tuple[str, ...]:
    """List what must be kept in mind."""
    runs = comparison.runs
    sentences = [
        COVERS,
        FROM_INTERVALS,
        ""
        if all(comparison.same_images.values())
        else "Where test images differ, a difference mixes that of the networks with that of the images.",
        "The concept sets differ: a concept that one run lacks is listed, and not compared there."
        if len({run.concepts for run in runs}) > 1
        else "",
        "The layers differ: importance is a loss ratio at a layer, and layers carry different shares of it."
        if len({run.layer for run in runs}) > 1
        else "",
        f"Differences in the AUC of diagnoses come from {count(comparison.resamples)} resamples of the test images, "
        "drawn by group.",
    ]
    return tuple(filter(None, sentences))


def _judged(comparison: Comparison, *, importance: bool) -> tuple[int, str]:
    """Count the differences that could be judged, and name those beyond noise; empty where there are none."""
    differences = comparison.differences(importance=importance)
    judged = sum(difference.finding is not NoiseFinding.UNKNOWN for *_, difference in differences)
    beyond = [
        f"{family.title.split(':')[0]}, {row.name}, {letter} minus {comparison.runs[0].letter} "
        f"{estimate(difference.figure)}"
        for family, row, letter, difference in differences
        if difference.finding is NoiseFinding.BEYOND
    ]
    if not beyond:
        return judged, ""
    more = f", and {count(len(beyond) - MOST_NAMED)} more below" if len(beyond) > MOST_NAMED else ""
    return judged, f"{count(len(beyond))} {_is(len(beyond))} beyond noise: {'; '.join(beyond[:MOST_NAMED])}{more}"


def _has(letters: Sequence[str]) -> str:
    return "has" if len(letters) == 1 else "have"


def _is(amount: int) -> str:
    return "is" if amount == 1 else "are"


def _their(amount: int) -> str:
    return "its" if amount == 1 else "their"
