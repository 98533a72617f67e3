"""Browser tests of the accessibility of the inbox and the sign-in page, with a fake API."""

import re

import pytest
from playwright.sync_api import expect

from tests.console.conftest import BREAK, token
from tests.console.pages import (
    announcements,
    assert_no_accessibility_violations,
    ended_rows,
    error,
    row,
    rows,
)

pytestmark = pytest.mark.slow


def offline(page, api):
    api.offer()
    expect(rows(page)).to_have_count(1)
    page.context.set_offline(True)
    expect(page.get_by_role("alert")).to_be_visible()


def checking(page, api):
    api.offer("Marta", claimed=True)
    api.answers["/accept"] = error(503, "OutcomeUnknown", **{"Retry-After": "30"})
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(rows(page)).to_have_attribute("data-end", "checking")


def endings(page, api):
    sids = [api.offer(f"Customer {number}", 300) for number in range(5)]
    expect(rows(page)).to_have_count(5)
    for sid, status in zip(
        sids, ("timeout", "canceled", "rescinded", "gone", "rejected"), strict=True
    ):
        api.end(sid, status)
    page.mouse.move(5, 5)
    expect(ended_rows(page)).to_have_count(5, timeout=10_000)


def urgent(page, api):
    for customer, left in (("Last", 9), ("Soon", 29), ("Calm", 90)):
        api.offer(customer, left, instruction_sent={"by": "x"}, claimed=True)
    api.offer("Working", 300, status="accepted")
    api.offer("Wrapping", 300, status="wrapping")
    expect(rows(page)).to_have_count(3)
    page.get_by_text("Raw JSON").click()


def refused(page, api):
    api.offer("Marta")
    api.answers["/accept"] = error(400, "TaskRouterRefused")
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(page.locator(".wrong")).to_be_visible()


def menu(page, api):
    page.locator(".me > summary").click()


def unavailable(page, api):
    changed = {"activity_sid": BREAK, "activity_name": "Break"}
    api.worker = {**api.worker, **changed}
    expect(page.get_by_text("You were set to Break")).to_be_visible()


def phone(page, api):
    api.offer("Marta")
    page.get_by_role("button", name="Accept by phone").click()


def keys(page, api):
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()


def expired(page, api):
    api.offer("Marta")
    expect(rows(page)).to_have_count(1)
    api.refused.add(page.evaluate("sessionStorage.getItem('console.token')"))
    expect(page.locator(".banner", has_text="Your session expired")).to_be_visible()


def link_dialog(page, api):
    page.goto(f"{api.url}/console#token={token('supervisor', identity='mallory')}")
    expect(page.get_by_role("dialog")).to_be_visible()


def new_version(page, api):
    api.version = "another"
    expect(page.get_by_text("A new version")).to_be_visible()


def signed_out(page, api):
    menu(page, api)
    page.get_by_role("button", name="Sign out", exact=True).click()


STATES = [
    *(lambda page, api: None, urgent, checking, endings, refused, offline, unavailable, menu),
    *(phone, keys, expired, link_dialog, new_version, signed_out),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__.strip("<>"))
def test_page_has_no_accessibility_violations_in_any_state(open_console, api, state, scheme):
    page = open_console(color_scheme=scheme, reduced_motion="reduce")
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    state(page, api)
    assert_no_accessibility_violations(page)


def test_page_after_an_invalid_link_has_no_accessibility_violations(open_console):
    page = open_console("nonsense")
    expect(page.get_by_role("alert")).to_be_visible()
    assert_no_accessibility_violations(page)


def test_time_left_is_announced_once_at_10_seconds(open_console, api):
    page = open_console()
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    page.evaluate(
        """() => {
          window.announced = [];
          const region = document.querySelector("#announcements");
          new MutationObserver(() => announced.push(region.textContent))
            .observe(region, {childList: true, characterData: true, subtree: true});
        }"""
    )
    api.offer("Marta", 12, timeout=120)
    expect(announcements(page)).to_have_text("Offer ends in 10 seconds: Marta: charged twice.")
    expect(page.locator(".digits")).to_have_text("0:08")
    announced = page.evaluate("announced")
    assert sum("ends in" in text for text in announced) == 1


def test_time_left_is_announced_after_a_late_tick(open_console, api):
    page = open_console(clock=True)
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    api.offer("Marta", 34, timeout=120)
    expect(rows(page)).to_have_count(1)
    page.clock.run_for(1_000)
    page.clock.fast_forward(7_000)
    expect(announcements(page)).to_contain_text(re.compile(r"Offer ends in 2\d seconds"))


@pytest.mark.parametrize("locale", ["en-US", "es-MX"])
@pytest.mark.parametrize(("width", "offers"), [(320, 0), (320, 120), (360, 120), (390, 120)])
def test_link_to_every_section_is_in_view_on_a_phone(open_console, api, width, offers, locale):
    for number in range(offers):
        api.offer(f"Customer {number}")
    page = open_console(
        token("supervisor"), viewport={"width": width, "height": 640}, locale=locale
    )
    expect(rows(page)).to_have_count(offers)
    links = page.locator(".sections a")
    expect(links).to_have_count(4)
    boxes = [link.bounding_box() for link in links.all()]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    assert all(box["width"] >= 44 and box["height"] >= 44 for box in boxes)
    is_in_one_row = len({box["y"] for box in boxes}) == 1
    assert is_in_one_row or (width, offers) == (320, 120)
