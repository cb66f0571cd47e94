"""Reading maps whose keys are fixed: every key known, every value of exactly one type.

For statements and user data (CBOR), replies and requests (JSON), policies (TOML). bool is not int here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

from tytle_verifier.errors import VerificationError

_Wanted = TypeVar("_Wanted", bytes, str, int, bool, list[object], dict[str, object])
_Made = TypeVar("_Made")


class WrongShape(VerificationError):
    """A value does not fit the CDDL. Callers turn it into the error of their step."""

    step = 7
    advice = "The bytes follow another version of the format, or were not made by the enclave."


class Fields:
    """A map being read; `where` is its place, for example `exchanges[0].request`. Raises: WrongShape throughout."""

    __slots__ = ("_map", "_where")

    def __init__(self, value: object, where: str, *, required: Iterable[str], optional: Iterable[str] = ()) -> None:
        """Refuse anything but a map with all of the `required` keys and none beyond the `optional` ones."""
        if not isinstance(value, dict):
            raise WrongShape(f"{where}: type", got=type(value).__name__, expected="a map")
        required = frozenset(required)
        missing, unknown = required - value.keys(), value.keys() - required - frozenset(optional)
        if missing:
            raise WrongShape(f"{where}: missing key", got=", ".join(sorted(missing)))
        if unknown:
            raise WrongShape(f"{where}: unknown key", got=", ".join(sorted(map(str, unknown))))
        self._map = value
        self._where = where

    def __contains__(self, key: str) -> bool:
        """Tell whether an optional key is there (null counts as being there)."""
        return key in self._map

    def of(self, key: str, kind: type[_Wanted]) -> _Wanted:
        """Return the value of `key`, exactly of type `kind`."""
        value = self._map[key]
        if type(value) is not kind:
            raise WrongShape(f"{self.place(key)}: type", got=type(value).__name__, expected=kind.__name__)
        return value

    def text(self, key: str) -> str:
        """Return text."""
        return self.of(key, str)

    def flag(self, key: str) -> bool:
        """Return true or false."""
        return self.of(key, bool)

    def texts(self, key: str) -> tuple[tuple[str, str], ...]:
        """Return a map of text to text as pairs, in its own order."""
        pairs = self.of(key, dict)
        for name, value in pairs.items():
            if type(value) is not str:
                raise WrongShape(f"{self.place(key)}.{name}: type", got=type(value).__name__, expected="str")
        return tuple((name, str(value)) for name, value in pairs.items())

    def scalars(self, key: str) -> Mapping[str, str | int | bool | None]:
        """Return a map of text to text, integers, booleans and nulls, which cannot be changed."""
        pairs = self.of(key, dict).items()
        return MappingProxyType({self._name(key, name): self._scalar(key, value) for name, value in pairs})

    def _name(self, key: str, name: object) -> str:
        if not isinstance(name, str):
            raise WrongShape(f"{self.place(key)}: key", got=type(name).__name__, expected="text")
        return name

    def _scalar(self, key: str, value: object) -> str | int | bool | None:
        if not (value is None or isinstance(value, str | int)):
            raise WrongShape(
                f"{self.place(key)}: value", got=type(value).__name__, expected="no structure, no fraction"
            )
        return value

    def natural(self, key: str, *, least: int = 0) -> int:
        """Return an integer not below `least`."""
        value = self.of(key, int)
        if value < least:
            raise WrongShape(self.place(key), got=value, expected=f"at least {least}")
        return value

    def octets(self, key: str, least: int, most: int) -> bytes:
        """Return a byte string of `least` to `most` bytes."""
        value = self.of(key, bytes)
        if not least <= len(value) <= most:
            raise WrongShape(f"{self.place(key)}: size", got=f"{len(value)} bytes", expected=f"{least}..{most}")
        return value

    def sha256(self, key: str) -> bytes:
        """Return a digest of 32 bytes."""
        return self.octets(key, 32, 32)

    def maybe(self, key: str, read: Callable[[str], _Made]) -> _Made | None:
        """Return `read(key)`, or None where the key is absent."""
        return read(key) if key in self._map else None

    def each(self, key: str, read: Callable[[object, str], _Made]) -> tuple[_Made, ...]:
        """Return `read(element, place)` of every element of an array."""
        return tuple(read(v, f"{self.place(key)}[{i}]") for i, v in enumerate(self.of(key, list)))

    def raw(self, key: str) -> object:
        """Return the value unread."""
        return self._map[key]

    def place(self, key: str) -> str:
        """Return how errors call `key`."""
        return f"{self._where}.{key}" if self._where else key
