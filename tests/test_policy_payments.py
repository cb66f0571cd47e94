"""services/stripe-payment.toml and monerium-payment.toml: the calls of the handlers and SDKs, and none beside them."""

import pytest

from policy.errors import NotAllowed, Refused
from policy.rules import check_operation_sealed, decide
from tests.pay_kit import MANIFESTS

STRIPE = "https://api.stripe.com/v1"
MONERIUM = "https://api.monerium.app"
RPC = "https://rpc.gnosischain.com/"
KEY = ("Authorization", "Bearer sk_test_hunter2")
SDK = [
    ("X-Stripe-Client-User-Agent", '{"bindings_version": "16.1.0", "lang": "python"}'),
    ("User-Agent", "Stripe/v1 PythonBindings/16.1.0"),
    KEY,
    ("Stripe-Account", "acct_1032D82eZvKYlo2C"),
    ("Stripe-Version", "2026-10-28.endive"),
    ("X-Stripe-Client-Telemetry", '{"last_request_metrics": {"request_id": "req_1"}}'),
    ("Accept", "*/*"),
]
JSON = [("Content-Type", "application/json")]
ID = "ch_3Ln3fO2eZvKYlo2C1kqP3AMr"

Case = tuple[str, str, str, list[tuple[str, str]], bytes | None]

ALLOWED: list[Case] = [
    *(
        ("stripe-payment", "GET", f"{STRIPE}/{path}", SDK, None)
        for path in (
            "charges",
            "charges?limit=3&starting_after=ch_1&created%5Bgte%5D=1&created%5Blt%5D=2&customer=cus_1",
            "charges?expand%5B0%5D=data.customer",
            "charges?expand%5B%5D=data.customer&expand%5B%5D=data.invoice",
            f"charges/{ID}",
            f"charges/{ID}?expand%5B%5D=customer",
            "customers?email=a%40b.c",
            "customers/cus_NffrFeUfNV2Hib",
            "invoices?status=paid&subscription=sub_1&due_date%5Blte%5D=1",
            "invoices/in_1MtHbELkdIwHu7ixl4OzzPMv",
            "payment_intents?customer=cus_1",
            "payment_intents/pi_3MtwBwLkdIwHu7ix28a3tqPa",
            "accounts/acct_1032D82eZvKYlo2C",
            "account",
        )
    ),
    ("stripe-payment", "GET", f"{STRIPE}/charges", [("Stripe-Context", "acct_1/acct_2"), KEY], None),
    ("monerium-payment", "GET", f"{MONERIUM}/orders/a1b2c3d4-e5f6-7890-abcd-ef1234567890", [KEY], None),
    ("monerium-payment", "POST", RPC, JSON, b"{}"),
]

REFUSED: list[tuple[*Case, str]] = [
    ("stripe-payment", "POST", f"{STRIPE}/charges", SDK, None, "method.not-allowed"),
    ("stripe-payment", "DELETE", f"{STRIPE}/customers/cus_1", SDK, None, "method.not-allowed"),
    ("stripe-payment", "GET", f"{STRIPE}/charges", [*SDK, *JSON], None, "header.not-allowed"),
    ("stripe-payment", "GET", f"{STRIPE}/charges", [("Cookie", "a=b")], None, "header.not-allowed"),
    ("stripe-payment", "GET", f"{STRIPE}/charges", SDK, b"limit=1", "body.not-allowed"),
    ("stripe-payment", "GET", f"{STRIPE}/charges?q=1", SDK, None, "query.not-allowed"),
    ("stripe-payment", "GET", f"{STRIPE}/charges?created%5Bne%5D=1", SDK, None, "query.not-allowed"),
    ("stripe-payment", "GET", f"{STRIPE}/charges?limit=1&limit=2", SDK, None, "query.repeated"),
    ("stripe-payment", "GET", f"{STRIPE}/charges?created[gte]=1", SDK, None, "url.character"),
    ("stripe-payment", "GET", f"{STRIPE}/charges/{ID}?limit=1", SDK, None, "query.not-allowed"),
    ("stripe-payment", "GET", f"{STRIPE}/charges/{ID}/refunds", SDK, None, "path.not-allowed"),
    ("stripe-payment", "GET", f"{STRIPE}/charges/ch_a%2Fb", SDK, None, "url.path-escape"),
    ("stripe-payment", "GET", f"{STRIPE}/charges/..", SDK, None, "url.dot-segment"),
    ("stripe-payment", "GET", f"{STRIPE}/charges/search?query=a", SDK, None, "query.not-allowed"),
    ("stripe-payment", "GET", f"{STRIPE}/accounts", SDK, None, "path.not-allowed"),
    ("stripe-payment", "GET", f"{STRIPE}/balance", SDK, None, "path.not-allowed"),
    ("stripe-payment", "GET", "https://files.stripe.com/v1/charges", SDK, None, "host.not-allowed"),
    ("monerium-payment", "GET", f"{MONERIUM}/orders", [KEY], None, "path.not-allowed"),
    ("monerium-payment", "GET", f"{MONERIUM}/orders/", [KEY], None, "path.not-allowed"),
    ("monerium-payment", "GET", f"{MONERIUM}/orders/a?b=c", [KEY], None, "query.not-allowed"),
    ("monerium-payment", "POST", f"{MONERIUM}/orders", [KEY, *JSON], b"{}", "path.not-allowed"),
    ("monerium-payment", "GET", RPC, [], None, "method.not-allowed"),
    ("monerium-payment", "POST", RPC, [*JSON, KEY], b"{}", "header.not-allowed"),
    ("monerium-payment", "POST", RPC, [("Content-Type", "text/plain")], b"{}", "media-type.not-allowed"),
    ("monerium-payment", "POST", f"{RPC}rpc", JSON, b"{}", "path.not-allowed"),
]


@pytest.mark.parametrize(("service", "method", "url", "headers", "body"), ALLOWED)
def test_a_published_read_is_allowed(
    service: str, method: str, url: str, headers: list[tuple[str, str]], body: bytes | None
) -> None:
    allowed = decide(MANIFESTS[service], url=url, method=method, headers=headers, body=body, sealed=True)
    assert allowed.url.text == url


@pytest.mark.parametrize(("service", "method", "url", "headers", "body", "reason"), REFUSED)
def test_its_neighbours_are_not(
    service: str, method: str, url: str, headers: list[tuple[str, str]], body: bytes | None, reason: str
) -> None:
    with pytest.raises(Refused) as caught:
        decide(MANIFESTS[service], url=url, method=method, headers=headers, body=body, sealed=True)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("service", "url"), [("stripe-payment", f"{STRIPE}/charges"), ("monerium-payment", f"{MONERIUM}/orders/a")]
)
def test_a_credential_must_come_sealed(service: str, url: str) -> None:
    decide(MANIFESTS[service], url=url, method="GET", headers=[], body=None)
    with pytest.raises(NotAllowed) as caught:
        decide(MANIFESTS[service], url=url, method="GET", headers=[KEY], body=None)
    assert caught.value.reason == "sealed.required"


@pytest.mark.parametrize("service", MANIFESTS)
def test_no_operation_is_answered_in_clear_also_where_only_one_of_its_upstreams_wants_sealing(service: str) -> None:
    declared = MANIFESTS[service].operations
    assert declared
    for operation in declared:
        check_operation_sealed(MANIFESTS[service], operation, sealed=True)
        with pytest.raises(NotAllowed) as caught:
            check_operation_sealed(MANIFESTS[service], operation, sealed=False)
        assert caught.value.reason == "sealed.required"


def test_the_addresses_are_the_published_ones() -> None:
    assert {
        name: (manifest.cid, manifest.port, [(each.host, each.proxy_port, each.tls) for each in manifest.upstreams])
        for name, manifest in MANIFESTS.items()
    } == {
        "stripe-payment": (18, 5000, [("api.stripe.com", 8446, True)]),
        "monerium-payment": (19, 5000, [("api.monerium.app", 8447, True), ("rpc.gnosischain.com", 8448, True)]),
    }
