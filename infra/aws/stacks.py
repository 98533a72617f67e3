"""A stage's CloudFormation stack: tables, monitoring and the deployment bucket."""

import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC
from typing import Any

import click
from botocore.exceptions import ClientError, WaiterError

from infra import OperatorError
from infra.aws import Aws, capacity, template
from infra.aws.stage_config import Stage

_POLL_SECONDS = 2
_PROGRESS_SECONDS = 10
_TIMEOUT_SECONDS = 30 * 60
_SUCCEEDED = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
_ROLLED_BACK = ("UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE")
_DELETED = "DELETE_COMPLETE"
_RELEASED = (_DELETED, "DELETE_SKIPPED")
"""States of a resource that its stack no longer owns. A retained table is DELETE_SKIPPED."""
_WITHOUT_RESOURCES = ("ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS")
"""States of a stack whose creation failed or has not started. Such a stack can't be updated."""


def create_or_update(aws: Aws, stage: Stage, *, tables_only: bool = False) -> dict[str, str]:
    """Create or update the stack from the template and return its outputs.

    If the stack was deleted but its tables still exist, the new stack adopts the tables.

    Args:
        aws: The account and region.
        stage: The stage that the stack belongs to.
        tables_only: Whether to omit all resources except the tables.

    Raises:
        OperatorError: The stack can't be updated, an existing table differs from the template,
            Lambda would refuse the reserved concurrency, or the change failed or took longer than
            half an hour. For a failed change, the message describes the first failure or says
            where to find it.
    """
    cloudformation = aws.client("cloudformation")
    parameters = {
        "Stage": stage.name,
        "Operate": "false" if tables_only else "true",
        "ReservationsTableName": stage.settings.reservations_table,
        "StateTableName": stage.settings.state_table,
        "CallbackPrefix": stage.settings.callback_prefixes[0],
        "AccessLogs": "true" if stage.access_logs else "false",
    }
    if not tables_only:
        concurrency = capacity.read_concurrency(aws, stage)
        parameters["ConcurrencyThreshold"] = str(capacity.alarm_threshold(concurrency))
    _wait_for_other_changes(cloudformation, stage)
    stack = _find(cloudformation, stage.stack)
    if stack and stack["StackStatus"] in _WITHOUT_RESOURCES:
        delete(aws, stage)
    _ensure_updatable(cloudformation, stage)
    if _find(cloudformation, stage.stack) is None:
        # The new tables are unprotected until all resources exist, because a rollback can't delete
        # protected tables. Adopted tables keep their protection: CloudFormation updates a table
        # only if its properties in the template change.
        creation = {**parameters, "DeletionProtection": "false"}
        if tables := retained_tables(aws, stage):
            _import_tables(cloudformation, stage, tables, creation)
        _change(cloudformation, stage, creation)
    _change(cloudformation, stage, parameters)
    return outputs(aws, stage)


def outputs(aws: Aws, stage: Stage) -> dict[str, str]:
    """Return the stack's outputs, or an empty dict if there is no stack."""
    stack = _find(aws.client("cloudformation"), stage.stack) or {}
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def exists(aws: Aws, stage: Stage) -> bool:
    """Return whether the stack exists."""
    return _find(aws.client("cloudformation"), stage.stack) is not None


def find_other_owner(aws: Aws, stage: Stage, table: str) -> str | None:
    """Return the name of another stack that owns the table, or None."""
    cloudformation = aws.client("cloudformation")
    try:
        response = cloudformation.describe_stack_resources(PhysicalResourceId=table)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    # CloudFormation returns all resources of the stack, even if the stack has been deleted.
    owners = {
        resource["StackName"]
        for resource in response["StackResources"]
        if resource.get("PhysicalResourceId") == table
        and resource["ResourceStatus"] not in _RELEASED
    }
    return next(iter(owners - {stage.stack}), None)


def regions(aws: Aws, stage: Stage) -> list[str]:
    """Return the regions in which the stage has a stack with a bucket.

    The regions are those of the stage's buckets, because S3 lists the buckets of all regions.
    Unlike a search for roles, this also finds a stage that has been prepared but not deployed.
    """
    # CloudFormation generates a bucket's name from the stack's name, the bucket's logical ID and
    # random characters.
    prefix = f"{stage.stack}-deployments-".lower()
    pages = aws.client("s3").get_paginator("list_buckets").paginate(Prefix=prefix)
    return [bucket["BucketRegion"] for page in pages for bucket in page.get("Buckets", [])]


def last_change(aws: Aws, stage: Stage) -> str | None:
    """Return the stack's status and last change time, or None if there is no stack."""
    stack = _find(aws.client("cloudformation"), stage.stack)
    if stack is None:
        return None
    changed = stack.get("LastUpdatedTime", stack["CreationTime"])
    return f"{stack['StackStatus']} at {changed.astimezone(UTC)}"


def delete(aws: Aws, stage: Stage) -> None:
    """Delete the stack if it exists; its tables are retained."""
    cloudformation = aws.client("cloudformation")
    _wait_for_other_changes(cloudformation, stage)
    if stack := _find(cloudformation, stage.stack):
        token = uuid.uuid4().hex
        cloudformation.delete_stack(StackName=stage.stack, ClientRequestToken=token)
        _wait_for_success(cloudformation, stage, stack["StackId"], token, (_DELETED,))
        click.echo(f"Stack {stage.stack}: deleted", err=True)


def retained_tables(aws: Aws, stage: Stage) -> dict[str, str]:
    """Return the names of the stage's existing tables by logical ID.

    Raises:
        OperatorError: A table's keys or indexes differ from the template.
    """
    dynamodb, tables = aws.client("dynamodb"), {}
    for logical_id, name in (
        ("Reservations", stage.settings.reservations_table),
        ("State", stage.settings.state_table),
    ):
        try:
            existing = dynamodb.describe_table(TableName=name)["Table"]
        except dynamodb.exceptions.ResourceNotFoundException:
            continue
        if keys(existing) != keys(template.read()["Resources"][logical_id]["Properties"]):
            raise OperatorError(
                f"The table {name} exists, but its keys or indexes differ from infra/stage.yaml. "
                "Choose a different table name in .chalice/config.json, or delete the table if "
                "nobody needs it."
            )
        tables[logical_id] = name
    return tables


def _import_tables(
    cloudformation: Any, stage: Stage, tables: Mapping[str, str], parameters: Mapping[str, str]
) -> None:
    """Create the stack from existing tables, which the import does not change.

    Raises:
        OperatorError: CloudFormation can't import the tables.
    """
    names = ", ".join(tables.values())
    click.echo(f"Stack {stage.stack}: adopting the existing tables {names} ...", err=True)
    token = uuid.uuid4().hex
    change = {"StackName": stage.stack, "ChangeSetName": f"adopt-{token}"}
    polling = {"Delay": _POLL_SECONDS, "MaxAttempts": _TIMEOUT_SECONDS // _POLL_SECONDS}
    cloudformation.create_change_set(
        **change,
        ChangeSetType="IMPORT",
        TemplateBody=_import_template(tables),
        Parameters=_parameter_list(parameters),
        ResourcesToImport=[
            {
                "ResourceType": "AWS::DynamoDB::Table",
                "LogicalResourceId": logical_id,
                "ResourceIdentifier": {"TableName": name},
            }
            for logical_id, name in tables.items()
        ],
    )
    try:
        created = cloudformation.get_waiter("change_set_create_complete")
        created.wait(**change, WaiterConfig=polling)
        cloudformation.execute_change_set(**change, ClientRequestToken=token)
        imported = cloudformation.get_waiter("stack_import_complete")
        imported.wait(StackName=stage.stack, WaiterConfig=polling)
    except WaiterError as error:
        reason = error.last_response.get("StatusReason")
        reason = reason or _first_failure(cloudformation, stage.stack, token)
        raise OperatorError(f"The stack {stage.stack} can't adopt {names}: {reason}") from error


def _import_template(tables: Mapping[str, str]) -> str:
    """Return the template without the parts that an import may not add.

    An import can neither create resources nor add outputs (AWS, "Import AWS resources into a
    CloudFormation stack").
    """
    resources = template.read()["Resources"]
    reduced = {**template.read(), "Resources": {name: resources[name] for name in tables}}
    del reduced["Outputs"]
    return json.dumps(reduced)


def keys(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the key schemas of a table and of its indexes by name."""
    indexes = table.get("GlobalSecondaryIndexes", [])
    return {index.get("IndexName", ""): index["KeySchema"] for index in (table, *indexes)}


def _parameter_list(parameters: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]


def _change(cloudformation: Any, stage: Stage, parameters: Mapping[str, str]) -> None:
    token = uuid.uuid4().hex
    request = {
        "StackName": stage.stack,
        "TemplateBody": template.FILE.read_text(encoding="utf-8"),
        "Parameters": _parameter_list(parameters),
        "Tags": [
            {"Key": "service", "Value": stage.app},
            {"Key": "stage", "Value": stage.name},
        ],
        "ClientRequestToken": token,
    }
    started = time.monotonic()
    result = "no changes"
    if stack_id := _start_change(cloudformation, request):
        _wait_for_success(cloudformation, stage, stack_id, token, _SUCCEEDED)
        result = f"done in {time.monotonic() - started:.0f} s"
    click.echo(f"Stack {stage.stack}: {result}", err=True)


def _start_change(cloudformation: Any, request: Mapping[str, Any]) -> str | None:
    """Start creating or updating the stack; return its ID, or None if nothing changes."""
    try:
        # A rollback deletes the created resources, including the tables (RetainExceptOnCreate).
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


def _wait_for_other_changes(cloudformation: Any, stage: Stage) -> None:
    """Wait until no change is in progress, because CloudFormation allows only one at a time."""
    stack = _find(cloudformation, stage.stack)
    if stack and _is_in_progress(stack):
        click.echo(f"Stack {stage.stack}: waiting for another change to finish ...", err=True)
        _wait(cloudformation, stage, stack["StackId"])


def _ensure_updatable(cloudformation: Any, stage: Stage) -> None:
    stack = _find(cloudformation, stage.stack)
    if stack and stack["StackStatus"] not in (*_SUCCEEDED, *_ROLLED_BACK):
        raise OperatorError(
            f"The stack {stage.stack} is {stack['StackStatus']} and can't be updated. Find the "
            "cause in the CloudFormation console and fix it there: continue the update rollback, "
            "or delete the stack. Then run this command again. Tables outlive their stack, and the "
            "next stack adopts them with their records."
        )


def _wait_for_success(
    cloudformation: Any, stage: Stage, stack_id: str, token: str, expected: tuple[str, ...]
) -> None:
    status = _wait(cloudformation, stage, stack_id)
    if status not in expected:
        failure = _first_failure(cloudformation, stack_id, token)
        raise OperatorError(f"The stack {stage.stack} is {status}: {failure}")


def _wait(cloudformation: Any, stage: Stage, stack_id: str) -> str:
    """Wait until no change is in progress, print the progress, and return the status."""
    started = reported = time.monotonic()
    while _is_in_progress(stack := _find(cloudformation, stack_id) or {"StackStatus": _DELETED}):
        now = time.monotonic()
        if now - started > _TIMEOUT_SECONDS:
            raise OperatorError(
                f"The stack {stage.stack} is still {stack['StackStatus']} after half an hour. See "
                "its events in the CloudFormation console, and run this command again once the "
                "change has ended."
            )
        if now - reported > _PROGRESS_SECONDS:
            reported = now
            seconds = f"{now - started:.0f} s"
            click.echo(f"Stack {stage.stack}: {stack['StackStatus']}, {seconds} ...", err=True)
        time.sleep(_POLL_SECONDS)
    return str(stack["StackStatus"])


def _is_in_progress(stack: Mapping[str, Any]) -> bool:
    status = stack["StackStatus"]
    # A stack in review waits indefinitely for someone to execute its change set.
    return bool(status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS")


def _first_failure(cloudformation: Any, stack_id: str, token: str) -> str:
    """Return the first failure of a request; later events belong to the rollback."""
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id)
    events = [event for page in pages for event in page["StackEvents"]]
    for event in reversed(events):
        belongs_to_request = event.get("ClientRequestToken") == token
        if belongs_to_request and event["ResourceStatus"].endswith("_FAILED"):
            return f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'failed')}"
    return "see its events in the CloudFormation console."


def _find(cloudformation: Any, name_or_id: str) -> dict[str, Any] | None:
    try:
        (stack,) = cloudformation.describe_stacks(StackName=name_or_id)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    return dict(stack)
