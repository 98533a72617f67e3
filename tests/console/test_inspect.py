"""Browser tests of the page that inspects one Reservation, with a fake API."""

import json
import re
import time
from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import ALICE, is_new_overview, iso, token
from tests.console.pages import (
    assert_no_accessibility_violations,
    ended_rows,
    open_history,
    refuse_once,
    rows,
    share_token,
    wait_until,
)

pytestmark = pytest.mark.slow

HOSTILE = '<img src=x onerror="alert(1)">'
CALLBACK_URL = "https://example.com/dev/***/assignment_callback?a=***"
ENDS = {
    "accepted": ("Accepted", ["wait", "work"]),
    "wrapping": ("Wrapping up", ["wait", "work", "wrap"]),
    "completed": ("Completed", ["wait", "work", "wrap"]),
    "rejected": ("Rejected", ["wait"]),
    "timeout": ("Timed out", ["wait"]),
    "canceled": ("Withdrawn", ["wait"]),
    "rescinded": ("Taken", ["wait"]),
    "gone": ("Ended", ["wait"]),
}


def entry(at: float, to: str, by: str = "event", note: str | None = None) -> dict:
    return {"at": iso(at), "from": None, "to": to, "by": by, "note": note}


def add_record(api, status: str = "completed", *, ago: float = 400, **properties) -> str:
    """Add the record of a Reservation that has reached *status*; return its SID.

    The Reservation was created *ago* seconds ago. Its callback arrived after 86 ms, and its answer
    was chosen 41 ms later. After 97 s, Alice claimed the Reservation, 212 ms before its status
    changed. Wrap-up began 251 s after the decision, and the Reservation was completed 38 s later.
    The record omits the statuses after *status*.
    """
    start = time.time() - ago
    reservation = api.offer("Marta Ríos", left=120 - ago, timeout=120, status=status)
    record = api.reservations.pop(reservation)
    record["reserved_at"], record["expires_at"] = iso(start), iso(start + 120)
    worker = f"worker:{ALICE}"
    history = [entry(start + 0.127, "pending", "assignment_callback", "rule VIPs by hand")]
    decided = start + 97.339
    if status in ("accepted", "wrapping", "completed"):
        history.append(entry(decided, "accepted", worker))
        record["accepted_by"] = worker
    elif status != "pending":
        history.append(entry(decided, status, worker if status == "rejected" else "event"))
    if status in ("wrapping", "completed"):
        history.append(entry(decided + 251, "wrapping"))
    claims = [{"at": iso(start + 97.127), "by": worker, "target": "accepted"}]
    if status == "completed":
        claims.append({"at": iso(decided + 288.5), "by": worker, "target": "completed"})
        history.append(entry(decided + 289, "completed", worker))
    api.records[reservation] = {
        **record,
        "instruction": {},
        "rule": "VIPs by hand",
        "delivery": {
            "received_at": iso(start + 0.086),
            "answered_at": iso(start + 0.127),
            "route": "/assignment_callback",
            "checked_url": CALLBACK_URL,
        },
        "claims": claims,
        "callback": {
            "ReservationSid": reservation,
            "TaskAttributes": '{"customer": "Marta Ríos"}',
            "TaskPriority": "20",
            "Repeated": ["a", "b"],
        },
        "worker_attributes": {},
        "task_channel_name": "default",
        "history": history,
        **properties,
    }
    return reservation


def visit(page: Page, reservation: str) -> None:
    """Show the page of a Reservation by changing the URL's fragment."""
    page.evaluate("fragment => { location.hash = fragment }", f"#/reservations/{reservation}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def panel(page: Page, name: str):
    return page.get_by_role("region", name=name, exact=True)


def step_names(page: Page):
    return page.locator(".steps h3")


def test_timeline_shows_the_whole_life_cycle_with_times_and_durations(open_console, api):
    reservation = add_record(api)
    page = open_console()
    visit(page, reservation)
    names = ["Reserved", "Callback received", "Answering", "Claimed", "Accepted", "Wrapping up"]
    expect(step_names(page)).to_have_text([*names, "Claimed", "Completed"])
    took = ["+86 ms", "+41 ms", "+1 min 37 s", "+212 ms", "+4 min 11 s", "+37 s", "+500 ms"]
    expect(page.locator(".steps .took")).to_have_text(took)
    notes = page.locator(".steps .note")
    expect(notes.nth(1)).to_have_text("Signature valid")
    expect(notes.nth(2)).to_have_text("decide later. Rule: VIPs by hand")
    expect(notes.nth(3)).to_have_text("Alice: Accept")
    expect(notes.nth(4)).to_have_text("by Alice")
    expect(notes.nth(6)).to_have_text("Alice: Complete")
    times = page.locator(".steps time")
    expect(times.first).to_have_text(re.compile(r"\d\d:\d\d:\d\d\.\d\d\d$"))
    assert (
        times.nth(1).get_attribute("datetime")
        == (api.records[reservation]["delivery"]["received_at"])
    )
    legend = page.locator(".legend > li")
    words = ["Waited for a decision 1 min 37 s", "In progress 4 min 11 s", "Wrapping up 38 s"]
    expect(legend).to_have_text(words)
    note = "6 min 26 s in all. Decided 22 s before the offer would have timed out."
    expect(panel(page, "Timeline")).to_contain_text(note)
    expect(page).to_have_title("Inspect, Agent console")


def test_segments_of_the_strip_are_proportional_to_the_durations(open_console, api):
    page = open_console()
    visit(page, add_record(api))
    strip = page.locator(".strip > rect")
    expect(strip).to_have_count(3)
    widths = [float(each.get_attribute("width").rstrip("%")) for each in strip.all()]
    starts = [float(each.get_attribute("x").rstrip("%")) for each in strip.all()]
    assert sum(widths) == pytest.approx(100, abs=0.1)
    assert widths == pytest.approx([25.2, 65.0, 9.8], abs=0.1)
    assert starts == pytest.approx([0, 25.2, 90.2], abs=0.1)


@pytest.mark.parametrize("status", ENDS)
def test_each_status_after_pending_is_shown(open_console, api, status):
    words, phases = ENDS[status]
    page = open_console()
    visit(page, add_record(api, status))
    expect(step_names(page).last).to_have_text(words)
    expect(page.locator(".tools .pill")).to_have_text(words)
    rects = page.locator(".strip > rect")
    expect(rects).to_have_count(len(phases))
    for index, phase in enumerate(phases):
        expect(rects.nth(index)).to_have_class(f"f-{phase}")


@pytest.mark.parametrize(
    ("step", "english", "spanish"),
    [
        (
            ("accepted", "assignment_instruction", None),
            "Accepted by the assignment instruction",
            "Aceptada por la instrucción de asignación",
        ),
        (("accepted", "supervisor:carla", None), "Accepted by carla", "Aceptada por carla"),
        (("accepted", "service", None), "Accepted by Service", "Aceptada por Servicio"),
        (
            ("gone", "sweep", "TaskRouter returned 404"),
            "Ended found by a check. TaskRouter no longer has this offer",
            "Terminada se detectó al comprobar. TaskRouter ya no tiene esta oferta",
        ),
        (
            ("timeout", "reconcile", "no callback received"),
            "Timed out found by a check. No callback was received",
            "Vencida se detectó al comprobar. No llegó ningún callback",
        ),
        (("wrapping", "fetch", "why"), "found by a check. why", "se detectó al comprobar. why"),
        (("valueOf", "constructor", "toString"), "Ended by constructor. toString", "Terminada"),
    ],
)
def test_sources_and_notes_are_shown_in_words(open_console, api, step, english, spanish):
    reservation = add_record(api, "pending", delivery=None, claims=[])
    to, by, note = step
    api.records[reservation]["history"].append(entry(time.time(), to, by, note))
    api.records[reservation]["status"] = to
    for locale, words in (("en-US", english), ("es-MX", spanish)):
        page = open_console(locale=locale)
        visit(page, reservation)
        last = page.locator(".steps > li").last
        expect(last.locator("h3, .note").last).to_be_visible()
        shown = [each.inner_text() for each in last.locator("h3, .note").all()]
        assert words in " ".join(shown)


def test_callback_is_shown_as_received_along_with_the_answer_the_rule_and_the_decision(
    open_console, api
):
    reservation = add_record(api)
    page = open_console()
    visit(page, reservation)
    parameters = page.locator(".params tbody tr")
    expect(parameters).to_have_text(
        [
            f"ReservationSid{reservation}",
            'TaskAttributes{"customer": "Marta Ríos"}',
            "TaskPriority20",
            'Repeated["a","b"]',
        ]
    )
    expect(panel(page, "Callback parameters")).to_contain_text("As received, 4 in all")
    answer = panel(page, "Answer and rule")
    for words in ("{} decide later", "Rule: VIPs by hand", "/assignment_callback", CALLBACK_URL):
        expect(answer).to_contain_text(words)
    decision = panel(page, "Decision")
    for words in ("OutcomeAccepted", "Decided byAlice", "22 s of 2 min", "Alice: Accept"):
        expect(decision).to_contain_text(words)
    page.get_by_text("Raw JSON").click()
    assert json.loads(page.locator("pre").inner_text()) == api.records[reservation]


def test_rule_recorded_by_an_earlier_version_is_read_from_the_note(open_console, api):
    page = open_console()
    visit(page, add_record(api, rule=None))
    expect(panel(page, "Answer and rule")).to_contain_text("Rule: VIPs by hand")


def test_page_says_that_no_callback_was_received(open_console, api):
    properties = {"callback": None, "delivery": None, "claims": [], "rule": None}
    reservation = add_record(api, "timeout", **properties, instruction=None)
    api.records[reservation]["history"][0].update(by="event", note=None)
    page = open_console(token("supervisor"))
    visit(page, reservation)
    expect(step_names(page)).to_have_text(["Reserved", "Timed out"])
    expect(page.locator(".steps .note").first).to_have_text("No callback was received")
    expect(panel(page, "Callback parameters")).to_contain_text("No callback was received")
    expect(page.get_by_role("button", name="Verify again", exact=True)).to_have_count(0)


def test_callback_recorded_after_the_event_is_in_the_timeline(open_console, api):
    reservation = add_record(api)
    record = api.records[reservation]
    record["history"][0].update(at=record["reserved_at"], by="event", note=None)
    record["delivery"]["route"] = "/assignment_callback/fallback"
    page = open_console()
    visit(page, reservation)
    steps, notes = step_names(page), page.locator(".steps .note")
    for index, name in enumerate(["Callback received", "Answering", "Claimed"], 1):
        expect(steps.nth(index)).to_have_text(name)
    expect(page.locator(".steps .at").nth(2)).to_have_attribute(
        "datetime", record["delivery"]["answered_at"]
    )
    expect(notes.nth(1)).to_have_text("Signature valid. Fallback URL")
    expect(notes.nth(2)).to_have_text("decide later. Rule: VIPs by hand")


def test_answer_recorded_by_an_earlier_version_is_in_the_timeline(open_console, api):
    reservation = add_record(api)
    record = api.records[reservation]
    record["delivery"]["answered_at"] = None
    page = open_console()
    visit(page, reservation)
    steps, notes = step_names(page), page.locator(".steps .note")
    expect(steps.nth(2)).to_have_text("Answering")
    expect(page.locator(".steps .at").nth(2)).to_have_attribute(
        "datetime", record["history"][0]["at"]
    )
    record["history"][0].update(at=record["reserved_at"], by="event", note=None)
    page.reload()
    expect(steps.nth(2)).to_have_text("Claimed")
    expect(notes.nth(1)).to_have_text("Signature valid. decide later. Rule: VIPs by hand")


def test_open_reservation_has_a_status_and_no_outcome(open_console, api):
    page = open_console()
    visit(page, add_record(api, "pending", ago=30, claims=[]))
    expect(panel(page, "Decision")).to_have_text(re.compile("StatusOpen$"))


def test_decision_panel_shows_the_claim_for_the_decision_but_not_for_the_completion(
    open_console, api
):
    page = open_console()
    visit(page, add_record(api))
    expect(panel(page, "Decision")).to_contain_text("ClaimedAlice: Accept")
    expect(panel(page, "Decision")).not_to_contain_text("Complete")


def test_reservation_is_shown_as_created_no_later_than_its_callback(open_console, api):
    reservation = add_record(api)
    record = api.records[reservation]
    exact, record["reserved_at"] = record["reserved_at"], record["history"][0]["at"]
    page = open_console()
    visit(page, reservation)
    expect(step_names(page).nth(0)).to_have_text("Reserved")
    times, notes = page.locator(".steps .at"), page.locator(".steps .note")
    expect(times.nth(0)).to_have_attribute("datetime", record["delivery"]["received_at"])
    expect(notes.nth(0)).to_have_text("At this time or shortly before")
    expect(page.locator(".steps .took").first).to_have_text("+41 ms")
    record["history"][0]["by"] = "event"
    page.reload()
    expect(notes.nth(0)).to_have_text("At this time or shortly before")
    record["reserved_at"] = exact
    page.reload()
    expect(times.nth(0)).to_have_attribute("datetime", exact)
    expect(notes.nth(0)).to_have_text("TaskRouter")
    expect(page.locator(".steps .took").first).to_have_text("+86 ms")


def test_hostile_values_are_shown_as_text(open_console, api):
    reservation = add_record(
        api,
        task_attributes={"customer": HOSTILE, HOSTILE: HOSTILE},
        callback={HOSTILE: HOSTILE},
        rule=HOSTILE,
        worker_name=HOSTILE,
        instruction={"instruction": HOSTILE},
    )
    page = open_console()
    visit(page, reservation)
    expect(page.get_by_role("heading", level=1)).to_contain_text(HOSTILE)
    expect(page.locator(".params td")).to_have_text(HOSTILE)
    assert page.locator("main img").count() == 0


def test_page_is_updated_until_the_reservation_ends(open_console, api):
    reservation = api.offer("Marta", 60)
    at = time.time()
    api.records[reservation] = {
        **api.reservations[reservation],
        "history": [entry(at, "pending", "assignment_callback")],
        "instruction": {},
        "callback": {},
        "delivery": None,
        "claims": [],
        "rule": None,
    }
    page = open_console()
    page.get_by_role("button", name="Inspect").click()
    expect(panel(page, "Timeline")).to_contain_text(re.compile(r"Time left: 5\d\ss"))
    expect(page.locator(".legend strong")).to_have_text(re.compile(r"^1\smin"))
    page.evaluate("document.querySelector('.raw > summary').focus()")
    api.reservations[reservation].update(status="accepted", accepted_by=f"worker:{ALICE}")
    api.records[reservation].update(status="accepted", accepted_by=f"worker:{ALICE}")
    api.records[reservation]["history"].append(entry(time.time(), "accepted", f"worker:{ALICE}"))
    expect(step_names(page).last).to_have_text("Accepted", timeout=4000)
    expect(page.locator(".raw > summary")).to_be_focused()
    api.end(reservation, "completed")
    api.records[reservation].update(delivery=None, claims=[], instruction={}, callback={})
    expect(page.locator(".tools .pill")).to_have_text("Completed", timeout=4000)
    count = api.count(f"/reservations/{reservation}")
    page.wait_for_function("() => document.querySelector('.since')?.textContent.includes('ago')")
    assert api.count(f"/reservations/{reservation}") == count


def test_record_and_signature_are_loaded_after_the_session_resumes(open_console, api):
    reservation = add_record(api, "accepted")
    api.signatures[reservation] = {"valid": True, "likely_cause": None}
    page = open_console(token("supervisor"), clock=True)
    expect(page.locator(".live")).to_contain_text("Live")
    share_token(open_console, page)
    visit(page, reservation)
    expect(page.locator(".tools .pill")).to_have_text("Accepted")
    refusals = refuse_once(api, f"/reservations/{reservation}")
    api.records[reservation].update(status="wrapping")
    page.clock.fast_forward(16_000)
    expect(page.locator(".tools .pill")).to_have_text("Wrapping up")
    assert refusals == []
    share_token(open_console, page)
    refusals = refuse_once(api, "/signature")
    verify = page.get_by_role("button", name="Verify again", exact=True)
    verify.click()
    wait_until(page, lambda: refusals == [])
    expect(verify).not_to_have_attribute("aria-disabled", "true")
    verify.click()
    expect(panel(page, "Answer and rule").get_by_role("status").first).to_contain_text("Valid")


def test_retry_after_header_is_obeyed_even_if_the_overview_changes(open_console, api):
    reservation = api.offer("Marta", 100)
    page = open_console()
    original = api._read

    def throttle(path, headers):
        if path == f"/reservations/{reservation}":
            return 429, {"Code": "TooManyRequests", "Message": "Too many."}, {"Retry-After": "60"}
        return original(path, headers)

    api._read = throttle
    visit(page, reservation)
    expect(page.get_by_role("alert")).to_contain_text("The service answered: Too many.")
    # A 304 shows that the page has the current overview, so the next 200 reports a change.
    page.wait_for_event("response", lambda each: each.status == 304)
    for claimed in (True, False, True):
        with page.expect_response(is_new_overview):
            api.reservations[reservation]["claimed"] = claimed
    assert api.count(f"/reservations/{reservation}") == 1


def test_reservation_named_in_the_url_is_shown_after_a_link_a_reload_and_going_back(
    open_console, api
):
    reservation = add_record(api)
    other = add_record(api, "timeout")
    page = open_console()
    visit(page, reservation)
    expect(step_names(page)).to_have_count(8)
    page.reload()
    expect(step_names(page)).to_have_count(8)
    visit(page, other)
    expect(step_names(page).last).to_have_text("Timed out")
    page.go_back()
    expect(step_names(page).last).to_have_text("Completed")
    page.go_back()
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()


def test_link_opened_before_sign_in_shows_the_reservation_afterward(open_console, api):
    api.has_provider = True
    reservation = add_record(api)
    page = open_console(None, path=f"/console#/reservations/{reservation}")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.evaluate("sessionStorage.setItem('console.sign-in', JSON.stringify({at: Date.now()}))")
    page.goto(api.complete_sign_in(token())["headers"]["Location"])
    expect(step_names(page)).to_have_count(8)


def test_going_back_keeps_the_list_and_focuses_the_row(open_console, api):
    for number in range(70):
        api.add_past_reservation(f"Customer {number}", ago=300 + number)
    page = open_console()
    open_history(page)
    page.get_by_role("button", name="Show more", exact=True).click()
    expect(ended_rows(page)).to_have_count(70)
    page.get_by_role("button", name="Inspect: Customer 60: charged twice").click()
    expect(page.get_by_role("heading", name="Customer 60: charged twice", level=1)).to_be_focused()
    expect(page.get_by_role("link", name="History").last).to_be_visible()
    page.go_back()
    expect(ended_rows(page)).to_have_count(70)
    expect(ended_rows(page).nth(60)).to_be_focused()
    expect(ended_rows(page).nth(60)).to_be_in_viewport()


def test_skip_link_moves_the_focus_and_keeps_the_address(open_console, api):
    reservation = add_record(api)
    page = open_console()
    visit(page, reservation)
    page.get_by_role("link", name="Skip to the Reservation").press("Enter")
    expect(page.locator("#reservation")).to_be_focused()
    assert page.url.endswith(f"#/reservations/{reservation}")


@pytest.mark.parametrize("address", ["WR" + "9" * 32, "nonsense", "", "../overview"])
def test_unknown_reservation_is_reported(open_console, api, address):
    page = open_console()
    visit(page, address)
    expect(page.get_by_role("alert")).to_contain_text("This Reservation is not recorded")


def test_malformed_address_sends_no_request(open_console, api):
    page = open_console()
    visit(page, "../overview")
    expect(page.get_by_role("alert")).to_be_visible()
    assert [path for _, path, _ in api.received if path.startswith("/reservations/")] == []


def test_reservation_of_another_worker_is_forbidden(open_console, api):
    page = open_console()
    original = api._read
    refusal = 403, {"Code": "ForbiddenError", "Message": "Not yours."}, {}
    api._read = lambda path, headers: (
        refusal if path.startswith("/reservations/") else original(path, headers)
    )
    visit(page, "WR" + "9" * 32)
    expect(page.get_by_role("alert")).to_contain_text("This offer belongs to another Worker.")


@pytest.mark.parametrize("status", [403, 404])
def test_proxy_error_does_not_stop_the_updates(open_console, api, status):
    reservation = add_record(api, "pending", ago=20)
    page = open_console()
    original, refused = api._read, []

    def refuse_once(path, headers):
        if path.startswith("/reservations/") and not refused:
            refused.append(path)
            return status, {"message": "Forbidden"}, {}
        return original(path, headers)

    api._read = refuse_once
    visit(page, reservation)
    expect(page.get_by_role("alert")).to_contain_text("The Reservation could not be loaded")
    expect(step_names(page).last).to_have_text("Claimed", timeout=30_000)


def test_failed_request_can_be_retried_and_keeps_the_shown_record(open_console, api):
    reservation = add_record(api, "pending", ago=20)
    page = open_console()
    address = f"**/reservations/{reservation}"
    page.route(address, lambda route: route.abort())
    visit(page, reservation)
    expect(page.get_by_role("alert")).to_contain_text("The service did not answer.")
    page.unroute(address)
    page.get_by_role("button", name="Try again", exact=True).click()
    expect(step_names(page).last).to_have_text("Claimed")
    expect(page.get_by_role("alert")).to_have_count(0)
    page.route(address, lambda route: route.abort())
    stale = page.get_by_text(re.compile("As of .* The service did not answer."))
    expect(stale).to_be_visible(timeout=15_000)
    expect(step_names(page).last).to_have_text("Claimed")


def test_names_and_sids_are_shown_and_a_sid_can_be_copied(open_console, api):
    reservation = add_record(api, workflow_name=None)
    page = open_console(permissions=["clipboard-read", "clipboard-write"])
    visit(page, reservation)
    expect(page.locator(".sids > div")).to_have_text(
        [
            re.compile(r"Reservation.*WR0000…\w{4}"),
            re.compile(r"Task.*WT0000…\w{4}"),
            re.compile("Worker.*Alice.*WKaaaa…aaaa"),
            re.compile("TaskQueue.*Billing.*WQeeee…eeee"),
            re.compile("Workflow.*WWdddd…dddd"),
        ]
    )
    page.locator(".tools").get_by_role("button", name="Copy the SID: Reservation").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == reservation


CLIPBOARDS = {
    "refused": "{ writeText: () => Promise.reject(new DOMException('Denied.')) }",
    "missing": "undefined",
}


@pytest.mark.parametrize("clipboard", CLIPBOARDS)
def test_button_says_that_a_sid_cannot_be_copied(open_console, api, clipboard):
    page = open_console()
    visit(page, add_record(api))
    value = CLIPBOARDS[clipboard]
    page.evaluate(f"() => void Object.defineProperty(navigator, 'clipboard', {{ value: {value} }})")
    page.locator(".tools").get_by_role("button", name="Copy the SID: Reservation").click()
    button = page.locator(".tools").get_by_role("button", name="Cannot copy: Reservation")
    expect(button).to_have_text("Cannot copy")


@pytest.mark.parametrize(
    ("valid", "cause", "words"),
    [
        (True, None, "Valid"),
        (False, "auth_token", "or the request is forged."),
        (False, "unknown_shared_key", "The request specifies a SharedKey"),
        (None, None, "Not checked Some parameters were too large to record."),
    ],
)
def test_supervisor_verifies_the_signature_again(open_console, api, valid, cause, words):
    reservation = add_record(api)
    api.signatures[reservation] = {"valid": valid, "likely_cause": cause}
    page = open_console(token("supervisor"))
    visit(page, reservation)
    page.get_by_role("button", name="Verify again", exact=True).click()
    expect(panel(page, "Answer and rule").get_by_role("status").first).to_contain_text(words)


def test_worker_sees_no_callback_buttons_and_no_link_to_the_log(open_console, api):
    page = open_console()
    visit(page, add_record(api))
    expect(step_names(page)).to_have_count(8)
    expect(page.get_by_role("button", name="Verify again", exact=True)).to_have_count(0)
    expect(page.get_by_role("button", name="Send again", exact=True)).to_have_count(0)
    expect(page.get_by_role("link", name="Callbacks")).to_have_count(0)


@pytest.mark.parametrize(
    ("status", "ago", "hours", "is_past"),
    [
        ("completed", 8 * 86_400, 1, True),
        ("completed", 2_800, 1, False),  # Callbacks may still arrive.
        ("accepted", 7_200, 24, False),
    ],
)
def test_link_to_the_log_chooses_the_shortest_period_that_covers_the_reservation(
    open_console, api, *, status, ago, hours, is_past
):
    ended_at = time.time() - ago + 97.339 + 289
    reservation = add_record(api, status, ago=ago)
    page = open_console(token("supervisor"), timezone_id="Asia/Kolkata")
    visit(page, reservation)
    with page.expect_request("**/callbacks?*") as search:
        page.get_by_role("link", name="Callbacks of this Reservation").click()
    parameters = dict(parse_qsl(urlsplit(search.value.url).query))
    assert parameters["reservation_sid"] == reservation
    assert ("until" in parameters) == is_past
    until = datetime.fromisoformat(parameters.get("until", iso(time.time()))).timestamp()
    if is_past:
        assert 2_700 <= until - ended_at <= 2_761
    since = datetime.fromisoformat(parameters["since"]).timestamp()
    assert until - since == pytest.approx(hours * 3_600, abs=30)


def test_supervisor_sends_the_callback_again_on_a_loopback_host(open_console, api):
    reservation = add_record(api)
    answer = {"status": 200, "body": {"instruction": "accept"}, "duration_ms": 12.3}
    api.answers["/send_again"] = (200, answer, {})
    page = open_console(token("supervisor"))
    visit(page, reservation)
    page.get_by_role("button", name="Send again", exact=True).click()
    shown = panel(page, "Answer and rule").get_by_role("status").last
    expect(shown).to_have_text('200 12 ms {"instruction":"accept"}')
    api.answers["/send_again"] = (404, {"Code": "NotFoundError", "Message": "Too large."}, {})
    page.get_by_role("button", name="Send again", exact=True).click()
    expect(shown).to_have_text("The service answered: Too large.")


def test_send_again_is_not_offered_on_a_host_other_than_loopback(browser, api):
    """Like a deployed stage, a page on console.localhost does not offer the button."""
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    reservation = add_record(api)
    base = api.url.replace("127.0.0.1", "console.localhost")
    page.goto(f"{base}/console#token={token('supervisor')}")
    visit(page, reservation)
    expect(page.get_by_role("button", name="Verify again", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Send again", exact=True)).to_have_count(0)
    context.close()


@pytest.mark.parametrize("width", [360, 640, 768, 1024, 1280, 1920])
def test_page_never_scrolls_sideways(open_console, api, width):
    long = "Donaudampfschifffahrtsgesellschaftskapitän" * 4
    reservation = add_record(
        api,
        task_attributes={"customer": long},
        callback={"TaskAttributes": long, long[:60]: "x" * 400},
        rule=long,
        worker_name=long,
        delivery={
            "received_at": iso(time.time() - 399),
            "route": "/assignment_callback/fallback",
            "checked_url": "https://" + long,
        },
    )
    page = open_console(viewport={"width": width, "height": 800})
    visit(page, reservation)
    expect(step_names(page)).to_have_count(8)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


# Accessibility


def finished(page, api):
    visit(page, add_record(api))
    page.get_by_text("Raw JSON").click()


def pending(page, api):
    visit(page, add_record(api, "pending", ago=20))


def timed_out(page, api):
    visit(page, add_record(api, "timeout", callback=None, delivery=None, claims=[]))


def unknown(page, api):
    visit(page, "WR" + "9" * 32)
    expect(page.get_by_role("alert")).to_be_visible()


def verified(page, api):
    reservation = add_record(api)
    api.signatures[reservation] = {"valid": False, "likely_cause": "auth_token"}
    visit(page, reservation)
    page.get_by_role("button", name="Verify again", exact=True).click()
    expect(page.get_by_text("The auth token differs")).to_be_visible()


def slow(page, api):
    api.delay = 2
    visit(page, add_record(api))
    expect(page.locator(".blank")).to_have_count(3)


STATES = [finished, pending, timed_out, unknown, verified, slow]


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_page_has_no_accessibility_violations_in_any_state(open_console, api, state, scheme, width):
    page = open_console(
        token("supervisor"),
        color_scheme=scheme,
        reduced_motion="reduce",
        viewport={"width": width, "height": 900},
    )
    expect(rows(page)).to_have_count(0)
    expect(page.locator(".live")).to_contain_text("Live")
    state(page, api)
    assert_no_accessibility_violations(page)


def test_decision_that_taskrouter_answered_with_404_is_not_shown_as_the_outcome(open_console, api):
    supervisor = "supervisor:carla@example.com"
    start = time.time() - 400
    first = entry(start, "pending", "assignment_callback")
    gone = entry(start + 60, "gone", supervisor, "TaskRouter returned 404")
    timed_out = entry(start + 120, "timeout")
    reservation = add_record(api, "timeout", history=[first, gone, timed_out])
    other = add_record(api, "gone", history=[first, gone])
    page = open_console(token("supervisor"))
    visit(page, reservation)
    panel = page.locator(".panel", has=page.locator("#part-decision"))
    expect(panel).to_contain_text("Timed out")
    expect(panel).not_to_contain_text("carla")
    visit(page, other)
    expect(panel).to_contain_text("TaskRouter no longer has this offer")
    expect(panel).not_to_contain_text("carla")


NO_RULE_DECIDED = "No rule. The Reservation was already claimed or no longer pending."
NO_RULE = "setting determines the answer."


@pytest.mark.parametrize(("claimed_after", "words"), [(0.05, NO_RULE_DECIDED), (1, NO_RULE)])
def test_page_explains_why_no_rule_determined_the_answer(open_console, api, claimed_after, words):
    start = time.time() - 400
    claim = {"at": iso(start + claimed_after), "by": f"worker:{ALICE}", "target": "accepted"}
    reservation = add_record(api, rule=None, claims=[claim])
    api.records[reservation]["history"][0].update(by="event", note=None)
    page = open_console()
    visit(page, reservation)
    expect(page.get_by_text(words)).to_be_visible()


@pytest.mark.parametrize(
    ("first", "words"), [("assignment_callback", NO_RULE), ("event", NO_RULE_DECIDED)]
)
def test_only_a_callback_that_created_the_record_is_assumed_to_precede_decisions(
    open_console, api, first, words
):
    reservation = add_record(api, "canceled", rule=None, claims=[])
    record = api.records[reservation]
    record["history"][0].update(by=first, note=None)
    record["history"][1]["at"] = record["delivery"]["answered_at"]
    page = open_console()
    visit(page, reservation)
    expect(page.get_by_text(words)).to_be_visible()


@pytest.mark.parametrize(
    ("changes", "words", "total"),
    [
        (
            [(27, "accepted"), (170, "gone"), (70, "completed")],
            ["Waited for a decision 27 s", "In progress 43 s"],
            "1 min 10 s",
        ),
        (
            [(27, "accepted"), (26, "wrapping"), (70, "completed")],
            ["Waited for a decision 26 s", "In progress 0 s", "Wrapping up 44 s"],
            "1 min 10 s",
        ),
        (
            [(27, "accepted"), (170, "gone")],
            ["Waited for a decision 27 s", "In progress 2 min 23 s"],
            "2 min 50 s",
        ),
    ],
    ids=["ending after gone", "change with an earlier time than the previous change", "gone"],
)
def test_phases_end_at_the_times_that_taskrouter_reported(open_console, api, changes, words, total):
    start = time.time() - 400
    history = [entry(start, "pending"), *(entry(start + after, to) for after, to in changes)]
    fields = {"history": history, "claims": [], "delivery": None, "reserved_at": iso(start)}
    page = open_console()
    visit(page, add_record(api, changes[-1][1], **fields))
    expect(page.locator(".legend > li")).to_have_text(words)
    expect(panel(page, "Timeline")).to_contain_text(f"{total} in all.")
