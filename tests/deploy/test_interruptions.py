"""Interrupted or failed deployments and removals can be repeated."""

import json

import pytest

from tests.deploy.conftest import STAGE
from tests.deploy.test_deploy import api_url, deploy, put_secrets

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NAME = f"taskrouter-callbacks-{STAGE}"


@pytest.fixture
def deployed_api_id(aws, checkout, secrets):
    """Deploy a stage and return the ID of its API."""
    put_secrets(checkout, secrets)
    deploy(checkout, "--no-check")
    return api_id(aws)


def api_id(aws):
    (api,) = aws.client("apigateway").get_rest_apis()["items"]
    return api["id"]


def delete_record(aws, checkout):
    """Delete Chalice's record in the checkout and in S3, as after an interruption."""
    (bucket,) = aws.list_resources()["buckets"]
    aws.client("s3").delete_object(Bucket=bucket, Key=f"deployed/{STAGE}.json")
    (checkout.folder / ".chalice" / "deployed" / f"{STAGE}.json").unlink(missing_ok=True)


def add_to_record(aws, entry):
    """Add a resource to Chalice's record."""
    (bucket,) = aws.list_resources()["buckets"]
    location = {"Bucket": bucket, "Key": f"deployed/{STAGE}.json"}
    record = json.loads(aws.client("s3").get_object(**location)["Body"].read())
    record["resources"].append(entry)
    aws.client("s3").put_object(**location, Body=json.dumps(record))


def test_interrupted_first_deployment_resumes_with_the_same_api(
    aws, checkout, deployed_api_id, http
):
    # The interrupted deployment created the API, but not its stage, the schedule or the record.
    delete_record(aws, checkout)
    aws.client("apigateway").delete_stage(restApiId=deployed_api_id, stageName=STAGE)
    events = aws.client("events")
    events.remove_targets(Rule=f"{NAME}-sweep-event", Ids=["1"])
    events.delete_rule(Name=f"{NAME}-sweep-event")

    checkout.set(PUBLIC_BASE_URL=api_url(aws))
    deploy(checkout)

    assert api_id(aws) == deployed_api_id
    assert aws.list_resources()["rules"] == [f"{NAME}-sweep-event"]


def test_record_of_an_unknown_api_is_ignored(aws, checkout, deployed_api_id):
    delete_record(aws, checkout)
    record = checkout.folder / ".chalice" / "deployed" / f"{STAGE}.json"
    record.write_text(
        '{"resources": [{"name": "rest_api", "resource_type": "rest_api", "rest_api_id": "other"}],'
        ' "schema_version": "2.0", "backend": "api"}'
    )

    deploy(checkout, "--no-check")

    assert api_id(aws) == deployed_api_id


def test_interrupted_removal_resumes_with_the_remaining_resources(aws, checkout, deployed_api_id):
    # A plain `chalice delete` would fail, because some recorded resources do not exist.
    domain = {"name": "api_gateway_custom_domain", "resource_type": "domain_name"}
    add_to_record(aws, {**domain, "domain_name": "calls.example.com", "api_mapping": []})
    aws.client("lambda").delete_function(FunctionName=f"{NAME}-sweep")
    aws.client("apigateway").delete_rest_api(restApiId=deployed_api_id)

    checkout.infra("destroy", "--stage", STAGE, "--yes")
    assert aws.list_resources().keys() == {"tables", "stacks", "parameters"}

    checkout.infra("destroy", "--stage", STAGE, "--data", "--yes")
    assert aws.list_resources() == {}
    # A repeated removal finds nothing and succeeds.
    checkout.infra("destroy", "--stage", STAGE, "--data", "--yes")


def test_removal_deletes_all_resources_even_if_chalices_record_is_missing(
    aws, checkout, deployed_api_id
):
    delete_record(aws, checkout)

    checkout.infra("destroy", "--stage", STAGE, "--data", "--yes")

    assert aws.list_resources() == {}


def test_redeployed_stage_keeps_its_data(aws, checkout, deployed_api_id):
    table = f"{NAME}-state"
    aws.client("dynamodb").put_item(TableName=table, Item={"id": {"S": "kept"}})
    checkout.infra("destroy", "--stage", STAGE, "--yes")

    deploy(checkout, "--no-check")

    assert aws.client("dynamodb").get_item(TableName=table, Key={"id": {"S": "kept"}})["Item"]
    assert len(aws.list_resources()["alarms"]) > 5
    assert aws.list_resources()["dashboards"] == [NAME]


def test_package_command_refuses_a_stage_created_by_chalice(checkout, deployed_api_id):
    failed = checkout.run("package", "--stage", STAGE, "out")

    assert failed.returncode == 1
    assert f"Stage {STAGE} was created by Chalice" in failed.stderr


def test_stage_lock_blocks_deployment_and_removal_until_it_is_broken(
    aws, checkout, deployed_api_id
):
    aws.client("dynamodb").put_item(
        TableName=f"{NAME}-state",
        Item={
            "id": {"S": "deploying"},
            "owner": {"S": "other-owner"},
            "by": {"S": "arn:aws:iam::000000000000:user/ann at laptop"},
            "since": {"N": "1"},
            "ttl": {"N": "9999999999"},
        },
    )

    for command in (["prepare"], ["deploy"], ["destroy", "--yes"]):
        failed = checkout.run(*command, "--stage", STAGE)
        assert failed.returncode == 1
        assert "by arn:aws:iam::000000000000:user/ann at laptop" in failed.stderr
        assert "--break-lock" in failed.stderr
    assert api_id(aws) == deployed_api_id

    checkout.infra("destroy", "--stage", STAGE, "--yes", "--break-lock")
    lock = aws.client("dynamodb").get_item(
        TableName=f"{NAME}-state", Key={"id": {"S": "deploying"}}
    )
    assert "Item" not in lock


BROKEN_RESOURCE = """Resources:
  Broken:
    Type: AWS::Logs::MetricFilter
    DependsOn: [Reservations, State]
    Properties:
      LogGroupName: missing
      FilterPattern: ""
      MetricTransformations: [{MetricNamespace: a, MetricName: b, MetricValue: "1"}]
"""


def test_failed_stack_creation_can_be_repeated_after_the_cause_is_fixed(aws, checkout, secrets):
    put_secrets(checkout, secrets)
    template = checkout.folder / "infra" / "stage.yaml"
    valid = template.read_text()
    template.write_text(valid.replace("Resources:\n", BROKEN_RESOURCE, 1))

    failed = checkout.run("prepare", "--stage", STAGE)
    assert failed.returncode == 1
    assert "Broken: " in failed.stderr
    # The rolled-back stack is empty, and no tables remain.
    assert aws.list_resources().keys() == {"parameters", "stacks"}

    template.write_text(valid)
    checkout.infra("prepare", "--stage", STAGE)
    for table in aws.list_resources()["tables"]:
        described = aws.client("dynamodb").describe_table(TableName=table)["Table"]
        assert str(described["DeletionProtectionEnabled"]).lower() == "true"
