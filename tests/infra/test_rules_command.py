"""The commands `rules check` and `rules explain`."""

import json
import re
from urllib.parse import urlencode

import pytest

from local.supervisor import ROOT
from tests.infra.command_line import run_infra

SID = "WR" + "e" * 32
RULES = """
[[rule]]
name = "VIPs at once"
when = "task.vip == `true` && priority"
instruction = "accept"

[[rule]]
name = "calls"
when = "task.language == 'es'"
instruction = "dequeue"
from = {ref = "task.to"}
timeout = {ref = "task.rings"}

[[rule]]
name = "by skill"
when = "contains(worker.skills, 'gold')"
instruction = "accept"

[[rule]]
name = "all"
instruction = "reject"

[[rule]]
name = "priority"
when = "priority"
instruction = "accept"
"""
EXPLAINED = """\
  1  VIPs at once: does not match
     when task.vip == `true` && priority
     task.vip is null
     priority is 5
  2  calls: matches, but cannot be evaluated
     when task.language == 'es'
     task.language is "es"
     task.to is "tel:x"
     task.rings is null
     timeout is missing: task.rings is null.
     from must be a phone number such as +15556667777, client:NAME, or sip:USER@HOST.
  3  by skill: cannot be evaluated
     when contains(worker.skills, 'gold')
     worker.skills is null
     `when` could not be evaluated (JMESPathTypeError): a value may have the wrong type.
  4  all: answers
  5  priority: matches (not reached)
     when priority
     priority is 5
answer: {"instruction": "reject"}, by rule "all"
"""
CHECKED = """\
  1  VIPs at once: accept, when task.vip == `true` && priority
  2  calls: dequeue, when task.language == 'es'
  3  by skill: accept, when contains(worker.skills, 'gold')
  4  all: reject, always
  5  priority: accept, never reached: "all" always answers
"""
CALLBACK = {
    "ReservationSid": SID,
    "TaskSid": "WT" + "0" * 32,
    "WorkerSid": "WK" + "0" * 32,
    "TaskAttributes": '{"language": "es", "to": "tel:x"}',
    "TaskPriority": "5",
}


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "rules.toml"
    file.write_text(RULES)
    return file


def rules(*arguments, **options):
    return run_infra("rules", *arguments, **options)


def test_valid_rules_are_listed(file):
    checked = rules("check", file)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout == f"{file}: 5 rule(s), no mistakes.\n{CHECKED}"


def test_default_rules_or_those_of_the_setting_are_checked(file):
    shipped = ROOT / "chalicelib" / "rules.toml"
    assert rules("check").stdout == f"{shipped}: 0 rule(s), no mistakes.\n"
    assert rules("check", RULES_FILE=str(file)).stdout.endswith(CHECKED)
    assert rules("check", RULES_FILE="no.toml").stderr == (
        "Error: RULES_FILE names a file that can't be read: no.toml.\n"
    )


def test_every_mistake_is_reported_with_exit_code_1():
    checked = rules("check", "tests/domain/bad_rules/many_mistakes.toml")
    assert (checked.returncode, checked.stdout) == (1, "")
    assert checked.stderr.count('many_mistakes.toml: rule "') == 6


@pytest.mark.parametrize(
    "capture",
    [
        urlencode(CALLBACK),
        json.dumps(CALLBACK),
        json.dumps(CALLBACK | {"TaskAttributes": json.loads(CALLBACK["TaskAttributes"])}),
    ],
    ids=["form", "JSON", "JSON with objects"],
)
def test_captured_callback_is_explained_rule_by_rule(file, capture):
    explained = rules("explain", "-", "--rules", file, stdin=capture)
    assert explained.returncode == 0, explained.stderr
    assert explained.stdout == EXPLAINED


def test_passwords_and_terminal_control_characters_are_not_printed(file):
    file.write_text(
        '[[rule]]\nname = "sip"\nwhen = "task.name"\ninstruction = "conference"\n'
        'sip_auth_password = "hunter2"\n'
    )
    capture = json.dumps(CALLBACK | {"TaskAttributes": {"name": "Zo\u00eb\u009b31m"}})
    explained = rules("explain", "-", "--rules", file, stdin=capture)
    assert 'task.name is "Zo\\u00eb\\u009b31m"\n' in explained.stdout
    assert explained.stdout.endswith('"sip_auth_password": "(secret)"}, by rule "sip"\n')


def test_explanation_is_available_as_json(file, tmp_path):
    capture = tmp_path / "callback"
    capture.write_text(json.dumps(CALLBACK | {"TaskAttributes": '{"vip": true}'}))

    explained = json.loads(rules("explain", capture, "--rules", file, "--json").stdout)

    assert explained["answer"] == {"instruction": "accept"}
    assert explained["rule"] == "VIPs at once"
    assert explained["rules"][0] == {
        "name": "VIPs at once",
        "when": "task.vip == `true` && priority",
        "matched": True,
        "answers": True,
        "looked_at": {"task.vip": True, "priority": 5},
        "failures": [],
    }


def test_setting_answers_if_no_rule_matches():
    explained = rules("explain", "-", stdin=urlencode(CALLBACK), ASSIGNMENT_INSTRUCTION="accept")
    assert explained.stdout == (
        'answer: {"instruction": "accept"}, by ASSIGNMENT_INSTRUCTION (no rule applies)\n'
    )


def test_recorded_reservation_is_explained_with_its_recorded_answer(file, api, dynamodb):
    parameters = api.callback_parameters(**CALLBACK)
    api.post_callback(parameters)
    environ = {
        **dynamodb.environ,
        "RESERVATIONS_TABLE": api.service.settings.reservations_table,
        "STATE_TABLE": api.service.settings.state_table,
    }

    explained = rules("explain", SID, "--rules", file, **environ)

    assert explained.returncode == 0, explained.stderr
    assert explained.stdout == EXPLAINED + "recorded answer: {}\n"
    absent = rules("explain", "WR" + "0" * 32, "--rules", file, **environ)
    assert (absent.returncode, absent.stdout) == (1, "")
    assert absent.stderr == f"Error: There is no record of WR{'0' * 32}.\n"


def test_documented_example_matches_the_output(tmp_path):
    text = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    file = tmp_path / "rules.toml"
    file.write_text(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1])
    (capture, printed) = re.search(
        r"```console\n\$ echo '(.*?)' \| python -m infra rules explain -\n(.*?)```", text, re.DOTALL
    ).groups()
    assert rules("explain", "-", "--rules", file, stdin=capture).stdout == printed


@pytest.mark.parametrize(
    ("source", "stdin", "message"),
    [
        ("nowhere", "", "nowhere is neither a Reservation SID nor a readable file."),
        ("-", "a=b", "ReservationSid must be a Reservation SID"),
        ("-", "{", "- must contain a form or a JSON object: it is not well-formed JSON."),
        ("-", "\u00ff", "The body must be a form"),
    ],
)
def test_malformed_callback_is_reported_without_a_traceback(source, stdin, message):
    explained = rules("explain", source, stdin=stdin)
    assert (explained.returncode, explained.stdout) == (1, "")
    assert message in explained.stderr
    assert "Traceback" not in explained.stderr
