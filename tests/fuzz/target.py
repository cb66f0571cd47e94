"""What a target is made of."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

Seeds = Iterable[tuple[str, bytes]]
Fallback = Callable[[bytes, int], bytes]  # atheris.Mutate: an input and the most bytes that its mutant may have
Mutator = Callable[
    [bytes, int, int, Fallback], bytes
]  # an input, most bytes, a seed for randomness, the usual mutation


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`one_input` raises AssertionError, or whatever else went wrong, where an invariant does not hold.

    `rooms` are the modules whose coverage guides the fuzzer, `words` its dictionary. `seeds` make named inputs to start
    from; they are made anew in each run, so that they follow the code.
    """

    one_input: Callable[[bytes], None]
    seeds: Callable[[], Seeds]
    words: tuple[bytes, ...] = ()
    max_bytes: int = 4096
    mutate: Mutator | None = None
