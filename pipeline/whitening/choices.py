"""The words by which a caller chooses: how maps are pooled, and what an axis is aligned with."""

from enum import StrEnum


class Activation(StrEnum):
    """How the map of an axis becomes one number per image.

    Example:
        >>> Activation("max") is Activation.MAX
        True
    """

    MEAN = "mean"
    """The mean over all positions."""
    MAX = "max"
    """The largest position."""
    POSITIVE_MEAN = "positive_mean"
    """The mean of the positive positions."""
    POOL_MAX = "pool_max"
    """The mean, over windows of 3 x 3 positions, of the largest value in each."""


class Objective(StrEnum):
    """Which statistics of a concept its axis is aligned with.

    Example:
        >>> [objective.value for objective in Objective]
        ['positives', 'contrast', 'regions']
    """

    POSITIVES = "positives"
    """The mean over the images that show the concept (the paper)."""
    CONTRAST = "contrast"
    """The mean over the images that show it, less that over the images that do not."""
    REGIONS = "regions"
    """The mean inside the concept's masks, less that outside them."""
