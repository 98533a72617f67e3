"""The other way: `chalice package` and CloudFormation, as a pipeline does it."""

import hashlib
import json

import pytest

from tests.deploy.conftest import STAGE
from tests.deploy.test_deploy import api_url, put_secrets, token
from tests.deploy.world import Centre

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STACK = f"taskrouter-callbacks-{STAGE}-functions"


def with_code_in(bucket, aws, folder):
    """What `aws cloudformation package` does: the zip to S3, and its address into the template."""
    code = (folder / "deployment.zip").read_bytes()
    key = hashlib.sha256(code).hexdigest()
    aws.client("s3").put_object(Bucket=bucket, Key=key, Body=code)
    template = json.loads((folder / "sam.json").read_text())
    for resource in template["Resources"].values():
        if "CodeUri" in resource["Properties"]:
            resource["Properties"]["CodeUri"] = f"s3://{bucket}/{key}"
    return json.dumps(template)


def apply(aws, template, kind):
    """What `aws cloudformation deploy` does."""
    cloudformation = aws.client("cloudformation")
    change = {"StackName": STACK, "ChangeSetName": kind.lower()}
    cloudformation.create_change_set(
        **change,
        ChangeSetType=kind,
        TemplateBody=template,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    cloudformation.get_waiter("change_set_create_complete").wait(
        **change, WaiterConfig={"Delay": 1}
    )
    cloudformation.execute_change_set(**change)
    cloudformation.get_waiter(f"stack_{kind.lower()}_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1}
    )


def release(aws, checkout, folder, kind):
    """Package the checkout and have CloudFormation bring the functions to it."""
    checkout.infra("package", "--stage", STAGE, "--any-python", str(folder))
    # Under Lambda's limit by far, and small enough for a quick cold start.
    assert (folder / "deployment.zip").stat().st_size < 9 * 2**20
    (bucket,) = aws.everything()["buckets"]
    apply(aws, with_code_in(bucket, aws, folder), kind)


def test_a_package_deployed_by_cloudformation_takes_calls(aws, checkout, twilio, secrets, tmp_path):
    put_secrets(checkout, secrets)
    checkout.infra("prepare", "--stage", STAGE)
    release(aws, checkout, tmp_path / "first", "CREATE")
    url = api_url(aws)

    # Another version: the same address serves it.
    checkout.set(PUBLIC_BASE_URL=url)
    checkout.become_version("9.9.9")
    release(aws, checkout, tmp_path / "second", "UPDATE")
    assert api_url(aws) == url
    centre = Centre.at(url, token(checkout), twilio)
    assert centre.app.get("/health").body["version"] == "9.9.9"
    centre.walk()

    # The operator's commands see a stage, whoever made it.
    status = json.loads(checkout.run("status", "--stage", STAGE, "--json").stdout)
    assert (status["url"], status["answers"], status["schedule"]) == (
        url,
        "as it should",
        "ENABLED",
    )

    # Never both ways on one stage.
    for command in (["deploy", "--any-python"], ["destroy", "--yes"]):
        refused = checkout.run(*command, "--stage", STAGE)
        assert refused.returncode == 1
        assert f"taskrouter-callbacks-{STAGE} was not made by Chalice" in refused.stderr

    aws.client("cloudformation").delete_stack(StackName=STACK)
    aws.client("cloudformation").get_waiter("stack_delete_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1}
    )
    checkout.infra("destroy", "--stage", STAGE, "--data", "--yes")
    assert aws.everything() == {}
