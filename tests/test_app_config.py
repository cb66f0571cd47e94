"""Settings: from the environment, within their ranges, or not at all."""

from pathlib import Path

import pytest

from app import create_app, listening
from app.admission import Admission
from app.config import SERVICES, Config, ConfigError, Serving, from_environment, read_callers, serving
from app.limits.values import Limits
from app.tls import TlsFiles
from policy.errors import ManifestError
from tests.gate_kit import admitting, token_toml
from tests.parent import VIES, json_of, service, service_toml
from wire.addresses import UnixAddress, VsockAddress


def test_an_empty_environment_gives_the_manifests_addresses_and_the_defaults() -> None:
    config = from_environment({})
    assert VIES in config.manifests
    assert config.places(VIES) == (VsockAddress(cid=16, port=5000),)
    assert (config.connections, config.timeout_ms) == (64, 30_000)


def test_every_service_of_the_folder_is_served_in_the_order_of_the_cids() -> None:
    served = from_environment({}).manifests
    assert {manifest.name for manifest in served} == {
        path.stem for path in SERVICES.glob("*.toml") if not path.name.endswith(".pcrs.toml")
    }
    assert [manifest.cid for manifest in served][:2] == [16, 17]
    assert list(served) == sorted(served, key=lambda manifest: manifest.cid)


def test_the_measurements_of_releases_beside_the_manifests_are_no_services(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(service_toml("one", cid=18, host="api.stripe.com"))
    (tmp_path / "one.pcrs.toml").write_text('[[releases]]\ncommit = "c0ffee"\n')
    assert [manifest.name for manifest in from_environment({}, services=tmp_path).manifests] == ["one"]


def test_the_environment_overrides_cid_connections_and_timeout() -> None:
    config = from_environment({"VIES_CID": "99", "ENCLAVE_CONNECTIONS": "7", "ENCLAVE_TIMEOUT_MS": "1500"})
    assert config.places(VIES) == (VsockAddress(cid=99, port=5000),)
    assert (config.connections, config.timeout_ms) == (7, 1500)


def test_an_empty_value_counts_as_not_set() -> None:
    assert from_environment({"VIES_CID": "", "ENCLAVE_CONNECTIONS": "", "ENCLAVE_TIMEOUT_MS": ""}) == from_environment(
        {}
    )


def test_a_hyphen_in_a_service_s_name_is_an_underscore_in_its_variable(tmp_path: Path) -> None:
    (tmp_path / "stripe-payment.toml").write_text(service_toml("stripe-payment", cid=18, host="api.stripe.com"))
    config = from_environment({"STRIPE_PAYMENT_CID": "55"}, services=tmp_path)
    assert config.places(config.manifests[0]) == (VsockAddress(cid=55, port=5000),)


@pytest.mark.parametrize("value", ["4", "4294967294"])
def test_a_cid_at_the_ends_of_its_range_is_accepted(value: str) -> None:
    assert from_environment({"VIES_CID": value}).places(VIES) == (VsockAddress(cid=int(value), port=5000),)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        *(
            ("VIES_CID", value, "VIES_CID: expected a whole number from 4 to 4294967294")
            for value in ("0", "3", "4294967295", "-1", "+16", "16 ", "0x10", "16.0", "sixteen", "١٦", "9" * 5000)
        ),
        *(
            ("VIES_CIDS", value, "VIES_CIDS: expected a whole number from 4 to 4294967294")
            for value in ("3", "16,", ",16", "16,,20", "16;20", "16,x", "16,-20", "16,\t20", ",")
        ),
        ("VIES_CIDS", "16,20,16", "VIES_CIDS: expected at most 16 CIDs, each once"),
        ("VIES_CIDS", ",".join(map(str, range(40, 57))), "VIES_CIDS: expected at most 16 CIDs, each once"),
        ("VIES_CIDS", "16,17", "CID 17 is given to vies and to sicae"),
        ("VIES_CID", "17", "CID 17 is given to vies and to sicae"),
        ("STATE_DIR", "run/tytle", "STATE_DIR: expected an absolute path"),
        ("ENCLAVE_CONNECTIONS", "0", "ENCLAVE_CONNECTIONS: expected a whole number from 1 to 4096"),
        ("ENCLAVE_CONNECTIONS", "4097", "ENCLAVE_CONNECTIONS: expected a whole number from 1 to 4096"),
        ("ENCLAVE_TIMEOUT_MS", "99", "ENCLAVE_TIMEOUT_MS: expected a whole number from 100 to 120000"),
        ("ENCLAVE_TIMEOUT_MS", "120001", "ENCLAVE_TIMEOUT_MS: expected a whole number from 100 to 120000"),
    ],
)
def test_a_value_that_is_no_number_in_its_range_stops_the_start(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_environment({name: value})
    assert str(caught.value) == message


def test_a_folder_without_services_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^no services: every request would be refused$"):
        from_environment({}, services=tmp_path)


def test_a_wrong_manifest_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "vies.toml").write_text("name = 1")
    with pytest.raises(ManifestError):
        from_environment({}, services=tmp_path)


def test_two_services_for_one_host_stop_the_start() -> None:
    other = service("other", cid=17, host="ec.europa.eu")
    with pytest.raises(ValueError, match=r"^two services claim the same host$"):
        Config(manifests=(VIES, other))


def test_an_address_given_by_name_is_used_instead_of_the_manifest_s(tmp_path: Path) -> None:
    address = UnixAddress(path=str(tmp_path / "enclave"))
    other = service("other", cid=17, host="other.test")
    config = Config(manifests=(VIES, other), addresses={"other": (address,)})
    assert (config.places(VIES), config.places(other)) == ((VsockAddress(cid=16, port=5000),), (address,))


def test_the_application_is_built_from_the_process_s_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIES_CID", "99")
    routes = json_of(create_app().test_client().get("/routes"))["routes"]
    assert [route["cid"] for route in routes if "ec.europa.eu" in route["hosts"]] == [99]


def test_the_application_does_not_start_with_a_wrong_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIES_CID", "3")
    with pytest.raises(ConfigError, match="VIES_CID"):
        create_app()


def test_an_operator_names_the_services_that_have_an_enclave_here(tmp_path: Path) -> None:
    for cid, name in enumerate(("one", "two", "three"), start=20):
        (tmp_path / f"{name}.toml").write_text(service_toml(name, cid=cid, host=f"{name}.test"), encoding="ascii")
    chosen = from_environment({"SERVICES": "two, one,"}, services=tmp_path)
    assert [manifest.name for manifest in chosen.manifests] == ["one", "two"]
    assert len(from_environment({"SERVICES": ""}, services=tmp_path).manifests) == 3
    with pytest.raises(ConfigError, match="SERVICES: there is no service 'four'"):
        from_environment({"SERVICES": "one,four"}, services=tmp_path)


def test_a_service_may_have_several_enclaves() -> None:
    config = from_environment({"VIES_CIDS": "16, 20,30", "STATE_DIR": "/run/tytle"})
    assert config.places(VIES) == tuple(VsockAddress(cid=cid, port=5000) for cid in (16, 20, 30))
    assert config.state == Path("/run/tytle")
    assert from_environment({"VIES_CIDS": "20"}) == from_environment({"VIES_CID": "20"})
    assert from_environment({}).state is None


def test_one_cid_and_several_are_not_both_given() -> None:
    with pytest.raises(ConfigError, match=r"^VIES_CID and VIES_CIDS are both set$"):
        from_environment({"VIES_CID": "16", "VIES_CIDS": "16,20"})


def test_a_service_without_an_enclave_or_with_one_twice_stops_the_start(tmp_path: Path) -> None:
    address = UnixAddress(path=str(tmp_path / "enclave"))
    with pytest.raises(ValueError, match=r"^a service without an enclave$"):
        Config(manifests=(VIES,), addresses={"vies": ()})
    with pytest.raises(ValueError, match=r"^two enclaves at the same address$"):
        Config(manifests=(VIES,), addresses={"vies": (address, address)})


# --- who may ask, and how gunicorn listens


def test_the_gate_s_settings_come_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "tokens.toml").write_text(token_toml("agent-a"))
    config = from_environment(
        {
            "TOKENS_FILE": str(tmp_path / "tokens.toml"),
            "TRUSTED_PROXIES": "10.0.0.5,unix",
            "VIES_RATE": "20",
            "VIES_CONCURRENT": "30",
            "STRIPE_PAYMENT_RATE": "3",
            "STRIPE_PAYMENT_BURST": "9",
            "BODIES_MIB": "64",
        }
    ).admission
    assert config.callers is not None
    assert [caller.name for caller in config.callers.all] == ["agent-a"]
    assert (config.proxies.include("10.0.0.5"), config.proxies.unix, config.body_bytes) == (True, True, 64 * 2**20)
    assert config.limits == {
        "vies": Limits(rate=20, burst=20, concurrent=30),
        "stripe-payment": Limits(rate=3, burst=9),
    }


def test_without_settings_everybody_on_this_host_may_ask() -> None:
    assert from_environment({}).admission == Admission()
    assert serving({}) == Serving(bind="127.0.0.1:5001", processes=2, tls=None)
    assert serving({"BIND": "", "WEB_WORKERS": ""}) == serving({})


def test_callers_that_were_read_before_are_not_read_again(tmp_path: Path) -> None:
    callers = admitting(token_toml("agent-a")).callers
    assert from_environment({"TOKENS_FILE": "/none"}, callers=callers).admission.callers is callers


def test_tls_has_a_certificate_a_key_and_perhaps_roots_for_clients() -> None:
    files = {"TLS_CERTIFICATE": "/c", "TLS_KEY": "/k"}
    assert serving(files).tls == TlsFiles(certificate="/c", key="/k")
    assert serving({**files, "TLS_CLIENT_ROOTS": "/r"}).tls == TlsFiles(certificate="/c", key="/k", client_roots="/r")
    for missing in files:
        with pytest.raises(ConfigError, match="TLS_CERTIFICATE: set it together with TLS_KEY"):
            serving({name: path for name, path in files.items() if name != missing})


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"TOKENS_FILE": "/none"}, "TOKENS_FILE: No such file or directory"),
        ({"TRUSTED_PROXIES": "unix"}, "TRUSTED_PROXIES: set TOKENS_FILE too, which says whose a client certificate is"),
        ({"VIES_RATE": "0"}, "VIES_RATE: expected a whole number from 1 to 1000000"),
        ({"VIES_CONCURRENT": "-1"}, "VIES_CONCURRENT: expected a whole number from 1 to 1000000"),
        ({"BODIES_MIB": "20"}, "BODIES_MIB: expected a whole number from 32 to 65536"),
    ],
)
def test_a_setting_of_the_gate_that_cannot_be_used_stops_the_start(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_environment(environ)
    assert str(caught.value) == message


def test_a_file_of_callers_that_cannot_be_used_is_named_by_its_variable(tmp_path: Path) -> None:
    (tmp_path / "tokens.toml").write_text(token_toml("a", "x", 'services = ["viez"]'))
    with pytest.raises(ConfigError, match=r"^TOKENS_FILE: tokens\[0\]\.services: expected some of "):
        read_callers({"TOKENS_FILE": str(tmp_path / "tokens.toml")})


def test_a_proxy_that_is_everybody_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "tokens.toml").write_text(token_toml("a"))
    with pytest.raises(ConfigError, match="TRUSTED_PROXIES: expected addresses"):
        from_environment({"TOKENS_FILE": str(tmp_path / "tokens.toml"), "TRUSTED_PROXIES": "0.0.0.0/0"})


@pytest.mark.parametrize("name", [("127.0.0.1", 5001), ("127.9.9.9", 1), ("::1", 5001, 0, 0), "/run/x", b"\0x", ""])
def test_what_only_this_host_reaches_needs_no_callers(name: object) -> None:
    listening.check([name], callers=False)


@pytest.mark.parametrize("name", [("0.0.0.0", 1), ("10.0.0.1", 1), ("::", 1, 0, 0), ("localhost", 1), (16, 5001), None])
def test_anything_else_does(name: object) -> None:
    listening.check([name], callers=True)
    with pytest.raises(listening.OpenToAnybody, match="nothing says who may ask"):
        listening.check([("127.0.0.1", 1), name], callers=False)
