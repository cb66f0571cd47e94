"""An edge: `tytle-verify log ...`. Reads files and prints one line; `log` decides."""

from __future__ import annotations

import argparse
import base64
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tytle_verifier import log, many
from tytle_verifier.errors import LogError, VerificationError
from tytle_verifier.verdict import Exit

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def run(options: argparse.Namespace) -> int:
    """Carry out one question about the log and return the exit code."""
    try:
        sys.stdout.write(f"{QUESTIONS[options.question](options)}\n")
    except LogError as error:
        sys.stdout.write(f"REFUSED: {error}\n      {error.advice}\n")
        return Exit.NOT_LOGGED
    except VerificationError as error:  # the reply cannot even be decoded
        sys.stdout.write(f"REFUSED: {error}\n      {error.advice}\n")
        return Exit.REFUSED + error.step
    return Exit.VERIFIED


def add(commands: Commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("log", help="check the archive's log: proofs between heads that you keep")
    questions = parser.add_subparsers(dest="question", required=True)
    leaf = questions.add_parser("leaf", help="the leaf hash of a reply, to ask for its proof", allow_abbrev=False)
    leaf.add_argument("reply", type=Path, help="the reply as it was received, byte for byte")
    proof = questions.add_parser("inclusion", help="is this reply in the log of this head?", allow_abbrev=False)
    proof.add_argument("reply", type=Path, help="the reply as it was received, byte for byte")
    proof.add_argument("--head", type=Path, required=True, help="an answer to GET /log/head that you keep")
    proof.add_argument("--proof", type=Path, required=True, help="the answer to GET /log/proof?leaf=&size=")
    grown = questions.add_parser("consistency", help="did the log only grow between two heads?", allow_abbrev=False)
    grown.add_argument("--from", type=Path, required=True, dest="older", metavar="HEAD", help="the older head")
    grown.add_argument("--to", type=Path, required=True, dest="newer", metavar="HEAD", help="the newer head")
    grown.add_argument("--proof", type=Path, required=True, help="the answer to GET /log/consistency?from=&to=")
    ask = questions.add_parser("challenge", help="what to have an enclave sign, to date a head", allow_abbrev=False)
    ask.add_argument("head", type=Path, help="an answer to GET /log/head")


def _leaf(options: argparse.Namespace) -> str:
    return log.leaf_of(many.read(options.reply)).hex()


def _inclusion(options: argparse.Namespace) -> str:
    leaf = log.leaf_of(many.read(options.reply))
    proof = log.decode_inclusion(many.read(options.proof))
    log.check_inclusion(leaf, proof, log.decode_head(many.read(options.head)))
    return f"IN THE LOG: leaf {leaf.hex()}, index {proof.index} of {proof.size}. Whether the reply is true: verify it."


def _consistency(options: argparse.Namespace) -> str:
    older, newer = log.decode_head(many.read(options.older)), log.decode_head(many.read(options.newer))
    log.check_consistency(older, newer, log.decode_consistency(many.read(options.proof)))
    return f"ONLY GROWN: the first {older.size} of {newer.size} leaves are those of the older head"


def _challenge(options: argparse.Namespace) -> str:
    return base64.urlsafe_b64encode(log.challenge_for(log.decode_head(many.read(options.head)))).decode()


QUESTIONS: dict[str, Callable[[argparse.Namespace], str]] = {
    "leaf": _leaf,
    "inclusion": _inclusion,
    "consistency": _consistency,
    "challenge": _challenge,
}
