"""Lists of Reservations.

An index selects the SIDs, and the table provides the records. The indexes contain only the
attributes that lists and the sweep need, so that all other attributes are stored only once.

Paged lists are sorted by creation time, newest first. The query determines the index:

- A query for an open status uses ``due`` if the partition of the status fits in one index page.
  The entries are sorted after reading, because claims and checks change their order in the index.
- Any other query for a Worker's Reservations uses ``by_worker``.
- All other queries use ``by_hour``, which is read hour by hour, backward in time.

All paged lists have the same order, so the pages of one list may come from different indexes.
"""

import base64
import binascii
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from chalicelib.adapters.dynamodb.client import (
    from_item,
    read_all,
    to_item,
    to_reservation,
    translate_errors,
    utc_hour,
)
from chalicelib.domain.errors import BadRequest
from chalicelib.domain.json_text import JsonError, parse_json
from chalicelib.domain.reservation_lists import ReservationPage, ReservationQuery
from chalicelib.domain.reservations import OPEN, Reservation, Status
from chalicelib.domain.sids import is_sid

_HOUR_MS = 3_600_000

_PAGE_SIZES = (100, 1_000)
"""Maximum numbers of entries in the index pages that one request reads, before filtering. Except in
lists of open Reservations, the second page is larger, because usually few entries match if the
first page does not suffice."""

_MAX_EMPTY_QUERIES = 8
"""Maximum number of queries per request that read no entries, such as queries for quiet hours."""

_MAX_SECONDS = 10.0
"""Time after which no further query starts. API Gateway waits at most 29 s for a response."""

_NEWEST_RESERVATIONS = 200
"""Number of a Worker's newest Reservations that a search for open Reservations reads."""

_LONGEST_OPEN_MS = 48 * _HOUR_MS
"""Maximum age of a pending or accepted Reservation. The longest TaskReservationTimeout is 24 hours,
and TaskRouter deletes a Task that has been assigned for 24 hours (Twilio: TaskRouter resource
limits).
"""

_AFTER_SIDS = "WS"
"""A string that sorts after the SID of every Reservation (WR…)."""

_LATEST_MS = 32_503_680_000_000  # the year 3000, in epoch ms


@dataclass(frozen=True, order=True)
class _Position:
    """A position in a list.

    A cursor contains only a position. The query sent with the cursor determines the index and the
    Worker, so a cursor gives no access to other Reservations.

    Attributes:
        at: the entry's ``reserved_at`` or, without an entry, the time to continue from (epoch ms).
        reservation_sid: the SID (WR…) of the entry, or empty.
    """

    at: int
    reservation_sid: str = ""

    def to_cursor(self) -> str:
        value = [self.at, self.reservation_sid] if self.reservation_sid else [self.at]
        text = json.dumps(value, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def from_cursor(cls, cursor: str) -> Self:
        """Parse a cursor made by `to_cursor`; raise BadRequest for any other string."""
        try:
            # The decoder ignores extra padding.
            text = base64.urlsafe_b64decode(cursor.encode("ascii") + b"==")
            value = parse_json(text.decode("ascii"))
        except (JsonError, UnicodeError, binascii.Error):
            value = None
        position: Self | None = None
        match value:
            case [int(at)]:
                position = cls(at)
            case [int(at), str(sid)] if is_sid(sid, "WR"):
                position = cls(at, sid)
        if (
            position is not None
            and type(position.at) is int
            and 0 <= position.at < _LATEST_MS
            and position.to_cursor() == cursor
        ):
            return position
        raise BadRequest("cursor must be the next_cursor of a page of the same list.")


_Positions = Iterator[tuple[_Position, bool]]
"""Pairs (position, is_entry). A position without an entry ends a page early."""


class _ReadBudget:
    """The index pages that one request may read. A list that needs more is returned incomplete.

    Args:
        largest_first: whether to read the largest page first, which is necessary if the first page
            must contain a whole partition.
    """

    def __init__(self, *, largest_first: bool) -> None:
        self._page_sizes = sorted(_PAGE_SIZES, reverse=largest_first)
        self._empty_queries = _MAX_EMPTY_QUERIES
        self._ends_at = time.monotonic() + _MAX_SECONDS

    @property
    def page_size(self) -> int:
        """Maximum number of entries in the next index page."""
        return self._page_sizes[0]

    def deduct_query(self, entries_read: int) -> None:
        """Deduct a query from the budget. *entries_read* includes entries that do not match."""
        if entries_read:
            del self._page_sizes[0]
        else:
            self._empty_queries -= 1

    def may_continue(self) -> bool:
        """Return whether another page may be read."""
        has_pages = bool(self._page_sizes) and self._empty_queries > 0
        return has_pages and time.monotonic() < self._ends_at


class DynamoReservationListing:
    """Implements `chalicelib.usecases.ports.ReservationListing` with DynamoDB.

    Args:
        client: a client created by `make_client`.
        reservations_table: the name of the `reservations` table.
    """

    def __init__(self, client: Any, *, reservations_table: str) -> None:
        self._client = client
        self._table = reservations_table

    def fetch_page(
        self, query: ReservationQuery, cursor: str | None, *, now: int
    ) -> ReservationPage:
        """Return a page of Reservations.

        Args:
            query: the Reservations to list.
            cursor: the ``next_cursor`` of the previous page of the same query, or None.
            now: epoch ms.

        Raises:
            BadRequest: the cursor is invalid.
            StoreUnavailable: DynamoDB failed.
        """
        after = None if cursor is None else _Position.from_cursor(cursor)
        with translate_errors():
            return self._read_page(query, after, now)

    def _read_page(
        self, query: ReservationQuery, after: _Position | None, now: int
    ) -> ReservationPage:
        sids: list[str] = []
        for position, is_entry in self._positions(query, after, now):
            if position.at < query.since:
                break
            if is_entry:
                sids.append(position.reservation_sid)
            if len(sids) == query.limit or not is_entry:
                return ReservationPage(self._read_records(sids, query.status), position.to_cursor())
        return ReservationPage(self._read_records(sids, query.status), None)

    def cursor_after(self, reservation: Reservation) -> str:
        """Return the cursor of a page that starts after *reservation*."""
        return _Position(reservation.reserved_at, reservation.reservation_sid).to_cursor()

    def fetch_open(
        self, worker_sid: str | None, *, limit: int, now: int
    ) -> tuple[list[Reservation], bool]:
        """Return open Reservations, and whether there may be more.

        The search for one Worker's Reservations takes one query, and reads only the Worker's 200
        newest Reservations. There may be more if an older Reservation could still be pending or
        accepted. The search for all Workers takes at most one query per open status, which returns
        the Reservations that are due first.

        Args:
            worker_sid: WK… of the Worker whose Reservations to return; None for all Workers.
            limit: maximum number of Reservations.
            now: epoch ms.

        Raises:
            StoreUnavailable: DynamoDB failed.
        """
        with translate_errors():
            if worker_sid is None:
                sids, searched_until = self._open_sids(limit + 1), 0
            else:
                sids, searched_until = self._open_sids_of(worker_sid)
            records = self._read_records(sids[:limit], None)
        may_have_more = len(sids) > limit or now - searched_until < _LONGEST_OPEN_MS
        return [each for each in records if each.status in OPEN], may_have_more

    def _open_sids_of(self, worker_sid: str) -> tuple[list[str], int]:
        """Return the SIDs of a Worker's open Reservations, and how far back the search went.

        The second value is the creation time (epoch ms) of the oldest searched Reservation, or 0 if
        all of the Worker's Reservations were searched.
        """
        statuses = {f":{status}": status.value for status in OPEN}
        response = self._client.query(
            TableName=self._table,
            IndexName="by_worker",
            KeyConditionExpression="worker_sid = :worker_sid",
            FilterExpression=f"#status IN ({', '.join(statuses)})",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=to_item({":worker_sid": worker_sid, **statuses}),
            ScanIndexForward=False,
            Limit=_NEWEST_RESERVATIONS,
        )
        last = response.get("LastEvaluatedKey")
        sids = [from_item(item)["reservation_sid"] for item in response["Items"]]
        return sids, from_item(last)["reserved_at"] if last else 0

    def _open_sids(self, limit: int) -> list[str]:
        """Return the SIDs of at most *limit* open Reservations, according to the index."""
        sids: list[str] = []
        for status in OPEN:
            if len(sids) < limit:
                response = self._client.query(
                    TableName=self._table,
                    IndexName="due",
                    KeyConditionExpression="open_as = :status",
                    ExpressionAttributeValues=to_item({":status": status.value}),
                    Limit=limit - len(sids),
                )
                sids += [from_item(item)["reservation_sid"] for item in response["Items"]]
        return sids

    def _positions(self, query: ReservationQuery, after: _Position | None, now: int) -> _Positions:
        """Yield the positions after *after*.

        If the read is incomplete, the last position has no entry.
        """
        budget = _ReadBudget(largest_first=query.status in OPEN)
        if query.status in OPEN:
            entries, start = self._read_index("due", "open_as", query.status.value, budget)
            if start is None:
                yield from _sorted_positions(entries, query.worker_sid, after)
                return
        if query.worker_sid is not None:
            yield from self._worker_positions(query, query.worker_sid, after, budget)
        else:
            yield from self._hourly_positions(query, after or _Position(now), budget)

    def _worker_positions(
        self, query: ReservationQuery, worker_sid: str, after: _Position | None, budget: _ReadBudget
    ) -> _Positions:
        start = _start_key("worker_sid", worker_sid, after) if after else None
        while True:
            entries, start = self._read_index(
                "by_worker", "worker_sid", worker_sid, budget, start=start, status=query.status
            )
            yield from ((_position(entry), True) for entry in entries)
            if start is None:
                return
            if not budget.may_continue():
                break
        yield _position(from_item(start)), False

    def _hourly_positions(
        self, query: ReservationQuery, after: _Position, budget: _ReadBudget
    ) -> _Positions:
        hour = after.at - after.at % _HOUR_MS
        start = _start_key("hour", utc_hour(hour), after) if after.reservation_sid else None
        while True:
            entries, start = self._read_index(
                "by_hour", "hour", utc_hour(hour), budget, start=start, status=query.status
            )
            yield from ((_position(entry), True) for entry in entries)
            if start is None:
                hour -= _HOUR_MS
                if hour + _HOUR_MS <= query.since:
                    return
            if not budget.may_continue():
                break
        yield _position(from_item(start)) if start else _Position(hour + _HOUR_MS - 1), False

    def _read_index(
        self,
        index: str,
        key: str,
        value: str,
        budget: _ReadBudget,
        *,
        start: dict[str, Any] | None = None,
        status: Status | None = None,
    ) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """Query one partition, and deduct the query from the budget.

        Returns:
            The entries, and the start key of the next query, or None if there are no more entries.
        """
        values = {":value": value}
        if status is not None:
            values[":status"] = status.value
        request: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": index,
            "KeyConditionExpression": "#key = :value",
            "ExpressionAttributeNames": {"#key": key},
            "ExpressionAttributeValues": to_item(values),
            "ScanIndexForward": False,
            "Limit": budget.page_size,
        }
        if status is not None:
            request["FilterExpression"] = "#status = :status"
            request["ExpressionAttributeNames"]["#status"] = "status"
        if start is not None:
            request["ExclusiveStartKey"] = start
        response = self._client.query(**request)
        budget.deduct_query(response["ScannedCount"])
        return [from_item(item) for item in response["Items"]], response.get("LastEvaluatedKey")

    def _read_records(self, sids: list[str], status: Status | None) -> list[Reservation]:
        """Read the records, in the order of *sids*.

        The indexes lag behind the table. Records that no longer exist, or whose status is no
        longer *status*, are omitted.
        """
        keys = [{"reservation_sid": sid} for sid in sids]
        items = read_all(self._client, self._table, keys, ConsistentRead=True)
        records = {item["reservation_sid"]: to_reservation(item) for item in items}
        return [
            records[sid] for sid in sids if sid in records and status in (None, records[sid].status)
        ]


def _position(entry: dict[str, Any]) -> _Position:
    return _Position(entry["reserved_at"], entry["reservation_sid"])


def _sorted_positions(
    entries: list[dict[str, Any]], worker_sid: str | None, after: _Position | None
) -> _Positions:
    """Yield the positions of the entries that follow *after*, newest first.

    Args:
        entries: the entries, in any order.
        worker_sid: WK… of the Worker whose entries to include; None for all Workers.
        after: the position before the first entry; None to start with the newest entry.
    """
    positions = [_position(e) for e in entries if worker_sid in (None, e["worker_sid"])]
    # In descending order, a position without an entry precedes every entry with the same time.
    bound = after and _Position(after.at, after.reservation_sid or _AFTER_SIDS)
    for position in sorted(positions, reverse=True):
        if bound is None or position < bound:
            yield position, True


def _start_key(key: str, value: str, after: _Position) -> dict[str, Any]:
    """Return the ExclusiveStartKey for an index that is sorted by ``reserved_at``."""
    sid = after.reservation_sid or _AFTER_SIDS
    return to_item({key: value, "reserved_at": after.at, "reservation_sid": sid})
