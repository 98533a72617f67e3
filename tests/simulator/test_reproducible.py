"""With the same seed and a frozen clock, two runs have the same log."""

import os
import re
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
import requests

from taskrouter_simulator.testing import TaskRouter, running
from tests.simulator.conftest import SPANISH


def run_scenario(taskrouter):
    """Send requests and advance the clock; return the log as received."""
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    for name in ("Alice", "Bob"):
        idle = taskrouter.activities["Idle"]
        workspace.workers(taskrouter.workers[name]).update(activity_sid=idle)
        taskrouter.advance()
    for language in ("es", "en", "fr"):
        workspace.tasks.create(attributes=f'{{"selected_language": "{language}"}}')
        taskrouter.advance(1)
    taskrouter.place_call("+15550001111", "+15556667777", "1")
    for _ in range(3):
        taskrouter.advance(1200)
    workspace.tasks.list(page_size=1)
    return requests.get(f"{taskrouter.url}/simulator/log", timeout=5).content


def run_in_new_process(app, seed, hash_seed):
    command = [sys.executable, "-m", "taskrouter_simulator", "--port", "0", "--frozen-clock", "1"]
    command += ["--callback-base-url", app.url, "--event-path", "/events", "--seed", seed]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            url = process.stdout.readline().split()[-1]
            log = run_scenario(TaskRouter(url))
        finally:
            process.kill()
    return log.replace(url.encode(), b"SIMULATOR")


@pytest.fixture
def prepared_app(app):
    app.set_response("/assignment_callback", {"instruction": "accept"})
    twiml = b'<Response><Gather action="next"/></Response>'
    app.set_response("/incoming_call", twiml, content_type="text/xml")
    app.set_response("/next", b"<Response><Pause/></Response>", content_type="text/xml")
    return app


def test_logs_of_two_processes_with_the_same_seed_are_identical(prepared_app):
    first, second, other = (
        run_in_new_process(prepared_app, seed, hash_seed)
        for seed, hash_seed in (("1", "1"), ("1", "2"), ("2", "1"))
    )
    assert first == second
    assert first != other
    kinds = set(re.findall(rb'"kind":"([a-z]+)"', first))
    assert kinds == {b"request", b"assignment", b"event", b"twiml", b"call", b"alert"}


def test_logs_of_two_simulators_differ_only_in_the_port(prepared_app):
    settings = {"callback_base_url": prepared_app.url, "event_path": "/events", "seed": "1"}
    with running(**settings) as taskrouter:
        first_url, first = taskrouter.url, run_scenario(taskrouter)
    with running(**settings) as taskrouter:
        second_url, second = taskrouter.url, run_scenario(taskrouter)
    with running(**settings, port=urlsplit(second_url).port) as taskrouter:
        third = run_scenario(taskrouter)
    assert first_url.encode() in first
    assert first.replace(first_url.encode(), second_url.encode()) == second == third


def without_numbers(log):
    """Return the log without the entry numbers, which continue to increase after a reset."""
    return re.sub(rb'"id":\d+', b"", log)


def test_log_after_a_reset_does_not_depend_on_earlier_requests(prepared_app):
    settings = {"callback_base_url": prepared_app.url, "event_path": "/events", "seed": "1"}
    with running(**settings) as taskrouter:
        first = run_scenario(taskrouter)
        prepared = taskrouter.snapshot()
        taskrouter.advance(200 * 86_400)
        taskrouter.fault("assignment", "cut")
        taskrouter.client().taskrouter.v1.workspaces.create("Other")
        taskrouter.reset()
        second = run_scenario(taskrouter)
        taskrouter.restore(prepared)
        taskrouter.reset()
        third = run_scenario(taskrouter)
    assert without_numbers(first) == without_numbers(second) == without_numbers(third)


@pytest.mark.parametrize("seed", ["", "1"])
def test_every_callback_has_a_different_token(app, seed):
    with running(callback_base_url=app.url, event_path="/events", seed=seed) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        idle = taskrouter.activities["Idle"]
        workspace.workers(taskrouter.workers["Alice"]).update(activity_sid=idle)
        workspace.tasks.create(attributes=SPANISH)
        taskrouter.advance()
    tokens = [request["headers"]["I-Twilio-Idempotency-Token"] for request in app.received]
    assert len(tokens) == len(set(tokens)) > 3
    assert all(re.fullmatch("[0-9a-f]{32}", token) for token in tokens)


def test_callbacks_are_sent_one_at_a_time_only_if_a_seed_is_set(app):
    app.delay = 0.02
    for seed, expected in (("1", {1}), ("", {2, 3, 4, 5, 6, 7, 8})):
        app.max_concurrent = 0
        with running(callback_base_url=app.url, event_path="/events", seed=seed) as taskrouter:
            workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
            workspace.tasks.create(attributes=SPANISH)
            taskrouter.advance()
        assert app.max_concurrent in expected


def test_callback_duration_is_in_simulated_time_only_if_a_seed_is_set(app):
    app.delay = 0.02
    for seed, expected in (("1", True), ("", False)):
        with running(callback_base_url=app.url, event_path="/events", seed=seed) as taskrouter:
            workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
            workspace.tasks.create(attributes=SPANISH)
            taskrouter.advance()
            assert all((entry["seconds"] == 0) is expected for entry in taskrouter.log("event"))
