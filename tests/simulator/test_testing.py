"""What other people's test suites use."""

import time
import urllib.error

import pytest

from taskrouter_simulator.testing import TaskRouter, running
from taskrouter_simulator.testing import taskrouter as fresh

__all__ = ["fresh"]


def test_the_fixture_gives_a_simulator_of_ones_own(fresh):
    assert fresh.log() == []
    assert fresh.client().taskrouter.v1.workspaces(fresh.workspace_sid).fetch()


@pytest.mark.parametrize("fresh", [{"reservation_timeout": 7}], indirect=True)
def test_settings_go_in_by_indirect_parametrization(fresh):
    workspace = fresh.client().taskrouter.v1.workspaces(fresh.workspace_sid)
    assert workspace.workflows(fresh.workflow_sid).fetch().task_reservation_timeout == 7


def test_without_a_base_url_nobody_is_called(fresh):
    workspace = fresh.client().taskrouter.v1.workspaces(fresh.workspace_sid)
    assert workspace.workflows(fresh.workflow_sid).fetch().assignment_callback_url is None

    with pytest.raises(urllib.error.HTTPError) as refused:
        fresh.place_call("+1", "+2")
    assert refused.value.__notes__ == ["a url is needed: the settings name no app to call"]


def test_a_proxy_of_the_shell_is_not_asked(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with running() as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        assert workspace.fetch().sid == taskrouter.workspace_sid


def test_it_is_up_in_well_under_a_second():
    began = time.monotonic()
    with running():
        assert time.monotonic() - began < 0.9


def test_two_run_side_by_side_and_a_handle_reaches_either():
    with running() as one, running() as other:
        one.client().taskrouter.v1.workspaces(one.workspace_sid).update(friendly_name="One")
        names = [
            TaskRouter(each.url)
            .client()
            .taskrouter.v1.workspaces(each.workspace_sid)
            .fetch()
            .friendly_name
            for each in (one, other)
        ]
    assert names == ["One", "Quickstart"]
