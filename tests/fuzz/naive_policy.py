"""A manifest read with the standard library, and a request held against it: slow, without one line of `policy/`.

Written from ARCHITECTURE.md and the docstrings of `policy/`. It is asked about manifests that were accepted, and about
URLs and methods that follow their grammars.
"""

import re
import tomllib
import urllib.parse
from typing import Any

Pairs = list[tuple[str, str]]

KEYS = {
    "": {"name", "cid", "port", "ecr_tag", "pcr0_parameter", "modes", "upstreams", "operations"},
    "upstreams": {"host", "proxy_port", "tls", "secret_headers", "sealed", "rules"},
    "rules": {
        *{"method", "path", "query", "query_optional", "headers", "media_types"},
        *{"max_request_bytes", "max_response_bytes"},
    },
    "operations": {"name", "hosts", "max_calls", "record", "schema", "fields"},
    "fields": {"name", "encoding", "optional"},
}
ALWAYS = {"accept", "accept-encoding", "accept-language", "user-agent"}
SECRET = {
    *("authorization", "cookie", "api-key", "apikey"),
    *("x-api-key", "x-auth-token", "x-access-token", "x-amz-security-token"),
}
OURS = {
    *("host", "content-length", "transfer-encoding", "connection", "te"),
    *("trailer", "upgrade", "expect", "keep-alive", "http2-settings"),
}
CLASSES = {
    "digits": "[0-9]",
    "upper": "[A-Z]",
    "alnum": "[A-Za-z0-9]",
    "id": "[A-Za-z0-9_-]",
    "vat": "[A-Za-z0-9+*]",
}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
_TYPE = re.compile(r'([^;\s]+)[ \t]*(?:;[ \t]*charset=(?:utf-8|"utf-8"))?', re.IGNORECASE)


def read(data: bytes) -> dict[str, Any]:
    """Return what the TOML says."""
    return tomllib.loads(data.decode())


def unknown_keys(manifest: dict[str, Any]) -> set[str]:
    """Return every key that is none of a manifest's."""
    return set(_unknown("", manifest))


def _unknown(kind: str, table: dict[str, Any]) -> list[str]:
    found = [key for key in table if key not in KEYS[kind]]
    for key, value in table.items():
        if isinstance(value, list):
            found += [each for inner in value if isinstance(inner, dict) for each in _unknown(key, inner)]
    return found


def allows(manifest: dict[str, Any], *, url: str, method: str, headers: Pairs, body: bytes, sealed: bool) -> int:
    """Return by how many rules the request may be sent: 0, or, in a manifest that deserves the name, 1."""
    parts = urllib.parse.urlsplit(url)
    upstreams = [each for each in manifest["upstreams"] if each["host"] == parts.hostname]
    if not upstreams or parts.scheme != ("https" if upstreams[0]["tls"] else "http"):
        return 0
    (upstream,) = upstreams
    if not _are_well_formed(headers):
        return 0
    secret = SECRET | set(upstream.get("secret_headers", []))
    if not sealed and "sealed" in upstream and any(name.lower() in secret for name, _ in headers):
        return 0
    query = url.partition("?")[2] if "?" in url else None
    fitting = [rule for rule in upstream["rules"] if rule["method"] == method and _matches(rule["path"], parts.path)]
    return sum(_query_fits(rule, query) and _content_fits(rule, headers, body) for rule in fitting)


def _are_well_formed(headers: Pairs) -> bool:
    names = [name.lower() for name, _ in headers]
    size = sum(len(name) + len(value) + 4 for name, value in headers)
    return (
        len(names) == len(set(names))
        and len(names) <= 64
        and size <= 16 * 1024
        and all(_TOKEN.fullmatch(name) and _VALUE.fullmatch(value) for name, value in headers)
        and not any(name in OURS or name.startswith("proxy-") for name in names)
    )


def _matches(pattern: str, path: str) -> bool:
    expressions = [_expression(segment) for segment in pattern.split("/")]
    return re.fullmatch("/".join(expressions), path) is not None


def _expression(segment: str) -> str:
    if not segment.startswith("{"):
        return re.escape(segment)
    _, kind, lengths = segment[1:-1].split(":")
    counts = ["{" + part.replace("-", ",") + "}" for part in lengths.split("|")]
    return "(?:" + "|".join(CLASSES[kind] + count for count in counts) + ")"


def _query_fits(rule: dict[str, Any], query: str | None) -> bool:
    required, optional = set(rule.get("query", [])), set(rule.get("query_optional", []))
    if query is None:
        return not required
    if ";" in query:
        return False
    names = []
    for part in query.split("&"):
        name, equals, _ = part.partition("=")
        names.append(re.sub("%5[Bb]", "[", re.sub("%5[Dd]", "]", name)) + equals)
    once = [name.removesuffix("=") for name in names if not name.endswith("[]=")]
    return set(names) <= required | optional and required <= set(names) and len(once) == len(set(once))


def _content_fits(rule: dict[str, Any], headers: Pairs, body: bytes) -> bool:
    types = set(rule.get("media_types", []))
    listed = ALWAYS | set(rule.get("headers", [])) | ({"content-type"} if types else set())
    if not {name.lower() for name, _ in headers} <= listed:
        return False
    declared = [value for name, value in headers if name.lower() == "content-type"]
    read = [_TYPE.fullmatch(value) for value in declared]
    if not all(each is not None and each[1].lower() in types for each in read):
        return False
    return not body or (bool(types) and bool(declared) and len(body) <= rule["max_request_bytes"])
