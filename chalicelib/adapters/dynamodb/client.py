"""Shared DynamoDB code: the client, value conversion, batch reads and UpdateItem."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.domain.errors import StoreUnavailable
from chalicelib.domain.json_text import replace_lone_surrogates
from chalicelib.domain.messages import describe_connection_failure
from chalicelib.domain.reservations import (
    ACHIEVED,
    Claim,
    HistoryEntry,
    Reservation,
    SentInstruction,
    Status,
)

_RETRY_PAUSE_SECONDS = 0.05
"""Longest pause before the only retry in botocore's legacy retry mode."""

_MAX_KEYS_PER_BATCH = 100
"""Maximum number of keys per BatchGetItem request."""

_MAX_BATCH_ATTEMPTS = 5
"""Maximum number of BatchGetItem requests for a batch if DynamoDB leaves keys unprocessed."""

_NAME = re.compile(r"#(\w+)")


class _Serializer(TypeSerializer):  # type: ignore[misc]  # boto3 has no types
    """Writes each lone surrogate as U+FFFD.

    JSON from Twilio or a token may contain lone surrogates, but DynamoDB accepts only UTF-8.
    """

    _serialize_s = staticmethod(replace_lone_surrogates)


class _Deserializer(TypeDeserializer):  # type: ignore[misc]  # boto3 has no types
    """Reads numbers as int.

    Only integers are stored, and Decimal is not JSON serializable.
    """

    _deserialize_n = staticmethod(int)


_serialize = _Serializer().serialize
_deserialize = _Deserializer().deserialize


def make_client(budget: float) -> Any:
    """Return a DynamoDB client whose calls end within *budget* seconds.

    The budget of a call includes one retry.
    TaskRouter waits 5 s for a response and then calls the fallback URL, but boto3 waits 60 s by
    default. The legacy retry mode pauses only briefly before a retry.
    """
    attempt = (budget - _RETRY_PAUSE_SECONDS) / 2
    return boto3.client(
        "dynamodb",
        config=Config(
            connect_timeout=attempt / 3,
            read_timeout=attempt * 2 / 3,
            retries={"mode": "legacy", "max_attempts": 1},
            max_pool_connections=50,
        ),
    )


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise StoreUnavailable for any boto3 error except a failed condition."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code == "ConditionalCheckFailedException":
            raise
        raise StoreUnavailable(f"DynamoDB returned {code}. Retry.") from error
    except BotoCoreError as error:
        url = error.kwargs.get("endpoint_url")
        if url is None:
            # The request was not sent, for example because there are no credentials.
            raise StoreUnavailable(
                f"The request to DynamoDB failed ({type(error).__name__}). Retry."
            ) from error
        raise StoreUnavailable(
            f"DynamoDB {describe_connection_failure(url, error)}. Retry."
        ) from error


def to_item(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return *values* as DynamoDB attribute values, omitting None."""
    return {name: _serialize(value) for name, value in values.items() if value is not None}


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an item as Python values."""
    return {name: _deserialize(value) for name, value in item.items()}


def utc_hour(at: int) -> str:
    """Return the UTC hour of *at* (epoch ms), such as ``2026-11-22T01``."""
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H")


def to_reservation(item: Mapping[str, Any]) -> Reservation:
    """Return the Reservation stored in *item* (Python values)."""
    history = tuple(
        HistoryEntry(at=entry["at"], to=Status(entry["to"]), by=entry["by"], note=entry.get("note"))
        for entry in item.get("history", ())
    )
    was_accepted = any(entry.to in ACHIEVED[Status.ACCEPTED] for entry in history)
    claim = None
    if "claim_until" in item:
        claim = Claim(
            until=item["claim_until"],
            target=Status(item["claim_target"]),
            claim_id=item["claim_id"],
            by=item["claim_by"],
        )
    sent = item.get("instruction_sent")
    return Reservation(
        reservation_sid=item["reservation_sid"],
        task_sid=item["task_sid"],
        worker_sid=item["worker_sid"],
        status=Status(item["status"]),
        reserved_at=item["reserved_at"],
        expires_at=item["expires_at"],
        workflow_sid=item.get("workflow_sid"),
        task_queue_sid=item.get("task_queue_sid"),
        worker_name=item.get("worker_name"),
        answer=item.get("answer"),
        task_attributes=item.get("task_attributes"),
        worker_attributes=item.get("worker_attributes"),
        parameters=item.get("parameters", {}),
        accepted_by=item.get("acceptor") if was_accepted else None,
        instruction_sent=SentInstruction(**sent) if sent else None,
        claim=claim,
        checks=item.get("checks", 0),
        history=history,
    )


def read_all(
    client: Any, table: str, keys: Sequence[Mapping[str, str]], **options: Any
) -> Iterator[dict[str, Any]]:
    """Yield the items with the given keys, in any order. Missing items are skipped.

    Args:
        client: a client created by `make_client`.
        table: the name of the table.
        keys: any number of primary keys.
        **options: other members of the table's BatchGetItem request.

    Raises:
        StoreUnavailable: DynamoDB failed or repeatedly left keys unprocessed.
    """
    for start in range(0, len(keys), _MAX_KEYS_PER_BATCH):
        pending = [to_item(key) for key in keys[start : start + _MAX_KEYS_PER_BATCH]]
        for _ in range(_MAX_BATCH_ATTEMPTS):
            with translate_errors():
                response = client.batch_get_item(RequestItems={table: {"Keys": pending, **options}})
            yield from map(from_item, response["Responses"].get(table, []))
            pending = response.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
            if not pending:
                break
        else:
            raise StoreUnavailable("DynamoDB did not return all requested records. Retry.")


@dataclass(kw_only=True)
class UpdateItem:
    """One conditional UpdateItem request.

    In expressions, ``#name`` stands for the attribute *name*, so that no reserved word can clash,
    and ``:name`` stands for an entry of `values`. DynamoDB rejects a request that changes the
    same attribute in two clauses, but local engines may accept it.

    Attributes:
        set: attributes to set, by name. None leaves an attribute unchanged.
        set_if_absent: attributes to set unless they exist, by name.
        set_expressions: further SET clauses.
        remove: names of attributes to remove.
        conditions: condition expressions, all of which must hold.
        values: values for `set_expressions` and `conditions`, by placeholder.
    """

    set: dict[str, Any] = field(default_factory=dict)
    set_if_absent: dict[str, Any] = field(default_factory=dict)
    set_expressions: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def run(self, client: Any, table: str, key: Mapping[str, str]) -> tuple[bool, dict[str, Any]]:
        """Send the request.

        Returns:
            Whether the conditions held, and the current item: the updated item, or the item that
            failed the conditions (empty if there is no item).

        Raises:
            StoreUnavailable: DynamoDB failed. Whether it wrote the item is unknown.
        """
        values = dict(self.values)
        clauses = list(self.set_expressions)
        for attributes, clause in (
            (self.set, "#{0} = :set_{0}"),
            (self.set_if_absent, "#{0} = if_not_exists(#{0}, :set_{0})"),
        ):
            for name, value in attributes.items():
                if value is not None:
                    clauses.append(clause.format(name))
                    values[f":set_{name}"] = value
        update = f"SET {', '.join(clauses)}"
        if self.remove:
            update += f" REMOVE {', '.join(f'#{name}' for name in self.remove)}"
        condition = " AND ".join(f"({condition})" for condition in self.conditions)
        try:
            with translate_errors():
                response = client.update_item(
                    TableName=table,
                    Key=to_item(key),
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={
                        f"#{name}": name for name in _NAME.findall(update + condition)
                    },
                    ExpressionAttributeValues=to_item(values),
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            return True, from_item(response["Attributes"])
        except ClientError as error:
            return False, from_item(error.response.get("Item", {}))
