"""Browser tests of polling and of lost connections, with a fake API."""

import re
import threading

import pytest
from playwright.sync_api import expect

from tests.console.conftest import token
from tests.console.pages import overview_requests, row, rows, wait_for_first_polls, wait_until

pytestmark = pytest.mark.slow


def test_lost_connection_is_shown_until_it_is_restored(open_console, api):
    api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    page.evaluate(
        """() => {
          window.statuses = [];
          const status = document.querySelector(".live");
          new MutationObserver(() => statuses.push(status.textContent))
            .observe(status, {childList: true, characterData: true, subtree: true});
        }"""
    )
    page.context.set_offline(True)
    banner = page.get_by_role("alert")
    expect(banner).to_contain_text(re.compile(r"No connection since \d\d:\d\d:\d\d"))
    expect(banner).to_contain_text(re.compile(r"Retrying in \d+\ss\."))
    statuses = page.evaluate("statuses")
    assert statuses.index("Reconnecting") < statuses.index("No connection")
    expect(rows(page)).to_contain_text("Marta")
    accept = row(page, "Marta").get_by_role("button", name="Accept").first
    expect(accept).to_have_attribute("aria-disabled", "true")
    accept.click(force=True)
    assert [method for method, _, _ in api.received if method == "POST"] == []
    page.context.set_offline(False)
    expect(page.locator(".live")).to_contain_text("Live")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(accept).not_to_have_attribute("aria-disabled", "true")


def test_page_restored_from_the_back_forward_cache_polls_at_once(open_console, api):
    api.poll = {"visible_ms": 20_000, "hidden_ms": 20_000}
    page = open_console()
    wait_for_first_polls(page)
    requests = overview_requests(page)
    show = "persisted => dispatchEvent(new PageTransitionEvent('pageshow', {persisted}))"
    # The first `pageshow` of each page is not persisted. The page already polls when it opens.
    page.evaluate(show, False)
    page.evaluate("new Promise((resolve) => setTimeout(resolve))")
    assert not requests
    page.evaluate(show, True)
    wait_until(page, lambda: len(requests) == 1)


def test_try_now_button_polls_at_once(open_console, api):
    api.poll = {"visible_ms": 20_000, "hidden_ms": 20_000}
    page = open_console()
    wait_for_first_polls(page)
    api.failure = 503
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(page.locator(".live")).to_contain_text("Reconnecting")
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(page.locator(".live")).to_contain_text("Delayed")
    api.failure = None
    page.get_by_role("button", name="Try now", exact=True).click()
    expect(page.locator(".live")).to_contain_text("Live")


def test_polls_obey_the_retry_after_header_of_a_throttled_response(open_console, api):
    page = open_console()
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    original = api.respond

    def throttle(method, path, headers, parameters):
        if path == "/overview":
            return 429, {"Code": "TooManyRequests", "Message": ""}, {"Retry-After": "3"}
        return original(method, path, headers, parameters)

    api.respond = throttle
    times = api.record_poll_times()
    expect(page.locator(".live")).to_contain_text("Delayed")
    wait_until(page, lambda: len(times) >= 2)
    assert times[1] - times[0] >= 3


@pytest.fixture
def pause(api):
    """A function that makes the server throttle one poll and request a one-minute pause."""
    api.poll = {"visible_ms": 20_000, "hidden_ms": 20_000}
    original = api.respond

    def throttle_once(method, path, headers, parameters):
        if path == "/overview":
            api.respond = original
            return 429, {"message": "Too Many Requests"}, {"Retry-After": "60"}
        return original(method, path, headers, parameters)

    def start(page):
        wait_for_first_polls(page)
        api.respond = throttle_once
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator(".live")).to_contain_text("Delayed")

    return start


def test_outcome_is_checked_during_a_pause_that_the_server_requested(open_console, api, pause):
    api.offer("Marta")
    page = open_console()
    pause(page)
    api.answers["/accept"] = 502, {"message": "Bad Gateway"}, {}
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(rows(page)).to_have_attribute("data-end", "checking")
    expect(rows(page)).to_contain_text(re.compile(r"Next check in [123]\ss\."))
    expect(rows(page)).to_contain_text("Nothing was decided")
    expect(rows(page).get_by_role("button", name="Accept").first).to_be_visible()


def test_outcome_check_that_becomes_due_during_a_poll_is_made_after_the_poll(open_console, api):
    api.poll = {"visible_ms": 20_000, "hidden_ms": 20_000}
    api.offer("Marta")
    page = open_console()
    wait_for_first_polls(page)
    original, released = api.respond, threading.Event()

    def throttle_late(method, path, headers, parameters):
        if path == "/overview":
            api.respond = original
            released.wait(15)
            return 503, {"message": "Service Unavailable"}, {"Retry-After": "60"}
        return original(method, path, headers, parameters)

    api.respond = throttle_late
    api.answers["/accept"] = 502, {"message": "Bad Gateway"}, {}
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(rows(page)).to_have_attribute("data-end", "checking")
    # The first check is due after 3 s.
    page.wait_for_timeout(4_000)
    released.set()
    expect(rows(page)).to_contain_text("Nothing was decided")


def test_slow_ticks_of_a_hidden_page_do_not_end_a_pause_that_the_server_requested(
    open_console, api, pause
):
    page = open_console()
    pause(page)
    requests = overview_requests(page)
    page.evaluate("() => { const { now } = Date; Date.now = () => now() + 60_000; }")
    page.wait_for_timeout(2_000)
    assert not requests


@pytest.mark.parametrize(
    "event",
    [
        "() => { const { now } = Date; Date.now = () => now() + 1_800_000; }",
        "() => dispatchEvent(new Event('online'))",
        "() => dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))",
    ],
    ids=["sleep", "online", "back"],
)
def test_resumed_or_reconnected_page_polls_during_a_pause_that_the_server_requested(
    open_console, api, pause, event
):
    page = open_console()
    pause(page)
    api.clock_offset += 1_800
    page.evaluate(event)
    expect(page.locator(".live")).to_contain_text("Live")


def test_new_session_keeps_the_time_of_the_last_update(open_console, api):
    api.offer("Marta")
    expired, renewed = token(name="1"), token(name="2")
    page = open_console(expired)
    expect(rows(page)).to_have_count(1)
    api.refused.add(expired)
    expect(page.get_by_text("Your session expired at").first).to_be_visible()
    api.respond = lambda *_: (429, {"message": "Too Many Requests"}, {"Retry-After": "30"})
    page.evaluate("token => { location.hash = `token=${token}` }", renewed)
    expect(page.locator(".banner")).to_contain_text(re.compile(r"No update since \d\d:\d\d:\d\d"))
    expect(page.locator(".banner")).not_to_contain_text("00:00:00")


def test_long_pause_is_limited_and_shown_after_the_first_failure(open_console, api):
    page = open_console()
    expect(page.locator(".live")).to_contain_text("Live")
    original = api.respond

    def throttle(method, path, headers, parameters):
        if path == "/overview":
            return 503, {"message": "Service Unavailable"}, {"Retry-After": "3600"}
        return original(method, path, headers, parameters)

    api.respond = throttle
    banner = page.locator(".banner")
    # The pause is at most 60 s, plus the usual variation of up to 20%.
    expect(banner).to_contain_text(
        re.compile(r"No update since .* Retrying in (5\d|6\d|7[0-2])\ss")
    )
    expect(page.locator(".live")).to_contain_text("Delayed")
    api.respond = original
    banner.get_by_role("button", name="Try now", exact=True).click()
    expect(page.locator(".live")).to_contain_text("Live")


@pytest.mark.parametrize("body", [{"message": "maintenance"}, {"reservations": [None]}])
def test_invalid_overview_is_treated_as_a_missed_poll(open_console, api, page_problems, body):
    page = open_console()
    expect(page.locator(".live")).to_contain_text("Live")
    api._overview = lambda _headers: (200, body, {})
    expect(page.locator(".banner")).to_contain_text("No update since")
    del api._overview
    api.offer("Marta")
    expect(page.locator(".live")).to_contain_text("Live", timeout=30_000)
    expect(rows(page)).to_contain_text("Marta")
    assert all("TypeError" in problem for problem in page_problems)
    page_problems.clear()


def test_recommended_poll_interval_varies_by_up_to_10_percent(open_console, api):
    api.poll = {"visible_ms": 1_000, "hidden_ms": 1_000}
    page = open_console()
    expect(page.locator(".live")).to_contain_text("Live")
    page.evaluate(
        """() => {
          window.waits = [];
          const post = Worker.prototype.postMessage;
          Worker.prototype.postMessage = function (message) {
            if (message.milliseconds) { waits.push(message.milliseconds); }
            post.call(this, message);
          };
        }"""
    )
    waits = []
    for share in (0, 1):
        page.evaluate(f"Math.random = () => {share}; waits.length = 0")
        wait_until(page, lambda: page.evaluate("waits.length > 0"))
        waits.append(page.evaluate("waits[0]"))
    assert waits == [900, 1_100]


def test_page_does_not_claim_to_be_connected_before_the_first_response(open_console, api):
    api.delay = 2
    page = open_console()
    expect(page.locator(".live")).to_have_text("Connecting")
    expect(page.locator(".live")).to_contain_text("Live")


@pytest.mark.parametrize(
    ("locale", "title"),
    [("en-US", "The offers are not loaded yet"), ("es-MX", "Las ofertas aún no se han cargado")],
)
def test_page_states_nothing_about_offers_and_tasks_before_the_first_overview(
    open_console, api, locale, title
):
    api.failure = 503
    page = open_console(locale=locale)
    banner = page.locator(".banner")
    expect(banner).to_contain_text(title)
    expect(banner).not_to_contain_text(re.compile("accept|aceptar"))
    expect(page.locator("[aria-labelledby=progress]")).not_to_contain_text(re.compile("No|Ningun"))
    api.failure = None
    banner.get_by_role("button").click()
    expect(page.locator("[aria-labelledby=progress]")).to_contain_text(re.compile("No|Ningun"))
    expect(page.get_by_text(title)).to_have_count(0)


def test_lack_of_a_connection_is_shown_before_the_first_overview(open_console, api):
    context = open_console(link_token=None).context
    context.route("**/overview", lambda route: route.abort())
    page = open_console(context=context)
    expect(page.get_by_role("alert")).to_contain_text("The offers are not loaded yet")
    expect(page.locator(".live")).to_contain_text("No connection")


@pytest.mark.parametrize("hours", [-3, 3])
def test_time_of_the_last_update_comes_from_the_servers_clock(open_console, api, hours):
    api.clock_offset = hours * 3_600
    page = open_console(token(seconds=5 * 3_600))
    expect(page.locator(".live")).to_contain_text("Live")
    page.context.set_offline(True)
    banner = page.get_by_role("alert")
    expect(banner).to_contain_text("No connection since")
    shown = re.search(r"\d\d:\d\d:\d\d", banner.inner_text())[0]
    of_day = page.evaluate("at => new Date(at).toTimeString().slice(0, 8)", api.now() * 1000)
    shown_at, now = (
        sum(60**power * int(part) for power, part in zip((2, 1, 0), time.split(":"), strict=True))
        for time in (shown, of_day)
    )
    assert (now - shown_at) % 86_400 < 600


def test_page_shows_reconnecting_while_an_overview_is_overdue(open_console, api):
    allowed, waiting = threading.Event(), threading.Event()
    allowed.set()
    overview = api._overview

    def respond_when_allowed(headers):
        if not allowed.is_set():
            waiting.set()
            allowed.wait()
        return overview(headers)

    api._overview = respond_when_allowed
    api.poll = {"visible_ms": 500, "hidden_ms": 500}
    page = open_console()
    expect(page.locator(".live")).to_contain_text("Live")
    allowed.clear()
    wait_until(page, waiting.is_set)
    # The page would abandon the request only after 10 s.
    expect(page.locator(".live")).to_contain_text("Reconnecting")
    allowed.set()
    expect(page.locator(".live")).to_contain_text("Live")


@pytest.mark.parametrize("status", [401, 403])
def test_poll_that_a_proxy_refuses_does_not_end_the_session(open_console, api, status):
    user_token = token()
    api.poll = {"visible_ms": 20_000, "hidden_ms": 20_000}
    page = open_console(user_token)
    wait_for_first_polls(page)
    original = api.respond

    def refuse(method, path, headers, parameters):
        if path == "/overview":
            return status, {"message": "Forbidden"}, {}
        return original(method, path, headers, parameters)

    api.respond = refuse
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(page.locator(".live")).to_contain_text("Reconnecting")
    api.respond = original
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(page.locator(".live")).to_contain_text("Live")
    assert page.evaluate("sessionStorage.getItem('console.token')") == user_token


def test_poll_for_an_unchanged_overview_gets_a_304_and_changes_nothing(open_console, api):
    api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    requests = overview_requests(page)
    wait_until(page, lambda: len(requests) >= 4)
    assert {request.response().status for request in requests[:3]} == {304}
    expect(rows(page)).to_have_count(1)
