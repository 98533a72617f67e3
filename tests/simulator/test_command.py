"""The `python -m taskrouter_simulator` command."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from taskrouter_simulator.__main__ import main
from taskrouter_simulator.setting_values import SettingsError, read
from taskrouter_simulator.testing import TaskRouter


@contextmanager
def running_command(*arguments, **environment):
    """Run the command with its output in pipes; kill the process on exit."""
    with subprocess.Popen(
        [sys.executable, "-m", "taskrouter_simulator", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_ctrl_c_during_the_imports_prints_no_traceback(tmp_path):
    stub = 'import time; print("importing", flush=True); time.sleep(30)'
    (tmp_path / "uvicorn.py").write_text(stub)
    with running_command(PYTHONPATH=str(tmp_path)) as process:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == -signal.SIGINT
        assert process.stderr.read() == ""


def test_failing_test_leaves_no_process_running():
    def fail():
        with running_command("--port", "0") as process:
            processes.append(process)
            process.stdout.readline()
            raise ZeroDivisionError

    processes = []
    with pytest.raises(ZeroDivisionError):
        fail()
    assert processes[0].returncode == -signal.SIGKILL


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_command_reports_readiness_and_exits_cleanly(signal_number):
    with running_command("--port", "0") as process:
        url = re.search(r"http://\S+", process.stdout.readline()).group()
        with urllib.request.urlopen(f"{url}/simulator") as response:  # noqa: S310 - loopback
            assert json.load(response)["workflow_sid"].startswith("WW")
        process.send_signal(signal_number)
        assert process.wait(timeout=30) == 0
        assert process.stderr.read() == ""


def test_command_exits_cleanly_while_client_waits():
    with running_command("--port", "0") as process:
        taskrouter = TaskRouter(re.search(r"http://\S+", process.stdout.readline()).group())
        taskrouter.fault("request", "latency", seconds=60)
        host = urlsplit(taskrouter.url)
        with socket.create_connection((host.hostname, host.port)) as client:
            client.sendall(f"GET /v1/Workspaces HTTP/1.1\r\nHost: {host.netloc}\r\n\r\n".encode())
            # The fault is removed once the request has been received.
            while taskrouter._request("GET", "/faults")["faults"]:
                pass
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
            assert "Traceback" not in process.stderr.read()


def test_port_in_use_is_reported_on_one_line(capsys, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("SIMULATOR_PORT", str(port))
        assert main([]) == 1
    assert (
        capsys.readouterr().err
        == f"simulator: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    )


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("reservation_timeout", "soon", "must be a whole number, not 'soon'"),
        ("reservation_timeout", "-1", "must be a finite number of at least 0, not '-1'"),
        ("routing_delay", "nan", "must be a finite number of at least 0, not 'nan'"),
        ("frozen_clock", "maybe", "must be true or false, not 'maybe'"),
        ("callback_timestamp", "x", "must be one of seconds, iso, none, not 'x'"),
        ("assignment_path", "here", "must begin with /, not 'here'"),
        ("voice_path", "http://a/b", "must begin with /, not 'http://a/b'"),
        ("callback_base_url", "here", "must be a URL, not 'here'"),
    ],
)
def test_error_identifies_invalid_setting(field, text, message):
    with pytest.raises(SettingsError) as error:
        read({field: text})
    assert str(error.value) == f"SIMULATOR_{field.upper()} {message}"


def test_invalid_setting_is_reported_on_one_line():
    with running_command(SIMULATOR_RESERVATION_TIMEOUT="soon") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == "simulator: SIMULATOR_RESERVATION_TIMEOUT must be a whole number, not 'soon'\n"


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"API_PORT": "8150"}, "http://127.0.0.1:8150"),
        ({"API_PORT": "8150", "SIMULATOR_CALLBACK_BASE_URL": "https://a.test"}, "https://a.test"),
    ],
)
def test_callbacks_go_to_api_port_unless_base_url_is_set(environment, url):
    with running_command("--port", "0", **environment) as process:
        address = re.search(r"http://\S+", process.stdout.readline()).group()
        with urllib.request.urlopen(f"{address}/simulator") as response:  # noqa: S310 - loopback
            assert json.load(response)["callback_base_url"] == url


@pytest.mark.parametrize("option", ["--workspace-file", "--config"])
def test_either_option_sets_the_workspace_file(capsys, option):
    assert main([option, "missing.yaml"]) == 1
    assert "missing.yaml: the file cannot be read" in capsys.readouterr().err


def test_settings_are_parsed_from_text():
    settings = read({"port": "1", "frozen_clock": "yes", "fallback_path": "/f", "host": None})
    assert (settings.port, settings.frozen_clock, settings.host) == (1, True, "127.0.0.1")
    assert settings.url(settings.fallback_path) == "http://127.0.0.1:8000/f"


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (
            [],
            {"SIMULATOR_PORT": "99999"},
            "SIMULATOR_PORT must be a port from 0 to 65535, not '99999'",
        ),
        ([], {"API_PORT": "x"}, "API_PORT must be a port from 1 to 65535, not 'x'"),
        (["--host", "nope.invalid"], {}, "cannot listen on nope.invalid:8002: "),
    ],
)
def test_error_for_an_invalid_address_identifies_the_input(
    capsys, monkeypatch, arguments, environment, message
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert main(arguments) == 1

    error = capsys.readouterr().err
    assert error.startswith(f"simulator: {message}")
    assert "Unknown error" not in error
    assert "while attempting" not in error
