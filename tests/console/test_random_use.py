"""Random use of the console: the page sends only the user's decisions, and shows the API's state.

Hypothesis combines input, faults, sleep, expired sessions, other people's decisions and a second
tab. The fake API processes decisions like the real API: the first decision about a Reservation
succeeds.
"""

import calendar
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from playwright.sync_api import BrowserContext, Error, Page
from playwright.sync_api import TimeoutError as ActionTimeoutError

from tests.console.conftest import (
    ACTIVITIES,
    ALICE,
    STAGE,
    FakeApi,
    fake_api,
    token,
    watch,
)
from tests.console.pages import hide

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_800)]

DANA = "dana@example.com"
PRINCIPALS = {"worker": f"worker:{ALICE}", "supervisor": f"supervisor:{DANA}"}
RESULTING_STATUS = {"accept": "accepted", "reject": "rejected", "complete": "completed"}
EXAMPLES_PER_BROWSER_EXAMPLE = 50
"""Number of examples that a test without a browser runs for each example of this test."""

SETTLED_SECONDS = 20
"""Maximum time after the last fault until the page shows the API's state."""

ENDINGS = {
    "accepted": {"accepted", "taken"},
    "rejected": {"rejected"},
    "completed": {"accepted", "taken", "completed"},
    "timeout": {"timeout"},
    "canceled": {"withdrawn"},
}
"""The endings that the page may show for each status. It shows "taken" only to supervisors."""

# Clears the filter in one step, because the sign-in page may appear at any time.
CLEAR_FILTER = """() => {
  const field = document.querySelector("#filter");
  if (field?.value) {
    field.value = "";
    field.dispatchEvent(new Event("input", {bubbles: true}));
  }
}"""
SHOWN = """() => {
  const sids = (selector) => [...document.querySelectorAll(selector)].map(({id}) => id.slice(-34));
  const offers = [...document.querySelectorAll(".offers .offer")];
  return {
    open: sids(".offers:not(.ended) > .offer:not([data-end])"),
    progress: sids(".list > li"),
    ended: offers.filter((each) => each.dataset.end).map((each) => [
      each.querySelector(".title").textContent.split(":")[0], each.dataset.end,
    ]),
    isLive: document.querySelector(".live .dot")?.dataset.on === "yes",
    busy: document.querySelectorAll(".list [aria-disabled], .activity [aria-busy]").length,
    activity: document.querySelector(".activity select")?.value ?? null,
    hasDialog: document.querySelector("dialog") !== null,
  };
}"""


class Decisions:
    """Makes a fake API process decisions as the real API does, and injects faults.

    Attributes:
        api: the fake API.
        principal: the user, as in `accepted_by`.
        fault: how the next decisions and changes of Activity fail, or "" for no fault.
        requests: the number of requests for each Reservation and verb.
    """

    def __init__(self, api: FakeApi, principal: str) -> None:
        self.api = api
        self.principal = principal
        self.fault = ""
        self.requests: Counter[tuple[str, str]] = Counter()
        self._lock = threading.RLock()
        respond = api.respond

        def respond_in_turn(*request: Any) -> Any:
            time.sleep(api.delay)
            with self._lock:
                self.time_out()
                delay, api.delay = api.delay, 0
                try:
                    return respond(*request)
                finally:
                    api.delay = delay

        api.respond = respond_in_turn  # type: ignore[method-assign]
        api.answers = {f"/{verb}": self.decide for verb in RESULTING_STATUS}
        api.answers["/activity"] = self.switch

    def change(self, function: Callable[[], Any]) -> Any:
        """Call a function while no request is being processed."""
        with self._lock:
            return function()

    def time_out(self) -> None:
        now = self.api.now()
        for sid, each in list(self.api.reservations.items()):
            expires_at = time.strptime(each["expires_at"][:19], "%Y-%m-%dT%H:%M:%S")
            if each["status"] == "pending" and calendar.timegm(expires_at) + 1 < now:
                self.api.end(sid, "timeout")

    def decide(self, path: str) -> Any:
        *_, sid, verb = path.split("/")
        self.requests[sid, verb] += 1
        fault = self.fault
        if fault == "throttled":
            return 429, {"message": "Too Many Requests"}, {}
        if fault == "not sent":
            return 503, {"Code": "TaskRouterNotSent", "Message": "Not sent."}, {"Retry-After": "1"}
        if fault == "refused":
            return 400, {"Code": "TaskRouterRefused", "Message": "TaskRouter refused: no."}, {}
        if fault == "unknown":
            return 503, {"Code": "OutcomeUnknown", "Message": "Unknown."}, {"Retry-After": "1"}
        answer = self._apply(sid, verb)
        return (502, {"message": "Bad Gateway"}, {}) if fault == "lost" else answer

    def _apply(self, sid: str, verb: str) -> Any:
        api, result = self.api, RESULTING_STATUS[verb]
        reservation = api.reservations.get(sid) or api.records[sid]
        status = reservation["status"]
        if status == ("accepted" if verb == "complete" else "pending"):
            if result == "accepted":
                reservation.update(status=result, accepted_by=self.principal)
            else:
                api.end(sid, result, self.principal)
        elif status != result:
            body = {"Code": "ReservationNotPending", "Message": "No.", "reservation_status": status}
            return 409, body, {}
        return 200, {"reservation_sid": sid, "reservation_status": result}, {}

    def switch(self, _path: str) -> Any:
        wanted = self.api.received[-1][2]["activity_sid"]
        activity = next(each for each in ACTIVITIES if each["sid"] == wanted)
        if self.fault in ("throttled", "not sent", "refused", "unknown"):
            return 503, {"Code": "OutcomeUnknown", "Message": "Unknown."}, {}
        changed = {"activity_sid": wanted, "activity_name": activity["name"]}
        assert self.api.worker
        self.api.worker = {**self.api.worker, **changed}
        return (502, {"message": "Bad Gateway"}, {}) if self.fault == "lost" else (200, changed, {})


numbers = st.integers(0, 99)
tabs = st.integers(0, 1)


class RandomUse(RuleBasedStateMachine):
    """A user's browser with one or two tabs, a fake API, and the user's decisions."""

    browser: Any
    role: str

    @initialize(left=st.sampled_from([3, 60]))
    def open_first_tab(self, left: float) -> None:
        self.fake = fake_api()
        self.api = self.fake.__enter__()
        if self.role == "supervisor":
            self.api.worker = None
        self.decisions = Decisions(self.api, PRINCIPALS[self.role])
        self.problems: list[str] = []
        self.intended: Counter[tuple[str, str]] = Counter()
        self.customers: dict[str, str] = {}
        self.tokens = 0
        self.context: BrowserContext = self.browser.new_context(
            viewport={"width": 1280, "height": 900}, locale="en-US"
        )
        self.context.set_default_timeout(15_000)
        self.pages: list[Page] = []
        self.new_token()
        self.add_offer(left)
        self.open_tab()

    def new_token(self) -> None:
        self.tokens += 1
        identity = DANA if self.role == "supervisor" else ""
        self.token = token(self.role, seconds=36_000, identity=identity, name=str(self.tokens))

    def page(self, tab: int) -> Page:
        return self.pages[tab % len(self.pages)]

    def open_tab(self) -> None:
        page = self.context.new_page()
        page.clock.install()
        watch(page, self.api.url.removesuffix(STAGE), self.problems)
        try:
            page.goto(f"{self.api.url}/console#token={self.token}")
        except Error:
            page.close()  # the network is down
        else:
            self.pages.append(page)

    def act(self, action: Callable[[], Any]) -> None:
        """Call an action, and ignore a timeout, because the element may have disappeared."""
        with suppress(ActionTimeoutError):
            action()

    # Other people, TaskRouter and time

    @rule(left=st.sampled_from([2, 20, 60, 600]))
    def add_offer(self, left: float) -> None:
        customer = f"Customer {len(self.customers)}"
        sid = self.decisions.change(lambda: self.api.offer(customer, left))
        self.customers[customer] = sid

    @rule(number=numbers, change=st.sampled_from(["canceled", "timeout", "accepted", "completed"]))
    def change_elsewhere(self, number: int, change: str) -> None:
        def apply() -> None:
            if not self.api.reservations:
                return
            sids = sorted(self.api.reservations)
            sid = sids[number % len(sids)]
            reservation = self.api.reservations[sid]
            is_pending = reservation["status"] == "pending"
            if change == "accepted" and is_pending:
                reservation.update(status="accepted", accepted_by="supervisor:erin@example.com")
            elif change == "completed" and not is_pending:
                self.api.end(sid, change, "supervisor:erin@example.com")
            elif change in ("canceled", "timeout") and is_pending:
                self.api.end(sid, change)

        self.decisions.change(apply)

    @rule(milliseconds=st.sampled_from([50, 300, 900]))
    def wait(self, milliseconds: int) -> None:
        self.pages[0].wait_for_timeout(milliseconds)

    # The user

    @rule(tab=tabs, number=numbers, verb=st.sampled_from(["accept", "accept", "reject"]))
    def decide(self, tab: int, number: int, verb: str) -> None:
        page = self.page(tab)
        sids = page.evaluate(SHOWN)["open"]
        if sids:
            sid = sids[number % len(sids)]
            button = page.locator(f"#row-{sid} .acts button").nth(0 if verb == "accept" else 1)
            self.intended[sid, verb] += 1
            self.act(lambda: button.click(timeout=300))

    @rule(tab=tabs, number=numbers)
    def complete(self, tab: int, number: int) -> None:
        page = self.page(tab)
        sids = page.evaluate(SHOWN)["progress"]
        if sids:
            sid = sids[number % len(sids)]
            self.intended[sid, "complete"] += 1
            self.act(lambda: page.locator(f".list > [id$={sid}] button").click(timeout=300))

    @rule(tab=tabs, key=st.sampled_from(["a", "a", "r", "c", "j", "j", "k", "p", "i", "t", "?"]))
    def press(self, tab: int, key: str) -> None:
        page = self.page(tab)
        page.mouse.click(5, 5)
        verb = {"a": "accept", "r": "reject", "c": "complete"}.get(key)
        selected = page.evaluate("document.querySelector('[aria-current=true][id]')?.id.slice(-34)")
        if verb and selected:
            self.intended[selected, verb] += 1
        page.keyboard.press(key)

    @rule(tab=tabs, letters=st.sampled_from(["car", "parc", "ustomer", "zzz"]))
    def type_into_the_filter(self, tab: int, letters: str) -> None:
        field = self.page(tab).locator("#filter")
        if field.count():
            # Outside the field, the letters would be shortcuts.
            self.act(lambda: field.press_sequentially(letters, delay=10, timeout=300))

    @rule(tab=tabs, key=st.sampled_from(["Escape", "Tab"]))
    def press_key_without_effect_on_offers(self, tab: int, key: str) -> None:
        self.page(tab).keyboard.press(key)

    @rule(tab=tabs, number=st.integers(0, 2))
    def choose_activity_after_rejection(self, tab: int, number: int) -> None:
        select = self.page(tab).locator(".offer .after select")
        if select.count():
            self.act(lambda: select.select_option(ACTIVITIES[number]["sid"], timeout=300))

    @rule(tab=tabs, language=st.sampled_from(["en", "es"]))
    def choose_language(self, tab: int, language: str) -> None:
        self.act(lambda: self.page(tab).locator(".me summary").click(timeout=300))
        select = self.page(tab).locator(".me select")
        self.act(lambda: select.select_option(language, timeout=300))

    @rule(
        tab=tabs, section=st.sampled_from(["#history", "#offers", "#overview", "#callbacks", "#"])
    )
    def open_section(self, tab: int, section: str) -> None:
        self.page(tab).evaluate("fragment => { location.hash = fragment }", section)

    @rule(tab=tabs, number=st.integers(0, 2))
    def switch_activity(self, tab: int, number: int) -> None:
        select = self.page(tab).locator(".activity select")
        if select.count():
            self.act(lambda: select.select_option(ACTIVITIES[number]["sid"], timeout=300))

    @rule(tab=tabs)
    def reload(self, tab: int) -> None:
        if not self.is_down:
            self.page(tab).reload()

    # Faults

    is_down = False

    @rule(fault=st.sampled_from(["", "", "lost", "unknown", "throttled", "not sent", "refused"]))
    def fail_decisions(self, fault: str) -> None:
        self.decisions.fault = fault

    @rule(failure=st.sampled_from([None, None, 500, 503, 429, 403]))
    def fail_all_requests(self, failure: int | None) -> None:
        self.api.failure = failure

    @rule(delay=st.sampled_from([0, 0, 0.3]))
    def slow_down(self, delay: float) -> None:
        self.api.delay = delay

    @rule(is_down=st.booleans())
    def change_network(self, *, is_down: bool) -> None:
        self.is_down = is_down
        self.context.set_offline(is_down)

    @rule(seconds=st.sampled_from([8, 40, 3_000]))
    def sleep(self, seconds: int) -> None:
        """The computer sleeps, or somebody sets its clock. The API's clock does not change."""
        for page in self.pages:
            page.clock.fast_forward(seconds * 1000)

    @rule(tab=tabs)
    def hide_tab(self, tab: int) -> None:
        hide(self.page(tab))

    @rule(tab=tabs)
    def show_tab(self, tab: int) -> None:
        show(self.page(tab))

    @rule()
    def expire_session(self) -> None:
        self.api.refused.add(self.token)
        self.new_token()

    @rule(tab=tabs)
    def follow_link(self, tab: int) -> None:
        if not self.is_down:
            self.page(tab).goto(f"{self.api.url}/console#token={self.token}")

    @rule()
    def use_second_tab(self) -> None:
        if len(self.pages) < 2:
            self.open_tab()
        else:
            self.pages.pop(0).close()

    # Invariants

    def check_requests(self) -> None:
        excess = self.decisions.requests - self.intended
        assert not excess, f"the page sent decisions that the user did not make: {excess}"
        assert self.problems == []

    def teardown(self) -> None:
        if not hasattr(self, "pages"):
            return
        try:
            self.check_requests()
            self.settle()
            self.check_requests()
        finally:
            self.context.close()
            self.fake.__exit__(None, None, None)

    def settle(self) -> None:
        """End all faults, and assert that all tabs show the API's state."""
        self.change_network(is_down=False)
        self.decisions.fault = ""
        self.api.failure, self.api.delay = None, 0
        for page in self.pages:
            show(page)
            self.leave_dialogs(page)
        deadline = time.monotonic() + SETTLED_SECONDS
        for page in self.pages:
            while difference := self.difference(page):
                assert time.monotonic() < deadline, difference
                if page.locator("main.sign-in").count():
                    page.goto(f"{self.api.url}/console#token={self.token}")
                page.evaluate(CLEAR_FILTER)
                page.wait_for_timeout(50)

    def leave_dialogs(self, page: Page) -> None:
        page.mouse.move(0, 0)
        page.evaluate("() => { location.hash = '#offers' }")
        for _ in range(3):
            page.keyboard.press("Escape")

    def difference(self, page: Page) -> str:
        shown = page.evaluate(SHOWN)
        with self.decisions._lock:
            self.decisions.time_out()
            status = {sid: each["status"] for sid, each in self.api.reservations.items()}
            records = {**self.api.records, **self.api.reservations}
        pending = {sid for sid, each in status.items() if each == "pending"}
        progress = status.keys() - pending
        wrong = [
            (customer, end)
            for customer, end in shown["ended"]
            if not self.may_show(end, records[self.customers[customer]])
        ]
        if set(shown["open"]) != pending or set(shown["progress"]) != progress or wrong:
            return f"{pending=} {progress=} {wrong=} {shown=}"
        if not shown["isLive"] or shown["busy"] or shown["hasDialog"]:
            return f"{shown=}"
        if self.role == "worker" and shown["activity"] != self.api.worker["activity_sid"]:
            return f"{self.api.worker=} {shown=}"
        return ""

    def may_show(self, end: str, reservation: dict[str, Any]) -> bool:
        if end == "taken":
            is_other = reservation["accepted_by"] != self.decisions.principal
            return self.role == "supervisor" and is_other
        return end in ENDINGS.get(reservation["status"], ())


def show(page: Page) -> None:
    page.evaluate(
        """() => {
          Object.defineProperty(document, "visibilityState", {value: "visible", writable: true});
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )


@pytest.mark.parametrize("role", PRINCIPALS)
def test_page_sends_only_the_users_decisions_and_eventually_shows_the_apis_state(browser, role):
    examples = int(os.environ.get("CHAOS_EXAMPLES", "1000")) // EXAMPLES_PER_BROWSER_EXAMPLE
    machine = type("RandomUseOfBrowser", (RandomUse,), {"browser": browser, "role": role})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            # Shrinking would run hundreds of examples, each of which takes seconds.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
