"""A stage's CloudFormation stack: its tables, and what watches over it."""

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import ClientError

from infra.aws.session import Aws
from infra.aws.stage_config import Stage
from infra.errors import OperatorError

TEMPLATE = Path(__file__).parents[1] / "stage.yaml"

_PAUSE_SECONDS = 2
_TELL_SECONDS = 15
_PATIENCE_SECONDS = 30 * 60
_UNDONE = ("UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE")
_GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")


def put(aws: Aws, stage: Stage, *, operate: bool = True) -> dict[str, str]:
    """Bring the stack to what the template says; return its outputs.

    Args:
        aws: where.
        stage: whose stack.
        operate: whether there is more than the tables.

    Raises:
        OperatorError: CloudFormation could not; the message says what failed first.
    """
    cloudformation = aws.client("cloudformation")
    parameters = {
        "Stage": stage.name,
        "Operate": "true" if operate else "false",
        "ReservationsTableName": stage.settings.reservations_table,
        "StateTableName": stage.settings.state_table,
    }
    _let_others_finish(cloudformation, stage)
    stack = _find(cloudformation, stage.stack)
    if stack and stack["StackStatus"] == "ROLLBACK_COMPLETE":
        delete(aws, stage)  # it was never made, and can't be updated
    _must_be_sound(cloudformation, stage)
    if _find(cloudformation, stage.stack) is None:
        # Protected tables could not be taken away again where something else can't be made.
        _put(cloudformation, stage, {**parameters, "DeletionProtection": "false"})
    _put(cloudformation, stage, parameters)
    return outputs(aws, stage)


def _put(cloudformation: Any, stage: Stage, parameters: Mapping[str, str]) -> None:
    token = uuid.uuid4().hex
    request = {
        "StackName": stage.stack,
        "TemplateBody": TEMPLATE.read_text(encoding="utf-8"),
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        "Tags": [
            {"Key": "service", "Value": stage.app},
            {"Key": "stage", "Value": stage.name},
        ],
        "ClientRequestToken": token,
    }
    started = time.monotonic()
    took = "as it should be"
    if stack_id := _begin(cloudformation, request):
        _see_through(cloudformation, stage, stack_id, token, _GOOD)
        took = f"done in {time.monotonic() - started:.0f} s"
    click.echo(f"Stack {stage.stack}: {took}", err=True)


def _begin(cloudformation: Any, request: Mapping[str, Any]) -> str | None:
    """Begin to create or update; return the stack's id, None where nothing changes."""
    try:
        # Rolled back, what can't be made is taken away again, tables too (RetainExceptOnCreate).
        created = cloudformation.create_stack(**request, OnFailure="ROLLBACK")
    except cloudformation.exceptions.AlreadyExistsException:
        try:
            updated = cloudformation.update_stack(**request)
        except ClientError as error:
            if "No updates are to be performed" in str(error):
                return None
            raise
        return str(updated["StackId"])
    return str(created["StackId"])


def _let_others_finish(cloudformation: Any, stage: Stage) -> None:
    """Wait for what an earlier try, or somebody else, has begun: nothing can be begun beside it."""
    stack = _find(cloudformation, stage.stack)
    if stack and _is_on_its_way(stack):
        click.echo(f"Stack {stage.stack}: is being changed already ...", err=True)
        _settle(cloudformation, stage, stack["StackId"])


def _must_be_sound(cloudformation: Any, stage: Stage) -> None:
    stack = _find(cloudformation, stage.stack)
    if stack and stack["StackStatus"] not in (*_GOOD, *_UNDONE):
        raise OperatorError(
            f"The stack {stage.stack} is {stack['StackStatus']} and can't be updated. See why in "
            "CloudFormation's console, and put it right there (continue its update rollback, or "
            "delete it: its tables stay). Then run this again."
        )


def _see_through(
    cloudformation: Any, stage: Stage, stack_id: str, token: str, good: tuple[str, ...]
) -> None:
    status = _settle(cloudformation, stage, stack_id)
    if status not in good:
        why = _why(cloudformation, stack_id, token)
        raise OperatorError(f"The stack {stage.stack} is {status}: {why}")


def _settle(cloudformation: Any, stage: Stage, stack_id: str) -> str:
    """Wait until nothing is on its way, and tell of it now and then; return the status."""
    started = told = time.monotonic()
    while _is_on_its_way(stack := _find(cloudformation, stack_id) or {"StackStatus": "gone"}):
        now = time.monotonic()
        if now - started > _PATIENCE_SECONDS:
            raise OperatorError(
                f"The stack {stage.stack} is {stack['StackStatus']} for half an hour now. See its "
                "events in CloudFormation's console, and run this again once it has ended."
            )
        if now - told > _TELL_SECONDS:
            told = now
            seconds = f"{now - started:.0f} s"
            click.echo(f"Stack {stage.stack}: {stack['StackStatus']}, {seconds} ...", err=True)
        time.sleep(_PAUSE_SECONDS)
    return str(stack["StackStatus"])


def _is_on_its_way(stack: Mapping[str, Any]) -> bool:
    status = stack["StackStatus"]
    # A review waits for somebody, for as long as it takes.
    return bool(status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS")


def _why(cloudformation: Any, stack_id: str, token: str) -> str:
    """Say what failed first of what was asked for; what follows is only its undoing."""
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id)
    events = [event for page in pages for event in page["StackEvents"]]
    for event in reversed(events):
        ours = event.get("ClientRequestToken") == token
        if ours and event["ResourceStatus"].endswith("_FAILED"):
            return f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'failed')}"
    return "see its events in CloudFormation's console."


def outputs(aws: Aws, stage: Stage) -> dict[str, str]:
    """Return the stack's outputs; empty where there is no such stack."""
    stack = _find(aws.client("cloudformation"), stage.stack) or {}
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def exists(aws: Aws, stage: Stage) -> bool:
    """Tell whether there is a stack."""
    return _find(aws.client("cloudformation"), stage.stack) is not None


def delete(aws: Aws, stage: Stage) -> None:
    """Delete the stack, if it is there; its tables stay."""
    cloudformation = aws.client("cloudformation")
    _let_others_finish(cloudformation, stage)
    if stack := _find(cloudformation, stage.stack):
        token = uuid.uuid4().hex
        cloudformation.delete_stack(StackName=stage.stack, ClientRequestToken=token)
        _see_through(cloudformation, stage, stack["StackId"], token, ("DELETE_COMPLETE", "gone"))
        click.echo(f"Stack {stage.stack}: deleted", err=True)


def _find(cloudformation: Any, name_or_id: str) -> dict[str, Any] | None:
    try:
        (stack,) = cloudformation.describe_stacks(StackName=name_or_id)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    return dict(stack)
