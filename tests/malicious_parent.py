"""A parent that lies: an HTTP server with the parent's API, which hands every call to manipulations on both ways.

    with serving(world) as parent:
        parent.acts = (act, ...)          # data: see malicious_acts
        requests.post(parent.url + "/attest/fetch", ...)

Between the manipulations it does what an honest parent does, over real frames. What it does beyond that (asking the
enclaves for other answers under the caller's own challenge, holding two replies back and exchanging them, injecting
frames) an act does through its `Passage`. An act that finds nothing to change raises `NotHere`; whatever else goes
wrong in here is kept in `broken`, for a test to look at.
"""

import base64
import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cbor2

from tests.malicious_world import World

LOOKUP = "https://ec.europa.eu/taxation_customs/vies/rest-api/check-vat-number"
HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}  # as the handler of a query writes them
OTHER_HEADERS = {**HEADERS, "Content-Type": "application/json; charset=utf-8"}
BY_ADDRESS = "https://ec.europa.eu/taxation_customs/vies/rest-api/ms/PT/vat/507172230"
DONORS = (
    *("another request", "another mode", "another challenge", "no challenge", "second boot", "other code", "debug"),
    *("other service", "another kind", "failed", "other headers"),
)
"""Genuine replies that a parent can have made, under the caller's own challenge where their name says nothing else."""


SPOILT = (LookupError, ValueError, TypeError, AttributeError, RecursionError)
"""What an act may stumble over when another act was there before it; alone, it is a defect of the act."""


class NotHere(Exception):
    """There is nothing here that this act could change."""


@dataclass(kw_only=True)
class Passage:
    """One call on its way: `message` is the frame, `enclave` where it goes, `raw` what is sent as it is instead of
    status, headers and reply. `asked` is the message as it came."""

    parent: "MaliciousParent"
    kind: str
    asked: dict[str, Any]
    message: dict[str, Any]
    enclave: str = "vies"
    reply: bytes = b""
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=lambda: [("Content-Type", "application/json")])
    raw: bytes | None = None

    def json(self) -> dict[str, Any]:
        try:
            value = json.loads(self.reply)
        except ValueError as error:
            raise NotHere from error
        if not isinstance(value, dict):
            raise NotHere
        return value

    def put(self, value: object) -> None:
        self.reply = json.dumps(value).encode()

    def donor(self, name: str) -> dict[str, Any]:
        """Return another genuine reply. Sealed calls have none: the parent knows neither request nor challenge."""
        if self.kind not in ("fetch", "query"):
            raise NotHere
        message, enclave = _other(name, self.asked)
        key = json.dumps([name, enclave, message], sort_keys=True)
        kept = self.parent.kept
        if key not in kept:
            way = self.parent.world.without_upstreams() if name == "failed" else contextlib.nullcontext()
            with way:
                kept[key] = self.parent.world.exchange(enclave, message)[0]
        value: dict[str, Any] = json.loads(kept[key])
        return value


Way = Callable[[Passage], None]


@dataclass(frozen=True, kw_only=True)
class Act:
    """One manipulation: `there`, on the way to the enclave, or back. `do` changes the passage."""

    name: str
    there: bool = False
    do: Way


def _other(name: str, asked: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return what to ask, and whom, for the donor of that name."""
    enclave = name if name in ("second boot", "debug", "other code", "other service") else "vies"
    message = dict(asked)
    if name == "another request":
        message.update(_about(asked, "999999990"))
    elif name == "another mode":
        message["mode"] = {"document": "batch", "batch": "session"}.get(asked.get("mode", "document"), "document")
    elif name == "another challenge":
        message["challenge"] = base64.b64encode(b"a challenge of somebody else's..").decode()
    elif name == "no challenge":
        message.pop("challenge", None)
    elif name == "other headers":
        message.update({"schema": "VIES"} if "operation" in asked else {"headers": OTHER_HEADERS})
    elif name == "other service":
        message = _common(asked) | {"service": "sicae", "operation": "sicae.lookup", "params": {"nif": "507172230"}}
    elif name == "another kind":
        message = _common(asked) | (_lookup() if "operation" in asked else _query())
    return message, enclave


def _common(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {key: asked[key] for key in ("id", "challenge", "mode", "timeoutMs") if key in asked}


def _about(asked: Mapping[str, Any], number: str) -> dict[str, Any]:
    if "operation" in asked:
        return {"params": {**asked["params"], "vatNumber": number}}
    if asked.get("method") == "GET":
        return {"url": BY_ADDRESS.replace("507172230", number)}
    return {"body": lookup_body(number)}


def _lookup() -> dict[str, Any]:
    return {"url": LOOKUP, "method": "POST", "headers": HEADERS, "body": lookup_body("507172230")}


def lookup_body(number: str) -> str:
    """Return what is posted for a number, byte for byte as the handler of a query does."""
    return json.dumps({"countryCode": "PT", "vatNumber": number}, separators=(",", ":"))


def _query() -> dict[str, Any]:
    params = {"countryCode": "PT", "vatNumber": "507172230"}
    return {"service": "vies", "operation": "vies.check_vat_rest", "params": params}


@dataclass
class MaliciousParent:
    """`acts` are done to every call; `done` names those that were, `broken` what went wrong in the parent itself.

    With `remembers`, an unsealed call that came before is answered from memory, so that many lies about one answer
    cost one answer. `past` has every reply that ever passed, by kind.
    """

    world: World
    acts: tuple[Act, ...] = ()
    remembers: bool = False
    done: list[str] = field(default_factory=list)
    broken: list[BaseException] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)
    past: dict[str, list[bytes]] = field(default_factory=dict)
    url: str = ""

    def carry(self, passage: Passage) -> None:
        """Take one call to the enclave and back."""
        self._act(passage, there=True)
        if not passage.reply and passage.raw is None:
            key = json.dumps([passage.enclave, passage.message], sort_keys=True)
            if not (self.remembers and key in self.kept):
                self.kept[key] = self.world.exchange(passage.enclave, passage.message)[0]
            passage.reply = self.kept[key]
        genuine = passage.reply
        self._act(passage, there=False)
        self.past.setdefault(passage.kind, []).append(genuine)

    def identity_key(self, enclave: str) -> bytes:
        """Return the key that this enclave's requests are sealed to."""
        shown = json.loads(self.world.exchange(enclave, {"type": "identity"})[0])
        key: bytes = cbor2.loads(base64.b64decode(shown["identity"]))["sealing"]["key"]
        return key

    def _act(self, passage: Passage, *, there: bool) -> None:
        spoilt = SPOILT if len(self.acts) > 1 else ()
        for act in self.acts:
            if act.there is there:
                with contextlib.suppress(NotHere, *spoilt):
                    act.do(passage)
                    self.done.append(act.name)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind = self.path.rpartition("/")[2]
        message = {"id": "r1", **said}
        if kind == "sealed":
            message = {"type": "sealed", **{name: value for name, value in said.items() if name != "service"}}
        self._answer(kind, message)

    def do_GET(self) -> None:
        challenge = parse_qs(urlsplit(self.path).query)["challenge"][0].replace("-", "+").replace("_", "/")
        self._answer("identity", {"type": "identity", "challenge": challenge})

    def _answer(self, kind: str, message: dict[str, Any]) -> None:
        parent: MaliciousParent = self.server.parent  # type: ignore[attr-defined]
        passage = Passage(parent=parent, kind=kind, asked=dict(message), message=message)
        try:
            parent.carry(passage)
        except BaseException as error:  # noqa: BLE001  a test looks at it
            parent.broken.append(error)
            passage.raw = b""
        if passage.raw is not None:
            self.wfile.write(passage.raw)
            self.close_connection = True
            return
        self.send_response(passage.status)
        named = {name.lower() for name, _ in passage.headers}
        for name, value in passage.headers:
            self.send_header(name, value)
        if not named & {"content-length", "transfer-encoding"}:
            self.send_header("Content-Length", str(len(passage.reply)))
        self.end_headers()
        self.wfile.write(passage.reply)
        self.close_connection = bool(named & {"content-length", "transfer-encoding"})

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hangs up in the middle of a lie is no trouble."""


@contextlib.contextmanager
def serving(world: World) -> Iterator[MaliciousParent]:
    """Listen on loopback."""
    parent = MaliciousParent(world)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.parent = parent  # type: ignore[attr-defined]
    parent.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield parent
    finally:
        server.shutdown()
        server.server_close()
