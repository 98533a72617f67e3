"""What the local stack consists of: its programs, their ports, environment and signs of life.

The one source of truth for `make run`, `make demo` and the end-to-end tests.
"""

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chalicelib import config
from infra.aws import stage_config
from local import dynamodb, network

STAGE = "local"
DEFAULT_PORTS = {"API_PORT": 8000, "DYNAMODB_PORT": 8001, "SIMULATOR_PORT": 8002}
# What a production Workspace and Workflow have besides the assignment callback. The demo and the
# tests do without, so as to show what the sweep alone finds out.
WHOLE_TASKROUTER = {
    "SIMULATOR_FALLBACK_PATH": "/assignment_callback/fallback",
    "SIMULATOR_EVENT_PATH": "/event_callback",
}
# Set in the shell, these lead away from what the stack brings.
DIVERTING = ("TWILIO_", "AWS_ENDPOINT_URL_DYNAMODB")


class StackError(Exception):
    """The stack can't be started; the message says why and what to do."""


@dataclass(frozen=True)
class Program:
    """One process of the stack.

    Attributes:
        name: What it is called in output and messages.
        command: Program and arguments, to be run in the checkout.
        port_variable: The variable that moves its port; None where it has no port.
        ready: Whether it does its work; None where it answers nobody.
    """

    name: str
    command: list[str]
    port_variable: str | None = None
    ready: Callable[[], bool] | None = None

    @property
    def shell_command(self) -> str:
        """The command for a shell, which it replaces, so that no process is in between."""
        return f"exec {shlex.join(self.command)}"


@dataclass(frozen=True)
class Stack:
    """The programs, and where they answer.

    Attributes:
        environ: What all programs are started with.
        settings: What the app makes of it.
        resolved: `environ` with the settings file laid under it, as the app does.
    """

    environ: dict[str, str]
    settings: config.Settings
    resolved: dict[str, str]
    programs: tuple[Program, ...]
    api_url: str
    dynamodb_url: str
    simulator_url: str

    @property
    def tables(self) -> dynamodb.Tables:
        """The tables that the settings name."""
        return dynamodb.Tables(self.settings.reservations_table, self.settings.state_table)

    def program(self, name: str) -> Program:
        """The program of this name."""
        return next(program for program in self.programs if program.name == name)

    def port(self, variable: str) -> int:
        """The port that a variable of `DEFAULT_PORTS` sets."""
        return int(self.environ[variable])


def describe(environ: Mapping[str, str]) -> Stack:
    """The stack for this environment. Nothing is started.

    Args:
        environ: The shell's. What it sets wins over everything; ports and addresses that it does
            not set follow each other.

    Raises:
        StackError: A port is no port, or two are the same.
        OperatorError: .chalice/config.json has no stage "local".
        SettingsError: The shell sets something that is no setting's value.
    """
    numbers = {name: _port(name, environ) for name in DEFAULT_PORTS}
    if len(set(numbers.values())) < len(numbers):
        raise StackError(f"{', '.join(numbers)} must be different ports, not {numbers}.")
    api, engine, simulator = (_url(numbers[name]) for name in DEFAULT_PORTS)
    followers = {
        "PUBLIC_BASE_URL": api,
        "AWS_ENDPOINT_URL_DYNAMODB": engine,
        "TWILIO_TASKROUTER_URL": simulator,
        # Lines as they are written, not when a buffer is full.
        "PYTHONUNBUFFERED": "1",
    }
    whole = followers | stage_config.environment(STAGE, environ)
    whole |= {name: str(number) for name, number in numbers.items()}
    whole |= _without_proxy(environ)
    resolved = dict(whole)
    settings = config.load(resolved)
    # What is signed is what is verified, and both sides count the same seconds.
    whole.setdefault("SIMULATOR_CALLBACK_BASE_URL", settings.public_base_url or api)
    whole.setdefault("SIMULATOR_RESERVATION_TIMEOUT", str(settings.reservation_timeout_seconds))
    tables = dynamodb.Tables(settings.reservations_table, settings.state_table)
    has_tables = dynamodb.TablesProbe(engine, tables, resolved)
    programs = _programs(has_tables, api, simulator)
    return Stack(whole, settings, resolved, programs, api, engine, simulator)


def diverted(stack: Stack, environ: Mapping[str, str]) -> list[str]:
    """The variables of the shell that lead the app to another account, TaskRouter or DynamoDB."""
    plain = describe({name: environ[name] for name in DEFAULT_PORTS if name in environ})
    return [
        name
        for name, value in plain.resolved.items()
        if name.startswith(DIVERTING) and stack.resolved[name] != value
    ]


def refuse_taken_ports(stack: Stack, *names: str) -> None:
    """Make sure that programs can have their ports.

    Args:
        stack: Whose programs.
        names: Which of them; all, where none is named.

    Raises:
        StackError: One is taken; says which, by whom it is needed and what moves it.
    """
    for program in stack.programs:
        variable = program.port_variable if program.name in names or not names else None
        if variable and network.is_taken(port := stack.port(variable)):
            raise StackError(
                f"Port {port} is in use, and {program.name} needs it: end what listens there, or "
                f"set {variable} to another port."
            )


def _programs(has_tables: Callable[[], bool], api: str, simulator: str) -> tuple[Program, ...]:
    local = [sys.executable, "-m", "local"]
    return (
        Program("dynamodb", [*local, "dynamodb"], "DYNAMODB_PORT", has_tables),
        Program(
            "simulator",
            [sys.executable, "-m", "taskrouter_simulator"],
            "SIMULATOR_PORT",
            lambda: network.answers(f"{simulator}/simulator"),
        ),
        Program("api", [*local, "api"], "API_PORT", lambda: network.answers(f"{api}/health")),
        Program("sweep", [*local, "sweep"]),
    )


def _port(name: str, environ: Mapping[str, str]) -> int:
    text = environ.get(name, str(DEFAULT_PORTS[name]))
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= network.HIGHEST:
        raise StackError(f"{name} must be a port, 1 to {network.HIGHEST}, not {text!r}.")
    return int(text)


def _url(port: int) -> str:
    return f"http://{network.LOOPBACK}:{port}"


def _without_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """Loopback is reached directly, also where the shell names a proxy."""
    names = [name for name in ("NO_PROXY", "no_proxy") if environ.get(name)]
    value = ",".join([*(environ[name] for name in names[:1]), network.LOOPBACK, "localhost"])
    return {"NO_PROXY": value, "no_proxy": value}
