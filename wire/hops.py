"""What travels beside a question and its reply on the hop between parent and worker: for operators, attested by nobody.

A parent that wants to know how it went adds a field to the question: `"hop": {"report": true}`. The worker then answers
with two frames, a report and the reply, so that the parent can leave the reply unread. No caller can set the field, and
a worker that does not know it (the predecessor's) answers with the reply alone.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wire import fields as read
from wire import jsontext
from wire.errors import MessageError, ReportMalformed

FIELD = "hop"
MAX_NUMBER = 10**12  # ours; as microseconds eleven days
_REPORT_BEGINS = b'{"type":"report",'
_NAME = FIELD.encode()
_BOOT = re.compile("[0-9a-f]{32}")
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context, 3.2.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """What a parent adds to a question. `trace` is a W3C `traceparent`."""

    report: bool = False
    trace: str | None = None

    @property
    def trace_id(self) -> str | None:
        """The trace's id, 32 hex digits."""
        return None if self.trace is None else self.trace[3:35]


NO_HOP = Hop()
_decode = json.JSONDecoder().decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How an answer came about, as the worker says. `boot` is the worker's, 32 hex digits; timings in microseconds.

    Of a sealed reply `success` and `status` say only that there is one. Beside this question, `fetches` others were
    under way in the worker, and `nsm_queue` answers waited for the NSM.
    """

    success: bool
    status: int
    boot: str
    timings_us: Mapping[str, int] = field(default_factory=dict)
    nsm_queue: int = 0
    fetches: int = 0


def attach(payload: bytes, hop: Hop) -> bytes:
    """Return the payload of a question, a JSON object with at least one member, with `hop` added."""
    trace = b"" if hop.trace is None else b',"trace":"%b"' % hop.trace.encode()
    return b'%b,"%b":{"report":%b%b}}' % (payload[:-1], _NAME, b"true" if hop.report else b"false", trace)


def take(question: dict[str, Any]) -> Hop:
    """Remove the hop from a question's object and return it.

    Raises:
        MessageError: it is none.
    """
    given = question.pop(FIELD, None)
    if given is None:
        return NO_HOP
    if not isinstance(given, dict) or not isinstance(given.get("report"), bool):
        raise MessageError(FIELD, "must be an object that says whether a report is wanted")
    read.only(given, frozenset({"report", "trace"}))
    trace = given.get("trace")
    if trace is not None and not TRACEPARENT.fullmatch(jsontext.text(FIELD, trace)):
        raise MessageError(FIELD, "trace is no traceparent")
    return Hop(report=given["report"], trace=trace)


def encode_report(report: Report) -> bytes:
    """Return the payload that `read_report` reads back as `report`."""
    return jsontext.dump(
        {
            "type": "report",
            "success": report.success,
            "status": report.status,
            "boot": report.boot,
            "timingsUs": dict(report.timings_us),
            "nsmQueue": report.nsm_queue,
            "fetches": report.fetches,
        }
    )


def read_report(payload: bytes) -> Report | None:
    """Return the report that a payload is, or None when it is something else: the reply.

    Raises:
        ReportMalformed: it begins as a report, and is none.
    """
    if not payload.startswith(_REPORT_BEGINS):
        return None
    try:
        jsontext.check_parts(payload)
        said = _decode(payload.decode())
        return Report(
            success=said["success"] is True,
            status=_number(said["status"]),
            boot=_boot(said["boot"]),
            timings_us={str(name): _number(value) for name, value in said["timingsUs"].items()},
            nsm_queue=_number(said["nsmQueue"]),
            fetches=_number(said["fetches"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, MessageError) as exc:
        raise ReportMalformed("the enclave's report cannot be read") from exc


def _number(value: object) -> int:
    """Return a count or a duration, which a sum may be made of."""
    if not (type(value) is int and 0 <= value <= MAX_NUMBER):
        raise ValueError("out of range")
    return value


def _boot(value: str) -> str:
    if not _BOOT.fullmatch(value):
        raise ValueError("a boot has 16 bytes in hex")
    return value
