"""HTML of strangers: which tokens a page has, which rows a table, and what the worst page can cost."""

import sys
import tracemalloc
from collections.abc import Callable
from html.entities import html5
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_worker.handlers import markup
from enclave_worker.handlers.errors import OperationFailed
from enclave_worker.handlers.grid import MAX_CELLS, MAX_DEPTH, MAX_PIECES, MAX_ROWS, Piece, rows_of, text_of
from enclave_worker.handlers.markup import (
    MAX_PAGE_CHARACTERS,
    MAX_TOKENS,
    SILENT,
    End,
    Start,
    Text,
    Token,
    decode,
    tokens_of,
)
from tests import sicae_kit
from tests.test_handlers_sicae import given_or_failed


def start(name: str, sound: bool = True, **attributes: str) -> Start:
    return Start(name=name, attributes=tuple(attributes.items()), sound=sound)


def texts(page: str) -> list[list[str]]:
    """The texts of a table's cells."""
    return [[text_of(cell) for cell in row] for row in rows_of(tokens_of(page))]


def problem(read: Callable[[], object]) -> str:
    with pytest.raises(OperationFailed) as caught:
        read()
    assert caught.value.code == "upstream-malformed"
    return caught.value.problem


@pytest.mark.parametrize(
    ("page", "tokens"),
    [
        ("", []),
        ("a<B c=D e='F' g=\"H\" i>j</B >", [Text(text="a"), start("b", c="D", e="F", g="H", i=""), *"j"]),
        ("<br/><br />", [start("br"), start("br")]),
        ("<!DOCTYPE html><!-- <a> --><?php a ?>b", [Text(text="b")]),
        ("1 < 2", [Text(text="1 "), Text(text="<"), Text(text=" 2")]),
        ("<a b='<c>'>", [start("a", b="<c>")]),
        ('<a b="c "d" e">', [Start(name="a", attributes=(("b", "c "), ('d"', ""), ('e"', "")), sound=False)]),
        ("<a b=1 b=2>", [Start(name="a", attributes=(("b", "1"), ("b", "2")), sound=False)]),
        ("<script><a></script>", [start("script"), End(name="script")]),
        ("<SCRIPT>//<![CDATA[\n'<a>' //]]>\n</script>b", [start("script"), End(name="script"), Text(text="b")]),
        ("<a title='&amp;amp;&#39;'>&lt;", [start("a", title="&amp;'"), Text(text="<")]),
    ],
)
def test_a_page_is_its_tags_and_texts_in_order(page: str, tokens: list[Token | str]) -> None:
    expected = [Text(text=token) if isinstance(token, str) else token for token in tokens]
    if page.endswith("</B >"):
        expected.append(End(name="b"))
    assert list(tokens_of(page)) == expected


@pytest.mark.parametrize("name", sorted(SILENT))
def test_what_stands_in_an_element_that_parsers_read_differently_is_dropped(name: str) -> None:
    assert tokens_of(f"<{name} a=b>1<i>2</i>&amp;<!-- 3 --></{name.upper()}>4") == (
        start(name, a="b"),
        End(name=name),
        Text(text="4"),
    )


@pytest.mark.parametrize(
    "page",
    [
        "<a",
        "<a b='",
        '<a b="c>',
        "</a",
        "<!--",
        "<!-- --",
        "<!DOCTYPE",
        "<?a",
        "<script>",
        "<script></script",
        "<style>a",
        "<title>a",
        "<textarea>",
        "<plaintext>a",
        "<noscript>",
    ],
)
def test_a_page_that_ends_inside_something_is_malformed(page: str) -> None:
    assert problem(lambda: tokens_of(f"a{page}")) == "the page ends inside a tag, a comment or a script"


@pytest.mark.parametrize("page", ["<![CDATA[a]]>", "<![if IE]>", "<![a", "<![", "<![a[b]]>c"])
def test_a_page_with_a_marked_section_is_malformed(page: str) -> None:
    assert problem(lambda: tokens_of(page)) in (
        "the page has a marked section",
        "the page ends inside a tag, a comment or a script",
    )


@pytest.mark.parametrize("page", ["<end-of-page>", "<end-of-page/>a", "<end-of-page><!--", "<END-OF-PAGE>"])
def test_a_page_cannot_say_for_itself_where_it_ends(page: str) -> None:
    assert problem(lambda: tokens_of(page)) == "the page has a tag that no page has"


@pytest.mark.parametrize("page", ["<script/>", "<title />a", "<noscript a='b'/>"])
def test_an_element_whose_content_is_dropped_may_not_close_itself(page: str) -> None:
    assert problem(lambda: tokens_of(page)).endswith("closes itself")


@pytest.mark.parametrize("character", ["\x00", "\x08", "\x0b", "\x1b", "\x7f", "\x85", "\x9f"])
def test_a_page_with_a_control_character_is_malformed(character: str) -> None:
    assert problem(lambda: tokens_of(f"<a>{character}")) == "the page has a control character"
    assert tokens_of("<a>\t\n\f\r\u00a0\u2028") == (start("a"), Text(text="\t\n\f\r\u00a0\u2028"))


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("&amp;&lt;&gt;&quot;&apos;&nbsp;", "&<>\"'\u00a0"),
        ("&eacute;&Ccedil;&Atilde;O&euro;", "éÇÃO€"),
        ("&#65;&#x41;&#X4a;&#0065;&#x1F600;", "AAJA😀"),
        ("&amp;lt;", "&lt;"),
        ("&NotEqualTilde;", "\u2242\u0338"),
        ("&amp", "&amp"),
        ("&copy2;&notit;&nosuch;&REG LDA", "&copy2;&notit;&nosuch;&REG LDA"),
        (
            "&#0;&#x0B;&#127;&#128;&#159;&#xD800;&#xDFFF;&#x110000;",
            "&#0;&#x0B;&#127;&#128;&#159;&#xD800;&#xDFFF;&#x110000;",
        ),
        ("&#;&#x;&#x1234567;&#12345678;& ;&;", "&#;&#x;&#x1234567;&#12345678;& ;&;"),
        ("&#\u0661;", "&#\u0661;"),
        (f"&#{'9' * 5000};", f"&#{'9' * 5000};"),
    ],
)
def test_only_a_whole_reference_to_a_character_is_decoded(text: str, decoded: str) -> None:
    assert decode(text) == decoded
    assert tokens_of(f'<a b="{text.replace(chr(34), "")}">') == (start("a", b=decode(text.replace(chr(34), ""))),)


def test_every_name_of_the_standard_s_table_is_decoded() -> None:
    named = {name: value for name, value in html5.items() if name.endswith(";")}
    assert {name: decode(f"&{name}") for name in named} == named


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("<table></table>", []),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>d", [["a", "b"], ["c"]]),
        ("<table><tr><td>a<td>b<tr><th>c</table>", [["a", "b"], ["c"]]),
        ("<table><thead><tr><td>a</thead><tbody><td>b</td></tbody></table>", [["a"], ["b"]]),
        ("<table>\n<!-- x -->\n<tr>\u00a0<td>a<br>b<img></td></tr></table>", [["ab"]]),
        ("<table><tr><td>a <b>b<i>c</i></b> d</td></tr></table>", [["a bc d"]]),
        ("<table><tr></tr><tr><td></td></tr></table>", [[], [""]]),
    ],
)
def test_rows_and_cells_end_where_a_browser_ends_them(table: str, rows: list[list[str]]) -> None:
    assert texts(table) == rows


def test_a_cell_is_its_titled_elements_and_what_stands_around_them() -> None:
    page = "<table><tr><td>a<p title=' T '>b<q title=U>c</q>d</p>e<i title='A\"' x\">f</i></td></tr></table>"
    ((cell,),) = rows_of(tokens_of(page))
    assert cell == (
        Piece(text="ae"),
        Piece(title="T", text="bd"),
        Piece(title="U", text="c"),
        Piece(title='A"', sound=False, text="f"),
    )


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("a<tr><td>b</td></tr>", "a table has text between its cells"),
        ("<tr>a<td>b</td></tr>", "a table has text between its cells"),
        ("<tr><td>b</td>a</tr>", "a table has text between its cells"),
        ("<tr><td>b</td></tr>a", "a table has text between its cells"),
        ("<caption>a</caption>", "a table has an element between its cells"),
        ("<tr><p><td>b</td></tr>", "a table has an element between its cells"),
        ("<tr></td></tr>", "a table has an end tag between its cells"),
        ("</b>", "a table has an end tag between its cells"),
        ("<tr><td><table></table></td></tr>", "a table has a table in it"),
        ("<tr><td colspan=1>a</td></tr>", "a cell spans others"),
        ("<tr><td rowspan=2>a</td></tr>", "a cell spans others"),
        ("<tr><td><b>a</td></tr>", "an element is not closed in its cell"),
        ("<tr><td><b>a<td>b</td></tr>", "an element is not closed in its cell"),
        ("<tr><td><b>a</tr>", "an element is not closed in its cell"),
        ("<tr><td><b/>a</td></tr>", "an element is not closed in its cell"),
        ("<tr><td></b></td></tr>", "the elements of a cell are not closed in their order"),
        ("<tr><td><b><i></b></i></td></tr>", "the elements of a cell are not closed in their order"),
        ("<tr></tr>" * (MAX_ROWS + 1), "a table has too many rows"),
        ("<tr>" + "<td>" * (MAX_CELLS + 1), "a row has too many cells"),
        ("<td>" + "<b>" * (MAX_DEPTH + 1), "a cell has too many elements in one another"),
        ("<td>" + "<b title=''></b>" * MAX_PIECES, "a cell has too many titles"),
    ],
)
def test_a_table_that_needs_repair_is_malformed(inside: str, expected: str) -> None:
    assert problem(lambda: texts(f"<table>{inside}</table>")) == expected


def test_a_table_that_is_not_closed_is_malformed() -> None:
    assert problem(lambda: texts("<table><tr><td>a</td></tr>")) == "the table is not closed"


def test_a_page_may_have_so_many_tokens_and_characters_and_no_more() -> None:
    assert len(tokens_of("<a>" * MAX_TOKENS)) == MAX_TOKENS
    assert "tags and texts" in problem(lambda: tokens_of("<a>" * (MAX_TOKENS + 1)))
    assert tokens_of("a" * MAX_PAGE_CHARACTERS) == (Text(text="a" * MAX_PAGE_CHARACTERS),)
    assert "characters" in problem(lambda: tokens_of("a" * (MAX_PAGE_CHARACTERS + 1)))


def unless_malformed(read: Callable[[], Any]) -> Any:
    """What is read, or None where the page is malformed; any other failure is one of the test."""
    try:
        return read()
    except OperationFailed as exc:
        if exc.code != "upstream-malformed":
            raise
        return None


@given(st.text())
def test_any_text_is_tokens_or_malformed(page: str) -> None:
    tokens = unless_malformed(lambda: tokens_of(page)) or ()
    assert all(isinstance(token, Start | End | Text) for token in tokens)


@given(st.text(alphabet="<>/!-?='\" \nabtdr&#;[]ABC1x", max_size=60))
def test_any_markup_is_tokens_or_malformed_and_any_table_rows_or_malformed(page: str) -> None:
    unless_malformed(lambda: tokens_of(page))
    unless_malformed(lambda: texts(f"<table>{page}</table>"))
    assert isinstance(decode(page), str)


@given(
    st.lists(
        st.sampled_from(["<td>", "<tr>", "</td>", "</tr>", "<b title=a>", "</b>", "1", "<br>", "<tbody>"]), max_size=30
    )
)
def test_the_texts_of_a_table_are_all_in_its_rows_or_it_is_malformed(parts: list[str]) -> None:
    rows = unless_malformed(lambda: texts(f"<table>{''.join(parts)}</table>"))
    if rows is None:
        return
    assert sum(text.count("1") for row in rows for text in row) == parts.count("1")
    assert sum(map(len, rows)) == parts.count("<td>")


SIZE = 40_000  # characters; the worst is in proportion to it
BOMBS = {
    "deep": "<div>" * (SIZE // 5),
    "deep and closed": "<b>" * (SIZE // 7) + "</b>" * (SIZE // 7),
    "cells": "<td>" * (SIZE // 4),
    "rows": "<tr>" * (SIZE // 4),
    "titles": "<b title=a></b>" * (SIZE // 15),
    "tables": "<table>" * (SIZE // 7),
    "labels": '<p class="ClassErro">' * (SIZE // 21),
    "grids": '<table id="ConsultaDataGrid">' * (SIZE // 29),
    "inputs": '<input id="__VIEWSTATE">' * (SIZE // 24),
    "attributes": f"<a {'b ' * (SIZE // 2)}>",
    "valued attributes": f"<a {'b=c ' * (SIZE // 4)}>",
    "a long attribute": f'<a title="{"x" * SIZE}">',
    "a long name": f"<a{'b' * SIZE}>",
    "a long text": "x" * SIZE,
    "unclosed tags": "<a " * (SIZE // 3),
    "unclosed end tags": "</a " * (SIZE // 4),
    "unclosed quotes": '<a b="' * (SIZE // 6),
    "mixed quotes": "<a b=\"'" * (SIZE // 7),
    "unclosed comments": "<!--" * (SIZE // 4),
    "declarations": "<!" * (SIZE // 2),
    "marked sections": "<![CDATA[" * (SIZE // 9),
    "instructions": "<?" * (SIZE // 2),
    "less-than signs": "<" * SIZE,
    "slashes": f"<a{'/' * SIZE}>",
    "equals signs": f"<a{'=' * SIZE}>",
    "blanks in a tag": f"<a{' ' * SIZE}>",
    "blanks in an end tag": f"</a{' ' * SIZE}>",
    "scripts": "<script></script>" * (SIZE // 17),
    "unclosed scripts": "<script>" * (SIZE // 8),
    "half script ends": f"<script>{'</script' * (SIZE // 8)}",
    "ampersands": "&" * SIZE,
    "references": "&amp;" * (SIZE // 5),
    "a long number": f"&#{'9' * SIZE};",
    "half references": "&#x" * (SIZE // 3),
}


def work(act: Callable[[], object]) -> int:
    """Count the calls, of Python's functions and of C's, that `act` makes."""
    count = 0

    def seen(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("place", ["in a cell", "in the grid", "in the form"])
def test_the_worst_page_is_read_in_one_pass_and_in_little_memory(name: str, place: str) -> None:
    bomb = BOMBS[name]
    pages = {
        "in a cell": sicae_kit.grid(sicae_kit.row(name=bomb)),
        "in the grid": sicae_kit.grid(bomb + sicae_kit.row()),
        "in the form": sicae_kit.grid(sicae_kit.row()).replace("<div>", f"{bomb}<div>", 1),
    }
    page = pages[place]
    assert len(page) < MAX_PAGE_CHARACTERS
    fetch = sicae_kit.answering(page, form=page if place == "in the form" else None)
    assert work(lambda: given_or_failed(fetch)) < 16 * len(page)  # four pages are read at most
    tracemalloc.start()
    try:
        given_or_failed(fetch)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * 1024 * 1024


def test_a_page_of_a_million_cells_costs_no_more_than_its_size() -> None:
    fetch = sicae_kit.answering(sicae_kit.grid("<td>" * 1_000_000))
    parsed = work(lambda: given_or_failed(sicae_kit.answering(sicae_kit.grid(sicae_kit.row()))))
    assert work(lambda: given_or_failed(fetch)) < parsed


def test_the_limit_on_tokens_is_what_bounds_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    page = "<td>" * (MAX_PAGE_CHARACTERS // 4)
    bounded = work(lambda: unless_malformed(lambda: tokens_of(page)))
    monkeypatch.setattr(markup, "MAX_TOKENS", len(page))
    assert work(lambda: unless_malformed(lambda: tokens_of(page))) > 3 * bounded
