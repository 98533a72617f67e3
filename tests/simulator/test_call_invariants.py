"""Invariants of calls when callers, Workers and the app act in any order."""

import contextlib
import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskrouter_simulator.engine import (
    assignments,
    instructions,
    reservations,
    tasks,
    transfers,
    workers,
)
from taskrouter_simulator.engine.calls import call_control, conferences
from taskrouter_simulator.engine.errors import ApiError
from taskrouter_simulator.engine.instruction_parameters import InstructionError
from taskrouter_simulator.engine.model import WAITING
from tests.simulator.call_simulation import APP, NUMBER, WORKER_NUMBER, CallSimulation, enqueue_verb

INSTRUCTION_NAMES = ["dequeue", "conference", "call", "redirect", "accept", "reject"]
DOCUMENTS = [
    enqueue_verb(),
    enqueue_verb("{"),
    enqueue_verb().replace('action="left_queue"', "") + "<Say>Sorry</Say>",
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
        "ended_conference": st.sampled_from(["completed", "wrapping", "assigned"]),
        "unanswered_call": st.sampled_from(["canceled", "rejected", "timeout", "pending"]),
        "canceled_task_result": st.sampled_from(["leave", "none"]),
    }
)


def instruction(name, accept, *, ends_conference=False):
    """Return a function that builds an instruction from the parameters of a callback."""

    def respond(parameters):
        call_sid = parameters["TaskAttributes"].partition('"call_sid": "')[2][:34]
        return {
            "instruction": name, "to": WORKER_NUMBER, "from": NUMBER, "url": f"{APP}agent",
            "call_sid": call_sid, "accept": accept, "timeout": 8,
            "end_conference_on_exit": ends_conference,
            "end_conference_on_customer_exit": accept, "supervisor": "client:sam",
        }  # fmt: skip

    return respond


def dial_newest_reservation(simulation):
    """Make the Worker's document dial the caller of the newest Reservation."""
    sids = list(simulation.workspace.reservations)
    sid = sids[-1] if sids else "WR" + "0" * 32
    simulation.documents["agent"] = f'<Dial><Queue reservationSid="{sid}"/></Dial>'


def pick(resources, number):
    """Return a list of one resource, or an empty list if there are no resources."""
    items = list(resources.values())
    return items[number % len(items) :][:1] if items else []


def place_call(simulation, keys, worker_answers):
    simulation.place_call(*keys, worker_answers=worker_answers)


def hang_up(simulation, number):
    for call in pick(simulation.engine.calls, number):
        call_control.hang_up(simulation.engine, call)


def limit_reserved_workers(simulation, limit):
    """Set the maximum number of Workers to whom a Task is offered simultaneously."""
    for task_queue in simulation.workspace.queues.values():
        task_queue.max_reserved_workers = limit


def set_idle(simulation, name):
    simulation.set_activity(simulation.worker(name), "Idle")


def instruct(simulation, name, accept, ends_conference):
    simulation.instruction = instruction(name, accept, ends_conference=ends_conference)
    dial_newest_reservation(simulation)


def answer(simulation, number):
    for call in pick(simulation.engine.calls, number):
        call_control.answer(call)


def update_participant(simulation, number, changes):
    for call in pick(simulation.engine.calls, number):
        conference = conferences.require(simulation.engine, call.conference_sid, call.sid)
        conferences.update(simulation.engine, conference, call.sid, **changes)


def send_instruction(simulation, name, number):
    """Execute an instruction as if it were sent over REST."""
    for reservation in pick(simulation.workspace.reservations, number):
        task = simulation.workspace.tasks[reservation.task_sid]
        body = instruction(name, accept=False)({"TaskAttributes": task.attributes})
        instructions.execute(simulation.engine, simulation.workspace, reservation, body)


def transfer(simulation, number, name, mode):
    for reservation in pick(simulation.workspace.reservations, number):
        to = simulation.worker(name).sid
        tasks.transfer(simulation.engine, simulation.workspace, reservation, to=to, mode=mode)


def cancel_transfer(simulation, number):
    for task in pick(simulation.workspace.tasks, number):
        if task.transfer:
            tasks.cancel_transfer(simulation.engine, simulation.workspace, task, task.transfer)


def finish_reservation(simulation, number, operation):
    for reservation in pick(simulation.workspace.reservations, number):
        operation(simulation.engine, simulation.workspace, reservation)


def set_document(simulation, path, text):
    simulation.documents[path] = text


def end_task(simulation, operation, number):
    for task in pick(simulation.workspace.tasks, number):
        getattr(assignments, operation)(simulation.engine, simulation.workspace, task)


def accept_or_reject(simulation, operation):
    for reservation in pick(simulation.workspace.reservations, -1):
        operation(simulation.engine, simulation.workspace, reservation)


def is_waiting(simulation, task):
    """Return whether a Task is waiting for a reason other than a transfer.

    If the settings keep a Task assigned when its call ends, a later transfer that nobody accepts
    returns the Task to its TaskQueue. TaskRouter knows nothing about the call by then.
    """
    settings = simulation.engine.settings
    outlives_call = "assigned" in {settings.ended_call, settings.ended_conference}
    transfer = task.transfer if outlives_call else transfers.active(task)
    return task.status in WAITING and not transfer


def check_calls_and_tasks(simulation):
    for call in simulation.engine.calls.values():
        partner = simulation.engine.calls.get(call.partner_sid or "")
        if partner:
            assert partner.partner_sid == call.sid
            assert "in-progress" in {call.status, partner.status}
        if call.has_ended:
            assert (call.partner_sid, call.queued, call.on_no_answer) == (None, None, None)
            assert (call.on_answer, call.conference_sid) == (None, "")
            task = simulation.workspace.tasks.get(call.task_sid)
            assert task is None or not is_waiting(simulation, task)
        if call.on_no_answer and call.reservation_sid:
            caller = simulation.engine.calls[call.caller_sid]
            assert caller.is_waiting or caller.conference_sid
            assert simulation.workspace.reservations[call.reservation_sid].status == "pending"
    check_no_task_is_stuck(simulation)
    check_task_statuses_match_reservations(simulation)


def check_task_statuses_match_reservations(simulation):
    """Check that the status of each Task fits the statuses of its Reservations."""
    for task in simulation.workspace.tasks.values():
        statuses = {reservation.status.value for reservation in task.reservations}
        is_transferred = transfers.active(task) is not None
        match task.status.value:
            case "pending":
                assert "pending" not in statuses
                assert is_transferred or not statuses & {"accepted", "wrapping"}
            case "reserved":
                assert "pending" in statuses
            case "assigned":
                assert "accepted" in statuses
                assert not is_transferred
            case "wrapping":
                assert "wrapping" in statuses
                assert "accepted" not in statuses
            case _:
                assert not statuses & {"pending", "accepted", "wrapping"}


def check_no_task_is_stuck(simulation):
    """Check that no Task waits after its call has ended, and that every Reservation can end.

    Every pending Reservation must have a timer or a ringing phone. A conference must have
    participants until it ends, and each participant's call must refer to the conference.
    """
    calls = simulation.engine.calls
    for task in simulation.workspace.tasks.values():
        caller = calls[json.loads(task.attributes)["call_sid"]]
        assert not (caller.has_ended and is_waiting(simulation, task))
    for conference in simulation.engine.conferences.values():
        assert conference.has_ended == (not conference.participants)
        for sid in conference.participants:
            assert sid not in calls or calls[sid].conference_sid == conference.sid
    with_ringing_phone = {call.reservation_sid for call in calls.values() if call.on_no_answer}
    with_timer = {sid for kind, sid in simulation.engine.timers if kind == "reservation"}
    for reservation in simulation.workspace.reservations.values():
        assert reservation.status != "pending" or reservation.sid in with_ringing_phone | with_timer


ACTIONS = st.one_of(
    st.tuples(st.just(place_call), KEYS, st.booleans()),
    st.tuples(st.just(hang_up), st.integers(0, 9)),
    st.tuples(st.just(CallSimulation.run), st.sampled_from([1, 10, 60, 400])),
    st.tuples(st.just(set_idle), st.sampled_from(["Bob", "Alice"])),
    st.tuples(st.just(set_idle), st.just("Alice")),
    st.tuples(st.just(limit_reserved_workers), st.integers(1, 2)),
    st.tuples(st.just(instruct), st.sampled_from(INSTRUCTION_NAMES[:3] * 2 + INSTRUCTION_NAMES),
              st.booleans(), st.booleans()),
    st.tuples(st.just(answer), st.integers(0, 9)),
    st.tuples(st.just(update_participant), st.integers(0, 9), st.dictionaries(
        st.sampled_from(["muted", "hold", "speaking", "end_conference_on_exit"]), st.booleans())),
    st.tuples(st.just(send_instruction), st.sampled_from(["supervise", "conference", "dequeue"]),
              st.integers(0, 9)),
    st.tuples(st.just(transfer), st.integers(0, 9), st.sampled_from(["Alice", "Bob"]),
              st.sampled_from(["WARM", "COLD"])),
    st.tuples(st.just(cancel_transfer), st.integers(0, 9)),
    st.tuples(st.just(finish_reservation), st.integers(0, 9), st.sampled_from(
        [assignments.wrap_reservation, assignments.complete_reservation])),
    st.tuples(st.just(set_document), st.sampled_from(["incoming_call", "enqueue_call", "agent"]),
              st.sampled_from(DOCUMENTS)),
    st.tuples(st.just(end_task), st.sampled_from(["cancel", "complete", "wrap", "delete"]),
              st.integers(0, 9)),
    st.tuples(st.just(accept_or_reject),
              st.sampled_from([assignments.accept, reservations.reject])),
)  # fmt: skip


@example(
    simulator_settings={"ended_call": "assigned"}, multi=False, name="redirect", accept=True,
    actions=[(transfer, 0, "Bob", "WARM"),
             (finish_reservation, 0, assignments.complete_reservation), (cancel_transfer, 0)],
)  # fmt: skip
@settings(max_examples=150, deadline=None)
@given(
    SETTINGS, st.booleans(), st.sampled_from(INSTRUCTION_NAMES), st.booleans(),
    st.lists(ACTIONS, max_size=25),
)  # fmt: skip
def test_calls_and_tasks_stay_consistent(simulator_settings, multi, name, accept, actions):
    simulation = CallSimulation(instruction(name, accept=accept), **simulator_settings)
    simulation.workspace.multi_task_enabled = multi
    workers.set_attributes(
        simulation.engine, simulation.workspace, simulation.bob, simulation.alice.attributes
    )
    simulation.documents["agent"] = "<Hangup/>"
    simulation.make_alice_idle()
    simulation.place_call("1")
    for action, *arguments in actions:
        with contextlib.suppress(ApiError, InstructionError):
            action(simulation, *arguments)
        simulation.run()
        check_calls_and_tasks(simulation)


# Random actions rarely connect the second of two waiting callers to a Worker.
def test_next_caller_is_connected_after_hangup():
    simulation = CallSimulation(instruction("dequeue", accept=False))
    first, second = simulation.place_call("1"), simulation.place_call("1")
    simulation.make_alice_idle()
    assert (bool(first.partner_sid), bool(second.partner_sid)) == (True, False)
    simulation.hang_up(first)
    simulation.set_activity(simulation.alice, "Idle")
    simulation.run()
    assert second.partner_sid
