"""The releases of a service as `services/NAME.pcrs.toml` lists them: VERIFICATION.md, "Policy files".

They are shown, and decide nothing here: relying parties have a copy of their own. So a file that cannot be read is
shown as one, and keeps no parent from starting. NOT checked: keys of the policy that are not shown.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHOWN_PCRS = ("pcr0", "pcr1", "pcr2")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_PCR = re.compile(r"[0-9a-f]{96}")  # SHA-384


class ReleasesError(Exception):
    """The file is not one of releases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One entry. `pcrs` has PCR0, 1 and 2 in hex, by the names of the file."""

    commit: str
    pcrs: Mapping[str, str]
    revoked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Releases:
    """What is listed, or why that could not be read."""

    listed: tuple[Release, ...] = ()
    problem: str | None = None


NONE = Releases()


def load(path: Path, service: str) -> Releases:
    """Return what a file lists; nothing where there is none."""
    try:
        return Releases(listed=read(path.read_bytes(), service))
    except FileNotFoundError:
        return NONE
    except (OSError, ReleasesError) as exc:
        return Releases(problem=f"{path.name} cannot be read: {exc.strerror if isinstance(exc, OSError) else exc}")


def read(data: bytes, service: str) -> tuple[Release, ...]:
    """Return the releases in a file's bytes, in its order.

    Raises:
        ReleasesError: they are not a policy of this service with releases.
    """
    try:
        table = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as exc:  # UnicodeDecodeError and TOMLDecodeError are ValueErrors
        raise ReleasesError("it is not TOML in UTF-8") from exc
    if table.get("service") != service:
        raise ReleasesError("it is of another service")
    releases = table.get("releases", [])
    if not isinstance(releases, list):
        raise ReleasesError("releases is no list")
    return tuple(_release(given) for given in releases)


def _release(given: object) -> Release:
    if not isinstance(given, dict):
        raise ReleasesError("a release is no table")
    revoked = given.get("revoked", False)
    if not isinstance(revoked, bool):
        raise ReleasesError("revoked is neither true nor false")
    pcrs = {name: _text(given, name, _PCR) for name in SHOWN_PCRS}
    return Release(commit=_text(given, "commit", _COMMIT), pcrs=pcrs, revoked=revoked)


def _text(given: dict[str, Any], name: str, form: re.Pattern[str]) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ReleasesError(f"a release's {name} is not lower-case hex of the right length")
    return value
