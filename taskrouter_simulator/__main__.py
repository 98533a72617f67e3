"""Run the TaskRouter simulator until SIGINT or SIGTERM."""

import signal

if __name__ == "__main__":
    # Otherwise, Ctrl-C during the imports below would print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import os
import socket
import sys
from dataclasses import fields
from types import FrameType

try:
    import uvicorn

    import taskrouter_simulator
    from taskrouter_simulator import replay
    from taskrouter_simulator.definition.document import DefinitionError
    from taskrouter_simulator.server import Simulator, base_url, listen, uvicorn_config
except ModuleNotFoundError as error:
    sys.exit(
        f"simulator: the package {error.name} is not installed. Reinstall taskrouter-simulator "
        "with its dependencies, or, in a checkout of the repository, start the simulator with "
        "`make services`."
    )

from taskrouter_simulator.setting_values import (
    SettingsError,
    environment_name,
    find_misspelled,
    from_environment,
    read,
)
from taskrouter_simulator.settings import Settings

_OTHER_NAMES = {"workspace_file": ("--config",)}
"""Additional names for options."""


class _Server(uvicorn.Server):
    """A server that prints its URL once it accepts connections."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        url = base_url((sockets or [])[0].getsockname())
        print(f"TaskRouter simulator ready on {url}", flush=True)  # noqa: T201 - program output


def main(arguments: list[str] | None = None) -> int:
    """Run the simulator until a signal arrives, or execute the `replay` command.

    Returns:
        The exit status; 1 if the simulator cannot start.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments[:1] == ["replay"]:
            return replay.main(arguments[1:], _settings([]))
        settings = _settings(arguments)
        simulator = Simulator(settings)
        listener = listen(settings.host, settings.port)
    except (SettingsError, DefinitionError, OSError) as error:
        print(f"simulator: {error}", file=sys.stderr)  # noqa: T201 - program output
        return 1
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    _Server(uvicorn_config(simulator)).run(sockets=[listener])
    return 0


def _settings(arguments: list[str]) -> Settings:
    parser = argparse.ArgumentParser(
        prog="taskrouter-simulator",
        description=__doc__,
        epilog="The `replay` command sends recorded callbacks again; see `replay --help`.",
    )
    version = f"taskrouter-simulator {taskrouter_simulator.__version__}"
    parser.add_argument("--version", action="version", version=version)
    for field in fields(Settings):
        variable = environment_name(field.name)
        help_text = f"{field.metadata['help']} ({variable}; default {field.default!r})"
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            *_OTHER_NAMES.get(field.name, ()),
            default=from_environment(field.name, os.environ),
            help=help_text.replace("%", "%%"),
        )
    values = vars(parser.parse_args(arguments))
    for name, similar in find_misspelled(os.environ).items():
        problem = f"{name} is not a setting; did you mean {similar}?"
        print(f"simulator: {problem}", file=sys.stderr)  # noqa: T201 - program output
    return read(values)


def _exit(_signal: int, _frame: FrameType | None) -> None:
    """Exit with status 0 when uvicorn raises the signal again after its shutdown."""
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
