"""`python -m devstack.endurance [--minutes M] [--seed N] [--clients N] [--output FOLDER]`; 0 where no rule was broken.

FOLDER gets `figures.json` and what each process wrote.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from devstack.endurance import report
from devstack.endurance.run import Options, run

MAX_MINUTES = 24 * 60.0
MAX_CLIENTS = 64


def main(arguments: list[str]) -> int:
    """Do one run and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m devstack.endurance")
    parser.add_argument("--minutes", type=_minutes, default=2.0)
    parser.add_argument("--seed", type=int, default=1, help="what the clients' and the events' choices follow from")
    parser.add_argument("--clients", type=_clients, default=8)
    parser.add_argument("--output", type=Path, help="a folder for figures.json and the processes' logs")
    given = parser.parse_args(arguments)
    output = given.output or Path(tempfile.mkdtemp(prefix="tytle-endurance-"))
    output.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or its processes would be left behind
    figures = run(Options(seconds=given.minutes * 60, clients=given.clients, seed=given.seed, output=output))
    (output / "figures.json").write_text(report.as_json(figures), encoding="utf-8")
    print("\n".join(report.lines(figures)))
    print(f"All figures: {output / 'figures.json'}", flush=True)
    return 1 if figures.problems() else 0


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0 < minutes <= MAX_MINUTES:
        raise ValueError("out of range")
    return minutes


def _clients(text: str) -> int:
    clients = int(text)
    if not 1 <= clients <= MAX_CLIENTS:
        raise ValueError("out of range")
    return clients


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
