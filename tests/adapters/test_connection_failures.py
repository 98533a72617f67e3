"""A connection error's message names the address and the cause, but no secrets or attributes."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import boto3
import pytest
from botocore.config import Config

from chalicelib.adapters.dynamodb.client import make_client, translate_errors
from chalicelib.adapters.secrets import FixedSecrets, ParameterSecrets, Secrets, ssm_client
from chalicelib.adapters.twilio.taskrouter import TwilioTaskRouter
from chalicelib.domain.errors import AppError, StoreUnavailable
from chalicelib.domain.messages import describe_connection_failure
from tests.scripted_aws import respond, scripted_server

_NOT_SENT = " The request was not sent."


@pytest.fixture
def unused_address() -> str:
    """An address on which no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def silent_address() -> Iterator[str]:
    """The address of a server that accepts connections but never responds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def closing_address() -> Iterator[str]:
    """The address of a server that closes each connection without a response."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65_536)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def call_dynamodb(address: str) -> None:
    client = boto3.client(
        "dynamodb",
        endpoint_url=f"http://{address}/path",
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="key",
        config=Config(read_timeout=0.2, proxies={}, retries={"total_max_attempts": 1}),
    )
    with translate_errors():
        client.get_item(TableName="secret-table", Key={"id": {"S": "secret"}})


def call_taskrouter(address: str, seconds: float = 2) -> None:
    TwilioTaskRouter(
        base_url=f"http://{address}/path",
        account_sid="AC" + "a" * 32,
        secrets=FixedSecrets(Secrets(("token",), {"SK" + "b" * 32: "secret"})),
        workspace_sid="WS" + "c" * 32,
        seconds=seconds,
    ).find_tasks("name", "secret")


@pytest.fixture(params=[call_dynamodb, call_taskrouter])
def message(
    request: pytest.FixtureRequest,
) -> Callable[[str], str]:
    """A function that sends a request to an address and returns the error message.

    The function removes the service name, the note that the request was not sent, and the advice
    from the message.
    """
    name = "DynamoDB" if request.param is call_dynamodb else "TaskRouter"

    def send(address: str) -> str:
        with pytest.raises(AppError) as raised:
            request.param(address)
        assert raised.value.status == 503
        assert raised.value.retry_after
        return (
            raised.value.message.removeprefix(f"{name} ")
            .removesuffix(" Retry.")
            .removesuffix(_NOT_SENT)
        )

    return send


def test_message_reports_refused_connection(
    message: Callable[[str], str], unused_address: str
) -> None:
    assert (
        message(unused_address)
        == f"at http://{unused_address} can't be reached: connection refused."
    )


def test_message_reports_timeout_of_silent_server(
    message: Callable[[str], str], silent_address: str
) -> None:
    assert message(silent_address) == f"at http://{silent_address} did not respond in time."


def test_message_reports_closed_connection(
    message: Callable[[str], str], closing_address: str
) -> None:
    expected = f"at http://{closing_address} closed the connection without a response."
    assert message(closing_address) == expected


HTTP = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "response",
    [
        HTTP + b'Content-Length: 500\r\n\r\n{"sid":',
        HTTP + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        HTTP + b"Transfer-Encoding: chunked\r\n\r\nsecret\r\n",
        HTTP + b"".join(b"X-%d: 1\r\n" % number for number in range(200)) + b"\r\n",
        b"SSH-2.0-secret\r\n\r\n",
    ],
    ids=["half a body", "half of the chunks", "invalid chunk", "too many headers", "not HTTP"],
)
@pytest.mark.parametrize("service", ["DynamoDB", "SSM", "TaskRouter"])
def test_message_reports_incomplete_or_malformed_response(
    response: bytes, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")

    def call(address: str) -> None:
        if service == "TaskRouter":
            call_taskrouter(address, seconds=5)
        elif service == "SSM":
            ParameterSecrets("/secrets", ssm_client(5.0), lambda: 0).get()
        else:
            with translate_errors():
                make_client(5.0).update_item(TableName="table", Key={"id": {"S": "1"}})

    with scripted_server(respond(response)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        address = server.url.removeprefix("http://")
        with pytest.raises(AppError) as raised:
            call(address)
    message = raised.value.message
    assert f"{service} at http://{address} returned an incomplete or malformed response" in message
    assert "secret" not in message.removeprefix("The secrets can't be read")


def test_message_reports_unknown_host_name(message: Callable[[str], str]) -> None:
    assert message("host.invalid") == "at http://host.invalid can't be reached: unknown host name."


def test_missing_credentials_are_not_reported_as_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    # boto3's default session may have cached credentials from another test.
    session = boto3.Session(region_name="us-east-1")
    client = session.client("dynamodb", endpoint_url="http://127.0.0.1:9")

    with pytest.raises(StoreUnavailable, match="failed .NoCredentials"), translate_errors():
        client.list_tables()


def test_message_shows_only_scheme_host_and_port_of_url() -> None:
    url = "https://user:password@host.example:8443/path?query=secret#fragment"

    assert describe_connection_failure(url, TimeoutError()) == (
        "at https://host.example:8443 did not respond in time"
    )
