"""Prints a reply as a person reads it: what was asked, what came back, who signed it, and what it says."""

import base64
import datetime as dt
import json
from typing import Any

import cbor2

from nsm import document
from tytle_verifier import VerifiedIdentity, VerifiedReply, render, verdict
from tytle_verifier.errors import NotOpened, VerificationError

WIDTH = 100
CLIPPED_CHARS = 900


def heading(text: str) -> None:
    """Print a section's title."""
    print(f"\n{text}\n{'=' * min(len(text), WIDTH)}")


def asked(call: dict[str, Any]) -> None:
    """Print the call that was sent to the parent."""
    print(f"  asked      {call['method']} {call['url']}")
    if call.get("body"):
        print(f"             {call['body']}")


def answered(http_status: int, reply: dict[str, Any]) -> None:
    """Print the parent's answer and, where there is one, its attestation."""
    verdict = "success" if reply.get("success") else "no success"
    print(f"  answer     HTTP {http_status} from the parent, {verdict}, status {reply.get('status', '-')}")
    if reply.get("error"):
        print(f"  error      {reply['error']}")
    if reply.get("rawBody"):
        _block("body", _pretty(reply["rawBody"]))
    attestation = reply.get("attestation")
    if attestation is None:
        print("  attested   no: nothing was fetched")
        return
    _attestation(attestation)


def verified(reply: VerifiedReply) -> None:
    """Print the verifier's ten steps and its verdict."""
    _steps(render.text(verdict.of_reply(reply)))


def sealed(identity: VerifiedIdentity, data: bytes) -> None:
    """Print to whom a request is sealed, and all that the parent gets of it."""
    print(f"  sealed to  key {identity.key.id.hex()}")
    print(f"             of service {identity.service}, boot {identity.boot.hex()}, until {identity.until:%H:%M} UTC;")
    print(f"             its identity was verified first: PCR0 {identity.document.pcrs[0].hex()[:16]}...")
    shown = {name: f"{value[:24]}..." if name == "sealed" else value for name, value in json.loads(data).items()}
    print(f"  carried    {json.dumps(shown)}, {len(data)} bytes")


def carried_back(http_status: int, data: bytes) -> None:
    """Print all that the parent sees of an answer."""
    print(
        f"  answer     HTTP {http_status} from the parent: {data[:40].decode('ascii', 'replace')}..., {len(data)} bytes"
    )


def concluded(reply: VerifiedReply) -> None:
    """Print what was inside, and the verifier's last word on it."""
    _block("body", _pretty(reply.body.decode()))
    last_word(reply)


def last_word(reply: VerifiedReply) -> None:
    """Print what the verifier says in the end."""
    print(f"  verified   {render.text(verdict.of_reply(reply)).splitlines()[-1]}")


def queried(query: dict[str, Any]) -> None:
    """Print the query that was sent to the parent."""
    print(f"  asked      {query['operation']} of {query['service']}: {json.dumps(query['params'])}")


def fact(http_status: int, reply: dict[str, Any]) -> None:
    """Print the values that came, and the field elements for circuits."""
    print(
        f"  answer     HTTP {http_status} from the parent, status {reply.get('status', '-')} {reply.get('error', '')}"
    )
    _block("result", json.dumps(reply.get("result"), indent=2, ensure_ascii=False))
    elements = base64.b64decode(reply.get("bn254", ""))
    words = [elements[start : start + 32].hex() for start in range(0, len(elements), 32)]
    _block("elements", "\n".join(words) or "none")


def not_opened(error: NotOpened) -> None:
    """Print what the parent said instead of an answer."""
    print(f"  error      {error}")


def refused(error: VerificationError) -> None:
    """Print the steps that held and the one that refused."""
    _steps(render.text(verdict.of_refusal(error, last_step=9)))


def _steps(text: str) -> None:
    print("  verified   by the relying party, in ten steps:")
    for line in text.splitlines():
        print(f"    {line}".rstrip())


def _attestation(attestation: dict[str, Any]) -> None:
    signed = base64.b64decode(attestation["nsmDocument"])
    fields = document.read(signed)
    when = dt.datetime.fromtimestamp(fields.timestamp_ms / 1000, tz=dt.UTC)
    print(f"  attested   {attestation['attestationId']}")
    print(f"  document   {len(signed)} bytes of COSE_Sign1, signed {when:%Y-%m-%d %H:%M:%S} UTC")
    print(f"  module     {fields.module_id}")
    for index in (0, 1, 2):
        print(f"  PCR{index}       {fields.pcrs[index].hex()}")
    _block("user_data", _readable(cbor2.loads(fields.user_data or b"\xf6")))
    _block("statement", _readable(cbor2.loads(base64.b64decode(attestation["statement"]))))


def _block(name: str, text: str) -> None:
    lines = text[:CLIPPED_CHARS].splitlines() if name == "body" else text.splitlines()
    for number, line in enumerate(lines):
        print(f"  {name if number == 0 else '':<10} {line}")


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def _readable(value: object, depth: int = 0) -> str:
    """Return CBOR as indented text: bytes in hexadecimal, header pairs on one line."""
    pad = "  " * depth
    if isinstance(value, dict):
        return "\n".join(f"{pad}{key}:{_nested(item, depth)}" for key, item in value.items())
    if isinstance(value, list):
        return "\n".join(f"{pad}-{_nested(item, depth)}" for item in value)
    return f"{pad}{_scalar(value)}"


def _nested(value: object, depth: int) -> str:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        return f" {value[0]}: {'(secret, withheld)' if value[1] is None else _text(value[1])}"
    if isinstance(value, dict | list) and value:
        return "\n" + _readable(value, depth + 1)
    return f" {_scalar(value)}"


def _scalar(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return "(none)" if value is None or value in ([], {}) else str(value)


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
