"""This service's DynamoDB client stores the same items and reports the same errors as boto3.

The tests use the emulators ministack and moto. A scripted server produces failures that neither
emulator can produce.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.regions import EndpointResolver
from botocore.session import Session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.adapters import aws, endpoints
from chalicelib.adapters.dynamodb.client import (
    UpdateItem,
    from_item,
    make_client,
    to_item,
    translate_errors,
)
from chalicelib.domain.errors import StoreUnavailable
from local.dynamodb import TableNames
from tests.moto_over_http import serve_moto
from tests.scripted_aws import (
    SLOW,
    Step,
    aws_error,
    http_response,
    read_request,
    respond,
    scripted_server,
    stay_silent,
    with_checksum,
)
from tests.support import busy_exchanges

BUDGET = 1.0
EMULATOR_BUDGET = 60.0
"""Equal to boto3's default timeout, because an emulator may be slow on a busy machine."""
TABLE = "reservations"
KEY = {"reservation_sid": {"S": "WR1"}}
REQUEST = {
    "TableName": TABLE,
    "Key": KEY,
    "UpdateExpression": "SET #a = :a",
    "ExpressionAttributeNames": {"#a": "a"},
    "ExpressionAttributeValues": {":a": {"S": "x"}},
    "ReturnValues": "ALL_NEW",
    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
}
DONE = {"Attributes": {"a": {"S": "x"}}}


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def client_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A function that returns this service's client for an endpoint."""

    def make(url: str, budget: float = BUDGET) -> Any:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
        return make_client(budget)

    return make


def boto3_client_at(url: str) -> Any:
    config = Config(proxies={}, retries={"mode": "legacy", "total_max_attempts": 2})
    return boto3.Session().client("dynamodb", endpoint_url=url, config=config)


def outcome(client: Any, request: dict[str, Any]) -> Any:
    """Return the response, or the parts of the error that the service reads."""
    try:
        response = client.update_item(**request)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return status, error.response["Error"]["Code"], error.response.get("Item")
    except BotoCoreError as error:
        # boto3 raises several types of errors for a failed connection.
        return type(error).__name__.replace("ConnectionClosedError", "EndpointConnectionError")
    response.pop("ResponseMetadata", None)
    return response


# The emulators


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    with serve_moto() as moto:
        yield moto.url


@pytest.fixture(params=["ministack", "moto"])
def emulator(request: pytest.FixtureRequest, dynamodb: Any) -> str:
    """The URL of an emulator with a table."""
    url = dynamodb.url if request.param == "ministack" else request.getfixturevalue("moto_url")
    client = boto3_client_at(url)
    try:
        client.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "reservation_sid", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "reservation_sid", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    except client.exceptions.ResourceInUseException:
        client.delete_item(TableName=TABLE, Key=KEY)
    return str(url)


def condition(expression: str) -> dict[str, Any]:
    return {**REQUEST, "ConditionExpression": expression}


@pytest.mark.parametrize(
    ("exists", "request_"),
    [
        (False, REQUEST),
        (True, REQUEST),
        (True, condition("attribute_not_exists(#a)")),
        (False, condition("attribute_exists(#a)")),
        (True, condition("#a = :a")),
        (True, {**REQUEST, "TableName": "missing-table"}),
        (True, {**REQUEST, "UpdateExpression": "SET #a"}),
        (True, {**REQUEST, "Key": {"other": {"S": "WR1"}}}),
        (True, {**REQUEST, "ExpressionAttributeNames": {}}),
        (False, {**REQUEST, "ExpressionAttributeValues": {":a": {"S": "ü\U0001f600\u2028\x00"}}}),
    ],
    ids=[
        "create",
        "update",
        "condition fails with an item",
        "condition fails without an item",
        "condition is true",
        "no table",
        "syntax error",
        "wrong key",
        "undefined name",
        "unusual characters",
    ],
)
def test_both_clients_get_the_same_outcome(
    client_at: Callable[[str], Any], emulator: str, *, exists: bool, request_: dict[str, Any]
) -> None:
    """A connection error is also an outcome, because moto closes the connection in some cases."""
    clients = [boto3_client_at(emulator), client_at(emulator, EMULATOR_BUDGET)]

    outcomes = []
    for client in clients:
        clients[0].delete_item(TableName=TABLE, Key=KEY)
        if exists:
            clients[0].update_item(**REQUEST)
        outcomes.append(outcome(client, request_))

    assert outcomes[0] == outcomes[1]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text("abc"), values),
    max_leaves=8,
)
few_examples = settings(
    max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(values=st.dictionaries(st.sampled_from(["answer", "status", "set", "size"]), json_values))
@few_examples
def test_both_clients_store_the_same_item(
    client_at: Callable[[str], Any], dynamodb: Any, tables: TableNames, values: dict[str, Any]
) -> None:
    update = UpdateItem(
        set=values, set_if_absent={"at": 1}, conditions=["attribute_not_exists(#missing)"]
    )
    items = []
    for number, client in enumerate([dynamodb.client(), client_at(dynamodb.url, EMULATOR_BUDGET)]):
        key = {"reservation_sid": f"WR{number}"}
        dynamodb.client().delete_item(TableName=tables.reservations, Key=to_item(key))
        succeeded, item = update.run(client, tables.reservations, key)
        assert succeeded
        items.append({**item, "reservation_sid": None})

    assert items[0] == items[1]


@given(values=st.dictionaries(st.text("ab"), json_values))
def test_serialized_values_match_boto3(values: dict[str, Any]) -> None:
    serializer, deserializer = TypeSerializer(), TypeDeserializer()
    item = to_item(values)

    assert item == {name: serializer.serialize(value) for name, value in values.items()}
    assert from_item(item) == values
    assert {name: deserializer.deserialize(value) for name, value in item.items()} == values


@pytest.mark.parametrize("value", [1.5, {"a": [2.0]}, object(), b"bytes", {1, 2}])
def test_values_of_unsupported_types_are_rejected(value: object) -> None:
    with pytest.raises(TypeError, match="can't be stored"):
        to_item({"value": value})


# Failures

FAILURES: dict[str, tuple[list[Step], int]] = {
    "throttled": ([respond(aws_error(400, "ThrottlingException"))], 2),
    "throughput": ([respond(aws_error(400, "ProvisionedThroughputExceededException"))], 2),
    "request limit": ([respond(aws_error(400, "RequestLimitExceeded"))], 1),
    "429": ([respond(aws_error(429, "Other"))], 2),
    "500": ([respond(aws_error(500, "InternalServerError"))], 2),
    "502 without JSON": ([respond(http_response(502, b"<html>"))], 2),
    "503 then success": ([respond(aws_error(503, "x")), respond(http_response(200, DONE))], 2),
    "504": ([respond(http_response(504, b""))], 2),
    "400 without JSON": ([respond(http_response(400, b"no"))], 1),
    "403": ([respond(aws_error(403, "AccessDeniedException"))], 1),
    "colon in code": (
        [respond(http_response(400, {"__type": "ThrottledException:http://x/", "Message": "m"}))],
        2,
    ),
    "write conflict": ([respond(aws_error(409, "ReplicatedWriteConflictException"))], 2),
    "correct checksum": ([respond(with_checksum(json.dumps(DONE).encode()))], 1),
    "wrong checksum": ([respond(with_checksum(b"{}", 1))], 2),
    "wrong, then correct checksum": (
        [respond(with_checksum(b"{}", 1)), respond(with_checksum(b'{"Attributes": {}}'))],
        2,
    ),
    "lost response": ([respond(b""), respond(http_response(200, DONE))], 2),
    "lost connection": ([respond(b"")], 2),
}


@pytest.mark.parametrize(("steps", "requests"), FAILURES.values(), ids=FAILURES)
def test_both_clients_send_the_same_number_of_requests_and_get_the_same_outcome(
    client_at: Callable[[str], Any], steps: list[Step], requests: int
) -> None:
    outcomes = []
    for make in (boto3_client_at, client_at):
        with scripted_server(*steps) as server:
            outcomes.append(outcome(make(server.url), REQUEST))
            assert len(server.requests) == requests

    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    "body",
    [b"", b"ok", b"[]", b"{", b"<html></html>", b"\xff", b"[" * 100_000, b'{"a": "' + b"x" * 2**20],
    ids=["empty", "text", "list", "truncated", "HTML", "not UTF-8", "nested", "large"],
)
def test_successful_response_without_usable_json_raises_an_error(
    client_at: Callable[[str], Any], body: bytes
) -> None:
    with scripted_server(respond(http_response(200, body))) as server:
        client = client_at(server.url)
        with pytest.raises(StoreUnavailable), translate_errors():
            client.update_item(**REQUEST)
        if not body.startswith(b"{"):
            with pytest.raises(StoreUnavailable), translate_errors():
                client.get_item(TableName=TABLE, Key=KEY)


@pytest.mark.parametrize("checksum", ["", "x", "-1", "٣"])
def test_unreadable_checksum_is_treated_as_wrong(
    client_at: Callable[[str], Any], checksum: str
) -> None:
    response = with_checksum(b"{}", "@").replace(b"@", checksum.encode())
    with scripted_server(respond(response)) as server:
        assert outcome(client_at(server.url), REQUEST) == "ChecksumError"


# Time limits


def _call(client: Any, operation: str) -> None:
    with translate_errors():
        if operation == "UpdateItem":
            client.update_item(**REQUEST)
        else:
            client.get_item(TableName=TABLE, Key=KEY)


@pytest.mark.parametrize("operation", ["UpdateItem", "GetItem"])
@pytest.mark.parametrize("step", SLOW.values(), ids=SLOW)
def test_slow_response_is_abandoned_at_the_time_limit(
    client_at: Callable[[str], Any], step: Step, operation: str
) -> None:
    with scripted_server(step) as server:
        client = client_at(server.url)
        client.meta  # noqa: B018  build botocore's client before the time is measured
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            _call(client, operation)
        assert time.monotonic() - started < BUDGET + 2

        for thread in busy_exchanges():
            thread.join(1)
        assert busy_exchanges() == [], "The thread of an abandoned request is still running."


def test_second_attempt_can_succeed_after_the_first_is_abandoned(
    client_at: Callable[[str], Any],
) -> None:
    with scripted_server(stay_silent, respond(http_response(200, DONE))) as server:
        assert client_at(server.url).update_item(**REQUEST) == DONE


def test_call_fails_if_the_first_attempt_uses_up_the_time(
    client_at: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 0.0])
    clock = SimpleNamespace(monotonic=lambda: next(times, 10.0), sleep=lambda _seconds: None)
    with scripted_server(respond(b"")) as server:
        client = client_at(server.url)
        monkeypatch.setattr(aws, "time", clock)
        with pytest.raises(StoreUnavailable):
            _call(client, "UpdateItem")


def test_request_is_not_sent_after_a_hanging_name_lookup_is_abandoned(
    client_at: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    lookup = socket.getaddrinfo

    def hang(*arguments: Any, **options: Any) -> Any:
        ended.wait()
        return lookup(*arguments, **options)

    with scripted_server(respond(http_response(200, DONE))) as server:
        monkeypatch.setattr(socket, "getaddrinfo", hang)
        client = client_at(server.url)
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match="did not respond in time"):
            _call(client, "UpdateItem")
        assert time.monotonic() - started < BUDGET + 2
        threads = busy_exchanges()
        assert len(threads) == 2
        ended.set()
        for thread in threads:
            thread.join(5)
        assert server.requests == []


def test_hanging_tls_handshake_is_abandoned_at_the_time_limit(
    client_at: Callable[[str], Any],
) -> None:
    with scripted_server(stay_silent) as server:
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            _call(client_at(server.url.replace("http:", "https:")), "UpdateItem")
        assert time.monotonic() - started < BUDGET + 2
        for thread in busy_exchanges():
            thread.join(1)
        assert busy_exchanges() == []


def test_connection_is_reused_and_is_replaced_after_the_server_closes_it(
    client_at: Callable[[str], Any],
) -> None:
    accepted = []
    kept_alive = http_response(200, DONE).replace(b"Connection: close\r\n", b"")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for responses in (3, 1):
                connection, _ = listener.accept()
                accepted.append(connection)
                with connection:
                    for _ in range(responses):
                        read_request(connection)
                        connection.sendall(kept_alive)

        thread = threading.Thread(target=serve)
        thread.start()
        client = client_at(f"http://127.0.0.1:{listener.getsockname()[1]}")
        for _ in range(4):
            assert client.update_item(**REQUEST) == DONE
        thread.join()
    assert len(accepted) == 2


# Credentials, endpoints and proxies


def _headers(request: bytes) -> dict[str, str]:
    head = request.partition(b"\r\n\r\n")[0].decode()
    pairs = (line.partition(": ") for line in head.split("\r\n")[1:])
    return {name.lower(): value for name, _, value in pairs}


def test_request_has_the_headers_of_the_aws_json_protocol(client_at: Callable[[str], Any]) -> None:
    with scripted_server(respond(http_response(200, DONE))) as server:
        client_at(server.url).update_item(**REQUEST)
        headers = _headers(server.requests[0])

    assert headers["x-amz-target"] == "DynamoDB_20120810.UpdateItem"
    assert headers["content-type"] == "application/x-amz-json-1.0"
    assert headers["host"] == server.url.removeprefix("http://")
    assert "/us-east-1/dynamodb/aws4_request" in headers["authorization"]


def test_credentials_are_read_from_the_environment_on_each_call(
    client_at: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted_server(respond(http_response(200, DONE))) as server:
        client = client_at(server.url)
        client.update_item(**REQUEST)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "rotated")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "a-token")
        client.update_item(**REQUEST)
        first, second = map(_headers, server.requests)

    assert "Credential=key/" in first["authorization"]
    assert "x-amz-security-token" not in first
    assert "Credential=rotated/" in second["authorization"]
    assert second["x-amz-security-token"] == "a-token"


def test_profile_credentials_are_used_outside_lambda(
    client_at: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "credentials"
    file.write_text("[ann]\naws_access_key_id = ann-key\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "ann")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with scripted_server(respond(http_response(200, DONE))) as server:
        client_at(server.url, EMULATOR_BUDGET).update_item(**REQUEST)
        assert "Credential=ann-key/" in _headers(server.requests[0])["authorization"]


def test_missing_credentials_are_reported(
    client_at: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_CONFIG_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(StoreUnavailable, match="failed .NoCredentials"):
        _call(client_at("http://127.0.0.1:9", EMULATOR_BUDGET), "UpdateItem")


REGIONS = [
    (partition, region)
    for partition in Session().get_available_partitions()
    for region in Session().get_available_regions("dynamodb", partition)
]


@pytest.mark.parametrize(("partition", "region"), REGIONS)
def test_endpoint_of_each_region_matches_botocore(
    monkeypatch: pytest.MonkeyPatch, partition: str, region: str
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "api")
    resolver = EndpointResolver(Session().get_data("endpoints"))
    for service in ("dynamodb", "ssm"):
        hostname = resolver.construct_endpoint(service, region, partition)["hostname"]
        assert endpoints.find_endpoint(service) == (f"https://{hostname}", region)


def test_endpoints_of_common_regions_are_found_without_a_botocore_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "api")
    monkeypatch.setattr("botocore.session.Session", None)
    for region in ("us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1", "ap-southeast-7"):
        monkeypatch.setenv("AWS_DEFAULT_REGION", region)
        assert f".{region}.amazonaws.com" in endpoints.find_endpoint("dynamodb")[0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AWS_USE_FIPS_ENDPOINT", "https://dynamodb-fips.us-east-1.amazonaws.com"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "https://dynamodb.us-east-1.api.aws"),
    ],
)
def test_fips_and_dual_stack_endpoints_can_be_selected(
    monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "api")
    monkeypatch.setenv(name, "true")
    assert endpoints.find_endpoint("dynamodb") == (expected, "us-east-1")


def test_environment_variables_set_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://one.test")
    assert endpoints.find_endpoint("dynamodb") == ("http://one.test", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://two.test")
    assert endpoints.find_endpoint("dynamodb") == ("http://two.test", "us-east-1")
    assert endpoints.find_endpoint("ssm") == ("http://one.test", "us-east-1")


def test_proxy_from_the_environment_is_used_except_for_excluded_hosts(
    client_at: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        scripted_server(respond(http_response(200, DONE))) as proxy,
        scripted_server(respond(http_response(200, DONE))) as server,
    ):
        monkeypatch.setenv("http_proxy", proxy.url.replace("://", "://user:pass@"))
        client_at("http://dynamodb.test").update_item(**REQUEST)
        assert proxy.requests[0].startswith(b"POST http://dynamodb.test/ ")
        assert "proxy-authorization" in _headers(proxy.requests[0])

        monkeypatch.setenv("no_proxy", "127.0.0.1")
        client_at(server.url).update_item(**REQUEST)
        assert (len(proxy.requests), len(server.requests)) == (1, 1)
