"""What a malicious parent does, as data: a name, a way (there or back), a function on the passage.

Here: what it does to requests, to the HTTP around replies and to identities. Lies about what a reply says are in
`malicious_lies`. An act that does not apply raises `NotHere`.
"""

import base64
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import cbor2

from devstack.soft_nsm import SoftNsm
from nsm import client
from tests.malicious_forgeries import FORGERIES
from tests.malicious_lies import GONE, back, flip, lie, lies
from tests.malicious_parent import BY_ADDRESS, HEADERS, OTHER_HEADERS, Act, NotHere, Passage, lookup_body
from tests.malicious_world import ENCLAVES
from tests.sealing import Sealer
from wire import frames

# --- the request, on its way there -----------------------------------------------------------------------------------


def there(name: str, do: Callable[[Passage], None]) -> Act:
    return Act(name=name, there=True, do=do)


def altered(name: str, *, adds: bool = False, **fields: Any) -> Act:
    """Return the act that changes fields of the message (or `adds` them); GONE takes one away."""

    def do(passage: Passage) -> None:
        if passage.kind not in ("fetch", "query") or not (adds or fields.keys() & passage.message.keys()):
            raise NotHere
        for key, value in fields.items():
            if value is GONE:
                passage.message.pop(key, None)
            else:
                passage.message[key] = value

    return there(f"request: {name}", do)


def rerouted(enclave: str) -> Act:
    def do(passage: Passage) -> None:
        passage.enclave = enclave

    return there(f"sent to {enclave}", do)


def _twice(passage: Passage) -> None:
    """Deliver it twice, and hand the second reply on."""
    passage.reply = passage.parent.world.exchange(passage.enclave, passage.message, passage.message)[1]


def _behind_another(passage: Passage) -> None:
    """Another question before it on the connection; its reply is taken for this one's."""
    if passage.kind not in ("fetch", "query"):
        raise NotHere
    other = {**passage.message, **_ANOTHER[passage.kind]}
    passage.reply = passage.parent.world.exchange(passage.enclave, other, passage.message)[0]


def _with_report(keep: Callable[[bytes, bytes], bytes]) -> Callable[[Passage], None]:
    def do(passage: Passage) -> None:
        asked = {**passage.message, "hop": {"report": True}}
        report, reply = passage.parent.world.exchange(passage.enclave, asked, replies=2)
        passage.reply = keep(report, reply)

    return do


def _sealed_field(change: Callable[[dict[str, Any]], None]) -> Callable[[Passage], None]:
    def do(passage: Passage) -> None:
        if passage.kind != "sealed":
            raise NotHere
        change(passage.message)

    return do


def _flip_sealed(at: int) -> Callable[[dict[str, Any]], None]:
    def change(message: dict[str, Any]) -> None:
        data = bytearray(base64.b64decode(message["sealed"]))
        data[at % len(data)] ^= 1
        message["sealed"] = base64.b64encode(data).decode()

    return change


def _own_request(passage: Passage) -> None:
    """Send a sealed request of the parent's own to the enclave's own key, and hand on what comes."""
    if passage.kind != "sealed":
        raise NotHere
    key = passage.parent.identity_key(passage.enclave)
    sealer = Sealer(key=key, service="vies")
    sealer.seal({"id": "r1", **_FETCH, "body": _OTHER_BODY})
    passage.message = json.loads(sealer.frame())


_FETCH = {
    "url": "https://ec.europa.eu/taxation_customs/vies/rest-api/check-vat-number",
    "method": "POST",
    "headers": HEADERS,
}
_OTHER_BODY = lookup_body("999999990")
_STATUS = "https://ec.europa.eu/taxation_customs/vies/rest-api/check-status"
_ANOTHER: dict[str, dict[str, Any]] = {
    "fetch": {"body": _OTHER_BODY},
    "query": {"params": {"countryCode": "PT", "vatNumber": "999999990"}},
}
OTHER_CHALLENGE = base64.b64encode(bytes(32)).decode()

REQUEST_ACTS: Sequence[Act] = (
    altered("another number", body=_OTHER_BODY),
    altered("another number asked", params=_ANOTHER["query"]["params"]),
    altered("a number that the register cannot tell", params={"countryCode": "PT", "vatNumber": "000000300"}),
    altered("another country", params={"countryCode": "EL", "vatNumber": "999999999"}),
    altered("a body of blanks more", body=_OTHER_BODY + " "),
    altered("no body", body=GONE),
    altered("another address", url=_STATUS, method="GET", body=GONE, headers={}),
    altered("another number in the address", url=BY_ADDRESS.replace("507172230", "999999990")),
    altered("a requester in the address", url=f"{BY_ADDRESS}?requesterMemberStateCode=PT&requesterNumber=507172230"),
    altered("a query added", url=_FETCH["url"] + "?x=1"),
    altered("another method", method="GET"),
    altered("another header", headers=OTHER_HEADERS),
    altered("a header less", headers={"Content-Type": "application/json"}),
    altered("a header more", headers={**HEADERS, "Accept-Language": "pt"}),
    altered("headers in another order", headers=dict(reversed(HEADERS.items()))),
    altered("headers in another case", headers={name.lower(): value for name, value in HEADERS.items()}),
    altered("another challenge", challenge=OTHER_CHALLENGE),
    altered("no challenge", challenge=GONE),
    altered("no time", adds=True, timeoutMs=1),
    *(altered(f"mode {mode}", adds=True, mode=mode) for mode in ("document", "batch", "session", "none")),
    altered("another operation", operation="vies.check_vat"),
    altered("another schema", schema="VIES", operation="vies.check_vat"),
    altered("another service", service="sicae", operation="sicae.lookup", params={"nif": "507172230"}),
    altered("an unknown field", adds=True, tampered=1),
    *(rerouted(enclave) for enclave in ENCLAVES),
    there("delivered twice", _twice),
    there("another question before it", _behind_another),
    there("the report for the reply", _with_report(lambda report, _: report)),
    there("the report before the reply", _with_report(lambda report, reply: report + reply)),
    there("the report behind the reply", _with_report(lambda report, reply: reply + report)),
    there("both, as frames", _with_report(lambda report, reply: frames.encode(report) + frames.encode(reply))),
    *(there(f"sealed: byte {at}", _sealed_field(_flip_sealed(at))) for at in (0, 700, 1119, 1120, 2000, -1)),
    there("sealed: another key", _sealed_field(lambda message: message.update(keyId="00" * 32))),
    there("sealed: cut", _sealed_field(lambda message: message.update(sealed=message["sealed"][:4000]))),
    there("sealed: no time", _sealed_field(lambda message: message.update(timeoutMs=1))),
    there("sealed: the parent's own request", _own_request),
)


# --- the answer as HTTP ----------------------------------------------------------------------------------------------


def status(code: int, *headers: tuple[str, str]) -> Act:
    def do(passage: Passage) -> None:
        passage.status = code
        passage.headers += headers

    return back(f"HTTP {code} {' '.join(name for name, _ in headers)}", do)


def header(name: str, value: str) -> Act:
    return back(f"header {name}: {value[:30]}", lambda passage: passage.headers.append((name, value)))


def bytes_of(name: str, change: Callable[[bytes], bytes]) -> Act:
    def do(passage: Passage) -> None:
        passage.reply = change(passage.reply)

    return back(f"reply: {name}", do)


def raw(name: str, made: Callable[[bytes], bytes]) -> Act:
    def do(passage: Passage) -> None:
        passage.raw = made(passage.reply)

    return back(f"connection: {name}", do)


def replayed(passage: Passage) -> None:
    """Hand out the first reply of this kind that ever passed."""
    past = passage.parent.past.get(passage.kind)
    if not past:
        raise NotHere
    passage.reply = past[0]


def _clear_for_sealed(passage: Passage) -> None:
    """A genuine reply to the very same request, asked in clear, in the place of a sealed answer."""
    message = {"id": "r1", **_FETCH, "body": lookup_body("507172230")}
    if passage.kind != "sealed":
        raise NotHere
    passage.reply = passage.parent.world.exchange("vies", message)[0]


def _refusal(code: str, code_status: int, **more: Any) -> Act:
    said = {"success": False, "status": code_status, "headers": {}, "rawBody": "", "error": "no", "code": code, **more}
    return back(f"says {code or 'no'} {sorted(more)}", lambda passage: passage.put(said))


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
HTTP_ACTS: Sequence[Act] = (
    *(status(code) for code in (201, 204, 206, 304, 400, 403, 404, 409, 418, 500, 502, 503, 504)),
    *(status(code, ("Location", "http://127.0.0.1:9/")) for code in (301, 302, 307)),
    status(401, ("WWW-Authenticate", 'Basic realm="x"')),
    status(503, ("Retry-After", "never")),
    header("Set-Cookie", "session=tampered; Domain=ec.europa.eu"),
    header("X-Tampered", "tampered"),
    header("Content-Type", "text/html; charset=utf-16"),
    *(header("Content-Encoding", coding) for coding in ("gzip", "deflate", "br", "zstd", "identity", "tampered")),
    *(header("Content-Length", length) for length in ("5", "0", "-1", "abc", "99999999", "5, 6")),
    header("Transfer-Encoding", "chunked"),
    bytes_of("empty", lambda _: b""),
    bytes_of("twice", lambda data: data + data),
    bytes_of("in a list", lambda data: b"[" + data + b"]"),
    bytes_of("behind a BOM", lambda data: b"\xef\xbb\xbf" + data),
    bytes_of("as UTF-16", lambda data: data.decode().encode("utf-16")),
    bytes_of("with blanks", lambda data: b" \n" + data + b" \n"),
    bytes_of("with a NUL behind", lambda data: data + b"\0"),
    bytes_of("cut", lambda data: data[:-1]),
    bytes_of("cut in half", lambda data: data[: len(data) // 2]),
    bytes_of("as a frame", frames.encode),
    bytes_of("random", lambda data: os.urandom(len(data))),
    bytes_of("deep", lambda _: b'{"attestation":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    bytes_of("a long number", lambda _: b'{"attestation":' + b"9" * 100_000 + b"}"),
    bytes_of("with a brace", lambda data: b"{" + data),
    bytes_of("null", lambda _: b"null"),
    bytes_of("NaN", lambda data: data.replace(b'"status":', b'"status":NaN,"x":', 1)),
    raw("closed", lambda _: b""),
    raw("garbage", lambda _: b"\x16\x03\x01" + bytes(99)),
    raw("no status line", lambda data: data),
    raw("a bad status", lambda data: b"HTTP/1.1 99 X\r\n\r\n" + data),
    raw("interim answers", lambda data: b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + HEAD + b"\r\n" + data),
    raw("without an end", lambda data: HEAD + b"\r\n" + data),
    raw("a long header", lambda data: HEAD + b"X: " + b"x" * 70_000 + b"\r\n\r\n" + data),
    raw("many headers", lambda data: HEAD + b"X: x\r\n" * 300 + b"\r\n" + data),
    raw("a broken chunk", lambda data: HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + data),
    raw("two lengths", lambda data: HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n" + data),
    raw("a second answer behind", lambda data: (HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(data), data)) * 2),
    raw("headers in bytes", lambda data: HEAD + b"X-\xff\xfe: \xff\r\n\r\n" + data),
    _refusal("", 503),
    _refusal("url.userinfo", 400),
    *(_refusal(f"sealed.{word}", 409) for word in ("unknown-key", "unreadable", "replayed", "full")),
    _refusal("not-found", 502),
    _refusal("sealed.unknown-key", 409, sealed="AAAA"),
    _refusal("", 200, result={"valid": True}, bn254="AAAA"),
    back("an old reply", replayed),
    back("the genuine reply in clear", _clear_for_sealed),
    *FORGERIES,
)


def identity_acts() -> list[Act]:
    """What a parent does to a question for the identity."""

    def asked(challenge: str | None) -> Callable[[Passage], None]:
        def do(passage: Passage) -> None:
            if passage.kind != "identity":
                raise NotHere
            passage.message = {"type": "identity", **({} if challenge is None else {"challenge": challenge})}

        return do

    def attackers(passage: Passage) -> None:
        """The genuine identity, signed anew by a module under the attacker's root."""
        reply = passage.json()
        if "identity" not in reply:
            raise NotHere
        data = base64.b64decode(reply["identity"])
        nonce = base64.b64decode(passage.asked["challenge"])
        reply["nsmDocument"] = signed_identity(SoftNsm(pki=passage.parent.world.attacker), data, nonce)
        passage.put(reply)

    return [
        there("identity: another challenge", asked(OTHER_CHALLENGE)),
        there("identity: no challenge", asked(None)),
        back("identity: under another root", attackers),
        *(lie(("identity",), name, new) for name, new in lies("AAAA")),
        *(lie(("nsmDocument",), name, new) for name, new in lies("AAAA")),
        *(lie((name,), "gone", GONE) for name in ("success", "service", "pcrs")),
        *(flip(place, at, at % 8) for place in (("identity",), ("nsmDocument",)) for at in range(3, 5000, 211)),
    ]


def signed_identity(nsm: SoftNsm, identity: bytes, nonce: bytes) -> str:
    """Return a document in base64 that commits to an identity as the worker's does."""
    key = cbor2.loads(identity)["sealing"]["key"]
    data = {
        "profile": "tytle/enclave-identity/v1",
        "identity": hashlib.sha256(identity).digest(),
        "key": hashlib.sha256(key).digest(),
    }
    signed = client.attest(nsm.exchange, nonce=nonce, user_data=cbor2.dumps(data, canonical=True))
    return base64.b64encode(signed.document).decode()
