"""Browser tests of the inbox, with a fake API."""

import json
import re
import threading
import time

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import ALICE, AVAILABLE, BREAK, OFFLINE, is_new_overview, iso, token
from tests.console.pages import announcements, ended_rows, error, row, rows, wait_until

pytestmark = pytest.mark.slow


def center_of_first_row(page: Page):
    box = rows(page).first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_new_offer_appears_with_names_and_changes_the_title_and_the_icon(open_console, api):
    page = open_console()
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    expect(page.get_by_text("You are available.")).to_be_visible()
    expect(page).to_have_title("Inbox, Agent console")
    expect(page.locator("#icon")).to_have_attribute("href", re.compile("/icon.svg$"))
    api.offer("Marta Ríos")
    expect(rows(page)).to_have_count(1)
    for words in ("Marta Ríos: charged twice", "Billing", "Priority 10", "Waiting 3"):
        expect(rows(page)).to_contain_text(words)
    expect(page).to_have_title("(1) Inbox, Agent console")
    expect(page.locator("#icon")).to_have_attribute("href", re.compile("/icon-offers.svg$"))
    expect(announcements(page)).to_have_text(
        re.compile(r"New offer: Marta Ríos: charged twice\. Time left: (1\smin\s5\d\ss|2\smin)\.")
    )
    assert page.evaluate("document.activeElement === document.body"), "the focus has moved"


def test_offers_are_sorted_by_time_left_and_show_urgency_with_a_word_and_an_icon(open_console, api):
    page = open_console()
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    for customer, left, timeout in (("Late", 300, 600), ("First", 9, 120), ("Second", 29, 120)):
        api.offer(customer, left, timeout=timeout)
    expect(page.locator(".title")).to_contain_text(["First", "Second", "Late"])
    expect(page.locator(".word")).to_have_text(["Ending", "Soon", "left"])
    icons = page.locator(".clock .i").evaluate_all("icons => icons.map(icon => icon.innerHTML)")
    assert len(set(icons)) == 3


@pytest.mark.parametrize("offset", [-7_200, 3_600])
def test_countdown_uses_the_servers_clock(open_console, api, offset):
    api.clock_offset = offset
    api.offer(left=115)
    page = open_console(token(seconds=9_000))
    digits = page.locator(".digits")
    expect(digits).to_have_text(re.compile("1:[0-5][0-9]"))
    first = digits.inner_text()
    expect(digits).not_to_have_text(first)
    assert "1:00" < digits.inner_text() < first


def test_first_row_is_selected_and_shows_its_task(open_console, api):
    api.offer(
        task_attributes={
            "customer": "Marta",
            "topic": "refund",
            "selectedLanguage": "es",
            "is_vip": True,
            "order": None,
            "tags": ["a", "b"],
            "place": {"city": "Lima"},
            "call_sid": "CA" + "0" * 32,
            "since": 2019,
        }
    )
    api.offer("Second", 300)
    page = open_console()
    selected = page.locator('[aria-current="true"].offer')
    expect(selected).to_have_count(1)
    shown = selected.locator(".attributes > div").all_inner_texts()
    assert [text.replace("\n", " ") for text in shown] == [
        "Customer Marta",
        "Topic refund",
        "Selected language es",
        "Is vip Yes",
        "Order None",
        "Tags a, b",
        "Place city Lima",
        "Call CA0000…0000",
        "Since 2019",
    ]
    selected.get_by_text("Raw JSON").click()
    assert '"city": "Lima"' in selected.locator("pre").inner_text()
    expect(page.locator("button.primary")).to_have_count(1)
    expect(page.locator("button.tinted")).to_have_count(1)


def test_accepted_offer_shows_its_ending_in_place_and_then_moves_to_the_just_ended_list(
    open_console, api
):
    reservation = api.offer("Marta")
    api.answers["/accept"] = api.decide("accepted")
    page = open_console()
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(rows(page)).to_have_attribute("data-end", "accepted")
    expect(rows(page)).to_contain_text("Accepted")
    expect(page.locator(".list > li")).to_contain_text("Marta")
    expect(announcements(page)).to_contain_text("Accepted: Marta: charged twice")
    expect(page).to_have_title("Inbox, Agent console")
    page.mouse.move(5, 5)
    expect(ended_rows(page)).to_contain_text("Accepted", timeout=8_000)
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    expect(ended_rows(page).get_by_role("link", name="In progress")).to_be_visible()
    assert ("POST", f"/reservations/{reservation}/accept", {}) in api.received


def test_rejection_sends_and_clears_the_chosen_activity(open_console, api):
    reservation = api.offer("Marta")
    api.answers["/reject"] = api.decide("rejected")
    page = open_console()
    page.get_by_label("After a rejection, set me to").select_option("Break")
    row(page, "Marta").get_by_role("button", name="Reject").click()
    expect(rows(page)).to_have_attribute("data-end", "rejected")
    sent = {"activity_sid": BREAK}
    assert ("POST", f"/reservations/{reservation}/reject", sent) in api.received
    api.offer("Next")
    expect(row(page, "Next")).to_be_visible()
    expect(page.get_by_label("After a rejection, set me to")).to_have_count(0)
    row(page, "Next").locator(".title").click()
    expect(page.get_by_label("After a rejection, set me to")).to_have_value("")


@pytest.mark.parametrize(
    ("end", "kind", "words"),
    [
        (("timeout", "event"), "timeout", r"Timed out.*Not answered within 2\smin"),
        (("canceled", "event"), "withdrawn", "Withdrawn.*The Task was canceled"),
        (("rescinded", "event"), "taken", "Taken.*Accepted by another Worker"),
        (("gone", "sweep"), "gone", "Ended.*TaskRouter no longer has this offer"),
        (("rejected", "supervisor:carla"), "rejected", "Rejected.*Rejected by carla"),
        (("rejected", f"worker:{ALICE}"), "rejected", "Rejected"),
    ],
)
def test_endings_are_shown_in_place_and_not_as_errors(open_console, api, end, kind, words):
    reservation = api.offer("Marta", 120, timeout=120)
    page = open_console()
    expect(rows(page)).to_have_count(1)
    api.end(reservation, *end)
    expect(rows(page)).to_have_attribute("data-end", kind)
    expect(rows(page)).to_contain_text(re.compile(words, re.DOTALL))
    expect(page.get_by_role("alert")).to_have_count(0)


def test_supervisor_sees_who_accepted_and_for_whom(open_console, api):
    api.worker = None
    reservation = api.offer("Marta")
    page = open_console(token("supervisor", identity="carla"))
    expect(rows(page).locator(".meta > li").first).to_have_text("Alice")
    expect(page.get_by_label("Your Activity")).to_have_count(0)
    api.reservations[reservation].update(status="accepted", accepted_by=f"worker:{ALICE}")
    expect(rows(page)).to_have_attribute("data-end", "taken")
    expect(rows(page)).to_contain_text("Accepted by Alice")


def test_worker_sees_that_a_supervisor_accepted(open_console, api):
    reservation = api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    api.reservations[reservation].update(status="accepted", accepted_by="supervisor:carla")
    expect(rows(page)).to_have_attribute("data-end", "accepted")
    expect(rows(page)).to_contain_text("Accepted for you by carla")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error(403, "ForbiddenError"), "This offer belongs to another Worker."),
        (
            error(400, "TaskRouterRefused"),
            "Refused by TaskRouter: Reason. The offer is still open.",
        ),
        (error(502, "TaskRouterDenied"), "TaskRouter key was refused."),
        (error(409, "InstructionAlreadySent"), "A phone instruction was already sent"),
        (error(429, "TooManyRequests", **{"Retry-After": "4"}), "Try again in 4 s."),
        (error(503, "TaskRouterNotSent", **{"Retry-After": "2"}), "did not process the request"),
        (error(409, "AnswerUnknown"), "The service answered: Reason."),
        (
            error(400, "TaskRouterRefused", reason="(HTTP 400, error 40142): call_sid is missing."),
            "Refused by TaskRouter: call_sid is missing. The offer is still open.",
        ),
        (
            error(400, "TaskRouterRefused", reason="(HTTP 400); see https://twilio.example."),
            "Refused by TaskRouter: HTTP 400; see https://twilio.example. The offer is still open.",
        ),
    ],
)
def test_refused_decision_leaves_the_offer_open_and_shows_the_reason(
    open_console, api, answer, words
):
    api.offer("Marta")
    api.answers["/accept"] = answer
    page = open_console()
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(rows(page).locator(".wrong")).to_contain_text(words)
    expect(announcements(page)).to_contain_text(words)
    expect(rows(page).get_by_role("button", name="Reject")).to_be_enabled()
    expect(page.locator(".banner")).to_have_count(1 if answer[0] == 502 else 0)


def test_unknown_outcome_is_checked_and_resolved(open_console, api):
    reservation = api.offer("Marta", claimed=True)
    api.answers["/accept"] = error(503, "OutcomeUnknown", **{"Retry-After": "30"})
    page = open_console()
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(rows(page)).to_have_attribute("data-end", "checking")
    expect(rows(page)).to_contain_text(re.compile(r"No answer yet\. Next check in (30|2\d)\ss\."))
    expect(rows(page)).to_contain_text(re.compile(r"Accept sent at \d\d:\d\d:\d\d"))
    api.reservations[reservation].update(status="accepted", accepted_by=f"worker:{ALICE}")
    expect(rows(page)).to_have_attribute("data-end", "accepted")


def test_offer_with_an_unknown_outcome_opens_again_if_nothing_was_decided(open_console, api):
    reservation = api.offer("Marta", claimed=True)
    api.answers["/accept"] = error(503, "OutcomeUnknown", **{"Retry-After": "1"})
    page = open_console()
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(rows(page)).to_have_attribute("data-end", "checking")
    api.reservations[reservation]["claimed"] = False
    expect(rows(page).locator(".wrong")).to_contain_text("Nothing was decided.")


@pytest.mark.parametrize("answer", [(502, {"message": "Internal server error"}, {}), None])
def test_lost_response_or_response_without_a_code_is_an_unknown_outcome(open_console, api, answer):
    api.offer("Marta", claimed=True)
    if answer:
        api.answers["/accept"] = answer
    page = open_console()
    if not answer:
        page.route("**/accept", lambda route: route.abort())
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(rows(page)).to_have_attribute("data-end", "checking")
    expect(rows(page).get_by_role("button", name="Accept")).to_have_count(0)
    expect(page.locator(".banner")).to_have_count(0)


def test_decision_sent_in_a_session_that_ended_is_checked_in_the_next_session(open_console, api):
    reservation = api.offer("Marta")
    api.answers["/accept"] = error(401, "UnauthorizedError")
    page = open_console(token(name="first"))
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(page.locator(".banner", has_text="Your session expired at")).to_be_visible()
    page.goto(f"{api.url}/console#token={token(name='second')}")
    expect(rows(page).locator(".wrong")).to_contain_text("Nothing was decided.")
    api.end(reservation, "canceled")
    expect(rows(page)).to_have_attribute("data-end", "withdrawn")


def truncate_overview(api, *, pending_omitted=False):
    """Make the overview omit accepted Reservations or, with *pending_omitted*, pending ones."""
    api.max_open = 5
    for _ in range(8):
        if pending_omitted:
            api.offer("Other", 4_000)
        else:
            api.offer("Accepted", 4_000, status="accepted")


@pytest.mark.parametrize("pending_omitted", [False, True])
def test_offer_that_leaves_a_truncated_overview_is_shown_as_ended(
    open_console, api, pending_omitted
):
    api.worker = None
    truncate_overview(api, pending_omitted=pending_omitted)
    reservation = api.offer("Marta", 100)
    page = open_console(token("supervisor"))
    expect(row(page, "Marta")).to_be_visible()
    api.end(reservation, "canceled")
    expect(row(page, "Marta")).to_have_attribute("data-end", "withdrawn")
    note = page.locator(".bar [role=status]").first
    expect(note).to_have_text(
        "Least time left first" if not pending_omitted else re.compile("^Only")
    )
    expect(page.get_by_text("There are more accepted Tasks than this list")).to_be_visible()


def test_task_older_than_the_newest_200_offers_is_looked_up_once(open_console, api):
    task = api.offer("Old", 5_000, status="accepted")
    last = api.offer("Last", 5_000)
    api.offer("First", 4_000)
    page = open_console(clock=True)
    expect(page.locator(".list > li")).to_have_count(1)
    api.is_truncated = True
    api.records[task] = {**api.reservations.pop(task), "history": []}
    expect(page.get_by_text("older than your newest 200 offers")).to_be_visible()
    expect(page.get_by_text("No accepted Tasks.")).to_have_count(0)
    expect(page.locator(".bar [role=status]").first).to_have_text("Least time left first")
    wait_until(page, lambda: api.count(f"/reservations/{task}") == 1)
    # All pending offers are listed, so an offer that leaves the list has ended.
    api.end(last, "canceled")
    expect(row(page, "Last")).to_have_attribute("data-end", "withdrawn")
    page.clock.run_for(30_000)
    assert api.count(f"/reservations/{task}") == 1


def test_offer_displaced_by_more_urgent_offers_leaves_the_list_without_a_lookup(open_console, api):
    api.worker = None
    api.max_open = 2
    last = api.offer("Last", 5_000)
    api.offer("Other", 4_000)
    page = open_console(token("supervisor"))
    expect(row(page, "Last")).to_be_attached()
    api.offer("Urgent", 100)
    expect(row(page, "Urgent")).to_be_attached()
    expect(row(page, "Last")).to_have_count(0)
    assert api.count(f"/reservations/{last}") == 0


def test_lookups_obey_the_retry_after_header_of_a_throttled_lookup(open_console, api):
    sids = [api.offer(f"Customer {number}") for number in range(5)]
    page = open_console()
    second = open_console(context=page.context)
    for each in (page, second):
        expect(rows(each)).to_have_count(5)
    respond = api.respond

    def throttle(method, path, headers, parameters):
        if path.startswith("/reservations/"):
            api.received.append((method, path, parameters))
            return 429, {"message": "Too Many Requests"}, {"Retry-After": "6"}
        return respond(method, path, headers, parameters)

    api.respond = throttle
    for sid in sids:
        api.end(sid, "canceled")

    def lookups():
        return sum(path.startswith("/reservations/") for _, path, _ in api.received)

    expect(rows(second).first).to_have_attribute("data-end", "checking")
    before = api.count("/overview")
    wait_until(page, lambda: api.count("/overview") >= before + 5)
    assert 1 <= lookups() <= 4
    api.respond = respond
    for each in (page, second):
        expect(rows(each).first).to_have_attribute("data-end", "withdrawn")
    assert all(api.count(f"/reservations/{sid}") <= 2 for sid in sids)


def test_conflicting_decision_shows_the_actual_outcome(open_console, api):
    reservation = api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    with page.expect_response(is_new_overview):
        api.poll = {"visible_ms": 60_000, "hidden_ms": 60_000}

    def refuse(_path):
        api.end(reservation, "rejected", "supervisor:carla")
        body = {"Code": "ReservationNotPending", "Message": "", "reservation_status": "rejected"}
        return 409, body, {}

    api.answers["/accept"] = refuse
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(rows(page)).to_contain_text("Rejected by carla")


def test_offer_whose_time_is_up_waits_for_taskrouter_and_has_no_buttons(open_console, api):
    reservation = api.offer("Marta", 2, timeout=20)
    page = open_console()
    expect(rows(page)).to_contain_text("Time is up. Waiting for TaskRouter")
    for name in ("Accept", "Reject"):
        expect(rows(page).get_by_role("button", name=name)).to_have_count(0)
    api.end(reservation, "timeout")
    expect(rows(page)).to_contain_text("Not answered within 20 s")


def test_row_shows_that_the_phone_rings_after_the_dialog_sends_the_instruction(open_console, api):
    reservation = api.offer("Marta")

    def ring(_path):
        api.reservations[reservation]["instruction_sent"] = {"by": f"worker:{ALICE}"}
        body = {"reservation_sid": reservation, "reservation_status": "pending"}
        return 202, body, {}

    api.answers["/accept"] = ring
    page = open_console()
    page.get_by_role("button", name="Accept by phone").click()
    dialog = page.get_by_role("dialog", name="Accept by phone")
    expect(dialog.get_by_label("Phone to call")).to_have_count(0)
    dialog.get_by_label("Caller ID that the phone shows").fill("+15556667777")
    dialog.get_by_role("button", name="Call", exact=True).click()
    expect(dialog).to_have_count(0)
    expect(rows(page)).to_contain_text("Your phone is ringing. Pick up to accept.")
    expect(rows(page).get_by_role("button", name="Reject")).to_be_enabled()
    sent = {"instruction": "conference", "from": "+15556667777"}
    assert ("POST", f"/reservations/{reservation}/accept", sent) in api.received


def test_typed_phone_number_belongs_to_one_offer_and_is_removed_after_sending(open_console, api):
    api.worker = None
    api.offer("Alma", 600)
    api.offer("Berta", 700, worker_name="Bob")
    api.answers["/accept"] = (202, {"reservation_status": "pending"}, {})
    page = open_console(token("supervisor"))
    number, caller = page.get_by_label("Phone to call"), page.get_by_label("Caller ID")

    def open_dialog(customer: str) -> None:
        row(page, customer).get_by_role("heading").click()
        row(page, customer).get_by_role("button", name="Accept by phone").click()

    open_dialog("Alma")
    number.fill("+15550001111")
    caller.fill("+15556667777")
    page.keyboard.press("Escape")
    open_dialog("Berta")
    expect(number).to_have_value("")
    expect(caller).to_have_value("+15556667777")
    page.keyboard.press("Escape")
    open_dialog("Alma")
    expect(number).to_have_value("+15550001111")
    page.get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert "+15550001111" not in page.evaluate("sessionStorage.getItem('console.drafts')")


@pytest.mark.parametrize(
    ("message", "field", "words"),
    [
        (
            (
                "from must be a phone number (such as +15556667777), client:NAME, or "
                "sip:USER@HOST; at most 256 characters."
            ),
            "Caller ID that the phone shows",
            "Caller ID that the phone shows: enter a phone number (such as +15556667777)",
        ),
        (
            "TaskRouter refused the request (HTTP 400): 12 is not a number. Check to.",
            "Phone to call",
            "Refused by TaskRouter: 12 is not a number. Check to. The offer is still open.",
        ),
    ],
)
def test_phone_dialog_shows_an_error_below_its_field(open_console, api, message, field, words):
    api.offer("Marta")
    code = "TaskRouterRefused" if message.startswith("TaskRouter") else "BadRequestError"
    api.answers["/accept"] = 400, {"Code": code, "Message": message}, {}
    page = open_console(token("supervisor"))
    page.get_by_role("button", name="Accept by phone").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label(field).fill("12")
    dialog.get_by_role("button", name="Call", exact=True).click()
    expect(dialog.get_by_label(field)).to_have_accessible_description(re.compile(re.escape(words)))
    expect(dialog.get_by_label(field)).to_be_focused()
    expect(dialog.get_by_label(field)).to_have_value("12")
    expect(dialog.locator(".wrong")).to_have_count(1)
    api.answers["/accept"] = error(503, "TaskRouterNotSent", **{"Retry-After": "2"})
    dialog.get_by_role("button", name="Call", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("Try again in 2 s.")
    expect(dialog.locator(".wrong")).to_have_count(1)
    api.answers["/accept"] = api.decide("accepted")
    dialog.get_by_role("button", name="Call", exact=True).click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Complete")).to_be_visible()


def test_phone_dialog_stays_open_until_the_response_arrives(open_console, api):
    api.offer("Marta")
    answer = threading.Event()

    def ring(_path):
        answer.wait(10)
        return 202, {"reservation_status": "pending"}, {}

    api.answers["/accept"] = ring
    page = open_console()
    page.get_by_role("button", name="Accept by phone").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Call", exact=True).click()
    expect(dialog.get_by_role("status")).to_have_text("Waiting for a response")
    expect(dialog.get_by_role("alert")).to_have_count(0)
    dialog.get_by_role("button", name="Call", exact=True).click(force=True)
    answer.set()
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Accept by phone")).to_be_focused()
    assert api.count(f"/reservations/{next(iter(api.reservations))}/accept") == 1


@pytest.mark.parametrize("name", ["constructor", "toString", "/valueOf", "__proto__"])
def test_address_with_the_name_of_an_object_property_shows_the_offers(open_console, api, name):
    page = open_console()
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    page.evaluate("name => { location.hash = name }", name)
    api.offer("Marta")
    expect(rows(page)).to_have_count(1)
    page.reload()
    expect(rows(page)).to_have_count(1)


def test_offer_with_an_unknown_final_status_ends(open_console, api):
    reservation = api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    api.end(reservation, "constructor")
    expect(row(page, "Marta")).to_contain_text("TaskRouter no longer has this offer")


def test_completed_task_moves_to_the_just_ended_list(open_console, api):
    reservation = api.offer("Marta", status="accepted")
    api.answers["/complete"] = api.decide("completed")
    page = open_console()
    page.get_by_role("button", name="Complete: Marta: charged twice").click()
    expect(ended_rows(page)).to_contain_text("Completed")
    expect(page.get_by_text("No accepted Tasks.")).to_be_visible()
    assert ("POST", f"/reservations/{reservation}/complete", {}) in api.received


def test_failed_completion_shows_the_reason(open_console, api):
    api.offer("Marta", status="wrapping")
    api.answers["/complete"] = error(400, "TaskRouterRefused")
    page = open_console()
    expect(page.get_by_text("Wrapping up")).to_be_visible()
    page.get_by_role("button", name="Complete").click()
    expect(page.locator(".list .wrong")).to_contain_text("Refused by TaskRouter: Reason.")


def test_rows_keep_their_place_while_the_pointer_is_over_the_list(open_console, api):
    first = api.offer("First", 60)
    api.offer("Second", 90)
    page = open_console()
    row(page, "Second").hover()
    api.offer("Urgent", 30)
    expect(page.locator(".title")).to_contain_text(["First", "Second", "Urgent"])
    api.end(first, "canceled")
    expect(row(page, "First")).to_have_attribute("data-end", "withdrawn")
    time.sleep(5.5)
    expect(page.locator(".title")).to_contain_text(["First", "Second", "Urgent"])
    page.mouse.move(5, 5)
    expect(rows(page).locator(".title")).to_contain_text(["Urgent", "Second"])


@pytest.mark.parametrize("end", ["pause", "key"])
def test_rows_move_again_after_the_pointer_pauses_or_a_key_is_pressed(open_console, api, end):
    api.offer("First", 60)
    page = open_console()
    row(page, "First").hover()
    api.offer("Urgent", 30)
    expect(page.locator(".title")).to_contain_text(["First", "Urgent"])
    if end == "key":
        page.keyboard.press("j")
        expect(page.locator(".title")).to_contain_text(["Urgent", "First"], timeout=2_000)
        page.mouse.move(*center_of_first_row(page))
        api.offer("Next", 20)
        expect(page.locator(".title")).to_contain_text(["Urgent", "First", "Next"])
    else:
        time.sleep(6)
        expect(page.locator(".title")).to_contain_text(["First", "Urgent"])
        expect(page.locator(".title")).to_contain_text(["Urgent", "First"], timeout=6_000)


def test_button_in_an_unselected_row_acts_on_that_rows_offer(open_console, api):
    api.offer("First", 60)
    second = api.offer("Second", 90)
    api.answers["/accept"] = api.decide("accepted")
    page = open_console()
    row(page, "Second").get_by_role("button", name="Accept").click()
    expect(row(page, "Second").first).to_have_attribute("data-end", "accepted")
    assert ("POST", f"/reservations/{second}/accept", {}) in api.received


def test_properties_of_nested_attributes_are_shown_as_fields(open_console, api):
    api.offer(
        task_attributes={
            "customer": "Marta",
            "account": {"tier": "gold", "paid_by": {"cardType": "debit"}, "notes": {}},
            "orders": [{"id": 1}],
        }
    )
    page = open_console()
    expect(rows(page).locator("dt")).to_have_text(
        ["Customer", "Account tier", "Account paid by card type", "Account notes", "Orders"]
    )
    expect(rows(page).locator("dd")).to_have_text(["Marta", "gold", "debit", "{}", '[{"id":1}]'])


def test_long_integers_keep_their_digits_in_all_tabs(open_console, api):
    first, last = 2**53 + 1, -(10**20) - 7
    attributes = {"account": first, "more": {"ids": [last]}, "card": last, "exact": 2**53 - 1}
    api.offer(task_attributes=attributes)
    api.title_attributes = ["account"]
    page = open_console()
    second = open_console(context=page.context)
    for each in (page, second):
        expect(rows(each).locator(".title")).to_have_text(str(first))
        shown = [str(first), str(last), str(last), str(2**53 - 1)]
        expect(rows(each).locator("dd")).to_have_text(shown)
        assert json.loads(rows(each).locator("pre").text_content()) == attributes
        each.locator("#filter").fill(str(last)[-8:])
        expect(each.get_by_text("1 of 1 matching")).to_be_visible()
        each.locator("#filter").fill(str(first - 1))
        expect(each.get_by_text("0 of 1 matching")).to_be_visible()


def test_hostile_attributes_are_shown_as_text(open_console, api, page_problems):
    attack = "<img src=x onerror=alert(1)><script>alert(1)</script>"
    api.offer(
        task_attributes={"customer": attack, attack: attack, "link": "javascript:alert(1)"},
        task_queue_name=attack,
        worker_name=attack,
    )
    page = open_console()
    expect(rows(page).locator(".title")).to_have_text(attack)
    expect(rows(page).locator("dd").nth(1)).to_have_text(attack)
    assert page.locator("img, .offer script, .offer a").count() == 0
    assert page_problems == []


def test_characters_that_change_the_direction_of_text_are_shown_as_code_points(open_console, api):
    api.offer("\u202elive", task_attributes={"customer": "\u202elive", "a\u2066b": ["x\u2069"]})
    page = open_console()
    expect(rows(page).locator(".title")).to_have_text("[U+202E]live")
    expect(rows(page).locator("dt").nth(1)).to_have_text("A[U+2066]b")
    expect(rows(page).locator("dd")).to_have_text(["[U+202E]live", "x[U+2069]"])
    page.get_by_text("Raw JSON").click()
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", page.inner_text("body"))
    assert "[U+202E]live" in rows(page).locator("pre").inner_text()


def test_long_title_is_shown_completely_only_in_the_selected_row(open_console, api):
    api.offer("First", 60)
    long = "x" * 600
    api.offer(long, 90)
    api.offer(f"{long} task", status="accepted")
    page = open_console(viewport={"width": 1024, "height": 900})
    title = rows(page).nth(1).locator(".title")
    line = rows(page).first.locator(".title").bounding_box()["height"]
    expect(title).to_have_css("overflow", "hidden")
    assert title.bounding_box()["height"] == pytest.approx(3 * line, abs=2)
    assert page.locator(".list strong").bounding_box()["height"] < 3.5 * line
    rows(page).nth(1).click(position={"x": 5, "y": 5})
    expect(title).to_have_css("overflow", "visible")
    assert title.bounding_box()["height"] > 4 * line


@pytest.mark.parametrize("role", ["worker", "supervisor"])
@pytest.mark.parametrize("locale", ["en-US", "es-MX"])
def test_links_below_a_task_look_the_same_and_stay_together_on_the_right(
    open_console, api, locale, role
):
    api.offer()
    page = open_console(token(role), locale=locale)
    inspect, raw = page.locator(".task .quiet"), page.locator(".raw > summary")
    # The list of Activities is the last part of the row to load.
    expect(page.locator(".after select")).to_be_visible()
    style = """element => {
      const {color, fontSize, fontWeight, textDecorationLine} = getComputedStyle(element);
      return [color, fontSize, fontWeight, textDecorationLine];
    }"""
    for width in (360, 768, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        # Measure all of them in a single call, because the row may still be moving.
        links = page.evaluate(
            """() => [".task .quiet", ".raw > summary", ".after"].map((selector) =>
              document.querySelector(selector).getBoundingClientRect().toJSON())"""
        )
        assert abs(links[0]["bottom"] - links[1]["bottom"]) < 3, width
        assert links[1]["right"] == pytest.approx(links[2]["right"], abs=1)
        assert inspect.evaluate(style) == raw.evaluate(style)
    page.set_viewport_size({"width": 360, "height": 900})
    before = raw.bounding_box()
    raw.click()
    assert raw.bounding_box() == pytest.approx(before, abs=4)
    json_width = page.locator(".raw pre").bounding_box()["width"]
    assert json_width == pytest.approx(page.locator(".after").bounding_box()["width"], abs=1)


@pytest.mark.parametrize("width", [768, 1280])
def test_note_is_beside_the_heading_and_the_queue_fits_on_one_line(open_console, api, width):
    api.offer("Marta")
    queue = "Customer Care International"
    api.offer("Ana", status="accepted", task_queue_name=queue)
    page = open_console(viewport={"width": width, "height": 900})
    heading = page.get_by_role("heading", name="Open offers").bounding_box()
    note = page.get_by_text("Least time left first").bounding_box()
    assert 0 < note["x"] - heading["x"] - heading["width"] <= 20
    line = page.locator(".list").get_by_text(queue).bounding_box()
    assert line["height"] < 24


def test_content_security_policy_blocks_markup_and_cross_origin_requests(
    open_console, page_problems
):
    page = open_console()
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    assert "TrustedHTML" in page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>' } catch (error) { return `${error}` } }"
    )
    assert page.evaluate("fetch('https://example.com/').catch(() => 'blocked')") == "blocked"
    problems = [page_problems.pop() for _ in list(page_problems)]
    assert len(problems) == 3
    assert all("Content Security Policy" in text or "require" in text for text in problems)


# Activity


def test_new_activity_is_shown_only_after_the_switch_is_confirmed(open_console, api):
    released = threading.Event()

    def switch(_path):
        released.wait()
        activity = {"activity_sid": BREAK, "activity_name": "Break"}
        api.worker = {**api.worker, **activity}
        return 200, activity, {}

    api.answers["/activity"] = switch
    page = open_console()
    select = page.get_by_label("Your Activity")
    expect(select).to_have_value(AVAILABLE)
    select.select_option("Break")
    expect(select).to_have_attribute("aria-busy", "true")
    expect(select).to_have_value(AVAILABLE)
    released.set()
    expect(select).to_have_value(BREAK)
    expect(
        page.get_by_text("Your Activity is Break, so TaskRouter offers you no Tasks.")
    ).to_be_visible()
    expect(page.locator(".banner")).to_have_count(0)


def test_failed_activity_switch_is_reported(open_console, api):
    api.answers["/activity"] = error(400, "TaskRouterRefused")
    page = open_console()
    page.get_by_label("Your Activity").select_option("Break")
    expect(page.get_by_role("alert")).to_contain_text("Your Activity is still Available.")
    expect(page.get_by_label("Your Activity")).to_have_value(AVAILABLE)
    page.get_by_role("button", name="Dismiss", exact=True).click()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_activity_change_caused_by_an_offer_shows_no_banner(open_console, api):
    reservation = api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    changed = {"activity_sid": BREAK, "activity_name": "Reserved"}
    api.worker = {**api.worker, **changed, "activity_changed_at": iso(time.time())}
    expect(page.get_by_label("Your Activity")).to_have_value(BREAK)
    time.sleep(4)
    expect(page.locator(".banner")).to_have_count(0)
    api.end(reservation, "rejected")
    available = {"activity_sid": AVAILABLE, "activity_name": "Available"}
    api.worker = {**api.worker, **available}
    expect(page.get_by_label("Your Activity")).to_have_value(AVAILABLE)
    time.sleep(4)
    expect(page.locator(".banner")).to_have_count(0)


def test_activity_chosen_for_a_rejection_shows_no_banner(open_console, api):
    reservation = api.offer("Marta")

    def reject(_path):
        api.end(reservation, "rejected", f"worker:{ALICE}")
        api.worker = {**api.worker, "activity_sid": BREAK, "activity_name": "Break"}
        return 200, {"reservation_sid": reservation, "reservation_status": "rejected"}, {}

    api.answers["/reject"] = reject
    page = open_console()
    page.get_by_label("After a rejection, set me to").select_option("Break")
    row(page, "Marta").get_by_role("button", name="Reject").click()
    expect(page.get_by_label("Your Activity")).to_have_value(BREAK)
    time.sleep(4)
    expect(page.locator(".banner")).to_have_count(0)


def test_activity_change_by_taskrouter_is_reported_and_can_be_undone(open_console, api):
    reservation = api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    api.end(reservation, "timeout")
    expect(rows(page)).to_have_attribute("data-end", "timeout")
    changed = {"activity_sid": OFFLINE, "activity_name": "Offline"}
    api.worker = {**api.worker, **changed, "activity_changed_at": iso(time.time())}
    banner = page.locator(".banner")
    expect(banner).to_contain_text(
        re.compile(r"TaskRouter set you to Offline at \d\d:\d\d:\d\d.*An offer timed out\.")
    )

    def switch(_path):
        activity = {"activity_sid": AVAILABLE, "activity_name": "Available"}
        api.worker = {**api.worker, **activity}
        return 200, activity, {}

    api.answers["/activity"] = switch
    banner.get_by_role("button", name="Set me to Available", exact=True).click()
    expect(banner).to_have_count(0)
    assert ("POST", "/activity", {"activity_sid": AVAILABLE}) in api.received


# Layout and language


def test_language_follows_the_browser_and_can_be_changed_in_the_settings(open_console, api):
    api.offer("Marta")
    page = open_console(locale="es-MX")
    expect(page.get_by_role("button", name="Aceptar: Marta: charged twice")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "es")
    expect(page).to_have_title("(1) Bandeja, Consola de agentes")
    page.locator(".me > summary").click()
    page.get_by_label("Idioma").select_option("English")
    expect(page.get_by_role("heading", name="Open offers")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Open offers")).to_be_visible()


RECORD_TEXTS = """
  window.texts = [];
  new MutationObserver(() => texts.push(document.body?.innerText ?? "")).observe(document, {
    childList: true, subtree: true, characterData: true,
  });
"""


def has_loaded_spanish(page: Page) -> bool:
    names = page.evaluate("performance.getEntriesByType('resource').map(each => each.name)")
    return any(name.endswith("/texts_es.js") for name in names)


def test_spanish_texts_are_loaded_only_for_spanish_speakers_who_never_see_english_first(
    open_console, api
):
    api.offer("Marta")
    page = open_console(link_token=None, locale="es-MX")
    page.add_init_script(RECORD_TEXTS)
    page.route("**/texts_es.js", lambda route: (page.wait_for_timeout(500), route.continue_()))
    page.goto(f"{api.url}/console#token={token()}")
    expect(page.get_by_role("heading", name="Ofertas abiertas")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Ofertas abiertas")).to_be_visible()
    assert "Open offers" not in "".join(page.evaluate("texts"))
    page = open_console()
    expect(page.get_by_role("heading", name="Open offers")).to_be_visible()
    assert not has_loaded_spanish(page)
    page.locator(".me > summary").click()
    page.get_by_label("Language").select_option("Español")
    expect(page.get_by_role("heading", name="Ofertas abiertas")).to_be_visible()
    assert has_loaded_spanish(page)


def test_english_is_shown_if_the_spanish_texts_cannot_be_loaded(open_console, api):
    api.offer("Marta")
    page = open_console(link_token=None, locale="es-MX")
    page.route("**/texts_es.js", lambda route: route.abort())
    page.goto(f"{api.url}/console#token={token()}")
    expect(rows(page)).to_have_count(1)
    page.reload()
    expect(page.get_by_role("button", name="Accept: Marta: charged twice")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.locator(".me > summary").click()
    language = page.get_by_label("Language")
    expect(language).to_have_value("en")
    language.select_option("Español")
    expect(language).to_have_value("en")
    page.unroute("**/texts_es.js")
    page.reload()
    expect(page.get_by_role("heading", name="Ofertas abiertas")).to_be_visible()


@pytest.mark.parametrize("width", [360, 640, 768, 992, 1280, 1920])
def test_page_never_scrolls_sideways(open_console, api, width):
    api.offer("Donaudampfschifffahrtsgesellschaftskapitän" * 3)
    api.offer("Marta", 300, status="accepted")
    page = open_console(viewport={"width": width, "height": 800})
    expect(rows(page)).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("locale", ["en-US", "es-ES"])
@pytest.mark.parametrize("width", [320, 360])
def test_nothing_is_cut_off_in_a_narrow_row(open_console, api, width, locale):
    api.offer(task_attributes={"customer": "X" * 120, "topic": "Y" * 300, "K" * 100: "v"})
    page = open_console(viewport={"width": width, "height": 740}, locale=locale)
    expect(page.locator(".offer select")).to_be_visible()
    cut = page.evaluate(
        """() => {
          const right = document.querySelector(".offer").getBoundingClientRect().right + 0.5;
          const parts = [...document.querySelectorAll(".offer *")];
          return parts.filter((part) => part.getBoundingClientRect().right > right)
            .map((part) => part.outerHTML.slice(0, 80));
        }"""
    )
    assert cut == []


@pytest.mark.parametrize("width", [768, 1_100])
@pytest.mark.parametrize("locale", ["en-US", "es-ES"])
def test_title_of_a_closed_row_has_room_beside_a_long_note(open_console, api, width, locale):
    long = api.offer("Marta", 200)
    api.offer("Over", 1)
    page = open_console(viewport={"width": width, "height": 740}, locale=locale)
    expect(rows(page)).to_have_count(2)
    by = "supervisor:christopher.montgomery@contact-center.example.com"
    api.reservations[long] |= {"status": "accepted", "accepted_by": by}
    expect(row(page, "Marta").first).to_have_attribute("data-end", "accepted")
    expect(row(page, "Over").first).to_have_attribute("data-end", "checking")
    boxes = [title.bounding_box() for title in page.locator(".offers:not(.ended) .title").all()]
    assert min(box["width"] for box in boxes) >= 150
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    "stored",
    [
        {"language": '"fr"', "sound": "{"},
        {"language": '"constructor"'},
        {"language": "7", "shortcuts": '"no"'},
    ],
    ids=str,
)
def test_unusable_stored_values_are_ignored(open_console, api, stored):
    api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    for name, value in stored.items():
        page.evaluate(
            "([name, value]) => localStorage.setItem(name, value)", [f"console.{name}", value]
        )
    for key in ("console.drafts", "console.sign-in"):
        page.evaluate("key => sessionStorage.setItem(key, '{')", key)
    page.reload()
    expect(rows(page).get_by_role("button", name="Accept: Marta")).to_be_visible()
    expect(rows(page).locator("kbd")).to_have_count(3)


@pytest.mark.parametrize(
    ("is_script_allowed", "words"),
    [
        (True, ("could not be loaded", "No se pudo cargar")),
        (False, ("needs JavaScript", "necesita JavaScript")),
    ],
)
def test_page_without_script_explains_the_problem_in_both_languages(
    browser, api, is_script_allowed, words
):
    context = browser.new_context(java_script_enabled=is_script_allowed)
    page = context.new_page()
    page.route("**/console.js", lambda route: route.abort())
    page.goto(f"{api.url}/console")
    assert all(each in page.content() for each in words)
    context.close()


def test_new_version_offers_a_reload(open_console, api):
    page = open_console()
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    api.version = "another"
    expect(page.get_by_text("A new version of the console is available")).to_be_visible()
    api.version = page.locator("link[rel=stylesheet]").get_attribute("href").split("/")[1]
    with page.expect_navigation():
        page.get_by_role("button", name="Reload", exact=True).click()
    expect(page.get_by_role("heading", name="No open offers")).to_be_visible()
    expect(page.locator(".banner")).to_have_count(0)


@pytest.mark.parametrize(
    ("attributes", "title"),
    [
        ({"customer": "Marta", "reason": "refund"}, "Marta: refund"),
        ({"customer": "Marta"}, "Marta"),
        ({"from": "+15556667777", "selected_language": "es"}, "From: +15556667777"),
        ({"from": "+15556667777", "reason": "refund"}, "+15556667777: refund"),
        ({"selected_language": "es"}, "Selected language: es"),
        ({"subject": "Hello", "body": "World"}, "Hello: World"),
        ({"call_sid": "CA" + "0" * 32}, re.compile("^Task WT")),
    ],
)
def test_title_prefers_the_configured_attributes(open_console, api, attributes, title):
    api.title_attributes = ["customer", "from", "reason"]
    api.offer(task_attributes=attributes, task_channel_name="voice")
    page = open_console()
    expect(rows(page).locator(".title")).to_have_text(title)
    expect(rows(page).locator(".meta")).to_contain_text("Voice")
