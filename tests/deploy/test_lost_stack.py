"""A stage whose stack was deleted gets a new stack with the same tables."""

import json

import pytest

from tests.deploy.conftest import STAGE
from tests.deploy.test_deploy import api_url, deploy, put_secrets
from tests.deploy.test_interruptions import BROKEN_RESOURCE
from tests.infra.config_file import edit_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STACK = f"taskrouter-callbacks-{STAGE}"
RESERVATIONS, STATE = f"{STACK}-reservations", f"{STACK}-state"
RECORD = {"reservation_sid": {"S": "WR1"}}
ITEM = {"id": {"S": "kept"}}


@pytest.fixture
def prepared_checkout(aws, checkout, secrets):
    """The checkout of a prepared stage with one item in each table."""
    put_secrets(checkout, secrets)
    checkout.infra("prepare", "--stage", STAGE)
    aws.client("dynamodb").put_item(TableName=RESERVATIONS, Item=RECORD)
    aws.client("dynamodb").put_item(TableName=STATE, Item=ITEM)
    return checkout


def delete_stack(aws):
    s3 = aws.client("s3")
    for bucket in aws.list_resources()["buckets"]:
        for version in s3.list_object_versions(Bucket=bucket).get("Versions", []):
            s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    aws.client("cloudformation").delete_stack(StackName=STACK)
    aws.client("cloudformation").get_waiter("stack_delete_complete").wait(
        StackName=STACK, WaiterConfig={"Delay": 1}
    )


def delete_table(aws, name):
    dynamodb = aws.client("dynamodb")
    dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
    dynamodb.delete_table(TableName=name)


def tables_of_stack(aws):
    resources = aws.client("cloudformation").describe_stack_resources(StackName=STACK)
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for resource in resources["StackResources"]
        if resource["ResourceType"] == "AWS::DynamoDB::Table"
    }


def is_protected(aws, table):
    described = aws.client("dynamodb").describe_table(TableName=table)["Table"]
    return str(described["DeletionProtectionEnabled"]).lower() == "true"


def table_ids(aws):
    describe = aws.client("dynamodb").describe_table
    return [describe(TableName=name)["Table"]["TableId"] for name in (RESERVATIONS, STATE)]


def test_deployment_after_the_loss_of_the_stack_keeps_the_records_and_the_url(
    aws, prepared_checkout
):
    deploy(prepared_checkout, "--no-check")
    url, tables = api_url(aws), table_ids(aws)
    delete_stack(aws)
    assert aws.list_resources()["tables"] == [RESERVATIONS, STATE]

    deploy(prepared_checkout, "--no-check")

    assert (api_url(aws), table_ids(aws)) == (url, tables)
    assert tables_of_stack(aws) == {"Reservations": RESERVATIONS, "State": STATE}
    dynamodb = aws.client("dynamodb")
    assert dynamodb.get_item(TableName=RESERVATIONS, Key=RECORD)["Item"] == RECORD
    assert dynamodb.get_item(TableName=STATE, Key=ITEM)["Item"] == ITEM
    assert is_protected(aws, RESERVATIONS)
    assert is_protected(aws, STATE)
    assert len(aws.list_resources()["alarms"]) > 5
    # `destroy --data` also deletes the adopted tables.
    prepared_checkout.infra("destroy", "--stage", STAGE, "--data", "--yes")
    assert aws.list_resources() == {}


@pytest.mark.parametrize(
    ("lost", "kept", "key"), [(RESERVATIONS, STATE, ITEM), (STATE, RESERVATIONS, RECORD)]
)
def test_lost_table_is_recreated_and_the_other_table_is_kept(
    aws, prepared_checkout, lost, kept, key
):
    delete_stack(aws)
    delete_table(aws, lost)

    prepared_checkout.infra("prepare", "--stage", STAGE)

    assert tables_of_stack(aws) == {"Reservations": RESERVATIONS, "State": STATE}
    assert aws.client("dynamodb").get_item(TableName=kept, Key=key)["Item"] == key
    assert aws.client("dynamodb").scan(TableName=lost)["Count"] == 0
    assert is_protected(aws, lost)
    assert is_protected(aws, kept)


def test_unprotected_table_is_protected_by_the_run_that_adopts_it(aws, prepared_checkout):
    delete_stack(aws)
    dynamodb = aws.client("dynamodb")
    dynamodb.update_table(TableName=STATE, DeletionProtectionEnabled=False)

    prepared_checkout.infra("prepare", "--stage", STAGE)

    assert is_protected(aws, RESERVATIONS)
    assert is_protected(aws, STATE)


@pytest.mark.parametrize("lost", [None, STATE])
def test_failed_deployment_after_an_adoption_leaves_the_kept_tables_protected(
    aws, prepared_checkout, lost
):
    delete_stack(aws)
    if lost:
        delete_table(aws, lost)
    template = prepared_checkout.folder / "infra" / "stage.yaml"
    valid = template.read_text()
    template.write_text(valid.replace("Resources:\n", BROKEN_RESOURCE, 1))

    failed = prepared_checkout.run("prepare", "--stage", STAGE)

    assert failed.returncode == 1
    assert "Broken: " in failed.stderr
    for table in {RESERVATIONS, STATE} - {lost}:
        assert is_protected(aws, table)
    template.write_text(valid)
    prepared_checkout.infra("prepare", "--stage", STAGE)
    assert is_protected(aws, RESERVATIONS)
    assert is_protected(aws, STATE)


def test_interrupted_adoption_can_be_repeated(aws, prepared_checkout):
    delete_stack(aws)
    table = {
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": "Retain",
        "Properties": {
            "TableName": STATE,
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        },
    }
    aws.client("cloudformation").create_change_set(
        StackName=STACK,
        ChangeSetName="interrupted",
        ChangeSetType="IMPORT",
        TemplateBody=json.dumps({"Resources": {"State": table}}),
        ResourcesToImport=[
            {
                "ResourceType": "AWS::DynamoDB::Table",
                "LogicalResourceId": "State",
                "ResourceIdentifier": {"TableName": STATE},
            }
        ],
    )

    prepared_checkout.infra("prepare", "--stage", STAGE)

    assert tables_of_stack(aws) == {"Reservations": RESERVATIONS, "State": STATE}


def test_table_of_another_application_is_not_adopted(aws, prepared_checkout):
    delete_stack(aws)
    key = {"AttributeName": "order", "AttributeType": "S"}
    aws.client("dynamodb").create_table(
        TableName="orders",
        AttributeDefinitions=[key],
        KeySchema=[{"AttributeName": "order", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    prepared_checkout.set(STATE_TABLE="orders")

    failed = prepared_checkout.run("prepare", "--stage", STAGE)

    assert failed.returncode == 1
    assert "The table orders exists, but its keys or indexes differ" in failed.stderr
    assert "stacks" not in aws.list_resources()


def test_table_of_another_stack_is_not_adopted(aws, prepared_checkout):
    delete_stack(aws)
    prepared_checkout.set(STATE_TABLE="shared")
    template = {
        "Resources": {
            "Shared": {
                "Type": "AWS::DynamoDB::Table",
                "Properties": {
                    "TableName": "shared",
                    "BillingMode": "PAY_PER_REQUEST",
                    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                },
            }
        }
    }
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(StackName="other", TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName="other", WaiterConfig={"Delay": 1}
    )

    failed = prepared_checkout.run("prepare", "--stage", STAGE)

    assert failed.returncode == 1
    assert f"The stack {STACK} can't adopt {RESERVATIONS}, shared: " in failed.stderr
    assert "already exists in stack" in failed.stderr
    # The next run succeeds after the mistake is corrected.
    prepared_checkout.set(STATE_TABLE=STATE)
    prepared_checkout.infra("prepare", "--stage", STAGE)


def test_removal_of_a_copied_stage_keeps_the_tables_of_the_original_stage(aws, prepared_checkout):
    with edit_config(prepared_checkout.folder) as config:
        stages = config["stages"]
        copied = json.dumps(stages.pop(STAGE)).replace(f'"{STAGE}"', '"copy"')
        stages["copy"] = json.loads(copied.replace(f"policies/{STAGE}-", "policies/copy-"))

    removed = prepared_checkout.run("destroy", "--stage", "copy", "--data", "--yes")

    assert removed.returncode == 0, removed.stderr
    for table in (RESERVATIONS, STATE):
        assert f"Table {table}: kept, because the stack {STACK} owns it\n" in removed.stderr
        assert is_protected(aws, table)
    assert aws.client("dynamodb").get_item(TableName=STATE, Key=ITEM)["Item"] == ITEM
