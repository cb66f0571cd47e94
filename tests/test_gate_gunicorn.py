"""The gate under real gunicorn: limits that hold over processes and outlive a killed one, slow services, reloads."""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from app.callers.registry import MAX_CALLERS
from devstack.processes import children, kill
from tests.fake_enclave import ANSWER, PING, PONG, FakeEnclave, Peer, Script, keeps, wait_until
from tests.gate_kit import SICAE_URL, TOKEN, bearer, token_toml
from tests.parent import CHECKOUT, LEAST, Answer, Gunicorn

SICAE = {"url": SICAE_URL, "method": "GET"}


@contextmanager
def parent(
    folder: Path, *, tokens: str = "", vies: Script | None = None, sicae: Script | None = None, workers: int = 1
) -> Iterator[Gunicorn]:
    environ = {"WEB_WORKERS": str(workers)}
    if tokens:
        (folder / "tokens.toml").write_text(tokens)
        environ["TOKENS_FILE"] = str(folder / "tokens.toml")
    with ExitStack() as stack:
        stack.enter_context(FakeEnclave(folder / "vies", vies or keeps()))
        stack.enter_context(FakeEnclave(folder / "sicae", sicae or keeps()))
        application = f"tests.gate_kit:create('{folder}')"
        gunicorn = Gunicorn(folder / "vies", folder / "log", application=application, environ=environ)
        with gunicorn, stack:  # the enclaves go first, and with them whatever still waits for one
            soon(lambda: len(servers(gunicorn)) == workers)
            yield gunicorn


class Asked:
    """A question on a connection of its own, whose answer is read later."""

    def __init__(self, gunicorn: Gunicorn, body: dict[str, object], token: str | None = None) -> None:
        self.connection = gunicorn.connect(timeout=40.0)
        headers = {"Content-Type": "application/json", **(bearer(token) if token else {})}
        self.connection.request("POST", "/attest/fetch", json.dumps(body).encode(), headers)

    def answer(self) -> Answer | None:
        """Return the answer; None where the connection ended without one."""
        try:
            return Answer(self.connection.getresponse())
        except (ConnectionError, http.client.HTTPException):
            return None
        finally:
            self.connection.close()


def statuses(asked: list[Asked]) -> list[int | None]:
    return [answer.status if (answer := each.answer()) is not None else None for each in asked]


def servers(gunicorn: Gunicorn) -> list[int]:
    return children(gunicorn.process.pid)


def hangs(arrived: list[bytes]) -> Script:
    """Answer pings, and note what else comes."""

    def script(peer: Peer) -> None:
        while (payload := peer.read()) is not None:
            if payload == PING:
                peer.reply(PONG)
            else:
                arrived.append(payload)

    return script


def log_of(gunicorn: Gunicorn) -> str:
    return gunicorn.log.read_text(encoding="utf-8")


def test_a_rate_holds_over_two_processes(tmp_path: Path) -> None:
    with parent(tmp_path, tokens=token_toml("a", TOKEN, "rate = 0.001\nburst = 7"), workers=2) as gunicorn:
        answers = [Asked(gunicorn, LEAST, TOKEN).answer() for _ in range(40)]
    told = [answer.status for answer in answers if answer is not None]
    assert (told.count(200), told.count(429)) == (7, 33)
    late = next(answer for answer in answers if answer is not None and answer.status == 429)
    assert 900 <= int(late.headers["Retry-After"]) <= 1000


def test_what_a_killed_process_held_comes_back_and_the_other_goes_on(tmp_path: Path) -> None:
    arrived: list[bytes] = []
    tokens = token_toml("a", TOKEN, "concurrent = 4")
    with parent(tmp_path, tokens=tokens, vies=hangs(arrived), workers=2) as gunicorn:
        held = [Asked(gunicorn, {**LEAST, "timeoutMs": 60_000}, TOKEN) for _ in range(4)]
        soon(lambda: len(arrived) == 4)
        assert statuses([Asked(gunicorn, SICAE, TOKEN)]) == [429]
        free = 0
        for killed in servers(gunicorn):
            kill([killed])
            soon(lambda gone=killed: gone not in servers(gunicorn) and len(servers(gunicorn)) == 2)  # type: ignore[misc]
            lost = [each for each in held if ended(each)]
            held = [each for each in held if each not in lost]
            free += len(lost)
            assert admitted(gunicorn, 5) == free
        assert (free, held) == (4, [])
        assert "Traceback" not in log_of(gunicorn)


def soon(condition: Callable[[], bool]) -> None:
    """Wait as long as a busy machine needs."""
    wait_until(condition, seconds=30)


def ended(asked: Asked) -> bool:
    """Whether the connection has ended; it is closed then."""
    sock = asked.connection.sock
    sock.settimeout(0.2)
    try:
        assert sock.recv(1, socket.MSG_PEEK) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    asked.connection.close()
    return True


def admitted(gunicorn: Gunicorn, count: int) -> int:
    """Ask several questions at once that no enclave answers; return how many were let in."""
    told = statuses([Asked(gunicorn, {**LEAST, "timeoutMs": 2_000}, TOKEN) for _ in range(count)])
    assert set(told) <= {429, 504}
    return told.count(504)


@pytest.mark.parametrize(("size", "many"), [(8 << 20, 1), (100_000, 40)], ids=["one large answer", "many small ones"])
def test_an_answer_counts_until_it_is_taken(tmp_path: Path, size: int, many: int) -> None:
    large = json.dumps({"success": True, "status": 200, "rawBody": "x" * size}).encode()
    tokens = token_toml("a", TOKEN, "concurrent = 1") + token_toml("b", "b")
    with parent(tmp_path, tokens=tokens, vies=keeps(lambda _: large)) as gunicorn:
        body = json.dumps(LEAST).encode()
        head = f"POST /attest/fetch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        asked = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        with slow_reader(gunicorn.port) as sock:
            sock.sendall(asked * many)
            sock.recv(1)
            time.sleep(0.5)  # until nothing more fits into the buffers between
            assert statuses([Asked(gunicorn, SICAE, TOKEN), Asked(gunicorn, SICAE, "b")]) == [429, 200]
            took = 1
            while took < many * size:
                took += len(sock.recv(1 << 20))
            soon(lambda: statuses([Asked(gunicorn, SICAE, TOKEN)]) == [200])


def slow_reader(port: int) -> socket.socket:
    """Connect with a small buffer."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    sock.connect(("127.0.0.1", port))
    return sock


def test_a_service_that_hangs_does_not_hold_up_another_nor_health(tmp_path: Path) -> None:
    with parent(tmp_path, vies=hangs([])) as gunicorn:
        stuck = [Asked(gunicorn, {**LEAST, "timeoutMs": 60_000}) for _ in range(250)]
        soon(lambda: log_of(gunicorn).count('"code": "busy"') >= 250 - 66)  # what one of two services gets at most
        answers = [Asked(gunicorn, SICAE).answer() for _ in range(30)]
        assert [answer.status for answer in answers if answer is not None] == [200] * 30
        told, _, _ = select.select([each.connection.sock for each in stuck], [], [], 0)
        refused = [each.answer() for each in stuck if each.connection.sock in told]
        assert len(refused) >= 250 - 66
        for each in stuck:
            each.connection.close()
        assert {answer.status for answer in refused if answer is not None} == {503}
        assert all(answer.json["code"] == "busy" for answer in refused if answer is not None)
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused if answer is not None)


def test_of_a_burst_what_is_let_in_succeeds_and_the_rest_hears_at_once(tmp_path: Path) -> None:
    def slow(_: bytes) -> bytes:
        time.sleep(0.3)
        return ANSWER

    with parent(tmp_path, vies=keeps(slow)) as gunicorn:
        answers = [each.answer() for each in [Asked(gunicorn, LEAST) for _ in range(490)]]
        told = [answer.status for answer in answers if answer is not None]
        assert len(told) == 490
        assert set(told) == {200, 503}
        assert told.count(200) >= 49
        assert statuses([Asked(gunicorn, LEAST) for _ in range(10)]) == [200] * 10


def test_a_reload_takes_the_new_callers_and_a_broken_file_leaves_those_of_before(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    with parent(tmp_path, tokens=token_toml("a", "first", "rate = 0.001\nburst = 2")) as gunicorn:
        assert statuses([Asked(gunicorn, LEAST, "first")]) == [200]
        file.write_text("[[tokens]\n")
        reload(gunicorn)
        assert '"event": "reload refused", "error": "TOKENS_FILE: not TOML in UTF-8"' in log_of(gunicorn)
        assert [statuses([Asked(gunicorn, LEAST, "first")]) for _ in range(2)] == [[200], [429]]  # and it counts on
        file.write_text(token_toml("b", "second"))
        reload(gunicorn)
        assert statuses([Asked(gunicorn, LEAST, token) for token in ("first", "second")]) == [401, 200]
        kill(servers(gunicorn)[:1])
        file.write_text("half writ")  # nobody reads it before the next reload
        assert statuses([Asked(gunicorn, LEAST, "second")]) == [200]


def test_reloads_with_ever_new_names_end_nothing(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    with parent(tmp_path, tokens=many_callers("a")) as gunicorn:
        for name in "bc":
            file.write_text(many_callers(name))
            reload(gunicorn)
            soon(lambda name=name: statuses([Asked(gunicorn, LEAST, f"{name}0")]) == [200])  # type: ignore[misc]
        assert statuses([Asked(gunicorn, LEAST, "c0")]) == [429]
        assert gunicorn.process.poll() is None


def many_callers(name: str) -> str:
    """As many as there may be, of whom each may ask once."""
    return "".join(token_toml(f"{name}{n}", f"{name}{n}", "rate = 0.001\nburst = 1") for n in range(MAX_CALLERS))


def reload(gunicorn: Gunicorn) -> None:
    before = servers(gunicorn)
    gunicorn.process.send_signal(signal.SIGHUP)
    soon(lambda: len(servers(gunicorn)) == 1 and servers(gunicorn) != before)


@pytest.mark.parametrize("bind", ["0.0.0.0:0", "[::]:0", ":0"])
def test_without_callers_the_parent_does_not_listen_for_others_and_says_why(tmp_path: Path, bind: str) -> None:
    for arguments, environ in (([], {"BIND": bind}), (["--bind", bind], {})):
        ended = start(arguments, environ)
        assert ended.returncode == 1
        assert "The parent does not start: " in ended.stderr
        assert "nothing says who may ask" in ended.stderr
        assert "Booting worker" not in ended.stderr


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"TOKENS_FILE": "/none"}, "TOKENS_FILE: No such file or directory"),
        ({"TLS_CLIENT_ROOTS": "/none"}, "TLS_CERTIFICATE: set it together with TLS_KEY"),
        ({"TLS_CERTIFICATE": "/none", "TLS_KEY": "/none"}, "No such file or directory"),
        ({"TRUSTED_PROXIES": "unix"}, "TRUSTED_PROXIES: set TOKENS_FILE too"),
        ({"WEB_WORKERS": "many"}, "WEB_WORKERS: expected a whole number from 1 to 64"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_the_start(environ: dict[str, str], said: str) -> None:
    ended = start([], {"BIND": "127.0.0.1:0", **environ})
    assert ended.returncode != 0
    assert said in ended.stderr


def start(arguments: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Start the shipped parent, which is expected to end by itself."""
    command = [sys.executable, "-m", "gunicorn", "--config", "app/gunicorn_conf.py", *arguments, "app:create_app()"]
    return subprocess.run(
        command, cwd=CHECKOUT, env={**os.environ, **environ}, capture_output=True, text=True, timeout=40, check=False
    )


def test_with_callers_it_listens_wherever_it_is_told_and_warns_that_tokens_travel_in_clear(tmp_path: Path) -> None:
    (tmp_path / "tokens.toml").write_text(token_toml("a"))
    with socket.create_server(("0.0.0.0", 0)) as listener, (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--config", "app/gunicorn_conf.py", "app:create_app()"],
            cwd=CHECKOUT,
            env={**os.environ, "TOKENS_FILE": str(tmp_path / "tokens.toml"), "BIND": f"fd://{listener.fileno()}"},
            pass_fds=[listener.fileno()],
            stdout=log,
            stderr=log,
        )
        try:
            connection = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=20)
            connection.request("GET", "/routes")
            assert connection.getresponse().status == 401
            connection.close()
        finally:
            process.terminate()
            process.wait(20)
    assert "tokens cross the network in clear" in (tmp_path / "log").read_text()


def test_no_token_is_ever_in_the_log(tmp_path: Path) -> None:
    marks = ["s3cr3t-good", "s3cr3t-old", "s3cr3t-bad"]
    tokens = token_toml("a", marks[0], "rate = 0.001\nburst = 1") + token_toml("b", marks[1], "expires = 2020-01-01")
    with parent(tmp_path, tokens=tokens) as gunicorn:
        told = [statuses([Asked(gunicorn, LEAST, mark)]) for mark in (marks[0], *marks)]
        for head in (
            b"Authorization: Bearer s3cr3t\x00",
            b"Authorization s3cr3t",
            b"Authorization: Bearer s3cr3t s3cr3t",
        ):
            gunicorn.exchange(b"POST /attest/fetch HTTP/1.1\r\nHost: x\r\n" + head + b"\r\nContent-Length: 0\r\n\r\n")
        gunicorn.process.send_signal(signal.SIGTERM)
        gunicorn.process.wait(20)
        log = log_of(gunicorn)
    assert told == [[200], [429], [401], [401]]
    assert '"caller": "a"' in log
    assert "s3cr3t" not in log
    assert "Traceback" not in log


def test_many_processes_and_threads_never_let_more_in_than_the_limit(tmp_path: Path) -> None:
    most, now, lock = 0, 0, threading.Lock()

    def counts(_: bytes) -> bytes:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.005)
        with lock:
            now -= 1
        return ANSWER

    with parent(tmp_path, tokens=token_toml("a", TOKEN, "concurrent = 6"), vies=keeps(counts), workers=2) as gunicorn:
        told = []
        for _ in range(6):
            told += statuses([Asked(gunicorn, LEAST, TOKEN) for _ in range(40)])
    assert 1 <= most <= 6
    assert set(told) <= {200, 429}
    assert told.count(200) >= 6
