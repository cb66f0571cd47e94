"""What a strict client must accept, and give back unchanged."""

from __future__ import annotations

import gzip

from tests.hostile.actions import CloseNotify, CloseNotifyOnly, Drip, ReadRequest, Send
from tests.hostile.case import (
    BOTH,
    CHUNKED_HELLO,
    CLOSE_HELLO,
    HELLO,
    MAX_BODY,
    PLAIN,
    Answered,
    Case,
    chunked,
    head,
    reply,
    sized,
)

HELLO_AGAIN = Answered()
IN_CHUNKS = Answered(framing="chunked")
FIVE = b"5\r\nhello\r\n0\r\n\r\n"
EMPTY = Answered(body=b"", framing="none")
BY_CLOSE = Answered(framing="close")
ZIPPED = gzip.compress(b"hello", mtime=0)
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def _case(name: str, data: bytes, expect: Answered, why: str, *, method: str = "GET") -> Case:
    return Case(name=name, script=reply(data), expect=expect, why=why, method=method)


FRAMED = (
    Case(name="content-length", script=reply(HELLO), expect=HELLO_AGAIN, why="9112 6.3 (6)", versions=BOTH),
    Case(name="chunked", script=reply(CHUNKED_HELLO), expect=IN_CHUNKS, why="9112 7.1", versions=BOTH),
    Case(
        name="closed-with-close-notify",
        script=reply(CLOSE_HELLO, CloseNotify()),
        expect=BY_CLOSE,
        why="9112 6.3 (8), 9.8",
        versions=BOTH,
    ),
    Case(
        name="close-notify-without-fin",
        script=reply(CLOSE_HELLO, CloseNotifyOnly()),
        expect=BY_CLOSE,
        why="9112 9.8: the alert ends the body, not TCP",
        versions=BOTH,
    ),
    Case(
        name="empty-body-by-close",
        script=reply(head(), CloseNotify()),
        expect=Answered(body=b"", framing="close"),
        why="9112 6.3 (8)",
    ),
    Case(name="plain-content-length", script=reply(HELLO), expect=HELLO_AGAIN, why="ours", variant=PLAIN),
    Case(name="plain-chunked", script=reply(CHUNKED_HELLO), expect=IN_CHUNKS, why="ours", variant=PLAIN),
    _case("content-length-zero", sized(body=b""), Answered(body=b""), "9112 6.3 (6)"),
    _case("content-length-leading-zeros", head(b"Content-Length: 0005") + b"hello", HELLO_AGAIN, "9110 8.6"),
    _case("content-length-trailing-blank", head(b"Content-Length: 5 \t") + b"hello", HELLO_AGAIN, "9112 5"),
    _case("content-length-no-blank", head(b"Content-Length:5") + b"hello", HELLO_AGAIN, "9112 5"),
    _case("content-length-odd-case", head(b"cONTENT-lENGTH: 5") + b"hello", HELLO_AGAIN, "9110 5.1"),
    _case(
        "content-length-at-the-cap",
        sized(body=b"x" * MAX_BODY),
        Answered(body=b"x" * MAX_BODY),
        "a cap includes its value",
    ),
    _case("http-1.0-content-length", sized(status=b"HTTP/1.0 200 OK\r\n"), HELLO_AGAIN, "9112 2.3"),
    Case(
        name="http-1.0-close",
        script=reply(head(status=b"HTTP/1.0 200 OK\r\n") + b"hello", CloseNotify()),
        expect=BY_CLOSE,
        why="9112 6.3 (8)",
    ),
)

CHUNKED = (
    _case("chunked-odd-case", head(b"Transfer-Encoding: CHUNkED") + FIVE, IN_CHUNKS, "9112 7"),
    _case(
        "chunk-size-upper-hex",
        chunked(b"A\r\n0123456789\r\n0\r\n\r\n"),
        Answered(body=b"0123456789", framing="chunked"),
        "9112 7.1",
    ),
    _case(
        "chunk-size-lower-hex",
        chunked(b"a\r\n0123456789\r\n0\r\n\r\n"),
        Answered(body=b"0123456789", framing="chunked"),
        "9112 7.1",
    ),
    _case(
        "chunk-size-leading-zeros", chunked(b"0005\r\nhello\r\n000\r\n\r\n"), IN_CHUNKS, '9112 7.1: 1*HEXDIG, 1*("0")'
    ),
    _case("chunk-extension", chunked(b'5;a=b;c="d"\r\nhello\r\n0;last\r\n\r\n'), IN_CHUNKS, "9112 7.1.1: ignored"),
    _case("chunk-extension-quoted", chunked(b'5;a="x\\"y;z"\r\nhello\r\n0\r\n\r\n'), IN_CHUNKS, "9112 7.1.1"),
    _case(
        "chunk-extension-of-300-bytes",
        chunked(b"5;a=" + b"b" * 300 + b"\r\nhello\r\n0\r\n\r\n"),
        IN_CHUNKS,
        "9112 7.1.1",
    ),
    _case(
        "chunk-of-one-byte-each",
        chunked(b"".join(b"1\r\n%c\r\n" % byte for byte in b"hello") + b"0\r\n\r\n"),
        IN_CHUNKS,
        "9112 7.1",
    ),
    _case("chunked-empty", chunked(b"0\r\n\r\n"), Answered(body=b"", framing="chunked"), "9112 7.1"),
    _case(
        "chunk-data-looks-like-framing",
        chunked(b"7\r\n0\r\n\r\nHT\r\n0\r\n\r\n"),
        Answered(body=b"0\r\n\r\nHT", framing="chunked"),
        "9112 7.1",
    ),
)

STATUS = (
    _case("reason-missing", sized(status=b"HTTP/1.1 200 \r\n"), HELLO_AGAIN, "9112 4: reason-phrase is optional"),
    _case(
        "reason-and-its-blank-missing",
        sized(status=b"HTTP/1.1 200\r\n"),
        HELLO_AGAIN,
        "9112 4 wants the SP; ours: forgiven, many servers omit it and it has one reading",
    ),
    _case("reason-latin-1", sized(status=b"HTTP/1.1 200 S\xed\r\n"), HELLO_AGAIN, "9112 4: obs-text"),
    _case("reason-misleading", sized(status=b"HTTP/1.1 500 OK\r\n"), Answered(status=500), "9112 4: ignored"),
    _case("status-unknown", sized(status=b"HTTP/1.1 299 Well\r\n"), Answered(status=299), "9110 15"),
    _case("status-599", sized(status=b"HTTP/1.1 599 Bad\r\n"), Answered(status=599), "9110 15: within 100..599"),
    _case(
        "redirect-301",
        sized(b"Location: https://evil.test/", status=b"HTTP/1.1 301 Moved\r\n"),
        Answered(status=301),
        "ours: the answer as it is",
    ),
    _case("redirect-302", sized(b"Location: /other", status=b"HTTP/1.1 302 Found\r\n"), Answered(status=302), "ours"),
    _case("redirect-307", sized(b"Location: /other", status=b"HTTP/1.1 307 Again\r\n"), Answered(status=307), "ours"),
    _case(
        "challenge-401",
        sized(b"WWW-Authenticate: Basic", status=b"HTTP/1.1 401 No\r\n"),
        Answered(status=401),
        "ours: never answered",
    ),
    _case("interim-100", CONTINUE + HELLO, HELLO_AGAIN, "9110 15.2"),
    _case("interim-103", EARLY_HINTS + HELLO, HELLO_AGAIN, "8297"),
    _case("interim-eight", CONTINUE * 4 + EARLY_HINTS * 4 + HELLO, HELLO_AGAIN, "9110 15.2; ours: up to eight"),
    Case(
        name="interim-then-later-final",
        script=(ReadRequest(), Send(CONTINUE), Drip(HELLO, delay=0.001, size=9)),
        expect=HELLO_AGAIN,
        why="9110 15.2",
    ),
)

NO_BODY = (
    _case("head-content-length", head(b"Content-Length: 5"), EMPTY, "9112 6.3 (1)", method="HEAD"),
    _case("head-chunked", head(b"Transfer-Encoding: chunked"), EMPTY, "9112 6.3 (1)", method="HEAD"),
    _case("head-with-body-bytes", HELLO, EMPTY, "9112 6.3 (1): the bytes belong to nothing", method="HEAD"),
    _case("head-nothing", head(), EMPTY, "9112 6.3 (1)", method="HEAD"),
    _case(
        "204",
        head(status=b"HTTP/1.1 204 No Content\r\n"),
        Answered(status=204, body=b"", framing="none"),
        "9112 6.3 (1)",
    ),
    _case(
        "204-with-body-bytes",
        head(status=b"HTTP/1.1 204 No\r\n") + b"hello",
        Answered(status=204, body=b"", framing="none"),
        "9112 6.3 (1)",
    ),
    _case(
        "304-content-length",
        head(b"Content-Length: 5", status=b"HTTP/1.1 304 Not Modified\r\n"),
        Answered(status=304, body=b"", framing="none"),
        "9112 6.3 (1), 9110 8.6",
    ),
    _case(
        "304-with-body-bytes",
        sized(status=b"HTTP/1.1 304 No\r\n"),
        Answered(status=304, body=b"", framing="none"),
        "9112 6.3 (1)",
    ),
)

HEADERS = (
    _case(
        "header-duplicates",
        sized(b"X-A: 1", b"X-B: 2", b"x-a: 3", b"X-A: 1"),
        Answered(headers=((b"x-a", b"1"), (b"x-b", b"2"), (b"x-a", b"3"), (b"x-a", b"1"))),
        "9110 5.3: order kept",
    ),
    _case(
        "header-latin-1",
        sized(b"X-Name: S\xe3o \xff"),
        Answered(headers=((b"x-name", b"S\xe3o \xff"),)),
        "9110 5.5: obs-text",
    ),
    _case(
        "header-utf-8",
        sized(b"X-Name: S\xc3\xa3o"),
        Answered(headers=((b"x-name", b"S\xc3\xa3o"),)),
        "9110 5.5: opaque",
    ),
    _case("header-empty", sized(b"X-A:", b"X-B: \t "), Answered(headers=((b"x-a", b""), (b"x-b", b""))), "9112 5"),
    _case(
        "header-blanks-around",
        sized(b"X-A: \t a\tb  c \t"),
        Answered(headers=((b"x-a", b"a\tb  c"),)),
        "9112 5: OWS is no part",
    ),
    _case("header-colons", sized(b"X-A::b:c"), Answered(headers=((b"x-a", b":b:c"),)), "9110 5.5"),
    _case(
        "header-token-characters",
        sized(b"X-!#$%&'*+.^_`|~0z: v"),
        Answered(headers=((b"x-!#$%&'*+.^_`|~0z", b"v"),)),
        "9110 5.6.2",
    ),
    _case("header-set-cookie-twice", sized(b"Set-Cookie: a=1", b"Set-Cookie: b=2"), HELLO_AGAIN, "9110 5.3"),
    _case("encoded-gzip", sized(b"Content-Encoding: gzip", body=ZIPPED), Answered(body=ZIPPED), "ours: bytes as sent"),
    _case("encoded-falsely", sized(b"Content-Encoding: gzip"), HELLO_AGAIN, "ours: bytes as sent"),
    _case("body-binary", sized(body=bytes(range(256)) * 4), Answered(body=bytes(range(256)) * 4), "bytes as sent"),
    _case(
        "body-large-in-many-records",
        sized(body=b"0123456789" * 6000),
        Answered(body=b"0123456789" * 6000),
        "bytes as sent",
    ),
)

DELIVERY = (
    Case(name="byte-by-byte", script=(ReadRequest(), Drip(HELLO)), expect=HELLO_AGAIN, why="stream", versions=BOTH),
    Case(name="byte-by-byte-chunked", script=(ReadRequest(), Drip(CHUNKED_HELLO)), expect=IN_CHUNKS, why="stream"),
    Case(
        name="slow-but-in-time",
        script=(ReadRequest(), Drip(HELLO, delay=0.01, size=10)),
        expect=HELLO_AGAIN,
        why="stream",
    ),
    Case(name="extra-bytes-after", script=reply(HELLO + b"extra"), expect=HELLO_AGAIN, why="9112 6.3: end is known"),
    Case(name="extra-bytes-after-chunked", script=reply(CHUNKED_HELLO + b"extra"), expect=IN_CHUNKS, why="9112 7.1"),
    Case(
        name="content-length-too-short",
        script=reply(head(b"Content-Length: 3") + b"hello"),
        expect=Answered(body=b"hel"),
        why="9112 6.3 (6)",
    ),
    Case(name="second-response-unasked", script=reply(HELLO + sized(body=b"evil")), expect=HELLO_AGAIN, why="9112 9.2"),
    Case(name="wildcard-certificate", script=reply(HELLO), expect=HELLO_AGAIN, why="9525 6.3", variant="wildcard"),
)

CASES = FRAMED + CHUNKED + STATUS + NO_BODY + HEADERS + DELIVERY
