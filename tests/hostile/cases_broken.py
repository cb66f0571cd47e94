"""Connections that end, hang, drip or overflow: truncation at every stage, time-outs, caps, TLS faults."""

from __future__ import annotations

from tests.hostile.actions import (
    Action,
    BrokenRecord,
    CloseNotify,
    CloseNotifyOnly,
    Cut,
    Drip,
    Flood,
    PartialHandshake,
    PartOfRecord,
    Raw,
    ReadRequest,
    Receive,
    Reset,
    Send,
)
from tests.hostile.case import (
    BOTH,
    CHUNKED_HELLO,
    CLOSE_HELLO,
    HELLO,
    MAX_BODY,
    OK,
    PLAIN,
    RAW,
    TIMEOUT,
    TLS,
    TLS_1_2,
    TLS_1_3,
    TOO_LARGE,
    TRUNCATED,
    Answered,
    Case,
    Expected,
    chunked,
    head,
    reply,
    sized,
)

BY_LENGTH = head(b"Content-Length: 10")

# Where a stream may end -> what has been sent by then.
STAGES: dict[str, bytes] = {
    "before-anything": b"",
    "in-the-status-line": b"HTTP/1.1 20",
    "after-the-status-line": OK,
    "in-a-header-name": OK + b"Content-Len",
    "in-a-header-value": OK + b"Content-Length: 1",
    "between-cr-and-lf": OK + b"Content-Length: 10\r",
    "before-the-blank-line": OK + b"Content-Length: 10\r\n",
    "in-the-blank-line": OK + b"Content-Length: 10\r\n\r",
    "after-an-interim": b"HTTP/1.1 100 Continue\r\n\r\n",
    "after-a-length-head": BY_LENGTH,
    "in-a-length-body": BY_LENGTH + b"hello",
    "one-byte-early": BY_LENGTH + b"123456789",
    "after-a-chunked-head": chunked(b""),
    "in-a-chunk-size": chunked(b"5"),
    "in-a-chunk-size-line": chunked(b"5\r"),
    "after-a-chunk-size": chunked(b"5\r\n"),
    "in-a-chunk": chunked(b"5\r\nhel"),
    "after-chunk-data": chunked(b"5\r\nhello"),
    "after-a-chunk": chunked(b"5\r\nhello\r\n"),
    "in-the-last-chunk-size": chunked(b"5\r\nhello\r\n0"),
    "after-the-last-chunk": chunked(b"5\r\nhello\r\n0\r\n"),
    "in-the-last-blank-line": chunked(b"5\r\nhello\r\n0\r\n\r"),
}


def _end(kind: str, stage: str, end: Action) -> Case:
    script = reply(STAGES[stage], end) if STAGES[stage] else (ReadRequest(), end)
    why = "9112 8: incomplete; 9.8: no close_notify" if kind == "cut" else "9112 8: incomplete"
    return Case(name=f"{kind}-{stage}", script=script, expect=TRUNCATED, why=why, versions=BOTH)


ENDED = tuple(_end(kind, stage, end) for stage in STAGES for kind, end in (("cut", Cut()), ("closed", CloseNotify())))

RESET_AT = ("before-anything", "after-the-status-line", "in-a-length-body", "in-a-chunk", "after-a-chunk")
RESETS = tuple(_end("reset", stage, Reset()) for stage in RESET_AT)


def _truncated(name: str, why: str, *end: Action, versions: tuple[str, ...] = BOTH, variant: str = "good") -> Case:
    return Case(name=name, script=(ReadRequest(), *end), expect=TRUNCATED, why=why, versions=versions, variant=variant)


UNPROVEN = (
    _truncated("close-delimited-cut", "9112 9.8: no close_notify", Send(CLOSE_HELLO), Cut()),
    _truncated("close-delimited-cut-empty", "9112 9.8: no close_notify", Send(head()), Cut()),
    _truncated("close-delimited-reset", "9112 9.8: no close_notify", Send(CLOSE_HELLO), Reset()),
    _truncated("close-delimited-http-1.0-cut", "9112 9.8", Send(head(status=b"HTTP/1.0 200 OK\r\n") + b"hello"), Cut()),
    _truncated("close-delimited-cut-in-a-record", "9112 9.8", Send(head()), PartOfRecord(b"hello" * 9, 20), Cut()),
    _truncated("cut-in-a-record-header", "9112 8", Send(BY_LENGTH), PartOfRecord(b"0123456789", 3), Cut()),
    _truncated("cut-in-a-record", "9112 8", Send(BY_LENGTH), PartOfRecord(b"0123456789", 20), Cut()),
    _truncated("cut-in-the-first-record", "9112 8", PartOfRecord(HELLO, 7), Cut()),
    _truncated(
        "plain-close-delimited",
        "ours: plain TCP cannot prove an end",
        Send(CLOSE_HELLO),
        CloseNotify(),
        versions=(TLS_1_3,),
        variant=PLAIN,
    ),
    _truncated(
        "plain-cut-in-a-body", "9112 8", Send(STAGES["in-a-length-body"]), Cut(), versions=(TLS_1_3,), variant=PLAIN
    ),
    _truncated("plain-cut-in-a-chunk", "9112 8", Send(STAGES["in-a-chunk"]), Cut(), versions=(TLS_1_3,), variant=PLAIN),
    _truncated("plain-reset", "9112 8", Send(STAGES["in-a-chunk"]), Reset(), versions=(TLS_1_3,), variant=PLAIN),
)


def _complete(name: str, data: bytes, end: Action, framing: str) -> Case:
    return Case(
        name=name,
        script=reply(data, end),
        expect=Answered(framing=framing),
        why="9112 9.8: complete by its own framing, however the connection ends",
        versions=BOTH,
    )


COMPLETE = (
    _complete("cut-after-length", HELLO, Cut(), "content-length"),
    _complete("cut-after-chunked", CHUNKED_HELLO, Cut(), "chunked"),
    _complete("closed-after-length", HELLO, CloseNotify(), "content-length"),
)

TLS_FAULTS = (
    Case(
        name="record-garbage-in-a-body",
        script=reply(STAGES["in-a-length-body"], Raw(b"garbage, not a record")),
        expect=TLS,
        why="8446 5.1",
        versions=BOTH,
    ),
    Case(
        name="record-plaintext-in-a-body",
        script=reply(STAGES["in-a-length-body"], Raw(b"\x17\x03\x03\x00\x05hello")),
        expect=TLS,
        why="8446 5.2",
        versions=BOTH,
    ),
    Case(
        name="record-broken-tag",
        script=(ReadRequest(), Send(BY_LENGTH), BrokenRecord(b"0123456789")),
        expect=TLS,
        why="8446 5.2: bad_record_mac",
        versions=BOTH,
    ),
    Case(
        name="record-broken-head",
        script=(ReadRequest(), BrokenRecord(HELLO)),
        expect=TLS,
        why="8446 5.2: bad_record_mac",
        versions=BOTH,
    ),
    Case(
        name="record-forged-alert",
        script=reply(CLOSE_HELLO, Raw(b"\x15\x03\x03\x00\x02\x01\x00")),
        expect=TLS,
        why="8446 5.2: a close_notify in the clear ends nothing",
        versions=BOTH,
    ),
)


def _raw(name: str, why: str, *script: Action, expect: Expected = TLS) -> Case:
    return Case(name=name, script=(Receive(), *script), expect=expect, why=why, variant=RAW)


HANDSHAKES = (
    _raw("handshake-refused-with-fin", "8446 4", Cut()),
    _raw("handshake-refused-with-rst", "8446 4", Reset()),
    _raw("handshake-plain-http", "8446 5.1", Send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")),
    _raw("handshake-alert", "8446 6.2: handshake_failure", Send(b"\x15\x03\x03\x00\x02\x02\x28")),
    _raw("handshake-garbage", "8446 5.1", Send(b"\x16\x03\x03\x00\x10" + b"\xff" * 16)),
    _raw("handshake-hangs", "ours: deadline", expect=TIMEOUT),
    _raw(
        "handshake-drips",
        "ours: one deadline for the whole handshake",
        Drip(b"\x16\x03\x03\x40\x00" + b"\x02" * 99, 0.1),
        expect=TIMEOUT,
    ),
    Case(
        name="handshake-stops-half-way",
        script=(PartialHandshake(1),),
        expect=TIMEOUT,
        why="ours: deadline",
        versions=(TLS_1_2,),
    ),
    Case(
        name="handshake-cut-half-way",
        script=(PartialHandshake(1), Cut()),
        expect=TLS,
        why="5246 7.3",
        versions=(TLS_1_2,),
    ),
    Case(
        name="handshake-reset-half-way",
        script=(PartialHandshake(1), Reset()),
        expect=TLS,
        why="5246 7.3",
        versions=(TLS_1_2,),
    ),
)

REFUSED_VARIANTS = {
    "expired": "5280 4.1.2.5",
    "not-yet-valid": "5280 4.1.2.5",
    "wrong-name": "9525 6.3",
    "cn-only": "9525 2: the common name is no identity",
    "wildcard-too-wide": "9525 6.3: one label",
    "self-signed": "5280 6.1",
    "other-ca": "5280 6.1: same name, other key",
    "ca-as-leaf": "5280 4.2.1.3: keyCertSign only",
    "leaf-as-ca": "5280 4.2.1.9: cA is false",
    "client-certificate": "5280 4.2.1.12: no serverAuth",
    "tls-1.1": "8996",
    "cbc-only": "9325 4.2: AEAD",
    "static-rsa-only": "9325 4.1: forward secrecy",
}
CERTIFICATES = tuple(
    Case(
        name=f"peer-{variant}",
        script=reply(HELLO),
        expect=TLS,
        why=why,
        variant=variant,
        versions=(TLS_1_2,) if variant in ("tls-1.1", "cbc-only", "static-rsa-only") else BOTH,
    )
    for variant, why in REFUSED_VARIANTS.items()
)


def _hang(name: str, *script: Action) -> Case:
    return Case(name=f"hang-{name}", script=(ReadRequest(), *script), expect=TIMEOUT, why="ours: deadline")


HANGS = (
    _hang("before-anything"),
    _hang("after-the-status-line", Send(OK)),
    _hang("in-the-blank-line", Send(STAGES["in-the-blank-line"])),
    _hang("after-an-interim", Send(STAGES["after-an-interim"])),
    _hang("after-the-head", Send(BY_LENGTH)),
    _hang("in-a-body", Send(STAGES["in-a-length-body"])),
    _hang("in-a-record", Send(BY_LENGTH), PartOfRecord(b"0123456789", 20)),
    _hang("in-a-chunk", Send(STAGES["in-a-chunk"])),
    _hang("before-the-last-blank-line", Send(STAGES["after-the-last-chunk"])),
    _hang("close-delimited", Send(CLOSE_HELLO)),
    _hang("drip-head", Drip(OK + b"X-A: " + b"a" * 200, 0.03)),
    _hang("drip-body", Send(head(b"Content-Length: 200")), Drip(b"a" * 199, 0.03)),
    _hang("drip-chunks", Send(chunked(b"")), Drip(b"1\r\na\r\n" * 60, 0.03, size=6)),
    _hang("drip-interim", Drip(b"HTTP/1.1 100 Go\r\n\r\n" * 7, 0.1, size=19)),
)


def _huge(name: str, why: str, *script: Action) -> Case:
    return Case(name=f"huge-{name}", script=(ReadRequest(), *script), expect=TOO_LARGE, why=f"ours: cap; {why}")


HUGE = (
    _huge("status-line", "9112 3", Send(b"HTTP/1.1 200 " + b"O" * 200_000 + b"\r\n\r\n")),
    _huge("status-line-endless", "9112 3", Flood(b"HTTP/1.1 200 " + b"O" * 60_000)),
    _huge("header-value", "9110 5.4", Send(sized(b"X-A: " + b"a" * 200_000))),
    _huge("header-name", "9110 5.4", Send(sized(b"X-" + b"a" * 200_000 + b": 1"))),
    _huge("header-value-endless", "9110 5.4", Send(OK + b"X-A: "), Flood(b"a" * 60_000)),
    _huge("header-count", "9110 5.4", Send(sized(*[b"X-%d: 1" % number for number in range(1000)]))),
    _huge("headers-endless", "9110 5.4", Send(OK), Flood(b"X-A: 1\r\n" * 5000)),
    _huge("head-in-interim", "9110 5.4", Send(b"HTTP/1.1 103 Hi\r\nLink: " + b"a" * 200_000 + b"\r\n\r\n" + HELLO)),
    _huge("length-one-above-the-cap", "refused before the body", Send(head(b"Content-Length: %d" % (MAX_BODY + 1)))),
    _huge("length", "refused before the body", Send(head(b"Content-Length: 99999999999"))),
    _huge("chunk", "9112 7.1", Send(chunked(b"FFFFFFF\r\n")), Flood(b"a" * 60_000)),
    _huge("chunk-of-16-digits", "9112 7.1", Send(chunked(b"FFFFFFFFFFFFFFFF\r\n")), Flood(b"a" * 60_000)),
    _huge(
        "chunk-wraps-to-5",
        "9112 7.1: 2**64 + 5",
        Send(chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n")),
        Flood(b"a" * 60_000),
    ),
    _huge("chunks-endless", "counted", Send(chunked(b"")), Flood(b"1000\r\n" + b"a" * 4096 + b"\r\n")),
    _huge("chunks-one-above-the-cap", "counted", Send(chunked(b"10001\r\n" + b"a" * 65537 + b"\r\n0\r\n\r\n"))),
    _huge("close-delimited-endless", "counted", Send(head()), Flood(b"a" * 60_000)),
    _huge("close-delimited-one-above", "counted", Send(head() + b"a" * (MAX_BODY + 1)), CloseNotify()),
)

LATE = (
    Case(
        name="close-notify-inside-a-body",
        script=reply(STAGES["in-a-length-body"], CloseNotifyOnly(), Raw(b"56789")),
        expect=TRUNCATED,
        why="9112 9.8: what comes after close_notify is not data",
        versions=BOTH,
    ),
)

CASES = ENDED + RESETS + UNPROVEN + COMPLETE + TLS_FAULTS + HANDSHAKES + CERTIFICATES + HANGS + HUGE + LATE
