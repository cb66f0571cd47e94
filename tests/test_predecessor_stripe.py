"""The predecessor's Stripe handler, vector by vector (stripe.json): the same record, or a named deviation.

Each vector that does not come out alike stands in DEVIATIONS, with its row of ARCHITECTURE.md and what comes out here;
one that stands there really deviates. Where the predecessor attested a wrong answer, the outcome here is the refusal.
"""

from typing import Any

import pytest

from enclave_worker.handlers import stripe
from tests.corpora import predecessor_vectors
from tests.predecessor_handlers import agree, answers, ours, right_answers, theirs

OPERATIONS = {each.name.removeprefix("stripe."): each for each in stripe.OPERATIONS}
DEVIATIONS = {
    "list_invoices": ("T1", ("failed", "upstream-malformed")),
    "list data not array (string)": ("T1", ("failed", "upstream-malformed")),
    "list data missing": ("T1", ("failed", "upstream-malformed")),
    "302 with JSON parsed as success status 200": ("T2", ("failed", "upstream-malformed")),
    "429 passthrough": ("T3", ("failed", "upstream-unavailable")),
    "500 passthrough": ("T3", ("failed", "upstream-unavailable")),
    "401 passthrough": ("T3", ("failed", "upstream-unauthorised")),
    "402 passthrough": ("T3", ("failed", "upstream-fault")),
    "418 passthrough": ("T3", ("failed", "upstream-fault")),
    "resourceId encoded": ("T4", ("refused", "resourceId")),
    "resourceId dotdot not encoded": ("T4", ("refused", "resourceId")),
    "resourceId on list op ignored": ("T5", ("refused", "resourceId")),
    "queryParams encoded": ("T6", ("refused", "query.not-allowed")),
    "queryParams non-string values": ("T6", ("refused", "queryParams")),
    "queryParams as string": ("T6", ("refused", "queryParams")),
    "CRLF in apiKey stripped": ("T7", ("refused", "apiKey")),
    "stripeAccount too long (32)": ("T7", ("refused", "stripeAccount")),
}
VECTORS = {vector["name"]: vector for vector in predecessor_vectors("stripe")}


def outcome(vector: dict[str, Any]) -> tuple[str, str]:
    body = vector["input"]["request"]["body"]
    return ours(OPERATIONS, "stripe-payment", "STRIPE_PAYMENT", body, answers(vector))


@pytest.mark.parametrize("name", VECTORS)
def test_an_answer_gives_the_predecessor_s_record_or_deviates_by_name(name: str) -> None:
    agree(outcome(VECTORS[name]), theirs(VECTORS[name]), DEVIATIONS.get(name))


def test_the_records_that_are_the_same_are_those_of_right_answers() -> None:
    assert right_answers(VECTORS, DEVIATIONS) == {
        "list_charges 3 more + account",
        "list_charges 2 no more",
        "list_customers",
        "queryParams empty object",
        "get_charge",
        "get_account",
        "get_payment_intent",
        "404 attested",
    }
