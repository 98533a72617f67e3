"""A deployment or a removal that broke off half-way is taken up again, and leaves nothing over."""

import json

import pytest

from tests.deploy.conftest import STAGE
from tests.deploy.test_deploy import api_url, deploy, put_secrets

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NAME = f"taskrouter-callbacks-{STAGE}"


@pytest.fixture
def deployed(aws, checkout, secrets):
    """A deployed stage; the id of its API."""
    put_secrets(checkout, secrets)
    deploy(checkout, "--no-check")
    return api_id(aws)


def api_id(aws):
    (api,) = aws.client("apigateway").get_rest_apis()["items"]
    return api["id"]


def forget(aws, checkout):
    """What Chalice leaves where it breaks off: no record, here or in S3."""
    (bucket,) = aws.everything()["buckets"]
    aws.client("s3").delete_object(Bucket=bucket, Key=f"deployed/{STAGE}.json")
    (checkout.folder / ".chalice" / "deployed" / f"{STAGE}.json").unlink(missing_ok=True)


def remember(aws, entry):
    """Add something to what Chalice has recorded."""
    (bucket,) = aws.everything()["buckets"]
    where = {"Bucket": bucket, "Key": f"deployed/{STAGE}.json"}
    record = json.loads(aws.client("s3").get_object(**where)["Body"].read())
    record["resources"].append(entry)
    aws.client("s3").put_object(**where, Body=json.dumps(record))


def test_a_first_deployment_that_broke_off_goes_on_with_the_same_api(aws, checkout, deployed, http):
    # The API was made, but no stage of it; nor the schedule; and nothing was recorded.
    forget(aws, checkout)
    aws.client("apigateway").delete_stage(restApiId=deployed, stageName=STAGE)
    events = aws.client("events")
    events.remove_targets(Rule=f"{NAME}-sweep-event", Ids=["1"])
    events.delete_rule(Name=f"{NAME}-sweep-event")

    checkout.set(PUBLIC_BASE_URL=api_url(aws))
    deploy(checkout)

    assert api_id(aws) == deployed
    assert aws.everything()["rules"] == [f"{NAME}-sweep-event"]


def test_a_record_of_another_account_is_not_taken_for_this_ones(aws, checkout, deployed):
    forget(aws, checkout)
    record = checkout.folder / ".chalice" / "deployed" / f"{STAGE}.json"
    record.write_text(
        '{"resources": [{"name": "rest_api", "resource_type": "rest_api", "rest_api_id": "other"}],'
        ' "schema_version": "2.0", "backend": "api"}'
    )

    deploy(checkout, "--no-check")

    assert api_id(aws) == deployed


def test_a_removal_that_broke_off_goes_on_with_what_is_left(aws, checkout, deployed):
    # Half of it is gone already; Chalice itself would stumble over that.
    domain = {"name": "api_gateway_custom_domain", "resource_type": "domain_name"}
    remember(aws, {**domain, "domain_name": "calls.example.com", "api_mapping": []})
    aws.client("lambda").delete_function(FunctionName=f"{NAME}-sweep")
    aws.client("apigateway").delete_rest_api(restApiId=deployed)

    checkout.infra("destroy", "--stage", STAGE, "--yes")
    assert aws.everything().keys() == {"tables", "stacks", "parameters"}

    checkout.infra("destroy", "--stage", STAGE, "--data", "--yes")
    assert aws.everything() == {}
    # Once more finds nothing, and says nothing of an error.
    checkout.infra("destroy", "--stage", STAGE, "--data", "--yes")


def test_a_removal_without_its_record_leaves_nothing_over(aws, checkout, deployed):
    forget(aws, checkout)

    checkout.infra("destroy", "--stage", STAGE, "--data", "--yes")

    assert aws.everything() == {}


def test_a_stage_without_its_rest_is_made_again_over_its_data(aws, checkout, deployed):
    table = f"{NAME}-state"
    aws.client("dynamodb").put_item(TableName=table, Item={"id": {"S": "kept"}})
    checkout.infra("destroy", "--stage", STAGE, "--yes")

    deploy(checkout, "--no-check")

    assert aws.client("dynamodb").get_item(TableName=table, Key={"id": {"S": "kept"}})["Item"]
    assert len(aws.everything()["alarms"]) > 5
    assert aws.everything()["dashboards"] == [NAME]


def test_a_stage_that_chalice_made_is_not_packaged(checkout, deployed):
    refused = checkout.run("package", "--stage", STAGE, "--any-python", "out")

    assert refused.returncode == 1
    assert f"Stage {STAGE} was made by Chalice" in refused.stderr


def test_two_deployments_at_once_are_one_and_a_refusal(aws, checkout, deployed):
    aws.client("dynamodb").put_item(
        TableName=f"{NAME}-state",
        Item={
            "id": {"S": "deploying"},
            "owner": {"S": "another"},
            "by": {"S": "arn:aws:iam::000000000000:user/ann at laptop"},
            "since": {"N": "1"},
            "ttl": {"N": "9999999999"},
        },
    )

    for command in (["deploy", "--any-python"], ["destroy", "--yes"]):
        refused = checkout.run(*command, "--stage", STAGE)
        assert refused.returncode == 1
        assert (
            "is being deployed or removed by arn:aws:iam::000000000000:user/ann" in refused.stderr
        )
        assert "--break-lock" in refused.stderr
    assert api_id(aws) == deployed

    checkout.infra("destroy", "--stage", STAGE, "--yes", "--break-lock")
    lock = aws.client("dynamodb").get_item(
        TableName=f"{NAME}-state", Key={"id": {"S": "deploying"}}
    )
    assert "Item" not in lock


BROKEN = """Resources:
  Broken:
    Type: AWS::Logs::MetricFilter
    DependsOn: [Reservations, State]
    Properties:
      LogGroupName: nowhere
      FilterPattern: ""
      MetricTransformations: [{MetricNamespace: a, MetricName: b, MetricValue: "1"}]
"""


def test_a_stack_that_could_not_be_made_is_no_obstacle_once_the_cause_is_gone(
    aws, checkout, secrets
):
    put_secrets(checkout, secrets)
    template = checkout.folder / "infra" / "stage.yaml"
    sound = template.read_text()
    template.write_text(sound.replace("Resources:\n", BROKEN, 1))

    refused = checkout.run("prepare", "--stage", STAGE)
    assert refused.returncode == 1
    assert "Broken: " in refused.stderr
    # What was rolled back holds nothing, and no tables are left in the way.
    assert aws.everything().keys() == {"parameters", "stacks"}

    template.write_text(sound)
    checkout.infra("prepare", "--stage", STAGE)
    for table in aws.everything()["tables"]:
        described = aws.client("dynamodb").describe_table(TableName=table)["Table"]
        assert str(described["DeletionProtectionEnabled"]).lower() == "true"
