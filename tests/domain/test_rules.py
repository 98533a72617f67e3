import contextlib
import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.callbacks import AssignmentCallback
from chalicelib.domain.instructions import Accept, Defer, Dequeue, Reject
from chalicelib.domain.rules import FACTS, InvalidRules, Rules, Ruling, facts_of, read

WA = "WA" + "0" * 32
CALLBACK = AssignmentCallback(
    reservation_sid="WR" + "1" * 32,
    task_sid="WT" + "2" * 32,
    worker_sid="WK" + "3" * 32,
    workflow_sid="WW" + "4" * 32,
    task_queue_sid="WQ" + "5" * 32,
    task_attributes=json.dumps(
        {
            "vip": True,
            "language": "es",
            "to": "+15556667777",
            "customer-value": 7,
            "skill": "gold",
            "rings": 30,
            "zero": 0,
            "none": None,
            "empty": "",
            "text": "30",
        }
    ),
    worker_attributes=json.dumps({"contact_uri": "client:joey", "skills": ["gold", "es"]}),
    parameters={"TaskPriority": "5", "TaskAge": "61", "WorkspaceSid": "WS" + "6" * 32},
)
BARE = replace(
    CALLBACK,
    workflow_sid=None,
    task_queue_sid=None,
    task_attributes=None,
    worker_attributes=None,
    parameters={},
)


def rules(*tables: dict[str, object]) -> Rules:
    named = [{"name": f"rule {number}", **one} for number, one in enumerate(tables, start=1)]
    return Rules(read({"rule": named}), otherwise=Defer())


def decide(*tables: dict[str, object], callback: AssignmentCallback = CALLBACK) -> Ruling:
    return rules(*tables).decide(callback)


def holds(when: str, callback: AssignmentCallback = CALLBACK) -> bool:
    ruling = decide({"when": when, "instruction": "accept"}, callback=callback)
    assert ruling.failures == ()
    return ruling.instruction == Accept()


@pytest.mark.parametrize("when", ["(" * 5000 + "age" + ")" * 5000, " || ".join(["age"] * 5000)])
def test_a_condition_beyond_all_measure_is_refused(when: str) -> None:
    with pytest.raises(InvalidRules, match="when nests too deep, or goes on for too long"):
        read({"rule": [{"name": "one", "when": when, "instruction": "accept"}]})


def test_the_first_rule_that_matches_answers() -> None:
    ruling = decide(
        {"when": "task.language == 'fr'", "instruction": "accept"},
        {"when": "task.language == 'es'", "instruction": "reject", "activity_sid": WA},
        {"when": "task.vip", "instruction": "accept"},
    )
    assert ruling == Ruling(Reject(activity_sid=WA), "rule 2")


def test_a_rule_without_a_condition_always_matches() -> None:
    assert decide({"instruction": "accept"}, callback=BARE) == Ruling(Accept(), "rule 1")


def test_a_rule_may_defer_so_that_those_below_it_are_not_asked() -> None:
    ruling = decide({"when": "task.vip", "instruction": "defer"}, {"instruction": "accept"})
    assert ruling == Ruling(Defer(), "rule 1")


def test_without_a_match_the_setting_answers() -> None:
    unmatched = rules({"when": "task.gold", "instruction": "reject"})
    assert replace(unmatched, otherwise=Accept()).decide(CALLBACK) == Ruling(Accept())


@pytest.mark.parametrize(
    "when",
    [
        "task.vip",
        "task.vip == `true`",
        "!(task.gold)",
        "!(task.vip) == `false`",
        "task.language == 'es' && worker.contact_uri == 'client:joey'",
        "task.nothing || task.vip",
        'task."customer-value" > `5`',
        "priority >= `5` && age > `60`",
        "task.zero",
        "contains(worker.skills, task.skill)",
        "worker.skills[?@ == 'gold']",
        "starts_with(worker.contact_uri, 'client:')",
        f"workflow_sid == '{CALLBACK.workflow_sid}' && starts_with(task_queue_sid, 'WQ')",
        "workspace_sid && reservation_sid && task_sid && worker_sid",
        "to_number(task.text) == `30`",
        "task.none == `null` && task.nothing == `null`",
        "(task.nothing || `[]`) || contains(worker.skills || 'none', 'gold')",
    ],
)
def test_conditions_that_hold(when: str) -> None:
    assert holds(when)


@pytest.mark.parametrize(
    "when",
    [
        "task.gold",
        "task.empty",
        "task.vip == 'true'",
        "task.vip.more.still",
        "task.language == 'ES'",
        "worker.skills[?@ == 'silver']",
        "task.rings > `30`",
        "task.nothing > `1`",
    ],
)
def test_conditions_that_do_not_hold(when: str) -> None:
    assert not holds(when)


@pytest.mark.parametrize("attributes", [None, "", "no JSON", "[]", "5", "null", '{"a": NaN}', "{"])
def test_attributes_that_are_no_object_are_empty(attributes: str | None) -> None:
    callback = replace(CALLBACK, task_attributes=attributes, worker_attributes=attributes)
    facts = facts_of(callback)
    assert (facts["task"], facts["worker"]) == ({}, {})
    assert not holds("task.vip || worker.skills", callback)


@pytest.mark.parametrize("number", ["", "-1", "5.0", "\u0665", "9" * 99, ["5", "6"]])
def test_a_priority_or_age_that_is_no_number_is_null(number: object) -> None:
    facts = facts_of(replace(CALLBACK, parameters={"TaskPriority": number, "TaskAge": number}))
    assert (facts["priority"], facts["age"]) == (None, None)


def test_the_facts_are_those_that_an_expression_may_begin_with() -> None:
    assert tuple(facts_of(CALLBACK)) == tuple(facts_of(BARE)) == FACTS


def test_parameters_are_literal_or_refer_to_the_callback() -> None:
    ruling = decide(
        {
            "instruction": "dequeue",
            "to": {"ref": "worker.contact_uri"},
            "from": {"ref": "task.from || task.to"},
            "timeout": {"ref": "task.rings"},
            "record": "record-from-answer",
        }
    )
    assert ruling.instruction == Dequeue(
        to="client:joey", from_="+15556667777", timeout=30, record="record-from-answer"
    )


@pytest.mark.parametrize(
    ("reference", "failure"),
    [
        ("task.nothing", "from"),
        ("task.none", "from"),
        ("task.rings", "from"),
        ("task.empty", "from"),
        ("worker.skills", "from"),
        ("length(task.rings)", "parameters"),
    ],
)
def test_what_can_not_be_rendered_is_told_and_the_next_rule_answers(
    reference: str, failure: str
) -> None:
    ruling = decide(
        {"instruction": "dequeue", "from": {"ref": reference}},
        {"when": "task.gold", "instruction": "reject"},
        {"when": "task.vip", "instruction": "accept"},
    )
    assert ruling == Ruling(Accept(), "rule 3", (f"rule 1: {failure}",))


def test_a_limit_that_hangs_on_another_parameter_holds_for_references_too() -> None:
    ruling = decide(
        {"instruction": "dequeue", "to": {"ref": "'sip:joey@example.com'"}, "timeout": 700},
    )
    assert ruling == Ruling(Defer(), None, ("rule 1: timeout",))


@pytest.mark.parametrize(
    "when",
    [
        "contains(task.rings, 'x')",  # JMESPathTypeError
        "task.language > `1`",  # a TypeError of Python's
        "worker.skills[::0]",  # a ValueError of Python's
        "ceil(to_number('1e999'))",  # an OverflowError
    ],
)
def test_a_condition_that_fails_does_not_match_and_is_told(when: str) -> None:
    ruling = decide({"when": when, "instruction": "reject"}, {"instruction": "accept"})
    assert ruling == Ruling(Accept(), "rule 2", ("rule 1: when",))


def test_nothing_can_fail_a_callback() -> None:
    broken = replace(CALLBACK, parameters=None)  # type: ignore[arg-type]
    assert decide({"instruction": "accept"}, callback=broken) == Ruling(
        Defer(), None, ("rules: AttributeError",)
    )


def test_a_failure_never_tells_a_value() -> None:
    secret = replace(CALLBACK, task_attributes='{"to": "tel:secret"}')
    tables = (
        {"instruction": "dequeue", "to": {"ref": "task.to"}},
        {"when": "abs(task.to)", "instruction": "accept"},
    )
    assert "secret" not in repr(decide(*tables, callback=secret))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abcd") | st.text(), inner),
    max_leaves=9,
)
EXPRESSIONS = [
    "task.a > task.b",
    "contains(task.a, task.b)",
    "sort_by(task.a, &b)[0].c",
    "task.a[?b > `1`].c | [0]",
    "max_by(task.*, &a)",
    "task.a[].b[::-1]",
    "to_number(to_string(task.a)) <= length(task.b)",
    "join(',', keys(task))",
    "merge(task.a, task.b).c",
    "avg(task.a)",
    "ceil(to_number(task.a))",
]


@given(
    attributes=st.dictionaries(st.sampled_from("abcd"), JSON),
    expressions=st.lists(st.sampled_from(EXPRESSIONS), min_size=1, max_size=4),
)
def test_whatever_the_attributes_are_there_is_an_answer(attributes, expressions) -> None:
    callback = replace(CALLBACK, task_attributes=json.dumps(attributes))
    tables = [
        {"when": one, "instruction": "dequeue", "to": {"ref": other}, "timeout": {"ref": "task.d"}}
        for one, other in itertools.product(expressions, expressions)
    ]
    answer = decide(*tables, callback=callback).instruction.render()
    assert answer == {} or answer["instruction"] == "dequeue"


@given(st.text() | st.text("task.worker[]?*@&|!=<>()`'\"{}:, \\0123456789", max_size=30))
def test_whatever_is_written_for_a_condition_is_taken_or_refused(when: str) -> None:
    with contextlib.suppress(InvalidRules):
        read({"rule": [{"name": "one", "when": when, "instruction": "accept"}]})


@given(JSON, st.sampled_from(["name", "when", "instruction", "to", "timeout", "x"]))
def test_whatever_is_written_for_a_key_is_taken_or_refused(value, key: str) -> None:
    with contextlib.suppress(InvalidRules):
        read({"rule": [{"name": "one", "instruction": "dequeue", key: value}]})
    with contextlib.suppress(InvalidRules):
        read({"rule": value})
