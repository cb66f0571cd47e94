"""`python -m app.drain SERVICE CID [--undo] [--wait SECONDS]`: give an enclave no new calls, from any of the processes.

It writes a mark into STATE_DIR, which the processes look at every half second; nothing is restarted. `--wait` returns
when every process has seen the mark and has no call under way there. What is sealed to the enclave's key still goes
there: nobody else can open it. Where a service has no other enclave that answers, its calls go there as well, and
`/readyz` says 503.

Exit status: 0 done; 1 not idle in time; 2 it cannot be done.
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from app.state import Held, StateFolder, idle

LOOK_SECONDS = 0.1
MAX_WAIT_SECONDS = 86_400.0


class NotPossible(Exception):
    """The enclave cannot be drained. The message says why."""


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Drain one enclave, or undo that. Returns the exit status."""
    options = _parser().parse_args(arguments)
    name = f"{options.service}/{options.cid}"
    try:
        folder = _folder(environ)
        if options.undo:
            folder.undo(options.service, options.cid)
            return _said(f"{name} gets new calls again")
        _check_known(name, list(folder.held()))
        folder.drain(options.service, options.cid)
    except (NotPossible, OSError) as exc:
        print(f"app.drain: {exc}", file=sys.stderr)  # noqa: T201  this is a command
        return 2
    if options.wait is None:
        return _said(f"{name} gets no new calls")
    return _wait(folder, name, options.wait)


def _wait(folder: StateFolder, name: str, seconds: float) -> int:
    end = time.monotonic() + seconds
    while not idle(folder.held(), name):
        if time.monotonic() >= end:
            calls = sum(held.calls for state in folder.held() for held in state if held.name == name)
            _said(f"{name} gets no new calls, and is not idle after {seconds:g} s: {calls} calls under way")
            return 1
        time.sleep(LOOK_SECONDS)
    return _said(f"{name} gets no new calls and has none under way")


def _folder(environ: Mapping[str, str]) -> StateFolder:
    path = environ.get("STATE_DIR", "")
    if not path.startswith("/"):
        raise NotPossible("set STATE_DIR to the absolute path that the parent has")
    return StateFolder(Path(path))


def _check_known(name: str, states: list[list[Held]]) -> None:
    """Refuse a name that the running processes do not have: a mark for it would drain nothing. Raises: NotPossible."""
    known = sorted({held.name for state in states for held in state})
    if not known:
        raise NotPossible("no process of the parent uses this STATE_DIR")
    if name not in known:
        raise NotPossible(f"there is no {name} here, but {', '.join(known)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app.drain")
    parser.add_argument("service", type=_service)
    parser.add_argument("cid", type=_cid)
    parser.add_argument("--undo", action="store_true", help="give it new calls again")
    parser.add_argument("--wait", type=_seconds, metavar="SECONDS", help="return when it has no call under way")
    return parser


def _service(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{1,32}", text):
        raise ValueError("no name of a service")
    return text


def _cid(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text):
        raise ValueError("no CID")
    return int(text)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= MAX_WAIT_SECONDS:
        raise ValueError("out of range")
    return seconds


def _said(text: str) -> int:
    print(text, flush=True)  # noqa: T201  this is a command
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
