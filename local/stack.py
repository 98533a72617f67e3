"""Defines the local stack: its programs, ports, environment and readiness checks.

`make run`, `make services`, `make demo` and the end-to-end tests all start the stack that this
module defines, or parts of it.
"""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from chalicelib import config
from infra import OperatorError
from infra.aws import stage_config
from local import dynamodb, network

STAGE = "local"
PORTS = ("API_PORT", "DYNAMODB_PORT", "SIMULATOR_PORT")
"""Variables that contain the programs' ports. local/settings.env sets the default ports, and its
addresses refer to these variables."""

ADDRESSES = ("PUBLIC_BASE_URL", "AWS_ENDPOINT_URL_DYNAMODB", "TWILIO_TASKROUTER_URL")
OPTIONAL_CALLBACKS = {
    "SIMULATOR_FALLBACK_PATH": "/assignment_callback/fallback",
    "SIMULATOR_EVENT_PATH": "/event_callback",
}
"""Paths of the callbacks other than the assignment callback.

A production Workspace and Workflow use these callbacks. The demo and most end-to-end tests omit
them, so that only the sweep detects changes in TaskRouter.
"""

STARTED_TOGETHER = "LOCAL_STACK_STARTED_TOGETHER"
"""This variable is set in programs that start at the same time as the stack's other programs."""

_PATH_SECRET = re.compile("/[A-Za-z0-9_-]{20,64}(?=/|$)")
_ADDRESS_PREFIXES = ("TWILIO_", "AWS_ENDPOINT_URL_DYNAMODB")


class StackError(OperatorError):
    """The stack can't be started; the message states the cause."""


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

    def without_api(self) -> "Stack":
        """Return a stack of the services only, for an API that is started separately."""
        services = tuple(program for program in self.programs if program.name != "api")
        return replace(self, programs=services)

    def program(self, name: str) -> Program:
        """Return the program with this name."""
        return next(program for program in self.programs if program.name == name)

    def port(self, variable: str) -> int:
        """Return the value of a port variable; see `PORTS`."""
        return int(self.environ[variable])


def describe(environ: Mapping[str, str]) -> Stack:
    """Return the stack for an environment, without starting it.

    Args:
        environ: The shell's environment, which takes precedence over the stack's settings.
            Addresses that the shell does not set are derived from the ports.

    Raises:
        StackError: A port is invalid, or two ports are equal.
        OperatorError: .chalice/config.json is invalid or has no "local" stage.
        SettingsError: A setting in the environment has an invalid value.
    """
    for name in PORTS:
        if port := environ.get(name):
            check_port(name, port)
    # Make Python print every line immediately.
    variables = {"PYTHONUNBUFFERED": "1"} | stage_config.environment(STAGE, environ)
    variables |= _proxy_exceptions(environ)
    resolved = dict(variables)
    settings = config.load(resolved)
    ports = {name: int(resolved[name]) for name in PORTS}
    if len(set(ports.values())) < len(ports):
        assignments = ", ".join(f"{name}={port}" for name, port in ports.items())
        raise StackError(f"These variables must set different ports: {assignments}.")
    api, emulator, simulator = (network.url(ports[name]) for name in PORTS)
    variables |= {name: resolved[name] for name in (*PORTS, *ADDRESSES)}
    # The simulator must sign the URL that the app verifies, and use the app's Reservation timeout.
    base_url = variables.get("SIMULATOR_CALLBACK_BASE_URL") or settings.public_base_url or api
    variables["SIMULATOR_CALLBACK_BASE_URL"] = add_prefix(settings, base_url)
    hosts = network.allowed_hosts(settings.public_base_url, environ)
    variables["SIMULATOR_ALLOWED_HOSTS"] = ",".join(sorted(hosts))
    variables.setdefault("SIMULATOR_RESERVATION_TIMEOUT", str(settings.reservation_timeout_seconds))
    tables = dynamodb.TableNames(settings.reservations_table, settings.state_table)
    has_tables = dynamodb.TablesProbe(emulator, tables)
    programs = _programs(has_tables, api, simulator)
    return Stack(variables, settings, resolved, programs, api, emulator, simulator)


def add_prefix(settings: config.Settings, base_url: str) -> str:
    """Return the base URL of the routes that Twilio calls, with the first callback prefix.

    Args:
        settings: The app's settings.
        base_url: Base URL of the app, with or without the prefix.
    """
    prefix = settings.callback_prefixes[0]
    return base_url.rstrip("/").removesuffix(prefix) + prefix


def hide_secrets(url: str) -> str:
    """Return a base URL with `***` instead of segments that may be secret prefixes."""
    return _PATH_SECRET.sub("/***", url)


def conflicting_variables(stack: Stack, environ: Mapping[str, str]) -> list[str]:
    """Return the shell variables that select a different account, TaskRouter or DynamoDB."""
    default = describe({name: environ[name] for name in PORTS if name in environ})
    return [
        name
        for name, value in default.resolved.items()
        if name.startswith(_ADDRESS_PREFIXES) and stack.resolved[name] != value
    ]


def conflict_warning(stack: Stack, names: list[str], command: str) -> str:
    """Return a warning about shell variables that override the stack's values.

    Args:
        stack: The stack. The suggested command uses the same ports.
        names: The variables.
        command: The user's command line.
    """
    unset_options = " ".join(f"-u {name}" for name in names)
    return (
        f"Warning: these variables are set in the shell: {', '.join(names)}. Their values override "
        "the local stack's, so requests between the app, the simulator and the local DynamoDB will "
        "be refused or sent elsewhere. To run without these values:\n\n"
        f"  {_assignments(stack, *PORTS)}env {unset_options} {command}\n"
    )


def services_command(stack: Stack) -> str:
    """Return the command that starts the services for the stack's API."""
    return f"{_assignments(stack, *PORTS)}make services"


def api_command(stack: Stack) -> str:
    """Return the command that starts the API for the stack's services."""
    port = stack.port("API_PORT")
    option = f" --port {port}" if port != describe({}).port("API_PORT") else ""
    return (
        f"{_assignments(stack, 'DYNAMODB_PORT', 'SIMULATOR_PORT')}.venv/bin/chalice local{option}"
    )


def _assignments(stack: Stack, *ports: str) -> str:
    """Return shell assignments for the ports, URL and path secrets that are not defaults."""
    default = describe({})
    names = [name for name in ports if stack.port(name) != default.port(name)]
    if stack.resolved["PUBLIC_BASE_URL"] != stack.api_url:
        names.append("PUBLIC_BASE_URL")
    assignments = {name: stack.resolved[name] for name in names}
    if stack.settings.callback_prefixes != default.settings.callback_prefixes:
        assignments["CALLBACK_PATH_SECRETS"] = "***"
    return "".join(f"{name}={value} " for name, value in assignments.items())


def check_ports_are_free(stack: Stack, *names: str) -> None:
    """Check that programs can listen on their ports.

    Args:
        stack: The stack that contains the programs.
        names: Names of the programs; without names, all programs are checked.

    Raises:
        StackError: A program can't listen on its port; the message states the program, the reason
            and the variable that sets the port.
    """
    for program in stack.programs:
        variable = program.port_variable if program.name in names or not names else None
        if variable and (reason := network.bind_failure(port := stack.port(variable))):
            raise StackError(
                f"{program.name} can't listen on port {port} ({reason}). Stop the program that "
                f"uses the port, or set {variable} to another port."
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


def check_port(name: str, text: str) -> None:
    """Check that a string is a valid port.

    Args:
        name: The variable or option with the port, for the error message.
        text: The string to check.

    Raises:
        StackError: The string is not a number from 1 to `network.MAX_PORT`.
    """
    # With a leading zero, the addresses in the settings would differ from the stack's addresses.
    if not re.fullmatch("[1-9][0-9]{0,4}", text) or int(text) > network.MAX_PORT:
        raise StackError(f"{name} must be a port from 1 to {network.MAX_PORT}, not {text!r}.")


def _proxy_exceptions(environ: Mapping[str, str]) -> dict[str, str]:
    """Return variables that exclude loopback from any proxy set in the shell."""
    names = [name for name in ("NO_PROXY", "no_proxy") if environ.get(name)]
    value = ",".join([*(environ[name] for name in names[:1]), network.LOOPBACK, "localhost"])
    return {"NO_PROXY": value, "no_proxy": value}
