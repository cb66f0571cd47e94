"""`python -m app.tokens new|client|check`: makes entries for TOKENS_FILE, and says whether the file can be used.

A token is made here, printed once, and stored nowhere: the file gets its SHA-256.
"""

import argparse
import json
import os
import re
import secrets
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from app import config
from app.callers.caller import SCOPES, Caller
from app.callers.proof import ProofError, pem_digest
from app.callers.registry import Callers, CallersError, load

TOKEN_BYTES = 32
PREFIX = "tytle_"  # what scanners of leaked secrets can look for
_PLAIN = re.compile(r"[0-9A-Za-z:+.-]+")


def main(arguments: Sequence[str]) -> int:
    """Run one command. Returns the exit status: 1 when something cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "check":
            return _check(options.file)
        return _new(options)
    except (CallersError, config.ConfigError, ProofError, OSError, UnicodeDecodeError) as exc:
        print(f"NO  {exc}", file=sys.stderr)  # noqa: T201  this is a command
        return 1


def entry(kind: str, proof: str, options: argparse.Namespace) -> str:
    """Return the TOML of one caller; `proof` is its key and value. Raises CallersError: a value is no plain one."""
    lines = [f"[[{kind}]]", f"name = {json.dumps(options.name)}", proof]
    for key in ("services", "scopes"):
        chosen = [json.dumps(each.strip()) for each in (getattr(options, key) or "").split(",") if each.strip()]
        if chosen:
            lines.append(f"{key} = [{', '.join(chosen)}]")
    for key in ("rate", "burst", "concurrent", "expires"):
        if (value := getattr(options, key)) is not None:
            if not _PLAIN.fullmatch(value):
                raise CallersError(f"--{key}: expected a number or a date")
            lines.append(f"{key} = {value}")
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app.tokens", description="Entries for TOKENS_FILE.")
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("new", help="make a token; it is printed once")
    client = commands.add_parser("client", help="an entry for a client certificate")
    for command in (new, client):
        command.add_argument("name", help="a name for logs: a-z, 0-9, . _ -")
        command.add_argument("--services", help="with commas between; without it, all")
        command.add_argument("--scopes", help=f"some of {','.join(SCOPES)}; without it, fetch")
        command.add_argument("--rate", help="questions per second in the long run; without it, no limit")
        command.add_argument("--burst", help="how many may come at once; without it, one second's")
        command.add_argument("--concurrent", help="how many may be under way on one host; without it, 48")
        command.add_argument("--expires", help="2027-01-31 (from its first instant in UTC), or 2027-01-31T12:00:00Z")
    client.add_argument("certificate", type=Path, help="PEM file of the client's certificate")
    check = commands.add_parser("check", help="say whether a file can be used, and who is in it")
    check.add_argument("file", nargs="?", default=os.environ.get("TOKENS_FILE"), help="without it, $TOKENS_FILE")
    return parser


def _new(options: argparse.Namespace) -> int:
    if options.command == "client":
        text = entry("clients", f'sha256 = "{pem_digest(options.certificate.read_text("ascii"))}"', options)
        token = None
    else:
        token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        text = entry("tokens", f'sha256 = "{sha256(token.encode()).hexdigest()}"', options)
    load(text.encode(), services=config.known_services())  # a wrong option is refused here, not at the next start
    if token is not None:
        print(f"# The token. Give it to the caller; it is stored nowhere.\n{token}\n")  # noqa: T201
    print(f"# Add this to TOKENS_FILE, then: kill -HUP the parent.\n{text}", end="")  # noqa: T201
    return 0


def _check(file: str | None) -> int:
    if not file:
        raise CallersError("name the file, or set TOKENS_FILE")
    callers = load(Path(file).read_bytes(), services=config.known_services())
    for caller, proof in _proofs(callers):
        print(f"ok  {caller.name:<24} {proof:<12} {_may(caller)}")  # noqa: T201
    return 0


def _proofs(callers: Callers) -> list[tuple[Caller, str]]:
    tokens = len(callers.tokens)
    return [(caller, "token" if index < tokens else "certificate") for index, caller in enumerate(callers.all)]


def _may(caller: Caller) -> str:
    limits = caller.limits
    services = "all services" if caller.services is None else ", ".join(sorted(caller.services))
    rate = "any rate" if limits.rate is None else f"{limits.rate:g}/s, {limits.burst} at once"
    return f"{services}; {', '.join(sorted(caller.scopes))}; {rate}; {limits.concurrent} under way"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
