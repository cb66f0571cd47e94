"""The load generator with sealed requests: `python -m bench.sealed_load PORT FOLDER SIZE MOST CLIENTS SECONDS`.

FOLDER holds the service's policy and the soft NSM's root. An enclave accepts a sealed request once, so before anything
is measured MOST of them for a body of SIZE bytes are sealed, each with a reply key of its own, by the relying party's
`SealedClient`, which verifies the enclave first. A run ends early when they are used up. After it the last answer of
each connection is opened and looked at; one that is not a good one ends the program.
"""

import base64
import functools
import json
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bench import attested, sized
from bench.caller import AUTHORIZATION, http_request
from bench.figures import cpu_seconds, summary
from bench.load import WARM_UP_SECONDS, Load
from devstack.__main__ import NO_COMMIT
from devstack.nsm_registers import IMAGE
from devstack.worker import NSM_ROOT
from policy import manifest
from tytle_verifier import Policy, Release, SealedCall, SealedClient, TestPkiRoot, live

PATH = "/attest/sealed"
GOOD_BODY = b'"sealed":"'
IDENTITY_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Sealed:
    """Requests by the bytes that are sent, with what opens their answers."""

    calls: dict[bytes, SealedCall]

    @classmethod
    def make(cls, client: SealedClient, size: int, count: int) -> "Sealed":
        """Seal `count` requests for bodies of `size` bytes."""
        call = json.dumps(sized.call(size)).encode()
        made = (client.seal(call) for _ in range(count))
        return cls({http_request(PATH, one.data): replace(one, data=b"") for one in made})

    def __iter__(self) -> Iterator[bytes]:
        """Yield each request once."""
        return iter(self.calls)

    def check(self, request: bytes, answer: bytes) -> None:
        """Open an answer. Raises: BenchError or VerifierError: it is not an attested success."""
        attested.check(self.calls[request].open(answer))


def client_of(port: int, folder: Path) -> SealedClient:
    """Return a client of the service whose parent answers at `port`."""
    release = Release(commit=NO_COMMIT, pcrs=IMAGE, manifest=manifest.load(sized.MANIFEST.encode()).digest)
    root = x509.load_pem_x509_certificate((folder / NSM_ROOT).read_bytes())
    return SealedClient(
        policy=Policy(service=sized.NAME, releases=(release,)),
        ask=functools.partial(_identity, port),
        clock=live,
        random=secrets.token_bytes,
        root=TestPkiRoot(root.public_bytes(Encoding.DER)),
    )


def _identity(port: int, challenge: bytes) -> bytes:
    url = f"http://127.0.0.1:{port}/enclaves/{sized.NAME}/identity"
    given = {"challenge": base64.b64encode(challenge).decode()}
    return requests.get(url, params=given, headers=AUTHORIZATION, timeout=IDENTITY_SECONDS).content


def main(arguments: list[str]) -> int:
    """Run once and print the figures. What sealing and opening takes here is not in them."""
    port, folder, size, most, clients, seconds = arguments
    sealed = Sealed.make(client_of(int(port), Path(folder)), int(size), int(most))
    used_before = cpu_seconds()
    with Load(int(port), iter(sealed), int(clients), good_body=GOOD_BODY) as load:
        load.run(WARM_UP_SECONDS)
        taken = load.run(float(seconds))
    used = cpu_seconds() - used_before
    for request, answer in load.last_answers():
        sealed.check(request, answer)
    summary(load.latencies, errors=load.errors, answered=load.answered, seconds=taken, cpu_seconds=used).print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
