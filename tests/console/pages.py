"""Helpers for the console's pages and for the fake API, used by several test files."""

import threading
import time
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.console.conftest import ACTIVITIES, iso, token

HOUR = 3600
CONTINUE = "Continue with company account"
EXPIRED = "Your session expired at"


def rows(page: Page):
    return page.locator(".offers:not(.ended) > .offer")


def ended_rows(page: Page):
    return page.locator(".offers.ended > .offer")


def row(page: Page, customer: str):
    return page.locator(".offers > .offer", has_text=customer)


def announcements(page: Page):
    return page.locator("#announcements")


def wait_until(page: Page, condition, seconds=15):
    """Wait until a condition is true. In the meantime, Playwright handles the page's events."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition is still false"
        page.wait_for_timeout(20)


def click_background(page: Page) -> None:
    """Click an empty area.

    For a while after the user types, the page ignores decision shortcuts. A click ends this pause.
    """
    page.mouse.click(5, 5)


def hide(page: Page) -> None:
    page.evaluate(
        """() => {
          Object.defineProperty(document, "visibilityState", {value: "hidden", writable: true});
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )


def assert_no_accessibility_violations(page: Page) -> None:
    """Assert that axe finds no violation in the current state of the page."""
    # The page's Content-Security-Policy does not block scripts that Playwright evaluates.
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def open_history(page: Page) -> None:
    page.get_by_role("link", name="History").click()
    expect(page.get_by_role("heading", name="History", level=1)).to_be_visible()


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).select_option(option)


def show_overview(open_console, api, **options: Any) -> Page:
    page = open_console(token("supervisor", identity="dana@example.com"), **options)
    expect(page.locator(".live")).to_contain_text("Live")
    page.locator("nav a[href='#overview']").click()
    expect(page.locator("h1#overview")).to_be_visible()
    return page


def wait_for_first_polls(page: Page) -> None:
    """Wait for a new page's two polls: one immediately, and one after the Activities are loaded.

    Until both have ended, a test cannot know how many polls will get a response that the test sets.
    """
    page.wait_for_load_state("networkidle")


def overview_requests(page: Page):
    """Return a list to which each later overview request of the page is added."""
    requests = []
    page.on(
        "request",
        lambda request: request.url.endswith("/overview") and requests.append(request),
    )
    return requests


def lists(api) -> list[str]:
    """Return the paths of the requests for lists of Reservations."""
    return [path for _, path, _ in api.received if path.startswith("/reservations?")]


def hold_lists(api, status=None) -> threading.Event:
    """Hold the responses to requests for lists, and return the event that releases the responses.

    If *status* is given, only responses to requests for lists of that status are held.
    """
    released = threading.Event()
    original = api._list

    def hold(parameters):
        if status in (None, parameters.get("status")):
            released.wait()
        return original(parameters)

    api._list = hold
    return released


def share_token(open_console, page: Page, identity: str = "") -> None:
    """Open another tab with a supervisor's token, which an expired session can then use."""
    user_token = token("supervisor", identity=identity, name="other tab")
    other = open_console(user_token, context=page.context)
    expect(other.locator(".live")).to_contain_text("Live")


def refuse_once(api, end: str) -> list[str]:
    """Refuse the token of the next GET request whose path ends with *end*.

    The returned list is empty after that request.
    """
    original, pending = api._read, [end]

    def refuse(path, headers):
        if path.endswith(end) and pending:
            pending.clear()
            return 401, {"Code": "UnauthorizedError", "Message": "The token has expired."}, {}
        return original(path, headers)

    api._read = refuse
    return pending


def approach_expiry(page, api, seconds):
    """Move the server's clock forward, and wait until the page has received the new time."""
    api.clock_offset += seconds
    before = api.count("/overview")
    wait_until(page, lambda: api.count("/overview") > before + 1)


def expect_renewed(page, provider):
    stored = "t => sessionStorage.getItem('console.token') === t"
    page.wait_for_function(stored, arg=provider.token)
    expect(page.locator(".live")).to_contain_text("Live")


def posts(api):
    """Return the paths of the POST requests, except those for a token."""
    posted = [path for method, path, _ in api.received if method == "POST"]
    return [path for path in posted if path != "/console/session"]


def error(status: int, code: str, *, reason: str = "", **headers: str):
    """Return an error response. If *reason* is given, the error is a refusal by TaskRouter."""
    message = f"TaskRouter refused the request {reason}" if reason else "Reason."
    return status, {"Code": code, "Message": message}, headers


def make_hour(api, ago: int, *, at_least: bool = False, **by_status: int) -> dict[str, Any]:
    """Return the counts of the hour that began *ago* hours before the current hour."""
    names = [
        "pending",
        "accepted",
        "wrapping",
        "completed",
        "rejected",
        "timeout",
        "canceled",
        "rescinded",
        "gone",
    ]
    counts = {name: by_status.get(name, 0) for name in names}
    start = int(api.now() // HOUR - ago) * HOUR
    return {
        "hour": iso(start),
        "counted_at": iso(api.now()),
        "at_least": at_least,
        "total": sum(counts.values()),
        "open": counts["pending"] + counts["accepted"] + counts["wrapping"],
        "accepted": counts["accepted"] + counts["wrapping"] + counts["completed"],
        "rejected": counts["rejected"],
        "timed_out": counts["timeout"],
        **{name: counts[name] for name in ("canceled", "rescinded", "gone")},
        "by_status": counts,
    }


def make_sweep(api, ago: float, **properties: Any) -> dict[str, Any]:
    """Return the result of a sweep that ran *ago* seconds ago."""
    counts = "oldest_due_ms mirrored unchanged gone rejected completed failed left reconciled"
    return {
        "at": iso(api.now() - ago),
        "duration_ms": 400,
        "ok": True,
        "errors": {},
        "due": 12,
        **dict.fromkeys(counts.split(), 0),
        "unreconciled": 0,
        "monitor_only": False,
        **properties,
    }


def make_statistics(api, *, age: float = 34, **properties: Any) -> dict[str, Any]:
    """Return statistics of 24 hours, four of which have Reservations."""
    hours = [make_hour(api, ago) for ago in range(23, -1, -1)]
    hours[10] = make_hour(api, 13, completed=140, rejected=8, timeout=11, canceled=3, gone=1)
    hours[11] = make_hour(api, 12, completed=90, rejected=4, timeout=3, rescinded=2)
    hours[22] = make_hour(api, 1, completed=60, wrapping=1, accepted=2, rejected=2, timeout=1)
    hours[23] = make_hour(api, 0, completed=20, accepted=4, pending=12, timeout=2)
    for hour in hours:
        hour["counted_at"] = iso(api.now() - age)
    return {
        "updated_at": iso(api.now() - age),
        "hours": hours,
        "acceptance": {
            "measured_at": iso(api.now() - age),
            "count": 87,
            "p50_ms": 8000,
            "p90_ms": 21_000,
            "p95_ms": 30_000,
            "p99_ms": 47_000,
        },
        "oldest_waiting": {"task_sid": "WT" + "1" * 32, "age_seconds": 113},
        "workers_by_activity": [
            {"activity_sid": each["sid"], "activity_name": each["name"], "workers": workers}
            for each, workers in zip(ACTIVITIES, (10, 14, 0), strict=True)
        ],
        "taskrouter_updated_at": iso(api.now() - age),
        "taskrouter_error": None,
        "sweeps": [
            make_sweep(
                api, age + 60 * number, **({"mirrored": 2, "gone": 1} if number == 1 else {})
            )
            for number in range(20)
        ],
        **properties,
    }
