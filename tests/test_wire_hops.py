"""What travels beside a question and its reply: read back as it was written, and refused when it is something else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import hops, messages
from wire.errors import MessageError, ReportMalformed
from wire.hops import NO_HOP, Hop, Report
from wire.messages import Call

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"  # W3C Trace Context, 3.2.2.1
CALL = Call(id="1", url="https://example.test/", method="GET")


@pytest.mark.parametrize("hop", [Hop(report=True), Hop(report=False, trace=TRACE), Hop(report=True, trace=TRACE)])
def test_a_hop_is_read_back_beside_the_call_it_was_attached_to(hop: Hop) -> None:
    question = messages.decode_question(hops.attach(messages.encode_call(CALL), hop))
    assert (question.message, question.hop) == (CALL, hop)


def test_a_question_without_a_hop_has_none() -> None:
    assert messages.decode_question(messages.encode_call(CALL)).hop == NO_HOP


def test_the_body_of_a_request_cannot_hold_a_hop() -> None:
    with pytest.raises(MessageError, match=r"hop.*unknown field"):
        messages.decode_call(hops.attach(messages.encode_call(CALL), Hop(report=True)))


@pytest.mark.parametrize(
    "said",
    [
        True,
        {},
        {"report": 1},
        {"report": True, "more": 1},
        {"report": True, "trace": 1},
        {"report": True, "trace": TRACE + "\n"},
        {"report": True, "trace": "00-" + 32 * "0" + "-b7ad6b7169203331-01"},
    ],
)
def test_a_hop_of_another_form_is_refused(said: object) -> None:
    with pytest.raises(MessageError) as caught:
        messages.decode_question(json.dumps({"url": "u", "method": "m", "hop": said}).encode())
    assert "hop" in str(caught.value) or caught.value.field == "'more'"


@given(
    success=st.booleans(),
    status=st.integers(100, 599),
    boot=st.binary(min_size=16, max_size=16),
    timings=st.dictionaries(st.sampled_from(["connect", "tls", "attest"]), st.integers(0, 10**9)),
)
def test_a_report_is_read_back(success: bool, status: int, boot: bytes, timings: dict[str, int]) -> None:
    report = Report(success=success, status=status, boot=boot.hex(), timings_us=timings)
    assert hops.read_report(hops.encode_report(report)) == report


@pytest.mark.parametrize("status", ["1e999", "Infinity", "NaN", "2e2", '"200"', "true", "-1", "1" + "0" * 13])
def test_a_status_that_is_no_plain_number_is_an_error_of_the_frame(status: str) -> None:
    report = hops.encode_report(Report(success=True, status=200, boot="ab" * 16))
    with pytest.raises(ReportMalformed):
        hops.read_report(report.replace(b'"status":200', b'"status":' + status.encode()))


@given(st.binary().filter(lambda data: not data.startswith(b'{"type":"report",')))
def test_what_does_not_begin_as_a_report_is_the_reply(data: bytes) -> None:
    assert hops.read_report(data) is None


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_what_only_begins_as_a_report_is_an_error_of_the_frame(rest: bytes) -> None:
    with pytest.raises(ReportMalformed):
        hops.read_report(b'{"type":"report",' + rest)
