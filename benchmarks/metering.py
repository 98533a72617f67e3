"""Counts the DynamoDB requests of the app, and the read and write units that AWS charges for.

The local DynamoDB returns the write units that AWS would charge for. Its read units ignore the
sizes of the items, so this module calculates read units from the sizes of the items that a request
evaluates.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

_READ_UNIT_BYTES = 4_096
_WRITE_UNIT_BYTES = 1_024
_CONTAINER_BYTES = 3
"""Size of an empty list or map."""


@dataclass
class Usage:
    """DynamoDB requests and capacity units.

    Attributes:
        requests: number of requests by operation.
        read_units: read units, including those of indexes. A strongly consistent read of up to
            4 KB uses one unit.
        write_units: write units, including those of indexes.
        item_bytes: size of the largest item that an update returned.
    """

    requests: Counter[str] = field(default_factory=Counter)
    read_units: float = 0
    write_units: float = 0
    item_bytes: int = field(default=0, compare=False)


class MeteredClient:
    """A wrapper around a DynamoDB client that counts requests and units.

    Args:
        client: a client with boto3's methods for the local DynamoDB.

    Attributes:
        usage: the usage since the client was created or last reset.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()
        self.usage = Usage()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in _METERS:
            raise AttributeError(f"The operation {name} is not metered.")

        def call(**request: Any) -> Any:
            try:
                response = getattr(self._client, name)(**request, **_METERS[name].options)
            except ClientError as error:
                # If the condition of a write fails, AWS charges for the larger of the existing item
                # and the new item. The error contains only the existing item, whose size is used.
                size = item_size(error.response.get("Item", {}))
                self._count(name, write_units=_units(size, _WRITE_UNIT_BYTES))
                raise
            self._count(name, **_METERS[name].measure(self._client, request, response))
            return response

        return call

    def reset(self) -> Usage:
        """Return the usage since the last reset, and start a new count."""
        with self._lock:
            usage, self.usage = self.usage, Usage()
        return usage

    def _count(
        self, name: str, *, read_units: float = 0, write_units: float = 0, item_bytes: int = 0
    ) -> None:
        with self._lock:
            self.usage.requests[name] += 1
            self.usage.read_units += read_units
            self.usage.write_units += write_units
            self.usage.item_bytes = max(self.usage.item_bytes, item_bytes)


@dataclass(frozen=True)
class _Meter:
    """A function that measures an operation, and parameters to add to the operation's requests."""

    measure: Callable[[Any, Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]
    options: dict[str, str] = field(default_factory=dict)


def _measure_write(
    _client: Any, _request: Mapping[str, Any], response: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "write_units": response["ConsumedCapacity"]["CapacityUnits"],
        "item_bytes": item_size(response.get("Attributes", {})),
    }


def _measure_get(
    _client: Any, request: Mapping[str, Any], response: Mapping[str, Any]
) -> dict[str, float]:
    sizes = [item_size(response.get("Item", {}))]
    return {"read_units": _read_units(sizes, request)}


def _measure_batch(
    _client: Any, request: Mapping[str, Any], response: Mapping[str, Any]
) -> dict[str, float]:
    units = 0.0
    for table, table_request in request["RequestItems"].items():
        sizes = [item_size(item) for item in response["Responses"].get(table, [])]
        missing = len(table_request["Keys"]) - len(sizes)
        units += _read_units([*sizes, *[0] * missing], table_request)
    return {"read_units": units}


def _measure_query(
    client: Any, request: Mapping[str, Any], response: Mapping[str, Any]
) -> dict[str, float]:
    if response["ScannedCount"] != len(response["Items"]):
        # DynamoDB also charges for the items that a filter removes.
        response = client.query(**_without_filter(request))
    size = sum(map(item_size, response["Items"]))
    return {"read_units": _read_units([size], request)}


def _without_filter(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a query without its filter and the filter's names and values."""
    changed = {name: value for name, value in request.items() if name != "FilterExpression"}
    for parameter in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
        used = {
            name: value
            for name, value in changed.pop(parameter, {}).items()
            if name in changed["KeyConditionExpression"]
        }
        changed |= {parameter: used} if used else {}
    return changed


def _read_units(sizes: Iterable[int], request: Mapping[str, Any]) -> float:
    units = sum(_units(size, _READ_UNIT_BYTES) for size in sizes)
    return units if request.get("ConsistentRead") else units / 2


def _units(size: int, unit_bytes: int) -> int:
    return max(1, math.ceil(size / unit_bytes))


_WRITE = _Meter(_measure_write, {"ReturnConsumedCapacity": "INDEXES"})
_METERS = {
    "update_item": _WRITE,
    "put_item": _WRITE,
    "delete_item": _WRITE,
    "get_item": _Meter(_measure_get),
    "batch_get_item": _Meter(_measure_batch),
    "query": _Meter(_measure_query),
}


def item_size(item: Mapping[str, Any]) -> int:
    """Return the size in bytes of an item in DynamoDB's JSON format.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    match value:
        case {"S": text}:
            return len(text.encode())
        case {"N": number}:
            return math.ceil(len(number.strip("-0.")) / 2) + 1
        case {"M": members}:
            return _CONTAINER_BYTES + len(members) + item_size(members)
        case {"L": elements}:
            return _CONTAINER_BYTES + len(elements) + sum(map(_value_size, elements))
        case {"NULL": _} | {"BOOL": _}:
            return 1
    raise ValueError(f"The attribute type is unknown: {json.dumps(value)}")
