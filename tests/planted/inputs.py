"""Every input, how a secret gets into it, and where it may show. Data; `asking` has the ways.

`may` is closed: "answer" is the answer to whoever planted it, the others are outlets of `world.World.records`. An
archive holds answers, so what may be in an attested answer may be there. `code` stands in the answer: it shows that
the secret got as far as it was meant to.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass

from tests.planted.asking import (
    HEADERS,
    Way,
    account,
    defect,
    fetch,
    head,
    late,
    leak,
    nearly_sealed,
    query,
    raw,
    resolve,
    scripted,
    sealed,
    slowly,
    target,
    upstream_says,
    with_header,
)
from tests.planted.upstream import MISNAMED_HOST
from tests.planted.world import fresh, fresh_hex

NOWHERE: frozenset[str] = frozenset()
ANSWER = frozenset({"answer"})
ATTESTED = frozenset({"answer", "archive"})
NAMED = frozenset({"answer", "archive", "parent's log", "worker's log"})
TRACED = frozenset({"parent's log", "worker's log", "spans"})
OK = '"success":true'
FAILED = '"success":false'
ABSENT = {"url": "https://api.monerium.app/x"}
MISNAMED = {"url": f"https://{MISNAMED_HOST}/", "method": "GET", "headers": {}, "body": None}
_NO_DIGITS = str.maketrans("23456789", "ABCDEFGH")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input. `plant` sends a secret and returns the whole answer; `make` makes the secret."""

    name: str
    plant: Way
    status: int
    code: str = ""
    may: frozenset[str] = NOWHERE
    make: Callable[[], str] = fresh


def row(name: str, plant: Way, status: int, code: str = "", may: frozenset[str] = NOWHERE) -> Input:
    return Input(name=name, plant=plant, status=status, code=code, may=may)


OF_A_CALL = (
    row(
        "call: credential",
        fetch(lambda s: {"headers": {**HEADERS, "Authorization": f"Bearer {s}"}}),
        200,
        OK,
    ),
    row("call: key", fetch(lambda s: {"headers": {**HEADERS, "X-Api-Key": s}}), 200, OK),
    row("call: header", fetch(lambda s: {"headers": {**HEADERS, "X-Customer": s}}), 200, OK, ATTESTED),
    row(
        "call: header's name",
        fetch(lambda s: {"headers": {**HEADERS, f"x-{s}": "1"}}),
        200,
        "header.not-allowed",
    ),
    row("call: broken header's name", fetch(lambda s: {"headers": {f"x {s}": "1"}}), 400, "header.name"),
    row("call: broken header", fetch(lambda s: {"headers": {"x-customer": f"{s}\0"}}), 400, "header.value"),
    row(
        "call: forbidden header",
        fetch(lambda s: {"headers": {"proxy-authorization": s}}),
        400,
        "header.forbidden",
    ),
    row("call: media type", fetch(lambda s: {"headers": {"Content-Type": f"text/{s}"}}), 200, "media-type"),
    row("call: path", fetch(lambda s: {"url": account(s)}), 200, OK, ATTESTED),
    row("call: query", fetch(lambda s: {"url": account() + f"?reference={s}"}), 200, OK, ATTESTED),
    row("call: query's key", fetch(lambda s: {"url": account() + f"?{s}=1"}), 200, "query.not-allowed"),
    row("call: other path", fetch(lambda s: {"url": f"https://vault.example/{s}"}), 200, "path.not-allowed", ANSWER),
    row("call: userinfo", fetch(lambda s: {"url": f"https://u:{s}@vault.example/"}), 400, "url.userinfo"),
    row("call: fragment", fetch(lambda s: {"url": account() + f"#{s}"}), 400, "url.fragment"),
    row("call: port", fetch(lambda s: {"url": f"https://vault.example:{s}/"}), 400, "url.port"),
    row("call: scheme", fetch(lambda s: {"url": f"{s}://vault.example/"}), 400, "url.scheme"),
    row("call: host", fetch(lambda s: {"url": f"https://{s}.example/"}), 404, "no_enclave", ANSWER),
    row("call: broken host", fetch(lambda s: {"url": f"https://{s}_.example/"}), 400, "url.host-character"),
    row("call: method", fetch(lambda s: {"method": s.upper().translate(_NO_DIGITS)}), 200, "method.not-allowed"),
    row("call: broken method", fetch(lambda s: {"method": s}), 400, "method.grammar"),
    row("call: body", fetch(lambda s: {"body": f'{{"a":"{s}"}}'}), 200, OK),
    row("call: broken base64", fetch(lambda s: {"body": f"{s}=!", "bodyEncoding": "base64"}), 400, "bad_request"),
    row("call: too large for the policy", fetch(lambda s: {"body": s * 4096}), 200, "body.too-large"),
    row("call: body's encoding", fetch(lambda s: {"bodyEncoding": s}), 400, "bad_request"),
    row("call: challenge", fetch(lambda s: {"challenge": _base64(s)}), 200, OK, ATTESTED),
    row("call: broken challenge", fetch(lambda s: {"challenge": f"{s}*"}), 400, "bad_request"),
    row("call: mode", fetch(lambda s: {"mode": s}), 400, "bad_request"),
    row("call: time", fetch(lambda s: {"timeoutMs": s}), 400, "bad_request"),
    row("call: id", fetch(lambda s: {"id": s}), 200, OK, NAMED),
    row("call: broken id", fetch(lambda s: {"id": f"{s} "}), 400, "bad_request"),
    row("call: unknown field", fetch(lambda s: {s: 1}), 400, "bad_request", ANSWER),
    row("call: value of an unknown field", fetch(lambda s: {"x": s}), 400, "bad_request"),
    row("call: no url", fetch(lambda s: {"url": "", "body": s}), 400, "bad_request"),
    row("call: broken JSON", raw(lambda s: b'{"url": "' + s + b'" "method"}'), 400, "bad_request"),
    row("call: JSON's key twice", raw(lambda s: b'{"%b": 1, "%b": 2}' % (s, s)), 400, "bad_request"),
    row("call: not UTF-8", raw(lambda s: b'{"url": "' + s + b'\xff"}'), 400, "bad_request"),
    row("call: half a character", raw(lambda s: b'{"url": "%b\\ud800", "method": "GET"}' % s), 400, "bad_request"),
    row("call: an array", raw(lambda s: b'["%b"]' % s), 400, "bad_request"),
    row("call: too deep", raw(lambda s: b'{"%b":' % s * 5000 + b"1" + b"}" * 5000), 400, "bad_request"),
    row("call: too large", raw(lambda s: s * 400_000), 413, "too_large"),
)
OF_OTHER_QUESTIONS = (
    Input(
        name="query: parameter",
        plant=query(lambda s: {"params": {"countryCode": "PT", "vatNumber": s}}),
        status=200,
        may=ATTESTED,
        make=lambda: fresh(12).upper(),
    ),
    row("query: broken parameter", query(lambda s: {"params": {"countryCode": s}}), 200, "params.refused"),
    row("query: parameter's name", query(lambda s: {"params": {s: 1}}), 200, "params.refused", ANSWER),
    row("query: service", query(lambda s: {"service": s}), 404, "no_enclave"),
    row("query: operation", query(lambda s: {"operation": s}), 200, "operation.unknown"),
    row("query: schema", query(lambda s: {"schema": s}), 200, "schema.unknown"),
    row("query: unknown field", query(lambda s: {s: 1}), 400, "bad_request", ANSWER),
    row("sealed: request", sealed("request"), 200),
    row("sealed: request's path", sealed("path"), 200),
    row("sealed: request's id", sealed("id"), 200),
    row("sealed: answer", sealed("answer"), 200),
    row("sealed: what the policy refuses", sealed("refused"), 200),
    row("sealed: not a request", sealed("nonsense"), 200),
    row("sealed: ciphertext", nearly_sealed(lambda s: {"sealed": s}), 200, "sealed.unknown-key"),
    row("sealed: key", nearly_sealed(lambda s: {"keyId": s}), 400, "bad_request"),
    row("sealed: service", nearly_sealed(lambda s: {"service": s}), 404, "no_enclave"),
    row("sealed: unknown field", nearly_sealed(lambda s: {s: 1}), 400, "bad_request", ANSWER),
)
OF_THE_REQUEST = (
    row("request: token", with_header("Authorization", "Bearer {}"), 401, "unauthenticated"),
    row("request: broken token", with_header("Authorization", 'Bearer "{}"'), 401, "unauthenticated"),
    row("request: password", with_header("Authorization", "Basic {}"), 401, "unauthenticated"),
    row(
        "request: certificate",
        with_header("Authorization", None, ("Client-Cert", ":{}:")),
        401,
        "unauthenticated",
    ),
    row("request: certificate beside a token", with_header("Client-Cert", ":{}:"), 200, OK),
    *(
        row(f"request: {name}", with_header(name, "{}"), 200, OK)
        for name in (
            "X-Request-Id",
            "Cookie",
            "User-Agent",
            "Referer",
            "Accept",
            "Origin",
            "X-Forwarded-For",
            "Host",
            "Forwarded",
            "X-Forwarded-Proto",
            "baggage",
            "tracestate",
            "Range",
            "If-None-Match",
            "Via",
        )
    ),
    row("request: header's name", with_header("X-{}", "1"), 200, OK),
    row("request: broken traceparent", with_header("traceparent", "00-{}-00f067aa0ba902b7-01"), 200, OK),
    Input(
        name="request: trace",
        plant=with_header("traceparent", "00-{}-00f067aa0ba902b7-01"),
        status=200,
        code=OK,
        may=TRACED,
        make=fresh_hex,
    ),
    row("request: media type", with_header("Content-Type", "text/{}"), 415, "unsupported_media_type"),
    row(
        "request: charset",
        with_header("Content-Type", "application/json; charset={}"),
        415,
        "unsupported_media_type",
    ),
    row("request: content coding", with_header("Content-Encoding", "{}"), 415, "unsupported_media_type"),
    row("request: expectation", with_header("Expect", "{}"), 417, "expectation_failed"),
    row("request: transfer coding", with_header("Transfer-Encoding", "{}"), 501, "unsupported_transfer_coding"),
    row("request: length", with_header("Content-Length", "{}"), 400, "bad_request"),
    row("request: two lengths", with_header("Content-Length", "1{}"), 400, "bad_request"),
    row(
        "request: large header",
        head(lambda s: f"GET / HTTP/1.1\r\nX: {s * 400}\r\n\r\n"),
        431,
        "headers_too_large",
    ),
    row(
        "request: many headers",
        head(lambda s: "GET / HTTP/1.1\r\n" + f"X: {s}\r\n" * 70 + "\r\n"),
        431,
        "headers_too_large",
    ),
    row("request: long line", head(lambda s: f"GET /{s * 200} HTTP/1.1\r\n\r\n"), 414, "uri_too_long"),
    row("request: broken line", head(lambda s: f"GET / {s} x HTTP/1.1\r\n\r\n"), 400, "bad_request"),
    row("request: version", head(lambda s: f"GET / HTTP/{s}\r\n\r\n"), 400, "bad_request"),
    row("request: broken header", head(lambda s: f"GET / HTTP/1.1\r\n{s}\r\n\r\n"), 400, "bad_request"),
    row(
        "request: header with a blank",
        head(lambda s: f"GET / HTTP/1.1\r\nX-{s} : 1\r\n\r\n"),
        400,
        "bad_request",
    ),
    row("request: header with NUL", head(lambda s: f"GET / HTTP/1.1\r\nX: {s}\0\r\n\r\n"), 400, "bad_request"),
    row("request: method", head(lambda s: f"{s[:20].upper()} {resolve('bare')}"), 405, "method_not_allowed"),
    row("request: not a method", head(lambda s: f"{s} / HTTP/1.1\r\n\r\n"), 400, "bad_request"),
    row("request: HTTP/2", head(lambda s: f"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{s}"), 400, "bad_request"),
    row(
        "request: other method's body",
        target("/attest/fetch", method="PUT", body=True),
        405,
        "method_not_allowed",
    ),
    row("request: chunks", head(lambda s: f"{resolve('chunked')}{s}\r\n{s}\r\n"), 400, "bad_request"),
    row("request: cut short", head(lambda s: f"{resolve('long')}{s}"), 400, "bad_request"),
    row("request: silence", slowly(), 408, "request_timeout"),
    row("target: path", target("/attest/{}"), 404, "not_found"),
    row("target: deeper path", target("/attest/fetch/{}"), 404, "not_found"),
    row("target: escaped path", target("/%ff%00{}"), 404, "not_found"),
    row("target: double slash", target("//{}/x"), 404, "not_found"),
    row("target: absolute", target("http://u:{}@parent/"), 200),
    row("target: query", target("/livez?{}={}"), 200),
    row("target: query of a question", target("/attest/fetch?token={}", method="POST", call=True), 200, OK),
    row("target: fragment", target("/livez#{}"), 200),
    row("target: answer's id", target("/attestations/{}"), 404, "not_found"),
    row("target: leaf", target("/log/proof?leaf={}"), 400, "bad_request"),
    row("target: parameter of the log", target("/log/proof?leaf=00&{}=1"), 400, "bad_request"),
    row("target: size", target("/log/consistency?from={}&to=1"), 400, "bad_request"),
    row("target: service", target("/enclaves/{}/identity"), 404, "no_enclave"),
    row("target: challenge", target("/enclaves/vault/identity?challenge={}", spell=_base64), 200, "", ANSWER),
    row("target: broken challenge", target("/enclaves/vault/identity?challenge=*{}"), 400, "bad_request"),
    row("target: static file", target("/static/{}"), 404, "not_found"),
    row("target: metric's name", target("/metrics?name[]={}"), 200),
)
OF_ANSWERS = (
    *(
        row(f"upstream: {name}", upstream_says(name), 200, code, may)
        for name, code, may in (
            ("header", OK, ATTESTED), ("body", OK, ATTESTED), ("redirect", OK, ATTESTED), ("error", OK, ATTESTED),
            ("malformed", FAILED, NOWHERE), ("too-large", FAILED, NOWHERE),
        )
    ),
    row("upstream: certificate", fetch(lambda _: MISNAMED), 200, FAILED),
    row("enclave: no JSON", scripted("no-json"), 502, "bad_reply"),
    row("enclave: no object", scripted("no-object"), 502, "bad_reply"),
    row("enclave: no report", scripted("no-report"), 502, "enclave_unreachable"),
    row("enclave: no frame", scripted("no-frame"), 502, "enclave_unreachable"),
    row("enclave: goes", scripted("goes"), 502, "enclave_unreachable"),
    row("enclave: hangs", scripted("hangs"), 504, "deadline"),
    row("enclave: full", late("busy"), 503, "busy"),
    row("enclave: absent", fetch(lambda s: {**ABSENT, "body": s}), 502, "enclave_unreachable"),
    row("caller: beyond the rate", late("rate"), 429, "rate.exceeded"),
    row("caller: without the scope", late("scope"), 403, "scope.not-allowed"),
)  # fmt: skip
OF_DEFECTS = (
    *(row(f"defect: {name}", defect(name), 200, "survived")
      for name in ("in-thread", "unraisable", "warns", "logs", "server-logs")),
    row("defect: raises", defect("raises"), 500, "internal_error"),
    row("defect: unwinds", defect("unwinds"), 500, "internal_error"),
)  # fmt: skip
# What leaks on purpose is seen: `may` is what must be seen, too.
OF_LEAKS = tuple(
    row(f"leak: {outlet}", leak(outlet), 200, "survived", frozenset({outlet, *more}))
    for outlet, more in (
        ("parent's log", ()),
        ("numbers", ("pages",)),
        ("spans", ()),
        ("temporary files", ()),
        ("nitro-cli", ()),
        ("state", ()),
        ("command lines", ()),
    )
)
INPUTS = (*OF_A_CALL, *OF_OTHER_QUESTIONS, *OF_THE_REQUEST, *OF_ANSWERS, *OF_DEFECTS, *OF_LEAKS)
