"""What the frames and the bodies of the HTTP API say (`wire.messages`, `queries`, `sealed`, `hops`).

1. Any bytes are a message or a MessageError, whose text is short, printable and in one line.
2. What is read is what a plain JSON reader finds there, nothing is dropped or invented.
3. What is written of a message reads back as the same message, with or without a hop; the hop comes back too.
4. No body of the HTTP API holds a hop: what a parent adds to a question, no caller can.
"""

import base64
import json
from typing import Any

from tests.fuzz import mutators
from tests.fuzz.target import Seeds, Target
from wire import hops, messages, queries, sealed
from wire.errors import MessageError
from wire.fields import MODES
from wire.hops import Hop
from wire.messages import Call, IdentityQuestion, Message, Ping, Question
from wire.queries import Query
from wire.sealed import SealedCall, SealedRequest

HOPS = (Hop(report=True), Hop(report=False), Hop(report=True, trace=f"00-{'ab' * 16}-{'cd' * 8}-01"))
MAX_ERROR_CHARACTERS = 300
READERS = (messages.decode_question, messages.decode_call, queries.decode, sealed.decode_request)


def one_input(data: bytes) -> None:
    """Read the input by the reader that its first byte names."""
    if not data:
        return
    which, payload = data[0] % len(READERS), data[1:]
    try:
        read: object = READERS[which](payload)
    except MessageError as error:
        assert len(str(error)) <= MAX_ERROR_CHARACTERS
        assert str(error).isprintable()
        return
    said = json.loads(payload)
    if which != 0:
        assert hops.FIELD not in said
    if isinstance(read, Question):
        _the_hop_is_the_one_that_stands_there(read.hop, said.get("hop"))
        read = read.message
    if isinstance(read, SealedRequest):
        assert said["service"] == read.service
        read = read.call
    assert isinstance(read, Call | Query | Ping | IdentityQuestion | SealedCall)
    _nothing_is_dropped_or_invented(read, said)
    _it_reads_back(read)


def _the_hop_is_the_one_that_stands_there(hop: Hop, said: Any) -> None:
    assert hop == (Hop() if said is None else Hop(**said))
    assert hop.trace_id is None or len(hop.trace_id) == 32


def _nothing_is_dropped_or_invented(message: Message, said: dict[str, Any]) -> None:
    match message:
        case Ping():
            assert said["type"] == "ping"
        case IdentityQuestion():
            assert said.keys() <= {"type", "challenge", "hop"}
            _challenge(message.challenge, said)
        case SealedCall():
            assert message.key_id.hex() == said["keyId"]
            assert base64.b64encode(message.sealed).decode() == said["sealed"]
            assert message.timeout_ms == said.get("timeoutMs")
        case Query():
            _challenge(message.challenge, said)
            _common(message, said)
            assert (message.service, message.operation) == (said["service"], said["operation"])
            assert (message.params, message.schema) == (said["params"], said.get("schema"))
        case Call():
            _challenge(message.challenge, said)
            _common(message, said)
            assert (message.url, message.method) == (said["url"], said["method"])
            assert dict(message.headers) == (said.get("headers") or {})
            assert message.body == _body(said)


def _common(message: Call | Query, said: dict[str, Any]) -> None:
    assert message.id == (said.get("id") or None)
    assert message.mode == (said.get("mode") or "document")
    assert message.mode in MODES
    assert message.timeout_ms == said.get("timeoutMs")
    assert message.timeout_ms is None or 1 <= message.timeout_ms <= 120_000


def _challenge(challenge: bytes | None, said: dict[str, Any]) -> None:
    given = said.get("challenge")
    assert (None if challenge is None else base64.b64encode(challenge).decode()) == given
    assert challenge is None or 16 <= len(challenge) <= 64


def _body(said: dict[str, Any]) -> bytes | None:
    body = said.get("body")
    if body is None:
        return None
    given: str = body
    return base64.b64decode(given) if said.get("bodyEncoding") == "base64" else given.encode()


def _it_reads_back(message: Message) -> None:
    payload = _written(message)
    assert messages.decode_question(payload) == Question(message, Hop())
    for hop in HOPS:
        assert messages.decode_question(hops.attach(payload, hop)) == Question(message, hop)


def _written(message: Message) -> bytes:
    match message:
        case Call():
            return messages.encode_call(message)
        case Query():
            return queries.encode(message)
        case IdentityQuestion():
            return messages.encode_identity_question(message)
        case SealedCall():
            return sealed.encode(message)
        case Ping():
            return messages.PING


def seeds() -> Seeds:
    """Each kind of message with all of its fields, as a frame and as a body."""
    challenge = base64.b64encode(bytes(range(32))).decode()
    common = {"id": "a-1", "challenge": challenge, "mode": "session", "timeoutMs": 1000}
    call = {"url": "https://a.test/", "method": "POST", "headers": {"Accept": "x"}, "body": "eHg=", **common}
    query = {"service": "vies", "operation": "vies.check_vat", "params": {"a": [1, "b", {}]}, "schema": "VIES"}
    closed = {"keyId": "ab" * 32, "sealed": "eHg=", "timeoutMs": 5}
    made: dict[str, tuple[int, dict[str, Any]]] = {
        "frame-call": (0, {**call, "hop": {"report": True, "trace": HOPS[2].trace}}),
        "frame-query": (0, {**query, **common}),
        "frame-ping": (0, {"type": "ping", "hop": {"report": False}}),
        "frame-identity": (0, {"type": "identity", "challenge": challenge}),
        "frame-sealed": (0, {"type": "sealed", **closed}),
        "body-call": (1, {**call, "bodyEncoding": "base64"}),
        "body-call-hop": (1, {**call, "hop": {"report": True}}),
        "body-query": (2, {**query, **common}),
        "body-sealed": (3, {"service": "vies", **closed}),
    }
    for name, (which, value) in made.items():
        yield name, bytes([which]) + json.dumps(value).encode()


TARGET = Target(
    one_input=one_input,
    seeds=seeds,
    mutate=mutators.json_behind(1),
    words=(b'"url":', b'"method":', b'"hop":{"report":true}', b'"base64"', b'"type":"sealed"', b"\\ud800", b"NaN"),
)
