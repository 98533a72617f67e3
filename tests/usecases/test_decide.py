import pytest

from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    OutcomeUnknown,
    ReservationGone,
    ReservationNotPending,
    StoreUnavailable,
    TaskRouterDenied,
    TaskRouterNotFound,
    TaskRouterNotProcessed,
    TaskRouterNotSent,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.usecases.decide import Decision, decide
from tests.support import make_collaborators, sid
from tests.usecases.conftest import SUPERVISOR, Service


def test_accept_updates_taskrouter_and_records_acceptor(
    service: Service, pending: RemoteReservation
) -> None:
    accepted = service.accept(pending)

    assert (accepted.status, accepted.worker_name) == (Status.ACCEPTED, "Alice")
    record = service.record(pending)
    assert record.accepted_by == "supervisor:ann"
    assert record.claim is None
    assert [(change.to, change.by) for change in record.history] == [
        (Status.PENDING, "assignment_callback"),
        (Status.ACCEPTED, "supervisor:ann"),
    ]


def test_rejection_records_no_acceptor(service: Service, pending: RemoteReservation) -> None:
    assert service.reject(pending).status is Status.REJECTED
    assert service.record(pending).accepted_by is None


@pytest.mark.parametrize("current", [Status.ACCEPTED, Status.WRAPPING, Status.COMPLETED])
def test_repeated_accept_returns_current_status_without_second_update(
    service: Service, pending: RemoteReservation, current: Status
) -> None:
    service.accept(pending)
    if current is not Status.ACCEPTED:
        service.taskrouter.set_status(pending.reservation_sid, current)
        service.clock.now += 16 * 60_000
        service.sweep()

    assert service.accept(pending).status is current
    assert service.taskrouter.calls["update"] == 1


def test_rejected_reservation_cannot_be_accepted(
    service: Service, pending: RemoteReservation
) -> None:
    service.reject(pending)

    with pytest.raises(ReservationNotPending) as caught:
        service.accept(pending)
    assert caught.value.details == {"reservation_status": "rejected"}
    assert service.taskrouter.calls["update"] == 1


def test_second_accept_waits_three_seconds_for_outcome_of_first(
    service: Service, pending: RemoteReservation
) -> None:
    failed_at = []

    def accept_during_update(verb: str) -> None:
        if verb == "update":
            with pytest.raises(OutcomeUnknown):
                service.accept(pending)
            failed_at.append(service.clock.now)

    before = service.clock.now
    service.taskrouter.when_called = accept_during_update
    service.accept(pending)

    assert failed_at == [before + 3_000]
    assert service.taskrouter.calls["update"] == 1


def test_waiting_accept_returns_as_soon_as_outcome_is_recorded(
    service: Service, pending: RemoteReservation
) -> None:
    """The sweep records the outcome during the second request's first wait of 100 ms."""
    statuses = []

    def record_outcome() -> None:
        service.clock.when_sleeping = lambda: None
        service.taskrouter.set_status(pending.reservation_sid, Status.ACCEPTED)
        service.clock.now += 31_000
        service.sweep()

    def accept_during_update(verb: str) -> None:
        if verb == "update":
            service.taskrouter.when_called = lambda _verb: None
            service.clock.when_sleeping = record_outcome
            statuses.append(service.accept(pending).status)

    service.taskrouter.when_called = accept_during_update
    with pytest.raises(OutcomeUnknown):  # the first request is too old to fetch the status
        service.accept(pending)
    assert statuses == [Status.ACCEPTED]


def test_rejection_during_an_accept_fails_without_waiting(
    service: Service, pending: RemoteReservation
) -> None:
    def reject_during_update(verb: str) -> None:
        if verb == "update":
            before = service.clock.now
            with pytest.raises(ReservationNotPending) as caught:
                service.reject(pending)
            assert caught.value.details == {"reservation_status": "pending"}
            assert service.clock.now == before

    service.taskrouter.when_called = reject_during_update
    service.accept(pending)
    assert service.taskrouter.calls["update"] == 1


def test_expired_claim_can_be_taken_over(service: Service, pending: RemoteReservation) -> None:
    service.taskrouter.fail_before["update"] = [TaskRouterUnavailable("connection lost")]
    with pytest.raises(OutcomeUnknown):
        service.accept(pending)
    with pytest.raises(OutcomeUnknown):
        service.accept(pending)
    assert service.taskrouter.calls["update"] == 1

    service.clock.now += 30_000
    assert service.accept(pending).status is Status.ACCEPTED
    assert service.taskrouter.calls["update"] == 2


def test_status_is_fetched_once_after_lost_response(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.fail_after["update"] = [TaskRouterUnavailable("connection lost")]

    assert service.accept(pending).status is Status.ACCEPTED
    assert service.taskrouter.calls == {"update": 1, "fetch": 1}


def test_claim_is_kept_for_sweep_if_status_cannot_be_fetched(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.fail_after["update"] = [TaskRouterUnavailable("connection lost")]
    service.taskrouter.fail_before["fetch"] = [TaskRouterUnavailable("connection lost")]
    with pytest.raises(OutcomeUnknown) as caught:
        service.accept(pending)
    assert caught.value.retry_after == 30
    assert service.record(pending).claim is not None

    service.clock.now += 30_000
    service.sweep()
    record = service.record(pending)
    assert (record.status, record.accepted_by) == (Status.ACCEPTED, "supervisor:ann")


@pytest.mark.parametrize(
    ("waited", "elapsed", "fetches"),
    [(0, 2_999, 1), (0, 3_000, 0), (1_500, 1_499, 1), (1_500, 1_500, 0)],
)
def test_status_is_fetched_only_within_3_seconds_of_the_start_of_the_request(
    service: Service, pending: RemoteReservation, waited: int, elapsed: int, fetches: int
) -> None:
    def delay_update(verb: str) -> None:
        service.clock.now += elapsed if verb == "update" else 0

    service.taskrouter.when_called = delay_update
    service.taskrouter.fail_before["update"] = [TaskRouterUnavailable("slow")]
    decision = Decision(Status.ACCEPTED, pending.reservation_sid, SUPERVISOR)
    collaborators = make_collaborators(service.store, service.taskrouter, service.clock)
    with pytest.raises(OutcomeUnknown):
        decide(decision, collaborators, started=service.clock.now - waited)
    assert service.taskrouter.calls["fetch"] == fetches


@pytest.mark.parametrize(
    "failure", [TaskRouterThrottled("429"), TaskRouterNotSent("refused")], ids=lambda e: e.code
)
@pytest.mark.parametrize("target", [Status.ACCEPTED, Status.REJECTED])
def test_request_that_was_not_processed_can_be_repeated_at_once(
    service: Service, pending: RemoteReservation, failure: TaskRouterNotProcessed, target: Status
) -> None:
    service.taskrouter.fail_before["update"] = [failure]
    with pytest.raises(type(failure)) as raised:
        service.decide(pending, target)
    assert raised.value.retry_after == type(failure).retry_after
    assert service.record(pending).claim is None

    assert service.decide(pending, target).status is target
    assert service.taskrouter.calls == {"update": 2}


def test_unprocessed_request_can_be_repeated_after_the_lease_if_its_claim_cannot_be_released(
    service: Service, pending: RemoteReservation, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.taskrouter.fail_before["update"] = [TaskRouterNotSent("refused")]

    def fail(*_arguments: object, **_options: object) -> None:
        raise StoreUnavailable("DynamoDB is down")

    with monkeypatch.context() as patch:
        patch.setattr(service.store, "release_claim", fail)
        with pytest.raises(TaskRouterNotSent) as raised:
            service.accept(pending)
    assert raised.value.retry_after == 30

    service.clock.now += 30_000
    assert service.accept(pending).status is Status.ACCEPTED


def test_accept_succeeds_if_reservation_was_accepted_by_another_client(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.set_status(pending.reservation_sid, Status.ACCEPTED)

    assert service.accept(pending).status is Status.ACCEPTED


def test_end_of_reservation_in_taskrouter_is_recorded_and_reported(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.set_status(pending.reservation_sid, Status.TIMEOUT)

    with pytest.raises(ReservationNotPending) as caught:
        service.accept(pending)
    assert caught.value.details == {"reservation_status": "timeout"}
    assert service.record(pending).status is Status.TIMEOUT


def test_refused_rejection_releases_claim_and_is_reported(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.fail_before["update"] = [TaskRouterRefused("bad activity")]
    with pytest.raises(TaskRouterRefused):
        service.reject(pending, activity_sid=sid("WA"))

    assert service.record(pending).claim is None
    assert service.reject(pending).status is Status.REJECTED


def test_reservation_missing_from_taskrouter_is_reported_as_gone(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.remove(pending.reservation_sid)

    with pytest.raises(ReservationGone):
        service.accept(pending)
    assert service.record(pending).status is Status.GONE
    with pytest.raises(ReservationGone):
        service.reject(pending)
    assert service.taskrouter.calls["update"] == 1


def test_missing_reservation_is_reported_as_gone_even_if_the_record_cannot_be_written(
    service: Service, pending: RemoteReservation, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.taskrouter.remove(pending.reservation_sid)

    def fail(*_arguments: object) -> None:
        raise StoreUnavailable("DynamoDB is down")

    with monkeypatch.context() as patch:
        patch.setattr(service.store, "record_status", fail)
        with pytest.raises(ReservationGone):
            service.accept(pending)
    service.clock.now += 30_000
    service.sweep()
    assert service.record(pending).status is Status.GONE


def test_decision_does_not_change_recorded_status_if_workspace_is_unknown(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.remove(pending.reservation_sid)
    service.taskrouter.workspace_error = TaskRouterNotFound("wrong WorkspaceSid")

    with pytest.raises(OutcomeUnknown):
        service.accept(pending)
    assert service.record(pending).status is Status.PENDING


def test_claim_is_released_if_credentials_are_rejected(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.fail_before["update"] = [TaskRouterDenied("401")]
    with pytest.raises(TaskRouterDenied):
        service.accept(pending)
    assert service.record(pending).claim is None


def test_worker_cannot_accept_or_claim_reservation_of_another_worker(
    service: Service, pending: RemoteReservation
) -> None:
    other_worker = Principal(Role.WORKER, worker_sid=sid("WK"))
    with pytest.raises(Forbidden):
        service.accept(pending, principal=other_worker)
    assert service.record(pending).claim is None


def test_worker_accepts_own_reservation(service: Service, pending: RemoteReservation) -> None:
    worker = Principal(Role.WORKER, worker_sid=pending.worker_sid)
    assert service.accept(pending, principal=worker).accepted_by == f"worker:{pending.worker_sid}"


def test_accept_with_wrong_task_raises_bad_request(
    service: Service, pending: RemoteReservation
) -> None:
    with pytest.raises(BadRequest):
        service.accept(pending, task_sid=sid("WT"))
    assert service.record(pending).claim is None


def test_unrecorded_reservation_is_fetched_by_task(service: Service) -> None:
    remote = service.taskrouter.add()

    assert service.accept(remote, task_sid=remote.task_sid).status is Status.ACCEPTED
    assert service.record(remote).callback is None


def test_worker_accepts_unrecorded_reservation_without_task_sid(service: Service) -> None:
    remote = service.taskrouter.add()
    worker = Principal(Role.WORKER, worker_sid=remote.worker_sid)

    assert service.accept(remote, principal=worker).status is Status.ACCEPTED


def test_worker_cannot_accept_unrecorded_reservation_of_another_worker(service: Service) -> None:
    remote = service.taskrouter.add()
    other_worker = Principal(Role.WORKER, worker_sid=sid("WK"))

    with pytest.raises(Forbidden):
        service.accept(remote, principal=other_worker, task_sid=remote.task_sid)
    assert service.store.get(remote.reservation_sid) is None


def test_unrecorded_ended_reservation_is_recorded_and_reported(
    service: Service,
) -> None:
    remote = service.taskrouter.add(Status.TIMEOUT)

    with pytest.raises(ReservationNotPending):
        service.accept(remote, task_sid=remote.task_sid)
    assert service.record(remote).status is Status.TIMEOUT


@pytest.mark.parametrize("with_task_sid", [True, False])
def test_unknown_reservation_raises_not_found(service: Service, *, with_task_sid: bool) -> None:
    remote = service.taskrouter.add()
    service.taskrouter.remove(remote.reservation_sid)

    with pytest.raises(NotFound):
        service.accept(
            remote, principal=SUPERVISOR, task_sid=remote.task_sid if with_task_sid else None
        )
