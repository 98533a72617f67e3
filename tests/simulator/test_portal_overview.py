"""Every field of the portal overview, the list limits, and the headers of portal responses."""

import json

import pytest

from taskrouter_simulator.engine import assignments, reservations, tasks
from taskrouter_simulator.portal.overview import build_overview
from tests.portal.test_overview import fetch
from tests.simulator.conftest import SPANISH, Simulation

NOW = 1_700_000_000.0
SPANISH_QUEUE = "Customer Care Requests - Spanish"
WORKFLOW = "Incoming Customer Care Requests"

CALLBACKS = ("assignment", "fallback", "event", "twiml", "status")


def overview_of(simulation, log=(), workspace_sid=None):
    return build_overview(simulation.engine, list(log), workspace_sid)


def named(resources):
    return [{"sid": item.sid, "name": item.friendly_name} for item in resources.values()]


@pytest.mark.parametrize("frozen", [False, True])
def test_overview_has_every_field(frozen):
    simulation = Simulation(frozen_clock=frozen)
    workspace, alice, bob = simulation.workspace, simulation.alice, simulation.bob
    task, reservation = simulation.offer_task()
    simulation.clock.advance(3)
    tasks.update(simulation.engine, workspace, task, priority=2)
    queues = workspace.queues.values()
    identity = {"sid": workspace.sid, "name": "Quickstart"}
    assert overview_of(simulation) == {
        "workspaces": [identity],
        "clock_frozen": frozen,
        "callbacks": [],
        "callbacks_total": 0,
        "callbacks_by_kind": dict.fromkeys(CALLBACKS, 0),
        "alerts": [],
        "alerts_total": 0,
        "workspace": {
            **identity,
            "activities": [
                {"sid": item.sid, "name": item.friendly_name, "available": item.available}
                for item in workspace.activities.values()
            ],
            "workflows": named(workspace.workflows),
            "workers": [
                {
                    "sid": worker.sid,
                    "name": worker.friendly_name,
                    "attributes": worker.attributes,
                    "activity_sid": worker.activity_sid,
                    "activity_changed": NOW,
                    "tasks": count,
                }
                for worker, count in ((alice, 1), (bob, 0))
            ],
            "task_queues": [
                {
                    "sid": queue.sid,
                    "name": queue.friendly_name,
                    "target_workers": queue.target_workers,
                    "workers": members,
                    "available_workers": 0,
                    "tasks": counts,
                }
                for queue, members, counts in zip(
                    queues, (1, 2), ({"reserved": 1}, {}), strict=True
                )
            ],
            "tasks": [
                {
                    "sid": task.sid,
                    "status": "reserved",
                    "reason": None,
                    "attributes": SPANISH,
                    "priority": 2,
                    "created": NOW,
                    "updated": NOW + 3,
                    "timeout": 86_400,
                    "queue": SPANISH_QUEUE,
                    "workflow": WORKFLOW,
                    "channel": "default",
                    "workers": ["Alice"],
                }
            ],
            "tasks_total": 1,
            "reservations": [
                {
                    "sid": reservation.sid,
                    "status": "pending",
                    "task_sid": task.sid,
                    "worker_sid": alice.sid,
                    "worker": "Alice",
                    "queue": SPANISH_QUEUE,
                    "created": NOW,
                    "updated": NOW,
                    "expires": NOW + 1200,
                }
            ],
            "reservations_total": 1,
        },
    }


def test_tasks_without_queue_or_workflow_are_shown():
    simulation = Simulation()
    canceled = simulation.create_task("{}")
    targeted = tasks.create(
        simulation.engine, simulation.workspace, routing_target=simulation.bob.sid
    )
    simulation.clock.run_due()
    workspace = overview_of(simulation)["workspace"]
    new, old = workspace["tasks"]
    assert (old["sid"], old["queue"], old["workflow"]) == (canceled.sid, None, WORKFLOW)
    assert old["reason"] == "Task canceled on Workflow timeout"
    assert (new["sid"], new["workflow"]) == (targeted.sid, None)
    (reservation,) = workspace["reservations"]
    assert reservation["expires"] == NOW + 120


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([assignments.accept], ["Alice"]),
        ([assignments.accept, assignments.wrap], ["Alice"]),
        ([assignments.accept, assignments.complete], ["Alice"]),
        ([reservations.reject], []),
        ([reservations.time_out], []),
        ([assignments.cancel], []),
    ],
)
def test_listed_task_contains_workers_of_open_and_completed_reservations(operations, expected):
    simulation = Simulation()
    task, reservation = simulation.offer_task()
    for operation in operations:
        is_task = operation in {assignments.wrap, assignments.complete, assignments.cancel}
        operation(simulation.engine, simulation.workspace, task if is_task else reservation)
    (listed_task,) = overview_of(simulation)["workspace"]["tasks"]
    assert listed_task["workers"] == expected


def test_newest_1000_tasks_are_shown():
    simulation = Simulation()
    for _ in range(1001):
        tasks.create(simulation.engine, simulation.workspace, attributes="{}")
    workspace = overview_of(simulation)["workspace"]
    newest = list(reversed(simulation.workspace.tasks))
    assert [task["sid"] for task in workspace["tasks"]] == newest[:1000]
    assert workspace["tasks_total"] == 1001


def test_newest_200_ended_reservations_are_shown():
    simulation = Simulation(reoffer_delay=0.0)
    _, reservation = simulation.offer_task()
    for _ in range(201):
        (*_, last) = simulation.workspace.reservations.values()
        reservations.reject(simulation.engine, simulation.workspace, last)
        simulation.clock.run_due()
    workspace = overview_of(simulation)["workspace"]
    newest = list(reversed(simulation.workspace.reservations))
    assert [item["sid"] for item in workspace["reservations"]] == newest[:201]
    assert (workspace["reservations_total"], newest[-1]) == (202, reservation.sid)


def test_newest_100_callbacks_of_each_kind_and_newest_100_alerts_are_shown():
    kinds = ("assignment", "fallback", "event", "twiml", "status", "request", "call", "alert")
    log = [{"id": number, "kind": kinds[number % 8]} for number in range(8 * 101)]
    overview = overview_of(Simulation(), log)
    newest = list(reversed(log[8:]))
    assert overview["callbacks"] == [entry for entry in newest if entry["kind"] in kinds[:5]]
    assert overview["alerts"] == [entry for entry in newest if entry["kind"] == "alert"]
    assert (overview["callbacks_total"], overview["alerts_total"]) == (505, 101)
    assert overview["callbacks_by_kind"] == dict.fromkeys(kinds[:5], 101)


def test_event_callbacks_do_not_displace_assignment_callbacks():
    log = [{"id": 1, "kind": "assignment"}] + [
        {"id": number, "kind": "event"} for number in range(2, 203)
    ]
    overview = overview_of(Simulation(), log)
    assert [entry["id"] for entry in overview["callbacks"]] == [*range(202, 102, -1), 1]
    expected = dict.fromkeys(CALLBACKS, 0) | {"assignment": 1, "event": 201}
    assert overview["callbacks_by_kind"] == expected


HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@pytest.mark.parametrize(
    ("path", "status", "content_type"),
    [
        ("/simulator/portal", 200, "text/html; charset=utf-8"),
        ("/simulator/portal/portal.css", 200, "text/css; charset=utf-8"),
        ("/simulator/portal/main.js", 200, "text/javascript; charset=utf-8"),
        ("/simulator/portal/icon.svg", 200, "image/svg+xml"),
        ("/simulator/state", 200, "application/json"),
        ("/simulator/state?x=1", 400, "text/plain; charset=utf-8"),
        ("/simulator/portal/x", 404, "text/plain; charset=utf-8"),
        ("/", 307, None),
    ],
)
def test_every_response_has_security_headers(taskrouter, path, status, content_type):
    for request_headers, expected in (({}, status), ({"Host": "a.example"}, 403)):
        code, headers, body = fetch(taskrouter, path, **request_headers)
        assert code == expected
        assert {name: headers[name] for name in HEADERS} == HEADERS
        if code == 404:
            assert body == b"no such file"
        if code != 403:
            assert headers["Content-Type"] == content_type


def test_state_has_etag_and_time(taskrouter):
    status, headers, body = fetch(taskrouter, "/simulator/state")
    assert body == json.dumps(json.loads(body), separators=(",", ":")).encode()
    now = taskrouter._request("POST", "/clock", {"advance": 0})["now"]
    assert (status, headers["X-Simulator-Time"]) == (200, f"{now:.6f}")
    status, later, body = fetch(taskrouter, "/simulator/state", If_None_Match=headers["ETag"])
    assert (status, body, later["ETag"]) == (304, b"", headers["ETag"])
    assert later["X-Simulator-Time"] == f"{now:.6f}"
    assert fetch(taskrouter, "/simulator/state", If_None_Match='"x"')[0] == 200


@pytest.mark.parametrize("sid", ["WS" + "0" * 31, "WS" + "0" * 33, "WS" + "g" * 32, "x"])
def test_state_route_rejects_invalid_workspace_sid(taskrouter, sid):
    status, _, body = fetch(taskrouter, f"/simulator/state?workspace={sid}")
    assert (status, body.decode()) == (400, "workspace must be a WS… SID")
