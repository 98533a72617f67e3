"""`make run` prints commands that work, and leaves no processes behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from local import supervisor
from local.supervisor import ROOT
from tests.e2e.live_stack import STARTUP_SECONDS, bare_environ, eventually, find_processes

pytestmark = pytest.mark.slow

READY_TEXT = "docs/quickstart.md."


class Run:
    """A `python -m local run` process with the given environment variables."""

    def __init__(self, environ, log):
        self.environ = environ
        self._log = log
        with log.open("wb") as output:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "local", "run"],
                cwd=ROOT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def output(self):
        return self._log.read_text(encoding="utf-8")

    def wait_until_started(self):
        eventually(
            lambda: READY_TEXT in self.output() or self.popen.poll() is not None,
            within=STARTUP_SECONDS,
        )
        assert READY_TEXT in self.output(), self.output()

    def remaining_processes(self):
        """Return the IDs of the stack's processes that are still running."""
        return find_processes("API_PORT", self.environ["API_PORT"])

    def stop(self, signal_number):
        self.popen.send_signal(signal_number)
        return self.popen.wait(20)

    def pid_of(self, name):
        return int(re.search(rf"{name} started \(pid=(\d+)\)", self.output())[1])


@pytest.fixture
def start(tmp_path):
    """A function that starts a run. Runs that are still active are killed at the end."""
    runs = []

    def start(**variables):
        run = Run(bare_environ(**variables), tmp_path / f"run-{len(runs)}.log")
        runs.append(run)
        return run

    yield start
    for run in runs:
        if run.popen.poll() is None:
            run.popen.kill()
            run.popen.wait()


def printed_commands(text):
    """Return the printed commands, which a user would paste into a shell."""
    _, _, commands = text.partition("TOKEN=")
    lines = ["TOKEN=" + commands.splitlines()[0], *commands.splitlines()[1:]]
    return "\n".join(line for line in lines if line.startswith(("  ", "TOKEN=")))


def run_in_shell(commands, environ):
    return subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", commands],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_printed_commands_run_the_quickstart_and_ctrl_c_ends_all_programs(start):
    run = start()
    run.wait_until_started()

    shell = run_in_shell(printed_commands(run.output()), run.environ)

    assert '"assignment_status":"pending"' in shell.stderr.replace(" ", "")
    output = shell.stdout.replace(" ", "")
    assert '"activity_name":"Idle"' in output or '"activity_name":"Reserved"' in output
    for name in ("ReservationSid", "TaskAttributes", "WorkerAttributes", "TaskAge", "AccountSid"):
        assert f'"{name}":' in output
    assert '"worker_name":"Alice"' in output
    assert '"reservation_status":"accepted"' in output
    assert '"assignment_status":"assigned"' in output
    assert '"activity_name":"Busy"' in output

    assert run.stop(signal.SIGINT) == 0
    assert eventually(lambda: not run.remaining_processes())


def test_accept_instruction_assigns_the_task_without_further_requests(start):
    run = start(ASSIGNMENT_INSTRUCTION="accept")
    run.wait_until_started()
    commands = printed_commands(run.output()).splitlines()
    setup = [line for line in commands if "TOKEN=" in line or "ACCOUNT=" in line]
    setup += [line for line in commands if "create-task" in line or "ActivitySid" in line]
    task = next(line for line in commands if "/Tasks/" in line)

    shell = run_in_shell("\n".join([*setup, "sleep 2", task]), run.environ)

    assert '"assignment_status":"assigned"' in shell.stdout.replace(" ", "")
    assert run.stop(signal.SIGINT) == 0


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_all_programs(start, signal_number):
    run = start()
    run.wait_until_started()

    assert run.stop(signal_number) == 0
    assert eventually(lambda: not run.remaining_processes())


# Skip the check of the installed requirements.
MAKE = ["make", "-o", ".venv/.requirements-run"]


@pytest.mark.parametrize("target", ["run", "services"])
@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_all_programs_end_when_make_receives_sigterm(target, send, tmp_path):
    environ = bare_environ()
    make = supervisor.start("make", [*MAKE, target], environ, tmp_path)
    assert eventually(lambda: READY_TEXT in make.output(), within=STARTUP_SECONDS)

    send(make.popen.pid, signal.SIGTERM)

    assert make.popen.wait(20) != 0
    assert eventually(lambda: not find_processes("API_PORT", environ["API_PORT"]))
    assert "Traceback" not in make.output()


@pytest.mark.parametrize("lines", [1, 2, 3, 12, 46])
@pytest.mark.parametrize("target", ["run", "services"])
def test_stack_stops_when_its_output_is_closed(target, lines, tmp_path):
    environ = bare_environ()
    errors = tmp_path / "errors.log"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "local", target],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    for _, line in zip(range(lines), process.stdout, strict=False):
        if READY_TEXT in line.decode():
            break

    process.stdout.close()

    assert process.wait(20) == 0
    assert eventually(lambda: not find_processes("API_PORT", environ["API_PORT"]))
    assert errors.read_text() == ""


def test_sigkill_leaves_no_processes(start):
    run = start()
    run.wait_until_started()

    run.stop(signal.SIGKILL)

    assert eventually(lambda: not run.remaining_processes())


@pytest.mark.parametrize("name", ["dynamodb", "simulator", "api", "sweep"])
def test_all_programs_end_when_one_is_killed(start, name):
    run = start()
    run.wait_until_started()

    subprocess.run(["kill", "-9", str(run.pid_of(name))], check=True)

    assert run.popen.wait(20) != 0
    assert eventually(lambda: not run.remaining_processes())


@contextmanager
def listening_on(port):
    with socket.create_server(("127.0.0.1", int(port))):
        yield


@pytest.mark.parametrize(
    ("variable", "program"),
    [("API_PORT", "api"), ("DYNAMODB_PORT", "dynamodb"), ("SIMULATOR_PORT", "simulator")],
)
def test_port_in_use_is_reported_before_any_program_starts(start, variable, program):
    environ = bare_environ()
    with listening_on(environ[variable]):
        run = start(**environ)
        assert run.popen.wait(20) == 1

    assert run.output() == (
        f"Error: {program} can't listen on port {environ[variable]} (Address already in use). "
        f"Stop the program that uses the port, or set {variable} to another port.\n"
    )
    assert not run.remaining_processes()


def test_twilio_credentials_in_the_shell_are_reported_with_a_remedy(start):
    run = start(TWILIO_ACCOUNT_SID="AC" + "1" * 32, TWILIO_AUTH_TOKEN="secret")
    run.wait_until_started()

    assert (
        "Warning: these variables are set in the shell: TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN"
        in run.output()
    )
    assert "env -u TWILIO_ACCOUNT_SID -u TWILIO_AUTH_TOKEN make run" in run.output()
    assert "secret" not in run.output()


def test_invalid_setting_is_reported_on_one_line(start):
    run = start(ASSIGNMENT_INSTRUCTION="perhaps")

    assert run.popen.wait(20) == 1
    assert run.output().startswith("Error: ASSIGNMENT_INSTRUCTION must be one of")
    assert run.output().count("\n") == 1
