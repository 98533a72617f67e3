"""Runs a DynamoDB emulator (ministack) with the tables of the AWS template."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
)
from botocore.parsers import ResponseParserError

from infra.aws import template
from local import network
from taskrouter_simulator.origins import FOREIGN, is_foreign

_TABLE_PROPERTIES = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
"""Properties of a table that CloudFormation and CreateTable share, and that do not depend on
parameters of the template."""

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]
"""An ASGI app."""

_FOREIGN = (
    ConnectionClosedError,
    ClientError,
    ResponseParserError,
    *(AttributeError, TypeError, ValueError),  # boto3 parses JSON without checking its types
)
"""Errors that boto3 raises for responses from a program that is not DynamoDB."""

_API = "DynamoDB_20120810."
"""Prefix of `X-Amz-Target` in requests to the DynamoDB API."""


@dataclass(frozen=True)
class TableNames:
    """The names of the app's two tables."""

    reservations: str
    state: str


def client(url: str) -> Any:
    """Return a DynamoDB client for the emulator at a base URL."""
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        # boto3 requires a region and keys; the emulator ignores them.
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106
        config=Config(
            connect_timeout=2,
            read_timeout=10,
            proxies={},
            retries={"total_max_attempts": 1},
            # Building boto3's default user agent accounts for an eighth of a local request's time.
            user_agent="local",
        ),
    )


def create_tables(dynamodb: Any, tables: TableNames) -> None:
    """Create the tables defined in infra/stage.yaml, unless they exist.

    Items do not expire, because tests use times in the past. They are lost when the emulator ends,
    because it keeps them in memory.

    Args:
        dynamodb: The client; see `client`.
        tables: The table names.

    Raises:
        ClientError: The emulator rejected a definition.
    """
    for logical_id, name in (("Reservations", tables.reservations), ("State", tables.state)):
        properties = template.read()["Resources"][logical_id]["Properties"]
        definition = {key: properties[key] for key in _TABLE_PROPERTIES if key in properties}
        with contextlib.suppress(dynamodb.exceptions.ResourceInUseException):
            dynamodb.create_table(TableName=name, **definition)


class TablesProbe:
    """A callable that checks whether the emulator responds and both tables are active."""

    def __init__(self, url: str, tables: TableNames) -> None:
        """Store the emulator's base URL and the names of the tables to check."""
        self._url, self._tables = url, tables
        self._client: Any = None

    def __call__(self) -> bool:
        """Return whether both tables are active now."""
        self._client = self._client or client(self._url)
        try:
            return all(
                self._client.describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE"
                for name in (self._tables.reservations, self._tables.state)
            )
        except (BotoCoreError, ClientError):
            return False


def find_missing_tables(url: str, tables: TableNames) -> list[str] | None:
    """Return the names of tables that do not exist; None if DynamoDB does not respond.

    Raises:
        ForeignProgramError: A program other than DynamoDB responds.
    """
    dynamodb = client(url)
    missing = []
    for name in (tables.reservations, tables.state):
        try:
            described = dynamodb.describe_table(TableName=name)
        except dynamodb.exceptions.ResourceNotFoundException:
            missing.append(name)
        except _FOREIGN as error:
            raise network.ForeignProgramError from error
        except (EndpointConnectionError, HTTPClientError):
            return None
        else:
            if not described or "Table" not in described:
                raise network.ForeignProgramError
    return missing


def serve(port: int, on_ready: Callable[[], None], hosts: Collection[str] = ()) -> None:
    """Run the emulator until SIGTERM or SIGINT ends the process.

    Args:
        port: Port on 127.0.0.1.
        on_ready: Called once when the emulator responds. If it raises, the emulator stops and the
            exception propagates.
        hosts: See `dynamodb_api`.

    Raises:
        NotReadyError: The emulator did not start.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        # Exit immediately: the emulator keeps its data in memory, so there is nothing to save.
        signal.signal(number, lambda *_: os._exit(0))
    asyncio.run(_serve(port, on_ready, hosts))


async def _serve(port: int, on_ready: Callable[[], None], hosts: Collection[str]) -> None:
    server = create_server(port, hosts)

    def prepare() -> None:
        network.wait_for("The local DynamoDB", lambda: server.started)
        on_ready()

    serving = asyncio.create_task(server.serve())
    await asyncio.to_thread(prepare)
    await serving


def create_server(port: int, hosts: Collection[str] = ()) -> Any:
    """Return a uvicorn server for the emulator without starting the server.

    Port 0 means any free port.
    """
    # ministack reads this variable when it is imported; "1" would make it write files.
    os.environ["PERSIST_STATE"] = "0"
    # Only the process that serves the tables needs uvicorn.
    import uvicorn  # noqa: PLC0415

    config = uvicorn.Config(
        dynamodb_api(hosts),
        host=network.LOOPBACK,
        port=port,
        log_level="warning",
        lifespan="off",
        ws="none",
        timeout_keep_alive=75,
    )
    return uvicorn.Server(config)


def dynamodb_api(hosts: Collection[str] = ()) -> App:
    """Return an ASGI app that serves the DynamoDB API, except to cross-origin web pages.

    The app calls the DynamoDB module of ministack directly. ministack's own app would also serve
    administrative routes and other AWS services, one of which executes code. That app would also
    separate data by region and account, whereas clients of this app share the tables regardless of
    their region and keys.

    Args:
        hosts: Accepted host names that contain a dot; see `network.allowed_hosts`.
    """
    from ministack.services import dynamodb  # noqa: PLC0415

    async def serve_request(scope: Scope, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        if is_foreign(headers.get("host"), headers.get("origin"), allowed_hosts=hosts):
            await _respond(send, 403, _message(FOREIGN))
        elif not headers.get("x-amz-target", "").startswith(_API):
            await _respond(send, 404, _message("This port serves only the DynamoDB API."))
        else:
            body = await _read_body(receive)
            if not _is_json_object(body):
                await _respond(send, 400, _message("The body must be a JSON object."))
                return
            status, _, content = await dynamodb.handle_request("POST", "/", headers, body, {})
            await _respond(send, status, content)

    return serve_request


async def _read_body(receive: Any) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _is_json_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


async def _respond(send: Any, status: int, body: bytes) -> None:
    headers = [
        (b"content-type", b"application/x-amz-json-1.0"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _message(text: str) -> bytes:
    return json.dumps({"message": text}).encode()
