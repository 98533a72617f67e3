"""The probe measures a Task's life cycle, finds settings for the simulator, and cleans up."""

import itertools
import json
import re
import time
from dataclasses import fields
from types import SimpleNamespace

import pytest
from twilio.http.http_client import TwilioHttpClient

from chalicelib.config import PROJECT
from infra.doctor import probe
from infra.doctor.probe_api import CHANNEL, NAME, Api
from infra.workspace.export import export, read_all
from infra.workspace.plan import make_plan
from infra.workspace.state import read_for
from taskrouter_simulator.definition.reader import from_value
from taskrouter_simulator.setting_values import read
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.testing import running
from tests.infra.command_line import run_infra

TIMER = probe.Timer(sleep=lambda seconds: time.sleep(seconds / 20))
DEFAULTS = {setting.name: setting.default for setting in fields(Settings)}
STEPS = ["task created", "reserved", "callback recorded", "accepted", "completed"]


@pytest.fixture
def stage(live_stage):
    """A working stage."""
    return live_stage


@pytest.fixture
def taskrouter(request):
    """A simulator whose clock is not frozen."""
    with running(frozen_clock=False, **getattr(request, "param", {})) as simulator:
        yield simulator


def resources(stage):
    """Return the SIDs of the Workspace's resources, for each kind that a probe creates."""
    workspace = stage.workspace
    kinds = ("task_channels", "task_queues", "workflows", "workers", "tasks")
    return {kind: sorted(each.sid for each in getattr(workspace, kind).list()) for kind in kinds}


def test_probe_measures_each_step(stage):
    findings = probe.run(stage.subject, TIMER)

    assert [*findings.milliseconds] == STEPS
    assert all(0 <= ms < 10_000 for ms in findings.milliseconds.values())


def test_probe_leaves_nothing_behind(stage):
    before = resources(stage)

    probe.run(stage.subject, TIMER)

    assert resources(stage) == before


def test_probe_keeps_resources_that_it_did_not_create(stage):
    own = stage.workspace.workers.create(friendly_name=f"{NAME} of a colleague")
    stage.workspace.task_channels.create(friendly_name=NAME, unique_name="other")
    before = resources(stage)

    probe.run(stage.subject, TIMER)

    assert resources(stage) == before
    assert own.sid in before["workers"]


VARIANTS = [
    {},
    {
        "default_capacity": 3,
        "least_reservation_timeout": 5,
        "unknown_parameters": "refused",
        "nulls_are_values": True,
        "mixed_types": "numbers",
        "names_may_begin_with_digit": True,
        "worker_lists_have_attributes": False,
        "callback_timestamp": "iso",
        "assigned_tasks": "accepted",
        "accept_twice": True,
        "etag_quoted": False,
        "status_with_attributes": "ignored",
        "reason_required": True,
        "events_newest_first": True,
        "rate_limit": 40,
    },
    {
        "mixed_types": "false",
        "callback_timestamp": "none",
        "status_with_attributes": "updated",
        "not_pending_status": 409,
        "not_pending_code": 40900,
        "problem_details": True,
    },
]


def test_plan_and_export_omit_the_resources_of_a_running_probe(stage):
    kinds = ("task_channels", "task_queues", "workflows", "workers")
    definition = from_value({"friendly_name": "New"} | {kind: [] for kind in kinds})

    def read():
        state = read_for(stage.workspace, definition)
        plans = [make_plan(definition, state, api_url=None, prune=prune) for prune in (False, True)]
        everything = read_all(stage.workspace, with_workers=True)
        return plans, export(everything, api_url=None, with_workers=True)

    def sleep(_seconds):
        observed.append((len(stage.workspace.workers.list(friendly_name=NAME)), read()))

    before, observed = read(), []

    probe.run(stage.subject, probe.Timer(sleep=sleep))

    number_of_workers, during = observed[0]
    assert number_of_workers == 1
    assert during == before


@pytest.mark.parametrize(
    ("taskrouter", "expected"),
    [(variant, variant) for variant in VARIANTS],
    indirect=["taskrouter"],
    ids=["defaults", "first variants", "second variants"],
)
def test_probe_finds_the_settings_of_the_simulator(stage, expected):
    settings = probe.run(stage.subject, TIMER).settings

    assert 0 <= settings.pop("routing_delay") < 5
    assert settings == {name: DEFAULTS[name] for name in settings} | expected
    assert len(settings) >= 17


@pytest.mark.parametrize("taskrouter", [{"routing_delay": 0.4}], indirect=True)
def test_probe_finds_the_routing_delay(stage):
    assert 0.4 <= probe.run(stage.subject).settings["routing_delay"] < 5


def test_probe_skips_the_accept_step_if_the_callback_accepts(stage):
    stage.set(ASSIGNMENT_INSTRUCTION="accept")

    findings = probe.run(stage.subject, TIMER)

    assert [*findings.milliseconds] == [step for step in STEPS if step != "accepted"]
    assert "assigned_tasks" not in findings.settings


class Killed(BaseException):
    """Ends the probe like a signal."""


@pytest.fixture
def kill(monkeypatch):
    """A function that makes the request with the given number fail before or after it is sent.

    If `is_final`, all later requests fail too, as if the process had ended.
    """
    send = TwilioHttpClient.request

    def kill_at(number, *, moment, is_final):
        counter = itertools.count()

        def request(self, *args, **kwargs):
            index = next(counter)
            is_hit = index == number or (is_final and index > number)
            if is_hit and (moment == "before" or index > number):
                raise Killed
            response = send(self, *args, **kwargs)
            if is_hit:
                raise Killed
            return response

        monkeypatch.setattr(TwilioHttpClient, "request", request)
        return counter

    return kill_at


def run_and_kill(stage, kill, number, **options):
    """Run a probe whose request with this number fails; return whether the probe was killed."""
    subject = stage.subject
    kill(number, **options)
    try:
        probe.run(subject, TIMER)
    except Killed:
        return True
    finally:
        kill(-1, moment="before", is_final=False)
    return False


def kill_at_every_request(stage, kill, *, step, **options):
    """Kill a probe at each *step*th request in turn, and yield the request's number."""
    for number in itertools.count(0, step):
        if not run_and_kill(stage, kill, number, **options):
            return
        yield number


# On a busy machine, killing a probe at every request takes minutes.
STEP_OR_ALL = [19, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]


@pytest.mark.parametrize("step", STEP_OR_ALL)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_interrupted_probe_leaves_nothing_behind(stage, kill, moment, step):
    before, killed = resources(stage), 0

    for number in kill_at_every_request(stage, kill, step=step, moment=moment, is_final=False):
        if resources(stage) != before:
            # The clean-up was interrupted, so the next probe must delete the remaining resources.
            probe.run(stage.subject, TIMER)
        assert resources(stage) == before, number
        killed += 1

    assert killed >= 50 // step


@pytest.mark.parametrize("step", STEP_OR_ALL)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_leftovers_from_a_killed_process_are_deleted_by_the_next_probe(stage, kill, moment, step):
    before, left = resources(stage), 0

    for number in kill_at_every_request(stage, kill, step=step, moment=moment, is_final=True):
        left += resources(stage) != before
        probe.run(stage.subject, TIMER)
        assert resources(stage) == before, number

    assert left >= 40 // step


def test_probe_is_refused_if_its_worker_could_be_offered_real_tasks(stage):
    before = resources(stage)
    stage.workspace.task_queues.create(friendly_name="Everyone", target_workers="1==1")

    (error,) = probe.run(stage.subject, TIMER).errors

    assert re.search("also accept this Worker.*: Everyone. Probe a test", error)
    after = resources(stage)
    assert {kind: after[kind] for kind in before if kind != "task_queues"} == {
        kind: before[kind] for kind in before if kind != "task_queues"
    }
    assert len(after["task_queues"]) == len(before["task_queues"]) + 1


def test_worker_of_the_probe_receives_no_real_task_in_a_multitasking_workspace(stage):
    stage.workspace.update(multi_task_enabled=True)
    queue = stage.workspace.task_queues.create(friendly_name="Everyone", target_workers="1==1")
    routing = {"task_routing": {"default_filter": {"queue": queue.sid}}}
    workflow = stage.workspace.workflows.create(
        friendly_name="Everyone", configuration=json.dumps(routing)
    )
    channels = [each.unique_name for each in stage.workspace.task_channels.list()]
    real = [
        stage.workspace.tasks.create(workflow_sid=workflow.sid, task_channel=name, attributes="{}")
        for name in channels
    ]

    findings = probe.run(stage.subject, TIMER)

    assert [*findings.milliseconds] == STEPS
    assert {task.fetch().assignment_status for task in real} == {"pending"}
    events = stage.workspace.events.list(event_type="reservation.created")
    assert {event.event_data["task_channel_unique_name"] for event in events} == {CHANNEL}


def test_missing_callback_ends_the_probe_and_is_explained(stage):
    stage.twilio.fault("assignment", "cut", times=None)
    stage.twilio.fault("fallback", "cut", times=None)
    before = resources(stage)
    clock = SimpleNamespace(now=0.0)

    def sleep(seconds):
        clock.now += seconds * 10

    findings = probe.run(stage.subject, probe.Timer(lambda: clock.now, sleep))

    assert findings.errors == ["The stage recorded no callback within 30 seconds."]
    assert [*findings.milliseconds] == STEPS[:2]
    assert resources(stage) == before


WITHOUT_WAITING = probe.Timer(sleep=lambda _seconds: None)


def test_failed_deletion_is_reported_together_with_the_findings(stage):
    stage.twilio.fault("request", "error", method="DELETE", path="*/TaskQueues/*", times=None)

    findings = probe.run(stage.subject, WITHOUT_WAITING)
    stage.twilio.clear_faults()

    assert [*findings.milliseconds] == STEPS
    assert findings.errors[0].endswith(
        "probe' may not have been deleted. The next probe deletes them."
    )
    assert re.match("TaskRouter returned 500 for DELETE /TaskQueues/WQ", findings.errors[1])
    assert [queue.friendly_name for queue in stage.workspace.task_queues.list()].count(NAME) == 1
    assert NAME not in [worker.friendly_name for worker in stage.workspace.workers.list()]
    assert probe.run(stage.subject, TIMER).errors == []
    assert NAME not in [queue.friendly_name for queue in stage.workspace.task_queues.list()]


@pytest.mark.parametrize("kind", ["Workflows", "Tasks", "Workers", "TaskQueues", "TaskChannels"])
def test_failed_list_request_does_not_prevent_other_deletions(stage, kind):
    """Only resources whose list request failed, and the resources that they use, may remain."""
    before = resources(stage)
    clean_up_calls = []
    stage.twilio.fault("request", "error", method="POST", path="*/Tasks", times=None)

    def fail_lists(api):
        if clean_up_calls:
            stage.twilio.fault("request", "error", method="GET", path=f"*/{kind}", times=None)
        clean_up_calls.append(api)
        return clean_up(api)

    clean_up = probe.clean_up
    stage.monkeypatch.setattr(probe, "clean_up", fail_lists)
    errors = probe.run(stage.subject, WITHOUT_WAITING).errors
    stage.twilio.clear_faults()

    after = resources(stage)
    left = {name for name in before if after[name] != before[name]}
    expected = {
        "Workflows": {"workflows", "task_queues"},
        "Tasks": set(),
        "Workers": {"workers", "task_channels"},
        "TaskQueues": {"task_queues"},
        "TaskChannels": {"task_channels"},
    }
    assert left <= expected[kind]
    assert "TaskRouter returned 500 for POST /Tasks" in errors[0]
    assert f"for GET /{kind}" in " ".join(errors[1:])


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_throttled_requests_are_retried(stage, method):
    stage.twilio.fault("request", "error", status=429, retry_after=1, method=method, times=3)

    findings = probe.run(stage.subject, WITHOUT_WAITING)

    assert ([*findings.milliseconds], findings.errors) == (STEPS, [])


class VirtualTimer:
    """A clock that advances only while the probe waits."""

    def __init__(self):
        self.seconds = 0.0

    def timer(self):
        return probe.Timer(lambda: self.seconds, self.sleep)

    def sleep(self, seconds):
        self.seconds += seconds


@pytest.mark.parametrize(
    ("path", "method"), [("*", None), ("*/Tasks", "POST"), ("*", "DELETE"), ("*/Workers/*", None)]
)
def test_endless_throttling_ends_the_probe(stage, path, method):
    virtual_clock, limits = VirtualTimer(), {"method": method} if method else {}
    stage.twilio.fault(
        "request", "error", status=429, retry_after=5, path=path, times=None, **limits
    )

    findings = probe.run(stage.subject, virtual_clock.timer())
    stage.twilio.clear_faults()

    assert findings.errors
    # The life cycle and the final clean-up each stop after a minute.
    assert virtual_clock.seconds < 140


def test_measured_times_exclude_waits_caused_by_throttling(stage):
    virtual_clock = VirtualTimer()
    stage.twilio.fault(
        "request", "error", status=429, retry_after=7, method="POST", path="*/Tasks", times=3
    )

    findings = probe.run(stage.subject, virtual_clock.timer())

    assert findings.milliseconds["task created"] == 0


def test_interrupted_probe_names_the_resources_that_remain(stage):
    def interrupt(*_):
        raise KeyboardInterrupt

    stage.monkeypatch.setattr(probe.answers, "after_completion", interrupt)
    stage.twilio.fault("request", "error", status=403, method="DELETE", times=None)

    completed = run_doctor(stage, "--probe", "--yes", "--json")
    stage.twilio.clear_faults()

    document = json.loads(completed.stdout)
    assert completed.returncode == 1
    assert document["probe"]["errors"][0] == "The probe was interrupted."
    assert [*document["probe"]["milliseconds"]] == STEPS
    assert "TaskRouter refused DELETE /Workflows/WW" in completed.stderr


def test_list_that_cannot_be_read_ends_the_probe(stage):
    stage.monkeypatch.setattr(Api, "require", lambda *_, **__: {"meta": None})

    findings = probe.run(stage.subject, WITHOUT_WAITING)

    assert "TaskRouter's response to GET /Workflows is not a list." in findings.errors


def test_probe_draws_no_conclusion_from_a_failed_request(stage):
    """A request that TaskRouter did not process reveals nothing about its behavior."""
    stage.twilio.fault("request", "error", status=503, method="POST", path="*/Workflows/*", times=4)

    findings = probe.run(stage.subject, WITHOUT_WAITING)

    assert "unknown_parameters" not in findings.settings
    assert "TaskRouter returned 503 for POST /Workflows/WW" in findings.errors[0]


def run_doctor(stage, *options):
    stage.monkeypatch.setattr(probe, "Timer", lambda: TIMER)
    return run_infra("doctor", "--stage", "dev", *options)


def test_command_needs_confirmation(stage):
    before = resources(stage)

    completed = run_doctor(stage, "--probe")

    assert completed.returncode == 1
    assert completed.stderr.endswith("To confirm it in advance, add the option --yes\n")
    assert resources(stage) == before


def test_command_prints_times_and_settings(stage):
    output = run_doctor(stage, "--probe", "--yes").stdout

    for step in STEPS:
        assert f"\nPROBE       {step:18} " in output
    assert "\nSettings for the simulator:\nSIMULATOR_ACCEPT_TWICE=false\n" in output


def test_simulator_reads_the_written_settings(stage, tmp_path):
    file = tmp_path / "account.env"

    completed = run_doctor(stage, "--probe", "--yes", "--settings-file", file)

    assert f"settings for the simulator: {file}\n" in completed.stdout
    pairs = (line.split("=") for line in file.read_text().splitlines())
    values = {name.removeprefix("SIMULATOR_").lower(): value for name, value in pairs}
    assert len(values) >= 18
    settings = read(values)
    assert (settings.mixed_types, settings.accept_twice) == ("unequal", False)


def test_json_contains_the_findings(stage):
    document = json.loads(run_doctor(stage, "--probe", "--yes", "--json").stdout)

    assert [*document["probe"]["milliseconds"]] == STEPS
    assert document["probe"]["settings"]["not_pending_code"] == 20001


@pytest.mark.parametrize(
    ("options", "path", "problem"),
    [
        ([], "*/none", "The probe was not confirmed. To confirm"),
        (["--yes"], "*/TaskChannels", "TaskRouter returned 503 for POST /TaskChannels"),
    ],
)
def test_json_contains_the_checks_even_if_the_probe_fails(stage, options, path, problem):
    stage.twilio.fault("request", "error", status=503, method="POST", path=path, times=None)

    completed = run_doctor(stage, "--probe", "--json", *options)

    document = json.loads(completed.stdout)
    assert (completed.returncode, document["ok"]) == (1, False)
    assert {check["result"] for check in document["checks"]} == {"ok"}
    assert document["probe"]["errors"][0].startswith(problem)


def test_settings_are_printed_if_their_file_cannot_be_written(stage, tmp_path):
    file = tmp_path / "none" / "account.env"

    completed = run_doctor(stage, "--probe", "--yes", "--settings-file", file)

    assert completed.returncode == 1
    assert "\nSettings for the simulator:\nSIMULATOR_ACCEPT_TWICE=false\n" in completed.stdout
    assert f"{file} can't be read or written: No such file or directory." in completed.stderr


def test_probe_does_not_start_if_the_stage_is_unreachable(stage):
    stage.faults["GET", "/health"] = (502, {})

    completed = run_doctor(stage, "--probe", "--yes")

    assert completed.returncode == 1
    assert "because these checks are not OK: reachable, signed_request." in completed.stderr


def test_settings_file_without_a_probe_is_refused(stage):
    completed = run_doctor(stage, "--settings-file", "account.env")

    assert completed.returncode == 2
    assert "--settings-file requires --probe." in completed.stderr


def test_settings_that_the_probe_finds_are_documented(stage):
    page = (PROJECT / "docs/doctor.md").read_text().partition("### Results of the probe")[2]
    documented_part = page.partition("The probe cannot determine the other settings")[0]
    rows = re.findall(r"^\| (`SIMULATOR.+?) \|", documented_part, re.MULTILINE)
    documented = {name.lower() for name in re.findall(r"`SIMULATOR_(\w+)`", " ".join(rows))}

    # By default, the simulator sends no rate limit headers, so the probe omits `rate_limit`.
    assert documented == probe.run(stage.subject, TIMER).settings.keys() | {"rate_limit"}
    assert documented < DEFAULTS.keys()
