"""`python -m eif.bills ARTEFACT ... > FILE`: the bills of materials of this checkout's artefacts.

enclave SERVICE [--measurements FILE]   an enclave image; without its measurements file, Debian and kernel are missing
parent [--requirements NAME] [--packages FILE] [--base TEXT]      the parent's image
wheel [FILE]                            tytle_verifier; FILE is the wheel
"""

import argparse
import configparser
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from eif import pins, sbom
from eif.errors import BadInput, EifError

ROOT = Path(__file__).parent.parent
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


def main(arguments: list[str]) -> int:
    """Print one bill; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        sys.stdout.write(_made(options))
    except (EifError, OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"eif: {error}\n")
        return 1
    return 0


def _made(options: argparse.Namespace) -> str:
    if options.artefact == "enclave":
        given = options.measurements
        return enclave(ROOT, options.service, None if given is None else json.loads(given.read_bytes()))
    if options.artefact == "parent":
        packages = None if options.packages is None else options.packages.read_text(encoding="ascii").splitlines()
        return parent(ROOT, options.requirements, packages, options.base)
    return wheel(ROOT, options.file)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eif.bills", description="Bills of materials, CycloneDX 1.6.")
    artefacts = parser.add_subparsers(dest="artefact", required=True)
    one = artefacts.add_parser("enclave")
    one.add_argument("service")
    one.add_argument("--measurements", type=Path)
    one = artefacts.add_parser("parent")
    one.add_argument("--requirements", default="parent")
    one.add_argument("--packages", type=Path)
    one.add_argument("--base", default="unknown")
    artefacts.add_parser("wheel").add_argument("file", type=Path, nargs="?")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
