"""The sweep rejects pending Reservations in time and completes Reservations stuck in wrapping."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from chalicelib.adapters.dynamodb.jobs import LAST_SWEEP
from chalicelib.domain.errors import (
    SweepFailed,
    TaskRouterNotProcessed,
    TaskRouterNotSent,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.instructions import Call, Conference
from chalicelib.domain.reservations import RemoteReservation, Reservation, Status
from chalicelib.usecases.run_budget import MAX_REASONS
from chalicelib.usecases.sweep import SweepPolicy
from tests.support import DEADLINES, NOW, make_reconciliation_due, sid
from tests.usecases.conftest import Service

ACTIVITY = sid("WA")


@pytest.fixture
def rejecting_service(service: Service) -> Service:
    """A service that rejects Reservations after 40 s; their timeout is 120 s."""
    service.deadlines = replace(DEADLINES, reject_after=40)
    service.policy = SweepPolicy(reject_activity_sid=ACTIVITY)
    return service


@pytest.fixture
def service_with_wrapping_reservation(service: Service) -> tuple[Service, RemoteReservation]:
    """A service and a wrapping Reservation, which the sweep completes after 5 minutes."""
    service.deadlines = replace(DEADLINES, max_wrapup=300)
    remote = service.taskrouter.add()
    service.assign(remote)
    service.accept(remote)
    service.taskrouter.set_status(remote.reservation_sid, Status.WRAPPING)
    service.clock.now += 15 * 60_000
    assert service.sweep()["mirrored"] == 1
    return service, remote


def test_pending_reservation_is_rejected_with_the_configured_activity_before_its_timeout(
    rejecting_service: Service,
) -> None:
    remote = rejecting_service.taskrouter.add()
    rejecting_service.assign(remote)

    rejecting_service.clock.now = NOW + 39_999
    assert rejecting_service.sweep()["due"] == 0
    rejecting_service.clock.now = NOW + 40_000
    assert rejecting_service.sweep()["rejected"] == 1

    record = rejecting_service.record(remote)
    assert (record.status, record.history[-1].by) == (Status.REJECTED, "service:sweep")
    assert rejecting_service.taskrouter.activities == [ACTIVITY]


def test_reservation_is_not_rejected_after_its_timeout(rejecting_service: Service) -> None:
    remote = rejecting_service.taskrouter.add()
    rejecting_service.assign(remote)
    rejecting_service.clock.now = NOW + 120_000

    assert rejecting_service.sweep()["unchanged"] == 1
    assert rejecting_service.taskrouter.calls["update"] == 0


def test_concurrent_accept_prevents_rejection(rejecting_service: Service) -> None:
    remote = rejecting_service.taskrouter.add()
    rejecting_service.assign(remote)
    rejecting_service.clock.now = NOW + 40_000

    def accept_during_fetch(verb: str) -> None:
        if verb == "fetch":
            rejecting_service.taskrouter.when_called = lambda _verb: None
            rejecting_service.accept(remote)

    rejecting_service.taskrouter.when_called = accept_during_fetch
    assert rejecting_service.sweep()["unchanged"] == 1
    assert rejecting_service.record(remote).status is Status.ACCEPTED
    assert rejecting_service.taskrouter.calls["update"] == 1


def test_rejection_with_lost_response_fails_sweep_and_is_recorded_later(
    rejecting_service: Service,
) -> None:
    remote = rejecting_service.taskrouter.add()
    rejecting_service.assign(remote)
    rejecting_service.clock.now = NOW + 40_000
    rejecting_service.taskrouter.fail_after["update"] = [TaskRouterUnavailable("connection lost")]
    rejecting_service.taskrouter.fail_before["fetch"] = []

    def fail_next_fetch(verb: str) -> None:
        if verb == "update":
            rejecting_service.taskrouter.fail_before["fetch"] = [
                TaskRouterUnavailable("connection lost")
            ]

    rejecting_service.taskrouter.when_called = fail_next_fetch
    with pytest.raises(SweepFailed):
        rejecting_service.sweep()
    rejecting_service.clock.now += 30_000
    assert rejecting_service.sweep()["mirrored"] == 1
    assert rejecting_service.record(remote).status is Status.REJECTED
    assert rejecting_service.taskrouter.calls["update"] == 1


def test_monitor_only_sweep_counts_reservation_without_rejecting_it(
    rejecting_service: Service,
) -> None:
    rejecting_service.policy = replace(rejecting_service.policy, monitor_only=True)
    remote = rejecting_service.taskrouter.add()
    rejecting_service.assign(remote)
    rejecting_service.clock.now = NOW + 40_000

    assert rejecting_service.sweep()["rejected"] == 1
    assert rejecting_service.taskrouter.calls["update"] == 0
    assert rejecting_service.record(remote).status is Status.PENDING


def test_rejection_does_not_start_if_time_is_short(rejecting_service: Service) -> None:
    rejecting_service.assign(rejecting_service.taskrouter.add())
    rejecting_service.clock.now = NOW + 40_000

    def time_left_ms() -> int:
        return 24_999 if rejecting_service.taskrouter.calls["fetch"] else 60_000

    assert rejecting_service.sweep(time_left_ms=time_left_ms)["left"] == 1
    assert rejecting_service.taskrouter.calls["update"] == 0


def test_refused_rejection_does_not_stop_other_rejections(
    rejecting_service: Service,
) -> None:
    remotes = [rejecting_service.taskrouter.add() for _ in range(20)]
    for remote in remotes:
        rejecting_service.assign(remote)
    rejecting_service.taskrouter.fail_before["update"] = [TaskRouterRefused("no such Activity")]
    rejecting_service.clock.now = NOW + 40_000

    with pytest.raises(SweepFailed):
        rejecting_service.sweep()
    statuses = Counter(rejecting_service.record(remote).status for remote in remotes)
    assert statuses == {Status.REJECTED: 19, Status.PENDING: 1}


def test_sweep_reports_why_taskrouter_refused_requests(rejecting_service: Service) -> None:
    remotes = [rejecting_service.taskrouter.add() for _ in range(8)]
    for remote in remotes:
        rejecting_service.assign(remote)
    rejecting_service.taskrouter.fail_before["update"] = [
        TaskRouterRefused(f"reason {number}") for number in (1, 2, 1, 3, 4)
    ]
    rejecting_service.clock.now = NOW + 40_000

    with pytest.raises(SweepFailed, match=r"^The sweep failed: TaskRouterRefused \(5\)\. reason"):
        rejecting_service.sweep()

    store = rejecting_service.store
    item = store._client.get_item(TableName=store._state, Key={"id": {"S": LAST_SWEEP}})["Item"]
    reasons = [reason["S"] for reason in item["reasons"]["L"]]
    assert len(reasons) == MAX_REASONS
    assert set(reasons) < {f"reason {number}" for number in range(1, 5)}


def test_throttled_rejection_is_left_for_next_sweep_without_failure(
    rejecting_service: Service,
) -> None:
    remote = rejecting_service.taskrouter.add()
    rejecting_service.assign(remote)
    rejecting_service.taskrouter.fail_before["update"] = [TaskRouterThrottled("429")]
    rejecting_service.clock.now = NOW + 40_000

    report = rejecting_service.sweep()
    assert (report["left"], report["ok"]) == (1, True)
    rejecting_service.clock.now += 60_000
    assert rejecting_service.sweep()["rejected"] == 1


def test_throttled_accept_does_not_prevent_rejection(rejecting_service: Service) -> None:
    remote = rejecting_service.taskrouter.add()
    rejecting_service.assign(remote)
    rejecting_service.clock.now = NOW + 41_000
    rejecting_service.taskrouter.fail_before["update"] = [TaskRouterThrottled("429")]
    with pytest.raises(TaskRouterThrottled):
        rejecting_service.accept(remote)

    rejecting_service.clock.now += 60_000
    assert rejecting_service.sweep()["rejected"] == 1


def test_rejection_that_was_not_sent_is_retried_by_the_next_sweep(
    rejecting_service: Service,
) -> None:
    remote = rejecting_service.taskrouter.add()
    rejecting_service.assign(remote)
    rejecting_service.clock.now = NOW + 41_000
    rejecting_service.taskrouter.fail_before["update"] = [TaskRouterNotSent("refused")]
    with pytest.raises(SweepFailed, match="TaskRouterNotSent"):
        rejecting_service.sweep()
    assert rejecting_service.record(remote).claim is None

    rejecting_service.clock.now += 60_000
    assert rejecting_service.sweep()["rejected"] == 1


@pytest.mark.parametrize("failure", [TaskRouterNotSent("refused"), TaskRouterThrottled("429")])
def test_completion_that_was_not_processed_is_retried_by_the_next_sweep(
    service_with_wrapping_reservation: tuple[Service, RemoteReservation],
    failure: TaskRouterNotProcessed,
) -> None:
    service, remote = service_with_wrapping_reservation
    service.clock.now += 300_000
    service.taskrouter.fail_before["update"] = [failure]
    with suppress(SweepFailed):
        assert service.sweep()["left"] == 1

    service.clock.now += 60_000
    assert service.sweep()["completed"] == 1
    assert service.record(remote).status is Status.COMPLETED


def test_reservation_stuck_in_wrapping_is_completed(
    service_with_wrapping_reservation: tuple[Service, RemoteReservation],
) -> None:
    service, remote = service_with_wrapping_reservation

    service.clock.now += 299_999
    assert service.sweep()["due"] == 0
    service.clock.now += 1
    assert service.sweep()["completed"] == 1
    assert service.record(remote).status is Status.COMPLETED


def test_wrapping_reservation_is_completed_at_a_limit_of_20_minutes(service: Service) -> None:
    service.deadlines = replace(DEADLINES, max_wrapup=1_200)
    remote = service.taskrouter.add(Status.WRAPPING)
    service.post_event(remote, Status.WRAPPING)

    service.clock.now += 900_000
    assert service.sweep()["unchanged"] == 1
    service.clock.now += 300_000
    assert service.sweep()["completed"] == 1


def test_wrap_up_event_during_completion_does_not_remove_the_claim(
    service: Service,
) -> None:
    accepted = service.taskrouter.add()
    service.assign(accepted)
    service.accept(accepted)

    def report_wrapping_during_update(verb: str) -> None:
        if verb == "update":
            service.post_event(accepted, Status.WRAPPING)
            raise KeyboardInterrupt

    service.taskrouter.when_called = report_wrapping_during_update
    with pytest.raises(KeyboardInterrupt):
        service.decide(accepted, Status.COMPLETED)
    record = service.record(accepted)
    assert (record.status, record.live_claim(service.clock.now) is not None) == (
        Status.WRAPPING,
        True,
    )
    service.taskrouter.when_called = lambda _verb: None
    service.taskrouter.set_status(accepted.reservation_sid, Status.COMPLETED)
    service.clock.now += 30_000
    service.sweep()
    assert service.record(accepted).status is Status.COMPLETED


def test_wrapping_reservation_is_not_completed_by_default(service: Service) -> None:
    remote = service.taskrouter.add(Status.WRAPPING)
    service.post_event(remote, Status.WRAPPING)
    service.clock.now += 10 * 3_600_000

    assert service.sweep()["unchanged"] == 1
    assert service.taskrouter.calls["update"] == 0


def test_wrap_up_limit_is_measured_from_the_start_of_the_wrap_up(
    service: Service,
) -> None:
    service.deadlines = replace(DEADLINES, max_wrapup=1_200)
    remote = service.taskrouter.add(Status.WRAPPING)
    service.post_event(remote, Status.ACCEPTED)
    service.clock.now += 600_000
    service.post_event(remote, Status.WRAPPING)

    service.clock.now += 900_000
    assert service.sweep()["unchanged"] == 1
    service.clock.now += 299_999
    assert service.sweep()["due"] == 0
    service.clock.now += 1
    assert service.sweep()["completed"] == 1


# Rejections while a phone may be ringing

CALL = Call(to="client:a", from_="+15556667777", url="https://desk.example/twiml")
CONFERENCE = Conference(from_="+15556667777")


def unrecorded_fallback_answer_calls_a_phone(service: Service, remote: RemoteReservation) -> None:
    """The fallback is answered with a `call` while DynamoDB fails; an event creates the record."""
    service.post_event(remote, Status.PENDING)


def reconciliation_creates_the_record(service: Service, remote: RemoteReservation) -> None:
    make_reconciliation_due(service.store, service.clock.now)
    service.clock.now += 15_001
    service.sweep()
    assert service.record(remote).answer is None


def callback_arrives_during_a_decision(service: Service, remote: RemoteReservation) -> None:
    """The response `{}` is lost, and the fallback is answered with the rules' instruction."""
    service.post_event(remote, Status.PENDING)

    def post_callback(_verb: str) -> None:
        service.taskrouter.when_called = lambda _verb: None
        service.assign(remote, CALL)

    service.taskrouter.when_called = post_callback
    service.taskrouter.fail_before["update"] = [TaskRouterThrottled("429")]
    with pytest.raises(TaskRouterThrottled):
        service.accept(remote)
    assert service.record(remote).withheld == "call"


def callback_is_answered_with_a_call(service: Service, remote: RemoteReservation) -> None:
    service.assign(remote, CALL)


def conference_is_sent(service: Service, remote: RemoteReservation) -> None:
    service.assign(remote)
    service.accept(remote, instruction=CONFERENCE)


RING_SCENARIOS = {
    unrecorded_fallback_answer_calls_a_phone: False,
    reconciliation_creates_the_record: False,
    callback_arrives_during_a_decision: True,
    callback_is_answered_with_a_call: True,
    conference_is_sent: True,
}


@pytest.mark.parametrize("monitor_only", [False, True])
@pytest.mark.parametrize("answer_may_ring", [True, False])
@pytest.mark.parametrize(("prepare_scenario", "is_recorded"), RING_SCENARIOS.items())
def test_reservation_is_rejected_only_if_no_phone_can_be_ringing(
    rejecting_service: Service,
    prepare_scenario: Callable[[Service, RemoteReservation], None],
    *,
    is_recorded: bool,
    answer_may_ring: bool,
    monitor_only: bool,
) -> None:
    service = rejecting_service
    service.answer_may_ring = answer_may_ring
    service.policy = replace(service.policy, monitor_only=monitor_only)
    remote = service.taskrouter.add()
    prepare_scenario(service, remote)
    may_be_ringing = is_recorded or answer_may_ring
    updates = service.taskrouter.calls["update"]

    service.clock.now = NOW + 40_000
    for _ in range(4):
        report = service.sweep()
        assert report["rejected"] == (not may_be_ringing and report["due"])
        service.clock.now += 16_000
    assert service.taskrouter.calls["update"] - updates == (
        0 if may_be_ringing or monitor_only else 1
    )


def test_reservation_is_rejected_after_a_recorded_answer_that_calls_no_phone(
    rejecting_service: Service,
) -> None:
    rejecting_service.answer_may_ring = True
    rejecting_service.assign(rejecting_service.taskrouter.add())
    rejecting_service.clock.now = NOW + 40_000
    assert rejecting_service.sweep()["rejected"] == 1


def test_instruction_that_is_sent_during_the_check_prevents_the_rejection(
    rejecting_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, remote = rejecting_service, rejecting_service.taskrouter.add()
    service.assign(remote)
    service.clock.now = NOW + 40_000
    get = service.store.get

    def get_before_the_instruction(reservation_sid: str) -> Reservation | None:
        monkeypatch.undo()
        record = get(reservation_sid)
        service.accept(remote, instruction=CONFERENCE)
        return record

    monkeypatch.setattr(service.store, "get", get_before_the_instruction)
    report = service.sweep()

    assert (report["unchanged"], report["ok"]) == (1, True)
    assert service.taskrouter.calls["update"] == 0
    assert service.record(remote).status is Status.PENDING


def test_supervisor_may_reject_a_reservation_while_a_phone_may_be_ringing(service: Service) -> None:
    service.answer_may_ring = True
    for prepare_scenario in RING_SCENARIOS:
        remote = service.taskrouter.add(created_at=service.clock.now)
        prepare_scenario(service, remote)
        assert service.reject(remote).status is Status.REJECTED
