"""Command that removes a stage, optionally with its data."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import click
from botocore.exceptions import ClientError

from infra import OperatorError
from infra.aws import Aws, chalice_record, lock, shared_names, stacks, stage_config
from infra.aws.policies import SECRETS_MANAGER
from infra.aws.stage_config import Stage
from infra.commands import (
    break_lock_option,
    cloud_stage_option,
    connect_to_stage,
    describe_undeployed,
    report_errors,
)
from infra.commands.dialog import ask, confirm

_NOT_FOUND = ("ResourceNotFoundException", "ParameterNotFound")


@dataclass(frozen=True)
class _Item:
    """A table or the parameter of a stage.

    Attributes:
        label: The kind and the name.
        reason_to_skip: Why the item is not deleted; empty if it is deleted.
        delete: Deletes the item.
    """

    label: str
    reason_to_skip: str
    delete: Callable[[], object]


@click.command()
@cloud_stage_option
@click.option(
    "--data", is_flag=True, help="Also remove the tables and the SSM secrets, irreversibly."
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@break_lock_option
@report_errors
def destroy(stage_name: str, *, data: bool, yes: bool, break_lock: bool) -> None:
    """Remove the functions, API, schedule, logs, alarms and bucket of a stage.

    Tables and secrets are kept unless --data is given. A table that the stack of another stage
    owns, a parameter that another stage uses, and a Secrets Manager secret are always kept.
    TaskRouter's callbacks fail as soon as the API is removed. The next deployment creates an API
    with a different URL.

    Exit code 1: a step failed. Fix the cause and run the command again; it continues with the
    remaining resources.
    """
    try:
        stage = stage_config.read(stage_name, allow_empty_sids=True)
    except stage_config.UndeclaredStage as error:
        raise OperatorError(
            f"{error} To remove a stage that is deployed but no longer in .chalice/config.json, "
            "restore its entry in the file, for example from Git, and run this command again."
        ) from error
    aws = connect_to_stage(stage)
    items = [*_find_tables(aws, stage), _find_parameter(aws, stage)] if data else []
    if not yes:
        click.echo(_describe_next_deployment(stage), err=True)
        _confirm(aws, stage_name, items)
    with lock.acquire(aws, stage, force=break_lock):
        bucket, has_stack = stacks.outputs(aws, stage).get("Deployments"), stacks.exists(aws, stage)
        is_deployed = chalice_record.rebuild_record(aws, stage, bucket)
        if is_deployed:
            chalice_record.run_chalice("delete", "--stage", stage_name)
            stage.deployed_file.unlink(missing_ok=True)
        if bucket:
            _empty_bucket(aws, bucket)
        if data:
            stacks.delete(aws, stage)
            _delete(items)
        elif has_stack:
            stacks.create_or_update(aws, stage, tables_only=True)
    if is_deployed or has_stack or any(not item.reason_to_skip for item in items):
        note = "" if data else "; its tables and secrets were kept"
        click.echo(f"Stage {stage_name} has been removed{note}. {_describe_next_deployment(stage)}")
    else:
        click.echo(f"{describe_undeployed(aws, stage)} Nothing was removed.")


def _describe_next_deployment(stage: Stage) -> str:
    """Explain that the API's URL will change, and that the alarms lose their subscribers."""
    url = stage.settings.public_base_url
    remedy = (
        f"Afterward, point {url} to that API."
        if url
        else "That deployment offers to change the callback URLs in Twilio."
    )
    return (
        f"The next deployment creates an API with a different URL. {remedy} The subscriptions to "
        "the alarms are removed with their topic. To subscribe again, deploy with --alarm-email."
    )


def _confirm(aws: Aws, stage_name: str, items: Sequence[_Item]) -> None:
    scope = "with the data listed above" if items else "except its tables and secrets"
    question = f"Remove stage {stage_name} in account {aws.account}, {aws.region}, {scope}?"
    for item in items:
        click.echo(
            f"{item.label}: {item.reason_to_skip or 'will be deleted irreversibly'}", err=True
        )
    if not items and not confirm(question):
        raise click.ClickException("Not confirmed. Nothing was removed.")
    if items and ask(f"{question} Type the stage's name") != stage_name:
        raise click.ClickException(f"The name is not {stage_name}. Nothing was removed.")


def _empty_bucket(aws: Aws, bucket: str) -> None:
    """Delete all versions of all objects, because only an empty bucket can be deleted."""
    s3 = aws.client("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for version in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
            s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])


def _find_tables(aws: Aws, stage: Stage) -> Iterator[_Item]:
    """Yield the stage's tables.

    A table that another stack owns is kept, because a stage in another checkout may use it.
    """
    for table in (stage.settings.reservations_table, stage.settings.state_table):
        owner = stacks.find_other_owner(aws, stage, table)
        reason = f"kept, because the stack {owner} owns it" if owner else ""
        if not _call_if_exists(aws.client("dynamodb").describe_table, TableName=table):
            reason = "does not exist"
        yield _Item(f"Table {table}", reason, partial(_delete_table, aws, table))


def _find_parameter(aws: Aws, stage: Stage) -> _Item:
    name, reason = stage.settings.secrets_parameter, ""
    other_stages = shared_names.stages_with_parameter(stage_config.project(), stage.name, name)
    if name.startswith(SECRETS_MANAGER):
        reason = "kept, because it is a secret in Secrets Manager"
    elif other_stages:
        reason = f"kept, because stage {other_stages[0]} uses it"
    elif not _call_if_exists(aws.client("ssm").get_parameter, Name=name):
        reason = "does not exist"
    delete = partial(_call_if_exists, aws.client("ssm").delete_parameter, Name=name)
    return _Item(f"Parameter {name}", reason, delete)


def _delete(items: Sequence[_Item]) -> None:
    for item in items:
        if not item.reason_to_skip:
            item.delete()
        click.echo(f"{item.label}: {item.reason_to_skip or 'deleted'}", err=True)


def _delete_table(aws: Aws, table: str) -> None:
    dynamodb = aws.client("dynamodb")
    if _call_if_exists(dynamodb.update_table, TableName=table, DeletionProtectionEnabled=False):
        # DynamoDB refuses to delete a table while it is being updated.
        dynamodb.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 2})
    _call_if_exists(dynamodb.delete_table, TableName=table)
    dynamodb.get_waiter("table_not_exists").wait(TableName=table, WaiterConfig={"Delay": 2})


def _call_if_exists(call: Callable[..., Any], **arguments: Any) -> bool:
    """Make a call and return whether the resource exists."""
    try:
        call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _NOT_FOUND:
            raise
        return False
    return True
