"""The public pytest fixture `taskrouter`, and simulators started by `running`."""

import statistics
import time
import urllib.error

import pytest

from taskrouter_simulator.testing import TaskRouter, running
from taskrouter_simulator.testing import taskrouter as new_simulator

__all__ = ["new_simulator"]


def test_fixture_runs_new_simulator(new_simulator):
    assert new_simulator.log() == []
    assert new_simulator.client().taskrouter.v1.workspaces(new_simulator.workspace_sid).fetch()


@pytest.mark.parametrize("new_simulator", [{"reservation_timeout": 7}], indirect=True)
def test_settings_are_passed_by_indirect_parametrization(new_simulator):
    workspace = new_simulator.client().taskrouter.v1.workspaces(new_simulator.workspace_sid)
    assert workspace.workflows(new_simulator.workflow_sid).fetch().task_reservation_timeout == 7


def test_callbacks_are_disabled_without_base_url(new_simulator):
    workspace = new_simulator.client().taskrouter.v1.workspaces(new_simulator.workspace_sid)
    assert workspace.workflows(new_simulator.workflow_sid).fetch().assignment_callback_url is None

    with pytest.raises(urllib.error.HTTPError) as error:
        new_simulator.place_call("+1", "+2")
    assert error.value.__notes__ == ["url is required if the setting voice_path is empty"]


def test_environment_proxy_is_ignored(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with running() as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        assert workspace.fetch().sid == taskrouter.workspace_sid


def test_simulator_starts_in_under_a_second():
    def start():
        before = time.monotonic()
        with running():
            return time.monotonic() - before

    assert any(start() < 0.9 for _ in range(5))  # other programs may use most of the CPU


@pytest.mark.slow
@pytest.mark.alone
def test_simulator_starts_in_50_ms_and_stops_in_20_ms():
    starts, stops = [], []
    for _ in range(31):
        begin = time.perf_counter()
        with running():
            starts.append(time.perf_counter() - begin)
            end = time.perf_counter()
        stops.append(time.perf_counter() - end)
    assert statistics.median(starts) < 0.050
    assert statistics.median(stops) < 0.020


def test_two_simulators_run_side_by_side():
    with running() as first, running() as second:
        first.client().taskrouter.v1.workspaces(first.workspace_sid).update(friendly_name="One")
        names = [
            TaskRouter(simulator.url)
            .client()
            .taskrouter.v1.workspaces(simulator.workspace_sid)
            .fetch()
            .friendly_name
            for simulator in (first, second)
        ]
    assert names == ["One", "Quickstart"]
