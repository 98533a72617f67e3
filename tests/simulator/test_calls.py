"""Calls: TwiML creates a Task for the caller, who is then connected to a Worker."""

import pytest

from taskrouter_simulator.engine.calls import call_control, execution
from taskrouter_simulator.engine.errors import BadRequest
from tests.simulator.call_simulation import (
    APP,
    CALLER,
    DEQUEUE,
    NUMBER,
    WORKER_NUMBER,
    WORKFLOW,
    CallSimulation,
    enqueue_verb,
    steps,
)

CONFERENCE = {
    "instruction": "conference", "to": WORKER_NUMBER, "from": NUMBER,
    "end_conference_on_customer_exit": True,
}  # fmt: skip


def test_pressed_key_creates_task_with_call_attributes():
    simulation = CallSimulation()
    call = simulation.place_call("1")

    task = simulation.task_of(call)
    assert simulation.workspace.channels[task.channel_sid].unique_name == "voice"
    assert task.workflow_sid == WORKFLOW
    attributes = simulation.attributes_of(call)
    expected = {
        "selected_language": "es",
        "call_sid": call.sid,
        "account_sid": simulation.engine.account_sid,
        "from": CALLER,
        "caller": CALLER,
        "to": NUMBER,
        "called": NUMBER,
        "direction": "inbound",
        "call_status": "in-progress",
        "api_version": "2010-04-01",
    }
    assert {name: attributes[name] for name in expected} == expected
    locations = {f"{party}_{part}" for party in ("from", "to", "caller", "called")
                 for part in ("city", "state", "zip", "country")}  # fmt: skip
    assert attributes.keys() == expected.keys() | locations
    assert steps(call) == ["placed", "document", "say", "pressed", "document", "enqueued"]


def test_document_attributes_override_call_attributes():
    simulation = CallSimulation()
    simulation.documents["enqueue_call"] = enqueue_verb('{"from": "a friend", "to": null}')
    attributes = simulation.attributes_of(simulation.place_call("1"))
    assert (attributes["from"], attributes["to"]) == ("a friend", None)
    assert attributes["caller"] == CALLER


def test_twiml_requests_have_twilio_parameters():
    simulation = CallSimulation()
    call = simulation.place_call("1")
    (first_path, first), (second_path, second) = simulation.requests()
    assert (first_path, second_path) == ("incoming_call", "enqueue_call")
    assert first["CallStatus"] == "ringing"
    assert (second["CallStatus"], second["Digits"]) == ("in-progress", "1")
    for request in (first, second):
        assert request["CallSid"] == call.sid
        assert request["AccountSid"] == simulation.engine.account_sid
        assert (request["From"], request["To"], request["Direction"]) == (CALLER, NUMBER, "inbound")
        assert (request["ApiVersion"], request["FromCity"]) == ("2010-04-01", "")


@pytest.mark.parametrize("instruction", [DEQUEUE, CONFERENCE])
def test_hangup_completes_task_of_connected_call(instruction):
    simulation = CallSimulation(instruction)
    call = simulation.place_call("1")
    simulation.make_alice_idle()

    leg = simulation.worker_leg()
    assert simulation.reservation_of(call).status == "accepted"
    assert simulation.task_of(call).status == "assigned"
    if instruction is DEQUEUE:
        assert (call.partner_sid, leg.partner_sid) == (leg.sid, call.sid)
    else:
        assert call.conference_sid == leg.conference_sid != ""
    assert (leg.caller, leg.called) == (NUMBER, WORKER_NUMBER)
    assert call.steps[-1]["to"] == "Alice"
    if instruction is DEQUEUE:
        assert simulation.attributes_of(call)["worker_call_sid"] == leg.sid

    simulation.hang_up(call)
    assert simulation.reservation_of(call).status == "completed"
    assert simulation.task_of(call).status == "completed"
    simulation.run()
    assert call.status == "completed"
    assert leg.status == "completed"
    assert simulation.alert_codes() == []


def test_caller_continues_at_the_action_url_after_worker_hangs_up():
    simulation = CallSimulation(DEQUEUE)
    simulation.documents["left_queue"] = '<Say>Goodbye.</Say><Pause length="3"/>'
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    simulation.run(60)
    simulation.hang_up(simulation.worker_leg())
    assert simulation.task_of(call).status == "completed"
    path, parameters = simulation.requests()[-1]
    assert (path, parameters["QueueResult"], parameters["QueueTime"]) == (
        "left_queue", "bridged", "60"
    )  # fmt: skip
    assert steps(call)[-2:] == ["say", "paused"]
    simulation.run(3)
    assert call.status == "completed"


def test_post_work_activity_is_set_when_call_ends():
    simulation = CallSimulation()
    simulation.instruction = {
        **DEQUEUE,
        "post_work_activity_sid": simulation.activity_sid("Offline"),
    }
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    assert simulation.activity_of(simulation.alice) == "Busy"
    simulation.hang_up(call)
    assert simulation.activity_of(simulation.alice) == "Offline"


def test_hangup_while_waiting_cancels_task():
    simulation = CallSimulation()
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    assert simulation.reservation_of(call).status == "pending"
    simulation.hang_up(call)
    task = simulation.task_of(call)
    assert (task.status, task.reason) == ("canceled", "hangup")
    assert simulation.reservation_of(call).status == "canceled"
    assert simulation.activity_of(simulation.alice) == "Idle"
    assert [path for path, _ in simulation.requests()] == ["incoming_call", "enqueue_call"]


def test_hangup_during_menu_creates_no_task():
    simulation = CallSimulation()
    call = simulation.place_call()
    simulation.hang_up(call)
    simulation.run(10)
    assert (call.status, simulation.workspace.tasks) == ("completed", {})
    assert steps(call)[-2:] == ["pressed nothing", "ended"]
    with pytest.raises(BadRequest):
        simulation.hang_up(call)


def test_oldest_ended_call_is_removed_if_the_limit_is_exceeded(monkeypatch):
    monkeypatch.setattr(execution, "_MAX_CALLS", 3)
    simulation = CallSimulation()
    waiting, *ended = [simulation.place_call("1") for _ in range(3)]
    for call in ended:
        simulation.hang_up(call)
    newest = simulation.place_call("1")
    assert list(simulation.engine.calls) == [waiting.sid, ended[1].sid, newest.sid]


DIAL_QUEUE = '<Dial><Queue reservationSid="{sid}" {attributes}/></Dial>'


def call_instruction(simulation, queue_attributes="", **options):
    """Return a function that sets the Worker's document and builds a `call` instruction."""

    def respond(parameters):
        sid = options.pop("sid", parameters["ReservationSid"])
        simulation.documents["agent"] = DIAL_QUEUE.format(sid=sid, attributes=queue_attributes)
        url = f"{APP}agent"
        return {"instruction": "call", "to": WORKER_NUMBER, "from": NUMBER, "url": url, **options}

    return respond


def test_call_instruction_accepts_reservation_when_document_dials_queue():
    simulation = CallSimulation()
    offline = simulation.activity_sid("Offline")
    simulation.instruction = call_instruction(simulation, f'postWorkActivitySid="{offline}"')
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    leg = simulation.worker_leg()
    path, parameters = simulation.requests()[-1]
    assert (path, parameters["CallSid"], parameters["Direction"]) == (
        "agent", leg.sid, "outbound-api"
    )  # fmt: skip
    assert simulation.reservation_of(call).status == "accepted"
    assert call.partner_sid == leg.sid
    simulation.hang_up(call)
    assert simulation.task_of(call).status == "completed"
    assert simulation.activity_of(simulation.alice) == "Offline"


def test_call_instruction_leaves_reservation_pending_if_document_does_not_dial_queue():
    simulation = CallSimulation()
    simulation.documents["agent"] = "<Say>A caller is waiting.</Say>"
    url = f"{APP}agent"
    simulation.instruction = {
        "instruction": "call",
        "to": WORKER_NUMBER,
        "from": NUMBER,
        "url": url,
    }
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    assert simulation.reservation_of(call).status == "pending"
    assert simulation.worker_leg().status == "completed"
    simulation.run(1200)
    assert simulation.reservation_of(call).status == "timeout"


@pytest.mark.parametrize("options", [{"accept": True}, {"sid": "WR" + "0" * 32}])
def test_dialing_unavailable_reservation_emits_alert(options):
    # The Reservation is already accepted or does not exist.
    simulation = CallSimulation()
    simulation.instruction = call_instruction(simulation, **options)
    simulation.place_call("1")
    simulation.make_alice_idle()
    assert simulation.alert_codes() == [14215]


def test_hangup_cancels_the_task_of_a_caller_connected_through_another_tasks_reservation():
    simulation = CallSimulation()
    first = simulation.place_call("1")
    simulation.make_alice_idle()
    sid = simulation.reservation_of(first).sid
    second = simulation.place_call("1")
    simulation.documents["transfer"] = DIAL_QUEUE.format(sid=sid, attributes="")
    call_control.redirect(simulation.engine, second.sid, f"{APP}transfer")
    simulation.run()
    assert first.partner_sid == second.sid
    simulation.hang_up(second)
    assert simulation.task_of(first).status == "completed"
    assert simulation.task_of(second).status == "canceled"


@pytest.mark.parametrize("accept", [False, True])
def test_redirect_moves_caller_to_another_document(accept):
    simulation = CallSimulation()
    simulation.documents["transfer"] = "<Dial>+15550003333</Dial>"
    simulation.instruction = redirect_instruction(accept=accept)
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    assert steps(call)[-3:] == ["redirected", "document", "dialed"]
    assert simulation.reservation_of(call).status == ("accepted" if accept else "pending")
    simulation.hang_up(call)
    assert simulation.task_of(call).status == ("completed" if accept else "canceled")


def redirect_instruction(sid=None, *, accept=False):
    """Return a function that builds a `redirect` instruction.

    By default, the instruction redirects the Task's call.
    """

    def respond(parameters):
        task_call_sid = parameters["TaskAttributes"].partition('"call_sid": "')[2][:34]
        url = f"{APP}transfer"
        return {
            "instruction": "redirect",
            "call_sid": sid or task_call_sid,
            "url": url,
            "accept": accept,
        }

    return respond


@pytest.mark.parametrize(
    ("name", "code"), [("dequeue", 40133), ("conference", 40145), ("call", 40113)]
)
def test_caller_who_left_the_queue_is_not_connected(name, code):
    simulation = CallSimulation()
    simulation.documents["transfer"] = "<Dial>+15550003333</Dial>"
    simulation.instruction = redirect_instruction()
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    simulation.instruction = {
        "instruction": name, "to": WORKER_NUMBER, "from": NUMBER, "url": f"{APP}agent"
    }  # fmt: skip
    simulation.run(1200)
    simulation.make_alice_idle()
    assert simulation.alert_codes() == [code]
    assert call.connected_by == ""


@pytest.mark.parametrize(
    ("accept", "status", "reason"), [(False, "canceled", "redirected"), (True, "completed", None)]
)
def test_second_enqueue_ends_first_task(accept, status, reason):
    simulation = CallSimulation()
    simulation.documents["transfer"] = enqueue_verb(task_options='priority="3"')
    simulation.instruction = redirect_instruction(accept=accept)
    call = simulation.place_call("1")
    first = simulation.task_of(call)
    simulation.set_activity(simulation.alice, "Idle")
    simulation.clock.advance(0)
    simulation.set_activity(simulation.alice, "Offline")  # so that the second Task has to wait
    simulation.run()
    assert (first.status, first.reason) == (status, reason)
    assert simulation.task_of(call) is not first
    assert (simulation.task_of(call).priority, call.queued is None) == (3, False)
    simulation.hang_up(call)
    assert simulation.task_of(call).status == "canceled"


@pytest.mark.parametrize("ended", [False, True])
def test_connected_or_ended_call_is_not_redirected(ended):
    simulation = CallSimulation(DEQUEUE)
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    if ended:
        simulation.hang_up(call)
    simulation.create_task('{"selected_language": "es"}')
    simulation.instruction = redirect_instruction(call.sid)
    simulation.set_activity(simulation.alice, "Idle")
    simulation.run()
    assert simulation.alert_codes() == [40122]
