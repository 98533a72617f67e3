"""Stores the statistics, and reads the Reservations from which the statistics are computed."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from chalicelib.adapters.dynamodb.client import (
    UpdateItem,
    from_item,
    read_item,
    to_item,
    translate_errors,
    utc_hour,
)
from chalicelib.domain.reservations import HistoryEntry, Status
from chalicelib.domain.statistics import (
    AcceptanceTimes,
    ActivityCount,
    HourCount,
    IndexEntry,
    Statistics,
    WaitingTask,
    WorkspaceStatistics,
)

_Part = TypeVar("_Part")

_KEY = {"id": "statistics"}

_PAGE_SIZE = 2_000
"""Maximum number of entries per index page. Larger pages could exceed the time limit for a call."""


class DynamoStatistics:
    """Implements `chalicelib.usecases.ports.StatisticsStore` with DynamoDB.

    Args:
        client: a client created by `make_client`.
        reservations_table: the name of the `reservations` table.
        state_table: the name of the `state` table.
    """

    def __init__(self, client: Any, *, reservations_table: str, state_table: str) -> None:
        self._client = client
        self._reservations = reservations_table
        self._state = state_table

    def get_statistics(self) -> Statistics | None:
        """Return the statistics, or None if there are none yet."""
        with translate_errors():
            item = read_item(self._client, self._state, to_item(_KEY))
            return _to_statistics(item["statistics"]) if item else None

    def save_statistics(self, statistics: Statistics) -> bool:
        """Save the statistics unless newer ones are stored; return whether they were saved."""
        update = UpdateItem(
            set={"at": statistics.at, "statistics": asdict(statistics)},
            # If a response is lost, the client repeats the write and finds its own statistics.
            conditions=["attribute_not_exists(#at) OR #at <= :set_at"],
        )
        saved, _ = update.run(self._client, self._state, _KEY)
        return saved

    def read_hour(
        self, start: int, cursor: Mapping[str, Any] | None
    ) -> tuple[list[IndexEntry], Mapping[str, Any] | None]:
        """Return a page of an hour's Reservations, newest first, and the next cursor, if any."""
        request: dict[str, Any] = {
            "TableName": self._reservations,
            "IndexName": "by_hour",
            "KeyConditionExpression": "#hour = :hour",
            "ExpressionAttributeNames": {"#hour": "hour"},
            "ExpressionAttributeValues": to_item({":hour": utc_hour(start)}),
            "ScanIndexForward": False,
            "Limit": _PAGE_SIZE,
        }
        if cursor is not None:
            request["ExclusiveStartKey"] = cursor
        with translate_errors():
            response = self._client.query(**request)
            items = [from_item(item) for item in response["Items"]]
            entries = [
                IndexEntry(item["reservation_sid"], item["reserved_at"], Status(item["status"]))
                for item in items
            ]
            return entries, response.get("LastEvaluatedKey")

    def fetch_histories(
        self, reservation_sids: Collection[str]
    ) -> list[tuple[int, tuple[HistoryEntry, ...]]]:
        """Return the creation times and histories of at most 100 Reservations.

        DynamoDB omits records if the response would exceed 16 MB. They are not requested again.
        """
        if not reservation_sids:
            return []
        keys = [to_item({"reservation_sid": sid}) for sid in reservation_sids]
        request = {
            "Keys": keys,
            "ProjectionExpression": "#reserved_at, #history",
            "ExpressionAttributeNames": {"#reserved_at": "reserved_at", "#history": "history"},
        }
        with translate_errors():
            response = self._client.batch_get_item(RequestItems={self._reservations: request})
            items = [from_item(item) for item in response["Responses"].get(self._reservations, [])]
            return [(item["reserved_at"], _to_history(item)) for item in items]


def _to_history(item: Mapping[str, Any]) -> tuple[HistoryEntry, ...]:
    return tuple(
        HistoryEntry(at=entry["at"], to=Status(entry["to"]), by=entry["by"])
        for entry in item["history"]
    )


def _to_statistics(stored: Mapping[str, Any]) -> Statistics:
    acceptance, workspace = stored["acceptance"], stored["workspace"]
    return _build(
        Statistics,
        stored,
        hours=tuple(_build(HourCount, hour) for hour in stored["hours"]),
        acceptance=acceptance
        and _build(AcceptanceTimes, acceptance, percentiles=tuple(acceptance["percentiles"])),
        workspace=workspace and _to_workspace(workspace),
        sweeps=tuple(stored["sweeps"]),
    )


def _to_workspace(stored: Mapping[str, Any]) -> WorkspaceStatistics:
    waiting, counts = stored["oldest_waiting"], stored["workers_by_activity"]
    return WorkspaceStatistics(
        oldest_waiting=waiting and _build(WaitingTask, waiting),
        workers_by_activity=tuple(_build(ActivityCount, count) for count in counts),
    )


def _build(part: type[_Part], stored: Mapping[str, Any], **converted: Any) -> _Part:
    """Build a dataclass from its stored fields. Fields added by later versions are ignored."""
    names = (field.name for field in fields(part))  # type: ignore[arg-type]
    return part(**{name: stored[name] for name in names if name not in converted}, **converted)
