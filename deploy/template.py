"""Text with `<<name>>` where a value goes. Exact: a name without a value, and a value without a place, are defects."""

import re
from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"
_PLACE = re.compile(r"<<([a-z0-9_]+)>>")


def fill(name: str, /, **values: str | int) -> str:
    """Return the template `name`, a path below `templates/`, with its values.

    A value of several lines continues at the indentation of its place.

    Raises:
        ValueError: the places in the template are not exactly the names of `values`.
    """
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    places = set(_PLACE.findall(text))
    if places != values.keys():
        raise ValueError(f"{name}: has places for {sorted(places)}, got {sorted(values)}")
    return "".join(_line(line, values) for line in text.splitlines(keepends=True))


def _line(line: str, values: dict[str, str | int]) -> str:
    indentation = line[: len(line) - len(line.lstrip(" "))]
    return _PLACE.sub(lambda found: str(values[found[1]]).replace("\n", "\n" + indentation), line)
