"""README's "Deploy on EC2" is held against what it names, as far as that goes without AWS and its command."""

import re
import subprocess
from pathlib import Path

import pytest

from app import doctor
from deploy import __main__ as deploy_commands
from deploy import cloudformation, render
from deploy.plan import INSTANCE_SIZES
from tests import deploy_guide
from tests.deploy_kit import ROOT, a_plan

PROGRAMS = {
    ".", "aws", "curl", "cut", "dnf", "docker", "kubectl", "make", "mkdir", "python", "scp", "sha256sum", "skopeo",
    "ssh", "systemd-run", "tar", "tytle/install",
}  # fmt: skip
MAX_TEMPLATE_BYTES = 51_200  # AWS CloudFormation quotas: a template that is sent with the request


def test_the_section_is_there_and_names_these_programs() -> None:
    assert {words[0] for words in deploy_guide.commands()} == PROGRAMS


@pytest.mark.parametrize("block", deploy_guide.blocks(), ids=lambda block: block.split()[0])
def test_every_block_is_shell(block: str) -> None:
    subprocess.run(["bash", "-n"], input=block.encode(), check=True)


def test_every_make_target_is_one() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {words[1] for words in deploy_guide.named("make")} <= targets


def test_every_command_of_deploy_is_read_by_it() -> None:
    given = [words[3:] for words in deploy_guide.named("python") if words[2] == "deploy"]
    read = [deploy_commands._parser().parse_args(words) for words in given]
    assert {options.command for options in read} == set(deploy_commands.COMMANDS)
    for options in read:
        assert all((ROOT / "services" / f"{name}.toml").is_file() for name in getattr(options, "services", None) or [])


def test_what_is_installed_is_what_was_rendered() -> None:
    files = render.files(a_plan("vies"))
    text = (ROOT / "README.md").read_text()
    assert "host/install" in files
    assert "host/roll" in files
    for name in ("host/etc/nitro_enclaves/allocator.yaml", "kubernetes/tytle.yaml", "kubernetes/Dockerfile"):
        assert name in files
        assert name in text
    unit = files["host/etc/systemd/system/tytle-enclave-vies-16.service"]
    assert "/opt/tytle/enclaves/vies.eif" in unit
    assert "vies=/opt/tytle/enclaves/vies.eif" in text


def test_the_stack_gets_the_parameters_that_it_has_and_needs() -> None:
    template = cloudformation.stack(a_plan())
    assert len(template.encode()) < MAX_TEMPLATE_BYTES
    parameters = template.partition("\nParameters:\n")[2].partition("\nConditions:\n")[0]
    blocks = re.findall(r"^  (\w+):\n((?:    .*\n)+)", parameters, re.MULTILINE)
    needed = {name for name, block in blocks if "Default:" not in block}
    (deploy,) = (words for words in deploy_guide.named("aws") if words[1:3] == ["cloudformation", "deploy"])
    given = {word.partition("=")[0] for word in deploy[deploy.index("--parameter-overrides") + 1 :]}
    assert needed == given
    text = (ROOT / "README.md").read_text()
    for name in ("LoadBalancerSubnets", "LoadBalancerScheme", "CertificateArn", "ClientCidr", "SecretsKeys"):
        assert f"`{name}" in text
        assert name in dict(blocks)


def test_the_parameter_of_the_tokens_is_the_one_that_instances_read() -> None:
    (put,) = (words for words in deploy_guide.named("aws") if words[2] == "put-parameter")
    assert f"Default: {put[put.index('--name') + 1]}\n" in cloudformation.stack(a_plan("vies"))


def test_the_instance_is_one_that_the_plan_asks_for() -> None:
    (run,) = (words for words in deploy_guide.named("aws") if words[2] == "run-instances")
    assert run[run.index("--instance-type") + 1] == a_plan("vies").instance_type
    pattern = re.search(r'AllowedPattern: "\((m5\|.*)"', cloudformation.stack(a_plan("vies")))
    assert pattern is not None
    allowed = re.compile("(" + pattern[1].replace("\\\\", "\\"))
    assert all(allowed.fullmatch(name) for name in INSTANCE_SIZES.values())
    assert not any(allowed.fullmatch(name) for name in ("t3.xlarge", "t2.xlarge", "m5.large", "m5.metal", "m7g.xlarge"))


def test_the_doctor_reads_its_option() -> None:
    (words,) = (words for words in deploy_guide.named("systemd-run") if "app.doctor" in words)
    options = words[words.index("app.doctor") + 1 :]
    assert options[0] == "--eif"
    assert '"--eif"' in Path(doctor.__file__).read_text()
