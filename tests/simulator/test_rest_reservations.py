"""Reservation updates, combined list filters, and duplicate friendly names, over REST."""

import json

import pytest

from tests.simulator.conftest import SPANISH, send_request


@pytest.fixture
def reservation(taskrouter, workspace):
    """Alice's pending Reservation, fetched with Twilio's SDK."""
    workspace.workers(taskrouter.workers["Alice"]).update(
        activity_sid=taskrouter.activities["Idle"]
    )
    task = workspace.tasks.create(attributes=SPANISH)
    taskrouter.advance()
    (reservation,) = task.reservations.list()
    return reservation


def update(taskrouter, reservation, **parameters):
    path = f"/Tasks/{reservation.task_sid}/Reservations/{reservation.sid}"
    status, body = send_request(taskrouter, "POST", path, **parameters)
    return status, body.get("message"), reservation.fetch().reservation_status


@pytest.mark.parametrize("status", ["pending", "timeout", "canceled", "rescinded"])
def test_status_that_only_taskrouter_sets_is_rejected(taskrouter, reservation, status):
    message = f"ReservationStatus cannot be set to {status}"
    expected = (400, message, "pending")
    assert update(taskrouter, reservation, ReservationStatus=status) == expected


@pytest.mark.parametrize("status", ["wrapping", "completed"])
def test_pending_reservation_cannot_be_wrapped_or_completed(taskrouter, reservation, status):
    message = (
        f"Unable to set Reservation status to {status}. Reservation {reservation.sid} is currently"
        " pending."
    )
    expected = (400, message, "pending")
    assert update(taskrouter, reservation, ReservationStatus=status) == expected


@pytest.mark.parametrize("by_worker", [False, True])
def test_reservation_is_rejected_over_rest(taskrouter, workspace, reservation, by_worker):
    parent = workspace.tasks(reservation.task_sid)
    if by_worker:
        parent = workspace.workers(reservation.worker_sid)
    offline = taskrouter.activities["Offline"]
    rejected = parent.reservations(reservation.sid).update(
        reservation_status="rejected", worker_activity_sid=offline
    )
    assert rejected.reservation_status == "rejected"
    assert workspace.workers(reservation.worker_sid).fetch().activity_sid == offline
    assert workspace.tasks(reservation.task_sid).fetch().assignment_status == "pending"


def test_reservation_status_is_case_insensitive(taskrouter, reservation):
    assert update(taskrouter, reservation, ReservationStatus="ACCEPTED") == (200, None, "accepted")
    assert update(taskrouter, reservation, ReservationStatus="Wrapping") == (200, None, "wrapping")
    again = update(taskrouter, reservation, ReservationStatus="accepted")
    message = (
        f"Unable to set Reservation status to accepted. Reservation {reservation.sid} is not"
        " currently in a Pending state."
    )
    assert again == (400, message, "wrapping")
    assert update(taskrouter, reservation, Instruction="Accept")[0] == 400


def test_instruction_is_case_insensitive(taskrouter, reservation):
    assert update(taskrouter, reservation, Instruction="ACCEPT") == (200, None, "accepted")


@pytest.mark.parametrize("status", ["accepted", "rejected", None])
def test_unknown_worker_activity_is_rejected_with_or_without_a_status(
    taskrouter, reservation, status
):
    sid = "WA" + "0" * 32
    parameters = {"ReservationStatus": status} if status else {}
    code, message, current = update(taskrouter, reservation, **parameters, WorkerActivitySid=sid)
    workspace_sid = taskrouter.workspace_sid
    reason = f"Activity {sid} does not exist in workspace {workspace_sid}"
    assert (code, message, current) == (400, f"WorkerActivitySid: {reason}", "pending")


def test_reservations_are_filtered_by_status_and_worker(taskrouter, workspace, reservation):
    alice, bob = (taskrouter.workers[name] for name in ("Alice", "Bob"))
    task = f"/Tasks/{reservation.task_sid}/Reservations"
    other = workspace.tasks.create(attributes='{"selected_language": "en"}')
    workspace.workers(bob).update(activity_sid=taskrouter.activities["Idle"])
    taskrouter.advance()
    (other_reservation,) = other.reservations.list()
    for path, filters, expected in (
        (task, {}, [reservation]),
        (task, {"WorkerSid": alice}, [reservation]),
        (task, {"WorkerSid": bob}, []),
        (task, {"ReservationStatus": "pending"}, [reservation]),
        (task, {"ReservationStatus": "accepted"}, []),
        (f"/Workers/{alice}/Reservations", {}, [reservation]),
        (f"/Workers/{bob}/Reservations", {"ReservationStatus": "pending"}, [other_reservation]),
        (f"/Workers/{bob}/Reservations", {"ReservationStatus": "timeout"}, []),
        (f"/Workers/{alice}/Reservations", {"WorkerSid": bob}, [reservation]),
    ):
        _, body = send_request(taskrouter, "GET", path, **filters)
        assert [item["sid"] for item in body["reservations"]] == [item.sid for item in expected]


@pytest.mark.parametrize("path", ["/Tasks/WT0/Reservations", "/Workers/WK0/Reservations"])
def test_reservations_of_unknown_resource_return_404(taskrouter, path):
    assert send_request(taskrouter, "GET", path)[0] == 404


def test_filters_are_combined_except_that_queue_sid_overrides_queue_name(taskrouter, workspace):
    sids = taskrouter.workers
    spanish = taskrouter.task_queues["Customer Care Requests - Spanish"]
    for resource, filters, expected in (
        ("workers", {"friendly_name": "Alice", "activity_name": "Idle"}, []),
        ("workers", {"task_queue_sid": spanish, "friendly_name": "Bob"}, []),
        ("workers", {"task_queue_name": "x"}, []),
        ("workers", {"task_queue_name": "x", "task_queue_sid": spanish}, ["Alice"]),
        ("workers", {"available": "false"}, ["Alice", "Bob"]),
        ("task_queues", {"friendly_name": "x", "worker_sid": sids["Alice"]}, []),
        ("task_queues", {"worker_sid": "WK" + "0" * 32}, []),
        ("task_queues", {"worker_sid": sids["Bob"]}, ["Customer Care Requests - English"]),
        (
            "task_queues",
            {"worker_sid": sids["Bob"], "evaluate_worker_attributes": 'languages HAS "es"'},
            [],
        ),
        ("activities", {"friendly_name": "Idle", "available": "false"}, []),
        ("activities", {"available": "false"}, ["Offline", "Busy", "Reserved"]),
        ("workflows", {"friendly_name": "x"}, []),
    ):
        listed = getattr(workspace, resource).list(**filters)
        assert [item.friendly_name for item in listed] == expected, filters


def test_friendly_name_in_use_is_rejected(taskrouter, workspace):
    english = taskrouter.task_queues["Customer Care Requests - English"]
    routing = json.dumps({"task_routing": {"default_filter": {"queue": english}}})
    workspace.workflows.create(friendly_name="Main", configuration=routing)
    busy = taskrouter.activities["Busy"]
    bob = taskrouter.workers["Bob"]
    spanish = "Customer Care Requests - Spanish"
    for path, name, message in (
        (f"/Activities/{busy}", "Idle", "Activity Idle already exists in this workspace"),
        (f"/Workers/{bob}", "ALICE", "Worker friendly name ALICE already exists in this workspace"),
        (
            f"/TaskQueues/{english}",
            spanish,
            f"TaskQueue {spanish} already exists in this workspace",
        ),
        (
            f"/Workflows/{taskrouter.workflow_sid}",
            "Main",
            "Workflow Main already exists in this workspace",
        ),
    ):
        _, before = send_request(taskrouter, "GET", path)
        status, body = send_request(taskrouter, "POST", path, FriendlyName=name)
        assert (status, body["message"]) == (400, message)
        assert send_request(taskrouter, "GET", path)[1] == before
        status, body = send_request(taskrouter, "POST", path.rpartition("/")[0], FriendlyName=name,
                                    Configuration=routing)  # fmt: skip
        assert (status, body["message"]) == (400, message)
