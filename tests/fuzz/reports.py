"""What an enclave, a parent's helper or an archive's reply says of itself, read by the parent.

`wire.hops.read_report`, `app.pong`, `app.nitro_cli.parse_enclaves`, `app.archive.entry`, `app.relay.summarise`.

1. Any bytes are a value or the reader's own error, nothing else: a stranger's word does not end in a 500.
2. What was read has its shape: numbers are in range and can be added up, a boot can stand in a header.
3. A report that was read is written, and read, as the same one.
"""

import json
from hashlib import sha256
from typing import Any

from app import nitro_cli, pong, relay
from app.archive import entry
from app.archive.entry import NotArchivable
from app.errors import ApiError
from app.pong import NotAPong
from tests.fuzz import mutators
from tests.fuzz.target import Seeds, Target
from wire import hops
from wire.errors import ReportMalformed
from wire.hops import MAX_NUMBER, Report


def _report(data: bytes) -> None:
    try:
        report = hops.read_report(data)
    except ReportMalformed:
        return
    if report is None:
        assert not data.startswith(b'{"type":"report",')
        return
    assert hops.read_report(hops.encode_report(report)) == report
    for number in (*report.timings_us.values(), report.nsm_queue, report.fetches, report.status):
        assert type(number) is int
        assert 0 <= number <= MAX_NUMBER
    assert len(bytes.fromhex(report.boot)) == 16
    _can_be_written(report)


def _summary(data: bytes) -> None:
    try:
        report = relay.summarise(data)
    except ApiError as error:
        assert error.status == 502
        return
    _can_be_written(report)


def _can_be_written(report: Report) -> None:
    line = json.dumps({"status": report.status, "success": report.success, "timings": dict(report.timings_us)})
    assert line.isascii()
    assert type(report.success) is bool
    assert report.boot.isascii()


def _pong(data: bytes) -> None:
    try:
        read = pong.read(data)
    except NotAPong:
        return
    said = json.loads(data)
    assert said["type"] == "pong"
    assert len(data) <= pong.MAX_PONG_BYTES
    assert (read.boot, read.service) == (said.get("boot"), said.get("service"))
    assert (read.nsm_age_ms, read.nsm_failures) == (said.get("nsmAgeMs"), said.get("nsmFailures"))
    assert [key.hex() for key in read.keys] == [key for key in said.get("keys", []) if key is not None]
    assert all(len(key) == 32 for key in read.keys)


def _enclaves(data: bytes) -> None:
    for running in nitro_cli.parse_enclaves(data.decode("utf-8", "replace")) or ():
        assert (type(running.cid), type(running.memory), type(running.debug)) == (int, int, bool)


def _entry(data: bytes) -> None:
    try:
        kept = entry.read(data, None)
    except NotArchivable:
        return
    said = _json(data)
    attested = isinstance(said, dict) and "sealed" not in said and said.get("attestation") is not None
    assert (kept is not None) is attested
    if kept is not None:
        assert (kept.id, kept.reply) == (said["attestation"]["attestationId"], data)
        assert kept.leaf == sha256(b"\0tytle/archive/v1" + kept.id.encode() + sha256(data).digest()).digest()


def _json(data: bytes) -> Any:
    try:
        return json.loads(data.decode())  # `json` itself would take UTF-16, and half a surrogate pair in UTF-8
    except (ValueError, RecursionError):
        return None


READERS = (_report, _pong, _enclaves, _entry, _summary)


def one_input(data: bytes) -> None:
    """Read the input by the reader that its first byte names."""
    if data:
        READERS[data[0] % len(READERS)](data[1:])


def seeds() -> Seeds:
    """One good word of each."""
    report = Report(success=True, status=200, boot="ab" * 16, timings_us={"nsm": 5}, nsm_queue=1, fetches=2)
    said = {"type": "pong", "timestamp": 1, "service": "vies", "boot": "ab" * 16, "nsmAgeMs": 1, "nsmFailures": 0}
    enclave = {"EnclaveCID": 16, "MemoryMiB": 512, "Flags": "DEBUG_MODE", "State": "RUNNING"}
    reply = {
        "success": True,
        "status": 200,
        "attestation": {"attestationId": f"enc-{'0' * 8}-1111-4222-8333-{'4' * 12}"},
    }
    yield "report", b"\x00" + hops.encode_report(report)
    yield "pong", b"\x01" + json.dumps({**said, "keys": ["00" * 32]}).encode()
    yield "enclaves", b"\x02" + json.dumps([enclave]).encode()
    yield "reply", b"\x03" + json.dumps(reply).encode()
    yield "summary", b"\x04" + json.dumps(reply).encode()
    yield "sealed", b"\x04" + b'{"sealed":""}'


TARGET = Target(
    one_input=one_input,
    seeds=seeds,
    mutate=mutators.json_behind(1),
    words=(b'{"type":"report",', b'"status":', b'"boot":"', b'"type":"pong"', b'"attestation":', b"Infinity", b"1e999"),
    max_bytes=2048,
)
