"""Browser tests of History and of the filter, with a fake API."""

import re
import time

import pytest
from playwright.sync_api import expect

from tests.console.conftest import token
from tests.console.pages import (
    assert_no_accessibility_violations,
    choose,
    click_background,
    ended_rows,
    hold_lists,
    lists,
    open_history,
    row,
    rows,
)

UNAVAILABLE = 503, {"Code": "StoreUnavailable", "Message": "DynamoDB failed."}, {}

pytestmark = pytest.mark.slow


def refuse_lists(api) -> None:
    api._list = lambda _parameters: UNAVAILABLE


# History


def test_history_lists_offers_newest_first_with_names(open_console, api):
    api.add_past_reservation("Old", "timeout", 900)
    api.add_past_reservation("New", "completed", 300, task_channel_name="voice")
    page = open_console()
    open_history(page)
    expect(page.locator(".title")).to_have_text(["New: charged twice", "Old: charged twice"])
    expect(ended_rows(page).first).to_contain_text("Completed")
    expect(ended_rows(page).first).to_contain_text(re.compile(r"Billing.*Voice.*\d\d:\d\d:\d\d"))
    expect(ended_rows(page).nth(1)).to_contain_text(
        re.compile(r"Timed out.*Not answered within 2\smin")
    )
    expect(page.get_by_text(re.compile("^2 found, newest first, as of"))).to_be_visible()
    expect(page).to_have_title("History, Agent console")
    expect(page.get_by_role("button", name="Show more", exact=True)).to_have_count(0)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("pending", "Open"),
        ("accepted", "Accepted.*Accepted by Alice"),
        ("wrapping", "Wrapping up"),
        ("completed", "Completed"),
        ("rejected", "Rejected.*Rejected by Alice"),
        ("timeout", "Timed out"),
        ("canceled", "Withdrawn.*The Task was canceled"),
        ("rescinded", "Taken"),
        ("gone", "Ended"),
    ],
)
def test_status_can_be_chosen_and_is_shown_in_words(open_console, api, status, words):
    api.add_past_reservation("Marta", status)
    api.add_past_reservation("Other", "timeout" if status != "timeout" else "gone")
    page = open_console(token("supervisor"))
    open_history(page)
    expect(ended_rows(page)).to_have_count(2)
    choose(page, "Status", status)
    expect(ended_rows(page)).to_have_count(1)
    expect(ended_rows(page)).to_contain_text(re.compile(words))
    expect(ended_rows(page).locator(".meta > li").first).to_have_text("Alice")


def test_time_can_be_chosen_and_the_choice_survives_a_reload(open_console, api):
    for customer, hours in (("Now", 0.1), ("Today", 5), ("Week", 60), ("Older", 400)):
        api.add_past_reservation(customer, ago=hours * 3600)
    page = open_console()
    open_history(page)
    expect(ended_rows(page)).to_have_count(2)
    for option, count in (("Last hour", 1), ("Last 7 days", 3), ("All time", 4)):
        choose(page, "Time", option)
        expect(ended_rows(page)).to_have_count(count)
    expect(ended_rows(page).last.locator("time")).to_have_text(
        re.compile(r"^[A-Z]\w\w\s\d+, \d\d:")
    )
    page.reload()
    expect(ended_rows(page)).to_have_count(4)
    expect(page.get_by_label("Time", exact=True)).to_have_value("all")


def test_show_more_button_requests_the_next_page_with_the_same_start_time(open_console, api):
    for number in range(90):
        api.add_past_reservation(f"Customer {number}", ago=300 + number)
    page = open_console()
    open_history(page)
    expect(ended_rows(page)).to_have_count(50)
    expect(page.get_by_text(re.compile(r"^50\+ found"))).to_be_visible()
    page.get_by_role("button", name="Show more", exact=True).click()
    expect(ended_rows(page)).to_have_count(90)
    expect(page.get_by_role("button", name="Show more", exact=True)).to_have_count(0)
    first, second = lists(api)
    assert second == f"{first}&cursor=50"


def test_up_to_five_short_pages_are_loaded_automatically(open_console, api):
    for number in range(21):
        api.add_past_reservation(f"Customer {number}", ago=300 + number)
    api.page_size = 3
    page = open_console()
    open_history(page)
    expect(ended_rows(page)).to_have_count(15)
    page.get_by_role("button", name="Show more", exact=True).click()
    expect(ended_rows(page)).to_have_count(21)
    assert len(lists(api)) == 7


def test_empty_list_says_how_to_find_more(open_console, api):
    page = open_console()
    open_history(page)
    expect(page.get_by_role("heading", name="No offers")).to_be_visible()
    expect(page.get_by_text("Choose a longer period or another status.")).to_be_visible()


def test_empty_pages_with_a_cursor_do_not_look_like_the_end_of_the_list(open_console, api):
    api.page_size = 0
    api.add_past_reservation("Marta")
    page = open_console()
    open_history(page)
    expect(page.get_by_text("Older offers have not been searched.")).to_be_visible()
    api.page_size = 50
    page.get_by_role("button", name="Show more", exact=True).click()
    expect(ended_rows(page)).to_have_count(1)


def test_failed_list_request_is_shown_and_can_be_retried(open_console, api):
    api.add_past_reservation("Marta")
    original = api._list
    refuse_lists(api)
    page = open_console()
    open_history(page)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The history could not be loaded")
    expect(alert).to_contain_text("The service answered: DynamoDB failed.")
    api._list = original
    page.get_by_role("button", name="Try again", exact=True).click()
    expect(ended_rows(page)).to_have_count(1)
    expect(alert).to_have_count(0)


def test_rows_stay_if_loading_more_rows_fails(open_console, api):
    for number in range(60):
        api.add_past_reservation(f"Customer {number}", ago=300 + number)
    original = api._list
    page = open_console()
    open_history(page)
    expect(ended_rows(page)).to_have_count(50)
    refuse_lists(api)
    page.get_by_role("button", name="Show more", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("DynamoDB failed.")
    expect(ended_rows(page)).to_have_count(50)
    api._list = original
    page.get_by_role("button", name="Try again", exact=True).click()
    expect(ended_rows(page)).to_have_count(60)


def test_slow_first_load_shows_blank_rows(open_console, api):
    api.add_past_reservation("Marta")
    released = hold_lists(api)
    page = open_console()
    open_history(page)
    expect(page.locator(".blank")).to_have_count(3)
    expect(page.locator("section[aria-busy=true]")).to_have_count(1)
    released.set()
    expect(ended_rows(page)).to_have_count(1)
    expect(page.locator(".blank")).to_have_count(0)


def test_response_to_an_earlier_choice_is_ignored(open_console, api):
    api.add_past_reservation("Timeout", "timeout")
    api.add_past_reservation("Rejected", "rejected")
    page = open_console()
    open_history(page)
    expect(ended_rows(page)).to_have_count(2)
    released = hold_lists(api, "timeout")
    with page.expect_response(lambda response: "status=timeout" in response.url) as late:
        choose(page, "Status", "timeout")
        choose(page, "Status", "rejected")
        expect(ended_rows(page)).to_contain_text("Rejected: charged twice")
        released.set()
    late.value.finished()
    expect(ended_rows(page)).to_contain_text("Rejected: charged twice")


def test_refresh_button_loads_the_list_again(open_console, api):
    page = open_console()
    open_history(page)
    expect(page.get_by_role("heading", name="No offers")).to_be_visible()
    api.add_past_reservation("Marta")
    page.get_by_role("button", name="Refresh", exact=True).click()
    expect(ended_rows(page)).to_have_count(1)


@pytest.mark.parametrize("way", ["button", "row", "key"])
def test_row_opens_the_record(open_console, api, way):
    api.add_past_reservation("Marta")
    page = open_console()
    open_history(page)
    expect(ended_rows(page)).to_have_count(1)
    if way == "button":
        page.get_by_role("button", name="Inspect: Marta: charged twice").click()
    elif way == "row":
        ended_rows(page).locator(".title").click()
    else:
        page.keyboard.press("j")
        expect(ended_rows(page)).to_be_focused()
        page.keyboard.press("i")
    expect(page.get_by_role("heading", name="Marta: charged twice", level=1)).to_be_visible()
    expect(page.locator(".steps > li")).to_have_count(2)


def test_keys_in_history_neither_decide_offers_nor_change_the_selection_in_the_inbox(
    open_console, api
):
    first = api.offer("First", 60)
    api.add_past_reservation("Old", "timeout")
    page = open_console()
    expect(page.locator(f"#row-{first}")).to_have_attribute("aria-current", "true")
    # The list also contains an open Reservation.
    api.past.insert(0, {**api.reservations[first], "history": []})
    open_history(page)
    expect(ended_rows(page)).to_have_count(2)
    page.keyboard.press("j")
    expect(page.locator(f"#row-{first}")).to_be_focused()
    time.sleep(0.5)
    for key in "arpc":
        page.keyboard.press(key)
    page.keyboard.press("j")
    time.sleep(0.2)
    assert [method for method, _, _ in api.received if method == "POST"] == []
    page.get_by_role("link", name="Inbox").first.click()
    expect(page.locator(f"#row-{first}")).to_have_attribute("aria-current", "true")


def test_new_offer_alerts_the_user_while_history_is_shown(open_console, api):
    page = open_console()
    expect(page.locator(".live")).to_contain_text("Live")
    open_history(page)
    api.offer("Marta")
    expect(page).to_have_title("(1) History, Agent console")
    expect(page.locator("#announcements")).to_contain_text("New offer: Marta")
    expect(page.locator(".sections .count")).to_contain_text("1")


def test_history_is_kept_after_a_new_sign_in_but_not_for_another_user(open_console, api):
    api.add_past_reservation("Marta")
    first, second = token(name="first"), token(name="second")
    page = open_console(first)
    open_history(page)
    expect(ended_rows(page)).to_have_count(1)
    page.locator("#filter").fill("marta")
    api.refused.add(first)
    expect(page.locator(".banner", has_text="Your session expired at")).to_be_visible()
    page.goto(f"{api.url}/console#token={second}")
    expect(ended_rows(page)).to_have_count(1)
    expect(page.locator("#filter")).to_have_value("marta")
    page.goto(f"{api.url}/console#token={token('supervisor', identity='carla')}")
    page.get_by_role("button", name="Replace my session", exact=True).click()
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    open_history(page)
    expect(page.locator("#filter")).to_have_value("")


def test_sign_out_removes_the_typed_filter(open_console, api):
    api.offer("Marta")
    link = token()
    page = open_console(link)
    page.locator("#filter").fill("marta")
    page.locator(".me > summary").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_text("You signed out")).to_be_visible()
    page.goto(f"{api.url}/console#token={link}")
    expect(page.locator("#filter")).to_have_value("")


def test_history_is_shown_in_spanish(open_console, api):
    api.add_past_reservation("Marta", "timeout")
    page = open_console(locale="es-MX")
    page.get_by_role("link", name="Historial").click()
    expect(ended_rows(page)).to_contain_text(
        re.compile(r"Vencida.*Sin respuesta en 2\smin.*Ver detalle")
    )
    expect(page).to_have_title("Historial, Consola de agentes")


@pytest.mark.parametrize("width", [360, 640, 768, 992, 1280, 1920])
def test_history_never_scrolls_sideways(open_console, api, width):
    api.add_past_reservation(
        "Donaudampfschifffahrtsgesellschaftskapitän" * 3, task_queue_name="Q" * 90
    )
    page = open_console(viewport={"width": width, "height": 800})
    open_history(page)
    expect(ended_rows(page)).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


# Filter


def test_filter_finds_titles_names_and_attributes_in_the_inbox(open_console, api):
    attributes = {"customer": "José", "topic": "refund", "account": {"tier": "gold"}}
    jose = api.offer("", task_attributes=attributes, task_queue_name="Support")
    api.offer("Ana", 90)
    api.offer("Working", 300, status="accepted")
    page = open_console()
    expect(rows(page)).to_have_count(2)
    for words in ("jose", "SUPPORT", "tier gold", "  refund  José ", jose):
        page.locator("#filter").fill(words)
        expect(rows(page)).to_have_count(1)
        expect(rows(page)).to_contain_text("José: refund")
        expect(page.get_by_text("1 of 2 matching")).to_be_visible()
        expect(page.locator(".list > li")).to_have_count(0)
    page.locator("#filter").fill("jose ana")
    expect(page.get_by_text("No offer matches. Clear the filter to see all 2.")).to_be_visible()
    expect(page).to_have_title("(2) Inbox, Agent console")


def test_slash_focuses_the_filter_and_escape_clears_it(open_console, api):
    api.offer("Marta", 60)
    api.offer("Ana", 90)
    page = open_console()
    expect(rows(page)).to_have_count(2)
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    page.keyboard.type("ana/a")
    expect(page.locator("#filter")).to_have_value("ana/a")
    page.keyboard.press("Escape")
    expect(page.locator("#filter")).to_have_value("")
    expect(rows(page)).to_have_count(2)
    page.keyboard.press("Escape")
    expect(page.locator("#filter")).not_to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("ana")
    page.keyboard.press("Enter")
    expect(row(page, "Ana")).to_be_focused()
    page.keyboard.press("Escape")
    expect(rows(page)).to_have_count(2)
    expect(row(page, "Ana")).to_be_focused()


def test_slash_does_not_focus_the_filter_while_typing_or_when_shortcuts_are_off(open_console, api):
    api.offer("Marta")
    page = open_console()
    page.get_by_role("button", name="Accept by phone").click()
    page.get_by_label("Caller ID that the phone shows").press("/")
    expect(page.get_by_label("Caller ID that the phone shows")).to_have_value("/")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Turn off", exact=True).click()
    page.keyboard.press("/")
    expect(page.locator("#filter")).not_to_be_focused()


def test_keys_do_not_decide_an_offer_that_the_filter_hides(open_console, api):
    first = api.offer("First", 60)
    api.offer("Second", 90)
    api.answers["/accept"] = api.decide("accepted")
    page = open_console()
    expect(page.locator(f"#row-{first}")).to_have_attribute("aria-current", "true")
    time.sleep(0.5)
    page.locator("#filter").fill("second")
    expect(rows(page)).to_have_count(1)
    click_background(page)
    page.keyboard.press("a")
    time.sleep(0.5)
    assert [method for method, _, _ in api.received if method == "POST"] == []
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(rows(page)).to_have_attribute("data-end", "accepted")


def test_filter_keeps_the_focus_when_the_last_offer_ends(open_console, api):
    reservation = api.offer("Marta")
    page = open_console()
    page.locator("#filter").fill("marta")
    api.end(reservation, "canceled")
    expect(ended_rows(page)).to_have_count(1, timeout=10_000)
    expect(page.locator("#filter")).to_be_focused()
    expect(page.get_by_text("No open offers")).to_be_visible()


def test_history_filter_searches_the_loaded_offers(open_console, api):
    for customer in ("Marta", "Ana", "José"):
        api.add_past_reservation(customer, "timeout")
    api.offer("Open")
    page = open_console()
    open_history(page)
    expect(ended_rows(page)).to_have_count(3)
    page.keyboard.press("/")
    page.keyboard.type("jose")
    expect(ended_rows(page)).to_have_count(1)
    expect(page.get_by_text("1 of 3 matching")).to_be_visible()
    page.locator("#filter").fill("zebra")
    expect(page.get_by_role("heading", name="No offer matches")).to_be_visible()
    page.get_by_role("link", name="Inbox").first.click()
    expect(page.locator("#filter")).to_have_value("")


# Accessibility


def listed(page, api):
    for status in ("pending", "completed", "wrapping", "rejected", "timeout", "rescinded", "gone"):
        api.add_past_reservation("Marta", status)
    open_history(page)
    page.keyboard.press("j")
    expect(ended_rows(page)).to_have_count(7)


def more(page, api):
    for number in range(60):
        api.add_past_reservation(f"Customer {number}")
    open_history(page)
    expect(page.get_by_role("button", name="Show more", exact=True)).to_be_visible()


def failed_more(page, api):
    more(page, api)
    refuse_lists(api)
    page.get_by_role("button", name="Show more", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()


def empty(page, api):
    open_history(page)
    expect(page.get_by_role("heading", name="No offers")).to_be_visible()


def failed(page, api):
    refuse_lists(api)
    open_history(page)
    expect(page.get_by_role("alert")).to_be_visible()


def loading(page, api):
    api.delay = 2
    open_history(page)
    expect(page.locator(".blank")).to_have_count(3)


def filtered(page, api):
    listed(page, api)
    page.locator("#filter").fill("zebra")
    expect(page.get_by_role("heading", name="No offer matches")).to_be_visible()


def filtered_inbox(page, api):
    api.offer("Marta")
    page.locator("#filter").fill("zebra")
    expect(page.get_by_text("No offer matches.")).to_be_visible()


STATES = [listed, more, failed_more, empty, failed, loading, filtered, filtered_inbox]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_history_has_no_accessibility_violations_in_any_state(open_console, api, state, scheme):
    page = open_console(color_scheme=scheme, reduced_motion="reduce")
    expect(page.locator(".live")).to_contain_text("Live")
    state(page, api)
    assert_no_accessibility_violations(page)
