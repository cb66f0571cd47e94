"""Why a handler gives no values: one tree. The class says whose fault it was, the message never repeats a value."""

from typing import Final

OPERATION_FAILURES: Final = {
    "upstream-unavailable": "The upstream said that it cannot answer now.",
    "upstream-fault": "The upstream answered with a fault or an error, not with a result.",
    "upstream-malformed": "The upstream's answer does not have the documented shape.",
    "upstream-mismatch": "The upstream answered another question than the one asked.",
    "upstream-unauthorised": "The upstream did not accept the credential.",
    "not-found": "The upstream does not have what was asked for.",
    "unencodable": "A value does not fit its field in the schema that was asked for.",  # found by the caller's code
    "call-refused": "What the upstream answered leads to a call that the policy refuses.",  # the same
}
"""Every code that `OperationFailed` may have, with its sentence. `not-found` is only for operations in which "not
found" is no documented result of its own."""


class HandlerError(Exception):
    """The root of this folder's errors."""


class ParamsRefused(HandlerError):
    """The caller's `params` are not what the operation takes. Nothing was fetched; the caller gets a 400.

    `field` is the parameter (or "params"), `problem` says what it must be. Neither repeats what the caller sent.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class OperationFailed(HandlerError):
    """The upstream's answer gives no result. It is attested all the same: the statement's `result` has `error: code`.

    `code` is one of `OPERATION_FAILURES`; `problem` is for the caller and holds no text of the upstream's or caller's.

    Raises:
        ValueError: an unknown code: the table above is the list.
    """

    def __init__(self, code: str, problem: str) -> None:
        if code not in OPERATION_FAILURES:
            raise ValueError(f"unknown failure code {code!r}")
        super().__init__(f"{code}: {problem}")
        self.code = code
        self.problem = problem
