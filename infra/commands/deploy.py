"""Commands that deploy a stage, or prepare and package it for CloudFormation."""

import json
from collections.abc import Callable
from pathlib import Path

import click
from botocore.exceptions import ClientError

from infra import OperatorError
from infra.aws import (
    Aws,
    api_settings,
    chalice_record,
    connect,
    fingerprint,
    live_resources,
    lock,
    policies,
    stacks,
    stage_config,
)
from infra.aws.stage_config import Stage
from infra.commands import break_lock_option, cloud_stage_option, report_errors
from infra.commands.rules import ensure_deployable_rules
from infra.commands.status import smoke_test


@click.command()
@cloud_stage_option
@click.option("--check/--no-check", default=True, help="Finish with a smoke test of the URL.")
@break_lock_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@report_errors
def deploy(stage_name: str, *, check: bool, break_lock: bool, as_json: bool) -> None:
    """Deploy a stage: create it, or update it to match the project's files.

    Prints the URL for TaskRouter's assignment callback, with *** instead of a secret segment. If
    neither these files nor the deployed resources have changed since the last deployment, nothing
    is deployed. Exit code 1: a step failed. Fix the cause and run the command again; resources that
    are already deployed are kept. After a failed smoke test, the next run deploys again.
    """
    runtime = chalice_record.lambda_runtime()
    stage, aws = _read_deployable(stage_name), connect()
    account = f"account {aws.account}, {aws.region}"
    click.echo(f"Stage {stage_name}: {account}, functions on {runtime}", err=True)
    with lock.acquire(aws, stage, force=break_lock) as renew_lock:
        live_resources.ensure_same_region(aws, stage)
        ensure_secrets_exist(aws, stage)
        url = _deploy_changes(aws, stage, renew_lock, check=check)
    hidden_prefix = "/***" if stage.settings.callback_prefixes[0] else ""
    result = {"url": url, "assignment_callback": f"{url}{hidden_prefix}/assignment_callback"}
    click.echo(json.dumps(result) if as_json else result["assignment_callback"])


def _deploy_changes(aws: Aws, stage: Stage, renew_lock: Callable[[], None], *, check: bool) -> str:
    """Deploy a stage unless nothing has changed, check its URL if requested, and return the URL.

    A failed smoke test removes the fingerprint, so that the next run deploys again.
    """
    computed = fingerprint.compute(stage)
    bucket = stacks.outputs(aws, stage).get("Deployments")
    api_id = chalice_record.find_api_id(aws, stage, bucket)
    if bucket and api_id and fingerprint.is_deployed(aws, stage, bucket, computed, api_id):
        click.echo("Nothing has changed.", err=True)
    else:
        bucket, api_id = _deploy_everything(aws, stage, renew_lock)
        # The fingerprint is stored first, so that it covers no change made during the smoke test.
        fingerprint.store(aws, stage, bucket, computed, api_id)
    url = stage.settings.public_base_url or live_resources.invoke_url(aws, stage, api_id)
    if check:
        try:
            smoke_test(url, stage.settings.callback_prefixes[0])
        except OperatorError:
            fingerprint.remove(aws, stage, bucket)
            raise
        click.echo(f"{url} is up: /health and the signature check passed.", err=True)
    return url


def _deploy_everything(aws: Aws, stage: Stage, renew_lock: Callable[[], None]) -> tuple[str, str]:
    """Deploy a stage; return its bucket and the ID of its API."""
    bucket = stacks.create_or_update(aws, stage)["Deployments"]
    renew_lock()
    fingerprint.remove(aws, stage, bucket)
    chalice_record.rebuild_record(aws, stage, bucket, domain=stage.domain)
    chalice_record.run_chalice("deploy", "--stage", stage.name)
    api_id = chalice_record.upload(aws, stage, bucket)
    api_settings.apply(aws, stage, api_id)
    return bucket, api_id


@click.command()
@cloud_stage_option
@report_errors
def prepare(stage_name: str) -> None:
    """Prepare a stage for `chalice deploy`, or for `package` and CloudFormation.

    Creates or updates the stack, writes the policies, and restores Chalice's record of the
    deployed functions and API. Does not change any function or API.
    """
    stage, aws = _read_deployable(stage_name), connect()
    live_resources.ensure_same_region(aws, stage)
    ensure_secrets_exist(aws, stage)
    bucket = stacks.create_or_update(aws, stage)["Deployments"]
    policies.write(stage)
    if not live_resources.find_foreign_function(aws, stage):
        chalice_record.rebuild_record(aws, stage, bucket, domain=stage.domain)
    click.echo(f"Stage {stage_name} is prepared.", err=True)


@click.command()
@cloud_stage_option
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@report_errors
def package(stage_name: str, folder: Path) -> None:
    """Write a SAM template and the functions' zip file to FOLDER, for CloudFormation.

    Refuses a stage that `deploy` created: CloudFormation can't create functions that already exist.
    """
    chalice_record.lambda_runtime()
    stage, aws = _read_deployable(stage_name), connect()
    live_resources.ensure_not_created_by_chalice(aws, stage)
    folder.mkdir(parents=True, exist_ok=True)
    merged = folder.resolve() / "merged.json"
    merged.write_text(json.dumps(api_settings.merged_template(stage)), encoding="utf-8")
    out = str(folder.resolve())
    chalice_record.run_chalice(
        "package", "--stage", stage_name, "--merge-template", str(merged), out
    )


def _read_deployable(stage_name: str) -> Stage:
    stage = stage_config.read(stage_name)
    ensure_deployable_rules(stage)
    return stage


def ensure_secrets_exist(aws: Aws, stage: Stage) -> None:
    """Check that the parameter with the secrets exists.

    Raises:
        OperatorError: The parameter does not exist or cannot be read.
    """
    name = stage.settings.secrets_parameter
    in_secrets_manager = name.startswith(policies.SECRETS_MANAGER)
    try:
        # SSM returns a Secrets Manager secret only with decryption.
        aws.client("ssm").get_parameter(Name=name, WithDecryption=in_secrets_manager)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise OperatorError(f"The parameter {name} can't be read: {error}") from error
        remedy = (
            "Create the secret in Secrets Manager; docs/settings.md shows its format."
            if in_secrets_manager
            else f"Create it: python -m infra secrets put --stage {stage.name}"
        )
        raise OperatorError(f"There is no parameter {name}. {remedy}") from error
