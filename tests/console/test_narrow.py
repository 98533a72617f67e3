"""Browser tests of the layout, mainly in narrow windows, in both languages, with a fake API."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import BREAK, token
from tests.console.pages import (
    ended_rows,
    error,
    make_statistics,
    make_sweep,
    rows,
    wait_for_first_polls,
)
from tests.console.test_callbacks import deliveries, delivery, event, refused_delivery
from tests.console.test_inspect import add_record

pytestmark = pytest.mark.slow

LANGUAGES = ["en-US", "es-ES"]
BREAKABLE = re.compile(r"\d (?:h|min|s|ms)\b")
"""Matches a duration in which the space between number and unit allows a line break."""

CUT_OFF = """
  () => [...document.querySelectorAll(".field select")].filter((select) => {
    const copy = select.cloneNode(true);
    Object.assign(copy.style, { position: "absolute", width: "max-content", maxWidth: "none" });
    select.after(copy);
    const isCutOff = copy.offsetWidth > select.offsetWidth + 1;
    copy.remove();
    return isCutOff;
  }).map(({ id, name }) => id || name)
"""
"""Returns the selects whose longest option does not fit."""


def go(page: Page, section: str) -> None:
    page.evaluate("fragment => { location.hash = fragment }", section)
    expect(page.locator("h1").first).to_be_attached()


def inbox(page: Page, api) -> None:
    for customer, left in (("Last", 9), ("Soon", 29), ("Calm", 5_000)):
        api.offer(customer, left, instruction_sent={"by": "x"}, claimed=True)
    api.offer("W" * 60, 300, status="accepted")
    api.offer("Wrapping", 300, status="wrapping")
    api.worker = {"activity_sid": BREAK, "activity_name": "Break" * 8}
    expect(rows(page)).to_have_count(3)
    expect(page.locator(".list > li")).to_have_count(2)
    page.locator(".raw summary").first.click()


def just_ended(page: Page, api) -> None:
    statuses = ("timeout", "canceled", "rescinded", "gone", "rejected")
    sids = [api.offer(f"Customer {status}", 300, timeout=1_230) for status in statuses]
    expect(rows(page)).to_have_count(5)
    for sid, status in zip(sids, statuses, strict=True):
        api.end(sid, status)
    page.mouse.move(5, 5)
    expect(ended_rows(page)).to_have_count(5, timeout=10_000)


def offline(page: Page, api) -> None:
    page.context.set_offline(True)
    expect(page.get_by_role("alert")).to_be_visible()


def menu(page: Page, api) -> None:
    page.locator(".me > summary").click()


def phone(page: Page, api) -> None:
    api.offer("Marta")
    api.answers["/accept"] = error(400, "BadRequestError")
    expect(rows(page)).to_have_count(1)
    page.get_by_role("button", name=re.compile("Accept by phone|Aceptar por teléfono")).click()
    page.locator("dialog .primary").click()
    expect(page.locator("dialog .wrong")).to_be_visible()


def shortcuts(page: Page, api) -> None:
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()


def question(page: Page, api) -> None:
    page.evaluate("hash => { location.hash = hash }", f"token={token(identity='m' * 60)}")
    expect(page.get_by_role("dialog")).to_be_visible()


def history(page: Page, api) -> None:
    for status in ("completed", "timeout", "rejected", "pending", "canceled"):
        api.add_past_reservation("W" * 60, status, 90_000, worker_name="N" * 40)
    go(page, "#/history")
    page.locator("#period").select_option("week")
    expect(ended_rows(page)).to_have_count(5)


def no_history(page: Page, api) -> None:
    go(page, "#/history")
    expect(page.locator(".nothing")).to_be_visible()


def inspect(page: Page, api) -> None:
    url = "https://abc123.execute-api.eu-west-1.amazonaws.com/prod/assignment_callback"
    delivered = {"checked_url": url, "route": "/assignment_callback/fallback"}
    sid = add_record(api, "completed", ago=90_000)
    api.records[sid]["delivery"] |= delivered
    api.signatures[sid] = {"valid": False, "likely_cause": "auth_token"}
    go(page, f"#/reservations/{sid}")
    page.locator(".panel .acts button").first.click()
    expect(page.locator(".panel .acts + p")).not_to_be_empty()


def pending(page: Page, api) -> None:
    go(page, f"#/reservations/{add_record(api, 'pending', ago=30, claims=[])}")
    expect(page.locator(".strip")).to_be_visible()


def not_recorded(page: Page, api) -> None:
    go(page, "#/reservations/WR" + "0" * 32)
    expect(page.get_by_role("alert")).to_be_visible()


def overview(page: Page, api) -> None:
    counts = {"mirrored": 1_000, "gone": 1_000, "left": 2_000, "ok": False, "monitor_only": True}
    errors = {"TaskRouterUnavailable": 1_234}
    sweep = make_sweep(api, 300, due=12_345, duration_ms=125_000, errors=errors, **counts)
    api.statistics = make_statistics(api, age=300)
    api.statistics["sweeps"] = [sweep, *api.statistics["sweeps"][1:]]
    api.statistics["acceptance"] |= {"p50_ms": 7_384_000, "p90_ms": 7_384_000, "p95_ms": 7_384_000}
    api.statistics["oldest_waiting"]["age_seconds"] = 7_384
    api.statistics["taskrouter_error"] = "TaskRouterUnavailable"
    for hour in api.statistics["hours"][:12]:
        hour.update(at_least=True, total=20_000, accepted=20_000)
        hour["by_status"]["completed"] = 20_000
    go(page, "#/overview")
    page.locator(".more").click()
    page.locator(".raw summary").click()
    expect(page.locator("tbody time")).to_have_count(44)


def new_stage(page: Page, api) -> None:
    api.statistics = make_statistics(api, updated_at=None, sweeps=[])
    go(page, "#/overview")
    expect(page.locator(".nothing")).to_be_visible()


def no_statistics(page: Page, api) -> None:
    api.statistics = error(503, "StoreUnavailable", **{"Retry-After": "100"})
    go(page, "#/overview")
    expect(page.get_by_role("alert")).to_be_visible()


def create(page: Page, api) -> None:
    page.keyboard.press("t")
    page.locator("#task-attributes").fill('{"a" 1}')
    page.locator("#task-priority").fill("x")
    page.locator("dialog .primary").click()
    expect(page.locator("dialog .wrong")).to_have_count(2)


def callbacks(page: Page, api) -> None:
    refused_delivery(api, 3_000_000, checked_url="https://" + "x" * 300)
    event(api, 90_000, event_type="reservation." + "w" * 60, duration_ms=12_345.6)
    delivery(api, 1, answer="conference", rule="R" * 80)
    go(page, "#/callbacks?period=all")
    expect(deliveries(page)).to_have_count(3)
    page.locator(".log [aria-expanded]").last.click()


def wrong_filter(page: Page, api) -> None:
    go(page, "#/callbacks?sid=WR12&status=9&until=yesterday")
    expect(page.get_by_role("alert")).to_have_count(3)


def no_callbacks(page: Page, api) -> None:
    go(page, "#/callbacks")
    expect(page.locator(".nothing")).to_be_visible()


def expired(page: Page, api) -> None:
    api.refused.add(page.evaluate("sessionStorage.getItem('console.token')"))
    expect(page.locator(".sign-in")).to_be_visible()


def signed_out(page: Page, api) -> None:
    menu(page, api)
    page.locator(".menu button").last.click()
    expect(page.locator(".sign-in")).to_be_visible()


STATES = [
    *(inbox, just_ended, offline, menu, phone, shortcuts, question, history, no_history),
    *(inspect, pending, not_recorded, overview, new_stage, no_statistics, create),
    *(callbacks, wrong_filter, no_callbacks, expired, signed_out),
]


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_page_fits_in_a_narrow_window_in_every_state(open_console, api, state, locale):
    page = open_console(
        token("supervisor", identity="carla.de.la.fuente@example.com"),
        locale=locale,
        viewport={"width": 320, "height": 900},
    )
    expect(page.locator(".live")).to_be_visible()
    state(page, api)
    for width in (320, 360):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        dialogs = page.locator("dialog").evaluate_all(
            "all => all.map(each => each.scrollWidth - each.clientWidth)"
        )
        assert max(dialogs, default=0) <= 0
    words = page.locator("body").inner_text()
    assert BREAKABLE.findall(words) == []
    assert "undefined" not in words


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("state", [no_history, no_callbacks, phone], ids=lambda each: each.__name__)
def test_longest_choice_is_not_cut_off(open_console, api, state, locale):
    page = open_console(token("supervisor"), locale=locale)
    expect(page.locator(".live")).to_be_visible()
    state(page, api)
    for width in (320, 360, 640, 768, 1024, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert (width, page.evaluate(CUT_OFF)) == (width, [])


HEADER = """
  () => {
    const boxOf = (selector) => document.querySelector(selector).getBoundingClientRect();
    const { bottom, left, right, top } = boxOf("header.top");
    const parts = [".brand", ".activity", ".live .dot", ".live [role=status]", ".me"];
    const boxes = parts.map(boxOf);
    return {
      width: boxOf(".live [role=status]").width,
      gaps: boxes.slice(1).map((box, index) => box.left - boxes[index].right),
      isInside: boxes[0].left >= left && boxes.at(-1).right <= right,
      isInOneRow: boxes.every((box) => box.top >= top && box.bottom <= bottom),
    };
  }
"""
"""Measures the header: the width of the connection state, the gaps between the parts (negative if
parts overlap), and whether all parts are inside the header and in one row."""

WORDS = {
    "en-US": ["Live", "Reconnecting", "Delayed", "No connection"],
    "es-ES": ["En línea", "Reconectando", "Con retraso", "Sin conexión"],
}


@pytest.mark.parametrize("locale", LANGUAGES)
def test_every_connection_state_is_shown_in_words(open_console, api, locale):
    api.poll = {"visible_ms": 60_000, "hidden_ms": 60_000}
    api.worker |= {"activity_sid": BREAK, "activity_name": "Break" * 8}
    page = open_console(locale=locale, viewport={"width": 360, "height": 900})
    live, *failures, down = WORDS[locale]
    expect(page.locator(".live [role=status]")).to_have_text(live)
    wait_for_first_polls(page)
    for word in WORDS[locale]:
        if word in failures:
            api.failure = 503
        page.context.set_offline(word == down)
        if word != live:
            page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator(".live [role=status]")).to_have_text(word)
        for width in (320, 360):
            page.set_viewport_size({"width": width, "height": 900})
            header = page.evaluate(HEADER)
            assert header["width"] > 5 * len(word), (word, width, header)
            assert min(header["gaps"]) >= 0, (word, width, header)
            assert (header["isInside"], header["isInOneRow"]) == (True, True), (word, width, header)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
