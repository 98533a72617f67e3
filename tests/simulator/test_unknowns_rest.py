"""What Twilio's documents leave open about REST: each setting, tried both ways."""

import pytest
import requests
from twilio.base.exceptions import TwilioRestException

from taskrouter_simulator.testing import running


def offered(taskrouter):
    """Alice is offered a Task: its only Reservation, by SDK."""
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    alice = workspace.workers(taskrouter.workers["Alice"])
    alice.update(activity_sid=taskrouter.activities["Idle"])
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.advance()
    return task.reservations.list()[0]


@pytest.mark.parametrize(("status", "code"), [(400, 20001), (409, 12345)])
def test_how_a_reservation_that_is_no_longer_pending_refuses_is_a_setting(status, code):
    with running(not_pending_status=status, not_pending_code=code) as taskrouter:
        reservation = offered(taskrouter)
        taskrouter.advance(1200)
        with pytest.raises(TwilioRestException) as refused:
            reservation.update(reservation_status="accepted")
    assert (refused.value.status, refused.value.code) == (status, code)


@pytest.mark.parametrize("setting", [False, True])
def test_whether_an_accepted_reservation_can_be_accepted_again_is_a_setting(setting):
    with running(accept_twice=setting) as taskrouter:
        reservation = offered(taskrouter)
        reservation.update(reservation_status="accepted")
        if setting:
            again = reservation.update(reservation_status="accepted")
            assert again.reservation_status == "accepted"
            return
        with pytest.raises(TwilioRestException) as refused:
            reservation.update(reservation_status="accepted")
    assert refused.value.status == 400


@pytest.mark.parametrize(("setting", "etag"), [(True, '"2"'), (False, "2")])
def test_whether_etags_are_quoted_is_a_setting(setting, etag):
    with running(etag_quoted=setting) as taskrouter:
        reservation = offered(taskrouter)
        url = f"{taskrouter.url}/v1/Workspaces/{taskrouter.workspace_sid}/Tasks/"
        auth = (taskrouter.account_sid, taskrouter.auth_token)
        answer = requests.get(url + reservation.task_sid, auth=auth, timeout=5)
    assert answer.headers["ETag"] == etag


@pytest.mark.parametrize(("least", "fits"), [(1, True), (5, False)])
def test_the_least_reservation_timeout_is_a_setting(least, fits):
    with running(least_reservation_timeout=least) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        workflow = workspace.workflows(taskrouter.workflow_sid)
        if fits:
            assert workflow.update(task_reservation_timeout=1).task_reservation_timeout == 1
            return
        with pytest.raises(TwilioRestException) as refused:
            workflow.update(task_reservation_timeout=1)
    assert refused.value.status == 400


@pytest.mark.parametrize("newest_first", [False, True])
def test_the_order_of_the_events_list_is_a_setting(newest_first):
    with running(events_newest_first=newest_first) as taskrouter:
        offered(taskrouter)
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        types = [one.event_type for one in workspace.events.list()]
    created, reserved = types.index("task.created"), types.index("reservation.created")
    assert (reserved < created) is newest_first
