"""One request as it goes on the wire (RFC 9112, 3 and 5). What it is made of has passed `policy/`."""

import re

from policy.rules import Allowed

USER_AGENT = "tytle-enclaves"  # some upstreams refuse requests without one
BODY_METHODS = ("POST", "PUT", "PATCH")  # RFC 9110 8.6: for these, no body is announced as well

# Whatever `policy/` comes to allow: one request line, one line for each field, and one empty line.
_HEAD = re.compile(rb"[!-~]+ /[!-~]* HTTP/1\.1\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t -~]*\r\n)+\r\n")


def serialise(allowed: Allowed) -> bytes:
    """Return the request's bytes.

    Raises:
        ValueError: they would not be read as exactly one request, which is a defect of the policy.
    """
    lines = [f"{allowed.method} {allowed.url.target} HTTP/1.1", f"Host: {allowed.upstream.host}"]
    lines += [f"{header.name}: {header.value}" for header in allowed.headers]
    given = {header.key for header in allowed.headers}
    if "accept-encoding" not in given:
        lines.append("Accept-Encoding: identity")
    if "user-agent" not in given:
        lines.append(f"User-Agent: {USER_AGENT}")
    if allowed.body or allowed.method in BODY_METHODS:
        lines.append(f"Content-Length: {len(allowed.body)}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
    if not _HEAD.fullmatch(head) or head.count(b"\r\n") != len(lines) + 1:
        raise ValueError("the request's head would not be read as one")
    return head + allowed.body
