"""Requests with the same idempotency key create one Task, even after failures."""

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any
from unittest.mock import ANY

import pytest

from chalicelib.adapters.dynamodb.client import to_item
from chalicelib.adapters.dynamodb.idempotency import DynamoIdempotencyStore
from chalicelib.domain.errors import (
    KeyReused,
    OutcomeUnknown,
    StoreUnavailable,
    TaskRouterError,
    TaskRouterNotSent,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.json_text import to_json
from chalicelib.domain.tasks import MAX_ATTRIBUTES_LENGTH, CreatedTask, NewTask
from chalicelib.usecases.create_task import create_task
from taskrouter_simulator.testing import TaskRouter as Simulator
from tests.console.vendor import CONSOLE
from tests.routes.conftest import ENVIRON, Api
from tests.support import NOW

BODY: dict[str, Any] = {"attributes": {"selected_language": "en"}, "priority": 3}


def create(
    api: Api, key: str = "order-1", body: dict[str, Any] | None = None, *, token: str = ""
) -> Any:
    headers = {"Idempotency-Key": key}
    return api.post_json("/create-task", body or BODY, headers=headers, token=token)


def test_repeated_request_returns_the_same_task(api: Api) -> None:
    first, second = create(api), create(api)

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json_body == second.json_body
    assert first.json_body["attributes"] == {
        "selected_language": "en",
        "idempotency_key": "order-1",
        "idempotency_marker": ANY,
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


def test_key_expires_after_a_day(api: Api) -> None:
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
def test_invalid_key_is_rejected(api: Api, key: str) -> None:
    assert create(api, key).status_code == 400
    assert not api.taskrouter.calls


def test_idempotency_key_attribute_must_equal_the_header(api: Api) -> None:
    body = {"attributes": {"idempotency_key": "x"}}
    assert create(api, body=body).status_code == 400
    assert create(api, body={"attributes": {"idempotency_key": "order-1"}}).status_code == 201


def test_attributes_that_become_too_long_with_the_key_are_rejected(api: Api) -> None:
    response = create(api, body={"attributes": {"a": "x" * 4_080}})
    assert response.status_code == 400
    assert "idempotency_key" in response.json_body["Message"]


def test_key_is_not_consumed_if_the_marker_makes_the_attributes_too_long(api: Api) -> None:
    # With the key, the attributes have 4,091 characters.
    response = create(api, body={"attributes": {"a": "x" * 4_055}})
    assert response.status_code == 400
    assert "idempotency_marker" in response.json_body["Message"]
    assert create(api).status_code == 201


def test_added_length_in_the_console_is_the_number_of_characters_that_the_service_adds(
    api: Api,
) -> None:
    added = re.search(r"ADDED_LENGTH = (\d+);", (CONSOLE / "create_task.js").read_text("utf-8"))
    assert added
    longest = MAX_ATTRIBUTES_LENGTH - int(added[1])
    key = "0123456789abcdef" * 2  # The console's keys have this length.
    response = create(api, key, {"attributes": {"a": "é" * (longest - len('{"a":""}'))}})
    assert response.status_code == 201
    response = create(api, key, {"attributes": {"a": "é" * (longest - len('{"a":""}') + 1)}})
    assert response.status_code == 400
    assert response.json_body["Message"] == (
        "The attributes have 4097 characters, including idempotency_key and idempotency_marker. "
        "The maximum is 4096."
    )


def test_lease_of_a_key_ends_after_30_seconds(api: Api) -> None:
    api.taskrouter.fail_before["create"] = [TaskRouterUnavailable("connection lost")]
    assert create(api).status_code == 503
    started = api.clock.now
    api.clock.now += 26_990
    assert create(api).status_code == 503  # after 3 s
    assert api.clock.now == started + 29_990

    api.clock.now += 10
    assert create(api).status_code == 201
    assert api.clock.now == started + 30_000


def test_task_is_found_by_attribute_after_a_lost_response(api: Api) -> None:
    api.taskrouter.fail_after["create"] = [TaskRouterUnavailable("connection lost")]

    response = create(api)
    assert response.status_code == 201
    assert list(api.taskrouter.tasks) == [response.json_body["sid"]]
    assert response.json_body["attributes"]["idempotency_key"] == "order-1"
    assert create(api).json_body == response.json_body


def test_request_with_unknown_outcome_returns_503_until_the_lease_expires(api: Api) -> None:
    api.taskrouter.fail_after["create"] = [TaskRouterUnavailable("connection lost")]
    api.taskrouter.fail_before["find"] = [TaskRouterUnavailable("connection lost")]
    failed = create(api)
    assert (failed.status_code, failed.headers["Retry-After"]) == (503, "30")
    # Each request waits 3 s for the outcome. The lease expires 30 s after the first request.
    for remaining in ("27", "24"):
        repeated = create(api)
        assert (repeated.status_code, repeated.headers["Retry-After"]) == (503, remaining)
        assert repeated.json_body["Message"] == (
            "It is not yet known whether the Task was created. Use the same key again. "
            f"Retry in {remaining} s."
        )

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


@pytest.mark.parametrize(
    "error", [TaskRouterRefused("400"), TaskRouterThrottled("429"), TaskRouterNotSent("refused")]
)
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
    responses = [create(api, f"key-{number}") for number in range(4)]
    assert [response.status_code for response in responses] == [201, 201, 201, 503]
    assert responses[-1].headers["Retry-After"] == "1"
    api.clock.now += 1_000
    assert create(api, "key-3").status_code == 201


def test_retry_after_header_is_the_remaining_lease_rounded_up_to_a_whole_second(api: Api) -> None:
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
def test_request_can_be_retried_when_the_retry_after_time_has_passed(
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
def test_retry_after_header_is_the_remaining_lease_if_the_lease_cannot_be_ended(
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


def record_waits(api: Api) -> list[int]:
    """Return a list that collects the times (epoch ms) at which the service reads a key again."""
    waits: list[int] = []
    api.clock.when_sleeping = lambda: waits.append(api.clock.now)
    return waits


def test_waiting_request_polls_the_key_ten_times_a_second_for_three_seconds(
    api: Api,
) -> None:
    api.taskrouter.fail_before["create"] = [TaskRouterUnavailable("connection lost")]
    api.taskrouter.fail_before["find"] = [TaskRouterUnavailable("connection lost")]
    create(api)
    waits, started = record_waits(api), api.clock.now
    assert create(api).status_code == 503
    assert waits == [started + 100 * number for number in range(1, 31)]


@pytest.mark.parametrize(("age", "waits"), [(29_899, 2), (29_900, 1), (29_999, 1), (30_000, 0)])
def test_waiting_request_takes_over_the_key_when_its_lease_expires(
    api: Api, age: int, waits: int
) -> None:
    api.taskrouter.fail_before["create"] = [TaskRouterUnavailable("connection lost")]
    api.taskrouter.fail_before["find"] = [TaskRouterUnavailable("connection lost")]
    create(api)
    api.clock.now += age
    recorded = record_waits(api)
    assert create(api).status_code == 201
    assert len(recorded) == waits


def test_simultaneous_requests_create_one_task(api: Api) -> None:
    """Call the use case directly, because `chalice.test` does not support threads."""
    task = NewTask(attributes="{}", workflow_sid="WW" + "0" * 32)
    collaborators = replace(api.service.task_collaborators, taskrouter=api.taskrouter)

    def create_in_thread(_number: int) -> str:
        try:
            return create_task(task, collaborators, caller="ann", idempotency_key="same").sid
        except OutcomeUnknown:
            return "unknown"

    with ThreadPoolExecutor(12) as pool:
        sids = set(pool.map(create_in_thread, range(12))) - {"unknown"}
    assert len(sids) == len(api.taskrouter.tasks) == 1


def test_one_of_six_requests_takes_over_after_a_crash(api: Api) -> None:
    task = NewTask(attributes="{}", workflow_sid="WW" + "0" * 32)
    collaborators = replace(api.service.task_collaborators, taskrouter=api.taskrouter)
    api.taskrouter.fail_after["create"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        create_task(task, collaborators, caller="ann", idempotency_key="same")
    api.clock.now += 30_000

    def create_in_thread(_number: int) -> str:
        try:
            return create_task(task, collaborators, caller="ann", idempotency_key="same").sid
        except OutcomeUnknown:
            return "unknown"

    with ThreadPoolExecutor(6) as pool:
        sids = set(pool.map(create_in_thread, range(6))) - {"unknown"}
    assert len(sids) == len(api.taskrouter.tasks) == 1
    with pytest.raises(KeyReused):
        create_task(replace(task, priority=1), collaborators, caller="ann", idempotency_key="same")


def test_item_ids_do_not_contain_the_key(api: Api) -> None:
    create(api, "secret-looking-key")
    items = api.service.dynamodb.scan(TableName=api.service.settings.state_table)["Items"]
    assert "secret-looking-key" not in json.dumps([item["id"] for item in items])


def plant(api: Api, **changes: Any) -> str:
    """Create a Task directly in TaskRouter, with the same content as a request from `create`."""
    task = NewTask(
        attributes=json.dumps({**BODY["attributes"], "idempotency_key": "order-1"}),
        workflow_sid=ENVIRON["TWILIO_WORKFLOW_SID"],
        priority=3,
    )
    return api.taskrouter.create_task(replace(task, **changes)).sid


def lose_created_task(api: Api) -> CreatedTask:
    """Create a Task through a request that gets a 503, because TaskRouter's response is lost."""
    api.taskrouter.fail_after["create"] = [TaskRouterUnavailable("connection lost")]
    api.taskrouter.fail_before["find"] = [TaskRouterUnavailable("connection lost")]
    assert create(api).status_code == 503
    (*_, task) = api.taskrouter.tasks.values()
    return task


@pytest.mark.parametrize("header", [{}, {"Idempotency-Key": "order-1"}])
@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize(
    "attributes",
    [
        {"idempotency_key": "order-2"},
        {"idempotency_key": {}},
        {"idempotency_marker": "order-1"},
        {"idempotency_marker": None},
        {"idempotency_key": "order-1", "idempotency_marker": "x"},
    ],
)
def test_callers_cannot_set_attributes_reserved_for_the_service(
    api: Api, header: dict[str, str], *, as_text: bool, attributes: dict[str, Any]
) -> None:
    value = json.dumps(attributes) if as_text else attributes
    response = api.post_json("/create-task", {"attributes": value}, headers=header)

    assert response.status_code == 400
    assert "The attribute idempotency_" in response.json_body["Message"]
    assert not api.taskrouter.calls


def test_key_attribute_without_the_header_is_rejected(api: Api) -> None:
    body = {"attributes": {"idempotency_key": "order-1"}}
    assert api.post_json("/create-task", body).status_code == 400
    assert not api.taskrouter.calls


@pytest.mark.parametrize("was_created", [False, True])
def test_planted_task_with_the_key_is_not_returned(api: Api, *, was_created: bool) -> None:
    planted = plant(api)
    failures = api.taskrouter.fail_after if was_created else api.taskrouter.fail_before
    failures["create"] = [TaskRouterUnavailable("connection lost")]

    response = create(api)
    if not was_created:
        assert response.status_code == 503
        api.clock.now += 30_000
        response = create(api)

    assert response.status_code == 201
    assert response.json_body["sid"] != planted
    assert len(api.taskrouter.tasks) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"attributes": {"selected_language": "es"}},
        {"attributes": {"selected_language": None}},
        {"attributes": {"idempotency_key": "order-2"}},
        {"workflow_sid": "WW" + "9" * 32},
    ],
)
def test_task_with_a_copied_marker_is_not_returned(api: Api, change: dict[str, Any]) -> None:
    own = lose_created_task(api)
    attributes = json.loads(own.attributes) | change.get("attributes", {})
    copy = plant(api, **{**change, "attributes": json.dumps(attributes)})
    # TaskRouter may list the copy first.
    api.taskrouter.tasks = {copy: api.taskrouter.tasks[copy], own.sid: own}
    api.clock.now += 30_000

    assert create(api).json_body["sid"] == own.sid
    assert len(api.taskrouter.tasks) == 2


def test_no_second_task_is_created_if_the_first_was_changed(api: Api) -> None:
    own = lose_created_task(api)
    changed = json.loads(own.attributes) | {"selected_language": "es"}
    api.taskrouter.tasks[own.sid] = replace(own, attributes=json.dumps(changed))

    api.clock.now += 30_000
    for seconds in (0, 1, 40):
        api.clock.now += seconds * 1_000
        response = create(api)
        assert (response.status_code, response.json_body["Code"]) == (409, "TaskUnidentified")
        assert "Retry-After" not in response.headers
        assert "differs from the request" in response.json_body["Message"]
    assert len(api.taskrouter.tasks) == 1

    # If someone restores the attributes, the Task is found again.
    api.clock.now += 1_000
    api.taskrouter.tasks[own.sid] = own
    assert create(api).json_body["sid"] == own.sid


def test_task_is_found_after_other_programs_have_added_attributes(api: Api) -> None:
    own = lose_created_task(api)
    changed = json.loads(own.attributes) | {"call_sid": "CA" + "0" * 32}
    api.taskrouter.tasks[own.sid] = replace(own, attributes=json.dumps(changed), priority=9)
    api.clock.now += 30_000

    response = create(api)
    assert (response.status_code, response.json_body["sid"]) == (201, own.sid)
    assert response.json_body["attributes"] == changed


def test_every_task_has_its_own_random_marker(api: Api) -> None:
    attributes = [create(api, key).json_body["attributes"] for key in ("a", "b", "c")]
    markers = {value["idempotency_marker"] for value in attributes}
    assert len(markers) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", marker) for marker in markers)


CALLERS = [
    {"role": "supervisor"},
    {"role": "service"},
    {"role": "supervisor", "identity": "ann"},
    {"role": "supervisor", "identity": "bob"},
    {"role": "supervisor", "identity": "ann order-1"},
    {"role": "service", "identity": "ann"},
]


def test_callers_do_not_share_keys(api: Api) -> None:
    tokens = [api.token(**caller) for caller in CALLERS]
    responses = [create(api, token=token) for token in tokens]
    repeated = [create(api, token=token) for token in tokens]

    assert [response.status_code for response in responses] == [201] * len(CALLERS)
    assert len({response.json_body["sid"] for response in responses}) == len(CALLERS)
    assert [r.json_body for r in repeated] == [r.json_body for r in responses]


def test_caller_does_not_get_the_task_of_another_caller_after_a_lost_response(api: Api) -> None:
    other = create(api, token=api.token(identity="ann")).json_body["sid"]
    api.taskrouter.fail_before["create"] = [TaskRouterUnavailable("connection lost")]
    assert create(api, token=api.token(identity="bob")).status_code == 503
    api.clock.now += 30_000

    assert create(api, token=api.token(identity="bob")).json_body["sid"] != other


def store_old_record(api: Api, key: str = "order-1", **changes: Any) -> None:
    """Store a record as written by versions that did not scope keys to callers."""
    attributes = {**BODY["attributes"], "idempotency_key": key}
    task = NewTask(
        attributes=to_json(attributes),
        workflow_sid=ENVIRON["TWILIO_WORKFLOW_SID"],
        priority=3,
    )
    item = {
        "id": f"key#{hashlib.sha256(key.encode()).hexdigest()}",
        "fingerprint": hashlib.sha256(json.dumps(asdict(task)).encode()).hexdigest(),
        "owner": "old",
        "taken_at": NOW,
        "until": NOW + 30_000,
        "ttl": NOW // 1000 + 86_400,
        **changes,
    }
    table = api.service.settings.state_table
    api.service.dynamodb.put_item(TableName=table, Item=to_item(item))


def test_task_of_a_key_stored_by_an_earlier_version_is_returned(api: Api) -> None:
    created = CreatedTask("WT" + "1" * 32, "{}", "pending", None, None, 3)
    store_old_record(api, answer=asdict(created))

    assert create(api).json_body["sid"] == created.sid
    api.clock.now += 86_400_000
    assert create(api).json_body["sid"] != created.sid


def test_no_task_is_created_for_a_key_that_an_earlier_version_stored_without_a_response(
    api: Api,
) -> None:
    store_old_record(api)
    plant(api)

    # The earlier version's request may still be in progress.
    during = create(api)
    assert (during.status_code, during.json_body["Code"]) == (503, "OutcomeUnknown")
    api.clock.now += int(during.headers["Retry-After"]) * 1_000
    response = create(api)

    assert (response.status_code, response.json_body["Code"]) == (409, "TaskUnidentified")
    assert "Retry-After" not in response.headers
    assert api.taskrouter.calls == {"create": 1}


def test_key_that_an_earlier_version_stored_for_a_different_body_is_ignored(api: Api) -> None:
    created = CreatedTask("WT" + "1" * 32, "{}", "pending", None, None, 3)
    store_old_record(api, answer=asdict(created), fingerprint="another")

    response = create(api)
    assert (response.status_code, response.json_body["sid"] == created.sid) == (201, False)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_planted_task_in_the_simulator_is_not_returned(
    simulated_api: Api, taskrouter: Simulator, moment: str
) -> None:
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    attributes = json.dumps({**BODY["attributes"], "idempotency_key": "order-1"})
    planted = workspace.tasks.create(attributes=attributes, workflow_sid=taskrouter.workflow_sid)
    taskrouter.fault("request", "cut", method="POST", path="*/Tasks", moment=moment)

    response = create(simulated_api)
    if moment == "before":
        assert response.status_code == 503
        simulated_api.clock.now += 30_000
        response = create(simulated_api)

    assert response.status_code == 201
    own, other = response.json_body, {task.sid for task in workspace.tasks.list()}
    assert other == {planted.sid, own["sid"]}
    assert own["sid"] != planted.sid
    assert own["attributes"] == {
        **BODY["attributes"],
        "idempotency_key": "order-1",
        "idempotency_marker": ANY,
    }


@pytest.mark.parametrize("attributes", ["{}", "", '{"idempotency_marker": "other"}'])
def test_different_task_in_taskrouters_response_is_not_returned(
    api: Api, monkeypatch: pytest.MonkeyPatch, attributes: str
) -> None:
    original = api.taskrouter.create_task

    def create_and_return_a_different_task(task: NewTask) -> CreatedTask:
        return replace(original(task), sid="WT" + "f" * 32, attributes=attributes)

    monkeypatch.setattr(api.taskrouter, "create_task", create_and_return_a_different_task)
    response = create(api)

    # The search finds the Task that was created.
    (task,) = api.taskrouter.tasks.values()
    assert (response.status_code, response.json_body["sid"]) == (201, task.sid)
