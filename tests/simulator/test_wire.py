"""Responses and parameters match Twilio's OpenAPI description."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from taskrouter_simulator.rest.table import ROUTES
from taskrouter_simulator.testing import running

DESCRIPTION = Path(__file__).parents[2] / ".venv" / "twilio_taskrouter_v1.json"

pytestmark = pytest.mark.skipif(
    not DESCRIPTION.exists(),
    reason="Twilio's OpenAPI description is missing. Run make api-description.",
)

DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}


@pytest.fixture(scope="module")
def description():
    return json.loads(DESCRIPTION.read_text())


def problems(description, schema, value, location="$"):
    """Return the violations of a schema.

    Only the OpenAPI 3 keywords that Twilio's description uses are supported.
    """
    schema = resolve(description, schema)
    if value is None:
        may_be_null = schema.get("nullable") or schema.get("enum") or "type" not in schema
        return [] if may_be_null else [f"{location} is null"]
    schema_type = schema.get("type")
    if schema_type and (
        not isinstance(value, TYPES[schema_type]) or (schema_type == "integer" and value is True)
    ):
        return [f"{location} is not of type {schema_type}: {value!r}"]
    found = [f"{location}: {problem}" for problem in value_problems(schema, value)]
    if schema_type == "array":
        for index, item in enumerate(value):
            found += problems(description, schema.get("items", {}), item, f"{location}[{index}]")
    if schema_type == "object":
        found += object_problems(description, schema, value, location)
    return found


def resolve(description, schema):
    if "$ref" not in schema:
        return schema
    return description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]


def value_problems(schema, value):
    if "enum" in schema and value not in schema["enum"]:
        yield f"{value!r} is not in the enumeration"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{value!r} does not match {schema['pattern']}"
    if schema.get("format") == "date-time" and not re.fullmatch(DATE, value):
        yield f"{value!r} is not a date-time"
    if schema.get("format") == "uri" and not urlsplit(value).scheme:
        yield f"{value!r} is not a URI"
    if schema.get("format") == "uri-map":
        yield from (f"{key} is not a URI" for key, url in value.items() if "://" not in url)


def object_problems(description, schema, value, location):
    if "properties" not in schema:
        return []
    expected, actual = set(schema["properties"]), set(value)
    found = [f"{location} lacks {name}" for name in sorted(expected - actual)]
    found += [f"{location} has the unknown property {name}" for name in sorted(actual - expected)]
    for name in expected & actual:
        found += problems(
            description, schema["properties"][name], value[name], f"{location}.{name}"
        )
    return found


def operation(description, method, path):
    """Return the description of the operation with this method and path."""
    matching = None
    for path_template, item in description["paths"].items():
        pattern = re.sub(r"\{[^}]*\}", "[A-Z]{2}[0-9a-f]{32}", path_template)
        if re.fullmatch(pattern, path) and method.lower() in item:
            matching = item[method.lower()]
    return matching


def response_problems(description, entry):
    expected = operation(description, entry["method"], entry["path"])
    location = f"{entry['method']} {entry['path']}"
    assert expected, f"{location} is not in the description"
    assert str(entry["status"]) in expected["responses"], f"{location} returned {entry['status']}"
    response = expected["responses"][str(entry["status"])]
    if "content" not in response:
        return [] if entry["answer"] is None else [f"{location} has a body"]
    schema = response["content"]["application/json"]["schema"]
    return problems(description, schema, entry["answer"], location)


def call_every_operation(taskrouter):
    """Call every operation successfully at least once."""
    workspaces = taskrouter.client().taskrouter.v1.workspaces
    workspaces.list()
    workspace = workspaces.create(friendly_name="Wire", multi_task_enabled=False)
    workspace = workspace.update(
        event_callback_url="http://127.0.0.1:9/events", events_filter="task.created"
    )
    workspace.fetch()
    activity = workspace.activities.create(friendly_name="Break", available=False)
    activity.update(friendly_name="Lunch")
    activities = {activity.friendly_name: activity for activity in workspace.activities.list()}
    activities["Lunch"].fetch()
    queue = workspace.task_queues.create(friendly_name="All", task_order="LIFO")
    queue = queue.update(
        reservation_activity_sid=activities["Unavailable"].sid,
        assignment_activity_sid=activities["Unavailable"].sid,
    )
    queue.fetch()
    workspace.task_queues.list()
    configuration = json.dumps({"task_routing": {"default_filter": {"queue": queue.sid}}})
    workflow = workspace.workflows.create(friendly_name="Main", configuration=configuration)
    workflow.update(task_reservation_timeout=60)
    workflow.fetch()
    workspace.workflows.list()
    worker = workspace.workers.create(friendly_name="Carol", attributes='{"a": 1}').update(
        activity_sid=activities["Available"].sid
    )
    worker.fetch()
    workspace.workers.list()
    channel = workspace.task_channels.create(friendly_name="Fax", unique_name="fax")
    channel.update(channel_optimized_routing=True)
    channel.fetch()
    workspace.task_channels.list()
    for worker_channel in worker.worker_channels.list():
        worker_channel.update(capacity=2, available=True)
        worker_channel.fetch()
    channel.delete()
    task = workspace.tasks.create(attributes="{}", priority=3)
    taskrouter.advance()
    task.update(attributes='{"b": 2}')
    task.fetch()
    (reservation,) = task.reservations.list()
    reservation.fetch()
    worker_reservation = workspace.workers(worker.sid).reservations(reservation.sid)
    worker_reservation.update(reservation_status="accepted")
    worker_reservation.fetch()
    reservation.update(reservation_status="completed")
    workspace.workers(worker.sid).reservations.list()
    workspace.tasks.list(page_size=1)
    read_statistics(workspace, worker, workflow, queue)
    task.delete()
    worker.update(activity_sid=activities["Offline"].sid)
    worker.delete()
    for event in workspace.events.list():
        event.fetch()
    workflow.delete()
    queue.delete()
    activities["Lunch"].delete()
    workspace.delete()


def read_statistics(workspace, worker, workflow, queue):
    """Call every statistics operation."""
    workers, queues = workspace.workers, workspace.task_queues
    contexts = workspace, workspace.workflows(workflow.sid), queues(queue.sid), workers
    for context in contexts:
        context.statistics().fetch(minutes=5)
        context.real_time_statistics().fetch(task_channel="voice")
        context.cumulative_statistics().fetch(start_date=worker.date_created)
    for context in contexts[:3]:
        context.statistics().fetch(split_by_wait_time="5,10")
        context.cumulative_statistics().fetch(split_by_wait_time="5,10")
    workers.statistics().fetch(friendly_name="Carol", task_queue_sid=queue.sid)
    workers(worker.sid).statistics().fetch(task_channel="default")
    queues.statistics.list(friendly_name="All", split_by_wait_time="1")
    queues.bulk_real_time_statistics.create(body=JsonBody(queueSids=[queue.sid]))


class JsonBody(dict):
    """A JSON body with the `to_dict` method that Twilio's SDK calls."""

    def to_dict(self):
        return dict(self)


def test_every_described_operation_is_implemented(description):
    described = {
        (method.upper(), re.sub(r"\{[^}]*\}", "{}", path))
        for path, item in description["paths"].items()
        for method in item.keys() & {"get", "post", "delete"}
    }
    assert len(described) == 61
    assert implemented_operations() == described


def implemented_operations():
    return {
        (method, re.sub(r"\{[^}]*\}", "{}", path))
        for path, methods in ROUTES.items()
        for method in methods
    }


def test_every_response_matches_twilios_description(taskrouter, description):
    call_every_operation(taskrouter)
    entries = taskrouter.log("request")
    found = [problem for entry in entries for problem in response_problems(description, entry)]
    assert found == []
    used = {(entry["method"], template(entry["path"])) for entry in entries}
    assert implemented_operations() - used == set()


def test_responses_contain_every_property_in_twilios_examples(taskrouter, description):
    call_every_operation(taskrouter)
    expected, found = set(), set()
    for entry in taskrouter.log("request"):
        described = operation(description, entry["method"], entry["path"])
        response = described["responses"][str(entry["status"])]
        content = response.get("content", {"application/json": {}})["application/json"]
        name = described["operationId"]
        found |= {f"{name}{path}" for path in paths(entry["answer"])}
        for example in content.get("examples", {}).values():
            expected |= {f"{name}{path}" for path in paths(example["value"])}
    # A TaskQueue has these links only if it has these Activities.
    activities = "assignment_activity", "reservation_activity"
    assert expected - found == {f"CreateTaskQueue.links.{name}" for name in activities}


def paths(value, path=""):
    """Yield the paths of the properties in a response, such as `.links.workspace`."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield f"{path}.{name}"
            yield from () if name == "event_data" else paths(item, f"{path}.{name}")
    elif isinstance(value, list) and value:
        yield from paths(value[0], f"{path}[]")


def template(path):
    return re.sub(r"[A-Z]{2}[0-9a-f]{32}", "{}", path)


def described_parameters(description, method, path):
    """Return the schemas of an operation's parameters in the description, by name."""
    for path_template, item in description["paths"].items():
        if re.sub(r"\{[^}]*\}", "{}", path_template) == re.sub(r"\{[^}]*\}", "{}", path):
            operation = item[method.lower()]
            body = operation.get("requestBody", {"content": {}})["content"]
            schemas = [media["schema"] for media in body.values()]
            form = {
                name: item
                for schema in schemas
                for name, item in schema.get("properties", {}).items()
            }
            query = [item for item in operation.get("parameters", []) if item["in"] == "query"]
            return form | {parameter["name"]: parameter["schema"] for parameter in query}
    raise AssertionError(path)


@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for path, item in ROUTES.items() for method in item]
)
def test_parameters_of_every_operation_match_twilios_description(description, method, path):
    declared, lists = ROUTES[path][method].parameters, ROUTES[path][method].lists
    described = described_parameters(description, method, path)
    if path.endswith("/TaskQueues/RealTimeStatistics"):
        # Only https://www.twilio.com/docs/taskrouter/api/taskqueue-statistics documents QueueSids.
        described["QueueSids"] = {"type": "array"}
    assert set(declared) == set(described)
    assert set(lists) == {
        name for name, schema in described.items() if schema.get("type") == "array"
    }
    assert len(set(declared)) == len(declared)


def test_sdk_requests_contain_no_unknown_parameters():
    with running(unknown_parameters="refused") as taskrouter:
        call_every_operation(taskrouter)
