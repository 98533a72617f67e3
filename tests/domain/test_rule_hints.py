"""Hints for expressions that are written in the syntax of Workflows or of other languages."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.rules import InvalidRules, expressions, parse_rules
from tests.domain.rule_cases import MINIMAL_CALLBACK, is_true


def error_of(when: str) -> str:
    with pytest.raises(InvalidRules) as raised:
        parse_rules({"rule": [{"name": "one", "when": when, "instruction": "accept"}]})
    (problem,) = raised.value.problems
    return problem.removeprefix('rule "one": "when" ')


@pytest.mark.parametrize(
    ("when", "correction"),
    [
        ("worker.languages HAS 'es'", "contains(worker.languages || `[]`, 'es')"),
        ("worker.skills has 'es'", "contains(worker.skills || `[]`, 'es')"),
        ('worker.skills HAS "it\'s"', r"contains(worker.skills || `[]`, 'it\'s')"),
        ('worker.skills HAS "a\\"b"', r'contains(worker.skills || `[]`, `"a\"b"`)'),
        ("worker.skills HAS 'a\\'b'", r"contains(worker.skills || `[]`, 'a\'b')"),
        ('worker.skills HAS "a`\\\\"', r'contains(worker.skills || `[]`, `"a\`\\"`)'),
        ('task.a IN ["a\\"b", "c"]', r"""contains([`"a\"b"`, 'c'], task.a)"""),
        ("worker.levels HAS 5", "contains(worker.levels || `[]`, `5`)"),
        ("worker.x.y[0].z HAS task.skill", "contains(worker.x.y[0].z || `[]`, task.skill)"),
        ("(worker.skills HAS 'es')", "contains(worker.skills || `[]`, 'es')"),
        ("task.vip && worker.skills HAS 'es'", "contains(worker.skills || `[]`, 'es')"),
        ("task.channelType IN ['web']", "contains(['web'], task.channelType)"),
        ('task.type IN ["web", "sms"]', "contains(['web', 'sms'], task.type)"),
        ("task.type in ('web','sms')", "contains(['web', 'sms'], task.type)"),
        (
            "task.level IN [1, -2.5, true, null]",
            "contains([`1`, `-2.5`, `true`, `null`], task.level)",
        ),
        ("task.level NOT IN [1]", "!contains([`1`], task.level)"),
        ("'es' IN worker.skills", "contains(worker.skills || `[]`, 'es')"),
        ('"es" not  in worker.skills', "!contains(worker.skills || `[]`, 'es')"),
        ("task.skill IN worker.skills", "contains(worker.skills || `[]`, task.skill)"),
        ("task.name CONTAINS 'x'", "contains(task.name || '', 'x')"),
        ('task.name contains "x"', "contains(task.name || '', 'x')"),
        ("'abc' CONTAINS task.name", "contains('abc', task.name)"),
        ("worker.skills includes 'es'", "contains(worker.skills || `[]`, 'es')"),
        ("worker.levels INCLUDES 5", "contains(worker.levels || `[]`, `5`)"),
        ("task.name CONTAINS 5", "contains(task.name || '', '5')"),
        ("task.name CONTAINS true", "contains(task.name || '', 'true')"),
        ("task.name CONTAINS `5`", "contains(task.name || '', '5')"),
        ("task.name CONTAINS priority", "contains(task.name || '', to_string(priority))"),
        ("'a5' HAS 5", "contains('a5', '5')"),
        (
            "task.name CONTAINS ['a', 5]",
            "(contains(task.name || '', 'a') || contains(task.name || '', '5'))",
        ),
        ("channelType IN ['web']", "contains(['web'], task.channelType)"),
        ("languages HAS 'es'", "contains(worker.languages || `[]`, 'es')"),
        ("'es' IN languages", "contains(worker.languages || `[]`, 'es')"),
        ("'es' NOT IN languages", "!contains(worker.languages || `[]`, 'es')"),
        ("skill IN languages", "contains(worker.languages || `[]`, task.skill)"),
        ("name CONTAINS 'x'", "contains(task.name || '', 'x')"),
        ("task.channelType IN [web, sms]", "contains(['web', 'sms'], task.channelType)"),
        ("worker.languages HAS es", "contains(worker.languages || `[]`, 'es')"),
        ("worker.sid IN ['WK1']", "contains(['WK1'], worker_sid)"),
        ("worker_sid IN task.preferred", "contains(task.preferred || `[]`, worker_sid)"),
        ("worker.sid NOT IN task.refused", "!contains(task.refused || `[]`, worker_sid)"),
        ("NOT (task.n IN ['a'])", "contains(['a'], task.n)"),
        ("not(task.n IN ['a', 'b'])", "contains(['a', 'b'], task.n)"),
        ("!(worker.skills HAS 'es')", "contains(worker.skills || `[]`, 'es')"),
        ("worker.skills NOT HAS 'es'", "!contains(worker.skills || `[]`, 'es')"),
        ("task.name NOT CONTAINS 'x'", "!contains(task.name || '', 'x')"),
        (
            "worker.skills HAS ANY ['a', 'b']",
            "(contains(worker.skills || `[]`, 'a') || contains(worker.skills || `[]`, 'b'))",
        ),
        (
            "worker.skills has all ('a', 2)",
            "(contains(worker.skills || `[]`, 'a') && contains(worker.skills || `[]`, `2`))",
        ),
        (
            "worker.skills NOT HAS ANY ['a', 'b']",
            "!(contains(worker.skills || `[]`, 'a') || contains(worker.skills || `[]`, 'b'))",
        ),
        ("worker.skills HAS ['a']", "contains(worker.skills || `[]`, 'a')"),
        ("'x in y' IN worker.skills", "contains(worker.skills || `[]`, 'x in y')"),
    ],
)
def test_hint_for_a_membership_test_contains_the_jmespath_equivalent(
    when: str, correction: str
) -> None:
    error = error_of(when)
    assert f": write {correction} instead of " in error
    parse_rules({"rule": [{"name": "one", "when": correction, "instruction": "accept"}]})


paths = st.sampled_from(
    [
        *("task.skill", "worker.skills", "worker.x[0].y", "priority", "worker_sid"),
        *("worker.sid", "languages", "channelType", "es"),
    ]
)
characters = st.characters(
    codec="utf-8", categories=["L", "N", "P", "Zs"], exclude_characters="'\"[]()\\"
)
strings = st.builds("{0}{1}{0}".format, st.sampled_from("'\""), st.text(characters))
values = paths | strings | st.integers().map(str) | st.sampled_from(["true", "false", "null"])
lists = st.lists(strings | st.integers().map(str), min_size=1).flatmap(
    lambda items: st.sampled_from([f"[{', '.join(items)}]", f"({','.join(items)})"])
)


@given(
    st.tuples(paths, st.sampled_from(["HAS", "CONTAINS", "has", "NOT HAS", "NOT CONTAINS"]), values)
    | st.tuples(paths, st.sampled_from(["HAS ANY", "HAS ALL", "CONTAINS"]), lists)
    | st.tuples(values, st.sampled_from(["IN", "NOT IN", "in"]), paths | lists)
)
def test_every_hint_for_a_membership_test_is_valid(test: tuple[str, str, str]) -> None:
    if test[0][:1] in "-0123456789" or test[0][:1] == '"':
        return  # the parser fails at the number or reads the string as a field
    error = error_of(" ".join(test))
    correction = re.search(r": write (.*?contains\(.*\)) instead of ", error, re.DOTALL)
    assert correction, error
    parse_rules({"rule": [{"name": "one", "when": correction[1], "instruction": "accept"}]})


PLACEHOLDERS = {
    "LIST": "task.list",
    "VALUE": "task.value",
    "TEXT": "task.text",
    "PART": "'part'",
    "PREFIX": "'prefix'",
    "SUFFIX": "'suffix'",
    "PATH": "task.path",
    "A": "task.a",
    "B": "task.b",
}


@pytest.mark.parametrize("word", expressions._WORDS)
def test_suggested_operator_makes_a_valid_expression(word: str) -> None:
    """Placeholders, such as LIST, stand for paths and strings."""
    suggestion = re.sub("[A-Z]+", lambda name: PLACEHOLDERS[name[0]], expressions._WORDS[word])
    if suggestion == "== with `null`":
        suggestion = "== `null`"
    assert f" instead of {word}" in error_of(f"task.a {word} {'task.b' * (word == '&')}")
    assert any(
        is_accepted(condition)
        for condition in (suggestion, f"{suggestion}(task.a)", f"task.a {suggestion}")
        + ((f"task.a {suggestion} task.b",) if "`" not in suggestion else ())
    )


def is_accepted(when: str) -> bool:
    try:
        parse_rules({"rule": [{"name": "one", "when": when, "instruction": "accept"}]})
    except InvalidRules:
        return False
    return True


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("skills HAS 'es' AND language IN ['es']", True),
        ("skills HAS ANY ['fr', 'es'] && language NOT IN ['fr'] and task['vip']", True),
        ("task.language IN ['fr'] && worker.skills HAS ANY ['fr', 'es']", False),
        ("worker.skills HAS ALL ['gold', 'fr'] OR worker_sid IN ['WK1']", False),
        ("task.text CONTAINS 30 and task.text NOT CONTAINS 4", True),
        ("task.nothing NOT HAS ANY ['a', 'b'] and task.language <> 'fr'", True),
    ],
)
def test_following_the_hints_leads_to_the_intended_condition(
    when: str,
    expected: bool,  # noqa: FBT001
) -> None:
    for _ in range(10):
        if is_accepted(when):
            break
        hint = re.search(r": write (.*?) instead of (.*?)(?:, and |\.$)", error_of(when))
        assert hint, when
        when = when.replace(hint[2], hint[1], 1)
    assert is_true(when) is expected


@pytest.mark.parametrize("value", ["5", "-2.5", "true", "null", "'x'", "priority", "['a', 5]"])
@pytest.mark.parametrize("operator", ["CONTAINS", "NOT CONTAINS"])
def test_suggested_substring_test_can_be_evaluated(operator: str, value: str) -> None:
    error = error_of(f"task.text {operator} {value}")
    correction = re.search(r": write (.*) instead of ", error)
    assert correction
    is_true(correction[1])
    is_true(correction[1], MINIMAL_CALLBACK)


@pytest.mark.parametrize(
    ("when", "mistake"),
    [
        ("worker.friendly_name IN ['Alice']", "uses worker.friendly_name, which only Workflows"),
        ("'Idle' IN worker.activity_name", "uses worker.activity_name, which only Workflows"),
        ("taskrouter.dayOfWeek IN ['Sat']", "uses taskrouter, which only Workflow expressions"),
        ("Task.type IN ['web']", "uses the unknown name Task: did you mean task?"),
        ("worker.channel.voice.assigned_tasks IN [1]", "callbacks do not contain it"),
    ],
)
def test_membership_test_on_an_unavailable_name_gets_no_correction(when: str, mistake: str) -> None:
    error = error_of(when)
    assert f", and {mistake}" in error or error.endswith(f"{mistake}.")
    assert " instead of " not in error


@pytest.mark.parametrize(
    "constant", ["'x'", "('x')", "`5`", "`true`", "true", "TRUE", '`"x"`', "`[1]`"]
)
def test_constant_condition_that_is_always_true_is_rejected(constant: str) -> None:
    assert "which is always true: a rule without a condition always matches" in error_of(constant)
    for when in (f"task.a || {constant}", f"{constant} && task.a"):
        assert ", which is always true, as an operand of || or &&" in error_of(when)


@pytest.mark.parametrize("constant", ["''", "`false`", "`null`", "`[]`"])
def test_constant_condition_that_is_always_false_disables_a_rule(constant: str) -> None:
    assert not is_true(constant)


def test_correction_means_the_same_as_the_membership_test() -> None:
    assert is_true("contains(worker.skills || `[]`, 'es')")
    assert not is_true("contains(worker.nothing || `[]`, 'es')")
    assert is_true("contains(['es', 'fr'], task.language)")
    assert not is_true("!contains(['es', 'fr'], task.language)")
    assert not is_true("contains(task.nothing || '', 'x')")


@pytest.mark.parametrize(
    ("when", "hint"),
    [
        ("task.vip AND task.gold", "write && instead of AND"),
        (
            "1==1 AND task.a",
            "write && instead of AND, and write numbers in backticks, as in `1`",
        ),
        ("task.a == 5 or task.b", "write || instead of or, and write numbers"),
        ("task.b == 1.5", "as in `1.5`."),
        ("task.b > -2.75", "as in `-2.75`."),
        ("task.b == 1e5", "as in `1e5`."),
        ("task.b == 007", "as in `7`."),
        ("task.b == 5 && task.c == 'x or y'", ": write numbers in backticks, as in `5`."),
        ("task.988a == 'x'", 'in double quotes, as in task."988a".'),
        ("task.a.2 == 'x'", 'in double quotes, as in task.a."2".'),
        ("task.a =~ 'x'", "has no regular expressions"),
        ("task.a=~'x'", "has no regular expressions"),
        ("task.a !~ 'x'", "has no regular expressions"),
        ("task.a == \u2018x\u2019", "write strings in straight single quotes"),
        ("task.a == \u201cx\u201d", "write strings in straight single quotes"),
        ("worker.skills HAS \u201cx\u201d", "write strings in straight single quotes"),
        ("task.vip Or task.gold", "write || instead of Or"),
        ("NOT task.vip", "write ! instead of NOT"),
        ("task.vip && NOT task.gold", "write ! instead of NOT"),
        ("NOT (task.vip)", "write !(…)"),
        ("task.language = 'es'", "write == to compare"),
        ("task.language <> 'es'", "write != instead of <>"),
        ("task.level << `5`", "is not valid JMESPath at column 13."),
        ("task.vip & task.gold", "write && instead of &"),
        ("task.vip IS NULL", "write == with `null` instead of IS"),
        ("task.language LIKE 'e%'", "write starts_with(TEXT, PREFIX) instead of LIKE"),
        ("task.skills HAS", "write contains(LIST, VALUE) instead of HAS"),
        ("HAS(worker.skills, 'es')", "did you mean contains?"),
        ("CONTAINS(worker.skills, 'es')", "did you mean contains?"),
        ("1==1", "leave out the condition"),
        ("1=1", "leave out the condition"),
        (" 1 = 1", "leave out the condition"),
        ("2==2", "leave out the condition"),
        ("'a' = 'a'", "leave out the condition"),
        ("task.level = 5", "write == to compare, as in == `5`"),
        ("task.vip = TRUE && task.gold", "write == to compare, as in == `true`"),
        ("task.a =null", "write == to compare, as in == `null`"),
        ("selected_language == 'es'", "write task.selected_language for an attribute of the Task"),
        ("language.code == 'es' && task.vip", "write task.language for an attribute"),
        ("task.vip && vip", "write task.vip for an attribute"),
        ("contains(skills, 'es')", "worker.skills for an attribute of the Worker"),
        ("task.language == es", "write strings in single quotes, as in 'es'"),
        ("contains(worker.skills, es)", "write strings in single quotes, as in 'es'"),
        ("task.a == NULL", "write the literal in backticks, as in `null`"),
        ("task.a == Null", "write the literal in backticks, as in `null`"),
        ("task.a == null", "write the literal in backticks, as in `null`"),
        ("task.vip != TRUE", "write the literal in backticks, as in `true`"),
        ("false == task.vip", "write the literal in backticks, as in `false`"),
        ("lower(task.a) == 'x'", "compare with each capitalization, as in task.a == 'x' || "),
        ("to_upper(task.a) == 'X'", "compare with each capitalization"),
        ("len(task.a) > `1`", "did you mean length?"),
        ("exists(task.a)", "did you mean not_null?"),
        ("now(task.a)", "use one of abs, "),
        ("task.a eq 'x'", "write == instead of eq"),
        ("task.level GTE 5", "write >= instead of GTE"),
        ("task.level BETWEEN 1 AND 5", "write PATH >= `5` && PATH <= `10` instead of BETWEEN"),
        ("task.skills includes", "write contains(LIST, VALUE) instead of includes"),
        ("task.name startsWith 'x'", "write starts_with(TEXT, PREFIX) instead of startsWith"),
        (" 1 == 1 ", "leave out the condition"),
        ("priority >= 5", "as in `5`"),
        ("1==1 AND task.a", ", or leave out 1==1, which is always true."),
        ("1 = 1 AND task.a", ", or leave out 1 = 1, which is always true."),
        ("task.a && 2==2", ", or leave out 2==2, which is always true."),
        ("task.a == 1 AND 1==1", "write numbers in backticks, as in `1`."),
        ("21==1 && task.a", "write numbers in backticks, as in `21`."),
        ("task.a == 'x' AND channelType IN ['web']", "write && instead of AND."),
        ("NOT task.a HAS 'x'", "write ! instead of NOT."),
        ("1==10", "write numbers in backticks, as in `1`."),
        ("task.a !== 'x'", ": write != to compare."),
        ("task.a != = 'x'", ": write != to compare."),
        ("task.a ! = 'x'", ": write != to compare."),
        ("task.a =! 'x'", ": write != to compare."),
        ("task.a =!= 'x'", ": write != to compare."),
        ("task.a === 'x'", ": write == to compare."),
        ("task.a IS NOT NULL", "write != with `null` instead of IS NOT NULL"),
        ("task.a is not null && task.b", "write != with `null` instead of is not null"),
        ("task.a NOT NULL", "write != with `null` instead of NOT NULL"),
        ("task.a NOTNULL", "write != `null` instead of NOTNULL"),
        ("task.a NOT LIKE 'e%'", "write !starts_with(TEXT, PREFIX) instead of NOT LIKE"),
        (
            "task.a NOT BETWEEN 1 AND 2",
            "write !(PATH >= `5` && PATH <= `10`) instead of NOT BETWEEN",
        ),
        ("task.a NOT EXISTS", "write == `null` instead of NOT EXISTS"),
        ("task.a IS NOT 'x'", "write != instead of IS NOT."),
        ("task.a is 'x'", "write == instead of is."),
        ("worker.skills HAS ANY worker.x", "write contains(LIST, VALUE) instead of HAS"),
        ("worker.skills HAS ALL", "write contains(LIST, VALUE) instead of HAS"),
        ("worker.x[0]['a b'] == 'x'", """write worker.x[0]."a b" instead of worker.x[0]['a b']"""),
        ("task['a'] == 'x'", "write task.a instead of task['a']"),
        ("task['a-b'] == 'x'", """write task."a-b" instead of task['a-b']"""),
        ("worker.x['a'] == 'x'", "write worker.x.a instead of worker.x['a']"),
        ('task["a"] == 5', 'write task.a instead of task["a"]'),
        ("task.a == 'it''s'", r"write \' for a quote in a string, as in 'it\'s'"),
        ("task.a XOR task.b", "write A && !(B) || !(A) && B instead of XOR"),
        ("task.price$ == 'x'", 'as in task."price$"'),
        ('task.language == "es"', "as in 'es'"),
        ('task.type == "worker"', "write strings in single quotes, as in 'worker'"),
        ('task.type != "age"', "write strings in single quotes, as in 'age'"),
        ('"task" == task.type', "write strings in single quotes, as in 'task'"),
        ('worker.skills[?@ == "es"]', "write strings in single quotes, as in 'es'"),
        ("taskrouter.dayOfWeek == 'Mon'", "uses taskrouter, which only"),
        ("workers.available == `0`", "uses workers, which only"),
        ("worker.sid == 'WK1'", "write worker_sid"),
        ("task.vip && worker.friendly_name == 'Alice'", "callbacks do not contain it"),
        ("starts_with(worker.activity_name, 'Idle')", "callbacks do not contain it"),
        ("worker.channel.chat.assigned_tasks == `0`", "callbacks do not contain it"),
    ],
)
def test_hint_contains_the_correction(when: str, hint: str) -> None:
    assert hint in error_of(when)


@pytest.mark.parametrize(
    "when",
    [
        "worker.channel.voice == 'x'",
        "task.friendly_name == 'x'",
        "task.sid == worker_sid",
        "task.\"language\" == 'es'",
        'worker.list[?"customer-value" > `5`]',
        "worker.list[?\"name\" == 'es']",
        'worker.list[].{"name": name}',
        'sort_by(worker.list, &"name")[0]',
    ],
)
def test_expression_that_resembles_a_mistake_is_valid(when: str) -> None:
    parse_rules({"rule": [{"name": "one", "when": when, "instruction": "accept"}]})


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("unreadble", "did you mean unreadable?"),
        ("Unreadable", "did you mean unreadable?"),
        ("rules", "did you mean [[rule]]?"),
        ("Rule", "did you mean [[rule]]?"),
        ("default", "begin each rule with [[rule]]."),
        ("a\nb", "begin each rule with [[rule]]."),
    ],
)
def test_error_names_the_unknown_key_and_gives_advice(key: str, advice: str) -> None:
    with pytest.raises(InvalidRules) as raised:
        parse_rules({key: []})
    name = key.replace("\n", r"\n")
    assert raised.value.problems == (f'unknown key "{name}": {advice}',)
