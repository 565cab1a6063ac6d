"""Which paths in settings are followed: those that the caller or the operator gave, not those that a stranger wrote.

The settings of a job come from whoever fills in the page Runs, and a run folder may have come from anyone. What stands
in them is checked here before anything opens a path.
"""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path

from pydantic import BaseModel

from concepts.errors import RunError, SettingsError
from concepts.release import split_word
from pipeline.config import RunSettings, change_settings, is_path

NOT_FOLLOWED = ("runs", "model.weights")
"""Paths that only the training of a new run opens, so that in the settings of a run that exists they lead nowhere."""


def path_keys(group: type[BaseModel] = RunSettings, prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of each setting that is a path.

    Example:
        >>> list(path_keys())
        ['runs', 'data.root', 'data.cache', 'concepts.release', 'model.weights']
    """
    for name, field in group.model_fields.items():
        if is_path(field.annotation):
            yield f"{prefix}{name}"
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from path_keys(field.annotation, f"{prefix}{name}.")


def is_inside(path: Path, folders: Sequence[Path]) -> bool:
    """Tell whether a path, links followed, lies in one of some folders or is one of them."""
    try:
        resolved = path.expanduser().resolve()
        return any(resolved.is_relative_to(folder.expanduser().resolve()) for folder in folders)
    except (OSError, RuntimeError):  # a name too long, links in a circle, or the home of nobody
        return False


def refuse_other_paths(settings: RunSettings, given: RunSettings, *, roots: Sequence[Path]) -> None:
    """Refuse the settings of a job that lead out of the folders that the operator opened.

    Args:
        settings: What was asked for.
        given: What the operator gave: the configuration as it lies on the disk. Its paths are allowed.
        roots: The folders that the operator opened to jobs (``--data-roots``).

    Raises:
        SettingsError: If a path lies elsewhere; names the setting, not the path.
    """
    for key, path in _strange(settings, given):
        # What is not absolute would lie elsewhere for the worker.
        if not path.is_absolute() or not is_inside(path, roots):
            raise SettingsError(
                f"{key}: the path is not in a folder that is open to jobs; give the whole path of a folder that is, or "
                "ask the operator to open yours (--data-roots)"
            )


def followed_settings(settings: RunSettings, folder: Path, paths: Sequence[str] = ()) -> RunSettings:
    """Return the settings of a run as they may be followed: no path leads out of its folder unless the caller names it.

    Args:
        settings: As they stand in the run's folder, which may have come from anyone.
        folder: The run's folder.
        paths: What the caller named, e.g. ``data.root=/data/isic``.

    Raises:
        SettingsError: If the caller named something else than a path.
        RunError: If a path leads out of the folder and the caller did not name it.
    """
    followed = change_settings(settings, _only_paths(paths))
    named = change_settings(RunSettings(), paths)
    for key, path in _strange(followed, named):
        if key not in NOT_FOLLOWED and not is_inside(path, [folder]):
            raise RunError(
                f"{folder}: {key} in its settings leads out of the run's folder, and is followed only if you name it; "
                f"give the command {key}=PATH"
            )
    return followed


def data_folders(paths: Sequence[str]) -> tuple[Path, ...]:
    """Return where the images of a run may lie that came from anyone: in the default cache, and where the caller says.

    Raises:
        SettingsError: If the caller named something else than a path.

    Example:
        >>> data_folders(["data.root=/data/isic"])
        (PosixPath('~/.cache/dermaxis'), PosixPath('/data/isic'))
    """
    data = change_settings(RunSettings(), _only_paths(paths)).data
    return (data.cache,) if data.root is None else (data.cache, data.root)


def _only_paths(paths: Sequence[str]) -> Sequence[str]:
    keys = [key for key in path_keys() if key not in NOT_FOLLOWED]
    if unknown := sorted({path.partition("=")[0] for path in paths}.difference(keys)):
        raise SettingsError(
            f"{unknown[0]!r:.60}: a run keeps its settings; you can only name its paths: {', '.join(keys)}"
        )
    return paths


def _strange(settings: RunSettings, trusted: RunSettings) -> Iterator[tuple[str, Path]]:
    """Yield the paths that no trusted settings have; NAME@VERSION is no path but a release of the operator's store."""
    for key in path_keys():
        read = attrgetter(key)
        path = read(settings)
        is_release = key == "concepts.release" and split_word(str(path)) is not None and not path.exists()
        if path is not None and not is_release and path != read(trusted):
            yield key, path
