"""Runs a DynamoDB emulator (ministack) with the tables of the AWS template."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local import network

TEMPLATE = Path(__file__).parent.parent / "infra" / "stage.yaml"
STACK = "taskrouter-callbacks-tables"


@dataclass(frozen=True)
class TableNames:
    """The names of the app's two tables."""

    reservations: str
    state: str


def client(service: str, url: str, environ: Mapping[str, str]) -> Any:
    """Return a boto3 client for the local emulator.

    The emulator separates data by region and account, so the client must use the app's region and
    keys.

    Args:
        service: "dynamodb" or "cloudformation".
        url: Base URL of the emulator.
        environ: Provides AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which
            all have defaults.
    """
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        aws_access_key_id=environ.get("AWS_ACCESS_KEY_ID", "local"),
        aws_secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY", "local"),
        config=Config(
            connect_timeout=2, read_timeout=10, proxies={}, retries={"total_max_attempts": 1}
        ),
    )


def create_tables(cloudformation: Any, tables: TableNames, *, stack: str = STACK) -> None:
    """Create or update the tables in infra/stage.yaml, without its other resources.

    Args:
        cloudformation: The client; see `client`.
        tables: The table names.
        stack: The name of the CloudFormation stack.

    Raises:
        ClientError: The emulator rejected the template.
        WaiterError: The stack did not complete.
    """
    request = {
        "StackName": stack,
        "TemplateBody": TEMPLATE.read_text(encoding="utf-8"),
        "Parameters": [
            {"ParameterKey": "ReservationsTableName", "ParameterValue": tables.reservations},
            {"ParameterKey": "StateTableName", "ParameterValue": tables.state},
            {"ParameterKey": "DeletionProtection", "ParameterValue": "false"},
            {"ParameterKey": "Operate", "ParameterValue": "false"},
        ],
    }
    try:
        cloudformation.create_stack(**request)
        done = "stack_create_complete"
    except cloudformation.exceptions.AlreadyExistsException:
        try:
            cloudformation.update_stack(**request)
        except ClientError as error:
            if "No updates" in str(error):
                return
            raise
        done = "stack_update_complete"
    cloudformation.get_waiter(done).wait(
        StackName=stack, WaiterConfig={"Delay": 0.02, "MaxAttempts": 500}
    )


class TablesProbe:
    """Checks repeatedly whether the emulator responds and both tables are active."""

    def __init__(self, url: str, tables: TableNames, environ: Mapping[str, str]) -> None:
        """See `client` for `url` and `environ`."""
        self._url, self._tables, self._environ = url, tables, environ
        self._client: Any = None

    def __call__(self) -> bool:
        """Return whether both tables are active now."""
        self._client = self._client or client("dynamodb", self._url, self._environ)
        try:
            return all(
                self._client.describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE"
                for name in (self._tables.reservations, self._tables.state)
            )
        except (BotoCoreError, ClientError):
            return False


def is_ready(port: int) -> bool:
    """Return whether the emulator responds on this port."""
    return network.is_responding(f"{network.url(port)}/_ministack/ready")


def serve(port: int, on_ready: Callable[[], None] = lambda: None) -> None:
    """Run the emulator until SIGTERM or SIGINT ends the process.

    Args:
        port: Port on 127.0.0.1.
        on_ready: Called once when the emulator responds. If it raises, the emulator stops and the
            exception propagates.

    Raises:
        NotReadyError: The emulator did not start.
    """

    def prepare() -> None:
        network.wait_for("The local DynamoDB", lambda: is_ready(port))
        on_ready()

    for number in (signal.SIGTERM, signal.SIGINT):
        # Exit immediately: the emulator keeps its data in memory, so there is nothing to save.
        signal.signal(number, lambda *_: os._exit(0))
    _configure(port)
    asyncio.run(_serve(port, prepare))


async def _serve(port: int, prepare: Callable[[], None]) -> None:
    # Imported here because ministack, when imported, reads the variables set by `_configure`.
    from hypercorn.asyncio import serve as run_server  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415
    from ministack.app import app  # noqa: PLC0415

    config = Config()
    config.bind = [f"{network.LOOPBACK}:{port}"]
    config.loglevel = "WARNING"
    config.keep_alive_timeout = 75
    server = asyncio.create_task(run_server(app, config, shutdown_trigger=asyncio.Event().wait))
    await asyncio.to_thread(prepare)
    await server


def _configure(port: int) -> None:
    """Limit ministack to two services on one loopback port, without files."""
    for name in ("PERSIST_STATE", "S3_PERSIST", "LOCALSTACK_PERSISTENCE", "USE_SSL"):
        os.environ.pop(name, None)
    os.environ |= {
        "BIND_HOST": network.LOOPBACK,
        "GATEWAY_PORT": str(port),
        "SERVICES": "dynamodb,cloudformation",
        "LOG_LEVEL": "WARNING",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # /dev/null is not a folder, so ministack can't write any files.
        "STATE_DIR": os.devnull,
    }


if __name__ == "__main__":
    serve(int(sys.argv[1]))
