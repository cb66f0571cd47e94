"""The predecessor's Monerium handler, vector by vector (monerium.json): the same record, or a named deviation.

Our operation asks for the newest block between the predecessor's two calls; its answer is put there. Each vector that
does not come out alike stands in DEVIATIONS, with its row of ARCHITECTURE.md and what comes out here.
"""

from typing import Any

import pytest

from enclave_worker.handlers import monerium
from tests.corpora import predecessor_vectors
from tests.pay_kit import got
from tests.predecessor_handlers import agree, answers, ours, right_answers, theirs

OPERATIONS = {"get_order_with_balance": monerium.OPERATIONS[0]}
DEVIATIONS = {
    "decimal result accepted": ("M1", ("failed", "upstream-malformed")),
    "numeric amount (number)": ("M2", ("failed", "upstream-malformed")),
    "orderId encoded; response id wins over request id": ("M3", ("refused", "orderId")),
    "429 passthrough": ("M4", ("failed", "upstream-unavailable")),
    "500 passthrough": ("M4", ("failed", "upstream-unavailable")),
    "401 passthrough": ("M4", ("failed", "upstream-unauthorised")),
}
BLOCK = got(
    {
        "jsonrpc": "2.0",
        "id": monerium.BLOCK_ID,
        "result": {"number": "0x2625a00", "hash": f"0x{7:064x}", "timestamp": "0x67748580"},
    }
)
VECTORS = {vector["name"]: vector for vector in predecessor_vectors("monerium")}


def outcome(vector: dict[str, Any]) -> tuple[str, str]:
    order, *balance = answers(vector) or [got(b"")]
    body = vector["input"]["request"]["body"]
    return ours(OPERATIONS, "monerium-payment", "MONERIUM_PAYMENT", body, [order, BLOCK, *balance])


@pytest.mark.parametrize("name", VECTORS)
def test_an_answer_gives_the_predecessor_s_record_or_deviates_by_name(name: str) -> None:
    agree(outcome(VECTORS[name]), theirs(VECTORS[name]), DEVIATIONS.get(name))


def test_the_records_that_are_the_same_are_those_of_right_answers() -> None:
    assert right_answers(VECTORS, DEVIATIONS) == {
        "success 100 EURe",
        "success zero balance",
        "success 32-byte balance",
        "checksummed address lowercased",
        "404 attested",
    }


def test_a_balance_beyond_the_field_is_no_record_here_either() -> None:
    assert outcome(VECTORS["balance >= p"]) == ("failed", "unencodable balance")
