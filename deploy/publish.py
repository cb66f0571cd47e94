"""Measurements into SSM, where the stack and people's tools look them up. The one file that speaks to AWS.

Nobody has to trust these parameters: relying parties pin measurements that they built or were told
(services/NAME.pcrs.toml).
"""

from typing import Any, Protocol

from deploy.cloudformation import parameter
from deploy.measurements import Measurements
from policy.manifest import Manifest


class Ssm(Protocol):
    """What is used of boto3's SSM client."""

    def put_parameter(self, **arguments: Any) -> Any:
        """Write one parameter."""


def parameters(service: Manifest, measured: Measurements, env: str) -> dict[str, str]:
    """Return name and value of each parameter: the manifest's for PCR0, and its neighbours for PCR1 and PCR2."""
    pcr0 = parameter(service.pcr0_parameter, env)
    return {f"{pcr0.removesuffix('0')}{index}": value for index, value in enumerate(measured.pcrs)}


def put(ssm: Ssm, values: dict[str, str], commit: str) -> None:
    """Write the parameters; the commit is in their history. Raises: botocore's errors."""
    for name, value in values.items():
        ssm.put_parameter(Name=name, Value=value, Type="String", Overwrite=True, Description=f"commit {commit}")


def client(region: str | None) -> Ssm:
    """Return boto3's client, with credentials from where AWS's own command finds them."""
    import boto3  # noqa: PLC0415  rendering must work without it

    made: Ssm = boto3.client("ssm", region_name=region)
    return made
