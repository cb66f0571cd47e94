"""JSON-RPC 2.0 with an Ethereum node: one question, one answer (jsonrpc.org/specification, ethereum/execution-apis).

Rule: the answer carries the id of the question, and numbers are read from hexadecimal text in one of two exact forms,
never from a JSON number: a quantity (`0x0`, `0x1a`: no leading zeros) or a word of 32 bytes.
"""

import re
from typing import Final

from enclave_worker.handlers.answers import Answer, check_status, read_object
from enclave_worker.handlers.errors import OperationFailed
from enclave_worker.handlers.operation import Ask, Fetch, Got
from wire import jsontext

LIMIT_EXCEEDED: Final = -32005  # EIP-1474: "Request exceeds defined limit"
HEADERS: Final = (("Content-Type", "application/json"), ("Accept", "application/json"))

_QUANTITY = re.compile(r"0x(?:0|[1-9a-f][0-9a-f]{0,63})")
_WORD = re.compile(r"0x[0-9a-f]{64}")


def call(fetch: Fetch, url: str, *, call_id: int, method: str, params: list[object]) -> tuple[Answer, Got]:
    """Ask one question; return the answer, whose `result` is still to be read, and the response that it came in.

    Raises:
        OperationFailed: a status, an error object, another id, or no JSON-RPC at all.
    """
    question = {"jsonrpc": "2.0", "method": method, "params": params, "id": call_id}
    got = fetch(Ask(method="POST", url=url, headers=HEADERS, body=jsontext.dump(question)))
    check_status(got)
    answer = read_object(got.body)
    if answer.has("error"):
        _refuse(answer.child("error"))
    if answer.entries.get("jsonrpc") != "2.0":
        raise OperationFailed("upstream-malformed", "the answer is not JSON-RPC 2.0")
    if answer.whole("id") != call_id:
        raise OperationFailed("upstream-mismatch", "the answer has the id of another question")
    return answer, got


def quantity(answer: Answer, key: str) -> int:
    """The number at `key`, a quantity below 2**63. Raises: OperationFailed."""
    number = int(answer.text(key, _QUANTITY), 16)
    if number >= 2**63:
        raise OperationFailed("upstream-malformed", f"{key} is no number of this chain")
    return number


def word(answer: Answer, key: str) -> str:
    """The text at `key`, 0x and 64 digits in lower case: a hash. Raises: OperationFailed."""
    return answer.text(key, _WORD)


def uint256(answer: Answer, key: str) -> int:
    """The number at `key`, from 0 to 2**256 - 1: a word, as the ABI encodes it, or a quantity. Raises: OperationFailed.

    `0x` is neither: it is what a call to an address without code returns.
    """
    text = answer.entries.get(key)
    pattern = _WORD if isinstance(text, str) and len(text) == 66 else _QUANTITY
    return int(answer.text(key, pattern), 16)


def _refuse(error: Answer) -> None:
    limited = error.entries.get("code") == LIMIT_EXCEEDED
    raise OperationFailed("upstream-unavailable" if limited else "upstream-fault", "the node answered with an error")
