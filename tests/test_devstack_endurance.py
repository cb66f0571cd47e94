"""A few seconds of the endurance run, and what it would say of answers, ends and growth that may not be."""

import http.client
import json
import socket
import threading
from dataclasses import replace

import pytest

from devstack.endurance import archive, invented, questions, report
from devstack.endurance.calls import Answer, Connection, Ended, error, refusal
from devstack.endurance.invented import Numbers
from devstack.endurance.ledger import NEVER, Ledger
from devstack.endurance.memory import JUDGED_SECONDS, Life, Sample
from devstack.endurance.run import Figures, Options, run
from devstack.upstream import Response, UpstreamServer

SECONDS = 4.0


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    return run(Options(seconds=SECONDS, clients=4, events=False, output=tmp_path_factory.mktemp("endurance")))


def test_some_seconds_without_events_break_no_rule(figures: Figures) -> None:
    assert figures.problems() == []
    assert figures.ledger.excused == {}
    assert figures.ledger.count("verified") > 20
    assert figures.counted > 20


def test_the_report_says_so_for_people_and_programs(figures: Figures) -> None:
    assert list(report.lines(figures))[-1] == "Every rule was kept."
    said = json.loads(report.as_json(figures))
    assert said["problems"] == []
    assert sum(number for _, _, number in said["ends"]) == sum(figures.ledger.ends.values())
    assert {each["name"] for each in said["processes"]} >= {"gunicorn master", "vies/0", "vies/1", "sicae/0"}


# --- what a run must see


def an_end(outcome: str, *, began: float = 10.0, ended: float = 11.0, ledger: Ledger | None = None) -> Ledger:
    chosen = ledger or Ledger()
    chosen.end("call", "vies", outcome, began=began, ended=ended)
    return chosen


@pytest.mark.parametrize("outcome", ["verified", "refused 403 path.not-allowed"])
def test_a_good_end_breaks_nothing(outcome: str) -> None:
    assert an_end(outcome).broken == {}


@pytest.mark.parametrize("outcome", NEVER)
def test_nothing_excuses_what_may_never_be(outcome: str) -> None:
    ledger = Ledger()
    with ledger.excusing(None, "", after=100.0):
        ledger.end("call", "vies", outcome, began=0.0)
    assert ledger.broken == {outcome: 1}


def test_an_error_is_excused_by_what_happened_to_its_service_while_it_was_under_way() -> None:
    ledger = Ledger()
    excuse = ledger.excuse("vies", "error 502")
    excuse.since, excuse.until = 10.0, 20.0
    for began, ended in ((5.0, 12.0), (12.0, 13.0), (20.0, 30.0)):
        an_end("error 502 enclave_unreachable", began=began, ended=ended, ledger=ledger)
    assert ledger.broken == {}
    an_end("error 502 enclave_unreachable", began=20.5, ended=21.0, ledger=ledger)
    an_end("error 502 enclave_unreachable", began=8.0, ended=9.5, ledger=ledger)
    an_end("error 504 deadline", began=12.0, ended=13.0, ledger=ledger)
    ledger.end("call", "sicae", "error 502 enclave_unreachable", began=12.0, ended=13.0)
    assert ledger.broken == {"error 502 enclave_unreachable": 3, "error 504 deadline": 1}
    assert len(ledger.details) == 4


def answer(value: object, **headers: str) -> Answer:
    message = http.client.HTTPMessage()
    for name, given in headers.items():
        message[name.replace("_", "-")] = given
    return Answer(headers=message, data=json.dumps(value).encode())


BUSY = {"success": False, "error": "all are busy", "code": "busy", "requestId": "r1"}


def test_an_error_has_the_one_form_or_is_none() -> None:
    with pytest.raises(Ended) as found:
        error(503, answer(BUSY, X_Request_Id="r1", Retry_After="1"))
    assert found.value.outcome == "error 503 busy"
    for status, wrong in (
        (503, answer(BUSY, X_Request_Id="r1")),
        (502, answer(BUSY, X_Request_Id="r2")),
        (502, answer({**BUSY, "success": True}, X_Request_Id="r1")),
        (502, answer({**BUSY, "more": 1}, X_Request_Id="r1")),
        (502, answer([BUSY], X_Request_Id="r1")),
    ):
        with pytest.raises(Ended) as found:
            error(status, wrong)
        assert found.value.outcome == "UNTYPED"


def test_a_refusal_says_so_with_a_status() -> None:
    assert refusal(json.dumps({"success": True, "status": 200}).encode()) is None
    typed = refusal(json.dumps({"success": False, "status": 503, "error": "full"}).encode())
    assert typed is not None
    assert typed.outcome == "error 503 enclave"
    untyped = refusal(json.dumps({"success": False, "status": 200, "error": "what"}).encode())
    assert untyped is not None
    assert untyped.outcome == "UNTYPED"


def close_next(listener: socket.socket) -> None:
    listener.accept()[0].close()


def test_whoever_does_not_answer_is_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        closing = threading.Thread(target=close_next, args=(listener,))
        closing.start()
        with pytest.raises(Ended) as found:
            Connection(port).get("/livez")
        closing.join()
    assert found.value.outcome.startswith("connection ")
    with pytest.raises(Ended) as found:
        Connection(port).get("/livez")
    assert found.value.outcome == "connection ConnectionRefusedError fresh"


@pytest.mark.parametrize(("asked", "excused"), [(10.0, 1), (21.0, 0)])
def test_a_reply_is_missed_if_nothing_ended_from_its_question_until_it_was_stored(
    monkeypatch: pytest.MonkeyPatch, asked: float, excused: int
) -> None:
    """Its coming is noted late, on a busy machine: after the process that had sent it was killed."""
    ledger = Ledger()
    excuse = ledger.excuse(archive.KIND, archive.MISSING)
    excuse.since, excuse.until = 20.0, 20.1
    monkeypatch.setattr(archive, "WAIT_SECONDS", 0.0)
    missing = Response(
        status=404,
        headers=(("X-Request-Id", "r1"),),
        body=json.dumps({"success": False, "error": "none", "code": "not_found", "requestId": "r1"}).encode(),
    )
    with UpstreamServer({"127.0.0.1": lambda _: missing}, authority=None) as server:
        connection = Connection(server.address[1])
        reader = archive.Reader(connection, ledger)
        reader.later(json.dumps({"attestation": {"attestationId": "a"}}).encode(), asked=asked)
        reader.read_due()
        connection.close()
    assert ledger.ends == {(archive.KIND, "error 404 not_found"): 1}
    assert sum(ledger.excused.values()) == excused


def test_what_is_said_of_each_thing_is_its_own() -> None:
    numbers = Numbers()
    names = [f"{numbers.next():012d}" for _ in range(200)]
    known = [company.name for name in names if (company := invented.vat_company(("PT", name)))]
    assert len(set(known)) == len(known) > 100
    with pytest.raises(questions.Wrong, match="name"):
        questions.demand("name", known[0], known[1])
    with pytest.raises(questions.Wrong, match="valid"):
        questions.demand("valid", 1, True)


def life(grows: float, *, seconds: float = JUDGED_SECONDS, descriptors: int = 20, warm: float = 100.0) -> Life:
    """A process whose memory grows by so many KiB in ten minutes, and by others while it gets warm."""
    times = [seconds * step / 60 for step in range(61)]
    samples = [Sample(at, round(40_000 + min(at, warm) * 50 + grows * at / 600), 0, 20, 5) for at in times]
    samples[-1] = replace(samples[-1], descriptors=descriptors)
    return Life("gunicorn worker", 1, samples)


def test_memory_that_goes_on_growing_is_seen_and_warming_up_is_not() -> None:
    assert life(0).problems() == []
    assert life(900).problems() == []
    assert life(0, warm=JUDGED_SECONDS / 2).problems() == []
    assert life(1200).problems() == ["grows by 1200 KiB in ten minutes"]
    assert life(1200, seconds=JUDGED_SECONDS / 2).problems() == []
    assert life(0, descriptors=60).problems() == ["60 descriptors at the end, 20 in between"]
