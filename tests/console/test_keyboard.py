"""Browser tests of keyboard use and focus, with a fake API."""

import threading
import time

import pytest
from playwright.sync_api import expect

from tests.console.conftest import ALICE, token
from tests.console.pages import (
    announcements,
    click_background,
    ended_rows,
    error,
    hold_lists,
    make_statistics,
    open_history,
    row,
    rows,
    show_overview,
    wait_until,
)
from tests.console.test_callbacks import delivery

pytestmark = pytest.mark.slow


def test_offers_and_tasks_can_be_handled_with_shortcuts(open_console, api):
    first = api.offer("First", 60)
    second = api.offer("Second", 90)
    api.offer("Third", 120)
    api.answers["/accept"] = api.decide("accepted")
    api.answers["/reject"] = api.decide("rejected")
    api.answers["/complete"] = api.decide("completed")
    page = open_console()
    expect(rows(page)).to_have_count(3)
    click_background(page)
    page.keyboard.press("j")
    expect(page.locator(f"#row-{second}")).to_be_focused()
    expect(page.locator(f"#row-{second}")).to_have_attribute("aria-current", "true")
    page.keyboard.press("k")
    expect(page.locator(f"#row-{first}")).to_be_focused()
    page.keyboard.press("r")
    expect(row(page, "First")).to_have_attribute("data-end", "rejected")
    expect(page.locator(f"#row-{first}")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("a")
    expect(row(page, "Second").first).to_have_attribute("data-end", "accepted")
    expect(ended_rows(page)).to_have_count(2, timeout=10_000)
    page.locator(".list > li").evaluate("item => item.focus()")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(".list > li")).to_be_focused()
    page.keyboard.press("c")
    expect(page.get_by_text("Completed", exact=True)).to_be_visible()
    paths = [path for method, path, _ in api.received if method == "POST"]
    assert paths == [
        f"/reservations/{first}/reject",
        f"/reservations/{second}/accept",
        f"/reservations/{second}/complete",
    ]


def test_selection_keys_skip_an_accepted_offer_that_is_already_in_progress(open_console, api):
    first, second = api.offer("First", 60), api.offer("Second", 90)
    later = api.offer("Later", status="accepted", accepted_by=f"worker:{ALICE}")
    api.answers["/accept"] = api.decide("accepted")
    page = open_console()
    row(page, "First").get_by_role("button", name="Accept").first.click()
    expect(page.locator(f".list > #task-{first}")).to_be_visible()
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(({ id }) => id)")
    assert len(set(ids)) == len(ids)
    page.locator(f"#row-{first}").focus()
    for sid in (second, later):
        page.keyboard.press("j")
        expect(page.locator(f"#row-{sid}")).to_be_focused()


def test_shortcuts_never_fire_while_typing_or_with_a_modifier_or_when_turned_off(open_console, api):
    api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    click_background(page)
    time.sleep(0.5)
    page.get_by_label("After a rejection, set me to").focus()
    page.keyboard.press("a")
    page.locator("body").evaluate("() => document.activeElement.blur()")
    for key in ("Control+a", "Alt+a", "Meta+a", "Shift+A", "Shift+R"):
        page.keyboard.press(key)
    click_background(page)
    page.keyboard.press("p")
    page.get_by_label("Caller ID").press("a")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Turn off", exact=True).click()
    expect(page.locator("kbd")).to_have_count(0)
    page.keyboard.press("a")
    time.sleep(0.3)
    assert [method for method, _, _ in api.received if method == "POST"] == []


def test_arrow_keys_scroll_the_json_that_has_the_focus(open_console, api):
    attributes = {"customer": "First", "lines": {str(line): line for line in range(200)}}
    first = api.offer(left=60, task_attributes=attributes)
    api.offer("Second", 90)
    page = open_console()
    page.get_by_text("Raw JSON").click()
    json_area = page.locator(".offer pre")
    json_area.focus()
    page.keyboard.press("ArrowDown")
    wait_until(page, lambda: page.evaluate("document.querySelector('.offer pre').scrollTop > 0"))
    expect(page.locator(f"#row-{first}")).to_have_attribute("aria-current", "true")
    page.keyboard.press("j")
    expect(row(page, "Second")).to_be_focused()


def test_focus_stays_in_the_row_whose_button_disappears(open_console, api):
    timed_out = api.offer("Timed out", 60)
    reservation = api.offer("Marta", 90, claimed=True)
    api.answers["/accept"] = error(503, "OutcomeUnknown", **{"Retry-After": "30"})
    page = open_console()
    row(page, "Timed out").get_by_role("button", name="Accept by phone").focus()
    api.end(timed_out, "timeout")
    expect(page.locator(f"#row-{timed_out}")).to_have_attribute("data-end", "timeout")
    expect(page.locator(f"#row-{timed_out}")).to_be_focused()
    row(page, "Marta").get_by_role("button", name="Accept").first.focus()
    page.keyboard.press("Enter")
    expect(row(page, "Marta")).to_have_attribute("data-end", "checking")
    expect(page.locator(f"#row-{reservation}")).to_be_focused()
    expect(announcements(page)).to_contain_text("Checking: Marta: charged twice.")


def test_phone_dialog_says_why_the_offer_cannot_be_accepted(open_console, api):
    reservation = api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    page.locator(f"#row-{reservation}").focus()
    page.get_by_role("button", name="Accept by phone").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("alert")).to_have_count(0)
    page.context.set_offline(True)
    expect(dialog.get_by_role("alert")).to_have_text("Not possible without a connection")
    dialog.get_by_role("button", name="Call", exact=True).click(force=True)
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    expect(dialog).to_have_count(0)
    page.context.set_offline(False)
    expect(page.locator(".live")).to_contain_text("Live")
    page.get_by_role("button", name="Accept by phone").click()
    api.end(reservation, "canceled")
    expect(dialog.get_by_role("alert")).to_have_text("This offer is no longer open.")
    dialog.get_by_role("button", name="Call", exact=True).click(force=True)
    expect(dialog).to_be_visible()
    assert [method for method, _, _ in api.received if method == "POST"] == []


def test_shortcut_is_ignored_just_after_the_page_selected_a_row_automatically(open_console, api):
    page = open_console()
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    page.evaluate(
        """() => new MutationObserver(() => {
          if (document.querySelector(".offer")) {
            document.dispatchEvent(new KeyboardEvent("keydown", {key: "a", bubbles: true}));
          }
        }).observe(document.body, {subtree: true, childList: true})"""
    )
    api.offer("Marta")
    expect(rows(page)).to_have_count(1)
    time.sleep(0.3)
    assert [method for method, _, _ in api.received if method == "POST"] == []


def test_offer_can_be_rejected_with_the_tab_and_enter_keys(open_console, api):
    api.offer("First", 60)
    reservation = api.offer("Second", 90)
    api.answers["/reject"] = api.decide("rejected")
    page = open_console()
    expect(rows(page)).to_have_count(2)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the open offers")).to_be_focused()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == (
            "Reject: Second: charged twice"
        ):
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "2px"
    expect(page.locator(f"#row-{reservation}")).to_have_attribute("aria-current", "true")
    page.keyboard.press("Enter")
    expect(row(page, "Second")).to_have_attribute("data-end", "rejected")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Shortcuts")).to_be_visible()


def fill_history(page, api):
    for number in range(60):
        api.add_past_reservation(f"Customer {number}", ago=300 + number)
    open_history(page)
    return "Show more", ended_rows(page)


def fill_log(page, api):
    for number in range(60):
        delivery(api, 10 + number)
    page.get_by_role("link", name="Callbacks").click()
    return "Show older", page.get_by_role("button", name="Details")


@pytest.mark.parametrize("fill", [fill_history, fill_log], ids=["history", "log"])
def test_button_keeps_the_focus_until_the_first_new_row_gets_it(open_console, api, fill):
    page = open_console(token("supervisor"))
    name, targets = fill(page, api)
    expect(targets).to_have_count(50)
    respond, released = api.respond, threading.Event()

    def hold(*request):
        if "cursor=" in request[1]:
            released.wait()
        return respond(*request)

    api.respond = hold
    more = page.get_by_role("button", name=name)
    more.press("Enter")
    expect(more).to_be_focused()
    expect(more).to_have_attribute("aria-disabled", "true")
    more.press("Enter")
    released.set()
    expect(targets).to_have_count(60)
    expect(targets.nth(50)).to_be_focused()
    assert sum("cursor=" in path for _, path, _ in api.received) == 1


@pytest.mark.parametrize("fill", [fill_history, fill_log], ids=["history", "log"])
def test_button_keeps_the_focus_if_loading_more_rows_fails(open_console, api, fill):
    page = open_console(token("supervisor"))
    name, targets = fill(page, api)
    expect(targets).to_have_count(50)
    respond = api.respond
    api.respond = lambda *request: (
        error(503, "StoreUnavailable") if "cursor=" in request[1] else respond(*request)
    )
    page.get_by_role("button", name=name).press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The service answered: Reason.")
    again = page.get_by_role("button", name="Try again", exact=True)
    expect(again).to_be_focused()
    api.respond = respond
    page.keyboard.press("Enter")
    expect(targets.nth(50)).to_be_focused()


def test_newly_loaded_rows_do_not_take_the_focus_from_another_element(open_console, api):
    page = open_console()
    fill_history(page, api)
    expect(ended_rows(page)).to_have_count(50)
    released = hold_lists(api)
    page.get_by_role("button", name="Show more", exact=True).press("Enter")
    page.get_by_label("Status").focus()
    released.set()
    expect(ended_rows(page)).to_have_count(60)
    expect(page.get_by_label("Status")).to_be_focused()


@pytest.mark.parametrize("section", ["history", "overview", "callbacks", "reservations/{}"])
def test_heading_gets_the_focus_when_a_retry_succeeds(open_console, api, section):
    reservation = api.add_past_reservation("Marta")
    delivery(api)
    page = open_console(token("supervisor"))
    expect(page.locator(".live")).to_contain_text("Live")
    respond = api.respond
    paths = ("/reservations", "/callbacks?", "/statistics")
    api.respond = lambda *request: (
        error(503, "StoreUnavailable") if request[1].startswith(paths) else respond(*request)
    )
    fragment = f"#/{section.format(reservation)}"
    page.evaluate("fragment => { location.hash = fragment }", fragment)
    again = page.get_by_role("button", name="Try again", exact=True)
    expect(again).to_be_visible()
    api.statistics = make_statistics(api)
    api.respond = respond
    again.press("Enter")
    expect(again).to_have_count(0)
    expect(page.locator("h1")).to_be_focused()


def test_first_added_row_gets_the_focus_when_all_sweeps_are_shown(open_console, api):
    api.statistics = make_statistics(api)
    page = show_overview(open_console, api)
    page.get_by_role("button", name="Show all 20", exact=True).press("Enter")
    expect(
        page.locator("[aria-labelledby=sweeps] tr", has=page.locator("time")).nth(8)
    ).to_be_focused()
