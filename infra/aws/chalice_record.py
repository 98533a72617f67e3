"""Chalice's record of what it deployed, kept in S3.

Chalice writes it into the checkout. Whoever deploys without it gets a second API with another URL,
so a laptop and a pipeline share it here. It is the last thing that Chalice writes: a deployment
that breaks off leaves none, and a removal that does leaves one of things that are gone. So all that
is recorded, or known by name, is looked for.
"""

import json
from collections.abc import Iterable
from typing import Any

from botocore.exceptions import ClientError

from infra.aws import live_resources
from infra.aws.session import Aws
from infra.aws.stage_config import Stage

_API = "rest_api"


def fetch(aws: Aws, stage: Stage, bucket: str | None, *, domain: str | None = None) -> bool:
    """Put the record of what there is into the checkout, whatever was there before.

    Args:
        aws: whose account and region.
        stage: whose record.
        bucket: where it is kept; None where there is no bucket.
        domain: that will still be wanted: Chalice deletes any other that is recorded.

    Returns:
        Whether there is anything.

    Raises:
        OperatorError: it was not Chalice that made the functions, they are in another region, or
            a domain would be deleted that others use.
    """
    live_resources.must_be_of_this_region(aws, stage)
    recorded = _recorded(aws, stage, bucket)
    there = live_resources.resources(aws, stage, recorded_api=_api_id(recorded))
    kept = [one for one in recorded if live_resources.is_there(aws, one)]
    resources = {one["name"]: one for one in (*there, *kept)}
    for one in resources.values():
        if one["resource_type"] == "domain_name" and one["domain_name"] != domain:
            live_resources.must_be_ours_alone(aws, one["domain_name"], _api_id(resources.values()))
    if resources:
        record = {"resources": [*resources.values()], "schema_version": "2.0", "backend": "api"}
        stage.deployed_file.parent.mkdir(parents=True, exist_ok=True)
        stage.deployed_file.write_text(json.dumps(record, indent=2), encoding="utf-8")
    else:
        stage.deployed_file.unlink(missing_ok=True)
    return bool(resources)


def keep(aws: Aws, stage: Stage, bucket: str) -> str:
    """Put the checkout's record into S3; return the API's id."""
    body = stage.deployed_file.read_bytes()
    aws.client("s3").put_object(Bucket=bucket, Key=_key(stage), Body=body)
    api_id = _api_id(json.loads(body)["resources"])
    assert api_id, "Chalice has deployed no API"  # noqa: S101  it has routes
    return api_id


def url(aws: Aws, stage: Stage, bucket: str | None) -> str | None:
    """Return the address that TaskRouter is to call, None where nothing is deployed.

    Whoever has deployed it: CloudFormation leaves no record.
    """
    recorded = _api_id(_recorded(aws, stage, bucket))
    api_id = live_resources.api(aws, stage, recorded=recorded)
    if api_id is None:
        return None
    return stage.settings.public_base_url or live_resources.url(aws, stage, api_id)


def _recorded(aws: Aws, stage: Stage, bucket: str | None) -> list[dict[str, Any]]:
    if bucket is None:
        return []
    try:
        answer = aws.client("s3").get_object(Bucket=bucket, Key=_key(stage))
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            return []
        raise
    resources: list[dict[str, Any]] = json.loads(answer["Body"].read())["resources"]
    return resources


def _api_id(resources: Iterable[dict[str, Any]]) -> str | None:
    return next((one["rest_api_id"] for one in resources if one["name"] == _API), None)


def _key(stage: Stage) -> str:
    return f"deployed/{stage.name}.json"
