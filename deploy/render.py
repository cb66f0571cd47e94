"""A plan -> the files of a deployment, in one folder.

OUT/host/            what goes onto a host besides the code: etc/, `install`, `roll`
OUT/cloudformation.yaml
OUT/kubernetes/      tytle.yaml, Dockerfile
OUT/plan.json        what was rendered, for `bundle` and for people
"""

import json
from pathlib import Path

from deploy import cloudformation, host, kubernetes
from deploy.plan import Plan

EXECUTABLE = (f"host/{host.INSTALLER}", f"host/{host.ROLLER}")


def files(plan: Plan) -> dict[str, str]:
    """Return the text of every file by its path below OUT. The same plan gives the same texts."""
    return {
        **{f"host/{path}": text for path, text in host.files(plan).items()},
        "cloudformation.yaml": cloudformation.stack(plan),
        **{f"kubernetes/{name}": text for name, text in kubernetes.files(plan).items()},
        "plan.json": json.dumps(summary(plan), indent=2) + "\n",
    }


def summary(plan: Plan) -> dict[str, object]:
    """Return the plan in short."""
    return {
        "env": plan.env,
        "instanceType": plan.instance_type,
        "vcpus": plan.cpus,
        "enclaves": [
            {"service": each.service.name, "cid": each.cid, "memoryMiB": each.memory_mib} for each in plan.enclaves
        ],
    }


def write(plan: Plan, out: Path) -> None:
    """Write the files below `out`, which must hold nothing yet.

    Raises:
        FileExistsError: `out` holds something: a file of an earlier plan would stay among those of this one.
        OSError: a file cannot be written.
    """
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty: remove it, or name another folder")
    for name, text in files(plan).items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        path.chmod(0o755 if name in EXECUTABLE else 0o644)
