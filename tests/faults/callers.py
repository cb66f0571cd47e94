"""Callers that do something wrong, byte by byte."""

import http.client
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from devstack.endurance.calls import AUTHORIZATION, JSON, Answer, Ended, error
from devstack.endurance.questions import Question
from tests.faults.registry import caller
from tests.faults.world import World, worded

PATIENCE_SECONDS = 20.0
HALF_BYTES = 6_000
ANSWER_BYTES = 4_000
TOO_LARGE_BYTES = 30 * 1024 * 1024  # a little too much is read, and then refused
SILENCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A connection to the parent, the question that is to be asked over it, and the body that asks it."""

    world: World
    sock: socket.socket
    question: Question
    sent: bytes

    def request(self, body: bytes | None = None, *, length: int | None = None) -> bytes:
        """Return the question as it stands on the connection, or with another body or Content-Length."""
        sent = self.sent if body is None else body
        fields = {**AUTHORIZATION, **JSON, "Host": "parent", "Content-Length": str(length or len(sent))}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"POST {self.question.path} HTTP/1.1\r\n{head}\r\n".encode() + sent

    def heard(self) -> str:
        """Return what comes back."""
        try:
            response = http.client.HTTPResponse(self.sock, method="POST")
            response.begin()
            answer = Answer(headers=response.headers, data=response.read())
            if response.status != 200:
                error(response.status, answer)
        except Ended as exc:
            return worded(exc)
        except (http.client.HTTPException, OSError):
            return "no answer"
        return self.world.judge(self.question, self.sent, answer)

    def reset(self) -> str:
        """End the connection with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        return "left"


@contextmanager
def asking(world: World) -> Iterator[Asking]:
    """Connect to the parent with a question of the world's."""
    question = world.question()
    with socket.create_connection(("127.0.0.1", world.port), timeout=PATIENCE_SECONDS) as sock:
        yield Asking(world=world, sock=sock, question=question, sent=question.draw())


@caller("leaves (RST)")
def leave(world: World, moment: str) -> str:
    """Resets its connection."""
    with asking(world) as one:
        if moment == "while connecting":
            return one.reset()
        if moment == "half of the request out":
            one.sock.sendall(one.request()[:HALF_BYTES])
            return one.reset()
        if moment == "while waiting":
            with world.held("vies") as held:
                one.sock.sendall(one.request())
                held.wait()
                return one.reset()
        one.sock.sendall(one.request())
        one.sock.recv(ANSWER_BYTES)
        return one.reset()


@caller("is silent")
def be_silent(world: World, moment: str) -> str:
    """Sends nothing more; before its request, nothing for a while."""
    with asking(world) as one:
        if moment == "half of the request out":
            one.sock.sendall(one.request()[:HALF_BYTES])
        else:
            time.sleep(SILENCE_SECONDS)
            one.sock.sendall(one.request())
        return one.heard()


@caller("closes its half")
def close_half(world: World, moment: str) -> str:
    """Says that nothing more will come, and goes on reading."""
    with asking(world) as one:
        if moment == "half of the request out":
            one.sock.sendall(one.request()[:HALF_BYTES])
            one.sock.shutdown(socket.SHUT_WR)
            return one.heard()
        with world.held("vies") as held:
            one.sock.sendall(one.request())
            held.wait()
            one.sock.shutdown(socket.SHUT_WR)
        return one.heard()


@caller("drips")
def drip(world: World, _: str) -> str:
    """Sends in small pieces, all of it."""
    with asking(world) as one:
        whole = one.request()
        for start in range(0, len(whole), 512):
            one.sock.sendall(whole[start : start + 512])
            time.sleep(0.01)
        return one.heard()


@caller("sends garbage")
def send_garbage(world: World, moment: str) -> str:
    """Sends what is no request, in place of one, as its body, or behind one that was answered."""
    with asking(world) as one:
        if moment == "half of the request out":
            one.sock.sendall(one.request(b"\xff" * len(one.sent)))
            return one.heard()
        if moment == "after the answer":
            one.sock.sendall(one.request())
            if one.heard() != "verified":
                return "the first answer was none"
        one.sock.sendall(bytes(range(256)) + b"\r\n\r\n")
        return one.heard()


@caller("asks for too much room")
def ask_for_room(world: World, _: str) -> str:
    """Says that 30 MiB will come."""
    with asking(world) as one:
        one.sock.sendall(one.request(length=TOO_LARGE_BYTES)[:HALF_BYTES])
        return one.heard()
