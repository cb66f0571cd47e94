"""The archive over HTTP: settings, `GET /attestations/ID`, `GET /log/...`, who may read, and a real gunicorn's end."""

import base64
import hashlib
import http.client
import json
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient

import tytle_verifier
from app.admission import Admission
from app.archive import archive as module
from app.archive.access import may_read
from app.archive.engine import open_engine
from app.archive.settings import ArchiveSettings
from app.archive.storage import Store
from app.callers.caller import Caller
from app.config import Config, ConfigError, from_environment
from devstack import __main__ as commands
from devstack.stack import Stack
from tests.archive_kit import id_of, leaf_of, new_id, postgresql, reply, url
from tests.fake_enclave import FakeEnclave, keeps, wait_until
from tests.gate_kit import admitting, bearer, token_toml
from tests.parent import CHECKOUT, LEAST, VIES, Gunicorn, json_of, serving
from tytle_verifier import log

__all__ = ["postgresql", "url"]  # fixtures


@contextmanager
def archiving(
    enclave: FakeEnclave, url: str, *, admission: Admission | None = None, **settings: Any
) -> Iterator[FlaskClient]:
    config = Config(
        manifests=(VIES,),
        addresses={VIES.name: (enclave.address,)},
        archive=ArchiveSettings(url=url, **settings),
        admission=admission or Admission(),
    )
    with serving(config) as app:
        yield app.test_client()


def fresh(_: bytes) -> bytes:
    return reply()


def stored(client: FlaskClient, data: bytes, **headers: str) -> bytes:
    """Return what is stored of a reply, as soon as it is; that is within a second."""
    path = f"/attestations/{id_of(data)}"
    wait_until(lambda: client.get(path, headers=headers).status_code == 200)
    return client.get(path, headers=headers).data


# --- settings


def test_without_a_url_there_is_no_archive_and_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    assert from_environment({}).archive is None
    program = "import sys; from app import create_app; create_app(); assert 'sqlalchemy' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, env={**os.environ, "ARCHIVE_URL": ""}, check=True)
    with FakeEnclave(tmp_path / "enclave", keeps(fresh)) as enclave:
        config = Config(manifests=(VIES,), addresses={VIES.name: (enclave.address,)})
        with serving(config) as app:
            assert app.test_client().get(f"/attestations/{new_id()}").status_code == 404
            assert app.test_client().get("/log/head").status_code == 404


def test_the_environment_says_where_how_long_and_whether_it_must_be() -> None:
    assert from_environment({"ARCHIVE_URL": "sqlite:////a"}).archive == ArchiveSettings(url="sqlite:////a", days=30)
    environ = {"ARCHIVE_URL": "sqlite:////a", "ARCHIVE_DAYS": "7", "ARCHIVE_REQUIRED": "1"}
    assert from_environment(environ).archive == ArchiveSettings(url="sqlite:////a", days=7, required=True)


@pytest.mark.parametrize(
    "environ",
    [
        {"ARCHIVE_DAYS": "0"}, {"ARCHIVE_DAYS": "36501"}, {"ARCHIVE_DAYS": "for ever"}, {"ARCHIVE_REQUIRED": "2"},
        {"ARCHIVE_REQUIRED": "1"},
    ],
)  # fmt: skip
def test_a_setting_out_of_its_range_is_refused_by_name(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(environ))):
        from_environment(environ)


@pytest.mark.parametrize("address", ["postgresql+psycopg://u:a@b:hunter2@h/d", "postgresql+psycopg://u@h:hunter2/d"])
def test_a_password_that_breaks_the_url_is_not_in_the_error(address: str) -> None:
    with pytest.raises(ConfigError, match="ARCHIVE_URL: not a database URL") as caught:
        open_engine(address)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_settings_do_not_show_the_urls_password() -> None:
    assert "hunter2" not in repr(from_environment({"ARCHIVE_URL": "postgresql+psycopg://u:hunter2@h/d"}))


# --- a reply, and its place in the log


def test_a_reply_comes_back_byte_for_byte_and_the_log_proves_that_it_was_kept(tmp_path: Path, url: str) -> None:
    with FakeEnclave(tmp_path / "enclave", keeps(fresh)) as enclave, archiving(enclave, url) as client:
        answers = [client.post("/attest/fetch", json=LEAST).data for _ in range(5)]
        assert [stored(client, data) for data in answers] == answers
        older = log.decode_head(client.get("/log/head").data)
        answers += [client.post("/attest/fetch", json=LEAST).data for _ in range(4)]
        assert stored(client, answers[-1]) == answers[-1]
        newer = log.decode_head(client.get("/log/head").data)
        assert (older.size, newer.size) == (5, 9)
        for data in answers:
            leaf = leaf_of(data)
            shown = client.get("/log/proof", query_string={"leaf": leaf.hex(), "size": "9"})
            log.check_inclusion(leaf, log.decode_inclusion(shown.data), newer)
            assert client.get("/log/proof", query_string={"leaf": leaf.hex()}).data == shown.data
        shown = client.get("/log/consistency", query_string={"from": "5", "to": "9"})
        log.check_consistency(older, newer, log.decode_consistency(shown.data))


def test_a_query_is_kept_and_a_sealed_answer_is_not(tmp_path: Path) -> None:
    attested = reply()

    def answer(payload: bytes) -> bytes:  # a hostile enclave: it attests in clear whatever it is asked
        return attested if b'"type":"sealed"' in payload or b'"operation"' in payload else b"{}"

    url = f"sqlite:///{tmp_path / 'archive.db'}"
    with FakeEnclave(tmp_path / "enclave", keeps(answer)) as enclave, archiving(enclave, url) as client:
        sealed = {"service": "vies", "keyId": "AAAAAAAAAAA=", "sealed": "AAAA"}
        client.post("/attest/sealed", json=sealed)
        query = {"service": "vies", "operation": "vies.check_vat", "params": {"countryCode": "PT", "vatNumber": "1"}}
        before = json_of(client.get("/log/head"))["size"]
        assert client.post("/attest/query", json=query).data == attested
        assert stored(client, attested) == attested
        assert (before, json_of(client.get("/log/head"))["size"]) == (0, 1)


def test_what_was_removed_is_said_to_be_gone_with_a_proof_that_it_was_there(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'archive.db'}"
    with FakeEnclave(tmp_path / "enclave", keeps(fresh)) as enclave, archiving(enclave, url) as client:
        data = [client.post("/attest/fetch", json=LEAST).data for _ in range(3)][1]
        assert stored(client, data) == data
        Store(open_engine(url)).expire(before_ms=2**60)
        answer = client.get(f"/attestations/{id_of(data)}")
        said = json_of(answer)
        assert (answer.status_code, said["code"], said["success"]) == (410, "gone", False)
        assert said["requestId"] == answer.headers["X-Request-Id"]
        entry = b"tytle/archive/v1" + said["attestationId"].encode() + bytes.fromhex(said["sha256"])
        assert said["leaf"] == hashlib.sha256(b"\x00" + entry).hexdigest() == leaf_of(data).hex()
        head = log.decode_head(client.get("/log/head").data)
        log.check_inclusion(leaf_of(data), log.decode_inclusion(json.dumps(said["proof"]).encode()), head)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/attestations/enc-00000000-0000-4000-8000-000000000001", 404),
        ("/attestations/x", 404), ("/attestations/enc-1%00", 404), ("/attestations/" + "x" * 3000, 404),
        ("/attestations/enc-00000000-0000-4000-8000-000000000001?x=1", 400),
        ("/log/head?x=1", 400), ("/log/proof", 400), ("/log/proof?leaf=00", 400), ("/log/proof?leaf=" + "G" * 64, 400),
        ("/log/proof?leaf=" + "0" * 64, 404), ("/log/proof?leaf=" + "0" * 64 + "&size=-1", 400),
        ("/log/proof?leaf=" + "0" * 64 + "&leaf=" + "0" * 64, 400), ("/log/consistency", 400),
        ("/log/consistency?from=0&to=1", 400), ("/log/consistency?from=0&to=0", 200),
        ("/log/consistency?from=00&to=0", 400), ("/log/consistency?from=0&to=" + "9" * 30, 400),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_says_why_in_the_parents_own_form(path: str, status: int, tmp_path: Path) -> None:
    with (
        FakeEnclave(tmp_path / "enclave", keeps(fresh)) as enclave,
        archiving(enclave, f"sqlite:///{tmp_path / 'archive.db'}") as client,
    ):
        answer = client.get(path)
        assert answer.status_code == status
        assert status == 200 or json_of(answer).keys() == {"success", "error", "code", "requestId"}


def test_a_database_that_is_gone_is_503_for_readers_and_nothing_for_a_fetch(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    with (
        FakeEnclave(tmp_path / "enclave", keeps(fresh)) as enclave,
        archiving(enclave, f"sqlite:///{path}") as client,
    ):
        data = client.post("/attest/fetch", json=LEAST).data
        assert stored(client, data) == data
        broken = Store(open_engine(f"sqlite:///{path}"))
        with broken._write() as connection:
            connection.exec_driver_sql("DROP TABLE archive_entries")
        for asked in (f"/attestations/{id_of(data)}", "/log/head"):
            answer = client.get(asked)
            assert (answer.status_code, json_of(answer)["code"]) == (503, "archive_unavailable")
            assert answer.headers["Retry-After"] == "5"
        assert client.post("/attest/fetch", json=LEAST).status_code == 200
        with broken._write() as connection:  # so that the end has nothing to wait for
            connection.exec_driver_sql("DROP TABLE archive_hashes")
            connection.exec_driver_sql("DROP TABLE archive_replies")
        Store(open_engine(f"sqlite:///{path}")).head()
        broken.close()


def test_a_demanded_archive_that_cannot_be_written_refuses_before_the_enclave_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.2)
    absent = f"postgresql+psycopg://u@/d?host={tmp_path}"
    with FakeEnclave(tmp_path / "enclave", keeps(fresh)) as enclave:
        with archiving(enclave, absent, required=True) as client:
            wait_until(lambda: client.post("/attest/fetch", json=LEAST).status_code == 503)
            asked = len(enclave.calls)
            answer = client.post("/attest/fetch", json=LEAST)
            assert (answer.status_code, json_of(answer)["code"]) == (503, "archive_unavailable")
            assert len(enclave.calls) == asked
        with archiving(enclave, absent) as client:
            assert client.post("/attest/fetch", json=LEAST).status_code == 200


# --- who may read


def test_only_who_asked_reads_a_reply_or_who_has_the_scope(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'archive.db'}"
    alice, bob, auditor = bearer("alice"), bearer("bob"), bearer("auditor")
    tokens = [token_toml(name, name) for name in ("alice", "bob")]
    tokens.append(token_toml("auditor", "auditor", 'scopes = ["archive"]'))
    with FakeEnclave(tmp_path / "enclave", keeps(fresh)) as enclave:
        with archiving(enclave, url) as client:
            nobodys = client.post("/attest/fetch", json=LEAST).data
            assert stored(client, nobodys) == nobodys
        with archiving(enclave, url, admission=admitting(*tokens)) as client:
            alices = client.post("/attest/fetch", json=LEAST, headers=alice).data
            assert stored(client, alices, **alice) == alices
            assert stored(client, nobodys, **auditor) == nobodys
            path = f"/attestations/{id_of(alices)}"
            for headers, status in ((alice, 200), (bob, 404), (auditor, 200), ({}, 401)):
                assert client.get(path, headers=headers).status_code == status
            absent = json_of(client.get(f"/attestations/{new_id()}", headers=bob))
            hidden = json_of(client.get(path, headers=bob))
            assert {**absent, "requestId": ""} == {**hidden, "requestId": ""}
            assert client.get(f"/attestations/{id_of(nobodys)}", headers=alice).status_code == 404
            assert client.post("/attest/fetch", json=LEAST, headers=auditor).status_code == 403


@pytest.mark.parametrize(
    ("caller", "owner", "readable"),
    [
        (None, None, True), (None, "alice", True), ("alice", "alice", True), ("alice", "bob", False),
        ("alice", None, False), ("alice archive", "bob", True), ("alice archive", None, True),
        ("archive", "bob", False),
    ],
)  # fmt: skip
def test_access_is_by_name_or_scope(caller: str | None, owner: str | None, *, readable: bool) -> None:
    name, *scopes = (caller or "-").split()
    assert may_read(Caller(name=name, scopes=frozenset(scopes)) if caller else None, owner) is readable


# --- real processes


def test_a_real_answer_is_stored_as_its_receiver_has_it(running_stack: Stack, tmp_path: Path) -> None:
    """The worker's own reply, attested by the soft NSM, through a parent with an archive."""
    call = {"url": "https://ec.europa.eu/taxation_customs/vies/rest-api/ms/PT/vat/500000000", "method": "GET"}
    genuine = requests.post(f"{running_stack.url}/attest/fetch", json=call, timeout=20).content
    url = f"sqlite:///{tmp_path / 'archive.db'}"
    with FakeEnclave(tmp_path / "enclave", keeps(lambda _: genuine)) as enclave, archiving(enclave, url) as client:
        assert client.post("/attest/fetch", json=LEAST).data == genuine
        assert stored(client, genuine) == genuine
        leaf = log.leaf_of(genuine)
        proof = log.decode_inclusion(client.get(f"/log/proof?leaf={leaf.hex()}").data)
        log.check_inclusion(leaf, proof, log.decode_head(client.get("/log/head").data))


def test_an_enclave_signs_what_dates_a_head(running_stack: Stack) -> None:
    """The NSM's document over a head's challenge has the NSM's time: the head is not younger than that."""
    head = log.Head(size=3, root=bytes(32))
    challenge = base64.urlsafe_b64encode(log.challenge_for(head)).decode()
    answer = requests.get(
        f"{running_stack.url}/enclaves/vies/identity", params={"challenge": challenge}, timeout=20
    ).content
    verified = tytle_verifier.verify_identity(
        answer,
        policy=commands.policy_of(running_stack),
        challenge=log.challenge_for(head),
        time=tytle_verifier.live(),
        root=commands.root_of(running_stack),
    )
    assert verified.document.nonce == log.challenge_for(head)


@pytest.mark.parametrize("workers", [1, 2])
def test_gunicorn_that_is_stopped_under_load_has_saved_all_that_was_answered(
    workers: int, tmp_path: Path, url: str
) -> None:
    answered: list[bytes] = []
    with FakeEnclave(tmp_path / "enclave", keeps(fresh)) as enclave:
        output = tmp_path / "log"
        with Gunicorn(Path(enclave.address.path), output, archive=url, workers=workers) as gunicorn:
            threads = [threading.Thread(target=asks, args=(gunicorn, answered)) for _ in range(6)]
            for thread in threads:
                thread.start()
            wait_until(lambda: len(answered) >= 200, seconds=30)
            gunicorn.terminate()
            for thread in threads:
                thread.join()
    mine = Store(open_engine(url))
    assert all(entry is not None and entry.reply == data for data in answered for entry in [mine.find(id_of(data))])
    assert len(answered) <= mine.head().size <= len(answered) + 6  # an answer whose connection broke is stored too
    assert b"archive lost" not in output.read_bytes()
    mine.close()


def asks(gunicorn: Gunicorn, answered: list[bytes]) -> None:
    """Ask until nobody answers any more."""
    body = json.dumps(LEAST).encode()
    while True:
        try:
            answer = gunicorn.post(body)
        except (OSError, http.client.HTTPException):
            return
        if answer.status == 200:
            answered.append(answer.data)
