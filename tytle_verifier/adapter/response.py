"""What was verified -> what `requests` makes a Response from. Of all that, only the reason phrase is not signed.

The statement's headers are used, complete, in order and repeated where they were repeated, so that cookies and joined
headers come out as from a socket; the reply's own `headers` object is a courier's copy. Content-Encoding is undone by
`Response.content` as usual; what is verified are the bytes before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from email.message import Message
from http.client import responses as reasons
from io import BytesIO

from requests import Response
from urllib3 import HTTPHeaderDict, HTTPResponse

from tytle_verifier.verify import VerifiedReply


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """What was verified, and the bytes to keep so that anybody can verify it again.

    `reply` is the parent's answer as received. `call` is the request as sent, `load_request` reads it: whoever has it
    can check what was asked, and learns the request's secrets.
    """

    verified: VerifiedReply
    reply: bytes = field(repr=False)
    call: bytes = field(repr=False)


def attestation_of(response: Response) -> Attestation:
    """Return `response.attestation`, typed. Raises: ValueError where the response did not come through the adapter.

    Look at `response.history` too where redirects matter. A response that was pickled has lost its attestation.
    """
    attestation = getattr(response, "attestation", None)
    if not isinstance(attestation, Attestation):
        raise ValueError("this response is not attested")
    return attestation


def raw(verified: VerifiedReply, *, method: str | None) -> HTTPResponse:
    """Return the attested answer as urllib3 would hand it to `requests`. Raises: AttestedFailure."""
    response = verified.response
    headers, message = HTTPHeaderDict(), Message()
    for name, value in response.headers:
        headers.add(name, value.decode("latin-1"))
        message[name] = value.decode("latin-1")
    return HTTPResponse(
        body=BytesIO(verified.body),
        headers=headers,
        status=response.status,
        version=11,  # the enclave speaks HTTP/1.1 only
        version_string="HTTP/1.1",
        reason=reasons.get(response.status, ""),
        preload_content=False,
        decode_content=False,
        original_response=_CookieSource(message),  # type: ignore[arg-type]  # only these three names of it are used
        request_method=method,  # an answer to HEAD may name the length of a body that it does not have
    )


class _CookieSource:
    """Stands where urllib3 keeps http.client's response: `requests` takes cookies from its `msg` and nothing else."""

    def __init__(self, msg: Message) -> None:
        self.msg = msg

    def isclosed(self) -> bool:
        return True

    def close(self) -> None:
        pass
