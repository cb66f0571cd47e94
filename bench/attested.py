"""One call to a worker by hand, and a look at whether its reply is what the tables say: attested, and for this answer.

Not checked here: signatures and certificates. That is the verifier's business, and measured by itself.
"""

import base64
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import cbor2

from bench.processes import BenchError
from enclave_worker.statement import leaf_hash
from nsm import document
from wire import frames, hops, sockets
from wire.addresses import UnixAddress
from wire.hops import Hop

WAIT_SECONDS = 10.0


def fetch(path: Path, call: dict[str, Any]) -> tuple[bytes, bytes]:
    """Send one call, as our parent does, to the worker that listens at `path`; return its report and its reply."""
    deadline = time.monotonic() + WAIT_SECONDS
    decoder = frames.Decoder()
    question = hops.attach(json.dumps(call).encode(), Hop(report=True))
    with sockets.connect(UnixAddress(path=str(path)), deadline=deadline) as sock:
        sockets.send(sock, frames.encode(question), deadline=deadline)
        report, reply = (sockets.receive_frame(sock, decoder, deadline=deadline) for _ in range(2))
    if report is None or reply is None:
        raise BenchError("the worker closed the connection")
    return report, reply


def check(reply: bytes) -> None:
    """Return if the reply is a success whose document binds the statement, which binds the body.

    Raises:
        BenchError: it is not.
    """
    fields = json.loads(reply)
    if not fields.get("success") or fields.get("status") != 200:
        raise BenchError(f"expected an attested answer with status 200, got {reply[:300]!r}")
    attestation = fields["attestation"]
    statement = base64.b64decode(attestation["statement"])
    signed = document.read(base64.b64decode(attestation["nsmDocument"]))
    root = cbor2.loads(signed.user_data or b"\xf6")["root"]
    body = cbor2.loads(statement)["exchanges"][0]["response"]["body"]["sha256"]
    if (root, body) != (leaf_hash(statement), hashlib.sha256(fields["rawBody"].encode()).digest()):
        raise BenchError("the reply's document does not bind its answer")
