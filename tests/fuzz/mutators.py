"""Mutations of the value that CBOR or JSON bytes stand for, so that a mutant is well-formed and wrong further inside.

Half of the mutants are still made of the bytes: what is not well-formed has to be refused too.
"""

import itertools
import json
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import cbor2

from tests.fuzz.target import Fallback, Mutator

SCALARS: tuple[Any, ...] = (None, True, False, 0, 1, -1, 23, 24, 255, 256, 2**31, 2**32, 2**53, 2**63, 2**64 - 1)
TEXTS = ("", "a", "0", "id", "\u00e9", "\U0001f600", "x" * 24, "x" * 65, "utf-8", "https://a.test/")
FRACTIONS = (0.0, -0.0, 0.5, 1e300, float("inf"), float("nan"))
MAX_PARTS = 1000  # to find one part costs the number of all, once for each level
MAX_LEVELS = 8  # what is fuzzed has 4 at most
SHAREABLE, SHARED = 28, 29  # tags of http://cbor.schmorp.de/value-sharing
OCTETS = (b"", b"\x00", bytes(16), bytes(32), bytes(48), b"\xff" * 64)


def cbor_behind(prefix_bytes: int) -> Mutator:
    """Return a mutator of inputs that are one CBOR item behind so many other bytes."""
    leaves = (*SCALARS, *TEXTS, *OCTETS, *FRACTIONS)
    return partial(_mutated, prefix_bytes, _tree, partial(cbor2.dumps, canonical=True), leaves)


def _tree(data: bytes) -> Any:
    """Return a CBOR item of few levels, in which no part is shared.

    The fuzzer waits for a mutator as long as it takes. A map that is a key of a map, which is a key, is encoded twice
    on each level; a list that is in the next one twice, which is in the next one twice, is hashed as often as a key.

    Raises:
        ValueError, CBORError: it is another, or none.
    """
    return cbor2.loads(data, max_depth=MAX_LEVELS, semantic_decoders={SHAREABLE: _refused, SHARED: _refused})


def _refused(value: object, immutable: bool) -> Any:
    raise ValueError("a shared value")


def json_behind(prefix_bytes: int) -> Mutator:
    """Return a mutator of inputs that are one JSON text behind so many other bytes."""
    leaves = (*SCALARS, *TEXTS, *FRACTIONS, "\ud800")
    return partial(_mutated, prefix_bytes, json.loads, lambda value: json.dumps(value).encode(), leaves)


def _mutated(
    prefix_bytes: int,
    loads: Callable[[bytes], Any],
    dumps: Callable[[Any], bytes],
    leaves: tuple[Any, ...],
    data: bytes,
    most: int,
    seed: int,
    fallback: Fallback,
) -> bytes:
    chance = random.Random(seed)  # noqa: S311  the fuzzer's choice, to be made again from its seed
    if chance.random() < 0.5:
        return fallback(data, most)
    try:
        value = _Tree(chance, leaves).changed(loads(data[prefix_bytes:]))
        mutant = data[:prefix_bytes] + dumps(value)
    except (ValueError, TypeError, RecursionError, OverflowError, cbor2.CBORError):
        return fallback(data, most)
    return mutant if len(mutant) <= most else fallback(data, most)


class _Tree:
    """One change somewhere in a value."""

    def __init__(self, chance: random.Random, leaves: tuple[Any, ...]) -> None:
        self._chance = chance
        self._leaves = leaves
        self._met: list[Any] = []

    def changed(self, value: Any) -> Any:
        """Return `value` with one part changed. Raises ValueError: it is too large."""
        self._met = list(itertools.islice(_inside(value), MAX_PARTS + 1))
        if len(self._met) > MAX_PARTS:
            raise ValueError("too large")
        return self._walk(value, self._chance.randrange(len(self._met)))

    def _walk(self, value: Any, steps: int) -> Any:
        """Return `value` with the part changed that is met after so many `steps`."""
        if steps == 0:
            return self._other(value)
        steps -= 1
        if isinstance(value, dict):
            for key, inner in value.items():
                size = len(list(_inside(inner)))
                if steps < size:
                    return {**value, key: self._walk(inner, steps)}
                steps -= size
        if isinstance(value, list):
            for index, inner in enumerate(value):
                size = len(list(_inside(inner)))
                if steps < size:
                    return [*value[:index], self._walk(inner, steps), *value[index + 1 :]]
                steps -= size
        return value

    def _other(self, value: Any) -> Any:
        make = self._chance.choice((self._leaf, self._met_elsewhere, self._near, self._near, self._near))
        return make(value)

    def _leaf(self, _: Any) -> Any:
        return self._chance.choice(self._leaves)

    def _met_elsewhere(self, _: Any) -> Any:
        return self._chance.choice(self._met)

    def _near(self, value: Any) -> Any:
        """Return a neighbour of the same type."""
        match value:
            case bool():
                return not value
            case int():
                return value + self._chance.choice((-1, 1, 255, -value, value))
            case dict():
                return self._other_map(value)
            case list():
                return self._other_list(value)
            case str():
                at = self._chance.randrange(len(value) + 1)
                return value[:at] + self._chance.choice(("", "a", "0", " ", "\u00e9", value)) + value[at + 1 :]
            case bytes():
                at = self._chance.randrange(len(value) + 1)
                return value[:at] + self._chance.choice((b"", b"\x00", b"\xff", value)) + value[at + 1 :]
            case _:
                return self._leaf(value)

    def _other_map(self, value: dict[Any, Any]) -> dict[Any, Any]:
        if value and self._chance.random() < 0.5:
            gone = self._chance.choice(list(value))
            return {key: inner for key, inner in value.items() if key != gone}
        keys = [key for each in self._met if isinstance(each, dict) for key in each] or ["a"]
        return {**value, self._chance.choice((*keys, "a", 0)): self._chance.choice((*self._met, *self._leaves))}

    def _other_list(self, value: list[Any]) -> list[Any]:
        at = self._chance.randrange(len(value) + 1)
        if value and self._chance.random() < 0.3:
            return value[:at] + value[at + 1 :]
        return [*value[:at], self._chance.choice((*self._met, *self._leaves)), *value[at:]]


def _inside(value: Any) -> Any:
    """Yield a value and all that is in it, in the order in which `_walk` counts."""
    yield value
    if isinstance(value, dict):
        for inner in value.values():
            yield from _inside(inner)
    if isinstance(value, list):
        for inner in value:
            yield from _inside(inner)
