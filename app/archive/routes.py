"""`GET /attestations/ID` and `GET /log/...`: a stored reply byte for byte, and proofs about the log over all of them.

Hashes are lower-case hex. What a caller may not read is answered as what does not exist.
"""

import re
from collections.abc import Callable
from typing import TypeVar

from flask import Blueprint, Response, g, jsonify, request

from app.archive.access import may_read
from app.archive.entry import ID
from app.archive.storage import Inclusion, OutOfRange, Store, Stored, StoreFailed
from app.errors import ApiError

HASH = re.compile(r"[0-9a-f]{64}")
NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
RETRY_AFTER_SECONDS = 5

_T = TypeVar("_T")


def blueprint(store: Store) -> Blueprint:
    """Return the routes of this module."""
    routes = Blueprint("archive", __name__)

    @routes.get("/attestations/<attestation_id>")
    def attestation(attestation_id: str) -> Response:
        _parameters()
        stored = _ask(lambda: store.find(attestation_id)) if ID.fullmatch(attestation_id) else None
        if stored is None or not may_read(g.caller, stored.caller):
            raise ApiError(404, "not_found", "No answer is stored under this attestationId")
        if stored.reply is None:
            return _gone(stored, _ask(lambda: store.prove(stored.leaf)))
        return Response(stored.reply, mimetype="application/json")

    @routes.get("/log/head")
    def head() -> Response:
        _parameters()
        found = _ask(store.head)
        return jsonify(size=found.size, root=found.root.hex(), time=found.time)

    @routes.get("/log/proof")
    def proof() -> Response:
        given = _parameters("leaf", "size")
        leaf = given.get("leaf", "")
        if not HASH.fullmatch(leaf):
            raise ApiError(400, "bad_request", "leaf: expected 64 lower-case hex digits")
        size = _number(given, "size") if "size" in given else None
        found = _ask(lambda: store.prove(bytes.fromhex(leaf), size=size))
        if found is None:
            raise ApiError(404, "not_found", "The log has no such leaf")
        return jsonify(_inclusion(found))

    @routes.get("/log/consistency")
    def consistency() -> Response:
        given = _parameters("from", "to")
        older, newer = _number(given, "from"), _number(given, "to")
        path = _ask(lambda: store.consistency(older, newer))
        return jsonify({"from": older, "to": newer, "path": [node.hex() for node in path]})

    return routes


def _ask(question: Callable[[], _T]) -> _T:
    try:
        return question()
    except OutOfRange as exc:
        raise ApiError(400, "out_of_range", str(exc)) from exc
    except StoreFailed as exc:
        text = "The archive's database does not answer"
        raise ApiError(503, "archive_unavailable", text, retry_after=RETRY_AFTER_SECONDS) from exc


def _gone(stored: Stored, proof: Inclusion | None) -> Response:
    response = jsonify(
        success=False,
        error="The answer was removed after its time; the log still has its leaf",
        code="gone",
        requestId=g.request_id,
        attestationId=stored.id,
        sha256=stored.digest.hex(),
        leaf=stored.leaf.hex(),
        proof=None if proof is None else _inclusion(proof),
    )
    response.status_code = 410
    return response


def _inclusion(proof: Inclusion) -> dict[str, object]:
    path = [sibling.hex() for sibling in proof.path]
    return {"index": proof.index, "size": proof.size, "root": proof.root.hex(), "path": path}


def _parameters(*known: str) -> dict[str, str]:
    """Return the query's parameters, each of which is known and there once."""
    given = request.args.to_dict(flat=False)
    if given.keys() - set(known) or any(len(values) > 1 for values in given.values()):
        allowed = ", ".join(known) or "none"
        raise ApiError(400, "bad_request", f"Query parameters are each given once; allowed: {allowed}")
    return {name: values[0] for name, values in given.items()}


def _number(given: dict[str, str], name: str) -> int:
    text = given.get(name, "")
    if not NUMBER.fullmatch(text):
        raise ApiError(400, "bad_request", f"{name}: expected a whole number")
    return int(text)
