"""Browser tests of the callback log, with a fake API."""

import re
import threading
import time
from datetime import UTC, datetime
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import iso, token
from tests.console.pages import assert_no_accessibility_violations, wait_until
from tests.support import sid

pytestmark = pytest.mark.slow

ASSIGNMENT = "/assignment_callback"
HOSTILE = '<img src=x onerror="alert(1)">'
CHECKED = "https://wrong.example.com/dev/assignment_callback?a=***"
CAUSES = {
    "no_header": "or a proxy removed the signature",
    "malformed_header": "wrong length",
    "unknown_shared_key": "a SharedKey or an algorithm",
    "base_url": "PUBLIC_BASE_URL has the wrong scheme, host, port or path",
    "path": "slash at the end of the path",
    "query": "changed or added the query string",
    "auth_token": "Twilio requested a URL other than the one checked",
    "something_new": "something_new",
    "constructor": "constructor",
}


def delivery(api, ago: float = 10, **properties) -> dict:
    """Add to the log a valid assignment callback that was answered *ago* seconds ago."""
    entry = {
        "at": iso(time.time() - ago),
        "route": ASSIGNMENT,
        "status": 200,
        "signature": "valid",
        "likely_cause": None,
        "checked_url": None,
        "event_type": None,
        "reservation_sid": sid("WR"),
        "task_sid": sid("WT"),
        "worker_sid": sid("WK"),
        "answer": "defer",
        "rule": "VIPs by hand",
        "changed": None,
        "error": None,
        "reason": None,
        "duration_ms": 41.26,
        **properties,
    }
    api.callbacks.append(entry)
    api.callbacks.sort(key=lambda each: each["at"], reverse=True)
    return entry


def refused_delivery(api, ago: float = 20, cause: str = "base_url", **properties) -> dict:
    """Add to the log a callback that was refused *ago* seconds ago because of its signature."""
    missing = dict.fromkeys(("reservation_sid", "task_sid", "worker_sid", "answer", "rule"))
    defaults = {
        "status": 403,
        "signature": "invalid",
        "likely_cause": cause,
        "checked_url": CHECKED,
        "error": "InvalidSignature",
        "duration_ms": 1.9,
    }
    return delivery(api, ago, **{**missing, **defaults, **properties})


def event(api, ago: float = 5, **properties) -> dict:
    defaults = {"event_type": "reservation.accepted", "status": 204, "answer": None, "rule": None}
    defaults |= {"route": "/event_callback", "changed": True}
    return delivery(api, ago, **{**defaults, **properties})


def searches(api) -> list[dict[str, list[str]]]:
    """Return the parameters of the GET /callbacks requests."""
    paths = [path for _, path, _ in api.received if path.startswith("/callbacks?")]
    return [parse_qs(path.partition("?")[2]) for path in paths]


def deliveries(page: Page):
    return page.locator(".log tbody tr:not(.why)")


def open_log(page: Page, query: str = "") -> None:
    page.evaluate("fragment => { location.hash = fragment }", f"#/callbacks{query}")
    expect(page.get_by_role("heading", name="Callbacks", level=1)).to_be_visible()


def test_log_shows_time_route_signature_answer_and_duration(open_console, api):
    event(api)
    first = delivery(api)
    refused_delivery(api)
    page = open_console(token("supervisor"))
    page.get_by_role("link", name="Callbacks").click()
    expect(deliveries(page)).to_have_count(3)
    expect(deliveries(page).first).to_contain_text(re.compile("reservation.accepted.*Valid.*204"))
    short = f"{first['reservation_sid'][:6]}…{first['reservation_sid'][-4:]}"
    words = f"\\d\\d:\\d\\d:\\d\\d.*Assignment{short}.*Valid.*200 defer.*41.3\\sms"
    expect(deliveries(page).nth(1)).to_have_text(re.compile(words))
    expect(deliveries(page).nth(2)).to_contain_text(
        re.compile(r"Assignment.*Invalid.*403.*1.9\sms")
    )
    expect(page.locator(".why")).to_contain_text(CAUSES["base_url"])
    expect(page.get_by_text(re.compile("^3 found, newest first, as of"))).to_be_visible()
    expect(page.get_by_text(re.compile("^Searched back to"))).to_be_visible()
    expect(page).to_have_title("Callbacks, Agent console")
    (search,) = searches(api)
    since = datetime.fromisoformat(search.pop("since")[0])
    assert search == {"limit": ["50"]}
    assert (datetime.now(UTC) - since).total_seconds() == pytest.approx(86400, abs=30)


@pytest.mark.parametrize("cause", CAUSES)
def test_details_of_a_refused_callback_show_the_cause_and_the_checked_url(open_console, api, cause):
    refused_delivery(api, cause=cause)
    page = open_console(token("supervisor"))
    open_log(page)
    page.get_by_role("button", name="Details").press("Enter")
    details = page.locator(".why")
    for words in (CAUSES[cause], CHECKED, "InvalidSignature", "is not trusted"):
        expect(details).to_contain_text(words)
    expect(page.get_by_role("button", name="Details")).to_be_focused()
    expect(page.get_by_role("button", name="Details")).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Enter")
    expect(details).not_to_contain_text(CHECKED)


def test_route_with_the_name_of_an_object_property_is_shown(open_console, api):
    delivery(api, route="constructor")
    page = open_console(token("supervisor"))
    open_log(page)
    expect(deliveries(page).first).to_contain_text("constructor")


def test_event_shows_its_details_and_links_to_its_reservation(open_console, api):
    entry = event(api, changed=False)
    page = open_console(token("supervisor"))
    open_log(page)
    page.get_by_role("button", name="Details").click()
    details = page.locator(".why")
    for words in ("/event_callback", entry["reservation_sid"], entry["task_sid"]):
        expect(details).to_contain_text(words)
    expect(details).to_contain_text("Record changedNo")
    expect(details.get_by_role("button")).to_have_count(0)
    deliveries(page).get_by_role("link").click()
    expect(page.get_by_text("This Reservation is not recorded")).to_be_visible()
    page.go_back()
    expect(deliveries(page)).to_have_count(1)


@pytest.mark.parametrize(("signature", "is_explained"), [("valid", False), ("invalid", True)])
def test_only_a_form_without_a_valid_signature_is_called_untrusted(
    open_console, api, signature, is_explained
):
    refused_delivery(api, status=400, error="BadRequestError", signature=signature)
    page = open_console(token("supervisor"))
    open_log(page)
    page.get_by_role("button", name="Details").click()
    expect(page.locator(".why .facts")).to_be_visible()
    assert ("is not trusted" in page.locator(".why").inner_text()) == is_explained


def test_store_error_is_shown_with_its_reason(open_console, api):
    delivery(api, status=503, error="StoreUnavailable", reason="slow", answer=None, rule=None)
    page = open_console(token("supervisor"))
    open_log(page)
    expect(page.locator(".why")).to_have_text("StoreUnavailable: slow")


def test_signature_can_be_verified_again_and_the_callback_can_be_sent_again(open_console, api):
    entry = delivery(api)
    api.signatures[entry["reservation_sid"]] = {"valid": False, "likely_cause": "auth_token"}
    answer = {"status": 403, "body": "no", "duration_ms": 5}
    api.answers["/send_again"] = (200, answer, {})
    page = open_console(token("supervisor"))
    open_log(page)
    page.get_by_role("button", name="Details").click()
    page.get_by_role("button", name="Verify again", exact=True).click()
    expect(page.locator(".why")).to_contain_text("Invalid The auth token differs")
    page.get_by_role("button", name="Send again", exact=True).click()
    expect(page.locator(".why")).to_contain_text("403 5 ms no")


@pytest.mark.parametrize(
    ("field", "value", "parameter"),
    [
        ("SID of a Reservation, Task or Worker", "reservation_sid", "reservation_sid"),
        ("SID of a Reservation, Task or Worker", "task_sid", "task_sid"),
        ("SID of a Reservation, Task or Worker", "worker_sid", "worker_sid"),
        ("HTTP status", "status", "status"),
    ],
)
def test_typed_filter_finds_entries_and_is_kept_in_the_url(
    open_console, api, field, value, parameter
):
    wanted = delivery(api, status=503)
    event(api)
    page = open_console(token("supervisor"))
    open_log(page)
    expect(deliveries(page)).to_have_count(2)
    page.get_by_label(field).fill(f" {wanted[value]}"[-34:])
    page.get_by_label(field).press("Enter")
    expect(deliveries(page)).to_have_count(1)
    assert searches(api)[-1][parameter] == [str(wanted[value])]
    page.reload()
    expect(page.get_by_label(field)).to_have_value(str(wanted[value]))
    expect(deliveries(page)).to_have_count(1)
    page.get_by_role("link", name="Clear filter").click()
    expect(deliveries(page)).to_have_count(2)
    page.go_back()
    expect(deliveries(page)).to_have_count(1)
    expect(page.get_by_label(field)).to_have_value(str(wanted[value]))


def test_log_can_be_filtered_by_route_and_time(open_console, api):
    delivery(api)
    event(api, 7200)
    event(api, 90_000)
    page = open_console(token("supervisor"))
    open_log(page)
    expect(deliveries(page)).to_have_count(2)
    page.get_by_label("Route").focus()
    page.get_by_label("Route").select_option("Event")
    expect(deliveries(page)).to_have_count(1)
    expect(page.get_by_label("Route")).to_be_focused()
    page.get_by_label("Time", exact=True).select_option("All time")
    expect(deliveries(page)).to_have_count(2)
    assert searches(api)[-1] == {"limit": ["50"], "route": ["/event_callback"]}
    until = time.strftime("%Y-%m-%dT%H:%M", time.localtime(time.time() - 80_000))
    page.get_by_label("Until").fill(until)
    page.get_by_role("button", name="Search", exact=True).click()
    expect(deliveries(page)).to_have_count(1)
    page.get_by_label("Time", exact=True).select_option("Last hour")
    expect(page.get_by_role("heading", name="No callback matches")).to_be_visible()
    search = searches(api)[-1]
    end, start = (datetime.fromisoformat(search[name][0]) for name in ("until", "since"))
    assert (end - start).total_seconds() == 3600


def test_search_until_a_future_time_ends_at_the_current_time(open_console, api):
    delivery(api)
    page = open_console(token("supervisor"))
    open_log(page, "?until=9999-12-31T23:59")
    expect(deliveries(page)).to_have_count(1)
    (search,) = searches(api)
    end, start = (datetime.fromisoformat(search[name][0]) for name in ("until", "since"))
    assert (datetime.now(UTC) - end).total_seconds() == pytest.approx(0, abs=30)
    assert (end - start).total_seconds() == 86_400


@pytest.mark.parametrize("until", ["0001-01-01T00:00", "1969-12-31T00:00", "x"])
def test_invalid_end_time_is_explained_and_not_sent(open_console, api, until):
    page = open_console(token("supervisor"))
    open_log(page, f"?until={until}")
    expect(page.get_by_role("alert")).to_contain_text("Enter a date and a time.")
    assert searches(api) == []


@pytest.mark.parametrize("query", ["route=/evil", "route=toString", "period=toString"])
def test_unknown_route_or_period_in_the_address_is_ignored(open_console, api, query):
    delivery(api)
    page = open_console(token("supervisor"))
    open_log(page, f"?{query}")
    expect(deliveries(page)).to_have_count(1)
    expect(page.get_by_label("Route")).to_have_value("")
    expect(page.get_by_label("Time", exact=True)).to_have_value("day")
    (search,) = searches(api)
    assert search.keys() == {"limit", "since"}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("SID of a Reservation, Task or Worker", "WR12", "Enter a complete SID"),
        ("SID of a Reservation, Task or Worker", "CA" + "0" * 32, "Enter a complete SID"),
        ("HTTP status", "99", "Enter a number from 100 to 599."),
        ("HTTP status", "600", "Enter a number from 100 to 599."),
    ],
)
def test_malformed_filter_is_explained_and_not_sent(open_console, api, field, value, words):
    delivery(api)
    page = open_console(token("supervisor"))
    open_log(page)
    expect(deliveries(page)).to_have_count(1)
    before = len(searches(api))
    page.get_by_label(field).fill(value)
    page.get_by_label(field).press("Enter")
    expect(page.get_by_role("alert")).to_contain_text(words)
    expect(page.get_by_label(field)).to_have_value(value)
    expect(page.get_by_label(field)).to_have_attribute("aria-invalid", "true")
    expect(deliveries(page)).to_have_count(0)
    assert len(searches(api)) == before


def test_show_older_button_repeats_the_search_with_the_cursor(open_console, api):
    for number in range(70):
        delivery(api, 10 + number)
    page = open_console(token("supervisor"))
    open_log(page)
    expect(deliveries(page)).to_have_count(50)
    expect(page.get_by_text(re.compile(r"^50\+ found"))).to_be_visible()
    page.get_by_role("button", name="Show older", exact=True).click()
    expect(deliveries(page)).to_have_count(70)
    expect(page.get_by_role("button", name="Show older", exact=True)).to_have_count(0)
    first, second = searches(api)
    assert second == {**first, "cursor": ["50"]}


def test_page_shows_how_far_back_an_incomplete_search_went(open_console, api):
    api.callbacks_answer = {
        "complete": False,
        "next_cursor": "1795310946123",
        "searched_until": "2026-10-23T01:12:26.123Z",
    }
    page = open_console(token("supervisor"), timezone_id="UTC")
    open_log(page)
    expect(page.get_by_role("heading", name="No callbacks so far")).to_be_visible()
    words = (
        "Searched back to Oct 23, 01:12:26. The search stopped there. Older callbacks may match."
    )
    expect(page.locator(".nothing")).to_contain_text(words)
    delivery(api)
    api.callbacks_answer = {"complete": False, "next_cursor": "5", "searched_until": iso(1.8e9)}
    page.get_by_role("button", name="Refresh", exact=True).click()
    expect(deliveries(page)).to_have_count(1)
    expect(page.get_by_text("The search stopped there")).to_be_visible()
    api.callbacks_answer = {}
    api.callbacks.insert(0, api.callbacks[0])
    page.get_by_role("button", name="Show older", exact=True).click()
    expect(page.get_by_text("The search stopped there")).to_have_count(0)


def search_in_parts(api, entry: dict, *, hold: int = 0) -> threading.Event:
    """Make the sixth request of a search find the entry. The earlier requests find nothing.

    Request number *hold* waits until the returned event is set.
    """
    released, running = threading.Event(), threading.Lock()

    def log(parameters):
        number = int(parameters.get("cursor", 0)) + 1
        assert running.acquire(blocking=False), "two requests at the same time"
        if number == hold:
            released.wait()
        running.release()
        is_last = number == 6
        body = {
            "callbacks": [entry] if is_last else [],
            "next_cursor": None if is_last else str(number),
            "searched_until": f"2026-10-{28 - number}T01:12:26.000Z",
            "complete": is_last,
        }
        return 200, body, {}

    api._log = log
    return released


def search_for(page: Page, entry: dict) -> None:
    """Type the SID of an entry's Reservation into the filter, and press Enter."""
    field = page.get_by_label("SID of a Reservation, Task or Worker")
    field.fill(entry["reservation_sid"])
    field.press("Enter")


def test_one_search_reads_the_whole_log(open_console, api):
    page = open_console(token("supervisor"), timezone_id="UTC")
    open_log(page)
    expect(page.get_by_role("heading", name="No callback matches")).to_be_visible()
    entry = delivery(api, 28 * 86_400)
    before = len(searches(api))
    search_in_parts(api, entry)
    search_for(page, entry)
    expect(deliveries(page)).to_have_count(1)
    expect(page.get_by_text("Searched back to Oct 22, 01:12:26.", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    parts = searches(api)[before:]
    assert [part.pop("cursor", None) for part in parts] == [None, *([str(n)] for n in range(1, 6))]
    assert all(part == parts[0] for part in parts)


def test_search_shows_its_progress_and_can_be_stopped_and_continued(open_console, api):
    page = open_console(token("supervisor"), timezone_id="UTC")
    entry = delivery(api, 28 * 86_400)
    released = search_in_parts(api, entry, hold=3)
    open_log(page)
    expect(page.get_by_text("Searched back to Oct 26, 01:12:26.")).to_be_visible()
    expect(page.get_by_text("Loading")).to_be_visible()
    expect(page.get_by_text("The search stopped there")).to_have_count(0)
    page.get_by_role("button", name="Stop").press("Enter")
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    expect(page.get_by_role("button", name="Show older")).to_be_focused()
    released.set()
    expect(page.get_by_text("Searched back to Oct 25, 01:12:26. The search sto")).to_be_visible()
    assert len(searches(api)) == 3
    page.keyboard.press("Enter")
    expect(deliveries(page)).to_have_count(1)
    expect(page.get_by_role("button", name="Details")).to_be_focused()
    assert len(searches(api)) == 6


def test_new_search_waits_for_the_request_of_the_search_that_it_replaces(open_console, api):
    page = open_console(token("supervisor"))
    entry = delivery(api, 28 * 86_400)
    released = search_in_parts(api, entry, hold=2)
    open_log(page)
    wait_until(page, lambda: len(searches(api)) == 2)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    search_for(page, entry)
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    assert len(searches(api)) == 2
    released.set()
    expect(deliveries(page)).to_have_count(1)
    sids = [search.get("reservation_sid") for search in searches(api)]
    assert sids == [None] * 2 + [[entry["reservation_sid"]]] * 6


def test_search_obeys_the_retry_after_header_but_waits_at_most_a_minute(open_console, api):
    page = open_console(token("supervisor"), clock=True)
    search_in_parts(api, delivery(api, 28 * 86_400))
    original, refusals = api._log, [(429, {"message": "Too Many"}, {"Retry-After": "3600"})]
    api._log = lambda each: refusals.pop() if "cursor" in each and refusals else original(each)
    with page.expect_response(lambda response: response.status == 429):
        open_log(page)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    page.clock.fast_forward(50_000)
    expect(page.locator(".live")).to_contain_text("Live")
    assert len(searches(api)) == 2
    page.clock.fast_forward(15_000)
    expect(deliveries(page)).to_have_count(1)
    assert len(searches(api)) == 7


def test_search_ends_when_the_user_leaves_the_page(open_console, api):
    page = open_console(token("supervisor"))
    released = search_in_parts(api, delivery(api, 28 * 86_400), hold=2)
    open_log(page)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    with page.expect_response("**/callbacks?*"):
        page.get_by_role("link", name="Inbox").last.click()
        released.set()
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    assert len(searches(api)) == 2


def test_displayed_start_of_the_searched_period_never_becomes_later(open_console, api):
    api.callbacks_answer = {
        "complete": False,
        "next_cursor": "5",
        "searched_until": "2026-10-23T01:12:26.123Z",
    }
    page = open_console(token("supervisor"), timezone_id="UTC")
    open_log(page)
    expect(page.get_by_text("Searched back to Oct 23, 01:12:26.")).to_be_visible()
    for later, shown in (("01:14:00", "01:12:26"), ("01:02:03", "01:02:03")):
        api.callbacks_answer |= {"searched_until": f"2026-10-23T{later}.123Z"}
        with page.expect_response("**/callbacks?*"):
            page.get_by_role("button", name="Show older", exact=True).click()
        expect(page.get_by_role("button", name="Show older", exact=True)).to_be_visible()
        expect(page.get_by_text(f"Searched back to Oct 23, {shown}.")).to_be_visible()


def test_failed_search_is_shown_and_can_be_retried(open_console, api):
    delivery(api)
    body = {"Code": "CallbackLogUnavailable", "Message": "CloudWatch Logs is slow."}
    api.callbacks_answer = (503, body, {})
    page = open_console(token("supervisor"))
    open_log(page)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The callbacks could not be loaded")
    expect(alert).to_contain_text("The service answered: CloudWatch Logs is slow.")
    api.callbacks_answer = {}
    page.get_by_role("button", name="Try again", exact=True).click()
    expect(deliveries(page)).to_have_count(1)


def test_worker_neither_sees_nor_requests_the_log(open_console, api):
    page = open_console()
    expect(page.get_by_role("link", name="Callbacks")).to_have_count(0)
    page.evaluate("location.hash = '#/callbacks?status=403'")
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    assert searches(api) == []


def test_hostile_values_are_shown_as_text(open_console, api):
    refused_delivery(api, cause=HOSTILE, reason=HOSTILE)
    event(api, event_type=HOSTILE, error=HOSTILE)
    delivery(api, 1, route=HOSTILE, rule=HOSTILE, answer=HOSTILE)
    page = open_console(token("supervisor"))
    open_log(page)
    for button in page.get_by_role("button", name="Details").all():
        button.click()
        expect(page.locator(".log")).to_contain_text(HOSTILE)
        assert page.locator("main img").count() == 0


def test_log_is_shown_in_spanish(open_console, api):
    refused_delivery(api)
    page = open_console(token("supervisor"), locale="es-MX")
    page.get_by_role("link", name="Callbacks").click()
    expect(deliveries(page)).to_contain_text(re.compile("Asignación.*No válida.*403"))
    expect(page.locator(".why")).to_contain_text("PUBLIC_BASE_URL no es correcto")
    expect(page.get_by_label("Ruta").locator("option").first).to_have_text("Todas")


@pytest.mark.parametrize("width", [360, 640, 768, 1024, 1280, 1920])
def test_log_never_scrolls_sideways(open_console, api, width):
    refused_delivery(api, checked_url="https://" + "x" * 300)
    event(api, event_type="reservation." + "w" * 60)
    delivery(api, 1, answer="conference", rule="R" * 80)
    page = open_console(token("supervisor"), viewport={"width": width, "height": 800})
    open_log(page)
    expect(deliveries(page)).to_have_count(3)
    page.get_by_role("button", name="Details").last.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for cell in page.locator(".log :is(td, th)").all():
        assert cell.evaluate("each => each.scrollWidth <= each.clientWidth + 1")


# Accessibility


def listed(page, api):
    delivery(api)
    event(api)
    refused_delivery(api)
    open_log(page)
    page.get_by_role("button", name="Details").last.click()
    expect(page.locator(".facts")).to_be_visible()


def verified(page, api):
    delivery(api)
    open_log(page)
    page.get_by_role("button", name="Details").click()
    page.get_by_role("button", name="Verify again", exact=True).click()
    expect(page.locator(".why .wrong")).to_be_visible()


def empty(page, api):
    open_log(page)
    expect(page.get_by_role("heading", name="No callback matches")).to_be_visible()


def malformed(page, api):
    open_log(page, "?sid=WR12&status=9&until=yesterday")
    expect(page.get_by_role("alert")).to_have_count(3)


def failed(page, api):
    api.callbacks_answer = (503, {"Code": "CallbackLogUnavailable", "Message": "Slow."}, {})
    open_log(page)
    expect(page.get_by_role("alert")).to_be_visible()


def loading(page, api):
    api.delay = 2
    open_log(page)
    expect(page.locator(".blank")).to_have_count(3)


STATES = [listed, verified, empty, malformed, failed, loading]


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_log_has_no_accessibility_violations_in_any_state(open_console, api, state, scheme, width):
    page = open_console(
        token("supervisor"),
        color_scheme=scheme,
        reduced_motion="reduce",
        viewport={"width": width, "height": 900},
    )
    expect(page.locator(".live")).to_contain_text("Live")
    state(page, api)
    assert_no_accessibility_violations(page)


@pytest.mark.parametrize("offset", [-7_200, 7_200])
def test_search_waits_for_the_servers_clock_after_a_reload(open_console, api, offset):
    api.clock_offset = offset
    delivery(api, -offset + 10)
    page = open_console(token("supervisor", seconds=4 * 3_600))
    open_log(page, "?period=hour")
    expect(deliveries(page)).to_have_count(1)
    page.route("**/overview", lambda route: (time.sleep(0.5), route.continue_()))
    page.reload()
    expect(deliveries(page)).to_have_count(1)
    assert len(searches(api)) == 2


def test_search_starts_even_if_the_overview_fails(open_console, api):
    delivery(api)
    page = open_console(token("supervisor"))
    page.route("**/overview", lambda route: route.abort())
    open_log(page)
    page.reload()
    expect(deliveries(page)).to_have_count(1, timeout=15_000)


def test_search_button_repeats_a_search_with_an_unchanged_filter(open_console, api):
    page = open_console(token("supervisor"))
    open_log(page, "?status=503")
    expect(page.get_by_role("heading", name="No callback matches")).to_be_visible()
    delivery(api, status=503)
    page.get_by_role("button", name="Search", exact=True).click()
    expect(deliveries(page)).to_have_count(1)


def test_incomplete_end_time_is_explained_and_not_sent(open_console, api):
    delivery(api)
    page = open_console(token("supervisor"))
    open_log(page)
    expect(deliveries(page)).to_have_count(1)
    page.get_by_label("Until").press_sequentially("0102")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_text("Enter a date and a time.")).to_be_visible()
    assert len(searches(api)) == 1


def test_going_back_from_the_inspect_page_keeps_the_list_and_focuses_the_link(open_console, api):
    for number in range(59):
        other = delivery(api, 10 + number)
    delivery(api, 100, reservation_sid=other["reservation_sid"])
    page = open_console(token("supervisor"))
    open_log(page)
    page.get_by_role("button", name="Show older", exact=True).click()
    expect(deliveries(page)).to_have_count(60)
    link = deliveries(page).last.get_by_role("link")
    link.click()
    expect(page.get_by_role("heading", name="This Reservation is not recorded")).to_be_visible()
    page.go_back()
    expect(deliveries(page)).to_have_count(60)
    expect(link).to_be_focused()
    assert len(searches(api)) == 2
