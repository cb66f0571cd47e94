"""What the tests of the VAT handlers share: a scripted fetch, answers in the published shape, runs and outcomes."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from devstack import vies_xml
from enclave_worker.handlers import HANDLERS
from enclave_worker.handlers.errors import OperationFailed, ParamsRefused
from enclave_worker.handlers.operation import Ask, Got, Operation, Values
from policy import manifest

OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in HANDLERS["vies"]}
MANIFEST = manifest.load((Path(__file__).parent.parent / "services" / "vies.toml").read_bytes())
PT = {"countryCode": "PT", "vatNumber": "507172230"}
GB = {"vatNumber": "553557881", "accessToken": "bb7fed3fe10dd235a2ccda3d50fb"}
PARAMS: dict[str, dict[str, str]] = {"vies.check_vat": PT, "vies.check_vat_rest": PT, "hmrc.lookup": GB}
FIELDS = [*PT.items(), ("requestDate", "2025-01-02+01:00"), ("valid", "true"), ("name", "TYTLE LDA")]
FIELDS += [("address", "RUA 123")]


def soap(fields: Iterable[tuple[str, str]] = FIELDS, **changes: str) -> bytes:
    """An answer of checkVat as the live service writes it."""
    return vies_xml.answer("checkVat", [(name, changes.get(name, value)) for name, value in fields]).encode()


def rest(**changes: Any) -> bytes:
    """An answer of check-vat-number with the members that a derivation reads; `...` takes one away."""
    answer = {**PT, "requestDate": "2025-01-02T03:04:05.678Z", "valid": True, "name": "TYTLE LDA", "address": "RUA 123"}
    return _json(answer | changes)


def hmrc(*, target: dict[str, Any] | None = None, address: dict[str, Any] | None = None, **changes: Any) -> bytes:
    """A documented answer of HMRC; `...` takes a member away."""
    lines = {"line1": "131B Barton Hamlet", "postcode": "SW97 5CK", "countryCode": "GB"} | (address or {})
    found = {"name": "Credite Sberger Donal Inc.", "vatNumber": "553557881", "address": _without(lines)} | (
        target or {}
    )
    return _json({"target": _without(found), "processingDate": "2019-01-31T12:43:17+00:00"} | changes)


ANSWERS: dict[str, Callable[[], bytes]] = {"vies.check_vat": soap, "vies.check_vat_rest": rest, "hmrc.lookup": hmrc}


def _without(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not ...}


def _json(members: dict[str, Any]) -> bytes:
    return json.dumps(_without(members), ensure_ascii=False).encode()


class Scripted:
    """A fetch that gives one answer and keeps what it was asked."""

    def __init__(self, body: bytes, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.asked: list[Ask] = []
        self._got = Got(status=status, headers=headers, body=body)

    def __call__(self, ask: Ask) -> Got:
        self.asked.append(ask)
        return self._got


def values(name: str, body: bytes, status: int = 200, params: dict[str, Any] | None = None) -> Values:
    """The values of one operation for one answer."""
    return OPERATIONS[name].run(params or PARAMS[name], Scripted(body, status))


def outcome(name: str, body: bytes, status: int = 200, params: dict[str, Any] | None = None) -> str:
    """`values`, `refused`, or the code with which the operation failed."""
    try:
        values(name, body, status, params)
    except ParamsRefused:
        return "refused"
    except OperationFailed as exc:
        return exc.code
    return "values"
