"""Invariant: whatever bytes the verifier is given, it returns a value or raises one of its own errors, nothing else.

`python -m tests.fuzz.verifier -max_total_time=60`. The first byte chooses the decoder. Real documents, where they are
at hand, are what to start from: `python -m tests.fuzz.verifier FOLDER ...`.
"""

import contextlib
import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["tytle_verifier"]):
    import tytle_verifier
    from tytle_verifier import certificate, cose, document, policy_file, reply, request, statement
    from tytle_verifier.sealed import answer, container, identity

POLICY = tytle_verifier.Policy(
    service="vies",
    releases=(tytle_verifier.Release(commit="0" * 40, pcrs=dict.fromkeys(range(3), b"\x01" * 48)),),
)


def _reply(data: bytes) -> object:
    return tytle_verifier.verify_reply(data, policy=POLICY, time=tytle_verifier.Archive())


def _document(data: bytes) -> object:
    return tytle_verifier.verify_document(data, time=tytle_verifier.Archive())


def _identity(data: bytes) -> object:
    time = tytle_verifier.Archive()
    return tytle_verifier.verify_identity(data, policy=POLICY, challenge=bytes(32), time=time)


TARGETS: tuple[Callable[[bytes], object], ...] = (
    _document,
    _reply,
    cose.decode,
    lambda data: cose.decode(data, cose.ES256),
    lambda data: document.decode(data, tytle_verifier.Rules()),
    lambda data: certificate.load(data, name="fuzzed"),
    statement.decode,
    reply.decode,
    request.decode,
    request.decode_query,
    policy_file.load,
    _identity,
    identity.decode,
    identity.decode_user_data,
    answer.decode,
    lambda data: container.empty(data, container.REQUEST),
)


def one_input(data: bytes) -> None:
    """Feed one input to the decoder that its first byte names."""
    if not data:
        return
    with contextlib.suppress(tytle_verifier.VerifierError):
        TARGETS[data[0] % len(TARGETS)](data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
