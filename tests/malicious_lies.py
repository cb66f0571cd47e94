"""Lies about what a reply says, as data, made systematically from a genuine reply.

Every place in it, times every lie about a value of its type, times every genuine value that the same place has
elsewhere; and every byte of what is signed. An act that does not apply raises `NotHere`.
"""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.malicious_parent import DONORS, Act, NotHere, Passage

Place = tuple[str | int, ...]
GONE = object()


@dataclass(frozen=True)
class Twice:
    """A key that stands twice in its object: `first`, then `last`."""

    first: Any
    last: Any


def back(name: str, do: Callable[[Passage], None]) -> Act:
    return Act(name=name, do=do)


# --- places in a reply -----------------------------------------------------------------------------------------------


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Yield where something stands in a JSON value, from the outside in."""
    inner: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*at, key)
        yield from places(each, (*at, key))


def get(value: Any, place: Place) -> Any:
    try:
        for key in place:
            value = value[key]
    except (KeyError, IndexError, TypeError) as error:
        raise NotHere from error
    return value


def put(value: Any, place: Place, new: Any) -> None:
    """Put `new` at `place`, which may be a new key of an object, or take away what is there."""
    holder = get(value, place[:-1])
    if not isinstance(holder, dict | list) or (isinstance(holder, list) and not isinstance(place[-1], int)):
        raise NotHere
    if new is GONE:
        get(holder, place[-1:])
        del holder[place[-1]]
        return
    if isinstance(holder, list):
        get(holder, place[-1:])
    holder[place[-1]] = new  # type: ignore[index]


def lies(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield other values for a place that has this one."""
    yield "gone", GONE
    yield "null", None
    yield "a number", 7
    yield "a text", "tampered"
    yield "an object", {"tampered": "tampered"}
    yield "a list", ["tampered"]
    yield "twice, the lie last", Twice(value, "tampered")
    yield "twice, the lie first", Twice("tampered", value)
    yield "twice the same", Twice(value, value)
    match value:
        case bool():
            yield from (("the other", not value), ("as a number", int(value)), ("as a text", str(value).lower()))
        case int():
            yield from (("one more", value + 1), ("one less", value - 1), ("zero", 0), ("negative", -1))
            yield from (("huge", 10**40), ("as a fraction", float(value)), ("as a text", str(value)), ("true", True))
        case str():
            yield from (("empty", ""), ("doubled", value + value), ("with a blank", value + " "))
            yield from (("padded", value + "="), ("a surrogate", "\ud800"), ("a NUL", value + "\0"))
            yield from (("turned", value[::-1]), ("upper case", value.upper()), ("shorter", value[: len(value) // 2]))
        case list():
            yield from (("empty list", []), ("doubled", value + value), ("turned", value[::-1]))
        case dict():
            yield from (("empty object", {}), ("one key more", {**value, "tampered": "x"}))


def lie(place: Place, name: str, new: Any) -> Act:
    """Return the act that puts this lie at that place of a reply."""

    def do(passage: Passage) -> None:
        reply = passage.json()
        put(reply, place, new)
        passage.reply = written(reply).encode()

    return back(f"{'.'.join(map(str, place))}: {name}", do)


def written(value: Any) -> str:
    """Return JSON in which a `Twice` stands twice."""
    if isinstance(value, dict):
        pairs = [(k, each) for k, v in value.items() for each in ((v.first, v.last) if isinstance(v, Twice) else (v,))]
        return "{" + ",".join(f"{json.dumps(key)}:{written(each)}" for key, each in pairs) + "}"
    if isinstance(value, Twice):
        return written(value.last)
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def from_donor(donor: str, *taken: Place) -> Act:
    """Return the act that takes these places of another genuine reply into this one."""

    def do(passage: Passage) -> None:
        reply, other = passage.json(), passage.donor(donor)
        for place in taken:
            try:
                put(reply, place, get(other, place))
            except NotHere:
                put(reply, place, GONE)
        passage.put(reply)

    names = ", ".join(".".join(map(str, place)) or "everything" for place in taken)
    return back(f"{names} of {donor}", do)


def whole(donor: str) -> Act:
    """Return the act that hands out another genuine reply."""
    return back(f"the reply to {donor}", lambda passage: passage.put(passage.donor(donor)))


def field_acts(sample: dict[str, Any]) -> list[Act]:
    """Every lie at every place of a reply that looks like `sample`, and every place from every donor."""
    found = list(places(sample))
    acts = [lie(place, name, new) for place in found for name, new in lies(get(sample, place))]
    acts += [lie((*at, "tampered"), "added", "x") for at in [(), *found] if isinstance(get(sample, at), dict)]
    absent = ("error", "code", "result", "bn254", "bn254Headers", "bodyEncoding")
    acts += [lie((name,), "added", new) for name in absent if name not in sample for new in ("x", {}, {"valid": True})]
    inner = ("inclusion", "session", "bn254Hash")
    acts += [lie(("attestation", name), "added", "AAAA") for name in inner if name not in sample["attestation"]]
    acts += [from_donor(donor, place) for donor in DONORS for place in found]
    return acts + [each for donor in DONORS for each in (whole(donor), *_bundles(donor))]


def _bundles(donor: str) -> Iterator[Act]:
    """Fields that belong together, exchanged together: the stronger lies."""
    proof: Place = ("attestation",)
    shown: tuple[Place, ...] = (("success",), ("status",), ("headers",), ("rawBody",), ("bodyEncoding",))
    signed: tuple[Place, ...] = ((*proof, "nsmDocument"), (*proof, "nonce"), (*proof, "session"), (*proof, "inclusion"))
    stated: tuple[Place, ...] = ((*proof, "statement"), (*proof, "bn254Hash"))
    mode: Place = (*proof, "mode")
    yield from_donor(donor, *shown)
    yield from_donor(donor, *shown, ("result",), ("bn254",), ("bn254Headers",))
    yield from_donor(donor, *signed)
    yield from_donor(donor, *signed, mode)
    yield from_donor(donor, *stated)
    yield from_donor(donor, *stated, *signed)
    yield from_donor(donor, *stated, *signed, mode)
    yield from_donor(donor, proof)


# --- bytes -----------------------------------------------------------------------------------------------------------

SIGNED: tuple[Place, ...] = (
    *(("attestation", name) for name in ("nsmDocument", "statement", "session")),
    ("attestation", "inclusion", "path", 0),
    *(("sealed",), ("identity",), ("nsmDocument",)),
)


def flip(place: Place, at: int, bit: int) -> Act:
    """Return the act that flips one bit of the bytes at `place`; `at` counts modulo their number."""

    def do(passage: Passage) -> None:
        reply = passage.json()
        data = bytearray(_bytes(get(reply, place)))
        data[at % len(data)] ^= 1 << bit
        put(reply, place, base64.b64encode(data).decode())
        passage.put(reply)

    return back(f"{'.'.join(map(str, place))}: byte {at}, bit {bit}", do)


def cut(place: Place, keep: int) -> Act:
    """Return the act that keeps so many bytes at `place`, counted from the end where negative; beyond, adds one."""

    def do(passage: Passage) -> None:
        reply = passage.json()
        data = _bytes(get(reply, place))
        put(reply, place, base64.b64encode(data[:keep] if keep < len(data) else data + b"\0").decode())
        passage.put(reply)

    return back(f"{'.'.join(map(str, place))}: {keep} bytes kept", do)


def _bytes(value: Any) -> bytes:
    try:
        data = base64.b64decode(value) if isinstance(value, str) else b""
    except ValueError as error:
        raise NotHere from error
    if not data:
        raise NotHere
    return data


def byte_acts(sample: dict[str, Any], *, stride: int) -> list[Act]:
    """A flip in every `stride`-th byte of all that is signed, and cuts."""
    acts = []
    for place in SIGNED:
        try:
            length = len(_bytes(get(sample, place)))
        except NotHere:
            continue
        acts += [flip(place, at, (at * 5) % 8) for at in range(0, length, stride)]
        acts += [cut(place, keep) for keep in (0, 1, length // 2, -1, length + 1)]
    return acts
