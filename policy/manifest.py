"""services/NAME.toml -> frozen values. One manifest is one enclave: its address, and everything it may fetch.

The digest is SHA-256 of the bytes as given, so a comment counts: what an auditor read is what was hashed. Unknown
keys are errors at every level, an empty list of upstreams or rules is an error, and no two rules can match the same
request, so the order of the rules means nothing. The bytes come from the measured image or from the parent's own
disk, never from a caller; what they can cost is limited all the same.
"""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations
from typing import TypeVar

from policy import operations
from policy.errors import ManifestError, PolicyError
from policy.headers import check_method, check_name, media_type
from policy.operations import Declaration
from policy.paths import PathPattern, parse_pattern, parse_query_key
from policy.tables import Table
from policy.url import check_host

MAX_MANIFEST_BYTES = 64 * 1024  # ours: vies.toml has 3 KiB
MAX_LINE_BYTES = 512  # ours: tomllib takes time and memory by the square of the parts of a dotted key
LEAST_CID = 4  # vsock(7): 0 hypervisor, 1 local, 2 host; 3 is the Nitro parent (AWS Nitro Enclaves user guide)
MOST_CID = 2**32 - 2  # vsock(7): 2**32 - 1 is VMADDR_CID_ANY
MOST_PORT = 65535  # vsock ports have 32 bits; vsock-proxy and our unit files stay within TCP's 16

# A frame between parent and worker has 16 MiB. Base64 of 8 MiB takes 10.7 MiB and leaves 5.3 MiB for headers,
# statement and attestation document (about 5 KiB). Text in JSON can take more, up to six bytes for one: whoever
# writes the frame has to fall back to base64 then.
MAX_REQUEST_BODY_BYTES = 8 * 1024 * 1024
MAX_RESPONSE_BODY_BYTES = 8 * 1024 * 1024

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_MAX_NAME_BYTES = 32  # ours: it becomes part of file, unit and parameter names
_ECR_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")  # OCI distribution specification: <reference> as a tag
MODES = ("document", "batch", "session")  # how an answer may be attested: ARCHITECTURE.md, "Statement and attestation"
_BODILESS_METHODS = frozenset({"GET", "HEAD"})  # RFC 9110 9.3.1, 9.3.2: content has no defined semantics

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One kind of request that may be sent.

    `query` must all be present and `query_optional` may be, in the spelling of `paths.parse_query_key`; `headers` are
    lower-case names, allowed besides `rules.ALWAYS_ALLOWED_HEADERS`; `media_types` is empty when there is no body.
    """

    method: str
    path: PathPattern
    query: frozenset[str]
    query_optional: frozenset[str]
    headers: frozenset[str]
    media_types: frozenset[str]
    max_request_bytes: int
    max_response_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A host, the port on CID 3 where the parent's vsock-proxy leads to it, and what may be asked of it.

    `sealed_required`: a credential for it (any `headers.is_secret`) is accepted in a sealed request only.
    """

    host: str
    proxy_port: int
    tls: bool
    secret_headers: frozenset[str]
    sealed_required: bool
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One service. `digest` is SHA-256 (32 bytes) of the TOML as given.

    `modes` are those in which its answers may be attested, at least one of `MODES`.
    """

    name: str
    cid: int
    port: int
    ecr_tag: str
    pcr0_parameter: str
    modes: frozenset[str]
    upstreams: tuple[Upstream, ...]
    operations: tuple[Declaration, ...]
    digest: bytes

    @property
    def hosts(self) -> list[str]:
        """The upstream hosts, in the manifest's order."""
        return [upstream.host for upstream in self.upstreams]


def load(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        ManifestError: not TOML, unknown or missing keys, wrong types, values out of range, duplicates.
    """
    top = Table(at="", entries=_parse_toml(data))
    top.only("name", "cid", "port", "ecr_tag", "pcr0_parameter", "modes", "upstreams", "operations")
    name = _name(top)
    upstreams = tuple(_upstream(table) for table in top.tables("upstreams"))
    _check_distinct("upstreams", "host", [upstream.host for upstream in upstreams])
    _check_distinct("upstreams", "proxy_port", [str(upstream.proxy_port) for upstream in upstreams])
    return Manifest(
        name=name,
        cid=top.number("cid", least=LEAST_CID, most=MOST_CID),
        port=top.number("port", least=1, most=MOST_PORT),
        ecr_tag=_ecr_tag(top),
        pcr0_parameter=_pcr0_parameter(top, name),
        modes=_modes(top),
        upstreams=upstreams,
        operations=operations.read(
            top.tables("operations") if "operations" in top.entries else (),
            hosts=frozenset(upstream.host for upstream in upstreams),
        ),
        digest=sha256(data).digest(),
    )


def _parse_toml(data: bytes) -> dict[str, object]:
    if len(data) > MAX_MANIFEST_BYTES:
        raise ManifestError("", f"the manifest has {len(data)} bytes, more than {MAX_MANIFEST_BYTES}")
    if any(len(line) > MAX_LINE_BYTES for line in data.split(b"\n")):
        raise ManifestError("", f"a line has more than {MAX_LINE_BYTES} bytes")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise ManifestError("", f"not TOML: {error}") from error


def _name(top: Table) -> str:
    name = top.text("name")
    if len(name) > _MAX_NAME_BYTES or not _NAME.fullmatch(name):
        raise ManifestError("name", f"expected a-z, 0-9 and single '-', at most {_MAX_NAME_BYTES} characters")
    return name


def _ecr_tag(top: Table) -> str:
    tag = top.text("ecr_tag")
    if not _ECR_TAG.fullmatch(tag):
        raise ManifestError("ecr_tag", "expected an image tag: letters, digits and ._-, at most 128 characters")
    return tag


def _pcr0_parameter(top: Table, name: str) -> str:
    parameter = top.text("pcr0_parameter")
    expected = f"/tytle/{{env}}/enclave/{name}/pcr0"  # written out in the file so that a search for it finds it
    if parameter != expected:
        raise ManifestError("pcr0_parameter", f"got {parameter!r}, expected {expected!r}")
    return parameter


def _modes(top: Table) -> frozenset[str]:
    if "modes" not in top.entries:
        return frozenset(MODES)
    modes = frozenset(top.texts("modes"))
    if not modes or not modes <= frozenset(MODES):
        raise ManifestError("modes", f"expected at least one of {', '.join(MODES)}, or no such key")
    return modes


def _upstream(table: Table) -> Upstream:
    table.only("host", "proxy_port", "tls", "secret_headers", "sealed", "rules")
    rules = tuple(_rule(rule) for rule in table.tables("rules"))
    for (first, one), (second, other) in combinations(enumerate(rules), 2):
        if one.method == other.method and one.path.overlaps(other.path):
            raise ManifestError(
                table.place("rules"), f"rules {first} and {second} match the same {one.method} requests"
            )
    return Upstream(
        host=_checked(table.place("host"), check_host, table.text("host")),
        proxy_port=table.number("proxy_port", least=1, most=MOST_PORT),
        tls=table.flag("tls"),
        secret_headers=_header_names(table, "secret_headers"),
        sealed_required=_sealed_required(table),
        rules=rules,
    )


def _sealed_required(table: Table) -> bool:
    if "sealed" not in table.entries:
        return False
    if table.text("sealed") != "required":
        raise ManifestError(table.place("sealed"), 'expected "required", or no such key')
    return True


def _rule(table: Table) -> Rule:
    table.only(
        "method", "path", "query", "query_optional", "headers", "media_types", "max_request_bytes", "max_response_bytes"
    )
    method = _checked(table.place("method"), check_method, table.text("method"))
    query, query_optional = _query_keys(table)
    media_types = _media_types(table, method)
    return Rule(
        method=method,
        path=_checked(table.place("path"), parse_pattern, table.text("path")),
        query=query,
        query_optional=query_optional,
        headers=_header_names(table, "headers"),
        media_types=media_types,
        max_request_bytes=_max_request_bytes(table, media_types),
        max_response_bytes=table.number("max_response_bytes", least=1, most=MAX_RESPONSE_BODY_BYTES),
    )


def _query_keys(table: Table) -> tuple[frozenset[str], frozenset[str]]:
    required, optional = (
        frozenset(_checked(table.place(key), parse_query_key, text) for text in table.texts(key))
        for key in ("query", "query_optional")
    )
    if required & optional:
        raise ManifestError(table.place("query_optional"), "a key is listed as required too")
    return required, optional


def _header_names(table: Table, key: str) -> frozenset[str]:
    names = frozenset(_checked(table.place(key), check_name, name) for name in table.texts(key))
    for name in names:
        if name != name.lower():
            raise ManifestError(table.place(key), f"got {name!r}, expected lower case")
        if name == "content-type":
            raise ManifestError(table.place(key), "content-type is ruled by media_types")
    return names


def _media_types(table: Table, method: str) -> frozenset[str]:
    types = table.texts("media_types")
    place = table.place("media_types")
    if types and method in _BODILESS_METHODS:
        raise ManifestError(place, f"a {method} request has no body")
    for text in types:
        if _checked(place, media_type, text) != text:
            raise ManifestError(place, f"got {text!r}, expected type/subtype in lower case without parameters")
    return frozenset(types)


def _max_request_bytes(table: Table, media_types: frozenset[str]) -> int:
    if media_types:
        return table.number("max_request_bytes", least=1, most=MAX_REQUEST_BODY_BYTES)
    if "max_request_bytes" in table.entries:
        raise ManifestError(table.place("max_request_bytes"), "a rule without media_types allows no body")
    return 0


def _check_distinct(at: str, key: str, values: list[str]) -> None:
    if len(values) != len(set(values)):
        raise ManifestError(at, f"two upstreams have the same {key}")


def _checked(at: str, check: Callable[[str], _T], text: str) -> _T:
    try:
        return check(text)
    except PolicyError as error:
        raise ManifestError(at, str(error)) from error
