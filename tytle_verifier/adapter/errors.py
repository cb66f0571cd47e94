"""Every way in which a request through the enclave ends without an answer. All are exceptions of `requests`.

    NoAnswer                       RequestException
      NotSendable                  ValueError        this request cannot go through an enclave; nothing was sent
      NotVerified                                    evidence came and was refused; `.error` says at which step
        IdentityNotVerified                          the same, of the enclave's identity; nothing was sent
      Refused                                        parent or enclave declined the request; hearsay
      Unavailable                  ConnectionError   parent or enclave could not answer now; hearsay
        KeyRetired                                   the enclave is said not to have the key; hearsay
      DeadlinePassed               Timeout           the same, because the time was over; hearsay
      FailureAttested                                verified: the upstream gave no complete answer; `.attestation`
        TimeoutAttested            Timeout
        TlsFailureAttested         SSLError
        ConnectionFailureAttested  ConnectionError

So code that retries on Timeout and ConnectionError goes on working, and never retries on refused evidence. Failures on
the way to the parent keep the class that `requests` gives them; an answer of the parent under a Content-Encoding, which
was not asked for and is not undone, is its ContentDecodingError. `response` is None on every one of them: what was not
verified is not handed out, not even inside an exception.
"""

from __future__ import annotations

from typing import Any, ClassVar

from requests import PreparedRequest
from requests.exceptions import ConnectionError as ConnectionFailed
from requests.exceptions import RequestException, SSLError, Timeout

from tytle_verifier.adapter.response import Attestation
from tytle_verifier.errors import VerifierError, shown


class NoAnswer(RequestException):
    """There is no verified answer. `request` is the caller's own; `response` is always None."""

    def __init__(self, problem: str, *, request: PreparedRequest) -> None:
        super().__init__(problem, request=request)

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive pickling, as other exceptions do that cross process pools; `attestation` stays behind."""
        state = {name: value for name, value in self.__dict__.items() if name != "attestation"}
        return _revived, (type(self), self.args, state)


class NotSendable(NoAnswer, ValueError):
    """The request cannot be put to an enclave as it stands; nothing was sent."""


class NotVerified(NoAnswer):
    """Something came that is not evidence for the answer to this request.

    `error` is the verifier's own: its class and `step` say what did not hold, `report` what did. The upstream may have
    carried the request out all the same.
    """

    def __init__(self, error: VerifierError, *, request: PreparedRequest) -> None:
        super().__init__(f"not verified: {error}", request=request)
        self.error = error


class IdentityNotVerified(NotVerified):
    """The enclave behind the parent did not prove to be the one that the policy accepts. Nothing was sent."""


class _Hearsay(NoAnswer):
    """What parent or enclave say without evidence. Nothing in it is verified.

    `status` is the parent's HTTP status, or the one in an enclave's refusal; `said` its explanation, one line of at
    most 160 printable ASCII characters; `code` its word for programs, None where it gave none.
    """

    explanation: ClassVar[str]

    def __init__(self, status: int, said: str, code: str | None, *, request: PreparedRequest) -> None:
        self.status = status
        self.said = shown(said)
        self.code = None if code is None else shown(code)
        named = f" {self.code}" if self.code else ""
        cookie = "; the session sent a cookie with it" if status == 403 and "Cookie" in request.headers else ""
        super().__init__(f"{self.explanation} ({status}{named}): {self.said}{cookie}", request=request)


class Refused(_Hearsay):
    """Parent or enclave declined: policy, grammar, size, token, no enclave for that host. The same again is useless."""

    explanation = "refused before anything was fetched"


class Unavailable(_Hearsay, ConnectionFailed):
    """No enclave could answer now: full, restarting, unreachable. It may have fetched all the same."""

    explanation = "no enclave answered"


class KeyRetired(Unavailable):
    """The enclave is said not to have the key that this request was sealed to: it rotated its keys or restarted.

    The request is not sent again by itself, for whoever says so may have delivered it. The next one asks for the
    enclave's identity first.
    """

    explanation = "the enclave has another key now"


class DeadlinePassed(_Hearsay, Timeout):
    """The parent gave up waiting for the enclave, which may have fetched all the same."""

    explanation = "no enclave answered in time"


class FailureAttested(NoAnswer):
    """Verified: the enclave tried and got no complete answer. `attestation` proves that; archive it like any other."""

    def __init__(self, problem: str, attestation: Attestation, *, request: PreparedRequest) -> None:
        super().__init__(problem, request=request)
        self.attestation = attestation


class TimeoutAttested(FailureAttested, Timeout):
    """The upstream took too long."""


class TlsFailureAttested(FailureAttested, SSLError):
    """There was no acceptable TLS connection to the upstream."""


class ConnectionFailureAttested(FailureAttested, ConnectionFailed):
    """The upstream could not be reached, or its answer was cut short, malformed or too large."""


def _revived(kind: type[NoAnswer], args: tuple[Any, ...], state: dict[str, Any]) -> NoAnswer:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


FAILURES: dict[str, type[FailureAttested]] = {"timeout": TimeoutAttested, "tls": TlsFailureAttested}
