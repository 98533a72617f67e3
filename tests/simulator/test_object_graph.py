"""Objects that refer to each other survive a conversion to JSON and back."""

import json
import math
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple, Optional

import pytest

from taskrouter_simulator.continuations import FUNCTIONS, Continuation, continuation
from taskrouter_simulator.object_graph import Reader, Writer


class Color(StrEnum):
    RED = "red"


class Point(NamedTuple):
    at: float
    color: Color


@dataclass(frozen=True)
class Value:
    number: int = 0


@dataclass(eq=False)
class Node:
    sid: str
    parent: "Node | None" = None
    old_style: Optional["Node"] = None
    children: list["Node"] = field(default_factory=list)
    by_name: dict[str, "Node"] = field(default_factory=dict)
    in_order: OrderedDict[str, int] = field(default_factory=OrderedDict)
    value: Value | None = None
    values: tuple[Value, ...] = ()
    names: frozenset[str] = frozenset()
    numbers: set[int] = field(default_factory=set)
    points: deque[Point] = field(default_factory=deque)
    limit: float = math.inf
    data: Any = None
    action: Callable[[], None] | None = None
    then: Continuation | None = None


@dataclass
class Owner:
    calls: list[Any] = field(default_factory=list)

    @continuation
    def keep(self, node: Node, number: int, response: str = "") -> None:
        self.calls.append((node, number, response))


@continuation
def call_later(owner: Owner, then: Continuation) -> None:
    then()
    owner.calls.append("later")


def copied(value, hint, **roots):
    """Convert a value to JSON and back; return the copy and the stored objects."""
    writer = Writer(roots)
    data, objects = json.loads(json.dumps([writer.write(value, hint), writer.objects]))
    return Reader(objects, roots).read(data, hint), objects


def test_cycles_and_shared_objects_are_preserved():
    parent, shared = Node("A"), Value(3)
    child = Node("B", parent=parent, old_style=parent, value=shared, values=(shared, Value(4)))
    parent.children, parent.by_name = [child, child], {"x": child}
    copy, objects = copied(parent, Node)
    first, second = copy.children
    assert first is second is copy.by_name["x"]
    assert first.parent is first.old_style is copy
    assert first.value is first.values[0]
    assert first.values == (Value(3), Value(4))
    assert sorted(objects) == ["2", "3", "A", "B"]
    assert objects["B"]["parent"] == "A"


def test_containers_and_numbers_keep_their_types():
    node = Node("A", names=frozenset("ba"), numbers={2, 1}, data=[1, {"a": None}])
    node.points.append(Point(5.0, Color.RED))
    node.in_order = OrderedDict(b=1, a=2)
    copy, objects = copied(node, Node)
    assert objects["A"]["names"] == ["a", "b"]
    assert objects["A"]["numbers"] == [1, 2]
    assert (copy.names, copy.numbers, copy.data) == (frozenset("ab"), {1, 2}, [1, {"a": None}])
    assert (copy.points, copy.limit, copy.values) == (deque([Point(5.0, Color.RED)]), math.inf, ())
    assert type(copy.points[0].color) is Color
    assert copy.in_order.popitem(last=False) == ("b", 1)
    assert type(Reader({}, {}).read(5, float)) is float
    assert type(Reader({}, {}).read(5.0, int)) is int


def test_two_objects_with_the_same_sid_remain_distinct():
    copy, _ = copied([Node("A", data=1), Node("A", data=2)], list[Node])
    assert [node.data for node in copy] == [1, 2]


def test_keys_stay_unique_after_objects_are_garbage_collected():
    writer = Writer({})
    keys = [writer.write(Value(number), Value) for number in range(100)]
    assert len(set(keys)) == len(writer.objects) == 100


def test_method_call_on_a_root_object_is_preserved():
    owner, node = Owner(), Node("A")
    node.action = partial(owner.keep, node, 5)
    copy, objects = copied(node, Node, owner=owner)
    assert objects["A"]["action"] == {
        "function": "test_object_graph.Owner.keep",
        "arguments": ["owner", "A", 5],
    }
    copy.action("response")
    assert owner.calls == [(copy, 5, "response")]


def test_call_that_takes_another_call_as_an_argument_is_preserved():
    owner, node = Owner(), Node("A")
    node.then = partial(call_later, owner, partial(owner.keep, node, 6))
    copy, _ = copied(node, Node, owner=owner)
    copy.then()
    assert owner.calls == [(copy, 6, ""), "later"]


def not_registered() -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    "action",
    [
        partial(lambda: None),
        partial(not_registered),
        partial(call_later, Owner(), then=partial(not_registered)),
    ],
)
def test_call_to_an_unregistered_function_is_rejected(action):
    with pytest.raises(TypeError, match="cannot be stored"):
        Writer({}).write(action, Continuation)


def test_function_with_the_name_of_another_function_is_rejected(monkeypatch):
    monkeypatch.setitem(FUNCTIONS, "test_object_graph.not_registered", call_later)
    with pytest.raises(TypeError, match="cannot be stored"):
        Writer({}).write(partial(not_registered), Continuation)


@pytest.mark.parametrize("hint", [object, bytes, Owner | Node, type(None), "Node"])
def test_value_of_an_unsupported_type_is_rejected(hint):
    for convert in (Writer({}).write, Reader({}, {}).read):
        with pytest.raises((TypeError, ValueError)):
            convert("x", hint)


def test_missing_field_gets_its_default():
    copy = Reader({"A": {"sid": "A"}}, {}).read("A", Node)
    assert (copy.children, copy.limit, copy.parent) == ([], math.inf, None)


@pytest.mark.parametrize(
    ("objects", "error", "message"),
    [
        ({"A": {}}, ValueError, "sid is missing"),
        ({"A": {"sid": "A", "more": 1}}, ValueError, "Node has no field more"),
        ({}, KeyError, "A"),
        ({"A": {"sid": "A", "action": {"function": "os.system", "arguments": []}}}, KeyError, "os"),
        ({"A": {"sid": "A", "points": [[1]]}}, ValueError, "zip"),
        ({"A": {"sid": "A", "points": [[1, "blue"]]}}, ValueError, "blue"),
        ({"A": {"sid": None}}, TypeError, "None is not a str"),
        ({"A": {"sid": 7}}, TypeError, "7 is not a str"),
        ({"A": {"sid": "A", "children": None}}, TypeError, "iterable"),
        ({"A": {"sid": "A", "value": "A"}}, TypeError, "A is not a Value"),
        ({"A": {"sid": "A", "limit": 10**400}}, OverflowError, "large"),
    ],
)
def test_incompatible_json_is_rejected(objects, error, message):
    with pytest.raises(error, match=message):
        Reader(objects, {}).read("A", Node)
