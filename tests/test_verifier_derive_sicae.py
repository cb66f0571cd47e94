"""Derivations of SICAE: the forms, the pages, the grid, and that a number is tied to the posted form's digest."""

from typing import Any

import pytest
import verifier_derivations as made
from hypothesis import given
from hypothesis import strategies as st
from verifier_derivations import FIELD_B, INVALID, NIPC, NO_DATA, STATE, form, grid, outcome, row, search, trace_of

from tytle_verifier import DerivationError
from tytle_verifier.derive import htmlbody
from tytle_verifier.derive.sicae import record
from tytle_verifier.derive.trace import CallsEnded

MALFORMED, FAULT = "upstream-malformed", "upstream-fault"
FOUND: dict[str, Any] = {
    "nif": NIPC,
    "found": True,
    "answer": "found",
    "name": "ACME",
    "cae1Code": "71120",
    "cae1Desc": "Obras",
    "cae2Count": 0,
    "cae2Complete": True,
    "cae2Code1": None,
    "cae2Desc1": None,
    "cae2Code2": None,
    "cae2Desc2": None,
    "cae2Code3": None,
    "cae2Desc3": None,
}
NOTHING = {**dict.fromkeys(FOUND), "nif": NIPC, "found": False}


def lookup(page: bytes | str, *more: Any, **options: Any) -> Any:
    return outcome("sicae.lookup", form(), search(page, *more), **options)


def sheet(**cells: str) -> str:
    return grid(row(**cells))


@pytest.mark.parametrize(
    ("page", "differs"),
    [
        (sheet(), {}),
        ("\ufeff" + sheet(), {}),
        (f"<!DOCTYPE html><script>x < '<table>'</script><!-- <table> -->{sheet()}", {}),
        (sheet(name="A &amp; B &#76;da"), {"name": "A & B Lda"}),
        (sheet(name='<div title="ACME &quot;X&quot;">ACME...</div>'), {"name": 'ACME "X"'}),
        (sheet(name='<div title="AC"ME"">ACME</div>'), {"name": "ACME"}),
        (sheet(name='<div title="AC" me="E">AC" me="E</div>'), {"name": 'AC" me="E'}),
        (sheet(primary="\u00a0 71120 \n"), {"cae1Desc": None}),
        (
            sheet(secondary="62010, 62020"),
            {"cae2Count": 2, "cae2Code1": "62010", "cae2Code2": "62020"},
        ),
        (
            sheet(
                secondary='<i title="A">62010,</i> <i title="">62020 </i><i title=B>62010</i><br><i title="C">62030</i>'
            ),
            {
                "cae2Count": 3,
                "cae2Complete": False,
                "cae2Code1": "62010",
                "cae2Desc1": "A",
                "cae2Code2": "62020",
                "cae2Code3": "62030",
                "cae2Desc3": "C",
            },
        ),
    ],
)
def test_a_grid_gives_the_company(page: str, differs: dict[str, Any]) -> None:
    expected = {**FOUND, **differs}
    assert lookup(page) == expected
    assert lookup(page, claimed=expected) == expected


def test_a_number_that_does_not_exist_is_tied_to_the_posted_form() -> None:
    no_data = sheet(nipc="", name=NO_DATA, primary="")
    for page, answer in ((no_data, "no-data"), (INVALID, "invalid-nipc")):
        claimed = {**NOTHING, "answer": answer}
        values, trace = trace_of("sicae.lookup", form(), search(page), claimed=claimed)
        assert (values, trace.not_compared) == (claimed, [])
        assert trace.compared == ["request body of call 2: the search for this number"]
        with pytest.raises(DerivationError, match="request body of call 2"):
            lookup(page, claimed={**claimed, "nif": "980494796"})


def test_without_a_claim_the_number_is_recognised_only_in_the_answer() -> None:
    assert trace_of("sicae.lookup", form(), search(sheet()))[1].not_compared == []
    values, trace = trace_of("sicae.lookup", form(), search(INVALID))
    assert (values["nif"], len(trace.not_compared)) == (None, 1)


@pytest.mark.parametrize(
    ("page", "code"),
    [
        (sheet(nipc="999999990"), "upstream-mismatch"),
        (sheet() + '<input name="ctl00$MainContent$ipNipc" value="999999990">', "upstream-mismatch"),
        (sheet(nipc="x"), MALFORMED),
        (sheet(nipc=""), MALFORMED),
        (sheet(name=""), MALFORMED),
        (sheet(name="<i title=A>B</i>C"), MALFORMED),
        (sheet(name="x" * 1025), MALFORMED),
        (sheet(primary=""), MALFORMED),
        (sheet(primary="71120 71121"), MALFORMED),
        (sheet(primary="7112"), MALFORMED),
        (sheet(primary='<i title="a"b"">71120</i>'), MALFORMED),
        (sheet(primary='71120<i title="a">71121</i>'), MALFORMED),
        (sheet(secondary="10000 20000 30000 40000"), MALFORMED),
        (grid(row() + row()), MALFORMED),
        (grid(""), MALFORMED),
        (sheet() + sheet(), MALFORMED),
        (sheet().replace("<td>", "<td colspan=1>", 1), MALFORMED),
        (sheet().replace("</table>", ""), MALFORMED),
        (sheet().replace("NIPC", "NIF"), MALFORMED),
        (sheet(name="<table></table>"), MALFORMED),
        (sheet(name="<b>x"), MALFORMED),
        (sheet(secondary="<b title=''></b>" * 16), MALFORMED),
        (sheet().replace("</td>", "</td><b>", 1), MALFORMED),
        (sheet().replace("</td>", "</td></b>", 1), MALFORMED),
        (sheet().replace("</td>", "</td>words", 1), MALFORMED),
        (sheet().replace("</td></tr>", "</td>" + "<td></td>" * 13 + "</tr>"), MALFORMED),
        (grid("<tr></tr>" * 7 + row()), MALFORMED),
        (sheet(name="x</b>"), MALFORMED),
        (sheet(name="<b>" * 9 + "</b>" * 9), MALFORMED),
        (sheet() + INVALID, MALFORMED),
        (INVALID + INVALID, MALFORMED),
        ("<p class=ClassErro><b>x</b></p>", MALFORMED),
        ("<p class=ClassErro>Erro interno</p>", FAULT),
        (sheet() + "<a title='", MALFORMED),
        (sheet() + "<!--", MALFORMED),
        (sheet() + "<script>", MALFORMED),
        (sheet() + "<script/>", MALFORMED),
        (sheet() + "<![CDATA[x]]>", MALFORMED),
        (sheet() + "<END-OF-PAGE>", MALFORMED),
        (sheet() + "\x1b", MALFORMED),
        (sheet() + "<b>" * 9000, MALFORMED),
        (sheet() + " " * 131_072, MALFORMED),
        (sheet().encode() + b"\xe9", MALFORMED),
    ],
)
def test_another_page_has_its_code(page: str, code: str) -> None:
    assert lookup(page) == code
    assert lookup(page, claimed={"nif": NIPC}) == code


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ((), True),
        ((("content-type", "text/html"),), True),
        ((("content-type", 'TEXT/html \t; charset="UTF-8"'),), True),
        ((("content-type", "text/html; charset=iso-8859-1"),), False),
        ((("content-type", "text/html"), ("Content-Type", "text/plain")), False),
    ],
)
def test_the_media_type_is_html_in_utf_8_or_not_said(headers: Any, good: bool) -> None:
    assert (lookup(sheet(), *headers) == FOUND) is good


@pytest.mark.parametrize(
    ("status", "code"), [(503, "upstream-unavailable"), (429, "upstream-unavailable"), (302, FAULT), (401, FAULT)]
)
def test_a_form_with_another_status_has_its_code(status: int, code: str) -> None:
    assert outcome("sicae.lookup", form(status=status)) == code


@pytest.mark.parametrize(
    "page", ["", STATE + STATE, STATE.replace("dDw=", ""), STATE.replace("dDw9", "d w"), STATE[:30]]
)
def test_a_form_without_its_hidden_fields_is_malformed(page: str) -> None:
    assert outcome("sicae.lookup", form(page)) == MALFORMED


def test_a_page_that_says_nothing_is_asked_again_with_the_other_search() -> None:
    again = (form(), search(sheet(), posted=made.POSTED_B))
    assert outcome("sicae.lookup", form(), search("nothing"), *again, claimed={"nif": NIPC}) == FOUND
    nothing = (form(), search("nothing"), form(), search("nothing", posted=made.POSTED_B))
    assert outcome("sicae.lookup", *nothing, claimed={"nif": NIPC}) == MALFORMED
    with pytest.raises(CallsEnded):
        outcome("sicae.lookup", form(), search("nothing"))
    first = (form(STATE + FIELD_B), search("nothing", posted=made.POSTED_B), form(), search(sheet()))
    assert outcome("sicae.lookup", *first, claimed={"nif": NIPC}) == FOUND


def test_the_last_session_is_sent_back_and_withheld() -> None:
    first, second = ("set-cookie", "ASP.NET_SessionId=; path=/"), ("Set-Cookie", "ASP.NET_SessionId= abc ; HttpOnly")
    with_session = form(STATE, 200, first, second)
    assert outcome("sicae.lookup", with_session, search(sheet(), session=True)) == FOUND
    assert outcome("sicae.lookup", form(STATE, 200, second, first), search(sheet())) == FOUND
    assert outcome("sicae.lookup", form(STATE, 200, ("set-cookie", "ASP.NET_SessionId=a b"))) == MALFORMED
    with pytest.raises(DerivationError, match="request headers of call 2"):
        outcome("sicae.lookup", with_session, search(sheet()))


def test_references_are_decoded_once_and_only_the_listed_ones() -> None:
    text = "&amp;lt; &#65;&#x42; &#0;&#x80;&#xD800; &eacute; &REG LDA & &nosuchname;"
    assert htmlbody.references_decoded(text) == "&lt; AB &#0;&#x80;&#xD800; é &REG LDA & &nosuchname;"


def test_the_predecessors_record() -> None:
    values = {**FOUND, "cae2Code1": "62010", "cae2Desc1": "X"}
    expected = {"nif": NIPC, "name": "ACME", "cae1Code": "71120", "cae1Desc": "Obras"}
    assert record(values) == {**expected, "cae2Code": "62010", "cae2Desc": "X"}


PIECES = [
    "<td>",
    "</td>",
    "<tr>",
    "</table>",
    "<b title=x>",
    "</b>",
    "&amp;",
    "<!--",
    "-->",
    "<script>",
    "</script>",
    "1",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.binary(max_size=40))
def test_any_page_gives_values_or_a_code(pieces: list[str], garbage: bytes) -> None:
    for page in (
        sheet(name="".join(pieces)).encode(),
        sheet(secondary="".join(pieces)).encode(),
        sheet().encode() + garbage,
    ):
        assert isinstance(lookup(page), str | dict)
    first = form(garbage)
    assert isinstance(outcome("sicae.lookup", first), str)
