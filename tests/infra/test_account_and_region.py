"""Commands for a stage show the account and region, and refuse a wrong account or region."""

import json
from unittest import mock

import boto3
import pytest
from moto import mock_aws

from infra import OperatorError
from infra.aws import Aws, chalice_record, connect, stage_config
from infra.aws.stage_config import Stage
from tests.infra.command_line import run_infra
from tests.infra.test_commands import config  # noqa: F401  # a fixture

RESERVATION = "WR" + "1" * 32
COMMANDS = [
    ["deploy"],
    ["prepare"],
    ["package", "out"],
    ["destroy", "--yes"],
    ["status"],
    ["secrets", "put", "--stdin"],
    ["logs"],
    ["token", "--role", "supervisor"],
    ["sweep"],
    ["erase", RESERVATION, "--yes"],
    ["rules", "explain", RESERVATION],
]
ACCOUNT = "123456789012"


@pytest.fixture
def infra(config, tmp_path, monkeypatch):  # noqa: F811
    """A function that runs a command for the stage dev in an emulated account, in eu-west-1."""
    monkeypatch.setattr(stage_config, "CONFIG", config)
    record = property(lambda stage: tmp_path / f"{stage.name}.json")
    monkeypatch.setattr(Stage, "deployed_file", record)
    monkeypatch.chdir(tmp_path)
    environ = {"AWS_DEFAULT_REGION": "eu-west-1"}
    with mock_aws():
        yield lambda *arguments, **options: run_infra(
            *arguments, "--stage", "dev", **environ | options
        )


@pytest.fixture
def buckets(monkeypatch):
    """The account's buckets and their regions. moto's S3 does not list regions."""
    buckets = {}

    class S3:
        def get_paginator(self, _operation):
            return self

        def paginate(self, *, Prefix):  # noqa: N803  boto3's parameter name
            listed = [
                {"Name": name, "BucketRegion": region}
                for name, region in buckets.items()
                if name.startswith(Prefix)
            ]
            return [{"Buckets": listed[:1]}, {"Buckets": listed[1:]}, {}]

    client = Aws.client
    monkeypatch.setattr(
        Aws,
        "client",
        lambda aws, name, **options: S3() if name == "s3" else client(aws, name, **options),
    )
    return buckets


def bucket_name(stage):
    return f"taskrouter-callbacks-{stage}-deployments-2x7gqkz1"


def record_function(folder, *, account=ACCOUNT, region="eu-west-1"):
    arn = f"arn:aws:lambda:{region}:{account}:function:taskrouter-callbacks-dev"
    resources = [
        {"name": "rest_api", "resource_type": "rest_api", "rest_api_id": "api"},
        {"name": "api_handler", "resource_type": "lambda_function", "lambda_arn": arn},
    ]
    (folder / "dev.json").write_text(json.dumps({"resources": resources}))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_first_line_shows_the_account_and_the_region(infra, command, monkeypatch):
    refuse = mock.Mock(side_effect=OperatorError("Refused."))
    monkeypatch.setattr(chalice_record, "ensure_same_account_and_region", refuse)

    completed = infra(*command, stdin="{}")

    first, second = completed.stderr.splitlines()
    assert first.startswith(f"Stage dev: account {ACCOUNT}, eu-west-1")
    assert second == "Error: Refused."


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_stage_with_a_bucket_in_another_region_is_refused(infra, buckets, command):
    buckets[bucket_name("dev")] = "eu-central-1"

    completed = infra(*command, stdin="{}")

    assert completed.returncode == 1
    error = completed.stderr.splitlines()[-1]
    assert error.startswith("Error: Stage dev exists in eu-central-1. Select its region (export")
    assert boto3.client("ssm", "eu-west-1").describe_parameters()["Parameters"] == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("recorded", [{"account": "9" * 12}, {"region": "us-east-1"}])
def test_stage_recorded_in_another_account_or_region_is_refused(infra, command, recorded, tmp_path):
    record_function(tmp_path, **recorded)

    completed = infra(*command, stdin="{}")

    assert completed.returncode == 1
    location = f"account {recorded.get('account', ACCOUNT)}, {recorded.get('region', 'eu-west-1')}"
    error = completed.stderr.splitlines()[-1]
    assert error.startswith(f"Error: Stage dev is deployed in {location}, according to")
    assert "delete the file" in error


@pytest.fixture
def stage(infra):
    return stage_config.read("dev")


@pytest.fixture
def aws(infra, monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    return connect()


def test_stage_in_this_region_is_accepted_despite_stages_in_other_regions(
    aws, stage, buckets, tmp_path
):
    regions = {"dev-2": "us-west-1", "dev": "eu-west-1", "prod": "us-west-2"}
    buckets |= {bucket_name(name): region for name, region in regions.items()}
    record_function(tmp_path)

    assert chalice_record.ensure_same_account_and_region(aws, stage) is None


@pytest.mark.parametrize(
    "content",
    ['{"resour', "[]", "null", '{"resources": 1}', '{"resources": [1, {"lambda_arn": "x"}]}', ""],
)
def test_unusable_record_is_ignored(aws, stage, tmp_path, content):
    (tmp_path / "dev.json").write_text(content)

    assert chalice_record.ensure_same_account_and_region(aws, stage) is None


def test_rules_explain_shows_no_account_for_a_captured_callback(infra, tmp_path):
    (tmp_path / "callback.json").write_text("{}")

    completed = infra("rules", "explain", str(tmp_path / "callback.json"))

    assert "account" not in completed.stderr


def test_bucket_of_another_stage_does_not_hide_the_wrong_region(aws, stage, buckets):
    buckets |= {bucket_name("prod"): "eu-west-1", bucket_name("dev"): "us-west-2"}

    with pytest.raises(OperatorError, match="exists in us-west-2"):
        chalice_record.ensure_same_account_and_region(aws, stage)


@pytest.mark.parametrize("operation", ["s3.ListBuckets", "iam.GetRolePolicy"])
def test_caller_without_permission_for_the_check_is_not_refused(aws, stage, monkeypatch, operation):
    client = boto3.client(operation.split(".")[0], "eu-west-1")
    error = {"Error": {"Code": "AccessDenied", "Message": "not authorized"}}

    def deny(**_):
        raise client.exceptions.ClientError(error, operation)

    aws.session.events.register(f"before-call.{operation}", deny)

    assert chalice_record.ensure_same_account_and_region(aws, stage) is None


def test_command_for_the_local_stage_needs_no_aws_account(infra):
    completed = run_infra("token", "--role", "supervisor")

    assert (completed.returncode, completed.stderr) == (0, "")
