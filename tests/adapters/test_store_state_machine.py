"""The store makes only the changes that MOVES and OBSERVED allow, and reads complete lists."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.adapters.dynamodb.client import from_item, to_item
from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.errors import StoreUnavailable
from chalicelib.domain.reservations import (
    MOVES,
    OBSERVED,
    OPEN,
    Claim,
    HistoryEntry,
    Reservation,
    Status,
    StatusUpdate,
)
from tests.support import NOW, sid

statuses = st.sampled_from(list(Status))
update_sequences = st.lists(statuses, min_size=1, max_size=8)
few_examples = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def seed(store: DynamoReservationStore, status: Status) -> str:
    """Create a record with the given status, and return its Reservation SID."""
    reservation_sid = sid("WR")
    reservation = Reservation(
        reservation_sid=reservation_sid,
        task_sid=sid("WT"),
        worker_sid=sid("WK"),
        status=status,
        reserved_at=NOW,
        expires_at=NOW + 120_000,
        history=(HistoryEntry(at=NOW, to=status, by="tests"),),
    )
    store.create_record(reservation, due_at=NOW + 130_000 if status in OPEN else None)
    return reservation_sid


def stored_item(store: DynamoReservationStore, reservation_sid: str) -> dict[str, Any]:
    response = store._client.get_item(
        TableName=store._reservations,
        Key=to_item({"reservation_sid": reservation_sid}),
        ConsistentRead=True,
    )
    return from_item(response["Item"])


def status_update(status: Status, at: int = NOW + 1) -> StatusUpdate:
    return StatusUpdate(
        status=status, at=at, by="tests", next_check_at=at + 1 if status in OPEN else None
    )


@pytest.mark.parametrize(("status", "update"), list(itertools.product(Status, Status)))
def test_status_is_recorded_if_the_transition_is_allowed_and_ignored_otherwise(
    store: DynamoReservationStore, status: Status, update: Status
) -> None:
    reservation_sid = seed(store, status)
    before = stored_item(store, reservation_sid)

    changed, record = store.record_status(reservation_sid, status_update(update))

    assert changed == (update in OBSERVED[status])
    assert record is not None
    after = stored_item(store, reservation_sid)
    if changed:
        assert record.status is update
        assert [change.to for change in record.history] == [status, update]
        assert ("open_as" in after, "due_at" in after) == (update in OPEN, update in OPEN)
    else:
        assert record.status is status
        assert after == before


@pytest.mark.parametrize(
    ("status", "target"),
    list(itertools.product(Status, [Status.ACCEPTED, Status.REJECTED, Status.COMPLETED])),
)
def test_claim_succeeds_only_if_the_transition_to_its_target_is_allowed(
    store: DynamoReservationStore, status: Status, target: Status
) -> None:
    reservation_sid = seed(store, status)
    before = stored_item(store, reservation_sid)
    claim = Claim(until=NOW + 30_000, target=target, claim_id="mine", by="tests")

    is_claimed, record = store.claim(
        reservation_sid, claim, now=NOW, worker_sid=None, task_sid=None
    )

    assert is_claimed == (target in MOVES[status])
    assert record is not None
    assert record.status is status
    if is_claimed:
        assert record.claim == claim
        assert stored_item(store, reservation_sid)["due_at"] == NOW + 30_000
    else:
        assert stored_item(store, reservation_sid) == before


@given(update_sequences)
@few_examples
def test_any_sequence_of_updates_makes_only_allowed_transitions(
    store: DynamoReservationStore, sequence: list[Status]
) -> None:
    reservation_sid = seed(store, Status.PENDING)
    expected = [Status.PENDING]
    for number, update in enumerate(sequence):
        if update in OBSERVED[expected[-1]]:
            expected.append(update)
        store.record_status(reservation_sid, status_update(update, NOW + number))

    record = store.get(reservation_sid)
    assert record is not None
    assert [change.to for change in record.history] == expected
    item = stored_item(store, reservation_sid)
    assert item.get("open_as") == (expected[-1] if expected[-1] in OPEN else None)


@given(st.permutations([Status.ACCEPTED, Status.WRAPPING, Status.COMPLETED]), st.data())
@few_examples
def test_record_is_completed_after_concurrent_repeated_events_in_any_order(
    store: DynamoReservationStore, order: list[Status], data: st.DataObject
) -> None:
    """`completed` is final, so later events have no effect."""
    updates = order + data.draw(st.lists(st.sampled_from(order), max_size=4))
    reservation_sid = seed(store, Status.PENDING)

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(
            pool.map(
                lambda status: store.record_status(reservation_sid, status_update(status)),
                updates,
            )
        )

    record = store.get(reservation_sid)
    assert record is not None
    assert record.status is Status.COMPLETED
    assert sum(changed for changed, _ in outcomes) == len(record.history) - 1


@given(target=st.sampled_from([Status.ACCEPTED, Status.REJECTED]), claimants=st.integers(2, 12))
@few_examples
def test_exactly_one_of_many_concurrent_claims_succeeds(
    store: DynamoReservationStore, target: Status, claimants: int
) -> None:
    reservation_sid = seed(store, Status.PENDING)

    def try_claim(number: int) -> bool:
        claim = Claim(until=NOW + 30_000, target=target, claim_id=str(number), by=f"by {number}")
        is_claimed, _ = store.claim(reservation_sid, claim, now=NOW, worker_sid=None, task_sid=None)
        return is_claimed

    with ThreadPoolExecutor(claimants) as pool:
        assert sum(pool.map(try_claim, range(claimants))) == 1


@given(callbacks=st.integers(2, 12))
@few_examples
def test_concurrent_callbacks_create_one_record_and_get_the_same_answer(
    store: DynamoReservationStore, callbacks: int
) -> None:
    reservation = Reservation(
        reservation_sid=sid("WR"),
        task_sid=sid("WT"),
        worker_sid=sid("WK"),
        status=Status.PENDING,
        reserved_at=NOW,
        expires_at=NOW + 120_000,
        history=(HistoryEntry(at=NOW, to=Status.PENDING, by="assignment_callback"),),
    )

    def record_callback(number: int) -> dict[str, Any]:
        answer = {"instruction": "accept"} if number % 2 else {}
        return store.record_callback(replace(reservation, answer=answer), due_at=NOW, now=NOW)

    with ThreadPoolExecutor(callbacks) as pool:
        answers = list(pool.map(record_callback, range(callbacks)))

    assert all(answer == answers[0] for answer in answers)
    record = store.get(reservation.reservation_sid)
    assert record is not None
    assert record.answer == answers[0]
    assert len(record.history) == 1


@pytest.mark.parametrize("instruction", [None, {"instruction": "dequeue", "timeout": 30}])
def test_claim_retried_by_the_client_after_a_lost_response_succeeds(
    store: DynamoReservationStore, instruction: dict[str, Any] | None
) -> None:
    reservation_sid = seed(store, Status.PENDING)
    claim = Claim(
        until=NOW + 30_000,
        target=Status.ACCEPTED,
        claim_id="mine",
        by="me",
        instruction=instruction,
    )

    for _ in range(2):
        is_claimed, _ = store.claim(reservation_sid, claim, now=NOW, worker_sid=None, task_sid=None)
        assert is_claimed


def test_claim_is_released_only_with_its_claim_id(store: DynamoReservationStore) -> None:
    reservation_sid = seed(store, Status.PENDING)
    claim = Claim(until=NOW + 30_000, target=Status.ACCEPTED, claim_id="mine", by="me")
    store.claim(reservation_sid, claim, now=NOW, worker_sid=None, task_sid=None)

    store.release_claim(
        reservation_sid, replace(claim, claim_id="other"), due_at=NOW, acceptor=None
    )
    assert "claim_until" in stored_item(store, reservation_sid)
    store.release_claim(reservation_sid, claim, due_at=NOW + 5, acceptor=None)
    after = stored_item(store, reservation_sid)
    assert "claim_until" not in after
    assert after["due_at"] == NOW + 5


def test_unprocessed_keys_are_requested_again_up_to_a_limit(
    store: DynamoReservationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sids = {seed(store, Status.PENDING) for _ in range(3)}
    batch_get_item = store._client.batch_get_item

    def read_first_key(RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803  boto3's name
        ((table, request),) = RequestItems.items()
        first, *others = request["Keys"]
        response = batch_get_item(RequestItems={table: {**request, "Keys": [first]}})
        unprocessed = {table: {**request, "Keys": others}} if others else {}
        return {**response, "UnprocessedKeys": unprocessed}

    monkeypatch.setattr(store._client, "batch_get_item", read_first_key)
    assert store.fetch_statuses(sids) == dict.fromkeys(sids, Status.PENDING)
    with pytest.raises(StoreUnavailable):
        store.fetch_statuses({seed(store, Status.PENDING) for _ in range(6)})


def test_due_reservations_are_read_from_all_pages(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = dynamodb.create_tables()
    client = dynamodb.client()
    store = DynamoReservationStore(
        client, reservations_table=tables.reservations, state_table=tables.state, retention_days=1
    )
    sids = [seed(store, Status.PENDING) for _ in range(5)]
    seed(store, Status.COMPLETED)
    query = client.query
    monkeypatch.setattr(client, "query", lambda **request: query(**request, Limit=2))

    assert [due.reservation_sid for due in _due_reservations(store, NOW + 129_999)] == []
    assert sorted(due.reservation_sid for due in _due_reservations(store, NOW + 130_000)) == sorted(
        sids
    )


def _due_reservations(store: DynamoReservationStore, now: int) -> Iterator[Any]:
    return store.due_reservations(Status.PENDING, now=now)
