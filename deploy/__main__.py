"""`python -m deploy COMMAND`.

render OUT           the files of a deployment: units, allow-list, CloudFormation, Kubernetes
bundle RENDERED FILE what a host installs, as one archive; prints its SHA-256
publish-pcrs         the measurements of an image into SSM and into services/NAME.pcrs.toml
"""

import argparse
import json
import sys
from hashlib import sha256
from pathlib import Path

from deploy import bundle, measurements, plan, publish, registry, render
from deploy.errors import BadPlan, DeployError
from policy import manifest
from policy.errors import PolicyError
from policy.manifest import Manifest

ROOT = Path(__file__).parent.parent
IMAGES = Path("build/images")


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        print(COMMANDS[options.command](options))  # noqa: T201  this is a command
    except (DeployError, PolicyError, OSError) as error:
        print(f"deploy: {error}", file=sys.stderr)  # noqa: T201
        print(getattr(error, "advice", "Check the path."), file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _render(options: argparse.Namespace) -> str:
    names = options.services or _with_image(options.images)
    made = plan.make(
        [_manifest(name) for name in names],
        env=options.env,
        registry=options.registry,
        eif_bytes={name: _measured(options.images / name / "measurements.json").eif_bytes for name in names},
        cids=dict(options.cids),
        memory=dict(options.memory),
    )
    render.write(made, options.out)
    return json.dumps(render.summary(made), indent=2)


def _bundle(options: argparse.Namespace) -> str:
    enclaves = json.loads((options.rendered / "plan.json").read_text(encoding="utf-8"))["enclaves"]
    services = tuple(sorted({enclave["service"] for enclave in enclaves}))
    bundle.write(options.rendered, root=ROOT, images=options.images, services=services, output=options.output)
    return f"{sha256(options.output.read_bytes()).hexdigest()}  {options.output}"


def _publish(options: argparse.Namespace) -> str:
    service = _manifest(options.service)
    measured = _measured(options.measurements or IMAGES / options.service / "measurements.json")
    registry.check_publishable(measured, service.name, local_base=options.local_base)
    file = options.registry / f"{service.name}.pcrs.toml"
    text = registry.with_release(file.read_text(encoding="utf-8") if file.exists() else "", measured)
    values = publish.parameters(service, measured, options.env)
    publish.put(publish.client(options.region), values, measured.commit)
    file.write_text(text, encoding="utf-8")
    return "\n".join(f"{name}  {value}" for name, value in values.items()) + f"\n{file}  {measured.commit}"


COMMANDS = {"render": _render, "bundle": _bundle, "publish-pcrs": _publish}


def _manifest(name: str) -> Manifest:
    path = ROOT / "services" / f"{name}.toml"
    if not path.is_file() or name.endswith(".pcrs"):
        raise BadPlan(f"there is no service {name!r} in services/")
    return manifest.load(path.read_bytes())


def _measured(path: Path) -> measurements.Measurements:
    if not path.is_file():
        raise BadPlan(f"there is no {path}")
    return measurements.read(path.read_bytes())


def _with_image(images: Path) -> list[str]:
    found = sorted(path.parent.name for path in images.glob("*/measurements.json"))
    if not found:
        raise BadPlan(f"there is no image in {images}")
    return found


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _numbers(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, numbers = text.partition("=")
    return name, tuple(int(number) for number in numbers.split(","))


def _number(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    return name, int(number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy", description="Render and publish a deployment.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("render", help="the files of a deployment")
    command.add_argument("out", type=Path, metavar="OUT")
    command.add_argument("--env", default="prod", help="the deployment's name")
    command.add_argument("--services", type=_names, metavar="NAME,...", help="default: those that have an image")
    command.add_argument("--images", type=Path, default=IMAGES, help="where `make image` wrote")
    command.add_argument("--cids", type=_numbers, action="append", default=[], metavar="NAME=CID,...")
    command.add_argument("--memory", type=_number, action="append", default=[], metavar="NAME=MIB")
    command.add_argument("--registry", default="registry.invalid", help="where Kubernetes finds its images")
    command = commands.add_parser("bundle", help="what a host installs")
    command.add_argument("rendered", type=Path, metavar="RENDERED")
    command.add_argument("output", type=Path, metavar="FILE")
    command.add_argument("--images", type=Path, default=IMAGES, help="where `make image` wrote")
    command = commands.add_parser("publish-pcrs", help="measurements into SSM and services/NAME.pcrs.toml")
    command.add_argument("--service", required=True, metavar="NAME")
    command.add_argument("--env", required=True)
    command.add_argument("--measurements", type=Path, help="default: build/images/NAME/measurements.json")
    command.add_argument("--registry", type=Path, default=ROOT / "services", help="the folder of NAME.pcrs.toml")
    command.add_argument("--region")
    command.add_argument("--local-base", action="store_true", help="accept an image that nobody can build again later")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
