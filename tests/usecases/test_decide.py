import pytest

from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    ReservationGone,
    ReservationNotPending,
    TaskRouterDenied,
    TaskRouterNotFound,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
    Unsettled,
)
from chalicelib.domain.reservations import RemoteReservation, Status
from tests.support import sid
from tests.usecases.conftest import SUPERVISOR, World


@pytest.fixture
def pending(world: World) -> RemoteReservation:
    remote = world.taskrouter.add()
    world.assign(remote)
    return remote


def test_accept_updates_taskrouter_and_records_acceptor(
    world: World, pending: RemoteReservation
) -> None:
    accepted = world.accept(pending)

    assert (accepted.status, accepted.worker_name) == (Status.ACCEPTED, "Alice")
    record = world.record(pending)
    assert record.accepted_by == "supervisor:ann"
    assert record.claim is None
    assert [(change.to, change.by) for change in record.history] == [
        (Status.PENDING, "assignment_callback"),
        (Status.ACCEPTED, "supervisor:ann"),
    ]


def test_reject_records_no_acceptor(world: World, pending: RemoteReservation) -> None:
    assert world.reject(pending).status is Status.REJECTED
    assert world.record(pending).accepted_by is None


@pytest.mark.parametrize("current", [Status.ACCEPTED, Status.WRAPPING, Status.COMPLETED])
def test_repeated_accept_returns_current_status_without_calling_taskrouter(
    world: World, pending: RemoteReservation, current: Status
) -> None:
    world.accept(pending)
    if current is not Status.ACCEPTED:
        world.taskrouter.set_status(pending.reservation_sid, current)
        world.clock.now += 16 * 60_000
        world.sweep()

    assert world.accept(pending).status is current
    assert world.taskrouter.calls["update"] == 1


def test_rejected_reservation_cannot_be_accepted(world: World, pending: RemoteReservation) -> None:
    world.reject(pending)

    with pytest.raises(ReservationNotPending) as refusal:
        world.accept(pending)
    assert refusal.value.details == {"reservation_status": "rejected"}
    assert world.taskrouter.calls["update"] == 1


def test_second_accept_waits_for_outcome_of_first(world: World, pending: RemoteReservation) -> None:
    outcomes = []

    def second_accept(verb: str) -> None:
        if verb == "update":
            waiting = world.clock.when_sleeping = lambda: None
            assert waiting
            with pytest.raises(Unsettled):
                world.accept(pending)
            outcomes.append(world.clock.now)

    before = world.clock.now
    world.taskrouter.when_called = second_accept
    world.accept(pending)

    assert outcomes == [before + 3_000]
    assert world.taskrouter.calls["update"] == 1


def test_waiting_accept_returns_as_soon_as_outcome_is_recorded(
    world: World, pending: RemoteReservation
) -> None:
    """The claim's owner records the outcome during the second request's first wait of 100 ms."""
    decided = []

    def settle_meanwhile() -> None:
        world.clock.when_sleeping = lambda: None
        world.taskrouter.set_status(pending.reservation_sid, Status.ACCEPTED)
        world.clock.now += 31_000
        world.sweep()

    def second_accept(verb: str) -> None:
        if verb == "update":
            world.taskrouter.when_called = lambda _verb: None
            world.clock.when_sleeping = settle_meanwhile
            decided.append(world.accept(pending).status)

    world.taskrouter.when_called = second_accept
    assert world.accept(pending).status is Status.ACCEPTED
    assert decided == [Status.ACCEPTED]


def test_reject_during_accept_conflicts_without_waiting(
    world: World, pending: RemoteReservation
) -> None:
    def reject_in_between(verb: str) -> None:
        if verb == "update":
            before = world.clock.now
            with pytest.raises(ReservationNotPending) as refusal:
                world.reject(pending)
            assert refusal.value.details == {"reservation_status": "pending"}
            assert world.clock.now == before

    world.taskrouter.when_called = reject_in_between
    world.accept(pending)
    assert world.taskrouter.calls["update"] == 1


def test_expired_claim_can_be_taken_over(world: World, pending: RemoteReservation) -> None:
    world.taskrouter.fail_before["update"] = [TaskRouterUnavailable("cut")]
    with pytest.raises(Unsettled):
        world.accept(pending)
    with pytest.raises(Unsettled):
        world.accept(pending)
    assert world.taskrouter.calls["update"] == 1

    world.clock.now += 30_000
    assert world.accept(pending).status is Status.ACCEPTED
    assert world.taskrouter.calls["update"] == 2


def test_status_is_fetched_once_after_lost_response(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.fail_after["update"] = [TaskRouterUnavailable("cut")]

    assert world.accept(pending).status is Status.ACCEPTED
    assert world.taskrouter.calls == {"update": 1, "fetch": 1}


def test_claim_stays_for_sweep_if_status_cannot_be_fetched(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.fail_after["update"] = [TaskRouterUnavailable("cut")]
    world.taskrouter.fail_before["fetch"] = [TaskRouterUnavailable("cut")]
    with pytest.raises(Unsettled) as refusal:
        world.accept(pending)
    assert refusal.value.retry_after == 1
    assert world.record(pending).claim is not None

    world.clock.now += 30_000
    world.sweep()
    record = world.record(pending)
    assert (record.status, record.accepted_by) == (Status.ACCEPTED, "supervisor:ann")


def test_status_is_not_fetched_late_in_request(world: World, pending: RemoteReservation) -> None:
    def slow(verb: str) -> None:
        world.clock.now += 20_000 if verb == "update" else 0

    world.taskrouter.when_called = slow
    world.taskrouter.fail_before["update"] = [TaskRouterUnavailable("slow")]
    with pytest.raises(Unsettled):
        world.accept(pending)
    assert world.taskrouter.calls["fetch"] == 0


def test_throttled_request_releases_claim(world: World, pending: RemoteReservation) -> None:
    world.taskrouter.fail_before["update"] = [TaskRouterThrottled("429")]
    with pytest.raises(Unsettled):
        world.accept(pending)

    assert world.accept(pending).status is Status.ACCEPTED


def test_accept_succeeds_if_already_accepted_elsewhere(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.set_status(pending.reservation_sid, Status.ACCEPTED)

    assert world.accept(pending).status is Status.ACCEPTED


def test_end_at_taskrouter_is_recorded_and_reported(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.set_status(pending.reservation_sid, Status.TIMEOUT)

    with pytest.raises(ReservationNotPending) as refusal:
        world.accept(pending)
    assert refusal.value.details == {"reservation_status": "timeout"}
    assert world.record(pending).status is Status.TIMEOUT


def test_refusal_of_pending_reservation_releases_claim_and_is_reported(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.fail_before["update"] = [TaskRouterRefused("bad activity")]
    with pytest.raises(TaskRouterRefused):
        world.reject(pending, activity_sid=sid("WA"))

    assert world.record(pending).claim is None
    assert world.reject(pending).status is Status.REJECTED


def test_reservation_gone_at_taskrouter_is_reported_as_gone(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.remove(pending.reservation_sid)

    with pytest.raises(ReservationGone):
        world.accept(pending)
    assert world.record(pending).status is Status.GONE
    with pytest.raises(ReservationGone):
        world.reject(pending)
    assert world.taskrouter.calls["update"] == 1


def test_decision_with_unknown_workspace_changes_no_record(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.remove(pending.reservation_sid)
    world.taskrouter.workspace_error = TaskRouterNotFound("wrong WorkspaceSid")

    with pytest.raises(Unsettled):
        world.accept(pending)
    assert world.record(pending).status is Status.PENDING


def test_refused_credentials_release_claim(world: World, pending: RemoteReservation) -> None:
    world.taskrouter.fail_before["update"] = [TaskRouterDenied("401")]
    with pytest.raises(TaskRouterDenied):
        world.accept(pending)
    assert world.record(pending).claim is None


def test_worker_cannot_decide_or_claim_reservation_of_another_worker(
    world: World, pending: RemoteReservation
) -> None:
    other = Principal(Role.WORKER, worker_sid=sid("WK"))
    with pytest.raises(Forbidden):
        world.accept(pending, principal=other)
    assert world.record(pending).claim is None


def test_worker_decides_own_reservation(world: World, pending: RemoteReservation) -> None:
    own = Principal(Role.WORKER, worker_sid=pending.worker_sid)
    assert world.accept(pending, principal=own).accepted_by == f"worker:{pending.worker_sid}"


def test_accept_with_wrong_task_is_bad_request(world: World, pending: RemoteReservation) -> None:
    with pytest.raises(BadRequest):
        world.accept(pending, task_sid=sid("WT"))
    assert world.record(pending).claim is None


def test_unrecorded_reservation_is_fetched_by_task(world: World) -> None:
    remote = world.taskrouter.add()

    assert world.accept(remote, task_sid=remote.task_sid).status is Status.ACCEPTED
    assert world.record(remote).callback is None


def test_worker_accepts_unrecorded_reservation_without_task(world: World) -> None:
    remote = world.taskrouter.add()
    own = Principal(Role.WORKER, worker_sid=remote.worker_sid)

    assert world.accept(remote, principal=own).status is Status.ACCEPTED


def test_worker_cannot_access_unrecorded_reservation_of_another_worker(world: World) -> None:
    remote = world.taskrouter.add()
    other = Principal(Role.WORKER, worker_sid=sid("WK"))

    with pytest.raises(Forbidden):
        world.accept(remote, principal=other, task_sid=remote.task_sid)
    assert world.store.get(remote.reservation_sid) is None


def test_unrecorded_ended_reservation_is_recorded_and_reported(
    world: World,
) -> None:
    remote = world.taskrouter.add(Status.TIMEOUT)

    with pytest.raises(ReservationNotPending):
        world.accept(remote, task_sid=remote.task_sid)
    assert world.record(remote).status is Status.TIMEOUT


@pytest.mark.parametrize("with_task", [True, False])
def test_unknown_reservation_is_not_found(world: World, *, with_task: bool) -> None:
    remote = world.taskrouter.add()
    world.taskrouter.remove(remote.reservation_sid)

    with pytest.raises(NotFound):
        world.accept(remote, principal=SUPERVISOR, task_sid=remote.task_sid if with_task else None)
