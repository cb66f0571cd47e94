"""Our HTTP/1.1: what it takes, h11 takes as the same message, in any pieces; what it sends is one request."""

from dataclasses import replace
from itertools import pairwise

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enclave_worker.upstream.bodies import MAX_LINE_BYTES
from enclave_worker.upstream.exchange import UpstreamError
from enclave_worker.upstream.head import MAX_FIELDS, MAX_HEAD_BYTES
from enclave_worker.upstream.request import serialise
from enclave_worker.upstream.response import MAX_INTERIM, ResponseReader
from policy import manifest, rules
from policy.headers import Header
from policy.rules import Allowed
from tests.hostile.actions import Drip, Raw, Send
from tests.hostile.case import CHUNKED_HELLO, CLOSE_HELLO, HELLO, Case, chunked, head, sized
from tests.hostile.cases import CASES
from tests.http_oracle import CAP, Message, disagreement, ours, theirs

METHODS = st.sampled_from(["GET", "HEAD", "POST"])
LINE_ENDS = st.sampled_from([b"\r\n"] * 30 + [b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n ", b""])
STATUS_LINES = st.sampled_from(
    [b"HTTP/1.1 200 OK"] * 4
    + [
        b"HTTP/1.1 204 No",
        b"HTTP/1.1 304 ",
        b"HTTP/1.1 404",
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 100 Go",
        b"HTTP/1.1 101 Go",
    ]
    + [
        b"HTTP/1.1 103 Hi",
        b"HTTP/1.1 999 \xff",
        b"HTTP/1.1 099 x",
        b"HTTP/2.0 200 OK",
        b"HTTP/1.1  200",
        b"http/1.1 200",
    ]
    + [b"HTTP/1.1 20x", b"HTTP/1.1 200OK", b"HTTP/1.1\t200 OK", b" HTTP/1.1 200", b"", b"HTTP/1.1 200 \x00"]
)
NAMES = st.sampled_from(
    [
        *[b"Content-Length", b"content-length", b"Transfer-Encoding", b"TRANSFER-ENCODING", b"Connection", b"X-A"],
        *[b"x-a", b"X-!#$%&'*+.^_`|~", b"X A", b"", b" X-A", b"X-A ", b"Content-Length ", b"X\xe9", b"X\x00"],
    ]
)
VALUES = st.sampled_from(
    [
        *[b"5", b"05", b"0", b"12", b"5, 5", b"+5", b"5 ", b"0x5", b"\xa05", b"9" * 15, b"9" * 16, b"9999"],
        *[b"chunked", b"Chunked", b"gzip, chunked", b"chunked,", b"identity", b"close", b"Close", b"keep-alive, close"],
        *[b"", b"  a\tb  ", b"\xff", b"a\x00b", b"a\x7fb", b"a\x0bb", b"a\rb", b"a\nb: c", b":", b"\x1c5"],
    ]
)
CHUNK_PARTS = st.sampled_from(
    [b"5\r\nhello\r\n"] * 6
    + [b"0\r\n\r\n"] * 6
    + [b"5;a=b\r\nhello\r\n", b"05\r\nhello\r\n", b"A\r\n0123456789\r\n", b"5 \r\nhello\r\n", b"5\nhello\n", b"0\r\n"]
    + [
        b"0\r\nX: 1\r\n\r\n",
        b"5\r\nhello",
        b"\r\n",
        b"5;\x00\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"ffffffffff\r\n",
        b"-1\r\n",
    ]
    + [b"0" * 20 + b"5\r\nhello\r\n", b"hello", b"0;x\r\n\r\n", b"\xff"]
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    end = draw(LINE_ENDS)
    fields = draw(st.lists(st.tuples(NAMES, st.sampled_from([b":", b": ", b":\t ", b" :", b""]), VALUES), max_size=4))
    lines = [draw(STATUS_LINES), *(b"".join(field) for field in fields)]
    return b"".join(line + end for line in lines) + draw(LINE_ENDS)


STREAMS = st.one_of(
    st.builds(b"".join, st.lists(st.one_of(heads(), CHUNK_PARTS), min_size=1, max_size=6)),
    st.builds(lambda parts: chunked(b"".join(parts)), st.lists(CHUNK_PARTS, max_size=6)),
    st.binary(max_size=60),
)
WHOLE = [
    HELLO,
    CHUNKED_HELLO,
    CLOSE_HELLO,
    b"HTTP/1.1 103 Hi\r\nLink: a\r\n\r\n" + HELLO,
    chunked(b'5;a="b"\r\nhello\r\n0\r\n\r\n'),
]
SPLICES = st.lists(
    st.tuples(
        st.integers(0, 90),
        st.integers(0, 3),
        st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b":", b"\0", b"5", b"0", b";"]),
    ),
    max_size=3,
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good message with a few bytes put in, taken out or exchanged."""
    stream = draw(st.sampled_from(WHOLE))
    for position, removed, inserted in draw(SPLICES):
        stream = stream[:position] + inserted + stream[position + removed :]
    return stream


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    marks = sorted({0, len(stream), *(each % (len(stream) + 1) for each in cuts)})
    return [stream[start:end] for start, end in pairwise(marks)]


CUTS = st.lists(st.integers(0, 400), max_size=5)


@settings(max_examples=1000)
@given(METHODS, st.one_of(STREAMS, damaged()), CUTS)
@example("GET", HELLO + HELLO, [])
@example("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", [])
def test_what_ours_takes_h11_takes_as_the_same_message(method: str, stream: bytes, cuts: list[int]) -> None:
    assert disagreement(method, stream, cut(stream, cuts)) == ""


@given(METHODS, st.one_of(STREAMS, damaged()), CUTS)
def test_pieces_change_nothing_but_when_a_fault_is_seen(method: str, stream: bytes, cuts: list[int]) -> None:
    whole, pieces, bytewise = (ours(method, each) for each in ([stream], cut(stream, cuts), cut(stream, [*range(400)])))
    if isinstance(whole, Message):
        assert pieces == bytewise == whole
    else:
        assert isinstance(pieces, UpstreamError)
        assert isinstance(bytewise, UpstreamError)


def sent(case: Case) -> bytes:
    return b"".join(action.data for action in case.script if isinstance(action, Send | Drip))


def streams_of(cases: tuple[Case, ...]) -> list[Case]:
    return [case for case in cases if sent(case) and not any(isinstance(action, Raw) for action in case.script)]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in streams_of(CASES)])
@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_the_corpus_has_no_stream_on_which_the_two_differ(case: Case, size: int) -> None:
    stream = sent(case)
    if size == 1 << 20 or len(stream) < 2000:
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert disagreement(case.method, stream, pieces) == ""


def test_the_oracle_is_awake() -> None:
    assert theirs("GET", HELLO) == ours("GET", [HELLO]) == Message(200, ((b"Content-Length", b"5"),), b"hello")
    assert theirs("GET", b"HTTP/1.1 200 OK\r\nX A: 1\r\n\r\n") is None
    assert disagreement("GET", HELLO, [sized(body=b"other")]) != ""


def fault(*pieces: bytes, method: str = "GET") -> str:
    outcome = ours(method, pieces)
    assert isinstance(outcome, UpstreamError)
    return str(outcome)


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        (b"HTTP/1.1 200 OK\nA: b\r\n\r\n", "malformed: a CR or LF of the response head stands alone"),
        (sized(b"X-A: \x01"), "malformed: a control character in the response head"),
        (sized(b"X-A: \x7f"), "malformed: a control character in the response head"),
        (sized(status=b"HTTP/3 200\r\n"), "malformed: the status line is not that of HTTP/1.0 or HTTP/1.1"),
        (sized(status=b"HTTP/1.1 600\r\n"), "malformed: a status that is not 100 to 599"),
        (sized(status=b"HTTP/1.1 999 No\r\n"), "malformed: a status that is not 100 to 599"),
        (sized(status=b"HTTP/1.1 099 No\r\n"), "malformed: a status that is not 100 to 599"),
        (sized(status=b"HTTP/1.1 6000 No\r\n"), "malformed: the status line is not that of HTTP/1.0 or HTTP/1.1"),
        (sized(b"X-A: b\r\n c"), "malformed: a folded header field"),
        (sized(b"X A: b"), "malformed: the response breaks the grammar of HTTP/1.1"),
        (sized(*[b"A: b"] * MAX_FIELDS), f"too-large: the response has more than {MAX_FIELDS} header fields"),
        (sized(b"Transfer-Encoding: chunked"), "malformed: Content-Length beside Transfer-Encoding"),
        (sized(b"Content-Length: 5"), "malformed: Content-Length is not one plain number"),
        (head(b"Content-Length: " + b"0" * 16), "too-large: Content-Length has more than 15 digits"),
        (head(b"Transfer-Encoding: gzip"), "malformed: Transfer-Encoding is not exactly chunked"),
        (
            head(b"Transfer-Encoding: chunked", status=b"HTTP/1.0 200 OK\r\n"),
            "malformed: Transfer-Encoding in an HTTP/1.0 response",
        ),
        (head(status=b"HTTP/1.1 101 Go\r\n"), "malformed: an interim response that was not asked for"),
        (head(status=b"HTTP/1.1 100 Go\r\n") * (MAX_INTERIM + 1), "malformed: more than 8 interim responses"),
        (head(b"Content-Length: %d" % (CAP + 1)), f"too-large: the response body exceeds {CAP} bytes"),
        (head() + b"a" * (CAP + 1), f"too-large: the response body exceeds {CAP} bytes"),
        (chunked(b"%x\r\n" % (CAP + 1)), f"too-large: the response body exceeds {CAP} bytes"),
        (chunked(b"1\r\na\r\n%x\r\n" % CAP), f"too-large: the response body exceeds {CAP} bytes"),
        (chunked(b"5\r\nhello!\r\n"), "malformed: a chunk is longer than its size"),
        (chunked(b"5\nhello"), "malformed: a line of the chunked body ends in a bare LF"),
        (chunked(b"5 \r\n"), "malformed: a chunk's size line breaks the grammar"),
        (chunked(b"0\r\nA: b\r\n\r\n"), "malformed: trailer fields that were not asked for"),
        (chunked(b"5;" + b"a" * MAX_LINE_BYTES), f"too-large: a chunk's line exceeds {MAX_LINE_BYTES} bytes"),
        (
            b"HTTP/1.1 200 OK\r\nA: " + b"b" * MAX_HEAD_BYTES,
            f"too-large: the response head exceeds {MAX_HEAD_BYTES} bytes",
        ),
        (b"", "truncated: the connection ended before the response"),
        (b"HTTP/1.1", "truncated: the connection ended in the response head"),
        (HELLO[:-1], "truncated: the connection ended in the response body"),
    ],
)
def test_each_fault_is_named(stream: bytes, problem: str) -> None:
    assert fault(stream) == problem


@pytest.mark.parametrize(("ends", "reusable"), [(HELLO, True), (HELLO + b"x", False), (CHUNKED_HELLO, True)])
def test_a_connection_is_reusable_where_nothing_came_behind_the_message(ends: bytes, reusable: bool) -> None:
    reader = ResponseReader("GET", cap=CAP)
    reader.feed(ends)
    assert (reader.complete, reader.reusable) == (True, reusable)


@pytest.mark.parametrize(
    ("method", "status", "field", "reusable"),
    [
        ("GET", b"204 No", b"X-A: 1", True),
        ("GET", b"204 No", b"Content-Length: 0", True),
        ("GET", b"204 No", b"Content-Length: 40", False),
        ("GET", b"204 No", b"Transfer-Encoding: chunked", False),
        ("GET", b"304 Same", b"X-A: 1", True),
        ("GET", b"304 Same", b"Content-Length: 40", False),
        ("HEAD", b"200 OK", b"Content-Length: 0", True),
        ("HEAD", b"200 OK", b"Content-Length: 40", False),
    ],
)
def test_a_connection_is_not_reusable_behind_an_answer_that_announces_a_body_and_has_none(
    method: str, status: bytes, field: bytes, reusable: bool
) -> None:
    reader = ResponseReader(method, cap=CAP)
    reader.feed(head(field, status=b"HTTP/1.1 " + status + b"\r\n"))
    assert (reader.complete, reader.framing, reader.reusable) == (True, "none", reusable)


@pytest.mark.parametrize("status", [b"100 Go", b"102 Wait", b"103 Hi", b"199 What"])
def test_interim_answers_are_read_and_dropped(status: bytes) -> None:
    interim = head(b"Link: a", status=b"HTTP/1.1 " + status + b"\r\n")
    assert ours("GET", [interim * MAX_INTERIM + HELLO]) == ours("GET", [HELLO])


@pytest.mark.parametrize(
    "status", [*range(200, 206), 299, *range(300, 309), *range(400, 420), 499, *range(500, 512), 599]
)
def test_a_final_status_is_kept_as_it_came(status: int) -> None:
    outcome = ours("HEAD", [head(status=b"HTTP/1.1 %d\r\n" % status)])
    assert isinstance(outcome, Message)
    assert outcome.status == status


@pytest.mark.parametrize(
    ("field", "reusable"),
    [
        (b"Connection: close", False),
        (b"connection: Foo , CLOSE", False),
        (b"Connection: keep-alive", True),
        (b"Connection: closed", True),
        (b"X-Connection: close", True),
    ],
)
def test_an_announced_close_is_understood(field: bytes, reusable: bool) -> None:
    reader = ResponseReader("GET", cap=CAP)
    reader.feed(sized(field))
    assert reader.reusable is reusable


# --- requests

POLICY = manifest.load(
    b"""
name = "codec"
cid = 16
port = 5000
ecr_tag = "codec"
pcr0_parameter = "/tytle/{env}/enclave/codec/pcr0"
[[upstreams]]
host = "api.codec.test"
proxy_port = 8443
tls = true
[[upstreams.rules]]
method = "POST"
path = "/a/{x:id:1-20}"
query_optional = ["q="]
headers = ["x-one", "x-two"]
media_types = ["text/plain"]
max_request_bytes = 100
max_response_bytes = 1000
[[upstreams.rules]]
method = "GET"
path = "/a/{x:id:1-20}"
query_optional = ["q="]
headers = ["x-one", "x-two"]
max_response_bytes = 1000
"""
)
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)


def allowed(method: str, query: str, values: dict[str, str], body: bytes) -> Allowed:
    headers = [*values.items(), *([("Content-Type", "text/plain")] if method == "POST" else [])]
    url = f"https://api.codec.test/a/b{query}"
    return rules.decide(POLICY, url=url, method=method, headers=headers, body=body)


def read_back(data: bytes) -> tuple[h11.Request, bytes]:
    """Read exactly one request as a server; nothing may be left over."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    request, body = connection.next_event(), b""
    assert isinstance(request, h11.Request)
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert connection.trailing_data == (b"", False)
    return request, body


@given(
    st.sampled_from(["GET", "POST"]),
    st.sampled_from(["", "?q=1%20x", "?q="]),
    st.dictionaries(st.sampled_from(["X-One", "x-two", "User-Agent", "Accept-Encoding"]), VISIBLE),
    st.binary(max_size=100),
)
def test_a_request_is_read_back_as_what_was_allowed(
    method: str, query: str, values: dict[str, str], body: bytes
) -> None:
    one = allowed(method, query, values, body if method == "POST" else b"")
    request, received = read_back(serialise(one))
    sent_fields = [(name.encode(), value.encode()) for name, value in values.items()]
    own = {b"User-Agent": b"tytle-enclaves", b"Accept-Encoding": b"identity"}
    expected = [(b"Host", b"api.codec.test"), *sent_fields]
    if method == "POST":
        expected += [(b"Content-Type", b"text/plain"), (b"Content-Length", str(len(body)).encode())]
    expected += [(name, value) for name, value in own.items() if name.decode() not in values]
    assert (request.method, request.target) == (method.encode(), f"/a/b{query}".encode())
    assert sorted(request.headers.raw_items()) == sorted(expected)
    assert received == one.body


@pytest.mark.parametrize(
    "header",
    [
        Header(name="A", value="b\r\nC: d"),
        Header(name="A b", value="c"),
        Header(name="", value="c"),
        Header(name="A", value="\xe9"),
    ],
)
def test_a_header_that_the_policy_could_not_allow_is_never_sent(header: Header) -> None:
    with pytest.raises(ValueError, match=r"."):
        serialise(replace(allowed("GET", "", {}, b""), headers=(header,)))


def test_a_target_that_the_policy_could_not_allow_is_never_sent() -> None:
    one = allowed("GET", "", {}, b"")
    with pytest.raises(ValueError, match="would not be read as one"):
        serialise(replace(one, url=replace(one.url, path="/a HTTP/1.1\r\nB: c\r\n\r\n")))
