"""Browser tests of the form that creates a Task, with a fake API."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import token
from tests.console.pages import (
    assert_no_accessibility_violations,
    make_statistics,
    row,
    show_overview,
)
from tests.console.vendor import CONSOLE

WORKFLOW = "WW" + "d" * 32
TASK = "WT" + "7" * 32

pytestmark = pytest.mark.slow


def respond_created(_path: str) -> Any:
    return 201, {"sid": TASK, "attributes": {}, "assignment_status": "pending"}, {}


def error_response(status: int, code: str, message: str = "It failed.", **headers: str) -> Any:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, {"Code": code, "Message": message}, names


def open_form(open_console, api, **options: Any) -> Page:
    api.statistics = make_statistics(api)
    page = show_overview(open_console, api, **options)
    page.get_by_role("button", name="Create Task", exact=True).click()
    expect(page.get_by_role("dialog", name="Create a Task")).to_be_visible()
    return page


def attributes(page: Page):
    return page.get_by_label("Attributes (JSON object)")


def send(page: Page, name: str = "Create Task") -> None:
    page.get_by_role("dialog").get_by_role("button", name=name).click()


def sent_tasks(api) -> list[dict[str, Any]]:
    return [
        body for method, path, body in api.received if (method, path) == ("POST", "/create-task")
    ]


def outcome(page: Page):
    return page.locator(".outcome")


# Success


def test_task_is_created_and_its_sid_is_shown_next_to_the_button(open_console, api):
    api.answers["/create-task"] = respond_created
    page = open_form(open_console, api)
    expect(attributes(page)).to_be_focused()
    expect(attributes(page)).to_have_value('{\n  "customer": "",\n  "topic": ""\n}')
    text = '{"customer": "Marta  \\"Ríos\\" ", "big": 12345678901234567890 }\n'
    attributes(page).fill(text)
    page.get_by_label("Workflow").fill(WORKFLOW)
    page.get_by_label("TaskChannel").fill(" voice ")
    page.get_by_label("Priority").fill("0")
    page.get_by_label("Timeout in seconds").fill("1209600")
    send(page)
    expect(outcome(page)).to_have_text(re.compile(f"Created {TASK}"))
    expect(outcome(page).get_by_role("button", name="Copy the SID: Task")).to_be_visible()
    assert sent_tasks(api) == [
        {
            "attributes": '{"customer":"Marta  \\"Ríos\\" ","big":12345678901234567890}',
            "workflow_sid": WORKFLOW,
            "task_channel": "voice",
            "priority": 0,
            "timeout": 1_209_600,
        }
    ]
    assert re.fullmatch(r"[0-9a-f]{32}", api.keys[-1])
    expect(attributes(page)).to_have_value(text)


def test_empty_fields_are_not_sent(open_console, api):
    api.answers["/create-task"] = respond_created
    page = open_form(open_console, api)
    attributes(page).fill("{}")
    send(page)
    expect(outcome(page)).to_contain_text(TASK)
    assert sent_tasks(api) == [{"attributes": "{}"}]


def test_double_click_creates_one_task_and_the_next_task_gets_a_new_key(open_console, api):
    api.answers["/create-task"] = respond_created
    page = open_form(open_console, api, clock=True)
    page.get_by_role("dialog").get_by_role("button", name="Create Task", exact=True).dblclick()
    expect(outcome(page)).to_contain_text(TASK)
    assert len(sent_tasks(api)) == 1
    # The time limit for a double-click does not depend on the computer's clock.
    page.clock.set_system_time(page.evaluate("Date.now()") / 1000 - 3_600)
    page.clock.fast_forward(2000)
    send(page, "Create another")
    expect(outcome(page)).to_contain_text(TASK)
    assert len(sent_tasks(api)) == 2
    assert len(set(api.keys)) == 2


def test_changed_task_is_created_even_within_the_time_for_a_double_click(open_console, api):
    api.answers["/create-task"] = respond_created
    page = open_form(open_console, api, clock=True)
    page.clock.pause_at(page.evaluate("Date.now()") + 1000)
    attributes(page).fill('{"number": 1}')
    send(page)
    expect(outcome(page)).to_contain_text(TASK)
    attributes(page).fill('{"number": 2}')
    send(page)
    expect(outcome(page)).to_contain_text(TASK)
    assert [body["attributes"] for body in sent_tasks(api)] == ['{"number":1}', '{"number":2}']


def test_shortcut_opens_the_form_and_is_in_the_list_of_shortcuts(open_console, api):
    page = open_console(token("supervisor"))
    expect(page.locator(".live")).to_contain_text("Live")
    expect(page.locator(".keys")).to_contain_text("Create Task")
    page.keyboard.press("t")
    expect(page.get_by_role("dialog", name="Create a Task")).to_be_visible()
    page.keyboard.type("t")
    expect(attributes(page)).to_have_value(re.compile("t"))
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_worker_sees_no_shortcut_for_creating_tasks(open_console, api):
    api.offer("Marta")
    page = open_console()
    expect(row(page, "Marta")).to_be_visible()
    expect(page.locator(".keys")).not_to_contain_text("Create Task")


def test_closing_the_form_returns_the_focus_to_the_button_and_keeps_the_input(open_console, api):
    page = open_form(open_console, api)
    attributes(page).fill('{"typed": 1}')
    page.get_by_label("Priority").fill("7")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Create Task", exact=True)).to_be_focused()
    page.reload()
    page.get_by_role("button", name="Create Task", exact=True).click()
    expect(attributes(page)).to_have_value('{"typed": 1}')
    expect(page.get_by_label("Priority")).to_have_value("7")


def test_workflows_of_open_offers_are_suggested(open_console, api):
    api.offer("Marta")
    page = open_form(open_console, api)
    option = page.locator("#workflows option")
    expect(option).to_have_attribute("value", WORKFLOW)
    expect(option).to_have_attribute("label", "Customer Care")


# Wrong input


def test_error_in_the_json_is_selected_and_the_input_is_kept(open_console, api):
    page = open_form(open_console, api)
    text = '{\n  "selected_language": "es",\n  "customer": "Marta Ríos"\n  "vip": true\n}'
    attributes(page).fill(text)
    send(page)
    note = page.locator("#task-attributes-note")
    expect(note).to_have_text(
        'Line 4: a comma is missing before "vip". '
        "Attributes must be one JSON object of at most 3,987 characters."
    )
    expect(attributes(page)).to_have_value(text)
    expect(attributes(page)).to_be_focused()
    expect(attributes(page)).to_have_attribute("aria-invalid", "true")
    expect(attributes(page)).to_have_attribute("aria-describedby", "task-attributes-note")
    assert attributes(page).evaluate("field => field.selectionStart") == text.index('"vip"')
    assert sent_tasks(api) == []
    attributes(page).fill(text.replace('Ríos"', 'Ríos",'))
    expect(note).to_have_count(0)


JSON_PROBLEMS = [
    ("", "jsonObject"),
    ("[]", "jsonObject"),
    ('"text"', "jsonObject"),
    ("null", "jsonObject"),
    ("x", "jsonObject"),
    ("{", "jsonUnclosed"),
    ('{"a": [1, 2}', "jsonUnclosed"),
    ('{"a": {"b": 1}', "jsonUnclosed"),
    ("{a: 1}", "jsonName"),
    ("{'a': 1}", "jsonName"),
    ("{1: 1}", "jsonName"),
    ("{,}", "jsonName"),
    ('{"a" 1}', "jsonColon"),
    ('{"a"}', "jsonColon"),
    ('{"a": 1 "b": 2}', "jsonComma"),
    ('{"a": [1 2]}', "jsonComma"),
    ('{"a": 1,}', "jsonExtraComma"),
    ('{"a": [1,]}', "jsonExtraComma"),
    ('{"a": }', "jsonValue"),
    ('{"a": 01}', "jsonValue"),
    ('{"a": .5}', "jsonValue"),
    ('{"a": 1.}', "jsonValue"),
    ('{"a": +1}', "jsonValue"),
    ('{"a": True}', "jsonValue"),
    ('{"a": NaN}', "jsonValue"),
    ('{"a": es}', "jsonValue"),
    ('{"a": [,1]}', "jsonValue"),
    ('{"a": "x}', "jsonString"),
    ('{"a": "\\x"}', "jsonString"),
    ('{"a": "\\u12"}', "jsonString"),
    ('{"a": "line\nbreak"}', "jsonString"),
    ('{"a": "tab\t"}', "jsonString"),
    ("{} {}", "jsonMore"),
    ("{} x", "jsonMore"),
    ('{"a": 1, "\\u0061": 2}', "jsonRepeated"),
    ('{"a": {"b": 1, "b": 2}}', "jsonRepeated"),
    ("{\u00a0}", "jsonName"),
]
JSON_OBJECTS = [
    "{}",
    " \t\r\n{ } \n",
    '{"a": [], "b": {}, "c": [[], {}], "d": [1, "x", null, true, false]}',
    '{"a": -0.5e+10, "b": 0, "c": 10, "d": 1E2}',
    '{"a": "\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9 é 😀"}',
    '{"a": {"b": 1}, "b": 1}',
    '{"a":1,"b":[{"a":1},{"a":1}]}',
    '{"__proto__": 1, "constructor": 2}',
    "".join(["{", '"a": ', "[" * 500, "]" * 500, "}"]),
]


@pytest.fixture
def problem_in(browser):
    """A function that returns the first error that the console finds in a JSON string."""
    page = browser.new_page()
    code = (CONSOLE / "json_problem.js").read_text(encoding="utf-8").replace("export ", "")
    yield lambda text: page.evaluate(f"text => {{ {code}; return findJsonProblem(text); }}", text)
    page.close()


def test_first_error_in_a_json_string_is_found_with_its_line(problem_in):
    for text, key in JSON_PROBLEMS:
        found = problem_in(text)
        assert found, text
        assert (text, found["key"]) == (text, key)
        assert found["line"] == text[: found["at"]].count("\n") + 1
        if (
            key not in ("jsonObject", "jsonRepeated", "jsonString", "jsonExtraComma")
            and "NaN" not in text
        ):
            with pytest.raises(json.JSONDecodeError):
                json.loads(text)


def test_valid_json_objects_have_no_errors(problem_in):
    for text in JSON_OBJECTS:
        json.loads(text)
        assert problem_in(text) is None, text


@pytest.mark.parametrize(
    ("label", "value", "words"),
    [
        (
            "Priority",
            "-1",
            "Enter a whole number from 0 to 2,147,483,647, or leave the field empty.",
        ),
        ("Priority", "2147483648", "Enter a whole number"),
        ("Priority", "1.5", "Enter a whole number"),
        ("Priority", "high", "Enter a whole number"),
        (
            "Timeout in seconds",
            "0",
            "Enter a whole number from 1 to 1,209,600, or leave the field empty.",
        ),
        ("Timeout in seconds", "1209601", "Enter a whole number"),
        (
            "Workflow",
            "Sales",
            "Enter a Workflow SID (WW and 32 characters), or leave the field empty.",
        ),
    ],
)
def test_invalid_field_keeps_its_input_and_gets_the_focus(open_console, api, label, value, words):
    page = open_form(open_console, api)
    attributes(page).fill("{}")
    field = page.get_by_label(label)
    field.fill(value)
    send(page)
    expect(page.get_by_role("dialog")).to_contain_text(words)
    expect(field).to_have_value(value)
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    assert sent_tasks(api) == []


def test_limit_of_3987_characters_excludes_whitespace_between_values(open_console, api):
    api.answers["/create-task"] = respond_created
    page = open_form(open_console, api)
    attributes(page).fill('{"a": "' + "😀" * 3980 + '"}')
    send(page)
    expect(page.locator("#task-attributes-note")).to_have_text(
        "The attributes have 3,988 characters, not counting spaces between values. "
        "The maximum is 3,987."
    )
    assert sent_tasks(api) == []
    attributes(page).fill('{\n  "a": "' + "😀" * 3979 + '"\n}' + " " * 200)
    send(page)
    expect(outcome(page)).to_contain_text(TASK)
    assert sent_tasks(api) == [{"attributes": '{"a":"' + "😀" * 3979 + '"}'}]


def test_length_error_that_only_the_service_detects_is_explained_in_spanish(open_console, api):
    message = (
        "The attributes have 4097 characters, including idempotency_key and idempotency_marker. "
        "The maximum is 4096."
    )
    api.answers["/create-task"] = error_response(400, "BadRequestError", message)
    api.statistics = make_statistics(api)
    page = open_console(token("supervisor"), locale="es-ES")
    page.get_by_role("link", name="Resumen").click()
    page.get_by_role("button", name="Crear tarea").click()
    send(page, "Crear tarea")
    expect(outcome(page)).to_have_text(
        "Los atributos tienen 3988 caracteres sin los espacios entre valores. El máximo es 3987."
    )


# Refused requests and unknown outcomes


def test_error_message_from_the_service_is_shown_as_text(open_console, api):
    hostile = "<b>Unknown</b> TaskChannel."
    api.answers["/create-task"] = error_response(400, "TaskRouterRefused", hostile)
    page = open_form(open_console, api)
    send(page)
    expect(outcome(page)).to_contain_text(f"The service answered: {hostile}")
    expect(
        page.get_by_role("dialog").get_by_role("button", name="Create Task", exact=True)
    ).to_be_enabled()


@pytest.mark.parametrize(
    "answer",
    [
        error_response(503, "TaskRouterNotSent", Retry_After="7"),
        error_response(503, "TaskRouterThrottled", Retry_After="7"),
        error_response(429, "TooManyRequests", Retry_After="7"),
    ],
)
def test_page_says_that_no_task_was_created_if_a_request_had_no_effect(open_console, api, answer):
    api.answers["/create-task"] = answer
    page = open_form(open_console, api)
    send(page)
    expect(outcome(page)).to_have_text("No Task was created. Try again in 7 s.")


def test_page_says_to_look_in_taskrouter_for_a_task_that_the_service_cannot_identify(
    open_console, api
):
    api.answers["/create-task"] = error_response(409, "TaskUnidentified")
    page = open_form(open_console, api)
    send(page)
    expect(outcome(page)).to_contain_text("Look for it in TaskRouter")


@pytest.mark.parametrize("kind", ["lost", "unknown", "gateway"])
def test_retry_after_an_unknown_outcome_uses_the_same_key(open_console, api, kind):
    api.answers["/create-task"] = (
        error_response(503, "OutcomeUnknown", Retry_After="1")
        if kind == "unknown"
        else (504, None, {})
    )
    page = open_form(open_console, api)
    if kind == "lost":
        page.route("**/create-task", lambda route: (api.keys.append(key_of(route)), route.abort()))
    attributes(page).fill('{"a": 1}')
    send(page)
    expect(outcome(page)).to_contain_text("The Task may have been created.")
    page.unroute("**/create-task")
    page.reload()
    page.get_by_role("button", name="Create Task", exact=True).click()
    api.answers["/create-task"] = respond_created
    send(page, "Send again")
    expect(outcome(page)).to_contain_text(TASK)
    first, second = api.keys
    assert first == second


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (error_response(429, "TooManyRequests", Retry_After="7"), "Try again in 7 s."),
        (error_response(503, "TaskRouterNotSent", Retry_After="7"), "Try again in 7 s."),
        (error_response(403, "ForbiddenError"), "The service answered: It failed."),
        ((413, None, {}), "The service answered: HTTP 413"),
    ],
)
def test_outcome_of_the_first_request_stays_unknown_after_a_refused_retry(
    open_console, api, refusal, reason
):
    api.answers["/create-task"] = (504, None, {})
    page = open_form(open_console, api)
    send(page)
    expect(outcome(page)).to_contain_text("The Task may have been created.")
    api.answers["/create-task"] = refusal
    send(page, "Send again")
    expect(outcome(page)).to_have_text(
        f"It is not yet known whether the Task was created. {reason}"
    )
    api.answers["/create-task"] = respond_created
    send(page, "Send again")
    expect(outcome(page)).to_contain_text(TASK)
    assert len(api.keys) == 3
    assert len(set(api.keys)) == 1
    assert page.evaluate("JSON.parse(sessionStorage['console.drafts']).taskSent") is None


def test_next_request_after_an_unidentified_task_gets_a_new_key(open_console, api):
    api.answers["/create-task"] = (504, None, {})
    page = open_form(open_console, api)
    send(page)
    expect(outcome(page)).to_contain_text("The Task may have been created.")
    api.answers["/create-task"] = error_response(409, "TaskUnidentified")
    send(page, "Send again")
    expect(outcome(page)).to_have_text(re.compile("^The service cannot tell which Task"))
    api.answers["/create-task"] = respond_created
    send(page)
    expect(outcome(page)).to_contain_text(TASK)
    assert api.keys[0] == api.keys[1] != api.keys[2]


def key_of(route: Any) -> str:
    return route.request.headers["idempotency-key"]


def test_task_changed_after_an_unknown_outcome_gets_a_new_key(open_console, api):
    api.answers["/create-task"] = (504, None, {})
    page = open_form(open_console, api)
    attributes(page).fill('{"a": 1}')
    send(page)
    expect(outcome(page)).to_contain_text("The Task may have been created.")
    attributes(page).fill('{"a": 2}')
    expect(outcome(page)).to_contain_text(
        "You have changed the form since, so this is a different Task."
    )
    attributes(page).fill('{"a": 1}')
    expect(page.get_by_role("button", name="Send again", exact=True)).to_be_visible()
    attributes(page).fill('{"a": 2}')
    api.answers["/create-task"] = respond_created
    send(page)
    expect(outcome(page)).to_contain_text(TASK)
    assert len(set(api.keys)) == 2


def test_user_is_warned_before_a_new_key_replaces_a_key_that_is_a_day_old(open_console, api):
    api.answers["/create-task"] = (504, None, {})
    page = open_form(open_console, api, clock=True)
    send(page)
    expect(outcome(page)).to_contain_text("The Task may have been created.")
    api.answers["/create-task"] = respond_created
    # The page stores its drafts when the user leaves it, and reads them when it loads. This script
    # changes the stored drafts before the page reads them.
    page.add_init_script(
        """
        const drafts = JSON.parse(sessionStorage["console.drafts"]);
        drafts.taskSent.at -= 86_400_001;
        sessionStorage["console.drafts"] = JSON.stringify(drafts);
        """
    )
    page.reload()
    page.get_by_role("button", name="Create Task", exact=True).click()
    send(page)
    expect(outcome(page)).to_contain_text("still unknown after 24 hours")
    assert len(api.keys) == 1
    send(page)
    expect(outcome(page)).to_contain_text(TASK)
    assert len(set(api.keys)) == 2


# Accessibility


def empty(page, api):
    pass


def wrong(page, api):
    attributes(page).fill("{")
    page.get_by_label("Priority").fill("x")
    send(page)
    expect(page.locator("dialog .wrong")).to_have_count(2)


def successful(page, api):
    api.answers["/create-task"] = respond_created
    send(page)
    expect(outcome(page)).to_contain_text(TASK)


def unknown(page, api):
    api.answers["/create-task"] = (504, None, {})
    send(page)
    expect(outcome(page)).to_contain_text("The Task may have been created.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", [empty, wrong, successful, unknown])
def test_form_has_no_accessibility_violations_in_any_state(open_console, api, state, scheme):
    page = open_form(open_console, api, color_scheme=scheme, reduced_motion="reduce")
    state(page, api)
    assert_no_accessibility_violations(page)


@pytest.mark.parametrize("width", [360, 1280])
def test_task_sid_is_not_cut_off(open_console, api, width):
    page = open_form(open_console, api, viewport={"width": width, "height": 700})
    successful(page, api)
    box = outcome(page).locator(".mono").bounding_box()
    dialog = page.get_by_role("dialog").bounding_box()
    assert box["x"] + box["width"] <= dialog["x"] + dialog["width"]
    scroll = page.get_by_role("dialog").evaluate("each => [each.scrollWidth, each.clientWidth]")
    assert scroll[0] <= scroll[1]
