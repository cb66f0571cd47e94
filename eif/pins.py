"""A pinned requirements file (`pip --require-hashes`) -> what of it is installed on an enclave's or parent's machine.

Only the form that `make requirements` writes is read: `name==version`, perhaps a marker, and SHA-256 hashes. A marker
is decided for CPython on Linux, since images are nothing else.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from eif.errors import BadInput

# PEP 508 names with their values inside our images; versions are compared nowhere in our files, so they have none here.
ENVIRONMENT = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "sys_platform": "linux",
}
_LINE = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.!+]+)(?: ; (?P<marker>.+?))?(?P<hashes>(?: --hash=\S+)+)"
)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One package: `name` in PyPI's normal form, `version`, and the SHA-256 (hex) of every file that is accepted."""

    name: str
    version: str
    sha256: tuple[str, ...]


def read(text: str) -> tuple[Pin, ...]:
    """Return the packages of a requirements file that are installed in an image, in the file's order.

    Raises:
        BadInput: a line is not pinned by version and SHA-256, or has a marker that is not decided here.
    """
    return tuple(pin for pin, marker in every(text) if marker is None or _holds(marker))


def every(text: str) -> Iterator[tuple[Pin, str | None]]:
    """Yield each package with its marker, None where it has none. Raises: BadInput for a line that is not pinned."""
    for line in text.replace("\\\n", " ").splitlines():
        words = " ".join(line.split())
        if words and not words.startswith("#"):
            yield _pin(words)


def _pin(line: str) -> tuple[Pin, str | None]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise BadInput(f"not pinned by version and hash: {line[:60]!r}")
    digests = _HASH.findall(match["hashes"])
    if len(digests) != match["hashes"].count("--hash="):
        raise BadInput(f"{match['name']}: hashes are SHA-256, in hex")
    name = re.sub(r"[-_.]+", "-", match["name"]).lower()
    return Pin(name=name, version=match["version"], sha256=tuple(digests)), match["marker"]


def _holds(marker: str) -> bool:
    try:
        tree = ast.parse(marker, mode="eval")
    except SyntaxError as error:
        raise BadInput(f"a marker that cannot be read: {marker!r}") from error
    return _decide(tree.body, marker)


def _decide(node: ast.expr, marker: str) -> bool:
    match node:
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_decide(value, marker) for value in values)
        case ast.BoolOp(op=ast.Or(), values=values):
            return any(_decide(value, marker) for value in values)
        case ast.Compare(left=ast.Name(id=name), ops=[op], comparators=[ast.Constant(value=str(value))]) if (
            name in ENVIRONMENT and isinstance(op, ast.Eq | ast.NotEq)
        ):
            return (ENVIRONMENT[name] == value) is isinstance(op, ast.Eq)
        case _:
            raise BadInput(f"a marker that is not decided here: {marker!r}")
