"""The bills of materials of this checkout's artefacts: enclave images, the parent's image, the verifier's wheel.

`root` is the checkout. What a bill cannot know, since the artefact was not built here, it says under `tytle:complete`.
"""

import configparser
import hashlib
from pathlib import Path
from typing import Any

from eif import pins, sbom
from eif.errors import BadInput

ENCLAVE_ROOMS = ("enclave_worker", "nsm", "policy", "wire")
PARENT_ROOMS = ("app", "policy", "services", "wire")


def enclave(root: Path, service: str, measurements: dict[str, Any] | None) -> str:
    """Return the bill of one service's enclave image. Raises: BadInput, OSError."""
    own = [sbom.folder(root / room) for room in ENCLAVE_ROOMS]
    own += [sbom.file(root / "services" / f"{service}.toml"), sbom.file(root / "eif" / "init.py")]
    named = f"tytle-enclave-{service}"
    if measurements is None:
        return sbom.bill(sbom.subject("firmware", named), [*own, *_python(root, "enclave")], complete="no: not built")
    if measurements.get("service") != service:
        raise BadInput(f"measurements of {measurements.get('service')!r}, not of {service!r}")
    sections = [sbom.section(number, each) for number, each in enumerate(measurements["sections"])]
    packages = [sbom.debian(line) for line in measurements["packages"]]
    registers = {name: measurements[name] for name in ("PCR0", "PCR1", "PCR2")}
    subject = sbom.subject("firmware", named, sha256=measurements["eif"]["sha256"])
    parts = [*own, *_python(root, "enclave"), *packages, *sections]
    return sbom.bill(subject, parts, base=measurements["base"], **registers)


def parent(root: Path, requirements: str, packages: list[str] | None, base: str) -> str:
    """Return the bill of the parent's image; `packages` are the lines `name version` of its base.

    Raises: BadInput, OSError.
    """
    own = [sbom.folder(root / room) for room in PARENT_ROOMS]
    parts = [*own, *_python(root, requirements), *(sbom.debian(line) for line in packages or ())]
    known = "yes" if packages is not None else "no: what the base holds is not known here"
    return sbom.bill(sbom.subject("container", "tytle-parent"), parts, base=base, complete=known)


def wheel(root: Path, file: Path | None) -> str:
    """Return the bill of the verifier's wheel. An installer chooses the versions. Raises: BadInput, OSError."""
    setup = configparser.ConfigParser()
    setup.read_string((root / "setup.cfg").read_text(encoding="utf-8"))
    needed = [(line, False) for line in setup["options"]["install_requires"].split()]
    needed += [(line, True) for line in setup["options.extras_require"]["requests"].split()]
    digest = None if file is None else hashlib.sha256(file.read_bytes()).hexdigest()
    subject = sbom.subject("library", "tytle-verifier", setup["metadata"]["version"], sha256=digest)
    own = sbom.folder(root / "tytle_verifier")
    return sbom.bill(subject, [own, *(sbom.requirement(line, optional=optional) for line, optional in needed)])


def _python(root: Path, name: str) -> list[sbom.Component]:
    return [sbom.python(pin) for pin in pins.read((root / "requirements" / f"{name}.txt").read_text(encoding="ascii"))]
