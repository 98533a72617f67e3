"""Browser tests of hidden pages, notifications and sound, with a fake API."""

import time

import pytest
from playwright.sync_api import expect

from tests.console.conftest import token
from tests.console.pages import (
    EXPIRED,
    announcements,
    error,
    expect_renewed,
    hide,
    row,
    wait_until,
)

pytestmark = pytest.mark.slow


def test_hidden_page_polls_more_slowly_and_still_alerts_the_user(open_console, api):
    api.poll = {"visible_ms": 200, "hidden_ms": 1_500}
    page = open_console()
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    hide(page)
    times = api.record_poll_times()
    wait_until(page, lambda: len(times) >= 3)
    # The first poll may have begun while the page was visible.
    assert times[2] - times[1] > 1
    api.offer("Marta")
    expect(page).to_have_title("(1) Inbox, Agent console")


def test_new_offer_plays_the_sound_and_also_shows_a_notification_if_the_page_is_hidden(
    open_console, api
):
    page = open_console(permissions=["notifications"])
    expect(page.locator(".live")).to_contain_text("Live")
    page.evaluate(
        """() => {
          window.alerts = [];
          window.Notification = class extends EventTarget {
            static permission = "granted";
            static requestPermission = async () => "granted";
            constructor(title, {body}) { super(); alerts.push(`${title}: ${body}`); }
          };
          OscillatorNode.prototype.start = () => alerts.push("tone");
          OscillatorNode.prototype.stop = () => {};
        }"""
    )
    page.locator(".me > summary").click()
    page.get_by_label("Sound for new offers").check()
    page.get_by_label("Desktop notifications").check()
    page.keyboard.press("Escape")
    wait_until(page, lambda: page.evaluate("alerts.length >= 2"))
    assert page.evaluate("alerts.splice(0)") == ["tone", "tone"]
    api.offer("Visible")
    wait_until(page, lambda: page.evaluate("alerts.length >= 2"))
    assert page.evaluate("alerts.splice(0)") == ["tone", "tone"]
    hide(page)
    api.offer("Hidden")
    wait_until(page, lambda: page.evaluate("alerts.length >= 3"))
    notification = "New offer: Hidden: charged twice"
    assert sorted(page.evaluate("alerts.splice(0)")) == [notification, "tone", "tone"]


NOTIFICATIONS = """
  localStorage.setItem("console.notifications", "true");
  window.dismissed = [];
  window.shown = [];
  window.Notification = class extends EventTarget {
    static permission = "granted";
    constructor(title, {body}) {
      super();
      if (window.isAndroid) {
        throw new TypeError("Illegal constructor.");
      }
      this.body = body;
      shown.push(body);
    }
    close() { dismissed.push(this.body); }
  };
"""


@pytest.mark.parametrize("end", ["ending", "sign-out"])
def test_notification_is_closed_when_its_offers_end_or_the_user_signs_out(open_console, api, end):
    context = open_console(None).context
    context.add_init_script(NOTIFICATIONS)
    page = open_console(context=context)
    expect(page.locator(".live")).to_contain_text("Live")
    hide(page)
    reservation = api.offer("Marta")
    wait_until(page, lambda: page.evaluate("shown.length") == 1)
    second = api.offer("Berta")
    wait_until(page, lambda: page.evaluate("shown.length") == 2)
    if end == "ending":
        api.end(second, "canceled")
        wait_until(page, lambda: page.evaluate("dismissed") == ["Berta: charged twice"])
        api.end(reservation, "canceled")
    else:
        page.locator(".me > summary").click()
        page.get_by_role("button", name="Sign out", exact=True).click()
    wait_until(page, lambda: sorted(page.evaluate("dismissed")) == sorted(page.evaluate("shown")))


def test_notifications_are_turned_off_if_pages_cannot_show_them(open_console, api):
    context = open_console(None).context
    context.add_init_script(f"{NOTIFICATIONS}window.isAndroid = true;")
    page = open_console(context=context)
    expect(page.locator(".live")).to_contain_text("Live")
    hide(page)
    api.offer("Marta")
    setting = "localStorage.getItem('console.notifications')"
    wait_until(page, lambda: page.evaluate(setting) == "false")
    page.locator(".me > summary").click()
    expect(page.get_by_label("Desktop notifications")).not_to_be_checked()


def test_icon_for_open_offers_is_loaded_before_a_deployment_can_remove_it(open_console):
    page = open_console()
    loaded = "performance.getEntriesByType('resource').map(each => each.name)"
    wait_until(
        page, lambda: any(each.endswith("/icon-offers.svg") for each in page.evaluate(loaded))
    )


RECORD_ALERTS = """
  window.alerts = [];
  window.Notification = class extends EventTarget {
    static permission = "granted";
    constructor(title, {body}) { super(); alerts.push(body); }
  };
  OscillatorNode.prototype.start = () => alerts.push("tone");
  OscillatorNode.prototype.stop = () => {};
"""


def test_notification_appears_only_if_no_tab_is_visible(open_console, api):
    link = token()
    leader = open_console(link)
    expect(leader.locator(".live")).to_contain_text("Live")
    leader.evaluate("localStorage.setItem('console.notifications', 'true')")
    leader.reload()
    leader.evaluate(RECORD_ALERTS)
    expect(leader.locator(".live")).to_contain_text("Live")
    other = open_console(link, context=leader.context)
    expect(other.locator(".live")).to_contain_text("Live")
    hide(leader)
    api.offer("Seen")
    expect(row(other, "Seen")).to_be_visible()
    expect(row(leader, "Seen")).to_be_attached()
    hide(other)
    api.offer("Unseen")
    wait_until(leader, lambda: leader.evaluate("alerts.length > 0"))
    assert leader.evaluate("alerts") == ["Unseen: charged twice"]


# Turns on notifications, and keeps a hidden page hidden after a navigation.
HIDDEN = """
  localStorage.setItem("console.notifications", "true");
  if (localStorage.getItem("hidden")) {
    Object.defineProperty(document, "visibilityState", {value: "hidden"});
  }
"""


@pytest.mark.parametrize("cause", ["typing", "provider", "service"])
def test_end_of_the_session_shows_a_notification_in_a_hidden_tab(
    open_page, open_console, api, cause
):
    context = open_console(None).context
    context.add_init_script(HIDDEN + RECORD_ALERTS)
    user_token = token()
    page, provider = open_page(user_token, context=context)
    page.evaluate("localStorage.setItem('hidden', 'yes')")
    page.reload()
    expect(page.locator(".live")).to_contain_text("Live")
    if cause == "typing":
        page.keyboard.press("Shift")
    elif cause == "provider":
        provider.failure = "login_required"
    else:
        original = api.respond
        api.respond = lambda method, path, *others: (
            error(503, "Failure")
            if path.startswith("/console/sign-in")
            else original(method, path, *others)
        )
    api.refused.add(user_token)
    expect(page.locator(".banner", has_text=EXPIRED)).to_be_visible()
    expect(announcements(page)).to_contain_text(EXPIRED)
    wait_until(page, lambda: page.evaluate("alerts.length > 0"))
    words = "Sign in again to continue. The text that you typed is kept in this tab."
    assert page.evaluate("alerts") == [words]


def test_automatic_renewal_of_an_ended_session_does_not_alert_the_user(
    open_page, open_console, api
):
    context = open_console(None).context
    context.add_init_script(HIDDEN + RECORD_ALERTS)
    user_token = token()
    page, provider = open_page(user_token, context=context)
    other = open_console(user_token, context=context)
    expect(other.locator(".live")).to_contain_text("Live")
    hide(page)
    hide(other)
    provider.on_request = lambda: time.sleep(1)
    api.refused.add(user_token)
    for each in (page, other):
        expect_renewed(each, provider)
        assert each.evaluate("alerts") == []
        expect(announcements(each)).to_have_text("")


# Chromium treats each evaluation by Playwright as a user action, which would unblock the sound.
# With this script, only clicks and key presses count as user actions.
IGNORE_EVALUATIONS = """
  localStorage.setItem("console.sound", "true");
  const activation = {hasBeenActive: false};
  Object.defineProperty(navigator, "userActivation", {value: activation});
  for (const type of ["click", "keydown"]) {
    addEventListener(type, () => { activation.hasBeenActive = true; }, {capture: true});
  }
"""


def test_tab_that_the_user_has_used_plays_the_sound(open_console, api):
    link = token()
    context = open_console(None).context
    context.add_init_script(IGNORE_EVALUATIONS + RECORD_ALERTS)
    leader = open_console(link, context=context)
    blocked = leader.get_by_text("Your browser blocks the sound")
    expect(blocked).to_be_visible()
    api.offer("Silent")
    expect(row(leader, "Silent")).to_be_visible()
    other = open_console(link, context=leader.context)
    expect(row(other, "Silent")).to_be_visible()
    other.keyboard.press("j")
    expect(other.get_by_text("Your browser blocks the sound")).to_have_count(0)
    api.offer("Loud")
    wait_until(other, lambda: other.evaluate("alerts.length === 2"))
    assert leader.evaluate("alerts") == []
    leader.get_by_role("button", name="Turn on", exact=True).click()
    expect(blocked).to_have_count(0)
    wait_until(leader, lambda: leader.evaluate("alerts.length === 2"))
    api.offer("Once")
    for page in (leader, other):
        expect(row(page, "Once")).to_be_visible()
    count = "alerts.length"
    wait_until(leader, lambda: leader.evaluate(count) + other.evaluate(count) == 6)
