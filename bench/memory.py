"""What the processes of a `Child` hold in memory, from /proc/PID/smaps_rollup (proc(5)). Only Linux has it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.processes import Child

KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """KiB of one process: `resident`, and `proportional`, where a page that n processes share counts 1/n in each."""

    resident: int
    proportional: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Look at a running process."""
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
        kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return cls(kib["Rss"], kib["Pss"])


def of(child: Child) -> list[Memory]:
    """Return the memory of a child's processes, first that of the one that was started."""
    return [Memory.of(pid) for pid in child.members()]


def resident_kib(child: Child) -> int:
    """Return what a child's processes hold together."""
    return sum(each.resident for each in of(child))
