"""Requests with the same idempotency key create one Task, even after failures."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.adapters.dynamodb.idempotency import DynamoIdempotencyStore
from chalicelib.domain.errors import (
    KeyReused,
    StoreUnavailable,
    TaskRouterError,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
    Unsettled,
)
from chalicelib.domain.tasks import NewTask
from chalicelib.usecases.create_task import create_task
from tests.routes.conftest import Api

BODY = {"attributes": {"selected_language": "en"}, "priority": 3}


def create(api: Api, key: str = "order-1", body: dict[str, Any] | None = None) -> Any:
    return api.post_json("/create-task", body or BODY, headers={"Idempotency-Key": key})


def test_repeated_request_returns_the_same_task(api: Api) -> None:
    first, second = create(api), create(api)

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json_body == second.json_body
    assert first.json_body["attributes"] == {
        "selected_language": "en",
        "idempotency_key": "order-1",
    }
    assert first.json_body["priority"] == 3
    assert len(api.taskrouter.tasks) == 1


def test_different_key_creates_another_task(api: Api) -> None:
    assert create(api, "a").json_body["sid"] != create(api, "b").json_body["sid"]


@pytest.mark.parametrize("change", [{"priority": 4}, {"attributes": {}}, {"timeout": 5}])
def test_different_body_with_the_same_key_returns_422(api: Api, change: dict[str, Any]) -> None:
    create(api)
    response = create(api, body={**BODY, **change})

    assert response.status_code == 422
    assert response.json_body["Code"] == "IdempotencyKeyReused"
    assert len(api.taskrouter.tasks) == 1


def test_key_is_kept_for_a_day(api: Api) -> None:
    first = create(api)
    api.clock.now += 86_399_000
    assert create(api).json_body == first.json_body
    api.clock.now += 2_000
    assert create(api).json_body["sid"] != first.json_body["sid"]


def test_task_of_an_expired_key_is_not_returned(api: Api) -> None:
    first = create(api)
    api.clock.now += 2 * 86_400_000
    api.taskrouter.fail_before["create"] = [TaskRouterUnavailable("connection lost")]
    assert create(api).status_code == 503
    api.clock.now += 30_000

    assert create(api).json_body["sid"] != first.json_body["sid"]


@pytest.mark.parametrize("key", ["", " ", "é", 'a"b', "x" * 129, "a b", "a\\"])
def test_invalid_key_is_refused(api: Api, key: str) -> None:
    assert create(api, key).status_code == 400
    assert not api.taskrouter.calls


def test_idempotency_key_attribute_must_equal_the_header(api: Api) -> None:
    body = {"attributes": {"idempotency_key": "x"}}
    assert create(api, body=body).status_code == 400
    assert create(api, body={"attributes": {"idempotency_key": "order-1"}}).status_code == 201


def test_attributes_that_become_too_long_with_the_key_are_refused(api: Api) -> None:
    response = create(api, body={"attributes": {"a": "x" * 4_080}})
    assert response.status_code == 400
    assert "idempotency_key" in response.json_body["Message"]


def test_task_is_found_by_attribute_after_a_lost_response(api: Api) -> None:
    api.taskrouter.fail_after["create"] = [TaskRouterUnavailable("connection lost")]

    response = create(api)
    assert response.status_code == 201
    assert list(api.taskrouter.tasks) == [response.json_body["sid"]]
    assert response.json_body["attributes"]["idempotency_key"] == "order-1"
    assert create(api).json_body == response.json_body


def test_unknown_outcome_returns_503_until_the_lease_expires(api: Api) -> None:
    api.taskrouter.fail_after["create"] = [TaskRouterUnavailable("connection lost")]
    api.taskrouter.fail_before["find"] = [TaskRouterUnavailable("connection lost")]
    failed = create(api)
    assert (failed.status_code, failed.headers["Retry-After"]) == (503, "30")
    # Each request waits 3 s for the outcome. The lease expires 30 s after the first request.
    for remaining in ("27", "24"):
        repeated = create(api)
        assert (repeated.status_code, repeated.headers["Retry-After"]) == (503, remaining)

    api.clock.now += 24_000
    response = create(api)
    assert (response.status_code, len(api.taskrouter.tasks)) == (201, 1)
    assert api.taskrouter.calls["create"] == 1


def test_task_that_was_not_created_is_created_after_the_lease_expires(api: Api) -> None:
    api.taskrouter.fail_before["create"] = [TaskRouterUnavailable("connection lost")]
    assert create(api).status_code == 503
    assert create(api).status_code == 503
    assert api.taskrouter.calls["create"] == 1

    api.clock.now += 30_000
    assert create(api).status_code == 201
    assert len(api.taskrouter.tasks) == 1


@pytest.mark.parametrize("error", [TaskRouterRefused("400"), TaskRouterThrottled("429")])
def test_key_is_released_after_a_definite_failure(api: Api, error: Exception) -> None:
    api.taskrouter.fail_before["create"] = [error]
    assert create(api).status_code == error.status  # type: ignore[attr-defined]

    assert create(api, body={"attributes": {"a": 1}}).status_code == 201


def test_at_most_three_attribute_searches_are_sent_per_second(api: Api) -> None:
    api.taskrouter.fail_before["create"] = [TaskRouterUnavailable("connection lost")] * 4
    for number in range(4):
        assert create(api, f"key-{number}").status_code == 503
    assert api.taskrouter.calls["find"] == 3

    api.clock.now += 30_000
    responses = [create(api, f"key-{number}").status_code for number in range(4)]
    assert responses == [201, 201, 201, 503]
    api.clock.now += 1_000
    assert create(api, "key-3").status_code == 201


def test_retry_after_is_rounded_up_to_the_end_of_the_lease(api: Api) -> None:
    api.taskrouter.fail_after["create"] = [TaskRouterUnavailable("connection lost")]
    api.taskrouter.fail_before["find"] = [TaskRouterUnavailable("connection lost")]
    create(api)
    api.clock.now += 2_001
    response = create(api)
    assert response.headers["Retry-After"] == "25"
    assert "Retry in 25 s." in response.json_body["Message"]

    api.clock.now += 25_000
    assert create(api).status_code == 201


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (TaskRouterThrottled("429", retry_after=5), "5"),
        (TaskRouterUnavailable("connection lost"), "2"),
        (TaskRouterRefused("400"), "1"),
    ],
)
def test_key_can_be_retried_as_soon_as_a_failed_search_allows_it(
    api: Api, error: TaskRouterError, seconds: str
) -> None:
    api.taskrouter.fail_after["create"] = [TaskRouterUnavailable("connection lost")]
    api.taskrouter.fail_before["find"] = [TaskRouterUnavailable("connection lost"), error]
    create(api)
    api.clock.now += 30_000

    response = create(api)
    assert (response.status_code, response.headers["Retry-After"]) == (503, seconds)
    api.clock.now += int(seconds) * 1000
    assert create(api).status_code == 201
    assert len(api.taskrouter.tasks) == 1


@pytest.mark.parametrize("method", ["expire_lease", "release"])
def test_retry_after_is_the_remaining_lease_if_the_lease_cannot_be_ended(
    api: Api, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise StoreUnavailable("DynamoDB is down.")

    if method == "release":
        api.taskrouter.fail_before["create"] = [TaskRouterThrottled("429", retry_after=5)]
    else:
        api.taskrouter.fail_before["create"] = [TaskRouterUnavailable("connection lost")]
        api.taskrouter.fail_before["find"] = [TaskRouterUnavailable("connection lost")] * 2
        create(api)
        api.clock.now += 30_000
    with monkeypatch.context() as patch:
        patch.setattr(DynamoIdempotencyStore, method, fail)
        response = create(api)

    assert (response.status_code, response.headers["Retry-After"]) == (503, "30")
    api.clock.now += 30_000
    assert create(api).status_code == 201


def test_simultaneous_requests_create_one_task(api: Api) -> None:
    """Call the use case directly, because `chalice.test` does not support threads."""
    task = NewTask(attributes="{}", workflow_sid="WW" + "0" * 32)
    collaborators = replace(api.service.task_collaborators, taskrouter=api.taskrouter)

    def create_in_thread(_number: int) -> str:
        try:
            return create_task(task, collaborators, idempotency_key="same").sid
        except Unsettled:
            return "unsettled"

    with ThreadPoolExecutor(12) as pool:
        sids = set(pool.map(create_in_thread, range(12))) - {"unsettled"}
    assert len(sids) == len(api.taskrouter.tasks) == 1


def test_one_of_six_requests_takes_over_after_a_crash(api: Api) -> None:
    task = NewTask(attributes="{}", workflow_sid="WW" + "0" * 32)
    collaborators = replace(api.service.task_collaborators, taskrouter=api.taskrouter)
    api.taskrouter.fail_after["create"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        create_task(task, collaborators, idempotency_key="same")
    api.clock.now += 30_000

    def create_in_thread(_number: int) -> str:
        try:
            return create_task(task, collaborators, idempotency_key="same").sid
        except Unsettled:
            return "unsettled"

    with ThreadPoolExecutor(6) as pool:
        sids = set(pool.map(create_in_thread, range(6))) - {"unsettled"}
    assert len(sids) == len(api.taskrouter.tasks) == 1
    with pytest.raises(KeyReused):
        create_task(replace(task, priority=1), collaborators, idempotency_key="same")


def test_item_ids_do_not_contain_the_key(api: Api) -> None:
    create(api, "secret-looking-key")
    items = api.service.dynamodb.scan(TableName=api.service.settings.state_table)["Items"]
    assert "secret-looking-key" not in json.dumps([item["id"] for item in items])
