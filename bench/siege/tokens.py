"""The callers of a siege: honest ones, a flood that may have as much under way as it likes, and a slow attacker."""

from hashlib import sha256
from pathlib import Path

from bench.caller import TOKEN

HONEST, FLOOD, SLOW = "honest", "flood", "slow"
SLOW_TOKEN = "tytle_slow"  # noqa: S105  of a parent that lives for a measurement, as the others
MOST = 4096
_CALLERS = {HONEST: (TOKEN, MOST), FLOOD: ("tytle_flood", MOST), SLOW: (SLOW_TOKEN, None)}  # None: the default


def of(caller: str) -> str:
    """Return a caller's token."""
    return _CALLERS[caller][0]


def write(folder: Path) -> Path:
    """Write the file of callers; return it."""
    path, text = folder / "siege-tokens.toml", ""
    for name, (token, concurrent) in _CALLERS.items():
        text += f'[[tokens]]\nname = "{name}"\nsha256 = "{sha256(token.encode()).hexdigest()}"\n'
        text += f"concurrent = {concurrent}\n" if concurrent else ""
    path.write_text(text, encoding="ascii")
    return path
