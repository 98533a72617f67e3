"""Tasks of queued calls: attributes, limits and errors."""

import json

import pytest

from taskrouter_simulator.engine import assignments, workspaces
from taskrouter_simulator.engine.calls import call_control, execution
from taskrouter_simulator.engine.core import Alert
from tests.simulator.call_simulation import (
    APP,
    DEQUEUE,
    WORKFLOW,
    CallSimulation,
    enqueue_verb,
    steps,
)
from tests.simulator.test_call_steps import NOW, alerts, place


def enqueue(verb, **settings):
    simulation, call = place(verb, **settings)
    return simulation, call, simulation.workspace.tasks.get(call.task_sid)


@pytest.mark.parametrize(
    ("options", "priority", "timeout"),
    [
        ("", 0, 77),
        ('priority="2147483647" timeout="1209600"', 2**31 - 1, 1_209_600),
        ('priority="2147483648" timeout="1209601"', 0, 77),
        ('priority="1" timeout="0"', 1, 77),
        ('priority="x" timeout="1"', 0, 1),
    ],
)
@pytest.mark.parametrize("noun", ["Task", "TaskAttributes"])
def test_enqueue_noun_sets_priority_and_timeout_within_limits(noun, options, priority, timeout):
    verb = f'<Enqueue workflowSid="{WORKFLOW}"><{noun} {options}>{{"a": 1}}</{noun}></Enqueue>'
    _, call, task = enqueue(verb, task_timeout=77)
    assert (task.priority, task.timeout) == (priority, timeout)
    assert json.loads(task.attributes).items() >= {"a": 1, "call_sid": call.sid}.items()


def test_enqueue_without_noun_creates_task_with_call_attributes_only():
    simulation, call, task = enqueue(f'<Enqueue workflowSid="{WORKFLOW}"/>', task_timeout=77)
    call.status = "in-progress"
    assert json.loads(task.attributes) == call.attributes(simulation.engine.account_sid)
    assert (task.priority, task.timeout) == (0, 77)


def test_task_for_call_has_default_channel_if_there_is_no_voice_channel():
    simulation = CallSimulation()
    voice = simulation.workspace.channel("voice")
    del simulation.workspace.channels[voice.sid]
    simulation.documents["incoming_call"] = enqueue_verb()
    task = simulation.task_of(simulation.place_call())
    assert simulation.workspace.channels[task.channel_sid].unique_name == "default"


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        (enqueue_verb("{"), "The Task's attributes are not a JSON object"),
        (enqueue_verb("[1]"), "The Task's attributes are not a JSON object"),
        (enqueue_verb('{"a": NaN}'), "The Task's attributes are not a JSON object"),
        (
            enqueue_verb('{"a": ' + "[" * 2000 + "]" * 2000 + "}"),
            "The Task's attributes are nested too deeply",
        ),
        (
            enqueue_verb('{"a": "' + "x" * 4096 + '"}'),
            "The Task's attributes are longer than 4096 characters",
        ),
        (enqueue_verb(workflowSid="W" * 60), f"Workflow {'W' * 50} does not exist"),
    ],
    ids=range(6),
)
def test_alert_states_why_task_is_not_created(verb, message):
    simulation, call, task = enqueue(verb)
    url = f"{APP}incoming_call"
    expected = Alert(14222, message, "error", {"call_sid": call.sid, "url": url})
    assert (alerts(simulation), task) == ([expected], None)
    assert "enqueued" not in steps(call)


def test_task_attributes_may_have_maximum_length():
    _, _, task = enqueue(enqueue_verb("{}"))
    free = 4096 - len(task.attributes) - len(', "a": ""')
    for length, is_valid in ((free, True), (free + 1, False)):
        _, _, task = enqueue(enqueue_verb(json.dumps({"a": "x" * length})))
        assert (task is not None) is is_valid


def test_call_waits_in_named_queue_without_a_task():
    simulation, call, task = enqueue('<Enqueue action="left_queue">support</Enqueue>')
    assert task is None
    assert (call.queued.since, call.queued.name) == (NOW, "support")
    assert call.queued.action == "left_queue"
    assert call.steps[-1] == {"at": NOW, "step": "enqueued", "queue": "support", "task_sid": ""}
    simulation.clock.advance(9.9)
    execution.leave_queue(simulation.engine, call, "leave")
    parameters = simulation.requests()[-1][1]
    assert (parameters["QueueResult"], parameters["QueueTime"]) == ("leave", "9")


@pytest.mark.parametrize("size", [0, 1, 2])
def test_queue_holds_configured_number_of_calls(size):
    simulation = CallSimulation(voice_queue_size=size)
    simulation.documents["incoming_call"] = "<Enqueue>support</Enqueue>"
    calls = [simulation.place_call() for _ in range(3)]
    assert [bool(call.queued) for call in calls].count(True) == size
    simulation.documents["incoming_call"] = "<Enqueue>sales</Enqueue>"
    assert bool(simulation.place_call().queued) == (size > 0)


def test_only_the_caller_of_a_canceled_task_leaves_the_queue():
    simulation = CallSimulation()
    first, second = simulation.place_call("1"), simulation.place_call("1")
    other = workspaces.create(simulation.engine, friendly_name="Other")
    task = simulation.task_of(first)
    call_control.remove_from_queue(simulation.engine, other, task)
    assert first.queued
    assignments.cancel(simulation.engine, simulation.workspace, task)
    assert (first.queued, second.queued is None) == (None, False)


def test_connected_caller_stays_connected_when_task_is_deleted():
    simulation = CallSimulation(DEQUEUE)
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    assignments.delete(simulation.engine, simulation.workspace, simulation.task_of(call))
    simulation.run()
    assert (call.status, bool(call.partner_sid)) == ("in-progress", True)


def test_alert_names_call_that_is_not_waiting():
    simulation = CallSimulation()
    call = simulation.place_call()
    task = simulation.create_task(f'{{"selected_language": "es", "call_sid": "{call.sid}"}}')
    simulation.instruction = {**DEQUEUE}
    simulation.make_alice_idle()
    (alert,) = alerts(simulation)
    assert (alert.code, alert.message) == (40133, f"Call {call.sid} is not waiting in a queue")
    assert simulation.reservations(task)[-1].status == "pending"
    assert len(simulation.engine.calls) == 1
