"""Sealed calls and answers: the enclave's half (`enclave_worker.sealed`) and the client's (`tytle_verifier.sealed`).

1. An altered sealed call never opens, under another service or key neither: the refusal says so and no more.
2. Whatever was sealed to a current key is opened as exactly what was inside, or refused by one of the five codes.
3. What was opened once is refused the second time.
4. An altered sealed answer never opens, and the unaltered one opens as exactly the reply.
5. Padding: both halves take the same containers, and what is taken is what `pad` makes of its content.
"""

import base64
import json
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidTag

from enclave_worker.sealed import envelope, opening, padding
from enclave_worker.sealed.keys import KeyRing
from enclave_worker.sealed.opening import Opened, Opener, SealedRefused
from enclave_worker.sealed.padding import NotPadded
from enclave_worker.sealed.replays import WINDOW_MS, ReplayMemory
from tests.fuzz.draws import Draws
from tests.fuzz.target import Seeds, Target
from tests.sealing import Sealer
from tytle_verifier.errors import VerificationError
from tytle_verifier.sealed import container, suite
from tytle_verifier.sealed.container import Sizes
from wire.sealed import SealedCall

SERVICE = "test"
NOW_MS = 1_772_366_405_123
CALL = {"url": "https://a.test/", "method": "GET", "challenge": base64.b64encode(bytes(16)).decode()}
WORDS = (b"\x00", b"\xff", bytes(8), b"{}", b"null")
INSIDE = (b'"time":', b'"replyKey":"REPLYKEY"', b'"request":{}', b"NOW", b"{}", b"1e3", b"null", b"\\ud800", b"-")


@cache
def _keys() -> KeyRing:
    return KeyRing(lambda: NOW_MS)


def _opener(service: str = SERVICE) -> Opener:
    return Opener(service=service, keys=_keys(), replays=ReplayMemory(places=4), clock_ms=lambda: NOW_MS)


def _sealer() -> Sealer:
    return Sealer(key=_keys().current().public, service=SERVICE, time_ms=NOW_MS)


def _tried(opener: Opener, sealed: bytes, key_id: bytes | None = None) -> Opened | str:
    """Return what was opened, or the code of the refusal."""
    try:
        return opener.open(SealedCall(key_id=key_id or _keys().current().id, sealed=sealed))
    except SealedRefused as error:
        assert (error.status, str(error)) == opening.REFUSALS[error.code]
        return error.code


@cache
def _genuine() -> bytes:
    return _sealer().seal(CALL)


def _altered_call(draws: Draws) -> None:
    altered = draws.edits(_genuine(), WORDS)
    tried = _tried(_opener(), altered)
    if altered != _genuine():
        assert tried == "sealed.unreadable"
    else:
        assert isinstance(tried, Opened)
        assert tried.request == CALL
    assert _tried(_opener("other"), altered) == "sealed.unreadable"
    assert _tried(_opener(), altered, b"x" * 32) == "sealed.unknown-key"


def _whatever_was_padded(draws: Draws) -> None:
    padded = _container(draws)
    tried = _tried(_opener(), _sealer().seal_padded(padded))
    assert tried == "sealed.unreadable"  # there is no reply key inside
    _both_halves_agree(padded, 4096)
    _both_halves_agree(padded.ljust(16_384, b"\0"), 16_384)


def _container(draws: Draws) -> bytes:
    """Return a length, content, zeros up to some size, and now and then something that is no zero."""
    content = draws.blob() * draws.choice((1, 16, 32, 40))
    length = draws.choice((len(content), len(content), len(content) + 1, max(0, len(content) - 1), 2**32 - 1, 0))
    size = padding.bucket(4 + len(content), least=4096) + draws.choice((0, 0, 0, -1, 1, -4096))
    made = (length.to_bytes(4, "big") + content).ljust(max(0, size), b"\0")
    return draws.edits(made, WORDS) if draws.flag() else made


def _both_halves_agree(padded: bytes, least: int) -> None:
    try:
        ours: bytes | None = padding.unpad(padded, least=least)
    except NotPadded:
        ours = None
    try:
        theirs: bytes | None = container.empty(padded, Sizes(least=least, most=2**24))
    except VerificationError:
        theirs = None
    assert ours == theirs
    if ours is not None:
        assert padding.pad(ours, least=least) == padded == container.fill(ours, Sizes(least=least, most=2**24))


def _whatever_was_inside(draws: Draws) -> None:
    sealer = _sealer()
    whole = sealer.inside(CALL)
    now = draws.choice((0, 0, 0, WINDOW_MS, -WINDOW_MS, WINDOW_MS + 1, -WINDOW_MS - 1)) + NOW_MS
    text = b'{"time":NOW,"replyKey":"REPLYKEY","request":%b}' % json.dumps(CALL).encode()
    text = draws.edits(text, INSIDE).replace(b"NOW", str(now).encode()).replace(b"REPLYKEY", whole["replyKey"].encode())
    sealed = sealer.seal_bytes(text)
    opener = _opener()
    tried = _tried(opener, sealed)
    if not isinstance(tried, Opened):
        assert tried in ("sealed.unreadable", "sealed.stale")
        return
    said: dict[str, Any] = json.loads(text)
    assert tried.request == said["request"]
    assert abs(said["time"] - NOW_MS) <= WINDOW_MS
    assert said.keys() == {"time", "replyKey", "request"}
    assert _tried(opener, sealed) == "sealed.replayed"
    assert len(tried.answer_info) == len(envelope.answer_info(SERVICE, _keys().current().id, sealed))


def _altered_answer(draws: Draws) -> None:
    reply_key = suite.reply_key()
    key_id, asked = _keys().current().id, _genuine()
    info = envelope.answer_info(SERVICE, key_id, asked)
    assert info == suite.answer_info(SERVICE, key_id, asked)
    opened = Opened(request={}, reply_key=envelope.public_key(reply_key.encoded), answer_info=info)
    reply = draws.blob()
    sealed = opened.seal(reply)
    altered = draws.edits(sealed, WORDS)
    info = suite.answer_info(SERVICE, key_id, asked + b"x") if draws.byte() == 1 else info
    try:
        read: bytes | None = container.empty(reply_key.unseal(altered, info), container.ANSWER)
    except VerificationError:
        read = None
    unaltered = altered == sealed and info == opened.answer_info
    assert read == (reply if unaltered else None)


READERS = (_altered_call, _whatever_was_padded, _whatever_was_inside, _altered_answer)


def one_input(data: bytes) -> None:
    """Try one input as what its first byte says."""
    if data:
        try:
            READERS[data[0] % len(READERS)](Draws(data[1:]))
        except InvalidTag as error:
            raise AssertionError("the library's own error came through") from error


def seeds() -> Seeds:
    """Each unaltered, and altered in one byte."""
    for which in range(len(READERS)):
        yield f"unaltered-{which}", bytes([which]) + bytes(12)
        yield f"altered-{which}", bytes([which, 1, 0, 0, 9, 8, 0, 1, 0xFF])
    yield "padded", b"\x01\x05hello\x00\x00\x00\x00"
    yield "padded-more", b"\x01\xff" + bytes(range(255)) + b"\x03\x00\x00\x00"
    for index in range(7):
        yield f"time-{index}", bytes([2, index, 0])


TARGET = Target(one_input=one_input, seeds=seeds, words=(*WORDS, *INSIDE), max_bytes=512)
