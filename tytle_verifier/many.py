"""An edge: every file of a folder, in parallel processes. One line each, in the order of their names."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tytle_verifier import policy_file, render
from tytle_verifier.chain import LinkCache
from tytle_verifier.errors import PolicyError
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
    chunk = max(1, min(16, len(paths) // (jobs * 4)))
    with ProcessPoolExecutor(jobs, initializer=_start, initargs=(policy, time)) as pool:
        yield from pool.map(_work, paths, chunksize=chunk)


def read(path: Path) -> bytes:
    """Return the file's bytes, one more than the largest reply at most, so that a larger one is refused by size."""
    with path.open("rb") as file:
        return file.read(MAX_REPLY_BYTES + 1)


def _start(policy: bytes | None, time: Time) -> None:
    _choices[:] = [_made(policy, time)]


def _work(path: Path) -> Line:
    return _judged(path, _choices[0])


def _made(policy: bytes | None, time: Time) -> Choices:
    return Choices(time=time, policy=policy_file.load(policy) if policy is not None else None, cache=LinkCache())


def _judged(path: Path, choices: Choices) -> Line:
    try:
        verdict = judge(read(path), choices)
    except (OSError, PolicyError) as error:
        text = f"UNUSABLE: {error}"
        return Line(name=path.name, code=Exit.UNUSABLE_INPUT, text=text, json=render.unusable(str(error), path.name))
    shown = render.as_json(verdict, file=path.name)
    return Line(name=path.name, code=verdict.code, text=render.line(verdict), json=shown)
