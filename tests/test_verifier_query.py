"""Answers to queries: what is genuine verifies, and one mutant per way to fail. The rest: test_verifier_reply."""

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import verifier_kit as kit
import verifier_queries as queries
from test_verifier_reply import drop, put
from verifier_cases import REQUEST, policy, refused, verify
from verifier_queries import ELEMENTS, FIELDS, THING, THING_LINES, VALUES, b64

import tytle_verifier
from tytle_verifier import (
    AttestedFailure,
    PolicyError,
    Query,
    Result,
    VerificationError,
    elements,
    load_policy,
    load_query,
    parameters,
    results,
    schemas,
    verdict,
)

Hook = Callable[[dict[str, Any]], None]
ASKED = Query(
    service="vies",
    operation="vies.check_vat",
    params={"countryCode": "PT", "vatNumber": "507172230"},
    schema="VIES",
    challenge=kit.CHALLENGE,
    id="call-1",
)
SENT = b"""{"service":"vies","operation":"vies.check_vat","params":{"countryCode":"PT","vatNumber":"507172230"},
"schema":"VIES","challenge":"c2l4dGVlbiBieXRlcyBvciBtb3Jl","id":"call-1","timeoutMs":1000,"mode":"document"}"""


def asked(**changes: Any) -> Query:
    made = {name: getattr(ASKED, name) for name in ("service", "operation", "params", "schema", "challenge", "id")}
    return Query(**{**made, **changes})


VAT = "tytle/vies-check-vat/v1"
THINGS = {THING: schemas.parse(THING, THING_LINES)}


def ask(reply: bytes, **changes: Any) -> Any:
    return verify(reply, **{"request": ASKED, **changes})


def thing(**changes: Any) -> bytes:
    given: dict[str, Any] = {
        "schema": THING,
        "values": queries.THING_VALUES,
        "elements": queries.thing_elements(),
        "texts": queries.THING_TEXTS,
    }
    return queries.reply(**{**given, **changes})


def test_a_genuine_answer_passes_all_ten_steps_and_gives_its_values() -> None:
    verified = ask(queries.reply())
    assert [step.number for step in verified.report.steps] == list(range(10))
    assert dict(verified.result.values) == VALUES
    assert (verified.result.fields, verified.body) == (FIELDS, b64(ELEMENTS).encode())
    assert "5 field elements: those of the values under VIES" in verified.report.steps[8].compared
    headline = verdict.of_reply(verified).headline
    assert "vies.check_vat gives " in headline
    assert "countryCode 'PT'" in headline


def test_what_is_asked_is_read_as_it_was_sent() -> None:
    assert load_query(SENT) == ASKED
    for old, new in (
        (b'"service"', b'"serv"'),
        (b'"params"', b'"url"'),
        (b'{"countryCode":"PT","vatNumber":"507172230"}', b'["PT"]'),
        (b"c2l4", b"c2l="),
        (b'"vies.check_vat"', b"1"),
    ):
        with pytest.raises(PolicyError):
            load_query(SENT.replace(old, new))


def test_the_predecessors_elements_are_the_very_ones() -> None:
    assert kit.sha256(ELEMENTS) == FIELDS


def test_a_query_without_a_result_verifies_as_such_and_hands_out_nothing() -> None:
    verified = ask(queries.unanswered())
    for attribute in ("result", "response"):
        with pytest.raises(AttestedFailure, match="upstream-fault"):
            getattr(verified, attribute)
    said = verdict.of_reply(verified)
    assert (said.code, said.word) == (4, "test-failure")
    assert "vies.check_vat HAS NO RESULT (upstream-fault)" in said.headline


def test_a_query_whose_call_failed_verifies_as_a_failed_fetch() -> None:
    verified = ask(kit.reply(on_statement=kit.failed))
    with pytest.raises(AttestedFailure, match="timeout"):
        _ = verified.result


def test_the_answer_to_a_fetch_has_no_result() -> None:
    with pytest.raises(PolicyError, match="fetch"):
        _ = verify(kit.reply()).result


# --- elements --------------------------------------------------------------------------------------------------------


def test_elements_of_a_schema_that_the_policy_brings_are_recomputed() -> None:
    verified = ask(thing(), request=None, policy=policy(schemas=THINGS))
    assert "8 field elements: those of the values under tytle/kit-thing/v1" in verified.report.steps[8].compared
    assert isinstance(verified.statement.result, Result)


def test_elements_of_an_unknown_schema_are_compared_with_their_digest_and_the_rest_is_said() -> None:
    verified = ask(thing(), request=None)
    assert "8 field elements: those attested" in verified.report.steps[8].compared
    missing = f"field elements against values: schema {THING} is not known here"
    assert missing in verified.report.not_checked
    refused(8, "bn254Headers", ask, thing(texts={"x-vies-note": "other"}), request=None)
    refused(8, "bn254Headers", ask, thing(texts={"x-vies-else": ""}), request=None)
    refused(8, "SHA-256", ask, thing(on_statement=put("result", "fields", value=bytes(32))), request=None)


ZERO = bytes(32)
THING_MUTANTS: list[tuple[str, dict[str, Any]]] = [
    ("field elements", {"elements": queries.thing_elements(1)}),
    ("field elements", {"elements": queries.thing_elements()[:-32]}),
    ("field elements", {"elements": ZERO + queries.thing_elements()[32:]}),
    ("field elements", {"values": {**queries.THING_VALUES, "tag": None}}),
    ("field elements", {"values": {**queries.THING_VALUES, "note": ""}}),
    ("values.count", {"values": {**queries.THING_VALUES, "count": 2**53}}),
    ("values.count", {"values": {**queries.THING_VALUES, "count": "7"}}),
    ("values.count", {"values": {**queries.THING_VALUES, "count": "0" + str(2**53)}}),
    ("values.count", {"values": {**queries.THING_VALUES, "count": str(queries.ORDER)}}),
    ("values.count", {"values": {**queries.THING_VALUES, "count": -1}}),
    ("values.count", {"values": {**queries.THING_VALUES, "count": None}}),
    ("values.count", {"values": {**queries.THING_VALUES, "count": True}}),
    ("values.open", {"values": {**queries.THING_VALUES, "open": 0}}),
    ("values.tag", {"values": {**queries.THING_VALUES, "tag": "a\0"}}),
    ("values.tag", {"values": {**queries.THING_VALUES, "tag": "a" * 32}}),
    ("values.tag", {"values": {**queries.THING_VALUES, "tag": 7}}),
    ("values.note", {"values": {**queries.THING_VALUES, "note": 7}}),
    ("result.values", {"values": {**queries.THING_VALUES, "more": 7}}),
    ("result.values", {"values": {"count": 1}}),
    *(("values.note", {"on_statement": put("result", "values", "note", value=value)}) for value in (b"", [], {})),
    ("bn254Headers", {"texts": {}}),
    ("bn254Headers", {"texts": {**queries.THING_TEXTS, "x-vies-tag": ""}}),
]


@pytest.mark.parametrize(("problem", "changes"), THING_MUTANTS)
def test_step_8_refuses_elements_that_are_not_those_of_the_values(problem: str, changes: dict[str, Any]) -> None:
    refused(8, problem, ask, thing(**changes), request=None, policy=policy(schemas=THINGS))


# What a record of the predecessor may hold, as values of `valid` and `name`, and the words that stand for them; None
# where nothing does.
NAMED, EMPTY = ELEMENTS[96:128], bytes(32)
RECORD_ROWS: list[tuple[Any, Any, bytes | None]] = [
    (None, "", EMPTY + EMPTY),
    (False, None, EMPTY + EMPTY),
    (0, "", EMPTY + EMPTY),
    ("", "TYTLE LDA", EMPTY + NAMED),
    ("7", "TYTLE LDA", queries.element(7) + NAMED),
    (7, 12, queries.element(7) + queries.hashed("12")),
    (str(10**20), True, queries.element(10**20) + queries.hashed("true")),
    (10**18, False, queries.element(10**18) + queries.hashed("false")),
    ("07", "TYTLE LDA", None),
    (" 7", "TYTLE LDA", None),
    (-1, "TYTLE LDA", None),
    (str(queries.ORDER), "TYTLE LDA", None),
    (1, "TYTLE", None),
]


def a_record(row: tuple[Any, Any, bytes | None]) -> bytes:
    valid, name, words = row
    text = "" if name is None else str(name).lower() if isinstance(name, bool) else str(name)
    elements = ELEMENTS[:64] + (words or ELEMENTS[64:128]) + EMPTY
    texts = {"x-vies-name": text, "x-vies-address": ""}
    values = {**VALUES, "valid": valid, "name": name, "address": None}
    return queries.reply(values=values, elements=elements, texts=texts)


@pytest.mark.parametrize("row", RECORD_ROWS)
def test_a_record_is_recomputed_as_the_predecessor_made_it_or_refused(row: tuple[Any, Any, bytes | None]) -> None:
    if row[2] is None:
        refused(8, "", ask, a_record(row))
    else:
        ask(a_record(row))


# --- what the reply shows --------------------------------------------------------------------------------------------

OTHER = b64(b"\1" + ELEMENTS[1:])
SHOWN: list[tuple[str, Hook]] = [
    ("status", put("success", value=False)),
    ("status", put("status", value=201)),
    ("headers", put("headers", "x-vies-valid", value="true")),
    ("result", put("result", "valid", value=False)),
    ("result", put("result", "valid", value=1)),
    ("result", put("result", "name", value="TYTLE")),
    ("result", drop("result", "name")),
    ("result", put("result", "more", value=None)),
    ("result", drop("result")),
    ("bn254", put("bn254", value=OTHER)),
    ("bn254", drop("bn254")),
    ("bn254", put("bn254", value="\ud800")),
    ("bn254Headers", put("bn254Headers", "x-vies-name", value="\ud800")),
    ("result", put("result", "name", value="\ud800")),
    ("rawBody", put("rawBody", value="é")),
    ("bn254", put("rawBody", value=OTHER)),
    ("bn254Headers", put("bn254Headers", "x-vies-name", value="TYTLE")),
    ("bn254Headers", drop("bn254Headers")),
    ("code", put("code", value="upstream-fault")),
]


@pytest.mark.parametrize(("problem", "hook"), SHOWN)
def test_step_8_refuses_a_reply_that_shows_other_values(problem: str, hook: Hook) -> None:
    refused(8, problem, ask, queries.reply(on_reply=hook))


@pytest.mark.parametrize("body", ["", "not base64", b64(ELEMENTS[:-1]), b64(ELEMENTS) + "\n"])
def test_step_8_wants_whole_elements_in_canonical_base64(body: str) -> None:
    def hook(whole: dict[str, Any]) -> None:
        whole.update(rawBody=body, bn254=body)

    refused(8, "rawBody" if body else "SHA-256", ask, queries.reply(on_reply=hook))


UNANSWERED: list[tuple[str, Hook]] = [
    ("status", put("success", value=True)),
    ("status", put("status", value=200)),
    ("code", put("code", value="upstream-unavailable")),
    ("code", drop("code")),
    ("code", put("rawBody", value=b64(ELEMENTS))),
    ("code", put("result", value=VALUES)),
    ("code", put("bn254", value="")),
    ("headers", put("headers", "a", value="b")),
]


@pytest.mark.parametrize(("problem", "hook"), UNANSWERED)
def test_step_8_lets_a_query_without_a_result_show_none(problem: str, hook: Hook) -> None:
    refused(8, problem, ask, queries.unanswered(on_reply=hook))


UNSTATED = [put("result", value={}), put("bn254", value=""), put("bn254Headers", value={}), put("code", value="x")]


@pytest.mark.parametrize("hook", UNSTATED)
def test_step_8_refuses_a_result_that_no_statement_has(hook: Hook) -> None:
    refused(8, "shows a result", verify, kit.reply(on_reply=hook))


def beside_a_failure(made: dict[str, Any]) -> None:
    made["exchanges"].insert(0, kit.exchange())
    outcome = made["exchanges"][0]
    outcome["failure"] = {"kind": "timeout", "detail": "late"}
    del outcome["response"]


@pytest.mark.parametrize("make", [queries.reply, queries.unanswered])
def test_step_8_refuses_a_result_beside_a_failed_call(make: Callable[..., bytes]) -> None:
    refused(8, "a call that failed", ask, make(on_statement=beside_a_failure))


# --- what was asked --------------------------------------------------------------------------------------------------


OTHERS_ASKED = [
    ("service asked", {"service": "sicae"}),
    ("operation", {"operation": "hmrc.lookup"}),
    ("schema", {"schema": "SICAE"}),
    ("request id", {"id": "call-2"}),
    ("challenge", {"challenge": b"another challenge"}),
]
BOTH = dict(ASKED.params)
OTHER_PARAMS: list[tuple[str, dict[str, Any]]] = [
    ("countryCode", {**BOTH, "countryCode": "EL"}),
    ("countryCode", {**BOTH, "countryCode": None}),
    ("countryCode", {**BOTH, "countryCode": ["PT"]}),
    ("countryCode", {"vatNumber": "507172230"}),
    ("countryCode", {}),
    ("vatNumber", {"countryCode": "PT"}),
    ("vatNumber", {"countryCode": "PT", "vatNumber": "507172231"}),
    ("vatNumber", {"countryCode": "PT", "vatNumber": 507172230}),
    ("valid", {**BOTH, "valid": 1}),
    ("valid", {**BOTH, "valid": "true"}),
]


@pytest.mark.parametrize(("problem", "changes"), OTHERS_ASKED)
def test_step_8_compares_the_query_with_what_was_asked(problem: str, changes: dict[str, Any]) -> None:
    for reply in (queries.reply(), queries.unanswered()):
        refused(8, problem, ask, reply, request=asked(**changes))


PARAMS: list[dict[str, Any]] = [
    BOTH,
    {**BOTH, "valid": True, "name": ["TYTLE LDA"], "accessToken": "secret", "address": 1.5},
    {**BOTH, "__proto__": "PT", "constructor": None, "queryParams": {"limit": 5}},
    *(params for _, params in OTHER_PARAMS),
]
THINGS_ASKED = [
    asked(schema=THING, params=params)
    for params in ({"count": 2**53, "open": False}, {"count": 9}, {"count": str(2**53)}, {"note": None}, {"open": 0})
]


@pytest.mark.parametrize(("name", "params"), OTHER_PARAMS)
def test_step_8_compares_a_parameter_with_the_value_of_its_name(name: str, params: dict[str, Any]) -> None:
    """Else whoever carries a query has another one asked, and the answer verifies."""
    refused(8, f"result.values.{name}", ask, queries.reply(), request=asked(params=params))
    error = refused(8, name, ask, queries.reply(), request=asked(params=params))
    assert "50717223" not in str(error)


def test_parameters_that_no_value_repeats_are_named_as_not_compared() -> None:
    params = {**BOTH, "valid": True, "name": ["TYTLE LDA"], "accessToken": "secret"}
    report = ask(queries.reply(), request=asked(params=params)).report
    assert any("about countryCode, valid, vatNumber as asked" in line for line in report.steps[8].compared)
    assert "what the enclave's code made of the parameters accessToken, name" in report.not_checked
    assert "secret" not in repr(asked(params=params))


def test_an_integer_beyond_exact_json_is_compared_with_its_digits() -> None:
    more = {"schema": THING, "params": {"count": 2**53, "open": False}}
    verify(thing(), policy=policy(schemas=THINGS), request=asked(**more))
    refused(
        8, "count", verify, thing(), policy=policy(schemas=THINGS), request=asked(**more | {"params": {"count": 9}})
    )


def test_a_query_left_open_takes_any_schema_and_id() -> None:
    ask(queries.reply(), request=asked(schema=None, id=None))


def test_neither_a_fetch_nor_a_query_is_answered_by_the_other() -> None:
    refused(8, "a query's result", verify, queries.reply(), request=REQUEST)
    refused(8, "a query's result", verify, queries.unanswered(), request=REQUEST)
    refused(8, "result", ask, kit.reply())


def test_what_is_not_checked_of_a_query_is_said() -> None:
    lines = ask(queries.reply()).report.not_checked
    assert not any("parameters" in line for line in lines)
    assert any("whether the values follow" in line for line in lines)
    lines = ask(queries.unanswered()).report.not_checked
    assert any("no result" in line for line in lines)
    assert "what the enclave's code made of the parameters countryCode, vatNumber" in lines


# --- parameters of the operations that are known here ----------------------------------------------------------------


ACCOUNT, KEY = "acct_1032D82eZvKYlo2C", {"apiKey": "sk_test_1"}
PAGE: dict[str, Any] = {
    **dict.fromkeys(("stripeAccount", "query", "limit", "startingAfter", "endingBefore")),
    "count": 0,
    "hasMore": False,
    "firstId": None,
    "lastId": None,
    "livemode": None,
    "dataHash": "0" * 64,
}
FILTERED = {**PAGE, "query": "limit=5&email=a%20b%2Bc%40%C3%A9%21%27%28%29%2A~-._", "limit": 5}
FILTER = {"limit": 5, "email": "a b+c@\u00e9!'()*~-._"}
CHARGE: dict[str, Any] = {
    "stripeAccount": None,
    "query": None,
    "id": "ch_MINE",
    "found": True,
    "amount": 5,
    "amountCaptured": 5,
    "amountRefunded": 0,
    "currency": "eur",
    "status": "succeeded",
    "livemode": True,
    "dataHash": "0" * 64,
}
RECORD = {
    "operation": "list_charges",
    "accountId": None,
    "objectType": "list",
    "dataHash": "0" * 64,
    "totalCount": 0,
    "hasMore": 0,
}
LISTS, CHARGES, RECORDS = ("tytle/stripe-list-charges/v1", "tytle/stripe-get-charge/v1", "STRIPE_PAYMENT")
MINE = {**KEY, "resourceId": "ch_MINE"}


def of_stripe(schema: str, values: dict[str, Any], params: dict[str, Any]) -> tuple[bytes, Query]:
    """A genuine answer with these values, and the query that was sent; elements are not what is tested here."""
    operation = "stripe.get_charge" if schema == CHARGES else "stripe.list_charges"
    known = schemas.SCHEMAS[schema]
    made = elements.encode(known, values, kit.SIGNED_MS - 40)
    texts = {results.header_name("vies", name): text for name, text in elements.texts(known, values).items()}
    stated = put("result", "operation", value=operation)
    reply = queries.reply(schema=schema, values=values, elements=made, texts=texts, on_statement=stated)
    return reply, Query(service="vies", operation=operation, params=params, challenge=kit.CHALLENGE)


AS_ASKED = [
    of_stripe(LISTS, PAGE, KEY),
    of_stripe(LISTS, PAGE, {**KEY, "stripeAccount": None, "queryParams": {}}),
    of_stripe(LISTS, PAGE, {**KEY, "queryParams": None}),
    of_stripe(LISTS, FILTERED, {**KEY, "queryParams": FILTER}),
    of_stripe(LISTS, {**PAGE, "stripeAccount": ACCOUNT}, {**KEY, "stripeAccount": ACCOUNT}),
    of_stripe(CHARGES, CHARGE, MINE),
    of_stripe(CHARGES, {**CHARGE, "query": "expand%5B%5D=customer"}, {**MINE, "queryParams": {"expand[]": "customer"}}),
    of_stripe(RECORDS, RECORD, {**KEY, "queryParams": {"limit": 5}}),
    of_stripe(RECORDS, {**RECORD, "accountId": ACCOUNT}, {**KEY, "stripeAccount": ACCOUNT}),
]
NOT_ASKED: list[tuple[str, tuple[bytes, Query]]] = [
    ("stripeAccount", of_stripe(LISTS, {**PAGE, "stripeAccount": ACCOUNT}, KEY)),
    ("stripeAccount", of_stripe(LISTS, {**PAGE, "stripeAccount": ACCOUNT}, {**KEY, "stripeAccount": "acct_2"})),
    ("stripeAccount", of_stripe(LISTS, PAGE, {**KEY, "stripeAccount": ACCOUNT})),
    ("stripeAccount", of_stripe(LISTS, PAGE, {**KEY, "stripeAccount": [ACCOUNT]})),
    ("query", of_stripe(LISTS, {**PAGE, "query": "limit=1", "limit": 1}, KEY)),
    ("query", of_stripe(LISTS, {**PAGE, "query": "customer=cus_9"}, {**KEY, "queryParams": {}})),
    ("limit", of_stripe(LISTS, {**PAGE, "limit": 1}, KEY)),
    ("startingAfter", of_stripe(LISTS, {**PAGE, "startingAfter": "ch_9"}, {**KEY, "queryParams": None})),
    ("endingBefore", of_stripe(LISTS, {**PAGE, "endingBefore": "ch_9"}, KEY)),
    ("query", of_stripe(LISTS, PAGE, {**KEY, "queryParams": FILTER})),
    ("query", of_stripe(LISTS, FILTERED, {**KEY, "queryParams": {"limit": 5}})),
    ("query", of_stripe(LISTS, FILTERED, {**KEY, "queryParams": {"email": FILTER["email"], "limit": 5}})),
    ("query", of_stripe(LISTS, FILTERED, {**KEY, "queryParams": {"limit": True}})),
    ("query", of_stripe(LISTS, FILTERED, {**KEY, "queryParams": {"limit": 5.0}})),
    ("query", of_stripe(LISTS, FILTERED, {**KEY, "queryParams": {"email": "\ud800"}})),
    ("query", of_stripe(LISTS, FILTERED, {**KEY, "queryParams": [FILTER]})),
    ("query", of_stripe(LISTS, FILTERED, {**KEY, "queryParams": []})),
    ("id", of_stripe(CHARGES, CHARGE, {**KEY, "resourceId": "ch_THEIRS"})),
    ("id", of_stripe(CHARGES, CHARGE, KEY)),
    ("query", of_stripe(CHARGES, {**CHARGE, "query": "expand%5B%5D=customer"}, MINE)),
    ("stripeAccount", of_stripe(CHARGES, {**CHARGE, "stripeAccount": ACCOUNT}, MINE)),
    ("accountId", of_stripe(RECORDS, {**RECORD, "accountId": ACCOUNT}, KEY)),
]


@pytest.mark.parametrize(("reply", "request_sent"), AS_ASKED)
def test_what_was_asked_of_a_known_operation_verifies(reply: bytes, request_sent: Query) -> None:
    ask(reply, request=request_sent)


@pytest.mark.parametrize(("name", "case"), NOT_ASKED)
def test_step_8_refuses_what_was_not_asked_of_a_known_operation(name: str, case: tuple[bytes, Query]) -> None:
    """Else whoever carries a query adds a parameter that the caller left out, and the answer verifies."""
    reply, sent = case
    error = refused(8, f"result.values.{name}: ", ask, reply, request=sent)
    assert [secret for secret in ("acct_", "ch_", "cus_", "limit=") if secret in str(error)] == []


def test_the_report_says_what_was_left_out_and_what_no_value_tells() -> None:
    reply, sent = of_stripe(CHARGES, CHARGE, MINE)
    report = ask(reply, request=sent).report
    line = "operation stripe.get_charge as asked, about resourceId, without queryParams, stripeAccount as asked"
    assert line in report.steps[8].compared
    assert "what the enclave's code made of the parameters apiKey" in report.not_checked
    assert not any("left out" in line or "were added" in line for line in report.not_checked)
    reply, sent = of_stripe(RECORDS, RECORD, KEY)
    assert "whether the parameters queryParams were left out, as asked" in ask(reply, request=sent).report.not_checked
    unanswered = queries.unanswered(on_statement=put("result", "operation", value="stripe.get_charge"))
    lines = ask(unanswered, request=of_stripe(CHARGES, CHARGE, MINE)[1]).report.not_checked
    assert "whether the parameters queryParams, stripeAccount were left out, as asked" in lines


@pytest.mark.parametrize("name", ["vies.another", "constructor", "toString"])
def test_of_an_unknown_operation_the_report_says_that_parameters_may_have_been_added(name: str) -> None:
    stated = put("result", "operation", value=name)
    lines = ask(queries.reply(on_statement=stated), request=asked(operation=name, params={})).report.not_checked
    assert f"whether parameters were added: those of {name} are not known here" in lines


def test_the_page_knows_the_parameters_that_the_package_knows() -> None:
    page = (Path(tytle_verifier.__file__).parent / "web" / "index.html").read_text(encoding="utf-8")
    rows = page.partition("const PARAMETERS = {")[2].partition("\n};")[0].partition("\n")[2].removesuffix(",")
    assert json.loads(f"{{{rows}}}") == {
        name: {parameter: list(values) for parameter, values in table.items()}
        for name, table in parameters.OPERATIONS.items()
    }


def test_step_8_compares_a_body_that_the_caller_holds_with_that_of_the_last_call() -> None:
    ask(queries.reply(), body=kit.BODY)
    refused(8, "the body held", ask, queries.reply(), body=b64(ELEMENTS).encode())


# --- step 9, policies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", [put("attestation", "bn254Hash", value="00" * 32), drop("attestation", "bn254Hash")])
def test_step_9_refuses_an_altered_digest_of_the_elements(hook: Hook) -> None:
    refused(9, "bn254Hash", ask, queries.reply(on_reply=hook))


@pytest.mark.parametrize("make", [kit.reply, queries.unanswered])
def test_step_9_refuses_a_digest_where_there_are_no_elements(make: Callable[..., bytes]) -> None:
    asked = REQUEST if make is kit.reply else ASKED
    hook = put("attestation", "bn254Hash", value="00" * 32)
    refused(9, "bn254Hash", verify, make(on_reply=hook), request=asked)


POLICY = f"""
service = "vies"
[schemas]
"{THING}" = ["count uint", "note sha256?", "tag shortString?", "open boolean"]
[[releases]]
commit = "{kit.COMMIT}"
pcr0 = "{kit.PCRS[0].hex()}"
pcr1 = "{kit.PCRS[1].hex()}"
pcr2 = "{kit.PCRS[2].hex()}"
"""


def test_a_policy_file_brings_schemas() -> None:
    assert load_policy(POLICY.encode()).schemas[THING] == THINGS[THING]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('["count uint", ', "[] #"),
        ('"count uint"', '"count felt"'),
        ('"count uint"', '"count uint ?"'),
        ('"count uint"', '"Count uint"'),
        ('"count uint"', '"note uint"'),
        ('"count uint"', "7"),
        (THING, "VIES"),
        (THING, "tytle/kit-thing"),
    ],
)
def test_a_schema_in_a_policy_that_means_nothing_is_refused(old: str, new: str) -> None:
    with pytest.raises(PolicyError):
        load_policy(POLICY.replace(old, new).encode())


def test_one_id_is_one_list_of_fields() -> None:
    with pytest.raises(PolicyError, match="another one"):
        policy(schemas={THING: schemas.parse("tytle/other/v1", THING_LINES)})
    with pytest.raises(PolicyError, match="another one"):
        policy(schemas={"VIES": schemas.SCHEMAS["SICAE"]})
    with pytest.raises(PolicyError, match="another one has this id"):
        policy(schemas={VAT: schemas.parse(VAT, ["countryCode shortString", "valid boolean"])})


def test_the_page_knows_the_schemas_that_the_package_knows() -> None:
    page = (Path(tytle_verifier.__file__).parent / "web" / "index.html").read_text(encoding="utf-8")
    found = {}
    for table in ("RECORDS", "VERSIONED"):
        rows = page.partition(f"const {table} = {{")[2].partition("\n};")[0]
        found |= dict(re.findall(r'^  "?([^" :]+)"?: "([^"]*)",$', rows, re.MULTILINE))
    assert {name: schema_lines(known) for name, known in schemas.SCHEMAS.items()} == {
        name: listed.split(", ") for name, listed in found.items()
    }


def schema_lines(schema: schemas.Schema) -> list[str]:
    return [f"{field.name} {field.encoding}{'?' * (field.optional and schema.versioned)}" for field in schema.fields]


@pytest.mark.parametrize("genuine", [queries.reply(), queries.unanswered()])
def test_a_reply_with_anything_changed_is_refused_but_for_the_courier_s_own_text(genuine: bytes) -> None:
    believed = set()
    for place, changed in queries.spoiled(genuine):
        with contextlib.suppress(VerificationError):
            ask(changed)
            believed.add((place, "bodyEncoding" in json.loads(changed)))
    assert believed <= {("bodyEncoding", False), ("error", True)}
