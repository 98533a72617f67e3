"""Definitions that are exported from a live Workspace."""

import itertools
import json
from pathlib import Path
from unittest import mock

import pytest

from infra import OperatorError
from infra.workspace import export as exports
from infra.workspace.kinds import ACTIVITY, WORKFLOW, WORKSPACE
from infra.workspace.state import Resource, State
from taskrouter_simulator.checks.definition import check
from taskrouter_simulator.definition.document import parse
from taskrouter_simulator.definition.reader import QUICKSTART, from_document, read
from tests.infra.workspace.live import API, define, workspace

FIXTURES = [QUICKSTART, *sorted(Path("tests/simulator/workspaces").glob("*.yaml"))]


@pytest.fixture
def live(tmp_path):
    with workspace(tmp_path) as running:
        yield running


def export(live, *, with_workers=True):
    state = exports.read_all(live.context, with_workers=with_workers)
    text, notes = exports.export(state, api_url=API, with_workers=with_workers)
    return from_document(parse(text.encode(), "exported.yaml")), text, notes


@pytest.mark.parametrize("with_workers", [True, False])
@pytest.mark.parametrize("file", FIXTURES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_plan_for_an_exported_definition_has_no_changes(live, file, with_workers):
    live.apply(read(file))
    definition, text, notes = export(live, with_workers=with_workers)
    assert (live.changes(definition), notes) == ([], [])
    assert live.plan(definition).unmanaged == ()
    assert ("\nworkers:" in text) is with_workers
    assert text.startswith("# yaml-language-server: $schema=taskrouter_simulator/definition/sch")


def test_exported_definition_of_the_quickstart_has_no_mistakes(live):
    live.apply(read(QUICKSTART))
    definition, text, _ = export(live)
    assert [finding.message for finding in check(definition)] == []
    assert "    assignment_callback_url: ${api}/assignment_callback\n" in text
    assert "        default_filter: null\n" in text
    assert "  - friendly_name: Alice\n    attributes:\n      languages:\n" in text


@pytest.mark.parametrize(
    "name",
    [
        "yes",
        "012",
        "1e3",
        "1e999",
        "~",
        "null",
        "True",
        "x: y",
        "# a",
        "é😀",
        " a",
        "a\nb",
        "\x1b",
        "x\x85y",
        "- a",
    ],
)
def test_names_that_yaml_could_misread_survive_the_export(live, name):
    queue = {"friendly_name": name, "target_workers": f"a == {json.dumps(name)}"}
    live.apply(define(task_queues=[queue]))
    definition, _, _ = export(live)
    assert definition.task_queues[0].friendly_name == name
    assert live.changes(definition) == []


def test_values_that_a_definition_cannot_contain_are_left_out(live):
    unknown = "WK" + "0" * 32
    live.context.task_queues.create(friendly_name="Q", target_workers=f"sid == '{unknown}'")
    live.context.task_queues.create(friendly_name=f"Of {unknown}")
    definition, text, notes = export(live)
    assert notes == [
        f"TaskQueue 'Q': target_workers: it contains {unknown}, which is not in the Workspace",
        (
            f"TaskQueue 'Of {unknown}': friendly_name: it contains {unknown}, which is not in the "
            "Workspace"
        ),
    ]
    assert f"# - {notes[0]}\n" in text
    assert live.changes(definition) == []


@pytest.mark.parametrize(
    "route", ["/event_callback", "/event_callback?a=1", "/assignment_callback"]
)
@pytest.mark.parametrize("segment", ["", "/new-secret_0123456789", "/old-secret_0123456789"])
def test_secret_segments_of_api_urls_are_not_exported(live, segment, route):
    live.context.update(event_callback_url=f"{API}{segment}{route}")
    state = exports.read_all(live.context, with_workers=False)
    text, notes = exports.export(
        state, api_url=f"{API}/new-secret_0123456789", base_url=API, with_workers=False
    )
    assert (f"event_callback_url: ${{api}}{route}\n" in text, notes) == (True, [])
    assert "secret_" not in text


@pytest.mark.parametrize("suffix", ["", "?tenant=acme#rc=2"])
def test_secret_segment_from_an_earlier_deployment_is_not_exported(live, suffix):
    """The URL of the current API has no secret segment."""
    live.context.update(event_callback_url=f"{API}/old-secret_0123456789/event_callback{suffix}")
    state = exports.read_all(live.context, with_workers=False)
    text, notes = exports.export(state, api_url=API, base_url=API, with_workers=False)
    assert (f"event_callback_url: ${{api}}/event_callback{suffix}\n" in text, notes) == (True, [])


def test_api_url_that_may_contain_a_secret_is_left_out(live):
    live.context.update(event_callback_url=f"{API}/other?token=hunter2")
    _, text, notes = export(live)
    assert ("hunter2" in text, len(notes)) == (False, 1)


@pytest.mark.parametrize(
    "url",
    [
        "https://bob:hunter2@other.example/x",
        "https://other.example/x?token=hunter2",
        "https://other.example/hunter2-hunter2-hunter2/x",
    ],
)
def test_url_that_may_contain_a_secret_is_left_out(live, url):
    live.context.update(event_callback_url=url)
    definition, text, notes = export(live)
    assert notes == [
        (
            "Workspace 'New': event_callback_url: the URL may contain a secret; if it does not, "
            "add it to the file"
        )
    ]
    assert f"# - {notes[0]}\n" in text
    assert "hunter2" not in text
    assert live.changes(definition) == []


def test_url_on_the_api_host_that_is_not_a_callback_url_is_exported_unchanged(live):
    live.context.update(event_callback_url=f"{API}/other")
    state = exports.read_all(live.context, with_workers=False)
    text, _ = exports.export(state, api_url=f"{API}/new", base_url=API, with_workers=False)
    assert f"event_callback_url: {API}/other\n" in text


def test_url_is_exported_if_the_stage_has_no_api(live):
    live.context.update(event_callback_url="https://other.example/secret/event_callback")
    state = exports.read_all(live.context, with_workers=False)
    text, _ = exports.export(state, api_url=None, with_workers=False)
    assert "event_callback_url: https://other.example/secret/event_callback\n" in text


def test_unreadable_configuration_is_left_out():
    raw = {"friendly_name": "F", "configuration": "[]", "task_reservation_timeout": 5}
    state = State(
        Resource(WORKSPACE, "WS1", "New", {"friendly_name": "New"}),
        (Resource(WORKFLOW, "WW1", "F", raw),),
    )
    text, notes = exports.export(state, api_url=API, with_workers=False)
    assert notes == [
        "Workflow 'F': configuration: it does not have the format that Twilio documents"
    ]
    assert "configuration:\n" not in text.partition("friendly_name: New")[2]


def test_undocumented_keys_of_a_configuration_are_listed():
    filters = [
        {"expression": "1==1", "targets": [{"queue": "Q", "zzz": 1}], "queue": "ignored"},
        {"Expression": "1==1", "friendly_name": "F", "queue": "Q", "priority": 1, "other": 1},
        {"filter_friendly_name": "G", "expression": "1==1", "targets": [], "timeout": 5},
    ]
    routing = {"filters": filters, "default_filter": {"queue": "Q", "last": 1}, "first": 1}
    raw = {"friendly_name": "W", "configuration": json.dumps({"task_routing": routing, "top": 1})}
    state = State(
        Resource(WORKSPACE, "WS1", "New", {"friendly_name": "New"}),
        (Resource(WORKFLOW, "WW1", "W", raw),),
    )
    text, notes = exports.export(state, api_url=API, with_workers=False)
    assert notes == [
        (
            "Workflow 'W': configuration: Twilio does not document the keys first, last, "
            "other, queue, top, zzz"
        )
    ]
    assert f"# - {notes[0]}\n" in text
    assert "\n    configuration:\n" in text


def test_configuration_without_filters_has_no_undocumented_keys():
    raw = {"friendly_name": "W", "configuration": '{"task_routing": {"default_filter": null}}'}
    state = State(
        Resource(WORKSPACE, "WS1", "New", {"friendly_name": "New"}),
        (Resource(WORKFLOW, "WW1", "W", raw),),
    )
    assert exports.export(state, api_url=API, with_workers=False)[1] == []


def test_duplicate_names_are_refused(live):
    state = exports.read_all(live.context, with_workers=False)
    twin = Resource(ACTIVITY, "WA1", "Offline", {"friendly_name": "Offline", "available": False})
    doubled = State(state.workspace, (*state.resources, twin))
    with pytest.raises(OperatorError, match="several resources with the name 'Offline': WA.*, WA1"):
        exports.export(doubled, api_url=None, with_workers=False)


def test_large_definition_is_exported_as_json(live):
    live.apply(read(QUICKSTART))
    with mock.patch.object(exports, "MAX_YAML_BYTES", 100):
        definition, text, _ = export(live)
    assert json.loads(text)["friendly_name"] == "Quickstart"
    assert live.changes(definition) == []


def test_workers_are_not_read_if_they_are_neither_exported_nor_referred_to(live):
    before = len(live.requests("GET"))
    export(live, with_workers=False)
    paths = [path for _, path in itertools.islice(live.requests("GET"), before, None)]
    assert not any(path.endswith("/Workers") for path in paths)
