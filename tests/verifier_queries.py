"""Genuine answers to queries made for tests, beside `verifier_kit`. Nothing of tytle_verifier or the worker is used.

The elements of the record are those that the predecessor's own code made (its specification, section 8.1).
"""

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
