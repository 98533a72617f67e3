"""Browser tests of the CSV file that History exports, with a fake API."""

import csv
import io
import json
import re
import time
from itertools import product

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import ALICE, token
from tests.console.pages import choose, ended_rows, hold_lists, lists, open_history

pytestmark = pytest.mark.slow

FULL_WIDTH = "＝＋－＠"  # noqa: RUF001  some spreadsheets treat these like = + - @
HOSTILE = [
    *("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("https://x.example","y")'),
    *(f"{sign}1" for sign in FULL_WIDTH),
    *("\n=1", "\r\n=1", " =1", "  @SUM(A1)", " \t+1", "\u00a0-1", "\u3000=1", "\0=1"),
    *("\u200b=1", "\ufeff\u2060+1", "\x01=1", " \u200d@SUM(A1)"),
]
FORMULA = re.compile(rf'[\s"\x00-\x1f\u200b-\u200f\u2060\ufeff]*[=+\-@{FULL_WIDTH}]|[\t\r\n\0]')
"""Matches the beginning of a cell that a spreadsheet may interpret as a formula."""


def export(page: Page) -> str:
    """Export the list; return the contents of the file, without the byte order mark."""
    with page.expect_download(timeout=180_000) as download:
        page.get_by_role("button", name="Export CSV", exact=True).click()
    assert re.fullmatch(
        r"reservations-\d{4}-\d\d-\d\dT\d{6}Z\.csv", download.value.suggested_filename
    )
    contents = download.value.path().read_bytes()
    assert contents.startswith(b"\xef\xbb\xbf")
    return contents.decode("utf-8-sig")


def parse(contents: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(contents, newline=""), strict=True))


def open_as_supervisor(open_console) -> Page:
    page = open_console(token("supervisor"))
    open_history(page)
    return page


def test_file_contains_the_listed_rows_in_order_and_includes_names(open_console, api):
    first = api.add_past_reservation("Marta Ríos", "completed", 300)
    second = api.add_past_reservation("Ana", "timeout", 600)
    page = open_as_supervisor(open_console)
    rows = parse(export(page))
    assert [row["reservation_sid"] for row in rows] == [first, second]
    record = api.records[first]
    attributes = rows[0].pop("task_attributes")
    assert json.loads(attributes) == record["task_attributes"]
    assert rows[0] == {
        "title": "Marta Ríos: charged twice",
        **{name: record[name] for name in ("reservation_sid", "task_sid", "worker_sid")},
        "worker_name": "Alice",
        "workflow_sid": record["workflow_sid"],
        "workflow_name": "Customer Care",
        "task_queue_sid": record["task_queue_sid"],
        "task_queue_name": "Billing",
        "task_channel_name": "",
        "status": "completed",
        "reserved_at": record["reserved_at"],
        "expires_at": record["expires_at"],
        "accepted_by": f"worker:{ALICE}",
        "instruction": "",
        "accepted_at": "",
        "ended_at": record["history"][-1]["at"],
        "ended_by": f"worker:{ALICE}",
    }
    assert rows[1]["ended_by"] == "event"
    expect(page.get_by_text("2 exported")).to_be_visible()


@pytest.mark.parametrize("status", ["pending", "accepted", "wrapping"])
def test_end_columns_are_empty_until_the_reservation_ends(open_console, api, status):
    reservation_sid = api.add_past_reservation(status="accepted")
    record = api.records[reservation_sid]
    entry = record["history"][-1]
    record["status"] = status
    record["history"] += [{**entry, "to": "wrapping", "at": "2026-11-27T10:00:00.000Z"}]
    (row,) = parse(export(open_as_supervisor(open_console)))
    assert (row["accepted_at"], row["ended_at"], row["ended_by"]) == (entry["at"], "", "")


def test_acceptance_and_end_have_separate_times(open_console, api):
    record = api.records[api.add_past_reservation(status="accepted")]
    accepted = record["history"][-1]
    ended_at = "2026-11-27T10:00:00.000Z"
    record["status"] = "canceled"
    record["history"] += [{**accepted, "to": "canceled", "at": ended_at, "by": "event"}]
    (row,) = parse(export(open_as_supervisor(open_console)))
    assert row["accepted_at"] == accepted["at"]
    assert (row["ended_at"], row["ended_by"]) == (ended_at, "event")


def test_lines_end_with_crlf_and_all_fields_are_quoted(open_console, api):
    api.add_past_reservation('a "quoted", text', worker_name="two\r\nlines")
    contents = export(open_as_supervisor(open_console))
    assert contents.endswith('"\r\n')
    assert contents.count("\r\n") == 3
    (row,) = parse(contents)
    assert row["title"] == 'a "quoted", text: charged twice'
    assert row["worker_name"] == "two\r\nlines"
    unquoted = re.sub(r'"(?:[^"]|"")*"', "", contents)
    assert set(unquoted) == {",", "\r", "\n"}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_cell_begins_with_a_formula(open_console, api, hostile):
    names = ("worker_name", "workflow_name", "task_queue_name", "task_channel_name")
    properties = dict.fromkeys(names, hostile)
    api.add_past_reservation(
        "", task_attributes={hostile: hostile, "customer": hostile}, **properties
    )
    (row,) = parse(export(open_as_supervisor(open_console)))
    assert row["worker_name"].replace("'", "") == hostile
    assert json.loads(row["task_attributes"])["customer"] == hostile
    for cell in row.values():
        assert not FORMULA.match(cell)
    assert row["title"].startswith("'")


def test_no_cell_begins_with_a_formula_if_the_separator_is_a_semicolon(open_console, api):
    formulas = ["=1+1", "@SUM(A1);", "\t=1", "-1", " =1", f' "{FULL_WIDTH}']
    hostile = [
        "".join(parts)
        for begin in ("", "a;", "a\r", "a\n", "a\r\n")
        for between in ("", '"', '""', "\r", "\n", '";', ';"', '"\r')
        for parts in product([begin], [between], formulas)
    ]
    for name in hostile:
        api.add_past_reservation("", task_attributes={"customer": name}, worker_name=name)
    page = open_as_supervisor(open_console)
    contents = io.StringIO(export(page), newline="")
    cells = [cell for row in csv.reader(contents, delimiter=";") for cell in row]
    assert len(cells) > len(hostile)
    assert [cell for cell in cells if FORMULA.match(cell)] == []


def test_long_runs_of_whitespace_and_punctuation_are_exported_quickly(open_console, api):
    for space in (" ", "\n", '"', "; ", '\n "'):
        api.add_past_reservation("", worker_name=(space * 4_000) + "x")
    page = open_as_supervisor(open_console)
    started = time.monotonic()
    assert len(parse(export(page))) == 5
    assert time.monotonic() - started < 10


def test_cell_that_does_not_begin_with_a_formula_gets_no_apostrophe(open_console, api):
    name = "a-b=c+d@e; f-1, =g"
    api.add_past_reservation("", worker_name=name)
    (row,) = parse(export(open_as_supervisor(open_console)))
    assert row["worker_name"] == name
    assert not any(cell.startswith("'") for cell in row.values())


def test_only_rows_that_match_the_status_time_and_filter_are_exported(open_console, api):
    api.add_past_reservation("Marta", "timeout")
    api.add_past_reservation("Ana", "timeout")
    api.add_past_reservation("Marta", "completed")
    api.add_past_reservation("Marta", "timeout", 90_000)
    page = open_as_supervisor(open_console)
    choose(page, "Status", "timeout")
    page.locator("#filter").fill("marta")
    expect(ended_rows(page)).to_have_count(1)
    (row,) = parse(export(page))
    assert (row["title"], row["status"]) == ("Marta: charged twice", "timeout")


def test_export_requests_all_pages_with_the_same_start_time_as_the_list(open_console, api):
    for number in range(130):
        api.add_past_reservation(f"Customer {number}", ago=300 + number)
    page = open_as_supervisor(open_console)
    expect(ended_rows(page)).to_have_count(50)
    rows = parse(export(page))
    assert [row["title"].split(":")[0] for row in rows] == [f"Customer {n}" for n in range(130)]
    first, *exported = lists(api)
    assert [path.replace("limit=100", "limit=50") for path in exported] == [
        first + cursor for cursor in ("", "&cursor=50", "&cursor=100")
    ]
    expect(ended_rows(page)).to_have_count(50)


def test_limit_of_an_export_is_reported(open_console, api):
    for number in range(120):
        api.add_past_reservation(f"Customer {number}", ago=300 + number)
    record = api.past[-1]
    more = [{**record, "reservation_sid": f"WRf{number:031x}"} for number in range(9_950)]
    api.past.extend(more)
    api.page_size = 100
    page = open_as_supervisor(open_console)
    assert len(parse(export(page))) == 10_000
    expect(page.get_by_text("Exported the newest 10,000, the limit")).to_be_visible()


def test_progress_is_shown_and_the_export_can_be_canceled(open_console, api):
    for number in range(90):
        api.add_past_reservation(f"Customer {number}", ago=300 + number)
    page = open_as_supervisor(open_console)
    expect(ended_rows(page)).to_have_count(50)
    original = api._list
    released = hold_lists(api)
    downloads = []
    page.on("download", lambda _download: downloads.append(1))
    page.get_by_role("button", name="Export CSV", exact=True).click()
    expect(page.get_by_text("0 loaded")).to_be_visible()
    page.get_by_role("button", name="Cancel the export", exact=True).press("Enter")
    expect(page.get_by_role("button", name="Export CSV", exact=True)).to_be_focused()
    released.set()
    api._list = original
    page.get_by_role("button", name="Refresh", exact=True).click()
    expect(ended_rows(page)).to_have_count(50)
    assert downloads == []


def choose_status(page: Page) -> None:
    choose(page, "Status", "timeout")


def choose_time(page: Page) -> None:
    choose(page, "Time", "hour")


def refresh(page: Page) -> None:
    page.get_by_role("button", name="Refresh", exact=True).click()


@pytest.mark.parametrize("change", [choose_status, choose_time, refresh])
def test_change_to_the_list_does_not_affect_a_running_export(open_console, api, change):
    for number in range(130):
        status = "timeout" if number % 2 else "completed"
        api.add_past_reservation(status=status, ago=300 + 60 * number)
    page = open_as_supervisor(open_console)
    expect(ended_rows(page)).to_have_count(50)
    api.received.clear()
    released = hold_lists(api)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV", exact=True).click()
        expect(page.get_by_text("0 loaded")).to_be_visible()
        change(page)
        released.set()
    rows = parse(download.value.path().read_text("utf-8-sig"))
    assert [row["reservation_sid"] for row in rows] == [
        each["reservation_sid"] for each in api.past
    ]
    exported = [path for path in lists(api) if "limit=100" in path]
    assert len({re.sub("&cursor=.*", "", path) for path in exported}) == 1


@pytest.mark.parametrize("place", ["this tab", "another tab"])
def test_export_continues_after_a_new_sign_in(open_console, api, place):
    first, second = (token("supervisor", name=name) for name in ("first", "second"))
    for number in range(130):
        api.add_past_reservation(ago=300 + number)
    page = open_console(first)
    open_history(page)
    expect(ended_rows(page)).to_have_count(50)
    original = api._list

    def expire(parameters):
        if "cursor" in parameters and not api.refused:
            api.refused.add(first)
            return 401, {"Code": "UnauthorizedError", "Message": "The token has expired."}, {}
        return original(parameters)

    if place == "another tab":
        other = open_console(second, context=page.context)
        expect(other.locator(".live")).to_contain_text("Live")
    api._list = expire
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV", exact=True).click()
        if place == "this tab":
            expect(page.locator(".banner", has_text="Your session expired at")).to_be_visible()
            page.goto(f"{api.url}/console#token={second}")
    rows = parse(download.value.path().read_text("utf-8-sig"))
    assert [row["reservation_sid"] for row in rows] == [
        each["reservation_sid"] for each in api.past
    ]


def test_throttled_export_request_is_retried(open_console, api):
    api.add_past_reservation("Marta")
    page = open_as_supervisor(open_console)
    expect(ended_rows(page)).to_have_count(1)
    original = api._list
    answers = iter([(429, {"Message": "Too many."}, {"Retry-After": "1"})])
    api._list = lambda parameters: next(answers, None) or original(parameters)
    assert len(parse(export(page))) == 1


def test_failed_export_is_explained_and_saves_no_file(open_console, api):
    api.add_past_reservation("Marta")
    page = open_as_supervisor(open_console)
    expect(ended_rows(page)).to_have_count(1)
    api._list = lambda _parameters: (400, {"Code": "BadRequestError", "Message": "Bad."}, {})
    downloads = []
    page.on("download", lambda _download: downloads.append(1))
    page.get_by_role("button", name="Export CSV", exact=True).click()
    expect(page.get_by_text("Nothing exported. The service answered: Bad.")).to_be_visible()
    assert downloads == []


def test_double_click_exports_once(open_console, api):
    api.add_past_reservation()
    page = open_as_supervisor(open_console)
    expect(ended_rows(page)).to_have_count(1)
    released = hold_lists(api)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV", exact=True).dblclick()
        expect(page.get_by_text("0 loaded")).to_be_visible()
        released.set()
    assert download.value
    expect(page.get_by_text("1 exported")).to_be_visible()


def test_outcome_of_an_export_disappears_with_the_list_that_was_exported(open_console, api):
    api.add_past_reservation()
    page = open_as_supervisor(open_console)
    export(page)
    expect(page.get_by_text("1 exported")).to_be_visible()
    page.get_by_role("button", name="Refresh", exact=True).click()
    expect(page.get_by_text("1 exported")).to_have_count(0)


def test_worker_cannot_export(open_console, api):
    api.add_past_reservation("Marta")
    page = open_console()
    open_history(page)
    expect(ended_rows(page)).to_have_count(1)
    expect(page.get_by_role("button", name="Export CSV", exact=True)).to_have_count(0)


def test_long_integers_keep_their_digits(open_console, api):
    account = 12345678901234567890
    api.add_past_reservation(task_attributes={"customer": account})
    [row] = parse(export(open_as_supervisor(open_console)))
    assert row["title"] == str(account)
    assert json.loads(row["task_attributes"]) == {"customer": account}
