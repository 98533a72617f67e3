"""`make run`, as people use it: what it prints works when pasted, and it leaves nothing behind."""

import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from local.supervisor import ROOT
from tests.e2e.world import bare_environ, eventually, processes_with

pytestmark = pytest.mark.slow

STARTED = "Everything answers."
LAST_LINE = "docs/quickstart.md."


class Run:
    """`python -m local run` for a shell with these variables."""

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
        eventually(lambda: LAST_LINE in self.output() or self.popen.poll() is not None)
        assert LAST_LINE in self.output(), self.output()

    def left(self):
        """The processes of this stack that are still there."""
        return processes_with("API_PORT", self.environ["API_PORT"])

    def ends(self, number):
        self.popen.send_signal(number)
        return self.popen.wait(20)

    def pid_of(self, name):
        return int(re.search(rf"{name} started \(pid=(\d+)\)", self.output())[1])


@pytest.fixture
def start(tmp_path):
    runs = []

    def start(**own):
        run = Run(bare_environ(**own), tmp_path / f"run-{len(runs)}.log")
        runs.append(run)
        return run

    yield start
    for run in runs:
        if run.popen.poll() is None:
            run.popen.kill()
            run.popen.wait()


def paste(text):
    """What a person would paste: the indented lines after the table of addresses."""
    _, _, commands = text.partition("TOKEN=")
    lines = ["TOKEN=" + commands.splitlines()[0], *commands.splitlines()[1:]]
    return "\n".join(line for line in lines if line.startswith(("  ", "TOKEN=")))


def run_in_a_shell(commands, environ):
    return subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", commands],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_the_printed_commands_do_the_quickstart_and_ctrl_c_ends_everything(start):
    run = start()
    run.wait_until_started()

    shell = run_in_a_shell(paste(run.output()), run.environ)

    created = shell.stderr
    assert '"assignment_status":"pending"' in created.replace(" ", "")
    told = shell.stdout.replace(" ", "")
    assert '"activity_name":"Idle"' in told or '"activity_name":"Reserved"' in told
    for name in ("ReservationSid", "TaskAttributes", "WorkerAttributes", "TaskAge", "AccountSid"):
        assert f'"{name}":' in told
    assert '"worker_name":"Alice"' in told
    assert '"reservation_status":"accepted"' in told
    assert '"assignment_status":"assigned"' in told
    assert '"activity_name":"Busy"' in told

    assert run.ends(signal.SIGINT) == 0
    assert eventually(lambda: not run.left())


def test_with_the_accept_instruction_creating_the_task_is_all(start):
    run = start(ASSIGNMENT_INSTRUCTION="accept")
    run.wait_until_started()
    commands = paste(run.output()).splitlines()
    first_two = [line for line in commands if "TOKEN=" in line or "ACCOUNT=" in line]
    first_two += [line for line in commands if "create-task" in line or "ActivitySid" in line]
    task = next(line for line in commands if "/Tasks/" in line)

    shell = run_in_a_shell("\n".join([*first_two, "sleep 2", task]), run.environ)

    assert '"assignment_status":"assigned"' in shell.stdout.replace(" ", "")
    assert run.ends(signal.SIGINT) == 0


def test_sigterm_ends_everything(start):
    run = start()
    run.wait_until_started()

    assert run.ends(signal.SIGTERM) == 0
    assert eventually(lambda: not run.left())


def test_sigkill_leaves_nothing_either(start):
    run = start()
    run.wait_until_started()

    run.ends(signal.SIGKILL)

    assert eventually(lambda: not run.left())


@pytest.mark.parametrize("name", ["dynamodb", "simulator", "api", "sweep"])
def test_a_program_that_dies_takes_the_others_with_it(start, name):
    run = start()
    run.wait_until_started()

    subprocess.run(["kill", "-9", str(run.pid_of(name))], check=True)

    assert run.popen.wait(20) != 0
    assert eventually(lambda: not run.left())


@contextmanager
def listening_on(port):
    with socket.create_server(("127.0.0.1", int(port))):
        yield


@pytest.mark.parametrize(
    ("variable", "program"),
    [("API_PORT", "api"), ("DYNAMODB_PORT", "dynamodb"), ("SIMULATOR_PORT", "simulator")],
)
def test_a_port_in_use_is_one_clear_sentence_before_anything_starts(start, variable, program):
    environ = bare_environ()
    with listening_on(environ[variable]):
        run = start(**environ)
        assert run.popen.wait(20) == 1

    assert run.output() == (
        f"Error: Port {environ[variable]} is in use, and {program} needs it: end what listens "
        f"there, or set {variable} to another port.\n"
    )
    assert not run.left()


def test_a_twilio_account_in_the_shell_is_warned_of_with_the_cure(start):
    run = start(TWILIO_ACCOUNT_SID="AC" + "1" * 32, TWILIO_AUTH_TOKEN="secret")
    run.wait_until_started()

    assert "Warning: the shell sets TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN" in run.output()
    assert "env -u TWILIO_ACCOUNT_SID -u TWILIO_AUTH_TOKEN make run" in run.output()
    assert "secret" not in run.output()


def test_a_setting_that_makes_no_sense_is_one_sentence(start):
    run = start(ASSIGNMENT_INSTRUCTION="perhaps")

    assert run.popen.wait(20) == 1
    assert run.output().startswith("Error: ASSIGNMENT_INSTRUCTION must be one of")
    assert run.output().count("\n") == 1
