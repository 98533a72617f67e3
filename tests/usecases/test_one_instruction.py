"""TaskRouter executes at most one instruction that calls a phone, even if responses are lost.

A rule may answer a callback with an instruction that calls a phone, and an accept request may
contain another instruction. If DynamoDB fails, the fallback is answered without being recorded.
Responses report an instruction as sent only if TaskRouter executed the instruction.
"""

import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.errors import (
    AnswerUnknown,
    AppError,
    InstructionAlreadySent,
    OutcomeUnknown,
    StoreUnavailable,
    TaskRouterNotSent,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.instructions import (
    INSTRUCTION_TYPES,
    Accept,
    Call,
    Conference,
    Defer,
    Instruction,
)
from chalicelib.domain.reservations import RINGING, RemoteReservation, Reservation, Status
from chalicelib.domain.rules import Rule, Rules
from chalicelib.usecases.assign import answer_callback
from chalicelib.usecases.decide import Decision, decide
from chalicelib.usecases.sweep import SweepPolicy
from tests.chaos.fault_injection import BEFORE, FaultInjectingProxy, FaultInjector
from tests.support import (
    DEADLINES,
    FakeTaskRouter,
    ManualClock,
    make_collaborators,
    make_reconciliation_due,
)
from tests.usecases.conftest import SUPERVISOR, Service

CALL = Call(to="client:a", from_="+15556667777", url="https://desk.example/twiml")
CONFERENCE = Conference(from_="+15556667777")
ACCEPT = Accept()


@pytest.fixture
def service(service: Service) -> Service:
    service.answer_may_ring = True
    return service


def instruct(service: Service, remote: RemoteReservation) -> Reservation:
    return service.accept(remote, instruction=CONFERENCE, task_sid=remote.task_sid)


def record_by_event(service: Service, remote: RemoteReservation) -> None:
    service.post_event(remote, Status.PENDING)


def record_by_reconciliation(service: Service, _remote: RemoteReservation) -> None:
    make_reconciliation_due(service.store, service.clock.now)
    service.sweep()


def record_by_accept(service: Service, remote: RemoteReservation) -> None:
    service.taskrouter.fail_before["update"] = [TaskRouterRefused("later")]
    with pytest.raises(TaskRouterRefused):
        service.accept(remote, task_sid=remote.task_sid)


def do_not_record(_service: Service, _remote: RemoteReservation) -> None:
    """The accept request with the instruction creates the record."""


RECORDINGS = [record_by_event, record_by_reconciliation, record_by_accept, do_not_record]
by_any_source = pytest.mark.parametrize("record", RECORDINGS, ids=lambda record: record.__name__)


@by_any_source
def test_instruction_is_refused_if_answer_is_not_recorded(
    service: Service, record: Callable[[Service, RemoteReservation], None]
) -> None:
    remote = service.taskrouter.add()
    record(service, remote)

    service.clock.now += 15_001
    for _ in range(2):
        with pytest.raises(AnswerUnknown, match="without an instruction") as caught:
            instruct(service, remote)
        assert caught.value.details == {"reservation_status": "pending"}
    assert service.taskrouter.instructions == []
    assert service.accept(remote).status is Status.ACCEPTED


@by_any_source
def test_instruction_can_be_retried_while_callback_may_be_in_transit(
    service: Service, record: Callable[[Service, RemoteReservation], None]
) -> None:
    remote = service.taskrouter.add()
    record(service, remote)
    service.clock.now += 5_000

    with pytest.raises(OutcomeUnknown) as caught:
        instruct(service, remote)
    assert caught.value.retry_after == 10
    assert service.taskrouter.instructions == []

    service.assign(remote)
    instruct(service, remote)
    assert service.taskrouter.instructions == [CONFERENCE]


@pytest.mark.parametrize("answer", [Defer(), Accept()])
def test_instruction_is_sent_after_answer_that_calls_no_phone(
    service: Service, answer: Instruction
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote, answer)

    instruct(service, remote)
    assert service.taskrouter.instructions == [CONFERENCE]


def test_instruction_is_refused_after_answer_that_calls_a_phone(service: Service) -> None:
    remote = service.taskrouter.add()
    service.assign(remote, CALL)

    with pytest.raises(InstructionAlreadySent):
        instruct(service, remote)


@by_any_source
def test_instruction_needs_no_recorded_answer_if_no_answer_can_call_a_phone(
    service: Service, record: Callable[[Service, RemoteReservation], None]
) -> None:
    service.answer_may_ring = False
    remote = service.taskrouter.add()
    record(service, remote)

    instruct(service, remote)
    assert service.taskrouter.instructions == [CONFERENCE]


@pytest.mark.parametrize("status", [Status.ACCEPTED, Status.CANCELED])
def test_reservation_that_is_not_pending_is_reported_even_if_no_answer_is_recorded(
    service: Service, status: Status
) -> None:
    remote = service.taskrouter.add()
    service.post_event(remote, status)

    with pytest.raises(AppError) as caught:
        instruct(service, remote)
    assert caught.value.code == "ReservationNotPending"


def test_instruction_is_refused_if_a_phone_call_was_withheld_during_a_failed_decision(
    service: Service,
) -> None:
    """The response `{}` may be lost. An unrecorded answer to the fallback may then call a phone."""
    remote = service.taskrouter.add()
    service.post_event(remote, Status.PENDING)

    def post_callback(_verb: str) -> None:
        service.taskrouter.when_called = lambda _verb: None
        assert service.assign(remote, CALL) == {}

    service.taskrouter.when_called = post_callback
    service.taskrouter.fail_before["update"] = [TaskRouterThrottled("429")]
    with pytest.raises(TaskRouterThrottled):
        service.accept(remote)
    assert service.assign(remote, CALL) == {}

    service.clock.now += 15_001
    with pytest.raises(AnswerUnknown):
        instruct(service, remote)
    assert service.accept(remote).status is Status.ACCEPTED


def test_instruction_is_sent_if_no_phone_call_was_withheld_during_a_failed_decision(
    service: Service,
) -> None:
    remote = service.taskrouter.add()
    service.post_event(remote, Status.PENDING)
    service.taskrouter.when_called = lambda _verb: service.assign(remote, ACCEPT) and None
    service.taskrouter.fail_before["update"] = [TaskRouterThrottled("429")]
    with pytest.raises(TaskRouterThrottled):
        service.accept(remote)
    service.taskrouter.when_called = lambda _verb: None

    instruct(service, remote)
    assert service.taskrouter.instructions == [CONFERENCE]


@pytest.mark.parametrize("name", sorted(RINGING))
@pytest.mark.parametrize("place", ["rule", "default", "unreadable"])
def test_rules_may_call_a_phone_if_any_answer_does(name: str, place: str) -> None:
    instruction_type = INSTRUCTION_TYPES[name]
    rules = Rules((), Defer())
    assert not rules.may_ring
    if place == "rule":
        rule_ = Rule("one", None, instruction_type, {}, {})
        quiet = replace(rule_, instruction=Accept)
        assert not replace(rules, rules=(quiet,)).may_ring
        assert replace(rules, rules=(quiet, rule_)).may_ring
    else:
        instruction = object.__new__(instruction_type)
        assert replace(rules, **{place: instruction}).may_ring


def test_rules_that_could_not_be_loaded_may_call_a_phone() -> None:
    """Another process may have loaded rules with answers that call a phone."""
    assert Rules((), Defer(), failures=("RULES_FILE",)).may_ring


FAULTS = {
    "refused": TaskRouterRefused,
    "throttled": TaskRouterThrottled,
    "not sent": TaskRouterNotSent,
    "lost": TaskRouterUnavailable,
}
answers = st.sampled_from([CALL, CALL, Accept(), Defer()])
deliveries = st.sampled_from(
    [
        {"is_fallback": True, "fails": True},
        {"is_lost": True},
        {},
        {"fails": True},
        {"is_fallback": True},
        {"is_fallback": True, "is_lost": True, "fails": True},
    ]
)
accepts_elsewhere = st.sampled_from([None, None, "with event", "with event", "without event"])
store_failures = (
    st.none() | st.none() | st.tuples(st.integers(1, 4), st.sampled_from(["before", "after"]))
)


class Scenario(RuleBasedStateMachine):
    """One Reservation, whose callback, fallback, events and accept requests arrive in any order.

    TaskRouter executes the first answer that it receives. The rules choose the same answer for each
    callback for the Reservation. The sweep rejects the Reservation after 40 s.
    """

    store: DynamoReservationStore

    @initialize(chosen=answers)
    def begin(self, chosen: Instruction) -> None:
        self.taskrouter, self.clock = FakeTaskRouter(), ManualClock()
        self.remote = self.taskrouter.add()
        self.injector = FaultInjector()
        self.collaborators = replace(
            make_collaborators(self.store, self.taskrouter, self.clock),
            store=FaultInjectingProxy("store", self.store, self.injector),
            answer_may_ring=True,
        )
        deadlines = replace(DEADLINES, reject_after=40)
        self.service = Service(
            self.store, self.taskrouter, self.clock, deadlines, SweepPolicy(), True
        )
        self.rules = Rules((), chosen)
        self.answered: dict[str, Any] | None = None
        self.has_tried_plain_accept = self.is_rejected = False

    @rule(delivery=deliveries)
    def post_callback(self, *, delivery: dict[str, bool]) -> None:
        self._post_callback(**delivery)

    def _post_callback(
        self, *, is_fallback: bool = False, is_lost: bool = False, fails: bool = False
    ) -> None:
        injector = FaultInjector()
        if fails:
            injector.inject(1, BEFORE, _fail)
        result = answer_callback(
            self.service.callback(self.remote),
            rules=self.rules,
            store=FaultInjectingProxy("store", self.store, injector),  # type: ignore[arg-type]
            deadlines=DEADLINES,
            now=self.clock.now,
        )
        is_answered = result.error is None or is_fallback
        if is_answered and not is_lost and self.answered is None:
            self.answered = result.answer

    @rule(
        fault=st.sampled_from([None, None, *FAULTS, "lost response"]),
        store_fails=store_failures,
        delivery=st.none() | deliveries,
        elsewhere=accepts_elsewhere,
    )
    def send_instruction(
        self, *, fault: Any, store_fails: Any, delivery: Any, elsewhere: Any
    ) -> None:
        self._accept("instruct", fault, store_fails, delivery, elsewhere)

    @rule(
        fault=st.sampled_from([*FAULTS]),
        store_fails=store_failures,
        delivery=st.none() | deliveries,
    )
    def fail_to_accept(self, *, fault: Any, store_fails: Any, delivery: Any) -> None:
        """Send an accept request that has no instruction and fails.

        If the request succeeded, no instruction could call a phone afterward.
        """
        self._accept("update", fault, store_fails, delivery)

    @rule(elsewhere=accepts_elsewhere)
    def accept_elsewhere(self, elsewhere: str | None) -> None:
        """Accept the Reservation through a different client, unless *elsewhere* is None."""
        sid = self.remote.reservation_sid
        if elsewhere and self.taskrouter.reservations[sid].status is Status.PENDING:
            self.taskrouter.set_status(sid, Status.ACCEPTED)
        if elsewhere == "with event":
            self.service.post_event(self.remote, Status.ACCEPTED)

    def _accept(
        self, verb: str, fault: Any, store_fails: Any, delivery: Any, elsewhere: Any = None
    ) -> None:
        """Send an accept request.

        During the request to TaskRouter, a callback may arrive, and another client may accept.
        """
        self.taskrouter.fail_before.clear()
        self.taskrouter.fail_after.clear()
        if fault == "lost response":
            self.taskrouter.fail_after[verb] = [TaskRouterUnavailable("lost")]
        elif fault is not None:
            self.taskrouter.fail_before[verb] = [FAULTS[fault]("no")]
        if store_fails is not None:
            self.injector.inject(*store_fails, _fail)
        self.has_tried_plain_accept |= verb == "update"
        self.taskrouter.when_called = lambda _verb: self._act_concurrently(delivery, elsewhere)
        decision = Decision(
            target=Status.ACCEPTED,
            reservation_sid=self.remote.reservation_sid,
            principal=SUPERVISOR,
            task_sid=self.remote.task_sid,
            instruction=CONFERENCE if verb == "instruct" else None,
        )
        with suppress(AppError):
            decide(decision, self.collaborators)
            assert verb == "update" or self.taskrouter.instructions, "wrongly reported as sent"
        self.taskrouter.when_called = lambda _verb: None
        self.injector.reset()

    def _act_concurrently(self, delivery: Any, elsewhere: Any) -> None:
        self.taskrouter.when_called = lambda _verb: None
        if delivery is not None:
            self._post_callback(**delivery)
        self.accept_elsewhere(elsewhere)

    @rule(
        action=st.sampled_from(["post event", "reconcile", "sweep"]),
        seconds=st.sampled_from([0, 5, 16, 31, 41]),
    )
    def act_after_delay(self, action: str, seconds: int) -> None:
        self.clock.now += seconds * 1000
        if action == "post event":
            self.service.post_event(self.remote, Status.PENDING)
            return
        if action == "reconcile":
            make_reconciliation_due(self.store, self.clock.now)
        self.service.sweep()
        status = self.taskrouter.reservations[self.remote.reservation_sid].status
        if status is Status.REJECTED and not self.is_rejected:
            assert self.count_instructions_that_call_a_phone() == 0, (
                "rejected while a phone was ringing"
            )
            self.is_rejected = True

    @invariant()
    def at_most_one_instruction_calls_a_phone(self) -> None:
        assert self.count_instructions_that_call_a_phone() <= 1

    @invariant()
    def sender_of_an_unexecuted_instruction_is_not_recorded_as_accepting(self) -> None:
        record = self.store.get(self.remote.reservation_sid)
        if record and not self.has_tried_plain_accept and not self.taskrouter.instructions:
            assert record.accepted_by != SUPERVISOR.name

    def count_instructions_that_call_a_phone(self) -> int:
        answer_calls_phone = (self.answered or {}).get("instruction") in RINGING
        return len(self.taskrouter.instructions) + answer_calls_phone


def _fail(_name: str) -> None:
    raise StoreUnavailable("injected")


def test_at_most_one_instruction_calls_a_phone_in_random_scenarios(
    store: DynamoReservationStore,
) -> None:
    class ScenarioOnStore(Scenario):
        pass

    # Leave time for a callback's second write, even on a slow machine.
    store._callback_seconds = 3_600
    ScenarioOnStore.store = store
    run_state_machine_as_test(
        ScenarioOnStore,
        settings=settings(
            max_examples=60,
            stateful_step_count=6,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


LOST, DOWN = {"is_lost": True}, {"is_fallback": True, "fails": True}
ACTIONS: dict[str, Callable[[Scenario], None]] = {
    "callback": lambda scenario: scenario._post_callback(),
    "lost response": lambda scenario: scenario._post_callback(**LOST),
    "unrecorded fallback": lambda scenario: scenario._post_callback(**DOWN),
    "event": lambda scenario: scenario.act_after_delay("post event", 0),
    "instruction": lambda scenario: scenario._accept("instruct", None, None, None),
    "instruction and fallback": lambda scenario: scenario._accept("instruct", None, None, DOWN),
    "refused instruction": lambda scenario: scenario._accept("instruct", "refused", None, LOST),
    "lost instruction": lambda scenario: scenario._accept(
        "instruct", "lost", None, None, "with event"
    ),
    "unsent instruction": lambda scenario: scenario._accept(
        "instruct", "not sent", None, None, "with event"
    ),
    "throttled accept": lambda scenario: scenario._accept("update", "throttled", None, LOST),
    "sweep": lambda scenario: scenario.act_after_delay("sweep", 41),
}


@pytest.mark.parametrize("chosen", [CALL, Accept()], ids=["call", "accept"])
@pytest.mark.parametrize("first", ACTIONS)
def test_at_most_one_instruction_calls_a_phone_in_every_sequence_of_three_actions(
    store: DynamoReservationStore, first: str, chosen: Instruction
) -> None:
    store._callback_seconds = 3_600
    for others in itertools.product(ACTIONS, repeat=2):
        scenario = Scenario()
        scenario.store = store
        scenario.begin(chosen)
        for name in (first, *others):
            ACTIONS[name](scenario)
            assert scenario.count_instructions_that_call_a_phone() <= 1, (first, *others)
