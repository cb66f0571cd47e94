"""Secrets in settings that cannot be used, or do not work: what the parent says of them, before it serves and after."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fake_enclave import wait_until
from tests.otlp_collector import collector
from tests.parent import CHECKOUT, LEAST, Gunicorn
from tests.planted.test_outlets import halves
from tests.planted.world import fresh
from tests.recording.search import sightings

SERVES = ""  # what is said when the parent starts nevertheless
CLOSED = "http://127.0.0.1:1"
OTEL = "OTEL_EXPORTER_OTLP_ENDPOINT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """`environ` is the parent's, given the secret and a file to write; `says` is what its log must say."""

    name: str
    environ: Callable[[str, Path], dict[str, str]]
    says: str = SERVES


def _archive(name: str, url: str, says: str = "ARCHIVE_URL: ") -> Setting:
    return Setting(name=name, environ=lambda s, _: {"ARCHIVE_URL": url.format(s)}, says=says)


def _tokens(name: str, text: str) -> Setting:
    def environ(secret: str, file: Path) -> dict[str, str]:
        file.write_bytes(text.format(secret).encode("latin-1"))
        return {"TOKENS_FILE": str(file)}

    return Setting(name=name, environ=environ, says="TOKENS_FILE: ")


def _tracing(name: str, variable: str, value: str, says: str = "tracing trouble") -> Setting:
    return Setting(name=name, environ=lambda s, _: {OTEL: CLOSED, variable: value.format(s)}, says=says)


def _key(secret: str, file: Path) -> dict[str, str]:
    file.write_text(f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n")
    return {"TLS_CERTIFICATE": str(file), "TLS_KEY": str(file)}


SETTINGS = (
    _archive("archive: an @ and a : in the password", "postgresql+psycopg://u:p@x:{}@127.0.0.1/db"),
    _archive("archive: an @ in the password", "postgresql+psycopg://u:p@{}@127.0.0.1:1/db", SERVES),
    _archive("archive: a port", "postgresql+psycopg://u:{0}@127.0.0.1:{0}/db"),
    _archive("archive: no URL", "{}"),
    _archive("archive: another driver", "mysql://u:{}@127.0.0.1/db"),
    _archive("archive: SQLite's query", "sqlite:////tmp/x?key={}"),
    _archive("archive: nobody answers", "postgresql+psycopg://u:{}@127.0.0.1:1/db", "archive failed"),
    _tokens("tokens: a token for its digest", '[[tokens]]\nname = "a"\nsha256 = "{}"\n'),
    _tokens("tokens: a token beside its digest", '[[tokens]]\nname = "a"\ntoken = "{}"\n'),
    _tokens("tokens: a token alone", "{}\n"),
    _tokens("tokens: a table twice", "[{0}]\n[{0}]\n"),
    _tokens("tokens: not UTF-8", '[[tokens]]\nname = "{}\xff"\n'),
    Setting(name="TLS: no key", environ=_key, says="TLS_KEY"),
    _tracing("traces: in the endpoint", OTEL, "http://u:{0}@127.0.0.1:1/{0}?key={0}"),
    _tracing("traces: a broken header", "OTEL_EXPORTER_OTLP_HEADERS", "{}"),
    _tracing("traces: a broken number", "OTEL_BSP_SCHEDULE_DELAY", "{}"),
    _tracing("traces: a broken timeout", "OTEL_EXPORTER_OTLP_TIMEOUT", "{}"),
    _tracing("traces: a broken attribute", "OTEL_RESOURCE_ATTRIBUTES", "{}"),
)
LOOKED_AT = tuple(setting for setting in SETTINGS if not setting.name.startswith("traces"))  # by the doctor


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, Path]]:
    """Start a parent with each setting, some at a time; give the secret of each and what it wrote."""
    folder = tmp_path_factory.mktemp("settings")
    found: dict[str, tuple[str, Path]] = {}
    for first in range(0, len(SETTINGS), 6):
        with ExitStack() as stack:
            asked = []
            for number, setting in enumerate(SETTINGS[first : first + 6], first):
                secret, log = fresh(), folder / f"{number}.log"
                environ = {"SERVICES": "vies", **setting.environ(secret, folder / f"{number}.file")}
                gunicorn = Gunicorn(folder / "none", log, application="app:create_app()", environ=environ)
                asked.append(stack.enter_context(gunicorn))
                found[setting.name] = secret, log
            for gunicorn in asked:
                wait_until(lambda gunicorn=gunicorn: ended_or_serves(gunicorn), seconds=60)  # type: ignore[misc]
    return found


def ended_or_serves(gunicorn: Gunicorn) -> bool:
    """Whether it has ended, or has answered a question, which makes spans."""
    if gunicorn.process.poll() is not None:
        return True
    try:
        return gunicorn.post(json.dumps({**LEAST, "timeoutMs": 100}).encode()).status in (401, 502, 504)
    except OSError:
        return False


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_that_does_not_work_is_named_and_its_secret_is_not_said(
    said: dict[str, tuple[str, Path]], setting: Setting
) -> None:
    secret, log = said[setting.name]
    text = log.read_text(encoding="utf-8")
    assert setting.says in text, text[-3000:]
    assert sightings({half: half for half in halves(secret)}, {"log": log}) == [], text[-3000:]


@pytest.mark.parametrize("setting", LOOKED_AT, ids=lambda setting: setting.name)
def test_the_doctor_does_not_say_it_either(setting: Setting, tmp_path: Path) -> None:
    secret = fresh()
    environ = {"PATH": "/usr/bin:/bin", "SERVICES": "vies", **setting.environ(secret, tmp_path / "file")}
    command = [sys.executable, "-m", "app.doctor"]
    done = subprocess.run(command, cwd=CHECKOUT, env=environ, capture_output=True, check=False, timeout=60)
    (tmp_path / "said").write_bytes(done.stdout + done.stderr)
    assert sightings({half: half for half in halves(secret)}, {"doctor": tmp_path / "said"}) == []
    assert b"Traceback" not in done.stderr


def test_a_collector_s_own_words_are_not_repeated(tmp_path: Path) -> None:
    """urllib3 logs the whole URL where a head is malformed; the SDK logs what an error's body says."""
    secret = fresh()
    with collector(status=500) as kept:
        environ = {"SERVICES": "vies", OTEL: f"{kept.url}/{secret}", "OTEL_BSP_SCHEDULE_DELAY": "100"}
        log = tmp_path / "log"
        with Gunicorn(tmp_path / "none", log, application="app:create_app()", environ=environ) as gunicorn:
            wait_until(lambda: ended_or_serves(gunicorn), seconds=60)
            wait_until(lambda: "tracing trouble" in log.read_text(), seconds=60)
    assert any(secret in path for path in kept.paths)
    assert sightings({half: half for half in halves(secret)}, {"log": log}) == []
