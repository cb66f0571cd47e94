"""The callers of a siege: honest ones, a flood that may have as much under way as it likes, and a slow attacker."""

from hashlib import sha256
from pathlib import Path

from bench.caller import TOKEN

FLOOD = "tytle_flood"
SLOW = "tytle_slow"  # with the limits that a caller has who is given none
MOST = 4096
_CALLERS = {"honest": (TOKEN, MOST), "flood": (FLOOD, MOST), "slow": (SLOW, None)}


def write(folder: Path) -> Path:
    """Write the file of callers; return it."""
    path, text = folder / "siege-tokens.toml", ""
    for name, (token, concurrent) in _CALLERS.items():
        text += f'[[tokens]]\nname = "{name}"\nsha256 = "{sha256(token.encode()).hexdigest()}"\n'
        text += f"concurrent = {concurrent}\n" if concurrent else ""
    path.write_text(text, encoding="ascii")
    return path
