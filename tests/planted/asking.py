"""How a secret is sent: each way is a function of a world and a secret, which returns the whole answer."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import cbor2

from tests.planted.application import VAULT, VIES
from tests.planted.upstream import ANSWERS, HOST
from tests.planted.world import World, fresh
from tests.sealing import Sealer

Way = Callable[[World, str], bytes]
Fields = Callable[[str], dict[str, Any]]

HEADERS = {"Content-Type": "application/json"}
HANG_MS, ANSWER_MS = 400, 5000  # for what is not answered, and for what is
OPENINGS = {
    "bare": "/ HTTP/1.1\r\n",
    "chunked": "POST /attest/fetch HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n",
    "long": "POST /attest/fetch HTTP/1.1\r\nContent-Length: 1000\r\nContent-Type: application/json\r\n",
}
_TOKEN = "\0token\0"  # where the token of the world's caller belongs


def account(name: str = "a" * 32) -> str:
    return f"https://{HOST}/accounts/{name}/payments"


def resolve(opening: str) -> str:
    """Return the head of a request that lets its caller in."""
    return f"{OPENINGS[opening]}Authorization: Bearer {_TOKEN}\r\n\r\n"


def ask(
    world: World,
    body: bytes,
    *,
    path: str = "/attest/fetch",
    method: str = "POST",
    headers: dict[str, str] | None = None,
    token: str | None = None,
) -> bytes:
    """Send a request, head and all, and return all that comes back."""
    sent = {
        "Host": "parent",
        "Authorization": f"Bearer {world.settings['token'] if token is None else token}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **(headers or {}),
        "Connection": "close",
    }
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items() if value)]
    return world.gunicorn.exchange("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def _call(**changed: Any) -> bytes:
    return json.dumps({"url": account(), "method": "POST", "headers": HEADERS, "body": "{}", **changed}).encode()


def fetch(fields: Fields) -> Way:
    return lambda world, secret: ask(world, _call(**fields(secret)))


def raw(body: Callable[[bytes], bytes]) -> Way:
    return lambda world, secret: ask(world, body(secret.encode()))


def query(fields: Fields) -> Way:
    least = {"service": VIES, "operation": "vies.check_vat_rest", "params": {"countryCode": "PT", "vatNumber": "1"}}
    return lambda world, secret: ask(world, json.dumps({**least, **fields(secret)}).encode(), path="/attest/query")


def with_header(name: str, value: str | None, *more: tuple[str, str]) -> Way:
    """Ask the least with one header, set or left out, and `more`; {} stands for the secret."""

    def way(world: World, secret: str) -> bytes:
        headers = {name: value or "", **dict(more)}
        spelt = {each.format(secret): said.format(secret) for each, said in headers.items()}
        return ask(world, _call(), headers=spelt)

    return way


def head(text: Callable[[str], str]) -> Way:
    def way(world: World, secret: str) -> bytes:
        return world.gunicorn.exchange(text(secret).replace(_TOKEN, world.settings["token"]).encode("latin-1"))

    return way


def target(
    path: str, *, method: str = "GET", body: bool = False, call: bool = False, spell: Callable[[str], str] = str
) -> Way:
    """Ask for a path; {} stands for the secret, which is also the `body`. `call` sends a good one instead."""

    def way(world: World, secret: str) -> bytes:
        sent = _call() if call else secret.encode() if body else b""
        return ask(world, sent, path=path.format(*[spell(secret)] * path.count("{}")), method=method)

    return way


def slowly() -> Way:
    """Send a part of a body, and nothing more."""

    def way(world: World, secret: str) -> bytes:
        with socket.create_connection(("127.0.0.1", world.gunicorn.port), timeout=30) as sock:
            sock.sendall((resolve("long").replace(_TOKEN, world.settings["token"]) + secret).encode())
            return b"".join(iter(lambda: sock.recv(65536), b""))

    return way


def upstream_says(name: str) -> Way:
    def way(world: World, secret: str) -> bytes:
        place = fresh()
        world.vault.told[place] = ANSWERS[name](secret)
        return ask(world, _call(url=account(place)))

    return way


def scripted(how: str) -> Way:
    def way(world: World, secret: str) -> bytes:
        world.scripted.said = secret
        patience = HANG_MS if how == "hangs" else ANSWER_MS
        return ask(world, _call(url=f"http://www.sicae.pt/{how}", body=secret, timeoutMs=patience))

    return way


def late(why: str) -> Way:
    """Ask when there is no room: at the service (`busy`), for the caller (`rate`), or where it may not (`scope`)."""

    def way(world: World, secret: str) -> bytes:
        if why == "scope":
            return ask(world, b"", path=f"/metrics?{secret}", method="GET", token=world.settings["slow token"])
        if why == "rate":
            ask(world, _call(), token=world.settings["slow token"])
            return ask(world, _call(body=secret), token=world.settings["slow token"])
        hang = _call(url="http://www.sicae.pt/hangs", timeoutMs=2000)
        while world.scripted.hanging.acquire(blocking=False):
            pass  # those of rows before
        first = threading.Thread(target=ask, args=(world, hang))
        first.start()
        if not world.scripted.hanging.acquire(timeout=5):
            raise TimeoutError("the first question is not under way")
        try:
            return ask(world, _call(url="http://www.sicae.pt/x", body=secret))
        finally:
            first.join()

    return way


def defect(name: str) -> Way:
    return lambda world, secret: ask(world, secret.encode(), path=f"/defects/{name}")


def leak(outlet: str) -> Way:
    return lambda world, secret: ask(world, secret.encode(), path=f"/leaks/{quote(outlet)}")


def nearly_sealed(fields: Fields) -> Way:
    least = {"service": VAULT, "keyId": "ab" * 32, "sealed": base64.b64encode(bytes(1200)).decode()}
    return lambda world, secret: ask(world, json.dumps({**least, **fields(secret)}).encode(), path="/attest/sealed")


def sealed(where: str) -> Way:
    """Seal a request with the secret in it to the vault's key, and check that the answer opens."""

    def way(world: World, secret: str) -> bytes:
        sealer = Sealer(key=_key(world), service=VAULT)
        call: dict[str, Any] = json.loads(_call(id="r1"))
        if where == "answer":
            world.vault.told["b" * 32] = ANSWERS["header"](secret)
            call["url"] = account("b" * 32)
        changed = {
            "request": {"headers": {**HEADERS, "Authorization": secret, "X-Customer": secret}, "body": secret},
            "path": {"url": account(secret) + f"?reference={secret}"},
            "id": {"id": secret},
            "refused": {"headers": {**HEADERS, f"x-{secret}": secret}, "url": f"https://{HOST}/{secret}"},
            "nonsense": {secret: secret},
        }
        sealed = sealer.seal({**call, **changed.get(where, {})})
        said = {"service": VAULT, "keyId": sealer.key_id.hex(), "sealed": base64.b64encode(sealed).decode()}
        answer = ask(world, json.dumps(said).encode(), path="/attest/sealed")
        opened = sealer.open(answer.partition(b"\r\n\r\n")[2])
        expected = where not in ("nonsense", "refused")
        if opened["success"] is not expected:
            raise ValueError(f"the enclave answered {opened.get('error')}")
        return answer

    return way


def _key(world: World) -> bytes:
    answer = world.get(f"/enclaves/{VAULT}/identity")
    if answer is None:
        raise ValueError("no identity")
    key: bytes = cbor2.loads(base64.b64decode(answer.json["identity"]))["sealing"]["key"]
    return key
