"""Takes the console's screenshots for the docs: `python -m tests.console.screenshot`."""

import json
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.console.conftest import FakeApi, chromium, fake_api, iso, token
from tests.console.pages import make_hour, make_statistics
from tests.console.test_callbacks import delivery, event, refused_delivery
from tests.console.test_inspect import add_record, visit

IMAGES = Path(__file__).parents[2] / "docs" / "images"
TOTALS = (3, 2, 1, 1, 0, 2, 8, 41, 69, 132, 163, 151, 107, 112, 161, 179, 141, 93, 60, 44, 30, 21)


def fill(api: FakeApi) -> dict[str, str]:
    """Add offers in several states; return the SIDs of the pending offers by customer."""
    api.title_attributes = ["customer", "reason"]
    tasks = [
        ("+34 911 555 340", "", 18, 120, "Spanish", 10, {}),
        (
            "Marta Ríos",
            "charged twice for order 48-2207",
            36,
            120,
            "Billing, Spanish",
            20,
            {
                "details": "The customer called yesterday and was promised a refund. She would "
                "like confirmation by email.",
                "selected_language": "es",
                "from": "+34 600 555 012",
                "account_tier": "gold",
                "vip": True,
                "call_sid": "CA" + "0" * 28 + "0048",
            },
        ),
        ("Jonas Weber", "cannot sign in after a password reset", 84, 120, "Support", 0, {}),
        (
            "Northwind Traders",
            "quote for 250 licenses, decision this week",
            581,
            600,
            "Sales",
            5,
            {},
        ),
        ("Hannah Cole", "refund status", 590, 600, "Billing", 0, {}),
        ("Carl Berg", "change of address", 595, 600, "Support", 0, {}),
    ]
    sids = {}
    for customer, reason, left, timeout, queue, priority, more in tasks:
        attributes = {"customer": customer, **({"reason": reason} if reason else {}), **more}
        sids[customer] = api.offer(
            left=left,
            timeout=timeout,
            task_queue_name=queue,
            task_priority=priority,
            task_created_at=iso(api.now() - 36 - priority * 6),
            task_attributes=attributes,
        )
    for customer, reason, status in (
        ("Lukas Brandt", "invoice for September is missing", "accepted"),
        ("Inés Duarte", "cancel subscription at end of term", "wrapping"),
    ):
        attributes = {"customer": customer, "reason": reason}
        api.offer(left=-20, status=status, task_attributes=attributes)
    return sids


def show(page: Page, api: FakeApi) -> None:
    """Show offers, two of which have just ended, and select an offer."""
    sids = fill(api)
    page.goto(f"{api.url}/console#token={token()}")
    expect(page.locator(".offer")).to_have_count(6)
    api.end(sids["Hannah Cole"], "timeout")
    api.end(sids["Carl Berg"], "canceled")
    expect(page.locator(".ended > .offer")).to_have_count(2, timeout=15_000)
    page.locator(".offer .title", has_text="Marta").click()
    page.mouse.move(5, 5)
    page.wait_for_timeout(500)  # Wait until the colors of the buttons have changed.


def show_overview(page: Page, api: FakeApi) -> None:
    """Show a supervisor the statistics of a busy day."""
    api.worker = None
    api.statistics = make_statistics(api)
    for index, total in enumerate(TOTALS):
        rejected, timeout = total // 25, total // 20
        parts = {"completed": total - rejected - timeout, "rejected": rejected, "timeout": timeout}
        api.statistics["hours"][index] = make_hour(api, 23 - index, **parts)
    page.goto(f"{api.url}/console#token={token('supervisor', identity='dana@example.com')}")
    expect(page.locator(".live")).to_contain_text("Live")
    page.get_by_role("link", name="Overview").click()
    expect(page.locator(".tile")).to_have_count(6)


def show_inspect(page: Page, api: FakeApi) -> None:
    """Show a completed Reservation with a typical callback, as a Worker sees it."""
    attributes = {
        "customer": "Marta Ríos",
        "reason": "charged twice for order 48-2207",
        "selected_language": "es",
        "from": "+34 600 555 012",
        "account": {"tier": "gold", "since": 2019},
        "vip": True,
        "call_sid": "CA" + "0" * 28 + "0048",
    }
    reservation = add_record(api, task_attributes=attributes)
    record = api.records[reservation]
    record["callback"] = {
        "TaskSid": record["task_sid"],
        "ReservationSid": reservation,
        "TaskAge": "60",
        "TaskPriority": "20",
        "TaskAttributes": json.dumps(attributes, ensure_ascii=False),
        "WorkerAttributes": '{"languages": ["es", "en"], "contact_uri": "+15556667777"}',
    }
    record["delivery"]["checked_url"] = "https://example.com/prod/assignment_callback"
    api.title_attributes = ["customer", "reason"]
    page.goto(f"{api.url}/console#token={token()}")
    expect(page.locator(".live")).to_contain_text("Live")
    visit(page, reservation)
    expect(page.locator(".steps > li")).to_have_count(8)
    page.evaluate("document.activeElement.blur()")


def show_callbacks(page: Page, api: FakeApi) -> None:
    """Show a log with a refused and a failed request, and the details of the refused request."""
    event(api, 3, event_type="reservation.completed", duration_ms=21.8)
    event(api, 41, event_type="reservation.wrapup", duration_ms=19.2)
    refused_delivery(api, 195, checked_url="https://api.example.com/prod/assignment_callback")
    delivery(api, 246, route="/assignment_callback/fallback", rule=None, duration_ms=38.4)
    failure = {"error": "StoreUnavailable", "reason": "DynamoDB did not respond in time"}
    delivery(api, 251, status=503, answer=None, rule=None, duration_ms=4812, **failure)
    event(api, 289, duration_ms=24.1)
    delivery(api, 385)
    page.goto(f"{api.url}/console#token={token('supervisor', identity='dana@example.com')}")
    expect(page.locator(".live")).to_contain_text("Live")
    page.get_by_role("link", name="Callbacks").click()
    page.get_by_role("button", name="Details: Assignment").first.click()
    expect(page.locator(".log .facts")).to_be_visible()
    page.mouse.move(5, 500)


def main() -> None:
    """Save screenshots of the console's sections in a desktop-sized window."""
    with fake_api() as api, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 860}, locale="en-US")
        show(page, api)
        page.screenshot(path=IMAGES / "console.png")
        page = browser.new_page(
            viewport={"width": 1280, "height": 900}, locale="en-US", color_scheme="dark"
        )
        show_overview(page, api)
        page.screenshot(path=IMAGES / "console-overview.png")
    for name, show_page in (("inspect", show_inspect), ("callbacks", show_callbacks)):
        with fake_api() as api, chromium() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-US")
            api.worker = api.worker if name == "inspect" else None
            show_page(page, api)
            page.screenshot(path=IMAGES / f"console-{name}.png")


if __name__ == "__main__":
    main()
