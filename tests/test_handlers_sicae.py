"""`sicae.lookup`: what is a result, what is an error, and what can never be taken for a company's data."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devstack import sicae_pages
from devstack.sicae import COMPANIES, FAULTS, VARIANTS, Sicae
from devstack.upstream import Request, Response
from enclave_worker.handlers import HANDLERS, sicae
from enclave_worker.handlers.errors import OperationFailed, ParamsRefused
from enclave_worker.handlers.operation import Ask, Got, Values
from enclave_worker.handlers.sicae_page import MAX_TEXT_CHARACTERS, MAX_TOKEN_CHARACTERS
from policy.manifest import load
from tests.parent import CHECKOUT
from tests.sicae_kit import HEADING, NAMES, NIPC, answering, grid, row, stand_in, through

MANIFEST = load((CHECKOUT / "services" / "sicae.toml").read_bytes())
EMPTY = dict.fromkeys(field.name for field in MANIFEST.operations[0].schema.fields)
PLAIN = {"name": "ACME LDA", "cae1Code": "71120", "cae1Desc": "Engenharia"}


def lookup(fetch: Any, nif: object = NIPC) -> Values:
    return sicae.lookup({"nif": nif}, fetch)


def found(**values: Any) -> Values:
    return {**EMPTY, "nif": NIPC, "found": True, "answer": "found", "cae2Count": 0, "cae2Complete": True, **values}


def failure(fetch: Any, nif: str = NIPC) -> str:
    with pytest.raises(OperationFailed) as caught:
        lookup(fetch, nif)
    return caught.value.code


@pytest.mark.parametrize("variant", range(len(VARIANTS)))
def test_a_company_of_the_register_is_found_with_all_that_the_grid_shows(variant: int) -> None:
    assert lookup(through(Sicae(variant=variant))) == found(
        name="GREEN OPPORTUNITY LDA",
        cae1Code="71120",
        cae1Desc="Atividades de engenharia e técnicas afins",
        cae2Count=3,
        cae2Complete=False,
        cae2Code1="47126",
        cae2Desc1="Comércio a retalho não especializado, por outros métodos",
        cae2Code2="68110",
        cae2Desc2="Compra e venda de bens imobiliários",
        cae2Code3="68310",
        cae2Desc3="Atividades de serviços de intermediação de atividades imobiliárias",
    )


def test_a_list_with_a_free_place_is_complete() -> None:
    values = lookup(stand_in(), "599900016")
    assert (values["cae2Count"], values["cae2Complete"], values["cae2Code2"]) == (1, True, None)


@pytest.mark.parametrize(("nif", "answer"), [("980494796", "no-data"), ("308203811", "invalid-nipc")])
def test_that_there_is_no_such_number_is_a_result_in_the_site_s_own_words(nif: str, answer: str) -> None:
    assert lookup(stand_in(), nif) == {**EMPTY, "nif": nif, "found": False, "answer": answer}


def test_the_values_are_those_that_the_manifest_declares() -> None:
    (operation,), (declared,) = HANDLERS["sicae"], MANIFEST.operations
    assert (operation.name, operation.parameters) == (declared.name, {"nif"})
    for nif in (*COMPANIES, "980494796", "308203811"):
        assert list(lookup(stand_in(), nif)) == [field.name for field in declared.schema.fields]


@pytest.mark.parametrize(
    "nif",
    [None, 513032525, True, "", "51303252", "5130325250", " 513032525", "513032525\n", "51303252a", "٥١٣٠٣٢٥٢٥", []],
)
def test_anything_but_nine_digits_is_refused_before_anything_is_fetched(nif: object) -> None:
    asked: list[Ask] = []
    with pytest.raises(ParamsRefused, match=r"^nif: must be a text of nine digits$"):
        lookup(through(Sicae(), asked), nif)
    with pytest.raises(ParamsRefused):
        sicae.lookup({}, through(Sicae(), asked))
    assert asked == []


def test_the_form_is_fetched_and_sent_back_once_with_its_session() -> None:
    asked: list[Ask] = []
    site = Sicae()
    lookup(through(site, asked))
    assert [(ask.method, ask.url) for ask in asked] == [("GET", sicae.URL), ("POST", sicae.URL)]
    assert [name for name, _ in asked[1].headers] == [
        "User-Agent",
        "Accept",
        "Content-Type",
        "Referer",
        "Origin",
        "Cookie",
    ]
    assert site.searches == [NIPC]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("error", "upstream-unavailable"),
        ("maintenance", "upstream-malformed"),
        ("redirect", "upstream-fault"),
        ("another", "upstream-mismatch"),
        ("label", "upstream-fault"),
        ("form", "upstream-malformed"),
    ],
)
def test_what_is_no_answer_is_an_error_and_never_not_found(fault: str, code: str) -> None:
    assert fault in FAULTS
    assert failure(through(Sicae(faults={NIPC: fault}))) == code


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "upstream-unavailable"), (503, "upstream-unavailable"), (429, "upstream-unavailable")]
    + [(status, "upstream-fault") for status in (204, 302, 400, 403, 404)],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_a_page_with_status_200_is_read(method: str, status: int, code: str) -> None:
    page = grid(row())

    def fetch(ask: Ask) -> Got:
        got = answering(page)(ask)
        return Got(status=status if ask.method == method else 200, headers=(), body=got.body)

    assert failure(fetch) == code


def test_a_search_that_gets_the_form_again_is_repeated_once_with_the_other_names_and_a_form_of_its_own() -> None:
    site, asked = Sicae(faults={NIPC: "form"}), list[Ask]()
    assert failure(through(site, asked)) == "upstream-malformed"
    assert [ask.method for ask in asked] == ["GET", "POST", "GET", "POST"]
    bodies = [ask.body or b"" for ask in asked if ask.method == "POST"]
    states = [re.findall(rb"__VIEWSTATE=([^&]*)", body) for body in bodies]
    assert states[0] != states[1]
    assert [
        variant[0].replace("$", "%24").encode() in body for variant, body in zip(VARIANTS, bodies, strict=True)
    ] == [
        True,
        True,
    ]
    assert len(asked) == MANIFEST.operations[0].max_calls


def test_the_stand_in_takes_the_fields_of_a_form_once_and_from_its_own_session_only() -> None:
    site, asked = Sicae(), list[Ask]()
    lookup(through(site, asked))
    again = through(site)(asked[1])
    stranger = through(Sicae())(asked[1])
    assert (again.status, stranger.status) == (500, 500)


@pytest.mark.parametrize(
    ("cookies", "sent"),
    [
        ([], None),
        (["ASP.NET_SessionId=abc; path=/; HttpOnly"], "abc"),
        (["ASP.NET_SessionId=abc; path=/", "lang=pt"], "abc"),
        (["lang=pt", "ASP.NET_SessionId=abc"], "abc"),
        (["ASP.NET_SessionId=old", "ASP.NET_SessionId=new"], "new"),
        (["ASP.NET_SessionId=old", "ASP.NET_SessionId=; expires=Thu, 01 Jan 1970 00:00:00 GMT"], None),
        (["XASP.NET_SessionId=abc"], None),
        (["lang=ASP.NET_SessionId=abc"], None),
    ],
)
def test_the_session_is_the_last_one_that_any_set_cookie_header_sets(cookies: list[str], sent: str | None) -> None:
    asked: list[Ask] = []
    headers = tuple(("set-cookie", cookie) for cookie in cookies)

    def fetch(ask: Ask) -> Got:
        asked.append(ask)
        return answering(grid(row()), headers=headers)(ask)

    assert lookup(fetch) == found(**PLAIN)
    expected = [] if sent is None else [("Cookie", f"ASP.NET_SessionId={sent}")]
    assert [header for header in asked[1].headers if header[0] == "Cookie"] == expected


@pytest.mark.parametrize("value", ["a b", 'a"b', "a,b", "a\\b", "é", "a" * 257])
def test_a_session_id_that_no_cookie_can_hold_is_never_sent(value: str) -> None:
    fetch = answering(grid(row()), headers=(("set-cookie", f"ASP.NET_SessionId={value}"),))
    assert failure(fetch) == "upstream-malformed"


def form_with(*inputs: str) -> str:
    return f"<form>{''.join(inputs)}</form>"


STATE = '<input type="hidden" name="__VIEWSTATE" id="__VIEWSTATE" value="c3RhdGU=" />'
VALIDATION = '<input type="hidden" name="__EVENTVALIDATION" id="__EVENTVALIDATION" value="dmFs" />'


@pytest.mark.parametrize(
    "state",
    [
        STATE,
        '<input value="c3RhdGU=" x="1" name="__VIEWSTATE">',
        "<INPUT VALUE=c3RhdGU= ID='__VIEWSTATE'>",
        '<input id="__VIEWSTATE"\n\tvalue="c3RhdGU&#61;"/>',
    ],
)
def test_hidden_fields_are_found_by_name_or_id_whatever_stands_around_them(state: str) -> None:
    asked: list[Ask] = []
    fetch = answering(grid(row()), form=form_with(state, VALIDATION))

    def recording(ask: Ask) -> Got:
        asked.append(ask)
        return fetch(ask)

    assert lookup(recording) == found(**PLAIN)
    assert (asked[1].body or b"").startswith(b"__VIEWSTATE=c3RhdGU%3D&__EVENTVALIDATION=dmFs&")


@pytest.mark.parametrize(
    "form",
    [
        form_with(),
        form_with(STATE),
        form_with(VALIDATION),
        form_with(STATE, VALIDATION, STATE),
        form_with(f"<!-- {STATE} -->", VALIDATION),
        form_with(f"<script>{STATE}</script>", VALIDATION),
        form_with(f"<textarea>{STATE}</textarea>", VALIDATION),
        form_with(STATE.replace("input", "div"), VALIDATION),
        form_with(STATE.replace("c3RhdGU=", ""), VALIDATION),
        form_with(STATE.replace("c3RhdGU=", "a b"), VALIDATION),
        form_with(STATE.replace("c3RhdGU=", "a" * (MAX_TOKEN_CHARACTERS + 1)), VALIDATION),
        form_with(STATE, VALIDATION) + "<!--",
    ],
)
def test_a_form_without_exactly_one_of_each_hidden_field_is_malformed(form: str) -> None:
    assert failure(answering(grid(row()), form=form)) == "upstream-malformed"


def test_the_longest_hidden_fields_fit_the_policy_s_request() -> None:
    longest = [
        tag.replace(value, "+" * MAX_TOKEN_CHARACTERS) for tag, value in ((STATE, "c3RhdGU="), (VALIDATION, "dmFs"))
    ]
    asked: list[Ask] = []

    def fetch(ask: Ask) -> Got:
        asked.append(ask)
        return answering(grid(row()), form=form_with(*longest))(ask)

    lookup(fetch)
    (post,) = [rule for rule in MANIFEST.upstreams[0].rules if rule.method == "POST"]
    assert len(asked[1].body or b"") <= post.max_request_bytes


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        ({"name": '<div title="A 12345 LDA">A 12345 LDA</div>'}, {"name": "A 12345 LDA"}),
        ({"name": "<div title='A &amp; B &#39;C&#x27; &#8364;'>x</div>"}, {"name": "A & B 'C' €"}),
        ({"name": '<div title="A & B&REG LDA">x</div>'}, {"name": "A & B&REG LDA"}),
        ({"name": "<span>A LDA</span>"}, {"name": "A LDA"}),
        ({"name": " A LDA "}, {"name": "A LDA"}),
        ({"name": '<div title="">A LDA</div>'}, {"name": "A LDA"}),
        ({"name": '<div title="A "B" LDA">A "B" LDA</div>'}, {"name": 'A "B" LDA'}),
        ({"name": '<div title=""B" LDA">"B" LDA</div>'}, {"name": '"B" LDA'}),
        ({"name": '<div style="x" title="A" style="y">A" style="y</div>'}, {"name": 'A" style="y'}),
        ({"name": '<div title="A" x="B">A" x="B</div>'}, {"name": 'A" x="B'}),
        ({"name": "<div title='A' x='B'>A' x='B</div>"}, {"name": "A' x='B"}),
        ({"name": '<div title=\'A "B" &#39;C&#39;\'>A "B"</div>'}, {"name": "A \"B\" 'C'"}),
        ({"primary": '<div title="99999 coisas">71120</div>'}, {"cae1Desc": "99999 coisas"}),
        ({"primary": '<div title="">71120</div>'}, {"cae1Desc": None}),
        ({"primary": "\n 71120 \n"}, {"cae1Desc": None}),
        (
            {"secondary": '<div title="A">11111,</div><div title="">22222</div><div title=""> </div>'},
            {"cae2Count": 2, "cae2Code1": "11111", "cae2Desc1": "A", "cae2Code2": "22222"},
        ),
        (
            {"secondary": '<div title="A">11111</div><div title="B">11111</div>'},
            {"cae2Count": 1, "cae2Code1": "11111", "cae2Desc1": "A"},
        ),
        ({"secondary": "62020 62030"}, {"cae2Count": 2, "cae2Code1": "62020", "cae2Code2": "62030"}),
        ({"secondary": "<!-- 62020 --><br />"}, {}),
    ],
)
def test_a_cell_says_what_its_column_means(cells: dict[str, str], values: dict[str, Any]) -> None:
    assert lookup(answering(grid(row(**cells)))) == found(**{**PLAIN, **values})


@pytest.mark.parametrize(
    "cells",
    [
        {"name": ""},
        {"name": '<div title="">&nbsp;</div>'},
        {"name": '<div title="A">A</div><div title="B">B</div>'},
        {"name": f'<div title="{"A" * (MAX_TEXT_CHARACTERS + 1)}">A</div>'},
        {"name": "<div>A LDA"},
        {"name": "<div><b>A</div></b>"},
        {"name": "<table><tr><td>A</td></tr></table>"},
        {"primary": ""},
        {"primary": '<div title="A">7112</div>'},
        {"primary": '<div title="A">711200</div>'},
        {"primary": '<div title="A">71120 71121</div>'},
        {"primary": '<div title="A">71120</div><div title="B">71121</div>'},
        {"primary": '<div title="A">٧١١٢٠</div>'},
        {"primary": '<div title="A">CAE 71120</div>'},
        {"primary": '<div title="A "B" C">71120</div>'},
        {"primary": '<div title="A"></div>'},
        {"secondary": '<div title="A">11111</div>22222'},
        {"secondary": "".join(f'<div title="A">1111{digit}</div>' for digit in range(4))},
        {"nipc": ""},
        {"nipc": "51303252"},
        {"nipc": "NIPC 513032525"},
    ],
)
def test_a_cell_that_says_something_else_makes_the_page_malformed(cells: dict[str, str]) -> None:
    assert failure(answering(grid(row(**cells)))) == "upstream-malformed"


@pytest.mark.parametrize(
    "page",
    [
        grid(""),
        grid(row() + row()),
        grid(row() + "<tr></tr>"),
        grid(row(), heading=""),
        grid(row(), heading=HEADING.replace("NIPC", "NIF")),
        grid(row(), heading=HEADING.replace("CAE Principal", "Secção").replace("CAEs Sec", "CAE Sec")),
        grid(row(), heading=HEADING.replace("</tr>", "<td>Mais CAE</td></tr>")),
        grid(row().replace(f"<td>{NIPC}</td>", "")),
        grid(row().replace("<td>", '<td colspan="2">', 1)),
        grid(row()) + grid(row()),
        grid(row()).replace("</table>", ""),
        grid(row()).replace("</body>", '<span class="ClassErro">x</span></body>'),
        grid(row()).replace("</body>", "<!-- "),
        grid(row()).replace("</body>", "<script>"),
        grid(row()).rstrip().removesuffix(">"),
        grid(row()).replace("</body>", "\x00</body>"),
        grid(row()).encode("latin-1"),
        grid(row()).encode() + b"\xff",
        sicae_pages.search(NAMES, label="a<b>c</b>"),
        sicae_pages.search(NAMES, label="a").replace("a</span>", "a"),
        sicae_pages.search(NAMES, label=sicae_pages.NO_NIPC) + '<p class="x ClassErro">y</p>',
        "",
        sicae_pages.maintenance(),
        b"\x1f\x8b\x08\x00",
    ],
)
def test_a_page_of_another_shape_is_malformed(page: str | bytes) -> None:
    assert failure(answering(page)) == "upstream-malformed"


@pytest.mark.parametrize(
    "markup",
    [
        "<!-- {} -->",
        "<script>{}</script>",
        "<noscript>{}</noscript>",
        "<textarea>{}</textarea>",
        '<div title="{}"></div>',
        "<div data-x='{}'></div>",
    ],
)
def test_a_grid_that_a_browser_would_not_show_is_no_grid(markup: str) -> None:
    table = grid(row()).partition("<table class")[2].partition("</table>")[0]
    quoted = f"<table class{table}</table>".replace('"', "&quot;").replace("'", "&#39;")
    assert failure(answering(sicae_pages.search(NAMES, grid=markup.format(quoted)))) == "upstream-malformed"


@pytest.mark.parametrize("nipc", ["501442600", "51303252", "5130325255"])
def test_a_page_that_shows_another_number_in_its_form_is_an_answer_to_another_question(nipc: str) -> None:
    for given_page in (
        sicae_pages.search(NAMES, nipc=nipc, grid=sicae_pages.nothing()),
        sicae_pages.search(NAMES, nipc=nipc, label=sicae_pages.NO_NIPC),
        sicae_pages.search(NAMES, nipc=nipc, grid=sicae_pages.result(NIPC, COMPANIES[NIPC])),
    ):
        assert failure(answering(given_page)) == "upstream-mismatch"


def test_not_found_is_believed_only_in_the_one_sentence_and_with_nothing_beside_it() -> None:
    nothing = sicae_pages.search(NAMES, grid=sicae_pages.nothing())
    assert lookup(answering(nothing))["answer"] == "no-data"
    for changed in (
        nothing.replace("Não existem dados para", "Não foi possível obter dados para"),
        nothing.replace("&nbsp;</td>", f"{NIPC}</td>"),
        nothing.replace('title="">', 'title="">71120', 1),
    ):
        assert failure(answering(changed)) == "upstream-malformed"
    assert failure(answering(sicae_pages.search(NAMES, label="O campo 'NIPC' é válido"))) == "upstream-fault"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("text/html; charset=utf-8", True),
        ("text/html", True),
        ('TEXT/HTML;charset="UTF-8"', True),
        ("text/html; charset=iso-8859-1", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_what_says_to_be_no_html_in_utf_8_is_not_read(value: str, read: bool) -> None:
    fetch = answering(grid(row()), headers=(("content-type", value),))
    if read:
        assert lookup(fetch) == found(**PLAIN)
    else:
        assert failure(fetch) == "upstream-malformed"


def test_the_record_has_the_first_secondary_activity_and_nothing_where_there_is_no_company() -> None:
    assert sicae.record(lookup(stand_in())) == {
        "nif": NIPC,
        "name": "GREEN OPPORTUNITY LDA",
        "cae1Code": "71120",
        "cae1Desc": "Atividades de engenharia e técnicas afins",
        "cae2Code": "47126",
        "cae2Desc": "Comércio a retalho não especializado, por outros métodos",
    }
    nobody = sicae.record(lookup(stand_in(), "980494796"))
    assert {name for name, value in nobody.items() if value is not None} == {"nif"}


def given_or_failed(fetch: Any) -> None:
    """Whatever the site answers: the declared values, of the declared types, for the number asked for; or a code."""
    try:
        values = lookup(fetch)
    except OperationFailed:
        return
    assert list(values) == list(EMPTY)
    assert values["nif"] == NIPC
    assert (values["answer"] == "found") is values["found"]
    for name, value in values.items():
        assert value is None or isinstance(
            value, {"found": bool, "cae2Complete": bool, "cae2Count": int}.get(name, str)
        )
        assert "Code" not in name or value is None or re.fullmatch(r"[0-9]{5}", str(value))


@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(100, 599))
def test_any_bytes_are_values_or_a_failure(form: bytes, page: bytes, status: int) -> None:
    given_or_failed(answering(page, form=form))
    given_or_failed(answering(page))

    def fetch(ask: Ask) -> Got:
        return Got(status=status if ask.method == "POST" else 200, headers=(), body=answering(page)(ask).body)

    given_or_failed(fetch)


PAGES = [
    grid(row(secondary='<div title="A">11111,</div><div title="">22222</div>')),
    sicae_pages.search(NAMES, nipc=NIPC, grid=sicae_pages.result(NIPC, COMPANIES[NIPC])),
    sicae_pages.search(NAMES, nipc=NIPC, grid=sicae_pages.nothing()),
    sicae_pages.search(NAMES, nipc=NIPC, label=sicae_pages.NO_NIPC),
]
DEBRIS = ["<", ">", '"', "'", "&", "&#0;", "<![CDATA[", "<!x", "<?", "\x00", "]]>"]
PIECES = [*re.findall(r"<[^>]*>|[^<]+", PAGES[1]), *DEBRIS]


@given(st.data())
@settings(max_examples=200)
def test_any_damage_to_a_page_gives_values_or_a_failure(data: st.DataObject) -> None:
    page = data.draw(st.sampled_from(PAGES))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(page)))
        end = data.draw(st.integers(start, min(len(page), start + 400)))
        page = page[:start] + "".join(data.draw(st.lists(st.sampled_from(PIECES), max_size=3))) + page[end:]
    given_or_failed(answering(page))
    given_or_failed(answering(page, form=page))


@given(st.lists(st.tuples(st.sampled_from(["set-cookie", "content-type", "x"]), st.text(max_size=40)), max_size=4))
def test_any_headers_give_values_or_a_failure(headers: list[tuple[str, str]]) -> None:
    given_or_failed(answering(PAGES[0], headers=tuple(headers)))


def test_a_failed_fetch_passes_through() -> None:
    class LostError(Exception):
        pass

    def fetch(_: Ask) -> Got:
        raise LostError

    with pytest.raises(LostError):
        lookup(fetch)


def test_the_stand_in_refuses_what_it_does_not_know() -> None:
    assert Sicae()(Request(method="GET", host="www.sicae.pt", path="/Detalhe.aspx")).status == 404
    assert Sicae()(Request(method="PUT", host="www.sicae.pt", path="/Consulta.aspx")).status == 404
    assert isinstance(Sicae(form_status=503)(Request(method="GET", host="", path="/Consulta.aspx")), Response)
    with pytest.raises(ValueError, match="no fault"):
        Sicae(faults={NIPC: "earthquake"})
