"""The command, and simulators started by `running`, in the test process."""

import importlib
import re
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime

import pytest
import requests
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

import taskrouter_simulator
from taskrouter_simulator.__main__ import main
from taskrouter_simulator.clock import Clock
from taskrouter_simulator.server import Simulator, _clock, base_url, listen, uvicorn_config
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.testing import running
from tests.simulator.test_seed_description import MINIMAL


@pytest.fixture
def signal_handlers():
    """Restore the signal handlers that the command replaces."""
    names = (signal.SIGTERM, signal.SIGINT)
    handlers = [signal.getsignal(name) for name in names]
    yield
    for name, handler in zip(names, handlers, strict=True):
        signal.signal(name, handler)


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_command_serves_requests_until_signal(capsys, signal_handlers, signal_number):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    statuses, ended = [], threading.Event()

    def request_and_stop():
        while not statuses and not ended.is_set():
            try:
                with urllib.request.urlopen(f"{url}/simulator", timeout=5) as response:  # noqa: S310
                    statuses.append(response.status)
            except OSError:
                continue
        if not ended.is_set():
            signal.raise_signal(signal_number)

    client = threading.Thread(target=request_and_stop)
    client.start()
    try:
        with pytest.raises(SystemExit) as exit_info:
            main(["--port", str(port), "--reservation-timeout", "7"])
    finally:
        ended.set()
        client.join()
    assert (statuses, exit_info.value.code) == ([200], 0)
    assert capsys.readouterr().out == f"TaskRouter simulator ready on {url}\n"


def test_help_shows_settings_and_their_defaults(capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["--help"])
    assert exit_info.value.code == 0
    output = " ".join(capsys.readouterr().out.split())
    assert output.startswith("usage: taskrouter-simulator [-h] [--version] [--host HOST]")
    assert "Run the TaskRouter simulator until SIGINT or SIGTERM." in output
    assert re.search(
        r"--port PORT port to listen on; 0 picks a free port \(SIMULATOR_PORT;", output
    )
    assert "SIMULATOR_HOST; default '127.0.0.1')" in output


def test_version_option_prints_the_version_of_the_package(capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["--version"])
    assert exit_info.value.code == 0
    assert capsys.readouterr().out == f"taskrouter-simulator {taskrouter_simulator.__version__}\n"
    assert re.fullmatch("[0-9]+[.][0-9]+[.][0-9]+", taskrouter_simulator.__version__)


def test_error_for_an_unwritable_recording_identifies_the_setting(capsys, tmp_path):
    assert main(["--record-file", str(tmp_path), "--port", "0"]) == 1
    assert capsys.readouterr().err == (
        f"simulator: SIMULATOR_RECORD_FILE must be a writable file, not '{tmp_path}':"
        " Is a directory\n"
    )


def ipv6_loopback_is_available():
    try:
        listen("::1", 0).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not ipv6_loopback_is_available(), reason="this machine has no IPv6 loopback")
@pytest.mark.parametrize("frozen_clock", [True, False])
def test_simulator_listens_on_an_ipv6_address(frozen_clock):
    with running(host="::1", frozen_clock=frozen_clock) as taskrouter:
        assert re.fullmatch(r"http://\[::1\]:[0-9]+", taskrouter.url)
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        assert workspace.fetch().sid == taskrouter.workspace_sid


def test_url_of_a_listener_puts_an_ipv6_address_in_brackets():
    addresses = {"127.0.0.1": "127.0.0.1:80", "::1": "[::1]:80"}
    for host, netloc in addresses.items():
        assert base_url((host, 80, 0, 0)) == f"http://{netloc}"
    assert base_url(("127.0.0.1", 80)) == "http://127.0.0.1:80"


def test_option_overrides_environment_variable(capsys, monkeypatch):
    monkeypatch.setenv("SIMULATOR_PORT", "x")
    assert main(["--port", "y"]) == 1
    assert capsys.readouterr().err == "simulator: SIMULATOR_PORT must be a whole number, not 'y'\n"
    assert main([]) == 1
    assert capsys.readouterr().err == "simulator: SIMULATOR_PORT must be a whole number, not 'x'\n"


def test_misspelled_environment_variables_are_reported(capsys, monkeypatch):
    others = ["SIMULATOR_URL", "SIMULATOR_SERVICE_HOST", "SIMULATOR_PORT_8002_TCP", "OTHER_PROT"]
    for name in ("SIMULATOR_PROT", "SIMULATOR_LOGSIZE", "SIMULATOR_SEED", *others):
        monkeypatch.setenv(name, "1")
    assert main(["--port", "x"]) == 1
    assert capsys.readouterr().err == (
        "simulator: SIMULATOR_LOGSIZE is not a setting; did you mean SIMULATOR_LOG_SIZE?\n"
        "simulator: SIMULATOR_PROT is not a setting; did you mean SIMULATOR_PORT?\n"
        "simulator: SIMULATOR_PORT must be a whole number, not 'x'\n"
    )


def test_responses_have_date_and_keep_connection_alive():
    with running() as taskrouter, requests.Session() as session:
        responses = [session.get(f"{taskrouter.url}/simulator", timeout=5) for _ in range(2)]
    assert all("Date" in response.headers for response in responses)
    assert all(response.headers.get("Connection") != "close" for response in responses)


def test_simulator_stops_immediately():
    def stop():
        with running() as taskrouter:
            requests.get(f"{taskrouter.url}/simulator", timeout=5)
            start = time.monotonic()
        return time.monotonic() - start

    assert any(stop() < 0.4 for _ in range(5))  # a busy CPU may delay some attempts


def test_waiting_request_delays_the_shutdown_only_by_the_grace_period():
    errors = []

    def wait(url, auth):
        try:
            requests.get(url, auth=auth, timeout=30)
        except requests.ConnectionError as error:
            errors.append(error)

    with running() as taskrouter:
        taskrouter.fault("request", "latency", seconds=60)
        auth = (taskrouter.account_sid, taskrouter.auth_token)
        client = threading.Thread(target=wait, args=(f"{taskrouter.url}/v1/Workspaces", auth))
        client.start()
        while taskrouter._request("GET", "/faults")["faults"]:
            pass
        start = time.monotonic()
    client.join()
    assert 0.9 < time.monotonic() - start < 5
    assert len(errors) == 1


def test_server_configuration_sets_log_level_websocket_protocol_and_timeouts():
    config = uvicorn_config(Simulator(Settings()))
    assert (config.log_level, config.access_log, config.lifespan) == ("warning", False, "on")
    assert issubclass(config.ws, WebSocketsSansIOProtocol)
    assert (config.timeout_graceful_shutdown, config.timeout_keep_alive) == (1, 120)


def test_listening_socket_sends_small_packets_immediately():
    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_clock_is_frozen_or_follows_real_time():
    before = time.time()
    frozen, moving = _clock(Settings(frozen_clock=True)), _clock(Settings(seed="1"))
    assert isinstance(frozen, Clock)
    first = (frozen.now(), moving.now())
    second = (frozen.now(), moving.now())
    after = time.time()
    assert first[0] == second[0]
    assert first[1] < second[1]
    assert before - 0.1 <= first[0] <= after + 0.1
    assert before - 0.1 <= first[1] <= after + 0.1


def test_frozen_clock_with_a_seed_starts_at_the_beginning_of_2026():
    clock = _clock(Settings(frozen_clock=True, seed="1"))
    assert datetime.fromtimestamp(clock.now(), UTC).isoformat() == "2026-01-01T00:00:00+00:00"


def test_rejected_reset_changes_nothing():
    with running() as taskrouter:
        client = taskrouter.client()
        tasks = client.taskrouter.v1.workspaces(taskrouter.workspace_sid).tasks
        task = tasks.create(attributes='{"selected_language": "es"}', timeout=100)
        taskrouter.fault("request", "error", path="/never")
        log, faults = taskrouter.log(), taskrouter._request("GET", "/faults")
        assert log
        assert faults["faults"]
        unknown_activity = {**MINIMAL, "workers": [{"friendly_name": "Zoe", "activity": "x"}]}
        with pytest.raises(urllib.error.HTTPError):
            taskrouter.reset(unknown_activity)
        assert (taskrouter.log(), taskrouter._request("GET", "/faults")) == (log, faults)
        taskrouter.advance(100)
        assert tasks(task.sid).fetch().assignment_status == "canceled"


def simulated_time(taskrouter):
    return taskrouter._request("POST", "/clock", {"advance": 0})["now"]


def test_reset_returns_to_the_start_time_and_drops_timers_faults_and_the_log():
    with running() as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        start = simulated_time(taskrouter)
        workspace.tasks.create(attributes='{"selected_language": "es"}', timeout=100)
        taskrouter.fault("request", "error", path="/never")
        taskrouter.advance(7)
        assert simulated_time(taskrouter) == start + 7
        taskrouter.reset()
        assert simulated_time(taskrouter) == start
        assert taskrouter._request("GET", "/faults") == {"faults": []}
        taskrouter.fault("request", "error", path="/never")
        assert [fault["id"] for fault in taskrouter._request("GET", "/faults")["faults"]] == [1]
        assert taskrouter.log() == []
        taskrouter.advance(100)
        assert {event.event_type for event in workspace.events.list()}.isdisjoint(
            {"task.canceled", "task.created"}
        )


def test_reset_returns_a_running_clock_to_real_time():
    with running(frozen_clock=False) as taskrouter:
        taskrouter.advance(86_400)
        before = time.time()
        taskrouter.reset()
        assert before - 0.1 <= simulated_time(taskrouter) <= time.time() + 0.1


@pytest.mark.parametrize("kind", [None, "request"])
def test_log_can_be_filtered_by_kind_and_id(taskrouter, workspace, kind):
    workspace.fetch()
    workspace.fetch()
    entries = taskrouter.log(kind)
    assert len(entries) == 2
    assert taskrouter.log(kind, after=entries[0]["id"]) == entries[1:]
    assert taskrouter.log("alert") == []


def test_command_reports_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(SystemExit) as exit_info:
        importlib.reload(sys.modules[main.__module__])
    assert exit_info.value.code == (
        "simulator: the package uvicorn is not installed. Reinstall taskrouter-simulator with its"
        " dependencies, or, in a checkout of the repository, start the simulator with"
        " `make services`."
    )
