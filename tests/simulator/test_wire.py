"""Every response agrees with Twilio's OpenAPI description, if a copy of it is available."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from taskrouter_simulator.rest.table import ROUTES

DESCRIPTION = Path(__file__).parents[3] / "shared" / "twilio_taskrouter_v1.json"

pytestmark = pytest.mark.skipif(
    not DESCRIPTION.exists(),
    reason=f"Twilio's OpenAPI description is not at {DESCRIPTION}; get it from twilio/twilio-oai",
)

DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
KINDS = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}


@pytest.fixture(scope="module")
def description():
    return json.loads(DESCRIPTION.read_text())


def problems(description, schema, value, where="$"):
    """Return the violations of a schema, using the part of OpenAPI 3 that the description needs."""
    schema = resolved(description, schema)
    if value is None:
        free = schema.get("nullable") or schema.get("enum") or "type" not in schema
        return [] if free else [f"{where} is null"]
    kind = schema.get("type")
    if kind and (not isinstance(value, KINDS[kind]) or (kind == "integer" and value is True)):
        return [f"{where} is not of type {kind}: {value!r}"]
    found = [f"{where}: {problem}" for problem in text_problems(schema, value)]
    if kind == "array":
        for index, item in enumerate(value):
            found += problems(description, schema.get("items", {}), item, f"{where}[{index}]")
    if kind == "object":
        found += object_problems(description, schema, value, where)
    return found


def resolved(description, schema):
    if "$ref" not in schema:
        return schema
    return description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]


def text_problems(schema, value):
    if "enum" in schema and value not in schema["enum"]:
        yield f"{value!r} is not in the enumeration"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{value!r} does not match {schema['pattern']}"
    if schema.get("format") == "date-time" and not re.fullmatch(DATE, value):
        yield f"{value!r} is not a date"
    if schema.get("format") == "uri" and not urlsplit(value).scheme:
        yield f"{value!r} is not a URI"
    if schema.get("format") == "uri-map":
        yield from (f"{key} is not a URI" for key, url in value.items() if "://" not in url)


def object_problems(description, schema, value, where):
    if "properties" not in schema:
        return []
    expected, got = set(schema["properties"]), set(value)
    found = [f"{where} lacks {name}" for name in sorted(expected - got)]
    found += [f"{where} has the unknown member {name}" for name in sorted(got - expected)]
    for name in expected & got:
        found += problems(description, schema["properties"][name], value[name], f"{where}.{name}")
    return found


def operation(description, method, path):
    """Return the description of the operation that a request called."""
    best = None
    for template, item in description["paths"].items():
        pattern = re.sub(r"\{[^}]*\}", "[A-Z]{2}[0-9a-f]{32}", template)
        if re.fullmatch(pattern, path) and method.lower() in item:
            best = item[method.lower()]
    return best


def check(description, entry):
    expected = operation(description, entry["method"], entry["path"])
    where = f"{entry['method']} {entry['path']}"
    assert expected, f"{where} is not described"
    assert str(entry["status"]) in expected["responses"], f"{where} returned {entry['status']}"
    response = expected["responses"][str(entry["status"])]
    if "content" not in response:
        return [] if entry["answer"] is None else [f"{where} has a body"]
    schema = response["content"]["application/json"]["schema"]
    return problems(description, schema, entry["answer"], where)


def walk(taskrouter):
    """Call every operation at least once, successfully."""
    workspaces = taskrouter.client().taskrouter.v1.workspaces
    workspaces.list()
    made = workspaces.create(friendly_name="Wire", multi_task_enabled=False)
    made = made.update(event_callback_url="http://127.0.0.1:9/events", events_filter="task.created")
    made.fetch()
    activity = made.activities.create(friendly_name="Break", available=False)
    activity.update(friendly_name="Lunch")
    activities = {activity.friendly_name: activity for activity in made.activities.list()}
    activities["Lunch"].fetch()
    queue = made.task_queues.create(friendly_name="All", task_order="LIFO")
    queue = queue.update(
        reservation_activity_sid=activities["Unavailable"].sid,
        assignment_activity_sid=activities["Unavailable"].sid,
    )
    queue.fetch()
    made.task_queues.list()
    configuration = json.dumps({"task_routing": {"default_filter": {"queue": queue.sid}}})
    workflow = made.workflows.create(friendly_name="Main", configuration=configuration)
    workflow.update(task_reservation_timeout=60)
    workflow.fetch()
    made.workflows.list()
    worker = made.workers.create(friendly_name="Carol", attributes='{"a": 1}')
    worker.update(activity_sid=activities["Available"].sid)
    worker.fetch()
    made.workers.list()
    channel = made.task_channels.create(friendly_name="Fax", unique_name="fax")
    channel.update(channel_optimized_routing=True)
    channel.fetch()
    made.task_channels.list()
    for share in worker.worker_channels.list():
        share.update(capacity=2, available=True)
        share.fetch()
    channel.delete()
    task = made.tasks.create(attributes="{}", priority=3)
    taskrouter.advance()
    task.update(attributes='{"b": 2}')
    task.fetch()
    (reservation,) = task.reservations.list()
    reservation.fetch()
    mine = made.workers(worker.sid).reservations(reservation.sid)
    mine.update(reservation_status="accepted")
    mine.fetch()
    reservation.update(reservation_status="completed")
    made.workers(worker.sid).reservations.list()
    made.tasks.list(page_size=1)
    task.delete()
    worker.update(activity_sid=activities["Offline"].sid)
    worker.delete()
    for event in made.events.list():
        event.fetch()
    workflow.delete()
    queue.delete()
    activities["Lunch"].delete()
    made.delete()


def test_every_response_matches_twilios_description(taskrouter, description):
    walk(taskrouter)
    entries = taskrouter.log("request")
    found = [problem for entry in entries for problem in check(description, entry)]
    assert found == []
    used = {(entry["method"], template(entry["path"])) for entry in entries}
    implemented = {
        (method, re.sub(r"\{[^}]*\}", "{}", path)) for path, by in ROUTES.items() for method in by
    }
    assert implemented - used == set()


def template(path):
    return re.sub(r"[A-Z]{2}[0-9a-f]{32}", "{}", path)
