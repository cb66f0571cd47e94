"""One attested fetch through the worker: what is bound, what is withheld, what is refused, and in which order."""

import base64
import hashlib
import json
import threading
import time

import cbor2
import pytest

from devstack.nsm_faults import Answers, Fails, Garbage, Hangs, WrongEcho
from devstack.soft_nsm import SoftNsm
from devstack.upstream import Request, Response
from enclave_worker import legacy
from enclave_worker.upstream.phases import Phases
from enclave_worker.worker import Capacity, unix_milliseconds
from nsm import document
from nsm.errors import ErrorCode
from tests.enclave_kit import HOST, MANIFEST, Enclave, echo, enclave, in_threads, statement_of
from wire.errors import PeerLost


@pytest.fixture(scope="module")
def running():  # type: ignore[no-untyped-def]
    with enclave() as ready:
        yield ready


def test_the_reply_has_the_predecessors_fields_with_their_meaning(running: Enclave) -> None:
    reply = running.fetch("/hello?q=1", headers={"Accept": "text/plain", "X-Plain": "a"})
    attestation = reply["attestation"]
    assert (reply["success"], reply["status"], reply["rawBody"]) == (True, 200, "/hello")
    assert reply["headers"]["content-type"] == "text/plain"
    assert attestation["attestationId"].startswith("enc-")
    assert attestation["responseHash"] == hashlib.sha256(b"/hello").hexdigest()
    preimage = f'https://{HOST}/hello?q=1|GET|{{"Accept":"text/plain","X-Plain":"a"}}'
    assert attestation["requestHash"] == hashlib.sha256(preimage.encode()).hexdigest()
    assert (attestation["apiEndpoint"], attestation["apiMethod"]) == (f"{HOST}/hello", "GET")
    bound = f"{attestation['responseHash']}|{HOST}/hello|{attestation['timestamp']}"
    assert attestation["nonce"] == hashlib.sha256(bound.encode()).hexdigest()
    assert attestation["mode"] == "document"


def test_the_document_binds_the_statement_and_the_nonce(running: Enclave) -> None:
    attestation = running.fetch(challenge=base64.b64encode(b"c" * 16).decode())["attestation"]
    fields = document.read(base64.b64decode(attestation["nsmDocument"]))
    statement = base64.b64decode(attestation["statement"])
    leaf = hashlib.sha256(b"\0" + statement).digest()
    assert fields.user_data == cbor2.dumps({"root": leaf, "size": 1, "profile": "tytle/attested-fetch/v1"})
    assert fields.nonce == bytes.fromhex(attestation["nonce"])
    assert {f"pcr{index}": fields.pcrs[index].hex() for index in (0, 1, 2)} == attestation["pcrs"]


def test_the_statement_says_everything_that_was_asked_and_answered(running: Enclave) -> None:
    before = time.time_ns() // 1_000_000
    reply = running.fetch(
        "/data",
        method="POST",
        headers={"Content-Type": "text/plain"},
        body="question",
        challenge="Y2NjY2NjY2NjY2NjY2NjYw==",
    )
    said = statement_of(reply)
    (exchange,) = said["exchanges"]
    assert said["profile"] == "tytle/attested-fetch/v1"
    assert (said["service"], said["manifest"], said["id"]) == ("test", hashlib.sha256(MANIFEST).digest(), "r1")
    assert (len(said["boot"]), said["challenge"]) == (16, b"c" * 16)
    assert before <= said["time"] <= time.time_ns() // 1_000_000
    assert said["time"] // 1000 == reply["attestation"]["timestamp"]
    assert exchange["request"] == {
        "method": "POST",
        "url": f"https://{HOST}/data",
        "headers": [["Content-Type", b"text/plain"]],
        "body": {"sha256": hashlib.sha256(b"question").digest(), "length": 8},
    }
    assert exchange["response"]["status"] == 200
    assert exchange["response"]["framing"] == "content-length"
    assert exchange["response"]["body"] == {"sha256": hashlib.sha256(b"question").digest(), "length": 8}
    assert ["Content-Type", b"text/plain"] in exchange["response"]["headers"]
    assert exchange["attempts"] == 1
    assert exchange["upstream"]["tls"] in ("TLSv1.2", "TLSv1.3")
    assert {len(exchange["upstream"][name]) for name in ("certificate", "spki")} == {32}


def test_the_statement_is_deterministic_cbor(running: Enclave) -> None:
    encoded = base64.b64decode(running.fetch()["attestation"]["statement"])
    assert cbor2.dumps(cbor2.loads(encoded), canonical=True) == encoded


def test_sequence_numbers_have_no_gap_and_the_boot_stays(running: Enclave) -> None:
    first, second = statement_of(running.fetch()), statement_of(running.fetch())
    assert (second["seq"], second["boot"]) == (first["seq"] + 1, first["boot"])


def test_secret_headers_are_sent_but_withheld_from_statement_and_hash() -> None:
    seen = []

    def keep(request: Request) -> Response:
        seen.append(request.headers)
        return echo(request)

    headers = {"Authorization": "Bearer s3cret-a", "X-Secret": "s3cret-b", "X-Plain": "open"}
    with enclave(keep) as running:
        reply = running.fetch(headers=headers)
        (exchange,) = statement_of(reply)["exchanges"]
        assert exchange["request"]["headers"] == [["Authorization", None], ["X-Secret", None], ["X-Plain", b"open"]]
        expected = legacy.request_hash(f"https://{HOST}/hello", "GET", [("X-Plain", "open")])
        assert reply["attestation"]["requestHash"] == expected
        assert (seen[0]["authorization"], seen[0]["x-secret"]) == ("Bearer s3cret-a", "s3cret-b")
        assert "s3cret" not in running.log.getvalue()


def test_a_body_that_is_not_utf8_comes_as_base64_and_is_hashed_raw() -> None:
    body = b"\xff\xfe\x00raw"
    with enclave(lambda _: Response(status=200, body=body)) as running:
        reply = running.fetch()
    assert (reply["bodyEncoding"], base64.b64decode(reply["rawBody"])) == ("base64", body)
    assert reply["attestation"]["responseHash"] == hashlib.sha256(body).hexdigest()


def test_text_that_json_would_blow_up_beyond_a_frame_comes_as_base64() -> None:
    body = b"\x01" * (4 * 1024 * 1024)  # six bytes each in JSON
    with enclave(lambda _: Response(status=200, body=body)) as running:
        reply = running.fetch()
    assert (reply["bodyEncoding"], base64.b64decode(reply["rawBody"]) == body) == ("base64", True)


def test_repeated_headers_are_joined_in_the_reply_and_complete_in_the_statement() -> None:
    cookies = (("Set-Cookie", "a=1"), ("X-Between", "b"), ("Set-Cookie", "c=3"))
    with enclave(lambda _: Response(status=200, headers=cookies)) as running:
        reply = running.fetch()
    assert reply["headers"]["set-cookie"] == "a=1, c=3"
    pairs = [tuple(pair) for pair in statement_of(reply)["exchanges"][0]["response"]["headers"]]
    assert [pair for pair in pairs if pair[0] in ("Set-Cookie", "X-Between")] == [
        ("Set-Cookie", b"a=1"),
        ("X-Between", b"b"),
        ("Set-Cookie", b"c=3"),
    ]


@pytest.mark.parametrize("status", [301, 404, 500])
def test_any_final_status_is_an_answer_and_redirects_are_not_followed(status: int) -> None:
    with enclave(lambda _: Response(status=status, headers=(("Location", "/elsewhere"),))) as running:
        reply = running.fetch()
        assert (reply["success"], reply["status"], len(running.upstream.requests)) == (True, status, 1)


def test_a_fetch_that_times_out_is_attested_as_a_failure() -> None:
    def slow(request: Request) -> Response:
        time.sleep(1.0)
        return echo(request)

    with enclave(slow) as running:
        reply = running.fetch(timeoutMs=400)
    assert (reply["success"], reply["status"]) == (False, 504)
    (exchange,) = statement_of(reply)["exchanges"]
    assert exchange["failure"]["kind"] == "timeout"
    assert "response" not in exchange
    assert reply["attestation"]["responseHash"] == hashlib.sha256(b"").hexdigest()


def test_an_unreachable_upstream_is_attested_as_a_failure() -> None:
    def nobody(*_: object) -> object:
        raise PeerLost("down", delivered=False)

    with enclave(dial=nobody) as running:  # type: ignore[arg-type]
        reply = running.fetch()
    assert (reply["success"], reply["status"], reply["rawBody"]) == (False, 502, "")
    assert statement_of(reply)["exchanges"][0]["failure"]["kind"] == "connect"
    assert statement_of(reply)["exchanges"][0]["upstream"] == {"tls": None}


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"url": "https://other.test/hello"}, "other.test"),
        ({"url": f"http://{HOST}/hello"}, "http"),
        ({"url": f"https://{HOST}:8443/hello"}, "port"),
        ({"method": "DELETE"}, "DELETE"),
        ({"method": "GET / HTTP/1.1\r\nHost: evil\r\n\r\nGET"}, "method"),
        ({"headers": {"X-Evil": "a"}}, "header"),
        ({"headers": {"X-Plain": "a\r\nX-Evil: 1"}}, "X-Plain"),
        ({"headers": {"host": "evil"}}, "host"),
        ({"body": "GET with a body"}, "body"),
    ],
)
def test_what_the_policy_refuses_costs_no_fetch_and_no_attestation(fields: dict[str, object], word: str) -> None:
    with enclave() as running:
        reply = running.fetch(**fields)
        assert (reply["success"], reply["status"], "attestation" in reply) == (False, 403, False)
        assert word in reply["error"]
        assert running.upstream.requests == ()


@pytest.mark.parametrize(
    "fault", [Answers(ErrorCode.InternalError), Garbage(), Fails(), WrongEcho("nonce"), WrongEcho("user_data")]
)
def test_an_answer_that_cannot_be_attested_is_not_handed_out(fault: object) -> None:
    nsm = SoftNsm()
    with enclave(nsm=nsm) as running:
        nsm.fault = fault  # type: ignore[assignment]
        reply = running.fetch("/thing")
        assert (reply["success"], reply["status"], reply["rawBody"]) == (False, 502, "")
        assert "attestation" not in reply
        nsm.fault = None
        assert running.fetch("/thing")["success"] is True


@pytest.mark.parametrize("off_ms", [-11_000, 11_000])
def test_an_answer_is_not_handed_out_when_the_clock_has_gone_astray(off_ms: int) -> None:
    astray = [0]
    with enclave(clock_ms=lambda: unix_milliseconds() + astray[0]) as running:
        assert running.fetch("/thing")["success"] is True
        astray[0] = off_ms
        reply = running.fetch("/thing")
        identity = json.loads(running.worker.answer(b'{"type":"identity"}'))
    assert (reply["success"], reply["status"], reply["rawBody"]) == (False, 502, "")
    assert "the enclave's clock differs by" in reply["error"]
    assert "attestation" not in reply
    assert (identity["success"], identity["status"], "identity" in identity) == (False, 502, False)


def test_an_nsm_that_hangs_costs_its_caller_the_deadline_and_nobody_else_later() -> None:
    nsm = SoftNsm()
    with enclave(nsm=nsm) as running:
        nsm.fault = Hangs(0.8)
        reply = running.fetch(timeoutMs=300)
        nsm.fault = None
        assert (reply["status"], "attestation" in reply) == (502, False)
        assert running.fetch()["success"] is True


def test_a_full_attestation_queue_refuses_before_the_upstream_is_asked() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def block(request: Request) -> Response:
        entered.set()
        go_on.wait(5)
        return echo(request)

    with enclave(block, capacity=Capacity(fetches=8, attestations=1)) as running:
        first = threading.Thread(target=running.fetch)
        first.start()
        entered.wait(5)
        reply = running.fetch()
        go_on.set()
        first.join()
        assert (reply["status"], reply["error"]) == (503, "Enclave at capacity")
        assert len(running.upstream.requests) == 1


def test_six_calls_at_once_with_four_places_leave_two_refused_and_pings_answered() -> None:
    all_in, go_on = threading.Semaphore(0), threading.Event()

    def block(request: Request) -> Response:
        all_in.release()
        go_on.wait(5)
        return echo(request)

    with enclave(block, capacity=Capacity(fetches=4)) as running:
        replies: list[dict[str, object]] = []
        threads = [threading.Thread(target=lambda: replies.append(running.fetch())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(4):
            all_in.acquire(timeout=5)
        refused = [running.fetch(), running.fetch()]
        assert b'"pong"' in running.worker.answer(b'{"type":"ping"}')
        go_on.set()
        for thread in threads:
            thread.join()
        assert [reply["status"] for reply in refused] == [503, 503]
        assert [reply["success"] for reply in replies] == [True] * 4


def test_sixteen_slow_calls_do_not_delay_a_fast_one() -> None:
    go_on = threading.Event()
    waiting = threading.Semaphore(0)

    def maybe_slow(request: Request) -> Response:
        if request.path == "/slow":
            waiting.release()
            go_on.wait(10)
        return echo(request)

    with enclave(maybe_slow, phases=Phases(first_byte=10.0)) as running:
        slow = threading.Thread(target=lambda: in_threads(16, lambda _: running.fetch("/slow")))
        slow.start()
        for _ in range(16):
            waiting.acquire(timeout=5)
        assert running.fetch("/fast")["rawBody"] == "/fast"  # while all sixteen are held
        assert slow.is_alive()
        go_on.set()
        slow.join()


def test_the_log_names_ids_hosts_and_outcomes_only() -> None:
    markers = {"path": "/m4rkpath", "query": "q=m4rkquery", "header": "m4rkheader", "body": "m4rkbody"}
    with enclave() as running:
        running.fetch(f"{markers['path']}?{markers['query']}", headers={"Authorization": markers["header"]})
        running.fetch(method="POST", headers={"Content-Type": "text/plain"}, body=markers["body"])
        running.fetch("/nope/m4rkpath?m4rkquery", headers={"X-No": "m4rkheader"})
        running.worker.answer(b'{"url": "m4rk", "method": 5}')
        log = running.log.getvalue()
    assert "m4rk" not in log
    assert {"fetched", "refused", "bad message"} <= {
        line.split('"event": "')[1].split('"')[0] for line in log.splitlines()
    }
