"""When the sweep acts on a Reservation, reads a single record, and checks a Reservation again."""

from dataclasses import replace
from typing import Any

import pytest

from chalicelib.domain.errors import OutcomeUnknown, TaskRouterNotFound, TaskRouterUnavailable
from chalicelib.domain.reservations import RemoteReservation, Reservation, Status
from chalicelib.usecases.sweep import SweepPolicy
from tests.support import DEADLINES, NOW, sid
from tests.usecases.conftest import Service

MINUTE = 60_000
REJECTING_DEADLINES = replace(DEADLINES, reject_after=60)


@pytest.fixture
def wrapping(service: Service, pending: RemoteReservation) -> RemoteReservation:
    """A Reservation that has been wrapping since NOW and is checked after ten minutes."""
    service.deadlines = replace(DEADLINES, max_wrapup=600)
    service.accept(pending)
    service.taskrouter.calls.clear()
    service.taskrouter.activities.clear()
    service.taskrouter.set_status(pending.reservation_sid, Status.WRAPPING)
    service.post_event(pending, Status.WRAPPING)
    return pending


def make_due(service: Service, remote: RemoteReservation) -> None:
    service.store._client.update_item(
        TableName=service.store._reservations,
        Key={"reservation_sid": {"S": remote.reservation_sid}},
        UpdateExpression="SET due_at = :now",
        ExpressionAttributeValues={":now": {"N": str(service.clock.now)}},
    )


def due_at(service: Service, remote: RemoteReservation) -> int:
    """Return the time (epoch ms) of the Reservation's next check."""
    status = service.record(remote).status
    (due,) = service.store.due_reservations(status, now=service.clock.now + 10**9)
    return due.due_at


def outcome(report: dict[str, Any]) -> dict[str, int]:
    names = ("mirrored", "unchanged", "gone", "rejected", "completed", "failed", "left")
    return {name: report[name] for name in names if report[name]}


@pytest.mark.parametrize(
    ("age", "expected"),
    [(59_999, "unchanged"), (60_000, "rejected"), (119_999, "rejected"), (120_000, "unchanged")],
)
def test_pending_reservation_is_rejected_only_between_its_rejection_time_and_its_timeout(
    service: Service, pending: RemoteReservation, age: int, expected: str
) -> None:
    service.deadlines = REJECTING_DEADLINES
    service.clock.now += age
    make_due(service, pending)
    assert outcome(service.sweep()) == {expected: 1}
    assert service.taskrouter.calls["update"] == (expected == "rejected")


@pytest.mark.parametrize("status", [Status.ACCEPTED, Status.WRAPPING])
def test_only_a_pending_reservation_is_rejected(
    service: Service, pending: RemoteReservation, status: Status
) -> None:
    service.deadlines = REJECTING_DEADLINES
    service.taskrouter.set_status(pending.reservation_sid, status)
    service.post_event(pending, status)
    service.clock.now += 90_000
    make_due(service, pending)
    assert outcome(service.sweep()) == {"unchanged": 1}
    assert service.taskrouter.calls["update"] == 0


@pytest.mark.parametrize(("age", "expected"), [(599_999, "unchanged"), (600_000, "completed")])
def test_wrapping_reservation_is_completed_when_the_wrap_up_limit_is_reached(
    service: Service, wrapping: RemoteReservation, age: int, expected: str
) -> None:
    service.clock.now += age
    make_due(service, wrapping)
    assert outcome(service.sweep()) == {expected: 1}
    if expected == "unchanged":
        assert due_at(service, wrapping) == NOW + 600_000


@pytest.mark.parametrize("answer_may_ring", [True, False])
def test_completion_sends_no_activity_whether_or_not_an_answer_may_call_a_phone(
    service: Service, wrapping: RemoteReservation, *, answer_may_ring: bool
) -> None:
    service.answer_may_ring = answer_may_ring
    service.policy = SweepPolicy(reject_activity_sid=sid("WA"))
    service.clock.now += 600_000
    assert outcome(service.sweep()) == {"completed": 1}
    assert service.taskrouter.activities == [None]
    assert service.record(wrapping).history[-1].by == "service:sweep"


def test_reservation_that_disappears_before_its_completion_is_counted_as_mirrored(
    service: Service, wrapping: RemoteReservation
) -> None:
    service.taskrouter.fail_before["update"] = [TaskRouterNotFound("404")]
    service.clock.now += 600_000
    assert outcome(service.sweep()) == {"mirrored": 1}
    assert service.record(wrapping).status is Status.GONE


def collect_reads(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that collects the SIDs of the records that are read individually."""
    reads: list[str] = []
    get = service.store.get

    def get_and_collect(reservation_sid: str) -> Reservation | None:
        reads.append(reservation_sid)
        return get(reservation_sid)

    monkeypatch.setattr(service.store, "get", get_and_collect)
    return reads


@pytest.mark.parametrize(
    ("status", "max_wrapup", "expected"),
    [
        (Status.PENDING, None, 0),
        (Status.PENDING, 3600, 0),
        (Status.ACCEPTED, None, 0),
        (Status.ACCEPTED, 3600, 0),
        (Status.WRAPPING, None, 0),
        (Status.WRAPPING, 3600, 1),
    ],
)
def test_sweep_reads_a_record_only_if_the_reservation_is_wrapping_and_has_a_limit(
    service: Service,
    pending: RemoteReservation,
    monkeypatch: pytest.MonkeyPatch,
    *,
    status: Status,
    max_wrapup: int | None,
    expected: int,
) -> None:
    service.deadlines = replace(DEADLINES, max_wrapup=max_wrapup)
    service.taskrouter.set_status(pending.reservation_sid, status)
    if status is not Status.PENDING:
        service.post_event(pending, status)
    make_due(service, pending)
    reads = collect_reads(service, monkeypatch)
    assert outcome(service.sweep()) == {"unchanged": 1}
    assert reads == [pending.reservation_sid] * expected


def test_sweep_does_not_complete_a_reservation_whose_end_is_recorded_during_the_check(
    service: Service, wrapping: RemoteReservation
) -> None:
    service.deadlines = replace(DEADLINES, max_wrapup=1)

    def end_wrap_up(verb: str) -> None:
        if verb == "fetch":
            service.post_event(wrapping, Status.COMPLETED)
            service.clock.now += 2_000

    service.taskrouter.when_called = end_wrap_up
    service.clock.now += 600_000
    assert outcome(service.sweep()) == {"unchanged": 1}
    assert service.record(wrapping).history[-1].by == "event"


@pytest.mark.parametrize("status", [Status.PENDING, Status.WRAPPING])
def test_reservation_whose_record_disappears_during_the_check_is_not_changed(
    service: Service,
    wrapping: RemoteReservation,
    monkeypatch: pytest.MonkeyPatch,
    status: Status,
) -> None:
    pending_remote = service.taskrouter.add()
    service.assign(pending_remote)
    due = pending_remote if status is Status.PENDING else wrapping
    service.deadlines = replace(REJECTING_DEADLINES, max_wrapup=1)
    service.clock.now += 60_000
    make_due(service, due)
    monkeypatch.setattr(service.store, "get", lambda _sid: None)
    report = service.sweep()
    assert (outcome(report), report["ok"]) == ({"unchanged": report["due"]}, True)
    assert service.taskrouter.calls["update"] == 0


def test_claimed_reservation_whose_record_disappears_during_the_check_is_not_counted_as_failed(
    service: Service, pending: RemoteReservation, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.taskrouter.fail_before["update"] = [TaskRouterUnavailable("lost")]
    with pytest.raises(OutcomeUnknown):
        service.accept(pending)
    service.clock.now += 30_000
    monkeypatch.setattr(service.store, "get", lambda _sid: None)
    assert outcome(service.sweep()) == {"unchanged": 1}


@pytest.mark.parametrize("monitor_only", [True, False])
def test_reservation_for_which_a_phone_may_be_ringing_is_checked_again_after_15_seconds(
    service: Service, pending: RemoteReservation, *, monitor_only: bool
) -> None:
    service.answer_may_ring = True
    service.deadlines = REJECTING_DEADLINES
    service.policy = SweepPolicy(monitor_only=monitor_only)
    unanswered = service.taskrouter.add()
    service.post_event(unanswered, Status.PENDING)
    service.clock.now += 60_000
    make_due(service, unanswered)
    service.reject(pending)
    assert outcome(service.sweep()) == {"unchanged": 1}
    assert due_at(service, unanswered) == service.clock.now + 15_000


def test_monitor_only_sweep_checks_a_reservation_due_for_rejection_again_after_15_seconds(
    service: Service, pending: RemoteReservation
) -> None:
    service.deadlines = REJECTING_DEADLINES
    service.policy = SweepPolicy(monitor_only=True)
    service.clock.now += 60_000
    make_due(service, pending)
    assert outcome(service.sweep()) == {"rejected": 1}
    assert due_at(service, pending) == service.clock.now + 15_000
    assert service.taskrouter.calls["update"] == 0
