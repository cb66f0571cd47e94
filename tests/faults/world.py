"""The system that the rows share: gunicorn with two processes, one enclave of vies, two of sicae, links between them.

Every link between parent and enclave is a relay on TCP of ours, so that it can be cut, stalled and reset. Questions are
about things of their own, and each answer is verified.
"""

import contextlib
import functools
import json
import random
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from devstack import sicae, vies
from devstack.endurance import invented, parent
from devstack.endurance.calls import Answer, Connection, Ended
from devstack.endurance.invented import Numbers
from devstack.endurance.memory import Sample, sample_of
from devstack.endurance.questions import Catalogue, Question
from devstack.endurance.system import PROCESSES, Layout, Place, System, answers
from devstack.endurance.verifying import Verifier, boot_in
from devstack.parent import STATE
from devstack.relay import Relay
from devstack.steering import Steered
from devstack.worker import socket_path, steer_path
from tests.enclave_kit import in_threads
from tests.faults.parent import CLOCK, CLOCK_BYTES, DISK, LINKS
from tests.faults.upstreams import Held
from tests.faults.wires import Tap

TIMEOUT_MS = 3_000  # what every caller allows for its answer
WAIT_SECONDS = 20.0
DISK_SIZE = "96m"
NUMBERS_SIZE = "1m"
WARM_CALLS = 8
SLACK = 8  # descriptors or threads above those of a warm process: connections that are kept, threads that were needed
KEPT = {"sicae": 64}  # upstream connections that carried a query's own cookie: nobody else gets them, and they age
PLACES: tuple[Place, ...] = (("vies", 0), ("sicae", 0), ("sicae", 1))
VICTIM_HOST = {"vies": vies.HOST, "sicae": sicae.HOST}


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the processes of one kind hold, at most."""

    descriptors: int
    threads: int


class World(System):
    """A running system; use `with`. `log_folder` gets what the processes write."""

    def __init__(self, log_folder: Path) -> None:
        self.stand_ins = {host: Held(handler) for host, handler in invented.handlers().items()}
        layout = Layout(
            first=PLACES,
            drained=(),
            options=("--steered",),
            application="tests.faults.parent",
            handlers=self.stand_ins,
        )
        super().__init__(log_folder, layout)
        self.logs = log_folder
        self.links: dict[Place, Relay] = {}
        self._ports: dict[Place, int] = {}
        self.has_disk = False
        self._numbers = Numbers()
        self._catalogue = Catalogue(self._numbers, random.Random(1))  # noqa: S311  chooses questions, no secret
        self._warm: dict[str, Footprint] = {}

    def __enter__(self) -> "World":
        super().__enter__()
        self.verifier = Verifier(self)
        self.connection = Connection(self.port)
        self._cleanup.callback(self.connection.close)
        in_threads(WARM_CALLS, self._warm_up)
        for service in ("vies", "sicae", "sicae"):
            self.ask(question=self.beside(service))
        self._warm = self.footprint()
        return self

    def _warm_up(self, number: int) -> None:
        connection = Connection(self.port)
        ended = self.ask(connection, victim=PLACES[number % 2][0])
        connection.close()
        if ended != "verified":
            raise RuntimeError(f"the world is not sound: {ended}")

    def begin_parent(self, **environ: str) -> "subprocess.Popen[bytes]":
        """As `System.begin_parent`; the first time links and disk are made."""
        if not self.links:
            self._make_disk()
            for place in PLACES:
                self.links[place] = self.new_link(place)
                self._cleanup.callback(lambda place=place: self.links[place].stop())
            ports: dict[str, list[int]] = {}
            for (name, _), port in self._ports.items():
                ports.setdefault(name, []).append(port)
            (self.folder / LINKS).write_text(json.dumps(ports), encoding="ascii")
        return super().begin_parent(**environ)

    def kill(self, place: Place) -> None:
        """As `System.kill`; there is nobody to connect to then, as on vsock."""
        super().kill(place)
        if place in self.links:
            self.links[place].stop()

    def stop(self, place: Place) -> int:
        """As `System.stop`, in the same way."""
        status = super().stop(place)
        self.links[place].stop()
        return status

    def start(self, place: Place) -> None:
        """As `System.start`, with its link."""
        super().start(place)
        self.links[place] = self.new_link(place)

    def new_link(self, place: Place) -> Relay:
        """Return a running link, where the one before it listened."""
        listen = ("127.0.0.1", self._ports.get(place, 0))
        link = Relay(socket_path(self.folder, *place), listen=listen, max_connections=256)
        link.down = Tap()
        self._ports[place] = _port(link.start())
        return link

    # --- asking

    def question(self, *, victim: str = "vies", mode: str = "document") -> Question:
        """Return what the disturbed caller asks: something large, posted, that nobody has asked before."""
        made = self._catalogue.large() if victim == "vies" else self._catalogue.company_query()
        return replace(made, body={**made.body, "mode": mode, "timeoutMs": TIMEOUT_MS})

    def beside(self, service: str) -> Question:
        """Return what an undisturbed caller of this service asks: of vies at another upstream, in another mode."""
        made = self._catalogue.uk_query() if service == "vies" else self._catalogue.form()
        return replace(made, body={**made.body, "mode": "session", "timeoutMs": TIMEOUT_MS})

    def ask(
        self,
        connection: Connection | None = None,
        *,
        question: Question | None = None,
        victim: str = "vies",
        mode: str = "document",
        ahead: float = 0.0,
    ) -> str:
        """Return how a question ended, in the words of the matrix. `ahead`: of the clock of whoever verifies."""
        asked = question or self.question(victim=victim, mode=mode)
        sent = asked.draw()
        try:
            answer = (connection or self.connection).post(asked.path, sent)
        except Ended as exc:
            return worded(exc)
        return self.judge(asked, sent, answer, ahead=ahead)

    def judge(self, question: Question, sent: bytes, answer: Answer, *, ahead: float = 0.0) -> str:
        """Return how a question ended that was answered with status 200."""
        try:
            return self.verifier.check(question, sent, answer.data, boot=boot_in(answer), ahead=ahead)
        except Ended as exc:
            return worded(exc)

    @contextlib.contextmanager
    def held(self, victim: str) -> Iterator[Held]:
        """The stand-in that the disturbed caller's question reaches holds it back."""
        stand_in = self.stand_ins[VICTIM_HOST[victim]]
        with stand_in.holding():
            yield stand_in

    @property
    def posted(self) -> int:
        """How many requests of disturbed callers have reached the stand-ins."""
        return sum(each.posted for each in self.stand_ins.values())

    # --- parts

    def relay(self) -> Relay:
        """Return the relay between the enclave of vies and the upstream of the disturbed caller."""
        return self.way(vies.HOST).relay

    def steer(self, place: Place, steered: Steered) -> None:
        """Say what is wrong in an enclave."""
        steered.write(steer_path(self.folder, *place))

    def set_parents_clock(self, ahead: float) -> None:
        """Set the clock of the host."""
        with (self.folder / CLOCK).open("r+b", buffering=0) as file:
            file.write(f"{ahead}".ljust(CLOCK_BYTES).encode("ascii"))

    @property
    def disk(self) -> Path:
        """Where the parent keeps its state and its archive."""
        return self.folder / DISK

    @property
    def numbers(self) -> Path:
        """A folder for the numbers of the parent's processes, on a disk of its own; nothing uses it by itself."""
        return self.folder / "numbers"

    def restart_parent(self, **environ: str) -> None:
        """End gunicorn, if it runs, and start it anew."""
        self.stop_parent()
        self.begin_parent(**environ)
        wait_until("the parent serves", self.is_whole)

    def is_whole(self) -> bool:
        """Whether every process of the parent has begun to serve, and every service has an enclave that answers."""
        begun = {path.name.partition("-")[0] for path in (self.disk / STATE / "calls").glob("*.calls")}
        servers = self.servers
        return len(servers) == PROCESSES and begun.issuperset(map(str, servers)) and answers(self.url, "/readyz")

    def is_whole_without(self, pids: Iterable[int]) -> bool:
        """Whether it is so, and none of these processes is left."""
        return not set(pids) & set(self.servers) and self.is_whole()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no log may hold: tokens, paths, and words of questions and answers."""
        return (parent.TOKEN, invented.HMRC_TOKEN, "rest-api", "Consulta.aspx", "traderName", "COMPANY ")

    # --- what is left behind

    def footprint(self) -> dict[str, Footprint]:
        """Return what each kind of process holds, of several the one that holds most."""
        found: dict[str, Footprint] = {}
        for pid, process in self.processes.items():
            name = process.partition("/")[0]  # the enclaves of a service count as one kind
            with contextlib.suppress(OSError, KeyError, ValueError):
                sample: Sample = sample_of(pid, 0.0)
                before = found.get(name, Footprint(0, 0))
                found[name] = Footprint(
                    max(before.descriptors, sample.descriptors), max(before.threads, sample.threads)
                )
        return found

    def leaks(self) -> list[str]:
        """Say what any process holds above what it held when it was warm."""
        now = self.footprint()
        missing = [f"{name} is gone" for name in self._warm.keys() - now.keys()]
        return missing + [
            f"{name} holds {now[name]}, when it was warm {warm}"
            for name, warm in self._warm.items()
            if name in now
            and (
                now[name].descriptors > warm.descriptors + SLACK + KEPT.get(name, 0)
                or now[name].threads > warm.threads + SLACK
            )
        ]

    def _make_disk(self) -> None:
        """Make small disks where that may be done: mounting is for root."""
        self.has_disk = self._mount(self.disk, DISK_SIZE) and self._mount(self.numbers, NUMBERS_SIZE)

    def _mount(self, folder: Path, size: str) -> bool:
        folder.mkdir()
        mount = ("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
        try:
            done = subprocess.run(mount, check=False, capture_output=True).returncode == 0
        except FileNotFoundError:
            return False
        if done:
            self._cleanup.callback(functools.partial(subprocess.run, ("umount", "-l", str(folder)), check=True))
        return done


def worded(ended: Ended) -> str:
    """Return an end of a call in the words of the matrix."""
    if ended.outcome.startswith("connection"):
        return "no answer"
    if ended.outcome.startswith("error") and ended.outcome.endswith(" enclave"):
        return f"refused {ended.outcome.split()[1]}"
    if ended.outcome.startswith("error"):
        return ended.outcome.removeprefix("error ")
    if ended.outcome == "UNVERIFIED":
        return "not verified"
    return ended.outcome if ended.outcome.startswith("attested") else f"{ended.outcome}: {ended.text}"


def wait_until(what: str, true: Callable[[], bool], *, seconds: float = WAIT_SECONDS) -> None:
    """Return when it is so. Raises: TimeoutError."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def _port(link: Relay) -> int:
    address = link.address
    if not isinstance(address, tuple):
        raise TypeError("a link listens on TCP")
    return address[1]
