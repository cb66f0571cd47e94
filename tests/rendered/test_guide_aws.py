"""README's `aws` commands against AWS's own descriptions of its operations, as botocore has them."""

import boto3
import pytest
from botocore import xform_name

from tests import deploy_guide

OF_THE_COMMAND = {"query", "output", "region"}  # the command's own, for any operation
HIGH_LEVEL = {  # not operations of a service: aws-cli user guide
    ("s3", "cp"): set[str](),
    ("cloudformation", "deploy"): {"stack-name", "template-file", "capabilities", "parameter-overrides"},
}


@pytest.mark.parametrize("words", deploy_guide.named("aws"), ids=lambda words: " ".join(words[1:4]))
def test_every_option_is_the_operations_and_none_that_it_needs_is_missing(words: list[str]) -> None:
    service, operation = words[1:3]
    given = {word.removeprefix("--") for word in words[3:] if word.startswith("--")} - OF_THE_COMMAND
    if (service, operation) in HIGH_LEVEL:
        assert given == HIGH_LEVEL[service, operation]
        return
    client = boto3.client(service, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    if operation == "wait":
        assert words[3].replace("-", "_") in client.waiter_names
        operation = "describe-instance-status" if words[3] == "instance-status-ok" else "describe-instances"
    names = {xform_name(name, "-"): name for name in client.meta.method_to_api_mapping.values()}
    shape = client.meta.service_model.operation_model(names[operation]).input_shape
    known = {xform_name(member, "-") for member in shape.members}
    needed = {xform_name(member, "-") for member in shape.required_members} - {"min-count", "max-count"}
    assert needed <= given <= known
