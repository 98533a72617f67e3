"""Incomplete and malformed responses from AWS raise only this service's own errors."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.adapters.aws import Response, Sender
from chalicelib.adapters.dynamodb.client import make_client, read_all
from chalicelib.adapters.dynamodb.idempotency import DynamoIdempotencyStore
from chalicelib.adapters.dynamodb.listing import DynamoReservationListing
from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.adapters.secrets import ParameterSecrets, ssm_client
from chalicelib.domain.errors import AppError, SecretsUnavailable, StoreUnavailable
from chalicelib.domain.reservation_lists import ReservationQuery
from chalicelib.domain.reservations import (
    Claim,
    DueReservation,
    Reservation,
    Status,
    StatusUpdate,
)
from tests.scripted_aws import http_response, respond, scripted_server, with_checksum
from tests.support import sid

RESERVATION, TASK, WORKER = sid("WR"), sid("WT"), sid("WK")
NOW = 1_795_309_323_000
RECORD = Reservation(
    reservation_sid=RESERVATION,
    task_sid=TASK,
    worker_sid=WORKER,
    status=Status.PENDING,
    reserved_at=NOW,
    expires_at=NOW + 120_000,
    answer={"instruction": "accept"},
)
CLAIM = Claim(until=NOW + 30_000, target=Status.ACCEPTED, claim_id="c", by="ann", accepts=True)
CALL = {"instruction": "call"}
DUE = DueReservation(RESERVATION, TASK, WORKER, Status.PENDING, NOW, NOW, NOW + 120_000, 0)
UPDATE = StatusUpdate(status=Status.ACCEPTED, at=NOW, by="event", next_check_at=NOW + 1)
ITEM = {
    "reservation_sid": {"S": RESERVATION},
    "task_sid": {"S": TASK},
    "worker_sid": {"S": WORKER},
    "status": {"S": "pending"},
    "reserved_at": {"N": str(NOW)},
    "expires_at": {"N": str(NOW + 120_000)},
    "due_at": {"N": str(NOW)},
    "answer": {"M": {}},
    "history": {"L": [{"M": {"at": {"N": "1"}, "to": {"S": "pending"}, "by": {"S": "event"}}}]},
}


def store(client: Any) -> DynamoReservationStore:
    return DynamoReservationStore(
        client, reservations_table="reservations", state_table="state", retention_days=30
    )


def key_store(client: Any) -> DynamoIdempotencyStore:
    return DynamoIdempotencyStore(client, state_table="state")


def claim(client: Any, claim: Claim) -> object:
    return store(client).claim(RESERVATION, claim, now=NOW, worker_sid=None, task_sid=TASK)


def list_page(client: Any, status: Status | None, worker_sid: str | None) -> object:
    query = ReservationQuery(since=NOW, limit=5, status=status, worker_sid=worker_sid)
    listing = DynamoReservationListing(client, reservations_table="reservations")
    return listing.fetch_page(query, None, now=NOW)


UPDATES: dict[str, Callable[[Any], object]] = {
    "record_callback": lambda client: store(client).record_callback(RECORD, due_at=NOW, now=NOW),
    "create_record": lambda client: store(client).create_record(RECORD, due_at=NOW),
    "claim": lambda client: claim(client, CLAIM),
    "claim with an instruction": lambda client: claim(client, replace(CLAIM, instruction=CALL)),
    "release_claim": lambda client: store(client).release_claim(
        RESERVATION, CLAIM, due_at=NOW, acceptor=None
    ),
    "confirm_sent": lambda client: store(client).confirm_sent(RESERVATION, CLAIM, due_at=NOW),
    "record_status": lambda client: store(client).record_status(RESERVATION, UPDATE),
    "reschedule_check": lambda client: store(client).reschedule_check(DUE, at=NOW, checks=1),
    "start_periodic_job": lambda client: store(client).start_periodic_job(
        "j", now=1, retry_at=2, run_id="r"
    ),
    "save_progress": lambda client: store(client).save_progress("j", {"tasks": 1}),
    "acquire": lambda client: key_store(client).acquire("k", "f", owner="o", now=1, until=2),
    "take_over": lambda client: key_store(client).take_over("k", owner="o", expired_at=1, until=2),
    "expire_lease": lambda client: key_store(client).expire_lease("k", owner="o", now=1),
    "consume_search_budget": lambda client: key_store(client).consume_search_budget(now=1),
}
READS: dict[str, Callable[[Any], object]] = {
    "get": lambda client: store(client).get(RESERVATION),
    "get_unscoped": lambda client: key_store(client).get_unscoped("k", now=1),
    "due_reservations": lambda client: next(
        store(client).due_reservations(Status.PENDING, now=NOW), None
    ),
    "fetch_statuses": lambda client: store(client).fetch_statuses({RESERVATION}),
    "read_all": lambda client: list(read_all(client, "reservations", [{"id": "1"}])),
    "list all": lambda client: list_page(client, None, None),
    "list by Worker": lambda client: list_page(client, Status.ACCEPTED, WORKER),
    "list by ended status": lambda client: list_page(client, Status.TIMEOUT, None),
    "erase": lambda client: store(client).erase(RESERVATION),
}
OPERATIONS = UPDATES | READS


def set_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environ(monkeypatch)


class Responses:
    """Replaces the network and returns the same response to every request."""

    def __init__(self) -> None:
        self.response = Response(200, {}, b"{}")
        self.requests = 0

    def send(self, *_request: object, **_limits: object) -> Response:
        self.requests += 1
        return self.response


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_environ(monkeypatch)
        client = make_client(5.0)
        client.meta  # noqa: B018  build botocore's client
        yield client


@pytest.fixture
def responses(monkeypatch: pytest.MonkeyPatch) -> Responses:
    responses = Responses()
    monkeypatch.setattr(Sender, "send", responses.send)
    return responses


# Incomplete responses

BODIES = {
    "UpdateItem": {"Attributes": ITEM},
    "GetItem": {"Item": ITEM},
    "Query": {"Items": [ITEM], "Count": 1, "ScannedCount": 1},
    "BatchGetItem": {"Responses": {"reservations": [ITEM]}, "UnprocessedKeys": {}},
    "DeleteItem": {"Attributes": ITEM},
    "PutItem": {},
}
CALLS: dict[str, Callable[[Any], object]] = {
    "UpdateItem": UPDATES["create_record"],
    "GetItem": READS["get"],
    "Query": READS["due_reservations"],
    "BatchGetItem": READS["fetch_statuses"],
    "DeleteItem": READS["erase"],
    "PutItem": lambda client: store(client).save_sweep({}),
}
CUTS = {
    "one byte": lambda response: response[:-1],
    "half the body": lambda response: response[: -(len(response.partition(b"\r\n\r\n")[2]) // 2)],
    "the whole body": lambda response: response.partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
}


def encode(body: dict[str, Any], *, has_checksum: bool, padding: bytes = b"") -> bytes:
    content = json.dumps(body).encode() + padding
    return with_checksum(content) if has_checksum else http_response(200, content)


@pytest.mark.parametrize("has_checksum", [False, True])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("operation", CALLS)
def test_request_is_retried_once_after_an_incomplete_dynamodb_response(
    monkeypatch: pytest.MonkeyPatch, operation: str, cut: str, *, has_checksum: bool
) -> None:
    response = CUTS[cut](encode(BODIES[operation], has_checksum=has_checksum))
    with scripted_server(respond(response)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with pytest.raises(StoreUnavailable, match="incomplete or malformed response"):
            CALLS[operation](make_client(5.0))
        assert len(server.requests) == 2


@pytest.mark.parametrize("operation", CALLS)
def test_complete_response_after_an_incomplete_response_is_used(
    monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    response = encode(BODIES[operation], has_checksum=False)
    with scripted_server(respond(response[:-1]), respond(response)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        CALLS[operation](make_client(5.0))
        assert len(server.requests) == 2


@pytest.mark.parametrize("operation", CALLS)
def test_response_that_is_valid_json_but_incomplete_raises_an_error(
    monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    response = encode(BODIES[operation], has_checksum=False, padding=b"\n")
    with scripted_server(respond(response[:-1])) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with pytest.raises(StoreUnavailable, match="incomplete or malformed response"):
            CALLS[operation](make_client(5.0))


@pytest.mark.parametrize("operation", CALLS)
def test_response_of_unknown_length_must_be_complete_json(
    monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    response = b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(BODIES[operation]).encode()
    with scripted_server(respond(response)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        CALLS[operation](make_client(5.0))
    with scripted_server(respond(response[:-1])) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with pytest.raises(StoreUnavailable):
            CALLS[operation](make_client(5.0))


def test_incomplete_ssm_response_raises_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"auth_tokens": ["t"], "api_keys": {"SK" + "0" * 32: "s"}}
    body = {"Parameter": {"Value": json.dumps(secrets)}}
    response = encode(body, has_checksum=False, padding=b"\n")
    with scripted_server(respond(response[:-1])) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with pytest.raises(SecretsUnavailable, match="incomplete or malformed response"):
            ParameterSecrets("/secrets", ssm_client(5.0), lambda: 0).get()


# Malformed responses

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: (
        st.lists(values, max_size=2)
        | st.dictionaries(st.sampled_from(["S", "N", "M", "L", "BOOL", "NULL", "x"]), values)
    ),
    max_leaves=6,
)
attributes = st.one_of(
    json_values,
    st.dictionaries(st.sampled_from(sorted(ITEM)), json_values, max_size=3),
    st.dictionaries(st.sampled_from(sorted(ITEM)), json_values, max_size=3).map(
        lambda changes: {**ITEM, **changes}
    ),
    st.sets(st.sampled_from(sorted(ITEM))).map(
        lambda missing: {name: value for name, value in ITEM.items() if name not in missing}
    ),
)
lists = json_values | st.lists(attributes, max_size=2)
bodies = st.one_of(
    json_values,
    st.fixed_dictionaries(
        {},
        optional={
            "Attributes": attributes,
            "Item": attributes,
            "Items": lists,
            "ScannedCount": json_values,
            "Responses": json_values | st.fixed_dictionaries({"reservations": lists}),
            "UnprocessedKeys": json_values | st.fixed_dictionaries({"reservations": json_values}),
        },
    ),
)
fuzzed = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("operation", OPERATIONS)
@given(body=bodies, is_refused=st.booleans())
@fuzzed
def test_malformed_dynamodb_response_raises_only_errors_of_this_service(
    client: Any, responses: Responses, operation: str, body: Any, *, is_refused: bool
) -> None:
    content = body
    if is_refused and isinstance(body, dict):
        content = {**body, "__type": "v1#ConditionalCheckFailedException"}
    status = 400 if is_refused else 200
    responses.response = Response(status, {}, json.dumps(content).encode())
    with suppress(AppError):
        OPERATIONS[operation](client)


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"Item":' * 100_000, b'{"Items": Infinity}'])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_unreadable_json_from_dynamodb_raises_an_error(
    client: Any, responses: Responses, operation: str, body: bytes
) -> None:
    responses.response = Response(200, {}, body)
    if operation in ("get", "get_unscoped", "erase") and body.endswith(b"Infinity}"):
        return  # the response is readable and contains no item
    with pytest.raises(StoreUnavailable):
        OPERATIONS[operation](client)


@pytest.mark.parametrize(
    "body",
    [{}, {"Attributes": {}}, {"Attributes": None}, {"Attributes": []}, {"Attributes": "x"}],
    ids=json.dumps,
)
@pytest.mark.parametrize("operation", UPDATES)
def test_update_response_without_attributes_raises_an_error(
    client: Any, responses: Responses, operation: str, body: dict[str, Any]
) -> None:
    responses.response = Response(200, {}, json.dumps(body).encode())
    with pytest.raises(StoreUnavailable, match="DynamoDB's response can't be read"):
        UPDATES[operation](client)


@pytest.mark.parametrize("item", [None, 5, "x", [], {}, {"a": None}, {"status": {"S": "open"}}])
def test_unreadable_item_is_not_treated_as_missing(
    client: Any, responses: Responses, item: object
) -> None:
    responses.response = Response(200, {}, json.dumps({"Item": item}).encode())
    with pytest.raises(StoreUnavailable):
        READS["get"](client)


@pytest.mark.parametrize("item", [None, 5, "x", [], {"answer": 5}, {"answer": {"S": "x"}}])
def test_failed_condition_with_an_unreadable_item_raises_an_error(
    client: Any, responses: Responses, item: object
) -> None:
    body = {"__type": "v1#ConditionalCheckFailedException", "Item": item}
    responses.response = Response(400, {}, json.dumps(body).encode())
    with pytest.raises(StoreUnavailable):
        UPDATES["record_callback"](client)


@pytest.mark.parametrize("is_refused", [False, True])
@pytest.mark.parametrize("operation", UPDATES)
def test_update_that_returns_a_different_item_raises_an_error(
    client: Any, responses: Responses, operation: str, *, is_refused: bool
) -> None:
    other = ITEM | {"reservation_sid": {"S": sid("WR")}, "id": {"S": "other"}}
    body = {"__type": "v1#ConditionalCheckFailedException", "Item": other, "Attributes": other}
    responses.response = Response(400 if is_refused else 200, {}, json.dumps(body).encode())
    with pytest.raises(StoreUnavailable, match="DynamoDB's response can't be read"):
        UPDATES[operation](client)


@pytest.mark.parametrize("operation", ["get", "get_unscoped"])
def test_read_that_returns_a_different_item_raises_an_error(
    client: Any, responses: Responses, operation: str
) -> None:
    other = ITEM | {"reservation_sid": {"S": sid("WR")}, "id": {"S": "other"}, "ttl": {"N": "9"}}
    responses.response = Response(200, {}, json.dumps({"Item": other}).encode())
    with pytest.raises(StoreUnavailable, match="DynamoDB's response can't be read"):
        READS[operation](client)


def test_empty_page_of_due_reservations_is_the_last_page(client: Any, responses: Responses) -> None:
    body = {"Items": [], "LastEvaluatedKey": {"reservation_sid": {"S": RESERVATION}}}
    responses.response = Response(200, {}, json.dumps(body).encode())
    assert list(store(client).due_reservations(Status.PENDING, now=NOW)) == []
    assert responses.requests == 1


def test_callback_without_a_recorded_answer_raises_an_error(
    client: Any, responses: Responses
) -> None:
    item = {name: value for name, value in ITEM.items() if name != "answer"}
    responses.response = Response(200, {}, json.dumps({"Attributes": item}).encode())
    with pytest.raises(StoreUnavailable):
        UPDATES["record_callback"](client)


@given(value=json_values | st.fixed_dictionaries({"Parameter": json_values}))
@fuzzed
def test_malformed_ssm_response_raises_only_errors_of_this_service(
    responses: Responses, value: Any
) -> None:
    for content in (value, {"Parameter": {"Value": value}}):
        responses.response = Response(200, {}, json.dumps(content).encode())
        with pytest.raises(SecretsUnavailable):
            ParameterSecrets("/secrets", ssm_client(5.0), lambda: 0).get()
