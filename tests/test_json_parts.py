"""What a JSON text is made of is counted before anything is built of it: the same count in both implementations."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app import said
from enclave_worker.handlers import answers
from tytle_verifier import jsontext as theirs
from tytle_verifier.derive import jsonbody
from wire import hops, jsontext
from wire.errors import MessageError, ReportMalformed

TEXTS = st.text(max_size=6) | st.text('"\\[{,', max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=30,
)
PIECES = st.sampled_from([b'"', b"\\", b"[", b",", b"a", b'\\"', b"\xff"])
JUNK = st.binary(max_size=40) | st.lists(PIECES).map(b"".join)


def parts(value: object) -> int:
    """Count as the specification does, of the value that was read."""
    if isinstance(value, dict):
        return max(len(value), 1) + sum(1 + parts(inner) for inner in value.values())
    if isinstance(value, list):
        return max(len(value), 1) + sum(map(parts, value))
    return int(isinstance(value, str))


def passes(check: Callable[[bytes, int], None], data: bytes, most: int) -> bool:
    try:
        check(data, most)
    except (MessageError, ValueError):
        return False
    return True


CHECKS = pytest.mark.parametrize("check", [jsontext.check_parts, theirs.check_parts])


@CHECKS
@given(value=VALUES, spelled=st.booleans())
@example(value=['"', "\\", '\\"', {"[": ","}], spelled=False)
def test_the_count_is_exact(check: Callable[[bytes, int], None], value: Any, spelled: bool) -> None:
    data = json.dumps(value, ensure_ascii=spelled, indent=1 if spelled else None).encode()
    count = parts(value)
    assert passes(check, data, count)
    assert not passes(check, data, count - 1) or count == 0


@CHECKS
@given(JUNK)
def test_any_bytes_pass_or_not(check: Callable[[bytes, int], None], data: bytes) -> None:
    assert passes(check, data, len(data))
    passes(check, data, 3)


def test_the_limits_of_both_sides_are_the_same() -> None:
    assert (jsontext.MAX_PARTS, answers.MAX_PARTS) == (theirs.MAX_PARTS, jsonbody.MAX_PARTS)


@CHECKS
@pytest.mark.parametrize("unit", [b"x", b'\\"', b"\\\\", b'"', b"\\", b'"",', b'"\\"'], ids=repr)
def test_a_long_text_is_counted_in_one_pass(check: Callable[[bytes, int], None], unit: bytes) -> None:
    """Whatever would be tried again from every quotation mark takes minutes here: this test would not end."""
    passes(check, b'{"a":[,,,"' + unit * (4 * 1024 * 1024 // len(unit)), 10_000)


@pytest.mark.parametrize("unit", ["[],", '{"":0},', '"",', "0,"])
def test_a_parent_reads_no_more_of_what_an_enclave_says(unit: str) -> None:
    some, many = (b'{"a":[' + unit.encode() * count + b"0]}" for count in (1_000, 10_000))
    assert said.json_object(some) is not None
    assert said.json_object(many) is None
    report = hops.encode_report(hops.Report(success=True, status=200, boot="0" * 32))
    assert hops.read_report(report) is not None
    with pytest.raises(ReportMalformed) as caught:
        hops.read_report(report[:-1] + b"," + many[1:])
    assert isinstance(caught.value.__cause__, MessageError)
