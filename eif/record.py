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


def check_release(measurements: dict[str, str], toml: str, release: str) -> None:
    """Compare PCR0, 1 and 2 with `[releases."VERSION"]` of a services/NAME.pcrs.toml.

    Raises:
        BadInput: the file does not name this release, or a register differs.
    """
    pinned = _release(toml, release)
    for name in PINNED:
        value = pinned[name.lower()]
        if not isinstance(value, str) or not _PCR.fullmatch(value) or value == "0" * 96:
            raise BadInput(f"release {release}: {name.lower()} is no measurement: {value!r}")
        if measurements.get(name) != value:
            raise BadInput(f"release {release} has {name} {value}, this image {measurements.get(name)}")


def _release(toml: str, release: str) -> dict[str, object]:
    try:
        releases = tomllib.loads(toml).get("releases")
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"the file of releases is not TOML: {error}") from error
    pinned = releases.get(release) if isinstance(releases, dict) else None
    if not isinstance(pinned, dict) or not pinned.keys() >= {name.lower() for name in PINNED}:
        raise BadInput(f"no release {release!r} with pcr0, pcr1 and pcr2")
    return pinned


def _sections(image: Eif) -> list[dict[str, Any]]:
    return [
        {"kind": section.kind.name.lower(), "bytes": len(section.data), "sha384": sha384(section.data).hexdigest()}
        for section in image.sections
    ]
