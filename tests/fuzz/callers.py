"""Who is let in: the headers that a caller shows and the file of callers (`app.gate`, `app.callers`).

1. Any header Authorization or Client-Cert gets 200 or a 401 with a challenge, and nothing of it is in the answer.
2. In is who shows exactly a known token, or, through a proxy that is trusted, exactly a known certificate.
3. A token is read as RFC 6750 has it; a certificate is the one that the standard library reads there.
4. Any bytes are a file of callers or a CallersError, which quotes no value of the file.
5. Of a file that was read, exactly the listed digests are known, each caller once, within the limits.

The first byte of an input says what it is.
"""

import base64
import io
import re
import ssl
import tomllib
import urllib.parse
from datetime import date, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any

from flask.testing import FlaskClient

from app import create_app
from app.admission import Admission
from app.callers import proof, registry
from app.callers.caller import SCOPES, Certificate
from app.callers.proof import ProofError
from app.callers.registry import CallersError
from app.config import SERVICES, Config
from app.log import Log
from policy import manifest
from tests.fuzz.draws import Draws
from tests.fuzz.target import Seeds, Target
from wire.addresses import UnixAddress

TOKEN = "tytle_" + "t0ken-.~+/" * 3
DER = b"\x30\x82" + bytes(range(256)) * 2  # a gate compares digests: it needs to look like DER only
PEM = ssl.DER_cert_to_PEM_cert(DER)
NGINX = urllib.parse.quote(PEM, safe="")
RFC_9440 = f":{base64.b64encode(DER).decode()}:"
KNOWN = ("vies", "sicae")
CALLERS = f"""
[[tokens]]
name = "agent-a"
sha256 = "{sha256(TOKEN.encode()).hexdigest()}"
services = ["vies"]
scopes = ["fetch", "metrics"]
rate = 1000000
burst = 1000000
expires = 2999-12-31

[[clients]]
name = "agent-b"
sha256 = "{sha256(DER).hexdigest()}"
concurrent = 7

[[clients]]
name = "agent-c"
san = "DNS:agent.test"
"""
LINES = tuple(line.encode() + b"\n" for line in CALLERS.splitlines() if line)
_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)")
WORDS = (
    *(b"Bearer ", b"bearer", b"Basic ", TOKEN.encode(), b" ", b"\t", b",", b"=", b"%0A", b"%2B", b":", b"\n", b"\xb5"),
    *(b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----", b"-----BEGIN%20CERTIFICATE-----", b"%"),
    *(
        *LINES,
        b"[[tokens]]\n",
        b"[[clients]]\n",
        b"nan",
        b"inf",
        b"1e400",
        b"0001-01-01",
        b"9999-12-31T23:59:59-23:59",
        b"[]",
        b"'",
    ),
)


@cache
def _client() -> FlaskClient:
    """Return the parent with the callers above, behind a proxy at 10.0.0.1 that is trusted."""
    admission = Admission(
        callers=registry.load(CALLERS.encode(), services=KNOWN), proxies=proof.parse_proxies("10.0.0.1")
    )
    vies = manifest.load((SERVICES / "vies.toml").read_bytes())
    nowhere = {"vies": (UnixAddress(path="/nowhere"),)}
    app = create_app(Config(manifests=(vies,), addresses=nowhere, admission=admission), log=Log(stream=io.StringIO()))
    return app.test_client()


def _asked(**environ: str) -> int:
    """Return the status of a question with these headers."""
    response = _client().get("/routes", environ_overrides=environ)
    text = response.get_data(as_text=True)
    if response.status_code == 401:
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert all(value not in text for value in environ.values() if len(value) > 16)
    assert TOKEN not in text
    return response.status_code


def _authorization(draws: Draws) -> None:
    base = b"Bearer " + TOKEN.encode()
    header = (draws.edits(base, WORDS) if draws.flag() else draws.rest()).decode("latin-1")
    known = _BEARER.fullmatch(header)
    token = known[1] if known and len(known[1].rstrip("=")) <= 512 else None
    try:
        assert proof.bearer(header) == token
    except ProofError as error:
        assert token is None
        assert len(header) < 16 or header not in str(error)
    expected = 200 if token == TOKEN else 401
    assert _asked(HTTP_AUTHORIZATION=header) == expected
    assert _asked(HTTP_AUTHORIZATION=header, HTTP_CLIENT_CERT=RFC_9440, REMOTE_ADDR="10.0.0.1") == expected


def _certificate(draws: Draws) -> None:
    base = draws.choice((RFC_9440, NGINX, PEM)).encode()
    header = (draws.edits(base, WORDS) if draws.flag() else draws.rest()).decode("latin-1")
    try:
        digest = proof.forwarded(header).digest
    except ProofError as error:
        digest = b""
        assert len(header) < 16 or header not in str(error)
    if digest:
        assert digest == sha256(_der(header)).digest()
    if header in (RFC_9440, NGINX, PEM):
        assert digest == sha256(DER).digest()
    known = digest == sha256(DER).digest()
    assert _asked(HTTP_CLIENT_CERT=header, REMOTE_ADDR="10.0.0.1") == (200 if known else 401)
    assert _asked(HTTP_CLIENT_CERT=header, REMOTE_ADDR="10.0.0.2") == 401


def _der(header: str) -> bytes:
    """Return the bytes that the standard library finds in a header."""
    if header.startswith(":") and header.endswith(":"):
        return base64.b64decode(header[1:-1])
    lines = urllib.parse.unquote(header, "latin-1").strip()
    return base64.b64decode(lines.removeprefix("-----BEGIN CERTIFICATE-----").removesuffix("-----END CERTIFICATE-----"))


def _file(draws: Draws) -> None:
    raw = draws.edits(CALLERS.encode(), WORDS, most=6) if draws.flag() else draws.rest()
    try:
        read = registry.load(raw, services=KNOWN)
    except CallersError as error:
        assert sha256(TOKEN.encode()).hexdigest() not in str(error)
        assert len(str(error)) < 400
        return
    said = tomllib.loads(raw.decode())
    assert said.keys() <= {"tokens", "clients"}
    entries: list[dict[str, Any]] = [*said.get("tokens", []), *said.get("clients", [])]
    assert sorted(caller.name for caller in read.all) == sorted(entry["name"] for entry in entries)
    assert len({caller.name for caller in read.all}) == len(read.all) > 0
    digests = {entry["sha256"] for entry in said.get("tokens", [])}
    assert {token.digest.hex() for token in read.tokens} == digests
    caller = read.of_token(TOKEN)
    assert (caller is not None) is (sha256(TOKEN.encode()).hexdigest() in digests)
    listed = {entry["sha256"] for entry in said.get("clients", []) if "sha256" in entry}
    found = read.of_certificate(Certificate(digest=sha256(DER).digest()))
    assert (found is not None) is (sha256(DER).hexdigest() in listed)
    _the_limits_are_those_of_the_file(read, {entry["name"]: entry for entry in entries})


def _the_limits_are_those_of_the_file(read: registry.Callers, entries: dict[str, dict[str, Any]]) -> None:
    for caller in read.all:
        entry = entries[caller.name]
        assert caller.scopes == set(entry.get("scopes", ["fetch"])) <= set(SCOPES)
        assert (caller.services is None) is ("services" not in entry)
        assert caller.services is None or caller.services == set(entry["services"]) <= set(KNOWN)
        assert caller.limits.rate == entry.get("rate")
        assert caller.limits.rate is None or 0.001 <= caller.limits.rate <= 1_000_000
        assert 1 <= caller.limits.burst <= 1_000_000
        assert caller.limits.concurrent == entry.get("concurrent", 48)
        assert type(caller.limits.concurrent) is int
        assert caller.limits.concurrent >= 1
        assert (caller.expires is None) is ("expires" not in entry)
        if caller.expires is not None:
            assert abs(caller.expires - _seconds(entry["expires"])) < 0.001


def _seconds(when: date) -> float:
    """Return the Unix time of a date's first instant in UTC, or of a time with an offset; of the year 10000 too."""
    seconds = 86400.0 * (when.toordinal() - date(1970, 1, 1).toordinal())
    if isinstance(when, datetime):
        seconds += 3600 * when.hour + 60 * when.minute + when.second + when.microsecond / 1e6
        seconds -= (when.utcoffset() or timedelta()).total_seconds()
    return seconds


READERS = (_authorization, _certificate, _file)


def one_input(data: bytes) -> None:
    """Show one input to the gate, or read it as a file of callers."""
    if data:
        READERS[data[0] % len(READERS)](Draws(data[1:]))


def seeds() -> Seeds:
    """A known token and a known certificate in each spelling; the file."""
    yield "token", b"\x00\x01\x00"
    yield "token-raw", b"\x00\x00Bearer " + TOKEN.encode()
    for which in range(3):
        yield f"certificate-{which}", bytes([1, which, 1, 0])
    yield "certificate-raw", b"\x01\x00\x00" + RFC_9440.encode()
    yield "file", b"\x02\x01\x00"
    yield "file-raw", b"\x02\x00" + CALLERS.encode()


TARGET = Target(one_input=one_input, seeds=seeds, words=WORDS, max_bytes=2048)
