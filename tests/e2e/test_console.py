"""Agents and supervisors use the console, in Chromium, on the real local stack."""

import json
import re
import time

import pytest
from playwright.sync_api import expect

from infra.commands.token import create_token, read_api_key
from tests.console.conftest import watch
from tests.console.pages import click_background, ended_rows, row, rows
from tests.e2e.live_stack import bare_environ, eventually, live_stack
from tests.portal.conftest import browser

pytestmark = pytest.mark.slow

__all__ = ["browser"]


@pytest.fixture(scope="module")
def live():
    with live_stack(bare_environ(SIMULATOR_EVENT_PATH="/event_callback")) as running:
        yield running


@pytest.fixture
def open_console(live, browser):
    """A function that opens the console with a sign-in link.

    The stack is cleared after each test.
    """
    contexts, problems = [], []

    def open_page(role="worker", worker="Alice", *, hours=1):
        settings = live.definition.settings
        worker_sid = live.identifiers["workers"][worker] if role == "worker" else None
        token = create_token(
            settings, read_api_key(settings), role=role, hours=hours, worker_sid=worker_sid
        )
        context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
        contexts.append(context)
        page = context.new_page()
        watch(page, live.definition.api_url, problems)
        page.goto(f"{live.definition.api_url}/console#token={token}")
        expect(page.locator(".live")).to_contain_text("Live")
        return page

    yield open_page
    for context in contexts:
        context.close()
    live.clear()
    assert problems == []


def create_task(live, **attributes):
    body = {"attributes": {"selected_language": "es", **attributes}}
    assert live.app.post("/create-task", body).status == 201


def test_available_worker_accepts_an_offer_and_completes_the_task(live, open_console):
    page = open_console()
    expect(
        page.get_by_text("Your Activity is Offline, so TaskRouter offers you no Tasks.")
    ).to_be_visible()
    # If two changes of the Activity occur in the same second, the change that is recorded last may
    # win. Wait until the switch is recorded before a Task changes the Activity to Reserved.
    with page.expect_response("**/activity"):
        page.get_by_label("Your Activity").select_option("Idle")
    create_task(live, customer="Marta", topic="refund")
    expect(rows(page)).to_contain_text("Marta", timeout=10_000)
    expect(page).to_have_title("(1) Inbox, Agent console")
    expect(page.get_by_label("Your Activity")).to_have_value(
        live.identifiers["activities"]["Reserved"]
    )
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(rows(page)).to_have_attribute("data-end", "accepted")
    expect(page.locator(".list > li")).to_contain_text("Marta", timeout=10_000)
    assert live.activity_of_alice() == "Busy"
    page.get_by_role("button", name="Complete").click()
    expect(ended_rows(page).first).to_contain_text("Completed")


def test_worker_rejects_an_offer_with_the_keyboard_and_gets_the_selected_activity(
    live, open_console
):
    reservation = live.create_pending_reservation()
    page = open_console()
    expect(rows(page)).to_have_count(1)
    page.get_by_label("After a rejection, set me to").select_option("Offline")
    click_background(page)
    page.keyboard.press("j")
    page.keyboard.press("r")
    expect(rows(page)).to_have_attribute("data-end", "rejected")
    assert live.fetch_record(reservation["reservation_sid"])["status"] == "rejected"
    assert live.activity_of_alice() == "Offline"


def test_task_that_a_supervisor_creates_in_the_form_is_offered_to_a_worker(live, open_console):
    live.set_activity_of_alice("Idle")
    page = open_console("supervisor")
    page.keyboard.press("t")
    attributes = page.get_by_label("Attributes (JSON object)")
    attributes.fill(
        '{"customer": "Marta", "selected_language": "es", "number": 12345678901234567890}'
    )
    page.get_by_label("Priority").fill("5")
    page.get_by_label("TaskChannel").fill("nonsense")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Create Task", exact=True).click()
    expect(dialog.locator(".outcome")).to_contain_text("TaskChannel nonsense does not exist")
    page.get_by_label("TaskChannel").fill("voice")
    dialog.get_by_role("button", name="Create Task", exact=True).click()
    expect(dialog.locator(".outcome .mono")).to_have_text(re.compile("^WT[0-9a-f]{32}$"))
    page.keyboard.press("Escape")
    expect(row(page, "Marta")).to_contain_text("Priority 5", timeout=10_000)
    expect(row(page, "Marta")).to_contain_text("12345678901234567")


def test_overview_agrees_with_taskrouter(live, open_console):
    live.create_pending_reservation()
    fetch_statistics = lambda: live.app.get("/statistics").body  # noqa: E731
    assert eventually(lambda: any(hour["open"] for hour in fetch_statistics()["hours"]), within=60)
    page = open_console("supervisor")
    page.get_by_role("link", name="Overview").click()
    pending = sum(hour["by_status"]["pending"] for hour in fetch_statistics()["hours"])
    expect(page.locator(".tile .big").first).to_have_text(str(pending))
    statistics = live.taskrouter.get("/RealTimeStatistics").body
    workers = [
        f"{item['friendly_name']}{item['workers']}" for item in statistics["activity_statistics"]
    ]
    expect(page.locator(".panel", has=page.locator("#workers")).locator("li")).to_have_text(workers)
    expect(page.locator(".panel", has=page.locator("#sweeps"))).to_contain_text("On time")
    expect(page.locator(".banner")).to_have_count(0)


def test_two_browsers_decide_at_the_same_time_and_show_the_same_decision(live, open_console):
    live.create_pending_reservation()
    alice, supervisor = open_console(), open_console("supervisor")
    for page in (alice, supervisor):
        expect(rows(page)).to_have_count(1)
    buttons = [
        row(page, "es").get_by_role("button", name="Accept").first.element_handle()
        for page in (supervisor, alice)
    ]
    # Playwright's own click would wait until the button is stable. Meanwhile, the decision in the
    # first browser could remove the button in the second browser.
    for button in buttons:
        button.evaluate("button => button.click()")
    for page in (alice, supervisor):
        expect(row(page, "es")).to_contain_text("Accepted", timeout=10_000)
        expect(page.get_by_role("alert")).to_have_count(0)


def test_offer_that_is_withdrawn_while_shown_is_marked_as_withdrawn(live, open_console):
    reservation = live.create_pending_reservation()
    page = open_console()
    expect(rows(page)).to_have_count(1)
    live.taskrouter.post(f"/Tasks/{reservation['task_sid']}", {"AssignmentStatus": "canceled"})
    expect(row(page, "es")).to_contain_text("Withdrawn", timeout=10_000)
    expect(row(page, "es")).to_contain_text("The Task was canceled")


def test_offer_that_times_out_while_shown_sets_the_worker_to_offline(live, open_console, control):
    live.create_pending_reservation()
    page = open_console()
    expect(rows(page)).to_have_count(1)
    timeout = live.definition.settings.reservation_timeout_seconds
    assert control.post("/clock", {"advance": timeout + 1}).status in {200, 204}
    expect(row(page, "es")).to_contain_text("Timed out", timeout=10_000)
    expect(page.locator(".banner")).to_contain_text("TaskRouter set you to Offline", timeout=10_000)
    expect(page.locator(".banner")).to_contain_text("An offer timed out.")


def test_worker_cannot_see_another_workers_offer(live, open_console):
    live.create_pending_reservation()
    alice, bob = open_console(), open_console(worker="Bob")
    expect(rows(alice)).to_have_count(1)
    expect(bob.get_by_role("heading", name="No open offers")).to_be_visible()
    assert rows(bob).count() == 0


def test_markup_in_attributes_does_not_run(live, open_console):
    attack = "<img src=x onerror=alert(1)><script>alert(1)</script>"
    create_task(live, customer=attack, topic=attack)
    live.set_activity_of_alice("Idle")
    page = open_console()
    expect(rows(page).locator(".title")).to_contain_text(attack, timeout=10_000)
    assert page.locator("#console img, #console script").count() == 0


def test_forged_token_is_rejected(live, browser):
    page = browser.new_page()
    claims = {"exp": time.time() + 3600, "grants": {"task_router": {"role": "supervisor"}}}
    page.goto(f"{live.definition.api_url}/console")
    forged = page.evaluate("claims => `e30.${btoa(claims)}.x`", json.dumps(claims))
    page.goto(f"{live.definition.api_url}/console#token={forged}")
    expect(page.get_by_role("alert")).to_contain_text("This sign-in link is not valid")
    page.close()


def test_expired_token_ends_the_session(open_console):
    page = open_console(hours=8 / 3600)
    expect(page.locator(".banner", has_text="Your session expired at")).to_be_visible(
        timeout=20_000
    )


def test_console_recovers_from_a_lost_connection_without_a_reload(live, open_console):
    live.create_pending_reservation()
    page = open_console()
    expect(rows(page)).to_have_count(1)
    page.context.set_offline(True)
    expect(page.get_by_role("alert")).to_contain_text("No connection since", timeout=15_000)
    page.context.set_offline(False)
    expect(page.locator(".live")).to_contain_text("Live", timeout=15_000)
    click_background(page)
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(rows(page)).to_have_attribute("data-end", "accepted")
    assert eventually(lambda: live.activity_of_alice() == "Busy")
