"""A stage without a Workspace: the plan contains every change that is made."""

import contextlib
import io
import itertools
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings

from infra import OperatorError
from infra.commands.dialog import Dialog
from infra.twilio_account import Account
from infra.workspace import runs
from infra.workspace.target import Target
from taskrouter_simulator.definition.reader import from_value, read
from taskrouter_simulator.engine.workspaces import BUILT_IN_CHANNELS
from tests.infra.workspace.generated import definitions
from tests.infra.workspace.live import API, workspace

FIXTURES = sorted(Path("tests/simulator/workspaces").glob("*.yaml"))
DIALOG = Dialog(is_interactive=False, assumes_yes=True)
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    with workspace(tmp_path_factory.mktemp("new"), {"friendly_name": "Other"}) as running:
        yield running


@pytest.fixture(scope="module")
def stage(live):
    """A local stage without a Workspace."""
    twilio = live.twilio
    key = (twilio.api_key_sid, twilio.api_key_secret)
    account = Account(twilio.url, twilio.account_sid, *key, remedy="")
    return Target("local", account, "", {}, "", API, None)


def apply(stage, definition, *, prune):
    """Plan and apply; return the plan and the reported changes."""
    plan = runs.plan_changes(stage, definition, prune=prune)
    with contextlib.redirect_stderr(io.StringIO()) as output:
        assert runs.apply_plan(stage, definition, plan, DIALOG, force=False)
    return plan, output.getvalue().splitlines()


def assert_reported_as_planned(stage, definition, *, prune):
    plan, reported = apply(stage, definition, prune=prune)
    shown = [f"{change.title}: {change.action}d" for change in plan.changes]
    # The Workspace is created before its Activities, and then updated to refer to them.
    assert {*reported} <= {*shown, f"Workspace {plan.workspace!r}: updated"}
    # A TaskChannel that TaskRouter creates may already have the planned values.
    possible = {f"TaskChannel {name!r}: updated" for name in BUILT_IN_CHANNELS}
    assert {*shown} - {*reported} <= possible
    assert runs.plan_changes(stage, definition, prune=False).changes == ()


@pytest.mark.parametrize("prune", [False, True])
@pytest.mark.parametrize("file", FIXTURES, ids=lambda file: file.stem)
def test_fixture_is_applied_as_planned(stage, file, prune):
    value = read(file).document.value
    value = {**value, "friendly_name": f"{file.stem} {prune}"}
    assert_reported_as_planned(stage, from_value(value), prune=prune)


@settings(max_examples=10, deadline=None, phases=[Phase.generate])
@given(definitions())
def test_generated_definition_is_applied_as_planned(stage, value):
    definition = from_value(value | {"friendly_name": f"Generated {next(NUMBERS)}"})
    assert_reported_as_planned(stage, definition, prune=True)


def test_note_says_that_a_built_in_task_channel_may_already_have_the_planned_values(stage):
    voice, fax = ({"unique_name": name, "friendly_name": "X"} for name in ("voice", "fax"))
    definition = from_value({"friendly_name": "Channels", "task_channels": [voice, fax]})
    plan = runs.plan_changes(stage, definition, prune=False)
    notes = {change.name: change.note for change in plan.changes}
    assert notes["voice"].startswith("TaskRouter creates this TaskChannel with the Workspace.")
    assert notes["Channels"] == notes["fax"] == ""
    apply(stage, definition, prune=False)
    voice["friendly_name"] = "Y"
    definition = from_value({"friendly_name": "Channels", "task_channels": [voice, fax]})
    (change,) = runs.plan_changes(stage, definition, prune=False).changes
    assert (change.action, change.note) == ("update", "")


@pytest.mark.parametrize(
    ("keys", "unplanned"),
    [
        ({"activities": []}, "delete Activity 'Break'"),
        (
            {"activities": [{"friendly_name": "Break", "available": True}]},
            "replace Activity 'Break'",
        ),
        (
            {"activities": [{"friendly_name": "Away", "was": "Break"}]},
            "rename Activity 'Away'",
        ),
    ],
)
def test_change_that_the_plan_did_not_show_is_not_made(stage, live, monkeypatch, keys, unplanned):
    """TaskRouter may create a Workspace with resources that Twilio does not document."""
    definition = from_value({"friendly_name": f"Surprise {unplanned}", **keys})
    create = runs._create_workspace

    def create_with_another_activity(*arguments):
        sid = create(*arguments)
        live.client.taskrouter.v1.workspaces(sid).activities.create(
            friendly_name="Break", available=False
        )
        return sid

    monkeypatch.setattr(runs, "_create_workspace", create_with_another_activity)
    with pytest.raises(OperatorError) as raised:
        apply(stage, definition, prune=True)
    assert str(raised.value) == (
        "The Workspace was created. Nothing else was changed, because the new Workspace needs "
        f"changes that are not in the plan: {unplanned}. Make a new plan and apply it."
    )
    context = stage.find_workspace(definition.friendly_name).context()
    names = {item.friendly_name for item in context.activities.list()}
    assert names == {"Offline", "Available", "Unavailable", "Break"}


def test_note_about_an_unmanaged_activity_names_the_new_workspace(stage):
    definition = from_value({"friendly_name": "Named", "activities": []})
    plan = runs.plan_changes(stage, definition, prune=True)
    assert [item.note for item in plan.unmanaged] == ["used by the Workspace 'Named'"]
