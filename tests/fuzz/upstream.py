"""What an upstream sends (`enclave_worker.upstream`), against h11.

1. Whatever comes, our reader gives a message or its own error.
2. What ours takes as a whole message, h11 takes as the same one; what h11 refuses, ours does not take.
3. The pieces in which it comes change nothing.
4. A body is never longer than the cap, and what came without a close_notify at its end is no message.
5. The status of a message is one that a verifier of statements takes, and none of an interim answer: 200 to 599.

The first byte of an input chooses the method, the second the size of the pieces.
"""

from enclave_worker.upstream.exchange import UpstreamError
from enclave_worker.upstream.response import ResponseReader
from tests.fuzz.target import Seeds, Target
from tests.hostile.actions import Send
from tests.hostile.cases import CASES
from tests.http_oracle import CAP, Message, disagreement, ours

METHODS = ("GET", "HEAD")
MAX_SEED_BYTES = 2000


def one_input(data: bytes) -> None:
    """Feed one input to both readers."""
    if len(data) < 2:
        return
    method, stream, size = METHODS[data[0] % len(METHODS)], data[2:], data[1] or len(data)
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    if problem := disagreement(method, stream, pieces):
        raise AssertionError(problem)
    whole = ours(method, [stream])
    in_pieces = ours(method, pieces)
    if not isinstance(whole, Message):
        assert isinstance(in_pieces, UpstreamError)
        return
    assert in_pieces == whole
    assert len(whole.body) <= CAP
    assert 200 <= whole.status <= 599
    if _needs_the_end(method, stream):
        assert isinstance(_cut_off(method, stream), UpstreamError)


def _needs_the_end(method: str, stream: bytes) -> bool:
    reader = ResponseReader(method, cap=CAP)
    reader.feed(stream)
    return not reader.complete


def _cut_off(method: str, stream: bytes) -> ResponseReader | UpstreamError:
    """Return what becomes of a message that ends with a connection which nobody vouches for."""
    reader = ResponseReader(method, cap=CAP)
    reader.feed(stream)
    try:
        reader.end(authenticated=False)
    except UpstreamError as error:
        return error
    return reader


def seeds() -> Seeds:
    """The streams of the hostile corpus."""
    for case in CASES:
        stream = b"".join(action.data for action in case.script if isinstance(action, Send))
        if 0 < len(stream) < MAX_SEED_BYTES:
            yield case.name.replace("/", "-").replace(" ", "-"), bytes([case.method == "HEAD", 0]) + stream


TARGET = Target(
    one_input=one_input,
    seeds=seeds,
    words=(
        *(
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.0 ",
            b"Content-Length: ",
            b"Transfer-Encoding: chunked\r\n",
            b"\r\n\r\n",
            b"0\r\n\r\n",
        ),
        *(
            b"Connection: close\r\n",
            b"HTTP/1.1 100 ",
            b"5;a=b\r\n",
            b"\r\n ",
            b"\n",
            b"\r",
            b"\x00",
            b"keep-alive",
            b"HTTP/1.1 204 ",
            b"HTTP/1.1 600 ",
        ),
    ),
)
