"""The decision: may this request be sent, and to which upstream?

One function, called by the parent to fail early and by the enclave to decide. What it returns holds everything the
fetch needs: Host header, SNI, certificate name and proxy port all come from `Allowed.url.host` and
`Allowed.upstream`, whose host is the same. NOT checked: the meaning of header values and bodies.
"""

from dataclasses import dataclass, field

from policy.errors import NotAllowed
from policy.headers import Header, check_headers, check_method, is_secret, media_type
from policy.manifest import Manifest, Rule, Upstream
from policy.operations import Declaration
from policy.paths import check_query
from policy.url import Url, parse

# Content negotiation (RFC 9110 12.5) and the caller's name. They choose a representation of the same resource; none
# is a credential, changes the framing or selects another resource. They are attested like any other header.
# Content-Type is not here: it is allowed exactly where a rule lists media types.
ALWAYS_ALLOWED_HEADERS = frozenset({"accept", "accept-encoding", "accept-language", "user-agent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """A request that may be sent as it is. `body` is empty when there is none."""

    url: Url = field(repr=False)
    method: str
    headers: tuple[Header, ...]
    body: bytes = field(repr=False)
    upstream: Upstream
    rule: Rule


def decide(
    manifest: Manifest, *, url: object, method: object, headers: object, body: object, sealed: bool = False
) -> Allowed:
    """Decide on a request as a caller sent it.

    Args:
        manifest: the policy.
        url: a text, `url.parse`.
        method: a text, `headers.check_method`.
        headers: pairs of texts, `headers.check_headers`.
        body: bytes, or None, which means the same as no bytes.
        sealed: whether the request came sealed to the enclave, so that nobody on the way has read it.

    Raises:
        Refused: UrlRefused, MethodRefused or HeaderRefused when a part is malformed or no part of a request at all,
            whatever its type; NotAllowed when it is well formed but outside the rules.
    """
    asked = parse(url)
    verb = check_method(method)
    checked = check_headers(headers)
    content = _check_body_type(body)
    upstream = _find_upstream(manifest, asked)
    check_sealed(upstream, checked, sealed=sealed)
    rule = _find_rule(manifest, upstream, asked, verb)
    check_query(asked.query, rule.query, rule.query_optional)
    _check_header_names(rule, checked)
    _check_body(rule, checked, content)
    return Allowed(url=asked, method=verb, headers=checked, body=content, upstream=upstream, rule=rule)


def check_mode(manifest: Manifest, mode: str) -> None:
    """Check that answers of this service may be attested in this mode.

    Raises:
        NotAllowed: they may not.
    """
    if mode not in manifest.modes:
        known = ", ".join(sorted(manifest.modes))
        raise NotAllowed("mode.not-allowed", f"got {mode[:64]!a}; service {manifest.name} has these modes: {known}")


def check_sealed(upstream: Upstream, headers: tuple[Header, ...], *, sealed: bool) -> None:
    """Check that no credential came in clear to an upstream that wants them sealed.

    Raises:
        NotAllowed: one did. Whoever carried it has read it: it should be revoked.
    """
    if sealed or not upstream.sealed_required:
        return
    for header in headers:
        if is_secret(header.name, upstream.secret_headers):
            raise NotAllowed(
                "sealed.required", f"{header.key} for {upstream.host} is accepted in a sealed request only"
            )


def check_operation_sealed(manifest: Manifest, operation: Declaration, *, sealed: bool) -> None:
    """Check that no query came in clear whose calls may carry a credential that is wanted sealed.

    Raises:
        NotAllowed: one did. What its parameters held should be revoked.
    """
    wanted = {upstream.host for upstream in manifest.upstreams if upstream.sealed_required}
    if not sealed and wanted & operation.hosts:
        raise NotAllowed("sealed.required", f"{operation.name} is answered in a sealed request only")


def _check_body_type(body: object) -> bytes:
    if body is None:
        return b""
    if not isinstance(body, bytes):
        raise NotAllowed("body.type", f"the body is of type {type(body).__name__}, expected bytes")
    return body


def _find_upstream(manifest: Manifest, url: Url) -> Upstream:
    for upstream in manifest.upstreams:
        if upstream.host == url.host:
            break
    else:
        raise NotAllowed("host.not-allowed", f"service {manifest.name} does not fetch from {url.host}")
    expected = "https" if upstream.tls else "http"
    if url.scheme != expected:
        raise NotAllowed("scheme.not-allowed", f"got {url.scheme}, but {url.host} is fetched over {expected}")
    return upstream


def _find_rule(manifest: Manifest, upstream: Upstream, url: Url, method: str) -> Rule:
    fitting = [rule for rule in upstream.rules if rule.path.matches(url.path)]
    if not fitting:
        shown = url.path if len(url.path) <= 256 else f"{url.path[:256]}..."
        raise NotAllowed("path.not-allowed", f"service {manifest.name} has no rule for {upstream.host}{shown}")
    for rule in fitting:
        if rule.method == method:
            return rule  # the only one: manifest.load refuses rules that overlap
    methods = ", ".join(sorted({rule.method for rule in fitting}))
    raise NotAllowed("method.not-allowed", f"got {method}, but the rules for this path have {methods}")


def _check_header_names(rule: Rule, headers: tuple[Header, ...]) -> None:
    typed = {"content-type"} if rule.media_types else set()
    for index, header in enumerate(headers):
        key = header.key
        if not (key in rule.headers or key in ALWAYS_ALLOWED_HEADERS or key in typed):
            allowed = sorted(rule.headers | ALWAYS_ALLOWED_HEADERS | typed)
            raise NotAllowed(
                "header.not-allowed", f"header {index} is not one of {', '.join(allowed)}, allowed for this path"
            )


def _check_body(rule: Rule, headers: tuple[Header, ...], body: bytes) -> None:
    declared = [media_type(header.value) for header in headers if header.key == "content-type"]
    if body and not rule.media_types:
        raise NotAllowed("body.not-allowed", f"a {rule.method} request for this path has no body")
    if body and not declared:
        raise NotAllowed("media-type.missing", "a body came without a Content-Type header")
    if not rule.media_types.issuperset(declared):
        expected = ", ".join(sorted(rule.media_types))
        raise NotAllowed("media-type.not-allowed", f"Content-Type is not one of {expected}, allowed for this path")
    if len(body) > rule.max_request_bytes:
        raise NotAllowed("body.too-large", f"the body has {len(body)} bytes, more than {rule.max_request_bytes}")
