"""What is rendered: whole, the same every time, and in agreement with services, Dockerfile and parent."""

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from deploy import __main__ as commands
from deploy import host, render
from deploy.template import TEMPLATES, fill
from tests.deploy_kit import ROOT, a_plan, services, write_images

ALL = tuple(services())


def rendered(*names: str, **changed: object) -> dict[str, str]:
    return render.files(a_plan(*names, **changed))


def unit(files: dict[str, str], name: str) -> str:
    return files[f"host/etc/systemd/system/{name}"]


def test_no_unit_leaves_core_dumps() -> None:
    units = {name: text for name, text in rendered().items() if name.endswith(".service")}
    assert len(units) > 3
    for name, text in units.items():
        assert "\nLimitCORE=0\n" in text, name


def test_every_upstream_of_every_service_has_a_proxy_and_is_allowed() -> None:
    files = rendered()
    allowed = files["host/etc/tytle/vsock-proxy.yaml"].splitlines()
    upstreams = [upstream for service in services().values() for upstream in service.upstreams]
    assert len(allowed) == 1 + len(upstreams)
    for upstream in upstreams:
        port = 443 if upstream.tls else 80
        assert f"- {{address: {upstream.host}, port: {port}}}" in allowed
        text = unit(files, f"tytle-proxy-{upstream.proxy_port}.service")
        assert (
            f" --num_workers 128 --config /etc/tytle/vsock-proxy.yaml {upstream.proxy_port} {upstream.host} {port}\n"
            in text
        )


def test_an_enclave_gets_the_memory_of_its_image_and_never_debug_mode() -> None:
    text = unit(rendered("vies", eif_bytes={"vies": 300 * 1024**2}), "tytle-enclave-vies-16.service")
    assert "--name tytle-vies-16 --cid 16 --eif /opt/tytle/enclaves/vies.eif --memory 1200 --cpus 2\n" in text
    assert "debug" not in text


def test_nitro_cli_writes_warnings_only_wherever_it_writes_a_log() -> None:
    """Its log is appended to at every command, and is never rotated (src/common/logger.rs)."""
    files = rendered()
    told = {name: text.count("NITRO_CLI_LOGS_PATH") for name, text in files.items() if "NITRO_CLI_LOGS_PATH" in text}
    assert len(told) == len(services()) + 2
    for name, count in told.items():
        assert files[name].count("RUST_LOG=warn\n") + files[name].count("{name: RUST_LOG, value: warn}") == count


def test_one_enclave_is_reserved_in_the_old_form_and_several_as_a_list() -> None:
    assert host.allocator(a_plan("vies")) == "---\nmemory_mib: 512\ncpu_count: 2\n"
    both = host.allocator(a_plan("vies", "sicae", memory={"sicae": 640}))
    assert both == "---\n- memory_mib: 512\n  cpu_count: 2\n- memory_mib: 640\n  cpu_count: 2\n"


def test_the_target_starts_every_unit() -> None:
    files = rendered("vies", cids={"vies": (16, 20)})
    names = {path.rpartition("/")[2] for path in files if path.endswith(".service")}
    (wanted,) = (line for line in unit(files, "tytle.target").splitlines() if line.startswith("Wants="))
    assert set(wanted.removeprefix("Wants=").split()) == names
    assert names == {
        "tytle-enclave-vies-16.service",
        "tytle-enclave-vies-20.service",
        "tytle-parent.service",
        "tytle-proxy-8443.service",
        "tytle-proxy-8444.service",
    }


def test_the_parent_is_told_its_services_and_cids() -> None:
    lines = rendered("vies", "stripe-payment", cids={"vies": (16, 20)})["host/etc/tytle/parent.env"].splitlines()
    assert lines[1:] == ["SERVICES=vies,stripe-payment", "VIES_CIDS=16,20", "STRIPE_PAYMENT_CIDS=18"]


def test_the_parent_is_started_as_the_procfile_and_the_image_start_it() -> None:
    (web,) = (ROOT / "Procfile").read_text().splitlines()
    started = "gunicorn --config app/gunicorn_conf.py "
    assert web == f'web: {started}"app:create_app()"'
    assert f"ExecStart=/opt/tytle/venv/bin/{started}app:create_app()\n" in unit(rendered(), "tytle-parent.service")
    assert (
        '"-m", "gunicorn", "--config", "app/gunicorn_conf.py", "app:create_app()"' in (ROOT / "Dockerfile").read_text()
    )


def test_the_same_plan_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        render.write(a_plan(), tmp_path / name)
    same = subprocess.run(["diff", "--recursive", tmp_path / "one", tmp_path / "two"], check=False, capture_output=True)
    assert same.stdout == b""
    assert (tmp_path / "one/host/install").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "one/cloudformation.yaml").stat().st_mode & 0o777 == 0o644


def test_nothing_is_rendered_over_an_earlier_plan(tmp_path: Path) -> None:
    render.write(a_plan("vies"), tmp_path)
    with pytest.raises(FileExistsError, match="not empty"):
        render.write(a_plan("sicae"), tmp_path)


def test_the_rendered_shell_is_shell() -> None:
    files = rendered()
    script = files["host/install"]
    userdata = files["cloudformation.yaml"].partition("!Sub |\n")[2].partition("      TagSpecifications")[0]
    for text in (script, files["host/roll"], userdata.replace("${AWS::", "${AWS_")):
        subprocess.run(["bash", "-n"], input=text.encode(), check=True)


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.*")), ids=lambda path: path.name)
def test_no_template_holds_a_key_an_address_or_a_measurement(path: Path) -> None:
    text = path.read_text()
    assert "AKIA" not in text
    assert not any(len(word) >= 40 and set(word) <= set("0123456789abcdef") for word in text.split())


def test_a_value_without_a_place_and_a_place_without_a_value_are_defects() -> None:
    with pytest.raises(ValueError, match="has places for"):
        fill("host/parent.env", services="vies")
    with pytest.raises(ValueError, match="has places for"):
        fill("host/hardening", services="vies")


def test_the_commands_render_and_bundle_what_there_are_images_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = write_images(tmp_path / "images", "vies", "sicae")
    assert commands.main(["render", str(tmp_path / "out"), "--images", str(images), "--cids", "vies=16,20"]) == 0
    assert [each["cid"] for each in json.loads(capsys.readouterr().out)["enclaves"]] == [16, 20, 17]
    for name in ("a.tar.gz", "b.tar.gz"):
        assert commands.main(["bundle", str(tmp_path / "out"), str(tmp_path / name), "--images", str(images)]) == 0
    one, two = ((tmp_path / name).read_bytes() for name in ("a.tar.gz", "b.tar.gz"))
    assert one == two
    assert one[4:8] == bytes(4)  # RFC 1952: the time
    assert capsys.readouterr().out.startswith(hashlib.sha256(one).hexdigest())


def test_a_bundle_has_what_a_host_needs_and_nothing_that_it_does_not(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", "vies")
    assert commands.main(["render", str(tmp_path / "out"), "--images", str(images)]) == 0
    assert commands.main(["bundle", str(tmp_path / "out"), str(tmp_path / "b.tar.gz"), "--images", str(images)]) == 0
    with tarfile.open(tmp_path / "b.tar.gz") as archive:
        entries = {entry.name: entry for entry in archive}
    assert {
        "install",
        "opt/tytle/supervise.py",
        "opt/tytle/enclaves/vies.eif",
        "opt/tytle/requirements/parent.txt",
    } <= set(entries)
    assert {name.split("/")[2] for name in entries if name.startswith("opt/tytle/")} == {
        "app", "enclaves", "policy", "requirements", "services", "supervise.py", "wire",
    }  # fmt: skip
    assert not any("__pycache__" in name for name in entries)
    assert {(entry.uid, entry.gid, entry.mtime) for entry in entries.values()} == {(0, 0, 0)}
    assert entries["install"].mode == 0o755


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["render", "out", "--images", "nowhere"], "there is no image in nowhere"),
        (["render", "out", "--services", "rates"], "no service 'rates'"),
        (["render", "out", "--services", "vies", "--images", "nowhere"], "there is no nowhere/vies/measurements.json"),
        (["publish-pcrs", "--service", "../x", "--env", "prod"], "no service"),
    ],
)
def test_a_command_that_cannot_be_done_says_why(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert commands.main(arguments) == 1
    assert said in capsys.readouterr().err


def test_an_update_without_an_outage_needs_two_enclaves_of_each_service() -> None:
    both = rendered("vies", cids={"vies": (16, 20)})["host/roll"]
    assert 'single=""\n' in both
    assert "for enclave in vies-16 vies-20; do\n" in both
    assert 'single="sicae"\n' in rendered("vies", "sicae", cids={"vies": (16, 20)})["host/roll"]


def test_a_service_with_a_dash_in_its_name_is_told_from_its_cid() -> None:
    script = 'enclave=stripe-payment-18; service=${enclave%-*} cid=${enclave##*-}; echo "$service $cid"'
    assert "service=${enclave%-*} cid=${enclave##*-}\n" in rendered("stripe-payment")["host/roll"]
    said = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    assert said == b"stripe-payment 18\n"
