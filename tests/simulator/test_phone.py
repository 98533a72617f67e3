"""Actions of people on the phone, sent to the control routes with the `TaskRouter` class."""

import json
import urllib.error

import pytest

from taskrouter_simulator.testing import running
from tests.simulator.call_simulation import CALLER, DEQUEUE, NUMBER, WORKER_NUMBER, enqueue_verb

CONFERENCE = {"instruction": "conference", "to": WORKER_NUMBER, "from": NUMBER}


@pytest.fixture
def center(app):
    """An app that enqueues callers, and a simulator in which Alice is idle."""
    document = f"<Response>{enqueue_verb(action='')}</Response>".encode()
    app.set_response("/incoming_call", document, content_type="text/xml")
    app.set_response("/assignment_callback", CONFERENCE)
    with running(callback_base_url=app.url) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        alice = workspace.workers(taskrouter.workers["Alice"])
        alice.update(activity_sid=taskrouter.activities["Idle"])
        yield app, taskrouter, workspace


def error_for(operation, *arguments, **fields):
    """Send an invalid control request; return the error message."""
    with pytest.raises(urllib.error.HTTPError) as error:
        operation(*arguments, **fields)
    assert error.value.code == 400
    (note,) = error.value.__notes__
    return note


def leg_of(taskrouter, call):
    """Return the SID of the call to the Worker."""
    (step,) = [
        step for step in taskrouter.call(call["sid"])["steps"]
        if step["step"] == "ringing the Worker"
    ]  # fmt: skip
    return step["with_call"]


def test_ringing_phone_is_answered(center):
    app, taskrouter, workspace = center
    app.set_response("/assignment_callback", DEQUEUE)
    call = taskrouter.place_call(CALLER, NUMBER, worker_answers=False)
    leg = leg_of(taskrouter, call)
    assert taskrouter.call(leg)["status"] == "ringing"
    answered = taskrouter.answer(leg)
    assert (answered["status"], answered["connected_with"]) == ("in-progress", call["sid"])
    assert workspace.tasks(call["task_sid"]).fetch().assignment_status == "assigned"
    assert error_for(taskrouter.answer, leg) == f"No phone is ringing for call {leg}"


def test_call_in_conference_is_described(center):
    _, taskrouter, workspace = center
    call = taskrouter.call(taskrouter.place_call(CALLER, NUMBER)["sid"])
    leg = leg_of(taskrouter, call)
    attributes = json.loads(workspace.tasks(call["task_sid"]).fetch().attributes)
    assert call["connected_with"] == leg
    assert taskrouter.call(leg)["connected_with"] == call["sid"]
    assert call["conference"] == {
        "sid": attributes["conference"]["sid"], "participants": [leg, call["sid"]],
        "role": "customer", "muted": False, "hold": False, "coaching": False,
        "start_conference_on_enter": True, "end_conference_on_exit": False,
    }  # fmt: skip
    taskrouter.hang_up(call["sid"])
    ended = taskrouter.call(call["sid"])
    assert (ended["conference"], ended["connected_with"]) == (None, None)
    assert taskrouter.call(leg)["connected_with"] is None


@pytest.mark.parametrize("name", ["muted", "hold", "end_conference_on_exit"])
def test_participant_is_updated(center, name):
    _, taskrouter, _ = center
    call = taskrouter.place_call(CALLER, NUMBER)
    for flag in (True, False):
        assert taskrouter.update_call(call["sid"], **{name: flag})["conference"][name] is flag


def test_app_receives_speech_and_end_events_and_task_is_completed_when_conference_ends(center):
    app, taskrouter, workspace = center
    url = f"{app.url}/conference"
    events = "speaker,end"
    app.set_response(
        "/assignment_callback",
        {**CONFERENCE, "conference_status_callback": url, "end_conference_on_exit": True,
         "conference_status_callback_event": events},
    )  # fmt: skip
    call = taskrouter.place_call(CALLER, NUMBER)
    leg = leg_of(taskrouter, call)
    taskrouter.update_call(leg, speaking=True)
    taskrouter.hang_up(leg)
    speech, end = [item["parameters"] for item in app.received if item["path"] == "/conference"]
    assert (speech["StatusCallbackEvent"], speech["CallSid"]) == ("participant-speech-start", leg)
    assert end["StatusCallbackEvent"] == "conference-end"
    task = workspace.tasks(end["FriendlyName"])
    assert task.fetch().assignment_status == "completed"  # the quickstart is single-tasking


def test_updates_can_be_combined_with_a_hangup(center):
    _, taskrouter, _ = center
    call = taskrouter.place_call(CALLER, NUMBER)
    fields = {"end_conference_on_exit": True, "status": "completed"}
    assert taskrouter.update_call(call["sid"], **fields)["status"] == "completed"
    assert taskrouter.call(leg_of(taskrouter, call))["status"] == "completed"


@pytest.mark.parametrize("name", ["muted", "hold", "speaking", "end_conference_on_exit"])
def test_flag_must_be_a_boolean(center, name):
    _, taskrouter, _ = center
    call = taskrouter.place_call(CALLER, NUMBER)
    before = taskrouter.call(call["sid"])
    for value in ("true", 1, []):
        message = error_for(taskrouter.update_call, call["sid"], **{name: value})
        assert message == f"{name} must be true or false"
    assert taskrouter.call(call["sid"]) == before


def test_flag_cannot_be_set_if_the_call_is_not_in_a_conference(center):
    app, taskrouter, _ = center
    app.set_response("/assignment_callback", DEQUEUE)
    call = taskrouter.place_call(CALLER, NUMBER)
    message = error_for(taskrouter.update_call, call["sid"], hold=True)
    assert message == f"Call {call['sid']} is not in a conference"
