"""Valid values of most instruction parameters, and the alerts for invalid values."""

import json

import pytest

from taskrouter_simulator.engine import assignments, instructions
from taskrouter_simulator.engine.core import Alert
from tests.simulator.call_simulation import DEQUEUE, NUMBER, WORKER_NUMBER, CallSimulation
from tests.simulator.test_instructions import (
    CALL_ATTRIBUTES,
    PHONE,
    SUPERVISE,
    alert_codes,
    respond,
    simulate_reservation,
    simulate_supervision,
)

URL = "https://a/b"
REQUIRED = {
    "dequeue": {"to": PHONE},
    "call": {"to": PHONE, "from": PHONE, "url": URL, "accept": True},
    "redirect": {"call_sid": CALL_ATTRIBUTES["call_sid"], "url": URL, "accept": True},
    "conference": {"to": PHONE},
}


def outcome(name, **parameters):
    """Return the code and message of each alert, and the Reservation's status."""
    simulation, _, reservation = simulate_reservation()
    respond(simulation, reservation, name, **{**REQUIRED[name], **parameters})
    found = [item for item in simulation.effects if isinstance(item, Alert)]
    return [(item.code, item.message) for item in found], reservation.status


def assert_valid(name, **parameters):
    assert outcome(name, **parameters) == ([], "accepted")


def assert_invalid(name, code, parameter, *values):
    """Check that each value changes nothing and causes an alert that names the parameter."""
    simulation, task, reservation = simulate_reservation()
    before = task.attributes
    for value in values:
        simulation.effects.clear()
        respond(simulation, reservation, name, **{**REQUIRED[name], parameter: value})
        is_missing = value is None or value == ""
        reason = "is missing from the instruction" if is_missing else f"{value} is invalid"
        (alert,) = simulation.effects
        assert (alert.code, alert.message) == (code, f"{parameter} {reason}")
        assert (reservation.status, task.attributes) == ("pending", before)


@pytest.mark.parametrize(
    ("name", "parameter", "limits", "code"),
    [
        ("dequeue", "timeout", (1, 999), 40133),
        ("call", "timeout", (1, 999), 40113),
        ("conference", "timeout", (1, 999), 40145),
        ("conference", "max_participants", (2, 250), 40145),
    ],
)
def test_number_is_valid_from_minimum_to_maximum(name, parameter, limits, code):
    minimum, maximum = limits
    for value in (minimum, maximum, str(minimum), f"{maximum:09}"):
        assert_valid(name, **{parameter: value})
    assert_invalid(
        name, code, parameter, *(minimum - 1, maximum + 1, f"{maximum:010}", True, 1.5, "x", "")
    )


@pytest.mark.parametrize("scheme", ["sip:", "sips:", "SIP:"])
def test_timeout_of_a_sip_phone_is_at_most_ten_minutes(scheme):
    to = f"{scheme}alice@example.com"
    assert_valid("dequeue", to=to, timeout=600)
    assert outcome("dequeue", to=to, timeout=601) == (
        [(40133, "timeout 601 is invalid")],
        "pending",
    )
    assert_valid("dequeue", to="client:sip:x", timeout=601)


METHODS = [f"{name}_method" for name in (
    "status_callback", "conference_status_callback", "recording_status_callback",
    "conference_recording_status_callback", "wait",
)]  # fmt: skip
CHOICES = [
    ("dequeue", "record", ["do-not-record", "record-from-answer"], 40133),
    ("call", "record", ["do-not-record", "record-from-answer"], 40113),
    *(("conference", name, ["GET", "POST"], 40145) for name in METHODS),
    ("conference", "beep", ["true", "false", "onEnter", "onExit", True, False], 40145),
    (
        "conference",
        "conference_record",
        ["true", "false", "record-from-start", "do-not-record", True, False],
        40145,
    ),
    ("conference", "conference_trim", ["trim-silence", "do-not-trim"], 40145),
    ("conference", "recording_channels", ["mono", "dual"], 40145),
    ("conference", "region", ["us1", "us2", "ie1", "de1", "sg1", "br1", "au1", "jp1"], 40145),
    ("conference", "jitter_buffer_size", ["small", "medium", "large", "off"], 40145),
]


@pytest.mark.parametrize(("name", "parameter", "choices", "code"), CHOICES)
def test_every_choice_is_valid(name, parameter, choices, code):
    for choice in choices:
        assert_valid(name, **{parameter: choice})
    assert_valid(name, **{parameter: None})
    assert_invalid(name, code, parameter, "other", choices[0] + "x", 7, "", ["GET"])
    if True not in choices:
        assert_invalid(name, code, parameter, True)


FLAGS = [
    ("call", "accept", 40113),
    ("redirect", "accept", 40122),
    *(
        ("conference", name, 40145)
        for name in (
            "record", "muted", "start_conference_on_enter", "end_conference_on_exit",
            "end_conference_on_customer_exit", "early_media", "beep_on_customer_entrance",
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "parameter", "code"), FLAGS)
def test_flag_may_be_a_boolean_a_number_or_a_word(name, parameter, code):
    is_accept = parameter == "accept"
    for value in (True, 1, "true", "TRUE", "1", "yes"):
        assert_valid(name, **{parameter: value})
    for value in (False, 0, "false", "0", "no", "No", None):
        expected = "pending" if is_accept else "accepted"
        assert outcome(name, **{parameter: value}) == ([], expected)
    assert_invalid(name, code, parameter, 2, "on", "", ["true"])


URLS = [
    ("dequeue", "status_callback_url", 40157),
    ("call", "status_callback_url", 40158),
    ("call", "url", 40112),
    ("redirect", "url", 40120),
    *(
        ("conference", name, 40159)
        for name in (
            "status_callback", "conference_status_callback", "recording_status_callback",
            "conference_recording_status_callback", "wait_url",
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "parameter", "code"), URLS)
def test_url_must_be_absolute(name, parameter, code):
    for value in ("http://a/b?c=d", "https://example.com"):
        assert_valid(name, **{parameter: value})
    assert_invalid(name, code, parameter, "/b", "ftp://a/b", 7, "")
    if parameter == "url":
        assert_invalid(name, code, parameter, None)
    else:
        assert_valid(name, **{parameter: None})


CALL_EVENTS = ["initiated", "ringing", "answered", "completed"]
CONFERENCE_EVENTS = ["start", "end", "join", "leave", "mute", "hold", "speaker"]


@pytest.mark.parametrize(
    ("name", "parameter", "events", "code"),
    [
        ("dequeue", "status_callback_events", CALL_EVENTS, 40134),
        ("conference", "status_callback_event", CALL_EVENTS, 40145),
        ("conference", "conference_status_callback_event", CONFERENCE_EVENTS, 40145),
    ],
)
def test_events_may_be_a_list_or_a_comma_separated_string(name, parameter, events, code):
    for value in (*events, events, ", ".join(events), [], None):
        assert_valid(name, **{parameter: value})
    assert_invalid(
        name,
        code,
        parameter,
        *("other", f"{events[0]},other", [events[0], "other"], [events[0], 7], 7, ""),
    )


@pytest.mark.parametrize(
    ("name", "parameter", "code"),
    [
        ("dequeue", "to", 40131),
        ("dequeue", "from", 40132),
        ("call", "to", 40110),
        ("call", "from", 40111),
        ("conference", "to", 40137),
        ("conference", "from", 40141),
    ],
)
def test_contact_has_at_most_500_characters_and_no_spaces(name, parameter, code):
    assert_valid(name, **{parameter: "x"})
    assert_valid(name, **{parameter: "x" * 500})
    assert_invalid(name, code, parameter, "a b", 7)
    long_text = f"{parameter} {'x' * 100} is invalid"
    assert outcome(name, **{parameter: "x" * 501}) == ([(code, long_text)], "pending")


@pytest.mark.parametrize("parameter", ["sip_auth_username", "sip_auth_password"])
def test_sip_credentials_must_not_be_empty(parameter):
    assert_valid("conference", **{parameter: "x"})
    assert_valid("conference", **{parameter: None})
    assert_invalid("conference", 40145, parameter, "", 7, True)


@pytest.mark.parametrize(
    "call_sid", ["", "CA" + "1" * 31, "CA" + "1" * 33, "WR" + "1" * 32, "CA" + "g" * 32, 7]
)
def test_redirect_instruction_requires_a_valid_call_sid(call_sid):
    assert_invalid("redirect", 40121, "call_sid", call_sid)
    assert_valid("redirect", call_sid="CA" + "aF" * 16)


@pytest.mark.parametrize(
    ("name", "parameter", "code"),
    [
        ("dequeue", "post_work_activity_sid", 40130),
        ("conference", "post_work_activity_sid", 40143),
        ("conference", "worker_activity_sid", 40139),
    ],
)
def test_activity_must_exist(name, parameter, code):
    simulation, _, _ = simulate_reservation()
    assert_valid(name, **{parameter: simulation.activity_sid("Idle")})
    assert_invalid(name, code, parameter, "WA0", "", 7, ["WA"])


def test_alert_has_a_message_a_level_and_details():
    simulation, task, reservation = simulate_reservation()
    simulation.effects.clear()
    workspace_sid, details = simulation.workspace.sid, {"reservation_sid": reservation.sid}

    def respond_with(response, workspace_sid=workspace_sid, sid=reservation.sid):
        instructions.handle_response(simulation.engine, workspace_sid, sid, response)
        found = list(simulation.effects)
        simulation.effects.clear()
        return found

    assert respond_with({}) == []
    message = "The response has no instruction"
    assert respond_with({"a": 1}) == [Alert(40005, message, "warning", details)]
    for name, shown in (("dance", "dance"), (None, "None"), ("x" * 200, "x" * 100), ([1], "[1]")):
        expected = Alert(55555, f"Invalid instruction {shown}", "error", details)
        assert respond_with({"instruction": name}) == [expected]
    gone = f"Reservation {reservation.sid} no longer exists"
    expected = [Alert(20001, gone, "error", details)]
    assert respond_with({"instruction": "accept"}, workspace_sid="WS0") == expected
    assignments.cancel(simulation.engine, simulation.workspace, task)
    simulation.effects.clear()
    for name, code in (("accept", 20001), ("dequeue", 40135)):
        message = (
            f"Unable to execute {name.capitalize()} instruction. Reservation {reservation.sid} is"
            " not currently in a Pending state."
        )
        assert respond_with({"instruction": name}) == [Alert(code, message, "error", details)]
    message = f"Unable to execute Supervise instruction. Reservation {reservation.sid} is canceled."
    assert respond_with({"instruction": "supervise"}) == [Alert(40146, message, "error", details)]


def test_error_code_of_a_late_accept_instruction_is_configurable():
    simulation, task, reservation = simulate_reservation(not_pending_code=12345)
    assignments.cancel(simulation.engine, simulation.workspace, task)
    respond(simulation, reservation, "accept")
    respond(simulation, reservation, "conference")
    assignments.delete(simulation.engine, simulation.workspace, task)
    respond(simulation, reservation, "accept")
    assert alert_codes(simulation) == [12345, 40144, 12345]


def test_conference_instruction_after_reservation_timeout_emits_alert_40136():
    simulation, _, reservation = simulate_reservation()
    simulation.clock.advance(1200)
    respond(simulation, reservation, "conference", **REQUIRED["conference"])
    assert alert_codes(simulation) == [40136]


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("dequeue", {"to": PHONE}, "call_sid is missing from the Task's attributes"),
        ("dequeue", {"to": PHONE, "call_sid": 7}, "call_sid is missing from the Task's attributes"),
        ("dequeue", {"call_sid": "CA1"}, "from is missing from the instruction"),
        (
            "conference",
            {"to": PHONE},
            "call_sid or outbound_to is missing from the Task's attributes",
        ),
        ("conference", {"call_sid": "CA1"}, "from is missing from the instruction"),
        ("conference", {"call_sid": "CA1", "to": ""}, "from is missing from the instruction"),
        ("conference", {"call_sid": "CA1", "to": "a b"}, "from a b is invalid"),
        ("dequeue", {"call_sid": "CA1", "to": PHONE}, None),
        ("conference", {"call_sid": "CA1", "to": PHONE}, None),
        ("conference", {"outbound_to": PHONE, "to": PHONE}, None),
    ],
)
def test_instruction_requires_task_attributes_about_the_call(name, attributes, message):
    simulation, _, reservation = simulate_reservation({"selected_language": "es", **attributes})
    respond(simulation, reservation, name, to=WORKER_NUMBER)
    found = [item.message for item in simulation.effects if isinstance(item, Alert)]
    assert found == ([message] if message else [])


@pytest.mark.parametrize("caller", [None, 7])
def test_supervise_instruction_emits_alert_if_caller_is_missing_or_not_a_string(caller):
    attributes = {"selected_language": "es", "from": caller}
    simulation, _, reservation = simulate_supervision(attributes=attributes)
    respond(simulation, reservation, "supervise", **SUPERVISE)
    assert alert_codes(simulation) == [40148]


@pytest.mark.parametrize("mode", ["shout", "", 7, True])
def test_unknown_supervisor_mode_emits_alert(mode):
    simulation, _, reservation = simulate_supervision()
    respond(simulation, reservation, "supervise", **{**SUPERVISE, "supervisor_mode": mode})
    assert alert_codes(simulation) == [20001]


@pytest.mark.parametrize("name", ["dequeue", "conference", "call"])
@pytest.mark.parametrize(("timeout", "seconds"), [(None, 60), (7, 7)])
def test_phone_rings_for_the_instructions_timeout_or_for_one_minute(name, timeout, seconds):
    instruction = {
        "instruction": name, "to": WORKER_NUMBER, "from": NUMBER, "url": URL, "timeout": timeout
    }  # fmt: skip
    simulation = CallSimulation(instruction)
    simulation.place_call("1", worker_answers=False)
    simulation.make_alice_idle()
    simulation.instruction = {}
    simulation.run(seconds - 0.1)
    assert simulation.worker_leg().status == "ringing"
    simulation.run(0.1)
    assert simulation.worker_leg().status == "no-answer"


@pytest.mark.parametrize(
    ("to", "called"),
    [("joey", "client:joey"), ("_7", "client:_7"), ("client:joey", "client:joey"),
     ("sip:a@b.example", "sip:a@b.example"), (WORKER_NUMBER, WORKER_NUMBER), ("911", "911")],
)  # fmt: skip
def test_bare_name_is_called_as_a_client_and_other_contacts_are_unchanged(to, called):
    simulation = CallSimulation({"instruction": "call", "to": to, "from": NUMBER, "url": URL})
    simulation.place_call("1", worker_answers=False)
    simulation.make_alice_idle()
    assert simulation.worker_leg().called == called


def test_later_instruction_clears_post_work_activity():
    simulation = CallSimulation(answer_seconds=10.0)
    simulation.instruction = {**DEQUEUE, "post_work_activity_sid": simulation.activity_sid("Idle")}
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    reservation = simulation.reservation_of(call)
    assert reservation.post_work_activity_sid == simulation.activity_sid("Idle")
    instructions.execute(simulation.engine, simulation.workspace, reservation, DEQUEUE)
    assert reservation.post_work_activity_sid is None
    leg = simulation.worker_leg()
    assert json.loads(simulation.task_of(call).attributes)["worker_call_sid"] == leg.sid
