"""The public pytest fixture and its methods."""

import time
import urllib.error

import pytest

from taskrouter_simulator.testing import TaskRouter, running
from taskrouter_simulator.testing import taskrouter as fresh

__all__ = ["fresh"]


def test_fixture_runs_new_simulator(fresh):
    assert fresh.log() == []
    assert fresh.client().taskrouter.v1.workspaces(fresh.workspace_sid).fetch()


@pytest.mark.parametrize("fresh", [{"reservation_timeout": 7}], indirect=True)
def test_settings_are_passed_by_indirect_parametrization(fresh):
    workspace = fresh.client().taskrouter.v1.workspaces(fresh.workspace_sid)
    assert workspace.workflows(fresh.workflow_sid).fetch().task_reservation_timeout == 7


def test_no_callbacks_without_base_url(fresh):
    workspace = fresh.client().taskrouter.v1.workspaces(fresh.workspace_sid)
    assert workspace.workflows(fresh.workflow_sid).fetch().assignment_callback_url is None

    with pytest.raises(urllib.error.HTTPError) as refused:
        fresh.place_call("+1", "+2")
    assert refused.value.__notes__ == ["a url is needed: the settings name no app to call"]


def test_proxy_of_environment_is_ignored(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with running() as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        assert workspace.fetch().sid == taskrouter.workspace_sid


def test_simulator_starts_in_under_a_second():
    began = time.monotonic()
    with running():
        assert time.monotonic() - began < 0.9


def test_two_simulators_run_side_by_side():
    with running() as first, running() as second:
        first.client().taskrouter.v1.workspaces(first.workspace_sid).update(friendly_name="One")
        names = [
            TaskRouter(each.url)
            .client()
            .taskrouter.v1.workspaces(each.workspace_sid)
            .fetch()
            .friendly_name
            for each in (first, second)
        ]
    assert names == ["One", "Quickstart"]
