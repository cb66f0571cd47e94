"""The parent's own errors, always JSON: `{success: false, error, code, requestId}`. Never HTML, never a stack trace."""

from flask import Flask, Response, g, jsonify
from werkzeug.exceptions import HTTPException

from app.log import Log, of_caller, place

CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}


class ApiError(Exception):
    """An answer other than 200. `error` is for a person and holds nothing secret, `code` is for a program."""

    def __init__(
        self, status: int, code: str, error: str, *, retry_after: int | None = None, challenge: str | None = None
    ) -> None:
        super().__init__(error)
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.challenge = challenge  # the header WWW-Authenticate of a 401


def install(app: Flask, log: Log) -> None:
    """Make every error of `app` an answer of this module's form."""

    @app.errorhandler(ApiError)
    def api_error(error: ApiError) -> Response:
        log.event("refused", requestId=g.request_id, **of_caller(g.get("caller")), status=error.status, code=error.code)
        response = _answer(error.status, error.code, str(error))
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(error.retry_after)
        if error.challenge is not None:
            response.headers["WWW-Authenticate"] = error.challenge
        return response

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        status = error.code or 500
        log.event("refused", requestId=g.request_id, status=status, code=CODES.get(status, "http_error"))
        response = _answer(status, CODES.get(status, "http_error"), error.description or error.name)
        for name, value in error.get_headers():
            if name.lower() == "allow":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def bug(error: Exception) -> Response:
        log.event(
            "internal error", requestId=g.request_id, error=type(error).__name__, where=place(error.__traceback__)
        )
        return _answer(500, "internal_error", "Internal error; the log has it under this requestId")


def _answer(status: int, code: str, error: str) -> Response:
    response = jsonify(success=False, error=error, code=code, requestId=g.request_id)
    response.status_code = status
    return response
