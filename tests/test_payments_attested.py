"""The payment services in a whole worker, against the stand-ins: what is bound, what fails, and where no key is."""

import base64
import contextlib
import hashlib
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devstack import gnosis, monerium, stripe
from devstack.gnosis import Gnosis
from devstack.monerium import Monerium
from devstack.soft_nsm import SoftNsm
from devstack.stripe import Stripe
from devstack.tls_pki import Authority
from devstack.upstream import Handler, Response, UpstreamServer
from enclave_worker.fields import codec, records, versioned
from enclave_worker.handlers import HANDLERS
from enclave_worker.log import Log
from enclave_worker.upstream.tls import client_context
from enclave_worker.worker import Worker
from policy.manifest import Upstream
from tests.enclave_kit import statement_of
from tests.pay_kit import MANIFESTS
from tests.sealing import sealer
from tytle_verifier import Policy, Query, Release, StatementError, TestPkiRoot, live, verify_reply

CHARGE = "ch_3Dev00000000000000000024"


@dataclass(kw_only=True)
class Service:
    """A worker of a payment service and what it wrote."""

    name: str
    worker: Worker
    log: StringIO
    nsm: SoftNsm

    def sealed(self, request: Mapping[str, Any]) -> dict[str, Any]:
        client = sealer(self.worker, service=self.name)
        client.seal(dict(request))
        return client.open(self.worker.answer(client.frame()))

    def query(self, operation: str, params: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
        return self.sealed(asking(self.name, operation, params, **fields))


def asking(service: str, operation: str, params: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": "q1", "service": service, "operation": operation, "params": params, **fields}


@contextlib.contextmanager
def running(name: str, handlers: Mapping[str, Handler]) -> Iterator[Service]:
    authority, log, nsm = Authority(), StringIO(), SoftNsm()
    with UpstreamServer(handlers, authority=authority) as server:

        def dial(_: Upstream, deadline: float) -> socket.socket:
            return socket.create_connection(server.address, timeout=2)

        worker = Worker(
            manifest=MANIFESTS[name],
            operations=HANDLERS[name],
            exchange=nsm.exchange,
            dial=dial,
            tls=client_context(authority.roots_pem),
            log=Log(name, stream=log),
        )
        try:
            yield Service(name=name, worker=worker, log=log, nsm=nsm)
        finally:
            worker.close()


def stripe_service(**given: Any) -> contextlib.AbstractContextManager[Service]:
    return running("stripe-payment", {stripe.HOST: Stripe(**given)})


@pytest.fixture(scope="module")
def payments() -> Iterator[Service]:
    faults = {
        "/v1/charges/ch_busy": stripe.RATE_LIMITED,
        "/v1/charges/ch_down": stripe.BROKEN,
        "/v1/charges/ch_html": stripe.HTML,
        "/v1/charges/ch_lost": stripe.HTML_404,
        "/v1/charges/ch_moved": stripe.UNRECOGNISED,
    }
    with stripe_service(faults=faults, aliases={"ch_other": CHARGE}) as service:
        yield service


def judged(service: Service, reply: Mapping[str, Any], asked: Query) -> tuple[str, ...]:
    """What the verifier compared in step 8."""
    pcrs = {index: bytes.fromhex(reply["attestation"]["pcrs"][f"pcr{index}"]) for index in (0, 1, 2)}
    policy = Policy(service=service.name, releases=(Release(commit="c" * 40, pcrs=pcrs),))
    root = x509.load_pem_x509_certificate(service.nsm.pki.root_pem.encode()).public_bytes(Encoding.DER)
    data = json.dumps(reply).encode()
    verified = verify_reply(data, policy=policy, time=live(), root=TestPkiRoot(root), request=asked)
    return verified.report.steps[8].compared


WANTED: list[tuple[str, dict[str, Any]]] = [
    ("stripe.list_charges", {}),
    ("stripe.list_charges", {"queryParams": {}, "stripeAccount": None}),
    (
        "stripe.list_charges",
        {"queryParams": {"limit": 3, "created[gte]": str(stripe.FIRST_CREATED), "expand[]": "a.b"}},
    ),
    ("stripe.list_charges", {"queryParams": {"ending_before": "ch_3Dev00000000000000000010", "limit": "2"}}),
    ("stripe.get_charge", {"resourceId": CHARGE}),
    ("stripe.get_charge", {"resourceId": CHARGE, "queryParams": {"expand[]": "customer"}}),
]


@pytest.mark.parametrize("schema", [None, "STRIPE_PAYMENT"])
@pytest.mark.parametrize(("operation", "params"), WANTED)
def test_the_verifier_finds_what_was_asked_and_nothing_else_in_the_values(
    payments: Service, operation: str, params: dict[str, Any], schema: str | None
) -> None:
    given = {"apiKey": stripe.KEY, **params}
    reply = payments.query(operation, given, **({} if schema is None else {"schema": schema}))
    assert reply["success"]
    asked = Query(service="stripe-payment", operation=operation, params=given)
    assert any(line.startswith(f"operation {operation} as asked, ") for line in judged(payments, reply, asked))
    for other in ({"stripeAccount": "acct_1"}, {"queryParams": {"limit": 7}}, {"resourceId": "ch_other"}):
        if schema is None and not (operation.startswith("stripe.list") and "resourceId" in other):
            with pytest.raises(StatementError, match=r"result\.values\."):
                judged(payments, reply, replace(asked, params={**given, **other}))


@pytest.mark.parametrize("kind", ["charges", "customers", "invoices"])
def test_pages_follow_one_another_to_the_end(payments: Service, kind: str) -> None:
    seen, after = 0, None
    while True:
        query = {"limit": 10} if after is None else {"limit": 10, "starting_after": after}
        reply = payments.query(f"stripe.list_{kind}", {"apiKey": stripe.KEY, "queryParams": query})
        values = reply["result"]
        assert (reply["success"], values["startingAfter"], values["limit"], values["livemode"]) == (
            True,
            after,
            10,
            False,
        )
        seen, after = seen + values["count"], values["lastId"]
        if not values["hasMore"]:
            break
    assert seen == 25


def test_a_page_before_a_cursor_and_filters_by_time_are_asked_as_stripe_documents_them(payments: Service) -> None:
    query = {"ending_before": "ch_3Dev00000000000000000010", "limit": 3}
    values = payments.query("stripe.list_charges", {"apiKey": stripe.KEY, "queryParams": query})["result"]
    assert (values["firstId"], values["lastId"]) == ("ch_3Dev00000000000000000013", "ch_3Dev00000000000000000011")
    query = {"created[gte]": stripe.FIRST_CREATED + 3600 * 20, "expand[]": "data.customer"}
    values = payments.query("stripe.list_charges", {"apiKey": stripe.KEY, "queryParams": query})["result"]
    assert (values["count"], values["hasMore"]) == (5, False)


def test_a_charge_is_bound_with_its_question_its_answer_and_its_elements(payments: Service) -> None:
    reply = payments.query("stripe.get_charge", {"apiKey": stripe.KEY, "resourceId": CHARGE})
    said = statement_of(reply)
    [exchange] = said["exchanges"]
    [declared] = [each for each in MANIFESTS[payments.name].operations if each.name == "stripe.get_charge"]
    assert reply["result"] == {
        "stripeAccount": None,
        "query": None,
        "id": CHARGE,
        "found": True,
        "amount": 1024,
        "amountCaptured": 1024,
        "amountRefunded": 0,
        "currency": "eur",
        "status": "succeeded",
        "livemode": False,
        "dataHash": exchange["response"]["body"]["sha256"].hex(),
    }
    assert exchange["request"]["url"] == f"https://api.stripe.com/v1/charges/{CHARGE}"
    assert ["Authorization", None] in exchange["request"]["headers"]
    elements = base64.b64decode(reply["bn254"])
    assert said["result"]["fields"] == hashlib.sha256(elements).digest()
    assert elements == versioned.encode(declared.schema, reply["result"], time_ms=said["time"])


def test_the_predecessor_s_record_is_given_where_it_is_asked_for(payments: Service) -> None:
    params = {"apiKey": stripe.KEY, "stripeAccount": stripe.CONNECTED}
    reply = payments.query("stripe.list_charges", params, schema="STRIPE_PAYMENT")
    digest = statement_of(reply)["exchanges"][0]["response"]["body"]["sha256"].hex()
    expected = {
        "operation": "list_charges",
        "accountId": stripe.CONNECTED,
        "objectType": "list",
        "dataHash": digest,
        "totalCount": 10,
        "hasMore": 1,
    }
    assert reply["result"] == expected
    assert base64.b64decode(reply["bn254"]) == records.encode(records.RECORDS["STRIPE_PAYMENT"], expected)  # type: ignore[arg-type]


def test_an_account_and_a_payment_intent_are_read_too(payments: Service) -> None:
    account = payments.query("stripe.get_account", {"apiKey": stripe.KEY, "resourceId": stripe.CONNECTED})["result"]
    assert (account["country"], account["chargesEnabled"], account["payoutsEnabled"]) == ("PT", True, False)
    params = {"apiKey": stripe.KEY, "resourceId": "pi_3Dev00000000000000000007"}
    intent = payments.query("stripe.get_payment_intent", params)["result"]
    assert (intent["amount"], intent["amountReceived"], intent["status"]) == (1007, 1007, "succeeded")


def test_that_a_charge_does_not_exist_is_attested(payments: Service) -> None:
    reply = payments.query("stripe.get_charge", {"apiKey": stripe.KEY, "resourceId": "ch_nonexistent"})
    assert (reply["success"], reply["result"]["found"]) == (True, False)
    assert statement_of(reply)["exchanges"][0]["response"]["status"] == 404


@pytest.mark.parametrize(
    ("resource", "code"),
    [
        ("ch_other", "upstream-mismatch"),
        ("ch_busy", "upstream-unavailable"),
        ("ch_down", "upstream-unavailable"),
        ("ch_html", "upstream-unavailable"),
        ("ch_lost", "upstream-malformed"),
        ("ch_moved", "upstream-fault"),
    ],
)
def test_an_answer_that_is_no_result_is_attested_as_such(payments: Service, resource: str, code: str) -> None:
    reply = payments.query("stripe.get_charge", {"apiKey": stripe.KEY, "resourceId": resource})
    said = statement_of(reply)
    assert (reply["success"], "result" in reply, reply["code"]) == (False, False, code)
    assert (said["result"]["error"], len(said["exchanges"])) == (code, 1)


def test_a_wrong_key_and_a_foreign_account_are_attested_as_unauthorised(payments: Service) -> None:
    for params in (
        {"apiKey": "sk_test_wrongWRONGwrong"},
        {"apiKey": stripe.KEY, "stripeAccount": "acct_unknown"},
    ):
        reply = payments.query("stripe.list_charges", params)
        assert statement_of(reply)["result"]["error"] == "upstream-unauthorised"


def test_a_query_in_clear_is_refused_before_anything_is_asked(payments: Service) -> None:
    question = asking("stripe-payment", "stripe.list_charges", {"apiKey": stripe.KEY})
    reply = json.loads(payments.worker.answer(json.dumps(question).encode()))
    assert (reply["status"], reply["code"], "attestation" in reply) == (403, "sealed.required", False)


def test_the_key_is_in_no_reply_no_statement_and_no_line_of_the_log() -> None:
    planted = "sk_live_hunter2PLANTED"
    with stripe_service(key=planted) as service:
        replies = [
            service.query("stripe.list_charges", {"apiKey": planted}),
            service.query("stripe.get_charge", {"apiKey": planted, "resourceId": "ch_none"}),
            service.query("stripe.get_charge", {"apiKey": f"{planted}WRONG", "resourceId": CHARGE}),
            service.query("stripe.get_charge", {"apiKey": f"{planted}\r\n", "resourceId": CHARGE}),
            service.query("stripe.get_charge", {"apiKey": planted, "resourceId": f"{planted}/.."}),
            service.query("stripe.list_charges", {"apiKey": planted, "queryParams": {"q": planted}}),
        ]
    told = "".join(map(json.dumps, replies)) + service.log.getvalue()
    statements = b"".join(
        base64.b64decode(reply["attestation"][key])
        for reply in replies
        if "attestation" in reply
        for key in ("statement", "nsmDocument")
    )
    assert [reply["success"] for reply in replies] == [True, True, False, False, False, False]
    assert "PLANTED" not in told
    assert b"PLANTED" not in statements


def order_service(orders: Monerium | None = None, node: Gnosis | None = None) -> Any:
    return running("monerium-payment", {monerium.HOST: orders or Monerium(), gnosis.HOST: node or Gnosis()})


def balance_of(service: Service, order_id: str = monerium.ORDER_ID, **fields: Any) -> dict[str, Any]:
    params = {"accessToken": monerium.TOKEN, "orderId": order_id}
    return service.query("monerium.order_with_balance", params, **fields)


def test_an_order_and_the_balance_of_a_named_block_are_three_exchanges() -> None:
    node = Gnosis(growth=10**18)
    with order_service(node=node) as service:
        first, second = balance_of(service), balance_of(service)
        legacy = balance_of(service, schema="MONERIUM_PAYMENT")
    said = statement_of(first)
    assert [each["request"]["url"] for each in said["exchanges"]] == [
        f"https://api.monerium.app/orders/{monerium.ORDER_ID}",
        "https://rpc.gnosischain.com/",
        "https://rpc.gnosischain.com/",
    ]
    assert ["Authorization", None] in said["exchanges"][0]["request"]["headers"]
    assert first["result"]["blockNumber"] == gnosis.FIRST_BLOCK + 1
    assert first["result"]["blockTime"] == gnosis.FIRST_TIME + 5
    assert [int(each["result"]["balance"]) for each in (first, second)] == [101 * 10**18, 102 * 10**18]
    assert legacy["result"].keys() == {"orderId", "state", "orderAmount", "currency", "balance", "dataHash"}
    assert legacy["result"]["state"] == "processed"
    assert monerium.TOKEN not in json.dumps([first, second, legacy]) + service.log.getvalue()
    assert monerium.TOKEN.encode() not in base64.b64decode(first["attestation"]["statement"])


def test_the_fields_of_the_predecessor_are_those_of_the_last_call() -> None:
    with order_service() as service:
        shown = balance_of(service)["attestation"]
    headers = '{"Content-Type":"application/json","Accept":"application/json"}'
    request = f"https://{gnosis.HOST}/|POST|{headers}"
    assert (shown["apiEndpoint"], shown["apiMethod"]) == (f"{gnosis.HOST}/", "POST")
    assert shown["requestHash"] == hashlib.sha256(request.encode()).hexdigest()


def test_that_an_order_does_not_exist_is_attested_after_one_call() -> None:
    with order_service() as service:
        reply = balance_of(service, "nonexistent-order")
    assert (reply["success"], reply["result"]["found"]) == (True, False)
    assert len(statement_of(reply)["exchanges"]) == 1


def moved(**faults: Response) -> Gnosis:
    return Gnosis(faults=faults)


@pytest.mark.parametrize(
    ("orders", "node", "code"),
    [
        (Monerium(token="another"), None, "upstream-unauthorised"),
        (Monerium(faults={monerium.ORDER_ID: monerium.RATE_LIMITED}), None, "upstream-unavailable"),
        (Monerium(faults={monerium.ORDER_ID: monerium.HTML}), None, "upstream-unavailable"),
        (Monerium(aliases={monerium.ORDER_ID: monerium.order(1)["id"]}), None, "upstream-mismatch"),
        (Monerium(orders=(monerium.order(chain="polygon"),)), None, "upstream-mismatch"),
        (Monerium(orders=(monerium.order(currency="usd"),)), None, "upstream-mismatch"),
        (Monerium(orders=(monerium.order(amount=100.5),)), None, "upstream-malformed"),
        (None, moved(eth_getBlockByNumber=gnosis.HTML), "upstream-unavailable"),
        (None, moved(eth_call=gnosis.failure(-32000, "execution reverted")), "upstream-fault"),
        (None, moved(eth_call=gnosis.failure(-32005, "limit exceeded")), "upstream-unavailable"),
        (None, Gnosis(latest_only=True), "upstream-fault"),
        (None, Gnosis(balances={monerium.ADDRESS: codec.ORDER}), "unencodable"),
    ],
)
def test_an_answer_on_the_way_that_is_no_result_is_attested_as_such(
    orders: Monerium | None, node: Gnosis | None, code: str
) -> None:
    with order_service(orders, node) as service:
        reply = balance_of(service)
    assert (reply["success"], reply["code"], statement_of(reply)["result"]["error"]) == (False, code, code)
