"""Plans and measurements for tests of deploy/: of made-up sizes and registers, so that no image is needed."""

import json
from pathlib import Path
from typing import Any

from deploy import plan
from deploy.plan import Plan
from policy import manifest
from policy.manifest import Manifest

ROOT = Path(__file__).parent.parent
COMMIT = "5" * 40
MEASURED: dict[str, Any] = {
    "service": "vies",
    "PCR0": "a0" * 48,
    "PCR1": "a1" * 48,
    "PCR2": "a2" * 48,
    "commit": COMMIT,
    "base": "debian@sha256:" + "d" * 64,
    "eif": {"bytes": 60_000_000, "sha256": "e" * 64},
}


def services() -> dict[str, Manifest]:
    """Return every service of this checkout by its name."""
    files = [path for path in (ROOT / "services").glob("*.toml") if not path.name.endswith(".pcrs.toml")]
    loaded = [manifest.load(path.read_bytes()) for path in sorted(files)]
    return {service.name: service for service in loaded}


def a_plan(*names: str, **changed: Any) -> Plan:
    """Return a plan of these services, of all without a name."""
    known = services()
    chosen = [known[name] for name in names or known]
    options: dict[str, Any] = {
        "env": "prod",
        "registry": "registry.test/tytle",
        "eif_bytes": {service.name: 60_000_000 for service in chosen},
        "cids": {},
        "memory": {},
    }
    return plan.make(chosen, **{**options, **changed})


def write_images(folder: Path, *names: str) -> Path:
    """Write a measurements file and a stand-in for an image of each service; return the folder."""
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "measurements.json").write_text(json.dumps({**MEASURED, "service": name}))
        (folder / name / "enclave.eif").write_bytes(b"EIF of " + name.encode())
    return folder
