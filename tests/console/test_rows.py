"""Browser tests of stable rows and controls, the focus, reloads and clock changes."""

import re
from itertools import pairwise

import pytest
from playwright.sync_api import expect

from tests.console.conftest import ALICE, token
from tests.console.pages import (
    click_background,
    error,
    make_statistics,
    row,
    rows,
    show_overview,
    wait_until,
)

pytestmark = pytest.mark.slow


def test_more_urgent_offer_appears_in_a_truncated_list_while_the_pointer_is_over_it(
    open_console, api
):
    api.worker = None
    api.max_open = 3
    for number in range(3):
        api.offer(f"Customer {number}", 1_000 + number)
    page = open_console(token("supervisor"))
    row(page, "Customer 1").hover()
    api.offer("Urgent", 60)
    expect(page.locator(".title")).to_contain_text(
        ["Customer 0", "Customer 1", "Customer 2", "Urgent"], timeout=8_000
    )
    expect(page).to_have_title("(4) Inbox, Agent console")
    page.mouse.move(5, 5)
    expect(page.locator(".title")).to_contain_text(["Urgent", "Customer 0", "Customer 1"])
    expect(rows(page)).to_have_count(3)


def test_displaced_offer_leaves_the_held_list_after_a_lookup(open_console, api, page_problems):
    api.max_open = 3
    api.offer("Customer 0", 1_000)
    reservation = api.offer("Customer 1", 1_001)
    for _ in range(2):
        api.offer("Task", 500, status="accepted")
    page = open_console(token("supervisor"))
    row(page, "Customer 0").hover()
    # The overview no longer contains the Reservation, but its record is still pending.
    api.records[reservation] = api.reservations.pop(reservation)
    api.offer("Task", 500, status="accepted")
    expect(row(page, "Customer 1")).to_have_count(0, timeout=8_000)
    expect(rows(page)).to_have_count(1)
    assert page_problems == []


def show_new_version(page, api) -> None:
    api.version = "0" * 16
    expect(page.locator(".banner")).to_contain_text("A new version")


def delay_overview(page, api) -> None:
    respond, retry_headers = api.respond, []

    def throttle(method, path, headers, parameters):
        if path != "/overview":
            return respond(method, path, headers, parameters)
        # After the second response, the page waits long enough for a click.
        retry_headers.append({"Retry-After": "3"} if retry_headers else {})
        return 429, {"message": "Too Many Requests"}, retry_headers[-1]

    api.respond = throttle
    expect(page.locator(".banner")).to_contain_text("No update since")
    api.respond = respond


@pytest.mark.parametrize("width", [320, 640, 1280])
@pytest.mark.parametrize("show", [show_new_version, delay_overview])
def test_banner_does_not_move_the_row_under_the_pointer(open_console, api, show, width):
    for number in range(5):
        api.offer(f"Customer {number}", 600 + number)
    api.answers["/accept"] = api.decide("accepted")
    page = open_console(viewport={"width": width, "height": 900}, reduced_motion="reduce")
    customer = "Customer 1" if width > 320 else "Customer 0"  # not under the banner
    button = page.get_by_role("button", name=f"Accept: {customer}")
    before = button.bounding_box()
    page.mouse.move(before["x"] + 20, before["y"] + 10)
    show(page, api)
    expect(page.locator(".banner")).to_be_in_viewport(ratio=1)
    assert button.bounding_box() == before
    if show == delay_overview:
        expect(page.locator(".banner")).to_have_count(0)
        assert button.bounding_box() == before
        page.wait_for_timeout(400)
    page.mouse.down()
    page.mouse.up()
    expect(row(page, customer).first).to_have_attribute("data-end", "accepted")


def test_click_meant_for_a_banner_that_has_just_disappeared_does_not_decide_an_offer(
    open_console, api
):
    reservation = api.offer("Marta")
    api.answers["/accept"] = api.decide("accepted")
    page = open_console(clock=True)
    expect(rows(page)).to_have_count(1)
    delay_overview(page, api)
    # Press the Accept button in the event-loop task in which the banner disappears.
    page.evaluate(
        """() => new MutationObserver(() => {
          if (!document.querySelector(".banner")) {
            document.querySelector(".acts button").dispatchEvent(
              new MouseEvent("click", {bubbles: true, detail: 1}));
          }
        }).observe(document.querySelector("main"), {childList: true})"""
    )
    page.get_by_role("button", name="Try now").click()
    expect(page.locator(".banner")).to_have_count(0)
    page.wait_for_timeout(300)
    assert api.count(f"/reservations/{reservation}/accept") == 0
    page.clock.run_for(400)
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(row(page, "Marta").first).to_have_attribute("data-end", "accepted")


def test_banner_about_a_new_version_stays_while_two_versions_respond(open_console, api):
    page = open_console()
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    old = api.version
    show_new_version(page, api)
    api.version = old
    api.offer("Marta")
    expect(rows(page)).to_have_count(1)
    expect(page.locator(".banner")).to_contain_text("A new version")


@pytest.mark.parametrize("path", ["#/reservations", "#reservations", "#/reservations?x=1"])
def test_address_without_a_sid_shows_the_offers_before_and_after_a_reload(open_console, api, path):
    api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    page.evaluate("path => { location.hash = path }", path)
    expect(page).to_have_title("(1) Inbox, Agent console")
    expect(rows(page)).to_have_count(1)
    page.reload()
    expect(rows(page)).to_have_count(1)


COVERED = """() => {
  const focused = document.activeElement;
  const box = (selector) => document.querySelector(selector)?.getBoundingClientRect();
  const target = focused.matches("li") ? focused.firstElementChild : focused;
  const { top, bottom } = target.getBoundingClientRect();
  const above = Math.max(0, box("header.top").bottom);
  const below = box(".banner")?.top ?? innerHeight;
  const isOver = focused.matches("body, header *, .banner *, .skip");
  const isVisible = isOver || (top > above - 1 && bottom < below + 1);
  return isVisible ? null : [focused.outerHTML.slice(0, 80), top, bottom, above, below];
}"""


@pytest.mark.parametrize("size", [(1280, 800), (820, 700), (640, 400), (390, 844), (320, 568)])
@pytest.mark.parametrize("has_banner", [False, True])
def test_header_and_banner_never_cover_the_focused_element(open_console, api, size, has_banner):
    for number in range(12):
        api.offer(f"Customer {number}", 6_000 + number)
    width, height = size
    page = open_console(viewport={"width": width, "height": height}, locale="es-ES")
    expect(rows(page)).to_have_count(12)
    if has_banner:
        api.version = "0" * 16
        expect(page.locator(".banner")).to_be_visible()
    click_background(page)
    covered = []
    for key in 11 * ["j"] + 11 * ["k"] + 30 * ["Tab"] + 30 * ["Shift+Tab"]:
        page.keyboard.press(key)
        covered += [(key, found)] if (found := page.evaluate(COVERED)) else []
    assert covered == []


def test_heading_gets_the_focus_when_the_focused_row_leaves_the_list(open_console, api):
    reservation = api.offer("First", 60)
    api.offer("Second", 90)
    page = open_console(clock=True)
    page.locator(f"#row-{reservation}").focus()
    api.end(reservation, "canceled")
    expect(row(page, "First")).to_have_attribute("data-end", "withdrawn")
    expect(page.locator(f"#row-{reservation}")).to_be_focused()
    page.clock.run_for(6_000)
    expect(rows(page)).to_have_count(1)
    expect(page.get_by_role("heading", name="Open offers")).to_be_focused()


def test_down_arrow_key_scrolls_a_page_without_rows(open_console, api):
    api.statistics = make_statistics(api)
    page = show_overview(open_console, api, viewport={"width": 1280, "height": 500})
    expect(page.get_by_role("heading", name="Last sweeps")).to_be_visible()
    click_background(page)
    page.keyboard.press("ArrowDown")
    wait_until(page, lambda: page.evaluate("scrollY > 0"))


def test_keys_do_not_affect_the_inbox_while_the_settings_are_open(open_console, api):
    api.offer("Marta")
    page = open_console()
    page.get_by_label("Filter").fill("marta")
    page.locator(".me summary").click()
    page.locator(".menu .line").first.click()
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    expect(page.locator(".menu")).to_be_hidden()
    expect(page.get_by_label("Filter")).to_have_value("marta")
    page.wait_for_timeout(300)
    assert [method for method, _, _ in api.received if method == "POST"] == []
    page.keyboard.press("Escape")
    expect(page.get_by_label("Filter")).to_have_value("")


@pytest.mark.parametrize("width", [640, 768, 1024, 1280])
@pytest.mark.parametrize("locale", ["en-US", "es-ES"])
def test_long_name_leaves_room_for_the_activity(open_console, api, width, locale):
    api.worker["name"] = "Maria Guadalupe Hernandez de la Torre y Villanueva-Cortes"
    page = open_console(viewport={"width": width, "height": 400}, locale=locale)
    expect(page.locator(".activity select")).to_be_enabled()
    assert page.locator(".activity select").bounding_box()["width"] >= 100
    assert page.locator(".face").bounding_box()["height"] < 31
    boxes = [page.locator(each).bounding_box() for each in (".brand", ".activity", ".live", ".me")]
    for left, right in pairwise(boxes):
        assert left["x"] + left["width"] <= right["x"]


def test_note_says_that_new_offers_are_at_the_end_while_the_rows_are_held(open_console, api):
    api.offer("First", 600)
    page = open_console(viewport={"width": 360, "height": 900}, reduced_motion="reduce")
    note = page.locator(".bar [role=status]").first
    expect(note).to_have_text("Least time left first")
    row(page, "First").hover()
    before = row(page, "First").bounding_box()
    api.offer("Urgent", 60)
    expect(page.locator(".title")).to_contain_text(["First", "Urgent"])
    expect(note).to_have_text("New offers at the end")
    assert row(page, "First").bounding_box() == before
    page.mouse.move(5, 5)
    expect(page.locator(".title")).to_contain_text(["Urgent", "First"])
    expect(note).to_have_text("Least time left first")


@pytest.mark.parametrize("verb", ["accept", "complete"])
@pytest.mark.parametrize("is_lost", [True, False])
def test_outcome_that_is_unknown_at_a_reload_is_checked(open_console, api, verb, is_lost):
    status = "accepted" if verb == "complete" else "pending"
    reservation = api.offer("Marta", status=status, claimed=True)
    api.answers[f"/{verb}"] = error(503, "OutcomeUnknown", **{"Retry-After": "30"})
    page = open_console()
    item = page.locator(f"#row-{reservation}")
    if is_lost:
        page.route(f"**/{verb}", lambda _: None)
    item.get_by_role("button", name=verb).first.click()
    is_sent = "() => document.querySelector('.offer, .list').textContent.includes('hecking')"
    wait_until(page, lambda: is_lost or page.evaluate(is_sent))
    page.reload()
    expect(item).to_contain_text("Checking")
    api.reservations[reservation]["claimed"] = False
    if verb == "accept":
        expect(item.get_by_role("button", name="Accept")).to_have_count(0)
        expect(item).to_contain_text("Nothing was decided. The offer is still open.", timeout=9_000)
    else:
        expect(item).to_contain_text("There was no answer. The Task is still in", timeout=9_000)
    page.reload()
    expect(item.get_by_role("button", name=verb).first).to_be_visible()
    expect(item).not_to_contain_text("Checking")


def test_decision_that_succeeded_before_a_reload_is_shown_as_successful(open_console, api):
    reservation = api.offer("Marta", claimed=True)
    api.answers["/accept"] = error(503, "OutcomeUnknown", **{"Retry-After": "30"})
    page = open_console()
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(rows(page)).to_contain_text("Checking")
    api.reservations[reservation].update(status="accepted", accepted_by=f"worker:{ALICE}")
    page.reload()
    task = page.locator(f".list > #row-{reservation}")
    expect(task.get_by_role("button", name="Complete")).to_be_visible()
    expect(task).not_to_contain_text("Checking")
    expect(rows(page)).to_have_count(0)


def test_time_until_the_next_attempt_counts_down(open_console, api):
    api.offer("Marta")
    throttled = error(503, "TaskRouterThrottled", **{"Retry-After": "2"})
    api.answers.update({"/accept": throttled, "/activity": throttled})
    page = open_console()
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    wrong = rows(page).locator(".wrong")
    expect(wrong).to_contain_text("The offer is still open. Try again in 2 s.")
    expect(wrong).to_have_text(re.compile(r"The offer is still open\. Try again\.$"))
    page.get_by_label("Your Activity").select_option("Break")
    expect(page.get_by_role("alert")).to_contain_text(
        "Try again in 2 s. Your Activity is still Available."
    )
    expect(page.get_by_role("alert")).to_contain_text(
        "request. Try again. Your Activity is still Available."
    )


def test_clock_that_is_set_back_does_not_delay_a_lookup(open_console, api):
    reservation = api.offer("Marta")
    page = open_console(clock=True)
    expect(rows(page)).to_have_count(1)
    read, failures = api._read, [1]

    def fail_once(path, headers):
        if path.endswith(reservation) and failures:
            failures.pop()
            return error(500, "Failure")
        return read(path, headers)

    api._read = fail_once
    api.end(reservation, "timeout")
    with page.expect_response(f"**/reservations/{reservation}"):
        page.clock.run_for(4_000)
    expect(rows(page)).to_have_attribute("data-end", "checking")
    page.clock.set_system_time(page.evaluate("Date.now()") / 1000 - 3_600)
    for _ in range(8):
        page.clock.run_for(1_000)
        page.wait_for_timeout(50)
    expect(row(page, "Marta").first).to_have_attribute("data-end", "timeout")


def test_clock_that_is_set_back_does_not_stop_updates_on_the_inspect_page(open_console, api):
    reservation = api.offer("Marta")
    api.records[reservation] = {**api.reservations[reservation], "history": []}
    page = open_console(clock=True)
    expect(rows(page)).to_have_count(1)
    page.evaluate("sid => { location.hash = `/reservations/${sid}` }", reservation)
    expect(page.locator("h1")).to_contain_text("Marta")
    page.clock.set_system_time(page.evaluate("Date.now()") / 1000 - 3_600)
    api.end(reservation, "canceled")
    for _ in range(12):
        page.clock.run_for(1_000)
        page.wait_for_timeout(50)
    expect(page.locator("main")).to_contain_text("Withdrawn")
