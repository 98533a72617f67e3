"""API requests that change a Reservation or create a Task end before their function times out.

The tests make TaskRouter and DynamoDB slow. API Gateway and the function time out after 29 seconds.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from copy import copy
from itertools import count, repeat
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.adapters.dynamodb.idempotency import DynamoIdempotencyStore
from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.errors import (
    AppError,
    OutcomeUnknown,
    TaskRouterDenied,
    TaskRouterNotFound,
    TaskRouterNotSent,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.instructions import Conference, Instruction
from chalicelib.domain.reservations import Claim, RemoteReservation, Status
from chalicelib.domain.tasks import NewTask
from chalicelib.usecases.create_task import TaskCollaborators, create_task
from chalicelib.usecases.deadlines import LATEST_REQUEST_MS, REQUEST_LIMIT_MS
from chalicelib.usecases.decide import Decision, decide
from chalicelib.usecases.find_reservation import find_reservation_to_accept
from tests.support import (
    MAX_FINAL_CALLS,
    NOW,
    FakeTaskRouter,
    ManualClock,
    make_collaborators,
    sid,
)
from tests.usecases.conftest import SUPERVISOR, Service

REQUEST_MS, CALL_MS = 3_000, 2_000
"""Time limits for a request to TaskRouter, and for a DynamoDB call with default settings."""

INSTRUCTION = Conference(from_="+15556667777")
ERRORS = [
    TaskRouterDenied("401"),
    TaskRouterNotFound("404"),
    TaskRouterNotSent("refused"),
    TaskRouterRefused("400"),
    TaskRouterThrottled("429"),
    TaskRouterUnavailable("lost"),
]
durations = st.sampled_from([0, 200, 999, 1_500, 2_800, REQUEST_MS])
call_durations = st.lists(st.sampled_from([0, 500, 1_999, CALL_MS]), min_size=60, max_size=60)


class SlowClient:
    """A DynamoDB client whose calls take time.

    Attributes:
        take_time: called before each call, with the name of the operation.
    """

    def __init__(self, client: Any, take_time: Callable[[str], None]) -> None:
        self._client, self.take_time = client, take_time

    def __getattr__(self, name: str) -> Any:
        def call(**request: Any) -> Any:
            self.take_time(name)
            return getattr(self._client, name)(**request)

        return call


def slow_down(store: Any, clock: ManualClock, calls: Iterable[int] = repeat(CALL_MS)) -> Any:
    """Return a copy of a store whose DynamoDB calls take the times in *calls*, in ms."""
    slow, remaining = copy(store), iter(calls)

    def take_time(_operation: str) -> None:
        clock.now += next(remaining)

    slow._client = SlowClient(store._client, take_time)
    return slow


def accept_by_task(
    service: Service,
    remote: RemoteReservation,
    instruction: Instruction | None = None,
    calls: Iterable[int] = repeat(CALL_MS),
) -> None:
    """Find a Task's Reservation and accept it, like `/accept_reservation`.

    DynamoDB calls take the times in *calls*, in ms.
    """
    started = service.clock.now
    reservation_sid = find_reservation_to_accept(
        remote.task_sid, principal=SUPERVISOR, taskrouter=service.taskrouter
    )
    decision = Decision(
        Status.ACCEPTED,
        reservation_sid,
        SUPERVISOR,
        task_sid=remote.task_sid,
        instruction=instruction,
    )
    store = slow_down(service.store, service.clock, calls)
    decide(decision, make_collaborators(store, service.taskrouter, service.clock), started=started)


def claim_for_another_caller(service: Service, remote: RemoteReservation, duration: int) -> None:
    now = service.clock.now
    claim = Claim(
        until=now + duration, target=Status.ACCEPTED, claim_id="other", by="other", accepts=True
    )
    service.store.claim(remote.reservation_sid, claim, now=now, worker_sid=None, task_sid=None)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    requests=st.lists(durations, min_size=6, max_size=6),
    error=st.sampled_from([None, *ERRORS]),
    fetch_fails=st.booleans(),
    is_recorded=st.booleans(),
    status=st.sampled_from([Status.PENDING, Status.ACCEPTED, Status.WRAPPING]),
    calls=call_durations,
    is_reported=st.booleans(),
    claimed_for=st.sampled_from([None, 1_000, 30_000]),
    instruction=st.sampled_from([None, INSTRUCTION]),
)
def test_accept_request_ends_before_the_function_times_out(
    store: DynamoReservationStore,
    *,
    requests: list[int],
    error: AppError | None,
    status: Status,
    instruction: Instruction | None,
    calls: list[int],
    claimed_for: int | None,
    fetch_fails: bool,
    is_recorded: bool,
    is_reported: bool,
) -> None:
    service = Service(store, FakeTaskRouter(), ManualClock())
    remote = service.taskrouter.add()
    if is_recorded:
        service.assign(remote)
    if is_recorded and claimed_for is not None:
        claim_for_another_caller(service, remote, claimed_for)
    service.taskrouter.set_status(remote.reservation_sid, status)
    started, remaining, ended = service.clock.now, iter(requests), [service.clock.now]

    def take_time(verb: str) -> None:
        service.clock.now += next(remaining)
        ended.append(service.clock.now)
        if is_reported and verb in ("update", "instruct"):
            service.post_event(remote, Status.ACCEPTED)

    service.taskrouter.when_called = take_time
    for verb in ("update", "instruct"):
        service.taskrouter.fail_before[verb] = [error] if error else []
    if fetch_fails and is_recorded:
        service.taskrouter.fail_before["fetch"] = [TaskRouterUnavailable("lost")]
    with suppress(AppError):
        accept_by_task(service, remote, instruction, calls)

    assert ended[-1] - started <= REQUEST_LIMIT_MS
    assert service.clock.now - started <= REQUEST_LIMIT_MS + MAX_FINAL_CALLS * CALL_MS


@pytest.mark.parametrize("instruction", [None, INSTRUCTION])
def test_request_is_not_sent_if_the_reservation_was_found_too_late(
    service: Service, instruction: Instruction | None
) -> None:
    remote = service.taskrouter.add()

    def take_time(_verb: str) -> None:
        service.clock.now += 1_200

    started = service.clock.now
    service.taskrouter.when_called = take_time
    with pytest.raises(
        TaskRouterNotSent,
        match=r"^TaskRouter or DynamoDB is responding too slowly. The request was not sent. Retry",
    ):
        accept_by_task(service, remote, instruction, calls=repeat(500))
    record = service.record(remote)
    assert (record.claim, record.instruction_sent) == (None, None)
    assert service.taskrouter.calls == {"list": 1, "fetch": 1}
    # After the fetch, the Reservation is recorded, but the claim is not retried.
    assert service.clock.now - started == 2 * 1_200 + 2 * 500

    service.taskrouter.when_called = lambda _verb: None
    accept_by_task(service, remote, instruction)


@pytest.mark.parametrize(
    ("error", "skipped"),
    [(TaskRouterRefused("400"), "fetch"), (TaskRouterNotFound("404"), "workspace")],
)
def test_outcome_is_not_verified_if_no_time_is_left(
    service: Service, error: AppError, skipped: str
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)

    def take_time(_verb: str) -> None:
        service.clock.now += 500

    service.taskrouter.when_called = take_time
    service.taskrouter.fail_before["update"] = [error]
    with pytest.raises(OutcomeUnknown):
        accept_by_task(service, remote)
    assert service.taskrouter.calls[skipped] == 0
    assert service.record(remote).claim is not None


TASK = NewTask(attributes="{}", workflow_sid="WW" + "0" * 32)
LEASE_MS = 30_000
_hours = count(1)


class TaskCreation:
    """Requests like those to `/create-task`, all with the same idempotency key."""

    def __init__(self, store: DynamoReservationStore) -> None:
        # Each creation uses a different hour, because searches in the same second share a limit.
        self.taskrouter, self.clock = FakeTaskRouter(), ManualClock(NOW + next(_hours) * 3_600_000)
        self.keys = DynamoIdempotencyStore(store._client, state_table=store._state)
        self._key, self._owners = sid("key"), count(1)

    def create(self, calls: Iterable[int] = repeat(0)) -> str:
        """Create the Task; DynamoDB calls take the times in *calls*, in ms."""
        collaborators = TaskCollaborators(
            keys=slow_down(self.keys, self.clock, calls),
            taskrouter=self.taskrouter,
            clock=self.clock,
            lease_seconds=LEASE_MS // 1000,
            new_id=lambda: f"{self._key}-owner-{next(self._owners)}",
        )
        return create_task(TASK, collaborators, caller="desk", idempotency_key=self._key).sid


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    requests=st.lists(durations, min_size=6, max_size=6),
    calls=call_durations,
    first=st.sampled_from([None, "lost before", "lost after"]),
    waited=st.sampled_from([28_000, LEASE_MS]),
    error=st.sampled_from([None, *ERRORS]),
    has_effect=st.booleans(),
    find_fails=st.booleans(),
)
def test_creation_of_a_task_ends_before_the_function_times_out(
    store: DynamoReservationStore,
    *,
    requests: list[int],
    calls: list[int],
    first: str | None,
    waited: int,
    error: AppError | None,
    has_effect: bool,
    find_fails: bool,
) -> None:
    creation = TaskCreation(store)
    taskrouter, clock = creation.taskrouter, creation.clock
    if first is not None:
        lost = taskrouter.fail_after if first == "lost after" else taskrouter.fail_before
        lost["create"] = [TaskRouterUnavailable("lost")]
        taskrouter.fail_before["find"] = [TaskRouterUnavailable("lost")]
        with pytest.raises(OutcomeUnknown):
            creation.create()
        clock.now += waited
    started, remaining, ended = clock.now, iter(requests), [clock.now]

    def take_time(_verb: str) -> None:
        clock.now += next(remaining)
        ended.append(clock.now)

    taskrouter.when_called = take_time
    is_lost = has_effect and type(error) is TaskRouterUnavailable
    failing = taskrouter.fail_after if is_lost else taskrouter.fail_before
    failing["create"] = [error] if error else []
    taskrouter.fail_before["find"] = [TaskRouterUnavailable("lost")] if find_fails else []
    before, failure = len(taskrouter.tasks), None
    try:
        creation.create(calls)
    except AppError as raised:
        failure = raised
    if failure is not None and len(taskrouter.tasks) > before:
        assert isinstance(failure, OutcomeUnknown)
        assert failure.retry_after

    assert ended[-1] - started <= REQUEST_LIMIT_MS
    assert clock.now - started <= REQUEST_LIMIT_MS + MAX_FINAL_CALLS * CALL_MS

    taskrouter.when_called = lambda _verb: None
    failing["create"] = taskrouter.fail_before["find"] = []
    clock.now += LEASE_MS
    assert {creation.create(), creation.create()} == taskrouter.tasks.keys()


def _create_without_response(store: DynamoReservationStore) -> TaskCreation:
    """Return a Task creation whose first attempt failed, and whose lease has expired."""
    creation = TaskCreation(store)
    creation.taskrouter.fail_before["create"] = [TaskRouterUnavailable("lost")]
    with pytest.raises(OutcomeUnknown):
        creation.create()
    creation.clock.now += LEASE_MS
    return creation


def test_task_is_not_created_if_the_search_for_an_earlier_task_took_too_long(
    store: DynamoReservationStore,
) -> None:
    creation = _create_without_response(store)

    def take_time(_verb: str) -> None:
        creation.clock.now += 1_900

    creation.taskrouter.when_called = take_time
    creation.taskrouter.calls.clear()
    with pytest.raises(TaskRouterNotSent, match="The request was not sent. Retry."):
        creation.create(calls=repeat(300))
    assert creation.taskrouter.calls == {"find": 1}

    creation.taskrouter.when_called = lambda _verb: None
    assert creation.create() in creation.taskrouter.tasks


def test_unknown_outcome_of_a_creation_is_not_verified_if_no_time_is_left(
    store: DynamoReservationStore,
) -> None:
    creation = TaskCreation(store)
    creation.taskrouter.fail_after["create"] = [TaskRouterUnavailable("lost")]

    def take_time(_verb: str) -> None:
        creation.clock.now += REQUEST_MS

    creation.taskrouter.when_called = take_time
    with pytest.raises(OutcomeUnknown) as caught:
        creation.create(calls=repeat(500))
    assert creation.taskrouter.calls == {"create": 1}
    assert caught.value.retry_after == 26  # until the lease expires

    creation.taskrouter.when_called = lambda _verb: None
    creation.clock.now += 26_000
    assert creation.create() in creation.taskrouter.tasks
    assert creation.taskrouter.calls["create"] == 1


def test_search_for_an_earlier_task_is_not_sent_if_no_time_is_left(
    store: DynamoReservationStore,
) -> None:
    creation = _create_without_response(store)
    creation.taskrouter.calls.clear()

    with pytest.raises(OutcomeUnknown) as caught:
        creation.create(calls=repeat(3_000))
    assert not creation.taskrouter.calls
    assert caught.value.retry_after == 1
    assert creation.create() in creation.taskrouter.tasks


@pytest.mark.parametrize(("call_ms", "is_sent"), [(1_499, True), (1_500, False)])
def test_creation_starts_only_within_3_seconds_of_the_start_of_the_request(
    store: DynamoReservationStore, call_ms: int, *, is_sent: bool
) -> None:
    """Two DynamoDB calls precede the creation."""
    creation = TaskCreation(store)
    with suppress(TaskRouterNotSent):
        creation.create(calls=repeat(call_ms))
    assert creation.taskrouter.calls["create"] == is_sent


def test_request_does_not_wait_for_another_request_if_no_time_is_left(service: Service) -> None:
    """The Reservation was found late, and another request has claimed it."""
    remote = service.taskrouter.add()
    service.assign(remote)
    claim_for_another_caller(service, remote, LEASE_MS)
    started, ended = service.clock.now, []

    def take_time(_verb: str) -> None:
        service.clock.now += LATEST_REQUEST_MS
        ended.append(service.clock.now)

    service.taskrouter.when_called = take_time
    with pytest.raises(OutcomeUnknown):
        accept_by_task(service, remote, calls=repeat(0))
    assert ended == [started + LATEST_REQUEST_MS] == [service.clock.now]
