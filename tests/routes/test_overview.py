"""`GET /overview` returns the open Reservations that the caller may see, or 304 if unchanged."""

import json
from typing import Any

import pytest
from chalice.test import HTTPResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.metering import MeteredClient
from chalicelib.adapters.dynamodb import listing
from chalicelib.adapters.dynamodb.client import to_item
from chalicelib.domain.reservations import Status
from chalicelib.routes import overview
from chalicelib.routes.console import console_version
from chalicelib.usecases.overview import MAX_OPEN
from tests.routes.conftest import Api, reserve
from tests.routes.test_resource_use import add_records
from tests.support import NOW, sid


def get(api: Api, *, worker: str | None = None, tag: str | None = None) -> HTTPResponse:
    """Request the overview, by default as a supervisor."""
    token = api.token("worker", worker_sid=worker) if worker else api.token()
    headers = {"If-None-Match": tag} if tag else {}
    return api.call("GET", "/overview", token=token, headers=headers)


def sids(response: HTTPResponse) -> list[str]:
    assert response.status_code == 200, response.body
    return [each["reservation_sid"] for each in response.json_body["reservations"]]


def decide(api: Api, reservation_sid: str, verb: str) -> None:
    assert api.call("POST", f"/reservations/{reservation_sid}/{verb}").status_code == 200


def test_overview_without_reservations_is_empty(api: Api) -> None:
    worker = sid("WK")

    assert get(api, worker=worker).json_body == {
        "reservations": [],
        "truncated": False,
        "counts": {"pending": 0, "accepted": 0, "wrapping": 0},
        "worker": {
            "sid": worker,
            "name": None,
            "activity_sid": None,
            "activity_name": None,
            "activity_changed_at": None,
        },
        "title_attributes": [],
        "poll": {"visible_ms": 3_000, "hidden_ms": 15_000},
        "version": console_version(),
    }


@pytest.mark.parametrize("role", ["supervisor", "service"])
def test_caller_without_a_worker_has_no_worker_in_the_overview(api: Api, role: str) -> None:
    assert api.call("GET", "/overview", token=api.token(role)).json_body["worker"] is None


def test_reservation_contains_the_values_in_its_callback(api: Api) -> None:
    remote = api.taskrouter.add()
    parameters = api.callback_parameters(
        ReservationSid=remote.reservation_sid,
        TaskSid=remote.task_sid,
        WorkerSid=remote.worker_sid,
        TaskAge="90",
        TaskPriority="7",
        TaskQueueName="Support (ES)",
        WorkflowName="Quickstart",
        TaskChannelUniqueName="voice",
    )
    assert api.post_callback(parameters).status_code == 200

    assert get(api).json_body["reservations"] == [
        {
            "reservation_sid": remote.reservation_sid,
            "task_sid": remote.task_sid,
            "worker_sid": remote.worker_sid,
            "worker_name": None,
            "workflow_sid": parameters["WorkflowSid"],
            "workflow_name": "Quickstart",
            "task_queue_sid": parameters["TaskQueueSid"],
            "task_queue_name": "Support (ES)",
            "task_channel_name": "voice",
            "task_priority": 7,
            "task_created_at": "2026-09-21T14:11:50.000Z",
            "status": "pending",
            "reserved_at": "2026-09-21T14:13:20.000Z",
            "expires_at": "2026-09-21T14:15:20.000Z",
            "task_attributes": {"selected_language": "es"},
            "instruction_sent": None,
            "accepted_by": None,
            "claimed": False,
        }
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TaskPriority", ""),
        ("TaskPriority", "-1"),
        ("TaskPriority", "high"),
        ("TaskPriority", "٣"),
        ("TaskPriority", "1" * 11),
        ("TaskAge", "1.5"),
        ("TaskQueueName", ""),
        ("TaskChannelUniqueName", ""),
    ],
)
def test_value_that_cannot_be_read_is_null(api: Api, name: str, value: str) -> None:
    assert api.post_callback(api.callback_parameters(**{name: value})).status_code == 200

    [reservation] = get(api).json_body["reservations"]
    key = {
        "TaskPriority": "task_priority",
        "TaskAge": "task_created_at",
        "TaskQueueName": "task_queue_name",
        "TaskChannelUniqueName": "task_channel_name",
    }[name]
    assert reservation[key] is None


def test_creation_time_is_computed_from_a_task_age_of_ten_digits(api: Api) -> None:
    assert api.post_callback(api.callback_parameters(TaskAge="9" * 10)).status_code == 200

    [reservation] = get(api).json_body["reservations"]
    assert reservation["task_created_at"].startswith("1709-")


def test_reservation_known_only_from_an_event_has_no_callback_values(api: Api) -> None:
    event = {**api.callback_parameters(), "EventType": "reservation.created", "WorkerName": "Bob"}
    assert api.post_callback(event, path="/event_callback").status_code == 204

    [reservation] = get(api, worker=event["WorkerSid"]).json_body["reservations"]
    assert reservation["worker_name"] == "Bob"
    assert (reservation["task_priority"], reservation["task_created_at"]) == (None, None)
    assert get(api, worker=event["WorkerSid"]).json_body["worker"]["name"] == "Bob"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_names_in_an_event_take_precedence_over_names_in_the_callback(
    api: Api, order: tuple[int, int]
) -> None:
    callback = api.callback_parameters(WorkflowName="from the callback")
    names = {"WorkerName": "Bob", "WorkflowName": "Calls", "TaskQueueName": "q" * 300}
    event = {**callback, **names, "EventType": "reservation.created"}
    posts = [(callback, "/assignment_callback"), (event, "/event_callback")]
    for parameters, path in map(posts.__getitem__, order):
        assert api.post_callback(parameters, path=path).status_code in (200, 204)

    [reservation] = get(api).json_body["reservations"]
    assert reservation["workflow_name"] == "Calls"
    assert reservation["task_queue_name"] == "q" * 256
    assert reservation["worker_name"] == "Bob"


def test_later_event_adds_the_names(api: Api) -> None:
    remote = reserve(api)
    event = api.callback_parameters(
        ReservationSid=remote.reservation_sid,
        EventType="reservation.accepted",
        TaskQueueName="Support",
        WorkflowName="Calls",
    )
    assert api.post_callback(event, path="/event_callback").status_code == 204

    [reservation] = get(api).json_body["reservations"]
    assert (reservation["task_queue_name"], reservation["workflow_name"]) == ("Support", "Calls")


def test_pending_reservations_come_first_sorted_by_time_left(api: Api) -> None:
    worker = sid("WK")
    remotes = []
    for _ in range(4):
        remotes.append(reserve(api, worker_sid=worker).reservation_sid)
        api.clock.now += 1_000
    decide(api, remotes[2], "accept")
    decide(api, remotes[0], "accept")

    expected = [remotes[1], remotes[3], remotes[0], remotes[2]]
    assert sids(get(api)) == sids(get(api, worker=worker)) == expected
    counts = {"pending": 2, "accepted": 2, "wrapping": 0}
    assert get(api).json_body["counts"] == get(api, worker=worker).json_body["counts"] == counts


def test_ended_reservation_is_removed_from_the_overview(api: Api) -> None:
    remote = reserve(api)
    assert sids(get(api, worker=remote.worker_sid)) == sids(get(api)) == [remote.reservation_sid]
    decide(api, remote.reservation_sid, "reject")

    assert sids(get(api, worker=remote.worker_sid)) == sids(get(api)) == []


def test_wrapping_reservation_stays_in_the_overview(api: Api) -> None:
    remote = reserve(api)
    decide(api, remote.reservation_sid, "accept")
    event = api.callback_parameters(
        ReservationSid=remote.reservation_sid,
        TaskSid=remote.task_sid,
        WorkerSid=remote.worker_sid,
        EventType="reservation.wrapup",
    )
    assert api.post_callback(event, path="/event_callback").status_code == 204

    for response in (get(api), get(api, worker=remote.worker_sid)):
        assert [each["status"] for each in response.json_body["reservations"]] == ["wrapping"]
        assert response.json_body["counts"]["wrapping"] == 1


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(owners=st.lists(st.integers(0, 2), max_size=6))
def test_worker_never_sees_the_reservation_of_another_worker(api: Api, owners: list[int]) -> None:
    workers = [sid("WK") for _ in range(3)]
    owned = [(workers[owner], reserve(api, worker_sid=workers[owner])) for owner in owners]

    for worker in workers:
        response = get(api, worker=worker)
        expected = {remote.reservation_sid for owner, remote in owned if owner == worker}
        assert set(sids(response)) == expected
        foreign = [remote.task_sid for owner, remote in owned if owner != worker]
        assert not [task_sid for task_sid in foreign if task_sid in response.body.decode()]


def test_live_claim_is_shown_until_it_expires(api: Api) -> None:
    remote = reserve(api)
    table = api.environ["RESERVATIONS_TABLE"]
    api.service.dynamodb.update_item(
        TableName=table,
        Key=to_item({"reservation_sid": remote.reservation_sid}),
        UpdateExpression="SET claim_until=:u, claim_target=:t, claim_id=:i, claim_by=:i",
        ExpressionAttributeValues=to_item(
            {":u": api.clock.now + 30_000, ":t": "accepted", ":i": "supervisor"}
        ),
    )

    assert [each["claimed"] for each in get(api).json_body["reservations"]] == [True]
    api.clock.now += 30_000
    assert [each["claimed"] for each in get(api).json_body["reservations"]] == [False]


def test_sent_instruction_is_shown_without_its_secrets(api: Api) -> None:
    remote = reserve(api)
    instruction = {"instruction": "conference", "sip_auth_password": "hunter22"}
    path = f"/reservations/{remote.reservation_sid}/accept"
    assert api.post_json(path, instruction).status_code == 202

    response = get(api)
    [reservation] = response.json_body["reservations"]
    assert reservation["instruction_sent"]["by"] == "supervisor"
    assert reservation["instruction_sent"]["instruction"]["sip_auth_password"] == "(secret)"
    assert b"hunter22" not in response.body


def test_unchanged_overview_gets_a_304_without_a_body(api: Api) -> None:
    reserve(api)
    first = get(api)
    api.clock.now += 1_234
    second = get(api, tag=first.headers["ETag"])

    assert (second.status_code, second.body) == (304, b"")
    assert second.headers["ETag"] == first.headers["ETag"]
    assert first.headers["Server-Time"] == str(NOW)
    assert second.headers["Server-Time"] == str(NOW + 1_234)


def test_changed_overview_is_sent_with_a_different_tag(api: Api) -> None:
    first = get(api)
    remote = reserve(api)
    second = get(api, tag=first.headers["ETag"])

    assert sids(second) == [remote.reservation_sid]
    assert second.headers["ETag"] != first.headers["ETag"]


@pytest.mark.parametrize(
    ("template", "status"),
    [
        ("{}", 304),
        ("W/{}", 304),
        ('"other", {}', 304),
        ('"other",{} , "another"', 304),
        ("*", 304),
        ('"other"', 200),
        ("", 200),
        ("{}x", 200),
    ],
)
def test_if_none_match_header_determines_whether_the_overview_is_sent(
    api: Api, template: str, status: int
) -> None:
    tag = get(api).headers["ETag"]

    assert get(api, tag=template.format(tag)).status_code == status


JSON_TEXTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
).map(lambda value: json.dumps(value, ensure_ascii=True))


@given(first=JSON_TEXTS, second=JSON_TEXTS)
def test_tags_are_equal_if_and_only_if_the_bodies_are_equal(first: str, second: str) -> None:
    tags = [overview._entity_tag(text) for text in (first, first, second)]

    assert tags[0] == tags[1]
    assert (tags[0] == tags[2]) == (first == second)
    assert overview._is_match(tags[0], tags[2]) == (first == second)


def test_tag_is_a_quoted_string_of_32_hexadecimal_digits(api: Api) -> None:
    tag = get(api).headers["ETag"]
    assert (len(tag), tag[0], tag[-1]) == (34, '"', '"')
    assert set(tag[1:-1]) <= set("0123456789abcdef")


def test_overview_with_a_lone_surrogate_has_a_tag(api: Api) -> None:
    parameters = api.callback_parameters(TaskAttributes='{"emoji": "\\ud83d"}')
    assert api.post_callback(parameters).status_code == 200

    response = get(api)
    assert "\ufffd" in response.json_body["reservations"][0]["task_attributes"]["emoji"]
    assert get(api, tag=response.headers["ETag"]).status_code == 304


@pytest.mark.parametrize("status", [Status.PENDING, Status.ACCEPTED])
def test_500_open_reservations_fit_into_one_overview(api: Api, status: Status) -> None:
    add_records(api, sid("WK"), [status] * MAX_OPEN, newest_at=NOW)

    response = get(api)
    assert len(set(sids(response))) == MAX_OPEN
    assert response.json_body["truncated"] is False
    assert response.json_body["counts"][status] == MAX_OPEN


def test_overview_of_more_than_500_reservations_is_truncated(api: Api) -> None:
    add_records(api, sid("WK"), [Status.PENDING] * MAX_OPEN, newest_at=NOW)
    add_records(api, sid("WK"), [Status.ACCEPTED], newest_at=NOW)

    response = get(api)
    assert response.json_body["truncated"] is True
    assert response.json_body["counts"] == {"pending": MAX_OPEN, "accepted": 0, "wrapping": 0}


def test_overview_is_truncated_at_900000_bytes(api: Api) -> None:
    worker = sid("WK")
    add_records(api, worker, [Status.PENDING] * 30, newest_at=NOW)
    attributes = json.dumps({"text": "x" * 60_000})
    records = get(api).json_body["reservations"]
    for record in records:
        api.service.dynamodb.update_item(
            TableName=api.environ["RESERVATIONS_TABLE"],
            Key=to_item({"reservation_sid": record["reservation_sid"]}),
            UpdateExpression="SET task_attributes=:a",
            ExpressionAttributeValues=to_item({":a": attributes}),
        )

    response = get(api, worker=worker)
    assert response.json_body["truncated"] is True
    assert sids(response) == [record["reservation_sid"] for record in records[:14]]
    assert len(response.body) < 1_000_000


@pytest.mark.parametrize(("age", "is_truncated"), [(0, True), (47, True), (48, False)])
def test_open_reservation_is_found_only_among_the_newest_reservations_of_a_worker(
    api: Api, monkeypatch: pytest.MonkeyPatch, age: int, *, is_truncated: bool
) -> None:
    """The response is marked as truncated unless all older Reservations must have ended."""
    worker = sid("WK")
    monkeypatch.setattr(listing, "_NEWEST_RESERVATIONS", 20)
    statuses = [Status.REJECTED] * 19 + [Status.ACCEPTED, Status.PENDING]
    add_records(api, worker, statuses, newest_at=NOW - age * 3_600_000)

    response = get(api, worker=worker)
    assert response.json_body["counts"] == {"pending": 0, "accepted": 1, "wrapping": 0}
    assert response.json_body["truncated"] is is_truncated


def test_overview_of_a_worker_is_complete_if_all_reservations_are_searched(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = sid("WK")
    monkeypatch.setattr(listing, "_NEWEST_RESERVATIONS", 20)
    add_records(api, worker, [Status.REJECTED] * 18 + [Status.ACCEPTED], newest_at=NOW)

    response = get(api, worker=worker)
    assert response.json_body["counts"]["accepted"] == 1
    assert response.json_body["truncated"] is False


@pytest.fixture
def metered_client(api: Api) -> MeteredClient:
    client = MeteredClient(api.service.dynamodb)
    object.__setattr__(api.service, "dynamodb", client)
    return client


def test_cost_of_a_poll_by_a_worker_does_not_depend_on_the_number_of_records(
    api: Api, metered_client: MeteredClient
) -> None:
    worker = sid("WK")
    add_records(api, worker, [Status.PENDING, *[Status.COMPLETED] * 199], newest_at=NOW)
    usages = []
    for count in (0, 300):
        others = [Status.PENDING, Status.COMPLETED] * count
        add_records(api, sid("WK"), others, newest_at=NOW)
        add_records(api, worker, [Status.COMPLETED] * count, newest_at=NOW - 1_000)
        metered_client.reset()
        assert len(sids(get(api, worker=worker))) == 1
        usages.append(metered_client.reset())

    assert usages[0] == usages[1]
    assert usages[0].requests == {"query": 1, "batch_get_item": 1, "get_item": 1}
    assert usages[0].write_units == 0


def test_poll_without_open_reservations_reads_no_reservation_records(
    api: Api, metered_client: MeteredClient
) -> None:
    get(api, worker=sid("WK"))
    assert metered_client.reset().requests == {"query": 1, "get_item": 1}
    get(api)
    assert metered_client.reset().requests == {"query": 3}


def test_poll_does_not_call_taskrouter(api: Api) -> None:
    worker = reserve(api).worker_sid
    api.taskrouter.calls.clear()
    get(api)
    get(api, worker=worker)

    assert not api.taskrouter.calls


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "token"),
        ("nonsense", "token"),
        ("expired", "expired"),
        ("another secret", "API key"),
    ],
)
def test_request_without_a_valid_token_gets_401(api: Api, token: str | None, reason: str) -> None:
    tokens: dict[str | None, Any] = {
        "expired": api.token(ttl=-1),
        "another secret": api.token(secret="x" * 32),
    }
    response = api.call("GET", "/overview", token=tokens.get(token, token))

    assert response.status_code == 401
    assert reason in response.json_body["Message"]
    assert "ETag" not in response.headers


def test_console_with_an_unchanged_overview_gets_401_after_the_token_expires(api: Api) -> None:
    tag = get(api).headers["ETag"]

    response = api.call("GET", "/overview", token=api.token(ttl=-1), headers={"If-None-Match": tag})
    assert response.status_code == 401


def test_overview_contains_the_configured_title_attributes(
    environ: dict[str, str], request: pytest.FixtureRequest
) -> None:
    environ["CONSOLE_TITLE_ATTRIBUTES"] = "subject, customer,"
    api: Api = request.getfixturevalue("api")

    assert get(api).json_body["title_attributes"] == ["subject", "customer"]


def test_configured_origin_may_read_the_tag_and_the_server_time(
    environ: dict[str, str], request: pytest.FixtureRequest
) -> None:
    environ["CORS_ALLOW_ORIGIN"] = "https://agents.example"
    api: Api = request.getfixturevalue("api")

    exposed = get(api).headers["Access-Control-Expose-Headers"]
    assert exposed == "ETag, Retry-After, Server-Time"
    preflight = api.call("OPTIONS", "/overview", token=None)
    assert "If-None-Match" in preflight.headers["Access-Control-Allow-Headers"]
