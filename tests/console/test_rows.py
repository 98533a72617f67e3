"""Browser tests of rows and controls that keep their place, and of the focus, with a fake of the API."""

import pytest
from playwright.sync_api import expect

from tests.console.conftest import token
from tests.console.pages import row, rows, wait_until

pytestmark = pytest.mark.slow


def test_more_urgent_offer_appears_in_a_truncated_list_while_the_pointer_is_over_it(
    open_console, api
):
    api.max_open = 3
    for number in range(3):
        api.offer(f"Customer {number}", 1_000 + number)
    page = open_console(token("supervisor"))
    row(page, "Customer 1").hover()
    api.offer("Urgent", 60)
    expect(page.locator(".title")).to_contain_text(
        ["Customer 0", "Customer 1", "Customer 2", "Urgent"], timeout=8_000
    )
    expect(page).to_have_title("(4) Inbox, Agent console")
    page.mouse.move(5, 5)
    expect(page.locator(".title")).to_contain_text(["Urgent", "Customer 0", "Customer 1"])
    expect(rows(page)).to_have_count(3)


def test_offer_that_a_lookup_finds_displaced_leaves_the_held_list(open_console, api, page_problems):
    api.max_open = 3
    api.offer("Customer 0", 1_000)
    reservation = api.offer("Customer 1", 1_001)
    for _ in range(2):
        api.offer("Task", 500, status="accepted")
    page = open_console(token("supervisor"))
    row(page, "Customer 0").hover()
    # The overview does not contain the Reservation, whose record is still pending.
    api.records[reservation] = api.reservations.pop(reservation)
    api.offer("Task", 500, status="accepted")
    expect(row(page, "Customer 1")).to_have_count(0, timeout=8_000)
    expect(rows(page)).to_have_count(1)
    assert page_problems == []
