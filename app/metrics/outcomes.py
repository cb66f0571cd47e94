"""How a request ended, in one word of a fixed list: the label `outcome`.

`success` is an attested answer of the upstream's, whatever its status; `upstream_failure` an attested failure, or an
answer that could not be attested. `refused` is what parent or enclave do not allow. `unreachable` is an enclave that
broke off, `busy` a place that was not to be had, `limited` a caller beyond its limits.
"""

SUCCESS = "success"
UPSTREAM_FAILURE = "upstream_failure"
REFUSED = "refused"
BUSY = "busy"
LIMITED = "limited"
UNREACHABLE = "unreachable"
DEADLINE = "deadline"
BAD_REQUEST = "bad_request"
UNAUTHORISED = "unauthorised"
NOT_FOUND = "not_found"
INTERNAL_ERROR = "internal_error"

OUTCOMES = (
    SUCCESS,
    UPSTREAM_FAILURE,
    REFUSED,
    BUSY,
    LIMITED,
    UNREACHABLE,
    DEADLINE,
    BAD_REQUEST,
    UNAUTHORISED,
    NOT_FOUND,
    INTERNAL_ERROR,
)

OF_A_SERVICE = (SUCCESS, UPSTREAM_FAILURE, REFUSED, BUSY, LIMITED, UNREACHABLE, DEADLINE, INTERNAL_ERROR)

_OF_HTTP = {
    401: UNAUTHORISED,
    403: REFUSED,
    404: NOT_FOUND,
    405: NOT_FOUND,
    429: LIMITED,
    502: UNREACHABLE,
    503: BUSY,
    504: DEADLINE,
}
_OF_REPLY = {502: UPSTREAM_FAILURE, 503: BUSY, 504: UPSTREAM_FAILURE}


def of_http(status: int) -> str:
    """Return the outcome of a request that the parent answered itself, by the answer's HTTP status."""
    if status < 400:
        return SUCCESS
    return _OF_HTTP.get(status, BAD_REQUEST if status < 500 else INTERNAL_ERROR)


def of_reply(*, success: bool, status: int | None) -> str:
    """Return the outcome of a request that an enclave answered, by what its reply says."""
    if success:
        return SUCCESS
    return REFUSED if status is None else _OF_REPLY.get(status, REFUSED)
