"""What the tests of the payment handlers share: a fetch that answers from a script, under the shipped policy."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from enclave_worker.handlers import HANDLERS
from enclave_worker.handlers.operation import Ask, Got, Operation, Values
from policy.manifest import Manifest, load
from policy.rules import decide

SERVICES = Path(__file__).parent.parent / "services"
MANIFESTS: Mapping[str, Manifest] = {
    name: load((SERVICES / f"{name}.toml").read_bytes()) for name in ("stripe-payment", "monerium-payment")
}
SERVICE_OF = {"stripe": "stripe-payment", "monerium": "monerium-payment"}


class NoConnection(Exception):
    """A fetch that failed, as the enclave's own fetch would say it."""


Answer = Got | NoConnection | Callable[[Ask], Got]


class Script:
    """A fetch: checks each call against the service's manifest and gives the next answer. `asks` are the calls."""

    def __init__(self, service: str, *answers: Answer) -> None:
        self._manifest = MANIFESTS[service]
        self._answers = list(answers)
        self.asks: list[Ask] = []

    def __call__(self, ask: Ask) -> Got:
        decide(self._manifest, url=ask.url, method=ask.method, headers=ask.headers, body=ask.body, sealed=True)
        self.asks.append(ask)
        answer = self._answers.pop(0)
        if isinstance(answer, NoConnection):
            raise answer
        return answer(ask) if callable(answer) else answer


def operation(name: str) -> Operation:
    """Return the registered operation of this name."""
    [found] = [each for each in HANDLERS[SERVICE_OF[name.partition(".")[0]]] if each.name == name]
    return found


def run(name: str, params: Mapping[str, object], *answers: Answer) -> tuple[Values, list[Ask]]:
    """Run an operation on scripted answers; return its values and the calls that it made."""
    script = Script(SERVICE_OF[name.partition(".")[0]], *answers)
    return operation(name).run(params, script), script.asks


def got(body: Any, status: int = 200) -> Got:
    """Return a response; a body that is not bytes is written as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Got(status=status, headers=(("content-type", "application/json"),), body=data)


def fields_of(name: str) -> list[str]:
    """Return the field names that the manifest declares for an operation, in order."""
    manifest = MANIFESTS[SERVICE_OF[name.partition(".")[0]]]
    [declared] = [each for each in manifest.operations if each.name == name]
    return [field.name for field in declared.schema.fields]
