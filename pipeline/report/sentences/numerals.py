"""How numbers are written for people: decimals, signs, intervals, shares, counts and lists."""

from collections.abc import Sequence
from datetime import UTC, datetime

from concepts.statistics.estimate import Estimate, is_known

MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NO-BREAK SPACE}"
INTERVAL = f"95{SPACE}% interval"
UNKNOWN = "\N{EN DASH}"
NOT_ASSESSABLE = "not assessable"
TIMES = "\N{MULTIPLICATION SIGN}"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None, decimals: int = 3) -> str:
    """Write a number with a true minus sign and never a negative zero; a dash for what is not known."""
    if value is None or value != value:
        return UNKNOWN
    text = f"{value:.{decimals}f}"
    return text.replace("-", MINUS) if float(text) else f"{0:.{decimals}f}"


def signed(value: float, decimals: int = 3) -> str:
    """Write a number with its sign, plus too; zero has none."""
    text = number(value, decimals)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def significant(value: float) -> str:
    """Write a number of unknown magnitude with two significant digits: ``0.084``, ``3.1 × 10⁻⁶``."""
    if value != value:
        return UNKNOWN
    if value == 0 or abs(value) >= 1e-3:
        return f"{value:.2g}".replace("-", MINUS)
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits} {TIMES} 10{str(int(exponent)).translate(SUPERSCRIPTS)}".replace("-", MINUS)


def plain_text(text: str) -> str:
    """Prepare a phrase for a terminal or file: with the hyphen as minus sign and ordinary spaces."""
    return text.replace(MINUS, "-").replace(SPACE, " ")


def moment(timestamp: str) -> str:
    """Write an ISO 8601 time for people: ``1 January 2026, 09:30 UTC``."""
    try:
        when = datetime.fromisoformat(timestamp).astimezone(UTC)
    except ValueError:
        return timestamp
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def count(value: int) -> str:
    """Write a whole number with a comma between thousands."""
    return f"{value:,}"


def percent(value: float | None, decimals: int = 0) -> str:
    """Write a share from 0 to 1 in percent."""
    return UNKNOWN if value is None or value != value else f"{number(100 * value, decimals)}{SPACE}%"


def interval(figure: Estimate, decimals: int = 3) -> str:
    """Write the ends of an interval: ``0.861 to 0.918``."""
    return f"{number(figure.low, decimals)} to {number(figure.high, decimals)}"


def estimate(figure: Estimate, decimals: int = 3) -> str:
    """Write a figure with its interval and n: ``0.890 (95 % interval 0.861 to 0.918, n = 520)``."""
    if not is_known(figure):
        return f"{NOT_ASSESSABLE} ({cases(figure)})"
    return f"{number(figure.value, decimals)} ({INTERVAL} {interval(figure, decimals)}, {cases(figure)})"


def cases(figure: Estimate) -> str:
    """Write the number of cases behind a figure: ``n = 520``."""
    return f"n{SPACE}={SPACE}{count(figure.n)}"


def ends(figure: Estimate, decimals: int = 3) -> str:
    """Write the interval alone, for the second line of a cell: ``(0.861 to 0.918)``; empty where not known."""
    return f"({interval(figure, decimals)})" if is_known(figure) else ""


def value(figure: Estimate, decimals: int = 3) -> str:
    """Write the figure alone, for the first line of a table's cell."""
    return number(figure.value, decimals) if is_known(figure) else NOT_ASSESSABLE


def short(figure: Estimate, decimals: int = 3) -> str:
    """Write a figure with its interval, for a table's cell: ``0.890 (0.861 to 0.918)``."""
    if not is_known(figure):
        return NOT_ASSESSABLE
    return f"{number(figure.value, decimals)} ({interval(figure, decimals)})"


def share(figure: Estimate) -> str:
    """Write a share with its interval, in percent."""
    if not is_known(figure):
        return f"{NOT_ASSESSABLE} ({cases(figure)})"
    ends = f"{number(100 * figure.low, 0)} to {percent(figure.high)}"
    return f"{percent(figure.value)} ({INTERVAL} {ends}, {cases(figure)})"


def enumeration(words: Sequence[str]) -> str:
    """List words within a sentence: ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else "none"


def capital(text: str) -> str:
    """Put the first letter in upper case and leave all others as they are."""
    return text[:1].upper() + text[1:]


def plural(amount: int, singular: str, several: str | None = None) -> str:
    """Write an amount with its noun."""
    return f"{count(amount)} {singular if amount == 1 else several or singular + 's'}"
