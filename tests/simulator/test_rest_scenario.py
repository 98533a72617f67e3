"""Every operation in Twilio's description works, and Prism reports no violations.

[Prism](https://github.com/stoplightio/prism) is a proxy that compares requests and responses with
an OpenAPI description. Prism is independent of the simulator.
"""

import json
import re
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

from tests.simulator.rest_scenario import SCENARIO, TRANSFER, Scenario, operations, send
from tests.simulator.test_wire import DESCRIPTION

PRISM = (
    DESCRIPTION.parent / "prism" / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"
)

pytestmark = pytest.mark.skipif(
    not DESCRIPTION.exists(),
    reason="Twilio's OpenAPI description is missing. Run make api-description.",
)
needs_prism = pytest.mark.skipif(
    not PRISM.exists() or not shutil.which("node"), reason="Prism is missing. Run make prism."
)


@pytest.fixture(scope="module")
def description():
    return json.loads(DESCRIPTION.read_text())


@contextmanager
def prism(upstream: str) -> Iterator[str]:
    """Run Prism as a validating proxy in front of a server; yield Prism's base URL."""
    command = ["node", str(PRISM), "proxy", str(DESCRIPTION), upstream, "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield address(process.stdout)
        finally:
            process.terminate()


def address(log: TextIO) -> str:
    """Return the URL in the log, and keep reading, because Prism blocks while the pipe is full."""
    output = []
    for line in log:
        output.append(line)
        if listening := re.search(r"Prism is listening on (http://\S+)", line):
            threading.Thread(target=log.read).start()
            return listening[1]
    raise AssertionError("".join(output))


def violations(exchange):
    """Return the violations that Prism reports for a request and its response."""
    return json.loads(exchange.headers.get("sl-violations", "[]"))


def test_scenario_contains_every_operation(description):
    ids = {operation_id for operation_id, _ in SCENARIO}
    assert ids == {*operations(description), TRANSFER}


def test_every_operation_of_the_scenario_succeeds(taskrouter, description):
    described = operations(description)
    for exchange in Scenario(taskrouter, description, taskrouter.url).run():
        _, _, operation = described[exchange.operation_id]
        assert [str(exchange.status)] == list(operation["responses"]), exchange
        if exchange.operation_id.startswith("List"):
            assert exchange.body[exchange.body["meta"]["key"]], exchange


@pytest.mark.slow
@needs_prism
def test_prism_reports_no_violations(taskrouter, description):
    with prism(taskrouter.url) as url:
        exchanges = list(Scenario(taskrouter, description, url).run())
    assert [exchange for exchange in exchanges if violations(exchange)] == []
    assert {exchange.operation_id for exchange in exchanges} == set(operations(description))
    assert {exchange.status for exchange in exchanges} <= {200, 201, 204}


@pytest.mark.slow
@needs_prism
def test_prism_reports_wrong_responses(app):
    path = f"/v1/Workspaces/WS{'0' * 32}"
    with prism(app.url) as url:
        for name, value in (
            ("sid", "WS1"),
            ("multi_task_enabled", "yes"),
            ("date_created", "today"),
        ):
            app.set_response(path, {name: value})
            headers = {"Authorization": "Basic YTpi"}
            request = urllib.request.Request(url + path, b"", headers)  # noqa: S310 - a local server
            reported = violations(send("UpdateWorkspace", request))
            found = {(violation["severity"], *violation["location"]) for violation in reported}
            assert found == {("Error", "response", "body", name)}
