"""The look: colours, stated once for light and for dark.

The contrast of text on its background is at least 4.5 (WCAG AA); a test measures it.
"""

from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from concepts.judgement import Verdict

TOKENS: Mapping[str, Mapping[str, str]] = {
    "light": {
        "background": "#ffffff",
        "panel": "#f3f5f6",
        "text": "#1a2228",
        "quiet": "#55626b",
        "line": "#d5dbdf",
        "accent": "#0b6b73",
        "on-accent": "#ffffff",
        "present": "#0b6b73",
        "absent": "#8a4a12",
        "uncertain": "#6b4fa0",
        "not_assessable": "#55626b",
        "alert": "#a3281f",
        "alert-panel": "#fbeceb",
    },
    "dark": {
        "background": "#14191d",
        "panel": "#1f262c",
        "text": "#e8edf0",
        "quiet": "#a3b0b8",
        "line": "#3a454d",
        "accent": "#0e7c86",
        "on-accent": "#ffffff",
        "present": "#5cc4cc",
        "absent": "#e5a46b",
        "uncertain": "#b9a2e8",
        "not_assessable": "#a3b0b8",
        "alert": "#f2938c",
        "alert-panel": "#3a2120",
    },
}
SYMBOLS: Mapping[Verdict, str] = {
    Verdict.PRESENT: "●",
    Verdict.ABSENT: "○",
    Verdict.UNCERTAIN: "◐",
    Verdict.NOT_ASSESSABLE: "⊘",
}
STYLE = Path(__file__).with_name("style.css")


def streamlit_options() -> dict[str, str | bool]:
    """Return the tokens as Streamlit's own settings, so that its widgets look the same."""
    options: dict[str, str | bool] = {}
    for theme, token in TOKENS.items():
        names = {"primaryColor": "accent", "backgroundColor": "background", "textColor": "text", "borderColor": "line"}
        options |= {f"theme.{theme}.{option}": token[name] for option, name in names.items()}
        options[f"theme.{theme}.secondaryBackgroundColor"] = token["panel"]
        options[f"theme.{theme}.linkColor"] = token["present"]
    return options | {"theme.baseRadius": "6px", "theme.showWidgetBorder": True}


def apply_theme() -> None:
    """Put the tokens and the style sheet into the page."""
    tokens = TOKENS["dark" if st.context.theme.type == "dark" else "light"]
    variables = "".join(f"--dx-{name.replace('_', '-')}: {value};" for name, value in tokens.items())
    st.html(f"<style>:root {{ {variables} }}\n{STYLE.read_text(encoding='utf-8')}</style>")
