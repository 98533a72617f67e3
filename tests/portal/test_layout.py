"""Browser tests of the portal page: its layout, its callbacks, and what a reload keeps."""

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.portal.test_in_chromium import (
    create_reserved_task,
    create_task,
    rows,
    set_activity,
    workspace,
)

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
TABLET = {"viewport": {"width": 768, "height": 1024}}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
WINDOWS = pytest.mark.parametrize(
    "window", [PHONE, TABLET, DESKTOP], ids=lambda w: str(w["viewport"]["width"])
)
SECTIONS = ["tasks", "reservations", "workers", "queues", "alerts", "callbacks"]
LONG_NAME = "Queue for customers of the northern region with premium support"
# Returns whether the text of each element fits in the element, and the element in the window.
FITS = """elements => elements.every(element => {
  const range = document.createRange();
  range.selectNodeContents(element);
  const [text, box] = [range.getBoundingClientRect(), element.getBoundingClientRect()];
  return text.width <= box.width + 1 && text.height <= box.height + 1 && box.right <= innerWidth;
})"""
# Returns whether the text of the selected option fits in a select element.
SELECTION_FITS = """select => {
  const context = document.createElement("canvas").getContext("2d");
  context.font = getComputedStyle(select).font;
  const arrow = 20;
  return context.measureText(select.selectedOptions[0].text).width + arrow <= select.clientWidth;
}"""


def top(page: Page, selector: str) -> float:
    return page.locator(selector).first.bounding_box()["y"]


def positions(page: Page) -> dict[str, list[float]]:
    """Return the y coordinates of the headings and rows of three sections, by section name."""
    return {
        section: [
            element.bounding_box()["y"]
            for element in page.locator(f"#{section} h2, #{section} .rows > li").all()
        ]
        for section in ("tasks", "reservations", "workers")
    }


def test_tasks_and_reservations_are_first_on_a_phone(open_portal, taskrouter):
    for _ in range(50):
        create_task(taskrouter, selected_language="es")
    set_activity(taskrouter, "Alice", "Idle")
    page = open_portal(**PHONE)
    expect(rows(page, "reservations")).to_have_count(1)
    tops = [top(page, f"#{section}") for section in SECTIONS]
    assert tops == sorted(tops)
    assert top(page, "#tasks .rows > li") < 450
    assert top(page, "#reservations .rows > li") < 2 * 844
    expect(page.get_by_role("button", name="Create Task")).to_be_hidden()
    page.get_by_text("Create a Task").click()
    page.get_by_role("button", name="Create Task").click()
    expect(page.get_by_role("link", name="Tasks 51", exact=True)).to_be_visible()


def test_form_is_open_on_a_phone_if_there_are_no_tasks(open_portal):
    page = open_portal(**PHONE)
    expect(page.get_by_role("button", name="Create Task")).to_be_in_viewport()


@WINDOWS
def test_created_task_is_confirmed_next_to_the_button(
    open_portal, taskrouter, page_problems, window
):
    page = open_portal(**window)
    button, status = page.get_by_role("button", name="Create Task"), page.locator("#created")
    before = top(page, "#tasks .rows")
    button.click()
    expect(status).to_have_text(re.compile(r"^Task WT[0-9a-f]{4}…[0-9a-f]{4} created\.$"))
    expect(status).to_have_role("status")
    (task,) = workspace(taskrouter).tasks.list()
    expect(status).to_contain_text(task.sid[:6])
    clicked, confirmation = button.bounding_box(), status.bounding_box()
    assert confirmation["y"] - (clicked["y"] + clicked["height"]) < 20
    assert confirmation["x"] - (clicked["x"] + clicked["width"]) < 20
    assert top(page, "#tasks .rows") == before
    page.get_by_label("Attributes (JSON)").fill("[")
    button.click()
    expect(page.locator("#create-problem")).to_contain_text("Attributes must be")
    expect(status).to_be_empty()
    assert page_problems.pop(0).startswith("error: Failed to load resource")


def test_long_names_are_not_cut_off(page, taskrouter):
    queue = workspace(taskrouter).task_queues.create(
        friendly_name=LONG_NAME, target_workers="1 == 1"
    )
    worker = workspace(taskrouter).workers.create(
        friendly_name="Alexandra Konstantinopoulou-Papadopoulos", attributes="{}"
    )
    routing = {"task_routing": {"default_filter": {"queue": queue.sid}}}
    workspace(taskrouter).workflows(taskrouter.workflow_sid).update(
        configuration=json.dumps(routing)
    )
    create_task(taskrouter)
    worker.update(activity_sid=taskrouter.activities["Idle"])
    taskrouter.advance(0)
    expect(rows(page, "reservations")).to_contain_text("Alexandra")
    for width in (360, 390, 768, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.locator("summary strong, summary .detail").evaluate_all(FITS), width
        assert page.get_by_label("Workflow").evaluate(SELECTION_FITS), width
        assert page.get_by_label("Workspace").evaluate(SELECTION_FITS), width
        assert page.evaluate("document.documentElement.scrollWidth") == width


@WINDOWS
def test_status_changes_do_not_move_task_or_reservation_rows(open_portal, taskrouter, window):
    first = create_reserved_task(taskrouter)
    create_task(taskrouter, selected_language="en")
    set_activity(taskrouter, "Bob", "Idle")
    page = open_portal(**window)
    expect(rows(page, "reservations")).to_have_count(2)
    before = positions(page)
    (reservation,) = workspace(taskrouter).tasks(first.sid).reservations.list()
    reservation.update(reservation_status="accepted")
    taskrouter.advance(700)
    expect(rows(page, "reservations").last).to_contain_text("accepted")
    expect(rows(page, "reservations").first).to_contain_text("8:20 left")
    assert positions(page) == before
    taskrouter.advance(500)
    expect(rows(page, "reservations").first).to_contain_text("timeout")
    first.update(assignment_status="completed")
    expect(rows(page, "tasks").last).to_contain_text("completed")
    after = positions(page)
    assert {name: after[name] for name in ("tasks", "reservations")} == {
        name: before[name] for name in ("tasks", "reservations")
    }


def test_reload_keeps_the_input_and_the_workspace(page, taskrouter):
    taskrouter.client().taskrouter.v1.workspaces.create(friendly_name="Other")
    create_task(taskrouter, selected_language="es")
    expect(rows(page, "tasks")).to_have_count(1)
    inputs = {
        "Attributes (JSON)": '{"half":',
        "Priority": "5",
        "Seconds to advance the clock": "7",
        "Show only Tasks with this text": "nothing",
        "Show only callbacks with this text": "WT12",
    }
    for label, text in inputs.items():
        page.get_by_label(label).fill(text)
    page.reload()
    expect(page.locator("#tasks .empty")).to_have_text("Nothing matches the filter.")
    assert {label: page.get_by_label(label).input_value() for label in inputs} == inputs
    page.get_by_label("Workspace").select_option("Other")
    expect(page.locator("#tasks .empty")).to_contain_text("No Tasks.")
    page.reload()
    expect(page.get_by_label("Workspace").locator("option:checked")).to_have_text("Other")


@pytest.mark.parametrize("taskrouter", [{"event_path": "/events"}], indirect=True)
def test_callbacks_are_filtered_by_kind(page, taskrouter, app):
    app.set_response("/events", b"", status=204)
    create_reserved_task(taskrouter)
    for number in range(101):
        create_task(taskrouter, selected_language="en", order=str(number))
    taskrouter.advance(0)
    kinds = page.get_by_role("group", name="Kind of callback")
    expect(kinds.get_by_role("button", name="assignment 1")).to_be_visible()
    expect(rows(page, "callbacks")).to_have_count(20)
    expect(page.locator("#callbacks .rows")).not_to_contain_text("assignment")
    omitted = re.compile(r"^\d+ older items are not listed\. Each kind has its own limit\.$")
    expect(page.get_by_role("button", name="Show 81 more of 101")).to_be_visible()
    expect(page.locator("#callbacks .empty")).to_have_text(omitted)
    kinds.get_by_role("button", name="assignment").press("Enter")
    expect(rows(page, "callbacks")).to_have_count(1)
    expect(rows(page, "callbacks")).to_contain_text("assignment")
    expect(page.locator("#callbacks .empty")).to_be_hidden()
    expect(kinds.get_by_role("button", pressed=True)).to_have_text("assignment 1")
    kinds.get_by_role("button", name="twiml").click()
    expect(rows(page, "callbacks")).to_have_count(0)
    expect(page.locator("#callbacks .empty")).to_have_text("Nothing matches the filter.")
    kinds.get_by_role("button", name="event").click()
    page.get_by_role("button", name=re.compile("Show 80 more of 100")).click()
    expect(page.locator("#callbacks .empty")).to_have_text(omitted)
    page.get_by_label("Show only callbacks with this text").fill("reservation.created")
    expect(rows(page, "callbacks")).to_have_count(0)
    expect(page.locator("#callbacks .empty")).to_contain_text(
        re.compile(r"^Nothing matches the filter\. \d+ older items are not listed\.")
    )
    page.reload()
    expect(kinds.get_by_role("button", pressed=True)).to_contain_text("event")
    expect(rows(page, "callbacks")).to_have_count(0)
    kinds.get_by_role("button", name="all").first.click()
    expect(rows(page, "callbacks")).to_have_count(0)
    page.get_by_label("Show only callbacks with this text").fill("assignment_callback")
    expect(rows(page, "callbacks")).to_have_count(1)


@pytest.mark.parametrize("taskrouter", [{"event_path": "/events"}], indirect=True)
def test_event_callbacks_are_announced_only_if_they_fail(page, taskrouter, app):
    app.set_response("/events", b"", status=204)
    changes = page.get_by_role("log", name="Recent changes")
    create_task(taskrouter, selected_language="es")
    expect(page.get_by_role("link", name="Callbacks 4", exact=True)).to_be_visible()
    expect(changes).to_contain_text("is pending.")
    expect(changes).not_to_contain_text("Event")
    app.set_response("/events", b"", status=500)
    create_task(taskrouter, selected_language="es")
    expect(changes).to_contain_text("got status 500.")
