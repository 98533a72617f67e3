"""`chalice local` works with `python -m local services` and reports mistakes."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.commands.token import create_token, read_api_key
from local import network, stack
from local.demo import http_client
from local.demo.http_client import HttpClient
from local.supervisor import ROOT
from tests.e2e.live_stack import STARTUP_SECONDS, bare_environ, eventually

pytestmark = pytest.mark.slow

CHALICE = str(Path(sys.executable).with_name("chalice"))
SERVICES = [sys.executable, "-m", "local", "services"]


class Program:
    """A program that runs in the background and writes its output to a file."""

    def __init__(self, command, environ, log, folder):
        self._log = log
        with log.open("wb") as output:
            self.popen = subprocess.Popen(
                command,
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self):
        return self._log.read_text(encoding="utf-8")

    def wait_for(self, text):
        eventually(
            lambda: text in self.output() or self.popen.poll() is not None, within=STARTUP_SECONDS
        )
        assert text in self.output(), self.output()

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, 15)
        self.popen.wait(20)


@pytest.fixture
def start(tmp_path):
    """A function that starts a program. The program is stopped after the test."""
    programs = []

    def start(command, environ, folder=ROOT):
        program = Program(command, environ, tmp_path / f"{len(programs)}.log", folder)
        programs.append(program)
        return program

    yield start
    for program in reversed(programs):
        program.stop()


def chalice_local(environ, *options):
    return [CHALICE, "local", "--port", environ["API_PORT"], *options]


def api_client(definition):
    settings = definition.settings
    token = create_token(settings, read_api_key(settings), role="supervisor", hours=1)
    return HttpClient("app", definition.api_url, token=token, json=True)


def test_chalice_local_without_a_stage_option_uses_the_local_stage(start):
    environ = bare_environ(PYTHONUNBUFFERED="1")
    definition = stack.describe(environ)
    services = start(SERVICES, environ)
    services.wait_for("docs/quickstart.md.")
    assert f"chalice local --port {environ['API_PORT']}" in services.output()

    # The port is read from API_PORT.
    api = start([CHALICE, "local"], environ)
    api.wait_for("Serving on")

    assert "Stage dev does not set TWILIO_ACCOUNT_SID. Using the local stage" in api.output()
    assert "make services" not in api.output()
    app = api_client(definition)
    identifiers = http_client.fetch_identifiers(definition.simulator_url)
    taskrouter = HttpClient(
        "TaskRouter",
        f"{definition.simulator_url}/v1/Workspaces/{identifiers['workspace_sid']}",
        account=(identifiers["account_sid"], identifiers["auth_token"]),
    )
    task_sid = app.post("/create-task").body["sid"]
    idle = {"ActivitySid": identifiers["activities"]["Idle"]}
    taskrouter.post(f"/Workers/{identifiers['workers']['Alice']}", idle)
    assert eventually(lambda: app.get("/reservations", {"status": "pending"}).body["reservations"])
    accepted = app.get("/accept_reservation", {"task_sid": task_sid})
    assert accepted.body["reservation_status"] == "accepted"
    assert taskrouter.get(f"/Tasks/{task_sid}").body["assignment_status"] == "assigned"

    path = f"/reservations/{accepted.body['reservation_sid']}"
    assert app.get(f"{path}/signature").body["valid"] is True
    sent = app.post(f"{path}/send_again").body
    assert (sent["status"], sent["body"]) == (200, {})
    assert [claim["target"] for claim in app.get(path).body["claims"]] == ["accepted"]


def test_missing_services_are_reported_at_startup_and_in_responses(start):
    environ = bare_environ(PYTHONUNBUFFERED="1")
    definition = stack.describe(environ)
    api = start(chalice_local(environ), environ)
    api.wait_for("Serving on")

    assert re.search(r"do not respond\. In another terminal, run: .* make services\n", api.output())
    app = api_client(definition)
    listed = app.get("/reservations")
    assert (listed.status, listed.body["Code"]) == (503, "StoreUnavailable")
    assert listed.body["Message"] == (
        f"DynamoDB at {definition.dynamodb_url} can't be reached: connection refused. Retry."
    )
    created = app.post("/create-task")
    assert (created.status, created.body["Code"]) == (503, "TaskRouterNotSent")
    assert f"{definition.simulator_url} can't be reached: connection refused" in str(created.body)


def test_server_in_a_new_checkout_keeps_running_when_requests_import_modules(start, tmp_path):
    checkout = tmp_path / "checkout"
    for name in ("chalicelib", "infra", "local", "taskrouter_simulator", ".chalice"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, checkout / name, ignore=ignored)
    shutil.copy(ROOT / "app.py", checkout)
    environ = bare_environ(PYTHONUNBUFFERED="1")
    api = start(chalice_local(environ), environ, checkout)
    api.wait_for("Serving on")
    # Until `chalice_local.configure` runs, writing the bytecode of app.py may restart the server.
    restarts = api.output().count("Restarting")

    app = api_client(stack.describe(environ))
    assert [app.post("/create-task").status for _ in range(2)] == [503, 503]
    subprocess.run(
        [sys.executable, "-m", "infra", "token", "--role", "supervisor"],
        cwd=checkout,
        env=environ,
        capture_output=True,
        check=True,
    )
    time.sleep(2)  # longer than the interval at which Chalice checks for changed files
    assert app.get("/health").status == 200
    assert api.output().count("Restarting") == restarts


def run_to_end(command, environ):
    return subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("reload", ["--autoreload", "--no-autoreload"])
@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("stage", "There is no stage 'dve' in config.json"),
        ("API_PORT", "Run: chalice local --port "),
        ("port", "Address already in use"),
    ],
)
def test_user_mistake_is_reported_on_one_line(mistake, message, reload):
    environ = bare_environ()
    options = [reload, "--stage", "dve"] if mistake == "stage" else [reload]
    command = chalice_local(environ, *options)
    if mistake == "API_PORT":
        (number,) = network.find_free_ports(1)
        environ["API_PORT"] = str(number)
    with contextlib.ExitStack() as listeners:
        if mistake == "port":
            listeners.enter_context(socket.create_server(("127.0.0.1", int(environ["API_PORT"]))))
        result = run_to_end(command, environ)

    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not result.stdout
    # With --autoreload, Chalice ignores the exit code of its child process.
    assert result.returncode == (1 if reload == "--no-autoreload" else 0)


@pytest.mark.parametrize(
    ("variable", "program"), [("DYNAMODB_PORT", "dynamodb"), ("SIMULATOR_PORT", "simulator")]
)
def test_services_report_a_port_in_use(variable, program):
    environ = bare_environ()
    with socket.create_server(("127.0.0.1", int(environ[variable]))):
        result = run_to_end(SERVICES, environ)

    assert result.returncode == 1
    assert result.stderr.startswith(
        f"Error: {program} can't listen on port {environ[variable]} (Address already in use). "
    )


def test_services_do_not_need_the_api_port(start):
    environ = bare_environ()
    with socket.create_server(("127.0.0.1", int(environ["API_PORT"]))):
        start(SERVICES, environ).wait_for("docs/quickstart.md.")
