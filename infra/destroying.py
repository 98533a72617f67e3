"""Take a stage away; its data only where that is asked for."""

from typing import Any

import click
from botocore.exceptions import ClientError

from infra import aws, chalice, declared, deployed, stacks
from infra.aws import Aws
from infra.commands import cloud_stage_option, told
from infra.declared import Stage

_ABSENT = ("ResourceNotFoundException", "ParameterNotFound")


@click.command()
@cloud_stage_option
@click.option("--data", is_flag=True, help="The tables and the secrets too. There is no way back.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@told
def destroy(stage: str, *, data: bool, yes: bool) -> None:
    """Remove functions, API, schedule, logs, alarms and bucket; keep the tables.

    TaskRouter's callbacks fail from then on.
    """
    target, place = declared.read(stage), aws.here()
    if not yes:
        _ask(place, stage, data=data)
    bucket = stacks.outputs(place, target, stacks.OPERATIONS).get("Deployments")
    if bucket:
        deployed.fetch(place, target, bucket)
    if target.deployed_file.exists():
        chalice.run("delete", "--stage", stage)
        target.deployed_file.unlink(missing_ok=True)
    if bucket:
        _empty(place, bucket)
    stacks.delete(place, target, stacks.OPERATIONS)
    if data:
        _remove_data(place, target)
    click.echo(f"Stage {stage} is removed{'' if data else '; its tables are kept'}.")


def _ask(place: Aws, stage: str, *, data: bool) -> None:
    what = "with all its data" if data else "but for its tables"
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
    stacks.delete(place, stage, stacks.TABLES)
    for table in (stage.settings.reservations_table, stage.settings.state_table):
        _unless_absent(dynamodb.update_table, TableName=table, DeletionProtectionEnabled=False)
        _unless_absent(dynamodb.delete_table, TableName=table)
        dynamodb.get_waiter("table_not_exists").wait(TableName=table)
        click.echo(f"Table {table}: deleted", err=True)
    _unless_absent(place.client("ssm").delete_parameter, Name=stage.settings.secrets_parameter)


def _unless_absent(call: Any, **arguments: Any) -> None:
    try:
        call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] not in (
            "ResourceNotFoundException",
            "ParameterNotFound",
        ):
            raise
