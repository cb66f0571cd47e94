"""CloudFormation: cfn-lint reads the stack, and it says what the hosts need."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from cfnlint.decode.cfn_yaml import loads

from deploy import cloudformation
from tests.deploy_kit import a_plan, services


def lint(path: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("cfn-lint"), "--include-checks", "W", "I", "--regions", "eu-west-1", "--"]
    return subprocess.run([*command, path], capture_output=True, text=True, timeout=300, check=False)


def stack(*names: str) -> dict[str, Any]:
    read: dict[str, Any] = loads(cloudformation.stack(a_plan(*names)))
    return read


def test_cfn_lint_finds_nothing(rendered: Path) -> None:
    done = lint(rendered / "cloudformation.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_check_sees_a_defect(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        cloudformation.stack(a_plan("vies")).replace("EnclaveOptions: {Enabled: true}", "EnclaveOptions: 5")
    )
    assert "E3012 5 is not of type 'object'" in lint(path).stdout


def test_instances_have_enclaves_and_no_old_metadata_service() -> None:
    data = stack("vies")["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
    assert data["EnclaveOptions"] == {"Enabled": True}
    assert data["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}


def test_each_service_has_its_parameter_and_a_key_for_its_measurement_alone() -> None:
    read = stack()
    for service in services().values():
        id_ = "".join(part.capitalize() for part in service.name.split("-"))
        parameter = read["Parameters"][f"Pcr0{id_}"]
        assert parameter["Type"] == "AWS::SSM::Parameter::Value<String>"
        assert parameter["Default"] == service.pcr0_parameter.replace("{env}", "prod")
        _, use = read["Resources"][f"Key{id_}"]["Properties"]["KeyPolicy"]["Statement"]
        assert use["Action"] == "kms:Decrypt"
        assert use["Condition"] == {"StringEqualsIgnoreCase": {"kms:RecipientAttestation:PCR0": {"Ref": f"Pcr0{id_}"}}}


def test_nobody_but_the_enclave_may_decrypt() -> None:
    for resource in stack()["Resources"].values():
        if resource["Type"] == "AWS::KMS::Key":
            administer, _ = resource["Properties"]["KeyPolicy"]["Statement"]
            assert not {"kms:*", "kms:Decrypt", "kms:ReEncrypt*", "kms:CreateGrant", "kms:GenerateDataKey"} & set(
                administer["Action"]
            )


def test_the_role_reads_one_object_and_one_parameter() -> None:
    (policy,) = stack()["Resources"]["Role"]["Properties"]["Policies"]
    actions = [statement["Action"] for statement in policy["PolicyDocument"]["Statement"]]
    assert actions == ["s3:GetObject", "ssm:GetParameter"]
