"""What the DynamoDB adapters share: the client with our time budget, values, one UpdateItem."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.domain.errors import StoreUnavailable

_PAUSE_SECONDS = 0.05
"""The longest that the legacy retry mode waits before its one retry."""

_BATCH = 100
"""So many keys BatchGetItem takes."""

_MAX_ROUNDS = 5
"""It may leave keys unprocessed; so often is it asked for them."""


class _Deserializer(TypeDeserializer):  # type: ignore[misc]  # boto3 has no types
    """Reads numbers as int: we store no others, and a Decimal is answered as ``30.0``."""

    def _deserialize_n(self, value: str) -> int:
        return int(value)


_serialize = TypeSerializer().serialize
_deserialize = _Deserializer().deserialize


def make_client(budget: float) -> Any:
    """Return a DynamoDB client whose calls, one retry included, are over within *budget* seconds.

    TaskRouter waits 5 s for an answer and then turns to the fallback; boto3 by itself would wait
    60 s. The legacy retry mode is the one whose pause before a retry is short.
    """
    attempt = (budget - _PAUSE_SECONDS) / 2
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
def translated() -> Iterator[None]:
    """Turn what boto3 raises into StoreUnavailable, but for a condition that failed."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code == "ConditionalCheckFailedException":
            raise
        raise StoreUnavailable(f"DynamoDB answered {code}; try again.") from error
    except BotoCoreError as error:
        raise StoreUnavailable(
            f"DynamoDB did not answer in time ({type(error).__name__}); try again."
        ) from error


def to_item(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return *values* as DynamoDB wants them; those that are None are left out."""
    return {name: _serialize(value) for name, value in values.items() if value is not None}


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item's attributes as Python values."""
    return {name: _deserialize(value) for name, value in item.items()}


def read_all(
    client: Any, table: str, keys: Sequence[Mapping[str, str]], **options: Any
) -> Iterator[dict[str, Any]]:
    """Read items by their keys, in any order; those that are not there are left out.

    Args:
        client: from `client`.
        table: its name.
        keys: at most 100 are read at once.
        **options: further members of BatchGetItem's request for the table.

    Raises:
        StoreUnavailable: DynamoDB failed, or is too busy to tell all of them.
    """
    for start in range(0, len(keys), _BATCH):
        left = [to_item(key) for key in keys[start : start + _BATCH]]
        for _ in range(_MAX_ROUNDS):
            with translated():
                answer = client.batch_get_item(RequestItems={table: {"Keys": left, **options}})
            yield from map(from_item, answer["Responses"].get(table, []))
            left = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
            if not left:
                break
        else:
            raise StoreUnavailable("DynamoDB is too busy to tell so much at once; try again.")


class Update:
    """One conditional UpdateItem.

    Every name and value goes in as a placeholder, so that no reserved word can hurt. An attribute
    may be named in one clause only: DynamoDB refuses overlapping paths, local engines may not.
    """

    def __init__(self) -> None:
        self._sets: list[str] = []
        self._removes: list[str] = []
        self._conditions: list[str] = []
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def name(self, attribute: str) -> str:
        """Return the placeholder of an attribute's name."""
        placeholder = f"#{attribute}"
        self._names[placeholder] = attribute
        return placeholder

    def value(self, value: Any) -> str:
        """Return the placeholder of a value."""
        placeholder = f":v{len(self._values)}"
        self._values[placeholder] = _serialize(value)
        return placeholder

    def set(self, **values: Any) -> None:
        """Set attributes; those that are None are left as they are."""
        for attribute, value in values.items():
            if value is not None:
                self._sets.append(f"{self.name(attribute)} = {self.value(value)}")

    def set_once(self, **values: Any) -> None:
        """Set attributes that are not there yet."""
        for attribute, value in values.items():
            if value is not None:
                name = self.name(attribute)
                self._sets.append(f"{name} = if_not_exists({name}, {self.value(value)})")

    def set_sum(self, attribute: str, base: str, default: int, addend: int) -> None:
        """Set an attribute to the number *base*, or *default* where that is not there, plus one."""
        start = f"if_not_exists({self.name(base)}, {self.value(default)})"
        self._sets.append(f"{self.name(attribute)} = {start} + {self.value(addend)}")

    def append(self, attribute: str, value: Any) -> None:
        """Append to a list, which need not be there yet."""
        name = self.name(attribute)
        before = f"if_not_exists({name}, {self.value([])})"
        self._sets.append(f"{name} = list_append({before}, {self.value([value])})")

    def remove(self, *attributes: str) -> None:
        """Remove attributes."""
        self._removes += [self.name(attribute) for attribute in attributes]

    def only_if(self, condition: str) -> None:
        """Add a condition, made of `name` and `value` placeholders; all have to hold."""
        self._conditions.append(f"({condition})")

    def run(self, client: Any, table: str, key: Mapping[str, str]) -> tuple[bool, dict[str, Any]]:
        """Run it.

        Returns:
            Whether the conditions held, and the item as it is now: the new one, or the one that
            failed them; empty where there is none.

        Raises:
            StoreUnavailable: DynamoDB failed; whether it was written is unknown.
        """
        clauses = []
        if self._sets:
            clauses.append("SET " + ", ".join(self._sets))
        if self._removes:
            clauses.append("REMOVE " + ", ".join(self._removes))
        request: dict[str, Any] = {
            "TableName": table,
            "Key": to_item(key),
            "UpdateExpression": " ".join(clauses),
            "ConditionExpression": " AND ".join(self._conditions),
            "ExpressionAttributeNames": self._names,
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if self._values:
            request["ExpressionAttributeValues"] = self._values
        try:
            with translated():
                return True, from_item(client.update_item(**request)["Attributes"])
        except ClientError as error:
            return False, from_item(error.response.get("Item", {}))
