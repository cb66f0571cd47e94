"""What nobody caught: said by kind and place, in lines of the parent's own form, and never by its text."""

import json
import logging
import os
import subprocess
import sys

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]

from app.config import ConfigError
from app.last_words import ServerLogger
from tests.parent import CHECKOUT

SECRET = "hunter2"
PROGRAM = f"""
import gc, logging, threading, warnings
from app import last_words
from app.log import Log

class Unhappy:
    def __del__(self):
        raise KeyError("{SECRET}")

def fails():
    raise ValueError("{SECRET}")

last_words.install(Log())
thread = threading.Thread(target=fails)
thread.start()
thread.join()
Unhappy()
warnings.warn("{SECRET}", RuntimeWarning)
logging.getLogger("a.library").warning("it said %s", "{SECRET}", exc_info=ValueError("{SECRET}"))
logging.getLogger("a.library").info("nothing of note")
fails()
"""


def test_nothing_of_a_text_is_said_whoever_would_print_it() -> None:
    command = [sys.executable, "-c", PROGRAM]
    environ = {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=CHECKOUT, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert SECRET not in done.stderr
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(each["event"], each.get("error", each.get("where"))) for each in said] == [
        ("unhandled error", "ValueError"),
        ("unhandled error", "KeyError"),
        ("library warning", "py.warnings"),
        ("library warning", "a.library"),
        ("unhandled error", "ValueError"),
    ]
    assert said[0]["where"] == "<string>:11"


def test_the_servers_log_shows_frames_and_kind_and_our_own_words_alone(capsys: pytest.CaptureFixture[str]) -> None:
    logger = ServerLogger(Config())
    for error in (ValueError(SECRET), ConfigError("BUILD: expected something else")):
        try:
            try:
                raise KeyError(SECRET)
            except KeyError as below:
                raise error from below
        except (ValueError, ConfigError):
            logger.exception("Exception in worker process")
    logging.getLogger("gunicorn.error").handlers.clear()
    said = capsys.readouterr().err
    assert SECRET not in said
    assert "test_app_last_words.py:" in said
    assert "\nValueError\n" in said
    assert "\nConfigError: BUILD: expected something else\n" in said
