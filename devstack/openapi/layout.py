"""How the file is laid out: what fits on a line stands on one, so that a change is read as it was made."""

import json
from typing import Any

WIDTH = 120


def text(value: Any) -> str:
    """Return a value as JSON with a final line break."""
    return _lines(value, indent=0, before=0) + "\n"


def _lines(value: Any, *, indent: int, before: int) -> str:
    """Return a value that stands `indent` deep, behind `before` characters of its line."""
    flat = _line(value)
    if not isinstance(value, dict | list) or indent + before + len(flat) + 1 <= WIDTH:
        return flat
    deeper = indent + 2
    if isinstance(value, dict):
        inner = [f"{_line(key)}: {_lines(each, indent=deeper, before=len(key) + 4)}" for key, each in value.items()]
    else:
        inner = [_lines(each, indent=deeper, before=0) for each in value]
    begin, end = "{}" if isinstance(value, dict) else "[]"
    pad = " " * deeper
    return f"{begin}\n" + ",\n".join(pad + each for each in inner) + f"\n{' ' * indent}{end}"


def _line(value: Any) -> str:
    if isinstance(value, dict) and value:
        return "{ " + ", ".join(f"{_line(key)}: {_line(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_line, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
