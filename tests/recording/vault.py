"""An upstream with credentials, and one request to it that holds ten secrets, there and back.

The secrets are made anew for every run. Each stands in another place; two are words in Greek, as names of real
companies are, so that every layer has to write them in its own way.
"""

import json
import secrets
import string
import threading
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote

from devstack.upstream import Request, Response

HOST = "vault.example"
LETTERS = string.ascii_letters + string.digits
GREEK = "".join(map(chr, range(0x391, 0x3A2))) + "ΣΤΥΦΧΨΩ"


def manifest(service: str) -> bytes:
    """Return the policy of a service that may send all this."""
    return f"""
name = "{service}"
cid = 16
port = 5000
ecr_tag = "vault"
pcr0_parameter = "/tytle/{{env}}/enclave/{service}/pcr0"

[[upstreams]]
host = "{HOST}"
proxy_port = 8443
tls = true

[[upstreams.rules]]
method = "POST"
path = "/accounts/{{account:alnum:32}}/payments"
query_optional = ["reference="]
headers = ["authorization", "x-api-key", "x-customer"]
media_types = ["application/json"]
max_request_bytes = 65536
max_response_bytes = 65536
""".encode()


def _random(alphabet: str = LETTERS, size: int = 32) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Ten of them: seven in the request, the challenge among them, and three in the answer."""

    bearer_token: str = field(default_factory=_random)
    api_key: str = field(default_factory=_random)
    other_header: str = field(default_factory=_random)
    body_name: str = field(default_factory=partial(_random, GREEK))
    body_number: str = field(default_factory=_random)
    query_value: str = field(default_factory=lambda: f"{_random(size=16)}/{_random(size=16)}")
    path_value: str = field(default_factory=_random)
    answer_name: str = field(default_factory=partial(_random, GREEK))
    answer_header: str = field(default_factory=_random)
    challenge: bytes = field(default_factory=partial(secrets.token_bytes, 32))

    @property
    def url(self) -> str:
        """Where the request goes."""
        return f"https://{HOST}/accounts/{self.path_value}/payments?reference={quote(self.query_value, safe='')}"

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers."""
        return {
            "Authorization": f"Bearer {self.bearer_token}",
            "X-Api-Key": self.api_key,
            "X-Customer": self.other_header,
            "Content-Type": "application/json",
        }

    @property
    def body(self) -> bytes:
        """The request's body."""
        return json.dumps({"name": self.body_name, "number": self.body_number}).encode()


class Vault:
    """Answers whoever knows every secret of the request; 403 for anybody else.

    While `go_on` is not set, requests are held; `waiting` counts who is. `answered` counts who got the secrets.
    """

    def __init__(self, known: Secrets) -> None:
        self._known = known
        self._lock = threading.Lock()
        self.go_on = threading.Event()
        self.waiting = threading.Semaphore(0)
        self.answered = 0

    def __call__(self, request: Request) -> Response:
        """Answer one request."""
        known = self._known
        given = {name: request.headers.get(name.lower()) for name in known.headers}
        place = (request.path, request.query)
        if (given, request.body, place) != (known.headers, known.body, (self._path, self._query)):
            return Response(status=403)
        if not self.go_on.is_set():
            self.waiting.release()
            self.go_on.wait(20)
        with self._lock:
            self.answered += 1
        headers = (("Content-Type", "application/json"), ("X-Receipt", known.answer_header))
        body = json.dumps({"name": known.answer_name, "paid": True}, ensure_ascii=False).encode()
        return Response(status=200, headers=headers, body=body)

    @property
    def _path(self) -> str:
        return f"/accounts/{self._known.path_value}/payments"

    @property
    def _query(self) -> tuple[tuple[str, str], ...]:
        return (("reference", self._known.query_value),)
