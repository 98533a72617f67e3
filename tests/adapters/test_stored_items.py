"""Each write changes exactly the expected attributes of a record."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.adapters.dynamodb import reservations as adapter
from chalicelib.adapters.dynamodb.client import to_item, to_reservation
from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.errors import StoreUnavailable
from chalicelib.domain.reservations import (
    OPEN,
    RINGING,
    Claim,
    Delivery,
    DueReservation,
    HistoryEntry,
    LastClaim,
    Reservation,
    SentInstruction,
    Status,
    StatusUpdate,
)
from tests.adapters.test_store_state_machine import seed, stored_item
from tests.support import NOW, sid

UNTIL = NOW + 30_000
CALL = {"instruction": "call", "url": "https://desk.example/twiml"}
CLAIM = {
    "claim_until": UNTIL,
    "claim_target": "accepted",
    "claim_id": "own_claim",
    "claim_by": "supervisor",
}
LAST_CLAIM = {"last_claim_accepted": {"at": NOW, "by": "supervisor", "target": "accepted"}}
DELIVERY = Delivery(
    received_at=NOW - 5,
    route="/assignment_callback",
    url="https://example.test/secret/assignment_callback?a=b",
    signature="signature",
)
STORED_DELIVERY = {
    "received_at": NOW - 5,
    "route": "/assignment_callback",
    "url": "https://example.test/secret/assignment_callback?a=b",
    "signature": "signature",
}


def make_reservation(**overrides: Any) -> Reservation:
    """Return a new Reservation with attributes that a callback provides."""
    values: dict[str, Any] = {
        "reservation_sid": sid("WR"),
        "task_sid": sid("WT"),
        "worker_sid": sid("WK"),
        "status": Status.PENDING,
        "reserved_at": NOW,
        "expires_at": NOW + 120_000,
        "workflow_sid": sid("WW"),
        "task_queue_sid": sid("WQ"),
        "worker_name": "Alice",
        "answer": {},
        "task_attributes": '{"a": 1}',
        "worker_attributes": '{"b": 2}',
        "parameters": {"TaskAge": "1"},
        "history": (HistoryEntry(at=NOW, to=Status.PENDING, by="assignment_callback"),),
        **overrides,
    }
    return Reservation(**values)


def make_claim(**overrides: Any) -> Claim:
    values: dict[str, Any] = {
        "until": UNTIL,
        "target": Status.ACCEPTED,
        "claim_id": "own_claim",
        "by": "supervisor",
        **overrides,
    }
    return Claim(**values)


def callback_attributes(reservation: Reservation) -> dict[str, Any]:
    """Return the stored attributes that a callback provides."""
    return {
        "reservation_sid": reservation.reservation_sid,
        "task_sid": reservation.task_sid,
        "worker_sid": reservation.worker_sid,
        "workflow_sid": reservation.workflow_sid,
        "task_queue_sid": reservation.task_queue_sid,
        "worker_name": "Alice",
        "task_attributes": '{"a": 1}',
        "worker_attributes": '{"b": 2}',
        "parameters": {"TaskAge": "1"},
    }


NEW = {
    "status": "pending",
    "open_as": "pending",
    "due_at": NOW + 5,
    "reserved_at": NOW,
    "expires_at": NOW + 120_000,
    "hour": "2026-09-21T14",
    "ttl": NOW // 1000 + 30 * 86_400,
    "history": [{"at": NOW, "to": "pending", "by": "assignment_callback"}],
}


def put_claim(store: DynamoReservationStore, reservation_sid: str, **overrides: Any) -> bool:
    """Claim a Reservation at NOW, and return whether the claim succeeded."""
    is_claimed, _ = store.claim(
        reservation_sid, make_claim(**overrides), now=NOW, worker_sid=None, task_sid=None
    )
    return is_claimed


def without(item: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in set(names)}


def record_updates(store: DynamoReservationStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that collects the table name of each later UpdateItem request."""
    tables: list[str] = []
    update_item = store._client.update_item

    def record(**request: Any) -> Any:
        tables.append(request["TableName"])
        return update_item(**request)

    monkeypatch.setattr(store._client, "update_item", record)
    return tables


# Callbacks


@pytest.mark.parametrize("answer", [{}, {"instruction": "accept"}])
def test_first_callback_creates_a_complete_record(
    store: DynamoReservationStore, answer: dict[str, Any]
) -> None:
    acceptor = "assignment_instruction" if answer else None
    reservation = make_reservation(answer=answer, accepted_by=acceptor)

    assert store.record_callback(reservation, due_at=NOW + 5, now=NOW) == answer

    expected = {**callback_attributes(reservation), **NEW, "answer": answer}
    item = stored_item(store, reservation.reservation_sid)
    assert item == (expected | {"acceptor": acceptor} if acceptor else expected)
    assert store.get(reservation.reservation_sid) == replace(reservation, accepted_by=None)


@pytest.mark.parametrize(
    ("answer", "due_at"), [({}, NOW + 99), ({"instruction": "accept"}, NOW + 5)]
)
def test_callback_keeps_the_creation_time_reported_by_an_event_but_not_the_timeout(
    store: DynamoReservationStore, answer: dict[str, Any], due_at: int
) -> None:
    reservation = make_reservation(answer=answer)
    event = HistoryEntry(at=NOW - 700, to=Status.PENDING, by="event")
    reported = replace(
        reservation, reserved_at=NOW - 700, expires_at=NOW + 9, answer=None, history=(event,)
    )
    store.create_record(reported, due_at=NOW + 99)

    store.record_callback(reservation, due_at=NOW + 5, now=NOW)

    assert stored_item(store, reservation.reservation_sid) == {
        **callback_attributes(reservation),
        **NEW,
        "answer": answer,
        "due_at": due_at,
        "reserved_at": NOW - 700,
        "expires_at": NOW - 700 + 120_000,
        "hour": "2026-09-21T14",
        "ttl": (NOW - 700) // 1000 + 30 * 86_400,
        "history": [{"at": NOW - 700, "to": "pending", "by": "event"}],
    }


def test_repeated_callback_gets_the_first_answer_with_one_write(
    store: DynamoReservationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reservation = make_reservation(answer={"instruction": "accept"})
    store.record_callback(reservation, due_at=NOW + 5, now=NOW)
    before = stored_item(store, reservation.reservation_sid)
    tables = record_updates(store, monkeypatch)

    repeated = replace(reservation, answer=CALL, worker_name="Bob")
    assert store.record_callback(repeated, due_at=NOW + 6, now=NOW) == {"instruction": "accept"}

    assert stored_item(store, reservation.reservation_sid) == before
    assert len(tables) == 1


@pytest.mark.parametrize("answer", [CALL, {"instruction": "accept"}, {}])
@pytest.mark.parametrize(("now", "is_live"), [(UNTIL - 1, True), (UNTIL, False)])
def test_callback_gets_its_answer_only_after_the_claim_has_expired(
    store: DynamoReservationStore, answer: dict[str, Any], now: int, *, is_live: bool
) -> None:
    reservation = make_reservation(answer=answer)
    store.create_record(replace(reservation, answer=None), due_at=NOW + 99)
    put_claim(store, reservation.reservation_sid)
    before = stored_item(store, reservation.reservation_sid)

    effective = store.record_callback(reservation, due_at=NOW + 5, now=now)

    assert effective == ({} if is_live else answer)
    after = stored_item(store, reservation.reservation_sid)
    withheld = {"withheld": "call"} if is_live and answer == CALL else {}
    due_at = NOW + 5 if answer and not is_live else UNTIL
    assert after == {**before, "answer": effective, "due_at": due_at, **withheld}


@pytest.mark.parametrize("instruction", [*RINGING, "accept"])
def test_instruction_withheld_from_a_late_callback_is_recorded_only_if_it_calls_a_phone(
    store: DynamoReservationStore, instruction: str
) -> None:
    reservation = make_reservation(answer={"instruction": instruction})
    accepted = HistoryEntry(at=NOW, to=Status.ACCEPTED, by="event")
    store.create_record(
        make_reservation(
            reservation_sid=reservation.reservation_sid,
            status=Status.ACCEPTED,
            worker_name=None,
            parameters={},
            history=(accepted,),
        ),
        due_at=NOW + 99,
    )

    assert store.record_callback(reservation, due_at=NOW + 5, now=NOW) == {}

    withheld = {"withheld": instruction} if instruction in RINGING else {}
    assert stored_item(store, reservation.reservation_sid) == {
        **callback_attributes(reservation),
        **NEW,
        "status": "accepted",
        "open_as": "accepted",
        "due_at": NOW + 99,
        "answer": {},
        "history": [{"at": NOW, "to": "accepted", "by": "event"}],
        **withheld,
    }


@pytest.mark.parametrize(("answer", "effective"), [({"instruction": "accept"}, {}), ({}, {})])
def test_callback_after_an_instruction_sent_over_rest_gets_no_instruction(
    store: DynamoReservationStore, answer: dict[str, Any], effective: dict[str, Any]
) -> None:
    reservation = make_reservation(answer=answer)
    store.create_record(replace(reservation, answer=None), due_at=NOW + 99)
    put_claim(store, reservation.reservation_sid, instruction=CALL)
    store.confirm_sent(reservation.reservation_sid, make_claim(), due_at=NOW + 50)

    assert store.record_callback(reservation, due_at=NOW + 5, now=NOW) == effective
    item = stored_item(store, reservation.reservation_sid)
    assert (item["answer"], item["due_at"]) == (effective, NOW + 50)


@pytest.mark.parametrize(("seconds", "writes"), [(0.2, 2), (0.21, 1)])
@pytest.mark.parametrize("status", [Status.PENDING, Status.CANCELED])
def test_second_write_for_a_callback_starts_only_in_the_first_tenth_of_the_time_limit(
    store: DynamoReservationStore,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    writes: int,
    status: Status,
) -> None:
    reservation = make_reservation(answer=CALL)
    reservation_sid = reservation.reservation_sid
    first = HistoryEntry(at=NOW, to=status, by="event")
    due_at = NOW if status in OPEN else None
    store.create_record(
        replace(reservation, status=status, answer=None, history=(first,)), due_at=due_at
    )
    put_claim(store, reservation_sid)
    tables = record_updates(store, monkeypatch)
    times = iter([0.0, seconds])
    monkeypatch.setattr(adapter, "time", SimpleNamespace(monotonic=lambda: next(times)))

    if status is Status.PENDING and writes == 1:
        with pytest.raises(StoreUnavailable, match="too slow for a second write"):
            store.record_callback(reservation, due_at=NOW + 5, now=NOW)
    else:
        assert store.record_callback(reservation, due_at=NOW + 5, now=NOW) == {}
    assert len(tables) == writes


@pytest.mark.parametrize("settings", [None, "algorithm=HMAC_SHA256,key=k1"])
@pytest.mark.parametrize("absent", [(), ("WorkflowSid", "TaskQueueSid")])
@pytest.mark.parametrize("answered_at", [None, NOW])
def test_delivery_and_rule_are_recorded_in_the_same_write_as_the_callback(
    store: DynamoReservationStore,
    monkeypatch: pytest.MonkeyPatch,
    settings: str | None,
    absent: tuple[str, ...],
    answered_at: int | None,
) -> None:
    delivery = replace(DELIVERY, settings=settings, absent=absent, answered_at=answered_at)
    reservation = make_reservation(delivery=delivery, rule="vip")
    tables = record_updates(store, monkeypatch)

    store.record_callback(reservation, due_at=NOW + 5, now=NOW)

    assert len(tables) == 1
    optional = {"settings": settings, "absent": list(absent), "answered_at": answered_at}
    assert stored_item(store, reservation.reservation_sid) == {
        **callback_attributes(reservation),
        **NEW,
        "answer": {},
        "rule": "vip",
        "delivery": STORED_DELIVERY | {name: value for name, value in optional.items() if value},
    }
    assert store.get(reservation.reservation_sid) == reservation


def test_repeated_callback_keeps_the_first_delivery(store: DynamoReservationStore) -> None:
    reservation = make_reservation(delivery=DELIVERY, rule="vip")
    store.record_callback(reservation, due_at=NOW + 5, now=NOW)

    other = replace(DELIVERY, route="/assignment_callback/fallback", signature="other")
    repeated = replace(reservation, delivery=other, rule="other")
    store.record_callback(repeated, due_at=NOW + 5, now=NOW)

    assert store.get(reservation.reservation_sid) == reservation


def test_callback_adds_no_delivery_to_a_record_written_by_an_earlier_version(
    store: DynamoReservationStore,
) -> None:
    reservation = make_reservation()
    store.record_callback(reservation, due_at=NOW + 5, now=NOW)
    before = stored_item(store, reservation.reservation_sid)

    repeated = replace(reservation, delivery=DELIVERY, rule="vip")
    assert store.record_callback(repeated, due_at=NOW + 5, now=NOW) == {}

    assert stored_item(store, reservation.reservation_sid) == before
    assert store.get(reservation.reservation_sid) == reservation


@pytest.mark.parametrize("answer", [{}, CALL, {"instruction": "accept"}])
def test_late_callback_records_its_delivery_but_no_rule_for_a_withheld_answer(
    store: DynamoReservationStore, answer: dict[str, Any]
) -> None:
    reservation = make_reservation(answer=answer, delivery=DELIVERY, rule="vip")
    store.create_record(
        replace(reservation, answer=None, delivery=None, rule=None), due_at=NOW + 99
    )
    put_claim(store, reservation.reservation_sid)

    assert store.record_callback(reservation, due_at=NOW + 5, now=NOW) == {}

    record = store.get(reservation.reservation_sid)
    assert record is not None
    assert (record.delivery, record.rule) == (DELIVERY, None if answer else "vip")


def test_delivery_and_claim_written_by_a_later_version_can_be_read(
    store: DynamoReservationStore,
) -> None:
    reservation = make_reservation(delivery=DELIVERY)
    store.record_callback(reservation, due_at=NOW + 5, now=NOW)
    put_claim(store, reservation.reservation_sid)
    item = stored_item(store, reservation.reservation_sid)
    item["delivery"]["attempt"] = 2
    item["last_claim_accepted"]["attempt"] = 2

    record = to_reservation(item)

    assert record.delivery == DELIVERY
    assert record.claims == (LastClaim(at=NOW, by="supervisor", target=Status.ACCEPTED),)


READABLE = {
    "reservation_sid": sid("WR"),
    "task_sid": sid("WT"),
    "worker_sid": sid("WK"),
    "status": "pending",
    "reserved_at": NOW,
    "expires_at": NOW,
}
CLAIM_TO_REJECT = {"at": NOW, "by": "service", "target": "rejected"}
MALFORMED = [{}, "x", [], 1, {"x": "y"}]


@pytest.mark.parametrize(
    "delivery",
    [
        *MALFORMED,
        *({**vars(DELIVERY), name: []} for name in ("received_at", "route", "url", "signature")),
        {**vars(DELIVERY), "absent": 1, "url": 1},
    ],
)
def test_record_with_a_malformed_delivery_can_be_read(delivery: Any) -> None:
    record = to_reservation({**READABLE, "delivery": delivery})
    assert record.delivery is None
    assert record.status is Status.PENDING


def test_malformed_list_of_absent_parameters_is_treated_as_empty() -> None:
    record = to_reservation({**READABLE, "delivery": {**vars(DELIVERY), "absent": 1}})
    assert record.delivery == replace(DELIVERY, absent=())


def test_malformed_time_of_the_answer_is_treated_as_missing() -> None:
    record = to_reservation({**READABLE, "delivery": {**vars(DELIVERY), "answered_at": "1"}})
    assert record.delivery == replace(DELIVERY, answered_at=None)


@pytest.mark.parametrize(
    "claim",
    [
        *MALFORMED,
        {"at": "1", "by": "x", "target": "accepted"},
        {"at": 1, "by": None, "target": "accepted"},
        {"at": 1, "by": "x", "target": "unknown"},
        {"at": 1, "by": "x", "target": []},
    ],
)
def test_record_with_a_malformed_last_claim_can_be_read(claim: Any) -> None:
    stored = {"last_claim_accepted": claim, "last_claim_rejected": CLAIM_TO_REJECT}
    record = to_reservation({**READABLE, **stored})
    assert record.claims == (LastClaim(at=NOW, by="service", target=Status.REJECTED),)
    assert record.status is Status.PENDING


def test_last_claim_recorded_by_an_earlier_version_is_read() -> None:
    stored = {"last_claim": CLAIM_TO_REJECT, **LAST_CLAIM}
    record = to_reservation({**READABLE, **stored})
    assert [(claim.by, claim.target) for claim in record.claims] == [
        ("service", "rejected"),
        ("supervisor", "accepted"),
    ]


# Records without a callback


@pytest.mark.parametrize("status", Status)
def test_record_is_created_once_with_the_expected_attributes(
    store: DynamoReservationStore, status: Status
) -> None:
    entry = HistoryEntry(at=NOW, to=status, by="event", note="reported late")
    reservation = make_reservation(
        status=status, accepted_by="event", answer=None, parameters={}, history=(entry,)
    )

    assert store.create_record(reservation, due_at=NOW + 5)

    expected = {
        **without(callback_attributes(reservation), ["parameters"]),
        **NEW,
        "status": status.value,
        "open_as": status.value,
        "acceptor": "event",
        "history": [{"at": NOW, "to": status.value, "by": "event", "note": "reported late"}],
    }
    if status not in OPEN:
        expected = without(expected, ["open_as", "due_at"])
    assert stored_item(store, reservation.reservation_sid) == expected
    assert not store.create_record(replace(reservation, worker_name="Bob"), due_at=NOW + 6)
    assert stored_item(store, reservation.reservation_sid) == expected


def test_record_is_erased_once(store: DynamoReservationStore) -> None:
    reservation_sid = seed(store, Status.PENDING)
    assert store.erase(reservation_sid)
    assert store.get(reservation_sid) is None
    assert not store.erase(reservation_sid)


# Claims


@pytest.mark.parametrize("accepts", [True, False])
def test_claim_sets_its_attributes(store: DynamoReservationStore, *, accepts: bool) -> None:
    reservation_sid = seed(store, Status.PENDING)
    before = stored_item(store, reservation_sid)

    assert put_claim(store, reservation_sid, accepts=accepts)

    acceptor = {"acceptor": "supervisor"} if accepts else {}
    expected = {**before, **CLAIM, **LAST_CLAIM, **acceptor, "due_at": UNTIL}
    assert stored_item(store, reservation_sid) == expected


@pytest.mark.parametrize("accepts", [True, False])
def test_claim_with_an_instruction_records_no_acceptor(
    store: DynamoReservationStore, *, accepts: bool
) -> None:
    reservation_sid = seed(store, Status.PENDING)
    before = stored_item(store, reservation_sid)

    assert put_claim(store, reservation_sid, accepts=accepts, instruction=CALL)

    sent = {"claim_id": "own_claim", "by": "supervisor", "instruction": CALL}
    assert stored_item(store, reservation_sid) == {
        **before,
        **CLAIM,
        **LAST_CLAIM,
        "due_at": UNTIL,
        "instruction_sent": sent,
    }
    record = store.get(reservation_sid)
    assert record is not None
    assert record.claim == make_claim()
    assert record.instruction_sent == SentInstruction(**sent)
    assert record.accepted_by is None


def test_last_claim_for_each_target_is_kept(store: DynamoReservationStore) -> None:
    reservation_sid = seed(store, Status.PENDING)
    owners = {"a": "rejected", "b": "rejected", "c": "accepted", "d": "completed"}
    for at, (by, target) in enumerate(owners.items(), NOW):
        if target == "completed":
            store.record_status(reservation_sid, make_update(Status.ACCEPTED))
        claim = make_claim(by=by, target=Status(target), claim_id=by, until=at + 1)
        assert store.claim(reservation_sid, claim, now=at, worker_sid=None, task_sid=None)[0]

    record = store.get(reservation_sid)

    assert record is not None
    assert {(claim.at, claim.by, claim.target) for claim in record.claims} == {
        (NOW + 1, "b", Status.REJECTED),
        (NOW + 2, "c", Status.ACCEPTED),
        (NOW + 3, "d", Status.COMPLETED),
    }


@pytest.mark.parametrize(("now", "is_claimed"), [(UNTIL - 1, False), (UNTIL, True)])
def test_claim_can_be_replaced_when_it_expires(
    store: DynamoReservationStore, now: int, *, is_claimed: bool
) -> None:
    reservation_sid = seed(store, Status.PENDING)
    put_claim(store, reservation_sid)
    other = make_claim(claim_id="other", until=UNTIL + 30_000)

    result, _ = store.claim(reservation_sid, other, now=now, worker_sid=None, task_sid=None)

    assert result == is_claimed
    expected = "other" if is_claimed else "own_claim"
    assert stored_item(store, reservation_sid)["claim_id"] == expected


@pytest.mark.parametrize("wrong", ["worker_sid", "task_sid", None])
def test_claim_requires_the_given_worker_and_task(
    store: DynamoReservationStore, wrong: str | None
) -> None:
    reservation_sid = seed(store, Status.PENDING)
    item = stored_item(store, reservation_sid)
    given = {name: item[name] for name in ("worker_sid", "task_sid")}
    given |= {wrong: sid("XX")} if wrong else {}

    is_claimed, record = store.claim(reservation_sid, make_claim(), now=NOW, **given)

    assert is_claimed == (wrong is None)
    assert record is not None


def test_unknown_reservation_can_be_neither_claimed_nor_updated(
    store: DynamoReservationStore,
) -> None:
    reservation_sid = sid("WR")
    claimed = store.claim(reservation_sid, make_claim(), now=NOW, worker_sid=None, task_sid=None)
    assert claimed == (False, None)
    for status in Status:
        update = StatusUpdate(
            status=status, at=NOW, by="event", next_check_at=None, worker_name="Alice"
        )
        assert store.record_status(reservation_sid, update) == (False, None)
        nameless = replace(update, worker_name=None)
        assert store.record_status(reservation_sid, nameless) == (False, None)
    assert store.get(reservation_sid) is None


@pytest.mark.parametrize("instruction", [*RINGING, "accept", None])
def test_claim_with_an_instruction_fails_if_the_answer_calls_a_phone(
    store: DynamoReservationStore, instruction: str | None
) -> None:
    reservation = make_reservation(answer={"instruction": instruction} if instruction else {})
    store.record_callback(reservation, due_at=NOW, now=NOW)

    is_claimed = put_claim(store, reservation.reservation_sid, instruction=CALL)

    assert is_claimed == (instruction not in RINGING)
    assert ("instruction_sent" in stored_item(store, reservation.reservation_sid)) == is_claimed


def test_second_instruction_is_refused_after_the_first_was_confirmed(
    store: DynamoReservationStore,
) -> None:
    reservation_sid = seed(store, Status.PENDING)
    put_claim(store, reservation_sid, instruction=CALL)
    store.confirm_sent(reservation_sid, make_claim(), due_at=NOW + 50)

    assert not put_claim(store, reservation_sid, claim_id="other", instruction=CALL)
    assert put_claim(store, reservation_sid, claim_id="other")


@pytest.mark.parametrize("answer", ["missing", "withheld", "deferred"])
@pytest.mark.parametrize("needs_answer", [True, False])
def test_claim_that_needs_the_answer_fails_if_the_answer_is_missing_or_withheld(
    store: DynamoReservationStore, answer: str, *, needs_answer: bool
) -> None:
    reservation = make_reservation(answer=CALL if answer == "withheld" else {})
    store.create_record(replace(reservation, answer=None), due_at=NOW)
    if answer == "withheld":
        put_claim(store, reservation.reservation_sid, claim_id="first")
    if answer != "missing":
        store.record_callback(reservation, due_at=NOW, now=NOW)

    is_claimed, _ = store.claim(
        reservation.reservation_sid,
        make_claim(instruction=CALL, needs_answer=needs_answer),
        now=UNTIL,
        worker_sid=None,
        task_sid=None,
    )

    assert is_claimed == (answer == "deferred" or not needs_answer)


@pytest.mark.parametrize("acceptor", ["assignment_instruction", None])
@pytest.mark.parametrize("accepts", [True, False])
@pytest.mark.parametrize("instruction", [CALL, None])
def test_after_a_release_the_claims_owner_target_and_time_are_kept(
    store: DynamoReservationStore,
    *,
    acceptor: str | None,
    accepts: bool,
    instruction: dict[str, Any] | None,
) -> None:
    reservation = make_reservation(answer={"instruction": "accept"}, accepted_by=acceptor)
    store.record_callback(reservation, due_at=NOW + 5, now=NOW)
    before = stored_item(store, reservation.reservation_sid)
    options = {"accepts": accepts, "instruction": instruction}
    assert put_claim(store, reservation.reservation_sid, **options)

    store.release_claim(
        reservation.reservation_sid, make_claim(**options), due_at=NOW + 7, acceptor=acceptor
    )

    expected = {**before, **LAST_CLAIM, "due_at": NOW + 7}
    assert stored_item(store, reservation.reservation_sid) == expected


def test_release_of_a_claim_without_an_instruction_keeps_an_earlier_instruction(
    store: DynamoReservationStore,
) -> None:
    reservation_sid = seed(store, Status.PENDING)
    accepting = make_claim(accepts=True, instruction=CALL)
    store.claim(reservation_sid, accepting, now=NOW, worker_sid=None, task_sid=None)
    store.confirm_sent(reservation_sid, accepting, due_at=NOW + 50)
    before = stored_item(store, reservation_sid)
    assert (before["acceptor"], before["instruction_confirmed"]) == ("supervisor", True)
    assert not CLAIM.keys() & before.keys()

    put_claim(store, reservation_sid, claim_id="other")
    store.release_claim(
        reservation_sid, make_claim(claim_id="other"), due_at=NOW + 51, acceptor="nobody"
    )

    assert stored_item(store, reservation_sid) == {**before, "due_at": NOW + 51}
    record = store.get(reservation_sid)
    assert record is not None
    assert record.instruction_sent == SentInstruction(
        claim_id="own_claim", by="supervisor", instruction=CALL, is_confirmed=True
    )


def test_instruction_is_confirmed_only_by_the_owner_of_the_claim(
    store: DynamoReservationStore,
) -> None:
    reservation_sid = seed(store, Status.PENDING)
    put_claim(store, reservation_sid, instruction=CALL)
    before = stored_item(store, reservation_sid)

    store.confirm_sent(reservation_sid, make_claim(claim_id="other"), due_at=NOW + 50)
    assert stored_item(store, reservation_sid) == before
    store.confirm_sent(reservation_sid, make_claim(), due_at=NOW + 50)
    assert stored_item(store, reservation_sid) == {
        **without(before, CLAIM),
        "due_at": NOW + 50,
        "instruction_confirmed": True,
    }


@pytest.mark.parametrize("reported", [Status.ACCEPTED, Status.COMPLETED])
@pytest.mark.parametrize("claimed_by_another", [True, False])
def test_release_removes_the_instruction_of_a_claim_that_an_event_removed(
    store: DynamoReservationStore, reported: Status, *, claimed_by_another: bool
) -> None:
    reservation_sid = seed(store, Status.PENDING)
    claim = make_claim(accepts=True, instruction=CALL)
    store.claim(reservation_sid, claim, now=NOW, worker_sid=None, task_sid=None)
    store.record_status(reservation_sid, make_update(reported))
    if claimed_by_another:
        put_claim(store, reservation_sid, claim_id="other", target=Status.COMPLETED)
    before = stored_item(store, reservation_sid)

    for _ in range(2):
        store.release_claim(reservation_sid, claim, due_at=NOW + 7, acceptor=None)
        assert stored_item(store, reservation_sid) == without(before, ["instruction_sent"])
    assert before["acceptor"] == "event"


def test_releasing_a_claim_with_an_instruction_is_a_single_write(
    store: DynamoReservationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reservation_sid = seed(store, Status.PENDING)
    claim = make_claim(accepts=True, instruction=CALL)
    store.claim(reservation_sid, claim, now=NOW, worker_sid=None, task_sid=None)
    tables = record_updates(store, monkeypatch)

    store.release_claim(reservation_sid, claim, due_at=NOW + 7, acceptor=None)
    assert len(tables) == 1


def test_release_does_not_undo_the_confirmation_of_a_removed_claim(
    store: DynamoReservationStore,
) -> None:
    reservation_sid = seed(store, Status.PENDING)
    claim = make_claim(accepts=True, instruction=CALL)
    store.claim(reservation_sid, claim, now=NOW, worker_sid=None, task_sid=None)
    store.record_status(reservation_sid, make_update(Status.ACCEPTED))
    before = stored_item(store, reservation_sid)

    store.confirm_sent(reservation_sid, claim, due_at=NOW + 50)
    confirmed = {**before, "acceptor": "supervisor", "instruction_confirmed": True}
    assert stored_item(store, reservation_sid) == confirmed
    store.release_claim(reservation_sid, claim, due_at=NOW + 7, acceptor=None)
    assert stored_item(store, reservation_sid) == confirmed


def test_instruction_of_another_claim_is_neither_removed_nor_confirmed(
    store: DynamoReservationStore,
) -> None:
    reservation_sid = seed(store, Status.PENDING)
    put_claim(store, reservation_sid, claim_id="other", accepts=True, instruction=CALL)
    store.record_status(reservation_sid, make_update(Status.ACCEPTED))
    before = stored_item(store, reservation_sid)

    own_claim = make_claim(accepts=True, instruction=CALL)
    store.release_claim(reservation_sid, own_claim, due_at=NOW + 7, acceptor=None)
    store.confirm_sent(reservation_sid, own_claim, due_at=NOW + 7)
    assert stored_item(store, reservation_sid) == before


@pytest.mark.parametrize("source", ["event", "sweep"])
def test_caller_whose_accept_was_not_processed_is_not_the_acceptor(
    store: DynamoReservationStore, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    reservation_sid = seed(store, Status.PENDING)
    claim = make_claim(accepts=True)
    store.claim(reservation_sid, claim, now=NOW, worker_sid=None, task_sid=None)
    store.record_status(reservation_sid, make_update(Status.ACCEPTED, by=source))
    store.record_status(reservation_sid, make_update(Status.WRAPPING, by="fetch"))
    before = stored_item(store, reservation_sid)

    tables = record_updates(store, monkeypatch)
    store.release_claim(reservation_sid, claim, due_at=NOW + 7, acceptor=None)
    assert stored_item(store, reservation_sid) == {**before, "acceptor": source}
    assert len(tables) == 2  # the failed release of the claim, and the correction of the acceptor


# Statuses


def make_update(status: Status, **overrides: Any) -> StatusUpdate:
    values: dict[str, Any] = {
        "at": NOW + 9,
        "by": "event",
        "next_check_at": NOW + 1_000 if status in OPEN else None,
        "worker_name": "Bob",
        "note": "a note",
        **overrides,
    }
    return StatusUpdate(status=status, **values)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.PENDING])
@pytest.mark.parametrize("acceptor", ["supervisor", None])
def test_reported_status_removes_the_claim_and_the_check_count(
    store: DynamoReservationStore, status: Status, acceptor: str | None
) -> None:
    reservation_sid = seed(store, Status.PENDING)
    due = DueReservation(reservation_sid, "", "", Status.PENDING, NOW + 130_000, 0, 0, 0)
    store.reschedule_check(due, at=NOW + 2, checks=3)
    put_claim(store, reservation_sid, accepts=acceptor is not None)
    before = stored_item(store, reservation_sid)
    assert before["checks"] == 3

    update = make_update(status, at=UNTIL)
    changed, record = store.record_status(reservation_sid, update)

    assert changed
    assert record == store.get(reservation_sid)
    entry = {"at": UNTIL, "to": status.value, "by": "event", "note": "a note"}
    expected = {
        **without(before, [*CLAIM, "checks", "due_at", "open_as"]),
        "status": status.value,
        "worker_name": "Bob",
        "history": [*before["history"], entry],
    }
    if status in OPEN:
        expected |= {"open_as": status.value, "due_at": NOW + 1_000}
    if status in {Status.ACCEPTED, Status.WRAPPING, Status.COMPLETED}:
        expected["acceptor"] = acceptor or "event"
    assert stored_item(store, reservation_sid) == expected


@pytest.mark.parametrize("target", [Status.ACCEPTED, Status.REJECTED])
@pytest.mark.parametrize("source", ["event", "sweep"])
def test_owner_of_the_last_claim_replaces_the_source_that_reported_the_status_first(
    store: DynamoReservationStore,
    monkeypatch: pytest.MonkeyPatch,
    target: Status,
    source: str,
) -> None:
    reservation_sid = seed(store, Status.PENDING)
    put_claim(store, reservation_sid, target=target)
    store.record_status(reservation_sid, make_update(target, by=source))
    before = stored_item(store, reservation_sid)
    tables = record_updates(store, monkeypatch)

    for by, writes in (("sweep", 1), ("supervisor", 2), ("supervisor", 1), ("event", 1)):
        tables.clear()
        update = make_update(target, at=NOW + 99, by=by, note="another note")
        changed, record = store.record_status(reservation_sid, update)
        assert not changed
        assert record == store.get(reservation_sid)
        assert len(tables) == writes
    entry = {**before["history"][-1], "by": "supervisor"}
    expected = {**before, "history": [*before["history"][:-1], entry]}
    assert stored_item(store, reservation_sid) == expected


def reject(store: DynamoReservationStore, reservation_sid: str, by: str) -> None:
    store.record_status(reservation_sid, make_update(Status.REJECTED, by=by))


@pytest.mark.parametrize("target", [Status.ACCEPTED, Status.REJECTED])
@pytest.mark.parametrize("other", ["nobody", "worker:WK1"])
def test_only_the_owner_of_the_last_claim_for_the_status_is_recorded_as_the_source(
    store: DynamoReservationStore, target: Status, other: str
) -> None:
    reservation_sid = seed(store, Status.PENDING)
    put_claim(store, reservation_sid, target=target)
    if other != "nobody":
        later = make_claim(by=other, target=target, claim_id="other")
        store.claim(reservation_sid, later, now=UNTIL, worker_sid=None, task_sid=None)
    reject(store, reservation_sid, "event")
    before = stored_item(store, reservation_sid)

    reject(store, reservation_sid, "supervisor")
    store.record_status(reservation_sid, make_update(Status.ACCEPTED, by="supervisor"))
    is_recorded = target is Status.REJECTED and other == "nobody"
    history = stored_item(store, reservation_sid)["history"]
    assert history[-1]["by"] == ("supervisor" if is_recorded else "event")
    assert history[:-1] == before["history"][:-1]


def test_owner_is_not_recorded_as_the_source_if_the_record_has_changed_in_the_meantime(
    store: DynamoReservationStore,
) -> None:
    reservation_sid = seed(store, Status.ACCEPTED)
    put_claim(store, reservation_sid, target=Status.COMPLETED)
    store.record_status(reservation_sid, make_update(Status.COMPLETED))
    read, item = store.get(reservation_sid), stored_item(store, reservation_sid)
    assert read is not None
    other_claim = {"at": NOW, "by": "worker:WK1", "target": "completed"}
    other_history = [*item["history"][:-1], {"at": NOW, "to": "gone", "by": "sweep"}]
    for change in ({"last_claim_completed": other_claim}, {"history": other_history}):
        changed = {**item, **change}
        store._client.put_item(TableName=store._reservations, Item=to_item(changed))
        store._record_owner_as_source(read, make_update(Status.COMPLETED, by="supervisor"))
        assert stored_item(store, reservation_sid) == changed


@pytest.mark.parametrize(("at", "is_live"), [(UNTIL - 1, True), (UNTIL, False)])
def test_wrapping_keeps_a_live_claim_and_its_due_time(
    store: DynamoReservationStore, at: int, *, is_live: bool
) -> None:
    reservation_sid = seed(store, Status.ACCEPTED)
    put_claim(store, reservation_sid, target=Status.COMPLETED)
    before = stored_item(store, reservation_sid)

    changed, record = store.record_status(reservation_sid, make_update(Status.WRAPPING, at=at))

    assert changed
    assert record is not None
    assert record.status is Status.WRAPPING
    entry = {"at": at, "to": "wrapping", "by": "event", "note": "a note"}
    unchanged = before if is_live else {**without(before, CLAIM), "due_at": NOW + 1_000}
    assert stored_item(store, reservation_sid) == {
        **unchanged,
        "status": "wrapping",
        "open_as": "wrapping",
        "worker_name": "Bob",
        "acceptor": "event",
        "history": [*before["history"], entry],
    }


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize(
    ("recorded", "reported", "expected"),
    [(None, "Bob", "Bob"), ("Alice", "Bob", "Alice"), ("Alice", None, "Alice"), (None, None, None)],
)
def test_update_to_pending_without_a_creation_time_adds_only_a_missing_worker_name(
    store: DynamoReservationStore,
    status: Status,
    recorded: str | None,
    reported: str | None,
    expected: str | None,
) -> None:
    reservation = make_reservation(status=status, worker_name=recorded)
    store.create_record(reservation, due_at=NOW + 5)
    before = stored_item(store, reservation.reservation_sid)

    update = make_update(Status.PENDING, worker_name=reported)
    changed, record = store.record_status(reservation.reservation_sid, update)

    assert changed == (recorded is None and reported is not None)
    assert record == store.get(reservation.reservation_sid)
    added = {"worker_name": expected} if expected else {}
    assert stored_item(store, reservation.reservation_sid) == {**before, **added}


@pytest.mark.parametrize("status", Status)
def test_event_corrects_the_creation_time_with_one_write(
    store: DynamoReservationStore, monkeypatch: pytest.MonkeyPatch, status: Status
) -> None:
    reservation = make_reservation(status=status)
    store.create_record(reservation, due_at=NOW + 5)
    before = stored_item(store, reservation.reservation_sid)
    tables = record_updates(store, monkeypatch)

    created = NOW - 3_600_000
    update = make_update(
        Status.PENDING, reserved_at=created, expires_at=created + 1, workflow_name="Sales"
    )
    changed, record = store.record_status(reservation.reservation_sid, update)

    assert changed
    assert record == store.get(reservation.reservation_sid)
    expected = {
        **before,
        "workflow_name": "Sales",
        "reserved_at": created,
        "expires_at": created + 1,
        "hour": "2026-09-21T13",
    }
    assert stored_item(store, reservation.reservation_sid) == expected
    assert len(tables) == 1

    for at in (created, created + 1):
        repeated = replace(update, reserved_at=at)
        assert not store.record_status(reservation.reservation_sid, repeated)[0]
        assert stored_item(store, reservation.reservation_sid) == expected


# The sweep


def test_due_reservation_contains_the_attributes_that_the_sweep_needs(
    store: DynamoReservationStore,
) -> None:
    reservation = make_reservation(answer=None)
    store.create_record(reservation, due_at=NOW - 10_000_000)

    def find() -> DueReservation:
        found = store.due_reservations(Status.PENDING, now=NOW)
        return next(due for due in found if due.reservation_sid == reservation.reservation_sid)

    due = find()
    assert due == DueReservation(
        reservation_sid=reservation.reservation_sid,
        task_sid=reservation.task_sid,
        worker_sid=reservation.worker_sid,
        status=Status.PENDING,
        due_at=NOW - 10_000_000,
        reserved_at=NOW,
        expires_at=NOW + 120_000,
        checks=0,
        is_claimed=False,
    )
    store.reschedule_check(due, at=NOW, checks=2)
    assert find() == replace(due, due_at=NOW, checks=2)
    put_claim(store, reservation.reservation_sid, until=NOW - 1)
    assert find() == replace(due, due_at=NOW - 1, checks=2, is_claimed=True)


@pytest.mark.parametrize(
    ("status", "is_claimed", "acceptor", "expected"),
    [
        (Status.PENDING, True, None, None),
        (Status.PENDING, True, "assignment_instruction", "assignment_instruction"),
        (Status.PENDING, False, None, "supervisor"),
        (Status.PENDING, False, "assignment_instruction", "supervisor"),
        (Status.ACCEPTED, True, None, "supervisor"),
        (Status.WRAPPING, True, "assignment_instruction", "supervisor"),
    ],
)
def test_rescheduling_removes_the_claim_and_resets_the_acceptor_of_a_claimed_pending_record(
    store: DynamoReservationStore,
    status: Status,
    *,
    is_claimed: bool,
    acceptor: str | None,
    expected: str | None,
) -> None:
    target = Status.ACCEPTED if status is Status.PENDING else Status.COMPLETED
    reservation_sid = seed(store, status)
    assert put_claim(store, reservation_sid, target=target, accepts=True)
    before = stored_item(store, reservation_sid)
    due = DueReservation(reservation_sid, "", "", status, UNTIL, 0, 0, 0, is_claimed=is_claimed)

    store.reschedule_check(due, at=UNTIL + 1, checks=4, acceptor=acceptor)

    unchanged = without(before, [*CLAIM, "acceptor"])
    added = {"acceptor": expected} if expected else {}
    assert stored_item(store, reservation_sid) == {
        **unchanged,
        **added,
        "due_at": UNTIL + 1,
        "checks": 4,
    }


@pytest.mark.parametrize("difference", [{"status": Status.ACCEPTED}, {"due_at": NOW + 129_999}])
def test_check_of_a_changed_record_is_not_rescheduled(
    store: DynamoReservationStore, difference: dict[str, Any]
) -> None:
    reservation_sid = seed(store, Status.PENDING)
    before = stored_item(store, reservation_sid)
    due = DueReservation(reservation_sid, "", "", Status.PENDING, NOW + 130_000, 0, 0, 0)

    store.reschedule_check(replace(due, **difference), at=NOW, checks=1)

    assert stored_item(store, reservation_sid) == before


def test_record_reads_are_strongly_consistent_but_status_reads_are_eventually_consistent(
    store: DynamoReservationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reservation_sid = seed(store, Status.WRAPPING)
    requests: list[dict[str, Any]] = []
    for operation in ("get_item", "batch_get_item"):
        send = getattr(store._client, operation)

        def record(send: Any = send, **request: Any) -> Any:
            requests.append(request)
            return send(**request)

        monkeypatch.setattr(store._client, operation, record)

    assert store.get(reservation_sid) is not None
    assert store.fetch_statuses([reservation_sid]) == {reservation_sid: Status.WRAPPING}

    key = {"reservation_sid": {"S": reservation_sid}}
    table = store._reservations
    assert requests == [
        {"TableName": table, "Key": key, "ConsistentRead": True},
        {
            "RequestItems": {
                table: {
                    "Keys": [key],
                    "ProjectionExpression": "reservation_sid, #status",
                    "ExpressionAttributeNames": {"#status": "status"},
                }
            }
        },
    ]
