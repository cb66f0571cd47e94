"""The section of SECURITY.md that shows the matrix, made from its rows."""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from tests.faults.matrix import MOMENTS, NEXT, OTHERS, OUTCOMES, Row

DOCUMENT = Path(__file__).parent.parent.parent / "SECURITY.md"
BEGIN = "<!-- from tests/faults/matrix.toml; `python -m tests.faults` writes it -->"
END = "<!-- end of the matrix -->"
HEAD = "| fault | moment | the caller | others | after it |\n|---|---|---|---|---|"


def text(rows: Iterable[Row]) -> str:
    """Return what stands between the two marks: words with their meanings, and a table for each component."""
    known = list(rows)
    components = list(dict.fromkeys(row.component for row in known))
    known.sort(key=lambda row: components.index(row.component))
    parts = [_words("The caller", OUTCOMES), _words("Others", OTHERS), _words("Moments", MOMENTS)]
    parts.append(
        "After it, the next question succeeds at once, or soon: "
        f"within {NEXT['soon']:.0f} s. A number before a word is the HTTP status."
    )
    for component, group in groupby(known, key=lambda row: row.component):
        lines = "\n".join(_line(row) for row in group)
        parts.append(f"**{component[0].upper()}{component[1:]}**\n\n{HEAD}\n{lines}")
    return "\n\n".join(parts)


def written(document: str, rows: Iterable[Row]) -> str:
    """Return the document with the section made anew. Raises: ValueError where it has not both marks."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("SECURITY.md has lost a mark of the matrix")
    return f"{before}{BEGIN}\n\n{text(rows)}\n\n{END}{after}"


def _words(title: str, meanings: dict[str, str] | object) -> str:
    listed = " · ".join(f"*{word}*: {meaning}" for word, meaning in dict(meanings).items())  # type: ignore[call-overload]
    return f"{title}: {listed}."


def _line(row: Row) -> str:
    shown = "".join(f"; also `{name}`" for name in row.shown_by)
    return f"| {row.fault} | {row.moment} | {row.caller}{shown} | {row.others} | {row.next} |"
