"""Assignment instructions: effects, and error codes for invalid parameters."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.base.exceptions import TwilioRestException

from taskrouter_simulator.engine import assignments, reservations
from taskrouter_simulator.engine.core import Alert
from taskrouter_simulator.engine.instructions import handle_response
from tests.simulator.conftest import Simulation

CALL_ATTRIBUTES = {"selected_language": "es", "call_sid": "CA" + "1" * 32, "to": "+15550001111"}
PHONE = "+15556667777"
VALID_PARAMETERS = {
    "accept": {},
    "reject": {},
    "dequeue": {"to": PHONE, "from": PHONE, "timeout": 10, "record": "record-from-answer",
                "status_callback_url": "http://a/b", "status_callback_events": "ringing,answered"},
    "call": {"to": "joey", "from": PHONE, "url": "https://a/b", "accept": True},
    "redirect": {"call_sid": "CA" + "2" * 32, "url": "https://a/b", "accept": "true"},
    "conference": {"to": "client:joey", "from": PHONE, "beep": False, "max_participants": "2"},
}  # fmt: skip


def simulate_reservation(attributes=None, **settings):
    simulation = Simulation(**settings)
    task = simulation.create_task(json.dumps(CALL_ATTRIBUTES if attributes is None else attributes))
    simulation.set_activity(simulation.alice, "Idle")
    return simulation, task, simulation.reservations(task)[-1]


def respond(simulation, reservation, instruction, **parameters):
    body = {"instruction": instruction, **parameters}
    handle_response(simulation.engine, simulation.workspace.sid, reservation.sid, body)


def alert_codes(simulation):
    return [effect.code for effect in simulation.effects if isinstance(effect, Alert)]


@pytest.mark.parametrize("name", VALID_PARAMETERS)
def test_valid_instruction_is_executed(name):
    simulation, task, reservation = simulate_reservation()
    respond(simulation, reservation, name, **VALID_PARAMETERS[name])
    assert alert_codes(simulation) == []
    assert reservation.status == ("rejected" if name == "reject" else "accepted")
    has_call = name in {"dequeue", "call"}
    assert ("worker_call_sid" in json.loads(task.attributes)) is has_call
    assert ("conference" in json.loads(task.attributes)) is (name == "conference")


def assert_conference(attributes, customer_sid=None):
    """Check that a Task's attributes describe a conference in the format observed in TaskRouter."""
    conference = attributes["conference"]
    participants = conference["participants"]
    assert re.fullmatch("CF[0-9a-f]{32}", conference["sid"])
    assert {name: sid[:2] for name, sid in participants.items()} == {
        "worker": "CA", "customer": "CA"
    }  # fmt: skip
    assert participants["worker"] != participants["customer"]
    assert customer_sid in {None, participants["customer"]}


def test_conference_instruction_adds_the_conference_to_task_attributes():
    simulation, task, reservation = simulate_reservation()
    respond(simulation, reservation, "conference", **VALID_PARAMETERS["conference"])
    attributes = json.loads(task.attributes)
    assert_conference(attributes, CALL_ATTRIBUTES["call_sid"])
    assert CALL_ATTRIBUTES.items() <= attributes.items()


def test_conference_of_outbound_call_has_customer():
    attributes = {"selected_language": "es", "outbound_to": "+15550001111"}
    simulation, task, reservation = simulate_reservation(attributes)
    respond(simulation, reservation, "conference", **VALID_PARAMETERS["conference"])
    assert_conference(json.loads(task.attributes))


SUPERVISE = {"supervisor": "client:sam", "supervisor_mode": "whisper"}


def simulate_supervision(status="accepted", attributes=None, **contact):
    """Return a simulation, its Task, and the Task's Reservation in the given status."""
    simulation, task, reservation = simulate_reservation(
        {**CALL_ATTRIBUTES, "from": PHONE} if attributes is None else attributes
    )
    simulation.bob.attributes = json.dumps(contact)
    operations = {
        "accepted": [assignments.accept],
        "wrapping": [assignments.accept, assignments.wrap],
        "completed": [assignments.accept, assignments.complete],
        "canceled": [assignments.cancel],
        "rejected": [reservations.reject],
    }.get(status, [])
    for operation in operations:
        takes_reservation = operation in {assignments.accept, reservations.reject}
        resource = reservation if takes_reservation else task
        operation(simulation.engine, simulation.workspace, resource)
    return simulation, task, reservation


@pytest.mark.parametrize("status", ["accepted", "wrapping"])
@pytest.mark.parametrize("mode", ["monitor", "whisper", "barge", None])
@pytest.mark.parametrize("by_sid", [True, False])
def test_supervise_instruction_is_executed_for_assigned_or_wrapping_task(status, mode, by_sid):
    attributes = {**CALL_ATTRIBUTES, "from": PHONE, "conference": {"sid": "CF" + "0" * 32}}
    simulation, task, reservation = simulate_supervision(
        status, attributes, contact_uri="client:bob"
    )
    before = task.attributes
    supervisor = simulation.bob.sid if by_sid else "client:sam"
    respond(simulation, reservation, "supervise", supervisor=supervisor, supervisor_mode=mode)
    assert (alert_codes(simulation), reservation.status, task.attributes) == ([], status, before)


@pytest.mark.parametrize("status", ["pending", "completed", "canceled", "rejected"])
def test_supervise_emits_alert_unless_reservation_is_accepted_or_wrapping(status):
    simulation, _, reservation = simulate_supervision(status)
    respond(simulation, reservation, "supervise", **SUPERVISE)
    assert (alert_codes(simulation), reservation.status) == ([40146], status)


@pytest.mark.parametrize("contact", [{}, {"contact_uri": 7}, {"contact_uri": ""}])
def test_supervise_emits_alert_if_the_supervisor_cannot_be_called(contact):
    simulation, _, reservation = simulate_supervision(**contact)
    for supervisor in (simulation.bob.sid, "WK" + "0" * 32, None, "a b"):
        respond(simulation, reservation, "supervise", supervisor=supervisor)
    assert alert_codes(simulation) == [40147] * 4


def test_alert_states_why_supervisor_is_invalid():
    simulation, _, reservation = simulate_supervision()
    unknown = "WK" + "0" * 32
    for supervisor in (simulation.bob.sid, unknown):
        respond(simulation, reservation, "supervise", supervisor=supervisor)
    messages = [effect.message for effect in simulation.effects if isinstance(effect, Alert)]
    assert messages == [
        f"supervisor {simulation.bob.sid} has no contact_uri in its attributes",
        f"supervisor {unknown} does not exist",
    ]


def test_supervise_emits_alert_if_task_has_no_caller():
    simulation, _, reservation = simulate_supervision(attributes={"selected_language": "es"})
    respond(simulation, reservation, "supervise", **SUPERVISE)
    assert alert_codes(simulation) == [40148]


@pytest.mark.parametrize("conference", [None, "CF0", {}, {"sid": ""}])
def test_supervise_emits_alert_if_task_has_no_conference(conference):
    attributes = {**CALL_ATTRIBUTES, "from": PHONE, "conference": conference}
    simulation, _, reservation = simulate_supervision(attributes=attributes)
    respond(simulation, reservation, "supervise", **SUPERVISE)
    (alert,) = [effect for effect in simulation.effects if isinstance(effect, Alert)]
    message = "conference.sid is missing from the Task's attributes"
    assert (alert.code, alert.message) == (40149, message)


@pytest.mark.parametrize("name", ["call", "redirect"])
def test_call_and_redirect_instructions_leave_reservation_pending_if_accept_is_false(name):
    simulation, _, reservation = simulate_reservation()
    respond(simulation, reservation, name, **{**VALID_PARAMETERS[name], "accept": False})
    assert reservation.status == "pending"
    assert alert_codes(simulation) == []


INVALID_PARAMETERS = [
    ("reject", {"activity_sid": "WA0"}, 40100),
    ("call", {"to": None}, 40110),
    ("call", {"from": None}, 40111),
    ("call", {"from": 7}, 40111),
    ("call", {"url": None}, 40112),
    ("call", {"url": "ftp://a"}, 40112),
    ("call", {"timeout": 1000}, 40113),
    ("call", {"record": "always"}, 40113),
    ("call", {"status_callback_url": "nowhere"}, 40158),
    ("redirect", {"url": None}, 40120),
    ("redirect", {"call_sid": "PA1"}, 40121),
    ("dequeue", {"post_work_activity_sid": "WA0"}, 40130),
    ("dequeue", {"to": None}, 40131),
    ("dequeue", {"from": ["x"]}, 40132),
    ("dequeue", {"timeout": 0}, 40133),
    ("dequeue", {"to": "sip:alice@example.com", "timeout": 601}, 40133),
    ("dequeue", {"status_callback_events": "ringing,exploded"}, 40134),
    ("dequeue", {"status_callback_url": "nowhere"}, 40157),
    ("conference", {"to": None}, 40137),
    ("conference", {"from": "a b"}, 40141),
    ("conference", {"worker_activity_sid": "WA0"}, 40139),
    ("conference", {"post_work_activity_sid": "WA0"}, 40143),
    ("conference", {"max_participants": 251}, 40145),
    ("conference", {"region": "moon"}, 40145),
    ("conference", {"status_callback": "nowhere"}, 40159),
    ("conference", {"status_callback_event": ["exploded"]}, 40145),
    ("conference", {"conference_status_callback_event": "start,ringing"}, 40145),
]


EMPTY_PARAMETERS = [
    ("reject", "activity_sid", 40100),
    ("call", "to", 40110),
    ("call", "timeout", 40113),
    ("call", "record", 40113),
    ("call", "status_callback_url", 40158),
    ("dequeue", "to", 40131),
    ("dequeue", "from", 40132),
    ("dequeue", "timeout", 40133),
    ("dequeue", "post_work_activity_sid", 40130),
    ("dequeue", "status_callback_url", 40157),
    ("dequeue", "status_callback_events", 40134),
    ("conference", "to", 40137),
    ("conference", "from", 40138),
    ("conference", "timeout", 40145),
    ("conference", "wait_url", 40159),
    ("conference", "post_work_activity_sid", 40143),
    ("conference", "status_callback_event", 40145),
]


@pytest.mark.parametrize(("name", "parameter", "code"), EMPTY_PARAMETERS)
def test_empty_parameter_emits_alert_and_null_is_treated_as_absent(name, parameter, code):
    simulation, _, reservation = simulate_reservation()
    simulation.alice.attributes = '{"languages": ["es"], "contact_uri": "+15550002222"}'
    respond(simulation, reservation, name, **{**VALID_PARAMETERS[name], parameter: ""})
    assert (alert_codes(simulation), reservation.status) == ([code], "pending")
    respond(simulation, reservation, name, **{**VALID_PARAMETERS[name], parameter: None})
    assert alert_codes(simulation) == [code]


@pytest.mark.parametrize(("name", "change", "code"), INVALID_PARAMETERS)
def test_invalid_parameter_emits_alert_and_changes_nothing(name, change, code):
    simulation, task, reservation = simulate_reservation()
    before = task.attributes
    respond(simulation, reservation, name, **{**VALID_PARAMETERS[name], **change})
    assert alert_codes(simulation) == [code]
    assert (reservation.status, task.attributes) == ("pending", before)


@pytest.mark.parametrize(
    ("name", "attributes", "code"),
    [
        ("dequeue", {"selected_language": "es"}, 40140),
        ("dequeue", {"selected_language": "es", "call_sid": CALL_ATTRIBUTES["call_sid"]}, 40132),
        ("conference", {"selected_language": "es"}, 40142),
        ("conference", {"selected_language": "es", "outbound_to": PHONE}, 40138),
    ],
)
def test_missing_call_attribute_emits_alert(name, attributes, code):
    simulation, _, reservation = simulate_reservation(attributes)
    parameters = {key: value for key, value in VALID_PARAMETERS[name].items() if key != "from"}
    respond(simulation, reservation, name, **parameters)
    assert alert_codes(simulation) == [code]


@pytest.mark.parametrize(
    ("name", "code"),
    [("accept", 20001), ("reject", 20001), ("call", 40114), ("redirect", 40123),
     ("dequeue", 40135), ("conference", 40136)],
)  # fmt: skip
def test_instruction_for_ended_reservation_emits_alert(name, code):
    simulation, _, reservation = simulate_reservation()
    simulation.clock.advance(1200)
    respond(simulation, reservation, name, **VALID_PARAMETERS[name])
    assert alert_codes(simulation) == [code]
    assert reservation.status == "timeout"


def test_conference_instruction_for_canceled_reservation_emits_alert_40144():
    simulation, task, reservation = simulate_reservation()
    assignments.cancel(simulation.engine, simulation.workspace, task, "hangup")
    respond(simulation, reservation, "conference", **VALID_PARAMETERS["conference"])
    assert alert_codes(simulation) == [40144]


def test_instruction_for_deleted_reservation_emits_alert():
    simulation, task, reservation = simulate_reservation()
    assignments.delete(simulation.engine, simulation.workspace, task)
    respond(simulation, reservation, "accept")
    assert alert_codes(simulation) == [20001]


def test_reject_instruction_without_activity_emits_alert_if_an_activity_is_required():
    simulation, _, reservation = simulate_reservation(reject_without_activity=False)
    respond(simulation, reservation, "reject")
    assert (alert_codes(simulation), reservation.status) == ([40100], "pending")


@pytest.mark.parametrize("name", ["dequeue", "call", "conference"])
def test_contact_uri_is_used_if_the_to_parameter_is_missing(name):
    simulation, _, reservation = simulate_reservation()
    simulation.alice.attributes = '{"languages": ["es"], "contact_uri": "+15550002222"}'
    respond(simulation, reservation, name, **{**VALID_PARAMETERS[name], "to": None})
    assert reservation.status == "accepted"


@pytest.mark.parametrize("name", ["dequeue", "conference"])
def test_post_work_activity_is_set_on_completion(name):
    simulation, task, reservation = simulate_reservation()
    idle = simulation.activity_sid("Idle")
    respond(simulation, reservation, name, **VALID_PARAMETERS[name], post_work_activity_sid=idle)
    assert simulation.activity_of(simulation.alice) == "Busy"
    assignments.complete(simulation.engine, simulation.workspace, task)
    assert simulation.activity_of(simulation.alice) == "Idle"


@given(
    st.sampled_from(sorted(VALID_PARAMETERS)),
    st.dictionaries(
        st.sampled_from(
            sorted({name for parameters in VALID_PARAMETERS.values() for name in parameters})
        ),
        st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()),
    ),
)
def test_any_instruction_that_emits_alert_leaves_reservation_pending(name, parameters):
    simulation, _, reservation = simulate_reservation()
    respond(simulation, reservation, name, **parameters)
    assert (alert_codes(simulation) == []) or reservation.status == "pending"


@pytest.fixture
def reservation(taskrouter):
    """Alice's pending Reservation for a Task with call attributes, fetched with Twilio's SDK."""
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    workspace.workers(taskrouter.workers["Alice"]).update(
        activity_sid=taskrouter.activities["Idle"]
    )
    task = workspace.tasks.create(attributes=json.dumps(CALL_ATTRIBUTES))
    taskrouter.advance()
    return task.reservations.list()[0]


@pytest.mark.parametrize(
    "parameters",
    [
        {"instruction": "dequeue", "dequeue_to": PHONE, "dequeue_from": PHONE,
         "dequeue_status_callback_event": ["ringing", "completed"]},
        {"instruction": "call", "call_to": PHONE, "call_from": PHONE, "call_url": "http://a/b",
         "call_accept": True},
        {"instruction": "redirect", "redirect_call_sid": CALL_ATTRIBUTES["call_sid"],
         "redirect_url": "http://a/b", "redirect_accept": True},
        {"instruction": "conference", "to": PHONE, "from_": PHONE, "end_conference_on_exit": True,
         "status_callback_event": ["ringing"],
         "conference_status_callback_event": ["start", "end"]},
        {"instruction": "accept"},
    ],
)  # fmt: skip
def test_instruction_over_rest_is_executed(reservation, parameters):
    assert reservation.update(**parameters).reservation_status == "accepted"


def test_reject_instruction_over_rest_changes_activity(taskrouter, reservation):
    offline = taskrouter.activities["Offline"]
    rejected = reservation.update(instruction="reject", worker_activity_sid=offline)
    assert rejected.reservation_status == "rejected"
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    assert workspace.workers(taskrouter.workers["Alice"]).fetch().activity_name == "Offline"


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"instruction": "dequeue", "dequeue_to": PHONE, "dequeue_timeout": 1000}, 40133),
        ({"instruction": "call", "call_to": PHONE}, 40111),
        ({"instruction": "reject", "worker_activity_sid": "WA" + "0" * 32}, 40100),
        ({"instruction": "conference", "to": PHONE, "worker_activity_sid": "WA0"}, 40139),
        ({"instruction": "conference", "to": PHONE, "status_callback_event": ["x"]}, 40145),
        ({"instruction": "dequeue", "dequeue_to": PHONE,
          "dequeue_status_callback_event": ["x"]}, 40134),
        ({"instruction": "dance"}, 55555),
        ({"instruction": "supervise", "supervisor": "client:sam"}, 40146),
        ({"reservation_status": "timeout"}, 20001),
    ],
)  # fmt: skip
def test_invalid_instruction_over_rest_returns_400_with_code(reservation, parameters, code):
    with pytest.raises(TwilioRestException) as error:
        reservation.update(**parameters)
    assert (error.value.status, error.value.code) == (400, code)
    assert reservation.fetch().reservation_status == "pending"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"instruction": "dequeue", "dequeue_to": "a b"}, "DequeueTo a b is invalid"),
        ({"instruction": "dequeue"}, "DequeueTo is missing"),
        ({"instruction": "dequeue", "dequeue_to": PHONE, "dequeue_from": "a b"}, "DequeueFrom a b"),
        ({"instruction": "dequeue", "dequeue_to": PHONE,
          "dequeue_status_callback_event": ["x"]}, "DequeueStatusCallbackEvent x is invalid"),
        ({"instruction": "dequeue", "dequeue_post_work_activity_sid": "WA0"},
         "DequeuePostWorkActivitySid WA0"),
        ({"instruction": "call", "call_to": PHONE}, "CallFrom is missing from the instruction"),
        ({"instruction": "call", "call_to": PHONE, "call_from": PHONE}, "CallUrl is missing"),
        ({"instruction": "redirect", "redirect_url": "http://a/b"}, "RedirectCallSid is missing"),
        ({"instruction": "redirect"}, "RedirectUrl is missing"),
        ({"instruction": "conference"}, "To is missing from the instruction"),
        ({"instruction": "conference", "to": PHONE, "region": "moon"}, "Region moon is invalid"),
        ({"instruction": "conference", "to": PHONE, "conference_status_callback": "x"},
         "ConferenceStatusCallback x is invalid"),
        ({"instruction": "conference", "worker_activity_sid": "WA0"}, "WorkerActivitySid WA0"),
        ({"instruction": "reject", "worker_activity_sid": "WA0"}, "WorkerActivitySid WA0"),
    ],
)  # fmt: skip
def test_error_over_rest_contains_the_name_of_the_rest_parameter(reservation, parameters, message):
    with pytest.raises(TwilioRestException) as error:
        reservation.update(**parameters)
    assert error.value.msg.startswith(f"Unable to update record: {message}")


def test_supervise_instruction_over_rest_is_available_only_under_the_path_of_a_task(
    taskrouter, reservation
):
    parameters = {"instruction": "supervise", "supervisor": "client:sam"}
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    task = workspace.tasks(reservation.task_sid)
    reservation.update(instruction="accept")
    conference = {"sid": "CF" + "0" * 32}
    task.update(attributes=json.dumps({**CALL_ATTRIBUTES, "from": PHONE, "conference": conference}))
    assert reservation.update(**parameters).reservation_status == "accepted"
    with pytest.raises(TwilioRestException, match="SupervisorMode shout is invalid"):
        reservation.update(**parameters, supervisor_mode="shout")
    with pytest.raises(TwilioRestException, match="Supervisor is missing"):
        reservation.update(instruction="supervise")
    by_worker = workspace.workers(reservation.worker_sid).reservations(reservation.sid)
    with pytest.raises(TwilioRestException, match="only under the path of a Task"):
        by_worker.update(instruction="supervise")
