"""One client's connection to the parent: a question out, an answer in, and what can end it otherwise."""

import http.client
import json
import select
from dataclasses import dataclass
from typing import Any, NoReturn

from devstack.endurance.parent import TOKEN

PATIENCE_SECONDS = 60.0  # far above what any call of a run may take: whoever waits so long has lost an answer
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}
JSON = {"Content-Type": "application/json"}
WITH_RETRY_AFTER = (429, 503)


class Ended(Exception):
    """A call is over without a verified answer. `outcome` is one of `ledger`'s."""

    def __init__(self, outcome: str, text: str = "") -> None:
        super().__init__(outcome, text)
        self.outcome = outcome
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the parent said, with status 200."""

    headers: http.client.HTTPMessage
    data: bytes


class Connection:
    """A connection that is kept. Like any pool of connections it is made anew where the parent has closed it."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)

    def post(self, path: str, body: bytes) -> Answer:
        """Raises: Ended, for every other end than status 200."""
        return self._exchange("POST", path, body, JSON)

    def get(self, path: str) -> Answer:
        """Raises: Ended, for every other end than status 200."""
        return self._exchange("GET", path, None, {})

    def close(self) -> None:
        """End it; the next question makes a new one."""
        self._connection.close()

    def _exchange(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        if self._connection.sock is not None and select.select([self._connection.sock], [], [], 0)[0]:
            self._connection.close()
        kept = "fresh" if self._connection.sock is None else "kept"
        try:
            self._connection.request(method, path, body, {**AUTHORIZATION, **headers})
            response = self._connection.getresponse()
            answer = Answer(headers=response.headers, data=response.read())
        except TimeoutError as exc:
            self._connection.close()
            raise Ended("LOST", f"no answer within {PATIENCE_SECONDS} s") from exc
        except (http.client.HTTPException, OSError) as exc:
            self._connection.close()
            raise Ended(f"connection {type(exc).__name__} {kept}", str(exc)) from exc
        if response.status != 200:
            error(response.status, answer)
        return answer


def error(status: int, answer: Answer) -> NoReturn:
    """Raises: Ended: an error in the API's form, or none."""
    said = as_object(answer.data)
    code = said.get("code")
    whole = said.keys() == {"success", "error", "code", "requestId"} and said["success"] is False
    named = whole and isinstance(code, str) and said["requestId"] == answer.headers["X-Request-Id"]
    if not named or (status in WITH_RETRY_AFTER and "Retry-After" not in answer.headers):
        raise Ended("UNTYPED", f"{status} {answer.data[:300]!r}")
    raise Ended(f"error {status} {code}", str(said["error"]))


def refusal(data: bytes) -> Ended | None:
    """Return the end of a call that the enclave refused, None where this is no refusal."""
    said = as_object(data)
    status = said.get("status")
    if said.get("success") is not False or "attestation" in said or not isinstance(status, int):
        return None
    if not isinstance(said.get("error"), str) or not 400 <= status <= 599:
        return Ended("UNTYPED", repr(data[:300]))
    return Ended(f"error {status} {said.get('code', 'enclave')}", str(said["error"]))


def as_object(data: bytes) -> dict[str, Any]:
    """Return a JSON object, or an empty one for anything else."""
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
