"""Chalice's record of what it deployed, kept in S3.

Chalice writes it into the checkout. Whoever deploys without it gets a second API with another URL,
so a laptop and a pipeline share it here.
"""

import json
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from infra.aws import Aws
from infra.declared import Stage
from infra.errors import OperatorError


def fetch(aws: Aws, stage: Stage, bucket: str) -> None:
    """Put the record into the checkout; without one in S3, what is there stays."""
    try:
        answer = aws.client("s3").get_object(Bucket=bucket, Key=_key(stage))
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            return
        raise
    stage.deployed_file.parent.mkdir(parents=True, exist_ok=True)
    stage.deployed_file.write_bytes(answer["Body"].read())


def must_not_be_lost(aws: Aws, stage: Stage) -> None:
    """Refuse to deploy without the record where there is an API already.

    Raises:
        OperatorError: Chalice would make a second API, with another URL.
    """
    if stage.deployed_file.exists():
        return
    for api_id in _apis(aws, stage):
        raise OperatorError(
            f"The API {api_id} serves stage {stage.name} already, and there is no record that "
            "Chalice made it: a second one would have another URL. If CloudFormation made it, go "
            f"on with that. If the record was lost, bring {_key(stage)} back: the bucket of the "
            "operations stack keeps versions."
        )


def _apis(aws: Aws, stage: Stage) -> Iterator[str]:
    gateway = aws.client("apigateway")
    for page in gateway.get_paginator("get_rest_apis").paginate():
        for api_id in [one["id"] for one in page.get("items", []) if one["name"] == stage.app]:
            stages = gateway.get_stages(restApiId=api_id).get("item", [])
            if stage.api_stage in [one["stageName"] for one in stages]:
                yield api_id


def keep(aws: Aws, stage: Stage, bucket: str) -> None:
    """Put the checkout's record into S3."""
    aws.client("s3").put_object(
        Bucket=bucket, Key=_key(stage), Body=stage.deployed_file.read_bytes()
    )


def _key(stage: Stage) -> str:
    return f"deployed/{stage.name}.json"


def api(stage: Stage) -> dict[str, str]:
    """Return ``rest_api_id`` and ``rest_api_url`` of what is deployed.

    Raises:
        OperatorError: nothing is.
    """
    try:
        record: Any = json.loads(stage.deployed_file.read_text(encoding="utf-8"))
        (found,) = [one for one in record["resources"] if one["resource_type"] == "rest_api"]
    except (OSError, ValueError, KeyError) as error:
        raise OperatorError(
            f"Stage {stage.name} is not deployed: python -m infra deploy --stage {stage.name}"
        ) from error
    return {"rest_api_id": found["rest_api_id"], "rest_api_url": found["rest_api_url"]}


def base_url(stage: Stage) -> str:
    """Return the address that TaskRouter is to call, without a slash at its end."""
    return stage.settings.public_base_url or api(stage)["rest_api_url"].rstrip("/")
