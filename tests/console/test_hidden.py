"""Browser tests of a console in a tab that is really hidden, frozen or throttled.

Playwright makes all of its pages visible and focused, but does not control the tabs of Chromium's
default context. The tests control such a tab with the DevTools protocol:
https://chromedevtools.github.io/devtools-protocol/.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.console.conftest import FakeApi, chromium, token

pytestmark = pytest.mark.slow

# Arguments with which Playwright prevents Chromium from slowing down the timers of hidden pages.
UNTHROTTLED = (
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)
# When a page has been hidden for five minutes, Chromium lets the page's timers fire only once per
# minute. This argument shortens the five minutes to two seconds.
THROTTLE_EARLY = "--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/2"


class Tab:
    """A Chromium tab that Playwright does not control."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._session = browser.new_browser_cdp_session()
        self._responses: dict[int, Any] = {}
        self._session.on("Target.receivedMessageFromTarget", self._receive)
        self._target = self._session.send("Target.createTarget", {"url": url})["targetId"]
        attaching = {"targetId": self._target, "flatten": False}
        self._attached = self._session.send("Target.attachToTarget", attaching)["sessionId"]
        self._last_id = 0

    def _receive(self, event: Any) -> None:
        message = json.loads(event["message"])
        self._responses[message.get("id", 0)] = message

    def send(self, method: str, **parameters: Any) -> Any:
        """Send a DevTools protocol command to the tab; return the command's result."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": parameters}
        attached = {"sessionId": self._attached, "message": json.dumps(message)}
        self._session.send("Target.sendMessageToTarget", attached)
        wait_until(lambda: self._last_id in self._pending_responses())
        return self._responses.pop(self._last_id)["result"]

    def _pending_responses(self) -> dict[int, Any]:
        # Playwright dispatches received messages while it waits for a response.
        self._session.send("Target.getTargetInfo", {"targetId": self._target})
        return self._responses

    def evaluate(self, expression: str) -> Any:
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    def set_window(self, state: str) -> None:
        """Minimize or restore the window, and wait until the page's visibility has changed."""
        window = self.send("Browser.getWindowForTarget")["windowId"]
        self.send("Browser.setWindowBounds", windowId=window, bounds={"windowState": state})
        wanted = "hidden" if state == "minimized" else "visible"
        wait_until(lambda: self.evaluate("document.visibilityState") == wanted)

    def set_lifecycle(self, state: str) -> None:
        """Freeze the page, as when the computer sleeps, or resume it (state "active")."""
        self.send("Page.setWebLifecycleState", state=state)

    def title(self) -> str:
        return str(self.evaluate("document.title"))

    def close(self) -> None:
        self._session.send("Target.closeTarget", {"targetId": self._target})


def wait_until(condition: Callable[[], bool], seconds: float = 8) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition is still false"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(THROTTLE_EARLY, omitted_arguments=UNTHROTTLED) as started:
        yield started


@pytest.fixture
def open_tab(browser: Browser, api: FakeApi) -> Iterator[Callable[..., Tab]]:
    """A function that opens the console in a tab and waits until the tab shows the inbox."""
    tabs = []

    def open_signed_in(seconds: int = 3600) -> Tab:
        tab = Tab(browser, f"{api.url}/console#token={token(seconds=seconds)}")
        tabs.append(tab)
        wait_until(lambda: api.count("/overview") > 0)
        wait_until(lambda: "Inbox" in tab.title())
        return tab

    yield open_signed_in
    for tab in tabs:
        tab.close()


def polls(api: FakeApi, seconds: float) -> int:
    """Count the polls during the given number of seconds."""
    before = api.count("/overview")
    time.sleep(seconds)
    return api.count("/overview") - before


def test_minimized_window_polls_more_slowly_and_still_alerts_the_user(open_tab, api):
    api.poll = {"visible_ms": 200, "hidden_ms": 1_500}
    tab = open_tab()
    assert polls(api, 3) >= 6
    tab.set_window("minimized")
    assert polls(api, 4) in (2, 3, 4)
    api.offer("Marta")
    wait_until(lambda: tab.title() == "(1) Inbox, Agent console", seconds=4)
    assert "New offer: Marta" in tab.evaluate("document.querySelector('#announcements').innerText")
    tab.set_window("normal")
    assert polls(api, 3) >= 6


def test_polls_keep_their_pace_although_the_timers_of_the_page_are_slowed_down(open_tab, api):
    api.poll = {"visible_ms": 300, "hidden_ms": 300}
    tab = open_tab()
    tab.evaluate("window.ticks = 0; setInterval(() => ticks++, 300)")
    tab.set_window("minimized")
    time.sleep(3)
    before = tab.evaluate("ticks")
    assert polls(api, 6) >= 10
    assert tab.evaluate("ticks") - before <= 7, "Chromium has not slowed down the timers"


def test_page_shows_offers_and_endings_immediately_after_sleep(open_tab, api):
    api.poll = {"visible_ms": 60_000, "hidden_ms": 60_000}
    ended = api.offer("Ended")
    tab = open_tab()
    wait_until(lambda: tab.title() == "(1) Inbox, Agent console")
    wait_until(lambda: polls(api, 1) == 0)
    tab.set_lifecycle("frozen")
    assert polls(api, 6) == 0
    api.end(ended, "timeout")
    api.offer("Marta")
    api.offer("Jonas")
    tab.set_lifecycle("active")
    wait_until(lambda: tab.title() == "(2) Inbox, Agent console", seconds=4)
    words = "document.querySelector('main').textContent"
    wait_until(lambda: "Timed out" in tab.evaluate(words))
    assert "Jonas" in tab.evaluate(words)


def test_page_says_that_the_session_expired_during_sleep(open_tab, api):
    tab = open_tab(seconds=5)
    tab.set_lifecycle("frozen")
    time.sleep(6)
    tab.set_lifecycle("active")
    wait_until(lambda: tab.title() == "Sign in, Agent console", seconds=4)
    assert "Your session expired at" in tab.evaluate("document.body.innerText")


def test_hidden_tab_polls_as_fast_as_a_visible_tab_while_another_tab_is_visible(open_tab, api):
    api.poll = {"visible_ms": 300, "hidden_ms": 60_000}
    leader = open_tab()
    second = open_tab()  # This tab covers the first tab in the same window.
    wait_until(lambda: leader.evaluate("document.visibilityState") == "hidden")
    assert second.evaluate("document.visibilityState") == "visible"
    assert polls(api, 3) >= 5
    api.offer("Marta")
    for tab in (leader, second):
        wait_until(lambda tab=tab: tab.title() == "(1) Inbox, Agent console")
