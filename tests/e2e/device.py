"""Takes the worker's place inside an enclave and asks /dev/nsm everything, one JSON line each. Runs there, not here.

A line is `DEVICE {"name": ..., "found": ...}`, or `"raised": [type, code or text]` in the place of `found`.
"""

import json
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import cbor2

from nsm import client, device, document, responses
from nsm.errors import DeviceFailed, NsmError, Refused
from nsm.requests import MAX_REQUEST_BYTES, DescribeNSM, ExtendPCR, encode

LAST = 31
FREE, UNUSED, AFTER = 20, 22, 25  # registers that nobody has used; those below AFTER are locked as a range
LARGE = 28  # the register that large requests extend
DATA_BYTES = MAX_REQUEST_BYTES - len(cbor2.dumps({"ExtendPCR": {"index": LARGE, "data": bytes(0xF00)}})) + 0xF00
LIMITS = {"nonce": 512, "user_data": 512, "public_key": 1024}
Exchange = client.Exchange


def shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Enum):
        return value.name
    return {name: shown(getattr(value, name)) for name in value.__slots__} if hasattr(value, "__slots__") else value


def tell(name: str, call: Callable[[], Any]) -> None:
    try:
        line = {"name": name, "found": shown(call())}
    except Refused as error:
        line = {"name": name, "raised": ["Refused", error.code.name]}
    except DeviceFailed as error:
        line = {"name": name, "raised": ["DeviceFailed", error.errno]}
    except (NsmError, ValueError) as error:
        line = {"name": name, "raised": [type(error).__name__, str(error)]}
    print("DEVICE " + json.dumps(line), flush=True)


def raw(exchange: Exchange, request: object) -> Any:
    """The answer to a request that our types would not make: lengths of a document's fields, or what is raised."""
    return fields_of(responses.decode(exchange(cbor2.dumps(request))))


def fields_of(reply: responses.Response) -> Any:
    if not isinstance(reply, responses.AttestationReply):
        return reply
    found = document.read(reply.document)
    return {name: len(value) for name in LIMITS if (value := getattr(found, name)) is not None}


def registers(exchange: Exchange) -> None:
    tell("describe", lambda: client.describe(exchange))
    for index in (0, 15, 16, LAST):
        tell(f"pcr {index}", lambda index=index: client.describe_pcr(exchange, index))
    for index in (LAST + 1, 0xFFFF):
        tell(f"pcr {index}", lambda index=index: client.describe_pcr(exchange, index))
        tell(f"extend {index}", lambda index=index: client.extend_pcr(exchange, index, b"x"))
        tell(f"lock {index}", lambda index=index: client.lock_pcr(exchange, index))
    tell("lock a range too long", lambda: client.lock_pcrs(exchange, LAST + 2))
    tell("extend a measured one", lambda: client.extend_pcr(exchange, 0, b"x"))
    tell("extend", lambda: client.extend_pcr(exchange, FREE, b"first"))
    tell("extend again", lambda: client.extend_pcr(exchange, FREE, b"second"))
    tell("extended", lambda: client.describe_pcr(exchange, FREE))
    tell("lock", lambda: client.lock_pcr(exchange, FREE))
    tell("locked", lambda: client.describe_pcr(exchange, FREE))
    tell("lock a locked one", lambda: client.lock_pcr(exchange, FREE))
    tell("extend a locked one", lambda: client.extend_pcr(exchange, FREE, b"x"))
    tell("lock a range", lambda: client.lock_pcrs(exchange, AFTER))
    tell("lock a range again", lambda: client.lock_pcrs(exchange, AFTER))
    tell("lock an empty range", lambda: client.lock_pcrs(exchange, 0))
    tell("locked by the range", lambda: client.describe_pcr(exchange, UNUSED))
    tell("extend in the range", lambda: client.extend_pcr(exchange, UNUSED, b"x"))
    tell("behind the range", lambda: client.describe_pcr(exchange, AFTER))
    tell("describe after locking", lambda: client.describe(exchange).locked_pcrs)
    tell("pcrs of a document", lambda: sorted(client.attest(exchange).fields.pcrs))


def documents(exchange: Exchange) -> None:
    def echoed(**lengths: int) -> dict[str, int]:
        """`attest` itself compares what was asked with what came."""
        fields = client.attest(exchange, **{name: b"\xa5" * length for name, length in lengths.items()}).fields
        return {name: len(getattr(fields, name)) for name in lengths}

    tell("all at their limits", lambda: echoed(**LIMITS))
    tell("all empty", lambda: echoed(nonce=0, user_data=0))
    tell("nothing", lambda: [getattr(client.attest(exchange).fields, name) for name in LIMITS])
    for name, limit in LIMITS.items():
        tell(f"{name} at its limit", lambda name=name, limit=limit: echoed(**{name: limit}))
        tell(f"{name} above it", lambda name=name, limit=limit: echoed(**{name: limit + 1}))
        fields = {**dict.fromkeys(LIMITS), name: bytes(limit + 1)}
        tell(f"{name} above it, raw", lambda fields=fields: raw(exchange, {"Attestation": fields}))
    tell("an empty key", lambda: echoed(public_key=0))


def sizes(exchange: Exchange) -> None:
    """Requests of exactly 0x1000 bytes and of one more: at our own limit, then past it to the driver's."""
    tell("request of 0x1000", lambda: len(encode(ExtendPCR(index=LARGE, data=bytes(DATA_BYTES)))))
    tell("extend by 0x1000", lambda: client.extend_pcr(exchange, LARGE, bytes(DATA_BYTES)))
    tell("extend by 0x1001", lambda: client.extend_pcr(exchange, LARGE, bytes(DATA_BYTES + 1)))
    device.MAX_REQUEST_BYTES = MAX_REQUEST_BYTES + 1
    tell("extend by 0x1001 in the driver", lambda: client.extend_pcr(exchange, LARGE, bytes(DATA_BYTES + 1)))
    device.MAX_REQUEST_BYTES = MAX_REQUEST_BYTES
    tell("after 0x1001", lambda: client.describe_pcr(exchange, LARGE))
    tell("empty request", lambda: exchange(b""))


def others(exchange: Exchange) -> None:
    tell("random", lambda: len(client.get_random(exchange)))
    tell("random differs", lambda: client.get_random(exchange) != client.get_random(exchange))
    tell("unknown request", lambda: raw(exchange, "Nonsense"))
    tell("unknown request with fields", lambda: raw(exchange, {"Nonsense": {"index": 1}}))
    tell("a number", lambda: raw(exchange, 1))
    tell("no cbor", lambda: responses.decode(exchange(b"\xff")))
    tell("index of the wrong type", lambda: raw(exchange, {"DescribePCR": {"index": "0"}}))
    tell("missing field", lambda: raw(exchange, {"ExtendPCR": {"index": 29}}))
    tell("after those", lambda: client.describe_pcr(exchange, 29))


Path("/proc/sys/kernel/printk").write_text("1 1 1 1")  # the kernel may not write into our lines
with device.Device() as opened:
    for part in (registers, documents, sizes, others):
        part(opened.exchange)
tell("closed", lambda: opened.exchange(encode(DescribeNSM())))
print("DEVICE done", flush=True)
