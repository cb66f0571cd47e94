"""The measurements file of an image: what it measures to, and what went in, for whoever has to build it again."""

import json
import re
import tomllib
from hashlib import sha256, sha384
from typing import Any

from eif.errors import BadInput
from eif.layout import Eif, Kind, read
from eif.measure import measure

_PCR = re.compile(r"[0-9a-f]{96}")
PINNED = ("PCR0", "PCR1", "PCR2")


def record(data: bytes, *, service: str, commit: str, base: str, packages: str) -> dict[str, Any]:
    """Return the measurements of the image in `data`. `packages` is one `name version` a line.

    Raises:
        MalformedEif: `data` is no image.
    """
    image = read(data)
    return {
        "service": service,
        **measure(image).in_hex(),
        "commit": commit,
        "base": base,
        "eif": {"bytes": len(data), "sha256": sha256(data).hexdigest()},
        "sections": _sections(image),
        "cmdline": image.of(Kind.CMDLINE)[0].decode("ascii", "backslashreplace"),
        "packages": packages.splitlines(),
    }


def as_text(measurements: dict[str, Any]) -> str:
    """Return the file's text."""
    return json.dumps(measurements, indent=2) + "\n"


def check_release(measurements: dict[str, str], toml: str, commit: str) -> None:
    """Compare PCR0, 1 and 2 with the `[[releases]]` entry of this commit in a services/NAME.pcrs.toml.

    The file is the verifier's policy (VERIFICATION.md, "Policy files"), which checks the rest of it.

    Raises:
        BadInput: the file does not have exactly one release of this commit, or a register differs.
    """
    pinned = _release(toml, commit)
    for name in PINNED:
        value = pinned[name.lower()]
        if not isinstance(value, str) or not _PCR.fullmatch(value) or value == "0" * 96:
            raise BadInput(f"release {commit}: {name.lower()} is no measurement: {value!r}")
        if measurements.get(name) != value:
            raise BadInput(f"release {commit} has {name} {value}, this image {measurements.get(name)}")


def _release(toml: str, commit: str) -> dict[str, object]:
    try:
        releases = tomllib.loads(toml).get("releases")
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"the file of releases is not TOML: {error}") from error
    tables = [each for each in releases if isinstance(each, dict)] if isinstance(releases, list) else []
    found = [each for each in tables if each.get("commit") == commit]
    if len(found) != 1 or not found[0].keys() >= {name.lower() for name in PINNED}:
        raise BadInput(f"{len(found)} releases of commit {commit!r}, expected one, with pcr0, pcr1 and pcr2")
    return found[0]


def _sections(image: Eif) -> list[dict[str, Any]]:
    return [
        {"kind": section.kind.name.lower(), "bytes": len(section.data), "sha384": sha384(section.data).hexdigest()}
        for section in image.sections
    ]
