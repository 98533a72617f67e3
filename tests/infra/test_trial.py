"""The deploy command creates a test Task and waits for its callback."""

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
    """A configured stage without records. The Worker Alice is available."""
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


def deploy(stage, *options, attributes=SPANISH):
    return stage.deploy("--yes", "--try-attributes", attributes, *options)


def tasks(stage):
    return stage.workspace.tasks.list()


def record_callbacks(stage, monkeypatch, answer):
    """Give every Reservation a record with this answer."""
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
def test_callback_that_arrives_is_reported_and_the_task_is_canceled(stage, monkeypatch, answer):
    record_callbacks(stage, monkeypatch, answer)

    result = deploy(stage)

    assert result.exit_code == 0, result.output
    assert "Available Workers in the TaskQueues that may receive the Task: Alice\n" in result.output
    assert f"(Worker Alice) arrived. The answer was {json.dumps(answer)}.\n" in result.output
    (task,) = tasks(stage)
    assert f"Task {task.sid} is canceled.\n" in result.output
    assert task.assignment_status == "canceled"
    created = next(e for e in stage.twilio.log("request") if e["path"].endswith("/Tasks"))
    attributes = json.loads(created["parameters"]["Attributes"])
    assert attributes == {"taskrouter_callbacks_test": True, "selected_language": "es"}


def test_secret_in_the_answer_is_not_printed(stage, monkeypatch):
    answer = {"instruction": "conference", "from": "sip:a@b.c", "sip_auth_password": "hunter2"}
    record_callbacks(stage, monkeypatch, answer)

    output = deploy(stage).output

    assert '"sip_auth_password": "(secret)"' in output
    assert "hunter2" not in output


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
    assert (
        "could not be canceled or completed: Twilio failed with HTTP status 500." in result.output
    )
    assert "TaskRouter cancels the Task 300 seconds after its creation." in result.output


def test_task_is_completed_if_a_worker_accepts_just_before_the_cancellation(stage, monkeypatch):
    """The Task is accepted after its status has been read, so the first cancellation fails."""
    record_callbacks(stage, monkeypatch, {})
    call, accepted = Account.call, []

    def accept_before_cancellation(account, send, **keywords):
        is_update = getattr(send, "keywords", {}).get("assignment_status") == "canceled"
        if is_update and not accepted:
            (task,) = tasks(stage)
            (reservation,) = stage.workspace.tasks(task.sid).reservations.list()
            accepted.append(reservation.update(reservation_status="accepted"))
        return call(account, send, **keywords)

    monkeypatch.setattr(Account, "call", accept_before_cancellation)

    assert "is completed.\n" in deploy(stage).output
    assert accepted
    assert tasks(stage)[0].assignment_status == "completed"


def test_lack_of_an_available_worker_is_reported_before_a_task_is_created(stage):
    set_activity(stage, "Alice", "Offline")

    result = deploy(stage)

    assert result.exit_code == 1
    assert "Error: No test Task was created, because no Worker in the Workflow's TaskQueues" in (
        result.output
    )
    assert tasks(stage) == []


def test_lack_of_an_available_worker_does_not_fail_the_first_deployment(stage):
    set_activity(stage, "Alice", "Offline")
    stage.in_terminal = stage.is_first = True

    result = stage.deploy(answers=["y", ""])

    assert result.exit_code == 0, result.output
    assert "no Worker in the Workflow's TaskQueues is available" in result.output
    assert tasks(stage) == []


def test_wrong_callback_url_is_reported_before_a_task_is_created(stage):
    result = stage.deploy("--try")

    assert result.exit_code == 1
    assert "Error: No test Task was created, because the Workflow's callback URLs are" in (
        result.output
    )
    assert tasks(stage) == []


@pytest.mark.parametrize("in_terminal", [False, True])
def test_worker_who_cannot_receive_the_task_is_not_listed(stage, in_terminal):
    stage.deploy("--yes")
    set_activity(stage, "Alice", "Offline")
    set_activity(stage, "Bob", "Idle")
    stage.in_terminal = in_terminal

    result = (
        stage.deploy("--try", answers=[SPANISH, "y"]) if in_terminal else deploy(stage, "--try")
    )

    assert result.exit_code == 1
    assert result.output.endswith(
        "Error: No test Task was created, because no Worker in the TaskQueues that may receive the "
        "Task is available. Set a Worker to an available Activity, then run: python -m infra "
        "deploy --stage dev --try\n"
    )
    assert "Bob" not in result.output
    assert tasks(stage) == []


def test_waiting_task_is_explained_if_the_target_excludes_all_workers(stage):
    configuration = json.loads(stage.workflow.fetch().configuration)
    for item in configuration["task_routing"]["filters"]:
        for target in item["targets"]:
            target["expression"] = "worker.level > 99"
    stage.workflow.update(configuration=json.dumps(configuration))

    result = deploy(stage)

    assert result.exit_code == 1
    assert "waited in the TaskQueue Customer Care Requests - Spanish." in result.output
    assert tasks(stage)[0].assignment_status == "canceled"


@pytest.mark.parametrize(
    ("expressions", "default", "attributes", "names"),
    [
        (["a == 1", "a == 2"], True, '{"a": 2}', ["1"]),
        (["a == 1", "a == 1"], True, '{"a": 1}', ["0"]),
        (["a == 1", "a == 1"], True, '{"a": "1"}', ["0", "1", "default"]),
        (["a == 'x'", "1==1"], True, '{"a": "X"}', ["0", "1"]),
        (["a > 1", "a == 2", "1==1"], True, '{"a": 2}', ["0", "1"]),
        (["a == 1", "a > 1"], True, "{}", ["1", "default"]),
        (["a == 1"], False, "{}", []),
    ],
)
def test_list_of_possible_routes_ends_with_the_first_certain_match(
    expressions, default, attributes, names
):
    routes = [
        trial._Route(expression=expression, name=str(index), queues=[])
        for index, expression in enumerate(expressions)
    ]
    if default:
        routes.append(trial._Route(expression=None, name="default", queues=[]))

    assert [route.name for route in trial._possible_routes(attributes, routes)] == names


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ({}, ["first"]),
        ({"timeout": 5}, ["first", "Default filter"]),
        ({"skip_if": "1==1"}, ["first", "Default filter"]),
    ],
)
def test_task_may_leave_a_filter_only_if_a_target_can_be_skipped_or_time_out(target, names):
    targets = [{"queue": "WQ1", **target}, {"queue": "WQ2"}]
    first = {"filter_friendly_name": "first", "expression": "a == 1", "targets": targets}
    routing = {"filters": [first], "default_filter": {"queue": "WQ3"}}
    routes = trial._parse_routes(json.dumps({"task_routing": routing}))

    assert [route.name for route in trial._possible_routes('{"a": 1}', routes)] == names


def configure_workflow(stage, *expressions, default=False):
    """Give the Workflow a filter for each expression; all filters use the Spanish TaskQueue."""
    queue = next(q.sid for q in stage.workspace.task_queues.list() if "Spanish" in q.friendly_name)
    routing = {
        "filters": [
            {"filter_friendly_name": "F", "expression": expression, "targets": [{"queue": queue}]}
            for expression in expressions
        ]
    }
    if default:
        routing["default_filter"] = {"queue": queue}
    stage.workflow.update(configuration=json.dumps({"task_routing": routing}))


@pytest.mark.parametrize(
    ("worker", "language"), [("Alice", "es"), ("Bob", "en")], ids=["Spanish", "English"]
)
def test_default_attributes_match_a_filter_with_an_available_worker(
    stage, monkeypatch, worker, language
):
    record_callbacks(stage, monkeypatch, {})
    set_activity(stage, "Alice", "Offline")
    set_activity(stage, worker, "Idle")

    result = stage.deploy("--yes", "--try")

    assert result.exit_code == 0, result.output
    attributes = json.dumps({"taskrouter_callbacks_test": True, "selected_language": language})
    assert f"Attributes of the Task: {attributes}\n" in result.output
    assert f"(Worker {worker}) arrived." in result.output


@pytest.mark.parametrize(
    ("expressions", "default", "attributes"),
    [
        (["1==1"], False, {}),
        (["1 = 1"], False, {}),
        (['tier = "gold" AND level == 5'], False, {"tier": "gold", "level": 5}),
        (["age > 5", "type == 'chat'"], False, {"type": "chat"}),
        (["age > 5"], True, {}),
    ],
)
def test_default_attributes_are_derived_from_simple_expressions(
    stage, monkeypatch, expressions, default, attributes
):
    record_callbacks(stage, monkeypatch, {})
    configure_workflow(stage, *expressions, default=default)

    result = stage.deploy("--yes", "--try")

    assert result.exit_code == 0, result.output
    (task,) = tasks(stage)
    assert json.loads(task.fetch().attributes) == {"taskrouter_callbacks_test": True, **attributes}


@pytest.mark.parametrize("attributes", ["{}", '{"selected_language": "fr"}', '{"x": "es"}'])
def test_attributes_that_match_no_filter_are_reported_before_a_task_is_created(stage, attributes):
    result = deploy(stage, attributes=attributes)

    assert result.exit_code == 1
    assert result.output.endswith(
        "Error: No test Task was created, because the attributes match no filter of the Workflow, "
        "which has no default filter. Pass attributes that match a filter: --try-attributes "
        "'{...}'\n"
    )
    assert tasks(stage) == []


def test_prompt_is_repeated_after_attributes_that_match_no_filter(stage, monkeypatch):
    record_callbacks(stage, monkeypatch, {})
    stage.deploy("--yes")
    stage.in_terminal = True

    result = stage.deploy("--try", answers=["{}", "", "y"])

    assert result.exit_code == 0, result.output
    assert "Error: The attributes match no filter of the Workflow, which has no default" in (
        result.output
    )
    assert json.loads(tasks(stage)[0].fetch().attributes)["selected_language"] == "es"


def test_workflow_with_complex_expressions_requires_the_try_attributes_option(stage):
    configure_workflow(stage, "age > 5 OR tier == 'gold'")

    result = stage.deploy("--yes", "--try")

    assert result.exit_code == 1
    assert (
        "can't derive attributes for a filter whose TaskQueues have an available Worker. Pass"
    ) in result.output
    assert tasks(stage) == []


def test_workflow_without_a_route_is_reported_before_a_task_is_created(stage, monkeypatch):
    monkeypatch.setattr(trial, "_parse_routes", lambda _configuration: [])

    result = deploy(stage)

    assert "because the Workflow has neither a filter nor a default filter" in result.output
    assert tasks(stage) == []


def test_task_canceled_by_the_workflow_is_explained(stage):
    configure_workflow(stage, "age > 5")

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
        ([], "the stage logged no failed callback. Monitor > Errors in Twilio's Console"),
        (["START RequestId: 1", {"route": "/health", "status": 500}], "logged no failed callback"),
        (
            [REFUSED | {"status": 200}, '{"route": "/assignment_callback"'],
            "logged no failed callback",
        ),
        ([REFUSED | {"route": "/assignment_callback/fallback"}], "logged no failed callback"),
        ([REFUSED], "answered TaskRouter's callback with 403 InvalidSignature."),
        ([REFUSED], "checked against https://checked.example/assignment_callback."),
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
    assert "attributes" in result.output
    assert "must have at most" in result.output or "is not a valid JSON object: " in result.output
    assert stage.deployments == 0


def test_command_offers_a_test_in_a_terminal_after_the_first_deployment(stage, monkeypatch):
    record_callbacks(stage, monkeypatch, {})
    stage.in_terminal = stage.is_first = True

    result = stage.deploy(answers=["y", "", "[]", SPANISH, "y"])

    assert result.exit_code == 0, result.output
    assert "  Spanish: selected_language=='es'\n" in result.output
    names = result.output.index("may receive the Task: Alice\n")
    assert names < result.output.index("Create the test Task, which reserves one of these Workers")
    assert (
        "Error: The text with the Task's attributes is not a valid JSON object: it is an array.\n"
        in result.output
    )
    assert "arrived." in result.output


@pytest.mark.parametrize(
    ("is_first", "options"),
    [(False, []), (True, ["--no-try"]), (True, ["--yes"]), (True, ["--no-input"])],
)
def test_no_test_is_offered_after_a_later_deployment_or_if_questions_are_disabled(
    stage, is_first, options
):
    stage.deploy("--yes")
    stage.in_terminal, stage.is_first = True, is_first

    result = stage.deploy(*options, answers=["", ""])

    assert result.exit_code == 0, result.output
    assert "test Task shows" not in result.output


UNASKED_EMAIL = "an email address for the alarms (--alarm-email ADDRESS)"
UNASKED_TASK = "a test Task (--try)"


@pytest.mark.parametrize(
    ("in_terminal", "options", "line"),
    [
        (True, ["--yes"], f"Skipped (--yes): {UNASKED_EMAIL}, {UNASKED_TASK}.\n"),
        (True, ["--no-input"], f"Skipped (--no-input): {UNASKED_EMAIL}, {UNASKED_TASK}.\n"),
        (False, [], f"Skipped (no terminal): {UNASKED_EMAIL}, {UNASKED_TASK}.\n"),
        (False, ["--yes"], f"Skipped (no terminal): {UNASKED_EMAIL}, {UNASKED_TASK}.\n"),
        (True, ["--yes", "--no-try"], f"Skipped (--yes): {UNASKED_EMAIL}.\n"),
        (True, ["--yes", "--alarm-email", "a@b.cd"], f"Skipped (--yes): {UNASKED_TASK}.\n"),
    ],
)
def test_first_run_names_the_questions_that_it_does_not_ask(stage, in_terminal, options, line):
    stage.in_terminal, stage.is_first = in_terminal, True

    result = stage.deploy(*options)

    assert result.exit_code == 0, result.output
    assert result.output.count("Skipped") == 1
    assert line in result.output
    assert "Skipped" not in stage.deploy(*options).output


def test_run_after_an_interrupted_first_run_repeats_the_offers(stage, monkeypatch):
    record_callbacks(stage, monkeypatch, {})
    stage.in_terminal = stage.is_first = True
    run = trial.run

    for failure in (KeyboardInterrupt, trial.OperatorError("The test failed.")):

        def fail(*_, failure=failure, **__):
            raise failure

        monkeypatch.setattr(trial, "run", fail)
        assert stage.deploy(answers=["y", ""]).exit_code == 1
        assert stage.is_first

    monkeypatch.setattr(trial, "run", run)
    result = stage.deploy(answers=["you@example.com", "", "y"])

    assert result.exit_code == 0, result.output
    assert "Email address for the alarms" in result.output
    assert "(Worker Alice) arrived." in result.output
    assert not stage.is_first
    assert "?" not in stage.deploy().output


@pytest.mark.parametrize("options", [["--no-try"], ["--no-try", "--yes"]])
def test_contradictory_options_are_refused_before_the_deployment(stage, options):
    result = deploy(stage, *options)

    assert result.exit_code == 2
    assert "--no-try contradicts --try-attributes. Omit one of them." in result.output
    assert stage.deployments == 0


def test_declined_test_creates_no_task(stage):
    stage.deploy("--yes")
    stage.in_terminal = True

    result = stage.deploy("--try", answers=["", "n"])

    assert result.exit_code == 0, result.output
    assert tasks(stage) == []


def test_unreadable_workflow_configuration_is_reported():
    with pytest.raises(
        trial.OperatorError, match="The configuration of the Workflow can't be read"
    ):
        trial._parse_routes('{"task_routing": {"filters": [1]}}')


def test_queues_of_filters_and_targets_and_the_default_filter_are_listed_once():
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
    routes = trial._parse_routes(json.dumps(configuration))
    assert [(route.name, route.expression) for route in routes] == [
        ("Filter", "a"),
        ("B", "b"),
        ("Filter", "c"),
        ("Default filter", None),
    ]
    assert trial._queues(routes) == ["WQ1", "WQ2", "WQ3"]
