"""The portal in Chromium."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from taskrouter_simulator.testing import TaskRouter

PHONE = {"viewport": {"width": 360, "height": 800}, "has_touch": True, "is_mobile": True}
REST_REFUSAL = "error: Failed to load resource: the server responded with a status of 400"


def rows(page: Page, section: str):
    return page.locator(f"#{section} .rows > li")


def switch(page: Page, worker: str, activity: str):
    return page.get_by_role("group", name=f"Activity of {worker}").get_by_role(
        "button", name=activity
    )


def workspace(tr: TaskRouter):
    return tr.client().taskrouter.v1.workspaces(tr.workspace_sid)


def set_activity(tr: TaskRouter, worker: str, activity: str) -> None:
    workspace(tr).workers(tr.workers[worker]).update(activity_sid=tr.activities[activity])
    tr.advance(0)


def create(tr: TaskRouter, **attributes: str):
    return workspace(tr).tasks.create(attributes=json.dumps(attributes))


def reserve(tr: TaskRouter):
    """Create a Task that is reserved for Alice."""
    task = create(tr, selected_language="es")
    set_activity(tr, "Alice", "Idle")
    return task


def test_quickstart_works_by_mouse(page, tr, app):
    page.get_by_role("button", name="Create Task").click()
    task = rows(page, "tasks")
    expect(task).to_have_count(1)
    expect(task).to_contain_text("pending")
    expect(task).to_contain_text('{"selected_language":"es"}')
    expect(task).to_contain_text("Customer Care Requests - Spanish")

    switch(page, "Alice", "Idle").click()
    expect(task).to_contain_text("reserved")
    expect(task).to_contain_text("Alice")
    expect(switch(page, "Alice", "Reserved")).to_have_attribute("aria-pressed", "true")
    offer = rows(page, "reservations")
    expect(offer).to_contain_text("20:00 left")

    callback = rows(page, "callbacks")
    expect(callback).to_contain_text(re.compile(r"assignment.*200.*ms.*\{\}"))
    callback.locator("summary").click()
    (received,) = app.received
    for text in (*received["parameters"].values(), received["headers"]["X-Twilio-Signature"]):
        expect(callback.locator(".body")).to_contain_text(text)

    offer.get_by_role("button", name="Accept").click()
    expect(task).to_contain_text("assigned")
    expect(offer).to_contain_text("accepted")
    expect(switch(page, "Alice", "Busy")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("log", name="Recent changes")).to_contain_text("Alice is Busy.")

    task.get_by_role("button", name="Complete").click()
    expect(task).to_contain_text("completed")
    expect(task.get_by_role("button")).to_have_count(0)


def test_quickstart_works_by_keyboard(page):
    press(page, "Create Task", "Enter")
    expect(rows(page, "tasks")).to_contain_text("pending")
    press(page, "Idle", " ")
    expect(rows(page, "tasks")).to_contain_text("reserved")
    press(page, "Accept", "Enter")
    expect(rows(page, "tasks")).to_contain_text("assigned")
    assert page.evaluate("document.activeElement.matches('#reservations summary')")
    press(page, "Complete", "Enter")
    expect(rows(page, "tasks")).to_contain_text("completed")
    assert page.evaluate("document.activeElement.matches('#tasks summary')")
    page.keyboard.press("Enter")
    expect(rows(page, "tasks").locator(".body")).to_contain_text("Incoming Customer Care Requests")


def press(page: Page, text: str, key: str) -> None:
    """Move to a control with the Tab key, check that its focus is visible, and press a key."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == text:
            assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "2px"
            page.keyboard.press(key)
            return
    raise AssertionError(f"The Tab key does not reach {text}")


def test_countdown_follows_clock_and_timeout_sets_worker_offline(page, tr):
    reserve(tr)
    offer = rows(page, "reservations")
    expect(page.get_by_role("form", name="Clock")).to_contain_text("frozen")
    tr.advance(60)
    expect(offer).to_contain_text("19:00 left")
    expect(offer.get_by_role("progressbar")).to_have_js_property("value", 1140)
    page.get_by_label("Seconds to advance the clock").fill("1140")
    page.get_by_role("button", name="Advance").click()
    expect(offer).to_contain_text("timeout")
    expect(switch(page, "Alice", "Offline")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("tr", [{"frozen_clock": False}], indirect=True)
def test_age_and_countdown_follow_running_clock(page, tr):
    reserve(tr)
    expect(rows(page, "reservations")).to_contain_text(re.compile("19:5[0-8] left"))
    expect(rows(page, "tasks")).to_contain_text(re.compile("[2-9] s"))


def test_reservation_can_be_rejected(page, tr):
    reserve(tr)
    rows(page, "reservations").get_by_role("button", name="Reject").click()
    expect(rows(page, "reservations")).to_contain_text("rejected")
    expect(switch(page, "Alice", "Idle")).to_have_attribute("aria-pressed", "true")


def test_task_can_be_canceled(page, tr):
    create(tr, selected_language="es")
    rows(page, "tasks").get_by_role("button", name="Cancel").click()
    expect(rows(page, "tasks")).to_contain_text("canceled")


def test_form_sets_workflow_and_priority(page, tr):
    page.get_by_label("Attributes (JSON)").fill('{"selected_language":"en"}')
    page.get_by_label("Priority").fill("7")
    page.get_by_role("button", name="Create Task").click()
    expect(rows(page, "tasks")).to_contain_text("prio 7")
    (task,) = workspace(tr).tasks.list()
    assert (task.priority, task.workflow_sid) == (7, tr.workflow_sid)


def test_rest_error_is_shown_beside_field(page, complaints):
    page.get_by_label("Attributes (JSON)").fill("[1")
    page.get_by_role("button", name="Create Task").click()
    problem = page.locator("#create-problem")
    expect(problem).to_have_text("Attributes must be a valid JSON object (error 20001)")
    expect(page.get_by_label("Attributes (JSON)")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Attributes (JSON)")).to_have_value("[1")
    page.get_by_label("Attributes (JSON)").fill("{}")
    page.get_by_role("button", name="Create Task").click()
    expect(problem).to_be_empty()
    assert complaints.pop(0).startswith(REST_REFUSAL)


def test_error_after_late_click_is_shown(page, tr, complaints):
    task = reserve(tr)
    expect(rows(page, "reservations")).to_have_count(1)
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, writable: true})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    workspace(tr).tasks(task.sid).update(assignment_status="canceled")
    rows(page, "reservations").get_by_role("button", name="Accept").click()
    expect(page.get_by_role("alert")).to_contain_text("is not currently in a Pending state")
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator("#problem")).to_be_hidden()
    assert complaints.pop(0).startswith(REST_REFUSAL)


def test_page_updates_automatically(page, tr, app):
    app.answer("/assignment_callback", b"oh", kind="text/html")
    task = create(tr, selected_language="es")
    expect(rows(page, "tasks")).to_contain_text("pending")
    set_activity(tr, "Alice", "Idle")
    expect(rows(page, "tasks")).to_contain_text("reserved")
    expect(rows(page, "alerts")).to_contain_text("40000")
    workspace(tr).tasks(task.sid).delete()
    expect(rows(page, "tasks")).to_have_count(0)
    expect(page.locator("#tasks .empty")).to_have_text("No Tasks. Use the form to create a Task.")


def test_html_in_data_is_shown_as_text(page, tr):
    code = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    create(tr, selected_language="es", note=code)
    workspace(tr).workers.create(friendly_name="<b>Eve</b>", attributes=json.dumps({"n": code}))
    expect(rows(page, "tasks")).to_contain_text("<img src=x onerror=alert(1)>")
    expect(rows(page, "workers").last).to_contain_text("<b>Eve</b>")
    for section in ("tasks", "workers"):
        rows(page, section).last.locator("summary").click()
        expect(rows(page, section).last.locator("pre")).to_contain_text("<script>alert(2)</script>")
    assert page.locator(".rows img, .rows script, .rows b").count() == 0


def test_update_keeps_focus_details_selection_and_form_input(page, tr):
    create(tr, selected_language="es")
    row = rows(page, "tasks").last
    row.locator("summary").click()
    row.locator("dd").first.click(click_count=3)
    field = page.get_by_label("Attributes (JSON)")
    row.locator("pre").focus()
    selected = page.evaluate("getSelection().toString()")
    assert selected.startswith("WT")
    create(tr, selected_language="en")
    expect(rows(page, "tasks")).to_have_count(2)
    assert page.evaluate("document.activeElement.matches('#tasks pre')")
    assert page.evaluate("getSelection().toString()") == selected
    expect(row.locator("details")).to_have_attribute("open", "")

    field.fill('{"half":')
    set_activity(tr, "Alice", "Idle")
    expect(row).to_contain_text("reserved")
    expect(row.locator(".body")).to_contain_text("reserved")
    expect(field).to_be_focused()
    expect(field).to_have_value('{"half":')


def test_heading_gets_focus_of_removed_row(page, tr):
    task = create(tr, selected_language="es")
    rows(page, "tasks").locator("summary").focus()
    workspace(tr).tasks(task.sid).delete()
    expect(page.get_by_role("heading", name="Tasks", exact=True)).to_be_focused()


def test_list_of_500_tasks_stays_usable(page, tr):
    tasks = workspace(tr).tasks
    for number in range(500):
        tasks.create(attributes=f'{{"selected_language": "en", "order": "order-{number}"}}')
    expect(page.get_by_role("link", name="Tasks 500", exact=True)).to_be_visible()
    expect(rows(page, "tasks")).to_have_count(10)
    page.get_by_role("button", name="Show 100 more of 500").click()
    expect(rows(page, "tasks")).to_have_count(110)
    page.get_by_label("Show only Tasks with this text").fill("order-123")
    expect(rows(page, "tasks")).to_have_count(1)
    set_activity(tr, "Bob", "Idle")
    page.get_by_label("Show only Tasks with this text").fill("bob")
    expect(rows(page, "tasks")).to_contain_text("order-0")
    page.get_by_label("Show only Tasks with this text").fill("nowhere")
    expect(page.locator("#tasks .empty")).to_have_text("Nothing matches the filter.")


def test_tasks_are_created_in_selected_workspace(page, tr):
    other = tr.client().taskrouter.v1.workspaces.create(friendly_name="Other")
    there = tr.client().taskrouter.v1.workspaces(other.sid)
    queue = there.task_queues.create(friendly_name="All")
    routing = {"task_routing": {"default_filter": {"queue": queue.sid}}}
    there.workflows.create(friendly_name="Plain", configuration=json.dumps(routing))
    create(tr, selected_language="es")
    page.get_by_label("Workspace").select_option("Other")
    expect(page.get_by_label("Workflow")).to_contain_text("Plain")
    expect(rows(page, "tasks")).to_have_count(0)
    page.get_by_role("button", name="Create Task").click()
    expect(rows(page, "tasks")).to_contain_text("All")
    page.get_by_label("Workspace").select_option("Quickstart")
    expect(rows(page, "tasks")).to_contain_text("Customer Care Requests - Spanish")


def test_page_reports_lost_connection_and_recovers(page, tr, complaints):
    page.context.set_offline(True)
    expect(page.get_by_role("status")).to_contain_text("cannot be reached")
    page.get_by_role("button", name="Create Task").click()
    expect(page.locator("#create-problem")).to_have_text("The simulator cannot be reached.")
    create(tr, selected_language="es")
    page.context.set_offline(False)
    expect(page.get_by_role("status")).to_have_text("Live")
    expect(rows(page, "tasks")).to_have_count(1)
    assert complaints
    assert all("ERR_INTERNET_DISCONNECTED" in message for message in complaints)
    complaints.clear()


def test_hidden_page_does_not_poll(open_portal):
    page = open_portal(before=lambda page: page.clock.install())
    requested = []
    page.on("request", lambda request: requested.append(request.url))
    for _ in range(3):
        with page.expect_response("**/simulator/state*") as response:
            page.clock.run_for(1000)
        assert response.value.status == 304
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, writable: true})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    requested.clear()
    page.clock.run_for(60_000)
    assert requested == []
    with page.expect_response("**/simulator/state*"):
        page.evaluate("document.hidden = false")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", [PHONE, {}], ids=["phone", "desktop"])
def test_axe_reports_no_violations(open_portal, tr, app, scheme, window):
    task = reserve(tr)
    workspace(tr).tasks(task.sid).reservations.list()[0].update(reservation_status="accepted")
    create(tr, selected_language="es")
    app.answer("/assignment_callback", b"oh", kind="text/html")
    create(tr, selected_language="en")
    set_activity(tr, "Bob", "Idle")
    page = open_portal(color_scheme=scheme, **window)
    expect(rows(page, "tasks")).to_have_count(3)
    for section in ("tasks", "reservations", "workers", "queues", "alerts", "callbacks"):
        rows(page, section).first.locator("summary").click()
    page.get_by_label("Attributes (JSON)").fill("[]")
    violations = Axe().run(page).response["violations"]
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in violations] == []


def test_phone_needs_no_horizontal_scrolling(open_portal, tr):
    page = open_portal(**PHONE)
    workspace(tr).workers.create(friendly_name="W" * 64)
    for language in ("es", "en"):
        create(tr, selected_language=language, long="x" * 3000)
    set_activity(tr, "Alice", "Idle")
    expect(rows(page, "reservations")).to_have_count(1)
    for section in ("tasks", "reservations", "workers", "queues", "callbacks"):
        rows(page, section).first.locator("summary").click()
    expect(rows(page, "callbacks").locator("pre")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    rows(page, "reservations").get_by_role("button", name="Accept").click()
    expect(rows(page, "reservations")).to_contain_text("accepted")
