"""Documents lead where they say they lead, and the reference has every command and setting."""

import importlib.util
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from markdown import Markdown
from pydantic import BaseModel, Field

from clinician_ui.router import SCREENS
from concepts.store.roles import Role, is_permitted
from pipeline.config import RunSettings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README_WORDS = 1200
LINK = re.compile(r"\]\(([^)\s]+)\)")
EXTERNAL = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=["'](?:https?:)?//""", re.IGNORECASE)


def load_reference():
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = load_reference()
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "configs/LOG.md")]
PAGES += sorted(DOCS.rglob("*.md"))


@cache
def generated() -> dict[str, str]:
    return {path: write() for path, write in REFERENCE.GENERATED.items()} | REFERENCE.api_pages()


def anchors(text: str) -> set[str]:
    markdown = Markdown(extensions=["toc", "attr_list", "fenced_code"])
    return set(re.findall(r'id="([^"]+)"', markdown.convert(text)))


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def dead_links(page: Path, text: str) -> list[str]:
    """Return the relative links of a page that lead to no file, no generated page or no anchor."""
    dead = []
    for link in LINK.findall(without_code(text)):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        name = file.relative_to(DOCS).as_posix() if file.is_relative_to(DOCS) else ""
        is_page = file.suffix == ".md" and file.is_file()
        content = generated().get(name) or (file.read_text(encoding="utf-8") if is_page else "")
        if not (file.exists() or name in generated()) or (anchor and anchor not in anchors(content)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert not dead_links(page, page.read_text(encoding="utf-8"))


def test_a_dead_link_is_found():
    text = "[a](missing.md) [b](#nowhere) [c](README.md#limits) `[d](code.md)` [e](docs/reference/settings.md#nowhere)"
    assert dead_links(ROOT / "README.md", text) == ["missing.md", "#nowhere", "docs/reference/settings.md#nowhere"]


def test_the_readme_is_short_and_opens_with_the_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first_screen = "\n".join(text.splitlines()[:30])
    assert len(text.split()) < README_WORDS
    assert "make demo" in first_screen
    assert "make test" in first_screen
    assert "not a medical device" in first_screen


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"[\w/-]+\.md", text))
    written = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert written | set(REFERENCE.GENERATED) | set(REFERENCE.ROOT_PAGES.values()) == listed - {
        "reference/api/index.md"
    }


def test_the_site_fetches_nothing_by_its_settings():
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert settings["theme"]["font"] is False
    assert settings["strict"] is True
    assert settings["extra_css"] == ["site.css"]
    assert not re.search(r"url\(|@import", (DOCS / "site.css").read_text(encoding="utf-8"))
    assert "extra_javascript" not in settings
    assert not {"analytics", "consent"} & settings["extra"].keys()


def command_paths(app, path=("dermaxis",)):
    for command in app.registered_commands:
        yield (*path, command.name or command.callback.__name__.replace("_", "-"))
    for group in app.registered_groups:
        yield from command_paths(group.typer_instance, (*path, group.name))


def test_every_command_is_in_the_reference():
    from pipeline.cli.main import app

    headings = set(re.findall(r"^## (.+)$", generated()["reference/command-line.md"], flags=re.MULTILINE))
    assert {" ".join(path) for path in command_paths(app)} == headings


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("dermaxis run", ("--resume", "CONFIG", "--progress FILE")),
        ("dermaxis suppress", ("--epochs", "Concepts that have an axis, or artefacts", "0")),
        ("dermaxis concepts verify", ("DERMAXIS_STORE", "--root")),
        ("dermaxis accounts add", ("DERMAXIS_PASSWORD", "--role")),
    ],
)
def test_a_command_has_its_options_and_environment(command, words):
    section = generated()["reference/command-line.md"].split(f"## {command}\n")[1].split("\n## ")[0]
    assert not [word for word in words if word not in section]


def test_the_tool_has_its_options():
    assert "--behind-https" in generated()["reference/command-line.md"]


def setting_keys(model: type[BaseModel], path: tuple[str, ...] = ()):
    for name, field in model.model_fields.items():
        kinds = (field.annotation, *getattr(field.annotation, "__args__", ()))
        group = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if group is None:
            yield ".".join((*path, name))
        else:
            yield from setting_keys(group, (*path, name))


def test_every_setting_is_in_the_reference_once():
    rows = re.findall(r"^\| `([\w.]+)` \|", generated()["reference/settings.md"], flags=re.MULTILINE)
    keys = list(setting_keys(RunSettings))
    assert len(keys) > 70
    assert [rows.count(key) for key in keys] == [1] * len(keys)


def setting_row(key: str) -> list[str]:
    line = next(line for line in generated()["reference/settings.md"].splitlines() if line.startswith(f"| `{key}` |"))
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


@pytest.mark.parametrize(
    ("key", "allowed", "default"),
    [
        ("data.split.validation", "number, 0 to 1", "`0.16`"),
        ("data.limit", "integer, 1 to 10,000,000 or none", ""),
        ("training.batch_size", "integer, 2 to 65,536", "`32`"),
        ("training.learning_rate", "number, above 0, at most 1,000,000", "`0.0003`"),
        ("model.placement", "`replace`, `insert`", "`insert`"),
        ("model.turns", "`1`, `2`, `4`", "`1`"),
        ("transforms.flips", "true or false", "`true`"),
        ("evaluation.baselines", "list of: `tcav`", "`[]`"),
    ],
)
def test_a_setting_has_its_range_and_default(key, allowed, default):
    assert setting_row(key)[1:3] == [allowed, default]


def test_a_setting_has_its_meaning():
    assert "content digest" in setting_row("data.cache")[3]
    assert setting_row("model.placement")[3].startswith("Whether concept whitening takes the place of")


def test_words_that_a_setting_may_take_are_explained():
    text = generated()["reference/settings.md"]
    assert re.search(r"^### Placement$.*?^- `insert`", text, flags=re.MULTILINE | re.DOTALL)


def test_every_typed_result_is_in_the_reference():
    text = generated()["reference/results.md"]
    models = {
        name
        for module in REFERENCE.modules("pipeline.results")
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__module__ == module.__name__
        if kind.model_fields
    }
    assert models
    assert models == set(re.findall(r"^### (\w+)$", text, flags=re.MULTILINE))


class Point(BaseModel):
    """A point.

    Attributes:
        x: To the right,
            in mm.
    """

    x: float
    y: int | None = None
    """Upwards."""
    z: float = Field(0.0, description="Towards you.")


def test_texts_of_fields_are_taken_from_wherever_they_stand():
    assert REFERENCE.field_texts(Point) == {"x": "To the right, in mm.", "y": "Upwards.", "z": "Towards you."}
    assert REFERENCE.summary(Point) == "A point."


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 2}, "number, above 0, at most 2"),
        ({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0}, "number, at least 0, below 1"),
        ({"type": "array", "items": {"type": "string"}}, "list of: text"),
        ({"type": "array", "prefixItems": [{"type": "number"}]}, "list of: number"),
        ({"type": "object", "additionalProperties": {"$ref": "#/$defs/A"}}, "mapping to: `A`"),
        ({"type": "object"}, "mapping"),
        ({"allOf": [{"$ref": "#/$defs/B"}]}, "`u`, `v`"),
        ({"const": 3}, "`3`"),
        ({}, "any"),
    ],
)
def test_a_schema_is_said_in_words(entry, words):
    definitions = {"$defs": {"A": {"type": "object"}, "B": {"enum": ["u", "v"]}}}
    assert REFERENCE.describe(entry, definitions) == words


@pytest.mark.parametrize(
    ("source", "link", "site"),
    [
        ("docs/how-to/jobs.md", "../../configs/LOG.md#a", "../project/log.md#a"),
        ("docs/how-to/jobs.md", "compare.md", "compare.md"),
        ("docs/index.md", "how-to/jobs.md", "how-to/jobs.md"),
        ("CONTRIBUTING.md", "configs/LOG.md", "log.md"),
        ("README.md", "docs/pictures/case.png", "../pictures/case.png"),
        ("docs/index.md", "https://example.org/a.md", "https://example.org/a.md"),
    ],
)
def test_links_to_files_become_links_to_pages(source, link, site):
    assert REFERENCE.site_links(f"[x]({link})", source=source) == f"[x]({site})"


def test_the_table_of_roles_is_that_of_the_code():
    rows = re.findall(
        r"^\| (\w+) \| ([\w, ]+) \|", (DOCS / "how-to/curate.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    table = {role: set(pages.split(", ")) for role, pages in rows if role in set(Role)}
    assert table == {
        role: {screen.title for screen in SCREENS if is_permitted([role], screen.action)} for role in map(str, Role)
    }


def test_the_citation_has_what_its_format_asks_for():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["authors"] == [{"name": "The Dermaxis authors"}]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{citation["version"]}"' in project
    assert citation["references"][0]["doi"] == "10.1038/s42256-020-00265-z"


@pytest.mark.parametrize("package", ["concepts", "pipeline", "clinician_ui"])
def test_a_package_says_that_it_is_typed(package):
    assert (ROOT / package / "py.typed").is_file()


@pytest.mark.slow
def test_the_site_is_built_without_a_broken_link_and_loads_nothing_from_elsewhere(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    build = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert build.returncode == 0, build.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(PAGES)
    assert not [page for page in pages if EXTERNAL.search(page.read_text(encoding="utf-8"))]
    assert "whitening" in json.dumps(json.loads((tmp_path / "site/search/search_index.json").read_text()))
