"""Browser tests of the supervisor's overview, with a fake API."""

import re
import threading
from itertools import pairwise

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import iso, token
from tests.console.pages import (
    assert_no_accessibility_violations,
    make_hour,
    make_statistics,
    refuse_once,
    rows,
    share_token,
    show_overview,
)

UNAVAILABLE = 503, {"Code": "StoreUnavailable", "Message": "DynamoDB failed."}, {}

pytestmark = pytest.mark.slow


def tile(page: Page, name: str):
    return page.locator(".tile", has=page.locator("dt", has_text=re.compile(f"^{name}$")))


# Figures


def test_tiles_show_the_figures(open_console, api):
    api.statistics = make_statistics(api)
    page = show_overview(open_console, api)
    expect(tile(page, "Open offers").locator(".big")).to_have_text("12")
    expect(tile(page, "Open offers")).to_contain_text("Longest wait 1 min 53 s")
    expect(page.get_by_text("Oldest Task: WT1111…1111")).to_be_visible()
    expect(page.get_by_role("button", name="Copy the SID: Task")).to_be_visible()
    expect(tile(page, "Accepted").locator(".big")).to_have_text("317")
    expect(tile(page, "Accepted")).to_contain_text("86.6% of 366")
    expect(tile(page, "Rejected").locator(".big")).to_have_text("14")
    expect(tile(page, "Timed out").locator(".big")).to_have_text("17")
    expect(tile(page, "Timed out")).to_contain_text(re.compile(r"4\.6%, peak at \d\d:00"))
    expect(tile(page, "Median time to accept").locator(".big")).to_have_text("8 s")
    expect(tile(page, "Median time to accept")).to_contain_text(
        "p90 21 s, p95 30 s, of the newest 87"
    )
    expect(tile(page, "Last sweep")).to_contain_text("12 checked, none repaired")
    expect(page.get_by_text(re.compile(r"Updated 3\d\ss ago"))).to_be_visible()
    expect(page).to_have_title("Overview, Agent console")


def test_table_has_the_values_of_the_chart(open_console, api):
    api.statistics = make_statistics(api)
    api.statistics["hours"][0] = {**api.statistics["hours"][0], "counted_at": None}
    counts = ("total", "open", "accepted", "rejected", "timed_out")
    api.statistics["hours"][0].update(dict.fromkeys(counts), by_status=None)
    api.statistics["hours"][1] = make_hour(api, 22, completed=20_000, at_least=True)
    page = show_overview(open_console, api)
    page.get_by_text("Show as a table").click()
    table = page.get_by_role("region", name="Reservations per hour, as a table").get_by_role("row")
    expect(table).to_have_count(25)
    expect(table.nth(1)).to_contain_text("Not counted yet")
    expect(table.nth(2)).to_contain_text("at least 20,000")
    expect(table.nth(11).get_by_role("cell")).to_have_text(["140", "8", "11", "4", "0", "163"])
    expect(table.nth(24).get_by_role("cell")).to_have_text(["24", "0", "2", "0", "12", "38"])
    expect(tile(page, "Accepted").locator(".big")).to_have_text("≥ 20,317")
    chart = page.get_by_role("img", name="Reservations per hour")
    expect(chart).to_have_count(1)
    expect(chart.locator("desc")).to_contain_text(re.compile(r"Accepted peaks at 20,000 in"))
    expect(chart.locator("desc")).to_contain_text(re.compile(r"Timed out peaks at 11 in"))


@pytest.mark.parametrize(
    ("zone", "pattern", "count"),
    [
        ("America/Bogota", r"\d\d", 24),
        ("Asia/Kolkata", r"\d\d:30", 12),
        ("Asia/Kathmandu", r"\d\d:45", 12),
    ],
)
def test_labels_of_the_bars_match_the_time_zone_and_do_not_overlap(
    open_console, api, zone, pattern, count
):
    api.statistics = make_statistics(api)
    page = show_overview(open_console, api, timezone_id=zone)
    labels = page.locator(".chart g > text[text-anchor=middle]:not(.total):visible")
    for width, shown in ((1280, count), (360, 6)):
        page.set_viewport_size({"width": width, "height": 900})
        expect(labels).to_have_count(shown)
        assert all(re.fullmatch(pattern, label) for label in labels.all_text_contents())
        boxes = [label.bounding_box() for label in labels.all()]
        assert all(left["x"] + left["width"] < right["x"] for left, right in pairwise(boxes))


def test_rejected_timed_out_and_other_segments_have_distinct_patterns(open_console, api):
    api.statistics = make_statistics(api)
    page = show_overview(open_console, api)
    expect(page.locator(".legend rect")).to_have_count(5)
    fills = page.locator(".legend rect").evaluate_all(
        "all => all.map(each => each.getAttribute('fill') ?? each.getAttribute('class'))"
    )
    assert fills == [
        "f-accepted",
        "url(#p-rejected)",
        "url(#p-timeout)",
        "url(#p-otherEnding)",
        "f-pending",
    ]
    patterns = page.locator("pattern").evaluate_all("all => all.map(each => each.innerHTML)")
    assert len(set(patterns)) == 3
    bars = page.locator(".chart.wide g", has=page.locator(".total"))
    expect(bars).to_have_count(4)
    heights = bars.first.locator("rect").evaluate_all(
        "all => all.map(each => each.height.baseVal.value)"
    )
    assert heights[0] > 10 * max(heights[1:])
    assert min(heights) >= 1.5


def test_sweeps_are_shown_with_repairs_and_failures(open_console, api):
    api.statistics = make_statistics(api)
    failed = {"ok": False, "errors": {"StoreUnavailable": 2}, "left": 3, "monitor_only": True}
    api.statistics["sweeps"][2].update(failed)
    page = show_overview(open_console, api)
    panel = page.locator(".panel", has=page.locator("#sweeps"))
    expect(panel.locator("tbody time")).to_have_count(8)
    expect(panel.locator(".pill").first).to_have_text("On time")
    lines = panel.locator("tbody tr")
    expect(lines.nth(1).get_by_role("cell")).to_have_text(["12", "3", "0.4 s"])
    expect(lines.nth(2)).to_have_text("statuses corrected: 2, gone from TaskRouter: 1")
    third = lines.nth(4)
    expect(third).to_contain_text("StoreUnavailable: 2")
    expect(third).to_contain_text("left for the next sweep: 3")
    expect(third).to_contain_text("Monitors only")
    panel.get_by_role("button", name="Show all 20", exact=True).click()
    expect(panel.locator("tbody time")).to_have_count(20)


def test_short_durations_have_at_most_two_significant_digits(open_console, api):
    api.statistics = make_statistics(api)
    for number, milliseconds in enumerate((41.3, 410, 1540, 9999, 10_000, 65_000)):
        api.statistics["sweeps"][number].update(duration_ms=milliseconds, mirrored=0, gone=0)
    page = show_overview(open_console, api)
    shown = page.locator(".panel", has=page.locator("#sweeps")).locator("td:last-child")
    durations = ["0.041 s", "0.41 s", "1.5 s", "10 s", "10 s", "1 min 05 s", "0.4 s", "0.4 s"]
    expect(shown).to_have_text(durations)


def test_failed_sweep_is_marked(open_console, api):
    api.statistics = make_statistics(api)
    api.statistics["sweeps"][0]["ok"] = False
    page = show_overview(open_console, api)
    expect(tile(page, "Last sweep")).to_contain_text("Failed")
    expect(page.locator(".panel", has=page.locator("#sweeps")).locator("header")).to_contain_text(
        "Failed"
    )


def test_workers_are_counted_by_activity(open_console, api):
    api.statistics = make_statistics(api)
    page = show_overview(open_console, api)
    panel = page.locator(".panel", has=page.locator("#workers"))
    expect(panel).to_contain_text("Workers: 24")
    expect(panel.locator("li")).to_have_text(["Offline10", "Available14", "Break0"])
    expect(panel.locator("li [data-on=yes]")).to_have_count(1)
    widths = panel.locator("rect:not(.track)").evaluate_all(
        "all => all.map(each => each.getAttribute('width'))"
    )
    assert widths[1] == "100%"
    assert len(widths) == 2


def test_taskrouter_values_are_shown_with_their_own_time_and_error(open_console, api):
    api.statistics = make_statistics(api, taskrouter_error="TaskRouterDenied")
    page = show_overview(open_console, api)
    panel = page.locator(".panel", has=page.locator("#workers"))
    expect(panel).to_contain_text(re.compile(r"As of \d\d:\d\d:\d\d\. .*\(TaskRouterDenied\)"))


def test_unknown_values_are_shown_as_unknown(open_console, api):
    api.statistics = make_statistics(
        api,
        acceptance=None,
        oldest_waiting=None,
        workers_by_activity=[],
        taskrouter_updated_at=None,
        sweeps=[],
    )
    page = show_overview(open_console, api)
    expect(tile(page, "Median time to accept")).to_contain_text("\N{EN DASH}")
    expect(tile(page, "Open offers")).to_contain_text("Oldest Task unknown")
    expect(tile(page, "Last sweep")).to_contain_text("No sweep is recorded.")
    expect(page.locator(".panel", has=page.locator("#workers"))).to_contain_text("Not known yet.")


NOT_COUNTED = dict.fromkeys(
    ["counted_at", "total", "open", "accepted", "rejected", "timed_out", "by_status"]
)


def test_counts_show_their_age_and_are_minimums_if_an_hour_is_not_counted(open_console, api):
    api.statistics = make_statistics(api, age=300)
    api.statistics["hours"][23] |= NOT_COUNTED
    api.statistics["updated_at"] = api.statistics["acceptance"]["measured_at"] = iso(api.now())
    page = show_overview(open_console, api)
    expect(page.get_by_text(re.compile(r"^Updated 5\smin\s0\d\ss ago$"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"^These figures are 5\smin\s0\d\ss old$"))).to_be_visible()
    expect(tile(page, "Accepted").locator(".big")).to_have_text(re.compile("^≥ "))
    api.statistics["hours"] = [hour | NOT_COUNTED for hour in api.statistics["hours"]]
    page.reload()
    expect(tile(page, "Open offers").locator(".big")).to_have_text("\N{EN DASH}")
    expect(page.get_by_text(re.compile(r"^Updated \d+\ss ago$"))).to_be_visible()


def test_old_acceptance_times_are_shown_with_the_time_of_their_measurement(open_console, api):
    api.statistics = make_statistics(api)
    page = show_overview(open_console, api)
    note = tile(page, "Median time to accept").locator(".note")
    expect(note).to_have_text("p90 21 s, p95 30 s, of the newest 87")
    api.statistics["acceptance"]["measured_at"] = iso(api.now() - 400)
    page.reload()
    expect(note).to_have_text(re.compile(r"^As of \d\d:\d\d:\d\d\.\sp90\s21\ss"))


@pytest.mark.parametrize(
    ("locale", "label", "words"),
    [
        ("en-US", "Median time to accept", "No time measured in the last hour"),
        ("es-MX", "Mediana hasta aceptar", "Ningún tiempo medido en la última hora"),
    ],
)
def test_tile_says_that_no_acceptance_was_measured_in_the_last_hour(
    open_console, api, locale, label, words
):
    api.statistics = make_statistics(api)
    api.statistics["acceptance"] |= {"count": 0, "p50_ms": None, "p90_ms": None, "p95_ms": None}
    page = open_console(token("supervisor"), locale=locale)
    page.evaluate("location.hash = '#/overview'")
    measured = tile(page, label)
    expect(measured.locator(".big")).to_have_text("\N{EN DASH}")
    expect(measured.locator(".note")).to_have_text(words)


def test_activities_are_not_shown_as_unavailable_if_their_availability_is_unknown(
    open_console, api
):
    api.statistics = make_statistics(api)
    original = api._read
    api._read = lambda path, headers: (
        (503, {"Code": "X"}, {}) if path == "/activities" else original(path, headers)
    )
    page = show_overview(open_console, api)
    panel = page.locator(".panel", has=page.locator("#workers"))
    expect(panel.locator("li")).to_have_count(3)
    expect(panel.locator(".dot")).to_have_count(0)


def test_number_of_omitted_queues_is_shown_and_an_incomplete_offer_count_has_a_plus_sign(
    open_console, api
):
    for number in range(12):
        api.offer(task_queue_name=f"Queue {number}")
    api.is_truncated, api.worker = True, None
    api.statistics = make_statistics(api)
    page = show_overview(open_console, api)
    panel = page.locator(".panel", has=page.locator("#queues"))
    expect(panel.locator("li")).to_have_count(10)
    expect(panel).to_contain_text("And 2 more.")
    expect(panel.get_by_role("link", name="Offers: 12+")).to_be_visible()


def test_open_offers_are_counted_by_queue(open_console, api):
    for queue in ("Billing", "Support", "Billing"):
        api.offer(task_queue_name=queue)
    api.statistics = make_statistics(api)
    page = show_overview(open_console, api)
    panel = page.locator(".panel", has=page.locator("#queues"))
    expect(panel.locator("li")).to_have_text(["Billing2", "Support1"])
    panel.get_by_role("link", name="Offers: 3").click()
    expect(rows(page)).to_have_count(3)


def test_hostile_names_are_shown_as_text(open_console, api):
    api.statistics = make_statistics(api)
    hostile = "<img src=x onerror=alert(1)>"
    api.statistics["workers_by_activity"][0]["activity_name"] = hostile
    api.statistics["sweeps"][0]["errors"] = {hostile: 1}
    page = show_overview(open_console, api)
    expect(page.get_by_text(hostile)).to_have_count(2)


# States


def test_new_stage_shows_that_there_are_no_figures_yet(open_console, api):
    empty = {"hours": [], "workers_by_activity": [], "sweeps": [], "acceptance": None}
    api.statistics = {**make_statistics(api), **empty, "updated_at": None, "oldest_waiting": None}
    page = show_overview(open_console, api)
    expect(page.get_by_role("heading", name="No figures yet")).to_be_visible()
    expect(page.get_by_role("button", name="Create Task", exact=True)).to_be_visible()


def test_day_without_reservations_has_no_chart(open_console, api):
    api.statistics = make_statistics(api, hours=[make_hour(api, ago) for ago in range(23, -1, -1)])
    page = show_overview(open_console, api)
    expect(page.get_by_text("No Reservations in the last 24 hours.")).to_be_visible()
    expect(page.locator(".chart")).to_have_count(0)
    expect(tile(page, "Open offers").locator(".big")).to_have_text("0")


def test_figures_that_are_old_by_the_servers_clock_have_a_warning(open_console, api):
    api.clock_offset = -7200
    api.statistics = make_statistics(api, age=420)
    page = show_overview(open_console, api)
    expect(page.get_by_text(re.compile(r"Updated 7\smin.* ago"))).to_be_visible()
    expect(page.locator(".banner")).to_contain_text("These figures are 7 min")
    expect(page.locator(".banner")).to_contain_text("Check whether the sweep is still running.")
    expect(page.locator(".panel", has=page.locator("#sweeps")).locator("header")).to_contain_text(
        "Late"
    )


def test_recent_figures_have_no_warning(open_console, api):
    api.clock_offset = -7200
    api.statistics = make_statistics(api, age=170)
    page = show_overview(open_console, api)
    expect(page.get_by_text(re.compile(r"Updated 2\smin.* ago"))).to_be_visible()
    expect(page.locator(".banner")).to_have_count(0)


def test_failed_first_load_can_be_retried(open_console, api):
    api.statistics = UNAVAILABLE
    page = show_overview(open_console, api)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The service answered: DynamoDB failed.")
    api.statistics = make_statistics(api)
    alert.get_by_role("button", name="Try again", exact=True).click()
    expect(tile(page, "Open offers").locator(".big")).to_have_text("12")
    expect(alert).to_have_count(0)


def test_figures_stay_and_no_task_can_be_created_without_a_connection(open_console, api):
    api.statistics = make_statistics(api)
    page = show_overview(open_console, api)
    expect(tile(page, "Open offers").locator(".big")).to_have_text("12")
    page.context.set_offline(True)
    expect(page.get_by_role("alert")).to_contain_text("No connection since")
    expect(page.locator(".banner")).to_have_count(1)
    expect(tile(page, "Open offers").locator(".big")).to_have_text("12")
    page.get_by_role("button", name="Create Task", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Create Task", exact=True).click()
    expect(dialog.locator(".outcome")).to_have_text("Not possible without a connection")
    assert [path for method, path, _ in api.received if method == "POST"] == []


def test_forbidden_user_sees_the_reason(open_console, api):
    api.statistics = 403, {"Code": "ForbiddenError", "Message": "No."}, {}
    page = show_overview(open_console, api)
    expect(page.get_by_role("alert")).to_contain_text(
        "You do not have permission to see the overview."
    )


def hold_statistics(api) -> threading.Event:
    """Hold the responses to requests for statistics until the returned event is set."""
    released = threading.Event()
    original = api._read

    def hold(path, headers):
        if path == "/statistics":
            released.wait()
        return original(path, headers)

    api._read = hold
    return released


def test_slow_first_load_shows_blank_tiles(open_console, api):
    released = hold_statistics(api)
    api.statistics = make_statistics(api)
    page = show_overview(open_console, api)
    expect(page.locator(".tile.blank")).to_have_count(6)
    expect(page.locator("main[aria-busy=true]")).to_have_count(1)
    released.set()
    expect(tile(page, "Open offers")).to_be_visible()
    expect(page.locator("main[aria-busy]")).to_have_count(0)


# Requests


def requests(api) -> int:
    return api.count("/statistics")


def wait_for_requests(page: Page, api, expected: int) -> None:
    """Wait until the API has received the expected number of requests for statistics."""
    for _ in range(100):
        if requests(api) >= expected:
            break
        page.wait_for_timeout(50)
    assert requests(api) == expected


def test_figures_are_reloaded_when_the_next_sweep_is_due(open_console, api):
    api.clock_offset = -7200
    api.statistics = make_statistics(api, age=34)
    page = show_overview(open_console, api, clock=True)
    expect(tile(page, "Open offers").locator(".big")).to_have_text("12")
    page.get_by_role("button", name="Create Task", exact=True).focus()
    page.evaluate("scrollTo(0, 200)")
    page.clock.fast_forward(22_000)
    wait_for_requests(page, api, 1)
    api.statistics = make_statistics(api, age=-26)
    api.statistics["hours"][23] = make_hour(api, 0, pending=15)
    page.clock.fast_forward(10_000)
    expect(tile(page, "Open offers").locator(".big")).to_have_text("15")
    expect(page.get_by_role("button", name="Create Task", exact=True)).to_be_focused()
    assert page.evaluate("scrollY") == 200
    wait_for_requests(page, api, 2)


def test_requests_for_the_figures_of_a_late_sweep_back_off_to_one_per_minute(open_console, api):
    api.statistics = make_statistics(api, age=75)
    page = show_overview(open_console, api, clock=True)
    expect(tile(page, "Open offers").locator(".big")).to_have_text("12")
    for number, pause in enumerate((5_000, 10_000, 20_000, 40_000, 60_000, 60_000), start=1):
        page.clock.fast_forward(pause // 2)
        wait_for_requests(page, api, number)
        with page.expect_response("**/statistics") as response:
            page.clock.fast_forward(pause // 2 + 3_000)
        response.value.finished()


def test_figures_stay_after_a_failed_update_and_the_retry_obeys_the_retry_after_header(
    open_console, api
):
    api.statistics = make_statistics(api)
    page = show_overview(open_console, api, clock=True)
    expect(tile(page, "Open offers").locator(".big")).to_have_text("12")
    api.statistics = 503, UNAVAILABLE[1], {"Retry-After": "50"}
    page.clock.fast_forward(45_000)
    banner = page.locator(".banner")
    expect(banner).to_contain_text("The figures could not be updated")
    expect(banner).to_contain_text(re.compile(r"DynamoDB failed\. Retrying in [345]\d\ss\."))
    expect(tile(page, "Open offers").locator(".big")).to_have_text("12")
    page.clock.fast_forward(25_000)
    wait_for_requests(page, api, 2)
    api.statistics = make_statistics(api)
    page.clock.fast_forward(35_000)
    expect(banner).to_have_count(0)
    wait_for_requests(page, api, 3)


def test_figures_are_not_loaded_while_the_page_is_hidden_or_shows_another_section(
    open_console, api
):
    api.statistics = make_statistics(api)
    page = show_overview(open_console, api, clock=True)
    expect(tile(page, "Open offers").locator(".big")).to_have_text("12")
    set_visibility(page, "hidden")
    page.clock.fast_forward(60_000)
    wait_for_requests(page, api, 1)
    set_visibility(page, "visible")
    wait_for_requests(page, api, 2)
    page.get_by_role("link", name="History").click()
    expect(page.locator("h1#history")).to_be_visible()
    page.clock.fast_forward(60_000)
    wait_for_requests(page, api, 2)


def test_figures_are_updated_if_the_user_returns_during_a_request(open_console, api):
    api.statistics = make_statistics(api)
    released = hold_statistics(api)
    page = show_overview(open_console, api, clock=True)
    wait_for_requests(page, api, 1)
    page.get_by_role("link", name="History").click()
    expect(page.locator("h1#history")).to_be_visible()
    page.get_by_role("link", name="Overview").click()
    expect(page.locator("h1#overview")).to_be_visible()
    released.set()
    expect(tile(page, "Open offers").locator(".big")).to_have_text("12")
    wait_for_new_figures(page, api)


def test_figures_are_updated_after_the_session_resumes_with_another_tabs_token(open_console, api):
    api.statistics = make_statistics(api)
    page = show_overview(open_console, api, clock=True)
    expect(tile(page, "Open offers").locator(".big")).to_have_text("12")
    share_token(open_console, page, "dana@example.com")
    refusals = refuse_once(api, "/statistics")
    wait_for_new_figures(page, api)
    assert refusals == []


def wait_for_new_figures(page: Page, api) -> None:
    """Change the statistics, and move the page's clock until the page shows the change."""
    api.statistics["hours"][23] = make_hour(api, 0, pending=15)
    for _ in range(60):
        page.clock.fast_forward(5_000)
        page.wait_for_timeout(50)
        if tile(page, "Open offers").locator(".big").inner_text() == "15":
            return
    pytest.fail("The page does not show the new statistics.")


def set_visibility(page: Page, value: str) -> None:
    page.evaluate(
        """value => {
          Object.defineProperty(document, "visibilityState", { value, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        value,
    )


def test_worker_neither_sees_nor_loads_the_overview(open_console, api):
    page = open_console()
    expect(page.locator(".live")).to_contain_text("Live")
    expect(page.get_by_role("link", name="Overview")).to_have_count(0)
    page.goto(f"{api.url}/console#/overview")
    page.reload()
    expect(page.locator(".live")).to_contain_text("Live")
    expect(page).to_have_title("Inbox, Agent console")
    page.keyboard.press("t")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert requests(api) == 0


def has_loaded_supervisor_script(page: Page) -> bool:
    names = page.evaluate("performance.getEntriesByType('resource').map(each => each.name)")
    return any(name.endswith("/supervisor.js") for name in names)


@pytest.mark.parametrize("role", ["worker", "supervisor", "service"])
def test_only_supervisors_and_services_load_the_supervisor_script(open_console, api, role):
    api.statistics = make_statistics(api)
    page = open_console(token(role))
    expect(page.locator(".live")).to_contain_text("Live")
    if role != "worker":
        page.keyboard.press("t")
        expect(page.get_by_role("dialog", name="Create a Task")).to_be_visible()
    assert has_loaded_supervisor_script(page) is (role != "worker")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_script_that_fails_to_load_is_reported_and_blocks_nothing_else(
    open_console, api, browser, scheme
):
    context = browser.new_context(color_scheme=scheme, locale="en-US", reduced_motion="reduce")
    context.route("**/supervisor.js", lambda route: route.abort())
    api.offer("Marta")
    page = open_console(token("supervisor"), context=context)
    expect(page.locator(".live")).to_contain_text("Live")
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("alert")).to_contain_text("This page could not be loaded")
    assert_no_accessibility_violations(page)
    page.keyboard.press("t")
    page.get_by_role("link", name="Inbox").first.click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Shortcuts")).to_be_visible()
    context.unroute("**/supervisor.js")
    api.statistics = make_statistics(api)
    page.goto(f"{api.url}/console#overview")
    page.reload()
    expect(tile(page, "Open offers")).to_be_visible()
    context.close()


@pytest.mark.parametrize("fragment", ["#overview", "#/overview"])
def test_reload_and_the_back_button_return_to_the_overview(open_console, api, fragment):
    api.statistics = make_statistics(api)
    page = open_console(token("supervisor"))
    expect(page.locator(".live")).to_contain_text("Live")
    page.goto(f"{api.url}/console{fragment}")
    expect(tile(page, "Open offers")).to_be_visible()
    page.reload()
    expect(tile(page, "Open offers")).to_be_visible()
    page.get_by_role("link", name="History").click()
    expect(page.locator("h1#history")).to_be_visible()
    page.go_back()
    expect(tile(page, "Open offers")).to_be_visible()
    expect(page.get_by_role("link", name="Overview", exact=True)).to_have_attribute(
        "aria-current", "page"
    )


def test_skip_link_leads_to_the_overview(open_console, api):
    api.statistics = make_statistics(api)
    page = show_overview(open_console, api)
    page.get_by_role("link", name="Skip to the overview").press("Enter")
    expect(page.locator("h1#overview")).to_be_focused()


# Layout and accessibility


@pytest.mark.parametrize("language", ["en-US", "es-ES"])
@pytest.mark.parametrize("width", [360, 768, 1280, 1920])
def test_nothing_is_cut_off_and_the_page_does_not_scroll_sideways(
    open_console, api, width, language
):
    api.statistics = make_statistics(api)
    api.statistics["workers_by_activity"][0]["activity_name"] = (
        "Wrapping-up-after-a-long-conversation"
    )
    api.statistics["sweeps"][1]["errors"] = {"StoreUnavailable": 3}
    page = open_console(
        token("supervisor"), viewport={"width": width, "height": 900}, locale=language
    )
    page.locator("nav a[href='#overview']").click()
    expect(page.locator(".tile")).to_have_count(6)
    page.locator("details.raw > summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = page.evaluate(
        """() => [...document.querySelectorAll("main *")]
          .filter(each => each.scrollWidth > each.clientWidth + 1 && each.clientWidth > 0
            && getComputedStyle(each).display !== "inline" && !each.closest("svg, .scroll, .vh"))
          .map(each => each.outerHTML.slice(0, 80))"""
    )
    assert cut == []


@pytest.mark.parametrize("width", [360, 1280])
def test_median_does_not_break_between_a_number_and_its_unit(open_console, api, width):
    api.statistics = make_statistics(api)
    api.statistics["acceptance"]["p50_ms"] = 61_000
    page = open_console(token("supervisor"), viewport={"width": width, "height": 900})
    page.locator("nav a[href='#overview']").click()
    median = page.locator(".tile", has_text="Median").locator(".big")
    expect(median).to_have_text(re.compile(r"^1\smin\s0?1\ss$"))
    lines = median.evaluate(
        """each => each.textContent.split(" ").map(unit => {
          const range = document.createRange();
          range.setStart(each.firstChild, each.textContent.indexOf(unit));
          range.setEnd(each.firstChild, each.textContent.indexOf(unit) + unit.length);
          return range.getClientRects().length;
        })"""
    )
    assert lines == [1, 1]


def figures(page, api):
    expect(page.locator(".tile")).to_have_count(6)
    page.locator("details.raw > summary").click()


def outdated(page, api):
    api.statistics = make_statistics(api, age=999, taskrouter_error="TaskRouterUnavailable")
    page.reload()
    expect(page.locator(".banner")).to_be_visible()


def new_stage(page, api):
    api.statistics = {**make_statistics(api), "updated_at": None}
    page.reload()
    expect(page.get_by_role("heading", name="No figures yet")).to_be_visible()


def failed(page, api):
    api.statistics = UNAVAILABLE
    page.reload()
    expect(page.get_by_role("alert")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", [figures, outdated, new_stage, failed])
def test_overview_has_no_accessibility_violations_in_any_state(open_console, api, state, scheme):
    api.statistics = make_statistics(api)
    api.offer()
    page = show_overview(open_console, api, color_scheme=scheme, reduced_motion="reduce")
    state(page, api)
    assert_no_accessibility_violations(page)
