"""Browser tests of several tabs and browsers, with a fake API."""

import pytest
from playwright.sync_api import expect

from tests.console.conftest import is_new_overview, token
from tests.console.pages import overview_requests, row, rows, wait_until

pytestmark = pytest.mark.slow


def test_one_of_two_tabs_polls_and_both_update(open_console, api):
    api.poll = {"visible_ms": 1_000, "hidden_ms": 1_000}
    link = token()
    first = open_console(link)
    expect(first.get_by_role("heading", name="No open offers")).to_be_visible()
    second = open_console(link, context=first.context)
    expect(second.get_by_role("heading", name="No open offers")).to_be_visible()
    requests = {page: overview_requests(page) for page in (first, second)}
    wait_until(first, lambda: len(requests[first]) >= 3)
    assert requests[second] == []
    api.offer("Marta")
    for page in (first, second):
        expect(rows(page)).to_contain_text("Marta")
    first.close()
    api.offer("Jonas")
    expect(row(second, "Jonas")).to_be_visible()
    assert requests[second]


def test_tab_takes_over_polling_from_a_tab_that_hangs(open_console, api):
    api.poll = {"visible_ms": 1_000, "hidden_ms": 1_000}
    link = token()
    first = open_console(link)
    expect(first.locator(".live")).to_contain_text("Live")
    second = open_console(link, context=first.context)
    expect(second.locator(".live")).to_contain_text("Live")
    requests = {page: overview_requests(page) for page in (first, second)}
    debugger = first.context.new_cdp_session(first)
    paused = []
    # Playwright does not accept a built-in method, such as `paused.append`, as an event handler.
    debugger.on("Debugger.paused", lambda event: paused.append(event))  # noqa: PLW0108
    debugger.send("Debugger.enable")
    debugger.send("Debugger.pause")
    wait_until(second, lambda: paused)
    api.offer("Marta")
    expect(row(second, "Marta")).to_be_visible(timeout=60_000)
    assert requests[second]
    debugger.send("Debugger.resume")
    api.offer("Jonas")
    for page in (first, second):
        expect(row(page, "Jonas")).to_be_visible()

    def polls_alone():
        counts = [len(requests[page]) for page in (first, second)]
        wait_until(second, lambda: len(requests[second]) >= counts[1] + 2)
        return len(requests[first]) == counts[0]

    wait_until(second, polls_alone)
    second.close()
    api.offer("Berta")
    expect(row(first, "Berta")).to_be_visible()


def test_decision_in_one_tab_is_shown_in_the_other(open_console, api):
    api.offer("Marta")
    api.answers["/reject"] = api.decide("rejected")
    link = token()
    first = open_console(link)
    second = open_console(link, context=first.context)
    row(second, "Marta").get_by_role("button", name="Reject").click()
    for page in (first, second):
        expect(rows(page)).to_have_attribute("data-end", "rejected")


def test_tabs_of_two_users_poll_with_their_own_tokens(open_console, api):
    alice = open_console()
    supervisor = open_console(token("supervisor", identity="carla"), context=alice.context)
    for page in (alice, supervisor):
        requests = overview_requests(page)
        wait_until(page, lambda requests=requests: requests)
        own_token = page.evaluate("sessionStorage.getItem('console.token')")
        assert requests[0].headers["authorization"] == f"Bearer {own_token}"


def test_both_browsers_show_the_decision_that_won_a_race(open_console, api):
    api.offer("Marta")
    first, second = open_console(), open_console()
    for page in (first, second):
        expect(rows(page)).to_have_count(1)
    with first.expect_response(is_new_overview), second.expect_response(is_new_overview):
        api.poll = {"visible_ms": 60_000, "hidden_ms": 60_000}

    def refuse(_path):
        body = {"Code": "ReservationNotPending", "Message": "", "reservation_status": "rejected"}
        return 409, body, {}

    api.answers["/reject"] = api.decide("rejected")
    api.answers["/accept"] = refuse
    row(first, "Marta").get_by_role("button", name="Reject").click()
    expect(rows(first)).to_have_attribute("data-end", "rejected")
    row(second, "Marta").get_by_role("button", name="Accept").first.click()
    for page in (first, second):
        expect(rows(page)).to_have_attribute("data-end", "rejected")
        expect(page.get_by_role("alert")).to_have_count(0)
