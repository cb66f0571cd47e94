"""A TOML table that is read key by key: each value of one type, and nothing left over.

Every refusal names the place in the file, such as `upstreams[0].rules[1].method`.
"""

from dataclasses import dataclass

from policy.errors import ManifestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table and its place. A type is compared exactly: TOML's `true` is not the integer 1."""

    at: str
    entries: dict[str, object]

    def place(self, key: str) -> str:
        """The place of `key` in the file; a key that is not plain is shown escaped."""
        plain = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
        return ".".join(filter(None, (self.at, key if plain else ascii(key))))

    def only(self, *keys: str) -> None:
        """Raise ManifestError unless every key of the table is one of `keys`."""
        for key in self.entries:
            if key not in keys:
                raise ManifestError(self.place(key), f"unknown key; expected one of {', '.join(keys)}")

    def text(self, key: str) -> str:
        """The text at `key`. Raises ManifestError: absent, or no text."""
        return _text(self.place(key), self._value(key))

    def flag(self, key: str) -> bool:
        """The boolean at `key`. Raises ManifestError: absent, or no boolean."""
        value = self._value(key)
        if not isinstance(value, bool):
            raise ManifestError(self.place(key), f"got {type(value).__name__}, expected true or false")
        return value

    def number(self, key: str, *, least: int, most: int) -> int:
        """The integer at `key`. Raises ManifestError: absent, no integer, or out of range."""
        value = self._value(key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ManifestError(self.place(key), f"expected an integer from {least} to {most}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """The texts at `key`, none twice; empty when absent. Raises ManifestError: no list of distinct texts."""
        values = self.entries.get(key, [])
        if not isinstance(values, list):
            raise ManifestError(self.place(key), f"got {type(values).__name__}, expected a list of texts")
        texts = tuple(_text(f"{self.place(key)}[{index}]", value) for index, value in enumerate(values))
        if len(texts) != len(set(texts)):
            raise ManifestError(self.place(key), "an entry occurs twice")
        return texts

    def tables(self, key: str) -> tuple["Table", ...]:
        """The tables at `key`, at least one. Raises ManifestError: absent, empty, or no list of tables."""
        values = self._value(key)
        if not isinstance(values, list) or not values:
            raise ManifestError(self.place(key), "expected at least one table")
        return tuple(_table(f"{self.place(key)}[{index}]", value) for index, value in enumerate(values))

    def _value(self, key: str) -> object:
        if key not in self.entries:
            raise ManifestError(self.place(key), "missing")
        return self.entries[key]


def _text(at: str, value: object) -> str:
    if not isinstance(value, str):
        raise ManifestError(at, f"got {type(value).__name__}, expected a text")
    return value


def _table(at: str, value: object) -> Table:
    if not isinstance(value, dict):
        raise ManifestError(at, f"got {type(value).__name__}, expected a table")
    return Table(at=at, entries=value)
