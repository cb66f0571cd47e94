"""What a process holds in memory, from /proc/PID/smaps_rollup (proc(5)). Only Linux has it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

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
