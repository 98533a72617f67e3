"""Browser tests of the state that survives a sign-in, a renewal or a reload, with a fake API."""

import time

import pytest
from playwright.sync_api import expect

from tests.console.conftest import BREAK, OFFLINE, iso, token
from tests.console.pages import (
    CONTINUE,
    EXPIRED,
    announcements,
    approach_expiry,
    ended_rows,
    expect_renewed,
    posts,
    row,
    rows,
    wait_until,
)

pytestmark = pytest.mark.slow

SELECTED = "[aria-current=true]"


def delay_responses(api, session, others, on_session=lambda: None):
    """Delay responses from /console/session by *session* seconds, and others by *others* seconds.

    *on_session* is called when the page requests /console/session.
    """
    respond = api.respond

    def respond_later(method, path, headers, parameters):
        if path == "/console/session":
            on_session()
        time.sleep(session if path == "/console/session" else others)
        return respond(method, path, headers, parameters)

    api.respond = respond_later


def leave(page, provider, api, how, user_token):
    """Leave the page and return to it by renewing the session early, signing in or reloading."""
    if how == "reload":
        page.reload()
        expect(page.locator(".live")).to_contain_text("Live")
        return
    if how == "early":
        approach_expiry(page, api, 3_350 - api.clock_offset)
        page.clock.run_for(61_000)
    else:
        page.keyboard.press("Shift")
        api.refused.add(user_token)
        expect(page.locator(".banner", has_text=EXPIRED)).to_be_visible()
        page.get_by_role("link", name=CONTINUE).click()
    expect_renewed(page, provider)


WAYS = pytest.mark.parametrize("how", ["early", "click", "reload"])


@pytest.mark.parametrize("delay", [0.3, 1])
def test_offer_that_arrives_before_a_delayed_token_alerts_the_user(open_page, api, delay):
    user_token = token()
    page, provider = open_page(user_token, clock=True)
    delay_responses(api, delay, 0, on_session=lambda: api.offer("New"))
    leave(page, provider, api, "early", user_token)
    expect(announcements(page)).to_contain_text("New offer: New: charged twice")


@pytest.mark.parametrize(("session", "others"), [(0.1, 0.1), (0.1, 0.3), (0.4, 0.1)])
@pytest.mark.parametrize("section", ["History", "Callbacks"])
def test_list_is_loaded_even_if_the_token_is_replaced(open_page, api, section, session, others):
    user_token, api.worker = token("supervisor"), None
    api.add_past_reservation("Past")
    page, provider = open_page(user_token, clock=True)
    provider.token = token("supervisor", name="renewed")
    page.get_by_role("link", name=section).click()
    expect(page.get_by_role("heading", name=section, level=1)).to_be_visible()
    provider.on_request = lambda: delay_responses(api, session, others)
    leave(page, provider, api, "early", user_token)
    shown = row(page, "Past") if section == "History" else page.get_by_text("No callback matches")
    expect(shown).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


@WAYS
@pytest.mark.parametrize("focused", ["row", "button"])
def test_selected_offer_is_selected_again_after_a_renewal_a_sign_in_or_a_reload(
    open_page, api, how, focused
):
    for number in range(3):
        api.offer(f"Customer {number}", 6_000 + number)
    api.answers["/accept"] = api.decide("accepted")
    user_token = token()
    page, provider = open_page(user_token, clock=True)
    row(page, "Customer 2").get_by_role("heading").click()
    if focused == "button":
        page.get_by_text("Raw JSON").click()
    leave(page, provider, api, how, user_token)
    expect(rows(page)).to_have_count(3)
    expect(row(page, "Customer 2")).to_have_attribute("aria-current", "true")
    expect(page.locator(f".offer{SELECTED}")).to_have_count(1)
    page.clock.run_for(2_100)
    page.keyboard.press("a")
    expect(row(page, "Customer 2")).to_have_attribute("data-end", "accepted")
    assert len(posts(api)) == 1


def test_another_offer_is_selected_if_the_selected_offer_has_ended(open_page, api):
    first, second = (api.offer(f"Customer {number}", 6_000 + number) for number in range(2))
    user_token = token()
    page, provider = open_page(user_token)
    row(page, "Customer 1").get_by_role("heading").click()
    provider.on_request = lambda: api.end(second, "canceled")
    leave(page, provider, api, "click", user_token)
    expect(row(page, "Customer 0")).to_have_attribute("aria-current", "true")
    expect(ended_rows(page)).to_contain_text("Withdrawn")
    assert first in api.reservations


@WAYS
def test_activity_chosen_for_a_rejection_is_kept(open_page, api, how):
    for number in range(3):
        api.offer(f"Customer {number}", 6_000 + number)
    api.answers["/reject"] = api.decide("rejected")
    user_token = token()
    page, provider = open_page(user_token, clock=True)
    row(page, "Customer 1").get_by_role("heading").click()
    page.get_by_label("After a rejection").select_option("Offline")
    leave(page, provider, api, how, user_token)
    row(page, "Customer 1").get_by_role("heading").click()
    expect(page.get_by_label("After a rejection")).to_have_value(OFFLINE)
    page.get_by_role("button", name="Reject: Customer 1").click()
    wait_until(page, lambda: posts(api))
    sent = [parameters for _, path, parameters in api.received if path.endswith("/reject")]
    assert sent == [{"activity_sid": OFFLINE}]


@WAYS
def test_activity_banner_and_ended_offers_are_kept(open_page, api, how):
    offer = api.offer("Gone", 6_000)
    api.offer("Still here", 6_000)
    user_token = token()
    page, provider = open_page(user_token, clock=True)
    expect(rows(page)).to_have_count(2)
    # While a dialog is open, the page does not start a renewal.
    page.keyboard.press("?")
    approach_expiry(page, api, 3_350)
    change = {"activity_name": "Offline", "activity_changed_at": iso(api.now())}
    api.worker.update(activity_sid=OFFLINE, **change)
    api.end(offer, "timeout")
    notice = page.get_by_text("TaskRouter set you to Offline at")
    expect(notice).to_be_visible()
    page.clock.run_for(6_000)
    expect(ended_rows(page)).to_contain_text("Gone")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    leave(page, provider, api, how, user_token)
    expect(notice).to_be_visible()
    expect(ended_rows(page)).to_contain_text("Timed out")
    expect(ended_rows(page)).to_contain_text("Gone: charged twice")


def test_activity_change_during_a_sign_in_is_reported(open_page, api):
    user_token = token()
    page, provider = open_page(user_token)
    page.wait_for_function("document.querySelector('.activity select').value.endsWith('2')")
    change = {"activity_sid": BREAK, "activity_name": "Break"}
    provider.on_request = lambda: api.worker.update(change)
    leave(page, provider, api, "click", user_token)
    expect(page.get_by_text("You were set to Break at")).to_be_visible()


DRAFTS = "sessionStorage.getItem('console.drafts')"


def open_provider(open_page, api):
    """Go to the provider's page while the console lists an ended offer and an open offer."""
    ended_offer, open_offer = (api.offer(name, 6_000) for name in ("Alma", "Berta"))
    user_token = token()
    page, provider = open_page(user_token, clock=True)
    expect(rows(page)).to_have_count(2)
    api.end(ended_offer, "canceled")
    expect(row(page, "Alma")).to_have_attribute("data-end", "withdrawn")
    page.clock.run_for(6_000)
    page.keyboard.press("Shift")
    api.refused.add(user_token)
    page.context.route("**/provider", lambda route: route.fulfill(body="Password?"))
    page.get_by_role("link", name=CONTINUE).click()
    page.wait_for_url("**/provider")
    page.context.unroute("**/provider")
    return page, provider, [ended_offer, open_offer]


def test_storage_contains_no_attributes_during_a_sign_in(open_page, api):
    page, _, sids = open_provider(open_page, api)
    stored = page.evaluate(DRAFTS)
    assert [sid in stored for sid in sids] == [True, True]
    assert [words for words in ("Alma", "Berta", "charged") if words in stored] == []


def test_stored_state_is_not_shown_to_the_next_user(open_page, api):
    page, provider, _ = open_provider(open_page, api)
    provider.token = token("supervisor", identity="dana@example.com")
    api.worker = None
    page.goto(api.complete_sign_in(provider.token)["headers"]["Location"])
    expect_renewed(page, provider)
    expect(rows(page)).to_have_count(1)
    page.wait_for_timeout(300)
    expect(ended_rows(page)).to_have_count(0)
    assert "known" not in page.evaluate(DRAFTS)


def test_sign_out_in_another_tab_removes_the_stored_state(open_page, open_console, api):
    page, provider, _ = open_provider(open_page, api)
    other = open_console(provider.token, context=page.context)
    other.locator(".me > summary").click()
    other.get_by_role("button", name="Sign out").click()
    page.goto(f"{api.url}/console")
    expect(page.get_by_text("You signed out")).to_be_visible()
    assert page.evaluate(DRAFTS) is None


def test_stored_state_is_removed_when_it_is_restored(open_page, api):
    page, provider, _ = open_provider(open_page, api)
    page.goto(api.complete_sign_in(provider.token)["headers"]["Location"])
    expect(ended_rows(page)).to_contain_text("Alma")
    assert "known" not in page.evaluate(DRAFTS)


@WAYS
def test_text_in_the_callback_filter_is_kept(open_page, api, how):
    user_token, api.worker = token("supervisor"), None
    page, provider = open_page(user_token, clock=True)
    provider.token = token("supervisor", name="renewed")
    page.get_by_role("link", name="Callbacks").click()
    field = page.locator("#log-sid")
    field.fill("WR123")
    leave(page, provider, api, how, user_token)
    expect(field).to_have_value("WR123")
    field.press("Enter")
    expect(page.get_by_text("Enter a complete SID")).to_be_visible()
