"""SOAP 1.1 envelopes: the one element in the Body of an answer, and what a Fault says.

Source: https://www.w3.org/TR/2000/NOTE-SOAP-20000508/ sections 4 and 4.4, read strictly: an optional Header, one Body,
one element in it, no text but blanks around them. What is in the Header is not read.
"""

from enclave_worker.handlers.xml_tree import BLANKS, Element, parse, refuse

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
FAULT = f"{ENVELOPE} Fault"


def content(data: bytes) -> Element:
    """Return the one element in the Body: an answer or a Fault.

    Raises:
        OperationFailed: `upstream-malformed`, for anything but one such envelope.
    """
    envelope = parse(data)
    if envelope.name != f"{ENVELOPE} Envelope":
        refuse("the XML is no SOAP 1.1 envelope")
    names = [part.name for part in without_text(envelope)]
    if names not in ([f"{ENVELOPE} Body"], [f"{ENVELOPE} Header", f"{ENVELOPE} Body"]):
        refuse("the envelope does not hold an optional Header and one Body")
    inside = without_text(envelope.children[-1])
    if len(inside) != 1:
        refuse(f"the Body holds {len(inside)} elements, expected one")
    return inside[0]


def fault_string(fault: Element) -> str:
    """Return the text of the Fault's one faultstring without the blanks around it; "" where there is not just one."""
    texts = [part.text for part in fault.children if part.name == "faultstring"]
    return texts[0].strip(BLANKS) if len(texts) == 1 else ""


def without_text(element: Element) -> tuple[Element, ...]:
    """Return the children of an element that may hold nothing else.

    Raises:
        OperationFailed: `upstream-malformed`: there is text between them.
    """
    if element.text.strip(BLANKS):
        refuse("there is text where only elements may be")
    return element.children
