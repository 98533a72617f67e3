"""The names that each kind of expression accepts, and the errors for other names."""

import pytest

from taskrouter_simulator.engine import names, workspaces
from taskrouter_simulator.engine.errors import BadRequest
from tests.simulator.conftest import Simulation

SCOPES = {
    "filter": names.FILTER,
    "target": names.TARGET,
    "skip_if": names.SKIP_IF,
    "order_by": names.ORDER_BY,
    "known_worker": names.KNOWN_WORKER,
    "workers": names.WORKERS,
}
VOICE = "worker.channel.voice"
NAMES = {
    "task.a": {"filter", "target", "skip_if", "known_worker"},
    "task.sid": {"filter", "target", "skip_if", "known_worker"},
    "taskrouter.currentTime": {"filter", "target", "skip_if"},
    "taskrouter.currentHour": {"filter", "target", "skip_if"},
    "taskrouter.currentMin": {"filter", "target", "skip_if"},
    "taskrouter.dayOfWeek": {"filter", "target", "skip_if"},
    "taskrouter.x": set(),
    "taskrouter.dayOfWeek.x": set(),
    "worker.a": {"target", "order_by", "workers"},
    "worker.sid": {"target", "workers"},
    "worker.friendly_name": {"target", "workers"},
    "worker.activity_sid": {"target", "workers"},
    "worker.activity_name": {"target", "workers"},
    f"{VOICE}.assigned_tasks": {"target", "order_by", "workers"},
    f"{VOICE}.available_capacity_percentage": {"target", "order_by", "workers"},
    f"{VOICE}.configured_capacity": {"target", "order_by", "workers"},
    f"{VOICE}.available": {"target", "workers"},
    f"{VOICE}.x": set(),
    VOICE: set(),
    "worker.channel": set(),
    "worker.channel.fax.assigned_tasks": set(),
    "workers.available": {"skip_if"},
    "workers.unavailable": {"skip_if"},
    "workers.WA0": set(),
    "a": {"filter", "skip_if", "known_worker", "workers"},
    "a.b[0]": {"filter", "skip_if", "known_worker", "workers"},
    "task": {"workers"},
    "worker": {"filter", "skip_if", "known_worker"},
    "workers": {"filter", "known_worker", "workers"},
    "taskrouter": {"known_worker", "workers"},
    "channel": {"filter", "skip_if", "known_worker", "workers"},
    "channel.voice.assigned_tasks": {"filter", "skip_if", "known_worker"},
    "task.1a": set(),
}


def is_accepted(name, scope):
    simulation = Simulation()
    keys = tuple(name.replace("[0]", "").split("."))
    try:
        names.require_names(
            [keys], SCOPES[scope], simulation.workspace, names_may_begin_with_digit=False
        )
    except names.ExpressionError:
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_name_is_accepted_only_in_its_scopes(name):
    assert {scope for scope in SCOPES if is_accepted(name, scope)} == NAMES[name]


SUPPLIED = "is not a name that TaskRouter supplies, such as taskrouter.dayOfWeek,"


@pytest.mark.parametrize(
    ("scope", "text", "message"),
    [
        ("workers", "task.a == 1", "task.a is not available here; names can begin with `worker.`"),
        (
            "filter",
            "worker.a == 1",
            "worker.a is not available here; names can begin with `task.` or `taskrouter.`",
        ),
        ("target", "a == 1", "a must begin with `task.` or `worker.` or `taskrouter.`"),
        ("filter", "task == 1", "task must be followed by a name, as in task.name"),
        (
            "workers",
            "channel.voice.available == true",
            "channel.voice.available must begin with `worker.`",
        ),
        (
            "filter",
            "taskrouter.x == 1",
            (
                "taskrouter.x is not known: x is not one of currentTime,"
                " currentHour, currentMin, dayOfWeek"
            ),
        ),
        (
            "workers",
            "worker.channel.voice.x == 1",
            (
                "worker.channel.voice.x is not known: x is not one of"
                " assigned_tasks, available, available_capacity_percentage, configured_capacity"
            ),
        ),
        (
            "workers",
            "worker.channel.x.available == 1",
            (
                "worker.channel.x.available is not known: x"
                " is not one of default, voice, sms, chat, video"
            ),
        ),
        (
            "workers",
            "worker.channel.voice == 1",
            (
                f"worker.channel.voice {SUPPLIED} workers.available"
                " or worker.channel.voice.assigned_tasks"
            ),
        ),
        ("filter", "task.a.1b == 1", "task.a.1b contains a name that begins with a digit"),
        ("filter", "task.a[1].1b == 1", "task.a[1].1b contains a name that begins with a digit"),
    ],
)
def test_error_states_name_and_reason(scope, text, message):
    simulation = Simulation()
    with pytest.raises(BadRequest) as error:
        workspaces.require_expression(
            simulation.engine, simulation.workspace, text, SCOPES[scope], "X"
        )
    assert error.value.message == f"X is invalid: {message}"


def test_long_reference_is_truncated_in_error():
    simulation = Simulation()
    name = "task." + "a" * 300 + ".1b"
    with pytest.raises(BadRequest) as error:
        workspaces.require_expression(
            simulation.engine, simulation.workspace, f"{name} == 1", names.FILTER, "X"
        )
    assert error.value.message == (
        f"X is invalid: {name[:200]} contains a name that begins with a digit"
    )


@pytest.mark.parametrize("name", ["worker.sid", "worker.activity_name"])
def test_string_in_order_by_is_rejected_with_reason(name):
    simulation = Simulation()
    with pytest.raises(names.ExpressionError) as error:
        names.require_names(
            [tuple(name.split("."))], names.ORDER_BY, simulation.workspace,
            names_may_begin_with_digit=True,
        )  # fmt: skip
    assert str(error.value) == f"{name} is a string, but order_by sorts by numbers"
