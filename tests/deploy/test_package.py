"""The other way: `chalice package` and CloudFormation, as a pipeline does it."""

import json

import pytest

from tests.deploy.conftest import STAGE
from tests.deploy.test_deploy import api_url, put_secrets, token
from tests.deploy.world import Centre

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STACK = f"taskrouter-callbacks-{STAGE}-functions"


def with_code_in(bucket, aws, folder):
    """What `aws cloudformation package` does: the zip to S3, and its address into the template."""
    aws.client("s3").put_object(
        Bucket=bucket, Key="package.zip", Body=(folder / "deployment.zip").read_bytes()
    )
    template = json.loads((folder / "sam.json").read_text())
    for resource in template["Resources"].values():
        if "CodeUri" in resource["Properties"]:
            resource["Properties"]["CodeUri"] = f"s3://{bucket}/package.zip"
    return json.dumps(template)


def apply(aws, template):
    """What `aws cloudformation deploy` does."""
    cloudformation = aws.client("cloudformation")
    cloudformation.create_change_set(
        StackName=STACK,
        ChangeSetName="first",
        ChangeSetType="CREATE",
        TemplateBody=template,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    cloudformation.get_waiter("change_set_create_complete").wait(
        StackName=STACK, ChangeSetName="first", WaiterConfig={"Delay": 1}
    )
    cloudformation.execute_change_set(StackName=STACK, ChangeSetName="first")
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1}
    )


def test_a_package_deployed_by_cloudformation_takes_calls(aws, checkout, twilio, secrets, tmp_path):
    put_secrets(checkout, secrets)
    checkout.infra("prepare", "--stage", STAGE)
    checkout.infra("package", "--stage", STAGE, "--any-python", str(tmp_path / "out"))
    # Under Lambda's limit by far, and small enough for a quick cold start.
    assert (tmp_path / "out" / "deployment.zip").stat().st_size < 9 * 2**20
    (bucket,) = aws.everything()["buckets"]
    apply(aws, with_code_in(bucket, aws, tmp_path / "out"))

    url = api_url(aws)
    function = f"taskrouter-callbacks-{STAGE}"
    environ = aws.client("lambda").get_function_configuration(FunctionName=function)["Environment"]
    aws.client("lambda").update_function_configuration(
        FunctionName=function,
        Environment={"Variables": environ["Variables"] | {"PUBLIC_BASE_URL": url}},
    )
    Centre.at(url, token(checkout), twilio).walk()

    # Never both ways on one stage.
    with pytest.raises(AssertionError, match="there is no record that Chalice made it"):
        checkout.infra("deploy", "--stage", STAGE)

    aws.client("cloudformation").delete_stack(StackName=STACK)
    aws.client("cloudformation").get_waiter("stack_delete_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1}
    )
    checkout.infra("destroy", "--stage", STAGE, "--data", "--yes")
    assert aws.everything() == {}
