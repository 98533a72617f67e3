"""Invariants of calls while callers, Workers and the app act in any order."""

import contextlib
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from taskrouter_simulator.engine import assignments, reservations
from taskrouter_simulator.engine.calls import call_control
from taskrouter_simulator.engine.errors import Refusal
from taskrouter_simulator.engine.model import WAITING
from tests.simulator.exchange import APP, DESK, NUMBER, Exchange, queue

NAMES = ["dequeue", "conference", "call", "redirect", "accept", "reject"]
DOCUMENTS = [
    queue(),
    queue("{"),
    queue().replace('action="left_queue"', "") + "<Say>Sorry</Say>",
    "<Say>Hello</Say><Pause length='2'/>",
    "<Dial>+15550003333</Dial>",
    '<Gather action="enqueue_call" timeout="3"/>',
    "<Redirect>enqueue_call</Redirect>",
    "<Hangup/>",
    "<Dance/>",
    "<Oops",
]
KEYS = st.sampled_from([["1"], ["1"], ["7", "1"], [None], []])
SETTINGS = st.fixed_dictionaries(
    {
        "answer_seconds": st.sampled_from([0.0, 5.0]),
        "ended_call": st.sampled_from(["completed", "wrapping", "assigned"]),
        "unanswered_call": st.sampled_from(["canceled", "rejected", "timeout", "pending"]),
        "canceled_task_result": st.sampled_from(["leave", "none"]),
    }
)


def instruction(name, accept):
    def answer(parameters):
        call_sid = parameters["TaskAttributes"].partition('"call_sid": "')[2][:34]
        return {
            "instruction": name, "to": DESK, "from": NUMBER, "url": f"{APP}agent",
            "call_sid": call_sid, "accept": accept, "timeout": 8,
        }  # fmt: skip

    return answer


def dial_newest_reservation(exchange):
    """Let the document of the Worker's leg dial the newest Reservation."""
    sids = list(exchange.workspace.reservations)
    sid = sids[-1] if sids else "WR" + "0" * 32
    exchange.documents["agent"] = f'<Dial><Queue reservationSid="{sid}"/></Dial>'


def pick(resources, number):
    """Return one resource in a list, or an empty list if there are none."""
    items = list(resources.values())
    return items[number % len(items) :][:1] if items else []


def place_call(exchange, keys, answers):
    exchange.place(*keys, worker_answers=answers)


def hang_up(exchange, number):
    for call in pick(exchange.engine.calls, number):
        call_control.hang_up(exchange.engine, call)


def offer_to(exchange, both):
    """Offer every Task to one Worker at a time, or to both."""
    for task_queue in exchange.workspace.queues.values():
        task_queue.max_reserved_workers = 2 if both else 1


def set_idle(exchange, alice):
    exchange.move(exchange.alice if alice else exchange.bob, "Idle")


def instruct(exchange, name, accept):
    exchange.instruction = instruction(name, accept)
    dial_newest_reservation(exchange)


def write(exchange, path, text):
    exchange.documents[path] = text


def end_task(exchange, operation, number):
    for task in pick(exchange.workspace.tasks, number):
        getattr(assignments, operation)(exchange.engine, exchange.workspace, task)


def decide(exchange, operation):
    for reservation in pick(exchange.workspace.reservations, -1):
        operation(exchange.engine, exchange.workspace, reservation)


def check(exchange):
    for call in exchange.engine.calls.values():
        partner = exchange.engine.calls.get(call.partner_sid or "")
        if partner:
            assert partner.partner_sid == call.sid
            assert call.status == partner.status == "in-progress"
        if call.has_ended:
            assert (call.partner_sid, call.queued, call.on_no_answer) == (None, None, None)
            task = exchange.workspace.tasks.get(call.task_sid)
            assert task is None or task.status not in WAITING
        if call.on_no_answer:
            caller = exchange.engine.calls[call.caller_sid]
            assert caller.queued
            assert not caller.partner_sid
            assert exchange.workspace.reservations[call.reservation_sid].status == "pending"
    check_no_task_is_stuck(exchange)


def check_no_task_is_stuck(exchange):
    """Check that no Task waits for an ended call, and each offer has a timer or ringing phone."""
    calls = exchange.engine.calls
    for task in exchange.workspace.tasks.values():
        caller = calls[json.loads(task.attributes)["call_sid"]]
        assert not (caller.has_ended and task.status in WAITING)
    ringing = {call.reservation_sid for call in calls.values() if call.on_no_answer}
    timed = {sid for kind, sid in exchange.engine._timers if kind == "reservation"}
    for reservation in exchange.workspace.reservations.values():
        assert reservation.status != "pending" or reservation.sid in ringing | timed


MOVES = st.one_of(
    st.tuples(st.just(place_call), KEYS, st.booleans()),
    st.tuples(st.just(hang_up), st.integers(0, 9)),
    st.tuples(st.just(Exchange.serve), st.sampled_from([1, 10, 60, 400])),
    st.tuples(st.just(set_idle), st.booleans()),
    st.tuples(st.just(set_idle), st.just(value=True)),
    st.tuples(st.just(offer_to), st.booleans()),
    st.tuples(st.just(instruct), st.sampled_from(NAMES[:3] * 2 + NAMES), st.booleans()),
    st.tuples(st.just(write), st.sampled_from(["incoming_call", "enqueue_call", "agent"]),
              st.sampled_from(DOCUMENTS)),
    st.tuples(st.just(end_task), st.sampled_from(["cancel", "complete", "wrap", "delete"]),
              st.integers(0, 9)),
    st.tuples(st.just(decide), st.sampled_from([assignments.accept, reservations.reject])),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(SETTINGS, st.sampled_from(NAMES), st.booleans(), st.lists(MOVES, max_size=25))
def test_calls_and_tasks_stay_consistent(simulator_settings, name, accept, moves):
    exchange = Exchange(instruction(name, accept=accept), **simulator_settings)
    exchange.documents["agent"] = "<Hangup/>"
    exchange.make_alice_idle()
    exchange.place("1")
    for move, *arguments in moves:
        with contextlib.suppress(Refusal):
            move(exchange, *arguments)
        exchange.serve()
        check(exchange)


# Random moves seldom lead to two waiting calls and a Worker who takes the second.
def test_worker_takes_next_caller_after_hangup():
    exchange = Exchange(instruction("dequeue", accept=False))
    first, second = exchange.place("1"), exchange.place("1")
    exchange.make_alice_idle()
    assert (bool(first.partner_sid), bool(second.partner_sid)) == (True, False)
    exchange.hang_up(first)
    exchange.move(exchange.alice, "Idle")
    exchange.serve()
    assert second.partner_sid
