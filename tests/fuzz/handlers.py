"""Handlers on arbitrary answers (`enclave_worker.handlers`), and the derivation of each (`tytle_verifier.derive`).

1. Whatever an upstream answers, a handler ends in values, in OperationFailed, or asks on; parameters are refused first.
2. The derivation, which is another program, says the same of the same answers: the same values, types and code.
3. Values are those of the declared schema, by name and type, each in its range; integers are exact.
4. Field elements are the same from both encoders, or neither has any; so for the predecessor's record.
5. Every call that a handler makes is allowed by its manifest's rules, or refused by one of their codes.
"""

import contextlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from enclave_worker import catalogue
from enclave_worker.catalogue import Form, Offer
from enclave_worker.fields.codec import Unencodable
from enclave_worker.handlers import HANDLERS
from enclave_worker.handlers.errors import OPERATION_FAILURES, OperationFailed, ParamsRefused
from enclave_worker.handlers.operation import Ask, Got, Value
from policy import manifest, rules
from policy.errors import ADVICE, Refused
from tests.derive_kit import FRAGMENTS, MADE, THEIRS, NoAnswer, agree, got
from tests.fuzz import mutators
from tests.fuzz.draws import Draws
from tests.fuzz.target import Seeds, Target
from tytle_verifier import elements
from tytle_verifier.errors import StatementError
from tytle_verifier.schemas import SCHEMAS

SERVICES = Path(__file__).parents[2] / "services"
TIME_MS = 1_772_366_405_123
ANSWERED = [case for case in MADE if case[2]]
STATUSES = (200, 200, 200, 200, 404, 500, 302, 401, 429, 418)
MEDIA = ("text/html", "text/html; charset=latin1", "application/json", 'text/xml;charset="utf-8"', "")
TYPES: dict[str, tuple[type, ...]] = {"shortString": (str,), "sha256": (str,), "uint": (int,), "boolean": (bool,)}


@cache
def _offers() -> dict[str, tuple[manifest.Manifest, Offer]]:
    """Return every operation with the manifest that declares it."""
    found = {}
    for service, operations in HANDLERS.items():
        loaded = manifest.load((SERVICES / f"{service}.toml").read_bytes())
        for name, offer in catalogue.bind(loaded.operations, operations).items():
            found[name] = (loaded, offer)
    return found


def one_input(data: bytes) -> None:
    """Run one operation, with one answer or one parameter that is not what it should be."""
    draws = Draws(data)
    name, params, script = draws.choice(ANSWERED)
    which = draws.below(len(script))
    answer = script[which]
    match draws.below(4):
        case 0:
            _run(name, _other_params(params, draws), script)
        case 1:
            _run(name, params, [*script[:which], got(draws.rest(), answer.status), *script[which + 1 :]])
        case _:
            status = draws.choice(STATUSES) if draws.byte() == 1 else answer.status
            headers = (*answer.headers, ("content-type", draws.choice(MEDIA))) if draws.byte() == 1 else answer.headers
            body = draws.edits(answer.body, FRAGMENTS, most=6)
            changed = Got(status=status, headers=headers, body=body)
            _run(name, params, [*script[:which], changed, *script[which + 1 :]])


def _other_params(params: dict[str, Any], draws: Draws) -> dict[str, Any]:
    """Return the parameters with one of them edited as JSON; those that are no object any more are left as they are."""
    text = draws.edits(json.dumps(params).encode(), FRAGMENTS)
    try:
        made = json.loads(text)
    except (ValueError, RecursionError):
        return params
    return made if isinstance(made, dict) else params


def _run(name: str, params: dict[str, Any], script: list[Got]) -> None:
    if params.keys() <= THEIRS[name].parameters:  # the worker refuses others before the handler is run
        kind, said = agree(name, params, script)
        assert kind in ("values", "code", "no answer", "refused")
        if kind == "code":
            assert said in OPERATION_FAILURES
        if kind == "values":
            _the_values_fit(name, said)
        _its_calls_are_decided(name, params, script)


def _the_values_fit(name: str, values: dict[str, Value]) -> None:
    _, offer = _offers()[name]
    fields = {field.name: field for field in offer.declaration.schema.fields}
    assert values.keys() == fields.keys()
    for key, value in values.items():
        optional = fields[key].optional
        assert (value is None and optional) or type(value) in TYPES[fields[key].encoding], key
        if isinstance(value, str):
            value.encode()
    for form in offer.forms:
        _both_encode_the_same(form, form.values(values))


def _both_encode_the_same(form: Form, values: dict[str, Value]) -> None:
    try:
        ours: bytes | None = form.encode(values, TIME_MS)
    except Unencodable:
        ours = None
    exact = {key: str(value) if _is_too_long(value) else value for key, value in values.items()}
    try:
        theirs: bytes | None = elements.encode(SCHEMAS[form.schema], exact, TIME_MS)
    except StatementError:
        theirs = None
    assert ours == theirs


def _is_too_long(value: Value) -> bool:
    return type(value) is int and abs(value) > elements.MAX_EXACT


def _its_calls_are_decided(name: str, params: dict[str, Any], script: list[Got]) -> None:
    loaded, offer = _offers()[name]
    asked: list[Ask] = []

    def fetch(ask: Ask) -> Got:
        asked.append(ask)
        try:
            allowed = rules.decide(
                loaded, url=ask.url, method=ask.method, headers=ask.headers, body=ask.body, sealed=True
            )
        except Refused as error:
            assert error.reason in ADVICE
            raise NoAnswer from error
        assert allowed.url.host in offer.declaration.hosts
        assert len(asked) <= offer.declaration.max_calls
        if len(asked) > len(script):
            raise NoAnswer
        return script[len(asked) - 1]

    with contextlib.suppress(NoAnswer, OperationFailed, ParamsRefused):  # what it ends in was judged above
        THEIRS[name].run(params, fetch)


def seeds() -> Seeds:
    """Each made case as it is, with the answer as raw bytes, and with its parameters."""
    yield "instruction", bytes([0, 0, 1]) + ANSWERED[0][2][0].body.replace(b"<env:Body>", b"<?pi?><env:Body>")
    for index, (name, _, script) in enumerate(ANSWERED):
        for which, answer in enumerate(script):
            yield f"{name}-{index}-{which}", bytes([index, which, 2, 0, 0, 0])
            yield f"{name}-{index}-{which}-raw", bytes([index, which, 1]) + answer.body
        yield f"{name}-{index}-params", bytes([index, 0, 0, 0])


TARGET = Target(
    one_input=one_input,
    seeds=seeds,
    mutate=mutators.json_behind(3),
    words=tuple(FRAGMENTS),
    max_bytes=2048,
)
