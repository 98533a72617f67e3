"""Browser tests of unknown outcomes, refusals, delays, and changes by other tabs or people."""

import re
import threading
import time

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import (
    ALICE,
    AVAILABLE,
    BREAK,
    OFFLINE,
    FakeApi,
    is_new_overview,
    iso,
    token,
)
from tests.console.pages import (
    announcements,
    click_background,
    ended_rows,
    error,
    overview_requests,
    row,
    rows,
    wait_until,
)

pytestmark = pytest.mark.slow

UNAVAILABLE = error(503, "TaskRouterUnavailable")


def activity(page: Page):
    return page.get_by_label("Your Activity")


def banner(page: Page):
    return page.locator(".banner")


def tasks(page: Page):
    return page.locator(".list > li")


def switch_to(api: FakeApi, activity_sid: str, name: str, *, after: float = 0) -> None:
    """Switch the Worker's Activity. The recorded time of the change is *after* seconds from now."""
    changed = {"activity_sid": activity_sid, "activity_name": name}
    api.worker = {**api.worker, **changed, "activity_changed_at": iso(time.time() + after)}


def hold(page: Page, url: str) -> list:
    """Hold the page's requests to a URL; return a list to which their routes are added."""
    held: list = []
    page.route(url, lambda route: held.append(route))  # noqa: PLW0108  Playwright needs a function
    return held


# Activity


@pytest.mark.parametrize("is_lost", [True, False])
def test_activity_switch_with_an_unknown_outcome_is_checked_and_confirmed(
    open_console, api, is_lost
):
    api.answers["/activity"] = UNAVAILABLE
    page = open_console()
    expect(activity(page)).to_have_value(AVAILABLE)
    held = hold(page, "**/activities")
    if is_lost:
        page.route("**/activity", lambda route: route.abort())
    activity(page).select_option("Break")
    wait_until(page, lambda: held)
    expect(page.get_by_text("Checking your Activity")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    switch_to(api, BREAK, "Break")
    held[0].continue_()
    expect(activity(page)).to_have_value(BREAK)
    expect(banner(page)).to_have_count(0)
    expect(activity(page)).not_to_have_attribute("aria-busy", "true")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            (429, {"message": "Too Many Requests"}, {}),
            "did not process the request. Try again in 6 s.",
        ),
        (error(503, "TaskRouterThrottled", **{"Retry-After": "9"}), "Try again in 9 s."),
        (error(502, "TaskRouterDenied"), "TaskRouter key was refused. Tell your supervisor."),
        (
            error(400, "TaskRouterRefused", reason="(HTTP 400): No such Activity."),
            "Your Activity was not changed Refused by TaskRouter: No such Activity.",
        ),
        (error(403, "ForbiddenError"), "The service answered: Reason."),
    ],
)
def test_reason_for_a_refused_activity_switch_is_shown(open_console, api, answer, words):
    api.answers["/activity"] = answer
    page = open_console()
    activity(page).select_option("Break")
    expect(page.get_by_role("alert")).to_contain_text(words)
    expect(page.get_by_role("alert")).to_contain_text("Your Activity is still Available.")
    api.answers["/activity"] = UNAVAILABLE
    activity(page).select_option("Break")
    expect(page.get_by_role("alert")).to_have_text(
        "Your Activity was not changed Your Activity is still Available.Dismiss"
    )


def test_activity_is_not_switched_without_a_connection_and_the_page_says_so(open_console, api):
    page = open_console()
    expect(activity(page)).to_be_enabled()
    page.context.set_offline(True)
    expect(page.get_by_role("alert")).to_contain_text("No connection since")
    expect(page.get_by_role("alert")).not_to_contain_text("Activity")
    activity(page).select_option("Break")
    expect(page.get_by_role("alert")).to_contain_text("Your Activity was not changed.")
    expect(activity(page)).to_have_value(AVAILABLE)
    page.context.set_offline(False)
    expect(page.get_by_role("alert")).to_contain_text("Not possible without a connection.")
    assert api.count("/activity") == 0


def test_activity_switch_without_effect_is_checked_and_reported(open_console, api):
    api.answers["/activity"] = UNAVAILABLE
    page = open_console()
    activity(page).select_option("Break")
    expect(page.get_by_role("alert")).to_contain_text("Your Activity is still Available.")
    expect(activity(page)).not_to_have_attribute("aria-busy", "true")
    switch_to(api, BREAK, "Break")
    expect(activity(page)).to_have_value(BREAK)
    expect(banner(page)).to_have_count(0)


def test_activity_is_checked_until_a_check_succeeds(open_console, api):
    api.answers["/activity"] = UNAVAILABLE
    page = open_console()
    expect(activity(page)).to_have_value(AVAILABLE)
    held = hold(page, "**/activities")
    activity(page).select_option("Break")
    wait_until(page, lambda: held)
    held[0].fulfill(status=503, json={"Code": "TaskRouterUnavailable", "Message": "Reason."})
    wait_until(page, lambda: len(held) == 2)
    expect(page.get_by_text("Checking your Activity")).to_be_visible()
    held[1].continue_()
    expect(page.get_by_role("alert")).to_contain_text("Your Activity is still Available.")


def test_overview_with_the_requested_activity_ends_the_check(open_console, api):
    api.answers["/activity"] = UNAVAILABLE
    page = open_console()
    expect(activity(page)).to_have_value(AVAILABLE)
    held = hold(page, "**/activities")
    activity(page).select_option("Break")
    wait_until(page, lambda: held)
    switch_to(api, BREAK, "Break")
    expect(activity(page)).to_have_value(BREAK)
    expect(banner(page)).to_have_count(0)
    held[0].abort()


def test_activity_can_be_switched_again_in_the_next_session(open_console, api):
    first, second = token(name="first"), token(name="second")
    api.answers["/activity"] = error(401, "UnauthorizedError")
    page = open_console(first)
    activity(page).select_option("Break")
    expect(page.locator(".banner", has_text="Your session expired at")).to_be_visible()

    def switch(_path):
        switch_to(api, BREAK, "Break")
        return 200, {"activity_sid": BREAK, "activity_name": "Break"}, {}

    api.answers["/activity"] = switch
    page.goto(f"{api.url}/console#token={second}")
    activity(page).select_option("Break")
    expect(activity(page)).to_have_value(BREAK)
    expect(banner(page)).to_have_count(0)


def test_users_own_activity_switch_shows_no_banner_in_any_tab(open_console, api):
    def switch(_path):
        switch_to(api, BREAK, "Break")
        return 200, {"activity_sid": BREAK, "activity_name": "Break"}, {}

    api.answers["/activity"] = switch
    first = open_console()
    pages = [first, open_console(token(), context=first.context)]
    for page in pages:
        expect(activity(page)).to_have_value(AVAILABLE)
    for chosen, other in (pages, pages[::-1]):
        activity(chosen).select_option("Break")
        for page in pages:
            expect(activity(page)).to_have_value(BREAK)
            expect(banner(page)).to_have_count(0)
        switch_to(api, AVAILABLE, "Available")
        expect(activity(other)).to_have_value(AVAILABLE)
        expect(activity(chosen)).to_have_value(AVAILABLE)
    # A switch that the user did not request still shows the banner.
    switch_to(api, BREAK, "Break")
    for page in pages:
        expect(banner(page)).to_contain_text("You were set to Break at")


def test_refused_activity_switch_does_not_hide_a_later_change(open_console, api):
    api.answers["/activity"] = error(429, "TooManyRequests")
    page = open_console()
    activity(page).select_option("Break")
    expect(page.get_by_role("alert")).to_contain_text("Your Activity is still Available.")
    page.get_by_role("button", name="Dismiss", exact=True).click()
    switch_to(api, BREAK, "Break")
    expect(banner(page)).to_contain_text("You were set to Break at")


def test_banner_for_a_change_by_others_does_not_mention_taskrouter(open_console, api):
    page = open_console()
    expect(activity(page)).to_have_value(AVAILABLE)
    switch_to(api, BREAK, "Break")
    expect(banner(page)).to_contain_text(re.compile(r"You were set to Break at \d\d:\d\d:\d\d"))
    expect(page.get_by_text("TaskRouter set you")).to_have_count(0)
    expect(page.get_by_text("An offer timed out.")).to_have_count(0)


def test_change_long_before_a_timeout_is_not_attributed_to_the_timeout(open_console, api):
    reservation = api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    api.end(reservation, "timeout")
    expect(rows(page)).to_have_attribute("data-end", "timeout")
    switch_to(api, OFFLINE, "Offline", after=-30)
    expect(banner(page)).to_contain_text("You were set to Offline at")
    expect(banner(page)).not_to_contain_text("An offer timed out.")


def test_timeout_that_changes_the_activity_is_shown_during_another_task(open_console, api):
    api.offer("Ana", status="accepted", accepted_by=f"worker:{ALICE}")
    reservation = api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    switch_to(api, OFFLINE, "Offline")
    api.end(reservation, "timeout")
    expect(banner(page)).to_contain_text("TaskRouter set you to Offline at")
    expect(banner(page)).to_contain_text("An offer timed out.")
    expect(tasks(page)).to_have_count(1)


# Tasks in progress


def add_accepted_task(api: FakeApi, customer: str = "Marta") -> str:
    return api.offer(customer, status="accepted", accepted_by=f"worker:{ALICE}")


@pytest.mark.parametrize("is_lost", [True, False])
def test_completion_with_an_unknown_outcome_is_checked_and_confirmed(open_console, api, is_lost):
    reservation = add_accepted_task(api)
    api.answers["/complete"] = UNAVAILABLE
    page = open_console()
    if is_lost:
        page.route("**/complete", lambda route: route.abort())
    page.get_by_role("button", name="Complete: Marta").click()
    expect(tasks(page).get_by_role("button")).to_have_text(re.compile("Checking"))
    expect(tasks(page).get_by_role("button")).to_have_attribute("aria-disabled", "true")
    expect(announcements(page)).to_contain_text("Checking: Marta: charged twice")
    api.end(reservation, "completed", f"worker:{ALICE}")
    expect(ended_rows(page)).to_contain_text("Completed")
    expect(announcements(page)).to_contain_text("Completed: Marta: charged twice")
    expect(tasks(page)).to_have_count(0)


def test_completion_without_effect_is_checked_and_can_be_retried(open_console, api):
    add_accepted_task(api)
    api.answers["/complete"] = UNAVAILABLE
    page = open_console()
    page.get_by_role("button", name="Complete: Marta").click()
    expect(tasks(page).get_by_role("button")).to_have_text(re.compile("Checking"))
    expect(tasks(page)).to_contain_text("There was no answer. The Task is still in progress.")
    api.answers["/complete"] = api.decide("completed")
    page.get_by_role("button", name="Complete: Marta").click()
    expect(ended_rows(page)).to_contain_text("Completed")


def test_completion_is_checked_while_the_service_may_still_complete_the_task(open_console, api):
    reservation = add_accepted_task(api)
    api.reservations[reservation]["claimed"] = True
    api.answers["/complete"] = UNAVAILABLE
    page = open_console()
    page.get_by_role("button", name="Complete: Marta").click()
    polls = overview_requests(page)
    wait_until(page, lambda: len(polls) >= 3)
    expect(tasks(page).get_by_role("button")).to_have_text(re.compile("Checking"))
    api.reservations[reservation]["claimed"] = False
    expect(tasks(page)).to_contain_text("There was no answer. The Task is still in progress.")


def test_completion_in_a_supervisors_tab_is_checked(open_console, api):
    reservation, other = add_accepted_task(api), add_accepted_task(api, "Ana")
    api.worker = None
    api.answers["/complete"] = UNAVAILABLE
    page = open_console(token("supervisor"))
    page.get_by_role("button", name="Complete: Marta").click()
    expect(announcements(page)).to_contain_text("Checking: Marta")
    api.end(other, "completed")
    api.end(reservation, "completed")
    expect(ended_rows(page)).to_contain_text("Completed")
    expect(tasks(page)).to_have_count(0)
    assert api.count(f"/reservations/{other}") == 0


@pytest.mark.parametrize(
    ("status", "words"), [("completed", "Completed"), ("canceled", "The Task was canceled")]
)
def test_task_ended_by_others_is_listed_with_its_ending(open_console, api, status, words):
    reservation = add_accepted_task(api)
    page = open_console()
    expect(tasks(page)).to_have_count(1)
    api.end(reservation, status, "supervisor:carla")
    expect(ended_rows(page)).to_contain_text(words)
    expect(announcements(page)).to_contain_text("Marta: charged twice")
    assert api.count(f"/reservations/{reservation}") == 1


def test_completion_of_a_task_that_is_gone_shows_its_ending(open_console, api):
    reservation = add_accepted_task(api)

    def complete(_path):
        api.end(reservation, "canceled")
        return error(410, "ReservationGone")

    api.answers["/complete"] = complete
    page = open_console()
    page.get_by_role("button", name="Complete: Marta").click()
    expect(ended_rows(page)).to_contain_text("The Task was canceled")


def test_completion_refused_by_a_proxy_shows_the_error(open_console, api):
    add_accepted_task(api)
    api.answers["/complete"] = 410, {"message": "Gone"}, {}
    page = open_console()
    page.get_by_role("button", name="Complete: Marta").click()
    expect(tasks(page)).to_contain_text("The service answered: HTTP 410")


def test_completed_task_is_listed_once_in_each_tab(open_console, api):
    reservation = add_accepted_task(api)
    api.answers["/complete"] = api.decide("completed")
    # The first tab must learn of the completion from the second tab, not from a poll.
    api.poll["visible_ms"] = 60_000
    first = open_console()
    pages = [first, open_console(token(), context=first.context)]
    for page in pages:
        expect(tasks(page)).to_have_count(1)
    pages[1].get_by_role("button", name="Complete: Marta").click()
    for page in pages:
        expect(ended_rows(page)).to_have_count(1)
        expect(ended_rows(page)).to_contain_text("Completed")
        expect(tasks(page)).to_have_count(0)
    assert api.count(f"/reservations/{reservation}") == 0


# Refused requests, keys, rejections and delays


def test_overview_from_before_a_completion_does_not_restore_the_task(open_console, api):
    reservation = add_accepted_task(api)
    stale = dict(api.reservations[reservation])
    api.answers["/complete"] = api.decide("completed")
    page = open_console()
    page.get_by_role("button", name="Complete: Marta").click()
    expect(ended_rows(page)).to_contain_text("Completed")
    # The changed priority makes the stale overview differ from any earlier response.
    api.reservations[reservation] = {**stale, "task_priority": 11}
    with page.expect_response(is_new_overview):
        pass
    with page.expect_response("**/overview"):
        pass
    expect(tasks(page)).to_have_count(0)
    expect(ended_rows(page)).to_have_count(1)
    assert api.count(f"/reservations/{reservation}") == 0


@pytest.mark.parametrize("key", ["c", "Enter"])
def test_focus_moves_to_the_next_task_after_a_completion(open_console, api, key):
    first, second = add_accepted_task(api, "Marta"), add_accepted_task(api, "Ana")
    first, second = sorted([first, second], key=lambda each: api.reservations[each]["expires_at"])
    api.answers["/complete"] = api.decide("completed")
    page = open_console()
    expect(tasks(page)).to_have_count(2)
    click_background(page)
    page.locator(f"#row-{first}").get_by_role("button").focus()
    page.keyboard.press(key)
    expect(tasks(page)).to_have_count(1)
    expect(page.locator(f"#row-{second}")).to_be_focused()
    expect(page.locator(f"#row-{second}")).to_have_attribute("aria-current", "true")
    page.locator(f"#row-{second}").get_by_role("button").focus()
    page.wait_for_timeout(400)
    page.keyboard.press(key)
    expect(tasks(page)).to_have_count(0)
    expect(page.get_by_role("heading", name="In progress")).to_be_focused()


def test_shortcut_just_after_a_completion_does_not_complete_the_next_task(open_console, api):
    add_accepted_task(api, "Marta")
    add_accepted_task(api, "Ana")
    api.answers["/complete"] = api.decide("completed")
    page = open_console()
    tasks(page).first.get_by_role("button").focus()
    page.evaluate(
        """() => {
          const list = document.querySelector(".list");
          new MutationObserver(() => {
            if (list.children.length === 1) {
              queueMicrotask(() => document.activeElement.dispatchEvent(
                new KeyboardEvent("keydown", {key: "c", bubbles: true})));
            }
          }).observe(list, {childList: true});
        }"""
    )
    page.keyboard.press("Enter")
    expect(ended_rows(page)).to_have_count(1)
    expect(tasks(page)).to_be_focused()
    page.wait_for_timeout(300)
    expect(tasks(page)).to_have_count(1)


def test_decision_that_a_proxy_refuses_does_not_end_the_session(open_console, api):
    api.offer("Marta")
    api.answers["/accept"] = 401, {"message": "Unauthorized"}, {}
    user_token = token()
    page = open_console(user_token)
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(rows(page).locator(".wrong")).to_contain_text("The service answered: HTTP 401")
    assert page.evaluate("sessionStorage.getItem('console.token')") == user_token


@pytest.mark.parametrize("status", [403, 404, 410])
def test_decision_that_a_proxy_refuses_does_not_end_the_offer(open_console, api, status):
    api.offer("Marta")
    api.answers["/accept"] = status, {"message": "Forbidden"}, {}
    page = open_console()
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(rows(page)).to_contain_text(f"The service answered: HTTP {status}")
    expect(rows(page).get_by_role("button", name="Accept").first).to_be_visible()


@pytest.mark.parametrize("status", [403, 404, 410])
def test_lookup_that_a_proxy_refuses_is_repeated(open_console, api, status):
    reservation = api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    original, refused = api._read, []

    def refuse_once(path, headers):
        if path.endswith(reservation) and not refused:
            refused.append(path)
            return status, {"message": "Forbidden"}, {}
        return original(path, headers)

    api._read = refuse_once
    api.end(reservation, "canceled")
    expect(rows(page)).to_have_attribute("data-end", "withdrawn")
    assert refused


def post_requests(api: FakeApi) -> list:
    return [(path, sent) for method, path, sent in api.received if method == "POST"]


def test_keys_on_the_closed_list_of_activities_do_not_switch_the_activity(open_console, api):
    api.answers["/activity"] = lambda _: (200, api.worker, {})
    page = open_console()
    expect(activity(page)).to_have_value(AVAILABLE)
    for key in ("ArrowDown", "b", "Home"):
        activity(page).focus()
        page.keyboard.press(key)
        page.wait_for_timeout(200)
        assert post_requests(api) == []
        page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    wait_until(page, lambda: post_requests(api))
    assert post_requests(api) == [("/activity", {"activity_sid": BREAK})]


@pytest.mark.parametrize("is_on", [True, False])
def test_activity_switch_releases_the_focus_only_if_shortcuts_are_on(open_console, api, is_on):
    reservation = api.offer("Marta")
    api.answers["/activity"] = lambda _: (200, api.worker, {})
    api.answers["/reject"] = api.decide("rejected")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    page.wait_for_timeout(500)
    if not is_on:
        page.get_by_role("button", name="Turn off", exact=True).click()
    click_background(page)
    activity(page).focus()
    activity(page).select_option("Break")
    wait_until(page, lambda: post_requests(api))
    if is_on:
        page.keyboard.press("r")
        expect(rows(page)).to_have_attribute("data-end", "rejected")
        assert post_requests(api)[1:] == [(f"/reservations/{reservation}/reject", {})]
    else:
        expect(activity(page)).to_be_focused()


def test_activity_chosen_for_a_rejection_applies_to_only_one_offer(open_console, api):
    api.answers["/reject"] = api.decide("rejected")
    first = api.offer("First", 60)
    other = api.offer("Other", 90, worker_name="Bob", worker_sid="WK" + "b" * 32)
    page = open_console(token("supervisor"))
    page.get_by_label("After a rejection, set Alice to").select_option("Break")
    row(page, "Other").get_by_role("button", name="Reject").click()
    expect(row(page, "Other")).to_have_attribute("data-end", "rejected")
    row(page, "First").get_by_role("button", name="Reject").click()
    expect(row(page, "First")).to_have_attribute("data-end", "rejected")
    assert post_requests(api) == [
        (f"/reservations/{other}/reject", {}),
        (f"/reservations/{first}/reject", {"activity_sid": BREAK}),
    ]
    assert page.evaluate("Object.keys(localStorage)") == []


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "4"}])
def test_activities_are_requested_until_a_request_succeeds(open_console, api, headers):
    original, request_times = api.respond, []

    def fail(method, path, request_headers, parameters):
        if path == "/activities":
            request_times.append(time.monotonic())
            if len(request_times) == 1:
                return 429, {"Code": "TooManyRequests", "Message": ""}, headers
        return original(method, path, request_headers, parameters)

    api.respond = fail
    page = open_console()
    expect(activity(page)).to_be_disabled()
    why = "The service did not return the list of Activities."
    expect(activity(page)).to_have_accessible_description(why)
    expect(page.get_by_role("status").filter(has_text="You cannot switch")).to_have_text(
        re.compile(rf"You cannot switch your Activity now {why} Retrying in [1-4]\ss\.")
    )
    expect(activity(page)).to_be_enabled(timeout=9_000)
    expect(activity(page)).to_have_accessible_description("")
    expect(page.locator(".banner")).to_have_count(0)
    assert len(request_times) == 2
    assert request_times[1] - request_times[0] >= int(headers.get("Retry-After", 3)) - 0.1


def test_activities_are_requested_again_after_at_most_a_minute(open_console, api):
    original = api.respond

    def fail(method, path, headers, parameters):
        if path == "/activities":
            return 503, {"Code": "TaskRouterThrottled", "Message": ""}, {"Retry-After": "3599"}
        return original(method, path, headers, parameters)

    api.respond = fail
    page = open_console()
    expect(banner(page)).to_contain_text(re.compile(r"Retrying in (60|[45]\d)\ss\."))


@pytest.mark.parametrize("status", [429, 500])
@pytest.mark.parametrize("is_leader", [True, False])
def test_offers_can_be_decided_while_the_overview_is_delayed(open_console, api, status, is_leader):
    api.offer("Marta")
    api.answers["/accept"] = api.decide("accepted")
    leader = open_console()
    expect(rows(leader)).to_have_count(1)
    page = leader if is_leader else open_console(token(), context=leader.context)
    expect(rows(page)).to_have_count(1)
    original, is_failing, failed = api.respond, [True], []

    def fail(method, path, headers, parameters):
        if path == "/overview" and is_failing:
            # The second response delays the next automatic poll beyond the end of the test.
            failed.append({"Retry-After": "60"} if failed else {})
            return status, {"Code": "Failure", "Message": ""}, failed[-1]
        return original(method, path, headers, parameters)

    api.respond = fail
    expect(banner(page)).to_contain_text(re.compile(r"No update since \d\d:\d\d:\d\d"))
    expect(banner(page)).to_contain_text(re.compile(r"accept and reject\. Retrying in \d+\ss\."))
    expect(page.locator(".live")).to_contain_text("Delayed")
    row(page, "Marta").get_by_role("button", name="Accept", exact=False).first.click()
    expect(rows(page)).to_have_attribute("data-end", "accepted")
    # A decision does not end the pause that the server requested.
    page.wait_for_timeout(1_000)
    assert len(failed) == 2
    is_failing.clear()
    page.get_by_role("button", name="Try now", exact=True).click()
    for each in (leader, page):
        expect(each.locator(".live")).to_contain_text("Live")
        expect(banner(each)).to_have_count(0)


def test_poll_after_a_decision_obeys_the_retry_after_header_of_the_previous_response(
    open_console, api
):
    api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    api.answers["/accept"] = api.decide("accepted")
    original, held, released, polled = api.respond, threading.Event(), threading.Event(), []

    def throttle(method, path, headers, parameters):
        if path == "/overview":
            polled.append(time.monotonic())
            held.set()
            released.wait()
            if len(polled) == 1:
                return 429, {"Code": "TooManyRequests", "Message": ""}, {"Retry-After": "3"}
        return original(method, path, headers, parameters)

    api.respond = throttle
    wait_until(page, held.is_set)
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(rows(page)).to_have_attribute("data-end", "accepted")
    answered_at = time.monotonic()
    released.set()
    expect(page.locator(".live")).to_contain_text("Delayed")
    wait_until(page, lambda: len(polled) > 1)
    assert polled[1] - answered_at >= 3


def test_sign_in_page_says_that_the_service_is_not_responding(open_console, api):
    api.has_provider = True
    original, is_failing, refused = api.respond, [True], []

    def fail(method, path, headers, parameters):
        if path == "/console/session" and is_failing:
            refused.append(path)
            return 429, {"Code": "TooManyRequests", "Message": ""}, {"Retry-After": "60"}
        return original(method, path, headers, parameters)

    api.respond = fail
    page = open_console(None)
    expect(page.get_by_text("The service is not responding.")).to_be_visible()
    page.get_by_role("button", name="Try now", exact=True).click()
    wait_until(page, lambda: len(refused) == 2)
    is_failing.clear()
    page.get_by_role("button", name="Try now", exact=True).click()
    expect(page.get_by_role("link", name="Continue with company account")).to_be_visible()
    expect(page.get_by_text("The service is not responding.")).to_have_count(0)


def test_offer_whose_claim_ends_is_open_again_before_the_retry_time(open_console, api):
    reservation = api.offer("Marta", 40, claimed=True)
    api.answers["/accept"] = error(503, "OutcomeUnknown", **{"Retry-After": "60"})
    page = open_console()
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(rows(page)).to_contain_text("No answer yet.")
    # Without a claim, the offer would be open again after this time.
    page.wait_for_timeout(4_000)
    with page.expect_response("**/overview"):
        pass
    expect(rows(page)).to_have_attribute("data-end", "checking")
    expect(rows(page).get_by_role("button", name="Accept")).to_have_count(0)
    api.reservations[reservation]["claimed"] = False
    expect(rows(page)).to_contain_text("Nothing was decided. The offer is still open.")
    expect(rows(page).get_by_role("button", name="Accept").first).to_be_visible()


@pytest.mark.parametrize("is_leader", [True, False])
def test_overview_from_before_a_decision_does_not_open_the_offer_again(
    open_console, api, is_leader
):
    reservation = api.offer("Marta")
    leader = open_console()
    expect(rows(leader)).to_have_count(1)
    page = leader if is_leader else open_console(token(), context=leader.context)
    expect(rows(page)).to_have_count(1)
    overview, held, released = api._overview, threading.Event(), threading.Event()

    def respond_late(headers):
        api._overview = overview
        api.offer("Late")
        response = overview(headers)
        held.set()
        released.wait()
        return response

    def claim(_path):
        api.reservations[reservation]["claimed"] = True
        return error(503, "OutcomeUnknown", **{"Retry-After": "1"})

    api.answers["/accept"] = claim
    api._overview = respond_late
    wait_until(page, held.is_set)
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(row(page, "Marta")).to_have_attribute("data-end", "checking")
    # The check is due, but the response in transit is older than the decision.
    page.wait_for_timeout(1_500)
    released.set()
    expect(row(page, "Late")).to_be_visible()
    expect(row(page, "Marta")).to_have_attribute("data-end", "checking")
    api.reservations[reservation]["claimed"] = False
    expect(row(page, "Marta")).to_contain_text("Nothing was decided.")


def test_decision_is_checked_when_the_connection_is_back(open_console, api):
    api.offer("Marta")
    api.answers["/accept"] = error(503, "OutcomeUnknown", **{"Retry-After": "1"})
    page = open_console()
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(rows(page)).to_contain_text("No answer yet. Next check in 1 s.")
    page.context.set_offline(True)
    expect(rows(page)).to_contain_text("The console will check when the connection is back.")
    expect(rows(page)).not_to_contain_text("Next check")
    page.context.set_offline(False)
    expect(rows(page).get_by_role("button", name="Accept").first).to_be_visible()


def test_next_check_of_a_decision_is_the_next_poll(open_console, api):
    api.offer("Marta")
    api.answers["/accept"] = error(503, "OutcomeUnknown", **{"Retry-After": "1"})
    page = open_console()
    original = api.respond

    def throttle(method, path, headers, parameters):
        if path == "/overview":
            return 429, {"Code": "TooManyRequests", "Message": ""}, {"Retry-After": "20"}
        return original(method, path, headers, parameters)

    expect(rows(page)).to_have_count(1)
    api.respond = throttle
    row(page, "Marta").get_by_role("button", name="Accept").first.click()
    expect(rows(page)).to_contain_text(re.compile(r"Next check in (1\d|2\d)\ss\."))


def test_offer_that_the_overview_shows_as_decided_is_announced(open_console, api):
    reservation = api.offer("Marta")
    page = open_console()
    expect(rows(page)).to_have_count(1)
    by = "supervisor:carla"
    api.reservations[reservation] = {
        **api.reservations[reservation],
        "status": "accepted",
        "accepted_by": by,
    }
    expect(rows(page)).to_have_attribute("data-end", "accepted")
    expect(announcements(page)).to_have_text(re.compile("Accepted.*Marta"))
