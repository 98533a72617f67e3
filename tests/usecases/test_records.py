"""Records are complete, scheduled for their next check, and used to authorize instructions."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any
from unittest.mock import ANY

import pytest

from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.callbacks import Form, ReservationEvent
from chalicelib.domain.errors import Forbidden, StoreUnavailable, TaskRouterRefused
from chalicelib.domain.instructions import (
    Accept,
    Call,
    Defer,
    Dequeue,
    Instruction,
    Redirect,
)
from chalicelib.domain.reservations import (
    ACHIEVED,
    Claim,
    HistoryEntry,
    RemoteReservation,
    Reservation,
    Status,
)
from chalicelib.domain.rules import Rule, Rules
from chalicelib.usecases.assign import Assignment, answer_callback
from chalicelib.usecases.authorize_instruction import authorize_instruction
from chalicelib.usecases.observe import observe, record_remote_reservation
from tests.support import DEADLINES, NOW, make_event, sid
from tests.usecases.conftest import SUPERVISOR, Service

WORKFLOW, QUEUE = "WW" + "0" * 32, "WQ" + "0" * 32
CALL = Call(from_="+15556667777", url="https://desk.example/twiml")


def due_at(service: Service, remote: RemoteReservation) -> int | None:
    """Return when (epoch ms) the sweep next checks the Reservation; None means never."""
    status = service.record(remote).status
    due = {
        each.reservation_sid: each.due_at
        for each in service.store.due_reservations(status, now=NOW + 10**9)
    }
    return due.get(remote.reservation_sid)


def expected(remote: RemoteReservation, status: Status, **values: Any) -> Reservation:
    return Reservation(
        reservation_sid=remote.reservation_sid,
        task_sid=remote.task_sid,
        worker_sid=remote.worker_sid,
        status=status,
        **{"reserved_at": NOW, "expires_at": NOW + 120_000, **values},
    )


RULES = Rules((Rule("ring", None, Accept, {}, {}),), Defer())


@pytest.mark.parametrize(
    ("rules", "answer", "rule", "accepted_by", "delay"),
    [
        (RULES, {"instruction": "accept"}, "ring", "assignment_instruction", 15_000),
        (Rules((), Accept()), {"instruction": "accept"}, None, "assignment_instruction", 15_000),
        (Rules((), CALL), CALL.answer, None, "event", 15_000),
        (Rules((), Defer()), {}, None, "event", 130_000),
    ],
)
def test_callback_creates_a_complete_record(
    service: Service,
    *,
    rules: Rules,
    answer: dict[str, Any],
    rule: str | None,
    accepted_by: str,
    delay: int,
) -> None:
    remote = service.taskrouter.add()
    callback = service.callback(remote)

    def post() -> Assignment:
        return answer_callback(
            callback, rules=rules, store=service.store, deadlines=DEADLINES, now=NOW
        )

    assert post() == post() == Assignment(answer, rule, ())
    assert service.record(remote) == expected(
        remote,
        Status.PENDING,
        workflow_sid=WORKFLOW,
        task_queue_sid=QUEUE,
        task_attributes=callback.task_attributes,
        worker_attributes=callback.worker_attributes,
        parameters=callback.parameters,
        answer=answer,
        rule=rule,
        history=(
            HistoryEntry(NOW, Status.PENDING, "assignment_callback", rule and f"rule {rule}"),
        ),
    )
    assert due_at(service, remote) == NOW + delay
    service.post_event(remote, Status.ACCEPTED)
    assert service.record(remote).accepted_by == accepted_by


def test_result_omits_a_rule_that_did_not_determine_the_answer(service: Service) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    broken = replace(RULES, failures=("rules: x",))
    assert answer_callback(
        service.callback(remote), rules=broken, store=service.store, deadlines=DEADLINES, now=NOW
    ) == Assignment({}, None, ("rules: x",))


def test_chosen_answer_is_returned_with_the_error_if_dynamodb_fails(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = StoreUnavailable("down")

    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(service.store, "record_callback", fail)
    callback = replace(service.callback(service.taskrouter.add()), task_attributes="[")
    rules = Rules((Rule("one", None, Dequeue, {}, {}),), Defer())
    assert answer_callback(
        callback, rules=rules, store=service.store, deadlines=DEADLINES, now=NOW
    ) == Assignment({"instruction": "dequeue"}, "one", (), error)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.GONE])
@pytest.mark.parametrize(
    ("at", "reserved_at"), [(None, NOW), (NOW - 60_000, NOW - 60_000), (NOW + 1, NOW)]
)
def test_event_creates_a_complete_record(
    service: Service, status: Status, at: int | None, reserved_at: int
) -> None:
    remote = service.taskrouter.add(status)
    details = {"workflow_sid": WORKFLOW, "task_queue_sid": QUEUE, "task_attributes": '{"a": 1}'}
    event = make_event(remote, status, at=at, **details)
    deadlines = replace(DEADLINES, by_workflow={WORKFLOW: 90})

    def report() -> bool:
        return observe(event, store=service.store, deadlines=deadlines, now=NOW, by="reconcile")

    assert (report(), report()) == (True, False)
    assert service.record(remote) == expected(
        remote,
        status,
        worker_name="Alice",
        worker_attributes="{}",
        accepted_by="reconcile" if status in ACHIEVED[Status.ACCEPTED] else None,
        reserved_at=reserved_at,
        expires_at=reserved_at + 90_000,
        history=(HistoryEntry(reserved_at, status, "reconcile"),),
        **details,
    )
    pending_due_at = reserved_at + 100_000
    due_times = {"pending": pending_due_at, "accepted": NOW + 900_000, "wrapping": NOW + 900_000}
    assert due_at(service, remote) == due_times.get(status)


@pytest.mark.parametrize(("at", "changed_at"), [(None, NOW), (NOW - 600_000, NOW - 600_000)])
def test_change_is_recorded_with_the_time_of_the_event_even_if_the_event_is_late(
    service: Service, at: int | None, changed_at: int
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    event = make_event(remote, Status.ACCEPTED, at=at)

    assert observe(event, store=service.store, deadlines=DEADLINES, now=NOW)
    assert service.record(remote).history[1:] == (
        HistoryEntry(changed_at, Status.ACCEPTED, "event"),
    )


@pytest.mark.parametrize(
    ("callback_ms", "arrival_ms", "changed_ms"), [(300, 700, 700), (300, 5_000, 999)]
)
def test_recorded_time_of_a_change_reported_in_whole_seconds_is_not_before_the_callback(
    service: Service, callback_ms: int, arrival_ms: int, changed_ms: int
) -> None:
    remote = service.taskrouter.add()
    start = NOW // 1_000 * 1_000
    service.clock.now = start + callback_ms
    service.assign(remote)
    for event_type in ("reservation.accepted", "reservation.created"):
        form = Form(
            [
                ("EventType", event_type),
                ("Timestamp", str(start // 1_000)),
                ("ReservationSid", remote.reservation_sid),
                ("TaskSid", remote.task_sid),
                ("WorkerSid", remote.worker_sid),
                ("WorkerName", "Alice"),
            ]
        )
        event = ReservationEvent.from_form(form, account_sid="", workspace_sid="")
        assert event is not None
        observe(event, store=service.store, deadlines=DEADLINES, now=start + arrival_ms)

    record = service.record(remote)
    assert record.reserved_at == start
    assert [entry.at - start for entry in record.history] == [callback_ms, changed_ms]


def test_late_event_does_not_keep_a_claim_that_has_expired(service: Service) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    claim = Claim(NOW - 1, Status.ACCEPTED, "claim", "worker:WK1")
    claimed, _ = service.store.claim(
        remote.reservation_sid, claim, now=NOW - 30_000, worker_sid=None, task_sid=None
    )
    assert claimed
    event = make_event(remote, Status.WRAPPING, at=NOW - 20_000)

    assert observe(event, store=service.store, deadlines=DEADLINES, now=NOW)
    assert service.record(remote).claim is None


CREATED = NOW - 700
"""The time of the ``reservation.created`` event."""


@pytest.mark.parametrize("order", [*permutations(["callback", "created", "accepted"])])
def test_creation_time_comes_from_the_created_event_in_any_order_of_arrival(
    service: Service, order: tuple[str, ...]
) -> None:
    remote = service.taskrouter.add()
    times = {"created": CREATED, "accepted": NOW + 400}
    for _ in range(2):
        for source in order:
            if source == "callback":
                service.assign(remote)
                continue
            status = Status.PENDING if source == "created" else Status.ACCEPTED
            event = make_event(remote, status, at=times[source], workflow_sid=WORKFLOW)
            observe(event, store=service.store, deadlines=DEADLINES, now=NOW + 900)

    record = service.record(remote)
    assert (record.reserved_at, record.expires_at) == (CREATED, CREATED + 120_000)
    assert record.worker_name == "Alice"


def test_event_without_a_workflow_keeps_the_expiry_set_by_the_callback(service: Service) -> None:
    remote = service.taskrouter.add()
    service.deadlines = replace(DEADLINES, by_workflow={WORKFLOW: 90})
    service.assign(remote)
    event = make_event(remote, Status.PENDING, at=CREATED)
    observe(event, store=service.store, deadlines=service.deadlines, now=NOW)

    record = service.record(remote)
    assert (record.reserved_at, record.expires_at) == (CREATED, NOW + 90_000)


@pytest.mark.parametrize(
    ("status", "at"), [(Status.PENDING, None), (Status.ACCEPTED, CREATED), (Status.PENDING, NOW)]
)
def test_event_that_reports_no_earlier_creation_keeps_the_creation_time(
    service: Service, status: Status, at: int | None
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    event = make_event(remote, status, at=at, workflow_sid=WORKFLOW)
    observe(event, store=service.store, deadlines=DEADLINES, now=NOW)

    record = service.record(remote)
    assert (record.reserved_at, record.expires_at) == (NOW, NOW + 120_000)


@pytest.mark.parametrize("status", [Status.PENDING, Status.ACCEPTED, Status.TIMEOUT])
def test_reservation_fetched_from_taskrouter_creates_a_complete_record(
    service: Service, status: Status
) -> None:
    remote = service.taskrouter.add(status, created_at=NOW - 5_000)

    def record() -> bool:
        return record_remote_reservation(
            remote, store=service.store, deadlines=DEADLINES, now=NOW, by="reconcile"
        )

    assert (record(), record()) == (True, False)
    assert service.record(remote) == expected(
        remote,
        status,
        worker_name="Alice",
        reserved_at=NOW - 5_000,
        expires_at=NOW + 115_000,
        history=(HistoryEntry(NOW, status, "reconcile", "no callback received"),),
    )
    due_times = {"pending": NOW + 125_000, "accepted": NOW + 900_000}
    assert due_at(service, remote) == due_times.get(status)


@pytest.mark.parametrize(
    ("status", "target", "instruction", "accepts"),
    [
        (Status.PENDING, Status.ACCEPTED, None, True),
        (Status.PENDING, Status.REJECTED, None, False),
        (Status.ACCEPTED, Status.COMPLETED, None, False),
        (Status.PENDING, Status.ACCEPTED, Dequeue(), True),
        (Status.PENDING, Status.ACCEPTED, CALL, False),
        (Status.PENDING, Status.ACCEPTED, replace(CALL, accept=True), True),
    ],
)
def test_claim_made_by_a_request_is_complete_and_lasts_30_seconds(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    status: Status,
    target: Status,
    instruction: Instruction | None,
    *,
    accepts: bool,
) -> None:
    remote = service.taskrouter.add(status)
    service.assign(remote)
    service.post_event(remote, status)
    claim, claims = service.store.claim, []

    def record_claim(*arguments: Any, **options: Any) -> Any:
        claims.append((arguments, options))
        return claim(*arguments, **options)

    monkeypatch.setattr(service.store, "claim", record_claim)
    worker = Principal(Role.WORKER, worker_sid=remote.worker_sid)
    service.answer_may_ring = True
    service.decide(
        remote, target, instruction=instruction, principal=worker, task_sid=remote.task_sid
    )

    expected_claim = Claim(
        until=NOW + 30_000,
        target=target,
        claim_id=ANY,
        by=f"worker:{remote.worker_sid}",
        accepts=accepts,
        instruction=instruction and instruction.answer,
        needs_answer=instruction is not None,
    )
    options = {"now": NOW, "worker_sid": remote.worker_sid, "task_sid": remote.task_sid}
    assert claims == [((remote.reservation_sid, expected_claim), options)]
    assert service.record(remote).claim is None


def test_reservation_is_checked_again_at_its_deadline_after_a_refused_request(
    service: Service,
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    service.taskrouter.fail_before["update"] = [TaskRouterRefused("no")]
    with pytest.raises(TaskRouterRefused):
        service.reject(remote)
    assert due_at(service, remote) == NOW + 130_000


@pytest.mark.parametrize(
    ("max_wrapup", "delay"), [(None, 910_000), (300, 300_000), (900, 900_000), (1_200, 910_000)]
)
def test_wrapping_reservation_is_checked_no_later_than_its_limit_after_a_refused_request(
    service: Service, max_wrapup: int | None, delay: int
) -> None:
    service.deadlines = replace(DEADLINES, max_wrapup=max_wrapup)
    remote = service.taskrouter.add(Status.WRAPPING)
    service.post_event(remote, Status.WRAPPING)
    service.clock.now += 10_000
    service.taskrouter.fail_before["update"] = [TaskRouterRefused("no")]
    with pytest.raises(TaskRouterRefused):
        service.decide(remote, Status.COMPLETED)
    assert due_at(service, remote) == NOW + delay


def test_effect_of_an_instruction_is_checked_after_15_seconds(service: Service) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    service.clock.now += 1_000
    service.accept(remote, instruction=CALL)
    assert due_at(service, remote) == NOW + 16_000


class NoStore:
    """A store that must not be used."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AssertionError(name)


def authorize(
    instruction: Instruction, remote: RemoteReservation, store: Any, principal: Principal
) -> None:
    authorize_instruction(
        instruction,
        reservation_sid=remote.reservation_sid,
        principal=principal,
        permissions={"dequeue": frozenset({"timeout"}), "redirect": frozenset({"url"})},
        store=store,
    )


OWN_PHONE = Dequeue(to="client:alice", timeout=5)
OWN_CALL = Redirect(call_sid="CA" + "1" * 32, url="https://a.example")


def test_record_is_not_read_unless_a_worker_specifies_a_phone_or_a_call(service: Service) -> None:
    remote = service.taskrouter.add()
    worker = Principal(Role.WORKER, worker_sid=remote.worker_sid)
    authorize(Dequeue(timeout=5), remote, NoStore(), worker)
    for instruction in (OWN_PHONE, OWN_CALL):
        authorize(instruction, remote, NoStore(), SUPERVISOR)
        with pytest.raises(AssertionError, match="get"):
            authorize(instruction, remote, NoStore(), worker)


@pytest.mark.parametrize("instruction", [OWN_PHONE, OWN_CALL], ids=["to", "call_sid"])
@pytest.mark.parametrize(
    ("attributes", "is_allowed"),
    [
        ({"contact_uri": "client:alice", "call_sid": "CA" + "1" * 32}, True),
        ({"contact_uri": "client:bob", "call_sid": "CA" + "2" * 32}, False),
        ({}, False),
        (None, False),
    ],
    ids=["own", "other", "empty", "unknown"],
)
def test_worker_may_specify_only_the_phone_and_the_call_in_the_record(
    service: Service,
    instruction: Instruction,
    attributes: dict[str, str] | None,
    *,
    is_allowed: bool,
) -> None:
    remote = service.taskrouter.add()
    text = None if attributes is None else str(attributes).replace("'", '"')
    event = make_event(remote, Status.PENDING, task_attributes=text, worker_attributes=text)
    observe(event, store=service.store, deadlines=DEADLINES, now=NOW)
    worker = Principal(Role.WORKER, worker_sid=remote.worker_sid)

    if is_allowed:
        authorize(instruction, remote, service.store, worker)
    else:
        with pytest.raises(Forbidden, match="only to"):
            authorize(instruction, remote, service.store, worker)
    with pytest.raises(Forbidden, match="only for its own Worker"):
        authorize(instruction, remote, service.store, Principal(Role.WORKER, worker_sid=sid("WK")))
    with pytest.raises(Forbidden, match="only to"):
        authorize(instruction, service.taskrouter.add(), service.store, worker)
