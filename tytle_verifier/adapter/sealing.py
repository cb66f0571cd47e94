"""The sealed way through a parent: identity, sealed call, opened answer; and what each failure on it is called.

The question for the identity holds no secret and is asked once more where the parent failed. The sealed call goes out
once: whoever carries it could deliver it and say that it did not arrive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from requests import PreparedRequest
from requests.exceptions import ChunkedEncodingError, ConnectTimeout
from requests.exceptions import ConnectionError as ConnectionFailed
from urllib3.util import Retry

from tytle_verifier.adapter import hearsay
from tytle_verifier.adapter.call import Call
from tytle_verifier.adapter.errors import IdentityNotVerified, NotSendable, NotVerified
from tytle_verifier.adapter.parent import Parent
from tytle_verifier.errors import IdentityBusy, NotOpened, PolicyError, StatementError, VerificationError
from tytle_verifier.sealed import Identities, SealedCall, VerifiedIdentity
from tytle_verifier.verify import VerifiedReply

_AGAIN = frozenset({502, 503, 504})

Exchange = Callable[[PreparedRequest], tuple[int, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedWay:
    """From one adapter through one parent to the enclaves of one service."""

    parent: Parent
    service: str
    identities: Identities

    def fetch(
        self, call: Call, exchange: Exchange, *, patience_seconds: float, request: PreparedRequest
    ) -> tuple[bytes, VerifiedIdentity]:
        """Return the reply as it was inside the answer, not verified, and the identity that alone could make it.

        `exchange` sends one prepared request and returns status and body. Raises: NoAnswer, ConnectTimeout where
        another thread's question took too long, and what `exchange` raises.
        """
        sealed = self._sealed(call, exchange, patience_seconds, request)
        status, body = exchange(self.parent.sealed(sealed.data))
        if status != 200:
            raise hearsay.of_parent(status, body, request)
        try:
            return sealed.open(body), sealed.identity
        except NotOpened as error:
            raise hearsay.of_unopened(error, request) from error
        except VerificationError as error:
            raise NotVerified(error, request=request) from error

    def _sealed(self, call: Call, exchange: Exchange, patience: float, request: PreparedRequest) -> SealedCall:
        def ask(challenge: bytes) -> bytes:
            return self._identity_reply(challenge, exchange, request)

        try:
            return self.identities.seal(call.data, ask=ask, patience_seconds=patience)
        except VerificationError as error:
            raise IdentityNotVerified(error, request=request) from error
        except PolicyError as error:
            raise NotSendable(str(error), request=request) from error
        except IdentityBusy as error:
            raise ConnectTimeout(str(error), request=request) from error

    def _identity_reply(self, challenge: bytes, exchange: Exchange, request: PreparedRequest) -> bytes:
        status, body = _twice(exchange, self.parent.identity(self.service, challenge))
        if status != 200:
            raise hearsay.of_parent(status, body, request)
        refusal = hearsay.refusal(body, request)
        if refusal is not None:
            raise refusal
        return body


def check_boot(verified: VerifiedReply, identity: VerifiedIdentity) -> None:
    """Demand that the process that answered is the one whose key was verified. Raises: StatementError."""
    if verified.statement.boot != identity.boot:
        raise StatementError("boot", got=verified.statement.boot, expected=identity.boot)


def sent_once(retries: Retry) -> Retry:
    """Return the same retries, of connections only: nothing that may have reached the parent is sent again."""
    return retries.new(read=False, other=0, status_forcelist=(), respect_retry_after_header=False)


def _twice(exchange: Exchange, question: PreparedRequest) -> tuple[int, bytes]:
    try:
        status, body = exchange(question)
    except ConnectTimeout:
        raise
    except (ConnectionFailed, ChunkedEncodingError):
        return exchange(question)
    return exchange(question) if status in _AGAIN else (status, body)
