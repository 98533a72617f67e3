"""Time limits, retries, connections, credentials and reads of the AWS clients.

These tests need no emulator.
"""

import gzip
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore import translate
from botocore.exceptions import (
    ChecksumError,
    ClientError,
    EndpointConnectionError,
    PartialCredentialsError,
    ReadTimeoutError,
)
from botocore.httpsession import get_cert_path
from botocore.session import Session

from chalicelib.adapters import aws, endpoints
from chalicelib.adapters.aws import InvalidResponse, JsonApi, Response, Sender
from chalicelib.adapters.dynamodb.client import from_item, make_client, read_all, translate_errors
from chalicelib.adapters.exchange import Exchange
from chalicelib.config import SettingsError
from chalicelib.domain.errors import StoreUnavailable
from tests.deploy.https_proxy import make_certificate
from tests.scripted_aws import http_response, read_request, respond, scripted_server

DONE = {"Attributes": {"a": {"S": "x"}}}
REQUEST = {"TableName": "reservations", "Key": {"reservation_sid": {"S": "WR1"}}}
LIMIT = 2**20


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def client_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    def make(url: str, budget: float = 30.0) -> Any:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
        return make_client(budget)

    return make


# Time limits and retries


class Clock:
    """A clock that returns the given times, repeats the last time, and records pauses."""

    def __init__(self, *times: float) -> None:
        self.pauses: list[float] = []
        self._times = list(times)

    def monotonic(self) -> float:
        return self._times.pop(0) if len(self._times) > 1 else self._times[0]

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.mark.parametrize(
    ("attempts", "times", "expected", "pauses"),
    [
        (1, [7.0, 7.0], [4.0], []),
        (1, [7.0, 8.5], [2.5], []),
        (2, [7.0, 7.0, 8.0], [2.0, 3.0], [0.05]),
        (2, [7.0, 7.0, 11.5], [2.0, 0.001], [0.05]),
        (3, [7.0, 7.0, 8.0, 9.0], [4 / 3, 1.5, 2.0], [0.05, 0.05]),
    ],
)
def test_attempts_share_the_time_limit(
    monkeypatch: pytest.MonkeyPatch,
    attempts: int,
    times: list[float],
    expected: list[float],
    pauses: list[float],
) -> None:
    clock, limits = Clock(*times), []

    def send(_sender: Sender, _make_request: object, *, seconds: float, max_bytes: int) -> Response:
        limits.append((pytest.approx(seconds), max_bytes))
        raise ReadTimeoutError(endpoint_url="http://127.0.0.1:9")

    monkeypatch.setattr(Sender, "send", send)
    monkeypatch.setattr(aws, "time", clock)
    api = JsonApi("dynamodb", target="t", version="1.0", seconds=4.0, attempts=attempts)
    with pytest.raises(ReadTimeoutError):
        api.call("GetItem", {})
    assert limits == [(seconds, LIMIT) for seconds in expected]
    assert clock.pauses == pauses


@pytest.mark.parametrize(
    ("error", "requests"),
    [
        (ReadTimeoutError(endpoint_url="u"), 2),
        (EndpointConnectionError(endpoint_url="u"), 2),
        (ChecksumError(checksum_type="c", expected_checksum="1", actual_checksum="2"), 2),
        (InvalidResponse(), 1),
    ],
)
def test_timeout_connection_and_checksum_errors_are_retried_once_but_invalid_responses_are_not(
    monkeypatch: pytest.MonkeyPatch, error: Exception, requests: int
) -> None:
    sent = []

    def send(_sender: Sender, _make_request: object, **_options: object) -> Response:
        sent.append(1)
        raise error

    monkeypatch.setattr(Sender, "send", send)
    monkeypatch.setattr(aws, "time", Clock(0.0))
    with pytest.raises(type(error)):
        JsonApi("dynamodb", target="t", version="1.0", seconds=4.0, attempts=2).call("GetItem", {})
    assert len(sent) == requests


def conditions(policy: Any) -> Iterator[dict[str, Any]]:
    """Yield the conditions with a status code in botocore's retry policies."""
    if isinstance(policy, dict):
        if "http_status_code" in policy:
            yield policy
        for value in policy.values():
            yield from conditions(value)


def test_statuses_that_botocore_retries_are_transient() -> None:
    loader = Session().get_component("data_loader")
    data = loader.load_data("_retry")
    config = translate.build_retry_config("dynamodb", data["retry"], data["definitions"])
    found = list(conditions(config))
    statuses = {each["http_status_code"] for each in found if "service_error_code" not in each}

    def is_transient(status: int) -> bool:
        metadata = {"HTTPStatusCode": status}
        response: Any = {"Error": {"Code": "x"}, "ResponseMetadata": metadata}
        return aws.is_transient(ClientError(response, "UpdateItem"))

    assert {status for status in range(200, 600) if is_transient(status)} == statuses


@pytest.mark.parametrize(
    "code",
    [
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "RequestThrottledException",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TransactionInProgressException",
    ],
)
def test_throttling_and_conflict_errors_with_status_400_or_409_are_transient(code: str) -> None:
    for status in (400, 409):
        metadata = {"HTTPStatusCode": status}
        response: Any = {"Error": {"Code": code}, "ResponseMetadata": metadata}
        assert aws.is_transient(ClientError(response, "UpdateItem")) is True


# Connections


def test_each_attempt_opens_one_connection_within_its_time_limit(
    client_at: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts: list[float] = []

    def refuse(_address: object, timeout: float, *_options: object) -> None:
        timeouts.append(timeout)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(aws, "time", Clock(0.0))
    with pytest.raises(StoreUnavailable, match="connection refused"), translate_errors():
        client_at("http://127.0.0.1:9", budget=6.0).update_item(**REQUEST)
    assert timeouts == [3.0, 6.0]


@pytest.mark.parametrize("bundle", ["", "/certificates/bundle.pem"])
def test_connections_trust_the_same_certificates_as_botocore(
    monkeypatch: pytest.MonkeyPatch, bundle: str
) -> None:
    files: list[str] = []
    create = ssl.create_default_context

    def record(*, cafile: str) -> ssl.SSLContext:
        files.append(cafile)
        return create()

    monkeypatch.setenv("AWS_CA_BUNDLE", bundle)
    monkeypatch.setattr(ssl, "create_default_context", record)
    aws._make_tls_context.cache_clear()
    url = urlsplit("https://dynamodb.test/")
    contexts = [
        Sender("https://dynamodb.test")._make_connection(url, 1.0)._context  # type: ignore[attr-defined]
        for _ in range(2)
    ]
    aws._make_tls_context.cache_clear()

    assert files == [bundle or get_cert_path(verify=True)]
    assert contexts[0] is contexts[1]
    assert (contexts[0].verify_mode, contexts[0].check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost, with its private key."""
    file: Path = make_certificate("localhost", tmp_path_factory.mktemp("certificate"))
    return file


@pytest.fixture(scope="module")
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def test_server_with_an_untrusted_certificate_gets_no_request(
    client_at: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    certificate: Path,
    tls: ssl.SSLContext,
) -> None:
    with scripted_server(respond(http_response(200, DONE)), tls=tls) as server:
        with pytest.raises(EndpointConnectionError) as raised:
            client_at(server.url).update_item(**REQUEST)
        assert isinstance(raised.value.__cause__, ssl.SSLCertVerificationError)
        assert server.requests == []

        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        assert client_at(server.url).update_item(**REQUEST) == DONE
        # The certificate is valid for localhost, but not for 127.0.0.1.
        with pytest.raises(EndpointConnectionError) as raised:
            client_at(server.url.replace("localhost", "127.0.0.1")).update_item(**REQUEST)
        assert isinstance(raised.value.__cause__, ssl.SSLCertVerificationError)
        assert len(server.requests) == 1


def test_tls_requests_are_tunneled_and_contain_no_proxy_credentials(
    client_at: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    certificate: Path,
    tls: ssl.SSLContext,
) -> None:
    received = []

    def connect(connection: socket.socket, _ended: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with tls.wrap_socket(connection, server_side=True) as encrypted:
            received.append(read_request(encrypted))
            encrypted.sendall(http_response(200, DONE))

    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    with scripted_server(connect) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", "://user:pass@"))
        assert client_at("https://localhost:8443").update_item(**REQUEST) == DONE
        assert proxy.requests[0].startswith(b"CONNECT localhost:8443 ")
        assert b"Proxy-Authorization: Basic " in proxy.requests[0]
    assert received[0].startswith(b"POST / ")
    assert b"proxy-authorization" not in received[0].lower()


@pytest.mark.parametrize("on_lambda", [True, False])
def test_proxy_that_requires_tls_is_rejected(
    client_at: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, *, on_lambda: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "https://proxy.test:3128")
    if on_lambda:
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "api")
    with pytest.raises(SettingsError, match="must be http:// URLs"):
        client_at("https://dynamodb.test")


@pytest.mark.parametrize("cut", [1, 10])
def test_truncated_response_is_treated_as_a_failed_connection(
    client_at: Callable[..., Any], cut: int
) -> None:
    response = http_response(200, DONE)[:-cut]
    with scripted_server(respond(response)) as server:
        with pytest.raises(EndpointConnectionError):
            client_at(server.url).update_item(**REQUEST)
        assert len(server.requests) == 2


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_redirect_is_reported_as_an_error_and_not_followed(
    client_at: Callable[..., Any], status: int
) -> None:
    with scripted_server(
        respond(http_response(status, DONE, "Location: /other")),
    ) as server:
        with pytest.raises(ClientError) as raised:
            client_at(server.url).update_item(**REQUEST)
        assert len(server.requests) == 1
    assert raised.value.response == {
        **DONE,
        "Error": {"Code": str(status), "Message": ""},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }


@pytest.mark.parametrize("name", ["message", "Message"])
def test_error_contains_code_message_and_item(client_at: Callable[..., Any], name: str) -> None:
    item = {"a": {"S": "x"}}
    content = {"__type": "v1#ConditionalCheckFailedException", name: "failed", "Item": item}
    with (
        scripted_server(respond(http_response(400, content))) as server,
        pytest.raises(ClientError) as raised,
    ):
        client_at(server.url).update_item(**REQUEST)
    assert raised.value.operation_name == "UpdateItem"
    assert raised.value.response == {
        **content,
        "Error": {"Code": "ConditionalCheckFailedException", "Message": "failed"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }


@pytest.mark.parametrize(("size", "is_read"), [(LIMIT, True), (LIMIT + 1, False)])
def test_only_a_response_of_at_most_one_mebibyte_is_read(
    client_at: Callable[..., Any], size: int, *, is_read: bool
) -> None:
    body = json.dumps(DONE).encode().ljust(size)
    with scripted_server(respond(http_response(200, body))) as server:
        client = client_at(server.url)
        if is_read:
            assert client.update_item(**REQUEST) == DONE
        else:
            with pytest.raises(InvalidResponse):
                client.update_item(**REQUEST)


def test_connection_is_closed_if_the_response_is_too_large(client_at: Callable[..., Any]) -> None:
    closed = threading.Event()

    def send_endlessly(peer: Any, ended: threading.Event) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n{")
        try:
            while not ended.is_set():
                peer.sendall(b" " * 65_536)
        except OSError:
            closed.set()

    with scripted_server(send_endlessly) as server:
        with pytest.raises(InvalidResponse) as raised:
            client_at(server.url).update_item(**REQUEST)
        assert closed.wait(5)
        assert raised.value.fmt


def test_compressed_response_is_not_decoded(client_at: Callable[..., Any]) -> None:
    body = gzip.compress(json.dumps(DONE).encode())
    response = http_response(200, body, "Content-Encoding: gzip")
    with scripted_server(respond(response)) as server, pytest.raises(InvalidResponse):
        client_at(server.url).update_item(**REQUEST)


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (TimeoutError(), ReadTimeoutError),
        (OSError(), EndpointConnectionError),
        (HTTPException(), EndpointConnectionError),
    ],
)
def test_failed_exchange_raises_a_botocore_timeout_or_connection_error(
    client_at: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    error: type[Exception],
) -> None:
    def run(_exchange: Exchange[Any]) -> None:
        raise failure

    monkeypatch.setattr(Exchange, "run", run)
    with pytest.raises(error) as raised:
        client_at("http://127.0.0.1:9").update_item(**REQUEST)
    assert type(raised.value) is error


def test_user_agent_names_this_service(client_at: Callable[..., Any]) -> None:
    with scripted_server(respond(http_response(200, DONE))) as server:
        client_at(server.url).update_item(**REQUEST)
        assert b"user-agent: taskrouter-callbacks\r\n" in server.requests[0].lower()


# Credentials and endpoints


def test_incomplete_credentials_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    api = JsonApi("dynamodb", target="t", version="1.0", seconds=4.0, attempts=2)
    with pytest.raises(PartialCredentialsError):
        api.call("GetItem", {})


def use_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *lines: str) -> Path:
    """Write a configuration file, and remove the credentials from the environment."""
    file = tmp_path / "config"
    file.write_text("\n".join(["[default]", *lines, ""]))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    return file


def test_profile_credentials_are_read_once(
    client_at: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = ["aws_access_key_id = ann-key", "aws_secret_access_key = s"]
    file = use_profile(monkeypatch, tmp_path, *lines)
    with scripted_server(respond(http_response(200, DONE))) as server:
        client = client_at(server.url)
        for _ in range(2):
            assert client.update_item(**REQUEST) == DONE
            file.write_text("")


def test_missing_credential_process_is_reported(
    client_at: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_profile(monkeypatch, tmp_path, f"credential_process = {tmp_path}/missing")
    with pytest.raises(StoreUnavailable), translate_errors():
        client_at("http://127.0.0.1:9").update_item(**REQUEST)


def test_profile_region_is_used_with_the_endpoint_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_profile(monkeypatch, tmp_path, "region = eu-west-1")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert endpoints.find_endpoint("dynamodb") == ("http://127.0.0.1:9", "eu-west-1")


@pytest.mark.parametrize("is_lambda", [True, False])
def test_profile_endpoint_is_used_only_outside_lambda(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, is_lambda: bool
) -> None:
    use_profile(monkeypatch, tmp_path, "endpoint_url = http://profile.test")
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB")
    if is_lambda:
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "api")
    expected = "https://dynamodb.us-east-1.amazonaws.com" if is_lambda else "http://profile.test"
    assert endpoints.find_endpoint("dynamodb") == (expected, "us-east-1")


def test_configured_endpoints_can_be_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    url = "https://dynamodb.us-east-1.amazonaws.com"
    assert endpoints.find_endpoint("dynamodb") == (url, "us-east-1")


# Reads through botocore


class ReadClient:
    """A client whose BatchGetItem leaves the given numbers of keys unprocessed."""

    def __init__(self, *unprocessed: int) -> None:
        self.batches: list[int] = []
        self._unprocessed = list(unprocessed)

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803  boto3's name
        (request,) = RequestItems.values()
        self.batches.append(len(request["Keys"]))
        count = self._unprocessed.pop(0) if self._unprocessed else 0
        done = len(request["Keys"]) - count
        response: dict[str, Any] = {"Responses": {"table": request["Keys"][:done]}}
        if count:
            response["UnprocessedKeys"] = {"table": {"Keys": request["Keys"][done:]}}
        return response


@pytest.mark.parametrize(
    ("count", "batches"),
    [(0, []), (1, [1]), (100, [100]), (101, [100, 1]), (200, [100, 100]), (250, [100, 100, 50])],
)
def test_keys_are_read_in_batches_of_one_hundred(count: int, batches: list[int]) -> None:
    keys = [{"id": str(number)} for number in range(count)]
    client = ReadClient()
    assert list(read_all(client, "table", keys)) == keys
    assert client.batches == batches


def test_unprocessed_keys_are_requested_again_at_most_four_times() -> None:
    keys = [{"id": str(number)} for number in range(6)]
    client = ReadClient(5, 4, 3, 2)
    assert list(read_all(client, "table", keys)) == keys
    assert client.batches == [6, 5, 4, 3, 2]

    client = ReadClient(5, 4, 3, 2, 1)
    with pytest.raises(StoreUnavailable, match="did not return all requested records"):
        list(read_all(client, "table", keys))
    assert client.batches == [6, 5, 4, 3, 2]


def test_each_of_two_read_attempts_gets_half_of_the_time_limit(
    client_at: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[tuple[float, int]] = []

    def send(_sender: Sender, _make_request: object, *, seconds: float, max_bytes: int) -> Response:
        limits.append((seconds, max_bytes))
        raise ReadTimeoutError(endpoint_url="http://127.0.0.1:9")

    monkeypatch.setattr(Sender, "send", send)
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _seconds: None))
    with pytest.raises(ReadTimeoutError):
        client_at("http://127.0.0.1:9", budget=2.05).get_item(**REQUEST)
    assert limits == [(pytest.approx(1.0), 2**25)] * 2


def test_read_retries_do_not_depend_on_the_environment(
    client_at: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_RETRY_MODE", "standard")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    retries = client_at("http://127.0.0.1:9").meta.config.retries
    assert retries == {"mode": "legacy", "total_max_attempts": 2}


@pytest.mark.parametrize(
    ("status", "body", "requests", "message"),
    [
        (502, b"<html>", 2, "DynamoDB returned 502. Retry."),
        (400, b"", 1, "DynamoDB returned 400."),
        (200, b"<html>", 1, "The request to DynamoDB failed (InvalidResponse). Retry."),
    ],
)
def test_read_response_without_json_is_reported(
    client_at: Callable[..., Any], status: int, body: bytes, requests: int, message: str
) -> None:
    with scripted_server(respond(http_response(status, body))) as server:
        client = client_at(server.url)
        with pytest.raises(StoreUnavailable) as raised, translate_errors():
            client.get_item(**REQUEST)
        assert len(server.requests) == requests
    assert raised.value.message == message


def test_attributes_of_unsupported_types_are_rejected() -> None:
    with pytest.raises(TypeError, match="of type SS can't be read"):
        from_item({"a": {"SS": ["x"]}})
