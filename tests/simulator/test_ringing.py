"""A Worker's phone rings for a waiting caller while the Reservation is pending."""

import pytest

from taskrouter_simulator.engine import assignments, instructions, reservations, workers, workspaces
from tests.simulator.call_simulation import APP, DEQUEUE, NUMBER, WORKER_NUMBER, CallSimulation

CALL = {"instruction": "call", "to": WORKER_NUMBER, "from": NUMBER, "url": f"{APP}agent"}


def instruct(simulation, reservation, instruction):
    """Execute an instruction as if it were sent over REST."""
    instructions.execute(simulation.engine, simulation.workspace, reservation, instruction)
    simulation.run()


def start_ringing(**parameters):
    """Start a call for which Alice's phone rings for ten seconds.

    The app responds to later callbacks with an empty object.
    """
    simulation = CallSimulation({**DEQUEUE, **parameters}, answer_seconds=10.0)
    simulation.documents["transfer"] = "<Dial>+15550003333</Dial>"
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    simulation.instruction = {}
    return simulation, call, simulation.reservation_of(call)


def statuses(simulation):
    return [call.status for call in simulation.engine.calls.values()]


def test_redirect_stops_ringing_and_resumes_reservation_timer():
    simulation, call, reservation = start_ringing()
    redirect = {"instruction": "redirect", "call_sid": call.sid, "url": f"{APP}transfer"}
    instruct(simulation, reservation, redirect)
    assert simulation.worker_leg().status == "canceled"
    simulation.run(1199)
    assert reservation.status == "pending"
    simulation.run(1)
    assert reservation.status == "timeout"


def test_second_call_to_worker_replaces_first():
    simulation, call, reservation = start_ringing()
    instruct(simulation, reservation, DEQUEUE)
    assert statuses(simulation) == ["in-progress", "canceled", "ringing"]
    simulation.run(10)
    assert call.partner_sid == simulation.worker_leg().sid


def test_pending_reservation_times_out_after_second_call():
    simulation, call, reservation = start_ringing()
    simulation.documents["agent"] = "<Hangup/>"
    instruct(simulation, reservation, CALL)
    simulation.run(1200)
    assert reservation.status == "timeout"
    assert call.queued


@pytest.fixture
def separate_task():
    """A queued call that created no Task, and a Reservation for a Task that refers to the call.

    Alice's phone has been ringing for five seconds. She answers when it has rung for ten.
    """
    simulation = CallSimulation(DEQUEUE, answer_seconds=10.0)
    simulation.documents["enqueue_call"] = "<Enqueue>support</Enqueue>"
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    task = simulation.create_task(f'{{"selected_language": "es", "call_sid": "{call.sid}"}}')
    simulation.run(5)
    return simulation, call, simulation.reservations(task)[-1]


def test_answering_the_call_for_a_separate_task_connects_the_caller(separate_task):
    simulation, call, reservation = separate_task
    simulation.run(5)
    assert (call.partner_sid, reservation.status) == (simulation.worker_leg().sid, "accepted")


def test_other_phones_stop_ringing_when_caller_is_connected(separate_task):
    simulation, call, _ = separate_task
    workers.set_attributes(
        simulation.engine, simulation.workspace, simulation.bob, simulation.alice.attributes
    )
    simulation.set_activity(simulation.bob, "Idle")
    task = simulation.create_task(f'{{"selected_language": "es", "call_sid": "{call.sid}"}}')
    simulation.run()
    assert statuses(simulation) == ["in-progress", "ringing", "ringing"]
    simulation.instruction = {}
    simulation.run(5)
    assert statuses(simulation) == ["in-progress", "in-progress", "canceled"]
    simulation.run(1195)
    assert simulation.reservations(task)[-1].status == "timeout"


@pytest.mark.parametrize(
    ("own_task_is_first", "delay", "own_task_is_accepted"),
    # Without a delay, `other_task` wins, because the call for `own_task` fetches a document first.
    [(True, 5, True), (False, 5, False), (True, 0, False)],
)
def test_caller_with_two_tasks_is_connected_once(own_task_is_first, delay, own_task_is_accepted):
    simulation = CallSimulation(answer_seconds=10.0)
    spanish = simulation.alice.attributes
    workers.set_attributes(simulation.engine, simulation.workspace, simulation.bob, spanish)
    call = simulation.place_call("1")
    own_task = simulation.task_of(call)
    attributes = f'{{"selected_language": "es", "call_sid": "{call.sid}"}}'
    other_task = simulation.create_task(attributes, priority=0 if own_task_is_first else 9)

    def instruction(parameters):
        if parameters["TaskSid"] == other_task.sid:
            return DEQUEUE
        sid = parameters["ReservationSid"]
        simulation.documents["agent"] = f'<Dial><Queue reservationSid="{sid}"/></Dial>'
        return CALL

    simulation.instruction = instruction
    simulation.make_alice_idle()
    simulation.run(delay)
    simulation.set_activity(simulation.bob, "Idle")
    simulation.run()
    simulation.instruction = {}
    simulation.run(10 - delay)
    first, second = (own_task, other_task) if own_task_is_accepted else (other_task, own_task)
    assert simulation.reservations(first)[-1].status == "accepted"
    simulation.run(5)
    assert simulation.reservations(second)[-1].status == "pending"
    legs = [call for call in simulation.engine.calls.values() if call.partner_sid]
    assert len(legs) == 2


def test_connected_caller_is_not_connected_again(separate_task):
    simulation, call, _ = separate_task
    simulation.run(5)
    simulation.set_activity(simulation.alice, "Idle")
    simulation.create_task(f'{{"selected_language": "es", "call_sid": "{call.sid}"}}')
    simulation.run()
    assert simulation.alert_codes() == [40133]
    assert statuses(simulation) == ["in-progress", "in-progress"]


def test_separate_task_remains_after_caller_hangs_up(separate_task):
    simulation, call, reservation = separate_task
    simulation.instruction = {}
    simulation.hang_up(call)
    assert (simulation.worker_leg().status, reservation.status) == ("canceled", "pending")
    simulation.run(1195)
    assert reservation.status == "timeout"


@pytest.fixture
def two_worker_simulation():
    """A simulation with two idle Workers, who answer their phones after ten seconds."""
    simulation = CallSimulation({**DEQUEUE, "timeout": 20}, answer_seconds=10.0)
    for queue in simulation.workspace.queues.values():
        queue.max_reserved_workers = 2
    attributes = simulation.alice.attributes
    workers.set_attributes(simulation.engine, simulation.workspace, simulation.bob, attributes)
    simulation.set_activity(simulation.bob, "Idle")
    simulation.make_alice_idle()
    return simulation


def test_other_phone_stops_ringing_when_first_is_answered(two_worker_simulation):
    call = two_worker_simulation.place_call("1")
    assert statuses(two_worker_simulation) == ["in-progress", "ringing", "ringing"]
    two_worker_simulation.run(10)
    assert statuses(two_worker_simulation) == ["in-progress", "in-progress", "canceled"]
    task_reservations = two_worker_simulation.reservations(two_worker_simulation.task_of(call))
    assert [reservation.status for reservation in task_reservations] == ["accepted", "rescinded"]
    assert two_worker_simulation.activity_of(two_worker_simulation.bob) == "Idle"


def test_every_reservation_ends_if_nobody_answers(two_worker_simulation):
    call = two_worker_simulation.place_call("1", worker_answers=False)
    two_worker_simulation.instruction = {}
    two_worker_simulation.run(20)
    task_reservations = two_worker_simulation.reservations(two_worker_simulation.task_of(call))[:2]
    assert [reservation.status for reservation in task_reservations] == ["canceled", "canceled"]


@pytest.mark.parametrize(
    "operation",
    [assignments.accept, reservations.reject, reservations.rescind, reservations.time_out],
)
@pytest.mark.parametrize("instruction", [DEQUEUE, CALL])
def test_phone_stops_ringing_when_reservation_is_no_longer_pending(instruction, operation):
    simulation, call, reservation = start_ringing(**instruction)
    operation(simulation.engine, simulation.workspace, reservation)
    assert simulation.worker_leg().status == "canceled"
    simulation.run(10)
    assert (call.queued is None, call.partner_sid) == (False, None)


@pytest.mark.parametrize("result", ["leave", "none"])
def test_deleting_the_workspace_stops_ringing_but_ends_the_wait_only_if_configured(result):
    simulation = CallSimulation(DEQUEUE, answer_seconds=10.0, canceled_task_result=result)
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    workspaces.delete(simulation.engine, simulation.workspace)
    simulation.run(10)
    assert simulation.worker_leg().status == "canceled"
    assert call.has_ended == (result == "leave")
    assert call.partner_sid is None
