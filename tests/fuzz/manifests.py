"""Manifests (`policy.manifest`) and what they decide (`policy.rules`), against `naive_policy`.

1. Any bytes are a manifest or a ManifestError. No key of an accepted one is unknown, none is dropped.
2. `decide` allows what the brute-force reading of the same TOML allows, and nothing else. One rule fits, never two.
3. What is refused is refused by a code of the room's table, without a header value, a query or a body in the text.
4. What is allowed goes out as exactly one request, which h11 reads as the same method, target, headers and body.
5. A pattern overlaps another exactly where the loader says so: no path of an accepted manifest has two rules.
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import h11

from enclave_worker.upstream.request import serialise
from policy import manifest, rules, url
from policy.errors import ADVICE, ManifestError, Refused
from policy.headers import check_method
from policy.manifest import Manifest, Rule, Upstream
from policy.paths import Literal, PathPattern
from policy.rules import Allowed
from tests.fuzz import naive_policy
from tests.fuzz.draws import Draws
from tests.fuzz.naive_policy import Pairs
from tests.fuzz.target import Seeds, Target

SERVICES = Path(__file__).parents[2] / "services"
TRIALS = """
name = "trials"
cid = 20
port = 5000
ecr_tag = "trials"
pcr0_parameter = "/tytle/{env}/enclave/trials/pcr0"
[[upstreams]]
host = "a.test"
proxy_port = 9000
tls = false
secret_headers = ["x-secret"]
sealed = "required"
[[upstreams.rules]]
method = "POST"
path = "/a/{one:vat:2-3|5}/{two:digits:1}"
query = ["must="]
query_optional = ["flag", "many[]=", "deep[a][b]="]
headers = ["authorization", "x-secret", "x-plain"]
media_types = ["application/json", "text/xml"]
max_request_bytes = 20
max_response_bytes = 100
[[upstreams.rules]]
method = "GET"
path = "/a/{one:upper:2}/x"
max_response_bytes = 100
[[upstreams.rules]]
method = "GET"
path = "/"
query = ["wsdl"]
max_response_bytes = 100
[[upstreams]]
host = "b.test"
proxy_port = 9001
tls = true
[[upstreams.rules]]
method = "PUT"
path = "/b/{id:id:1-64}/"
media_types = ["a/b"]
max_request_bytes = 1
max_response_bytes = 1
[[operations]]
name = "trials.one"
hosts = ["a.test"]
max_calls = 2
schema = "tytle/trials/v1"
fields = [{ name = "a", encoding = "uint" }, { name = "b", encoding = "sha256", optional = true }]
"""
BASES = (TRIALS.encode(), *(path.read_bytes() for path in sorted(SERVICES.glob("*.toml")) if "pcrs" not in path.name))
LINES = tuple(line.encode() + b"\n" for line in TRIALS.splitlines() if line)
WORDS = (
    *LINES,
    *(
        b'"',
        b"true",
        b"false",
        b"[]",
        b"{}",
        b"\n",
        b"1",
        b"-",
        b"|",
        b"64",
        b":digits:",
        b":id:",
        b"/",
        b"..",
        b"%2f",
        b".",
    ),
    *(
        b"[[upstreams]]",
        b"[[upstreams.rules]]",
        b"unknown = 1\n",
        b"modes = []\n",
        b'modes = ["batch"]\n',
        b"[[operations]]",
    ),
    *(b"a.b = 1\n", b"inf", b"1e3", b"1979-05-27", b"'''", b"\\u0041", b"{a:alnum:1-64}", b'"host"', b"content-type"),
)
CANARY = "c4nary"
NAMES = (
    "Accept",
    "Authorization",
    "X-Secret",
    "x-plain",
    "Cookie",
    "SOAPAction",
    "Content-Type",
    "Host",
    "TE",
    "Proxy-X",
    "",
)
TYPES = ("application/json", "text/xml;charset=UTF-8", "a/b", 'Text/XML ; Charset="utf-8"', "a/b; q=1", "text/plain")
METHODS = ("GET", "POST", "PUT", "HEAD", "DELETE", "CONNECT", "get")


def one_input(data: bytes) -> None:
    """Load a manifest that is an edited one, or the input itself, and hold requests against it."""
    draws = Draws(data)
    which = draws.below(len(BASES) + 1)
    raw = draws.rest() if which == len(BASES) else draws.edits(BASES[which], WORDS)
    loaded = _loaded(raw)
    if loaded is None:
        return
    said = _said(raw)
    assert naive_policy.unknown_keys(said) == set()
    assert loaded.digest == hashlib.sha256(raw).digest()
    for _ in range(4):
        _decide(loaded, said, draws)


@lru_cache(64)  # TOML is slow to read, and most inputs leave the manifest as it is
def _loaded(raw: bytes) -> Manifest | None:
    try:
        return manifest.load(raw)
    except ManifestError:
        return None


@lru_cache(64)
def _said(raw: bytes) -> dict[str, Any]:
    return naive_policy.read(raw)


def _decide(loaded: Manifest, said: dict[str, Any], draws: Draws) -> None:
    upstream = draws.choice(loaded.upstreams)
    rule = draws.choice(upstream.rules)
    text = _url(upstream, rule, draws)
    method = draws.choice(METHODS) if _wrong(draws) else rule.method
    headers = _headers(upstream, rule, draws)
    body = _body(rule, draws)
    sealed = draws.flag()
    allowed = _decided(loaded, text, method, headers, body, sealed=sealed)
    if not _has_grammar(text, method):
        assert allowed is None
        return
    fitting = naive_policy.allows(said, url=text, method=method, headers=headers, body=body, sealed=sealed)
    assert fitting == (0 if allowed is None else 1), (text, method, headers, len(body), sealed)
    if allowed is not None:
        _it_goes_out_as_one_request(allowed)


def _wrong(draws: Draws) -> bool:
    """Whether something is to be made wrong: one time in eight, so that not everything is refused at the first look."""
    return draws.byte() & 7 == 1


def _decided(loaded: Manifest, text: str, method: str, headers: Pairs, body: bytes, *, sealed: bool) -> Allowed | None:
    try:
        return rules.decide(loaded, url=text, method=method, headers=headers, body=body, sealed=sealed)
    except Refused as error:
        assert error.reason in ADVICE
        assert CANARY not in str(error)
        return None


def _has_grammar(text: str, method: str) -> bool:
    try:
        url.parse(text)
        check_method(method)
    except Refused:
        return False
    return True


def _url(upstream: Upstream, rule: Rule, draws: Draws) -> str:
    scheme = draws.choice(("http", "https")) if _wrong(draws) else "https" if upstream.tls else "http"
    host = draws.choice(("c.test", upstream.host + ".", "x." + upstream.host)) if _wrong(draws) else upstream.host
    path = _path(rule.path, draws)
    keys = sorted(rule.query | rule.query_optional)
    chosen = [key for key in sorted(rule.query) if not _wrong(draws)]
    chosen += [draws.choice(keys) for _ in range(draws.below(3)) if keys]
    if _wrong(draws):
        chosen.append(draws.choice(("other=", "", "a;b=", "must", "flag=", "%6dust=")))
    spelt = [key.replace("[", "%5B").replace("]", "%5d") for key in chosen]
    parts = [key + (CANARY if key.endswith("=") and draws.flag() else "") for key in spelt]
    return f"{scheme}://{host}{path}{'?' + '&'.join(parts) if parts else ''}"


def _path(pattern: PathPattern, draws: Draws) -> str:
    made = []
    for segment in pattern.segments:
        if isinstance(segment, Literal):
            made.append(segment.text)
            continue
        lengths, characters = sorted(segment.lengths), sorted(segment.characters)
        length = max(0, draws.choice(lengths) + (draws.choice((-1, 1)) if _wrong(draws) else 0))
        made.append("".join(draws.choice(characters) for _ in range(length)))
    path = "/" + "/".join(made)
    if _wrong(draws):
        path = draws.edits(path.encode(), (b"/", b".", b"%41", b";", b"+")).decode("latin-1")
    return path


def _headers(upstream: Upstream, rule: Rule, draws: Draws) -> Pairs:
    names = (*sorted(rule.headers | upstream.secret_headers), *NAMES)
    pairs = []
    for _ in range(draws.below(4)):
        name = draws.choice(names)
        value = draws.choice(TYPES) if name == "Content-Type" else CANARY
        pairs.append((name, draws.choice(("", " x", "a\r\nB: c", "\u00e9", "a\tb", "x\0")) if _wrong(draws) else value))
    if rule.media_types and not _wrong(draws) and not any(name == "Content-Type" for name, _ in pairs):
        pairs.append(("content-type", draws.choice(sorted(rule.media_types))))
    return pairs


def _body(rule: Rule, draws: Draws) -> bytes:
    size = draws.choice((0, 1, 6, rule.max_request_bytes, rule.max_request_bytes + 1))
    return CANARY.encode().ljust(size, b"x")[: min(size, 70_000)]


def _it_goes_out_as_one_request(allowed: Allowed) -> None:
    reader = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
    reader.receive_data(serialise(allowed))
    request, body = reader.next_event(), b""
    assert isinstance(request, h11.Request)
    while isinstance(event := reader.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert reader.trailing_data == (b"", False)
    assert (request.method.decode(), request.target.decode()) == (allowed.method, allowed.url.target)
    sent = [(name.decode(), value.decode()) for name, value in request.headers.raw_items()]
    ours = {"host", "accept-encoding", "user-agent", "content-length"} - {header.key for header in allowed.headers}
    assert [pair for pair in sent if pair[0].lower() not in ours] == [
        (each.name, each.value) for each in allowed.headers
    ]
    assert dict(sent)["Host"] == allowed.url.host == allowed.upstream.host
    assert body == allowed.body


def seeds() -> Seeds:
    """Every manifest as it is; a rule that overlaps; a manifest as raw bytes."""
    for which in range(len(BASES)):
        yield f"whole-{which}", bytes([which, 0]) + bytes(range(1, 200))
    yield "twice", bytes([0, 1]) + (520).to_bytes(3, "big") + b"\x00\x01\x0a" + bytes(range(1, 100))
    yield "raw", bytes([len(BASES)]) + BASES[0]


TARGET = Target(one_input=one_input, seeds=seeds, words=WORDS, max_bytes=2048)
