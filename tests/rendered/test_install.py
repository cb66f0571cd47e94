"""The installer, run to its end in a mount namespace where /etc, /opt and /dev are copies, and dnf, systemctl, nproc
and runuser only write down what they were asked. What is installed then serves, as the unit starts it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import __main__ as commands
from tests.deploy_kit import write_images

# What stands between the test and this machine: overlays over what the installer writes to.
NAMESPACE = """
set -eu
mount -t tmpfs tmpfs "$1"
for folder in etc opt dev; do
  mkdir -p "$1/$folder.upper" "$1/$folder.work"
  mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$1/$folder.upper,workdir=$1/$folder.work" "/$folder"
done
touch /dev/nitro_enclaves
export PATH="$2:$PATH"
cd "$3"
"""
STUB = """#!/bin/sh
echo "$(basename "$0") $*" >> {log}
case "$(basename "$0") $*" in
nproc*) echo 16 ;;
"systemctl show"*) cat {log}.main ;;
"systemctl kill"*) echo 1 >{log}.main ;;
"systemctl restart tytle-enclave"*) [ ! -e {log}.fails ] ;;
runuser*--wait*) [ ! -e {log}.drained ] || exit "$(cat {log}.drained)" ;;
esac
"""
SERVES = """
cd /opt/tytle
set -a
. /etc/tytle/parent.env
BIND=unix:/opt/run/parent.sock
mkdir -m 777 /opt/run
{started} &
for attempt in $(seq 300); do [ ! -S /opt/run/parent.sock ] || break; sleep 0.1; done
curl --silent --unix-socket /opt/run/parent.sock http://parent/health
kill $!
wait $! || true
"""
# The main process of the unit, which the stub of systemctl knows, and which `roll` ends when it is another one.
ROLLS = """
sleep 60 >/dev/null 2>&1 &
echo $! >"$2/../log.main"
./roll >&2 || { kill $!; exit 1; }
! kill -0 $! 2>/dev/null
"""


def in_namespace(folder: Path, script: str) -> str:
    mounts, stubs, bundle = folder / "mounts", folder / "stubs", folder / "bundle"
    mounts.mkdir(exist_ok=True)
    command = ["unshare", "--mount", "--propagation", "private", "bash", "-c", NAMESPACE + script, "bash"]
    done = subprocess.run(
        [*command, mounts, stubs, bundle], capture_output=True, text=True, timeout=600, check=False, env=environment()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment() -> dict[str, str]:
    """Return this environment without what would lead Python back to this checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """Lay out a bundle of two enclaves of VIES, and stubs of what only a host has."""
    probe = ["unshare", "--mount", "true"]
    if os.geteuid() != 0 or subprocess.run(probe, check=False, capture_output=True).returncode != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("NOT CHECKED: mount namespaces need root")
    images = write_images(tmp_path / "images", "vies")
    rendered, archive = tmp_path / "rendered", tmp_path / "bundle.tar.gz"
    options = ["--images", str(images)]
    assert commands.main(["render", str(rendered), *options, "--cids", "vies=16,20"]) == 0
    assert commands.main(["bundle", str(rendered), str(archive), *options]) == 0
    (tmp_path / "bundle").mkdir()
    subprocess.run(["tar", "xzf", archive, "-C", tmp_path / "bundle"], check=True)
    (tmp_path / "stubs").mkdir()
    for name in ("dnf", "systemctl", "nproc", "runuser"):
        (tmp_path / "stubs" / name).write_text(STUB.format(log=tmp_path / "log"))
        (tmp_path / "stubs" / name).chmod(0o755)
    python = Path(sys.executable).resolve()
    (tmp_path / "stubs" / "python3.11").write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} "$@"\n')
    (tmp_path / "stubs" / "python3.11").chmod(0o755)
    return tmp_path


def test_what_is_installed_serves_and_is_installed_again_and_rolled(host: Path) -> None:
    unit = (host / "bundle/etc/systemd/system/tytle-parent.service").read_text()
    (started,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    serves = SERVES.format(started=started.replace("app:create_app()", "'app:create_app()'"))
    said = in_namespace(host, f"./install >&2\n({serves})\n./install >&2\n{ROLLS}\nid tytle-enclave\n")
    assert '"healthy":false' in said
    assert re.search(r"groups=.*\(ne\)", said)
    asked = (host / "log").read_text().splitlines()
    once = [line for line in asked if line.startswith("systemctl ")][:6]
    assert once == [
        "systemctl stop tytle.target",
        "systemctl daemon-reload",
        "systemctl enable nitro-enclaves-allocator.service",
        "systemctl restart nitro-enclaves-allocator.service",
        "systemctl enable tytle.target",
        "systemctl start tytle.target",
    ]
    drain = "runuser -u tytle -- env STATE_DIR=/run/tytle venv/bin/python -m app.drain vies"
    first = asked.index(f"{drain} 16 --wait 130")
    assert list(dict.fromkeys(asked[first:])) == [
        f"{drain} 16 --wait 130",
        "systemctl restart tytle-enclave-vies-16.service",
        f"{drain} 16 --undo",
        f"{drain} 20 --wait 130",
        "systemctl restart tytle-enclave-vies-20.service",
        f"{drain} 20 --undo",
        "systemctl show --property MainPID --value tytle-parent.service",
        "systemctl kill --kill-whom=main --signal=USR2 tytle-parent.service",
    ]


@pytest.mark.parametrize(("drained", "status"), [("1", 0), ("2", 1)])  # not idle in time; it cannot be drained
def test_an_enclave_that_sealed_calls_keep_busy_is_replaced_and_one_that_cannot_be_drained_is_not(
    host: Path, drained: str, status: int
) -> None:
    (host / "log.drained").write_text(drained)
    in_namespace(host, f"./install >&2\n({ROLLS}) >&2 || status=$?\n[ ${{status:-0}} = {status} ]\n")
    asked = (host / "log").read_text().splitlines()
    assert ("systemctl restart tytle-enclave-vies-20.service" in asked) is (status == 0)
    assert asked[-1].endswith("tytle-parent.service" if status == 0 else "vies 16 --undo")


def test_an_enclave_that_does_not_start_ends_the_roll_and_is_not_left_drained(host: Path) -> None:
    (host / "log.fails").touch()
    in_namespace(host, f"./install >&2\n! ({ROLLS}) >&2\n")
    asked = (host / "log").read_text().splitlines()
    assert asked[-2] == "systemctl restart tytle-enclave-vies-16.service"
    assert asked[-1].endswith("app.drain vies 16 --undo")


def test_a_host_of_another_plan_is_not_rolled(host: Path) -> None:
    script = "./install >&2\necho '# changed' >> /etc/nitro_enclaves/allocator.yaml\n! ./roll 2>&1\n"
    assert "allocator.yaml is another one: run ./install" in in_namespace(host, script)
