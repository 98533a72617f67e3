"""Workers are found by the exact value of their friendly name or of an attribute."""

import json

import pytest

from chalicelib.adapters.secrets import FixedSecrets, Secrets
from chalicelib.adapters.twilio.taskrouter import TwilioTaskRouter
from chalicelib.domain.errors import TaskRouterRefused
from taskrouter_simulator.testing import TaskRouter as Simulator


@pytest.fixture
def directory(taskrouter: Simulator) -> TwilioTaskRouter:
    return TwilioTaskRouter(
        base_url=taskrouter.url,
        account_sid=taskrouter.account_sid,
        secrets=FixedSecrets(Secrets((), {taskrouter.api_key_sid: taskrouter.api_key_secret})),
        workspace_sid=taskrouter.workspace_sid,
    )


def add_worker(taskrouter: Simulator, name: str, **attributes: object) -> str:
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    worker = workspace.workers.create(friendly_name=name, attributes=json.dumps(attributes))
    return str(worker.sid)


@pytest.mark.parametrize(
    "value",
    [
        "carol@example.com",
        "o'brien+test@example.com",
        "José Núñez",
        "a == b OR 1 == 1",
        "' OR 1==1 OR name == '",
        "%s {x} [y] & = # ?",
    ],
)
def test_worker_is_found_by_exact_name_and_by_exact_attribute(
    taskrouter: Simulator, directory: TwilioTaskRouter, value: str
) -> None:
    sid = add_worker(taskrouter, value, login={"name": value})
    add_worker(taskrouter, f"{value}x", login={"name": f"{value}x"})
    assert directory.find_workers("friendly_name", value) == [sid]
    assert directory.find_workers("login.name", value) == [sid]


def test_all_workers_with_the_value_are_found(
    taskrouter: Simulator, directory: TwilioTaskRouter
) -> None:
    sids = {add_worker(taskrouter, name, email="team@example.com") for name in ("c", "d")}
    assert set(directory.find_workers("email", "team@example.com")) == sids


@pytest.mark.parametrize("value", ["CAROL@example.com", "carol@example.co", "", "nobody"])
def test_worker_with_a_different_value_is_not_found(
    taskrouter: Simulator, directory: TwilioTaskRouter, value: str
) -> None:
    add_worker(taskrouter, "carol@example.com", email="carol@example.com")
    assert directory.find_workers("email", value) == []
    if value:
        assert directory.find_workers("friendly_name", value) == []


@pytest.mark.parametrize(
    "value",
    ['" OR 1 == 1 OR email == "', 'a"b', "a\\", '\\" OR 1 == 1 OR email == \\"', "\\u0022"],
)
def test_value_that_could_change_the_expression_is_found_only_as_a_friendly_name(
    taskrouter: Simulator, directory: TwilioTaskRouter, value: str
) -> None:
    add_worker(taskrouter, "carol", email=value)
    assert directory.find_workers("email", value) == []
    add_worker(taskrouter, value)
    assert len(directory.find_workers("friendly_name", value)) == 1


@pytest.mark.parametrize(
    "attributes",
    [{}, {"login": "x"}, {"login": {"name": 5}}, {"login": {"name": ["x"]}}, {"login": ["name"]}],
)
def test_worker_without_the_attribute_is_not_found(
    taskrouter: Simulator, directory: TwilioTaskRouter, attributes: dict[str, object]
) -> None:
    add_worker(taskrouter, "carol", **attributes)
    assert directory.find_workers("login.name", "x") == []


def test_refused_expression_is_reported(directory: TwilioTaskRouter) -> None:
    with pytest.raises(TaskRouterRefused):
        directory.find_workers("in", "x")
