"""Browser tests of the portal page, in Chromium."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from taskrouter_simulator.testing import TaskRouter
from tests.simulator.call_simulation import CALLER, DEQUEUE, NUMBER, enqueue_verb

PHONE = {"viewport": {"width": 360, "height": 800}, "has_touch": True, "is_mobile": True}
CONSOLE_MESSAGE_PREFIX = "error: Failed to load resource: the server responded with a status of 400"


def rows(page: Page, section: str):
    return page.locator(f"#{section} .rows > li")


def activity_button(page: Page, worker: str, activity: str):
    return page.get_by_role("group", name=f"Activity of {worker}").get_by_role(
        "button", name=activity
    )


def workspace(taskrouter: TaskRouter):
    return taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)


def set_activity(taskrouter: TaskRouter, worker: str, activity: str) -> None:
    workspace(taskrouter).workers(taskrouter.workers[worker]).update(
        activity_sid=taskrouter.activities[activity]
    )
    taskrouter.advance(0)


def create_task(taskrouter: TaskRouter, **attributes: str):
    return workspace(taskrouter).tasks.create(attributes=json.dumps(attributes))


def create_reserved_task(taskrouter: TaskRouter):
    """Create a Task and reserve Alice for the Task; return the Task."""
    task = create_task(taskrouter, selected_language="es")
    set_activity(taskrouter, "Alice", "Idle")
    return task


def test_quickstart_works_with_a_mouse(page, taskrouter, app):
    page.get_by_role("button", name="Create Task").click()
    task = rows(page, "tasks")
    expect(task).to_have_count(1)
    expect(task).to_contain_text("pending")
    expect(task).to_contain_text('{"selected_language":"es"}')
    expect(task).to_contain_text("Customer Care Requests - Spanish")

    activity_button(page, "Alice", "Idle").click()
    expect(task).to_contain_text("reserved")
    expect(task).to_contain_text("Alice")
    expect(activity_button(page, "Alice", "Reserved")).to_have_attribute("aria-pressed", "true")
    reservation = rows(page, "reservations")
    expect(reservation).to_contain_text("20:00 left")

    callback = rows(page, "callbacks")
    expect(callback).to_contain_text(re.compile(r"assignment.*200.*ms.*\{\}"))
    callback.locator("summary").click()
    (received,) = app.received
    for text in (*received["parameters"].values(), received["headers"]["X-Twilio-Signature"]):
        expect(callback.locator(".body")).to_contain_text(text)

    reservation.get_by_role("button", name="Accept").click()
    expect(task).to_contain_text("assigned")
    expect(reservation).to_contain_text("accepted")
    expect(activity_button(page, "Alice", "Busy")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("log", name="Recent changes")).to_contain_text("Alice is Busy.")

    task.get_by_role("button", name="Complete").click()
    expect(task).to_contain_text("completed")
    expect(task.get_by_role("button")).to_have_count(0)


def test_quickstart_works_with_a_keyboard(page):
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
    """Tab to the control with this text, check its focus ring, and press the key."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == text:
            assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "2px"
            page.keyboard.press(key)
            return
    raise AssertionError(f"The Tab key never moved the focus to {text}")


def test_countdown_follows_the_clock_and_a_timeout_sets_the_worker_offline(page, taskrouter):
    create_reserved_task(taskrouter)
    reservation = rows(page, "reservations")
    expect(page.get_by_role("form", name="Clock")).to_contain_text("frozen")
    taskrouter.advance(60)
    expect(reservation).to_contain_text("19:00 left")
    expect(reservation.get_by_role("progressbar")).to_have_js_property("value", 1140)
    page.get_by_label("Seconds to advance the clock").fill("1140")
    page.get_by_role("button", name="Advance").click()
    expect(reservation).to_contain_text("timeout")
    expect(activity_button(page, "Alice", "Offline")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("taskrouter", [{"frozen_clock": False}], indirect=True)
def test_age_and_countdown_follow_a_running_clock(page, taskrouter):
    create_reserved_task(taskrouter)
    expect(rows(page, "reservations")).to_contain_text(re.compile("19:5[0-8] left"))
    expect(rows(page, "tasks")).to_contain_text(re.compile("[2-9] s"))


def test_reservation_can_be_rejected(page, taskrouter):
    create_reserved_task(taskrouter)
    rows(page, "reservations").get_by_role("button", name="Reject").click()
    expect(rows(page, "reservations")).to_contain_text("rejected")
    expect(activity_button(page, "Alice", "Idle")).to_have_attribute("aria-pressed", "true")


def test_task_can_be_canceled(page, taskrouter):
    create_task(taskrouter, selected_language="es")
    rows(page, "tasks").get_by_role("button", name="Cancel").click()
    expect(rows(page, "tasks")).to_contain_text("canceled")


def test_form_sets_the_workflow_and_the_priority(page, taskrouter):
    page.get_by_label("Attributes (JSON)").fill('{"selected_language":"en"}')
    page.get_by_label("Priority").fill("7")
    page.get_by_role("button", name="Create Task").click()
    expect(rows(page, "tasks")).to_contain_text("priority 7")
    (task,) = workspace(taskrouter).tasks.list()
    assert (task.priority, task.workflow_sid) == (7, taskrouter.workflow_sid)


def test_rest_error_is_shown_in_the_form_and_marks_the_field(page, page_problems):
    page.get_by_label("Attributes (JSON)").fill("[1")
    page.get_by_role("button", name="Create Task").click()
    problem = page.locator("#create-problem")
    expect(problem).to_have_text("Attributes must be a valid JSON object (error 20001)")
    expect(page.get_by_label("Attributes (JSON)")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Attributes (JSON)")).to_have_value("[1")
    page.get_by_label("Attributes (JSON)").fill("{}")
    page.get_by_role("button", name="Create Task").click()
    expect(problem).to_be_empty()
    assert page_problems.pop(0).startswith(CONSOLE_MESSAGE_PREFIX)


def test_rest_error_after_a_click_on_an_outdated_row_is_shown(page, taskrouter, page_problems):
    task = create_reserved_task(taskrouter)
    expect(rows(page, "reservations")).to_have_count(1)
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, writable: true})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    workspace(taskrouter).tasks(task.sid).update(assignment_status="canceled")
    rows(page, "reservations").get_by_role("button", name="Accept").click()
    expect(page.locator("#problem")).to_contain_text("is not currently in a Pending state")
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator("#problem")).to_be_hidden()
    assert page_problems.pop(0).startswith(CONSOLE_MESSAGE_PREFIX)


def test_page_updates_automatically(page, taskrouter, app):
    app.set_response("/assignment_callback", b"not JSON", content_type="text/html")
    task = create_task(taskrouter, selected_language="es")
    expect(rows(page, "tasks")).to_contain_text("pending")
    set_activity(taskrouter, "Alice", "Idle")
    expect(rows(page, "tasks")).to_contain_text("reserved")
    expect(rows(page, "alerts")).to_contain_text("40000")
    workspace(taskrouter).tasks(task.sid).delete()
    expect(rows(page, "tasks")).to_have_count(0)
    expect(page.locator("#tasks .empty")).to_have_text("No Tasks. Use the form to create a Task.")


def test_html_in_data_is_shown_as_text(page, taskrouter):
    html = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    create_task(taskrouter, selected_language="es", note=html)
    workspace(taskrouter).workers.create(
        friendly_name="<b>Eve</b>", attributes=json.dumps({"n": html})
    )
    expect(rows(page, "tasks")).to_contain_text("<img src=x onerror=alert(1)>")
    expect(rows(page, "workers").last).to_contain_text("<b>Eve</b>")
    for section in ("tasks", "workers"):
        rows(page, section).last.locator("summary").click()
        expect(rows(page, section).last.locator("pre")).to_contain_text("<script>alert(2)</script>")
    assert page.locator(".rows img, .rows script, .rows b").count() == 0


def test_request_of_a_callback_is_shown_with_its_method(page, taskrouter, app):
    set_activity(taskrouter, "Alice", "Idle")
    document = f"<Response>{enqueue_verb(action='')}</Response>".encode()
    app.set_response("/incoming_call", document, content_type="text/xml")
    url = f"{app.url}/status"
    app.set_response("/assignment_callback", {**DEQUEUE, "status_callback_url": url})
    taskrouter.hang_up(taskrouter.place_call(CALLER, NUMBER)["sid"])
    for kind, method in (("status", "GET"), ("twiml", "POST")):
        callback = rows(page, "callbacks").filter(has_text=kind).first
        callback.locator("summary").click()
        request = callback.locator(".body dl").first
        expect(request.locator("dt").first).to_have_text(method)
        expect(request.get_by_text("method", exact=True)).to_have_count(0)


def test_update_keeps_the_focus_and_the_selection_as_well_as_open_details_and_form_input(
    page, taskrouter
):
    create_task(taskrouter, selected_language="es")
    row = rows(page, "tasks").last
    row.locator("summary").click()
    row.locator("dd").first.click(click_count=3)
    field = page.get_by_label("Attributes (JSON)")
    row.locator("pre").focus()
    selected = page.evaluate("getSelection().toString()")
    assert selected.startswith("WT")
    create_task(taskrouter, selected_language="en")
    expect(rows(page, "tasks")).to_have_count(2)
    assert page.evaluate("document.activeElement.matches('#tasks pre')")
    assert page.evaluate("getSelection().toString()") == selected
    expect(row.locator("details")).to_have_attribute("open", "")

    field.fill('{"half":')
    set_activity(taskrouter, "Alice", "Idle")
    expect(row).to_contain_text("reserved")
    expect(row.locator(".body")).to_contain_text("reserved")
    expect(field).to_be_focused()
    expect(field).to_have_value('{"half":')


def test_focus_moves_to_the_heading_when_the_focused_row_is_removed(page, taskrouter):
    task = create_task(taskrouter, selected_language="es")
    rows(page, "tasks").locator("summary").focus()
    workspace(taskrouter).tasks(task.sid).delete()
    expect(page.get_by_role("heading", name="Tasks", exact=True)).to_be_focused()


def test_list_of_500_tasks_can_be_extended_and_filtered(page, taskrouter):
    tasks = workspace(taskrouter).tasks
    for number in range(500):
        tasks.create(attributes=f'{{"selected_language": "en", "order": "order-{number}"}}')
    expect(page.get_by_role("link", name="Tasks 500", exact=True)).to_be_visible()
    expect(rows(page, "tasks")).to_have_count(10)
    page.get_by_role("button", name="Show 100 more of 500").click()
    expect(rows(page, "tasks")).to_have_count(110)
    page.get_by_label("Show only Tasks with this text").fill("order-123")
    expect(rows(page, "tasks")).to_have_count(1)
    set_activity(taskrouter, "Bob", "Idle")
    page.get_by_label("Show only Tasks with this text").fill("bob")
    expect(rows(page, "tasks")).to_contain_text("order-0")
    page.get_by_label("Show only Tasks with this text").fill("nowhere")
    expect(page.locator("#tasks .empty")).to_have_text("Nothing matches the filter.")


def test_tasks_are_created_in_the_selected_workspace(page, taskrouter):
    other_workspace = taskrouter.client().taskrouter.v1.workspaces.create(friendly_name="Other")
    queue = other_workspace.task_queues.create(friendly_name="All")
    routing = {"task_routing": {"default_filter": {"queue": queue.sid}}}
    other_workspace.workflows.create(friendly_name="Plain", configuration=json.dumps(routing))
    create_task(taskrouter, selected_language="es")
    page.get_by_label("Workspace").select_option("Other")
    expect(page.get_by_label("Workflow")).to_contain_text("Plain")
    expect(rows(page, "tasks")).to_have_count(0)
    page.get_by_role("button", name="Create Task").click()
    expect(rows(page, "tasks")).to_contain_text("All")
    page.get_by_label("Workspace").select_option("Quickstart")
    expect(rows(page, "tasks")).to_contain_text("Customer Care Requests - Spanish")


def test_page_reports_a_lost_connection_and_recovers(page, taskrouter, page_problems):
    page.context.set_offline(True)
    expect(page.locator("#connection")).to_contain_text("cannot be reached")
    page.get_by_role("button", name="Create Task").click()
    expect(page.locator("#create-problem")).to_have_text("The simulator cannot be reached.")
    create_task(taskrouter, selected_language="es")
    page.context.set_offline(False)
    expect(page.locator("#connection")).to_have_text("Live")
    expect(rows(page, "tasks")).to_have_count(1)
    assert page_problems
    assert all("ERR_INTERNET_DISCONNECTED" in message for message in page_problems)
    page_problems.clear()


def test_hidden_page_does_not_poll(open_portal):
    page = open_portal(prepare=lambda page: page.clock.install())
    requested_urls = []
    page.on("request", lambda request: requested_urls.append(request.url))
    for _ in range(3):
        with page.expect_response("**/simulator/state*") as response:
            page.clock.run_for(1000)
        assert response.value.status == 304
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, writable: true})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    requested_urls.clear()
    page.clock.run_for(60_000)
    assert requested_urls == []
    with page.expect_response("**/simulator/state*"):
        page.evaluate("document.hidden = false")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_reports_no_violations(open_portal, taskrouter, app, scheme):
    task = create_reserved_task(taskrouter)
    workspace(taskrouter).tasks(task.sid).reservations.list()[0].update(
        reservation_status="accepted"
    )
    app.set_response("/assignment_callback", b"not JSON", content_type="text/html")
    create_task(taskrouter, selected_language="en")
    set_activity(taskrouter, "Bob", "Idle")
    page = open_portal(color_scheme=scheme)
    page.get_by_role("button", name="Create Task").click()
    expect(rows(page, "tasks")).to_have_count(3)
    for section in ("tasks", "reservations", "workers", "queues", "alerts", "callbacks"):
        rows(page, section).first.locator("summary").click()
    page.get_by_label("Attributes (JSON)").fill("[]")
    for width in (360, 768, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        violations = Axe().run(page).response["violations"]
        found = [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in violations]
        assert found == [], width


def test_page_needs_no_horizontal_scrolling_on_a_phone(open_portal, taskrouter):
    page = open_portal(**PHONE)
    workspace(taskrouter).workers.create(friendly_name="W" * 64)
    for language in ("es", "en"):
        create_task(taskrouter, selected_language=language, long="x" * 3000)
    set_activity(taskrouter, "Alice", "Idle")
    expect(rows(page, "reservations")).to_have_count(1)
    for section in ("tasks", "reservations", "workers", "queues", "callbacks"):
        rows(page, section).first.locator("summary").click()
    expect(rows(page, "callbacks").locator("pre")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    rows(page, "reservations").get_by_role("button", name="Accept").click()
    expect(rows(page, "reservations")).to_contain_text("accepted")
