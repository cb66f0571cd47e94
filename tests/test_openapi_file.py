"""The description as a file: valid OpenAPI 3.1, made from its parts, and nothing missing in it or beyond it."""

from __future__ import annotations

import ast
import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.archive.settings import ArchiveSettings
from app.config import Config
from app.errors import CODES
from app.gate import OPEN_PATHS
from devstack.openapi import __main__ as made
from devstack.openapi.requested import BASE64_PATTERN, CHALLENGE_PATTERN
from policy.errors import ADVICE
from tests.openapi_kit import DESCRIBED, TEXT, operations, routes
from tests.parent import CHECKOUT, VIES, parent, serving
from wire import fields
from wire.addresses import UnixAddress
from wire.errors import MessageError
from wire.messages import CALL_FIELDS
from wire.queries import MAX_NAME_CHARS, QUERY_FIELDS

SCHEMAS = DESCRIBED["components"]["schemas"]
COMPONENTS = [f"#/components/{kind}/{name}" for kind, named in DESCRIBED["components"].items() for name in named]
BEFORE_ROUTING = {"method_not_allowed"}  # no operation's answer: the description says so in words


def test_the_file_is_what_its_parts_make() -> None:
    assert made.text() == TEXT, "make openapi"


def test_it_is_valid() -> None:
    assert [str(error) for error in OpenAPIV31SpecValidator(DESCRIBED).iter_errors()] == []


def test_the_parent_serves_it_byte_for_byte(tmp_path: Path) -> None:
    with parent(UnixAddress(path=str(tmp_path / "none"))) as client:
        response = client.get("/openapi.json")
    assert (response.status_code, response.content_type) == (200, "application/json")
    assert response.get_data(as_text=True) == TEXT


@pytest.mark.parametrize("archived", [True, False])
def test_every_route_is_described_and_every_path_is_a_route(tmp_path: Path, *, archived: bool) -> None:
    archive = ArchiveSettings(url=f"sqlite:///{tmp_path / 'archive.db'}") if archived else None
    with serving(Config(manifests=(VIES,), archive=archive)) as app:
        served = routes(app)
    assert served == {
        (path, method) for path, method, operation in operations() if archived or operation["tags"] != ["archive"]
    }


@pytest.mark.parametrize("part", [part for part in COMPONENTS if "/securitySchemes/" not in part])
def test_every_component_is_used(part: str) -> None:
    assert f'"{part}"' in TEXT


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert sorted(set(names)) == sorted(names)


def test_the_paths_that_want_no_caller_are_those_of_the_gate() -> None:
    assert {path for path, _, operation in operations() if operation.get("security") == []} == OPEN_PATHS


# --- errors


def raised() -> Iterator[tuple[int, str]]:
    """Yield status and code of every ApiError in the parent's source whose code is written there."""
    for path in sorted((CHECKOUT / "app").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ApiError":
                status, code = node.args[:2]
                if isinstance(status, ast.Constant) and isinstance(code, ast.Constant):
                    yield status.value, code.value


def described() -> Iterator[tuple[int, str]]:
    """Yield every status and code, or pattern of codes, that an operation may answer."""
    for _, _, operation in operations():
        for status, response in operation["responses"].items():
            if "$ref" in response:
                response = DESCRIBED["components"]["responses"][response["$ref"].rpartition("/")[2]]  # noqa: PLW2901
                code = response["content"]["application/json"]["schema"]["allOf"][1]["properties"]["code"]
                yield from ((int(status), each) for each in code.get("enum", [code.get("pattern")]))


def test_every_error_of_the_parent_is_described() -> None:
    found = set(raised()) | {(status, code) for status, code in CODES.items() if code not in BEFORE_ROUTING}
    assert len(found) >= 15
    known = set(described())
    missing = {
        (status, code)
        for status, code in found
        if not any(status == other and re.fullmatch(form, code) for other, form in known)
    }
    assert missing == set()


def test_no_error_is_described_that_the_source_does_not_have() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in sorted((CHECKOUT / "app").rglob("*.py")))
    known = {*re.findall(r'"([a-z._-]+)"', source), *ADVICE}
    assert {code for _, code in described() if "^" not in code} - known == set()


@pytest.mark.parametrize("code", [code for code in ADVICE if code.startswith(("url.", "method.", "header."))])
def test_the_codes_of_the_grammars_fit_the_pattern(code: str) -> None:
    (pattern,) = {code for status, code in described() if status == 400 and code.startswith("^")}
    assert re.fullmatch(pattern, code) or code.endswith(".not-allowed")


# --- what is asked


@pytest.mark.parametrize(("name", "known"), [("Fetch", CALL_FIELDS), ("Query", QUERY_FIELDS)])
def test_a_question_has_the_fields_that_are_read(name: str, known: frozenset[str]) -> None:
    assert set(SCHEMAS[name]["properties"]) == known
    assert SCHEMAS[name]["additionalProperties"] is False


def test_limits_are_those_that_are_enforced() -> None:
    assert SCHEMAS["TimeoutMs"]["maximum"] == fields.MAX_TIMEOUT_MS
    assert SCHEMAS["Mode"]["enum"] == [*fields.MODES, None]
    assert SCHEMAS["Query"]["properties"]["operation"]["maxLength"] == MAX_NAME_CHARS
    assert SCHEMAS["Id"]["pattern"] == f"^[!-~]{{0,{fields.MAX_ID_CHARS}}}$"


@given(st.binary(max_size=70) | st.binary(min_size=15, max_size=17) | st.binary(min_size=63, max_size=65))
def test_the_pattern_of_a_challenge_takes_what_is_taken(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    taken = fields.MIN_CHALLENGE_BYTES <= len(data) <= fields.MAX_CHALLENGE_BYTES
    assert bool(re.fullmatch(CHALLENGE_PATTERN, text)) == taken == (read(fields.challenge, text) is not None)
    assert re.fullmatch(BASE64_PATTERN, text)


@given(st.text("AQgwEIBZ+/=_ -\n", max_size=30) | st.from_regex(BASE64_PATTERN) | st.from_regex(CHALLENGE_PATTERN))
def test_the_patterns_of_base64_refuse_what_is_refused(text: str) -> None:
    whole = re.fullmatch(BASE64_PATTERN, text) is not None
    assert whole == (read(lambda value: fields.base64_bytes("x", value), text) is not None)
    assert bool(re.fullmatch(CHALLENGE_PATTERN, text)) == (read(fields.challenge, text) is not None)


def read(reader: Any, text: str) -> Any:
    """Return what a reader makes of a text, None where it refuses it."""
    try:
        return reader(text)
    except MessageError:
        return None


@pytest.mark.parametrize("path", ["/attest/fetch", "/attest/query"])
def test_the_examples_are_questions(path: str) -> None:
    content = DESCRIBED["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    for example in content["examples"].values():
        json.dumps(example["value"])
        assert fields.challenge(example["value"]["challenge"]) == bytes(range(16))
