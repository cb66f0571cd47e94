"""How much resident memory hostile bytes take: each case runs in a process of its own, which prints its MiB.

Resident memory, since what expat holds is in no count of Python's. Rule: the bytes themselves are made before, and do
not count. By hand: `python -m tests.memory_child ROAD KIND [AT_ONCE]`.
"""

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import said
from enclave_worker.handlers import answers, xml_tree
from enclave_worker.handlers.errors import OperationFailed
from enclave_worker.sealed.padding import MAX_REQUEST_BYTES
from tests.enclave_kit import HOST, enclave, in_threads
from tests.sealing import Sealer, sealer
from tytle_verifier import reply
from tytle_verifier.derive import jsonbody, xmlbody
from tytle_verifier.derive.trace import Unanswered
from tytle_verifier.errors import InputError
from wire import queries
from wire.errors import MessageError
from wire.frames import MAX_FRAME_BYTES

MIB = 1024 * 1024
REFUSALS = (MessageError, OperationFailed, Unanswered, InputError)
CALLER_BYTES = 10 * MIB  # the parent takes no more
SEALED_BYTES = MAX_REQUEST_BYTES - 8192  # with room for the reply's key
UPSTREAM_BYTES, XML_BYTES = 4 * MIB, 256 * 1024  # the policies let no more through
WIDE = "\U0001f600".encode()  # one such character makes Python keep four bytes for each one of a text
ROOT = Path(__file__).parent.parent


def in_child(road: str, kind: str, at_once: int = 1) -> int:
    """Return the MiB of resident memory that a case took beyond what its process had before."""
    command = [sys.executable, "-m", "tests.memory_child", road, kind, str(at_once)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    return int(done.stdout.split()[0])


def filled(size: int, before: bytes, unit: bytes, behind: bytes) -> bytes:
    """As many units as make `size` bytes with what is around them."""
    return before + unit * ((size - len(before) - len(behind)) // len(unit)) + behind


def asked(kind: str, size: int) -> bytes:
    """A question of a caller: one whose parameters have many values, or a call with one long text."""
    query = b'{"service":"test","operation":"test.item","params":{"a":[', b"0]}}"
    call = b'{"url":"https://%b/a1","method":"POST","headers":{},"body":"' % HOST.encode(), b'"}'
    wide = WIDE + b'"}'
    return {
        "objects": lambda: filled(size, query[0], b'{"":0},', query[1]),
        "lists": lambda: filled(size, query[0], b"[],", query[1]),
        "keys": lambda: filled(size, query[0], b'{"\xf0\x9f\x98\x80' + b"x" * (size // 3400) + b'":0},', query[1]),
        "text": lambda: filled(size, call[0], b"x", call[1]),
        "wide": lambda: filled(size, call[0], b"x", wide),
        "escapes": lambda: filled(size, call[0], b"\\u0800", call[1]),
        "wide escapes": lambda: filled(size, call[0], b"a\\n", wide),
        "wide key": lambda: filled(size, b'{"', b"x", WIDE + b'":0}'),
        "wide parameter": lambda: filled(size, query[0] + b'"', b"x", WIDE + b'"]}}'),
    }[kind]()


def answered(kind: str, size: int) -> bytes:
    """An answer of an upstream, or a reply of a parent, in JSON."""
    most = answers.MAX_PARTS // 2 - 3
    return {
        "objects": lambda: filled(size, b'{"data":[', b'{"":0},', b"0]}"),
        "lists": lambda: filled(size, b'{"data":[', b"[],", b"0]}"),
        "deep": lambda: b'{"data":[' + (b'{"":' * 29 + b"0" + b"}" * 29 + b",") * (most // 30) + b"0]}",
        "names": lambda: b"{" + b",".join(b'"%d":0' % number for number in range(most)) + b"}",
        "texts": lambda: b'{"data":[' + b'"\xf0\x9f\x98\x80xxxxxxxxx",' * most + b"0]}",
        "wide": lambda: filled(size, b'{"data":"', b"x", WIDE + b'"}'),
    }[kind]()


def xml(_: str, size: int) -> bytes:
    """One element: half of the bytes are a namespace's name, half are attributes of that namespace."""
    names = b" ".join(b'x:%x=""' % (0xA000 + number) for number in range(size // 20))
    return b"<a xmlns:x='" + b"u" * (size - len(names) - 20) + b"' " + names + b"/>"


READERS: dict[str, tuple[Callable[[bytes], Any], Callable[[str, int], bytes], int]] = {
    "parent: query": (queries.decode, asked, CALLER_BYTES),
    "parent": (said.json_object, answered, MAX_FRAME_BYTES),
    "handler": (answers.read_object, answered, UPSTREAM_BYTES),
    "handler: XML": (xml_tree.parse, xml, XML_BYTES),
    "handler: XML that is read": (xml_tree.parse, xml, xml_tree.MAX_XML_BYTES),
    "verifier": (reply.decode, answered, reply.MAX_REPLY_BYTES),
    "derivation": (jsonbody.read_object, answered, UPSTREAM_BYTES),
    "derivation: XML": (xmlbody.read, xml, XML_BYTES),
}


def kilobytes(name: str) -> int:
    """Return a field of this process's status, such as its resident memory now or at its height."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    return int(found[1]) if found else 0


def measured(run: Callable[[int], Any], at_once: int) -> tuple[int, float]:
    """Return the MiB that a run at its height takes beyond the memory before it, and its seconds."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5): the height begins anew
    before, start = kilobytes("VmRSS"), time.monotonic()
    in_threads(at_once, run)
    return (kilobytes("VmHWM") - before) // 1024, time.monotonic() - start


def through_a_worker(kind: str, at_once: int, *, is_sealed: bool) -> tuple[int, float]:
    with enclave() as running:
        running.fetch()
        frames = [asked(kind, CALLER_BYTES)] * at_once
        if is_sealed:
            frames = [_sealed(sealer(running.worker), kind) for _ in frames]
        return measured(lambda index: running.worker.answer(frames[index]), at_once)


def _sealed(client: Sealer, kind: str) -> bytes:
    inside = client.inside(None)
    head = b'{"time":%d,"replyKey":"%b","request":' % (inside["time"], inside["replyKey"].encode())
    client.seal_bytes(head + asked(kind, SEALED_BYTES) + b"}")
    return client.frame()


def main(road: str, kind: str, at_once: str = "1") -> None:
    if road in ("worker", "sealed"):
        took, seconds = through_a_worker(kind, int(at_once), is_sealed=road == "sealed")
    else:
        read, make, size = READERS[road]
        data = make(kind, size)

        def run(_: int) -> None:
            with contextlib.suppress(*REFUSALS):
                read(data)

        took, seconds = measured(run, int(at_once))
    sys.stdout.write(f"{took} MiB {seconds:.2f} s\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
