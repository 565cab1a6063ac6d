"""Dermaxis is under Apache-2.0: what it installs asks no more of those who pass it on, unless its name says so."""

import pytest
from house.advisories import sentence
from house.licences import ROOT, closure, kind, licence, project, requirements

GPL = "gpl-dicom"
STATED_ELSEWHERE = {"axe-playwright-python": "MIT"}
"""Packages whose metadata names no licence; their repository does."""
TOOLS = {"krippendorff": "GPL-3.0, only compared with in a test; nothing of it is passed on"}
EXTRAS = [None, *sorted(project()["optional-dependencies"])]


@pytest.mark.parametrize("extra", EXTRAS)
def test_licences_of_an_extra_go_with_apache(extra):
    packages = closure(requirements(extra))
    kinds = {
        name: kind(STATED_ELSEWHERE.get(name) or licence(package))
        for name, package in packages.items()
        if package is not None
    }
    assert kinds
    odd = {name: each for name, each in kinds.items() if each in ("copyleft", "unknown")}
    allowed = set(TOOLS) if extra == "dev" else {"pylibjpeg-libjpeg"} if extra == GPL else set()
    assert set(odd) <= allowed


def test_every_extra_is_in_the_development_environment_but_the_gpl_one():
    named = {name for text in requirements("dev") if text.startswith("dermaxis[") for name in text[9:-1].split(",")}
    assert named == set(project()["optional-dependencies"]) - {"dev", GPL}


def test_the_page_lists_every_package_that_asks_for_its_source():
    page = (ROOT / "docs" / "reference" / "security-and-licences.md").read_text(encoding="utf-8")
    asking = {
        name
        for extra in EXTRAS
        for name, package in closure(requirements(extra)).items()
        if package is not None and kind(licence(package)) in ("weak copyleft", "copyleft")
    }
    assert asking
    assert {name for name in asking if f"`{name}`" not in page} == set()


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("MIT", "permissive"),
        ("Apache-2.0 OR BSD-2-Clause", "permissive"),
        ("LGPL-3.0-only", "weak copyleft"),
        ("MPL-2.0 AND MIT", "weak copyleft"),
        ("GPL-3.0-or-later", "copyleft"),
        ("GNU General Public License v3 (GPLv3)", "copyleft"),
        ("GNU Affero General Public License v3", "copyleft"),
        ("", "unknown"),
        ("Other/Proprietary License", "unknown"),
    ],
)
def test_kinds_of_licences(stated, expected):
    assert kind(stated) == expected


def test_packages_that_could_not_be_looked_up_are_not_called_safe():
    skipped = {"name": "a", "version": "1", "skip_reason": "not found"}
    package = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
    assert "no list of advisories can be reached" in sentence([skipped])
    assert sentence([skipped, package]).splitlines() == [
        "advisories: 1 of 2 packages looked up, 1 advisories",
        "b 2: CVE-1; mended in 3",
    ]
