"""A parent and a worker that crash with a secret in their memory leave no core dump; without the defences they would.

Real crashes: this process allows core files of any size, and looks for the file. Two defences, each of which is enough:
the limit (RLIMIT_CORE) and not being dumpable (PR_SET_DUMPABLE).
"""

from __future__ import annotations

import http.client
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.processes import family
from tests.fake_enclave import wait_until
from tests.parent import CHECKOUT, Gunicorn
from tests.planted.crashing import DUMPABLE, LIMIT, SITE, UNLIMITED
from tests.recording.search import sightings

PATTERN = Path("/proc/sys/kernel/core_pattern")
WAYS = ((), (LIMIT,), (DUMPABLE,), (LIMIT, DUMPABLE))
SECRET = "k3jhr0btq9mz7w1xcvna5u2s"
AS_A_NEIGHBOUR = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON = 24, 19, 21, 38
for capability in (CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON):  # whoever has one of them may look
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
HOLD = "from app import confinement; {}; print('ready', flush=True); input()"


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Return a folder in which a process that crashes there leaves its core file, if it leaves one."""
    pattern = PATTERN.read_text(encoding="ascii").strip()
    if pattern.startswith("|") or "/" in pattern or "core" not in pattern:
        pytest.skip(f"NOT SHOWN: this machine's core_pattern is {pattern!r}: core files do not lie where one crashes")
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY or os.getuid() != 0:
        pytest.skip("NOT SHOWN: this user may not allow core files of any size, or not give up root")
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, UNLIMITED)
    tmp_path.chmod(0o777)  # for a worker that has given up root
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_CORE, before)


def secrets_in_cores(folder: Path) -> set[str]:
    """Return the secrets that the core files there hold, which are then removed; "nothing" for a core without any."""
    found: set[str] = set()
    for core in folder.glob("*core*"):
        found |= {each.secret for each in sightings({"secret": SECRET}, {"core": core})} or {"nothing"}
        core.unlink()
    return found


def crash_a_parent(gunicorn: Gunicorn, undone: tuple[str, ...]) -> None:
    (before,) = family(gunicorn.process.pid)[1:]
    query = "&".join(f"undone={each}" for each in undone)
    with pytest.raises((http.client.HTTPException, OSError)):
        gunicorn.post(SECRET.encode(), path=f"/crash?{query}")
    wait_until(lambda: before not in family(gunicorn.process.pid), seconds=30)
    wait_until(lambda: answers(gunicorn), seconds=30)


def answers(gunicorn: Gunicorn) -> bool:
    try:
        return gunicorn.post(b"", path="/livez").status == 405
    except OSError:
        return False


@pytest.mark.parametrize("undone", WAYS, ids="+".join)
def test_a_parent_that_crashes_leaves_no_core_dump_and_either_defence_is_enough(
    cores: Path, undone: tuple[str, ...]
) -> None:
    if LIMIT in undone:
        (cores / "sitecustomize.py").write_text(SITE)
    environ = {
        "GUNICORN_CMD_ARGS": f"--chdir {cores}",
        "PYTHONPATH": f"{cores}:{CHECKOUT}",
        "PYTHONFAULTHANDLER": "1",  # its report of the crash is in the log
    }
    log = cores / "log"
    with Gunicorn(cores, log, application="tests.planted.crashing:create()", environ=environ) as gunicorn:
        wait_until(lambda: answers(gunicorn), seconds=30)
        crash_a_parent(gunicorn, undone)
        assert secrets_in_cores(cores) == ({"secret"} if undone == (LIMIT, DUMPABLE) else set())
        gunicorn.process.send_signal(signal.SIGSEGV)  # the master, which was never asked to undo anything
        gunicorn.process.wait(20)
    assert secrets_in_cores(cores) == set()
    text = log.read_bytes()
    assert b"Fatal Python error: Segmentation fault" in text
    assert SECRET.encode() not in text


@pytest.mark.parametrize("undone", WAYS, ids="+".join)
def test_a_worker_that_crashes_leaves_no_core_dump_and_either_defence_is_enough(
    cores: Path, undone: tuple[str, ...]
) -> None:
    command = [sys.executable, "-m", "tests.planted.crashing", SECRET, *undone]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(command, cwd=cores, env=environ, capture_output=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGSEGV, done.stderr
    assert secrets_in_cores(cores) == ({"secret"} if undone == (LIMIT, DUMPABLE) else set())
    assert SECRET.encode() not in done.stdout + done.stderr


def test_every_process_of_the_parent_has_the_limit(tmp_path: Path) -> None:
    application = "tests.planted.crashing:create()"
    with Gunicorn(tmp_path, tmp_path / "log", application=application) as gunicorn:
        wait_until(lambda: answers(gunicorn), seconds=30)
        pids = family(gunicorn.process.pid)
        assert len(pids) == 2
        for pid in pids:
            assert "Max core file size 0 0 bytes" in " ".join(Path(f"/proc/{pid}/limits").read_text().split())


@pytest.mark.parametrize(("confined", "seen"), [("confinement.confine()", False), ("pass", True)])
def test_the_environment_and_memory_are_shown_to_no_neighbour(confined: str, seen: bool) -> None:
    """Of two processes of one user without further rights, one reads what the kernel shows of the other."""
    if os.getuid() != 0:
        pytest.skip("NOT SHOWN: only root can give up the right to look at others")
    neighbour = [sys.executable, "-c", AS_A_NEIGHBOUR]
    command = [*neighbour, sys.executable, "-c", HOLD.format(confined)]
    environ = {"PATH": os.environ["PATH"], "SOME_PASSWORD": SECRET}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environ, cwd=CHECKOUT, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        looked = {}
        for name in ("environ", "mem", "maps"):
            command = [*neighbour, "head", "-c", "1000", f"/proc/{process.pid}/{name}"]
            done = subprocess.run(command, capture_output=True, check=False, timeout=20)
            looked[name] = b"Permission denied" not in done.stderr
        process.communicate(b"\n", timeout=20)
    assert looked == dict.fromkeys(("environ", "mem", "maps"), seen)


def test_a_unit_that_lets_no_memory_become_executable_does_not_keep_the_parent_from_it() -> None:
    """Loading ctypes once needed such memory; the units forbid it (MemoryDenyWriteExecute)."""
    pr_set_mdwe, refuse_exec_gain = 65, 1  # Linux 6.3
    program = f"""
import ctypes, subprocess, sys
if ctypes.CDLL(None).prctl({pr_set_mdwe}, {refuse_exec_gain}, 0, 0, 0) != 0:
    raise SystemExit("this kernel has no such setting")
done = subprocess.run([sys.executable, "-c", "from app import confinement; confinement.confine()"])
raise SystemExit(done.returncode)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if "no such setting" in done.stderr:
        pytest.skip("NOT SHOWN: this kernel cannot refuse executable memory (PR_SET_MDWE, Linux 6.3)")
    assert done.returncode == 0, done.stderr
