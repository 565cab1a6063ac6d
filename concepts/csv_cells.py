"""CSV tables, both ways: the one place where Dermaxis writes and reads cells.

Text that a spreadsheet would take for a formula is written with an apostrophe before it, and read without it. Numbers
stay numbers: -0.5 is written as it is.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence

FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001  # the full-width signs start formulas too


def inert(text: str) -> str:
    """Write a text as a cell that a spreadsheet shows and does not compute.

    Example:
        >>> inert("=1+1"), inert("present")
        ("'=1+1", 'present')
    """
    return f"'{text}" if FORMULA.match(text) else text


def plain(cell: str) -> str:
    """Return the text that `inert` made the cell of.

    Example:
        >>> plain(inert("=1+1"))
        '=1+1'
    """
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def csv_text(header: Sequence[str], rows: Iterable[Iterable[object]], *, line_end: str = "\n") -> str:
    r"""Write a table with a header; whatever is no number, path and enumeration too, as inert text; None as nothing.

    Example:
        >>> csv_text(("image_id", "activation"), [("=A1", -0.5), ("b", None)])
        "image_id,activation\n'=A1,-0.5\nb,\n"
    """
    lines = _Lines()
    # The writer quotes cells with the signs of its own line end only, and a reader takes each of both for one.
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(map(inert, header))
    writer.writerows(map(_cell, row) for row in rows)
    return "".join(line.removesuffix("\r\n") + line_end for line in lines)


def csv_rows(text: str) -> list[dict[str, str]]:
    r"""Read what `csv_text` wrote, by column; blank lines are passed over.

    Raises:
        ValueError: If the text is not CSV, or a row has more or fewer cells than the header.

    Example:
        >>> csv_rows("image_id,activation\n'=A1,-0.5\n")
        [{'image_id': '=A1', 'activation': '-0.5'}]
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [plain(name) for name in next(reader, [])]
        return [_row(header, cells, line=reader.line_num) for cells in reader if cells]
    except csv.Error as error:
        raise ValueError(f"row {reader.line_num}: not CSV ({error})") from error


def _row(header: Sequence[str], cells: Sequence[str], *, line: int) -> dict[str, str]:
    if len(cells) != len(header):
        raise ValueError(f"row {line}: {len(cells)} cells under {len(header)} columns")
    return dict(zip(header, map(plain, cells), strict=True))


class _Lines(list[str]):
    """Lines in the order in which they are written."""

    write = list.append


def _cell(value: object) -> object:
    return value if value is None or isinstance(value, int | float) else inert(str(value))
