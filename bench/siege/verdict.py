"""What was promised and what was seen: from the phases and events of an attack to a row of the table. Pure."""

import itertools
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.rounds import Spread
from bench.siege import events
from bench.siege.attacks import Attack
from bench.siege.run import Phase, Seen

BACK = 0.95  # of the peak, and
SLOWER = 1.5  # times its 99th percentile, or
SLACK_SECONDS = 0.1  # more, whichever is later: that of half a second is a few answers'
MOST_RECOVERY_SECONDS = 5.0
HALF = 0.5  # of the rate before an attack counts as a peak behind it: a machine that others use has no other measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One attack. Goodput is a share of the calm times around it: `raw`, and `fair`, for the CPU time that attackers
    and other jobs left; `judged` is one of them. `recovery` is in seconds, None where it was not seen within the calm,
    `noise` the share of the machine that went to other jobs, and `attackers` to the attackers. `answer_ms` and
    `refusal_ms` are the system's CPU time for each: of all calm times, and of what was left of the attacks' after
    their good answers (0: none refused).
    """

    name: str
    what: str
    raw: Spread
    fair: Spread
    judged: Spread
    calm_noise: Spread
    p99_ms: tuple[float, float]
    recovery: tuple[float | None, ...]
    memory: tuple[dict[str, float], ...]
    outcomes: dict[str, int]
    flood: dict[str, int]
    said: tuple[dict[str, object], ...]
    answer_ms: float
    refusal_ms: float
    noise: float
    attackers: float
    broken: tuple[str, ...]


def judge(attack: Attack, seen: Seen) -> Verdict:
    """Return what is to be said of one attack."""
    all_events = sorted((*seen.honest, *(seen.flood if attack.floods else ())), key=lambda one: one.at)

    def rate(phase: Phase) -> float:
        return events.rate(all_events, phase.begin, phase.end)

    def fair(phase: Phase) -> float:
        return rate(phase) / phase.left

    def settled(calm: Phase) -> float:
        return events.rate(all_events, (calm.begin + calm.end) * HALF, calm.end)

    peaks = [rate(phase) for phase in seen.calm]
    raw, share = _shares(seen, rate), _shares(seen, fair)
    judged = raw if attack.placed else share
    calm_p99 = _p99(seen.honest, seen.calm)
    recovery = tuple(
        events.recovery(
            seen.honest,
            calm.begin,
            calm.end,
            least_rate=BACK * min(rate(before), max(settled(calm), rate(before) * HALF)),
            most_p99=max(SLOWER * calm_p99, calm_p99 + SLACK_SECONDS),
        )
        for before, calm in itertools.pairwise(seen.calm)
    )
    honest = _count(seen.honest, seen.attack)
    flood = _count(seen.flood, seen.attack)
    phases = (*seen.calm, *seen.attack)
    answer = sum(one.system for one in seen.calm) / max(1, _count(seen.honest, seen.calm).get(events.GOOD, 0))
    return Verdict(
        name=attack.name,
        what=attack.what,
        raw=raw,
        fair=share,
        judged=judged,
        calm_noise=Spread.of(peak / statistics.median(peaks) for peak in peaks),
        p99_ms=(calm_p99 * 1000, _p99(seen.honest, seen.attack) * 1000),
        recovery=recovery,
        memory=seen.memory,
        outcomes=honest,
        flood=flood,
        said=seen.said,
        answer_ms=answer * 1000,
        refusal_ms=_refusal_seconds(seen.attack, Counter(honest) + Counter(flood), answer) * 1000,
        noise=sum(one.others for one in phases) / sum(one.cores for one in phases),
        attackers=sum(one.attackers for one in seen.attack) / sum(one.cores for one in seen.attack),
        broken=tuple(_broken(attack, judged, recovery, seen, flood)),
    )


def _shares(seen: Seen, read: Callable[[Phase], float]) -> Spread:
    """Return each attack's part of the mean of the calm before and the calm behind it."""
    return Spread.of(
        read(attack) / max(1e-9, (read(before) + read(behind)) / 2)
        for before, attack, behind in zip(seen.calm, seen.attack, seen.calm[1:], strict=False)
    )


def _p99(found: Sequence[events.Event], phases: Iterable[Phase]) -> float:
    """Return the median of the phases' 99th percentiles, in seconds."""
    return statistics.median(events.p99(found, one.begin, one.end) for one in phases)


def _count(found: Iterable[events.Event], phases: Iterable[Phase]) -> dict[str, int]:
    counter = Counter[str]()
    for phase in phases:
        counter.update(events.outcomes(found, phase.begin, phase.end))
    return dict(counter)


def _refusal_seconds(attacks: Iterable[Phase], outcomes: Mapping[str, int], answer: float) -> float:
    refused = outcomes.get(events.REFUSED, 0)
    spent = sum(one.system for one in attacks) - outcomes.get(events.GOOD, 0) * answer
    return max(0.0, spent / refused) if refused else 0.0


def _broken(
    attack: Attack, share: Spread, recovery: tuple[float | None, ...], seen: Seen, flood: dict[str, int]
) -> Iterable[str]:
    if attack.least is not None and share.median < attack.least:
        yield f"goodput {share.median:.0%}"
    late = [one for one in recovery if one is None or one >= MOST_RECOVERY_SECONDS]
    if len(late) * 2 > len(recovery):
        yield "recovery"
    before, most, _ = seen.memory
    for name, mib in most.items():
        if mib - before[name] > attack.most_mib:
            yield f"memory of the {name} +{mib - before[name]:.0f} MiB"
    calm_honest = _count(seen.honest, seen.calm[1:])
    if wrong := _bad(calm_honest):
        yield f"{wrong} bad answers in calm times"
    if wrong := _bad(flood):
        yield f"{wrong} of the flood neither served nor refused properly"


def _bad(outcomes: Mapping[str, int]) -> int:
    return sum(count for outcome, count in outcomes.items() if outcome.startswith(events.BAD))
