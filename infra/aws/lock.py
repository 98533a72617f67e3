"""One deployment or removal of a stage at a time: an item in the stage's state table says whose.

It lapses by itself, so that one that was killed does not lock the stage for ever.
"""

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from infra.aws.session import Aws
from infra.aws.stage_config import Stage
from infra.errors import OperatorError

ID = "deploying"

_LEASE_SECONDS = 30 * 60
"""More than any deployment takes."""


@contextmanager
def held(aws: Aws, stage: Stage, *, force: bool) -> Iterator[Callable[[], None]]:
    """Hold the lock of a stage.

    The first time a stage is made there is no table to hold it in. CloudFormation lets nobody else
    in then; call what this yields once the table is there.

    Args:
        aws: where.
        stage: which.
        force: take it from whoever holds it.

    Yields:
        What takes the lock where that was not possible yet, and else renews it.

    Raises:
        OperatorError: somebody else holds it; the message says who, and what to do.
    """
    dynamodb, owner = aws.client("dynamodb"), uuid.uuid4().hex

    def take(*, force: bool = False) -> None:
        with suppress(dynamodb.exceptions.ResourceNotFoundException):
            _take(aws, dynamodb, stage, owner, force=force)

    take(force=force)
    try:
        yield take
    finally:
        _release(dynamodb, stage, owner)


def _take(aws: Aws, dynamodb: Any, stage: Stage, owner: str, *, force: bool) -> None:
    now = round(time.time())
    until = str(now + _LEASE_SECONDS)
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
                "since": {"N": str(now)},
                "ttl": {"N": until},
            },
            **({} if force else condition),
        )
    except dynamodb.exceptions.ConditionalCheckFailedException as error:
        raise OperatorError(_refusal(stage, error.response["Item"])) from error


def _refusal(stage: Stage, item: dict[str, Any]) -> str:
    since, until = (_clock(item[name]["N"]) for name in ("since", "ttl"))
    return (
        f"Stage {stage.name} is being deployed or removed by {item['by']['S']} since {since}. Wait "
        f"until that is done. If it was killed, its lock lapses at {until}; --break-lock does not "
        "wait for that."
    )


def _clock(epoch: str) -> str:
    return f"{datetime.fromtimestamp(int(epoch), UTC):%H:%M} UTC"


def _release(dynamodb: Any, stage: Stage, owner: str) -> None:
    gone = (
        dynamodb.exceptions.ResourceNotFoundException,  # the table was removed
        dynamodb.exceptions.ConditionalCheckFailedException,  # somebody has broken the lock
    )
    with suppress(*gone):
        dynamodb.delete_item(
            TableName=stage.settings.state_table,
            Key={"id": {"S": ID}},
            ConditionExpression="#owner = :owner",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":owner": {"S": owner}},
        )
