"""The deploy command creates a test Task and watches its callback."""

import json
import time
from types import SimpleNamespace

import boto3
import pytest

from infra.commands import trial
from infra.twilio_account import Account

LOG_GROUP = "/aws/lambda/taskrouter-callbacks-dev"
SPANISH = '{"selected_language": "es"}'


@pytest.fixture
def stage(new_stage, monkeypatch):
    """A configured stage without records, whose Worker Alice is available."""
    new_stage.configure()
    new_stage.is_first = False
    new_stage.records = {}
    store = SimpleNamespace(get=new_stage.records.get)
    monkeypatch.setattr(trial, "open_store", lambda _settings: store)
    monkeypatch.setattr(trial, "_WATCH_SECONDS", 0)
    monkeypatch.setattr(trial, "_LOG_SECONDS", 0)
    monkeypatch.setattr(trial, "_POLL_SECONDS", 0)
    boto3.client("logs").create_log_group(logGroupName=LOG_GROUP)
    boto3.client("logs").create_log_stream(logGroupName=LOG_GROUP, logStreamName="1")
    set_activity(new_stage, "Alice", "Idle")
    return new_stage


def set_activity(stage, worker, activity):
    worker = stage.workspace.workers(stage.twilio.workers[worker])
    worker.update(activity_sid=stage.twilio.activities[activity])


def deploy(stage, *options, attributes=SPANISH, **more):
    return stage.deploy("--yes", "--try-attributes", attributes, *options, **more)


def tasks(stage):
    return stage.workspace.tasks.list()


def record_callbacks(stage, monkeypatch, answer):
    """Let every Reservation have a record with this answer."""
    monkeypatch.setattr(
        trial,
        "open_store",
        lambda _: SimpleNamespace(get=lambda _sid: SimpleNamespace(answer=answer)),
    )


def write_log(*lines):
    at = round(time.time() * 1000)
    events = [
        {
            "timestamp": at,
            "message": line if type(line) is str else json.dumps(line),
        }
        for line in lines
    ]
    boto3.client("logs").put_log_events(logGroupName=LOG_GROUP, logStreamName="1", logEvents=events)


@pytest.mark.parametrize("answer", [{}, {"instruction": "accept"}])
def test_arrived_callback_is_reported_and_the_task_is_canceled(stage, monkeypatch, answer):
    record_callbacks(stage, monkeypatch, answer)

    result = deploy(stage)

    assert result.exit_code == 0, result.output
    assert "Available Workers in the Workflow's TaskQueues: Alice\n" in result.output
    assert f"(Worker Alice) arrived. The answer was {json.dumps(answer)}.\n" in result.output
    (task,) = tasks(stage)
    assert f"Task {task.sid} is canceled.\n" in result.output
    assert task.assignment_status == "canceled"
    created = next(e for e in stage.twilio.log("request") if e["path"].endswith("/Tasks"))
    attributes = json.loads(created["parameters"]["Attributes"])
    assert attributes == {"taskrouter_callbacks_test": True, "selected_language": "es"}


def test_accepted_task_is_completed(stage, monkeypatch):
    record_callbacks(stage, monkeypatch, {"instruction": "accept"})
    watch = trial._watch

    def accept(*arguments):
        found = watch(*arguments)
        found[0].update(reservation_status="accepted")
        return found

    monkeypatch.setattr(trial, "_watch", accept)

    assert "is completed.\n" in deploy(stage).output
    assert tasks(stage)[0].assignment_status == "completed"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError])
def test_interrupted_test_cancels_the_task(stage, monkeypatch, interruption):
    def interrupt(_seconds):
        raise interruption

    monkeypatch.setattr(trial, "_WATCH_SECONDS", 30)
    # Other threads keep the real clock.
    clock = SimpleNamespace(sleep=interrupt, time=time.time, monotonic=time.monotonic)
    monkeypatch.setattr(trial, "time", clock)

    result = deploy(stage)

    assert result.exit_code == 1
    assert "is canceled.\n" in result.output
    assert tasks(stage)[0].assignment_status == "canceled"


def test_task_that_cannot_be_canceled_is_reported(stage, monkeypatch):
    record_callbacks(stage, monkeypatch, {})
    watch = trial._watch

    def watch_and_fail(*arguments):
        found = watch(*arguments)
        stage.twilio.fault("request", "error", status=500, times=None)
        return found

    monkeypatch.setattr(trial, "_watch", watch_and_fail)

    result = deploy(stage)

    assert result.exit_code == 0, result.output
    assert "could not be canceled: Twilio failed (HTTP 500" in result.output
    assert "TaskRouter cancels the Task 300 seconds after its creation." in result.output


def test_race_with_a_worker_who_accepts_is_won(stage, monkeypatch):
    """The Task is accepted after its status was read, so the first cancellation fails."""
    record_callbacks(stage, monkeypatch, {})
    call, accepted = Account.call, []

    def accept_before_cancellation(account, send, **more):
        is_update = getattr(send, "keywords", {}).get("assignment_status") == "canceled"
        if is_update and not accepted:
            (task,) = tasks(stage)
            (reservation,) = stage.workspace.tasks(task.sid).reservations.list()
            accepted.append(reservation.update(reservation_status="accepted"))
        return call(account, send, **more)

    monkeypatch.setattr(Account, "call", accept_before_cancellation)

    assert "is completed.\n" in deploy(stage).output
    assert accepted
    assert tasks(stage)[0].assignment_status == "completed"


def test_missing_worker_is_named_before_a_task_is_created(stage):
    set_activity(stage, "Alice", "Offline")

    result = deploy(stage)

    assert result.exit_code == 1
    assert "Error: No test Task was created, because no Worker in the Workflow's TaskQueues" in (
        result.output
    )
    assert tasks(stage) == []


def test_missing_worker_does_not_fail_the_first_deployment(stage):
    set_activity(stage, "Alice", "Offline")
    stage.in_terminal = stage.is_first = True

    result = stage.deploy(answers=["y", ""])

    assert result.exit_code == 0, result.output
    assert "no Worker in the Workflow's TaskQueues is available" in result.output
    assert tasks(stage) == []


def test_other_callback_url_is_named_before_a_task_is_created(stage):
    result = stage.deploy("--try")

    assert result.exit_code == 1
    assert "Error: No test Task was created, because the Workflow's assignment_callback_url" in (
        result.output
    )
    assert tasks(stage) == []


def test_worker_who_does_not_match_is_explained(stage):
    set_activity(stage, "Alice", "Offline")
    set_activity(stage, "Bob", "Idle")

    result = deploy(stage)

    assert result.exit_code == 1
    assert "waits in the TaskQueue Customer Care Requests - Spanish." in result.output
    assert tasks(stage)[0].assignment_status == "canceled"


def test_task_canceled_by_the_workflow_is_explained(stage):
    result = deploy(stage, attributes="{}")

    assert result.exit_code == 1
    assert "Error: The Workflow canceled the test Task (" in result.output


REFUSED = {
    "method": "POST",
    "route": "/assignment_callback",
    "status": 403,
    "error": "InvalidSignature",
    "checked_url": "https://checked.example/assignment_callback",
}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "the stage logged no callback. Monitor > Errors in Twilio's Console"),
        (["START RequestId: 1", {"route": "/health", "status": 500}], "logged no callback"),
        ([REFUSED | {"status": 200}, '{"route": "/assignment_callback"'], "logged no callback"),
        ([REFUSED | {"route": "/assignment_callback/fallback"}], "logged no callback"),
        ([REFUSED], "refused TaskRouter's callback with 403 InvalidSignature."),
        ([REFUSED], "checked for https://checked.example/assignment_callback."),
        (
            [REFUSED | {"status": 503, "error": "StoreUnavailable"}],
            "with 503 StoreUnavailable. Run: python -m infra logs --stage dev",
        ),
    ],
)
def test_missing_callback_is_explained_by_the_log(stage, monkeypatch, lines, message):
    create = trial._test_task

    def create_and_log(*arguments):
        if lines:
            write_log(*lines)
        return create(*arguments)

    monkeypatch.setattr(trial, "_test_task", create_and_log)

    result = deploy(stage)

    assert result.exit_code == 1
    assert message in result.output
    assert tasks(stage)[0].assignment_status == "canceled"


@pytest.mark.parametrize("text", ["", "x", "[]", "1", '{"a": NaN}', json.dumps({"a": "x" * 4096})])
def test_unusable_attributes_are_refused_before_the_deployment(stage, text):
    result = stage.deploy("--try-attributes", text)

    assert result.exit_code == 2
    assert "attributes must" in result.output
    assert stage.deployments == 0


def test_terminal_offers_a_test_after_the_first_deployment(stage, monkeypatch):
    record_callbacks(stage, monkeypatch, {})
    stage.in_terminal = stage.is_first = True

    result = stage.deploy(answers=["y", "", "y", "[]", SPANISH])

    assert result.exit_code == 0, result.output
    assert "  Spanish: selected_language=='es'\n" in result.output
    assert "The attributes must be a JSON object" in result.output
    assert "arrived." in result.output


@pytest.mark.parametrize(
    ("is_first", "options"),
    [(False, []), (True, ["--no-try"]), (True, ["--yes"]), (True, ["--no-input"])],
)
def test_no_test_is_offered_later_or_without_questions(stage, is_first, options):
    stage.deploy("--yes")
    stage.in_terminal, stage.is_first = True, is_first

    result = stage.deploy(*options, answers=["", ""])

    assert result.exit_code == 0, result.output
    assert "test Task" not in result.output


def test_declined_test_creates_no_task(stage):
    stage.deploy("--yes")
    stage.in_terminal = True

    result = stage.deploy("--try", answers=["n"])

    assert result.exit_code == 0, result.output
    assert tasks(stage) == []


def test_unreadable_workflow_configuration_is_reported():
    with pytest.raises(
        trial.OperatorError, match="The configuration of the Workflow can't be read"
    ):
        trial._routes('{"task_routing": {"filters": [1]}}')


def test_queues_of_filters_targets_and_default_are_found_once():
    configuration = {
        "task_routing": {
            "filters": [
                {"expression": "a", "targets": [{"queue": "WQ1"}, {"timeout": 5}]},
                {"filter_friendly_name": "B", "expression": "b", "queue": "WQ2"},
                {"expression": "c", "targets": [{"queue": "WQ1"}]},
            ],
            "default_filter": {"queue": "WQ3"},
        }
    }
    assert trial._routes(json.dumps(configuration)) == (
        ["Filter: a", "B: b", "Filter: c"],
        ["WQ1", "WQ2", "WQ3"],
    )
