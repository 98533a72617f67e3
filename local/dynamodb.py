"""A DynamoDB on loopback (ministack) with our tables, made from the same template as in the cloud.

Nothing is kept: the tables are in the memory of one process, and go with it.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from local import ports, waiting

TEMPLATE = Path(__file__).parent.parent / "infra" / "tables.yaml"
STACK = "taskrouter-callbacks-tables"


@dataclass(frozen=True)
class Tables:
    """The names of our two tables."""

    reservations: str
    state: str


def client(service: str, url: str, environ: Mapping[str, str]) -> Any:
    """A boto3 client of the local engine.

    The engine keeps what it holds apart by region and account, so the client must use the region
    and the keys that the app uses.

    Args:
        service: "dynamodb" or "cloudformation".
        url: The engine's address.
        environ: Where AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are read;
            absent ones are made up.
    """
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        aws_access_key_id=environ.get("AWS_ACCESS_KEY_ID", "local"),
        aws_secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY", "local"),
        config=Config(connect_timeout=2, read_timeout=10, proxies={}),
    )


def create_tables(cloudformation: Any, tables: Tables, *, stack: str = STACK) -> None:
    """Create or update the tables from infra/tables.yaml.

    Args:
        cloudformation: A client, see `client`.
        tables: What to call them.
        stack: The name of the CloudFormation stack.

    Raises:
        ClientError: The engine refused the template.
        WaiterError: The stack did not become complete.
    """
    request = {
        "StackName": stack,
        "TemplateBody": TEMPLATE.read_text(encoding="utf-8"),
        "Parameters": [
            {"ParameterKey": "ReservationsTableName", "ParameterValue": tables.reservations},
            {"ParameterKey": "StateTableName", "ParameterValue": tables.state},
            {"ParameterKey": "DeletionProtection", "ParameterValue": "false"},
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


def has_tables(url: str, tables: Tables, environ: Mapping[str, str]) -> bool:
    """Whether the engine answers and both tables can be used."""
    dynamodb = client("dynamodb", url, environ)
    try:
        return all(
            dynamodb.describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE"
            for name in (tables.reservations, tables.state)
        )
    except (OSError, ClientError):
        return False


def serve(port: int, tables: Tables | None, environ: Mapping[str, str]) -> None:
    """Be the engine: serve on loopback until SIGTERM or SIGINT, which end the process.

    Args:
        port: On 127.0.0.1.
        tables: Created as soon as the engine answers; None creates none.
        environ: Region and keys, see `client`.

    Raises:
        NotReadyError: The engine did not come up.
        ClientError: It refused the tables.
        WaiterError: It did not finish them.
    """
    url = f"http://{ports.LOOPBACK}:{port}"

    def prepare() -> None:
        waiting.wait_for("The local DynamoDB", lambda: waiting.answers(f"{url}/_ministack/ready"))
        if tables:
            create_tables(client("cloudformation", url, environ), tables)

    for number in (signal.SIGTERM, signal.SIGINT):
        # There is nothing to save, so nothing to wait for.
        signal.signal(number, lambda *_: os._exit(0))
    asyncio.run(_serve(port, prepare))


async def _serve(port: int, prepare: Callable[[], None]) -> None:
    _configure_engine(port)
    # Its settings are read when it is imported.
    from hypercorn.asyncio import serve as run_server  # noqa: PLC0415
    from hypercorn.config import Config as ServerConfig  # noqa: PLC0415
    from ministack.app import app  # noqa: PLC0415

    config = ServerConfig()
    config.bind = [f"{ports.LOOPBACK}:{port}"]
    config.loglevel = "WARNING"
    config.keep_alive_timeout = 75
    never = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_server(app, config, shutdown_trigger=never.wait))
        await asyncio.to_thread(prepare)


def _configure_engine(port: int) -> None:
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
