"""Addresses: text and back, and nothing that could leave the machine."""

import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wire import addresses
from wire.addresses import MAX_U32, LoopbackAddress, UnixAddress, VsockAddress
from wire.errors import AddressError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("vsock://16:5000", VsockAddress(cid=16, port=5000)),
        ("vsock://0:0", VsockAddress(cid=0, port=0)),
        ("vsock://4294967295:4294967295", VsockAddress(cid=MAX_U32, port=MAX_U32)),
        ("unix:/run/tytle/vies.sock", UnixAddress(path="/run/tytle/vies.sock")),
        ("unix:/a b:c//d", UnixAddress(path="/a b:c//d")),
        ("unix:/ü", UnixAddress(path="/ü")),
        ("unix:/" + "x" * 106, UnixAddress(path="/" + "x" * 106)),
        ("tcp://127.0.0.1:5000", LoopbackAddress(host="127.0.0.1", port=5000)),
        ("tcp://127.255.255.254:65535", LoopbackAddress(host="127.255.255.254", port=65535)),
        ("tcp://[::1]:5000", LoopbackAddress(host="::1", port=5000)),
    ],
)
def test_an_address_is_read_and_written_back_as_it_was(text: str, address: addresses.Address) -> None:
    assert addresses.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "tcp://0.0.0.0:5000",
        "tcp://10.0.0.1:5000",
        "tcp://128.0.0.1:5000",
        "tcp://169.254.169.254:80",
        "tcp://[::]:5000",
        "tcp://[2001:db8::1]:5000",
        "tcp://[fe80::1]:5000",
        "tcp://localhost:5000",
        "tcp://example.com:5000",
        "tcp://:5000",
        "tcp://2130706433:5000",
        "tcp://127.1:5000",
        "tcp://0x7f.0.0.1:5000",
        "tcp://0177.0.0.1:5000",
    ],
)
def test_tcp_is_refused_beyond_the_loopback_range_and_for_names(text: str) -> None:
    with pytest.raises(AddressError):
        addresses.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "16:5000",
        "vsock:16:5000",
        "VSOCK://16:5000",
        "vsock://16",
        "vsock://16:",
        "vsock://:5000",
        "vsock://016:5000",
        "vsock://16:05000",
        "vsock://+16:5000",
        "vsock://-1:5000",
        "vsock://16:5000 ",
        "vsock://16:5000/",
        "vsock://16:5000:1",
        "vsock://4294967296:5000",
        "vsock://16:4294967296",
        "vsock://99999999999999999999:1",
        "vsock://١٦:5000",
        "vsock://0x10:5000",
        "unix:relative.sock",
        "unix:",
        "unix:@abstract",
        "unix:/a\0b",
        "unix:/a\ud800",
        "unix:/" + "x" * 107,
        "unix:/" + "ü" * 54,
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:080",
        "tcp://127.0.0.01:80",
        "tcp://[127.0.0.1]:80",
        "tcp://::1:80",
        "tcp://[::0001]:80",
        "tcp://[0:0:0:0:0:0:0:1]:80",
        "tcp://user@127.0.0.1:80",
        "http://127.0.0.1:80",
    ],
)
def test_any_other_text_is_no_address(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        addresses.parse(text)
    assert str(caught.value).isprintable()
    assert caught.value.advice == "Write vsock://CID:PORT, unix:/absolute/path or tcp://127.0.0.1:PORT."


NUMBERS = st.integers(0, MAX_U32)
PATHS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=25).map("/{}".format)
ADDRESSES = (
    st.builds(VsockAddress, cid=NUMBERS, port=NUMBERS)
    | st.builds(UnixAddress, path=PATHS)
    | st.builds(
        LoopbackAddress,
        host=st.ip_addresses(v=4, network="127.0.0.0/8").map(str) | st.just("::1"),
        port=st.integers(0, 65535),
    )
)


@settings(deadline=None)
@given(ADDRESSES)
def test_an_address_that_was_written_is_read_back_as_it_was(address: addresses.Address) -> None:
    assert addresses.parse(str(address)) == address


@settings(deadline=None)
@given(
    st.text(max_size=30)
    | st.builds("{}{}".format, st.sampled_from(["vsock://", "unix:", "tcp://", "tcp://["]), st.text(max_size=20))
    | st.builds("tcp://{}:80".format, st.ip_addresses())
)
@example("tcp://[::1%lo]:80")
def test_any_text_is_an_address_written_canonically_or_an_address_error(text: str) -> None:
    with contextlib.suppress(AddressError):
        assert str(addresses.parse(text)) == text
