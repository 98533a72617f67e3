"""The `state` table stores idempotency keys, search budgets and jobs.

The table also stores the last sweep and the Activities of Workers.
"""

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.adapters.dynamodb.activities import DynamoWorkerActivities
from chalicelib.adapters.dynamodb.client import from_item, to_item
from chalicelib.adapters.dynamodb.idempotency import DynamoIdempotencyStore
from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.callbacks import Form
from chalicelib.domain.tasks import IdempotencyRecord
from chalicelib.domain.workers import ACTIVITY_EVENT, WorkerActivity
from tests.support import NOW, sid

SECONDS = NOW // 1000
DAY = 86_400
RESPONSE = {"sid": "WT1", "priority": 3}


@pytest.fixture(scope="module")
def keys(store: DynamoReservationStore) -> DynamoIdempotencyStore:
    return DynamoIdempotencyStore(store._client, state_table=store._state)


@pytest.fixture
def key() -> str:
    return sid("key-")


def read(store: Any, key: dict[str, str]) -> dict[str, Any] | None:
    table = store._state if isinstance(store, DynamoReservationStore) else store._table
    response = store._client.get_item(TableName=table, Key=to_item(key), ConsistentRead=True)
    return from_item(response["Item"]) if "Item" in response else None


def hashed(key: str) -> dict[str, str]:
    return {"id": "key#" + hashlib.sha256(key.encode()).hexdigest()}


def acquire(
    keys: DynamoIdempotencyStore, key: str, *, owner: str = "ann", now: int = NOW
) -> IdempotencyRecord:
    return keys.acquire(key, f"fingerprint of {owner}", owner=owner, now=now, until=now + 30_000)


# Idempotency keys


def test_acquired_key_is_stored_for_a_day(keys: DynamoIdempotencyStore, key: str) -> None:
    record = acquire(keys, key, now=NOW + 999)

    assert record == IdempotencyRecord(
        fingerprint="fingerprint of ann",
        marker="ann",
        owner="ann",
        until=NOW + 30_999,
        response=None,
    )
    assert read(keys, hashed(key)) == {
        **hashed(key),
        "fingerprint": "fingerprint of ann",
        "marker": "ann",
        "owner": "ann",
        "until": NOW + 30_999,
        "ttl": SECONDS + DAY,
    }


@pytest.mark.parametrize(("elapsed", "owner"), [(DAY - 1, "ann"), (DAY, "bob"), (DAY + 1, "bob")])
def test_key_can_be_acquired_again_after_a_day(
    keys: DynamoIdempotencyStore, key: str, elapsed: int, owner: str
) -> None:
    acquire(keys, key)
    keys.save_response(key, RESPONSE, owner="ann")

    record = acquire(keys, key, owner="bob", now=NOW + 1000 * elapsed)

    assert record.owner == record.marker == owner
    assert record.fingerprint == f"fingerprint of {owner}"
    assert record.response == (RESPONSE if owner == "ann" else None)


@pytest.mark.parametrize(("elapsed", "is_found"), [(0, True), (DAY - 1, True), (DAY, False)])
def test_unscoped_key_is_found_for_a_day(
    keys: DynamoIdempotencyStore, key: str, elapsed: int, *, is_found: bool
) -> None:
    record = acquire(keys, key)
    assert keys.get_unscoped(key, now=NOW + 1000 * elapsed) == (record if is_found else None)


def test_unscoped_key_that_was_never_acquired_is_not_found(
    keys: DynamoIdempotencyStore, key: str
) -> None:
    assert keys.get_unscoped(key, now=NOW) is None


def test_record_written_by_an_earlier_version_has_no_marker(
    keys: DynamoIdempotencyStore, key: str
) -> None:
    item = {**hashed(key), "fingerprint": "f", "owner": "ann", "until": NOW, "ttl": SECONDS + 1}
    keys._client.put_item(TableName=keys._table, Item=to_item(item))
    assert keys.get_unscoped(key, now=NOW) == IdempotencyRecord(
        fingerprint="f", marker="", owner="ann", until=NOW, response=None
    )


def test_unscoped_key_is_read_consistently(
    keys: DynamoIdempotencyStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[dict[str, Any]] = []
    get_item = keys._client.get_item
    monkeypatch.setattr(
        keys._client, "get_item", lambda **request: requests.append(request) or get_item(**request)
    )
    keys.get_unscoped(key, now=NOW)
    assert [request["ConsistentRead"] for request in requests] == [True]


@pytest.mark.parametrize(
    ("expired_at", "has_response", "owner"),
    [
        (NOW + 30_000, False, "bob"),
        (NOW + 29_999, False, "ann"),
        (NOW + 30_001, False, "ann"),
        (NOW + 30_000, True, "ann"),
    ],
)
def test_only_a_key_without_a_response_and_with_the_expected_lease_is_taken_over(
    keys: DynamoIdempotencyStore, key: str, expired_at: int, *, has_response: bool, owner: str
) -> None:
    acquire(keys, key)
    if has_response:
        keys.save_response(key, RESPONSE, owner="ann")
    before = read(keys, hashed(key))
    assert before is not None

    is_taken_over = keys.take_over(key, owner="bob", expired_at=expired_at, until=NOW + 60_000)

    assert is_taken_over == (owner == "bob")
    changes = {"owner": "bob", "until": NOW + 60_000} if owner == "bob" else {}
    assert read(keys, hashed(key)) == {**before, **changes}


def test_repeated_takeover_succeeds_only_for_the_new_owner(
    keys: DynamoIdempotencyStore, key: str
) -> None:
    acquire(keys, key)
    for owner, is_taken_over in (("bob", True), ("bob", True), ("eve", False)):
        taken = keys.take_over(key, owner=owner, expired_at=NOW + 30_000, until=NOW + 60_000)
        assert taken == is_taken_over


@pytest.mark.parametrize("owner", ["ann", "bob"])
def test_only_the_owner_can_change_a_key(
    keys: DynamoIdempotencyStore, key: str, owner: str
) -> None:
    acquire(keys, key)
    before = read(keys, hashed(key))
    assert before is not None

    keys.expire_lease(key, owner=owner, now=NOW + 7)
    keys.save_response(key, RESPONSE, owner=owner)
    keys.release(key, owner=owner, now=NOW + 7_999)

    changes = {"until": NOW + 7, "answer": RESPONSE, "ttl": SECONDS + 7} if owner == "ann" else {}
    assert read(keys, hashed(key)) == {**before, **changes}


def test_released_key_can_be_acquired_at_once(keys: DynamoIdempotencyStore, key: str) -> None:
    acquire(keys, key)
    keys.release(key, owner="ann", now=NOW + 5)
    assert acquire(keys, key, owner="bob", now=NOW + 5).owner == "bob"


def test_three_searches_per_second_are_allowed(keys: DynamoIdempotencyStore) -> None:
    now = NOW + 1_000_000
    allowed = [keys.consume_search_budget(now=now + offset) for offset in (0, 1, 500, 501, 999)]
    assert allowed == [True, True, True, False, False]
    assert keys.consume_search_budget(now=now + 1000)
    for number in range(3):
        searched = {"id": f"search#{now // 1000}#{number}"}
        assert read(keys, searched) == {**searched, "ttl": now // 1000 + 60}


# Jobs


def test_periodic_job_starts_when_it_is_due(store: DynamoReservationStore, key: str) -> None:
    assert store.start_periodic_job(key, now=NOW, retry_at=NOW + 60_000, run_id="0") == (True, {})
    assert read(store, {"id": key}) == {
        "id": key,
        "at": NOW,
        "due_at": NOW + 60_000,
        "run_id": "0",
    }
    runs = [(NOW, False), (NOW + 59_999, False), (NOW + 60_000, True), (NOW + 60_001, False)]
    for number, (now, starts) in enumerate(runs, 1):
        run_id = str(number)
        started, _ = store.start_periodic_job(key, now=now, retry_at=now + 60_000, run_id=run_id)
        assert started == starts


def test_repeated_start_of_a_job_succeeds_only_for_the_same_run(
    store: DynamoReservationStore, key: str
) -> None:
    def starts(run_id: str) -> bool:
        return store.start_periodic_job(key, now=NOW, retry_at=NOW + 1, run_id=run_id)[0]

    assert [starts("a"), starts("a"), starts("b"), starts("a")] == [True, True, False, True]


def test_progress_of_a_job_and_its_parts_is_returned_at_the_next_start(
    store: DynamoReservationStore, key: str
) -> None:
    progress = {"": NOW, "created": NOW + 1}
    store.start_periodic_job(key, now=NOW, retry_at=NOW, run_id="1")
    store.save_progress(key, progress)

    assert store.start_periodic_job(key, now=NOW, retry_at=NOW + 5, run_id="2") == (True, progress)
    assert read(store, {"id": key}) == {
        "id": key,
        "at": NOW,
        "due_at": NOW + 5,
        "run_id": "2",
        "done_until": NOW,
        "done_until_created": NOW + 1,
    }


@pytest.mark.parametrize(
    ("first", "second", "is_saved"),
    [(NOW, NOW, True), (NOW + 1, NOW, True), (NOW - 1, NOW, False), (NOW + 1, NOW - 1, False)],
)
def test_progress_is_saved_unless_a_part_has_already_progressed_further(
    store: DynamoReservationStore, key: str, first: int, second: int, *, is_saved: bool
) -> None:
    store.save_progress(key, {"a": NOW, "b": NOW}, due_at=NOW + 1)
    before = {"id": key, "due_at": NOW + 1, "done_until_a": NOW, "done_until_b": NOW}
    assert read(store, {"id": key}) == before

    store.save_progress(key, {"a": first, "b": second, "c": NOW}, due_at=NOW + 2)

    changes = {
        "due_at": NOW + 2,
        "done_until_a": first,
        "done_until_b": second,
        "done_until_c": NOW,
    }
    assert read(store, {"id": key}) == (before | changes if is_saved else before)


def test_last_sweep_replaces_the_previous_sweep(store: DynamoReservationStore) -> None:
    store.save_sweep({"at": NOW, "found": 2})
    store.save_sweep({"at": NOW + 1})
    assert read(store, {"id": "last_sweep"}) == {"id": "last_sweep", "at": NOW + 1}


# Activities


@given(times=st.sets(st.integers(0, 2_500), min_size=1, max_size=6), data=st.data())
@settings(max_examples=60, deadline=None)
def test_latest_event_determines_the_activity_whatever_the_order_of_arrival(
    store: DynamoReservationStore, times: set[int], data: st.DataObject
) -> None:
    activities = DynamoWorkerActivities(store._client, state_table=store._state, retention_days=30)
    worker_sid = sid("WK")
    by_time = {at: sid("WA") for at in times}
    repeated = data.draw(st.lists(st.sampled_from(sorted(times)), max_size=3))
    for at in data.draw(st.permutations([*times, *repeated])):
        fields = {
            "EventType": ACTIVITY_EVENT,
            "WorkerSid": worker_sid,
            "WorkerActivitySid": by_time[at],
            "Timestamp": str((NOW + at) // 1000),
            "TimestampMs": str(NOW + at),
        }
        reported = WorkerActivity.from_form(Form([*fields.items()]), now=NOW + 3_000)
        assert reported is not None
        activities.save(reported, now=NOW + 3_000)

    current = activities.get(worker_sid)
    assert current is not None
    assert current.activity_sid == by_time[max(times)]
