"""A PreparedRequest -> the JSON of `POST /attest/fetch`, and the same as the verifier will compare it.

What is compared afterwards is read back from the very bytes that are sent. Nothing of the caller's is dropped or
changed in silence, with these exceptions:

- `Connection: keep-alive`, the right Content-Length, `Transfer-Encoding: chunked` and the right Host: `requests` adds
  them, the enclave writes its own and refuses a caller's. Any other value of them is an error;
- brackets in the query, as in `created[gte]=1`: `requests` leaves them as they are, RFC 3986 wants them escaped, and so
  they are sent as `%5B` and `%5D`, which every reader of forms takes for brackets;
- Accept-Encoding where it equals the default of `requests`: the enclave then asks for `identity`, so that the attested
  bytes are the document itself. A value that the caller chose is sent, and the answer decoded as usual.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from requests import PreparedRequest
from requests.utils import default_headers
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from tytle_verifier.adapter.errors import NotSendable
from tytle_verifier.errors import PolicyError
from tytle_verifier.request import Request
from tytle_verifier.request import decode as load_request

MAX_BODY_BYTES = 10 * 1024 * 1024  # the parent takes no larger request, JSON and all
DEFAULT_MODE = "document"  # what a call without a mode asks for
_READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`data` is the JSON to send, `asked` what it says. Both hold the request's secrets."""

    data: bytes = field(repr=False)
    asked: Request = field(repr=False)


def encode(request: PreparedRequest, *, challenge: bytes, timeout_ms: int, mode: str = DEFAULT_MODE) -> Call:
    """Read the request whole, its body up to 10 MiB (a generator or file is consumed). Raises: NotSendable."""
    target = target_of(request)
    body = _body(request)
    fields: dict[str, object] = {
        "url": f"{target.scheme}://{target.netloc}{_path_and_query(request)}",  # no user information, no fragment
        "method": request.method,
        "headers": dict(_headers(request, target, body)),
        "challenge": base64.b64encode(challenge).decode(),
        "timeoutMs": timeout_ms,
        **({} if mode == DEFAULT_MODE else {"mode": mode}),
        **_encoded(body),
    }
    data = json.dumps(fields, separators=(",", ":")).encode()
    try:
        return Call(data=data, asked=load_request(data))
    except PolicyError as error:
        raise NotSendable(str(error), request=request) from error


def target_of(request: PreparedRequest) -> Url:
    """Return the URL in its parts; scheme and host in lower case, as `requests` sends them. Raises: NotSendable."""
    try:
        return parse_url(request.url or "")
    except LocationParseError as error:
        raise NotSendable("the URL cannot be parsed", request=request) from error


def _path_and_query(request: PreparedRequest) -> str:
    path, mark, query = request.path_url.partition("?")
    return path + mark + query.replace("[", "%5B").replace("]", "%5D")


def _headers(request: PreparedRequest, target: Url, body: bytes) -> Iterable[tuple[str, str]]:
    """Yield what the caller asked to send, in order and as spelt."""
    library: dict[str, set[str | None]] = {
        "connection": {"keep-alive"},
        "content-length": {str(len(body))},
        "transfer-encoding": {"chunked"},
        "host": {target.netloc, target.host},
    }
    for name, value in request.headers.items():
        text = _text(value)
        own = library.get(name.lower())
        if own is not None and text.lower() not in own:
            raise NotSendable(f"the enclave writes {name} itself and cannot send {text!r}", request=request)
        if own is None and not _is_default_accept_encoding(name, text):
            yield name, text


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _is_default_accept_encoding(name: str, text: str) -> bool:
    return name.lower() == "accept-encoding" and text == default_headers()["Accept-Encoding"]


def _body(request: PreparedRequest) -> bytes:
    data = bytearray()
    for part in _parts(request.body):
        if not isinstance(part, str | bytes | bytearray | memoryview):
            raise NotSendable(f"a body is made of bytes or text, not of {type(part).__name__}", request=request)
        data += part.encode() if isinstance(part, str) else part
        if len(data) > MAX_BODY_BYTES:
            raise NotSendable(f"the body has more than {MAX_BODY_BYTES} bytes", request=request)
    return bytes(data)


def _parts(body: object) -> Iterable[object]:
    """Take a body apart as urllib3 does: nothing, text (UTF-8), bytes, something to read, or an iterable."""
    if body is None:
        return ()
    if isinstance(body, str | bytes | bytearray | memoryview):
        return (body,)
    read = getattr(body, "read", None)
    if read is not None:
        return iter(lambda: read(_READ_BYTES) or b"", b"")
    return body if isinstance(body, Iterable) else (body,)


def _encoded(body: bytes) -> dict[str, str]:
    if not body:
        return {}
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "bodyEncoding": "base64"}
