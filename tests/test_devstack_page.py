"""`make page`: the page is as it leaves it, and another schema gets in with a policy that allows the new script."""

import base64
import hashlib
import re

import pytest

from devstack import page
from tytle_verifier import schemas


def test_the_page_is_as_make_page_leaves_it() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.with_tables(text) == text


def test_another_schema_gets_in_and_its_script_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    other = schemas.parse("tytle/other/v1", ["id shortString", "note sha256?"])
    monkeypatch.setattr(page, "SCHEMAS", {**schemas.SCHEMAS, other.id: other})
    made = page.with_tables(text)
    assert '\n  "tytle/other/v1": "id shortString, note sha256?",\n};\n' in made
    (script,) = re.findall(r'<script type="module">(.*?)</script>', made, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in made
    monkeypatch.undo()
    assert page.with_tables(made) == text


def test_another_operation_gets_in_with_its_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    monkeypatch.setattr(page, "OPERATIONS", {"rates.latest": {"base": ("base",), "quote": ("quote", "unit")}})
    made = page.with_tables(text)
    rows = made.partition("\nconst PARAMETERS = {")[2].partition("\n};")[0].splitlines()[1:]
    assert rows == ['  "rates.latest": {"base": ["base"], "quote": ["quote", "unit"]},']
    monkeypatch.undo()
    assert page.with_tables(made) == text
