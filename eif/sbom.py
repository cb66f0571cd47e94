"""What is in an artefact, as CycloneDX 1.6 JSON (https://cyclonedx.org/docs/1.6/json/): a bill of materials.

Made from inputs that are pinned or measured anyway: the requirements file, our own folders, and for an enclave image
its measurements file. The same inputs give the same bytes: no time, no random serial number, everything sorted. It lies
beside the artefact and never in it, so it measures nothing and can be made again by whoever doubts it.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from eif.errors import BadInput
from eif.pins import Pin

SPEC_VERSION = "1.6"
LICENCE = "AGPL-3.0-only"
DISTRIBUTION = "debian-12"
SUPPLIER = "tytle"
_NAMESPACE = uuid.UUID(int=0)  # of serial numbers, which are digests of the contents

Component = dict[str, Any]


def folder(path: Path) -> Component:
    """Return one of our folders. Its SHA-256 is that of `sha256sum`'s lines for its files, sorted by path.

    Raises:
        BadInput: there is no such folder, or it is empty.
    """
    files = sorted(each.relative_to(path.parent).as_posix() for each in path.rglob("*") if _counts(each))
    if not files:
        raise BadInput(f"{path} is no folder of ours")
    lines = "".join(f"{_sha256(path.parent / each)}  {each}\n" for each in files)
    made = _own("application", path.name, hashlib.sha256(lines.encode()).hexdigest())
    return made | {"properties": [_property("digest", "SHA-256 of the lines `SHA-256  path`, sorted by path")]}


def file(path: Path) -> Component:
    """Return one of our files. Raises: OSError."""
    return _own("file", path.name, _sha256(path))


def python(pin: Pin) -> Component:
    """Return a package of PyPI; the files that the pin accepts are named by their SHA-256."""
    purl = f"pkg:pypi/{pin.name}@{_escaped(pin.version)}"
    accepted = [_property("accepted-sha256", digest) for digest in sorted(pin.sha256)]
    made: Component = {"type": "library", "bom-ref": purl, "name": pin.name, "version": pin.version, "purl": purl}
    return made | {"properties": accepted}


def debian(line: str) -> Component:
    """Return a Debian package from `name version`. Raises: BadInput for another line."""
    name, _, version = line.partition(" ")
    if not (name and version and line.isascii()) or " " in version:
        raise BadInput(f"not a package and its version: {line!r}")
    purl = f"pkg:deb/debian/{_escaped(name)}@{_escaped(version)}?distro={DISTRIBUTION}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def section(number: int, described: Mapping[str, Any]) -> Component:
    """Return a section of an EIF, as its measurements file describes it: kernel, command line, ramdisks."""
    kind = str(described["kind"])
    return {
        "type": "operating-system" if kind == "kernel" else "data",
        "bom-ref": f"section/{number}-{kind}",
        "name": kind,
        "hashes": [_hash("SHA-384", str(described["sha384"]))],
        "properties": [_property("bytes", str(described["bytes"]))],
    }


def requirement(text: str, *, optional: bool) -> Component:
    """Return a dependency that an installer resolves: a name and a range, `cbor2>=6.3`; no version is known here."""
    name = text.split(">", maxsplit=1)[0].split("=", maxsplit=1)[0].strip()
    purl = f"pkg:pypi/{name}"
    made: Component = {"type": "library", "bom-ref": purl, "name": name, "purl": purl}
    scope = "optional" if optional else "required"
    return made | {"scope": scope, "properties": [_property("accepted-versions", text.removeprefix(name))]}


def bill(subject: Component, components: Iterable[Component], **properties: str) -> str:
    """Return the bill of `subject` as text. `properties` describe the whole, as names and texts."""
    ordered = sorted(components, key=lambda each: str(each["bom-ref"]))
    references = [each["bom-ref"] for each in ordered]
    if len({*references, subject["bom-ref"]}) != len(ordered) + 1:
        raise BadInput("one component is listed twice")
    made = {
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "eif/sbom.py", "supplier": {"name": SUPPLIER}}]},
            "component": subject,
            "supplier": {"name": SUPPLIER},
            "properties": [_property(name, value) for name, value in sorted(properties.items())],
        },
        "components": ordered,
        "dependencies": [{"ref": subject["bom-ref"], "dependsOn": references}],
    }
    serial = uuid.uuid5(_NAMESPACE, json.dumps(made, sort_keys=True))
    head = {"bomFormat": "CycloneDX", "specVersion": SPEC_VERSION, "serialNumber": f"urn:uuid:{serial}", "version": 1}
    return json.dumps({**head, **made}, indent=2) + "\n"


def subject(kind: str, name: str, version: str | None = None, *, sha256: str | None = None) -> Component:
    """Return what a bill is about: `kind` is CycloneDX's type, `sha256` (hex) that of the artefact, where it exists."""
    made: Component = {"type": kind, "bom-ref": f"subject/{name}", "name": name, "supplier": {"name": SUPPLIER}}
    made |= {} if version is None else {"version": version}
    made |= {} if sha256 is None else {"hashes": [_hash("SHA-256", sha256)]}
    return made | {"licenses": [{"license": {"id": LICENCE}}]}


def _own(kind: str, name: str, sha256: str) -> Component:
    made: Component = {"type": kind, "bom-ref": f"own/{name}", "supplier": {"name": SUPPLIER}, "name": name}
    return made | {"licenses": [{"license": {"id": LICENCE}}], "hashes": [_hash("SHA-256", sha256)]}


def _counts(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _escaped(text: str) -> str:
    """Return ASCII `text` as a package URL has it (github.com/package-url, "Rules for each purl component")."""
    return re.sub(r"[^A-Za-z0-9._~-]", lambda match: f"%{ord(match[0]):02X}", text)


def _hash(algorithm: str, content: str) -> dict[str, str]:
    return {"alg": algorithm, "content": content}


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"tytle:{name}", "value": value}
