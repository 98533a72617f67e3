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
    stack_id, done = _begin(cloudformation, request)
    if done:
        click.echo(f"Stack {name}: on its way ...", err=True)
        _wait(cloudformation, done, name, stack_id)
    took = f"done in {time.monotonic() - started:.0f} s" if done else "as it should be"
    click.echo(f"Stack {name}: {took}", err=True)
    return outputs(aws, stage, part)


def _begin(cloudformation: Any, request: Mapping[str, Any]) -> tuple[str, str | None]:
    """Begin to create or update.

    Returns:
        The stack's id, and the name of the waiter; None instead where nothing changes.
    """
    try:
        # What can't be made is taken away again, so that the next try finds nothing in its way.
        created = cloudformation.create_stack(**request, OnFailure="DELETE")
    except cloudformation.exceptions.AlreadyExistsException:
        try:
            updated = cloudformation.update_stack(**request)
        except ClientError as error:
            if "No updates are to be performed" in str(error):
                return "", None
            raise
        return updated["StackId"], "stack_update_complete"
    return created["StackId"], "stack_create_complete"


def _wait(cloudformation: Any, until: str, name: str, stack_id: str) -> None:
    try:
        cloudformation.get_waiter(until).wait(StackName=stack_id, WaiterConfig=_WAIT)
    except WaiterError as error:
        raise OperatorError(f"The stack {name}: {_why(cloudformation, stack_id)}") from error


def _why(cloudformation: Any, stack_id: str) -> str:
    """Say what failed first; what follows is only its undoing."""
    # By its id, as a deleted stack has no name.
    events = cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]
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
    try:
        (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return
        raise
    cloudformation.delete_stack(StackName=name)
    _wait(cloudformation, "stack_delete_complete", name, found["StackId"])
    click.echo(f"Stack {name}: deleted", err=True)
