"""The words that a setting may take, without the settings: importing them costs nothing."""

from enum import StrEnum

from pipeline.whitening.choices import Activation, Objective

__all__ = [
    "Activation",
    "Balance",
    "Baseline",
    "Fit",
    "FreeAxes",
    "Objective",
    "Placement",
    "Precision",
    "Schedule",
    "Start",
]


class Fit(StrEnum):
    """How an image of any shape becomes a square."""

    SQUASH = "squash"
    """Both sides are scaled to the square's, so shapes change."""
    CROP = "crop"
    """The largest square in the middle."""
    PAD = "pad"
    """The image with borders that repeat its edge."""


class Placement(StrEnum):
    """Where concept whitening goes, relative to the module that ``model.layer`` names."""

    REPLACE = "replace"
    """In the place of that module, a batch normalisation (the paper)."""
    INSERT = "insert"
    """After that module, with a linear readout, so that the network's function is unchanged at first."""


class Schedule(StrEnum):
    """How the rotation is found."""

    EXACT = "exact"
    """In closed form, on the statistics of all training images."""
    PAPER = "paper"
    """By the paper's stochastic updates."""


class Balance(StrEnum):
    """What is done about diagnoses of unequal frequency."""

    SAMPLER = "sampler"
    """Every diagnosis has the same share of an epoch's images."""
    WEIGHTS = "weights"
    """Rare diagnoses weigh more in the loss, by the inverse of their frequency."""
    NONE = "none"
    """Nothing."""


class Precision(StrEnum):
    """Arithmetic of the network in a training step; parameters, statistics and losses are in float32 in both."""

    FLOAT32 = "float32"
    """Seven decimal digits."""
    BFLOAT16 = "bfloat16"
    """Less than three decimal digits between layers; faster where the processor has it."""


class FreeAxes(StrEnum):
    """What evaluation makes of free axes that training dropped in some images."""

    EXPECTED = "expected"
    """Their expectation over what training saw: they weigh as often as they were kept."""
    FULL = "whole"
    """All of them, as in the images that kept them."""


class Start(StrEnum):
    """From which trained network the whitened phase goes on."""

    PLAIN = "plain"
    """The network that learnt the diagnosis alone."""
    AUXILIARY = "auxiliary"
    """The network that learnt diagnosis and concepts together, without whitening."""


class Baseline(StrEnum):
    """Comparisons that need a library of their own; linear probes and the best filter are always there."""

    TCAV = "tcav"
    """Testing with concept activation vectors on the plain network (needs the extra ``tcav``)."""
