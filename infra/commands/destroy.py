"""Take a stage away; its data only where that is asked for."""

from typing import Any

import click
from botocore.exceptions import ClientError

from infra.aws import chalice_cli, chalice_record, lock, session, stacks, stage_config
from infra.aws.policies import SECRETS_MANAGER
from infra.aws.session import Aws
from infra.aws.stage_config import Stage
from infra.commands.common import break_lock_option, cloud_stage_option, told

_ABSENT = ("ResourceNotFoundException", "ParameterNotFound")


@click.command()
@cloud_stage_option
@click.option("--data", is_flag=True, help="The tables and the secrets too. There is no way back.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@break_lock_option
@told
def destroy(stage: str, *, data: bool, yes: bool, break_lock: bool) -> None:
    """Remove functions, API, schedule, logs, alarms and bucket; keep tables and secrets.

    TaskRouter's callbacks fail from then on. Exit code 1: something failed; run it again once it is
    put right, it goes on with what is left.
    """
    target, place = stage_config.read(stage), session.here()
    if not yes:
        _ask(place, stage, data=data)
    with lock.held(place, target, force=break_lock):
        bucket = stacks.outputs(place, target).get("Deployments")
        if chalice_record.fetch(place, target, bucket):
            chalice_cli.run("delete", "--stage", stage)
            target.deployed_file.unlink(missing_ok=True)
        if bucket:
            _empty(place, bucket)
        if data:
            _remove_data(place, target)
        elif stacks.exists(place, target):
            stacks.put(place, target, operate=False)
    click.echo(f"Stage {stage} is removed{'' if data else '; its tables and secrets are kept'}.")


def _ask(place: Aws, stage: str, *, data: bool) -> None:
    what = "with all its data" if data else "but for its tables and secrets"
    question = f"Remove stage {stage} in account {place.account}, {place.region}, {what}?"
    if not data:
        click.confirm(question, abort=True, err=True)
    elif click.prompt(f"{question} Type the stage's name", err=True) != stage:
        raise click.Abort


def _empty(place: Aws, bucket: str) -> None:
    """Delete every version of every object; a bucket that holds one can't be deleted."""
    s3 = place.client("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for kind in ("Versions", "DeleteMarkers"):
            for one in page.get(kind, []):
                s3.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])


def _remove_data(place: Aws, stage: Stage) -> None:
    dynamodb = place.client("dynamodb")
    stacks.delete(place, stage)
    for table in (stage.settings.reservations_table, stage.settings.state_table):
        if _unless_absent(dynamodb.update_table, TableName=table, DeletionProtectionEnabled=False):
            # A table that is being updated can't be deleted.
            dynamodb.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 2})
        _unless_absent(dynamodb.delete_table, TableName=table)
        dynamodb.get_waiter("table_not_exists").wait(TableName=table, WaiterConfig={"Delay": 2})
        click.echo(f"Table {table}: deleted", err=True)
    if not stage.settings.secrets_parameter.startswith(SECRETS_MANAGER):
        _unless_absent(place.client("ssm").delete_parameter, Name=stage.settings.secrets_parameter)


def _unless_absent(call: Any, **arguments: Any) -> bool:
    """Call; return whether there was what it is about."""
    try:
        call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _ABSENT:
            raise
        return False
    return True
