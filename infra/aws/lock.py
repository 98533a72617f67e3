"""The lock that allows only one command at a time to change a stage.

The lock is an item in the stage's state table. The lock expires, so a killed command does not lock
the stage forever.
"""

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from infra import OperatorError, format_duration, signals
from infra.aws import Aws, stacks
from infra.aws.stage_config import Stage

ID = "deploying"
"""Key of the lock's item in the state table."""

_LEASE_SECONDS = 30 * 60
"""Lease duration, longer than a deployment normally takes."""

_WRONG_KEY = "ValidationException"
"""DynamoDB's error code if the table's key differs from the key of a state table."""

_LIMITS = {"attempts": 3, "connect_timeout": 5, "read_timeout": 5}
"""Limits for a DynamoDB call, so that an interrupted command ends promptly even without a network.
"""


@contextmanager
def acquire(aws: Aws, stage: Stage, *, force: bool) -> Iterator[Callable[[], None]]:
    """Acquire the lock of a stage for the duration of a ``with`` block.

    The first deployment of a stage creates the state table. Until the table exists, concurrent
    deployments are prevented only by CloudFormation, which allows one change to a stack at a time.
    Call the yielded function as soon as the table exists.

    Args:
        aws: The account and region.
        stage: The stage to lock.
        force: Whether to take the lock from its current owner.

    Yields:
        A function that renews the lock, or acquires it if the table did not exist before.

    Raises:
        OperatorError: Someone else holds the lock, or the table is not a state table.
            The message identifies the owner or the table, and explains the remedy.
    """
    dynamodb = aws.client("dynamodb", **_LIMITS)
    owner, started = uuid.uuid4().hex, int(time.time())

    def renew(*, force: bool = False) -> None:
        # Defer signals, because an interrupted request could reach DynamoDB after the lock is
        # released, and lock the stage again.
        with signals.deferred(), suppress(dynamodb.exceptions.ResourceNotFoundException):
            _put(aws, dynamodb, stage, owner, started, force=force)

    try:
        renew(force=force)
        yield renew
    finally:
        _release(dynamodb, stage, owner)


def _put(aws: Aws, dynamodb: Any, stage: Stage, owner: str, started: int, *, force: bool) -> None:
    now = int(time.time())
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
        raise OperatorError(_describe_holder(stage, error.response["Item"])) from error
    except ClientError as error:
        if error.response["Error"]["Code"] == _WRONG_KEY:
            stacks.retained_tables(aws, stage)  # raises an error if the table's keys differ
        raise


def _describe_holder(stage: Stage, item: dict[str, Any]) -> str:
    age = format_duration(time.time() - int(item["since"]["N"]))
    until = datetime.fromtimestamp(int(item["ttl"]["N"]), UTC)
    return (
        f"Another command is changing stage {stage.name}: the stage's lock has been held for {age} "
        f"by {item['by']['S']}. Wait until that command finishes. If it was killed, use "
        f"--break-lock, or wait until the lock expires at {until:%H:%M} UTC."
    )


def _release(dynamodb: Any, stage: Stage, owner: str) -> None:
    """Release the lock; if that fails, print a warning and keep the result of the command."""
    table_removed = dynamodb.exceptions.ResourceNotFoundException
    # Another owner broke the lock, or this owner never held it.
    not_held = dynamodb.exceptions.ConditionalCheckFailedException
    try:
        with signals.deferred():
            dynamodb.delete_item(
                TableName=stage.settings.state_table,
                Key={"id": {"S": ID}},
                ConditionExpression="#owner = :owner",
                ExpressionAttributeNames={"#owner": "owner"},
                ExpressionAttributeValues={":owner": {"S": owner}},
            )
    except (table_removed, not_held):
        pass
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, ClientError) and error.response["Error"]["Code"] == _WRONG_KEY:
            return
        click.echo(
            f"Warning: the lock of stage {stage.name} could not be released ({error}). The "
            f"lock expires within {format_duration(_LEASE_SECONDS)}. Use --break-lock to continue "
            "without waiting.",
            err=True,
        )
