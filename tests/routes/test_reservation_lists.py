"""`GET /reservations` filters Reservations and reads each page with a limited number of queries."""

import base64
import itertools
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.adapters.dynamodb import listing
from chalicelib.domain.errors import TaskRouterUnavailable
from chalicelib.usecases.list_reservations import MAX_LIMIT
from tests.routes.conftest import Api, list_pages, reserve
from tests.support import NOW, sid

WR = "WR" + "0" * 32


def list_sids(api: Api, query: str = "") -> list[str]:
    """Return the Reservation SIDs from all pages."""
    return [
        record["reservation_sid"]
        for page in list_pages(api, query)
        for record in page.json_body["reservations"]
    ]


class QueryCounter:
    """Counts a client's queries, and limits the page size of the `due` index.

    With a small page size, a test needs few entries to fill a page. In production, a page has up
    to 1,000 entries.
    """

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        self.indexes: list[str] = []
        self.read: list[int] = []
        self.due_page_sizes: Iterator[int] = itertools.repeat(100)
        self._send = api.service.dynamodb.query
        monkeypatch.setattr(api.service.dynamodb, "query", self)

    def __call__(self, **request: Any) -> Any:
        self.indexes.append(request["IndexName"])
        if request["IndexName"] == "due":
            request["Limit"] = next(self.due_page_sizes)
        response = self._send(**request)
        self.read.append(response["ScannedCount"])
        return response


def test_list_filters_by_status_worker_and_time(api: Api) -> None:
    first = reserve(api)
    api.clock.now += 2 * 3_600_000
    second, third = reserve(api), reserve(api)
    api.call("POST", f"/reservations/{third.reservation_sid}/accept")
    api.call("POST", f"/reservations/{first.reservation_sid}/reject")
    sids = {
        name: remote.reservation_sid
        for name, remote in (("first", first), ("second", second), ("third", third))
    }

    assert set(list_sids(api)) == set(sids.values())
    assert list_sids(api)[-1] == sids["first"]
    assert list_sids(api, "status=pending") == [sids["second"]]
    assert list_sids(api, "status=accepted") == [sids["third"]]
    assert list_sids(api, "status=rejected") == [sids["first"]]
    assert list_sids(api, f"worker_sid={second.worker_sid}") == [sids["second"]]
    assert list_sids(api, f"worker_sid={second.worker_sid}&status=accepted") == []
    assert sids["first"] not in list_sids(api, "since=2026-09-21T15:00:00Z")


def test_page_contains_50_reservations_by_default(api: Api) -> None:
    for _ in range(51):
        reserve(api)
    first, second, *_ = [len(page.json_body["reservations"]) for page in list_pages(api, "")]
    assert (first, second) == (50, 1)


@pytest.fixture
def tokyo_time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the time zone of this process to UTC+9."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("tokyo_time_zone")
def test_time_without_an_offset_is_in_utc(api: Api) -> None:
    remote = reserve(api)
    at = datetime.fromtimestamp(NOW / 1000, UTC).replace(tzinfo=None)
    assert list_sids(api, f"since={(at - timedelta(hours=1)).isoformat()}") == [
        remote.reservation_sid
    ]
    assert list_sids(api, f"since={(at + timedelta(hours=1)).isoformat()}") == []
    assert list_sids(api, f"since={(at + timedelta(hours=8)).isoformat()}%2B09:00") == [
        remote.reservation_sid
    ]


def test_reservations_older_than_a_day_are_listed_only_if_the_query_contains_since_or_status(
    api: Api,
) -> None:
    remote = reserve(api)
    api.clock.now += 30 * 3_600_000

    assert list_sids(api) == []
    assert list_sids(api, "since=2026-09-21") == [remote.reservation_sid]
    assert list_sids(api, "status=pending") == [remote.reservation_sid]


@pytest.mark.parametrize("query", ["", "status=pending&", "worker"])
def test_each_reservation_is_on_exactly_one_page(api: Api, query: str) -> None:
    worker_sid = sid("WK")
    sids = []
    for _ in range(7):
        sids.append(reserve(api, worker_sid=worker_sid).reservation_sid)
        api.clock.now += 20 * 60_000
    query = f"worker_sid={worker_sid}&" if query == "worker" else query

    for limit in (1, 2, 7, 100):
        listing = list_sids(api, f"{query}limit={limit}")
        assert sorted(listing) == sorted(sids)
    assert list_sids(api, f"{query}limit=3") == sids[::-1]


def test_reservation_claimed_between_pages_is_not_skipped(api: Api) -> None:
    remotes = []
    for _ in range(4):
        remotes.append(reserve(api))
        api.clock.now += 1_000
    api.taskrouter.fail_before["update"] = [TaskRouterUnavailable("connection lost")]
    first = api.call("GET", "/reservations?status=pending&limit=2").json_body
    # A claim moves the record within the index that the list reads.
    api.call("POST", f"/reservations/{remotes[0].reservation_sid}/accept")

    cursor = first["next_cursor"]
    second = api.call("GET", f"/reservations?status=pending&limit=9&cursor={cursor}").json_body
    sids = [record["reservation_sid"] for record in first["reservations"] + second["reservations"]]
    assert sids == [remote.reservation_sid for remote in reversed(remotes)]


@pytest.mark.parametrize("query", ["", "status=rejected&", "worker"])
def test_cursor_older_than_the_since_parameter_ends_the_list(api: Api, query: str) -> None:
    worker_sid = sid("WK")
    for _ in range(3):
        reserve(api, worker_sid=worker_sid)
    query = f"worker_sid={worker_sid}&" if query == "worker" else query
    page = api.call("GET", f"/reservations?{query.replace('status=rejected&', '')}limit=1")
    cursor = page.json_body["next_cursor"]
    since = "since=2026-09-21T14:13:21Z"

    response = api.call("GET", f"/reservations?{query}{since}&cursor={cursor}")
    assert (response.status_code, response.json_body["reservations"]) == (200, [])


def test_pending_reservations_are_listed_from_the_due_index(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_sid = sid("WK")
    reserve(api, worker_sid=worker_sid)
    queries = QueryCounter(api, monkeypatch)

    assert len(list_sids(api, f"status=pending&worker_sid={worker_sid}")) == 1
    assert list_sids(api, f"status=pending&worker_sid={sid('WK')}") == []
    assert queries.indexes == ["due", "due"]


def test_all_reservations_in_a_long_time_range_are_listed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_PAGE_SIZES", (1, 3))
    worker_sid = sid("WK")
    sids = [reserve(api, worker_sid=worker_sid).reservation_sid for _ in range(60)]
    for reservation_sid in sids[:2]:
        api.call("POST", f"/reservations/{reservation_sid}/reject")
    api.clock.now += 3 * 86_400_000

    since = "since=2026-09-20"
    assert set(list_sids(api, since)) == set(sids)
    assert set(list_sids(api, f"{since}&status=rejected")) == set(sids[:2])
    assert set(list_sids(api, f"worker_sid={worker_sid}&status=rejected")) == set(sids[:2])


@pytest.mark.parametrize("due_page_size", [2, 100])
def test_each_request_reads_at_most_two_index_pages_with_entries(
    api: Api, monkeypatch: pytest.MonkeyPatch, due_page_size: int
) -> None:
    monkeypatch.setattr(listing, "_PAGE_SIZES", (2, 2))
    worker_sid, other_sid = sid("WK"), sid("WK")
    records: list[tuple[str, str, str]] = []
    for number in range(12):
        remote = reserve(api, worker_sid=worker_sid if number % 2 else other_sid)
        status = ("pending", "accepted", "rejected")[number % 3]
        if status != "pending":
            verb = status.removesuffix("ed")
            api.call("POST", f"/reservations/{remote.reservation_sid}/{verb}")
        records.insert(0, (remote.reservation_sid, status, remote.worker_sid))
        api.clock.now += 25 * 60_000
    queries = QueryCounter(api, monkeypatch)
    queries.due_page_sizes = itertools.repeat(due_page_size)

    for status in ("", "pending", "accepted", "rejected", "wrapping", "gone"):
        for worker in ("", worker_sid, sid("WK")):
            query = "limit=3" + f"&status={status}" * bool(status)
            query += f"&worker_sid={worker}" * bool(worker)
            listed: list[str] = []
            for page in list_pages(api, f"{query}&since=2026-09-21"):
                assert len(queries.read) - queries.read.count(0) <= 2, (query, queries.read)
                assert queries.read.count(0) <= 8, (query, queries.read)
                queries.read.clear()
                listed += [record["reservation_sid"] for record in page.json_body["reservations"]]
            assert listed == [
                reservation_sid
                for reservation_sid, recorded, owner in records
                if status in ("", recorded) and worker in ("", owner)
            ], query


@pytest.mark.parametrize("query", ["", "&status=rejected", "&status=gone"])
def test_four_days_without_entries_take_14_requests_with_at_most_eight_empty_queries_each(
    api: Api, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    first = reserve(api).reservation_sid
    api.call("POST", f"/reservations/{first}/reject")
    api.clock.now += 4 * 86_400_000
    queries = QueryCounter(api, monkeypatch)

    sids, counts = [], []
    for page in list_pages(api, f"since=2026-09-21{query}"):
        counts.append(queries.read.count(0))
        queries.read.clear()
        sids += [record["reservation_sid"] for record in page.json_body["reservations"]]

    assert (set(counts[:-1]), len(counts)) == ({8}, 14)
    assert sids == ([] if "gone" in query else [first])


@pytest.mark.parametrize("worker", ["", "worker_sid={}&"])
@pytest.mark.parametrize("status", ["gone", "canceled", "rejected"])
def test_entries_with_other_statuses_count_toward_the_limit_of_two_index_pages(
    api: Api, monkeypatch: pytest.MonkeyPatch, worker: str, status: str
) -> None:
    monkeypatch.setattr(listing, "_PAGE_SIZES", (2, 5))
    worker_sid = sid("WK")
    for _ in range(30):
        reserve(api, worker_sid=worker_sid)
        api.clock.now += 20 * 60_000
    rejected = reserve(api, worker_sid=worker_sid).reservation_sid
    api.call("POST", f"/reservations/{rejected}/reject")
    api.clock.now += 20 * 60_000
    queries = QueryCounter(api, monkeypatch)

    listed = []
    for page in list_pages(api, f"{worker.format(worker_sid)}status={status}&since=2026-09-21"):
        pages = [entries for entries in queries.read if entries]
        assert len(pages) <= 2, queries.read
        assert all(entries <= size for entries, size in zip(pages, (2, 5), strict=False))
        queries.read.clear()
        listed += [record["reservation_sid"] for record in page.json_body["reservations"]]

    assert listed == ([rejected] if status == "rejected" else [])


def test_slow_queries_end_a_page_early(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    first = reserve(api).reservation_sid
    api.clock.now += 2 * 3_600_000
    queries = QueryCounter(api, monkeypatch)
    monkeypatch.setattr(listing, "_MAX_SECONDS", 0.0)

    page = api.call("GET", "/reservations").json_body

    assert (page["reservations"], queries.indexes) == ([], ["by_hour"])
    assert list_sids(api) == [first]


def test_list_continues_if_its_pages_come_from_different_indexes(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries from the `due` index are sorted, so both indexes yield the same order."""
    sids = [reserve(api).reservation_sid for _ in range(6)]
    queries = QueryCounter(api, monkeypatch)
    for sizes in ((1, 100), (100, 1)):
        queries.due_page_sizes = itertools.chain(sizes, itertools.repeat(100))
        assert sorted(list_sids(api, "status=pending&limit=2")) == sorted(sids)


@pytest.mark.parametrize("query", ["status=pending", "status=pending&worker_sid={}"])
@pytest.mark.parametrize("sizes", [(2, 5), (2, 12), (3, 13)])
def test_number_of_entries_read_for_a_page_of_open_reservations_is_limited(
    api: Api, monkeypatch: pytest.MonkeyPatch, query: str, sizes: tuple[int, int]
) -> None:
    monkeypatch.setattr(listing, "_PAGE_SIZES", sizes)
    worker_sid = sid("WK")
    sids = []
    for _ in range(12):
        sids.insert(0, reserve(api, worker_sid=worker_sid).reservation_sid)
        api.clock.now += 20 * 60_000
    read: list[int] = []
    send = api.service.dynamodb.query

    def count_entries(**request: Any) -> Any:
        response = send(**request)
        read.append(response["ScannedCount"])
        return response

    monkeypatch.setattr(api.service.dynamodb, "query", count_entries)

    listed = []
    for page in list_pages(api, f"limit=5&since=2026-09-21&{query.format(worker_sid)}"):
        assert sum(read) <= sum(sizes)
        assert read[0] <= sizes[1]
        read.clear()
        listed += [record["reservation_sid"] for record in page.json_body["reservations"]]
    assert listed == sids


def test_list_without_matching_open_reservations_reads_one_page(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_sid = reserve(api).worker_sid
    queries = QueryCounter(api, monkeypatch)

    page = api.call("GET", f"/reservations?worker_sid={worker_sid}&status=wrapping").json_body

    assert page == {"reservations": [], "next_cursor": None}
    assert queries.indexes == ["due"]


def test_list_contains_every_callback_parameter(api: Api) -> None:
    parameters = api.callback_parameters()
    api.post_callback(parameters)

    (record,) = api.call("GET", "/reservations?status=pending").json_body["reservations"]
    assert record["callback"] == parameters


@pytest.mark.parametrize(
    "query",
    [
        "status=unknown",
        "status=",
        "worker_sid=Alice",
        "since=yesterday",
        "since=9999999-01-01",
        "limit=0",
        f"limit={MAX_LIMIT + 1}",
        "limit=-1",
        "limit=1e2",
        "limit=99999999999999999999",
        "limit=0100",
        "limit=0001",
        f"limit=0001{'0' * 4500}",
        "cursor=",
        "cursor=x",
        "cursor=%C3%A9",
        "cursor=W10",
        "limit=1&limit=2",
    ],
)
def test_invalid_query_returns_400(api: Api, query: str) -> None:
    response = api.call("GET", f"/reservations?{query}")
    assert response.status_code == 400, response.body
    assert response.json_body["Code"] == "BadRequestError"


@pytest.mark.parametrize(
    "position",
    [
        [-1],
        [2**70],
        [1.5],
        [True],
        [NOW, WR, 1],
        [NOW, "WR"],
        [str(NOW)],
        {"at": NOW},
        [[NOW]],
        "x",
        None,
    ],
)
def test_malformed_cursor_returns_400(api: Api, position: object) -> None:
    text = json.dumps(position, separators=(",", ":")).encode()
    cursor = base64.urlsafe_b64encode(text).decode().rstrip("=")
    assert api.call("GET", f"/reservations?cursor={cursor}").status_code == 400
