"""Shared DynamoDB code: the client, value conversion, batch reads and UpdateItem."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.adapters.aws import RETRY_PAUSE_SECONDS, JsonApi, describe_error
from chalicelib.adapters.exchange import PARSE_ERRORS
from chalicelib.domain.errors import StoreUnavailable
from chalicelib.domain.json_text import replace_lone_surrogates
from chalicelib.domain.messages import describe_connection_failure
from chalicelib.domain.reservations import (
    ACHIEVED,
    Claim,
    Delivery,
    DueReservation,
    HistoryEntry,
    LastClaim,
    Reservation,
    SentInstruction,
    Status,
)

_ATTEMPTS = 2

_MAX_KEYS_PER_BATCH = 100
"""Maximum number of keys per BatchGetItem request."""

_MAX_BATCH_ATTEMPTS = 5
"""Maximum number of BatchGetItem requests for a batch if DynamoDB leaves keys unprocessed."""

_NAME = re.compile(r"#(\w+)")


def make_client(budget: float) -> Any:
    """Return a client with boto3's DynamoDB methods. Each call ends within *budget* seconds.

    The budget includes one retry. TaskRouter calls the fallback URL after waiting 5 s for a
    response, but boto3 waits 60 s by default.
    """
    return _Client(budget)


class _Client:
    """The client that `make_client` returns.

    UpdateItem, the only operation that assignment callbacks use, does not use botocore's client.
    The other operations use botocore's client, which is imported and built on first use.
    """

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._api = JsonApi(
            "dynamodb",
            target="DynamoDB_20120810",
            version="1.0",
            seconds=budget,
            attempts=_ATTEMPTS,
        )

    def update_item(self, **request: Any) -> dict[str, Any]:
        """Call UpdateItem; return the response."""
        return self._api.call("UpdateItem", request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._botocore_client, name)

    @cached_property
    def _botocore_client(self) -> Any:
        from chalicelib.adapters.dynamodb.botocore_client import make_botocore_client  # noqa: PLC0415  callbacks do not need it

        return make_botocore_client(
            (self._budget - RETRY_PAUSE_SECONDS) / _ATTEMPTS, attempts=_ATTEMPTS
        )


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise StoreUnavailable if a request fails or its response can't be read.

    The context must include the code that reads the response, because a malformed response can make
    that code fail instead of botocore.
    """
    try:
        yield
    except ClientError as error:
        raise StoreUnavailable(describe_error("DynamoDB", error)) from error
    except BotoCoreError as error:
        url = error.kwargs.get("endpoint_url")
        if url is None:
            # Some errors contain no endpoint URL, for example the error for missing credentials.
            raise StoreUnavailable(
                f"The request to DynamoDB failed ({type(error).__name__}). Retry."
            ) from error
        raise StoreUnavailable(
            f"DynamoDB {describe_connection_failure(url, error)}. Retry."
        ) from error
    except PARSE_ERRORS as error:
        raise StoreUnavailable("DynamoDB's response can't be read. Retry.") from error


def to_item(values: Mapping[Any, Any]) -> dict[Any, dict[str, Any]]:
    """Return *values* as DynamoDB attribute values.

    Each lone surrogate becomes U+FFFD: JSON from Twilio or a token may contain lone surrogates, but
    DynamoDB accepts only UTF-8.

    Raises:
        TypeError: a value has a type that this service does not store, such as float.
    """
    item: dict[Any, dict[str, Any]] = {}
    for name, value in values.items():
        match value:
            case None:
                item[name] = {"NULL": True}
            case bool():
                item[name] = {"BOOL": value}
            case str():
                item[name] = {"S": replace_lone_surrogates(value)}
            case int():
                item[name] = {"N": str(value)}
            case Mapping():
                item[name] = {"M": to_item(value)}
            case list() | tuple():
                item[name] = {"L": list(to_item(dict(enumerate(value))).values())}
            case _:
                raise TypeError(f"A value of type {type(value).__name__} can't be stored.")
    return item


def from_item(item: Mapping[Any, Mapping[str, Any]]) -> dict[Any, Any]:
    """Return the attributes of an item as Python values.

    All stored numbers are integers, and unlike Decimal, int is JSON serializable.

    Raises:
        TypeError: a value has a type that this service does not store.
        ValueError: a number is not an integer.
    """
    values: dict[Any, Any] = {}
    for name, attribute in item.items():
        match attribute:
            case {"NULL": True}:
                values[name] = None
            case {"BOOL": bool(value)} | {"S": str(value)}:
                values[name] = value
            case {"N": str(value)}:
                values[name] = int(value)
            case {"M": dict(value)}:
                values[name] = from_item(value)
            case {"L": list(value)}:
                values[name] = list(from_item(dict(enumerate(value))).values())
            case _:
                raise TypeError(f"An attribute of type {', '.join(attribute)} can't be read.")
    return values


def utc_hour(at: int) -> str:
    """Return the UTC hour of *at* (epoch ms), such as ``2026-11-22T01``."""
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H")


_OPTIONAL_ATTRIBUTES = (
    *("workflow_sid", "workflow_name", "task_queue_sid", "task_queue_name", "worker_name"),
    *("answer", "rule", "withheld", "task_attributes", "worker_attributes"),
)
"""Attributes that have the same names in an item and in a Reservation, and may be missing."""

_LAST_CLAIMS = ("last_claim", *(f"last_claim_{target}" for target in ACHIEVED))
"""Attributes that may contain a claim. Earlier versions stored one claim, in ``last_claim``."""


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
        **{name: item.get(name) for name in _OPTIONAL_ATTRIBUTES},
        delivery=_to_delivery(item.get("delivery")),
        parameters=item.get("parameters", {}),
        accepted_by=item.get("acceptor") if was_accepted else None,
        instruction_sent=SentInstruction(
            **sent, is_confirmed=item.get("instruction_confirmed", False)
        )
        if sent
        else None,
        claim=claim,
        claims=tuple(filter(None, map(_to_last_claim, map(item.get, _LAST_CLAIMS)))),
        checks=item.get("checks", 0),
        history=history,
    )


def _to_delivery(stored: Any) -> Delivery | None:
    """Return a stored delivery, without keys that a later version may have added.

    A malformed delivery is treated as missing, because no decision depends on it.
    """
    match stored:
        case {
            "received_at": int(received_at),
            "route": str(route),
            "url": str(url),
            "signature": str(signature),
        }:
            settings, absent, answered_at = map(stored.get, ("settings", "absent", "answered_at"))
            absent = tuple(absent) if isinstance(absent, list) else ()
            answered_at = answered_at if isinstance(answered_at, int) else None
            return Delivery(received_at, route, url, signature, settings, absent, answered_at)
    return None


def _to_last_claim(stored: Any) -> LastClaim | None:
    """Return a stored last claim. A malformed claim is treated as missing, as in `_to_delivery`."""
    match stored:
        case {"at": int(at), "by": str(by), "target": str(target)} if target in {*Status}:
            return LastClaim(at=at, by=by, target=Status(target))
    return None


def to_due_reservation(item: Mapping[str, Any], status: Status) -> DueReservation:
    """Return the due Reservation in *item* (Python values), an entry in the ``due`` index."""
    return DueReservation(
        reservation_sid=item["reservation_sid"],
        task_sid=item["task_sid"],
        worker_sid=item["worker_sid"],
        status=status,
        due_at=item["due_at"],
        reserved_at=item["reserved_at"],
        expires_at=item["expires_at"],
        checks=item.get("checks", 0),
        is_claimed="claim_until" in item,
    )


def history_item(entry: HistoryEntry) -> dict[str, Any]:
    """Return a history entry in its stored form."""
    item = {"at": entry.at, "to": entry.to.value, "by": entry.by}
    return {**item, "note": entry.note} if entry.note else item


def callback_attributes(reservation: Reservation) -> dict[str, Any]:
    """Return the attributes that a callback, an event or TaskRouter's REST API provides."""
    delivery = vars(reservation.delivery) if reservation.delivery else {}
    return {
        "delivery": {name: value for name, value in delivery.items() if value} or None,
        "task_sid": reservation.task_sid,
        "worker_sid": reservation.worker_sid,
        "worker_name": reservation.worker_name,
        "workflow_name": reservation.workflow_name,
        "task_queue_name": reservation.task_queue_name,
        "workflow_sid": reservation.workflow_sid,
        "task_queue_sid": reservation.task_queue_sid,
        "task_attributes": reservation.task_attributes,
        "worker_attributes": reservation.worker_attributes,
        "parameters": dict(reservation.parameters) or None,
    }


def read_item(client: Any, table: str, key: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Return an item, or None if it does not exist, using a strongly consistent read.

    Raises:
        ValueError: DynamoDB returned a different item.
    """
    response = client.get_item(TableName=table, Key=key, ConsistentRead=True)
    if "Item" not in response:
        return None
    if not key.items() <= response["Item"].items():
        raise ValueError("DynamoDB returned a different item.")
    return from_item(response["Item"])


def read_all(
    client: Any, table: str, keys: Sequence[Mapping[str, str]], **options: Any
) -> Iterator[dict[str, Any]]:
    """Yield the items with the given keys, in any order. Missing items are skipped.

    Args:
        client: a client created by `make_client`.
        table: the name of the table.
        keys: any number of primary keys.
        **options: other parameters of BatchGetItem for the table.

    Raises:
        StoreUnavailable: DynamoDB failed or repeatedly left keys unprocessed.
    """
    for start in range(0, len(keys), _MAX_KEYS_PER_BATCH):
        pending = [to_item(key) for key in keys[start : start + _MAX_KEYS_PER_BATCH]]
        for _ in range(_MAX_BATCH_ATTEMPTS):
            with translate_errors():
                response = client.batch_get_item(RequestItems={table: {"Keys": pending, **options}})
                items = [*map(from_item, response["Responses"].get(table, []))]
                pending = response.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
            yield from items
            if not pending:
                break
        else:
            raise StoreUnavailable("DynamoDB did not return all requested records. Retry.")


@dataclass(kw_only=True)
class UpdateItem:
    """One conditional UpdateItem request.

    In expressions, ``#name`` stands for the attribute *name*, so that no attribute name can clash
    with a reserved word. ``:name`` stands for an entry in `values`, and ``:set_name`` for the value
    to set for the attribute *name*. DynamoDB rejects a request that changes the same attribute in
    two clauses, but a local emulator may accept the request.

    Attributes:
        set: attributes to set, by name. None leaves an attribute unchanged.
        set_if_absent: attributes to set unless they exist, by name.
        set_expressions: additional SET clauses.
        remove: names of attributes to remove.
        conditions: condition expressions, all of which must be true.
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
            Whether the conditions were true, and the current item: the updated item, or the item
            that failed the conditions (empty if there is no item).

        Raises:
            StoreUnavailable: DynamoDB failed. Whether it wrote the item is unknown.
        """
        values = dict(self.values)
        clauses = list(self.set_expressions)
        for attributes, template in (
            (self.set, "#{0} = :set_{0}"),
            (self.set_if_absent, "#{0} = if_not_exists(#{0}, :set_{0})"),
        ):
            for name, value in attributes.items():
                if value is not None:
                    clauses.append(template.format(name))
                    values[f":set_{name}"] = value
        update = f"SET {', '.join(clauses)}" if clauses else ""
        if self.remove:
            update += f" REMOVE {', '.join(f'#{name}' for name in self.remove)}"
        condition = " AND ".join(f"({each})" for each in self.conditions)
        names = {f"#{name}": name for name in _NAME.findall(update + condition)}
        item_key = to_item(key)
        request = {
            "TableName": table,
            "Key": item_key,
            "UpdateExpression": update,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": to_item(values),
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        succeeded = True
        with translate_errors():
            try:
                item = client.update_item(**request)["Attributes"]
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                succeeded, item = False, error.response.get("Item", {})
            if (succeeded or item != {}) and not item_key.items() <= item.items():
                raise ValueError("DynamoDB returned a different item.")
            return succeeded, from_item(item)
