"""`<Dial>` calls a phone, and requests its `action` URL when the dialed call ends."""

import pytest

from taskrouter_simulator.engine.calls import call_control
from tests.simulator.call_simulation import APP, CALLER, NUMBER, WORKER_NUMBER, CallSimulation
from tests.simulator.test_calls import call_instruction, redirect_instruction

PHONE = "+15550003333"
DIAL = f'<Dial action="after_dial">{PHONE}</Dial><Say>Bye</Say>'


def place(document=DIAL, *, worker_answers=True, **settings):
    """Place a call that dials a phone; return the simulation, the call and the dialed leg."""
    simulation = CallSimulation(**settings)
    simulation.documents |= {"incoming_call": document, "after_dial": "<Pause length='9'/>"}
    call = simulation.place_call(worker_answers=worker_answers)
    return simulation, call, list(simulation.engine.calls.values())[-1]


@pytest.mark.parametrize(
    "noun", ["{}", "<Number>{}</Number>", "<Client>{}</Client>", "<Sip>{}</Sip>"]
)
def test_dial_connects_the_caller_to_the_dialed_phone(noun):
    _, call, leg = place(f"<Dial>{noun.format(PHONE)}</Dial>")
    assert (leg.caller, leg.called, leg.direction) == (CALLER, PHONE, "outbound-dial")
    assert (call.partner_sid, leg.partner_sid) == (leg.sid, call.sid)
    assert (call.status, leg.status) == ("in-progress", "in-progress")
    assert leg.steps == [
        {"at": 1_700_000_000.0, "step": "connected", "with_call": call.sid, "how": "dial"}
    ]


def test_action_url_is_requested_when_dialed_party_hangs_up():
    simulation, call, leg = place()
    simulation.clock.advance(12.5)
    simulation.hang_up(leg)
    path, parameters = simulation.requests()[-1]
    expected = {
        "CallSid": call.sid, "DialCallSid": leg.sid, "DialCallStatus": "completed",
        "DialCallDuration": "12", "DialBridged": "true",
    }  # fmt: skip
    assert (path, parameters.items() >= expected.items()) == ("after_dial", True)
    assert call.steps[-1]["step"] == "paused"
    assert call.dial is None


def test_dial_without_action_url_continues_with_next_verb():
    simulation, call, leg = place(f"<Dial>{PHONE}</Dial><Say>Bye</Say>")
    simulation.hang_up(leg)
    assert [step["step"] for step in call.steps[-2:]] == ["say", "ended"]
    assert len(simulation.requests()) == 1


def test_dialed_leg_ends_with_the_dialing_call():
    simulation, call, leg = place()
    simulation.hang_up(call)
    assert (call.status, leg.status) == ("completed", "completed")
    assert len(simulation.requests()) == 1


@pytest.mark.parametrize(
    ("attributes", "seconds"), [("", 30), ('timeout="600"', 600), ('timeout="601"', 30)]
)
def test_action_url_is_requested_after_timeout_if_nobody_answers(attributes, seconds):
    document = f'<Dial action="after_dial" {attributes}>{PHONE}</Dial>'
    simulation, call, leg = place(document, worker_answers=False)
    assert leg.status == "ringing"
    simulation.run(seconds - 1)
    assert leg.status == "ringing"
    simulation.run(1)
    assert (leg.status, call.status) == ("no-answer", "in-progress")
    parameters = simulation.requests()[-1][1]
    assert parameters["DialCallStatus"] == "no-answer"
    assert (parameters["DialCallDuration"], parameters["DialBridged"]) == ("0", "false")


def test_dialed_party_answers_after_configured_time():
    simulation, _, leg = place(answer_seconds=5.0)
    assert leg.status == "ringing"
    simulation.run(5)
    assert leg.status == "in-progress"


def test_dialed_phone_can_be_answered_manually():
    _, _, leg = place(worker_answers=False)
    call_control.answer(leg)
    assert leg.status == "in-progress"


def test_worker_continues_at_the_action_url_after_queued_caller_hangs_up():
    simulation = CallSimulation()

    def respond(parameters):
        sid = parameters["ReservationSid"]
        simulation.documents["agent"] = (
            f'<Dial action="after_dial"><Queue reservationSid="{sid}"/></Dial>'
        )
        return {"instruction": "call", "to": WORKER_NUMBER, "from": NUMBER, "url": f"{APP}agent"}

    simulation.instruction = respond
    simulation.documents["after_dial"] = "<Pause length='9'/>"
    call = simulation.place_call("1")
    simulation.run(100)
    simulation.make_alice_idle()
    simulation.clock.advance(8)
    simulation.hang_up(call)
    path, parameters = simulation.requests()[-1]
    expected = {
        "DialCallSid": call.sid, "DialCallStatus": "completed", "DialCallDuration": "8",
        "DialBridged": "true",
    }  # fmt: skip
    assert (path, parameters.items() >= expected.items()) == ("after_dial", True)
    assert simulation.worker_leg().status == "in-progress"
    assert simulation.task_of(call).status == "completed"


def test_worker_call_without_action_url_ends_after_caller_hangs_up():
    simulation = CallSimulation()
    simulation.instruction = call_instruction(simulation)
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    simulation.hang_up(call)
    assert simulation.worker_leg().status == "completed"


def test_redirect_disconnects_the_dialed_phone():
    simulation = CallSimulation(redirect_instruction())
    simulation.documents["transfer"] = DIAL
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    (leg,) = [item for item in simulation.engine.calls.values() if item is not call]
    call_control.redirect(simulation.engine, call.sid, f"{APP}left_queue")
    simulation.run()
    assert (leg.status, leg.steps[-1]["why"]) == ("completed", "the caller was redirected")
    assert (call.partner_sid, call.dial) == (None, None)
    assert call.status == "completed"  # the `left_queue` document is empty


def test_accepted_task_of_redirected_caller_ends_with_the_call():
    simulation = CallSimulation()
    simulation.instruction = redirect_instruction(accept=True)
    simulation.documents |= {"transfer": DIAL, "after_dial": "<Pause length='9'/>"}
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    (leg,) = [item for item in simulation.engine.calls.values() if item is not call]
    simulation.hang_up(leg)
    assert simulation.task_of(call).status == "assigned"
    simulation.run(9)
    assert (call.status, simulation.task_of(call).status) == ("completed", "completed")
