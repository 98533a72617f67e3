"""`python -m taskrouter_simulator`: serves until it is told to stop."""

import argparse
import os
import signal
import socket
import sys
from dataclasses import fields
from types import FrameType

import uvicorn

from taskrouter_simulator.seed import SeedError
from taskrouter_simulator.server import Simulator, configuration, listen
from taskrouter_simulator.settings import Settings, SettingsError, environment_name, read


class _Server(uvicorn.Server):
    """Says when it is ready."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        host, port = (sockets or [])[0].getsockname()[:2]
        print(f"TaskRouter simulator ready on http://{host}:{port}", flush=True)  # noqa: T201 - the one line


def main(arguments: list[str] | None = None) -> int:
    """Run the simulator; 0 when told to stop, 1 when it cannot start."""
    try:
        settings = _settings(arguments)
        simulator = Simulator(settings)
        listener = listen(settings.host, settings.port)
    except (SettingsError, SeedError, OSError) as error:
        print(f"simulator: {error}", file=sys.stderr)  # noqa: T201 - the one sentence
        return 1
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    _Server(configuration(simulator)).run(sockets=[listener])
    return 0


def _settings(arguments: list[str] | None) -> Settings:
    parser = argparse.ArgumentParser(prog="python -m taskrouter_simulator", description=__doc__)
    for one in fields(Settings):
        name = environment_name(one.name)
        parser.add_argument(
            f"--{one.name.replace('_', '-')}",
            default=os.environ.get(name),
            help=f"{one.metadata['help']} ({name}; default {one.default!r})".replace("%", "%%"),
        )
    return read(vars(parser.parse_args(arguments)))


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """Uvicorn has shut down and raises the signal again: that was the end."""
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
