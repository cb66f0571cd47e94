"""What a caller and a relying party of the two machines do: ask the parent, verify what comes."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import tytle_verifier
from devstack import vies_xml
from devstack.two_machines import TwoMachines
from eif.measure import Measurements
from policy.manifest import Manifest
from tests.e2e.test_verified import POLICY, pinned
from tytle_verifier import TestPkiRoot, VerifiedReply

SOAP = {
    "url": "https://ec.europa.eu/taxation_customs/vies/services/checkVatService",
    "method": "POST",
    "headers": {"Content-Type": "text/xml;charset=UTF-8", "SOAPAction": ""},
    "body": f'<e:Envelope xmlns:e="{vies_xml.SOAP}"><e:Body><checkVat xmlns="{vies_xml.TYPES}"><countryCode>PT'
    "</countryCode><vatNumber>507172230</vatNumber></checkVat></e:Body></e:Envelope>",
}


def ask(machines: TwoMachines, call: dict[str, Any], **more: object) -> tuple[bytes, requests.Response]:
    """POST the call with a fresh challenge; return what was sent and what came."""
    sent = json.dumps({**call, **more, "challenge": base64.b64encode(os.urandom(32)).decode()}).encode()
    json_type = {"Content-Type": "application/json"}
    return sent, requests.post(f"{machines.url}/attest/fetch", data=sent, headers=json_type, timeout=150)


def root_of(machines: TwoMachines) -> TestPkiRoot:
    certificate = x509.load_pem_x509_certificate(Path(machines.root_pem).read_bytes())
    return TestPkiRoot(certificate.public_bytes(Encoding.DER))


def verify(
    machines: TwoMachines, image: Measurements, sent: bytes, received: bytes, policy: Manifest = POLICY
) -> VerifiedReply:
    return tytle_verifier.verify_reply(
        received,
        policy=pinned(image, policy),
        time=tytle_verifier.live(),
        root=root_of(machines),
        request=tytle_verifier.load_request(sent),
    )
