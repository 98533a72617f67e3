"""Listing Reservations sends the expected queries and returns the expected pages."""

import base64
import itertools
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.adapters.dynamodb import listing as adapter
from chalicelib.adapters.dynamodb.client import from_item, to_item
from chalicelib.adapters.dynamodb.listing import DynamoReservationListing
from chalicelib.domain.errors import BadRequest
from chalicelib.domain.reservation_lists import ReservationQuery
from chalicelib.domain.reservations import Status

HOUR = 3_600_000
AT = 497_222 * HOUR
"""The start of an hour: 2026-09-21T14:00:00Z, in epoch ms."""

WORKER, OTHER = "WK" + "1" * 32, "WK" + "2" * 32
LATEST = 32_503_680_000_000
"""The year 3000, in epoch ms. Times in cursors must be earlier."""


def wr(number: int) -> str:
    return f"WR{number:032x}"


def cursor_of(*position: Any) -> str:
    text = json.dumps(position, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def entry(number: int, at: int, worker_sid: str = WORKER) -> dict[str, Any]:
    return {"reservation_sid": wr(number), "reserved_at": at, "worker_sid": worker_sid}


class ScriptedDynamoDb:
    """Responds to queries with the given pages, and then with empty pages.

    Each record is pending unless `statuses` contains a different status. None means that the
    record is missing.
    """

    def __init__(self, *pages: dict[str, Any]) -> None:
        self.requests: list[dict[str, Any]] = []
        self.batches: list[dict[str, Any]] = []
        self.statuses: dict[str, str | None] = {}
        self._pages: Iterator[dict[str, Any]] = itertools.chain(pages, itertools.repeat(page()))

    def query(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        return next(self._pages)

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803  boto3's name
        self.batches.append(RequestItems)
        keys = [from_item(key)["reservation_sid"] for key in RequestItems["table"]["Keys"]]
        found = [sid for sid in reversed(keys) if self.statuses.get(sid, "pending")]
        return {"Responses": {"table": [to_item(self._record(sid)) for sid in found]}}

    def _record(self, sid: str) -> dict[str, Any]:
        return {
            "reservation_sid": sid,
            "task_sid": "WT",
            "worker_sid": WORKER,
            "status": self.statuses.get(sid, "pending"),
            "reserved_at": AT,
            "expires_at": AT,
        }

    def partitions(self) -> list[str]:
        """Return the partition key value of each query."""
        return [request["ExpressionAttributeValues"][":value"]["S"] for request in self.requests]


def page(
    *entries: dict[str, Any], scanned: int | None = None, last: dict[str, Any] | None = None
) -> dict[str, Any]:
    response: dict[str, Any] = {
        "Items": [to_item(each) for each in entries],
        "ScannedCount": len(entries) if scanned is None else scanned,
    }
    return response | ({"LastEvaluatedKey": to_item(last)} if last else {})


def fetch(
    client: ScriptedDynamoDb, cursor: str | None = None, *, now: int = AT + 5, **query: Any
) -> tuple[list[str], str | None]:
    """Return the SIDs and the cursor of a page."""
    values = {"since": AT - 99 * HOUR, "limit": 50, "status": None, "worker_sid": None, **query}
    reservations = DynamoReservationListing(client, reservations_table="table")
    result = reservations.fetch_page(ReservationQuery(**values), cursor, now=now)
    return [record.reservation_sid for record in result.reservations], result.next_cursor


def expected_request(index: str, key: str, value: str, **options: Any) -> dict[str, Any]:
    return {
        "TableName": "table",
        "IndexName": index,
        "KeyConditionExpression": "#key = :value",
        "ExpressionAttributeNames": {"#key": key},
        "ExpressionAttributeValues": {":value": {"S": value}},
        "ScanIndexForward": False,
        **options,
    }


def filtered(request: dict[str, Any], status: str) -> dict[str, Any]:
    return {
        **request,
        "FilterExpression": "#status = :status",
        "ExpressionAttributeNames": {**request["ExpressionAttributeNames"], "#status": "status"},
        "ExpressionAttributeValues": {
            **request["ExpressionAttributeValues"],
            ":status": {"S": status},
        },
    }


# Queries


def test_hours_are_read_backward_and_the_second_page_of_an_hour_is_larger() -> None:
    last = {**entry(1, AT - 7), "hour": "2026-09-21T13"}
    client = ScriptedDynamoDb(page(), page(entry(1, AT - 7), last=last), page(entry(2, AT - 8)))

    assert fetch(client) == ([wr(1), wr(2)], cursor_of(AT - HOUR - 1))

    start = to_item(last)
    assert client.requests == [
        expected_request("by_hour", "hour", "2026-09-21T14", Limit=100),
        expected_request("by_hour", "hour", "2026-09-21T13", Limit=100),
        expected_request("by_hour", "hour", "2026-09-21T13", Limit=1_000, ExclusiveStartKey=start),
    ]


@pytest.mark.parametrize("status", [*Status, None])
def test_worker_list_filters_the_worker_index_by_status(status: Status | None) -> None:
    last = {**entry(1, AT), "extra": "x"}
    client = ScriptedDynamoDb(page(entry(1, AT), last=last), page(entry(2, AT)))
    if status is not None:
        client.statuses = {wr(1): status.value, wr(2): status.value}

    assert fetch(client, worker_sid=WORKER, status=status) == (
        ([wr(2)], None) if status in ("pending", "accepted", "wrapping") else ([wr(1), wr(2)], None)
    )

    if status in ("pending", "accepted", "wrapping"):
        assert client.requests[0] == expected_request("due", "open_as", str(status), Limit=1_000)
        del client.requests[0]
        sizes, starts = [100], [{}]
    else:
        sizes, starts = [100, 1_000], [{}, {"ExclusiveStartKey": to_item(last)}]
    expected = [
        expected_request("by_worker", "worker_sid", WORKER, Limit=size, **start)
        for size, start in zip(sizes, starts, strict=True)
    ]
    assert client.requests == [filtered(each, status) if status else each for each in expected]


def test_page_of_a_list_ends_after_two_index_pages_even_if_entries_remain() -> None:
    for worker_sid in (WORKER, None):
        last_keys = [entry(9, AT + 1), entry(8, AT)]
        pages = [page(scanned=100, last=last_keys[0]), page(scanned=1_000, last=last_keys[1])]
        client = ScriptedDynamoDb(*pages)
        assert fetch(client, worker_sid=worker_sid, status=Status.GONE) == (
            [],
            cursor_of(AT, wr(8)),
        )
        assert len(client.requests) == 2


def test_eight_empty_queries_end_a_page() -> None:
    client = ScriptedDynamoDb()
    assert fetch(client) == ([], cursor_of(AT - 7 * HOUR - 1))
    assert client.partitions() == [f"2026-09-21T{14 - hour:02}" for hour in range(8)]
    assert fetch(client, cursor_of(AT - 7 * HOUR - 1))[1] == cursor_of(AT - 15 * HOUR - 1)
    assert client.partitions()[8] == "2026-09-21T06"


@pytest.mark.parametrize(("seconds", "queries"), [(9.99, 8), (10.0, 1)])
def test_no_query_starts_after_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, seconds: float, queries: int
) -> None:
    times = itertools.chain([5.0], itertools.repeat(5.0 + seconds))
    monkeypatch.setattr(adapter, "time", SimpleNamespace(monotonic=lambda: next(times)))
    client = ScriptedDynamoDb()
    fetch(client)
    assert len(client.requests) == queries


@pytest.mark.parametrize(
    ("since", "hours"),
    [(AT, 1), (AT + 1, 1), (AT - 1, 2), (AT - HOUR, 2), (AT - HOUR - 1, 3)],
)
def test_hours_before_the_start_of_the_period_are_not_read(since: int, hours: int) -> None:
    client = ScriptedDynamoDb()
    assert fetch(client, since=since) == ([], None)
    assert len(client.requests) == hours


@pytest.mark.parametrize("now", [AT, AT + HOUR - 1])
def test_list_starts_with_the_current_hour(now: int) -> None:
    client = ScriptedDynamoDb()
    fetch(client, now=now, since=now)
    assert client.partitions() == ["2026-09-21T14"]


# Pages


def test_entry_before_the_start_of_the_period_ends_the_list() -> None:
    client = ScriptedDynamoDb(
        page(entry(1, AT + 2), entry(2, AT + 1), entry(3, AT), entry(4, AT + 9))
    )
    assert fetch(client, since=AT + 1) == ([wr(1), wr(2)], None)


@pytest.mark.parametrize("limit", [1, 2])
def test_page_ends_at_its_limit(limit: int) -> None:
    client = ScriptedDynamoDb(page(entry(1, AT + 2), entry(2, AT + 1), entry(3, AT)))
    sids, cursor = fetch(client, limit=limit)
    assert sids == [wr(1), wr(2)][:limit]
    assert cursor == cursor_of(AT + 3 - limit, wr(limit))


def test_records_are_read_consistently_and_missing_or_non_matching_records_are_omitted() -> None:
    entries = [entry(number, AT) for number in range(4)]
    for status, expected in ((Status.PENDING, [wr(3), wr(1)]), (None, [wr(1), wr(2), wr(3)])):
        client = ScriptedDynamoDb(page(*entries), page())
        client.statuses = {wr(0): None, wr(2): "accepted"}
        assert fetch(client, status=status, since=AT)[0] == expected
        (batch,) = client.batches
        assert batch["table"]["ConsistentRead"] is True


def test_open_reservations_are_filtered_by_worker_and_sorted() -> None:
    entries = [entry(1, AT), entry(2, AT + 1), entry(3, AT + 1), entry(4, AT + 2, OTHER)]
    for worker_sid, expected in ((None, [4, 3, 2, 1]), (WORKER, [3, 2, 1]), (OTHER, [4])):
        client = ScriptedDynamoDb(page(*entries))
        sids, cursor = fetch(client, status=Status.PENDING, worker_sid=worker_sid)
        assert (sids, cursor) == ([wr(number) for number in expected], None)
        assert len(client.requests) == 1


@pytest.mark.parametrize(
    ("cursor", "expected"),
    [
        (cursor_of(AT + 1, wr(3)), [2, 1]),
        (cursor_of(AT + 1, wr(2)), [1]),
        (cursor_of(AT + 1), [3, 2, 1]),
        (cursor_of(AT), [1]),
        (cursor_of(AT - 1), []),
        (cursor_of(AT + 2), [4, 3, 2, 1]),
    ],
)
def test_list_of_open_reservations_continues_after_the_cursor(
    cursor: str, expected: list[int]
) -> None:
    entries = [entry(1, AT), entry(2, AT + 1), entry(3, AT + 1), entry(4, AT + 2)]
    client = ScriptedDynamoDb(page(*entries))
    sids, _ = fetch(client, cursor, status=Status.PENDING)
    assert sids == [wr(number) for number in expected]


@pytest.mark.parametrize("worker_sid", [WORKER, None])
@pytest.mark.parametrize(
    ("cursor", "start"),
    [(cursor_of(AT + 1, wr(3)), wr(3)), (cursor_of(AT + 1), "WS"), (None, None)],
)
def test_cursor_selects_the_exclusive_start_key(
    worker_sid: str | None, cursor: str | None, start: str | None
) -> None:
    client = ScriptedDynamoDb()
    fetch(client, cursor, worker_sid=worker_sid)
    key = {"worker_sid": WORKER} if worker_sid else {"hour": "2026-09-21T14"}
    expected = to_item({**key, "reserved_at": AT + 1, "reservation_sid": start})
    # The first page needs no start key. If a cursor for the `by_hour` index contains no
    # Reservation SID, its hour is read from the end.
    if start is None or (start == "WS" and worker_sid is None):
        expected = None  # type: ignore[assignment]
    assert client.requests[0].get("ExclusiveStartKey") == expected
    assert "ExclusiveStartKey" not in client.requests[-1] or len(client.requests) == 1


def test_cursor_after_a_reservation_contains_its_time_and_sid() -> None:
    reservations = DynamoReservationListing(None, reservations_table="table")
    reservation: Any = SimpleNamespace(reserved_at=AT, reservation_sid=wr(7))
    assert reservations.cursor_after(reservation) == cursor_of(AT, wr(7))


# Cursors


@pytest.mark.parametrize(
    "position",
    [[0], [1], [LATEST - 1], [AT], [AT + 1], [0, wr(0)], [LATEST - 1, wr(1)], [AT, wr(2)]],
)
def test_valid_cursor_is_accepted(position: list[Any]) -> None:
    assert fetch(ScriptedDynamoDb(), cursor_of(*position), worker_sid=WORKER) == ([], None)


VALID = cursor_of(AT, wr(1))


@pytest.mark.parametrize(
    "cursor",
    [
        *[cursor_of(*position) for position in ([-1], [LATEST], [True], [1.5], [], [[1]], ["1"])],
        *[cursor_of(*position) for position in ([AT, wr(1), 1], [AT, "WR"], [AT, None], [wr(1)])],
        *[cursor_of(*position) for position in ([-1, wr(1)], [AT, ""], [AT, "WT" + "1" * 32])],
        f"{VALID}=",
        f"{VALID}==",
        f"{VALID}!",
        f" {VALID}",
        VALID[:-1],
        base64.urlsafe_b64encode(b"[ 1]").decode().rstrip("="),
        base64.urlsafe_b64encode(b"[1").decode().rstrip("="),
        base64.urlsafe_b64encode(b"[1, \xff]").decode().rstrip("="),
        "é",
        "",
        "x",
    ],
)
@pytest.mark.parametrize("status", [Status.PENDING, None])
def test_malformed_cursor_is_rejected(cursor: str, status: Status | None) -> None:
    client = ScriptedDynamoDb()
    with pytest.raises(BadRequest, match="cursor must be the next_cursor of a page"):
        fetch(client, cursor, status=status)
    assert client.requests == []
