"""`python -m eif COMMAND`: the files behind the functions of this room.

measure FILE                               PCR0, 1, 2 (and 8) as JSON
ramdisk TREE OUTPUT                        a directory as a cpio archive
build KERNEL_FOLDER RAMDISK... -o FILE     an image: the folder's kernel and /init, then these ramdisks
record FILE --service NAME ...             the measurements file of an image
check FILE PCRS_TOML COMMIT                whether an image measures to the release of a commit
bill-enclave SERVICE [--measurements FILE] what is in an enclave image, as CycloneDX; or in one that was not built yet
bill-parent [--requirements NAME] ...      the same of the parent's image
bill-wheel [FILE]                          the same of the verifier's wheel
"""

import argparse
import json
import sys
from pathlib import Path

from eif import bills, cpio, kernel, layout, record, tree
from eif.build import build
from eif.errors import EifError
from eif.measure import measure

ROOT = Path(__file__).parent.parent


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        output = COMMANDS[options.command](options)
    except (EifError, OSError) as error:
        print(f"eif: {error}", file=sys.stderr)
        print(getattr(error, "advice", "Check the path."), file=sys.stderr)
        return 1
    if output:
        print(output)
    return 0


def _measure(options: argparse.Namespace) -> str:
    return json.dumps(measure(layout.read(options.file.read_bytes())).in_hex(), indent=2)


def _ramdisk(options: argparse.Namespace) -> str:
    options.output.write_bytes(cpio.archive(tree.entries(options.tree)))
    return ""


def _build(options: argparse.Namespace) -> str:
    found = kernel.load(options.kernel)
    ramdisks = [kernel.boot_ramdisk(found), *(path.read_bytes() for path in options.ramdisk)]
    image = build(
        kernel=found.image,
        cmdline=found.cmdline,
        ramdisks=ramdisks,
        name=options.name,
        version=options.version,
        arm64=found.arm64,
    )
    options.output.write_bytes(image)
    return ""


def _record(options: argparse.Namespace) -> str:
    measurements = record.record(
        options.file.read_bytes(),
        service=options.service,
        commit=options.commit,
        base=options.base,
        packages=options.packages.read_text(encoding="ascii"),
    )
    return record.as_text(measurements).rstrip()


def _check(options: argparse.Namespace) -> str:
    measurements = measure(layout.read(options.file.read_bytes())).in_hex()
    record.check_release(measurements, options.pcrs.read_text(encoding="utf-8"), options.commit)
    return f"{options.file} measures to release {options.commit}"


def _bill_enclave(options: argparse.Namespace) -> str:
    given = options.measurements
    return bills.enclave(ROOT, options.service, None if given is None else json.loads(given.read_bytes())).rstrip()


def _bill_parent(options: argparse.Namespace) -> str:
    packages = None if options.packages is None else options.packages.read_text(encoding="ascii").splitlines()
    return bills.parent(ROOT, options.requirements, packages, options.base).rstrip()


def _bill_wheel(options: argparse.Namespace) -> str:
    return bills.wheel(ROOT, options.file).rstrip()


COMMANDS = {
    "measure": _measure,
    "ramdisk": _ramdisk,
    "build": _build,
    "record": _record,
    "check": _check,
    "bill-enclave": _bill_enclave,
    "bill-parent": _bill_parent,
    "bill-wheel": _bill_wheel,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eif", description="Build and measure enclave images.")
    commands = parser.add_subparsers(dest="command", required=True)
    _command(commands, "measure", "file")
    _command(commands, "ramdisk", "tree", "output")
    command = _command(commands, "build", "kernel")
    command.add_argument("ramdisk", type=Path, nargs="+")
    command.add_argument("--output", "-o", type=Path, required=True)
    command.add_argument("--name", default="tytle-enclave", help="for the metadata, which is not measured")
    command.add_argument("--version", default="0", help="for the metadata, which is not measured")
    command = _command(commands, "record", "file", "packages")
    for name in ("service", "commit", "base"):
        command.add_argument(f"--{name}", required=True)
    _command(commands, "check", "file", "pcrs").add_argument("commit")
    command = _command(commands, "bill-enclave")
    command.add_argument("service")
    command.add_argument("--measurements", type=Path)
    command = _command(commands, "bill-parent")
    command.add_argument("--requirements", default="parent", help="the list of requirements/ that it was built with")
    command.add_argument("--packages", type=Path, help="the Debian packages of its base, `name version` a line")
    command.add_argument("--base", default="unknown")
    _command(commands, "bill-wheel").add_argument("file", type=Path, nargs="?")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, *paths: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name)
    for path in paths:
        command.add_argument(path, type=Path)
    return command


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
