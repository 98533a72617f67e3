"""Snapshots taken and restored over HTTP, with callbacks in progress."""

import json
import threading
import urllib.error

import pytest

from taskrouter_simulator.testing import TaskRouter, running
from tests.simulator.conftest import SPANISH


@pytest.fixture
def simulators(app):
    """Two simulators that send callbacks to the same app."""
    settings = {"callback_base_url": app.url, "event_path": "/events", "seed": "7"}
    with running(**settings) as first, running(**settings) as second:
        yield first, second


def workspace(taskrouter):
    return taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)


def offer_task(taskrouter):
    """Create a Task and reserve Alice, without waiting for callbacks; return the Task."""
    idle = taskrouter.activities["Idle"]
    workspace(taskrouter).workers(taskrouter.workers["Alice"]).update(activity_sid=idle)
    return workspace(taskrouter).tasks.create(attributes=SPANISH)


def status(taskrouter, task):
    return workspace(taskrouter).tasks(task.sid).fetch().assignment_status


def copy(first, second):
    """Restore a snapshot of the first simulator in the second simulator."""
    second.restore(json.loads(json.dumps(first.snapshot())))


def test_reservation_times_out_in_another_simulator(simulators):
    first, second = simulators
    task = offer_task(first)
    first.advance(1000)
    copy(first, second)
    second.advance(199)
    assert status(second, task) == "reserved"
    second.advance(1)
    assert status(second, task) == "pending"
    assert status(first, task) == "reserved"


def test_restore_updates_the_names_and_sids_in_the_client(simulators):
    first, second = simulators
    first.reset({"friendly_name": "Other", "activities": [{"friendly_name": "Away"}]})
    copy(first, second)
    assert list(second.activities) == ["Away"]
    assert second.workflow_sid == ""


def test_numbering_of_log_entries_continues_after_a_restore(simulators):
    first, second = simulators
    offer_task(first)
    first.advance()
    last = first.log()[-1]["id"]
    copy(first, second)
    assert second.log() == []
    workspace(second).fetch()
    assert [entry["id"] for entry in second.log()] == [last + 1]


def test_callback_delayed_by_a_fault_is_sent_after_a_restore(simulators, app):
    first, second = simulators
    app.set_response("/assignment_callback", {"instruction": "accept"})
    first.fault("assignment", "latency", seconds=30)
    task = offer_task(first)
    first.advance(10)
    copy(first, second)
    app.received.clear()
    second.advance(19)
    assert "/assignment_callback" not in [request["path"] for request in app.received]
    second.advance(1)
    assert "/assignment_callback" in [request["path"] for request in app.received]
    assert status(second, task) == "assigned"


@pytest.mark.parametrize("order", ["callback-first", "event-first"])
def test_callback_that_waits_for_another_callback_is_sent_after_a_restore(app, order):
    settings = {"callback_base_url": app.url, "event_path": "/events", "callback_order": order}
    kind = "assignment" if order == "callback-first" else "event"
    with running(**settings) as first, running(**settings) as second:
        idle = first.activities["Idle"]
        workspace(first).workers(first.workers["Alice"]).update(activity_sid=idle)
        first.advance()
        first.fault(kind, "latency", seconds=5, times=None)
        workspace(first).tasks.create(attributes=SPANISH)
        first.advance()
        first.clear_faults()
        copy(first, second)
        app.received.clear()
        second.advance(5)
        kinds = [
            request["parameters"].get("EventType", request["path"]) for request in app.received
        ]
    waiting = ["/assignment_callback", "reservation.created"]
    chosen = [kind for kind in kinds if kind in waiting]
    assert chosen == (waiting if order == "callback-first" else waiting[::-1])


def test_callback_in_progress_is_sent_again_with_the_same_token(simulators, app):
    first, second = simulators
    app.set_response("/assignment_callback", {"instruction": "accept"})
    app.hold = threading.Event()
    task = offer_task(first)
    snapshot = first.snapshot()
    app.hold.set()
    first.advance()
    assert status(first, task) == "assigned"
    sent = tokens(app)
    app.received.clear()
    second.restore(snapshot)
    second.advance()
    assert status(second, task) == "assigned"
    assert sent == tokens(app)


def tokens(app):
    header = "I-Twilio-Idempotency-Token"
    return [
        request["headers"][header]
        for request in app.received
        if request["path"] == "/assignment_callback"
    ]


def test_restore_in_the_same_simulator_drops_its_pending_callbacks(simulators, app):
    first, _ = simulators
    empty = first.snapshot()
    first.fault("assignment", "latency", seconds=30)
    offer_task(first)
    first.advance()
    app.received.clear()
    first.restore(empty)
    first.advance(60)
    assert app.received == []
    assert workspace(first).tasks.list() == []


def test_next_page_of_a_list_can_be_fetched_from_another_simulator(simulators):
    first, second = simulators
    for _ in range(3):
        workspace(first).tasks.create(attributes=SPANISH)
    page = workspace(first).tasks.page(page_size=2)
    copy(first, second)
    url = page.next_page_url.replace(first.url, second.url)
    assert len(list(workspace(second).tasks.get_page(url))) == 1


@pytest.mark.parametrize("change", [{"checksum": "x"}, {"version": 2}, {"objects": {}}])
def test_modified_snapshot_is_rejected_with_status_400_and_changes_nothing(simulators, change):
    first, second = simulators
    offer_task(first)
    offer_task(second)
    second.advance()
    before = second.snapshot()
    with pytest.raises(urllib.error.HTTPError) as error:
        second.restore({**first.snapshot(), **change})
    assert error.value.code == 400
    assert error.value.__notes__ == ["the body is not a valid snapshot; its checksum is wrong"]
    assert second.snapshot() == before


def test_snapshot_of_a_simulator_without_a_seed_is_restored(app):
    with running(callback_base_url=app.url) as first, running() as second:
        task = offer_task(first)
        first.advance()
        copy(first, second)
        assert status(second, task) == "reserved"
        other = workspace(second).tasks.create(attributes=SPANISH)
        assert other.sid != task.sid
        assert TaskRouter(second.url).workflow_sid == first.workflow_sid
