"""Failed requests to TaskRouter: error messages, logged reasons and Retry-After headers."""

from typing import Any

import pytest

from chalicelib.domain.errors import (
    TaskRouterDenied,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from taskrouter_simulator.testing import TaskRouter
from tests.routes.conftest import Api, reserve
from tests.support import sid


def reserve_alice(taskrouter: TaskRouter, attributes: str) -> Any:
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    alice = workspace.workers(taskrouter.workers["Alice"])
    alice.update(activity_sid=taskrouter.activities["Idle"])
    task = workspace.tasks.create(attributes=attributes, workflow_sid=taskrouter.workflow_sid)
    (reservation,) = workspace.tasks(task.sid).reservations.list()
    return reservation


def test_create_task_with_an_unknown_channel_returns_twilios_message(
    simulated_api: Api, taskrouter: TaskRouter
) -> None:
    body = {"attributes": {"card": "fax 4111"}, "task_channel": "fax"}

    response = simulated_api.post_json("/create-task", body)

    message = (
        "TaskRouter refused the request (HTTP 400, error 20001): TaskChannel fax does not exist in "
        f"workspace {taskrouter.workspace_sid}. Check task_channel."
    )
    assert response.status_code == 400
    assert response.json_body == {"Code": "TaskRouterRefused", "Message": message}
    line = simulated_api.lines()[-1]
    assert (line["error"], line["reason"]) == ("TaskRouterRefused", message)
    assert "4111" not in simulated_api.log.getvalue()


@pytest.mark.parametrize(
    ("verb", "body", "sentences"),
    [
        (
            "reject",
            {"activity_sid": "WA" + "0" * 32},
            ["Activity WA" + "0" * 32 + " does not exist in workspace", "Check activity_sid."],
        ),
        (
            "accept",
            {"instruction": "conference", "post_work_activity_sid": "WA" + "0" * 32},
            [
                "PostWorkActivitySid WA" + "0" * 32 + " is invalid",
                "Check post_work_activity_sid.",
            ],
        ),
    ],
)
def test_refused_decision_returns_twilios_message(
    simulated_api: Api,
    taskrouter: TaskRouter,
    verb: str,
    body: dict[str, str],
    sentences: list[str],
) -> None:
    reservation = reserve_alice(taskrouter, '{"selected_language": "es", "card": "4111"}')
    path = f"/reservations/{reservation.sid}/{verb}"
    body = {**body, "task_sid": reservation.task_sid}

    response = simulated_api.post_json(path, body)

    assert (response.status_code, response.json_body["Code"]) == (400, "TaskRouterRefused")
    for sentence in sentences:
        assert sentence in response.json_body["Message"]
    assert simulated_api.lines()[-1]["reason"] == response.json_body["Message"]
    assert "4111" not in simulated_api.log.getvalue()


def test_unknown_outcome_is_logged_with_its_reason(
    simulated_api: Api, taskrouter: TaskRouter
) -> None:
    reservation = reserve_alice(taskrouter, '{"selected_language": "es"}')
    path = f"/reservations/{reservation.sid}/accept"
    taskrouter.fault("request", "error", method="POST", status=500, times=None)

    response = simulated_api.post_json(path, {"task_sid": reservation.task_sid})

    assert (response.status_code, response.json_body["Code"]) == (503, "OutcomeUnknown")
    assert simulated_api.lines()[-1]["reason"] == "TaskRouter failed (HTTP 500, error 20500)."


def test_retry_after_header_from_taskrouter_is_returned_to_the_caller(
    simulated_api: Api, taskrouter: TaskRouter
) -> None:
    taskrouter.fault("request", "error", method="POST", status=429, retry_after=17, times=2)
    for headers in ({}, {"Idempotency-Key": "order-1"}):
        response = simulated_api.post_json("/create-task", {"attributes": {}}, headers=headers)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "17")
    created = simulated_api.post_json("/create-task", {"attributes": {}}, headers=headers)
    assert created.status_code == 201


@pytest.mark.parametrize("verb", ["accept", "reject"])
def test_retry_after_header_of_a_decision_is_the_time_left_on_its_claim(
    api: Api, verb: str
) -> None:
    remote = reserve(api)
    path = f"/reservations/{remote.reservation_sid}/{verb}"
    api.taskrouter.fail_before["update"] = [TaskRouterUnavailable("connection lost")]

    assert api.call("POST", path).headers["Retry-After"] == "30"
    api.clock.now += 10_500
    # The second request waits 3 s for the outcome of the first.
    repeated = api.call("POST", path)
    assert (repeated.status_code, repeated.headers["Retry-After"]) == (503, "17")
    assert "retry in 17 s." in repeated.json_body["Message"]
    api.clock.now += 17_000
    assert api.call("POST", path).status_code == 200


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [
        (TaskRouterThrottled("429"), "2"),
        (TaskRouterThrottled("429", retry_after=9), "9"),
        (TaskRouterUnavailable("503", retry_after=45), "45"),
        (TaskRouterUnavailable("503", retry_after=9), "30"),
    ],
)
def test_decision_can_be_retried_when_the_claim_and_taskrouter_allow_it(
    api: Api, failure: TaskRouterUnavailable, seconds: str
) -> None:
    remote = reserve(api)
    path = f"/reservations/{remote.reservation_sid}/accept"
    api.taskrouter.fail_before["update"] = [failure]

    assert api.call("POST", path).headers["Retry-After"] == seconds
    api.clock.now += int(seconds) * 1000
    assert api.call("POST", path).status_code == 200


def test_retry_after_header_is_the_time_left_on_the_claim_if_a_refusal_cannot_be_verified(
    api: Api,
) -> None:
    remote = reserve(api)
    api.taskrouter.fail_before["update"] = [TaskRouterRefused("400")]
    api.taskrouter.fail_before["fetch"] = [TaskRouterUnavailable("connection lost")]

    response = api.call("POST", f"/reservations/{remote.reservation_sid}/accept")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "30")


def test_retry_after_header_is_the_time_left_on_the_claim_if_a_404_cannot_be_verified(
    api: Api,
) -> None:
    remote = reserve(api)
    api.taskrouter.remove(remote.reservation_sid)
    api.taskrouter.workspace_error = TaskRouterUnavailable("connection lost")

    response = api.call("POST", f"/reservations/{remote.reservation_sid}/accept")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "30")


def test_rejection_of_the_credentials_is_logged_with_the_reason(api: Api) -> None:
    api.taskrouter.fail_before["create"] = [TaskRouterDenied("HTTP 401, error 20003")]
    response = api.post_json("/create-task", {"attributes": {}})

    assert "Retry-After" not in response.headers
    assert api.lines()[-1]["reason"] == "HTTP 401, error 20003"


def test_404_message_states_that_taskrouter_was_not_searched(api: Api) -> None:
    for verb in ("accept", "reject", "complete"):
        response = api.call("POST", f"/reservations/{sid('WR')}/{verb}")
        assert response.status_code == 404
        assert response.json_body["Message"] == (
            "The Reservation is not recorded. Only this service's records were searched. Send "
            "task_sid to search TaskRouter too."
        )


@pytest.mark.parametrize("verb", ["accept", "reject"])
def test_404_message_names_the_task_or_worker_that_was_searched(api: Api, verb: str) -> None:
    path = f"/reservations/{sid('WR')}/{verb}"
    supervisor, worker = api.token(), api.token(role="worker", worker_sid=sid("WK"))
    for token, parameters, searched in (
        (supervisor, {"task_sid": sid("WT")}, "the Task in task_sid"),
        (worker, {"task_sid": sid("WT")}, "the Task in task_sid"),
        (worker, {}, "your Worker"),
    ):
        response = api.post_json(path, parameters, token=token)
        assert response.status_code == 404
        assert response.json_body["Message"] == (
            f"The Reservation is not recorded, and {searched} has no such Reservation in "
            "TaskRouter."
        )
