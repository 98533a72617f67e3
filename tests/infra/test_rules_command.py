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
EXPLANATION = """\
  1  VIPs at once: does not match
     when task.vip == `true` && priority
     task.vip is null
     priority is 5
  2  calls: matches, but its instruction is invalid
     when task.language == 'es'
     task.language is "es"
     task.to is "tel:x"
     task.rings is null
     timeout is missing: task.rings is null.
     from must be a phone number (such as +15556667777), client:NAME, or sip:USER@HOST; at most 256 characters.
  3  by skill: cannot be evaluated
     when contains(worker.skills, 'gold')
     worker.skills is null
     `when` could not be evaluated (JMESPathTypeError): a value may have the wrong type.
  4  all: answers
  5  priority: matches (not reached)
     when priority
     priority is 5
answer: {"instruction": "reject"}, by rule "all"
"""  # noqa: E501
RULE_LIST = """\
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


def run_rules(*arguments, **options):
    return run_infra("rules", *arguments, **options)


def test_check_command_lists_valid_rules(file):
    result = run_rules("check", file)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{file}: 5 rule(s), no mistakes.\n{RULE_LIST}"


def test_check_command_reads_the_default_rules_or_the_configured_file(file):
    default_file = ROOT / "chalicelib" / "rules.toml"
    assert run_rules("check").stdout == f"{default_file}: 0 rule(s), no mistakes.\n"
    assert run_rules("check", RULES_FILE=str(file)).stdout.endswith(RULE_LIST)
    assert run_rules("check", RULES_FILE="missing.toml").stderr == (
        "Error: The rules file missing.toml can't be read.\n"
    )


def test_check_command_refuses_a_file_together_with_a_stage(file):
    result = run_rules("check", file, "--stage", "dev")

    assert result.returncode == 2
    assert "FILE and --stage can't be used together. Omit one of them." in result.stderr


def test_check_command_reports_every_mistake_with_exit_code_1():
    result = run_rules("check", "tests/domain/bad_rules/many_mistakes.toml")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count('many_mistakes.toml: rule "') == 6


@pytest.mark.parametrize(
    "capture",
    [
        urlencode(CALLBACK),
        json.dumps(CALLBACK),
        json.dumps(CALLBACK | {"TaskAttributes": json.loads(CALLBACK["TaskAttributes"])}),
    ],
    ids=["form", "JSON", "JSON with objects"],
)
@pytest.mark.parametrize("byte_order_mark", ["", "\ufeff"])
def test_explain_command_evaluates_each_rule_for_a_captured_callback(
    file, capture, byte_order_mark
):
    result = run_rules("explain", "-", "--rules", file, stdin=byte_order_mark + capture)
    assert result.returncode == 0, result.stderr
    assert result.stdout == EXPLANATION


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
@pytest.mark.parametrize("capture", [json.dumps(CALLBACK), urlencode(CALLBACK)])
def test_explain_command_refuses_a_callback_that_is_not_utf_8(file, encoding, capture):
    text = capture if encoding == "utf-16" else "\ufeff" + capture
    result = run_rules("explain", "-", "--rules", file, stdin=text.encode(encoding))
    assert result.returncode == 1
    assert result.stderr == "Error: Standard input is UTF-16 text. Convert it to UTF-8.\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "latin-1"])
def test_check_command_refuses_rules_that_are_not_utf_8(file, encoding):
    file.write_text("\ufeff" * (encoding == "utf-16-be") + "# é", encoding=encoding)
    result = run_rules("check", file)
    assert result.returncode == 1
    assert result.stderr.endswith(": the file is not UTF-8. Save it as UTF-8.\n")


def test_explain_command_prints_no_passwords_or_terminal_control_characters(file):
    file.write_text(
        '[[rule]]\nname = "sip"\nwhen = "task.name"\ninstruction = "conference"\n'
        'sip_auth_password = "hunter2"\n'
    )
    capture = json.dumps(CALLBACK | {"TaskAttributes": {"name": "Zo\u00eb\u009b31m"}})
    result = run_rules("explain", "-", "--rules", file, stdin=capture)
    assert 'task.name is "Zo\\u00eb\\u009b31m"\n' in result.stdout
    assert result.stdout.endswith('"sip_auth_password": "(secret)"}, by rule "sip"\n')


def test_explain_command_prints_json_on_request(file, tmp_path):
    capture = tmp_path / "callback"
    capture.write_text(json.dumps(CALLBACK | {"TaskAttributes": '{"vip": true}'}))

    explanation = json.loads(run_rules("explain", capture, "--rules", file, "--json").stdout)

    assert explanation["answer"] == {"instruction": "accept"}
    assert explanation["rule"] == "VIPs at once"
    assert explanation["rules"][0] == {
        "name": "VIPs at once",
        "when": "task.vip == `true` && priority",
        "matched": True,
        "answers": True,
        "looked_at": {"task.vip": True, "priority": 5},
        "failures": [],
    }


def test_explain_command_names_the_rule_that_needs_unreadable_attributes(file):
    file.write_text('unreadable = "reject"\n' + file.read_text())
    capture = json.dumps(CALLBACK | {"TaskAttributes": "[1]"})
    result = run_rules("explain", "-", "--rules", file, stdin=capture)
    assert result.stdout == (
        "  1  VIPs at once: cannot be evaluated\n"
        "     when task.vip == `true` && priority\n"
        "     priority is 5\n"
        "     TaskAttributes is not a JSON object.\n"
        "  2  calls: cannot be evaluated (not reached)\n"
        "     when task.language == 'es'\n"
        "     TaskAttributes is not a JSON object.\n"
        "  3  by skill: cannot be evaluated (not reached)\n"
        "     when contains(worker.skills, 'gold')\n"
        "     worker.skills is null\n"
        "     `when` could not be evaluated (JMESPathTypeError): a value may have the wrong type.\n"
        "  4  all: matches (not reached)\n"
        "  5  priority: matches (not reached)\n"
        "     when priority\n"
        "     priority is 5\n"
        'answer: {"instruction": "reject"}, '
        'by the key "unreadable" (TaskAttributes can\'t be read)\n'
    )
    result = run_rules("explain", "-", "--rules", file, "--json", stdin=capture)
    assert json.loads(result.stdout)["unreadable"] == {
        "parameter": "TaskAttributes",
        "rule": "VIPs at once",
    }
    assert run_rules("check", file).stdout.endswith("     unreadable callbacks: reject\n")


@pytest.mark.parametrize(
    "attributes", [r'{"vip": true, "x": "\ud800"}', r'"{\"vip\": true, \"x\": \"\\ud800\"}"']
)
def test_explain_command_reads_attributes_that_strict_parsers_reject(file, attributes):
    capture = json.dumps(CALLBACK)[:-1] + f', "TaskAttributes": {attributes}}}'
    result = run_rules("explain", "-", "--rules", file, stdin=capture)
    assert result.stdout.endswith('answer: {"instruction": "accept"}, by rule "VIPs at once"\n')


@pytest.mark.parametrize("attributes", ['{"vip": NaN}', '"{\\"vip\\": [1e999]}"'])
def test_explain_command_names_the_attribute_with_a_non_finite_number(file, attributes):
    capture = json.dumps(CALLBACK)[:-1] + f', "TaskAttributes": {attributes}}}'
    result = run_rules("explain", "-", "--rules", file, stdin=capture)
    assert (
        '     TaskAttributes contains NaN, Infinity or a number out of range, in "vip".\n'
        in result.stdout
    )
    assert result.stdout.endswith(
        'answer: {}, by the key "unreadable" (TaskAttributes can\'t be read)\n'
    )


def test_explain_command_does_not_show_values_that_are_nested_too_deeply(file):
    deep = "[" * 1_500 + "]" * 1_500
    capture = json.dumps(CALLBACK | {"TaskAttributes": f'{{"vip": {deep}}}'})
    result = run_rules("explain", "-", "--rules", file, stdin=capture)
    assert '     task.vip is "(nested too deeply to be shown)"\n' in result.stdout

    capture = json.dumps(CALLBACK)[:-1] + f', "TaskAttributes": {{"vip": {deep}}}}}'
    result = run_rules("explain", "-", "--rules", file, stdin=capture)
    assert "Write the attributes as a string" in result.stderr


def test_explain_command_mentions_assignment_instruction_if_no_rule_matches():
    result = run_rules("explain", "-", stdin=urlencode(CALLBACK), ASSIGNMENT_INSTRUCTION="accept")
    assert result.stdout == (
        'answer: {"instruction": "accept"}, by ASSIGNMENT_INSTRUCTION (no rule applies)\n'
    )


def test_explain_command_shows_the_recorded_answer_of_a_reservation(file, api, dynamodb):
    parameters = api.callback_parameters(**CALLBACK)
    api.post_callback(parameters)
    environ = {
        **dynamodb.environ,
        "RESERVATIONS_TABLE": api.service.settings.reservations_table,
        "STATE_TABLE": api.service.settings.state_table,
    }

    result = run_rules("explain", SID, "--rules", file, **environ)

    assert result.returncode == 0, result.stderr
    assert result.stdout == EXPLANATION + "recorded answer: {}\n"
    missing = run_rules("explain", "WR" + "0" * 32, "--rules", file, **environ)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == f"Error: There is no record of WR{'0' * 32}.\n"


def test_documented_example_matches_the_output(tmp_path):
    text = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    file = tmp_path / "rules.toml"
    file.write_text(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1])
    (capture, printed) = re.search(
        r"```console\n\$ echo '(.*?)' \| python -m infra rules explain -\n(.*?)```", text, re.DOTALL
    ).groups()
    assert run_rules("explain", "-", "--rules", file, stdin=capture).stdout == printed


@pytest.mark.parametrize(
    ("source", "stdin", "message"),
    [
        ("missing", "", "missing is neither a Reservation SID nor a readable file."),
        ("-", "a=b", "ReservationSid must be a Reservation SID"),
        *(
            ("-", text, "Standard input contains neither a form nor a JSON object.")
            for text in ("[]", '[{"a": "b=c"}]', '"a=b"', "free text", "1", "")
        ),
        (
            "-",
            "{",
            "Standard input contains neither a form nor a valid JSON object: it has a syntax error",
        ),
        ("-", "\u00ff", "The body must be a form"),
    ],
)
def test_explain_command_reports_a_malformed_callback_without_a_traceback(source, stdin, message):
    result = run_rules("explain", source, stdin=stdin)
    assert (result.returncode, result.stdout) == (1, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
