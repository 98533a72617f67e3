"""A contact centre from nothing, by the unmodified SDK: set-up, offers, time-outs, events."""

import json
from collections import Counter

import pytest
from twilio.base.exceptions import TwilioRestException


def test_a_contact_centre_from_nothing(taskrouter, app):
    workspaces = taskrouter.client().taskrouter.v1.workspaces
    app.answers["/events"] = (204, "application/json", b"")
    office = workspaces.create(friendly_name="Office", event_callback_url=f"{app.url}/events")
    activities = {one.friendly_name: one.sid for one in office.activities.list()}
    queues = {
        name: office.task_queues.create(
            friendly_name=name, target_workers=f"skills HAS '{name}'"
        ).sid
        for name in ("sales", "support")
    }
    workflow = office.workflows.create(
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
        office.workers.create(
            friendly_name=name,
            attributes=json.dumps({"skills": skills}),
            activity_sid=activities["Available"],
        )
        for name, skills in (("Ann", ["sales"]), ("Bea", ["support"]))
    )

    # Ann is offered the bill and lets it ring: she goes Offline, Bea is offered it next
    bill = office.tasks.create(attributes='{"topic": "bill"}', workflow_sid=workflow.sid)
    taskrouter.advance(30)
    assert ann.fetch().activity_name == "Offline"
    statuses = [(one.worker_name, one.reservation_status) for one in bill.reservations.list()]
    assert statuses == [("Ann", "timeout"), ("Bea", "pending")]
    bill = bill.fetch()
    assert (bill.assignment_status, bill.priority) == ("reserved", 5)
    assert (bill.task_queue_friendly_name, bill.age) == ("support", 30)

    # Bea takes it by REST; at the capacity of one she is offered nothing else
    (offer,) = bill.reservations.list(reservation_status="pending")
    offer.update(reservation_status="accepted")
    other = office.tasks.create(attributes="{}", workflow_sid=workflow.sid)
    taskrouter.advance(1)
    assert other.fetch().assignment_status == "pending"
    assert bea.fetch().activity_name == "Available"

    # done with the first, she gets the second, which the app accepts for her
    app.answer("/assignment", {"instruction": "accept"})
    bill.update(assignment_status="completed", reason="paid")
    taskrouter.advance()
    assert other.fetch().assignment_status == "assigned"
    calls = [one["parameters"] for one in app.received if one["path"] == "/assignment"]
    assert [call["WorkerSid"] for call in calls] == [ann.sid, bea.sid, bea.sid]

    # five minutes later the closed Task is gone, the open one is not
    taskrouter.advance(300)
    with pytest.raises(TwilioRestException):
        bill.fetch()
    assert [task.sid for task in office.tasks.list()] == [other.sid]

    heard = Counter(
        one["parameters"]["EventType"] for one in app.received if one["path"] == "/events"
    )
    assert heard["reservation.created"] == 3
    assert heard["reservation.timeout"] == heard["task.completed"] == 1
    assert heard["reservation.accepted"] == 2
    assert Counter(event.event_type for event in office.events.list(minutes=60)) == heard
    assert taskrouter.log("alert") == []
