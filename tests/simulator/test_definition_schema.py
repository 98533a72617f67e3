"""The JSON Schema, the reader, the quickstart's definition and docs/workspace.md agree."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from taskrouter_simulator.definition import reader
from taskrouter_simulator.definition.document import DefinitionError
from taskrouter_simulator.definition.model import Unmanaged

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "workspace.md").read_text(encoding="utf-8")
VALIDATOR = jsonschema.Draft202012Validator(reader.schema())
MINIMAL = {"friendly_name": "Sales"}


def test_schema_file_is_up_to_date():
    command = [sys.executable, "-m", "taskrouter_simulator.definition.reader"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert reader.SCHEMA.read_text(encoding="utf-8") == printed
    assert json.loads(printed) == reader.schema()


def test_schema_is_valid():
    jsonschema.Draft202012Validator.check_schema(reader.schema())


def test_quickstart_matches_the_schema_and_every_key_of_the_quickstart_is_managed():
    definition = reader.quickstart()
    VALIDATOR.validate(definition.document.value)
    managed = {key for key, value in vars(definition).items() if not isinstance(value, Unmanaged)}
    assert managed == {*definition.document.value, "document"}


def test_page_shows_the_quickstart():
    example = re.search("<!-- quickstart -->\n```yaml\n(.*)```\n<!-- /quickstart", PAGE, re.DOTALL)
    assert example[1] == reader.QUICKSTART.read_text(encoding="utf-8")


def test_page_describes_every_key():
    keys = set()

    def collect(schema):
        keys.update(schema.get("properties", {}))
        children = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
        for child in [*children, *[schema[key] for key in ("items",) if key in schema]]:
            collect(child)

    collect(reader.schema())
    assert {key for key in keys if f"`{key}`" not in PAGE} == set()


@pytest.mark.parametrize(
    "fields",
    [
        {"friendly_name": ""},
        {"friendly_name": 1},
        {"friendly_name": "x" * 65},
        {"multi_task_enabled": "yes"},
        {"multi_task_enabled": None},
        {"prioritize_queue_order": "LILO"},
        {"events_filter": []},
        {"events_filter": ["task.made"]},
        {"event_callback_url": "x"},
        {"event_callback_url": "${api}x"},
        {"activities": None},
        {"activities": [{}]},
        {"activities": [{"friendly_name": "A", "avail": True}]},
        {"task_queues": [{"friendly_name": "A", "max_reserved_workers": 51}]},
        {"task_queues": [{"friendly_name": "A", "max_reserved_workers": 0}]},
        {"workflows": [{"friendly_name": "A", "task_reservation_timeout": 86_401}]},
        {"workflows": [{"friendly_name": "A", "configuration": {}}]},
        {"workers": [{"friendly_name": "A", "attributes": []}]},
        {"workers": [{"friendly_name": "A", "capacity": {"voice": -1}}]},
        {"was": "Old"},
        {"activities": [{"friendly_name": "A", "$schema": "schema.json"}]},
    ],
    ids=str,
)
def test_schema_and_reader_reject_the_same_definitions(fields):
    value = {**MINIMAL, **fields}
    assert not VALIDATOR.is_valid(value)
    with pytest.raises(DefinitionError):
        reader.from_value(value)


@pytest.mark.parametrize(
    "fields",
    [
        {"events_filter": None},
        {"events_filter": ["task.created"]},
        {"events_filter": "task.created,task.updated"},
        {"event_callback_url": None},
        {"event_callback_url": ""},
        {"event_callback_url": "/x"},
        {"event_callback_url": "${api}"},
        {"event_callback_url": "${api}/x"},
        {"event_callback_url": "https://example.com"},
        {"event_callback_url": "HTTPS://example.com"},
        {"$schema": "schema.json"},
        {"activities": []},
        {"task_queues": [{"friendly_name": "A", "target_workers": ""}]},
        {"task_queues": [{"friendly_name": "A", "assignment_activity": None}]},
        {"workers": [{"friendly_name": "A", "attributes": None, "was": "B"}]},
        {"workflows": [{"friendly_name": "A", "configuration": {"task_routing": {}}}]},
    ],
    ids=str,
)
def test_schema_and_reader_accept_the_same_definitions(fields):
    value = {**MINIMAL, **fields}
    VALIDATOR.validate(value)
    reader.from_value(value)
