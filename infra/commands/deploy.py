"""Commands that deploy a stage, or prepare and package it for CloudFormation."""

import json
import sys
from pathlib import Path

import click
from botocore.exceptions import ClientError

from infra import OperatorError
from infra.aws import (
    Aws,
    api_settings,
    chalice_record,
    connect,
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

_RUNTIME = "python3.13"

any_python_option = click.option(
    "--any-python",
    is_flag=True,
    help=f"Allow a Python version other than {_RUNTIME}. The functions then run on that version.",
)


@click.command()
@cloud_stage_option
@click.option("--check/--no-check", default=True, help="Finish with a smoke test of the URL.")
@any_python_option
@break_lock_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@report_errors
def deploy(
    stage_name: str, *, check: bool, any_python: bool, break_lock: bool, as_json: bool
) -> None:
    """Deploy a stage: create it, or update it to match the files.

    Prints the URL for TaskRouter's assignment callback. Exit code 1: a step failed. Fix the cause
    and run the command again; resources that are already deployed are kept.
    """
    runtime = _check_runtime(any_python=any_python)
    stage, aws = _read_deployable(stage_name), connect()
    account = f"account {aws.account}, {aws.region}"
    click.echo(f"Stage {stage_name}: {account}, functions on {runtime}", err=True)
    with lock.acquire(aws, stage, force=break_lock) as renew_lock:
        live_resources.ensure_same_region(aws, stage)
        bucket = _prepare(aws, stage)["Deployments"]
        renew_lock()
        chalice_record.rebuild_record(aws, stage, bucket, domain=stage.domain)
        chalice_record.run_chalice("deploy", "--stage", stage_name)
        api_id = chalice_record.upload(aws, stage, bucket)
        api_settings.apply(aws, stage, api_id)
    url = stage.settings.public_base_url or live_resources.invoke_url(aws, stage, api_id)
    if check:
        smoke_test(url)
        click.echo(f"{url} is up: /health and the signature check passed.", err=True)
    result = {"url": url, "assignment_callback": f"{url}/assignment_callback"}
    click.echo(json.dumps(result) if as_json else result["assignment_callback"])


@click.command()
@cloud_stage_option
@report_errors
def prepare(stage_name: str) -> None:
    """Create or update the stack and the policies, without the functions.

    This is the first step of a deployment with CloudFormation. The second step is `package`.
    """
    stage = _read_deployable(stage_name)
    _prepare(connect(), stage)


@click.command()
@cloud_stage_option
@any_python_option
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@report_errors
def package(stage_name: str, folder: Path, *, any_python: bool) -> None:
    """Write a SAM template and the functions' zip file to FOLDER, for CloudFormation.

    Refuses a stage that `deploy` created: CloudFormation can't create functions that already exist.
    """
    _check_runtime(any_python=any_python)
    stage, aws = _read_deployable(stage_name), connect()
    live_resources.ensure_not_created_by_chalice(aws, stage)
    policies.write(aws, stage)
    folder.mkdir(parents=True, exist_ok=True)
    merged = folder.resolve() / "merged.json"
    merged.write_text(json.dumps(api_settings.merged_template(stage)), encoding="utf-8")
    out = str(folder.resolve())
    chalice_record.run_chalice(
        "package", "--stage", stage_name, "--merge-template", str(merged), out
    )


def _check_runtime(*, any_python: bool) -> str:
    """Return the functions' runtime, which Chalice takes from the running Python.

    Raises:
        OperatorError: The runtime is not the intended runtime, and *any_python* is not set.
    """
    runtime = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if runtime != _RUNTIME and not any_python:
        raise OperatorError(
            f"The functions would run on {runtime}, because Chalice takes the runtime from the "
            f"Python that deploys. Recreate .venv with the intended version, {_RUNTIME} (make "
            f"clean, then make PYTHON={_RUNTIME} deploy STAGE=...), or pass --any-python."
        )
    return runtime


def _read_deployable(stage_name: str) -> Stage:
    stage = stage_config.read(stage_name)
    ensure_deployable_rules(stage)
    return stage


def _prepare(aws: Aws, stage: Stage) -> dict[str, str]:
    ensure_secrets_exist(aws, stage)
    outputs = stacks.create_or_update(aws, stage)
    policies.write(aws, stage)
    return outputs


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
