"""Deploy a stage: its stack, functions and API, what Chalice can't set, and a look from outside."""

import json
import sys
from pathlib import Path

import click
from botocore.exceptions import ClientError

from infra import smoke_test
from infra.aws import (
    api_settings,
    chalice_cli,
    chalice_record,
    live_resources,
    lock,
    policies,
    session,
    stacks,
    stage_config,
)
from infra.aws.session import Aws
from infra.aws.stage_config import Stage
from infra.commands import rules
from infra.commands.common import break_lock_option, cloud_stage_option, told
from infra.errors import OperatorError

_RUNTIME = "python3.13"

any_python_option = click.option(
    "--any-python",
    is_flag=True,
    help=f"Also from another Python than that of {_RUNTIME}; functions run on its version then.",
)


def prepare(place: Aws, stage: Stage) -> dict[str, str]:
    """Bring the stack to what the template says and write the policies; return the outputs."""
    must_have_secrets(place, stage)
    outputs = stacks.put(place, stage)
    policies.write(place, stage)
    return outputs


def must_have_secrets(place: Aws, stage: Stage) -> None:
    """Make sure that the functions will find their secrets; raises OperatorError."""
    name = stage.settings.secrets_parameter
    try:
        # SSM hands a secret of Secrets Manager out decrypted, or not at all.
        place.client("ssm").get_parameter(
            Name=name, WithDecryption=name.startswith(policies.SECRETS_MANAGER)
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise OperatorError(f"The parameter {name} can't be read: {error}") from error
        where = (
            "Write the secret in Secrets Manager; docs/settings.md shows its form."
            if name.startswith(policies.SECRETS_MANAGER)
            else f"Write it: python -m infra secrets put --stage {stage.name}"
        )
        raise OperatorError(f"There is no parameter {name}. {where}") from error


def _declared(name: str) -> Stage:
    stage = stage_config.read(name)
    rules.must_be_good(stage)
    return stage


def _runtime(*, any_python: bool) -> str:
    """Return what the functions will run on: Chalice takes it from this Python."""
    runtime = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if runtime != _RUNTIME and not any_python:
        raise OperatorError(
            f"The functions would run on {runtime}, as Chalice takes the runtime from the Python "
            f"that deploys; {_RUNTIME} is meant. Make the .venv with it: make clean, then make "
            f"PYTHON={_RUNTIME} deploy STAGE=... . Or say --any-python."
        )
    return runtime


@click.command()
@cloud_stage_option
@click.option("--check/--no-check", default=True, help="Look at it from outside at the end.")
@any_python_option
@break_lock_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@told
def deploy(stage: str, *, check: bool, any_python: bool, break_lock: bool, as_json: bool) -> None:
    """Bring a stage to what the files say; the first time, make it.

    Prints the URL for TaskRouter's callbacks. Exit code 1: something failed; run it again once it
    is put right, whatever was done before is found and kept.
    """
    runtime = _runtime(any_python=any_python)
    target, place = _declared(stage), session.here()
    where = f"account {place.account}, {place.region}"
    click.echo(f"Stage {stage}: {where}, functions on {runtime}", err=True)
    with lock.held(place, target, force=break_lock) as take_lock:
        live_resources.must_be_of_this_region(place, target)
        bucket = prepare(place, target)["Deployments"]
        take_lock()
        chalice_record.fetch(place, target, bucket, domain=target.domain)
        chalice_cli.run("deploy", "--stage", stage)
        api_id = chalice_record.keep(place, target, bucket)
        api_settings.apply(place, target, api_id)
    url = target.settings.public_base_url or live_resources.url(place, target, api_id)
    if check:
        smoke_test.check(url)
        click.echo(f"{url} answers as it should.", err=True)
    result = {"url": url, "assignment_callback": f"{url}/assignment_callback"}
    click.echo(json.dumps(result) if as_json else result["assignment_callback"])


@click.command("prepare")
@cloud_stage_option
@told
def prepare_command(stage: str) -> None:
    """Do what `deploy` does before the functions: the stack and the policies.

    For those who deploy the functions by CloudFormation; `package` comes next.
    """
    target = _declared(stage)
    prepare(session.here(), target)


@click.command()
@cloud_stage_option
@any_python_option
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@told
def package(stage: str, folder: Path, *, any_python: bool) -> None:
    """Write a SAM template and the functions' zip into FOLDER, for CloudFormation.

    Refuses a stage that `deploy` has made: CloudFormation can't make functions that are there.
    """
    _runtime(any_python=any_python)
    target, place = _declared(stage), session.here()
    live_resources.must_not_be_chalices(place, target)
    policies.write(place, target)
    folder.mkdir(parents=True, exist_ok=True)
    merged = folder.resolve() / "merged.json"
    merged.write_text(json.dumps(api_settings.merged_template(target)), encoding="utf-8")
    out = str(folder.resolve())
    chalice_cli.run("package", "--stage", stage, "--merge-template", str(merged), out)
    merged.unlink()
    click.echo(folder / "sam.json")
