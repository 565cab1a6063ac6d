"""Times two things against each other, taking turns, so that noise of the machine falls on both alike."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

Work = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """A candidate against a reference.

    Attributes:
        ratio: Median over rounds of candidate time over reference time in the same round.
        quartiles: Lower and upper quartile of those ratios.
        candidate: Median time of the candidate in seconds.
        reference: Median time of the reference in seconds.
        rounds: How many rounds there were.
    """

    ratio: float
    quartiles: tuple[float, float]
    candidate: float
    reference: float
    rounds: int


def compare(candidate: Work, reference: Work, *, rounds: int, repeat: int = 1) -> Comparison:
    """Run both in turn, the first to run alternating; two unmeasured runs of each come before.

    Args:
        candidate: What is judged.
        reference: What it is judged against.
        rounds: Number of measured pairs.
        repeat: Runs of each in a round, for work that is too short for the clock.
    """
    for work in (candidate, reference) * 2:
        seconds(work)
    pairs = []
    for number in range(rounds):
        order = (candidate, reference) if number % 2 == 0 else (reference, candidate)
        taken = {id(work): sum(seconds(work) for _ in range(repeat)) / repeat for work in order}
        pairs.append((taken[id(candidate)], taken[id(reference)]))
    return summarise(pairs)


def summarise(pairs: Sequence[tuple[float, float]]) -> Comparison:
    """The comparison that pairs of candidate and reference figures make."""
    ratios = [first / second for first, second in pairs]
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
    first, second = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Comparison(statistics.median(ratios), (low, high), first, second, len(pairs))


def seconds(work: Work) -> float:
    """How long one run takes, in seconds of the wall clock; waits for a GPU to finish."""
    finish()
    start = time.perf_counter()
    work()
    finish()
    return time.perf_counter() - start


def finish() -> None:
    """Wait until a GPU, if there is one, has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
