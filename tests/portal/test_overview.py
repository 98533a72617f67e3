"""Tests of the portal's overview and routes, without a browser."""

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import taskrouter_simulator.portal
from taskrouter_simulator.engine import assignments, workspaces
from taskrouter_simulator.origins import NOT_LOCAL
from taskrouter_simulator.portal import overview
from taskrouter_simulator.portal.overview import build_overview
from taskrouter_simulator.testing import TaskRouter

STATIC = Path(taskrouter_simulator.portal.__file__).parent / "static"
PAGE = (STATIC / "portal.html").read_text(encoding="utf-8")


def fetch(taskrouter: TaskRouter, path: str, method: str = "GET", **headers: str):
    """Send a request without following redirects; return the status, headers and body."""
    request_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(  # noqa: S310 - the simulator's own URL
        f"{taskrouter.url}{path}", headers=request_headers, method=method
    )
    opener = urllib.request.build_opener(NoRedirects)
    try:
        with opener.open(request, timeout=10) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments):
        return None


def overview_of(simulation, log=(), workspace_sid=None):
    return build_overview(simulation.engine, list(log), workspace_sid)


def test_quickstart_workspace_is_shown(simulation):
    result = overview_of(simulation)["workspace"]
    assert result["name"] == "Quickstart"
    assert [item["name"] for item in result["workers"]] == ["Alice", "Bob"]
    assert [item["name"] for item in result["activities"]] == [
        "Offline",
        "Idle",
        "Busy",
        "Reserved",
    ]
    assert result["workers"][0]["activity_sid"] == result["activities"][0]["sid"]
    assert [item["target_workers"] for item in result["task_queues"]] == [
        'languages HAS "es"',
        'languages HAS "en"',
    ]
    assert (result["tasks"], result["reservations"]) == ([], [])


def test_reserved_task_and_its_reservation_are_shown(simulation):
    task, reservation = simulation.offer_task()
    result = overview_of(simulation)["workspace"]
    (shown_task,) = result["tasks"]
    assert (shown_task["sid"], shown_task["status"]) == (task.sid, "reserved")
    assert shown_task["workers"] == ["Alice"]
    assert shown_task["attributes"] == '{"selected_language": "es"}'
    assert shown_task["queue"] == "Customer Care Requests - Spanish"
    (shown_reservation,) = result["reservations"]
    assert (shown_reservation["sid"], shown_reservation["task_sid"]) == (reservation.sid, task.sid)
    assert (shown_reservation["worker"], shown_reservation["status"]) == ("Alice", "pending")
    assert shown_reservation["expires"] - shown_reservation["created"] == 1200


def test_task_queue_shows_worker_and_task_counts(simulation):
    simulation.create_task()
    simulation.set_activity(simulation.bob, "Idle")
    spanish, english = overview_of(simulation)["workspace"]["task_queues"]
    assert (spanish["workers"], spanish["available_workers"]) == (1, 0)
    assert (english["workers"], english["available_workers"]) == (2, 1)
    assert (spanish["tasks"], english["tasks"]) == ({"pending": 1}, {})


def test_completed_task_still_shows_its_worker(simulation):
    task, reservation = simulation.offer_task()
    assignments.accept(simulation.engine, simulation.workspace, reservation)
    assignments.complete(simulation.engine, simulation.workspace, task)
    (shown_task,) = overview_of(simulation)["workspace"]["tasks"]
    assert (shown_task["status"], shown_task["workers"]) == ("completed", ["Alice"])


def test_passage_of_time_does_not_change_the_overview(simulation):
    simulation.create_task()
    before = overview_of(simulation)
    simulation.clock.advance(60)
    assert overview_of(simulation) == before


def test_only_the_newest_tasks_are_shown_but_all_are_counted(simulation, monkeypatch):
    monkeypatch.setattr(overview, "MAX_TASKS", 2)
    sids = [simulation.create_task().sid for _ in range(3)]
    result = overview_of(simulation)["workspace"]
    assert [item["sid"] for item in result["tasks"]] == [sids[2], sids[1]]
    assert result["tasks_total"] == 3


def test_open_reservation_is_shown_regardless_of_age(simulation, monkeypatch):
    monkeypatch.setattr(overview, "MAX_ENDED_RESERVATIONS", 1)
    _, first = simulation.offer_task()
    assignments.accept(simulation.engine, simulation.workspace, first)
    simulation.create_task('{"selected_language": "en"}')
    for _ in range(3):
        simulation.set_activity(simulation.bob, "Idle")
        simulation.clock.advance(1200)
    result = overview_of(simulation)["workspace"]
    shown = [(item["worker"], item["status"]) for item in result["reservations"]]
    assert shown == [("Bob", "timeout"), ("Alice", "accepted")]
    assert result["reservations_total"] == 4


def test_callbacks_are_newest_first_and_exclude_alerts_and_rest_requests(simulation, monkeypatch):
    monkeypatch.setattr(overview, "MAX_ENTRIES_PER_KIND", 2)
    kinds = ["request", "event", "assignment", "event", "alert", "event", "fallback"]
    result = overview_of(
        simulation, [{"id": number, "kind": kind} for number, kind in enumerate(kinds)]
    )
    shown = [(item["id"], item["kind"]) for item in result["callbacks"]]
    assert shown == [(6, "fallback"), (5, "event"), (3, "event"), (2, "assignment")]
    assert [item["id"] for item in result["alerts"]] == [4]
    assert (result["callbacks_total"], result["alerts_total"]) == (5, 1)


def test_another_workspace_can_be_selected(simulation):
    other_workspace = workspaces.create(simulation.engine, friendly_name="Other")
    result = overview_of(simulation, workspace_sid=other_workspace.sid)
    assert result["workspace"]["name"] == "Other"
    assert [item["name"] for item in result["workspaces"]] == ["Quickstart", "Other"]
    assert overview_of(simulation, workspace_sid="WSgone")["workspace"]["name"] == "Quickstart"


def test_overview_is_built_if_no_workspace_exists(simulation):
    workspaces.delete(simulation.engine, simulation.workspace)
    assert overview_of(simulation)["workspace"] is None


def test_request_for_an_unchanged_overview_returns_304(taskrouter):
    status, headers, body = fetch(taskrouter, "/simulator/state")
    assert status == 200
    assert json.loads(body)["workspace"]["sid"] == taskrouter.workspace_sid
    taskrouter.advance(60)
    status, later_headers, body = fetch(
        taskrouter, "/simulator/state", If_None_Match=headers["ETag"]
    )
    assert (status, body) == (304, b"")
    elapsed = float(later_headers["X-Simulator-Time"]) - float(headers["X-Simulator-Time"])
    assert elapsed == pytest.approx(60)
    taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid).tasks.create(
        attributes="{}"
    )
    assert fetch(taskrouter, "/simulator/state", If_None_Match=headers["ETag"])[0] == 200


def test_callback_is_shown_with_its_signature_and_response(taskrouter):
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    workspace.workers(taskrouter.workers["Alice"]).update(
        activity_sid=taskrouter.activities["Idle"]
    )
    task = workspace.tasks.create(attributes='{"selected_language":"es"}')
    taskrouter.advance(0)
    (callback,) = json.loads(fetch(taskrouter, "/simulator/state")[2])["callbacks"]
    assert callback["parameters"]["TaskSid"] == task.sid
    assert callback["headers"]["X-Twilio-Signature"]
    assert (callback["status"], callback["answer"]) == (200, "{}")


def test_state_route_rejects_unknown_parameters_and_invalid_values(taskrouter):
    for query, message in (
        ("workspac=x", "unknown query parameter 'workspac'; did you mean workspace?"),
        ("since=1", "unknown query parameter 'since'; use workspace"),
        ("workspace=zz", "workspace must be a WS"),
        ("workspace=WT" + "0" * 32, "workspace must be a WS"),
    ):
        status, _, body = fetch(taskrouter, f"/simulator/state?{query}")
        assert status == 400
        assert body.decode().startswith(message)
    for sid in ("", "WS" + "0" * 32, taskrouter.workspace_sid):
        assert fetch(taskrouter, f"/simulator/state?workspace={sid}")[0] == 200


def test_root_url_and_page_url_with_a_trailing_slash_redirect_to_the_page(taskrouter):
    for path in ("/", "/simulator/portal/"):
        status, headers, _ = fetch(taskrouter, path)
        assert (status, headers["Location"]) == (307, "/simulator/portal")


def test_portal_responses_have_security_headers(taskrouter):
    names = re.findall(r'(?:href|src)="(/simulator/portal/[^"]+)"', PAGE)
    for path in ["/simulator/portal", *names, "/simulator/state"]:
        status, headers, _ = fetch(taskrouter, path)
        assert status == 200
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Access-Control-Allow-Origin"] is None


def test_page_contains_no_inline_code_or_external_urls():
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=|https?:", PAGE)


def test_scripts_never_insert_html_or_evaluate_code():
    scripts = [path.read_text(encoding="utf-8") for path in STATIC.glob("*.js")]
    forbidden = r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function"
    assert not [text for text in scripts if re.search(forbidden, text)]


def test_only_portal_files_are_served(taskrouter):
    for name in ("nothing.js", "..%2fstate.py", "%2e%2e/%2e%2e/local.env"):
        assert fetch(taskrouter, f"/simulator/portal/{name}")[0] in {401, 404}


@pytest.mark.parametrize("path", ["/", "/simulator/portal", "/simulator/state"])
def test_unknown_host_is_rejected(taskrouter, path):
    status, _, body = fetch(taskrouter, path, Host="rebound.example:8002")
    assert (status, body) == (403, NOT_LOCAL.encode())


def test_cross_origin_requests_are_rejected(taskrouter):
    tasks_path = f"/v1/Workspaces/{taskrouter.workspace_sid}/Tasks"
    preflight_headers = {"Origin": "http://evil.example", "Access_Control_Request_Method": "POST"}
    for path in (tasks_path, "/simulator/clock", "/simulator/reset"):
        preflight = fetch(taskrouter, path, "OPTIONS", **preflight_headers)
        assert preflight[0] >= 400
        assert preflight[1]["Access-Control-Allow-Origin"] is None
    assert fetch(taskrouter, "/simulator/reset", "POST", Origin="http://evil.example")[0] == 403
