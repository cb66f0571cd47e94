"""`/status` and the page: what they show, what they cost, and that nothing in them is taken on trust."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from app.config import Config, ConfigError, from_environment
from app.status import claims, recent, releases
from app.status.claims import NotAnIdentity
from app.status.releases import Release, Releases, ReleasesError
from app.status.routes import PAGE, policy
from tests.fake_enclave import ANSWER, PING, FakeEnclave, Peer, Script, keeps, wait_until
from tests.gate_kit import TOKEN, admitting, bearer, token_toml
from tests.metrics_kit import reports
from tests.openapi_kit import operation
from tests.parent import LEAST, VIES, Gunicorn, json_of, parent, service_toml, serving
from wire.addresses import UnixAddress

PCRS = {f"pcr{index}": f"{index}a" * 48 for index in (0, 1, 2)}
BOOTS = ("aa" * 16, "bb" * 16)
RELEASE = "\n".join(["[[releases]]", f'commit = "{"c0ffee" * 6}c0ff"', *(f'{n} = "{v}"' for n, v in PCRS.items()), ""])


def identified(boots: list[str], identity: dict[str, Any] | None = None) -> Script:
    """Serve pongs of the last of `boots`, and an identity with PCRS."""
    said = json.dumps({"success": True, "pcrs": PCRS} if identity is None else identity).encode()

    def script(peer: Peer) -> None:
        while (payload := peer.read()) is not None:
            pong = json.dumps({"type": "pong", "timestamp": 1, "boot": boots[-1]}).encode()
            peer.reply(pong if payload == PING else said if b'"identity"' in payload else ANSWER)

    return script


def status_of(client: FlaskClient, **more: Any) -> Any:
    """Return what /status says, which is as described."""
    response = client.get("/status", **more)
    assert response.status_code == 200
    operation("/status").validate_response(response)
    return json_of(response)


def claimed(client: FlaskClient) -> Any:
    return status_of(client)["services"][0]["enclaves"][0]["claimed"]


# --- enclaves and what they claim


def test_it_shows_what_health_shows_and_the_claim_beside_it(tmp_path: Path) -> None:
    with FakeEnclave(tmp_path / "enclave", identified([BOOTS[0]])) as enclave, parent(enclave.address) as client:
        assert claimed(client) is None  # nobody waits for it
        wait_until(lambda: claimed(client) is not None)
        status, health = status_of(client), json_of(client.get("/health"))
    (service,) = status["services"]
    (shown,) = service["enclaves"]
    assert (service["name"], service["hosts"]) == ("vies", ["ec.europa.eu", "api.service.hmrc.gov.uk"])
    assert shown.pop("claimed") == {"pcrs": PCRS, "boot": BOOTS[0], "ageMs": pytest.approx(2500, abs=2500)}
    for ages in (shown, health["enclaves"][0]):
        del ages["pingAgeMs"], ages["pingMs"]
    assert shown == health["enclaves"][0]


def test_an_enclave_is_asked_for_its_identity_once_in_a_boot_and_only_where_somebody_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PAUSE_SECONDS", 2.0)  # more than an answer takes: the looks ask once
    boots = [BOOTS[0]]
    with FakeEnclave(tmp_path / "enclave", identified(boots)) as enclave, parent(enclave.address) as client:
        client.get("/health")
        assert enclave.calls == []
        for boot in BOOTS:
            boots.append(boot)
            wait_until(lambda boot=boot: (claimed(client) or {}).get("boot") == boot, seconds=10)  # type: ignore[misc]
            asked = len(enclave.calls)
            assert {call["type"] for call in enclave.calls} == {"identity"}
            for _ in range(3):
                status_of(client)
            assert len(enclave.calls) == asked


def test_an_enclave_that_is_down_or_says_no_boot_claims_nothing(tmp_path: Path) -> None:
    with parent(UnixAddress(path=str(tmp_path / "none"))) as client:
        assert claimed(client) is None
    with FakeEnclave(tmp_path / "enclave", keeps()) as enclave, parent(enclave.address) as client:
        assert claimed(client) is None
        assert enclave.calls == []


def test_an_enclave_that_answers_nonsense_is_not_asked_again_at_once(tmp_path: Path) -> None:
    script = identified([BOOTS[0]], identity={"success": True, "pcrs": {"pcr0": "<script>"}})
    with FakeEnclave(tmp_path / "enclave", script) as enclave, parent(enclave.address) as client:
        for _ in range(5):
            assert claimed(client) is None
        wait_until(lambda: len(enclave.calls) == 1)
        assert claimed(client) is None
        assert len(enclave.calls) == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"nope",
        b"[]",
        b"{}",
        b'{"success":false,"pcrs":{}}',
        b'{"success":true}',
        b'{"success":true,"pcrs":[]}',
        json.dumps({"success": True, "pcrs": {"pcr0": "00"}}).encode(),
        json.dumps({"success": True, "pcrs": {"PCR0": "00" * 48}}).encode(),
        json.dumps({"success": True, "pcrs": {"pcr0": None}}).encode(),
        json.dumps({"success": True, "pcrs": {f"pcr{n}": "00" * 48 for n in range(33)}}).encode(),
        b"[" * 60_000,
        b" " * (claims.MAX_IDENTITY_BYTES + 1),
    ],
)
def test_an_identity_without_well_formed_pcrs_is_none(payload: bytes) -> None:
    with pytest.raises(NotAnIdentity):
        claims.read(payload)


@given(st.binary() | st.builds(lambda value: json.dumps(value).encode(), st.dictionaries(st.text(), st.text())))
def test_any_bytes_are_pcrs_or_no_identity(data: bytes) -> None:
    try:
        found = claims.read(data)
    except NotAnIdentity:
        return
    assert all(re.fullmatch("[0-9a-f]{96}", value) for value in found.values())


# --- releases


def test_releases_are_those_of_the_file_beside_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(service_toml("one", cid=18, host="one.test"))
    assert from_environment({}, services=tmp_path).releases == {"one": Releases()}
    (tmp_path / "one.pcrs.toml").write_text(f'service = "one"\n{RELEASE}{RELEASE}revoked = true\n')
    first, second = from_environment({}, services=tmp_path).releases["one"].listed
    assert first == Release(commit="c0ffee" * 6 + "c0ff", pcrs=PCRS, revoked=False)
    assert second.revoked


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nope", "it is not TOML in UTF-8"),
        (f'service = "other"\n{RELEASE}', "it is of another service"),
        ('service = "one"\nreleases = 3', "releases is no list"),
        ('service = "one"\nreleases = [3]', "a release is no table"),
        (f'service = "one"\n{RELEASE}revoked = 1', "revoked is neither true nor false"),
        (f'service = "one"\n{RELEASE.replace("0a0a", "0A0A")}', "a release's pcr0 is not lower-case hex"),
        (f'service = "one"\n{RELEASE.replace("c0ffee", "<b>")}', "a release's commit is not lower-case hex"),
    ],
)
def test_a_file_of_releases_that_cannot_be_read_is_shown_as_one(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "one.toml").write_text(service_toml("one", cid=18, host="one.test"))
    (tmp_path / "one.pcrs.toml").write_text(text)
    found = from_environment({}, services=tmp_path).releases["one"]
    assert found.listed == ()
    assert (found.problem or "").startswith(f"one.pcrs.toml cannot be read: {problem}")


def test_releases_are_shown_as_they_are_listed(tmp_path: Path) -> None:
    listed = releases.read(f'service = "vies"\n{RELEASE}'.encode(), "vies")
    for given_, shown in (
        (Releases(listed=listed), {"releases": [{"commit": listed[0].commit, "pcrs": PCRS, "revoked": False}]}),
        (Releases(problem="broken"), {"releases": [], "releasesProblem": "broken"}),
    ):
        addresses = {"vies": (UnixAddress(path=str(tmp_path / "none")),)}
        with serving(Config(manifests=(VIES,), addresses=addresses, releases={"vies": given_})) as app:
            (service,) = status_of(app.test_client())["services"]
        assert service == {**service, **shown}


@given(st.binary())
def test_any_bytes_are_releases_or_none(data: bytes) -> None:
    try:
        assert isinstance(releases.read(data, "one"), tuple)
    except ReleasesError:
        return


@pytest.mark.parametrize("value", ["http://x.test/", "javascript:alert(1)", "https://", "https://a b", "https://x\n"])
def test_a_source_is_an_https_url(value: str) -> None:
    assert from_environment({"SOURCE_URL": "https://git.test/tytle"}).source == "https://git.test/tytle"
    assert from_environment({}).source is None
    with pytest.raises(ConfigError, match="SOURCE_URL"):
        from_environment({"SOURCE_URL": value})


# --- how questions ended


def test_how_questions_ended_is_counted_and_the_newest_are_listed(tmp_path: Path) -> None:
    with FakeEnclave(tmp_path / "enclave", reports()) as enclave, parent(enclave.address) as client:
        for asked in (LEAST, LEAST, {**LEAST, "url": "https://example.com/secret-path?secret-query"}):
            client.post("/attest/fetch", json=asked)
        client.get("/routes")
        shown = status_of(client)
    counted = {(each["service"], each["route"], each["outcome"]): each["count"] for each in shown["outcomes"]}
    assert counted == {("vies", "fetch", "success"): 2, ("none", "fetch", "not_found"): 1}
    listed = [(each["service"], each["route"], each["outcome"]) for each in shown["recent"]["questions"]]
    assert listed == [("none", "fetch", "not_found"), ("vies", "fetch", "success"), ("vies", "fetch", "success")]
    assert "secret" not in json.dumps(shown)


def test_only_the_newest_questions_are_kept() -> None:
    kept = recent.Recent()
    for number in range(recent.MOST + 5):
        kept.note(service="vies", route="fetch", outcome=str(number), seconds=0.1)
    assert [question.outcome for question in kept.newest_first()] == [
        str(number) for number in range(recent.MOST + 4, 4, -1)
    ]


def test_counts_are_of_all_processes_and_the_list_says_of_which_one(tmp_path: Path) -> None:
    with (
        FakeEnclave(tmp_path / "enclave", reports()),
        Gunicorn(tmp_path / "enclave", tmp_path / "log", workers=2) as gunicorn,
    ):
        body = json.dumps(LEAST).encode()
        assert [gunicorn.post(body).status for _ in range(12)] == [200] * 12
        listed: dict[int, int] = {}

        def both_said() -> bool:
            shown = status_over(gunicorn)
            counted = sum(count["count"] for count in shown["outcomes"])
            assert counted <= 12
            listed[shown["recent"]["process"]] = len(shown["recent"]["questions"])
            return len(listed) == 2 and counted == 12  # the other process hands over what it counted once a second

        wait_until(both_said, seconds=20)
    assert sum(listed.values()) == 12


def status_over(gunicorn: Gunicorn) -> Any:
    connection = gunicorn.connect()
    connection.request("GET", "/status")
    found = json.loads(connection.getresponse().read())
    connection.close()
    return found


# --- the page


def test_the_page_needs_no_caller_and_its_data_does(tmp_path: Path) -> None:
    admission = admitting(token_toml("a", TOKEN, 'scopes = ["metrics"]'))
    with parent(UnixAddress(path=str(tmp_path / "none")), admission=admission) as client:
        page, stranger = client.get("/"), client.get("/status")
        known = client.get("/status", headers=bearer(TOKEN))
    assert (page.status_code, stranger.status_code, known.status_code) == (200, 401, 200)
    assert page.get_data() == PAGE.read_bytes()
    assert page.headers["Content-Security-Policy"] == policy(PAGE.read_text(encoding="utf-8"))
    assert (page.headers["Cache-Control"], page.headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


def test_the_policy_of_the_page_allows_its_own_parts_and_nothing_else() -> None:
    allowed = policy("<style>a</style><script>b</script>")
    assert allowed.split("; ") == [
        "default-src 'none'",
        "script-src 'sha256-PiPoFgA5WUoziU9lZOGxNIu9egCI1CxKy3PurtWcAJ0='",
        "style-src 'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]


def test_the_page_is_one_file_that_loads_nothing_and_makes_no_markup_from_text() -> None:
    html = PAGE.read_text(encoding="utf-8")
    words = r"\bsrc=|@import|url\(|innerHTML|outerHTML|insertAdjacent|\beval\(|import |localStorage"
    assert re.findall(words, html) == []
    assert set(re.findall(r'href="([^"]*)"', html)) == {"#verify", "/status", "/health", "/openapi.json"}
    assert len(re.findall("<script>", html)) == len(re.findall("<style>", html)) == 1
    assert not re.findall(r"\sstyle=|\son[a-z]+=", html)
