"""The stages of a run, and what each of them needs; importing this costs nothing."""

from dataclasses import dataclass
from enum import StrEnum

from pipeline.config import RunSettings


class Stage(StrEnum):
    """The stages of a run, in order."""

    PLAIN = "plain"
    AUXILIARY = "auxiliary"
    WHITENED = "whitened"
    EVALUATION = "evaluation"
    EXPLANATION = "explanation"
    REPORT = "report"

    @property
    def mark(self) -> str:
        """The file of the run folder that says that the stage has finished."""
        return NEEDS[self].mark


@dataclass(frozen=True)
class StageNeeds:
    """What a stage needs besides the files of the stages before it.

    Attributes:
        mark: The file that it leaves when it has finished.
        images: Whether it reads the cohort's images, and runs networks.
        together: Whether several processes do it together.
    """

    mark: str
    images: bool
    together: bool


NEEDS = {
    Stage.PLAIN: StageNeeds("plain.json", images=True, together=True),
    Stage.AUXILIARY: StageNeeds("auxiliary.json", images=True, together=True),
    Stage.WHITENED: StageNeeds("model.json", images=True, together=True),
    Stage.EVALUATION: StageNeeds("evaluation.json", images=True, together=False),
    Stage.EXPLANATION: StageNeeds("explanation.json", images=True, together=False),
    Stage.REPORT: StageNeeds("report.html", images=False, together=False),
}
"""The report needs a run folder and nothing else: neither images nor torch."""


def stages(settings: RunSettings) -> tuple[Stage, ...]:
    """Return the stages that a run with these settings has, in order."""
    skipped = set() if settings.training.auxiliary.epochs > 0 else {Stage.AUXILIARY}
    return tuple(stage for stage in Stage if stage not in skipped)
