"""The deploy role's policy allows the operator commands' AWS calls and few other actions.

The commands run against an emulated account. Their AWS calls are recorded, including the calls that
Chalice makes. `tests/infra/deploy_role.py` lists the other allowed actions, such as those that
CloudFormation performs with the role's permissions.
"""

import json
from pathlib import Path

import pytest

from tests.deploy.conftest import ACCOUNT, REGION, STAGE
from tests.deploy.contact_center import make_worker_available
from tests.deploy.test_deploy import api_url, put_secrets
from tests.deploy.test_first_deployment import EMAIL, SPANISH
from tests.deploy.test_interruptions import BROKEN_RESOURCE
from tests.deploy.test_lost_stack import delete_stack
from tests.infra.config_file import edit_config
from tests.infra.deploy_role import (
    CLOUDFORMATION,
    NOT_RECORDED,
    UNUSED_RESOURCES,
    allowed_actions,
    is_allowed,
    unused_resources,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RECORDER = Path(__file__).with_name("recorder")

_ACTIONS = {
    # Operations whose IAM action has a different name, or that need an additional permission.
    ("s3", "ListObjectVersions"): ["s3:ListBucketVersions"],
    # Without s3:ListBucket, S3 returns 403 instead of 404 for a missing key.
    ("s3", "GetObject"): ["s3:GetObject", "s3:ListBucket"],
}

_SERVICES = {"monitoring": "cloudwatch"}

_RESOURCES = {
    "cloudformation": ("StackName", "stack/{}/id"),
    "dynamodb": ("TableName", "table/{}"),
    "events": ("Rule|Name", "rule/{}"),
    "iam": ("RoleName", "role/{}"),
    "lambda": ("FunctionName|Resource", "function:{}"),
    "logs": ("logGroupName", "log-group:{}:*"),
    "sns": ("TopicArn", "{}"),
    "ssm": ("Name", "parameter{}"),
}
"""By service: the parameters that identify a call's resource, and the last part of its ARN."""

_WITHOUT_RESOURCE = {
    "cloudformation:DescribeStackResources",
    "cloudwatch:DescribeAlarms",
    "events:ListRuleNamesByTarget",
    "lambda:GetAccountSettings",
}


def _s3_permissions(operation, parameters):
    if operation == "ListBuckets":
        return {("s3:ListAllMyBuckets", "*")}
    if operation == "DeleteObject" and "VersionId" in parameters:
        actions = ["s3:DeleteObjectVersion"]
    else:
        actions = _ACTIONS.get(("s3", operation), [f"s3:{operation}"])
    key = f"/{parameters['Key']}" if "Key" in parameters else ""
    return {
        (action, f"arn:aws:s3:::{parameters['Bucket']}{'' if 'List' in action else key}")
        for action in actions
    }


def permissions(call):
    """Return the (action, ARN) pairs that a recorded call needs."""
    service = _SERVICES.get(call["service"], call["service"])
    operation, parameters = call["operation"], call["parameters"]
    if service == "sts":
        return set()  # GetCallerIdentity needs no permission
    if service == "apigateway":
        return {(f"apigateway:{call['method']}", f"arn:aws:apigateway:{REGION}::{call['path']}")}
    if service == "s3":
        return _s3_permissions(operation, parameters)
    action = f"{service}:{operation}"
    if action in _WITHOUT_RESOURCE:
        return {(action, "*")}
    names, template = _RESOURCES[service]
    (name,) = [parameters[name] for name in names.split("|") if name in parameters]
    if name.startswith("arn:"):
        return {(action, name)}
    region = "" if service == "iam" else REGION
    pairs = {(action, f"arn:aws:{service}:{region}:{ACCOUNT}:{template.format(name)}")}
    if operation == "CreateFunction":
        pairs.add(("iam:PassRole", parameters["Role"]))
        pairs.add(("lambda:TagResource", f"arn:aws:lambda:{region}:{ACCOUNT}:function:{name}"))
    return pairs


class CallRecorder:
    """Runs commands in a checkout and records their AWS calls."""

    def __init__(self, checkout, file):
        self.checkout = checkout
        self._file = file
        self._variables = {"PYTHONPATH": str(RECORDER), "RECORDED_CALLS": str(file)}

    def run(self, *arguments, stdin="", exit_code=0):
        completed = self.checkout.run(*arguments, stdin=stdin, **self._variables)
        assert completed.returncode == exit_code, completed.stderr
        return completed.stderr

    def chalice(self, *arguments):
        completed = self.checkout.chalice(*arguments, **self._variables)
        assert completed.returncode == 0, completed.stderr

    def change(self, change):
        with edit_config(self.checkout.folder) as config:
            change(config["stages"][STAGE])

    @property
    def permissions(self):
        lines = self._file.read_text(encoding="utf-8").splitlines()
        return {pair for line in lines for pair in permissions(json.loads(line))}


@pytest.fixture
def recorder(checkout, tmp_path):
    return CallRecorder(checkout, tmp_path / "calls.jsonl")


def set_options(stage):
    """Set options that are off by default."""
    stage["access_logs"] = True
    stage["tags"]["new"] = "tag"
    stage["lambda_functions"]["api_handler"]["reserved_concurrency"] = 50


def unset_options(stage):
    stage["access_logs"] = False
    del stage["tags"]["service"]
    del stage["lambda_functions"]["api_handler"]["reserved_concurrency"]


def fail_to_create_the_stack(recorder):
    template = recorder.checkout.folder / "infra" / "stage.yaml"
    valid = template.read_text()
    template.write_text(valid.replace("Resources:\n", BROKEN_RESOURCE, 1))
    assert "Broken: " in recorder.run("prepare", "--stage", STAGE, exit_code=1)
    template.write_text(valid)


def test_policy_allows_only_recorded_and_listed_actions(aws, twilio, checkout, recorder, secrets):
    stage_option = ["--stage", STAGE]
    recorder.run("secrets", "put", *stage_option, "--stdin", stdin=secrets)
    fail_to_create_the_stack(recorder)
    recorder.run("package", *stage_option, "out")
    recorder.run("deploy", *stage_option, "--no-check")
    recorder.run("deploy", *stage_option, "--no-check")
    checkout.set(PUBLIC_BASE_URL=api_url(aws))
    role = {
        "op": "replace",
        "path": "/cloudwatchRoleArn",
        "value": f"arn:aws:iam::{ACCOUNT}:role/r",
    }
    aws.client("apigateway").update_account(patchOperations=[role])
    recorder.change(set_options)
    recorder.run("deploy", *stage_option)
    recorder.change(unset_options)
    recorder.run("prepare", *stage_option)
    recorder.chalice("deploy", *stage_option)
    recorder.run("deploy", *stage_option)
    make_worker_available(twilio)
    options = ["--yes", "--alarm-email", EMAIL, "--try", "--try-attributes", SPANISH]
    output = recorder.run("deploy", *stage_option, *options)
    assert f"AWS has sent an email to {EMAIL}." in output
    assert "(Worker Alice) arrived." in output
    recorder.run("status", *stage_option)
    recorder.run("token", *stage_option, "--role", "supervisor")
    recorder.run("logs", *stage_option)
    delete_stack(aws)
    assert "adopting the existing tables" in recorder.run("deploy", *stage_option)
    recorder.run("destroy", *stage_option, "--yes")
    put_secrets(checkout, secrets)
    recorder.run("destroy", *stage_option, "--data", "--yes")

    recorded = recorder.permissions
    assert sorted(pair for pair in recorded if not is_allowed(*pair)) == []
    needed = {action for action, _ in recorded}
    cloudformation_actions = {action for actions in CLOUDFORMATION.values() for action in actions}
    assert allowed_actions() - needed - cloudformation_actions == NOT_RECORDED.keys()
    assert unused_resources(recorded) == UNUSED_RESOURCES.keys()
