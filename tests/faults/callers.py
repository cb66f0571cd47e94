"""Callers that do something wrong, byte by byte."""

import http.client
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from devstack.endurance.calls import AUTHORIZATION, JSON, Answer, Ended, error
from devstack.endurance.questions import Question
from tests.faults.registry import caller
from tests.faults.world import World, worded

PATIENCE_SECONDS = 20.0
HALF_BYTES = 6_000
ANSWER_BYTES = 4_000
TOO_LARGE_BYTES = 30 * 1024 * 1024  # a little too much is read, and then refused
SILENCE_SECONDS = 3.0


@contextmanager
def connected(world: World) -> Iterator[socket.socket]:
    """A connection to the parent."""
    with socket.create_connection(("127.0.0.1", world.port), timeout=PATIENCE_SECONDS) as sock:
        yield sock


def bytes_of(question: Question, sent: bytes, *, length: int | None = None) -> bytes:
    """Return a request as it stands on the connection."""
    fields = {**AUTHORIZATION, **JSON, "Host": "parent", "Content-Length": str(length or len(sent))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {question.path} HTTP/1.1\r\n{head}\r\n".encode() + sent


def heard(world: World, sock: socket.socket, question: Question, sent: bytes) -> str:
    """Return what comes back."""
    try:
        response = http.client.HTTPResponse(sock, method="POST")
        response.begin()
        answer = Answer(headers=response.headers, data=response.read())
        if response.status != 200:
            error(response.status, answer)
    except Ended as exc:
        return worded(exc)
    except (http.client.HTTPException, OSError):
        return "no answer"
    return world.judge(question, sent, answer)


def reset(sock: socket.socket) -> str:
    """End a connection with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    return "left"


@caller("leaves (RST)")
def leave(world: World, moment: str) -> str:
    """Resets its connection."""
    question = world.question()
    whole = bytes_of(question, question.data)
    with connected(world) as sock:
        if moment == "while connecting":
            return reset(sock)
        if moment == "half of the request out":
            sock.sendall(whole[:HALF_BYTES])
            return reset(sock)
        if moment == "while waiting":
            with world.held("vies") as held:
                sock.sendall(whole)
                held.wait()
                return reset(sock)
        sock.sendall(whole)
        sock.recv(ANSWER_BYTES)
        return reset(sock)


@caller("is silent")
def be_silent(world: World, moment: str) -> str:
    """Sends nothing more; before its request, nothing for a while."""
    question = world.question()
    sent = question.data
    with connected(world) as sock:
        if moment == "half of the request out":
            sock.sendall(bytes_of(question, sent)[:HALF_BYTES])
        else:
            time.sleep(SILENCE_SECONDS)
            sock.sendall(bytes_of(question, sent))
        return heard(world, sock, question, sent)


@caller("closes its half")
def close_half(world: World, moment: str) -> str:
    """Says that nothing more will come, and goes on reading."""
    question = world.question()
    sent = question.data
    whole = bytes_of(question, sent)
    with connected(world) as sock:
        if moment == "half of the request out":
            sock.sendall(whole[:HALF_BYTES])
            sock.shutdown(socket.SHUT_WR)
            return heard(world, sock, question, sent)
        with world.held("vies") as held:
            sock.sendall(whole)
            held.wait()
            sock.shutdown(socket.SHUT_WR)
        return heard(world, sock, question, sent)


@caller("drips")
def drip(world: World, _: str) -> str:
    """Sends in small pieces, all of it."""
    question = world.question()
    sent = question.data
    whole = bytes_of(question, sent)
    with connected(world) as sock:
        for start in range(0, len(whole), 512):
            sock.sendall(whole[start : start + 512])
            time.sleep(0.01)
        return heard(world, sock, question, sent)


@caller("sends garbage")
def send_garbage(world: World, moment: str) -> str:
    """Sends what is no request, in place of one, as its body, or behind one that was answered."""
    question = world.question()
    sent = question.data
    with connected(world) as sock:
        if moment == "half of the request out":
            sock.sendall(bytes_of(question, b"\xff" * len(sent)))
            return heard(world, sock, question, sent)
        if moment == "after the answer":
            sock.sendall(bytes_of(question, sent))
            if heard(world, sock, question, sent) != "verified":
                return "the first answer was none"
        sock.sendall(bytes(range(256)) + b"\r\n\r\n")
        return heard(world, sock, question, sent)


@caller("asks for too much room")
def ask_for_room(world: World, _: str) -> str:
    """Says that 30 MiB will come."""
    question = world.question()
    sent = question.data
    with connected(world) as sock:
        sock.sendall(bytes_of(question, sent, length=TOO_LARGE_BYTES)[:HALF_BYTES])
        return heard(world, sock, question, sent)
