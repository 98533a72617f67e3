"""Defines the local stack: its programs, ports, environment and readiness checks.

`make run`, `make demo` and the end-to-end tests all start the stack defined here.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chalicelib import config
from infra.aws import stage_config
from local import dynamodb, network

STAGE = "local"
DEFAULT_PORTS = {"API_PORT": 8000, "DYNAMODB_PORT": 8001, "SIMULATOR_PORT": 8002}
OPTIONAL_CALLBACKS = {
    "SIMULATOR_FALLBACK_PATH": "/assignment_callback/fallback",
    "SIMULATOR_EVENT_PATH": "/event_callback",
}
"""Paths of the callbacks other than the assignment callback.

A production Workspace and Workflow use these callbacks. The demo and the tests omit them, so only
the sweep detects changes at TaskRouter.
"""

_ADDRESS_PREFIXES = ("TWILIO_", "AWS_ENDPOINT_URL_DYNAMODB")


class StackError(Exception):
    """The stack can't be started; the message states the cause and the remedy."""


@dataclass(frozen=True)
class Program:
    """One process of the stack.

    Attributes:
        name: The name used in output and messages.
        command: Program and arguments, run in the project's root folder.
        port_variable: The variable that sets the program's port; None if the program has no port.
        is_ready: Returns whether the program is ready; None if it serves no requests.
    """

    name: str
    command: list[str]
    port_variable: str | None = None
    is_ready: Callable[[], bool] | None = None


@dataclass(frozen=True)
class Stack:
    """The programs and addresses of a local stack.

    Attributes:
        environ: The environment of all programs.
        settings: The app's settings, loaded from that environment.
        resolved: `environ` completed with the settings file's defaults, as in the app.
    """

    environ: dict[str, str]
    settings: config.Settings
    resolved: dict[str, str]
    programs: tuple[Program, ...]
    api_url: str
    dynamodb_url: str
    simulator_url: str

    @property
    def tables(self) -> dynamodb.TableNames:
        """The table names in the settings."""
        return dynamodb.TableNames(self.settings.reservations_table, self.settings.state_table)

    def program(self, name: str) -> Program:
        """Return the program with this name."""
        return next(program for program in self.programs if program.name == name)

    def port(self, variable: str) -> int:
        """Return the value of a port variable; see `DEFAULT_PORTS`."""
        return int(self.environ[variable])


def describe(environ: Mapping[str, str]) -> Stack:
    """Return the stack for an environment, without starting it.

    Args:
        environ: The shell's environment, which takes precedence. Addresses that are not set here
            are derived from the ports.

    Raises:
        StackError: A port is invalid, or two ports are equal.
        OperatorError: .chalice/config.json has no stage "local".
        SettingsError: The shell sets an invalid value for a setting.
    """
    ports = {name: _port(name, environ) for name in DEFAULT_PORTS}
    if len(set(ports.values())) < len(ports):
        raise StackError(f"{', '.join(ports)} must be different ports, not {ports}.")
    api, emulator, simulator = (network.url(ports[name]) for name in DEFAULT_PORTS)
    addresses = {
        "PUBLIC_BASE_URL": api,
        "AWS_ENDPOINT_URL_DYNAMODB": emulator,
        "TWILIO_TASKROUTER_URL": simulator,
        # Print every line immediately.
        "PYTHONUNBUFFERED": "1",
    }
    complete = addresses | stage_config.environment(STAGE, environ)
    complete |= {name: str(port) for name, port in ports.items()}
    complete |= _proxy_exceptions(environ)
    resolved = dict(complete)
    settings = config.load(resolved)
    # The simulator must sign the URL that the app verifies and use the same Reservation timeout.
    complete.setdefault("SIMULATOR_CALLBACK_BASE_URL", settings.public_base_url or api)
    complete.setdefault("SIMULATOR_RESERVATION_TIMEOUT", str(settings.reservation_timeout_seconds))
    tables = dynamodb.TableNames(settings.reservations_table, settings.state_table)
    has_tables = dynamodb.TablesProbe(emulator, tables, resolved)
    programs = _programs(has_tables, api, simulator)
    return Stack(complete, settings, resolved, programs, api, emulator, simulator)


def conflicting_variables(stack: Stack, environ: Mapping[str, str]) -> list[str]:
    """Return the shell variables that select another account, TaskRouter or DynamoDB."""
    default = describe({name: environ[name] for name in DEFAULT_PORTS if name in environ})
    return [
        name
        for name, value in default.resolved.items()
        if name.startswith(_ADDRESS_PREFIXES) and stack.resolved[name] != value
    ]


def check_ports_are_free(stack: Stack, *names: str) -> None:
    """Check that programs can listen on their ports.

    Args:
        stack: The stack that contains the programs.
        names: Names of the programs; without names, all programs are checked.

    Raises:
        StackError: A port is in use; the message names the program and the port's variable.
    """
    for program in stack.programs:
        variable = program.port_variable if program.name in names or not names else None
        if variable and network.is_port_taken(port := stack.port(variable)):
            raise StackError(
                f"Port {port} is in use, but {program.name} needs it. Stop the program that uses "
                f"the port, or set {variable} to another port."
            )


def _programs(has_tables: Callable[[], bool], api: str, simulator: str) -> tuple[Program, ...]:
    local = [sys.executable, "-m", "local"]
    return (
        Program("dynamodb", [*local, "dynamodb"], "DYNAMODB_PORT", has_tables),
        Program(
            "simulator",
            [sys.executable, "-m", "taskrouter_simulator"],
            "SIMULATOR_PORT",
            lambda: network.is_responding(f"{simulator}/simulator"),
        ),
        Program("api", [*local, "api"], "API_PORT", lambda: network.is_responding(f"{api}/health")),
        Program("sweep", [*local, "sweep"]),
    )


def _port(name: str, environ: Mapping[str, str]) -> int:
    text = environ.get(name, str(DEFAULT_PORTS[name]))
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= network.MAX_PORT:
        raise StackError(f"{name} must be a port from 1 to {network.MAX_PORT}, not {text!r}.")
    return int(text)


def _proxy_exceptions(environ: Mapping[str, str]) -> dict[str, str]:
    """Return variables that exclude loopback from any proxy set in the shell."""
    names = [name for name in ("NO_PROXY", "no_proxy") if environ.get(name)]
    value = ",".join([*(environ[name] for name in names[:1]), network.LOOPBACK, "localhost"])
    return {"NO_PROXY": value, "no_proxy": value}
