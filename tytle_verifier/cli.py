"""An edge: the command line. Reads files, standard input, the clock, and whether to colour; decides nothing itself."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO

from tytle_verifier import clock, evidence, inspection, jsontext, log_command, many, policy_file, render, request
from tytle_verifier.errors import PolicyError, VerificationError, shown
from tytle_verifier.evidence import Choices
from tytle_verifier.reply import MAX_REPLY_BYTES
from tytle_verifier.verdict import Exit, Verdict
from tytle_verifier.when import DEFAULT_MAX_AGE, Archive, At, Time

EXIT_CODES = """\
exit codes:
  0      verified: all steps that this evidence has (a reply 0-9, an identity 0-8, a bare document 0-6)
  1      the verifier itself crashed: not a verdict
  2      wrong usage
  3      a policy, request or file cannot be used, or does not fit the evidence
  4      verified, and what is attested is that the fetch failed, or that a query has no result: there is no answer
  5      a bare document without --policy: some Nitro enclave, the code is not checked
  6      verify-many: not every file was verified
  7      derive: verified, and what is attested does not follow from the bodies
  8      log: the archive's log does not show that the reply is in it, or that it only grew
  10..19 refused at step 0..9
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `tytle-verify` and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(HANDLERS[options.command](options))
    except VerificationError as error:  # inspect only: verify renders its own
        sys.stderr.write(f"cannot be decoded: {error}\n")
        return Exit.REFUSED + error.step
    except (PolicyError, OSError) as error:
        sys.stderr.write(f"error: {shown(str(error))}\n")
        return Exit.UNUSABLE_INPUT


def _verify(options: argparse.Namespace) -> int:
    body = many.read(options.body) if options.body else None
    return _print(evidence.judge(_input(options.file), replace(_choices(options), body=body)), options)


def _derive(options: argparse.Namespace) -> int:
    bodies = [many.read(path) for path in options.body]
    return _print(evidence.judge_derivation(_input(options.file), _choices(options), bodies), options)


def _choices(options: argparse.Namespace) -> Choices:
    return Choices(
        time=_time(options),
        policy=policy_file.load(many.read(options.policy)) if options.policy else None,
        request=request.decode_either(many.read(options.request)) if options.request else None,
    )


def _identity(options: argparse.Namespace) -> int:
    policy = policy_file.load(many.read(options.policy)) if options.policy else None
    choices = Choices(time=_time(options), policy=policy)
    return _print(evidence.judge_identity(_input(options.file), options.challenge, choices), options)


def _print(verdict: Verdict, options: argparse.Namespace) -> int:
    shown = render.as_json(verdict) + "\n" if options.json else render.text(verdict, colour=_colour(sys.stdout))
    sys.stdout.write(shown)
    return verdict.code


def _verify_many(options: argparse.Namespace) -> int:
    policy = many.read(options.policy) if options.policy else None
    if policy is not None:
        policy_file.load(policy)
    paths, codes = many.files_in(options.folder), []
    progress = sys.stderr.isatty()
    for result in many.verify_all(paths, policy=policy, time=_time(options), jobs=options.jobs):
        codes.append(result.code)
        sys.stdout.write(f"{result.json}\n" if options.json else f"{shown(result.name)}: {result.text}\n")
        if progress:
            sys.stderr.write(f"\r{len(codes)}/{len(paths)}\x1b[K")
    good = codes.count(Exit.VERIFIED)
    sys.stderr.write(f"{chr(13) if progress else ''}{good} of {len(paths)} verified\n")
    return Exit.VERIFIED if good == len(paths) else Exit.NOT_ALL_VERIFIED


def _inspect(options: argparse.Namespace) -> int:
    claims = inspection.claims(_input(options.file))
    sys.stderr.write("NOT VERIFIED: these are claims, decoded and not judged. Use `verify`.\n")
    sys.stdout.write(json.dumps(claims, indent=2) + "\n")
    return Exit.VERIFIED


HANDLERS = {
    "verify": _verify,
    "derive": _derive,
    "verify-many": _verify_many,
    "identity": _identity,
    "inspect": _inspect,
    "log": log_command.run,
}


def _input(name: str) -> bytes:
    return sys.stdin.buffer.read(MAX_REPLY_BYTES + 1) if name == "-" else many.read(Path(name))


def _time(options: argparse.Namespace) -> Time:
    if options.max_age is not None and not options.live:
        raise PolicyError("--max-age belongs to --live: neither an archive nor a chosen instant claims freshness")
    if options.live:
        return clock.live(max_age=options.max_age or DEFAULT_MAX_AGE)
    return Archive() if options.archive else At(instant=options.at)


def _colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR")


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} has no time zone: write for example 2026-01-03T20:41:07Z")
    return instant


def _challenge(text: str) -> bytes:
    """Read a challenge as it stands in the URL of the question, where `-_` may stand for `+/`."""
    try:
        return jsontext.from_base64(text.replace("-", "+").replace("_", "/"), "challenge")
    except VerificationError as error:
        raise argparse.ArgumentTypeError("16 to 64 bytes as base64") from error


def _seconds(text: str) -> timedelta:
    seconds = int(text)
    if not 0 < seconds <= 10**9:
        raise argparse.ArgumentTypeError("a number of seconds above zero")
    return timedelta(seconds=seconds)


def _jobs(text: str) -> int:
    jobs = int(text)
    if not 0 < jobs <= 256:
        raise argparse.ArgumentTypeError("a number of processes from 1 to 256")
    return jobs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tytle-verify",
        description="Verify attested answers, offline, against AWS's root and your policy. See VERIFICATION.md.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("verify", help="verify one reply or document", allow_abbrev=False)
    one.add_argument("file", help="a parent's JSON reply, or a document as binary or base64; - is standard input")
    one.add_argument("--request", type=Path, help="the JSON that was sent to the parent")
    one.add_argument("--body", type=Path, help="a response body that you hold")
    _common(one)
    again = commands.add_parser("derive", help="verify one reply, and derive its values anew", allow_abbrev=False)
    again.add_argument("file", help="a parent's JSON reply to a query; - is standard input")
    again.add_argument("--request", type=Path, help="the JSON that was sent to the parent")
    bodies = "the upstreams' raw bodies, one for each answered call, in order"
    again.add_argument("--body", type=Path, nargs="+", action="extend", default=[], metavar="FILE", help=bodies)
    _common(again)
    folder = commands.add_parser("verify-many", help="verify every file of a folder", allow_abbrev=False)
    folder.add_argument("folder", type=Path)
    folder.add_argument("--jobs", type=_jobs, default=min(os.cpu_count() or 1, 256), help="processes")
    _common(folder)
    who = commands.add_parser("identity", help="verify an enclave's identity and its key", allow_abbrev=False)
    who.add_argument("file", help="the answer to GET /enclaves/NAME/identity?challenge=; - is standard input")
    who.add_argument("--challenge", type=_challenge, required=True, metavar="BASE64", help="what was asked with")
    _common(who)
    look = commands.add_parser("inspect", help="decode without judging: proves nothing", allow_abbrev=False)
    look.add_argument("file", help="as for verify")
    log_command.add(commands)
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--policy", type=Path, help="a policy (services/NAME.pcrs.toml); replies and identities need one"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON per file")
    parser.add_argument("--max-age", type=_seconds, metavar="SECONDS", help="with --live; 300 unless given")
    time = parser.add_mutually_exclusive_group(required=True)
    time.add_argument("--live", action="store_true", help="this machine's clock: is it good now?")
    time.add_argument("--archive", action="store_true", help="the document's signed time: was it good then?")
    time.add_argument("--at", type=_instant, metavar="ISO8601", help="a chosen instant, with its time zone")
