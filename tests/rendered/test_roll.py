"""`roll` under a real systemd, as the first process of namespaces of its own, with the parent's unit as it is rendered:
new code takes over while callers ask, on a unix socket that the unit's own filter lets it make.

What is not here: enclaves and proxies, whose units are only written down.
"""

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.rendered.conftest import need
from tests.rendered.test_install import NAMESPACE, environment
from tests.rendered.test_install import host as host  # noqa: PLC0414  the fixture

# Before systemd: the bundle is installed; of systemctl, only what concerns the parent reaches it.
INSTALL = """
export PATH="$2:$PATH"
./install >&2
echo 'BIND=unix:/run/tytle/http' >/etc/tytle/local.env
rm "$2/runuser"
mkdir "$1/units" "$1/cgroup"
cp /etc/systemd/system/tytle-parent.service "$1/units"
for unit in sysinit.target basic.target shutdown.target network-online.target; do
  printf '[Unit]\\nDefaultDependencies=no\\n' >"$1/units/$unit"
done
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir -p /run/systemd/system
mount -t cgroup2 cgroup2 "$1/cgroup"
mkdir "$1/cgroup/$4"
echo $$ >"$1/cgroup/$4/cgroup.procs"
exec unshare --pid --fork --kill-child --mount-proc --cgroup --ipc --uts bash -c '{boot}' bash "$@"
"""
BOOT = """
umount --recursive /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
(bash "$3/../driver" >"$3/../said" 2>&1; echo $? >"$3/../status") &
export container=test SYSTEMD_UNIT_PATH="$1/units" SYSTEMD_GENERATOR_PATH=
exec {systemd} --system --unit=tytle-parent.service --log-target=console systemd.unified_cgroup_hierarchy=1
"""
DRIVER = """
set -eux
systemctl=/usr/bin/systemctl
alive() {{ curl --silent --show-error --fail --unix-socket /run/tytle/http http://parent/livez; }}
property() {{ $systemctl show --property "$1" --value tytle-parent.service; }}
for attempt in $(seq 300); do ! alive || break; sleep 0.1; done
first=$(property MainPID)
sed -i 's/jsonify(alive=True)/jsonify(alive="new")/' {bundle}/opt/tytle/app/health.py
(while [ ! -e {folder}/enough ]; do alive || echo LOST; done) >{folder}/asked 2>&1 &
{bundle}/roll
alive | grep new
touch {folder}/enough
second=$(property MainPID)
[ "$second" != "$first" ] && ! kill -0 "$first"
[ "$(property ActiveState) $(property NRestarts)" = "active 0" ]
$systemctl reload tytle-parent.service
sleep 3
alive | grep new
[ "$(property MainPID)" = "$second" ]
kill -9 "$second"
for attempt in $(seq 100); do [ "$(property NRestarts)" = 0 ] || break; sleep 0.1; done
for attempt in $(seq 300); do ! alive || break; sleep 0.1; done
alive | grep new
$systemctl stop tytle-parent.service
[ "$(property ActiveState) $(property Result)" = "inactive success" ]
"""
CLEAN = 'mount -t cgroup2 cgroup2 "$1" && find "$1/$2" -depth -type d -exec rmdir {} +'
ONLY_PARENT = (
    '#!/bin/sh\ncase "$*" in *tytle-parent*) exec /usr/bin/systemctl "$@" ;; esac\necho "systemctl $*" >>{log}\n'
)


def test_under_systemd_new_code_takes_over_and_no_request_is_lost(host: Path) -> None:
    systemd, python = need("/lib/systemd/systemd"), "/usr/bin/python3.11"
    if not Path(python).exists():
        pytest.skip(f"NOT CHECKED: there is no {python} here")
    for probe in ([python, "-c", "import ensurepip"], ["unshare", "--mount", "mount", "-t", "cgroup2", "none", "/mnt"]):
        if subprocess.run(probe, check=False, capture_output=True).returncode != 0:
            pytest.skip(f"NOT CHECKED: {' '.join(probe)} fails here")
    (host / "stubs/systemctl").write_text(ONLY_PARENT.format(log=host / "log"))
    # The system's own, since the unit sees nothing below /root and /home.
    (host / "stubs/python3.11").write_text(f'#!/bin/sh\nexec {python} "$@"\n')
    (host / "driver").write_text(DRIVER.format(bundle=host / "bundle", folder=host))
    group = f"tytle-test-{os.getpid()}"
    script = NAMESPACE + INSTALL.format(boot=BOOT.format(systemd=systemd))
    for folder in ("mounts", "group"):
        (host / folder).mkdir()
    command = ["unshare", "--mount", "--propagation", "private", "bash", "-c", script, "bash"]
    with (host / "journal").open("wb") as journal:
        process = subprocess.Popen(
            [*command, host / "mounts", host / "stubs", host / "bundle", group],
            env=environment(),
            stdout=journal,
            stderr=journal,
        )
        try:
            status = outcome(process, host / "status")
        finally:
            process.kill()
            process.wait()
            subprocess.run(
                ["unshare", "--mount", "bash", "-c", f"sleep 1; {CLEAN}", "bash", host / "group", group], check=False
            )
    said = (host / "said").read_text() + (host / "journal").read_text()
    assert status == "0\n", said
    assert "LOST" not in (host / "asked").read_text()
    assert (host / "asked").read_text().count('"alive":"new"') > 0
    assert "systemctl restart tytle-enclave-vies-20.service" in (host / "log").read_text()


def outcome(process: "subprocess.Popen[bytes]", file: Path) -> str:
    """Wait for the driver's exit status."""
    end = time.monotonic() + 300
    while not (file.exists() and file.read_text()):
        if process.poll() is not None or time.monotonic() > end:
            pytest.fail((file.parent / "journal").read_text())
        time.sleep(0.1)
    return file.read_text()
