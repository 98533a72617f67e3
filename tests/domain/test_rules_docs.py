"""The examples and tables in docs/rules.md match the code."""

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

# Each case: heading of the example, Task attributes, Worker attributes, Task priority, answer.
# A parameter that is None is absent from the answer.
CASES = [
    ("Rules", {**CALL, "language": "es"}, ALICE, 0, {**DEQUEUE, "post_work_activity_sid": None}),
    ("Rules", {"call_sid": "CA1", "language": "es"}, ALICE, 0, {}),
    ("Rules", CALL, ALICE, 0, {}),
    ("Accept everything", {"selected_language": "es"}, {}, 0, ACCEPT),
    ("Dequeue calls and set an after-call Activity", CALL, {}, 0, DEQUEUE),
    ("Dequeue calls and set an after-call Activity", {"selected_language": "es"}, ALICE, 0, {}),
    ("Connect calls in a recorded conference", CALL, ALICE, 0, CONFERENCE),
    ("Connect calls in a recorded conference", CALL, {}, 0, {}),
    ("Connect calls in a recorded conference", {"type": "chat"}, ALICE, 0, {}),
    ("Reject Reservations of Workers who lack a skill", {"skill": "silver"}, ALICE, 0, REJECT),
    ("Reject Reservations of Workers who lack a skill", {"skill": "silver"}, {}, 0, REJECT),
    ("Reject Reservations of Workers who lack a skill", {"skill": "gold"}, ALICE, 0, {}),
    ("Reject Reservations of Workers who lack a skill", {}, {}, 0, {}),
    ("Accept VIPs at once and defer other Tasks", {"vip": True}, {}, 0, ACCEPT),
    ("Accept VIPs at once and defer other Tasks", {"vip": "true"}, {}, 0, {}),
    ("Accept VIPs at once and defer other Tasks", {}, {}, 10, ACCEPT),
    ("Accept VIPs at once and defer other Tasks", {}, {}, 9, {}),
    ("Combine rules", {**CALL, "skill": "silver", "vip": True}, ALICE, 0, REJECT),
    ("Combine rules", CALL, ALICE, 0, {"instruction": "conference", "from": "+15556667777"}),
    ("Combine rules", {**CALL, "vip": True}, {}, 0, ACCEPT),
    ("Combine rules", {}, ALICE, 0, {}),
]


def examples() -> dict[str, str]:
    """Return the TOML examples by heading."""
    sections = re.split(r"^#+ (.+)$", TEXT, flags=re.MULTILINE)[1:]
    blocks_by_heading = {}
    for heading, text in zip(sections[::2], sections[1::2], strict=True):
        blocks = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        assert len(blocks) <= 1
        blocks_by_heading.update((heading, block) for block in blocks)
    return blocks_by_heading


@pytest.mark.parametrize(("heading", "task", "worker", "priority", "answer"), CASES)
def test_documented_example_produces_the_expected_answer(
    heading, task, worker, priority, answer
) -> None:
    rules = Rules(parse_rules(tomllib.loads(examples()[heading])), default=Defer())
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


def test_every_documented_example_has_a_case() -> None:
    assert examples().keys() == {case[0] for case in CASES}


MISTAKES = [
    [
        html.unescape(code)
        for codes in re.findall(CODE, f"{correction}{mistake}")
        for code in codes
        if code
    ]
    for correction, mistake in re.findall(
        r"^\| (.+?) \| (.+?) \|.*\|$",
        TEXT.partition("| write | not | because |\n|---|---|---|\n")[2].partition("\n\n")[0],
        re.MULTILINE,
    )
]


@pytest.mark.parametrize(("correction", "mistake"), MISTAKES)
def test_documented_mistake_is_rejected_and_its_correction_is_valid(correction, mistake) -> None:
    rule = {"name": "a rule", "instruction": "accept"}
    assert parse_rules({"rule": [{**rule, "when": correction}]})
    with pytest.raises(InvalidRules):
        parse_rules({"rule": [{**rule, "when": mistake}]})


def test_documentation_lists_nine_mistakes() -> None:
    assert len(MISTAKES) == 9


def test_every_fact_is_documented() -> None:
    section = TEXT.partition("## Conditions")[2].partition("JMESPath takes")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(FACTS)


def table_row(name, parameter) -> str:
    default = parameter.default
    if parameter.required:
        default = "**required**"
    elif isinstance(default, bool):
        default = str(default).lower()
    elif default is None:
        default = ""
    return f"| `{name}` | {parameter.value_type.description} | {default} |".replace("|  |", "| |")


def test_documented_parameters_match_their_definitions() -> None:
    tables = re.split(r"^### ", TEXT.partition("## Every instruction")[2], flags=re.MULTILINE)[1:]
    documented = {
        table.partition("\n")[0]: re.findall(r"^\| `.*$", table, re.MULTILINE) for table in tables
    }
    assert documented == {
        instruction_type.name: [
            table_row(name, parameter) for name, parameter in instruction_type.parameters().items()
        ]
        for instruction_type in INSTRUCTION_TYPES.values()
        if instruction_type.parameters()
    }
