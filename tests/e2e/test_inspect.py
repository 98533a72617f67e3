"""The Inspect page, the Callbacks page and the export show data from the real local stack."""

import csv
import io
import re
import time
from contextlib import contextmanager

import pytest
import requests
from playwright.sync_api import expect

from tests.e2e.live_stack import eventually
from tests.e2e.test_console import browser, live, open_console
from tests.support import sid

pytestmark = pytest.mark.slow

__all__ = ["browser", "live", "open_console"]


def inspect(page, reservation_sid):
    page.evaluate("fragment => { location.hash = fragment }", f"#/reservations/{reservation_sid}")
    expect(page.locator(".steps > li").first).to_be_visible()


def steps(page):
    return page.locator(".steps h3")


@contextmanager
def changed(live, path, **form):
    """Change a property of a resource in TaskRouter, and restore it at the end."""
    ((name, value),) = form.items()
    before = live.taskrouter.get(path).body[re.sub("(?<!^)(?=[A-Z])", "_", name).lower()]
    assert live.taskrouter.post(path, {name: value}).status == 200
    try:
        yield
    finally:
        assert live.taskrouter.post(path, {name: str(before)}).status == 200


def delete(live, path):
    """Delete a resource in TaskRouter."""
    workspace = f"{live.definition.simulator_url}/v1/Workspaces/{live.identifiers['workspace_sid']}"
    account = (live.identifiers["account_sid"], live.identifiers["auth_token"])
    assert requests.delete(f"{workspace}{path}", auth=account, timeout=30).status_code == 204


def test_timeline_shows_the_whole_lifecycle_and_agrees_with_taskrouter(live, open_console):
    reservation = live.create_pending_reservation()
    reservation_sid, task_sid = reservation["reservation_sid"], reservation["task_sid"]
    page = open_console()
    inspect(page, reservation_sid)
    expect(steps(page).nth(1)).to_have_text("Callback received")
    assert live.app.post(f"/reservations/{reservation_sid}/accept", {}).status == 200
    expect(steps(page).last).to_have_text("Accepted", timeout=10_000)
    body = {"AssignmentStatus": "wrapping"}
    assert live.taskrouter.post(f"/Tasks/{task_sid}", body).status == 200
    expect(steps(page).last).to_have_text("Wrapping up", timeout=10_000)
    assert live.app.post(f"/reservations/{reservation_sid}/complete", {}).status == 200
    expect(steps(page).last).to_have_text("Completed", timeout=10_000)
    begins = ["Reserved", "Callback received", "Answering"]
    ends = ["Claimed", "Accepted", "Wrapping up", "Claimed", "Completed"]
    expect(steps(page)).to_have_text([*begins, *ends])
    claims = page.locator(".steps > li", has_text="Claimed").locator(".note")
    expect(claims).to_have_text(["Supervisor: Accept", "Supervisor: Complete"])
    expect(page.locator(".steps > li").nth(2)).to_contain_text("decide later")
    path = f"/Tasks/{task_sid}/Reservations/{reservation_sid}"
    assert live.taskrouter.get(path).body["reservation_status"] == "completed"
    record = live.fetch_record(reservation_sid)
    expect(page.locator(".params tbody tr")).to_have_count(len(record["callback"]))
    for name, value in record["callback"].items():
        row = page.locator(".params tr", has=page.get_by_role("rowheader", name=name, exact=True))
        expect(row.locator("td")).to_have_text(value)


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("reject", "Rejected"),
        ("cancel", "Withdrawn"),
        ("timeout", "Timed out"),
    ],
)
def test_ending_of_an_offer_is_shown_and_agrees_with_taskrouter(
    live, open_console, control, ending, words
):
    reservation = live.create_pending_reservation()
    reservation_sid, task_sid = reservation["reservation_sid"], reservation["task_sid"]
    page = open_console("supervisor")
    inspect(page, reservation_sid)
    if ending == "reject":
        activity = {"activity_sid": live.identifiers["activities"]["Offline"]}
        assert live.app.post(f"/reservations/{reservation_sid}/reject", activity).status == 200
    elif ending == "cancel":
        live.taskrouter.post(f"/Tasks/{task_sid}", {"AssignmentStatus": "canceled"})
    else:
        timeout = live.definition.settings.reservation_timeout_seconds
        assert control.post("/clock", {"advance": timeout + 1}).status in {200, 204}
    expect(steps(page).last).to_have_text(words, timeout=10_000)
    status = live.fetch_record(reservation_sid)["status"]
    path = f"/Tasks/{task_sid}/Reservations/{reservation_sid}"
    assert live.taskrouter.get(path).body["reservation_status"] == status


def test_offer_that_another_worker_takes_is_shown_as_taken(live, open_console):
    queues = live.taskrouter.get("/TaskQueues").body["task_queues"]
    (queue_sid,) = [queue["sid"] for queue in queues if queue["friendly_name"].endswith("English")]
    bob = f"/Workers/{live.identifiers['workers']['Bob']}"
    idle = live.identifiers["activities"]["Idle"]
    live.set_activity_of_alice("Idle")
    with (
        changed(live, f"/TaskQueues/{queue_sid}", MaxReservedWorkers="2"),
        changed(live, bob, ActivitySid=idle),
    ):
        body = {"attributes": {"selected_language": "en"}}
        task_sid = live.app.post("/create-task", body).body["sid"]

        def find_offers():
            offers = {
                record["worker_name"]: record["reservation_sid"]
                for record in live.app.list_reservations("pending")
                if record["task_sid"] == task_sid
            }
            return offers if {"Alice", "Bob"} <= offers.keys() else None

        offers = eventually(find_offers)
        assert offers, "the Task was not offered to both Workers"
        page = open_console()
        inspect(page, offers["Alice"])
        assert live.app.post(f"/reservations/{offers['Bob']}/accept", {}).status == 200
        expect(steps(page).last).to_have_text("Taken", timeout=10_000)
        path = f"/Tasks/{task_sid}/Reservations/{offers['Alice']}"
        assert live.taskrouter.get(path).body["reservation_status"] == "rescinded"
        assert live.app.post(f"/reservations/{offers['Bob']}/complete", {}).status == 200


def test_offer_that_taskrouter_no_longer_has_is_shown_as_ended(live, open_console):
    reservation = live.create_pending_reservation()
    reservation_sid, task_sid = reservation["reservation_sid"], reservation["task_sid"]
    page = open_console("supervisor")
    inspect(page, reservation_sid)
    # Without this change, an event would report that the Reservation was canceled.
    with changed(live, "", EventCallbackUrl=""):
        delete(live, f"/Tasks/{task_sid}")
        assert live.app.post(f"/reservations/{reservation_sid}/accept", {}).status == 410
    expect(steps(page).last).to_have_text("Ended", timeout=10_000)
    expect(page.locator(".steps")).to_contain_text("TaskRouter no longer has this offer")
    path = f"/Tasks/{task_sid}/Reservations/{reservation_sid}"
    assert live.taskrouter.get(path).status == 404


def test_signature_is_verified_again_and_the_callback_is_sent_again(live, open_console):
    reservation = live.create_pending_reservation()
    page = open_console("supervisor")
    inspect(page, reservation["reservation_sid"])
    page.get_by_role("button", name="Verify again").click()
    expect(page.locator(".facts .pill", has_text="Valid")).to_be_visible()
    page.get_by_role("button", name="Send again").click()
    expect(page.locator(".facts .pill", has_text="200")).to_be_visible()
    page.get_by_role("link", name="Callbacks of this Reservation").click()
    rows = page.locator(".log tbody tr:not(.why)")
    expect(rows.first).to_be_visible()
    assert rows.filter(has_text="Assignment").count() >= 2
    assert rows.filter(has_text="reservation.created").count() >= 1


def test_refused_callback_is_listed_in_the_log_with_the_url_used_for_verification(
    live, open_console
):
    form = {"ReservationSid": sid("WR"), "TaskSid": sid("WT"), "WorkerSid": sid("WK")}
    url = f"{live.definition.api_url}/assignment_callback"
    response = requests.post(url, data=form, headers={"X-Twilio-Signature": "x" * 28}, timeout=30)
    assert response.status_code == 403
    page = open_console("supervisor")
    page.evaluate("location.hash = '#/callbacks?status=403'")
    rows = page.locator(".log tbody tr:not(.why)")
    expect(rows.first).to_contain_text(re.compile("Assignment.*Invalid.*403"))
    rows.first.get_by_role("button", name="Details").click()
    expect(page.locator(".why").first).to_contain_text(url)
    expect(page.locator(".why").first).to_contain_text("The auth token differs from Twilio")
    page.get_by_label("Route").select_option("Event")
    expect(page.get_by_role("heading", name="No callback matches")).to_be_visible()


def test_worker_gets_403_for_the_callback_log_and_for_signature_checks(live, open_console):
    page = open_console()
    page.evaluate("location.hash = '#/callbacks'")
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    statuses = page.evaluate(
        """async () => {
          const headers = { Authorization: `Bearer ${sessionStorage.getItem("console.token")}` };
          const paths = ["callbacks", "reservations/WR" + "0".repeat(32) + "/signature"];
          return Promise.all(paths.map(async (path) => (await fetch(path, { headers })).status));
        }"""
    )
    assert statuses == [403, 403]


def test_exported_file_contains_hostile_attributes_as_text(live, open_console):
    hostile = '=HYPERLINK("https://x.example")'
    body = {"attributes": {"selected_language": "es", "customer": hostile}}
    task_sid = live.app.post("/create-task", body).body["sid"]
    live.set_activity_of_alice("Idle")
    assert eventually(
        lambda: any(
            record["task_sid"] == task_sid for record in live.app.list_reservations("pending")
        )
    )
    page = open_console("supervisor")
    page.get_by_role("link", name="History").click()
    page.get_by_label("Status", exact=True).select_option("pending")
    expect(page.locator(".ended > .offer").first).to_contain_text(hostile)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    contents = download.value.path().read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(contents, newline=""), strict=True))
    (row,) = [row for row in rows if row["task_sid"] == task_sid]
    assert row["title"].startswith(f"'{hostile}")
    assert time.strftime("%Y-") in row["reserved_at"]
