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
    seen = world.taskrouter.add()
    world.assign(seen)
    return seen


def test_accepting_asks_taskrouter_and_records_who_did_it(
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


def test_rejecting_records_no_acceptor(world: World, pending: RemoteReservation) -> None:
    assert world.reject(pending).status is Status.REJECTED
    assert world.record(pending).accepted_by is None


@pytest.mark.parametrize("today", [Status.ACCEPTED, Status.WRAPPING, Status.COMPLETED])
def test_a_repeated_accept_answers_todays_status_and_asks_nobody(
    world: World, pending: RemoteReservation, today: Status
) -> None:
    world.accept(pending)
    if today is not Status.ACCEPTED:
        world.taskrouter.becomes(pending.reservation_sid, today)
        world.clock.now += 16 * 60_000
        world.sweep()

    assert world.accept(pending).status is today
    assert world.taskrouter.calls["update"] == 1


def test_what_was_rejected_can_not_be_accepted(world: World, pending: RemoteReservation) -> None:
    world.reject(pending)

    with pytest.raises(ReservationNotPending) as refusal:
        world.accept(pending)
    assert refusal.value.details == {"reservation_status": "rejected"}
    assert world.taskrouter.calls["update"] == 1


def test_one_who_finds_a_claim_waits_for_the_outcome(
    world: World, pending: RemoteReservation
) -> None:
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


def test_one_who_waits_learns_the_outcome_as_soon_as_it_is_there(
    world: World, pending: RemoteReservation
) -> None:
    """The claim's owner settles while the other waits its first 100 ms."""
    decided = []

    def settle_meanwhile() -> None:
        world.clock.when_sleeping = lambda: None
        world.taskrouter.becomes(pending.reservation_sid, Status.ACCEPTED)
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


def test_a_claim_for_the_opposite_is_a_conflict_at_once(
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


def test_a_lapsed_claim_can_be_taken_over(world: World, pending: RemoteReservation) -> None:
    world.taskrouter.fail_before["update"] = [TaskRouterUnavailable("cut")]
    with pytest.raises(Unsettled):
        world.accept(pending)
    with pytest.raises(Unsettled):
        world.accept(pending)
    assert world.taskrouter.calls["update"] == 1

    world.clock.now += 30_000
    assert world.accept(pending).status is Status.ACCEPTED
    assert world.taskrouter.calls["update"] == 2


def test_an_answer_that_was_never_heard_is_asked_for_once(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.fail_after["update"] = [TaskRouterUnavailable("cut")]

    assert world.accept(pending).status is Status.ACCEPTED
    assert world.taskrouter.calls == {"update": 1, "fetch": 1}


def test_where_the_truth_can_not_be_had_the_claim_stays_and_the_sweep_finds_out(
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


def test_the_truth_is_not_asked_for_when_time_is_short(
    world: World, pending: RemoteReservation
) -> None:
    def slow(verb: str) -> None:
        world.clock.now += 20_000 if verb == "update" else 0

    world.taskrouter.when_called = slow
    world.taskrouter.fail_before["update"] = [TaskRouterUnavailable("slow")]
    with pytest.raises(Unsettled):
        world.accept(pending)
    assert world.taskrouter.calls["fetch"] == 0


def test_a_throttled_request_was_never_processed_so_the_claim_is_given_up(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.fail_before["update"] = [TaskRouterThrottled("429")]
    with pytest.raises(Unsettled):
        world.accept(pending)

    assert world.accept(pending).status is Status.ACCEPTED


def test_accepted_by_other_means_counts_as_success(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.becomes(pending.reservation_sid, Status.ACCEPTED)

    assert world.accept(pending).status is Status.ACCEPTED


def test_ended_at_taskrouter_is_mirrored_and_told(world: World, pending: RemoteReservation) -> None:
    world.taskrouter.becomes(pending.reservation_sid, Status.TIMEOUT)

    with pytest.raises(ReservationNotPending) as refusal:
        world.accept(pending)
    assert refusal.value.details == {"reservation_status": "timeout"}
    assert world.record(pending).status is Status.TIMEOUT


def test_refused_though_pending_gives_the_claim_up_and_says_so(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.fail_before["update"] = [TaskRouterRefused("bad activity")]
    with pytest.raises(TaskRouterRefused):
        world.reject(pending, activity_sid=sid("WA"))

    assert world.record(pending).claim is None
    assert world.reject(pending).status is Status.REJECTED


def test_gone_at_taskrouter_is_gone(world: World, pending: RemoteReservation) -> None:
    world.taskrouter.forget(pending.reservation_sid)

    with pytest.raises(ReservationGone):
        world.accept(pending)
    assert world.record(pending).status is Status.GONE
    with pytest.raises(ReservationGone):
        world.reject(pending)
    assert world.taskrouter.calls["update"] == 1


def test_a_workspace_that_taskrouter_does_not_know_ends_no_record(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.forget(pending.reservation_sid)
    world.taskrouter.workspace_error = TaskRouterNotFound("wrong WorkspaceSid")

    with pytest.raises(Unsettled):
        world.accept(pending)
    assert world.record(pending).status is Status.PENDING


def test_refused_credentials_give_the_claim_up(world: World, pending: RemoteReservation) -> None:
    world.taskrouter.fail_before["update"] = [TaskRouterDenied("401")]
    with pytest.raises(TaskRouterDenied):
        world.accept(pending)
    assert world.record(pending).claim is None


def test_a_worker_may_not_decide_anothers_and_claims_nothing(
    world: World, pending: RemoteReservation
) -> None:
    other = Principal(Role.WORKER, worker_sid=sid("WK"))
    with pytest.raises(Forbidden):
        world.accept(pending, principal=other)
    assert world.record(pending).claim is None


def test_a_worker_decides_its_own(world: World, pending: RemoteReservation) -> None:
    own = Principal(Role.WORKER, worker_sid=pending.worker_sid)
    assert world.accept(pending, principal=own).accepted_by == f"worker:{pending.worker_sid}"


def test_another_task_than_the_reservations_is_a_mistake(
    world: World, pending: RemoteReservation
) -> None:
    with pytest.raises(BadRequest):
        world.accept(pending, task_sid=sid("WT"))
    assert world.record(pending).claim is None


def test_a_reservation_never_recorded_is_fetched_by_its_task(world: World) -> None:
    seen = world.taskrouter.add()

    assert world.accept(seen, task_sid=seen.task_sid).status is Status.ACCEPTED
    assert world.record(seen).callback is None


def test_a_worker_needs_no_task_for_a_reservation_never_recorded(world: World) -> None:
    seen = world.taskrouter.add()
    own = Principal(Role.WORKER, worker_sid=seen.worker_sid)

    assert world.accept(seen, principal=own).status is Status.ACCEPTED


def test_a_worker_reaches_no_unrecorded_reservation_of_another(world: World) -> None:
    seen = world.taskrouter.add()
    other = Principal(Role.WORKER, worker_sid=sid("WK"))

    with pytest.raises(Forbidden):
        world.accept(seen, principal=other, task_sid=seen.task_sid)
    assert world.store.get(seen.reservation_sid) is None


def test_a_reservation_that_ended_before_we_heard_of_it_is_recorded_and_told(
    world: World,
) -> None:
    seen = world.taskrouter.add(Status.TIMEOUT)

    with pytest.raises(ReservationNotPending):
        world.accept(seen, task_sid=seen.task_sid)
    assert world.record(seen).status is Status.TIMEOUT


@pytest.mark.parametrize("named", [True, False])
def test_an_unknown_reservation_is_not_found(world: World, *, named: bool) -> None:
    seen = world.taskrouter.add()
    world.taskrouter.forget(seen.reservation_sid)

    with pytest.raises(NotFound):
        world.accept(seen, principal=SUPERVISOR, task_sid=seen.task_sid if named else None)
