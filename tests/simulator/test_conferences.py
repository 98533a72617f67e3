"""Conferences: participants, start and end, status callbacks, supervisors and wrap-up."""

import json

import pytest

from taskrouter_simulator.engine import assignments
from taskrouter_simulator.engine.call_model import StatusSubscription
from taskrouter_simulator.engine.calls import call_control, conferences
from taskrouter_simulator.engine.core import StatusCallback
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.instructions import execute
from tests.simulator.call_simulation import CALLER, NUMBER, WORKER_NUMBER, CallSimulation

URL = "http://status.example/conference"
ALL_EVENTS = ["start", "end", "join", "leave", "mute", "hold", "speaker"]
CONFERENCE = {
    "instruction": "conference", "to": WORKER_NUMBER, "from": NUMBER,
    "conference_status_callback": URL, "conference_status_callback_event": ALL_EVENTS,
}  # fmt: skip


class ConferenceSimulation(CallSimulation):
    """A caller in a conference with Alice; the Workspace is multitasking by default."""

    def __init__(self, *, multi=True, settings=None, **parameters):
        super().__init__({**CONFERENCE, **parameters}, **(settings or {}))
        self.workspace.multi_task_enabled = multi
        self.call = self.place_call("1")
        self.make_alice_idle()
        self.leg = self.worker_leg()
        (self.conference,) = self.engine.conferences.values()

    @property
    def callbacks(self):
        return [effect for effect in self.effects if isinstance(effect, StatusCallback)]

    @property
    def events(self):
        """The event of each status callback, and the role of the affected participant."""
        roles = {self.call.sid: "customer", self.leg.sid: "worker", None: None}
        return [
            (item.parameters["StatusCallbackEvent"],
             roles.get(item.parameters.get("CallSid"), "other"))
            for item in self.callbacks
        ]  # fmt: skip

    @property
    def statuses(self):
        """The statuses of the Task and of Alice's Reservation."""
        return self.task_of(self.call).status, self.reservation_of(self.call).status

    def update(self, call, **changes):
        conferences.update(self.engine, self.conference, call.sid, **changes)


STARTED = [
    ("participant-join", "worker"), ("participant-join", "customer"), ("conference-start", None)
]  # fmt: skip


def test_conference_starts_when_caller_joins_after_worker():
    simulation = ConferenceSimulation()
    assert simulation.events == STARTED
    assert simulation.statuses == ("assigned", "accepted")
    assert simulation.conference.has_started
    assert list(simulation.conference.participants) == [simulation.leg.sid, simulation.call.sid]
    roles = [member.role for member in simulation.conference.participants.values()]
    assert roles == ["worker", "customer"]
    assert (simulation.call.status, simulation.leg.status) == ("in-progress", "in-progress")


def test_callback_has_documented_parameters():
    simulation = ConferenceSimulation()
    join, _, start = simulation.callbacks
    common = {
        "ConferenceSid": simulation.conference.sid,
        "FriendlyName": simulation.call.task_sid,
        "AccountSid": simulation.engine.account_sid,
        "Timestamp": "Tue, 14 Nov 2023 22:13:20 +0000",
    }
    assert (join.method, join.url) == ("POST", URL)
    assert join.parameters == {
        **common, "StatusCallbackEvent": "participant-join", "SequenceNumber": "1",
        "CallSid": simulation.leg.sid, "Muted": "false", "Hold": "false", "Coaching": "false",
        "EndConferenceOnExit": "false", "StartConferenceOnEnter": "true",
    }  # fmt: skip
    assert start.parameters == {
        **common, "StatusCallbackEvent": "conference-start", "SequenceNumber": "3"
    }  # fmt: skip
    conference = simulation.attributes_of(simulation.call)["conference"]
    assert conference["sid"] == simulation.conference.sid


@pytest.mark.parametrize(
    ("parameter", "name", "value"),
    [("muted", "Muted", "true"), ("end_conference_on_exit", "EndConferenceOnExit", "true"),
     ("start_conference_on_enter", "StartConferenceOnEnter", "true")],
)  # fmt: skip
@pytest.mark.parametrize("flag", [True, "true", False, None])
def test_flags_of_instruction_apply_to_worker_only(parameter, name, value, flag):
    simulation = ConferenceSimulation(**{parameter: flag})
    worker, customer = simulation.callbacks[:2]
    default = "true" if name == "StartConferenceOnEnter" else "false"
    expected = default if flag is None else value if flag else "false"
    assert (worker.parameters[name], customer.parameters[name]) == (expected, default)


@pytest.mark.parametrize("flag", [True, False, None])
def test_instruction_determines_whether_conference_ends_when_customer_leaves(flag):
    simulation = ConferenceSimulation(end_conference_on_customer_exit=flag)
    worker, customer = simulation.callbacks[:2]
    assert worker.parameters["EndConferenceOnExit"] == "false"
    assert customer.parameters["EndConferenceOnExit"] == str(bool(flag)).lower()


def test_conference_starts_even_if_only_the_customer_can_start_it():
    simulation = ConferenceSimulation(start_conference_on_enter=False)
    assert simulation.events == STARTED


def test_conference_waits_for_a_participant_who_can_start_it():
    simulation = ConferenceSimulation()
    conference = conferences.create(simulation.engine, "WT1", None)
    for sid in ("CA1", "CA2"):
        member = conferences.Participant(
            call_sid=sid, role="worker", start_conference_on_enter=False
        )
        conferences.join(simulation.engine, conference, member)
    assert not conference.has_started
    starter = conferences.Participant(call_sid="CA3", role="worker")
    conferences.join(simulation.engine, conference, starter)
    assert conference.has_started


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (None, ["conference-start", "conference-end"]),
        ("end", ["conference-end"]),
        (["join"], ["participant-join", "participant-join"]),
        ("leave", ["participant-leave", "participant-leave"]),
    ],
)
def test_only_requested_events_are_reported_and_counted(events, expected):
    simulation = ConferenceSimulation(
        conference_status_callback_event=events, end_conference_on_exit=True
    )
    simulation.hang_up(simulation.leg)
    found = [item.parameters["StatusCallbackEvent"] for item in simulation.callbacks]
    assert found == expected
    numbers = [item.parameters["SequenceNumber"] for item in simulation.callbacks]
    assert numbers == [str(number) for number in range(1, len(expected) + 1)]


@pytest.mark.parametrize("method", ["GET", "POST", None])
def test_conference_status_callbacks_use_the_requested_http_method(method):
    simulation = ConferenceSimulation(conference_status_callback_method=method)
    assert {item.method for item in simulation.callbacks} == {method or "POST"}


def test_conference_without_callback_url_is_not_reported():
    simulation = ConferenceSimulation(conference_status_callback=None)
    simulation.hang_up(simulation.leg)
    assert simulation.callbacks == []


@pytest.mark.parametrize(
    ("changes", "events", "parameters"),
    [
        ({"muted": True}, ["participant-mute"], {"Muted": "true"}),
        ({"hold": True}, ["participant-hold"], {"Hold": "true"}),
        ({"muted": False, "hold": False}, [], {}),
        ({"speaking": True}, ["participant-speech-start"], {}),
        ({"speaking": False}, ["participant-speech-stop"], {}),
        ({"end_conference_on_exit": True}, [], {}),
        ({"hold": True, "muted": True}, ["participant-mute", "participant-hold"], {}),
    ],
)
def test_update_of_participant_sends_only_the_matching_events(changes, events, parameters):
    simulation = ConferenceSimulation()
    simulation.update(simulation.call, **changes)
    assert simulation.events[3:] == [(event, "customer") for event in events]
    assert all(
        callback.parameters.items() >= parameters.items() for callback in simulation.callbacks[3:]
    )


def test_hold_and_mute_can_be_undone():
    simulation = ConferenceSimulation(muted=True)
    simulation.update(simulation.leg, muted=True)
    simulation.update(simulation.leg, muted=False)
    simulation.update(simulation.call, hold=True)
    simulation.update(simulation.call, hold=True)
    simulation.update(simulation.call, hold=False)
    assert simulation.events[3:] == [
        ("participant-unmute", "worker"), ("participant-hold", "customer"),
        ("participant-unhold", "customer"),
    ]  # fmt: skip
    last = simulation.callbacks[-1].parameters
    assert (last["Hold"], last["Muted"]) == ("false", "false")


def test_conference_continues_when_customer_leaves():
    simulation = ConferenceSimulation()
    simulation.hang_up(simulation.call)
    assert simulation.events[3:] == [("participant-leave", "customer")]
    left = simulation.callbacks[-1].parameters
    assert left["ReasonParticipantLeft"] == "participant_hung_up"
    assert left["ParticipantCallStatus"] == "completed"
    assert simulation.statuses == ("assigned", "accepted")
    assert (simulation.leg.status, simulation.call.status) == ("in-progress", "completed")
    assert simulation.call.conference_sid == ""


def test_conference_ends_when_last_participant_leaves():
    simulation = ConferenceSimulation()
    simulation.hang_up(simulation.call)
    simulation.hang_up(simulation.leg)
    assert simulation.events[4:] == [("participant-leave", "worker"), ("conference-end", None)]
    end = simulation.callbacks[-1].parameters
    assert end["CallSidEndingConference"] == simulation.leg.sid
    assert end["ReasonConferenceEnded"] == "last-participant-left"
    assert end["Reason"] == f"Participant {simulation.leg.sid} left: last-participant-left"
    assert simulation.conference.has_ended
    assert simulation.statuses == ("wrapping", "wrapping")


def test_task_wraps_up_when_worker_leaves_while_customer_stays():
    simulation = ConferenceSimulation()
    simulation.hang_up(simulation.leg)
    assert simulation.events[3:] == [("participant-leave", "worker")]
    assert simulation.statuses == ("wrapping", "wrapping")
    assert simulation.call.status == "in-progress"
    simulation.hang_up(simulation.call)
    assert simulation.events[4:] == [("participant-leave", "customer"), ("conference-end", None)]
    assert simulation.statuses == ("wrapping", "wrapping")


@pytest.mark.parametrize("worker_hangs_up", [True, False])
def test_participant_ends_conference_for_everybody(worker_hangs_up):
    simulation = ConferenceSimulation(
        end_conference_on_exit=worker_hangs_up, end_conference_on_customer_exit=not worker_hangs_up
    )
    leaver, other = simulation.leg, simulation.call
    roles = ["worker", "customer"]
    if not worker_hangs_up:
        leaver, other = other, leaver
        roles.reverse()
    simulation.hang_up(leaver)
    assert simulation.events[3:] == [
        ("participant-leave", roles[0]), ("participant-leave", roles[1]), ("conference-end", None)
    ]  # fmt: skip
    _, forced, end = (item.parameters for item in simulation.callbacks[3:])
    assert forced["ReasonParticipantLeft"] == "moderator_ended_conference"
    assert forced["ParticipantCallStatus"] == "in-progress"
    assert end["CallSidEndingConference"] == leaver.sid
    assert end["ReasonConferenceEnded"] == "participant-with-end-conference-on-exit-left"
    assert (leaver.status, other.status) == ("completed", "completed")
    assert simulation.statuses == ("wrapping", "wrapping")
    assert simulation.conference.has_ended
    assert simulation.conference.participants == {}


def test_conference_continues_if_end_conference_on_exit_is_cleared_before_worker_leaves():
    simulation = ConferenceSimulation(end_conference_on_exit=True)
    simulation.update(simulation.leg, end_conference_on_exit=False)
    simulation.hang_up(simulation.leg)
    assert not simulation.conference.has_ended


def test_customer_continues_at_the_action_url_after_conference():
    simulation = ConferenceSimulation(end_conference_on_exit=True)
    simulation.clock.advance(40)
    simulation.documents["left_queue"] = "<Pause length='3'/>"
    simulation.hang_up(simulation.leg)
    path, parameters = simulation.requests()[-1]
    assert (path, parameters["QueueResult"], parameters["QueueTime"]) == (
        "left_queue", "bridged", "40"
    )  # fmt: skip
    assert simulation.call.status == "in-progress"


@pytest.mark.parametrize("setting", ["completed", "wrapping", "assigned"])
def test_setting_for_ended_calls_applies_to_conferences_in_single_tasking_workspace(setting):
    simulation = ConferenceSimulation(
        multi=False, settings={"ended_call": setting, "ended_conference": "wrapping"}
    )
    simulation.hang_up(simulation.leg)
    expected = "accepted" if setting == "assigned" else setting
    assert simulation.statuses == (setting, expected)


def test_customer_who_leaves_last_does_not_complete_unfinished_task():
    simulation = ConferenceSimulation(settings={"ended_conference": "assigned"})
    simulation.hang_up(simulation.leg)
    simulation.hang_up(simulation.call)
    assert simulation.statuses == ("assigned", "accepted")


def test_second_task_of_the_same_caller_has_its_own_conference():
    simulation = ConferenceSimulation(end_conference_on_exit=True)
    simulation.hang_up(simulation.leg)
    task = simulation.task_of(simulation.call)
    assignments.complete(simulation.engine, simulation.workspace, task)
    simulation.set_activity(simulation.alice, "Idle")
    simulation.place_call("1")
    first, second = simulation.engine.conferences.values()
    assert (first.task_sid, first.has_ended) == (task.sid, True)
    assert (second.task_sid != task.sid, second.has_ended) == (True, False)
    assert conferences.find(simulation.engine, task.sid) is None
    assert conferences.find(simulation.engine, second.task_sid) is second


def test_worker_and_unknown_caller_leave_when_task_is_completed():
    simulation = CallSimulation(CONFERENCE)
    unknown = "CA" + "5" * 32
    attributes = {"selected_language": "es", "call_sid": unknown}
    task = simulation.create_task(json.dumps(attributes))
    simulation.make_alice_idle()
    (conference,) = simulation.engine.conferences.values()
    assert list(conference.participants) == [simulation.worker_leg().sid, unknown]
    assignments.complete(simulation.engine, simulation.workspace, task)
    callbacks = [effect for effect in simulation.effects if isinstance(effect, StatusCallback)]
    events = [callback.parameters["StatusCallbackEvent"] for callback in callbacks]
    assert events[3:] == ["participant-leave", "participant-leave", "conference-end"]
    assert callbacks[-1].parameters["ReasonConferenceEnded"] == "last-participant-left"
    assert conference.has_ended


def supervise(simulation, **parameters):
    """Supervise Alice's Reservation; return the supervisor's participant and call."""
    instruction = {"instruction": "supervise", "supervisor": "client:sam", **parameters}
    reservation = simulation.reservation_of(simulation.call)
    execute(simulation.engine, simulation.workspace, reservation, instruction)
    *_, call = simulation.engine.calls.values()
    return simulation.conference.participants[call.sid], call


@pytest.mark.parametrize(
    ("mode", "muted", "coaching"),
    [("monitor", True, False), ("whisper", False, True), ("barge", False, False),
     (None, True, False)],
)  # fmt: skip
def test_supervisor_joins_conference(mode, muted, coaching):
    simulation = ConferenceSimulation()
    supervisor, call = supervise(simulation, supervisor_mode=mode)
    assert (supervisor.role, supervisor.muted, supervisor.coaching) == (
        "supervisor", muted, coaching
    )  # fmt: skip
    assert simulation.events[3:] == [("participant-join", "other")]
    joined = simulation.callbacks[-1].parameters
    assert (joined["Muted"], joined["Coaching"]) == (str(muted).lower(), str(coaching).lower())
    assert (call.caller, call.called, call.direction) == (CALLER, "client:sam", "outbound-api")
    assert (call.status, call.steps[-1]["how"]) == ("in-progress", mode or "monitor")


def test_supervisor_can_leave_without_affecting_the_task():
    simulation = ConferenceSimulation()
    _, call = supervise(simulation)
    simulation.hang_up(call)
    assert simulation.events[4:] == [("participant-leave", "other")]
    assert simulation.statuses == ("assigned", "accepted")
    assert not simulation.conference.has_ended


def test_supervisor_leaves_when_conference_ends():
    simulation = ConferenceSimulation(end_conference_on_exit=True)
    _, call = supervise(simulation)
    simulation.hang_up(simulation.leg)
    assert (call.status, call.steps[-1]["status"]) == ("completed", "completed")
    assert [event for event, _ in simulation.events[4:]] == [
        "participant-leave", "participant-leave", "participant-leave", "conference-end"
    ]  # fmt: skip


def test_supervisor_can_be_a_worker():
    simulation = ConferenceSimulation()
    simulation.bob.attributes = json.dumps({"contact_uri": "client:bob"})
    _, call = supervise(simulation, supervisor=simulation.bob.sid)
    assert call.called == "client:bob"


def test_request_about_a_call_outside_a_conference_is_rejected():
    simulation = ConferenceSimulation()
    simulation.hang_up(simulation.call)
    assert conferences.require(
        simulation.engine, simulation.leg.conference_sid, simulation.leg.sid
    ) is simulation.conference  # fmt: skip
    with pytest.raises(BadRequest) as error:
        conferences.require(simulation.engine, "", simulation.call.sid)
    assert error.value.message == f"Call {simulation.call.sid} is not in a conference"


def test_phone_that_is_not_ringing_cannot_be_answered():
    simulation = ConferenceSimulation()
    with pytest.raises(BadRequest) as error:
        call_control.answer(simulation.leg)
    assert error.value.message == f"No phone is ringing for call {simulation.leg.sid}"


def test_caller_in_conference_is_not_redirected():
    simulation = ConferenceSimulation()
    with pytest.raises(BadRequest, match="cannot be redirected"):
        call_control.redirect(simulation.engine, simulation.call.sid, "http://app.example/")


def test_oldest_ended_conference_is_dropped_if_the_limit_is_exceeded(monkeypatch):
    monkeypatch.setattr(conferences, "_MAX_CONFERENCES", 2)
    engine = CallSimulation().engine
    subscription = StatusSubscription(URL, "POST", frozenset({"end"}))
    first, second = (conferences.create(engine, f"WT{number}", subscription) for number in "12")
    second.has_ended = True
    third = conferences.create(engine, "WT3", None)
    assert list(engine.conferences) == [first.sid, third.sid]
    fourth = conferences.create(engine, "WT4", None)
    assert list(engine.conferences) == [first.sid, third.sid, fourth.sid]


def test_ended_conference_is_dropped_when_the_1001st_conference_is_created():
    engine = CallSimulation().engine
    created = [conferences.create(engine, "WT1", None) for _ in range(1000)]
    created[0].has_ended = True
    assert len(engine.conferences) == 1000
    conferences.create(engine, "WT1", None)
    assert len(engine.conferences) == 1000
    assert created[0].sid not in engine.conferences
