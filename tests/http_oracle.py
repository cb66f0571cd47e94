"""One response read twice: by `enclave_worker.upstream`, and by h11, an independent and more lenient reader.

What ours takes as a whole message, h11 must take as the same one. What h11 refuses, ours may not take.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import h11

from enclave_worker.upstream.exchange import UpstreamError
from enclave_worker.upstream.head import MAX_HEAD_BYTES
from enclave_worker.upstream.response import ResponseReader

CAP = 10_000  # bytes of body that ours takes


@dataclass(frozen=True, slots=True)
class Message:
    """A complete final response. Field names keep their spelling; of Transfer-Encoding h11 keeps no value's."""

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes


def ours(method: str, pieces: Iterable[bytes]) -> Message | UpstreamError:
    """Return what our reader makes of a stream that came in these pieces and ended with a close_notify."""
    reader = ResponseReader(method, cap=CAP)
    try:
        for piece in pieces:
            if piece and not reader.complete:
                reader.feed(piece)
        if not reader.complete:
            reader.end(authenticated=True)
    except UpstreamError as exc:
        return exc
    return Message(reader.status, tuple(map(_folded, reader.headers)), reader.body)


def theirs(method: str, stream: bytes) -> Message | None:
    """Return what h11 makes of the same stream; None where it refuses it."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "a.test")]))
    connection.send(h11.EndOfMessage())
    body = bytearray()
    response: h11.Response | None = None
    try:
        connection.receive_data(stream)
        ended = False
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif event is h11.NEED_DATA and not ended:
                connection.receive_data(b"")
                ended = True
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None
    if response is None:
        return None
    fields = tuple(_folded((bytes(name), bytes(value))) for name, value in response.headers.raw_items())
    return Message(response.status_code, fields, bytes(body))


def disagreement(method: str, stream: bytes, pieces: Iterable[bytes]) -> str:
    """Return how the two readers differ where they must not; "" where all is well. `pieces` together are `stream`."""
    read = ours(method, pieces)
    if isinstance(read, UpstreamError):
        return ""
    known = theirs(method, stream)
    return "" if read == known else f"ours read {read!r}, h11 {known!r}"


def _folded(field: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    name, value = field
    return (name, value.lower()) if name.lower() == b"transfer-encoding" else field
