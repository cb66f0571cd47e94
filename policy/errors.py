"""What this room refuses: one tree. The class says whose fault, `reason` says which rule, `advice` what to do.

Rule: a message may name a path or a host. It never repeats a header value, a body, a query or userinfo, because
messages reach logs and callers.
"""

# Every machine code this room can give, and what a person should do about it. The codes are an interface:
# callers and dashboards compare them, so they are added to, not renamed.
ADVICE = {
    "url.type": "Send the URL as a JSON text.",
    "url.too-long": "Shorten the URL.",
    "url.scheme": "Begin the URL with https:// (http:// only where the service's manifest says tls = false).",
    "url.control": "Remove control characters, tabs and line breaks from the URL.",
    "url.space": "Write a blank as %20, and none before or after the URL.",
    "url.backslash": "Write / between path segments.",
    "url.non-ascii": "Write non-ASCII characters percent-encoded as UTF-8; a host name in its xn-- form.",
    "url.character": "Percent-encode this character.",
    "url.fragment": "Remove the #fragment: it is never sent to a server.",
    "url.userinfo": "Send credentials in a header, not in the URL.",
    "url.ip-literal": "Name the host; addresses are not accepted in any spelling.",
    "url.port": "Leave the port out, or write the scheme's default one.",
    "url.host-empty": "Name a host after ://.",
    "url.host-percent": "Write the host name in plain letters.",
    "url.host-character": "Write the host with a-z, 0-9, - and . only.",
    "url.host-upper": "Write the host in lower case.",
    "url.host-label": "Give each part of the host 1 to 63 characters, with no - at its ends.",
    "url.host-trailing-dot": "Remove the dot at the end of the host.",
    "url.host-length": "A host name has at most 253 characters.",
    "url.path-missing": "Write the path, even if it is only /.",
    "url.dot-segment": "Write the path without . and .. segments.",
    "url.empty-segment": "Write the path without // in it.",
    "url.path-escape": "Do not percent-encode slashes, backslashes or control characters in the path.",
    "url.percent": "Follow every % by two hexadecimal digits.",
    "url.query-empty": "Remove the ? when no query follows.",
    "method.type": "Send the method as a JSON text.",
    "method.grammar": "Write the method in upper-case letters, for example GET.",
    "method.forbidden": "This method has no meaning through an enclave.",
    "header.type": "Send headers as pairs of texts.",
    "header.too-many": "Send fewer headers.",
    "header.too-large": "Send shorter headers.",
    "header.name": "Write header names with the characters of RFC 9110 section 5.1.",
    "header.value": "Write header values in visible ASCII, with blanks only inside.",
    "header.forbidden": "Leave this header out: the enclave writes it, or the protocol forbids it.",
    "header.duplicate": "Send each header once; names are compared without case.",
    "body.type": "Send the body as bytes.",
    "host.not-allowed": "Compare with the upstreams in the service's manifest.",
    "scheme.not-allowed": "Use https where the manifest says tls = true, http where it says tls = false.",
    "path.not-allowed": "Compare with the rules in the service's manifest.",
    "method.not-allowed": "Use the method that the manifest lists for this path.",
    "query.malformed": "Write the query as key or key=value, joined by &, without ; in it.",
    "query.not-allowed": "Send only the query keys that the manifest lists for this path.",
    "query.repeated": "Send each query key once.",
    "query.missing": "Send the query keys that the manifest requires for this path.",
    "header.not-allowed": "Send only headers that the manifest lists for this path.",
    "calls.too-many": "The operation makes more calls than its manifest declares: correct one of the two.",
    "sealed.required": "Seal the request to the enclave's key. Revoke the credential: it has travelled in clear.",
    "mode.not-allowed": "Use a mode that the service's manifest lists under modes.",
    "media-type.malformed": "Write type/subtype, with charset=utf-8 or no parameter.",
    "media-type.missing": "Send a Content-Type header with the body.",
    "media-type.not-allowed": "Use a media type that the manifest lists for this path.",
    "body.not-allowed": "Send no body: the manifest lists no media type for this path.",
    "body.too-large": "Send a smaller body; the manifest sets the limit.",
}


class PolicyError(Exception):
    """Root of this room's errors. `advice` says what a person can do about it."""

    advice = "Read the service's manifest in services/."


class ManifestError(PolicyError):
    """A manifest is wrong: its author's fault. `at` is the place in the TOML, such as `upstreams[0].rules[1].path`."""

    advice = "Correct the manifest; the enclave does not start with this one."

    def __init__(self, at: str, problem: str) -> None:
        super().__init__(f"{at}: {problem}" if at else problem)
        self.at = at
        self.problem = problem


class PatternError(PolicyError):
    """A text is no path pattern or no query key; `manifest.load` turns it into a ManifestError with its place."""


class Refused(PolicyError):
    """A request that the policy refuses: the caller's fault. `reason` is one of the keys of `ADVICE`."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(problem)
        self.reason = reason
        self.advice = ADVICE[reason]


class UrlRefused(Refused):
    """The URL does not follow the grammar of `url.py`."""


class MethodRefused(Refused):
    """The method does not follow the grammar of `headers.py`."""


class HeaderRefused(Refused):
    """A header does not follow the grammar of `headers.py`."""


class NotAllowed(Refused):
    """Well formed, but outside the rules of the manifest."""
