"""URLs (`policy.url`), against three other readers; and addresses (`wire.addresses`).

1. What is accepted is written back character for character.
2. `urllib.parse` and urllib3 find the same scheme, host, port, path and query in it, and no user, no fragment.
3. The verifier's grammar, another program, accepts exactly the same URLs and finds the same host and endpoint.
4. The host is no address in any spelling that a resolver takes, and no path climbs, however often it is decoded.
5. An address is read as what it is written as. Whatever is refused, is refused by the room's own error.
"""

import ipaddress
import re
import socket
import urllib.parse

import urllib3.util

from policy import url
from policy.errors import ADVICE, UrlRefused
from policy.url import Url
from tests.fuzz.target import Seeds, Target
from tytle_verifier import url as verifier_url
from tytle_verifier.errors import StatementError
from wire import addresses
from wire.errors import AddressError

_ESCAPE = re.compile("%[0-9a-fA-F]{2}")


def one_input(data: bytes) -> None:
    """Read one text: an address after a first byte below 32, a URL otherwise."""
    if data and data[0] < 32:
        _address(data[1:].decode("utf-8", "surrogateescape"))
        return
    text = data.decode("utf-8", "surrogateescape")
    try:
        read = url.parse(text)
    except UrlRefused as error:
        assert error.reason in ADVICE
        assert not _accepted_by_the_verifier(text)
        return
    assert read.text == text
    _urllib_reads_the_same(read, text)
    _urllib3_reads_the_same(read, text)
    _the_verifier_reads_the_same(read, text)
    _the_host_is_no_address(read.host)
    _the_path_does_not_climb(read.path)


def _urllib_reads_the_same(read: Url, text: str) -> None:
    parts = urllib.parse.urlsplit(text)
    assert (parts.scheme, parts.hostname, parts.path) == (read.scheme, read.host, read.path)
    assert parts.query == (read.query or "")
    assert (parts.username, parts.password, parts.fragment) == (None, None, "")
    assert parts.port == (int(url.DEFAULT_PORTS[read.scheme]) if read.port_given else None)


def _urllib3_reads_the_same(read: Url, text: str) -> None:
    parts = urllib3.util.parse_url(text)
    assert (parts.scheme, parts.host, parts.auth, parts.fragment) == (read.scheme, read.host, None, None)
    assert (parts.path, parts.query) == (_upper(read.path), None if read.query is None else _upper(read.query))
    assert parts.port == (int(url.DEFAULT_PORTS[read.scheme]) if read.port_given else None)


def _upper(text: str) -> str:
    """Return `text` with escapes in upper case, as urllib3 writes them."""
    return _ESCAPE.sub(lambda found: found[0].upper(), text)


def _the_verifier_reads_the_same(read: Url, text: str) -> None:
    other = verifier_url.parse(text)
    assert (other.scheme, other.host, other.endpoint) == (read.scheme, read.host, read.endpoint)


def _accepted_by_the_verifier(text: str) -> bool:
    try:
        verifier_url.parse(text)
    except StatementError:
        return False
    return True


def _the_host_is_no_address(host: str) -> None:
    for reads in (ipaddress.ip_address, socket.inet_aton):
        try:
            found = reads(host)
        except (ValueError, OSError):
            continue
        raise AssertionError(f"{host} is {found!r}")


def _the_path_does_not_climb(path: str) -> None:
    decoded = path
    for _ in range(2):  # once by a server; the verdict has to hold after it
        segments = [segment.partition(";")[0] for segment in decoded.split("/")]
        assert not {".", ".."} & set(segments)
        if decoded != path:
            return
        decoded = urllib.parse.unquote(path)
        assert "\\" not in decoded
        assert decoded.count("/") == path.count("/")


def _address(text: str) -> None:
    try:
        read = addresses.parse(text)
    except AddressError:
        return
    assert str(read) == text
    assert addresses.parse(str(read)) == read
    if isinstance(read, addresses.LoopbackAddress):
        assert ipaddress.ip_address(read.host).is_loopback


def seeds() -> Seeds:
    """URLs that are accepted, and near ones that are not."""
    good = "https://ec.europa.eu/taxation_customs/vies/rest-api/ms/PT/vat/1?requesterNumber=a%20b&x[]=".replace(
        "[]", "%5B%5D"
    )
    others = (
        *("http://a.test:80/", "https://a.test:443/%2541;b/c/?q?/", "https://xn--caf-dma.test/~!$&'()*+,;=:@"),
        *(
            "https://1.2.3.4/",
            "https://0x7f000001/",
            "https://a.1/",
            "https://a.0x/",
            "https://a/%2e%2e;x/",
            "https://a//",
        ),
        *("https://a.test?", "https://a.test/?", "https://u:p@a.test/", "https://a.test/\\", "https://[::1]/"),
        f"https://{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 61}/",
        f"https://{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 62}/",
    )
    for index, text in enumerate((good, *others)):
        yield f"url-{index}", text.encode()
    for index, text in enumerate(("vsock://16:5000", "unix:/run/a", "tcp://127.0.0.1:1", "tcp://[::1]:65535")):
        yield f"address-{index}", b"\x00" + text.encode()


TARGET = Target(
    one_input=one_input,
    seeds=seeds,
    words=(
        *(b"https://", b"http://", b":443", b":80", b"%2e", b"%2F", b"%5c", b"%3B", b"/../", b"//", b"/;", b"@", b"#"),
        *(
            b"0x7f",
            b"127.1",
            b"[::1]",
            b"\\",
            b"?",
            b"xn--",
            b"\xc2\xad",
            b"\xef\xbc\x8f",
            b"vsock://",
            b"unix:/",
            b"tcp://",
        ),
    ),
    max_bytes=512,
)
