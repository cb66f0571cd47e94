"""Bytes that are not strict HTTP/1.1: every framing lie, every line that is not what it seems.

The connection is held open after them, so that a client cannot take refuge in the end of the stream.
"""

from __future__ import annotations

from tests.hostile.case import (
    HELLO,
    MALFORMED,
    OK,
    TOO_LARGE,
    Case,
    Expected,
    chunked,
    head,
    reply,
    sized,
)

FIVE = b"5\r\nhello\r\n0\r\n\r\n"


def _case(name: str, data: bytes, why: str, expect: Expected = MALFORMED, *, method: str = "GET") -> Case:
    return Case(name=name, script=reply(data), expect=expect, why=why, method=method)


def _length(name: str, value: bytes, why: str, expect: Expected = MALFORMED) -> Case:
    return _case(f"content-length-{name}", head(b"Content-Length: " + value) + b"hello", why, expect)


def _coding(name: str, *values: bytes, why: str) -> Case:
    fields = tuple(b"Transfer-Encoding: " + value for value in values)
    return _case(f"transfer-encoding-{name}", head(*fields) + FIVE, why)


def _size(name: str, size: bytes, why: str, expect: Expected = MALFORMED) -> Case:
    return _case(f"chunk-size-{name}", chunked(size + b"\r\nhello\r\n0\r\n\r\n"), why, expect)


def _status(name: str, line: bytes, why: str) -> Case:
    return _case(f"status-{name}", sized(status=line + b"\r\n"), why)


def _field(name: str, field: bytes, why: str) -> Case:
    return _case(f"header-{name}", sized(field), why)


LENGTH = (
    _case(
        "content-length-twice-equal",
        head(b"Content-Length: 5", b"Content-Length: 5") + b"hello",
        "9112 6.3 (5); ours: once",
    ),
    _case(
        "content-length-twice-different", head(b"Content-Length: 5", b"Content-Length: 6") + b"hello!", "9112 6.3 (5)"
    ),
    _case(
        "content-length-twice-apart",
        head(b"Content-Length: 5", b"X-A: 1", b"content-length: 4") + b"hello",
        "9112 6.3 (5)",
    ),
    _length("list-equal", b"5, 5", "9112 6.3 (5); ours: once"),
    _length("list-different", b"5, 6", "9112 6.3 (5)"),
    _length("list-empty-member", b"5,", "9112 6.3 (5)"),
    _length("negative", b"-5", "9110 8.6: 1*DIGIT"),
    _length("plus", b"+5", "9110 8.6: 1*DIGIT"),
    _length("hex", b"0x5", "9110 8.6: 1*DIGIT"),
    _length("hex-letter", b"a", "9110 8.6: 1*DIGIT"),
    _length("decimal", b"5.0", "9110 8.6: 1*DIGIT"),
    _length("exponent", b"5e0", "9110 8.6: 1*DIGIT"),
    _length("underscore", b"1_0", "9110 8.6; Python's int() takes it"),
    _length("blank", b"", "9110 8.6: 1*DIGIT"),
    _length("blank-inside", b"5 5", "9110 8.6: 1*DIGIT"),
    _length("quoted", b'"5"', "9110 8.6: 1*DIGIT"),
    _length("arabic-digit", "\u0665".encode(), "9110 8.6; Python's int() takes it"),
    _length("vertical-tab", b"\x0b5", "9112 5: OWS is SP and HTAB"),
    _length("form-feed", b"5\x0c", "9112 5: OWS is SP and HTAB"),
    _length("no-break-space", b"\xa05", "9112 5: OWS is SP and HTAB"),
    _length("30-digits", b"9" * 30, "9110 8.6: anticipate large numerals", TOO_LARGE),
    _length("5000-digits", b"9" * 5000, "9110 8.6; Python's int() refuses it", TOO_LARGE),
    _length("above-64-bits", b"18446744073709551621", "9110 8.6: 2**64 + 5", TOO_LARGE),
)

CODING = (
    _case(
        "both-length-first",
        head(b"Content-Length: 5", b"Transfer-Encoding: chunked") + FIVE,
        "9112 6.3 (3); ours: refused",
    ),
    _case(
        "both-coding-first",
        head(b"Transfer-Encoding: chunked", b"Content-Length: 5") + FIVE,
        "9112 6.3 (3); ours: refused",
    ),
    _case(
        "both-length-of-chunks",
        head(b"Transfer-Encoding: chunked", b"Content-Length: %d" % len(FIVE)) + FIVE,
        "9112 6.3 (3)",
    ),
    _case("both-blank-before-colon", head(b"Content-Length: 5", b"Transfer-Encoding : chunked") + FIVE, "9112 5.1"),
    _case("both-folded", head(b"Content-Length: 5", b"Transfer-Encoding:", b" chunked") + FIVE, "9112 5.2"),
    _case("both-identity", head(b"Content-Length: 5", b"Transfer-Encoding: identity") + b"hello", "9112 6.1"),
    _coding("twice", b"chunked", b"chunked", why="9112 6.1: chunked once only"),
    _coding("list-twice", b"chunked, chunked", why="9112 6.1: chunked once only"),
    _coding("gzip", b"gzip", why="9112 6.1; ours: only chunked"),
    _coding("gzip-chunked", b"gzip, chunked", why="9112 6.1; ours: only chunked"),
    _coding("gzip-chunked-apart", b"gzip", b"chunked", why="9112 6.1; ours: only chunked"),
    _coding("chunked-gzip", b"chunked, gzip", why="9112 6.1: chunked last"),
    _coding("chunked-identity", b"chunked, identity", why="9112 6.1: chunked last"),
    _coding("identity", b"identity", why="9112 6.1: identity is gone"),
    _coding("xchunked", b"xchunked", why="9112 6.1: unknown coding"),
    _coding("chunkedx", b"chunkedx", why="9112 6.1: unknown coding"),
    _coding("chunked-parameter", b"chunked;q=1", why="9112 7: chunked has no parameters"),
    _coding("list-empty-member", b",chunked", why="9110 5.6.1; ours: exactly chunked"),
    _coding("blank", b"", why="9112 6.1"),
    _coding("vertical-tab", b"\x0bchunked", why="9112 5: OWS is SP and HTAB"),
    _coding("quoted", b'"chunked"', why="9112 7: a token"),
    _coding("kelvin-sign", "chun\u212aed".encode(), why="9110 5.6.2; Python's lower() makes a k of it"),
    _case(
        "transfer-encoding-http-1.0",
        head(b"Transfer-Encoding: chunked", status=b"HTTP/1.0 200 OK\r\n") + FIVE,
        "9112 6.1: faulty framing",
    ),
)

CHUNKS = (
    _size("0x", b"0x5", "9112 7.1: 1*HEXDIG"),
    _size("negative", b"-5", "9112 7.1: 1*HEXDIG"),
    _size("plus", b"+5", "9112 7.1: 1*HEXDIG"),
    _size("trailing-letters", b"5zz", "9112 7.1: 1*HEXDIG"),
    _size("empty", b"", "9112 7.1: 1*HEXDIG"),
    _size("only-extension", b";a=b", "9112 7.1: 1*HEXDIG"),
    _size("leading-blank", b" 5", "9112 7.1: 1*HEXDIG"),
    _size("trailing-blank", b"5 ", "9112 7.1: BWS stands only before ';'"),
    _size("blanks-in-the-extension", b"5 ; a = b", "9112 7.1.1 allows BWS here; ours: refused"),
    _size("underscore", b"0_5", "9112 7.1; Python's int() takes it"),
    _size("21-digits", b"0" * 20 + b"5", "9112 7.1: anticipate large numerals; ours: 20"),
    _size("extension-bare-lf", b"5;a\nb", "9112 2.2, 7.1.1"),
    _size("extension-bare-cr", b"5;a\rb", "9112 2.2, 7.1.1"),
    _size("extension-nul", b"5;a=\x00", "9112 7.1.1"),
    _size("extension-endless", b"5;" + b"a" * 200_000, "9112 7.1.1: limit them", TOO_LARGE),
    _case("chunk-size-bare-lf", chunked(b"5\nhello\r\n0\r\n\r\n"), "9112 7.1; 2.2 is about the head"),
    _case("chunk-size-cr-cr-lf", chunked(b"5\r\r\nhello\r\n0\r\n\r\n"), "9112 7.1"),
    _case("chunk-size-of-the-last-bare-lf", chunked(b"5\r\nhello\r\n0\n\r\n"), "9112 7.1"),
    _case("chunk-end-missing", chunked(b"5\r\nhello0\r\n\r\n"), "9112 7.1"),
    _case("chunk-end-wrong", chunked(b"5\r\nhelloXX0\r\n\r\n"), "9112 7.1"),
    _case("chunk-end-bare-lf", chunked(b"5\r\nhello\n0\r\n\r\n"), "9112 7.1"),
    _case("chunk-end-lf-cr", chunked(b"5\r\nhello\n\r0\r\n\r\n"), "9112 7.1"),
    _case("chunk-too-long", chunked(b"5\r\nhello!\r\n0\r\n\r\n"), "9112 7.1"),
    _case("chunk-too-short", chunked(b"5\r\nhell\r\n0\r\n\r\n"), "9112 7.1"),
    _case("chunked-last-blank-line-bare-lf", chunked(b"5\r\nhello\r\n0\r\n\n"), "9112 7.1"),
    _case("chunked-trailer", chunked(b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"), "9112 7.1.2; ours: refused"),
    _case("chunked-trailer-framing", chunked(b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n"), "9110 6.5.1"),
    _case("chunked-trailer-bare-lf", chunked(b"5\r\nhello\r\n0\r\nX-T: 1\n\n"), "9112 7.1.2"),
    _case("chunked-end-garbage", chunked(b"5\r\nhello\r\n0\r\nHTTP/1.1 200 OK\r\n\r\n"), "9112 7.1.2"),
    _case("chunked-body-not-chunked", chunked(b"<html>hello</html>\r\n\r\n"), "9112 7.1"),
)

STATUS = (
    _status("http-2", b"HTTP/2 200 OK", "9112 2.3: HTTP/DIGIT.DIGIT"),
    _status("http-2.0", b"HTTP/2.0 200 OK", "9110 6.2: another major version"),
    _status("http-0.9", b"HTTP/0.9 200 OK", "9110 6.2: another major version"),
    _status("http-1", b"HTTP/1 200 OK", "9112 2.3"),
    _status("http-1.10", b"HTTP/1.10 200 OK", "9112 2.3"),
    _status("http-01.1", b"HTTP/01.1 200 OK", "9112 2.3"),
    _status("lower-case", b"http/1.1 200 OK", "9112 2.3: case-sensitive"),
    _status("icy", b"ICY 200 OK", "9112 2.3"),
    _status("two-digits", b"HTTP/1.1 20 OK", "9112 4: 3DIGIT"),
    _status("four-digits", b"HTTP/1.1 2000 OK", "9112 4: 3DIGIT"),
    _status("letters", b"HTTP/1.1 2OO OK", "9112 4: 3DIGIT"),
    _status("negative", b"HTTP/1.1 -20 OK", "9112 4: 3DIGIT"),
    _status("below-100", b"HTTP/1.1 099 OK", "9110 15: outside 100..599"),
    _status("above-599", b"HTTP/1.1 600 OK", "9110 15: outside 100..599"),
    _status("999", b"HTTP/1.1 999 OK", "9110 15: outside 100..599"),
    _status("arabic-digits", "HTTP/1.1 \u0662\u0660\u0660 OK".encode(), "9112 4: 3DIGIT"),
    _status("missing", b"HTTP/1.1", "9112 4"),
    _status("code-missing", b"HTTP/1.1  OK", "9112 4"),
    _status("reason-glued", b"HTTP/1.1 200OK", "9112 4"),
    _status("two-blanks", b"HTTP/1.1  200 OK", "9112 4: one SP"),
    _status("tab", b"HTTP/1.1\t200\tOK", "9112 4: SP"),
    _status("leading-blank", b" HTTP/1.1 200 OK", "9112 4"),
    _status("leading-crlf", b"\r\nHTTP/1.1 200 OK", "9112 2.2: a courtesy to requests only"),
    _status("leading-bom", b"\xef\xbb\xbfHTTP/1.1 200 OK", "9112 4"),
    _status("reason-nul", b"HTTP/1.1 200 O\x00K", "9112 4: HTAB, SP, VCHAR, obs-text"),
    _status("reason-bare-cr", b"HTTP/1.1 200 O\rK", "9112 2.2"),
    _status("reason-escape", b"HTTP/1.1 200 \x1b[31mOK", "9112 4: HTAB, SP, VCHAR, obs-text"),
    _case("status-bare-lf", sized(status=b"HTTP/1.1 200 OK\n"), "9112 2.2; ours: CRLF only"),
    _case("status-cr-cr-lf", sized(status=b"HTTP/1.1 200 OK\r\r\n"), "9112 2.2"),
    _case(
        "switching-protocols",
        head(b"Upgrade: h2c", b"Connection: upgrade", status=b"HTTP/1.1 101 Go\r\n") + HELLO,
        "9110 7.8: never asked",
    ),
    _case(
        "interim-with-body",
        head(b"Content-Length: 5", status=b"HTTP/1.1 100 Go\r\n") + b"hello" + HELLO,
        "9112 6.3 (1)",
    ),
    _case("interim-then-garbage", b"HTTP/1.1 100 Go\r\n\r\ngarbage\r\n\r\n", "9112 4"),
    _case("interim-header-bare-lf", b"HTTP/1.1 103 Hi\r\nLink: a\nX-A: b\r\n\r\n" + HELLO, "9112 2.2"),
    _case("interim-endless", b"HTTP/1.1 100 Go\r\n\r\n" * 5000 + HELLO, "9110 15.2; ours: up to eight"),
    _case("status-of-http-0.9", b"<html><body>hello</body></html>\r\n\r\n", "9112 4; RFC 1945's simple response"),
    _case("garbage-binary", bytes(range(256)) + b"\r\n\r\n", "9112 4"),
    _case("garbage-tls-inside-tls", b"\x16\x03\x01\x00\x05hello\r\n\r\n", "9112 4"),
    _case("garbage-request", b"GET / HTTP/1.1\r\nHost: api.hostile.test\r\n\r\n", "9112 4"),
    _case("garbage-http-2-preface", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18 + b"\r\n\r\n", "9112 4"),
)

FIELDS = (
    _field("blank-before-colon", b"X-A : 1", "9112 5.1"),
    _field("tab-before-colon", b"X-A\t: 1", "9112 5.1"),
    _field("no-colon", b"X-A", "9112 5"),
    _field("no-name", b": 1", "9110 5.1: 1*tchar"),
    _field("blank-name", b" : 1", "9112 5.2"),
    _field("name-with-blank", b"X A: 1", "9110 5.6.2"),
    _field("name-with-latin-1", b"X-\xe9: 1", "9110 5.6.2"),
    _field("name-with-nul", b"X-\x00A: 1", "9110 5.6.2"),
    _field("name-with-bracket", b"X[A]: 1", "9110 5.6.2"),
    _field("name-with-cr", b"X-A\r: 1", "9112 2.2"),
    _field("value-nul", b"X-A: a\x00b", "9110 5.5"),
    _field("value-bell", b"X-A: a\x07b", "9110 5.5"),
    _field("value-delete", b"X-A: a\x7fb", "9110 5.5"),
    _field("value-escape", b"X-A: \x1b[31mred", "9110 5.5"),
    _field("value-vertical-tab", b"X-A: a\x0bb", "9110 5.5"),
    _field("value-bare-cr", b"X-A: a\rb", "9112 2.2"),
    _field("value-cr-before-name", b"X-A: a\rContent-Length: 9", "9112 2.2"),
    _field("value-trailing-cr", b"X-A: a\r", "9112 2.2"),
    _field("value-bare-lf", b"X-A: a\nX-B: b", "9112 2.2; ours: CRLF only"),
    _field("value-lf-length", b"X-A: a\nTransfer-Encoding: chunked", "9112 2.2; ours: CRLF only"),
    _field("folded-space", b"X-A: a\r\n b", "9112 5.2: obs-fold"),
    _field("folded-tab", b"X-A: a\r\n\tb", "9112 5.2: obs-fold"),
    _field("folded-empty", b"X-A: a\r\n \r\nX-B: b", "9112 5.2: obs-fold"),
    _field("folded-first-space", b" X-A: a", "9112 2.2: blank after the start line"),
    _field("folded-first-tab", b"\tX-A: a", "9112 2.2: blank after the start line"),
    _case("head-end-bare-lf", OK + b"Content-Length: 5\r\n\nhello", "9112 2.2; ours: CRLF only"),
    _case("head-all-bare-lf", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "9112 2.2; ours: CRLF only"),
    _case("head-end-lf-crlf", OK + b"Content-Length: 5\n\r\nhello", "9112 2.2; ours: CRLF only"),
    _case("head-end-cr-only", OK + b"Content-Length: 5\r\rhello\r\n\r\n", "9112 2.2"),
    _case("head-bare-lf-of-head-method", b"HTTP/1.1 200 OK\r\nX-A: b\n\r\n", "9112 2.2", method="HEAD"),
)

CASES = LENGTH + CODING + CHUNKS + STATUS + FIELDS
