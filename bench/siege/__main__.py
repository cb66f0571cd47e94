"""`python -m bench.siege [NAME...] [--seconds N]`: attack, print the table, write bench/results/load.json.

Chosen attacks, such as heads and idle, go into load-heads-idle.json.

Ends with 1 when a promise is broken. N seconds are shared by the chosen attacks; without it, all of them take six
minutes, in five rounds each.
"""

import argparse
import json
import resource
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from bench import machine
from bench.processes import Processes, as_program
from bench.rounds import Spread
from bench.siege import system as systems
from bench.siege.attacks import ATTACKS
from bench.siege.run import WARM_UP_SECONDS, Lengths, besiege, measure_peak
from bench.siege.verdict import Verdict, judge

RESULTS = Path(__file__).parent.parent / "results"
Peaks = dict[tuple[str, int], float]  # answers per second, by service and honest callers
DESCRIPTORS = 8192
PEAK_SECONDS = 3.0
LEAST = Lengths(attack=2.0, calm=3.0, rounds=1)


def main(arguments: list[str]) -> int:
    """Run. Returns 0, or 1 when a promise is broken."""
    options = _options(arguments)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, DESCRIPTORS), hard))
    chosen = [attack for attack in ATTACKS if attack.name in (options.names or {one.name for one in ATTACKS})]
    lengths = fit(options.seconds, len(chosen)) if options.seconds else Lengths()
    facts = machine.facts()
    print(machine.as_text(facts), flush=True)
    print(heading(), flush=True)
    verdicts = []
    with Processes() as processes, ExitStack() as stack:
        system = systems.start(processes, stack)
        measure_peak(processes, system, chosen[0], PEAK_SECONDS)  # and warm everything up
        peaks = dict.fromkeys(((one.service, one.clients) for one in chosen), 0.0)
        for attack in chosen:
            key = attack.service, attack.clients
            peaks[key] = peaks[key] or measure_peak(processes, system, attack, PEAK_SECONDS)
            verdicts.append(judge(attack, besiege(processes, system, attack, lengths, peak=peaks[key])))
            print(as_text(verdicts[-1]), flush=True)
    path = RESULTS / f"{'-'.join(['load', *options.names])}.json"
    _write(path, facts, lengths, peaks, verdicts)
    broken = [one for one in verdicts if one.broken]
    told = ", ".join(
        f"{clients} callers of {service} {peak:,.0f} answers/s" for (service, clients), peak in peaks.items()
    )
    print(f"\npeaks: {told}; {path.relative_to(RESULTS.parent.parent)}")
    for one in broken:
        print(f"BROKEN  {one.name}: {'; '.join(one.broken)}")
    return 1 if broken else 0


def fit(seconds: float, attacks: int) -> Lengths:
    """Return lengths with which so many attacks take about so long; LEAST where that is too short."""
    for rounds in (3, 2, 1):
        each = seconds / attacks - WARM_UP_SECONDS
        unit = each / (rounds * 11 + 6)  # an attack is 5 of these, a calm 6
        if unit * 6 >= LEAST.calm:
            return Lengths(attack=5 * unit, calm=6 * unit, rounds=rounds)
    return LEAST


def heading() -> str:
    """Return what stands above the table."""
    return (
        "goodput  good answers, as a share of the calm times around an attack (least-most of the rounds): of the CPU\n"
        "         time that attackers and others left, but raw for overload and bulkhead; calm: the calm times\n"
        "p99      of the honest callers, ms, calm > attack\n"
        "back     seconds from an attack's end until rate and p99 are those of calm times (-: not within the calm)\n"
        "memory   MiB of the parent, of the worker, before + the most that came to it\n"
        f"{'attack':<10} {'goodput':<16} {'raw':>4} {'calm':>9} {'p99':>12} {'back':>11} {'memory':>15} {'noise':>6}\n"
    )


def as_text(one: Verdict) -> str:
    """Return one attack's line, and what it was below it."""
    back = " ".join("-" if each is None else f"{each:.1f}" for each in one.recovery)
    before, most, _ = one.memory
    memory = ", ".join(f"{before[name]:.0f}+{most[name] - before[name]:.0f}" for name in before)
    calm = f"{one.calm_noise.least:.0%}-{one.calm_noise.most:.0%}"
    p99 = f"{one.p99_ms[0]:.0f} > {one.p99_ms[1]:.0f}"
    rest = f"{one.raw.median:>4.0%} {calm:>9} {p99:>12} {back:>11} {memory:>15} {one.noise:>6.0%}"
    verdict = f"BROKEN: {'; '.join(one.broken)}" if one.broken else "held"
    heard = [f"honest {one.outcomes}", *([f"flood {one.flood}"] if one.flood else []), *map(_said, one.said[:3])]
    cost = f"; CPU ms of an answer {one.answer_ms:.2f}, of a refusal {one.refusal_ms:.2f}" if one.flood else ""
    below = [f"{one.what}; their own CPU {one.attackers:.0%} of the machine{cost}", *heard]
    return "\n           ".join([f"{one.name:<10} {_percent(one.judged):<16} {rest}  {verdict}", *below])


def _said(said: dict[str, object]) -> str:
    return f"{said['kind']}: {said['most']} at once, {said['ended']} ended, heard {said['said']}"


def _percent(spread: Spread) -> str:
    return f"{spread.median:.0%} ({spread.least:.0%}-{spread.most:.0%})"


def _write(path: Path, facts: dict[str, object], lengths: Lengths, peaks: Peaks, verdicts: Sequence[Verdict]) -> None:
    path.parent.mkdir(exist_ok=True)
    told = [{"service": service, "clients": clients, "rate": rate} for (service, clients), rate in peaks.items()]
    found = {"machine": facts, "lengths": asdict(lengths), "peaks": told, "attacks": [asdict(one) for one in verdicts]}
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.siege", description="Attacks while honest callers work.")
    known = [attack.name for attack in ATTACKS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; default all")
    parser.add_argument("--seconds", type=float, help="in all, about")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"no attack {unknown[0]!r}")
    return options


if __name__ == "__main__":
    as_program(main, "the load suite")
