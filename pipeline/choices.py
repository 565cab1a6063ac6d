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
    CROP = "crop"
    PAD = "pad"


class Placement(StrEnum):
    """Where concept whitening goes, relative to the module that ``model.layer`` names."""

    REPLACE = "replace"
    INSERT = "insert"


class Schedule(StrEnum):
    """How the rotation is found: closed form on exact statistics, or the paper's stochastic updates."""

    EXACT = "exact"
    PAPER = "paper"


class Balance(StrEnum):
    """What is done about diagnoses of unequal frequency."""

    SAMPLER = "sampler"
    WEIGHTS = "weights"
    NONE = "none"


class Precision(StrEnum):
    """Arithmetic of the network in a training step; parameters, statistics and losses are in float32 in both."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    """Faster where the processor has it; with less than three decimal digits between layers."""


class FreeAxes(StrEnum):
    """What evaluation makes of free axes that training dropped in some images."""

    EXPECTED = "expected"
    """Their expectation over what training saw: they weigh as often as they were kept."""
    WHOLE = "whole"
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
