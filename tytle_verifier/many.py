"""An edge: every file of a folder, in parallel processes. One line each, in the order of their names.

Whatever one file does, to the verifier or to its process, the others have their lines: an archive is judged to its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from tytle_verifier import policy_file, render
from tytle_verifier.chain import LinkCache
from tytle_verifier.errors import PolicyError, shown
from tytle_verifier.evidence import Choices, judge
from tytle_verifier.reply import MAX_REPLY_BYTES
from tytle_verifier.verdict import Exit
from tytle_verifier.when import Time

_choices: list[Choices] = []  # one per worker process, set by its initialiser


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The verdict on one file: exit code, one line of text, one line of JSON."""

    name: str
    code: int
    text: str
    json: str


def files_in(folder: Path) -> list[Path]:
    """Return the plain files directly in `folder` by name, hidden ones left out. Raises: PolicyError if none."""
    found = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not found:
        raise PolicyError(f"no files in {folder}: nothing would be verified")
    return found


def verify_all(paths: list[Path], *, policy: bytes | None, time: Time, jobs: int) -> Iterator[Line]:
    """Judge every file in `jobs` processes, each with a cache of its own; `policy` is the bytes of its file."""
    if jobs == 1:
        choices = _made(policy, time)
        yield from (_judged(path, choices) for path in paths)
        return
    left = list(paths)
    while left:
        done = 0
        try:
            with _pool(jobs, policy, time) as pool:
                for line in pool.map(_work, left, chunksize=max(1, min(16, len(left) // (jobs * 4)))):
                    done += 1
                    yield line
        except BrokenProcessPool:  # one of those under way ended its process: the next is judged alone
            yield _alone(left[done], policy, time)
            done += 1
        left = left[done:]


def read(path: Path) -> bytes:
    """Return the file's bytes, one more than the largest reply at most, so that a larger one is refused by size."""
    with path.open("rb") as file:
        return file.read(MAX_REPLY_BYTES + 1)


def _pool(jobs: int, policy: bytes | None, time: Time) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, initializer=_start, initargs=(policy, time))


def _alone(path: Path, policy: bytes | None, time: Time) -> Line:
    try:
        with _pool(1, policy, time) as pool:
            return pool.submit(_work, path).result()
    except BrokenProcessPool:
        return _unjudged(path, Exit.CRASHED, "crashed", "its process ended")


def _start(policy: bytes | None, time: Time) -> None:
    _choices[:] = [_made(policy, time)]


def _work(path: Path) -> Line:
    return _judged(path, _choices[0])


def _made(policy: bytes | None, time: Time) -> Choices:
    return Choices(time=time, policy=policy_file.load(policy) if policy is not None else None, cache=LinkCache())


def _judged(path: Path, choices: Choices) -> Line:
    try:
        verdict = judge(read(path), choices)
        as_json = render.as_json(verdict, file=path.name)
        return Line(name=path.name, code=verdict.code, text=render.line(verdict), json=as_json)
    except (OSError, PolicyError) as error:
        return _unjudged(path, Exit.UNUSABLE_INPUT, "unusable", str(error))
    except Exception as error:  # noqa: BLE001 - an edge: one file hides no other; `verify` alone shows where it was
        return _unjudged(path, Exit.CRASHED, "crashed", shown(f"{type(error).__name__}: {error}"))


def _unjudged(path: Path, code: Exit, word: str, problem: str) -> Line:
    text = f"{word.upper()}: {problem}"
    return Line(name=path.name, code=code, text=text, json=render.unjudged(word, problem, path.name))
