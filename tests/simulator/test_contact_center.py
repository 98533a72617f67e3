"""A contact center, set up and operated through Twilio's unmodified SDK."""

import json
from collections import Counter

import pytest
from twilio.base.exceptions import TwilioRestException


def test_contact_center_works_from_setup_to_events(taskrouter, app):
    workspaces = taskrouter.client().taskrouter.v1.workspaces
    app.responses["/events"] = (204, "application/json", b"")
    workspace = workspaces.create(friendly_name="Office", event_callback_url=f"{app.url}/events")
    activities = {activity.friendly_name: activity.sid for activity in workspace.activities.list()}
    queues = {
        name: workspace.task_queues.create(
            friendly_name=name, target_workers=f"skills HAS '{name}'"
        ).sid
        for name in ("sales", "support")
    }
    workflow = workspace.workflows.create(
        friendly_name="Calls",
        assignment_callback_url=f"{app.url}/assignment",
        task_reservation_timeout=30,
        configuration=json.dumps(
            {
                "task_routing": {
                    "filters": [
                        {
                            "expression": "topic == 'bill'",
                            "targets": [
                                {"queue": queues["sales"], "timeout": 60, "priority": 5},
                                {"queue": queues["support"], "timeout": 60},
                            ],
                        }
                    ],
                    "default_filter": {"queue": queues["support"]},
                }
            }
        ),
    )
    ann, bea = (
        workspace.workers.create(
            friendly_name=name,
            attributes=json.dumps({"skills": skills}),
            activity_sid=activities["Available"],
        )
        for name, skills in (("Ann", ["sales"]), ("Bea", ["support"]))
    )

    # The Reservation for Ann times out. Ann becomes Offline, and Bea gets the next Reservation.
    bill = workspace.tasks.create(attributes='{"topic": "bill"}', workflow_sid=workflow.sid)
    taskrouter.advance(30)
    assert ann.fetch().activity_name == "Offline"
    statuses = [(item.worker_name, item.reservation_status) for item in bill.reservations.list()]
    assert statuses == [("Ann", "timeout"), ("Bea", "pending")]
    bill = bill.fetch()
    assert (bill.assignment_status, bill.priority) == ("reserved", 5)
    assert (bill.task_queue_friendly_name, bill.age) == ("support", 30)

    # Bea accepts over REST. Her capacity of 1 does not allow a second Reservation.
    (reservation,) = bill.reservations.list(reservation_status="pending")
    reservation.update(reservation_status="accepted")
    second_task = workspace.tasks.create(attributes="{}", workflow_sid=workflow.sid)
    taskrouter.advance(1)
    assert second_task.fetch().assignment_status == "pending"
    assert bea.fetch().activity_name == "Available"

    # After Bea completes the first Task, she gets the second, which the app accepts.
    app.set_response("/assignment", {"instruction": "accept"})
    bill.update(assignment_status="completed", reason="paid")
    taskrouter.advance()
    assert second_task.fetch().assignment_status == "assigned"
    callbacks = [
        request["parameters"] for request in app.received if request["path"] == "/assignment"
    ]
    assert [callback["WorkerSid"] for callback in callbacks] == [ann.sid, bea.sid, bea.sid]

    # Five minutes later, the closed Task is deleted, but the open Task is not.
    taskrouter.advance(300)
    with pytest.raises(TwilioRestException):
        bill.fetch()
    assert [task.sid for task in workspace.tasks.list()] == [second_task.sid]

    received = Counter(
        request["parameters"]["EventType"]
        for request in app.received
        if request["path"] == "/events"
    )
    assert received["reservation.created"] == 3
    assert received["reservation.timeout"] == received["task.completed"] == 1
    assert received["reservation.accepted"] == 2
    assert Counter(event.event_type for event in workspace.events.list(minutes=60)) == received
    assert taskrouter.log("alert") == []
