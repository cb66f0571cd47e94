"""Kubernetes: every manifest against the schema of its kind, and the pod against the plan."""

import copy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy import kubernetes
from tests.deploy_kit import ROOT, a_plan

VERSIONS = ("1.31", "1.34")  # ContainerResource metrics of the autoscaler are stable from 1.30 on
ENCLAVES = "aws.ec2.nitro/nitro_enclaves"  # the device plugin's resource


def manifests(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def pod(*names: str, **changed: Any) -> dict[str, Any]:
    documents = list(yaml.safe_load_all(kubernetes.manifests(a_plan(*names, **changed))))
    (spec,) = (each["spec"]["template"]["spec"] for each in documents if each["kind"] == "Deployment")
    found: dict[str, Any] = spec
    return found


def containers(spec: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each for each in spec["containers"] if each["name"].startswith(kind)]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_has_the_shape_of_its_kind(rendered: Path, version: str) -> None:
    kinds = []
    for document in manifests(rendered / "kubernetes" / "tytle.yaml"):
        kubernetes_validate.validate(document, version, strict=True)
        kinds.append(document["kind"])
    assert {"Deployment", "HorizontalPodAutoscaler", "Service", "PodDisruptionBudget"} <= set(kinds)


def test_the_check_sees_a_defect(rendered: Path) -> None:
    for document in manifests(rendered / "kubernetes" / "tytle.yaml"):
        wrong = copy.deepcopy(document) | {"specs": {}}
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_each_enclave_has_the_device_and_the_huge_pages_that_it_is_started_with() -> None:
    enclaves = containers(pod("vies", cids={"vies": (16, 20)}, eif_bytes={"vies": 300 * 1024**2}), "enclave-")
    assert [each["name"] for each in enclaves] == ["enclave-vies-16", "enclave-vies-20"]
    for each in enclaves:
        assert "--memory=1200" in each["args"]
        for kind in ("requests", "limits"):
            assert each["resources"][kind]["hugepages-2Mi"] == "1200Mi"
            assert each["resources"][kind][ENCLAVES] == "1"


def test_each_upstream_has_its_proxy() -> None:
    args = [each["args"] for each in containers(pod("vies", "sicae"), "proxy-")]
    assert [each[-3:] for each in args] == [
        ["8443", "ec.europa.eu", "443"],
        ["8444", "api.service.hmrc.gov.uk", "443"],
        ["8445", "www.sicae.pt", "80"],
    ]


def test_no_container_has_more_rights_than_it_needs() -> None:
    spec = pod()
    assert spec["automountServiceAccountToken"] is False
    for each in spec["containers"]:
        context = each["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert each["name"].startswith("enclave-") or context["runAsNonRoot"] is True


def test_the_parent_runs_as_its_image_does() -> None:
    (parent,) = containers(pod(), "parent")
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"\nUSER {parent['securityContext']['runAsUser']}\n" in dockerfile
    assert f"\nEXPOSE {parent['ports'][0]['containerPort']}\n" in dockerfile
