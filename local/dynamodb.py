"""Runs a DynamoDB emulator (ministack), with tables created from the same template as on AWS."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local import network
from taskrouter_simulator.origins import is_foreign

TEMPLATE = Path(__file__).parent.parent / "infra" / "stage.yaml"

_TABLE_MEMBERS = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
"""Members of a table's definition that CloudFormation and CreateTable share, and that do not depend
on parameters of the template."""

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]
"""An ASGI app."""

_API_HEADERS = {b"authorization", b"content-length", b"content-type", b"x-amz-target"}

_API = "DynamoDB_20120810."
"""Prefix of `X-Amz-Target` in requests to the DynamoDB API."""


@dataclass(frozen=True)
class TableNames:
    """The names of the app's two tables."""

    reservations: str
    state: str


def client(url: str, environ: Mapping[str, str]) -> Any:
    """Return a DynamoDB client for the local emulator.

    The emulator separates data by region and account, so the client must use the same region and
    keys as the app.

    Args:
        url: Base URL of the emulator.
        environ: Provides AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which
            all have defaults.
    """
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name=environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        aws_access_key_id=environ.get("AWS_ACCESS_KEY_ID", "local"),
        aws_secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY", "local"),
        config=Config(
            connect_timeout=2, read_timeout=10, proxies={}, retries={"total_max_attempts": 1}
        ),
    )


def create_tables(dynamodb: Any, tables: TableNames) -> None:
    """Create the tables defined in infra/stage.yaml, unless they exist.

    Args:
        dynamodb: The client; see `client`.
        tables: The table names.

    Raises:
        ClientError: The emulator rejected a definition.
    """
    resources = yaml.load(TEMPLATE.read_text(encoding="utf-8"), _TemplateLoader)["Resources"]  # noqa: S506  # a SafeLoader
    for logical_id, name in (("Reservations", tables.reservations), ("State", tables.state)):
        properties = resources[logical_id]["Properties"]
        definition = {key: properties[key] for key in _TABLE_MEMBERS if key in properties}
        try:
            dynamodb.create_table(TableName=name, **definition)
        except dynamodb.exceptions.ResourceInUseException:
            continue
        dynamodb.update_time_to_live(
            TableName=name, TimeToLiveSpecification=properties["TimeToLiveSpecification"]
        )


class _TemplateLoader(yaml.SafeLoader):
    """Loads a CloudFormation template, and replaces intrinsic functions with None."""


_TemplateLoader.add_multi_constructor("!", lambda _loader, _tag, _node: None)


class TablesProbe:
    """Checks repeatedly whether the emulator responds and both tables are active."""

    def __init__(self, url: str, tables: TableNames, environ: Mapping[str, str]) -> None:
        """See `client` for `url` and `environ`."""
        self._url, self._tables, self._environ = url, tables, environ
        self._client: Any = None

    def __call__(self) -> bool:
        """Return whether both tables are active now."""
        self._client = self._client or client(self._url, self._environ)
        try:
            return all(
                self._client.describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE"
                for name in (self._tables.reservations, self._tables.state)
            )
        except (BotoCoreError, ClientError):
            return False


def is_ready(port: int) -> bool:
    """Return whether the emulator responds on this port."""
    try:
        client(network.url(port), {}).list_tables(Limit=1)
    except (BotoCoreError, ClientError):
        return False
    return True


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
        # Exit at once: the emulator keeps its data in memory, so there is nothing to save.
        signal.signal(number, lambda *_: os._exit(0))
    _configure(port)
    asyncio.run(_serve(port, prepare))


async def _serve(port: int, prepare: Callable[[], None]) -> None:
    # Imported here because ministack reads the environment variables set by `_configure` when it
    # is imported.
    from hypercorn.asyncio import serve as run_server  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415
    from ministack.app import app  # noqa: PLC0415

    config = Config()
    config.bind = [f"{network.LOOPBACK}:{port}"]
    config.loglevel = "WARNING"
    config.keep_alive_timeout = 75
    guarded: Any = only_dynamodb(app)
    server = asyncio.create_task(run_server(guarded, config, shutdown_trigger=asyncio.Event().wait))
    await asyncio.to_thread(prepare)
    await server


def only_dynamodb(app: App) -> App:
    """Return an ASGI app that passes only DynamoDB API requests that no web page sent.

    ministack routes a request by its path, query, host and headers to any of its services and
    administrative routes. Therefore only the parts that an API request needs are passed on.
    """

    async def guarded(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            # Closing the connection before it is accepted makes hypercorn answer 403.
            await send({"type": "websocket.close"})
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if is_foreign(headers.get(b"host"), headers.get(b"origin")):
            await _refuse(send, 403, "Requests from web pages and for other hosts are refused.")
        elif not headers.get(b"x-amz-target", "").startswith(_API):
            await _refuse(send, 404, "This port serves only the DynamoDB API.")
        else:
            await app(_api_request(scope, headers), receive, send)

    return guarded


def _api_request(scope: Scope, headers: Mapping[bytes, str]) -> Scope:
    return {
        **scope,
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [
            (name, value)
            for name, value in scope["headers"]
            if name in _API_HEADERS and value.decode("latin-1") == headers[name]
        ],
    }


async def _refuse(send: Any, status: int, message: str) -> None:
    body = json.dumps({"message": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _configure(port: int) -> None:
    """Limit ministack to DynamoDB on loopback, without files or other ports."""
    for name in ("PERSIST_STATE", "S3_PERSIST", "LOCALSTACK_PERSISTENCE", "USE_SSL"):
        os.environ.pop(name, None)
    os.environ |= {
        "BIND_HOST": network.LOOPBACK,
        "GATEWAY_PORT": str(port),
        "SERVICES": "dynamodb",
        "LOG_LEVEL": "WARNING",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # Not a folder, so ministack can't write any files.
        "STATE_DIR": os.devnull,
    }


if __name__ == "__main__":
    serve(int(sys.argv[1]))
