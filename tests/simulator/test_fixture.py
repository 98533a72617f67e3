"""The public pytest fixture `taskrouter`, and simulators started by `running`."""

import json
import socket
import subprocess
import sys
import time
import urllib.error

import pytest

from taskrouter_simulator.setting_values import SettingsError
from taskrouter_simulator.testing import TaskRouter, running
from taskrouter_simulator.testing import taskrouter as new_simulator
from tests.simulator.test_seed_description import MINIMAL

__all__ = ["new_simulator"]


def test_fixture_runs_new_simulator(new_simulator):
    assert new_simulator.log() == []
    assert new_simulator.client().taskrouter.v1.workspaces(new_simulator.workspace_sid).fetch()


@pytest.mark.parametrize("new_simulator", [{"reservation_timeout": 7}], indirect=True)
def test_settings_are_passed_by_indirect_parametrization(new_simulator):
    workspace = new_simulator.client().taskrouter.v1.workspaces(new_simulator.workspace_sid)
    assert workspace.workflows(new_simulator.workflow_sid).fetch().task_reservation_timeout == 7


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mixed_types", "nonsense", "must be one of unequal, false, numbers, not 'nonsense'"),
        ("control_token", "x", "must be at least 16 printable ASCII characters without spaces"),
        ("frozen_clock", "maybe", "must be true or false, not 'maybe'"),
        ("reservation_timeout", "soon", "must be a whole number, not 'soon'"),
        ("reservation_timeout", True, "must be a whole number, not 'True'"),
        ("callback_base_url", "here", "must be a URL, not 'here'"),
        ("allowed_hosts", ["a.example"], "must be a string, a number, True or False, not list"),
        ("control_token", b"x" * 16, "must be a string, a number, True or False, not bytes"),
    ],
)
def test_invalid_setting_is_rejected(name, value, message):
    with pytest.raises(SettingsError) as error, running(**{name: value}):
        pass
    assert str(error.value) == f"SIMULATOR_{name.upper()} {message}"


def test_unknown_setting_is_rejected():
    with pytest.raises(SettingsError) as error, running(reservation_timout=7):
        pass
    assert str(error.value) == (
        "unknown setting 'reservation_timout'; did you mean reservation_timeout?"
    )


def test_settings_may_be_strings_or_paths(tmp_path):
    file = tmp_path / "workspace.json"
    file.write_text(json.dumps({**MINIMAL, "friendly_name": "From a file"}), encoding="utf-8")
    settings = {"frozen_clock": "false", "routing_delay": "0.5", "workspace_file": file}
    with running(**settings) as taskrouter:
        before = taskrouter._request("POST", "/clock", {"advance": 0})["now"]
        after = taskrouter._request("POST", "/clock", {"advance": 0})["now"]
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid).fetch()
    assert after > before
    assert workspace.friendly_name == "From a file"


def test_simulator_runs_on_the_chosen_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with running(port=port) as taskrouter:
        assert taskrouter.url == f"http://127.0.0.1:{port}"


def test_callbacks_are_disabled_without_base_url(new_simulator):
    workspace = new_simulator.client().taskrouter.v1.workspaces(new_simulator.workspace_sid)
    assert workspace.workflows(new_simulator.workflow_sid).fetch().assignment_callback_url is None

    with pytest.raises(urllib.error.HTTPError) as error:
        new_simulator.place_call("+1", "+2")
    assert error.value.__notes__ == [
        "url must be an absolute URL; it can be omitted only if the voice_path setting is not empty"
    ]


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

    # Other programs may use most of the CPU, so only one of five starts has to be fast enough.
    assert any(start() < 0.9 for _ in range(5))


FIRST_START = """
import time
from taskrouter_simulator.testing import running

begin = time.perf_counter()
with running():
    started = time.perf_counter()
print(started - begin, time.perf_counter() - started)
"""


def measure_new_process():
    """Return how many seconds a new process takes to start and to stop its first simulator."""
    command = [sys.executable, "-c", FIRST_START]
    output = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return [float(seconds) for seconds in output.split()]


@pytest.mark.slow
@pytest.mark.alone
def test_first_simulator_starts_in_50_ms_and_stops_in_20_ms():
    # Other programs may use the CPU, so only one of ten processes has to be fast enough.
    measurements = (measure_new_process() for _ in range(10))
    assert any(start < 0.050 and stop < 0.020 for start, stop in measurements)


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
