"""Where the templates of the pages are, and how they are read."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parents[1] / "templates"


@cache
def environment() -> Environment:
    """Make the environment of all pages: text is escaped, and a name that a page lacks is an error."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def fill(template: str, **content: object) -> str:
    """Fill a template with content."""
    return environment().get_template(template).render(**content)


def style(*names: str) -> Markup:
    """Read style sheets as one."""
    return Markup("".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names))
