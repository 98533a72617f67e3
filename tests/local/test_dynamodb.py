import asyncio
import contextlib
import http.client
import json
import os
import sys
import time
from urllib.parse import urlsplit

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local import dynamodb as local_dynamodb
from local import network, supervisor


def test_reservations_table_has_the_key_and_indexes_used_by_the_store(dynamodb, tables):
    table = dynamodb.client().describe_table(TableName=tables.reservations)["Table"]

    indexes = {index["IndexName"]: index for index in table["GlobalSecondaryIndexes"]}
    keys = {
        name: [key["AttributeName"] for key in index["KeySchema"]]
        for name, index in indexes.items()
    }
    assert [key["AttributeName"] for key in table["KeySchema"]] == ["reservation_sid"]
    assert keys == {
        "due": ["open_as", "due_at"],
        "by_worker": ["worker_sid", "reserved_at"],
        "by_hour": ["hour", "reserved_at"],
    }
    assert set(indexes["due"]["Projection"]["NonKeyAttributes"]) == {
        "task_sid",
        "worker_sid",
        "reserved_at",
        "expires_at",
        "checks",
        "claim_until",
    }


def test_creating_existing_tables_keeps_their_items(dynamodb):
    client = dynamodb.client()
    tables = local_dynamodb.TableNames("existing-reservations", "existing-state")
    local_dynamodb.create_tables(client, tables)
    client.put_item(TableName=tables.state, Item={"id": {"S": "kept"}})

    local_dynamodb.create_tables(client, tables)

    assert client.get_item(TableName=tables.state, Key={"id": {"S": "kept"}})["Item"]


def test_separate_tables_for_each_test_are_created_within_a_second(dynamodb):
    first = dynamodb.create_tables()
    second = dynamodb.create_tables()

    assert {first.reservations, first.state}.isdisjoint({second.reservations, second.state})

    def create():
        started = time.monotonic()
        dynamodb.create_tables()
        return time.monotonic() - started

    # One fast attempt is enough, because other programs may delay the rest.
    assert any(create() < 1 for _ in range(5))


def test_emulator_is_ready_only_when_both_tables_exist(dynamodb, tables):
    missing_table = local_dynamodb.TableNames(tables.reservations, "absent")

    assert local_dynamodb.TablesProbe(dynamodb.url, tables)()
    assert not local_dynamodb.TablesProbe(dynamodb.url, missing_table)()


def test_clients_share_tables_regardless_of_region_and_credentials(dynamodb, tables):
    client = boto3.client(
        "dynamodb",
        endpoint_url=dynamodb.url,
        region_name="eu-west-1",
        aws_access_key_id="123456789012",
        aws_secret_access_key="other",
    )

    description = client.describe_table(TableName=tables.reservations)["Table"]
    assert description["TableStatus"] == "ACTIVE"


def test_stopped_emulator_is_not_ready(tables):
    (port,) = network.find_free_ports(1)

    assert not local_dynamodb.TablesProbe(f"http://127.0.0.1:{port}", tables)()


def test_command_creates_the_tables_and_runs_until_sigterm(tmp_path):
    (port,) = network.find_free_ports(1)
    tables = local_dynamodb.TableNames("reservations", "state")
    command = [sys.executable, "-m", "local", "dynamodb"]
    environ = os.environ | {"DYNAMODB_PORT": str(port)}
    process = supervisor.start("dynamodb", command, environ, tmp_path)
    try:
        probe = local_dynamodb.TablesProbe(network.url(port), tables)
        network.wait_for("The local DynamoDB", probe)
        process.popen.terminate()

        assert process.popen.wait(5) == 0
    finally:
        process.kill()


CROSS_ORIGIN = {"Host": "evil.example", "Origin": "http://evil.example"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
DESCRIBE_TABLE = {
    "X-Amz-Target": "DynamoDB_20120810.DescribeTable",
    "Content-Type": "application/x-amz-json-1.0",
}
CREATE_STACK = (
    "Action=CreateStack&Version=2010-05-15&StackName=evil&TemplateBody="
    '{"Resources":{"Q":{"Type":"AWS::SQS::Queue"}}}'
)
SIGNED_FOR_CLOUDFORMATION = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/cloudformation/"
    "aws4_request, SignedHeaders=host, Signature=0"
}


NESTED = pytest.param("[" * 200_000, id="nested")


def send(dynamodb, method, path, headers, body=""):
    """Send a request. The headers may repeat a name; a missing Host header is added."""
    connection = http.client.HTTPConnection(urlsplit(dynamodb.url).netloc, timeout=20)
    with contextlib.closing(connection):
        pairs = list(headers.items()) if isinstance(headers, dict) else headers
        has_host = any(name == "Host" for name, _ in pairs)
        connection.putrequest(method, path, skip_host=has_host)
        for name, value in [*pairs, ("Content-Length", str(len(body)))]:
            connection.putheader(name, value)
        connection.endheaders(body.encode())
        response = connection.getresponse()
        return response.status, response.read().decode()


@pytest.mark.parametrize(
    "page_headers",
    [
        CROSS_ORIGIN,
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9"},
        {"Origin": "null"},
        {"Host": "["},
    ],
)
@pytest.mark.parametrize(
    "request_headers", [FORM, DESCRIBE_TABLE, {**FORM, **SIGNED_FOR_CLOUDFORMATION}]
)
def test_request_from_a_cross_origin_page_or_for_an_unknown_host_is_rejected(
    dynamodb, page_headers, request_headers
):
    status, body = send(dynamodb, "POST", "/", {**request_headers, **page_headers}, CREATE_STACK)

    assert status == 403
    assert "rejected" in body


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/", FORM),
        ("POST", "/", {**FORM, **SIGNED_FOR_CLOUDFORMATION}),
        ("POST", "/?Action=CreateStack&StackName=evil", {}),
        ("GET", "/?Action=ListStacks&X-Amz-Credential=local/x/us-east-1/cloudformation/x", {}),
        ("POST", "/", {"X-Amz-Target": "AWSLambda.CreateFunction"}),
        ("POST", "/", {"X-Amz-Target": "DynamoDBStreams_20120810.ListStreams"}),
        ("POST", "/", [*DESCRIBE_TABLE.items(), ("X-Amz-Target", "CloudFormation.CreateStack")]),
        ("POST", "/_ministack/reset", {}),
        ("GET", "/_ministack/health", {}),
        ("GET", "/_localstack/health", {}),
        ("POST", "/2015-03-31/functions", {}),
        ("PUT", "/bucket", {}),
        ("OPTIONS", "/", {}),
        ("CONNECT", "127.0.0.1:22", {}),
    ],
)
def test_request_outside_the_dynamodb_api_gets_404(dynamodb, method, path, headers):
    status, body = send(dynamodb, method, path, headers, CREATE_STACK)

    assert (status, json.loads(body)["message"]) == (404, "This port serves only the DynamoDB API.")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/_ministack/reset", []),
        ("/2015-03-31/functions", []),
        ("/?Action=CreateStack&StackName=evil", []),
        ("/", SIGNED_FOR_CLOUDFORMATION.items()),
        ("/", [("X-Amz-Target", "CloudFormation.CreateStack")]),
        ("/", [("X-Forwarded-Host", "cloudformation.us-east-1.amazonaws.com")]),
        ("/", [("Host", "cloudformation")]),
    ],
)
def test_request_with_a_dynamodb_target_is_handled_only_by_dynamodb(
    dynamodb, tables, path, headers
):
    pairs = [*headers, *DESCRIBE_TABLE.items()]

    request = json.dumps({"TableName": tables.state})
    status, body = send(dynamodb, "POST", path, pairs, request)

    assert status == 200
    assert json.loads(body)["Table"]["TableName"] == tables.state


HEADER_NAMES = st.sampled_from([b"host", b"origin", b"x-amz-target", b"authorization", b"cookie"])
HEADER_VALUES = st.binary() | st.sampled_from(
    [b"127.0.0.1", b"evil.example", b"DynamoDB_20120810.Nothing", b"CloudFormation.CreateStack"]
)


@given(st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES)), st.binary())
def test_arbitrary_request_is_refused_or_handled_as_a_dynamodb_request(headers, body):
    sent = []

    async def receive():
        return {"body": body}

    async def send_message(message):
        sent.append(message)

    app = local_dynamodb.dynamodb_api()
    asyncio.run(app({"type": "http", "headers": headers}, receive, send_message))

    target = dict(headers).get(b"x-amz-target", b"")
    is_dynamodb = target.startswith(b"DynamoDB_20120810.")
    start, content = sent
    assert start["status"] in ({400, 403} if is_dynamodb else {403, 404})
    json.loads(content["body"])


@pytest.mark.parametrize(
    ("host", "status"), [("a.test:8001", 400), ("A.TEST", 400), ("b.test", 403), ("x.a.test", 403)]
)
def test_host_name_with_a_dot_is_accepted_only_if_allowed(host, status):
    sent = []

    async def receive():
        return {"body": b""}

    async def send_message(message):
        sent.append(message)

    headers = [(b"host", host.encode()), (b"x-amz-target", b"DynamoDB_20120810.ListTables")]
    app = local_dynamodb.dynamodb_api({"a.test"})
    asyncio.run(app({"type": "http", "headers": headers}, receive, send_message))

    assert sent[0]["status"] == status


def test_websocket_is_refused(dynamodb):
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }

    assert send(dynamodb, "GET", "/", headers)[0] == 404
    assert send(dynamodb, "GET", "/", {**headers, **CROSS_ORIGIN})[0] == 403


@pytest.mark.parametrize(
    "headers", [{}, {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"}]
)
@pytest.mark.parametrize("body", ["", "{", "{}" * 1000, "[]", "1", "{}", NESTED])
def test_invalid_describe_table_request_gets_400(dynamodb, headers, body):
    status, _ = send(dynamodb, "POST", "/", {**DESCRIBE_TABLE, **headers}, body)

    assert status == 400
