"""Drawing with the diagnoses in proportion: groups for the parts of a split, images for a subset.

Numbers in, numbers out; `pipeline.data.splits` gives them their names.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def assign_groups(counts: Counts, shares: Sequence[float], generator: np.random.Generator) -> Counts:
    """Divide groups among parts so that each part has its share of every diagnosis.

    Each part first gets a group of every diagnosis, the rarest diagnosis first and the last part first, a small group
    where there is one. The other groups follow, the largest first and in random order among equals, each to the part
    that lacks most of what the group holds.

    Args:
        counts: Images by group and diagnosis, groups x diagnoses.
        shares: The share of the images that each part should have, adding up to 1.
        generator: Gives the random order.

    Returns:
        The part of each group, from 0. A diagnosis with fewer groups than there are parts is missing from some part;
        one that shares its groups with others may be.

    Source: the greedy idea is that of Sechidis, Tsoumakas and Vlahavas 2011 (iterative stratification), there for
    single images with several labels; here for groups, and with the coverage of every part made certain first.
    """
    order = generator.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    assigned = np.full(len(counts), -1)
    _cover(assigned, counts, order[::-1], parts=len(shares))
    _fill(assigned, counts, order, np.asarray(shares, dtype=np.float64))
    return assigned


def proportional_quotas(sizes: Counts, total: int, *, least: int) -> Counts:
    """Decide how many to draw of each diagnosis, so that they add up to the total.

    Args:
        sizes: How many there are of each diagnosis.
        total: How many to draw, at most the sum of the sizes.
        least: How many to draw of a rare diagnosis, beyond its proportion, where there are so many and the total allows
            as many for every diagnosis.

    Returns:
        As many numbers, each at most the size, in proportion but for rounding and the least.
    """
    wanted = total * sizes / sizes.sum()
    floor = np.minimum(sizes, min(least, total // len(sizes)))
    quotas = np.maximum(floor, wanted.astype(np.int64))
    while quotas.sum() < total:
        quotas[np.argmax(np.where(quotas < sizes, wanted - quotas, -np.inf))] += 1
    while quotas.sum() > total:
        quotas[np.argmax(np.where(quotas > floor, quotas - wanted, -np.inf))] -= 1
    return quotas


def _cover(assigned: Counts, counts: Counts, order: Counts, *, parts: int) -> None:
    for diagnosis in np.argsort((counts > 0).sum(axis=0), kind="stable"):
        holders = order[counts[order, diagnosis] > 0]
        for part in reversed(range(parts)):
            free = holders[assigned[holders] < 0]
            if len(free) and part not in assigned[holders]:
                assigned[free[0]] = part


def _fill(assigned: Counts, counts: Counts, order: Counts, shares: NDArray[np.float64]) -> None:
    """Give each group that has no part to the one that lacks most; the number of images counts like a diagnosis."""
    content = np.column_stack([counts, counts.sum(axis=1)]).astype(np.float64)
    totals = content.sum(axis=0)
    lacking = np.outer(shares, totals)
    np.subtract.at(lacking, assigned[assigned >= 0], content[assigned >= 0])
    for group in order[assigned[order] < 0]:
        part = int(np.argmax(lacking @ (content[group] / totals)))
        assigned[group] = part
        lacking[part] -= content[group]
