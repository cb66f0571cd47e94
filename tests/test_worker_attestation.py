"""The NSM's owner: one request at a time, bounded, honest about failure, finished before it ends."""

import threading
import time

import pytest

from devstack.nsm_faults import Answers
from devstack.soft_nsm import SoftNsm
from enclave_worker.attestation import AttestationFailed, Attestor, QueueFull
from nsm.errors import ErrorCode
from tests.enclave_kit import Gate, in_threads
from tests.fake_enclave import wait_until


def soon() -> float:
    return time.monotonic() + 5


def test_the_nsm_is_asked_from_one_thread_only() -> None:
    nsm, callers = SoftNsm(), set()

    def exchange(request: bytes) -> bytes:
        callers.add(threading.get_ident())
        return nsm.exchange(request)

    attestor = Attestor(exchange)

    def attest(index: int) -> bytes | None:
        with attestor.reserve() as place:
            return place.attest(nonce=bytes([index]) * 32, user_data=b"u", deadline=soon()).fields.nonce

    assert in_threads(8, attest) == [bytes([index]) * 32 for index in range(8)]
    assert len(callers) == 1
    assert threading.get_ident() not in callers
    attestor.close()


def test_places_are_bounded_and_given_back_even_after_an_error() -> None:
    attestor = Attestor(SoftNsm().exchange, places=1)
    with attestor.reserve(), pytest.raises(QueueFull):
        attestor.reserve()
    with pytest.raises(RuntimeError), attestor.reserve():
        raise RuntimeError("a bug elsewhere")
    with attestor.reserve() as place:
        assert place.attest(nonce=None, user_data=b"u", deadline=soon()).fields.user_data == b"u"
    attestor.close()


def test_a_refusal_of_the_nsm_is_passed_on_as_a_type() -> None:
    nsm = SoftNsm()
    nsm.fault = Answers(ErrorCode.InternalError)
    attestor = Attestor(nsm.exchange)
    with attestor.reserve() as place, pytest.raises(AttestationFailed, match="InternalError"):
        place.attest(nonce=None, user_data=b"u", deadline=soon())
    attestor.close()


def test_a_request_whose_deadline_passed_while_it_waited_is_never_made() -> None:
    made, release = [], threading.Event()
    nsm = SoftNsm()

    def exchange(request: bytes) -> bytes:
        made.append(request)
        release.wait(5)
        return nsm.exchange(request)

    attestor = Attestor(exchange)

    def attest(user_data: bytes, seconds: float) -> str:
        with attestor.reserve() as place:
            try:
                place.attest(nonce=None, user_data=user_data, deadline=time.monotonic() + seconds)
            except AttestationFailed:
                return "late"
        return "done"

    first = threading.Thread(target=attest, args=(b"first", 5))
    first.start()
    assert attest(b"second", 0.1) == "late"
    release.set()
    first.join()
    attestor.close()
    assert [b"second" in request for request in made] == [False]


def test_closing_finishes_what_is_queued() -> None:
    gate = Gate()
    attestor = Attestor(gate.exchange)
    results: list[bytes | None] = []

    def attest(index: int) -> None:
        with attestor.reserve() as place:
            results.append(place.attest(nonce=None, user_data=bytes([index]), deadline=soon()).fields.user_data)

    threads = [threading.Thread(target=attest, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    assert gate.busy.wait(5)
    wait_until(lambda: attestor._jobs.qsize() == 3)
    threading.Timer(0.05, gate.open.set).start()
    attestor.close()
    for thread in threads:
        thread.join()
    assert sorted(result or b"" for result in results) == [b"\0", b"\1", b"\2", b"\3"]


def test_a_place_stays_taken_while_the_nsm_still_has_its_work() -> None:
    release = threading.Event()
    nsm = SoftNsm()

    def exchange(request: bytes) -> bytes:
        release.wait(5)
        return nsm.exchange(request)

    attestor = Attestor(exchange, places=1)
    with attestor.reserve() as place, pytest.raises(AttestationFailed):
        place.attest(nonce=None, user_data=b"u", deadline=time.monotonic() + 0.1)
    with pytest.raises(QueueFull):  # the caller is gone, the work is not
        attestor.reserve()
    release.set()
    attestor.close()
    with attestor.reserve():
        pass
