"""What the vault's two hosts answer, chosen by the account in the path; one host's certificate is for another name."""

from __future__ import annotations

from collections.abc import Callable

from devstack.tls_identity import Issuer, ServerIdentity
from devstack.upstream import Request, Response
from tests.recording import vault

HOST, MISNAMED_HOST = vault.HOST, "misnamed.example"
JSON = ("Content-Type", "application/json")
_MISNAMED = f"""
[[upstreams]]
host = "{MISNAMED_HOST}"
proxy_port = 8454
tls = true

[[upstreams.rules]]
method = "GET"
path = "/"
max_response_bytes = 1024
""".encode()

Answers = dict[str, Callable[[str], Response]]
ANSWERS: Answers = {  # by name; each is given the secret that it is to hold
    "header": lambda said: Response(status=200, headers=(JSON, ("Set-Cookie", f"session={said}"))),
    "body": lambda said: Response(status=200, headers=(JSON,), body=f'{{"a": "{said}"}}'.encode()),
    "redirect": lambda said: Response(status=302, headers=(("Location", f"https://x.example/{said}?{said}#{said}"),)),
    "error": lambda said: Response(status=500, headers=(JSON,), body=f"Traceback: {said}".encode()),
    "malformed": lambda said: Response(status=200, headers=((f"Bad name {said}", f"{said}\0"),), body=said.encode()),
    "too-large": lambda said: Response(status=200, body=said.encode() * 4096),
}


def manifest(service: str) -> bytes:
    """Return the vault's policy with a second host, and with proxy ports that VIES does not have."""
    return vault.manifest(service).replace(b"proxy_port = 8443", b"proxy_port = 8453") + _MISNAMED


class Misnamer:
    """Issues certificates for a name with a secret in it, in the place of the one that is asked for."""

    def __init__(self, issuer: Issuer, said: str) -> None:
        self._issuer = issuer
        self._name = f"{said}.example"

    def issue(self, *_: str) -> ServerIdentity:
        return self._issuer.issue(self._name)


class Upstream:
    """The vault's handler. `told` has what an account is answered, as ANSWERS say."""

    def __init__(self) -> None:
        self.told: dict[str, Response] = {}

    def __call__(self, request: Request) -> Response:
        account = request.path.split("/")[2] if request.path.count("/") > 2 else ""
        return self.told.get(account, Response(status=200, headers=(JSON,), body=b'{"paid": true}'))
