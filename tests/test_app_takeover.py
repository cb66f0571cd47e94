"""A new release of the parent on a host that serves: gunicorn started anew beside the old one, under load.

systemd is a socket here, which takes down what the processes tell it. tests/rendered has the rest of `roll`.
"""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.processes import children, runs
from tests.fake_enclave import FakeEnclave, keeps, wait_until
from tests.parent import CHECKOUT, Answer
from tests.test_app_keepalive import ask

CLIENTS = 8
RELEASES = 2
CODE = ("app", "wire", "policy", "services")
BROKEN = "this is not Python\n"


class Host:
    """A copy of the parent's code, what runs it as the unit does, and the socket of systemd's."""

    def __init__(self, folder: Path) -> None:
        self.code = folder / "code"
        for part in CODE:
            shutil.copytree(CHECKOUT / part, self.code / part, ignore=shutil.ignore_patterns("__pycache__"))
        (self.code / "tests").mkdir()
        shutil.copy(CHECKOUT / "tests/parent.py", self.code / "tests")
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.bind(str(folder / "notify"))
        self.told.settimeout(40)
        self.log = folder / "log"
        application = f"tests.parent:create('{folder / 'enclave'}')"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [Path(sys.executable).with_name("gunicorn"), "--config", "app/gunicorn_conf.py", application],
                cwd=self.code,
                env={**os.environ, "BIND": "127.0.0.1:0", "NOTIFY_SOCKET": str(folder / "notify"), "WEB_WORKERS": "1"},
                stdout=log,
                stderr=log,
            )
        self.main, self.releases = self.process.pid, 0
        self.said("READY=1")
        (port,) = re.findall(r"Listening at: http://127\.0\.0\.1:(\d+)", self.log.read_text())
        self.port = int(port)
        assert self.release() == "True"

    def said(self, what: str) -> str:
        """Return the next message of systemd's protocol that has a line of this name."""
        while True:
            for line in self.told.recv(4096).decode().splitlines():
                if line.startswith(what):
                    return line

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def release(self) -> str:
        """Return which code answers."""
        connection = self.connect()
        connection.request("GET", "/livez")
        answer = Answer(connection.getresponse())
        connection.close()
        return str(answer.json["alive"])

    def put(self, name: str) -> None:
        """Replace the code by that of a release of this name, as `roll` does."""
        text = (CHECKOUT / "app/health.py").read_text()
        assert text.count("jsonify(alive=True)") == 1
        (self.code / "app/health.py").write_text(text.replace("alive=True", f"alive={name!r}"))

    def take_over(self) -> None:
        """Start the code that is there beside the old one, and end that when systemd has been told of the new one."""
        old = self.main
        os.kill(old, signal.SIGUSR2)
        self.main = int(self.said("MAINPID=").removeprefix("MAINPID="))
        assert self.main != old
        os.kill(old, signal.SIGTERM)
        wait_until(lambda: self.ended(old), seconds=40)
        self.releases += 1
        wait_until(lambda: self.log.read_text().count("has been promoted") == self.releases, seconds=40)

    def ended(self, pid: int) -> bool:
        self.process.poll()
        return not runs(pid)

    def close(self) -> None:
        try:
            os.kill(self.main, signal.SIGTERM)
            wait_until(lambda: self.ended(self.main), seconds=20)
        finally:
            for pid in set(
                re.findall(r"\[(\d+)\] \[INFO\] (?:Starting gunicorn|Booting worker)", self.log.read_text())
            ):
                if not self.ended(int(pid)):
                    os.kill(int(pid), signal.SIGKILL)
            self.process.wait(20)
            self.told.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with FakeEnclave(tmp_path / "enclave", keeps()):
        host = Host(tmp_path)
        try:
            yield host
        finally:
            host.close()


class Load:
    """Callers with kept connections, who ask one question after another."""

    def __init__(self, host: Host) -> None:
        self.lost: list[str] = []
        self.served: list[int] = []
        self._host = host
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._hammer) for _ in range(CLIENTS)]

    def _hammer(self) -> None:
        connection, count = self._host.connect(), 0
        while not self._stop.is_set():
            try:
                count += ask(connection).status == 200
            except (OSError, http.client.HTTPException) as exc:
                self.lost.append(repr(exc))
                connection.close()
        self.served.append(count)
        connection.close()

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_the_code_of_a_new_release_takes_over_and_no_request_is_lost(host: Host) -> None:
    with Load(host) as load:
        for number in range(RELEASES):
            host.put(f"release {number}")
            host.take_over()
            assert {host.release() for _ in range(20)} == {f"release {number}"}
    assert load.lost == []
    assert min(load.served) > 0
    assert host.process.returncode == 0


def test_a_reload_runs_the_code_of_the_start(host: Host) -> None:
    host.put("new")
    os.kill(host.main, signal.SIGHUP)
    wait_until(lambda: host.log.read_text().count("Worker exiting") == 1, seconds=40)
    assert {host.release() for _ in range(20)} == {"True"}


@pytest.mark.parametrize("file", ["app/factory.py", "services/vies.toml"])  # read by the master; by its processes
def test_code_that_does_not_start_takes_nothing_over_and_nothing_down(host: Host, file: str) -> None:
    with Load(host) as load:
        (host.code / file).write_text(BROKEN)
        os.kill(host.main, signal.SIGUSR2)
        wait_until(lambda: len(children(host.main)) == 2, seconds=40)  # its process, and a master of what is broken
        wait_until(lambda: len(children(host.main)) == 1, seconds=40)
        host.told.settimeout(1)
        with pytest.raises(TimeoutError):
            host.said("MAINPID=")
    assert load.lost == []
    assert host.release() == "True"
