"""What people call concepts, diagnoses, artefacts and targets; the one place where identifiers become names."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from concepts.release import Release
from concepts.vocabulary import load_vocabulary
from pipeline.results.importance import OVERALL

ALL_DIAGNOSES = "all diagnoses"


@dataclass(frozen=True)
class Names:
    """The names of everything that a run mentions.

    Attributes:
        concepts: By identifier, the names that the run's release gives its concepts.
    """

    concepts: Mapping[str, str] = field(default_factory=dict)

    def concept(self, identifier: str) -> str:
        """Return the release's name of a concept or artefact, else the vocabulary's, else the identifier's words."""
        term = load_vocabulary().concepts.get(identifier)
        return self.concepts.get(identifier) or (term.name if term else identifier.replace("_", " "))

    def diagnosis(self, identifier: str) -> str:
        """Return the vocabulary's name of a diagnosis, else the identifier's words."""
        term = load_vocabulary().diagnoses.get(identifier)
        return term.name if term else identifier.replace("_", " ")

    def target(self, identifier: str) -> str:
        """Return the name of a diagnosis, or of all of them together."""
        return ALL_DIAGNOSES if identifier == OVERALL else self.diagnosis(identifier)


def names_of(release: Release) -> Names:
    """Return the names that go with a release."""
    return Names({entry.id: entry.name for entry in release.concepts})
