"""The two CloudFormation stacks of a stage: its tables, and what watches over it."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import ClientError, WaiterError

from infra.aws import Aws
from infra.declared import Stage
from infra.errors import OperatorError

HERE = Path(__file__).parent

TABLES = "tables"
OPERATIONS = "operations"

_WAIT = {"Delay": 2, "MaxAttempts": 450}


def put(aws: Aws, stage: Stage) -> dict[str, str]:
    """Bring both stacks to what the files say; return the outputs of both."""
    settings = stage.settings
    tables = {
        "ReservationsTableName": settings.reservations_table,
        "StateTableName": settings.state_table,
    }
    return {
        **_put(aws, stage, TABLES, tables),
        **_put(aws, stage, OPERATIONS, {**tables, "Stage": stage.name}),
    }


def _put(aws: Aws, stage: Stage, part: str, parameters: Mapping[str, str]) -> dict[str, str]:
    cloudformation = aws.client("cloudformation")
    name = stage.stack(part)
    request = {
        "StackName": name,
        "TemplateBody": (HERE / f"{part}.yaml").read_text(encoding="utf-8"),
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        "Tags": [
            {"Key": "service", "Value": stage.app},
            {"Key": "stage", "Value": stage.name},
        ],
    }
    started = time.monotonic()
    try:
        done = _begin(cloudformation, request)
        if done:
            cloudformation.get_waiter(done).wait(StackName=name, WaiterConfig=_WAIT)
    except WaiterError as error:
        raise OperatorError(f"The stack {name}: {_why(cloudformation, name)}") from error
    took = f"done in {time.monotonic() - started:.0f} s" if done else "as it should be"
    click.echo(f"Stack {name}: {took}", err=True)
    return outputs(aws, stage, part)


def _begin(cloudformation: Any, request: Mapping[str, Any]) -> str | None:
    """Begin to create or update; return the name of the waiter, None where nothing changes."""
    try:
        cloudformation.create_stack(**request)
    except cloudformation.exceptions.AlreadyExistsException:
        try:
            cloudformation.update_stack(**request)
        except ClientError as error:
            if "No updates are to be performed" in str(error):
                return None
            raise
        return "stack_update_complete"
    return "stack_create_complete"


def _why(cloudformation: Any, name: str) -> str:
    """Say what failed first; what follows is only its undoing."""
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    for event in reversed(events):
        if event["ResourceStatus"].endswith("_FAILED"):
            return f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'failed')}"
    return "it did not become complete; see its events in CloudFormation's console."


def outputs(aws: Aws, stage: Stage, part: str) -> dict[str, str]:
    """Return a stack's outputs; empty where there is no such stack."""
    try:
        answer = aws.client("cloudformation").describe_stacks(StackName=stage.stack(part))
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return {}
        raise
    found = answer["Stacks"][0].get("Outputs", [])
    return {output["OutputKey"]: output["OutputValue"] for output in found}


def delete(aws: Aws, stage: Stage, part: str) -> None:
    """Delete a stack, if it is there; what its template retains stays."""
    cloudformation = aws.client("cloudformation")
    name = stage.stack(part)
    cloudformation.delete_stack(StackName=name)
    try:
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=_WAIT)
    except WaiterError as error:
        raise OperatorError(f"The stack {name}: {_why(cloudformation, name)}") from error
    click.echo(f"Stack {name}: deleted", err=True)
