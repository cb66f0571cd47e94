"""The Procfile under honcho: it starts, answers, and ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import requests

from devstack.ports import free_port
from tests.deploy_kit import ROOT


def answer_of(url: str, program: subprocess.Popen[bytes]) -> requests.Response:
    end = time.monotonic() + 60
    while True:
        try:
            return requests.get(url, timeout=10)
        except requests.ConnectionError:
            assert program.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)


def test_the_procfile_starts_a_parent_that_answers() -> None:
    port = free_port()
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "BIND": f"127.0.0.1:{port}"}
    program = subprocess.Popen(
        [programs / "honcho", "start"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        answer = answer_of(f"http://127.0.0.1:{port}/health", program)
        assert (answer.status_code, answer.json()["healthy"]) == (503, False)  # there is no enclave here: it says so
    finally:
        program.send_signal(signal.SIGTERM)
        output, _ = program.communicate(timeout=60)
    assert b"web.1" in output
