"""Concept whitening as the settings ask for it, and what it refuses in the errors of the house."""

from collections.abc import Iterator
from contextlib import contextmanager

from concepts.errors import DataError, SettingsError
from pipeline.config import ConceptSettings
from pipeline.whitening.errors import LabelsError, WhiteningError
from pipeline.whitening.subspaces import Subspace


@contextmanager
def whitening_refusals() -> Iterator[None]:
    """Raise what the engine refuses as an error that the command line prints in one line; context or decorator.

    The engine knows torch alone, so its errors are ``ValueError``. Whoever calls it with what a user chose, wraps the
    call in this.

    Raises:
        DataError: If concept labels contradict the hierarchy of the concepts.
        SettingsError: If the network, the layer or the axes cannot be whitened as asked.

    Example:
        >>> from pipeline.whitening.layer import ConceptWhitening
        >>> try:
        ...     with whitening_refusals():
        ...         ConceptWhitening(1, ["pigment_network", "streaks"])
        ... except SettingsError as error:
        ...     print(error)
        2 concepts for 1 channels; name at most 1 axes
    """
    try:
        yield
    except LabelsError as error:
        raise DataError(str(error)) from error
    except WhiteningError as error:
        raise SettingsError(str(error)) from error


@whitening_refusals()
def subspaces_of(settings: ConceptSettings) -> tuple[Subspace, ...]:
    """Return the subspaces that the settings ask for.

    Raises:
        SettingsError: If a name occurs twice in a subspace, or nothing is in it but its parent.
    """
    return tuple(Subspace(parent, subspace.children, subspace.free) for parent, subspace in settings.subspaces.items())
