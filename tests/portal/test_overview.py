"""The overview, and the routes that serve the page; no browser."""

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
    """Status, headers, body; a redirect is not followed."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(  # noqa: S310 - the simulator's own URL
        f"{tr.url}{path}", headers=names, method=method
    )
    opener = urllib.request.build_opener(Unfollowing)
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


class Unfollowing(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments):
        return None


def see(story, log=(), workspace_sid=None):
    return build_overview(story.engine, list(log), workspace_sid)


def test_the_quickstarts_workspace_is_shown(story):
    seen = see(story)["workspace"]
    assert seen["name"] == "Quickstart"
    assert [one["name"] for one in seen["workers"]] == ["Alice", "Bob"]
    assert [one["name"] for one in seen["activities"]] == ["Offline", "Idle", "Busy", "Reserved"]
    assert seen["workers"][0]["activity_sid"] == seen["activities"][0]["sid"]
    assert [one["target_workers"] for one in seen["task_queues"]] == [
        'languages HAS "es"',
        'languages HAS "en"',
    ]
    assert (seen["tasks"], seen["reservations"]) == ([], [])


def test_a_reserved_task_and_its_reservation_are_shown(story):
    task, reservation = story.reserved()
    seen = see(story)["workspace"]
    (shown,) = seen["tasks"]
    assert (shown["sid"], shown["status"], shown["workers"]) == (task.sid, "reserved", ["Alice"])
    assert shown["attributes"] == '{"selected_language": "es"}'
    assert shown["queue"] == "Customer Care Requests - Spanish"
    (offer,) = seen["reservations"]
    assert (offer["sid"], offer["task_sid"]) == (reservation.sid, task.sid)
    assert (offer["worker"], offer["status"]) == ("Alice", "pending")
    assert offer["expires"] - offer["created"] == 1200


def test_a_queue_tells_whom_it_reaches_and_what_waits(story):
    story.task()
    story.move(story.bob, "Idle")
    spanish, english = see(story)["workspace"]["task_queues"]
    assert (spanish["workers"], spanish["available_workers"]) == (1, 0)
    assert (english["workers"], english["available_workers"]) == (2, 1)
    assert (spanish["tasks"], english["tasks"]) == ({"pending": 1}, {})


def test_whoever_completed_a_task_is_still_named(story):
    task, reservation = story.reserved()
    assignments.accept(story.engine, story.workspace, reservation)
    assignments.complete(story.engine, story.workspace, task)
    (shown,) = see(story)["workspace"]["tasks"]
    assert (shown["status"], shown["workers"]) == ("completed", ["Alice"])


def test_time_alone_changes_nothing(story):
    story.task()
    before = see(story)
    story.clock.advance(60)
    assert see(story) == before


def test_the_newest_tasks_are_shown_and_all_are_counted(story, monkeypatch):
    monkeypatch.setattr(overview, "MAX_TASKS", 2)
    sids = [story.task().sid for _ in range(3)]
    seen = see(story)["workspace"]
    assert [one["sid"] for one in seen["tasks"]] == [sids[2], sids[1]]
    assert seen["tasks_total"] == 3


def test_an_open_reservation_is_shown_however_old_it_is(story, monkeypatch):
    monkeypatch.setattr(overview, "MAX_ENDED_RESERVATIONS", 1)
    _, first = story.reserved()
    assignments.accept(story.engine, story.workspace, first)
    story.task('{"selected_language": "en"}')
    for _ in range(3):
        story.move(story.bob, "Idle")
        story.clock.advance(1200)
    seen = see(story)["workspace"]
    shown = [(one["worker"], one["status"]) for one in seen["reservations"]]
    assert shown == [("Bob", "timeout"), ("Alice", "accepted")]
    assert seen["reservations_total"] == 4


def test_callbacks_and_alerts_come_newest_first_without_the_rest_calls(story, monkeypatch):
    monkeypatch.setattr(overview, "MAX_LOG", 2)
    kinds = ["request", "assignment", "event", "alert", "fallback"]
    seen = see(story, [{"id": number, "kind": kind} for number, kind in enumerate(kinds)])
    assert [one["kind"] for one in seen["callbacks"]] == ["fallback", "event"]
    assert [one["id"] for one in seen["alerts"]] == [3]
    assert (seen["callbacks_total"], seen["alerts_total"]) == (3, 1)


def test_another_workspace_can_be_chosen(story):
    other = workspaces.create(story.engine, friendly_name="Other")
    seen = see(story, workspace_sid=other.sid)
    assert seen["workspace"]["name"] == "Other"
    assert [one["name"] for one in seen["workspaces"]] == ["Quickstart", "Other"]
    assert see(story, workspace_sid="WSgone")["workspace"]["name"] == "Quickstart"


def test_no_workspace_is_no_error(story):
    workspaces.delete(story.engine, story.workspace)
    assert see(story)["workspace"] is None


def test_an_unchanged_overview_is_not_sent_again(tr):
    status, headers, body = get(tr, "/simulator/state")
    assert status == 200
    assert json.loads(body)["workspace"]["sid"] == tr.workspace_sid
    tr.advance(60)
    again, later, nothing = get(tr, "/simulator/state", If_None_Match=headers["ETag"])
    assert (again, nothing) == (304, b"")
    passed = float(later["X-Simulator-Time"]) - float(headers["X-Simulator-Time"])
    assert passed == pytest.approx(60)
    tr.client().taskrouter.v1.workspaces(tr.workspace_sid).tasks.create(attributes="{}")
    assert get(tr, "/simulator/state", If_None_Match=headers["ETag"])[0] == 200


def test_a_callback_is_shown_with_its_signature_and_answer(tr):
    workspace = tr.client().taskrouter.v1.workspaces(tr.workspace_sid)
    workspace.workers(tr.workers["Alice"]).update(activity_sid=tr.activities["Idle"])
    task = workspace.tasks.create(attributes='{"selected_language":"es"}')
    tr.advance(0)
    (shown,) = json.loads(get(tr, "/simulator/state")[2])["callbacks"]
    assert shown["parameters"]["TaskSid"] == task.sid
    assert shown["headers"]["X-Twilio-Signature"]
    assert (shown["status"], shown["answer"]) == (200, "{}")


def test_the_root_leads_to_the_page(tr):
    for path in ("/", "/simulator/portal/"):
        status, headers, _ = get(tr, path)
        assert (status, headers["Location"]) == (307, "/simulator/portal")


def test_the_page_and_its_files_forbid_foreign_content(tr):
    names = re.findall(r'(?:href|src)="(/simulator/portal/[^"]+)"', PAGE)
    for path in ["/simulator/portal", *names, "/simulator/state"]:
        status, headers, _ = get(tr, path)
        assert status == 200
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Access-Control-Allow-Origin"] is None


def test_the_page_has_neither_inline_code_nor_foreign_addresses():
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=|https?:", PAGE)
    scripts = [path.read_text(encoding="utf-8") for path in STATIC.glob("*.js")]
    forbidden = r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function"
    assert not [text for text in scripts if re.search(forbidden, text)]


def test_a_file_that_is_not_the_portals_is_not_served(tr):
    for name in ("nothing.js", "..%2fstate.py", "%2e%2e/%2e%2e/local.env"):
        assert get(tr, f"/simulator/portal/{name}")[0] in {401, 404}


@pytest.mark.parametrize("path", ["/", "/simulator/portal", "/simulator/state"])
def test_another_machines_name_gets_nothing(tr, path):
    status, _, body = get(tr, path, Host="rebound.example:8002")
    assert (status, body) == (403, b"loopback only")


def test_a_page_of_another_origin_may_change_nothing(tr):
    workspace = f"/v1/Workspaces/{tr.workspace_sid}/Tasks"
    asks = {"Origin": "http://evil.example", "Access_Control_Request_Method": "POST"}
    for path in (workspace, "/simulator/clock", "/simulator/reset"):
        preflight = get(tr, path, "OPTIONS", **asks)
        assert preflight[0] >= 400
        assert preflight[1]["Access-Control-Allow-Origin"] is None
    assert get(tr, "/simulator/reset", "POST", Origin="http://evil.example")[0] == 403
