"""Licences of everything that an extra of Dermaxis installs, as the packages themselves state them."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PERMISSIVE = re.compile(
    r"apache|bsd|\bmit\b|\bisc\b|iscl|\bpsf|python software foundation|zlib|cc0|bsl-1\.0|mit-cmu|mit-0|unlicense|hpnd",
    re.IGNORECASE,
)
WEAK_COPYLEFT = re.compile(r"mpl|mozilla|lgpl|lesser general", re.IGNORECASE)
COPYLEFT = re.compile(r"(?<!l)gpl|(?<!lesser )general public|affero", re.IGNORECASE)


def project() -> Mapping[str, object]:
    """The project's entry in ``pyproject.toml``."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return dict(tomllib.load(file)["project"])


def requirements(extra: str | None) -> list[str]:
    """What the project itself, or one of its extras, asks for."""
    entries = project()
    return list(entries["dependencies"] if extra is None else entries["optional-dependencies"][extra])


def closure(wanted: Iterable[str]) -> dict[str, Distribution | None]:
    """Everything that requirements bring, by name; None: not installed here."""
    packages: dict[str, Distribution | None] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(requirement, extra) for requirement in map(Requirement, wanted) for extra in ("", *requirement.extras)]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name == "dermaxis" or (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            packages[name] = distribution(name)
        except PackageNotFoundError:
            packages[name] = None
            continue
        for text in packages[name].requires or ():
            asked = Requirement(text)
            if asked.marker is None or asked.marker.evaluate({"extra": extra}):
                waiting += [(asked, each) for each in ("", *asked.extras)]
    return packages


def licence(package: Distribution) -> str:
    """The licence that a package states: its expression, else its classifiers, else the first line of its text."""
    stated = package.metadata.get("License-Expression")
    if stated:
        return stated
    classifiers = [
        entry.split(" :: ")[-1]
        for entry in package.metadata.get_all("Classifier") or []
        if entry.startswith("License ::") and entry != "License :: OSI Approved"
    ]
    return "; ".join(classifiers) or (package.metadata.get("License") or "").partition("\n")[0][:100]


def kind(stated: str) -> str:
    """``permissive``, ``weak copyleft``, ``copyleft`` or ``unknown``; of several alternatives the mildest counts."""
    for word, pattern in (("weak copyleft", WEAK_COPYLEFT), ("copyleft", COPYLEFT), ("permissive", PERMISSIVE)):
        if pattern.search(stated):
            return word
    return "unknown"
