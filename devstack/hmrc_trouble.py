"""The numbers that make the HMRC stand-in fail: six zeros and three digits.

    000000400  INVALID_REQUEST                          000000903  {}
    000000401  INVALID_CREDENTIALS                      000000904  null
    000000403  INVALID_SCOPE                            000000905  another number
    000000404  the platform's own 404                   000000906  no address
    000000406  ACCEPT_HEADER_INVALID                    000000907  no processing date
    000000429  MESSAGE_THROTTLED_OUT                    000000908  a key twice
    000000500  INTERNAL_SERVER_ERROR                    000000909  the answer, cut short
    000000503  a page with status 503                   000000910  a page with status 404
    000000901  a maintenance page with status 200       000000911  nothing, with status 404
    000000902  nothing, with status 200                 000000912  a framework's 404: NOT_FOUND, of a resource

Those that are HMRC's own errors stand in `hmrc.PROBLEM_NUMBERS`, the others here. 000000901 to 909 are registered, so
that there is an answer to spoil; any other number that nobody has is not registered.
"""

from __future__ import annotations

from collections.abc import Mapping

from devstack.trouble import Trouble, body, cut, edited, page
from devstack.upstream import Response

WRONG_ANSWERS: Mapping[str, Trouble] = {
    "000000503": page(503),
    "000000901": page(200),
    "000000902": body(b"", 200),
    "000000903": body(b"{}", 200),
    "000000904": body(b"null", 200),
    "000000905": edited(rb"000000905", rb"000000509"),
    "000000906": edited(rb',"address":\{[^}]*\}', b""),
    "000000907": edited(rb',"processingDate":"[^"]*"', b""),
    "000000908": edited(rb"\}$", b',"target":null}'),
    "000000909": cut,
    "000000910": page(404),
    "000000911": body(b"", 404),
    "000000912": body(b'{"code":"NOT_FOUND","message":"Resource was not found"}', 404),
}


def as_ordered(number: str, answer: Response) -> Response:
    """Return the answer about this number, or the wrong one that the table above has for it."""
    trouble = WRONG_ANSWERS.get(number)
    return answer if trouble is None else trouble(answer)
