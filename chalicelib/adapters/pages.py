"""Lists of Reservations: an index names them, the table tells them.

The indexes hold only what choosing needs, so that attributes are stored once. Which index serves
follows from the question: a Worker's by ``by_worker``, open ones by ``due`` (the most urgent
first), all others by ``by_hour``, hour after hour back in time; both of these the newest first.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from chalicelib.adapters.dynamodb import from_item, to_item, translated
from chalicelib.adapters.items import hour_of, reservation_of
from chalicelib.domain.errors import BadRequest, StoreUnavailable
from chalicelib.domain.json_text import JsonError, parse_json
from chalicelib.domain.records import Page, Query
from chalicelib.domain.reservations import OPEN, Reservation
from chalicelib.domain.sids import is_sid

_HOUR_MS = 3_600_000
_READ_AT_ONCE = 100
_MAX_QUERIES = 24
"""A request that finds little gives what it has and a cursor, rather than take long."""

_LATEST = 32_503_680_000_000  # the year 3000, in epoch ms

_MAX_BATCHES = 5
"""BatchGetItem may leave keys unprocessed; so often is it asked for the rest."""


@dataclass(frozen=True)
class _Position:
    """Where a page ended.

    The index and partition follow from the question that comes with it, so no cursor reaches
    what its bearer's question may not.

    Attributes:
        at: the sort key of the last entry read; without one, where to start reading.
        reservation_sid: that entry's.
    """

    at: int
    reservation_sid: str | None = None

    def to_cursor(self) -> str:
        place = [self.at] if self.reservation_sid is None else [self.at, self.reservation_sid]
        text = json.dumps(place, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def from_cursor(cls, cursor: str) -> Self:
        """Read a cursor; anything but one of ours raises BadRequest."""
        try:
            padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
            place = parse_json(base64.b64decode(padded, b"-_", validate=True).decode("ascii"))
        except (JsonError, UnicodeError, binascii.Error):
            place = None
        match place:
            case [int(at)]:
                position = cls(at)
            case [int(at), str(sid)] if is_sid(sid, "WR"):
                position = cls(at, sid)
            case _:
                position = cls(-1)
        is_time = type(position.at) is int and 0 <= position.at < _LATEST
        if is_time and position.to_cursor() == cursor:
            return position
        raise BadRequest("cursor must be the next_cursor of a page of the same list.")


@dataclass(frozen=True)
class _Partition:
    """One partition of an index, and the way to read it."""

    index: str
    key: str
    value: str
    sort: str
    newest_first: bool

    def request(self, query: Query, after: _Position | None) -> dict[str, Any]:
        """Return the arguments of the Query that reads on *after* that position."""
        values = {":value": self.value, ":since": query.since}
        names = {"#key": self.key, "#reserved_at": "reserved_at"}
        conditions = "#key = :value"
        filters = []
        if self.sort == "reserved_at":
            conditions += " AND #reserved_at >= :since"
        else:
            filters.append("#reserved_at >= :since")
        if query.status is not None and self.index != "due":
            filters.append("#status = :status")
            names["#status"] = "status"
            values[":status"] = query.status.value
        request = {
            "IndexName": self.index,
            "KeyConditionExpression": conditions,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": to_item(values),
            "ScanIndexForward": not self.newest_first,
            "Limit": _READ_AT_ONCE,
        }
        if filters:
            request["FilterExpression"] = " AND ".join(filters)
        if after is not None and after.reservation_sid is not None:
            request["ExclusiveStartKey"] = to_item(
                {
                    self.key: self.value,
                    self.sort: after.at,
                    "reservation_sid": after.reservation_sid,
                }
            )
        return request

    def position(self, key: Mapping[str, Any]) -> _Position:
        """Return the position of an index entry, or of a LastEvaluatedKey."""
        return _Position(int(key[self.sort]), key["reservation_sid"])


def _partitions(query: Query, newest: int) -> Iterator[_Partition]:
    """Name the partitions that answer *query*, in the order to read them.

    Args:
        query: the question.
        newest: epoch ms; where to begin, in an index by the hour.
    """
    if query.worker_sid is not None:
        yield _Partition("by_worker", "worker_sid", query.worker_sid, "reserved_at", True)
    elif query.status in OPEN:
        yield _Partition("due", "open_as", query.status.value, "due_at", False)
    else:
        hour = newest - newest % _HOUR_MS
        while hour + _HOUR_MS > query.since:
            yield _Partition("by_hour", "hour", hour_of(hour), "reserved_at", True)
            hour -= _HOUR_MS


class DynamoPages:
    """Pages of Reservations over a DynamoDB client.

    Args:
        client: from `chalicelib.adapters.dynamodb.client`.
        reservations_table: the name of the table `reservations`.
    """

    def __init__(self, client: Any, *, reservations_table: str) -> None:
        self._client = client
        self._table = reservations_table

    def page(self, query: Query, cursor: str | None, *, now: int) -> Page:
        """Return a page.

        Args:
            query: the question; its *since* may lie as far back as records are kept.
            cursor: the previous page's, to the same question.
            now: epoch ms.

        Raises:
            BadRequest: the cursor is not one of ours.
            StoreUnavailable: DynamoDB failed.
        """
        start = None if cursor is None else _Position.from_cursor(cursor)
        sids: list[str] = []
        end: _Position | None = None
        for reservation_sid, position in self._entries(query, start, now):
            end = position
            if reservation_sid is not None:
                sids.append(reservation_sid)
            if reservation_sid is None or len(sids) == query.limit:
                break
        else:
            end = None
        told = self._tell(sids)
        # The index is a moment behind the table, which may know of another status by now.
        still = [one for one in told if query.status in (None, one.status)]
        return Page(still, end.to_cursor() if end else None)

    def _entries(
        self, query: Query, start: _Position | None, now: int
    ) -> Iterator[tuple[str | None, _Position]]:
        """Go through the index entries after *start*; ends with None where it became too long."""
        queries = 0
        after = start
        for partition in _partitions(query, start.at if start else now):
            while True:
                queries += 1
                entries, last = self._read(partition.request(query, after))
                for entry in entries:
                    yield entry["reservation_sid"], partition.position(entry)
                after = partition.position(last) if last else None
                if after is None:
                    break
                if queries >= _MAX_QUERIES:
                    yield None, after
                    return
            if queries >= _MAX_QUERIES and partition.key == "hour":
                yield None, _Position(_hour_before(partition.value))
                return

    def _read(self, request: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        with translated():
            answer = self._client.query(TableName=self._table, **request)
        last = answer.get("LastEvaluatedKey")
        return [from_item(item) for item in answer["Items"]], from_item(last) if last else None

    def _tell(self, sids: list[str]) -> list[Reservation]:
        """Read the records, in the order of *sids*; those that are no more are left out."""
        told: dict[str, Reservation] = {}
        keys = [to_item({"reservation_sid": sid}) for sid in sids]
        for _ in range(_MAX_BATCHES):
            if not keys:
                break
            with translated():
                answer = self._client.batch_get_item(
                    RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}}
                )
            for item in answer["Responses"].get(self._table, []):
                reservation = reservation_of(from_item(item))
                told[reservation.reservation_sid] = reservation
            keys = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
        if keys:
            raise StoreUnavailable("DynamoDB is too busy for a page of this size; try again.")
        return [told[sid] for sid in sids if sid in told]


def _hour_before(hour: str) -> int:
    """Return an epoch ms in the hour before *hour*, such as ``2026-11-22T01``."""
    begin = datetime.strptime(f"{hour}+0000", "%Y-%m-%dT%H%z")
    return int(begin.timestamp()) * 1000 - 1
