"""Deployment with `infra package` and CloudFormation, as in a pipeline."""

import hashlib
import json

import pytest

from tests.deploy.conftest import STAGE
from tests.deploy.contact_center import ContactCenter
from tests.deploy.test_deploy import api_url, put_secrets, token

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STACK = f"taskrouter-callbacks-{STAGE}-functions"


def upload_code(bucket, aws, folder):
    """Upload the zip file and return the template with the URL of the file.

    This does the same as `aws cloudformation package`.
    """
    code = (folder / "deployment.zip").read_bytes()
    key = hashlib.sha256(code).hexdigest()
    aws.client("s3").put_object(Bucket=bucket, Key=key, Body=code)
    template = json.loads((folder / "sam.json").read_text())
    for resource in template["Resources"].values():
        if "CodeUri" in resource["Properties"]:
            resource["Properties"]["CodeUri"] = f"s3://{bucket}/{key}"
    return json.dumps(template)


def apply(aws, template, change_type):
    """Create and execute a change set, like `aws cloudformation deploy`."""
    cloudformation = aws.client("cloudformation")
    change = {"StackName": STACK, "ChangeSetName": change_type.lower()}
    cloudformation.create_change_set(
        **change,
        ChangeSetType=change_type,
        TemplateBody=template,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    cloudformation.get_waiter("change_set_create_complete").wait(
        **change, WaiterConfig={"Delay": 1}
    )
    cloudformation.execute_change_set(**change)
    cloudformation.get_waiter(f"stack_{change_type.lower()}_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1}
    )


def release(aws, checkout, folder, change_type):
    """Package the checkout and deploy the package with CloudFormation."""
    checkout.infra("package", "--stage", STAGE, str(folder))
    # A small package keeps cold starts fast. ADR 49 explains the size of cryptography.
    assert (folder / "deployment.zip").stat().st_size < 14 * 2**20
    (bucket,) = aws.list_resources()["buckets"]
    apply(aws, upload_code(bucket, aws, folder), change_type)


def test_package_deployed_by_cloudformation_serves_requests(
    aws, checkout, twilio, secrets, tmp_path
):
    put_secrets(checkout, secrets)
    checkout.infra("prepare", "--stage", STAGE)
    release(aws, checkout, tmp_path / "first", "CREATE")
    url = api_url(aws)

    # An update keeps the URL.
    checkout.set(PUBLIC_BASE_URL=url)
    checkout.change_version("9.9.9")
    release(aws, checkout, tmp_path / "second", "UPDATE")
    assert api_url(aws) == url
    center = ContactCenter.connect(url, token(checkout), twilio)
    assert center.app.get("/health").body["version"] == "9.9.9"
    center.complete_life_cycle()

    # The status command also works for a stage created by CloudFormation.
    status = json.loads(checkout.run("status", "--stage", STAGE, "--json").stdout)
    assert (status["url"], status["answers"], status["schedule"]) == (
        url,
        "ok",
        "ENABLED",
    )

    # The two deployment methods can't be combined on one stage.
    for command in (["deploy"], ["destroy", "--yes"]):
        failed = checkout.run(*command, "--stage", STAGE)
        assert failed.returncode == 1
        assert f"taskrouter-callbacks-{STAGE} was not created by Chalice" in failed.stderr

    aws.client("cloudformation").delete_stack(StackName=STACK)
    aws.client("cloudformation").get_waiter("stack_delete_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1}
    )
    checkout.infra("destroy", "--stage", STAGE, "--data", "--yes")
    assert aws.list_resources() == {}
