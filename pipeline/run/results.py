"""Everything that a finished run says, read at once: the only thing that reports, comparisons and exports read."""

from dataclasses import dataclass
from functools import cached_property

from concepts.errors import RunError
from concepts.example import AgreementEntry, ConceptEntry, Origin
from concepts.release import Release, read_release
from pipeline.config import RunSettings
from pipeline.results.evaluation import Evaluation
from pipeline.results.explanation import Explanation
from pipeline.results.names import Names, names_of
from pipeline.results.record import RunRecord
from pipeline.run.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """What one run says.

    Attributes:
        record: How it was made.
        settings: The experiment.
        release: The concept release that its axes were aligned with.
        evaluation: The networks on the test images, and the named axes.
        explanation: Importance, sanity, cases, failures, unnamed directions, shortcuts.
    """

    record: RunRecord
    settings: RunSettings
    release: Release
    evaluation: Evaluation
    explanation: Explanation

    @cached_property
    def names(self) -> Names:
        """What people call the concepts and diagnoses of the run."""
        return names_of(self.release)

    @property
    def entries(self) -> dict[str, ConceptEntry]:
        """What the release declares of each concept that has an axis, in axis order."""
        declared = {entry.id: entry for entry in self.release.concepts}
        return {concept: declared[concept] for concept in self.evaluation.axes.purity}

    @property
    def agreement(self) -> dict[str, AgreementEntry]:
        """How far readers agreed, by concept; empty where the examples do not come from readers of a store."""
        return {entry.concept: entry for entry in self.release.agreement or ()}

    @property
    def has_marked_concepts(self) -> bool:
        """Whether there are concepts that were marked where they are present and nowhere else."""
        return any(entry.origin is Origin.MARKED for entry in self.entries.values())


def read_results(run: RunFolder) -> RunResults:
    """Read a run that was evaluated and explained; needs its folder and nothing else.

    Raises:
        RunError: If a file is missing, damaged or of another format, or lacks something; names the file and the key.
        ReleaseError: If the release was altered.
    """
    evaluation, release = run.read(Evaluation), read_release(run.file("release.json"))
    undeclared = [concept for concept in evaluation.axes.purity if concept not in release.concept_ids]
    if undeclared:
        raise RunError(
            f"{run.file(evaluation.file)}: '{undeclared[0]}' is not in the run's release.json; evaluate the run again"
        )
    return RunResults(
        record=run.read(RunRecord),
        settings=run.settings(),
        release=release,
        evaluation=evaluation,
        explanation=run.read(Explanation),
    )
