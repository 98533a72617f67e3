"""Conversion of Workflow configurations between names and SIDs, and comparison by meaning."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrouter_simulator.definition.configuration import (
    PREFIXES,
    ConfigurationError,
    Directory,
    UnknownName,
    canonical,
    derived_sid,
    find_names,
    from_json,
    have_same_meaning,
    replace_names,
    replace_sids,
    to_json,
)
from taskrouter_simulator.definition.model import Filter, Routing, Target

QUEUES = ["All", "Customer Care - Español", "a}b%c", "%7D"]
DIRECTORY = Directory(
    {
        (kind, name): derived_sid(kind, name)
        for kind in PREFIXES
        for name in [*QUEUES, "Idle", "voice"]
    }
)
ALL = DIRECTORY.sid("task_queue", "All")
IDLE = DIRECTORY.sid("activity", "Idle")

EXPRESSIONS = st.sampled_from(
    [None, "a == 1", "a HAS 'x' AND (b == 2 OR c IN [1, 2])", "worker.sid != '${worker:All}'"]
)
TARGETS = st.builds(
    Target,
    queue=st.sampled_from(QUEUES),
    expression=EXPRESSIONS,
    priority=st.none() | st.integers(0, 9),
    timeout=st.none() | st.integers(1, 9),
    skip_if=st.sampled_from([None, "workers.${activity:Idle} == 0", "1 == 1"]),
    order_by=st.sampled_from([None, "worker.level DESC, worker.age"]),
    known_worker_sid=st.sampled_from([None, "task.agent"]),
    known_worker_friendly_name=st.sampled_from([None, "task.agents[0].name"]),
)
ROUTINGS = st.builds(
    Routing,
    filters=st.lists(
        st.builds(
            Filter,
            filter_friendly_name=st.sampled_from([None, "VIP"]),
            expression=EXPRESSIONS,
            targets=st.lists(TARGETS, min_size=1, max_size=3).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    default_filter=st.none() | TARGETS,
)


def shuffled(value, random):
    """Return JSON with the keys of every object in random order."""
    if isinstance(value, list):
        return [shuffled(item, random) for item in value]
    if not isinstance(value, dict):
        return value
    keys = list(value)
    random.shuffle(keys)
    return {key: shuffled(value[key], random) for key in keys}


@given(ROUTINGS, st.randoms(use_true_random=False), st.sampled_from([None, 1]))
def test_conversion_to_json_and_back_keeps_the_meaning(routing, random, indent):
    document = to_json(routing, DIRECTORY)
    text = json.dumps(shuffled(document, random), indent=indent)
    assert "${" not in text
    back = from_json(text, DIRECTORY)
    assert have_same_meaning(back, routing)
    assert canonical(back) == canonical(routing)
    assert to_json(back, DIRECTORY) == document


@given(ROUTINGS)
def test_canonicalization_is_idempotent(routing):
    assert canonical(canonical(routing)) == canonical(routing)


@given(ROUTINGS, ROUTINGS)
def test_routings_have_the_same_meaning_only_if_their_json_is_equal(first, second):
    is_same_text = _as_json(first) == _as_json(second)
    assert have_same_meaning(first, second) == is_same_text


def _as_json(routing):
    """Return a routing as JSON. Different routings in this module have different JSON."""
    return to_json(routing, DIRECTORY)


def test_json_contains_sids_instead_of_names():
    routing = Routing(
        filters=(
            Filter(
                filter_friendly_name="F",
                expression="a == 1",
                targets=(
                    Target(
                        queue="All", expression="worker.b == 2", priority=0, timeout=3,
                        skip_if="workers.${activity:Idle} == 0", order_by="worker.c",
                        known_worker_sid="task.d", known_worker_friendly_name="task.e",
                    ),
                    Target(timeout=4),
                ),
            ),
            Filter(targets=(Target(queue="All"),)),
        ),
        default_filter=Target(queue="All", priority=5),
    )  # fmt: skip
    assert to_json(routing, DIRECTORY) == {
        "task_routing": {
            "filters": [
                {
                    "filter_friendly_name": "F",
                    "expression": "a == 1",
                    "targets": [
                        {
                            "queue": ALL, "expression": "worker.b == 2", "priority": 0,
                            "timeout": 3, "skip_if": f"workers.{IDLE} == 0",
                            "order_by": "worker.c", "known_worker_sid": "task.d",
                            "known_worker_friendly_name": "task.e",
                        },
                        {"timeout": 4},
                    ],
                },
                {"expression": "1==1", "targets": [{"queue": ALL}]},
            ],
            "default_filter": {"queue": ALL, "priority": 5},
        }
    }  # fmt: skip


def test_json_of_routing_without_default_filter_omits_the_key():
    assert to_json(Routing(), DIRECTORY) == {"task_routing": {"filters": []}}


@pytest.mark.parametrize(
    "target",
    [Target(queue="No"), Target(queue="All", skip_if="workers.${activity:No} == 0")],
)
def test_unknown_name_is_rejected(target):
    with pytest.raises(UnknownName, match="there is no (task_queue|activity) 'No'") as error:
        to_json(Routing(default_filter=target), DIRECTORY)
    assert error.value.name == "No"


def parsed(text_or_filters, **routing):
    if isinstance(text_or_filters, str):
        return from_json(text_or_filters, DIRECTORY)
    return from_json(
        json.dumps({"task_routing": {"filters": text_or_filters, **routing}}), DIRECTORY
    )


def test_alternative_notations_are_accepted():
    expected = Routing(
        filters=(
            Filter(
                filter_friendly_name="F",
                expression="a == 1",
                targets=(Target(queue="All", priority=2, timeout=3),),
            ),
        )
    )
    target = {"queue": ALL, "priority": 2, "timeout": 3}
    usual = {"filter_friendly_name": "F", "expression": "a == 1", "targets": [target]}
    assert parsed([usual]) == expected
    for change in (
        {"targets": [{**target, "priority": "2", "timeout": "3", "order_by": "", "skip_if": None}]},
        {"filter_friendly_name": "", "friendly_name": "F"},
        {"expression": None, "Expression": "a == 1"},
        {"targets": None, **target},
        {"targets": [], **target},
        {"unknown": {"queue": 7}},
    ):
        assert parsed([{**usual, **change}]) == expected


def test_default_filter_is_read_and_filters_may_be_absent():
    assert parsed('{"task_routing": {}}') == Routing()
    assert parsed('{"task_routing": {"filters": null, "default_filter": null}}') == Routing()
    assert parsed([], default_filter={"queue": ALL}) == Routing(default_filter=Target(queue="All"))


def test_unknown_sid_is_not_replaced():
    sid = "WQ" + "0" * 32
    assert parsed([], default_filter={"queue": sid}).default_filter == Target(queue=sid)
    text = f"worker.activity_sid == 'WA{'1' * 32}'"
    assert replace_sids(text, DIRECTORY) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the configuration is not JSON"),
        ("[" * 100_000, "the configuration is not JSON"),
        ("[]", "the configuration must be an object"),
        ("{}", "task_routing must be an object"),
        ('{"task_routing": {"filters": {}}}', "filters must be an array"),
        ('{"task_routing": {"filters": [1]}}', "a filter must be an object"),
        ('{"task_routing": {"filters": [{"targets": 1}]}}', "targets must be an array"),
        ('{"task_routing": {"filters": [{"targets": [1]}]}}', "a target must be an object"),
        ('{"task_routing": {"filters": [{"expression": 1}]}}', "expression must be a string"),
        ('{"task_routing": {"filters": [{"queue": 1}]}}', "queue must be a string"),
        ('{"task_routing": {"filters": [{"order_by": []}]}}', "order_by must be a string"),
        ('{"task_routing": {"filters": [{"friendly_name": 1}]}}', "filter_friendly_name must be a"),
        ('{"task_routing": {"default_filter": []}}', "default_filter must be an object"),
        ('{"task_routing": {"default_filter": {"priority": true}}}', "priority must be an integer"),
        ('{"task_routing": {"default_filter": {"timeout": 1.5}}}', "timeout must be an integer"),
        ('{"task_routing": {"default_filter": {"timeout": "x"}}}', "timeout must be an integer"),
    ],
    ids=range(16),
)
def test_malformed_configuration_is_rejected(text, message):
    with pytest.raises(ConfigurationError) as error:
        from_json(text, DIRECTORY)
    assert str(error.value).startswith(message)


def with_target(**fields):
    return Routing(filters=(Filter(expression="a == 1", targets=(Target(queue="All", **fields),)),))


def with_expression(text):
    return Routing(filters=(Filter(expression=text, targets=(Target(queue="All"),)),))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a == 'x'", 'a=="x"'),
        ("a = 1", "a == 1"),
        ("a==1 and b==2", "(a == 1) AND ( b == 2 )"),
        ("(a==1 AND b==2) AND c==3", "a==1 AND (b==2 AND c==3)"),
        ("(a==1 OR b==2) OR c==3", "a==1 OR b==2 OR c==3"),
        ("a not  in ['x','y']", 'a NOT IN ["x", "y"]'),
        ("a == 1.0", "a == 1"),
        ("a == 'it\\'s'", 'a == "it\'s"'),
        ("a == TRUE", "a == true"),
        ("a != NULL", "a != null"),
        ("a[0].b > -1.50", "a[0].b > -1.50"),
        (" ?? ", "??"),
        (None, "1 == 1"),
    ],
)
def test_notation_of_an_expression_does_not_affect_its_meaning(first, second):
    assert have_same_meaning(with_expression(first), with_expression(second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a == 1", "a == 2"),
        ("a == 1", "a == '1'"),
        ("a == 1", "a != 1"),
        ("a == b", "a == 'b'"),
        ("a == 1 AND b == 2", "a == 1 OR b == 2"),
        ("a == 1 AND (b == 2 OR c == 3)", "(a == 1 AND b == 2) OR c == 3"),
        ("a == 1 AND b == 2", "b == 2 AND a == 1 AND c == 3"),
        ("a IN ['x']", "a NOT IN ['x']"),
        ("a IN ['x']", "a HAS 'x'"),
        ("a IN ['x', 'y']", "a IN ['x']"),
        ("a == 'x y'", "a == 'xy'"),
        ("a == 'X'", "a == 'x'"),
        ("a == true", "a == 'true'"),
        ("a == true", "a == false"),
        ("a == null", "a == 'null'"),
        ("a[0] == 1", "a[1] == 1"),
        ("a.b == 1", "a.c == 1"),
        ("a == 1.5", "a == 1.6"),
        ("a == 1", None),
        ("?? 1", "?? 2"),
    ],
)
def test_content_of_an_expression_affects_its_meaning(first, second):
    assert not have_same_meaning(with_expression(first), with_expression(second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"expression": "1=1"}),
        ({"order_by": "worker.a"}, {"order_by": " worker.a  asc"}),
        ({"order_by": "worker.a desc,worker.b"}, {"order_by": "worker.a DESC, worker.b ASC"}),
        ({"known_worker_sid": "task.a"}, {"known_worker_sid": "task.a"}),
        ({"skip_if": "workers.available==0"}, {"skip_if": "workers.available = 0"}),
        ({"skip_if": "workers.${activity:Idle}==0"}, {"skip_if": "workers.${activity:Idle} == 0"}),
        ({"order_by": " ? ? "}, {"order_by": "? ?"}),
        ({"known_worker_sid": " ? "}, {"known_worker_sid": "?"}),
    ],
)
def test_notation_of_a_target_does_not_affect_its_meaning(first, second):
    assert have_same_meaning(with_target(**first), with_target(**second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"priority": 0}),
        ({}, {"timeout": 1}),
        ({}, {"skip_if": "1 == 1"}),
        ({"order_by": "worker.a ASC"}, {"order_by": "worker.a DESC"}),
        ({"order_by": "worker.a, worker.b"}, {"order_by": "worker.b, worker.a"}),
        ({"known_worker_sid": "task.a"}, {"known_worker_sid": "task.b"}),
        ({"known_worker_sid": "task.a"}, {"known_worker_friendly_name": "task.a"}),
        ({"skip_if": "workers.${activity:Idle}==0"}, {"skip_if": "workers.${activity:Busy} == 0"}),
        ({"expression": "a == '${worker:A}'"}, {"expression": "a == '${activity:A}'"}),
    ],
)
def test_content_of_a_target_affects_its_meaning(first, second):
    assert not have_same_meaning(with_target(**first), with_target(**second))


def test_queue_of_the_preceding_target_is_the_default():
    first = Target(queue="All", timeout=1)
    filters = [
        Filter(targets=(first, Target(queue=queue), Target(queue="a}b%c")))
        for queue in (None, "All", "a}b%c")
    ]
    inherited, same, other = (Routing(filters=(item,)) for item in filters)
    assert have_same_meaning(inherited, same)
    assert not have_same_meaning(inherited, other)


def test_filter_name_and_default_filter_affect_the_meaning():
    routing = Routing(filters=(Filter(targets=(Target(queue="All"),)),))
    named = Filter(filter_friendly_name="F", targets=(Target(queue="All"),))
    assert not have_same_meaning(routing, replace(routing, filters=(named,)))
    assert not have_same_meaning(routing, replace(routing, default_filter=Target(queue="All")))
    assert have_same_meaning(routing, replace(routing, omits_default_filter=True))


@pytest.mark.parametrize("name", ["Idle", "On a break", "a}b", "100%", "%7D", "%257D", "Zoë", ""])
def test_variable_can_contain_any_name(name):
    directory = Directory({("activity", name): IDLE})
    text = replace_sids(f"workers.{IDLE} == 0 AND workers.{IDLE} > 1", directory)
    assert IDLE not in text
    assert find_names(text) == [("activity", name)] * 2
    assert replace_names(text, directory.sid) == f"workers.{IDLE} == 0 AND workers.{IDLE} > 1"


def test_directory_finds_names_by_sid():
    assert DIRECTORY.find(IDLE) == ("activity", "Idle")
    assert DIRECTORY.find("WA" + "0" * 32) is None


@pytest.mark.parametrize(("kind", "prefix"), sorted(PREFIXES.items()))
def test_sid_of_each_type_of_resource_is_replaced_by_a_variable(kind, prefix):
    sid = DIRECTORY.sid(kind, "All")
    assert sid.startswith(prefix)
    assert replace_sids(f"x == '{sid}'", DIRECTORY) == f"x == '${{{kind}:All}}'"
