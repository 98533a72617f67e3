"""Runs Chalice, and stores its record of deployed resources in S3.

Chalice writes the record to the checkout. A deployment without the record creates a second API with
a different URL, so developers and CI pipelines share the record through S3. Chalice writes the
record last: an interrupted deployment leaves unrecorded resources, and an interrupted removal
leaves a record of deleted resources. Therefore, `rebuild_record` looks up every recorded resource,
and every resource with a known name, in AWS.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError
from chalice.config import Config

from chalicelib.config import PROJECT
from infra import OperatorError
from infra.aws import Aws, live_resources, stacks
from infra.aws.stage_config import Stage

_CHALICE = """
from infra import signals

signals.exit_immediately()
signals.exit_with_parent({pipe})

from chalice.cli import main
from infra.aws import api_quotas

api_quotas.wait_for_quotas_in_all_sessions()
raise SystemExit(main())
"""


def run_chalice(*arguments: str) -> None:
    """Run ``chalice`` in the checkout, with its output on standard error.

    If this process ends or is killed, the command ends too.

    Raises:
        OperatorError: The command failed.
    """
    read_end, write_end = os.pipe()
    try:
        completed = subprocess.run(  # noqa: S603  # this interpreter, with trusted arguments
            [sys.executable, "-c", _CHALICE.format(pipe=read_end), *arguments],
            cwd=PROJECT,
            # One of Chalice's libraries queries the terminal. A later prompt would read the
            # terminal's replies as its answer.
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            pass_fds=[read_end],
            check=False,
        )
    finally:
        os.close(read_end)
        os.close(write_end)
    if completed.returncode:
        raise OperatorError(f"chalice {' '.join(arguments)} failed. See its output above.")


def lambda_runtime() -> str:
    """Return the functions' runtime, which Chalice derives from the running Python version.

    Raises:
        OperatorError: Chalice supports no Lambda runtime for the running Python version.
    """
    running = f"python{sys.version_info.major}.{sys.version_info.minor}"
    nearest = Config().lambda_python_version
    if running != nearest:
        raise OperatorError(
            "Chalice derives the functions' runtime from the running Python version, but does not "
            f"support the Lambda runtime {running}. To create .venv with a supported version, run: "
            f"make clean && make PYTHON={nearest} setup"
        )
    return running


def rebuild_record(
    aws: Aws, stage: Stage, bucket: str | None, *, domain: str | None = None
) -> bool:
    """Rebuild the checkout's record from the resources that exist in AWS.

    Resources in the S3 record that no longer exist are omitted.

    Args:
        aws: The account and region.
        stage: The stage whose record is rebuilt.
        bucket: The bucket that contains the record; None if the stage has no bucket.
        domain: The custom domain to keep. Chalice deletes all other recorded domains.

    Returns:
        Whether any resource exists.

    Raises:
        OperatorError: The functions were not created by Chalice or are in another region, several
            APIs serve the stage, or Chalice would delete a domain that other APIs use.
    """
    live_resources.ensure_same_region(aws, stage)
    recorded = _recorded_in_s3(aws, stage, bucket)
    live = live_resources.list_resources(aws, stage, recorded_api_id=_api_id(recorded))
    existing = [resource for resource in recorded if live_resources.exists(aws, resource)]
    resources = {resource["name"]: resource for resource in (*live, *existing)}
    for resource in resources.values():
        if resource["resource_type"] == "domain_name" and resource["domain_name"] != domain:
            live_resources.ensure_domain_not_shared(
                aws, resource["domain_name"], _api_id(resources.values())
            )
    if resources:
        record = {"resources": [*resources.values()], "schema_version": "2.0", "backend": "api"}
        stage.deployed_file.parent.mkdir(parents=True, exist_ok=True)
        stage.deployed_file.write_text(json.dumps(record, indent=2), encoding="utf-8")
    else:
        stage.deployed_file.unlink(missing_ok=True)
    return bool(resources)


def ensure_same_account_and_region(aws: Aws, stage: Stage) -> None:
    """Check that the stage does not exist in another account or region.

    If the caller is not allowed to list buckets or read roles, the check may be limited to the
    checkout's record.

    Raises:
        OperatorError: The checkout's record, the bucket or a role of the stage belongs to another
            account or region.
    """
    for resource in _recorded_in_checkout(stage):
        # arn:PARTITION:lambda:REGION:ACCOUNT:function:NAME
        region, account = [*str(resource.get("lambda_arn")).split(":"), *[""] * 5][3:5]
        if account and (account, region) != (aws.account, aws.region):
            raise OperatorError(
                f"Stage {stage.name} is deployed in account {account}, {region}, according to "
                f".chalice/deployed/{stage.deployed_file.name}. Select that account and region. If "
                "the stage no longer exists there, delete the file."
            )
    try:
        regions = stacks.regions(aws, stage)
        if regions and aws.region not in regions:
            raise OperatorError(
                f"Stage {stage.name} exists in {', '.join(regions)}. Select its region (export "
                f"AWS_DEFAULT_REGION={regions[0]}), or deploy a stage with a different "
                f"name to {aws.region}."
            )
        live_resources.ensure_same_region(aws, stage)
    except ClientError as error:
        if not error.response["Error"]["Code"].startswith("AccessDenied"):
            raise


def ensure_current(aws: Aws, stage: Stage) -> None:
    """Check that the checkout's record contains the API that exists in AWS.

    Raises:
        OperatorError: Chalice would create a second API, with a different URL.
    """
    recorded_id = _api_id(_recorded_in_checkout(stage))
    live_id = live_resources.find_api_id(aws, stage, recorded_id=recorded_id)
    if live_id not in (None, recorded_id):
        raise OperatorError(
            f".chalice/deployed/{stage.deployed_file.name} does not record the API {live_id} of "
            f"stage {stage.name}, so Chalice would create a second API with a different URL. "
            f"Run: python -m infra prepare --stage {stage.name}"
        )


def upload(aws: Aws, stage: Stage, bucket: str) -> str:
    """Upload the checkout's record to S3 and return the API's ID."""
    body = stage.deployed_file.read_bytes()
    aws.client("s3").put_object(Bucket=bucket, Key=_key(stage), Body=body)
    api_id = _api_id(json.loads(body)["resources"])
    assert api_id, "Chalice deployed no API"  # noqa: S101  # the app has routes
    return api_id


def public_url(aws: Aws, stage: Stage, bucket: str | None) -> str | None:
    """Return the base URL for TaskRouter's callbacks, or None if no API is deployed.

    An API that CloudFormation deployed is also found, although it has no record.
    """
    api_id = find_api_id(aws, stage, bucket)
    if api_id is None:
        return None
    return stage.settings.public_base_url or live_resources.invoke_url(aws, stage, api_id)


def find_api_id(aws: Aws, stage: Stage, bucket: str | None) -> str | None:
    """Return the ID of the stage's API, or None if there is no API.

    The account is searched unless the record in S3 contains the ID of an existing API.
    """
    recorded_id = _api_id(_recorded_in_s3(aws, stage, bucket))
    return live_resources.find_api_id(aws, stage, recorded_id=recorded_id)


def _recorded_in_s3(aws: Aws, stage: Stage, bucket: str | None) -> list[dict[str, Any]]:
    if bucket is None:
        return []
    try:
        response = aws.client("s3").get_object(Bucket=bucket, Key=_key(stage))
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            return []
        raise
    resources: list[dict[str, Any]] = json.loads(response["Body"].read())["resources"]
    return resources


def _recorded_in_checkout(stage: Stage) -> list[dict[str, Any]]:
    # Ignore an incomplete file. An interrupted command may leave such a file, which the next
    # command rebuilds.
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        resources = json.loads(stage.deployed_file.read_bytes())["resources"]
        return [resource for resource in resources if isinstance(resource, dict)]
    return []


def _api_id(resources: Iterable[dict[str, Any]]) -> str | None:
    apis = (resource for resource in resources if resource.get("name") == "rest_api")
    return next((api.get("rest_api_id") for api in apis), None)


def _key(stage: Stage) -> str:
    return f"deployed/{stage.name}.json"
