"""Makes the corpus that is kept: `python -m tests.fuzz.keep NAME...` after `make fuzz`, without the fuzzer.

Of what a target has found in build/fuzz/NAME, smallest first, the inputs stay that lead to a line after a line which no
seed and no input before led to. What was kept before is tried first. Two kinds always stay: `found-*`, which once broke
an invariant, and `shows-*`, by which the fuzzer noticed a planted fault that nothing else here shows (faults.py).
"""

import sys
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.targets import TARGETS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROOMS = ("app", "enclave_worker", "nsm", "policy", "tytle_verifier", "wire")
MAX_INPUT_BYTES = 3000
Steps = set[tuple[object, int, int]]  # a piece of code, and two lines of it, one after the other


def steps_of(run: Callable[[bytes], None], data: bytes) -> Steps:
    """Return the steps from line to line in our rooms that an input leads to."""
    steps: Steps = set()
    before: dict[FrameType, int] = {}

    def line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            steps.add((frame.f_code, before.get(frame, 0), frame.f_lineno))
            before[frame] = frame.f_lineno
        return line

    def call(frame: FrameType, *_: Any) -> Any:
        return line if _is_ours(frame.f_code.co_filename) else None

    sys.settrace(call)
    try:
        run(data)
    finally:
        sys.settrace(None)
    return steps


def _is_ours(name: str) -> bool:
    path = Path(name)
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in ROOMS


def keep(name: str) -> tuple[int, int]:
    """Make the corpus of one target anew. Returns how many inputs there were, and how many are kept."""
    target, folder = TARGETS[name], HERE / "corpus" / name
    folder.mkdir(parents=True, exist_ok=True)
    known: Steps = set()
    for _, data in target.seeds():
        known |= steps_of(target.one_input, data)
    old = sorted(folder.iterdir(), key=_size)
    found = [each for each in (ROOT / "build/fuzz" / name).iterdir() if not each.name.startswith("seed-")]
    kept = 0
    for path in [*old, *sorted(found, key=_size)]:
        data = path.read_bytes()
        new = steps_of(target.one_input, data) - known if len(data) <= MAX_INPUT_BYTES else set()
        known |= new
        if path in old and not new and not path.name.startswith(("found-", "shows-")):
            path.unlink()
        if path not in old and new:
            (folder / sha256(data).hexdigest()[:16]).write_bytes(data)
        kept += bool(new)
    return len(old) + len(found), kept


def _size(path: Path) -> int:
    return path.stat().st_size


def main(names: Iterable[str]) -> None:
    """Keep the corpora of these targets, of all where none is named."""
    for name in names or TARGETS:
        there, kept = keep(name)
        print(f"{name}: {kept} of {there} inputs kept")


if __name__ == "__main__":
    main(sys.argv[1:])
