"""Pagination: each resource is listed once, even if others are deleted between requests."""

import base64
import json
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from twilio.base.exceptions import TwilioException

from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Activity
from taskrouter_simulator.rest.pages import BY_CREATION, paginate, parse_ordering
from taskrouter_simulator.testing import running
from tests.simulator.conftest import send_request

KEYS = {"Created": lambda item: item.created, "Name": lambda item: item.friendly_name}
ORDERINGS = st.sampled_from(
    [
        None,
        "Created:desc",
        "Name:asc",
        "Name:desc,Created:asc",
        "Created:asc,Name:desc",
        "Name:asc, Created:desc",
    ]
).map(lambda text: parse_ordering(text, KEYS))
RESOURCES = st.lists(
    st.tuples(st.sampled_from([0.0, 1.5, 1_700_000_000.123]), st.sampled_from("abü")), max_size=12
)


def build_activities(values):
    return [
        Activity(
            sid=f"WA{sequence}", created=created, updated=created, sequence=sequence,
            friendly_name=name, available=True,
        )
        for sequence, (created, name) in enumerate(values)
    ]  # fmt: skip


@given(RESOURCES, ORDERINGS, st.integers(1, 5), st.data())
def test_deletions_never_cause_skipped_or_repeated_resources(values, ordering, size, data):
    resources, listed, deleted = build_activities(values), [], []
    expected = ordering.sort(resources)
    token = None
    while True:
        page = paginate("/v1/Tasks", resources, ordering, token, size)
        listed += page.items
        removed = data.draw(st.sets(st.sampled_from(resources))) if resources else set()
        deleted += [item for item in removed if item not in listed]
        resources = [item for item in resources if item not in removed]
        if page.next_token is None:
            break
        token = page.next_token
    assert listed == [item for item in expected if item not in deleted]


@given(RESOURCES, ORDERINGS, st.integers(1, 5))
def test_previous_token_leads_to_preceding_page(values, ordering, size):
    resources, pages, token = build_activities(values), [], None
    while True:
        page = paginate("/v1/Tasks", resources, ordering, token, size)
        pages.append(page.items)
        if page.next_token is None:
            break
        token = page.next_token
    for preceding in reversed(pages[:-1]):
        page = paginate("/v1/Tasks", resources, ordering, page.previous_token, size)
        assert page.items == preceding
    assert page.previous_token is None


@given(RESOURCES, ORDERINGS, st.integers(1, 3), st.data())
def test_previous_page_after_deletions_links_to_next_page(values, ordering, size, data):
    resources = build_activities(values)
    ordered = ordering.sort(resources)
    page = paginate("/v1/Tasks", resources, ordering, None, size)
    if page.next_token is None:
        return
    previous = paginate("/v1/Tasks", resources, ordering, page.next_token, size).previous_token
    remaining = data.draw(st.sets(st.sampled_from(ordered)))
    page = paginate("/v1/Tasks", remaining, ordering, previous, size)
    assert page.items == [item for item in ordered[:size] if item in remaining]
    following = [item for item in ordered[size:] if item in remaining]
    if not following:
        assert page.next_token is None
    else:
        assert paginate("/v1/Tasks", remaining, ordering, page.next_token, 99).items == following


def encode(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=2),
)
FORGED_TOKENS = st.one_of(
    st.text(),
    JSON_VALUES.map(encode),
    st.tuples(st.text("abc_-", min_size=22, max_size=22), JSON_VALUES | st.tuples(
        st.lists(JSON_VALUES, max_size=2), st.booleans()
    )).map(lambda parts: parts[0] + encode(parts[1])),
)  # fmt: skip


@given(FORGED_TOKENS, ORDERINGS, st.booleans())
def test_token_that_the_simulator_did_not_create_is_rejected(token, ordering, is_empty):
    resources = [] if is_empty else build_activities([(1.0, "a"), (2.0, "b")])
    with pytest.raises(BadRequest, match="PageToken is not valid"):
        paginate("/v1/Tasks", resources, ordering, token, 1)


@given(ORDERINGS, st.data())
def test_changed_token_is_rejected(ordering, data):
    resources = build_activities([(1.0, "a"), (2.0, "b"), (3.0, "c")])
    token = paginate("/v1/Tasks", resources, ordering, None, 1).next_token
    index = data.draw(st.integers(0, len(token)))
    character = data.draw(st.sampled_from("Aa0-_=. \nä"))
    changed = token[:index] + character + token[index + data.draw(st.integers(0, 2)) :]
    assume(changed != token)
    with pytest.raises(BadRequest, match="PageToken is not valid"):
        paginate("/v1/Tasks", resources, ordering, changed, 1)


def test_token_from_a_different_ordering_is_rejected():
    resources = build_activities([(1.0, "a"), (2.0, "b")])
    token = paginate("/v1/Tasks", resources, BY_CREATION, None, 1).next_token
    with pytest.raises(BadRequest, match="PageToken is not valid for this list and this Ordering"):
        paginate("/v1/Tasks", resources, parse_ordering("Created:desc", KEYS), token, 1)


@pytest.mark.parametrize(
    "content",
    ['[{"a":1}]', "[null]", "[NaN]", "[1e400]", "[[1]]", "{}", "1", '[["", [1], false]]',
     '["",[{"a":1}],false]', '["",[null],false]', '["",[NaN],false]', '["",[1e400],true]',
     "[[NaN],false]", "[[null],true]"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/Tasks", "/Workers", "/Events"])
def test_forged_token_is_rejected_even_if_the_list_is_empty(taskrouter, path, content):
    token = base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")
    for forged in (token, "A" * 22 + token):
        status, body = send_request(taskrouter, "GET", path, PageToken=forged)
        assert (status, body["code"]) == (400, 20001)
        assert "PageToken" in body["message"]


def next_token(taskrouter, path):
    """Return the token of a list's second page; each page has one resource."""
    status, body = send_request(taskrouter, "GET", path, PageSize=1)
    assert status == 200, body
    (token,) = parse_qs(urlsplit(body["meta"]["next_page_url"]).query)["PageToken"]
    return token


def test_token_is_valid_only_for_its_own_list(taskrouter):
    create_resources(taskrouter, 2)
    channels = [f"/Workers/{sid}/Channels" for sid in taskrouter.workers.values()]
    lists = ["/Tasks", "/Workers", "/TaskQueues", "/Workflows", "/Activities", "/TaskChannels",
             "/Events", *channels]  # fmt: skip
    tokens = {path: next_token(taskrouter, path) for path in lists}
    for path in lists:
        for owner, token in tokens.items():
            status, _ = send_request(taskrouter, "GET", path, PageSize=1, PageToken=token)
            assert status == (200 if owner == path else 400), (path, owner)


def test_every_task_can_be_deleted_while_the_list_is_streamed(workspace):
    for _ in range(12):
        workspace.tasks.create(attributes='{"selected_language": "es"}')
    deleted = 0
    for task in workspace.tasks.stream(page_size=5):
        task.delete()
        deleted += 1
    assert (deleted, workspace.tasks.list()) == (12, [])


def test_tasks_can_change_status_while_a_filtered_list_is_streamed(workspace):
    for _ in range(7):
        workspace.tasks.create(attributes='{"selected_language": "es"}')
    for task in workspace.tasks.stream(assignment_status=["pending"], page_size=2):
        task.update(assignment_status="canceled")
    assert {task.assignment_status for task in workspace.tasks.list()} == {"canceled"}


def create_resources(taskrouter, count):
    """Create several resources of every type that clients can create directly."""
    workspaces = taskrouter.client().taskrouter.v1.workspaces
    workspace = workspaces(taskrouter.workspace_sid)
    for number in range(count):
        workspaces.create(friendly_name=f"Workspace {number}")
        workspace.activities.create(friendly_name=f"Activity {number}")
        workspace.workers.create(friendly_name=f"Worker {number}")
        queue = workspace.task_queues.create(friendly_name=f"Queue {number}")
        routing = {"task_routing": {"default_filter": {"queue": queue.sid}}}
        workspace.workflows.create(
            friendly_name=f"Workflow {number}", configuration=json.dumps(routing)
        )
        workspace.task_channels.create(friendly_name="Channel", unique_name=f"channel_{number}")
        workspace.tasks.create(attributes="{}", workflow_sid=taskrouter.workflow_sid)


def test_sdk_pages_forward_and_back_through_lists(taskrouter):
    create_resources(taskrouter, 5)
    workspaces = taskrouter.client().taskrouter.v1.workspaces
    workspace = workspaces(taskrouter.workspace_sid)
    alice = workspace.workers(taskrouter.workers["Alice"])
    lists = [workspaces, workspace.activities, workspace.workers, workspace.task_queues,
             workspace.workflows, workspace.task_channels, workspace.tasks, workspace.events,
             alice.worker_channels]  # fmt: skip
    for resources in lists:
        first = resources.page(page_size=2)
        first_sids = [item.sid for item in first]
        assert first.previous_page_url is None
        second = first.next_page()
        second_sids = [item.sid for item in second]
        third = second.next_page()
        assert [item.sid for item in third.previous_page()] == second_sids
        again = third.previous_page().previous_page()
        assert [item.sid for item in again] == first_sids
        assert again.previous_page_url is None
        assert [item.sid for item in again.next_page()] == second_sids
        all_sids = [item.sid for item in resources.list(page_size=2)]
        assert all_sids[:4] == first_sids + second_sids
        assert len(set(all_sids)) == len(all_sids)


@pytest.mark.parametrize("parent", ["task", "worker"])
def test_reservation_list_has_previous_pages(taskrouter, workspace, parent):
    alice = workspace.workers(taskrouter.workers["Alice"])
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    for _ in range(5):
        alice.update(activity_sid=taskrouter.activities["Idle"])
        taskrouter.advance()
        (pending,) = task.reservations.list(reservation_status="pending")
        pending.update(
            reservation_status="rejected", worker_activity_sid=taskrouter.activities["Offline"]
        )
    reservations = task.reservations if parent == "task" else alice.reservations
    sids = [reservation.sid for reservation in reservations.list()]
    second = reservations.page(page_size=2).next_page()
    assert [item.sid for item in second] == sids[2:4]
    assert [item.sid for item in second.previous_page()] == sids[:2]


def test_newest_first_event_list_has_previous_pages():
    with running(events_newest_first=True) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        for _ in range(3):
            workspace.tasks.create(attributes='{"selected_language": "es"}')
        sids = [event.sid for event in workspace.events.list(page_size=2)]
        second = workspace.events.page(page_size=2).next_page()
        assert [event.sid for event in second] == sids[2:4]
        assert [event.sid for event in second.previous_page()] == sids[:2]


def test_page_urls_keep_filters_and_order(taskrouter, workspace):
    for priority in range(5):
        workspace.tasks.create(attributes='{"selected_language": "es"}', priority=priority)
    query = {"Ordering": "Priority:desc", "AssignmentStatus": "pending", "PageSize": 2}
    _, body = send_request(taskrouter, "GET", "/Tasks", **query)
    next_query = dict(parse_qsl(urlsplit(body["meta"]["next_page_url"]).query))
    _, second = send_request(taskrouter, "GET", "/Tasks", **next_query)
    assert [task["priority"] for task in second["tasks"]] == [2, 1]
    previous = parse_qs(urlsplit(second["meta"]["previous_page_url"]).query)
    assert (previous["Ordering"], previous["Page"]) == (["Priority:desc"], ["0"])
    other_order = {**next_query, "Ordering": "Priority:asc"}
    status, error = send_request(taskrouter, "GET", "/Tasks", **other_order)
    assert (status, error["code"]) == (400, 20001)


def test_previous_page_number_is_not_negative(taskrouter, workspace):
    for _ in range(2):
        workspace.tasks.create(attributes='{"selected_language": "es"}')
    _, first = send_request(taskrouter, "GET", "/Tasks", PageSize=1)
    (token,) = parse_qs(urlsplit(first["meta"]["next_page_url"]).query)["PageToken"]
    _, second = send_request(taskrouter, "GET", "/Tasks", PageSize=1, PageToken=token)
    assert second["meta"]["page"] == 0
    assert parse_qs(urlsplit(second["meta"]["previous_page_url"]).query)["Page"] == ["0"]


@pytest.mark.parametrize(
    ("ordering", "expected"),
    [
        ("Priority:desc,DateCreated:asc", ["high old", "high new", "low old", "low new"]),
        ("Priority:desc,DateCreated:desc", ["high new", "high old", "low new", "low old"]),
        ("Priority:asc, DateCreated:desc", ["low new", "low old", "high new", "high old"]),
        ("DateCreated:desc,Priority:asc", ["low new", "high new", "low old", "high old"]),
        ("VirtualStartTime:desc,Priority:desc", ["high old", "low old", "high new", "low new"]),
        ("Priority:asc", ["low old", "low new", "high old", "high new"]),
        ("DateCreated:asc", ["high old", "low old", "high new", "low new"]),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 50])
def test_tasks_are_sorted_by_up_to_two_properties(taskrouter, workspace, ordering, expected, size):
    names = {}
    for age, start in (("old", "2020-01-02T00:00:00Z"), ("new", "2020-01-01T00:00:00Z")):
        for level, priority in (("high", 5), ("low", 1)):
            task = workspace.tasks.create(
                attributes='{"selected_language": "es"}', priority=priority,
                virtual_start_time=start,
            )  # fmt: skip
            names[task.sid] = f"{level} {age}"
        taskrouter.advance(1)
    listed = workspace.tasks.list(ordering=ordering, page_size=size)
    assert [names[task.sid] for task in listed] == expected


INVALID_ORDERINGS = [
    "", "Priority", "priority:desc", "Priority:DESC", "Priority:desc,", "Sid:asc", ":asc",
    "Priority:asc,Priority:desc", "Priority:desc;DateCreated:asc",
]  # fmt: skip


@pytest.mark.parametrize(
    ("resource", "ordering"),
    [
        *(
            (resource, ordering)
            for resource in ("tasks", "workers", "task_queues")
            for ordering in INVALID_ORDERINGS
        ),
        ("tasks", "DateCreated:asc,VirtualStartTime:asc"),
        ("tasks", "VirtualStartTime:desc,Priority:asc,DateCreated:asc"),
        ("workers", "Priority:asc"),
        ("task_queues", "DateStatusChanged:asc"),
    ],
)
def test_invalid_ordering_is_rejected(workspace, resource, ordering):
    with pytest.raises(TwilioException, match="Ordering must"):
        getattr(workspace, resource).list(ordering=ordering)


def test_workers_and_task_queues_are_sorted_by_two_properties(taskrouter, workspace):
    for name in ("Zoe", "Carol"):
        workspace.workers.create(friendly_name=name)
        workspace.task_queues.create(friendly_name=name)
        taskrouter.advance(1)

    def names(resource, ordering):
        return [item.friendly_name for item in resource.list(ordering=ordering, page_size=1)]

    by_age = names(workspace.workers, "DateCreated:desc,FriendlyName:desc")
    assert by_age == ["Carol", "Zoe", "Bob", "Alice"]
    workspace.workers(taskrouter.workers["Bob"]).update(activity_sid=taskrouter.activities["Idle"])
    by_change = names(workspace.workers, "DateStatusChanged:desc,FriendlyName:asc")
    assert by_change == ["Bob", "Carol", "Alice", "Zoe"]
    assert names(workspace.task_queues, "FriendlyName:desc")[0] == "Zoe"
    queues = names(workspace.task_queues, "DateUpdated:desc,FriendlyName:asc")
    assert queues[:2] == ["Carol", "Customer Care Requests - English"]
