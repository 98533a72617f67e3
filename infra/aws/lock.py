"""The lock that allows only one deployment or removal of a stage at a time.

The lock is an item in the stage's state table. The lock expires, so a killed deployment does not
lock the stage forever.
"""

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from infra import OperatorError
from infra.aws import Aws
from infra.aws.stage_config import Stage

ID = "deploying"
"""Key of the lock's item in the state table."""

_LEASE_SECONDS = 30 * 60
"""Lease duration, longer than a deployment normally takes."""


@contextmanager
def acquire(aws: Aws, stage: Stage, *, force: bool) -> Iterator[Callable[[], None]]:
    """Acquire the lock of a stage for the duration of a ``with`` block.

    The first deployment of a stage creates the state table. Until the table exists, only
    CloudFormation prevents two concurrent deployments, because it allows only one change to a
    stack at a time. Call the yielded function once the table exists.

    Args:
        aws: The account and region.
        stage: The stage to lock.
        force: Whether to take the lock from its current owner.

    Yields:
        A function that renews the lock, or acquires it if the table did not exist before.

    Raises:
        OperatorError: Someone else holds the lock. The message names the owner and the remedy.
    """
    dynamodb, owner, started = aws.client("dynamodb"), uuid.uuid4().hex, round(time.time())

    def renew(*, force: bool = False) -> None:
        with suppress(dynamodb.exceptions.ResourceNotFoundException):
            _put(aws, dynamodb, stage, owner, started, force=force)

    renew(force=force)
    try:
        yield renew
    finally:
        _release(dynamodb, stage, owner)


def _put(aws: Aws, dynamodb: Any, stage: Stage, owner: str, started: int, *, force: bool) -> None:
    now = round(time.time())
    condition = {
        "ConditionExpression": "attribute_not_exists(id) OR #until < :now OR #owner = :owner",
        "ExpressionAttributeNames": {"#until": "ttl", "#owner": "owner"},
        "ExpressionAttributeValues": {":now": {"N": str(now)}, ":owner": {"S": owner}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    try:
        dynamodb.put_item(
            TableName=stage.settings.state_table,
            Item={
                "id": {"S": ID},
                "owner": {"S": owner},
                "by": {"S": f"{aws.identity} at {socket.gethostname()}"},
                "since": {"N": str(started)},
                "ttl": {"N": str(now + _LEASE_SECONDS)},
            },
            **({} if force else condition),
        )
    except dynamodb.exceptions.ConditionalCheckFailedException as error:
        raise OperatorError(_refusal(stage, error.response["Item"])) from error


def _refusal(stage: Stage, item: dict[str, Any]) -> str:
    since, until = (
        f"{datetime.fromtimestamp(int(item[name]['N']), UTC):%H:%M} UTC"
        for name in ("since", "ttl")
    )
    return (
        f"Stage {stage.name} is being deployed or removed by {item['by']['S']} (started at "
        f"{since}). Wait until that command finishes. If it was killed, its lock expires at "
        f"{until}. Use --break-lock to continue without waiting."
    )


def _release(dynamodb: Any, stage: Stage, owner: str) -> None:
    table_removed = dynamodb.exceptions.ResourceNotFoundException
    lock_broken = dynamodb.exceptions.ConditionalCheckFailedException  # by another owner
    with suppress(table_removed, lock_broken):
        dynamodb.delete_item(
            TableName=stage.settings.state_table,
            Key={"id": {"S": ID}},
            ConditionExpression="#owner = :owner",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":owner": {"S": owner}},
        )
