"""Addresses of databases and servers: where they come from, and how they are shown.

An address may hold a secret, so it comes from the operator alone: an option, an environment variable, or a file that
either of them names as ``@FILE``. No setting of a run and no row of a job holds one. Whatever is shown of an address,
or of text that may quote one, goes through `blanked`.
"""

import os
import re
from pathlib import Path
from urllib.parse import unquote

from concepts.errors import SettingsError

BLANK = "***"
HARMLESS = frozenset(
    {"application_name", "connect_timeout", "dbname", "host", "hostaddr", "mode", "options", "port", "service"}
    | {"sslmode", "sslrootcert", "target_session_attrs", "uri", "user"}
)
"""Parameters of an address whose values may be shown; those of all others, known or not, are blanked."""
LONGEST_FILE = 4096
# Lengths are limited, so that a long text of odd signs takes no longer than another.
_SIGN_IN = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30}):(?P<slashes>/{2,4})(?P<sign_in>\S{0,1000})@")
_PARAMETER = re.compile(
    r"(?i)(?P<before>[?&;]|%3B|%26)(?P<name>[^\s=&;'\"<>]{1,80}?)(?P<equals>=|%3D)"
    r"(?P<value>(?:(?!%3B|%26)[^\s&;'\"<>])*)"
)
_WORD = re.compile(
    r"(?i)(?P<name>(?:password|passwd|passphrase|secret|token|api_?key|credential)\w{0,30}\s{0,3}[=:]\s{0,3})"
    r"(?P<value>'[^']*'|\"[^\"]*\"|[^\s&;,'\"<>]+)"
)


def blanked(text: str) -> str:
    """Blank the secrets in an address, or in text that holds addresses: passwords, tokens, and odd parameters.

    Of databases the user's name is still shown, of web servers it is not: there a token often stands in its place.

    Args:
        text: An address, a message, a command line, the end of a log.

    Example:
        >>> blanked("postgresql://reader:pa/ss@host/db?sslmode=require&password=x")
        'postgresql://reader:***@host/db?sslmode=require&password=***'
        >>> blanked("cannot reach https://TOKEN@host/mlflow")
        'cannot reach https://***@host/mlflow'
    """
    text = _SIGN_IN.sub(_without_sign_in, text)
    text = _PARAMETER.sub(_without_value, text)
    return _WORD.sub(rf"\g<name>{BLANK}", text)


def has_secret(address: str) -> bool:
    """Tell whether an address holds what `blanked` would blank.

    Example:
        >>> has_secret("postgresql://reader:x@host/db"), has_secret("postgresql://reader@host/db")
        (True, False)
    """
    _, is_address, rest = address.partition("://")
    # A password may hold blanks, which end an address in running text.
    return blanked(address) != address or bool(is_address and ":" in rest.rpartition("@")[0])


def operator_address(word: str | None, variable: str) -> str | None:
    """Return the address that the operator gives: by an option, else by an environment variable.

    Args:
        word: The option's value; ``@FILE`` stands for the first line of a file. None: it was not given.
        variable: Name of the environment variable, read in the same way.

    Returns:
        The address; None where neither gives one.

    Raises:
        SettingsError: If the file cannot be read or is empty.
    """
    word = word or os.environ.get(variable)
    if not word or not word.startswith("@"):
        return word or None
    try:
        with Path(word[1:]).expanduser().open(encoding="utf-8") as file:
            lines = file.read(LONGEST_FILE).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}: the file with the address cannot be read; check @FILE") from error
    if not lines or not lines[0].strip():
        raise SettingsError(f"{variable}: the file with the address is empty; write the address into its first line")
    return lines[0].strip()


def refuse_shown_secret(word: str | None, *, option: str, variable: str) -> None:
    """Refuse a secret on a command line, which everyone on the machine can read.

    Raises:
        SettingsError: If the option's value holds one; the value is not repeated.
    """
    if word and has_secret(word):
        raise SettingsError(
            f"{option}: an address with a password must not stand on the command line, where everyone on this machine "
            f"can read it; give it by {variable}, or by {option} @FILE"
        )


def _without_sign_in(match: re.Match[str]) -> str:
    user, colon, _ = match["sign_in"].partition(":")
    is_web = match["scheme"].lower().startswith(("http", "ws", "ftp"))
    sign_in = BLANK if is_web else f"{user}:{BLANK}" if colon else user
    return f"{match['scheme']}:{match['slashes']}{sign_in}@"


def _without_value(match: re.Match[str]) -> str:
    is_harmless = unquote(match["name"]).lower() in HARMLESS
    return (
        match[0] if is_harmless or not match["value"] else f"{match['before']}{match['name']}{match['equals']}{BLANK}"
    )
