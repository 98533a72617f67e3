"""Browser tests of the renewal of a session by the identity provider, with a fake API."""

import time

import pytest
from playwright.sync_api import expect

from tests.console.conftest import token
from tests.console.pages import (
    CONTINUE,
    EXPIRED,
    announcements,
    approach_expiry,
    click_background,
    error,
    expect_renewed,
    open_history,
    posts,
    rows,
    wait_until,
)

pytestmark = pytest.mark.slow


def refuse_sign_ins(api, *responses):
    """Send *responses* to the first requests for the provider's URL.

    Return a list of the responses that have not been sent. Requests succeed when the list is empty.
    """
    original, unsent = api.respond, list(responses)

    def respond(method, path, headers, parameters):
        if path.startswith("/console/sign-in") and unsent:
            return unsent.pop(0)
        return original(method, path, headers, parameters)

    api.respond = respond
    return unsent


# Conditions for a renewal


def test_session_that_expires_while_the_user_types_is_not_renewed_automatically(open_page, api):
    api.offer("Marta")
    user_token = token()
    page, provider = open_page(user_token)
    page.keyboard.press("/")
    page.keyboard.type("mar")
    api.refused.add(user_token)
    expect(page.locator(".banner", has_text=EXPIRED)).to_be_visible()
    page.keyboard.type("ta marta ")
    page.wait_for_timeout(1_500)
    assert provider.requests == []
    page.get_by_role("link", name=CONTINUE).click()
    expect_renewed(page, provider)
    assert provider.requests == [""]
    expect(page.locator("#filter")).to_have_value("mar")
    assert posts(api) == []


def test_session_that_expires_behind_a_dialog_is_not_renewed_automatically(open_page, api):
    user_token = token()
    page, provider = open_page(user_token, clock=True)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.clock.run_for(120_000)
    api.refused.add(user_token)
    expect(page.locator(".banner", has_text=EXPIRED)).to_be_visible()
    page.clock.run_for(120_000)
    assert provider.requests == []


@pytest.mark.parametrize("place", ["page", "field"])
def test_session_is_renewed_before_it_expires_if_nobody_uses_the_page(open_page, api, place):
    api.offer("Marta", left=2_000)
    page, provider = open_page(token(seconds=1_190), clock=True)
    expect(rows(page)).to_have_count(1)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    approach_expiry(page, api, 890)
    page.clock.run_for(61_000)
    assert provider.requests == []
    page.keyboard.press("Escape")
    # The dialog disappears before it is removed. Until its removal, shortcuts do nothing.
    expect(page.locator("dialog")).to_have_count(0)
    if place == "field":
        page.keyboard.press("/")
        page.clock.run_for(20_000)
        assert provider.requests == []
    approach_expiry(page, api, 0)
    page.clock.run_for(61_000 if place == "field" else 11_000)
    expect_renewed(page, provider)
    assert provider.requests == ["?silent=1"]
    if place == "field":
        expect(page.locator("#filter")).to_be_focused()


def test_session_is_not_renewed_long_before_it_expires(open_page, api):
    page, provider = open_page(token(seconds=1_500), clock=True)
    approach_expiry(page, api, 890)
    page.clock.run_for(5_000)
    assert provider.requests == []


def test_session_is_not_renewed_while_an_outcome_is_unknown(open_page, api):
    api.offer("Marta", claimed=True)
    api.answers["/accept"] = error(503, "OutcomeUnknown", **{"Retry-After": "60"})
    page, provider = open_page(token(seconds=1_190), clock=True)
    row = rows(page).first
    row.get_by_role("button", name="Accept: Marta").click()
    expect(row).to_have_attribute("data-end", "checking")
    approach_expiry(page, api, 900)
    page.clock.run_for(15_000)
    assert provider.requests == []


def test_early_renewal_in_one_tab_renews_all_tabs(open_page, open_console, api):
    user_token = token(seconds=1_190)
    page, provider = open_page(user_token)
    other = open_console(user_token, context=page.context)
    expect(other.locator(".live")).to_contain_text("Live")
    approach_expiry(page, api, 895)
    for each in (page, other):
        expect_renewed(each, provider)
    assert provider.requests == ["?silent=1"]


@pytest.mark.parametrize("expires", ["early", "late"])
def test_offer_that_arrives_during_a_renewal_alerts_the_user(open_page, api, expires):
    api.offer("Known", left=3_000)
    user_token = token(seconds=1_190 if expires == "early" else 3_600)
    page, provider = open_page(user_token)
    expect(rows(page)).to_have_count(1)

    def offer():
        # The old page still polls until it is unloaded, and must not receive the offer.
        api.refused.add(user_token)
        api.offer("New", left=2_000)

    provider.on_request = offer
    if expires == "early":
        approach_expiry(page, api, 895)
    else:
        api.refused.add(user_token)
    expect_renewed(page, provider)
    expect(rows(page)).to_have_count(2)
    expect(announcements(page)).to_contain_text("New offer: New: charged twice")
    assert "Known" not in announcements(page).inner_text()


def test_renewal_without_a_new_offer_does_not_alert_the_user(open_page, api):
    api.offer("Known", left=3_000)
    user_token = token()
    page, provider = open_page(user_token)
    expect(rows(page)).to_have_count(1)
    api.refused.add(user_token)
    expect_renewed(page, provider)
    expect(rows(page)).to_have_count(1)
    expect(announcements(page)).to_have_text("")


@pytest.mark.parametrize(("left", "renewals"), [(50, 0), (70, 1)])
def test_session_is_renewed_early_unless_an_offer_ends_within_a_minute(
    open_page, api, left, renewals
):
    api.offer("Marta", left=left + 900)
    page, provider = open_page(token(seconds=1_190), clock=True)
    expect(rows(page)).to_have_count(1)
    page.keyboard.press("?")
    approach_expiry(page, api, 900)
    page.keyboard.press("Escape")
    silent_path = "/console/sign-in?silent=1"
    page.clock.run_for(10_500)
    if renewals:
        expect_renewed(page, provider)
    else:
        page.wait_for_timeout(300)
    assert api.count(silent_path) == renewals


def test_session_in_its_last_minute_is_renewed_even_if_an_offer_ends_soon(open_page, api):
    api.offer("Marta", left=930)
    page, provider = open_page(token(seconds=955), clock=True)
    expect(rows(page)).to_have_count(1)
    approach_expiry(page, api, 900)
    page.clock.run_for(11_000)
    expect_renewed(page, provider)


def test_expired_session_is_renewed_even_if_an_offer_ends_soon(open_page, api):
    api.offer("Marta", left=40)
    user_token = token()
    page, provider = open_page(user_token)
    expect(rows(page)).to_have_count(1)
    api.refused.add(user_token)
    expect_renewed(page, provider)


def test_session_is_not_renewed_during_an_export(open_page, api):
    api.worker = None
    api.add_past_reservation("Past")
    page, provider = open_page(token("supervisor", seconds=1_190), clock=True)
    provider.token = token("supervisor", name="renewed")
    open_history(page)
    page.keyboard.press("?")
    approach_expiry(page, api, 900)
    page.keyboard.press("Escape")
    api._list = lambda _: error(429, "TooManyRequests", **{"Retry-After": "600"})
    page.get_by_role("button", name="Export CSV").click()
    page.clock.run_for(20_000)
    cancel = page.get_by_role("button", name="Cancel the export")
    expect(cancel).to_be_visible()
    page.wait_for_timeout(300)
    assert api.count("/console/sign-in?silent=1") == 0
    cancel.click()
    page.clock.run_for(11_000)
    expect_renewed(page, provider)


def test_renewal_adds_no_entry_to_the_browser_history(open_page, api):
    user_token = token()
    page, provider = open_page(user_token)
    before = page.evaluate("history.length")
    api.refused.add(user_token)
    expect_renewed(page, provider)
    assert page.evaluate("history.length") == before


@pytest.mark.parametrize("agrees", [True, False])
def test_renewal_asks_before_another_user_replaces_the_session(open_page, api, agrees):
    user_token = token("supervisor", seconds=1_190, identity="carla@example.com")
    api.worker = None
    page, provider = open_page(user_token, clock=True)
    provider.token = token("supervisor", identity="mallory@example.com")
    approach_expiry(page, api, 900)
    page.clock.run_for(11_000)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("You are signed in as carla@example.com.")
    expect(dialog).to_contain_text("would sign this tab in as mallory@example.com")
    if agrees:
        dialog.get_by_role("button", name="Replace my session").click()
        expect_renewed(page, provider)
    else:
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(page.locator(".live")).to_contain_text("Live")
        assert page.evaluate("sessionStorage.getItem('console.token')") == user_token


def test_renewal_of_an_expired_session_does_not_sign_in_another_user(open_page, api):
    user_token = token("supervisor", identity="carla@example.com")
    page, provider = open_page(user_token)
    provider.token = token("supervisor", identity="mallory@example.com")
    api.refused.add(user_token)
    wait_until(page, lambda: provider.requests)
    page.wait_for_url(f"{api.url}/console/")
    expect(page.locator(".banner", has_text=EXPIRED)).to_be_visible()
    assert page.evaluate("sessionStorage.getItem('console.token')") is None
    page.get_by_role("link", name=CONTINUE).click()
    expect_renewed(page, provider)


# The API or the network fails


def test_session_that_expires_without_a_connection_is_renewed_later(open_page, api):
    api.offer("Marta", left=3_000)
    user_token = token(seconds=1_000)
    page, provider = open_page(user_token, clock=True)
    expect(rows(page)).to_have_count(1)
    page.context.set_offline(True)
    expect(page.locator(".live")).to_contain_text("No connection", timeout=30_000)
    page.clock.run_for(1_100_000)
    expect(rows(page)).to_have_count(1)
    assert page.url == f"{api.url}/console"
    api.refused.add(user_token)
    page.context.set_offline(False)
    expect_renewed(page, provider)
    expect(rows(page)).to_have_count(1)


@pytest.mark.parametrize(
    "response",
    [
        error(429, "TooManyRequests", **{"Retry-After": "1"}),
        error(503, "Failure"),
        (200, {"location": "/dev/console/#sign-in-error=provider_unavailable"}, {}),
        (200, None, {}),
    ],
    ids=["429", "503", "failure", "empty"],
)
@pytest.mark.parametrize("is_silent", [True, False])
def test_browser_stays_on_the_page_until_the_api_returns_the_provider_url(
    open_page, api, response, is_silent
):
    user_token = token()
    page, provider = open_page(user_token)
    if not is_silent:
        page.keyboard.press("x")
    unsent = refuse_sign_ins(api, response)
    api.refused.add(user_token)
    if not is_silent:
        page.get_by_role("link", name=CONTINUE).click()
    wait_until(page, lambda: not unsent)
    if not is_silent and "sign-in-error" in str(response):
        expect(page.get_by_role("alert")).to_contain_text("provider_unavailable")
    else:
        expect(page.get_by_text("The service is not responding.")).to_be_visible()
        expect(page.locator(".banner", has_text=EXPIRED)).to_be_visible()
        expect_renewed(page, provider)
        assert provider.requests == ["?silent=1" if is_silent else ""]


def test_user_can_sign_in_while_a_silent_renewal_waits(open_page, api):
    user_token = token()
    page, provider = open_page(user_token)
    throttled = error(429, "TooManyRequests", **{"Retry-After": "600"})
    unsent = refuse_sign_ins(api, throttled)
    api.refused.add(user_token)
    wait_until(page, lambda: not unsent)
    page.get_by_role("link", name=CONTINUE).click()
    expect_renewed(page, provider)
    assert provider.requests == [""]


# The expired session


def test_time_of_the_expiry_survives_until_the_user_has_signed_in(open_page, api):
    user_token = token()
    page, provider = open_page(user_token)
    page.keyboard.press("x")
    api.refused.add(user_token)
    expect(page.locator(".banner", has_text=EXPIRED)).to_be_visible()
    provider.failure = "access_denied"
    page.get_by_role("link", name=CONTINUE).click()
    expect(page.get_by_role("alert")).to_contain_text("access_denied")
    page.reload()
    expect(page.locator(".banner", has_text=EXPIRED)).to_be_visible()
    page.context.route("**/provider", lambda route: route.fulfill(body="Sign in", status=200))
    page.get_by_role("link", name=CONTINUE).click()
    page.wait_for_url("**/provider")
    page.go_back()
    expect(page.locator(".banner", has_text=EXPIRED)).to_be_visible()
    assert len(provider.requests) == 1
    page.context.unroute("**/provider")
    provider.failure = ""
    page.get_by_role("link", name=CONTINUE).click()
    expect_renewed(page, provider)
    assert "console.expired" not in page.evaluate("Object.keys(sessionStorage)")


def test_page_still_shows_the_expiry_after_a_sign_in_that_took_too_long(open_page, api):
    user_token = token()
    page, _ = open_page(user_token)
    page.keyboard.press("x")
    api.refused.add(user_token)
    expect(page.locator(".banner", has_text=EXPIRED)).to_be_visible()
    attempt = "{at: Date.now() - 700_000, expiredAt: 1}"
    page.evaluate(f"sessionStorage.setItem('console.sign-in', JSON.stringify({attempt}))")
    page.goto(api.complete_sign_in(token(name="late"))["headers"]["Location"])
    expect(page.locator(".banner", has_text=EXPIRED)).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_page_restored_from_the_back_forward_cache_starts_no_second_renewal(open_page, api):
    user_token = token()
    page, provider = open_page(user_token)
    page.context.route("**/provider?silent=1", lambda route: route.fulfill(status=204))
    api.refused.add(user_token)
    # After a 204, the browser stays on the page, as if the user had returned to it.
    expect(page.locator(".banner", has_text=EXPIRED)).to_be_visible()
    silent_path = "/console/sign-in?silent=1"
    wait_until(page, lambda: api.count(silent_path) == 1)
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    page.wait_for_timeout(2_500)
    assert api.count(silent_path) == 1
    expect(page.locator(".banner", has_text=EXPIRED)).to_be_visible()
    page.get_by_role("link", name=CONTINUE).click()
    expect_renewed(page, provider)


# Keys


def test_typing_that_continues_after_a_reload_does_not_decide_the_offer(open_console, api):
    api.offer("Marta", left=3_000)
    api.answers["/accept"] = api.decide("accepted")
    page = open_console(clock=True)
    expect(rows(page)).to_have_count(1)
    page.clock.pause_at(time.time() + 60)
    page.reload()
    expect(rows(page)).to_have_count(1)
    for key in "marpca":
        page.keyboard.press(key)
        page.clock.run_for(1_999)
    assert posts(api) == []
    page.clock.run_for(1)
    page.keyboard.press("a")
    wait_until(page, lambda: len(posts(api)) == 1)


def test_typing_after_the_session_is_restored_does_not_accept_the_offer(open_console, api):
    api.offer("Marta", left=3_000)
    api.answers["/accept"] = api.decide("accepted")
    user_token = token()
    page = open_console(user_token, clock=True)
    expect(rows(page)).to_have_count(1)
    page.clock.pause_at(time.time() + 60)
    page.keyboard.press("/")
    api.refused.add(user_token)
    expect(page.locator(".banner", has_text=EXPIRED)).to_be_visible()
    page.goto(f"{api.url}/console#token={token(name='next')}")
    expect(rows(page)).to_have_count(1)
    page.keyboard.press("a")
    page.clock.run_for(500)
    assert posts(api) == []
    click_background(page)
    page.keyboard.press("a")
    wait_until(page, lambda: len(posts(api)) == 1)


def test_shortcut_after_typing_works_only_if_the_user_left_the_field(open_console, api):
    api.offer("Marta", left=3_000)
    api.answers["/accept"] = api.decide("accepted")
    page = open_console(clock=True)
    expect(rows(page)).to_have_count(1)
    page.clock.pause_at(time.time() + 60)
    for leave in ("blur", "Enter"):
        page.keyboard.press("/")
        page.keyboard.type("m")
        if leave == "Enter":
            page.keyboard.press("Enter")
        else:
            page.evaluate("document.activeElement.blur()")
        page.keyboard.press("a")
        assert posts(api) == [] or leave == "Enter"
    wait_until(page, lambda: len(posts(api)) == 1)
