"""Twilio's unmodified browser SDK works with the simulator, in Node.js and in Chromium.

The scenarios are in `browser_sdk/scenarios.js`.
"""

import functools
import json
import os
import re
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import jwt
import pytest

from local.supervisor import ROOT
from taskrouter_simulator.testing import running
from tests.portal.conftest import chromium
from tests.simulator.browser_sdk import access_token, forge
from tests.simulator.conftest import SPANISH, send_request

MODULES = ROOT / ".venv" / "browser-sdk" / "node_modules"
ESBUILD = MODULES / ".bin" / "esbuild"
SCENARIOS = Path(__file__).with_name("browser_sdk") / "scenarios.js"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ESBUILD.exists(), reason="Twilio's browser SDK is missing. Run make browser-sdk."
    ),
]


@pytest.fixture
def taskrouter():
    """A simulator with a running clock and a pending Task for a Worker who speaks Spanish."""
    with running(frozen_clock=False) as simulator:
        send_request(simulator, "POST", "/Tasks", Attributes=SPANISH)
        yield simulator


class Scenario:
    """A scenario that runs in Node.js."""

    def __init__(self, name, **arguments):
        self._process = subprocess.Popen(
            ["node", SCENARIOS, name, json.dumps(arguments)],
            env={"PATH": os.environ["PATH"], "NODE_PATH": str(MODULES)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_ready(self):
        assert self._process.stdout.readline() == "ready\n"

    def result(self):
        try:
            output, errors = self._process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            output, errors = self._process.communicate()
        assert (self._process.returncode, errors) == (0, ""), output
        return json.loads(output)


def run(name, taskrouter, worker="Alice", role="worker", **arguments):
    token = arguments.pop("token", None) or access_token(taskrouter, worker, role)
    return Scenario(name, url=taskrouter.url, token=token, **arguments)


def test_ready_worker_has_its_activities_and_channels(taskrouter):
    alice = send_request(taskrouter, "GET", f"/Workers/{taskrouter.workers['Alice']}")[1]
    result = run("ready", taskrouter).result()
    assert abs(result.pop("created") / 1000 - time.time()) < 60
    assert result == {
        "sid": alice["sid"],
        "name": "Alice",
        "attributes": {"languages": ["en", "es"]},
        "activity": "Offline",
        "activities": ["Offline", "Idle", "Busy", "Reserved"],
        "channels": ["default", "voice", "sms", "chat", "video"],
    }


ACCEPTED = [
    ["pending", "reserved", {"selected_language": "es"}],
    ["accepted", "assigned", None],
    ["wrapping", "wrapping", "almost done"],
    ["completed", "completed", "done"],
    0,
]


def test_worker_accepts_and_completes_an_offer(taskrouter):
    assert run("accept", taskrouter).result() == ACCEPTED


def test_worker_rejects_an_offer(taskrouter):
    assert run("reject", taskrouter).result() == ["rejected", "pending", 0]


def test_worker_rejects_its_offers_by_going_offline(taskrouter):
    assert run("rejectPending", taskrouter).result() == ["rejected", "Offline"]


def test_sdk_tracks_the_current_versions_of_its_resources(taskrouter):
    *matches, attributes, virtual_start_time, error = run("versions", taskrouter).result()
    assert matches == [True, True]
    assert attributes == {"selected_language": "es", "note": "é"}
    assert virtual_start_time == 0
    assert error == "Request failed with status code 412. ETag 0 does not match"


def test_worker_creates_an_outbound_task(taskrouter):
    queue = taskrouter.task_queues["Customer Care Requests - Spanish"]
    scenario = run("outbound", taskrouter, workflow=taskrouter.workflow_sid, queue=queue)
    attributes = {"name": "Ms. Ray", "outbound_to": "+15550001111", "from": "+15550002222"}
    assert scenario.result() == [True, attributes, taskrouter.workers["Alice"], "voice"]


def test_capacity_and_availability_changes_are_reported(taskrouter):
    scenario = run("channel", taskrouter)
    scenario.wait_until_ready()
    voice = f"/Workers/{taskrouter.workers['Alice']}/Channels/voice"
    send_request(taskrouter, "POST", voice, Capacity=7)
    # The scenario listens for the second event only after it has received the first.
    time.sleep(0.2)
    send_request(taskrouter, "POST", voice, Available="false")
    assert scenario.result() == [7, False]


def test_worker_reconnects(taskrouter):
    scenario = run("reconnect", taskrouter)
    scenario.wait_until_ready()
    taskrouter.reset()
    send_request(taskrouter, "POST", "/Tasks", Attributes=SPANISH)
    assert scenario.result() == ["The simulator was reset", "pending", 4]


@pytest.fixture
def signing_data(taskrouter):
    """Alice's claims and the API key's secret; the scenario uses both to create Access Tokens."""
    claims = jwt.decode(access_token(taskrouter), options={"verify_signature": False})
    return {"claims": claims, "secret": taskrouter.api_key_secret}


def test_worker_with_expired_token_continues_with_a_new_token(taskrouter, signing_data):
    # The SDK emits `tokenExpired` 5 seconds before the token expires.
    result = run("expiry", taskrouter, sign=signing_data).result()
    assert result == ["tokenExpired", "The Access Token has expired", "accepted"]


def test_worker_with_new_token_reconnects_when_the_old_token_expires(taskrouter, signing_data):
    result = run("update", taskrouter, sign=signing_data).result()
    assert result == ["The Access Token has expired", "pending"]


def test_forged_token_is_reported(taskrouter):
    result = run("refused", taskrouter, token=forge(taskrouter, secret="x" * 32)).result()
    assert result == "The Access Token is not signed with the API key's secret"


def test_supervisor_updates_a_worker(taskrouter):
    alice = access_token(taskrouter, "Alice")
    attributes, monitored = run("supervise", taskrouter, "Bob", "supervisor", alice=alice).result()
    assert attributes == {"languages": ["es"]}
    assert monitored.startswith("Request failed with status code 400. ")


def test_worker_transfers_a_task(taskrouter):
    result = run("transfer", taskrouter, bob=access_token(taskrouter, "Bob")).result()
    offered = ["WARM", "WORKER", "initiated"]
    assert result == [
        offered,
        ["canceled", "canceled"],
        offered,
        ["rejected", "failed"],
        offered,
        ["accepted", "complete"],
    ]


def test_workspace_fetches_workers_task_queues_and_a_task(taskrouter):
    task = send_request(taskrouter, "POST", "/Tasks", Attributes=SPANISH)[1]
    missing = f"/Workspaces/{taskrouter.workspace_sid}/Tasks/WT0"
    scenario = run("workspace", taskrouter, None, "admin", task=task["sid"])
    assert scenario.result() == [
        ["Alice", "Bob"],
        ["Alice"],
        ["Bob"],
        ["Customer Care Requests - Spanish", "Customer Care Requests - English"],
        "Alice",
        "Customer Care Requests - Spanish",
        {"selected_language": "es"},
        f"Request failed with status code 404. The requested resource {missing} was not found",
    ]


def example(language, taskrouter):
    """Return an example from the documentation, changed to use the running simulator."""
    page = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
    section = page.partition("## Use the browser SDK")[2].partition("\n## ")[0]
    code = re.search(f"```{language}\n(.*?)```", section, re.DOTALL)[1]
    return code.replace("127.0.0.1:8002", urlsplit(taskrouter.url).netloc)


def test_example_in_the_documentation_accepts_an_offer(taskrouter):
    python = [sys.executable, "-c", example("python", taskrouter)]
    token = subprocess.run(python, capture_output=True, check=True, text=True).stdout.strip()
    page = f"const token = '{token}';\n{example('js', taskrouter)}"
    command = [ESBUILD, "--bundle", "--platform=node"]
    bundled = subprocess.run(
        command, cwd=MODULES.parent, input=page, capture_output=True, check=True, text=True
    )
    alice = f"/Workers/{taskrouter.workers['Alice']}"
    send_request(taskrouter, "POST", alice, ActivitySid=taskrouter.activities["Idle"])
    with subprocess.Popen(["node"], stdin=subprocess.PIPE, text=True) as node:
        node.stdin.write(bundled.stdout)
        node.stdin.close()
        wait_until_connected(taskrouter)
        send_request(taskrouter, "POST", "/Tasks", RoutingTarget=taskrouter.workers["Alice"])
        statuses = wait_for_statuses(taskrouter, alice, "accepted")
        node.kill()
    assert "accepted" in statuses


def wait_until_connected(taskrouter):
    """Wait until the SDK has fetched the Worker's Reservations and can receive events."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(entry["path"].endswith("/Reservations") for entry in taskrouter.log("request")):
            time.sleep(0.5)
            return
        time.sleep(0.05)
    pytest.fail("The SDK did not fetch the Worker's Reservations within 60 seconds.")


def wait_for_statuses(taskrouter, worker, expected):
    """Wait for a Reservation with the expected status; return the statuses of all Reservations."""
    statuses = set()
    deadline = time.monotonic() + 60
    while expected not in statuses and time.monotonic() < deadline:
        body = send_request(taskrouter, "GET", f"{worker}/Reservations")[1]
        statuses = {item["reservation_status"] for item in body["reservations"]}
        time.sleep(0.05)
    return statuses


def bundle(path):
    """Bundle the SDK for browsers, as an app does, because the SDK's modules call `require`."""
    options = [
        "--bundle",
        "--define:global=window",
        "--global-name=TaskRouter",
        f"--outfile={path}",
    ]
    command = [ESBUILD, "twilio-taskrouter", *options, "--log-level=warning"]
    subprocess.run(command, cwd=MODULES.parent, check=True)


def test_page_on_another_local_server_can_use_the_simulator(taskrouter, tmp_path):
    (tmp_path / "index.html").write_text("<!DOCTYPE html><title>Agent</title>")
    bundle(tmp_path / "sdk.js")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, chromium() as browser:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        page = browser.new_page()
        page.goto(f"http://localhost:{server.server_port}/")
        page.add_script_tag(path=tmp_path / "sdk.js")
        page.add_script_tag(path=SCENARIOS)
        scenario = {"url": taskrouter.url, "token": access_token(taskrouter)}
        result = page.evaluate("(scenario) => scenarios.accept(TaskRouter, scenario)", scenario)
        server.shutdown()
        thread.join()
    assert result == ACCEPTED
