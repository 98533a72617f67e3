"""The worked examples of docs/rules.md work."""

import html
import json
import re
import tomllib
from pathlib import Path

import pytest

from chalicelib.domain.callbacks import AssignmentCallback
from chalicelib.domain.instructions import INSTRUCTION_TYPES, Defer
from chalicelib.domain.rules import FACTS, InvalidRules, Rules, parse_rules

TEXT = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
CODE = r"``(.+?) ?``|<code>(.+?)</code>|`(.+?)`"
WA = "WA" + "0" * 32
CALL = {"call_sid": "CA" + "1" * 32, "from": "+15550001111", "to": "+15556667777"}
ALICE = {"contact_uri": "client:alice", "skills": ["gold"]}
DEQUEUE = {
    "instruction": "dequeue",
    "from": "+15556667777",
    "post_work_activity_sid": WA,
    "timeout": 20,
}
CONFERENCE = {
    "instruction": "conference",
    "to": "client:alice",
    "from": "+15556667777",
    "timeout": 20,
    "conference_record": "record-from-start",
    "conference_recording_status_callback": "https://example.com/recordings",
    "end_conference_on_exit": True,
    "end_conference_on_customer_exit": True,
    "post_work_activity_sid": WA,
}
ACCEPT = {"instruction": "accept"}
REJECT = {"instruction": "reject", "activity_sid": WA}

# The example's heading, the Task's attributes, the Worker's, the Task's priority; the answer.
CASES = [
    ("Rules", {**CALL, "language": "es"}, ALICE, 0, {**DEQUEUE, "post_work_activity_sid": None}),
    ("Rules", {"call_sid": "CA1", "language": "es"}, ALICE, 0, {}),
    ("Rules", CALL, ALICE, 0, {}),
    ("Accept everything", {"selected_language": "es"}, {}, 0, ACCEPT),
    ("Calls by dequeue, with time for notes", CALL, {}, 0, DEQUEUE),
    ("Calls by dequeue, with time for notes", {"selected_language": "es"}, ALICE, 0, {}),
    ("Calls by conference, recorded", CALL, ALICE, 0, CONFERENCE),
    ("Calls by conference, recorded", CALL, {}, 0, {}),
    ("Calls by conference, recorded", {"type": "chat"}, ALICE, 0, {}),
    ("Workers who lack a skill", {"skill": "silver"}, ALICE, 0, REJECT),
    ("Workers who lack a skill", {"skill": "silver"}, {}, 0, REJECT),
    ("Workers who lack a skill", {"skill": "gold"}, ALICE, 0, {}),
    ("Workers who lack a skill", {}, {}, 0, {}),
    ("VIPs at once, the rest by the console", {"vip": True}, {}, 0, ACCEPT),
    ("VIPs at once, the rest by the console", {"vip": "true"}, {}, 0, {}),
    ("VIPs at once, the rest by the console", {}, {}, 10, ACCEPT),
    ("VIPs at once, the rest by the console", {}, {}, 9, {}),
    ("All of it", {**CALL, "skill": "silver", "vip": True}, ALICE, 0, REJECT),
    ("All of it", CALL, ALICE, 0, {"instruction": "conference", "from": "+15556667777"}),
    ("All of it", {**CALL, "vip": True}, {}, 0, ACCEPT),
    ("All of it", {}, ALICE, 0, {}),
]


def examples() -> dict[str, str]:
    """The TOML blocks, by the headings above them."""
    sections = re.split(r"^#+ (.+)$", TEXT, flags=re.MULTILINE)[1:]
    found = {}
    for heading, text in zip(sections[::2], sections[1::2], strict=True):
        blocks = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        assert len(blocks) <= 1
        found.update((heading, block) for block in blocks)
    return found


@pytest.mark.parametrize(("heading", "task", "worker", "priority", "answer"), CASES)
def test_the_examples_answer_what_they_say(heading, task, worker, priority, answer) -> None:
    rules = Rules(parse_rules(tomllib.loads(examples()[heading])), otherwise=Defer())
    callback = AssignmentCallback(
        reservation_sid="WR" + "0" * 32,
        task_sid="WT" + "0" * 32,
        worker_sid="WK" + "0" * 32,
        workflow_sid=None,
        task_queue_sid=None,
        task_attributes=json.dumps(task),
        worker_attributes=json.dumps(worker),
        parameters={"TaskPriority": str(priority)},
    )
    expected = {name: value for name, value in answer.items() if value is not None}
    assert rules.decide(callback).instruction.answer == expected


def test_no_example_is_left_out() -> None:
    assert examples().keys() == {case[0] for case in CASES}


MISTAKES = [
    [
        html.unescape(code)
        for codes in re.findall(CODE, f"{write}{instead}")
        for code in codes
        if code
    ]
    for write, instead in re.findall(
        r"^\| (.+?) \| (.+?) \|.*\|$",
        TEXT.partition("| write | not | because |\n|---|---|---|\n")[2].partition("\n\n")[0],
        re.MULTILINE,
    )
]


@pytest.mark.parametrize(("write", "instead"), MISTAKES)
def test_what_is_to_be_written_is_good_and_what_is_not_is_refused(write, instead) -> None:
    rule = {"name": "one", "instruction": "accept"}
    assert parse_rules({"rule": [{**rule, "when": write}]})
    with pytest.raises(InvalidRules):
        parse_rules({"rule": [{**rule, "when": instead}]})


def test_there_are_mistakes() -> None:
    assert len(MISTAKES) == 9


def test_every_fact_is_described() -> None:
    section = TEXT.partition("## Conditions")[2].partition("JMESPath takes")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(FACTS)


def row(name, one) -> str:
    default = str(one.default).lower() if isinstance(one.default, bool) else one.default
    without = "**required**" if one.required else "" if default is None else str(default)
    return f"| `{name}` | {one.kind.must_be} | {without} |".replace("|  |", "| |")


def test_every_parameter_is_described_as_it_is() -> None:
    tables = re.split(r"^### ", TEXT.partition("## Every instruction")[2], flags=re.MULTILINE)[1:]
    described = {
        table.partition("\n")[0]: re.findall(r"^\| `.*$", table, re.MULTILINE) for table in tables
    }
    assert described == {
        kind.name: [row(name, one) for name, one in kind.parameters().items()]
        for kind in INSTRUCTION_TYPES.values()
        if kind.parameters()
    }
