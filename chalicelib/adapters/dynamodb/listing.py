"""Lists of Reservations, the newest first: an index names them, the table tells them.

The indexes hold only what choosing needs, so that attributes are stored once. Which index serves
follows from the question. Open ones are in ``due``, whose order changes as they are claimed and
looked at, and they are few: that partition is read whole and sorted. A Worker's are in
``by_worker``; all others in ``by_hour``, read hour after hour back in time.
"""

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from chalicelib.adapters.dynamodb.client import from_item, read_all, to_item, translated
from chalicelib.adapters.dynamodb.items import hour_of, reservation_of
from chalicelib.domain.errors import BadRequest
from chalicelib.domain.json_text import JsonError, parse_json
from chalicelib.domain.reservations import (
    OPEN,
    Reservation,
    ReservationPage,
    ReservationQuery,
    Status,
)
from chalicelib.domain.sids import is_sid

_HOUR_MS = 3_600_000
_READ_AT_ONCE = 100
_MAX_QUERIES = 24
"""A request that finds little gives what it has and a cursor, rather than take long."""

_LATEST = 32_503_680_000_000  # the year 3000, in epoch ms


@dataclass(frozen=True, order=True)
class _Position:
    """A place in a list.

    The index and partition follow from the question that a cursor comes with, so none reaches
    what its bearer's question may not.

    Attributes:
        at: epoch ms, the entry's reserved_at; without an entry, where to go on reading.
        reservation_sid: the entry's, or empty.
    """

    at: int
    reservation_sid: str = ""

    def to_cursor(self) -> str:
        place = [self.at, self.reservation_sid] if self.reservation_sid else [self.at]
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


_Positions = Iterator[tuple[_Position, bool]]


class DynamoReservationListing:
    """Pages of Reservations over a DynamoDB client.

    Args:
        client: from `chalicelib.adapters.dynamodb.client`.
        reservations_table: the name of the table `reservations`.
    """

    def __init__(self, client: Any, *, reservations_table: str) -> None:
        self._client = client
        self._table = reservations_table

    def page(self, query: ReservationQuery, cursor: str | None, *, now: int) -> ReservationPage:
        """Return a page.

        Args:
            query: the question; its *since* may lie as far back as records are kept.
            cursor: the previous page's, to the same question.
            now: epoch ms.

        Raises:
            BadRequest: the cursor is not one of ours.
            StoreUnavailable: DynamoDB failed.
        """
        after = None if cursor is None else _Position.from_cursor(cursor)
        sids: list[str] = []
        for position, is_entry in self._positions(query, after, now):
            if position.at < query.since:
                break
            if is_entry:
                sids.append(position.reservation_sid)
            if len(sids) == query.limit or not is_entry:
                return ReservationPage(self._tell(sids, query.status), position.to_cursor())
        return ReservationPage(self._tell(sids, query.status), None)

    def _positions(self, query: ReservationQuery, after: _Position | None, now: int) -> _Positions:
        """Go through the entries after *after*; what is no entry ends what took too long."""
        if query.status in OPEN:
            return self._open(query, query.status, after)
        if query.worker_sid is not None:
            return self._of_worker(query, query.worker_sid, after)
        return self._by_hour(query, after or _Position(now))

    def _open(self, query: ReservationQuery, status: Status, after: _Position | None) -> _Positions:
        found: list[_Position] = []
        start = None
        while True:
            entries, start = self._read("due", "open_as", status.value, start=start)
            found += [
                _position(entry)
                for entry in entries
                if query.worker_sid in (None, entry["worker_sid"])
            ]
            if start is None:
                break
        # What moves within the index while it is read can be met twice.
        for position in sorted(set(found), reverse=True):
            if after is None or position < after:
                yield position, True

    def _of_worker(
        self, query: ReservationQuery, worker_sid: str, after: _Position | None
    ) -> _Positions:
        start = _start("worker_sid", worker_sid, after) if after else None
        for _ in range(_MAX_QUERIES):
            entries, start = self._read(
                "by_worker", "worker_sid", worker_sid, start=start, status=query.status
            )
            yield from ((_position(entry), True) for entry in entries)
            if start is None:
                return
        yield _position(from_item(start or {})), False

    def _by_hour(self, query: ReservationQuery, after: _Position) -> _Positions:
        hour = after.at - after.at % _HOUR_MS
        start = _start("hour", hour_of(hour), after) if after.reservation_sid else None
        for _ in range(_MAX_QUERIES):
            entries, start = self._read(
                "by_hour", "hour", hour_of(hour), start=start, status=query.status
            )
            yield from ((_position(entry), True) for entry in entries)
            if start is None:
                hour -= _HOUR_MS
                if hour + _HOUR_MS <= query.since:
                    return
        yield _position(from_item(start)) if start else _Position(hour + _HOUR_MS - 1), False

    def _read(
        self,
        index: str,
        key: str,
        value: str,
        *,
        start: dict[str, Any] | None,
        status: Status | None = None,
    ) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """Read on in one partition; return its entries, and where to go on."""
        values = {":value": value, ":status": status and status.value}
        request: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": index,
            "KeyConditionExpression": "#key = :value",
            "ExpressionAttributeNames": {"#key": key},
            "ExpressionAttributeValues": to_item(values),
            "ScanIndexForward": False,
        }
        if status is not None:
            request["FilterExpression"] = "#status = :status"
            request["ExpressionAttributeNames"]["#status"] = "status"
        if index != "due":
            request["Limit"] = _READ_AT_ONCE
        if start is not None:
            request["ExclusiveStartKey"] = start
        with translated():
            answer = self._client.query(**request)
        return [from_item(item) for item in answer["Items"]], answer.get("LastEvaluatedKey")

    def _tell(self, sids: list[str], status: Status | None) -> list[Reservation]:
        """Read the records, in the order of *sids*.

        The index is a moment behind the table: those that are no more, or no longer in *status*,
        are left out.
        """
        keys = [{"reservation_sid": sid} for sid in sids]
        items = read_all(self._client, self._table, keys, ConsistentRead=True)
        told = {item["reservation_sid"]: reservation_of(item) for item in items}
        found = [told[sid] for sid in sids if sid in told]
        return [one for one in found if status in (None, one.status)]


def _position(entry: dict[str, Any]) -> _Position:
    return _Position(int(entry["reserved_at"]), entry["reservation_sid"])


def _start(key: str, value: str, after: _Position) -> dict[str, Any]:
    """Return the ExclusiveStartKey of an index that is sorted by reserved_at."""
    # A position without an entry comes before every entry of its time, reading backwards.
    sid = after.reservation_sid or "WR" + "f" * 32
    return to_item({key: value, "reserved_at": after.at, "reservation_sid": sid})
