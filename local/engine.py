"""A DynamoDB on loopback: ministack, in the process that runs this.

Nothing is kept: the tables are in the memory of the process, and go with it.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable

from local import ports, waiting


def url(port: int) -> str:
    """The engine's address."""
    return f"http://{ports.LOOPBACK}:{port}"


def answers(port: int) -> bool:
    """Whether the engine is up on this port."""
    return waiting.answers(f"{url(port)}/_ministack/ready")


def serve(port: int, once_up: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or SIGINT, which end the process.

    Args:
        port: On 127.0.0.1.
        once_up: Called when the engine answers; what it raises ends the engine.

    Raises:
        NotReadyError: The engine did not come up.
    """

    def prepare() -> None:
        waiting.wait_for("The local DynamoDB", lambda: answers(port))
        once_up()

    for number in (signal.SIGTERM, signal.SIGINT):
        # There is nothing to save, so nothing to wait for.
        signal.signal(number, lambda *_: os._exit(0))
    _configure(port)
    asyncio.run(_serve(port, prepare))


async def _serve(port: int, prepare: Callable[[], None]) -> None:
    # ministack reads its settings when it is imported.
    from hypercorn.asyncio import serve as run_server  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415
    from ministack.app import app  # noqa: PLC0415

    config = Config()
    config.bind = [f"{ports.LOOPBACK}:{port}"]
    config.loglevel = "WARNING"
    config.keep_alive_timeout = 75
    server = asyncio.create_task(run_server(app, config, shutdown_trigger=asyncio.Event().wait))
    await asyncio.to_thread(prepare)
    await server


def _configure(port: int) -> None:
    """Only what we need of ministack: two services, loopback, no files, no other ports."""
    for name in ("PERSIST_STATE", "S3_PERSIST", "LOCALSTACK_PERSISTENCE", "USE_SSL"):
        os.environ.pop(name, None)
    os.environ |= {
        "BIND_HOST": ports.LOOPBACK,
        "GATEWAY_PORT": str(port),
        "SERVICES": "dynamodb,cloudformation",
        "LOG_LEVEL": "WARNING",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # Not a folder, so that nothing can be written to it.
        "STATE_DIR": os.devnull,
    }


if __name__ == "__main__":
    serve(int(sys.argv[1]))
