"""Takes the screenshots in docs/console.md: `python -m tests.console.screenshot`."""

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.console.conftest import FakeApi, chromium, fake_api, iso, token
from tests.console.test_overview import hour_of, statistics_of

IMAGES = Path(__file__).parents[2] / "docs" / "images"
TOTALS = (3, 2, 1, 1, 0, 2, 8, 41, 69, 132, 163, 151, 107, 112, 161, 179, 141, 93, 60, 44, 30, 21)


def fill(api: FakeApi) -> dict[str, str]:
    """Add offers in several states; return their SIDs by customer."""
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
                "details": "The customer called yesterday and was promised a refund. She asks for "
                "a confirmation by email.",
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
    """Let two offers end, wait until they are listed below, and select an offer."""
    sids = fill(api)
    page.goto(f"{api.url}/console#token={token()}")
    expect(page.locator(".offer")).to_have_count(6)
    api.end(sids["Hannah Cole"], "timeout")
    api.end(sids["Carl Berg"], "canceled")
    expect(page.locator(".ended > .offer")).to_have_count(2, timeout=15_000)
    page.locator(".offer .title", has_text="Marta").click()
    page.mouse.move(5, 5)
    page.wait_for_timeout(500)  # until the colors of the buttons have changed


def show_overview(page: Page, api: FakeApi) -> None:
    """Show a supervisor the statistics of a busy day."""
    api.worker = None
    api.statistics = statistics_of(api)
    for index, total in enumerate(TOTALS):
        rejected, timeout = total // 25, total // 20
        parts = {"completed": total - rejected - timeout, "rejected": rejected, "timeout": timeout}
        api.statistics["hours"][index] = hour_of(api, 23 - index, **parts)
    page.goto(f"{api.url}/console#token={token('supervisor', identity='dana@example.com')}")
    expect(page.locator(".live")).to_contain_text("Live")
    page.get_by_role("link", name="Overview").click()
    expect(page.locator(".tile")).to_have_count(6)


def main() -> None:
    """Save screenshots of the inbox and of the overview in a desktop-sized window."""
    with fake_api() as api, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 860}, locale="en-US")
        show(page, api)
        page.screenshot(path=IMAGES / "console.png")
        page = browser.new_page(
            viewport={"width": 1280, "height": 900}, locale="en-US", color_scheme="dark"
        )
        show_overview(page, api)
        page.screenshot(path=IMAGES / "console-overview.png")


if __name__ == "__main__":
    main()
