"""Deploy a stage: stacks, functions and API, what Chalice can't set, and a look from outside."""

import json
import sys
from pathlib import Path

import click
from botocore.exceptions import ClientError

from infra import aws, chalice, checking, declared, deployed, permissions, stacks, tuning
from infra.aws import Aws
from infra.commands import cloud_stage_option, told
from infra.declared import Stage
from infra.errors import OperatorError

_RUNTIME = "python3.13"


def prepare(place: Aws, stage: Stage) -> dict[str, str]:
    """Bring the stacks to what the files say and write the policies; return the outputs."""
    _must_have_secrets(place, stage)
    outputs = stacks.put(place, stage)
    permissions.write(place, stage)
    return outputs


def _must_have_secrets(place: Aws, stage: Stage) -> None:
    name = stage.settings.secrets_parameter
    try:
        place.client("ssm").get_parameter(Name=name, WithDecryption=False)
    except ClientError as error:
        raise OperatorError(
            f"The parameter {name} can't be read ({error.response['Error']['Code']}). Write it: "
            f"python -m infra secrets put --stage {stage.name}"
        ) from error


@click.command()
@cloud_stage_option
@click.option("--check/--no-check", default=True, help="Look at it from outside at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@told
def deploy(stage: str, *, check: bool, as_json: bool) -> None:
    """Bring a stage to what the files say; the first time, make it.

    Prints the URL for TaskRouter's callbacks. Exit code 1: something failed; run it again once it
    is put right, whatever was done before is found and kept.
    """
    target, place = declared.read(stage), aws.here()
    runtime = f"python{sys.version_info.major}.{sys.version_info.minor}"
    where = f"account {place.account}, {place.region}"
    click.echo(f"Stage {stage}: {where}, functions on {runtime}", err=True)
    if runtime != _RUNTIME:
        click.echo(f"Chalice takes the runtime from this Python; {_RUNTIME} is meant.", err=True)
    bucket = prepare(place, target)["Deployments"]
    deployed.fetch(place, target, bucket)
    deployed.must_not_be_lost(place, target)
    chalice.run("deploy", "--stage", stage)
    deployed.keep(place, target, bucket)
    tuning.apply(place, target, deployed.api(target)["rest_api_id"])
    url = deployed.base_url(target)
    if check:
        checking.check(url)
        click.echo(f"{url} answers as it should.", err=True)
    result = {"url": url, "assignment_callback": f"{url}/assignment_callback"}
    click.echo(json.dumps(result) if as_json else result["assignment_callback"])


@click.command("prepare")
@cloud_stage_option
@told
def prepare_command(stage: str) -> None:
    """Do what `deploy` does before the functions: stacks and policies.

    For those who deploy the functions by CloudFormation; `package` comes next.
    """
    target = declared.read(stage)
    prepare(aws.here(), target)


@click.command()
@cloud_stage_option
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@told
def package(stage: str, folder: Path) -> None:
    """Write a SAM template and the functions' zip into FOLDER, for CloudFormation.

    Never for a stage that `deploy` has made: CloudFormation would make everything a second time.
    """
    target, place = declared.read(stage), aws.here()
    permissions.write(place, target)
    folder.mkdir(parents=True, exist_ok=True)
    merged = folder.resolve() / "merged.json"
    merged.write_text(json.dumps(tuning.merged_template(target)), encoding="utf-8")
    out = str(folder.resolve())
    chalice.run("package", "--stage", stage, "--merge-template", str(merged), out)
    merged.unlink()
    click.echo(folder / "sam.json")
