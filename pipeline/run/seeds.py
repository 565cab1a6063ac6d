"""Name every random stream of a run, so that no two draws share their numbers unnoticed."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a stream of random numbers is for; its number enters the seed, so a number is never given twice.

    Example:
        >>> len({int(stream) for stream in Stream}) == len(Stream)
        True
    """

    WEIGHTS = 1
    """Initial weights of a network."""
    LIMIT = 2
    """Which images remain where the cohort is limited."""
    SPLIT = 3
    """Which group is in which part."""
    ORDER = 4
    """Order of the training images, by epoch."""
    AUGMENTATION = 5
    """Augmentation of the training images, by epoch and image."""
    EPOCH = 6
    """All that torch draws in training, by phase and epoch."""
    BOOTSTRAP = 7
    """Resamples of the test images' groups; the same for every figure, so that figures are paired."""
    CONCEPT_ONLY = 8
    """Folds of the classifiers that see labels alone."""
    PERMUTATIONS = 9
    """Permutations of axes for importance."""
    TCAV = 10
    """Examples of the concept activation vectors."""
    SANITY = 11
    """Randomised weights and labels of the sanity checks."""
    CASE_SELECTION = 12
    """Which test images are explained, where not all are."""
    CASES = 13
    """Permutations of the Shapley values of a run's cases."""
    SINGLE_CASE = 14
    """The same for one image on request, by the image's digest."""
    DISCOVERY = 15
    """Starts of the search for unnamed directions."""
    DISCOVERY_IMPORTANCE = 16
    """Permutations of unnamed directions."""
    SHORTCUTS = 17
    """Random directions and sign flips of the audit of artefacts."""
    REPAINTING = 18
    """Which lesions are repainted."""
    DONORS = 19
    """Which images give others what the layer has of an artefact."""
    COMPARISON = 20
    """Bootstrap of differences between runs."""


def random_generator(seed: int, stream: Stream, *index: int) -> np.random.Generator:
    """Return the generator of one stream.

    Args:
        seed: The run's seed, 0 or more.
        stream: What the numbers are for.
        index: Which of several like it: an epoch, an image.

    Returns:
        A generator that is independent of every other stream's and index's.

    Example:
        >>> first = random_generator(0, Stream.SPLIT).integers(100, size=3)
        >>> second = random_generator(0, Stream.SPLIT).integers(100, size=3)
        >>> (first == second).all()
        np.True_
    """
    return np.random.default_rng(_sequence(seed, stream, index))


def torch_seed(seed: int, stream: Stream, *index: int) -> int:
    """Return the number, 0 to 2^32 - 1, with which torch is seeded for one stream.

    Example:
        >>> torch_seed(0, Stream.WEIGHTS) == torch_seed(0, Stream.EPOCH)
        False
    """
    return int(_sequence(seed, stream, index).generate_state(1)[0])


def _sequence(seed: int, stream: Stream, index: tuple[int, ...]) -> np.random.SeedSequence:
    # As a spawn key: as entropy, [seed, stream] and [seed, stream, 0] would be the same, since numpy pads with zeros.
    return np.random.SeedSequence(seed, spawn_key=(int(stream), *index))
