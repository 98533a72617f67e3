"""The overview and the portal's routes, without a browser."""

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import taskrouter_simulator.portal
from taskrouter_simulator.engine import assignments, workspaces
from taskrouter_simulator.portal import overview
from taskrouter_simulator.portal.overview import build_overview
from taskrouter_simulator.testing import TaskRouter

STATIC = Path(taskrouter_simulator.portal.__file__).parent / "static"
PAGE = (STATIC / "portal.html").read_text(encoding="utf-8")


def get(tr: TaskRouter, path: str, method: str = "GET", **headers: str):
    """Send a request; return status, headers and body. Redirects are not followed."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(  # noqa: S310 - the simulator's own URL
        f"{tr.url}{path}", headers=names, method=method
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


def overview_of(story, log=(), workspace_sid=None):
    return build_overview(story.engine, list(log), workspace_sid)


def test_quickstart_workspace_is_shown(story):
    result = overview_of(story)["workspace"]
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


def test_reserved_task_and_its_reservation_are_shown(story):
    task, reservation = story.reserved()
    result = overview_of(story)["workspace"]
    (shown,) = result["tasks"]
    assert (shown["sid"], shown["status"], shown["workers"]) == (task.sid, "reserved", ["Alice"])
    assert shown["attributes"] == '{"selected_language": "es"}'
    assert shown["queue"] == "Customer Care Requests - Spanish"
    (offer,) = result["reservations"]
    assert (offer["sid"], offer["task_sid"]) == (reservation.sid, task.sid)
    assert (offer["worker"], offer["status"]) == ("Alice", "pending")
    assert offer["expires"] - offer["created"] == 1200


def test_task_queue_shows_its_workers_and_waiting_tasks(story):
    story.task()
    story.move(story.bob, "Idle")
    spanish, english = overview_of(story)["workspace"]["task_queues"]
    assert (spanish["workers"], spanish["available_workers"]) == (1, 0)
    assert (english["workers"], english["available_workers"]) == (2, 1)
    assert (spanish["tasks"], english["tasks"]) == ({"pending": 1}, {})


def test_completed_task_still_names_its_worker(story):
    task, reservation = story.reserved()
    assignments.accept(story.engine, story.workspace, reservation)
    assignments.complete(story.engine, story.workspace, task)
    (shown,) = overview_of(story)["workspace"]["tasks"]
    assert (shown["status"], shown["workers"]) == ("completed", ["Alice"])


def test_passing_time_does_not_change_overview(story):
    story.task()
    before = overview_of(story)
    story.clock.advance(60)
    assert overview_of(story) == before


def test_newest_tasks_are_shown_and_all_are_counted(story, monkeypatch):
    monkeypatch.setattr(overview, "MAX_TASKS", 2)
    sids = [story.task().sid for _ in range(3)]
    result = overview_of(story)["workspace"]
    assert [item["sid"] for item in result["tasks"]] == [sids[2], sids[1]]
    assert result["tasks_total"] == 3


def test_open_reservation_is_shown_regardless_of_age(story, monkeypatch):
    monkeypatch.setattr(overview, "MAX_ENDED_RESERVATIONS", 1)
    _, first = story.reserved()
    assignments.accept(story.engine, story.workspace, first)
    story.task('{"selected_language": "en"}')
    for _ in range(3):
        story.move(story.bob, "Idle")
        story.clock.advance(1200)
    result = overview_of(story)["workspace"]
    shown = [(item["worker"], item["status"]) for item in result["reservations"]]
    assert shown == [("Bob", "timeout"), ("Alice", "accepted")]
    assert result["reservations_total"] == 4


def test_callbacks_and_alerts_are_newest_first_without_rest_requests(story, monkeypatch):
    monkeypatch.setattr(overview, "MAX_LOG", 2)
    kinds = ["request", "assignment", "event", "alert", "fallback"]
    result = overview_of(story, [{"id": number, "kind": kind} for number, kind in enumerate(kinds)])
    assert [item["kind"] for item in result["callbacks"]] == ["fallback", "event"]
    assert [item["id"] for item in result["alerts"]] == [3]
    assert (result["callbacks_total"], result["alerts_total"]) == (3, 1)


def test_another_workspace_can_be_selected(story):
    other = workspaces.create(story.engine, friendly_name="Other")
    result = overview_of(story, workspace_sid=other.sid)
    assert result["workspace"]["name"] == "Other"
    assert [item["name"] for item in result["workspaces"]] == ["Quickstart", "Other"]
    assert overview_of(story, workspace_sid="WSgone")["workspace"]["name"] == "Quickstart"


def test_overview_without_workspace_is_valid(story):
    workspaces.delete(story.engine, story.workspace)
    assert overview_of(story)["workspace"] is None


def test_unchanged_overview_returns_304(tr):
    status, headers, body = get(tr, "/simulator/state")
    assert status == 200
    assert json.loads(body)["workspace"]["sid"] == tr.workspace_sid
    tr.advance(60)
    status, later, body = get(tr, "/simulator/state", If_None_Match=headers["ETag"])
    assert (status, body) == (304, b"")
    passed = float(later["X-Simulator-Time"]) - float(headers["X-Simulator-Time"])
    assert passed == pytest.approx(60)
    tr.client().taskrouter.v1.workspaces(tr.workspace_sid).tasks.create(attributes="{}")
    assert get(tr, "/simulator/state", If_None_Match=headers["ETag"])[0] == 200


def test_callback_is_shown_with_signature_and_answer(tr):
    workspace = tr.client().taskrouter.v1.workspaces(tr.workspace_sid)
    workspace.workers(tr.workers["Alice"]).update(activity_sid=tr.activities["Idle"])
    task = workspace.tasks.create(attributes='{"selected_language":"es"}')
    tr.advance(0)
    (shown,) = json.loads(get(tr, "/simulator/state")[2])["callbacks"]
    assert shown["parameters"]["TaskSid"] == task.sid
    assert shown["headers"]["X-Twilio-Signature"]
    assert (shown["status"], shown["answer"]) == (200, "{}")


def test_root_redirects_to_page(tr):
    for path in ("/", "/simulator/portal/"):
        status, headers, _ = get(tr, path)
        assert (status, headers["Location"]) == (307, "/simulator/portal")


def test_page_and_files_forbid_foreign_content(tr):
    names = re.findall(r'(?:href|src)="(/simulator/portal/[^"]+)"', PAGE)
    for path in ["/simulator/portal", *names, "/simulator/state"]:
        status, headers, _ = get(tr, path)
        assert status == 200
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Access-Control-Allow-Origin"] is None


def test_page_contains_no_inline_code_or_foreign_urls():
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=|https?:", PAGE)
    scripts = [path.read_text(encoding="utf-8") for path in STATIC.glob("*.js")]
    forbidden = r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function"
    assert not [text for text in scripts if re.search(forbidden, text)]


def test_other_files_are_not_served(tr):
    for name in ("nothing.js", "..%2fstate.py", "%2e%2e/%2e%2e/local.env"):
        assert get(tr, f"/simulator/portal/{name}")[0] in {401, 404}


@pytest.mark.parametrize("path", ["/", "/simulator/portal", "/simulator/state"])
def test_foreign_host_is_refused(tr, path):
    status, _, body = get(tr, path, Host="rebound.example:8002")
    assert (status, body) == (403, b"loopback only")


def test_page_of_another_origin_cannot_change_anything(tr):
    workspace = f"/v1/Workspaces/{tr.workspace_sid}/Tasks"
    preflight_headers = {"Origin": "http://evil.example", "Access_Control_Request_Method": "POST"}
    for path in (workspace, "/simulator/clock", "/simulator/reset"):
        preflight = get(tr, path, "OPTIONS", **preflight_headers)
        assert preflight[0] >= 400
        assert preflight[1]["Access-Control-Allow-Origin"] is None
    assert get(tr, "/simulator/reset", "POST", Origin="http://evil.example")[0] == 403
