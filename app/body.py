"""A request's body: JSON in UTF-8, read to its end, of a limited size."""

from collections.abc import Callable
from typing import TypeVar

from flask import Request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.wsgi import get_content_length

from app.application import asked, here
from app.config import MAX_REQUEST_BYTES
from app.errors import ApiError
from policy.errors import Refused
from wire.errors import MessageError
from wire.messages import Call
from wire.queries import Query

MEDIA_TYPE = "application/json"
READ_BYTES = 64 * 1024

_T = TypeVar("_T")


def read(decode: Callable[[bytes], _T]) -> _T:
    """Return what `decode` makes of the body of the request at hand.

    `decode` may raise MessageError and policy.errors.Refused, which become the 400 that names what is wrong.

    Raises:
        ApiError, RequestEntityTooLarge: 400, 408, 413, 415.
    """
    request = asked()
    _check_media_type(request)
    try:
        return decode(_whole(request))
    except (OSError, ClientDisconnected) as exc:
        raise _cut_short(exc) from exc
    except ParseException as exc:
        raise ApiError(400, "bad_request", "The body's chunks are malformed") from exc
    except MessageError as exc:
        raise ApiError(400, "bad_request", str(exc)) from exc
    except Refused as exc:
        raise ApiError(400, exc.reason, str(exc)) from exc


def name(message: Call | Query) -> str:
    """Return the id of the request: its caller's choice, if one was made, which log and answer's header use as well."""
    state = here()
    if message.id is not None:
        state.request_id = message.id
    return state.request_id  # type: ignore[no-any-return]


def _check_media_type(request: Request) -> None:
    """Return where the request's headers say JSON in UTF-8. Raises: ApiError."""
    if request.environ.get("CONTENT_TYPE") != MEDIA_TYPE:  # with parameters, or in other letters
        charset = request.mimetype_params.get("charset", "utf-8").lower()
        if request.mimetype != MEDIA_TYPE or charset not in ("utf-8", "utf8"):
            raise ApiError(415, "unsupported_media_type", "Send application/json in UTF-8")
    if request.environ.get("HTTP_CONTENT_ENCODING") not in (None, "", "identity"):
        raise ApiError(415, "unsupported_media_type", "Send the JSON without a content coding")


def _cut_short(error: Exception) -> ApiError:
    """Return the answer to a request without its end: silence or a drip (app.patience), or a lost caller."""
    silent = (BlockingIOError, TimeoutError)  # without TLS, and with it
    if isinstance(error, silent) or isinstance(error.__context__, silent):
        return ApiError(408, "request_timeout", "The rest of the request did not come")
    return ApiError(400, "bad_request", "The request was cut short")


def _whole(request: Request) -> bytes:
    """Return the request's body: at once where its length is known and allowed."""
    length = get_content_length(request.environ)
    if length is None or length > MAX_REQUEST_BYTES:
        return _read_on(request)
    data: bytes = request.environ["wsgi.input"].read(length)
    if len(data) < length:
        raise ClientDisconnected
    return data


def _read_on(request: Request) -> bytes:
    """Return the request's body.

    One that is too large is read on, up to the application's MAX_CONTENT_LENGTH, and dropped: a caller that is still
    sending would see a broken connection instead of the answer. Werkzeug alone would cut a chunked body short in
    silence.
    """
    body = bytearray()
    too_large = False
    while chunk := request.stream.read(READ_BYTES):
        too_large = too_large or len(body) + len(chunk) > MAX_REQUEST_BYTES
        if not too_large:
            body += chunk
    if too_large:
        raise RequestEntityTooLarge
    return bytes(body)
