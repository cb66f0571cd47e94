"""Invariant: whatever an upstream sends, our reader gives a message or its own error; and h11 reads the same message.

`python -m tests.fuzz.upstream FOLDER -max_total_time=60`. FOLDER gets the streams of the hostile corpus to start from.
The first byte of an input chooses the method, the second the size of the pieces in which ours gets the rest.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["enclave_worker.upstream"]):
    from tests.hostile.actions import Send
    from tests.hostile.cases import CASES
    from tests.http_oracle import disagreement

METHODS = ("GET", "HEAD")
MAX_SEED_BYTES = 2000


def one_input(data: bytes) -> None:
    """Feed one input to both readers."""
    if len(data) < 2:
        return
    stream, size = data[2:], data[1] or len(data)
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    if problem := disagreement(METHODS[data[0] % len(METHODS)], stream, pieces):
        raise AssertionError(problem)


def write_seeds(folder: Path) -> None:
    """Write the corpus into the folder."""
    for case in CASES:
        stream = b"".join(action.data for action in case.script if isinstance(action, Send))
        if 0 < len(stream) < MAX_SEED_BYTES:
            (folder / case.name).write_bytes(bytes([case.method == "HEAD", 0]) + stream)


if __name__ == "__main__":
    write_seeds(Path(sys.argv[1]))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
