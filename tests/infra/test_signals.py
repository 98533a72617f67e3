"""SIGTERM and SIGHUP, like Ctrl-C, end a command only after its cleanup."""

import os
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from infra.aws import chalice_record
from local.supervisor import ROOT
from tests.docs_runner import terminal

ENDED = "ended the command. Run the same command again to finish."

COMMAND = """
import signal, time
import click
from infra import signals
from infra.commands import report_errors

@click.command()
@report_errors
def command():
    try:
        print("started", flush=True)
        time.sleep(30)
    finally:
        signal.raise_signal(signal.SIGTERM)
        print("cleaned up", flush=True)

signals.raise_keyboard_interrupts()
command()
"""

QUESTION = """
import click
from infra import signals
from infra.commands import report_errors
from infra.commands.dialog import ask, ask_for_secret

@click.command()
@report_errors
def command():
    {question}

signals.raise_keyboard_interrupts()
command()
"""

DEFERRING = """
import signal
from infra import signals

signals.raise_keyboard_interrupts()
try:
    with signals.deferred():
        signal.raise_signal(signal.SIGTERM)
        print("request sent", flush=True)
    print("not reached", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


DISCARDING = """
import logging, os, signal, time, weakref
from infra import signals

def interrupt(*_):
    signal.raise_signal(signal.SIGTERM)

def fork():
    if os.fork() == 0:
        os._exit(0)

class Finalized:
    __del__ = interrupt

class Referent:
    pass

def drop_referent():
    referent = Referent()
    reference = weakref.ref(referent, interrupt)
    del referent

signals.raise_keyboard_interrupts()
try:
    {statement}
    time.sleep(30)
except signals.Interrupted as interrupted:
    print(interrupted.name, "arrived", flush=True)
"""

STATEMENTS = [
    "Finalized()",
    "drop_referent()",
    "os.register_at_fork(before=interrupt); fork()",
    "os.register_at_fork(after_in_parent=interrupt); fork()",
    # The hook registered last runs first. While the other hook sleeps, a timer in `infra.signals`
    # re-raises the exception, which Python then discards a second time.
    "[os.register_at_fork(before=hook) for hook in (lambda: time.sleep(0.2), interrupt)]; fork()",
]


@contextmanager
def running(program, *prefix):
    command = [*prefix, sys.executable, "-c", program]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_command_after_its_cleanup(number):
    with running(COMMAND) as process:
        assert process.stdout.readline() == "started\n"
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)

    assert process.returncode == 128 + number
    assert output == "cleaned up\n"
    assert errors == f"{number.name} {ENDED}\n"


@pytest.mark.parametrize("question", ['ask("Name?")', 'ask_for_secret("Name?")'])
def test_ctrl_c_at_a_prompt_ends_the_command_like_any_other_signal(question):
    command = shlex.join([sys.executable, "-c", QUESTION.format(question=question)])
    answers = [(r"Name\?.*: ", terminal.CTRL_C)]

    status, output = terminal.run(command, folder=ROOT, environ=os.environ, answers=answers)

    assert status == 128 + signal.SIGINT
    assert output.splitlines()[-1] == f"SIGINT {ENDED}"


@pytest.mark.parametrize("question", ['ask("Name?")', 'ask_for_secret("Name?")'])
def test_message_after_ctrl_d_at_a_prompt_says_what_to_do_next(question):
    command = shlex.join([sys.executable, "-c", QUESTION.format(question=question)])
    answers = [(r"Name\?.*: ", terminal.CTRL_D)]

    status, output = terminal.run(command, folder=ROOT, environ=os.environ, answers=answers)

    assert status == 1
    assert output.splitlines()[-1] == f"Error: Ctrl-D {ENDED}"
    assert "Aborted!" not in output


def test_sigterm_at_a_prompt_ends_the_command_like_any_other_signal():
    with running(QUESTION.format(question='ask("Name?")')) as process:
        assert process.stderr.read(len("Name?: ")) == "Name?: "
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 128 + signal.SIGTERM
    assert errors == f"\nSIGTERM {ENDED}\n"


def test_command_under_nohup_ignores_sighup():
    with running(COMMAND, "nohup") as process:
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)

    assert process.returncode == 128 + signal.SIGTERM


STUB = """
import time

print("importing", flush=True)
time.sleep(30)
"""

PROGRAMS = {
    "infra": (["-m", "infra", "--help"], "click"),
    "local": (["-m", "local", "run"], "click"),
    "chalice": (["-c", chalice_record._CHALICE.format(pipe=0), "--help"], "chalice"),
}


@contextmanager
def importing(program, tmp_path, *prefix):
    """Start a program that pauses in the middle of an import."""
    arguments, module = PROGRAMS[program]
    (tmp_path / f"{module}.py").write_text(STUB)
    environ = os.environ | {"PYTHONPATH": str(tmp_path)}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [*prefix, sys.executable, *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=environ, text=True, **pipes) as process:
        assert process.stdout.readline() == "importing\n"
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("program", PROGRAMS)
def test_signal_during_the_imports_ends_the_program_without_output(program, number, tmp_path):
    with importing(program, tmp_path) as process:
        process.send_signal(number)
        # `communicate` would close stdin, and Chalice would exit as if its parent had ended.
        process.wait(timeout=20)
        output = process.stdout.read() + process.stderr.read()

    assert (process.returncode, output) == (128 + number, "")


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_under_nohup_ignores_sighup_during_its_imports(program, tmp_path):
    with importing(program, tmp_path, "nohup") as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)

    assert process.returncode == 128 + signal.SIGTERM


PARENT = """
from infra.aws import chalice_record

start, _, _ = chalice_record._CHALICE.partition("from chalice")
chalice_record._CHALICE = start + '''
import time

print("deploying", flush=True)
time.sleep(30)
'''
chalice_record.run_chalice("deploy")
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_chalice_process_ends_when_its_parent_ends(number):
    with running(PARENT) as process:
        assert process.stderr.readline() == "deploying\n"
        process.send_signal(number)
        # The output ends only when Chalice has ended too.
        process.communicate(timeout=20)

    assert process.returncode != 0


@pytest.mark.parametrize("statement", STATEMENTS)
def test_signal_is_not_lost_if_python_discards_its_exception(statement):
    with running(DISCARDING.format(statement=statement)) as process:
        output, errors = process.communicate(timeout=20)

    assert (output, errors) == ("SIGTERM arrived\n", "")


def test_other_discarded_exceptions_are_reported():
    statement = "type('Failing', (), {'__del__': lambda _self: 1 / 0})(); interrupt()"
    with running(DISCARDING.format(statement=statement)) as process:
        output, errors = process.communicate(timeout=20)

    assert output == "SIGTERM arrived\n"
    assert "ZeroDivisionError" in errors


def test_deferred_signal_interrupts_after_the_request():
    with running(DEFERRING) as process:
        output, _ = process.communicate(timeout=20)

    assert output == "request sent\ninterrupted\n"
