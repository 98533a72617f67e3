"""The steps of the runbook "Restore a table" that the emulator supports."""

import re
import shlex
import subprocess

import pytest

from local.supervisor import ROOT
from tests.deploy.conftest import STAGE
from tests.deploy.test_deploy import put_secrets

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STACK = f"taskrouter-callbacks-{STAGE}"
OLD_TABLE, NEW_TABLE = f"{STACK}-reservations", f"{STACK}-reservations-restored"
RUNBOOK = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def parameters(**changes):
    unchanged = ("Stage", "Operate", "StateTableName")
    return [
        *({"ParameterKey": name, "UsePreviousValue": True} for name in unchanged),
        *({"ParameterKey": name, "ParameterValue": value} for name, value in changes.items()),
    ]


def template_without_table(checkout):
    """Return the template that the runbook's command writes."""
    (command,) = re.findall(r"^ +(sed .* infra/stage\.yaml) >", RUNBOOK, re.MULTILINE)
    return subprocess.run(
        shlex.split(command), cwd=checkout.folder, check=True, capture_output=True, text=True
    ).stdout


def test_restored_table_replaces_the_old_table(aws, checkout, secrets):
    put_secrets(checkout, secrets)
    checkout.infra("prepare", "--stage", STAGE)
    dynamodb, cloudformation = aws.client("dynamodb"), aws.client("cloudformation")
    dynamodb.put_item(TableName=OLD_TABLE, Item={"reservation_sid": {"S": "WR1"}})
    dynamodb.restore_table_to_point_in_time(
        SourceTableName=OLD_TABLE, TargetTableName=NEW_TABLE, UseLatestRestorableTime=True
    )
    dynamodb.get_waiter("table_exists").wait(TableName=NEW_TABLE)

    cloudformation.update_stack(
        StackName=STACK,
        TemplateBody=template_without_table(checkout),
        Parameters=parameters(ReservationsTableName=NEW_TABLE),
    )
    cloudformation.get_waiter("stack_update_complete").wait(StackName=STACK)
    change = {"StackName": STACK, "ChangeSetName": "restored"}
    cloudformation.create_change_set(
        **change,
        ChangeSetType="IMPORT",
        TemplateBody=(checkout.folder / "infra" / "stage.yaml").read_text(),
        Parameters=parameters(ReservationsTableName=NEW_TABLE),
        ResourcesToImport=[
            {
                "ResourceType": "AWS::DynamoDB::Table",
                "LogicalResourceId": "Reservations",
                "ResourceIdentifier": {"TableName": NEW_TABLE},
            }
        ],
    )
    cloudformation.get_waiter("change_set_create_complete").wait(**change)
    changes = cloudformation.describe_change_set(**change)["Changes"]
    assert [change["ResourceChange"]["Action"] for change in changes] == ["Import"]
    cloudformation.execute_change_set(**change)
    cloudformation.get_waiter("stack_import_complete").wait(StackName=STACK)

    # The stack matches the template and contains the new table. The old table is kept.
    checkout.set(RESERVATIONS_TABLE=NEW_TABLE)
    checkout.infra("prepare", "--stage", STAGE)
    resources = cloudformation.describe_stack_resources(
        StackName=STACK, LogicalResourceId="Reservations"
    )["StackResources"]
    assert [resource["PhysicalResourceId"] for resource in resources] == [NEW_TABLE]
    assert aws.list_resources()["tables"] == [OLD_TABLE, NEW_TABLE, f"{STACK}-state"]
    record = dynamodb.get_item(TableName=NEW_TABLE, Key={"reservation_sid": {"S": "WR1"}})
    assert record["Item"]
