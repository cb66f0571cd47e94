"""The XML of VIES: the WSDL in its published shape, SOAP 1.1 calls read, answers and faults written.

Rule: calls are read by an XML parser and by namespace, never by prefix or by pattern. Answers carry the
prefixes that the service has used since August 2022 (env, ns2) and no XML declaration. The long text of
the Commission's WSDL (its disclaimer) is left out; names, types, patterns and bindings are all there.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree
from xml.sax.saxutils import escape

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
SERVICE = "urn:ec.europa.eu:taxud:vies:services:checkVat"
TYPES = f"{SERVICE}:types"

TRADER_FIELDS = ("traderName", "traderCompanyType", "traderStreet", "traderPostcode", "traderCity")
OPERATIONS = ("checkVat", "checkVatApprox")


class NotACallError(Exception):
    """Well-formed XML, but no SOAP 1.1 envelope around one known operation."""


def parse_call(body: bytes) -> tuple[str, dict[str, str]]:
    """Returns the operation and its fields (text with surrounding blanks removed).

    Not checked: the order of the fields and xsi:nil. Fields outside the namespace are dropped.
    Raises: ElementTree.ParseError; NotACallError.
    """
    envelope = ElementTree.fromstring(body)  # noqa: S314 (a stand-in on loopback, 256 KiB at most)
    if envelope.tag != f"{{{SOAP}}}Envelope":
        raise NotACallError(f"root element {envelope.tag}")
    calls = [call for part in envelope.findall(f"{{{SOAP}}}Body") for call in part]
    if len(calls) != 1:
        raise NotACallError(f"{len(calls)} elements in the Body")
    namespace = f"{{{TYPES}}}"
    operation = next((name for name in OPERATIONS if calls[0].tag == namespace + name), None)
    if operation is None:
        raise NotACallError(f"operation {calls[0].tag}")
    fields = [field for field in calls[0] if field.tag.startswith(namespace)]
    return operation, {field.tag.removeprefix(namespace): (field.text or "").strip() for field in fields}


def answer(operation: str, fields: Iterable[tuple[str, str]]) -> str:
    """Writes OPERATIONResponse with these fields in this order."""
    inner = "".join(f"<ns2:{name}>{escape(value)}</ns2:{name}>" for name, value in fields)
    element = f"ns2:{operation}Response"
    return _envelope(f'<{element} xmlns:ns2="{TYPES}">{inner}</{element}>')


def fault(code: str, text: str) -> str:
    """Writes a SOAP 1.1 fault; `code` carries its prefix (env:Server, env:Client)."""
    return _envelope(
        f"<env:Fault><faultcode>{escape(code)}</faultcode><faultstring>{escape(text)}</faultstring></env:Fault>"
    )


def _envelope(inner: str) -> str:
    return f'<env:Envelope xmlns:env="{SOAP}"><env:Header/><env:Body>{inner}</env:Body></env:Envelope>'


def wsdl(service: str, location: str) -> str:
    """Writes the WSDL of `service` (checkVatService or checkVatTestService) with its endpoint."""
    return f"""\
<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:tns1="{TYPES}" \
xmlns:impl="{SERVICE}" xmlns:xsd="http://www.w3.org/2001/XMLSchema" \
xmlns:wsdlsoap="http://schemas.xmlsoap.org/wsdl/soap/" targetNamespace="{SERVICE}">
<wsdl:types>
<xsd:schema xmlns="{TYPES}" attributeFormDefault="qualified" elementFormDefault="qualified" \
targetNamespace="{TYPES}">
{"".join(_element(name, fields) for name, fields in _ELEMENTS.items())}{_SIMPLE_TYPES}</xsd:schema>
</wsdl:types>
{"".join(_message(name) for name in _ELEMENTS)}<wsdl:portType name="checkVatPortType">
{"".join(_operation(name) for name in OPERATIONS)}</wsdl:portType>
<wsdl:binding name="checkVatBinding" type="impl:checkVatPortType">
<wsdlsoap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
{"".join(_bound(name) for name in OPERATIONS)}</wsdl:binding>
<wsdl:service name="{service}">
<wsdl:port name="checkVatPort" binding="impl:checkVatBinding">
<wsdlsoap:address location="{location}"/>
</wsdl:port>
</wsdl:service>
</wsdl:definitions>
"""


# Name of a field -> its type; "?" after the type: minOccurs 0, "~": nillable as well.
_NUMBER = {"countryCode": "xsd:string", "vatNumber": "xsd:string"}
_HEAD = {**_NUMBER, "requestDate": "xsd:date", "valid": "xsd:boolean"}
_ELEMENTS: dict[str, dict[str, str]] = {
    "checkVat": _NUMBER,
    "checkVatResponse": {**_HEAD, "name": "xsd:string~", "address": "xsd:string~"},
    "checkVatApprox": {
        **_NUMBER,
        "traderName": "xsd:string?",
        "traderCompanyType": "tns1:companyTypeCode?",
        "traderStreet": "xsd:string?",
        "traderPostcode": "xsd:string?",
        "traderCity": "xsd:string?",
        "requesterCountryCode": "xsd:string?",
        "requesterVatNumber": "xsd:string?",
    },
    "checkVatApproxResponse": {
        **_HEAD,
        "traderName": "xsd:string~",
        "traderCompanyType": "tns1:companyTypeCode~",
        "traderAddress": "xsd:string?",
        "traderStreet": "xsd:string?",
        "traderPostcode": "xsd:string?",
        "traderCity": "xsd:string?",
        **{f"{name}Match": "tns1:matchCode?" for name in TRADER_FIELDS},
        "requestIdentifier": "xsd:string",
    },
}
_MATCH_CODES = {"1": "VALID", "2": "INVALID", "3": "NOT_PROCESSED"}
_SIMPLE_TYPES = (
    '<xsd:simpleType name="companyTypeCode"><xsd:restriction base="xsd:string">'
    '<xsd:pattern value="[A-Z]{2}\\-[1-9][0-9]?"/></xsd:restriction></xsd:simpleType>\n'
    '<xsd:simpleType name="matchCode"><xsd:restriction base="xsd:string">'
    + "".join(
        f'<xsd:enumeration value="{code}"><xsd:annotation><xsd:documentation>{meaning}'
        "</xsd:documentation></xsd:annotation></xsd:enumeration>"
        for code, meaning in _MATCH_CODES.items()
    )
    + "</xsd:restriction></xsd:simpleType>\n"
)


def _element(name: str, fields: dict[str, str]) -> str:
    inner = "".join(_field(field, kind) for field, kind in fields.items())
    sequence = f"<xsd:sequence>{inner}</xsd:sequence>"
    return f'<xsd:element name="{name}"><xsd:complexType>{sequence}</xsd:complexType></xsd:element>\n'


def _field(name: str, kind: str) -> str:
    optional = 'maxOccurs="1" minOccurs="0" ' if kind[-1] in "?~" else ""
    nillable = 'nillable="true" ' if kind[-1] == "~" else ""
    return f'<xsd:element {optional}name="{name}" {nillable}type="{kind.rstrip("?~")}"/>'


def _message(element: str) -> str:
    name = element if element.endswith("Response") else f"{element}Request"
    return f'<wsdl:message name="{name}"><wsdl:part name="parameters" element="tns1:{element}"/></wsdl:message>\n'


def _operation(name: str) -> str:
    return (
        f'<wsdl:operation name="{name}">'
        f'<wsdl:input name="{name}Request" message="impl:{name}Request"/>'
        f'<wsdl:output name="{name}Response" message="impl:{name}Response"/></wsdl:operation>\n'
    )


def _bound(name: str) -> str:
    return (
        f'<wsdl:operation name="{name}"><wsdlsoap:operation soapAction=""/>'
        f'<wsdl:input name="{name}Request"><wsdlsoap:body use="literal"/></wsdl:input>'
        f'<wsdl:output name="{name}Response"><wsdlsoap:body use="literal"/></wsdl:output>'
        "</wsdl:operation>\n"
    )
