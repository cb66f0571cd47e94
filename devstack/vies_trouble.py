"""The numbers that make the VIES stand-in fail, in every member state, for checkVat and for check-vat-number of REST.

A number is six zeros and three digits. With the three digits of one of the test service's faults (vies_register,
FAULT_NUMBERS) it is that fault here too: 000000301 is MS_UNAVAILABLE, 000000201 INVALID_INPUT, and so on for 202, 300,
302, 400, 401, 500, 501, 600 and 601. The nine hundreds are wrong answers:

    000000901  a maintenance page with status 200       000000908  `valid` that is no boolean
    000000902  nothing, with status 200                 000000909  the answer, cut short
    000000903  a page with status 503                   000000910  a document type with entities; JSON: a key twice
    000000904  status 429                               000000911  not valid, and a comment (JSON: a text) that says so
    000000905  another number                           000000912  a fault with status 500, MS_UNAVAILABLE
    000000906  another country                          000000913  a fault that does not say which
    000000907  no `valid`                               000000914  status 301 to a page
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from devstack import vies_xml
from devstack.trouble import Trouble, body, cut, edited, page
from devstack.upstream import Response

_VALID_ELEMENT = rb"<ns2:valid>[a-z]+</ns2:valid>"
_ENTITIES = b'<!DOCTYPE x [<!ENTITY a "true"><!ENTITY b "&a;&a;">]>\n<env:Envelope'


def _either(xml: Trouble, json: Trouble) -> Trouble:
    return lambda answer: (xml if answer.body.startswith(b"<") else json)(answer)


def _moved(answer: Response) -> Response:
    headers = (("Location", "https://ec.europa.eu/maintenance.html"),)
    return replace(page(301, b"")(answer), headers=headers)


WRONG_ANSWERS: Mapping[str, Trouble] = {
    "000000901": page(200),
    "000000902": body(b""),
    "000000903": page(503),
    "000000904": page(429, b"Too Many Requests"),
    "000000905": edited(rb"000000905", rb"000000509"),
    "000000906": edited(rb'(>|")[A-Z]{2}(<|")', rb"\1SM\2"),
    "000000907": _either(edited(_VALID_ELEMENT, b""), edited(rb'"valid" : [a-z]+,', b"")),
    "000000908": _either(
        edited(_VALID_ELEMENT, b"<ns2:valid>NO</ns2:valid>"), edited(rb'("valid" : )[a-z]+', rb'\1"no"')
    ),
    "000000909": cut,
    "000000910": _either(edited(rb"<env:Envelope", _ENTITIES), edited(rb"\n}", b',\n  "valid" : true\n}')),
    "000000911": _either(
        edited(_VALID_ELEMENT, b"<!-- <valid>true</valid> --><ns2:valid>false</ns2:valid>"),
        edited(rb'"name" : "---"', rb'"name" : "\\"valid\\" : true"'),
    ),
    "000000912": _either(
        body(vies_xml.fault("env:Server", "MS_UNAVAILABLE").encode(), 500),
        body(b'{"actionSucceed" : false, "errorWrappers" : [ {"error" : "MS_UNAVAILABLE"} ]}', 500),
    ),
    "000000913": _either(
        edited(rb"<ns2:checkVatResponse.*</ns2:checkVatResponse>", b"<env:Fault/>"),
        body(b'{"actionSucceed" : false}'),
    ),
    "000000914": _moved,
}


def as_ordered(number: str, answer: Response) -> Response:
    """Return the answer about this number, or the wrong one that the table above has for it."""
    trouble = WRONG_ANSWERS.get(number)
    return answer if trouble is None else trouble(answer)
