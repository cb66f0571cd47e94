"""Statements of a whole worker, verified, and derived from the bodies that the stand-ins sent: nothing contradicts."""

import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devstack import gnosis, hmrc, hmrc_trouble, monerium, sicae, stripe, vies, vies_trouble
from devstack.soft_nsm import SoftNsm
from devstack.tls_pki import Authority
from devstack.upstream import Handler, Request, Response, UpstreamServer
from enclave_worker.handlers import HANDLERS
from enclave_worker.log import Log
from enclave_worker.upstream.tls import client_context
from enclave_worker.worker import Worker
from policy import manifest
from policy.manifest import Upstream
from tests.sealing import sealer
from tytle_verifier import Derived, Policy, Release, TestPkiRoot, TlsDemands, derive, live, verify_reply

SERVICES = Path(__file__).parent.parent / "services"
STAND_INS: dict[str, dict[str, Handler]] = {
    "vies": {vies.HOST: vies.Vies(), hmrc.HOST: hmrc.Hmrc()},
    "sicae": {sicae.HOST: sicae.Sicae()},
    "stripe-payment": {stripe.HOST: stripe.Stripe()},
    "monerium-payment": {monerium.HOST: monerium.Monerium(), gnosis.HOST: gnosis.Gnosis(growth=1)},
}


@dataclass(kw_only=True)
class Service:
    """A worker, its evidence's root, and the bodies that its upstreams sent since the last question."""

    worker: Worker
    name: str
    root: TestPkiRoot
    bodies: list[bytes] = field(default_factory=list)

    def derived(self, operation: str, params: dict[str, Any], **more: Any) -> Derived:
        self.bodies.clear()
        client = sealer(self.worker, service=self.name)
        client.seal({"id": "q", "service": self.name, "operation": operation, "params": params, **more})
        reply = client.open(self.worker.answer(client.frame()))
        policy = accepting(self.name, reply["attestation"]["pcrs"])
        return derive(verify_reply(json.dumps(reply).encode(), policy=policy, time=live(), root=self.root), self.bodies)


@contextlib.contextmanager
def running(name: str) -> Iterator[Service]:
    authority, nsm, bodies = (None if name == "sicae" else Authority()), SoftNsm(), list[bytes]()
    handlers = {host: noted(each, bodies) for host, each in STAND_INS[name].items()}
    with UpstreamServer(handlers, authority=authority) as at:

        def dial(_: Upstream, deadline: float) -> socket.socket:
            return socket.create_connection(at.address, timeout=2)

        shipped = manifest.load((SERVICES / f"{name}.toml").read_bytes())
        roots = (authority or Authority()).roots_pem
        worker = Worker(
            manifest=shipped,
            operations=HANDLERS[name],
            exchange=nsm.exchange,
            dial=dial,
            tls=client_context(roots),
            log=Log(name, stream=StringIO()),
        )
        root = x509.load_pem_x509_certificate(nsm.pki.root_pem.encode()).public_bytes(Encoding.DER)
        try:
            yield Service(worker=worker, name=name, root=TestPkiRoot(root), bodies=bodies)
        finally:
            worker.close()


def noted(handler: Handler, bodies: list[bytes]) -> Handler:
    def answer(request: Request) -> Response:
        response = handler(request)
        bodies.append(response.body)
        return response

    return answer


def accepting(name: str, shown: dict[str, str]) -> Policy:
    pcrs = {index: bytes.fromhex(shown[f"pcr{index}"]) for index in (0, 1, 2)}
    return Policy(
        service=name,
        releases=(Release(commit="c" * 40, pcrs=pcrs),),
        tls=TlsDemands(plain_http_hosts=frozenset({sicae.HOST})),
    )


@pytest.fixture(scope="module", params=sorted(STAND_INS))
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with running(request.param) as made:
        yield made


GB = {"accessToken": "bb7fed3fe10dd235a2ccda3d50fb"}
KEY = {"apiKey": stripe.KEY}
ORDER = {"accessToken": monerium.TOKEN}
ASKED: dict[str, list[tuple[str, dict[str, Any], str | None]]] = {
    "vies": [
        *(
            (operation, {"countryCode": country, "vatNumber": number}, error)
            for operation in ("vies.check_vat", "vies.check_vat_rest")
            for country, number, error in (
                ("PT", "507172230", None),
                ("PT", "999999990", None),
                ("DE", "000000301", "upstream-unavailable"),
            )
        ),
        ("vies.check_vat", {"countryCode": "DE", "vatNumber": "000000901"}, "upstream-malformed"),
        ("hmrc.lookup", {"vatNumber": "553557881", **GB}, None),
        ("hmrc.lookup", {"vatNumber": "999999999", **GB}, None),
        ("hmrc.lookup", {"vatNumber": "553557881", "accessToken": "another"}, "upstream-unauthorised"),
    ],
    "sicae": [
        ("sicae.lookup", {"nif": "513032525"}, None),
        ("sicae.lookup", {"nif": "980494796"}, None),
        ("sicae.lookup", {"nif": "308203811"}, None),
    ],
    "stripe-payment": [
        ("stripe.list_charges", {**KEY, "queryParams": {"limit": 3, "created[gte]": 1}}, None),
        ("stripe.list_customers", KEY, None),
        ("stripe.list_invoices", KEY, None),
        ("stripe.get_charge", {**KEY, "resourceId": "ch_3Dev00000000000000000024"}, None),
        ("stripe.get_charge", {**KEY, "resourceId": "ch_nobody"}, None),
        ("stripe.get_account", {"apiKey": "sk_test_wrong", "resourceId": "acct_1"}, "upstream-unauthorised"),
    ],
    "monerium-payment": [
        ("monerium.order_with_balance", {**ORDER, "orderId": monerium.ORDER_ID}, None),
        ("monerium.order_with_balance", {**ORDER, "orderId": "nobody"}, None),
        ("monerium.order_with_balance", {"accessToken": "x", "orderId": monerium.ORDER_ID}, "upstream-unauthorised"),
    ],
}
RECORDS = {"vies": "VIES", "sicae": "SICAE", "stripe-payment": "STRIPE_PAYMENT", "monerium-payment": "MONERIUM_PAYMENT"}


def test_what_a_worker_attests_follows_from_its_upstreams_bodies(service: Service) -> None:
    name = service.name
    for operation, params, error in ASKED[name]:
        for more in ({}, {"schema": RECORDS[name]}):
            derived = service.derived(operation, params, **more)
            assert (derived.operation, derived.error) == (operation, error)
            assert (derived.values is None) is (error is not None)


@pytest.mark.parametrize("operation", ["vies.check_vat", "vies.check_vat_rest"])
def test_whatever_is_wrong_with_vies_both_sides_say_the_same(operation: str) -> None:
    with running("vies") as service:
        for number in vies_trouble.WRONG_ANSWERS:
            service.derived(operation, {"countryCode": "DE", "vatNumber": number})


def test_whatever_is_wrong_with_hmrc_both_sides_say_the_same() -> None:
    with running("vies") as service:
        for number in (*hmrc_trouble.WRONG_ANSWERS, *hmrc.PROBLEM_NUMBERS):
            service.derived("hmrc.lookup", {"vatNumber": number, **GB})
