"""`tytle_verifier.derive` against the enclave's handlers, as black boxes: the same answers, the same values or code.

The answers are those of the predecessor's vectors and those of `derive_kit`, whole and mutated.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclave_worker.handlers.operation import Got
from tests.corpora import predecessor_vectors
from tests.derive_kit import (
    BALANCE,
    BLOCK,
    CHARGES,
    COMPANY,
    FORM,
    FOUND,
    FRAGMENTS,
    INTENT,
    KEY,
    MADE,
    ORDER,
    PAGED,
    REST,
    SOAP,
    THEIRS,
    Case,
    Script,
    agree,
    edited,
    got,
)
from tytle_verifier.derive.operations import OPERATIONS


def vectors(name: str, case: Callable[[dict[str, Any], Script], Case | None]) -> list[Case]:
    """Return the cases of one of the predecessor's files; what has no parameters is left out."""
    found = []
    for vector in predecessor_vectors(name):
        answers = [each for each in vector["input"]["upstream"] if "body" in each]
        script = [got(each["body"], each["status"], *_headers(each)) for each in answers]
        try:
            params = json.loads(vector["input"]["request"].get("body", ""))
        except ValueError:
            continue
        made = case(params, script) if isinstance(params, dict) else None
        found += [made] if made else []
    return found


def _headers(answer: dict[str, Any]) -> list[tuple[str, str]]:
    pairs = answer.get("headers") or {}
    listed = pairs.items() if isinstance(pairs, dict) else pairs
    return [(name.lower(), value) for name, value in listed]


def _vies(params: dict[str, Any], script: Script) -> Case | None:
    if params.get("countryCode") == "GB":
        number = params.get("vatNumber")
        return "hmrc.lookup", {"vatNumber": number, "accessToken": "token"}, script
    return "vies.check_vat", params, script


def _stripe(params: dict[str, Any], script: Script) -> Case | None:
    name = f"stripe.{params.pop('operation', '')}"
    return (name, params, script) if name in THEIRS else None


def _monerium(params: dict[str, Any], script: Script) -> Case | None:
    params = {key: value for key, value in params.items() if key != "operation"}
    return "monerium.order_with_balance", params, [*script[:1], got(BLOCK), *script[1:]]


def _sicae(params: dict[str, Any], script: Script) -> Case | None:
    doubled = [*script[:2], script[0], *script[2:]] if len(script) > 2 else script
    return "sicae.lookup", params, doubled


def of_the_predecessor() -> list[Case]:
    read: dict[str, Callable[[dict[str, Any], Script], Case | None]] = {
        "vies": _vies,
        "sicae": _sicae,
        "stripe": _stripe,
        "monerium": _monerium,
    }
    return [case for name, made in read.items() for case in vectors(name, made)]


try:
    VECTORS = of_the_predecessor()
except pytest.skip.Exception:  # then only what is made here is compared, and one test skips, loudly
    VECTORS = []
CASES = [*MADE, *VECTORS]


def test_the_table_of_derivations_has_every_operation_that_the_enclave_runs() -> None:
    assert OPERATIONS.keys() == THEIRS.keys()


@pytest.mark.parametrize("case", CASES, ids=[f"{index}-{case[0]}" for index, case in enumerate(CASES)])
def test_both_read_the_same_from_the_same_answers(case: Case) -> None:
    agree(*case)


def test_the_predecessors_answers_are_among_them() -> None:
    assert of_the_predecessor() == VECTORS


def test_every_operation_gives_values_in_some_case() -> None:
    answered = {case[0] for case in CASES if agree(*case)[0] == "values"}
    assert answered == THEIRS.keys()


ANSWERED = [case for case in CASES if case[2]]
EDIT = st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(FRAGMENTS) | st.binary(max_size=3))
STATUS = st.sampled_from([200, 200, 200, 500, 404, 302, 429, 401, 418])
MEDIA = st.sampled_from(
    ["text/html", "text/html ; Charset=UTF-8", "text/html; charset=latin1", 'text/html;charset="utf-8"']
)


@st.composite
def mutated(draw: st.DrawFn) -> Case:
    name, params, script = draw(st.sampled_from(ANSWERED))
    which = draw(st.integers(0, len(script) - 1))
    answer = script[which]
    status = draw(STATUS) if draw(st.integers(0, 5)) == 0 else answer.status
    headers = (*answer.headers, ("content-type", draw(MEDIA))) if draw(st.integers(0, 5)) == 0 else answer.headers
    body = edited(answer.body, draw(st.lists(EDIT, max_size=4)))
    changed = [*script[:which], Got(status=status, headers=headers, body=body), *script[which + 1 :]]
    return name, params, changed


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_both_read_the_same_from_mutated_answers(case: Case) -> None:
    agree(*case)


@settings(deadline=None)
@given(st.sampled_from(ANSWERED), STATUS, st.binary(max_size=64))
def test_both_read_the_same_from_garbage(case: Case, status: int, body: bytes) -> None:
    name, params, script = case
    agree(name, params, [Got(status=status, headers=(), body=body), *script[1:]])


NAMES = st.sampled_from(
    ["limit", "starting_after", "ending_before", "created[gte]", "expand[]", "email", "Bad", "a[b", ""]
)
TEXTS = st.text(min_size=0, max_size=6) | st.sampled_from(
    ["1", "100", "01", "101", "ch_1", "\u00a0", "\u200b", "é", "%41"]
)
QUERIES = st.dictionaries(NAMES, TEXTS | st.integers(-(2**64), 2**64) | st.none() | st.booleans(), max_size=4)
ACCOUNTS = st.none() | st.sampled_from(["acct_1", "acct_" + "a" * 26, "acct_" + "a" * 27, "acct_é", "ACCT_1", ""])


@settings(deadline=None, max_examples=300)
@given(QUERIES, ACCOUNTS, st.sampled_from(["ch_1", "ch_" + "x" * 55, "ch_é", "CH_1", "charges_1", "..", ""]))
def test_whatever_the_enclave_asks_stripe_is_read_from_the_request(
    query: dict[str, Any], account: str | None, resource: str
) -> None:
    params: dict[str, Any] = {**KEY, "queryParams": query, **({} if account is None else {"stripeAccount": account})}
    agree("stripe.list_charges", params, [got(CHARGES)])
    agree("stripe.get_charge", {**params, "resourceId": resource}, [got(FOUND, 404)])


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(["PT", "EL", "GB", "XI", "pt", "É1", "P"]), st.text("0123456789ABZ+*a- é", max_size=14))
def test_whatever_the_enclave_asks_vies_is_recognised_by_its_digest(country: str, number: str) -> None:
    params = {"countryCode": country, "vatNumber": number}
    told = {**params, "valid": True}
    for name, body in (
        ("vies.check_vat", SOAP.replace(">PT<", f">{country}<").replace("507172230", number)),
        ("vies.check_vat_rest", json.dumps(told)),
    ):
        assert agree(name, params, [got(body)])[0] in ("values", "refused")


def soap_with(inner: str) -> Script:
    return [got(SOAP.replace("<env:Header/>", f"<env:Header>{inner}</env:Header>"))]


def sicae_with(page: str = COMPANY, form: str = FORM, *headers: tuple[str, str]) -> Script:
    return [got(form, 200, *headers), got(page)]


def cell(inner: str) -> str:
    return COMPANY.replace('<i title="Obras">71120</i>', f'<i title="Obras">71120</i>{inner}')


def edges() -> list[tuple[str, int, Callable[[int], Script]]]:
    """Each limit of the specification: operation, the largest count that passes, and what makes a script of a count."""
    return [
        ("vies.check_vat", 16_384 - len(SOAP.encode()) - 12, lambda n: soap_with(" " * n)),
        ("vies.check_vat", 256 - 10, lambda n: soap_with("<a/>" * n)),
        ("vies.check_vat", 16 - 2, lambda n: soap_with("<a>" * n + "</a>" * n)),
        ("vies.check_vat_rest", 31, lambda n: [got(REST[:-1] + ',"x":' + "[" * n + "]" * n + "}")]),
        ("vies.check_vat_rest", 31, lambda n: [got(REST[:-1] + ',"x":' + '{"a":' * n + "1" + "}" * n + "}")]),
        ("vies.check_vat_rest", REST_LEFT, lambda n: [got(REST[:-1] + ',"x":[1' + ",1" * n + "]}")]),
        ("vies.check_vat_rest", REST_LEFT // 2, lambda n: [got(REST[:-1] + ',"x":[1' + HID * n + "]}")]),
        ("vies.check_vat_rest", 4300, lambda n: [got(REST[:-1] + ',"x":-' + "9" * n + "}")]),
        ("vies.check_vat_rest", 31, lambda n: [got(REST.replace("2025-01-01T10:00:00Z", "1" * n))]),
        ("sicae.lookup", 8192 - 34, lambda n: sicae_with(COMPANY + "<b>" * n)),
        ("sicae.lookup", 131_072 - len(COMPANY), lambda n: sicae_with(COMPANY + "<!--" + " " * (n - 7) + "-->")),
        ("sicae.lookup", 1024, lambda n: sicae_with(COMPANY.replace("A &amp; B", "x" * n))),
        ("sicae.lookup", 1024, lambda n: sicae_with(COMPANY.replace("Obras", "x" * n))),
        ("sicae.lookup", 8, lambda n: sicae_with(cell("<b>" * n + "</b>" * n))),
        ("sicae.lookup", 14, lambda n: sicae_with(cell("<b title=''></b>" * n))),
        ("sicae.lookup", 12, lambda n: sicae_with(COMPANY.replace("</tr>", "<td></td>" * n + "</tr>"))),
        ("sicae.lookup", 16_384, lambda n: sicae_with(form=FORM.replace("dDw=", "d" * n))),
        ("sicae.lookup", 256, lambda n: sicae_with(COMPANY, FORM, ("set-cookie", "ASP.NET_SessionId=" + "x" * n))),
        ("stripe.list_charges", 2, lambda n: [got(CHARGES.replace('"data": [', '"data": [' + EXTRA * (n - 2)))]),
        ("stripe.get_payment_intent", 2**63 - 1, lambda n: [got(INTENT.replace("1099", str(n)))]),
        (
            "stripe.get_payment_intent",
            31,
            lambda n: [got(INTENT.replace('"eur"', '"eur", "status": "' + "a" * n + '"'))],
        ),
        (
            "monerium.order_with_balance",
            2**63 - 1,
            lambda n: [got(ORDER), got(BLOCK.replace("0x2a", hex(n))), got(BALANCE)],
        ),
        (
            "monerium.order_with_balance",
            2**256 - 1,
            lambda n: [got(ORDER), got(BLOCK), got(BALANCE.replace(WORD, hex(n)))],
        ),
        (
            "monerium.order_with_balance",
            12,
            lambda n: [got(ORDER.replace("100.00", "1" * n)), got(BLOCK), got(BALANCE)],
        ),
        (
            "monerium.order_with_balance",
            18,
            lambda n: [got(ORDER.replace(".00", f".{'1' * n}")), got(BLOCK), got(BALANCE)],
        ),
    ]


HID = r',"\\\",[{"'  # two parts: a comma and a string that hides what would be more
REST_PARTS = sum(2 + isinstance(value, str) for value in json.loads(REST).values())  # a name, a text, { or a comma
REST_LEFT = 400_000 - REST_PARTS - 3  # , and "x" and [
EXTRA = '{"id": "ch_9", "object": "charge", "livemode": true}, '
WORD = "0x" + "0" * 62 + "ff"
PARAMS = {name: params for name, params, _ in MADE}
EDGES = edges()


@pytest.mark.parametrize("edge", EDGES, ids=[f"{index}-{edge[0]}" for index, edge in enumerate(EDGES)])
def test_both_have_the_same_limits(edge: tuple[str, int, Callable[[int], Script]]) -> None:
    name, most, made = edge
    params = PAGED if name == "stripe.list_charges" else PARAMS[name]
    if name.startswith("stripe.get_payment_intent"):
        params = {**KEY, "resourceId": "pi_1"}
    outcomes = [agree(name, params, made(count))[0] for count in (most - 1, most, most + 1, most + 2)]
    assert outcomes[1:3] == ["values", "code"]
