"""Replies: hand-made bytes give values, every defect gives MalformedReply, any bytes give one of the two."""

import contextlib

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.errors import ErrorCode, MalformedReply, NsmError, Refused
from nsm.responses import (
    AttestationReply,
    Digest,
    NsmDescription,
    PcrDescription,
    PcrExtended,
    PcrLocked,
    PcrsLocked,
    Randomness,
    Response,
    decode,
    one_item,
)

DESCRIPTION: dict[str, object] = {
    "version_major": 1,
    "version_minor": 2,
    "version_patch": 3,
    "module_id": "i-0123456789abcdef0-enc0123456789abcdef",
    "max_pcrs": 32,
    "locked_pcrs": [0, 1, 15],
    "digest": "SHA384",
}

BY_HAND: list[tuple[str, Response]] = [
    ("67" + b"LockPCR".hex(), PcrLocked()),
    ("68" + b"LockPCRs".hex(), PcrsLocked()),
    (
        "a1 6b" + b"DescribePCR".hex() + "a2 64" + b"lock".hex() + "f5 64" + b"data".hex() + "5830" + "ab" * 48,
        PcrDescription(lock=True, data=b"\xab" * 48),
    ),
    (  # QEMU has the keys the other way round
        "a1 6b" + b"DescribePCR".hex() + "a2 64" + b"data".hex() + "5820" + "ab" * 32 + "64" + b"lock".hex() + "f4",
        PcrDescription(lock=False, data=b"\xab" * 32),
    ),
    ("a1 69" + b"ExtendPCR".hex() + "a1 64" + b"data".hex() + "5840" + "01" * 64, PcrExtended(data=b"\x01" * 64)),
    ("a1 69" + b"GetRandom".hex() + "a1 66" + b"random".hex() + "43 010203", Randomness(random=b"\x01\x02\x03")),
    ("a1 6b" + b"Attestation".hex() + "a1 68" + b"document".hex() + "42 8440", AttestationReply(document=b"\x84\x40")),
    (
        "a1 6b" + b"DescribeNSM".hex() + "a7 6d" + b"version_major".hex() + "01 6d" + b"version_minor".hex() + "02 6d"
        "" + b"version_patch".hex() + "03 69" + b"module_id".hex() + "61 69 68" + b"max_pcrs".hex() + "18 20 6b"
        "" + b"locked_pcrs".hex() + "83 00 01 0f 66" + b"digest".hex() + "66" + b"SHA384".hex(),
        NsmDescription(
            version_major=1,
            version_minor=2,
            version_patch=3,
            module_id="i",
            max_pcrs=32,
            locked_pcrs=frozenset({0, 1, 15}),
            digest=Digest.SHA384,
        ),
    ),
]


@pytest.mark.parametrize(("text", "expected"), BY_HAND, ids=lambda value: type(value).__name__)
def test_a_reply_is_read_from_bytes_computed_by_hand(text: str, expected: Response) -> None:
    assert decode(bytes.fromhex(text)) == expected


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_code_is_a_refusal_that_carries_it(code: ErrorCode) -> None:
    head = "a1 65" + b"Error".hex()
    with pytest.raises(Refused) as caught:
        decode(bytes.fromhex(head) + cbor2.dumps(code.name))
    assert caught.value.code is code
    assert str(caught.value) == f"{code.name}: {code.sentence}"
    assert caught.value.advice


def test_the_error_codes_are_those_of_aws() -> None:
    assert [code.name for code in ErrorCode] == [
        "Success",
        "InvalidArgument",
        "InvalidIndex",
        "InvalidResponse",
        "ReadOnlyIndex",
        "InvalidOperation",
        "BufferTooSmall",
        "InputTooLarge",
        "InternalError",
    ]


def test_an_unknown_field_is_ignored_as_aws_ignores_it() -> None:
    newer = {"DescribeNSM": DESCRIPTION | {"new_in_version_1_3": [1]}}
    older = {"DescribeNSM": DESCRIPTION}
    assert decode(cbor2.dumps(newer)) == decode(cbor2.dumps(older))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version_major": -1}, "version_major must be 0..65535, got -1"),
        ({"version_minor": 65536}, "version_minor must be 0..65535, got 65536"),
        ({"version_patch": True}, "version_patch must be int, got bool"),
        ({"version_patch": None}, "version_patch must be int, got NoneType"),
        ({"module_id": ""}, "module_id is empty"),
        ({"module_id": b"i-"}, "module_id must be str, got bytes"),
        ({"max_pcrs": 32.0}, "max_pcrs must be int, got float"),
        ({"locked_pcrs": {0: 1}}, "locked_pcrs must be list, got dict"),
        ({"locked_pcrs": [0, "1"]}, "locked_pcrs must be int, got '1'"),
        ({"locked_pcrs": [-1]}, "locked_pcrs must be 0..65535, got -1"),
        ({"digest": "SHA1"}, "no such digest: 'SHA1'"),
        ({"digest": 384}, "digest must be str, got int"),
    ],
)
def test_a_description_with_a_wrong_field_is_malformed(change: dict[str, object], problem: str) -> None:
    with pytest.raises(MalformedReply) as caught:
        decode(cbor2.dumps({"DescribeNSM": DESCRIPTION | change}))
    assert str(caught.value) == problem


@pytest.mark.parametrize("field", DESCRIPTION)
def test_a_description_that_lacks_a_field_is_malformed(field: str) -> None:
    rest = {name: value for name, value in DESCRIPTION.items() if name != field}
    with pytest.raises(MalformedReply, match=f"{field} must be"):
        decode(cbor2.dumps({"DescribeNSM": rest}))


@pytest.mark.parametrize(
    "reply",
    [
        None,
        0,
        [],
        {},
        "",
        "lockPCR",
        "GetRandom",
        b"LockPCR",
        {"LockPCR": {}},
        {"Unknown": {}},
        {0: {}},
        {"GetRandom": {"random": b"x"}, "LockPCR": {}},
        {"GetRandom": None},
        {"GetRandom": []},
        {"GetRandom": {}},
        {"GetRandom": {"random": b""}},
        {"GetRandom": {"random": "text"}},
        {"Attestation": {"document": "text"}},
        {"Attestation": {"document": None}},
        {"DescribePCR": {"lock": 1, "data": bytes(48)}},
        {"DescribePCR": {"lock": True, "data": bytes(47)}},
        {"DescribePCR": {"lock": True, "data": ""}},
        {"ExtendPCR": {"data": bytes(49)}},
        {"ExtendPCR": {}},
        {"Error": "invalidIndex"},
        {"Error": "sentence"},
        {"Error": 2},
        {"Error": {}},
        {"Error": None},
    ],
    ids=repr,
)
def test_what_is_not_a_reply_is_malformed(reply: object) -> None:
    with pytest.raises(MalformedReply):
        decode(cbor2.dumps(reply))


@pytest.mark.parametrize(
    ("text", "defect"),
    [
        ("", "nothing"),
        ("67" + b"LockPCR".hex() + "00", "a byte after the item"),
        ("67" + b"LockPCR".hex() + "67" + b"LockPCR".hex(), "a second item"),
        ("67" + b"LockPC".hex(), "a byte too few"),
        ("67ff" + b"ockPCR".hex(), "not UTF-8"),
        ("d9d9f767" + b"LockPCR".hex(), "a tag"),
        ("c243010203", "a bignum"),
        ("d81c67" + b"LockPCR".hex(), "a shared value"),
        ("1c", "reserved additional information"),
        ("ff", "a break"),
        ("f7", "undefined"),
        ("a2 69" + b"GetRandom".hex() + "a0 69" + b"GetRandom".hex() + "a0", "a key twice"),
        ("81" * 9 + "00", "too deep"),
        ("81" * 10000 + "00", "far too deep"),
        ("9b7fffffffffffffff", "an array longer than memory"),
        ("bbffffffffffffffff", "a map longer than memory"),
        ("5bffffffffffffffff", "a text longer than memory"),
    ],
    ids=lambda value: value[:24],
)
def test_bytes_that_are_not_strict_cbor_are_malformed(text: str, defect: str) -> None:
    del defect  # names the case for the reader
    with pytest.raises(MalformedReply):
        decode(bytes.fromhex(text))


@pytest.mark.parametrize(
    "text", ["a1 c24100 00", "a1 00 c24100", "81 c074" + b"2025-01-01T00:00:00Z".hex(), "82 00 d81d00"]
)
def test_a_tag_inside_an_item_is_malformed(text: str) -> None:
    with pytest.raises(MalformedReply):
        one_item(bytes.fromhex(text))


def test_the_problem_of_the_cbor_library_stays_attached() -> None:
    with pytest.raises(MalformedReply) as caught:
        decode(b"\xff")
    assert isinstance(caught.value.__cause__, cbor2.CBORDecodeError)


VALID = [bytes.fromhex(text) for text, _ in BY_HAND] + [cbor2.dumps({"Error": "InvalidIndex"})]


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_an_error_of_this_room(data: bytes) -> None:
    with contextlib.suppress(NsmError):
        decode(data)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(VALID), st.integers(0, 200), st.binary(max_size=4), st.integers(0, 4))
def test_a_damaged_reply_gives_a_value_or_an_error_of_this_room(
    reply: bytes, at: int, patch: bytes, removed: int
) -> None:
    with contextlib.suppress(NsmError):
        decode(reply[:at] + patch + reply[at + removed :])


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=64),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*DESCRIPTION, "lock", "data", "random", "document"]) | st.integers(), inner)
    ),
    max_leaves=8,
)
_NAMES = st.sampled_from(
    ["DescribeNSM", "DescribePCR", "ExtendPCR", "LockPCR", "Attestation", "GetRandom", "Error", "x"]
)


@settings(max_examples=500, deadline=None)
@given(_VALUES | st.dictionaries(_NAMES, _VALUES, min_size=1, max_size=1))
def test_any_cbor_gives_a_value_or_an_error_of_this_room(value: object) -> None:
    with contextlib.suppress(NsmError):
        decode(cbor2.dumps(value))


@pytest.mark.parametrize("reply", VALID, ids=lambda value: value[:14].hex())
def test_every_truncation_of_a_reply_is_malformed(reply: bytes) -> None:
    for length in range(len(reply)):
        with pytest.raises(MalformedReply):
            decode(reply[:length])
