"""The search for planted secrets: what it must find, and that it finds it across the edges of blocks."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recording import search
from tests.recording.search import sightings

SECRETS = {
    "plain": "k3JhR0bTq9mZ7w1XcVnA",
    "awkward": 'Zoë "Ω"/?&=+',
    "greek": "ΦΑΝΤΑΣΤΙΚΗ",
    "bytes": b"\xff\x00" * 9,
}
OF_BYTES: dict[str, Callable[[bytes], bytes]] = {
    "as it is": bytes,
    "hex": lambda data: data.hex().encode(),
    "HEX": lambda data: data.hex().upper().encode(),
    "base64, nothing before": base64.b64encode,
    "base64, one byte before": lambda data: base64.b64encode(b"=" + data + b"."),
    "base64, two bytes before": lambda data: base64.b64encode(b"==" + data + b".."),
    "base64url": lambda data: base64.urlsafe_b64encode(b"token=" + data + b"&"),
    "quote": lambda data: quote(data, safe="").encode(),
    "quote_plus": lambda data: quote_plus(data).encode(),
}
OF_TEXT: dict[str, Callable[[str], bytes]] = {
    "JSON": lambda text: json.dumps({"a": text}).encode(),
    "JSON in JSON": lambda text: json.dumps({"body": json.dumps({"a": text})}).encode(),
    "UTF-8 JSON": lambda text: json.dumps({"a": text}, ensure_ascii=False).encode(),
    "UTF-8 JSON in JSON": lambda text: json.dumps(
        {"body": json.dumps({"a": text}, ensure_ascii=False)}, ensure_ascii=False
    ).encode(),
    "UTF-16": lambda text: text.encode("utf-16-le"),
    "UTF-16, big end first": lambda text: text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32-le"),
}


def found(tmp_path: Path, data: bytes) -> set[str]:
    path = tmp_path / "record"
    path.write_bytes(b"before " + data + b" behind")
    return {sighting.secret for sighting in sightings(SECRETS, {"record": path})}


@pytest.mark.parametrize("spell", OF_BYTES.values(), ids=OF_BYTES.keys())
@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_found_however_its_bytes_are_spelt(
    name: str, spell: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    secret = SECRETS[name]
    assert found(tmp_path, spell(secret.encode() if isinstance(secret, str) else secret)) == {name}


@pytest.mark.parametrize("spell", OF_TEXT.values(), ids=OF_TEXT.keys())
@pytest.mark.parametrize("name", ["plain", "awkward", "greek"])
def test_a_secret_is_found_however_its_text_is_spelt(name: str, spell: Callable[[str], bytes], tmp_path: Path) -> None:
    secret = SECRETS[name]
    assert isinstance(secret, str)
    assert found(tmp_path, spell(secret)) == {name}


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert found(tmp_path, bytes(range(256)) * 64) == set()


@given(offset=st.integers(0, 300))
def test_a_secret_across_the_edge_of_two_blocks_is_found(offset: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("blocks") / "record"
    path.write_bytes(b"." * offset + b"needle-in-the-hay" + b"." * 300)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "BLOCK_BYTES", 100)
        (only,) = sightings({"needle": "needle-in-the-hay"}, {"record": path})
    assert (only.form, only.offset) == ("raw", offset)
