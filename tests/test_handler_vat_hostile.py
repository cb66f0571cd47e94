"""Any bytes under any status give the VAT handlers' values or an OperationFailed; bombs cost few steps, little memory.

Steps are counted, not timed: calls of Python functions in the handlers' own folder. What expat and the JSON scanner do
beneath is bounded by the size of the body, which the manifest's rules cap at 256 KiB, and of XML at 16 KiB. What expat
holds is in no count of Python's: test_memory.py looks at it from outside.
"""

import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import enclave_worker.handlers
from devstack import vies_xml
from enclave_worker.handlers import soap, xml_tree
from enclave_worker.handlers.errors import OperationFailed
from enclave_worker.handlers.operation import Values
from tests.vat_kit import ANSWERS, MANIFEST, PARAMS, outcome, values

FOLDER = str(Path(enclave_worker.handlers.__file__).parent)
CAP = 256 * 1024
KEYS = {name: set(values(name, make())) for name, make in ANSWERS.items()}
STATUSES = st.one_of(st.sampled_from([200, 404, 500]), st.integers(100, 599))
PIECES = [
    *(b"<valid>", b"</valid>", b"true", b"false", b"---", b"&amp;", b"&#0;", b"&x;", b"<![CDATA[", b"]]>", b"<!--"),
    *(b"-->", b"<!DOCTYPE a>", b"<?x?>", b'xmlns=""', b' xsi:nil="true"', b"\xef\xbb\xbf", b"\xff", b"\0", b"\\ud800"),
    *(b'"valid":', b"null", b"NaN", b"1e999", b"{", b"}", b"[", b"]", b",", b":", b'"', b"507172230", b"PT", b"\r\n"),
]


def check(name: str, body: bytes, status: int) -> str:
    """Run an operation: complete values of the right types, or an OperationFailed, whose code is in the table."""
    try:
        found: Values = values(name, body, status)
    except OperationFailed as exc:
        return exc.code
    assert set(found) == KEYS[name]
    assert isinstance(found["valid"], bool)
    assert all(value is None or isinstance(value, str | bool) for value in found.values())
    asked = PARAMS[name]
    assert all(found[key] == asked[key] for key in ("countryCode", "vatNumber") if key in asked)
    return "values"


everywhere = pytest.mark.parametrize("name", ANSWERS)


@everywhere
@given(body=st.binary(max_size=400), status=STATUSES)
@example(body=b"", status=200)
@example(body=b"<", status=500)
@example(body=b'{"code":"NOT_FOUND"}', status=404)
def test_any_bytes_give_values_or_a_failure(name: str, body: bytes, status: int) -> None:
    check(name, body, status)


@everywhere
@given(data=st.data(), status=STATUSES)
def test_a_good_answer_with_pieces_cut_and_put_in_gives_values_or_a_failure(
    name: str, data: st.DataObject, status: int
) -> None:
    body = ANSWERS[name]()
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        end = data.draw(st.integers(start, min(len(body), start + 30)))
        body = body[:start] + data.draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8))) + body[end:]
    check(name, body, status)


@everywhere
def test_every_prefix_of_a_good_answer_is_a_failure(name: str) -> None:
    body = ANSWERS[name]()
    assert outcome(name, body) == "values"
    assert {outcome(name, body[:length]) for length in range(len(body))} == {"upstream-malformed"}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = ["countryCode", "vatNumber", "valid", "name", "address", "requestDate", "errorWrappers", "actionSucceed"]
MEMBERS += ["target", "processingDate", "code", "message"]


@pytest.mark.parametrize("name", ["vies.check_vat_rest", "hmrc.lookup"])
@given(changes=st.dictionaries(st.sampled_from(MEMBERS), JSON_VALUES, max_size=3), status=STATUSES)
def test_a_good_answer_with_members_of_any_type_gives_values_or_a_failure(
    name: str, changes: dict[str, object], status: int
) -> None:
    body = json.dumps(json.loads(ANSWERS[name]()) | changes).encode()
    check(name, body, status)


# --- bombs ---------------------------------------------------------------------------------------------------------


def laughs(levels: int = 9) -> str:
    """Ten of the next lower level in each of the levels: 10^9 texts in 500 bytes."""
    names = "".join(f'<!ENTITY l{level} "{f"&l{level - 1};" * 10}">' for level in range(1, levels + 1))
    return f'<!DOCTYPE x [<!ENTITY l0 "lol">{names}]>'


def answered(inner: str, prolog: str = "") -> str:
    envelope = vies_xml.answer("checkVat", [("countryCode", "PT"), ("vatNumber", "507172230"), ("valid", "true")])
    return prolog + envelope.replace("</ns2:checkVatResponse>", f"{inner}</ns2:checkVatResponse>")


def filled(unit: str, make: Callable[[str], str] = lambda text: text, cap: int = CAP) -> str:
    """As many units as fit under the cap, in what `make` puts around them."""
    return make(unit * ((cap - len(make("").encode()) - 1) // len(unit.encode())))


def crammed(unit: str, make: Callable[[str], str] = lambda text: text) -> str:
    """The same under the cap of XML."""
    return filled(unit, make, xml_tree.MAX_XML_BYTES)


def numbered(template: str, digits: int = 6, cap: int = CAP) -> str:
    """Distinct texts up to the cap: `template` with a number in it, again and again."""
    length = len(template.format(0).encode()) + digits - 1
    return "".join(template.format(f"{index:0{digits}}") for index in range((cap - 600) // length))


LEFT = xml_tree.MAX_XML_BYTES - 200  # what the envelope leaves
XML_BOMBS = {
    "a billion laughs": answered("<ns2:name>&l9;</ns2:name>", laughs()),
    "a billion laughs that nobody asks for": answered("", laughs()),
    "one long entity, often": crammed("&a;", lambda text: answered(text, f'<!DOCTYPE x [<!ENTITY a "{"A" * 9000}">]>')),
    "an entity that holds itself": answered("&a;", '<!DOCTYPE x [<!ENTITY a "&a;">]>'),
    "a file": answered("&a;", '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'),
    "a parameter entity": answered("", '<!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1/"> %a;]>'),
    "a document type that does not end": crammed("<!ENTITY a 'b'>", lambda text: f"<!DOCTYPE x [{text}"),
    "deep": crammed("<a>"),
    "deep in a name": crammed("<a>", lambda text: answered(f"<ns2:name>{text}")),
    "wide": crammed("<a/>", answered),
    "wide in the Header": crammed("<a/>", lambda text: answered("").replace("r/>", f"r>{text}</env:Header>", 1)),
    "one element with many attributes": answered("<ns2:name" + numbered(" a{}=''", cap=LEFT) + "/>"),
    "one element with many namespaces": answered("<ns2:name" + numbered(" xmlns:a{}='u'", cap=LEFT) + "/>"),
    "one long namespace, often": answered(f'<a xmlns:x="{"u" * 6000}"' + numbered(" x:a{}=''", cap=LEFT - 6000) + "/>"),
    "one long attribute": crammed("A", lambda text: answered(f'<ns2:name a="{text}"/>')),
    "one long name": crammed("A", lambda text: answered(f"<{text}/>")),
    "one long namespace": crammed("A", lambda text: answered(f'<x xmlns="{text}"/>')),
    "many lines": crammed("\n", lambda text: answered(f"<ns2:name>{text}</ns2:name>")),
    "many references": crammed("&#9;", lambda text: answered(f"<ns2:name>{text}</ns2:name>")),
    "many sections": crammed("<![CDATA[]]>", lambda text: answered(f"<ns2:name>{text}</ns2:name>")),
    "many comments": crammed("<!---->", answered),
    "many instructions": crammed("<?a?>", answered),
    "an unfinished comment": crammed("<!-", lambda text: answered(f"<!--{text}")),
    "an unfinished section": crammed("]]", lambda text: answered(f"<![CDATA[{text}")),
    "an unfinished tag": crammed(" ", lambda text: f"<env:Envelope{text}"),
}  # fmt: skip
JSON_BOMBS = {
    "deep arrays": filled("["),
    "deep objects": filled('{"a":'),
    "deep arrays in an answer": filled("[", lambda text: f'{{"valid":true,"a":{text}'),
    "wide arrays": filled("[],", lambda text: f'{{"a":[{text}[]]}}'),
    "many keys": "{" + numbered('"{}":0,') + '"z":0}',
    "the same key, often": filled('"a":0,', lambda text: f'{{{text}"a":0}}'),
    "a long number": filled("9", lambda text: f'{{"valid":{text}}}'),
    "a long fraction": filled("9", lambda text: f'{{"valid":0.{text}}}'),
    "a long exponent": filled("9", lambda text: f'{{"valid":1e{text}}}'),
    "a long text of escapes": filled("\\u0041", lambda text: f'{{"valid":"{text}"}}'),
    "an unfinished text": filled("\\\\", lambda text: f'{{"valid":"{text}'),
    "blanks": filled(" ", lambda text: f"{{{text}"),
}
BOMBS = [("vies.check_vat", what, text) for what, text in XML_BOMBS.items()]
BOMBS += [(name, what, text) for what, text in JSON_BOMBS.items() for name in ("vies.check_vat_rest", "hmrc.lookup")]

MAX_JSON_STEPS = CAP // 2  # ours: one for each object and array, the shortest of which has 2 bytes and a comma
MAX_XML_STEPS = 4 * xml_tree.MAX_ELEMENTS  # ours: an element costs its start, its end and the text before and behind it
MAX_XML_MEMORY_BYTES = 16 * 1024 * 1024  # ours: expat repeats a namespace's name for each attribute
MAX_MEMORY_BYTES = 32 * CAP  # ours: a list in JSON costs 3 bytes there and 64 here


def cost(run: Callable[[], object]) -> tuple[int, int]:
    """Return how many functions of the handlers' folder `run` calls, and the most memory that it holds, in bytes."""
    steps = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal steps
        steps += event == "call" and frame.f_code.co_filename.startswith(FOLDER)

    tracemalloc.start()
    sys.setprofile(count)
    try:
        run()
        return steps, tracemalloc.get_traced_memory()[1]
    finally:
        sys.setprofile(None)
        tracemalloc.stop()


@pytest.mark.parametrize(("name", "what", "text"), BOMBS, ids=[f"{name}: {what}" for name, what, _ in BOMBS])
def test_a_bomb_costs_few_steps_and_little_memory(name: str, what: str, text: str) -> None:
    body = text.encode()
    assert len(body) <= (xml_tree.MAX_XML_BYTES if name == "vies.check_vat" else CAP)
    steps, memory = cost(lambda: check(name, body, 200))
    assert steps <= (MAX_XML_STEPS if name == "vies.check_vat" else MAX_JSON_STEPS)
    assert memory <= (MAX_XML_MEMORY_BYTES if name == "vies.check_vat" else MAX_MEMORY_BYTES)


def test_the_count_sees_a_parser_without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = XML_BOMBS["wide"].encode()
    monkeypatch.setattr(xml_tree, "MAX_ELEMENTS", CAP)
    assert cost(lambda: check("vies.check_vat", wide, 200))[0] > MAX_XML_STEPS


def test_a_refused_document_type_is_not_read_to_its_end() -> None:
    body = XML_BOMBS["a billion laughs"].encode()
    with pytest.raises(OperationFailed, match="document type"):
        soap.content(body)
    with pytest.raises(OperationFailed, match="document type"):
        soap.content(body[:20])  # the rest was never looked at: cut off, it is the same error


def test_xml_beyond_its_cap_is_refused_unread() -> None:
    caps = {
        rule.max_response_bytes for upstream in MANIFEST.upstreams for rule in upstream.rules if rule.method == "POST"
    }
    assert caps == {CAP}
    long = b"<a>" * (xml_tree.MAX_XML_BYTES // 3 + 1)
    steps, memory = cost(lambda: check("vies.check_vat", long, 200))
    assert (steps < 20, memory < CAP) == (True, True)
