"""The predecessor's SICAE handler, vector by vector (sicae.json): the same record, or a named deviation.

Replayed is the handler alone: a vector's answers are handed to it whole, the form's again where it asks for the form
again. Compared are the field elements of the predecessor's record and the upstream requests, as it wrote them.
Two vectors without parameters are the framework's affair. What deviates stands in DEVIATIONS under a row of REASONS,
with what is said here instead, and must really deviate.
"""

import base64
import json
from typing import Any

import pytest

from enclave_worker.fields.records import RECORDS, encode
from enclave_worker.handlers import sicae
from enclave_worker.handlers.errors import OperationFailed, ParamsRefused
from enclave_worker.handlers.operation import Ask, Got, Values
from tests.corpora import predecessor_vectors

VECTORS = {vector["name"]: vector for vector in predecessor_vectors("sicae")}
WITHOUT_PARAMETERS = {"bad json", "empty body"}

SHORT = "Comércio a retalho não especializado"
LONG = f"{SHORT}, por outros métodos, sem predominância de produtos alimentares, bebidas e tabaco"
GREEN = ("513032525", "GREEN OPPORTUNITY LDA", "71120", "Atividades de engenharia e técnicas afins", "47126")
WITHOUT = (None, None, None, None, None)

REASONS = {
    "S1": "`nif` is a text of nine digits; a number passed, and came back as a number in a header",
    "S2": "secondary activities keep their descriptions; they were lost on every real page (flaw B4)",
    "S3": "character references are decoded; they were kept raw, so that `&amp;` stood in a company's name (flaw B4)",
    "S4": "a CAE is what stands in the column of CAEs; any five digits in a name or description became one (flaw B4)",
    "S5": "a row without a NIPC is refused; nothing said whose it was",
    "S6": "a secondary CAE without a description counts; it was skipped, so that the second one became the first",
    "S7": "a page that is not UTF-8 is refused; what did not decode became U+FFFD, and was signed",
    "S8": "an error, or a page that says nothing, is an error; both became a definite 404 (flaw B4)",
    "S9": "the site's own words that there is no such number are an attested result; they were an unattested 404",
    "S10": "each search has a form of its own; hidden fields were used twice (flaw B4)",
    "S11": "all Set-Cookie headers are read; only the last one was, and the session lost (flaw B4)",
    "S12": "a form that cannot be used is an attested failure with a code; it was an unattested 502 with a text",
}

# By the vector's name: the rows, and what is said here: a record, or the code of a failure, or nothing, where the
# record is the same and something else differs.
DEVIATIONS: dict[str, tuple[str, tuple[str | None, ...] | str | None]] = {
    "numeric nif (number type)": ("S1", "params"),
    "primary parse": ("S2", (*GREEN, SHORT)),
    "session cookie forwarded": ("S2", (*GREEN, SHORT)),
    "two Set-Cookie headers: last wins so session lost": ("S2 S11", (*GREEN, SHORT)),
    "fallback strategy (no gridHeader)": ("S2", (*GREEN, SHORT)),
    "chunked response": ("S2", (*GREEN, SHORT)),
    "second variant detected on page is tried first": ("S2", (*GREEN, SHORT)),
    "site fixture 513032525": ("S2", (*GREEN, LONG)),
    "dup secondary codes": ("S2", ("513032525", "N", "62010", "D", "11111", "A")),
    "html entities kept raw": ("S3", ("513032525", "A & B 'LDA'", "62010", "Desc", None, None)),
    "five digit number in company name becomes primary CAE (fallback)": (
        "S4",
        ("513032525", "ACME 12345 LDA", "62010", "D", None, None),
    ),
    "code in title text of desc (fallback)": (
        "S2 S4",
        ("513032525", "ACME LDA", "62010", "Desc de 99999 coisas", "62020", "S"),
    ),
    "no NIPC column (offset 0)": ("S5", "upstream-malformed"),
    "PRIMARY strategy, no NIPC column": ("S5", "upstream-malformed"),
    "PRIMARY: dup secondary codes and empty titles": ("S6", ("513032525", "N", "62010", "D", "33333", None)),
    "latin1 body is lossy-decoded": ("S7", "upstream-malformed"),
    "POST 500 twice => 404 (!)": ("S8", "upstream-unavailable"),
    "both variants unprocessed => 404": ("S8 S10", "upstream-malformed"),
    "no data row": ("S9", ("980494796", *WITHOUT)),
    "ClassErro": ("S9", ("308203811", *WITHOUT)),
    "site fixture no data": ("S9", ("980494796", *WITHOUT)),
    "site fixture invalid": ("S9", ("308203811", *WITHOUT)),
    "variant fallback: first not processed, second ok": ("S2 S10", (*GREEN, SHORT)),
    "GET 503": ("S12", "upstream-unavailable"),
    "GET 302": ("S12", "upstream-fault"),
    "no viewstate": ("S12", "upstream-malformed"),
    "no eventvalidation": ("S12", "upstream-malformed"),
    "viewstate extra attr between id and value fails": ("S12", "upstream-malformed"),
}


class FetchFailed(Exception):
    """What the framework raises where no complete response came; handlers let it pass."""


class Site:
    """Answers as the vector's upstream did, and keeps what it was asked."""

    def __init__(self, answers: list[dict[str, Any]]) -> None:
        self._form, *self._posts = answers
        self.asked: list[Ask] = []

    def __call__(self, ask: Ask) -> Got:
        self.asked.append(ask)
        return _got(self._form if ask.method == "GET" else self._posts.pop(0))


def _got(answer: dict[str, Any]) -> Got:
    if "error" in answer:
        raise FetchFailed
    if "raw" not in answer and "rawBase64" not in answer:
        headers = tuple((name.lower(), value) for name, value in answer.get("headers", {}).items())
        return Got(status=answer["status"], headers=headers, body=answer.get("body", "").encode())
    raw = answer["raw"].encode() if "raw" in answer else base64.b64decode(answer["rawBase64"])
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = tuple((name.lower(), value) for name, _, value in (line.partition(": ") for line in lines))
    chunked = ("transfer-encoding", "chunked") in headers
    return Got(status=int(status.split()[1]), headers=headers, body=_joined(body) if chunked else body)


def _joined(chunks: bytes) -> bytes:
    joined = b""
    while size := int(chunks.partition(b"\r\n")[0].partition(b";")[0], 16):
        chunk, chunks = chunks.partition(b"\r\n")[2][:size], chunks.partition(b"\r\n")[2][size + 2 :]
        joined += chunk
    return joined


def outcome_of(vector: dict[str, Any], site: Site) -> Values | str:
    """The predecessor's record as it would be here, or what kept it from being made."""
    try:
        return sicae.record(sicae.lookup(json.loads(vector["input"]["request"]["body"]), site))
    except ParamsRefused:
        return "params"
    except OperationFailed as exc:
        return exc.code
    except FetchFailed:
        return "fetch"


def wire_of(ask: Ask) -> str:
    """A request as the predecessor's client wrote it."""
    lines = [f"{ask.method} /Consulta.aspx HTTP/1.1", *(f"{name}: {value}" for name, value in ask.headers)]
    lines += ["Host: www.sicae.pt", "Connection: close", *([f"Content-Length: {len(ask.body)}"] if ask.body else [])]
    return "\r\n".join([*lines, "", (ask.body or b"").decode()])


def as_record(values: tuple[str | None, ...]) -> Values:
    return dict(zip(("nif", "name", "cae1Code", "cae1Desc", "cae2Code", "cae2Desc"), values, strict=True))


@pytest.mark.parametrize("name", [name for name in VECTORS if name not in WITHOUT_PARAMETERS])
def test_the_record_is_the_predecessor_s_or_deviates_by_name(name: str) -> None:
    vector = VECTORS[name]
    site = Site(vector["input"]["upstream"] or [{"status": 500}])
    said = outcome_of(vector, site)
    theirs = vector["expected"].get("fieldElementsHex")
    alike = isinstance(said, dict) and encode(RECORDS["SICAE"], said).hex() == "".join(theirs or ["nothing"])
    status = vector["expected"]["response"]["status"]
    if name not in DEVIATIONS:
        assert alike or (said, status) in (("fetch", 502), ("params", 400)), f"neither alike nor listed: {said}"
        return
    assert not alike, f"listed, but alike: {said}"
    _, ours = DEVIATIONS[name]
    assert said == (as_record(ours) if isinstance(ours, tuple) else ours)


@pytest.mark.parametrize("name", [name for name in VECTORS if name not in WITHOUT_PARAMETERS])
def test_the_site_is_asked_in_the_predecessor_s_words(name: str) -> None:
    vector = VECTORS[name]
    site = Site(vector["input"]["upstream"] or [{"status": 500}])
    said = outcome_of(vector, site)
    rows = DEVIATIONS.get(name, ("", None))[0].split()
    wires = [wire_of(ask) for ask in site.asked]
    theirs = [request["wire"] for request in vector["expected"]["upstreamRequests"]]
    if said == "params":
        assert wires == []
    elif "S8" in rows and "S10" not in rows:
        assert wires == theirs[:2]  # an error ends the search, which the predecessor began again
    elif "S10" in rows:
        assert wires == [theirs[0], theirs[1], theirs[0], theirs[2]]  # a form for each search
    elif "S11" in rows:
        assert wires == [theirs[0], theirs[1].replace("\r\nHost:", "\r\nCookie: ASP.NET_SessionId=s1\r\nHost:")]
    else:
        assert wires == theirs


def test_every_deviation_belongs_to_a_vector_and_has_its_reason() -> None:
    assert sorted(DEVIATIONS.keys() - VECTORS.keys()) == []
    assert len(VECTORS) == 39
    assert {row for rows, _ in DEVIATIONS.values() for row in rows.split()} == REASONS.keys()
