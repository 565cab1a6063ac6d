"""The file ``model_facts.json``: what a run's network is, what for, from what data, how good, and where not."""

from typing import ClassVar

from pipeline.results.result import Figure, Result, ResultFile


class FactFigure(Result):
    """A figure of the summary.

    Attributes:
        name: What it is.
        figure: On test images.
    """

    name: str
    figure: Figure


class ModelFacts(ResultFile):
    """The summary of a run's network on one page.

    Attributes:
        run: Name of the run.
        started: When, ISO 8601 in UTC.
        commit: Of the code; ``unknown`` where it is not recorded.
        what_it_is: The network.
        intended_use: What it is for.
        not_for: What it is not for.
        data: What it learnt from.
        output: What it gives.
        figures: On test images.
        concepts: Which axes can be relied on.
        explanation: What carries its decisions.
        limits: Where it may fail.
        caution: That it is no medical device.
    """

    file: ClassVar[str] = "model_facts.json"
    version: ClassVar[int] = 2
    remedy: ClassVar[str] = "write the report again: dermaxis report {run}"

    run: str
    started: str
    commit: str
    what_it_is: str
    intended_use: str
    not_for: str
    data: str
    output: str
    figures: tuple[FactFigure, ...]
    concepts: str
    explanation: str
    limits: tuple[str, ...]
    caution: str
