"""Faults to plant in what the targets watch: each is a defence taken away, and the target must notice.

`tests/test_fuzz_corpora.py` plants them one by one and runs the kept inputs.
"""

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.archive import tree
from app.callers import proof, registry
from enclave_worker.handlers import xml_tree
from enclave_worker.sealed import opening, padding
from enclave_worker.upstream import bodies, head, response
from nsm import client, document
from policy import paths, rules, url
from tests.fuzz import documents, replies
from tytle_verifier import LinkCache, answer, cbor, chain, cose, legacy, log, statement
from wire import fields, frames, hops, messages

Put = Callable[[Any, str, Any], None]  # an owner, the name of an attribute, what stands there from now on


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`plant` puts what is wrong in its place."""

    target: str
    name: str
    plant: Callable[[Put], None]


def _instead(owner: object, name: str, value: object) -> Callable[[Put], None]:
    return lambda put: put(owner, name, value)


def _no_check(*_: object, **__: object) -> None:
    """Let everything pass."""


def _loses_a_byte(put: Put) -> None:
    real = frames.Decoder.next
    put(frames.Decoder, "next", lambda self: (real(self) or b"")[:-1] or None)


def _remembers_everything(put: Put) -> None:
    real = frames.Decoder.next

    def keeps(self: Any) -> bytes | None:
        payload = real(self)
        self.kept = getattr(self, "kept", b"") + (payload or b"") * 64
        return payload

    put(frames.Decoder, "next", keeps)


def _lenient_chunks(put: Put) -> None:
    real = bodies.ChunkedBody._judge
    put(bodies.ChunkedBody, "_judge", lambda self, line: real(self, b"" if self._behind_data else line))


def _believes_any_end(put: Put) -> None:
    real = response.ResponseReader.end
    put(response.ResponseReader, "end", lambda self, authenticated: real(self, authenticated=True))  # noqa: ARG005


def _any_status(put: Put) -> None:
    put(head, "_HEAD", re.compile(head._HEAD.pattern.replace(b"([1-5][0-9]{2})", b"([0-9]{3})")))


def _says_two_attempts(put: Put) -> None:
    real = statement._exchange
    put(statement, "_exchange", lambda value, where: dataclasses.replace(real(value, where), attempts=2))


def _links_unchecked(put: Put) -> None:
    put(documents, "LINKS", LinkCache())
    put(chain, "check_link", _no_check)


def _any_body(put: Put) -> None:
    put(replies, "LINKS", LinkCache())
    put(answer, "check_shown", lambda *_: ())
    put(legacy, "check", lambda *_: ())


def _any_padding(put: Put) -> None:
    real = padding.unpad

    def lenient(padded: bytes, *, least: int) -> bytes:
        try:
            return real(padded, least=least)
        except padding.NotPadded:
            return padded[4 : 4 + int.from_bytes(padded[:4], "big")]

    put(padding, "unpad", lenient)


FAULTS = (
    Fault(target="frames", name="a payload loses a byte", plant=_loses_a_byte),
    Fault(target="frames", name="what was taken is held", plant=_remembers_everything),
    Fault(target="frames", name="any length passes", plant=_instead(frames, "check_length", lambda length: length)),
    Fault(
        target="messages",
        name="a caller can set a hop",
        plant=_instead(messages, "CALL_FIELDS", messages.CALL_FIELDS | {"hop"}),
    ),
    Fault(
        target="messages",
        name="a time is changed",
        plant=_instead(fields, "timeout_ms", lambda value: value and value - 1),
    ),
    Fault(target="reports", name="numbers are not checked", plant=_instead(hops, "_number", int)),
    Fault(target="urls", name="a path is not checked", plant=_instead(url, "_check_path", _no_check)),
    Fault(target="urls", name="a host is not checked", plant=_instead(url, "_check_labels", _no_check)),
    Fault(target="manifests", name="any segment fits", plant=_instead(paths, "_fits", lambda *_: True)),
    Fault(target="manifests", name="any query passes", plant=_instead(rules, "check_query", _no_check)),
    Fault(target="manifests", name="any header passes", plant=_instead(rules, "_check_header_names", _no_check)),
    Fault(target="manifests", name="credentials in clear pass", plant=_instead(rules, "check_sealed", _no_check)),
    Fault(target="upstream", name="a chunk may be too long", plant=_lenient_chunks),
    Fault(target="upstream", name="any end of a connection counts", plant=_believes_any_end),
    Fault(target="upstream", name="any status passes", plant=_any_status),
    Fault(target="nsm", name="an echo is not compared", plant=_instead(client, "_compare", _no_check)),
    Fault(target="nsm", name="a nonce is not read", plant=_instead(document, "_optional", _no_check)),
    Fault(target="statements", name="a field goes unread", plant=_says_two_attempts),
    Fault(target="statements", name="keys come in any order", plant=_instead(cbor._Scan, "_fresh", _no_check)),
    Fault(target="documents", name="no link is checked", plant=_links_unchecked),
    Fault(target="documents", name="no signature is checked", plant=_instead(cose, "verify", _no_check)),
    Fault(target="documents", name="no validity is checked", plant=_instead(chain, "_check_alone", _no_check)),
    Fault(target="replies", name="any body is shown", plant=_any_body),
    Fault(target="sealed", name="any padding passes", plant=_any_padding),
    Fault(target="sealed", name="a call is opened twice", plant=_instead(opening.Opener, "_admit", _no_check)),
    Fault(target="handlers", name="instructions are skipped", plant=_instead(xml_tree, "_instruction", _no_check)),
    Fault(target="handlers", name="an answer may have few elements", plant=_instead(xml_tree, "MAX_ELEMENTS", 5)),
    Fault(
        target="log",
        name="any path proves growth",
        plant=_instead(log, "_roots", lambda old, new, _: (old.root, new.root)),
    ),
    Fault(target="log", name="a tree is split elsewhere", plant=_instead(tree, "_split", lambda leaves: leaves // 2)),
    Fault(
        target="callers",
        name="any token is known",
        plant=_instead(registry.Callers, "of_token", lambda self, _: self.tokens[0].caller),
    ),
    Fault(
        target="callers",
        name="any scheme is a bearer's",
        plant=_instead(proof, "_BEARER", re.compile("[A-Za-z]+ +([!-~]{1,512})")),
    ),
    Fault(
        target="callers",
        name="any peer is a proxy that is trusted",
        plant=_instead(proof.Proxies, "include", lambda *_: True),
    ),
)
