"""The main job on a laptop, or the stack left running.

`python -m devstack run|serve [--live] [--port N] [--nsm-seconds S]`
"""

import argparse
import base64
import json
import os
import shlex
import signal
import sys
from typing import Any

import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import tytle_verifier
from devstack import show
from devstack.nsm_registers import IMAGE
from devstack.stack import Stack
from policy.manifest import Manifest
from policy.operations import Declaration
from tytle_verifier import Policy, Release, SealedClient, TestPkiRoot, TlsDemands, VerifiedReply, schemas
from tytle_verifier.errors import NotOpened, VerificationError
from tytle_verifier.request import decode_either
from tytle_verifier.schemas import Schema

REST = "https://ec.europa.eu/taxation_customs/vies/rest-api"
DEFAULT_PORT = 5001
MAX_NSM_SECONDS = 60.0  # ours: longer than any caller waits
JSON = {"Content-Type": "application/json"}
NO_COMMIT = "0" * 40  # the soft NSM measures no image, so there is no release to name


def lookup(country: str, number: str) -> dict[str, Any]:
    """Return the call that asks VIES (REST) for one VAT number."""
    return {
        "url": f"{REST}/check-vat-number",
        "method": "POST",
        "headers": {"Content-Type": "application/json", "Accept": "application/json"},
        "body": json.dumps({"countryCode": country, "vatNumber": number}),
    }


LOOKUPS = {
    "A VAT number that is valid": lookup("PT", "507172230"),
    "A VAT number that is not": lookup("PT", "999999990"),
    "A request that the policy refuses": {"url": "https://ec.europa.eu/eurostat/api", "method": "GET", "headers": {}},
}

QUERY = {
    "service": "vies",
    "operation": "vies.check_vat",
    "params": {"countryCode": "PT", "vatNumber": "507172230"},
}


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m devstack")
    parser.add_argument("command", choices=("run", "serve"))
    parser.add_argument("--live", action="store_true", help="ask the real upstreams (needs the internet)")
    parser.add_argument("--port", type=int, default=0, help="the parent's port; serve defaults to 5001")
    parser.add_argument("--nsm-seconds", type=_seconds, default=0.0, help="time that the soft NSM takes for a document")
    options = parser.parse_args(arguments)
    port = options.port or (DEFAULT_PORT if options.command == "serve" else 0)
    quiet = options.command == "run"
    with Stack(live=options.live, port=port, nsm_seconds=options.nsm_seconds, quiet=quiet) as stack:
        return run(stack) if options.command == "run" else serve(stack)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= MAX_NSM_SECONDS:
        raise ValueError(f"from 0 to {MAX_NSM_SECONDS} seconds")
    return seconds


def run(stack: Stack) -> int:
    """Do the lookups, verify and print what came of them. Returns 0 when each ended as it should."""
    ended_well = [_lookup(stack, title, call) for title, call in LOOKUPS.items()]  # each, even after a failure
    ended_well.append(_sealed_lookup(stack, LOOKUPS["A VAT number that is valid"]))
    ended_well.append(_query(stack, QUERY))
    return 0 if all(ended_well) else 1


def policy_of(stack: Stack) -> Policy:
    """Return what a relying party of this stack accepts."""
    return policy_for(stack.manifest)


def policy_for(service: Manifest) -> Policy:
    """Return what a relying party of a service accepts: the soft NSM's measurements, and what the manifest says."""
    plain = frozenset(upstream.host for upstream in service.upstreams if not upstream.tls)
    return Policy(
        service=service.name,
        releases=(Release(commit=NO_COMMIT, pcrs=IMAGE, manifest=service.digest),),
        urls=tuple(f"http{'s' * upstream.tls}://{upstream.host}/*" for upstream in service.upstreams),
        methods=frozenset(rule.method for upstream in service.upstreams for rule in upstream.rules),
        tls=TlsDemands(plain_http_hosts=plain),
        schemas={operation.schema.id: _schema(operation) for operation in service.operations},
    )


def _schema(operation: Declaration) -> Schema:
    fields = operation.schema.fields
    return schemas.parse(
        operation.schema.id, [f"{each.name} {each.encoding}{'?' if each.optional else ''}" for each in fields]
    )


def root_of(stack: Stack) -> TestPkiRoot:
    """Return the root of this stack's soft NSM."""
    return TestPkiRoot(x509.load_pem_x509_certificate(stack.nsm_root.encode()).public_bytes(Encoding.DER))


def sealed_client(stack: Stack) -> SealedClient:
    """Return a client that seals to this stack's enclave, once it has verified it."""

    def ask(challenge: bytes) -> bytes:
        parameters = {"challenge": base64.b64encode(challenge).decode()}
        return requests.get(f"{stack.url}/enclaves/{stack.manifest.name}/identity", parameters, timeout=60).content

    return SealedClient(
        policy=policy_of(stack), ask=ask, clock=tytle_verifier.live, random=os.urandom, root=root_of(stack)
    )


def verify(stack: Stack, sent: bytes, received: bytes) -> VerifiedReply:
    """Verify the reply to a fetch or a query as a relying party does, but under the stack's test root and measurements.

    Raises:
        VerificationError: the reply is not what the enclave said about this request.
    """
    return tytle_verifier.verify_reply(
        received,
        policy=policy_of(stack),
        time=tytle_verifier.live(),
        root=root_of(stack),
        request=decode_either(sent),
    )


def challenged(call: dict[str, Any]) -> bytes:
    """Return the JSON of a call with a fresh challenge."""
    return json.dumps({**call, "challenge": base64.b64encode(os.urandom(32)).decode()}).encode()


def _sealed_lookup(stack: Stack, call: dict[str, Any]) -> bool:
    """Do one lookup sealed, print what the parent saw of it and whether it verified; return that."""
    show.heading("The first one again, sealed: the parent carries what it cannot read")
    show.asked(call)
    sent = challenged(call)
    try:
        sealed = sealed_client(stack).seal(sent)
        show.sealed(sealed.identity, sealed.data)
        answer = requests.post(f"{stack.url}/attest/sealed", data=sealed.data, headers=JSON, timeout=60)
        show.carried_back(answer.status_code, answer.content)
        show.concluded(verify(stack, sent, sealed.open(answer.content)))
    except VerificationError as exc:
        show.refused(exc)
        return False
    except NotOpened as exc:
        show.not_opened(exc)
        return False
    return True


def _query(stack: Stack, query: dict[str, Any]) -> bool:
    """Ask for the fact instead of the answer, print it and whether it verified; return that."""
    show.heading("The fact, instead of the answer that it follows from")
    show.queried(query)
    sent = challenged(query)
    answer = requests.post(f"{stack.url}/attest/query", data=sent, headers=JSON, timeout=60)
    show.fact(answer.status_code, answer.json())
    try:
        show.last_word(verify(stack, sent, answer.content))
    except VerificationError as exc:
        show.refused(exc)
        return False
    return answer.json()["success"] is True


def _lookup(stack: Stack, title: str, call: dict[str, Any]) -> bool:
    """Do one lookup and print it; return whether it ended as its title says."""
    sent = challenged(call)
    answer = requests.post(f"{stack.url}/attest/fetch", data=sent, headers=JSON, timeout=60)
    reply = answer.json()
    show.heading(title)
    show.asked(call)
    show.answered(answer.status_code, reply)
    if "attestation" not in reply:
        return "refuses" in title and reply.get("status") == 403
    try:
        show.verified(verify(stack, sent, answer.content))
    except VerificationError as exc:
        show.refused(exc)
        return False
    return reply["success"] is True


def serve(stack: Stack) -> int:
    """Leave the stack running until it is interrupted."""
    call = json.dumps(LOOKUPS["A VAT number that is valid"])
    print(f"The parent answers at {stack.url}. Try:\n", flush=True)
    print(
        f"curl -s {stack.url}/attest/fetch -H 'Content-Type: application/json' -d {shlex.quote(call)}\n",
        flush=True,
    )
    print("Ctrl-C ends it.", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("\nstopping", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
