"""What an enclave says of itself when it is pinged: read whole, or refused."""

import json
from contextlib import suppress
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import pong
from app.pong import NotAPong, Pong
from enclave_worker.nsm_record import NsmRecord
from tests.enclave_kit import enclave
from tests.fake_enclave import PONG

FULL = {
    "type": "pong",
    "timestamp": 1,
    "service": "vies",
    "boot": "ab" * 16,
    "nsmAgeMs": 12,
    "nsmFailures": 0,
    "keys": ["00" * 32, "ff" * 32],
}


def of(**changed: Any) -> bytes:
    return json.dumps({**FULL, **changed}).encode()


def test_a_pong_says_who_answered_how_fresh_its_nsm_is_and_which_keys_it_has() -> None:
    assert pong.read(of()) == Pong(
        boot="ab" * 16, service="vies", nsm_age_ms=12, nsm_failures=0, keys=(bytes(32), b"\xff" * 32)
    )


def test_the_predecessor_s_pong_says_nothing_but_that_it_is_one() -> None:
    assert pong.read(PONG) == Pong()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"pong",
        b"[]",
        b"null",
        b'{"type":"ping"}',
        b'{"timestamp":1}',
        b"[" * 100_000,
        of(boot="ab" * 15),
        of(boot="AB" * 16),
        of(boot=7),
        of(service=["vies"]),
        of(nsmAgeMs=-1),
        of(nsmAgeMs=1.5),
        of(nsmAgeMs=True),
        of(nsmFailures="0"),
        of(nsmFailures=2**63),
        of(keys={}),
        of(keys=[1]),
        of(keys=["00" * 31]),
        of(keys=["00" * 32] * 9),
        of(more="x" * pong.MAX_PONG_BYTES),
    ],
)
def test_anything_else_is_no_pong(payload: bytes) -> None:
    with pytest.raises(NotAPong):
        pong.read(payload)


@given(st.binary(max_size=200) | st.dictionaries(st.sampled_from(sorted(FULL)), st.integers() | st.text()).map(str))
def test_garbage_is_a_pong_or_not_one_and_never_anything_else(garbage: bytes | str) -> None:
    with suppress(NotAPong):
        assert isinstance(pong.read(garbage if isinstance(garbage, bytes) else garbage.encode()), Pong)


@given(st.dictionaries(st.sampled_from(sorted(FULL)), st.none() | st.integers() | st.text() | st.lists(st.text())))
def test_a_pong_with_changed_fields_is_one_or_none(changed: dict[str, Any]) -> None:
    with suppress(NotAPong):
        assert isinstance(pong.read(of(**changed)), Pong)


def test_our_worker_s_pong_is_read_and_its_nsm_ages_and_is_made_fresh_by_a_document() -> None:
    with enclave() as running:
        first = pong.read(running.worker.answer(b'{"type":"ping"}'))
        assert (first.service, first.nsm_age_ms, first.nsm_failures, len(first.keys)) == ("test", None, 0, 1)
        assert running.fetch()["success"] is True
        second = pong.read(running.worker.answer(b'{"type":"ping"}'))
    assert second.boot == first.boot
    assert second.nsm_age_ms is not None
    assert second.nsm_age_ms < 10_000
    assert second.keys == first.keys


def test_a_document_ends_the_count_of_the_nsm_s_failures() -> None:
    now = [5.0]
    record = NsmRecord(lambda: now[0])
    for _ in range(3):
        record.failed()
    assert (record.age_ms, record.failures) == (None, 3)
    record.succeeded()
    now[0] = 7.5
    assert (record.age_ms, record.failures) == (2500, 0)
    record.failed()
    assert (record.age_ms, record.failures) == (2500, 1)


def test_a_ping_asks_the_nsm_for_nothing_and_tells_of_its_failures() -> None:
    asked = []

    class Broken:
        def exchange(self, request: bytes) -> bytes:
            asked.append(request)
            return cbor2.dumps({"Error": "InternalError"})

    with enclave(nsm=Broken()) as running:  # type: ignore[arg-type]
        for _ in range(3):
            assert running.fetch()["success"] is False
        before = len(asked)
        said = pong.read(running.worker.answer(b'{"type":"ping"}'))
        assert len(asked) == before
    assert (said.nsm_failures, said.nsm_age_ms) == (3, None)
