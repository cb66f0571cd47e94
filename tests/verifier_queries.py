"""Genuine answers to queries made for tests, beside `verifier_kit`. Nothing of tytle_verifier or the worker is used.

The elements of the record are those that the predecessor's own code made (its specification, section 8.1).
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import verifier_kit as kit
from verifier_kit import Hook, b64, nothing, sha256

VALUES: dict[str, Any] = {
    "countryCode": "PT",
    "vatNumber": "507172230",
    "valid": True,
    "name": "TYTLE LDA",
    "address": "RUA 123",
}
ELEMENTS = bytes.fromhex(
    f"{0x5054:064x}"
    f"{0x353037313732323330:064x}"
    f"{1:064x}"
    "1360b3f6776ae09f3310337a814953a830cd50474f01cbff93cda059712c71af"
    "04b44007fde1fdfd75cc565fd10117c09e4db99fe17a719ceea7efc23b95770f"
)
FIELDS = bytes.fromhex("433d401ae9d6be2b06cfca3d6d95853197dd6d872d249c8bad26b0009a6fa8a3")
TEXTS = {"x-vies-name": "TYTLE LDA", "x-vies-address": "RUA 123"}
ORDER = 21888242871839275222246405745257275088548364400416034343698204186575808495617

# A versioned schema that no verifier knows by itself; its elements, by hand.
THING = "tytle/kit-thing/v1"
THING_LINES = ("count uint", "note sha256?", "tag shortString?", "open boolean")
THING_VALUES: dict[str, Any] = {"count": str(2**53), "note": None, "tag": "", "open": False}
THING_TEXTS = {"x-vies-note": ""}


def element(number: int) -> bytes:
    return number.to_bytes(32, "big")


def hashed(text: str) -> bytes:
    return element(int.from_bytes(sha256(text.encode()), "big") % ORDER)


def thing_elements(time_ms: int = kit.SIGNED_MS - 40) -> bytes:
    definition = "".join(f"{line}\n" for line in (THING, *THING_LINES))
    first = int.from_bytes(sha256(definition.encode()), "big") % ORDER
    return b"".join(map(element, (first, time_ms, 2**53, 0, 0, 1, 0, 0)))


def reply(
    *,
    schema: str = "VIES",
    values: dict[str, Any] = VALUES,
    elements: bytes = ELEMENTS,
    texts: dict[str, str] = TEXTS,
    on_statement: Hook = nothing,
    on_reply: Hook = nothing,
    **hooks: Any,
) -> bytes:
    """The answer to a query. Hooks as in `verifier_kit.reply`; ours run first."""

    def state(made: dict[str, Any]) -> None:
        made["result"] = {
            "operation": "vies.check_vat",
            "schema": schema,
            "values": dict(values),
            "fields": sha256(elements),
        }
        on_statement(made)

    def show(whole: dict[str, Any]) -> None:
        whole.update(headers={}, status=200, result=dict(values), bn254=b64(elements), bn254Headers=dict(texts))
        whole["attestation"]["bn254Hash"] = sha256(elements).hex()
        on_reply(whole)

    return kit.reply(on_statement=state, on_reply=show, body=b64(elements).encode(), **hooks)


def unanswered(*, on_statement: Hook = nothing, on_reply: Hook = nothing, **hooks: Any) -> bytes:
    """The answer to a query whose upstream answered a fault."""

    def state(made: dict[str, Any]) -> None:
        made["result"] = {"operation": "vies.check_vat", "schema": "VIES", "error": "upstream-fault"}
        on_statement(made)

    def show(whole: dict[str, Any]) -> None:
        whole.update(success=False, headers={}, status=502, error="upstream-fault: a fault", code="upstream-fault")
        on_reply(whole)

    return kit.reply(on_statement=state, on_reply=show, body=b"", **hooks)


def spoiled(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Return, with its place, every reply that differs from this one in one place of its JSON: changed or taken out."""
    genuine = json.loads(data)
    for path in _places(genuine):
        value = _holder(genuine, path)[path[-1]]
        for other in _others(value):
            made = copy.deepcopy(genuine)
            _holder(made, path)[path[-1]] = other
            yield ".".join(path), json.dumps(made).encode()
        made = copy.deepcopy(genuine)
        del _holder(made, path)[path[-1]]
        yield ".".join(path), json.dumps(made).encode()


def _places(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, inner in value.items() if isinstance(value, dict) else ():
        yield (*path, name)
        yield from _places(inner, (*path, name))


def _holder(value: Any, path: tuple[str, ...]) -> Any:
    for name in path[:-1]:
        value = value[name]
    return value


def _others(value: Any) -> list[Any]:
    """Values of every type, and some that are nearly this one."""
    others: list[Any] = [None, True, False, 0, 1, 1.0, -1, "", "x", "AA==", [], {}]
    if isinstance(value, str):
        others += [f"{value} ", value.swapcase(), value[:-1], f"{value}A", f"{value}\u200b", f"{value}\ud800"]
    elif isinstance(value, dict):
        others += [{**value, "x-vies-else": ""}]
    else:
        others += [str(value).lower(), *([value + 1, float(value)] if isinstance(value, int) else [])]
    return [other for other in others if (type(other), other) != (type(value), value)]
