"""Settings for undocumented REST behavior, each tested with several values."""

import pytest
import requests
from twilio.base.exceptions import TwilioRestException

from taskrouter_simulator.testing import running


def create_reservation(taskrouter):
    """Create a Task and reserve Alice for the Task; return the Reservation."""
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    alice = workspace.workers(taskrouter.workers["Alice"])
    alice.update(activity_sid=taskrouter.activities["Idle"])
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.advance()
    return task.reservations.list()[0]


@pytest.mark.parametrize(("status", "code"), [(400, 20001), (409, 12345)])
def test_setting_controls_error_for_reservation_that_is_not_pending(status, code):
    with running(not_pending_status=status, not_pending_code=code) as taskrouter:
        reservation = create_reservation(taskrouter)
        taskrouter.advance(1200)
        with pytest.raises(TwilioRestException) as error:
            reservation.update(reservation_status="accepted")
    assert (error.value.status, error.value.code) == (status, code)


@pytest.mark.parametrize("setting", [False, True])
def test_setting_allows_second_accept(setting):
    with running(accept_twice=setting) as taskrouter:
        reservation = create_reservation(taskrouter)
        reservation.update(reservation_status="accepted")
        if setting:
            second = reservation.update(reservation_status="accepted")
            assert second.reservation_status == "accepted"
            return
        with pytest.raises(TwilioRestException) as error:
            reservation.update(reservation_status="accepted")
    assert error.value.status == 400


@pytest.mark.parametrize(("setting", "etag"), [(True, '"2"'), (False, "2")])
def test_setting_controls_etag_quotes(setting, etag):
    with running(etag_quoted=setting) as taskrouter:
        reservation = create_reservation(taskrouter)
        url = f"{taskrouter.url}/v1/Workspaces/{taskrouter.workspace_sid}/Tasks/"
        auth = (taskrouter.account_sid, taskrouter.auth_token)
        response = requests.get(url + reservation.task_sid, auth=auth, timeout=5)
    assert response.headers["ETag"] == etag


@pytest.mark.parametrize(("minimum", "is_accepted"), [(1, True), (5, False)])
def test_setting_controls_minimum_reservation_timeout(minimum, is_accepted):
    with running(least_reservation_timeout=minimum) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        workflow = workspace.workflows(taskrouter.workflow_sid)
        if is_accepted:
            assert workflow.update(task_reservation_timeout=1).task_reservation_timeout == 1
            return
        with pytest.raises(TwilioRestException) as error:
            workflow.update(task_reservation_timeout=1)
    assert error.value.status == 400


@pytest.mark.parametrize("newest_first", [False, True])
def test_setting_controls_event_list_order(newest_first):
    with running(events_newest_first=newest_first) as taskrouter:
        create_reservation(taskrouter)
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        types = [event.event_type for event in workspace.events.list()]
    created, reserved = types.index("task.created"), types.index("reservation.created")
    assert (reserved < created) is newest_first
