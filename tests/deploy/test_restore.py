"""The runbook "Restore a table", as far as an emulator can show it."""

import re
import shlex
import subprocess

import pytest

from local.supervisor import ROOT
from tests.deploy.conftest import STAGE
from tests.deploy.test_deploy import put_secrets

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STACK = f"taskrouter-callbacks-{STAGE}"
OLD, NEW = f"{STACK}-reservations", f"{STACK}-reservations-restored"
RUNBOOK = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def parameters(**given):
    before = ("Stage", "Operate", "StateTableName")
    return [
        *({"ParameterKey": name, "UsePreviousValue": True} for name in before),
        *({"ParameterKey": name, "ParameterValue": value} for name, value in given.items()),
    ]


def without_the_table(checkout):
    """The template that the runbook's own command makes."""
    (command,) = re.findall(r"^ +(sed .* infra/stage\.yaml) >", RUNBOOK, re.MULTILINE)
    return subprocess.run(
        shlex.split(command), cwd=checkout.folder, check=True, capture_output=True, text=True
    ).stdout


def test_a_restored_table_takes_the_place_of_the_old_one(aws, checkout, secrets):
    put_secrets(checkout, secrets)
    checkout.infra("prepare", "--stage", STAGE)
    dynamodb, cloudformation = aws.client("dynamodb"), aws.client("cloudformation")
    dynamodb.put_item(TableName=OLD, Item={"reservation_sid": {"S": "WR1"}})
    dynamodb.restore_table_to_point_in_time(
        SourceTableName=OLD, TargetTableName=NEW, UseLatestRestorableTime=True
    )
    dynamodb.get_waiter("table_exists").wait(TableName=NEW)

    cloudformation.update_stack(
        StackName=STACK,
        TemplateBody=without_the_table(checkout),
        Parameters=parameters(ReservationsTableName=NEW),
    )
    cloudformation.get_waiter("stack_update_complete").wait(StackName=STACK)
    change = {"StackName": STACK, "ChangeSetName": "restored"}
    cloudformation.create_change_set(
        **change,
        ChangeSetType="IMPORT",
        TemplateBody=(checkout.folder / "infra" / "stage.yaml").read_text(),
        Parameters=parameters(ReservationsTableName=NEW),
        ResourcesToImport=[
            {
                "ResourceType": "AWS::DynamoDB::Table",
                "LogicalResourceId": "Reservations",
                "ResourceIdentifier": {"TableName": NEW},
            }
        ],
    )
    cloudformation.get_waiter("change_set_create_complete").wait(**change)
    changes = cloudformation.describe_change_set(**change)["Changes"]
    assert [one["ResourceChange"]["Action"] for one in changes] == ["Import"]
    cloudformation.execute_change_set(**change)
    cloudformation.get_waiter("stack_import_complete").wait(StackName=STACK)

    # The stack is what the files say then, and holds the new table; the old one is left alone.
    checkout.set(RESERVATIONS_TABLE=NEW)
    checkout.infra("prepare", "--stage", STAGE)
    held = cloudformation.describe_stack_resources(
        StackName=STACK, LogicalResourceId="Reservations"
    )["StackResources"]
    assert [one["PhysicalResourceId"] for one in held] == [NEW]
    assert aws.everything()["tables"] == [OLD, NEW, f"{STACK}-state"]
    record = dynamodb.get_item(TableName=NEW, Key={"reservation_sid": {"S": "WR1"}})
    assert record["Item"]
